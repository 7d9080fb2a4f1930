/* keep.c — a file that is about to go or to change is kept first, if no savepoint has its content (struct vcr_keep_block says which those are).
 *
 * One that is deleted or replaced gets a second name in the store: one system call, no copy. One that is opened for writing, or cut, is cloned, or copied up to
 * VCR_KEEP_COPY bytes, once: afterwards it is newer than the savepoint. The names are
 *
 *   l.<size>.<seconds>.<nanoseconds>.<inode>    hexadecimal: the file itself
 *   c.<the same of what was copied>             a copy; whole if and only if it has that size and time: the time is set last
 *
 * A small copy is made in memory first, which takes half as long as a new file on a disk and does not wait for one; whoever opens the store takes it there.
 * and lib/preimage.h makes its own of them. What the program can see of it: a deleted file that it still has open has one link where it had none; nothing else,
 * neither errno nor descriptors nor its locks. Whoever closes a descriptor of a file loses all fcntl locks on it, so one that this process has locked is not opened. */
#include <linux/fs.h>
#include <sys/ioctl.h>
#include "shim.h"

enum { LOCKS_MOST = 64 << 10 };

static bool until(const struct timespec *t, int64_t ns)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec <= ns;
}

/* Is it in a directory of which savepoints have names only? */
static bool is_heavy(const struct vcr_keep_block *k, const char *absolute)
{
	size_t n = vcr_load(&k->heavy_bytes), skip = vcr_self.workspace_length + 1;
	const char *end = k->heavy + (n < sizeof k->heavy ? n : sizeof k->heavy);
	if (strlen(absolute) <= skip)
		return false;
	for (const char *at = k->heavy; at < end;) {
		size_t length = strnlen(at, (size_t)(end - at));
		if (length && !strncmp(absolute + skip, at, length) && absolute[skip + length] == '/')
			return true;
		at += length + 1;
	}
	return false;
}

/* As the file is, has a savepoint seen it, but not kept it? s->a becomes its path, or of one that is longer than the kernel tells a directory above it. */
static bool is_wanted(const struct vcr_keep_block *k, int dir, const char *path, const struct stat *st, struct vcr_scratch *s)
{
	int64_t since = vcr_load(&k->since_ns);
	if (!S_ISREG(st->st_mode) || !st->st_size || (!until(&st->st_mtim, since) && !until(&st->st_ctim, since)))
		return false;
	bool any = st->st_size > vcr_load(&k->larger) || vcr_load(&k->all);
	if (!any && !vcr_load(&k->heavy_bytes))
		return false;
	bool inside = vcr_path_absolute(dir, path, s->a) ? vcr_path_matters(s->a) : vcr_path_deep(dir, path, s->a);
	return inside && (any || is_heavy(k, s->a));
}

static void name_file(char out[PATH_MAX], const char dir[VCR_KEEP_DIR], const char *kind, const struct stat *st)
{
	static const char digits[] = "0123456789abcdef";
	const uint64_t facts[] = { (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ino };
	size_t length = strnlen(dir, VCR_KEEP_DIR);
	memcpy(out, dir, length);
	char *at = vcr_format(out + length, kind);
	for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
		int shift = 60;
		while (shift && !(facts[i] >> shift))
			shift -= 4;
		for (*at++ = '.'; shift >= 0; shift -= 4)
			*at++ = digits[facts[i] >> shift & 15];
	}
	*at = 0;
}

/* What it takes on the disk; nothing is allocated yet of what was just written. */
static int64_t bytes_of(const struct stat *st)
{
	return st->st_blocks ? (int64_t)st->st_blocks * 512 : st->st_size;
}

static bool take_room(struct vcr_keep_block *k, int64_t bytes)
{
	if (__atomic_sub_fetch(&k->room, bytes, __ATOMIC_RELAXED) >= 0)
		return true;
	__atomic_add_fetch(&k->room, bytes, __ATOMIC_RELAXED);
	__atomic_add_fetch(&k->refused, 1, __ATOMIC_RELAXED);
	return false;
}

/* ---- Going ---- */

static void link_it(struct vcr_keep_block *k, int dir, const char *path, const struct stat *st, struct vcr_scratch *s, struct vcr_kept *kept)
{
	int64_t bytes = bytes_of(st);
	if (!take_room(k, bytes))
		return;
	name_file(s->b, k->dir, "/l", st);
	int r = raw_linkat(dir, path, s->b);
	if (r) {
		__atomic_add_fetch(&k->room, bytes, __ATOMIC_RELAXED); /* it is kept already, or cannot be: its loss is said by who puts it back */
		return;
	}
	__atomic_add_fetch(&k->kept, 1, __ATOMIC_RELAXED);
	*kept = (struct vcr_kept){ true, *st };
}

/* ---- Changing ---- */

/* A line of /proc/locks: "1: POSIX  ADVISORY  WRITE 4711 08:01:131 0 EOF". Ours, or of somebody who has no number here? */
static bool is_our_lock(const char *line, uint64_t inode)
{
	const char *at = strstr(line, "POSIX ");
	for (int word = 0; at && word < 3; word++) {
		at += strcspn(at, " ");
		at += strspn(at, " ");
	}
	if (!at)
		return false;
	uint64_t pid = 0, ino = 0;
	bool none = *at == '-';
	for (at += none; *at >= '0' && *at <= '9'; at++)
		pid = pid * 10 + (uint64_t)(*at - '0');
	for (int colons = 0; *at && colons < 2; at++)
		colons += *at == ':';
	for (; *at >= '0' && *at <= '9'; at++)
		ino = ino * 10 + (uint64_t)(*at - '0');
	return ino == inode && (none || !pid || pid == (uint64_t)raw_getpid());
}

static bool may_be_locked(uint64_t inode, char buf[PATH_MAX])
{
	size_t have = 0;
	int fd = raw_open("/proc/locks", O_RDONLY | O_CLOEXEC, 0);
	bool locked = fd < 0;
	for (long n, all = 0; !locked && (n = raw_read(fd, buf + have, PATH_MAX - 1 - have)) != 0;) {
		if (n < 0 || (all += n) > LOCKS_MOST) {
			locked = true;
			break;
		}
		have += (size_t)n;
		buf[have] = 0;
		char *line = buf;
		for (char *end; !locked && (end = strchr(line, '\n')); line = end + 1) {
			*end = 0;
			locked = is_our_lock(line, inode);
		}
		have -= (size_t)(line - buf);
		memmove(buf, line, have);
		locked |= have == PATH_MAX - 1;
	}
	if (fd >= 0)
		raw_close(fd);
	return locked;
}

static bool within_limit(int64_t size)
{
	struct rlimit l;
	return !vcr_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&l) && (l.rlim_cur == RLIM_INFINITY || l.rlim_cur >= (rlim_t)size);
}

/* small: to memory, which is another file system. */
static bool copy(int from, int to, int64_t size, bool small)
{
	if (!small && !vcr_call3(SYS_ioctl, to, FICLONE, from))
		return true;
	if (size > VCR_KEEP_COPY)
		return false;
	while (size > 0) {
		long n = small ? -EXDEV : vcr_call6(SYS_copy_file_range, from, 0, to, 0, size, 0);
		if (n == -EXDEV || n == -EINVAL || n == -EOPNOTSUPP || n == -ENOSYS)
			n = vcr_call4(SYS_sendfile, to, from, 0, size);
		if (n <= 0 && n != -EINTR)
			return false;
		size -= n > 0 ? n : 0;
	}
	return true;
}

static bool is_as(int fd, const struct stat *st)
{
	struct stat now;
	return !raw_fstat(fd, &now) && now.st_ino == st->st_ino && now.st_size == st->st_size && now.st_mtim.tv_sec == st->st_mtim.tv_sec && now.st_mtim.tv_nsec == st->st_mtim.tv_nsec;
}

/* 0, -EEXIST: it is kept already; or another error. */
static int copy_to(int dir, const char *path, const struct stat *st, const char *name, bool small)
{
	const struct timespec times[2] = { { 0, UTIME_OMIT }, st->st_mtim };
	int from = (int)vcr_call4(SYS_openat, dir, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	int to = from < 0 ? -1 : raw_open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good = to >= 0 && is_as(from, st) && copy(from, to, st->st_size, small) && is_as(from, st) && !vcr_call4(SYS_utimensat, to, 0, (long)times, 0);
	if (to >= 0 && !good)
		raw_unlink(name);
	if (to >= 0)
		raw_close(to);
	if (from >= 0)
		raw_close(from);
	return good ? 0 : from >= 0 && to == -EEXIST ? -EEXIST : -EIO;
}

static int copy_small(struct vcr_keep_block *k, int dir, const char *path, const struct stat *st, struct vcr_scratch *s)
{
	if (st->st_size > VCR_KEEP_SMALL || *k->small != '/')
		return -ENOSPC;
	int err = __atomic_sub_fetch(&k->small_room, st->st_size, __ATOMIC_RELAXED) < 0 ? -ENOSPC : 0;
	name_file(s->b, k->small, "/c", st);
	if (!err)
		err = copy_to(dir, path, st, s->b, true);
	if (err)
		__atomic_add_fetch(&k->small_room, st->st_size, __ATOMIC_RELAXED);
	return err;
}

static void copy_it(struct vcr_keep_block *k, int dir, const char *path, const struct stat *st, struct vcr_scratch *s)
{
	int64_t bytes = bytes_of(st);
	if (may_be_locked((uint64_t)st->st_ino, s->a) || !within_limit(st->st_size) || !take_room(k, bytes))
		return;
	int err = copy_small(k, dir, path, st, s);
	if (err && err != -EEXIST) {
		name_file(s->b, k->dir, "/c", st);
		err = copy_to(dir, path, st, s->b, false);
	}
	if (!err)
		__atomic_add_fetch(&k->kept, 1, __ATOMIC_RELAXED);
	else
		__atomic_add_fetch(&k->room, bytes, __ATOMIC_RELAXED);
}

/* ---- Doors ---- */

static struct vcr_keep_block *block(void)
{
	struct vcr_spool_header *h = vcr_ready() && !vcr_self.sandboxed ? vcr_spool_mapped() : NULL;
	return h && vcr_load(&h->keep.since_ns) && *h->keep.dir == '/' ? &h->keep : NULL;
}

void vcr_keep_going(int dir, const char *path, struct vcr_kept *kept)
{
	struct vcr_keep_block *k = block();
	struct stat st;
	kept->made = false;
	if (!k || !path || raw_statat(dir, path, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
		return;
	struct vcr_scratch *s = vcr_scratch_take();
	if (s && is_wanted(k, dir, path, &st, s))
		link_it(k, dir, path, &st, s, kept);
	if (s)
		vcr_scratch_give(s);
}

void vcr_keep_after(const struct vcr_kept *kept, long r)
{
	struct vcr_keep_block *k = vcr_likely(!kept->made || r == 0) ? NULL : block();
	struct vcr_scratch *s = k ? vcr_scratch_take() : NULL;
	if (!s)
		return;
	name_file(s->b, k->dir, "/l", &kept->st);
	if (!raw_unlink(s->b)) /* it did not go */
		__atomic_add_fetch(&k->room, bytes_of(&kept->st), __ATOMIC_RELAXED);
	vcr_scratch_give(s);
}

void vcr_keep_changing(int dir, const char *path)
{
	struct vcr_keep_block *k = block();
	struct stat st;
	if (!k || !path || raw_statat(dir, path, &st, 0) || !S_ISREG(st.st_mode))
		return;
	struct vcr_scratch *s = vcr_scratch_take();
	if (s && is_wanted(k, dir, path, &st, s))
		copy_it(k, dir, path, &st, s);
	if (s)
		vcr_scratch_give(s);
}
