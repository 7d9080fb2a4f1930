/* scrub-lines.c — what is in a frame's line, and in that of another exchange: states, headers, keys, references, the table of reads. */
#include "scrub-parts.h"
#include "canon.h"
#include "pair-cut.h"
#include "state.h"
#include <stdlib.h>
#include <string.h>

static void put_key(struct vcr_buf *out, const struct vcr_json *j, int m, bool *any)
{
	size_t n;
	const char *key = vcr_json_raw(j, m, &n);
	vcr_buf_putc(out, *any ? ',' : '{');
	vcr_buf_add(out, key, n);
	vcr_buf_putc(out, ':');
	*any = true;
}

static void put_raw(struct vcr_buf *out, const struct vcr_json *j, int v)
{
	size_t n;
	const char *raw = vcr_json_raw(j, v, &n);
	vcr_buf_add(out, raw, n);
}

static bool is_one_of(const struct vcr_json *j, int key, const char *const *words)
{
	for (; *words; words++)
		if (vcr_json_is(j, key, *words))
			return true;
	return false;
}

/* ---- Exchanges ---- */

/* Where that offset of the old body is in the new one: on the same line, for a stream's events stay lines. */
struct lines { const char *p, *q; size_t n, m, at, to; };

static size_t moved(struct lines *l, size_t offset)
{
	for (const char *nl; l->at < l->n && (nl = memchr(l->p + l->at, '\n', l->n - l->at)) && (size_t)(nl - l->p) < offset;) {
		const char *other = memchr(l->q + l->to, '\n', l->m - l->to);
		l->at = (size_t)(nl - l->p) + 1;
		l->to = other ? (size_t)(other - l->q) + 1 : l->m;
	}
	const char *end = memchr(l->q + l->to, '\n', l->m - l->to);
	size_t most = end ? (size_t)(end - l->q) : l->m, at = l->to + (offset > l->at ? offset - l->at : 0);
	return at < most ? at : most;
}

/* Pairs: bytes since the read before, microseconds. A read that has nothing left is one byte, as each must have some. */
static int put_chunks(struct vcr_scrub_run *x, const struct vcr_json *j, int chunks, const struct vcr_scrub_body *b, struct vcr_buf *out, struct vcr_error *e)
{
	VCR_AUTO_BUF old = VCR_BUF_INIT, new = VCR_BUF_INIT;
	int err = vcr_reader_body(x->r, b->old, &old, e);
	if (!err)
		err = vcr_scrub_make_body(x, b, &new, e);
	if (err)
		return err;
	struct lines l = { old.data, new.data, old.len, new.len, 0, 0 };
	size_t offset = 0, last = 0;
	bool bytes = true, any = false;
	vcr_buf_putc(out, '[');
	for (int m = vcr_json_first(j, chunks); m >= 0; m = vcr_json_next(j, m), bytes = !bytes) {
		int64_t n;
		vcr_buf_puts(out, any ? "," : "");
		any = true;
		if (!bytes || !vcr_json_int(j, m, &n) || n < 0 || (size_t)n > old.len - offset) {
			put_raw(out, j, m);
			continue;
		}
		offset += (size_t)n;
		size_t now = moved(&l, offset);
		now = now > last ? now : last + 1;
		vcr_buf_printf(out, "%zu", now - last);
		last = now;
	}
	vcr_buf_putc(out, ']');
	return 0;
}

/* The keys of the request as it is now. */
static int make_keys(struct vcr_scrub_run *x, const struct vcr_json *j, int v, const struct vcr_scrub_body *request, const char *path, char k0[VCR_KEY_LEN], char k1[VCR_KEY_LEN],
	struct vcr_error *e)
{
	VCR_AUTO_BUF body = VCR_BUF_INIT, method = VCR_BUF_INIT;
	VCR_AUTO_JSON parsed = VCR_JSON_INIT;
	vcr_json_str(j, vcr_json_get(j, v, "method"), &method);
	int err = request ? vcr_scrub_make_body(x, request, &body, e) : 0;
	if (err)
		return err;
	bool json = body.len && !vcr_json_parse(&parsed, body.data, body.len, 0, NULL);
	vcr_canon_keys(NULL, method.data, path, body.data, body.len, json ? &parsed : NULL, k0, k1);
	return 0;
}

static const struct vcr_scrub_body *body_of(struct vcr_scrub_run *x, const struct vcr_json *j, int v, const char *key)
{
	char *ref = vcr_json_strdup(j, vcr_json_get(j, v, key));
	const struct vcr_scrub_body *b = vcr_scrub_find_body(x, ref);
	free(ref);
	return b;
}

static void put_ref(const struct vcr_scrub_body *b, struct vcr_buf *out)
{
	vcr_buf_printf(out, "\"%s\"", b->new);
}

int vcr_scrub_exchange(struct vcr_scrub_run *x, const struct vcr_json *j, int v, struct vcr_buf *out, struct vcr_error *e)
{
	static const char *const texts[] = { "host", "reason", "program", "tool_call", "withheld", "path", NULL }, *const walked[] = { "request_headers", "response_headers", "response_trailers", NULL };
	const struct vcr_scrub_body *request = body_of(x, j, v, "request"), *response = body_of(x, j, v, "response");
	VCR_AUTO_BUF path = VCR_BUF_INIT, clean = VCR_BUF_INIT;
	char k0[VCR_KEY_LEN], k1[VCR_KEY_LEN], *host = vcr_json_strdup(j, vcr_json_get(j, v, "host"));
	unsigned before = x->s->replaced;
	vcr_scrub_aim(x->s, host);
	free(host);
	vcr_json_str(j, vcr_json_get(j, v, "path"), &path);
	int err = vcr_scrub_any(x->s, path.data, path.len, &clean);
	bool keys = x->writing && (x->s->replaced != before || (request && request->changed)), refs = x->writing && ((request && request->changed) || (response && response->changed));
	if (!err && keys)
		err = make_keys(x, j, v, request, clean.data, k0, k1, e);
	bool any = false;
	if (!err && vcr_json_type(j, v) != VCR_JSON_OBJECT)
		err = VCR_ECORRUPT;
	for (int m = vcr_json_first(j, v); m >= 0 && !err; m = vcr_json_next(j, m)) {
		int value = vcr_json_value(j, m);
		put_key(out, j, m, &any);
		if (keys && (vcr_json_is(j, m, "k0") || vcr_json_is(j, m, "k1")))
			vcr_buf_printf(out, "\"%s\"", vcr_json_is(j, m, "k0") ? k0 : k1);
		else if (refs && request && vcr_json_is(j, m, "request"))
			put_ref(request, out);
		else if (refs && response && vcr_json_is(j, m, "response"))
			put_ref(response, out);
		else if (refs && response && response->changed && vcr_json_is(j, m, "chunks") && vcr_json_type(j, value) == VCR_JSON_ARRAY)
			err = put_chunks(x, j, value, response, out, e);
		else if (is_one_of(j, m, texts) || is_one_of(j, m, walked))
			err = vcr_scrub_value(x->s, j, value, out);
		else
			put_raw(out, j, value);
	}
	vcr_buf_puts(out, any ? "}" : "{}");
	return err ? err : out->err ? out->err : x->s->replaced != before || refs;
}

/* ---- Frames ---- */

/* "frame" and "at" of a state that shows a beginning only. */
static int cut_again(struct vcr_scrub_run *x, const struct vcr_reader_frame *f, bool input, struct vcr_buf *out, struct vcr_error *e)
{
	VCR_AUTO_BUF full = VCR_BUF_INIT, clean = VCR_BUF_INIT, cut = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int whole = vcr_json_path(f->j, input ? f->input : f->output, "_vcr.whole");
	char *frame = vcr_json_strdup(f->j, vcr_json_get(f->j, whole, "frame")), *at = vcr_json_strdup(f->j, vcr_json_get(f->j, whole, "at")),
	     *member = vcr_json_strdup(f->j, vcr_json_get(f->j, whole, "member"));
	int err = frame && at && (input || member) ? 0 : VCR_ECORRUPT;
	if (!err)
		err = input ? vcr_reader_full_input(x->r, f->index, &full, e) : vcr_reader_full_output(x->r, f->index, &full, e);
	if (!err)
		err = vcr_json_parse(&j, full.data, full.len, VCR_JSON_RELAXED, e);
	if (!err)
		err = vcr_scrub_value(x->s, &j, 0, &clean);
	vcr_json_release(&j);
	if (!err)
		err = vcr_json_parse(&j, clean.data, clean.len, VCR_JSON_RELAXED, e);
	if (!err)
		err = input ? vcr_pair_cut_input(&cut, clean.data, clean.len, frame, at) : vcr_pair_cut_output(&cut, &j, vcr_json_get(&j, 0, member), member, frame, at);
	if (!err)
		err = vcr_state_write(out, cut.data);
	free(frame);
	free(at);
	free(member);
	return err;
}

/* What a file is now: its body may be another, and then the hash of the file says what stood there. */
static int file_state(struct vcr_scrub_run *x, const struct vcr_json *j, int v, struct vcr_buf *out, bool *changed)
{
	const struct vcr_scrub_body *content = body_of(x, j, v, "content"), *list = body_of(x, j, v, "list");
	char *sha = vcr_json_strdup(j, vcr_json_path(j, v, "after.sha256"));
	bool any = false;
	int err = 0;
	if (sha && content && content->changed && !memmem(x->dropped.data, x->dropped.len, sha, strlen(sha) + 1))
		vcr_buf_add(&x->dropped, sha, strlen(sha) + 1);
	free(sha);
	for (int m = vcr_json_first(j, v); m >= 0 && !err; m = vcr_json_next(j, m)) {
		const struct vcr_scrub_body *b = vcr_json_is(j, m, "content") ? content : vcr_json_is(j, m, "list") ? list : NULL;
		put_key(out, j, m, &any);
		if (b && x->writing) {
			*changed = *changed || b->changed;
			put_ref(b, out);
		} else if (b)
			put_raw(out, j, vcr_json_value(j, m));
		else
			err = vcr_scrub_value(x->s, j, vcr_json_value(j, m), out);
	}
	vcr_buf_puts(out, any ? "}" : "{}");
	return err;
}

/* Without the hashes of files whose content is not what it was: who guesses it could prove it by them. */
static void drop_hashes(struct vcr_scrub_run *x, struct vcr_buf *out, size_t from, bool *changed)
{
	static const char key[] = ",\"sha256\":\"";
	for (const char *d = x->dropped.data; d < x->dropped.data + x->dropped.len; d += strlen(d) + 1) {
		VCR_AUTO_BUF member = VCR_BUF_INIT;
		vcr_buf_printf(&member, "%s%s\"", key, d);
		char *at;
		while (member.len && (at = memmem(out->data + from, out->len - from, member.data, member.len)) != NULL) {
			size_t tail = out->len - (size_t)(at - out->data) - member.len;
			memmove(at, at + member.len, tail + 1);
			out->len -= member.len;
			*changed = true;
		}
	}
}

static int put_state(struct vcr_scrub_run *x, const struct vcr_reader_frame *f, bool input, struct vcr_buf *out, bool *changed, struct vcr_error *e)
{
	int v = input ? f->input : f->output, err;
	size_t from = out->len;
	bool file = !strncmp(f->node_name, "file:", 5) && f->vcr >= 0;
	if (vcr_reader_is_cut(f, v))
		return cut_again(x, f, input, out, e);
	x->s->state = f->vcr >= 0;
	err = file && !input && vcr_json_type(f->j, v) == VCR_JSON_OBJECT ? file_state(x, f->j, v, out, changed) : vcr_scrub_value(x->s, f->j, v, out);
	x->s->state = false;
	if (!err && file && x->writing)
		drop_hashes(x, out, from, changed);
	return err;
}

static int put_custom(struct vcr_scrub_run *x, const struct vcr_reader_frame *f, struct vcr_buf *out, bool *changed, struct vcr_error *e)
{
	bool any = false;
	int err = 0;
	if (vcr_json_type(f->j, f->custom) != VCR_JSON_OBJECT) {
		put_raw(out, f->j, f->custom);
		return 0;
	}
	for (int m = vcr_json_first(f->j, f->custom); m >= 0 && err >= 0; m = vcr_json_next(f->j, m)) {
		put_key(out, f->j, m, &any);
		if (vcr_json_is(f->j, m, "vcr") && f->vcr >= 0)
			err = vcr_scrub_exchange(x, f->j, f->vcr, out, e);
		else
			err = vcr_scrub_value(x->s, f->j, vcr_json_value(f->j, m), out);
		*changed = *changed || err > 0;
	}
	vcr_buf_puts(out, any ? "}" : "{}");
	return err < 0 ? err : 0;
}

static int put_metadata(struct vcr_scrub_run *x, const struct vcr_reader_frame *f, int v, struct vcr_buf *out, bool *changed, struct vcr_error *e)
{
	static const char *const texts[] = { "model", "error_type", "error_message", NULL };
	bool any = false;
	int err = 0;
	if (vcr_json_type(f->j, v) != VCR_JSON_OBJECT) {
		put_raw(out, f->j, v);
		return 0;
	}
	for (int m = vcr_json_first(f->j, v); m >= 0 && !err; m = vcr_json_next(f->j, m)) {
		put_key(out, f->j, m, &any);
		if (vcr_json_is(f->j, m, "custom"))
			err = put_custom(x, f, out, changed, e);
		else if (is_one_of(f->j, m, texts))
			err = vcr_scrub_value(x->s, f->j, vcr_json_value(f->j, m), out);
		else
			put_raw(out, f->j, vcr_json_value(f->j, m));
	}
	vcr_buf_puts(out, any ? "}" : "{}");
	return err;
}

int vcr_scrub_frame(struct vcr_scrub_run *x, int64_t index, struct vcr_buf *out, struct vcr_error *e)
{
	static const char *const texts[] = { "node_name", "state_diff", NULL };
	struct vcr_reader_frame f;
	unsigned before = x->s->replaced;
	bool any = false, changed = false;
	int err = vcr_reader_frame(x->r, index, &f, e);
	if (err)
		return err;
	char *host = vcr_json_strdup(f.j, vcr_json_get(f.j, f.vcr, "host"));
	vcr_scrub_aim(x->s, host);
	int data = vcr_json_get(f.j, 0, "data");
	for (int m = vcr_json_first(f.j, data); m >= 0 && !err; m = vcr_json_next(f.j, m)) {
		int v = vcr_json_value(f.j, m);
		put_key(out, f.j, m, &any);
		if (v == f.input || v == f.output)
			err = put_state(x, &f, v == f.input, out, &changed, e);
		else if (vcr_json_is(f.j, m, "metadata"))
			err = put_metadata(x, &f, v, out, &changed, e);
		else if (is_one_of(f.j, m, texts))
			err = vcr_scrub_value(x->s, f.j, v, out);
		else
			put_raw(out, f.j, v);
		vcr_scrub_aim(x->s, host);
	}
	free(host);
	vcr_buf_puts(out, any ? "}" : "{}");
	return err < 0 ? err : err ? VCR_ECORRUPT : out->err ? out->err : changed || x->s->replaced != before;
}
