/* copytree.h — a directory tree again in another place: contents (shared with the first until one is written, where the file system can; holes stay
 * holes), modes, times of files, symbolic links, empty directories.
 *
 * Left out: names at the top and directories that the caller says, directories named .vcr; sockets, pipes, devices; directories of other file
 * systems, directories that are git repositories of their own (unless the caller takes them, and then without their .git), and what cannot be read: these are named. Nothing is followed out of the tree. Hard
 * links become files of their own; owners are the caller's, and what was
 * another's is not set-user-ID there; extended attributes are not copied. */
#ifndef VCR_COPYTREE_H
#define VCR_COPYTREE_H
#include <stdbool.h>
#include <sys/types.h>
#include "buf.h"

struct vcr_copytree_not { dev_t dev; ino_t ino; };
struct vcr_copytree {
	const char *const *top;          /* names at the top that are left out; NULL ends the list */
	const struct vcr_copytree_not *not;
	size_t nnot;
	const char *(*nested)(void *ctx, const char *path); /* of a git repository in the tree: why it is not copied; NULL: it is. Without: none is */
	void *ctx;
	struct vcr_buf skipped;          /* what was not copied and why, one a line */
	int64_t files, shared;           /* how many were copied, and how many of them share their blocks */
};
/* Copies what is in `from` into the directory `to`, which exists. A copy that fails in its midst (no space) is an error and is left half done. */
int vcr_copytree(struct vcr_copytree *c, const char *from, const char *to, struct vcr_error *e);
/* Remove a tree with everything in it; directories that forbid it are opened up. What is mounted in it is left alone: VCR_EBUSY. What is not there is
 * removed already. */
int vcr_copytree_remove(const char *path, struct vcr_error *e);

#endif
