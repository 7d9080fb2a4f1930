/* rollback.h — files put back as a savepoint has them.
 *
 * A plan compares three states of each path that vcr knows to have changed: what the last savepoint left (expected), what the target holds (to)
 * and what is there now. Only such paths are looked at or touched; what nobody recorded stays as it is. A path that is neither as
 * expected nor as wanted was changed by somebody else: a foreign edit, never overwritten unless forced.
 *
 * Applying first keeps what is there now (a commit under refs/undo, so that everything can be undone), writes every file beside the workspace's
 * files and what it is about to do into STATE/rollback.journal, has the disk write them (flush.h), and renames each file into its place; directories are made
 * before and removed after; modes are exact. Then every path is read again and compared by hash. Killed at any moment before the journal is
 * there, nothing happened; after that the next vcr_rollback_recover finishes. The same holds for a power failure, which may find a rollback that was done a moment ago as not
 * begun. Nothing is followed out of the workspace (beneath.h).
 *
 * Files whose content savepoints do not hold come from the store of preimage.h if they were kept there, or from where they are now if they were only renamed; one
 * that is there now goes there by a link.
 *
 * Extended attributes and access control lists are put back as far as that is permitted; that they differ is no foreign edit.
 * A target that tells nothing of them takes none away (keep_attrs).
 *
 * Modification times are new, unless the plan has old ones (times.h); directories have new ones in any case.
 *
 * Not restored: owners beyond those of the file that is replaced, hard links (a file is replaced, not written
 * into: a program that has it open, a database for instance, goes on with the old one until it opens it again). */
#ifndef VCR_ROLLBACK_H
#define VCR_ROLLBACK_H
#include "savepoint.h"

enum vcr_rollback_state {
	VCR_ROLLBACK_DO,      /* as expected: will be changed */
	VCR_ROLLBACK_DONE,    /* as wanted already */
	VCR_ROLLBACK_FOREIGN, /* somebody else changed it */
	VCR_ROLLBACK_LOST,    /* the target's content was not kept (too large, a directory that was not looked into) */
	VCR_ROLLBACK_LEFT,    /* stays: a directory with something unknown in it, or content that could not be kept for an undo, or what git ignored then */
};
struct vcr_rollback_item {
	char *path;
	struct vcr_entry expected, also, now, to; /* also: what an earlier rollback left; the mode 0177777: no such thing */
	enum vcr_rollback_state state;
	char *source;         /* `to` is that path's file now; NULL: it is not known where, or in the store */
	bool to_kept, now_kept; /* its content is in the store of large files (preimage.h); to has the id that it has there */
	bool timed;           /* it is to have the modification time mtime_ns (times.h), not a new one */
	int64_t mtime_ns;
	bool seen;            /* it had the modification time was_ns before this rollback (times.h) */
	int64_t was_ns;
	bool ignored;         /* stays because git ignored it when the target was taken */
	bool blocked;         /* a directory that cannot go because of what else is in it, forced or not */
};
struct vcr_rollback {
	struct vcr_rollback_item *item; /* by path, a directory before what is in it */
	size_t n, cap;
	size_t count[VCR_ROLLBACK_LEFT + 1];
	char expected_tree[41], target_tree[41];
	bool times;           /* the files' times are wanted too: vcr_times_plan */
	int64_t seen_ns;      /* real time of vcr_times_see; 0: it was not called */
	size_t unset;         /* after vcr_rollback_apply: files and directories that could not be given all their attributes */
};

struct vcr_rollback_where {
	struct vcr_store *store;
	const char *workspace, *state_dir;
	const char *session;    /* noted with what is kept for an undo */
	const char *vcr_dir;    /* where files are written before they are renamed, if it is on the same file system; NULL: in the workspace itself */
	const char *kind;       /* what applying is: NULL or "before" a rollback, "undo" takes one back, "redo" takes an undo back */
	bool leave_ignored;     /* what git ignored when the target was taken is left (vcr_leaves_ignored) */
	bool keep_attrs;        /* the target tells nothing of attributes (vcr_savepoint.attrs): where it has none, those that are there stay */
};

/* One at a time in a workspace: a descriptor to close afterwards, or VCR_EBUSY. */
int vcr_rollback_lock(const char *state_dir, int *fd, struct vcr_error *e);
/* also_tree: NULL, or a state that counts as expected too. The plan is released by vcr_rollback_release, also after a failure. */
int vcr_rollback_plan(struct vcr_rollback *p, const struct vcr_rollback_where *w, const char *expected_tree, const char *also_tree, const char *target_tree, struct vcr_error *e);
/* Only these paths (relative to the workspace; "" is all of it), what is in them, and the directories that have to be made for them. hit[i]: a savepoint
 * tells of something there. Before vcr_rollback_apply. */
void vcr_rollback_only(struct vcr_rollback *p, const char *const *path, size_t n, bool *hit);
/* What the caller knows better of an item that would be changed: VCR_ROLLBACK_DO as it is, VCR_ROLLBACK_FOREIGN somebody else's too, VCR_ROLLBACK_DONE
 * not of this session at all: it is taken off the plan and stays, and so does a directory that it is in. Before vcr_rollback_apply. */
typedef enum vcr_rollback_state vcr_rollback_know_fn(void *ctx, const struct vcr_rollback_item *i);
void vcr_rollback_know(struct vcr_rollback *p, vcr_rollback_know_fn *fn, void *ctx);
void vcr_rollback_release(struct vcr_rollback *p);
/* Does what the plan says; with force over foreign edits too. VCR_EBUSY and nothing done if there are such edits (the first is named) or a file
 * changed since the plan was made. message: for the commit that keeps the state before. */
int vcr_rollback_apply(struct vcr_rollback *p, const struct vcr_rollback_where *w, bool force, const char *message, struct vcr_error *e);
/* Finish what a killed rollback began. *finished: there was one. Paths that somebody changed since are left and named in skipped (one a line). */
int vcr_rollback_recover(const struct vcr_rollback_where *w, bool *finished, struct vcr_buf *skipped, struct vcr_error *e);
/* The last rollback, undo or redo: trees before and after it, its message. VCR_ENOTFOUND. */
int vcr_rollback_last(struct vcr_store *s, struct vcr_savepoint *before, struct vcr_savepoint *after, struct vcr_error *e);
/* What an undo would take back: the last rollback or redo that no undo has taken back yet; a redo: the last undo behind which no new rollback came.
 * VCR_ENOTFOUND. The last 4096 are known. */
int vcr_rollback_undoable(struct vcr_store *s, bool redo, struct vcr_savepoint *before, struct vcr_savepoint *after, struct vcr_error *e);

#endif
