/* lead.c — connections of model hosts go to the gate, and in replay nothing else leaves this machine. spool-format.h has the agreement with the
 * gate; lookup.c answers names with the addresses that are recognised here.
 *
 * A connect that is led is a connect to the gate's port. Right after it, whether it is complete or in progress, the local port is known and
 * led[] says where it was meant to go: nothing can have been sent yet, so the gate, which looks when the first bytes come, finds the word there.
 *
 * What a session process may have scribbled into the block is bounded here: texts are copied and cut, indices checked, and the worst that
 * wrong content can do is to make a connect fail or go its own way. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include "shim.h"

enum {
	PROXIES = 8, SEEN = 64, START_WAIT_MS = 2000, DECIDED_MS = 20, PORT_DNS = 53, PORT_TLS = 443, NET_ONE = 127, NET_TWO = 77,
};

/* ---- Texts ---- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Does the name match the pattern of n characters, with * and ?. Both bounded, one way back only: no more than n * strlen(name) steps. */
bool vcr_lead_matches(const char *pattern, size_t n, const char *name)
{
	const char *end = pattern + n, *star = NULL, *again = NULL;
	while (*name) {
		if (pattern < end && *pattern == '*') {
			star = ++pattern;
			again = name;
		} else if (pattern < end && (*pattern == '?' || lower(*pattern) == *name)) {
			pattern++;
			name++;
		} else if (star) {
			pattern = star;
			name = ++again;
		} else {
			return false;
		}
	}
	while (pattern < end && *pattern == '*')
		pattern++;
	return pattern == end;
}

/* Lower case, without a last dot. False: too long to be led. */
static bool plain_name(const char *name, char out[VCR_LEAD_NAME])
{
	size_t n = strnlen(name, VCR_LEAD_NAME);
	if (n && name[n - 1] == '.')
		n--;
	if (!n || n >= VCR_LEAD_NAME)
		return false;
	for (size_t i = 0; i < n; i++)
		out[i] = lower(name[i]);
	out[n] = 0;
	return true;
}

static bool is_local_text(const char *name, size_t n)
{
	static const char *const local[] = { "localhost", "localhost.localdomain", "*.localhost", "ip6-localhost", "ip6-loopback", "::1" };
	char text[VCR_LEAD_NAME];
	if (n >= sizeof text)
		return false;
	for (size_t i = 0; i < n; i++)
		text[i] = lower(name[i]);
	text[n] = 0;
	if (!strncmp(text, "127.", 4) && strspn(text, "0123456789.") == n)
		return true;
	for (size_t i = 0; i < sizeof local / sizeof *local; i++)
		if (vcr_lead_matches(local[i], strlen(local[i]), text))
			return true;
	return false;
}

bool vcr_lead_is_local_name(const char *name)
{
	return is_local_text(name, strlen(name));
}

/* HOST, HOST:PORT, [V6]:PORT or V6 in the n bytes of text. Host without brackets; port 0 if there is none. */
static void split(const char *text, size_t n, const char **host, size_t *nhost, unsigned *port)
{
	const char *bracket = n && *text == '[' ? memchr(text, ']', n) : NULL, *colon = memchr(bracket ? bracket : text, ':', n - (bracket ? (size_t)(bracket - text) : 0));
	*host = text + (bracket != NULL);
	*port = 0;
	if (!bracket && colon && memchr(colon + 1, ':', n - (size_t)(colon + 1 - text)))
		colon = NULL; /* an IPv6 address */
	*nhost = bracket ? (size_t)(bracket - text) - 1 : colon ? (size_t)(colon - text) : n;
	for (const char *p = colon ? colon + 1 : text + n; p < text + n && *p >= '0' && *p <= '9' && *port < 65536; p++)
		*port = *port * 10 + (unsigned)(*p - '0');
}

/* ---- The gate ---- */

struct vcr_lead_block *vcr_lead(void)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	if (vcr_likely(!h || vcr_load(&h->gate.state) == VCR_LEAD_NONE))
		return NULL;
	uint32_t flags = vcr_load(&h->gate.flags);
	bool goes_by = vcr_self.unled || (flags & VCR_LEAD_UNTAPPED && !vcr_self.untapped && !vcr_self.late);
	return goes_by && !(flags & VCR_LEAD_REPLAY) ? NULL : &h->gate;
}

/* Only what the table says is led; nor are proxies, behind which the others are too. */
static bool is_late(const struct vcr_lead_block *g)
{
	return vcr_self.late && !vcr_self.untapped && vcr_load(&g->flags) & VCR_LEAD_UNTAPPED;
}

static bool is_replay(const struct vcr_lead_block *g)
{
	return vcr_load(&g->flags) & VCR_LEAD_REPLAY;
}

bool vcr_lead_replays(void)
{
	struct vcr_lead_block *g = vcr_lead();
	return g && is_replay(g);
}

/* In another pid namespace its number says nothing: then it is believed. */
static bool gate_process_runs(const struct vcr_lead_block *g)
{
	struct stat st;
	if (vcr_self.sandboxed || !g->pid || raw_statat(AT_FDCWD, "/proc/self/ns/pid", &st, 0) || st.st_ino != g->pid_ns)
		return true;
	return vcr_process_runs(g->pid, g->start);
}

bool vcr_lead_open(struct vcr_lead_block *g)
{
	uint32_t ready = VCR_LEAD_READY, starting = VCR_LEAD_STARTING;
	int ms = 0;
	for (; vcr_load(&g->state) == VCR_LEAD_STARTING && ms < START_WAIT_MS && !vcr_self.sandboxed; ms += 10)
		raw_wait(&g->state, VCR_LEAD_STARTING, 10000000);
	if (ms >= START_WAIT_MS) /* those who come later need not wait; one that is ready after all is taken */
		__atomic_compare_exchange_n(&g->state, &starting, VCR_LEAD_ENDED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	if (vcr_load(&g->state) != VCR_LEAD_READY)
		return false;
	if (gate_process_runs(g))
		return true;
	__atomic_compare_exchange_n(&g->state, &ready, VCR_LEAD_ENDED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	return false;
}

/* ---- What is listed ---- */

static bool entry_lists(const char *entry, size_t n, const char *name, unsigned port, bool local)
{
	const char *host;
	size_t nhost;
	unsigned only;
	split(entry, n, &host, &nhost, &only);
	if (local && !only && port != 80 && port != 443)
		return false; /* not everything that this machine serves */
	if (only && port && only != port)
		return false;
	return vcr_lead_matches(host, nhost, name) || (local && is_local_text(host, nhost));
}

/* Is that name or address one of the hosts, at that port (0: any)? */
static bool listed(const struct vcr_lead_block *g, const char *name, unsigned port)
{
	bool local = vcr_lead_is_local_name(name);
	if (vcr_unlikely(is_late(g)))
		return vcr_late_leads(g, name, port);
	for (size_t at = 0, n; at < VCR_LEAD_HOSTS && (n = strnlen(g->hosts + at, VCR_LEAD_HOSTS - at)); at += n + 1)
		if (entry_lists(g->hosts + at, n, name, port, local))
			return true;
	return false;
}

bool vcr_lead_name_at(const struct vcr_lead_block *g, size_t i, char out[VCR_LEAD_NAME])
{
	if (i >= VCR_LEAD_NAMES || vcr_load(&g->name[i].state) != VCR_LEAD_NAME_SET)
		return false;
	memcpy(out, g->name[i].text, VCR_LEAD_NAME);
	out[VCR_LEAD_NAME - 1] = 0;
	return *out != 0;
}

int vcr_lead_index(struct vcr_lead_block *g, const char *name)
{
	char is[VCR_LEAD_NAME];
	for (int i = 0; i < VCR_LEAD_NAMES; i++) {
		uint32_t none = VCR_LEAD_NAME_FREE;
		if (vcr_lead_name_at(g, (size_t)i, is) && !strcmp(is, name))
			return i;
		if (vcr_load(&g->name[i].state) != none || !__atomic_compare_exchange_n(&g->name[i].state, &none, VCR_LEAD_NAME_BUSY, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		memcpy(g->name[i].text, name, strlen(name) + 1);
		vcr_store(&g->name[i].state, VCR_LEAD_NAME_SET);
		return i;
	}
	return -1;
}

/* ---- The user's own proxies: the model's host is then in a CONNECT line, which the gate understands ---- */

struct proxy {
	char name[VCR_LEAD_NAME];
	unsigned port;
	bool http;            /* else SOCKS or a proxy behind TLS, which the gate does not speak: its own way, and refused in replay */
};
static struct proxy proxies[PROXIES];
static uint32_t proxy_count, proxies_busy;

static bool parse_proxy(const char *url, struct proxy *p)
{
	const char *scheme = strstr(url, "://"), *host = scheme ? scheme + 3 : url, *at, *name;
	size_t n = strcspn(host, "/?#"), nname;
	for (; (at = memchr(host, '@', n)); n -= (size_t)(at + 1 - host), host = at + 1)
		;
	split(host, n, &name, &nname, &p->port);
	if (!nname || nname >= sizeof p->name)
		return false;
	for (size_t i = 0; i < nname; i++)
		p->name[i] = lower(name[i]);
	p->name[nname] = 0;
	p->http = !scheme || (scheme - url == 4 && lower(*url) == 'h');
	p->port = p->port ? p->port : p->http ? 80 : 1080;
	return true;
}

static void add_proxy(const char *url)
{
	struct proxy p;
	uint32_t n = vcr_load(&proxy_count);
	if (!url || !*url || !parse_proxy(url, &p))
		return;
	for (uint32_t i = 0; i < n; i++)
		if (proxies[i].port == p.port && !strcmp(proxies[i].name, p.name))
			return;
	if (n == PROXIES)
		return;
	proxies[n] = p;
	vcr_store(&proxy_count, n + 1);
}

/* A program may set the variables itself, so they are read again before a name is looked up. */
void vcr_lead_learn_proxies(void)
{
	static const char *const variable[] = { "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy" };
	if (vcr_guest() || __atomic_exchange_n(&proxies_busy, 1, __ATOMIC_ACQUIRE))
		return;
	for (size_t i = 0; i < sizeof variable / sizeof *variable; i++)
		add_proxy(vcr_env_get(environ, variable[i]));
	vcr_store(&proxies_busy, 0);
}

static const struct proxy *proxy_at(const char *name, unsigned port)
{
	uint32_t n = vcr_load(&proxy_count);
	bool local = vcr_lead_is_local_name(name);
	for (uint32_t i = 0; i < n; i++)
		if ((!port || proxies[i].port == port) && (!strcmp(proxies[i].name, name) || (local && vcr_lead_is_local_name(proxies[i].name))))
			return &proxies[i];
	return NULL;
}

/* ---- Refusals ---- */

static const char ended[] = "the gate has ended: ", bound_to[] = "a connection is bound to a network interface: ";

void vcr_lead_refused(uint32_t kind, int error, const char *where)
{
	static uint32_t seen[SEEN];
	struct vcr_lead_block *g = vcr_lead();
	struct vcr_rec_refused r = { .kind = kind, .error = error };
	struct vcr_piece piece[2] = { { &r, sizeof r }, vcr_text(where) };
	uint32_t hash = vcr_crc(~kind, where, strlen(where)) | 1;
	if (g)
		__atomic_fetch_add(&g->refused, 1, __ATOMIC_RELAXED);
	if (vcr_guest() || __atomic_exchange_n(&seen[hash % SEEN], hash, __ATOMIC_RELAXED) != hash)
		vcr_append(VCR_REC_REFUSED, 0, 0, piece, 2, VCR_RING);
}

/* A model's host is spoken to without us: once per name and process. */
static void say_direct(struct vcr_lead_block *g, const char *why, const char *name, unsigned port)
{
	static uint32_t seen[SEEN];
	char text[VCR_LEAD_NAME + 120];
	uint32_t hash = vcr_crc(~0u, name, strlen(name)) | 1;
	__atomic_fetch_add(&g->went_direct, 1, __ATOMIC_RELAXED);
	if (!vcr_guest() && __atomic_exchange_n(&seen[hash % SEEN], hash, __ATOMIC_RELAXED) == hash)
		return;
	char *end = vcr_format(vcr_format(vcr_format(text, why), name), " is spoken to directly");
	if (port)
		vcr_format_number(vcr_format(end, ", port "), port, 1);
	struct vcr_piece piece = vcr_text(text);
	vcr_append(VCR_REC_LOST, 0, 0, &piece, 1, VCR_RING);
}

/* ---- Addresses ---- */

struct place {
	uint8_t ip[16];       /* an IPv4 address in its mapped form */
	unsigned port;
	bool v6;              /* the socket's family */
};
static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static bool is_v4(const struct place *p)
{
	return !memcmp(p->ip, mapped, sizeof mapped);
}

static bool parse(const struct sockaddr *a, socklen_t n, struct place *p)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;
	if (!a || n < sizeof a->sa_family)
		return false;
	p->v6 = a->sa_family == AF_INET6;
	if (a->sa_family == AF_INET && n >= sizeof *v4) {
		memcpy(p->ip, mapped, sizeof mapped);
		memcpy(p->ip + 12, &v4->sin_addr, 4);
		p->port = ntohs(v4->sin_port);
		return true;
	}
	if (!p->v6 || n < offsetof(struct sockaddr_in6, sin6_scope_id))
		return false;
	memcpy(p->ip, &v6->sin6_addr, 16);
	p->port = ntohs(v6->sin6_port);
	return true;
}

/* 0.0.0.0 and :: are this machine too (ip(7), ipv6(7)). */
static bool is_loopback(const struct place *p)
{
	static const uint8_t any[16], one[16] = { [15] = 1 };
	if (is_v4(p))
		return p->ip[12] == NET_ONE || !memcmp(p->ip + 12, any, 4);
	return !memcmp(p->ip, any, 16) || !memcmp(p->ip, one, 16);
}

/* The index of the name that an address of ours stands for, or -1. */
static int stands_for(const struct place *p)
{
	bool ours = is_v4(p) && p->ip[12] == NET_ONE && p->ip[13] == NET_TWO && p->ip[14] == 0;
	return ours && p->ip[15] >= 1 && p->ip[15] <= VCR_LEAD_NAMES ? p->ip[15] - 1 : -1;
}

static void address_text(const struct place *p, char out[INET6_ADDRSTRLEN])
{
	if (!inet_ntop(is_v4(p) ? AF_INET : AF_INET6, is_v4(p) ? p->ip + 12 : p->ip, out, INET6_ADDRSTRLEN))
		*out = 0;
}

static void refuse(uint32_t kind, int error, const struct place *p)
{
	char ip[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 16];
	address_text(p, ip);
	char *end = vcr_format(vcr_format(vcr_format(text, is_v4(p) ? "" : "["), ip), is_v4(p) ? ":" : "]:");
	vcr_format_number(end, p->port, 1);
	vcr_lead_refused(kind, error, text);
	errno = error;
}

bool vcr_lead_stands_for(const struct sockaddr *a, socklen_t n, char name[VCR_LEAD_NAME])
{
	struct vcr_lead_block *g = vcr_lead();
	struct place p;
	int i = g && parse(a, n, &p) ? stands_for(&p) : -1;
	return i >= 0 && vcr_lead_name_at(g, (size_t)i, name);
}

bool vcr_lead_is_loopback(const struct sockaddr *a, socklen_t n)
{
	struct place p;
	return !parse(a, n, &p) || is_loopback(&p);
}

/* ---- Names: what lookup.c asks ---- */

bool vcr_lead_name(const char *asked, unsigned port, struct vcr_lead_numeric *out)
{
	struct vcr_lead_block *g = vcr_lead();
	char name[VCR_LEAD_NAME];
	if (!g || !plain_name(asked, name) || vcr_lead_is_local_name(name))
		return false;
	vcr_lead_learn_proxies();
	const struct proxy *proxy = is_late(g) ? NULL : proxy_at(name, port);
	if (!(proxy && proxy->http) && !listed(g, name, port))
		return false;
	if (!vcr_lead_open(g) && !is_replay(g)) {
		say_direct(g, ended, name, port); /* whoever asks for its address means to connect */
		return false;
	}
	int i = vcr_lead_index(g, name);
	if (i < 0)
		return false;
	vcr_format_number(vcr_format(out->v4, "127.77.0."), (uint64_t)i + 1, 1);
	vcr_format(vcr_format(out->v6, "::ffff:"), out->v4);
	return true;
}

bool vcr_lead_is_known(const char *asked, unsigned port)
{
	struct vcr_lead_block *g = vcr_lead();
	char name[VCR_LEAD_NAME];
	if (!g || is_replay(g) || is_late(g) || !plain_name(asked, name) || proxy_at(name, port))
		return true;
	int i = vcr_lead_index(g, name);
	return i < 0 || vcr_ask(g, i, name, port ? port : PORT_TLS, VCR_ASK_NAME) != VCR_ASK_UNKNOWN_NAME;
}

/* ---- What is led ---- */

/* In this process or one that forked it: connections to the name were led; to an address; to a proxy. For TLS that is not tied to a descriptor. */
static uint8_t met[VCR_LEAD_NAMES], met_address, met_proxy;

struct goal {
	char name[VCR_LEAD_NAME];
	int index;            /* of the name; -1 not in the table yet */
	bool proxy, fits;     /* !fits: the port is none that is listed */
	bool named;           /* it came as an address of ours: there is no other place to connect to */
	bool maybe, alone;    /* whose the address is, the gate will hear; and there is no name for it */
};

/* Is that place one that belongs to the gate? */
static bool find_goal(struct vcr_lead_block *g, const struct place *p, struct goal *o)
{
	const struct proxy *proxy;
	o->index = stands_for(p);
	o->alone = false;
	o->named = o->index >= 0 && vcr_lead_name_at(g, (size_t)o->index, o->name);
	if (!o->named) {
		o->index = -1;
		if (is_loopback(p) && p->port == vcr_load(&g->port))
			return false;
		address_text(p, o->name);
	}
	proxy = is_late(g) ? NULL : proxy_at(o->name, p->port);
	o->proxy = proxy && proxy->http;
	o->fits = o->proxy || listed(g, o->name, p->port);
	o->maybe = !o->named && !o->fits && vcr_late_meets(g, o->name, p->port, &o->alone);
	o->fits |= o->maybe;
	return o->named || o->fits;
}

static unsigned local_port(int fd)
{
	union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } own;
	socklen_t n = sizeof own;
	if (vcr_self.sandboxed || vcr_call3(SYS_getsockname, fd, (long)&own, (long)&n))
		return 0;
	return ntohs(own.any.sa_family == AF_INET6 ? own.v6.sin6_port : own.v4.sin_port);
}

/* Which local port stands for what, for the gate. */
void vcr_lead_say(struct vcr_lead_block *g, int fd, bool v6, int index, bool proxy, unsigned port)
{
	unsigned local = index < 0 ? 0 : local_port(fd);
	uint64_t key = local | (v6 ? VCR_LED_V6 : 0), *free_slot = NULL;
	uint64_t word = key | (proxy ? VCR_LED_PROXY : 0) | (uint64_t)index << VCR_LED_NAME_SHIFT | (uint64_t)port << VCR_LED_PORT_SHIFT |
		((uint64_t)raw_getpid() & VCR_LED_PID_MASK) << VCR_LED_PID_SHIFT | VCR_LED_SET;
	for (unsigned i = 0; local && i < VCR_LEAD_PROBE; i++) {
		uint64_t *slot = &g->led[(local + i) % VCR_LEAD_PORTS], is = vcr_load(slot);
		if (is && (is & VCR_LED_KEY) == key && __atomic_compare_exchange_n(slot, &is, word, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return;
		if (!is && !free_slot)
			free_slot = slot;
	}
	uint64_t none = 0;
	if (!free_slot || !__atomic_compare_exchange_n(free_slot, &none, word, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		vcr_store(&g->led[local % VCR_LEAD_PORTS], word);
}

/* The word of a connection that had that port before, and never said anything. */
static void unsay(struct vcr_lead_block *g, uint64_t key)
{
	for (unsigned i = 0; i < VCR_LEAD_PROBE; i++) {
		uint64_t *slot = &g->led[((key & VCR_LED_PORT_MASK) + i) % VCR_LEAD_PORTS], is = vcr_load(slot);
		if (is && (is & VCR_LED_KEY) == key)
			__atomic_compare_exchange_n(slot, &is, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	}
}

/* The same without a name: the slot is taken, filled, and said to be known. */
static void say_alone(struct vcr_lead_block *g, int fd, bool v6, const struct place *p)
{
	unsigned local = local_port(fd);
	uint32_t key = local | (v6 ? (uint32_t)VCR_LED_V6 : 0);
	struct vcr_lead_address *slot = NULL;
	for (unsigned i = 0; local && !slot && i < VCR_LEAD_PROBE; i++) {
		struct vcr_lead_address *at = &g->address[(local + i) % VCR_LEAD_ADDRESSES];
		uint32_t is = vcr_load(&at->key);
		if ((!is || is == (key | VCR_LED_KNOWN)) && __atomic_compare_exchange_n(&at->key, &is, key, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			slot = at;
	}
	if (!local)
		return;
	if (!slot)
		vcr_store(&(slot = &g->address[local % VCR_LEAD_ADDRESSES])->key, key);
	slot->pid = raw_getpid();
	slot->port = p->port;
	slot->alone = 1;
	memcpy(slot->ip, p->ip, sizeof slot->ip);
	vcr_store(&slot->key, key | VCR_LED_KNOWN);
	unsay(g, key);
}

static void remember(int fd, const struct goal *o)
{
	if (vcr_guest())
		return;
	if (vcr_fd_get(fd) == VCR_FD_PLAIN)
		vcr_fd_closed(fd);
	if (o->maybe)
		vcr_store(&vcr_may_speak, raw_getpid());
	else
		vcr_stand_spoke();
	vcr_fd_set(fd, VCR_FD_LED);
	if (o->proxy)
		vcr_store(&met_proxy, 1);
	else if (o->named)
		vcr_store(&met[o->index], 1);
	else
		vcr_store(&met_address, 1);
}

static int option(int fd, int level, int what)
{
	int value = 0;
	socklen_t n = sizeof value;
	return vcr_self.sandboxed || vcr_call6(SYS_getsockopt, fd, level, what, (long)&value, (long)&n, 0) ? -1 : value;
}

/* A connect on loopback is decided before it returns, even one that does not wait, unless the machine is busy. Has this one failed after all? */
static bool has_failed(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	struct timespec most = { .tv_nsec = DECIDED_MS * 1000000 };
	return !vcr_self.sandboxed && vcr_call6(SYS_ppoll, (long)&p, 1, (long)&most, 0, 0, 0) == 1 && p.revents & (POLLERR | POLLHUP);
}

static int connect_gate(struct vcr_lead_block *g, int fd, const struct place *p, struct goal *o)
{
	in_port_t port = htons((uint16_t)vcr_load(&g->port));
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	bool only6 = p->v6 && option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1;
	if (p->v6 && !only6) {
		memcpy(&v6.sin6_addr, mapped, sizeof mapped);
		memcpy((uint8_t *)&v6.sin6_addr + 12, &v4.sin_addr, 4);
	}
	if (o->index < 0 && !o->alone)
		o->index = vcr_lead_index(g, o->name);
	if (!is_replay(g) && !vcr_guest()) {
		vcr_say_process(vcr_spool_mapped()); /* before the gate speaks of it */
		if (!o->maybe) {
			vcr_want_collector(); /* a program whose file calls nobody sees has its base from here on */
			vcr_wait_base();
		}
	}
	const struct sockaddr *to = p->v6 ? (void *)&v6 : (void *)&v4;
	socklen_t n = p->v6 ? sizeof v6 : sizeof v4;
	int r = VCR_REAL(connect)(fd, to, n), saved = errno;
	if (r && saved == EINPROGRESS && !is_replay(g) && has_failed(fd)) {
		r = VCR_REAL(connect)(fd, to, n); /* says how, and makes it a socket that can be connected */
		saved = errno;
	}
	if (r == 0 || saved == EINPROGRESS || saved == EINTR) {
		if (o->alone)
			say_alone(g, fd, only6, p);
		else
			vcr_lead_say(g, fd, only6, o->index, o->proxy, p->port);
		remember(fd, o);
	}
	errno = saved;
	return r;
}

/* What a connect to the host itself would say, if that can be known; else 0. A proxy of the user's says so in its own words. */
static int refusal(struct vcr_lead_block *g, int fd, const struct place *p, struct goal *o)
{
	if (is_replay(g) || is_late(g) || o->proxy || o->maybe || vcr_self.sandboxed || vcr_guest())
		return 0;
	if (o->index < 0)
		o->index = vcr_lead_index(g, o->name);
	bool waits = !(vcr_call3(SYS_fcntl, fd, F_GETFL, 0) & O_NONBLOCK);
	int error = o->index < 0 ? 0 : vcr_ask(g, o->index, o->name, p->port, waits ? VCR_ASK_CONNECT : VCR_ASK_CONNECT_SOON);
	return error > 0 ? error : 0;
}

/* The name's own address after all. It is asked for here and now, which a vfork child must not do. */
static int connect_real(int fd, const struct place *p, const struct goal *o)
{
	struct addrinfo hints = { .ai_family = p->v6 ? AF_INET6 : AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_V4MAPPED }, *found = NULL;
	char port[8];
	vcr_format_number(port, p->port, 1);
	if (vcr_guest() || vcr_self.sandboxed || VCR_REAL(getaddrinfo)(o->name, port, &hints, &found) || !found) {
		errno = ECONNREFUSED;
		return -1;
	}
	int r = VCR_REAL(connect)(fd, found->ai_addr, found->ai_addrlen), saved = errno;
	freeaddrinfo(found);
	errno = saved;
	return r;
}

enum vcr_lead_way vcr_lead_connect(int fd, const struct sockaddr *a, socklen_t n, int *r)
{
	struct vcr_lead_block *g = vcr_lead();
	struct place p;
	struct goal o;
	*r = -1;
	if (!vcr_ready() || !g || !parse(a, n, &p))
		return VCR_LEAD_OWN_WAY;
	bool replay = is_replay(g);
	int type = option(fd, SOL_SOCKET, SO_TYPE);
	if (is_loopback(&p) && p.port == vcr_load(&g->port) && !vcr_guest()) /* it takes the gate for its proxy */
		vcr_stand_spoke();
	if (find_goal(g, &p, &o) && (o.named || type == SOCK_STREAM || type < 0)) {
		if (type >= 0 && type != SOCK_STREAM) {
			errno = ECONNREFUSED; /* HTTP/3: the program falls back to TCP */
			return VCR_LEAD_ANSWERED;
		}
		if (o.fits && !o.alone && is_late(g) && vcr_lead_open(g))
			o.fits = vcr_late_try(g, o.name, p.port);
		bool bound = o.fits && option(fd, SOL_SOCKET, SO_BINDTOIFINDEX) > 0; /* the gate is not reached by that interface */
		bool open = o.fits && !bound && vcr_lead_open(g);
		int refused = open ? refusal(g, fd, &p, &o) : 0;
		if (refused) {
			errno = refused;
			return VCR_LEAD_ANSWERED;
		}
		if (open) {
			*r = connect_gate(g, fd, &p, &o);
			if (replay || *r >= 0 || errno != ECONNREFUSED)
				return VCR_LEAD_ANSWERED;
			/* it ended this moment */
		}
		if (replay) {
			refuse(VCR_REFUSED_TCP, ECONNREFUSED, &p);
			return VCR_LEAD_ANSWERED;
		}
		if (o.fits)
			say_direct(g, bound ? bound_to : ended, o.name, p.port);
		if (!o.named)
			return VCR_LEAD_OWN_WAY;
		*r = connect_real(fd, &p, &o);
		return VCR_LEAD_CONNECTED;
	}
	return replay && vcr_lead_refuses(fd, a, n) ? VCR_LEAD_ANSWERED : VCR_LEAD_OWN_WAY;
}

bool vcr_lead_refuses(int fd, const struct sockaddr *a, socklen_t n)
{
	struct place p;
	char ip[INET6_ADDRSTRLEN];
	if (!vcr_lead_replays() || !parse(a, n, &p))
		return false;
	bool stream = option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM;
	address_text(&p, ip);
	const struct proxy *proxy = is_loopback(&p) ? proxy_at(ip, p.port) : NULL;
	if (is_loopback(&p) && p.port != PORT_DNS && !(proxy && !proxy->http))
		return false;
	refuse(stream ? VCR_REFUSED_TCP : VCR_REFUSED_DATAGRAM, ENETUNREACH, &p);
	return true;
}

bool vcr_lead_mutes(int fd, const char *server)
{
	struct vcr_lead_block *g = vcr_lead();
	char name[VCR_LEAD_NAME], is[VCR_LEAD_NAME];
	if (!g || fd >= 0 || vcr_load(&g->state) != VCR_LEAD_READY)
		return vcr_fd_get(fd) == VCR_FD_LED;
	if (!plain_name(server, name))
		return vcr_load(&met_address);
	if (vcr_load(&met_proxy) && listed(g, name, 0))
		return true;
	for (size_t i = 0; i < VCR_LEAD_NAMES; i++)
		if (vcr_load(&met[i]) && vcr_lead_name_at(g, i, is) && !strcmp(is, name))
			return true;
	return vcr_load(&met_address) && vcr_lead_is_local_name(name);
}
