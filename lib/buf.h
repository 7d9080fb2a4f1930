/* buf.h — the one growable byte buffer.
 *
 * data is never NULL and always NUL-terminated at data[len]; contents may hold NULs. Growth is bounded by max (0: the
 * default of 1 GiB). The first failure (VCR_ENOMEM or VCR_ELIMIT) sticks in err, later appends do nothing, so a
 * chain of appends is tested once, at its end. Zero-initialise with VCR_BUF_INIT; release frees and re-initialises. */
#ifndef VCR_BUF_H
#define VCR_BUF_H
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

struct vcr_buf {
	char *data;
	size_t len;
	size_t cap; /* bytes owned; 0 while data points at the shared empty string */
	size_t max;
	int err;
};

extern char vcr_buf_empty[1];
#define VCR_BUF_INIT { vcr_buf_empty, 0, 0, 0, 0 }
#define VCR_AUTO_BUF __attribute__((cleanup(vcr_buf_release))) struct vcr_buf

void vcr_buf_init(struct vcr_buf *b, size_t max);
void vcr_buf_release(struct vcr_buf *b);
/* Empty it, keep the memory, clear err. */
void vcr_buf_reset(struct vcr_buf *b);
/* Room for n more bytes at data+len; returns that place or NULL (err set). The caller then adds to len by vcr_buf_added. */
char *vcr_buf_reserve(struct vcr_buf *b, size_t n);
void vcr_buf_added(struct vcr_buf *b, size_t n);
/* Append; each returns b->err. */
int vcr_buf_add(struct vcr_buf *b, const void *p, size_t n);
int vcr_buf_puts(struct vcr_buf *b, const char *s);
int vcr_buf_putc(struct vcr_buf *b, char c);
int vcr_buf_printf(struct vcr_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int vcr_buf_vprintf(struct vcr_buf *b, const char *fmt, va_list ap);
/* Drop the first n bytes (n <= len). */
void vcr_buf_drop(struct vcr_buf *b, size_t n);
/* Cut to len n (n <= len). */
void vcr_buf_cut(struct vcr_buf *b, size_t n);
/* Hand the memory (malloc'd, NUL-terminated) to the caller, who frees it; b is empty afterwards. NULL if err. */
char *vcr_buf_take(struct vcr_buf *b, size_t *len);
/* Lower-case hex, and standard base64 (RFC 4648 §4, padded). Decoding returns 0 or VCR_ESYNTAX and appends nothing then. */
int vcr_buf_hex(struct vcr_buf *b, const void *p, size_t n);
int vcr_buf_base64(struct vcr_buf *b, const void *p, size_t n);
int vcr_buf_unbase64(struct vcr_buf *b, const char *s, size_t n);

#endif
