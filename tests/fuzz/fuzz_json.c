/* The whole input is a text. What validates must parse into as many tokens, where jsmn has them, be written back valid and equal; its prefixes must be called cut. */
#include "fuzz.h"
#include "limits.h"
#include "oracle.h"

static void look_at(const struct vcr_json *j, int v, int depth, size_t *values)
{
	size_t n;
	const char *raw = vcr_json_raw(j, v, &n);
	FUZZ_CHECK(raw >= j->text && raw + n <= j->text + j->len && depth <= VCR_MAX_JSON_DEPTH_RELAXED);
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	int64_t i;
	double d;
	++*values;
	FUZZ_CHECK((vcr_json_str(j, v, &s) == 0) == (vcr_json_type(j, v) == VCR_JSON_STRING));
	vcr_json_int(j, v, &i);
	vcr_json_double(j, v, &d);
	bool object = vcr_json_type(j, v) == VCR_JSON_OBJECT;
	int count = 0;
	for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m), count++) {
		if (object) {
			FUZZ_CHECK(vcr_json_type(j, m) == VCR_JSON_STRING);
			++*values;
		}
		look_at(j, object ? vcr_json_value(j, m) : m, depth + 1, values);
	}
	FUZZ_CHECK(count == vcr_json_count(j, v));
}

static bool has_nan(const char *p, size_t n)
{
	return memmem(p, n, "NaN", 3) || memmem(p, n, "Infinity", 8);
}

static void check_text(const char *p, size_t n, unsigned flags)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT, again = VCR_JSON_INIT;
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_jw w;
	size_t tokens = 0, at = 0, values = 0;
	int r = vcr_json_validate(p, n, flags, &tokens, &at);
	struct vcr_error e = { 0 };
	FUZZ_CHECK(vcr_json_parse(&j, p, n, flags, &e) == r && at <= n);
	if (r) {
		FUZZ_CHECK(e.what[0]);
		return;
	}
	FUZZ_CHECK(j.ntok == tokens && differs_from_jsmn(&j) < 0);
	look_at(&j, 0, 0, &values);
	FUZZ_CHECK(values == tokens);
	vcr_json_path(&j, 0, "choices[0].delta.content");
	vcr_jw_init(&w, &out);
	vcr_jw_value(&w, &j, 0);
	FUZZ_CHECK(!out.err && fuzz_ascii(&out) && !vcr_json_parse(&again, out.data, out.len, flags, NULL));
	FUZZ_CHECK(has_nan(p, n) || vcr_json_equal(&j, 0, &again, 0));
	bool container = vcr_json_type(&j, 0) == VCR_JSON_OBJECT || vcr_json_type(&j, 0) == VCR_JSON_ARRAY;
	size_t len;
	const char *root = vcr_json_raw(&j, 0, &len);
	for (size_t cut = 0; container && cut < n && cut < 64; cut++)
		if (p + cut < root + len)
			FUZZ_CHECK(vcr_json_validate(p, cut, flags, NULL, &at) == VCR_ETRUNC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_text((const char *)data, size, 0);
	check_text((const char *)data, size, VCR_JSON_RELAXED);
	return 0;
}
