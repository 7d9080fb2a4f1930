#include "beneath.h"
#include "limits.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

bool vcr_beneath_valid(const char *rel)
{
	if (strlen(rel) >= VCR_MAX_BENEATH)
		return false;
	for (const char *p = rel;; p++) {
		size_t n = strcspn(p, "/");
		if (!n || (n == 1 && *p == '.') || (n == 2 && !strncmp(p, "..", 2)) || (n == 4 && !strncmp(p, ".git", 4)))
			return false;
		p += n;
		if (!*p)
			return true;
	}
}

/* One component after the other. */
static int step_by_step(int root, const char *rel, int flags, mode_t mode)
{
	char part[VCR_MAX_PATH];
	int at = root;
	for (;;) {
		size_t n = strcspn(rel, "/");
		bool last = !rel[n];
		memcpy(part, rel, n);
		part[n] = 0;
		int fd = openat(at, part, last ? flags | O_NOFOLLOW | O_CLOEXEC : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, last ? mode : 0);
		int saved = errno;
		if (at != root)
			close(at);
		errno = saved;
		if (fd < 0 || last)
			return fd;
		at = fd;
		rel += n + 1;
	}
}

/* What the kernel takes at once. */
static int open_part(int root, const char *rel, int flags, mode_t mode)
{
	static int missing; /* the system call: 1 once it was refused */
	if (!__atomic_load_n(&missing, __ATOMIC_RELAXED)) {
		struct open_how how = { .flags = (unsigned)flags | O_NOFOLLOW | O_CLOEXEC, .mode = flags & O_CREAT ? mode : 0, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
		int fd = (int)syscall(SYS_openat2, root, rel, &how, sizeof how);
		if (fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != EAGAIN))
			return fd;
		if (errno == ENOSYS)
			__atomic_store_n(&missing, 1, __ATOMIC_RELAXED);
	}
	return step_by_step(root, rel, flags, mode);
}

/* As many of the first n bytes as the kernel takes, up to a slash; 0: a component that is too long. */
static size_t part_of(const char *rel, size_t n)
{
	if (n < VCR_MAX_PATH)
		return n;
	for (n = VCR_MAX_PATH - 1; n && rel[n] != '/';)
		n--;
	return n;
}

/* The first n bytes of rel, which is valid. */
static int open_parts(int root, const char *rel, size_t n, int flags, mode_t mode)
{
	char part[VCR_MAX_PATH];
	int at = root;
	for (;;) {
		size_t some = part_of(rel, n);
		bool last = some == n;
		memcpy(part, rel, some);
		part[some] = 0;
		errno = ENAMETOOLONG;
		int fd = !some ? -1 : open_part(at, part, last ? flags : O_PATH | O_DIRECTORY, last ? mode : 0);
		int saved = errno;
		if (at != root)
			close(at);
		errno = saved;
		if (fd < 0 || last)
			return fd;
		at = fd;
		rel += some + 1;
		n -= some + 1;
	}
}

static int open_valid(int root, const char *rel, size_t n, int flags, mode_t mode)
{
	return n ? open_parts(root, rel, n, flags, mode) : openat(root, ".", flags | O_CLOEXEC, mode);
}

int vcr_beneath_open(int root, const char *rel, int flags, mode_t mode)
{
	if (!*rel || vcr_beneath_valid(rel))
		return open_valid(root, rel, strlen(rel), flags, mode);
	errno = EINVAL;
	return -1;
}

int vcr_beneath_parent(int root, const char *rel, const char **name)
{
	const char *slash = strrchr(rel, '/');
	if (!vcr_beneath_valid(rel)) {
		errno = EINVAL;
		return -1;
	}
	*name = slash ? slash + 1 : rel;
	return open_valid(root, rel, slash ? (size_t)(slash - rel) : 0, O_PATH | O_DIRECTORY, 0);
}
