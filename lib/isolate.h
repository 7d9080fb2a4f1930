/* isolate.h — a transaction in a git work tree of its own, so that programs that work in one repository at once cannot touch each other's files.
 *
 * STATE/trees/<session> is a linked work tree of the user's repository on a branch vcr/<session>. It begins with everything that is in the workspace:
 * what is tracked, changed, staged, untracked and ignored (copytree.h; shared blocks where the file system can). What the user has not committed is
 * there too, and stays his: only what is done in the tree after that is merged, into the branch that was checked out when it began.
 *
 * Merging computes everything aside (git.h, objects kept apart) and touches the repository only when it is known to go: no conflict, and no file
 * among those that change in which the user has something uncommitted. Then the transaction's file says what is to be done, the index is locked as git
 * locks it, files are changed by git itself, the index is renamed into its place, the branch moves. Killed anywhere, vcr_isolate_resume completes it.
 * Hooks do not run. Removing leaves nothing: work tree, its administrative files, branch, its reflog and configuration.
 *
 * Repositories inside the workspace, submodules among them, are in the tree with a .git of their own, which borrows the objects of theirs. What is changed there
 * comes back as files, merged with what the user has there now, one written whole after the other when all else is done; their own .git is only read. Commits that are made there
 * are refused by name, on other branches and stashes too, and so is a repository that is made in one, since only files come back. One whose .git is made of links is not taken.
 *
 * Refused by name: no repository, no commit yet, a merge that is not finished. */
#ifndef VCR_ISOLATE_H
#define VCR_ISOLATE_H
#include "txn.h"

/* One at a time merges into a workspace: waits at most a minute; VCR_EBUSY. A descriptor that git's processes inherit. */
int vcr_isolate_lock(const char *state_dir, int *fd, struct vcr_error *e);
/* Fill in t (session and vcr_dir are set): where, from what. VCR_EINVAL: why it cannot be. */
int vcr_isolate_plan(const char *state_dir, const char *workspace, struct vcr_txn *t, struct vcr_error *e);
/* After vcr_txn_open: make it. skipped: what is not in it and why, one a line. On failure vcr_isolate_remove takes what there is. */
int vcr_isolate_make(const char *state_dir, struct vcr_txn *t, struct vcr_buf *skipped, struct vcr_error *e);
/* Everything of it goes, in the end the transaction's file; what is gone already is no error. Killed in its midst, vcr_isolate_resume has nothing to merge. */
int vcr_isolate_remove(const char *state_dir, struct vcr_txn *t, struct vcr_error *e);
/* dir is in an isolated tree: its transaction and the state directory of the workspace that it came from. VCR_ENOTFOUND. */
int vcr_isolate_home(const char *dir, struct vcr_buf *state_dir, struct vcr_txn *t, struct vcr_error *e);
/* How many paths differ now from how it began; -1 unknown. */
int64_t vcr_isolate_count(const char *state_dir, const struct vcr_txn *t);

enum vcr_isolate_how { VCR_ISOLATE_NOTHING, VCR_ISOLATE_FORWARD, VCR_ISOLATE_MERGE, VCR_ISOLATE_ONE /* one commit */ };
enum { VCR_ISOLATE_CONFLICT = 1, VCR_ISOLATE_UNCOMMITTED = 2 };
struct vcr_isolate_merge {
	bool squash;
	const char *message;        /* NULL: one that names the session */
	enum vcr_isolate_how how;
	char commit[72];            /* where the branch is then */
	int64_t changed;            /* paths */
	int64_t inside;             /* files in repositories inside the workspace */
	bool waits;                 /* some of these are to be changed yet */
	struct vcr_buf notes;       /* one a line: what does not come back, and why */
	bool edited;                /* they were changed in the workspace meanwhile */
	bool nested;                /* paths are in repositories inside the workspace */
	struct vcr_buf paths;       /* one a line: of a conflict, or with the user's uncommitted changes */
	bool builds;                /* what is merged builds on uncommitted changes of m->paths: only committing these helps */
	bool aside;                 /* the branch is checked out nowhere: no files were changed */
};
/* Locked. 0; VCR_ISOLATE_CONFLICT: both sides changed m->paths; VCR_ISOLATE_UNCOMMITTED: they have changes of the user's. Nothing is changed then. */
int vcr_isolate_merge(const char *state_dir, struct vcr_txn *t, struct vcr_isolate_merge *m, struct vcr_error *e);
/* Locked. Completes the merge that t->to tells of. Likewise; m->commit "": it was being removed. vcr_isolate_remove
 * comes next. */
int vcr_isolate_resume(const char *state_dir, struct vcr_txn *t, struct vcr_isolate_merge *m, struct vcr_error *e);
void vcr_isolate_merge_release(struct vcr_isolate_merge *m);

#endif
