#include "testrun.h"
#include "limits.h"
#include "tap.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct vcr_testrun *new_run(const char *command, int timeout_s)
{
	const struct vcr_testrun_options o = { .command = command, .dir = "/", .timeout_s = timeout_s, .mask = 027 };
	struct vcr_testrun *t;
	ck_assert_int_eq(vcr_testrun_new(&t, &o), 0);
	return t;
}

static struct vcr_testrun_result finish(struct vcr_testrun *t)
{
	struct vcr_testrun_result r;
	struct pollfd fd[2];
	while (!vcr_testrun_serve(t, &r))
		poll(fd, (nfds_t)vcr_testrun_pollfds(t, fd), vcr_testrun_timeout(t));
	ck_assert(!vcr_testrun_runs(t) && !vcr_testrun_serve(t, &r));
	return r;
}

static struct vcr_testrun_result run(struct vcr_testrun *t)
{
	ck_assert_int_eq(vcr_testrun_start(t, NULL), 0);
	return finish(t);
}

START_TEST(the_result_is_the_commands_status_and_what_it_printed_on_both_outputs)
{
	struct vcr_testrun *t = new_run("pwd; echo bad >&2; umask; cat; exit 3", 0);
	for (int i = 0; i < 2; i++) { /* as often as you like */
		struct vcr_testrun_result r = run(t);
		ck_assert(r.exit_code == 3 && !r.signal && !r.timed_out && !r.stopped && r.seconds >= 0);
		ck_assert_str_eq(r.output, "/\nbad\n0027\n");
		ck_assert_int_eq(r.printed, 11);
	}
	vcr_testrun_free(t);
}
END_TEST

START_TEST(only_one_runs_at_a_time)
{
	struct vcr_testrun *t = new_run("exec sleep 100", 0);
	ck_assert_int_eq(vcr_testrun_start(t, NULL), 0);
	ck_assert_int_eq(vcr_testrun_start(t, NULL), VCR_EBUSY);
	vcr_testrun_free(t);
}
END_TEST

START_TEST(of_long_output_the_end_is_kept)
{
	struct vcr_testrun *t = new_run("yes 0123456 | head -n 100000; echo last", 0);
	struct vcr_testrun_result r = run(t);
	ck_assert_int_eq(r.printed, 800005);
	ck_assert_uint_eq(r.n, VCR_MAX_TEST_OUTPUT);
	ck_assert_str_eq(r.output + r.n - 13, "0123456\nlast\n");
	vcr_testrun_free(t);
}
END_TEST

START_TEST(at_its_time_limit_it_is_ended_even_if_it_ignores_that)
{
	struct vcr_testrun *t = new_run("trap '' TERM; while :; do sleep 100; done", 1);
	struct vcr_testrun_result r = run(t);
	ck_assert(r.timed_out && !r.stopped && r.exit_code == -1 && r.signal == SIGKILL);
	ck_assert(r.seconds >= 1);
	vcr_testrun_free(t);
}
END_TEST

START_TEST(stopped_it_is_told_to_end_first)
{
	struct vcr_testrun *t = new_run("trap 'echo tidy; exit 5' TERM; echo ready; sleep 100 & wait", 0);
	struct vcr_testrun_result r;
	struct pollfd fd[2];
	ck_assert_int_eq(vcr_testrun_start(t, NULL), 0);
	ck_assert(poll(fd, (nfds_t)vcr_testrun_pollfds(t, fd), 20000) > 0); /* it is ready */
	vcr_testrun_stop(t);
	r = finish(t);
	ck_assert(r.stopped && !r.timed_out && r.exit_code == 5);
	ck_assert_str_eq(r.output, "ready\ntidy\n");
	vcr_testrun_free(t);
}
END_TEST

START_TEST(what_it_leaves_behind_ends_with_it)
{
	struct vcr_testrun *t = new_run("sleep 100 & echo $!", 0);
	struct vcr_testrun_result r = run(t);
	int left = atoi(r.output), tries = 0;
	ck_assert(r.exit_code == 0 && left > 0);
	for (char name[40], state = 0; tries < 2000 && state != 'Z'; tries++) { /* whoever is its parent may take a while to reap it */
		snprintf(name, sizeof name, "/proc/%d/stat", left);
		FILE *f = fopen(name, "re");
		if (!f || fscanf(f, "%*d %*s %c", &state) != 1)
			state = 'Z';
		if (f)
			fclose(f);
		if (state != 'Z')
			poll(NULL, 0, 5);
	}
	ck_assert_int_lt(tries, 2000);
	vcr_testrun_free(t);
}
END_TEST

START_TEST(nothing_of_it_is_recorded)
{
	setenv("VCR_SPOOL", "p:/nowhere", 1);
	setenv("VCR_ANNOTATE", "/nowhere", 1);
	setenv("VCR_OF_THE_USER", "kept", 1);
	struct vcr_testrun *t = new_run("echo \"$VCR_SPOOL$VCR_ANNOTATE$LD_PRELOAD$VCR_OF_THE_USER\"", 0);
	ck_assert_str_eq(run(t).output, "kept\n");
	vcr_testrun_free(t);
	unsetenv("VCR_SPOOL");
	unsetenv("VCR_ANNOTATE");
}
END_TEST

START_TEST(a_directory_that_is_gone_is_an_error)
{
	const struct vcr_testrun_options o = { .command = "true", .dir = "/nonexistent" };
	struct vcr_testrun *t;
	struct vcr_error e = { 0 };
	ck_assert_int_eq(vcr_testrun_new(&t, &o), 0);
	ck_assert_int_ne(vcr_testrun_start(t, &e), 0);
	ck_assert(strstr(e.what, "/nonexistent") && !vcr_testrun_runs(t));
	vcr_testrun_free(t);
}
END_TEST

static TCase *testrun(void)
{
	TCase *c = tcase_create("testrun");
	tcase_add_test(c, the_result_is_the_commands_status_and_what_it_printed_on_both_outputs);
	tcase_add_test(c, only_one_runs_at_a_time);
	tcase_add_test(c, of_long_output_the_end_is_kept);
	tcase_add_test(c, at_its_time_limit_it_is_ended_even_if_it_ignores_that);
	tcase_add_test(c, stopped_it_is_told_to_end_first);
	tcase_add_test(c, what_it_leaves_behind_ends_with_it);
	tcase_add_test(c, nothing_of_it_is_recorded);
	tcase_add_test(c, a_directory_that_is_gone_is_an_error);
	return c;
}

TAP_MAIN("testrun", testrun)
