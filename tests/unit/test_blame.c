#include "blame.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct vcr_blame b;

static void begin(const char *text)
{
	ck_assert_int_eq(vcr_blame_begin(&b, text, strlen(text)), 0);
}

static void back(const char *text, int step)
{
	ck_assert_int_eq(vcr_blame_back(&b, text, text ? strlen(text) : 0, step), 0);
}

/* A digit for each line, '-' where the step is not known. */
static void are(const char *want)
{
	char have[64] = "";
	for (size_t i = 0; i < b.n && i < 63; i++)
		have[i] = b.step[i] < 0 ? '-' : (char)('0' + b.step[i]);
	ck_assert_str_eq(have, want);
}

START_TEST(each_line_is_of_the_step_that_put_it_there)
{
	begin("one\ntwo b\nnew\nthree\nlast\n");
	back("one\ntwo b\nthree\nlast\n", 3);
	are("--3--");
	back("one\ntwo\nthree\nlast\n", 2);
	are("-23--");
	back("one\ntwo\nthree\n", 1);
	are("-23-1");
	ck_assert_uint_eq(b.open, 2);
	back(NULL, 0);
	are("02301");
	ck_assert_uint_eq(b.open, 0);
	vcr_blame_release(&b);
}
END_TEST

START_TEST(a_line_that_was_taken_out_and_came_back_is_of_who_brought_it_back)
{
	begin("a\nb\nc\n");
	back("a\nc\n", 2);
	back("a\nb\nc\n", 1);
	back(NULL, 0);
	are("020");
	vcr_blame_release(&b);
}
END_TEST

START_TEST(empty_texts_missing_newlines_and_whole_rewrites)
{
	begin("");
	ck_assert_uint_eq(b.n, 0);
	back("x\n", 1);
	vcr_blame_release(&b);
	begin("a\nb");
	back("a\n", 2);
	back("", 1);
	are("12");
	vcr_blame_release(&b);
	begin("x\ny\n");
	back("p\nq\nr\n", 4);
	are("44");
	back(NULL, 3);
	are("44");
	vcr_blame_release(&b);
}
END_TEST

START_TEST(one_line_may_be_asked_for)
{
	begin("a\nb\nc\n");
	vcr_blame_only(&b, 1);
	back("a\n", 2);
	are("-2-");
	ck_assert_uint_eq(b.open, 0);
	vcr_blame_release(&b);
	begin("a\n");
	vcr_blame_only(&b, 7);
	ck_assert_uint_eq(b.open, 0);
	vcr_blame_release(&b);
}
END_TEST

/* Random edits of numbered lines: every line's text says which step wrote it. */
START_TEST(random_histories_agree_with_what_the_lines_say)
{
	char *version[12] = { NULL };
	srand((unsigned)_i + 1);
	char lines[200][24];
	int n = 0;
	for (int v = 0; v < 12; v++) {
		for (int edits = rand() % 6 + (v == 0) * 30; edits > 0; edits--) {
			int at = n ? rand() % n : 0;
			if (n > 3 && rand() % 3 == 0) {
				memmove(lines[at], lines[at + 1], sizeof *lines * (size_t)(--n - at));
			} else if (n < 199) {
				memmove(lines[at + 1], lines[at], sizeof *lines * (size_t)(n++ - at));
				snprintf(lines[at], sizeof *lines, "%d %d", v, rand());
			}
		}
		version[v] = calloc(200, 24);
		for (int i = 0; i < n; i++)
			strcat(strcat(version[v], lines[i]), "\n");
	}
	begin(version[11]);
	for (int v = 10; v >= 0; v--)
		back(version[v], v + 1);
	back(NULL, 0);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(b.step[i], atoi(lines[i]));
	vcr_blame_release(&b);
	for (int v = 0; v < 12; v++)
		free(version[v]);
}
END_TEST

static TCase *tc(void)
{
	TCase *t = tcase_create("blame");
	tcase_add_test(t, each_line_is_of_the_step_that_put_it_there);
	tcase_add_test(t, a_line_that_was_taken_out_and_came_back_is_of_who_brought_it_back);
	tcase_add_test(t, empty_texts_missing_newlines_and_whole_rewrites);
	tcase_add_test(t, one_line_may_be_asked_for);
	tcase_add_loop_test(t, random_histories_agree_with_what_the_lines_say, 0, 50);
	return t;
}

TAP_MAIN("blame", tc)
