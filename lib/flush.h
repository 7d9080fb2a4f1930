/* flush.h — the bytes of many files on the disk before the names that lead to them.
 *
 * An fsync(2) for each file costs a commit of the file system's journal each, one of all of them a commit with what every other program has changed; a syncfs(2) also writes
 * what those left dirty, seconds of it on a machine that builds something. On a file system whose journal keeps one order for all files (XFS, ext4 if it has one) it is enough
 * that the bytes of each file have been written back before a name is given: names and renames become durable in the order in which they are made, and the
 * commit that makes them so flushes the disk first. So what a name leads to is there whenever a power failure finds that name. When that is, within seconds, is the file system's.
 *
 *   vcr_flush_file(dir, name, false) for each, then again with true, then rename(2) */
#ifndef VCR_FLUSH_H
#define VCR_FLUSH_H
#include <stdbool.h>

/* Is fd on such a file system? Where that cannot be found out (there is no /sys), no. */
bool vcr_flush_in_order(int fd);
/* The bytes of a file begin to go to the disk; wait: have gone. What cannot be opened, or is no file, is passed over. 0 or -1 (errno): they cannot be written. */
int vcr_flush_file(int dir, const char *name, bool wait);
/* The same for one that is open. */
int vcr_flush_open(int fd, bool wait);

#endif
