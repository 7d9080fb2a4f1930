/* tap.c — OpenSSL that is linked into the program itself (node, and whatever else exports it): its functions are called directly, no symbol is
 * looked up, so their beginnings are changed to jump here (patch.h). Done once, before main and before the program has threads; done for all
 * functions or for none. No page is writable and executable at any time, and none of the program's ever loses its right to be executed: a page
 * is copied, changed and put in the place of the old one in one step. Calls that OpenSSL makes inside a tapped function are told by where they
 * come back to.
 *
 * If it cannot be done the program runs as it is, and that is said when it first speaks TLS. */
#include <link.h>
#include <sys/auxv.h>
#include "patch.h"
#include "tls.h"

enum { PAGE = 4096, MOST_SEGMENTS = 64 };

enum tap {
#define X(name) TAP_##name,
	VCR_HOOKS_TLS(X)
#undef X
	TAPS
};

/* A function of the program that comes here, and the way to it. */
struct tapped { uintptr_t begin, end; void *original; };
static struct tapped tapped[TAPS];
_Static_assert((int)TAPS * (int)VCR_PATCH_SLOT <= (int)PAGE, "slots fit in their page");
static struct vcr_tls_library program; /* the program's OpenSSL */
static bool taps;                      /* all are in place */
static char unseen[200];               /* why there are none, if there should be */
static uint32_t unseen_said;
static bool has_openssl;               /* a hook saw a context being made: TLS that passes may be its */

/* ---- the hooks' twins ---- */

extern const char __ehdr_start[] __attribute__((visibility("hidden"))), _end[] __attribute__((visibility("hidden"))); /* this library, from the linker */

static bool is_inner(uintptr_t caller)
{
	if (caller >= (uintptr_t)__ehdr_start && caller < (uintptr_t)_end)
		return true; /* a tapped function has jumped to another */
	for (int i = 0; i < TAPS; i++)
		if (caller > tapped[i].begin && caller <= tapped[i].end)
			return true;
	return false;
}

static struct vcr_tls_way way(enum tap t, const void *caller)
{
	return (struct vcr_tls_way){ tapped[t].original, taps && !is_inner((uintptr_t)caller) ? &program : NULL };
}

#define WAY(name) way(TAP_##name, __builtin_return_address(0))

static int tap_SSL_read(SSL *ssl, void *buf, int n) { return vcr_tls_read(WAY(SSL_read), ssl, buf, n); }
static int tap_SSL_read_ex(SSL *ssl, void *buf, size_t n, size_t *got) { return vcr_tls_read_ex(WAY(SSL_read_ex), ssl, buf, n, got); }
static int tap_SSL_read_early_data(SSL *ssl, void *buf, size_t n, size_t *got)
{
	return vcr_tls_read_early_data(WAY(SSL_read_early_data), ssl, buf, n, got);
}
static int tap_SSL_write(SSL *ssl, const void *buf, int n) { return vcr_tls_write(WAY(SSL_write), ssl, buf, n); }
static int tap_SSL_write_ex(SSL *ssl, const void *buf, size_t n, size_t *put) { return vcr_tls_write_ex(WAY(SSL_write_ex), ssl, buf, n, put); }
static int tap_SSL_write_ex2(SSL *ssl, const void *buf, size_t n, uint64_t flags, size_t *put)
{
	return vcr_tls_write_ex2(WAY(SSL_write_ex2), ssl, buf, n, flags, put);
}
static int tap_SSL_write_early_data(SSL *ssl, const void *buf, size_t n, size_t *put)
{
	return vcr_tls_write_early_data(WAY(SSL_write_early_data), ssl, buf, n, put);
}
static ssize_t tap_SSL_sendfile(SSL *ssl, int fd, off_t at, size_t n, int flags) { return vcr_tls_sendfile(WAY(SSL_sendfile), ssl, fd, at, n, flags); }
static void tap_SSL_free(SSL *ssl) { vcr_tls_free(WAY(SSL_free), ssl); }
static int tap_SSL_clear(SSL *ssl) { return vcr_tls_clear(WAY(SSL_clear), ssl); }
static int tap_SSL_set_fd(SSL *ssl, int fd) { return vcr_tls_set_fd(WAY(SSL_set_fd), ssl, fd); }
static int tap_SSL_set_rfd(SSL *ssl, int fd) { return vcr_tls_set_fd(WAY(SSL_set_rfd), ssl, fd); }
static int tap_SSL_set_wfd(SSL *ssl, int fd) { return vcr_tls_set_fd(WAY(SSL_set_wfd), ssl, fd); }
static void tap_SSL_set_bio(SSL *ssl, BIO *in, BIO *out) { vcr_tls_set_bio(WAY(SSL_set_bio), ssl, in, out); }

/* ---- what the program exports ---- */

struct image {
	uintptr_t bias;
	const ElfW(Phdr) *segment;
	size_t segments;
	const uint32_t *hash; /* DT_GNU_HASH */
	const ElfW(Sym) *symbol;
	const char *string;
};

/* Relocated by the loader, or not: that differs between machines. */
static const void *dynamic_address(const struct image *m, const ElfW(Dyn) *d)
{
	uintptr_t p = d->d_un.d_ptr;
	return (const void *)(p < m->bias ? p + m->bias : p);
}

static bool read_image(struct image *m)
{
	const ElfW(Dyn) *d = NULL;
	bool placed = false;
	*m = (struct image){ .segment = (const void *)getauxval(AT_PHDR), .segments = getauxval(AT_PHNUM) };
	if (!m->segment || m->segments > MOST_SEGMENTS)
		return false;
	for (size_t i = 0; i < m->segments; i++)
		if (m->segment[i].p_type == PT_PHDR) {
			m->bias = (uintptr_t)m->segment - m->segment[i].p_vaddr;
			placed = true;
		}
	for (size_t i = 0; placed && i < m->segments; i++)
		if (m->segment[i].p_type == PT_DYNAMIC)
			d = (const void *)(m->bias + m->segment[i].p_vaddr);
	for (; d && d->d_tag != DT_NULL; d++)
		switch (d->d_tag) {
		case DT_GNU_HASH: m->hash = dynamic_address(m, d); break;
		case DT_SYMTAB: m->symbol = dynamic_address(m, d); break;
		case DT_STRTAB: m->string = dynamic_address(m, d); break;
		default: break;
		}
	return m->hash && m->symbol && m->string;
}

/* The function of that name that the program itself defines: a filter first, then a bucket's chain (the GNU hash section). */
static const ElfW(Sym) *exported(const struct image *m, const char *name)
{
	uint32_t h = 5381, buckets = m->hash[0], first = m->hash[1], words = m->hash[2], shift = m->hash[3];
	for (const char *p = name; *p; p++)
		h = h * 33 + (unsigned char)*p;
	const uint64_t *filter = (const void *)(m->hash + 4);
	const uint32_t *bucket = (const void *)(filter + words), *chain = bucket + buckets;
	if (!buckets || !words || !(filter[h / 64 % words] >> h % 64 & filter[h / 64 % words] >> (h >> shift) % 64 & 1))
		return NULL;
	for (uint32_t i = bucket[h % buckets]; i >= first; i++) {
		const ElfW(Sym) *s = &m->symbol[i];
		if ((chain[i - first] | 1) == (h | 1) && s->st_shndx != SHN_UNDEF && (s->st_info & 15) == STT_FUNC && !strcmp(m->string + s->st_name, name))
			return s;
		if (chain[i - first] & 1)
			break;
	}
	return NULL;
}

static void *function(const struct image *m, const char *name)
{
	const ElfW(Sym) *s = exported(m, name);
	return s ? (void *)(m->bias + s->st_value) : NULL;
}

bool vcr_program_exports(const char *name)
{
	struct image m;
	return read_image(&m) && exported(&m, name);
}

/* Does [from, to) lie in a segment that is code and nothing else? */
static bool is_code(const struct image *m, uintptr_t from, uintptr_t to)
{
	for (size_t i = 0; i < m->segments; i++) {
		const ElfW(Phdr) *p = &m->segment[i];
		uintptr_t begin = m->bias + p->p_vaddr;
		if (p->p_type == PT_LOAD && p->p_flags == (PF_R | PF_X) && from >= begin && to <= begin + p->p_filesz)
			return true;
	}
	return false;
}

/* ---- putting them there ---- */

/* One page at that place and no other. */
static bool page_at(uintptr_t at)
{
	enum { FIXED_NOREPLACE = 0x100000 };
	void *p = (void *)vcr_call6(SYS_mmap, (long)at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | FIXED_NOREPLACE, -1, 0);
	if (raw_failed(p) || p == (void *)at)
		return p == (void *)at;
	raw_munmap(p, PAGE);
	return false;
}

/* A free page below the program, where the heap does not grow to; 0: none. */
static uintptr_t page_below(const struct image *m)
{
	uintptr_t low = UINTPTR_MAX;
	for (size_t i = 0; i < m->segments; i++)
		if (m->segment[i].p_type == PT_LOAD && m->bias + m->segment[i].p_vaddr < low)
			low = m->bias + m->segment[i].p_vaddr;
	low &= ~(uintptr_t)0xffff;
	for (uintptr_t step = 1 << 16, k = 0; k < 128; k++, step <<= k == 64 ? 6 : 0)
		if (low <= step || (low -= step) < 1 << 16)
			return 0;
		else if (page_at(low))
			return low;
	return 0;
}

/* The patch's jump into its function: a copy of the page or two takes their place. */
static bool replace(const struct image *m, uintptr_t function_at, const struct vcr_patch *patch)
{
	uintptr_t at = function_at + patch->at, from = at & ~(uintptr_t)(PAGE - 1), to = (at + patch->jump_size + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
	if (!is_code(m, at, at + patch->jump_size) || !is_code(m, from, from + 1))
		return false;
	char *copy = raw_mmap(to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (raw_failed(copy))
		return false;
	memcpy(copy, (const void *)from, to - from);
	memcpy(copy + (at - from), patch->jump, patch->jump_size);
	__builtin___clear_cache(copy, copy + (to - from));
	long r = vcr_call3(SYS_mprotect, (long)copy, (long)(to - from), PROT_READ | PROT_EXEC);
	if (!r)
		r = vcr_call6(SYS_mremap, (long)copy, (long)(to - from), (long)(to - from), MREMAP_MAYMOVE | MREMAP_FIXED, (long)from, 0);
	if (r != (long)from)
		raw_munmap(copy, to - from);
	return r == (long)from;
}

static void refuse(const char *name, const char *why)
{
	char *at = vcr_format(unseen, "TLS inside the program cannot be tapped: ");
	vcr_format(vcr_format(vcr_format(vcr_format(at, name), " "), why), "; --lane=gate helps");
}

struct plan {
	struct image image;
	const char *name[TAPS];
	void *hook[TAPS];
	struct vcr_patch patch[TAPS];
	uintptr_t slots; /* a page */
};

/* All jumps and slots, with nothing changed yet. */
static bool plan_all(struct plan *p)
{
	for (size_t i = 0; i < TAPS; i++) {
		const ElfW(Sym) *s = exported(&p->image, p->name[i]);
		if (!s)
			continue;
		uintptr_t at = p->image.bias + s->st_value, slot = p->slots + i * VCR_PATCH_SLOT;
		struct vcr_patch_site site = { .code = (const void *)at, .size = s->st_size, .at = at, .slot = slot, .hook = (uintptr_t)p->hook[i] };
		p->patch[i].refused = "is not code";
		if (!is_code(&p->image, at, at + s->st_size) || !(VCR_MACHINE == EM_X86_64 ? vcr_patch_x86 : vcr_patch_arm64)(&site, &p->patch[i])) {
			refuse(p->name[i], p->patch[i].refused);
			return false;
		}
		memcpy((void *)slot, p->patch[i].code, p->patch[i].code_size);
		tapped[i] = (struct tapped){ at, at + s->st_size, (void *)(slot + VCR_PATCH_ENTRY) };
	}
	return true;
}

static bool place_all(struct plan *p)
{
	__builtin___clear_cache((char *)p->slots, (char *)p->slots + PAGE);
	if (vcr_call3(SYS_mprotect, (long)p->slots, PAGE, PROT_READ | PROT_EXEC))
		return false;
	for (size_t i = 0; i < TAPS; i++)
		if (tapped[i].original && !replace(&p->image, tapped[i].begin, &p->patch[i]))
			return false; /* what is placed stays, and only forwards */
	return true;
}

static void tap_all(struct plan *p)
{
	p->slots = getauxval(AT_PAGESZ) == PAGE ? page_below(&p->image) : 0;
	if (getauxval(AT_PAGESZ) != PAGE)
		refuse("OpenSSL", "is on pages that are not of 4 KB");
	else if (!p->slots)
		refuse("OpenSSL", "lies too far from free memory");
	else if (!plan_all(p))
		raw_munmap((void *)p->slots, PAGE);
	else if (place_all(p))
		vcr_store(&taps, true);
	else
		refuse("its code", "may not be changed here");
}

bool vcr_tap_program(void)
{
	struct plan p;
	if (!read_image(&p.image) || !exported(&p.image, "SSL_read") || !exported(&p.image, "SSL_write"))
		return false;
#define X(f) p.name[TAP_##f] = #f, p.hook[TAP_##f] = (void *)tap_##f;
	VCR_HOOKS_TLS(X)
#undef X
	program.base = (void *)p.image.bias;
	program.server_name = (const char *(*)(const SSL *, int))function(&p.image, "SSL_get_servername");
	program.get_fd = (int (*)(const SSL *))function(&p.image, "SSL_get_fd");
	program.is_server = (int (*)(const SSL *))function(&p.image, "SSL_is_server");
	program.get_error = (int (*)(const SSL *, int))function(&p.image, "SSL_get_error");
	program.is_finished = (int (*)(const SSL *))function(&p.image, "SSL_is_init_finished");
	tap_all(&p);
	return taps;
}

void vcr_tap_openssl(void)
{
	__atomic_store_n(&has_openssl, true, __ATOMIC_RELAXED);
}

bool vcr_tap_has_openssl(void)
{
	return __atomic_load_n(&has_openssl, __ATOMIC_RELAXED);
}

/* TLS passes and it is not of an OpenSSL whose functions come here. That alone is no reason to start a session: git and wget speak so. */
static bool by_a_stranger(char words[200])
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	if (taps || vcr_tap_has_openssl() || !h || !vcr_collector_alive(h))
		return false;
	size_t n = strnlen(program_invocation_short_name, 60);
	memcpy(words, program_invocation_short_name, n);
	vcr_format(words + n, " has TLS of its own that cannot be tapped (BoringSSL, GnuTLS, rustls); --lane=gate may help");
	return true;
}

bool vcr_tap_refused(void)
{
	return *unseen;
}

void vcr_tap_said(void)
{
	vcr_store(&unseen_said, 1);
}

void vcr_tap_unseen(void)
{
	uint32_t no = 0;
	char words[200];
	if (vcr_guest() || vcr_load(&unseen_said))
		return;
	if (*unseen)
		vcr_format(words, unseen);
	else if (!by_a_stranger(words))
		return;
	if (!__atomic_compare_exchange_n(&unseen_said, &no, 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	vcr_want_collector();
	struct vcr_piece piece = vcr_text(words);
	vcr_append(VCR_REC_LOST, 0, 0, &piece, 1, 0);
}
