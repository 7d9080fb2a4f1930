#include "session-name.h"
#include "paths.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool copy_all(int from, int to)
{
	char part[64 << 10];
	ssize_t k;
	while ((k = read(from, part, sizeof part)) > 0)
		for (ssize_t done = 0, n; done < k; done += n)
			if ((n = write(to, part + done, (size_t)(k - done))) < 0)
				return false;
	return k == 0;
}

/* A copy of the file behind the descriptor `from`, under path; complete before it has the name where the file system can do that. */
static int copy_to(const char *path, const char *dir, int from)
{
	char self[40];
	int to = open(dir, O_TMPFILE | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	bool named = to < 0;
	if (named)
		to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (to < 0)
		return -1;
	snprintf(self, sizeof self, "/proc/self/fd/%d", to);
	if (copy_all(from, to) && (named || !linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW)))
		return to;
	int saved = errno;
	if (named)
		unlink(path);
	close(to);
	errno = saved;
	return -1;
}

int vcr_session_name_keep(const char *path, const char *dir, const char *spare, int *fd, struct vcr_error *e)
{
	struct stat named, open_file, second;
	char self[40];
	int err;
	if (!lstat(path, &named) || errno != ENOENT)
		return 0;
	if ((err = vcr_paths_make_vcr_dir(dir, e)))
		return err;
	if (spare && !fstat(*fd, &open_file) && !lstat(spare, &second) && second.st_dev == open_file.st_dev && second.st_ino == open_file.st_ino && !link(spare, path))
		return 0;
	snprintf(self, sizeof self, "/proc/self/fd/%d", *fd);
	int from = open(self, O_RDONLY | O_CLOEXEC), to = from < 0 ? -1 : copy_to(path, dir, from), saved = errno;
	if (from >= 0)
		close(from);
	if (to < 0)
		return saved == EEXIST ? 0 : vcr_error_sys(e, saved, "%s was removed and cannot be made again", path);
	close(*fd);
	*fd = to;
	return 0;
}

void vcr_session_name_restore(const char *path, const char *dir, const char *spare)
{
	struct stat st;
	if (!lstat(path, &st) || lstat(spare, &st) || !S_ISREG(st.st_mode) || vcr_paths_make_vcr_dir(dir, NULL) || !link(spare, path))
		return;
	int from = open(spare, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), to = from < 0 ? -1 : copy_to(path, dir, from);
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
}
