#include "canon.h"
#include "tap.h"
#include <string.h>

struct keys { char k0[VCR_KEY_LEN], k1[VCR_KEY_LEN]; };

static struct keys keys_of(const char *method, const char *target, const char *body)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct keys k;
	bool is_json = !vcr_json_parse(&j, body, strlen(body), 0, NULL);
	vcr_canon_keys(NULL, method, target, body, strlen(body), is_json ? &j : NULL, k.k0, k.k1);
	return k;
}

static bool same0(struct keys a, struct keys b)
{
	return !strcmp(a.k0, b.k0);
}

static bool same1(struct keys a, struct keys b)
{
	return !strcmp(a.k1, b.k1);
}

START_TEST(the_canonical_form_says_the_same_in_one_way)
{
	static const char text[] = " { \"b\" : [1.0, 1e3, true , null], \"\\u0061\" : \"\\u00e9\\/\" } ";
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_json_parse(&j, text, strlen(text), 0, NULL), 0);
	ck_assert_int_eq(vcr_canon_json(&j, 0, &out), 0);
	ck_assert_str_eq(out.data, "{\"a\":\"\\u00e9/\",\"b\":[1.0,1e3,true,null]}");
}
END_TEST

START_TEST(k0_is_over_the_bytes_and_k1_over_what_they_say)
{
	struct keys a = keys_of("POST", "/v1/x", "{\"a\":1,\"b\":2}"), b = keys_of("POST", "/v1/x", "{ \"b\": 2, \"a\": 1 }");
	ck_assert(!same0(a, b));
	ck_assert(same1(a, b));
	ck_assert(!same1(a, keys_of("POST", "/v1/x", "{\"a\":1,\"b\":3}")));
	ck_assert(!same1(a, keys_of("PUT", "/v1/x", "{\"a\":1,\"b\":2}")));
	ck_assert(!same1(a, keys_of("POST", "/v1/y", "{\"a\":1,\"b\":2}")));
	ck_assert(!same1(a, keys_of("POST", "/v1/x?q=1", "{\"a\":1,\"b\":2}")));
	ck_assert(!same1(keys_of("POST", "/", "not json"), keys_of("POST", "/", "not  json")));
}
END_TEST

START_TEST(secrets_are_numbered_per_request_so_that_another_session_asks_with_the_same_key)
{
	struct keys a = keys_of("POST", "/v1/x?id={{vcr:secret:9:URL}}", "{\"a\":\"{{vcr:secret:9:URL}} {{vcr:secret:4:AUTHORIZATION}}\"}");
	struct keys b = keys_of("POST", "/v1/x?id={{vcr:secret:1:ID}}", "{\"a\":\"{{vcr:secret:1:ID}} {{vcr:secret:2:OPENAI_API_KEY}}\"}");
	struct keys c = keys_of("POST", "/v1/x?id={{vcr:secret:1:ID}}", "{\"a\":\"{{vcr:secret:2:OPENAI_API_KEY}} {{vcr:secret:1:ID}}\"}");
	ck_assert(same0(a, b));
	ck_assert(same1(a, b));
	ck_assert_msg(!same0(b, c) && !same1(b, c), "which secret stands where is part of the request");
}
END_TEST

START_TEST(k1_numbers_secrets_in_canonical_order)
{
	struct keys a = keys_of("POST", "/", "{\"a\":\"{{vcr:secret:5:A}}\",\"b\":\"{{vcr:secret:6:B}}\"}");
	struct keys b = keys_of("POST", "/", "{\"b\":\"{{vcr:secret:1:B}}\",\"a\":\"{{vcr:secret:2:A}}\"}");
	ck_assert(same1(a, b));
}
END_TEST

START_TEST(what_only_looks_like_a_placeholder_is_text)
{
	static const char *const texts[] = { "{{vcr:secret:", "{{vcr:secret:}}", "{{vcr:secret:1}}", "{{vcr:secret:x:A}}", "{{vcr:secret:1:a}}", "{{vcr:secret:1:A}",
		"{{vcr:secret:12345678901:A}}", "{{{{vcr:secret:1:" };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		VCR_AUTO_BUF out = VCR_BUF_INIT;
		ck_assert_int_eq(vcr_canon_placeholders(texts[i], strlen(texts[i]), &out), 0);
		ck_assert_str_eq(out.data, texts[i]);
	}
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	static const char text[] = "{{{vcr:secret:7:A}}{{vcr:secret:8:B}} {{vcr:secret:7:OTHER}}";
	vcr_canon_placeholders(text, strlen(text), &out);
	ck_assert_str_eq(out.data, "{{{vcr:secret:1}}{{vcr:secret:2}} {{vcr:secret:1}}");
}
END_TEST

START_TEST(credentials_in_the_query_and_the_way_through_a_proxy_are_no_part_of_a_key)
{
	struct keys a = keys_of("POST", "/v1beta/models/g:generateContent?key={{vcr:secret:3:KEY}}&alt=sse", "{}");
	ck_assert(same0(a, keys_of("POST", "/v1beta/models/g:generateContent?key=dummy&alt=sse", "{}")));
	ck_assert(!same0(a, keys_of("POST", "/v1beta/models/g:generateContent?key=dummy", "{}")));
	ck_assert(same0(a, keys_of("POST", "http://h.example:1/v1beta/models/g:generateContent?key=dummy&alt=sse", "{}")));
	ck_assert(same0(keys_of("GET", "http://h.example", ""), keys_of("GET", "/", "")));
}
END_TEST

static TCase *canon(void)
{
	TCase *tc = tcase_create("canon");
	tcase_add_test(tc, the_canonical_form_says_the_same_in_one_way);
	tcase_add_test(tc, k0_is_over_the_bytes_and_k1_over_what_they_say);
	tcase_add_test(tc, secrets_are_numbered_per_request_so_that_another_session_asks_with_the_same_key);
	tcase_add_test(tc, k1_numbers_secrets_in_canonical_order);
	tcase_add_test(tc, what_only_looks_like_a_placeholder_is_text);
	tcase_add_test(tc, credentials_in_the_query_and_the_way_through_a_proxy_are_no_part_of_a_key);
	return tc;
}

TAP_MAIN("canon", canon)
