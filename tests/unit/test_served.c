#include "served.h"
#include "tap.h"

static const struct vcr_normal_context there = { .cwd = "/home/a/work" }, here = { .cwd = "/srv/b" };
static struct vcr_served *server;
static struct vcr_buf out = VCR_BUF_INIT, error = VCR_BUF_INIT, named = VCR_BUF_INIT;
static struct vcr_served_words words = { &out, &error, &named, NULL };
static int asked;

/* Each request is asked at a time of its own: 1, 2, … */
static const char *now(void)
{
	static char text[2];
	text[0] = (char)('1' + asked++);
	return text;
}

static void line(const char *text)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	ck_assert(!vcr_json_parse(&j, text, strlen(text), 0, NULL) && !vcr_served_line(&server, &there, now(), &j, 0));
}

static void call(const char *tool, const char *arguments, const char *id)
{
	ck_assert(!vcr_served_call(&server, &there, now(), tool, arguments, strlen(arguments), id));
}

static void printed(const char *text, bool by_itself)
{
	static const struct vcr_standin_mark mark[] = { { 0, 6 }, { 60, 12 }, { 9999, 18 } };
	VCR_AUTO_BUF b = VCR_BUF_INIT, e = VCR_BUF_INIT;
	vcr_buf_puts(&b, text);
	vcr_buf_puts(&e, "begin\nasked\nlast\n");
	ck_assert(!vcr_served_begin(server, &b, &e, mark, 3, by_itself, &error));
}

static enum vcr_served_result hear(const char *text)
{
	vcr_buf_reset(&out);
	vcr_buf_reset(&error);
	vcr_buf_reset(&named);
	return vcr_served_hear(server, &here, false, text, strlen(text), &words);
}

static const char text[] = "ready\n"
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"id\":1}}\n"
	"{\"method\":\"roots/list\",\"id\":1}\n"
	"{\"id\":\"two\",\"result\":{\"tools\":[]}}\n"
	"{\"method\":\"notifications/progress\",\"params\":{\"progressToken\":3,\"progress\":1}}\n"
	"{\"id\":3,\"result\":\"first\"}\n"
	"{\"method\":\"notifications/message\",\"params\":{}}\n"
	"{\"id\":4,\"result\":\"second\"}\n"
	"{\"method\":\"notifications/late\"}";

static void setup(void)
{
	line("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"x\",\"rootUri\":\"/home/a/work\"}}");
	line("{\"id\":\"two\",\"method\":\"tools/list\"}");
	call("add", "{\"numbers\":[1,2]}", "3");
	call("add", "{\"numbers\":[1,2]}", "4");
	call("fall", "{}", "5");
	printed(text, true);
}

static void teardown(void)
{
	vcr_served_free(server);
	server = NULL;
	asked = 0;
	vcr_buf_release(&error);
	vcr_buf_release(&out);
	vcr_buf_release(&named);
}

START_TEST(an_answer_bears_the_id_that_is_asked_with)
{
	ck_assert_int_eq(hear("{\"method\":\"initialize\",\"params\":{\"rootUri\":\"/srv/b\",\"protocolVersion\":\"x\"},\"id\":\"a-7\"}"), VCR_SERVED);
	ck_assert_str_eq(out.data, "{\"jsonrpc\":\"2.0\",\"id\":\"a-7\",\"result\":{\"id\":1}}\n");
}
END_TEST

START_TEST(equal_requests_are_answered_in_their_order_and_once)
{
	const char *asks = "{\"method\":\"tools/call\",\"params\":{\"arguments\":{\"numbers\":[1, 2]},\"name\":\"add\",\"_meta\":{\"progressToken\":\"t\"}},\"id\":9}";
	ck_assert_int_eq(hear(asks), VCR_SERVED);
	ck_assert(strstr(out.data, "{\"id\":9,\"result\":\"first\"}\n") && strstr(out.data, "\"progressToken\":\"t\""));
	ck_assert_int_eq(hear(asks), VCR_SERVED);
	ck_assert_str_eq(out.data, "{\"method\":\"notifications/message\",\"params\":{}}\n{\"id\":9,\"result\":\"second\"}\n");
	ck_assert_int_eq(hear(asks), VCR_SERVED_UNKNOWN);
}
END_TEST

START_TEST(what_was_not_recorded_is_an_error_and_named)
{
	ck_assert_int_eq(hear("{\"method\":\"tools/call\",\"params\":{\"name\":\"add\",\"arguments\":{\"numbers\":[2]}},\"id\":1}"), VCR_SERVED_UNKNOWN);
	ck_assert_str_eq(named.data, "tools/call add {\"numbers\":[2]}");
	ck_assert(strstr(out.data, "\"id\":1,\"error\":{\"code\":-32603,\"message\":\"vcr replay: tools/call add {\\\"numbers\\\":[2]}: it was not recorded\"}"));
}
END_TEST

START_TEST(what_answers_nothing_comes_in_its_place)
{
	hear("{\"method\":\"initialize\",\"params\":{\"rootUri\":\"/srv/b\",\"protocolVersion\":\"x\"},\"id\":1}");
	ck_assert_int_eq(hear("{\"method\":\"notifications/initialized\"}"), VCR_SERVED);
	ck_assert_str_eq(out.data, "{\"method\":\"roots/list\",\"id\":1}\n");
	ck_assert_int_eq(hear("{\"id\":1,\"result\":{\"roots\":[]}}"), VCR_SERVED);
	ck_assert_str_eq(out.data, "");
	hear("{\"method\":\"tools/list\",\"id\":2,\"params\":{}}");
	ck_assert_str_eq(out.data, "{\"id\":2,\"result\":{\"tools\":[]}}\n");
	vcr_buf_reset(&out);
	vcr_served_end(server, &words);
	ck_assert(strstr(out.data, "{\"method\":\"notifications/late\"}\n"));
}
END_TEST

START_TEST(a_server_that_ended_instead_of_answering_ends)
{
	const char *add = "{\"method\":\"tools/call\",\"params\":{\"arguments\":{\"numbers\":[1,2]},\"name\":\"add\"},\"id\":9}";
	hear("{\"method\":\"initialize\",\"params\":{\"rootUri\":\"/srv/b\",\"protocolVersion\":\"x\"},\"id\":1}");
	hear("{\"method\":\"tools/list\",\"id\":2,\"params\":{}}");
	hear(add);
	hear(add);
	ck_assert_int_eq(hear("{\"method\":\"tools/call\",\"params\":{\"name\":\"fall\"},\"id\":1}"), VCR_SERVED_ENDS);
	ck_assert_str_eq(out.data, "{\"method\":\"notifications/late\"}\n");
}
END_TEST

START_TEST(it_ends_on_that_request_also_where_other_answers_are_left)
{
	ck_assert_int_eq(hear("{\"method\":\"tools/call\",\"params\":{\"name\":\"fall\"},\"id\":1}"), VCR_SERVED_ENDS);
}
END_TEST

START_TEST(a_request_that_was_cancelled_and_never_answered_does_not_end_the_server)
{
	vcr_served_cancelled(server, "5");
	ck_assert_int_eq(hear("{\"method\":\"tools/call\",\"params\":{\"name\":\"fall\"},\"id\":1}"), VCR_SERVED);
	ck_assert_str_eq(out.data, "");
	ck_assert_int_eq(hear("{\"method\":\"tools/list\",\"id\":2}"), VCR_SERVED);
	ck_assert(strstr(out.data, "{\"id\":2,\"result\":{\"tools\":[]}}\n"));
}
END_TEST

START_TEST(nor_does_one_behind_which_another_was_answered_or_on_which_it_was_killed)
{
	vcr_served_free(server);
	server = NULL;
	call("fall", "{}", "8");
	call("add", "{\"numbers\":[1,2]}", "3");
	call("fall", "{\"last\":1}", "9");
	printed(text, false);
	ck_assert_int_eq(hear("{\"method\":\"tools/call\",\"params\":{\"name\":\"fall\"},\"id\":1}"), VCR_SERVED);
	ck_assert_int_eq(hear("{\"method\":\"tools/call\",\"params\":{\"name\":\"fall\",\"arguments\":{\"last\":1}},\"id\":1}"), VCR_SERVED);
	ck_assert_str_eq(out.data, "");
}
END_TEST

START_TEST(it_is_said_when_a_request_was_asked_and_what_came_since)
{
	hear("{\"method\":\"tools/list\",\"id\":2}");
	ck_assert_str_eq(words.at, "2");
	hear("{\"method\":\"notifications/initialized\"}");
	ck_assert(!words.at);
	ck_assert_str_eq(vcr_served_since(server, "0"), "");
	ck_assert_str_eq(vcr_served_since(server, "2"), "2");
	ck_assert_str_eq(vcr_served_since(server, "35"), "3");
}
END_TEST

START_TEST(error_output_comes_before_the_line_before_which_it_was_printed)
{
	ck_assert_str_eq(error.data, "begin\n");
	hear("{\"method\":\"initialize\",\"params\":{\"rootUri\":\"/srv/b\",\"protocolVersion\":\"x\"},\"id\":1}");
	ck_assert_str_eq(error.data, "");
	hear("{\"method\":\"tools/list\",\"id\":2}");
	ck_assert_str_eq(error.data, "asked\n");
	vcr_buf_reset(&error);
	vcr_served_end(server, &words);
	ck_assert_str_eq(error.data, "last\n");
}
END_TEST

START_TEST(what_was_asked_nothing_until_the_end_says_all_that_was_printed)
{
	vcr_served_end(server, &words);
	ck_assert_str_eq(out.data, text);
}
END_TEST

START_TEST(what_is_no_request_is_heard_and_not_answered)
{
	static const char *const lines[] = { "", "no JSON", "[]", "{}", "{\"method\":7,\"id\":1}", "{\"id\":4}", "\"x\"" };
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		ck_assert_int_eq(hear(lines[i]), VCR_SERVED);
		ck_assert_str_eq(out.data, "");
	}
}
END_TEST

static TCase *served(void)
{
	TCase *tc = tcase_create("served");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, an_answer_bears_the_id_that_is_asked_with);
	tcase_add_test(tc, equal_requests_are_answered_in_their_order_and_once);
	tcase_add_test(tc, what_was_not_recorded_is_an_error_and_named);
	tcase_add_test(tc, what_answers_nothing_comes_in_its_place);
	tcase_add_test(tc, a_server_that_ended_instead_of_answering_ends);
	tcase_add_test(tc, it_ends_on_that_request_also_where_other_answers_are_left);
	tcase_add_test(tc, nor_does_one_behind_which_another_was_answered_or_on_which_it_was_killed);
	tcase_add_test(tc, it_is_said_when_a_request_was_asked_and_what_came_since);
	tcase_add_test(tc, error_output_comes_before_the_line_before_which_it_was_printed);
	tcase_add_test(tc, a_request_that_was_cancelled_and_never_answered_does_not_end_the_server);
	tcase_add_test(tc, what_was_asked_nothing_until_the_end_says_all_that_was_printed);
	tcase_add_test(tc, what_is_no_request_is_heard_and_not_answered);
	return tc;
}

TAP_MAIN("served", served)
