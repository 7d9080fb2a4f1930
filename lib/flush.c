#include "flush.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* ext4 may have been made without a journal, and ext2 has the same magic number: /sys/fs/ext4/DEVICE/journal_task is then "<none>", or not there. */
static bool has_journal(int fd)
{
	struct stat st;
	char path[300], device[200];
	if (fstat(fd, &st))
		return false;
	snprintf(path, sizeof path, "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	ssize_t n = readlink(path, device, sizeof device - 1);
	if (n <= 0)
		return false;
	device[n] = 0;
	const char *name = strrchr(device, '/');
	snprintf(path, sizeof path, "/sys/fs/ext4/%s/journal_task", name ? name + 1 : device);
	int task = open(path, O_RDONLY | O_CLOEXEC);
	char pid = 0;
	bool has = task >= 0 && read(task, &pid, 1) == 1 && pid >= '0' && pid <= '9';
	if (task >= 0)
		close(task);
	return has;
}

bool vcr_flush_in_order(int fd)
{
	struct statfs fs;
	return !fstatfs(fd, &fs) && (fs.f_type == XFS_SUPER_MAGIC || (fs.f_type == EXT4_SUPER_MAGIC && has_journal(fd)));
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
