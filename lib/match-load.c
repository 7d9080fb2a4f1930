/* match-load.c — the calls of a session file, as far as replay needs them. */
#include "match-parts.h"
#include "limits.h"
#include "scan.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PIECES = 1 << 20 };

/* What is asked of metadata.custom.vcr of a frame, or of the data of a vcr.http line, all at once; in the order in which the recorder writes them, by which
 * they are found soonest. */
#define MEMBERS(X) X(seq) X(conn) X(api) X(scheme) X(method) X(path) X(http) X(started_at) X(k0) X(k1) X(request) X(response) X(protocol) X(coding) X(failure) X(reason) \
	X(host) X(status) X(complete) X(ttfb_ms) X(total_ms) X(response_headers) X(response_trailers) X(reset_code) X(goaway) X(chunks) X(aside) X(turns) X(items) X(request_bytes)
struct members {
#define X(name) int name;
	MEMBERS(X)
#undef X
};
static const char *const names[] = {
#define X(name) #name,
	MEMBERS(X)
#undef X
};
enum { NMEMBERS = sizeof names / sizeof *names };
_Static_assert(sizeof(struct members) == NMEMBERS * sizeof(int), "a struct of values, in the order of their names");

static void free_fields(struct vcr_http1_field *field, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free((char *)field[i].name);
		free((char *)field[i].value);
	}
	free(field);
}

void vcr_recorded_release(struct vcr_recorded *c)
{
	free_fields(c->field, c->nfield);
	free_fields(c->trailer, c->ntrailer);
	free(c->piece);
	free(c->method);
	free(c->path);
	free(c->host);
	free(c->reason);
	free(c->failure);
	free(c->coding);
	free(c->aside);
	free(c->turns);
}

/* Fill a fixed field; left empty when it does not fit. */
static void short_string(const struct vcr_json *j, int v, char *to, size_t n)
{
	size_t len;
	const char *p = vcr_json_raw(j, v, &len);
	if (vcr_json_type(j, v) == VCR_JSON_STRING && !memchr(p, '\\', len)) {
		if (len - 2 < n) {
			memcpy(to, p + 1, len - 2);
			to[len - 2] = 0;
		}
		return;
	}
	char *s = vcr_json_strdup(j, v);
	if (s && strlen(s) < n)
		strcpy(to, s);
	free(s);
}

static int64_t microseconds(const struct vcr_json *j, int v)
{
	double ms;
	return vcr_json_double(j, v, &ms) && ms >= 0 && ms < 1e12 ? llround(ms * 1000) : -1;
}

static enum vcr_api api_of(const struct vcr_json *j, int v)
{
	for (int api = VCR_API_NONE; api <= VCR_API_SIDE; api++)
		if (vcr_json_is(j, v, vcr_api_name((enum vcr_api)api)))
			return (enum vcr_api)api;
	return VCR_API_NONE;
}

static int read_fields(const struct vcr_json *j, int object, struct vcr_http1_field **field, size_t *nfield)
{
	int n = vcr_json_type(j, object) == VCR_JSON_OBJECT ? vcr_json_count(j, object) : 0;
	*field = calloc((size_t)(n < VCR_MAX_HTTP_FIELDS ? n : VCR_MAX_HTTP_FIELDS) + 1, sizeof **field);
	if (!*field)
		return VCR_ENOMEM;
	for (int k = n ? vcr_json_first(j, object) : -1; k >= 0 && *nfield < VCR_MAX_HTTP_FIELDS; k = vcr_json_next(j, k)) {
		char *name = vcr_json_strdup(j, k), *value = vcr_json_strdup(j, vcr_json_value(j, k));
		if (!name || !value) { /* a value that is no string */
			free(name);
			free(value);
			continue;
		}
		(*field)[(*nfield)++] = (struct vcr_http1_field){ name, value };
	}
	return 0;
}

/* Pairs: bytes since the read before, microseconds since the first byte. Neither goes backwards. */
static int read_pieces(const struct vcr_json *j, int array, struct vcr_recorded *c)
{
	int n = vcr_json_type(j, array) == VCR_JSON_ARRAY ? vcr_json_count(j, array) / 2 : 0;
	uint64_t at = 0, last_us = 0;
	if (n <= 0)
		return 0;
	c->piece = calloc((size_t)(n < MAX_PIECES ? n : MAX_PIECES), sizeof *c->piece);
	if (!c->piece)
		return VCR_ENOMEM;
	for (int m = vcr_json_first(j, array); m >= 0 && c->npiece < MAX_PIECES;) {
		int64_t bytes, us;
		int time = vcr_json_next(j, m);
		if (time < 0 || !vcr_json_int(j, m, &bytes) || !vcr_json_int(j, time, &us) || bytes <= 0 || bytes > VCR_MAX_HTTP_BODY)
			break;
		at += (uint64_t)bytes;
		last_us = us > (int64_t)last_us ? (uint64_t)us : last_us;
		c->piece[c->npiece++] = (struct vcr_piece_time){ at, last_us };
		m = vcr_json_next(j, time);
	}
	return 0;
}

static struct vcr_recorded *new_call(struct vcr_match *m)
{
	if (m->n == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 64;
		struct vcr_recorded *c = realloc(m->call, cap * sizeof *c);
		if (!c)
			return NULL;
		m->call = c;
		m->cap = cap;
	}
	struct vcr_recorded *c = &m->call[m->n++];
	*c = (struct vcr_recorded){ .reader = m->reader, .in = m->in, .age = m->age, .frame = -1, .call = -1, .items = -1, .size = -1 };
	return c;
}

static char *array_text(const struct vcr_json *j, int array)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_jw w;
	if (vcr_json_type(j, array) != VCR_JSON_ARRAY)
		return NULL;
	vcr_jw_init(&w, &b);
	vcr_jw_value(&w, j, array);
	return vcr_buf_take(&b, NULL);
}

/* A turn of a WebSocket. One that the server began by itself, before anything was asked, is like no request. */
static int take_turn(const struct vcr_json *j, int conn, int aside, int turns, struct vcr_recorded *c)
{
	c->websocket = true;
	vcr_json_int(j, conn, &c->conn);
	c->aside = array_text(j, aside);
	c->turns = array_text(j, turns);
	if (*c->request_ref)
		return 0;
	free(c->method);
	*c->k0 = *c->k1 = 0;
	return (c->method = strdup("WEBSOCKET")) ? 0 : VCR_ENOMEM;
}

/* Of a line without a time of its own it is when it began. */
static bool has_expired(const struct vcr_match *m, const struct vcr_json *j, int started_at, struct vcr_recorded *c)
{
	VCR_AUTO_BUF began = VCR_BUF_INIT;
	if (!c->time_ns && m->o.not_before_ns && (vcr_json_str(j, started_at, &began) || !vcr_scan_time(began.data, began.len, &c->time_ns)))
		c->time_ns = 0;
	return c->time_ns && c->time_ns < m->o.not_before_ns;
}

static int64_t began_us(const struct vcr_json *j, int v)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	int64_t ns;
	return !vcr_json_str(j, v, &text) && vcr_scan_time(text.data, text.len, &ns) ? ns / 1000 : 0;
}

static void leave_out(struct vcr_match *m, const struct vcr_error *why)
{
	if (!m->stats.unusable++)
		m->unusable = *why;
}

/* v: metadata.custom.vcr of a frame, or the data of a vcr.http line. */
static int take(struct vcr_match *m, const struct vcr_json *j, int v, int64_t line, int64_t frame, int64_t call, int64_t time_ns)
{
	int at[NMEMBERS];
	struct members of;
	vcr_json_pick(j, v, names, NMEMBERS, at);
	memcpy(&of, at, sizeof of);
	char *method = vcr_json_strdup(j, of.method), *path = vcr_json_strdup(j, of.path);
	if (!method || !path) {
		free(method);
		free(path);
		struct vcr_error why = { 0 };
		vcr_error_set(&why, VCR_ECORRUPT, "frame %lld, line %lld: neither a method nor a path is noted", (long long)frame, (long long)line);
		if (frame >= 0)
			leave_out(m, &why);
		return 0;
	}
	struct vcr_recorded *c = new_call(m);
	int64_t status = 0, code = 0;
	if (!c) {
		free(method);
		free(path);
		return VCR_ENOMEM;
	}
	c->time_ns = time_ns;
	c->method = method;
	c->path = path;
	c->frame = frame;
	c->call = call;
	c->line = line;
	c->api = api_of(j, of.api);
	c->host = vcr_json_strdup(j, of.host);
	c->reason = vcr_json_strdup(j, of.reason);
	c->failure = vcr_json_strdup(j, of.failure);
	c->coding = vcr_json_strdup(j, of.coding);
	c->tls = !vcr_json_is(j, of.scheme, "http");
	c->complete = vcr_json_true(j, of.complete);
	c->began_us = m->o.began ? began_us(j, of.started_at) : 0;
	c->ttfb_us = microseconds(j, of.ttfb_ms);
	c->total_us = microseconds(j, of.total_ms);
	vcr_json_int(j, of.seq, &c->seq);
	vcr_json_int(j, of.status, &status);
	c->status = status >= 100 && status <= 999 ? (int)status : 0;
	bool expired = has_expired(m, j, of.started_at, c);
	if (expired || (m->o.skip_faults && (c->failure || c->status >= 400))) {
		vcr_recorded_release(c);
		m->n--;
		++*(expired ? &m->stats.expired : &m->stats.skipped);
		return 0;
	}
	vcr_json_int(j, of.items, &c->items);
	vcr_json_int(j, of.request_bytes, &c->size);
	short_string(j, of.k0, c->k0, sizeof c->k0);
	short_string(j, of.k1, c->k1, sizeof c->k1);
	short_string(j, of.request, c->request_ref, sizeof c->request_ref);
	short_string(j, of.response, c->response_ref, sizeof c->response_ref);
	if (vcr_json_is(j, of.protocol, "websocket") && take_turn(j, of.conn, of.aside, of.turns, c))
		return VCR_ENOMEM;
	++*(frame >= 0 ? &m->stats.calls : &m->stats.sides);
	if (!c->host && !(c->host = strdup("")))
		return VCR_ENOMEM;
	c->http2 = vcr_json_is(j, of.http, "2");
	if (vcr_json_int(j, of.reset_code, &code) && code > 0 && code <= UINT32_MAX)
		c->reset_code = (uint32_t)code;
	c->goaway = vcr_json_int(j, of.goaway, &code) && code >= 0 && code <= UINT32_MAX;
	if (c->goaway)
		vcr_json_int(j, of.conn, &c->conn);
	c->goaway_code = c->goaway ? (uint32_t)code : 0;
	int err = read_fields(j, of.response_headers, &c->field, &c->nfield);
	if (!err && of.response_trailers >= 0)
		err = read_fields(j, of.response_trailers, &c->trailer, &c->ntrailer);
	return err ? err : read_pieces(j, of.chunks, c);
}

static int take_side(void *ctx, const struct vcr_json *j, int data, int64_t line)
{
	return take(ctx, j, data, line, -1, -1, 0);
}

static int take_frames(struct vcr_match *m, struct vcr_error *e)
{
	int64_t n = vcr_reader_count(m->reader), call = 0;
	for (int64_t i = 0; i < n; i++) {
		struct vcr_reader_brief brief = vcr_reader_brief(m->reader, i);
		const struct vcr_json *j;
		int vcr;
		if (!brief.call)
			continue; /* what files and programs did is not even parsed */
		struct vcr_error why = { 0 };
		int err = vcr_reader_noted(m->reader, i, &j, &vcr, &why);
		if (err == VCR_EVERSION || err == VCR_ENOMEM)
			return vcr_error_set(e, err, "%s", why.what);
		if (err) {
			leave_out(m, &why);
			continue;
		}
		if ((err = take(m, j, vcr, brief.line, i, call++, brief.time_ns)))
			return vcr_error_set(e, err, "replay: %s", vcr_strerror(err));
	}
	return 0;
}

static int by_order(const void *a, const void *b)
{
	const struct vcr_recorded *x = a, *y = b;
	if (x->age != y->age)
		return x->age - y->age;
	return x->seq != y->seq ? (x->seq < y->seq ? -1 : 1) : (x->line > y->line) - (x->line < y->line);
}

/* Most recordings are in order already. */
static void sort(struct vcr_match *m)
{
	for (size_t i = 1; i < m->n; i++)
		if (by_order(&m->call[i - 1], &m->call[i]) > 0) {
			qsort(m->call, m->n, sizeof *m->call, by_order);
			return;
		}
}

/* A file whose writer noted no keys: they follow from the request. */
static int fill_keys(struct vcr_match *m, struct vcr_recorded *c)
{
	VCR_AUTO_BUF body = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_error why = { 0 };
	if (strlen(c->k0) == VCR_KEY_LEN - 1 && strlen(c->k1) == VCR_KEY_LEN - 1)
		return 0;
	if (*c->request_ref && vcr_reader_body(c->reader, c->request_ref, &body, &why)) {
		leave_out(m, &why);
		*c->k0 = *c->k1 = 0;
		return body.err;
	}
	bool is_json = body.len && !vcr_json_parse(&j, body.data, body.len, 0, NULL);
	vcr_canon_keys(NULL, c->method, c->path, body.data, body.len, is_json ? &j : NULL, c->k0, c->k1);
	return 0;
}

static int take_session(struct vcr_match *m, struct vcr_reader *r, const struct vcr_normal_context *in, struct vcr_error *e)
{
	m->reader = r;
	m->in = in;
	int err = take_frames(m, e);
	if (!err)
		err = vcr_reader_each(r, "vcr.http", take_side, m, e);
	m->age++;
	return err;
}

int vcr_match_load(struct vcr_match *m, struct vcr_error *e)
{
	struct vcr_reader *last = m->reader;
	int err = 0;
	for (size_t i = 0; i < m->o.nbefore && !err; i++)
		err = take_session(m, m->o.before[i].reader, &m->o.before[i].recorded, e);
	if (!err && last)
		err = take_session(m, last, &m->o.recorded, e);
	if (err)
		return err;
	sort(m);
	for (size_t i = 0; i < m->n && !err; i++)
		err = fill_keys(m, &m->call[i]);
	return err ? vcr_error_set(e, err, "replay: %s", vcr_strerror(err)) : 0;
}
