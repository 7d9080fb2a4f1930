/* isolate-parts.h — the inside of isolate.h: isolate.c makes and removes, isolate-merge.c finds out what is to be merged, isolate-apply.c does it. */
#ifndef VCR_ISOLATE_PARTS_H
#define VCR_ISOLATE_PARTS_H
#include "git.h"
#include "isolate.h"

#define VCR_ISOLATE_GOING "-" /* t->to of one that is being removed: nothing is to be merged of what is left of it */

/* Where a work tree's repository keeps its things; absolute. */
struct vcr_isolate_git { char dir[4096], common[4096], objects[4096], index[4096]; };
int vcr_isolate_where(const char *worktree, struct vcr_isolate_git *out, struct vcr_error *e);
/* STATE/trees/.<session>[/name]: what belongs to it and is not in the tree. */
int vcr_isolate_beside(const char *state_dir, const struct vcr_txn *t, const char *name, struct vcr_buf *out);
/* Its branch: refs/heads/vcr/<session>, what git forbids there as %XX. */
void vcr_isolate_branch(const struct vcr_txn *t, struct vcr_buf *out);
/* With its time: git tells by an index's time which of its entries it has to look at again. */
int vcr_isolate_copy_file(const char *from, const char *to, struct vcr_error *e);
/* The tree of all files that git does not ignore, as they are now; its objects are kept apart. */
int vcr_isolate_snapshot(const char *state_dir, const struct vcr_txn *t, char tree[72], struct vcr_error *e);
/* Likewise of any work tree, by a copy of its index; what git is told not to look at is looked at. What is in the tree `known` (NULL: none) and still stands is in
 * it even if it is ignored now. */
int vcr_isolate_tree_of(const char *dir, const char *index, const char *objects, const char *known, char tree[72], struct vcr_error *e);
/* In g's index no file is assumed to be unchanged any more, and none skipped that is there. Their names, each with a NUL, to set that again. */
int vcr_isolate_unflag(struct vcr_git *g, struct vcr_buf *assumed, struct vcr_buf *skipped, struct vcr_error *e);
/* Three trees into one. VCR_ISOLATE_CONFLICT: the paths are appended, one a line. */
int vcr_isolate_merge_trees(struct vcr_git *g, const char *base, const char *ours, const char *theirs, char to[72], struct vcr_buf *conflicts, struct vcr_error *e);

/* isolate-nested.c: repositories inside the workspace. vcr_copytree.nested: collects those that are taken, each with a NUL. */
struct vcr_isolate_nest { const struct vcr_txn *t; struct vcr_buf *taken; };
const char *vcr_isolate_takes(void *nest, const char *path);
/* Their files are in the tree: each gets a .git of its own there, and what it is like is noted. */
int vcr_isolate_nested_make(const char *state_dir, const struct vcr_txn *t, const struct vcr_buf *taken, struct vcr_error *e);
/* How many files differ in them now from how they began; -1 unknown. */
int64_t vcr_isolate_nested_count(const char *state_dir, const struct vcr_txn *t);
/* What was changed in them since, as files: computed, and with `apply` written. As vcr_isolate_merge. */
int vcr_isolate_nested_merge(const char *state_dir, const struct vcr_txn *t, bool apply, struct vcr_isolate_merge *m, struct vcr_error *e);

/* For every name in a list that ends each with a NUL. */
#define VCR_EACH_Z(p, buf) (const char *p = (buf).data; p < (buf).data + (buf).len; p += strlen(p) + 1)
/* The names of such a list, sorted, so that one is found among very many; the strings stay in the list. Free name. */
struct vcr_isolate_names { const char **name; size_t n; };
int vcr_isolate_sort_names(struct vcr_isolate_names *s, const struct vcr_buf *list, struct vcr_error *e);
bool vcr_isolate_has_name(const struct vcr_isolate_names *s, const char *name);

/* The work tree, its index and the branch go from t->from to t->to. As vcr_isolate_merge. again: it may have been begun before. */
int vcr_isolate_apply(const char *state_dir, struct vcr_txn *t, bool again, struct vcr_isolate_merge *m, struct vcr_error *e);

#endif
