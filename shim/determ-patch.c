/* determ-patch.c — RAND_bytes of an OpenSSL that is linked into the program itself: what node's crypto module and its Math.random are made of. TLS asks
 * OpenSSL 3 by other functions (RAND_bytes_ex, RAND_priv_bytes_ex), which stay as they are. */
#include <errno.h>
#include "determ.h"
#include "image.h"

static int answer(unsigned char *to, int n)
{
	long k;
	if (n < 0)
		return 0;
	if (vcr_determ_bytes(to, (size_t)n))
		return 1;
	for (int done = 0; done < n; done += k > 0 ? (int)k : 0)
		if ((k = vcr_call3(SYS_getrandom, (long)(to + done), n - done, 0)) < 0 && k != -EINTR)
			return 0;
	return 1;
}

void vcr_determ_patch(void)
{
	struct vcr_image m;
	struct vcr_patch patch;
	const ElfW(Sym) *s = vcr_image_read(&m) ? vcr_image_exported(&m, "RAND_bytes") : NULL;
	if (!s || !vcr_image_exported(&m, "SSL_read"))
		return;
	vcr_determ.node = true; /* also if it cannot be patched: what the program draws may be for TLS */
	uintptr_t at = m.bias + s->st_value, slot = vcr_image_is_code(&m, at, at + s->st_size) ? vcr_image_page_below(&m) : 0;
	struct vcr_patch_site site = { .code = (const void *)at, .size = s->st_size, .at = at, .slot = slot, .hook = (uintptr_t)answer };
	if (!slot)
		return;
	if (!(VCR_MACHINE == EM_X86_64 ? vcr_patch_x86 : vcr_patch_arm64)(&site, &patch)) {
		raw_munmap((void *)slot, VCR_IMAGE_PAGE);
		return;
	}
	memcpy((void *)slot, patch.code, patch.code_size);
	__builtin___clear_cache((char *)slot, (char *)slot + VCR_IMAGE_PAGE);
	if (!vcr_call3(SYS_mprotect, (long)slot, VCR_IMAGE_PAGE, PROT_READ | PROT_EXEC))
		vcr_image_replace(&m, at, &patch);
}
