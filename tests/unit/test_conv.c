#include "conv.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>

static struct vcr_conv *conv;
static struct vcr_conv_place place;
static struct vcr_buf input;

static void begin(void)
{
	conv = vcr_conv_new();
	vcr_buf_init(&input, 0);
}

static void end(void)
{
	vcr_conv_free(conv);
	vcr_buf_release(&input);
}

static void call_of(enum vcr_api api, const char *id, const char *request, const char *answer)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT, aj = VCR_JSON_INIT;
	struct vcr_request_info info;
	if (answer)
		ck_assert_int_eq(vcr_json_parse(&aj, answer, strlen(answer), 0, NULL), 0);
	ck_assert_int_eq(vcr_json_parse(&j, request, strlen(request), 0, NULL), 0);
	vcr_request_info(api, "/v1/x", &j, &info);
	vcr_buf_reset(&input);
	ck_assert_int_eq(vcr_conv_place(conv, &j, &info, answer ? &aj : NULL, id, &place, &input), 0);
	vcr_request_info_release(&info);
}

static void chat(const char *id, const char *messages, const char *answer)
{
	char request[2000];
	snprintf(request, sizeof request, "{\"model\":\"m\",\"messages\":[%s],\"tools\":[{\"a\":1}]}", messages);
	call_of(VCR_API_OPENAI_CHAT, id, request, answer);
}

#define SYS "{\"role\":\"system\",\"content\":\"be good\"}"
#define USER "{\"role\":\"user\",\"content\":\"list the files\"}"
#define CALL(id) "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"call_" id "\"}]}"
#define RESULT(id) "{\"role\":\"tool\",\"tool_call_id\":\"call_" id "\",\"content\":\"a b\"}"
#define ANSWER(id) "{\"id\":\"chatcmpl-" id "\",\"choices\":[{\"message\":" CALL(id) "}]}"

START_TEST(a_call_that_goes_on_names_what_it_continues_and_shows_what_is_new)
{
	chat("f1", SYS "," USER, ANSWER("one11111"));
	ck_assert_str_eq(place.parent, "");
	ck_assert_str_eq(place.lane, "c1");
	ck_assert_str_eq(input.data, "{\"model\":\"m\",\"messages\":[" SYS "," USER "],\"tools\":[{\"a\":1}]}");
	chat("f2", SYS "," USER "," CALL("one11111") "," RESULT("one11111"), NULL);
	ck_assert_str_eq(place.parent, "f1");
	ck_assert_str_eq(place.lane, "c1");
	ck_assert_str_eq(input.data, "{\"model\":\"m\",\"messages\":[" CALL("one11111") "," RESULT("one11111") "],"
		"\"_vcr\":{\"after\":\"f1\",\"omitted\":{\"messages\":2,\"tools\":true}}}");
}
END_TEST

START_TEST(functions_go_by_their_own_name)
{
	static const char one[] = "{\"model\":\"m\",\"messages\":[" USER "],\"functions\":[{\"name\":\"f\"}]}";
	static const char two[] = "{\"model\":\"m\",\"messages\":[" USER "," USER "],\"functions\":[{\"name\":\"f\"}]}";
	call_of(VCR_API_OPENAI_CHAT, "f1", one, NULL);
	call_of(VCR_API_OPENAI_CHAT, "f2", two, NULL);
	ck_assert_ptr_nonnull(strstr(input.data, "\"omitted\":{\"messages\":1,\"functions\":true}"));
}
END_TEST

#define LONG "an answer that is long enough to be worth a reference instead of being written twice"
START_TEST(an_answer_that_the_next_request_repeats_is_referred_to)
{
	chat("f1", USER, "{\"choices\":[{\"message\":{\"content\":\"" LONG "\",\"refusal\":null}}]}");
	chat("f2", USER ",{\"role\":\"assistant\",\"content\":\"" LONG "\"},{\"role\":\"user\",\"content\":\"go on\"}", NULL);
	ck_assert_str_eq(input.data, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"go on\"}],"
		"\"_vcr\":{\"after\":\"f1\",\"omitted\":{\"messages\":2,\"tools\":true},\"answer\":[[0,{\"role\":\"assistant\"},\"content\"]]}}");
	chat("f3", USER ",{\"role\":\"assistant\",\"content\":\"" LONG "!\"}", NULL); /* not what was said */
	ck_assert_ptr_null(strstr(input.data, "answer\":["));
	ck_assert_ptr_nonnull(strstr(input.data, LONG "!"));
}
END_TEST

START_TEST(a_member_of_our_name_in_the_request_is_kept_apart_from_ours)
{
	call_of(VCR_API_OPENAI_CHAT, "f1", "{\"_vcr\":{\"after\":\"f9\"},\"messages\":[" USER "]}", NULL);
	ck_assert_str_eq(input.data, "{\"messages\":[" USER "],\"_vcr\":{\"is\":{\"after\":\"f9\"}}}");
	ck_assert_str_eq(place.after, "");
	call_of(VCR_API_OPENAI_CHAT, "f2", "{\"_vcr\":7,\"messages\":[" USER "," USER "]}", NULL);
	ck_assert_str_eq(input.data, "{\"messages\":[" USER "],\"_vcr\":{\"after\":\"f1\",\"omitted\":{\"messages\":1},\"is\":7}}");
}
END_TEST

START_TEST(branches_get_lanes_of_their_own_and_the_parent_whose_answer_they_hold)
{
	chat("f1", SYS "," USER, ANSWER("one11111"));
	chat("f2", SYS "," USER, ANSWER("two22222"));
	chat("f3", SYS "," USER "," CALL("one11111") "," RESULT("one11111"), NULL);
	ck_assert_str_eq(place.parent, "f1");
	chat("f4", SYS "," USER "," CALL("two22222") "," RESULT("two22222"), NULL);
	ck_assert_str_eq(place.parent, "f2");
	chat("f5", SYS "," USER "," CALL("one11111") ",{\"role\":\"user\",\"content\":\"stop\"}", NULL);
	ck_assert_str_eq(place.parent, "f1");
	ck_assert_ptr_nonnull(strchr(place.lane, '<'));
}
END_TEST

START_TEST(a_repetition_is_a_sibling)
{
	chat("f1", SYS "," USER, NULL);
	chat("f2", SYS "," USER "," CALL("one11111") "," RESULT("one11111"), NULL);
	chat("f3", SYS "," USER "," CALL("one11111") "," RESULT("one11111"), NULL);
	ck_assert_str_eq(place.parent, "f1");
	ck_assert_str_eq(place.after, "f2");
	ck_assert_str_eq(input.data, "{\"model\":\"m\",\"messages\":[],\"_vcr\":{\"after\":\"f2\",\"omitted\":{\"messages\":4,\"tools\":true}}}");
}
END_TEST

START_TEST(a_moved_cache_marker_keeps_the_conversation_and_shows_the_changed_message_again)
{
	call_of(VCR_API_ANTHROPIC_MESSAGES, "f1", "{\"model\":\"m\",\"system\":\"s\",\"messages\":[{\"role\":\"user\",\"content\":"
		"[{\"type\":\"text\",\"text\":\"hi\",\"cache_control\":{\"type\":\"ephemeral\"}}]}]}", NULL);
	call_of(VCR_API_ANTHROPIC_MESSAGES, "f2", "{\"model\":\"m\",\"system\":\"s\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},"
		"{\"role\":\"assistant\",\"content\":\"x\"},{\"role\":\"user\",\"content\":\"go\"}]}", NULL);
	ck_assert_str_eq(place.parent, "f1");
	ck_assert_ptr_nonnull(strstr(input.data, "\"content\":\"hi\""));
	ck_assert_ptr_nonnull(strstr(input.data, "\"omitted\":{\"system\":true}"));
}
END_TEST

START_TEST(another_agent_with_the_same_first_words_is_no_continuation)
{
	call_of(VCR_API_ANTHROPIC_MESSAGES, "f1", "{\"model\":\"a\",\"system\":\"make a title\",\"messages\":[{\"role\":\"user\",\"content\":\"fix it\"}]}", NULL);
	call_of(VCR_API_ANTHROPIC_MESSAGES, "f2", "{\"model\":\"b\",\"system\":\"you code\",\"messages\":[{\"role\":\"user\",\"content\":\"fix it\"}]}", NULL);
	ck_assert_str_eq(place.parent, "");
	ck_assert_str_eq(place.after, "");
	call_of(VCR_API_ANTHROPIC_MESSAGES, "f3", "{\"model\":\"b\",\"system\":\"you code\",\"messages\":[{\"role\":\"user\",\"content\":\"fix it\"},"
		"{\"role\":\"assistant\",\"content\":\"ok\"},{\"role\":\"user\",\"content\":\"more\"}]}", NULL);
	ck_assert_str_eq(place.parent, "f2");
}
END_TEST

START_TEST(a_response_can_name_its_predecessor)
{
	call_of(VCR_API_OPENAI_RESPONSES, "f1", "{\"model\":\"m\",\"input\":\"hi\"}", "{\"id\":\"resp_0123456789\",\"output\":[]}");
	call_of(VCR_API_OPENAI_RESPONSES, "f2", "{\"model\":\"m\",\"input\":\"more\",\"previous_response_id\":\"resp_0123456789\"}", NULL);
	ck_assert_str_eq(place.parent, "f1");
	ck_assert_str_eq(place.after, "");
}
END_TEST

START_TEST(nothing_refers_to_a_frame_that_was_not_written)
{
	chat("f1", SYS "," USER, NULL);
	vcr_conv_forget(conv, "f1");
	chat("f2", SYS "," USER "," CALL("one11111"), NULL);
	ck_assert_str_eq(place.parent, "");
	ck_assert_ptr_null(strstr(input.data, "_vcr"));
}
END_TEST

START_TEST(memory_stays_bounded_over_very_many_calls)
{
	char text[128];
	for (int i = 0; i < 3 * VCR_CONV_CALLS; i++) {
		snprintf(text, sizeof text, "{\"role\":\"user\",\"content\":\"%d\"}", i);
		chat("f", text, NULL);
	}
	chat("g", "{\"role\":\"user\",\"content\":\"0\"}," USER, NULL);
	ck_assert_str_eq(place.parent, "");
	snprintf(text, sizeof text, "{\"role\":\"user\",\"content\":\"%d\"}," USER, 3 * VCR_CONV_CALLS - 1);
	chat("g", text, NULL);
	ck_assert_str_eq(place.parent, "f");
}
END_TEST

START_TEST(very_long_lists_make_older_calls_forgotten)
{
	VCR_AUTO_BUF list = VCR_BUF_INIT, request = VCR_BUF_INIT;
	chat("old", USER, NULL);
	for (int i = 0; i < 3 << 20; i++)
		vcr_buf_puts(&list, i ? ",7" : "7");
	vcr_buf_printf(&request, "{\"messages\":[%s]}", list.data);
	for (int i = 0; i < 3; i++)
		call_of(VCR_API_OPENAI_CHAT, "long", request.data, NULL);
	chat("new", USER "," USER, NULL);
	ck_assert_str_eq(place.parent, "");
}
END_TEST

START_TEST(odd_requests_are_kept_as_they_are)
{
	call_of(VCR_API_GENERIC, "f1", "{\"x\":{\"_vcr\":1},\"messages\":7,\"e\":\"\\u00e9\"}", NULL);
	ck_assert_str_eq(input.data, "{\"x\":{\"_vcr\":1},\"messages\":7,\"e\":\"\\u00e9\"}");
	ck_assert_str_eq(place.lane, "");
	call_of(VCR_API_GENERIC, "f2", "{\"a\\u0000b\":1,\"a\":2}", NULL);
	ck_assert_str_eq(input.data, "{\"a\\u0000b\":1,\"a\":2}");
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_request_info info = { .list = -1, .system = -1, .tools = -1 };
	vcr_json_parse(&j, "[1]", 3, 0, NULL);
	ck_assert_int_eq(vcr_conv_place(conv, &j, &info, NULL, "f", &place, &input), VCR_EINVAL);
}
END_TEST

START_TEST(a_wrapped_request_shows_what_is_new_inside_its_wrapper)
{
	const char *one = "{\"model\":\"m\",\"request\":{\"contents\":[{\"parts\":[1]}],\"systemInstruction\":{\"parts\":[]},\"more\":1}}";
	const char *two = "{\"model\":\"m\",\"request\":{\"contents\":[{\"parts\":[1]},{\"parts\":[2]}],\"systemInstruction\":{\"parts\":[]},\"more\":2}}";
	const char *bare = "{\"model\":\"m\",\"contents\":[{\"parts\":[1]},{\"parts\":[2]},{\"parts\":[3]}]}";
	call_of(VCR_API_GEMINI_GENERATE, "f1", one, NULL);
	call_of(VCR_API_GEMINI_GENERATE, "f2", two, NULL);
	ck_assert_str_eq(place.parent, "f1");
	ck_assert_uint_eq(place.known, 1);
	ck_assert_str_eq(input.data, "{\"model\":\"m\",\"request\":{\"contents\":[{\"parts\":[2]}],\"more\":2},"
		"\"_vcr\":{\"after\":\"f1\",\"in\":\"request\",\"omitted\":{\"contents\":1,\"systemInstruction\":true}}}");
	call_of(VCR_API_GEMINI_GENERATE, "f3", bare, NULL);
	ck_assert_str_eq(input.data, bare);
}
END_TEST

static TCase *tc_conv(void)
{
	TCase *tc = tcase_create("conv");
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, a_call_that_goes_on_names_what_it_continues_and_shows_what_is_new);
	tcase_add_test(tc, a_wrapped_request_shows_what_is_new_inside_its_wrapper);
	tcase_add_test(tc, functions_go_by_their_own_name);
	tcase_add_test(tc, an_answer_that_the_next_request_repeats_is_referred_to);
	tcase_add_test(tc, a_member_of_our_name_in_the_request_is_kept_apart_from_ours);
	tcase_add_test(tc, branches_get_lanes_of_their_own_and_the_parent_whose_answer_they_hold);
	tcase_add_test(tc, a_repetition_is_a_sibling);
	tcase_add_test(tc, a_moved_cache_marker_keeps_the_conversation_and_shows_the_changed_message_again);
	tcase_add_test(tc, another_agent_with_the_same_first_words_is_no_continuation);
	tcase_add_test(tc, a_response_can_name_its_predecessor);
	tcase_add_test(tc, nothing_refers_to_a_frame_that_was_not_written);
	tcase_add_test(tc, memory_stays_bounded_over_very_many_calls);
	tcase_add_test(tc, very_long_lists_make_older_calls_forgotten);
	tcase_add_test(tc, odd_requests_are_kept_as_they_are);
	return tc;
}

TAP_MAIN("conv", tc_conv)
