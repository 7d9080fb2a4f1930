/* tap.c — OpenSSL that is linked into the program itself (node, and whatever else exports it): its functions are called directly, no symbol is
 * looked up, so their beginnings are changed to jump here (patch.h). Done once, before main and before the program has threads; done for all
 * functions or for none (image.h). Calls that OpenSSL makes inside a tapped function are told by where they
 * come back to.
 *
 * If it cannot be done the program runs as it is, and that is said when it first speaks TLS. */
#include <sys/auxv.h>
#include "image.h"
#include "tls.h"

enum { PAGE = VCR_IMAGE_PAGE };

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

VCR_EARLY bool vcr_program_exports(const char *name)
{
	struct vcr_image m;
	return vcr_image_read(&m) && vcr_image_exported(&m, name);
}

static void refuse(const char *name, const char *why)
{
	char *at = vcr_format(unseen, "TLS inside the program cannot be tapped: ");
	vcr_format(vcr_format(vcr_format(vcr_format(at, name), " "), why), "; --lane=gate helps");
}

struct plan {
	struct vcr_image image;
	const char *name[TAPS];
	void *hook[TAPS];
	struct vcr_patch patch[TAPS];
	uintptr_t slots; /* a page */
};

/* All jumps and slots, with nothing changed yet. */
static bool plan_all(struct plan *p)
{
	for (size_t i = 0; i < TAPS; i++) {
		const ElfW(Sym) *s = vcr_image_exported(&p->image, p->name[i]);
		if (!s)
			continue;
		uintptr_t at = p->image.bias + s->st_value, slot = p->slots + i * VCR_PATCH_SLOT;
		struct vcr_patch_site site = { .code = (const void *)at, .size = s->st_size, .at = at, .slot = slot, .hook = (uintptr_t)p->hook[i] };
		p->patch[i].refused = "is not code";
		if (!vcr_image_is_code(&p->image, at, at + s->st_size) || !(VCR_MACHINE == EM_X86_64 ? vcr_patch_x86 : vcr_patch_arm64)(&site, &p->patch[i])) {
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
		if (tapped[i].original && !vcr_image_replace(&p->image, tapped[i].begin, &p->patch[i]))
			return false; /* what is placed stays, and only forwards */
	return true;
}

static void tap_all(struct plan *p)
{
	p->slots = getauxval(AT_PAGESZ) == PAGE ? vcr_image_page_below(&p->image) : 0;
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

VCR_EARLY bool vcr_tap_program(void)
{
	struct plan p;
	if (!vcr_image_read(&p.image) || !vcr_image_exported(&p.image, "SSL_read") || !vcr_image_exported(&p.image, "SSL_write"))
		return false;
#define X(f) p.name[TAP_##f] = #f, p.hook[TAP_##f] = (void *)tap_##f;
	VCR_HOOKS_TLS(X)
#undef X
	program.base = (void *)p.image.bias;
	program.server_name = (const char *(*)(const SSL *, int))vcr_image_function(&p.image, "SSL_get_servername");
	program.get_fd = (int (*)(const SSL *))vcr_image_function(&p.image, "SSL_get_fd");
	program.is_server = (int (*)(const SSL *))vcr_image_function(&p.image, "SSL_is_server");
	program.get_error = (int (*)(const SSL *, int))vcr_image_function(&p.image, "SSL_get_error");
	program.is_finished = (int (*)(const SSL *))vcr_image_function(&p.image, "SSL_is_init_finished");
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
