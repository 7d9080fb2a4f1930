/* leaves-then.c — what git ignored when a savepoint was taken: libgit2 asked with a work tree that has that savepoint's .gitignore files, and nothing else. */
#include "leaves.h"
#include "files-parts.h"
#include "replace.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct vcr_leaves_then {
	struct vcr_store *store;
	char tree[41];
	git_repository *repo;
	struct vcr_ignores ignores;
	struct vcr_buf exclude;
	struct vcr_buf looked; /* the directory of the path before: its .gitignore files are there */
	char *temp;            /* the work tree */
	int dir;
	bool unread;           /* one of them could not be had: rather left alone than not */
};

/* That of a directory ("": the top level) of the tree, if it has one. */
static bool put_one(struct vcr_leaves_then *t, const char *at, size_t n)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, text = VCR_BUF_INIT;
	struct vcr_entry entry;
	vcr_buf_printf(&path, "%.*s%s.gitignore", (int)n, at, n ? "/" : "");
	if (vcr_store_find(t->store, t->tree, path.data, &entry, NULL))
		return false;
	if ((entry.mode & VCR_ENTRY_TYPE) != VCR_ENTRY_FILE)
		return !entry.mode || (entry.mode & VCR_ENTRY_TYPE) != VCR_ENTRY_LARGE;
	for (char *p = path.data; (p = strchr(p, '/')); p++) {
		*p = 0;
		mkdirat(t->dir, path.data, 0700); /* it may be there */
		*p = '/';
	}
	int fd = vcr_store_read(t->store, &entry, &text, NULL) ? -1 : openat(t->dir, path.data, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool good = fd >= 0 && !vcr_write_all(fd, text.data, text.len);
	if (fd >= 0)
		close(fd);
	return good;
}

/* Those on the way to a path. Paths come in order, mostly: what is on the way to the one before is there. */
static void put_all(struct vcr_leaves_then *t, const char *path)
{
	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		size_t n = (size_t)(slash - path);
		if (t->looked.len >= n && !memcmp(t->looked.data, path, n) && (t->looked.len == n || t->looked.data[n] == '/'))
			continue;
		if (!put_one(t, path, n))
			t->unread = true;
		vcr_buf_reset(&t->looked);
		vcr_buf_add(&t->looked, path, n);
	}
}

int vcr_leaves_then_new(struct vcr_leaves_then **out, const char *workspace, const char *state_dir, struct vcr_store *s, const char *tree, struct vcr_error *e)
{
	struct vcr_leaves_then *t = calloc(1, sizeof *t);
	if (!t)
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	git_libgit2_init();
	*t = (struct vcr_leaves_then){ .store = s, .exclude = VCR_BUF_INIT, .looked = VCR_BUF_INIT, .dir = -1 };
	snprintf(t->tree, sizeof t->tree, "%s", tree);
	int err = 0;
	if (asprintf(&t->temp, "%s/ignored.XXXXXX", state_dir) < 0)
		err = vcr_error_set(e, VCR_ENOMEM, "out of memory"), t->temp = NULL;
	else if (!mkdtemp(t->temp) || (t->dir = open(t->temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		err = vcr_error_sys(e, errno, "%s", t->temp);
	else if (git_repository_open_ext(&t->repo, workspace, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) || git_repository_set_workdir(t->repo, t->temp, 0))
		err = vcr_error_set(e, VCR_EIO, "what git ignored in the savepoint cannot be found out: git's repository in %s cannot be read", workspace);
	else
		vcr_buf_printf(&t->exclude, "%sinfo/exclude", git_repository_commondir(t->repo));
	if (!err)
		t->unread = !put_one(t, "", 0);
	if (err)
		vcr_leaves_then_free(t);
	*out = err ? NULL : t;
	return err;
}

bool vcr_leaves_then_out(struct vcr_leaves_then *t, const char *path, bool directory)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT;
	int yes = 0;
	if (strlen(path) >= VCR_MAX_PATH)
		return false; /* as vcr_leaves_out */
	put_all(t, path);
	if (t->unread)
		return true;
	if (!vcr_ignores_safe(&t->ignores, t->dir, path, t->exclude.data))
		return false;
	vcr_buf_printf(&name, "%s%s", path, directory ? "/" : "");
	return !name.err && !git_ignore_path_is_ignored(&yes, t->repo, name.data) && yes;
}

static int take_away(const char *path, const struct stat *st, int type, struct FTW *w)
{
	return remove(path) && false;
}

void vcr_leaves_then_free(struct vcr_leaves_then *t)
{
	if (!t)
		return;
	git_repository_free(t->repo);
	if (t->dir >= 0) {
		close(t->dir);
		nftw(t->temp, take_away, 8, FTW_DEPTH | FTW_PHYS);
	}
	free(t->temp);
	vcr_buf_release(&t->exclude);
	vcr_buf_release(&t->looked);
	git_libgit2_shutdown();
	free(t);
}
