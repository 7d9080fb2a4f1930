/* A byte for the API, then a request and a later one behind '\1'. A reminder is put at the end of the first, and into both: what comes out is valid, holds
 * all bytes of the agent's in their order, and begins alike. */
#include "fuzz.h"
#include "reminder.h"

static const enum vcr_api apis[] = { VCR_API_OPENAI_CHAT, VCR_API_OPENAI_RESPONSES, VCR_API_ANTHROPIC_MESSAGES, VCR_API_GEMINI_GENERATE, VCR_API_OLLAMA_CHAT, VCR_API_GENERIC };

static bool holds(const struct vcr_buf *out, const struct vcr_buf *body)
{
	size_t k = 0;
	for (size_t i = 0; i < out->len && k < body->len; i++)
		k += out->data[i] == body->data[k];
	return k == body->len;
}

static int put(enum vcr_api api, const struct vcr_buf *body, const struct vcr_reminder *r, size_t n, struct vcr_buf *out)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (vcr_json_parse(&j, body->data, body->len, 0, NULL))
		return 1;
	int err = vcr_reminder_put(api, "/", &j, r, n, NULL, out);
	FUZZ_CHECK(err == 0 || (err == 1 && !out->len));
	FUZZ_CHECK(err || (fuzz_valid_json(out, 0) && holds(out, body) && memmem(out->data, out->len, "REMIND", 6)));
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	enum vcr_api api = apis[fuzz_byte(&in) % (sizeof apis / sizeof *apis)];
	VCR_AUTO_BUF first = fuzz_until(&in, 1), later = fuzz_until(&in, 1), a = VCR_BUF_INIT, b = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_reminder r[2] = { { .text = "REMIND \"\n\xff", .n = 10 }, { .text = "REMIND", .n = 6 } };
	bool goes_on;
	if (vcr_json_parse(&j, first.data, first.len, 0, NULL) || vcr_reminder_find(api, "/", &j, &r[0].place, &goes_on))
		return 0;
	FUZZ_CHECK(!vcr_reminder_at(api, "/", &j, r[0].place.items, &r[1].place) && r[1].place.prefix == r[0].place.prefix && r[1].place.items == r[0].place.items);
	FUZZ_CHECK(!put(api, &first, r, 2, &a)); /* where there is a place, it can be put */
	put(api, &later, r, 2, &b);
	return 0;
}
