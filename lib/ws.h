/* ws.h — WebSocket messages of one direction of one connection (RFC 6455), permessage-deflate included (RFC 7692). Sans-I/O.
 *
 * Passive: what one side sends, from the byte behind the handshake on; masked or not as each frame says. Fragments are joined, control frames
 * between them taken apart. Messages are bounded by VCR_MAX_WS_MESSAGE, before and after inflating. After an error the decoder refuses
 * further input. A callback's non-zero return stops and is returned by feed.
 * What a server says is written by vcr_ws_write. */
#ifndef VCR_WS_H
#define VCR_WS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"

struct vcr_ws_events {
	int (*message)(void *ctx, bool text, const char *p, size_t n); /* complete; NUL behind it; borrowed for the call */
	int (*close)(void *ctx, unsigned code);                        /* a close frame; 1005 if it has no code. May be NULL */
	int (*ping)(void *ctx, const char *p, size_t n);               /* to be answered by a pong with the same bytes. May be NULL */
};

/* What the handshake's answer agreed to. */
struct vcr_ws_extensions { bool deflate, client_forgets, server_forgets; }; /* …forgets: no context takeover */
/* The value of Sec-WebSocket-Extensions of the 101 answer, or NULL. VCR_ENOSYS: another extension than permessage-deflate. */
int vcr_ws_extensions_read(const char *value, struct vcr_ws_extensions *out);

struct vcr_ws;
/* deflate: messages may be compressed; forgets: each message's window is its own. NULL: no memory. */
struct vcr_ws *vcr_ws_new(const struct vcr_ws_events *ev, void *ctx, bool deflate, bool forgets);
void vcr_ws_free(struct vcr_ws *w);
/* 0, VCR_ESYNTAX, VCR_ELIMIT, VCR_ENOMEM or a callback's value. */
int vcr_ws_feed(struct vcr_ws *w, const char *p, size_t n);
/* A whole message or control frame of a server, appended: not masked, not compressed. Of a control frame 125 bytes at most. */
enum vcr_ws_kind { VCR_WS_TEXT = 1, VCR_WS_CLOSE = 8, VCR_WS_PONG = 10 };
int vcr_ws_write(struct vcr_buf *out, enum vcr_ws_kind kind, const char *p, size_t n);
/* The same for a close frame with its code and its reason, cut where it is too long. */
int vcr_ws_write_close(struct vcr_buf *out, unsigned code, const char *reason);
/* A constant text for the error, or "". */
const char *vcr_ws_why(const struct vcr_ws *w);

#endif
