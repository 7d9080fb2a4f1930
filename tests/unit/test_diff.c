#include "diff.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *diff(const char *a, const char *b)
{
	static struct vcr_buf out = VCR_BUF_INIT;
	vcr_buf_reset(&out);
	ck_assert_int_eq(vcr_diff_unified(&out, "f", a, a ? strlen(a) : 0, "f", b, b ? strlen(b) : 0), 0);
	return out.data;
}

START_TEST(a_changed_line_is_shown_with_three_lines_around_it)
{
	ck_assert_str_eq(diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"),
		"--- a/f\n+++ b/f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
}
END_TEST

START_TEST(near_changes_share_a_hunk_and_far_ones_do_not)
{
	ck_assert_str_eq(diff("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n"),
		"--- a/f\n+++ b/f\n@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
	ck_assert_str_eq(diff("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n"),
		"--- a/f\n+++ b/f\n@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
}
END_TEST

START_TEST(made_removed_and_equal_files)
{
	ck_assert_str_eq(diff(NULL, "x\n"), "--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n");
	ck_assert_str_eq(diff("x\ny\n", NULL), "--- a/f\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-x\n-y\n");
	ck_assert_str_eq(diff("", "x\n"), "--- a/f\n+++ b/f\n@@ -0,0 +1 @@\n+x\n");
	ck_assert_str_eq(diff("x", ""), "--- a/f\n+++ b/f\n@@ -1 +0,0 @@\n-x\n\\ No newline at end of file\n");
	ck_assert_str_eq(diff(NULL, ""), "diff --git a/f b/f\nnew file mode 100644\n");
	ck_assert_str_eq(diff("same\n", "same\n"), "");
	ck_assert_str_eq(diff("", ""), "");
	ck_assert_str_eq(diff(NULL, NULL), "");
}
END_TEST

START_TEST(a_missing_final_newline_and_crlf_are_shown)
{
	ck_assert_str_eq(diff("a\nb", "a\nb\n"), "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n");
	ck_assert_str_eq(diff("a\r\n", "a\n"), "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\r\n+a\n");
}
END_TEST

START_TEST(names_with_odd_bytes_are_quoted)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	vcr_diff_unified(&out, "a b", "1\n", 2, "q\"\n", "2\n", 2);
	ck_assert_str_eq(out.data, "--- a/a b\t\n+++ \"b/q\\\"\\n\"\n@@ -1 +1 @@\n-1\n+2\n");
}
END_TEST

START_TEST(text_is_told_from_binary)
{
	ck_assert(vcr_diff_is_text("", 0) && vcr_diff_is_text("plain\n", 6) && vcr_diff_is_text("\xc3\xa9\xf0\x9f\x98\x80", 6));
	ck_assert(!vcr_diff_is_text("a\0b", 3) && !vcr_diff_is_text("\xff\xfe", 2) && !vcr_diff_is_text("\xc3", 1) && !vcr_diff_is_text("\xed\xa0\x80", 3));
}
END_TEST

static void put(const char *path, const struct vcr_buf *b)
{
	FILE *f = fopen(path, "w");
	fwrite(b->data, 1, b->len, f);
	fclose(f);
}

static void random_text(struct vcr_buf *b, unsigned lines, unsigned kinds)
{
	vcr_buf_reset(b);
	for (unsigned i = 0; i < lines; i++)
		vcr_buf_printf(b, "line %ld%s", random() % kinds, random() % 40 ? "\n" : "\r\n");
	if (random() % 2)
		vcr_buf_cut(b, b->len - 1);
}

/* One patch with many files: one process checks them all. */
START_TEST(git_apply_turns_the_old_text_into_the_new)
{
	char dir[] = "/tmp/vcr-diff-XXXXXX", path[64], name[20];
	if (system("git --version >/dev/null 2>&1"))
		return;
	VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT, patch = VCR_BUF_INIT;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	mkdir("want", 0700);
	mkdir("have", 0700);
	srandom(7);
	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof name, "f %d", i);
		random_text(&a, 1 + (unsigned)(random() % 60), 8 + (unsigned)(random() % 40));
		random_text(&b, 1 + (unsigned)(random() % 60), 8 + (unsigned)(random() % 40));
		snprintf(path, sizeof path, "have/%s", name);
		if (i % 7)
			put(path, &a);
		snprintf(path, sizeof path, "want/%s", name);
		if (i % 5 || i % 7 == 0)
			put(path, &b);
		bool gone = !(i % 5 || i % 7 == 0);
		vcr_diff_unified(&patch, name, i % 7 ? a.data : NULL, i % 7 ? a.len : 0, name, gone ? NULL : b.data, gone ? 0 : b.len);
	}
	put("all.patch", &patch);
	ck_assert_int_eq(system("cd have && GIT_CEILING_DIRECTORIES=/tmp git apply --whitespace=nowarn ../all.patch && cd .. && diff -r have want"), 0);
	snprintf(path, sizeof path, "rm -rf %s", dir);
	ck_assert_int_eq(system(path), 0);
}
END_TEST

START_TEST(the_diff_of_an_edit_is_minimal)
{
	const char *d = diff("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n"); /* the example of Myers' paper: 5 edits */
	int edits = 0;
	for (const char *p = strstr(d, "@@\n") + 2; (p = strchr(p, '\n')); p++)
		edits += p[1] == '+' || p[1] == '-';
	ck_assert_int_eq(edits, 5);
}
END_TEST

START_TEST(huge_and_hostile_inputs_end_in_time)
{
	VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT, out = VCR_BUF_INIT;
	srandom(3);
	for (int i = 0; i < 500000; i++)
		vcr_buf_putc(&a, random() % 2 ? '\n' : 'x'), vcr_buf_putc(&b, random() % 2 ? '\n' : 'y');
	for (int i = 0; i < 200000; i++)
		vcr_buf_printf(&a, "%ld\n", random() % 50), vcr_buf_printf(&b, "%ld\n", random() % 50);
	struct timespec t0, t1;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t0);
	ck_assert_int_eq(vcr_diff_unified(&out, "f", a.data, a.len, "f", b.data, b.len), 0);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t1);
	double s = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
	fprintf(stderr, "# diff: two unlike files of 450,000 lines in %.0f ms\n", s * 1e3);
	ck_assert(s < 20 && out.len > 1000);
}
END_TEST

struct runs { struct vcr_buf all, a, b; };

static void take_run(void *ctx, char sign, const char *p, size_t n)
{
	struct runs *r = ctx;
	vcr_buf_printf(&r->all, "%c%.*s|", sign, (int)n, p);
	if (sign != '+')
		vcr_buf_add(&r->a, p, n);
	if (sign != '-')
		vcr_buf_add(&r->b, p, n);
}

static const char *words(const char *a, const char *b)
{
	static struct runs r = { VCR_BUF_INIT, VCR_BUF_INIT, VCR_BUF_INIT };
	vcr_buf_reset(&r.all);
	vcr_buf_reset(&r.a);
	vcr_buf_reset(&r.b);
	ck_assert_int_eq(vcr_diff_words(a, strlen(a), b, strlen(b), take_run, &r), 0);
	ck_assert_str_eq(r.a.data, a);
	ck_assert_str_eq(r.b.data, b);
	return r.all.data;
}

START_TEST(words_that_changed_stand_between_those_that_did_not)
{
	ck_assert_str_eq(words("fix the test, please", "mend the test, please"), "-fix|+mend|  the test, please|");
	ck_assert_str_eq(words("a b", "a  b"), " a|- |+  | b|");
	ck_assert_str_eq(words("", "x"), "+x|");
	ck_assert_str_eq(words("x", ""), "-x|");
	ck_assert_str_eq(words("", ""), "");
	ck_assert_str_eq(words("na\xc3\xafve", "naive"), "-na\xc3\xafve|+naive|");
	ck_assert_str_eq(words("one\ntwo", "one\nthree"), " one\n|-two|+three|");
}
END_TEST

static TCase *diffs(void)
{
	TCase *tc = tcase_create("diff");
	tcase_add_test(tc, a_changed_line_is_shown_with_three_lines_around_it);
	tcase_add_test(tc, near_changes_share_a_hunk_and_far_ones_do_not);
	tcase_add_test(tc, made_removed_and_equal_files);
	tcase_add_test(tc, a_missing_final_newline_and_crlf_are_shown);
	tcase_add_test(tc, names_with_odd_bytes_are_quoted);
	tcase_add_test(tc, text_is_told_from_binary);
	tcase_add_test(tc, git_apply_turns_the_old_text_into_the_new);
	tcase_add_test(tc, the_diff_of_an_edit_is_minimal);
	tcase_add_test(tc, words_that_changed_stand_between_those_that_did_not);
	tcase_add_test(tc, huge_and_hostile_inputs_end_in_time);
	return tc;
}

TAP_MAIN("diff", diffs)
