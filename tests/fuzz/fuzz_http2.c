/* Byte 1: the role; byte 2: pieces; then what that side sends. */
#include "fuzz.h"
#include "http2.h"

static void add_fields(struct vcr_buf *b, const struct vcr_http1_field *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		FUZZ_CHECK(*f[i].name);
		vcr_buf_printf(b, "%s=%s\n", f[i].name, f[i].value);
	}
}

static int on_head(void *ctx, uint32_t stream, const struct vcr_http1_head *h)
{
	FUZZ_CHECK(h->method ? *h->method && *h->target : h->status >= 100 && h->status < 1000);
	vcr_buf_printf(ctx, "\n%u HEAD %s %s %d %lld\n", stream, h->method ? h->method : "", h->target ? h->target : "", h->status, (long long)h->content_length);
	add_fields(ctx, h->field, h->nfield);
	return 0;
}

static int on_body(void *ctx, uint32_t stream, const char *p, size_t n) { return vcr_buf_add(ctx, p, n); }
static int on_end(void *ctx, uint32_t stream, const struct vcr_http1_field *trailer, size_t n)
{
	vcr_buf_printf(ctx, "\n%u END\n", stream);
	add_fields(ctx, trailer, n);
	return 0;
}
static int on_reset(void *ctx, uint32_t stream, uint32_t code) { return vcr_buf_printf(ctx, "\n%u RESET %u\n", stream, code); }
static int on_goaway(void *ctx, uint32_t last, uint32_t code) { return vcr_buf_printf(ctx, "\nGOAWAY %u %u\n", last, code); }

static void run(const char *p, size_t n, unsigned options, unsigned seed, struct vcr_buf *out)
{
	static const struct vcr_http2_events events = { on_head, on_body, on_end, on_reset, on_goaway };
	struct fuzz_split split = { seed, 1 };
	struct vcr_http2 *h = vcr_http2_new(options & 1 ? VCR_HTTP1_RESPONSE : VCR_HTTP1_REQUEST, &events, out);
	int r = 0;
	for (size_t at = 0, k; at < n && !r; at += k) {
		k = fuzz_piece(&split, n - at);
		r = vcr_http2_feed(h, p + at, k);
	}
	FUZZ_CHECK(!r || vcr_http2_feed(h, "x", 1) == r);
	FUZZ_CHECK(!r == !*vcr_http2_why(h, NULL));
	vcr_buf_printf(out, "\n%d %s", r, vcr_http2_why(h, NULL));
	vcr_http2_free(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	unsigned options = fuzz_byte(&in), seed = fuzz_byte(&in);
	VCR_AUTO_BUF whole = VCR_BUF_INIT, pieces = VCR_BUF_INIT;
	run(in.p, in.n, options, 0, &whole);
	run(in.p, in.n, options, seed % 64 + 1, &pieces);
	FUZZ_CHECK(fuzz_same(&whole, &pieces));
	vcr_http2_looks_joined(in.p, in.n);
	return 0;
}
