#include "tree.h"
#include "limits.h"
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 8 << 10, MAX_INDEX = 65535, MAX_GAP = 64, LARGE = 16 };
struct vcr_tree_block {
	struct vcr_tree_block *next;
	size_t len, cap;
	_Alignas(16) char data[];
};

void vcr_tree_release(struct vcr_tree *t)
{
	for (struct vcr_tree_block *b = t->block, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	*t = (struct vcr_tree){ 0 };
}

static void *take(struct vcr_tree *t, size_t n)
{
	struct vcr_tree_block *b = t->block;
	n = (n + 15) & ~(size_t)15;
	if (t->err)
		return NULL;
	if (!b || b->cap - b->len < n) {
		size_t cap = n > BLOCK ? n : BLOCK;
		if (t->used + cap > 4 * (size_t)VCR_MAX_HTTP_BODY) {
			t->err = VCR_ELIMIT;
			return NULL;
		}
		if (!(b = malloc(sizeof *b + cap))) {
			t->err = VCR_ENOMEM;
			return NULL;
		}
		*b = (struct vcr_tree_block){ .next = t->block, .cap = cap };
		t->block = b;
		t->used += cap;
	}
	void *p = b->data + b->len;
	b->len += n;
	return p;
}

struct vcr_node *vcr_tree_new(struct vcr_tree *t, enum vcr_node_kind kind)
{
	struct vcr_node *n = take(t, sizeof *n);
	if (n)
		*n = (struct vcr_node){ .kind = kind };
	return n;
}

static void add_text(struct vcr_tree *t, struct vcr_node *n, const char *p, size_t len)
{
	struct vcr_piece *piece = n && len ? take(t, sizeof *piece + len) : NULL;
	if (!piece)
		return;
	piece->next = NULL;
	piece->len = len;
	memcpy(piece->text, p, len);
	if (n->text_last)
		n->text_last->next = piece;
	else
		n->text = piece;
	n->text_last = piece;
}

static void copy_key(struct vcr_tree *t, struct vcr_node *n, const char *key, size_t len)
{
	char *to = n ? take(t, len + 1) : NULL;
	if (!to)
		return;
	memcpy(to, key, len);
	to[len] = 0;
	n->key = to;
	n->nkey = len;
}

struct vcr_node *vcr_tree_raw(struct vcr_tree *t, const struct vcr_json *j, int v)
{
	size_t len;
	const char *p = vcr_json_raw(j, v, &len);
	bool string = vcr_json_type(j, v) == VCR_JSON_STRING;
	struct vcr_node *n = v < 0 ? NULL : vcr_tree_new(t, string ? VCR_NODE_STRING : VCR_NODE_RAW);
	add_text(t, n, string ? p + 1 : p, string ? len - 2 : len);
	return n;
}

static void append_node(struct vcr_node *parent, struct vcr_node *n)
{
	if (parent->last)
		parent->last->next = n;
	else
		parent->first = n;
	parent->last = n;
}

static bool has_key(const struct vcr_node *n, const char *key, size_t len)
{
	return n->nkey == len && n->key && !memcmp(n->key, key, len);
}

/* Where the key is, or would be, in the table of a large object. The table's own address keeps its order from being foreseen. */
static uint32_t slot_of(const struct vcr_node *object, const char *key, size_t len)
{
	uint64_t h = (uintptr_t)object->index >> 4;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)key[i]) * 0x9e3779b97f4a7c15ull ^ h >> 29;
	uint32_t at = (uint32_t)(h >> 32) & (object->cap - 1);
	while (object->index[at] && !has_key(object->index[at], key, len))
		at = (at + 1) & (object->cap - 1);
	return at;
}

/* Put the last member into the table; when it would be more than half full, all members into one twice as large. Without memory there is no table, and
 * members are looked for one by one. The last of equal keys counts. nindex is the number of members ever appended. */
static void index_member(struct vcr_tree *t, struct vcr_node *object)
{
	struct vcr_node *n = object->last;
	if (2 * object->nindex > object->cap) {
		uint32_t cap = object->cap ? 2 * object->cap : 4 * LARGE;
		struct vcr_node **table = take(t, cap * sizeof *table);
		object->index = table;
		object->cap = table ? cap : 0;
		if (!table)
			return;
		memset(table, 0, cap * sizeof *table);
		n = object->first;
	}
	for (; n; n = n->next)
		if (n->key)
			object->index[slot_of(object, n->key, n->nkey)] = n;
}

/* Append a member that has its key. */
static void append_member(struct vcr_tree *t, struct vcr_node *object, struct vcr_node *n)
{
	append_node(object, n);
	if (++object->nindex > LARGE && !t->err)
		index_member(t, object);
}

struct vcr_node *vcr_tree_copy(struct vcr_tree *t, const struct vcr_json *j, int v)
{
	enum vcr_json_type type = vcr_json_type(j, v);
	bool object = type == VCR_JSON_OBJECT;
	if (!object && type != VCR_JSON_ARRAY)
		return vcr_tree_raw(t, j, v);
	struct vcr_node *n = vcr_tree_new(t, object ? VCR_NODE_OBJECT : VCR_NODE_ARRAY);
	for (int m = vcr_json_first(j, v); m >= 0 && n; m = vcr_json_next(j, m)) {
		struct vcr_node *child = vcr_tree_copy(t, j, object ? vcr_json_value(j, m) : m);
		if (!child)
			return NULL;
		if (object) {
			size_t len;
			const char *key = vcr_json_raw(j, m, &len);
			copy_key(t, child, key + 1, len - 2);
			append_member(t, n, child);
		} else {
			append_node(n, child);
		}
	}
	return n;
}

struct vcr_node *vcr_node_get(const struct vcr_node *object, const char *key)
{
	size_t len = strlen(key);
	struct vcr_node *found = NULL;
	if (object && object->kind == VCR_NODE_OBJECT && object->cap)
		return object->index[slot_of(object, key, len)];
	if (object && object->kind == VCR_NODE_OBJECT)
		for (struct vcr_node *n = object->first; n; n = n->next)
			if (has_key(n, key, len))
				found = n;
	return found;
}

struct vcr_node *vcr_node_item(const struct vcr_node *array, size_t i)
{
	struct vcr_node *n = array && array->kind == VCR_NODE_ARRAY ? array->first : NULL;
	while (n && i--)
		n = n->next;
	return n;
}

/* Put `to` where `from` stands: contents change, place and key stay. */
static void become(struct vcr_node *from, const struct vcr_node *to)
{
	from->kind = to->kind;
	from->first = to->first;
	from->last = to->last;
	from->index = to->index;
	from->nindex = to->nindex;
	from->cap = to->cap;
	from->text = to->text;
	from->text_last = to->text_last;
}

void vcr_node_set(struct vcr_tree *t, struct vcr_node *object, const char *key, struct vcr_node *value)
{
	if (!object || object->kind != VCR_NODE_OBJECT || !value)
		return;
	struct vcr_node *old = vcr_node_get(object, key);
	if (old) {
		become(old, value);
		return;
	}
	copy_key(t, value, key, strlen(key));
	value->next = NULL;
	append_member(t, object, value);
}

void vcr_node_set_text(struct vcr_tree *t, struct vcr_node *object, const char *key, enum vcr_node_kind kind, const char *text)
{
	struct vcr_node *n = vcr_tree_new(t, kind);
	add_text(t, n, text, strlen(text));
	vcr_node_set(t, object, key, n);
}

/* It stays in the list without a key, and so does its place in a large object's table: neither must be built anew. */
void vcr_node_remove(struct vcr_node *object, const char *key)
{
	struct vcr_node *n;
	while ((n = vcr_node_get(object, key)) != NULL)
		n->key = NULL;
}

struct vcr_node *vcr_node_want(struct vcr_tree *t, struct vcr_node *object, const char *key, enum vcr_node_kind kind)
{
	struct vcr_node *n = vcr_node_get(object, key);
	if (n && n->kind == kind)
		return n;
	n = object ? vcr_tree_new(t, kind) : NULL;
	vcr_node_set(t, object, key, n);
	return vcr_node_get(object, key);
}

void vcr_node_push(struct vcr_node *array, struct vcr_node *item)
{
	if (!array || array->kind != VCR_NODE_ARRAY || !item)
		return;
	item->next = NULL;
	append_node(array, item);
}

/* Make the list of places cover every item; false without memory. Items are only ever appended, so what it holds stays true. */
static bool index_items(struct vcr_tree *t, struct vcr_node *array)
{
	struct vcr_node *n = array->nindex ? array->index[array->nindex - 1]->next : array->first;
	for (; n; n = n->next) {
		if (array->nindex == array->cap) {
			uint32_t cap = array->cap ? 2 * array->cap : LARGE;
			struct vcr_node **grown = array->nindex > UINT32_MAX / 4 ? NULL : take(t, cap * sizeof *grown);
			if (!grown)
				return false;
			if (array->nindex)
				memcpy(grown, array->index, array->nindex * sizeof *grown);
			array->index = grown;
			array->cap = cap;
		}
		array->index[array->nindex++] = n;
	}
	return true;
}

static struct vcr_node *fill_to(struct vcr_tree *t, struct vcr_node *array, int64_t i)
{
	if (!array || array->kind != VCR_NODE_ARRAY || i < 0 || i > MAX_INDEX || !index_items(t, array) || i > array->nindex + MAX_GAP)
		return NULL;
	for (int64_t missing = i - array->nindex; missing >= 0; missing--) {
		struct vcr_node *n = vcr_tree_new(t, VCR_NODE_RAW);
		add_text(t, n, "null", 4);
		if (!n)
			return NULL;
		vcr_node_push(array, n);
	}
	return index_items(t, array) ? array->index[i] : NULL;
}

struct vcr_node *vcr_node_want_item(struct vcr_tree *t, struct vcr_node *array, int64_t i)
{
	struct vcr_node *n = fill_to(t, array, i);
	if (n && n->kind != VCR_NODE_OBJECT)
		become(n, &(struct vcr_node){ .kind = VCR_NODE_OBJECT });
	return n;
}

void vcr_node_set_item(struct vcr_tree *t, struct vcr_node *array, int64_t i, struct vcr_node *value)
{
	struct vcr_node *n = fill_to(t, array, i);
	if (n && value)
		become(n, value);
}

void vcr_node_append(struct vcr_tree *t, struct vcr_node *object, const char *key, const struct vcr_json *j, int v)
{
	if (vcr_json_type(j, v) != VCR_JSON_STRING)
		return;
	size_t len;
	const char *p = vcr_json_raw(j, v, &len);
	add_text(t, vcr_node_want(t, object, key, VCR_NODE_STRING), p + 1, len - 2);
}

bool vcr_node_is_null(const struct vcr_node *n)
{
	return !n || (n->kind == VCR_NODE_RAW && n->text && n->text->len == 4 && !memcmp(n->text->text, "null", 4));
}

static void write_text(const struct vcr_node *n, struct vcr_buf *out)
{
	for (const struct vcr_piece *p = n->text; p; p = p->next)
		vcr_buf_add(out, p->text, p->len);
}

void vcr_node_write(const struct vcr_node *n, struct vcr_buf *out)
{
	if (!n) {
		vcr_buf_puts(out, "null");
		return;
	}
	if (n->kind == VCR_NODE_RAW) {
		write_text(n, out);
		return;
	}
	vcr_buf_putc(out, "\"{["[n->kind - VCR_NODE_STRING]);
	write_text(n, out);
	bool any = false;
	for (const struct vcr_node *m = n->first; m; m = m->next) {
		if (n->kind == VCR_NODE_OBJECT && !m->key)
			continue; /* removed */
		if (any)
			vcr_buf_putc(out, ',');
		any = true;
		if (n->kind == VCR_NODE_OBJECT) {
			vcr_buf_putc(out, '"');
			vcr_buf_add(out, m->key, m->nkey);
			vcr_buf_puts(out, "\":");
		}
		vcr_node_write(m, out);
	}
	vcr_buf_putc(out, "\"}]"[n->kind - VCR_NODE_STRING]);
}
