#include "pair.h"
#include "pair-cut.h"
#include "provider.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>

/* ---- What is in an answer, what is in a request ---- */

static struct vcr_buf seen;

static void seen_value(const struct vcr_json *j, int v)
{
	size_t n;
	const char *raw = vcr_json_raw(j, v, &n);
	vcr_buf_add(&seen, raw, n);
}

static int on_call(void *ctx, const struct vcr_tool_call *c)
{
	vcr_buf_printf(&seen, "%s %s at %s = ", c->id, c->name, c->at);
	seen_value(ctx, c->arguments);
	ck_assert_int_eq(vcr_json_path(ctx, 0, c->at), c->arguments >= 0 ? c->arguments : vcr_json_path(ctx, 0, c->at));
	return vcr_buf_putc(&seen, '\n');
}

static int on_result(void *ctx, const struct vcr_tool_result *r)
{
	vcr_buf_printf(&seen, "%s %s%s at %s = ", r->id, r->name, r->failed ? "!" : "", r->at);
	seen_value(ctx, r->value);
	ck_assert_int_eq(vcr_json_path(ctx, 0, r->at), r->value);
	return vcr_buf_putc(&seen, '\n');
}

static void calls_are(const char *answer, const char *want)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	vcr_buf_init(&seen, 0);
	ck_assert_int_eq(vcr_json_parse(&j, answer, strlen(answer), 0, NULL), 0);
	ck_assert_int_eq(vcr_tool_calls(&j, 0, on_call, &j), 0);
	ck_assert_str_eq(seen.data, want);
	vcr_buf_release(&seen);
}

static void results_are(const char *key, const char *request, size_t from, const char *want)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	vcr_buf_init(&seen, 0);
	ck_assert_int_eq(vcr_json_parse(&j, request, strlen(request), 0, NULL), 0);
	ck_assert_int_eq(vcr_tool_results(&j, key, from, on_result, &j), 0);
	ck_assert_str_eq(seen.data, want);
	vcr_buf_release(&seen);
}

START_TEST(calls_of_openai_chat_are_found_function_custom_and_legacy)
{
	calls_are("{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call_a\",\"type\":\"function\",\"function\":{\"name\":\"bash\",\"arguments\":"
		"\"{\\\"c\\\":1}\"}},{\"id\":\"call_b\",\"type\":\"custom\",\"custom\":{\"name\":\"patch\",\"input\":\"*** Begin\"}}]}}]}",
		"call_a bash at choices[0].message.tool_calls[0].function.arguments = \"{\\\"c\\\":1}\"\n"
		"call_b patch at choices[0].message.tool_calls[1].custom.input = \"*** Begin\"\n");
	calls_are("{\"choices\":[{\"message\":{\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}}}]}", " f at choices[0].message.function_call.arguments = \"{}\"\n");
	results_are("messages", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"tool\",\"tool_call_id\":\"call_a\",\"content\":\"ok\"},"
		"{\"role\":\"function\",\"name\":\"f\",\"content\":\"7\"}]}", 0, "call_a  at messages[1].content = \"ok\"\n f at messages[2].content = \"7\"\n");
}
END_TEST

START_TEST(calls_of_openai_responses_are_found_whatever_their_type)
{
	calls_are("{\"output\":[{\"type\":\"reasoning\",\"id\":\"rs_1\"},{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"call_a\",\"name\":\"bash\",\"arguments\":\"{}\"},"
		"{\"type\":\"custom_tool_call\",\"call_id\":\"call_b\",\"name\":\"apply_patch\",\"input\":\"*** x\"},"
		"{\"type\":\"local_shell_call\",\"id\":\"lsh_1\",\"call_id\":\"call_c\",\"action\":{\"type\":\"exec\",\"command\":[\"ls\"]}},"
		"{\"type\":\"web_search_call\",\"id\":\"ws_1\",\"action\":{\"query\":\"q\"}},{\"type\":\"computer_call\",\"call_id\":\"call_d\",\"action\":{\"type\":\"click\"}}]}",
		"call_a bash at output[1].arguments = \"{}\"\ncall_b apply_patch at output[2].input = \"*** x\"\n"
		"call_c local_shell at output[3].action = {\"type\":\"exec\",\"command\":[\"ls\"]}\ncall_d computer at output[5].action = {\"type\":\"click\"}\n");
	results_are("input", "{\"input\":[{\"type\":\"function_call_output\",\"call_id\":\"call_a\",\"output\":\"1\"},{\"type\":\"custom_tool_call_output\",\"call_id\":\"call_b\",\"output\":\"2\"},"
		"{\"type\":\"local_shell_call_output\",\"id\":\"lsh_1\",\"output\":\"3\"}]}", 1, "call_b  at input[1].output = \"2\"\nlsh_1  at input[2].output = \"3\"\n");
	results_are(NULL, "{\"events\":[{\"type\":\"conversation.item.create\",\"item\":{\"type\":\"function_call_output\",\"call_id\":\"call_a\",\"output\":\"1\"}},{\"type\":\"response.create\"}]}",
		0, "call_a  at events[0].item.output = \"1\"\n");
}
END_TEST

START_TEST(calls_of_anthropic_and_bedrock_are_found_and_failures_told)
{
	calls_are("{\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"Write\",\"input\":{\"p\":1}},"
		"{\"type\":\"server_tool_use\",\"id\":\"srvtoolu_1\",\"name\":\"web_search\",\"input\":{}}]}", "toolu_1 Write at content[1].input = {\"p\":1}\n");
	results_are("messages", "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_1\",\"is_error\":true,"
		"\"content\":[{\"type\":\"text\",\"text\":\"no\"}]},{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_2\"}]}]}", 0,
		"toolu_1 ! at messages[1].content[0].content = [{\"type\":\"text\",\"text\":\"no\"}]\ntoolu_2  at messages[1].content[1].content = \n");
	calls_are("{\"output\":{\"message\":{\"content\":[{\"toolUse\":{\"toolUseId\":\"t1\",\"name\":\"n\",\"input\":{}}}]}}}", "t1 n at output.message.content[0].toolUse.input = {}\n");
	results_are("messages", "{\"messages\":[{\"content\":[{\"toolResult\":{\"toolUseId\":\"t1\",\"status\":\"error\",\"content\":[]}}]}]}", 0,
		"t1 ! at messages[0].content[0].toolResult.content = []\n");
}
END_TEST

START_TEST(calls_of_gemini_are_found_with_and_without_ids)
{
	calls_are("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"},{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\":1}}},{\"functionCall\":{\"id\":\"i\",\"name\":\"g\"}}]}}]}",
		" f at candidates[0].content.parts[1].functionCall.args = {\"a\":1}\ni g at candidates[0].content.parts[2].functionCall = \n");
	results_are("contents", "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"response\":{\"output\":\"1\"}}},"
		"{\"functionResponse\":{\"id\":\"i\",\"name\":\"g\",\"response\":{\"error\":\"bad\"}}}]}]}", 0,
		" f at contents[0].parts[0].functionResponse.response = {\"output\":\"1\"}\ni g! at contents[0].parts[1].functionResponse.response = {\"error\":\"bad\"}\n");
	calls_are("{\"response\":{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":{}}}]}}]}}",
		" f at response.candidates[0].content.parts[0].functionCall.args = {}\n");
	results_are("contents", "{\"model\":\"m\",\"request\":{\"contents\":[{\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"response\":{}}}]}]}}", 0,
		" f at request.contents[0].parts[0].functionResponse.response = {}\n");
	calls_are("{\"message\":{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]}}", " f at message.tool_calls[0].function.arguments = {\"a\":1}\n");
	results_are("messages", "{\"messages\":[{\"role\":\"tool\",\"tool_name\":\"f\",\"content\":\"1\"}]}", 0, " f at messages[0].content = \"1\"\n");
}
END_TEST

START_TEST(what_is_no_call_is_none)
{
	calls_are("[]", "");
	calls_are("{\"choices\":{\"message\":1},\"content\":\"x\",\"output\":[1,null,{\"type\":\"_call\"}],\"candidates\":[{\"content\":[]}],\"message\":[]}", "");
	calls_are("{\"content\":[{\"type\":\"tool_use\",\"id\":5,\"name\":\"\",\"input\":{}}]}", "");
	results_are("messages", "{\"messages\":[1,null,[],{\"role\":\"tool\"}]}", 0, "  at messages[3].content = \n");
}
END_TEST

/* ---- Pairing ---- */

static struct vcr_pair *pair;

static void on_told(void *ctx, const struct vcr_pair_call *c, const struct vcr_json *j, const struct vcr_tool_result *r, uint64_t until_ns)
{
	vcr_buf_printf(ctx, "%s/%s%s%d ", c->asked_by, c->name, r ? r->failed ? "!" : "=" : "?", (int)(until_ns - c->asked_ns));
	seen_value(j ? j : &(struct vcr_json)VCR_JSON_INIT, r ? r->value : -1);
	vcr_buf_putc(ctx, '\n');
}

static void begin(void)
{
	vcr_buf_init(&seen, 0);
	pair = vcr_pair_new(on_told, &seen);
}

static void end(void)
{
	vcr_pair_free(pair);
	vcr_buf_release(&seen);
}

static void asked(const char *frame, int pid, uint64_t at, const char *content)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	vcr_buf_printf(&text, "{\"content\":[%s]}", content);
	ck_assert_int_eq(vcr_json_parse(&j, text.data, text.len, 0, NULL), 0);
	ck_assert_int_eq(vcr_pair_asked(pair, frame, pid, at, &j, 0), 0);
}

static void answered(const char *parent, size_t known, int pid, uint64_t at, const char *messages)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	vcr_buf_printf(&text, "{\"messages\":[%s]}", messages);
	ck_assert_int_eq(vcr_json_parse(&j, text.data, text.len, 0, NULL), 0);
	ck_assert_int_eq(vcr_pair_answered(pair, parent, known, pid, at, &j, "messages"), 0);
}

static void told(const char *want)
{
	ck_assert_str_eq(seen.data, want);
	vcr_buf_reset(&seen);
}

#define USE(id, name, input) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" name "\",\"input\":" input "}"
#define RESULT(id, text) "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"" text "\"}"

START_TEST(a_result_is_told_once_with_its_call)
{
	asked("f1", 1, 100, USE("toolu_000000000001", "bash", "{\"command\":\"ls\"}") "," USE("toolu_000000000002", "read", "{}"));
	answered("f1", 1, 1, 150, "1," RESULT("toolu_000000000002", "b") "," RESULT("toolu_000000000001", "a"));
	told("f1/read=50 \"b\"\nf1/bash=50 \"a\"\n");
	answered("f1", 1, 1, 160, "1," RESULT("toolu_000000000002", "b") "," RESULT("toolu_000000000001", "a"));
	told("");
	vcr_pair_end(pair, 200);
	told("");
}
END_TEST

START_TEST(a_call_without_a_result_is_told_at_the_end)
{
	asked("f1", 1, 100, USE("toolu_000000000001", "bash", "{}"));
	answered("f1", 1, 1, 150, "1,2");
	vcr_pair_end(pair, 300);
	told("f1/bash?200 \n");
}
END_TEST

START_TEST(equal_ids_of_two_conversations_are_told_apart)
{
	asked("f1", 1, 100, USE("call_0", "one", "{}"));
	asked("f2", 1, 100, USE("call_0", "two", "{}"));
	answered("f2", 0, 1, 150, RESULT("call_0", "b"));
	told("f2/two=50 \"b\"\n");
	answered("f1", 0, 1, 150, RESULT("call_0", "a"));
	told("f1/one=50 \"a\"\n");
}
END_TEST

START_TEST(the_same_id_again_is_not_mixed_up_with_an_old_result)
{
	asked("f1", 1, 100, USE("call_0", "one", "{}"));
	answered("f1", 1, 1, 110, "1," RESULT("call_0", "a"));
	asked("f2", 1, 120, USE("call_0", "two", "{}"));
	answered("f2", 3, 1, 130, "1," RESULT("call_0", "a") ",2," RESULT("call_0", "b"));
	told("f1/one=10 \"a\"\nf2/two=10 \"b\"\n");
}
END_TEST

START_TEST(results_without_ids_go_by_name_and_order)
{
	asked("f1", 1, 100, USE("", "f", "{\"n\":1}") "," USE("", "g", "{}") "," USE("", "f", "{\"n\":2}"));
	answered("f1", 0, 1, 110, "{\"role\":\"tool\",\"name\":\"f\",\"content\":1},{\"role\":\"tool\",\"name\":\"g\",\"content\":2},{\"role\":\"tool\",\"name\":\"f\",\"content\":3}");
	told("f1/f=10 1\nf1/g=10 2\nf1/f=10 3\n");
	asked("f2", 1, 100, USE("", "f", "{}"));
	answered("", 0, 1, 110, "{\"role\":\"tool\",\"name\":\"f\",\"content\":1}"); /* of a conversation that nobody knows */
	told("");
}
END_TEST

START_TEST(where_the_conversation_is_not_known_only_a_real_id_says_which)
{
	asked("f1", 1, 100, USE("toolu_000000000001", "bash", "{}"));
	asked("f2", 1, 100, USE("call_0", "weak", "{}"));
	asked("f3", 2, 100, USE("toolu_000000000009", "twin", "{}"));
	asked("f4", 3, 100, USE("toolu_000000000009", "twin", "{}"));
	answered("", 0, 1, 110, RESULT("toolu_000000000001", "a") "," RESULT("call_0", "x"));
	told("f1/bash=10 \"a\"\n");
	answered("", 0, 1, 120, RESULT("toolu_000000000009", "x"));
	told("");
	answered("", 0, 3, 120, RESULT("toolu_000000000009", "x"));
	told("f4/twin=20 \"x\"\n");
}
END_TEST

START_TEST(the_oldest_call_gives_way_and_is_told)
{
	for (int i = 0; i < VCR_PAIR_CALLS + 1; i++) {
		char call[200], id[40];
		snprintf(id, sizeof id, "toolu_%012d", i);
		snprintf(call, sizeof call, "{\"type\":\"tool_use\",\"id\":\"%s\",\"name\":\"n%d\",\"input\":{}}", id, i);
		asked("f", 1, 100, call);
	}
	told("f/n0?0 \n");
	answered("f", 0, 1, 110, RESULT("toolu_000000001024", "new") "," RESULT("toolu_000000000000", "old"));
	told("f/n1024=10 \"new\"\n");
}
END_TEST

/* ---- Whose work ---- */

static void work_is(int pid, uint64_t at, const char *path, const char *word, enum vcr_pair_how how, const char *frame, const char *id)
{
	struct vcr_pair_cause c = { "", NULL };
	char *argv[] = { "/bin/sh", "-c", (char *)word };
	char full[300];
	snprintf(full, sizeof full, "/w/%s", path ? path : "");
	ck_assert_int_eq(vcr_pair_at_work(pair, pid, at, path ? (const char *const[]){ path, full, NULL } : NULL, word ? 3 : 0, argv, &c), how);
	if (how != VCR_PAIR_NOT && how != VCR_PAIR_UNCLEAR)
		ck_assert_str_eq(c.asked_by, frame);
	if (how != VCR_PAIR_NOT && how != VCR_PAIR_UNCLEAR)
		ck_assert_str_eq(c.tool_call ? c.tool_call : "-", id);
}

START_TEST(the_one_call_that_is_pending_in_the_process_is_at_work)
{
	asked("f1", 1, 100, USE("a", "x", "{}"));
	work_is(1, 99, "p", NULL, VCR_PAIR_NOT, NULL, NULL);
	work_is(1, 100, "p", NULL, VCR_PAIR_ALONE, "f1", "a");
	work_is(2, 100, "p", NULL, VCR_PAIR_NOT, NULL, NULL);
	answered("f1", 0, 1, 150, RESULT("a", ""));
	work_is(1, 150, "p", NULL, VCR_PAIR_ALONE, "f1", "a");
	work_is(1, 151, "p", NULL, VCR_PAIR_NOT, NULL, NULL);
}
END_TEST

START_TEST(of_several_only_an_argument_says_which)
{
	asked("f1", 1, 100, USE("a", "write", "{\"path\":\"src/a.c\",\"text\":\"see doc/b.txt.\"}") "," USE("b", "bash", "{\"command\":\"echo 1 > /w/out.txt\",\"argv\":[\"x\"]}"));
	work_is(1, 100, "src/a.c", NULL, VCR_PAIR_ARGUMENT, "f1", "a");
	work_is(1, 100, "out.txt", NULL, VCR_PAIR_ARGUMENT, "f1", "b");
	work_is(1, 100, "a.c", NULL, VCR_PAIR_FRAME, "f1", "-");
	work_is(1, 100, "src/a", NULL, VCR_PAIR_FRAME, "f1", "-");
	work_is(1, 100, "doc/b.txt", NULL, VCR_PAIR_FRAME, "f1", "-"); /* a text that speaks of a file does not write it */
	work_is(1, 100, NULL, "echo 1 > /w/out.txt", VCR_PAIR_ARGUMENT, "f1", "b");
	work_is(1, 100, NULL, "echo 1", VCR_PAIR_FRAME, "f1", "-");
	work_is(0, 100, "src/a.c", NULL, VCR_PAIR_ARGUMENT, "f1", "a");
	work_is(0, 100, "other", NULL, VCR_PAIR_NOT, NULL, NULL);
	asked("f2", 1, 100, USE("c", "bash", "{\"command\":\"ls\"}"));
	work_is(1, 100, "other", NULL, VCR_PAIR_UNCLEAR, NULL, NULL);
}
END_TEST

START_TEST(nothing_is_at_work_for_a_dead_process)
{
	asked("f1", 1, 100, USE("a", "x", "{}"));
	vcr_pair_gone(pair, 1, 120);
	work_is(1, 130, "p", NULL, VCR_PAIR_NOT, NULL, NULL);
	answered("f1", 0, 2, 150, RESULT("a", "later")); /* its conversation goes on */
	told("f1/x=50 \"later\"\n");
}
END_TEST

START_TEST(a_prompt_that_is_an_argument_names_the_call)
{
	struct vcr_pair_cause c;
	asked("f1", 1, 100, USE("a", "task", "{\"prompt\":\"Look for the word in all files.\\n\",\"short\":\"go\"}") "," USE("b", "task", "{\"p\":{\"q\":[\"Look at the other files.\"]}}"));
	asked("f2", 1, 100, USE("c", "task", "{\"prompt\":\"The same words for two.\"}") "," USE("d", "task", "{\"prompt\":\"The same words for two.\"}"));
	ck_assert_int_eq(vcr_pair_prompted(pair, 110, " Look for the word in all files.", 32, &c), VCR_PAIR_ALONE);
	ck_assert_str_eq(c.tool_call, "a");
	ck_assert_int_eq(vcr_pair_prompted(pair, 110, "Look at the other files.", 24, &c), VCR_PAIR_ALONE);
	ck_assert_str_eq(c.tool_call, "b");
	ck_assert_int_eq(vcr_pair_prompted(pair, 110, "Look for the word in all file", 29, &c), VCR_PAIR_NOT);
	ck_assert_int_eq(vcr_pair_prompted(pair, 110, "go", 2, &c), VCR_PAIR_NOT);
	ck_assert_int_eq(vcr_pair_prompted(pair, 110, "The same words for two.", 23, &c), VCR_PAIR_FRAME);
	ck_assert_str_eq(c.asked_by, "f2");
	ck_assert_ptr_null(c.tool_call);
	ck_assert_int_eq(vcr_pair_prompted(pair, 90, "Look at the other files.", 24, &c), VCR_PAIR_NOT);
}
END_TEST

START_TEST(what_a_server_was_asked_is_known_again_by_name_and_arguments)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_pair_cause c;
	const char *text = "{\"b\":2,\"a\":1}";
	ck_assert_int_eq(vcr_json_parse(&j, text, strlen(text), 0, NULL), 0);
	asked("f1", 1, 100, USE("x", "mcp__sums__add", "{\"a\":1,\"b\":2}") "," USE("y", "readd", "{\"a\":1,\"b\":2}") "," USE("z", "add", "{\"a\":1}"));
	ck_assert(vcr_pair_is_mcp(pair, 110, "add", &j, 0, "m1", &c));
	ck_assert_str_eq(c.tool_call, "x");
	ck_assert(!vcr_pair_is_mcp(pair, 110, "add", &j, 0, "m2", &c)); /* linked already */
	ck_assert(!vcr_pair_is_mcp(pair, 110, "ad", &j, 0, "m3", &c));
	asked("f2", 1, 200, USE("w", "add", "{\"a\":1,\"b\":2}"));
	answered("f2", 0, 1, 220, RESULT("w", ""));
	ck_assert(vcr_pair_is_mcp(pair, 210, "add", &j, 0, "m4", &c)); /* the server's word came late */
	ck_assert_str_eq(c.tool_call, "w");
}
END_TEST

/* ---- States ---- */

static void input_is(const char *answer, int at_member, const char *want)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_json_parse(&j, answer, strlen(answer), 0, NULL), 0);
	ck_assert_int_eq(vcr_pair_arguments(&out, &j, at_member), 0);
	ck_assert_str_eq(out.data, want);
}

START_TEST(arguments_are_an_object_whatever_they_were)
{
	input_is("{\"a\":1}", 0, "{\"a\":1}");
	input_is("\"{\\\"a\\\": 1}\"", 0, "{\"a\":1}");
	input_is("\"*** Begin Patch\"", 0, "{\"input\":\"*** Begin Patch\"}");
	input_is("\"[1,2]\"", 0, "{\"input\":[1,2]}");
	input_is("[1]", 0, "{\"input\":[1]}");
	input_is("\"\"", 0, "{}");
	input_is("1", -1, "{}");
}
END_TEST

START_TEST(a_long_state_shows_its_beginning_and_where_the_whole_is)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT, in = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	vcr_buf_puts(&in, "{\"path\":\"a\",\"_vcr\":1,\"text\":\"");
	for (int i = 0; i < 500; i++)
		vcr_buf_puts(&in, "\xc3\xa9");
	vcr_buf_puts(&in, "\"}");
	ck_assert_int_eq(vcr_pair_cut_input(&out, in.data, in.len, "f1", "output_state.x"), 0);
	ck_assert_int_eq(vcr_json_parse(&j, out.data, out.len, 0, NULL), 0);
	ck_assert(vcr_json_is(&j, vcr_json_get(&j, 0, "path"), "a"));
	ck_assert(vcr_json_is(&j, vcr_json_path(&j, 0, "_vcr.whole.frame"), "f1"));
	ck_assert(vcr_json_is(&j, vcr_json_path(&j, 0, "_vcr.whole.at"), "output_state.x"));
	ck_assert_uint_lt(out.len, 900);
	vcr_buf_reset(&out);
	vcr_json_release(&j);
	ck_assert_int_eq(vcr_json_parse(&j, in.data, in.len, 0, NULL), 0);
	ck_assert_int_eq(vcr_pair_cut_output(&out, &j, vcr_json_get(&j, 0, "text"), "result", "f2", "input_state.y"), 0);
	ck_assert_ptr_nonnull(strstr(out.data, "\\u2026\",\"_vcr\":{\"whole\":{\"frame\":\"f2\",\"at\":\"input_state.y\",\"member\":\"result\"}}}"));
	vcr_buf_reset(&out);
	ck_assert_int_eq(vcr_pair_cut_output(&out, &j, vcr_json_get(&j, 0, "path"), "result", "f2", "input_state.y"), 0);
	ck_assert_str_eq(out.data, "{\"result\":\"a\"}");
}
END_TEST

static TCase *shapes(void)
{
	TCase *tc = tcase_create("shapes");
	tcase_add_test(tc, calls_of_openai_chat_are_found_function_custom_and_legacy);
	tcase_add_test(tc, calls_of_openai_responses_are_found_whatever_their_type);
	tcase_add_test(tc, calls_of_anthropic_and_bedrock_are_found_and_failures_told);
	tcase_add_test(tc, calls_of_gemini_are_found_with_and_without_ids);
	tcase_add_test(tc, what_is_no_call_is_none);
	tcase_add_test(tc, arguments_are_an_object_whatever_they_were);
	tcase_add_test(tc, a_long_state_shows_its_beginning_and_where_the_whole_is);
	return tc;
}

static TCase *pairs(void)
{
	TCase *tc = tcase_create("pairs");
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, a_result_is_told_once_with_its_call);
	tcase_add_test(tc, a_call_without_a_result_is_told_at_the_end);
	tcase_add_test(tc, equal_ids_of_two_conversations_are_told_apart);
	tcase_add_test(tc, the_same_id_again_is_not_mixed_up_with_an_old_result);
	tcase_add_test(tc, results_without_ids_go_by_name_and_order);
	tcase_add_test(tc, where_the_conversation_is_not_known_only_a_real_id_says_which);
	tcase_add_test(tc, the_oldest_call_gives_way_and_is_told);
	tcase_add_test(tc, the_one_call_that_is_pending_in_the_process_is_at_work);
	tcase_add_test(tc, of_several_only_an_argument_says_which);
	tcase_add_test(tc, nothing_is_at_work_for_a_dead_process);
	tcase_add_test(tc, a_prompt_that_is_an_argument_names_the_call);
	tcase_add_test(tc, what_a_server_was_asked_is_known_again_by_name_and_arguments);
	return tc;
}

TAP_MAIN("pair", shapes, pairs)
