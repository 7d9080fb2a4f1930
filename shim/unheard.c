/* unheard.c — TLS with a model that no hook hears: an OpenSSL, BoringSSL or rustls that is linked in and not exported (grpcio, tools in Rust), whoever
 * resolved the name. The client's first bytes name the host; that connection is looked at until a TLS hook has worked for it or, without one, a request
 * has gone out and an answer comes in. Then that is said: silence would look like a program that asks no model.
 *
 * OpenSSL over memory (asyncio, node) is known by its server's name alone: a name that was heard once in this process is not looked at again. */
#include "hello.h"
#include "model-hosts.h"
#include "shim.h"

enum { WATCHES = 16, HEARD = 64, TLS_DATA = 0x17, FINISHED_AT_MOST = 100 /* bytes of the record that ends a handshake */ };

static struct watch {
	uint32_t taken;
	int32_t fd, pid;
	bool sent;
	unsigned port;
	const void *caller;
	char name[VCR_LEAD_NAME], ip[46];
} watches[WATCHES];
static uint32_t heard[HEARD], said[HEARD]; /* hashes of names */

static uint32_t hash_of(const char *name)
{
	return vcr_crc(~0u, name, strlen(name)) | 1;
}

static bool is_in(const uint32_t table[HEARD], const char *name)
{
	uint32_t h = hash_of(name);
	return vcr_load(&table[h % HEARD]) == h;
}

/* ---- Watching ---- */

static bool is_model(const char *name)
{
	static const char list[] =
#define X(host) host "\0"
		VCR_MODEL_HOSTS(X)
#undef X
		;
	for (const char *p = list; *p; p += strlen(p) + 1)
		if (vcr_lead_matches(p, strlen(p), name))
			return true;
	return vcr_gate_has_host(name);
}

static struct watch *watch_of(int fd)
{
	for (int i = 0; i < WATCHES; i++)
		if (vcr_load(&watches[i].taken) == 2 && watches[i].fd == fd)
			return &watches[i];
	return NULL;
}

static void drop(int fd)
{
	struct watch *w = watch_of(fd);
	if (w)
		vcr_store(&w->taken, 0);
	vcr_fd_set(fd, VCR_FD_NONE);
}

bool vcr_unheard_hello(int fd, const void *p, size_t n)
{
	char name[VCR_LEAD_NAME];
	bool h2;
	struct watch *old = watch_of(fd);
	if (old)
		vcr_store(&old->taken, 0);
	if (vcr_self.sandboxed || !vcr_hello_read(p, n, name, &h2) || is_in(heard, name))
		return false;
	if (is_in(said, name) && vcr_load(&vcr_late_lends) & VCR_LENDS_BUNDLES) {
		char ip[46];
		unsigned port = vcr_late_peer(fd, ip);
		vcr_late_learn(name, ip, port);
	}
	if (is_in(said, name) || !is_model(name))
		return false;
	for (int i = 0; i < WATCHES; i++) {
		uint32_t none = 0;
		if (!__atomic_compare_exchange_n(&watches[i].taken, &none, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		watches[i].fd = fd;
		watches[i].pid = vcr_self.pid;
		watches[i].sent = false;
		memcpy(watches[i].name, name, sizeof name);
		watches[i].caller = vcr_caller;
		watches[i].port = vcr_late_peer(fd, watches[i].ip);
		vcr_store(&watches[i].taken, 2);
		return true;
	}
	return false;
}

void vcr_unheard_out(int fd, const void *p, size_t n)
{
	const uint8_t *b = p;
	struct watch *w = n >= 5 && b[0] == TLS_DATA && b[1] == 3 && (b[3] << 8 | b[4]) > FINISHED_AT_MOST ? watch_of(fd) : NULL;
	if (w)
		w->sent = true;
}

void vcr_unheard_claim(const char *name)
{
	char plain[VCR_LEAD_NAME];
	size_t n = strnlen(name, sizeof plain);
	if (!n || n == sizeof plain)
		return;
	for (size_t i = 0; i <= n; i++)
		plain[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
	uint32_t h = hash_of(plain);
	vcr_store(&heard[h % HEARD], h);
}

bool vcr_unheard_is_heard(const char *name)
{
	return is_in(heard, name);
}

/* at: behind what is said of its calls so far. */
static void say_what_comes(char *at, const struct watch *w)
{
	if (vcr_late_begin(w->name, w->ip, w->port, w->caller))
		vcr_format(at, " until it reads its certificates anew; then they go through the gate");
}

/* Nothing but what the host itself would call, where it has locked itself in. */
static void say(const struct watch *w)
{
	char text[VCR_LEAD_NAME + 300];
	uint32_t h = hash_of(w->name);
	if (__atomic_exchange_n(&said[h % HEARD], h, __ATOMIC_RELAXED) == h)
		return;
	struct vcr_scratch *s = vcr_self.sandboxed ? NULL : vcr_scratch_take();
	long n = s ? raw_readlink("/proc/self/exe", s->a, sizeof s->a - 1) : 0;
	const char *program = "a program";
	if (n > 0) {
		s->a[n] = 0;
		program = strrchr(s->a, '/') ? strrchr(s->a, '/') + 1 : s->a;
	}
	char *at = vcr_format(text, "TLS bytes seen, no TLS hook fired: ");
	memcpy(at, program, n = (long)strnlen(program, 64));
	at[n] = 0;
	at = vcr_format(vcr_format(at + n, " brings a TLS of its own, its calls to "), w->name);
	at = vcr_format(at, " are not recorded");
	if (s)
		vcr_scratch_give(s);
	vcr_want_collector();
	vcr_tap_said();
	say_what_comes(at, w);
	struct vcr_piece piece = vcr_text(text);
	vcr_append(VCR_REC_LOST, 0, 0, &piece, 1, VCR_RING);
}

void vcr_unheard_in(int fd)
{
	struct watch *w = watch_of(fd);
	int saved = errno;
	if (w && !w->sent)
		return;
	if (w && !vcr_guest() && !is_in(heard, w->name))
		say(w);
	drop(fd);
	errno = saved;
}

/* Whatever has come of the request. */
void vcr_unheard_closed(int fd)
{
	struct watch *w = watch_of(fd);
	if (!w)
		return;
	if (w->sent && w->pid == vcr_self.pid && !is_in(heard, w->name)) /* else it is our parent's, who goes on */
		say(w);
	vcr_store(&w->taken, 0);
}
