/* txn-isolate.h — a transaction in a work tree of its own (lib/isolate.h), as vcr-txn and vcr-record begin and end it. */
#ifndef VCR_TXN_ISOLATE_H
#define VCR_TXN_ISOLATE_H
#include "isolate.h"
#include "tool.h"

/* Make it and say what is not in it; t has session, vcr_dir and began_ns. Nothing is left on failure. */
int vcr_isolated_begin(const struct vcr_tool *tool, const char *state_dir, const char *workspace, struct vcr_txn *t, struct vcr_error *e);
/* Some process was killed while it merged or removed one; vcr-txn completes that. */
bool vcr_isolated_pending(const char *state_dir);

/* ---- txn-merge.c, not in vcr itself ---- */

/* Merge, or complete a merge, and end it. 0: *m tells what became of it; else an exit status, and what there is to say has been said. */
int vcr_isolated_commit(const struct vcr_tool *tool, const char *state_dir, struct vcr_txn *t, struct vcr_isolate_merge *m);
/* The collector ends and everything of it goes. */
int vcr_isolated_end(const char *state_dir, struct vcr_txn *t, struct vcr_error *e);
/* What was being merged or removed when a process was killed, whoever's, but for that session (NULL: none), is completed, and that is said. */
void vcr_isolated_settle(const struct vcr_tool *tool, const char *state_dir, const char *but);
/* In words: "merged into main as 1234567", and how many paths. */
void vcr_isolated_words(const struct vcr_txn *t, const struct vcr_isolate_merge *m, struct vcr_buf *out);

#endif
