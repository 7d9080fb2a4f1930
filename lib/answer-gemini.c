#include "answer-parts.h"
#include <string.h>

/* A stream's chunks are whole GenerateContentResponse objects: parts are appended, neighbouring texts joined, the rest replaced. */

static bool is_true(const struct vcr_node *n)
{
	return n && n->kind == VCR_NODE_RAW && n->text && n->text->len == 4 && !memcmp(n->text->text, "true", 4);
}

/* Only text (and whether it is a thought, and its signature): may be joined with its like. */
static bool is_plain_text(const struct vcr_json *j, int part)
{
	static const char *const known[] = { "text", "thought", "thoughtSignature", NULL };
	if (vcr_json_type(j, vcr_json_get(j, part, "text")) != VCR_JSON_STRING)
		return false;
	for (int m = vcr_json_first(j, part); m >= 0; m = vcr_json_next(j, m))
		if (!vcr_is_one_of(j, m, known))
			return false;
	return true;
}

static bool joins(const struct vcr_node *last, const struct vcr_json *j, int part)
{
	if (!last || last->kind != VCR_NODE_OBJECT || !vcr_node_get(last, "text") || vcr_node_get(last, "thoughtSignature"))
		return false;
	for (const struct vcr_node *m = last->first; m; m = m->next)
		if (m->key && strcmp(m->key, "text") && strcmp(m->key, "thought"))
			return false;
	return is_plain_text(j, part) && is_true(vcr_node_get(last, "thought")) == vcr_json_true(j, vcr_json_get(j, part, "thought"));
}

static void merge_content(struct vcr_assembly *a, struct vcr_node *candidate, const struct vcr_json *j, int content)
{
	static const char *const apart[] = { "parts", NULL };
	struct vcr_node *to = vcr_node_want(&a->tree, candidate, "content", VCR_NODE_OBJECT);
	int parts = vcr_json_get(j, content, "parts");
	struct vcr_node *list = parts < 0 ? NULL : vcr_node_want(&a->tree, to, "parts", VCR_NODE_ARRAY);
	for (int m = vcr_json_first(j, parts); m >= 0 && list; m = vcr_json_next(j, m)) {
		int signature = vcr_json_get(j, m, "thoughtSignature");
		if (!joins(list->last, j, m)) {
			vcr_node_push(list, vcr_tree_copy(&a->tree, j, m));
			continue;
		}
		vcr_node_append(&a->tree, list->last, "text", j, vcr_json_get(j, m, "text"));
		if (signature >= 0)
			vcr_node_set(&a->tree, list->last, "thoughtSignature", vcr_tree_raw(&a->tree, j, signature));
	}
	vcr_merge_members(a, to, j, content, apart);
}

static void merge_candidates(struct vcr_assembly *a, struct vcr_node *root, const struct vcr_json *j, int candidates)
{
	static const char *const apart[] = { "content", "logprobsResult", NULL };
	struct vcr_node *list = vcr_node_want(&a->tree, root, "candidates", VCR_NODE_ARRAY);
	int at = 0;
	for (int m = vcr_json_first(j, candidates); m >= 0; m = vcr_json_next(j, m), at++) {
		int64_t index = at;
		vcr_json_int(j, vcr_json_get(j, m, "index"), &index);
		struct vcr_node *candidate = vcr_node_want_item(&a->tree, list, index);
		int content = vcr_json_get(j, m, "content"), logprobs = vcr_json_get(j, m, "logprobsResult");
		if (vcr_json_type(j, content) == VCR_JSON_OBJECT)
			merge_content(a, candidate, j, content);
		if (vcr_json_type(j, logprobs) == VCR_JSON_OBJECT)
			vcr_merge_delta(a, vcr_node_want(&a->tree, candidate, "logprobsResult", VCR_NODE_OBJECT), j, logprobs, NULL);
		vcr_merge_members(a, candidate, j, m, apart);
		if (vcr_json_type(j, vcr_json_get(j, m, "finishReason")) == VCR_JSON_STRING)
			a->ended = true;
	}
}

static void merge_response(struct vcr_assembly *a, struct vcr_node *root, const struct vcr_json *j, int v)
{
	static const char *const apart[] = { "candidates", NULL };
	int candidates = vcr_json_get(j, v, "candidates");
	if (vcr_json_type(j, candidates) == VCR_JSON_ARRAY)
		merge_candidates(a, root, j, candidates);
	vcr_merge_members(a, root, j, v, apart);
	if (vcr_json_type(j, vcr_json_path(j, v, "promptFeedback.blockReason")) == VCR_JSON_STRING)
		a->ended = true;
	a->failed |= vcr_json_type(j, vcr_json_get(j, v, "error")) == VCR_JSON_OBJECT;
}

void vcr_assemble_gemini(struct vcr_assembly *a, const struct vcr_json *j)
{
	static const char *const apart[] = { "response", NULL };
	if (!a->root)
		a->root = vcr_tree_new(&a->tree, VCR_NODE_OBJECT);
	int wrapped = vcr_json_get(j, 0, "response"); /* Code Assist: {"response":{…},"traceId":…} */
	if (vcr_json_type(j, wrapped) != VCR_JSON_OBJECT) {
		merge_response(a, a->root, j, 0);
		return;
	}
	merge_response(a, vcr_node_want(&a->tree, a->root, "response", VCR_NODE_OBJECT), j, wrapped);
	vcr_merge_members(a, a->root, j, 0, apart);
}
