#include "isolate-parts.h"
#include "copytree.h"
#include "paths.h"
#include "replace.h"
#include "sealkey.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_TRIES = 1200, LOCK_PAUSE_MS = 50, MOST_SAID = 4000 };

int vcr_isolate_lock(const char *state_dir, int *out, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	vcr_buf_printf(&path, "%s/merge.lock", state_dir);
	int fd = open(path.data, O_RDWR | O_CREAT | O_NOFOLLOW, 0600); /* git inherits it: one that outlives us is waited for */
	if (fd < 0)
		return vcr_error_sys(e, errno, "%s", path.data);
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB); i++) {
		if (i == LOCK_TRIES || errno != EWOULDBLOCK) {
			close(fd);
			return vcr_error_set(e, VCR_EBUSY, "another transaction of this workspace is being merged; try again");
		}
		nanosleep(&(struct timespec){ 0, LOCK_PAUSE_MS * 1000000 }, NULL);
	}
	*out = fd;
	return 0;
}

static void beside(const char *state_dir, const char *session, const char *name, struct vcr_buf *out)
{
	vcr_buf_printf(out, "%s/trees/.%s%s%s", state_dir, session, name ? "/" : "", name ? name : "");
}

int vcr_isolate_beside(const char *state_dir, const struct vcr_txn *t, const char *name, struct vcr_buf *out)
{
	beside(state_dir, t->session, name, out);
	return out->err;
}

void vcr_isolate_branch(const struct vcr_txn *t, struct vcr_buf *out)
{
	vcr_buf_puts(out, "refs/heads/vcr/");
	for (const char *p = t->session; *p; p++)
		vcr_buf_printf(out, *p == ' ' || (*p == '.' && (p[1] == '.' || !strcmp(p, ".lock"))) ? "%%%02x" : "%c", (unsigned char)*p);
}

int vcr_isolate_where(const char *worktree, struct vcr_isolate_git *out, struct vcr_error *e)
{
	struct vcr_git g = VCR_GIT_INIT;
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	char *const to[] = { out->dir, out->common, out->objects, out->index };
	g.dir = worktree;
	int err = VCR_GIT_MUST(&g, &text, e, "rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir", "--git-path", "objects", "--git-path", "index");
	const char *p = text.data;
	for (int i = 0; i < 4 && !err; i++) {
		size_t n = strcspn(p, "\n");
		if (!n || n >= sizeof out->dir)
			err = vcr_error_set(e, VCR_EINVAL, "%s: git does not say where its repository is", worktree);
		else
			snprintf(to[i], sizeof out->dir, "%.*s", (int)n, p);
		p += n + (p[n] == '\n');
	}
	vcr_git_release(&g);
	return err;
}

/* ---- What it is made from ---- */

/* Nothing unmerged. */
static int check_index(struct vcr_git *g, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	int err = VCR_GIT_MUST(g, &text, e, "ls-files", "-s", "-z");
	for VCR_EACH_Z(p, text) {
		const char *name = strchr(p, '\t'), *stage = name ? name - 1 : "0";
		if (!err && *stage != '0')
			err = vcr_error_set(e, VCR_EINVAL, "%.300s is unmerged: finish that merge, or give it up, before --isolate", name ? name + 1 : "?");
	}
	return err;
}

static int take_line(struct vcr_buf *text, char *to, size_t cap, struct vcr_error *e)
{
	return (size_t)snprintf(to, cap, "%s", text->data) < cap ? 0 : vcr_error_set(e, VCR_ELIMIT, "the name %.100s… is too long", text->data);
}

static int find_head(struct vcr_git *g, struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF head = VCR_BUF_INIT, branch = VCR_BUF_INIT;
	int status = VCR_GIT(g, &head, e, "rev-parse", "-q", "--verify", "HEAD^{commit}");
	if (status < 0)
		return status;
	if (status)
		return g->words.len ? vcr_error_set(e, VCR_EINVAL, "%.*s", (int)strcspn(g->words.data, "\n"), g->words.data) :
			vcr_error_set(e, VCR_EINVAL, "the repository has no commit yet, and --isolate needs one to begin at: git add -A && git commit, or git commit --allow-empty");
	vcr_buf_cut(&head, strcspn(head.data, "\n"));
	if ((status = VCR_GIT(g, &branch, e, "symbolic-ref", "-q", "HEAD")) < 0)
		return status;
	vcr_buf_cut(&branch, strcspn(branch.data, "\n"));
	int err = take_line(&head, t->head, sizeof t->head, e);
	return err ? err : take_line(&branch, t->into, sizeof t->into, e);
}

/* What is there already is somebody else's, and would be removed with ours. */
static int check_free(struct vcr_git *g, const struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF branch = VCR_BUF_INIT;
	vcr_isolate_branch(t, &branch);
	int status = VCR_GIT(g, NULL, e, "show-ref", "-q", "--verify", branch.data);
	if (status < 0)
		return status;
	return status && access(t->dir, F_OK) ? 0 : vcr_error_set(e, VCR_EINVAL, "%s is there already: choose another id (--session), or remove it", status ? t->dir : branch.data + strlen("refs/heads/"));
}

int vcr_isolate_plan(const char *state_dir, const char *workspace, struct vcr_txn *t, struct vcr_error *e)
{
	struct vcr_git g = VCR_GIT_INIT;
	VCR_AUTO_BUF git = VCR_BUF_INIT, state = VCR_BUF_INIT;
	struct vcr_txn outer;
	char real[PATH_MAX];
	int err = 0;
	g.dir = workspace;
	if (!realpath(state_dir, real))
		return vcr_error_sys(e, errno, "%s", state_dir);
	vcr_buf_printf(&git, "%s/.git", workspace);
	if (access(git.data, F_OK))
		return vcr_error_set(e, VCR_EINVAL, "%s is no git repository, and --isolate makes a work tree of one: git init && git add -A && git commit, or begin without it", workspace);
	if (!vcr_isolate_home(workspace, &state, &outer, NULL))
		return vcr_error_set(e, VCR_EINVAL, "this is the tree of transaction %s already", outer.session);
	if ((size_t)snprintf(t->dir, sizeof t->dir, "%s/trees/%s", real, t->session) >= sizeof t->dir ||
	     (size_t)snprintf(t->workspace, sizeof t->workspace, "%s", workspace) >= sizeof t->workspace)
		err = vcr_error_set(e, VCR_ELIMIT, "%s: path too long", workspace);
	if (!err && !(err = find_head(&g, t, e)) && !(err = check_free(&g, t, e)))
		err = check_index(&g, e);
	vcr_git_release(&g);
	return err;
}

/* ---- Making ---- */

int vcr_isolate_copy_file(const char *from, const char *to, struct vcr_error *e)
{
	char step[1 << 16];
	ssize_t n = 0;
	struct stat st;
	int in = open(from, O_RDONLY | O_CLOEXEC), out = in < 0 || fstat(in, &st) ? -1 : open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), err = 0;
	if (in < 0 || out < 0)
		err = vcr_error_sys(e, errno, "%s", in < 0 ? from : to);
	while (!err && (n = read(in, step, sizeof step)) > 0)
		if (vcr_write_all(out, step, (size_t)n))
			err = vcr_error_sys(e, errno, "%s", to);
	if (!err && (n < 0 || futimens(out, (struct timespec[]){ st.st_mtim, st.st_mtim })))
		err = vcr_error_sys(e, errno, "%s", n < 0 ? from : to);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return err;
}

/* What is staged is staged there too; with the parts that a split index has. */
static int copy_index(const char *workspace, const char *dir, struct vcr_error *e)
{
	struct vcr_isolate_git from, to;
	int err = vcr_isolate_where(workspace, &from, e);
	if (err || (err = vcr_isolate_where(dir, &to, e)) || access(from.index, F_OK))
		return err;
	DIR *d = opendir(from.dir);
	for (struct dirent *ent; !err && d && (ent = readdir(d));) {
		VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT;
		if (strncmp(ent->d_name, "sharedindex.", 12))
			continue;
		vcr_buf_printf(&a, "%s/%s", from.dir, ent->d_name);
		vcr_buf_printf(&b, "%s/%s", to.dir, ent->d_name);
		err = vcr_isolate_copy_file(a.data, b.data, e);
	}
	if (d)
		closedir(d);
	return err ? err : vcr_isolate_copy_file(from.index, to.index, e);
}

/* nested: the repositories in it that were copied without their .git, each with a NUL. */
static int copy_files(const char *state_dir, const struct vcr_txn *t, struct vcr_buf *nested, struct vcr_buf *skipped, struct vcr_error *e)
{
	static const char *const top[] = { ".git", NULL };
	struct vcr_copytree_not not[2];
	struct stat st;
	struct vcr_isolate_nest nest = { t, nested };
	struct vcr_copytree c = { .top = top, .not = not, .nested = vcr_isolate_takes, .ctx = &nest, .skipped = VCR_BUF_INIT };
	const char *const out[] = { t->vcr_dir, state_dir };
	for (int i = 0; i < 2; i++)
		if (!stat(out[i], &st))
			not[c.nnot++] = (struct vcr_copytree_not){ st.st_dev, st.st_ino };
	int err = vcr_copytree(&c, t->workspace, t->dir, e);
	vcr_buf_add(skipped, c.skipped.data, c.skipped.len);
	vcr_buf_release(&c.skipped);
	return err;
}

/* git warns of a directory that it cannot open, and goes on without its files: they would be lost with the tree. */
static int refuse_closed(struct vcr_git *g, struct vcr_error *e)
{
	static const char word[] = "warning: could not open directory ";
	if (!g->words.len)
		return 0;
	int err = VCR_GIT_MUST(g, NULL, e, "ls-files", "-o", "--exclude-standard"); /* nothing is left for it but those */
	const char *at = err ? NULL : strstr(g->words.data, word);
	if (!at)
		return err;
	VCR_AUTO_BUF name = VCR_BUF_INIT;
	vcr_buf_add(&name, at + sizeof word - 1, strcspn(at + sizeof word - 1, "\n"));
	if (strstr(name.data, "File name too long") || name.len > MOST_SAID) /* then git cuts its words */
		return vcr_error_set(e, VCR_EINVAL, "%s: git does not reach %.60s…, whose path is longer than it takes: without --isolate, or without that directory", g->dir, name.data);
	return vcr_error_set(e, VCR_EINVAL, "%s: git cannot open directory %s: make it readable (chmod), or remove it", g->dir, name.data);
}

/* Files that git is told not to look at: changed they are changed all the same. Those of a sparse checkout are not there. */
int vcr_isolate_unflag(struct vcr_git *g, struct vcr_buf *assumed, struct vcr_buf *skipped, struct vcr_error *e)
{
	VCR_AUTO_BUF all = VCR_BUF_INIT, sparse = VCR_BUF_INIT;
	int err = VCR_GIT_MUST(g, &all, e, "ls-files", "-v", "-z"), is_sparse = -1;
	for VCR_EACH_Z(p, all) {
		VCR_AUTO_BUF full = VCR_BUF_INIT;
		bool lower = *p >= 'a' && *p <= 'z', skip = (*p | 0x20) == 's';
		if (strlen(p) < 3 || (!lower && !skip))
			continue;
		if (skip && is_sparse < 0)
			is_sparse = !VCR_GIT(g, &sparse, e, "config", "--type=bool", "core.sparseCheckout") && !strncmp(sparse.data, "true", 4);
		vcr_buf_printf(&full, "%s/%s", g->dir, p + 2);
		if (skip && (is_sparse || faccessat(AT_FDCWD, full.data, F_OK, AT_SYMLINK_NOFOLLOW)))
			continue;
		if (lower)
			vcr_buf_add(assumed, p + 2, strlen(p + 2) + 1);
		if (skip)
			vcr_buf_add(skipped, p + 2, strlen(p + 2) + 1);
	}
	if (!err && skipped->len)
		err = vcr_git_must(g, (const char *const[]){ "update-index", "--no-skip-worktree", "-z", "--stdin", NULL }, skipped, NULL, e);
	return err || !assumed->len ? err : vcr_git_must(g, (const char *const[]){ "update-index", "--no-assume-unchanged", "-z", "--stdin", NULL }, assumed, NULL, e);
}

/* Into g's index what is in the tree `known`, stands in g's directory and is not in the index. Git looks at it, since it has no times there. */
static int add_known(struct vcr_git *g, const char *known, struct vcr_error *e)
{
	VCR_AUTO_BUF all = VCR_BUF_INIT, list = VCR_BUF_INIT, missing = VCR_BUF_INIT;
	struct vcr_isolate_names names = { 0 };
	struct stat st;
	int err = VCR_GIT_MUST(g, &all, e, "ls-tree", "-r", "-z", known);
	if (err || (err = VCR_GIT_MUST(g, &list, e, "ls-files", "-z")) || (err = vcr_isolate_sort_names(&names, &list, e)))
		return err;
	for VCR_EACH_Z(p, all) {
		VCR_AUTO_BUF full = VCR_BUF_INIT;
		const char *name = strchr(p, '\t');
		if (!name || vcr_isolate_has_name(&names, ++name))
			continue;
		vcr_buf_printf(&full, "%s/%s", g->dir, name);
		if (!lstat(full.data, &st) && !S_ISDIR(st.st_mode))
			vcr_buf_add(&missing, p, strlen(p) + 1);
	}
	free(names.name);
	if (missing.err)
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	return missing.len ? vcr_git_must(g, (const char *const[]){ "-c", "core.splitIndex=false", "update-index", "--add", "--replace", "-z", "--index-info", NULL }, &missing, NULL, e) : 0;
}

int vcr_isolate_tree_of(const char *dir, const char *index, const char *objects, const char *known, char tree[72], struct vcr_error *e)
{
	VCR_AUTO_BUF id = VCR_BUF_INIT, assumed = VCR_BUF_INIT, skipped = VCR_BUF_INIT;
	struct vcr_isolate_git w;
	struct vcr_git g = VCR_GIT_INIT;
	g.dir = dir;
	int err = vcr_isolate_where(dir, &w, e);
	if (!err && !access(w.index, F_OK))
		err = vcr_isolate_copy_file(w.index, index, e);
	g.index = index;
	g.objects = objects;
	if (!err && !(err = vcr_isolate_unflag(&g, &assumed, &skipped, e)) && !(err = known ? add_known(&g, known, e) : 0) && !(err = VCR_GIT_MUST(&g, NULL, e, "-c", "core.splitIndex=false", "add", "-A", "--sparse", ".")) &&
	    !(err = refuse_closed(&g, e)) && !(err = VCR_GIT_LINE(&g, &id, e, "write-tree")))
		err = take_line(&id, tree, 72, e);
	unlink(index);
	vcr_git_release(&g);
	return err;
}

int vcr_isolate_snapshot(const char *state_dir, const struct vcr_txn *t, char tree[72], struct vcr_error *e)
{
	VCR_AUTO_BUF index = VCR_BUF_INIT, objects = VCR_BUF_INIT;
	beside(state_dir, t->session, "index", &index);
	beside(state_dir, t->session, "objects", &objects);
	return vcr_isolate_tree_of(t->dir, index.data, objects.data, NULL, tree, e);
}

static int make_beside(const char *state_dir, const struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF trees = VCR_BUF_INIT, dir = VCR_BUF_INIT, objects = VCR_BUF_INIT;
	struct vcr_isolate_git w;
	int err = vcr_isolate_where(t->workspace, &w, e);
	vcr_buf_printf(&trees, "%s/trees", state_dir);
	beside(state_dir, t->session, NULL, &dir);
	beside(state_dir, t->session, "objects", &objects);
	if (!err && ((mkdir(trees.data, 0700) && errno != EEXIST) || (mkdir(dir.data, 0700) && errno != EEXIST)))
		err = vcr_error_sys(e, errno, "%s", dir.data);
	return err ? err : vcr_git_apart(objects.data, w.objects, e);
}

/* Its savepoints are to be readable where they go when it is merged. */
static int share_key(const char *state_dir, const struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF from = VCR_BUF_INIT, to = VCR_BUF_INIT;
	int err = vcr_paths_state_dir(t->dir, &to, e);
	vcr_buf_printf(&from, "%s/seal.key", state_dir);
	vcr_buf_puts(&to, "/seal.key");
	return err ? err : vcr_sealkey_share(from.data, to.data, e);
}

/* Locked: a git that looks through the work trees fails when it meets one that is half made. */
static int add_worktree(const char *state_dir, const struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF branch = VCR_BUF_INIT;
	struct vcr_git g = VCR_GIT_INIT;
	int lock, err = vcr_isolate_lock(state_dir, &lock, e);
	if (err)
		return err;
	vcr_isolate_branch(t, &branch);
	g.dir = t->workspace;
	err = VCR_GIT_MUST(&g, NULL, e, "worktree", "add", "-q", "--no-checkout", "--no-track", "-b", branch.data + strlen("refs/heads/"), t->dir, t->head);
	vcr_git_release(&g);
	close(lock);
	return err;
}

int vcr_isolate_make(const char *state_dir, struct vcr_txn *t, struct vcr_buf *skipped, struct vcr_error *e)
{
	VCR_AUTO_BUF nested = VCR_BUF_INIT;
	struct vcr_git g = VCR_GIT_INIT;
	int err = make_beside(state_dir, t, e);
	if (!err)
		err = add_worktree(state_dir, t, e);
	if (!err)
		err = share_key(state_dir, t, e);
	if (!err && !(err = copy_files(state_dir, t, &nested, skipped, e)) && !(err = copy_index(t->workspace, t->dir, e)) && !(err = vcr_isolate_nested_make(state_dir, t, &nested, e))) {
		g.dir = t->dir;
		int status = VCR_GIT(&g, NULL, e, "update-index", "-q", "--refresh"); /* 1: something is changed */
		err = status < 0 ? status : vcr_isolate_snapshot(state_dir, t, t->work, e);
	}
	vcr_git_release(&g);
	return err ? err : vcr_txn_save(state_dir, t, e);
}

/* ---- Removing ---- */

/* Whole or not at all. */
static int move_file(const char *from, const char *to, struct vcr_error *e)
{
	VCR_AUTO_BUF part = VCR_BUF_INIT;
	if (!rename(from, to))
		return 0;
	vcr_buf_printf(&part, "%s.part", to);
	int err = vcr_isolate_copy_file(from, part.data, e);
	if (!err && rename(part.data, to))
		err = vcr_error_sys(e, errno, "%s", to);
	if (err)
		unlink(part.data);
	return err;
}

/* What a program recorded there by the bare library goes where the others are. */
static int keep_recordings(const struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	int err = 0;
	vcr_buf_printf(&dir, "%s/.vcr", t->dir);
	int fd = open(dir.data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct stat st;
	if (d)
		err = vcr_paths_make_vcr_dir(t->vcr_dir, e);
	for (struct dirent *ent; !err && d && (ent = readdir(d));) {
		VCR_AUTO_BUF from = VCR_BUF_INIT, to = VCR_BUF_INIT;
		size_t n = strlen(ent->d_name);
		if (*ent->d_name == '.' || n < 5 || strcmp(ent->d_name + n - 4, ".vcr") || fstatat(fd, ent->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
			continue; /* a pipe would be waited for */
		vcr_buf_printf(&from, "%s/%s", dir.data, ent->d_name);
		vcr_buf_printf(&to, "%s/%s", t->vcr_dir, ent->d_name);
		if (access(to.data, F_OK))
			err = move_file(from.data, to.data, e);
	}
	if (d)
		closedir(d);
	return err;
}

/* The administrative files of the work tree at dir; also those that git had only begun to make, which are named as it. */
static int remove_admin(const struct vcr_isolate_git *w, const struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF all = VCR_BUF_INIT, want = VCR_BUF_INIT;
	int err = 0;
	vcr_buf_printf(&all, "%s/worktrees", w->common);
	vcr_buf_printf(&want, "%s/.git\n", t->dir);
	DIR *d = opendir(all.data);
	for (struct dirent *ent; !err && d && (ent = readdir(d));) {
		VCR_AUTO_BUF admin = VCR_BUF_INIT, text = VCR_BUF_INIT;
		if (*ent->d_name == '.')
			continue;
		vcr_buf_printf(&admin, "%s/%s", all.data, ent->d_name);
		int fd = open(admin.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		bool ours = fd >= 0 && !vcr_replace_read(fd, admin.data, "gitdir", &text, NULL) && (text.len ? !strcmp(text.data, want.data) : !strcmp(ent->d_name, t->session));
		if (fd >= 0)
			close(fd);
		if (ours)
			err = vcr_copytree_remove(admin.data, e);
	}
	if (d)
		closedir(d);
	rmdir(all.data); /* if it was the last */
	return err;
}

static int remove_branch(const struct vcr_isolate_git *w, const struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF branch = VCR_BUF_INIT, lock = VCR_BUF_INIT, section = VCR_BUF_INIT, key = VCR_BUF_INIT, found = VCR_BUF_INIT;
	struct vcr_git g = VCR_GIT_INIT;
	g.dir = t->workspace;
	vcr_isolate_branch(t, &branch);
	vcr_buf_printf(&lock, "%s/%s.lock", w->common, branch.data);
	unlink(lock.data); /* of a git that was killed: nobody else has this branch */
	int status = VCR_GIT(&g, NULL, e, "show-ref", "-q", "--verify", branch.data), err = status < 0 ? status : 0;
	if (!status)
		err = VCR_GIT_MUST(&g, NULL, e, "update-ref", "-d", branch.data);
	vcr_buf_printf(&section, "branch.%s", branch.data + strlen("refs/heads/"));
	if (!err && !VCR_GIT(&g, &found, e, "config", "--local", "--name-only", "-l") && !vcr_buf_printf(&key, "\n%s.", section.data) && strstr(found.data, key.data))
		VCR_GIT(&g, NULL, e, "config", "--local", "--remove-section", section.data);
	vcr_git_release(&g);
	return err;
}

/* .git/refs/heads/vcr and its log, which git leaves when the last of them goes. */
static void remove_empty(const struct vcr_isolate_git *w)
{
	static const char *const dirs[] = { "refs/heads/vcr", "logs/refs/heads/vcr" };
	for (int i = 0; i < 2; i++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		vcr_buf_printf(&path, "%s/%s", w->common, dirs[i]);
		rmdir(path.data);
	}
}

/* From here on there is nothing to merge. On a full disk what merging would need makes room for that word; what was never begun to its end cannot be
 * merged anyhow. */
static int mark_going(const char *state_dir, struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF objects = VCR_BUF_INIT;
	struct vcr_error why = { 0 };
	if (*t->to)
		return 0;
	strcpy(t->to, VCR_ISOLATE_GOING);
	if (!vcr_txn_save(state_dir, t, &why) || !*t->work)
		return 0;
	beside(state_dir, t->session, "objects", &objects);
	int err = vcr_copytree_remove(objects.data, e);
	return err ? err : vcr_txn_save(state_dir, t, e);
}

int vcr_isolate_remove(const char *state_dir, struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF aside = VCR_BUF_INIT, trees = VCR_BUF_INIT, state = VCR_BUF_INIT, git = VCR_BUF_INIT;
	struct vcr_isolate_git w;
	vcr_buf_printf(&git, "%s/.git", t->workspace);
	bool gone = access(git.data, F_OK) && (errno == ENOENT || errno == ENOTDIR); /* the repository: with it its branches */
	int err = gone ? 0 : vcr_isolate_where(t->workspace, &w, e);
	if (!err)
		err = mark_going(state_dir, t, e);
	beside(state_dir, t->session, NULL, &aside);
	vcr_buf_printf(&trees, "%s/trees", state_dir);
	if (!err && ((gone && access(t->vcr_dir, F_OK)) || !(err = keep_recordings(t, e))) && !(err = vcr_copytree_remove(t->dir, e)) && !gone && !(err = remove_admin(&w, t, e)) && !(err = remove_branch(&w, t, e)))
		remove_empty(&w);
	if (!err)
		err = vcr_copytree_remove(aside.data, e);
	if (!err && !vcr_paths_state_dir(t->dir, &state, NULL))
		err = vcr_copytree_remove(state.data, e);
	if (err)
		return err;
	rmdir(trees.data);
	return vcr_txn_close(state_dir, t->session, e);
}

/* ---- Where are we? ---- */

int vcr_isolate_home(const char *dir, struct vcr_buf *state_dir, struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF own = VCR_BUF_INIT, state = VCR_BUF_INIT;
	struct vcr_txn found;
	char real[PATH_MAX], session[256];
	int err = vcr_paths_state_root(&own, e);
	if (err)
		return err;
	size_t n = realpath(own.data, real) ? strlen(real) : 0;
	const char *rest = n && !strncmp(dir, real, n) && dir[n] == '/' ? dir + n + 1 : "";
	if (strspn(rest, "0123456789abcdef") != 16 || strncmp(rest + 16, "/trees/", 7))
		return vcr_error_set(e, VCR_ENOTFOUND, "%s is no tree of a transaction", dir);
	snprintf(session, sizeof session, "%.*s", (int)strcspn(rest + 23, "/"), rest + 23);
	vcr_buf_printf(&state, "%s/%.16s", real, rest);
	if ((err = vcr_txn_find(state.data, session, &found, e)))
		return err;
	if (!vcr_txn_is_isolated(&found))
		return vcr_error_set(e, VCR_ENOTFOUND, "%s is no tree of a transaction", dir);
	*t = found;
	return vcr_buf_puts(state_dir, state.data);
}

int64_t vcr_isolate_count(const char *state_dir, const struct vcr_txn *t)
{
	VCR_AUTO_BUF names = VCR_BUF_INIT, objects = VCR_BUF_INIT;
	struct vcr_git g = VCR_GIT_INIT;
	char now[72];
	int64_t n = 0;
	beside(state_dir, t->session, "objects", &objects);
	g.dir = t->workspace;
	g.objects = objects.data;
	if (!*t->work || vcr_isolate_snapshot(state_dir, t, now, NULL) || VCR_GIT(&g, &names, NULL, "diff-tree", "-r", "-z", "--name-only", "--no-renames", t->work, now))
		n = -1;
	for VCR_EACH_Z(p, names)
		n++;
	vcr_git_release(&g);
	int64_t inside = n < 0 ? -1 : vcr_isolate_nested_count(state_dir, t);
	return inside < 0 ? -1 : n + inside;
}
