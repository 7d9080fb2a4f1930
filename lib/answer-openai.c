#include "answer-parts.h"
#include <string.h>

/* Chat and legacy completions: chunks with choices[], each with a delta (chat) or a text (completions). */

static void merge_tool_calls(struct vcr_assembly *a, struct vcr_node *message, const struct vcr_json *j, int calls)
{
	static const char *const apart[] = { "index", NULL };
	struct vcr_node *list = vcr_node_want(&a->tree, message, "tool_calls", VCR_NODE_ARRAY);
	int at = 0;
	for (int m = vcr_json_first(j, calls); m >= 0; m = vcr_json_next(j, m), at++) {
		int64_t index = at;
		vcr_json_int(j, vcr_json_get(j, m, "index"), &index);
		struct vcr_node *call = vcr_node_want_item(&a->tree, list, index);
		vcr_merge_delta(a, call, j, m, apart); /* the whole message has no index there */
	}
}

static void merge_message(struct vcr_assembly *a, struct vcr_node *choice, const struct vcr_json *j, int delta)
{
	static const char *const apart[] = { "tool_calls", NULL };
	struct vcr_node *message = vcr_node_want(&a->tree, choice, "message", VCR_NODE_OBJECT);
	int calls = vcr_json_get(j, delta, "tool_calls");
	if (vcr_json_type(j, calls) == VCR_JSON_ARRAY)
		merge_tool_calls(a, message, j, calls);
	vcr_merge_delta(a, message, j, delta, apart);
}

/* Log probabilities come as lists (chat: content, refusal; completions: tokens …) that grow. */
static void merge_logprobs(struct vcr_assembly *a, struct vcr_node *choice, const struct vcr_json *j, int logprobs)
{
	if (vcr_json_type(j, logprobs) != VCR_JSON_OBJECT) {
		if (logprobs >= 0 && !vcr_node_get(choice, "logprobs"))
			vcr_node_set(&a->tree, choice, "logprobs", vcr_tree_raw(&a->tree, j, logprobs));
		return;
	}
	vcr_merge_delta(a, vcr_node_want(&a->tree, choice, "logprobs", VCR_NODE_OBJECT), j, logprobs, NULL);
}

static void merge_choice(struct vcr_assembly *a, struct vcr_node *choices, const struct vcr_json *j, int piece, int at)
{
	static const char *const apart[] = { "delta", "text", "logprobs", NULL };
	int64_t index = at;
	vcr_json_int(j, vcr_json_get(j, piece, "index"), &index);
	struct vcr_node *choice = vcr_node_want_item(&a->tree, choices, index);
	int delta = vcr_json_get(j, piece, "delta");
	if (vcr_json_type(j, delta) == VCR_JSON_OBJECT)
		merge_message(a, choice, j, delta);
	vcr_node_append(&a->tree, choice, "text", j, vcr_json_get(j, piece, "text"));
	merge_logprobs(a, choice, j, vcr_json_get(j, piece, "logprobs"));
	vcr_merge_members(a, choice, j, piece, apart);
}

void vcr_assemble_choices(struct vcr_assembly *a, const struct vcr_json *j)
{
	/* obfuscation pads events against length analysis and is no part of the message */
	static const char *const apart[] = { "choices", "object", "obfuscation", NULL };
	if (!a->root)
		a->root = vcr_tree_new(&a->tree, VCR_NODE_OBJECT);
	int object = vcr_json_get(j, 0, "object"), choices = vcr_json_get(j, 0, "choices"), at = 0;
	if (vcr_json_is(j, object, "chat.completion.chunk"))
		vcr_node_set_text(&a->tree, a->root, "object", VCR_NODE_STRING, "chat.completion");
	else if (object >= 0)
		vcr_node_set(&a->tree, a->root, "object", vcr_tree_raw(&a->tree, j, object));
	vcr_merge_members(a, a->root, j, 0, apart);
	if (vcr_json_type(j, choices) == VCR_JSON_ARRAY) {
		struct vcr_node *list = vcr_node_want(&a->tree, a->root, "choices", VCR_NODE_ARRAY);
		for (int m = vcr_json_first(j, choices); m >= 0; m = vcr_json_next(j, m))
			merge_choice(a, list, j, m, at++);
	}
	struct vcr_node *usage = vcr_node_get(a->root, "usage");
	if (usage && vcr_node_is_null(usage)) /* include_usage puts null into every chunk but the last */
		vcr_node_remove(a->root, "usage");
	a->failed |= !vcr_node_is_null(vcr_node_get(a->root, "error"));
}

/* Responses. Most events are "put this text into that field of this part": one table. */

enum how { GROWS, IS, NOTE };
static const struct delta_rule {
	const char *event, *list, *index, *field, *value;
	enum how how;
} delta_rules[] = {
	{ "response.output_text.delta", "content", "content_index", "text", "delta", GROWS },
	{ "response.output_text.done", "content", "content_index", "text", "text", IS },
	{ "response.output_text.annotation.added", "content", "content_index", "annotations", "annotation", NOTE },
	{ "response.refusal.delta", "content", "content_index", "refusal", "delta", GROWS },
	{ "response.refusal.done", "content", "content_index", "refusal", "refusal", IS },
	{ "response.reasoning_text.delta", "content", "content_index", "text", "delta", GROWS },
	{ "response.reasoning_text.done", "content", "content_index", "text", "text", IS },
	{ "response.reasoning_summary_text.delta", "summary", "summary_index", "text", "delta", GROWS },
	{ "response.reasoning_summary_text.done", "summary", "summary_index", "text", "text", IS },
	{ "response.output_audio_transcript.delta", "content", "content_index", "transcript", "delta", GROWS },
	{ "response.output_audio_transcript.done", "content", "content_index", "transcript", "transcript", IS },
	{ "response.content_part.added", "content", "content_index", NULL, "part", IS },
	{ "response.content_part.done", "content", "content_index", NULL, "part", IS },
	{ "response.reasoning_summary_part.added", "summary", "summary_index", NULL, "part", IS },
	{ "response.reasoning_summary_part.done", "summary", "summary_index", NULL, "part", IS },
	{ "response.function_call_arguments.delta", NULL, NULL, "arguments", "delta", GROWS },
	{ "response.function_call_arguments.done", NULL, NULL, "arguments", "arguments", IS },
	{ "response.mcp_call_arguments.delta", NULL, NULL, "arguments", "delta", GROWS },
	{ "response.mcp_call_arguments.done", NULL, NULL, "arguments", "arguments", IS },
	{ "response.custom_tool_call_input.delta", NULL, NULL, "input", "delta", GROWS },
	{ "response.custom_tool_call_input.done", NULL, NULL, "input", "input", IS },
	{ "response.code_interpreter_call_code.delta", NULL, NULL, "code", "delta", GROWS },
	{ "response.code_interpreter_call_code.done", NULL, NULL, "code", "code", IS },
};

static int64_t index_of(const struct vcr_json *j, const char *key)
{
	int64_t i = 0;
	vcr_json_int(j, vcr_json_get(j, 0, key), &i);
	return i;
}

static struct vcr_node *output_item(struct vcr_assembly *a, const struct vcr_json *j)
{
	struct vcr_node *output = vcr_node_want(&a->tree, a->root, "output", VCR_NODE_ARRAY);
	return vcr_node_want_item(&a->tree, output, index_of(j, "output_index"));
}

static void apply_rule(struct vcr_assembly *a, const struct vcr_json *j, const struct delta_rule *r)
{
	int value = vcr_json_get(j, 0, r->value);
	struct vcr_node *at = output_item(a, j);
	if (value < 0 || !at)
		return;
	if (r->list) {
		struct vcr_node *list = vcr_node_want(&a->tree, at, r->list, VCR_NODE_ARRAY);
		if (!r->field) {
			vcr_node_set_item(&a->tree, list, index_of(j, r->index), vcr_tree_copy(&a->tree, j, value));
			return;
		}
		at = vcr_node_want_item(&a->tree, list, index_of(j, r->index));
	}
	if (r->how == GROWS)
		vcr_node_append(&a->tree, at, r->field, j, value);
	else if (r->how == IS)
		vcr_node_set(&a->tree, at, r->field, vcr_tree_copy(&a->tree, j, value));
	else
		vcr_node_push(vcr_node_want(&a->tree, at, r->field, VCR_NODE_ARRAY), vcr_tree_copy(&a->tree, j, value));
}

static const struct delta_rule *find_rule(const struct vcr_json *j, int type)
{
	for (size_t i = 0; i < sizeof delta_rules / sizeof *delta_rules; i++)
		if (vcr_is_one_of(j, type, (const char *const[]){ delta_rules[i].event, NULL }))
			return &delta_rules[i];
	return NULL;
}

/* An event that carries the response as a whole: the first ones give the frame to fill, the last ones the result. */
static void take_snapshot(struct vcr_assembly *a, const struct vcr_json *j, int type, int response)
{
	static const char *const last[] = { "response.completed", "response.failed", "response.incomplete", "response.cancelled", "response.done", NULL };
	static const char *const output[] = { "output", NULL };
	bool final = vcr_is_one_of(j, type, last);
	struct vcr_node *had = vcr_node_get(a->root, "output");
	/* Some servers send a last response without the output that they gave in pieces. */
	bool keep = had && had->first && !vcr_json_count(j, vcr_json_get(j, response, "output"));
	if (final && !keep) {
		a->root = vcr_tree_raw(&a->tree, j, response);
	} else if (final || !a->root) {
		if (!a->root)
			a->root = vcr_tree_new(&a->tree, VCR_NODE_OBJECT);
		vcr_merge_members(a, a->root, j, response, keep ? output : NULL);
	}
	a->ended |= final;
}

void vcr_assemble_responses(struct vcr_assembly *a, const struct vcr_json *j)
{
	static const char *const items[] = { "response.output_item.added", "response.output_item.done", NULL };
	int type = vcr_json_get(j, 0, "type"), response = vcr_json_get(j, 0, "response");
	if (vcr_json_type(j, response) == VCR_JSON_OBJECT) {
		take_snapshot(a, j, type, response);
		return;
	}
	if (!a->root)
		a->root = vcr_tree_new(&a->tree, VCR_NODE_OBJECT);
	int item = vcr_json_get(j, 0, "item"), error = vcr_json_get(j, 0, "error");
	const struct delta_rule *rule = find_rule(j, type);
	if (rule) {
		apply_rule(a, j, rule);
	} else if (item >= 0 && vcr_is_one_of(j, type, items)) {
		struct vcr_node *output = vcr_node_want(&a->tree, a->root, "output", VCR_NODE_ARRAY);
		vcr_node_set_item(&a->tree, output, index_of(j, "output_index"), vcr_tree_copy(&a->tree, j, item));
	} else if (vcr_json_is(j, type, "error") || vcr_json_type(j, error) == VCR_JSON_OBJECT) {
		static const char *const apart[] = { "type", "sequence_number", NULL };
		struct vcr_node *to = vcr_node_want(&a->tree, a->root, "error", VCR_NODE_OBJECT);
		vcr_merge_members(a, to, j, error >= 0 ? error : 0, error >= 0 ? NULL : apart);
		a->failed = true;
	}
}
