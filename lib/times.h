/* times.h — the modification times that files had at the savepoints of a session, for a rollback that is to bring them back too.
 *
 * STATE/times/SESSION (as the session's refs call it) has a line for each file or link that is about to be another than it was known to be:
 *   N NS ID
 * N: the session's last savepoint then; NS: the time until then, nanoseconds since 1970, decimal; ID: 32 hex digits, an HMAC of the path under a key made
 * from STATE/seal.key, for a name may be a secret. A path has a line in it at most once for each savepoint, so this costs what changes. What a file's time was at
 * savepoint N is said by the first line of it with N or a higher number. Such a line is only believed if the file has the same content in both savepoints: where
 * something was changed that nobody saw, the time is not known.
 *
 * One writer a session; at most VCR_TIMES_MAX bytes, later times are not known then. Lines that are torn or not of this form are passed over.
 *
 * STATE/times/%2bundo has such lines for what rollbacks replaced; N is the time of the commit that keeps the state before, which is told by a line of that N only.
 */
#ifndef VCR_TIMES_H
#define VCR_TIMES_H
#include "rollback.h"

enum { VCR_TIMES_MAX = 64 << 20, VCR_TIMES_LINES = 64 << 10 /* bytes of lines that are worth writing */ };
/* A line more; n: the last savepoint. What cannot be said is left out. */
void vcr_times_note(struct vcr_store *s, struct vcr_buf *lines, int64_t n, const char *path, int64_t mtime_ns);
/* Append the lines to the file of the store's session, and empty them. What cannot be written is lost, with an error. */
int vcr_times_keep(struct vcr_store *s, struct vcr_buf *lines, struct vcr_error *e);
/* The session is deleted: its file goes. */
int vcr_times_remove(struct vcr_store *s, const char *session, struct vcr_error *e);
/* A plan for savepoint `to` of session: its files and links get the times that they had then, as far as those are known (timed). */
int vcr_times_plan(struct vcr_rollback *p, const struct vcr_rollback_where *w, const char *session, const struct vcr_savepoint *to, struct vcr_error *e);

/* The same for what rollbacks replaced. See, before a plan is applied, which times its files have now; keep them, afterwards, for an undo; give them to the plan that
 * takes `before` (rollback.h) back; forget those of before a time. */
void vcr_times_see(struct vcr_rollback *p, const struct vcr_rollback_where *w);
int vcr_times_keep_undo(const struct vcr_rollback *p, const struct vcr_rollback_where *w, struct vcr_error *e);
int vcr_times_plan_undo(struct vcr_rollback *p, const struct vcr_rollback_where *w, const struct vcr_savepoint *before, struct vcr_error *e);
void vcr_times_forget_undo(struct vcr_store *s, int64_t before_ns);

#endif
