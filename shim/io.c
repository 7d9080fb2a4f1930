/* io.c — bytes through descriptors. The first line of each hook decides: a descriptor that does not matter costs one table
 * look-up and a jump. */
#include "shim.h"

/* What was written through a descriptor that matters. */
static void wrote(int fd, int kind, const void *buf, ssize_t r, uint64_t time_ns)
{
	int saved = errno;
	if (r > 0 && vcr_fd_is_socket(kind))
		vcr_sock_out(fd, buf, (size_t)r, time_ns);
	else if (r > 0)
		vcr_mark_written(fd);
	errno = saved;
}

static void wrote_iov(int fd, int kind, const struct iovec *v, int count, ssize_t r, uint64_t time_ns)
{
	int saved = errno;
	if (r > 0 && vcr_fd_is_socket(kind))
		vcr_sock_out_iov(fd, v, (size_t)count, (size_t)r, time_ns);
	else if (r > 0)
		vcr_mark_written(fd);
	errno = saved;
}

static ssize_t write_watched(int fd, int kind, const void *buf, size_t n)
{
	uint64_t time_ns = vcr_fd_is_socket(kind) ? vcr_now() : 0;
	ssize_t r = VCR_REAL(write)(fd, buf, n);
	wrote(fd, kind, buf, r, time_ns);
	return r;
}

ssize_t write(int fd, const void *buf, size_t n)
{
	int kind = vcr_fd_get(fd);
	if (vcr_likely(!kind))
		return VCR_REAL(write)(fd, buf, n);
	vcr_caller = __builtin_return_address(0);
	return write_watched(fd, kind, buf, n);
}

ssize_t writev(int fd, const struct iovec *v, int count)
{
	int kind = vcr_fd_get(fd);
	if (vcr_likely(!kind))
		return VCR_REAL(writev)(fd, v, count);
	vcr_caller = __builtin_return_address(0);
	uint64_t time_ns = vcr_now();
	ssize_t r = VCR_REAL(writev)(fd, v, count);
	wrote_iov(fd, kind, v, count, r, time_ns);
	return r;
}

/* Positioned writes go to files only. */
static ssize_t file_written(int fd, ssize_t r)
{
	if (vcr_unlikely(vcr_fd_get(fd) == VCR_FD_FILE) && r > 0)
		vcr_mark_written(fd);
	return r;
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at) { return file_written(fd, VCR_REAL(pwrite)(fd, buf, n, at)); }
ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t at) { return file_written(fd, VCR_REAL(pwrite64)(fd, buf, n, at)); }
ssize_t pwritev(int fd, const struct iovec *v, int count, off_t at) { return file_written(fd, VCR_REAL(pwritev)(fd, v, count, at)); }
ssize_t pwritev64(int fd, const struct iovec *v, int count, off64_t at) { return file_written(fd, VCR_REAL(pwritev64)(fd, v, count, at)); }
ssize_t pwritev2(int fd, const struct iovec *v, int count, off_t at, int flags)
{
	return file_written(fd, VCR_REAL(pwritev2)(fd, v, count, at, flags));
}
ssize_t pwritev64v2(int fd, const struct iovec *v, int count, off64_t at, int flags)
{
	return file_written(fd, VCR_REAL(pwritev64v2)(fd, v, count, at, flags));
}

ssize_t read(int fd, void *buf, size_t n)
{
	if (vcr_likely(vcr_fd_get(fd) < VCR_FD_PLAIN))
		return VCR_REAL(read)(fd, buf, n);
	return vcr_sock_was_read(fd, buf, VCR_REAL(read)(fd, buf, n), n);
}

ssize_t __read_chk(int fd, void *buf, size_t n, size_t room)
{
	if (vcr_likely(vcr_fd_get(fd) < VCR_FD_PLAIN))
		return VCR_REAL(__read_chk)(fd, buf, n, room);
	return vcr_sock_was_read(fd, buf, VCR_REAL(__read_chk)(fd, buf, n, room), n);
}

ssize_t readv(int fd, const struct iovec *v, int count)
{
	ssize_t r = VCR_REAL(readv)(fd, v, count);
	if (vcr_unlikely(vcr_fd_get(fd) >= VCR_FD_PLAIN)) {
		int saved = errno;
		if (r >= 0)
			vcr_sock_in_iov(fd, v, (size_t)count, (size_t)r);
		else
			vcr_sock_failed(fd, saved);
		errno = saved;
	}
	return r;
}

/* ---- from descriptor to descriptor ---- */

static ssize_t send_file(ssize_t (*real)(int, int, off_t *, size_t), int out, int in, off_t *at, size_t n)
{
	int kind = vcr_fd_get(out);
	if (vcr_likely(!kind))
		return real(out, in, at, n);
	uint64_t time_ns = vcr_now();
	long from = at ? *at : vcr_call3(SYS_lseek, in, 0, SEEK_CUR);
	ssize_t r = real(out, in, at, n);
	int saved = errno;
	if (r > 0 && vcr_fd_is_socket(kind))
		vcr_sock_out_file(out, in, (uint64_t)from, (size_t)r, time_ns);
	else if (r > 0)
		vcr_mark_written(out);
	errno = saved;
	return r;
}

ssize_t sendfile(int out, int in, off_t *at, size_t n) { return send_file(VCR_REAL(sendfile), out, in, at, n); }
ssize_t sendfile64(int out, int in, off64_t *at, size_t n) { return send_file(VCR_REAL(sendfile64), out, in, at, n); }

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags)
{
	return file_written(out, VCR_REAL(copy_file_range)(in, in_at, out, out_at, n, flags));
}

ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags)
{
	return file_written(out, VCR_REAL(splice)(in, in_at, out, out_at, n, flags));
}
