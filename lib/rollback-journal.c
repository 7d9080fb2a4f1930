/* rollback-journal.c — a rollback as a list of steps that may be interrupted anywhere and begun again.
 *
 * STATE/rollback.journal, complete or absent (written aside, then to the disk, renamed):
 *   vcr-rollback 1
 *   undo COMMIT
 *   item MODE OID MODE OID PATH      now, then to; octal, hex; PATH with \n and \\ escaped; one line for each path
 *   attrs OID OID                   of the item before, likewise; 0 for none; no such line if it has none then and now
 *   time NS                         modification time that the item is to have, nanoseconds since 1970; no such line: a new one
 *   end COUNT
 * Every step brings a path to `to` whatever an earlier attempt left: files are renamed over, directories made if missing. */
#include "rollback-parts.h"
#include "attrs.h"
#include "beneath.h"
#include "flush.h"
#include "preimage.h"
#include "replace.h"
#include "savepoint-parts.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_JOURNAL = 256 << 20 };
static const char STAGE[] = ".vcr-rollback";
static const unsigned char none[VCR_OID];

int vcr_rollback_compare(const char *a, const char *b)
{
	return vcr_path_compare(a, b);
}

static unsigned type_of(const struct vcr_entry *entry)
{
	return entry->mode & VCR_ENTRY_TYPE;
}

/* ---- The journal as a file ---- */

int vcr_journal_add(struct vcr_journal *j, const char *path, const struct vcr_entry *now, const struct vcr_entry *to, struct vcr_error *e)
{
	if (j->n == j->cap) {
		size_t cap = j->cap ? j->cap * 2 : 64;
		struct vcr_journal_item *item = reallocarray(j->item, cap, sizeof *item);
		if (!item)
			return vcr_error_set(e, VCR_ENOMEM, "rollback: out of memory");
		j->item = item;
		j->cap = cap;
	}
	char *copy = strdup(path);
	if (!copy)
		return vcr_error_set(e, VCR_ENOMEM, "rollback: out of memory");
	j->item[j->n++] = (struct vcr_journal_item){ .path = copy, .now = *now, .to = *to };
	return 0;
}

void vcr_journal_release(struct vcr_journal *j)
{
	for (size_t i = 0; i < j->n; i++)
		free(j->item[i].path);
	free(j->item);
	*j = (struct vcr_journal){ 0 };
}

static void journal_path(const struct vcr_rollback_where *w, struct vcr_buf *path)
{
	vcr_buf_printf(path, "%s/rollback.journal", w->state_dir);
}

static void write_item(struct vcr_buf *out, const struct vcr_journal_item *i)
{
	char now[41], to[41];
	vcr_store_hex(i->now.oid, now);
	vcr_store_hex(i->to.oid, to);
	vcr_buf_printf(out, "item %o %s %o %s ", i->now.mode, now, i->to.mode, to);
	for (const char *p = i->path; *p; p++)
		if (*p == '\n' || *p == '\\')
			vcr_buf_puts(out, *p == '\n' ? "\\n" : "\\\\");
		else
			vcr_buf_putc(out, *p);
	vcr_buf_putc(out, '\n');
	if (i->timed)
		vcr_buf_printf(out, "time %lld\n", (long long)i->mtime_ns);
	if (!memcmp(i->now.attrs, none, VCR_OID) && !memcmp(i->to.attrs, none, VCR_OID))
		return;
	vcr_store_hex(i->now.attrs, now);
	vcr_store_hex(i->to.attrs, to);
	vcr_buf_printf(out, "attrs %s %s\n", now, to);
}

static void journal_text(const struct vcr_journal *j, struct vcr_buf *out)
{
	vcr_buf_printf(out, "vcr-rollback 1\nundo %s\n", j->undo);
	for (size_t i = 0; i < j->n; i++)
		write_item(out, &j->item[i]);
	vcr_buf_printf(out, "end %zu\n", j->n);
}

static bool same_device(int a, int b)
{
	struct stat x, y;
	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev;
}

static bool is_content(const struct vcr_entry *entry)
{
	return type_of(entry) == VCR_ENTRY_FILE || type_of(entry) == VCR_ENTRY_LINK || type_of(entry) == VCR_ENTRY_LARGE; /* the latter from preimage.h's store */
}

/* Its attributes are the savepoint's. */
static bool is_owned(const struct vcr_entry *entry)
{
	return type_of(entry) == VCR_ENTRY_FILE || type_of(entry) == VCR_ENTRY_DIR;
}

/* The new content, the journal and what an undo needs, written back side by side. 0; 1: the file system keeps no order, it takes a syncfs of each; -1 (errno). */
static int write_back(const struct vcr_journal *j, const struct vcr_rollback_where *w, int state, int stage, int journal)
{
	int err = !same_device(state, stage) || !vcr_flush_in_order(stage);
	for (int wait = 0; !err && wait < 2; wait++) {
		err = vcr_store_flush(w->store, wait);
		if (!err)
			err = vcr_flush_open(journal, wait);
		for (size_t i = 0; !err && i < j->n; i++) {
			char name[32];
			snprintf(name, sizeof name, "%zu", i);
			if (is_content(&j->item[i].to))
				err = vcr_flush_file(stage, name, wait);
		}
	}
	return err;
}

/* The state before, the new content and the journal must be on the disk when the journal gets its name, which lets the old content be destroyed. Where the file
 * system keeps the order of its changes the names need no flush: whatever of them a power failure leaves, what they name is there. */
static int begin(const struct vcr_journal *j, const struct vcr_rollback_where *w, int stage, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, temp = VCR_BUF_INIT, text = VCR_BUF_INIT;
	journal_path(w, &path);
	vcr_buf_printf(&temp, "%s.new", path.data);
	journal_text(j, &text);
	if (text.err)
		return vcr_error_set(e, text.err, "rollback: %s", vcr_strerror(text.err));
	int state = open(w->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (state < 0)
		return vcr_error_sys(e, errno, "%s; nothing was done", w->state_dir);
	int fd = open(temp.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good = fd >= 0 && !vcr_write_all(fd, text.data, text.len);
	int written = good ? write_back(j, w, state, stage, fd) : 0;
	good = good && written >= 0 && (!written || ((same_device(state, stage) || !syncfs(stage)) && !syncfs(fd))) && !rename(temp.data, path.data);
	int saved = errno;
	if (good && written)
		fsync(state);
	if (good)
		vcr_store_flushed(w->store);
	if (fd >= 0)
		close(fd);
	close(state);
	return good ? 0 : vcr_error_sys(e, saved, "%s; nothing was done", temp.data);
}

static bool read_oid(char **p, struct vcr_entry *out)
{
	char hex[41];
	out->mode = (unsigned)strtoul(*p, p, 8);
	if (**p != ' ' || strlen(*p) < 42 || (*p)[41] != ' ')
		return false;
	memcpy(hex, *p + 1, 40);
	hex[40] = 0;
	*p += 42;
	return vcr_store_unhex(hex, out->oid);
}

/* "OID OID" of a line of attributes. */
static bool read_attrs(const char *p, struct vcr_journal *j)
{
	char now[41], to[41];
	struct vcr_journal_item *i = j->n ? &j->item[j->n - 1] : NULL;
	if (!i || strlen(p) != 81 || p[40] != ' ')
		return false;
	memcpy(now, p, 40);
	now[40] = 0;
	strcpy(to, p + 41);
	return vcr_store_unhex(now, i->now.attrs) && vcr_store_unhex(to, i->to.attrs);
}

static bool read_time(const char *p, struct vcr_journal *j)
{
	struct vcr_journal_item *i = j->n ? &j->item[j->n - 1] : NULL;
	char *end;
	errno = 0;
	if (!i || !*p)
		return false;
	i->mtime_ns = strtoll(p, &end, 10);
	i->timed = !errno && !*end;
	return i->timed;
}

static void unescape(char *p)
{
	char *to = p;
	for (; *p; p++)
		if (*p == '\\' && p[1])
			*to++ = *++p == 'n' ? '\n' : *p;
		else
			*to++ = *p;
	*to = 0;
}

static int parse(struct vcr_journal *j, char *text, struct vcr_error *e)
{
	unsigned char oid[VCR_OID];
	bool ended = false;
	char *save, *line = strtok_r(text, "\n", &save);
	if (!line || strcmp(line, "vcr-rollback 1"))
		return vcr_error_set(e, line && !strncmp(line, "vcr-rollback ", 13) ? VCR_EVERSION : VCR_ECORRUPT, "its first line is not understood");
	while ((line = strtok_r(NULL, "\n", &save))) {
		struct vcr_entry now = { 0 }, to = { 0 };
		char *p = line + 5;
		int err = 0;
		if (!strncmp(line, "undo ", 5) && vcr_store_unhex(line + 5, oid))
			strcpy(j->undo, line + 5);
		else if (!strncmp(line, "item ", 5) && read_oid(&p, &now) && read_oid(&p, &to)) {
			unescape(p);
			err = vcr_beneath_valid(p) ? vcr_journal_add(j, p, &now, &to, e) : vcr_error_set(e, VCR_ECORRUPT, "it names something outside the workspace");
		} else if (!strncmp(line, "attrs ", 6) || !strncmp(line, "time ", 5)) {
			if (*line == 'a' ? !read_attrs(line + 6, j) : !read_time(line + 5, j))
				err = vcr_error_set(e, VCR_ECORRUPT, "a line is not understood");
		} else if (!strncmp(line, "end ", 4))
			ended = strtoull(line + 4, NULL, 10) == j->n;
		else
			err = vcr_error_set(e, VCR_ECORRUPT, "a line is not understood");
		if (err)
			return err;
	}
	return ended && *j->undo ? 0 : vcr_error_set(e, VCR_ECORRUPT, "it ends too early");
}

/* 1: there is none. */
static int load(struct vcr_journal *j, const struct vcr_rollback_where *w, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, text = VCR_BUF_INIT;
	struct vcr_error why = { 0 };
	vcr_buf_init(&text, MAX_JOURNAL);
	journal_path(w, &path);
	int fd = open(path.data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 1 : vcr_error_sys(e, errno, "%s", path.data);
	ssize_t k = 0;
	char *to;
	while ((to = vcr_buf_reserve(&text, 64 << 10)) && (k = read(fd, to, 64 << 10)) > 0)
		vcr_buf_added(&text, (size_t)k);
	close(fd);
	int err = !to || k < 0 ? vcr_error_set(&why, VCR_EIO, "it cannot be read") : parse(j, text.data, &why);
	return err ? vcr_error_set(e, err, "%s: %s; remove it to give that rollback up", path.data, why.what) : 0;
}

/* ---- Steps ---- */

struct work {
	const struct vcr_rollback_where *w;
	struct vcr_journal *j;
	int root, stage;
	bool committed; /* what we do on other file systems may be durable at once */
	bool flush;     /* staged files are on the disk before they get their names */
	struct vcr_buf stage_path;
};

static int failed(const struct vcr_journal_item *i, const char *what, struct vcr_error *e)
{
	return vcr_error_sys(e, errno, "%s: cannot %s; vcr-rollback goes on with what was begun, or vcr-rollback --undo goes back", i->path, what);
}

/* An owner may write where he has forbidden himself to write. dir is O_PATH. Returns the mode to go back to, or -1. */
static int unlock_dir(int dir)
{
	char path[40];
	struct stat st;
	if (errno != EACCES || fstat(dir, &st) || st.st_uid != geteuid())
		return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", dir);
	return chmod(path, (st.st_mode & 07777) | 0300) ? -1 : (int)(st.st_mode & 07777);
}

static void lock_dir(int dir, int mode)
{
	char path[40];
	int saved = errno;
	snprintf(path, sizeof path, "/proc/self/fd/%d", dir);
	chmod(path, (mode_t)mode);
	errno = saved;
}

enum act { ACT_UNLINK, ACT_RMDIR, ACT_MKDIR, ACT_CHMOD, ACT_RENAME };
static int act_once(const struct work *k, int dir, const char *name, enum act act, const char *from, unsigned mode)
{
	switch (act) {
	case ACT_UNLINK: return unlinkat(dir, name, 0);
	case ACT_RMDIR: return unlinkat(dir, name, AT_REMOVEDIR);
	case ACT_MKDIR: return mkdirat(dir, name, 0700);
	case ACT_CHMOD: return fchmodat(dir, name, mode & 07777, 0);
	default: return renameat(k->stage, from, dir, name);
	}
}

static int act(const struct work *k, const char *path, enum act what, const char *from, unsigned mode)
{
	const char *name;
	int dir = vcr_beneath_parent(k->root, path, &name), err, saved;
	if (dir < 0)
		return -1;
	if ((err = act_once(k, dir, name, what, from, mode)) && errno == EACCES) {
		int locked = unlock_dir(dir);
		if (locked >= 0) {
			err = act_once(k, dir, name, what, from, mode);
			lock_dir(dir, locked);
		}
	}
	saved = errno;
	close(dir);
	errno = saved;
	return err;
}

static bool type_there(const struct work *k, const char *path, unsigned *mode, struct stat *st)
{
	const char *name;
	int dir = vcr_beneath_parent(k->root, path, &name);
	bool there = dir >= 0 && !fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW);
	if (dir >= 0)
		close(dir);
	*mode = there ? st->st_mode & VCR_ENTRY_TYPE : 0;
	return there;
}

/* A large file is its store's own, linked: so it has the id that the savepoint will know it by. */
static int stage_large(struct work *k, struct vcr_journal_item *i, const char *name, struct vcr_error *e)
{
	struct vcr_preimages *kept;
	int err = vcr_preimages_open(&kept, k->w->workspace, k->w->state_dir, k->w->vcr_dir, false, e);
	if (err)
		return err;
	unlinkat(k->stage, name, 0);
	if (vcr_preimages_link(kept, i->to.oid, k->stage, name) || fchmodat(k->stage, name, i->to.mode & 07777, 0))
		err = vcr_error_sys(e, errno, "%s: its kept content cannot be linked beside it", i->path);
	vcr_preimages_free(kept);
	return err;
}

/* What is there is what that entry says, or the file that it stands for. */
static bool is_as(struct work *k, const char *path, const struct vcr_entry *now, const struct vcr_entry *entry)
{
	return vcr_entry_alike(now, entry) || (type_of(entry) == VCR_ENTRY_LARGE && vcr_store_is_large(k->w->store, path, entry));
}

/* Those of dir/name; what is not permitted is counted. */
static int set_attrs(struct work *k, struct vcr_journal_item *i, int dir, const char *name, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	int err = vcr_store_read_attrs(k->w->store, &i->to, &text, e);
	if (err)
		return err;
	if ((err = vcr_attrs_write(dir, name, text.data, text.len)) < 0)
		return vcr_error_set(e, err, "the attributes of %s: %s", i->path, vcr_strerror(err));
	k->j->unset += err && !i->unset;
	i->unset |= err > 0;
	return 0;
}

/* The last thing that is done to a file before it goes to its place. */
static bool set_time(const struct work *k, const struct vcr_journal_item *i, const char *name)
{
	int64_t s = i->mtime_ns / 1000000000, ns = i->mtime_ns % 1000000000;
	const struct timespec t[2] = { { .tv_nsec = UTIME_NOW }, { .tv_sec = s - (ns < 0), .tv_nsec = ns < 0 ? ns + 1000000000 : ns } };
	return !i->timed || !utimensat(k->stage, name, t, AT_SYMLINK_NOFOLLOW);
}

/* Content of item n beside the workspace's files, with its mode and the owner of what it replaces. */
static int stage_item(struct work *k, size_t n, struct vcr_error *e)
{
	struct vcr_journal_item *i = &k->j->item[n];
	VCR_AUTO_BUF content = VCR_BUF_INIT;
	char name[32];
	struct stat st;
	unsigned type;
	snprintf(name, sizeof name, "%zu", n);
	if (type_of(&i->to) == VCR_ENTRY_LARGE)
		return stage_large(k, i, name, e);
	int err = vcr_store_read(k->w->store, &i->to, &content, e);
	if (err)
		return err;
	unlinkat(k->stage, name, 0);
	if (type_of(&i->to) == VCR_ENTRY_LINK)
		return symlinkat(content.data, k->stage, name) || !set_time(k, i, name) ? vcr_error_sys(e, errno, "%s: its new content cannot be written beside it", i->path) : 0;
	int fd = openat(k->stage, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return vcr_error_sys(e, errno, "%s: its new content cannot be written beside it", i->path);
	if (type_there(k, i->path, &type, &st) && type == VCR_ENTRY_FILE && (st.st_uid != geteuid() || st.st_gid != getegid()) && fchown(fd, st.st_uid, st.st_gid))
		errno = 0; /* then it is ours */
	if (vcr_write_all(fd, content.data, content.len))
		err = vcr_error_sys(e, errno, "%s: its new content cannot be written beside it", i->path);
	if (!err)
		err = set_attrs(k, i, k->stage, name, e); /* before the mode, which is in its access control list too */
	if (!err && (fchmod(fd, i->to.mode & 07777) || !set_time(k, i, name) || (k->flush && fsync(fd))))
		err = vcr_error_sys(e, errno, "%s: its new content cannot be written beside it", i->path);
	close(fd);
	return err;
}

/* Before anything is destroyed on another file system, which keeps no order with that of the journal: the journal, and with it all that was made before, is durable. */
static int commit_journal(struct work *k, struct vcr_error *e)
{
	if (k->committed)
		return 0;
	int state = open(k->w->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = state < 0 || fsync(state) ? vcr_error_sys(e, errno, "%s", k->w->state_dir) : 0;
	if (state >= 0)
		close(state);
	k->committed = !err;
	return err;
}

/* All content first: a full disk is met before anything was touched. */
static int stage_all(struct work *k, struct vcr_error *e)
{
	int err = 0;
	for (size_t i = 0; !err && i < k->j->n; i++)
		if (is_content(&k->j->item[i].to) && !k->j->item[i].skip)
			err = stage_item(k, i, e);
	return err;
}

/* What must make room: deepest first. */
static int clear(struct work *k, struct vcr_error *e)
{
	struct stat root;
	int err;
	if (fstat(k->root, &root))
		return vcr_error_sys(e, errno, "%s", k->w->workspace);
	for (size_t n = k->j->n; n-- > 0;) {
		struct vcr_journal_item *i = &k->j->item[n];
		struct stat st;
		unsigned there, to = type_of(&i->to);
		if (i->skip || !type_there(k, i->path, &there, &st) || there == to)
			continue;
		if (st.st_dev != root.st_dev && (err = commit_journal(k, e)))
			return err;
		if (there == VCR_ENTRY_DIR ? act(k, i->path, ACT_RMDIR, NULL, 0) : (!to || to == VCR_ENTRY_DIR) && act(k, i->path, ACT_UNLINK, NULL, 0))
			return failed(i, "remove it", e);
	}
	return 0;
}

static int make_dirs(struct work *k, struct vcr_error *e)
{
	for (size_t n = 0; n < k->j->n; n++) {
		struct vcr_journal_item *i = &k->j->item[n];
		struct stat st;
		unsigned there;
		if (i->skip || type_of(&i->to) != VCR_ENTRY_DIR || (type_there(k, i->path, &there, &st) && there == VCR_ENTRY_DIR))
			continue;
		if (act(k, i->path, ACT_MKDIR, NULL, 0))
			return failed(i, "make the directory", e);
	}
	return 0;
}

/* On another file system than the stage: the same, beside the file itself. */
static int place_across(struct work *k, size_t n, struct vcr_error *e)
{
	struct vcr_journal_item *i = &k->j->item[n];
	struct work other = *k;
	const char *name;
	char from[32];
	int err = commit_journal(k, e);
	if (err)
		return err;
	other.flush = true;
	int dir = vcr_beneath_parent(k->root, i->path, &name);
	if (dir < 0)
		return failed(i, "reach its directory", e);
	char path[40];
	snprintf(path, sizeof path, "/proc/self/fd/%d", dir);
	int up = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(dir);
	if (up < 0 || (mkdirat(up, STAGE, 0700) && errno != EEXIST) || (other.stage = openat(up, STAGE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0) {
		if (up >= 0)
			close(up);
		return failed(i, "write beside it", e);
	}
	snprintf(from, sizeof from, "%zu", n);
	if (!(err = stage_item(&other, n, e)) && act(&other, i->path, ACT_RENAME, from, 0))
		err = failed(i, "put it into its place", e);
	fsync(other.stage);
	close(other.stage);
	unlinkat(up, STAGE, AT_REMOVEDIR);
	close(up);
	return err;
}

static int place(struct work *k, struct vcr_error *e)
{
	int err = 0;
	for (size_t n = 0; !err && n < k->j->n; n++) {
		struct vcr_journal_item *i = &k->j->item[n];
		char from[32];
		if (i->skip || !is_content(&i->to))
			continue;
		snprintf(from, sizeof from, "%zu", n);
		if (act(k, i->path, ACT_RENAME, from, 0))
			err = errno == EXDEV ? place_across(k, n, e) : failed(i, "put it into its place", e);
	}
	return err;
}

/* A new one may have got some from the directory that it is in. Attributes can be set where it can be written: if its owner has forbidden that himself, for that long. */
static int set_dir_attrs(struct work *k, struct vcr_journal_item *i, struct vcr_error *e)
{
	const char *name;
	int dir = vcr_beneath_parent(k->root, i->path, &name), at = dir < 0 ? -1 : openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int err = at < 0 ? failed(i, "reach it", e) : 0, locked;
	errno = 0;
	if (!err && !(err = set_attrs(k, i, dir, name, e)) && i->unset && (locked = unlock_dir(at)) >= 0) { /* errno is still of the attribute */
		i->unset = false;
		k->j->unset--;
		err = set_attrs(k, i, dir, name, e);
		lock_dir(at, locked);
	}
	if (at >= 0)
		close(at);
	if (dir >= 0)
		close(dir);
	return err;
}

/* Deepest first: a directory may forbid what is still to be done in it. */
static int set_modes(struct work *k, struct vcr_error *e)
{
	for (size_t n = k->j->n; n-- > 0;) {
		struct vcr_journal_item *i = &k->j->item[n];
		struct stat st;
		unsigned there;
		int err = 0;
		if (i->skip || type_of(&i->to) != VCR_ENTRY_DIR)
			continue;
		if (type_of(&i->now) != VCR_ENTRY_DIR || memcmp(i->now.attrs, i->to.attrs, VCR_OID))
			err = set_dir_attrs(k, i, e);
		if (err)
			return err;
		if (type_there(k, i->path, &there, &st) && st.st_mode == i->to.mode)
			continue; /* it may be somebody else's */
		if (act(k, i->path, ACT_CHMOD, NULL, i->to.mode))
			return failed(i, "set its mode", e);
	}
	return 0;
}

static int verify(struct work *k, struct vcr_error *e)
{
	for (size_t n = 0; n < k->j->n; n++) {
		struct vcr_journal_item *i = &k->j->item[n];
		const struct vcr_entry *known[] = { &i->to, NULL };
		struct vcr_entry now;
		int err = i->skip ? 0 : vcr_store_look(k->w->store, i->path, known, false, &now, e);
		if (err)
			return err;
		if (!i->skip && (!is_as(k, i->path, &now, &i->to) || (is_owned(&i->to) && !i->unset && memcmp(now.attrs, i->to.attrs, VCR_OID))))
			return vcr_error_set(e, VCR_ECORRUPT, "%s is not what was written: somebody changes it right now; vcr-rollback again, or --undo", i->path);
	}
	return 0;
}

/* After a crash: done already, still to do, or changed by somebody in between. */
static int look_again(struct work *k, struct vcr_buf *skipped, struct vcr_error *e)
{
	for (size_t n = 0; n < k->j->n; n++) {
		struct vcr_journal_item *i = &k->j->item[n];
		const struct vcr_entry *known[] = { &i->to, &i->now, NULL };
		struct vcr_entry now;
		int err = vcr_store_look(k->w->store, i->path, known, false, &now, e);
		if (err)
			return err;
		unsigned type = type_of(&now);
		bool ours = !now.mode || type == VCR_ENTRY_DIR || is_as(k, i->path, &now, &i->now);
		bool same = type != VCR_ENTRY_DIR && is_as(k, i->path, &now, &i->to);
		i->skip = same && (!is_owned(&i->to) || !memcmp(now.attrs, i->to.attrs, VCR_OID) || memcmp(now.attrs, i->now.attrs, VCR_OID));
		if (!ours && !i->skip) {
			i->skip = true;
			vcr_buf_printf(skipped, "%s\n", i->path);
		}
	}
	return 0;
}

/* ---- All of it ---- */

/* Inside .vcr, where nobody looks, if files can be renamed from there; else in the workspace. Left by a killed rollback: used again. */
static void find_stage(struct work *k)
{
	struct stat root, there;
	const char *up = k->w->vcr_dir && !stat(k->w->vcr_dir, &there) && !fstat(k->root, &root) && root.st_dev == there.st_dev ? k->w->vcr_dir : k->w->workspace;
	vcr_buf_printf(&k->stage_path, "%s/%s", up, STAGE);
}

static int open_stage(struct work *k, struct vcr_error *e)
{
	find_stage(k);
	if (mkdir(k->stage_path.data, 0700) && errno != EEXIST)
		return vcr_error_sys(e, errno, "cannot make %s", k->stage_path.data);
	k->stage = open(k->stage_path.data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return k->stage < 0 ? vcr_error_sys(e, errno, "%s", k->stage_path.data) : 0;
}

static void drop_stage(struct work *k)
{
	struct dirent *ent;
	DIR *d = fdopendir(k->stage);
	while (d && (ent = readdir(d)))
		if (*ent->d_name != '.')
			unlinkat(dirfd(d), ent->d_name, 0);
	if (d)
		closedir(d);
	rmdir(k->stage_path.data);
}

/* On one file system that keeps an order the renames are durable before the journal's removal is; on two, and where there is none, they are made so. */
static void settle(const struct work *k)
{
	struct stat root, state;
	if (!fstat(k->root, &root) && !stat(k->w->state_dir, &state) && (root.st_dev != state.st_dev || !vcr_flush_in_order(k->root)))
		syncfs(k->root);
}

static int drop_journal(const struct vcr_rollback_where *w, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	journal_path(w, &path);
	return unlink(path.data) ? vcr_error_sys(e, errno, "%s", path.data) : 0;
}

int vcr_journal_run(struct vcr_journal *j, const struct vcr_rollback_where *w, bool again, struct vcr_buf *skipped, struct vcr_error *e)
{
	struct work k = { .w = w, .j = j, .stage = -1, .stage_path = VCR_BUF_INIT };
	bool begun = again;
	k.root = open(w->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = k.root < 0 ? vcr_error_sys(e, errno, "%s", w->workspace) : open_stage(&k, e);
	if (!err && again)
		err = look_again(&k, skipped, e);
	if (!err)
		err = stage_all(&k, e);
	if (!err && again && syncfs(k.stage))
		err = vcr_error_sys(e, errno, "%s", k.stage_path.data);
	if (!err && !again)
		begun = !(err = begin(j, w, k.stage, e));
	if (!err && !(err = clear(&k, e)) && !(err = make_dirs(&k, e)) && !(err = place(&k, e)) && !(err = set_modes(&k, e)))
		err = verify(&k, e);
	if (!err)
		settle(&k);
	if (!err)
		err = vcr_store_set_ref(w->store, "undo", j->undo, e);
	if (k.stage >= 0 && (!err || !begun))
		drop_stage(&k);
	else if (k.stage >= 0)
		close(k.stage);
	if (!err)
		err = drop_journal(w, e);
	if (k.root >= 0)
		close(k.root);
	vcr_buf_release(&k.stage_path);
	return err;
}

/* Killed before there was a journal: nothing happened, but new content may lie about. */
static void drop_stale(const struct vcr_rollback_where *w)
{
	struct work k = { .w = w, .stage_path = VCR_BUF_INIT };
	k.root = open(w->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (k.root < 0)
		return;
	find_stage(&k);
	k.stage = open(k.stage_path.data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (k.stage >= 0)
		drop_stage(&k);
	close(k.root);
	vcr_buf_release(&k.stage_path);
}

int vcr_rollback_recover(const struct vcr_rollback_where *w, bool *finished, struct vcr_buf *skipped, struct vcr_error *e)
{
	struct vcr_journal j = { 0 };
	int err = load(&j, w, e);
	*finished = false;
	if (!err && !(err = vcr_journal_run(&j, w, true, skipped, e)))
		*finished = true;
	if (err > 0)
		drop_stale(w);
	vcr_journal_release(&j);
	return err > 0 ? 0 : err;
}
