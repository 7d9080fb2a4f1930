/* jdiff-align.c — the longest common subsequence of two lists of hashes, or something like it when that would cost too much. */
#include "jdiff.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_CELLS = 4 << 20 };

struct part { const uint64_t *a, *b; int n, m; int *to; int offset; };

static int align(struct part p, long *work, bool anchored);

/* The table of lengths, from the ends; fits 16 bits, since the shorter list has at most 2048 items. */
static int align_exactly(struct part p)
{
	size_t width = (size_t)p.m + 1;
	uint16_t *t = calloc((size_t)(p.n + 1) * width, sizeof *t);
	if (!t)
		return VCR_ENOMEM;
	for (int i = p.n - 1; i >= 0; i--)
		for (int j = p.m - 1; j >= 0; j--) {
			uint16_t down = t[(size_t)(i + 1) * width + (size_t)j], right = t[(size_t)i * width + (size_t)j + 1];
			t[(size_t)i * width + (size_t)j] = p.a[i] == p.b[j] ? (uint16_t)(t[(size_t)(i + 1) * width + (size_t)j + 1] + 1) : down > right ? down : right;
		}
	for (int i = 0, j = 0; i < p.n && j < p.m;) {
		if (p.a[i] == p.b[j])
			p.to[i++] = p.offset + j++;
		else if (t[(size_t)(i + 1) * width + (size_t)j] >= t[(size_t)i * width + (size_t)j + 1])
			i++;
		else
			j++;
	}
	free(t);
	return 0;
}

/* ---- Anchors: what occurs once on either side ---- */

struct item { uint64_t hash; int at; bool in_b; };

static int by_hash(const void *x, const void *y)
{
	const struct item *a = x, *b = y;
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return a->in_b != b->in_b ? a->in_b - b->in_b : a->at - b->at;
}

/* only[i]: the place in b of a[i] where both occur once, else -1. */
static int find_unique(struct part p, int *only)
{
	size_t sum = (size_t)p.n + (size_t)p.m, k = 0;
	struct item *v = calloc(sum + 1, sizeof *v);
	if (!v)
		return VCR_ENOMEM;
	for (int i = 0; i < p.n; i++) {
		v[k++] = (struct item){ p.a[i], i, false };
		only[i] = -1;
	}
	for (int j = 0; j < p.m; j++)
		v[k++] = (struct item){ p.b[j], j, true };
	qsort(v, sum, sizeof *v, by_hash);
	for (size_t i = 0, end; i < sum; i = end) {
		for (end = i + 1; end < sum && v[end].hash == v[i].hash; end++)
			;
		if (end == i + 2 && !v[i].in_b && v[i + 1].in_b)
			only[v[i].at] = v[i + 1].at;
	}
	free(v);
	return 0;
}

/* Of only[], keep a longest increasing subsequence (patience sorting); the rest becomes -1. Returns its length or VCR_ENOMEM. */
static int keep_increasing(int *only, int n)
{
	int *tail = calloc((size_t)n + 1, sizeof *tail), *before = calloc((size_t)n + 1, sizeof *before), piles = 0;
	if (!tail || !before) {
		free(tail);
		free(before);
		return VCR_ENOMEM;
	}
	for (int i = 0; i < n; i++) {
		if (only[i] < 0)
			continue;
		int lo = 0, hi = piles;
		while (lo < hi) {
			int mid = lo + (hi - lo) / 2;
			if (only[tail[mid]] < only[i])
				lo = mid + 1;
			else
				hi = mid;
		}
		before[i] = lo ? tail[lo - 1] : -1;
		tail[lo] = i;
		piles += lo == piles;
	}
	int next = piles ? tail[piles - 1] : -1;
	for (int i = n - 1; i >= 0; i--) {
		if (i == next)
			next = before[i];
		else
			only[i] = -1;
	}
	free(tail);
	free(before);
	return piles;
}

static int align_by_anchors(struct part p, long *work)
{
	int *only = calloc((size_t)p.n + 1, sizeof *only);
	int err = only ? find_unique(p, only) : VCR_ENOMEM, found = err ? err : keep_increasing(only, p.n);
	err = found < 0 ? found : 0;
	for (int i = 0, from_a = 0, from_b = 0; i <= p.n && found > 0 && !err; i++) {
		if (i < p.n && only[i] < 0)
			continue;
		int j = i < p.n ? only[i] : p.m;
		err = align((struct part){ p.a + from_a, p.b + from_b, i - from_a, j - from_b, p.to + from_a, p.offset + from_b }, work, true);
		if (i < p.n)
			p.to[i] = p.offset + j;
		from_a = i + 1;
		from_b = j + 1;
	}
	free(only);
	return err;
}

/* Between anchors there are none of the kind that the whole has, but some may occur once in the part: once more is enough. */
static int align(struct part p, long *work, bool anchored)
{
	while (p.n && p.m && p.a[0] == p.b[0]) {
		*p.to = p.offset;
		p = (struct part){ p.a + 1, p.b + 1, p.n - 1, p.m - 1, p.to + 1, p.offset + 1 };
	}
	while (p.n && p.m && p.a[p.n - 1] == p.b[p.m - 1]) {
		p.n--, p.m--;
		p.to[p.n] = p.offset + p.m;
	}
	long cells = (long)p.n * p.m;
	if (!cells)
		return 0;
	if (cells <= MOST_CELLS && cells <= *work) {
		*work -= cells;
		return align_exactly(p);
	}
	return anchored ? 0 : align_by_anchors(p, work);
}

int vcr_jdiff_align(const uint64_t *a, int n, const uint64_t *b, int m, int *to, long *work)
{
	for (int i = 0; i < n; i++)
		to[i] = -1;
	return align((struct part){ a, b, n, m, to, 0 }, work, false);
}
