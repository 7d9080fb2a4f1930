#include "json.h"
#include "limits.h"
#include "../fuzz/oracle.h"
#include "tap.h"
#include <string.h>
#include <time.h>

static int check(const char *s, unsigned flags)
{
	size_t tokens, at;
	return vcr_json_validate(s, strlen(s), flags, &tokens, &at);
}

static const char *const good[] = {
	"0", "-0", "[]", "{}", " [1 ] ", "1e5", "1E+05", "-1.5e-3", "\"\"", "\"\\u0041\\ud83d\\ude00\"", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
	"[[[]]]", "{\"a\":{\"b\":[]}}", "{\"a\":1,\"a\":2}", "true", "null", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", "[1,\n2\t,\r3]", "\"\x7f\"",
	"\"12345678\\n12345678\"", "123456789012345678901234567890", "[-1]", "{\"\":0}", "\"\xed\x9f\xbf\"", "\"\xf4\x8f\xbf\xbf\"",
};
static const char *const broken[] = {
	"01", "-", "+1", "1.", ".5", "1e", "0x1", "[1,]", "[,1]", "{,}", "{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1,}", "'a'", "\"\t\"", "\"\\x\"", "\"\\u12g4\"",
	"\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "nul", "truee", "[1]]", "[1}", "{]", "\"\x80\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf5\x80\x80\x80\"", "\"\xe2\x82\"",
	"NaN", "Infinity", "-Infinity", "", " ", "\"", "\"\\", "[", "{\"a\":1", "1 2", "[1 2]", "\xef\xbb\xbf[]", "[\"a\":1]", "{1:2}", "\"a\nb\"", "--1", "1e+", "[\f1]", "-a", "1.e1", "00", "\"\\ud83d\\n\"",
};

START_TEST(what_rfc_8259_allows_is_accepted)
{
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		ck_assert_msg(check(good[i], 0) == 0, "%s", good[i]);
}
END_TEST

START_TEST(what_rfc_8259_forbids_is_refused)
{
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
		ck_assert_msg(check(broken[i], 0) < 0, "%s", broken[i]);
	ck_assert_int_eq(vcr_json_validate("[\0]", 3, 0, NULL, NULL), VCR_ESYNTAX);
}
END_TEST

START_TEST(every_prefix_of_a_text_is_called_too_short)
{
	static const char text[] = "{\"a\":[1,-2.5e3,true,null,\"x\\u00e9\\ud83d\\ude00\xe2\x82\xac\"],\"b\":{}}";
	for (size_t n = 0; n < sizeof text - 1; n++)
		ck_assert_msg(vcr_json_validate(text, n, 0, NULL, NULL) == VCR_ETRUNC, "%zu", n);
}
END_TEST

START_TEST(relaxed_reads_what_python_writes)
{
	static const char *const python[] = { "NaN", "[Infinity,-Infinity]", "\"\\ud800\"", "\"\\udc00x\"" };
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(check(python[i], VCR_JSON_RELAXED), 0);
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	ck_assert_int_eq(vcr_json_parse(&j, "{\"a\":NaN,\"b\":\"\\ud800\"}", 22, VCR_JSON_RELAXED, NULL), 0);
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &out);
	vcr_jw_value(&w, &j, 0);
	ck_assert_str_eq(out.data, "{\"a\":null,\"b\":\"\\ud800\"}");
}
END_TEST

START_TEST(depth_is_bounded)
{
	char deep[2 * VCR_MAX_JSON_DEPTH + 3];
	for (int extra = 0; extra < 2; extra++) {
		size_t n = VCR_MAX_JSON_DEPTH + (size_t)extra;
		memset(deep, '[', n);
		memset(deep + n, ']', n);
		ck_assert_int_eq(vcr_json_validate(deep, 2 * n, 0, NULL, NULL), extra ? VCR_ELIMIT : 0);
		ck_assert_int_eq(vcr_json_validate(deep, 2 * n, VCR_JSON_RELAXED, NULL, NULL), 0);
	}
}
END_TEST

START_TEST(values_are_found_and_read)
{
	static const char text[] = "{\"a\":[{\"b\":\"x\\u00e9\\n\"},7,1.0,1.5,true],\"big\":12345678901234567890,\"a2\":null}";
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	ck_assert_int_eq(vcr_json_parse(&j, text, strlen(text), 0, NULL), 0);
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_json_str(&j, vcr_json_path(&j, 0, "a[0].b"), &s), 0);
	ck_assert_str_eq(s.data, "x\xc3\xa9\n");
	ck_assert_int_eq(vcr_json_count(&j, 0), 3);
	ck_assert_int_eq(vcr_json_count(&j, vcr_json_get(&j, 0, "a")), 5);
	int64_t i = 0;
	ck_assert(vcr_json_int(&j, vcr_json_path(&j, 0, "a[1]"), &i) && i == 7);
	ck_assert(vcr_json_int(&j, vcr_json_path(&j, 0, "a[2]"), &i) && i == 1);
	ck_assert(!vcr_json_int(&j, vcr_json_path(&j, 0, "a[3]"), &i));
	ck_assert(!vcr_json_int(&j, vcr_json_get(&j, 0, "big"), &i));
	ck_assert(vcr_json_true(&j, vcr_json_path(&j, 0, "a[4]")));
	ck_assert_int_eq(vcr_json_type(&j, vcr_json_get(&j, 0, "a2")), VCR_JSON_NULL);
	ck_assert_int_eq(vcr_json_path(&j, 0, "a[9].b"), -1);
	ck_assert_int_eq(vcr_json_get(&j, -1, "a"), -1);
}
END_TEST

/* Every value written with its place among its siblings; the walk itself is what is tested. */
static void write_walk(const struct vcr_json *j, int v, struct vcr_buf *out)
{
	size_t n;
	const char *raw = vcr_json_raw(j, v, &n);
	bool object = vcr_json_type(j, v) == VCR_JSON_OBJECT;
	if (!object && vcr_json_type(j, v) != VCR_JSON_ARRAY) {
		vcr_buf_add(out, raw, n);
		return;
	}
	vcr_buf_printf(out, "%c%d:", object ? '{' : '[', vcr_json_count(j, v));
	for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m)) {
		write_walk(j, m, out);
		if (object) {
			vcr_buf_putc(out, '=');
			write_walk(j, vcr_json_value(j, m), out);
		}
		vcr_buf_putc(out, ',');
	}
	vcr_buf_putc(out, object ? '}' : ']');
}

/* What jsmn has elsewhere than we. A text of a depth, width and order of its own for each seed. */
static void write_random(struct vcr_jw *w, unsigned *seed, int depth)
{
	int kind = rand_r(seed) % (depth > 6 ? 4 : 6), n = rand_r(seed) % 5;
	if (kind == 0)
		vcr_jw_int(w, rand_r(seed) - 1000);
	else if (kind == 1)
		vcr_jw_null(w);
	else if (kind < 4)
		vcr_jw_str(w, &"a string \" of \\ some length \n {[:,]} \xc3\xa9"[rand_r(seed) % 30]);
	else if (kind == 4) {
		vcr_jw_array(w);
		while (n--)
			write_random(w, seed, depth + 1);
		vcr_jw_array_end(w);
	} else {
		vcr_jw_object(w);
		while (n--) {
			vcr_jw_key(w, &"key, of: {any} length"[rand_r(seed) % 20]);
			write_random(w, seed, depth + 1);
		}
		vcr_jw_object_end(w);
	}
}

START_TEST(members_picked_in_one_walk_are_those_that_are_found_one_by_one)
{
	static const char *const text[] = { "{\"a\":1,\"ab\":2,\"a\":3,\"\":4,\"\\u0062\":5,\"b\\\"\":6}", "{}", "[1,2]", "\"a\"" };
	static const char *const key[] = { "a", "ab", "", "b", "b\"", "abc" };
	enum { N = sizeof key / sizeof *key };
	for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
		VCR_AUTO_JSON j = VCR_JSON_INIT;
		int at[N];
		ck_assert_int_eq(vcr_json_parse(&j, text[i], strlen(text[i]), 0, NULL), 0);
		vcr_json_pick(&j, 0, key, N, at);
		for (int k = 0; k < N; k++)
			ck_assert_msg(at[k] == vcr_json_get(&j, 0, key[k]), "%s: %s is %d", text[i], key[k], at[k]);
		ck_assert(i || (at[0] >= 0 && at[4] >= 0 && at[5] < 0));
	}
}
END_TEST

START_TEST(each_value_of_a_text_stands_where_jsmn_has_it)
{
	for (unsigned i = 0; i < 2000; i++) {
		VCR_AUTO_JSON j = VCR_JSON_INIT;
		VCR_AUTO_BUF s = VCR_BUF_INIT;
		struct vcr_jw w;
		unsigned seed = i;
		vcr_jw_init(&w, &s);
		write_random(&w, &seed, 0);
		ck_assert_int_eq(vcr_json_parse(&j, s.data, s.len, 0, NULL), 0);
		int at = differs_from_jsmn(&j);
		VCR_AUTO_JSON document = VCR_JSON_INIT;
		VCR_AUTO_BUF walk = VCR_BUF_INIT, other = VCR_BUF_INIT;
		ck_assert_int_eq(vcr_json_document(&document, s.data, s.len, 0, NULL), 0);
		write_walk(&j, 0, &walk);
		write_walk(&document, 0, &other);
		ck_assert_str_eq(walk.data, other.data);
		ck_assert_msg(at < 0, "value %d of %s", at, s.data);
	}
}
END_TEST

START_TEST(a_walk_meets_each_value_once_with_the_text_it_has)
{
	static const char text[] = " { \"a\" : [ ] , \"b\\\"\":{}, \"\": [[1, -2e3], {\"long enough for eight bytes\":\"\\\\\"}, \"\", null ]\n, \"z\":{\"y\":{\"x\":false}}} ";
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_json_parse(&j, text, strlen(text), 0, NULL), 0);
	write_walk(&j, 0, &s);
	ck_assert_str_eq(s.data, "{4:\"a\"=[0:],\"b\\\"\"={0:},\"\"=[4:[2:1,-2e3,],{1:\"long enough for eight bytes\"=\"\\\\\",},\"\",null,],"
		"\"z\"={1:\"y\"={1:\"x\"=false,},},}");
}
END_TEST

START_TEST(a_line_is_ascii_without_line_ends_and_without_a_key_that_could_be_type)
{
	static const struct { const char *text; bool line; } cases[] = {
		{ "{\"a\":\"__type__ \\n\\u005f\", \"b\":[1]}", true }, { "{\"__type__\":1}", false }, { "{\"a\":[{\"__type__\":1}]}", false },
		{ "{\"_\\u005ftype__\":1}", false }, { "{\"a\":\n1}", false }, { "{\"a\":\"a long text, and in it \xc3\xa9\"}", false }, { "{\"\xc3\xa9\":1}", false },
		{ "{\"a\":NaN}", false }, { "{\"a\":1", false }, { "{\"a\":\"\\ud800\"}", false }, { "[\"__type__\"]", true },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ck_assert_msg(vcr_json_is_line(cases[i].text, strlen(cases[i].text)) == cases[i].line, "%s", cases[i].text);
}
END_TEST

START_TEST(equality_ignores_order_and_spelling)
{
	static const char a[] = "{\"x\":[1,\"\\u0041\"],\"y\":1.0}", b[] = "{ \"y\":1, \"x\":[1.0,\"A\"] }", c[] = "{\"y\":1,\"x\":[\"A\",1]}";
	VCR_AUTO_JSON ja = VCR_JSON_INIT, jb = VCR_JSON_INIT, jc = VCR_JSON_INIT;
	vcr_json_parse(&ja, a, strlen(a), 0, NULL);
	vcr_json_parse(&jb, b, strlen(b), 0, NULL);
	vcr_json_parse(&jc, c, strlen(c), 0, NULL);
	ck_assert(vcr_json_equal(&ja, 0, &jb, 0));
	ck_assert(!vcr_json_equal(&ja, 0, &jc, 0));
}
END_TEST

START_TEST(equality_tells_large_integers_apart_and_takes_repeated_keys_in_their_order)
{
	static const struct { const char *a, *b; bool equal; } pairs[] = {
		{ "9007199254740993", "9007199254740992", false }, { "0", "-0", true }, { "1e2", "100", true },
		{ "{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}", true }, { "{\"a\":1,\"b\":0,\"a\":2}", "{\"b\":0,\"a\":1,\"a\":2}", true },
		{ "{\"a\":1,\"a\":2}", "{\"a\":2,\"a\":1}", false }, { "{\"a\":1,\"a\":2}", "{\"a\":2}", false },
		{ "{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false }, { "{\"\\u0062\":1,\"a\":2}", "{\"a\":2,\"b\":1}", true },
	};
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		VCR_AUTO_JSON a = VCR_JSON_INIT, b = VCR_JSON_INIT;
		vcr_json_parse(&a, pairs[i].a, strlen(pairs[i].a), 0, NULL);
		vcr_json_parse(&b, pairs[i].b, strlen(pairs[i].b), 0, NULL);
		ck_assert_msg(vcr_json_equal(&a, 0, &b, 0) == pairs[i].equal, "%s and %s", pairs[i].a, pairs[i].b);
		ck_assert_msg(vcr_json_equal(&b, 0, &a, 0) == pairs[i].equal, "%s and %s", pairs[i].b, pairs[i].a);
	}
}
END_TEST

START_TEST(equality_of_large_objects_in_reversed_order_is_found_in_time)
{
	enum { N = 200000 };
	VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT;
	VCR_AUTO_JSON ja = VCR_JSON_INIT, jb = VCR_JSON_INIT;
	for (int i = 0; i < N; i++) {
		vcr_buf_printf(&a, "%c\"k%d\":%d", i ? ',' : '{', i, i);
		vcr_buf_printf(&b, "%c\"k%d\":%d", i ? ',' : '{', N - 1 - i, N - 1 - i);
	}
	vcr_buf_putc(&a, '}');
	vcr_buf_putc(&b, '}');
	vcr_json_parse(&ja, a.data, a.len, 0, NULL);
	vcr_json_parse(&jb, b.data, b.len, 0, NULL);
	clock_t began = clock();
	ck_assert(vcr_json_equal(&ja, 0, &jb, 0));
	ck_assert((double)(clock() - began) / CLOCKS_PER_SEC < 5); /* sorting takes a tenth of a second; searching each, minutes */
}
END_TEST

START_TEST(writing_is_compact_ascii)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "a");
	vcr_jw_array(&w);
	vcr_jw_int(&w, -7);
	vcr_jw_double(&w, 0.1);
	vcr_jw_double(&w, 2);
	vcr_jw_strn(&w, "\xc3\xa9\xf0\x9f\x98\x80\xff\"\n\x01", 10);
	vcr_jw_object(&w);
	vcr_jw_object_end(&w);
	vcr_jw_array_end(&w);
	vcr_jw_key(&w, "b");
	vcr_jw_bool(&w, true);
	vcr_jw_key(&w, "c");
	vcr_jw_str(&w, NULL);
	vcr_jw_object_end(&w);
	ck_assert_str_eq(out.data, "{\"a\":[-7,0.1,2.0,\"\\u00e9\\ud83d\\ude00\\ufffd\\\"\\n\\u0001\",{}],\"b\":true,\"c\":null}");
	ck_assert_int_eq(check(out.data, 0), 0);
}
END_TEST

static TCase *json(void)
{
	TCase *tc = tcase_create("json");
	tcase_add_test(tc, what_rfc_8259_allows_is_accepted);
	tcase_add_test(tc, what_rfc_8259_forbids_is_refused);
	tcase_add_test(tc, every_prefix_of_a_text_is_called_too_short);
	tcase_add_test(tc, relaxed_reads_what_python_writes);
	tcase_add_test(tc, depth_is_bounded);
	tcase_add_test(tc, values_are_found_and_read);
	tcase_add_test(tc, members_picked_in_one_walk_are_those_that_are_found_one_by_one);
	tcase_add_test(tc, each_value_of_a_text_stands_where_jsmn_has_it);
	tcase_add_test(tc, a_walk_meets_each_value_once_with_the_text_it_has);
	tcase_add_test(tc, a_line_is_ascii_without_line_ends_and_without_a_key_that_could_be_type);
	tcase_add_test(tc, equality_ignores_order_and_spelling);
	tcase_add_test(tc, equality_tells_large_integers_apart_and_takes_repeated_keys_in_their_order);
	tcase_add_test(tc, equality_of_large_objects_in_reversed_order_is_found_in_time);
	tcase_add_test(tc, writing_is_compact_ascii);
	return tc;
}

TAP_MAIN("json", json)
