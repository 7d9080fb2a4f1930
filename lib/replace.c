#include "replace.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_TRIES = 500, LOCK_PAUSE_MS = 10, STEP = 1 << 16 };

int vcr_replace_lock(const char *dir, const char *name, int *fd, struct vcr_error *e)
{
	*fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return vcr_error_sys(e, errno, "%s cannot be opened", dir);
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (!flock(*fd, LOCK_EX | LOCK_NB))
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return 0;
		nanosleep(&(struct timespec){ 0, LOCK_PAUSE_MS * 1000000 }, NULL);
	}
	close(*fd);
	return vcr_error_set(e, VCR_EBUSY, "%s/%s is held by another process and was not changed; try again", dir, name);
}

static int read_all(int fd, struct vcr_buf *out)
{
	for (;;) {
		char *to = vcr_buf_reserve(out, STEP);
		ssize_t n = to ? read(fd, to, STEP) : -1;
		if (!to)
			return out->err;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? VCR_EIO : 0;
		vcr_buf_added(out, (size_t)n);
	}
}

int vcr_replace_read(int fd, const char *dir, const char *name, struct vcr_buf *out, struct vcr_error *e)
{
	int file = openat(fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file < 0)
		return errno == ENOENT ? 0 : vcr_error_sys(e, errno, "%s/%s cannot be opened", dir, name);
	int err = read_all(file, out), sys = errno;
	close(file);
	return err == VCR_EIO ? vcr_error_sys(e, sys, "%s/%s cannot be read", dir, name) : err ? vcr_error_set(e, err, "%s/%s: %s", dir, name, vcr_strerror(err)) : 0;
}

int vcr_write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (!k)
			errno = ENOSPC;
		if (k <= 0)
			return errno;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

int vcr_replace_write(int fd, const char *dir, const char *name, const struct vcr_buf *text, struct vcr_error *e)
{
	char tmp[64];
	snprintf(tmp, sizeof tmp, ".replace_%d.tmp", (int)getpid());
	unlinkat(fd, tmp, 0);
	int file = openat(fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0)
		return vcr_error_sys(e, errno, "%s/%s cannot be made", dir, tmp);
	int err = vcr_write_all(file, text->data, text->len);
	close(file);
	if (!err && renameat(fd, tmp, fd, name))
		err = errno;
	if (!err)
		return 0;
	unlinkat(fd, tmp, 0);
	return vcr_error_sys(e, err, "%s/%s cannot be replaced", dir, name);
}
