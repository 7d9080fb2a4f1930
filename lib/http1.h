/* http1.h — HTTP/1.x of one direction of one connection, from bytes to events (RFC 9112). Sans-I/O.
 *
 * Feed bytes in any split; events come through callbacks. Keep-alive, pipelining, chunked (extensions, trailers), 1xx, HEAD,
 * 204/304, CONNECT and upgrades, bodies until EOF, obs-fold, bare LF are understood. Limits: limits.h. After an error the
 * decoder refuses further input. Callbacks may be NULL; a callback's non-zero return stops and is returned by feed. */
#ifndef VCR_HTTP1_H
#define VCR_HTTP1_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

enum vcr_http1_role { VCR_HTTP1_REQUEST, VCR_HTTP1_RESPONSE };

struct vcr_http1_field { const char *name, *value; }; /* value trimmed; name as sent; NUL-terminated */

struct vcr_http1_head {
	const char *method, *target;     /* requests */
	int status;                      /* responses */
	const char *reason;
	int minor;                       /* HTTP/1.minor */
	const struct vcr_http1_field *field;
	size_t nfield;
	int64_t content_length;          /* -1 if none */
	bool chunked, keep_alive, upgrade; /* upgrade: 101, or CONNECT with 2xx: bytes that follow are not HTTP */
};

struct vcr_http1_events {
	int (*head)(void *ctx, const struct vcr_http1_head *h);            /* also for 1xx (status < 200): no body/end follows */
	int (*body)(void *ctx, const char *p, size_t n);                   /* transfer-decoded */
	int (*end)(void *ctx, const struct vcr_http1_field *trailer, size_t n);
	int (*tunnel)(void *ctx, const char *p, size_t n);                 /* bytes after an upgrade */
};

struct vcr_http1;
struct vcr_http1 *vcr_http1_new(enum vcr_http1_role role, const struct vcr_http1_events *ev, void *ctx); /* NULL: no memory */
void vcr_http1_free(struct vcr_http1 *h);
/* Responses: the next response answers this method (call once per request, in order; at most 1024 outstanding). */
int vcr_http1_expect(struct vcr_http1 *h, const char *method);
/* 0, VCR_ESYNTAX, VCR_ELIMIT, VCR_ENOMEM or a callback's value. */
int vcr_http1_feed(struct vcr_http1 *h, const char *p, size_t n);
/* The peer closed. 0: between messages, or a body that EOF ends (its end event is sent); VCR_ETRUNC: inside a message. */
int vcr_http1_eof(struct vcr_http1 *h);
/* true while a message has begun and not ended. */
bool vcr_http1_inside(const struct vcr_http1 *h);
/* Offset (bytes fed in all) of the error, and a constant text. */
const char *vcr_http1_why(const struct vcr_http1 *h, uint64_t *at);

/* Value of the first field of that name (ASCII case-insensitive), or NULL. */
const char *vcr_http1_field(const struct vcr_http1_field *f, size_t n, const char *name);

#endif
