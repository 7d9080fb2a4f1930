/* savepoint-borrow.c — what the user's own repository knows already. Nothing of it is written: the index is read, packs and loose objects
 * are linked (copied where a link cannot be made), so what the shadow repository refers to stays whatever a gc over there does. */
#include "savepoint-parts.h"
#include "gitindex.h"
#include "packindex.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_DIRS = 8, MAX_COPY = 128 << 20 /* bytes of packs copied from another file system */ };

struct vcr_borrow {
	struct vcr_store *s;
	git_repository *repo;
	struct vcr_gitindex index;
	struct vcr_packindex *packs; /* of the shadow repository */
	size_t hint;
	struct vcr_ahead *ahead;
	char *dir[MAX_DIRS];   /* object directories of the user */
	int dir_fd[MAX_DIRS];
	int ndir;
	int objects;           /* the shadow repository's */
	int64_t may_copy;
	bool measured;         /* content on disk may differ from the blob: compare sizes at least */
	bool useless;          /* it may differ at the same size */
};

/* ---- Filters: what git stores is not always what stands on the disk ---- */

/* Line ends and $Id$ change the size when they change anything; filters and encodings may do what they like. */
static void judge_attributes(struct vcr_borrow *b, const char *path)
{
	char text[64 << 10];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return;
	text[n] = 0;
	b->measured = true;
	if (strlen(text) != (size_t)n || (size_t)n == sizeof text - 1 || strstr(text, "filter") || strstr(text, "working-tree-encoding"))
		b->useless = true;
}

/* Git heeds a .gitattributes that it does not track as well. */
static void judge_all_attributes(struct vcr_borrow *b)
{
	git_config *config = NULL;
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	git_buf value = GIT_BUF_INIT;
	judge_attributes(b, "/etc/gitattributes");
	vcr_buf_printf(&path, "%sinfo/attributes", git_repository_commondir(b->repo));
	judge_attributes(b, path.data);
	if (!git_repository_config_snapshot(&config, b->repo)) {
		const char *word;
		if (!git_config_get_string(&word, config, "core.autocrlf") && strcmp(word, "false"))
			b->measured = true;
		if (!git_config_get_path(&value, config, "core.attributesfile"))
			judge_attributes(b, value.ptr);
	}
	git_buf_dispose(&value);
	git_config_free(config);
	const char *home = getenv("HOME"), *xdg = getenv("XDG_CONFIG_HOME");
	vcr_buf_reset(&path);
	vcr_buf_printf(&path, "%s%s/git/attributes", xdg ? xdg : home ? home : "", xdg ? "" : "/.config");
	judge_attributes(b, path.data);
	vcr_buf_reset(&path);
	vcr_buf_printf(&path, "%s/.gitattributes", b->s->workspace);
	judge_attributes(b, path.data);
	for (size_t i = 1; i < b->index.ndir && !b->useless; i++) {
		const struct vcr_gitindex_dir *d = &b->index.dir[i];
		vcr_buf_reset(&path);
		vcr_buf_printf(&path, "%s/%.*s/.gitattributes", b->s->workspace, (int)d->len, d->path);
		judge_attributes(b, path.data);
	}
}

/* ---- Objects ---- */

static int copy(const char *from, const char *to)
{
	VCR_AUTO_BUF temp = VCR_BUF_INIT;
	int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
	ssize_t k = -1;
	vcr_buf_printf(&temp, "%s.tmp%d", to, (int)getpid());
	if (in >= 0)
		out = open(temp.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
	while (out >= 0 && (k = copy_file_range(in, NULL, out, NULL, 1 << 30, 0)) > 0)
		;
	char part[64 << 10];
	if (k < 0 && out >= 0 && !lseek(out, 0, SEEK_CUR)) /* between file systems of different kinds */
		while ((k = read(in, part, sizeof part)) > 0 && (k = write(out, part, (size_t)k)) > 0)
			;
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	if (!k && !rename(temp.data, to))
		return 0;
	unlink(temp.data);
	return -1;
}

/* One file of the user's object directory at its place in ours. */
static bool take_over(struct vcr_borrow *b, const char *from, const char *to)
{
	struct stat st;
	if (!link(from, to) || errno == EEXIST)
		return true;
	if (stat(from, &st) || st.st_size > b->may_copy || copy(from, to))
		return false;
	b->may_copy -= st.st_size;
	return true;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);
	return n > k && !strcmp(s + n - k, end);
}

/* A pack counts when its index is there, so the index comes last. */
static void take_packs(struct vcr_borrow *b, const char *dir)
{
	VCR_AUTO_BUF from = VCR_BUF_INIT, to = VCR_BUF_INIT;
	vcr_buf_printf(&from, "%s/pack/", dir);
	vcr_buf_printf(&to, "%s/objects/pack/", b->s->git_dir);
	size_t f = from.len, t = to.len;
	DIR *d = opendir(from.data);
	struct dirent *ent;
	while (d && (ent = readdir(d))) {
		if (!ends_with(ent->d_name, ".idx") || strncmp(ent->d_name, "pack-", 5))
			continue;
		int stem = (int)strlen(ent->d_name) - 4;
		for (int i = 0; i < 2; i++) {
			vcr_buf_cut(&from, f);
			vcr_buf_cut(&to, t);
			vcr_buf_printf(&from, "%.*s%s", stem, ent->d_name, i ? ".idx" : ".pack");
			vcr_buf_printf(&to, "%.*s%s", stem, ent->d_name, i ? ".idx" : ".pack");
			if (!take_over(b, from.data, to.data))
				break;
		}
	}
	if (d)
		closedir(d);
}

/* 1: it is not there. -1: it is, or may be, and cannot be linked. */
static int link_loose(struct vcr_borrow *b, int from, const char *name)
{
	const char prefix[3] = { name[0], name[1], 0 };
	for (int turn = 0; turn < 2; turn++) {
		if (!linkat(from, name, b->objects, name, 0) || errno == EEXIST)
			return 0;
		if (errno != ENOENT)
			return -1;
		if (mkdirat(b->objects, prefix, 0700))
			return errno == EEXIST ? 1 : -1;
	}
	return 1;
}

static bool take_loose(struct vcr_borrow *b, const unsigned char oid[VCR_OID])
{
	char hex[41], name[42];
	vcr_store_hex(oid, hex);
	snprintf(name, sizeof name, "%.2s/%s", hex, hex + 2);
	for (int i = 0; i < b->ndir; i++) {
		VCR_AUTO_BUF from = VCR_BUF_INIT, to = VCR_BUF_INIT;
		int linked = link_loose(b, b->dir_fd[i], name);
		if (!linked)
			return true;
		vcr_buf_printf(&from, "%s/%s", b->dir[i], name);
		vcr_buf_printf(&to, "%s/objects/%s", b->s->git_dir, name);
		if (linked < 0 && !access(from.data, R_OK) && take_over(b, from.data, to.data))
			return true;
	}
	return false;
}

static void add_dir(struct vcr_borrow *b, const char *dir)
{
	int fd = b->ndir < MAX_DIRS && *dir == '/' ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	if ((b->dir[b->ndir] = strdup(dir)))
		b->dir_fd[b->ndir++] = fd;
	else
		close(fd);
}

/* The repository's own objects and its alternates (one level: git clone --shared, --reference). */
static void find_dirs(struct vcr_borrow *b)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	char text[16 << 10];
	vcr_buf_printf(&dir, "%sobjects", git_repository_commondir(b->repo));
	add_dir(b, dir.data);
	vcr_buf_puts(&dir, "/info/alternates");
	int fd = open(dir.data, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = 0;
	char *save;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		add_dir(b, line);
}

/* ---- The index ---- */

static void open_packs(struct vcr_borrow *b)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	vcr_buf_printf(&path, "%s/objects", b->s->git_dir);
	b->objects = open(path.data, O_PATH | O_DIRECTORY | O_CLOEXEC);
	vcr_buf_puts(&path, "/pack");
	b->packs = vcr_packindex_open(path.data);
}

static bool read_index(struct vcr_borrow *b)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	if (git_repository_open_ext(&b->repo, b->s->workspace, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL))
		return false;
	vcr_buf_printf(&path, "%sindex", git_repository_path(b->repo));
	return !vcr_gitindex_read(&b->index, path.data, NULL);
}

struct vcr_borrow *vcr_borrow_new(struct vcr_store *s)
{
	struct vcr_borrow *b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	b->s = s;
	b->objects = -1;
	b->may_copy = MAX_COPY;
	if (!read_index(b)) {
		vcr_borrow_free(b);
		return NULL;
	}
	judge_all_attributes(b);
	find_dirs(b);
	for (int i = 0; i < b->ndir && !b->useless; i++)
		take_packs(b, b->dir[i]);
	open_packs(b);
	b->ahead = vcr_ahead_new(s->root, &b->index, b->packs);
	git_odb_refresh(s->odb);
	return b;
}

void vcr_borrow_free(struct vcr_borrow *b)
{
	if (!b)
		return;
	vcr_ahead_free(b->ahead);
	for (int i = 0; i < b->ndir; i++) {
		free(b->dir[i]);
		close(b->dir_fd[i]);
	}
	if (b->objects >= 0)
		close(b->objects);
	vcr_packindex_free(b->packs);
	vcr_gitindex_release(&b->index);
	git_repository_free(b->repo);
	free(b);
}

bool vcr_borrow_listing(struct vcr_borrow *b, const char *path, size_t n, const struct stat *st, struct vcr_listing *out)
{
	return b && vcr_ahead_take(b->ahead, path, n, st, out);
}

static const unsigned char *clean_blob(const struct vcr_borrow *b, const char *path, const struct stat *st)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const struct vcr_gitindex_dir *d = vcr_gitindex_dir(&b->index, path, slash ? (size_t)(slash - path) : 0);
	const struct vcr_gitindex_entry *i = d ? vcr_gitindex_find(&b->index, d, name, strlen(name)) : NULL;
	return i && vcr_gitindex_is_clean(&b->index, i, st) ? vcr_gitindex_oid(i) : NULL;
}

bool vcr_borrow_blob(struct vcr_borrow *b, const char *path, const struct vcr_seen *seen, const struct stat *st, unsigned char oid[VCR_OID])
{
	const unsigned char *known = !b || b->useless ? NULL : seen ? seen->known : clean_blob(b, path, st);
	git_object_t type;
	git_oid id;
	size_t size;
	if (!known || (!(seen && seen->packed) && !vcr_borrow_has(b, known) && !take_loose(b, known) && !vcr_store_has(b->s, known)))
		return false;
	git_oid_fromraw(&id, known);
	if (b->measured && (git_odb_read_header(&size, &type, b->s->odb, &id) || size != (size_t)st->st_size))
		return false;
	memcpy(oid, known, VCR_OID);
	return true;
}

bool vcr_borrow_tracks(const struct vcr_borrow *b, const char *dir)
{
	return b && vcr_gitindex_dir(&b->index, dir, strlen(dir));
}

bool vcr_borrow_has(struct vcr_borrow *b, const unsigned char oid[VCR_OID])
{
	return b && vcr_packindex_has(b->packs, oid, &b->hint);
}
