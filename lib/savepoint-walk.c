/* savepoint-walk.c — from the files of the workspace to entries of a savepoint. */
#include "savepoint-parts.h"
#include "attrs.h"
#include "preimage.h"
#include "beneath.h"
#include "limits.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const unsigned char zero[VCR_OID];

/* ---- What is left out ---- */

static bool is_name(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(name, *list))
			return true;
	return false;
}

bool vcr_store_leaves_out(const struct vcr_store *s, const char *path, bool directory)
{
	return s->leave_out && s->leave_out(s->ctx, path, directory);
}

/* Never part of a savepoint. known: it has been part of one. */
static bool left_out(const struct vcr_store *s, const char *path, const char *name, const struct stat *st, bool known)
{
	if (!strcmp(name, ".git") || (s->vcr_rel && !strcmp(path, s->vcr_rel)))
		return true;
	if (!known && vcr_store_leaves_out(s, path, S_ISDIR(st->st_mode)))
		return true;
	if (S_ISDIR(st->st_mode))
		return !strcmp(name, ".vcr") || (st->st_dev == s->state_st.st_dev && st->st_ino == s->state_st.st_ino);
	return !S_ISREG(st->st_mode) && !S_ISLNK(st->st_mode);
}

/* Directories that a package manager or a build fills, unless git tracks files there: of their files a savepoint has the names, and what tells whether they are
 * the same. Other file systems are not even looked into. */
static bool is_heavy(struct vcr_store *s, const struct vcr_listing *l, const char *path, const char *name)
{
	static const char *const heavy[] = { "node_modules", "bower_components", ".tox", ".nox", ".gradle", ".terraform", ".direnv", NULL };
	return (is_name(name, heavy) || vcr_listing_has(l, "CACHEDIR.TAG") || vcr_listing_has(l, "pyvenv.cfg")) && !vcr_borrow_tracks(s->borrow, path);
}

static bool is_beneath(const char *path, const char *dir, size_t n)
{
	return !n || (!strncmp(path, dir, n) && (path[n] == '/' || !path[n]));
}

static bool is_in_heavy(const struct vcr_store *s, const char *path)
{
	for (size_t i = 0; i < s->nheavy; i++)
		if (is_beneath(path, s->heavy[i], strlen(s->heavy[i])))
			return true;
	return false;
}

/* False: memory is short. */
static bool note_heavy(struct vcr_store *s, const char *path)
{
	if (is_in_heavy(s, path))
		return true;
	if (s->nheavy == s->cap_heavy) {
		size_t cap = s->cap_heavy ? s->cap_heavy * 2 : 16;
		char **heavy = reallocarray(s->heavy, cap, sizeof *heavy);
		if (!heavy)
			return false;
		s->heavy = heavy;
		s->cap_heavy = cap;
	}
	if (!(s->heavy[s->nheavy] = strdup(path)))
		return false;
	s->nheavy++;
	return true;
}

void vcr_store_unkept(const struct vcr_store *s, struct vcr_store_unkept *out)
{
	*out = (struct vcr_store_unkept){ (const char *const *)s->heavy, s->nheavy, s->max_file, s->small_unkept };
}

/* ---- Directories ---- */

/* One that is looked at. It is opened when something in it has to be: of most files in most directories git knows all that is needed. */
struct place { struct place *up; const char *name; int fd; /* -1: not yet */ };

static int fd_of(struct place *p)
{
	if (p->fd < 0 && p->up) {
		int up = fd_of(p->up);
		p->fd = up < 0 ? -1 : openat(up, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	return p->fd;
}

static void leave_place(struct place *p)
{
	if (p->up && p->fd >= 0)
		close(p->fd);
}

/* ---- Entries ---- */

/* A file whose content is not kept: changed when its size, time or inode is another. */
static void large_entry(struct vcr_store *s, const struct stat *st, struct vcr_entry *out)
{
	out->mode = VCR_ENTRY_LARGE | (st->st_mode & 07777);
	vcr_large_id(st, out->oid);
	if (!s->in_heavy)
		s->flags |= VCR_SAVEPOINT_LIMITED;
}

static void heavy_entry(const struct stat *st, struct vcr_entry *out)
{
	*out = (struct vcr_entry){ .mode = VCR_ENTRY_HEAVY | (st->st_mode & 07777) };
}

static bool same_instant(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
		a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* An owner may read what he has forbidden himself to read. */
static int open_forbidden(int dir, const char *name, const struct stat *st)
{
	if (st->st_uid != geteuid() || fchmodat(dir, name, (st->st_mode & 07777) | 0400, 0))
		return -1;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	fchmodat(dir, name, st->st_mode & 07777, 0);
	return fd;
}

/* The content into buf, *st as it was then. 1: it changed while it was read, twice. <0: it cannot be read (errno). */
static int read_file(struct place *at, const char *name, struct stat *st, bool insist, struct vcr_buf *buf)
{
	int dir = fd_of(at);
	if (dir < 0)
		return -1;
	for (int turn = 0; turn < 2; turn++) {
		struct stat after;
		bool ended = false;
		ssize_t k = 0;
		int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 && errno == EACCES && insist)
			fd = open_forbidden(dir, name, st);
		if (fd < 0)
			return -1;
		vcr_buf_reset(buf);
		if (fstat(fd, st) || !S_ISREG(st->st_mode)) {
			close(fd);
			return -1;
		}
		size_t want = (size_t)st->st_size + 1; /* one more shows that it grew */
		char *to = NULL;
		while (!ended && (to = vcr_buf_reserve(buf, want)) && (k = read(fd, to, want)) >= 0) {
			vcr_buf_added(buf, (size_t)k);
			ended = !k || ((size_t)k < want && buf->len == (size_t)st->st_size);
			want = want > (size_t)k ? want - (size_t)k : 4096;
		}
		bool stable = ended && !fstat(fd, &after) && same_instant(st, &after) && buf->len == (size_t)st->st_size;
		close(fd);
		if (stable)
			return 0;
		if (!to || k < 0)
			return -1;
	}
	return 1;
}

static bool must_seal(const struct vcr_store *s, const char *path, const char *p, size_t n)
{
	return vcr_store_is_sealed(p, n) || s->is_secret(path) || (s->has_secret && s->has_secret(s->ctx, path, p, n));
}

int vcr_store_sealed_blob(struct vcr_store *s, const char *p, size_t n, unsigned char oid[VCR_OID], struct vcr_error *e)
{
	vcr_buf_reset(&s->sealed);
	int err = vcr_store_seal(s, p, n, &s->sealed, e);
	return err ? err : vcr_store_object(s, GIT_OBJECT_BLOB, s->sealed.data, s->sealed.len, oid, e);
}

int vcr_store_blob(struct vcr_store *s, const char *path, const char *p, size_t n, unsigned char oid[VCR_OID], struct vcr_error *e)
{
	return must_seal(s, path, p, n) ? vcr_store_sealed_blob(s, p, n, oid, e) : vcr_store_object(s, GIT_OBJECT_BLOB, p, n, oid, e);
}

static int file_entry(struct vcr_store *s, struct place *at, const char *name, const char *path, struct stat *st, struct vcr_entry *out, struct vcr_error *e)
{
	int err = 0;
	if (s->in_heavy && st->st_size) {
		large_entry(s, st, out);
		s->names--;
		return 0;
	}
	if (st->st_size > s->max_file || st->st_size > s->budget) {
		s->small_unkept |= st->st_size <= s->max_file;
		large_entry(s, st, out);
		return 0;
	}
	int changed = read_file(at, name, st, false, &s->scratch);
	if (changed < 0) {
		if (errno == ENOENT || errno == ELOOP || errno == ENOTDIR) { /* gone meanwhile, or something else */
			s->flags |= VCR_SAVEPOINT_UNSTABLE;
			out->mode = 0;
		} else {
			large_entry(s, st, out);
		}
		return 0;
	}
	if (changed)
		s->flags |= VCR_SAVEPOINT_UNSTABLE;
	s->budget -= (int64_t)s->scratch.len;
	if (!(err = vcr_store_blob(s, path, s->scratch.data, s->scratch.len, out->oid, e)))
		out->mode = st->st_mode;
	return err;
}

static int read_link(struct place *at, const char *name, char target[VCR_MAX_PATH], size_t *n)
{
	ssize_t k = readlinkat(fd_of(at), name, target, VCR_MAX_PATH);
	*n = (size_t)k;
	return k >= 0 && k < VCR_MAX_PATH ? 0 : -1;
}

/* The user's repository has its content. */
static bool borrowed_entry(struct vcr_store *s, const char *path, const struct vcr_seen *seen, const struct stat *st, struct vcr_entry *out)
{
	if ((s->in_heavy && st->st_size) || s->is_secret(path) || !vcr_borrow_blob(s->borrow, path, seen, st, out->oid))
		return false;
	out->mode = st->st_mode;
	return true;
}

/* A file or a link; sockets, pipes and devices are nothing. seen: as it was listed; NULL: it was not. */
static int leaf_entry(struct vcr_store *s, struct place *at, const char *name, const char *path, const struct vcr_seen *seen, struct stat *st, struct vcr_entry *out,
	struct vcr_error *e)
{
	char target[VCR_MAX_PATH];
	size_t n;
	*out = (struct vcr_entry){ 0 };
	if (s->as_of_ns && (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec > s->as_of_ns)
		s->flags |= VCR_SAVEPOINT_UNSTABLE;
	int err;
	if (S_ISREG(st->st_mode) && borrowed_entry(s, path, seen, st, out))
		return seen && !seen->attrs ? 0 : vcr_store_attrs(s, fd_of(at), name, path, out->attrs, e);
	if (S_ISREG(st->st_mode))
		return (err = file_entry(s, at, name, path, st, out, e)) || !S_ISREG(out->mode) ? err : vcr_store_attrs(s, fd_of(at), name, path, out->attrs, e);
	if (!S_ISLNK(st->st_mode) || read_link(at, name, target, &n))
		return 0;
	if (!(err = vcr_store_blob(s, "", target, n, out->oid, e)))
		out->mode = st->st_mode;
	return err;
}

/* ---- A whole directory ---- */

static int scan(struct vcr_store *s, struct place *at, struct vcr_listing *l, struct vcr_buf *path, int depth, unsigned char tree[VCR_OID], struct vcr_error *e);

/* 0: listed. 1: it cannot be opened. */
static int list(struct vcr_store *s, struct place *at, const struct vcr_buf *path, const struct stat *st, struct vcr_listing *l)
{
	if (vcr_borrow_listing(s->borrow, path->data, path->len, st, l))
		return 0;
	if (fd_of(at) < 0)
		return 1;
	if (!vcr_listing_read(l, at->fd))
		s->flags |= VCR_SAVEPOINT_LIMITED;
	return 0;
}

static int scan_dir_entry(struct vcr_store *s, struct place *up, const char *name, struct vcr_buf *path, const struct vcr_seen *seen, int depth, struct stat *st,
	struct vcr_entry *out, struct vcr_error *e)
{
	struct place at = { up, name, -1 };
	struct vcr_listing l = { 0 };
	bool was = s->in_heavy, foreign = st->st_dev != s->root_st.st_dev && !vcr_borrow_tracks(s->borrow, path->data);
	int err = 0, closed = foreign || depth >= VCR_STORE_DEPTH || (was && s->names <= 0) || list(s, &at, path, st, &l);
	bool heavy = !closed && !was && is_heavy(s, &l, path->data, name);
	if (closed || (heavy && !note_heavy(s, path->data))) {
		heavy_entry(st, out);
	} else {
		*out = (struct vcr_entry){ .mode = st->st_mode };
		s->in_heavy = was || heavy;
		err = scan(s, &at, &l, path, depth + 1, out->oid, e);
		s->in_heavy = was;
		if (!err && !(seen && !seen->attrs))
			err = vcr_store_attrs(s, fd_of(up), name, path->data, out->attrs, e);
	}
	vcr_listing_release(&l);
	leave_place(&at);
	return err;
}

static int scan_name(struct vcr_store *s, struct place *at, const char *name, struct vcr_seen *seen, struct vcr_buf *path, int depth, struct vcr_folder *t, struct vcr_error *e)
{
	struct stat mine, *st = seen ? &seen->st : &mine;
	struct vcr_entry entry = { 0 };
	size_t before = path->len;
	if (before)
		vcr_buf_putc(path, '/');
	vcr_buf_puts(path, name);
	int err = 0;
	if (path->err) { /* deeper than any path can be */
		path->err = 0;
		s->flags |= VCR_SAVEPOINT_LIMITED;
	} else if (!(seen ? seen->gone : fstatat(at->fd, name, st, AT_SYMLINK_NOFOLLOW)) && !left_out(s, path->data, name, st, false)) {
		err = S_ISDIR(st->st_mode) ? scan_dir_entry(s, at, name, path, seen, depth, st, &entry, e) : leaf_entry(s, at, name, path->data, seen, st, &entry, e);
		if (!err && entry.mode && !(err = vcr_folder_add(t, entry.mode, entry.oid, name, strlen(name), e)))
			memcpy(t->item[t->n - 1].attrs, entry.attrs, VCR_OID);
	}
	vcr_buf_cut(path, before);
	return err;
}

static int scan(struct vcr_store *s, struct place *at, struct vcr_listing *l, struct vcr_buf *path, int depth, unsigned char tree[VCR_OID], struct vcr_error *e)
{
	struct vcr_folder t = { 0 };
	int err = 0;
	for (size_t i = 0; !err && i < l->n; i++)
		err = scan_name(s, at, l->name[i], l->seen ? &l->seen[i] : NULL, path, depth, &t, e);
	if (!err)
		err = vcr_folder_store(s, &t, tree, e);
	vcr_folder_release(&t);
	return err;
}

int vcr_store_scan(struct vcr_store *s, unsigned char tree[VCR_OID], struct vcr_error *e)
{
	struct place top = { .fd = s->root };
	struct vcr_listing l = { 0 };
	struct vcr_buf path;
	vcr_buf_init(&path, VCR_MAX_BENEATH - 1);
	list(s, &top, &path, &s->root_st, &l);
	int err = scan(s, &top, &l, &path, 0, tree, e);
	vcr_listing_release(&l);
	vcr_buf_release(&path);
	return err;
}

/* ---- Dirty paths ---- */

struct level { int fd; struct vcr_folder tree; size_t len; /* of its path; 0: the workspace */ };
struct puts { struct vcr_store_put *put; size_t n, cap; };
struct patching {
	struct vcr_store *s;
	struct level level[VCR_STORE_DEPTH + 1];
	int depth;              /* level[depth] is open */
	struct vcr_buf path;    /* of what is being looked at */
	struct vcr_buf barrier; /* nothing beneath this path needs a look; "" none */
	struct puts puts;
	struct vcr_error *e;
};

static int add_put(struct patching *p, const struct vcr_entry *entry)
{
	struct puts *u = &p->puts;
	if (u->n == u->cap) {
		size_t cap = u->cap ? u->cap * 2 : 64;
		struct vcr_store_put *put = reallocarray(u->put, cap, sizeof *put);
		if (!put)
			return vcr_error_set(p->e, VCR_ENOMEM, "savepoint: out of memory");
		u->put = put;
		u->cap = cap;
	}
	char *path = strdup(p->path.data);
	if (!path)
		return vcr_error_set(p->e, VCR_ENOMEM, "savepoint: out of memory");
	u->put[u->n++] = (struct vcr_store_put){ path, *entry };
	return 0;
}

static void leave(struct patching *p)
{
	struct level *l = &p->level[p->depth--];
	vcr_folder_release(&l->tree);
	close(l->fd);
}

static void set_barrier(struct patching *p)
{
	vcr_buf_reset(&p->barrier);
	vcr_buf_add(&p->barrier, p->path.data, p->path.len);
}

/* A directory: all of it, its mode, or one step down (returns 1). */
static int dirty_dir(struct patching *p, const char *name, struct stat *st, bool last, bool deep)
{
	struct level *up = &p->level[p->depth];
	const struct vcr_item *was = vcr_folder_find(&up->tree, name, strlen(name));
	bool known = was && (was->mode & VCR_ENTRY_TYPE) == VCR_ENTRY_DIR;
	struct vcr_entry entry = { .mode = st->st_mode };
	int err;
	if (was && (was->mode & VCR_ENTRY_TYPE) == VCR_ENTRY_HEAVY) {
		set_barrier(p);
		p->s->flags |= VCR_SAVEPOINT_LIMITED;
		return 0;
	}
	if (!known || (last && deep)) {
		set_barrier(p);
		struct place at = { .fd = up->fd };
		err = scan_dir_entry(p->s, &at, name, &p->path, NULL, p->depth, st, &entry, p->e);
		return err ? err : add_put(p, &entry);
	}
	if ((was->mode != entry.mode || last) && (err = vcr_store_attrs(p->s, up->fd, name, p->path.data, entry.attrs, p->e)))
		return err;
	if ((was->mode != entry.mode || (last && memcmp(was->attrs, entry.attrs, VCR_OID))) && (err = add_put(p, &entry)))
		return err;
	if (last)
		return 0;
	int fd = openat(up->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || p->depth + 1 >= VCR_STORE_DEPTH) {
		if (fd >= 0)
			close(fd);
		p->s->flags |= VCR_SAVEPOINT_LIMITED;
		set_barrier(p);
		return 0;
	}
	struct level *l = &p->level[p->depth + 1];
	if ((err = vcr_folder_load(p->s, was->oid, &l->tree, p->e))) {
		close(fd);
		return err;
	}
	l->fd = fd;
	l->len = p->path.len;
	p->depth++;
	return 1;
}

/* The component that ends p->path, in the directory level[depth]. 1: look at the next one. */
static int dirty_component(struct patching *p, const char *name, bool last, bool deep)
{
	struct stat st;
	struct vcr_entry entry = { 0 };
	struct place at = { .fd = p->level[p->depth].fd };
	int err = 0;
	if (fstatat(at.fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		set_barrier(p);
		return errno == ENOENT || errno == ENOTDIR ? add_put(p, &entry) : 0;
	}
	if (left_out(p->s, p->path.data, name, &st, vcr_folder_find(&p->level[p->depth].tree, name, strlen(name)) != NULL)) {
		set_barrier(p);
		/* what stood there before is gone, unless it is a name that is never kept */
		return S_ISDIR(st.st_mode) || !strcmp(name, ".git") ? 0 : add_put(p, &entry);
	}
	if (S_ISDIR(st.st_mode))
		return dirty_dir(p, name, &st, last, deep);
	set_barrier(p);
	err = leaf_entry(p->s, &at, name, p->path.data, NULL, &st, &entry, p->e);
	return err ? err : add_put(p, &entry);
}

static int dirty_path(struct patching *p, const char *path, bool deep)
{
	if (!vcr_beneath_valid(path) || (p->barrier.len && is_beneath(path, p->barrier.data, p->barrier.len)))
		return 0;
	while (p->depth && !is_beneath(path, p->path.data, p->level[p->depth].len))
		leave(p);
	size_t at = p->level[p->depth].len;
	for (;;) {
		char name[256];
		const char *from = path + at + (at > 0);
		size_t len = strcspn(from, "/");
		if (!*from || len >= sizeof name)
			return 0; /* the directory itself was looked at on the way, or no file system has it */
		memcpy(name, from, len);
		name[len] = 0;
		at = (size_t)(from - path) + len;
		vcr_buf_reset(&p->path);
		vcr_buf_add(&p->path, path, at);
		p->s->in_heavy = p->s->nheavy && is_in_heavy(p->s, p->path.data);
		int err = dirty_component(p, name, !path[at], deep);
		if (err <= 0)
			return err;
	}
}

static int by_path(const void *x, const void *y)
{
	const struct vcr_store_dirty *a = x, *b = y;
	int c = vcr_path_compare(a->path, b->path);
	return c ? c : (int)b->deep - (int)a->deep;
}

int vcr_store_apply_dirty(struct vcr_store *s, const unsigned char tree[VCR_OID], const struct vcr_store_dirty *dirty, size_t n, unsigned char out[VCR_OID],
	struct vcr_error *e)
{
	if (!n) {
		memcpy(out, tree, VCR_OID);
		return 0;
	}
	struct patching *p = calloc(1, sizeof *p);
	struct vcr_store_dirty *sorted = malloc((n + 1) * sizeof *sorted);
	int err = p && sorted ? 0 : vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
	if (!err) {
		p->s = s;
		p->e = e;
		vcr_buf_init(&p->path, VCR_MAX_BENEATH - 1);
		vcr_buf_init(&p->barrier, VCR_MAX_BENEATH - 1);
		memcpy(sorted, dirty, n * sizeof *sorted);
		qsort(sorted, n, sizeof *sorted, by_path);
		p->level[0].fd = s->root;
		err = vcr_folder_load(s, tree, &p->level[0].tree, e);
		s->names = VCR_STORE_NAMES;
		for (size_t i = 0; !err && i < n; i++)
			err = dirty_path(p, sorted[i].path, sorted[i].deep);
		s->in_heavy = false;
		while (p->depth)
			leave(p);
		vcr_folder_release(&p->level[0].tree);
		if (!err && p->puts.n)
			err = vcr_folder_patch(s, tree, p->puts.put, p->puts.n, out, e);
		else if (!err)
			memcpy(out, tree, VCR_OID);
		for (size_t i = 0; i < p->puts.n; i++)
			free((char *)p->puts.put[i].path);
		free(p->puts.put);
		vcr_buf_release(&p->path);
		vcr_buf_release(&p->barrier);
	}
	free(sorted);
	free(p);
	return err;
}

/* ---- One path as it is now ---- */

static int hash(const void *p, size_t n, unsigned char oid[VCR_OID], struct vcr_error *e)
{
	git_oid id;
	int err = git_odb_hash(&id, p, n, GIT_OBJECT_BLOB);
	if (err)
		return vcr_store_git_error(e, err, "hash");
	memcpy(oid, id.id, VCR_OID);
	return 0;
}

static bool is_known(const struct vcr_entry *const *known, unsigned type, const unsigned char oid[VCR_OID])
{
	for (; *known; known++)
		if (((*known)->mode & VCR_ENTRY_TYPE) == type && !memcmp((*known)->oid, oid, VCR_OID))
			return true;
	return false;
}

/* An object of these bytes is read as these bytes: it does not look sealed, or our key did not seal it (vcr_store_read). */
static bool stands_for_itself(struct vcr_store *s, const char *p, size_t n)
{
	VCR_AUTO_BUF opened = VCR_BUF_INIT;
	return !vcr_store_is_sealed(p, n) || vcr_store_unseal(s, p, n, &opened, NULL) == VCR_ECORRUPT;
}

/* Content as one of the known entries names it, else sealed. */
static int known_entry(struct vcr_store *s, unsigned type, const char *p, size_t n, const struct vcr_entry *const *known, bool keep, struct vcr_entry *out,
	struct vcr_error *e)
{
	int err = hash(p, n, out->oid, e);
	if (err || (is_known(known, type, out->oid) && stands_for_itself(s, p, n)))
		return !err && keep ? vcr_store_object(s, GIT_OBJECT_BLOB, p, n, out->oid, e) : err;
	vcr_buf_reset(&s->sealed);
	if ((err = vcr_store_seal(s, p, n, &s->sealed, e)))
		return err;
	return keep ? vcr_store_object(s, GIT_OBJECT_BLOB, s->sealed.data, s->sealed.len, out->oid, e) : hash(s->sealed.data, s->sealed.len, out->oid, e);
}

/* As open_forbidden: what he has set, an owner may read. */
static int read_attrs(int dir, const char *name, struct vcr_buf *out)
{
	int err = vcr_attrs_read(dir, name, out), fd = err == VCR_ATTRS_CLOSED ? openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
	char path[40];
	struct stat st;
	if (fd < 0)
		return err;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (!fstat(fd, &st) && st.st_uid == geteuid() && !(st.st_mode & 0400) && !chmod(path, (st.st_mode & 07777) | 0400)) {
		vcr_buf_reset(out);
		err = vcr_attrs_read(dir, name, out);
		chmod(path, st.st_mode & 07777);
	}
	close(fd);
	return err;
}

/* Likewise its attributes. */
static int known_attrs(struct vcr_store *s, int dir, const char *name, const struct vcr_entry *const *known, bool keep, unsigned char oid[VCR_OID], struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_entry as[4] = { 0 }, found;
	const struct vcr_entry *list[5] = { NULL };
	int err = read_attrs(dir, name, &text);
	if (err < 0)
		return vcr_error_set(e, err, "the attributes of %s: %s", name, vcr_strerror(err));
	if (!text.len)
		return 0;
	for (size_t i = 0; known[i] && i < 4; i++) {
		as[i].mode = VCR_ENTRY_FILE;
		memcpy(as[i].oid, known[i]->attrs, VCR_OID);
		list[i] = &as[i];
	}
	if (!(err = known_entry(s, VCR_ENTRY_FILE, text.data, text.len, list, keep, &found, e)))
		memcpy(oid, found.oid, VCR_OID);
	return err;
}

int vcr_store_look(struct vcr_store *s, const char *path, const struct vcr_entry *const *known, bool keep, struct vcr_entry *out, struct vcr_error *e)
{
	struct stat st;
	const char *name;
	char target[VCR_MAX_PATH];
	size_t n;
	const struct vcr_entry *const *first = known;
	*out = (struct vcr_entry){ 0 };
	struct place at = { .fd = vcr_beneath_parent(s->root, path, &name) };
	int err = 0;
	if (at.fd < 0 || fstatat(at.fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		int saved = errno;
		if (at.fd >= 0)
			close(at.fd);
		return saved == ENOENT || saved == ENOTDIR || saved == ELOOP ? 0 : vcr_error_sys(e, saved, "%s", path);
	}
	if (S_ISDIR(st.st_mode)) {
		out->mode = st.st_mode;
		for (; *known; known++)
			if (((*known)->mode & VCR_ENTRY_TYPE) == VCR_ENTRY_HEAVY)
				out->mode = VCR_ENTRY_HEAVY | (st.st_mode & 07777);
	} else if (S_ISLNK(st.st_mode) && !read_link(&at, name, target, &n)) {
		out->mode = st.st_mode;
		err = known_entry(s, VCR_ENTRY_LINK, target, n, known, keep, out, e);
	} else if (S_ISREG(st.st_mode) && st.st_size <= s->max_file && read_file(&at, name, &st, true, &s->scratch) >= 0) {
		out->mode = st.st_mode;
		err = known_entry(s, VCR_ENTRY_FILE, s->scratch.data, s->scratch.len, known, keep, out, e);
	} else {
		large_entry(s, &st, out);
	}
	if (!err && (S_ISREG(out->mode) || S_ISDIR(out->mode)))
		err = known_attrs(s, at.fd, name, first, keep, out->attrs, e);
	close(at.fd);
	return err;
}

static bool stat_path(struct vcr_store *s, const char *path, struct stat *st)
{
	const char *name;
	int dir = vcr_beneath_parent(s->root, path, &name);
	bool there = dir >= 0 && !fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW);
	if (dir >= 0)
		close(dir);
	return there;
}

bool vcr_store_large(struct vcr_store *s, const char *path, struct vcr_entry *out)
{
	struct stat st;
	if (!stat_path(s, path, &st) || !S_ISREG(st.st_mode))
		return false;
	large_entry(s, &st, out);
	return true;
}

bool vcr_store_is_large(struct vcr_store *s, const char *path, const struct vcr_entry *large)
{
	struct stat st;
	struct vcr_entry now = { 0 };
	if (!stat_path(s, path, &st))
		return false;
	large_entry(s, &st, &now);
	return vcr_entry_alike(&now, large);
}

static int read_blob(struct vcr_store *s, const unsigned char oid[VCR_OID], struct vcr_buf *out, struct vcr_error *e)
{
	git_odb_object *o;
	git_oid id;
	int err;
	vcr_store_note(s, oid);
	git_oid_fromraw(&id, oid);
	if ((err = git_odb_read(&o, s->odb, &id)))
		return vcr_store_git_error(e, err, "a file of the shadow repository");
	const char *p = git_odb_object_data(o);
	size_t n = git_odb_object_size(o);
	if (git_odb_object_type(o) != GIT_OBJECT_BLOB)
		err = vcr_error_set(e, VCR_ECORRUPT, "an object of the shadow repository is no file");
	else if (vcr_store_is_sealed(p, n) && (err = vcr_store_unseal(s, p, n, out, e)) != VCR_ECORRUPT)
		; /* opened, or there is no key; objects are checked by their hash, so what our key did not seal is text of the user's own repository */
	else if ((err = vcr_buf_add(out, p, n)))
		err = vcr_error_set(e, out->err, "a file of %zu bytes: %s", n, vcr_strerror(out->err));
	git_odb_object_free(o);
	return err;
}

int vcr_store_read_attrs(struct vcr_store *s, const struct vcr_entry *entry, struct vcr_buf *out, struct vcr_error *e)
{
	return memcmp(entry->attrs, zero, VCR_OID) ? read_blob(s, entry->attrs, out, e) : 0;
}

int vcr_store_read(struct vcr_store *s, const struct vcr_entry *entry, struct vcr_buf *out, struct vcr_error *e)
{
	unsigned type = entry->mode & VCR_ENTRY_TYPE;
	if (type != VCR_ENTRY_FILE && type != VCR_ENTRY_LINK)
		return vcr_error_set(e, VCR_ENOTFOUND, "its content was not kept");
	return read_blob(s, entry->oid, out, e);
}
