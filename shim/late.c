/* late.c — to the gate in the midst of a run. A program whose TLS with a model is heard by no hook (unheard.c) can be recorded by the gate alone, and nobody knew
 * that before it spoke. From then on its connections to that host are led, by name or, if it has a resolver of its own, by the address that it used.
 *
 * But only if it trusts the gate: what it believes in, it has read by then. So a bundle of certificates that it opens from now on is lent with the gate's behind
 * those that it has; who reads one makes a client of it, and before that nothing is led. libssl and libcrypto in libraries do not count: those are heard.
 * One connection is tried: the gate says in the table whether its certificate was accepted, and the others are led if it was. A client that refuses it all
 * the same has lost that one, and the host is left alone from there on.
 *
 * The table is the session's (spool-format.h): a program that is started again has its bundles lent from the beginning.
 *
 * gRPC makes one connection and keeps it, to an address that a resolver of its own has found. Its roots are read before, by itself or on its behalf: from then on the library that lies
 * beside them is led, wherever it connects to a port that a model may have; whose the place is, the gate hears. In a replay, where no name server can be asked, a
 * library that reads /etc/hosts by itself finds the models' hosts in it (hosts.c). */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <link.h>
#include "shim.h"

enum { HEAD = 4000, WORD = 32 /* longer than those that are looked for */, MOST_WORDS = 64 << 10, MOST_BUNDLE = 8 << 20, USED = 16, MODULES = 4, ROOTS = 512, PORT_TLS = 443 };

__thread const void *vcr_caller;
VCR_HOT uint32_t vcr_late_lends; /* what is opened for reading may be lent */
VCR_HOT struct vcr_late_named vcr_late_named;
static uint32_t begun;         /* TLS that no hook hears was seen in this process or one that forked it */

/* ---- The table ---- */

static uint32_t program_hash(void)
{
	static uint32_t known;
	uint32_t h = vcr_load(&known);
	struct vcr_scratch *s = h ? NULL : vcr_scratch_take();
	long n = s ? raw_readlink("/proc/self/exe", s->a, sizeof s->a) : 0;
	if (n > 0)
		vcr_store(&known, h = vcr_crc(~0u, s->a, (size_t)n) | 1);
	if (s)
		vcr_scratch_give(s);
	return h;
}

static bool is_mine(uint64_t word)
{
	return word & VCR_LATE_SET && (uint32_t)word == program_hash();
}

#define WITHOUT_FLAGS(word) ((word) & ~(VCR_LATE_REFUSED | VCR_LATE_TRIED | VCR_LATE_TRUSTED))

/* The word that says so now; 0: none. */
static uint64_t add(struct vcr_lead_block *g, const char *name, unsigned port, uint64_t flags)
{
	if (vcr_load(&g->late[VCR_LEAD_LATE - 1]))
		return 0; /* full, and a name that is put into the other table stays there */
	int index = vcr_lead_index(g, name);
	uint64_t word = program_hash() | (uint64_t)index << VCR_LATE_NAME_SHIFT | (uint64_t)port << VCR_LATE_PORT_SHIFT | VCR_LATE_SET;
	for (int i = 0; index >= 0 && (uint32_t)word && i < VCR_LEAD_LATE; i++) {
		uint64_t is = 0;
		if (__atomic_compare_exchange_n(&g->late[i], &is, word | flags, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return word | flags;
		if (WITHOUT_FLAGS(is) == word)
			return is;
	}
	return 0;
}

/* Whose the addresses are that this process has used: where a hook hears that host after all, its address is not led either. */
static struct { uint32_t taken, place; char name[VCR_LEAD_NAME]; } used[USED];

static uint32_t place_hash(const char *ip, unsigned port)
{
	return vcr_crc(~port, ip, strlen(ip));
}

static void use(const char *name, const char *ip, unsigned port)
{
	uint32_t place = place_hash(ip, port);
	for (int i = 0; i < USED; i++) {
		uint32_t none = 0;
		if (vcr_load(&used[i].taken) == 2 && used[i].place == place && !strcmp(used[i].name, name))
			return;
		if (!__atomic_compare_exchange_n(&used[i].taken, &none, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		used[i].place = place;
		memcpy(used[i].name, name, strlen(name) + 1);
		vcr_store(&used[i].taken, 2);
		return;
	}
}

static bool is_heard(const char *name, unsigned port)
{
	uint32_t place = place_hash(name, port);
	for (int i = 0; i < USED && vcr_load(&used[i].taken) == 2; i++)
		if (used[i].place == place && vcr_unheard_is_heard(used[i].name))
			return true;
	return vcr_unheard_is_heard(name);
}

/* The word about that place, if it may be led there; NULL: none. */
static const uint64_t *find(const struct vcr_lead_block *g, const char *name, unsigned port)
{
	char is[VCR_LEAD_NAME];
	if (!vcr_self.late || is_heard(name, port) || (!vcr_load(&begun) && vcr_tap_has_openssl()))
		return NULL;
	for (int i = 0; i < VCR_LEAD_LATE; i++) {
		uint64_t word = vcr_load(&g->late[i]);
		unsigned only = word >> VCR_LATE_PORT_SHIFT & VCR_LED_PORT_MASK;
		if (!word)
			return NULL;
		if (is_mine(word) && !(word & VCR_LATE_REFUSED) && (!port || only == port) && vcr_lead_name_at(g, word >> VCR_LATE_NAME_SHIFT & VCR_LED_NAME_MASK, is) && !strcmp(is, name))
			return &g->late[i];
	}
	return NULL;
}

bool vcr_late_leads(const struct vcr_lead_block *g, const char *name, unsigned port)
{
	const uint64_t *at = find(g, name, port);
	uint64_t word = at ? vcr_load(at) : 0;
	return at && (word & VCR_LATE_TRUSTED || !(word & VCR_LATE_TRIED));
}

/* Where an OpenSSL is heard in this process too, its contexts may be older than the gate: only the library whose TLS is not heard is led. */
static const void *modules[MODULES];

static const void *module_of(const void *caller)
{
	Dl_info info;
	return caller && dladdr(caller, &info) ? info.dli_fbase : NULL;
}

static void add_module(const void *caller)
{
	const void *m = module_of(caller);
	for (int i = 0; m && i < MODULES; i++) {
		const void *none = NULL;
		if (__atomic_compare_exchange_n(&modules[i], &none, m, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED) || none == m)
			return;
	}
}

static bool is_deaf(const void *caller)
{
	const void *m = module_of(caller);
	for (int i = 0; m && i < MODULES; i++)
		if (vcr_load(&modules[i]) == m)
			return true;
	return false;
}

bool vcr_late_try(struct vcr_lead_block *g, const char *name, unsigned port)
{
	uint64_t *at = (uint64_t *)find(g, name, port), word = at ? vcr_load(at) : 0;
	if (at && vcr_tap_has_openssl() && !is_deaf(vcr_caller))
		return false;
	if (!at || word & VCR_LATE_TRUSTED)
		return at;
	return !(__atomic_fetch_or(at, VCR_LATE_TRIED, __ATOMIC_ACQ_REL) & (VCR_LATE_TRIED | VCR_LATE_REFUSED));
}

/* ---- Beginning ---- */

unsigned vcr_late_peer(int fd, char ip[INET6_ADDRSTRLEN])
{
	union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } a;
	socklen_t n = sizeof a;
	if (vcr_self.sandboxed || vcr_call3(SYS_getpeername, fd, (long)&a, (long)&n))
		return 0;
	if (a.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr))
		return inet_ntop(AF_INET, (char *)&a.v6.sin6_addr + 12, ip, INET6_ADDRSTRLEN) ? ntohs(a.v6.sin6_port) : 0;
	if (a.any.sa_family == AF_INET6)
		return inet_ntop(AF_INET6, &a.v6.sin6_addr, ip, INET6_ADDRSTRLEN) ? ntohs(a.v6.sin6_port) : 0;
	return a.any.sa_family == AF_INET && inet_ntop(AF_INET, &a.v4.sin_addr, ip, INET6_ADDRSTRLEN) ? ntohs(a.v4.sin_port) : 0;
}

void vcr_late_learn(const char *name, const char *ip, unsigned port)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	if (!h || !port)
		return;
	use(name, ip, port);
	add(&h->gate, name, port, 0);
	add(&h->gate, ip, port, 0);
}

static void lends(uint32_t what)
{
	__atomic_fetch_or(&vcr_late_lends, what, __ATOMIC_ACQ_REL);
}

bool vcr_late_begin(const char *name, const char *ip, unsigned port, const void *caller)
{
	if (!port || vcr_self.sandboxed || vcr_guest() || !vcr_gate_late())
		return false;
	vcr_late_learn(name, ip, port);
	add_module(caller);
	vcr_store(&begun, 1);
	lends(VCR_LENDS_BUNDLES);
	return true;
}

/* ---- gRPC ---- */

static char roots[ROOTS];      /* that gRPC has read; "" none */

static bool is_grpc_roots(const char *path)
{
	const char *value = vcr_env_get(environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"), *slash = strrchr(path, '/');
	return (value && !strcmp(value, path)) || (slash && !strcmp(slash, "/roots.pem") && strstr(path, "/grpc/"));
}

/* Is that a library in a directory of gRPC's that the roots are in or below? */
static bool is_beside(const char *library, const char *path)
{
	const char *slash = library ? strrchr(library, '/') : NULL;
	size_t n = slash ? (size_t)(slash + 1 - library) : 0;
	return n && !strncmp(library, path, n) && memmem(path, n, "/grpc/", 6);
}

static bool lies_beside(const void *caller)
{
	Dl_info info;
	return *roots && caller && dladdr(caller, &info) && is_beside(info.dli_fname, roots);
}

/* Python reads them on its behalf. */
static bool is_loaded_beside(const char *path)
{
	Dl_info info;
	struct link_map *map = NULL;
	if (!dladdr1(&vcr_self, &info, (void **)&map, RTLD_DL_LINKMAP))
		return false;
	while (map && map->l_prev)
		map = map->l_prev;
	while (map && !is_beside(map->l_name, path))
		map = map->l_next;
	return map;
}

/* A library that reads them itself is of gRPC, or beside them: any other, libuv say, reads all files of its program. */
static bool is_its_library(const char *path, const void *caller)
{
	Dl_info info;
	return vcr_library_of(caller) && dladdr(caller, &info) && info.dli_fname && (is_beside(info.dli_fname, path) || strstr(info.dli_fname, "grpc"));
}

/* True: its connections are led from here on. */
static bool begin_grpc(const char *path, const void *caller)
{
	size_t n = strnlen(path, ROOTS);
	bool itself = is_its_library(path, caller);
	if (!itself && (vcr_library_of(caller) || !is_loaded_beside(path)))
		return false; /* whoever copies them, say, gets them as they are */
	vcr_gate_wanted();
	struct vcr_lead_block *g = vcr_lead();
	bool all = g && !(vcr_load(&g->flags) & VCR_LEAD_UNTAPPED);
	if (n == ROOTS || (!all && !vcr_gate_late()))
		return false;
	memcpy(roots, path, n + 1);
	if (itself)
		add_module(caller);
	vcr_store(&begun, 1);
	return true;
}

/* A port that a model may have: that of TLS, or one that is listed with a host. */
static bool is_likely(const struct vcr_lead_block *g, unsigned port)
{
	char text[12] = ":";
	vcr_format_number(text + 1, port, 1);
	for (size_t at = 0, n, k = strlen(text); at < VCR_LEAD_HOSTS && (n = strnlen(g->hosts + at, VCR_LEAD_HOSTS - at)); at += n + 1)
		if (n > k && !memcmp(g->hosts + at + n - k, text, k))
			return true;
	return port == PORT_TLS;
}

/* Of a place that is not in the table: where the tap is the rule, what find() asks besides. */
static bool may_go(const struct vcr_lead_block *g, const char *ip, unsigned port)
{
	return !(vcr_load(&g->flags) & VCR_LEAD_UNTAPPED) || vcr_self.untapped || (vcr_self.late && !is_heard(ip, port));
}

bool vcr_late_meets(struct vcr_lead_block *g, const char *ip, unsigned port, bool *alone)
{
	if (vcr_likely(!*roots) || vcr_guest() || vcr_self.sandboxed || !(is_deaf(vcr_caller) || lies_beside(vcr_caller)) || !vcr_lead_open(g) || !is_likely(g, port))
		return false;
	uint64_t word = add(g, ip, port, VCR_LATE_TRUSTED);
	add_module(vcr_caller);
	*alone = !word; /* who refuses the certificate there is remembered by the gate */
	return word ? !(word & VCR_LATE_REFUSED) : may_go(g, ip, port);
}

void vcr_late_program(const struct vcr_lead_block *g)
{
	bool known = false;
	for (int i = 0; i < VCR_LEAD_LATE && vcr_load(&g->late[i]); i++)
		known = known || (is_mine(vcr_load(&g->late[i])) && !(vcr_load(&g->late[i]) & VCR_LATE_REFUSED));
	lends((known ? VCR_LENDS_BUNDLES : 0) | (vcr_load(&g->flags) & VCR_LEAD_REPLAY ? VCR_LENDS_HOSTS : 0));
}

/* ---- Bundles ---- */

static bool is_bundle(const char *path)
{
	static const char *const usual[] = { "cacert.pem", "ca-certificates.crt", "ca-bundle.crt", "ca-bundle.pem", "ca-bundle.trust.crt", "tls-ca-bundle.pem", "roots.pem" };
	static const char *const variable[] = { "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH" };
	static const char *const words[] = { "pem", "crt", "cert", "ca", "root", "bundle" }; /* one of which the name has: others are not looked for in variables */
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *value;
	size_t word = 0;
	while (word < sizeof words / sizeof *words && !strstr(name, words[word]))
		word++;
	if (word == sizeof words / sizeof *words)
		return false;
	for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
		if (!strcmp(name, usual[i]))
			return true;
	for (size_t i = 0; i < sizeof variable / sizeof *variable; i++)
		if ((value = vcr_env_get(environ, variable[i])) && !strcmp(value, path))
			return true;
	return false;
}

/* An OpenSSL that hooks hear. */
static bool is_heard_library(const void *caller)
{
	Dl_info info;
	const char *slash = caller && dladdr(caller, &info) && info.dli_fname ? strrchr(info.dli_fname, '/') : NULL;
	return slash && (!strncmp(slash + 1, "libcrypto", 9) || !strncmp(slash + 1, "libssl", 6));
}

/* What stands before the first, in words, may be long: grpcio's is 6 KB. */
static bool has_certificates(int fd, char text[HEAD + 1])
{
	for (uint64_t at = 0, n; at < MOST_WORDS && (n = (uint64_t)raw_pread(fd, text, HEAD, at)) > 0 && n <= HEAD; at += HEAD - WORD) {
		text[n] = 0;
		if (strstr(text, "PRIVATE KEY"))
			return false;
		if (strstr(text, "-----BEGIN CERTIFICATE-----"))
			return true;
	}
	return false;
}

/* All of it. Beyond RLIMIT_FSIZE a file of memory too is a SIGXFSZ. */
static bool copy_all(int to, int from, uint64_t *size)
{
	struct stat st;
	struct rlimit limit;
	if (raw_fstat(from, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > MOST_BUNDLE || vcr_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit))
		return false;
	off_t at = 0;
	if ((*size += (uint64_t)st.st_size) >= limit.rlim_cur)
		return false;
	while (at < st.st_size)
		if (vcr_call4(SYS_sendfile, to, from, (long)&at, st.st_size - at) <= 0)
			return false;
	return true;
}

/* A file without a name: what `from` has, then the gate's certificate. Its descriptor, for reading; negative if it cannot be had. */
static int with_ours(int from, const char *ours, int flags)
{
	char path[40];
	uint64_t size = 1;
	int to = (int)vcr_call3(SYS_memfd_create, (long)"certificates", 1 /* MFD_CLOEXEC */, 0), ca = raw_open(ours, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0), r = -1;
	vcr_format_number(vcr_format(path, "/proc/self/fd/"), (uint64_t)(to > 0 ? to : 0), 1);
	if (to >= 0 && ca >= 0 && copy_all(to, from, &size) && vcr_call3(SYS_write, to, (long)"\n", 1) == 1 && copy_all(to, ca, &size))
		r = raw_open(path, O_RDONLY | (flags & O_CLOEXEC), 0);
	if (ca >= 0)
		raw_close(ca);
	if (to >= 0)
		raw_close(to);
	return r;
}

/* Takes the place of the file that was opened; whoever has its number reads on in the other. */
static bool lend(int fd, const char *ours)
{
	int flags = (int)vcr_call3(SYS_fcntl, fd, F_GETFD, 0), other = flags < 0 ? -1 : with_ours(fd, ours, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
	if (other < 0)
		return false;
	bool done = vcr_call3(SYS_dup3, other, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) == fd;
	raw_close(other);
	return done;
}

void vcr_late_opened(int fd, const char *path, const void *caller)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	char ca[VCR_LEAD_PATH];
	int saved = errno;
	uint32_t what = vcr_load(&vcr_late_lends);
	if (vcr_self.sandboxed || vcr_guest())
		return;
	bool hosts = h && what & VCR_LENDS_HOSTS && vcr_hosts_opened(fd, path, caller);
	/* In this order: whose code the caller is costs most, and in a replay all that is opened comes by here. */
	bool mine = !hosts && is_bundle(path) && !is_heard_library(caller) && ((is_grpc_roots(path) && begin_grpc(path, caller)) || what & VCR_LENDS_BUNDLES);
	if (!mine || !(h = vcr_spool_mapped())) {
		errno = saved;
		return;
	}
	struct vcr_scratch *s = vcr_scratch_take();
	bool fits = s && has_certificates(fd, s->a);
	if (s)
		vcr_scratch_give(s);
	if (fits && vcr_lead_open(&h->gate)) {
		memcpy(ca, h->gate.ca, sizeof ca);
		ca[sizeof ca - 1] = 0;
		if (*ca == '/' && lend(fd, ca))
			vcr_self.late = true;
	}
	errno = saved;
}
