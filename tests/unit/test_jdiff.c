#include "japply.h"
#include "tap.h"
#include <time.h>

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void parse(struct vcr_json *j, const char *text)
{
	struct vcr_error e = { 0 };
	ck_assert_msg(!vcr_json_parse(j, text, strlen(text), VCR_JSON_RELAXED, &e), "%s: %s", text, e.what);
}

/* "+/path -/path ~/path", and that carrying it out makes B of A. */
static const char *diff(const char *a, const char *b)
{
	static struct vcr_buf words = VCR_BUF_INIT;
	VCR_AUTO_JSON ja = VCR_JSON_INIT, jb = VCR_JSON_INIT, jm = VCR_JSON_INIT;
	VCR_AUTO_JDIFF d = VCR_JDIFF_INIT;
	VCR_AUTO_BUF made = VCR_BUF_INIT;
	parse(&ja, a);
	parse(&jb, b);
	ck_assert_int_eq(vcr_jdiff(&d, &ja, 0, &jb, 0), 0);
	ck_assert(japply(&d, 0, &made));
	parse(&jm, made.data);
	ck_assert_msg(vcr_json_equal(&jm, 0, &jb, 0), "%s -> %s: made %s", a, b, made.data);
	vcr_buf_reset(&words);
	for (size_t i = 0; i < d.n; i++) {
		vcr_buf_printf(&words, "%s%c", i ? " " : "", "+-~"[d.change[i].op]);
		vcr_jdiff_path(&d, i, false, &words);
	}
	return words.data;
}

START_TEST(equal_values_have_no_changes_whatever_their_order_and_spelling)
{
	ck_assert_str_eq(diff("{\"a\":[1,\"\\u0041\"],\"b\":1.0}", "{ \"b\":1, \"a\":[1.0,\"A\"] }"), "");
	ck_assert_str_eq(diff("[]", "[]"), "");
	ck_assert_str_eq(diff("{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"), "");
}
END_TEST

START_TEST(members_are_added_removed_and_changed_by_key)
{
	ck_assert_str_eq(diff("{\"a\":1,\"b\":{\"c\":1,\"d\":2},\"e\":3}", "{\"e\":4,\"b\":{\"d\":2,\"x\":5},\"n\":null}"), "-/a -/b/c +/b/x ~/e +/n");
	ck_assert_str_eq(diff("{\"a/b\":1,\"~\":2,\"\":3}", "{\"a/b\":2,\"~\":3,\"\":4}"), "~/a~1b ~/~0 ~/");
	ck_assert_str_eq(diff("1", "\"1\""), "~");
	ck_assert_str_eq(diff("{}", "[]"), "~");
	ck_assert_str_eq(diff("{\"a\":null}", "{}"), "-/a");
	ck_assert_str_eq(diff("{\"id\":9007199254740993}", "{\"id\":9007199254740992}"), "~/id");
}
END_TEST

START_TEST(an_inserted_message_is_one_addition)
{
	static const char system[] = "{\"role\":\"system\",\"content\":\"s\"}", ask[] = "{\"role\":\"user\",\"content\":\"a\"}", said[] = "{\"role\":\"assistant\",\"content\":\"b\"}";
	VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT, c = VCR_BUF_INIT;
	vcr_buf_printf(&a, "{\"messages\":[%s,%s,%s]}", system, ask, said);
	vcr_buf_printf(&b, "{\"messages\":[%s,{\"role\":\"user\",\"content\":\"new\"},%s,%s]}", system, ask, said);
	vcr_buf_printf(&c, "{\"messages\":[%s,{\"role\":\"user\",\"content\":\"other\"},%s]}", system, said);
	ck_assert_str_eq(diff(a.data, b.data), "+/messages/1");
	ck_assert_str_eq(diff(b.data, a.data), "-/messages/1");
	ck_assert_str_eq(diff(a.data, c.data), "~/messages/1/content");
	ck_assert_str_eq(diff(b.data, c.data), "~/messages/1/content -/messages/2");
}
END_TEST

START_TEST(of_the_items_in_a_gap_those_most_alike_are_the_one_that_changed)
{
	ck_assert_str_eq(diff("[{\"role\":\"a\",\"id\":1,\"t\":\"x\"}]", "[{\"role\":\"b\",\"id\":2,\"t\":\"y\"},{\"role\":\"a\",\"id\":1,\"t\":\"z\"}]"), "+/0 ~/1/t");
	ck_assert_str_eq(diff("[1,2,3]", "[1,7,3]"), "~/1");
	ck_assert_str_eq(diff("[1,2,3]", "[1,7,8,3]"), "-/1 +/1 +/2");
	ck_assert_str_eq(diff("[[1,2],[3]]", "[[1],[3,4]]"), "-/0/1 +/1/1");
}
END_TEST

START_TEST(a_change_has_its_place_on_both_sides)
{
	VCR_AUTO_JSON a = VCR_JSON_INIT, b = VCR_JSON_INIT;
	VCR_AUTO_JDIFF d = VCR_JDIFF_INIT;
	VCR_AUTO_BUF old = VCR_BUF_INIT, new = VCR_BUF_INIT;
	parse(&a, "[{\"k\":1,\"v\":[1]},5]");
	parse(&b, "[9,{\"k\":1,\"v\":[2]},5]");
	ck_assert_int_eq(vcr_jdiff(&d, &a, 0, &b, 0), 0);
	ck_assert_uint_eq(d.n, 2);
	vcr_jdiff_path(&d, 1, true, &old);
	vcr_jdiff_path(&d, 1, false, &new);
	ck_assert_str_eq(old.data, "/0/v/0");
	ck_assert_str_eq(new.data, "/1/v/0");
}
END_TEST

START_TEST(an_object_with_a_repeated_key_changes_as_a_whole)
{
	ck_assert_str_eq(diff("{\"o\":{\"a\":1,\"a\":2}}", "{\"o\":{\"a\":2}}"), "~/o");
}
END_TEST

START_TEST(a_value_that_is_not_there_is_added_or_removed)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_JDIFF d = VCR_JDIFF_INIT, e = VCR_JDIFF_INIT;
	parse(&j, "{}");
	ck_assert(!vcr_jdiff(&d, &j, -1, &j, 0) && d.n == 1 && d.change[0].op == VCR_JDIFF_ADDED);
	ck_assert(!vcr_jdiff(&e, &j, -1, &j, -1) && !e.n);
}
END_TEST

/* ---- Random values ---- */

static void random_value(struct vcr_buf *out, int depth)
{
	static const char *const leaves[] = { "1", "2", "\"a\"", "\"b\"", "null", "true", "1.0", "\"\\u0061\"" };
	long kind = random() % 8, n = random() % 5;
	if (depth <= 0 || kind < 3) {
		vcr_buf_puts(out, leaves[random() % 8]);
		return;
	}
	vcr_buf_putc(out, kind < 6 ? '[' : '{');
	for (long i = 0; i < n; i++) {
		vcr_buf_puts(out, i ? "," : "");
		if (kind >= 6)
			vcr_buf_printf(out, "\"%c\":", (char)('a' + (random() % 6)));
		random_value(out, depth - 1);
	}
	vcr_buf_putc(out, kind < 6 ? ']' : '}');
}

START_TEST(carrying_out_the_changes_makes_the_other_value)
{
	srandom(5);
	for (int i = 0; i < 3000; i++) {
		VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT;
		random_value(&a, 5);
		random_value(&b, 5);
		diff(a.data, b.data);
	}
}
END_TEST

/* ---- Hostile ---- */

static double time_of(const struct vcr_buf *a, const struct vcr_buf *b)
{
	VCR_AUTO_JSON ja = VCR_JSON_INIT, jb = VCR_JSON_INIT;
	VCR_AUTO_JDIFF d = VCR_JDIFF_INIT;
	parse(&ja, a->data);
	parse(&jb, b->data);
	double t = seconds();
	ck_assert_int_eq(vcr_jdiff(&d, &ja, 0, &jb, 0), 0);
	t = seconds() - t;
	fprintf(stderr, "# jdiff: %zu and %zu bytes, %zu changes, %.0f ms\n", a->len, b->len, d.n, t * 1e3);
	return t;
}

START_TEST(long_lists_that_differ_in_every_item_end_in_time)
{
	VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT;
	for (int i = 0; i < 200000; i++) {
		vcr_buf_printf(&a, "%c%d", i ? ',' : '[', i % 7);
		vcr_buf_printf(&b, "%c%d", i ? ',' : '[', i % 5);
	}
	vcr_buf_putc(&a, ']');
	vcr_buf_putc(&b, ']');
	ck_assert(time_of(&a, &b) < 10);
}
END_TEST

START_TEST(many_lists_of_middle_length_share_one_allowance)
{
	VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT;
	for (int i = 0; i < 200; i++) {
		vcr_buf_puts(&a, i ? ",[" : "[[");
		vcr_buf_puts(&b, i ? ",[" : "[[");
		for (int k = 0; k < 2000; k++) {
			vcr_buf_printf(&a, "%s%d", k ? "," : "", k * 7 % 11 + i);
			vcr_buf_printf(&b, "%s%d", k ? "," : "", k * 5 % 13 + i);
		}
		vcr_buf_putc(&a, ']');
		vcr_buf_putc(&b, ']');
	}
	vcr_buf_putc(&a, ']');
	vcr_buf_putc(&b, ']');
	ck_assert(time_of(&a, &b) < 10);
}
END_TEST

START_TEST(an_item_inserted_into_a_long_list_is_one_addition)
{
	VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT;
	for (int i = 0; i < 20000; i++) {
		vcr_buf_printf(&a, "%c{\"n\":%d}", i ? ',' : '[', i);
		vcr_buf_printf(&b, "%c%s{\"n\":%d}", i ? ',' : '[', i == 5 || i == 15000 ? "{\"n\":-1}," : "", i);
	}
	vcr_buf_putc(&a, ']');
	vcr_buf_putc(&b, ']');
	ck_assert_str_eq(diff(a.data, b.data), "+/5 +/15001");
}
END_TEST

START_TEST(deep_and_wide_values_end_in_time_and_memory)
{
	VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT;
	for (int i = 0; i < 200; i++) {
		vcr_buf_puts(&a, "{\"a long key that stands in every path\":");
		vcr_buf_puts(&b, "{\"a long key that stands in every path\":");
	}
	for (int i = 0; i < 100000; i++) {
		vcr_buf_printf(&a, "%c\"k%d\":1", i ? ',' : '{', i);
		vcr_buf_printf(&b, "%c\"k%d\":2", i ? ',' : '{', 99999 - i);
	}
	for (int i = 0; i <= 200; i++) {
		vcr_buf_putc(&a, '}');
		vcr_buf_putc(&b, '}');
	}
	ck_assert(time_of(&a, &b) < 10);
}
END_TEST

static TCase *jdiffs(void)
{
	TCase *tc = tcase_create("jdiff");
	tcase_add_test(tc, equal_values_have_no_changes_whatever_their_order_and_spelling);
	tcase_add_test(tc, members_are_added_removed_and_changed_by_key);
	tcase_add_test(tc, an_inserted_message_is_one_addition);
	tcase_add_test(tc, of_the_items_in_a_gap_those_most_alike_are_the_one_that_changed);
	tcase_add_test(tc, a_change_has_its_place_on_both_sides);
	tcase_add_test(tc, an_object_with_a_repeated_key_changes_as_a_whole);
	tcase_add_test(tc, a_value_that_is_not_there_is_added_or_removed);
	tcase_add_test(tc, carrying_out_the_changes_makes_the_other_value);
	tcase_add_test(tc, long_lists_that_differ_in_every_item_end_in_time);
	tcase_add_test(tc, many_lists_of_middle_length_share_one_allowance);
	tcase_add_test(tc, an_item_inserted_into_a_long_list_is_one_addition);
	tcase_add_test(tc, deep_and_wide_values_end_in_time_and_memory);
	return tc;
}

TAP_MAIN("jdiff", jdiffs)
