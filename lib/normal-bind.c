/* normal-bind.c — which values of a live request stand where those of the recorded one stood. */
#include "normal.h"
#include "canon.h"
#include <stdlib.h>
#include <string.h>

enum { SHORTEST = 6 /* of what a user's normaliser finds: long enough to be no other word */ };

/* What names a thing, and is long enough to be no other word. */
static bool is_name(const char *normaliser)
{
	static const char *const names[] = { "uuid", "git", "id", "project", NULL };
	for (const char *const *n = names; *n; n++)
		if (!strcmp(normaliser, *n))
			return true;
	return false;
}

struct values {
	const struct vcr_normal_context *c;
	enum vcr_api api;
	const struct vcr_json *j;
	struct vcr_buf path;
	struct vcr_buf text;         /* NUL-terminated, one behind the other */
	const char *of[VCR_MAX_BINDINGS]; /* names of normalisers, each the same string each time */
	size_t at[VCR_MAX_BINDINGS], n;
};

static void take_text(struct values *x, const char *p, size_t n)
{
	struct vcr_normal_scan s;
	vcr_normal_scan_init(&s, x->c, p, n);
	while (x->n < VCR_MAX_BINDINGS && vcr_normal_scan_next(&s))
		if (s.by ? is_name(s.name) : s.len >= SHORTEST) {
			x->of[x->n] = s.name;
			x->at[x->n++] = x->text.len;
			vcr_buf_add(&x->text, p + s.found, s.len);
			vcr_buf_putc(&x->text, 0);
		}
	vcr_normal_scan_release(&s);
}

static void take_value(struct values *x, int v)
{
	size_t before = x->path.len;
	enum vcr_json_type type = vcr_json_type(x->j, v);
	int i = 0;
	if (type == VCR_JSON_STRING) {
		VCR_AUTO_BUF s = VCR_BUF_INIT;
		vcr_json_str(x->j, v, &s);
		take_text(x, s.data, s.len);
	}
	if (type != VCR_JSON_OBJECT && type != VCR_JSON_ARRAY)
		return;
	for (int m = vcr_json_first(x->j, v); m >= 0; m = vcr_json_next(x->j, m), i++) {
		if (type == VCR_JSON_ARRAY) {
			vcr_buf_printf(&x->path, "/%d", i);
		} else {
			vcr_buf_putc(&x->path, '/');
			vcr_json_str(x->j, m, &x->path);
		}
		if (!vcr_normal_is_volatile(x->api, x->path.data))
			take_value(x, type == VCR_JSON_ARRAY ? m : vcr_json_value(x->j, m));
		vcr_buf_cut(&x->path, before);
	}
}

/* In the order of the canonical form, which is the same for both. */
static bool take_body(struct values *x, const char *p, size_t n)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT, sorted = VCR_JSON_INIT;
	VCR_AUTO_BUF form = VCR_BUF_INIT;
	if (!n || vcr_json_parse(&j, p, n, 0, NULL) || vcr_canon_json(&j, 0, &form) || vcr_json_parse(&sorted, form.data, form.len, 0, NULL))
		return false;
	x->j = &sorted;
	take_value(x, 0);
	vcr_buf_release(&x->path);
	return !x->text.err;
}

static void pair_up(const struct values *r, const struct values *l, struct vcr_bindings *out)
{
	for (size_t i = 0; i < r->n; i++) {
		const char *recorded = r->text.data + r->at[i], *live = l->text.data + l->at[i];
		size_t k = 0;
		while (k < out->n && strcmp(out->b[k].recorded, recorded))
			k++;
		if (k < out->n && strcmp(out->b[k].live, live))
			out->b[k].live = out->b[k].recorded; /* one thing then, two now: it is not told */
		if (k == out->n && out->n < VCR_MAX_BINDINGS)
			out->b[out->n++] = (struct vcr_binding){ recorded, live };
	}
	size_t kept = 0;
	for (size_t i = 0; i < out->n; i++)
		if (strcmp(out->b[i].recorded, out->b[i].live))
			out->b[kept++] = out->b[i];
	out->n = kept;
}

void vcr_normal_bind(const struct vcr_normal_context *recorded_in, const char *recorded, size_t nrecorded, const struct vcr_normal_context *live_in, const char *live, size_t nlive,
	enum vcr_api api, struct vcr_bindings *out)
{
	struct values r = { .c = recorded_in, .api = api, .path = VCR_BUF_INIT, .text = VCR_BUF_INIT };
	struct values l = { .c = live_in, .api = api, .path = VCR_BUF_INIT, .text = VCR_BUF_INIT };
	bool same = take_body(&r, recorded, nrecorded) && take_body(&l, live, nlive) && r.n == l.n;
	for (size_t i = 0; same && i < r.n; i++)
		same = r.of[i] == l.of[i];
	out->n = 0;
	if (same)
		pair_up(&r, &l, out);
	out->recorded = r.text;
	out->live = l.text;
	vcr_buf_release(&r.path);
	vcr_buf_release(&l.path);
}

void vcr_bindings_release(struct vcr_bindings *b)
{
	vcr_buf_release(&b->recorded);
	vcr_buf_release(&b->live);
	b->n = 0;
}
