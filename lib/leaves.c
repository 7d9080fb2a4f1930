#include "leaves.h"
#include "config.h"
#include "files-parts.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct vcr_leaves {
	int dir;
	const char *const *pattern;
	git_repository *repo;
	git_index *index;
	struct vcr_ignores ignores;
	char *exclude;
	struct vcr_config config; /* of vcr_leaves_configured */
};

static void open_git(struct vcr_leaves *l, const char *workspace)
{
	if (git_repository_open_ext(&l->repo, workspace, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL)) {
		l->repo = NULL;
		return;
	}
	if (git_repository_index(&l->index, l->repo))
		l->index = NULL;
	if (asprintf(&l->exclude, "%sinfo/exclude", git_repository_commondir(l->repo)) < 0)
		l->exclude = NULL;
}

int vcr_leaves_new(struct vcr_leaves **out, const char *workspace, const char *const *pattern, bool ignored, struct vcr_error *e)
{
	struct vcr_leaves *l = calloc(1, sizeof *l);
	if (!l)
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	git_libgit2_init();
	l->pattern = pattern;
	l->dir = open(workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ignored && l->dir >= 0)
		open_git(l, workspace);
	*out = l;
	return 0;
}

int vcr_leaves_configured(struct vcr_leaves **out, const char *workspace, const char *vcr_dir, struct vcr_error *e)
{
	struct vcr_config config;
	vcr_config_load(&config, vcr_dir, NULL);
	int err = vcr_leaves_new(out, workspace, (const char *const *)config.ignore, config.leave_ignored, e);
	if (err)
		vcr_config_release(&config);
	else
		(*out)->config = config;
	return err;
}

void vcr_leaves_free(struct vcr_leaves *l)
{
	if (!l)
		return;
	git_index_free(l->index);
	git_repository_free(l->repo);
	free(l->exclude);
	vcr_config_release(&l->config);
	if (l->dir >= 0)
		close(l->dir);
	git_libgit2_shutdown();
	free(l);
}

bool vcr_leaves_ignored(const struct vcr_leaves *l)
{
	return l && l->repo;
}

static bool is_tracked(struct vcr_leaves *l, const char *path, bool directory)
{
	VCR_AUTO_BUF prefix = VCR_BUF_INIT;
	if (!l->index)
		return true; /* rather kept than not */
	git_index_read(l->index, 0); /* if it is another by now */
	if (!directory)
		return git_index_get_bypath(l->index, path, 0) != NULL;
	vcr_buf_printf(&prefix, "%s/", path);
	return prefix.err || !git_index_find_prefix(NULL, l->index, prefix.data);
}

bool vcr_leaves_out(void *leaves, const char *path, bool directory)
{
	struct vcr_leaves *l = leaves;
	VCR_AUTO_BUF name = VCR_BUF_INIT;
	int yes = 0;
	if (vcr_files_pattern_out(l->pattern, path, directory))
		return true;
	if (!l->repo || strlen(path) >= VCR_MAX_PATH || !vcr_ignores_safe(&l->ignores, l->dir, path, l->exclude))
		return false;
	vcr_buf_printf(&name, "%s%s", path, directory ? "/" : "");
	return !name.err && !git_ignore_path_is_ignored(&yes, l->repo, name.data) && yes && !is_tracked(l, path, directory);
}
