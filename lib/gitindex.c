#include "gitindex.h"
#include "buf.h"
#include "limits.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER = 12, FIXED = 62 /* of an entry: ten numbers, the name of the object, flags */, SUM = 20, MAX_DEPTH = VCR_MAX_PATH / 2 };
enum { AT_CTIME = 0, AT_MTIME = 8, AT_INO = 20, AT_MODE = 24, AT_SIZE = 36, AT_FLAGS = 60 };
enum { EXTENDED = 0x4000, STAGE = 0x3000, LENGTH = 0xfff };

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static unsigned flags_of(const unsigned char *raw)
{
	return (unsigned)raw[AT_FLAGS] << 8 | raw[AT_FLAGS + 1];
}

static int corrupt(struct vcr_error *e, const char *what)
{
	return vcr_error_set(e, VCR_ECORRUPT, "a git index %s", what);
}

/* ---- Entries, one after the other ---- */

struct reader {
	const unsigned char *p, *end;
	unsigned version;
	struct vcr_buf paths;   /* of version 4, whose entries name what differs from the one before */
	size_t last;            /* in paths: the one before */
	struct vcr_error *e;
};

/* As in the packs of git: seven bits at a time, each further byte counting from one. */
static bool read_varint(struct reader *r, size_t *out)
{
	size_t v = 0;
	for (int i = 0; r->p < r->end && i < 4; i++) {
		unsigned char c = *r->p++;
		v = (v << 7) + (c & 0x7f);
		if (!(c & 0x80)) {
			*out = v;
			return true;
		}
		v++;
	}
	return false;
}

/* The path's offset in paths goes to i->path, since paths may move. */
static int read_packed_path(struct reader *r, struct vcr_gitindex_entry *i)
{
	size_t strip, had = r->paths.len ? strlen(r->paths.data + r->last) : 0, keep;
	const unsigned char *nul;
	if (!read_varint(r, &strip) || strip > had || !(nul = memchr(r->p, 0, (size_t)(r->end - r->p))))
		return corrupt(r->e, "has a path that does not fit");
	keep = had - strip;
	size_t more = (size_t)(nul - r->p), at = r->paths.len;
	if (keep + more >= VCR_MAX_PATH)
		return corrupt(r->e, "has a path that is too long");
	char *to = vcr_buf_reserve(&r->paths, keep + more + 1);
	if (!to)
		return vcr_error_set(r->e, r->paths.err, "a git index: %s", vcr_strerror(r->paths.err));
	memcpy(to, r->paths.data + r->last, keep);
	memcpy(to + keep, r->p, more + 1);
	vcr_buf_added(&r->paths, keep + more + 1);
	r->last = at;
	r->p = nul + 1;
	i->path = (const char *)at;
	i->len = (uint32_t)(keep + more);
	return 0;
}

static int read_plain_path(struct reader *r, struct vcr_gitindex_entry *i)
{
	size_t told = flags_of(i->raw) & LENGTH, left = (size_t)(r->end - r->p);
	const unsigned char *nul = told < left ? memchr(r->p + (told < LENGTH ? told : 0), 0, told < LENGTH ? 1 : left) : NULL;
	if (!nul || nul - r->p >= VCR_MAX_PATH)
		return corrupt(r->e, "has a path that does not fit");
	i->path = (const char *)r->p;
	i->len = (uint32_t)(nul - r->p);
	size_t whole = (size_t)(nul - i->raw), padded = (whole + 8) & ~(size_t)7;
	if (padded > (size_t)(r->end - i->raw) || (told < LENGTH && memchr(r->p, 0, told)))
		return corrupt(r->e, "has a path that does not fit");
	r->p = i->raw + padded;
	return 0;
}

static int read_entry(struct reader *r, struct vcr_gitindex_entry *i)
{
	if (r->end - r->p < FIXED + 2)
		return corrupt(r->e, "ends too early");
	i->raw = r->p;
	r->p += FIXED;
	if (flags_of(i->raw) & EXTENDED) {
		if (r->version < 3)
			return corrupt(r->e, "has flags that its version does not know");
		r->p += 2;
	}
	return r->version == 4 ? read_packed_path(r, i) : read_plain_path(r, i);
}

static int read_extensions(struct reader *r)
{
	while (r->end - r->p >= 8) {
		uint32_t n = be32(r->p + 4);
		if (*r->p < 'A' || *r->p > 'Z')
			return vcr_error_set(r->e, VCR_EVERSION, "a git index with the extension '%.4s'", (const char *)r->p);
		if (n > (size_t)(r->end - r->p) - 8)
			return corrupt(r->e, "has an extension that does not fit");
		r->p += 8 + n;
	}
	return 0;
}

static int read_entries(struct vcr_gitindex *x, size_t size, struct vcr_error *e)
{
	const unsigned char *file = (const unsigned char *)x->file;
	struct reader r = { .p = file + HEADER, .e = e };
	if (size < HEADER + SUM || memcmp(file, "DIRC", 4))
		return corrupt(e, "does not begin as one");
	r.end = file + size - SUM;
	r.version = be32(file + 4);
	if (r.version < 2 || r.version > 4)
		return vcr_error_set(e, VCR_EVERSION, "a git index of version %u", r.version);
	vcr_buf_init(&r.paths, VCR_MAX_GITINDEX);
	x->n = be32(file + 8);
	if (x->n > size / FIXED || !(x->entry = malloc((x->n + 1) * sizeof *x->entry)))
		return corrupt(e, "has more entries than it can hold");
	int err = 0;
	for (size_t i = 0; !err && i < x->n; i++)
		err = read_entry(&r, &x->entry[i]);
	if (!err)
		err = read_extensions(&r);
	x->paths = vcr_buf_take(&r.paths, NULL);
	vcr_buf_release(&r.paths);
	if (err || r.version != 4)
		return err;
	if (!x->paths)
		return vcr_error_set(e, VCR_ENOMEM, "a git index: out of memory");
	for (size_t i = 0; i < x->n; i++)
		x->entry[i].path = x->paths + (uintptr_t)x->entry[i].path;
	return 0;
}

/* ---- Directories ---- */

static int compare(const char *a, size_t an, const char *b, size_t bn)
{
	int c = memcmp(a, b, an < bn ? an : bn);
	return c ? c : an < bn ? -1 : an > bn;
}

static bool in_order(const struct vcr_gitindex_entry *a, const struct vcr_gitindex_entry *b)
{
	int c = compare(a->path, a->len, b->path, b->len);
	return c < 0 || (!c && (flags_of(a->raw) & STAGE) && (flags_of(a->raw) & STAGE) < (flags_of(b->raw) & STAGE));
}

static bool is_in(const struct vcr_gitindex_dir *d, const struct vcr_gitindex_entry *i)
{
	return !d->len || (i->len > d->len && i->path[d->len] == '/' && !memcmp(i->path, d->path, d->len));
}

struct finder { struct vcr_gitindex *x; size_t cap; uint32_t open[MAX_DEPTH + 2]; /* directories around the entry, the top first */ size_t depth; };

static bool add_dir(struct finder *f, const char *path, size_t len)
{
	struct vcr_gitindex *x = f->x;
	if (x->ndir == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 64;
		struct vcr_gitindex_dir *dir = reallocarray(x->dir, cap, sizeof *dir);
		if (!dir || cap > UINT32_MAX)
			return false;
		x->dir = dir;
		f->cap = cap;
	}
	x->dir[x->ndir] = (struct vcr_gitindex_dir){ .path = path, .len = (uint32_t)len };
	f->open[f->depth++] = (uint32_t)x->ndir++;
	return true;
}

/* The directory that the entry is in; entries come in order, so that all of a directory and what is in it come together. */
static bool find_dir(struct finder *f, const struct vcr_gitindex_entry *i)
{
	while (!is_in(&f->x->dir[f->open[f->depth - 1]], i))
		f->depth--;
	size_t at = f->x->dir[f->open[f->depth - 1]].len;
	const char *slash;
	for (at += at > 0; (slash = memchr(i->path + at, '/', i->len - at)); at = (size_t)(slash - i->path) + 1)
		if (slash == i->path + at || !add_dir(f, i->path, (size_t)(slash - i->path)))
			return false;
	return true;
}

/* Entries by directory instead of by path; of those in conflict only the directories stay. */
static int sort_entries(struct vcr_gitindex *x, struct vcr_error *e)
{
	struct vcr_gitindex_entry *sorted = malloc((x->n + 1) * sizeof *sorted);
	uint32_t *where = malloc((x->n + 1) * sizeof *where), first = 0;
	struct finder *f = calloc(1, sizeof *f);
	int err = sorted && where && f ? 0 : vcr_error_set(e, VCR_ENOMEM, "a git index: out of memory");
	if (!err) {
		f->x = x;
		err = add_dir(f, "", 0) ? 0 : vcr_error_set(e, VCR_ENOMEM, "a git index: out of memory");
	}
	for (size_t i = 0; !err && i < x->n; i++) {
		if ((i && !in_order(&x->entry[i - 1], &x->entry[i])) || !find_dir(f, &x->entry[i]))
			err = corrupt(e, "has entries that are not in order");
		else if (!(flags_of(x->entry[i].raw) & STAGE))
			x->dir[where[i] = f->open[f->depth - 1]].n++;
	}
	for (size_t d = 0; !err && d < x->ndir; d++) {
		x->dir[d].first = first;
		first += x->dir[d].n;
		x->dir[d].n = 0;
	}
	for (size_t i = 0; !err && i < x->n; i++)
		if (!(flags_of(x->entry[i].raw) & STAGE)) {
			struct vcr_gitindex_dir *d = &x->dir[where[i]];
			sorted[d->first + d->n++] = x->entry[i];
		}
	free(where);
	free(f);
	if (err) {
		free(sorted);
		return err;
	}
	free(x->entry);
	x->entry = sorted;
	x->n = first;
	return 0;
}

/* ---- Outside ---- */

static int read_file(struct vcr_gitindex *x, const char *path, size_t *size, struct vcr_error *e)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
	if (fd < 0 || fstat(fd, &st))
		err = vcr_error_sys(e, errno, "%s", path);
	else if (!S_ISREG(st.st_mode) || st.st_size > VCR_MAX_GITINDEX)
		err = vcr_error_set(e, VCR_ELIMIT, "%s: a git index of %lld bytes", path, (long long)st.st_size);
	else if (!(x->file = malloc((size_t)st.st_size + 1)))
		err = vcr_error_set(e, VCR_ENOMEM, "a git index: out of memory");
	ssize_t k = 0;
	for (*size = 0; !err && *size < (size_t)st.st_size; *size += (size_t)k)
		if ((k = read(fd, x->file + *size, (size_t)st.st_size - *size)) <= 0)
			err = corrupt(e, "became shorter while it was read");
	if (fd >= 0)
		close(fd);
	if (!err)
		x->written = st.st_mtim;
	return err;
}

int vcr_gitindex_read(struct vcr_gitindex *x, const char *path, struct vcr_error *e)
{
	size_t size;
	*x = (struct vcr_gitindex){ 0 };
	int err = read_file(x, path, &size, e);
	if (!err && !(err = read_entries(x, size, e)))
		err = sort_entries(x, e);
	if (err)
		vcr_gitindex_release(x);
	return err;
}

void vcr_gitindex_release(struct vcr_gitindex *x)
{
	free(x->entry);
	free(x->dir);
	free(x->file);
	free(x->paths);
	*x = (struct vcr_gitindex){ 0 };
}

/* As in the index, where something in a directory follows its name and a slash. */
static int compare_dirs(const char *a, size_t an, const char *b, size_t bn)
{
	size_t n = an < bn ? an : bn;
	int c = memcmp(a, b, n);
	if (c || an == bn)
		return c;
	unsigned char x = an > n ? (unsigned char)a[n] : '/', y = bn > n ? (unsigned char)b[n] : '/';
	return x != y ? (x < y ? -1 : 1) : an < bn ? -1 : 1;
}

const struct vcr_gitindex_dir *vcr_gitindex_dir(const struct vcr_gitindex *x, const char *path, size_t n)
{
	size_t low = n ? 1 : 0, high = n ? x->ndir : 1;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int c = compare_dirs(path, n, x->dir[middle].path, x->dir[middle].len);
		if (!c)
			return &x->dir[middle];
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const struct vcr_gitindex_entry *vcr_gitindex_find(const struct vcr_gitindex *x, const struct vcr_gitindex_dir *dir, const char *name, size_t n)
{
	size_t low = dir->first, high = low + dir->n, skip = dir->len + (dir->len > 0);
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct vcr_gitindex_entry *i = &x->entry[middle];
		int c = compare(name, n, i->path + skip, i->len - skip);
		if (!c)
			return i;
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static bool same_time(const unsigned char *raw, const struct timespec *t)
{
	return be32(raw) == (uint32_t)t->tv_sec && be32(raw + 4) == (uint32_t)t->tv_nsec;
}

bool vcr_gitindex_is_clean(const struct vcr_gitindex *x, const struct vcr_gitindex_entry *i, const struct stat *st)
{
	const struct timespec *w = &x->written, *m = &st->st_mtim;
	return same_time(i->raw + AT_MTIME, m) && same_time(i->raw + AT_CTIME, &st->st_ctim) && be32(i->raw + AT_INO) == (uint32_t)st->st_ino &&
		st->st_size <= UINT32_MAX && be32(i->raw + AT_SIZE) == (uint32_t)st->st_size && (be32(i->raw + AT_MODE) & S_IFMT) == (st->st_mode & S_IFMT) &&
		(m->tv_sec < w->tv_sec || (m->tv_sec == w->tv_sec && m->tv_nsec < w->tv_nsec));
}
