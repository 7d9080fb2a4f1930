#include "match.h"
#include "session.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>

static char dir[64];
static struct vcr_session *writer;
static struct vcr_reader *reader;
static struct vcr_match *m;
static int64_t seq;

static void set_up(void)
{
	struct vcr_error e;
	strcpy(dir, "/tmp/vcr-test-match-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	strcat(dir, "/.vcr");
	struct vcr_session_options o = { .session_id = "s", .forked_from_frame = -1 };
	ck_assert_msg(!vcr_session_create(&writer, dir, &o, &e), "%s", e.what);
	reader = NULL;
	m = NULL;
	seq = 0;
}

static void tear_down(void)
{
	char command[128];
	vcr_match_free(m);
	vcr_reader_free(reader);
	*strrchr(dir, '/') = 0;
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

/* A call as the recorder writes it; keys NULL: with its keys, else with these members instead. */
static void record(const char *api, const char *path, const char *request, const char *more)
{
	VCR_AUTO_BUF vcr = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	char ref[40], k0[VCR_KEY_LEN], k1[VCR_KEY_LEN];
	ck_assert_int_eq(vcr_session_add_body(writer, "c1", NULL, request, strlen(request), ref, NULL), 0);
	bool is_json = !vcr_json_parse(&j, request, strlen(request), 0, NULL);
	vcr_canon_keys(NULL, "POST", path, request, strlen(request), is_json ? &j : NULL, k0, k1);
	vcr_buf_printf(&vcr, "{\"seq\":%lld,\"api\":\"%s\",\"method\":\"POST\",\"path\":\"%s\",\"host\":\"h\",\"status\":200,\"k0\":\"%s\",\"k1\":\"%s\",\"request\":\"%s\"%s%s}",
		(long long)seq++, api, path, k0, k1, ref, more ? "," : "", more ? more : "");
	struct vcr_frame f = { .type = VCR_FRAME_LLM, .node_name = "llm:m", .vcr_json = vcr.data, .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1 };
	ck_assert_int_eq(vcr_session_add_frame(writer, &f, NULL, NULL), 0);
}

static void open_match(struct vcr_match_options o)
{
	struct vcr_error e;
	char path[128];
	snprintf(path, sizeof path, "%s", vcr_session_path(writer));
	vcr_session_end(writer, NULL, NULL);
	ck_assert_msg(!vcr_reader_open(&reader, path, NULL, NULL, &e), "%s", e.what);
	ck_assert_msg(!vcr_match_new(&m, reader, &o, &e), "%s", e.what);
}

static const char chat[] = "/v1/chat/completions";

static struct vcr_match_query query(const char *body)
{
	return (struct vcr_match_query){ VCR_API_OPENAI_CHAT, "POST", chat, body, strlen(body) };
}

static struct vcr_recorded *give(const char *body)
{
	struct vcr_match_query q = query(body);
	enum vcr_rung rung;
	return vcr_match_give(m, &q, &rung);
}

/* What it says of a request, and where. */
static void expect_miss(const char *body, enum vcr_miss kind, int64_t frame, const char *pointer)
{
	struct vcr_match_query q = query(body);
	struct vcr_divergence d = VCR_DIVERGENCE_INIT;
	VCR_AUTO_BUF words = VCR_BUF_INIT;
	ck_assert_ptr_null(give(body));
	ck_assert_int_eq(vcr_match_explain(m, &q, &d, &words, NULL), 0);
	ck_assert_msg(d.kind == kind, "%s", words.data);
	ck_assert_int_eq(d.nearest ? d.nearest->frame : -1, frame);
	ck_assert_str_eq(d.pointer.data, pointer);
	vcr_divergence_release(&d);
}

START_TEST(equal_requests_are_given_out_in_the_order_in_which_they_were_asked)
{
	seq = 9;
	record("openai.chat", chat, "{\"a\":1}", NULL);
	seq = 5; /* written later, asked earlier */
	record("openai.chat", chat, "{\"a\":1}", NULL);
	record("openai.chat", chat, "{\"a\":2}", NULL);
	open_match((struct vcr_match_options){ .rung = VCR_RUNG_CANONICAL });
	struct vcr_recorded *first = give("{\"a\":1}"), *second = give("{ \"a\": 1 }");
	ck_assert_int_eq(first->frame, 1);
	ck_assert_int_eq(second->frame, 0);
	ck_assert_ptr_null(give("{\"a\":1}"));
	vcr_match_back(m, first, false);
	ck_assert_ptr_eq(give("{\"a\":1}"), first);
	vcr_match_back(m, first, true);
	vcr_match_back(m, second, true);
	expect_miss("{\"a\":1}", VCR_MISS_SPENT, 0, "");
	struct vcr_match_stats st;
	vcr_match_stats(m, &st);
	ck_assert_int_eq(st.calls, 3);
	ck_assert_int_eq(st.spent, 2);
	ck_assert_int_eq(st.by_rung[VCR_RUNG_EXACT], 2);
	ck_assert_int_eq(st.by_rung[VCR_RUNG_CANONICAL], 1);
}
END_TEST

START_TEST(with_again_spent_calls_are_given_anew_in_turn)
{
	record("openai.chat", chat, "{\"a\":1}", NULL);
	record("openai.chat", chat, "{\"a\":1}", NULL);
	open_match((struct vcr_match_options){ .rung = VCR_RUNG_CANONICAL, .repeat = VCR_REPEAT_ANEW });
	int64_t want[] = { 0, 1, 0, 1, 0 };
	for (size_t i = 0; i < 5; i++) {
		struct vcr_recorded *c = give("{\"a\":1}");
		ck_assert_int_eq(c->frame, want[i]);
		vcr_match_back(m, c, true);
	}
	ck_assert_ptr_null(give("{\"a\":2}"));
}
END_TEST

START_TEST(an_equal_request_is_given_anew_without_a_key_until_one_has_become_free)
{
	record("openai.chat", chat, "{\"a\":1}", NULL);
	record("openai.chat", chat, "{\"b\":\"2026-11-24\"}", NULL);
	open_match((struct vcr_match_options){ .rung = VCR_RUNG_NORMALISED, .repeat = VCR_REPEAT_LAST });
	struct vcr_recorded *c = give("{\"a\":1}");
	vcr_match_back(m, c, true);
	ck_assert_uint_eq(c->anew, 0);
	ck_assert_ptr_null(vcr_match_give_like(m, c, c->anew, VCR_RUNG_EXACT));
	ck_assert_ptr_eq(give("{\"a\":1}"), c);
	vcr_match_back(m, c, true);
	unsigned anew = c->anew;
	for (int i = 0; i < 3; i++) {
		ck_assert_ptr_eq(vcr_match_give_like(m, c, anew, VCR_RUNG_EXACT), c);
		vcr_match_back(m, c, true);
	}
	vcr_match_back(m, give("{\"b\":\"2026-11-24\"}"), false);
	ck_assert_ptr_null(vcr_match_give_like(m, c, anew, VCR_RUNG_EXACT));
}
END_TEST

START_TEST(the_exact_call_goes_before_one_that_only_means_the_same)
{
	record("openai.chat", chat, "{\"a\":1,\"b\":2}", NULL);
	record("openai.chat", chat, "{\"b\":2,\"a\":1}", NULL);
	open_match((struct vcr_match_options){ .rung = VCR_RUNG_CANONICAL });
	ck_assert_int_eq(give("{\"b\":2,\"a\":1}")->frame, 1);
	ck_assert_int_eq(give("{\"b\":2,\"a\":1}")->frame, 0);
}
END_TEST

START_TEST(no_rung_is_climbed_that_was_not_asked_for)
{
	record("openai.chat", chat, "{\"d\":\"2026-11-24\"}", NULL);
	open_match((struct vcr_match_options){ .rung = VCR_RUNG_EXACT });
	ck_assert_ptr_null(give("{ \"d\":\"2026-11-24\"}"));
	vcr_match_free(m);
	struct vcr_match_options o = { .rung = VCR_RUNG_NORMALISED };
	ck_assert_int_eq(vcr_match_new(&m, reader, &o, NULL), 0);
	ck_assert_int_eq(give("{ \"d\":\"2027-01-01\"}")->frame, 0);
	vcr_match_free(m);
	o.rung = VCR_RUNG_CANONICAL;
	ck_assert_int_eq(vcr_match_new(&m, reader, &o, NULL), 0);
	ck_assert_ptr_null(give("{\"d\":\"2027-01-01\"}"));
}
END_TEST

START_TEST(a_miss_names_the_longest_common_beginning_and_the_first_difference)
{
	record("openai.chat", chat, "{\"model\":\"m\",\"messages\":[{\"c\":\"one\"},{\"c\":\"two\"},{\"c\":\"three\"}]}", NULL);
	record("openai.chat", chat, "{\"model\":\"m\",\"messages\":[{\"c\":\"uno\"},{\"c\":\"two\"},{\"c\":\"three\"},{\"c\":\"four\"}]}", NULL);
	record("anthropic.messages", "/v1/messages", "{\"model\":\"m\",\"messages\":[{\"c\":\"one\"},{\"c\":\"two\"},{\"c\":\"tres\"}]}", NULL);
	open_match((struct vcr_match_options){ .rung = VCR_RUNG_CANONICAL });
	expect_miss("{\"model\":\"m\",\"messages\":[{\"c\":\"one\"},{\"c\":\"two\"},{\"c\":\"tres\"}]}", VCR_MISS_BODY, 0, "/messages/2/c");
	expect_miss("{\"model\":\"m\",\"messages\":[{\"c\":\"uno\"},{\"c\":\"two\"}]}", VCR_MISS_BODY, 1, "/messages/2");
	expect_miss("{\"model\":\"m2\",\"messages\":[{\"c\":\"one\"},{\"c\":\"two\"},{\"c\":\"three\"}]}", VCR_MISS_BODY, 0, "/model");
	expect_miss("{\"model\":\"m\",\"messages\":[{\"c\":\"one\"},{\"c\":\"two\"},{\"c\":\"three\"}],\"a/b~c\":1}", VCR_MISS_BODY, 0, "/a~1b~0c");
	expect_miss("not json", VCR_MISS_BODY, 0, "");
	struct vcr_match_query q = query("{}");
	struct vcr_divergence d = VCR_DIVERGENCE_INIT;
	q.target = "/v1/embeddings";
	ck_assert_int_eq(vcr_match_explain(m, &q, &d, NULL, NULL), 0);
	ck_assert_int_eq(d.kind, VCR_MISS_PLACE);
	vcr_divergence_release(&d);
}
END_TEST

START_TEST(both_values_are_shown_around_the_place_where_they_part)
{
	VCR_AUTO_BUF a = VCR_BUF_INIT, b = VCR_BUF_INIT;
	vcr_buf_puts(&a, "{\"t\":\"");
	for (int i = 0; i < 500; i++)
		vcr_buf_puts(&a, "\xc3\xa9");
	vcr_buf_add(&b, a.data, a.len);
	vcr_buf_puts(&a, "recorded\"}");
	vcr_buf_puts(&b, "now\"}");
	record("openai.chat", chat, a.data, NULL);
	open_match((struct vcr_match_options){ .rung = VCR_RUNG_CANONICAL });
	struct vcr_match_query q = query(b.data);
	struct vcr_divergence d = VCR_DIVERGENCE_INIT;
	ck_assert_int_eq(vcr_match_explain(m, &q, &d, NULL, NULL), 0);
	ck_assert_str_eq(d.pointer.data, "/t");
	ck_assert(!strncmp(d.recorded.data, "...\xc3\xa9", 5) && strstr(d.recorded.data, "recorded") && d.recorded.len < 200);
	ck_assert(!strncmp(d.live.data, "...\xc3\xa9", 5) && strstr(d.live.data, "now\""));
	vcr_divergence_release(&d);
}
END_TEST

START_TEST(what_a_hostile_recording_says_is_taken_within_bounds)
{
	static const char *const strange[] = { "\"chunks\":[5,1,-3,2]", "\"chunks\":[5]", "\"chunks\":\"x\"", "\"chunks\":[9999999999999,1]", "\"status\":99999", "\"status\":\"x\"",
		"\"response_headers\":{\"a\":1,\"b\":null,\"c\":\"d\"}", "\"response_headers\":[]", "\"ttfb_ms\":-1,\"total_ms\":1e300", "\"api\":7,\"host\":7,\"reason\":{}",
		"\"k0\":\"short\"", "\"request\":\"0123456789012345678901234567890123456789012345678901234567890\"", "\"request\":\"nosuch\",\"k1\":\"\"" };
	for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
		record("openai.chat", chat, "{\"a\":1}", strange[i]);
	open_match((struct vcr_match_options){ .rung = VCR_RUNG_NORMALISED });
	for (size_t i = 0; i < vcr_match_count(m); i++) {
		const struct vcr_recorded *c = vcr_match_call(m, i);
		ck_assert(c->status == 0 || (c->status >= 100 && c->status <= 999));
		ck_assert_uint_le(c->npiece, 1);
		ck_assert_uint_le(c->nfield, 1);
	}
	expect_miss("{\"a\":2}", VCR_MISS_BODY, 0, "/a");
}
END_TEST

START_TEST(only_what_may_match_is_normalised_and_equal_ones_keep_their_order)
{
	static const char one[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"pid %s\"}]}", two[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"pid %s\"}]}";
	static const char *const pids[] = { "9", "10", "111111" };
	char body[200];
	for (int i = 0; i < 3; i++) {
		snprintf(body, sizeof body, one, pids[i]);
		record("openai.chat", chat, body, i ? "\"items\":1" : NULL); /* an older recording does not say */
		snprintf(body, sizeof body, two, pids[i]);
		record("openai.chat", chat, body, "\"items\":2,\"request_bytes\":80");
	}
	open_match((struct vcr_match_options){ .rung = VCR_RUNG_NORMALISED });
	for (int i = 0; i < 3; i++) { /* whichever of them it is as long as */
		snprintf(body, sizeof body, one, "77");
		struct vcr_recorded *c = give(body);
		ck_assert(c && c->frame == 2 * i);
	}
	for (size_t i = 0; i < vcr_match_count(m); i++)
		ck_assert_int_eq(*vcr_match_call(m, i)->k2 != 0, i % 2 == 0);
	snprintf(body, sizeof body, two, "77");
	ck_assert_ptr_nonnull(give(body));
}
END_TEST

static struct vcr_recorded *give_structural(const char *body)
{
	struct vcr_match_query q = query(body);
	enum vcr_rung rung;
	struct vcr_recorded *c = vcr_match_give(m, &q, &rung);
	ck_assert(!c || rung == VCR_RUNG_STRUCTURAL);
	return c;
}

START_TEST(of_one_structure_the_most_alike_that_is_free_is_given_once)
{
	record("openai.chat", chat, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"one two three four\"}]}", NULL);
	record("openai.chat", chat, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"five six seven eight\"}]}", NULL);
	open_match((struct vcr_match_options){ .rung = VCR_RUNG_STRUCTURAL });
	struct vcr_recorded *c = give_structural("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"five six seven nine\"}]}");
	ck_assert(c && c->frame == 1 && c->likeness == 0.75);
	vcr_match_back(m, c, true);
	ck_assert_ptr_null(give_structural("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"five six seven ten\"}]}"));
	ck_assert_ptr_null(give_structural("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"five six seven eight\"}]}")); /* asked more often than then */
	ck_assert_ptr_null(give_structural("{\"model\":\"n\",\"messages\":[{\"role\":\"user\",\"content\":\"one two three four\"}]}"));
	c = give_structural("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"one two three five\"}]}");
	ck_assert(c && c->frame == 0);
	vcr_match_back(m, c, false);
	c = give_structural("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"one two three six\"}]}");
	ck_assert_msg(c && c->frame == 0, "one that was not delivered is given again");
}
END_TEST

static TCase *match(void)
{
	TCase *tc = tcase_create("match");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, equal_requests_are_given_out_in_the_order_in_which_they_were_asked);
	tcase_add_test(tc, with_again_spent_calls_are_given_anew_in_turn);
	tcase_add_test(tc, an_equal_request_is_given_anew_without_a_key_until_one_has_become_free);
	tcase_add_test(tc, the_exact_call_goes_before_one_that_only_means_the_same);
	tcase_add_test(tc, no_rung_is_climbed_that_was_not_asked_for);
	tcase_add_test(tc, only_what_may_match_is_normalised_and_equal_ones_keep_their_order);
	tcase_add_test(tc, of_one_structure_the_most_alike_that_is_free_is_given_once);
	tcase_add_test(tc, a_miss_names_the_longest_common_beginning_and_the_first_difference);
	tcase_add_test(tc, both_values_are_shown_around_the_place_where_they_part);
	tcase_add_test(tc, what_a_hostile_recording_says_is_taken_within_bounds);
	return tc;
}

TAP_MAIN("match", match)
