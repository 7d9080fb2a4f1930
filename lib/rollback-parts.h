/* rollback-parts.h — the inside of rollback.h: rollback.c decides, rollback-journal.c does it and finishes it after a crash. */
#ifndef VCR_ROLLBACK_PARTS_H
#define VCR_ROLLBACK_PARTS_H
#include "rollback.h"

/* What is to be done, as it stands in STATE/rollback.journal. */
struct vcr_journal_item { char *path; struct vcr_entry now, to; bool skip, unset; /* not all attributes could be set */ bool timed; int64_t mtime_ns; };
struct vcr_journal {
	char undo[41];                  /* the commit that keeps the state before */
	struct vcr_journal_item *item;  /* by path, a directory before what is in it */
	size_t n, cap, unset;
};
int vcr_journal_add(struct vcr_journal *j, const char *path, const struct vcr_entry *now, const struct vcr_entry *to, struct vcr_error *e);
/* Write the new content, then the journal (the point of no return), do it, verify, name the undo, drop the journal. again: after a crash, with a
 * journal that is there, so look first and pass over what somebody changed. */
int vcr_journal_run(struct vcr_journal *j, const struct vcr_rollback_where *w, bool again, struct vcr_buf *skipped, struct vcr_error *e);
void vcr_journal_release(struct vcr_journal *j);
/* By components: "a/b" before "a.b". */
int vcr_rollback_compare(const char *a, const char *b);

#endif
