/* Up to '\1': an earlier body. Then either a vcr.body object to decode against it, or a body that is encoded against it and must come back. */
#include "fuzz.h"
#include "body.h"
#include "limits.h"

static void decode(const char *text, size_t n, const struct vcr_buf *base)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	if (vcr_json_parse(&j, text, n, VCR_JSON_RELAXED, NULL))
		return;
	for (int with_base = 0; with_base < 2; with_base++) {
		int r = vcr_body_decode(&j, 0, with_base ? base->data : NULL, with_base ? base->len : 0, NULL, false, &out, &e);
		FUZZ_CHECK(r == 0 || (*e.what && !out.len));
		FUZZ_CHECK(out.len <= VCR_MAX_HTTP_BODY);
		vcr_buf_reset(&out);
	}
}

static void round_trip(const char *p, size_t n, const struct vcr_buf *base, const struct vcr_near *near)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, out = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_jw w;
	struct vcr_error e = { 0 };
	vcr_jw_init(&w, &text);
	vcr_jw_object(&w);
	int r = vcr_body_encode(&w, p, n, NULL, base->data, base->len, "0123456789abcdef", near, n & 1, NULL, &e);
	vcr_jw_object_end(&w);
	FUZZ_CHECK(r >= 0 && !vcr_json_parse(&j, text.data, text.len, 0, NULL) && fuzz_ascii(&text));
	FUZZ_CHECK((r > 0) == (vcr_json_get(&j, 0, "base") >= 0));
	FUZZ_CHECK(!vcr_body_decode(&j, 0, r ? base->data : NULL, r ? base->len : 0, r == 1 ? near : NULL, true, &out, &e));
	FUZZ_CHECK(out.len == n && !memcmp(out.data, p, n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	VCR_AUTO_BUF base = fuzz_until(&in, 1);
	char *rest = fuzz_exact(in.p, in.n);
	if (in.n && *rest == '{')
		decode(rest, in.n, &base);
	struct vcr_near near = { "fedcba9876543210", rest, in.n / 2 };
	round_trip(rest, in.n, &base, NULL);
	round_trip(rest, in.n, &base, &near);
	free(rest);
	return 0;
}
