/* cassette-har.c — HAR 1.2, as browsers and proxies write it. */
#include "cassette-parts.h"
#include "when.h"
#include <stdlib.h>
#include <string.h>

/* [{"name": …, "value": …}] */
static int headers_of(struct tape *t, const struct vcr_json *j, int headers)
{
	int err = 0;
	for (int m = vcr_json_first(j, headers); m >= 0 && !err && vcr_json_type(j, headers) == VCR_JSON_ARRAY; m = vcr_json_next(j, m))
		err = vcr_tape_field(t, j, vcr_json_get(j, m, "name"), vcr_json_get(j, m, "value"));
	return err;
}

/* name=value&…, from postData.params: what is there has been encoded already or is plain, so only what would end a value is written in percent. */
static int form_of(const struct vcr_json *j, int params, struct vcr_buf *out)
{
	for (int m = vcr_json_first(j, params); m >= 0 && vcr_json_type(j, params) == VCR_JSON_ARRAY; m = vcr_json_next(j, m)) {
		for (int side = 0; side < 2; side++) {
			VCR_AUTO_BUF text = VCR_BUF_INIT;
			vcr_json_str(j, vcr_json_get(j, m, side ? "value" : "name"), &text);
			vcr_buf_puts(out, side ? "=" : out->len ? "&" : "");
			for (size_t i = 0; i < text.len; i++)
				if (strchr("&=+ \r\n", text.data[i]))
					vcr_buf_printf(out, "%%%02X", (unsigned char)text.data[i]);
				else
					vcr_buf_putc(out, text.data[i]);
		}
	}
	return out->err;
}

/* {"text": …, "encoding": "base64"} */
static int content_of(const struct vcr_json *j, int content, struct vcr_buf *out)
{
	int text = vcr_json_get(j, content, "text"), encoding = vcr_json_get(j, content, "encoding");
	if (vcr_json_type(j, text) == VCR_JSON_NONE || vcr_json_type(j, text) == VCR_JSON_NULL)
		return 0;
	if (vcr_json_type(j, encoding) == VCR_JSON_STRING && !vcr_json_is(j, encoding, "")) {
		if (!vcr_json_is(j, encoding, "base64"))
			return VCR_ESYNTAX;
		return vcr_tape_base64(j, text, out);
	}
	return vcr_json_str(j, text, out) ? VCR_ESYNTAX : 0;
}

static double ms(const struct vcr_json *j, int v)
{
	double d = -1;
	return vcr_json_double(j, v, &d) && d >= 0 && d < 1e10 ? d : -1;
}

/* What stood before the first byte: all that is known of blocked, dns, connect, send and wait (ssl is part of connect). */
static void times_of(struct tape *t, const struct vcr_json *j, int entry)
{
	static const char *const before[] = { "blocked", "dns", "connect", "send", "wait" };
	int timings = vcr_json_get(j, entry, "timings");
	int64_t ns;
	char *at = vcr_json_strdup(j, vcr_json_get(j, entry, "startedDateTime"));
	if (at && vcr_when(at, 0, 0, &ns) && ns > 0)
		t->x.at_us = ns / 1000;
	free(at);
	t->x.total_ms = ms(j, vcr_json_get(j, entry, "time"));
	if (ms(j, vcr_json_get(j, timings, "wait")) < 0)
		return;
	t->x.wait_ms = 0;
	for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
		double d = ms(j, vcr_json_get(j, timings, before[i]));
		t->x.wait_ms += d > 0 ? d : 0;
	}
	if (t->x.total_ms >= 0 && t->x.wait_ms > t->x.total_ms)
		t->x.wait_ms = t->x.total_ms;
}

int vcr_tape_entry(struct tape *t, const struct vcr_json *j, int v)
{
	int request = vcr_json_get(j, v, "request"), response = vcr_json_get(j, v, "response"), post = vcr_json_get(j, request, "postData");
	vcr_tape_reset(t);
	t->x.plain = true;
	if (vcr_json_is(j, vcr_json_get(j, v, "_resourceType"), "websocket")) {
		vcr_tape_skip(t, "a WebSocket; left out");
		return 0;
	}
	if (vcr_tape_request(t, j, vcr_json_get(j, request, "method"), vcr_json_get(j, request, "url")) || vcr_tape_status(t, j, vcr_json_get(j, response, "status")))
		return 0;
	if (content_of(j, post, &t->req) || (!t->req.len && form_of(j, vcr_json_get(j, post, "params"), &t->req)) ||
	    content_of(j, vcr_json_get(j, response, "content"), &t->res))
		return vcr_tape_no_body(t);
	times_of(t, j, v);
	return vcr_tape_tell(t, j, request, response, vcr_json_get(j, response, "statusText"), headers_of);
}
