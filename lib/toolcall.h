/* toolcall.h — the tool calls in a model's answer, and the results that a request brings back, in the words of no provider.
 *
 * Understood by shape, as each public API reference has it: OpenAI chat (tool_calls, custom ones, the legacy function_call; roles tool and function), OpenAI
 * responses (any item …_call with a call_id and its …_call_output: function, custom, local_shell, shell, apply_patch, computer; also as events of a
 * WebSocket), Anthropic (tool_use, tool_result), Gemini (functionCall, functionResponse, with and without ids), Bedrock converse (toolUse, toolResult),
 * Ollama. Tools that the provider runs itself (server_tool_use, web_search_call, …) are no calls: their results are in the answer.
 * Pure functions over parsed JSON; at most VCR_MAX_TOOL_CALLS are reported of one text, names and ids longer than VCR_MAX_TOOL_NAME make a call none. */
#ifndef VCR_TOOLCALL_H
#define VCR_TOOLCALL_H
#include <stdbool.h>
#include "json.h"

struct vcr_tool_call {
	const char *id;      /* "" none */
	const char *name;
	int arguments;       /* an object, a string (JSON text, or free text), any value; -1 none */
	const char *at;      /* where they stand, for vcr_json_path from the response */
};
struct vcr_tool_result {
	const char *id, *name; /* "" none; with neither, results stand in the order of the calls */
	int value;           /* any value; -1 none */
	bool failed;         /* the client says so: is_error, status error, Gemini's member "error" */
	const char *at;      /* where the value stands, from the request */
};
/* Strings are borrowed for the call. A value other than 0 ends the walk and is returned. */
typedef int vcr_tool_call_fn(void *ctx, const struct vcr_tool_call *c);
typedef int vcr_tool_result_fn(void *ctx, const struct vcr_tool_result *r);

/* response: index of what stands in a frame as output_state.response. */
int vcr_tool_calls(const struct vcr_json *j, int response, vcr_tool_call_fn *fn, void *ctx);
/* j: a request; list_key: its list that grows (provider.h), NULL none; from: the first item that is looked at. */
int vcr_tool_results(const struct vcr_json *j, const char *list_key, size_t from, vcr_tool_result_fn *fn, void *ctx);

#endif
