#include "toolcall.h"
#include "limits.h"
#include <string.h>

struct walk {
	const struct vcr_json *j;
	struct vcr_buf at;           /* where we are */
	vcr_tool_call_fn *call;
	vcr_tool_result_fn *result;
	void *ctx;
	unsigned left;
	int stop;
};

static int get(const struct walk *w, int object, const char *key)
{
	return vcr_json_type(w->j, object) == VCR_JSON_OBJECT ? vcr_json_get(w->j, object, key) : -1;
}

static bool is(const struct walk *w, int object, const char *key, const char *value)
{
	return vcr_json_is(w->j, get(w, object, key), value);
}

/* The string at the first of the keys that has one, "" otherwise; false if it is too long or holds a NUL. */
static bool string_of(const struct walk *w, int object, const char *const *keys, struct vcr_buf *out)
{
	for (; *keys && !out->len; keys++)
		vcr_json_str(w->j, get(w, object, *keys), out);
	return out->len <= VCR_MAX_TOOL_NAME && !memchr(out->data, 0, out->len) && !out->err;
}

static const char *first_key(const struct walk *w, int object, const char *const *keys)
{
	for (; *keys; keys++)
		if (get(w, object, *keys) >= 0)
			return *keys;
	return NULL;
}

/* Each item of the array object[key], its place being w->at meanwhile. */
static void each(struct walk *w, int object, const char *key, size_t from, void (*fn)(struct walk *w, int item))
{
	int list = get(w, object, key), m;
	size_t here = w->at.len, i = 0;
	if (vcr_json_type(w->j, list) != VCR_JSON_ARRAY)
		return;
	for (m = vcr_json_first(w->j, list); m >= 0 && !w->stop && w->left; m = vcr_json_next(w->j, m), i++) {
		if (i < from)
			continue;
		vcr_buf_printf(&w->at, "%s%s[%zu]", here ? "." : "", key, i);
		fn(w, m);
		vcr_buf_cut(&w->at, here);
	}
}

/* One step down by a key; the returned length undoes it by vcr_buf_cut. */
static size_t down(struct walk *w, const char *key)
{
	size_t here = w->at.len;
	vcr_buf_printf(&w->at, "%s%s", here ? "." : "", key);
	return here;
}

static const char *const ids[] = { "id", "call_id", "toolUseId", NULL }, *const call_ids[] = { "call_id", "id", NULL };
static const char *const names[] = { "name", "tool_name", NULL };
static const char *const arguments_keys[] = { "arguments", "input", "args", "action", "operation", NULL };

/* ---- Calls ---- */

static void tell_call(struct walk *w, const char *id, const char *name, int object)
{
	const char *key = first_key(w, object, arguments_keys);
	size_t here = key ? down(w, key) : w->at.len;
	const struct vcr_tool_call c = { id, name, key ? get(w, object, key) : -1, w->at.data };
	if (*name) {
		w->left--;
		w->stop = w->at.err ? w->at.err : w->call(w->ctx, &c);
	}
	vcr_buf_cut(&w->at, here);
}

/* The object's own name and arguments; the id is the holder's, or its own. */
static void call_object(struct walk *w, int holder, int object)
{
	VCR_AUTO_BUF id = VCR_BUF_INIT, name = VCR_BUF_INIT;
	if (string_of(w, holder, ids, &id) && string_of(w, object, names, &name))
		tell_call(w, id.data, name.data, object);
}

static void chat_call(struct walk *w, int item)
{
	const char *key = first_key(w, item, (const char *const[]){ "function", "custom", NULL });
	size_t here = key ? down(w, key) : w->at.len;
	call_object(w, item, key ? get(w, item, key) : item);
	vcr_buf_cut(&w->at, here);
}

static void message_calls(struct walk *w, int message)
{
	each(w, message, "tool_calls", 0, chat_call);
	int legacy = get(w, message, "function_call");
	if (vcr_json_type(w->j, legacy) == VCR_JSON_OBJECT && w->left && !w->stop) {
		size_t here = down(w, "function_call");
		call_object(w, legacy, legacy);
		vcr_buf_cut(&w->at, here);
	}
}

static void choice_calls(struct walk *w, int choice)
{
	size_t here = down(w, "message");
	message_calls(w, get(w, choice, "message"));
	vcr_buf_cut(&w->at, here);
}

static bool ends_with(const struct vcr_buf *b, const char *end)
{
	size_t n = strlen(end);
	return b->len > n && !memcmp(b->data + b->len - n, end, n);
}

/* An item of the responses API: with a call_id it is a call that the client runs, named by itself or by its type. */
static void output_call(struct walk *w, int item)
{
	VCR_AUTO_BUF type = VCR_BUF_INIT, id = VCR_BUF_INIT, name = VCR_BUF_INIT;
	vcr_json_str(w->j, get(w, item, "type"), &type);
	bool shell = vcr_json_is(w->j, get(w, item, "type"), "local_shell_call");
	if (!ends_with(&type, "_call") || (!shell && get(w, item, "call_id") < 0) || !string_of(w, item, call_ids, &id) || !string_of(w, item, names, &name))
		return;
	if (!name.len)
		vcr_buf_add(&name, type.data, type.len - strlen("_call"));
	tell_call(w, id.data, name.data, item);
}

static void content_call(struct walk *w, int block)
{
	if (is(w, block, "type", "tool_use")) {
		call_object(w, block, block);
	} else if (get(w, block, "toolUse") >= 0) {
		size_t here = down(w, "toolUse");
		call_object(w, get(w, block, "toolUse"), get(w, block, "toolUse"));
		vcr_buf_cut(&w->at, here);
	}
}

static void part_call(struct walk *w, int part)
{
	const char *key = first_key(w, part, (const char *const[]){ "functionCall", "function_call", NULL });
	if (!key)
		return;
	size_t here = down(w, key);
	call_object(w, get(w, part, key), get(w, part, key));
	vcr_buf_cut(&w->at, here);
}

static void candidate_calls(struct walk *w, int candidate)
{
	size_t here = down(w, "content");
	each(w, get(w, candidate, "content"), "parts", 0, part_call);
	vcr_buf_cut(&w->at, here);
}

int vcr_tool_calls(const struct vcr_json *j, int response, vcr_tool_call_fn *fn, void *ctx)
{
	struct walk w = { .j = j, .at = VCR_BUF_INIT, .call = fn, .ctx = ctx, .left = VCR_MAX_TOOL_CALLS };
	int wrapped = get(&w, response, "response"); /* Google's Code Assist */
	if (vcr_json_type(j, wrapped) == VCR_JSON_OBJECT) {
		size_t here = down(&w, "response");
		each(&w, wrapped, "candidates", 0, candidate_calls);
		vcr_buf_cut(&w.at, here);
	}
	int message = get(&w, response, "message"), converse = get(&w, get(&w, response, "output"), "message");
	each(&w, response, "choices", 0, choice_calls);
	each(&w, response, "output", 0, output_call);
	each(&w, response, "content", 0, content_call);
	each(&w, response, "candidates", 0, candidate_calls);
	if (vcr_json_type(j, message) == VCR_JSON_OBJECT) {
		down(&w, "message");
		message_calls(&w, message);
		vcr_buf_reset(&w.at);
	}
	if (vcr_json_type(j, converse) == VCR_JSON_OBJECT) {
		down(&w, "output.message");
		each(&w, converse, "content", 0, content_call);
	}
	vcr_buf_release(&w.at);
	return w.stop;
}

/* ---- Results ---- */

static void tell_result(struct walk *w, int object, const char *const *id_keys, const char *value_key, bool failed)
{
	VCR_AUTO_BUF id = VCR_BUF_INIT, name = VCR_BUF_INIT;
	if (!string_of(w, object, id_keys, &id) || !string_of(w, object, names, &name))
		return;
	size_t here = down(w, value_key);
	const struct vcr_tool_result r = { id.data, name.data, get(w, object, value_key), failed, w->at.data };
	w->left--;
	w->stop = w->at.err ? w->at.err : w->result(w->ctx, &r);
	vcr_buf_cut(&w->at, here);
}

static void block_result(struct walk *w, int block)
{
	int bedrock = get(w, block, "toolResult");
	if (is(w, block, "type", "tool_result")) {
		tell_result(w, block, (const char *const[]){ "tool_use_id", NULL }, "content", vcr_json_true(w->j, get(w, block, "is_error")));
	} else if (bedrock >= 0) {
		size_t here = down(w, "toolResult");
		tell_result(w, bedrock, ids, "content", is(w, bedrock, "status", "error"));
		vcr_buf_cut(&w->at, here);
	}
}

static void part_result(struct walk *w, int part)
{
	const char *key = first_key(w, part, (const char *const[]){ "functionResponse", "function_response", NULL });
	int object = key ? get(w, part, key) : -1;
	if (!key)
		return;
	size_t here = down(w, key);
	tell_result(w, object, (const char *const[]){ "id", NULL }, "response", get(w, get(w, object, "response"), "error") >= 0);
	vcr_buf_cut(&w->at, here);
}

static void item_result(struct walk *w, int item)
{
	VCR_AUTO_BUF type = VCR_BUF_INIT;
	vcr_json_str(w->j, get(w, item, "type"), &type);
	if (is(w, item, "role", "tool") || is(w, item, "role", "function"))
		tell_result(w, item, (const char *const[]){ "tool_call_id", NULL }, "content", false);
	else if (ends_with(&type, "_call_output"))
		tell_result(w, item, call_ids, "output", false);
	else {
		each(w, item, "content", 0, block_result);
		each(w, item, "parts", 0, part_result);
	}
}

/* What a client says over a WebSocket: an item each, or a request with a list of its own. */
static void event_result(struct walk *w, int event)
{
	int item = get(w, event, "item");
	if (item >= 0) {
		size_t here = down(w, "item");
		item_result(w, item);
		vcr_buf_cut(&w->at, here);
	}
	each(w, event, "input", 0, item_result);
}

int vcr_tool_results(const struct vcr_json *j, const char *list_key, size_t from, vcr_tool_result_fn *fn, void *ctx)
{
	struct walk w = { .j = j, .at = VCR_BUF_INIT, .result = fn, .ctx = ctx, .left = VCR_MAX_TOOL_CALLS };
	int root = list_key && get(&w, 0, list_key) < 0 ? get(&w, 0, "request") : 0; /* Google's Code Assist wraps it */
	if (root > 0)
		down(&w, "request");
	if (list_key)
		each(&w, root, list_key, from, item_result);
	else if (get(&w, 0, "events") >= 0)
		each(&w, 0, "events", 0, event_result);
	else
		event_result(&w, 0);
	vcr_buf_release(&w.at);
	return w.stop;
}
