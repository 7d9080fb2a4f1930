#include "structural.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>

static void structure_of(enum vcr_api api, const char *body, struct vcr_buf *structure, struct vcr_buf *texts)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	ck_assert_int_eq(vcr_json_parse(&j, body, strlen(body), 0, NULL), 0);
	ck_assert_int_eq(vcr_structural(api, &j, structure, texts), 0);
}

static void expect(enum vcr_api api, const char *body, const char *structure, const char *texts)
{
	VCR_AUTO_BUF s = VCR_BUF_INIT, t = VCR_BUF_INIT;
	structure_of(api, body, &s, &t);
	ck_assert_str_eq(s.data, structure);
	ck_assert_str_eq(t.data, texts);
}

START_TEST(what_users_and_tools_said_is_left_out_and_nothing_else)
{
	expect(VCR_API_OPENAI_CHAT, "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}}]},"
		"{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"d\"}],\"model\":\"m\",\"user\":\"x\"}",
		"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"{{vcr:text}}\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}}]},"
		"{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"{{vcr:text}}\"}],\"model\":\"m\",\"user\":\"x\"}", "a\nd\n");
	expect(VCR_API_ANTHROPIC_MESSAGES, "{\"system\":\"s\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}]},"
		"{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"b\"}]}]}",
		"{\"system\":\"s\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":[{\"type\":\"text\",\"text\":\"{{vcr:text}}\"}]}]},"
		"{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"b\"}]}]}", "a\n");
	expect(VCR_API_OPENAI_RESPONSES, "{\"input\":\"a\",\"instructions\":\"i\"}", "{\"input\":\"{{vcr:text}}\",\"instructions\":\"i\"}", "a\n");
	expect(VCR_API_OPENAI_RESPONSES, "{\"input\":[{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"g\"},{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"a\"},{\"role\":\"developer\",\"content\":\"d\"}]}",
		"{\"input\":[{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"g\"},{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"{{vcr:text}}\"},{\"role\":\"developer\",\"content\":\"d\"}]}", "a\n");
	expect(VCR_API_GEMINI_GENERATE, "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"response\":{\"x\":{\"y\":\"a\"},\"n\":1}}}]},{\"role\":\"model\",\"parts\":[{\"text\":\"b\"}]}]}}",
		"{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"response\":{\"x\":{\"y\":\"{{vcr:text}}\"},\"n\":1}}}]},{\"role\":\"model\",\"parts\":[{\"text\":\"b\"}]}]}}", "a\n");
}
END_TEST

START_TEST(an_api_without_such_texts_keeps_its_form)
{
	expect(VCR_API_OPENAI_EMBEDDINGS, "{\"input\":\"a\"}", "{\"input\":\"a\"}", "");
	expect(VCR_API_GENERIC, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", "");
}
END_TEST

START_TEST(a_member_that_only_looks_like_a_path_is_not_left_out)
{
	expect(VCR_API_OPENAI_CHAT, "{\"x\":{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]},\"messages\":[{\"role\":\"user\",\"a/content\":\"b\",\"name\":\"c\"}]}",
		"{\"x\":{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]},\"messages\":[{\"role\":\"user\",\"a/content\":\"b\",\"name\":\"c\"}]}", "");
}
END_TEST

START_TEST(likeness_is_the_share_of_common_words)
{
	static const struct { const char *a, *b; double want; } texts[] = { { "", "", 1 }, { "a b c", "a b c", 1 }, { "a b", "c d", 0 }, { "a b c d", "d c x y", 0.5 },
		{ "3 failed, 1 passed", "2 failed, 1 passed", 0.8 }, { "a a a", "a", 0.5 }, { "x", "", 0 } };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		ck_assert_double_eq_tol(vcr_structural_likeness(texts[i].a, strlen(texts[i].a), texts[i].b, strlen(texts[i].b)), texts[i].want, 1e-9);
}
END_TEST

/* As deep as the parser lets anything be. */
START_TEST(a_deep_body_is_taken_within_bounds)
{
	VCR_AUTO_BUF body = VCR_BUF_INIT, structure = VCR_BUF_INIT;
	vcr_buf_puts(&body, "{\"contents\":[{\"parts\":[{\"functionResponse\":{\"response\":");
	for (int i = 0; i < 240; i++)
		vcr_buf_putc(&body, '[');
	vcr_buf_puts(&body, "\"a\"");
	for (int i = 0; i < 240; i++)
		vcr_buf_putc(&body, ']');
	vcr_buf_puts(&body, "}}]}]}");
	structure_of(VCR_API_GEMINI_GENERATE, body.data, &structure, NULL);
	ck_assert_ptr_nonnull(strstr(structure.data, "[\"{{vcr:text}}\"]"));
}
END_TEST

static TCase *structural(void)
{
	TCase *tc = tcase_create("structural");
	tcase_add_test(tc, what_users_and_tools_said_is_left_out_and_nothing_else);
	tcase_add_test(tc, an_api_without_such_texts_keeps_its_form);
	tcase_add_test(tc, a_member_that_only_looks_like_a_path_is_not_left_out);
	tcase_add_test(tc, likeness_is_the_share_of_common_words);
	tcase_add_test(tc, a_deep_body_is_taken_within_bounds);
	return tc;
}

TAP_MAIN("structural", structural)
