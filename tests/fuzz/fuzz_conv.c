/* Lines: a request body each, with the answer behind '\1'. They are placed in conversations, written to a session file, and read back: the complete state
 * is the request again, the body comes back byte for byte. */
#include "fuzz.h"
#include "conv.h"
#include "reader.h"
#include "session.h"
#include <unistd.h>

enum { MAX_CALLS = 24 };
struct placed { struct vcr_buf request; char ref[40]; };

static bool place_call(struct vcr_session *s, struct vcr_conv *conv, struct placed *p, const char *answer, size_t nanswer)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT, aj = VCR_JSON_INIT;
	VCR_AUTO_BUF input = VCR_BUF_INIT;
	struct vcr_request_info info;
	struct vcr_conv_place place = { .known = 0 };
	struct vcr_frame f = { .type = VCR_FRAME_LLM, .node_name = "llm:m", .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1 };
	struct vcr_error e = { 0 };
	if (vcr_json_parse(&j, p->request.data, p->request.len, 0, NULL) || vcr_json_type(&j, 0) != VCR_JSON_OBJECT)
		return false;
	vcr_request_info(VCR_API_OPENAI_CHAT, "/v1/chat/completions", &j, &info);
	vcr_frame_new_id(f.frame_id);
	bool answered = nanswer && !vcr_json_parse(&aj, answer, nanswer, 0, NULL);
	FUZZ_CHECK(!vcr_conv_place(conv, &j, &info, answered ? &aj : NULL, f.frame_id, &place, &input));
	FUZZ_CHECK(fuzz_valid_json(&input, VCR_JSON_RELAXED) && *input.data == '{');
	FUZZ_CHECK(!vcr_session_add_body(s, place.lane, NULL, p->request.data, p->request.len, p->ref, &e));
	f.input_json = input.data;
	VCR_AUTO_BUF output = VCR_BUF_INIT;
	if (answered) {
		struct vcr_jw w;
		vcr_jw_init(&w, &output);
		vcr_jw_object(&w);
		vcr_jw_key(&w, "response");
		vcr_jw_value(&w, &aj, 0);
		vcr_jw_object_end(&w);
		f.output_json = output.data;
	}
	f.parent_frame_id = *place.parent ? place.parent : NULL;
	FUZZ_CHECK(!vcr_session_add_frame(s, &f, NULL, &e));
	vcr_request_info_release(&info);
	return true;
}

/* What VCRPlayer would make of them is not kept ("__type__"), nor are requests that speak of "_vcr" themselves or repeat a key. */
static bool odd(const struct vcr_buf *b)
{
	return memmem(b->data, b->len, "_vcr", 4) || memmem(b->data, b->len, "_type_", 6) || memmem(b->data, b->len, "\\u005", 5) ||
		memmem(b->data, b->len, "\\u0076", 6);
}

static void check_call(struct vcr_reader *r, int64_t i, const struct placed *p)
{
	VCR_AUTO_BUF full = VCR_BUF_INIT, body = VCR_BUF_INIT;
	VCR_AUTO_JSON was = VCR_JSON_INIT, is = VCR_JSON_INIT;
	struct vcr_error e = { 0 };
	FUZZ_CHECK(!vcr_reader_body(r, p->ref, &body, &e) && fuzz_same(&body, &p->request));
	int err = vcr_reader_full_input(r, i, &full, &e);
	if (err)
		fprintf(stderr, "%s\n", e.what);
	FUZZ_CHECK(!err && !vcr_json_parse(&is, full.data, full.len, VCR_JSON_RELAXED, NULL));
	FUZZ_CHECK(!vcr_json_parse(&was, p->request.data, p->request.len, 0, NULL));
	FUZZ_CHECK(odd(&p->request) || vcr_json_equal(&was, 0, &was, 0) == vcr_json_equal(&was, 0, &is, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	struct placed call[MAX_CALLS];
	struct vcr_session_options o = { .session_id = "fuzzed", .forked_from_frame = -1 };
	struct vcr_session *s;
	struct vcr_conv *conv = vcr_conv_new();
	struct vcr_error e = { 0 };
	char path[200];
	int n = 0;
	snprintf(path, sizeof path, "%s/fuzzed.vcr", fuzz_dir());
	unlink(path);
	FUZZ_CHECK(conv && !vcr_session_create(&s, fuzz_dir(), &o, &e));
	while (in.n && n < MAX_CALLS) {
		VCR_AUTO_BUF line = fuzz_until(&in, '\n');
		struct fuzz_in of_line = { line.data, line.len };
		call[n].request = fuzz_until(&of_line, 1);
		if (place_call(s, conv, &call[n], of_line.p, of_line.n))
			n++;
		else
			vcr_buf_release(&call[n].request);
	}
	vcr_session_free(s);
	struct vcr_reader *r;
	FUZZ_CHECK(!vcr_reader_open(&r, path, NULL, NULL, &e) && vcr_reader_count(r) == n);
	for (int i = 0; i < n; i++) {
		check_call(r, i, &call[i]);
		vcr_buf_release(&call[i].request);
	}
	vcr_reader_free(r);
	vcr_conv_free(conv);
	return 0;
}
