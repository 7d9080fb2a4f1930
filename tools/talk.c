#include "talk.h"
#include <string.h>

struct talk {
	const struct vcr_json *j;
	vcr_talk_fn *fn;
	void *ctx;
	const char *role;
	int turn;
	unsigned depth;
};

enum { DEEPEST = 6 }; /* content in content in …: a tool result holds blocks, no provider nests further */

static const char *const list_keys[] = { "messages", "input", "contents", "prompt" };
static const char *const system_keys[] = { "system", "instructions", "systemInstruction", "system_instruction" };

static void say(struct talk *t, enum vcr_talk_kind kind, const char *name, bool failed, const char *text, size_t n)
{
	const struct vcr_talk one = { t->role, kind, t->turn, name, failed, text, n };
	t->fn(t->ctx, &one);
}

static void say_json(struct talk *t, enum vcr_talk_kind kind, const char *name, int v)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_jw w;
	if (vcr_json_str(t->j, v, &text)) {
		vcr_jw_init(&w, &text);
		vcr_jw_value(&w, t->j, v);
	}
	say(t, kind, name, false, text.data, text.len);
}

static int get(const struct talk *t, int object, const char *key)
{
	return vcr_json_type(t->j, object) == VCR_JSON_OBJECT ? vcr_json_get(t->j, object, key) : -1;
}

static bool is(const struct talk *t, int object, const char *key, const char *value)
{
	return vcr_json_is(t->j, get(t, object, key), value);
}

static void say_string(struct talk *t, enum vcr_talk_kind kind, const char *name, bool failed, int v)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	if (!vcr_json_str(t->j, v, &text) && (text.len || kind == VCR_TALK_RESULT))
		say(t, kind, name, failed, text.data, text.len);
}

/* The string at the first of the keys that has one; "" otherwise. */
static void first_string(const struct talk *t, int object, struct vcr_buf *out, const char *const *keys)
{
	for (; *keys && !out->len; keys++)
		vcr_json_str(t->j, get(t, object, *keys), out);
}

static bool is_one_of(const struct vcr_json *j, int v, const char *const *words)
{
	for (; *words; words++)
		if (vcr_json_is(j, v, *words))
			return true;
	return false;
}

/* An image or a file in base64 is described, not shown. */
static void say_medium(struct talk *t, int block)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, type = VCR_BUF_INIT;
	size_t n;
	first_string(t, block, &type, (const char *const[]){ "type", "mimeType", "mime_type", NULL });
	vcr_json_raw(t->j, block, &n);
	vcr_buf_printf(&text, "[%s, %zu bytes of JSON]", type.len ? type.data : "data", n);
	say(t, VCR_TALK_OTHER, "", false, text.data, text.len);
}

static void content(struct talk *t, int v);

static void result(struct talk *t, int block, int value, const char *const *names)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT, text = VCR_BUF_INIT;
	bool failed = vcr_json_true(t->j, get(t, block, "is_error"));
	first_string(t, block, &name, names);
	if (vcr_json_type(t->j, value) == VCR_JSON_STRING) {
		say_string(t, VCR_TALK_RESULT, name.data, failed, value);
		return;
	}
	if (vcr_json_type(t->j, value) != VCR_JSON_ARRAY) {
		say_json(t, VCR_TALK_RESULT, name.data, value);
		return;
	}
	/* blocks: their texts are the result, anything else follows it */
	for (int m = vcr_json_first(t->j, value); m >= 0; m = vcr_json_next(t->j, m)) {
		size_t before = text.len;
		if (before)
			vcr_buf_putc(&text, '\n');
		if (vcr_json_str(t->j, vcr_json_type(t->j, m) == VCR_JSON_OBJECT ? get(t, m, "text") : m, &text))
			vcr_buf_cut(&text, before);
	}
	say(t, VCR_TALK_RESULT, name.data, failed, text.data, text.len);
	for (int m = vcr_json_first(t->j, value); m >= 0; m = vcr_json_next(t->j, m))
		if (vcr_json_type(t->j, m) == VCR_JSON_OBJECT && get(t, m, "text") < 0)
			content(t, m);
}

static void call(struct talk *t, int object, int arguments)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT;
	first_string(t, object, &name, (const char *const[]){ "name", "type", NULL });
	say_json(t, VCR_TALK_CALL, name.data, arguments);
}

static const char *const result_types[] = { "tool_result", "function_call_output", "custom_tool_call_output", "web_search_tool_result", "mcp_tool_result",
	"local_shell_call_output", NULL };
static const char *const call_types[] = { "tool_use", "server_tool_use", "mcp_tool_use", "function_call", "custom_tool_call", NULL };
static const char *const media_types[] = { "image", "image_url", "input_image", "document", "file", "input_file", "input_audio", "audio", NULL };

/* Gemini's parts name themselves by their one member. */
static bool gemini_part(struct talk *t, int part)
{
	int v;
	if ((v = get(t, part, "functionCall")) >= 0 || (v = get(t, part, "function_call")) >= 0)
		call(t, v, get(t, v, "args"));
	else if ((v = get(t, part, "functionResponse")) >= 0 || (v = get(t, part, "function_response")) >= 0)
		result(t, v, get(t, v, "response"), (const char *const[]){ "name", NULL });
	else if ((v = get(t, part, "inlineData")) >= 0 || (v = get(t, part, "inline_data")) >= 0)
		say_medium(t, v);
	else
		return false;
	return true;
}

static void thinking(struct talk *t, int block)
{
	int list = get(t, block, "summary");
	say_string(t, VCR_TALK_THINKING, "", false, get(t, block, "thinking"));
	for (int m = vcr_json_first(t->j, list); m >= 0 && vcr_json_type(t->j, list) == VCR_JSON_ARRAY; m = vcr_json_next(t->j, m))
		say_string(t, VCR_TALK_THINKING, "", false, get(t, m, "text"));
}

static int first_of(const struct talk *t, int object, const char *const *keys)
{
	int v = -1;
	for (; *keys && v < 0; keys++)
		v = get(t, object, *keys);
	return v;
}

/* One block of a content list, one part, one item of the responses API that is no message. */
static void block(struct talk *t, int b)
{
	int type = get(t, b, "type"), text = get(t, b, "text");
	if (is_one_of(t->j, type, result_types))
		result(t, b, first_of(t, b, (const char *const[]){ "content", "output", NULL }), (const char *const[]){ "name", "tool_use_id", "call_id", NULL });
	else if (is_one_of(t->j, type, call_types))
		call(t, b, first_of(t, b, (const char *const[]){ "input", "arguments", NULL }));
	else if (vcr_json_is(t->j, type, "thinking") || vcr_json_is(t->j, type, "reasoning"))
		thinking(t, b);
	else if (is_one_of(t->j, type, media_types))
		say_medium(t, b);
	else if (vcr_json_type(t->j, text) == VCR_JSON_STRING)
		say_string(t, vcr_json_true(t->j, get(t, b, "thought")) ? VCR_TALK_THINKING : VCR_TALK_TEXT, "", false, text);
	else if (vcr_json_is(t->j, type, "refusal"))
		say_string(t, VCR_TALK_TEXT, "", false, get(t, b, "refusal"));
	else if (!gemini_part(t, b))
		say_json(t, VCR_TALK_OTHER, "", b);
}

static void content(struct talk *t, int v)
{
	if (++t->depth > DEEPEST || vcr_json_type(t->j, v) == VCR_JSON_STRING)
		say_string(t, VCR_TALK_TEXT, "", false, v);
	else if (vcr_json_type(t->j, v) == VCR_JSON_ARRAY)
		for (int m = vcr_json_first(t->j, v); m >= 0; m = vcr_json_next(t->j, m))
			content(t, m);
	else if (get(t, v, "parts") >= 0)
		content(t, get(t, v, "parts"));
	else if (vcr_json_type(t->j, v) == VCR_JSON_OBJECT)
		block(t, v);
	t->depth--;
}

static void tool_calls(struct talk *t, int list)
{
	for (int m = vcr_json_first(t->j, list); m >= 0 && vcr_json_type(t->j, list) == VCR_JSON_ARRAY; m = vcr_json_next(t->j, m)) {
		int f = first_of(t, m, (const char *const[]){ "function", "custom", NULL });
		call(t, f >= 0 ? f : m, first_of(t, f >= 0 ? f : m, (const char *const[]){ "arguments", "input", NULL }));
	}
}

/* {"role","content"/"parts",…}, a responses item, or a bare string. */
static void message(struct talk *t, int m)
{
	VCR_AUTO_BUF role = VCR_BUF_INIT;
	const char *outer = t->role;
	first_string(t, m, &role, (const char *const[]){ "role", NULL });
	if (role.len)
		t->role = role.data;
	int body = first_of(t, m, (const char *const[]){ "content", "parts", NULL });
	if (is(t, m, "role", "tool") || is(t, m, "role", "function"))
		result(t, m, body, (const char *const[]){ "name", "tool_call_id", NULL });
	else if (role.len || is(t, m, "type", "message") || (body >= 0 && get(t, m, "type") < 0)) {
		say_string(t, VCR_TALK_THINKING, "", false, first_of(t, m, (const char *const[]){ "reasoning_content", "reasoning", NULL }));
		content(t, body);
		tool_calls(t, get(t, m, "tool_calls"));
		int f = get(t, m, "function_call");
		if (vcr_json_type(t->j, f) == VCR_JSON_OBJECT)
			call(t, f, get(t, f, "arguments"));
	} else
		content(t, m);
	t->role = outer;
}

/* ---- Requests ---- */

static int list_of(const struct talk *t, int state)
{
	for (size_t i = 0; i < sizeof list_keys / sizeof *list_keys; i++) {
		int v = get(t, state, list_keys[i]);
		if (vcr_json_type(t->j, v) == VCR_JSON_ARRAY || vcr_json_type(t->j, v) == VCR_JSON_STRING)
			return v;
	}
	return -1;
}

int vcr_talk_inner(const struct vcr_json *j, int state)
{
	const struct talk t = { .j = j };
	if (list_of(&t, state) >= 0)
		return state;
	if (vcr_json_type(j, state) == VCR_JSON_OBJECT)
		for (int m = vcr_json_first(j, state); m >= 0; m = vcr_json_next(j, m))
			if (list_of(&t, vcr_json_value(j, m)) >= 0)
				return vcr_json_value(j, m);
	return -1;
}

bool vcr_talk_request(const struct vcr_json *j, int state, vcr_talk_fn *fn, void *ctx)
{
	struct talk t = { .j = j, .fn = fn, .ctx = ctx, .role = "system", .turn = -1 };
	int inner = vcr_talk_inner(j, state), list = list_of(&t, inner);
	if (inner < 0)
		return false;
	for (size_t i = 0; i < sizeof system_keys / sizeof *system_keys; i++)
		content(&t, get(&t, inner, system_keys[i]));
	t.role = "user";
	t.turn = 0;
	if (vcr_json_type(j, list) == VCR_JSON_STRING)
		content(&t, list);
	else
		for (int m = vcr_json_first(j, list); m >= 0; m = vcr_json_next(j, m), t.turn++)
			message(&t, m);
	return true;
}

bool vcr_talk_is_shown(const struct vcr_json *j, int key)
{
	for (size_t i = 0; i < sizeof list_keys / sizeof *list_keys; i++)
		if (vcr_json_is(j, key, list_keys[i]) || vcr_json_is(j, key, system_keys[i]))
			return true;
	return false;
}

/* ---- Answers ---- */

static void embeddings(struct talk *t, int data)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	int first = get(t, vcr_json_first(t->j, data), "embedding"), n = vcr_json_count(t->j, data);
	vcr_buf_printf(&text, "[%d embedding%s", n, n == 1 ? "" : "s");
	if (vcr_json_type(t->j, first) == VCR_JSON_ARRAY)
		vcr_buf_printf(&text, " of %d numbers", vcr_json_count(t->j, first));
	vcr_buf_putc(&text, ']');
	say(t, VCR_TALK_OTHER, "", false, text.data, text.len);
}

/* Each item's member, or (NULL, or where there is none) the item itself. */
static void each_of(struct talk *t, int list, const char *member)
{
	for (int m = vcr_json_first(t->j, list); m >= 0; m = vcr_json_next(t->j, m)) {
		int v = member ? get(t, m, member) : -1;
		message(t, v >= 0 ? v : m);
	}
}

bool vcr_talk_answer(const struct vcr_json *j, int r, vcr_talk_fn *fn, void *ctx)
{
	struct talk t = { .j = j, .fn = fn, .ctx = ctx, .role = "assistant", .turn = -1 };
	int v;
	if (vcr_json_type(j, r) == VCR_JSON_STRING)
		say_string(&t, VCR_TALK_TEXT, "", false, r);
	else if (vcr_json_type(j, v = get(&t, r, "choices")) == VCR_JSON_ARRAY)
		each_of(&t, v, "message");
	else if (vcr_json_type(j, v = get(&t, r, "output")) == VCR_JSON_ARRAY)
		each_of(&t, v, NULL);
	else if (vcr_json_type(j, v = get(&t, r, "candidates")) == VCR_JSON_ARRAY)
		each_of(&t, v, "content");
	else if (vcr_json_type(j, v = get(&t, r, "message")) == VCR_JSON_OBJECT)
		message(&t, v);
	else if (vcr_json_type(j, v = get(&t, r, "data")) == VCR_JSON_ARRAY && get(&t, vcr_json_first(j, v), "embedding") >= 0)
		embeddings(&t, v);
	else if (get(&t, r, "content") >= 0)
		message(&t, r);
	else
		return false;
	return true;
}
