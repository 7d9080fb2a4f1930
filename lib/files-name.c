/* files-name.c — which path of the workspace a mark means. */
#include "files-parts.h"
#include "beneath.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void vcr_files_forget_parent(struct vcr_files *f)
{
	free(f->seen_parent);
	free(f->true_parent);
	f->seen_parent = f->true_parent = NULL;
}

static bool is_plain(const char *path)
{
	for (const char *p = path; (p = strchr(p, '/')); p++)
		if (p[1] == '/' || (p[1] == '.' && (p[2] == '/' || (p[2] == '.' && p[3] == '/'))))
			return false;
	return true;
}

/* A directory as a path of the workspace; NULL if it is none. */
static char *directory_of(struct vcr_files *f, const char *path)
{
	char real[PATH_MAX];
	bool inside = !strncmp(path, f->workspace, f->workspace_length) && (path[f->workspace_length] == '/' || !path[f->workspace_length]);
	if (inside && is_plain(path)) {
		const char *below = path + f->workspace_length + (path[f->workspace_length] == '/');
		int fd = vcr_beneath_open(f->dir, below, O_PATH | O_DIRECTORY, 0);
		if (fd >= 0)
			close(fd);
		if (fd >= 0 || errno == ENOENT)
			return strdup(below);
	}
	if (!realpath(*path ? path : "/", real) || strncmp(real, f->workspace, f->workspace_length) || !(real[f->workspace_length] == '/' || !real[f->workspace_length]))
		return NULL;
	return strdup(real + f->workspace_length + (real[f->workspace_length] == '/'));
}

bool vcr_files_name(struct vcr_files *f, const char *path, char out[VCR_MAX_BENEATH])
{
	char parent[VCR_MAX_BENEATH];
	size_t n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	if (!n || n >= sizeof parent)
		return false;
	memcpy(parent, path, n);
	parent[n] = 0;
	if (*path != '/') {
		strcpy(out, parent);
		return is_plain(parent) && !vcr_files_left_out(f, out, false);
	}
	char *slash = strrchr(parent, '/');
	const char *last = slash + 1;
	if (!*last || !strcmp(last, ".") || !strcmp(last, ".."))
		return false;
	*slash = 0;
	if (!f->seen_parent || strcmp(f->seen_parent, parent)) {
		vcr_files_forget_parent(f);
		f->true_parent = directory_of(f, parent);
		f->seen_parent = f->true_parent ? strdup(parent) : NULL;
		if (!f->true_parent)
			return false;
	}
	n = (size_t)snprintf(out, VCR_MAX_BENEATH, "%s%s%s", f->true_parent, *f->true_parent ? "/" : "", last);
	return n < VCR_MAX_BENEATH && !vcr_files_left_out(f, out, false);
}

bool vcr_files_is_deep(const struct vcr_files *f, const char *path)
{
	return f->workspace_length + 1 + strlen(path) >= PATH_MAX;
}
