#include "index.h"
#include "limits.h"
#include "paths.h"
#include "reader-parts.h"
#include "replace.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENDS = 4096, MOST = 64, MAX_BYTES = sizeof(struct vcr_index_head) + VCR_INDEX_TYPES * VCR_INDEX_TYPE + VCR_INDEX_LINES * sizeof(struct vcr_index_line) + VCR_INDEX_SUM };
static const char magic[8] = "vcrIdx1"; /* another layout, or another vcr_reader_hash, is another number */

_Static_assert(sizeof(struct vcr_index_line) == 40 && sizeof(struct vcr_index_file) == 48 && sizeof(struct vcr_index_head) == 80, "no holes");

/* ---- Bytes ---- */

const char *vcr_index_type(const struct vcr_index *x, unsigned i)
{
	return x->type + (size_t)i * VCR_INDEX_TYPE;
}

struct vcr_index_line vcr_index_line(const struct vcr_index *x, size_t i)
{
	struct vcr_index_line l;
	memcpy(&l, x->line + i * sizeof l, sizeof l);
	return l;
}

int vcr_index_encode(struct vcr_buf *out, struct vcr_index_head *head, const char *type, const struct vcr_index_line *line)
{
	size_t from = out->len;
	memcpy(head->magic, magic, sizeof magic);
	vcr_buf_add(out, head, sizeof *head);
	vcr_buf_add(out, type, (size_t)head->ntypes * VCR_INDEX_TYPE);
	vcr_buf_add(out, line, (size_t)head->n * sizeof *line);
	uint64_t sum = vcr_reader_hash(out->data + from, out->len - from);
	return vcr_buf_add(out, &sum, sizeof sum);
}

static bool is_type(const char *p)
{
	size_t n = strnlen(p, VCR_INDEX_TYPE);
	for (size_t i = 0; i < n; i++)
		if (p[i] < 0x20 || p[i] > 0x7e)
			return false;
	return n < VCR_INDEX_TYPE;
}

static bool in_order(const struct vcr_index_line *a, const struct vcr_index_line *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind;
	if (a->kind == VCR_INDEX_FRAME && a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns;
	return a->line < b->line;
}

/* Is it within the bounds of the file? *left: bytes of the file that no line has claimed yet. */
static bool is_line(const struct vcr_index_head *h, const struct vcr_index_line *l, uint64_t *left)
{
	if (l->kind > VCR_INDEX_LOOK || l->call > 1 || l->zero || (l->kind != VCR_INDEX_LOOK && l->type >= h->ntypes))
		return false;
	if (l->line < 1 || l->line > h->lines || l->len > VCR_MAX_LINE || l->offset >= h->of.size || l->len >= h->of.size - l->offset)
		return false;
	if (l->len + 1ull > *left)
		return false;
	*left -= l->len + 1ull;
	return true;
}

int vcr_index_decode(struct vcr_index *x, const char *p, size_t n)
{
	struct vcr_index_head *h = &x->head;
	uint64_t sum;
	if (n < sizeof *h + sizeof sum || n > MAX_BYTES)
		return VCR_ECORRUPT;
	memcpy(h, p, sizeof *h);
	if (memcmp(h->magic, magic, sizeof magic) || h->ntypes > VCR_INDEX_TYPES || h->n > VCR_INDEX_LINES ||
		n != sizeof *h + (size_t)h->ntypes * VCR_INDEX_TYPE + (size_t)h->n * sizeof(struct vcr_index_line) + sizeof sum)
		return VCR_ECORRUPT;
	memcpy(&sum, p + n - sizeof sum, sizeof sum);
	if (sum != vcr_reader_hash(p, n - sizeof sum))
		return VCR_ECORRUPT;
	x->type = p + sizeof *h;
	x->line = x->type + (size_t)h->ntypes * VCR_INDEX_TYPE;
	if (h->of.size > INT64_MAX || h->lines < 0 || (uint64_t)h->lines > h->of.size || h->last_line < 0 || h->last_line > h->lines)
		return VCR_ECORRUPT;
	for (unsigned i = 0; i < h->ntypes; i++)
		if (!is_type(vcr_index_type(x, i)))
			return VCR_ECORRUPT;
	uint64_t left = h->of.size;
	struct vcr_index_line before = { 0 };
	for (size_t i = 0; i < h->n; i++) {
		struct vcr_index_line l = vcr_index_line(x, i);
		if (!is_line(h, &l, &left) || (i && !in_order(&before, &l)))
			return VCR_ECORRUPT;
		before = l;
	}
	return 0;
}

/* ---- Which file ---- */

static uint64_t nanoseconds(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

/* Its first and its last 4 KB. */
static bool hash_ends(int fd, uint64_t size, uint64_t *sum)
{
	char ends[2 * ENDS];
	size_t n = size < ENDS ? (size_t)size : ENDS;
	if (pread(fd, ends, n, 0) != (ssize_t)n || pread(fd, ends + n, n, (off_t)(size - n)) != (ssize_t)n)
		return false;
	*sum = vcr_reader_hash(ends, 2 * n);
	return true;
}

int vcr_index_identify(int fd, struct vcr_index_file *of)
{
	struct stat st;
	if (fstat(fd, &st))
		return VCR_EIO;
	if (!S_ISREG(st.st_mode))
		return VCR_EINVAL;
	*of = (struct vcr_index_file){ .dev = st.st_dev, .ino = st.st_ino, .size = (uint64_t)st.st_size, .mtime_ns = nanoseconds(&st.st_mtim), .ctime_ns = nanoseconds(&st.st_ctim) };
	return hash_ends(fd, of->size, &of->ends) ? 0 : VCR_EIO;
}

/* ---- The directory ---- */

static void name_of(const struct vcr_index_file *of, char name[48])
{
	snprintf(name, 48, "%llx-%llx", (unsigned long long)of->dev, (unsigned long long)of->ino);
}

/* Open it; nobody else may be able to write there. -1. */
static int open_dir(bool make)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct stat st;
	if (vcr_paths_cache_dir("index", make, &path, NULL))
		return -1;
	int fd = open(path.data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && !fstat(fd, &st) && st.st_uid == geteuid() && !(st.st_mode & 022))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int read_file(int dir, const char *name, struct vcr_buf *text)
{
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), err = VCR_ENOTFOUND;
	if (fd < 0)
		return err;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size > 0 && st.st_size <= MAX_BYTES) {
		char *to = vcr_buf_reserve(text, (size_t)st.st_size);
		if (to && read(fd, to, (size_t)st.st_size) == st.st_size) {
			vcr_buf_added(text, (size_t)st.st_size);
			err = 0;
		}
	}
	close(fd);
	return err;
}

int vcr_index_load(const struct vcr_index_file *of, struct vcr_buf *text, struct vcr_index *x)
{
	char name[48];
	int dir = open_dir(false);
	if (dir < 0)
		return 1;
	name_of(of, name);
	int err = read_file(dir, name, text);
	close(dir);
	return err || vcr_index_decode(x, text->data, text->len) || memcmp(&x->head.of, of, sizeof *of) ? 1 : 0;
}

/* The oldest files give way when there are too many. */
static void prune(int dir)
{
	char oldest[256];
	for (int n = MOST + 1; n > MOST;) {
		int fd = dup(dir);
		DIR *d = fd < 0 ? NULL : fdopendir(fd);
		struct timespec least = { 0 };
		if (!d) {
			if (fd >= 0)
				close(fd);
			return;
		}
		rewinddir(d);
		*oldest = 0;
		n = 0;
		for (struct dirent *f; (f = readdir(d)) != NULL;) {
			struct stat st;
			if (fstatat(dir, f->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
				continue;
			if (!n++ || nanoseconds(&st.st_mtim) < nanoseconds(&least)) {
				least = st.st_mtim;
				snprintf(oldest, sizeof oldest, "%s", f->d_name);
			}
		}
		closedir(d);
		if (n > MOST && unlinkat(dir, oldest, 0))
			return;
	}
}

void vcr_index_save(const struct vcr_index_file *of, const struct vcr_buf *text)
{
	char name[48];
	int dir = open_dir(true);
	if (dir < 0)
		return;
	name_of(of, name);
	if (!vcr_replace_write(dir, "index", name, text, NULL))
		prune(dir);
	close(dir);
}

void vcr_index_drop(const struct vcr_index_file *of)
{
	char name[48];
	int dir = open_dir(false);
	if (dir < 0)
		return;
	name_of(of, name);
	unlinkat(dir, name, 0);
	close(dir);
}
