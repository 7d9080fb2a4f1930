/* ignores.h — .gitignore files that libgit2 can read.
 *
 * libgit2 (1.5) does not come back from a line whose pattern begins with a vertical tab or a form feed, and waits
 * for whoever writes a FIFO of that name. Who asks it whether a path is ignored asks here first: every .gitignore on the way to the path, and the
 * repository's info/exclude, are looked at, once for each content. Between the look and the question another may put a different file there. */
#ifndef VCR_IGNORES_H
#define VCR_IGNORES_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { VCR_IGNORES_KNOWN = 64 };
/* What has been looked at. Zero: nothing. */
struct vcr_ignores {
	struct { dev_t device; ino_t inode; off_t size; int64_t mtime_ns, ctime_ns; bool safe; } known[VCR_IGNORES_KNOWN];
};

/* May libgit2 be asked about the path in that directory, the top level of a work tree? exclude: the path of info/exclude, or NULL. Files beyond 1 MiB: no. */
bool vcr_ignores_safe(struct vcr_ignores *g, int dir, const char *path, const char *exclude);

#endif
