/* name.c — names that come, go and change, and modes. Each: the start scan first, then the original, then a mark. */
#include "shim.h"

/* After a call that was to take the name of what was kept. */
static int gone(int r, const struct vcr_kept *kept)
{
	vcr_keep_after(kept, r);
	return r;
}

static int named(int r, uint32_t op, uint32_t flags, int dir, const char *path)
{
	if (r == 0)
		vcr_mark_at(op, flags, dir, path);
	return r;
}

static int renamed(int r, uint32_t op, uint32_t flags, int dir, const char *path, int dir2, const char *path2)
{
	if (r == 0)
		vcr_mark_two(op, flags, dir, path, dir2, path2);
	return r;
}

static void before_naming(int dir, const char *path, int dir2, const char *path2)
{
	vcr_names_changed();
	vcr_before_change(dir, path);
	vcr_before_change(dir2, path2);
}

static void before_rename(int dir, const char *path, int dir2, const char *path2, struct vcr_kept *kept)
{
	before_naming(dir, path, dir2, path2);
	vcr_keep_going(dir2, path2, kept);
}

int rename(const char *from, const char *to)
{
	struct vcr_kept kept;
	before_rename(AT_FDCWD, from, AT_FDCWD, to, &kept);
	return renamed(gone(VCR_REAL(rename)(from, to), &kept), VCR_FILE_RENAME, 0, AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int dir, const char *from, int dir2, const char *to)
{
	struct vcr_kept kept;
	before_rename(dir, from, dir2, to, &kept);
	return renamed(gone(VCR_REAL(renameat)(dir, from, dir2, to), &kept), VCR_FILE_RENAME, 0, dir, from, dir2, to);
}

int renameat2(int dir, const char *from, int dir2, const char *to, unsigned flags)
{
	uint32_t op = flags & RENAME_EXCHANGE ? VCR_FILE_EXCHANGE : VCR_FILE_RENAME;
	struct vcr_kept kept = { .made = false };
	if (flags & (RENAME_EXCHANGE | RENAME_NOREPLACE))
		before_naming(dir, from, dir2, to);
	else
		before_rename(dir, from, dir2, to, &kept);
	return renamed(gone(VCR_REAL(renameat2)(dir, from, dir2, to, flags), &kept), op, flags, dir, from, dir2, to);
}

int link(const char *from, const char *to)
{
	vcr_before_change(AT_FDCWD, to);
	return renamed(VCR_REAL(link)(from, to), VCR_FILE_LINK, 0, AT_FDCWD, from, AT_FDCWD, to);
}

int linkat(int dir, const char *from, int dir2, const char *to, int flags)
{
	vcr_before_change(dir2, to);
	return renamed(VCR_REAL(linkat)(dir, from, dir2, to, flags), VCR_FILE_LINK, 0, dir, from, dir2, to);
}

/* A symbolic link's target is text, kept as it stands. */
static int linked(int r, const char *target, int dir, const char *path)
{
	struct vcr_scratch *s = r == 0 && vcr_ready() && !vcr_self.sandboxed ? vcr_scratch_take() : NULL;
	if (!s)
		return r;
	bool known = vcr_path_absolute(dir, path, s->a);
	if (known && vcr_path_matters(s->a))
		vcr_mark(VCR_FILE_LINK, 1, -1, 0, target, s->a);
	else if (!known && vcr_path_deep(dir, path, s->a))
		vcr_mark(VCR_FILE_DEEP, 1, -1, 0, s->a, "");
	vcr_scratch_give(s);
	return r;
}

int symlink(const char *target, const char *path)
{
	vcr_names_changed();
	vcr_before_change(AT_FDCWD, path);
	return linked(VCR_REAL(symlink)(target, path), target, AT_FDCWD, path);
}

int symlinkat(const char *target, int dir, const char *path)
{
	vcr_names_changed();
	vcr_before_change(dir, path);
	return linked(VCR_REAL(symlinkat)(target, dir, path), target, dir, path);
}

int unlink(const char *path)
{
	struct vcr_kept kept;
	vcr_before_change(AT_FDCWD, path);
	vcr_keep_going(AT_FDCWD, path, &kept);
	return named(gone(VCR_REAL(unlink)(path), &kept), VCR_FILE_UNLINK, 0, AT_FDCWD, path);
}

int unlinkat(int dir, const char *path, int flags)
{
	struct vcr_kept kept;
	vcr_before_change(dir, path);
	vcr_keep_going(dir, path, &kept);
	return named(gone(VCR_REAL(unlinkat)(dir, path, flags), &kept), flags & AT_REMOVEDIR ? VCR_FILE_RMDIR : VCR_FILE_UNLINK, 0, dir, path);
}

int remove(const char *path)
{
	struct stat st;
	bool dir = vcr_ready() && !vcr_self.sandboxed && !raw_statat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
	struct vcr_kept kept;
	vcr_before_change(AT_FDCWD, path);
	vcr_keep_going(AT_FDCWD, path, &kept);
	return named(gone(VCR_REAL(remove)(path), &kept), dir ? VCR_FILE_RMDIR : VCR_FILE_UNLINK, 0, AT_FDCWD, path);
}

int rmdir(const char *path)
{
	vcr_before_change(AT_FDCWD, path);
	return named(VCR_REAL(rmdir)(path), VCR_FILE_RMDIR, 0, AT_FDCWD, path);
}

int mkdir(const char *path, mode_t mode)
{
	vcr_before_change(AT_FDCWD, path);
	return named(VCR_REAL(mkdir)(path, mode), VCR_FILE_MKDIR, mode, AT_FDCWD, path);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	vcr_before_change(dir, path);
	return named(VCR_REAL(mkdirat)(dir, path, mode), VCR_FILE_MKDIR, mode, dir, path);
}

int truncate(const char *path, off_t n)
{
	vcr_before_change(AT_FDCWD, path);
	vcr_keep_changing(AT_FDCWD, path);
	return named(VCR_REAL(truncate)(path, n), VCR_FILE_TRUNCATE, 0, AT_FDCWD, path);
}

int truncate64(const char *path, off64_t n)
{
	vcr_before_change(AT_FDCWD, path);
	vcr_keep_changing(AT_FDCWD, path);
	return named(VCR_REAL(truncate64)(path, n), VCR_FILE_TRUNCATE, 0, AT_FDCWD, path);
}

static int changed_fd(int r, uint32_t op, uint32_t flags, int fd)
{
	if (r == 0)
		vcr_mark_fd(op, flags, fd);
	return r;
}

/* The open that made such a descriptor has waited for the start scan. */
int ftruncate(int fd, off_t n)
{
	return changed_fd(VCR_REAL(ftruncate)(fd, n), VCR_FILE_TRUNCATE, 0, fd);
}

int ftruncate64(int fd, off64_t n)
{
	return changed_fd(VCR_REAL(ftruncate64)(fd, n), VCR_FILE_TRUNCATE, 0, fd);
}

int chmod(const char *path, mode_t mode)
{
	vcr_before_change(AT_FDCWD, path);
	return named(VCR_REAL(chmod)(path, mode), VCR_FILE_MODE, mode, AT_FDCWD, path);
}

int lchmod(const char *path, mode_t mode)
{
	vcr_before_change(AT_FDCWD, path);
	return named(VCR_REAL(lchmod)(path, mode), VCR_FILE_MODE, mode, AT_FDCWD, path);
}

int fchmod(int fd, mode_t mode)
{
	int r = VCR_REAL(fchmod)(fd, mode);
	return vcr_mark_is_pending(fd) ? r : changed_fd(r, VCR_FILE_MODE, mode, fd);
}

int fchmodat(int dir, const char *path, mode_t mode, int flags)
{
	vcr_before_change(dir, path);
	return named(VCR_REAL(fchmodat)(dir, path, mode, flags), VCR_FILE_MODE, mode, dir, path);
}
