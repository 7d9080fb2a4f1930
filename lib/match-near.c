/* match-near.c — why a request has no answer: the nearest recording and the first difference. */
#include "match-parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXCERPT = 160, BEFORE = 40, MAX_HASHES = 8 << 20, MAX_DEPTH = 128 };

/* ---- The index of beginnings ---- */

static uint64_t mix(uint64_t h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3ull;
	return h ^ h >> 31;
}

static uint64_t hash_value(uint64_t h, const struct vcr_json *j, int v)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT, form = VCR_BUF_INIT;
	if (v < 0 || vcr_canon_json(j, v, &b) || vcr_canon_placeholders(b.data, b.len, &form))
		return h;
	return mix(h, form.data, form.len);
}

/* The conversation's items one after the other; everything else together. */
static int read_prefixes(enum vcr_api api, const char *target, const char *body, size_t n, size_t most, struct prefixes *p)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_request_info info;
	*p = (struct prefixes){ .known = true };
	if (!n || vcr_json_parse(&j, body, n, 0, NULL) || vcr_json_type(&j, 0) != VCR_JSON_OBJECT)
		return 0;
	vcr_request_info(api, target, &j, &info);
	size_t count = info.list >= 0 ? (size_t)vcr_json_count(&j, info.list) : 0, i = 0;
	count = count < most ? count : most;
	p->hash = calloc(count + 1, sizeof *p->hash);
	uint64_t h = 0xcbf29ce484222325ull;
	for (int m = count && p->hash ? vcr_json_first(&j, info.list) : -1; m >= 0 && i < count; m = vcr_json_next(&j, m))
		p->hash[i++] = h = hash_value(h, &j, m);
	p->n = i;
	p->rest = hash_value(hash_value(info.model ? mix(1, info.model, strlen(info.model)) : 1, &j, info.system), &j, info.tools);
	vcr_request_info_release(&info);
	return p->hash ? 0 : VCR_ENOMEM;
}

static int index_prefixes(struct vcr_match *m)
{
	if (m->prefixes)
		return 0;
	if (!(m->prefixes = calloc(m->n + 1, sizeof *m->prefixes)))
		return VCR_ENOMEM;
	for (size_t i = 0; i < m->n; i++) {
		struct vcr_recorded *c = &m->call[i];
		VCR_AUTO_BUF body = VCR_BUF_INIT;
		if (c->frame < 0 || !*c->request_ref || vcr_reader_body(c->reader, c->request_ref, &body, NULL))
			continue;
		if (read_prefixes(c->api, c->path, body.data, body.len, MAX_HASHES - m->hashes, &m->prefixes[i]))
			return VCR_ENOMEM;
		m->hashes += m->prefixes[i].n;
	}
	return 0;
}

/* Prefix hashes agree up to some item and differ from there on. */
static size_t common_items(const struct prefixes *a, const struct prefixes *b)
{
	size_t lo = 0, hi = a->n < b->n ? a->n : b->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (a->hash[mid] == b->hash[mid])
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- The nearest ---- */

static size_t path_length(const char *target)
{
	return strcspn(target, "?");
}

static bool same_path(const char *a, const char *b)
{
	size_t n = path_length(a);
	return n == path_length(b) && !memcmp(a, b, n);
}

struct likeness { size_t common; bool rest, unspent; size_t distance; };

static bool nearer(const struct likeness *a, const struct likeness *b)
{
	if (a->common != b->common)
		return a->common > b->common;
	if (a->rest != b->rest)
		return a->rest;
	if (a->unspent != b->unspent)
		return a->unspent;
	return a->distance < b->distance;
}

static const struct vcr_recorded *find_nearest(struct vcr_match *m, const struct vcr_match_query *q, size_t *common)
{
	struct prefixes live;
	const struct vcr_recorded *best = NULL;
	struct likeness most = { 0 };
	if (index_prefixes(m) || read_prefixes(q->api, q->target, q->body, q->nbody, MAX_HASHES, &live))
		return NULL;
	for (size_t i = 0; i < m->n; i++) {
		const struct vcr_recorded *c = &m->call[i];
		const struct prefixes *p = &m->prefixes[i];
		if (strcmp(c->method, q->method) || !same_path(c->path, q->target))
			continue;
		struct likeness l = { .common = common_items(p, &live), .rest = p->rest == live.rest, .unspent = c->state == VCR_FREE,
			.distance = p->n > live.n ? p->n - live.n : live.n - p->n };
		if (!best || nearer(&l, &most)) {
			best = c;
			most = l;
		}
	}
	free(live.hash);
	*common = most.common;
	return best;
}

/* ---- The first difference ---- */

struct diff { const struct vcr_json *a, *b; struct vcr_buf *pointer; struct vcr_divergence *d; int depth; };

static size_t utf8_start(const char *p, size_t at)
{
	while (at && ((unsigned char)p[at] & 0xc0) == 0x80)
		at--;
	return at;
}

/* Around the first byte that differs, cut between characters. */
static void excerpt(struct vcr_buf *out, const char *p, size_t n, size_t at)
{
	size_t from = at > BEFORE && n > EXCERPT ? utf8_start(p, at - BEFORE) : 0, to = n - from > EXCERPT ? utf8_start(p, from + EXCERPT) : n;
	bool binary = to > from && memchr(p + from, 0, to - from);
	vcr_buf_puts(out, from ? "..." : "");
	for (size_t i = from; i < to; i++) /* of what is no text, what could be read */
		vcr_buf_putc(out, binary && (p[i] < ' ' || p[i] > '~') ? '.' : p[i]);
	vcr_buf_puts(out, to < n ? "..." : "");
}

static void note(struct diff *x, int va, int vb)
{
	size_t na, nb, at = 0;
	const char *a = vcr_json_raw(x->a, va, &na), *b = vcr_json_raw(x->b, vb, &nb);
	while (at < na && at < nb && a[at] == b[at])
		at++;
	vcr_buf_reset(&x->d->recorded);
	vcr_buf_reset(&x->d->live);
	if (va >= 0)
		excerpt(&x->d->recorded, a, na, at);
	if (vb >= 0)
		excerpt(&x->d->live, b, nb, at);
}

static void push(struct diff *x, const char *key)
{
	vcr_buf_putc(x->pointer, '/');
	for (; *key; key++)
		if (*key == '~' || *key == '/')
			vcr_buf_puts(x->pointer, *key == '~' ? "~0" : "~1");
		else
			vcr_buf_putc(x->pointer, *key);
}

static bool same_form(const struct diff *x, int va, int vb)
{
	return hash_value(7, x->a, va) == hash_value(7, x->b, vb);
}

static bool differs(struct diff *x, int va, int vb);

/* Steps into one member; on a difference the pointer stays there. */
static bool member_differs(struct diff *x, const char *key, int va, int vb)
{
	size_t before = x->pointer->len;
	push(x, key);
	if (differs(x, va, vb))
		return true;
	vcr_buf_cut(x->pointer, before);
	return false;
}

static bool objects_differ(struct diff *x, int va, int vb)
{
	for (int k = vcr_json_first(x->a, va); k >= 0; k = vcr_json_next(x->a, k)) {
		VCR_AUTO_BUF key = VCR_BUF_INIT;
		vcr_json_str(x->a, k, &key);
		if (member_differs(x, key.data, vcr_json_value(x->a, k), vcr_json_get(x->b, vb, key.data)))
			return true;
	}
	for (int k = vcr_json_first(x->b, vb); k >= 0; k = vcr_json_next(x->b, k)) {
		VCR_AUTO_BUF key = VCR_BUF_INIT;
		vcr_json_str(x->b, k, &key);
		if (vcr_json_get(x->a, va, key.data) < 0 && member_differs(x, key.data, -1, vcr_json_value(x->b, k)))
			return true;
	}
	return false;
}

static bool arrays_differ(struct diff *x, int va, int vb)
{
	int a = vcr_json_first(x->a, va), b = vcr_json_first(x->b, vb);
	for (int i = 0; a >= 0 || b >= 0; i++) {
		char key[16];
		snprintf(key, sizeof key, "%d", i);
		if (member_differs(x, key, a, b))
			return true;
		a = a >= 0 ? vcr_json_next(x->a, a) : -1;
		b = b >= 0 ? vcr_json_next(x->b, b) : -1;
	}
	return false;
}

static bool differs(struct diff *x, int va, int vb)
{
	enum vcr_json_type t = vcr_json_type(x->a, va);
	if (va >= 0 && vb >= 0 && same_form(x, va, vb))
		return false;
	bool found = false;
	if (va >= 0 && vb >= 0 && t == vcr_json_type(x->b, vb) && x->depth < MAX_DEPTH) {
		x->depth++;
		found = t == VCR_JSON_OBJECT ? objects_differ(x, va, vb) : t == VCR_JSON_ARRAY ? arrays_differ(x, va, vb) : false;
		x->depth--;
	}
	if (!found)
		note(x, va, vb);
	return true;
}

/* In the order of the recorded body. What is no JSON is compared as bytes. */
static int find_difference(const struct vcr_match_query *q, struct vcr_divergence *d)
{
	VCR_AUTO_BUF body = VCR_BUF_INIT;
	VCR_AUTO_JSON a = VCR_JSON_INIT, b = VCR_JSON_INIT;
	if (!*d->nearest->request_ref || vcr_reader_body(d->nearest->reader, d->nearest->request_ref, &body, NULL) ||
	    vcr_json_parse(&a, body.data, body.len, 0, NULL) || vcr_json_parse(&b, q->body, q->nbody, 0, NULL)) {
		size_t at = 0;
		while (at < body.len && at < q->nbody && body.data[at] == q->body[at])
			at++;
		excerpt(&d->recorded, body.data, body.len, at);
		excerpt(&d->live, q->body, q->nbody, at);
		return 0;
	}
	struct diff x = { &a, &b, &d->pointer, d, 0 };
	differs(&x, 0, 0);
	return d->pointer.err;
}

/* ---- In words ---- */

static void name_nearest(const struct vcr_divergence *d, struct vcr_buf *w)
{
	const struct vcr_recorded *c = d->nearest;
	if (c->frame >= 0)
		vcr_buf_printf(w, "call:%lld (frame %lld)", (long long)c->call, (long long)c->frame);
	else
		vcr_buf_printf(w, "the vcr.http line %lld", (long long)c->line);
}

static void in_words(const struct vcr_match_query *q, const struct vcr_divergence *d, struct vcr_buf *w)
{
	vcr_buf_printf(w, "no recording answers %s %.*s: ", q->method, (int)path_length(q->target), q->target);
	switch (d->kind) {
	case VCR_MISS_PLACE:
		vcr_buf_puts(w, "nothing was recorded there");
		break;
	case VCR_MISS_SPENT:
		name_nearest(d, w);
		vcr_buf_printf(w, " is the same request, but it was asked %lld time%s when it was recorded, and now once more", (long long)d->times, d->times == 1 ? "" : "s");
		break;
	case VCR_MISS_QUERY:
		vcr_buf_puts(w, "the nearest is ");
		name_nearest(d, w);
		vcr_buf_printf(w, ", whose query is \"%s\", not \"%s\"", d->recorded.data, d->live.data);
		break;
	case VCR_MISS_BODY:
		vcr_buf_puts(w, "the nearest is ");
		name_nearest(d, w);
		vcr_buf_printf(w, ", which differs first at %s: recorded %s, now %s", d->pointer.len ? d->pointer.data : "the body",
			d->recorded.len ? d->recorded.data : "nothing", d->live.len ? d->live.data : "nothing");
	}
}

/* It was recorded, and every one of them is spent. */
static bool is_spent(struct vcr_match *m, const struct vcr_match_query *q, struct vcr_divergence *d)
{
	VCR_AUTO_ASKED a = VCR_ASKED(q);
	for (enum vcr_rung r = VCR_RUNG_EXACT; r <= m->o.rung && r < VCR_RUNG_STRUCTURAL; r++) { /* of one structure is not the same */
		size_t n;
		struct vcr_recorded **v = vcr_match_equals(m, &a, r, &n);
		if (n) {
			d->kind = VCR_MISS_SPENT;
			d->nearest = v[n - 1];
			d->times = (int64_t)n;
		}
	}
	return d->nearest != NULL;
}

int vcr_match_explain(struct vcr_match *m, const struct vcr_match_query *q, struct vcr_divergence *d, struct vcr_buf *words, struct vcr_error *e)
{
	vcr_divergence_release(d);
	int err = 0;
	if (!is_spent(m, q, d)) {
		d->nearest = find_nearest(m, q, &d->common);
		d->kind = !d->nearest ? VCR_MISS_PLACE : VCR_MISS_BODY;
	}
	if (d->kind == VCR_MISS_BODY) {
		err = find_difference(q, d);
		const char *then = strchr(d->nearest->path, '?'), *now = strchr(q->target, '?');
		if (!d->pointer.len && strcmp(then ? then : "", now ? now : "") && !strcmp(d->recorded.data, d->live.data)) {
			d->kind = VCR_MISS_QUERY;
			vcr_buf_reset(&d->recorded);
			vcr_buf_reset(&d->live);
			vcr_buf_puts(&d->recorded, then ? then : "");
			vcr_buf_puts(&d->live, now ? now : "");
		}
	}
	if (words)
		in_words(q, d, words);
	return err ? vcr_error_set(e, err, "replay: %s", vcr_strerror(err)) : 0;
}

void vcr_divergence_release(struct vcr_divergence *d)
{
	vcr_buf_release(&d->pointer);
	vcr_buf_release(&d->recorded);
	vcr_buf_release(&d->live);
	*d = (struct vcr_divergence)VCR_DIVERGENCE_INIT;
}
