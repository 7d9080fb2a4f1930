/* standing.h — a collector without a command: it takes stock of the workspace, watches it, and stays until it is told to end. */
#ifndef VCR_TOOL_STANDING_H
#define VCR_TOOL_STANDING_H
#include <stdbool.h>
#include <stdint.h>
#include "buf.h"

/* Start one for a new session and wait, at most a minute, until its base savepoint is there. Nothing is left behind on failure. */
int vcr_standing_start(const char *session, const char *workspace, const char *vcr_dir, struct vcr_error *e);
/* A savepoint and its frame: node savepoint, txn:begin, txn:rollback or txn:commit; to: < 0 none. The frame's index goes to *frame (may be NULL).
 * VCR_ENOTFOUND: no collector runs for it. */
int vcr_standing_mark(const char *session, const char *node, const char *message, int64_t to, int64_t *frame, struct vcr_error *e);
bool vcr_standing_runs(const char *session);
/* Tell it to end and wait until it has. 0 also if none runs. */
int vcr_standing_end(const char *session, struct vcr_error *e);

#endif
