#include "answer-parts.h"
#include <string.h>

bool vcr_is_one_of(const struct vcr_json *j, int string, const char *const *words)
{
	size_t n;
	const char *p = vcr_json_raw(j, string, &n);
	if (n < 2 || *p != '"')
		return false;
	for (; words && *words; words++) /* as it stands: no API escapes its own words */
		if (!strncmp(p + 1, *words, n - 2) && !(*words)[n - 2])
			return true;
	return false;
}

static char *key_text(const struct vcr_json *j, int key, struct vcr_buf *out)
{
	size_t len;
	const char *p = vcr_json_raw(j, key, &len);
	vcr_buf_reset(out);
	vcr_buf_add(out, p + 1, len - 2);
	return out->data;
}

static bool same_text(const struct vcr_node *n, const struct vcr_json *j, int v)
{
	size_t len;
	const char *p = vcr_json_raw(j, v, &len);
	return n && n->kind == VCR_NODE_STRING && n->text && n->text->len == len - 2 && !memcmp(n->text->text, p + 1, len - 2);
}

/* Typed content that comes in pieces without an index continues the last piece of its type. */
static bool continues(const struct vcr_node *last, const struct vcr_json *j, int item)
{
	static const char *const grow[] = { "text", "thinking", NULL };
	int type = vcr_json_get(j, item, "type");
	return last && vcr_is_one_of(j, type, grow) && same_text(vcr_node_get(last, "type"), j, type);
}

static void merge_list(struct vcr_assembly *a, struct vcr_node *list, const struct vcr_json *j, int items)
{
	for (int m = vcr_json_first(j, items); m >= 0; m = vcr_json_next(j, m)) {
		int64_t index;
		if (vcr_json_type(j, m) == VCR_JSON_OBJECT && vcr_json_int(j, vcr_json_get(j, m, "index"), &index))
			vcr_merge_delta(a, vcr_node_want_item(&a->tree, list, index), j, m, NULL);
		else if (continues(list->last, j, m))
			vcr_merge_delta(a, list->last, j, m, NULL);
		else
			vcr_node_push(list, vcr_tree_copy(&a->tree, j, m));
	}
}

/* A string after a list of typed parts is one more text part. */
static void push_text(struct vcr_assembly *a, struct vcr_node *list, const struct vcr_json *j, int v)
{
	struct vcr_node *last = list->last, *type = vcr_node_get(last, "type");
	if (!type || type->kind != VCR_NODE_STRING || !type->text || type->text->len != 4 || memcmp(type->text->text, "text", 4)) {
		last = vcr_tree_new(&a->tree, VCR_NODE_OBJECT);
		vcr_node_set_text(&a->tree, last, "type", VCR_NODE_STRING, "text");
		vcr_node_push(list, last);
	}
	vcr_node_append(&a->tree, last, "text", j, v);
}

static void merge_value(struct vcr_assembly *a, struct vcr_node *dst, const char *key, bool identifies, const struct vcr_json *j, int v)
{
	struct vcr_node *old = vcr_node_get(dst, key);
	enum vcr_json_type type = vcr_json_type(j, v);
	if (vcr_node_is_null(old))
		vcr_node_set(&a->tree, dst, key, vcr_tree_copy(&a->tree, j, v));
	else if (type == VCR_JSON_STRING && !identifies && old->kind == VCR_NODE_STRING)
		vcr_node_append(&a->tree, dst, key, j, v);
	else if (type == VCR_JSON_STRING && old->kind == VCR_NODE_ARRAY)
		push_text(a, old, j, v);
	else if (type == VCR_JSON_OBJECT && old->kind == VCR_NODE_OBJECT)
		vcr_merge_delta(a, old, j, v, NULL);
	else if (type == VCR_JSON_ARRAY && old->kind == VCR_NODE_ARRAY)
		merge_list(a, old, j, v);
	else if (type != VCR_JSON_NULL && !vcr_json_is(j, v, ""))
		vcr_node_set(&a->tree, dst, key, vcr_tree_copy(&a->tree, j, v));
}

void vcr_merge_delta(struct vcr_assembly *a, struct vcr_node *dst, const struct vcr_json *j, int v, const char *const *but)
{
	static const char *const identify[] = { "role", "id", "type", "name", "index", "format", "model", "object", "call_id", "tool_call_id", NULL };
	VCR_AUTO_BUF key = VCR_BUF_INIT;
	for (int m = vcr_json_first(j, v); m >= 0 && dst; m = vcr_json_next(j, m))
		if (!vcr_is_one_of(j, m, but))
			merge_value(a, dst, key_text(j, m, &key), vcr_is_one_of(j, m, identify), j, vcr_json_value(j, m));
}

void vcr_merge_members(struct vcr_assembly *a, struct vcr_node *dst, const struct vcr_json *j, int v, const char *const *but)
{
	VCR_AUTO_BUF key = VCR_BUF_INIT;
	for (int m = vcr_json_first(j, v); m >= 0 && dst; m = vcr_json_next(j, m)) {
		int value = vcr_json_value(j, m);
		if (vcr_is_one_of(j, m, but))
			continue;
		if (vcr_json_type(j, value) != VCR_JSON_NULL || !vcr_node_get(dst, key_text(j, m, &key)))
			vcr_node_set(&a->tree, dst, key_text(j, m, &key), vcr_tree_raw(&a->tree, j, value));
	}
}

void vcr_assemble_generic(struct vcr_assembly *a, const struct vcr_json *j)
{
	if (vcr_json_type(j, vcr_json_get(j, 0, "done")) == VCR_JSON_BOOL && !a->events) {
		vcr_assemble_ollama(a, j);
		return;
	}
	if (!a->events && !(a->events = vcr_tree_new(&a->tree, VCR_NODE_ARRAY)))
		return;
	if (!a->root)
		a->root = a->events;
	vcr_node_push(a->events, vcr_tree_raw(&a->tree, j, 0));
	a->failed |= vcr_json_type(j, vcr_json_get(j, 0, "error")) == VCR_JSON_OBJECT;
}
