/* diff-tell.c — differences as people and programs read them. */
#include "diffing.h"
#include "diff.h"
#include "words.h"
#include <stdio.h>
#include <string.h>

enum { MOST_LINES = 40, LONG_RUN = 80, KEPT = 30, SHORT = 40 };

static void put(const struct vcr_buf *b)
{
	fwrite(b->data, 1, b->len, stdout);
}

void vcr_diff_put(const struct vcr_diffing *x, enum vcr_style style, const char *p, size_t n)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	vcr_buf_puts(&out, vcr_on(x->t, style));
	vcr_safe(&out, p, n, 0);
	vcr_buf_puts(&out, vcr_on(x->t, VCR_PLAIN));
	put(&out);
}

void vcr_diff_tell_names(struct vcr_diffing *x)
{
	const char *const name[] = { x->old_name, x->new_name };
	for (int k = 0; k < 2 && name[k]; k++) {
		printf("%s", k ? "+++ " : "--- ");
		vcr_diff_put(x, VCR_BOLD, name[k], strlen(name[k]));
		putchar('\n');
	}
	x->old_name = x->new_name = NULL;
}

/* ---- Lines ---- */

static void line(const struct vcr_diffing *x, enum vcr_style style, unsigned indent, const char *mark, const char *p, size_t n)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	vcr_buf_printf(&out, "%*s%s%s", (int)indent, "", style ? vcr_on(x->t, style) : "", mark);
	vcr_safe(&out, p, n, VCR_SAFE_LINES);
	vcr_buf_printf(&out, "%s\n", style ? vcr_on(x->t, VCR_PLAIN) : "");
	put(&out);
}

/* Every line of a text behind a mark; without -v a long one is cut. */
static void lines(const struct vcr_diffing *x, enum vcr_style style, const char *mark, const char *p, size_t n)
{
	size_t i = 0;
	int64_t told = 0, left = 0;
	do {
		const char *nl = memchr(p + i, '\n', n - i);
		size_t k = nl ? (size_t)(nl - p) - i : n - i;
		if (told < MOST_LINES || x->t->verbose) {
			line(x, style, 2, mark, p + i, k);
			told++;
		} else
			left++;
		i += k + 1;
	} while (i < n);
	if (left)
		printf("%s    (%lld more lines; -v shows them)%s\n", vcr_on(x->t, VCR_DIM), (long long)left, vcr_on(x->t, VCR_PLAIN));
}

void vcr_diff_tell_unified(const struct vcr_diffing *x, const char *p, size_t n, unsigned indent)
{
	bool hunk = false;
	for (size_t i = 0; i < n;) {
		const char *nl = memchr(p + i, '\n', n - i);
		size_t k = nl ? (size_t)(nl - p) - i : n - i;
		hunk = hunk || p[i] == '@';
		enum vcr_style style = !k || !hunk ? VCR_PLAIN : p[i] == '+' ? VCR_GREEN : p[i] == '-' ? VCR_RED : p[i] == '@' ? VCR_CYAN : VCR_PLAIN;
		if (hunk)
			line(x, style, indent, "", p + i, k);
		i += k + 1;
	}
}

/* ---- Words ---- */

struct marked { const struct vcr_diffing *x; struct vcr_buf out; bool common; };

static size_t back_to_start(const char *p, size_t at)
{
	while (at && ((unsigned char)p[at] & 0xc0) == 0x80)
		at--;
	return at;
}

/* What is the same is shortened, if it is long, to its beginning and end. */
static void put_same(struct marked *m, const char *p, size_t n)
{
	m->common = true;
	if (n <= LONG_RUN || m->x->t->verbose) {
		vcr_safe(&m->out, p, n, VCR_SAFE_LINES);
		return;
	}
	size_t head = back_to_start(p, KEPT), tail = back_to_start(p, n - KEPT);
	vcr_safe(&m->out, p, head, VCR_SAFE_LINES);
	vcr_buf_puts(&m->out, " … ");
	vcr_safe(&m->out, p + tail, n - tail, VCR_SAFE_LINES);
}

/* As git does: [-gone-]{+come+}, in colours the words alone. */
static void put_run(void *ctx, char sign, const char *p, size_t n)
{
	struct marked *m = ctx;
	bool paint = m->x->t->paint;
	if (sign == ' ') {
		put_same(m, p, n);
		return;
	}
	vcr_buf_puts(&m->out, paint ? vcr_on(m->x->t, sign == '-' ? VCR_RED : VCR_GREEN) : sign == '-' ? "[-" : "{+");
	vcr_safe(&m->out, p, n, VCR_SAFE_LINES);
	vcr_buf_puts(&m->out, paint ? vcr_on(m->x->t, VCR_PLAIN) : sign == '-' ? "-]" : "+}");
}

static bool tell_marked(const struct vcr_diffing *x, const struct vcr_buf *a, const struct vcr_buf *b)
{
	struct marked m = { x, VCR_BUF_INIT, false };
	bool done = !vcr_diff_words(a->data, a->len, b->data, b->len, put_run, &m) && m.common;
	for (size_t i = 0; done && i < m.out.len;) {
		const char *nl = memchr(m.out.data + i, '\n', m.out.len - i);
		size_t k = nl ? (size_t)(nl - m.out.data) - i : m.out.len - i;
		printf("    ");
		fwrite(m.out.data + i, 1, k, stdout);
		putchar('\n');
		i += k + 1;
	}
	vcr_buf_release(&m.out);
	return done;
}

/* ---- One change ---- */

/* A string is shown as it reads, unless something else stands on the other side: then with its quotes. */
static void tell_value(const struct vcr_diffing *x, const struct vcr_json *j, int v, bool old, bool plain)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	if (v < 0)
		return;
	if (plain && vcr_json_type(j, v) == VCR_JSON_STRING)
		vcr_json_str(j, v, &text);
	else
		vcr_words_json(&text, j, v, 0);
	lines(x, old ? VCR_RED : VCR_GREEN, old ? "- " : "+ ", text.data, text.len);
}

/* Two strings: by lines, or by words where lines say little. False: they are too short or too unlike for that. */
static bool tell_texts(const struct vcr_diffing *x, const struct vcr_json *a, int va, const struct vcr_json *b, int vb)
{
	VCR_AUTO_BUF old = VCR_BUF_INIT, new = VCR_BUF_INIT, diff = VCR_BUF_INIT;
	if (vcr_json_str(a, va, &old) || vcr_json_str(b, vb, &new))
		return false;
	bool several = memchr(old.data, '\n', old.len) || memchr(new.data, '\n', new.len);
	if (!several && old.len < SHORT && new.len < SHORT && !x->words)
		return false;
	if (!several || x->words)
		return tell_marked(x, &old, &new);
	if (vcr_diff_unified(&diff, "", old.data, old.len, "", new.data, new.len))
		return false;
	vcr_diff_tell_unified(x, diff.data, diff.len, 2);
	return true;
}

void vcr_diff_tell(struct vcr_diffing *x, enum vcr_jdiff_op op, const char *path, const char *old_path, const struct vcr_json *a, int va, const struct vcr_json *b,
	int vb)
{
	static const char *const ops[] = { "added ", "removed ", "changed " };
	static const enum vcr_style styles[] = { VCR_GREEN, VCR_RED, VCR_YELLOW };
	printf("%s%s%s", vcr_on(x->t, styles[op]), ops[op], vcr_on(x->t, VCR_PLAIN));
	vcr_diff_put(x, VCR_BOLD, *path ? path : "everything", strlen(*path ? path : "everything"));
	if (old_path) {
		printf(" (was ");
		vcr_diff_put(x, VCR_PLAIN, old_path, strlen(old_path));
		putchar(')');
	}
	putchar('\n');
	if (op == VCR_JDIFF_CHANGED && tell_texts(x, a, va, b, vb))
		return;
	bool plain = va < 0 || vb < 0 || vcr_json_type(a, va) == vcr_json_type(b, vb);
	tell_value(x, a, va, true, plain);
	tell_value(x, b, vb, false, plain);
}

/* ---- --json ---- */

static void frame_number(struct vcr_jw *w, const char *key, int64_t index)
{
	vcr_jw_key(w, key);
	if (index >= 0)
		vcr_jw_int(w, index);
	else
		vcr_jw_null(w);
}

void vcr_diff_tell_json(const char *op, const char *part, const char *path, const char *old_path, const struct vcr_buf *old, const struct vcr_buf *new,
	int64_t old_frame, int64_t new_frame)
{
	const struct { const char *key; const struct vcr_buf *json; } values[] = { { "old", old }, { "new", new } };
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "op");
	vcr_jw_str(&w, op);
	vcr_jw_key(&w, "part");
	vcr_jw_str(&w, part);
	vcr_jw_key(&w, "path");
	vcr_jw_str(&w, path);
	vcr_jw_key(&w, "old_path");
	vcr_jw_str(&w, old_path);
	for (int i = 0; i < 2; i++) {
		vcr_jw_key(&w, values[i].key);
		if (values[i].json && values[i].json->len)
			vcr_jw_raw(&w, values[i].json->data, values[i].json->len);
		else
			vcr_jw_null(&w);
	}
	frame_number(&w, "old_frame", old_frame);
	frame_number(&w, "new_frame", new_frame);
	vcr_jw_object_end(&w);
	vcr_buf_putc(&out, '\n');
	put(&out);
}

/* ---- Side by side ---- */

struct row { const char *name, *key; enum { COUNT, DOLLARS, MILLISECONDS } kind; double a, b; };

static void put_number(const struct row *r, double v, bool difference, struct vcr_buf *out)
{
	const char *sign = !difference ? "" : v < 0 ? "-" : "+";
	double size = v < 0 ? -v : v;
	if (!difference && v < 0) {
		vcr_buf_putc(out, '-');
		return;
	}
	vcr_buf_puts(out, sign);
	if (r->kind == COUNT)
		vcr_buf_printf(out, "%.0f", size);
	else if (r->kind == DOLLARS)
		vcr_words_cost(out, size);
	else
		vcr_words_ms(out, size);
}

static void row_words(const struct vcr_diffing *x, const struct row *r)
{
	VCR_AUTO_BUF old = VCR_BUF_INIT, new = VCR_BUF_INIT, more = VCR_BUF_INIT;
	put_number(r, r->a, false, &old);
	put_number(r, r->b, false, &new);
	if (r->a >= 0 && r->b >= 0 && (r->a < r->b || r->a > r->b))
		put_number(r, r->b - r->a, true, &more);
	printf("%s%-11s%s %12s %12s%s%s\n", vcr_on(x->t, VCR_DIM), r->name, vcr_on(x->t, VCR_PLAIN), old.data, new.data, more.len ? "  " : "", more.data);
}

static void totals_json(const struct row *rows, int n, bool b, struct vcr_buf *out)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	for (int i = 0; i < n; i++) {
		double v = b ? rows[i].b : rows[i].a;
		vcr_jw_key(&w, rows[i].key);
		if (v < 0)
			vcr_jw_null(&w);
		else if (rows[i].kind == COUNT)
			vcr_jw_int(&w, (int64_t)v);
		else
			vcr_jw_double(&w, v);
	}
	vcr_jw_object_end(&w);
}

void vcr_diff_tell_totals(struct vcr_diffing *x, const struct vcr_diff_totals *a, const struct vcr_diff_totals *b, int64_t old_frame, int64_t new_frame)
{
	const struct row rows[] = {
		{ "calls", "calls", COUNT, (double)a->calls, (double)b->calls }, { "errors", "errors", COUNT, (double)a->errors, (double)b->errors },
		{ "tokens in", "tokens_in", COUNT, (double)a->tokens_in, (double)b->tokens_in },
		{ "tokens out", "tokens_out", COUNT, (double)a->tokens_out, (double)b->tokens_out },
		{ "tokens", "tokens", COUNT, (double)a->tokens, (double)b->tokens }, { "cost", "cost_usd", DOLLARS, a->cost, b->cost },
		{ "calls took", "took_ms", MILLISECONDS, a->took_ms, b->took_ms }, { "time", "time_ms", MILLISECONDS, a->time_ms, b->time_ms },
	};
	enum { ROWS = sizeof rows / sizeof *rows };
	bool any = false;
	if (x->t->json) {
		VCR_AUTO_BUF old = VCR_BUF_INIT, new = VCR_BUF_INIT;
		totals_json(rows, ROWS, false, &old);
		totals_json(rows, ROWS, true, &new);
		vcr_diff_tell_json("totals", "totals", "", NULL, &old, &new, old_frame, new_frame);
		return;
	}
	vcr_diff_tell_names(x);
	for (int i = 0; i < ROWS; i++) {
		if (rows[i].a < 0 && rows[i].b < 0)
			continue;
		if (!any)
			printf("\n%-11s %12s %12s\n", "", "old", "new");
		any = true;
		row_words(x, &rows[i]);
	}
}
