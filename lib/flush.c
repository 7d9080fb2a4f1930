#include "flush.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

bool vcr_flush_in_order(int fd)
{
	struct statfs fs;
	return !fstatfs(fd, &fs) && (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC);
}

void vcr_flush_open(int fd, bool wait)
{
	sync_file_range(fd, 0, 0, wait ? SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER : SYNC_FILE_RANGE_WRITE);
}

void vcr_flush_file(int dir, const char *name, bool wait)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	vcr_flush_open(fd, wait);
	close(fd);
}

/* A change of the status is the last in the file system's journal, and an fsync goes that far. */
int vcr_flush_end(int fd)
{
	struct stat st;
	if (!vcr_flush_in_order(fd))
		return syncfs(fd);
	return fstat(fd, &st) || fchmod(fd, st.st_mode & 07777) ? -1 : fsync(fd);
}
