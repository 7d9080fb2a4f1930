/* Two JSON texts with '\1' between them: carrying out the changes from the first to the second gives the second; equal ones have none. */
#include "fuzz.h"
#include "../unit/japply.h"

/* Lone surrogates and NaN are not equal to their own copies in every spelling. */
static bool odd(const struct vcr_buf *b)
{
	return strstr(b->data, "\\u") || memchr(b->data, 'N', b->len) || memchr(b->data, 'I', b->len) || memchr(b->data, 0, b->len);
}

static void check(const struct vcr_json *a, const struct vcr_json *b, bool strange)
{
	VCR_AUTO_JDIFF d = VCR_JDIFF_INIT, none = VCR_JDIFF_INIT;
	VCR_AUTO_BUF made = VCR_BUF_INIT;
	VCR_AUTO_JSON m = VCR_JSON_INIT;
	FUZZ_CHECK(!vcr_jdiff(&d, a, 0, b, 0));
	FUZZ_CHECK(!d.n == vcr_json_equal(a, 0, b, 0));
	FUZZ_CHECK(strange || (!vcr_jdiff(&none, a, 0, a, 0) && !none.n));
	FUZZ_CHECK(japply(&d, 0, &made) && !vcr_json_parse(&m, made.data, made.len, VCR_JSON_RELAXED, NULL));
	FUZZ_CHECK(strange || vcr_json_equal(&m, 0, b, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	VCR_AUTO_BUF a = fuzz_until(&in, 1), b = fuzz_until(&in, 1);
	char *from = fuzz_exact(a.data, a.len), *to = fuzz_exact(b.data, b.len);
	VCR_AUTO_JSON ja = VCR_JSON_INIT, jb = VCR_JSON_INIT;
	if (!vcr_json_parse(&ja, from, a.len, VCR_JSON_RELAXED, NULL) && !vcr_json_parse(&jb, to, b.len, VCR_JSON_RELAXED, NULL))
		check(&ja, &jb, odd(&a) || odd(&b));
	vcr_json_release(&ja);
	vcr_json_release(&jb);
	free(from);
	free(to);
	return 0;
}
