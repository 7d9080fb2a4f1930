#include "match-parts.h"
#include <stdlib.h>
#include <string.h>

const char *vcr_rung_name(enum vcr_rung r)
{
	static const char *const names[] = { "exact", "canonical", "normalised", "structural" };
	return (unsigned)r < VCR_RUNGS ? names[r] : "?";
}

static const char *key_of(const struct vcr_recorded *c, enum vcr_rung rung)
{
	return rung == VCR_RUNG_EXACT ? c->k0 : c->k1;
}

/* ---- The index ---- */

static int compare(const struct vcr_recorded *x, const struct vcr_recorded *y, enum vcr_rung rung)
{
	int c = strcmp(key_of(x, rung), key_of(y, rung));
	return c ? c : (x > y) - (x < y); /* they lie in one array, in the order in which they were asked */
}

#define BY(name, rung) \
	static int name(const void *a, const void *b) \
	{ \
		return compare(*(struct vcr_recorded *const *)a, *(struct vcr_recorded *const *)b, rung); \
	}
BY(by_k0, VCR_RUNG_EXACT)
BY(by_k1, VCR_RUNG_CANONICAL)
#undef BY

static int index_by(struct vcr_match *m, enum vcr_rung rung)
{
	static int (*const order[])(const void *, const void *) = { by_k0, by_k1 };
	struct vcr_recorded **v = calloc(m->n + 1, sizeof *v);
	if (!v)
		return VCR_ENOMEM;
	for (size_t i = 0; i < m->n; i++)
		v[i] = &m->call[i];
	qsort(v, m->n, sizeof *v, order[rung]);
	m->by[rung] = v;
	return 0;
}

static struct vcr_recorded **range(const struct vcr_match *m, enum vcr_rung rung, const char *key, size_t *n)
{
	struct vcr_recorded **v = m->by[rung];
	size_t lo = 0, hi = m->n;
	*n = 0;
	if (!v || !*key)
		return NULL;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strcmp(key_of(v[mid], rung), key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo + *n < m->n && !strcmp(key_of(v[lo + *n], rung), key))
		++*n;
	return v + lo;
}

const struct vcr_json *vcr_asked_json(struct asked *a)
{
	if (!a->parsed)
		a->is_json = a->q->nbody && !vcr_json_parse(&a->j, a->q->body, a->q->nbody, 0, NULL);
	a->parsed = true;
	return a->is_json ? &a->j : NULL;
}

void vcr_asked_release(struct asked *a)
{
	vcr_json_release(&a->j);
}

struct vcr_recorded **vcr_match_equals(struct vcr_match *m, struct asked *a, enum vcr_rung rung, size_t *n)
{
	const struct vcr_match_query *q = a->q;
	char key[VCR_KEY_LEN];
	if (rung >= VCR_RUNG_NORMALISED)
		return vcr_match_normal_equals(m, a, rung, n);
	if (rung == VCR_RUNG_EXACT)
		vcr_canon_k0(q->method, q->target, q->body, q->nbody, key);
	else
		vcr_canon_k1(q->method, q->target, q->body, q->nbody, vcr_asked_json(a), key);
	return range(m, rung, key, n);
}

/* ---- Giving out ---- */

static struct vcr_recorded *first_free(struct vcr_recorded **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i]->state == VCR_FREE)
			return v[i];
	return NULL;
}

/* All are spent or on their way: the one given least often, the first of these. */
static struct vcr_recorded *once_more(struct vcr_recorded **v, size_t n)
{
	struct vcr_recorded *best = NULL;
	for (size_t i = 0; i < n; i++)
		if (!best || v[i]->given < best->given)
			best = v[i];
	return best;
}

static struct vcr_recorded *the_last(struct vcr_recorded **v, size_t n)
{
	return n ? v[n - 1] : NULL;
}

/* Rung by rung. One that was recorded as it is, and is asked more often now, gets no answer of one that is only of its structure. */
static struct vcr_recorded *climb(struct vcr_match *m, struct asked *a, struct vcr_recorded *(*choose)(struct vcr_recorded **, size_t), enum vcr_rung *rung)
{
	struct vcr_recorded *c = NULL;
	bool known = false;
	for (enum vcr_rung r = VCR_RUNG_EXACT; r <= m->o.rung && !c; r++) {
		size_t n;
		if (r == VCR_RUNG_STRUCTURAL && known)
			break;
		struct vcr_recorded **v = vcr_match_equals(m, a, r, &n);
		c = r == VCR_RUNG_STRUCTURAL ? vcr_match_most_alike(m, a, v, n, choose != first_free) : choose(v, n);
		known = known || n;
		*rung = r;
	}
	return c;
}

static struct vcr_recorded *(*choose_anew(const struct vcr_match *m))(struct vcr_recorded **, size_t)
{
	return m->o.repeat == VCR_REPEAT_LAST ? the_last : once_more;
}

static struct vcr_recorded *give(struct vcr_match *m, struct vcr_recorded *c, unsigned anew, enum vcr_rung rung)
{
	if (c) {
		c->anew = anew;
		c->state = VCR_GIVEN;
		c->given++;
		c->likeness = rung == VCR_RUNG_STRUCTURAL ? c->likeness : 1;
		m->stats.by_rung[rung]++;
	}
	return c;
}

struct vcr_recorded *vcr_match_give(struct vcr_match *m, const struct vcr_match_query *q, enum vcr_rung *rung)
{
	VCR_AUTO_ASKED a = VCR_ASKED(q);
	struct vcr_recorded *c = m->o.nothing ? NULL : climb(m, &a, first_free, rung);
	unsigned anew = !c && m->o.repeat && !m->o.nothing ? m->returns : 0;
	if (anew)
		c = climb(m, &a, choose_anew(m), rung);
	return give(m, c, anew, *rung);
}

struct vcr_recorded *vcr_match_give_like(struct vcr_match *m, const struct vcr_recorded *like, unsigned anew, enum vcr_rung rung)
{
	size_t n;
	if (rung > VCR_RUNG_CANONICAL)
		return NULL;
	struct vcr_recorded **v = range(m, rung, key_of(like, rung), &n), *c = first_free(v, n);
	if (c)
		return give(m, c, 0, rung);
	return anew && anew == m->returns ? give(m, choose_anew(m)(v, n), anew, rung) : NULL; /* since then none has become free on any rung */
}

void vcr_match_back(struct vcr_match *m, struct vcr_recorded *c, bool delivered)
{
	c->state = delivered ? VCR_SPENT : VCR_FREE;
	m->returns += !delivered;
	if (!delivered && m->spent)
		memset(m->spent, 0, m->n * sizeof *m->spent);
}

/* ---- The module ---- */

int vcr_match_new(struct vcr_match **out, struct vcr_reader *r, const struct vcr_match_options *o, struct vcr_error *e)
{
	struct vcr_match *m = calloc(1, sizeof *m);
	if (!m)
		return vcr_error_set(e, VCR_ENOMEM, "replay: out of memory");
	m->reader = r;
	m->o = *o;
	m->returns = 1;
	int err = vcr_match_load(m, e);
	if (!err && (index_by(m, VCR_RUNG_EXACT) || index_by(m, VCR_RUNG_CANONICAL)))
		err = vcr_error_set(e, VCR_ENOMEM, "replay: out of memory");
	if (err)
		vcr_match_free(m);
	else
		*out = m;
	return err;
}

void vcr_match_free(struct vcr_match *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++) {
		vcr_recorded_release(&m->call[i]);
		if (m->prefixes)
			free(m->prefixes[i].hash);
	}
	free(m->by[0]);
	free(m->by[1]);
	free(m->shaped);
	free(m->found);
	free(m->spent);
	vcr_normal_cache_free(m->kept);
	free(m->prefixes);
	free(m->call);
	free(m);
}

size_t vcr_match_count(const struct vcr_match *m)
{
	return m->n;
}

struct vcr_recorded *vcr_match_call(const struct vcr_match *m, size_t i)
{
	return i < m->n ? &m->call[i] : NULL;
}

const char *vcr_match_unusable(const struct vcr_match *m)
{
	return m->unusable.what;
}

void vcr_match_stats(const struct vcr_match *m, struct vcr_match_stats *s)
{
	*s = m->stats;
	s->spent = 0;
	for (size_t i = 0; i < m->n; i++)
		s->spent += m->call[i].state == VCR_SPENT;
}
