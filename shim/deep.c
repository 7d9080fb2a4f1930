/* deep.c — modules that are loaded with RTLD_DEEPBIND. What they refer to is looked for in the libraries that they bring before it is among the program's, where the hooks
 * stand: libc's and OpenSSL's functions are called past these, nothing of it would be seen, and the gate would not be trusted. So when one has been loaded, and before it
 * is used, its references and those of what came with it are put right: where there is a hook, and it was libc's function that was found, or in OpenSSL's case anybody's.
 *
 * dlopen(3) looks for files as the object says that calls it (RPATH, RUNPATH, $ORIGIN), and knows it by the return address. So other calls, and those where that matters, go
 * on as a jump; such a module is left as it is. References to libc that are still to be looked up, of a module without RTLD_NOW, are left too. */
#include <dlfcn.h>
#include <sys/auxv.h>
#include "image.h"
#include "shim.h"

enum { DEEP = 64 };
static uintptr_t deep[DEEP]; /* where those lie whose references were put right */

bool vcr_deep_is(uintptr_t bias)
{
	for (int i = 0; i < DEEP && vcr_load(&deep[i]); i++)
		if (deep[i] == bias)
			return true;
	return false;
}

static void remember(uintptr_t bias)
{
	for (int i = 0; i < DEEP; i++) {
		uintptr_t none = 0;
		if (__atomic_compare_exchange_n(&deep[i], &none, bias, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) || none == bias)
			return;
	}
}

/* The objects that are loaded, in their order; those from `from` on came with the module, or later. fresh: with it, so that they look for things as it does. */
struct walk {
	uintptr_t from;
	bool fresh, begun, has_own, has_libc;
	struct vcr_image own, libc;
};

/* Is what m has found for a name that has a hook to be that hook? What it has still to look up leads into m itself: only where it is known that it would look past us
 * can it be said which library the hook is to call. */
static bool is_past(const struct walk *w, const struct vcr_image *m, const char *name, uintptr_t found)
{
	if (!found || vcr_image_has(&w->own, found)) /* a weak reference to nothing stays that */
		return false;
	return vcr_image_has(&w->libc, found) || (!strncmp(name, "SSL_", 4) && (w->fresh || !vcr_image_has(m, found)));
}

static void put_right(const struct walk *w, const struct vcr_image *m)
{
	bool past = false;
	for (int t = 0; t < 2; t++)
		for (size_t i = 0; i < m->rela[t].n; i++) {
			const ElfW(Rela) *r = &m->rela[t].v[i];
			if (ELF64_R_TYPE(r->r_info) != VCR_RELOC_DATA && ELF64_R_TYPE(r->r_info) != VCR_RELOC_CALL)
				continue;
			const ElfW(Sym) *s = &m->symbol[ELF64_R_SYM(r->r_info)], *hook = s->st_shndx == SHN_UNDEF ? vcr_image_exported(&w->own, m->string + s->st_name) : NULL;
			uintptr_t at = m->bias + r->r_offset, found = hook ? vcr_load((uintptr_t *)at) : 0;
			past |= hook && is_past(w, m, m->string + s->st_name, found) && vcr_image_set(m, at, w->own.bias + hook->st_value);
		}
	if (past)
		remember(m->bias);
}

/* Under the loader's lock: nothing is asked of it here. */
static int look(struct dl_phdr_info *o, size_t size, void *walk)
{
	struct walk *w = walk;
	struct vcr_image m;
	w->begun = w->begun || o->dlpi_addr == w->from;
	if (!vcr_image_read_at(&m, o->dlpi_addr, o->dlpi_phdr, o->dlpi_phnum))
		return 0;
	if (!w->has_own && vcr_image_has(&m, (uintptr_t)&vcr_self)) {
		w->own = m;
		w->has_own = true;
	} else if (!w->has_libc && vcr_image_has(&m, (uintptr_t)&getauxval)) {
		w->libc = m;
		w->has_libc = true;
	} else if (w->begun && w->has_own && w->has_libc) {
		put_right(w, &m);
	}
	return 0;
}

static bool is_loaded(const char *file)
{
	int saved = errno;
	void *m = VCR_REAL(dlopen)(file, RTLD_LAZY | RTLD_NOLOAD);
	if (m)
		dlclose(m);
	errno = saved;
	return m;
}

__attribute__((noinline)) static void *open_deep(const char *file, int mode)
{
	bool fresh = !is_loaded(file);
	struct link_map *m = VCR_REAL(dlopen)(file, mode);
	int saved = errno;
	struct walk w = { .from = m ? m->l_addr : 0, .fresh = fresh };
	if (m)
		dl_iterate_phdr(look, &w);
	errno = saved;
	return m;
}

/* Does it matter who asks? What the program itself says counts for everybody. */
__attribute__((noinline)) static bool looks_itself(const char *file, const void *caller)
{
	struct link_map *m;
	Dl_info info;
	if (strchr(file, '$') || !dladdr1(caller, &info, (void **)&m, RTLD_DL_LINKMAP))
		return true;
	for (const ElfW(Dyn) *d = m->l_ld; d->d_tag != DT_NULL; d++)
		if ((d->d_tag == DT_RPATH && m->l_prev) || (d->d_tag == DT_RUNPATH && !strchr(file, '/')))
			return true;
	return false;
}

VCR_JUMPS void *dlopen(const char *file, int mode)
{
	vcr_resolve_libc();
	if (vcr_unlikely(mode & RTLD_DEEPBIND) && file && vcr_ready() && !vcr_self.sandboxed && !vcr_guest() && !looks_itself(file, __builtin_return_address(0)))
		return open_deep(file, mode);
	VCR_JUMP VCR_REAL(dlopen)(file, mode);
}
