#include "when.h"
#include "tap.h"
#include <stdlib.h>
#include <time.h>

#define SECOND INT64_C(1000000000)
enum { DAY = 1764028800 /* 2025-11-25 00:00 UTC */ };

static void zone(const char *name)
{
	setenv("TZ", name, 1);
	tzset();
}

static int64_t at(const char *s)
{
	int64_t ns = -1;
	return vcr_when(s, (DAY + 3600) * SECOND, (DAY + 7200) * SECOND, &ns) ? ns / SECOND - DAY : -999999999;
}

START_TEST(a_time_without_offset_is_local_and_one_with_offset_is_not)
{
	zone("XYZ-2"); /* two hours east */
	ck_assert_int_eq(at("2025-11-25T04:00:05"), 2 * 3600 + 5);
	ck_assert_int_eq(at("2025-11-25 04:00"), 2 * 3600);
	ck_assert_int_eq(at("2025-11-25"), -2 * 3600);
	ck_assert_int_eq(at("2025-11-25T04:00:05Z"), 4 * 3600 + 5);
	ck_assert_int_eq(at("2025-11-25T04:00:05+04:00"), 5);
	ck_assert_int_eq(at("2025-11-25T04:00:05.250+04:00"), 5);
}
END_TEST

START_TEST(a_clock_time_is_on_the_day_in_question)
{
	zone("XYZ-2");
	ck_assert_int_eq(at("10:02"), 8 * 3600 + 120);
	ck_assert_int_eq(at("10:02:11"), 8 * 3600 + 131);
}
END_TEST

START_TEST(a_span_counts_back_from_now)
{
	int64_t ns = 5;
	zone("UTC");
	ck_assert_int_eq(at("90s"), 7200 - 90);
	ck_assert_int_eq(at("30m"), 7200 - 1800);
	ck_assert_int_eq(at("2h"), 0);
	ck_assert_int_eq(at("3d"), 7200 - 3 * 86400);
	ck_assert_int_eq(at("1w"), 7200 - 7 * 86400);
	ck_assert(!vcr_when("2h", 0, 0, &ns));
	ck_assert_int_eq(ns, 5);
}
END_TEST

START_TEST(what_is_no_time_is_refused)
{
	static const char *const bad[] = { "", "x", "-2h", "2y", "h", "10:", "10:02:", "25:00", "10:60", "10:02x", "2025-11", "2025-13-01",
		"2025-11-25X10:00", "2025-11-25T", "2025-11-25T4", "99999999999999999999h", "10:-2", " 10:02" };
	zone("UTC");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(at(bad[i]) == -999999999, "%s was taken", bad[i]);
}
END_TEST

static TCase *when(void)
{
	TCase *tc = tcase_create("when");
	tcase_add_test(tc, a_time_without_offset_is_local_and_one_with_offset_is_not);
	tcase_add_test(tc, a_clock_time_is_on_the_day_in_question);
	tcase_add_test(tc, a_span_counts_back_from_now);
	tcase_add_test(tc, what_is_no_time_is_refused);
	return tc;
}

TAP_MAIN("when", when)
