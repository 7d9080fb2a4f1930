/* Finding many patterns at memory speed. Every pattern is at least 12 bytes, so whatever its place it covers four bytes that start
 * at a multiple of 8: the text is sampled there, and the sample is looked up among the first eight 4-byte grams of each pattern. The
 * samples do not depend on each other (Aho-Corasick and Wu-Manber do), so a text without secrets costs a few instructions per 8 bytes. */
#include "redact-parts.h"
#include <stdlib.h>
#include <string.h>

enum { STRIDE = 8 /* at most, and usually */, BITS = 17 };
_Static_assert(VCR_SECRET_MIN >= STRIDE + 4 - 1 && VCR_RULED_MIN >= VCR_RULED_STRIDE + 4 - 1, "a pattern must cover one sample wherever it starts");

static size_t stride_of(const struct vcr_finder *f)
{
	return f->stride ? f->stride : STRIDE;
}

static uint32_t load(const char *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return v;
}

static uint32_t mix(uint32_t gram)
{
	return gram * 2654435761u;
}

static int grow(void *array, size_t *room, size_t need, size_t size)
{
	if (need <= *room)
		return 0;
	size_t want = *room ? *room * 2 : 64;
	void *p = realloc(*(void **)array, want * size);
	if (!p)
		return VCR_ENOMEM;
	*(void **)array = p;
	*room = want;
	return 0;
}

static int rehash(struct vcr_finder *f, unsigned bits)
{
	int32_t *head = malloc(sizeof *head << bits);
	if (!head)
		return VCR_ENOMEM;
	memset(head, 0xff, sizeof *head << bits);
	for (size_t i = 0; i < f->grams; i++) {
		int32_t *h = &head[mix(f->gram[i].gram) >> (32 - bits)];
		f->gram[i].next = *h;
		*h = (int32_t)i;
	}
	free(f->head);
	f->head = head;
	f->head_bits = bits;
	return 0;
}

static bool known(const struct vcr_finder *f, const char *p, size_t n)
{
	if (!f->head)
		return false;
	uint32_t gram = load(p);
	for (int32_t i = f->head[mix(gram) >> (32 - f->head_bits)]; i >= 0; i = f->gram[i].next) {
		const struct vcr_pattern *o = &f->pattern[f->gram[i].pattern];
		if (f->gram[i].gram == gram && !f->gram[i].offset && o->n == n && !memcmp(o->p, p, n))
			return true;
	}
	return false;
}

static int make_room(struct vcr_finder *f)
{
	if (!f->bits && !(f->bits = calloc(1u << (BITS - 5), sizeof *f->bits)))
		return VCR_ENOMEM;
	int rc = grow(&f->pattern, &f->pattern_room, f->patterns + 1, sizeof *f->pattern);
	if (!rc)
		rc = grow(&f->gram, &f->gram_room, f->grams + STRIDE, sizeof *f->gram);
	if (!rc && (!f->head || f->grams + STRIDE > (size_t)1 << f->head_bits))
		rc = rehash(f, f->head ? f->head_bits + 2 : 10);
	return rc;
}

int vcr_finder_add(struct vcr_finder *f, const char *p, size_t n, int secret)
{
	if (n < stride_of(f) + 3)
		return VCR_EINVAL;
	if (known(f, p, n))
		return 0;
	int rc = make_room(f);
	char *copy = rc ? NULL : malloc(n);
	if (!copy)
		return VCR_ENOMEM;
	memcpy(copy, p, n);
	for (uint32_t k = 0; k < stride_of(f); k++) {
		uint32_t gram = load(p + k), h = mix(gram);
		int32_t *head = &f->head[h >> (32 - f->head_bits)];
		f->gram[f->grams] = (struct vcr_gram){ gram, (uint32_t)f->patterns, *head, k };
		*head = (int32_t)f->grams++;
		f->bits[h >> (32 - BITS + 5)] |= 1u << (h >> (32 - BITS) & 31);
	}
	f->pattern[f->patterns++] = (struct vcr_pattern){ copy, n, secret };
	return 0;
}

/* The sample at i is known to the bit map: which pattern starts within the 8 bytes up to it? */
static bool at_sample(const struct vcr_finder *f, const char *p, size_t n, size_t from, size_t i, struct vcr_match *m)
{
	bool found = false;
	uint32_t gram = load(p + i);
	for (int32_t k = f->head[mix(gram) >> (32 - f->head_bits)]; k >= 0; k = f->gram[k].next) {
		const struct vcr_gram *g = &f->gram[k];
		const struct vcr_pattern *o = &f->pattern[g->pattern];
		if (g->gram != gram || i < g->offset)
			continue;
		size_t at = i - g->offset;
		if (at < from || o->n > n - at || (found && (at > m->at || (at == m->at && o->n <= m->len))))
			continue;
		if (memcmp(p + at, o->p, o->n))
			continue;
		*m = (struct vcr_match){ at, o->n, o->secret };
		found = true;
	}
	return found;
}

bool vcr_finder_next(const struct vcr_finder *f, const char *p, size_t n, size_t from, size_t before, struct vcr_match *m)
{
	size_t stride = stride_of(f);
	if (!f->patterns || n < stride + 3)
		return false;
	size_t last = before < n ? before + stride - 1 : n;
	last = last > n - 4 ? n - 4 : last;
	for (size_t i = (from + stride - 1) / stride * stride; i <= last; i += stride) {
		uint32_t h = mix(load(p + i));
		if (f->bits[h >> (32 - BITS + 5)] >> (h >> (32 - BITS) & 31) & 1 && at_sample(f, p, n, from, i, m))
			return m->at < before;
	}
	return false;
}

void vcr_finder_release(struct vcr_finder *f)
{
	for (size_t i = 0; i < f->patterns; i++) {
		explicit_bzero((char *)f->pattern[i].p, f->pattern[i].n);
		free((char *)f->pattern[i].p);
	}
	free(f->bits);
	free(f->pattern);
	free(f->gram);
	free(f->head);
	*f = (struct vcr_finder){ 0 };
}
