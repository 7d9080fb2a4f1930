#include "extract.h"
#include "beneath.h"
#include "replace.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char empty_tree[] = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

struct extract {
	struct vcr_store *s;
	int dir;
	const char *workspace;
	size_t linked;
	struct vcr_error *e;
};

static int put_file(struct extract *x, int at, const char *name, const char *path, const struct vcr_entry *entry, const struct vcr_buf *content)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return vcr_error_sys(x->e, errno, "%s cannot be made", path);
	int sys = vcr_write_all(fd, content->data, content->len);
	if (!sys && fchmod(fd, entry->mode & 07777))
		sys = errno;
	close(fd);
	return sys ? vcr_error_sys(x->e, sys, "%s cannot be written", path) : 0;
}

static int put_link(struct extract *x, int at, const char *name, const char *path, const char *target)
{
	return symlinkat(target, at, name) ? vcr_error_sys(x->e, errno, "the link %s cannot be made", path) : 0;
}

static int put_kept(struct extract *x, int at, const char *name, const char *path, const struct vcr_entry *entry)
{
	VCR_AUTO_BUF content = VCR_BUF_INIT;
	int err = vcr_store_read(x->s, entry, &content, x->e);
	if (err)
		return err;
	return (entry->mode & VCR_ENTRY_TYPE) == VCR_ENTRY_LINK ? put_link(x, at, name, path, content.data) : put_file(x, at, name, path, entry, &content);
}

static int put_elsewhere(struct extract *x, int at, const char *name, const char *path)
{
	VCR_AUTO_BUF target = VCR_BUF_INIT;
	struct stat st;
	if (vcr_buf_printf(&target, "%s/%s", x->workspace, path))
		return vcr_error_set(x->e, VCR_ENOMEM, "no memory");
	if (lstat(target.data, &st))
		return 0; /* gone since: there is nothing to show */
	x->linked++;
	return put_link(x, at, name, path, target.data);
}

static int put(void *extract, const char *path, const struct vcr_entry *none, const struct vcr_entry *entry)
{
	struct extract *x = extract;
	const char *name;
	(void)none;
	if (!vcr_beneath_valid(path))
		return vcr_error_set(x->e, VCR_ECORRUPT, "a savepoint holds the name '%.100s', which no file can have", path);
	int at = vcr_beneath_parent(x->dir, path, &name), err;
	if (at < 0)
		return vcr_error_sys(x->e, errno, "%s cannot be made", path);
	switch (entry->mode & VCR_ENTRY_TYPE) {
	case VCR_ENTRY_DIR:
		err = mkdirat(at, name, 0700 | (entry->mode & 0777)) ? vcr_error_sys(x->e, errno, "%s cannot be made", path) : 0;
		break;
	case VCR_ENTRY_FILE:
	case VCR_ENTRY_LINK:
		err = put_kept(x, at, name, path, entry);
		break;
	default:
		err = put_elsewhere(x, at, name, path);
	}
	close(at);
	return err;
}

int vcr_store_extract(struct vcr_store *s, const char *tree, int dir, const char *workspace, size_t *linked, struct vcr_error *e)
{
	struct extract x = { s, dir, workspace, 0, e };
	int err = vcr_store_diff(s, empty_tree, tree, put, &x, e);
	if (linked)
		*linked = x.linked;
	return err;
}
