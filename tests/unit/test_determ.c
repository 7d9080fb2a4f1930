#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "determ.h"
#include "tap.h"

#define SEED "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static bool parses(const char *text)
{
	struct vcr_determ_terms t;
	return vcr_determ_terms_parse(text, &t);
}

START_TEST(terms_come_back_from_their_text)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_determ_terms t, back;
	setenv("TZ", "Europe/Berlin", 1);
	ck_assert_int_eq(vcr_determ_terms_new(&t, NULL), 0);
	vcr_determ_terms_text(&t, &text);
	ck_assert_msg(vcr_determ_terms_parse(text.data, &back), "%s", text.data);
	ck_assert(!memcmp(&t, &back, sizeof t));
	ck_assert_str_eq(back.zone, "Europe/Berlin");
	*t.host = *t.zone = 0;
	vcr_buf_reset(&text);
	vcr_determ_terms_text(&t, &text);
	ck_assert(vcr_determ_terms_parse(text.data, &back) && !*back.host && !*back.zone);
}
END_TEST

START_TEST(what_makes_runs_alike_is_set_where_the_user_has_not_and_a_replay_sets_the_same)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, set = VCR_BUF_INIT, none = VCR_BUF_INIT;
	struct vcr_determ_terms t, back;
	unsetenv("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC");
	unsetenv("UV_THREADPOOL_SIZE");
	setenv("DO_NOT_TRACK", "", 1);
	ck_assert_int_eq(vcr_determ_terms_new(&t, NULL), 0);
	vcr_determ_terms_text(&t, &text);
	ck_assert_msg(strstr(text.data, " set=CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC") && !strstr(text.data, "DO_NOT_TRACK"), "%s", text.data);
	ck_assert(vcr_determ_terms_parse(text.data, &back));
	unsetenv("DO_NOT_TRACK"); /* whoever replays has another environment: what it was recorded with counts */
	vcr_determ_terms_apply(&back, &set);
	ck_assert_str_eq(set.data, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1, UV_THREADPOOL_SIZE=1");
	ck_assert_str_eq(getenv("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"), "1");
	ck_assert(!getenv("DO_NOT_TRACK"));
	vcr_determ_terms_apply(&back, &none);
	ck_assert_int_eq(none.len, 0);
	ck_assert(vcr_determ_terms_parse("v2 seed=" SEED " start=1 host= zone= set=LD_PRELOAD,DO_NOT_TRACK,,x", &back));
	vcr_determ_terms_apply(&back, &none);
	ck_assert_str_eq(none.data, "DO_NOT_TRACK=1");
	ck_assert(!getenv("LD_PRELOAD"));
	ck_assert(vcr_determ_terms_parse("v2 seed=" SEED " start=1 host= zone=", &back) && !back.set[0] && !back.set[1]);
}
END_TEST

START_TEST(a_text_that_is_none_is_refused)
{
	static const char *const bad[] = { "", "v2", "v2 seed=", "v1 seed=" SEED " start=1 host= zone=", "v2 seed=" SEED, "v2 seed=" SEED " start= host= zone=", "v2 seed=" SEED " start=1x host= zone=",
		"v2 seed=" SEED " start=-1 host= zone=", "v2 seed=" SEED " start=99999999999999999999 host= zone=", "v2 seed=g" SEED " start=1 host= zone=", "v2 seed=" SEED " start=1 zone= host=" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!parses(bad[i]), "%s", bad[i]);
	ck_assert(parses("v2 seed=" SEED " start=1 host=a zone=UTC"));
}
END_TEST

START_TEST(a_name_that_is_too_long_is_as_if_there_were_none)
{
	char text[400];
	struct vcr_determ_terms t;
	snprintf(text, sizeof text, "v2 seed=" SEED " start=1 host=%0200d zone=UTC", 0);
	ck_assert(vcr_determ_terms_parse(text, &t) && !*t.host && !strcmp(t.zone, "UTC"));
}
END_TEST

START_TEST(the_clock_never_goes_back)
{
	char dir[] = "/tmp/determ-XXXXXX", spool[64], path[64];
	struct vcr_determ_terms t = { .start_us = 1000 };
	struct stat st;
	ck_assert(mkdtemp(dir));
	snprintf(spool, sizeof spool, "%s/r.spool", dir);
	snprintf(path, sizeof path, "%s/r.determ", dir);
	ck_assert(!vcr_determ_open(spool));
	ck_assert_int_eq(vcr_determ_make(spool, &t, NULL), 0);
	ck_assert_int_lt(vcr_determ_make(spool, &t, NULL), 0);
	ck_assert(!stat(path, &st) && (st.st_mode & 0777) == 0600);
	struct vcr_determ_page *p = vcr_determ_open(spool);
	ck_assert(p && p->clock == 1000);
	vcr_determ_answered(p, 3000);
	vcr_determ_answered(p, 2000);
	vcr_determ_answered(p, -1);
	ck_assert(p->clock == 3000);
	vcr_determ_close(p);
	ck_assert(!truncate(path, 100) && !vcr_determ_open(spool));
	vcr_determ_remove(spool);
	ck_assert(access(path, F_OK));
	rmdir(dir);
}
END_TEST

START_TEST(a_session_that_was_not_recorded_so_gives_the_same_each_time)
{
	struct vcr_determ_terms a, b, c;
	ck_assert(!vcr_determ_terms_of(&a, "one", 5, NULL) && !vcr_determ_terms_of(&b, "one", 5, NULL) && !vcr_determ_terms_of(&c, "two", 5, NULL));
	ck_assert(!memcmp(&a, &b, sizeof a) && memcmp(a.seed, c.seed, sizeof a.seed));
}
END_TEST

static TCase *determ(void)
{
	TCase *tc = tcase_create("determ");
	tcase_add_test(tc, terms_come_back_from_their_text);
	tcase_add_test(tc, what_makes_runs_alike_is_set_where_the_user_has_not_and_a_replay_sets_the_same);
	tcase_add_test(tc, a_text_that_is_none_is_refused);
	tcase_add_test(tc, a_name_that_is_too_long_is_as_if_there_were_none);
	tcase_add_test(tc, the_clock_never_goes_back);
	tcase_add_test(tc, a_session_that_was_not_recorded_so_gives_the_same_each_time);
	return tc;
}

TAP_MAIN("determ", determ)
