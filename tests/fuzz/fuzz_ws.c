/* Byte 1: deflate and context takeover; byte 2: pieces; then what one side sends behind the handshake. */
#include "fuzz.h"
#include "ws.h"

static int on_message(void *ctx, bool text, const char *p, size_t n)
{
	FUZZ_CHECK(!p[n]);
	vcr_buf_puts(ctx, text ? "[" : "<");
	vcr_buf_add(ctx, p, n);
	return vcr_buf_puts(ctx, "]");
}
static int on_close(void *ctx, unsigned code) { return vcr_buf_printf(ctx, "close %u", code); }

static void run(const char *p, size_t n, unsigned options, unsigned seed, struct vcr_buf *out)
{
	static const struct vcr_ws_events events = { .message = on_message, .close = on_close };
	struct fuzz_split split = { seed, 1 };
	struct vcr_ws *w = vcr_ws_new(&events, out, options & 1, options & 2);
	int r = 0;
	for (size_t at = 0, k; at < n && !r; at += k) {
		k = fuzz_piece(&split, n - at);
		r = vcr_ws_feed(w, p + at, k);
	}
	FUZZ_CHECK(!r || vcr_ws_feed(w, "x", 1) == r);
	vcr_buf_printf(out, "%d %s", r, vcr_ws_why(w));
	vcr_ws_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	unsigned options = fuzz_byte(&in), seed = fuzz_byte(&in);
	VCR_AUTO_BUF whole = VCR_BUF_INIT, pieces = VCR_BUF_INIT;
	run(in.p, in.n, options, 0, &whole);
	run(in.p, in.n, options, seed % 64 + 1, &pieces);
	FUZZ_CHECK(fuzz_same(&whole, &pieces));
	VCR_AUTO_BUF value = VCR_BUF_INIT;
	vcr_buf_add(&value, in.p, in.n);
	struct vcr_ws_extensions x;
	vcr_ws_extensions_read(value.data, &x);
	return 0;
}
