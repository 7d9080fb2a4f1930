#include "http1.h"
#include "buf.h"
#include "tap.h"
#include <string.h>

/* Each case: bytes in, one line per event out; fed whole, then byte by byte, then in pieces of 2 to 7. */
struct trace {
	struct vcr_buf out;
	bool in_body;
};

static int on_head(void *ctx, const struct vcr_http1_head *h)
{
	struct trace *t = ctx;
	if (h->method)
		vcr_buf_printf(&t->out, "<%s %s 1.%d", h->method, h->target, h->minor);
	else
		vcr_buf_printf(&t->out, "<%d %s", h->status, h->reason);
	for (size_t i = 0; i < h->nfield; i++)
		vcr_buf_printf(&t->out, "|%s=%s", h->field[i].name, h->field[i].value);
	vcr_buf_printf(&t->out, "%s%s>", h->keep_alive ? "" : " close", h->upgrade ? " upgrade" : "");
	return 0;
}
static int on_body(void *ctx, const char *p, size_t n) { return vcr_buf_add(&((struct trace *)ctx)->out, p, n); }
static int on_end(void *ctx, const struct vcr_http1_field *f, size_t n)
{
	struct trace *t = ctx;
	for (size_t i = 0; i < n; i++)
		vcr_buf_printf(&t->out, "|%s=%s", f[i].name, f[i].value);
	return vcr_buf_puts(&t->out, ".");
}
static int on_tunnel(void *ctx, const char *p, size_t n) { return vcr_buf_add(&((struct trace *)ctx)->out, p, n); }

static void run(enum vcr_http1_role role, const char *methods, const char *in, size_t n, size_t step, struct trace *t, bool eof)
{
	static const struct vcr_http1_events ev = { on_head, on_body, on_end, on_tunnel };
	struct vcr_http1 *h = vcr_http1_new(role, &ev, t);
	vcr_buf_init(&t->out, 0);
	for (const char *m = methods; m && *m; m += strcspn(m, " "), m += *m == ' ') {
		char one[16] = "";
		memcpy(one, m, strcspn(m, " "));
		vcr_http1_expect(h, one);
	}
	int err = 0;
	for (size_t at = 0; at < n && !err; at += step)
		err = vcr_http1_feed(h, in + at, n - at < step ? n - at : step);
	if (eof && !err)
		err = vcr_http1_eof(h);
	if (err)
		vcr_buf_printf(&t->out, "!%s", vcr_strerror(err));
	vcr_http1_free(h);
}

static const struct { enum vcr_http1_role role; const char *methods, *in, *out; } golden[] = {
	{ VCR_HTTP1_REQUEST, "", "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", "<GET /a?b 1.1|Host=x>." },
	{ VCR_HTTP1_REQUEST, "", "\r\n\nPOST / HTTP/1.0\nA:1\nB : 2 \nContent-Length: 3\n\nabcGET / HTTP/1.1\r\n\r\n", "<POST / 1.0|A=1|B=2|Content-Length=3 close>abc.<GET / 1.1>." },
	{ VCR_HTTP1_REQUEST, "", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 9\r\n\r\n3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
	  "<POST / 1.1|Transfer-Encoding=gzip, chunked|Content-Length=9>abc0123456789|T=v." },
	{ VCR_HTTP1_REQUEST, "", "GET / HTTP/1.1\r\nX: a\r\n  b\r\n\tc\r\nY: d\r\n\r\n", "X" },
	{ VCR_HTTP1_RESPONSE, "GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", "<200 OK>until the end." },
	{ VCR_HTTP1_RESPONSE, "HEAD GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204\r\n\r\n", "<200 OK|Content-Length=5>.<204 >." },
	{ VCR_HTTP1_RESPONSE, "POST", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "<100 Continue><304 Not Modified|Content-Length=7>." },
	{ VCR_HTTP1_RESPONSE, "CONNECT", "HTTP/1.1 200 Connected\r\n\r\n\x16\x03raw", "<200 Connected upgrade>\x16\x03raw" },
	{ VCR_HTTP1_RESPONSE, "GET", "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\nframes", "<101 Switching|Upgrade=websocket upgrade>frames" },
	{ VCR_HTTP1_RESPONSE, "GET", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", "<200 OK|Content-Length=9>cut!input ends too early" },
	{ VCR_HTTP1_RESPONSE, "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", "<200 OK|Content-Length=5, 5>hello." },
	{ VCR_HTTP1_RESPONSE, "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello", "!malformed input" },
	{ VCR_HTTP1_RESPONSE, "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "<200 OK|Transfer-Encoding=chunked>!malformed input" },
	{ VCR_HTTP1_REQUEST, "", "\x16\x03\x01\x02", "!input ends too early" },
	{ VCR_HTTP1_REQUEST, "", "nonsense\r\n\r\n", "!malformed input" },
	{ VCR_HTTP1_REQUEST, "", "GET / HTTP/1.1\r\n: x\r\n\r\n", "!malformed input" },
};

START_TEST(golden_pairs_in_any_split)
{
	for (size_t i = 0; i < sizeof golden / sizeof *golden; i++)
		for (size_t step = 8; step > 0; step--) {
			struct trace t = { 0 };
			size_t n = strlen(golden[i].in);
			run(golden[i].role, golden[i].methods, golden[i].in, n, step == 8 ? n : step, &t, true);
			if (!strcmp(golden[i].out, "X"))
				ck_assert_msg(strstr(t.out.data, "X=a") && strstr(t.out.data, "b") && strstr(t.out.data, "c|Y=d"), "%s", t.out.data);
			else
				ck_assert_str_eq(t.out.data, golden[i].out);
			vcr_buf_release(&t.out);
		}
}
END_TEST

START_TEST(an_endless_header_is_refused)
{
	struct trace t = { 0 };
	VCR_AUTO_BUF in = VCR_BUF_INIT;
	vcr_buf_puts(&in, "GET / HTTP/1.1\r\n");
	while (in.len < 300000)
		vcr_buf_puts(&in, "A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	run(VCR_HTTP1_REQUEST, "", in.data, in.len, 1000, &t, false);
	ck_assert_str_eq(t.out.data, "!limit reached");
	vcr_buf_release(&t.out);
}
END_TEST

static TCase *http1(void)
{
	TCase *tc = tcase_create("http1");
	tcase_add_test(tc, golden_pairs_in_any_split);
	tcase_add_test(tc, an_endless_header_is_refused);
	return tc;
}

TAP_MAIN("http1", http1)
