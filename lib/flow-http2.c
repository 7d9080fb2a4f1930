/* flow-http2.c — a connection that speaks HTTP/2: each stream is a call. What a header block means depends on all earlier ones of its
 * direction, so after damage nothing more can be read of such a connection. */
#include "flow-parts.h"
#include <stdio.h>

enum { REFUSED_STREAM = 7 };

static struct exchange *on_stream(const struct conn *c, uint32_t stream)
{
	struct exchange *x = c->first;
	while (x && x->stream != stream)
		x = x->next;
	return x;
}

/* Has GOAWAY said that the server will not look at it? Then it is as if never asked, and may be asked again (RFC 9113 §6.8). */
static bool is_refused(const struct conn *c, const struct exchange *x)
{
	return x->stream > c->looked_at && !x->answered;
}

static void refuse(struct conn *c, struct exchange *x)
{
	x->call.reset_code = REFUSED_STREAM;
	x->call.goaway = true;
	x->call.goaway_code = c->goaway;
	vcr_conn_pop(c, x, "reset");
}

/* Both sides are done with it. */
static void settle(struct conn *c, struct exchange *x)
{
	if (x->sent && x->answered)
		vcr_conn_pop(c, x, NULL);
	else if (x->sent && is_refused(c, x))
		refuse(c, x);
}

static int on_request_head(void *ctx, uint32_t stream, const struct vcr_http1_head *h)
{
	struct conn *c = ctx;
	int err;
	if (on_stream(c, stream))
		return VCR_ESYNTAX;
	c->req_ns = c->now_ns;
	struct exchange *x = vcr_conn_request(c, h, &err);
	if (!x)
		return err;
	c->sending = NULL;
	x->stream = stream;
	x->call.http2 = true;
	return 0;
}

static int on_request_body(void *ctx, uint32_t stream, const char *p, size_t n)
{
	struct conn *c = ctx;
	struct exchange *x = on_stream(c, stream);
	if (!x)
		return 0;
	if (!x->keep)
		c->other_bytes += n;
	return vcr_exchange_out(x, p, n, &c->flow->held);
}

static int on_request_end(void *ctx, uint32_t stream, const struct vcr_http1_field *trailer, size_t n)
{
	struct conn *c = ctx;
	struct exchange *x = on_stream(c, stream);
	if (!x || x->sent)
		return 0;
	x->sent = true;
	x->call.sent_ns = c->now_ns;
	settle(c, x);
	return 0;
}

static int on_response_head(void *ctx, uint32_t stream, const struct vcr_http1_head *h)
{
	struct conn *c = ctx;
	struct exchange *x = on_stream(c, stream);
	if (!x || h->status < 200 || x->call.status)
		return 0;
	x->call.first_byte_ns = c->now_ns;
	return vcr_exchange_response(x, h);
}

static int on_response_body(void *ctx, uint32_t stream, const char *p, size_t n)
{
	struct conn *c = ctx;
	struct exchange *x = on_stream(c, stream);
	return x ? vcr_conn_answer_body(c, x, p, n) : 0;
}

static int on_response_end(void *ctx, uint32_t stream, const struct vcr_http1_field *trailer, size_t n)
{
	struct conn *c = ctx;
	struct exchange *x = on_stream(c, stream);
	if (!x || x->answered)
		return 0;
	int err = n ? vcr_exchange_trailer(x, trailer, n) : 0;
	x->answered = true;
	x->call.end_ns = c->now_ns;
	settle(c, x);
	return err;
}

/* A stream ends early. After a whole answer that means only that the rest of the request is not wanted (RFC 9113 §8.1). */
static int stream_reset(struct conn *c, uint32_t stream, const char *failure)
{
	struct exchange *x = on_stream(c, stream);
	if (x && is_refused(c, x))
		refuse(c, x);
	else if (x)
		vcr_conn_pop(c, x, x->answered ? NULL : failure);
	return 0;
}

static int on_request_reset(void *ctx, uint32_t stream, uint32_t code) { return stream_reset(ctx, stream, "aborted"); }

static int on_response_reset(void *ctx, uint32_t stream, uint32_t code)
{
	struct exchange *x = on_stream(ctx, stream);
	if (x && !x->answered)
		x->call.reset_code = code;
	return stream_reset(ctx, stream, "reset");
}

void vcr_conn_http2_end(struct conn *c)
{
	for (struct exchange *x = c->first, *next; x; x = next) {
		next = x->next;
		if (is_refused(c, x))
			refuse(c, x);
	}
}

/* The server does not look at streams above `last`, also at those that are under way to it. */
static int on_goaway(void *ctx, uint32_t last, uint32_t code)
{
	struct conn *c = ctx;
	if (last < c->looked_at) {
		c->looked_at = last;
		c->goaway = code;
	}
	vcr_conn_http2_end(c);
	return 0;
}

void vcr_conn_http2_begin(struct conn *c, struct exchange *upgraded)
{
	static const struct vcr_http2_events requests = { on_request_head, on_request_body, on_request_end, on_request_reset, NULL };
	static const struct vcr_http2_events responses = { on_response_head, on_response_body, on_response_end, on_response_reset, on_goaway };
	c->req2 = vcr_http2_new(VCR_HTTP1_REQUEST, &requests, c);
	c->res2 = vcr_http2_new(VCR_HTTP1_RESPONSE, &responses, c);
	c->looked_at = UINT32_MAX;
	c->state = HTTP2;
	if (!c->req2 || !c->res2) {
		vcr_conn_unseen(c, "HTTP/2: out of memory");
		return;
	}
	if (upgraded) {
		upgraded->stream = 1;
		upgraded->sent = true;
		upgraded->call.http2 = true;
	}
}

static void give_up(struct conn *c, const struct vcr_http2 *h)
{
	char why[100];
	const char *words = vcr_http2_why(h, NULL);
	snprintf(why, sizeof why, "HTTP/2: %s", *words ? words : "more at once than can be followed");
	vcr_conn_fail(c, "malformed");
	vcr_conn_unseen(c, why);
}

static void feed_in(struct conn *c, const char *p, size_t n)
{
	c->nreads++;
	if (vcr_http2_feed(c->res2, p, n))
		give_up(c, c->res2);
	else if (vcr_conn_bored(c))
		vcr_conn_mute(c);
}

void vcr_conn_http2_out(struct conn *c, const char *p, size_t n)
{
	if (vcr_http2_feed(c->req2, p, n))
		give_up(c, c->req2);
	else if (vcr_conn_bored(c))
		vcr_conn_mute(c);
	else
		vcr_conn_early_give(c, feed_in);
}

void vcr_conn_http2_in(struct conn *c, const char *p, size_t n)
{
	vcr_conn_early_in(c, p, n, feed_in);
}
