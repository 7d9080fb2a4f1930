/* Byte 1: API; byte 2: status; byte 3: content type; byte 4: pieces; then the body. The same bytes are also read as a request. */
#include "fuzz.h"
#include "provider.h"

static bool same_word(const char *a, const char *b) { return a && b ? !strcmp(a, b) : a == b; }

static void check_info(const struct vcr_answer_info *a)
{
	FUZZ_CHECK(fuzz_valid_json(&a->message, VCR_JSON_RELAXED) && fuzz_ascii(&a->message));
	FUZZ_CHECK(a->tokens_in >= -1 && a->tokens_out >= -1 && a->tokens_cached >= -1 && a->tokens_cache_write >= -1 && a->tokens_reasoning >= -1);
	FUZZ_CHECK(a->tool_calls >= 0);
}

static void in_pieces(enum vcr_api api, int status, const char *type, const char *p, size_t n, unsigned seed, bool ok, const struct vcr_answer_info *whole)
{
	struct vcr_answer *a = vcr_answer_new(api, status, type);
	struct vcr_answer_info info;
	struct fuzz_split split = { seed, 1 };
	for (size_t at = 0, k; at < n; at += k) {
		k = fuzz_piece(&split, n - at);
		FUZZ_CHECK(!vcr_answer_feed(a, p + at, k));
	}
	FUZZ_CHECK(!vcr_answer_finish(a, ok, &info));
	FUZZ_CHECK(fuzz_same(&info.message, &whole->message) && same_word(info.model, whole->model) && same_word(info.id, whole->id) &&
		same_word(info.stop_reason, whole->stop_reason) && same_word(info.error_type, whole->error_type) && info.complete == whole->complete &&
		info.tokens_in == whole->tokens_in && info.tokens_out == whole->tokens_out && info.tool_calls == whole->tool_calls);
	vcr_answer_info_release(&info);
	vcr_answer_free(a);
}

static void as_request(enum vcr_api api, const char *p, size_t n)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_request_info info;
	if (vcr_json_parse(&j, p, n, 0, NULL))
		return;
	vcr_request_info(api, "/v1beta/models/gemini-x:generateContent?key=1", &j, &info);
	FUZZ_CHECK(info.list < 0 || info.list_key);
	FUZZ_CHECK(info.system < 0 || info.system_key);
	vcr_request_info_release(&info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = { 200, 400, 429, 500, 0, 204 };
	static const char *const types[] = { "application/json", "text/event-stream; charset=utf-8", NULL, "application/x-ndjson", "audio/mpeg", "text/html" };
	struct fuzz_in in = fuzz_in(data, size);
	enum vcr_api api = (enum vcr_api)(VCR_API_OPENAI_CHAT + fuzz_byte(&in) % (VCR_API_GENERIC - VCR_API_OPENAI_CHAT + 1));
	unsigned s = fuzz_byte(&in), seed;
	int status = statuses[s % 6];
	const char *type = types[fuzz_byte(&in) % 6];
	seed = fuzz_byte(&in);
	struct vcr_answer_info info;
	char *body = fuzz_exact(in.p, in.n);
	FUZZ_CHECK(!vcr_answer_read(api, status, type, body, in.n, s & 128, &info));
	check_info(&info);
	in_pieces(api, status, type, body, in.n, seed % 64 + 1, s & 128, &info);
	vcr_answer_info_release(&info);
	as_request(api, body, in.n);
	free(body);
	return 0;
}
