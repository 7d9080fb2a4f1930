#include "limits.h"
#include "redact.h"
#include "rules.h"
#include "scrub.h"
#include "tap.h"
#include <stdlib.h>
#include <string.h>

static struct vcr_rules *rules(const char *const *patterns, const char *const *fields)
{
	struct vcr_rules *r = vcr_rules_new();
	struct vcr_error e = { 0 };
	for (; patterns && *patterns; patterns++)
		ck_assert_msg(!vcr_rules_add_pattern(r, *patterns, &e), "%s", e.what);
	for (; fields && *fields; fields++)
		ck_assert_msg(!vcr_rules_add_field(r, *fields, &e), "%s", e.what);
	return r;
}

static void becomes(struct vcr_scrub *s, const char *text, const char *want)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT, again = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_scrub_text(s, NULL, text, strlen(text), &out), 0);
	ck_assert_str_eq(out.data, want);
	ck_assert_int_eq(vcr_scrub_text(s, NULL, out.data, out.len, &again), 0);
	ck_assert_str_eq(again.data, want); /* what has been scrubbed has nothing left to be */
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- Rules ---- */

static bool is_field(const char *path, const char *where)
{
	struct vcr_rules *r = rules(NULL, LIST(path));
	const char *name[8];
	char copy[100];
	size_t n = 0;
	strcpy(copy, where);
	for (char *save, *p = strtok_r(copy, "/", &save); p; p = strtok_r(NULL, "/", &save))
		name[n++] = p;
	bool yes = vcr_rules_is_field(r, name, n);
	vcr_rules_free(r);
	return yes;
}

START_TEST(a_field_is_found_by_the_end_of_its_path_or_from_the_root)
{
	ck_assert(is_field("email", "email") && is_field("email", "user/email") && is_field("Email", "user/EMAIL") && is_field("$..email", "a/b/email"));
	ck_assert(!is_field("email", "emails") && !is_field("email", "email/x") && !is_field("user.email", "email") && !is_field("user.email", "user/x/email"));
	ck_assert(is_field("user.email", "a/user/email") && is_field("$.user.email", "user/email") && !is_field("$.user.email", "a/user/email"));
	ck_assert(is_field("a[*].b", "a/b") && is_field("$.a[*].b[*]", "a/b") && is_field("['a.b'].c", "a.b/c") && is_field("$[\"x\"].y", "x/y"));
	ck_assert(is_field("a.*.c", "a/b/c") && is_field("x-user", "X-User") && !is_field("a.*.c", "a/c"));
}
END_TEST

START_TEST(rules_that_mean_nothing_or_too_much_are_refused_in_words)
{
	static const struct { const char *text, *words; bool field; } bad[] = { { "(", "the pattern '('", false }, { "", "an empty pattern", false }, { "[[:x:]]", "the pattern", false },
		{ "a[0]", "has a number", true }, { "a..b", "no path of names", true }, { "$", "no path", true }, { "", "an empty field", true }, { "a.", "no path", true },
		{ "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q", "no path", true }, { "((a{1,250}){1,250}){1,250}", "too large", false } };
	struct vcr_rules *r = vcr_rules_new();
	char *longer = calloc(1, VCR_MAX_RULE + 2);
	memset(longer, 'a', VCR_MAX_RULE + 1);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct vcr_error e = { 0 };
		int err = bad[i].field ? vcr_rules_add_field(r, bad[i].text, &e) : vcr_rules_add_pattern(r, bad[i].text, &e);
		ck_assert_msg(err < 0 && strstr(e.what, bad[i].words), "%s: %d %s", bad[i].text, err, e.what);
	}
	struct vcr_error e = { 0 };
	ck_assert_int_eq(vcr_rules_add_pattern(r, longer, &e), VCR_ELIMIT);
	ck_assert(vcr_rules_is_empty(r));
	for (int i = 0; i < VCR_MAX_RULES; i++)
		ck_assert_int_eq(vcr_rules_add_pattern(r, "a", NULL), 0);
	ck_assert_int_eq(vcr_rules_add_pattern(r, "a", NULL), VCR_ELIMIT);
	free(longer);
	vcr_rules_free(r);
}
END_TEST

START_TEST(rules_read_back_as_they_were_written)
{
	VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_rules *r = rules(LIST("\\d+\"\\\\", "\xc3\xa4"), LIST("$.a['b']")), *copy = vcr_rules_new();
	ck_assert_int_eq(vcr_rules_add_host(r, "*.example.com", NULL), 0);
	vcr_rules_write(r, &a);
	ck_assert_int_eq(vcr_json_parse(&j, a.data, a.len, 0, NULL), 0);
	ck_assert_int_eq(vcr_rules_read(copy, &j, 0, NULL), 0);
	vcr_rules_write(copy, &b);
	ck_assert_str_eq(a.data, b.data);
	ck_assert(vcr_rules_take_host(copy, "API.example.com:8443") && vcr_rules_take_host(copy, "a.example.com") && !vcr_rules_take_host(copy, "example.org") && !vcr_rules_take_host(copy, NULL));
	vcr_rules_free(r);
	vcr_rules_free(copy);
}
END_TEST

START_TEST(a_match_that_would_take_too_long_is_given_up)
{
	struct vcr_rules *r = rules(LIST("(a+)+$"), NULL);
	size_t at, len;
	const char *name;
	char text[4002];
	memset(text, 'a', 4000);
	strcpy(text + 4000, "b");
	ck_assert(!vcr_rules_next(r, text, 4001, 0, &at, &len, &name));
	ck_assert_int_eq(vcr_rules_gave_up(r), 1);
	vcr_rules_free(r);
}
END_TEST

START_TEST(a_match_is_found_whole_wherever_it_lies_in_a_long_text)
{
	enum { SIZE = 300 << 10 };
	struct vcr_rules *r = rules(LIST("CUST-\\d+"), NULL), *last = rules(LIST("yx+$"), NULL);
	char *text = malloc(SIZE + 1);
	size_t at, len;
	const char *name;
	ck_assert_ptr_nonnull(text);
	for (size_t end = 56 << 10; end < SIZE - 100; end += 8 << 10) /* it is looked at in pieces whose ends are among these */
		for (size_t pos = end - 12; pos < end + 3; pos++) {
			memset(text, 'x', SIZE);
			memcpy(text + pos, "CUST-12345", 10);
			ck_assert_msg(vcr_rules_next(r, text, SIZE, 0, &at, &len, &name) && at == pos && len == 10, "at %zu", pos);
		}
	memset(text, 'x', SIZE);
	text[100] = 'y';
	ck_assert(!vcr_rules_next(last, text, SIZE, 0, &at, &len, &name) || at + len == SIZE); /* not the end of a piece */
	free(text);
	vcr_rules_free(r);
	vcr_rules_free(last);
}
END_TEST

/* ---- Texts ---- */

START_TEST(a_value_goes_wherever_it_is_and_the_rest_keeps_its_bytes)
{
	struct vcr_scrub *s = vcr_scrub_new(rules(LIST("CUST-\\d+"), NULL), 7);
	becomes(s, "plain CUST-12345 text", "plain {{vcr:secret:7:SCRUBBED}} text");
	becomes(s, "{ \"a\" :\t\"x CUST-12345\", \"b\":[1.50, null,\"\\u00e9\\/\"] }", "{ \"a\" :\t\"x {{vcr:secret:7:SCRUBBED}}\", \"b\":[1.50, null,\"\\u00e9\\/\"] }");
	becomes(s, "{\"a\":\"{\\\"b\\\": \\\"CUST-12345\\\"}\"}", "{\"a\":\"{\\\"b\\\": \\\"{{vcr:secret:7:SCRUBBED}}\\\"}\"}");
	becomes(s, "[\"Q1VTVC0xMjM0NQ==\",\"CUST-1\"]", "[\"{{vcr:secret:7:SCRUBBED}}Q==\",\"{{vcr:secret:8:SCRUBBED}}\"]");
	becomes(s, "{\"CUST-99999\":1}", "{\"{{vcr:secret:9:SCRUBBED}}\":1}");
	becomes(s, "", "");
	becomes(s, "nothing", "nothing");
	vcr_scrub_free(s);
}
END_TEST

START_TEST(a_match_stays_in_its_string)
{
	struct vcr_scrub *s = vcr_scrub_new(rules(LIST("token=\\S+"), NULL), 1);
	becomes(s, "{\"a\":\"token=abcdefgh\",\"b\":\"{\\\"c\\\":\\\"token=ijklmnop\\\",\\\"d\\\":1}\"}",
		"{\"a\":\"{{vcr:secret:1:SCRUBBED}}\",\"b\":\"{\\\"c\\\":\\\"{{vcr:secret:2:SCRUBBED}}\\\",\\\"d\\\":1}\"}");
	vcr_scrub_free(s);
}
END_TEST

START_TEST(a_field_goes_whole_whatever_its_type_and_is_known_elsewhere)
{
	struct vcr_scrub *s = vcr_scrub_new(rules(LIST("4929\\d{12}"), LIST("user.name", "pin", "tags")), 1);
	becomes(s, "{\"user\":{\"name\":\"Ada Lovelace\",\"age\":36},\"pin\":471,\"text\":\"ask Ada Lovelace, 471\",\"name\":\"Ada\"}",
		"{\"user\":{\"name\":\"{{vcr:secret:1:NAME}}\",\"age\":36},\"pin\":\"{{vcr:secret:2:PIN}}\",\"text\":\"ask {{vcr:secret:1:NAME}}, 471\",\"name\":\"Ada\"}");
	becomes(s, "{\"tags\":[\"one\",{\"x\":\"two\"},null,true,\"\"],\"n\":4929123412341234,\"m\":14929123412341234}",
		"{\"tags\":[\"{{vcr:secret:3:TAGS}}\",{\"x\":\"{{vcr:secret:4:X}}\"},null,true,\"\"],\"n\":\"{{vcr:secret:5:SCRUBBED}}\",\"m\":14929123412341234}");
	vcr_scrub_free(s);
}
END_TEST

START_TEST(a_value_that_is_split_over_a_stream_goes_too)
{
	struct vcr_scrub *s = vcr_scrub_new(rules(LIST("[a-z.]+@example\\.com"), NULL), 1);
	becomes(s, "event: x\ndata: {\"d\":{\"text\":\"to ada.lo\"}}\n\ndata: {\"d\":{\"text\":\"ve@example\"}}\n\ndata: {\"d\":{\"text\":\".com now\"}}\n\ndata: [DONE]\n\n",
		"event: x\ndata: {\"d\":{\"text\":\"to {{vcr:secret:1:SCRUBBED}}\"}}\n\ndata: {\"d\":{\"text\":\"\"}}\n\ndata: {\"d\":{\"text\":\" now\"}}\n\ndata: [DONE]\n\n");
	becomes(s, "{\"response\":\"ada.lo\"}\n{\"response\":\"ve@example.com\"}\n", "{\"response\":\"{{vcr:secret:1:SCRUBBED}}\"}\n{\"response\":\"\"}\n");
	becomes(s, "data: {\"p\":\"{\\\"m\\\": \\\"ada.l\"}\n\ndata: {\"p\":\"ove@example.com\\\"}\"}\n\n", "data: {\"p\":\"{\\\"m\\\": \\\"{{vcr:secret:1:SCRUBBED}}\"}\n\ndata: {\"p\":\"\\\"}\"}\n\n");
	vcr_scrub_free(s);
}
END_TEST

START_TEST(messages_of_grpc_keep_their_lengths)
{
	struct vcr_scrub *s = vcr_scrub_new(rules(LIST("CUST-\\d+"), NULL), 1);
	static const char body[] = "\0\0\0\0\x1c" "\x0a\x1a" "to CUST-12345678901234 now" "\0\0\0\0\x0c" "CUST-1234567", want[] = "\0\0\0\0\x1c" "\x0a\x1a" "to {{vcr:secret:----}} now" "\0\0\0\0\x0c" "************";
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_scrub_text(s, NULL, body, sizeof body - 1, &out), 0);
	ck_assert_uint_eq(out.len, sizeof want - 1);
	ck_assert_mem_eq(out.data, want, sizeof want - 1);
	vcr_scrub_free(s);
}
END_TEST

START_TEST(placeholders_are_left_alone)
{
	struct vcr_scrub *s = vcr_scrub_new(rules(LIST("[a-zA-Z:0-9]{4,}"), LIST("key")), 50);
	becomes(s, "{\"key\":\"{{vcr:secret:1:KEY}}\",\"a\":\"x {{vcr:secret:2:B}} abcd{{vcr:secret:3:C}}efgh\"}",
		"{\"key\":\"{{vcr:secret:1:KEY}}\",\"a\":\"x {{vcr:secret:2:B}} {{vcr:secret:50:SCRUBBED}}{{vcr:secret:3:C}}{{vcr:secret:51:SCRUBBED}}\"}");
	vcr_scrub_free(s);
}
END_TEST

/* ---- A replay and its recording ---- */

START_TEST(what_a_replay_calls_otherwise_is_called_as_recorded)
{
	VCR_AUTO_BUF told = VCR_BUF_INIT;
	struct vcr_scrub *list[] = { vcr_scrub_new(rules(LIST("CUST-\\d+"), NULL), 1000), NULL };
	static const char recorded[] = "a {{vcr:secret:7:X}} b {{vcr:secret:7:X}} c {{vcr:secret:8:Y}}", live[] = "a {{vcr:secret:7:X}} b {{vcr:secret:1000:SCRUBBED}} c {{vcr:secret:8:Y}}";
	becomes(list[0], "CUST-12345", "{{vcr:secret:1000:SCRUBBED}}");
	ck_assert(vcr_scrub_translate(live, strlen(live), recorded, strlen(recorded), &told));
	ck_assert_str_eq(told.data, recorded);
	vcr_scrub_bind(list, NULL, live, strlen(live), recorded, strlen(recorded), true);
	becomes(list[0], "CUST-12345", "{{vcr:secret:7:X}}");
	vcr_buf_reset(&told);
	ck_assert(!vcr_scrub_translate("{{vcr:secret:1:A}} {{vcr:secret:1:A}}", 37, "{{vcr:secret:2:A}} {{vcr:secret:3:A}}", 37, &told)); /* one with two names */
	ck_assert(!vcr_scrub_translate("{{vcr:secret:1:A}}", 18, "{{vcr:secret:2:A}} {{vcr:secret:3:A}}", 37, &told));
	ck_assert(!vcr_scrub_translate("{{vcr:secret:1:A}}", 18, "{{vcr:secret:1:A}}", 18, &told)); /* nothing would be other */
	vcr_scrub_free(list[0]);
}
END_TEST

static TCase *scrub(void)
{
	TCase *tc = tcase_create("scrub");
	tcase_add_test(tc, a_field_is_found_by_the_end_of_its_path_or_from_the_root);
	tcase_add_test(tc, rules_that_mean_nothing_or_too_much_are_refused_in_words);
	tcase_add_test(tc, rules_read_back_as_they_were_written);
	tcase_add_test(tc, a_match_that_would_take_too_long_is_given_up);
	tcase_add_test(tc, a_match_is_found_whole_wherever_it_lies_in_a_long_text);
	tcase_add_test(tc, a_value_goes_wherever_it_is_and_the_rest_keeps_its_bytes);
	tcase_add_test(tc, a_match_stays_in_its_string);
	tcase_add_test(tc, a_field_goes_whole_whatever_its_type_and_is_known_elsewhere);
	tcase_add_test(tc, a_value_that_is_split_over_a_stream_goes_too);
	tcase_add_test(tc, messages_of_grpc_keep_their_lengths);
	tcase_add_test(tc, placeholders_are_left_alone);
	tcase_add_test(tc, what_a_replay_calls_otherwise_is_called_as_recorded);
	return tc;
}

TAP_MAIN("scrub", scrub)
