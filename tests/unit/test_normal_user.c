#include "normal.h"
#include "normal-user.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct vcr_normal_user *user;

static void define(const char *a, const char *b)
{
	struct vcr_error e = { 0 };
	char *list[] = { (char *)a, (char *)b, NULL };
	ck_assert_msg(!vcr_normal_user_new(&user, list, &e), "%s", e.what);
}

static void release(void)
{
	vcr_normal_user_free(user);
	user = NULL;
}

static void expect(const char *text, const char *want)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_normal_context here = { .home = "/home/ann", .user = user };
	ck_assert_int_eq(vcr_normal_text(&here, text, strlen(text), &out), 0);
	ck_assert_str_eq(out.data, want);
}

START_TEST(what_an_expression_matches_has_its_name)
{
	define("ticket TICKET-[0-9]+", "build ^build [a-z]+$");
	expect("see TICKET-1, TICKET-22 on 2026-11-24", "see {{vcr:ticket}}, {{vcr:ticket}} on {{vcr:date}}");
	expect("x\nbuild abc\na build abc", "x\n{{vcr:build}}\na build abc");
	expect("", "");
	expect("TICKET-", "TICKET-");
}
END_TEST

START_TEST(the_first_match_counts_and_of_equal_ones_the_first_definition)
{
	define("whole /home/[a-z]+/[0-9]+", "part [0-9]+");
	expect("/home/ann/12 and 34", "{{vcr:whole}} and {{vcr:part}}");
	release();
	define("part [0-9]+", "whole [0-9a-z]+");
	expect("12ab ab12", "{{vcr:part}}ab {{vcr:whole}}");
}
END_TEST

START_TEST(a_match_in_a_long_line_is_found_wherever_it_stands)
{
	define("ticket TICKET-[0-9]+", NULL);
	for (size_t at = 0; at < 3000; at += 7) {
		VCR_AUTO_BUF text = VCR_BUF_INIT, want = VCR_BUF_INIT;
		for (size_t i = 0; i < at; i++)
			vcr_buf_putc(&text, '.');
		vcr_buf_add(&want, text.data, text.len);
		vcr_buf_puts(&text, "TICKET-4711");
		vcr_buf_puts(&want, "{{vcr:ticket}}");
		for (size_t i = 0; i < 1500; i++) {
			vcr_buf_putc(&text, '.');
			vcr_buf_putc(&want, '.');
		}
		expect(text.data, want.data);
	}
}
END_TEST

START_TEST(what_would_be_slow_or_large_is_refused_by_name)
{
	static const char *const bad[] = { "(a)\\1", "x", "Upper a", "uuid a", "n", "n ", "n a{1001}", "n ((a{20}){20}){20}", "n (", "n [", "n a{2,1}", "n (x)\\1" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct vcr_error e = { 0 };
		ck_assert_msg(vcr_normal_user_check(bad[i], &e) == VCR_EINVAL, "%s", bad[i]);
		ck_assert(*e.what);
	}
	char longer[300] = "n ";
	memset(longer + 2, 'a', 250);
	ck_assert_int_eq(vcr_normal_user_check(longer, NULL), VCR_EINVAL);
	char *twice[] = { "n a", "n b", NULL };
	ck_assert_int_eq(vcr_normal_user_new(&user, twice, NULL), VCR_EINVAL);
	ck_assert_ptr_null(user);
	ck_assert_int_eq(vcr_normal_user_check("n a{1,64}[0-9]{8}", NULL), 0);
}
END_TEST

static double cpu_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Four megabytes of what such expressions like least. */
START_TEST(an_expression_that_takes_too_long_is_given_up_and_named)
{
	static const char *const slow[] = { "n (a|aa|aaa)*b", "n (a*)*(a*)*(a*)*b", "n a.*a.*a.*a.*b", "n ((a?){31}){31}b" };
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	memset(vcr_buf_reserve(&text, 4 << 20), 'a', 4 << 20);
	vcr_buf_added(&text, 4 << 20);
	for (size_t i = 0; i < sizeof slow / sizeof *slow; i++) {
		VCR_AUTO_BUF spans = VCR_BUF_INIT;
		double before = cpu_s();
		define(slow[i], NULL);
		ck_assert_int_eq(vcr_normal_user_find(user, text.data, text.len, &spans), 0);
		ck_assert_msg(cpu_s() - before < 20, "%s took %f s", slow[i], cpu_s() - before);
		ck_assert_uint_eq(spans.len, 0);
		const char *name = vcr_normal_user_take_given_up(user);
		ck_assert_msg(!name || !strcmp(name, "n"), "%s", slow[i]);
		ck_assert_ptr_null(vcr_normal_user_take_given_up(user));
		release();
	}
}
END_TEST

START_TEST(another_expression_is_another_version)
{
	VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT, c = VCR_BUF_INIT;
	define("n a", NULL);
	vcr_normal_user_names(user, &a);
	vcr_normal_names(user, &c);
	release();
	define("n b", NULL);
	vcr_normal_user_names(user, &b);
	ck_assert(!strncmp(a.data, " n/", 3) && a.len == 11 && strcmp(a.data, b.data));
	ck_assert_ptr_nonnull(strstr(c.data, a.data));
}
END_TEST

/* normal.c looks only where the byte may begin something: here every normaliser is asked at every place. */
START_TEST(the_built_in_ones_are_found_wherever_they_match)
{
	static const char *const texts[] = {
		"Apr 3, 2026 Aug 4 2026 May 5, 2026 Wed, 7 Jan 2026 Thu Feb  5 2026 Sun Mar 1 10:00:00 2026 Oct 9, 2026 Dec 24, 2026 6 June 2026 Sat Sep 5 2026 Mon Jul 6 2026 Fri Nov 6 2026",
		"A23e4567-e89b-12d3-a456-426614174000 f23e4567-e89b-12d3-a456-426614174000 E23e4567-E89B-12d3-a456-426614174000 xf23e4567-e89b-12d3-a456-426614174000",
		"chatcmpl-0123456789abcdef0 msg_0123456789abcdef0 resp_0123456789abcdef0 req_0123456789abcdef0 fc_0123456789abcdef0 rs_0123456789abcdef0 ctc_0123456789abcdef0 run_0123456789abcdef0 srvtoolu_0123456789abcdef0 toolu_0123456789abcdef0 call_0123456789abcdef0 chatcmpl_0123456789abcdef0",
		"commit abcdef1 index a1b2c3d..e4f5a6b 1 x 42 Nov 24 10:02 y 1K Aug  4  2026 z 2 Apr 3 10:00 q 9 Jun 3 10:00 \x1b[1mcch=1 cc_prompt_id=2 Chunk ID: ab12 pid 3 localhost:4 5ms 0.1s /home/ann/x /tmp",
	};
	struct vcr_normal_context c = { .cwd = "/home/ann/x", .home = "/home/ann", .tmp = "/tmp" };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		const char *p = texts[i];
		struct vcr_normal_scan s;
		size_t n = strlen(p), found = 0;
		vcr_normal_scan_init(&s, &c, p, n);
		for (size_t at = 0; at < n;) {
			const struct vcr_normaliser *m = vcr_normalisers;
			size_t len = 0;
			while (m->name && !(len = m->match(&c, p, n, at)))
				m++;
			if (len) {
				ck_assert_msg(vcr_normal_scan_next(&s) && s.found == at && s.len == len && s.by == m, "%s: %s at %zu", p, m->name, at);
				found++;
			}
			at += len ? len : 1;
		}
		ck_assert(!vcr_normal_scan_next(&s));
		ck_assert_uint_ge(found, 3);
		vcr_normal_scan_release(&s);
	}
}
END_TEST

static TCase *normal_user(void)
{
	TCase *tc = tcase_create("normal-user");
	tcase_add_checked_fixture(tc, NULL, release);
	tcase_add_test(tc, what_an_expression_matches_has_its_name);
	tcase_add_test(tc, the_first_match_counts_and_of_equal_ones_the_first_definition);
	tcase_add_test(tc, a_match_in_a_long_line_is_found_wherever_it_stands);
	tcase_add_test(tc, what_would_be_slow_or_large_is_refused_by_name);
	tcase_add_test(tc, an_expression_that_takes_too_long_is_given_up_and_named);
	tcase_add_test(tc, another_expression_is_another_version);
	tcase_add_test(tc, the_built_in_ones_are_found_wherever_they_match);
	return tc;
}

TAP_MAIN("normal-user", normal_user)
