/* replace.h — small files that several processes keep together (manifest.json, golden/index.json): lock the directory, read, write anew, rename. */
#ifndef VCR_REPLACE_H
#define VCR_REPLACE_H
#include "buf.h"
#include "error.h"

/* Lock the directory dir (flock; it leaves no file behind and cannot go stale) and set *fd, which close(2) unlocks. `name`: for words, the file that is
 * about to be changed. VCR_EBUSY when another process holds it for 5 s. Where a file system has no locks, replacing is atomic all the same. */
int vcr_replace_lock(const char *dir, const char *name, int *fd, struct vcr_error *e);
/* Append the whole of fd's file `name` (nothing if there is none), bounded by out->max. */
int vcr_replace_read(int fd, const char *dir, const char *name, struct vcr_buf *out, struct vcr_error *e);
/* Write text to a temporary file beside `name` (0600) and rename it there. */
int vcr_replace_write(int fd, const char *dir, const char *name, const struct vcr_buf *text, struct vcr_error *e);
/* All of n bytes; 0 or an errno, which is in errno too. */
int vcr_write_all(int fd, const char *p, size_t n);

#endif
