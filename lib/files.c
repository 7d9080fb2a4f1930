/* files.c — marks, and the sweep that turns them into changes. */
#include "files-parts.h"
#include "limits.h"
#include "sha256.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { MARK_SLOTS = 1 << 14, KEEP_BYTES = 64 << 20 };

/* ---- Making ---- */

int vcr_files_new(struct vcr_files **out, const struct vcr_files_options *o, struct vcr_error *e)
{
	struct vcr_files *f = calloc(1, sizeof *f);
	struct stat st;
	if (!f)
		return vcr_error_set(e, VCR_ENOMEM, "files: out of memory");
	git_libgit2_init();
	f->near = -1;
	f->dir = open(o->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (f->dir < 0 || fstat(f->dir, &st)) {
		int err = errno;
		vcr_files_free(f);
		return vcr_error_sys(e, err, "%s", o->workspace);
	}
	f->device = st.st_dev;
	f->workspace = strdup(strcmp(o->workspace, "/") ? o->workspace : "");
	f->chain = calloc(MARK_SLOTS, sizeof *f->chain);
	f->ignore = o->ignore;
	f->is_secret = o->is_secret;
	f->keep_bytes = o->keep_bytes ? o->keep_bytes : KEEP_BYTES;
	f->table.most = o->max_paths ? (size_t)o->max_paths : VCR_FILES_MAX_PATHS;
	f->max_watches = o->max_watches ? o->max_watches : VCR_FILES_MAX_WATCHES;
	f->who = o->who;
	f->lived = o->lived;
	f->touched = o->touched;
	f->aged = o->aged;
	f->saved = 1;
	f->ctx = o->ctx;
	f->period = 1;
	if (!f->workspace || !f->chain) {
		vcr_files_free(f);
		return vcr_error_set(e, VCR_ENOMEM, "files: out of memory");
	}
	f->workspace_length = strlen(f->workspace);
	vcr_files_open_git(f);
	*out = f;
	return 0;
}

static void release_known(void *ctx, struct vcr_known *k)
{
	vcr_known_drop(ctx, k);
}

static void release_mark(struct vcr_files *f, struct vcr_file_mark *m)
{
	if (m->buried)
		vcr_known_drop(f, m->buried);
	free(m->origin);
	free(m);
}

void vcr_files_saved(struct vcr_files *f)
{
	f->saved++;
	f->saved_ns = vcr_files_now();
}

/* What is known of a path is about to be no longer so. */
static void tell_age(struct vcr_files *f, struct vcr_known *k)
{
	if (!f->aged || !f->based || S_ISDIR(k->mode) || k->aged == f->saved)
		return;
	k->aged = f->saved;
	f->aged(f->ctx, k->path, k->mtime_ns);
}

static void bury(void *ctx, struct vcr_known *k)
{
	tell_age(ctx, k);
	struct vcr_file_mark *m = vcr_files_mark_path(ctx, k->path, vcr_files_now());
	if (m && !m->buried)
		m->buried = k;
	else
		vcr_known_drop(ctx, k);
}

static void clear_marks(struct vcr_files *f)
{
	bool few = f->nmark < MARK_SLOTS / 64;
	for (size_t i = 0; i < f->nmark; i++) {
		if (few)
			f->chain[vcr_path_hash(f->mark[i]->path) % MARK_SLOTS] = NULL;
		release_mark(f, f->mark[i]);
	}
	if (!few)
		memset(f->chain, 0, MARK_SLOTS * sizeof *f->chain);
	f->nmark = 0;
	f->deep_pid = 0;
	vcr_files_forget_parent(f);
}

void vcr_files_free(struct vcr_files *f)
{
	if (!f)
		return;
	vcr_group_release(f);
	clear_marks(f);
	vcr_table_release(&f->table, release_known, f);
	vcr_watch_release(f);
	vcr_files_look_end(f);
	git_odb_free(f->odb);
	git_repository_free(f->repo);
	free(f->exclude);
	git_libgit2_shutdown();
	if (f->dir >= 0)
		close(f->dir);
	free(f->mark);
	free(f->chain);
	free(f->workspace);
	free(f->kept_dir);
	free(f->linked);
	free(f);
}

int vcr_files_watch_fd(const struct vcr_files *f)
{
	return f->watch;
}

int vcr_files_scan_base(struct vcr_files *f, struct vcr_error *e)
{
	int err = vcr_files_walk(f, "", VCR_WALK_SCAN, e);
	f->based = true;
	f->based_ns = vcr_files_now();
	return err;
}

void vcr_files_stats(const struct vcr_files *f, struct vcr_files_stats *s)
{
	*s = f->stats;
	s->files = (int64_t)f->table.n;
	s->files_limit = (int64_t)f->table.most;
	s->bytes_limit = (int64_t)f->keep_bytes;
	s->watches_limit = f->max_watches;
}

/* ---- Marks ---- */

struct vcr_file_mark *vcr_files_find_mark(const struct vcr_files *f, const char *path)
{
	for (struct vcr_file_mark *m = f->chain[vcr_path_hash(path) % MARK_SLOTS]; m; m = m->chain)
		if (!strcmp(m->path, path))
			return m;
	return NULL;
}

struct vcr_file_mark *vcr_files_mark_path(struct vcr_files *f, const char *path, int64_t mono_ns)
{
	struct vcr_file_mark *m = vcr_files_find_mark(f, path);
	size_t n = strlen(path) + 1;
	if (m) {
		m->first_ns = mono_ns < m->first_ns ? mono_ns : m->first_ns; /* inotify was read before the hook's record, which is of then */
		m->last_ns = mono_ns > m->last_ns ? mono_ns : m->last_ns;
		return m;
	}
	if (f->nmark >= VCR_FILES_MAX_MARKS) {
		f->must_scan = true;
		return NULL;
	}
	if (f->nmark == f->mark_room) {
		size_t room = f->mark_room ? f->mark_room * 2 : 256;
		struct vcr_file_mark **grown = realloc(f->mark, room * sizeof *grown);
		if (!grown)
			return NULL;
		f->mark = grown;
		f->mark_room = room;
	}
	if (!(m = calloc(1, sizeof *m + n)))
		return NULL;
	memcpy(m->path, path, n);
	m->first_ns = m->last_ns = mono_ns;
	m->order = f->order += 2;
	m->chain = f->chain[vcr_path_hash(path) % MARK_SLOTS];
	f->chain[vcr_path_hash(path) % MARK_SLOTS] = m;
	return f->mark[f->nmark++] = m;
}

/* What is below a renamed directory goes by its new name from now on, and is reported after the directory itself. */
static void move_below(struct vcr_files *f, const char *from, const char *to)
{
	size_t nfrom = strlen(from);
	struct vcr_known *k = vcr_table_get(&f->table, from), *there = vcr_table_get(&f->table, to), *moved;
	char path[VCR_MAX_BENEATH];
	if (k && there) {
		vcr_table_remove(&f->table, there);
		if (S_ISDIR(there->mode))
			vcr_known_drop(f, there);
		else
			bury(f, there); /* deleted, and its name taken */
	}
	for (struct vcr_known *below = f->aged ? vcr_table_below(&f->table, from) : NULL; below; below = below->next_found)
		tell_age(f, below);
	if (k)
		tell_age(f, k);
	vcr_table_move(&f->table, from, to, bury, f);
	vcr_watch_moved(f, from, to);
	if (k && (moved = vcr_table_add(&f->table, to))) {
		vcr_table_take(moved, k); /* a directory: nothing is kept of it */
		vcr_table_remove(&f->table, k);
		free(k);
	}
	for (size_t i = 0, n = f->nmark; i < n; i++) {
		struct vcr_file_mark *old = f->mark[i], *new;
		if (!vcr_path_below(old->path, from) || snprintf(path, sizeof path, "%s%s", to, old->path + nfrom) >= (int)sizeof path)
			continue;
		if (!(new = vcr_files_mark_path(f, path, old->first_ns)))
			continue;
		new->first_ns = old->first_ns;
		new->order = f->order += 2;
		new->last_ns = old->last_ns;
		new->written_ns = old->written_ns;
		new->writes = old->writes;
		new->begun = old->begun;
		new->pid = old->pid;
		new->hooked = old->hooked;
		new->seen = old->seen;
		new->made = old->made;
		new->directory = old->directory;
		new->moved_away = old->moved_away;
		new->open = old->open;
		new->closed = old->closed;
		new->link = old->link;
		free(new->origin);
		new->origin = old->origin;
		old->origin = NULL;
		old->hooked = old->made = false;
		old->writes = 0;
		old->moved_away = true;
	}
}

/* Written before the base scan looked there, by somebody who waited for it in vain: what the scan knows is what he wrote. */
static bool before_base(const struct vcr_files *f, const struct vcr_file_mark *m, const struct vcr_known *k)
{
	return k && m->hooked && m->writes && m->written_ns <= k->looked_ns && k->looked_ns <= f->based_ns;
}

/* Reported already, by what inotify or a scan showed, before the hook's mark came. */
static bool was_looked_at(const struct vcr_known *k, int64_t mono_ns)
{
	return k && k->looked_ns >= mono_ns;
}

static struct vcr_file_mark *hooked_mark(struct vcr_files *f, const char *path, int pid, int64_t ns)
{
	struct vcr_file_mark *m = vcr_files_mark_path(f, path, ns);
	if (m) {
		m->hooked = true;
		m->pid = pid;
	}
	return m;
}

/* What had been renamed to this name is replaced or deleted: it is gone, under its old name. */
static void lose_origin(struct vcr_files *f, struct vcr_file_mark *m)
{
	struct vcr_file_mark *old = m->origin && !m->link ? vcr_files_find_mark(f, m->origin) : NULL;
	if (old)
		old->moved_away = false;
	free(m->origin);
	m->origin = NULL;
	m->link = false;
}

/* from or to NULL: outside of the workspace. */
static void mark_rename(struct vcr_files *f, const char *from, const char *to, int pid, int64_t ns)
{
	struct vcr_known *old = from ? vcr_table_get(&f->table, from) : NULL, *there = to ? vcr_table_get(&f->table, to) : NULL;
	struct stat st;
	bool directory = to && vcr_files_exists(f, to, &st) ? S_ISDIR(st.st_mode) : old && S_ISDIR(old->mode);
	if (was_looked_at(there, ns) && !old)
		return;
	struct vcr_file_mark *b = to ? hooked_mark(f, to, pid, ns) : NULL, *a = from ? hooked_mark(f, from, pid, ns) : NULL;
	if (b && !from) { /* it came from elsewhere */
		b->made = !there;
		b->writes++;
		b->written_ns = ns;
		if (directory)
			vcr_files_walk(f, to, VCR_WALK_SEEN, NULL);
	}
	if (a && !to) {
		a->left = directory;
		a->directory = directory;
	}
	if (!a || !b)
		return;
	/* The first step of a chain says when it is told: before what then happens to the old name. */
	bool chain = a->origin && !a->link;
	lose_origin(f, b);
	b->origin = chain ? a->origin : strdup(from);
	if (chain)
		a->origin = NULL;
	b->order = chain ? a->order : (f->order += 2);
	a->order = f->order += 2;
	if (b->origin && !strcmp(b->origin, to)) { /* there and back */
		free(b->origin);
		b->origin = NULL;
	}
	b->link = false;
	b->made = !there;
	b->directory = directory;
	b->writes = a->writes;
	b->begun = a->begun;
	b->written_ns = a->written_ns;
	b->open = a->open;
	b->first_ns = a->first_ns < b->first_ns ? a->first_ns : b->first_ns;
	a->first_ns = a->last_ns = ns;
	a->moved_away = a->moved_away || !chain; /* in a chain what was known there has been replaced, or has moved before */
	a->made = a->open = a->begun = false;
	a->writes = 0;
	if (directory)
		move_below(f, from, to);
}

static void mark_simple(struct vcr_files *f, enum vcr_mark_op op, const char *path, int pid, int64_t ns)
{
	const struct vcr_known *k = vcr_table_get(&f->table, path);
	struct vcr_file_mark *m = hooked_mark(f, path, pid, ns);
	if (!m)
		return;
	switch (op) {
	case VCR_MARK_BEGIN:
	case VCR_MARK_WRITE:
		m->writes += op == VCR_MARK_BEGIN || !m->begun || !m->writes;
		m->begun = op == VCR_MARK_BEGIN;
		m->written_ns = ns;
		m->made = m->made || !k;
		m->open = true;
		break;
	case VCR_MARK_OPEN: m->open = true; break;
	case VCR_MARK_CLOSE:
		if (m->begun) /* what was written since has not been said: somebody may have looked in between */
			m->written_ns = ns > m->written_ns ? ns : m->written_ns;
		m->open = false;
		m->closed = true;
		break;
	case VCR_MARK_MKDIR:
		m->made = m->made || !k;
		m->directory = true;
		break;
	case VCR_MARK_RMDIR: m->directory = m->removed = true; break;
	case VCR_MARK_UNLINK:
		m->removed = true;
		lose_origin(f, m);
		break;
	default: break;
	}
}

/* Somebody did something there. Where nobody watches, all is looked at. */
static void mark_deep(struct vcr_files *f, int pid)
{
	f->deep_pid = f->deep_pid && f->deep_pid != pid ? -1 : pid;
	f->must_scan = f->must_scan || f->watch < 0 || f->stats.unwatched;
}

/* What no hook could name was done by who said so. */
static void own_deep(const struct vcr_files *f)
{
	for (size_t i = 0; f->deep_pid && i < f->nmark; i++) {
		struct vcr_file_mark *m = f->mark[i];
		m->deep = !m->hooked && vcr_files_is_deep(f, m->path);
		if (m->deep)
			m->pid = f->deep_pid > 0 ? f->deep_pid : 0;
	}
}

/* A file of O_TMPFILE, as /proc calls it, or one whose own name is too long: what gives it a name makes a file. */
static bool is_unnamed(const char *path)
{
	size_t n = strlen(path);
	return !n || (n > 10 && !strcmp(path + n - 10, " (deleted)"));
}

void vcr_files_mark(struct vcr_files *f, enum vcr_mark_op op, const char *path, const char *path2, int pid, int64_t ns)
{
	char one[VCR_MAX_BENEATH], two[VCR_MAX_BENEATH];
	bool in = vcr_files_name(f, path, one), in2 = path2 && *path2 && vcr_files_name(f, path2, two);
	struct vcr_file_mark *m;
	struct stat st;
	switch (op) {
	case VCR_MARK_RENAME:
		if (in && in2 && !strcmp(one, two))
			return; /* nothing happened */
		if (in || in2)
			mark_rename(f, in ? one : NULL, in2 ? two : NULL, pid, ns);
		return;
	case VCR_MARK_EXCHANGE:
		if (in)
			mark_simple(f, VCR_MARK_WRITE, one, pid, ns);
		if (in2)
			mark_simple(f, VCR_MARK_WRITE, two, pid, ns);
		return;
	case VCR_MARK_LINK:
		if (in2 && is_unnamed(path)) {
			mark_simple(f, VCR_MARK_WRITE, two, pid, ns);
			return;
		}
		if (!in2 || was_looked_at(vcr_table_get(&f->table, two), ns) || !(m = hooked_mark(f, two, pid, ns)))
			return;
		if (in && !(vcr_files_exists(f, two, &st) && S_ISLNK(st.st_mode)))
			vcr_linked_source(f, one);
		free(m->origin);
		m->origin = strdup(in ? one : path);
		m->link = true;
		m->made = true;
		return;
	case VCR_MARK_DEEP:
		mark_deep(f, pid);
		return;
	case VCR_MARK_SEEN:
		if (in && (m = vcr_files_mark_path(f, one, ns)))
			m->seen = true;
		return;
	default:
		if (in)
			mark_simple(f, op, one, pid, ns);
	}
}

/* ---- From marks to changes ---- */

struct sweep {
	struct vcr_files *f;
	vcr_change_fn *fn;
	void *ctx;
	int err;
};

static void hex_sha(char out[65], const unsigned char sha[32])
{
	for (int i = 0; i < 32; i++) {
		out[2 * i] = "0123456789abcdef"[sha[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[sha[i] & 15];
	}
	out[64] = 0;
}

static void state_before(struct vcr_files *f, const struct vcr_known *k, struct vcr_buf *content, struct vcr_file_state *s)
{
	unsigned char sha[32];
	*s = (struct vcr_file_state){ .exists = true, .mode = k->mode, .size = k->size };
	if (vcr_known_content(f, k, content)) {
		s->content = content->data;
		s->len = content->len;
	}
	if (k->has_sha)
		hex_sha(s->sha256, k->sha);
	else if (s->content && vcr_sha256(content->data, content->len, sha))
		hex_sha(s->sha256, sha);
}

static void state_after(const struct vcr_look *l, struct vcr_file_state *s)
{
	*s = (struct vcr_file_state){ .exists = true, .mode = l->st.st_mode, .size = S_ISDIR(l->st.st_mode) ? 0 : l->st.st_size };
	if (l->has_sha)
		hex_sha(s->sha256, l->sha);
	if (l->read) {
		s->content = l->data.data;
		s->len = l->data.len;
		s->size = (int64_t)l->data.len;
	}
}

/* Nobody says who it was: somebody who has it open, if he lived then. What a dead one has not said, as a program that inherited its descriptor, is not his. */
static int writer_of(const struct vcr_files *f, const struct vcr_file_mark *m, const struct vcr_known *k, const struct vcr_look *l)
{
	if (m->hooked || m->deep || !k || !k->writer)
		return 0;
	return !f->lived || f->lived(f->ctx, k->writer, l->exists ? vcr_look_changed_ns(l) : m->first_ns) == k->writer_is ? k->writer : 0;
}

static void set_writer(const struct vcr_files *f, const struct vcr_file_mark *m, struct vcr_known *k)
{
	if (!m->open && !m->closed)
		return;
	k->writer_is = m->open && f->lived ? f->lived(f->ctx, m->pid, m->first_ns) : 0;
	k->writer = m->open && (k->writer_is || !f->lived) ? m->pid : 0;
}

static void report(struct sweep *s, const struct vcr_file_mark *m, enum vcr_change_kind kind, const struct vcr_known *before, const struct vcr_look *l, bool transient)
{
	VCR_AUTO_BUF content = VCR_BUF_INIT;
	struct vcr_change c = { .kind = kind, .path = m->path, .old_path = m->origin, .writes = m->writes, .transient = transient, .pid = m->pid,
		.before_unknown = !before && (!s->f->based || m->early), .first_ns = m->first_ns, .last_ns = m->last_ns, .withheld = vcr_files_withheld(s->f, m->path) || (m->origin && !m->link && vcr_files_withheld(s->f, m->origin)),
		.place = m->group ? m->group->path : NULL, .storm = m->group ? m->group->n : 0, .source = m->hooked || m->deep ? VCR_SOURCE_SHIM : m->seen ? VCR_SOURCE_WATCH : VCR_SOURCE_SCAN };
	int writer = writer_of(s->f, m, before, l);
	if (writer) {
		c.source = VCR_SOURCE_SHIM;
		c.pid = writer;
	}
	if (before)
		state_before(s->f, before, &content, &c.before);
	if (l->exists)
		state_after(l, &c.after);
	if (c.withheld) {
		c.before.content = c.after.content = NULL;
		*c.before.sha256 = *c.after.sha256 = 0;
	}
	int err = s->fn(s->ctx, &c);
	s->err = s->err ? s->err : err;
}

static bool content_differs(struct vcr_files *f, const struct vcr_known *k, const struct vcr_look *l)
{
	VCR_AUTO_BUF old = VCR_BUF_INIT;
	if ((k->mode & S_IFMT) != (l->st.st_mode & S_IFMT))
		return true;
	if (S_ISDIR(k->mode))
		return false;
	if (k->has_sha && l->has_sha)
		return memcmp(k->sha, l->sha, sizeof k->sha) != 0;
	if (k->size != l->st.st_size)
		return true;
	if (l->read && vcr_known_content(f, k, &old))
		return old.len != l->data.len || memcmp(old.data, l->data.data, old.len) != 0;
	return k->mtime_ns != (int64_t)l->st.st_mtim.tv_sec * 1000000000 + l->st.st_mtim.tv_nsec;
}

/* A directory is gone as one: its files went with it. */
static void mark_below(struct vcr_files *f, const struct vcr_file_mark *m)
{
	for (struct vcr_known *k = vcr_table_below(&f->table, m->path); k; k = k->next_found) {
		struct vcr_file_mark *below = vcr_files_mark_path(f, k->path, m->last_ns);
		if (!below)
			continue;
		below->seen = below->seen || m->seen;
		below->hooked = below->hooked || m->hooked;
		below->pid = below->pid ? below->pid : m->pid;
	}
}

static void settle_gone(struct sweep *s, struct vcr_file_mark *m, struct vcr_known *k, const struct vcr_look *l)
{
	struct vcr_files *f = s->f;
	bool directory = k ? S_ISDIR(k->mode) : m->directory;
	enum vcr_change_kind kind = directory ? VCR_CHANGE_RMDIR : VCR_CHANGE_DELETE;
	if (k && !m->moved_away)
		report(s, m, kind, k, l, false);
	else if (!k && !f->based && m->removed)
		report(s, m, kind, NULL, l, false);
	else if (!k && m->hooked && (m->made || m->origin))
		report(s, m, kind, m->origin && !m->link ? vcr_table_get(&f->table, m->origin) : NULL, l, true);
	if (!k)
		return;
	vcr_table_remove(&f->table, k);
	vcr_known_drop(f, k);
	if (m->left && !m->moved_away)
		mark_below(f, m);
}

/* What happened to a path that is there; -1: nothing. */
static int kind_of(struct vcr_files *f, const struct vcr_file_mark *m, const struct vcr_known *k, const struct vcr_look *l)
{
	if (m->origin && !m->link)
		return VCR_CHANGE_RENAME;
	if (m->link && (!k || k->ino != l->st.st_ino))
		return VCR_CHANGE_LINK;
	if (S_ISDIR(l->st.st_mode) && (!k || !S_ISDIR(k->mode)))
		return VCR_CHANGE_MKDIR;
	if (!k || content_differs(f, k, l))
		return VCR_CHANGE_WRITE;
	if (k->mode != l->st.st_mode)
		return VCR_CHANGE_MODE;
	return m->early || (m->writes && m->written_ns > k->told_ns) ? VCR_CHANGE_WRITE : -1;
}

static struct vcr_known *add_known(struct vcr_files *f, const char *path, const struct stat *st)
{
	struct vcr_known *k = vcr_table_add(&f->table, path);
	if (k && f->based) {
		k->period = f->period;
		k->ignored = S_ISDIR(st->st_mode) && vcr_files_git_ignores(f, path, true);
	}
	return k;
}

static void report_gone(struct sweep *s, struct vcr_file_mark *m, const struct vcr_known *k)
{
	static const struct vcr_look nothing;
	char *origin = m->origin;
	m->origin = NULL;
	report(s, m, S_ISDIR(k->mode) ? VCR_CHANGE_RMDIR : VCR_CHANGE_DELETE, k, &nothing, false);
	m->origin = origin;
}

/* k: what is known of the path, NULL. A file that lost this name may have been given other content or another mode by it before. */
static void note_linked(struct sweep *s, const struct vcr_known *k, const struct vcr_look *l)
{
	if (l->exists && !S_ISDIR(l->st.st_mode) && l->st.st_nlink > 1)
		vcr_linked_note(s->f, l->st.st_ino, l->st.st_dev);
	if (k && k->several && !S_ISDIR(k->mode) && (!l->exists || k->ino != l->st.st_ino))
		vcr_linked_note(s->f, k->ino, k->dev);
}

static void settle(struct sweep *s, struct vcr_file_mark *m)
{
	struct vcr_files *f = s->f;
	struct vcr_known *k = vcr_table_get(&f->table, m->path), *before = k;
	struct vcr_look l = VCR_LOOK_INIT;
	m->early = before_base(f, m, k);
	if (f->touched)
		f->touched(f->ctx, m->path, m->origin || m->writes || !k);
	vcr_group_mark(f, m); /* what was marked on the way here */
	vcr_files_look(f, m->path, &l, !k); /* what is new is wanted in any case */
	if (k && l.exists && !vcr_known_same(k, &l.st) && vcr_look_changed_ns(&l) <= f->saved_ns && !(m->hooked && m->first_ns > f->saved_ns))
		k->aged = f->saved; /* which of the two the savepoint has nobody knows */
	if (k && !(l.exists && vcr_known_same(k, &l.st)))
		tell_age(f, k);
	if (!l.exists) {
		note_linked(s, k, &l);
		settle_gone(s, m, k, &l);
		return;
	}
	if (k && !k->racy && vcr_known_same(k, &l.st) && !m->origin && !m->early && !(m->writes && m->written_ns > k->told_ns))
		goto known; /* touched, not changed */
	if (k)
		vcr_files_look(f, m->path, &l, true);
	if (!l.exists) {
		settle_gone(s, m, k, &l);
		goto out;
	}
	if (m->origin && k && S_ISDIR(k->mode) && !S_ISDIR(l.st.st_mode)) { /* a renamed directory that was removed, then something else */
		report_gone(s, m, k);
		free(m->origin);
		m->origin = NULL;
		before = NULL;
	}
	int kind = kind_of(f, m, k, &l);
	if (kind >= 0 && before && S_ISDIR(k->mode) != S_ISDIR(l.st.st_mode)) {
		report_gone(s, m, k); /* then something of another kind took its name */
		before = NULL;
	}
	if (kind == VCR_CHANGE_RENAME && !before)
		before = vcr_table_get(&f->table, m->origin);
	if (k && S_ISDIR(k->mode) && !S_ISDIR(l.st.st_mode))
		mark_below(f, m);
	if (m->early && kind == VCR_CHANGE_WRITE)
		before = NULL;
	note_linked(s, k, &l); /* if nothing is told, its attributes may be others */
	if (kind >= 0)
		report(s, m, (enum vcr_change_kind)kind, kind == VCR_CHANGE_LINK && !k ? NULL : before, &l, false);
	if (!k && !(k = add_known(f, m->path, &l.st)))
		goto out;
	int64_t told_ns = kind >= 0 || m->hooked ? l.looked_ns : k->told_ns;
	vcr_known_set(f, k, &l);
	k->told_ns = told_ns;
known:
	set_writer(f, m, k);
out:
	vcr_look_release(&l);
}

static void report_buried(struct sweep *s)
{
	static const struct vcr_look nothing;
	for (size_t i = 0; i < s->f->nmark; i++)
		if (s->f->mark[i]->buried) {
			note_linked(s, s->f->mark[i]->buried, &nothing);
			report_gone(s, s->f->mark[i], s->f->mark[i]->buried);
		}
}

/* ---- Renames that nobody but inotify or a scan saw: the same inode, not written since, under a new name ---- */

struct gone { uint64_t ino, dev; int64_t mtime_ns; struct vcr_file_mark *m; };

static int by_inode(const void *a, const void *b)
{
	const struct gone *x = a, *y = b;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->mtime_ns < y->mtime_ns ? -1 : x->mtime_ns > y->mtime_ns;
}

static size_t find_gone(struct vcr_files *f, struct gone *list)
{
	size_t n = 0;
	for (size_t i = 0; i < f->nmark; i++) {
		struct vcr_file_mark *m = f->mark[i];
		struct stat st;
		const struct vcr_known *k = m->hooked ? NULL : vcr_table_get(&f->table, m->path);
		if (k && !vcr_files_exists(f, m->path, &st))
			list[n++] = (struct gone){ k->ino, k->dev, k->mtime_ns, m };
	}
	qsort(list, n, sizeof *list, by_inode);
	return n;
}

static void pair_renames(struct vcr_files *f)
{
	struct gone *list = f->nmark ? malloc(f->nmark * sizeof *list) : NULL, *g;
	size_t n = list ? find_gone(f, list) : 0;
	for (size_t i = 0, marks = f->nmark; n && i < marks; i++) {
		struct vcr_file_mark *m = f->mark[i];
		struct stat st;
		if (m->hooked || m->origin || vcr_table_get(&f->table, m->path) || !vcr_files_exists(f, m->path, &st))
			continue;
		struct gone key = { st.st_ino, st.st_dev, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec, NULL };
		if (!(g = bsearch(&key, list, n, sizeof *list, by_inode)) || g->m->moved_away || !(m->origin = strdup(g->m->path)))
			continue;
		g->m->moved_away = true;
		g->m->order = f->order += 2;
		if (S_ISDIR(st.st_mode))
			move_below(f, m->origin, m->path);
	}
	free(list);
}

static int by_order(const void *a, const void *b)
{
	const struct vcr_file_mark *x = *(struct vcr_file_mark *const *)a, *y = *(struct vcr_file_mark *const *)b;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Files that changed places cannot be told as one rename after the other: their names were written. */
static void break_circles(struct vcr_files *f)
{
	for (size_t i = 0; i < f->nmark; i++) {
		struct vcr_file_mark *m = f->mark[i], *up = m;
		for (int steps = 0; steps < 64 && up && up->origin && !up->link && !up->directory; steps++)
			if ((up = vcr_files_find_mark(f, up->origin)) == m) {
				free(m->origin);
				m->origin = NULL;
				m->writes += !m->writes;
				m->written_ns = m->last_ns;
				break;
			}
	}
}

/* Take the marks that have to wait out of the list; they are put back by keep_waiting. */
static size_t set_aside(struct vcr_files *f, int64_t upto_ns, struct vcr_file_mark ***aside)
{
	size_t n = 0, kept = 0;
	*aside = NULL;
	if (upto_ns == INT64_MAX)
		return 0;
	for (size_t i = 0; i < f->nmark; i++) {
		struct vcr_file_mark *m = f->mark[i];
		bool waits = !m->hooked && !m->scanned && m->seen_ns > upto_ns - VCR_FILES_SLACK_NS && !(f->deep_pid && vcr_files_is_deep(f, m->path));
		if (waits && !*aside && !(*aside = malloc(f->nmark * sizeof **aside)))
			return 0;
		if (waits)
			(*aside)[n++] = m;
		else
			f->mark[kept++] = m;
	}
	f->nmark = kept;
	return n;
}

static void keep_waiting(struct vcr_files *f, struct vcr_file_mark **aside, size_t n)
{
	memset(f->chain, 0, MARK_SLOTS * sizeof *f->chain);
	for (size_t i = 0; i < n; i++) { /* there is room: they came out of the list */
		struct vcr_file_mark **slot = &f->chain[vcr_path_hash(aside[i]->path) % MARK_SLOTS];
		aside[i]->chain = *slot;
		*slot = f->mark[f->nmark++] = aside[i];
	}
}

bool vcr_files_pending(const struct vcr_files *f)
{
	return f->nmark || f->must_scan;
}

int vcr_files_sweep(struct vcr_files *f, int64_t upto_ns, vcr_change_fn *fn, void *ctx, struct vcr_error *e)
{
	struct sweep s = { .f = f, .fn = fn, .ctx = ctx };
	struct vcr_file_mark **aside;
	if (f->must_scan && f->based) {
		f->must_scan = false;
		vcr_files_walk(f, "", VCR_WALK_SCAN, e);
	}
	vcr_watch_late(f);
	if (!f->nmark)
		return 0;
	size_t waiting = set_aside(f, upto_ns, &aside);
	vcr_files_look_begin(f);
	pair_renames(f);
	break_circles(f);
	if (f->nmark)
		qsort(f->mark, f->nmark, sizeof *f->mark, by_order);
	own_deep(f);
	vcr_group_forget_places(f);
	for (size_t i = 0; i < f->nmark; i++)
		vcr_group_mark(f, f->mark[i]);
	report_buried(&s);
	for (size_t i = 0; i < f->nmark; i++) { /* settling may add marks */
		settle(&s, f->mark[i]);
		if (i + 1 == f->nmark)
			vcr_linked_mark(f, f->mark[i]->last_ns);
	}
	vcr_files_look_end(f);
	clear_marks(f);
	if (waiting)
		keep_waiting(f, aside, waiting);
	free(aside);
	return s.err;
}

int vcr_files_scan_end(struct vcr_files *f, vcr_change_fn *fn, void *ctx, struct vcr_error *e)
{
	int err = 0;
	if (f->based && (err = vcr_files_walk(f, "", VCR_WALK_SCAN, e)) < 0)
		return err;
	err = vcr_files_sweep(f, INT64_MAX, fn, ctx, e);
	return err;
}
