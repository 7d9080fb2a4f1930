#include "rollback.h"
#include "beneath.h"
#include "leaves.h"
#include "preimage.h"
#include "rollback-parts.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_UNDO = 4096, NOTHING = 0177777 }; /* the mode of an entry that a tree does not tell about */

static unsigned type_of(const struct vcr_entry *entry)
{
	return entry->mode & VCR_ENTRY_TYPE;
}

int vcr_rollback_lock(const char *state_dir, int *out, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	vcr_buf_printf(&path, "%s/rollback.lock", state_dir);
	int fd = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return vcr_error_sys(e, errno, "%s", path.data);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return vcr_error_set(e, VCR_EBUSY, "another rollback is under way in this workspace");
	}
	*out = fd;
	return 0;
}

/* ---- The paths ---- */

static struct vcr_rollback_item *add_item(struct vcr_rollback *p, const char *path)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 64;
		struct vcr_rollback_item *item = reallocarray(p->item, cap, sizeof *item);
		if (!item)
			return NULL;
		p->item = item;
		p->cap = cap;
	}
	char *copy = strdup(path);
	if (!copy)
		return NULL;
	p->item[p->n] = (struct vcr_rollback_item){ .path = copy, .expected.mode = NOTHING, .also.mode = NOTHING };
	return &p->item[p->n++];
}

static void release_item(struct vcr_rollback_item *i)
{
	free(i->path);
	free(i->source);
}

struct collect { struct vcr_rollback *p; bool also; struct vcr_error *e; };

static int collect(void *ctx, const char *path, const struct vcr_entry *from, const struct vcr_entry *to)
{
	struct collect *c = ctx;
	struct vcr_rollback_item *i = add_item(c->p, path);
	if (!i)
		return vcr_error_set(c->e, VCR_ENOMEM, "rollback: out of memory");
	*(c->also ? &i->also : &i->expected) = *from;
	i->to = *to;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return vcr_rollback_compare(((const struct vcr_rollback_item *)a)->path, ((const struct vcr_rollback_item *)b)->path);
}

/* By path; the two states of one path in one item. */
static void sort_items(struct vcr_rollback *p)
{
	size_t n = 0;
	if (p->n)
		qsort(p->item, p->n, sizeof *p->item, by_path);
	for (size_t i = 0; i < p->n; i++) {
		struct vcr_rollback_item *last = n ? &p->item[n - 1] : NULL, *now = &p->item[i];
		if (!last || strcmp(last->path, now->path)) {
			p->item[n++] = *now;
			continue;
		}
		if (now->expected.mode != NOTHING)
			last->expected = now->expected;
		if (now->also.mode != NOTHING)
			last->also = now->also;
		release_item(now);
	}
	p->n = n;
}

static struct vcr_rollback_item *find(struct vcr_rollback *p, size_t n, const char *path)
{
	struct vcr_rollback_item key = { .path = (char *)path };
	return n ? bsearch(&key, p->item, n, sizeof key, by_path) : NULL;
}

/* ---- The verdict ---- */

static bool matches(const struct vcr_entry *now, const struct vcr_entry *known)
{
	if (known->mode == NOTHING)
		return false;
	if (type_of(now) == VCR_ENTRY_DIR && type_of(known) == VCR_ENTRY_DIR)
		return true; /* somebody's chmod of a directory is no edit worth stopping for */
	return vcr_entry_alike(now, known); /* nor of its attributes */
}

static enum vcr_rollback_state judge(const struct vcr_rollback_item *i)
{
	unsigned now = type_of(&i->now), to = type_of(&i->to);
	if (vcr_entry_same(&i->now, &i->to) || (now == VCR_ENTRY_HEAVY && to == VCR_ENTRY_HEAVY))
		return VCR_ROLLBACK_DONE;
	if ((to == VCR_ENTRY_LARGE && !i->to_kept) || to == VCR_ENTRY_HEAVY)
		return VCR_ROLLBACK_LOST;
	if (!matches(&i->now, &i->expected) && !matches(&i->now, &i->also))
		return VCR_ROLLBACK_FOREIGN;
	return (now == VCR_ENTRY_LARGE && !i->now_kept) || now == VCR_ENTRY_HEAVY ? VCR_ROLLBACK_LEFT : VCR_ROLLBACK_DO;
}

/* A file that begins as sealed ones do has two names: git's, which a base takes as it is, and that of what it is sealed to. As the target's content it may be known by
 * the one, and by the other be what was expected, if mode or attributes are not the target's. */
static int look(struct vcr_store *s, struct vcr_rollback_item *i, bool keep, struct vcr_entry *now, struct vcr_error *e)
{
	const struct vcr_entry *known[4] = { &i->to };
	struct vcr_entry other;
	size_t n = 1;
	if (i->expected.mode != NOTHING)
		known[n++] = &i->expected;
	if (i->also.mode != NOTHING)
		known[n++] = &i->also;
	int err = vcr_store_look(s, i->path, known, keep, now, e);
	if (err || n == 1 || vcr_entry_same(now, &i->to) || matches(now, &i->expected) || matches(now, &i->also))
		return err;
	if (!(err = vcr_store_look(s, i->path, known + 1, keep, &other, e)) && (matches(&other, &i->expected) || matches(&other, &i->also)))
		*now = other;
	return err;
}

/* The recording could not read the file (a mode of 0, say), its owner here can, and it is still that file. */
static bool is_unread(struct vcr_store *s, const struct vcr_rollback_item *i)
{
	return type_of(&i->now) == VCR_ENTRY_FILE && ((type_of(&i->expected) == VCR_ENTRY_LARGE && vcr_store_is_large(s, i->path, &i->expected)) ||
		(type_of(&i->also) == VCR_ENTRY_LARGE && vcr_store_is_large(s, i->path, &i->also)));
}

/* What no savepoint ever holds is no edit of somebody's, it just keeps its directory. */
static bool is_never_kept(const struct vcr_entry *now, const char *name)
{
	return !strcmp(name, ".git") || !strcmp(name, ".vcr") || type_of(now) == VCR_ENTRY_LARGE;
}

/* A directory is to go: whatever is in it must be known to go too. */
static int judge_inside(struct vcr_rollback *p, const struct vcr_rollback_where *w, int root, size_t known, size_t index, struct vcr_error *e)
{
	int fd = vcr_beneath_open(root, p->item[index].path, O_RDONLY | O_DIRECTORY, 0), err = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;
	if (!d && fd >= 0)
		close(fd);
	while (d && !err && (ent = readdir(d))) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		if (!strcmp(ent->d_name, ".") || !strcmp(ent->d_name, ".."))
			continue;
		vcr_buf_printf(&path, "%s/%s", p->item[index].path, ent->d_name);
		struct vcr_rollback_item *inside = find(p, known, path.data);
		if (inside && !inside->to.mode && !inside->blocked && inside->state != VCR_ROLLBACK_LEFT)
			continue;
		p->item[index].blocked = true;
		if (p->item[index].state == VCR_ROLLBACK_DO)
			p->item[index].state = VCR_ROLLBACK_LEFT;
		if (inside)
			continue;
		struct vcr_rollback_item *new = add_item(p, path.data); /* moves p->item */
		if (!new)
			err = vcr_error_set(e, VCR_ENOMEM, "rollback: out of memory");
		else if (is_never_kept(&new->now, ent->d_name))
			new->state = VCR_ROLLBACK_LEFT;
		else if (!(err = look(w->store, new, false, &new->now, e)))
			new->state = is_never_kept(&new->now, ent->d_name) || vcr_store_leaves_out(w->store, path.data, type_of(&new->now) == VCR_ENTRY_DIR) ? VCR_ROLLBACK_LEFT : VCR_ROLLBACK_FOREIGN;
		if (new)
			new->to = new->now;
	}
	if (d)
		closedir(d);
	return err;
}

static bool can_keep(const struct vcr_preimages *kept, int root, const char *path)
{
	const char *name;
	int dir = vcr_beneath_parent(root, path, &name);
	bool can = dir >= 0 && vcr_preimages_can(kept, dir, name);
	if (dir >= 0)
		close(dir);
	return can;
}

/* What savepoints do not hold may have been kept when it was about to go. kept may be NULL. */
static void find_kept(struct vcr_preimages *kept, const struct vcr_rollback_where *w, int root, struct vcr_rollback_item *i)
{
	unsigned char as[VCR_OID];
	bool large = type_of(&i->to) == VCR_ENTRY_LARGE;
	if (large && !vcr_entry_same(&i->now, &i->to) && vcr_store_is_large(w->store, i->path, &i->to))
		i->now = i->to; /* small enough to be read now, but it is that file */
	if (large && !vcr_entry_same(&i->now, &i->to) && kept && (i->to_kept = vcr_preimages_find(kept, i->to.oid, as)))
		memcpy(i->to.oid, as, VCR_OID);
	i->now_kept = type_of(&i->now) == VCR_ENTRY_LARGE && kept && (vcr_preimages_find(kept, i->now.oid, as) || can_keep(kept, root, i->path));
}

struct whereabouts { unsigned char oid[VCR_OID]; const char *path; };

static int by_oid(const void *a, const void *b)
{
	return memcmp(((const struct whereabouts *)a)->oid, ((const struct whereabouts *)b)->oid, VCR_OID);
}

/* What was renamed is somewhere else. */
static int find_renamed(struct vcr_rollback *p, const struct vcr_rollback_where *w, struct vcr_error *e)
{
	size_t wanted = 0, n = 0;
	for (size_t i = 0; i < p->n; i++)
		wanted += type_of(&p->item[i].to) == VCR_ENTRY_LARGE && !p->item[i].to_kept && !vcr_entry_same(&p->item[i].now, &p->item[i].to);
	struct whereabouts *at = wanted ? calloc(p->n, sizeof *at) : NULL;
	if (wanted && !at)
		return vcr_error_set(e, VCR_ENOMEM, "rollback: out of memory");
	for (size_t i = 0; wanted && i < p->n; i++) {
		struct vcr_entry large;
		unsigned now = type_of(&p->item[i].now);
		if ((now == VCR_ENTRY_FILE || now == VCR_ENTRY_LARGE) && vcr_store_large(w->store, p->item[i].path, &large)) {
			memcpy(at[n].oid, large.oid, VCR_OID);
			at[n++].path = p->item[i].path;
		}
	}
	if (n)
		qsort(at, n, sizeof *at, by_oid);
	for (size_t i = 0; n && i < p->n; i++) {
		struct vcr_rollback_item *it = &p->item[i];
		struct whereabouts key, *found;
		memcpy(key.oid, it->to.oid, VCR_OID);
		if (type_of(&it->to) == VCR_ENTRY_LARGE && !it->to_kept && !vcr_entry_same(&it->now, &it->to) && (found = bsearch(&key, at, n, sizeof *at, by_oid)))
			it->to_kept = (it->source = strdup(found->path)) != NULL;
	}
	free(at);
	return 0;
}

/* A target that tells nothing of attributes takes none away. */
static void keep_attrs(struct vcr_rollback_item *i)
{
	static const unsigned char none[VCR_OID];
	unsigned to = type_of(&i->to);
	if ((to == VCR_ENTRY_FILE || to == VCR_ENTRY_DIR) && type_of(&i->now) == to && !memcmp(i->to.attrs, none, VCR_OID))
		memcpy(i->to.attrs, i->now.attrs, VCR_OID);
}

/* What the target has nothing of because git ignored it then is left, though savepoints have it since .gitignore is another. What a rollback has changed is known
 * for certain: who takes it back needs no such care. */
static int spare_ignored(struct vcr_rollback *p, size_t known, const struct vcr_rollback_where *w, struct vcr_error *e)
{
	struct vcr_leaves_then *then = NULL;
	bool back = w->kind && (!strcmp(w->kind, "undo") || !strcmp(w->kind, "redo"));
	int err = 0;
	for (size_t i = 0; !err && !back && i < known; i++) {
		struct vcr_rollback_item *it = &p->item[i];
		if (it->to.mode || (it->state != VCR_ROLLBACK_DO && it->state != VCR_ROLLBACK_FOREIGN))
			continue;
		if (!then && (err = vcr_leaves_then_new(&then, w->workspace, w->state_dir, w->store, p->target_tree, e)))
			break;
		if (vcr_leaves_then_out(then, it->path, type_of(&it->now) == VCR_ENTRY_DIR)) {
			it->state = VCR_ROLLBACK_LEFT;
			it->ignored = true;
		}
	}
	vcr_leaves_then_free(then);
	return err;
}

static int judge_all(struct vcr_rollback *p, const struct vcr_rollback_where *w, struct vcr_error *e)
{
	size_t known = p->n;
	int err = 0, root = open(w->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct vcr_preimages *kept = NULL;
	if (root < 0)
		return vcr_error_sys(e, errno, "%s", w->workspace);
	if (!vcr_preimages_open(&kept, w->workspace, w->state_dir, w->vcr_dir, true, NULL))
		vcr_preimages_adopt(kept);
	for (size_t i = 0; !err && i < known; i++)
		if (!(err = look(w->store, &p->item[i], false, &p->item[i].now, e))) {
			find_kept(kept, w, root, &p->item[i]);
			if (w->keep_attrs)
				keep_attrs(&p->item[i]);
		}
	if (!err && kept)
		err = find_renamed(p, w, e);
	for (size_t i = 0; !err && i < known; i++) {
		p->item[i].state = judge(&p->item[i]);
		if (p->item[i].state == VCR_ROLLBACK_FOREIGN && is_unread(w->store, &p->item[i]))
			p->item[i].state = VCR_ROLLBACK_DO;
	}
	if (!err && w->leave_ignored)
		err = spare_ignored(p, known, w, e);
	for (size_t i = known; !err && i-- > 0;) {
		struct vcr_rollback_item *it = &p->item[i];
		if (type_of(&it->now) == VCR_ENTRY_DIR && type_of(&it->to) != VCR_ENTRY_DIR && (it->state == VCR_ROLLBACK_DO || it->state == VCR_ROLLBACK_FOREIGN))
			err = judge_inside(p, w, root, known, i, e);
	}
	vcr_preimages_free(kept);
	close(root);
	return err;
}

int vcr_rollback_plan(struct vcr_rollback *p, const struct vcr_rollback_where *w, const char *expected_tree, const char *also_tree, const char *target_tree, struct vcr_error *e)
{
	struct collect c = { .p = p, .e = e };
	*p = (struct vcr_rollback){ 0 };
	strcpy(p->expected_tree, expected_tree);
	strcpy(p->target_tree, target_tree);
	int err = vcr_store_diff(w->store, expected_tree, target_tree, collect, &c, e);
	c.also = true;
	if (!err && also_tree)
		err = vcr_store_diff(w->store, also_tree, target_tree, collect, &c, e);
	if (err)
		return err;
	sort_items(p);
	if ((err = judge_all(p, w, e)))
		return err;
	if (p->n)
		qsort(p->item, p->n, sizeof *p->item, by_path);
	for (size_t i = 0; i < p->n; i++)
		p->count[p->item[i].state]++;
	return 0;
}

/* Is path the directory `top` or in it? */
static bool is_in(const char *path, const char *top)
{
	size_t n = strlen(top);
	return !n || (!strncmp(path, top, n) && (!path[n] || path[n] == '/'));
}

void vcr_rollback_only(struct vcr_rollback *p, const char *const *path, size_t npath, bool *hit)
{
	size_t n = 0;
	memset(hit, 0, npath * sizeof *hit);
	memset(p->count, 0, sizeof p->count);
	for (size_t i = 0; i < p->n; i++) {
		struct vcr_rollback_item *it = &p->item[i];
		bool chosen = false;
		for (size_t k = 0; k < npath; k++) {
			bool on_the_way = *path[k] && is_in(path[k], it->path) && type_of(&it->to) == VCR_ENTRY_DIR && type_of(&it->now) != VCR_ENTRY_DIR;
			hit[k] |= is_in(it->path, path[k]);
			chosen |= is_in(it->path, path[k]) || on_the_way;
		}
		if (!chosen) {
			release_item(it);
			continue;
		}
		p->count[it->state]++;
		p->item[n++] = *it;
	}
	p->n = n;
}

/* It stays, so the directories that it is in cannot go. */
static void keep_above(struct vcr_rollback *p, size_t index)
{
	for (size_t k = 0; k < index; k++) {
		struct vcr_rollback_item *up = &p->item[k];
		if (!is_in(p->item[index].path, up->path) || type_of(&up->now) != VCR_ENTRY_DIR || type_of(&up->to) == VCR_ENTRY_DIR)
			continue;
		up->blocked = true;
		if (up->state == VCR_ROLLBACK_DO)
			up->state = VCR_ROLLBACK_LEFT;
	}
}

void vcr_rollback_know(struct vcr_rollback *p, vcr_rollback_know_fn *fn, void *ctx)
{
	size_t n = 0;
	bool *off = calloc(p->n + 1, sizeof *off);
	for (size_t i = 0; off && i < p->n; i++) {
		enum vcr_rollback_state s = p->item[i].state == VCR_ROLLBACK_DO ? fn(ctx, &p->item[i]) : p->item[i].state;
		off[i] = p->item[i].state == VCR_ROLLBACK_DO && s == VCR_ROLLBACK_DONE;
		if (off[i] && p->item[i].now.mode)
			keep_above(p, i);
		else if (!off[i])
			p->item[i].state = s;
	}
	memset(p->count, 0, sizeof p->count);
	for (size_t i = 0; i < p->n; i++) {
		if (off && off[i]) {
			release_item(&p->item[i]);
			continue;
		}
		p->count[p->item[i].state]++;
		p->item[n++] = p->item[i];
	}
	p->n = n;
	free(off);
}

void vcr_rollback_release(struct vcr_rollback *p)
{
	for (size_t i = 0; i < p->n; i++)
		release_item(&p->item[i]);
	free(p->item);
	*p = (struct vcr_rollback){ 0 };
}

/* ---- Keeping what is there ---- */

/* Is the item to be changed? Somebody's file in a directory that goes is left, forced or not: no savepoint says that it should go. */
static bool is_wanted(const struct vcr_rollback_item *i, bool force)
{
	return i->state == VCR_ROLLBACK_DO || (force && !i->blocked && i->state == VCR_ROLLBACK_FOREIGN && !vcr_entry_same(&i->now, &i->to));
}

/* Trees of the state before (what is there now, at every path that the savepoints tell about) and after. */
static int make_trees(struct vcr_rollback *p, struct vcr_store *s, bool force, char before[41], char after[41], struct vcr_error *e)
{
	struct vcr_store_put *now = calloc(p->n + 1, sizeof *now), *to = calloc(p->n + 1, sizeof *to);
	size_t nnow = 0, nto = 0;
	int err = now && to ? 0 : vcr_error_set(e, VCR_ENOMEM, "rollback: out of memory");
	for (size_t i = 0; !err && i < p->n; i++) {
		struct vcr_rollback_item *it = &p->item[i];
		struct vcr_entry again;
		bool wanted = is_wanted(it, force);
		if (it->expected.mode == NOTHING && it->also.mode == NOTHING)
			continue;
		if (wanted && (err = look(s, it, true, &again, e)))
			break;
		if (wanted && !vcr_entry_same(&again, &it->now)) {
			err = vcr_error_set(e, VCR_EBUSY, "%s is being changed right now; nothing was done", it->path);
			break;
		}
		now[nnow++] = (struct vcr_store_put){ it->path, it->now };
		if (wanted)
			to[nto++] = (struct vcr_store_put){ it->path, it->to };
	}
	if (!err)
		err = vcr_store_patch(s, p->expected_tree, now, nnow, before, e);
	if (!err)
		err = vcr_store_patch(s, before, to, nto, after, e);
	free(now);
	free(to);
	return err;
}

static int keep_one(struct vcr_preimages **kept, const struct vcr_rollback_where *w, const char *path, const unsigned char id[VCR_OID], struct vcr_error *e)
{
	const char *name;
	unsigned char as[VCR_OID];
	int err = *kept ? 0 : vcr_preimages_open(kept, w->workspace, w->state_dir, w->vcr_dir, true, e);
	if (err)
		return err;
	int root = open(w->workspace, O_PATH | O_DIRECTORY | O_CLOEXEC), dir = root < 0 ? -1 : vcr_beneath_parent(root, path, &name);
	int how = dir < 0 ? vcr_error_sys(e, errno, "%s", path) : vcr_preimages_keep(*kept, dir, name, VCR_PREIMAGE_UNDO, e);
	if (dir >= 0)
		close(dir);
	if (root >= 0)
		close(root);
	if (how >= 0 && !vcr_preimages_find(*kept, id, as))
		return vcr_error_set(e, VCR_EBUSY, "%s is being changed right now, or there is no room to keep it; nothing was done", path);
	return how < 0 ? how : 0;
}

/* A file that savepoints do not hold and that is to make room stays known by a link, for an undo; what is to have another name gets it from the store too. */
static int keep_large(const struct vcr_rollback *p, const struct vcr_rollback_where *w, bool force, struct vcr_error *e)
{
	struct vcr_preimages *kept = NULL;
	int err = 0;
	for (size_t i = 0; !err && i < p->n; i++) {
		const struct vcr_rollback_item *it = &p->item[i];
		if (!is_wanted(it, force))
			continue;
		if (type_of(&it->now) == VCR_ENTRY_LARGE && it->now_kept)
			err = keep_one(&kept, w, it->path, it->now.oid, e);
		if (!err && it->source)
			err = keep_one(&kept, w, it->source, it->to.oid, e);
	}
	vcr_preimages_free(kept);
	return err;
}

static const struct vcr_rollback_item *first_foreign(const struct vcr_rollback *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->item[i].state == VCR_ROLLBACK_FOREIGN)
			return &p->item[i];
	return NULL;
}

int vcr_rollback_apply(struct vcr_rollback *p, const struct vcr_rollback_where *w, bool force, const char *message, struct vcr_error *e)
{
	const struct vcr_store_note after_note = { .kind = "after", .message = message, .session = w->session },
		before_note = { .kind = w->kind ? w->kind : "before", .message = message, .session = w->session };
	const struct vcr_rollback_item *foreign = force ? NULL : first_foreign(p);
	struct vcr_savepoint last;
	char before[41], after[41], commit[41];
	if (foreign)
		return vcr_error_set(e, VCR_EBUSY, "%s was changed by somebody else since; nothing was done", foreign->path);
	struct vcr_journal j = { 0 };
	vcr_store_track(w->store);
	int err = keep_large(p, w, force, e);
	if (!err)
		err = make_trees(p, w->store, force, before, after, e);
	if (!err)
		err = vcr_store_commit(w->store, after, vcr_store_ref(w->store, "undo", &last, NULL, NULL) ? NULL : last.commit, NULL, &after_note, commit, e);
	if (!err)
		err = vcr_store_commit(w->store, before, commit, NULL, &before_note, j.undo, e);
	for (size_t i = 0; !err && i < p->n; i++)
		if (is_wanted(&p->item[i], force) && !(err = vcr_journal_add(&j, p->item[i].path, &p->item[i].now, &p->item[i].to, e))) {
			j.item[j.n - 1].timed = p->item[i].timed;
			j.item[j.n - 1].mtime_ns = p->item[i].mtime_ns;
		}
	if (!err && j.n)
		err = vcr_journal_run(&j, w, false, NULL, e);
	p->unset = j.unset;
	vcr_journal_release(&j);
	return err;
}

int vcr_rollback_last(struct vcr_store *s, struct vcr_savepoint *before, struct vcr_savepoint *after, struct vcr_error *e)
{
	char parent[41];
	int err = vcr_store_ref(s, "undo", before, parent, e);
	return err ? err : vcr_store_get_commit(s, parent, after, e);
}

int vcr_rollback_undoable(struct vcr_store *s, bool redo, struct vcr_savepoint *before, struct vcr_savepoint *after, struct vcr_error *e)
{
	struct vcr_savepoint at;
	char parent[41];
	int taken_back = 0, err = vcr_store_ref(s, "undo", &at, parent, e);
	for (int i = 0; !err && i < MAX_UNDO; i++) {
		bool undone = !strcmp(at.kind, "undo"), redone = !strcmp(at.kind, "redo");
		if (redo && !undone && !redone)
			break;
		if (undone != redo)
			taken_back++;
		else if (!taken_back--)
			return (*before = at, vcr_store_get_commit(s, parent, after, e));
		struct vcr_savepoint result;
		if (!(err = vcr_store_get_parent(s, parent, &result, parent, e)) && !*parent)
			break;
		if (!err)
			err = vcr_store_get_parent(s, parent, &at, parent, e);
	}
	return err ? err : vcr_error_set(e, VCR_ENOTFOUND, "there is nothing that could be %s", redo ? "redone" : "undone");
}
