/* files-look.c — what a path is now, what it was, and where its content is kept meanwhile. */
#include "files-parts.h"
#include "beneath.h"
#include "limits.h"
#include "sha256.h"
#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t vcr_files_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t vcr_look_changed_ns(const struct vcr_look *l)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return vcr_files_now() - (ns_of(now) - ns_of(l->st.st_ctim));
}

bool vcr_files_withheld(const struct vcr_files *f, const char *path)
{
	return f->is_secret && f->is_secret(path);
}

void vcr_look_release(struct vcr_look *l)
{
	vcr_buf_release(&l->data);
}

static void note_time(struct vcr_look *l)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	l->looked_ns = vcr_files_now();
	l->racy = ns_of(t) - ns_of(l->st.st_ctim) < VCR_FILES_RACY_NS;
}

/* ---- Reading ---- */

/* Read to the end: into data while it is small enough to keep, through the hash in any case. False: it could not be read whole. */
static bool read_through(int fd, struct vcr_look *l)
{
	static char chunk[128 << 10];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good = md && EVP_DigestInit_ex(md, vcr_sha256_md(), NULL);
	int64_t total = 0;
	vcr_buf_reset(&l->data);
	l->read = true;
	while (good && !(total && total == l->st.st_size)) { /* whether it has grown meanwhile is asked afterwards */
		ssize_t n = read(fd, chunk, sizeof chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			good = n == 0;
			break;
		}
		total += n;
		if (total > VCR_MAX_FILE_CONTENT && l->read) {
			l->read = false;
			vcr_buf_release(&l->data);
		}
		good = total <= VCR_FILES_MAX_HASHED && EVP_DigestUpdate(md, chunk, (size_t)n) && (!l->read || !vcr_buf_add(&l->data, chunk, (size_t)n));
	}
	l->has_sha = good && EVP_DigestFinal_ex(md, l->sha, NULL);
	if (!good)
		l->read = false;
	EVP_MD_CTX_free(md);
	return good;
}

/* A file that changes while it is read is read again, a few times. */
static void read_file(struct vcr_files *f, int fd, struct vcr_look *l)
{
	bool good = true;
	if (l->st.st_size > VCR_FILES_MAX_HASHED)
		good = false;
	for (int tries = 0; good && tries < 3; tries++) {
		struct stat after;
		good = (!tries || lseek(fd, 0, SEEK_SET) == 0) && read_through(fd, l) && !fstat(fd, &after);
		if (!good || (after.st_size == l->st.st_size && ns_of(after.st_mtim) == ns_of(l->st.st_mtim)))
			break;
		l->st = after;
	}
	f->stats.unread += !good;
	note_time(l);
}

void vcr_files_read_at(struct vcr_files *f, int dir, const char *name, const struct stat *st, struct vcr_look *l)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	l->st = *st;
	l->exists = true;
	if (fd < 0 || fstat(fd, &l->st) || !S_ISREG(l->st.st_mode))
		f->stats.unread++;
	else
		read_file(f, fd, l);
	if (fd >= 0)
		close(fd);
}

/* ---- Where ---- */

static void forget_near(struct vcr_files *f)
{
	if (f->near >= 0)
		close(f->near);
	free(f->near_path);
	f->near = -1;
	f->near_path = NULL;
}

void vcr_files_look_begin(struct vcr_files *f)
{
	forget_near(f);
	f->sweeping = true;
}

void vcr_files_look_end(struct vcr_files *f)
{
	forget_near(f);
	f->sweeping = false;
}

/* The directory that a path stands in, and its name there; negative: there is none. */
static int near_of(struct vcr_files *f, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	*name = slash ? slash + 1 : path;
	if (!slash)
		return f->dir;
	if (f->sweeping && f->near_path && !strncmp(f->near_path, path, n) && !f->near_path[n])
		return f->near;
	forget_near(f);
	if ((f->near_path = strndup(path, n)))
		f->near = vcr_beneath_open(f->dir, f->near_path, O_PATH | O_DIRECTORY, 0);
	return f->near;
}

bool vcr_files_exists(struct vcr_files *f, const char *path, struct stat *st)
{
	const char *name;
	int dir = near_of(f, path, &name);
	bool there = dir >= 0 && !fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW);
	if (!f->sweeping)
		forget_near(f);
	return there;
}

static void read_link(int dir, const char *name, struct vcr_look *l)
{
	char target[4096];
	ssize_t n = readlinkat(dir, name, target, sizeof target);
	l->read = n >= 0 && !vcr_buf_add(&l->data, target, (size_t)n);
	l->has_sha = l->read && vcr_sha256(target, (size_t)n, l->sha);
}

static void look(struct vcr_files *f, int dir, const char *name, bool content, struct vcr_look *l)
{
	vcr_buf_reset(&l->data);
	*l = (struct vcr_look){ .data = l->data, .exists = dir >= 0 && !fstatat(dir, name, &l->st, AT_SYMLINK_NOFOLLOW), .st = l->st };
	l->looked_ns = vcr_files_now();
	if (!l->exists)
		return;
	note_time(l);
	if (!content)
		return;
	if (S_ISLNK(l->st.st_mode)) {
		read_link(dir, name, l);
	} else if (S_ISREG(l->st.st_mode)) {
		int in = vcr_beneath_open(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
		struct stat st;
		if (in >= 0 && !fstat(in, &st) && S_ISREG(st.st_mode)) {
			l->st = st;
			read_file(f, in, l);
		} else {
			f->stats.unread++;
		}
		if (in >= 0)
			close(in);
	}
}

void vcr_files_look(struct vcr_files *f, const char *path, struct vcr_look *l, bool content)
{
	const char *name;
	int dir = near_of(f, path, &name);
	look(f, dir, name, content && !vcr_files_withheld(f, path), l);
	if (!f->sweeping)
		forget_near(f);
}

/* ---- Knowing ---- */

bool vcr_known_same(const struct vcr_known *k, const struct stat *st)
{
	return k->mode == st->st_mode && k->ino == st->st_ino && k->dev == st->st_dev &&
		(S_ISDIR(st->st_mode) || (k->size == st->st_size && k->mtime_ns == ns_of(st->st_mtim) && k->ctime_ns == ns_of(st->st_ctim)));
}

void vcr_known_forget(struct vcr_files *f, struct vcr_known *k)
{
	if (k->keep == VCR_KEEP_MEMORY)
		f->stats.bytes_kept -= k->packed;
	free(k->kept);
	k->kept = NULL;
	k->keep = VCR_KEEP_NONE;
	k->packed = 0;
	k->has_sha = false;
}

void vcr_known_drop(struct vcr_files *f, struct vcr_known *k)
{
	vcr_known_forget(f, k);
	free(k);
}

/* As much as fits into keep_bytes; a quarter of it for what git ignores, so that build output does not crowd out sources. */
static void keep_content(struct vcr_files *f, struct vcr_known *k, const struct vcr_buf *data)
{
	size_t limit = k->ignored ? f->keep_bytes / 4 : f->keep_bytes;
	int bound = LZ4_compressBound((int)data->len);
	char *to = (size_t)f->stats.bytes_kept < limit ? malloc((size_t)bound + 1) : NULL;
	int n = to ? LZ4_compress_default(data->data, to, (int)data->len, bound) : 0;
	if (n <= 0 || (size_t)f->stats.bytes_kept + (size_t)n > limit) {
		free(to);
		f->stats.unread += n > 0;
		return;
	}
	char *less = realloc(to, (size_t)n);
	k->kept = less ? less : to;
	k->packed = (uint32_t)n;
	k->keep = VCR_KEEP_MEMORY;
	f->stats.bytes_kept += n;
}

void vcr_known_set(struct vcr_files *f, struct vcr_known *k, const struct vcr_look *l)
{
	vcr_known_forget(f, k);
	k->mode = l->st.st_mode;
	k->size = l->st.st_size;
	k->ino = l->st.st_ino;
	k->dev = l->st.st_dev;
	k->several = !S_ISDIR(l->st.st_mode) && l->st.st_nlink > 1;
	k->mtime_ns = ns_of(l->st.st_mtim);
	k->ctime_ns = ns_of(l->st.st_ctim);
	k->looked_ns = k->told_ns = l->looked_ns;
	k->racy = l->racy;
	k->has_sha = l->has_sha;
	memcpy(k->sha, l->sha, sizeof k->sha);
	if (l->read) {
		k->size = (int64_t)l->data.len;
		keep_content(f, k, &l->data);
	}
}

static bool from_git(struct vcr_files *f, const struct vcr_known *k, struct vcr_buf *out)
{
	git_odb_object *o = NULL;
	git_oid id;
	memset(&id, 0, sizeof id);
	memcpy(id.id, k->kept, sizeof id.id);
	/* Another size: a checkout filter (CRLF, LFS) stands between the object and the file. */
	bool good = f->odb && !git_odb_read(&o, f->odb, &id) && git_odb_object_type(o) == GIT_OBJECT_BLOB &&
		git_odb_object_size(o) == (size_t)k->size && !vcr_buf_add(out, git_odb_object_data(o), git_odb_object_size(o));
	git_odb_object_free(o);
	return good;
}

bool vcr_known_content(struct vcr_files *f, const struct vcr_known *k, struct vcr_buf *out)
{
	if (k->keep == VCR_KEEP_GIT)
		return k->size <= VCR_MAX_FILE_CONTENT && from_git(f, k, out);
	char *to = k->keep == VCR_KEEP_MEMORY ? vcr_buf_reserve(out, (size_t)k->size) : NULL;
	if (!to || LZ4_decompress_safe(k->kept, to, (int)k->packed, (int)k->size) != (int)k->size)
		return false;
	vcr_buf_added(out, (size_t)k->size);
	return true;
}
