/* match-normal.c — the rungs that compare normal forms (normal.h) and what of them is structure (structural.h). */
#include "match-parts.h"
#include "structural.h"
#include <stdlib.h>
#include <string.h>

/* Method, path and body after normalisation. form: of the body, if it is JSON. */
struct normal { struct vcr_buf target, form; bool is_json; };

/* known: the body, parsed; NULL: not yet, or it is no JSON. */
static void normalise(struct vcr_match *m, const struct vcr_normal_context *c, enum vcr_api api, const char *target, const char *body, size_t n, const struct vcr_json *known, struct normal *out)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	vcr_normal_text(c, target, strlen(target), &out->target);
	if (!known && n && !vcr_json_parse(&j, body, n, 0, NULL))
		known = &j;
	if (!m->kept)
		m->kept = vcr_normal_cache_new();
	out->is_json = known && !vcr_normal_json(c, api, known, m->kept, &out->form);
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

static bool read_request(const struct vcr_recorded *c, struct vcr_buf *body)
{
	return !*c->request_ref || !vcr_reader_body(c->reader, c->request_ref, body, NULL);
}

/* ---- Which calls may match ---- */

static int64_t items_of(enum vcr_api api, const char *target, const struct vcr_json *j)
{
	struct vcr_request_info info;
	if (!j || vcr_json_type(j, 0) != VCR_JSON_OBJECT)
		return 0;
	vcr_request_info(api, target, j, &info);
	int64_t n = info.list >= 0 ? vcr_json_count(j, info.list) : 0;
	vcr_request_info_release(&info);
	return n;
}

/* As the recording notes it; an older one does not. */
static void find_shape(struct vcr_recorded *c)
{
	VCR_AUTO_BUF body = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (c->items >= 0 && c->size >= 0)
		return;
	if (!read_request(c, &body))
		vcr_buf_reset(&body);
	bool is_json = body.len && !vcr_json_parse(&j, body.data, body.len, 0, NULL);
	c->items = items_of(c->api, c->path, is_json ? &j : NULL);
	c->size = (int64_t)body.len;
}

struct shape { enum vcr_api api; int64_t items; };

static int against(const struct vcr_recorded *c, const struct shape *s)
{
	if (c->api != s->api)
		return c->api < s->api ? -1 : 1;
	return (c->items > s->items) - (c->items < s->items);
}

static int by_shape(const void *a, const void *b)
{
	const struct vcr_recorded *x = *(struct vcr_recorded *const *)a, *y = *(struct vcr_recorded *const *)b;
	int c = against(x, &(struct shape){ y->api, y->items });
	return c ? c : (x > y) - (x < y);
}

static bool index_shapes(struct vcr_match *m)
{
	if (m->shaped)
		return true;
	free(m->found);
	struct vcr_recorded **v = calloc(m->n + 1, sizeof *v);
	m->found = v ? calloc(m->n + 1, sizeof *m->found) : NULL;
	m->spent = m->found ? calloc(m->n + 1, sizeof *m->spent) : NULL;
	if (!m->spent) {
		free(v);
		return false;
	}
	for (size_t i = 0; i < m->n; i++) {
		find_shape(&m->call[i]);
		v[i] = &m->call[i];
	}
	qsort(v, m->n, sizeof *v, by_shape);
	m->shaped = v;
	return true;
}

/* The first of the shaped calls that is not below it. */
static size_t lower_bound(const struct vcr_match *m, const struct shape *s)
{
	size_t lo = 0, hi = m->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (against(m->shaped[mid], s) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- Keys ---- */

/* Made once; what cannot be read has none. */
static void make_keys(struct vcr_match *m, struct vcr_recorded *c)
{
	VCR_AUTO_BUF body = VCR_BUF_INIT;
	AUTO_NORMAL form = NORMAL_INIT;
	if (*c->k2 || c->unreadable || (c->unreadable = !read_request(c, &body)))
		return;
	normalise(m, c->in, c->api, c->path, body.data, body.len, NULL, &form);
	normal_key(&form, c->method, c->k2);
	if (m->o.rung >= VCR_RUNG_STRUCTURAL)
		structural_key(&form, c->api, c->method, NULL, c->k3);
}

static void make_live_keys(struct vcr_match *m, struct asked *a)
{
	AUTO_NORMAL form = NORMAL_INIT;
	const struct vcr_match_query *q = a->q;
	if (*a->k2)
		return;
	normalise(m, &m->o.live, q->api, q->target, q->body, q->nbody, vcr_asked_json(a), &form);
	normal_key(&form, q->method, a->k2);
	if (m->o.rung >= VCR_RUNG_STRUCTURAL)
		structural_key(&form, q->api, q->method, NULL, a->k3);
}

/* ---- Finding ---- */

struct group { size_t from, to; }; /* of shaped calls: those of one shape, in order */

static struct group group_of(const struct vcr_match *m, const struct shape *s)
{
	struct shape next = { s->api, s->items + 1 };
	return (struct group){ lower_bound(m, s), lower_bound(m, &next) };
}

/* The first in order that nobody has, of about that size. A program asks mostly in the order in which it asked then, so that is mostly the first that is looked at. */
static struct vcr_recorded *first_free(struct vcr_match *m, const struct group *g, int64_t size, int64_t distance, const struct asked *a)
{
	size_t *spent = &m->spent[g->from]; /* of the group: so many at its beginning are */
	while (g->from + *spent < g->to && m->shaped[g->from + *spent]->state == VCR_SPENT)
		++*spent;
	for (size_t i = g->from + *spent; i < g->to; i++) {
		struct vcr_recorded *c = m->shaped[i];
		if (c->state != VCR_FREE || c->size - size > distance || size - c->size > distance)
			continue;
		make_keys(m, c);
		if (!strcmp(c->k2, a->k2))
			return c;
	}
	return NULL;
}

static size_t find_all(struct vcr_match *m, const struct group *g, const struct asked *a, enum vcr_rung rung)
{
	const char *key = rung == VCR_RUNG_NORMALISED ? a->k2 : a->k3;
	size_t n = 0;
	for (size_t i = g->from; i < g->to && *key; i++) {
		struct vcr_recorded *c = m->shaped[i];
		make_keys(m, c);
		if (!strcmp(rung == VCR_RUNG_NORMALISED ? c->k2 : c->k3, key))
			m->found[n++] = c;
	}
	return n;
}

struct vcr_recorded **vcr_match_normal_equals(struct vcr_match *m, struct asked *a, enum vcr_rung rung, size_t *n)
{
	/* Dates and ids are about as long as others; of several that are equal the first in order has to be among those that are looked at. */
	static const int64_t distances[] = { 256, 4096, INT64_MAX };
	*n = 0;
	if (!index_shapes(m))
		return NULL;
	make_live_keys(m, a);
	struct shape s = { a->q->api, items_of(a->q->api, a->q->target, vcr_asked_json(a)) };
	struct group g = group_of(m, &s);
	for (size_t i = 0; rung == VCR_RUNG_NORMALISED && i < 3 && !*n; i++)
		if ((m->found[0] = first_free(m, &g, (int64_t)a->q->nbody, distances[i], a)))
			*n = 1;
	if (!*n)
		*n = find_all(m, &g, a, rung);
	return m->found;
}

/* ---- The most alike ---- */

static void texts_of(struct vcr_match *m, const struct vcr_normal_context *c, enum vcr_api api, const char *target, const char *body, size_t n, struct vcr_buf *texts)
{
	AUTO_NORMAL form = NORMAL_INIT;
	char unused[VCR_KEY_LEN];
	normalise(m, c, api, target, body, n, NULL, &form);
	structural_key(&form, api, "", texts, unused);
}

/* Among calls of one structure; those that are free, or with `again` those given least often. Not more than MOST_ALIKE are looked at. */
struct vcr_recorded *vcr_match_most_alike(struct vcr_match *m, struct asked *a, struct vcr_recorded **v, size_t n, bool again)
{
	enum { MOST_ALIKE = 64 };
	const struct vcr_match_query *q = a->q;
	VCR_AUTO_BUF live = VCR_BUF_INIT;
	struct vcr_recorded *best = NULL;
	double most = VCR_STRUCTURAL_LEAST;
	unsigned looked = 0;
	for (size_t i = 0; i < n && looked < MOST_ALIKE; i++) {
		VCR_AUTO_BUF body = VCR_BUF_INIT, texts = VCR_BUF_INIT;
		if ((!again && v[i]->state != VCR_FREE) || !read_request(v[i], &body))
			continue;
		if (!looked++)
			texts_of(m, &m->o.live, q->api, q->target, q->body, q->nbody, &live);
		texts_of(m, v[i]->in, v[i]->api, v[i]->path, body.data, body.len, &texts);
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
