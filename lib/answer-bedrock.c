/* answer-bedrock.c — ConverseStream: events become what Converse returns. */
#include "answer-parts.h"
#include <string.h>

static struct vcr_node *message_of(struct vcr_assembly *a)
{
	struct vcr_node *output = vcr_node_want(&a->tree, a->root, "output", VCR_NODE_OBJECT);
	return vcr_node_want(&a->tree, output, "message", VCR_NODE_OBJECT);
}

static struct vcr_node *block_of(struct vcr_assembly *a, const struct vcr_json *j, int event)
{
	int64_t index = 0;
	vcr_json_int(j, vcr_json_get(j, event, "contentBlockIndex"), &index);
	return vcr_node_want_item(&a->tree, vcr_node_want(&a->tree, message_of(a), "content", VCR_NODE_ARRAY), index);
}

/* {"text":…}, {"toolUse":{"input":"…"}}, {"reasoningContent":{"text":…} or {"signature":…}}: whole, the reasoning is one level deeper. */
static void block_delta(struct vcr_assembly *a, const struct vcr_json *j, int event)
{
	static const char *const apart[] = { "reasoningContent", NULL }, *const redacted[] = { "redactedContent", NULL };
	int delta = vcr_json_get(j, event, "delta"), reasoning = vcr_json_get(j, delta, "reasoningContent");
	struct vcr_node *block = block_of(a, j, event);
	vcr_merge_delta(a, block, j, delta, apart);
	if (vcr_json_type(j, reasoning) != VCR_JSON_OBJECT)
		return;
	struct vcr_node *content = vcr_node_want(&a->tree, block, "reasoningContent", VCR_NODE_OBJECT);
	if (vcr_json_get(j, reasoning, "redactedContent") >= 0)
		vcr_merge_members(a, content, j, reasoning, NULL);
	else
		vcr_merge_delta(a, vcr_node_want(&a->tree, content, "reasoningText", VCR_NODE_OBJECT), j, reasoning, redacted);
}

static void exception(struct vcr_assembly *a, const struct vcr_json *j, int event)
{
	struct vcr_node *error = vcr_node_want(&a->tree, a->root, "error", VCR_NODE_OBJECT);
	vcr_merge_members(a, error, j, event, NULL);
	a->failed = true;
}

void vcr_assemble_converse(struct vcr_assembly *a, const struct vcr_json *j)
{
	int m = vcr_json_first(j, 0), event = m >= 0 ? vcr_json_value(j, m) : -1;
	if (!a->root)
		a->root = vcr_tree_new(&a->tree, VCR_NODE_OBJECT);
	if (vcr_json_type(j, event) != VCR_JSON_OBJECT)
		return;
	if (vcr_json_is(j, m, "messageStart"))
		vcr_merge_members(a, message_of(a), j, event, (const char *const[]){ "p", NULL }); /* "p" pads against length analysis */
	else if (vcr_json_is(j, m, "contentBlockStart"))
		vcr_merge_delta(a, block_of(a, j, event), j, vcr_json_get(j, event, "start"), NULL);
	else if (vcr_json_is(j, m, "contentBlockDelta"))
		block_delta(a, j, event);
	else if (vcr_json_is(j, m, "messageStop") || vcr_json_is(j, m, "metadata"))
		vcr_merge_members(a, a->root, j, event, (const char *const[]){ "p", NULL });
	else if (vcr_json_is(j, m, "error"))
		exception(a, j, event);
	a->ended |= vcr_json_is(j, m, "messageStop");
}

void vcr_assemble_converse_end(struct vcr_assembly *a)
{
	struct vcr_node *message = vcr_node_get(vcr_node_get(a->root, "output"), "message"), *content = vcr_node_get(message, "content");
	for (struct vcr_node *block = content ? content->first : NULL; block; block = block->next)
		vcr_close_input(a, vcr_node_get(block, "toolUse"), "input", "input");
}
