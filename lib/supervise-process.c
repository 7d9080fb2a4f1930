/* supervise-process.c — whose call it is, what stands in its memory, and which path it means. */
#include "supervise-parts.h"
#include "buf.h"
#include "peek.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ARGUMENTS = 32 << 10 };

/* ---- Memory ---- */

bool vcr_seen_read(const struct vcr_seen *p, uint64_t at, void *to, size_t n)
{
	return vcr_peek(p->tid, at, to, n);
}

bool vcr_seen_text(const struct vcr_seen *p, uint64_t at, char *to, size_t room)
{
	return vcr_peek_text(p->tid, at, to, room);
}

/* ---- Processes ---- */

static bool read_link(const struct vcr_seen *p, const char *name, char out[PATH_MAX])
{
	ssize_t n = readlinkat(p->proc, name, out, PATH_MAX - 1);
	out[n > 0 ? n : 0] = 0;
	return *out == '/';
}

static ssize_t read_file(const struct vcr_seen *p, const char *name, char *to, size_t room)
{
	int fd = openat(p->proc, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0, got;
	while (fd >= 0 && (size_t)n < room - 1 && (got = read(fd, to + n, room - 1 - (size_t)n)) > 0)
		n += got;
	if (fd >= 0)
		close(fd);
	to[n] = 0;
	return n;
}

static int number_behind(const char *text, const char *word)
{
	const char *at = strstr(text, word);
	return at ? atoi(at + strlen(word)) : 0;
}

static bool is_own_program(const struct vcr_supervise *s, const struct vcr_seen *p)
{
	struct stat st;
	return !fstatat(p->proc, "exe", &st, 0) && st.st_dev == s->own_dev && st.st_ino == s->own_ino;
}

static void forget(struct vcr_seen *p)
{
	if (p->tid)
		close(p->proc);
	p->tid = 0;
}

static bool meet(struct vcr_seen *p, int tid)
{
	char name[40];
	forget(p);
	snprintf(name, sizeof name, "/proc/%d", tid);
	int proc = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return false;
	*p = (struct vcr_seen){ .tid = tid, .proc = proc };
	return true;
}

/* Its number may be another's by now. A signal that is none says it at the least cost, where it may be sent. */
static bool is_there(const struct vcr_seen *p)
{
	char cwd[PATH_MAX];
	return !syscall(SYS_pidfd_send_signal, p->proc, 0, NULL, 0) || read_link(p, "cwd", cwd);
}

struct vcr_seen *vcr_seen_of(struct vcr_supervise *s, int tid)
{
	struct vcr_seen *p = &s->seen[(unsigned)tid % VCR_SEEN];
	if (tid <= 0)
		return NULL; /* of a pid namespace that is not below ours */
	if ((p->tid != tid || !is_there(p)) && !meet(p, tid))
		return NULL;
	if (!p->learnt)
		vcr_seen_learn_code(s, p, false);
	p->learnt = true;
	return p;
}

bool vcr_seen_is_met(const struct vcr_supervise *s, int tid)
{
	const struct vcr_seen *p = &s->seen[(unsigned)tid % VCR_SEEN];
	return p->tid == tid && p->learnt;
}

/* What does not change while it is the same program. */
static bool look_at(struct vcr_supervise *s, struct vcr_seen *p)
{
	char status[4096];
	read_file(p, "status", status, sizeof status);
	p->pid = number_behind(status, "\nTgid:");
	p->ppid = number_behind(status, "\nPPid:");
	p->whole = p->pid && read_link(p, "root", s->cwd) && !strcmp(s->cwd, "/") && !is_own_program(s, p);
	return p->whole;
}

bool vcr_seen_whole(struct vcr_supervise *s, struct vcr_seen *p)
{
	p->cwd = s->cwd;
	if ((p->whole || look_at(s, p)) && read_link(p, "cwd", s->cwd))
		return true;
	forget(p); /* also of a process with another root: its paths are not ours */
	return false;
}

static void unlearn(struct vcr_seen *p)
{
	p->learnt = p->whole = p->told = false;
}

void vcr_seen_becomes_another(struct vcr_supervise *s, int tid)
{
	if (!syscall(SYS_tgkill, tid, tid, 0)) {
		unlearn(&s->seen[(unsigned)tid % VCR_SEEN]); /* or whose number is there, who is looked at again: no harm */
		return;
	}
	for (int i = 0; i < VCR_SEEN; i++) /* a thread that is not its process's first takes over that one's number */
		unlearn(&s->seen[i]);
}

void vcr_seen_release(struct vcr_supervise *s)
{
	for (int i = 0; i < VCR_SEEN; i++)
		forget(&s->seen[i]);
}

void vcr_seen_tell(struct vcr_supervise *s, struct vcr_seen *p)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	char exe[PATH_MAX], *arguments = malloc(ARGUMENTS);
	struct vcr_rec_proc rec = { .ppid = p->ppid };
	if (p->told || p->hooked || !arguments || !read_link(p, "exe", exe)) {
		free(arguments);
		return;
	}
	p->told = true;
	ssize_t n = read_file(p, "cmdline", arguments, ARGUMENTS);
	vcr_buf_add(&text, exe, strlen(exe) + 1);
	vcr_buf_add(&text, p->cwd, strlen(p->cwd) + 1);
	for (const char *a = arguments; a < arguments + n; a += strlen(a) + 1, rec.argc++)
		vcr_buf_add(&text, a, strlen(a) + 1);
	vcr_supervise_append(s, VCR_REC_SEEN, p->pid, &rec, sizeof rec, text.data, text.len);
	free(arguments);
}

/* ---- Paths ---- */

int vcr_seen_stat(const struct vcr_seen *p, int dir, uint64_t at, int flags, struct stat *st)
{
	char path[PATH_MAX], name[PATH_MAX + 40];
	if (!vcr_seen_text(p, at, path, sizeof path))
		return -EFAULT;
	if (*path == '/')
		return fstatat(AT_FDCWD, path, st, flags) ? -errno : 0;
	if (dir == AT_FDCWD)
		snprintf(name, sizeof name, "cwd/%s", path);
	else
		snprintf(name, sizeof name, "fd/%d/%s", dir, path);
	return fstatat(p->proc, name, st, flags) ? -errno : 0;
}

bool vcr_seen_path(const struct vcr_seen *p, int dir, uint64_t at, char out[PATH_MAX])
{
	char path[PATH_MAX], base[PATH_MAX], name[40];
	if (!vcr_seen_text(p, at, path, sizeof path) || !*path)
		return false;
	snprintf(name, sizeof name, "fd/%d", dir);
	if (*path == '/')
		*base = 0;
	else if (dir == AT_FDCWD)
		strcpy(base, p->cwd);
	else if (!read_link(p, name, base))
		return false;
	return snprintf(out, PATH_MAX, "%s%s%s", base, *base ? "/" : "", path) < PATH_MAX;
}

static bool is_plain(const char *path)
{
	for (const char *p = path; (p = strchr(p, '/')); p++)
		if (p[1] == '/' || (p[1] == '.' && (p[2] == '/' || (p[2] == '.' && p[3] == '/'))))
			return false;
	return true;
}

/* Outside of .git and .vcr; as the library decides it (shim/path.c). */
static bool is_inside(const struct vcr_supervise *s, const char *path)
{
	size_t n = s->workspace_length;
	if (strncmp(path, s->workspace, n) || path[n] != '/')
		return false;
	for (path += n; *path == '/'; path += strcspn(path, "/")) {
		path++;
		if (path[0] == '.' && (!strncmp(path, ".git", 4) || !strncmp(path, ".vcr", 4)) && (!path[4] || path[4] == '/'))
			return false;
	}
	return true;
}

static bool begins_inside(const struct vcr_supervise *s, const char *path)
{
	return !strncmp(path, s->workspace, s->workspace_length) && path[s->workspace_length] == '/';
}

bool vcr_supervise_is_elsewhere(const struct vcr_supervise *s, const char *path)
{
	static const char *const elsewhere[] = { "/dev/", "/proc/", "/sys/" };
	for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
		if (!strncmp(path, elsewhere[i], strlen(elsewhere[i])))
			return is_plain(path) && !begins_inside(s, path);
	return false;
}

bool vcr_supervise_matters(struct vcr_supervise *s, char path[PATH_MAX])
{
	char real[PATH_MAX];
	if (begins_inside(s, path) && is_plain(path))
		return is_inside(s, path);
	if (vcr_supervise_is_elsewhere(s, path))
		return false;
	char *slash = strrchr(path, '/');
	if (!slash || !slash[1] || !strcmp(slash + 1, ".") || !strcmp(slash + 1, ".."))
		return false;
	size_t n = (size_t)(slash - path);
	if (strncmp(s->parent, path, n) || s->parent[n]) {
		memcpy(s->parent, path, n);
		s->parent[n] = 0;
		if (!realpath(n ? s->parent : "/", s->true_parent)) {
			*s->parent = *s->true_parent = 0;
			return false;
		}
	}
	if (snprintf(real, sizeof real, "%s/%s", strcmp(s->true_parent, "/") ? s->true_parent : "", slash + 1) >= PATH_MAX || !is_inside(s, real))
		return false;
	strcpy(path, real);
	return true;
}
