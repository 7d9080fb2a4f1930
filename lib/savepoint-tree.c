/* savepoint-tree.c — trees of the shadow repository, read and written raw: git's own calls would round the modes. */
#include "savepoint-parts.h"
#include "beneath.h"
#include "limits.h"
#include <stdlib.h>
#include <string.h>

const unsigned char vcr_folder_empty[VCR_OID] = { 0x4b, 0x82, 0x5d, 0xc6, 0x42, 0xcb, 0x6e, 0xb9, 0xa0, 0x60, 0xe5, 0x4b, 0xf8, 0xd6, 0x92, 0x88, 0xfb, 0xee, 0x49, 0x04 };
static const unsigned char zero[VCR_OID];
enum { ATTRS_MODE = 0100644, ATTRS_NAME = sizeof VCR_ATTRS_NAME - 1 };

static bool is_dir(unsigned mode)
{
	return (mode & VCR_ENTRY_TYPE) == VCR_ENTRY_DIR;
}

bool vcr_entry_same(const struct vcr_entry *a, const struct vcr_entry *b)
{
	return vcr_entry_alike(a, b) && (!a->mode || !memcmp(a->attrs, b->attrs, VCR_OID));
}

bool vcr_entry_alike(const struct vcr_entry *a, const struct vcr_entry *b)
{
	return a->mode == b->mode && (!a->mode || !memcmp(a->oid, b->oid, VCR_OID));
}

/* ---- One tree ---- */

static int compare_names(const char *a, size_t an, const char *b, size_t bn)
{
	int c = memcmp(a, b, an < bn ? an : bn);
	return c ? c : an < bn ? -1 : an > bn;
}

static int by_name(const void *x, const void *y)
{
	const struct vcr_item *a = x, *b = y;
	return compare_names(a->name, a->len, b->name, b->len);
}

/* git's order: as if the name of a directory ended in a slash. */
static int by_git(const void *x, const void *y)
{
	const struct vcr_item *a = x, *b = y;
	size_t n = a->len < b->len ? a->len : b->len;
	int c = memcmp(a->name, b->name, n);
	if (c)
		return c;
	unsigned char p = a->len > n ? (unsigned char)a->name[n] : is_dir(a->mode) ? '/' : 0;
	unsigned char q = b->len > n ? (unsigned char)b->name[n] : is_dir(b->mode) ? '/' : 0;
	return p < q ? -1 : p > q;
}

static void sort(struct vcr_folder *t, int (*compare)(const void *, const void *))
{
	for (size_t i = 1; i < t->n; i++)
		if (compare(&t->item[i - 1], &t->item[i]) > 0) {
			qsort(t->item, t->n, sizeof *t->item, compare);
			return;
		}
}

int vcr_folder_add(struct vcr_folder *t, unsigned mode, const unsigned char oid[VCR_OID], const char *name, size_t len, struct vcr_error *e)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 32;
		struct vcr_item *item = reallocarray(t->item, cap, sizeof *item);
		if (!item)
			return vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
		t->item = item;
		t->cap = cap;
	}
	struct vcr_item *i = &t->item[t->n++];
	*i = (struct vcr_item){ .mode = mode, .name = name, .len = len };
	memcpy(i->oid, oid, VCR_OID);
	return 0;
}

static int parse(struct vcr_folder *t, const char *p, size_t n, struct vcr_error *e)
{
	const char *end = p + n;
	while (p < end) {
		unsigned mode = 0;
		for (; p < end && *p >= '0' && *p <= '7' && mode <= 0177777; p++)
			mode = mode * 8 + (unsigned)(*p - '0');
		const char *name = p + 1, *nul = p < end && *p == ' ' ? memchr(name, 0, (size_t)(end - name)) : NULL;
		if (!nul || nul == name || mode > 0177777 || end - nul <= VCR_OID || memchr(name, '/', (size_t)(nul - name)))
			return vcr_error_set(e, VCR_ECORRUPT, "a tree of the shadow repository is damaged");
		int err = vcr_folder_add(t, mode, (const unsigned char *)nul + 1, name, (size_t)(nul - name), e);
		if (err)
			return err;
		p = nul + 1 + VCR_OID;
	}
	return 0;
}

static int unseal_names(struct vcr_store *s, struct vcr_folder *t, struct vcr_error *e)
{
	for (size_t i = 0; i < t->n; i++) {
		struct vcr_item *it = &t->item[i];
		int err = vcr_store_unseal_name(s, it->name, it->len, &it->opened, e);
		if (err < 0)
			return err;
		if (!err) {
			it->name = it->opened;
			it->len = strlen(it->opened);
		}
	}
	return 0;
}

static bool is_attrs(const struct vcr_item *i)
{
	return !i->opened && i->mode == ATTRS_MODE && i->len > ATTRS_NAME && !memcmp(i->name, VCR_ATTRS_NAME, ATTRS_NAME);
}

/* What stands beside a file becomes part of it. Their names are stored ones, so this comes before these are opened. */
static void join_attrs(struct vcr_folder *t)
{
	size_t n = 0;
	bool any = false;
	for (size_t i = 0; i < t->n && !any; i++)
		any = is_attrs(&t->item[i]);
	if (!any)
		return;
	sort(t, by_name);
	t->sorted = t->n;
	for (size_t i = 0; i < t->n; i++) {
		struct vcr_item *of = is_attrs(&t->item[i]) ? vcr_folder_find(t, t->item[i].name + ATTRS_NAME, t->item[i].len - ATTRS_NAME) : NULL;
		if (of)
			memcpy(of->attrs, t->item[i].oid, VCR_OID);
	}
	for (size_t i = 0; i < t->n; i++)
		if (!is_attrs(&t->item[i]))
			t->item[n++] = t->item[i];
	t->n = n;
}

int vcr_folder_load(struct vcr_store *s, const unsigned char oid[VCR_OID], struct vcr_folder *t, struct vcr_error *e)
{
	git_oid id;
	int err;
	*t = (struct vcr_folder){ 0 };
	if (!memcmp(oid, vcr_folder_empty, VCR_OID) || !memcmp(oid, zero, VCR_OID))
		return 0;
	vcr_store_note(s, oid);
	git_oid_fromraw(&id, oid);
	if ((err = git_odb_read(&t->object, s->odb, &id)))
		return vcr_store_git_error(e, err, "a tree of the shadow repository");
	if (git_odb_object_type(t->object) != GIT_OBJECT_TREE)
		err = vcr_error_set(e, VCR_ECORRUPT, "an object of the shadow repository is no tree");
	else
		err = parse(t, git_odb_object_data(t->object), git_odb_object_size(t->object), e);
	if (!err) {
		join_attrs(t);
		err = unseal_names(s, t, e);
	}
	if (err) {
		vcr_folder_release(t);
		return err;
	}
	sort(t, by_name);
	t->sorted = t->n;
	return 0;
}

void vcr_folder_release(struct vcr_folder *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->item[i].opened);
	free(t->item);
	git_odb_object_free(t->object);
	*t = (struct vcr_folder){ 0 };
}

struct vcr_item *vcr_folder_find(const struct vcr_folder *t, const char *name, size_t len)
{
	struct vcr_item key = { .name = name, .len = len };
	return t->sorted ? bsearch(&key, t->item, t->sorted, sizeof key, by_name) : NULL;
}

/* New names are looked at; those that were read know whether they were sealed. They take their stored form. */
static int seal_names(struct vcr_store *s, struct vcr_folder *t, struct vcr_error *e)
{
	for (size_t i = 0; i < t->n; i++) {
		struct vcr_item *it = &t->item[i];
		VCR_AUTO_BUF stored = VCR_BUF_INIT;
		if (!it->mode || (i < t->sorted ? !it->opened : !vcr_store_is_secret_name(s, it->name, it->len)))
			continue;
		int err = vcr_store_seal_name(s, it->name, it->len, &stored, e);
		if (err)
			return err;
		if (stored.len == it->len)
			continue;
		free(it->opened);
		it->len = stored.len;
		it->name = it->opened = vcr_buf_take(&stored, NULL);
		if (!it->opened)
			return vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
	}
	return 0;
}

/* "<mode in octal> <name>\0<id>" */
static void add_raw(struct vcr_buf *raw, const struct vcr_item *it)
{
	char digits[12], *p = digits + sizeof digits;
	*--p = ' ';
	for (unsigned m = it->mode; m; m >>= 3)
		*--p = (char)('0' + (m & 7));
	size_t head = (size_t)(digits + sizeof digits - p), all = head + it->len + 1 + VCR_OID;
	char *to = vcr_buf_reserve(raw, all);
	if (!to)
		return;
	memcpy(to, p, head);
	memcpy(to + head, it->name, it->len);
	to[head + it->len] = 0;
	memcpy(to + all - VCR_OID, it->oid, VCR_OID);
	vcr_buf_added(raw, all);
}

/* Names are stored ones already. */
static int part_attrs(struct vcr_folder *t, struct vcr_error *e)
{
	for (size_t i = 0, n = t->n; i < n; i++) {
		VCR_AUTO_BUF name = VCR_BUF_INIT;
		if (!t->item[i].mode || !memcmp(t->item[i].attrs, zero, VCR_OID))
			continue;
		vcr_buf_puts(&name, VCR_ATTRS_NAME);
		vcr_buf_add(&name, t->item[i].name, t->item[i].len);
		unsigned char oid[VCR_OID];
		memcpy(oid, t->item[i].attrs, VCR_OID);
		size_t len = name.len;
		char *text = vcr_buf_take(&name, NULL);
		int err = text ? vcr_folder_add(t, ATTRS_MODE, oid, text, len, e) : vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
		if (err) {
			free(text);
			return err;
		}
		t->item[t->n - 1].opened = text;
	}
	return 0;
}

int vcr_folder_store(struct vcr_store *s, struct vcr_folder *t, unsigned char oid[VCR_OID], struct vcr_error *e)
{
	VCR_AUTO_BUF raw = VCR_BUF_INIT;
	int err = seal_names(s, t, e);
	if (err || (err = part_attrs(t, e)))
		return err;
	sort(t, by_git);
	t->sorted = 0;
	for (size_t i = 0; i < t->n; i++)
		if (t->item[i].mode)
			add_raw(&raw, &t->item[i]);
	if (raw.err)
		return vcr_error_set(e, raw.err, "savepoint: a directory with %zu entries: %s", t->n, vcr_strerror(raw.err));
	return vcr_store_object(s, GIT_OBJECT_TREE, raw.data, raw.len, oid, e);
}

/* whole: also which tree a directory has. */
static struct vcr_entry entry_of(const struct vcr_item *i, bool whole)
{
	struct vcr_entry entry = { 0 };
	if (i) {
		entry.mode = i->mode;
		memcpy(entry.attrs, i->attrs, VCR_OID);
		if (whole || !is_dir(i->mode))
			memcpy(entry.oid, i->oid, VCR_OID);
	}
	return entry;
}

/* ---- Patch ---- */

int vcr_path_compare(const char *a, const char *b)
{
	for (; *a && *a == *b; a++)
		b++;
	unsigned char x = *a == '/' ? 1 : (unsigned char)*a, y = *b == '/' ? 1 : (unsigned char)*b;
	return x < y ? -1 : x > y;
}

static int by_path(const void *x, const void *y)
{
	const struct vcr_store_put *a = x, *b = y;
	return vcr_path_compare(a->path, b->path);
}

static int patch(struct vcr_store *s, const unsigned char tree[VCR_OID], struct vcr_store_put *put, size_t n, size_t skip, int depth, unsigned char out[VCR_OID],
	struct vcr_error *e);

/* The puts of one name: itself, then what is inside. */
static int patch_name(struct vcr_store *s, struct vcr_folder *t, struct vcr_store_put *put, size_t n, size_t skip, size_t len, int depth, struct vcr_error *e)
{
	const char *name = put->path + skip;
	struct vcr_item *at = vcr_folder_find(t, name, len);
	struct vcr_entry now = { 0 };
	int err;
	if (at)
		now = entry_of(at, true);
	while (n && !put->path[skip + len]) { /* itself, the last one counts */
		bool keep = is_dir(put->entry.mode) && is_dir(now.mode) && !memcmp(put->entry.oid, zero, VCR_OID);
		now.mode = put->entry.mode;
		memcpy(now.attrs, put->entry.attrs, VCR_OID);
		if (!keep)
			memcpy(now.oid, is_dir(now.mode) && !memcmp(put->entry.oid, zero, VCR_OID) ? vcr_folder_empty : put->entry.oid, VCR_OID);
		put++;
		n--;
	}
	if (n) {
		unsigned char inside[VCR_OID];
		bool any = is_dir(now.mode);
		for (size_t i = 0; i < n && !any; i++)
			any = put[i].entry.mode != 0;
		if (!is_dir(now.mode) && any) {
			now = (struct vcr_entry){ .mode = VCR_ENTRY_DIR | 0755 };
			memcpy(now.oid, vcr_folder_empty, VCR_OID);
		}
		if (any) {
			if ((err = patch(s, now.oid, put, n, skip + len + 1, depth + 1, inside, e)))
				return err;
			memcpy(now.oid, inside, VCR_OID);
		}
	}
	if (!at && !now.mode)
		return 0;
	if (!at && (err = vcr_folder_add(t, now.mode, now.oid, name, len, e)))
		return err;
	if (!at)
		at = &t->item[t->n - 1];
	at->mode = now.mode;
	memcpy(at->oid, now.oid, VCR_OID);
	memcpy(at->attrs, now.attrs, VCR_OID);
	return 0;
}

static int patch(struct vcr_store *s, const unsigned char tree[VCR_OID], struct vcr_store_put *put, size_t n, size_t skip, int depth, unsigned char out[VCR_OID],
	struct vcr_error *e)
{
	struct vcr_folder t;
	if (depth > VCR_STORE_DEPTH)
		return vcr_error_set(e, VCR_ELIMIT, "savepoint: more than %d directories inside one another", VCR_STORE_DEPTH);
	int err = vcr_folder_load(s, tree, &t, e);
	for (size_t i = 0, k; !err && i < n; i = k) {
		const char *name = put[i].path + skip;
		size_t len = strcspn(name, "/");
		for (k = i + 1; k < n && !strncmp(put[k].path + skip, name, len) && (put[k].path[skip + len] == '/' || !put[k].path[skip + len]); k++)
			;
		err = patch_name(s, &t, put + i, k - i, skip, len, depth, e);
	}
	if (!err)
		err = vcr_folder_store(s, &t, out, e);
	vcr_folder_release(&t);
	return err;
}

int vcr_folder_patch(struct vcr_store *s, const unsigned char tree[VCR_OID], struct vcr_store_put *put, size_t n, unsigned char out[VCR_OID], struct vcr_error *e)
{
	for (size_t i = 0; i < n; i++)
		if (!vcr_beneath_valid(put[i].path))
			return vcr_error_set(e, VCR_EINVAL, "'%s' is no name inside a workspace", put[i].path);
	if (n)
		qsort(put, n, sizeof *put, by_path);
	return patch(s, tree, put, n, 0, 0, out, e);
}

int vcr_store_patch(struct vcr_store *s, const char *tree, struct vcr_store_put *put, size_t n, char out[41], struct vcr_error *e)
{
	unsigned char old[VCR_OID], new[VCR_OID];
	if (!vcr_store_unhex(tree, old))
		return vcr_error_set(e, VCR_EINVAL, "'%s' is no object id", tree);
	int err = vcr_folder_patch(s, old, put, n, new, e);
	if (!err)
		vcr_store_hex(new, out);
	return err;
}

/* ---- Differences ---- */

struct diff {
	struct vcr_store *s;
	vcr_store_diff_fn *fn;
	void *ctx;
	struct vcr_buf path;
	struct vcr_error *e;
};

static int diff_trees(struct diff *d, const unsigned char *a, const unsigned char *b, int depth);

static int diff_items(struct diff *d, const struct vcr_item *a, const struct vcr_item *b, int depth)
{
	const struct vcr_item *any = a ? a : b;
	if (a && b && a->mode == b->mode && !memcmp(a->oid, b->oid, VCR_OID) && !memcmp(a->attrs, b->attrs, VCR_OID))
		return 0;
	size_t before = d->path.len;
	if (before)
		vcr_buf_putc(&d->path, '/');
	vcr_buf_add(&d->path, any->name, any->len);
	int err = d->path.err ? vcr_error_set(d->e, d->path.err, "savepoint: path too long") : 0;
	struct vcr_entry x = entry_of(a, false), y = entry_of(b, false);
	if (!err && !vcr_beneath_valid(d->path.data))
		err = vcr_error_set(d->e, VCR_ECORRUPT, "the shadow repository holds a name that no workspace has");
	if (!err && !vcr_entry_same(&x, &y))
		err = d->fn(d->ctx, d->path.data, &x, &y);
	const unsigned char *in_a = a && is_dir(a->mode) ? a->oid : vcr_folder_empty, *in_b = b && is_dir(b->mode) ? b->oid : vcr_folder_empty;
	if (!err && memcmp(in_a, in_b, VCR_OID))
		err = diff_trees(d, in_a, in_b, depth + 1);
	vcr_buf_cut(&d->path, before);
	return err;
}

static int diff_trees(struct diff *d, const unsigned char *a, const unsigned char *b, int depth)
{
	struct vcr_folder ta, tb = { 0 };
	if (depth > VCR_STORE_DEPTH)
		return vcr_error_set(d->e, VCR_ELIMIT, "savepoint: more than %d directories inside one another", VCR_STORE_DEPTH);
	int err = vcr_folder_load(d->s, a, &ta, d->e);
	if (!err && (err = vcr_folder_load(d->s, b, &tb, d->e)))
		vcr_folder_release(&ta);
	if (err)
		return err;
	for (size_t i = 0, k = 0; !err && (i < ta.n || k < tb.n);) {
		const struct vcr_item *x = i < ta.n ? &ta.item[i] : NULL, *y = k < tb.n ? &tb.item[k] : NULL;
		int c = !x ? 1 : !y ? -1 : by_name(x, y);
		err = diff_items(d, c <= 0 ? x : NULL, c >= 0 ? y : NULL, depth);
		i += c <= 0;
		k += c >= 0;
	}
	vcr_folder_release(&ta);
	vcr_folder_release(&tb);
	return err;
}

int vcr_store_diff(struct vcr_store *s, const char *tree_a, const char *tree_b, vcr_store_diff_fn *fn, void *ctx, struct vcr_error *e)
{
	unsigned char a[VCR_OID], b[VCR_OID];
	struct diff d = { .s = s, .fn = fn, .ctx = ctx, .e = e };
	if (!vcr_store_unhex(tree_a, a) || !vcr_store_unhex(tree_b, b))
		return vcr_error_set(e, VCR_EINVAL, "no object id");
	vcr_buf_init(&d.path, VCR_MAX_BENEATH - 1);
	int err = diff_trees(&d, a, b, 0);
	vcr_buf_release(&d.path);
	return err;
}

int vcr_store_find(struct vcr_store *s, const char *tree, const char *path, struct vcr_entry *out, struct vcr_error *e)
{
	struct vcr_entry at = { .mode = VCR_ENTRY_DIR };
	int err = vcr_store_unhex(tree, at.oid) ? 0 : vcr_error_set(e, VCR_EINVAL, "'%.60s' is no tree", tree);
	for (size_t n; !err && at.mode && *path; path += n + (path[n] == '/')) {
		struct vcr_folder t;
		n = strcspn(path, "/");
		if (!is_dir(at.mode)) {
			at.mode = 0;
			break;
		}
		if ((err = vcr_folder_load(s, at.oid, &t, e)))
			break;
		const struct vcr_item *it = vcr_folder_find(&t, path, n);
		at = entry_of(it, true);
		vcr_folder_release(&t);
	}
	if (!err)
		*out = at;
	return err;
}
