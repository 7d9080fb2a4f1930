/* vcr export --cassette: the session's HTTP exchanges as a cassette of vcrpy, in the order in which they were asked. */
#include "cassette.h"
#include "export.h"
#include "limits.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* An exchange that was recorded: a model call's frame, or a vcr.http line. */
struct item { int64_t seq, line, frame; char *data; /* of a line: its JSON */ };

struct tapes {
	struct vcr_tool *t;
	struct vcr_reader *r;
	FILE *out;
	struct item *item;
	size_t n, cap;
	int64_t written, left_out, broken;
};

static int add(struct tapes *x, struct item it)
{
	if (x->n == x->cap) {
		size_t cap = x->cap ? 2 * x->cap : 64;
		struct item *more = realloc(x->item, cap * sizeof *more);
		if (!more) {
			free(it.data);
			return VCR_ENOMEM;
		}
		x->item = more;
		x->cap = cap;
	}
	x->item[x->n++] = it;
	return 0;
}

static int on_line(void *ctx, const struct vcr_json *j, int data, int64_t line)
{
	struct item it = { 0, line, -1, NULL };
	size_t n;
	const char *raw = vcr_json_raw(j, data, &n);
	vcr_json_int(j, vcr_json_get(j, data, "seq"), &it.seq);
	return (it.data = strndup(raw, n)) ? add(ctx, it) : VCR_ENOMEM;
}

static int collect(struct tapes *x, struct vcr_error *e)
{
	for (int64_t i = 0; i < vcr_reader_count(x->r); i++) {
		struct vcr_reader_frame f;
		struct item it = { 0, vcr_reader_brief(x->r, i).line, i, NULL };
		int err = vcr_reader_brief(x->r, i).call ? vcr_reader_frame(x->r, i, &f, e) : 1;
		if (err < 0)
			return err;
		if (err || f.vcr < 0)
			continue; /* not by us: there is no HTTP in it */
		vcr_json_int(f.j, vcr_json_get(f.j, f.vcr, "seq"), &it.seq);
		if (add(x, it))
			return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	}
	return vcr_reader_each(x->r, "vcr.http", on_line, x, e);
}

static int by_seq(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	return x->seq != y->seq ? x->seq > y->seq ? 1 : -1 : (x->line > y->line) - (x->line < y->line);
}

/* ---- One exchange ---- */

struct fields { struct vcr_http1_field f[VCR_MAX_HTTP_FIELDS]; size_t n; };

static bool is_framing(const char *name)
{
	return !strcasecmp(name, "content-length") || !strcasecmp(name, "transfer-encoding") || !strcasecmp(name, "connection");
}

/* decoded: the body is stored so, and is said to be so. */
static void take_fields(const struct vcr_json *j, int fields, bool decoded, struct fields *out)
{
	for (int m = vcr_json_first(j, fields); m >= 0 && out->n < VCR_MAX_HTTP_FIELDS && vcr_json_type(j, fields) == VCR_JSON_OBJECT; m = vcr_json_next(j, m)) {
		char *name = vcr_json_strdup(j, m), *value = vcr_json_strdup(j, vcr_json_value(j, m));
		if (name && value && !is_framing(name) && !(decoded && !strcasecmp(name, "content-encoding"))) {
			out->f[out->n++] = (struct vcr_http1_field){ name, value };
			continue;
		}
		free(name);
		free(value);
	}
}

static void free_fields(struct fields *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free((char *)f->f[i].name);
		free((char *)f->f[i].value);
	}
	free(f);
}

static bool is_decoded(const struct vcr_json *j, int coding)
{
	static const char *const known[] = { "gzip", "x-gzip", "deflate", "br", "zstd", "identity" };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (vcr_json_is(j, coding, known[i]))
			return true;
	return vcr_json_type(j, coding) != VCR_JSON_STRING;
}

static int body(struct tapes *x, const char *ref, struct vcr_buf *out, struct vcr_error *e)
{
	return ref ? vcr_reader_body(x->r, ref, out, e) : 0;
}

/* Why it cannot be in a cassette; NULL: it can. */
static const char *unfit(const struct vcr_json *j, int v, int64_t status)
{
	if (vcr_json_is(j, vcr_json_get(j, v, "protocol"), "websocket"))
		return "a WebSocket";
	if (!status)
		return "no answer came";
	if (vcr_json_type(j, vcr_json_get(j, v, "failure")) == VCR_JSON_STRING)
		return "the answer did not end";
	return NULL;
}

static int write_taped(struct tapes *x, const struct item *it, const struct vcr_json *j, int v)
{
	VCR_AUTO_BUF url = VCR_BUF_INIT, request = VCR_BUF_INIT, response = VCR_BUF_INIT, out = VCR_BUF_INIT, method = VCR_BUF_INIT, reason = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	int64_t status = 0;
	vcr_json_int(j, vcr_json_get(j, v, "status"), &status);
	const char *why = unfit(j, v, status);
	if (why) {
		x->left_out++;
		vcr_say(x->t, "line %lld: %s, which a cassette cannot hold; left out", (long long)it->line, why);
		return 0;
	}
	vcr_buf_puts(&url, vcr_json_is(j, vcr_json_get(j, v, "scheme"), "http") ? "http://" : "https://");
	vcr_json_str(j, vcr_json_get(j, v, "host"), &url);
	vcr_json_str(j, vcr_json_get(j, v, "path"), &url);
	vcr_json_str(j, vcr_json_get(j, v, "method"), &method);
	vcr_json_str(j, vcr_json_get(j, v, "reason"), &reason);
	char *in = vcr_json_strdup(j, vcr_json_get(j, v, "request")), *back = vcr_json_strdup(j, vcr_json_get(j, v, "response"));
	struct fields *asked = calloc(1, sizeof *asked), *answered = calloc(1, sizeof *answered);
	bool memory = asked && answered;
	if (memory) {
		take_fields(j, vcr_json_get(j, v, "request_headers"), true, asked);
		take_fields(j, vcr_json_get(j, v, "response_headers"), is_decoded(j, vcr_json_get(j, v, "coding")), answered);
	}
	/* j may be gone with the next look at the reader: nothing of it is used below. */
	int err = memory ? body(x, in, &request, &e) : VCR_ENOMEM;
	if (!err)
		err = body(x, back, &response, &e);
	if (!err) {
		struct vcr_taped tape = { .method = method.data, .url = url.data, .req_field = asked->f, .nreq_field = asked->n, .req_body = request.data, .nreq_body = request.len,
			.status = (int)status, .reason = reason.data, .res_field = answered->f, .nres_field = answered->n, .res_body = response.data, .nres_body = response.len };
		vcr_cassette_write(&out, &tape);
		fwrite(out.data, 1, out.len, x->out);
		x->written++;
		err = out.err;
	}
	free(in);
	free(back);
	if (asked)
		free_fields(asked);
	if (answered)
		free_fields(answered);
	if (err == VCR_ENOMEM)
		return vcr_error_set(&e, err, "out of memory");
	if (err) {
		vcr_say(x->t, "line %lld: %s; left out", (long long)it->line, *e.what ? e.what : vcr_strerror(err));
		x->broken++;
	}
	return 0;
}

static int write_item(struct tapes *x, const struct item *it)
{
	VCR_AUTO_JSON own = VCR_JSON_INIT;
	struct vcr_reader_frame f;
	if (!it->data)
		return vcr_reader_frame(x->r, it->frame, &f, NULL) ? 0 : write_taped(x, it, f.j, f.vcr);
	return vcr_json_parse(&own, it->data, strlen(it->data), VCR_JSON_RELAXED, NULL) ? 0 : write_taped(x, it, &own, 0);
}

int vcr_export_cassette(struct vcr_tool *t, struct vcr_reader *r, FILE *out)
{
	struct tapes x = { .t = t, .r = r, .out = out };
	VCR_AUTO_BUF edge = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	int err = collect(&x, &e);
	if (x.n)
		qsort(x.item, x.n, sizeof *x.item, by_seq);
	vcr_cassette_write_head(&edge);
	fwrite(edge.data, 1, edge.len, out);
	vcr_buf_reset(&edge);
	for (size_t i = 0; i < x.n && !err && !ferror(out); i++)
		err = write_item(&x, &x.item[i]);
	if (!x.written)
		fputs("  []\n", out);
	vcr_cassette_write_tail(&edge);
	fwrite(edge.data, 1, edge.len, out);
	for (size_t i = 0; i < x.n; i++)
		free(x.item[i].data);
	free(x.item);
	if (err) {
		vcr_say(t, "%s", *e.what ? e.what : vcr_strerror(err));
		return VCR_EXIT_FAILED;
	}
	return x.broken ? VCR_EXIT_FAILED : 0;
}
