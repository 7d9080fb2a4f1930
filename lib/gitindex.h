/* gitindex.h — the index of a git repository (gitformat-index(5)), read to tell which files have not changed since git looked at them.
 *
 * Versions 2, 3 and 4 of repositories with SHA-1 names. An index that cannot be understood alone (split, sparse; any extension that git marks as needed)
 * is VCR_EVERSION; one whose entries are not in order or do not fit is VCR_ECORRUPT. The checksum at its end is not looked at, as git itself does not: a
 * name that is damaged names no object, times that are damaged are other times. Other extensions are passed over.
 *
 * Read at once into memory, at most VCR_MAX_GITINDEX bytes; nothing changes afterwards, so several threads may ask. Paths are as git has them and may be hostile:
 * vcr_beneath_valid says which can be used. */
#ifndef VCR_GITINDEX_H
#define VCR_GITINDEX_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include "error.h"

struct vcr_gitindex_entry {
	const char *path;           /* NUL-terminated */
	const unsigned char *raw;   /* as it stands in the file */
	uint32_t len;               /* of path */
};
/* A directory that has entries somewhere in it. Its own (not those of directories in it, none that are in conflict) are entry[first] and so on, by name. */
struct vcr_gitindex_dir {
	const char *path;           /* not terminated */
	uint32_t len;               /* of path; 0: the top */
	uint32_t first, n;
};
struct vcr_gitindex {
	struct vcr_gitindex_entry *entry;
	size_t n;
	struct vcr_gitindex_dir *dir; /* the top first, each directory before those in it */
	size_t ndir;
	struct timespec written;    /* when the index was */
	char *file, *paths;         /* what the pointers point into */
};

int vcr_gitindex_read(struct vcr_gitindex *x, const char *path, struct vcr_error *e);
void vcr_gitindex_release(struct vcr_gitindex *x);

/* path: n bytes, "" the top. NULL: the index has nothing in it. */
const struct vcr_gitindex_dir *vcr_gitindex_dir(const struct vcr_gitindex *x, const char *path, size_t n);
/* name: that of a file in the directory. */
const struct vcr_gitindex_entry *vcr_gitindex_find(const struct vcr_gitindex *x, const struct vcr_gitindex_dir *dir, const char *name, size_t n);
static inline const unsigned char *vcr_gitindex_oid(const struct vcr_gitindex_entry *i) { return i->raw + 40; }
/* As git does: the same type, times, inode and size, and older than the index, so that a change in the same instant cannot hide. */
bool vcr_gitindex_is_clean(const struct vcr_gitindex *x, const struct vcr_gitindex_entry *i, const struct stat *st);

#endif
