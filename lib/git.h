/* git.h — the user's own git, run as a program: for what must be as git itself does it (work trees, filters, merges, the index, every kind of repository).
 *
 * A call names the work tree it is about; variables that would send git elsewhere (GIT_DIR and the like) are taken out, LC_ALL is C, there is no terminal
 * prompt, no optional lock, no hook and no automatic housekeeping. Objects can be kept apart from the repository's own, in a directory that has its
 * info/alternates (vcr_git_apart): so nothing is left in the repository by what comes to nothing. Output is bounded. git(1) must be in PATH. */
#ifndef VCR_GIT_H
#define VCR_GIT_H
#include "buf.h"

struct vcr_git {
	const char *dir;      /* where it is run: absolute */
	const char *index;    /* another index than the work tree's; NULL */
	const char *objects;  /* where new objects go; NULL: the repository */
	const char *who;      /* author and committer, for commits that nobody will see; NULL: the user's own */
	struct vcr_buf words; /* what the last call said on stderr, at most 64 KiB */
};
#define VCR_GIT_INIT { .words = VCR_BUF_INIT }

/* git argv[0] argv[1] … NULL. `in` may be NULL; stdout is appended to out (NULL: dropped). Its exit status (128 and above: git gave up), or negative:
 * it could not be run. */
int vcr_git_run(struct vcr_git *g, const char *const argv[], const struct vcr_buf *in, struct vcr_buf *out, struct vcr_error *e);
#define VCR_GIT(g, out, e, ...) vcr_git_run(g, (const char *const[]){ __VA_ARGS__, NULL }, NULL, out, e)
/* Likewise, and any status but 0 is VCR_EIO with what git says of it. */
int vcr_git_must(struct vcr_git *g, const char *const argv[], const struct vcr_buf *in, struct vcr_buf *out, struct vcr_error *e);
#define VCR_GIT_MUST(g, out, e, ...) vcr_git_must(g, (const char *const[]){ __VA_ARGS__, NULL }, NULL, out, e)
/* One line of output, its newline cut. */
int vcr_git_line(struct vcr_git *g, const char *const argv[], struct vcr_buf *out, struct vcr_error *e);
#define VCR_GIT_LINE(g, out, e, ...) vcr_git_line(g, (const char *const[]){ __VA_ARGS__, NULL }, out, e)
/* Make dir a place for objects that knows those of the object directory `of`. */
int vcr_git_apart(const char *dir, const char *of, struct vcr_error *e);
void vcr_git_release(struct vcr_git *g);

#endif
