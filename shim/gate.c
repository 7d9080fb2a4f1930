/* gate.c — a gate on need. vcr-record --lane=gate has one before its command begins; elsewhere the first process that cannot do without starts it:
 *
 *   lane auto   a program that is recorded by a gate or not at all: Bun's single files, a node that cannot be tapped. Before main, since it reads
 *               its variables there, and its certificates soon after. Before a program is started that is lent its variables (lend.c)
 *   lane gate   a bare preload in a workspace whose .vcr/config says so: node and its kin before main, others when they set up TLS, look up a name
 *               or connect
 *   lane tap    nobody
 *
 * A gate alone is no session: that begins with the first connection that is led. Who waits waits for a moment only; a program whose gate is not
 * ready by then goes its own way, since it would not trust the gate, and that is said when it connects. */
#include <dlfcn.h>
#include "shim.h"

enum {
	FIRST_SIGN_MS = 50,   /* until the gate's program runs */
	READY_MS = 500,       /* from then on, on a machine that is busy */
	LATER_MS = 2000,      /* where the wait is in the midst of the program */
	SLICE_MS = 5,
};

uint32_t vcr_gate_asked;
static uint32_t own_lane; /* enum vcr_lane, where there is no spool to keep it */

/* ---- The lane: what .vcr/config says, its last word on it ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

static bool word_is(const char *p, size_t n, const char *word)
{
	while (n && is_blank(p[n - 1]))
		n--;
	return n == strlen(word) && !memcmp(p, word, n);
}

/* "lane WORD"; NOT_KNOWN for every other line. */
static enum vcr_lane lane_of_line(const char *p, size_t n)
{
	static const char key[] = "lane";
	for (; n && is_blank(*p); n--)
		p++;
	if (n <= sizeof key || memcmp(p, key, sizeof key - 1) || !is_blank(p[sizeof key - 1]))
		return VCR_LANE_NOT_KNOWN;
	for (p += sizeof key - 1, n -= sizeof key - 1; n && is_blank(*p); n--)
		p++;
	return word_is(p, n, "tap") ? VCR_LANE_TAP : word_is(p, n, "auto") ? VCR_LANE_AUTO : word_is(p, n, "gate") ? VCR_LANE_GATE : VCR_LANE_NOT_KNOWN;
}

/* Whole lines only; a line longer than `room` is passed over. */
static enum vcr_lane lane_in_file(int fd, char *some, size_t room)
{
	enum vcr_lane lane = VCR_LANE_AUTO;
	uint64_t at = 0;
	for (long n; (n = raw_pread(fd, some, room - 1, at)) > 0;) {
		size_t used = 0;
		if (n < (long)room - 1)
			some[n++] = '\n';
		for (const char *end; (end = memchr(some + used, '\n', (size_t)n - used)); used = (size_t)(end + 1 - some)) {
			enum vcr_lane says = lane_of_line(some + used, (size_t)(end - (some + used)));
			lane = says ? says : lane;
		}
		at += used ? used : (size_t)n;
	}
	return lane;
}

static enum vcr_lane read_lane(const char *vcr_dir, size_t n)
{
	static const char name[] = "/config";
	struct vcr_scratch *s = n && n + sizeof name <= PATH_MAX ? vcr_scratch_take() : NULL;
	enum vcr_lane lane = VCR_LANE_AUTO;
	struct stat st;
	if (!s)
		return lane;
	memcpy(s->a, vcr_dir, n);
	vcr_format(s->a + n, name);
	int fd = raw_open(s->a, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
	if (fd >= 0 && !raw_fstat(fd, &st) && S_ISREG(st.st_mode))
		lane = lane_in_file(fd, s->b, sizeof s->b);
	if (fd >= 0)
		raw_close(fd);
	vcr_scratch_give(s);
	return lane;
}

static enum vcr_lane lane(void)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	uint32_t *known = h ? &h->lane : &own_lane, none = VCR_LANE_NOT_KNOWN;
	const char *dir = h ? h->vcr_dir : vcr_self.vcr_dir;
	if (h && h->flags & VCR_SPOOL_LEAD_ONLY)
		return VCR_LANE_TAP;
	if (!vcr_load(known) && dir && !vcr_self.sandboxed)
		__atomic_compare_exchange_n(known, &none, read_lane(dir, strnlen(dir, sizeof h->vcr_dir)), false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	return vcr_load(known);
}

/* ---- Starting ---- */

static bool wait_for(struct vcr_lead_block *g, uint64_t until)
{
	while (vcr_load(&g->state) == VCR_LEAD_STARTING && vcr_now() < until)
		raw_wait(&g->state, VCR_LEAD_STARTING, SLICE_MS * 1000000ull);
	return vcr_load(&g->state) == VCR_LEAD_READY;
}

/* Before main: there is a gate, or there is none for this program. */
static bool have_gate(enum vcr_lane l)
{
	struct vcr_spool_header *h = vcr_spool(VCR_MAKE);
	uint64_t began = vcr_now();
	if (!h)
		return false;
	uint32_t none = VCR_LANE_NOT_KNOWN;
	__atomic_compare_exchange_n(&h->lane, &none, l, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	vcr_start_gate(h, l == VCR_LANE_AUTO);
	while (vcr_load(&h->gate.state) == VCR_LEAD_STARTING && !vcr_load(&h->gate.pid) && vcr_now() < began + FIRST_SIGN_MS * 1000000ull)
		raw_wait(&h->gate.state, VCR_LEAD_STARTING, 1000000);
	return vcr_load(&h->gate.pid) ? wait_for(&h->gate, began + READY_MS * 1000000ull) : vcr_load(&h->gate.state) == VCR_LEAD_READY;
}

/* A program whose OpenSSL could not be tapped has words of its own about it (tap.c). */
static void say_without(void)
{
	static const char text[] = "the gate was not ready when a program began whose model calls are recorded there or not at all";
	struct vcr_piece piece = vcr_text(text);
	if (vcr_program_exports("SSL_read"))
		return;
	vcr_want_collector();
	vcr_append(VCR_REC_LOST, 0, 0, &piece, 1, 0);
}

void vcr_gate_program(bool tapped)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	bool kin = vcr_program_exports("napi_module_register");
	uint32_t state = h ? vcr_load(&h->gate.state) : VCR_LEAD_NONE;
	if (vcr_likely(!kin && !state))
		return;
	enum vcr_lane l = lane();
	if (kin && state < VCR_LEAD_READY && l != VCR_LANE_TAP && (!tapped || l == VCR_LANE_GATE) && !have_gate(l)) {
		vcr_self.unled = true;
		return;
	}
	if (!(h = vcr_spool_mapped()) || !vcr_load(&h->gate.state))
		return;
	vcr_self.extra_ca = kin || dlsym(RTLD_DEFAULT, "napi_module_register");
	vcr_self.untapped = vcr_self.extra_ca && !tapped && !dlsym(RTLD_NEXT, "SSL_CTX_new"); /* a shared OpenSSL is tapped as everybody's */
	if (vcr_lead()) {
		vcr_lead_learn_proxies();
		if (!vcr_trust_environment())
			vcr_self.unled = true;
	}
}

void vcr_gate_for_child(void)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	uint32_t state = h ? vcr_load(&h->gate.state) : VCR_LEAD_NONE;
	enum vcr_lane l = state < VCR_LEAD_READY && vcr_ready() ? lane() : VCR_LANE_TAP;
	if (l != VCR_LANE_TAP)
		have_gate(l);
}

/* ---- The gate's lane, later than main ---- */

void vcr_gate_ask(void)
{
	int saved = errno;
	if (!vcr_ready() || vcr_self.sandboxed || vcr_guest())
		return;
	struct vcr_spool_header *h = vcr_spool_mapped();
	bool there = h && vcr_load(&h->gate.state) != VCR_LEAD_NONE;
	if (vcr_self.unled)
		say_without();
	else if (!there && lane() == VCR_LANE_GATE && (h = vcr_spool(VCR_MAKE))) {
		vcr_start_gate(h, false);
		if (wait_for(&h->gate, vcr_now() + LATER_MS * 1000000ull))
			vcr_lead_learn_proxies();
	}
	vcr_store(&vcr_gate_asked, 1);
	errno = saved;
}
