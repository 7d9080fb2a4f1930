/* cassette.c — what both kinds share, and vcrpy's. */
#include "cassette-parts.h"
#include "yaml.h"
#include "limits.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void vcr_tape_skip(struct tape *t, const char *what)
{
	if (t->skip)
		t->skip(t->ctx, t->x.number, what);
}

void vcr_tape_reset(struct tape *t)
{
	int64_t number = t->x.number;
	vcr_buf_reset(&t->text);
	vcr_buf_reset(&t->req);
	vcr_buf_reset(&t->res);
	t->nfield = t->first = 0;
	t->x = (struct vcr_taped){ .number = number + 1, .reason = "", .wait_ms = -1, .total_ms = -1 };
}

/* ---- Texts ---- */

/* Where in t->text a string stands; it is turned into pointers at the end, when the text no longer moves. -1: no memory. */
static size_t keep(struct tape *t, const struct vcr_json *j, int v)
{
	size_t at = t->text.len;
	size_t n;
	if (vcr_json_str(j, v, &t->text) == 1) { /* a number is as good */
		const char *raw = vcr_json_raw(j, v, &n);
		vcr_buf_add(&t->text, raw, n);
	}
	vcr_buf_putc(&t->text, 0);
	return at;
}

static bool is_token(const char *s)
{
	for (const char *p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("!#$%&'*+-.^_`|~", *p))
			return false;
	return *s;
}

static bool is_value(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 32 && s[i] != '\t')
			return false;
	return true;
}

int vcr_tape_field(struct tape *t, const struct vcr_json *j, int name, int value)
{
	size_t at = keep(t, j, name), v = keep(t, j, value);
	if (t->text.err)
		return t->text.err;
	if (t->text.data[at] == ':') /* HTTP/2 writes method, path and status so */
		return 0;
	if (!is_token(t->text.data + at) || strlen(t->text.data + at) != v - at - 1 || !is_value(t->text.data + v, t->text.len - 1 - v)) {
		vcr_tape_skip(t, "a header field that HTTP does not allow is left out");
		return 0;
	}
	if (t->nfield - t->first == MAX_TAPE_SIDE) {
		vcr_tape_skip(t, "more header fields than a message has; the others are left out");
		return 0;
	}
	t->at[t->nfield][0] = at;
	t->at[t->nfield++][1] = v;
	return 0;
}

void vcr_tape_fields(struct tape *t, size_t from, struct vcr_http1_field *out, const struct vcr_http1_field **field, size_t *n)
{
	for (size_t i = from; i < t->nfield; i++)
		out[i] = (struct vcr_http1_field){ t->text.data + t->at[i][0], t->text.data + t->at[i][1] };
	*field = out + from;
	*n = t->nfield - from;
}

/* The base64 of people and tools: broken into lines. */
int vcr_tape_base64(const struct vcr_json *j, int v, struct vcr_buf *out)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	if (vcr_json_str(j, v, &text))
		return text.err ? text.err : VCR_ESYNTAX;
	size_t n = 0;
	for (size_t i = 0; i < text.len; i++)
		if (!isspace((unsigned char)text.data[i]))
			text.data[n++] = text.data[i];
	return vcr_buf_unbase64(out, text.data, n);
}

/* scheme://host…, with what a URL does not hold as it is written in percent; -1: another scheme, or no host. */
static int put_url(struct vcr_buf *out, const char *url)
{
	size_t scheme = !strncasecmp(url, "http://", 7) ? 7 : !strncasecmp(url, "https://", 8) ? 8 : 0, host = scheme ? strcspn(url + scheme, "/?#") : 0;
	if (!host)
		return -1;
	for (const char *p = url + scheme; p < url + scheme + host; p++)
		if (!isalnum((unsigned char)*p) && !strchr(".-_:[]@%~", *p))
			return -1;
	vcr_buf_puts(out, scheme == 7 ? "http://" : "https://");
	for (const char *p = url + scheme; *p && *p != '#'; p++)
		if ((unsigned char)*p <= 32 || (unsigned char)*p >= 127)
			vcr_buf_printf(out, "%%%02X", (unsigned char)*p);
		else
			vcr_buf_putc(out, *p);
	return out->err;
}

int vcr_tape_request(struct tape *t, const struct vcr_json *j, int method, int url)
{
	VCR_AUTO_BUF plain = VCR_BUF_INIT;
	vcr_buf_reset(&t->method);
	vcr_buf_reset(&t->url);
	if (vcr_json_str(j, method, &t->method) || strlen(t->method.data) != t->method.len || !is_token(t->method.data) || t->method.len > 32 ||
	    !strcmp(t->method.data, "CONNECT")) {
		vcr_tape_skip(t, "no method that asks for something; left out");
		return 1;
	}
	if (vcr_json_str(j, url, &plain) || strlen(plain.data) != plain.len || put_url(&t->url, plain.data)) {
		vcr_tape_skip(t, "no http or https URL; left out");
		return 1;
	}
	t->x.method = t->method.data;
	t->x.url = t->url.data;
	return 0;
}

int vcr_tape_status(struct tape *t, const struct vcr_json *j, int status)
{
	int64_t n = -1;
	if (!vcr_json_int(j, status, &n) || n < 0 || n > 999 || (n && n < 200)) {
		vcr_tape_skip(t, "no status of an answer; left out");
		return 1;
	}
	t->x.status = (int)n;
	return 0;
}

void vcr_tape_reason(struct tape *t, const struct vcr_json *j, int v)
{
	vcr_buf_reset(&t->reason);
	if (!vcr_json_str(j, v, &t->reason) && is_value(t->reason.data, t->reason.len) && t->reason.len < 1000)
		t->x.reason = t->reason.data;
}

/* ---- vcrpy ---- */

/* Text, !!binary, {"string": …}, what Python wrote for a file or an iterator ({"state": […]}, {"args": […]}), a list of pieces; nothing for null. */
static int body_of(const struct vcr_json *j, int v, int depth, struct vcr_buf *out)
{
	static const char *const inside[] = { "string", "state", "args" };
	int of;
	switch (vcr_json_type(j, v)) {
	case VCR_JSON_NONE: case VCR_JSON_NULL:
		return 0;
	case VCR_JSON_STRING:
		return vcr_json_str(j, v, out);
	case VCR_JSON_OBJECT:
		if ((of = vcr_json_get(j, v, "!!binary")) >= 0 || (of = vcr_json_get(j, v, "base64_string")) >= 0)
			return vcr_tape_base64(j, of, out);
		for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
			if (depth && (of = vcr_json_get(j, v, inside[i])) >= 0)
				return body_of(j, of, depth - 1, out);
		return VCR_ESYNTAX;
	case VCR_JSON_ARRAY:
		for (int m = vcr_json_first(j, v), err; m >= 0 && depth; m = vcr_json_next(j, m))
			if (vcr_json_type(j, m) != VCR_JSON_NUMBER && (err = body_of(j, m, depth - 1, out)) != 0)
				return err;
		return depth ? 0 : VCR_ESYNTAX;
	default:
		return VCR_ESYNTAX;
	}
}

/* {"Name": ["value", …]} or {"Name": "value"} */
static int headers_of(struct tape *t, const struct vcr_json *j, int headers)
{
	int err = 0;
	for (int m = vcr_json_first(j, headers); m >= 0 && !err && vcr_json_type(j, headers) == VCR_JSON_OBJECT; m = vcr_json_next(j, m)) {
		int v = vcr_json_value(j, m);
		if (vcr_json_type(j, v) != VCR_JSON_ARRAY)
			err = vcr_tape_field(t, j, m, v);
		else
			for (int i = vcr_json_first(j, v); i >= 0 && !err; i = vcr_json_next(j, i))
				err = vcr_tape_field(t, j, m, i);
	}
	return err;
}

static int interaction(struct tape *t, const struct vcr_json *j, int v)
{
	int request = vcr_json_get(j, v, "request"), response = vcr_json_get(j, v, "response"), status = vcr_json_get(j, response, "status");
	vcr_tape_reset(t);
	bool old = vcr_json_get(j, response, "status_code") >= 0; /* of httpx, by vcrpy before 6: {"status_code", "content"} */
	if (vcr_tape_request(t, j, vcr_json_get(j, request, "method"), vcr_json_get(j, request, "uri")) ||
	    vcr_tape_status(t, j, old ? vcr_json_get(j, response, "status_code") : vcr_json_get(j, status, "code")))
		return 0;
	if (body_of(j, vcr_json_get(j, request, "body"), 4, &t->req) || body_of(j, vcr_json_get(j, response, old ? "content" : "body"), 4, &t->res))
		return vcr_tape_no_body(t);
	return vcr_tape_tell(t, j, request, response, vcr_json_get(j, status, "message"), headers_of);
}

int vcr_tape_no_body(struct tape *t)
{
	vcr_tape_skip(t, "a body that is neither text nor base64; left out");
	return t->req.err == VCR_ENOMEM || t->res.err == VCR_ENOMEM ? VCR_ENOMEM : 0;
}

/* The first `half` fields are the request's. */
static int tell(struct tape *t, size_t half)
{
	struct vcr_http1_field field[MAX_TAPE_FIELDS];
	size_t all = t->nfield;
	vcr_tape_fields(t, half, field, &t->x.res_field, &t->x.nres_field);
	t->nfield = half;
	vcr_tape_fields(t, 0, field, &t->x.req_field, &t->x.nreq_field);
	t->nfield = all;
	t->x.req_body = t->req.data;
	t->x.nreq_body = t->req.len;
	t->x.res_body = t->res.data;
	t->x.nres_body = t->res.len;
	return t->fn(t->ctx, &t->x);
}

int vcr_tape_tell(struct tape *t, const struct vcr_json *j, int request, int response, int reason, vcr_tape_headers_fn *headers)
{
	int err = headers(t, j, vcr_json_get(j, request, "headers"));
	size_t half = t->first = t->nfield;
	if (!err)
		err = headers(t, j, vcr_json_get(j, response, "headers"));
	vcr_tape_reason(t, j, reason);
	return err ? err : tell(t, half);
}

/* ---- Both ---- */

static void tape_release(struct tape *t)
{
	struct vcr_buf *all[] = { &t->text, &t->req, &t->res, &t->method, &t->url, &t->reason };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		vcr_buf_release(all[i]);
	free(t);
}

static struct tape *tape_new(vcr_taped_fn *fn, vcr_taped_skip_fn *skip, void *ctx)
{
	struct tape *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	struct vcr_buf *all[] = { &t->text, &t->req, &t->res, &t->method, &t->url, &t->reason };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		vcr_buf_init(all[i], VCR_MAX_HTTP_BODY);
	t->fn = fn;
	t->skip = skip;
	t->ctx = ctx;
	return t;
}

static int read_document(const struct vcr_json *j, enum vcr_cassette_kind *kind, struct tape *t, struct vcr_error *e)
{
	int list = vcr_json_get(j, 0, "interactions"), entries = vcr_json_path(j, 0, "log.entries"), err = 0;
	int64_t version = 1;
	bool har = list < 0 && entries >= 0;
	list = har ? entries : list;
	if (vcr_json_type(j, list) != VCR_JSON_ARRAY)
		return vcr_error_set(e, VCR_ESYNTAX, "neither a cassette of vcrpy (no list of interactions) nor a HAR (no log.entries)");
	if (!har && vcr_json_int(j, vcr_json_get(j, 0, "version"), &version) && version != 1)
		return vcr_error_set(e, VCR_EVERSION, "a cassette of version %lld; version 1 is understood", (long long)version);
	*kind = har ? VCR_CASSETTE_HAR : VCR_CASSETTE_VCRPY;
	for (int m = vcr_json_first(j, list); m >= 0 && !err; m = vcr_json_next(j, m))
		err = har ? vcr_tape_entry(t, j, m) : interaction(t, j, m);
	return err < 0 && e && !e->code ? vcr_error_set(e, err, "%s", vcr_strerror(err)) : err;
}

int vcr_cassette_read(const char *p, size_t n, enum vcr_cassette_kind *kind, vcr_taped_fn *fn, vcr_taped_skip_fn *skip, void *ctx, struct vcr_error *e)
{
	VCR_AUTO_BUF made = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_error why = { 0 };
	if (n > VCR_MAX_CASSETTE)
		return vcr_error_set(e, VCR_ELIMIT, "larger than the %d MiB that are read", VCR_MAX_CASSETTE >> 20);
	if (n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3))
		p += 3, n -= 3;
	size_t blank = 0;
	while (blank < n && strchr(" \t\r\n", p[blank]) && p[blank])
		blank++;
	bool json = blank < n && p[blank] == '{';
	made.max = VCR_MAX_JSON_BYTES;
	int err = json ? vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, &why) : vcr_yaml_to_json(p, n, &made, &why);
	if (err)
		return vcr_error_set(e, err, "%s: %s", json ? "no JSON" : "no YAML", why.what);
	if (!json && (err = vcr_json_parse(&j, made.data, made.len, 0, &why)) != 0)
		return vcr_error_set(e, err, "no cassette: %s", why.what);
	struct tape *t = tape_new(fn, skip, ctx);
	if (!t)
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	err = read_document(&j, kind, t, e);
	tape_release(t);
	return err;
}
