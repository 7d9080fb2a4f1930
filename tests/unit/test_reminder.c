#include "limits.h"
#include "reminder.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>

#define TOLD "fix \"it\""
#define TOLD_JSON "\"fix \\\"it\\\"\""

static const struct sample {
	enum vcr_api api;
	const char *target, *head, *tail, *asked /* up to what is reminded */, *with /* the same, reminded */, *more /* what a later request adds */;
} samples[] = {
	{ VCR_API_OPENAI_CHAT, "/v1/chat/completions", "{ \"model\":\"m\", \"messages\": [", "] ,\"stream\":true}",
		"{\"role\":\"user\",\"content\":\"a\"}, {\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\"}]}\n,{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"\\u00e9\"}",
		"{\"role\":\"user\",\"content\":\"a\"}, {\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\"}]}\n,{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"\\u00e9\"}"
			",{\"role\":\"user\",\"content\":" TOLD_JSON "}",
		",{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"d\"}" },
	{ VCR_API_ANTHROPIC_MESSAGES, "/v1/messages", "{\"system\":\"s\",\"messages\":[", "]}",
		"{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"t\"}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\"} ]}",
		"{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"t\"}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\"} "
			",{\"type\":\"text\",\"text\":" TOLD_JSON "}]}",
		",{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"d\"}" },
	{ VCR_API_ANTHROPIC_MESSAGES, "/v1/messages", "{\"messages\":[", "],\"max_tokens\":5}",
		"{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\": \"c\\n\"}",
		"{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\": [{\"type\":\"text\",\"text\":\"c\\n\"},{\"type\":\"text\",\"text\":" TOLD_JSON "}]}",
		",{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"d\"}" },
	{ VCR_API_OPENAI_RESPONSES, "/v1/responses", "{\"input\":[", "],\"store\":false}",
		"{\"role\":\"user\",\"content\":\"a\"},{\"type\":\"function_call\",\"call_id\":\"c\"},{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"o\"}",
		"{\"role\":\"user\",\"content\":\"a\"},{\"type\":\"function_call\",\"call_id\":\"c\"},{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"o\"}"
			",{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":" TOLD_JSON "}]}",
		",{\"type\":\"reasoning\"},{\"type\":\"custom_tool_call\",\"call_id\":\"d\"},{\"type\":\"custom_tool_call_output\",\"call_id\":\"d\"}" },
	{ VCR_API_GEMINI_GENERATE, "/v1beta/models/g:generateContent", "{\"contents\":[", "],\"tools\":[]}",
		"{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]},{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"f\"}}]},{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"f\"}}]}",
		"{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]},{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"f\"}}]},{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"f\"}}]}"
			",{\"role\":\"user\",\"parts\":[{\"text\":" TOLD_JSON "}]}",
		",{\"role\":\"model\",\"parts\":[{\"text\":\"b\"}]},{\"role\":\"user\",\"parts\":[{\"text\":\"d\"}]}" },
	{ VCR_API_GEMINI_GENERATE, "/v1internal:generateContent", "{\"model\":\"g\",\"request\":{\"contents\":[", "]}}",
		"{\"role\":\"user\",\"parts\":[]},{\"role\":\"model\",\"parts\":[]},{\"parts\":[{\"functionResponse\":{}}]}",
		"{\"role\":\"user\",\"parts\":[]},{\"role\":\"model\",\"parts\":[]},{\"parts\":[{\"functionResponse\":{}}]},{\"role\":\"user\",\"parts\":[{\"text\":" TOLD_JSON "}]}",
		",{\"role\":\"model\",\"parts\":[]},{\"role\":\"user\",\"parts\":[]}" },
};
enum { SAMPLES = sizeof samples / sizeof *samples };

static void parse(struct vcr_json *j, const char *text)
{
	ck_assert_int_eq(vcr_json_parse(j, text, strlen(text), 0, NULL), 0);
}

static void join(struct vcr_buf *b, const char *a, const char *c, const char *d, const char *e)
{
	vcr_buf_puts(b, a);
	vcr_buf_puts(b, c);
	vcr_buf_puts(b, d);
	vcr_buf_puts(b, e);
	ck_assert_int_eq(b->err, 0);
}

/* Where a new reminder goes in that body. */
static struct vcr_reminder at_end_of(const struct sample *s, const char *body)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_reminder r = { .text = TOLD, .n = strlen(TOLD) };
	bool goes_on = false;
	parse(&j, body);
	ck_assert_int_eq(vcr_reminder_find(s->api, s->target, &j, &r.place, &goes_on), 0);
	ck_assert(goes_on);
	return r;
}

static int put(const struct sample *s, const char *body, const struct vcr_reminder *r, size_t n, bool *told, struct vcr_buf *out)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	parse(&j, body);
	return vcr_reminder_put(s->api, s->target, &j, r, n, told, out);
}

START_TEST(each_provider_gets_it_in_its_own_shape_behind_the_results_of_tools)
{
	const struct sample *s = &samples[_i];
	VCR_AUTO_BUF body = VCR_BUF_INIT, want = VCR_BUF_INIT, got = VCR_BUF_INIT;
	bool told = false;
	join(&body, s->head, s->asked, "", s->tail);
	join(&want, s->head, s->with, "", s->tail);
	struct vcr_reminder r = at_end_of(s, body.data);
	ck_assert_int_eq(put(s, body.data, &r, 1, &told, &got), 0);
	ck_assert_str_eq(got.data, want.data);
	ck_assert(told);
}
END_TEST

START_TEST(a_later_request_of_the_conversation_carries_it_at_the_same_place)
{
	const struct sample *s = &samples[_i];
	VCR_AUTO_BUF body = VCR_BUF_INIT, later = VCR_BUF_INIT, want = VCR_BUF_INIT, got = VCR_BUF_INIT, both = VCR_BUF_INIT, wants = VCR_BUF_INIT;
	join(&body, s->head, s->asked, "", s->tail);
	join(&later, s->head, s->asked, s->more, s->tail);
	join(&want, s->head, s->with, s->more, s->tail);
	struct vcr_reminder r[2] = { at_end_of(s, body.data) };
	ck_assert_int_eq(put(s, later.data, r, 1, NULL, &got), 0);
	ck_assert_str_eq(got.data, want.data);
	/* and one more at the end of that one: what stands before is the same, byte for byte */
	r[1] = at_end_of(s, later.data);
	ck_assert_uint_gt(r[1].place.items, r[0].place.items);
	ck_assert_int_eq(put(s, later.data, r, 2, NULL, &both), 0);
	join(&wants, s->head, s->with, "", "");
	ck_assert_int_eq(strncmp(both.data, wants.data, wants.len), 0);
	ck_assert_uint_gt(both.len, got.len);
}
END_TEST

/* As a recording names it: by the number of items before it. */
START_TEST(a_place_is_found_by_its_number_in_a_later_request_too)
{
	const struct sample *s = &samples[_i];
	VCR_AUTO_BUF body = VCR_BUF_INIT, later = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_reminder_place place = { 0, 0 };
	join(&body, s->head, s->asked, "", s->tail);
	join(&later, s->head, s->asked, s->more, s->tail);
	struct vcr_reminder r = at_end_of(s, body.data);
	parse(&j, later.data);
	ck_assert_int_eq(vcr_reminder_at(s->api, s->target, &j, r.place.items, &place), 0);
	ck_assert(place.items == r.place.items && place.prefix == r.place.prefix);
	ck_assert_int_eq(vcr_reminder_at(s->api, s->target, &j, 0, &place), 1);
	ck_assert_int_eq(vcr_reminder_at(s->api, s->target, &j, 1000, &place), 1);
	ck_assert_int_eq(vcr_reminder_at(s->api, s->target, &j, r.place.items + 1, &place), 1); /* the model's */
}
END_TEST

START_TEST(another_conversation_carries_none)
{
	const struct sample *s = &samples[_i];
	VCR_AUTO_BUF body = VCR_BUF_INIT, other = VCR_BUF_INIT, got = VCR_BUF_INIT;
	bool told = true;
	join(&body, s->head, s->asked, "", s->tail);
	join(&other, s->head, "{\"role\":\"user\",\"content\":\"else\",\"parts\":[]},", s->asked, s->tail);
	struct vcr_reminder r = at_end_of(s, body.data);
	vcr_buf_puts(&got, "x");
	ck_assert_int_eq(put(s, other.data, &r, 1, &told, &got), 1);
	ck_assert(!told);
	ck_assert_str_eq(got.data, "x");
}
END_TEST

/* claude-code moves its marker with each request, and a text that carries one is written as a block. */
START_TEST(markers_of_a_cache_may_move)
{
	static const struct sample s = { VCR_API_ANTHROPIC_MESSAGES, "/v1/messages", "", "", "", "", "" };
	static const char first[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
		"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"c\",\"cache_control\":{\"type\":\"ephemeral\"}}]}]}";
	static const char later[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
		"{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"e\",\"cache_control\":{\"type\":\"ephemeral\"}}]}]}";
	VCR_AUTO_BUF got = VCR_BUF_INIT;
	struct vcr_reminder r = at_end_of(&s, first);
	ck_assert_int_eq(put(&s, later, &r, 1, NULL, &got), 0);
	ck_assert_ptr_nonnull(strstr(got.data, "\"content\":[{\"type\":\"text\",\"text\":\"c\"},{\"type\":\"text\",\"text\":" TOLD_JSON "}]},{\"role\":\"assistant\",\"content\":\"d\"}"));
}
END_TEST

START_TEST(an_input_that_is_a_text_becomes_an_item)
{
	static const struct sample s = { VCR_API_OPENAI_RESPONSES, "/v1/responses", "", "", "", "", "" };
	static const char body[] = "{\"input\": \"a\\tb\" ,\"previous_response_id\":\"resp_1\"}", other[] = "{\"input\": \"a\\tb\" ,\"previous_response_id\":\"resp_2\"}";
	VCR_AUTO_BUF got = VCR_BUF_INIT;
	struct vcr_reminder r = at_end_of(&s, body);
	ck_assert_int_eq(put(&s, other, &r, 1, NULL, &got), 1);
	ck_assert_int_eq(put(&s, body, &r, 1, NULL, &got), 0);
	ck_assert_str_eq(got.data, "{\"input\": [{\"type\":\"message\",\"role\":\"user\",\"content\":\"a\\tb\"},"
		"{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":" TOLD_JSON "}]}] ,\"previous_response_id\":\"resp_1\"}");
}
END_TEST

START_TEST(where_the_model_spoke_last_or_the_shape_is_strange_there_is_no_place)
{
	static const struct { enum vcr_api api; const char *body; } list[] = {
		{ VCR_API_OPENAI_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}" },
		{ VCR_API_OPENAI_CHAT, "{\"messages\":[]}" }, { VCR_API_OPENAI_CHAT, "{}" }, { VCR_API_OPENAI_CHAT, "[]" }, { VCR_API_OPENAI_CHAT, "{\"messages\":[1]}" },
		{ VCR_API_ANTHROPIC_MESSAGES, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"{\"}]}" },
		{ VCR_API_ANTHROPIC_MESSAGES, "{\"messages\":[{\"role\":\"user\",\"content\":5}]}" }, { VCR_API_ANTHROPIC_MESSAGES, "{\"messages\":[{\"role\":\"user\"}]}" },
		{ VCR_API_OPENAI_RESPONSES, "{\"input\":[{\"role\":\"user\",\"content\":\"a\"},{\"type\":\"function_call\",\"call_id\":\"c\"}]}" },
		{ VCR_API_GEMINI_GENERATE, "{\"contents\":[{\"role\":\"user\",\"parts\":[]},{\"role\":\"model\",\"parts\":[]}]}" },
		{ VCR_API_GENERIC, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}" }, { VCR_API_BEDROCK_CONVERSE, "{\"messages\":[{\"role\":\"user\",\"content\":[]}]}" },
	};
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		VCR_AUTO_JSON j = VCR_JSON_INIT;
		struct vcr_reminder_place place;
		bool goes_on;
		parse(&j, list[i].body);
		ck_assert_msg(vcr_reminder_find(list[i].api, "/", &j, &place, &goes_on) == 1, "%s", list[i].body);
	}
}
END_TEST

START_TEST(who_has_not_heard_the_model_yet_has_written_nothing)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_reminder_place place;
	bool goes_on = true;
	parse(&j, "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"name this chat\"}]}");
	ck_assert_int_eq(vcr_reminder_find(VCR_API_OPENAI_CHAT, "/v1/chat/completions", &j, &place, &goes_on), 0);
	ck_assert(!goes_on);
}
END_TEST

START_TEST(the_order_at_one_place_is_the_lists_and_more_than_the_limit_are_refused)
{
	const struct sample *s = &samples[0];
	VCR_AUTO_BUF body = VCR_BUF_INIT, got = VCR_BUF_INIT;
	static struct vcr_reminder many[VCR_MAX_REMINDERS + 1];
	join(&body, s->head, s->asked, "", s->tail);
	struct vcr_reminder r[2] = { at_end_of(s, body.data), at_end_of(s, body.data) };
	r[0].text = "1st", r[1].text = "2nd";
	r[0].n = r[1].n = 3;
	ck_assert_int_eq(put(s, body.data, r, 2, NULL, &got), 0);
	ck_assert_ptr_nonnull(strstr(got.data, "{\"role\":\"user\",\"content\":\"1st\"},{\"role\":\"user\",\"content\":\"2nd\"}]"));
	ck_assert_int_eq(put(s, body.data, many, VCR_MAX_REMINDERS + 1, NULL, &got), VCR_ELIMIT);
}
END_TEST

static TCase *reminder(void)
{
	TCase *tc = tcase_create("reminder");
	tcase_add_loop_test(tc, each_provider_gets_it_in_its_own_shape_behind_the_results_of_tools, 0, SAMPLES);
	tcase_add_loop_test(tc, a_later_request_of_the_conversation_carries_it_at_the_same_place, 0, SAMPLES);
	tcase_add_loop_test(tc, a_place_is_found_by_its_number_in_a_later_request_too, 0, SAMPLES);
	tcase_add_loop_test(tc, another_conversation_carries_none, 0, SAMPLES);
	tcase_add_test(tc, markers_of_a_cache_may_move);
	tcase_add_test(tc, an_input_that_is_a_text_becomes_an_item);
	tcase_add_test(tc, where_the_model_spoke_last_or_the_shape_is_strange_there_is_no_place);
	tcase_add_test(tc, who_has_not_heard_the_model_yet_has_written_nothing);
	tcase_add_test(tc, the_order_at_one_place_is_the_lists_and_more_than_the_limit_are_refused);
	return tc;
}

TAP_MAIN("reminder", reminder)
