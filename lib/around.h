/* around.h — which program of a replay is the command that was recorded, and what is only around it.
 *
 * A command that is replayed may be started by another one than it was: timeout(1), a script of CI. What that one starts until the recorded command begins is the user's
 * own. A command is known by its arguments, and by the name of its file; a script by what comes behind its interpreter's. Sans-I/O. */
#ifndef VCR_AROUND_H
#define VCR_AROUND_H
#include <stdbool.h>
#include "buf.h"

struct vcr_around { struct vcr_buf *command; size_t n; bool begun; };
#define VCR_AROUND_INIT { NULL, 0, false }
/* A recorded one: its arguments from the zeroth on, each with a NUL behind it. Takes the buffer's content. A negative code, or 0. */
int vcr_around_add(struct vcr_around *a, struct vcr_buf *command);
/* A program begins, with these: is it the recorded command? From the first such on `begun` is true. Of a session that has none it never is. */
bool vcr_around_begins(struct vcr_around *a, const char *argv, size_t n);
void vcr_around_release(struct vcr_around *a);

#endif
