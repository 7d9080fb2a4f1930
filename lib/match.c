#include "match-parts.h"
#include "structural.h"
#include <stdlib.h>
#include <string.h>

const char *vcr_rung_name(enum vcr_rung r)
{
	static const char *const names[] = { "exact", "canonical", "normalised", "structural" };
	return (unsigned)r < VCR_RUNGS ? names[r] : "?";
}

static const char *key_of(const struct vcr_recorded *c, enum vcr_rung rung)
{
	return rung == VCR_RUNG_EXACT ? c->k0 : rung == VCR_RUNG_CANONICAL ? c->k1 : rung == VCR_RUNG_NORMALISED ? c->k2 : c->k3;
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
BY(by_k2, VCR_RUNG_NORMALISED)
BY(by_k3, VCR_RUNG_STRUCTURAL)
#undef BY

static int index_by(struct vcr_match *m, enum vcr_rung rung)
{
	static int (*const order[])(const void *, const void *) = { by_k0, by_k1, by_k2, by_k3 };
	struct vcr_recorded **v = calloc(m->n + 1, sizeof *v);
	if (!v)
		return VCR_ENOMEM;
	for (size_t i = 0; i < m->n; i++)
		v[i] = &m->call[i];
	qsort(v, m->n, sizeof *v, order[rung]);
	m->by[rung] = v;
	return 0;
}

struct vcr_recorded **vcr_match_range(const struct vcr_match *m, enum vcr_rung rung, const char *key, size_t *n)
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

/* Method, path and body after normalisation. form: of the body, if it is JSON. */
struct normal { struct vcr_buf target, form; bool is_json; };

static void normalise(const struct vcr_normal_context *c, enum vcr_api api, const char *target, const char *body, size_t n, struct normal *out)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	vcr_normal_text(c, target, strlen(target), &out->target);
	out->is_json = n && !vcr_json_parse(&j, body, n, 0, NULL) && !vcr_normal_json(c, api, &j, &out->form);
	if (out->is_json)
		return;
	vcr_buf_reset(&out->form);
	vcr_normal_text(c, body, n, &out->form);
}

static void normal_release(struct normal *x)
{
	vcr_buf_release(&x->target);
	vcr_buf_release(&x->form);
}
#define AUTO_NORMAL __attribute__((cleanup(normal_release))) struct normal
#define NORMAL_INIT { VCR_BUF_INIT, VCR_BUF_INIT, false }

static void normal_key(const struct normal *x, const char *method, char key[VCR_KEY_LEN])
{
	vcr_canon_k0(method, x->target.data, x->form.data, x->form.len, key);
}

/* Of what is no JSON there is none. texts: what is left out of it; may be NULL. */
static void structural_key(const struct normal *x, enum vcr_api api, const char *method, struct vcr_buf *texts, char key[VCR_KEY_LEN])
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF structure = VCR_BUF_INIT;
	*key = 0;
	if (x->is_json && !vcr_json_parse(&j, x->form.data, x->form.len, 0, NULL) && !vcr_structural(api, &j, &structure, texts))
		vcr_canon_k0(method, x->target.data, structure.data, structure.len, key);
}

static bool read_request(struct vcr_match *m, const struct vcr_recorded *c, struct vcr_buf *body)
{
	return !*c->request_ref || !vcr_reader_body(m->reader, c->request_ref, body, NULL);
}

static void normalise_all(struct vcr_match *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct vcr_recorded *c = &m->call[i];
		VCR_AUTO_BUF body = VCR_BUF_INIT;
		AUTO_NORMAL form = NORMAL_INIT;
		if (!read_request(m, c, &body))
			continue;
		normalise(&m->o.recorded, c->api, c->path, body.data, body.len, &form);
		normal_key(&form, c->method, c->k2);
		if (m->o.rung >= VCR_RUNG_STRUCTURAL)
			structural_key(&form, c->api, c->method, NULL, c->k3);
	}
	m->normalised = !index_by(m, VCR_RUNG_NORMALISED) && !index_by(m, VCR_RUNG_STRUCTURAL);
}

void vcr_match_key(struct vcr_match *m, const struct vcr_match_query *q, enum vcr_rung rung, char key[VCR_KEY_LEN])
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	*key = 0;
	if (rung == VCR_RUNG_EXACT) {
		vcr_canon_k0(q->method, q->target, q->body, q->nbody, key);
	} else if (rung == VCR_RUNG_CANONICAL) {
		bool is_json = q->nbody && !vcr_json_parse(&j, q->body, q->nbody, 0, NULL);
		vcr_canon_k1(q->method, q->target, q->body, q->nbody, is_json ? &j : NULL, key);
	} else {
		AUTO_NORMAL form = NORMAL_INIT;
		if (!m->normalised)
			normalise_all(m);
		if (!m->normalised)
			return;
		normalise(&m->o.live, q->api, q->target, q->body, q->nbody, &form);
		if (rung == VCR_RUNG_NORMALISED)
			normal_key(&form, q->method, key);
		else
			structural_key(&form, q->api, q->method, NULL, key);
	}
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

/* ---- Structure: the most alike ---- */

static void texts_of(const struct vcr_normal_context *c, enum vcr_api api, const char *target, const char *body, size_t n, struct vcr_buf *texts)
{
	AUTO_NORMAL form = NORMAL_INIT;
	char unused[VCR_KEY_LEN];
	normalise(c, api, target, body, n, &form);
	structural_key(&form, api, "", texts, unused);
}

/* Among calls of one structure; those that are free, or with `again` those given least often. Not more than MOST_ALIKE are looked at. */
static struct vcr_recorded *most_alike(struct vcr_match *m, const struct vcr_match_query *q, struct vcr_recorded **v, size_t n, bool again)
{
	enum { MOST_ALIKE = 64 };
	VCR_AUTO_BUF live = VCR_BUF_INIT;
	struct vcr_recorded *best = NULL;
	double most = VCR_STRUCTURAL_LEAST;
	unsigned looked = 0;
	for (size_t i = 0; i < n && looked < MOST_ALIKE; i++) {
		VCR_AUTO_BUF body = VCR_BUF_INIT, texts = VCR_BUF_INIT;
		if ((!again && v[i]->state != VCR_FREE) || !read_request(m, v[i], &body))
			continue;
		if (!looked++)
			texts_of(&m->o.live, q->api, q->target, q->body, q->nbody, &live);
		texts_of(&m->o.recorded, v[i]->api, v[i]->path, body.data, body.len, &texts);
		double alike = vcr_structural_likeness(texts.data, texts.len, live.data, live.len);
		if (alike > most || (alike == most && (!best || (again && v[i]->given < best->given)))) {
			best = v[i];
			most = alike;
		}
	}
	if (best)
		best->likeness = most;
	return best;
}

/* Rung by rung; a key is made when its rung is reached, or taken from a call with an equal one of a rung before. */
static struct vcr_recorded *climb(struct vcr_match *m, const struct vcr_match_query *q, const struct vcr_recorded *equal, enum vcr_rung from,
	struct vcr_recorded *(*choose)(struct vcr_recorded **, size_t), enum vcr_rung *rung)
{
	struct vcr_recorded *c = NULL;
	for (enum vcr_rung r = from; r <= m->o.rung && !c; r++) {
		char key[VCR_KEY_LEN] = "";
		size_t n;
		if (equal && *key_of(equal, r) && r < VCR_RUNG_STRUCTURAL)
			strcpy(key, key_of(equal, r));
		else if (q)
			vcr_match_key(m, q, r, key);
		struct vcr_recorded **v = vcr_match_range(m, r, key, &n);
		if (r == VCR_RUNG_STRUCTURAL) {
			c = q && !equal /* asked more often than then: another one's answer is none to it */ ? most_alike(m, q, v, n, choose != first_free) : NULL;
		} else {
			equal = !equal && n ? v[0] : equal;
			c = choose(v, n);
		}
		*rung = r;
	}
	return c;
}

static struct vcr_recorded *give(struct vcr_match *m, struct vcr_recorded *c, enum vcr_rung rung)
{
	if (c) {
		c->state = VCR_GIVEN;
		c->given++;
		c->likeness = rung == VCR_RUNG_STRUCTURAL ? c->likeness : 1;
		m->stats.by_rung[rung]++;
	}
	return c;
}

struct vcr_recorded *vcr_match_give(struct vcr_match *m, const struct vcr_match_query *q, enum vcr_rung *rung)
{
	struct vcr_recorded *c = climb(m, q, NULL, VCR_RUNG_EXACT, first_free, rung);
	if (!c && m->o.repeat)
		c = climb(m, q, NULL, VCR_RUNG_EXACT, m->o.repeat == VCR_REPEAT_LAST ? the_last : once_more, rung);
	return give(m, c, *rung);
}

struct vcr_recorded *vcr_match_give_like(struct vcr_match *m, const struct vcr_recorded *like, enum vcr_rung *rung)
{
	enum vcr_rung from = *rung;
	struct vcr_recorded *c = climb(m, NULL, like, from, first_free, rung);
	if (!c && m->o.repeat)
		c = climb(m, NULL, like, from, m->o.repeat == VCR_REPEAT_LAST ? the_last : once_more, rung);
	return give(m, c, *rung);
}

void vcr_match_back(struct vcr_match *m, struct vcr_recorded *c, bool delivered)
{
	c->state = delivered ? VCR_SPENT : VCR_FREE;
}

/* ---- The module ---- */

int vcr_match_new(struct vcr_match **out, struct vcr_reader *r, const struct vcr_match_options *o, struct vcr_error *e)
{
	struct vcr_match *m = calloc(1, sizeof *m);
	if (!m)
		return vcr_error_set(e, VCR_ENOMEM, "replay: out of memory");
	m->reader = r;
	m->o = *o;
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
	for (int i = 0; i < VCR_RUNGS; i++)
		free(m->by[i]);
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

void vcr_match_stats(const struct vcr_match *m, struct vcr_match_stats *s)
{
	*s = m->stats;
	s->spent = 0;
	for (size_t i = 0; i < m->n; i++)
		s->spent += m->call[i].state == VCR_SPENT;
}
