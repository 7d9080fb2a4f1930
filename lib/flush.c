#include "flush.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

bool vcr_flush_in_order(int fd)
{
	struct statfs fs;
	return !fstatfs(fd, &fs) && (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC);
}

int vcr_flush_open(int fd, bool wait)
{
	unsigned how = wait ? SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER : SYNC_FILE_RANGE_WRITE;
	return sync_file_range(fd, 0, 0, how) && errno != ESPIPE ? -1 : 0;
}

int vcr_flush_file(int dir, const char *name, bool wait)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return 0;
	int err = vcr_flush_open(fd, wait), saved = errno;
	close(fd);
	errno = saved;
	return err;
}
