#include "provider.h"
#include "tap.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>

/* tests/data/provider: NAME.body is what the API sent, NAME.json how, and what must come of it. */

static void read_file(const char *name, const char *suffix, struct vcr_buf *out)
{
	const char *srcdir = getenv("srcdir");
	char path[4096];
	snprintf(path, sizeof path, "%s/tests/data/provider/%s%s", srcdir ? srcdir : "..", name, suffix);
	FILE *f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s", path);
	char block[4096];
	for (size_t n; (n = fread(block, 1, sizeof block, f));)
		vcr_buf_add(out, block, n);
	fclose(f);
}

static enum vcr_api api_named(const char *name)
{
	for (int a = VCR_API_NONE; a <= VCR_API_SIDE; a++)
		if (!strcmp(vcr_api_name((enum vcr_api)a), name))
			return (enum vcr_api)a;
	ck_abort_msg("%s", name);
}

static void same_string(const char *test, const struct vcr_json *j, const char *path, const char *got)
{
	char *want = vcr_json_strdup(j, vcr_json_path(j, 0, path));
	ck_assert_msg(want && got ? !strcmp(want, got) : want == got, "%s: %s is %s, not %s", test, path, got ? got : "NULL", want ? want : "NULL");
	free(want);
}

static void same_number(const char *test, const struct vcr_json *j, const char *path, int64_t got)
{
	int64_t want = -99;
	vcr_json_int(j, vcr_json_path(j, 0, path), &want);
	ck_assert_msg(want == got, "%s: %s is %lld, not %lld", test, path, (long long)got, (long long)want);
}

static void compare(const char *test, const struct vcr_json *want, const struct vcr_answer_info *got)
{
	VCR_AUTO_JSON message = VCR_JSON_INIT;
	ck_assert_msg(!vcr_json_parse(&message, got->message.data, got->message.len, 0, NULL), "%s: not JSON: %s", test, got->message.data);
	for (const char *p = got->message.data; *p; p++)
		ck_assert_msg(*p >= ' ' && *p < 127, "%s: not compact ASCII", test);
	ck_assert_msg(vcr_json_equal(want, vcr_json_get(want, 0, "message"), &message, 0), "%s: %s", test, got->message.data);
	same_string(test, want, "info.model", got->model);
	same_string(test, want, "info.id", got->id);
	same_string(test, want, "info.stop_reason", got->stop_reason);
	same_string(test, want, "info.error_type", got->error_type);
	same_string(test, want, "info.error_message", got->error_message);
	const int64_t tokens[] = { got->tokens_in, got->tokens_out, got->tokens_cached, got->tokens_cache_write, got->tokens_reasoning };
	for (int i = 0; i < 5; i++) {
		char path[32];
		snprintf(path, sizeof path, "info.tokens[%d]", i);
		same_number(test, want, path, tokens[i]);
	}
	same_number(test, want, "info.tool_calls", got->tool_calls);
	ck_assert_msg(vcr_json_true(want, vcr_json_path(want, 0, "info.complete")) == got->complete, "%s: complete is %d", test, got->complete);
	ck_assert_msg(vcr_json_true(want, vcr_json_path(want, 0, "info.streamed")) == got->streamed, "%s: streamed is %d", test, got->streamed);
}

/* Feed the pair's body in steps of `step` bytes. */
static void check_pair(const char *name, size_t step)
{
	VCR_AUTO_BUF body = VCR_BUF_INIT, text = VCR_BUF_INIT;
	VCR_AUTO_JSON want = VCR_JSON_INIT;
	struct vcr_answer_info got;
	int64_t status = 0;
	read_file(name, ".body", &body);
	read_file(name, ".json", &text);
	ck_assert_msg(!vcr_json_parse(&want, text.data, text.len, 0, NULL), "%s.json", name);
	char *api = vcr_json_strdup(&want, vcr_json_get(&want, 0, "api")), *type = vcr_json_strdup(&want, vcr_json_get(&want, 0, "content_type"));
	vcr_json_int(&want, vcr_json_get(&want, 0, "status"), &status);
	struct vcr_answer *a = vcr_answer_new(api_named(api), (int)status, type);
	for (size_t i = 0; i < body.len; i += step)
		ck_assert_int_eq(vcr_answer_feed(a, body.data + i, body.len - i < step ? body.len - i : step), 0);
	ck_assert_int_eq(vcr_answer_finish(a, vcr_json_true(&want, vcr_json_get(&want, 0, "transport_ok")), &got), 0);
	compare(name, &want, &got);
	vcr_answer_info_release(&got);
	vcr_answer_free(a);
	free(api);
	free(type);
}

static void each_pair(void (*fn)(const char *name))
{
	const char *srcdir = getenv("srcdir");
	char path[4096];
	int n = 0;
	snprintf(path, sizeof path, "%s/tests/data/provider", srcdir ? srcdir : "..");
	DIR *d = opendir(path);
	ck_assert_msg(d != NULL, "%s", path);
	for (struct dirent *e; (e = readdir(d));) {
		char *dot = strstr(e->d_name, ".body");
		if (!dot)
			continue;
		*dot = 0;
		fn(e->d_name);
		n++;
	}
	closedir(d);
	ck_assert_int_gt(n, 30);
}

static void whole(const char *name)
{
	check_pair(name, 1 << 20);
}

static void by_bytes(const char *name)
{
	check_pair(name, 1);
}

/* Every prefix of every answer gives something that is JSON, and nothing breaks. */
static void cut_anywhere(const char *name)
{
	VCR_AUTO_BUF body = VCR_BUF_INIT, text = VCR_BUF_INIT;
	VCR_AUTO_JSON want = VCR_JSON_INIT;
	read_file(name, ".body", &body);
	read_file(name, ".json", &text);
	ck_assert(!vcr_json_parse(&want, text.data, text.len, 0, NULL));
	char *api = vcr_json_strdup(&want, vcr_json_get(&want, 0, "api")), *type = vcr_json_strdup(&want, vcr_json_get(&want, 0, "content_type"));
	for (size_t n = 0; n < body.len; n += 1 + n / 300) {
		struct vcr_answer_info got;
		char *exact = malloc(n + 1); /* so that a sanitizer sees a byte too many */
		memcpy(exact, body.data, n);
		exact[n] = 0;
		ck_assert_int_eq(vcr_answer_read(api_named(api), 200, type, exact, n, false, &got), 0);
		ck_assert_msg(!vcr_json_validate(got.message.data, got.message.len, VCR_JSON_RELAXED, NULL, NULL), "%s at %zu: %s", name, n, got.message.data);
		vcr_answer_info_release(&got);
		free(exact);
	}
	free(api);
	free(type);
}

START_TEST(every_answer_becomes_the_object_that_the_api_returns_without_streaming)
{
	each_pair(whole);
}
END_TEST

START_TEST(byte_by_byte_gives_the_same)
{
	each_pair(by_bytes);
}
END_TEST

START_TEST(an_answer_cut_anywhere_is_still_json)
{
	each_pair(cut_anywhere);
}
END_TEST

START_TEST(audio_is_named_and_not_quoted)
{
	struct vcr_answer_info got;
	ck_assert_int_eq(vcr_answer_read(VCR_API_GENERIC, 200, "audio/mpeg", "\xff\xfb\x90\0\0", 5, true, &got), 0);
	ck_assert_str_eq(got.message.data, "{\"_vcr\":{\"binary\":\"audio/mpeg\",\"size\":5}}");
	ck_assert(got.complete);
	vcr_answer_info_release(&got);
}
END_TEST

START_TEST(hostile_indexes_cost_nothing)
{
	static const char *const line[] = {
		"data: {\"choices\":[{\"index\":99999999999,\"delta\":{\"content\":\"x\"}}]}\n\n",
		"data: {\"choices\":[{\"index\":-5,\"delta\":{\"tool_calls\":[{\"index\":-1}]}}]}\n\n",
		"data: {\"choices\":{\"index\":0}}\n\ndata: {\"choices\":[7,[],null]}\n\ndata: []\n\ndata: 3\n\n",
		"data: {\"choices\":[{\"delta\":{\"content\":[]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
		"data: {\"type\":\"content_block_delta\",\"index\":4000000000,\"delta\":{\"text\":\"x\"}}\n\n",
		"data: {\"type\":\"message_start\"}\n\ndata: {\"type\":\"message_start\",\"message\":3}\n\ndata: {\"type\":\"message_delta\",\"delta\":[]}\n\n",
		"data: {\"type\":\"response.output_text.delta\",\"output_index\":70000,\"delta\":\"x\"}\n\ndata: {\"type\":\"response.created\",\"response\":{\"output\":3}}\n\n",
		"data: {\"candidates\":[{\"index\":70000,\"content\":{\"parts\":3}}]}\n\ndata: {\"candidates\":[{\"content\":{\"parts\":[3,{\"text\":3}]}}]}\n\n",
	};
	for (size_t i = 0; i < sizeof line / sizeof *line; i++)
		for (int api = VCR_API_OPENAI_CHAT; api <= VCR_API_GENERIC; api++) {
			struct vcr_answer_info got;
			ck_assert_int_eq(vcr_answer_read((enum vcr_api)api, 200, "text/event-stream", line[i], strlen(line[i]), true, &got), 0);
			ck_assert(!vcr_json_validate(got.message.data, got.message.len, 0, NULL, NULL));
			ck_assert_uint_lt(got.message.len, 1 << 20);
			vcr_answer_info_release(&got);
		}
}
END_TEST

static TCase *answer(void)
{
	TCase *tc = tcase_create("answer");
	tcase_add_test(tc, every_answer_becomes_the_object_that_the_api_returns_without_streaming);
	tcase_add_test(tc, byte_by_byte_gives_the_same);
	tcase_add_test(tc, an_answer_cut_anywhere_is_still_json);
	tcase_add_test(tc, audio_is_named_and_not_quoted);
	tcase_add_test(tc, hostile_indexes_cost_nothing);
	return tc;
}

TAP_MAIN("answer", answer)
