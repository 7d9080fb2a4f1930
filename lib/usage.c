#include "usage.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH = 64 };

static int64_t sum(int fd, int depth)
{
	DIR *d = fdopendir(fd);
	struct dirent *ent;
	int64_t n = 0;
	if (!d)
		close(fd);
	while (d && (ent = readdir(d))) {
		struct stat st;
		if (!strcmp(ent->d_name, ".") || !strcmp(ent->d_name, "..") || fstatat(dirfd(d), ent->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (S_ISDIR(st.st_mode) || st.st_nlink < 2)
			n += (int64_t)st.st_blocks * 512;
		int sub = S_ISDIR(st.st_mode) && depth < DEPTH ? openat(dirfd(d), ent->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
		if (sub >= 0)
			n += sum(sub, depth + 1);
	}
	if (d)
		closedir(d);
	return n;
}

int64_t vcr_usage(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? 0 : sum(fd, 0);
}

int64_t vcr_usage_parse(const char *text)
{
	static const char units[] = "KMGT";
	char *end;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	const char *unit = *end ? strchr(units, *end >= 'a' ? *end - 32 : *end) : NULL;
	int shift = unit ? 10 * (int)(unit - units + 1) : 0;
	if (*text < '0' || *text > '9' || errno || (*end && (!unit || (end[1] && strcmp(end + 1, "B") && strcmp(end + 1, "iB")))) || n > (INT64_MAX >> shift))
		return -1;
	return n << shift;
}
