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
	if (strlen(rel) >= VCR_MAX_PATH)
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

int vcr_beneath_open(int root, const char *rel, int flags, mode_t mode)
{
	static int missing; /* the system call: 1 once it was refused */
	if (!*rel)
		return openat(root, ".", flags | O_CLOEXEC, mode);
	if (!vcr_beneath_valid(rel)) {
		errno = EINVAL;
		return -1;
	}
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

int vcr_beneath_parent(int root, const char *rel, const char **name)
{
	char dir[VCR_MAX_PATH];
	const char *slash = strrchr(rel, '/');
	if (!vcr_beneath_valid(rel)) {
		errno = EINVAL;
		return -1;
	}
	size_t n = slash ? (size_t)(slash - rel) : 0;
	memcpy(dir, rel, n);
	dir[n] = 0;
	*name = slash ? slash + 1 : rel;
	return vcr_beneath_open(root, dir, O_PATH | O_DIRECTORY, 0);
}
