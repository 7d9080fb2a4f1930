#include "answer-parts.h"
#include <stdlib.h>
#include <string.h>

/* Providers give the same number under different names: the first path that holds a number counts. */
static int64_t first_number(const struct vcr_json *j, int v, const char *const *path)
{
	int64_t n;
	for (; *path; path++)
		if (vcr_json_int(j, vcr_json_path(j, v, *path), &n) && n >= 0)
			return n;
	return -1;
}

static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;
	return b < 0 ? a : a < 0 ? b : __builtin_add_overflow(a, b, &sum) ? a : sum;
}

static void read_usage(const struct vcr_json *j, int u, struct vcr_answer_info *out)
{
	static const char *const in[] = { "prompt_tokens", "input_tokens", "inputTokens", "tokens.input_tokens", "total_tokens", NULL };
	static const char *const got[] = { "completion_tokens", "output_tokens", "outputTokens", "tokens.output_tokens", NULL };
	static const char *const cached[] = { "prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens",
		"cache_read_input_tokens", "cacheReadInputTokens", "prompt_cache_hit_tokens", "cached_tokens", NULL };
	static const char *const written[] = { "cache_creation_input_tokens", "cacheWriteInputTokens",
		"prompt_tokens_details.cache_write_tokens", "input_tokens_details.cache_write_tokens", NULL };
	static const char *const reasoning[] = { "completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens",
		"output_tokens_details.thinking_tokens", "reasoning_tokens", NULL };
	static const char *const apart[] = { "cache_read_input_tokens", "cacheReadInputTokens", NULL };
	static const char *const apart_written[] = { "cache_creation_input_tokens", "cacheWriteInputTokens", NULL };
	out->tokens_in = first_number(j, u, in);
	out->tokens_out = first_number(j, u, got);
	out->tokens_cached = first_number(j, u, cached);
	out->tokens_cache_write = first_number(j, u, written);
	out->tokens_reasoning = first_number(j, u, reasoning);
	/* Anthropic counts what was read from or written to its cache beside input_tokens; everyone else inside. */
	if (vcr_json_get(j, u, "prompt_tokens") < 0 && out->tokens_in >= 0)
		out->tokens_in = add(add(out->tokens_in, first_number(j, u, apart)), first_number(j, u, apart_written));
}

static void read_gemini_usage(const struct vcr_json *j, int u, struct vcr_answer_info *out)
{
	static const char *const in[] = { "promptTokenCount", NULL }, *const tool[] = { "toolUsePromptTokenCount", NULL };
	static const char *const got[] = { "candidatesTokenCount", "responseTokenCount", NULL };
	static const char *const cached[] = { "cachedContentTokenCount", NULL }, *const thoughts[] = { "thoughtsTokenCount", NULL };
	out->tokens_in = add(first_number(j, u, in), first_number(j, u, tool));
	out->tokens_reasoning = first_number(j, u, thoughts);
	out->tokens_out = add(first_number(j, u, got), out->tokens_reasoning);
	out->tokens_cached = first_number(j, u, cached);
}

/* Ollama and llama.cpp. */
static void read_local_usage(const struct vcr_json *j, int v, struct vcr_answer_info *out)
{
	static const char *const in[] = { "prompt_eval_count", "tokens_evaluated", NULL }, *const got[] = { "eval_count", "tokens_predicted", NULL };
	out->tokens_in = first_number(j, v, in);
	out->tokens_out = first_number(j, v, got);
}

static void read_tokens(const struct vcr_json *j, int v, struct vcr_answer_info *out)
{
	static const char *const places[] = { "usage", "x_groq.usage", "meta.tokens", NULL };
	int gemini = vcr_json_get(j, v, "usageMetadata");
	if (vcr_json_type(j, gemini) == VCR_JSON_OBJECT) {
		read_gemini_usage(j, gemini, out);
		return;
	}
	for (const char *const *p = places; *p; p++) {
		int u = vcr_json_path(j, v, *p);
		if (vcr_json_type(j, u) == VCR_JSON_OBJECT) {
			read_usage(j, u, out);
			return;
		}
	}
	read_local_usage(j, v, out);
}

static char *first_string(const struct vcr_json *j, int v, const char *const *path)
{
	for (; *path; path++) {
		char *s = vcr_json_strdup(j, vcr_json_path(j, v, *path));
		if (s && *s)
			return s;
		free(s);
	}
	return NULL;
}

/* Does the string end in `end`? */
static bool string_ends(const struct vcr_json *j, int v, const char *end)
{
	size_t n, k = strlen(end);
	const char *p = vcr_json_raw(j, v, &n);
	return vcr_json_type(j, v) == VCR_JSON_STRING && n >= k + 2 && !memcmp(p + n - 1 - k, end, k);
}

/* Items of a list that are tool calls: by their type's ending, or by having that member. */
static int count_calls(const struct vcr_json *j, int list, const char *type_end, const char *member)
{
	int n = 0;
	if (vcr_json_type(j, list) != VCR_JSON_ARRAY)
		return 0;
	for (int m = vcr_json_first(j, list); m >= 0; m = vcr_json_next(j, m))
		n += type_end ? string_ends(j, vcr_json_get(j, m, "type"), type_end) : vcr_json_get(j, m, member) >= 0;
	return n;
}

static int tool_calls_of_message(const struct vcr_json *j, int message)
{
	int calls = vcr_json_get(j, message, "tool_calls");
	return (vcr_json_type(j, calls) == VCR_JSON_ARRAY ? vcr_json_count(j, calls) : 0) +
		(vcr_json_type(j, vcr_json_get(j, message, "function_call")) == VCR_JSON_OBJECT);
}

static int count_tool_calls(const struct vcr_json *j, int v)
{
	int n = count_calls(j, vcr_json_get(j, v, "content"), "tool_use", NULL) + count_calls(j, vcr_json_get(j, v, "output"), "_call", NULL) +
		count_calls(j, vcr_json_path(j, v, "output.message.content"), NULL, "toolUse") +
		tool_calls_of_message(j, vcr_json_get(j, v, "message"));
	int choices = vcr_json_get(j, v, "choices"), candidates = vcr_json_get(j, v, "candidates");
	if (vcr_json_type(j, choices) == VCR_JSON_ARRAY)
		for (int m = vcr_json_first(j, choices); m >= 0; m = vcr_json_next(j, m))
			n += tool_calls_of_message(j, vcr_json_get(j, m, "message"));
	if (vcr_json_type(j, candidates) == VCR_JSON_ARRAY)
		for (int m = vcr_json_first(j, candidates); m >= 0; m = vcr_json_next(j, m))
			n += count_calls(j, vcr_json_path(j, m, "content.parts"), NULL, "functionCall");
	return n;
}

static char *number_or_string(const struct vcr_json *j, int v)
{
	size_t n;
	const char *p = vcr_json_raw(j, v, &n);
	return vcr_json_type(j, v) == VCR_JSON_NUMBER ? strndup(p, n) : vcr_json_strdup(j, v);
}

static void read_error(const struct vcr_json *j, int v, int status, struct vcr_answer_info *out)
{
	static const char *const type[] = { "type", "status", "code", "__type", NULL };
	static const char *const message[] = { "message", "error", "detail", "detail[0].msg", "msg", NULL };
	int error = vcr_json_get(j, v, "error");
	enum vcr_json_type t = vcr_json_type(j, error);
	if (t == VCR_JSON_OBJECT) {
		out->error_type = first_string(j, error, type);
		if (!out->error_type)
			out->error_type = number_or_string(j, vcr_json_get(j, error, "code"));
		out->error_message = first_string(j, error, message);
	} else if (t == VCR_JSON_STRING) {
		out->error_message = vcr_json_strdup(j, error);
	} else if (status >= 400) {
		out->error_type = first_string(j, v, type);
		out->error_message = first_string(j, v, message);
	}
	if ((t == VCR_JSON_OBJECT || t == VCR_JSON_STRING) && !out->error_type)
		out->error_type = strdup("error");
}

void vcr_answer_read_info(const struct vcr_json *j, int status, struct vcr_answer_info *out)
{
	static const char *const model[] = { "model", "modelVersion", NULL };
	static const char *const id[] = { "id", "responseId", NULL };
	static const char *const stop[] = { "choices[0].finish_reason", "stop_reason", "candidates[0].finishReason",
		"incomplete_details.reason", "done_reason", "promptFeedback.blockReason", "stopReason", "finish_reason", "stop_type", NULL };
	int v = vcr_json_type(j, 0) == VCR_JSON_ARRAY ? vcr_json_item(j, 0, 0) : 0; /* Gemini wraps an error into a list */
	int wrapped = vcr_json_get(j, v, "response");
	read_error(j, v, status, out);
	if (vcr_json_type(j, vcr_json_get(j, wrapped, "candidates")) == VCR_JSON_ARRAY)
		v = wrapped;
	out->model = first_string(j, v, model);
	out->id = first_string(j, v, id);
	out->stop_reason = first_string(j, v, stop);
	if (!out->stop_reason && vcr_json_type(j, vcr_json_get(j, v, "output")) == VCR_JSON_ARRAY)
		out->stop_reason = vcr_json_strdup(j, vcr_json_get(j, v, "status"));
	read_tokens(j, v, out);
	out->tool_calls = count_tool_calls(j, v);
}
