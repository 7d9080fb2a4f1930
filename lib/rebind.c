#include "rebind.h"
#include "json.h"
#include "normal.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* One string value: where it stands in the text, quotes included, and what it says. */
struct leaf { uint64_t place; size_t from, to, text, ntext; };
struct edit { size_t from, to, text, ntext; };

struct rebind {
	const struct vcr_binding *b;
	size_t nb;
	const char *p;
	struct leaf *leaf;
	size_t nleaf, cap;
	struct edit *edit;
	size_t nedit, cap_edit;
	struct vcr_buf said, made;  /* what leaves say; the new literals */
	int err;
};

/* ---- Reading ---- */

static uint64_t mix(uint64_t h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3ull;
	return (h ^ n) * 0x9e3779b97f4a7c15ull;
}

static void add_leaf(struct rebind *x, const struct vcr_json *j, int v, uint64_t place)
{
	size_t n, before = x->said.len;
	const char *raw = vcr_json_raw(j, v, &n);
	if (x->nleaf == x->cap) {
		size_t cap = x->cap ? 2 * x->cap : 256;
		struct leaf *more = realloc(x->leaf, cap * sizeof *more);
		if (!more) {
			x->err = VCR_ENOMEM;
			return;
		}
		x->leaf = more;
		x->cap = cap;
	}
	vcr_json_str(j, v, &x->said);
	x->leaf[x->nleaf++] = (struct leaf){ place, (size_t)(raw - x->p), (size_t)(raw - x->p) + n, before, x->said.len - before };
}

static void walk(struct rebind *x, const struct vcr_json *j, int v, uint64_t place)
{
	enum vcr_json_type type = vcr_json_type(j, v);
	size_t n;
	if (type == VCR_JSON_STRING) {
		add_leaf(x, j, v, place);
	} else if (type == VCR_JSON_OBJECT) {
		int index = vcr_json_get(j, v, "index");
		if (vcr_json_type(j, index) == VCR_JSON_NUMBER) {
			const char *raw = vcr_json_raw(j, index, &n);
			place = mix(place, raw, n);
		}
		for (int k = vcr_json_first(j, v); k >= 0 && !x->err; k = vcr_json_next(j, k)) {
			const char *key = vcr_json_raw(j, k, &n);
			walk(x, j, vcr_json_value(j, k), mix(place, key, n));
		}
	} else if (type == VCR_JSON_ARRAY) {
		uint64_t i = 0;
		for (int m = vcr_json_first(j, v); m >= 0 && !x->err; m = vcr_json_next(j, m), i++)
			walk(x, j, m, mix(place, (const char *)&i, sizeof i));
	}
}

/* false: it is no JSON. */
static bool read_record(struct rebind *x, const char *from, const char *end)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	while (from < end && strchr(" \t\r\n", *from))
		from++;
	if (from == end || (*from != '{' && *from != '['))
		return false;
	int err = vcr_json_parse(&j, from, (size_t)(end - from), 0, NULL);
	if (err == VCR_ENOMEM)
		x->err = err;
	if (!err)
		walk(x, &j, 0, 0);
	return !err;
}

static void read_lines(struct rebind *x, const char *p, size_t n)
{
	const char *end = p + n, *nl;
	for (const char *at = p; at < end && !x->err; at = nl + 1) {
		nl = memchr(at, '\n', (size_t)(end - at));
		nl = nl ? nl : end;
		bool data = nl - at >= 5 && !memcmp(at, "data:", 5);
		read_record(x, at + (data ? 5 : 0), nl);
	}
}

/* ---- Changing ---- */

static int by_place(const void *a, const void *b)
{
	const struct leaf *x = a, *y = b;
	return x->place != y->place ? (x->place < y->place ? -1 : 1) : (x->from > y->from) - (x->from < y->from);
}

static int by_from(const void *a, const void *b)
{
	const struct edit *x = a, *y = b;
	return (x->from > y->from) - (x->from < y->from);
}

static const struct vcr_binding *bound_at(const struct rebind *x, const struct vcr_buf *t, size_t at, size_t *n)
{
	const struct vcr_binding *best = NULL;
	*n = 0;
	for (size_t i = 0; i < x->nb; i++) {
		size_t k = vcr_normal_directory(x->b[i].recorded, t->data, t->len, at);
		if (k > *n) {
			best = &x->b[i];
			*n = k;
		}
	}
	return best;
}

static void add_edit(struct rebind *x, const struct leaf *l, const struct vcr_buf *says)
{
	struct vcr_jw w;
	size_t before = x->made.len;
	if (x->nedit == x->cap_edit) {
		size_t cap = x->cap_edit ? 2 * x->cap_edit : 64;
		struct edit *more = realloc(x->edit, cap * sizeof *more);
		if (!more) {
			x->err = VCR_ENOMEM;
			return;
		}
		x->edit = more;
		x->cap_edit = cap;
	}
	vcr_jw_init(&w, &x->made);
	vcr_jw_strn(&w, says->data, says->len);
	x->edit[x->nedit++] = (struct edit){ l->from, l->to, before, x->made.len - before };
}

/* The leaves l[0..n) are one text. What is bound there goes into the leaf where it begins. */
static void change_text(struct rebind *x, const struct leaf *l, size_t n)
{
	VCR_AUTO_BUF whole = VCR_BUF_INIT;
	size_t at = 0, start = 0, len;
	for (size_t i = 0; i < n; i++)
		vcr_buf_add(&whole, x->said.data + l[i].text, l[i].ntext);
	for (size_t i = 0; i < n && !x->err; i++) {
		VCR_AUTO_BUF says = VCR_BUF_INIT;
		size_t end = start + l[i].ntext, copied = at > start ? (at < end ? at : end) : start;
		bool changed = at > start;
		for (at = at > start ? at : start; at < end;) {
			const struct vcr_binding *b = bound_at(x, &whole, at, &len);
			if (!b) {
				at++;
				continue;
			}
			vcr_buf_add(&says, whole.data + copied, at - copied);
			vcr_buf_puts(&says, b->live);
			at += len;
			copied = at < end ? at : end;
			changed = true;
		}
		vcr_buf_add(&says, whole.data + copied, end - copied);
		if (changed && (says.len != l[i].ntext || memcmp(says.data, x->said.data + l[i].text, says.len)))
			add_edit(x, &l[i], &says);
		x->err = says.err ? says.err : x->err;
		start = end;
	}
	x->err = whole.err ? whole.err : x->err;
}

static void change_all(struct rebind *x)
{
	if (x->nleaf)
		qsort(x->leaf, x->nleaf, sizeof *x->leaf, by_place);
	for (size_t from = 0, to; from < x->nleaf && !x->err; from = to) {
		for (to = from + 1; to < x->nleaf && x->leaf[to].place == x->leaf[from].place; to++)
			;
		change_text(x, x->leaf + from, to - from);
	}
}

/* ---- Writing ---- */

/* An offset inside what was changed stays as far from its beginning, or moves to its end. */
static void write_out(struct rebind *x, size_t n, struct vcr_buf *out, uint64_t *offset, size_t noffset)
{
	size_t done = 0, o = 0;
	qsort(x->edit, x->nedit, sizeof *x->edit, by_from);
	for (size_t i = 0; i < x->nedit; i++) {
		const struct edit *e = &x->edit[i];
		size_t base = out->len;
		for (; o < noffset && offset[o] < e->from; o++)
			offset[o] = base + (offset[o] - done);
		vcr_buf_add(out, x->p + done, e->from - done);
		base = out->len;
		for (; o < noffset && offset[o] < e->to; o++) {
			size_t in = (size_t)offset[o] - e->from;
			offset[o] = base + (in < e->ntext ? in : e->ntext);
		}
		vcr_buf_add(out, x->made.data + e->text, e->ntext);
		done = e->to;
	}
	for (; o < noffset; o++)
		offset[o] = out->len + (offset[o] - done);
	vcr_buf_add(out, x->p + done, n - done);
}

int vcr_rebind(const struct vcr_binding *b, size_t nb, const char *p, size_t n, struct vcr_buf *out, uint64_t *offset, size_t noffset)
{
	struct rebind x = { .b = b, .nb = nb, .p = p, .said = VCR_BUF_INIT, .made = VCR_BUF_INIT };
	if (!read_record(&x, p, p + n) && !x.err)
		read_lines(&x, p, n);
	x.err = x.said.err ? x.said.err : x.err;
	if (!x.err)
		change_all(&x);
	x.err = x.made.err ? x.made.err : x.err;
	bool changed = !x.err && x.nedit;
	if (changed)
		write_out(&x, n, out, offset, noffset);
	free(x.leaf);
	free(x.edit);
	vcr_buf_release(&x.said);
	vcr_buf_release(&x.made);
	return x.err ? x.err : out->err ? out->err : changed;
}
