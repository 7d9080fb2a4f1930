/* files-scan.c — walks over the workspace: the base scan, and the comparison with what is known. */
#include "files-parts.h"
#include "beneath.h"
#include "limits.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* ---- What is left out ---- */

static bool glob(const char *pattern, const char *path)
{
	const char *stars = strstr(pattern, "**");
	if (!stars)
		return !fnmatch(pattern, path, FNM_PATHNAME);
	char without[VCR_MAX_PATH];
	if (!fnmatch(pattern, path, 0))
		return true;
	if (stars[2] != '/' || strlen(pattern) >= sizeof without)
		return false;
	snprintf(without, sizeof without, "%.*s%s", (int)(stars - pattern), pattern, stars + 3); /* a / ** / b is also a/b */
	return !fnmatch(without, path, 0);
}

/* One pattern, without "!", as gitignore(5) reads it. */
static bool pattern_matches(const char *pattern, const char *path, bool directory)
{
	char text[VCR_MAX_PATH];
	size_t n = strlen(pattern);
	if (!n || n >= sizeof text)
		return false;
	memcpy(text, pattern, n + 1);
	if (text[n - 1] == '/') {
		if (!directory)
			return false;
		text[--n] = 0;
	}
	const char *base = strrchr(path, '/'), *p = text + (*text == '/');
	if (p > text || strchr(p, '/'))
		return glob(p, path);
	return !fnmatch(p, base ? base + 1 : path, 0);
}

bool vcr_files_pattern_out(const char *const *pattern, const char *path, bool directory)
{
	bool out = false;
	for (const char *const *p = pattern; p && *p; p++) {
		bool keep = **p == '!';
		if (pattern_matches(*p + keep, path, directory))
			out = !keep;
	}
	return out;
}

/* Up to the last slash it is the directory of the path before, which was not left out. */
static size_t looked_at(struct vcr_files *f, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	return n && f->kept_dir && !strncmp(f->kept_dir, path, n) && !f->kept_dir[n] ? n + 1 : 0;
}

static void keep_dir(struct vcr_files *f, const char *path)
{
	const char *slash = strrchr(path, '/');
	free(f->kept_dir);
	f->kept_dir = slash ? strndup(path, (size_t)(slash - path)) : NULL;
}

bool vcr_files_left_out(struct vcr_files *f, const char *path, bool directory)
{
	char prefix[VCR_MAX_BENEATH];
	size_t begin = looked_at(f, path), at = begin;
	for (;;) {
		size_t n = strcspn(path + at, "/");
		if (n == 4 && (!memcmp(path + at, ".git", 4) || !memcmp(path + at, ".vcr", 4)))
			return true;
		at += n;
		bool last = !path[at];
		if (f->ignore && *f->ignore && at < sizeof prefix) {
			memcpy(prefix, path, at);
			prefix[at] = 0;
			if (vcr_files_pattern_out(f->ignore, prefix, last ? directory : true))
				return true;
		}
		if (last)
			break;
		at++;
	}
	if (!begin)
		keep_dir(f, path);
	return false;
}

/* ---- The user's repository, to be read only ---- */

void vcr_files_open_git(struct vcr_files *f)
{
	/* No search upward, no configuration of others: the workspace is the top level or has no repository. */
	if (git_repository_open_ext(&f->repo, f->workspace, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) || git_repository_odb(&f->odb, f->repo)) {
		git_repository_free(f->repo);
		f->repo = NULL;
		f->odb = NULL;
	}
	if (f->repo && asprintf(&f->exclude, "%sinfo/exclude", git_repository_commondir(f->repo)) < 0)
		f->exclude = NULL;
}

struct walk {
	struct vcr_files *f;
	bool base, limited, deeper;  /* limited: more than can be known; deeper: than is looked */
	enum vcr_walk_as as;
	int64_t now_ns, real_ns;     /* the same moment by CLOCK_MONOTONIC and by CLOCK_REALTIME; VCR_WALK_LATE */
	git_index *index;
	int64_t index_s;             /* when it was written, seconds: what changed then may not show it */
	struct vcr_buf path;         /* of what is being looked at */
};

static void open_index(struct walk *w)
{
	struct stat st;
	if (!w->f->repo || git_repository_index(&w->index, w->f->repo))
		return;
	const char *path = git_index_path(w->index);
	w->index_s = path && !stat(path, &st) ? st.st_mtim.tv_sec : 0;
}

static const git_index_entry *clean_entry(const struct walk *w, const struct stat *st)
{
	const git_index_entry *e = w->index ? git_index_get_bypath(w->index, w->path.data, 0) : NULL;
	if (!e || e->flags & GIT_INDEX_ENTRY_VALID || e->mtime.seconds != (int32_t)st->st_mtim.tv_sec || e->file_size != (uint32_t)st->st_size ||
	    e->mtime.seconds >= w->index_s || e->ctime.seconds != (int32_t)st->st_ctim.tv_sec)
		return NULL;
	if ((e->mtime.nanoseconds && e->mtime.nanoseconds != (uint32_t)st->st_mtim.tv_nsec) || (e->ino && e->ino != (uint32_t)st->st_ino))
		return NULL;
	return e;
}

bool vcr_files_git_ignores(struct vcr_files *f, const char *name, bool directory)
{
	char path[VCR_MAX_PATH + 1];
	int yes = 0;
	if (!f->repo || strlen(name) >= VCR_MAX_PATH /* no git comes there */ || !vcr_ignores_safe(&f->ignores, f->dir, name, f->exclude))
		return false;
	snprintf(path, sizeof path, "%s%s", name, directory ? "/" : "");
	return !git_ignore_path_is_ignored(&yes, f->repo, path) && yes;
}

/* ---- Visiting ---- */

/* The content of a file as it is before anything happens: in the user's objects, or in memory while there is room. */
static void know_content(struct walk *w, struct vcr_known *k, int dir, const char *name, struct vcr_look *l)
{
	struct vcr_files *f = w->f;
	const git_index_entry *e = S_ISREG(l->st.st_mode) ? clean_entry(w, &l->st) : NULL;
	void *id = e ? malloc(sizeof e->id.id) : NULL;
	if (id) {
		vcr_known_set(f, k, l);
		memcpy(id, e->id.id, sizeof e->id.id);
		k->kept = id;
		k->keep = VCR_KEEP_GIT;
		return;
	}
	if (S_ISLNK(l->st.st_mode))
		vcr_files_look(f, w->path.data, l, true);
	else if (S_ISREG(l->st.st_mode) && l->st.st_size <= VCR_MAX_FILE_CONTENT && !vcr_files_withheld(f, w->path.data)) {
		k->ignored = k->ignored || vcr_files_git_ignores(f, w->path.data, false);
		if ((size_t)f->stats.bytes_kept < (k->ignored ? f->keep_bytes / 4 : f->keep_bytes))
			vcr_files_read_at(f, dir, name, &l->st, l);
	}
	vcr_known_set(f, k, l);
}

static bool know(struct walk *w, int dir, const char *name, const struct stat *st, bool ignored)
{
	struct vcr_known *k = vcr_table_add(&w->f->table, w->path.data);
	struct vcr_look l = VCR_LOOK_INIT;
	if (!k) {
		w->limited = true;
		return ignored;
	}
	l.exists = true;
	l.st = *st;
	l.looked_ns = vcr_files_now();
	l.racy = true;
	k->round = w->f->round;
	k->ignored = ignored || (S_ISDIR(st->st_mode) && vcr_files_git_ignores(w->f, w->path.data, true));
	know_content(w, k, dir, name, &l);
	vcr_look_release(&l);
	return k->ignored;
}

static void mark_found(struct walk *w, const char *path, int64_t at_ns)
{
	struct vcr_file_mark *m = vcr_files_mark_path(w->f, path, at_ns);
	if (!m)
		return;
	if (w->as == VCR_WALK_SCAN) {
		m->scanned = true;
		return;
	}
	int64_t seen_ns = w->as == VCR_WALK_LATE && at_ns < w->now_ns - VCR_FILES_TICK_NS ? at_ns + VCR_FILES_TICK_NS : vcr_files_now();
	m->seen_ns = seen_ns > m->seen_ns ? seen_ns : m->seen_ns;
	m->seen = true;
}

/* When it came to be what it is, as far as can be told: not before it came to be where it is (floor_ns: that of its directory). */
static int64_t time_of(const struct walk *w, const struct stat *st, int64_t floor_ns)
{
	if (w->as != VCR_WALK_LATE)
		return vcr_files_now();
	int64_t at = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec - w->real_ns + w->now_ns;
	at = at > floor_ns ? at : floor_ns;
	return at < w->now_ns ? at : w->now_ns;
}

static void compare(struct walk *w, const struct stat *st, int64_t at_ns)
{
	struct vcr_known *k = vcr_table_get(&w->f->table, w->path.data);
	if (!k && w->f->limited)
		return;
	if (k)
		k->round = w->f->round;
	if (k && vcr_known_same(k, st) && (!k->racy || S_ISDIR(st->st_mode)))
		return;
	mark_found(w, w->path.data, at_ns);
}

/* proc and its kin have no files, only views of the kernel. */
static bool is_pseudo(int fd)
{
	static const unsigned magic[] = { PROC_SUPER_MAGIC, SYSFS_MAGIC, DEVPTS_SUPER_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC,
		TRACEFS_MAGIC, BPF_FS_MAGIC, SECURITYFS_MAGIC };
	struct statfs fs;
	if (fstatfs(fd, &fs))
		return true;
	for (size_t i = 0; i < sizeof magic / sizeof *magic; i++)
		if ((unsigned)fs.f_type == magic[i])
			return true;
	return false;
}

static bool go_down(struct walk *w, const char *name)
{
	size_t before = w->path.len;
	if (before)
		vcr_buf_putc(&w->path, '/');
	if (!vcr_buf_puts(&w->path, name))
		return true;
	w->path.err = 0;
	vcr_buf_cut(&w->path, before);
	w->deeper = true;
	return false;
}

/* fd is closed. ignored: by the user's .gitignore. */
static void visit_directory(struct walk *w, int fd, int depth, bool ignored, int64_t floor_ns)
{
	size_t len = w->path.len;
	struct dirent *ent;
	DIR *d = fd < 0 || depth >= VCR_MAX_DEPTH ? NULL : fdopendir(fd);
	if (!d) {
		w->deeper = w->deeper || fd >= 0;
		if (fd >= 0)
			close(fd);
		return;
	}
	vcr_watch_directory(w->f, fd, w->path.data);
	while ((ent = readdir(d))) {
		struct stat st;
		if (!strcmp(ent->d_name, ".") || !strcmp(ent->d_name, "..") || fstatat(fd, ent->d_name, &st, AT_SYMLINK_NOFOLLOW) || !go_down(w, ent->d_name))
			continue;
		bool directory = S_ISDIR(st.st_mode), below = ignored;
		int sub = -1;
		if (!vcr_files_left_out(w->f, w->path.data, directory) &&
		    (!directory || ((sub = openat(fd, ent->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) >= 0 &&
		                    (st.st_dev == w->f->device || !is_pseudo(sub))) || (sub < 0 && errno == EACCES))) {
			int64_t at_ns = w->base ? 0 : time_of(w, &st, floor_ns);
			if (w->base)
				below = know(w, fd, ent->d_name, &st, ignored);
			else
				compare(w, &st, at_ns);
			if (directory) {
				visit_directory(w, sub, depth + 1, below, at_ns);
				sub = -1;
			}
		}
		if (sub >= 0)
			close(sub);
		vcr_buf_cut(&w->path, len);
	}
	closedir(d);
}

static void mark_unvisited(struct walk *w, const char *below)
{
	for (struct vcr_known *k = vcr_table_below(&w->f->table, below); k; k = k->next_found)
		if (k->round != w->f->round)
			mark_found(w, k->path, vcr_files_now());
}

static int64_t real_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int vcr_files_walk(struct vcr_files *f, const char *below, enum vcr_walk_as as, struct vcr_error *e)
{
	struct walk w = { .f = f, .base = !f->based, .as = as, .now_ns = vcr_files_now(), .real_ns = real_now() };
	if (w.base && *below)
		return 0; /* the base scan is still to come, and knows it then */
	int fd = vcr_beneath_open(f->dir, below, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return vcr_error_sys(e, errno, "%s/%s", f->workspace, below);
	vcr_buf_init(&w.path, VCR_MAX_BENEATH - 1);
	vcr_buf_puts(&w.path, below);
	if (w.base)
		open_index(&w);
	f->round++;
	bool known = !*below || vcr_table_get(&f->table, below); /* of a directory that is new nothing can be missing */
	visit_directory(&w, fd, 0, false, 0);
	if (!w.base && known)
		mark_unvisited(&w, below);
	git_index_free(w.index);
	vcr_buf_release(&w.path);
	f->limited = f->limited || w.limited;
	return w.limited || w.deeper;
}
