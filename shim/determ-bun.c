/* determ-bun.c — Bun draws everything by one function of the BoringSSL inside: RAND_bytes, crypto.*, what its UUIDs come from, TLS. No symbol names it, and
 * it asks the kernel for nothing but a seed, once for each thread. Whoever asks for that seed has been called by it: so it is found in the stack, and answered in its
 * place from there on, by the size of what is drawn (determ-format.h).
 *
 * What it is to be, where functions keep frame pointers (as Bun's do): its frame is the one in which the seed is to be laid; it was called directly, at an address
 * which so is its beginning; and it looks first whether its second argument is nothing, as one that is given a size does. Where one of these is not so, nothing is
 * changed, and the seed, which is the session's, gives all that thread draws. */
#include <sys/prctl.h>
#include "determ.h"
#include "image.h"

enum { SEED = 48, MOST_FRAMES = 6, MOST_CODE = 8192, MOST_STACK = 1 << 16, HEAD = 64, MOST_DRAW = 1 << 20 /* more is no size but a pointer: it was another function */ };

static int (*original)(void *to, size_t n, const void *more);

/* fetch() has its connections, and their TLS, in a thread of that name, which draws for nothing else. */
static bool is_for_tls(void)
{
	static __thread int is; /* 0: not asked yet */
	char name[16] = "";
	if (!is)
		is = !vcr_call3(SYS_prctl, PR_GET_NAME, (long)name, 0) && !strcmp(name, "HTTP Client") ? 1 : -1;
	return is > 0;
}

static int answer(void *to, size_t n, const void *more)
{
	if (n < MOST_DRAW && (is_for_tls() ? vcr_determ_real_bytes(to, n) : vcr_determ_bytes(to, n)))
		return 1;
	return original(to, n, more);
}

/* The beginning of the function that was called where that address is the next; 0: it was not called directly. */
static uintptr_t called(const struct vcr_image *m, uintptr_t back)
{
	int32_t by;
	if (!vcr_image_is_code(m, back - 5, back))
		return 0;
	if (VCR_MACHINE == EM_X86_64) {
		memcpy(&by, (const void *)(back - 4), sizeof by);
		return *(const unsigned char *)(back - 5) == 0xe8 ? back + (uintptr_t)(intptr_t)by : 0;
	}
	memcpy(&by, (const void *)(back - 4), sizeof by);
	return ((uint32_t)by & 0xfc000000) == 0x94000000 ? back - 4 + (uintptr_t)((intptr_t)(int32_t)((uint32_t)by << 6) >> 4) : 0;
}

/* test %rsi,%rsi; cbz x1 */
static bool asks_for_size(const unsigned char *code)
{
	for (size_t i = 0; i < HEAD; i++) {
		uint32_t word;
		memcpy(&word, code + i, sizeof word);
		if (VCR_MACHINE == EM_X86_64 ? (word & 0xffffff) == 0xf68548 : !(i & 3) && (word & 0xff00001f) == 0xb4000001)
			return true;
	}
	return false;
}

/* The frame in which the seed is laid, as whoever it calls has it: where it goes on, and where its caller does. False: there is none. */
static bool find(const struct vcr_determ_frame *f, const void *seed, uintptr_t *inside, uintptr_t *back)
{
	uintptr_t low = (uintptr_t)f;
	for (int i = 0; i < MOST_FRAMES; i++) {
		const struct vcr_determ_frame *up = f->up;
		if ((uintptr_t)up <= (uintptr_t)f || (uintptr_t)up - low > MOST_STACK || (uintptr_t)up & (sizeof(void *) - 1))
			return false;
		*inside = f->back;
		*back = up->back;
		if (seed > (const void *)f && seed < (const void *)up)
			return true;
		f = up;
	}
	return false;
}

static void patch(const struct vcr_image *m, uintptr_t at, size_t size)
{
	struct vcr_patch patch;
	uintptr_t slot = vcr_image_page_below(m);
	struct vcr_patch_site site = { .code = (const void *)at, .size = size, .at = at, .slot = slot, .hook = (uintptr_t)answer };
	if (!slot)
		return;
	if (!(VCR_MACHINE == EM_X86_64 ? vcr_patch_x86 : vcr_patch_arm64)(&site, &patch)) {
		raw_munmap((void *)slot, VCR_IMAGE_PAGE);
		return;
	}
	memcpy((void *)slot, patch.code, patch.code_size);
	original = (int (*)(void *, size_t, const void *))(slot + VCR_PATCH_ENTRY);
	__builtin___clear_cache((char *)slot, (char *)slot + VCR_IMAGE_PAGE);
	if (!vcr_call3(SYS_mprotect, (long)slot, VCR_IMAGE_PAGE, PROT_READ | PROT_EXEC))
		vcr_determ.patched = vcr_image_replace(m, at, &patch);
}

void vcr_determ_seeded(const struct vcr_determ_frame *f, const void *seed, size_t n)
{
	static uint32_t once;
	struct vcr_image m;
	uintptr_t inside, back, at;
	if (n != SEED || __atomic_exchange_n(&once, 1, __ATOMIC_ACQ_REL) || !vcr_image_read(&m) || !find(f, seed, &inside, &back))
		return;
	at = called(&m, back);
	if (at && inside > at && inside - at < MOST_CODE && vcr_image_is_code(&m, at, inside + HEAD) && asks_for_size((const unsigned char *)at))
		patch(&m, at, inside - at);
}
