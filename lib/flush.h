/* flush.h — many files made durable by one flush of the disk.
 *
 * An fsync(2) for each file costs a commit of the file system's journal each; a syncfs(2) also writes what all other programs left dirty, seconds of
 * it on a machine that builds something. On a file system whose journal keeps one order for all files (ext4, XFS) it is enough that the bytes of
 * each file have been written back, and that one file that was changed after that is fsynced: everything before it is durable then, names and
 * renames included, and what is renamed later cannot become durable before it. It is what git does with core.fsyncMethod=batch.
 *
 *   vcr_flush_file(dir, name, false) for each, then again with true, vcr_flush_end(fd of one of them) */
#ifndef VCR_FLUSH_H
#define VCR_FLUSH_H
#include <stdbool.h>

/* Is fd on such a file system? */
bool vcr_flush_in_order(int fd);
/* The bytes of a file begin to go to the disk; wait: have gone. What cannot be opened is passed over. */
void vcr_flush_file(int dir, const char *name, bool wait);
/* The same for one that is open. */
void vcr_flush_open(int fd, bool wait);
/* Everything so far is durable: one fsync of fd, whose status is changed for it, or, where there is no such order, a syncfs. 0 or -1 (errno). */
int vcr_flush_end(int fd);

#endif
