#include "cassette.h"
#include "json.h"
#include "limits.h"
#include "tap.h"
#include "yaml.h"
#include <stdlib.h>
#include <string.h>

/* ---- YAML ---- */

static void is_json(const char *yaml, const char *json)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	vcr_buf_puts(&out, "before ");
	ck_assert_msg(!vcr_yaml_to_json(yaml, strlen(yaml), &out, &e), "%s: %s", yaml, e.what);
	ck_assert_str_eq(out.data + 7, json);
	ck_assert(!vcr_json_validate(out.data + 7, out.len - 7, 0, NULL, NULL));
}

static void is_refused(const char *yaml, size_t n, int code, const char *words)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	vcr_buf_puts(&out, "before");
	ck_assert_int_eq(vcr_yaml_to_json(yaml, n, &out, &e), code);
	ck_assert_msg(strstr(e.what, words), "%s, not %s", e.what, words);
	ck_assert_str_eq(out.data, "before");
}

START_TEST(yaml_says_the_same_as_json)
{
	is_json("a: 1\nb: [x, 'y', \"z\\u00e9\\n\"]\nc: {d: null, e: ~, f: }\n", "{\"a\":1,\"b\":[\"x\",\"y\",\"z\\u00e9\\n\"],\"c\":{\"d\":null,\"e\":null,\"f\":null}}");
	is_json("- true\n- 'true'\n- 1.5e3\n- 0x10\n- 01\n- 1_000\n- -7\n- .inf\n", "[true,\"true\",1.5e3,\"0x10\",\"01\",\"1_000\",-7,\".inf\"]");
	is_json("a: |\n  one\n  two\nb: >\n  three\n  four\n", "{\"a\":\"one\\ntwo\\n\",\"b\":\"three four\\n\"}");
	is_json("a: !!binary |\n  aGVs\n  bG8=\n", "{\"a\":{\"!!binary\":\"aGVs\\nbG8=\\n\"}}");
	is_json("1: x\ntrue: y\n", "{\"1\":\"x\",\"true\":\"y\"}");
	is_json("a: !!python/unicode 'x'\nb: !!python/tuple [1]\nc: !!str 5\n", "{\"a\":\"x\",\"b\":[1],\"c\":\"5\"}");
	is_json("x", "\"x\"");
}
END_TEST

START_TEST(an_alias_is_what_it_names)
{
	is_json("a: &h {k: [v]}\nb: *h\nc: &s text\nd: [*s, *h]\n", "{\"a\":{\"k\":[\"v\"]},\"b\":{\"k\":[\"v\"]},\"c\":\"text\",\"d\":[\"text\",{\"k\":[\"v\"]}]}");
	is_json("[&a 1, *a, &a 2, *a]", "[1,1,2,2]");
}
END_TEST

START_TEST(yaml_that_is_none_or_would_harm_is_refused_by_line)
{
	VCR_AUTO_BUF deep = VCR_BUF_INIT, laughs = VCR_BUF_INIT, many = VCR_BUF_INIT;
	is_refused("a: [1", 5, VCR_ESYNTAX, "line ");
	is_refused("", 0, VCR_ESYNTAX, "nothing");
	is_refused("a\n---\nb\n", 8, VCR_ESYNTAX, "line 2: a second document");
	is_refused("a: 1\n? [b]\n: 2\n", 15, VCR_ESYNTAX, "line 2: a key that is no text");
	is_refused("a: *b\n", 6, VCR_ESYNTAX, "line 1: an alias names no anchor");
	is_refused("a: &b [1, *b]\n", 14, VCR_ESYNTAX, "line 1: an alias stands in what it means");
	is_refused("&k a: 1\n*k : 2\n", 15, VCR_ESYNTAX, "line 2: a key that is no text");
	is_refused("a: \xff\n", 5, VCR_ESYNTAX, "byte ");
	for (int i = 0; i < 100000; i++)
		vcr_buf_putc(&deep, '[');
	is_refused(deep.data, deep.len, VCR_ELIMIT, "nested deeper");
	vcr_buf_puts(&laughs, "l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
	for (int i = 1; i < 12; i++)
		vcr_buf_printf(&laughs, "l%d: &l%d [*l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d]\n", i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	is_refused(laughs.data, laughs.len, VCR_ELIMIT, "aliases make it far larger than it is");
	for (int i = 0; i <= VCR_MAX_YAML_ANCHORS; i++)
		vcr_buf_printf(&many, "- &a%d x\n", i);
	is_refused(many.data, many.len, VCR_ELIMIT, "more anchors");
}
END_TEST

/* ---- Recordings ---- */

struct seen { struct vcr_buf text; int skips; };

static void put(struct vcr_buf *out, const char *key, const char *p, size_t n)
{
	struct vcr_jw w;
	vcr_buf_printf(out, " %s=", key);
	vcr_jw_init(&w, out);
	vcr_jw_strn(&w, p, n);
}

static int on_taped(void *ctx, const struct vcr_taped *x)
{
	struct seen *s = ctx;
	vcr_buf_printf(&s->text, "%lld %s %s", (long long)x->number, x->method, x->url);
	for (size_t i = 0; i < x->nreq_field; i++)
		put(&s->text, x->req_field[i].name, x->req_field[i].value, strlen(x->req_field[i].value));
	put(&s->text, "body", x->req_body, x->nreq_body);
	vcr_buf_printf(&s->text, " -> %d %s", x->status, x->reason);
	for (size_t i = 0; i < x->nres_field; i++)
		put(&s->text, x->res_field[i].name, x->res_field[i].value, strlen(x->res_field[i].value));
	put(&s->text, "body", x->res_body, x->nres_body);
	if (x->at_us)
		vcr_buf_printf(&s->text, " at %lld", (long long)x->at_us);
	if (x->total_ms >= 0)
		vcr_buf_printf(&s->text, " %.0f/%.0f", x->wait_ms, x->total_ms);
	vcr_buf_puts(&s->text, x->plain ? " plain\n" : "\n");
	return 0;
}

static void on_skip(void *ctx, int64_t number, const char *what)
{
	struct seen *s = ctx;
	vcr_buf_printf(&s->text, "%lld: %s\n", (long long)number, what);
	s->skips++;
}

static void reads(const char *file, const char *as)
{
	struct seen s = { VCR_BUF_INIT, 0 };
	struct vcr_error e = { 0 };
	enum vcr_cassette_kind kind;
	ck_assert_msg(!vcr_cassette_read(file, strlen(file), &kind, on_taped, on_skip, &s, &e), "%s", e.what);
	ck_assert_str_eq(s.text.data, as);
	vcr_buf_release(&s.text);
}

START_TEST(a_cassette_of_either_serialiser_gives_its_exchanges)
{
	reads("interactions:\n- request:\n    body: '{\"a\": 1}'\n    headers: {A: [x, y], B: z}\n    method: POST\n    uri: https://h/p?q=1\n"
	      "  response:\n    body: {string: !!binary \"AAEC\"}\n    headers: {C: ['1']}\n    status: {code: 201, message: Made}\nversion: 1\n",
	      "1 POST https://h/p?q=1 A=\"x\" A=\"y\" B=\"z\" body=\"{\\\"a\\\": 1}\" -> 201 Made C=\"1\" body=\"\\u0000\\u0001\\u0002\"\n");
	reads("{\"version\": 1, \"interactions\": [{\"request\": {\"method\": \"GET\", \"uri\": \"http://h\", \"body\": null, \"headers\": {}},"
	      " \"response\": {\"status\": {\"code\": 200, \"message\": null}, \"headers\": {}, \"body\": {\"string\": \"\\u00e9\"}}}]}",
	      "1 GET http://h body=\"\" -> 200  body=\"\\u00e9\"\n");
	/* httpx by older ones; a file object and an iterator as bodies */
	reads("interactions:\n- request: {method: POST, uri: 'http://h/', headers: {}, body: !!python/object/new:_io.BytesIO {state: !!python/tuple [abc, 0, null]}}\n"
	      "  response: {status_code: 200, content: hello, headers: {}}\n"
	      "- request: {method: POST, uri: 'http://h/', headers: {}, body: !!python/object/apply:builtins.iter {args: [[ab, !!binary Yw==]]}}\n"
	      "  response: {status: {code: 200, message: OK}, body: {string: ''}, headers: {}}\n",
	      "1 POST http://h/ body=\"abc\" -> 200  body=\"hello\"\n2 POST http://h/ body=\"abc\" -> 200 OK body=\"\"\n");
}
END_TEST

START_TEST(a_har_gives_its_exchanges_with_their_times)
{
	reads("{\"log\": {\"version\": \"1.2\", \"entries\": [{\"startedDateTime\": \"2026-11-24T10:00:00.250Z\", \"time\": 90, \"timings\": {\"blocked\": 1, \"dns\": -1, \"connect\": 5, "
	      "\"send\": 2, \"wait\": 30, \"receive\": 52}, \"request\": {\"method\": \"POST\", \"url\": \"https://h/p#f\", \"headers\": [{\"name\": \":path\", \"value\": \"/p\"}, "
	      "{\"name\": \"a\", \"value\": \"b\"}], \"postData\": {\"mimeType\": \"x\", \"text\": \"{}\"}}, \"response\": {\"status\": 200, \"statusText\": \"OK\", "
	      "\"headers\": [{\"name\": \"c\", \"value\": \"d\"}], \"content\": {\"size\": 2, \"mimeType\": \"m\", \"text\": \"aGk=\", \"encoding\": \"base64\"}}},"
	      "{\"request\": {\"method\": \"POST\", \"url\": \"http://h/\", \"postData\": {\"params\": [{\"name\": \"k\", \"value\": \"v&w\"}, {\"name\": \"l\"}]}}, "
	      "\"response\": {\"status\": 0, \"_error\": \"net::ERR_FAILED\"}}]}}",
	      "1 POST https://h/p a=\"b\" body=\"{}\" -> 200 OK c=\"d\" body=\"hi\" at 1795514400250000 38/90 plain\n"
	      "2 POST http://h/ body=\"k=v%26w&l=\" -> 0  body=\"\" plain\n");
}
END_TEST

START_TEST(what_http_does_not_allow_is_left_out_and_said)
{
	reads("interactions:\n"
	      "- {request: {method: 'GET x', uri: 'http://h/'}, response: {status: {code: 200}}}\n"
	      "- {request: {method: GET, uri: 'file:///etc/passwd'}, response: {status: {code: 200}}}\n"
	      "- {request: {method: GET, uri: \"http://h\\r\\nX: y/\"}, response: {status: {code: 200}}}\n"
	      "- {request: {method: GET, uri: 'http://h/'}, response: {status: {code: 99}}}\n"
	      "- {request: {method: GET, uri: 'http://h/'}, response: {status: {code: 4294967496}}}\n"
	      "- {request: {method: GET, uri: 'http://h/'}, response: {status: {code: 200}, body: {string: !!binary '!'}}}\n"
	      "- {request: {method: GET, uri: 'http://h/a b', headers: {\"a\\nb\": [c], d: [\"e\\r\\nf: g\"], h: [i]}}, response: {status: {code: 200, message: \"x\\ny\"}}}\n"
	      "- 7\n",
	      "1: no method that asks for something; left out\n2: no http or https URL; left out\n3: no http or https URL; left out\n4: no status of an answer; left out\n"
	      "5: no status of an answer; left out\n6: a body that is neither text nor base64; left out\n"
	      "7: a header field that HTTP does not allow is left out\n7: a header field that HTTP does not allow is left out\n"
	      "7 GET http://h/a%20b h=\"i\" body=\"\" -> 200  body=\"\"\n8: no method that asks for something; left out\n");
}
END_TEST

START_TEST(a_file_that_is_no_recording_is_refused)
{
	static const struct { const char *text; int code; const char *words; } bad[] = {
		{ "", VCR_ESYNTAX, "nothing" }, { "{}", VCR_ESYNTAX, "neither a cassette" }, { "hello", VCR_ESYNTAX, "neither a cassette" }, { "{\"a\":", VCR_ETRUNC, "no JSON" },
		{ "interactions: 5", VCR_ESYNTAX, "neither" }, { "version: 9\ninteractions: []", VCR_EVERSION, "version 9" }, { "{\"log\":{\"entries\":{}}}", VCR_ESYNTAX, "neither" } };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct seen s = { VCR_BUF_INIT, 0 };
		struct vcr_error e = { 0 };
		enum vcr_cassette_kind kind;
		ck_assert_int_eq(vcr_cassette_read(bad[i].text, strlen(bad[i].text), &kind, on_taped, on_skip, &s, &e), bad[i].code);
		ck_assert_msg(strstr(e.what, bad[i].words), "%s", e.what);
		ck_assert_str_eq(s.text.data, "");
	}
}
END_TEST

START_TEST(what_is_written_reads_back_whatever_the_bytes)
{
	static const char nasty[] = "\0\1\t\n\r \"\\'#:{}[]&*!|>%@` \x7f\xc2\x85\xc2\xa0\xe2\x80\xa8\xef\xbb\xbf\xf0\x9f\x98\x80\xed\x9f\xbf";
	static const struct vcr_http1_field req[] = { { "A", "x" }, { "b", "\"q\": \\" }, { "a", "y" } }, res[] = { { "c", "" } };
	static const char *const bodies[] = { nasty, "\xff\x00\xfe" };
	static const size_t sizes[] = { sizeof nasty - 1, 3 };
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct seen s = { VCR_BUF_INIT, 0 }, want = { VCR_BUF_INIT, 0 };
	struct vcr_error e = { 0 };
	enum vcr_cassette_kind kind;
	vcr_cassette_write_head(&out);
	for (int i = 0; i < 2; i++) {
		struct vcr_taped x = { .number = i + 1, .method = "POST", .url = "https://h/p?a=%20{{vcr:secret:1:KEY}}", .req_field = req, .nreq_field = 3, .req_body = bodies[i], .nreq_body = sizes[i],
			.status = 200, .reason = "O\"K", .res_field = res, .nres_field = 1, .res_body = bodies[i], .nres_body = sizes[i], .wait_ms = -1, .total_ms = -1 };
		static const struct vcr_http1_field grouped[] = { { "A", "x" }, { "A", "y" }, { "b", "\"q\": \\" } };
		vcr_cassette_write(&out, &x);
		x.req_field = grouped;
		on_taped(&want, &x);
	}
	vcr_cassette_write_tail(&out);
	ck_assert_msg(!vcr_cassette_read(out.data, out.len, &kind, on_taped, on_skip, &s, &e), "%s\n%s", e.what, out.data);
	ck_assert_str_eq(s.text.data, want.text.data);
	ck_assert_int_eq(kind, VCR_CASSETTE_VCRPY);
	ck_assert(strstr(out.data, "!!binary \"/wD+\""));
	vcr_buf_release(&s.text);
	vcr_buf_release(&want.text);
}
END_TEST

static TCase *cassette(void)
{
	TCase *tc = tcase_create("cassette");
	tcase_add_test(tc, yaml_says_the_same_as_json);
	tcase_add_test(tc, an_alias_is_what_it_names);
	tcase_add_test(tc, yaml_that_is_none_or_would_harm_is_refused_by_line);
	tcase_add_test(tc, a_cassette_of_either_serialiser_gives_its_exchanges);
	tcase_add_test(tc, a_har_gives_its_exchanges_with_their_times);
	tcase_add_test(tc, what_http_does_not_allow_is_left_out_and_said);
	tcase_add_test(tc, a_file_that_is_no_recording_is_refused);
	tcase_add_test(tc, what_is_written_reads_back_whatever_the_bytes);
	return tc;
}

TAP_MAIN("cassette", cassette)
