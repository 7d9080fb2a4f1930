/* savepoint-refs.c — names of savepoints, as git keeps them: a plain file each, and packed-refs, which housekeeping writes; the lock between it and
 * those who write objects.
 *
 * STATE/shadow.lock: shared while objects are written until a name holds them, exclusive while some are taken away. Its first eight bytes count how
 * often that happened, so that a store that is open notices. */
#include "savepoint-parts.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* ---- The lock ---- */

/* It is open only while it is held: a collector whose host has few descriptors has none to spare. */
static bool open_lock(struct vcr_store *s)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	vcr_buf_printf(&path, "%s/shadow.lock", s->state_dir);
	if (s->lock < 0)
		s->lock = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return s->lock >= 0;
}

void vcr_store_lock_look(struct vcr_store *s)
{
	if (open_lock(s) && pread(s->lock, &s->age, sizeof s->age, 0) != sizeof s->age)
		s->age = 0;
	vcr_store_unlock(s);
}

bool vcr_store_lock_shared(struct vcr_store *s)
{
	uint64_t age = 0;
	if (s->held || !open_lock(s))
		return false;
	while (flock(s->lock, LOCK_SH) && errno == EINTR)
		;
	if (pread(s->lock, &age, sizeof age, 0) != sizeof age || age == s->age)
		return false;
	s->age = age;
	return true;
}

void vcr_store_unlock(struct vcr_store *s)
{
	int saved = errno;
	if (s->lock >= 0 && !s->held) {
		close(s->lock);
		s->lock = -1;
	}
	errno = saved;
}

int vcr_store_lock_alone(struct vcr_store *s, int wait_ms, struct vcr_error *e)
{
	for (int waited = 0; open_lock(s); waited += 10) {
		if (!flock(s->lock, LOCK_EX | LOCK_NB)) {
			s->age++;
			return pwrite(s->lock, &s->age, sizeof s->age, 0) == sizeof s->age ? 0 : vcr_error_sys(e, errno, "%s/shadow.lock", s->state_dir);
		}
		if (errno != EWOULDBLOCK && errno != EINTR)
			break;
		if (waited >= wait_ms)
			return vcr_error_set(e, VCR_EBUSY, "somebody works with the savepoints in %s right now (a recording that begins, a bisect); try again", s->state_dir);
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	}
	return vcr_error_sys(e, errno, "%s/shadow.lock", s->state_dir);
}

/* ---- Names ---- */

/* A session's id as a part of a ref's name: what git forbids there becomes %XX. */
char *vcr_refs_name(const char *session)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	vcr_buf_puts(&out, "refs/vcr/");
	for (const char *p = session; *p; p++) {
		bool plain = (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_' || *p == '-' ||
			(*p == '.' && p > session && p[-1] != '.' && p[1] && strcmp(p, ".lock"));
		vcr_buf_printf(&out, plain ? "%c" : "%%%02x", (unsigned char)*p);
	}
	return vcr_buf_take(&out, NULL);
}

int vcr_refs_write(struct vcr_store *s, const char *ref, const char *commit, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, lock = VCR_BUF_INIT, line = VCR_BUF_INIT;
	vcr_buf_printf(&path, "%s/%s", s->git_dir, ref);
	vcr_buf_printf(&lock, "%s.lock", path.data);
	vcr_buf_printf(&line, "%s\n", commit);
	int fd = open(lock.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 && errno == ENOENT) {
		for (char *p = path.data + strlen(s->git_dir) + 1; (p = strchr(p, '/')); p++) {
			*p = 0;
			mkdir(path.data, 0700);
			*p = '/';
		}
		fd = open(lock.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	}
	bool good = fd >= 0 && write(fd, line.data, line.len) == (ssize_t)line.len;
	int saved = errno;
	if (fd >= 0)
		close(fd);
	if (good && !rename(lock.data, path.data))
		return 0;
	saved = good ? errno : saved;
	unlink(lock.data);
	return vcr_error_sys(e, saved, "cannot write %s", path.data);
}

static int read_loose(struct vcr_store *s, const char *ref, char commit[41])
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	vcr_buf_printf(&path, "%s/%s", s->git_dir, ref);
	int fd = open(path.data, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, commit, 40);
	if (fd >= 0)
		close(fd);
	commit[n == 40 ? 40 : 0] = 0;
	return n == 40 ? 0 : VCR_ENOTFOUND;
}

/* ---- packed-refs: "<40 hex digits> <name>" a line, sorted by name ---- */

/* Read anew when it is another file than last time. */
static void load_packed(struct vcr_store *s)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct stat st;
	vcr_buf_printf(&path, "%s/packed-refs", s->git_dir);
	int fd = open(path.data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st)) {
		vcr_buf_reset(&s->packed);
		s->packed_st = (struct stat){ 0 };
	} else if (st.st_ino != s->packed_st.st_ino || st.st_size != s->packed_st.st_size || memcmp(&st.st_mtim, &s->packed_st.st_mtim, sizeof st.st_mtim)) {
		ssize_t n = 0;
		char *to;
		vcr_buf_reset(&s->packed);
		while ((to = vcr_buf_reserve(&s->packed, 64 << 10)) && (n = read(fd, to, 64 << 10)) > 0)
			vcr_buf_added(&s->packed, (size_t)n);
		s->packed_st = st;
	}
	if (fd >= 0)
		close(fd);
}

/* The next line behind p that names a ref; NULL at the end. */
static const char *next_line(const char *p)
{
	while (*p) {
		size_t n = strcspn(p, "\n");
		if (n > 41 && p[40] == ' ' && strspn(p, "0123456789abcdef") == 40)
			return p;
		p += n + (p[n] == '\n');
	}
	return NULL;
}

static const char *behind(const char *line)
{
	size_t n = strcspn(line, "\n");
	return line + n + (line[n] == '\n');
}

static int read_packed(struct vcr_store *s, const char *ref, char commit[41])
{
	size_t n = strlen(ref);
	load_packed(s);
	for (const char *p = s->packed.data; (p = next_line(p)); p = behind(p))
		if (strcspn(p + 41, "\n") == n && !memcmp(p + 41, ref, n)) {
			snprintf(commit, 41, "%.40s", p);
			return 0;
		}
	return VCR_ENOTFOUND;
}

static int64_t last_packed(struct vcr_store *s, const char *refs)
{
	size_t n = strlen(refs);
	int64_t last = -1;
	load_packed(s);
	for (const char *p = s->packed.data; (p = next_line(p)); p = behind(p))
		if (!strncmp(p + 41, refs, n) && p[41 + n] == '/') {
			char *end;
			long long k = strtoll(p + 42 + n, &end, 10);
			if (end > p + 42 + n && (*end == '\n' || !*end) && k > last)
				last = k;
		}
	return last;
}

/* ---- Both ---- */

/* A name goes from its file to packed-refs in that order, so it is in one of them. */
int vcr_refs_read(struct vcr_store *s, const char *ref, char commit[41])
{
	return read_loose(s, ref, commit) && read_packed(s, ref, commit) ? VCR_ENOTFOUND : 0;
}

static int64_t last_loose(struct vcr_store *s, const char *refs)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	int64_t last = -1;
	vcr_buf_printf(&path, "%s/%s", s->git_dir, refs);
	DIR *d = opendir(path.data);
	struct dirent *ent;
	while (d && (ent = readdir(d))) {
		char *end;
		long long n = strtoll(ent->d_name, &end, 10);
		if (*ent->d_name >= '0' && *ent->d_name <= '9' && !*end && n > last)
			last = n;
	}
	if (d)
		closedir(d);
	return last;
}

int64_t vcr_refs_last(struct vcr_store *s, const char *refs)
{
	int64_t loose = last_loose(s, refs), last = last_packed(s, refs); /* in this order: see vcr_refs_read */
	return loose > last ? loose : last;
}

static int each_loose(struct vcr_store *s, struct vcr_buf *path, int depth, vcr_refs_fn *fn, void *ctx)
{
	size_t len = path->len;
	VCR_AUTO_BUF full = VCR_BUF_INIT;
	struct dirent *ent;
	int err = 0;
	vcr_buf_printf(&full, "%s/%s", s->git_dir, path->data);
	DIR *d = depth < 8 ? opendir(full.data) : NULL;
	while (d && !err && (ent = readdir(d))) {
		size_t n = strlen(ent->d_name);
		char commit[41];
		if (*ent->d_name == '.' || (n > 5 && !strcmp(ent->d_name + n - 5, ".lock")))
			continue;
		vcr_buf_printf(path, "/%s", ent->d_name);
		if (!read_loose(s, path->data, commit))
			err = fn(ctx, path->data, commit);
		else
			err = each_loose(s, path, depth + 1, fn, ctx);
		vcr_buf_cut(path, len);
	}
	if (d)
		closedir(d);
	return err;
}

int vcr_refs_each(struct vcr_store *s, vcr_refs_fn *fn, void *ctx)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, text = VCR_BUF_INIT, name = VCR_BUF_INIT;
	vcr_buf_init(&text, VCR_REFS_MAX);
	vcr_buf_puts(&path, "refs");
	int err = each_loose(s, &path, 0, fn, ctx);
	load_packed(s);
	vcr_buf_add(&text, s->packed.data, s->packed.len);
	for (const char *p = text.data; !err && (p = next_line(p)); p = behind(p)) {
		char commit[41], loose[41];
		vcr_buf_reset(&name);
		vcr_buf_add(&name, p + 41, strcspn(p + 41, "\n"));
		snprintf(commit, sizeof commit, "%.40s", p);
		if (read_loose(s, name.data, loose))
			err = fn(ctx, name.data, commit);
	}
	return err;
}
