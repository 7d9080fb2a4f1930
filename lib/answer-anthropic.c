#include "answer-parts.h"
#include <string.h>

/* Fragments of a tool's input gather here, inside the block, until the block ends. */
static const char partial[] = "partial_json";

static struct vcr_node *content_block(struct vcr_assembly *a, const struct vcr_json *j)
{
	int64_t index = 0;
	vcr_json_int(j, vcr_json_get(j, 0, "index"), &index);
	return vcr_node_want_item(&a->tree, vcr_node_want(&a->tree, a->root, "content", VCR_NODE_ARRAY), index);
}

static void block_start(struct vcr_assembly *a, const struct vcr_json *j)
{
	int64_t index = 0;
	vcr_json_int(j, vcr_json_get(j, 0, "index"), &index);
	struct vcr_node *list = vcr_node_want(&a->tree, a->root, "content", VCR_NODE_ARRAY);
	vcr_node_set_item(&a->tree, list, index, vcr_tree_copy(&a->tree, j, vcr_json_get(j, 0, "content_block")));
}

static void block_delta(struct vcr_assembly *a, const struct vcr_json *j)
{
	static const char *const apart[] = { "type", "citation", "signature", NULL };
	int delta = vcr_json_get(j, 0, "delta");
	struct vcr_node *block = content_block(a, j);
	int citation = vcr_json_get(j, delta, "citation"), signature = vcr_json_get(j, delta, "signature");
	if (citation >= 0)
		vcr_node_push(vcr_node_want(&a->tree, block, "citations", VCR_NODE_ARRAY), vcr_tree_copy(&a->tree, j, citation));
	if (signature >= 0) /* whole, not a piece */
		vcr_node_set(&a->tree, block, "signature", vcr_tree_raw(&a->tree, j, signature));
	vcr_merge_delta(a, block, j, delta, apart); /* text, thinking, partial_json, and what may come */
}

void vcr_close_input(struct vcr_assembly *a, struct vcr_node *object, const char *from, const char *to)
{
	struct vcr_node *pieces = vcr_node_get(object, from);
	VCR_AUTO_BUF quoted = VCR_BUF_INIT, text = VCR_BUF_INIT;
	VCR_AUTO_JSON string = VCR_JSON_INIT, input = VCR_JSON_INIT;
	if (!pieces || pieces->kind != VCR_NODE_STRING)
		return;
	vcr_node_write(pieces, &quoted);
	if (quoted.len == 2) {
		if (strcmp(from, to))
			vcr_node_remove(object, from);
		return;
	}
	if (quoted.err || vcr_json_parse(&string, quoted.data, quoted.len, VCR_JSON_RELAXED, NULL) || vcr_json_str(&string, 0, &text))
		return;
	if (text.err || vcr_json_parse(&input, text.data, text.len, VCR_JSON_RELAXED, NULL))
		return;
	vcr_node_set(&a->tree, object, to, vcr_tree_raw(&a->tree, &input, 0));
	if (strcmp(from, to))
		vcr_node_remove(object, from);
}

static void close_input(struct vcr_assembly *a, struct vcr_node *block)
{
	vcr_close_input(a, block, partial, "input");
}

static void message_delta(struct vcr_assembly *a, const struct vcr_json *j)
{
	static const char *const apart[] = { "type", "delta", "usage", NULL };
	int delta = vcr_json_get(j, 0, "delta"), usage = vcr_json_get(j, 0, "usage");
	vcr_merge_members(a, a->root, j, delta, NULL);
	if (vcr_json_type(j, usage) == VCR_JSON_OBJECT)
		vcr_merge_members(a, vcr_node_want(&a->tree, a->root, "usage", VCR_NODE_OBJECT), j, usage, NULL);
	vcr_merge_members(a, a->root, j, 0, apart); /* e.g. context_management */
}

static void error_event(struct vcr_assembly *a, const struct vcr_json *j)
{
	int error = vcr_json_get(j, 0, "error");
	if (!a->root->first)
		vcr_node_set_text(&a->tree, a->root, "type", VCR_NODE_STRING, "error");
	vcr_node_set(&a->tree, a->root, "error", vcr_tree_copy(&a->tree, j, error >= 0 ? error : 0));
	a->failed = true;
}

void vcr_assemble_anthropic(struct vcr_assembly *a, const struct vcr_json *j)
{
	int type = vcr_json_get(j, 0, "type");
	if (!a->root)
		a->root = vcr_tree_new(&a->tree, VCR_NODE_OBJECT);
	if (!a->root)
		return;
	if (vcr_json_is(j, type, "content_block_delta"))
		block_delta(a, j);
	else if (vcr_json_is(j, type, "content_block_start"))
		block_start(a, j);
	else if (vcr_json_is(j, type, "content_block_stop"))
		close_input(a, content_block(a, j));
	else if (vcr_json_is(j, type, "message_start"))
		a->root = vcr_tree_copy(&a->tree, j, vcr_json_get(j, 0, "message"));
	else if (vcr_json_is(j, type, "message_delta"))
		message_delta(a, j);
	else if (vcr_json_is(j, type, "message_stop"))
		a->ended = true;
	else if (vcr_json_is(j, type, "error") || vcr_json_get(j, 0, "error") >= 0)
		error_event(a, j);
}

void vcr_assemble_anthropic_end(struct vcr_assembly *a)
{
	struct vcr_node *content = vcr_node_get(a->root, "content");
	for (struct vcr_node *block = content ? content->first : NULL; block; block = block->next)
		close_input(a, block);
}
