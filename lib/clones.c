/* Passages that stand in two places, as they are or with names and literals replaced.
 *
 * Names and literals are blind at first: hashes over SHINGLE tokens are sampled by winnowing (Schleimer, Wilkerson, Aiken, 2003), so that two passages of
 * WINDOW equal tokens share at least one. Where two are equal the passage is extended, and then cut to what is the same under one renaming: each name
 * on the one side has one name on the other. Tables, lists and imports are no clones: a passage has names, few literals, and several kinds of words. */
#include "sentinel-scan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 100, SHINGLE = 40, SAMPLE = WINDOW - SHINGLE + 1, LINES = 10, PLACES = 8, NAMES = 1024, MANY = 4 * WINDOW };

struct print { uint64_t hash; uint32_t file, at; };
struct passage { uint32_t file_a, a, file_b, b, n; };
struct seeking {
	const struct vcr_policy *policy;
	const struct vcr_scanned *s;
	struct vcr_findings *out;
	struct print *print; size_t n, capacity;
	uint32_t *covered;   /* by file: up to where its tokens are told to be a copy */
	size_t duplicates;   /* findings of out that are duplicates */
	int err;
};

static uint32_t blind(const struct vcr_clone_token *t)
{
	return t->kind == 1 ? 1 : t->text;
}

static void add_print(struct seeking *k, uint64_t hash, size_t file, size_t at)
{
	if (k->n == k->capacity) {
		size_t more = k->n ? k->n * 2 : 1024;
		struct print *p = realloc(k->print, more * sizeof *p);
		if (!p) {
			k->err = VCR_ENOMEM;
			return;
		}
		k->print = p;
		k->capacity = more;
	}
	k->print[k->n++] = (struct print){ hash, (uint32_t)file, (uint32_t)at };
}

/* The least of each SAMPLE neighbouring hashes; of equal ones the last. */
static void sample(struct seeking *k, size_t file)
{
	const struct vcr_scanned_file *f = &k->s->file[file];
	const uint64_t base = 0x9e3779b97f4a7c15u;
	uint64_t top = 1, h = 0, ring[SAMPLE], seed = (uint64_t)f->language + 1;
	size_t chosen = SIZE_MAX;
	for (int i = 0; i < SHINGLE; i++)
		top *= base;
	for (size_t i = 0; i < f->ntoken && !k->err; i++) {
		h = h * base + blind(&f->token[i]) + seed;
		if (i >= SHINGLE)
			h -= top * (blind(&f->token[i - SHINGLE]) + seed);
		if (i + 1 < SHINGLE)
			continue;
		size_t at = i + 1 - SHINGLE, first = at + 1 > SAMPLE ? at + 1 - SAMPLE : 0, least = first;
		ring[at % SAMPLE] = (h ^ h >> 31) * 0xbf58476d1ce4e5b9u;
		if (at + 1 < SAMPLE)
			continue;
		if (chosen != SIZE_MAX && chosen >= first) { /* it still counts: only the new one can be less */
			if (ring[at % SAMPLE] > ring[chosen % SAMPLE])
				continue;
			least = at;
		} else {
			for (size_t q = first; q <= at; q++)
				if (ring[q % SAMPLE] <= ring[least % SAMPLE])
					least = q;
		}
		if (least != chosen)
			add_print(k, ring[least % SAMPLE], file, least);
		chosen = least;
	}
}

static int by_hash(const void *a, const void *b)
{
	const struct print *x = a, *y = b;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* As far as the blind tokens are equal, and the two do not overlap. */
static void extend(const struct vcr_scanned *s, struct passage *p)
{
	const struct vcr_scanned_file *fa = &s->file[p->file_a], *fb = &s->file[p->file_b];
	while (p->a && p->b && blind(&fa->token[p->a - 1]) == blind(&fb->token[p->b - 1])) {
		p->a--;
		p->b--;
		p->n++;
	}
	while (p->a + p->n < fa->ntoken && p->b + p->n < fb->ntoken && blind(&fa->token[p->a + p->n]) == blind(&fb->token[p->b + p->n]))
		p->n++;
	if (p->file_a == p->file_b && p->a + p->n > p->b)
		p->n = p->b - p->a;
}

/* Names on the two sides that belong together, each with where it was seen last. */
struct names { struct { uint32_t from, to, last; } pair[NAMES]; uint32_t n; };

/* The token n has these names: where a passage with it can begin at the earliest, which begins at start without it. */
static uint32_t pair_names(struct names *w, uint32_t start, uint32_t n, uint32_t from, uint32_t to)
{
	uint32_t begin = start, live = 0;
	bool is_known = false;
	for (uint32_t i = 0; i < w->n; i++) {
		bool is_same = w->pair[i].from == from && w->pair[i].to == to;
		if (w->pair[i].last < start)
			continue;
		if (is_same)
			w->pair[i].last = n;
		else if ((w->pair[i].from == from || w->pair[i].to == to) && w->pair[i].last >= begin)
			begin = w->pair[i].last + 1;
		is_known |= is_same;
		w->pair[live++] = w->pair[i];
	}
	w->n = live;
	if (!is_known && live == NAMES) {
		w->n = 0;
		return n + 1;
	}
	if (!is_known) {
		w->pair[live].from = from;
		w->pair[live].to = to;
		w->pair[w->n++].last = n;
	}
	return begin;
}

/* The first part of the passage, of WINDOW tokens or more, that one renaming makes the same and half of which lies behind covered; false: there is none. */
static bool renamed(const struct vcr_scanned *s, struct passage *p, uint32_t covered)
{
	const struct vcr_clone_token *a = s->file[p->file_a].token + p->a, *b = s->file[p->file_b].token + p->b;
	struct names names = { .n = 0 };
	for (uint32_t n = 0, start = 0;; n++) {
		uint32_t begin = n == p->n ? UINT32_MAX : a[n].kind == 1 ? pair_names(&names, start, n, a[n].text, b[n].text) : start;
		if (begin != start && n - start >= WINDOW && p->b + n >= covered + (n - start) / 2) {
			p->a += start;
			p->b += start;
			p->n = n - start;
			return true;
		}
		if (n == p->n)
			return false;
		start = begin;
	}
}

/* Is it code, and not a table, a list of names, or a heap of imports? */
static bool says_something(const struct vcr_clone_token *t, uint32_t n)
{
	uint32_t names = 0, literals = 0, kinds = 0, seen[10];
	for (uint32_t i = 0; i < n; i++) {
		names += t[i].kind == 1;
		literals += t[i].kind == 2;
		uint32_t k = 0;
		while (k < kinds && seen[k] != t[i].text)
			k++;
		if (!t[i].kind && k == kinds && kinds < sizeof seen / sizeof *seen)
			seen[kinds++] = t[i].text;
	}
	return names >= n / 8 && literals < n / 4 && kinds == sizeof seen / sizeof *seen;
}

static bool is_duplicate(const struct seeking *k, const char *path, uint32_t first, uint32_t last)
{
	for (size_t i = 0; i < k->duplicates; i++) {
		const struct vcr_finding *f = &k->out->item[i];
		uint32_t from = f->start_line > first ? f->start_line : first, to = f->end_line < last ? f->end_line : last;
		if (!strcmp(f->path, path) && from < to && (to - from + 1) * 2 > last - first + 1)
			return true;
	}
	return false;
}

/* false: it stands on too few lines. */
static bool say(struct seeking *k, const struct passage *p)
{
	const struct vcr_scanned_file *fa = &k->s->file[p->file_a], *fb = &k->s->file[p->file_b];
	uint32_t a1 = fa->token[p->a].line, a2 = fa->token[p->a + p->n - 1].line, b1 = fb->token[p->b].line, b2 = fb->token[p->b + p->n - 1].line;
	char words[400];
	if (b2 - b1 + 1 < LINES || a2 - a1 + 1 < LINES)
		return false;
	if (!says_something(&fb->token[p->b], p->n) || is_duplicate(k, fb->path, b1, b2))
		return true;
	snprintf(words, sizeof words, "these %u lines (%u tokens) are a copy of lines %u to %u of %.250s", b2 - b1 + 1, p->n, a1, a2, fa->path);
	k->err = vcr_findings_add(k->out, &(struct vcr_finding){ .rule = VCR_RULE_CLONE, .severity = vcr_policy_severity(k->policy, VCR_RULE_CLONE, 1, NULL), .start_line = b1,
		.end_line = b2, .measured = -1, .threshold = -1, .path = fb->path, .function = "", .message = words });
	return true;
}

/* What the two places have in common, part by part; false: nothing that is new. */
static bool say_parts(struct seeking *k, const struct print *a, const struct print *b)
{
	struct passage whole = { a->file, a->at, b->file, b->at, 0 };
	uint32_t *covered = &k->covered[b->file];
	bool found = false;
	extend(k->s, &whole);
	for (struct passage p = whole; p.n >= WINDOW && !k->err && renamed(k->s, &p, *covered);) {
		if (say(k, &p) || p.n > MANY) { /* a short one on few lines may hide one on more lines */
			*covered = p.b + p.n;
			found = true;
		}
		p.n = whole.b + whole.n - p.b - 1; /* the next one begins behind where this one does */
		p.a++;
		p.b++;
	}
	return found;
}

/* The print i against the first ones of the same hash. */
static void compare(struct seeking *k, size_t first, size_t i)
{
	const struct print *b = &k->print[i];
	for (size_t c = first; c < i && c < first + PLACES; c++) {
		const struct print *a = &k->print[c];
		if (b->at < k->covered[b->file])
			return;
		if (k->s->file[a->file].language == k->s->file[b->file].language && say_parts(k, a, b))
			return;
	}
}

/* Pairs of equal hashes are looked at in the order of the places where a copy would be said. */
struct pair { uint32_t first, at, file, token; };

static int by_place(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return x->token < y->token ? -1 : x->token > y->token;
}

static int compare_all(struct seeking *k)
{
	struct pair *pair = malloc((k->n + 1) * sizeof *pair);
	size_t n = 0;
	if (!pair)
		return VCR_ENOMEM;
	for (size_t i = 0, first = 0; i < k->n; i++) {
		if (k->print[i].hash != k->print[first].hash)
			first = i;
		if (i > first)
			pair[n++] = (struct pair){ (uint32_t)first, (uint32_t)i, k->print[i].file, k->print[i].at };
	}
	if (n)
		qsort(pair, n, sizeof *pair, by_place);
	for (size_t i = 0; i < n && !k->err; i++)
		compare(k, pair[i].first, pair[i].at);
	free(pair);
	return k->err;
}

int vcr_clones(const struct vcr_policy *p, const struct vcr_scanned *s, struct vcr_findings *out)
{
	struct seeking k = { .policy = p, .s = s, .out = out, .duplicates = out->n, .covered = calloc(s->n + 1, sizeof(uint32_t)) };
	int err = k.covered ? 0 : VCR_ENOMEM;
	for (size_t i = 0; i < s->n && !err; i++) {
		sample(&k, i);
		err = k.err;
	}
	if (!err && k.n) {
		qsort(k.print, k.n, sizeof *k.print, by_hash);
		err = compare_all(&k);
	}
	free(k.print);
	free(k.covered);
	return err;
}
