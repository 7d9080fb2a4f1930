/* asked.h — a socket at which programs of the command ask, and are answered: each says something and ends its direction, is told something, and that is all.
 *
 * Nobody waits for another: what a program says, and what it is told, goes as it comes, by the event loop. One that is silent for PATIENCE seconds
 * is hung up on. At most VCR_ASKED_AT_ONCE are heard at once, others wait in the socket's backlog. */
#ifndef VCR_ASKED_H
#define VCR_ASKED_H
#include "buf.h"
#include <event2/event.h>

enum { VCR_ASKED_AT_ONCE = 256 };
struct vcr_asked;
/* What is told, appended to `answer`, to one who said that; an answer that is empty hangs up. */
typedef void vcr_asked_fn(void *ctx, const struct vcr_buf *said, struct vcr_buf *answer);
/* Who says more than `most` bytes is hung up on. path: unlinked first, and in the end; below 108 bytes. */
int vcr_asked_new(struct vcr_asked **a, struct event_base *base, const char *path, size_t most, vcr_asked_fn *fn, void *ctx, struct vcr_error *e);
/* Before the event base. */
void vcr_asked_free(struct vcr_asked *a);

#endif
