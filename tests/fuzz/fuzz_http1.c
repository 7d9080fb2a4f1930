/* Byte 1: role and the methods that are answered; byte 2: pieces; then the connection's bytes. */
#include "fuzz.h"
#include "http1.h"

struct seen { struct vcr_buf text; struct vcr_http1 *h; };

static void add_fields(struct vcr_buf *b, const struct vcr_http1_field *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		FUZZ_CHECK(*f[i].name && !strpbrk(f[i].name, " \t:\n"));
		vcr_buf_printf(b, "%s=%s\n", f[i].name, f[i].value);
	}
}

static int on_head(void *ctx, const struct vcr_http1_head *h)
{
	struct seen *s = ctx;
	vcr_buf_printf(&s->text, "\nHEAD %s %s %d %s %d %lld %d%d%d\n", h->method ? h->method : "", h->target ? h->target : "", h->status,
		h->reason ? h->reason : "", h->minor, (long long)h->content_length, h->chunked, h->keep_alive, h->upgrade);
	add_fields(&s->text, h->field, h->nfield);
	vcr_http1_field(h->field, h->nfield, "content-type");
	return 0;
}

static int on_body(void *ctx, const char *p, size_t n)
{
	struct seen *s = ctx;
	vcr_buf_add(&s->text, p, n);
	return 0;
}

static int on_end(void *ctx, const struct vcr_http1_field *trailer, size_t n)
{
	struct seen *s = ctx;
	vcr_buf_puts(&s->text, "\nEND\n");
	add_fields(&s->text, trailer, n);
	return 0;
}

static int run(const char *p, size_t n, unsigned options, unsigned seed, struct vcr_buf *out)
{
	static const struct vcr_http1_events events = { on_head, on_body, on_end, on_body };
	static const char *const methods[] = { "GET", "HEAD", "POST", "CONNECT" };
	struct seen s = { VCR_BUF_INIT, NULL };
	struct fuzz_split split = { seed, 1 };
	s.h = vcr_http1_new(options & 1 ? VCR_HTTP1_RESPONSE : VCR_HTTP1_REQUEST, &events, &s);
	for (unsigned i = 0; options & 1 && i < 3; i++)
		vcr_http1_expect(s.h, methods[options >> (1 + 2 * i) & 3]);
	int r = 0;
	for (size_t at = 0, k; at < n && !r; at += k) {
		k = fuzz_piece(&split, n - at);
		r = vcr_http1_feed(s.h, p + at, k);
	}
	bool inside = vcr_http1_inside(s.h);
	int eof = vcr_http1_eof(s.h);
	FUZZ_CHECK(!r || eof == r);
	FUZZ_CHECK(inside || r || !eof);
	uint64_t at;
	vcr_buf_printf(&s.text, "\n%d %d %s", r, eof, vcr_http1_why(s.h, &at));
	vcr_http1_free(s.h);
	*out = s.text;
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	unsigned options = fuzz_byte(&in), seed = fuzz_byte(&in);
	VCR_AUTO_BUF whole = VCR_BUF_INIT, pieces = VCR_BUF_INIT;
	run(in.p, in.n, options, 0, &whole);
	run(in.p, in.n, options, seed % 64 + 1, &pieces);
	FUZZ_CHECK(fuzz_same(&whole, &pieces));
	return 0;
}
