/* Byte 1: options; then records as the spool brings them: an operation (printable), the connection ('0'…), and for bytes a text up to '\1'. The answers'
 * bytes must mean the same however the reads fall. */
#include "fuzz.h"
#include "flow.h"
#include <errno.h>

/* The first call of each connection. What follows damage or bytes that nobody asked for is looked at anew from the next read on, so later ones depend
 * on how the reads fell. */
struct seen { struct vcr_buf text; bool had[8], lost; };

static void add_fields(struct vcr_buf *b, const struct vcr_http1_field *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		vcr_buf_printf(b, "%s=%s;", f[i].name, f[i].value);
}

static int on_call(void *ctx, const struct vcr_call *c)
{
	struct seen *s = ctx;
	struct vcr_buf unused = VCR_BUF_INIT, *b = s->had[c->conn] ? &unused : &s->text;
	s->lost |= !s->had[c->conn] && c->failure && !strcmp(c->failure, "malformed");
	s->had[c->conn] = true;
	vcr_buf_printf(b, "\n%u %d %s %s %s %d %s %d %s %s ", c->conn, c->api, c->host, c->method, c->target, c->status, c->reason, c->complete,
		c->failure ? c->failure : "-", c->res_coding ? c->res_coding : "-");
	add_fields(b, c->req_field, c->nreq_field);
	vcr_buf_add(b, c->req_body, c->nreq_body);
	add_fields(b, c->res_field, c->nres_field);
	vcr_buf_add(b, c->res_body, c->nres_body);
	if (c->answer)
		vcr_buf_add(b, c->answer->message.data, c->answer->message.len);
	vcr_buf_release(&unused);
	for (size_t i = 0; i < c->nchunk; i++)
		FUZZ_CHECK(c->chunk[i].offset <= c->nres_body && (!i || c->chunk[i].offset >= c->chunk[i - 1].offset));
	return 0;
}

static int on_request(void *ctx, const struct vcr_call *c, uint64_t time_ns)
{
	FUZZ_CHECK(c->api != VCR_API_NONE && c->api != VCR_API_SIDE && c->method && c->target && c->host && time_ns);
	return 0;
}

static void on_mute(void *ctx, uint32_t conn) { }
static void on_unseen(void *ctx, uint32_t conn, const char *why) { FUZZ_CHECK(*why); }

static void step(struct vcr_flow *f, struct fuzz_in *in, struct fuzz_split *split, uint64_t *now)
{
	unsigned op = fuzz_byte(in);
	uint32_t conn = fuzz_byte(in) % 8;
	++*now;
	if (op == '<' || op == '>') {
		VCR_AUTO_BUF b = fuzz_until(in, 1);
		char *p = fuzz_exact(b.data, b.len);
		if (op == '>')
			vcr_flow_out(f, conn, (int)conn / 2 + 1, 7, p, b.len, *now);
		for (size_t at = 0, k; op == '<' && at < b.len; at += k) {
			k = fuzz_piece(split, b.len - at);
			vcr_flow_in(f, conn, p + at, k, *now);
		}
		free(p);
	} else if (op == 'o') {
		VCR_AUTO_BUF name = fuzz_until(in, 1);
		vcr_flow_open(f, conn, (int)conn / 2 + 1, true, name.data, "10.0.0.1:443", *now);
	} else if (op == 'p') {
		vcr_flow_open(f, conn, (int)conn / 2 + 1, false, NULL, "127.0.0.1:8080", *now);
	} else if (op == 'c') {
		static const int reasons[] = { 0, 1, ECONNRESET, ETIMEDOUT };
		vcr_flow_close(f, conn, reasons[fuzz_byte(in) % 4], *now);
	} else if (op == 'g') {
		vcr_flow_process_gone(f, (int)conn, *now);
	}
}

static bool run(struct fuzz_in in, unsigned options, unsigned seed, struct vcr_buf *out)
{
	static const struct vcr_flow_events events = { on_request, on_call, on_mute, on_unseen };
	static const char *const hosts[] = { "model.example", "*.models.example", NULL };
	struct seen s = { .text = VCR_BUF_INIT };
	struct fuzz_split split = { seed, 1 };
	struct vcr_flow *f = vcr_flow_new(&events, &s, hosts, options & 1);
	uint64_t now = 1;
	while (in.n)
		step(f, &in, &split, &now);
	if (options & 2)
		vcr_flow_all_gone(f, now);
	vcr_flow_free(f);
	*out = s.text;
	return !s.lost;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	unsigned options = fuzz_byte(&in);
	VCR_AUTO_BUF whole = VCR_BUF_INIT, pieces = VCR_BUF_INIT;
	bool good = run(in, options, 0, &whole);
	good &= run(in, options, (options >> 2) + 1, &pieces);
	if (good && options & 1) /* else calls are not reported, nor that they were damaged */
		FUZZ_CHECK(fuzz_same(&whole, &pieces));
	return 0;
}
