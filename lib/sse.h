/* sse.h — server-sent events from bytes, as the WHATWG HTML standard §9.2.6 interprets them. Sans-I/O, any split. */
#ifndef VCR_SSE_H
#define VCR_SSE_H
#include <stddef.h>
#include "error.h"

/* event: "message" unless named; data: joined with \n, may hold NULs, NUL-terminated; id: last event id. */
typedef int vcr_sse_fn(void *ctx, const char *event, const char *data, size_t len, const char *id);
struct vcr_sse;
struct vcr_sse *vcr_sse_new(vcr_sse_fn *fn, void *ctx);
void vcr_sse_free(struct vcr_sse *s);
int vcr_sse_feed(struct vcr_sse *s, const char *p, size_t n); /* 0, VCR_ELIMIT, VCR_ENOMEM, or fn's non-zero value */
/* The stream ended. 1 if an event was begun and not dispatched (the standard drops it), else 0. */
int vcr_sse_end(struct vcr_sse *s);

#endif
