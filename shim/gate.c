/* gate.c — a gate on need. vcr-record --lane=gate has one before its command begins; elsewhere the first process that cannot do without starts it:
 *
 *   lane auto   a program that is recorded by a gate or not at all: Bun's single files, a node that cannot be tapped, a Python whose OpenSSL is linked
 *               in (uv's, conda's). Before main, since it reads
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
	READY_MS = 1000,      /* 10 to 40 on a machine that has nothing else to do; at once over where the gate's process has ended */
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

/* The value of a line that sets `key`; its length, 0 for every other line. */
static size_t value_of(const char *p, size_t n, const char *key, const char **value)
{
	size_t k = strlen(key);
	for (; n && is_blank(*p); n--)
		p++;
	if (n <= k || memcmp(p, key, k) || !is_blank(p[k]))
		return 0;
	for (p += k, n -= k; n && is_blank(*p); n--)
		p++;
	while (n && is_blank(p[n - 1]))
		n--;
	*value = p;
	return n;
}

typedef void line_call(void *ctx, const char *line, size_t n);

/* Whole lines only; a line longer than `room` is passed over. */
static void read_lines(int fd, char *some, size_t room, line_call *call, void *ctx)
{
	uint64_t at = 0;
	for (long n; (n = raw_pread(fd, some, room - 1, at)) > 0;) {
		size_t used = 0;
		if (n < (long)room - 1)
			some[n++] = '\n';
		for (const char *end; (end = memchr(some + used, '\n', (size_t)n - used)); used = (size_t)(end + 1 - some))
			call(ctx, some + used, (size_t)(end - (some + used)));
		at += used ? used : (size_t)n;
	}
}

/* dir need not have an end. */
static void read_config(const char *dir, line_call *call, void *ctx)
{
	static const char name[] = "/config";
	size_t n = dir ? strnlen(dir, PATH_MAX) : 0;
	struct vcr_scratch *s = n && n + sizeof name <= PATH_MAX && !vcr_self.sandboxed ? vcr_scratch_take() : NULL;
	struct stat st;
	if (!s)
		return;
	memcpy(s->a, dir, n);
	vcr_format(s->a + n, name);
	int fd = raw_open(s->a, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
	if (fd >= 0 && !raw_fstat(fd, &st) && S_ISREG(st.st_mode))
		read_lines(fd, s->b, sizeof s->b, call, ctx);
	if (fd >= 0)
		raw_close(fd);
	vcr_scratch_give(s);
}

static const char *config_dir(void)
{
	const struct vcr_spool_header *h = vcr_spool_mapped();
	_Static_assert(sizeof h->vcr_dir >= PATH_MAX, "a path of it is cut in read_config");
	return h ? h->vcr_dir : vcr_self.vcr_dir;
}

static void take_lane(void *ctx, const char *line, size_t n)
{
	static const char *const words[] = { [VCR_LANE_TAP] = "tap", [VCR_LANE_AUTO] = "auto", [VCR_LANE_GATE] = "gate" };
	const char *value;
	uint32_t *lane = ctx;
	size_t k = value_of(line, n, "lane", &value);
	for (uint32_t i = VCR_LANE_TAP; k && i <= VCR_LANE_GATE; i++)
		if (strlen(words[i]) == k && !memcmp(words[i], value, k))
			*lane = i;
}

struct host_question { const char *name; bool found; };

static void look_for_host(void *ctx, const char *line, size_t n)
{
	struct host_question *q = ctx;
	const char *value, *colon;
	size_t k = value_of(line, n, "model-host", &value);
	if (k && (colon = memchr(value, ':', k)))
		k = (size_t)(colon - value); /* whatever the port */
	q->found = q->found || (k && vcr_lead_matches(value, k, q->name));
}

bool vcr_gate_has_host(const char *name)
{
	struct host_question q = { .name = name };
	read_config(config_dir(), look_for_host, &q);
	return q.found;
}

static enum vcr_lane lane(void)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	uint32_t *known = h ? &h->lane : &own_lane, none = VCR_LANE_NOT_KNOWN, says = VCR_LANE_AUTO;
	if (h && h->flags & VCR_SPOOL_LEAD_ONLY)
		return VCR_LANE_TAP;
	if (!vcr_load(known)) {
		read_config(config_dir(), take_lane, &says);
		__atomic_compare_exchange_n(known, &none, says, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	}
	return vcr_load(known);
}

/* ---- Starting ---- */

/* Whoever has waited for nothing says so to those who come later; a gate that is ready after all is taken then. mine: we have started it, so its
 * number is one of our pid namespace. */
static bool wait_for(struct vcr_lead_block *g, int ms, bool mine)
{
	uint32_t starting = VCR_LEAD_STARTING;
	uint64_t until = vcr_now() + (uint64_t)ms * 1000000;
	int32_t pid;
	while (vcr_load(&g->state) == VCR_LEAD_STARTING && vcr_now() < until && (!mine || !(pid = vcr_load(&g->pid)) || vcr_process_runs(pid, 0)))
		raw_wait(&g->state, VCR_LEAD_STARTING, SLICE_MS * 1000000ull);
	__atomic_compare_exchange_n(&g->state, &starting, VCR_LEAD_ENDED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	return vcr_load(&g->state) == VCR_LEAD_READY;
}

/* Before main: there is a gate, or there is none for this program. */
static bool have_gate(enum vcr_lane l)
{
	struct vcr_spool_header *h = vcr_spool(VCR_MAKE);
	uint32_t none = VCR_LANE_NOT_KNOWN;
	if (!h)
		return false;
	__atomic_compare_exchange_n(&h->lane, &none, l, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	bool mine = vcr_start_gate(h, l == VCR_LANE_AUTO);
	return wait_for(&h->gate, READY_MS, mine);
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

VCR_EARLY void vcr_gate_program(bool tapped)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	if ((vcr_late_named.path = vcr_env_get(environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")))
		vcr_late_named.n = strlen(vcr_late_named.path);
	bool node = vcr_program_exports("napi_module_register"), python = !node && vcr_program_exports("PyInit__ssl") && !vcr_program_exports("SSL_read"), kin = node || python;
	uint32_t state = h ? vcr_load(&h->gate.state) : VCR_LEAD_NONE;
	if (vcr_likely(!kin && !state))
		return;
	enum vcr_lane l = lane();
	tapped = tapped || dlsym(RTLD_NEXT, "SSL_CTX_new"); /* a shared OpenSSL is tapped as everybody's */
	if (kin && state < VCR_LEAD_READY && l != VCR_LANE_TAP && (!tapped || l == VCR_LANE_GATE) && !have_gate(l)) {
		vcr_self.unled = true;
		return;
	}
	if (!(h = vcr_spool_mapped()) || !vcr_load(&h->gate.state))
		return;
	vcr_self.bundle_ca = python && !tapped;
	vcr_self.extra_ca = node || dlsym(RTLD_DEFAULT, "napi_module_register");
	vcr_self.untapped = !tapped && (python || vcr_self.extra_ca);
	vcr_late_program(&h->gate);
	if (vcr_lead()) {
		vcr_lead_learn_proxies();
		if (!vcr_trust_environment())
			vcr_self.unled = true;
	}
}

bool vcr_gate_late(void)
{
	struct vcr_spool_header *h = lane() == VCR_LANE_AUTO ? vcr_spool(VCR_MAKE) : NULL;
	if (!h || vcr_self.unled)
		return false;
	vcr_start_gate(h, true);
	return vcr_load(&h->gate.state) != VCR_LEAD_ENDED;
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
		bool mine = vcr_start_gate(h, false);
		if (wait_for(&h->gate, LATER_MS, mine)) {
			vcr_lead_learn_proxies();
			vcr_late_program(&h->gate);
		}
	}
	vcr_store(&vcr_gate_asked, 1);
	errno = saved;
}
