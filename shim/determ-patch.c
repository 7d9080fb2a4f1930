/* determ-patch.c — node draws through one C++ function of its own, which asks the OpenSSL that is linked into it: crypto.*, Math.random and V8's hash
 * seed are made of that. It is answered in its place (image.h, patch.h). TLS asks OpenSSL itself, which is left as it is; of what TLS asks node, the keys
 * of a server's session tickets, nothing is answered either. */
#include "determ.h"
#include "image.h"

static uintptr_t tickets, tickets_end;                  /* SecureContext::Init */
static bool (*original)(void *to, size_t n);

static bool answer(void *to, size_t n)
{
	uintptr_t caller = (uintptr_t)__builtin_return_address(0);
	bool for_tls = caller > tickets && caller <= tickets_end;
	return (!for_tls && vcr_determ_bytes(to, n)) || original(to, n);
}

/* node 18 and 20, then later ones. */
static const ElfW(Sym) *find(const struct vcr_image *m)
{
	const ElfW(Sym) *s = vcr_image_exported(m, "_ZN4node6crypto6CSPRNGEPvm");
	return s ? s : vcr_image_exported(m, "_ZN7ncrypto6CSPRNGEPvm");
}

void vcr_determ_patch(void)
{
	struct vcr_image m;
	struct vcr_patch patch;
	if (!vcr_image_read(&m))
		return;
	vcr_determ.bun = vcr_image_exported(&m, "napi_module_register") && !vcr_image_exported(&m, "SSL_CTX_new");
	if (!vcr_image_exported(&m, "SSL_read"))
		return;
	vcr_determ.own_tls = true; /* what the program asks the kernel may be for that */
	const ElfW(Sym) *s = find(&m), *init = vcr_image_exported(&m, "_ZN4node6crypto13SecureContext4InitERKN2v820FunctionCallbackInfoINS2_5ValueEEE");
	uintptr_t at = s ? m.bias + s->st_value : 0, slot = s && vcr_image_is_code(&m, at, at + s->st_size) ? vcr_image_page_below(&m) : 0;
	struct vcr_patch_site site = { .code = (const void *)at, .size = s ? s->st_size : 0, .at = at, .slot = slot, .hook = (uintptr_t)answer };
	if (!slot)
		return;
	if (!(VCR_MACHINE == EM_X86_64 ? vcr_patch_x86 : vcr_patch_arm64)(&site, &patch)) {
		raw_munmap((void *)slot, VCR_IMAGE_PAGE);
		return;
	}
	tickets = init ? m.bias + init->st_value : 0;
	tickets_end = init ? tickets + init->st_size : 0;
	memcpy((void *)slot, patch.code, patch.code_size);
	original = (bool (*)(void *, size_t))(slot + VCR_PATCH_ENTRY);
	__builtin___clear_cache((char *)slot, (char *)slot + VCR_IMAGE_PAGE);
	if (!vcr_call3(SYS_mprotect, (long)slot, VCR_IMAGE_PAGE, PROT_READ | PROT_EXEC))
		vcr_determ.patched = vcr_image_replace(&m, at, &patch);
}
