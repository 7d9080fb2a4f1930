#include <string.h>
#include <sys/auxv.h>
#include "image.h"
#include "raw.h"

enum { PAGE = VCR_IMAGE_PAGE, MOST_SEGMENTS = 64 };
#define EARLY __attribute__((hot)) /* every program is looked at so as it begins */

/* ---- what the program exports ---- */

/* Relocated by the loader, or not: that differs between machines. */
EARLY static const void *dynamic_address(const struct vcr_image *m, const ElfW(Dyn) *d)
{
	uintptr_t p = d->d_un.d_ptr;
	return (const void *)(p < m->bias ? p + m->bias : p);
}

EARLY static void take(struct vcr_image *m, const ElfW(Dyn) *d)
{
	switch (d->d_tag) {
	case DT_GNU_HASH: m->hash = dynamic_address(m, d); break;
	case DT_SYMTAB: m->symbol = dynamic_address(m, d); break;
	case DT_STRTAB: m->string = dynamic_address(m, d); break;
	case DT_RELA: m->rela[0].v = dynamic_address(m, d); break;
	case DT_RELASZ: m->rela[0].n = d->d_un.d_val / sizeof *m->rela[0].v; break;
	case DT_JMPREL: m->rela[1].v = dynamic_address(m, d); break;
	case DT_PLTRELSZ: m->rela[1].n = d->d_un.d_val / sizeof *m->rela[1].v; break;
	default: break;
	}
}

EARLY bool vcr_image_read_at(struct vcr_image *m, uintptr_t bias, const ElfW(Phdr) *segment, size_t segments)
{
	const ElfW(Dyn) *d = NULL;
	*m = (struct vcr_image){ .bias = bias, .segment = segment, .segments = segments };
	for (size_t i = 0; i < segments; i++)
		if (segment[i].p_type == PT_DYNAMIC)
			d = (const void *)(bias + segment[i].p_vaddr);
	for (; d && d->d_tag != DT_NULL; d++)
		take(m, d);
	for (int i = 0; i < 2; i++)
		if (!m->rela[i].v)
			m->rela[i].n = 0;
	return m->hash && m->symbol && m->string;
}

EARLY bool vcr_image_read(struct vcr_image *m)
{
	const ElfW(Phdr) *segment = (const void *)getauxval(AT_PHDR);
	size_t segments = getauxval(AT_PHNUM);
	for (size_t i = 0; segment && segments <= MOST_SEGMENTS && i < segments; i++)
		if (segment[i].p_type == PT_PHDR)
			return vcr_image_read_at(m, (uintptr_t)segment - segment[i].p_vaddr, segment, segments);
	return false;
}

/* A filter first, then a bucket's chain (the GNU hash section). */
EARLY const ElfW(Sym) *vcr_image_exported(const struct vcr_image *m, const char *name)
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

void *vcr_image_function(const struct vcr_image *m, const char *name)
{
	const ElfW(Sym) *s = vcr_image_exported(m, name);
	return s ? (void *)(m->bias + s->st_value) : NULL;
}

bool vcr_image_is_code(const struct vcr_image *m, uintptr_t from, uintptr_t to)
{
	for (size_t i = 0; i < m->segments; i++) {
		const ElfW(Phdr) *p = &m->segment[i];
		uintptr_t begin = m->bias + p->p_vaddr;
		if (p->p_type == PT_LOAD && p->p_flags == (PF_R | PF_X) && from >= begin && to <= begin + p->p_filesz)
			return true;
	}
	return false;
}

bool vcr_image_has(const struct vcr_image *m, uintptr_t at)
{
	for (size_t i = 0; i < m->segments; i++) {
		const ElfW(Phdr) *p = &m->segment[i];
		if (p->p_type == PT_LOAD && at - m->bias - p->p_vaddr < p->p_memsz)
			return true;
	}
	return false;
}

/* ---- references ---- */

static bool is_shut(const struct vcr_image *m, uintptr_t at, uintptr_t page)
{
	for (size_t i = 0; i < m->segments; i++) {
		const ElfW(Phdr) *p = &m->segment[i];
		uintptr_t begin = m->bias + p->p_vaddr;
		if (p->p_type == PT_GNU_RELRO && at >= (begin & ~(page - 1)) && at < ((begin + p->p_memsz) & ~(page - 1)))
			return true;
	}
	return false;
}

bool vcr_image_set(const struct vcr_image *m, uintptr_t at, uintptr_t value)
{
	uintptr_t page = getauxval(AT_PAGESZ), from = at & ~(page - 1);
	bool shut = is_shut(m, at, page);
	if (shut && vcr_call3(SYS_mprotect, (long)from, (long)page, PROT_READ | PROT_WRITE))
		return false;
	__atomic_store_n((uintptr_t *)at, value, __ATOMIC_RELEASE);
	if (shut)
		vcr_call3(SYS_mprotect, (long)from, (long)page, PROT_READ);
	return true;
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

uintptr_t vcr_image_page_below(const struct vcr_image *m)
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

bool vcr_image_replace(const struct vcr_image *m, uintptr_t function_at, const struct vcr_patch *patch)
{
	uintptr_t at = function_at + patch->at, from = at & ~(uintptr_t)(PAGE - 1), to = (at + patch->jump_size + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
	if (!vcr_image_is_code(m, at, at + patch->jump_size) || !vcr_image_is_code(m, from, from + 1))
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
