/* savepoint-borrow.c — what the user's own repository knows already. Nothing of it is written: the index is read, packs and loose objects
 * are linked (copied where a link cannot be made), so what the shadow repository refers to stays whatever a gc over there does. */
#include "savepoint-parts.h"
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
	git_index *index;
	struct stat index_st;
	char *dir[MAX_DIRS];   /* object directories of the user */
	int ndir;
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
	vcr_buf_printf(&path, "%s/.gitattributes", b->s->workspace); /* tracked or not */
	judge_attributes(b, path.data);
	for (size_t i = 0, n = git_index_entrycount(b->index); i < n && !b->useless; i++) {
		const char *name = git_index_get_byindex(b->index, i)->path, *slash = strrchr(name, '/');
		if (strcmp(slash ? slash + 1 : name, ".gitattributes"))
			continue;
		vcr_buf_reset(&path);
		vcr_buf_printf(&path, "%s/%s", b->s->workspace, name);
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

static bool take_loose(struct vcr_borrow *b, const unsigned char oid[VCR_OID])
{
	VCR_AUTO_BUF from = VCR_BUF_INIT, to = VCR_BUF_INIT;
	char hex[41];
	vcr_store_hex(oid, hex);
	for (int i = 0; i < b->ndir; i++) {
		vcr_buf_reset(&from);
		vcr_buf_reset(&to);
		vcr_buf_printf(&from, "%s/%.2s/%s", b->dir[i], hex, hex + 2);
		vcr_buf_printf(&to, "%s/objects/%.2s", b->s->git_dir, hex);
		if (access(from.data, R_OK) || (mkdir(to.data, 0700) && errno != EEXIST))
			continue;
		vcr_buf_printf(&to, "/%s", hex + 2);
		if (take_over(b, from.data, to.data))
			return true;
	}
	return false;
}

static void add_dir(struct vcr_borrow *b, const char *dir)
{
	if (b->ndir < MAX_DIRS && *dir == '/' && (b->dir[b->ndir] = strdup(dir)))
		b->ndir++;
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

struct vcr_borrow *vcr_borrow_new(struct vcr_store *s)
{
	struct vcr_borrow *b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	b->s = s;
	b->may_copy = MAX_COPY;
	if (git_repository_open_ext(&b->repo, s->workspace, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) || git_repository_index(&b->index, b->repo) ||
	    !git_index_path(b->index) || stat(git_index_path(b->index), &b->index_st) || git_index_read(b->index, true)) {
		vcr_borrow_free(b);
		return NULL;
	}
	judge_all_attributes(b);
	find_dirs(b);
	for (int i = 0; i < b->ndir && !b->useless; i++)
		take_packs(b, b->dir[i]);
	git_odb_refresh(s->odb);
	return b;
}

void vcr_borrow_free(struct vcr_borrow *b)
{
	if (!b)
		return;
	for (int i = 0; i < b->ndir; i++)
		free(b->dir[i]);
	git_index_free(b->index);
	git_repository_free(b->repo);
	free(b);
}

/* As git does: the same times, inode and size, and older than the index, so that a change in the same instant cannot hide. */
static bool is_clean(const struct vcr_borrow *b, const git_index_entry *i, const struct stat *st)
{
	const struct timespec *im = &b->index_st.st_mtim, *m = &st->st_mtim;
	return i->mtime.seconds == (int32_t)m->tv_sec && i->mtime.nanoseconds == (uint32_t)m->tv_nsec && i->ctime.seconds == (int32_t)st->st_ctim.tv_sec &&
		i->ctime.nanoseconds == (uint32_t)st->st_ctim.tv_nsec && i->ino == (uint32_t)st->st_ino && i->file_size == (uint32_t)st->st_size &&
		(i->mode & 0170000) == (st->st_mode & 0170000) && (m->tv_sec < im->tv_sec || (m->tv_sec == im->tv_sec && m->tv_nsec < im->tv_nsec));
}

bool vcr_borrow_blob(struct vcr_borrow *b, const char *path, const struct stat *st, unsigned char oid[VCR_OID])
{
	const git_index_entry *i = b && !b->useless && st->st_size <= UINT32_MAX ? git_index_get_bypath(b->index, path, 0) : NULL;
	git_object_t type;
	size_t size;
	if (!i || !is_clean(b, i, st))
		return false;
	if (!vcr_store_has(b->s, i->id.id) && (!take_loose(b, i->id.id) || !vcr_store_has(b->s, i->id.id)))
		return false;
	if (b->measured && (git_odb_read_header(&size, &type, b->s->odb, &i->id) || size != (size_t)st->st_size))
		return false;
	memcpy(oid, i->id.id, VCR_OID);
	return true;
}

bool vcr_borrow_tracks(struct vcr_borrow *b, const char *dir)
{
	VCR_AUTO_BUF prefix = VCR_BUF_INIT;
	size_t at;
	vcr_buf_printf(&prefix, "%s/", dir);
	return b && !git_index_find_prefix(&at, b->index, prefix.data);
}
