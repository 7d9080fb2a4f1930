/* leaves.h — what savepoints and rollbacks leave alone because the user says so in .vcr/config: `ignore PATTERN`, and with `ignored leave` all that git ignores.
 *
 * What git tracks is never left alone for being ignored, nor is a directory in which it tracks something. Where the workspace has no repository, or a .gitignore
 * that libgit2 does not come back from (ignores.h), nothing counts as ignored. Not for two threads at once. */
#ifndef VCR_LEAVES_H
#define VCR_LEAVES_H
#include <stdbool.h>
#include "savepoint.h"

struct vcr_leaves;
/* pattern: NULL-terminated, or NULL; must stay. ignored: also what git ignores. */
int vcr_leaves_new(struct vcr_leaves **l, const char *workspace, const char *const *pattern, bool ignored, struct vcr_error *e);
/* Both as VCR_DIR/config says; what stands behind an error there does not count, since who records is told of it. */
int vcr_leaves_configured(struct vcr_leaves **l, const char *workspace, const char *vcr_dir, struct vcr_error *e);
/* path: relative to the workspace. As vcr_store_options.leave_out. */
bool vcr_leaves_out(void *leaves, const char *path, bool directory);
/* Is what git ignores left alone here? */
bool vcr_leaves_ignored(const struct vcr_leaves *l);
void vcr_leaves_free(struct vcr_leaves *l);

/* What git ignored by the .gitignore files of a savepoint's tree, whatever they say now, and tracked or not: what is missing there may have stood there. The rest of git's
 * settings, info/exclude too, count as they are now. Where such a file cannot be had, everything. state_dir: holds a directory meanwhile. */
struct vcr_leaves_then;
int vcr_leaves_then_new(struct vcr_leaves_then **t, const char *workspace, const char *state_dir, struct vcr_store *s, const char *tree, struct vcr_error *e);
bool vcr_leaves_then_out(struct vcr_leaves_then *t, const char *path, bool directory);
void vcr_leaves_then_free(struct vcr_leaves_then *t);

#endif
