/* path.c — from a path as a call got it to the absolute one of a record, and whether it is any of our business. */
#include "shim.h"

enum { MOST_UP = 300 };
static VCR_HOT uint32_t taken[VCR_SCRATCHES];

struct vcr_scratch *vcr_scratch_take(void)
{
	for (size_t i = 0; i < VCR_SCRATCHES; i++)
		if (!__atomic_exchange_n(&taken[i], 1, __ATOMIC_ACQUIRE))
			return vcr_near.scratch + i;
	return NULL;
}

void vcr_scratch_give(struct vcr_scratch *s)
{
	vcr_store(&taken[s - vcr_near.scratch], 0);
}

void vcr_scratch_forget(void)
{
	for (size_t i = 0; i < VCR_SCRATCHES; i++)
		vcr_store(&taken[i], 0);
}

/* -ENAMETOOLONG: it has a name, which is longer than the kernel tells. */
static long read_link_of_fd(int fd, char out[PATH_MAX])
{
	char name[32];
	vcr_format_number(vcr_format(name, "/proc/self/fd/"), (unsigned)fd, 1);
	long n = raw_readlink(name, out, PATH_MAX - 1);
	out[n > 0 ? n : 0] = 0;
	return n;
}

static bool link_of_fd(int fd, char out[PATH_MAX])
{
	return read_link_of_fd(fd, out) > 0 && *out == '/';
}

bool vcr_path_of_fd(int fd, char out[PATH_MAX])
{
	return fd >= 0 && link_of_fd(fd, out);
}

bool vcr_path_is_too_long(int fd, char out[PATH_MAX])
{
	return fd >= 0 && read_link_of_fd(fd, out) == -ENAMETOOLONG;
}

/* Replace a directory that is a symbolic link by what it names, so that ".." can be taken off it. */
static bool settle_link(char path[PATH_MAX])
{
	char first;
	if (raw_readlink(path, &first, 1) == -EINVAL)
		return true; /* no link */
	int fd = raw_open(path, O_PATH | O_CLOEXEC, 0);
	bool ok = fd >= 0 && link_of_fd(fd, path);
	if (fd >= 0)
		raw_close(fd);
	return ok;
}

static bool go_up(char path[PATH_MAX], size_t *n)
{
	path[*n] = 0;
	if (*n && !settle_link(path))
		return false;
	*n = strlen(path);
	while (*n && path[--*n] != '/')
		;
	return true;
}

/* "/proc/self/fd/N" or "/dev/fd/N" at the start of a path: N, and the rest in *rest. */
static int through_fd(const char *path, const char **rest)
{
	static const char *const prefix[] = { "/proc/self/fd/", "/dev/fd/" };
	for (size_t i = 0; i < 2; i++) {
		size_t n = strlen(prefix[i]);
		if (strncmp(path, prefix[i], n) || path[n] < '0' || path[n] > '9')
			continue;
		int fd = 0;
		for (path += n; *path >= '0' && *path <= '9' && fd < VCR_FDS; path++)
			fd = fd * 10 + (*path - '0');
		*rest = path;
		return *path == '/' || !*path ? fd : -1;
	}
	return -1;
}

static bool base_of(int dir, const char **path, char out[PATH_MAX], size_t *n)
{
	const char *rest;
	out[0] = 0;
	if (**path != '/') {
		if (!(dir == AT_FDCWD ? vcr_cwd(out) : vcr_names_of_directory(dir, out)))
			return false;
	} else if ((dir = through_fd(*path, &rest)) >= 0) {
		long k = read_link_of_fd(dir, out);
		if (k == -ENAMETOOLONG)
			return false;
		if (k > 0 && *out == '/')
			*path = rest;
		else
			out[0] = 0;
	}
	*n = strlen(out);
	if (*n == 1)
		*n = 0; /* "/": components bring their own slash */
	return true;
}

bool vcr_path_absolute(int dir, const char *path, char out[PATH_MAX])
{
	size_t n;
	if (!path || !*path || !base_of(dir, &path, out, &n))
		return false;
	while (*path) {
		while (*path == '/')
			path++;
		size_t part = (size_t)(strchrnul(path, '/') - path);
		if (part == 2 && path[0] == '.' && path[1] == '.') {
			if (!go_up(out, &n))
				return false;
		} else if (part && !(part == 1 && *path == '.')) {
			if (n + part + 2 > PATH_MAX)
				return false;
			out[n++] = '/';
			memcpy(out + n, path, part);
			n += part;
		}
		path += part;
	}
	if (!n)
		out[n++] = '/';
	out[n] = 0;
	return true;
}

/* From directory dir upwards. */
static bool climb(int dir, char out[PATH_MAX])
{
	int at = dir;
	bool named = false;
	for (int i = 0; !named && i < MOST_UP; i++) {
		int up = (int)vcr_call4(SYS_openat, at, (long)"..", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (at != dir)
			raw_close(at);
		if (up < 0)
			return false;
		at = up;
		named = link_of_fd(at, out);
	}
	if (at != dir)
		raw_close(at);
	return named;
}

bool vcr_path_deep(int dir, const char *path, char out[PATH_MAX])
{
	size_t n;
	const char *rest = path;
	if (!path || !*path)
		return false;
	if (base_of(dir, &rest, out, &n))
		return n && vcr_path_matters(out);
	return climb(*path == '/' ? through_fd(path, &rest) : dir, out) && vcr_path_matters(out);
}

bool vcr_path_matters(const char *path)
{
	size_t n = vcr_self.workspace_length;
	if (strncmp(path, vcr_self.workspace, n) || (path[n] != '/' && path[n]))
		return false;
	for (path += n; *path == '/'; path = strchrnul(path, '/')) {
		path++;
		if (path[0] == '.' && (!strncmp(path, ".git", 4) || !strncmp(path, ".vcr", 4)) && (!path[4] || path[4] == '/'))
			return false;
	}
	return true;
}

/* Behind the name in /proc/PID/stat: " S ppid ..."; NULL if it cannot be read. */
static const char *read_stat(int pid, char *text, size_t size)
{
	char name[40];
	vcr_format(vcr_format_number(vcr_format(name, "/proc/"), (unsigned)pid, 1), "/stat");
	int fd = raw_open(name, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	long n = raw_read(fd, text, size - 1);
	raw_close(fd);
	text[n > 0 ? n : 0] = 0;
	const char *end = strrchr(text, ')');
	return end && end[1] == ' ' ? end + 1 : NULL;
}

enum { STAT_STATE = 3, STAT_FLAGS = 9, STAT_START = 22, STAT_PENDING = 31, PF_EXITING = 4 };

/* The number of that field; at: the third's. */
static uint64_t stat_field(const char *at, int wanted)
{
	uint64_t value = 0;
	for (int field = STAT_STATE; at && field < wanted; field++)
		at = strchr(at + 1, ' ');
	for (at = at ? at + 1 : ""; *at >= '0' && *at <= '9'; at++)
		value = value * 10 + (uint64_t)(*at - '0');
	return value;
}

uint64_t vcr_start_time(int pid)
{
	char text[512];
	const char *stat = read_stat(pid, text, sizeof text);
	return stat ? stat_field(stat, STAT_START) : 0;
}

bool vcr_process_runs(int pid, uint64_t start)
{
	char text[512];
	const char *stat = read_stat(pid, text, sizeof text);
	if (!stat || stat[1] == 'Z' || stat[1] == 'X' || (start && stat_field(stat, STAT_START) != start))
		return false;
	return !(stat_field(stat, STAT_FLAGS) & PF_EXITING) && !(stat_field(stat, STAT_PENDING) & 1u << (SIGKILL - 1));
}
