/* Byte 1: pieces; then what both sides say in turn, the client first, each up to \1. */
#include "fuzz.h"
#include "mcp.h"

static int on_call(void *ctx, const struct vcr_mcp_call *c)
{
	size_t n;
	FUZZ_CHECK(c->method && (!c->notification || !c->answered) && !c->answered == !c->response);
	const char *text = vcr_json_raw(c->request, c->at, &n);
	vcr_buf_add(ctx, text, n);
	text = vcr_json_raw(c->response, c->answered ? c->response_at : -1, &n);
	vcr_buf_add(ctx, text, n);
	return vcr_buf_printf(ctx, "\n%s %d\n", c->method, c->from_server);
}

static void run(struct fuzz_in in, unsigned seed, struct vcr_buf *out)
{
	struct fuzz_split split = { seed, 1 };
	struct vcr_mcp *m = vcr_mcp_new(on_call, out);
	int r = 0;
	for (unsigned turn = 0; in.n; turn++) {
		VCR_AUTO_BUF b = fuzz_until(&in, 1);
		for (size_t at = 0, k; at < b.len; at += k) {
			k = fuzz_piece(&split, b.len - at);
			r = vcr_mcp_feed(m, turn & 1, b.data + at, k, turn);
		}
	}
	vcr_buf_printf(out, "%d", r);
	vcr_mcp_end(m, 99);
	vcr_mcp_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	unsigned seed = fuzz_byte(&in);
	VCR_AUTO_BUF whole = VCR_BUF_INIT, pieces = VCR_BUF_INIT;
	run(in, 0, &whole);
	run(in, seed % 64 + 1, &pieces);
	FUZZ_CHECK(fuzz_same(&whole, &pieces));
	return 0;
}
