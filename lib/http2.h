/* http2.h — HTTP/2 of one direction of one connection, from bytes to events (RFC 9113), HPACK by nghttp2 (RFC 7541). Sans-I/O.
 *
 * Passive: it sees what one side sends and answers nothing, so it cannot join in the middle: header blocks refer to all earlier ones. The client's
 * side begins with the connection preface, the server's with its SETTINGS. Understood are padding, priorities, CONTINUATION, interim (1xx)
 * heads, trailers, RST_STREAM and GOAWAY; a PUSH_PROMISE's block is decoded for the sake of the table and left out, other frames are skipped.
 * The dynamic table may be as large as the encoder says within MAX_TABLE: what the other side's SETTINGS allow need not be known, and
 * so it does not matter which of two crossing records came first.
 *
 * Heads come in the shape of http1.h: names as sent (lower case), ":authority" as the field "host" unless there is one, no pseudo fields.
 * No state is kept for a stream: streams are the caller's, who knows which are open. Limits: limits.h and MAX_TABLE. After an error the decoder refuses
 * further input. Callbacks may be NULL; a callback's non-zero return stops and is returned by feed. */
#ifndef VCR_HTTP2_H
#define VCR_HTTP2_H
#include "http1.h"

struct vcr_http2_events {
	/* A request's or response's head; also for 1xx (status < 200). end comes apart. minor is 0 and content_length as the field says. */
	int (*head)(void *ctx, uint32_t stream, const struct vcr_http1_head *h);
	int (*body)(void *ctx, uint32_t stream, const char *p, size_t n);
	int (*end)(void *ctx, uint32_t stream, const struct vcr_http1_field *trailer, size_t n);
	int (*reset)(void *ctx, uint32_t stream, uint32_t code);   /* RST_STREAM */
	int (*goaway)(void *ctx, uint32_t last, uint32_t code);    /* streams above last were not looked at */
};

struct vcr_http2;
/* role: what this direction carries. NULL: no memory. */
struct vcr_http2 *vcr_http2_new(enum vcr_http1_role role, const struct vcr_http2_events *ev, void *ctx);
void vcr_http2_free(struct vcr_http2 *h);
/* 0, VCR_ESYNTAX, VCR_ELIMIT, VCR_ENOMEM or a callback's value. */
int vcr_http2_feed(struct vcr_http2 *h, const char *p, size_t n);
/* Offset (bytes fed in all) of the error, and a constant text. */
const char *vcr_http2_why(const struct vcr_http2 *h, uint64_t *at);

/* Do these bytes look like whole frames in the middle of a connection? For words about what was not seen, no more. */
bool vcr_http2_looks_joined(const char *p, size_t n);

#endif
