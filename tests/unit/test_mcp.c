#include "mcp.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>

static int on_call(void *ctx, const struct vcr_mcp_call *c)
{
	size_t n = 0;
	const char *params = vcr_json_raw(c->request, vcr_json_get(c->request, c->at, "params"), &n);
	vcr_buf_printf(ctx, "%s %s %.*s", c->from_server ? "server" : "client", c->method, (int)n, params);
	if (c->notification)
		return vcr_buf_puts(ctx, ".\n");
	int result = vcr_json_get(c->response, c->response_at, "result"), error = vcr_json_get(c->response, c->response_at, "error");
	const char *text = vcr_json_raw(c->response, result >= 0 ? result : error, &n);
	return vcr_buf_printf(ctx, " -> %s%.*s %d\n", !c->answered ? "nothing" : error >= 0 ? "error " : "", (int)n, text, (int)(c->end_ns - c->start_ns));
}

struct said { bool from_server; const char *text; };

static int talk(const struct said *said, size_t n, size_t step, struct vcr_buf *out)
{
	struct vcr_mcp *m = vcr_mcp_new(on_call, out);
	int r = 0;
	vcr_buf_reset(out);
	for (size_t i = 0; i < n; i++)
		for (size_t at = 0, len = strlen(said[i].text); at < len && !r; at += step)
			r = vcr_mcp_feed(m, said[i].from_server, said[i].text + at, len - at < step ? len - at : step, i);
	vcr_mcp_end(m, n);
	vcr_mcp_free(m);
	return r;
}

static void expect(const struct said *said, size_t n, const char *want)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	for (size_t step = 1; step < 200; step = step * 3 + 1) {
		ck_assert_int_eq(talk(said, n, step, &out), 0);
		ck_assert_str_eq(out.data, want);
	}
}
#define N(a) a, sizeof a / sizeof *a

START_TEST(requests_meet_their_answers_by_id_in_whatever_order)
{
	static const struct said said[] = {
		{ false, "{\"method\":\"initialize\",\"params\":{\"v\":1},\"jsonrpc\":\"2.0\",\"id\":0}\n" },
		{ true, "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"serverInfo\":{}}}\r\n" },
		{ false, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n"
			"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"tools/call\",\"params\":{\"name\":\"one\"}}\n"
			"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"two\"}}\n" },
		{ true, "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32602}}\n{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":[1]}\n" },
	};
	expect(N(said), "client initialize {\"v\":1} -> {\"serverInfo\":{}} 1\nclient notifications/initialized .\n"
		"client tools/call {\"name\":\"two\"} -> error {\"code\":-32602} 1\nclient tools/call {\"name\":\"one\"} -> [1] 1\n");
}
END_TEST

START_TEST(both_sides_may_ask_with_the_same_ids_and_in_batches)
{
	static const struct said said[] = {
		{ false, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"},{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"b\"}]\n" },
		{ true, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sampling/createMessage\",\"params\":{}}\n" },
		{ true, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1},{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":2}]\n" },
		{ false, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"role\":\"assistant\"}}\n" },
	};
	expect(N(said), "client a  -> 1 2\nclient b  -> 2 2\nserver sampling/createMessage {} -> {\"role\":\"assistant\"} 2\n");
}
END_TEST

START_TEST(what_is_never_answered_is_reported_at_the_end_and_banners_are_passed_over)
{
	static const struct said said[] = {
		{ true, "Server running on stdio\n\n{\"level\":\"info\"}\n" },
		{ false, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{}}\n" },
		{ true, "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}\n{\"jsonrpc\":\"2.0\",\"id\":7,\"resu" },
	};
	expect(N(said), "client tools/call {} -> nothing 2\n");
}
END_TEST

START_TEST(a_pipe_that_carries_something_else_is_refused)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	for (int i = 0; i < 16; i++)
		vcr_buf_puts(&text, "{\"method\":\"GET\",\"path\":\"/\"}\n");
	const struct said said[] = { { false, text.data } };
	ck_assert_int_eq(talk(said, 1, 1000, &out), VCR_ESYNTAX);
	ck_assert_str_eq(out.data, "");
}
END_TEST

static TCase *mcp(void)
{
	TCase *tc = tcase_create("mcp");
	tcase_add_test(tc, requests_meet_their_answers_by_id_in_whatever_order);
	tcase_add_test(tc, both_sides_may_ask_with_the_same_ids_and_in_batches);
	tcase_add_test(tc, what_is_never_answered_is_reported_at_the_end_and_banners_are_passed_over);
	tcase_add_test(tc, a_pipe_that_carries_something_else_is_refused);
	return tc;
}
TAP_MAIN("mcp", mcp)
