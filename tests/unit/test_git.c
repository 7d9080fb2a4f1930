#include "git.h"
#include "tap.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char dir[32];
static struct vcr_error e;
static struct vcr_git g;

static void setup(void)
{
	strcpy(dir, "/tmp/vcr-git-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	g = (struct vcr_git)VCR_GIT_INIT;
	g.dir = dir;
	ck_assert_msg(!VCR_GIT_MUST(&g, NULL, &e, "init", "-q"), "%s", e.what);
}

static void teardown(void)
{
	char cmd[64];
	vcr_git_release(&g);
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

START_TEST(its_output_and_status_come_back_and_its_words_are_the_error)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	ck_assert_msg(!VCR_GIT_LINE(&g, &out, &e, "rev-parse", "--show-toplevel"), "%s", e.what);
	ck_assert_str_eq(out.data, dir);
	ck_assert_int_gt(VCR_GIT(&g, NULL, &e, "rev-parse", "--verify", "-q", "HEAD"), 0);
	ck_assert_int_eq(VCR_GIT_MUST(&g, NULL, &e, "rev-parse", "--verify", "nosuch"), VCR_EIO);
	ck_assert_msg(strstr(e.what, dir) && strstr(e.what, "single revision"), "%s", e.what);
	ck_assert_int_eq(VCR_GIT_MUST(&g, NULL, &e, "-c", "alias.x=!echo warning: first >&2; echo error: then >&2; echo fatal: last >&2; exit 3", "x"), VCR_EIO);
	ck_assert_msg(strstr(e.what, "): then"), "%s", e.what);
	g.dir = "/nonexistent/place";
	ck_assert_int_lt(VCR_GIT(&g, NULL, &e, "status"), 0);
}
END_TEST

START_TEST(variables_that_lead_elsewhere_do_not_count)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	setenv("GIT_DIR", "/nonexistent", 1);
	setenv("GIT_INDEX_FILE", "/nonexistent/index", 1);
	ck_assert_msg(!VCR_GIT_LINE(&g, &out, &e, "rev-parse", "--show-toplevel"), "%s", e.what);
	unsetenv("GIT_DIR");
	unsetenv("GIT_INDEX_FILE");
	ck_assert_str_eq(out.data, dir);
}
END_TEST

START_TEST(objects_that_are_kept_apart_leave_the_repository_as_it_was)
{
	VCR_AUTO_BUF in = VCR_BUF_INIT, id = VCR_BUF_INIT, base = VCR_BUF_INIT, back = VCR_BUF_INIT;
	char of[64], apart[64];
	snprintf(of, sizeof of, "%s/.git/objects", dir);
	snprintf(apart, sizeof apart, "%s/apart", dir);
	vcr_buf_puts(&in, "known");
	ck_assert_int_eq(vcr_git_must(&g, (const char *const[]){ "hash-object", "-w", "--stdin", NULL }, &in, &base, &e), 0);
	ck_assert_msg(!vcr_git_apart(apart, of, &e), "%s", e.what);
	g.objects = apart;
	vcr_buf_puts(&in, " and new");
	ck_assert_int_eq(vcr_git_must(&g, (const char *const[]){ "hash-object", "-w", "--stdin", NULL }, &in, &id, &e), 0);
	id.data[strcspn(id.data, "\n")] = base.data[strcspn(base.data, "\n")] = 0;
	ck_assert_int_eq(VCR_GIT_MUST(&g, &back, &e, "cat-file", "blob", id.data), 0);
	ck_assert_str_eq(back.data, "known and new");
	ck_assert_int_eq(VCR_GIT(&g, NULL, &e, "cat-file", "-e", base.data), 0);
	g.objects = NULL;
	ck_assert_int_ne(VCR_GIT(&g, NULL, &e, "cat-file", "-e", id.data), 0);
	ck_assert_int_lt(vcr_git_apart(apart, "/a\nb", &e), 0);
}
END_TEST

START_TEST(a_caller_that_ignores_its_children_hears_the_status_too_and_goes_on_to_ignore_them)
{
	struct sigaction now;
	signal(SIGCHLD, SIG_IGN);
	ck_assert_int_eq(VCR_GIT(&g, NULL, &e, "rev-parse", "--verify", "-q", "HEAD"), 1);
	ck_assert_int_eq(sigaction(SIGCHLD, NULL, &now), 0);
	ck_assert(now.sa_handler == SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
}
END_TEST

static TCase *tc(void)
{
	TCase *t = tcase_create("git");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, its_output_and_status_come_back_and_its_words_are_the_error);
	tcase_add_test(t, variables_that_lead_elsewhere_do_not_count);
	tcase_add_test(t, a_caller_that_ignores_its_children_hears_the_status_too_and_goes_on_to_ignore_them);
	tcase_add_test(t, objects_that_are_kept_apart_leave_the_repository_as_it_was);
	return t;
}

TAP_MAIN("git", tc)
