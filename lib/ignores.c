#include "ignores.h"
#include "limits.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 1 << 20, PART = 4096 };

/* Behind what may stand before a pattern. */
static bool reads_on(int fd)
{
	char text[PART];
	bool begins = true;
	size_t at = 0;
	for (ssize_t n; (n = read(fd, text, sizeof text)) > 0 || (n < 0 && errno == EINTR);) {
		for (ssize_t i = 0; i < n; i++, at++) {
			if (begins && (text[i] == '\v' || text[i] == '\f'))
				return false;
			bool mark = at < 3 && text[i] == "\xef\xbb\xbf"[at];
			begins = text[i] == '\n' || (begins && (mark || strchr(" \t\r!/", text[i])));
		}
		if (at > MOST)
			return false;
	}
	return true;
}

static int64_t ns(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool is_safe(struct vcr_ignores *g, int dir, const char *path)
{
	struct stat st;
	if (fstatat(dir, path, &st, 0))
		return true; /* libgit2 has nothing to read there either */
	if (!S_ISREG(st.st_mode) || st.st_size > MOST)
		return S_ISDIR(st.st_mode);
	__typeof__(&g->known[0]) k = &g->known[st.st_ino % VCR_IGNORES_KNOWN];
	if (k->inode == st.st_ino && k->device == st.st_dev && k->size == st.st_size && k->mtime_ns == ns(st.st_mtim) && k->ctime_ns == ns(st.st_ctim))
		return k->safe;
	int fd = openat(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno != EMFILE && errno != ENFILE;
	bool safe = reads_on(fd);
	close(fd);
	*k = (__typeof__(*k)){ st.st_dev, st.st_ino, st.st_size, ns(st.st_mtim), ns(st.st_ctim), safe };
	return safe;
}

bool vcr_ignores_safe(struct vcr_ignores *g, int dir, const char *path, const char *exclude)
{
	static const char name[] = ".gitignore";
	char at[VCR_MAX_PATH + sizeof name];
	if ((exclude && !is_safe(g, AT_FDCWD, exclude)) || !is_safe(g, dir, name))
		return false;
	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		size_t n = (size_t)(slash + 1 - path);
		if (n >= VCR_MAX_PATH)
			return false;
		memcpy(at, path, n);
		memcpy(at + n, name, sizeof name);
		if (!is_safe(g, dir, at))
			return false;
	}
	return true;
}
