/* normal-cache.h — normal forms of texts, kept: an agent sends its system text, its tools and its whole conversation again with each request.
 *
 * A form is found by the bytes of the text and by a mark for all else that it depends on. At most VCR_NORMAL_KEPT texts of some bytes each, all together
 * no more than VCR_NORMAL_KEPT_BYTES; a text takes the place of another one, and where there is no room others are forgotten. Not for several threads at once. */
#ifndef VCR_NORMAL_CACHE_H
#define VCR_NORMAL_CACHE_H
#include <stddef.h>
#include <stdint.h>

enum { VCR_NORMAL_KEPT = 1024, VCR_NORMAL_KEPT_BYTES = 8 << 20, VCR_NORMAL_KEPT_LEAST = 64 /* a shorter text is not worth it */ };

struct vcr_normal_cache;
/* NULL: no memory. */
struct vcr_normal_cache *vcr_normal_cache_new(void);
void vcr_normal_cache_free(struct vcr_normal_cache *k);
/* The form of p[0..n), *nform bytes, until something is kept; NULL: it is not known. */
const char *vcr_normal_cache_find(const struct vcr_normal_cache *k, uint64_t mark, const char *p, size_t n, size_t *nform);
void vcr_normal_cache_keep(struct vcr_normal_cache *k, uint64_t mark, const char *p, size_t n, const char *form, size_t nform);

#endif
