#include "normal.h"
#include "normal-order.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>

static const struct vcr_normal_context here = { .cwd = "/home/ann/project", .home = "/home/ann", .tmp = "/tmp" };

static void expect(const char *text, const char *want)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_normal_text(&here, text, strlen(text), &out), 0);
	ck_assert_str_eq(out.data, want);
}

START_TEST(what_differs_from_run_to_run_is_recognised)
{
	expect("id 123e4567-e89b-12d3-a456-426614174000.", "id {{vcr:uuid}}.");
	expect("on 2026-11-24, at 2026-11-24T10:00:00.123Z and 2026-11-24 10:00:01+02:00!", "on {{vcr:date}}, at {{vcr:date}} and {{vcr:date}}!");
	expect("Today is Tuesday, November 24, 2026. Tue Nov 24 2026; Tue, 24 Nov 2026 10:11:12 GMT; Tue Nov 24 10:00:00 2026",
		"Today is {{vcr:date}}. {{vcr:date}}; {{vcr:date}}; {{vcr:date}}");
	expect("cwd=/home/ann/project/src home /home/ann/.cache tmp /tmp/x1", "cwd={{vcr:cwd}}/src home {{vcr:home}}/.cache tmp {{vcr:tmp}}/x1");
	expect("pid 4711, PID=12; process [77]; Process Group PGID: 24125", "pid {{vcr:pid}}, PID={{vcr:pid}}; process [{{vcr:pid}}]; Process Group PGID: {{vcr:pid}}");
	expect("http://127.0.0.1:45123/x localhost:8080 [::1]:99", "http://127.0.0.1:{{vcr:port}}/x localhost:{{vcr:port}} [::1]:{{vcr:port}}");
	expect("3 passed in 0.12s (12 ms, 3.5 seconds)", "3 passed in {{vcr:duration}} ({{vcr:duration}}, {{vcr:duration}})");
	expect("/home/ann. /home/ann/project, /home/ann.", "{{vcr:home}}. {{vcr:cwd}}, {{vcr:home}}.");
	expect("\x1b[1;32mok\x1b[0m \x1b]0;title\x07.", "ok .");
	expect("-rw-r--r-- 1 a a 42 Nov 24 10:02 x\n-rw-r--r-- 1 a a 4K Jan  2  2027 y", "-rw-r--r-- 1 a a 42 {{vcr:ls}} x\n-rw-r--r-- 1 a a 4K {{vcr:ls}} y");
	expect("[main 1a2b3c4] x\n[main (root-commit) 1a2b3c4] y\nHEAD is now at 1a2b3c4 z\nindex 1a2b3c4..5d6e7f8 100644\n1a2b3c4 (HEAD -> main) w",
		"[main {{vcr:git}}] x\n[main (root-commit) {{vcr:git}}] y\nHEAD is now at {{vcr:git}} z\nindex {{vcr:git}}..{{vcr:git}} 100644\n{{vcr:git}} (HEAD -> main) w");
	expect("toolu_01A2b3C4d5E6f7G8h9J0 call_abcdefghijklmnop1", "{{vcr:id}} {{vcr:id}}");
	expect("source /a/snapshot-bash-1732412345678-k2x9ab.sh && pwd -P >| /b/claude-3f1a-cwd", "source /a/{{vcr:claude}} && pwd -P >| /b/{{vcr:claude}}");
	expect("cat << 'CLAUDE_CODE_END_yqxyi910hqi'\nCLAUDE_CODE_END_", "cat << '{{vcr:claude}}'\nCLAUDE_CODE_END_");
	expect("a snapshot-bash-1-x.sh /snapshot-.sh /snapshot-a.shx /claude-cwd /claude-a/cwd", "a snapshot-bash-1-x.sh /snapshot-.sh /snapshot-a.shx /claude-cwd /claude-a/cwd");
	expect("x: cc_version=2.1; cch=4f1ab; cc_prompt_id=ab-12;", "x: cc_version=2.1; {{vcr:claude}}; {{vcr:claude}};");
	expect("`/home/ann/.claude/projects/-home-ann-my-project/memory/` (~/.gemini/tmp/my.project/chats)", "`{{vcr:home}}/{{vcr:project}}/memory/` (~/{{vcr:project}}/chats)");
	/* JSON in a string: line ends are two characters there */
	expect("{\"output\": \"/home/ann/project\\n2026-11-24\\r\\n123e4567-e89b-12d3-a456-426614174000\\tpid 12\\n0.5s\\ncall_abcdefghijklmnop1\\n/tmp\\n\"}",
		"{\"output\": \"{{vcr:cwd}}\\n{{vcr:date}}\\r\\n{{vcr:uuid}}\\tpid {{vcr:pid}}\\n{{vcr:duration}}\\n{{vcr:id}}\\n{{vcr:tmp}}\\n\"}");
	expect("Chunk ID: f34978\nWall time: 0.0000 seconds\nChunk ID: none", "{{vcr:codex}}\nWall time: {{vcr:duration}}\nChunk ID: none");
}
END_TEST

START_TEST(what_means_something_is_left_alone)
{
	static const char *const texts[] = { "version 1.2.3", "2026-11", "line 12: x = 3", "/home/annabel/project", "/mnt/home/ann", "rapid 12", "10.0.0.1:80", "take 3 s",
		"3 small 5 sm", "v2026-11-24x", "May 3 people", "123e4567-e89b-12d3-a456-42661417400", "/tmpfile", "a/tmp", "port 8080", "x.claude/projects/a", "/.claude/projects/ /.gemini/tmp", "/home/ann.bak /home/ann-2", "color 1a2b3c4 of 1a2b3c4!", "commit 1234567", "commit deadbee", "in Nov 24 10:02", "call_me call_1 toolu_short1",
		"call_abcdefghijklmnopq", "" };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		expect(texts[i], texts[i]);
}
END_TEST

START_TEST(volatile_fields_are_a_deny_list_by_api)
{
	ck_assert(vcr_normal_is_volatile(VCR_API_ANTHROPIC_MESSAGES, "/metadata/user_id"));
	ck_assert(!vcr_normal_is_volatile(VCR_API_OPENAI_CHAT, "/metadata/user_id"));
	ck_assert(vcr_normal_is_volatile(VCR_API_OPENAI_RESPONSES, "/input/12/id"));
	ck_assert(!vcr_normal_is_volatile(VCR_API_OPENAI_RESPONSES, "/input/12/content/0/id"));
	ck_assert(!vcr_normal_is_volatile(VCR_API_OPENAI_RESPONSES, "/input/12/call_id"));
	ck_assert(vcr_normal_is_volatile(VCR_API_GEMINI_GENERATE, "/contents/3/parts/0/functionResponse/id"));
	ck_assert(vcr_normal_is_volatile(VCR_API_GEMINI_GENERATE, "/contents/3/parts/0/functionCall/id"));
	ck_assert(!vcr_normal_is_volatile(VCR_API_GEMINI_GENERATE, "/contents/3/parts/0/functionCall/args/id"));
}
END_TEST

START_TEST(two_requests_that_differ_in_nothing_that_matters_have_one_form)
{
	static const char a[] = "{\"metadata\":{\"user_id\":\"u1\"},\"model\":\"m\",\"system\":\"Today is 2026-11-24. cwd /home/ann/project\"}";
	static const char b[] = "{\"system\":\"Today is 2025-01-02. cwd \\/home\\/ann\\/project\",\"model\":\"m\",\"metadata\":{\"user_id\":\"u2\"}}";
	VCR_AUTO_JSON ja = VCR_JSON_INIT, jb = VCR_JSON_INIT;
	VCR_AUTO_BUF oa = VCR_BUF_INIT, ob = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_json_parse(&ja, a, strlen(a), 0, NULL), 0);
	ck_assert_int_eq(vcr_json_parse(&jb, b, strlen(b), 0, NULL), 0);
	ck_assert_int_eq(vcr_normal_json(&here, VCR_API_ANTHROPIC_MESSAGES, &ja, NULL, &oa), 0);
	ck_assert_int_eq(vcr_normal_json(&here, VCR_API_ANTHROPIC_MESSAGES, &jb, NULL, &ob), 0);
	ck_assert_str_eq(oa.data, ob.data);
	ck_assert_str_eq(oa.data, "{\"metadata\":{},\"model\":\"m\",\"system\":\"Today is {{vcr:date}}. cwd {{vcr:cwd}}\"}");
}
END_TEST

/* The second time all of its longer strings are known; in another context, and for the API whose lists are sorted, they are others. */
START_TEST(a_form_that_was_kept_is_the_one_that_is_made)
{
	static const char text[] = "{\"a\":[\"on 2026-11-24 in /home/ann/project, a text that is long enough to be kept: \\u00e9\\n\\\"x\\\"\",\"short\",\"another one in /home/ann/project, as long as that: pid 12, 0.5 s, and so on\"],"
		"\"b\":\"on 2026-11-24 in /home/ann/project, a text that is long enough to be kept: \\u00e9\\n\\\"x\\\"\",\"s\":\"<available_skills>\\n  <skill>\\nb\\n  </skill>\\n  <skill>\\na\\n  </skill>\\n</available_skills>\"}";
	static const struct vcr_normal_context there = { .cwd = "/srv", .home = "/home/bob", .tmp = "/tmp" };
	static const struct { const struct vcr_normal_context *c; enum vcr_api api; } runs[] = { { &here, VCR_API_OPENAI_CHAT }, { &there, VCR_API_OPENAI_CHAT }, { &here, VCR_API_GEMINI_GENERATE } };
	struct vcr_normal_cache *kept = vcr_normal_cache_new();
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	ck_assert_int_eq(vcr_json_parse(&j, text, strlen(text), 0, NULL), 0);
	for (int i = 0; i < 9; i++) {
		VCR_AUTO_BUF made = VCR_BUF_INIT, found = VCR_BUF_INIT;
		ck_assert_int_eq(vcr_normal_json(runs[i % 3].c, runs[i % 3].api, &j, NULL, &made), 0);
		ck_assert_int_eq(vcr_normal_json(runs[i % 3].c, runs[i % 3].api, &j, kept, &found), 0);
		ck_assert_str_eq(made.data, found.data);
	}
	vcr_normal_cache_free(kept);
}
END_TEST

/* gemini-cli's request, as far as its skills are in it. */
static void gemini_form(const char *skills, const char *hint, const char *names, const char *tool, struct vcr_buf *out)
{
	VCR_AUTO_BUF body = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	vcr_buf_printf(&body, "{\"systemInstruction\":{\"parts\":[{\"text\":\"# Skills\\n\\n<available_skills>\\n%s\\n</available_skills>\\nGo.\"}]},\"tools\":[{\"functionDeclarations\":[{\"name\":\"%s\","
		"\"description\":\"Activates a specialized agent skill by name (Available: %s). Returns it.\",\"parametersJsonSchema\":{\"properties\":{\"name\":{\"enum\":[%s]}}}}]}]}", skills, tool, hint, names);
	ck_assert_int_eq(vcr_json_parse(&j, body.data, body.len, 0, NULL), 0);
	vcr_buf_reset(out);
	ck_assert_int_eq(vcr_normal_json(&here, VCR_API_GEMINI_GENERATE, &j, NULL, out), 0);
}

START_TEST(skills_that_a_disk_lists_in_another_order_are_the_same)
{
#define SKILL(name) "  <skill>\\n    <name>" name "</name>\\n    <description>does " name "</description>\\n    <location>/home/ann/.gemini/" name "</location>\\n  </skill>"
	static const char ab[] = SKILL("a") "\\n" SKILL("b"), ba[] = SKILL("b") "\\n" SKILL("a"), other[] = SKILL("c") "\\n" SKILL("a");
	static const char activate[] = "activate_skill";
	VCR_AUTO_BUF one = VCR_BUF_INIT, two = VCR_BUF_INIT;
	gemini_form(ab, "'a', 'b'", "\"a\",\"b\"", activate, &one);
	gemini_form(ba, "'b', 'a'", "\"b\",\"a\"", activate, &two);
	ck_assert_str_eq(one.data, two.data);
	ck_assert_ptr_nonnull(strstr(one.data, "<name>a</name>"));
	ck_assert_ptr_nonnull(strstr(one.data, "[\"a\",\"b\"]"));
	gemini_form(other, "'a', 'b'", "\"a\",\"b\"", activate, &two);
	ck_assert_str_ne(one.data, two.data);
	gemini_form(ab, "'a', 'c'", "\"a\",\"b\"", activate, &two);
	ck_assert_str_ne(one.data, two.data);
	gemini_form(ab, "'a', 'b'", "\"a\",\"c\"", activate, &two);
	ck_assert_str_ne(one.data, two.data);
	gemini_form(ab, "'a', 'b'", "\"a\",\"b\"", "another", &one); /* enumerations of other tools stay as they are */
	gemini_form(ab, "'a', 'b'", "\"b\",\"a\"", "another", &two);
	ck_assert_str_ne(one.data, two.data);
}
END_TEST

/* A list that is cut anywhere, or is not quite one, is left as it is and read within its bounds (run under ASan). */
START_TEST(a_list_of_skills_that_is_none_is_left_alone)
{
	static const char text[] = "<available_skills>\n  <skill>\nb\n  </skill>\n  <skill>\na\n  </skill>\n</available_skills> agent skill by name (Available: 'b', 'a')";
	for (size_t n = 0; n < sizeof text; n++) {
		VCR_AUTO_BUF b = VCR_BUF_INIT;
		vcr_buf_add(&b, text, n);
		vcr_normal_order_text(&b);
		ck_assert_uint_eq(b.len, n);
		bool skills = n >= strlen("<available_skills>\n  <skill>\nb\n  </skill>\n  <skill>\na\n  </skill>\n</available_skills>"), hint = n == sizeof text - 1;
		ck_assert_int_eq(!memcmp(b.data, text, n), !skills && !hint);
	}
}
END_TEST

START_TEST(names_and_versions_can_be_told)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_normal_names(NULL, &out), 0);
	ck_assert_str_eq(out.data, "uuid/2 ls/1 date/2 cwd/2 workspace/1 home/2 tmp/2 pid/3 port/2 duration/2 claude/3 ansi/1 git/2 id/2 codex/2 project/1 skills/1");
}
END_TEST

/* Every prefix and every suffix of a text with one of each: nothing is read outside (run under ASan). */
START_TEST(cut_texts_are_read_within_their_bounds)
{
	static const char text[] = "Tue, 24 Nov 2026 10:11:12 GMT 2026-11-24T10:00:00.1+02:00 123e4567-e89b-12d3-a456-426614174000 pid 12 localhost:80 1.5 seconds cch=1 /tmp /.claude/projects/-a.b /.gemini/tmp/c";
	for (size_t i = 0; i <= strlen(text); i++)
		for (size_t k = i; k <= strlen(text); k += 3) {
			VCR_AUTO_BUF out = VCR_BUF_INIT;
			char *copy = malloc(k - i + 1);
			memcpy(copy, text + i, k - i);
			ck_assert_int_eq(vcr_normal_text(&here, copy, k - i, &out), 0);
			free(copy);
		}
}
END_TEST

static TCase *normal(void)
{
	TCase *tc = tcase_create("normal");
	tcase_add_test(tc, what_differs_from_run_to_run_is_recognised);
	tcase_add_test(tc, what_means_something_is_left_alone);
	tcase_add_test(tc, volatile_fields_are_a_deny_list_by_api);
	tcase_add_test(tc, two_requests_that_differ_in_nothing_that_matters_have_one_form);
	tcase_add_test(tc, a_form_that_was_kept_is_the_one_that_is_made);
	tcase_add_test(tc, skills_that_a_disk_lists_in_another_order_are_the_same);
	tcase_add_test(tc, a_list_of_skills_that_is_none_is_left_alone);
	tcase_add_test(tc, names_and_versions_can_be_told);
	tcase_add_test(tc, cut_texts_are_read_within_their_bounds);
	return tc;
}

TAP_MAIN("normal", normal)
