#include "toolkey.h"
#include "tap.h"

static const struct vcr_normal_context here = { .cwd = "/place" };

/* The key of NUL-separated arguments (an empty one ends them), with | for NUL. */
static const char *key(const char *const *argv)
{
	static char text[4096];
	VCR_AUTO_BUF asked = VCR_BUF_INIT, out = VCR_BUF_INIT;
	for (; *argv; argv++)
		vcr_buf_add(&asked, *argv, strlen(*argv) + 1);
	ck_assert(!vcr_toolkey(&here, &asked, &out) && out.len < sizeof text);
	for (size_t i = 0; i < out.len; i++)
		text[i] = out.data[i] ? out.data[i] : '|';
	text[out.len] = 0;
	return text;
}

#define KEY(...) key((const char *const[]){ __VA_ARGS__, NULL })
#define WRAPPED "__CODEX_SNAPSHOT_OVERRIDE_SET_0=\"${X+x}\"\nif . '/home/a/.codex/shell_snapshots/1' >/dev/null; then :; fi\n\n"

START_TEST(arguments_are_normalised_one_by_one)
{
	ck_assert_str_eq(KEY("/a", "ls", "-l", ""), "/a|ls|-l||");
	char *one = strdup(KEY("/a", "ls", "-l"));
	ck_assert_str_ne(KEY("/a", "ls -l"), one);
	free(one);
	char *there = strdup(KEY("/place", "cat", "/place/x"));
	ck_assert(!strstr(there, "/place"));
	free(there);
}
END_TEST

START_TEST(a_snapshot_of_codex_is_the_same_at_any_time)
{
	char *one = strdup(KEY("/a", "bash", "-c", ". \"/h/.codex/shell_snapshots/01a2-7b.tmp-17957526\""));
	ck_assert_str_eq(KEY("/a", "bash", "-c", ". \"/h/.codex/shell_snapshots/01b3-8c.tmp-99\""), one);
	ck_assert_str_ne(KEY("/a", "bash", "-c", ". \"/h/.codex/shell_snapshots/01b3-8c.tmp-99x\""), one);
	ck_assert_str_ne(KEY("/a", "bash", "-c", ". \"/h/.codex/other/01b3-8c.tmp-99\""), one);
	free(one);
}
END_TEST

START_TEST(a_scratch_directory_of_gemini_is_the_same_each_time)
{
	char *one = strdup(KEY("/a", "bash", "-c", "f=/tmp/gemini-shell-CTyfP4/bgpids.tmp; echo"));
	ck_assert_str_eq(KEY("/a", "bash", "-c", "f=/tmp/gemini-shell-a0b1c2/bgpids.tmp; echo"), one);
	ck_assert_str_ne(KEY("/a", "bash", "-c", "f=/tmp/gemini-shell-a0b1c2d/bgpids.tmp; echo"), one);
	ck_assert_str_ne(KEY("/a", "bash", "-c", "f=/tmp/gemini-shell-CTyfP4/bgpids.tmp; date"), one);
	free(one);
}
END_TEST

START_TEST(a_command_that_codex_has_wrapped_is_the_command)
{
	char *plain = strdup(KEY("/a", "/bin/bash", "-lc", "echo 'it is' \"$HOME\"\nexit 3"));
	ck_assert_str_eq(KEY("/a", "/bin/bash", "-c", WRAPPED "exec '/bin/bash' -c 'echo '\"'\"'it is'\"'\"' \"$HOME\"\nexit 3'"), plain);
	free(plain);
	plain = strdup(KEY("/a", "/bin/bash", "-lc", "echo $1", "name", "b c"));
	ck_assert_str_eq(KEY("/a", "/bin/bash", "-c", WRAPPED "exec '/bin/bash' -c 'echo $1' 'name' 'b c'"), plain);
	free(plain);
}
END_TEST

START_TEST(what_only_looks_so_stays_as_it_is)
{
	static const char *const texts[] = { "exec '/bin/bash' -c 'echo'", WRAPPED "exec '/bin/bash' -c 'open", WRAPPED "exec '/bin/bash' -x 'echo'", WRAPPED "exec '/bin/bash' -c $CMD", WRAPPED "echo",
		WRAPPED, WRAPPED "exec '/bin/bash' -c 'a\nexec '\"'\"'b; c" };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		ck_assert_msg(!strstr(KEY("/a", "/bin/bash", "-c", texts[i]), "-lc"), "%s", texts[i]);
	ck_assert_str_eq(KEY("/a", "/bin/bash", "-c"), "/a|/bin/bash|-c|");
	ck_assert_str_eq(KEY("/a"), "/a|");
}
END_TEST

static TCase *toolkey(void)
{
	TCase *tc = tcase_create("toolkey");
	tcase_add_test(tc, arguments_are_normalised_one_by_one);
	tcase_add_test(tc, a_snapshot_of_codex_is_the_same_at_any_time);
	tcase_add_test(tc, a_scratch_directory_of_gemini_is_the_same_each_time);
	tcase_add_test(tc, a_command_that_codex_has_wrapped_is_the_command);
	tcase_add_test(tc, what_only_looks_so_stays_as_it_is);
	return tc;
}

TAP_MAIN("toolkey", toolkey)
