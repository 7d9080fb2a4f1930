#include "copytree.h"
#include "replace.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DEPTH = 256, STEP = 1 << 16, MOST_OPEN = 100, MOST_ROUNDS = 10000 };

struct walk {
	struct vcr_copytree *c;
	dev_t dev;            /* the tree's file system */
	struct vcr_buf path;  /* where we are, relative */
	struct vcr_error *e;
};

static void skip(struct walk *w, const char *why)
{
	vcr_buf_printf(&w->c->skipped, "%s: %s\n", w->path.data, why);
}

static int failed(struct walk *w, int sys)
{
	return vcr_error_sys(w->e, sys, "%s cannot be copied", w->path.data);
}

/* From where both are, so many bytes, or fewer if the file has become shorter. */
static int copy_part(struct walk *w, int from, int to, off_t left)
{
	char step[STEP];
	ssize_t n = 0;
	while (left > 0 && (n = copy_file_range(from, NULL, to, NULL, left < 1 << 30 ? (size_t)left : 1 << 30, 0)) > 0)
		left -= n;
	if (n < 0 && errno != EINVAL && errno != EXDEV && errno != ENOSYS && errno != EOPNOTSUPP)
		return failed(w, errno);
	for (; left > 0 && (n = read(from, step, left < STEP ? (size_t)left : STEP)) > 0; left -= n)
		if (vcr_write_all(to, step, (size_t)n))
			return failed(w, errno);
	return n < 0 ? failed(w, errno) : 0;
}

/* The bytes; a clone where that can be had. A hole stays one: an image of 300 GB takes what it takes here. */
static int copy_bytes(struct walk *w, int from, int to, off_t size)
{
	int err = 0;
	if (!ioctl(to, FICLONE, from)) {
		w->c->shared++;
		return 0;
	}
	for (off_t at = 0, end; !err && at < size; at = end) {
		off_t data = lseek(from, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		at = data < 0 ? at : data;
		end = data < 0 ? -1 : lseek(from, at, SEEK_HOLE); /* who does not know of holes has none */
		end = end < 0 || end > size ? size : end;
		err = lseek(from, at, SEEK_SET) < 0 || lseek(to, at, SEEK_SET) < 0 ? failed(w, errno) : copy_part(w, from, to, end - at);
	}
	return err ? err : ftruncate(to, size) ? failed(w, errno) : 0;
}

static int copy_file(struct walk *w, int dir, int into, const char *name, const struct stat *seen)
{
	int from = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), to, err;
	struct stat st;
	if (from < 0 || fstat(from, &st) || !S_ISREG(st.st_mode)) {
		if (errno != ENOENT)
			skip(w, strerror(errno));
		if (from >= 0)
			close(from);
		return 0;
	}
	to = openat(into, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	err = to < 0 ? failed(w, errno) : copy_bytes(w, from, to, st.st_size);
	if (!err && (fchmod(to, st.st_mode & (st.st_uid == geteuid() ? 07777 : 0777)) || futimens(to, (struct timespec[]){ seen->st_mtim, seen->st_mtim })))
		err = failed(w, errno);
	w->c->files++;
	close(from);
	if (to >= 0)
		close(to);
	return err;
}

static int copy_link(struct walk *w, int dir, int into, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir, name, target, sizeof target - 1);
	if (n < 0)
		return skip(w, strerror(errno)), 0;
	target[n] = 0;
	return symlinkat(target, into, name) ? failed(w, errno) : 0;
}

static bool is_left_out(const struct walk *w, const struct stat *st)
{
	for (size_t i = 0; i < w->c->nnot; i++)
		if (w->c->not[i].dev == st->st_dev && w->c->not[i].ino == st->st_ino)
			return true;
	return false;
}

static int copy_dir(struct walk *w, int from, int into, int depth);

static int copy_subdir(struct walk *w, int dir, int into, const char *name, const struct stat *st, int depth)
{
	struct stat git;
	if (!strcmp(name, ".vcr") || is_left_out(w, st))
		return 0;
	if (st->st_dev != w->dev || depth == DEPTH)
		return skip(w, depth == DEPTH ? "too deep" : "another file system"), 0;
	int from = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), to, err;
	if (from < 0)
		return skip(w, strerror(errno)), 0;
	const char *why = fstatat(from, ".git", &git, AT_SYMLINK_NOFOLLOW) ? NULL : w->c->nested ? w->c->nested(w->c->ctx, w->path.data) : "a git repository of its own";
	if (why) {
		close(from);
		return skip(w, why), 0;
	}
	if (mkdirat(into, name, 0700) || (to = openat(into, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) < 0) {
		err = errno;
		close(from);
		return failed(w, err);
	}
	err = copy_dir(w, from, to, depth + 1); /* closes from */
	if (!err && fchmod(to, st->st_mode & 07777))
		err = failed(w, errno);
	close(to);
	return err;
}

static int copy_entry(struct walk *w, int dir, int into, const char *name, int depth)
{
	struct stat st;
	size_t here = w->path.len;
	int err = 0;
	for (int i = 0; !depth && w->c->top && w->c->top[i]; i++)
		if (!strcmp(name, w->c->top[i]))
			return 0;
	if (depth && w->c->nested && !strcmp(name, ".git"))
		return 0;
	vcr_buf_printf(&w->path, "%s%s", here ? "/" : "", name);
	if (w->path.err)
		err = vcr_error_set(w->e, w->path.err, "out of memory");
	else if (!fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
		if (S_ISDIR(st.st_mode))
			err = copy_subdir(w, dir, into, name, &st, depth);
		else if (S_ISLNK(st.st_mode))
			err = copy_link(w, dir, into, name);
		else if (S_ISREG(st.st_mode))
			err = copy_file(w, dir, into, name, &st);
	}
	vcr_buf_cut(&w->path, here);
	return err;
}

/* Closes from. */
static int copy_dir(struct walk *w, int from, int into, int depth)
{
	DIR *d = fdopendir(from);
	struct dirent *ent;
	int err = d ? 0 : failed(w, errno);
	while (!err && (ent = readdir(d)))
		if (strcmp(ent->d_name, ".") && strcmp(ent->d_name, ".."))
			err = copy_entry(w, from, into, ent->d_name, depth);
	if (d)
		closedir(d);
	else
		close(from);
	return err;
}

int vcr_copytree(struct vcr_copytree *c, const char *from, const char *to, struct vcr_error *e)
{
	struct walk w = { .c = c, .path = VCR_BUF_INIT, .e = e };
	struct stat st;
	int dir = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC), into = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
	if (dir < 0 || into < 0 || fstat(dir, &st)) {
		err = vcr_error_sys(e, errno, "%s", dir < 0 ? from : to);
		if (dir >= 0)
			close(dir);
	} else {
		w.dev = st.st_dev;
		err = copy_dir(&w, dir, into, 0);
	}
	if (into >= 0)
		close(into);
	vcr_buf_release(&w.path);
	return err;
}

/* ---- Removing ---- */

/* What is mounted in the tree is none of it: EXDEV. */
static int open_here(int dir, const char *name, int depth)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	const struct open_how how = { .flags = (uint64_t)flags, .resolve = RESOLVE_NO_XDEV };
	struct stat out, in;
	int fd = depth ? (int)syscall(SYS_openat2, dir, name, &how, sizeof how) : openat(dir, name, flags);
	if (fd >= 0 || !depth || (errno != ENOSYS && errno != EPERM))
		return fd;
	fd = openat(dir, name, flags); /* before Linux 5.6, or forbidden */
	if (fd < 0 || (!fstat(dir, &out) && !fstat(fd, &in) && out.st_dev == in.st_dev))
		return fd;
	close(fd);
	errno = EXDEV;
	return -1;
}

static int remove_in(int dir, const char *name, int top, int depth);

/* What is in the directory. Each level costs a descriptor: what is too deep is moved to the top, and met there again. */
static int empty(int dir, const char *name, int top, int depth)
{
	struct dirent *ent;
	struct stat st;
	char up[32];
	int err = 0, fd = open_here(dir, name, depth);
	if (fd < 0 && errno == EACCES && !fchmodat(dir, name, 0700, 0))
		fd = open_here(dir, name, depth);
	DIR *d = fd < 0 || fstat(fd, &st) ? NULL : fdopendir(fd);
	if (!d) {
		err = errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	fchmod(fd, 0700);
	if (depth == MOST_OPEN) {
		snprintf(up, sizeof up, ".deep-%llx", (unsigned long long)st.st_ino);
		err = renameat(dir, name, top, up) ? errno : 0;
	}
	while (depth < MOST_OPEN && !err && (ent = readdir(d)))
		if (strcmp(ent->d_name, ".") && strcmp(ent->d_name, ".."))
			err = remove_in(fd, ent->d_name, depth ? top : fd, depth + 1);
	closedir(d);
	return err;
}

static int remove_in(int dir, const char *name, int top, int depth)
{
	for (int i = 0; i < MOST_ROUNDS; i++) {
		if (!unlinkat(dir, name, 0) || errno == ENOENT)
			return 0;
		if (errno != EISDIR && errno != EPERM)
			return errno;
		int err = empty(dir, name, top, depth);
		if (err || !unlinkat(dir, name, AT_REMOVEDIR) || errno == ENOENT)
			return err;
		if (errno != ENOTEMPTY)
			return errno;
	} /* somebody still writes there, or there was something deep */
	return ENOTEMPTY;
}

int vcr_copytree_remove(const char *path, struct vcr_error *e)
{
	int err = remove_in(AT_FDCWD, path, -1, 0);
	if (err == EXDEV)
		return vcr_error_set(e, VCR_EBUSY, "%s cannot be removed: something is mounted in it, unmount that first", path);
	return err ? vcr_error_sys(e, err, "%s cannot be removed", path) : 0;
}
