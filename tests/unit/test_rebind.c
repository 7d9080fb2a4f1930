#include "rebind.h"
#include "json.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>

static const struct vcr_binding moved[] = { { "/home/ann", "/srv2" }, { "/home/ann/proj", "/srv/w" }, { "/tmp", "/tmp" } };

static void ck_rebound(const char *before, const char *after)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	int got = vcr_rebind(moved, 3, before, strlen(before), &out, NULL, 0);
	ck_assert_int_eq(got, strcmp(before, after) != 0);
	ck_assert_str_eq(got ? out.data : before, after);
}

START_TEST(a_recorded_directory_becomes_the_live_one_in_every_string)
{
	ck_rebound("{\"a\": \"/home/ann/proj/x\", \"b\":[1, \"cd /home/ann && ls\"]}", "{\"a\": \"/srv/w/x\", \"b\":[1, \"cd /srv2 && ls\"]}");
	ck_rebound("{\"arguments\":\"{\\\"path\\\":\\\"/home/ann/proj\\\",\\\"cmd\\\":\\\"a\\\\n/home/ann/b\\\"}\"}",
		"{\"arguments\":\"{\\\"path\\\":\\\"/srv/w\\\",\\\"cmd\\\":\\\"a\\\\n/srv2/b\\\"}\"}");
}
END_TEST

START_TEST(what_only_looks_like_it_stays_with_every_byte_around)
{
	ck_rebound("{ \"/home/ann\" : \"/home/anna /mnt/home/ann /home/ann.bak home/ann\" , \"n\":1.50,\r\n \"u\":\"\\u00e9\" }",
		"{ \"/home/ann\" : \"/home/anna /mnt/home/ann /home/ann.bak home/ann\" , \"n\":1.50,\r\n \"u\":\"\\u00e9\" }");
	ck_rebound("/home/ann is no JSON", "/home/ann is no JSON");
	ck_rebound("{\"cut\": \"/home/ann", "{\"cut\": \"/home/ann");
	ck_rebound("", "");
	ck_rebound("{\"t\":\"/tmp/x\"}", "{\"t\":\"/tmp/x\"}");
}
END_TEST

START_TEST(a_path_that_a_stream_tells_in_pieces_is_put_into_the_first)
{
	ck_rebound("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"see /ho\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"me/\"}}]}\n\n"
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ann/x\"}}]}\n\ndata: [DONE]\n\n",
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"see /srv2\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"}}]}\n\n"
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"/x\"}}]}\n\ndata: [DONE]\n\n");
	ck_rebound("{\"message\":{\"content\":\"/home/a\"}}\n{\"message\":{\"content\":\"nn\"}}\n", "{\"message\":{\"content\":\"/srv2\"}}\n{\"message\":{\"content\":\"\"}}\n");
}
END_TEST

START_TEST(pieces_of_different_blocks_are_different_texts)
{
	ck_rebound("data: {\"index\":0,\"delta\":{\"text\":\"/home/\"}}\n\ndata: {\"index\":1,\"delta\":{\"text\":\"ann\"}}\n\ndata: {\"index\":0,\"delta\":{\"text\":\"ann\"}}\n\n",
		"data: {\"index\":0,\"delta\":{\"text\":\"/srv2\"}}\n\ndata: {\"index\":1,\"delta\":{\"text\":\"ann\"}}\n\ndata: {\"index\":0,\"delta\":{\"text\":\"\"}}\n\n");
}
END_TEST

START_TEST(offsets_follow_the_text)
{
	static const char before[] = "{\"a\":\"/home/ann\",\"b\":\"/home/ann/proj\",\"c\":1}";
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	uint64_t at[] = { 0, 5, 6, 16, 17, 26, 37, 38, sizeof before - 1 };
	ck_assert_int_eq(vcr_rebind(moved, 3, before, sizeof before - 1, &out, at, 9), 1);
	ck_assert_str_eq(out.data, "{\"a\":\"/srv2\",\"b\":\"/srv/w\",\"c\":1}");
	static const uint64_t wanted[] = { 0, 5, 6, 12, 13, 22, 25, 26, 32 };
	for (size_t i = 0; i < 9; i++)
		ck_assert_msg(at[i] == wanted[i], "%zu: %d, not %d", i, (int)at[i], (int)wanted[i]);
}
END_TEST

/* Cut the text anywhere: what the pieces say together is what the whole says. */
START_TEST(wherever_a_stream_is_cut_it_says_the_same)
{
	static const char text[] = "/home/ann/proj /home/ann/proj/a b/home/ann /home/ann\n/home/annx /home/ann/proj";
	static const char wanted[] = "/srv/w /srv/w/a b/home/ann /srv2\n/home/annx /srv/w";
	unsigned seed = (unsigned)_i * 2654435761u + 1;
	VCR_AUTO_BUF stream = VCR_BUF_INIT, out = VCR_BUF_INIT, said = VCR_BUF_INIT;
	struct vcr_jw w;
	for (size_t at = 0; at < sizeof text - 1;) {
		size_t n = (seed = seed * 1664525u + 1013904223u) >> 28;
		n = n < sizeof text - 1 - at ? n : sizeof text - 1 - at;
		vcr_buf_puts(&stream, "data: {\"delta\":");
		vcr_jw_init(&w, &stream);
		vcr_jw_strn(&w, text + at, n);
		vcr_buf_puts(&stream, "}\n\n");
		at += n;
	}
	ck_assert_int_eq(vcr_rebind(moved, 3, stream.data, stream.len, &out, NULL, 0), 1);
	for (const char *line = out.data, *nl; (nl = strchr(line, '\n')); line = nl + 1) {
		VCR_AUTO_JSON j = VCR_JSON_INIT;
		if (nl == line)
			continue;
		ck_assert_int_eq(vcr_json_parse(&j, line + 6, (size_t)(nl - line - 6), 0, NULL), 0);
		vcr_json_str(&j, vcr_json_get(&j, 0, "delta"), &said);
	}
	ck_assert_str_eq(said.data, wanted);
}
END_TEST

static TCase *tc_rebind(void)
{
	TCase *tc = tcase_create("rebind");
	tcase_add_test(tc, a_recorded_directory_becomes_the_live_one_in_every_string);
	tcase_add_test(tc, what_only_looks_like_it_stays_with_every_byte_around);
	tcase_add_test(tc, a_path_that_a_stream_tells_in_pieces_is_put_into_the_first);
	tcase_add_test(tc, pieces_of_different_blocks_are_different_texts);
	tcase_add_test(tc, offsets_follow_the_text);
	tcase_add_loop_test(tc, wherever_a_stream_is_cut_it_says_the_same, 0, 50);
	return tc;
}

TAP_MAIN("rebind", tc_rebind)
