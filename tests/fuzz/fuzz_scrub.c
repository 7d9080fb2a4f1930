/* A pattern and a field, each a line; then the text that is scrubbed. JSON stays JSON, and the same text gives the same result again. */
#include "fuzz.h"
#include "limits.h"
#include "scrub.h"

static struct vcr_rules *rules_of(const char *pattern, const char *field)
{
	struct vcr_rules *r = vcr_rules_new();
	struct vcr_error e = { 0 };
	FUZZ_CHECK(r);
	FUZZ_CHECK(!vcr_rules_add_pattern(r, pattern, &e) || *e.what);
	FUZZ_CHECK(!vcr_rules_add_field(r, field, &e) || *e.what);
	return r;
}

static struct vcr_buf scrubbed(const char *pattern, const char *field, const char *p, size_t n)
{
	struct vcr_scrub *s = vcr_scrub_new(rules_of(pattern, field), 100);
	struct vcr_buf out = VCR_BUF_INIT, twice = VCR_BUF_INIT;
	FUZZ_CHECK(s && !vcr_scrub_text(s, NULL, p, n, &twice)); /* what is learnt by it */
	FUZZ_CHECK(!vcr_scrub_text(s, NULL, p, n, &out));
	vcr_buf_release(&twice);
	vcr_scrub_free(s);
	return out;
}

static void round_trip(const char *pattern, const char *field)
{
	struct vcr_rules *a = rules_of(pattern, field), *b = vcr_rules_new();
	struct vcr_buf one = VCR_BUF_INIT, two = VCR_BUF_INIT;
	struct vcr_json j = VCR_JSON_INIT;
	vcr_rules_write(a, &one);
	FUZZ_CHECK(!vcr_json_parse(&j, one.data, one.len, 0, NULL));
	if (!vcr_rules_read(b, &j, 0, NULL)) { /* bytes that are no UTF-8 are others then */
		vcr_rules_write(b, &two);
		FUZZ_CHECK(fuzz_same(&one, &two));
	}
	vcr_json_release(&j);
	vcr_buf_release(&one);
	vcr_buf_release(&two);
	vcr_rules_free(a);
	vcr_rules_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	struct vcr_buf pattern = fuzz_until(&in, '\n'), field = fuzz_until(&in, '\n');
	char *copy = fuzz_exact(in.p ? in.p : "", in.n);
	round_trip(pattern.data, field.data);
	struct vcr_buf a = scrubbed(pattern.data, field.data, copy, in.n), b = scrubbed(pattern.data, field.data, copy, in.n);
	FUZZ_CHECK(fuzz_same(&a, &b));
	if (!vcr_json_validate(copy, in.n, VCR_JSON_RELAXED, NULL, NULL))
		FUZZ_CHECK(fuzz_valid_json(&a, VCR_JSON_RELAXED));
	vcr_buf_release(&a);
	vcr_buf_release(&b);
	vcr_buf_release(&pattern);
	vcr_buf_release(&field);
	free(copy);
	return 0;
}
