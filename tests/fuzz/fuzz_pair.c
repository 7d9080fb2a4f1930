/* As fuzz_conv: a request body a line, with the answer behind '\1'. Tool calls of the answers are paired with results in later requests; each is told once, and
 * the states of its frame, shortened, are read back whole. */
#include "fuzz.h"
#include "conv.h"
#include "pair.h"
#include "pair-cut.h"
#include "reader.h"
#include "session.h"
#include <unistd.h>

enum { MAX_CALLS = 24, MAX_TOLD = 512 };
struct told { int64_t index; struct vcr_buf input, output; bool odd; };
struct run {
	struct vcr_session *s;
	struct vcr_conv *conv;
	struct vcr_pair *pair;
	char answering[37];
	const struct vcr_buf *request;
	bool odd;               /* something in it is not kept as it was: see fuzz_conv.c */
	struct told told[MAX_TOLD];
	int n, asked;
};

static bool is_odd(const char *p, size_t n)
{
	return memmem(p, n, "_vcr", 4) || memmem(p, n, "_type_", 6) || memmem(p, n, "\\u005", 5) || memmem(p, n, "\\u0076", 6);
}

static void on_told(void *ctx, const struct vcr_pair_call *c, const struct vcr_json *j, const struct vcr_tool_result *r, uint64_t until_ns)
{
	struct run *run = ctx;
	VCR_AUTO_BUF output = VCR_BUF_INIT, at = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	if (run->n == MAX_TOLD)
		return;
	struct told *t = &run->told[run->n++];
	*t = (struct told){ .odd = run->odd || !*c->arguments };
	vcr_buf_init(&t->input, 0);
	vcr_buf_init(&t->output, 0);
	vcr_buf_puts(&t->input, c->arguments);
	FUZZ_CHECK(!*c->arguments || fuzz_valid_json(&t->input, VCR_JSON_RELAXED));
	FUZZ_CHECK(c->asked_ns <= until_ns && *c->name);
	if (r) {
		struct vcr_jw w;
		FUZZ_CHECK(vcr_json_path(j, 0, r->at) == r->value);
		vcr_buf_printf(&at, "input_state.%s", r->at);
		FUZZ_CHECK(!vcr_pair_cut_output(&output, j, r->value, "result", run->answering, at.data));
		vcr_jw_init(&w, &t->output);
		vcr_jw_object(&w);
		vcr_jw_key(&w, "result");
		vcr_jw_value(&w, j, r->value);
		vcr_jw_object_end(&w);
	}
	struct vcr_frame f = { .type = VCR_FRAME_TOOL, .node_name = "tool:t", .parent_frame_id = c->asked_by, .input_json = c->input, .output_json = r ? output.data : NULL,
		.vcr_json = "{}", .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1 };
	FUZZ_CHECK(!vcr_session_add_frame(run->s, &f, &t->index, &e));
}

static int count(void *ctx, const struct vcr_tool_call *c)
{
	++*(int *)ctx;
	return 0;
}

static void one_call(struct run *run, const struct vcr_buf *request, const char *answer, size_t nanswer, uint64_t now)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT, aj = VCR_JSON_INIT;
	VCR_AUTO_BUF input = VCR_BUF_INIT, output = VCR_BUF_INIT;
	struct vcr_request_info info;
	struct vcr_conv_place place = { .known = 0 };
	struct vcr_pair_cause cause;
	struct vcr_frame f = { .type = VCR_FRAME_LLM, .node_name = "llm:m", .vcr_json = "{}", .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1 };
	struct vcr_error e = { 0 };
	static const enum vcr_api apis[] = { VCR_API_OPENAI_CHAT, VCR_API_OPENAI_RESPONSES, VCR_API_GEMINI_GENERATE };
	if (vcr_json_parse(&j, request->data, request->len, 0, NULL) || vcr_json_type(&j, 0) != VCR_JSON_OBJECT)
		return;
	int which = vcr_json_get(&j, 0, "contents") >= 0 ? 2 : vcr_json_get(&j, 0, "input") >= 0 ? 1 : 0;
	vcr_request_info(apis[which], "/v1/x", &j, &info);
	vcr_frame_new_id(f.frame_id);
	bool answered = nanswer && !vcr_json_parse(&aj, answer, nanswer, 0, NULL);
	FUZZ_CHECK(!vcr_conv_place(run->conv, &j, &info, answered ? &aj : NULL, f.frame_id, &place, &input));
	strcpy(run->answering, f.frame_id);
	vcr_pair_answered(run->pair, place.parent, place.known, 1, now, &j, info.list_key);
	vcr_pair_at_work(run->pair, 1, now, (const char *const[]){ "a.txt", NULL }, 0, NULL, &cause);
	vcr_pair_prompted(run->pair, now, request->data, request->len, &cause);
	f.input_json = input.data;
	if (answered) {
		struct vcr_jw w;
		vcr_jw_init(&w, &output);
		vcr_jw_object(&w);
		vcr_jw_key(&w, "response");
		vcr_jw_value(&w, &aj, 0);
		vcr_jw_object_end(&w);
		f.output_json = output.data;
	}
	FUZZ_CHECK(!vcr_session_add_frame(run->s, &f, NULL, &e));
	if (answered) {
		vcr_tool_calls(&aj, 0, count, &run->asked);
		FUZZ_CHECK(!vcr_pair_asked(run->pair, f.frame_id, 1, now, &aj, 0));
	}
	vcr_request_info_release(&info);
}

static void same(const struct vcr_buf *is, const struct vcr_buf *was)
{
	VCR_AUTO_JSON a = VCR_JSON_INIT, b = VCR_JSON_INIT;
	FUZZ_CHECK(!vcr_json_parse(&a, is->data, is->len, VCR_JSON_RELAXED, NULL) && !vcr_json_parse(&b, was->data, was->len, VCR_JSON_RELAXED, NULL));
	FUZZ_CHECK(vcr_json_equal(&a, 0, &a, 0) == vcr_json_equal(&a, 0, &b, 0));
}

static void check_told(struct run *run, const char *path)
{
	struct vcr_reader *r;
	struct vcr_error e = { 0 };
	FUZZ_CHECK(!vcr_reader_open(&r, path, NULL, NULL, &e));
	for (int i = 0; i < run->n; i++) {
		struct told *t = &run->told[i];
		VCR_AUTO_BUF input = VCR_BUF_INIT, output = VCR_BUF_INIT;
		int err = vcr_reader_full_input(r, t->index, &input, &e);
		if (!err)
			err = vcr_reader_full_output(r, t->index, &output, &e);
		if (err && !t->odd)
			fprintf(stderr, "%s\n", e.what);
		FUZZ_CHECK(!err || t->odd);
		if (!t->odd) {
			same(&input, &t->input);
			if (t->output.len)
				same(&output, &t->output);
		}
		vcr_buf_release(&t->input);
		vcr_buf_release(&t->output);
	}
	vcr_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	struct vcr_session_options o = { .session_id = "fuzzed", .forked_from_frame = -1 };
	struct vcr_error e = { 0 };
	char path[200];
	struct run *run = calloc(1, sizeof *run);
	snprintf(path, sizeof path, "%s/fuzzed.vcr", fuzz_dir());
	unlink(path);
	FUZZ_CHECK(run && (run->conv = vcr_conv_new()) && (run->pair = vcr_pair_new(on_told, run)) && !vcr_session_create(&run->s, fuzz_dir(), &o, &e));
	run->odd = is_odd((const char *)data, size);
	for (uint64_t now = 1; in.n && now <= MAX_CALLS; now++) {
		VCR_AUTO_BUF line = fuzz_until(&in, '\n');
		struct fuzz_in of_line = { line.data, line.len };
		VCR_AUTO_BUF request = fuzz_until(&of_line, 1);
		one_call(run, &request, of_line.p, of_line.n, now);
	}
	vcr_pair_end(run->pair, MAX_CALLS + 1);
	FUZZ_CHECK(run->n == run->asked || run->n == MAX_TOLD);
	vcr_pair_free(run->pair);
	vcr_conv_free(run->conv);
	vcr_session_free(run->s);
	check_told(run, path);
	free(run);
	return 0;
}
