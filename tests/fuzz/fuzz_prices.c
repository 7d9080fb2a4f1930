/* Up to '\1': a model's name; then a file of prices of either form. */
#include "fuzz.h"
#include "provider.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	VCR_AUTO_BUF model = fuzz_until(&in, 1);
	struct vcr_answer_info a = { .tokens_in = 1000000, .tokens_out = 500, .tokens_cached = 1, .tokens_cache_write = -1 };
	struct vcr_prices *p;
	struct vcr_error e = { 0 };
	double usd = 0;
	const char *path = fuzz_file("prices", in.p, in.n);
	if (vcr_prices_load(&p, path, path, &e)) {
		FUZZ_CHECK(strstr(e.what, path));
		return 0;
	}
	if (!vcr_prices_cost(p, model.data, &a, &usd))
		FUZZ_CHECK(usd >= 0);
	vcr_prices_free(p);
	return 0;
}
