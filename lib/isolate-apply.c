/* isolate-apply.c — the branch, and the work tree in which it is checked out, go from one commit to another.
 *
 * 1. STATE/txn/SESSION says from where to where.                    Killed before: nothing has happened.
 * 2. GITDIR/index.lock is made, as a second name of GITDIR/vcr-SESSION.lock: by that it is known to be ours after a crash.
 * 3. A copy of the index, GITDIR/vcr-SESSION.index: what the user changed is found with it, and refused.
 * 4. git read-tree -m -u changes files and that copy; what differs only in the user's work tree or index stays.
 * 5. The copy is renamed to GITDIR/index; the branch moves; the lock goes.
 * Begun again after a kill: what is already as it shall be is entered in the copy of the index first, so that git passes over it. */
#include "isolate-parts.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_TRIES = 200, LOCK_PAUSE_MS = 50, CHUNK = 24 };

struct applying {
	struct vcr_txn *t;
	struct vcr_isolate_merge *m;
	struct vcr_isolate_git w;
	struct vcr_git g, in;               /* with the copy of the index, and with none */
	struct vcr_buf lock, ours, index;   /* paths */
	struct vcr_buf assumed, skipped;    /* files that git is told not to look at, as the index had it; each with a NUL */
	struct vcr_buf change;              /* diff-tree --raw -z from `from` to `to` */
	bool again, untouched;              /* untouched: no file has been changed */
	int64_t done;                       /* paths that are as they shall be already */
	struct vcr_error *e;
};

/* ---- The index ---- */

static bool lock_is_ours(const struct applying *k)
{
	struct stat a, b;
	return !stat(k->lock.data, &a) && !stat(k->ours.data, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int lock_index(struct applying *k)
{
	int fd = open(k->ours.data, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return vcr_error_sys(k->e, errno, "%s", k->ours.data);
	close(fd);
	for (int i = 0; link(k->ours.data, k->lock.data) && !lock_is_ours(k); i++) {
		int sys = errno;
		if (sys != EEXIST || i == LOCK_TRIES) {
			unlink(k->ours.data);
			return sys != EEXIST ? vcr_error_sys(k->e, sys, "%s", k->lock.data) : vcr_error_set(k->e, VCR_EBUSY, "%s is there: a git is at work in %s, or one died; nothing was changed",
				k->lock.data, k->t->workspace);
		}
		nanosleep(&(struct timespec){ 0, LOCK_PAUSE_MS * 1000000 }, NULL);
	}
	return 0;
}

static void unlock_index(struct applying *k)
{
	VCR_AUTO_BUF stale = VCR_BUF_INIT;
	vcr_buf_printf(&stale, "%s.lock", k->index.data);
	unlink(stale.data);
	unlink(k->index.data);
	if (lock_is_ours(k))
		unlink(k->lock.data);
	unlink(k->ours.data);
}

static int copy_index(struct applying *k)
{
	VCR_AUTO_BUF stale = VCR_BUF_INIT;
	vcr_buf_printf(&stale, "%s.lock", k->index.data);
	unlink(stale.data);
	int err = access(k->w.index, F_OK) ? VCR_GIT_MUST(&k->g, NULL, k->e, "read-tree", "--empty") : vcr_isolate_copy_file(k->w.index, k->index.data, k->e);
	vcr_buf_reset(&k->assumed);
	vcr_buf_reset(&k->skipped);
	if (!err)
		err = vcr_isolate_unflag(&k->g, &k->assumed, &k->skipped, k->e);
	int status = err ? err : VCR_GIT(&k->g, NULL, k->e, "update-index", "-q", "--refresh");
	return status < 0 ? status : 0;
}

/* ---- What the user has changed ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int vcr_isolate_sort_names(struct vcr_isolate_names *s, const struct vcr_buf *text, struct vcr_error *e)
{
	size_t n = 0;
	for VCR_EACH_Z(p, *text)
		n++;
	s->n = 0;
	s->name = calloc(n + 1, sizeof *s->name);
	if (!s->name)
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	for VCR_EACH_Z(p, *text)
		s->name[s->n++] = p;
	qsort(s->name, s->n, sizeof *s->name, by_name);
	return 0;
}

bool vcr_isolate_has_name(const struct vcr_isolate_names *s, const char *name)
{
	return s->n && bsearch(&name, s->name, s->n, sizeof *s->name, by_name);
}

/* One entry of diff-tree --raw -z: ":OLDMODE NEWMODE OLD NEW S" and a path. */
struct change { const char *path; char mode[8], old[72], new[72]; bool added, removed; };

static const char *next_change(const struct vcr_buf *raw, const char *p, struct change *c)
{
	char from[8];
	if (p >= raw->data + raw->len || sscanf(p, ":%7s %7s %71s %71s", from, c->mode, c->old, c->new) != 4)
		return NULL;
	c->path = p + strlen(p) + 1;
	c->added = !strcmp(from, "000000");
	c->removed = !strcmp(c->mode, "000000");
	return c->path + strlen(c->path) + 1;
}

static void tell(struct applying *k, const char *path)
{
	vcr_buf_printf(&k->m->paths, "%s\n", path);
}

/* What stands at path, or at a directory on its way, though it is to be made: relative, into at. False: nothing. */
static bool stands(const struct applying *k, const char *path, char at[PATH_MAX])
{
	char full[PATH_MAX * 2];
	struct stat st;
	for (size_t n = strcspn(path, "/");; n += 1 + strcspn(path + n + 1, "/")) {
		if ((size_t)snprintf(full, sizeof full, "%s/%.*s", k->t->workspace, (int)n, path) >= sizeof full || n >= PATH_MAX || lstat(full, &st))
			return false;
		if (!path[n] || !S_ISDIR(st.st_mode)) {
			snprintf(at, PATH_MAX, "%.*s", (int)n, path);
			return true;
		}
	}
}

/* Of these paths, those that git does not track, ignored ones too. */
static int tell_untracked(struct applying *k, const char *const *path, size_t n)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	const char *argv[CHUNK + 8] = { "ls-files", "-o", "-z", "--" };
	if (!n)
		return 0;
	memcpy(argv + 4, path, n * sizeof *path);
	int err = vcr_git_must(&k->g, argv, NULL, &out, k->e);
	for VCR_EACH_Z(p, out)
		tell(k, p);
	return err;
}

static int find_untracked(struct applying *k)
{
	char at[CHUNK][PATH_MAX];
	const char *list[CHUNK];
	struct change c;
	size_t n = 0;
	int err = 0;
	for (const char *p = k->change.data; !err && (p = next_change(&k->change, p, &c));) {
		if (!c.added || !stands(k, c.path, at[n]))
			continue;
		list[n] = at[n];
		if (++n == CHUNK) {
			err = tell_untracked(k, list, n);
			n = 0;
		}
	}
	return err ? err : tell_untracked(k, list, n);
}

/* Paths of the change in which the work tree or the index differs from what it goes away from. */
static int find_uncommitted(struct applying *k)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_isolate_names dirty = { 0 };
	struct change c;
	int err = VCR_GIT_MUST(&k->g, &text, k->e, "diff-index", "-z", "--name-only", "--no-renames", k->t->from);
	if (!err)
		err = VCR_GIT_MUST(&k->g, &text, k->e, "diff-index", "-z", "--name-only", "--no-renames", "--cached", k->t->from);
	if (!err)
		err = vcr_isolate_sort_names(&dirty, &text, k->e);
	for (const char *p = k->change.data; !err && (p = next_change(&k->change, p, &c));)
		if (vcr_isolate_has_name(&dirty, c.path))
			tell(k, c.path);
	free(dirty.name);
	err = err ? err : find_untracked(k);
	return err ? err : k->m->paths.len ? VCR_ISOLATE_UNCOMMITTED : 0;
}

/* ---- After a kill ---- */

static void quote(struct vcr_buf *out, const char *path)
{
	vcr_buf_putc(out, '"');
	for (const char *p = path; *p; p++)
		vcr_buf_printf(out, (unsigned char)*p < 0x20 || *p == '"' || *p == '\\' || (unsigned char)*p >= 0x7f ? "\\%03o" : "%c", (unsigned char)*p);
	vcr_buf_puts(out, "\"\n");
}

static int hash(struct applying *k, const char *how, const struct vcr_buf *in, struct vcr_buf *out)
{
	return vcr_git_must(&k->in, (const char *const[]){ "hash-object", how, NULL }, in, out, k->e);
}

/* What is at a path, as git would store it; id "" nothing, "-" something that is no file or link, "+" it is on git's list of files. */
struct now { char id[72]; const char *mode; };

static int look_at(struct applying *k, const char *path, struct vcr_buf *list, struct now *now)
{
	VCR_AUTO_BUF full = VCR_BUF_INIT, in = VCR_BUF_INIT, out = VCR_BUF_INIT;
	struct stat st;
	char target[PATH_MAX];
	*now = (struct now){ .mode = "" };
	vcr_buf_printf(&full, "%s/%s", k->t->workspace, path);
	if (lstat(full.data, &st))
		return 0;
	now->mode = S_ISLNK(st.st_mode) ? "120000" : st.st_mode & 0100 ? "100755" : "100644";
	strcpy(now->id, S_ISREG(st.st_mode) ? "+" : "-");
	if (S_ISREG(st.st_mode))
		quote(list, path);
	if (!S_ISLNK(st.st_mode))
		return 0;
	ssize_t n = readlink(full.data, target, sizeof target);
	if (n > 0)
		vcr_buf_add(&in, target, (size_t)n);
	int err = hash(k, "--stdin", &in, &out);
	if (!err)
		snprintf(now->id, sizeof now->id, "%.*s", (int)strcspn(out.data, "\n"), out.data);
	return err;
}

/* Of each path of the change, in its order: all files by one git. */
static int look_at_all(struct applying *k, struct now **all)
{
	VCR_AUTO_BUF list = VCR_BUF_INIT, ids = VCR_BUF_INIT;
	struct change c;
	size_t n = 0;
	int err = 0;
	for (const char *p = k->change.data; (p = next_change(&k->change, p, &c)); n++)
		;
	if (!(*all = calloc(n + 1, sizeof **all)))
		return vcr_error_set(k->e, VCR_ENOMEM, "out of memory");
	n = 0;
	for (const char *p = k->change.data; !err && (p = next_change(&k->change, p, &c)); n++)
		err = look_at(k, c.path, &list, &(*all)[n]);
	if (!err && list.err)
		err = vcr_error_set(k->e, list.err, "what was changed: %s", vcr_strerror(list.err));
	if (!err && list.len)
		err = hash(k, "--stdin-paths", &list, &ids);
	const char *id = ids.data;
	for (size_t i = 0; !err && i < n; i++) {
		if (strcmp((*all)[i].id, "+"))
			continue;
		size_t length = strcspn(id, "\n");
		if (!length)
			err = vcr_error_set(k->e, VCR_EIO, "git hash-object: fewer answers than files");
		snprintf((*all)[i].id, sizeof (*all)[i].id, "%.*s", (int)length, id);
		id += length + (id[length] == '\n');
	}
	return err;
}

/* git, killed while it wrote: the file is the beginning of what it shall be. It is taken away, for git to write it again. */
static int drop_partial(struct applying *k, const struct change *c, bool *dropped)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT, whole = VCR_BUF_INIT, full = VCR_BUF_INIT;
	struct stat st;
	char step[1 << 15];
	size_t at = 0;
	ssize_t n;
	*dropped = false;
	vcr_buf_printf(&name, "%s:%s", k->t->to, c->path);
	vcr_buf_printf(&full, "%s/%s", k->t->workspace, c->path);
	int err = VCR_GIT_MUST(&k->in, &whole, k->e, "cat-file", "--filters", name.data);
	int fd = err ? -1 : open(full.data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err;
	bool begins = !fstat(fd, &st) && S_ISREG(st.st_mode) && (size_t)st.st_size < whole.len;
	while (begins && (n = read(fd, step, sizeof step)) > 0) {
		begins = at + (size_t)n <= whole.len && !memcmp(whole.data + at, step, (size_t)n);
		at += (size_t)n;
	}
	close(fd);
	*dropped = begins && !unlink(full.data);
	return 0;
}

/* What was begun: paths that are as they shall be are entered in the index as such, and git passes over them. */
static int enter_done(struct applying *k)
{
	VCR_AUTO_BUF info = VCR_BUF_INIT;
	struct change c;
	struct now *all = NULL, *now;
	char none[72] = "";
	int err = look_at_all(k, &all);
	now = all;
	for (const char *p = k->change.data; !err && (p = next_change(&k->change, p, &c)); now++) {
		if (!c.removed && !strcmp(now->id, c.new) && !strcmp(now->mode, c.mode))
			vcr_buf_printf(&info, "%s %s\t%s", c.mode, c.new, c.path);
		else if (c.removed && !*now->id)
			vcr_buf_printf(&info, "0 %s\t%s", (char *)memset(none, '0', strlen(c.old)), c.path); /* none: NUL at its end, it is longer */
		else {
			bool other = *now->id && strcmp(now->id, "-") && strcmp(now->id, c.old) && strcmp(now->id, c.new), dropped = false;
			if (other && !c.removed)
				err = drop_partial(k, &c, &dropped);
			if (other && !dropped)
				tell(k, c.path);
			continue;
		}
		vcr_buf_add(&info, "", 1);
		k->done++;
	}
	free(all);
	if (!err && k->done && !(err = vcr_git_must(&k->g, (const char *const[]){ "update-index", "-z", "--index-info", NULL }, &info, NULL, k->e))) {
		int status = VCR_GIT(&k->g, NULL, k->e, "update-index", "-q", "--refresh");
		err = status < 0 ? status : 0;
	}
	k->untouched = !k->done;
	return err ? err : k->m->paths.len ? VCR_ISOLATE_UNCOMMITTED : 0;
}

/* ---- Doing it ---- */

/* Where the branch is: "" it is no more. */
static int where_is(struct applying *k, char id[72])
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	int status = VCR_GIT(&k->in, &out, k->e, "rev-parse", "-q", "--verify", *k->t->into ? k->t->into : "HEAD");
	snprintf(id, 72, "%.*s", status ? 0 : (int)strcspn(out.data, "\n"), out.data);
	return status < 0 ? status : 0;
}

static int move_branch(struct applying *k)
{
	VCR_AUTO_BUF note = VCR_BUF_INIT;
	char at[72];
	int err = where_is(k, at);
	if (err || !strcmp(at, k->t->to))
		return err;
	vcr_buf_printf(&note, "vcr: session %s", k->t->session);
	/* by HEAD, whose log is the one that people read, if it is that branch */
	return VCR_GIT_MUST(&k->in, NULL, k->e, "update-ref", "-m", note.data, k->m->aside ? k->t->into : "HEAD", k->t->to, k->t->from);
}

/* git left off in its midst: a directory that cannot be written, a full disk. All that has been changed was as in `from` before (find_uncommitted), and is so
 * again; the index has not been touched. */
static int take_back(struct applying *k)
{
	VCR_AUTO_BUF paths = VCR_BUF_INIT, differ = VCR_BUF_INIT;
	struct vcr_isolate_names names = { 0 };
	struct change c;
	int err = copy_index(k);
	if (err || (err = enter_done(k)) || (err = VCR_GIT_MUST(&k->g, NULL, k->e, "read-tree", "-m", "-u", k->t->to, k->t->from)))
		return err;
	for (const char *p = k->change.data; (p = next_change(&k->change, p, &c));)
		if (!c.added)
			vcr_buf_add(&paths, c.path, strlen(c.path) + 1);
	vcr_git_run(&k->g, (const char *const[]){ "checkout-index", "-q", "-u", "-z", "--stdin", NULL }, &paths, NULL, k->e); /* which are missing */
	VCR_GIT(&k->g, NULL, k->e, "update-index", "-q", "--refresh");
	if ((err = VCR_GIT_MUST(&k->g, &differ, k->e, "diff-files", "-z", "--name-only")) || (err = vcr_isolate_sort_names(&names, &differ, k->e)))
		return err;
	for (const char *p = k->change.data; !err && (p = next_change(&k->change, p, &c));)
		if (!c.added && vcr_isolate_has_name(&names, c.path))
			err = VCR_EIO;
	free(names.name);
	return err;
}

/* Of those that are still in it. */
static int flag_again(struct applying *k)
{
	const struct { const char *how; const struct vcr_buf *list; } all[] = { { "--assume-unchanged", &k->assumed }, { "--skip-worktree", &k->skipped } };
	VCR_AUTO_BUF there = VCR_BUF_INIT;
	struct vcr_isolate_names names = { 0 };
	int err = !k->assumed.len && !k->skipped.len ? 0 : VCR_GIT_MUST(&k->g, &there, k->e, "ls-files", "-z");
	if (err || !there.len || (err = vcr_isolate_sort_names(&names, &there, k->e)))
		return err;
	for (int i = 0; i < 2 && !err; i++) {
		VCR_AUTO_BUF list = VCR_BUF_INIT;
		for VCR_EACH_Z(p, *all[i].list)
			if (vcr_isolate_has_name(&names, p))
				vcr_buf_add(&list, p, strlen(p) + 1);
		if (list.len)
			err = vcr_git_must(&k->g, (const char *const[]){ "update-index", all[i].how, "-z", "--stdin", NULL }, &list, NULL, k->e);
	}
	free(names.name);
	return err;
}

static int change_files(struct applying *k)
{
	struct vcr_error *e = k->e, other = { 0 };
	int err = copy_index(k);
	if (err || (err = k->again ? enter_done(k) : find_uncommitted(k)) || (err = VCR_GIT_MUST(&k->g, NULL, k->e, "read-tree", "-n", "-m", "-u", k->t->from, k->t->to)))
		return err;
	k->untouched = false;
	err = VCR_GIT_MUST(&k->g, NULL, k->e, "read-tree", "-m", "-u", k->t->from, k->t->to);
	if (!err)
		err = flag_again(k);
	if (!err && rename(k->index.data, k->w.index))
		err = vcr_error_sys(k->e, errno, "%s", k->w.index);
	if (err) {
		k->e = &other;
		k->untouched = !take_back(k); /* else it is as after a kill */
		vcr_buf_reset(&k->m->paths);
		k->e = e;
	}
	return err;
}

/* Is the branch checked out in the workspace, elsewhere (refused), or nowhere? */
static int find_place(struct applying *k)
{
	VCR_AUTO_BUF head = VCR_BUF_INIT, all = VCR_BUF_INIT, line = VCR_BUF_INIT;
	const char *path = "";
	int status = VCR_GIT(&k->in, &head, k->e, "symbolic-ref", "-q", "HEAD");
	vcr_buf_cut(&head, strcspn(head.data, "\n"));
	k->m->aside = false;
	if (status < 0 || !strcmp(head.data, k->t->into))
		return status < 0 ? status : 0;
	k->m->aside = true;
	int err = VCR_GIT_MUST(&k->in, &all, k->e, "worktree", "list", "--porcelain", "-z");
	vcr_buf_printf(&line, "branch %s", k->t->into);
	for VCR_EACH_Z(p, all) {
		if (!strncmp(p, "worktree ", 9))
			path = p + 9;
		if (!err && !strcmp(p, line.data))
			err = vcr_error_set(k->e, VCR_EINVAL, "%s is checked out in %.300s now: check something else out there, or it here, then commit again", k->t->into, path);
	}
	return err;
}

static int prepare(struct applying *k)
{
	k->in.dir = k->g.dir = k->t->workspace;
	int err = vcr_isolate_where(k->t->workspace, &k->w, k->e);
	if (err || (err = find_place(k)))
		return err;
	vcr_buf_printf(&k->lock, "%s.lock", k->w.index);
	vcr_buf_printf(&k->ours, "%s/vcr-%s.lock", k->w.dir, k->t->session);
	vcr_buf_printf(&k->index, "%s/vcr-%s.index", k->w.dir, k->t->session);
	k->g.index = k->index.data;
	return VCR_GIT_MUST(&k->in, &k->change, k->e, "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", k->t->from, k->t->to);
}

/* It was not to be: the transaction is open as before. */
static int forget(const char *state_dir, struct applying *k, int how)
{
	*k->t->from = *k->t->to = 0;
	int err = vcr_txn_save(state_dir, k->t, k->e);
	return err ? err : how;
}

static int run(const char *state_dir, struct applying *k)
{
	char at[72];
	int err = prepare(k);
	if (err)
		return err;
	if (!k->again && (err = vcr_txn_save(state_dir, k->t, k->e)))
		return err;
	if ((err = where_is(k, at)))
		return err;
	if (strcmp(at, k->t->from) && strcmp(at, k->t->to))
		return forget(state_dir, k, vcr_error_set(k->e, VCR_EBUSY, "%s was moved meanwhile; commit again", *k->t->into ? k->t->into : "HEAD"));
	if (k->m->aside || !strcmp(at, k->t->to)) {
		unlock_index(k);
		return move_branch(k);
	}
	if ((err = lock_index(k)))
		return k->again ? err : forget(state_dir, k, err);
	if (!(err = change_files(k)))
		err = move_branch(k);
	unlock_index(k);
	return err && k->untouched ? forget(state_dir, k, err) : err;
}

int vcr_isolate_apply(const char *state_dir, struct vcr_txn *t, bool again, struct vcr_isolate_merge *m, struct vcr_error *e)
{
	struct applying k = { .t = t, .m = m, .g = VCR_GIT_INIT, .in = VCR_GIT_INIT, .lock = VCR_BUF_INIT, .ours = VCR_BUF_INIT, .index = VCR_BUF_INIT, .assumed = VCR_BUF_INIT, .skipped = VCR_BUF_INIT, .change = VCR_BUF_INIT,
		.again = again, .untouched = !again, .e = e };
	int err = run(state_dir, &k);
	vcr_git_release(&k.g);
	vcr_git_release(&k.in);
	vcr_buf_release(&k.lock);
	vcr_buf_release(&k.ours);
	vcr_buf_release(&k.index);
	vcr_buf_release(&k.assumed);
	vcr_buf_release(&k.skipped);
	vcr_buf_release(&k.change);
	return err;
}

int vcr_isolate_resume(const char *state_dir, struct vcr_txn *t, struct vcr_isolate_merge *m, struct vcr_error *e)
{
	if (!strcmp(t->to, VCR_ISOLATE_GOING))
		return 0;
	snprintf(m->commit, sizeof m->commit, "%s", t->to);
	int err = vcr_isolate_apply(state_dir, t, true, m, e);
	return err ? err : vcr_isolate_nested_merge(state_dir, t, true, m, e);
}
