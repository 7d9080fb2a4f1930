#include "normal-cache.h"
#include <stdlib.h>
#include <string.h>

/* text: the text, and its form behind it. */
struct kept { uint64_t mark; char *text; size_t n, nform; };
struct vcr_normal_cache { struct kept kept[VCR_NORMAL_KEPT]; size_t bytes; };

static size_t place(uint64_t mark, const char *p, size_t n)
{
	uint64_t h = mark ^ n * 0x9e3779b97f4a7c15ull, v;
	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&v, p, 8);
		h = (h ^ v) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 32;
	}
	v = 0;
	memcpy(&v, p, n);
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h >> 32 & (VCR_NORMAL_KEPT - 1);
}

static void forget(struct vcr_normal_cache *k, struct kept *t)
{
	k->bytes -= t->n + t->nform;
	free(t->text);
	*t = (struct kept){ 0 };
}

struct vcr_normal_cache *vcr_normal_cache_new(void)
{
	return calloc(1, sizeof(struct vcr_normal_cache));
}

void vcr_normal_cache_free(struct vcr_normal_cache *k)
{
	for (size_t i = 0; k && i < VCR_NORMAL_KEPT; i++)
		free(k->kept[i].text);
	free(k);
}

const char *vcr_normal_cache_find(const struct vcr_normal_cache *k, uint64_t mark, const char *p, size_t n, size_t *nform)
{
	const struct kept *t = &k->kept[place(mark, p, n)];
	if (!t->text || t->mark != mark || t->n != n || memcmp(t->text, p, n))
		return NULL;
	*nform = t->nform;
	return t->text + n;
}

void vcr_normal_cache_keep(struct vcr_normal_cache *k, uint64_t mark, const char *p, size_t n, const char *form, size_t nform)
{
	struct kept *t = &k->kept[place(mark, p, n)];
	forget(k, t);
	if (n > VCR_NORMAL_KEPT_BYTES || nform > VCR_NORMAL_KEPT_BYTES - n)
		return;
	for (size_t i = 0; k->bytes + n + nform > VCR_NORMAL_KEPT_BYTES && i < VCR_NORMAL_KEPT; i++)
		forget(k, &k->kept[i]);
	char *text = malloc(n + nform);
	if (!text)
		return;
	memcpy(text, p, n);
	memcpy(text + n, form, nform);
	*t = (struct kept){ mark, text, n, nform };
	k->bytes += n + nform;
}
