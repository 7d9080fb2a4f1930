/* image.h — the program that we are in, and what it has loaded, as they lie in memory: what is exported, what is referred to, and how code is changed.
 *
 * No page is writable and executable at any time, and none of the program's ever loses its right to be executed: a page is copied, changed and put in the
 * place of the old one in one step. Nothing is allocated; only system calls of our own (raw.h). Before main, while there is one thread. */
#ifndef VCR_SHIM_IMAGE_H
#define VCR_SHIM_IMAGE_H
#include <link.h>
#include <stdbool.h>
#include "patch.h"

enum { VCR_IMAGE_PAGE = 4096 };

struct vcr_image {
	uintptr_t bias;
	const ElfW(Phdr) *segment;
	size_t segments;
	const uint32_t *hash; /* DT_GNU_HASH */
	const ElfW(Sym) *symbol;
	const char *string;
	struct { const ElfW(Rela) *v; size_t n; } rela[2]; /* references: DT_RELA, DT_JMPREL */
};

/* False: it is not to be understood. */
bool vcr_image_read(struct vcr_image *m);
/* The same of what lies at that bias, as dl_iterate_phdr(3) says it. */
bool vcr_image_read_at(struct vcr_image *m, uintptr_t bias, const ElfW(Phdr) *segment, size_t segments);
/* The function of that name that the program itself defines; NULL: none. */
const ElfW(Sym) *vcr_image_exported(const struct vcr_image *m, const char *name);
void *vcr_image_function(const struct vcr_image *m, const char *name);
/* Does [from, to) lie in a segment that is code and nothing else? */
bool vcr_image_is_code(const struct vcr_image *m, uintptr_t from, uintptr_t to);
/* Does it have that address, in whatever segment? */
bool vcr_image_has(const struct vcr_image *m, uintptr_t at);
/* Another value for a pointer that the loader has filled in, also where it has made it read-only since. */
bool vcr_image_set(const struct vcr_image *m, uintptr_t at, uintptr_t value);
/* A new page below the program, where the heap does not grow to; 0: none. */
uintptr_t vcr_image_page_below(const struct vcr_image *m);
/* The patch's jump into its function: a copy of the page or two takes their place. */
bool vcr_image_replace(const struct vcr_image *m, uintptr_t function_at, const struct vcr_patch *patch);

#endif
