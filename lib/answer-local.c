/* answer-local.c — streams of model servers that people run themselves and that have a shape of their own. */
#include "answer-parts.h"

/* {"message":{"content":"…"},"done":false} lines (generate: "response":"…"), the last one with done true and the counts. An error is a line {"error":"…"}. */
void vcr_assemble_ollama(struct vcr_assembly *a, const struct vcr_json *j)
{
	static const char *const apart[] = { "message", "response", "thinking", NULL };
	int message = vcr_json_get(j, 0, "message");
	if (!a->root)
		a->root = vcr_tree_new(&a->tree, VCR_NODE_OBJECT);
	if (vcr_json_type(j, message) == VCR_JSON_OBJECT)
		vcr_merge_delta(a, vcr_node_want(&a->tree, a->root, "message", VCR_NODE_OBJECT), j, message, NULL);
	vcr_node_append(&a->tree, a->root, "response", j, vcr_json_get(j, 0, "response"));
	vcr_node_append(&a->tree, a->root, "thinking", j, vcr_json_get(j, 0, "thinking"));
	vcr_merge_members(a, a->root, j, 0, apart);
	a->ended |= vcr_json_true(j, vcr_json_get(j, 0, "done"));
	a->failed |= vcr_json_type(j, vcr_json_get(j, 0, "error")) != VCR_JSON_NONE;
}

/* llama.cpp's own completion: {"content":"…","stop":false}, the last one with stop true, counts and timings. */
void vcr_assemble_llamacpp(struct vcr_assembly *a, const struct vcr_json *j)
{
	static const char *const apart[] = { "content", "tokens", "completion_probabilities", NULL };
	static const char *const lists[] = { "tokens", "completion_probabilities", NULL };
	if (!a->root)
		a->root = vcr_tree_new(&a->tree, VCR_NODE_OBJECT);
	vcr_node_append(&a->tree, a->root, "content", j, vcr_json_get(j, 0, "content"));
	for (const char *const *l = lists; *l; l++) {
		int list = vcr_json_get(j, 0, *l);
		struct vcr_node *to = vcr_json_type(j, list) == VCR_JSON_ARRAY ? vcr_node_want(&a->tree, a->root, *l, VCR_NODE_ARRAY) : NULL;
		for (int m = vcr_json_first(j, list); m >= 0 && to; m = vcr_json_next(j, m))
			vcr_node_push(to, vcr_tree_raw(&a->tree, j, m));
	}
	vcr_merge_members(a, a->root, j, 0, apart);
	a->ended |= vcr_json_true(j, vcr_json_get(j, 0, "stop"));
	a->failed |= vcr_json_type(j, vcr_json_get(j, 0, "error")) != VCR_JSON_NONE;
}
