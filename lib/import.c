#include "import.h"
#include "inflate.h"
#include "json.h"
#include "limits.h"
#include "recorder.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Monotonic time stands for Unix time with this in between, so that what began before the first exchange (it cannot) would not be before 0. */
#define MONO_NS (1ull << 62)
enum { NOBODY = -1 }; /* process; 0 is one whose number was lost */

struct vcr_import {
	struct vcr_spool_header *spool;
	struct vcr_recorder *recorder;
	struct vcr_config config;       /* a copy of the caller's, with capture on: its lists are the caller's */
	uint32_t conns;
	uint64_t seq, now_ns;
};

int vcr_import_new(struct vcr_import **out, const struct vcr_import_options *o, struct vcr_error *e)
{
	struct vcr_import *im = calloc(1, sizeof *im);
	struct vcr_spool_header *h = im ? calloc(1, sizeof *h) : NULL;
	if (!h) {
		free(im);
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	}
	im->spool = h;
	if (strlen(o->vcr_dir) >= sizeof h->vcr_dir || strlen(o->session_id) >= sizeof h->session) {
		vcr_import_free(im);
		return vcr_error_set(e, VCR_EINVAL, "%.100s…: too long a name", o->vcr_dir);
	}
	strcpy(h->vcr_dir, o->vcr_dir);
	strcpy(h->session, o->session_id);
	strcpy(h->workspace, "/");
	h->real_ns = (uint64_t)o->from_us * 1000;
	h->mono_ns = im->now_ns = MONO_NS;
	im->seq = 1;
	im->config = *o->config;
	im->config.capture_all = true;
	struct vcr_recorder_options ro = { .spool = h, .config = &im->config, .metadata_json = o->metadata_json, .prices_path = o->prices_path, .environ = o->environ,
		.source = "import" };
	int err = vcr_recorder_new(&im->recorder, &ro, e);
	if (err) {
		vcr_import_free(im);
		return err;
	}
	*out = im;
	return 0;
}

/* ---- One exchange as the bytes of a connection ---- */

static bool is_left_out(const char *name)
{
	/* How the body was framed then; said anew. What vcrpy decodes it keeps the coding of in a field of its own. */
	static const char *const names[] = { "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "upgrade", "trailer", "te", "host", "expect",
		"http2-settings" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcasecmp(name, names[i]))
			return true;
	return false;
}

/* Is the body what its coding says? Some tools keep the field and decode the body. 1: it is not; VCR_ELIMIT. */
static int check_coding(const char *coding, const char *p, size_t n)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_inflate *z = NULL;
	out.max = VCR_MAX_INFLATED;
	if (!n)
		return 1;
	if (vcr_inflate_new(&z, coding, NULL))
		return 0; /* unknown: it stays as it is */
	int err = vcr_inflate_feed(z, p, n, &out);
	if (!err)
		err = vcr_inflate_end(z);
	vcr_inflate_free(z);
	return err == VCR_ELIMIT || err == VCR_ENOMEM ? VCR_ELIMIT : err == VCR_ETRUNC || !err ? 0 : 1;
}

static int put_fields(struct vcr_buf *out, const struct vcr_http1_field *f, size_t n, const char *body, size_t nbody, bool plain, bool head)
{
	for (size_t i = 0; i < n; i++) {
		bool length = head && !strcasecmp(f[i].name, "content-length") && strspn(f[i].value, "0123456789") == strlen(f[i].value);
		if (is_left_out(f[i].name) && !length)
			continue;
		int coded = strcasecmp(f[i].name, "content-encoding") ? 0 : plain ? 1 : check_coding(f[i].value, body, nbody);
		if (coded < 0)
			return coded;
		if (!coded)
			vcr_buf_printf(out, "%s: %s\r\n", f[i].name, f[i].value);
	}
	if (!head)
		vcr_buf_printf(out, "Content-Length: %zu\r\n", nbody);
	vcr_buf_puts(out, "\r\n");
	return out->err ? out->err : out->len > VCR_MAX_HTTP_HEAD - 1024 ? VCR_EINVAL : 0;
}

static bool has_no_body(const struct vcr_taped *x)
{
	return !strcmp(x->method, "HEAD") || x->status == 204 || x->status == 304;
}

static int put_request(struct vcr_buf *out, const struct vcr_taped *x, char host[300])
{
	const char *at = strstr(x->url, "://") + 3;
	size_t n = strcspn(at, "/?#");
	const char *user = memrchr(at, '@', n), *path = at + n;
	if (user) {
		n -= (size_t)(user + 1 - at);
		at = user + 1;
	}
	if (!n || n >= 290 || strlen(path) > VCR_MAX_HTTP_HEAD / 2)
		return VCR_EINVAL;
	memcpy(host, at, n);
	host[n] = 0;
	const char *usual = strncmp(x->url, "https", 5) ? ":80" : ":443";
	size_t k = strlen(usual);
	if (n > k && !strcmp(host + n - k, usual))
		host[n - k] = 0;
	vcr_buf_printf(out, "%s %s%s HTTP/1.1\r\nHost: %s\r\n", x->method, *path == '/' ? "" : "/", path, host);
	return put_fields(out, x->req_field, x->nreq_field, x->req_body, x->nreq_body, x->plain, false);
}

static int put_answer(struct vcr_buf *out, const struct vcr_taped *x)
{
	vcr_buf_printf(out, "HTTP/1.1 %03d %s\r\n", x->status, x->reason);
	return put_fields(out, x->res_field, x->nres_field, x->res_body, x->nres_body, x->plain, has_no_body(x));
}

static void event(struct vcr_import *im, uint32_t type, const void *p, size_t n)
{
	struct vcr_spool_event ev = { .type = type, .conn = im->conns, .pid = NOBODY, .size = (uint32_t)n, .time_ns = im->now_ns, .seq = im->seq, .payload = p };
	im->seq += 64 + (n + 31) / 32 * 32;
	vcr_recorder_event(im->recorder, &ev);
}

static void begin(struct vcr_import *im, bool tls)
{
	struct { struct vcr_rec_conn c; char strings[4]; } conn = { .c = { tls ? VCR_CONN_TLS : VCR_CONN_PLAIN, -1 } };
	im->conns++;
	event(im, VCR_REC_CONN, &conn, sizeof conn.c + 2);
}

static uint64_t after(uint64_t from, double ms)
{
	return ms > 0 ? from + (uint64_t)(ms * 1e6) : from;
}

int vcr_import_add(struct vcr_import *im, const struct vcr_taped *x, struct vcr_error *e)
{
	VCR_AUTO_BUF request = VCR_BUF_INIT, answer = VCR_BUF_INIT;
	int32_t reason = x->status ? 0 : 104; /* ECONNRESET: why there was no answer is not known */
	char host[300];
	int err = put_request(&request, x, host);
	if (!err && x->status)
		err = put_answer(&answer, x);
	if (err == VCR_ENOMEM)
		return vcr_error_set(e, err, "no memory");
	if (err) {
		vcr_error_set(e, err, "%s", err == VCR_ELIMIT ? "its body is larger than what is read when it is unpacked" : "its header is larger than what is read");
		return 1;
	}
	uint64_t start = x->at_us > 0 ? MONO_NS + (uint64_t)x->at_us * 1000 - im->spool->real_ns : im->now_ns;
	im->now_ns = start;
	begin(im, !strncmp(x->url, "https", 5));
	event(im, VCR_REC_OUT, request.data, request.len);
	if (x->nreq_body)
		event(im, VCR_REC_OUT, x->req_body, x->nreq_body);
	im->now_ns = after(start, x->wait_ms);
	if (x->status)
		event(im, VCR_REC_IN, answer.data, answer.len);
	bool slow = x->total_ms > x->wait_ms && x->wait_ms >= 0;
	size_t body = x->status && !has_no_body(x) ? x->nres_body : 0, last = slow && body > 1; /* the end is when the last byte came */
	if (body)
		event(im, VCR_REC_IN, x->res_body, body - last);
	im->now_ns = after(start, slow ? x->total_ms : x->wait_ms);
	if (last)
		event(im, VCR_REC_IN, x->res_body + body - 1, 1);
	event(im, VCR_REC_CLOSE, &reason, sizeof reason);
	return 0;
}

int vcr_import_end(struct vcr_import *im, struct vcr_import_totals *t, struct vcr_error *e)
{
	static const struct vcr_spool_losses none;
	VCR_AUTO_BUF result = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	*t = (struct vcr_import_totals){ 0 };
	vcr_recorder_end(im->recorder, &none, &result);
	vcr_import_free(im);
	if (result.err || vcr_json_parse(&j, result.data, result.len, 0, NULL))
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	vcr_json_int(&j, vcr_json_get(&j, 0, "frames"), &t->frames);
	vcr_json_int(&j, vcr_json_get(&j, 0, "model_calls"), &t->calls);
	vcr_json_int(&j, vcr_json_get(&j, 0, "tokens"), &t->tokens);
	char *why = vcr_json_strdup(&j, vcr_json_get(&j, 0, "end_error"));
	why = why ? why : vcr_json_strdup(&j, vcr_json_get(&j, 0, "last_error"));
	int err = why ? vcr_error_set(e, VCR_EIO, "%s", why) : 0;
	free(why);
	return err;
}

void vcr_import_free(struct vcr_import *im)
{
	if (!im)
		return;
	vcr_recorder_free(im->recorder);
	free(im->spool);
	free(im);
}
