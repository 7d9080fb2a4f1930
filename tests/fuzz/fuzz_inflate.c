/* Byte 1: coding; byte 2: pieces; then the coded bytes. */
#include "fuzz.h"
#include "inflate.h"
#include "limits.h"

static int run(const char *coding, const char *p, size_t n, unsigned seed, struct vcr_buf *out, int *end)
{
	struct fuzz_split split = { seed, 1 };
	struct vcr_inflate *z;
	int r = 0;
	FUZZ_CHECK(!vcr_inflate_new(&z, coding, NULL));
	for (size_t at = 0, k; at < n && !r; at += k) {
		k = fuzz_piece(&split, n - at);
		r = vcr_inflate_feed(z, p + at, k, out);
	}
	*end = vcr_inflate_end(z);
	FUZZ_CHECK(!r || *end == r);
	vcr_inflate_free(z);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const codings[] = { "gzip", "deflate", "br", "zstd", "identity", "gzip, br", "zstd,gzip", "deflate, deflate" };
	struct fuzz_in in = fuzz_in(data, size);
	const char *coding = codings[fuzz_byte(&in) % 8];
	unsigned seed = fuzz_byte(&in);
	VCR_AUTO_BUF whole = VCR_BUF_INIT, pieces = VCR_BUF_INIT;
	int end[2], r[2];
	r[0] = run(coding, in.p, in.n, 0, &whole, &end[0]);
	FUZZ_CHECK(whole.len <= (size_t)VCR_MAX_INFLATED + (64 << 10));
	if (whole.len > 8 << 20) /* twice would only be slow */
		return 0;
	r[1] = run(coding, in.p, in.n, seed % 64 + 1, &pieces, &end[1]);
	FUZZ_CHECK(r[0] == r[1] && end[0] == end[1]);
	FUZZ_CHECK(r[0] || fuzz_same(&whole, &pieces));
	return 0;
}
