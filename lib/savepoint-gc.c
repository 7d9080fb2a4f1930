/* savepoint-gc.c — see gc.h. */
#include "gc.h"
#include "flush.h"
#include "manifest.h"
#include "paths.h"
#include "replace.h"
#include "savepoint-parts.h"
#include "times.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { WAIT_MS = 10000, MAX_PACKS = 4096, MAX_REFS = 4 << 20 };

/* ---- A set of ids ---- */

struct set { unsigned char (*v)[VCR_OID]; uint32_t *slot; size_t n, cap, slots; };

static size_t slot_of(const struct set *s, const unsigned char oid[VCR_OID])
{
	uint64_t h;
	memcpy(&h, oid, sizeof h);
	size_t i = (size_t)h & (s->slots - 1);
	while (s->slot[i] && memcmp(s->v[s->slot[i] - 1], oid, VCR_OID))
		i = (i + 1) & (s->slots - 1);
	return i;
}

static bool set_has(const struct set *s, const unsigned char oid[VCR_OID])
{
	return s->n && s->slot[slot_of(s, oid)];
}

static bool set_grow(struct set *s)
{
	size_t cap = s->cap ? s->cap * 2 : 4096;
	void *v = cap <= UINT32_MAX / 2 ? reallocarray(s->v, cap, VCR_OID) : NULL;
	if (v)
		s->v = v;
	uint32_t *slot = v ? calloc(cap * 2, sizeof *slot) : NULL;
	if (!slot)
		return false;
	free(s->slot);
	s->slot = slot;
	s->slots = cap * 2;
	s->cap = cap;
	for (size_t i = 0; i < s->n; i++)
		s->slot[slot_of(s, s->v[i])] = (uint32_t)i + 1;
	return true;
}

/* 1: it was there; VCR_ENOMEM */
static int set_add(struct set *s, const unsigned char oid[VCR_OID])
{
	if (s->n == s->cap && !set_grow(s))
		return VCR_ENOMEM;
	size_t i = slot_of(s, oid);
	if (s->slot[i])
		return 1;
	memcpy(s->v[s->n], oid, VCR_OID);
	s->slot[i] = (uint32_t)++s->n;
	return 0;
}

static void set_release(struct set *s)
{
	free(s->v);
	free(s->slot);
	*s = (struct set){ 0 };
}

/* ---- What names reach ---- */

struct walk { struct vcr_store *s; struct set seen; int64_t missing; struct vcr_error *e; };

static int out_of_memory(struct vcr_error *e)
{
	return vcr_error_set(e, VCR_ENOMEM, "housekeeping: out of memory");
}

static int walk_tree(struct walk *w, const unsigned char oid[VCR_OID], int depth);

static int walk_entries(struct walk *w, const char *p, const char *end, int depth)
{
	int err = 0;
	while (!err && p < end) {
		unsigned mode = (unsigned)strtoul(p, NULL, 8);
		const char *nul = memchr(p, 0, (size_t)(end - p));
		if (!nul || end - nul <= VCR_OID)
			return vcr_error_set(w->e, VCR_ECORRUPT, "a directory of the shadow repository is damaged");
		const unsigned char *oid = (const unsigned char *)nul + 1;
		unsigned type = mode & VCR_ENTRY_TYPE;
		if (type == VCR_ENTRY_DIR)
			err = walk_tree(w, oid, depth + 1);
		else if (type == VCR_ENTRY_FILE || type == VCR_ENTRY_LINK)
			err = set_add(&w->seen, oid) == VCR_ENOMEM ? out_of_memory(w->e) : 0;
		p = nul + 1 + VCR_OID;
	}
	return err;
}

static int read_object(struct walk *w, const unsigned char oid[VCR_OID], git_odb_object **o)
{
	git_oid id;
	git_oid_fromraw(&id, oid);
	int err = git_odb_read(o, w->s->odb, &id);
	return err ? vcr_store_git_error(w->e, err, "an object of a savepoint cannot be read, nothing was removed") : 0;
}

static int walk_tree(struct walk *w, const unsigned char oid[VCR_OID], int depth)
{
	git_odb_object *o;
	int err = set_add(&w->seen, oid);
	if (err)
		return err > 0 ? 0 : out_of_memory(w->e);
	if (depth > VCR_STORE_DEPTH)
		return vcr_error_set(w->e, VCR_ELIMIT, "directories too deep inside one another");
	if ((err = read_object(w, oid, &o)))
		return err;
	const char *p = git_odb_object_data(o);
	err = walk_entries(w, p, p + git_odb_object_size(o), depth);
	git_odb_object_free(o);
	return err;
}

/* A commit, its tree, and so on with its parent. */
static int walk_commits(struct walk *w, const char *commit)
{
	char at[41], tree[41];
	unsigned char oid[VCR_OID], root[VCR_OID];
	int err = 0;
	snprintf(at, sizeof at, "%s", commit);
	while (!err && vcr_store_unhex(at, oid)) {
		git_odb_object *o;
		if ((err = set_add(&w->seen, oid)))
			return err > 0 ? 0 : out_of_memory(w->e);
		if ((err = read_object(w, oid, &o)))
			return err;
		const char *p = git_odb_object_data(o);
		size_t n = git_odb_object_size(o);
		bool good = git_odb_object_type(o) == GIT_OBJECT_COMMIT && n > 94 && !strncmp(p, "tree ", 5);
		snprintf(tree, sizeof tree, "%.40s", good ? p + 5 : "");
		snprintf(at, sizeof at, "%.40s", good && !strncmp(p + 46, "parent ", 7) ? p + 53 : "");
		err = good && vcr_store_unhex(tree, root) ? walk_tree(w, root, 0) : vcr_error_set(w->e, VCR_ECORRUPT, "%s is no savepoint", commit);
		git_odb_object_free(o);
	}
	return err;
}

static int walk_ref(void *ctx, const char *ref, const char *commit)
{
	return walk_commits(ctx, commit);
}

/* ---- Packs ---- */

struct packs { char *name[MAX_PACKS]; bool linked[MAX_PACKS]; uint32_t count[MAX_PACKS]; size_t n; }; /* names without .pack */

static uint32_t count_of(int dir, const char *idx)
{
	unsigned char be[4] = { 0 };
	int fd = openat(dir, idx, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && pread(fd, be, 4, 8 + 255 * 4) != 4)
		memset(be, 0, 4);
	if (fd >= 0)
		close(fd);
	return (uint32_t)be[0] << 24 | (uint32_t)be[1] << 16 | (uint32_t)be[2] << 8 | be[3];
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);
	return n > k && !strcmp(s + n - k, end);
}

static int open_packs(const struct vcr_store *s)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	vcr_buf_printf(&path, "%s/objects/pack", s->git_dir);
	return open(path.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Packs with an index. */
static void list_packs(const struct vcr_store *s, struct packs *p)
{
	int fd = open_packs(s);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;
	p->n = 0;
	while (d && p->n < MAX_PACKS && (ent = readdir(d))) {
		struct stat st;
		VCR_AUTO_BUF pack = VCR_BUF_INIT;
		if (!ends_with(ent->d_name, ".idx"))
			continue;
		vcr_buf_printf(&pack, "%.*s.pack", (int)strlen(ent->d_name) - 4, ent->d_name);
		if (fstatat(dirfd(d), pack.data, &st, 0))
			continue;
		p->linked[p->n] = st.st_nlink > 1;
		p->count[p->n] = count_of(dirfd(d), ent->d_name);
		if ((p->name[p->n] = strndup(ent->d_name, strlen(ent->d_name) - 4)))
			p->n++;
	}
	if (d)
		closedir(d);
}

static void free_packs(struct packs *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->name[i]);
	p->n = 0;
}

/* What the packs that are linked from the user's repository hold. NULL: nothing. */
static git_odb *linked_objects(const struct vcr_store *s, const struct packs *p)
{
	git_odb *odb = NULL;
	for (size_t i = 0; i < p->n; i++) {
		VCR_AUTO_BUF idx = VCR_BUF_INIT;
		git_odb_backend *one = NULL;
		if (!p->linked[i] || (!odb && git_odb_new(&odb)))
			continue;
		vcr_buf_printf(&idx, "%s/objects/pack/%s.idx", s->git_dir, p->name[i]);
		if (!git_odb_backend_one_pack(&one, idx.data))
			git_odb_add_backend(odb, one, 1);
	}
	return odb;
}

static bool is_in(git_odb *odb, const unsigned char oid[VCR_OID])
{
	git_oid id;
	git_oid_fromraw(&id, oid);
	return odb && git_odb_exists_ext(odb, &id, GIT_ODB_LOOKUP_NO_REFRESH);
}

/* What is there when the old packs have gone. */
static git_odb *staying_objects(const struct vcr_store *s, const struct packs *old)
{
	VCR_AUTO_BUF objects = VCR_BUF_INIT;
	struct packs *now = calloc(1, sizeof *now);
	git_odb_backend *loose = NULL;
	if (!now)
		return NULL;
	list_packs(s, now);
	for (size_t i = 0; i < now->n; i++) {
		bool was = false;
		for (size_t k = 0; k < old->n; k++)
			was |= !strcmp(old->name[k], now->name[i]) && !old->linked[k];
		now->linked[i] = !was;
	}
	git_odb *odb = linked_objects(s, now);
	vcr_buf_printf(&objects, "%s/objects", s->git_dir);
	if ((odb || !git_odb_new(&odb)) && !git_odb_backend_loose(&loose, objects.data, 1, 0, 0700, 0400))
		git_odb_add_backend(odb, loose, 2);
	free_packs(now);
	free(now);
	return odb;
}

/* One pack of the objects in `seen` that are neither linked nor in `have`; those are added to have. *name: of the pack; "" if there was nothing to do. */
static int write_pack(struct vcr_store *s, const struct set *seen, git_odb *linked, struct set *have, char name[60], struct vcr_error *e)
{
	git_repository *repo = NULL;
	git_packbuilder *b = NULL;
	size_t n = 0;
	int err = git_repository_open_bare(&repo, s->git_dir);
	*name = 0;
	if (!err)
		err = git_packbuilder_new(&b, repo);
	for (size_t i = 0; !err && i < seen->n; i++) {
		git_oid id;
		if (is_in(linked, seen->v[i]) || set_has(have, seen->v[i]))
			continue;
		git_oid_fromraw(&id, seen->v[i]);
		n++;
		err = git_packbuilder_insert(b, &id, NULL);
		if (!err && set_add(have, seen->v[i]) == VCR_ENOMEM) {
			git_packbuilder_free(b);
			git_repository_free(repo);
			return out_of_memory(e);
		}
	}
	if (!err && n) {
		git_packbuilder_set_threads(b, 1);
		err = git_packbuilder_write(b, NULL, 0400, NULL, NULL);
		if (!err)
			snprintf(name, 60, "pack-%s", git_packbuilder_name(b));
	}
	err = err ? vcr_store_git_error(e, err, "packing") : 0;
	git_packbuilder_free(b);
	git_repository_free(repo);
	return err;
}

/* ---- Taking away, while nobody writes ---- */

/* What a killed one left among the packs: a pack or an index without the other, a file that was to become one. */
static bool is_leftover(int dir, const char *name)
{
	VCR_AUTO_BUF other = VCR_BUF_INIT;
	bool is_pack = ends_with(name, ".pack"), is_index = ends_with(name, ".idx");
	if (!strncmp(name, "tmp_", 4) || !strncmp(name, "pack_", 5))
		return true;
	vcr_buf_printf(&other, "%.*s%s", (int)(strlen(name) - (is_pack ? 5 : 4)), name, is_pack ? ".idx" : ".pack");
	return (is_pack || is_index) && faccessat(dir, other.data, F_OK, 0);
}

/* go: it goes. */
static bool any_leftover(const struct vcr_store *s, bool go)
{
	int fd = open_packs(s);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;
	bool any = false;
	while (d && (ent = readdir(d)))
		if (is_leftover(dirfd(d), ent->d_name)) {
			any = true;
			if (go)
				unlinkat(dirfd(d), ent->d_name, 0);
		}
	if (d)
		closedir(d);
	return any;
}

/* The packs that were there before, and what was left of killed ones. The index goes first: a pack without one is nobody's. */
static void remove_packs(const struct vcr_store *s, const struct packs *old, const char *a, const char *b)
{
	static const char *const ends[] = { ".idx", ".pack" };
	int fd = open_packs(s);
	for (size_t i = 0; fd >= 0 && i < old->n; i++)
		for (int k = 0; k < 2 && !old->linked[i] && strcmp(old->name[i], a) && strcmp(old->name[i], b); k++) {
			VCR_AUTO_BUF name = VCR_BUF_INIT;
			vcr_buf_printf(&name, "%s%s", old->name[i], ends[k]);
			unlinkat(fd, name.data, 0);
		}
	if (fd >= 0)
		close(fd);
	any_leftover(s, true);
}

/* Loose objects that are packed now, or that nothing reaches. */
static int64_t remove_loose(const struct vcr_store *s, const struct set *seen, const struct set *packed)
{
	int64_t n = 0;
	for (unsigned byte = 0; byte < 256; byte++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		struct dirent *ent;
		vcr_buf_printf(&path, "%s/objects/%02x", s->git_dir, byte);
		DIR *d = opendir(path.data);
		if (!d)
			continue;
		while ((ent = readdir(d))) {
			char hex[80];
			unsigned char oid[VCR_OID];
			if (*ent->d_name == '.')
				continue;
			snprintf(hex, sizeof hex, "%02x%.64s", byte, ent->d_name);
			bool is_object = vcr_store_unhex(hex, oid);
			if (!is_object || !set_has(seen, oid) || set_has(packed, oid))
				n += !unlinkat(dirfd(d), ent->d_name, 0) && is_object && !set_has(seen, oid);
		}
		closedir(d);
		rmdir(path.data);
	}
	return n;
}

struct names { char **line; size_t n, cap; bool failed; };

static int note_name(void *ctx, const char *ref, const char *commit)
{
	struct names *l = ctx;
	if (l->n == l->cap && l->n < MAX_REFS) {
		size_t cap = l->cap ? l->cap * 2 : 256;
		char **line = reallocarray(l->line, cap, sizeof *line);
		if (line) {
			l->line = line;
			l->cap = cap;
		}
	}
	if (l->n == l->cap || asprintf(&l->line[l->n], "%s %s\n", commit, ref) < 0)
		l->failed = true;
	else
		l->n++;
	return l->failed;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a + 41, *(char *const *)b + 41);
}

static int write_names(struct vcr_store *s, const struct names *l, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	vcr_buf_init(&text, VCR_REFS_MAX);
	vcr_buf_puts(&text, "# pack-refs with: peeled fully-peeled sorted \n");
	for (size_t i = 0; i < l->n; i++)
		vcr_buf_puts(&text, l->line[i]);
	int dir = open(s->git_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || text.err)
		return dir < 0 ? vcr_error_sys(e, errno, "%s", s->git_dir) : vcr_error_set(e, text.err, "packed-refs: %s", vcr_strerror(text.err));
	int err = vcr_replace_write(dir, s->git_dir, "packed-refs", &text, e);
	if (!err)
		fsync(dir);
	close(dir);
	return err;
}

static void free_names(struct names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->line[i]);
	free(l->line);
}

/* Savepoints' files of refs become lines. refs/undo is renamed over by rollbacks and stays a file. */
static int pack_names(struct vcr_store *s, struct vcr_error *e)
{
	struct names l = { 0 };
	vcr_refs_each(s, note_name, &l);
	int err = l.failed ? out_of_memory(e) : 0;
	if (!err && l.n) {
		qsort(l.line, l.n, sizeof *l.line, by_name);
		err = write_names(s, &l, e);
	}
	for (size_t i = 0; !err && i < l.n; i++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		const char *ref = l.line[i] + 41;
		if (strncmp(ref, "refs/vcr/", 9))
			continue;
		vcr_buf_printf(&path, "%s/%.*s", s->git_dir, (int)strcspn(ref, "\n"), ref);
		unlink(path.data);
		*strrchr(path.data, '/') = 0;
		rmdir(path.data); /* when it is empty */
	}
	free_names(&l);
	return err;
}

/* ---- All of it ---- */

static bool is_tidy(const struct vcr_store *s, const struct packs *p, const struct set *seen, git_odb *linked)
{
	size_t own = 0, mine = 0;
	uint32_t count = 0;
	for (size_t i = 0; i < p->n; i++)
		if (!p->linked[i]) {
			own++;
			count = p->count[i];
		}
	if (own != 1 || any_leftover(s, false))
		return false;
	for (size_t i = 0; i < seen->n; i++)
		mine += !is_in(linked, seen->v[i]);
	for (unsigned byte = 0; byte < 256; byte++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		vcr_buf_printf(&path, "%s/objects/%02x", s->git_dir, byte);
		if (!access(path.data, F_OK))
			return false;
	}
	return mine == count;
}

/* On the disk before what it replaces goes. */
static int flush_pack(const struct vcr_store *s, const char *name, struct vcr_error *e)
{
	static const char *const ends[] = { ".pack", ".idx", "" };
	int dir = *name ? open_packs(s) : -1;
	bool good = !*name || dir >= 0;
	for (int i = 0; *name && good && i < 3; i++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		vcr_buf_printf(&path, "%s%s", name, ends[i]);
		int fd = openat(dir, i < 2 ? path.data : ".", O_RDONLY | O_CLOEXEC);
		good = fd >= 0 && !fsync(fd);
		if (fd >= 0)
			close(fd);
	}
	int err = good ? 0 : vcr_error_sys(e, errno, "%s/objects/pack/%s", s->git_dir, name);
	if (dir >= 0)
		close(dir);
	return err;
}

/* What was written while the first pack was made is looked at again, and packed too if it lies in packs that go. */
static int take_away(struct vcr_store *s, struct walk *w, const struct packs *old, struct set *packed, const char *pack, struct vcr_gc_stats *out)
{
	struct vcr_error *e = w->e;
	struct set late = { 0 };
	char second[60] = "";
	int err = vcr_store_lock_alone(s, WAIT_MS, e);
	if (err)
		return err;
	git_odb *stays = staying_objects(s, old);
	if (!(err = vcr_store_reopen(s, e)))
		err = vcr_refs_each(s, walk_ref, w);
	for (size_t i = 0; !err && i < w->seen.n; i++)
		if (!set_has(packed, w->seen.v[i]) && !is_in(stays, w->seen.v[i]) && set_add(&late, w->seen.v[i]) == VCR_ENOMEM)
			err = out_of_memory(e);
	if (!err && late.n)
		err = write_pack(s, &late, NULL, packed, second, e);
	if (!err)
		err = flush_pack(s, pack, e);
	if (!err)
		err = flush_pack(s, second, e);
	if (!err)
		err = pack_names(s, e);
	if (!err) {
		out->removed = remove_loose(s, &w->seen, packed);
		remove_packs(s, old, pack, second);
		out->objects = (int64_t)w->seen.n;
		err = vcr_store_reopen(s, e);
	}
	vcr_store_unlock(s);
	git_odb_free(stays);
	set_release(&late);
	return err;
}

static int repack(struct vcr_store *s, struct vcr_gc_stats *out, struct vcr_error *e)
{
	struct walk w = { .s = s, .e = e };
	struct packs *old = calloc(1, sizeof *old);
	struct set packed = { 0 };
	char pack[60] = "";
	if (!old)
		return out_of_memory(e);
	list_packs(s, old);
	git_odb *linked = linked_objects(s, old);
	int err = vcr_refs_each(s, walk_ref, &w);
	bool tidy = !err && is_tidy(s, old, &w.seen, linked);
	out->objects = (int64_t)w.seen.n;
	if (!err && !tidy && !(err = write_pack(s, &w.seen, linked, &packed, pack, e)))
		err = take_away(s, &w, old, &packed, pack, out);
	else if (tidy && !(err = vcr_store_lock_alone(s, WAIT_MS, e))) {
		err = pack_names(s, e);
		vcr_store_unlock(s);
	}
	git_odb_free(linked);
	set_release(&packed);
	set_release(&w.seen);
	free_packs(old);
	free(old);
	return err;
}

/* ---- What rollbacks replaced: refs/undo, a pair of commits for each, one behind the other ---- */

/* The commit with another parent; "" none. */
static int with_parent(struct vcr_store *s, const char *commit, const char *parent, char out[41], struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	unsigned char oid[VCR_OID];
	git_odb_object *o;
	git_oid id;
	int err = git_oid_fromstr(&id, commit);
	if (!err)
		err = git_odb_read(&o, s->odb, &id);
	if (err)
		return vcr_store_git_error(e, err, "what a rollback replaced");
	const char *p = git_odb_object_data(o);
	size_t n = git_odb_object_size(o), head = strlen("tree \n") + 40, skip = n > head + 48 && !strncmp(p + head, "parent ", 7) ? 48 : 0;
	vcr_buf_add(&text, p, n < head ? n : head);
	if (*parent)
		vcr_buf_printf(&text, "parent %s\n", parent);
	if (n > head)
		vcr_buf_add(&text, p + head + skip, n - head - skip);
	git_odb_object_free(o);
	err = text.err ? out_of_memory(e) : vcr_store_object(s, GIT_OBJECT_COMMIT, text.data, text.len, oid, e);
	if (!err)
		vcr_store_hex(oid, out);
	return err;
}

/* The newest are written anew, so that the oldest of them has nothing behind it. */
static int trim_undo(struct vcr_store *s, struct vcr_error *e)
{
	enum { KEEP = 2 * VCR_GC_UNDO };
	char (*chain)[41] = calloc(KEEP, sizeof *chain), next[41] = "", parent[41] = "";
	struct vcr_savepoint p;
	int n = 0, err = chain ? 0 : out_of_memory(e);
	int64_t oldest_ns = INT64_MAX;
	if (!err && vcr_refs_read(s, "refs/undo", next))
		*next = 0;
	for (; !err && *next && n < KEEP; n++) {
		strcpy(chain[n], next);
		if (!(err = vcr_store_get_parent(s, next, &p, next, e)) && p.time_ns < oldest_ns)
			oldest_ns = p.time_ns;
	}
	bool more = !err && *next;
	if (more)
		vcr_times_forget_undo(s, oldest_ns);
	while (more && !err && n-- > 0) {
		err = with_parent(s, chain[n], parent, next, e);
		strcpy(parent, next);
	}
	if (more && !err)
		err = vcr_refs_write(s, "refs/undo", parent, e);
	free(chain);
	return err;
}

int vcr_gc_repack(struct vcr_store *s, struct vcr_gc_stats *out, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	*out = (struct vcr_gc_stats){ 0 };
	vcr_buf_printf(&path, "%s/gc.lock", s->state_dir);
	int fd = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return vcr_error_sys(e, errno, "%s", path.data);
	int err = flock(fd, LOCK_EX | LOCK_NB) ? vcr_error_set(e, VCR_EBUSY, "other housekeeping is under way in this workspace") : trim_undo(s, e);
	if (!err)
		err = repack(s, out, e);
	close(fd);
	return err;
}

/* ---- Deleting sessions ---- */

static int drop_names(struct vcr_store *s, const char *session, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	char *refs = vcr_refs_name(session);
	struct names all = { 0 }, kept = { 0 };
	int err = refs ? 0 : out_of_memory(e);
	if (!err)
		vcr_refs_each(s, note_name, &all);
	err = all.failed ? out_of_memory(e) : err;
	for (size_t i = 0; !err && i < all.n; i++) {
		size_t n = strlen(refs);
		if (strncmp(all.line[i] + 41, refs, n) || all.line[i][41 + n] != '/') {
			all.line[kept.n] = all.line[i];
			kept.n++;
		} else {
			free(all.line[i]);
		}
	}
	if (!err) {
		all.n = kept.n;
		qsort(all.line, all.n, all.n ? sizeof *all.line : 1, by_name);
		vcr_buf_printf(&path, "%s/packed-refs", s->git_dir);
		err = access(path.data, F_OK) ? 0 : write_names(s, &all, e);
	}
	if (!err) {
		vcr_buf_reset(&path);
		vcr_buf_printf(&path, "%s/%s", s->git_dir, refs);
		if (vcr_store_remove_dir(path.data) && errno != ENOENT)
			err = vcr_error_sys(e, errno, "%s", path.data);
	}
	free_names(&all);
	free(refs);
	return err;
}

static int delete_one(struct vcr_store *s, const char *vcr_dir, const char *session, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	vcr_buf_printf(&path, "%s/%s.vcr", vcr_dir, session);
	if (unlink(path.data) && errno != ENOENT)
		return vcr_error_sys(e, errno, "%s", path.data);
	int err = access(vcr_dir, F_OK) ? 0 : vcr_manifest_remove(vcr_dir, session, e);
	if (err || (err = vcr_store_lock_alone(s, WAIT_MS, e)))
		return err;
	err = drop_names(s, session, e);
	vcr_store_unlock(s);
	return err ? err : vcr_times_remove(s, session, e);
}

/* First line: the directory of the sessions; then an id a line, then "end". */
static int run_journal(struct vcr_store *s, char *text, struct vcr_error *e)
{
	char *save, *dir = strtok_r(text, "\n", &save);
	int err = 0;
	for (char *id; dir && !err && (id = strtok_r(NULL, "\n", &save)) && strcmp(id, "end");)
		if (!(err = vcr_paths_check_session_id(id, e)))
			err = delete_one(s, dir, id, e);
	return err;
}

int vcr_gc_recover(struct vcr_store *s, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	int dir = open(s->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = dir < 0 ? vcr_error_sys(e, errno, "%s", s->state_dir) : vcr_replace_read(dir, s->state_dir, "gc.journal", &text, e);
	if (!err && text.len && !(err = run_journal(s, text.data, e)))
		unlinkat(dir, "gc.journal", 0);
	if (dir >= 0)
		close(dir);
	return err;
}

int vcr_gc_delete(struct vcr_store *s, const char *vcr_dir, const char *const *session, size_t n, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	int err = vcr_gc_recover(s, e);
	if (!err)
		err = vcr_store_lock_alone(s, WAIT_MS, e); /* nothing is begun while somebody reads */
	int dir = err ? -1 : open(s->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	vcr_buf_printf(&text, "%s\n", vcr_dir);
	for (size_t i = 0; i < n; i++)
		vcr_buf_printf(&text, "%s\n", session[i]);
	vcr_buf_puts(&text, "end\n");
	if (!err && (dir < 0 || strchr(vcr_dir, '\n')))
		err = vcr_error_sys(e, dir < 0 ? errno : EINVAL, "%s", s->state_dir);
	if (!err)
		err = vcr_replace_write(dir, s->state_dir, "gc.journal", &text, e);
	if (dir >= 0)
		close(dir);
	if (!err)
		err = vcr_gc_recover(s, e);
	vcr_store_unlock(s);
	return err;
}
