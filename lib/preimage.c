#include "preimage.h"
#include "buf.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define LEAST_LINK (1ll << 20)
#define LEAST_COPY (16ll << 20)
#define MOST_COPY (128ll << 20)
#define MOST_AT_ONCE (4ll << 20) /* out of memory */
#define MOST_IN_ALL (4ll << 30)
enum { HEX = 2 * VCR_LARGE_ID, COPIED = 256, PART = 1 << 20, COPYING = 60 /* seconds that a copy may take */ };

struct vcr_preimages {
	int dir;
	char *path;
	dev_t device;
	int64_t bytes;                /* in the store, as far as is known */
	struct { dev_t dev; ino_t ino; int64_t born_ns; } copied[COPIED]; /* a ring */
	unsigned ncopied;
};

/* ---- Ids ---- */

void vcr_large_id(const struct stat *st, unsigned char id[VCR_LARGE_ID])
{
	int64_t facts[5] = { st->st_mode & S_IFMT, st->st_size, st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (int64_t)st->st_ino };
	unsigned char hash[SHA_DIGEST_LENGTH];
	SHA1((const unsigned char *)facts, sizeof facts, hash);
	memcpy(id, hash, VCR_LARGE_ID);
}

static void hex_of(const unsigned char id[VCR_LARGE_ID], char out[HEX + 1])
{
	for (int i = 0; i < VCR_LARGE_ID; i++)
		snprintf(out + 2 * i, 3, "%02x", id[i]);
}

static bool id_of(const char *hex, unsigned char id[VCR_LARGE_ID])
{
	unsigned byte;
	if (strlen(hex) != HEX || strspn(hex, "0123456789abcdef") != HEX)
		return false;
	for (int i = 0; i < VCR_LARGE_ID; i++) {
		sscanf(hex + 2 * i, "%2x", &byte);
		id[i] = (unsigned char)byte;
	}
	return true;
}

/* ---- The place ---- */

static int open_in(const char *parent, bool make, dev_t device, char **where)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct stat st;
	if (stat(parent, &st) || st.st_dev != device) {
		errno = EXDEV;
		return -1;
	}
	vcr_buf_printf(&path, "%s/preimages", parent);
	if (make && mkdir(path.data, 0700) && errno != EEXIST)
		return -1;
	int fd = open(path.data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	*where = fd < 0 ? NULL : strdup(path.data);
	return fd;
}

static int64_t weigh(int dir)
{
	int64_t bytes = 0;
	struct stat st;
	struct dirent *ent;
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	while (d && (ent = readdir(d)))
		if (!fstatat(dir, ent->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode))
			bytes += (int64_t)st.st_blocks * 512;
	if (d)
		closedir(d);
	return bytes;
}

int vcr_preimages_open(struct vcr_preimages **out, const char *workspace, const char *state_dir, const char *vcr_dir, bool make, struct vcr_error *e)
{
	struct vcr_preimages *p = calloc(1, sizeof *p);
	struct stat st;
	if (!p)
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	p->dir = stat(workspace, &st) ? -1 : open_in(state_dir, make, st.st_dev, &p->path);
	if (p->dir < 0 && vcr_dir && !stat(workspace, &st))
		p->dir = open_in(vcr_dir, make, st.st_dev, &p->path);
	if (p->dir < 0) {
		int err = errno;
		free(p);
		return vcr_error_set(e, VCR_ENOTFOUND, "no place for large files as they were: %s", strerror(err));
	}
	p->device = st.st_dev;
	p->bytes = make ? weigh(p->dir) : 0;
	*out = p;
	return 0;
}

void vcr_preimages_free(struct vcr_preimages *p)
{
	if (!p)
		return;
	close(p->dir);
	free(p->path);
	free(p);
}

const char *vcr_preimages_path(const struct vcr_preimages *p)
{
	return p->path ? p->path : "";
}

/* ---- Bounds ---- */

struct held { int64_t kept_ns, bytes; char name[80]; };

static int by_time(const void *a, const void *b)
{
	int64_t x = ((const struct held *)a)->kept_ns, y = ((const struct held *)b)->kept_ns;
	return (x > y) - (x < y);
}

/* What had that name was written into through another of its names, after it had been put back. */
static bool is_stale(const char *name, const struct stat *st)
{
	unsigned char named[VCR_LARGE_ID], is[VCR_LARGE_ID];
	if (!S_ISREG(st->st_mode) || !id_of(name, named))
		return false;
	vcr_large_id(st, is);
	return memcmp(named, is, sizeof is) != 0;
}

/* All that is in the store, the oldest first: to be linked, copied or made is a change of its status. */
static struct held *list_all(struct vcr_preimages *p, size_t *n)
{
	struct held *all = NULL;
	struct dirent *ent;
	struct stat st;
	size_t cap = 0;
	int fd = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	*n = 0;
	while (d && (ent = readdir(d))) {
		if (!strncmp(ent->d_name, "m.", 2) || strlen(ent->d_name) >= sizeof all->name || fstatat(p->dir, ent->d_name, &st, AT_SYMLINK_NOFOLLOW) || S_ISDIR(st.st_mode))
			continue;
		if (*n == cap) {
			struct held *more = reallocarray(all, cap = cap ? cap * 2 : 64, sizeof *all);
			if (!more)
				break;
			all = more;
		}
		all[*n] = (struct held){ .kept_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec, .bytes = S_ISREG(st.st_mode) ? (int64_t)st.st_blocks * 512 : 0 };
		if (is_stale(ent->d_name, &st))
			all[*n].kept_ns = INT64_MIN;
		strcpy(all[(*n)++].name, ent->d_name);
	}
	if (d)
		closedir(d);
	if (*n)
		qsort(all, *n, sizeof *all, by_time);
	return all;
}

/* Those that were kept first, until `most` bytes are left. All at once: there may be hundreds of thousands, and to look for each one anew takes hours. */
static void drop_oldest(struct vcr_preimages *p, int64_t most)
{
	size_t n;
	struct held *all = list_all(p, &n);
	for (size_t i = 0; i < n && p->bytes > most; i++)
		if (strlen(all[i].name) == HEX && all[i].bytes && !unlinkat(p->dir, all[i].name, 0))
			p->bytes -= all[i].bytes;
	free(all);
}

static bool make_room(struct vcr_preimages *p, int64_t bytes)
{
	if (bytes > MOST_IN_ALL)
		return false; /* nothing that is dropped would help */
	if (p->bytes + bytes > MOST_IN_ALL)
		drop_oldest(p, MOST_IN_ALL - bytes);
	return p->bytes + bytes <= MOST_IN_ALL;
}

int64_t vcr_preimages_room(struct vcr_preimages *p, int64_t least)
{
	if (MOST_IN_ALL - p->bytes < least)
		drop_oldest(p, MOST_IN_ALL - least);
	return p->bytes < MOST_IN_ALL ? MOST_IN_ALL - p->bytes : 0;
}

/* ---- Keeping ---- */

/* A number is given to another file as soon as one is gone. 0: not known. */
static int64_t born(int dir, const char *path)
{
	struct statx x;
	if (statx(dir, path, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &x) || !(x.stx_mask & STATX_BTIME))
		return 0;
	return x.stx_btime.tv_sec * 1000000000 + x.stx_btime.tv_nsec;
}

static bool was_copied(const struct vcr_preimages *p, const struct stat *st, int64_t born_ns)
{
	for (unsigned i = 0; i < COPIED; i++)
		if (p->copied[i].ino == st->st_ino && p->copied[i].dev == st->st_dev && p->copied[i].born_ns == born_ns)
			return true;
	return false;
}

static bool copy_bytes(int from, int to, int64_t size)
{
	while (size > 0) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, size < PART ? (size_t)size : PART, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		size -= n;
	}
	return true;
}

static int keep_copy(struct vcr_preimages *p, int dir, const char *path, const struct stat *st, const char *hex, struct vcr_error *e)
{
	const struct timespec times[2] = { { 0, UTIME_OMIT }, st->st_mtim };
	char temp[40], own[HEX + 1];
	unsigned char id[VCR_LARGE_ID];
	struct stat now = { 0 }, copy;
	snprintf(temp, sizeof temp, "new.%d", (int)getpid());
	unlinkat(p->dir, temp, 0);
	int from = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK), to = from < 0 ? -1 : openat(p->dir, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good = to >= 0 && (!ioctl(to, FICLONE, from) || (st->st_size <= MOST_COPY && make_room(p, st->st_size) && copy_bytes(from, to, st->st_size))) && !futimens(to, times) &&
		!fstat(from, &now) && now.st_mtim.tv_sec == st->st_mtim.tv_sec && now.st_mtim.tv_nsec == st->st_mtim.tv_nsec && now.st_ino == st->st_ino && !fstat(to, &copy);
	int saved = errno;
	if (good) {
		vcr_large_id(&copy, id);
		hex_of(id, own);
		good = !renameat(p->dir, temp, p->dir, own) && (!symlinkat(own, p->dir, hex) || errno == EEXIST);
		saved = errno;
		p->bytes += (int64_t)copy.st_blocks * 512;
	}
	unlinkat(p->dir, temp, 0);
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return good ? 0 : vcr_error_sys(e, saved, "%s cannot be kept before it changes", path);
}

bool vcr_preimages_can(const struct vcr_preimages *p, int dir, const char *path)
{
	struct stat st;
	return !fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) && st.st_dev == p->device && st.st_size > 0;
}

bool vcr_preimages_takes(const struct vcr_preimages *p, const struct stat *st, enum vcr_preimage_why why)
{
	const int64_t least = why == VCR_PREIMAGE_CHANGES ? LEAST_COPY + 1 : why == VCR_PREIMAGE_GOES ? LEAST_LINK : 1;
	return S_ISREG(st->st_mode) && st->st_dev == p->device && st->st_size >= least;
}

int vcr_preimages_keep(struct vcr_preimages *p, int dir, const char *path, enum vcr_preimage_why why, struct vcr_error *e)
{
	unsigned char id[VCR_LARGE_ID], as[VCR_LARGE_ID];
	char hex[HEX + 1];
	struct stat st;
	if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) || !vcr_preimages_takes(p, &st, why))
		return 1;
	const bool small = why == VCR_PREIMAGE_SMALL_CHANGES || why == VCR_PREIMAGE_SMALL_GOES;
	why = why == VCR_PREIMAGE_SMALL_CHANGES ? VCR_PREIMAGE_CHANGES : why == VCR_PREIMAGE_SMALL_GOES ? VCR_PREIMAGE_GOES : why;
	const bool once = why == VCR_PREIMAGE_CHANGES && (!small || st.st_size > LEAST_COPY); /* small ones as often as they change: savepoints lie in between */
	const int64_t born_ns = once ? born(dir, path) : 0;
	if (once && was_copied(p, &st, born_ns))
		return 1;
	vcr_large_id(&st, id);
	/* One that was put back is the store's own file: to write into it is to write into the store. */
	if (vcr_preimages_find(p, id, as) && (why != VCR_PREIMAGE_CHANGES || memcmp(id, as, sizeof id)))
		return 1;
	hex_of(id, hex);
	unlinkat(p->dir, hex, 0); /* it was that file's and is not any more */
	if (once) {
		p->copied[p->ncopied % COPIED].dev = st.st_dev;
		p->copied[p->ncopied % COPIED].born_ns = born_ns;
		p->copied[p->ncopied++ % COPIED].ino = st.st_ino;
	}
	if (why == VCR_PREIMAGE_CHANGES)
		return keep_copy(p, dir, path, &st, hex, e);
	if (why != VCR_PREIMAGE_UNDO && !make_room(p, (int64_t)st.st_blocks * 512))
		return 1;
	if (linkat(dir, path, p->dir, hex, 0))
		return vcr_error_sys(e, errno, "%s cannot be kept before it goes", path);
	p->bytes += (int64_t)st.st_blocks * 512;
	return 0;
}

/* ---- What the library has kept ---- */

/* "l.<size>.<seconds>.<nanoseconds>.<inode>", c likewise. */
static bool parse_name(const char *name, struct stat *st)
{
	unsigned long long size, sec, ino;
	unsigned nsec;
	int end = 0;
	if ((*name != 'l' && *name != 'c') || sscanf(name + 1, ".%16llx.%16llx.%8x.%16llx%n", &size, &sec, &nsec, &ino, &end) != 4 || name[1 + end])
		return false;
	*st = (struct stat){ .st_mode = S_IFREG, .st_size = (off_t)size, .st_mtim = { (time_t)sec, (long)nsec }, .st_ino = (ino_t)ino };
	return true;
}

static void adopt(struct vcr_preimages *p, const char *name)
{
	unsigned char id[VCR_LARGE_ID], own[VCR_LARGE_ID], as[VCR_LARGE_ID];
	char hex[HEX + 1], own_hex[HEX + 1];
	struct stat was, is;
	if (!parse_name(name, &was) || fstatat(p->dir, name, &is, AT_SYMLINK_NOFOLLOW) || !S_ISREG(is.st_mode))
		return;
	vcr_large_id(&was, id);
	vcr_large_id(&is, own);
	hex_of(id, hex);
	hex_of(own, own_hex);
	bool copy = *name == 'c', good = is.st_size == was.st_size && is.st_mtim.tv_sec == was.st_mtim.tv_sec && is.st_mtim.tv_nsec == was.st_mtim.tv_nsec &&
		(copy || is.st_ino == was.st_ino);
	if (!good && copy && time(NULL) - is.st_ctim.tv_sec < COPYING)
		return; /* it may be under way */
	if (!good || vcr_preimages_find(p, id, as) || renameat(p->dir, name, p->dir, own_hex)) {
		unlinkat(p->dir, name, 0); /* it was written into through another of its names, or is there already */
		return;
	}
	if (copy) {
		unlinkat(p->dir, hex, 0);
		if (symlinkat(own_hex, p->dir, hex))
			unlinkat(p->dir, own_hex, 0);
	}
}

/* ---- In memory ---- */

static bool send_bytes(int from, int to, int64_t size)
{
	while (size > 0) {
		ssize_t n = sendfile(to, from, NULL, size < PART ? (size_t)size : PART);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		size -= n;
	}
	return true;
}

/* To the store, under its name. What it weighs; 0: it is no such copy, it is being made, or there is no room for it: it stays. */
static int64_t take_copy(struct vcr_preimages *p, int dir, const char *name)
{
	struct stat was, is;
	char temp[40];
	if (*name != 'c' || !parse_name(name, &was) || fstatat(dir, name, &is, AT_SYMLINK_NOFOLLOW) || !S_ISREG(is.st_mode))
		return 0;
	const struct timespec times[2] = { { 0, UTIME_OMIT }, is.st_mtim };
	bool whole = is.st_size == was.st_size && is.st_mtim.tv_sec == was.st_mtim.tv_sec && is.st_mtim.tv_nsec == was.st_mtim.tv_nsec;
	if (!whole && time(NULL) - is.st_ctim.tv_sec < COPYING)
		return 0;
	snprintf(temp, sizeof temp, "new.%d.m", (int)getpid());
	int from = whole ? openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1, to = from < 0 ? -1 : openat(p->dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good = to >= 0 && send_bytes(from, to, is.st_size) && !futimens(to, times) && !renameat(p->dir, temp, p->dir, name);
	if (to >= 0 && !good)
		unlinkat(p->dir, temp, 0);
	if (to >= 0)
		close(to);
	if (from >= 0)
		close(from);
	if (whole && !good)
		return 0;
	unlinkat(dir, name, 0);
	if (good)
		adopt(p, name);
	return was.st_size;
}

static bool is_ours(int dir)
{
	struct stat st;
	return !fstat(dir, &st) && st.st_uid == geteuid() && !(st.st_mode & 077);
}

/* It may be that nobody has waited for it. */
static bool has_ended(int pid)
{
	char path[40], text[300] = "";
	if (pid <= 0 || (kill(pid, 0) && errno == ESRCH))
		return pid > 0;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *end = fd >= 0 && read(fd, text, sizeof text - 1) > 0 ? strrchr(text, ')') : NULL;
	if (fd >= 0)
		close(fd);
	return end && !strncmp(end, ") Z", 3);
}

/* What the link leads to; the link goes with its maker. */
static int64_t take_memory(struct vcr_preimages *p, const char *link, bool over, int64_t most)
{
	char target[PATH_MAX];
	struct dirent *ent;
	int64_t bytes = 0;
	ssize_t n = readlinkat(p->dir, link, target, sizeof target);
	if (n <= 0 || n == sizeof target || *target != '/')
		return 0;
	target[n] = 0;
	int pid = atoi(link + 2), fd = open(target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool there = fd >= 0, ours = there && is_ours(fd);
	DIR *d = ours ? fdopendir(fd) : NULL;
	if (there && !d)
		close(fd);
	while (d && bytes < most && (ent = readdir(d)))
		bytes += take_copy(p, dirfd(d), ent->d_name);
	if (d)
		closedir(d);
	if ((over || has_ended(pid)) && (!there || (ours && !rmdir(target))))
		unlinkat(p->dir, link, 0);
	return bytes;
}

static bool can_clone(int dir)
{
	struct statfs fs;
	return !fstatfs(dir, &fs) && (fs.f_type == BTRFS_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC);
}

int vcr_preimages_memory(struct vcr_preimages *p, const char *dir)
{
	char name[24];
	snprintf(name, sizeof name, "m.%d", (int)getpid());
	if (can_clone(p->dir) || (mkdir(dir, 0700) && errno != EEXIST))
		return 1;
	unlinkat(p->dir, name, 0);
	return symlinkat(dir, p->dir, name) != 0;
}

void vcr_preimages_memory_end(struct vcr_preimages *p)
{
	char name[24];
	snprintf(name, sizeof name, "m.%d", (int)getpid());
	take_memory(p, name, true, INT64_MAX);
}

static int64_t weigh_memory(const struct vcr_preimages *p, const char *link)
{
	int64_t bytes = 0;
	struct dirent *ent;
	struct stat st;
	int fd = openat(p->dir, link, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	while (d && (ent = readdir(d)))
		if (*ent->d_name == 'c' && !fstatat(dirfd(d), ent->d_name, &st, AT_SYMLINK_NOFOLLOW))
			bytes += st.st_size;
	if (d)
		closedir(d);
	return bytes;
}

int64_t vcr_preimages_lighten(struct vcr_preimages *p, int64_t *left)
{
	char name[24];
	snprintf(name, sizeof name, "m.%d", (int)getpid());
	int64_t bytes = take_memory(p, name, false, MOST_AT_ONCE);
	*left = weigh_memory(p, name);
	return bytes;
}

int64_t vcr_preimages_adopt(struct vcr_preimages *p)
{
	struct dirent *ent;
	int64_t bytes = 0, taken;
	char own[24];
	int fd = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	snprintf(own, sizeof own, "m.%d", (int)getpid());
	while (d && (ent = readdir(d)))
		if (ent->d_name[0] == 'm' && ent->d_name[1] == '.') {
			taken = take_memory(p, ent->d_name, false, INT64_MAX);
			bytes += strcmp(ent->d_name, own) ? 0 : taken;
		}
		else if (ent->d_name[1] == '.')
			adopt(p, ent->d_name);
	if (d)
		closedir(d);
	return bytes;
}

/* ---- Housekeeping ---- */

size_t vcr_preimages_prune(struct vcr_preimages *p, int64_t before_ns, int64_t most, bool pretend, int64_t *bytes)
{
	size_t n, gone = 0;
	struct held *all = list_all(p, &n);
	*bytes = 0;
	for (size_t i = 0; i < n; i++)
		*bytes += all[i].bytes;
	for (size_t i = 0; i < n && (all[i].kept_ns < before_ns || (most >= 0 && *bytes > most)); i++) {
		if (!pretend && unlinkat(p->dir, all[i].name, 0))
			continue;
		*bytes -= all[i].bytes;
		gone++;
	}
	free(all);
	p->bytes = *bytes;
	return gone;
}

/* ---- Finding ---- */

bool vcr_preimages_find(struct vcr_preimages *p, const unsigned char id[VCR_LARGE_ID], unsigned char as[VCR_LARGE_ID])
{
	char hex[HEX + 1], to[HEX + 2];
	unsigned char is[VCR_LARGE_ID];
	struct stat st;
	hex_of(id, hex);
	memcpy(as, id, VCR_LARGE_ID);
	for (int hops = 0; hops < 16; hops++) {
		ssize_t n = readlinkat(p->dir, hex, to, sizeof to);
		if (n <= 0)
			break;
		to[n < HEX + 1 ? n : HEX + 1] = 0;
		if (!id_of(to, as))
			return false;
		strcpy(hex, to);
	}
	if (fstatat(p->dir, hex, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
		return false;
	vcr_large_id(&st, is);
	return !memcmp(is, as, VCR_LARGE_ID);
}

int vcr_preimages_link(struct vcr_preimages *p, const unsigned char as[VCR_LARGE_ID], int dir, const char *name)
{
	char hex[HEX + 1];
	hex_of(as, hex);
	return linkat(p->dir, hex, dir, name, 0);
}
