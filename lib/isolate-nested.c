/* isolate-nested.c — repositories inside the workspace, submodules among them, in an isolated tree.
 *
 * Each gets a .git in the tree: what theirs has, but no objects, which it borrows (info/alternates). So git works there, commits stay there, and the
 * tree's own git sees a repository, whose files are none of its business, as it does in the workspace. STATE/trees/.<session>/nested, each with a NUL:
 *   TREE HEAD PATH    the files it began with (without ignored ones), the commit that was checked out
 *
 * What is changed there comes back as files: three trees (as it began, as it is in the workspace now, as it is in the tree now) make the one that is to
 * be, the workspace's .git is only read for it. What differs is written aside and renamed into its place: killed in between, the same is computed again. The list
 * goes when all is done, before the tree does: of a tree that is half removed nothing is to be computed. */
#include "isolate-parts.h"
#include "beneath.h"
#include "copytree.h"
#include "flush.h"
#include "replace.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct one {
	const char *path;
	char tree[72], head[72];
	unsigned n;
	struct vcr_buf mine, theirs;    /* its directory in the tree, and in the workspace */
	struct vcr_buf objects, index;  /* aside */
	char now[72], result[72];       /* trees; of the workspace, and what it shall be */
	struct stat *seen;              /* of each that is to be changed; st_ino 0: nothing */
};

/* ---- Which are taken ---- */

/* Of nftw(3). What is copied as a link would be written through it; a hook is only run. What is not copied may be one. */
static int meet(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	const char *name = path + f->base;
	if (f->level == 1 && !strcmp(name, "objects"))
		return type == FTW_D ? FTW_SKIP_SUBTREE : FTW_CONTINUE;
	if (f->level == 1 && type == FTW_D && (!strcmp(name, "modules") || !strcmp(name, "worktrees")))
		return FTW_SKIP_SUBTREE;
	if (f->level == 2 && f->base > 6 && !strncmp(name - 6, "hooks/", 6))
		return type == FTW_D ? FTW_SKIP_SUBTREE : FTW_CONTINUE;
	return type == FTW_SL ? FTW_STOP : FTW_CONTINUE;
}

/* As git-new-workdir makes them: a commit in a copy of it would move the user's branches. */
static const char *refuse_links(const char *dir)
{
	struct vcr_isolate_git w;
	if (vcr_isolate_where(dir, &w, NULL))
		return "a git repository of its own, which git does not open here";
	for (int i = 0; i < 2; i++) {
		int met = nftw(i ? w.common : w.dir, meet, 20, FTW_PHYS | FTW_ACTIONRETVAL);
		if (met)
			return met < 0 ? "a git repository of its own, whose .git cannot be read" : "a git repository of its own, and its .git is made of links";
		if (!strcmp(w.dir, w.common))
			break;
	}
	return NULL;
}

const char *vcr_isolate_takes(void *ctx, const char *path)
{
	struct vcr_isolate_nest *nest = ctx;
	VCR_AUTO_BUF dir = VCR_BUF_INIT, of = VCR_BUF_INIT, own = VCR_BUF_INIT, head = VCR_BUF_INIT;
	struct vcr_git g = VCR_GIT_INIT;
	const char *why = NULL;
	vcr_buf_printf(&dir, "%s/%s", nest->t->workspace, path);
	g.dir = nest->t->workspace;
	int status = VCR_GIT(&g, &of, NULL, "rev-parse", "--show-object-format", "--show-cdup");
	g.dir = dir.data;
	/* the directory above is at the top of it: "" */
	if (status || VCR_GIT(&g, &own, NULL, "rev-parse", "--show-object-format", "--show-cdup") || strcmp(of.data, own.data))
		why = "a git repository of its own, which git does not open here";
	else if (VCR_GIT(&g, &head, NULL, "rev-parse", "-q", "--verify", "HEAD^{commit}"))
		why = "a git repository of its own without a commit";
	else if ((why = refuse_links(dir.data)))
		;
	else if (vcr_buf_add(nest->taken, path, strlen(path) + 1))
		why = "out of memory";
	vcr_git_release(&g);
	return why;
}

/* ---- Where things are ---- */

static void open_one(const char *state_dir, const struct vcr_txn *t, struct one *o, const char *path, unsigned n)
{
	char name[40];
	*o = (struct one){ .path = path, .n = n, .mine = VCR_BUF_INIT, .theirs = VCR_BUF_INIT, .objects = VCR_BUF_INIT, .index = VCR_BUF_INIT };
	vcr_buf_printf(&o->mine, "%s/%s", t->dir, path);
	vcr_buf_printf(&o->theirs, "%s/%s", t->workspace, path);
	snprintf(name, sizeof name, "nested-%u", n);
	vcr_isolate_beside(state_dir, t, name, &o->objects);
	vcr_isolate_beside(state_dir, t, name, &o->index);
	vcr_buf_puts(&o->index, ".index");
}

static void close_one(struct one *o)
{
	unlink(o->index.data);
	vcr_buf_release(&o->mine);
	vcr_buf_release(&o->theirs);
	vcr_buf_release(&o->objects);
	vcr_buf_release(&o->index);
	free(o->seen);
}

static int head_of(const char *dir, char head[72], struct vcr_error *e)
{
	VCR_AUTO_BUF id = VCR_BUF_INIT;
	struct vcr_git g = VCR_GIT_INIT;
	g.dir = dir;
	int err = VCR_GIT_LINE(&g, &id, e, "rev-parse", "--verify", "HEAD^{commit}");
	if (!err)
		err = id.len < 72 ? (strcpy(head, id.data), 0) : vcr_error_set(e, VCR_ECORRUPT, "%s: git gives no id", dir);
	vcr_git_release(&g);
	return err;
}

/* ---- Making ---- */

/* Of a linked work tree these are not with the rest. */
static int copy_own(const struct vcr_isolate_git *from, const char *git, struct vcr_error *e)
{
	static const char *const own[] = { "HEAD", "index" };
	int err = 0;
	for (int i = 0; i < 2 && !err && strcmp(from->dir, from->common); i++) {
		VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT;
		vcr_buf_printf(&a, "%s/%s", from->dir, own[i]);
		vcr_buf_printf(&b, "%s/%s", git, own[i]);
		if (!access(a.data, F_OK))
			err = vcr_isolate_copy_file(a.data, b.data, e);
	}
	return err;
}

/* What points to where it was: of a submodule, its work tree. */
static int settle_config(const char *git, struct vcr_error *e)
{
	static const char *const keys[] = { "core.worktree", "extensions.worktreeConfig" };
	VCR_AUTO_BUF file = VCR_BUF_INIT;
	struct vcr_git g = VCR_GIT_INIT;
	int err = 0;
	g.dir = "/"; /* there git goes where they point to */
	vcr_buf_printf(&file, "--file=%s/config", git);
	for (int i = 0; i < 2 && err >= 0; i++)
		err = VCR_GIT(&g, NULL, e, "config", file.data, "--unset-all", keys[i]); /* 5: it was not set */
	vcr_git_release(&g);
	return err < 0 ? err : 0;
}

static int make_git(struct one *o, struct vcr_error *e)
{
	static const char *const top[] = { "objects", "modules", "worktrees", "index.lock", "HEAD.lock", "config.lock", "packed-refs.lock", NULL };
	struct vcr_copytree c = { .top = top, .skipped = VCR_BUF_INIT };
	VCR_AUTO_BUF git = VCR_BUF_INIT, objects = VCR_BUF_INIT;
	struct vcr_isolate_git from;
	struct vcr_git g = VCR_GIT_INIT;
	int err = vcr_isolate_where(o->theirs.data, &from, e);
	vcr_buf_printf(&git, "%s/.git", o->mine.data);
	vcr_buf_printf(&objects, "%s/objects", git.data);
	if (!err && mkdir(git.data, 0700))
		err = vcr_error_sys(e, errno, "%s", git.data);
	if (!err)
		err = vcr_copytree(&c, from.common, git.data, e);
	vcr_buf_release(&c.skipped);
	if (err || (err = copy_own(&from, git.data, e)) || (err = vcr_git_apart(objects.data, from.objects, e)) || (err = settle_config(git.data, e)))
		return err;
	g.dir = o->mine.data;
	int status = VCR_GIT(&g, NULL, e, "update-index", "-q", "--refresh"); /* 1: something is changed */
	vcr_git_release(&g);
	return status < 0 ? status : vcr_git_apart(o->objects.data, objects.data, e);
}

static int make_one(struct one *o, struct vcr_buf *list, struct vcr_error *e)
{
	int err = make_git(o, e);
	if (err || (err = head_of(o->mine.data, o->head, e)) || (err = vcr_isolate_tree_of(o->mine.data, o->index.data, o->objects.data, NULL, o->tree, e)))
		return err;
	vcr_buf_printf(list, "%s %s %s", o->tree, o->head, o->path);
	return vcr_buf_add(list, "", 1);
}

/* Without it these would be merged as if there were none. */
static int write_list(int fd, const char *dir, const struct vcr_buf *list, struct vcr_error *e)
{
	int err = vcr_replace_write(fd, dir, "nested", list, e);
	if (err)
		return err;
	int file = openat(fd, "nested", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (file < 0 || fsync(file) || fsync(fd))
		err = vcr_error_sys(e, errno, "%s/nested", dir);
	if (file >= 0)
		close(file);
	return err;
}

int vcr_isolate_nested_make(const char *state_dir, const struct vcr_txn *t, const struct vcr_buf *taken, struct vcr_error *e)
{
	VCR_AUTO_BUF list = VCR_BUF_INIT, dir = VCR_BUF_INIT;
	unsigned n = 0;
	int err = 0;
	for VCR_EACH_Z(p, *taken) {
		struct one o;
		if (err)
			break;
		open_one(state_dir, t, &o, p, n++);
		err = make_one(&o, &list, e);
		close_one(&o);
	}
	if (err || !list.len)
		return err;
	vcr_isolate_beside(state_dir, t, NULL, &dir);
	int fd = open(dir.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = fd < 0 ? vcr_error_sys(e, errno, "%s", dir.data) : write_list(fd, dir.data, &list, e);
	if (fd >= 0)
		close(fd);
	return err;
}

/* ---- What is to be ---- */

static int read_list(const char *state_dir, const struct vcr_txn *t, struct vcr_buf *list, struct vcr_error *e)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	vcr_isolate_beside(state_dir, t, NULL, &dir);
	int fd = open(dir.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : vcr_error_sys(e, errno, "%s", dir.data);
	int err = vcr_replace_read(fd, dir.data, "nested", list, e);
	if (!err && !list->len && !faccessat(fd, "nested", F_OK, 0))
		err = vcr_error_set(e, VCR_ECORRUPT, "%s/nested is damaged: it does not say any more which repositories are inside the workspace. Take the work from %s, then: vcr-txn abort --session=%s", dir.data, t->dir, t->session);
	close(fd);
	return err;
}

/* All is done. What goes from the tree after this, with the tree, is no change of anybody's. */
static int forget_list(const char *state_dir, const struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	vcr_isolate_beside(state_dir, t, "nested", &path);
	return unlink(path.data) && errno != ENOENT ? vcr_error_sys(e, errno, "%s", path.data) : 0;
}

static bool is_repository(const struct vcr_buf *dir)
{
	VCR_AUTO_BUF git = VCR_BUF_INIT;
	vcr_buf_printf(&git, "%s/.git", dir->data);
	return !git.err && !access(git.data, F_OK);
}

/* Where branches and stashes of the copy are, one "ID NAME" a line. */
static int commits_of(const struct one *o, struct vcr_buf *list, struct vcr_error *e)
{
	struct vcr_git g = VCR_GIT_INIT;
	g.dir = o->mine.data;
	int err = VCR_GIT_MUST(&g, list, e, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/stash");
	if (!err && strstr(list->data, " refs/stash\n"))
		err = VCR_GIT_MUST(&g, list, e, "log", "-g", "--no-show-signature", "--format=%H %gd", "refs/stash", "--");
	vcr_git_release(&g);
	return err;
}

/* Is one of them no object of the user's? */
static int refuse_lost(const struct one *o, struct vcr_error *e)
{
	VCR_AUTO_BUF list = VCR_BUF_INIT, ids = VCR_BUF_INIT, there = VCR_BUF_INIT;
	struct vcr_git g = VCR_GIT_INIT;
	int err = commits_of(o, &list, e);
	for (const char *p = list.data; *p; p += strcspn(p, "\n") + 1)
		vcr_buf_printf(&ids, "%.*s\n", (int)strcspn(p, " "), p);
	g.dir = o->theirs.data;
	if (!err && ids.len)
		err = vcr_git_must(&g, (const char *const[]){ "cat-file", "--batch-check", NULL }, &ids, &there, e);
	vcr_git_release(&g);
	const char *q = there.data;
	for (const char *p = list.data; !err && *p && *q; p += strcspn(p, "\n") + 1, q += strcspn(q, "\n") + 1) {
		int id = (int)strcspn(p, " "), name = (int)strcspn(p, "\n") - id - 1;
		if (!strncmp(q + strcspn(q, " "), " missing\n", 9))
			err = vcr_error_set(e, VCR_EINVAL, "%.300s is a repository of its own, and %.*s in its copy is commit %.12s, which it does not have: only files come back from there. To keep it: "
				"git -C '%s' push '%s' %.*s:refs/heads/kept-%.12s. Or remove it there. Then commit again", o->path, name < 300 ? name : 300, p + id + 1, p, o->mine.data, o->theirs.data, id, p, p);
	}
	return err;
}

/* Only files come back: who made commits there wants them, or does without. */
static int refuse_commits(const struct one *o, struct vcr_error *e)
{
	char head[72];
	int err = head_of(o->mine.data, head, e);
	if (err || !strcmp(head, o->head))
		return err ? err : refuse_lost(o, e);
	return vcr_error_set(e, VCR_EINVAL, "%.300s is a repository of its own, and another commit is checked out in its copy than at the beginning: only files come back from there. To keep its commits: "
		"git -C '%s' fetch '%s' HEAD. Then: git -C '%s' reset --soft %.12s, and commit again", o->path, o->theirs.data, o->mine.data, o->mine.data, o->head);
}

static void tell(struct vcr_isolate_merge *m, const struct one *o, const char *path, size_t n)
{
	vcr_buf_printf(&m->paths, "%s/%.*s\n", o->path, (int)n, path);
	m->nested = true;
}

/* One entry of diff-tree --raw -z. */
struct change { const char *path; bool added, removed, link, linked; };

static const char *next_change(const struct vcr_buf *raw, const char *p, struct change *c)
{
	char from[8], to[8];
	if (p >= raw->data + raw->len || sscanf(p, ":%7s %7s", from, to) != 2)
		return NULL;
	c->path = p + strlen(p) + 1;
	c->added = !strcmp(from, "000000");
	c->removed = !strcmp(to, "000000");
	c->link = !strcmp(from, "160000") || !strcmp(to, "160000"); /* a repository in it, which is another of these */
	c->linked = c->link && strcmp(from, "160000");
	return c->path + strlen(c->path) + 1;
}

static int names_removed(const struct vcr_buf *raw, struct vcr_buf *list, struct vcr_isolate_names *names, struct vcr_error *e)
{
	struct change c;
	for (const char *p = raw->data; (p = next_change(raw, p, &c));)
		if (c.removed && !c.link)
			vcr_buf_add(list, c.path, strlen(c.path) + 1);
	return vcr_isolate_sort_names(names, list, e);
}

/* Will the directory be gone when these are? One that is empty stays. */
static bool goes_with(int root, const struct vcr_buf *path, const struct vcr_isolate_names *removed)
{
	int fd = vcr_beneath_open(root, path->data, O_RDONLY | O_DIRECTORY, 0), n = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	bool goes = d;
	for (struct dirent *ent; goes && (ent = readdir(d));) {
		VCR_AUTO_BUF in = VCR_BUF_INIT;
		struct stat st;
		if (!strcmp(ent->d_name, ".") || !strcmp(ent->d_name, ".."))
			continue;
		n++;
		vcr_buf_printf(&in, "%s/%s", path->data, ent->d_name);
		goes = !in.err && !fstatat(fd, ent->d_name, &st, AT_SYMLINK_NOFOLLOW) && (S_ISDIR(st.st_mode) ? goes_with(root, &in, removed) : vcr_isolate_has_name(removed, in.data));
	}
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	return goes && n;
}

/* Where a file is to be made: something is there, or no directory on the way, that does not go first. */
static bool stands(const struct one *o, int root, const char *path, const struct vcr_isolate_names *removed)
{
	VCR_AUTO_BUF at = VCR_BUF_INIT, full = VCR_BUF_INIT;
	struct stat st;
	for (const char *slash = path; slash; slash++) {
		slash = strchr(slash, '/');
		vcr_buf_reset(&at);
		vcr_buf_reset(&full);
		vcr_buf_add(&at, path, slash ? (size_t)(slash - path) : strlen(path));
		vcr_buf_printf(&full, "%s/%s", o->theirs.data, at.data);
		if (lstat(full.data, &st))
			return false;
		if (!S_ISDIR(st.st_mode))
			return !vcr_isolate_has_name(removed, at.data);
		if (!slash)
			break;
	}
	return !goes_with(root, &at, removed);
}

/* What is to be made where something stands that git does not know: ignored, or no file at all. */
static int refuse_standing(const struct one *o, const struct vcr_buf *raw, struct vcr_isolate_merge *m, struct vcr_error *e)
{
	struct change c;
	int root = open(o->theirs.data, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return vcr_error_sys(e, errno, "%s", o->theirs.data);
	VCR_AUTO_BUF list = VCR_BUF_INIT;
	struct vcr_isolate_names removed = { 0 };
	size_t before = m->paths.len;
	int err = names_removed(raw, &list, &removed, e);
	for (const char *p = raw->data; !err && (p = next_change(raw, p, &c));)
		if (c.added && !c.link && stands(o, root, c.path, &removed))
			tell(m, o, c.path, strlen(c.path));
	free(removed.name);
	close(root);
	return err ? err : m->paths.len > before ? VCR_ISOLATE_UNCOMMITTED : 0;
}

static int diff(const struct one *o, const char *from, const char *to, struct vcr_buf *raw, struct vcr_error *e)
{
	struct vcr_git g = VCR_GIT_INIT;
	g.dir = o->theirs.data;
	g.objects = o->objects.data;
	int err = VCR_GIT_MUST(&g, raw, e, "diff-tree", "-r", "-z", "--raw", "--no-renames", from, to);
	vcr_git_release(&g);
	return err;
}

static int refuse_made(const struct one *o, const char *path, struct vcr_error *e)
{
	return vcr_error_set(e, VCR_EINVAL, "%s/%.200s is a repository of its own: move it elsewhere, or remove its .git, then commit again", o->mine.data, path);
}

static bool is_made(const struct one *o, const char *path)
{
	VCR_AUTO_BUF mine = VCR_BUF_INIT, theirs = VCR_BUF_INIT;
	vcr_buf_printf(&mine, "%s/%s", o->mine.data, path);
	vcr_buf_printf(&theirs, "%s/%s", o->theirs.data, path);
	return is_repository(&mine) && !is_repository(&theirs);
}

/* A repository that was made in it would be lost with the tree, and git tells of it as a link, or not at all where it knows files beneath. */
static int refuse_new(const struct one *o, const char *last, struct vcr_error *e)
{
	VCR_AUTO_BUF raw = VCR_BUF_INIT, dirs = VCR_BUF_INIT;
	struct vcr_git g = VCR_GIT_INIT;
	struct change c;
	int err = diff(o, o->tree, last, &raw, e);
	for (const char *p = raw.data; !err && (p = next_change(&raw, p, &c));)
		if (c.linked)
			err = refuse_made(o, c.path, e);
	g.dir = o->theirs.data;
	g.objects = o->objects.data;
	if (!err)
		err = VCR_GIT_MUST(&g, &dirs, e, "ls-tree", "-r", "-d", "-z", "--name-only", last);
	vcr_git_release(&g);
	for VCR_EACH_Z(p, dirs)
		if (!err && is_made(o, p))
			err = refuse_made(o, p, e);
	return err;
}

/* o->now and o->result, and raw: what is to be changed. */
static int find_result(struct one *o, struct vcr_buf *raw, struct vcr_isolate_merge *m, struct vcr_error *e)
{
	VCR_AUTO_BUF conflicts = VCR_BUF_INIT;
	struct vcr_git g = VCR_GIT_INIT;
	char last[72];
	if (!is_repository(&o->mine)) { /* gone with its files: those of the user are not */
		vcr_buf_printf(&m->notes, "%s, a repository of its own, is gone in the tree, and stays in the workspace\n", o->path);
		return 0;
	}
	int err = refuse_commits(o, e);
	if (err || (err = vcr_isolate_tree_of(o->mine.data, o->index.data, o->objects.data, o->tree, last, e)))
		return err;
	if (!is_repository(&o->theirs))
		return !strcmp(last, o->tree) ? 0 : vcr_error_set(e, VCR_ENOTFOUND, "%s is no repository any more, and there are changes of it in %s: take them from there", o->theirs.data, o->mine.data);
	if ((err = refuse_new(o, last, e)) || !strcmp(last, o->tree) || (err = vcr_isolate_tree_of(o->theirs.data, o->index.data, o->objects.data, o->tree, o->now, e)))
		return err;
	g.dir = o->theirs.data;
	g.objects = o->objects.data;
	err = vcr_isolate_merge_trees(&g, o->tree, o->now, last, o->result, &conflicts, e);
	vcr_git_release(&g);
	for (const char *p = conflicts.data; *p; p += strcspn(p, "\n") + 1)
		tell(m, o, p, strcspn(p, "\n"));
	if (err || (err = diff(o, o->now, o->result, raw, e)))
		return err;
	return refuse_standing(o, raw, m, e);
}

/* ---- Writing it ---- */

/* On the file system of the repository, since files are renamed from there. */
static int make_stage(const struct one *o, const struct vcr_txn *t, struct vcr_buf *stage, struct vcr_error *e)
{
	struct stat there, st;
	if (stat(o->theirs.data, &there))
		return vcr_error_sys(e, errno, "%s", o->theirs.data);
	vcr_buf_printf(stage, "%s.stage", o->objects.data);
	if (stat(o->objects.data, &st) || st.st_dev != there.st_dev) {
		vcr_buf_reset(stage);
		vcr_buf_printf(stage, "%s/.vcr-%s", o->theirs.data, t->session);
	}
	int err = vcr_copytree_remove(stage->data, e); /* of one that was killed */
	return err ? err : mkdir(stage->data, 0700) ? vcr_error_sys(e, errno, "%s", stage->data) : 0;
}

/* What is to be written, as a checkout writes it. */
static int fill_stage(const struct one *o, const struct vcr_buf *raw, const char *stage, struct vcr_error *e)
{
	VCR_AUTO_BUF names = VCR_BUF_INIT, prefix = VCR_BUF_INIT;
	struct vcr_git g = VCR_GIT_INIT;
	struct change c;
	for (const char *p = raw->data; (p = next_change(raw, p, &c));)
		if (!c.removed && !c.link)
			vcr_buf_add(&names, c.path, strlen(c.path) + 1);
	if (!names.len)
		return 0;
	vcr_buf_printf(&prefix, "--prefix=%s/", stage);
	g.dir = o->theirs.data;
	g.objects = o->objects.data;
	g.index = o->index.data;
	int err = VCR_GIT_MUST(&g, NULL, e, "read-tree", o->result);
	if (!err)
		err = vcr_git_must(&g, (const char *const[]){ "checkout-index", "-q", prefix.data, "-z", "--stdin", NULL }, &names, NULL, e);
	vcr_git_release(&g);
	return err;
}

/* Up from what is gone. */
static void remove_empty(int root, const char *path)
{
	VCR_AUTO_BUF at = VCR_BUF_INIT;
	vcr_buf_puts(&at, path);
	for (char *slash; !at.err && (slash = strrchr(at.data, '/'));) {
		const char *name;
		vcr_buf_cut(&at, (size_t)(slash - at.data));
		int dir = vcr_beneath_parent(root, at.data, &name), gone = dir < 0 ? -1 : unlinkat(dir, name, AT_REMOVEDIR);
		if (dir >= 0)
			close(dir);
		if (gone)
			return;
	}
}

static int make_dirs(int root, const char *path)
{
	VCR_AUTO_BUF at = VCR_BUF_INIT;
	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		const char *name;
		vcr_buf_reset(&at);
		vcr_buf_add(&at, path, (size_t)(slash - path));
		int dir = vcr_beneath_parent(root, at.data, &name), made = dir < 0 ? -1 : mkdirat(dir, name, 0777);
		int saved = errno;
		if (dir >= 0)
			close(dir);
		errno = saved;
		if (made && errno != EEXIST)
			return -1;
	}
	return 0;
}

/* ---- What the user does meanwhile ---- */

static void look(int root, const char *path, struct stat *st)
{
	const char *name;
	int dir = vcr_beneath_parent(root, path, &name);
	if (dir < 0 || fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW))
		*st = (struct stat){ 0 };
	if (dir >= 0)
		close(dir);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int edited(struct vcr_isolate_merge *m, const struct one *o, const char *path)
{
	tell(m, o, path, strlen(path));
	m->edited = true;
	return VCR_ISOLATE_UNCOMMITTED;
}

static int see_all(struct one *o, int root, const struct vcr_buf *raw, struct vcr_error *e)
{
	struct change c;
	size_t n = 0;
	for (const char *p = raw->data; (p = next_change(raw, p, &c));)
		n++;
	if (!(o->seen = calloc(n + 1, sizeof *o->seen)))
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	n = 0;
	for (const char *p = raw->data; (p = next_change(raw, p, &c));)
		look(root, c.path, &o->seen[n++]);
	return 0;
}

/* What was seen of them is what was merged: none has changed since o->now. */
static int check_now(const struct one *o, const struct vcr_buf *raw, struct vcr_isolate_merge *m, struct vcr_error *e)
{
	VCR_AUTO_BUF since = VCR_BUF_INIT, list = VCR_BUF_INIT;
	struct vcr_isolate_names names = { 0 };
	struct change c;
	char now[72];
	int err = vcr_isolate_tree_of(o->theirs.data, o->index.data, o->objects.data, o->tree, now, e);
	if (err || !strcmp(now, o->now) || (err = diff(o, o->now, now, &since, e)))
		return err;
	for (const char *p = since.data; (p = next_change(&since, p, &c));)
		vcr_buf_add(&list, c.path, strlen(c.path) + 1);
	err = vcr_isolate_sort_names(&names, &list, e);
	for (const char *p = raw->data; err >= 0 && (p = next_change(raw, p, &c));)
		if (vcr_isolate_has_name(&names, c.path))
			err = edited(m, o, c.path);
	free(names.name);
	return err;
}

/* A file that is replaced keeps its mode, but for what git knows of it. */
static void keep_mode(int dir, const char *name, const char *from)
{
	struct stat old, new;
	if (!fstatat(dir, name, &old, AT_SYMLINK_NOFOLLOW) && !lstat(from, &new) && S_ISREG(old.st_mode) && S_ISREG(new.st_mode) && !((old.st_mode ^ new.st_mode) & 0100))
		chmod(from, old.st_mode & 0777);
}

/* Nothing is there; a file system that cannot promise it is asked before. */
static int rename_new(const char *from, int dir, const char *name)
{
	struct stat st;
	if (!renameat2(AT_FDCWD, from, dir, name, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) ? renameat(AT_FDCWD, from, dir, name) : (errno = EEXIST, -1);
}

static int place(const struct one *o, int root, const char *stage, const struct change *c, const struct stat *seen, struct vcr_isolate_merge *m, struct vcr_error *e)
{
	VCR_AUTO_BUF from = VCR_BUF_INIT;
	const char *name;
	if (!c->removed && make_dirs(root, c->path))
		return vcr_error_sys(e, errno, "%s/%s", o->theirs.data, c->path);
	int dir = vcr_beneath_parent(root, c->path, &name), err = 0;
	vcr_buf_printf(&from, "%s/%s", stage, c->path);
	if (dir < 0)
		return c->removed && errno == ENOENT ? 0 : vcr_error_sys(e, errno, "%s/%s", o->theirs.data, c->path);
	if (!c->removed)
		keep_mode(dir, name, from.data);
	struct stat st = { 0 };
	if (!c->added && (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) || !is_same(&st, seen)))
		err = edited(m, o, c->path);
	else if (c->removed ? unlinkat(dir, name, 0) && errno != ENOENT : c->added ? rename_new(from.data, dir, name) : renameat(AT_FDCWD, from.data, dir, name))
		err = c->added && errno == EEXIST ? edited(m, o, c->path) : vcr_error_sys(e, errno, "%s/%s", o->theirs.data, c->path);
	close(dir);
	if (!err && c->removed)
		remove_empty(root, c->path);
	return err;
}

/* A name leads to what has been written. */
static int flush_stage(const struct vcr_buf *raw, const char *stage, struct vcr_error *e)
{
	struct change c;
	int fd = open(stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC), bad = fd < 0;
	if (!bad && !vcr_flush_in_order(fd))
		bad = syncfs(fd);
	else
		for (int wait = 0; wait < 2; wait++)
			for (const char *p = raw->data; !bad && (p = next_change(raw, p, &c));)
				bad = !c.removed && !c.link && vcr_flush_file(fd, c.path, wait);
	int saved = errno;
	if (fd >= 0)
		close(fd);
	return bad ? vcr_error_sys(e, saved, "%s", stage) : 0;
}

/* What goes first: a directory may have to be where a file was. */
static int place_all(struct one *o, const struct vcr_buf *raw, const char *stage, struct vcr_isolate_merge *m, struct vcr_error *e)
{
	struct change c;
	int err = 0, root = open(o->theirs.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return vcr_error_sys(e, errno, "%s", o->theirs.data);
	if (!(err = see_all(o, root, raw, e)))
		err = check_now(o, raw, m, e);
	for (int turn = 0; turn < 2; turn++) {
		const struct stat *seen = o->seen;
		for (const char *p = raw->data; !err && (p = next_change(raw, p, &c)); seen++)
			if (!c.link && c.removed == !turn && !(err = place(o, root, stage, &c, seen, m, e)))
				m->inside++;
	}
	if (!err && syncfs(root)) /* before the list goes, from which this could be done again */
		err = vcr_error_sys(e, errno, "%s", o->theirs.data);
	close(root);
	return err;
}

static int write_one(struct one *o, const struct vcr_txn *t, const struct vcr_buf *raw, struct vcr_isolate_merge *m, struct vcr_error *e)
{
	VCR_AUTO_BUF stage = VCR_BUF_INIT;
	if (!raw->len)
		return 0;
	int err = make_stage(o, t, &stage, e);
	if (!err && !(err = fill_stage(o, raw, stage.data, e)) && !(err = flush_stage(raw, stage.data, e)))
		err = place_all(o, raw, stage.data, m, e);
	int gone = vcr_copytree_remove(stage.data, err ? NULL : e);
	return err ? err : gone;
}

/* ---- All of them ---- */

static bool read_one(struct one *o, const char *entry)
{
	return sscanf(entry, "%71s %71s", o->tree, o->head) == 2;
}

static const char *path_of(const char *entry)
{
	const char *p = strchr(entry, ' ');
	p = p ? strchr(p + 1, ' ') : NULL;
	return p ? p + 1 : "";
}

static int64_t count_one(struct one *o)
{
	VCR_AUTO_BUF raw = VCR_BUF_INIT;
	struct change c;
	int64_t n = 0;
	if (!is_repository(&o->mine))
		return 0;
	if (vcr_isolate_tree_of(o->mine.data, o->index.data, o->objects.data, o->tree, o->now, NULL) || diff(o, o->tree, o->now, &raw, NULL))
		return -1;
	for (const char *p = raw.data; (p = next_change(&raw, p, &c));)
		n += !c.link;
	return n;
}

int64_t vcr_isolate_nested_count(const char *state_dir, const struct vcr_txn *t)
{
	VCR_AUTO_BUF list = VCR_BUF_INIT;
	unsigned n = 0;
	int64_t all = read_list(state_dir, t, &list, NULL) ? -1 : 0;
	for VCR_EACH_Z(p, list) {
		struct one o;
		open_one(state_dir, t, &o, path_of(p), n++);
		int64_t some = read_one(&o, p) ? count_one(&o) : -1;
		all = all < 0 || some < 0 ? -1 : all + some;
		close_one(&o);
	}
	return all;
}

int vcr_isolate_nested_merge(const char *state_dir, const struct vcr_txn *t, bool apply, struct vcr_isolate_merge *m, struct vcr_error *e)
{
	VCR_AUTO_BUF list = VCR_BUF_INIT;
	unsigned n = 0;
	int err = read_list(state_dir, t, &list, e), worst = 0;
	vcr_buf_reset(&m->notes);
	for VCR_EACH_Z(p, list) {
		VCR_AUTO_BUF raw = VCR_BUF_INIT;
		struct one o;
		if (err < 0)
			break;
		open_one(state_dir, t, &o, path_of(p), n++);
		err = !vcr_beneath_valid(o.path) || !read_one(&o, p) ? vcr_error_set(e, VCR_ECORRUPT, "what was noted of %s is damaged", o.mine.data) : find_result(&o, &raw, m, e);
		m->waits |= !err && raw.len;
		if (!err && apply)
			err = write_one(&o, t, &raw, m, e);
		worst = err > 0 && !worst ? err : worst;
		close_one(&o);
	}
	err = err < 0 ? err : worst;
	return !err && apply && list.len ? forget_list(state_dir, t, e) : err;
}
