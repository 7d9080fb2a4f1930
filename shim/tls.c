/* tls.c — plaintext of OpenSSL in a shared library, taken where the program hands it over or gets it.
 *
 * The original is looked up in the caller's scope too: Python's _ssl is loaded RTLD_LOCAL, so the global scope that RTLD_NEXT searches
 * does not know its libssl. libssl's own references come here too (and jumps from one entry to another, whose return address is
 * then in this library): such inner calls are told by where they come from, forwarded and not recorded, so that no guard has to be
 * held while the application's callbacks run. */
#include <dlfcn.h>
#include <link.h>
#include "tls.h"

/* ---- which library ---- */

enum { MOST_LIBRARIES = 8, SITES = 1024 };

static struct vcr_tls_library libraries[MOST_LIBRARIES];

/* Call sites that were seen: (return address, hook) → original. */
struct site {
	uintptr_t key;      /* return address xor hook << 48; 0 free, 1 being written */
	struct vcr_tls_way way;
};
static struct site sites[SITES];
static __thread void *last_original; /* of this thread's newest call: whence an inner jump comes */

static void *base_of(const void *address)
{
	Dl_info info;
	return address && dladdr(address, &info) ? info.dli_fbase : NULL;
}

static void *symbol_in(struct link_map *map, const char *name)
{
	void *handle = *map->l_name ? dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
	void *p = handle ? dlsym(handle, name) : NULL;
	if (handle)
		dlclose(handle); /* it stays: somebody calls from it */
	return p && base_of(p) != base_of(&vcr_self) ? p : NULL;
}

static struct link_map *map_of(const void *address)
{
	Dl_info info;
	struct link_map *map = NULL;
	return address && dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP) ? map : NULL;
}

/* The definer, when there is exactly one among everything that is loaded. */
static void *only_definer(const char *name)
{
	struct link_map *map = map_of(&vcr_self);
	void *found = NULL;
	while (map && map->l_prev)
		map = map->l_prev;
	for (; map; map = map->l_next) {
		const char *file = strrchr(map->l_name, '/');
		if (!file || strncmp(file, "/libssl", 7))
			continue;
		void *p = symbol_in(map, name);
		if (p && found && p != found)
			return NULL;
		found = p ? p : found;
	}
	return found;
}

/* Two libraries define it, one in the global scope and one in the caller's own. The loader takes the global one unless the caller asks
 * for a version that only its own has; whichever it took for SSL_new it has to be for all of them. */
static bool only_local_has_version(struct link_map *map, const char *name)
{
	static const char *const version[] = { "OPENSSL_3.0.0", "OPENSSL_1_1_0", "OPENSSL_1_1_1", "OPENSSL_3.2.0" };
	void *handle = dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD);
	bool found = false;
	for (size_t i = 0; handle && i < sizeof version / sizeof *version; i++)
		found |= dlvsym(handle, name, version[i]) && !dlvsym(RTLD_NEXT, name, version[i]);
	if (handle)
		dlclose(handle);
	return found;
}

static void *resolve_for(const char *name, const void *caller)
{
	void *own = base_of(&vcr_self);
	if (base_of(caller) == own)
		caller = last_original;
	struct link_map *map = map_of(caller);
	void *local = map ? symbol_in(map, name) : NULL, *global = dlsym(RTLD_NEXT, name);
	if (global && base_of(global) == own)
		global = NULL;
	if (local && global && local != global)
		return vcr_deep_is(map->l_addr) || only_local_has_version(map, name) ? local : global;
	return local ? local : global ? global : only_definer(name);
}

static struct vcr_tls_library *library_of(void *original)
{
	void *base = base_of(original);
	struct link_map *map = map_of(original);
	for (int i = 0; i < MOST_LIBRARIES; i++) {
		struct vcr_tls_library *l = &libraries[i];
		void *none = NULL;
		if (vcr_load(&l->base) == base)
			return l;
		if (!map || !__atomic_compare_exchange_n(&l->base, &none, base, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			continue;
		bool main = !*map->l_name;
		l->server_name = (const char *(*)(const SSL *, int))(main ? dlsym(RTLD_DEFAULT, "SSL_get_servername") : symbol_in(map, "SSL_get_servername"));
		l->get_fd = (int (*)(const SSL *))(main ? dlsym(RTLD_DEFAULT, "SSL_get_fd") : symbol_in(map, "SSL_get_fd"));
		l->is_server = (int (*)(const SSL *))(main ? dlsym(RTLD_DEFAULT, "SSL_is_server") : symbol_in(map, "SSL_is_server"));
		l->is_finished = (int (*)(const SSL *))(main ? dlsym(RTLD_DEFAULT, "SSL_is_init_finished") : symbol_in(map, "SSL_is_init_finished"));
		vcr_store(&l->get_error, (int (*)(const SSL *, int))(main ? dlsym(RTLD_DEFAULT, "SSL_get_error") : symbol_in(map, "SSL_get_error")));
		return l;
	}
	return NULL;
}

static struct vcr_tls_way resolve_way(const char *name, const void *caller)
{
	int saved = errno;
	struct vcr_tls_way w = { .original = resolve_for(name, caller) };
	bool inner = !w.original || base_of(caller) == base_of(w.original) || base_of(caller) == base_of(&vcr_self);
	w.library = inner ? NULL : library_of(w.original);
	errno = saved;
	return w;
}

/* The original for this call, and whether it is to be recorded. */
static struct vcr_tls_way find(enum vcr_hook hook, const char *name, const void *caller)
{
	uintptr_t key = (uintptr_t)caller ^ (uintptr_t)(hook + 1) << 48;
	struct vcr_tls_way now;
	for (size_t i = 0, at = (key >> 2 ^ key >> 48) * 0x9e3779b1u % SITES; i < 16; i++, at = (at + 1) % SITES) {
		struct site *s = &sites[at];
		uintptr_t is = vcr_load(&s->key), none = 0;
		if (vcr_likely(is == key))
			return s->way;
		if (is || base_of(caller) == base_of(&vcr_self))
			continue; /* jumps inside change with last_original: not kept */
		if (!__atomic_compare_exchange_n(&s->key, &none, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			continue;
		s->way = now = resolve_way(name, caller);
		vcr_store(&s->key, now.original ? key : 2); /* 2: wasted, nothing was found */
		return now;
	}
	return resolve_way(name, caller);
}

void *vcr_tls_original(enum vcr_hook hook, const char *name, const void *caller, bool *inner)
{
	struct vcr_tls_way w = find(hook, name, caller);
	*inner = !w.library;
	return last_original = w.original;
}

void *vcr_tls_beside(void *original, const char *name)
{
	struct link_map *map = map_of(original);
	return !map ? NULL : *map->l_name ? symbol_in(map, name) : dlsym(RTLD_DEFAULT, name);
}

/* ---- which connection ---- */

enum { CONNECTIONS = 8192, PROBE = 32, WAITS = 2000, WAIT_NS = 50000 };
struct connection {
	SSL *ssl;           /* NULL free */
	uint32_t conn;      /* 0: not to be recorded */
	int32_t pid, fd;    /* pid, which is set last: whose the other fields are */
	uint64_t beginner;  /* pid and thread that is filling them in; 0: nobody */
	bool ended;
};
static struct connection connections[CONNECTIONS];

static size_t slot_of(const SSL *ssl)
{
	return (size_t)(((uintptr_t)ssl >> 4) * 0x9e3779b97f4a7c15u >> 40) % CONNECTIONS;
}

static struct connection *known(const SSL *ssl)
{
	for (size_t i = 0, at = slot_of(ssl); i < PROBE; i++, at = (at + 1) % CONNECTIONS)
		if (__atomic_load_n(&connections[at].ssl, __ATOMIC_RELAXED) == ssl)
			return &connections[at];
	return NULL;
}

/* A slot; another thread's, when that was faster with the same object (one may read while another writes). */
static struct connection *claim(SSL *ssl)
{
	for (size_t i = 0, at = slot_of(ssl); i < PROBE; i++, at = (at + 1) % CONNECTIONS) {
		SSL *none = NULL;
		if (__atomic_compare_exchange_n(&connections[at].ssl, &none, ssl, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED) || none == ssl)
			return &connections[at];
	}
	return NULL;
}

static bool is_begun(const struct connection *c)
{
	return __atomic_load_n(&c->pid, __ATOMIC_ACQUIRE) == vcr_self.pid;
}

static void fill_in(SSL *ssl, const struct vcr_tls_library *lib, struct connection *c)
{
	const char *name = lib->server_name ? lib->server_name(ssl, 0) : NULL;
	c->fd = lib->get_fd ? lib->get_fd(ssl) : -1;
	c->ended = false;
	c->conn = 0;
	if (name)
		vcr_unheard_claim(name);
	if (lib->is_server && lib->is_server(ssl))
		return; /* a server's side: the program is being asked, not asking */
	if (vcr_lead_mutes(c->fd, name ? name : ""))
		return;
	vcr_want_collector();
	c->conn = vcr_conn_open(VCR_CONN_TLS, c->fd, name ? name : "");
	if (!vcr_guest())
		vcr_fd_set(c->fd, VCR_FD_NONE);
}

/* The first use of an object by this process. Starting a collector takes a while, and the answer's reader may be a thread of its own: it waits, at
 * most 0.1 s, else its bytes would be lost. A signal handler inside our own beginning does not, nor is a thread waited for that a fork left behind. */
static bool begin(SSL *ssl, const struct vcr_tls_library *lib, struct connection *c)
{
	static uint32_t never;
	uint64_t me = (uint64_t)(uint32_t)vcr_self.pid << 32 | (uint32_t)raw_gettid(), at = __atomic_load_n(&c->beginner, __ATOMIC_ACQUIRE);
	for (int tries = 0; !is_begun(c); tries++) {
		if (at == me || tries == WAITS)
			return false;
		if (at >> 32 == me >> 32) {
			raw_wait(&never, 0, WAIT_NS);
			at = __atomic_load_n(&c->beginner, __ATOMIC_ACQUIRE);
			continue;
		}
		if (!__atomic_compare_exchange_n(&c->beginner, &at, me, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			continue;
		if (!is_begun(c))
			fill_in(ssl, lib, c);
		__atomic_store_n(&c->pid, vcr_self.pid, __ATOMIC_RELEASE);
		__atomic_store_n(&c->beginner, 0, __ATOMIC_RELEASE);
	}
	return true;
}

/* The connection's number if its bytes are wanted. In a vfork child too: the object is in the memory that it shares with its parent, as our table is. */
static struct connection *wanted(SSL *ssl, const struct vcr_tls_library *lib)
{
	if (!vcr_ready())
		return NULL;
	struct connection *c = known(ssl);
	if (!c && !(c = claim(ssl)))
		return NULL;
	if (vcr_unlikely(!is_begun(c)) && !begin(ssl, lib, c))
		return NULL;
	return c->conn && !vcr_muted(c->conn) ? c : NULL;
}

static void bytes(uint32_t type, SSL *ssl, const struct vcr_tls_library *lib, const void *p, size_t n, uint64_t time_ns)
{
	int saved = errno;
	struct connection *c = wanted(ssl, lib);
	if (c)
		vcr_append_bytes(type, c->conn, time_ns, p, n, type == VCR_REC_OUT ? VCR_RING : 0);
	errno = saved;
}

/* A read brought nothing: is the connection over? Most often it is only not the time yet. */
static void no_bytes(SSL *ssl, const struct vcr_tls_library *lib, int r)
{
	enum { ERROR_SSL = 1, ERROR_SYSCALL = 5, ERROR_ZERO_RETURN = 6 };
	struct connection *c = known(ssl);
	if (!c || !c->conn || c->ended || c->pid != vcr_self.pid || !lib->get_error)
		return;
	int saved = errno, why = lib->get_error(ssl, r);
	if (why == ERROR_ZERO_RETURN || why == ERROR_SYSCALL || why == ERROR_SSL) {
		c->ended = true;
		vcr_conn_closed(c->conn, why == ERROR_ZERO_RETURN ? 1 : saved ? saved : EPROTO);
	}
	errno = saved;
}

/* The object is freed or used for something new. */
static void forget(SSL *ssl)
{
	struct connection *c = known(ssl);
	if (!c)
		return;
	int saved = errno;
	if (c->conn && !c->ended && c->pid == vcr_self.pid && vcr_load(&vcr_self.ready) == 2)
		vcr_conn_closed(c->conn, 0);
	c->conn = 0;
	c->pid = 0;
	__atomic_store_n(&c->ssl, NULL, __ATOMIC_RELEASE);
	errno = saved;
}

/* ---- the observed calls ---- */

/* The original of a way, with the type of that function; remembered, since it may jump to another entry. */
#define ORIGINAL(name, way) ((__typeof__(&name))(last_original = (way).original))

int vcr_tls_read(struct vcr_tls_way w, SSL *ssl, void *buf, int n)
{
	int r = w.original ? ORIGINAL(SSL_read, w)(ssl, buf, n) : -1;
	if (!w.library)
		return r;
	if (r > 0)
		bytes(VCR_REC_IN, ssl, w.library, buf, (size_t)r, 0);
	else
		no_bytes(ssl, w.library, r);
	return r;
}

int vcr_tls_read_ex(struct vcr_tls_way w, SSL *ssl, void *buf, size_t n, size_t *got)
{
	int r = w.original ? ORIGINAL(SSL_read_ex, w)(ssl, buf, n, got) : 0;
	if (!w.library)
		return r;
	if (r > 0 && *got)
		bytes(VCR_REC_IN, ssl, w.library, buf, *got, 0);
	else if (r <= 0)
		no_bytes(ssl, w.library, r);
	return r;
}

int vcr_tls_read_early_data(struct vcr_tls_way w, SSL *ssl, void *buf, size_t n, size_t *got)
{
	int r = w.original ? ORIGINAL(SSL_read_early_data, w)(ssl, buf, n, got) : 0;
	if (w.library && r == 1 /* SSL_READ_EARLY_DATA_SUCCESS */ && *got)
		bytes(VCR_REC_IN, ssl, w.library, buf, *got, 0);
	return r;
}

/* A write that wants to be repeated has taken nothing yet: the repetition that succeeds is recorded, once. */
int vcr_tls_write(struct vcr_tls_way w, SSL *ssl, const void *buf, int n)
{
	uint64_t time_ns = w.library ? vcr_now() : 0;
	int r = w.original ? ORIGINAL(SSL_write, w)(ssl, buf, n) : -1;
	if (w.library && r > 0)
		bytes(VCR_REC_OUT, ssl, w.library, buf, (size_t)r, time_ns);
	return r;
}

int vcr_tls_write_ex(struct vcr_tls_way w, SSL *ssl, const void *buf, size_t n, size_t *put)
{
	uint64_t time_ns = w.library ? vcr_now() : 0;
	int r = w.original ? ORIGINAL(SSL_write_ex, w)(ssl, buf, n, put) : 0;
	if (w.library && r > 0 && *put)
		bytes(VCR_REC_OUT, ssl, w.library, buf, *put, time_ns);
	return r;
}

int vcr_tls_write_ex2(struct vcr_tls_way w, SSL *ssl, const void *buf, size_t n, uint64_t flags, size_t *put)
{
	uint64_t time_ns = w.library ? vcr_now() : 0;
	int r = w.original ? ORIGINAL(SSL_write_ex2, w)(ssl, buf, n, flags, put) : 0;
	if (w.library && r > 0 && *put)
		bytes(VCR_REC_OUT, ssl, w.library, buf, *put, time_ns);
	return r;
}

int vcr_tls_write_early_data(struct vcr_tls_way w, SSL *ssl, const void *buf, size_t n, size_t *put)
{
	uint64_t time_ns = w.library ? vcr_now() : 0;
	int r = w.original ? ORIGINAL(SSL_write_early_data, w)(ssl, buf, n, put) : 0;
	if (w.library && r > 0 && *put)
		bytes(VCR_REC_OUT, ssl, w.library, buf, *put, time_ns);
	return r;
}

static void file_bytes(SSL *ssl, const struct vcr_tls_library *lib, int fd, uint64_t at, size_t n, uint64_t time_ns)
{
	while (n && !vcr_self.sandboxed) {
		char part[4096];
		long got = raw_pread(fd, part, n < sizeof part ? n : sizeof part, at);
		if (got <= 0) {
			vcr_lost(n);
			return;
		}
		bytes(VCR_REC_OUT, ssl, lib, part, (size_t)got, time_ns);
		at += (uint64_t)got;
		n -= (size_t)got;
	}
}

ssize_t vcr_tls_sendfile(struct vcr_tls_way w, SSL *ssl, int fd, off_t at, size_t n, int flags)
{
	uint64_t time_ns = w.library ? vcr_now() : 0;
	ssize_t r = w.original ? ORIGINAL(SSL_sendfile, w)(ssl, fd, at, n, flags) : -1;
	if (w.library && r > 0)
		file_bytes(ssl, w.library, fd, (uint64_t)at, (size_t)r, time_ns);
	return r;
}

/* SSL_free drops one reference; the last one, or the caller's only one as a rule, ends the connection. A connection that goes on
 * with another reference gets a new number, which costs nothing but that. */
void vcr_tls_free(struct vcr_tls_way w, SSL *ssl)
{
	if (ssl && w.library)
		forget(ssl);
	if (w.original)
		ORIGINAL(SSL_free, w)(ssl);
}

int vcr_tls_clear(struct vcr_tls_way w, SSL *ssl)
{
	if (w.library)
		forget(ssl);
	return w.original ? ORIGINAL(SSL_clear, w)(ssl) : 0;
}

/* Another descriptor under an object that has spoken: a new connection. What goes through the descriptor is ciphertext. */
static void given_fd(SSL *ssl, int fd)
{
	struct connection *c = known(ssl);
	if (c && c->fd >= 0 && c->fd != fd)
		forget(ssl);
	if (vcr_fd_is_socket(vcr_fd_get(fd)) && !vcr_guest())
		vcr_fd_set(fd, VCR_FD_NONE);
}

int vcr_tls_set_fd(struct vcr_tls_way w, SSL *ssl, int fd)
{
	if (w.library)
		given_fd(ssl, fd);
	return w.original ? ORIGINAL(SSL_set_fd, w)(ssl, fd) : 0;
}

/* New BIOs before the handshake belong to a new connection; in the middle of one they only wrap it. */
void vcr_tls_set_bio(struct vcr_tls_way w, SSL *ssl, BIO *in, BIO *out)
{
	if (w.library && w.library->is_finished && known(ssl) && !w.library->is_finished(ssl))
		forget(ssl);
	if (w.original)
		ORIGINAL(SSL_set_bio, w)(ssl, in, out);
}

/* ---- hooks ---- */

#define WAY(name) find(VCR_HOOK_##name, #name, __builtin_return_address(0))

int SSL_read(SSL *ssl, void *buf, int n) { return vcr_tls_read(WAY(SSL_read), ssl, buf, n); }
int SSL_read_ex(SSL *ssl, void *buf, size_t n, size_t *got) { return vcr_tls_read_ex(WAY(SSL_read_ex), ssl, buf, n, got); }
int SSL_read_early_data(SSL *ssl, void *buf, size_t n, size_t *got) { return vcr_tls_read_early_data(WAY(SSL_read_early_data), ssl, buf, n, got); }
int SSL_write(SSL *ssl, const void *buf, int n) { return vcr_tls_write(WAY(SSL_write), ssl, buf, n); }
int SSL_write_ex(SSL *ssl, const void *buf, size_t n, size_t *put) { return vcr_tls_write_ex(WAY(SSL_write_ex), ssl, buf, n, put); }
int SSL_write_ex2(SSL *ssl, const void *buf, size_t n, uint64_t flags, size_t *put) { return vcr_tls_write_ex2(WAY(SSL_write_ex2), ssl, buf, n, flags, put); }
int SSL_write_early_data(SSL *ssl, const void *buf, size_t n, size_t *put)
{
	return vcr_tls_write_early_data(WAY(SSL_write_early_data), ssl, buf, n, put);
}
ssize_t SSL_sendfile(SSL *ssl, int fd, off_t at, size_t n, int flags) { return vcr_tls_sendfile(WAY(SSL_sendfile), ssl, fd, at, n, flags); }
void SSL_free(SSL *ssl) { vcr_tls_free(WAY(SSL_free), ssl); }
int SSL_clear(SSL *ssl) { return vcr_tls_clear(WAY(SSL_clear), ssl); }
int SSL_set_fd(SSL *ssl, int fd) { return vcr_tls_set_fd(WAY(SSL_set_fd), ssl, fd); }
int SSL_set_rfd(SSL *ssl, int fd) { return vcr_tls_set_fd(WAY(SSL_set_rfd), ssl, fd); }
int SSL_set_wfd(SSL *ssl, int fd) { return vcr_tls_set_fd(WAY(SSL_set_wfd), ssl, fd); }
void SSL_set_bio(SSL *ssl, BIO *in, BIO *out) { vcr_tls_set_bio(WAY(SSL_set_bio), ssl, in, out); }
