#include "paths.h"
#include "tap.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/vcr-paths-XXXXXX";

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	unsetenv("VCR_DIR");
	setenv("HOME", top, 1);
	unsetenv("XDG_STATE_HOME");
	mkdir("repo", 0755);
	mkdir("repo/.git", 0755);
	mkdir("repo/sub", 0755);
	mkdir("plain", 0755);
}

static void teardown(void)
{
	char cmd[64];
	snprintf(cmd, sizeof cmd, "rm -rf %s", top);
	ck_assert_int_eq(system(cmd), 0);
}

static bool ends(const struct vcr_buf *b, const char *s)
{
	return b->len >= strlen(s) && !strcmp(b->data + b->len - strlen(s), s);
}

START_TEST(the_workspace_is_the_git_top_level_or_the_directory)
{
	VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_paths_workspace("repo/sub", &a, NULL), 0);
	ck_assert_msg(ends(&a, "/repo"), "%s", a.data);
	ck_assert_int_eq(vcr_paths_workspace("plain", &b, NULL), 0);
	ck_assert_msg(ends(&b, "/plain"), "%s", b.data);
	struct vcr_error e;
	ck_assert_int_lt(vcr_paths_workspace("missing", &b, &e), 0);
}
END_TEST

START_TEST(the_vcr_directory_is_the_nearest_inside_the_repository)
{
	VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT, c = VCR_BUF_INIT;
	vcr_paths_vcr_dir("repo/sub", &a, NULL);
	ck_assert_msg(ends(&a, "/repo/.vcr"), "%s", a.data);
	mkdir("repo/sub/.vcr", 0700);
	vcr_paths_vcr_dir("repo/sub", &b, NULL);
	ck_assert_msg(ends(&b, "/repo/sub/.vcr"), "%s", b.data);
	setenv("VCR_DIR", "/elsewhere", 1);
	vcr_paths_vcr_dir("repo/sub", &c, NULL);
	ck_assert_str_eq(c.data, "/elsewhere");
}
END_TEST

START_TEST(a_new_vcr_directory_is_private_and_ignored_by_git)
{
	struct stat st;
	ck_assert_int_eq(vcr_paths_make_vcr_dir("repo/.vcr", NULL), 0);
	ck_assert(!stat("repo/.vcr", &st) && (st.st_mode & 0777) == 0700);
	ck_assert(!stat("repo/.vcr/.gitignore", &st) && st.st_size == 2);
}
END_TEST

START_TEST(a_hostile_session_id_is_refused_in_one_line)
{
	static const char *const bad[] = { "", "../x", "-x", "x.lock", ".x", "a/b", "a\nb", "x.vcr", "x.", "\xc3\xa9", " x", "x " };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct vcr_error e = { 0 };
		ck_assert_msg(vcr_paths_check_session_id(bad[i], &e) == VCR_EINVAL, "%s", bad[i]);
		ck_assert(e.what[0] && (strchr(bad[i], '\n') || !strchr(e.what, '\n')));
	}
	char id[32];
	vcr_paths_new_session_id(id);
	ck_assert_int_eq(vcr_paths_check_session_id(id, NULL), 0);
	ck_assert_int_eq(vcr_paths_check_session_id("task 001_b.c", NULL), 0);
}
END_TEST

START_TEST(a_session_is_found_by_id_prefix_path_or_as_the_last)
{
	mkdir("plain/.vcr", 0700);
	static const char *const names[] = { "plain/.vcr/abc.vcr", "plain/.vcr/abd.vcr", "plain/.vcr/x.vcr" };
	for (int i = 0; i < 3; i++) {
		close(open(names[i], O_CREAT | O_WRONLY, 0600));
		struct timespec t[2] = { { 1000 + i, 0 }, { 1000 + i, 0 } };
		utimensat(AT_FDCWD, names[i], t, 0);
	}
	static const struct { const char *name, *found; } want[] = { { NULL, "x.vcr" }, { "last", "x.vcr" }, { "abc", "abc.vcr" }, { "abd.vcr", "abd.vcr" },
		{ "plain/.vcr/abc.vcr", "abc.vcr" }, { "ab", NULL }, { "zz", NULL } };
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		int err = vcr_paths_find_session("plain/.vcr", want[i].name, &path, NULL);
		ck_assert_int_eq(err == 0, want[i].found != NULL);
		ck_assert(!want[i].found || ends(&path, want[i].found));
	}
}
END_TEST

START_TEST(of_sessions_that_overlap_the_last_is_the_one_that_began_last)
{
	static const struct { const char *name, *began; int written; } list[] = { { "plain/.vcr/o1.vcr", "2026-01-01T00:00:05.000000+00:00", 2000000300 },
		{ "plain/.vcr/o2.vcr", "2026-01-01T00:00:05.000001+00:00", 2000000100 }, { "plain/.vcr/o3.vcr", "2026-01-01T00:00:04+00:00", 2000000200 } };
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	mkdir("plain/.vcr", 0700);
	for (int i = 0; i < 3; i++) {
		FILE *f = fopen(list[i].name, "w");
		fprintf(f, "{\"type\":\"session\",\"data\":{\"session_id\":\"o\",\"created_at\":\"%s\"}}\n", list[i].began);
		fclose(f);
		struct timespec t[2] = { { list[i].written, 0 }, { list[i].written, 0 } };
		utimensat(AT_FDCWD, list[i].name, t, 0);
	}
	ck_assert_int_eq(vcr_paths_find_session("plain/.vcr", "last", &path, NULL), 0);
	ck_assert(ends(&path, "o2.vcr"));
}
END_TEST

static TCase *paths(void)
{
	TCase *tc = tcase_create("paths");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_workspace_is_the_git_top_level_or_the_directory);
	tcase_add_test(tc, the_vcr_directory_is_the_nearest_inside_the_repository);
	tcase_add_test(tc, a_new_vcr_directory_is_private_and_ignored_by_git);
	tcase_add_test(tc, a_hostile_session_id_is_refused_in_one_line);
	tcase_add_test(tc, a_session_is_found_by_id_prefix_path_or_as_the_last);
	tcase_add_test(tc, of_sessions_that_overlap_the_last_is_the_one_that_began_last);
	return tc;
}

TAP_MAIN("paths", paths)
