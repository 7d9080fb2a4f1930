#include "prehash.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	MARKS = 12,
	BLOCK = 256,        /* texts are compared by blocks, and a mark stands at the end of one */
	FIRST_STEP = 1,     /* blocks from the end to the last mark; the one before is four times as far from it, and so on */
};

struct mark { size_t at; EVP_MD_CTX *state; };
struct text {
	char *p;
	size_t n;
	uint64_t used;
	struct mark mark[MARKS]; /* by place */
	size_t marks;
};
struct vcr_prehash {
	struct text text[VCR_PREHASH_TEXTS];
	size_t bytes, spared;
	uint64_t tick;
};

struct vcr_prehash *vcr_prehash_new(void)
{
	return calloc(1, sizeof(struct vcr_prehash));
}

static void cut_marks(struct text *t, size_t keep)
{
	while (t->marks > keep)
		EVP_MD_CTX_free(t->mark[--t->marks].state);
}

static void forget(struct vcr_prehash *h, struct text *t)
{
	cut_marks(t, 0);
	free(t->p);
	h->bytes -= t->n;
	*t = (struct text){ NULL };
}

void vcr_prehash_free(struct vcr_prehash *h)
{
	for (size_t i = 0; h && i < VCR_PREHASH_TEXTS; i++)
		forget(h, &h->text[i]);
	free(h);
}

size_t vcr_prehash_spared(const struct vcr_prehash *h)
{
	return h->spared;
}

/* How many bytes, in whole blocks, both begin with. */
static size_t common(const struct text *t, const char *p, size_t n)
{
	size_t at = 0, least = t->n < n ? t->n : n;
	while (at + BLOCK <= least && !memcmp(t->p + at, p + at, BLOCK))
		at += BLOCK;
	return at;
}

static struct text *most_alike(struct vcr_prehash *h, const char *p, size_t n, size_t *same)
{
	struct text *best = NULL;
	*same = 0;
	for (size_t i = 0; i < VCR_PREHASH_TEXTS; i++) {
		size_t k = h->text[i].p ? common(&h->text[i], p, n) : 0;
		if (k > *same) {
			*same = k;
			best = &h->text[i];
		}
	}
	return best;
}

static struct text *oldest(struct vcr_prehash *h)
{
	struct text *t = &h->text[0];
	for (size_t i = 1; i < VCR_PREHASH_TEXTS; i++)
		if (h->text[i].used < t->used)
			t = &h->text[i];
	return t;
}

/* The text becomes p[0..n), of which `same` bytes are there. */
static bool replace(struct vcr_prehash *h, struct text *t, const char *p, size_t n, size_t same)
{
	char *grown = realloc(t->p, n);
	if (!grown)
		return false;
	memcpy(grown + same, p + same, n - same);
	h->bytes += n - t->n;
	t->p = grown;
	t->n = n;
	return true;
}

static void make_room(struct vcr_prehash *h, const struct text *kept)
{
	for (struct text *t; h->bytes > VCR_PREHASH_BYTES; forget(h, t)) {
		t = NULL;
		for (size_t i = 0; i < VCR_PREHASH_TEXTS; i++)
			if (&h->text[i] != kept && h->text[i].p && (!t || h->text[i].used < t->used))
				t = &h->text[i];
		if (!t)
			return;
	}
}

/* One more, behind the others. When there are too many, that goes whose neighbour is nearest: so there are more of them towards the end. */
static void add_mark(struct text *t, size_t at, const EVP_MD_CTX *state)
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	if (!copy || EVP_MD_CTX_copy_ex(copy, state) != 1) {
		EVP_MD_CTX_free(copy);
		return;
	}
	if (t->marks == MARKS) {
		size_t least = 0;
		for (size_t i = 1; i + 2 < MARKS; i++)
			if (t->mark[i + 1].at - t->mark[i].at < t->mark[least + 1].at - t->mark[least].at)
				least = i;
		EVP_MD_CTX_free(t->mark[least].state);
		memmove(&t->mark[least], &t->mark[least + 1], (--t->marks - least) * sizeof *t->mark);
	}
	t->mark[t->marks++] = (struct mark){ at, copy };
}

/* The next place behind `from` that is to have a mark in a text of n bytes; n if there is none. */
static size_t next_mark(size_t from, size_t n)
{
	size_t best = n;
	for (size_t back = (size_t)FIRST_STEP * BLOCK; back < n; back *= 4) {
		size_t at = (n - back) / BLOCK * BLOCK;
		if (at > from && at < best)
			best = at;
	}
	return best;
}

static bool hash_on(struct text *t, size_t from, EVP_MD_CTX *state, unsigned char sum[VCR_SHA256])
{
	while (from < t->n) {
		size_t to = next_mark(from, t->n);
		if (EVP_DigestUpdate(state, t->p + from, to - from) != 1)
			return false;
		if (to < t->n)
			add_mark(t, to, state);
		from = to;
	}
	return EVP_DigestFinal_ex(state, sum, NULL) == 1;
}

static bool hash_text(struct vcr_prehash *h, struct text *t, size_t same, unsigned char sum[VCR_SHA256])
{
	size_t keep = 0, from = 0;
	while (keep < t->marks && t->mark[keep].at <= same)
		keep++;
	cut_marks(t, keep);
	EVP_MD_CTX *state = EVP_MD_CTX_new();
	bool good = state && (keep ? EVP_MD_CTX_copy_ex(state, t->mark[keep - 1].state) : EVP_DigestInit_ex(state, vcr_sha256_md(), NULL)) == 1;
	if (keep)
		from = t->mark[keep - 1].at;
	good = good && hash_on(t, from, state, sum);
	EVP_MD_CTX_free(state);
	h->spared += good ? from : 0;
	return good;
}

bool vcr_prehash(struct vcr_prehash *h, const void *p, size_t n, unsigned char sum[VCR_SHA256])
{
	size_t same;
	if (!h || n < VCR_PREHASH_LEAST || n > VCR_PREHASH_BYTES)
		return vcr_sha256(p, n, sum);
	struct text *t = most_alike(h, p, n, &same);
	if (!t || same < t->n / 2) { /* another conversation */
		forget(h, t = oldest(h));
		same = 0;
	}
	if (!replace(h, t, p, n, same)) {
		forget(h, t);
		return vcr_sha256(p, n, sum);
	}
	t->used = ++h->tick;
	make_room(h, t);
	if (hash_text(h, t, same, sum))
		return true;
	forget(h, t);
	return vcr_sha256(p, n, sum);
}
