/* Byte 1: pieces; then the stream. */
#include "fuzz.h"
#include "sse.h"

static int on_event(void *ctx, const char *event, const char *data, size_t len, const char *id)
{
	struct vcr_buf *b = ctx;
	FUZZ_CHECK(!data[len]);
	vcr_buf_printf(b, "[%s|%s|", event, id);
	vcr_buf_add(b, data, len);
	return vcr_buf_puts(b, "]");
}

static void run(const char *p, size_t n, unsigned seed, struct vcr_buf *out)
{
	struct fuzz_split split = { seed, 1 };
	struct vcr_sse *s = vcr_sse_new(on_event, out);
	for (size_t at = 0, k; at < n; at += k) {
		k = fuzz_piece(&split, n - at);
		FUZZ_CHECK(!vcr_sse_feed(s, p + at, k));
	}
	vcr_buf_printf(out, "%d", vcr_sse_end(s));
	vcr_sse_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	unsigned seed = fuzz_byte(&in);
	VCR_AUTO_BUF whole = VCR_BUF_INIT, pieces = VCR_BUF_INIT;
	run(in.p, in.n, 0, &whole);
	run(in.p, in.n, seed % 64 + 1, &pieces);
	FUZZ_CHECK(fuzz_same(&whole, &pieces));
	return 0;
}
