#include "http2.h"
#include "h2bytes.h"
#include "limits.h"
#include "tap.h"

/* One line per event; bodies in between as they come. */
static int on_head(void *ctx, uint32_t stream, const struct vcr_http1_head *h)
{
	struct vcr_buf *out = ctx;
	vcr_buf_printf(out, "\n<%u ", stream);
	if (h->method)
		vcr_buf_printf(out, "%s %s", h->method, h->target);
	else
		vcr_buf_printf(out, "%d", h->status);
	for (size_t i = 0; i < h->nfield; i++)
		vcr_buf_printf(out, "|%s=%s", h->field[i].name, h->field[i].value);
	if (h->content_length >= 0)
		vcr_buf_printf(out, " %lld", (long long)h->content_length);
	return vcr_buf_puts(out, ">");
}
static int on_body(void *ctx, uint32_t stream, const char *p, size_t n) { return vcr_buf_add(ctx, p, n); }
static int on_end(void *ctx, uint32_t stream, const struct vcr_http1_field *f, size_t n)
{
	vcr_buf_printf(ctx, "\n</%u", stream);
	for (size_t i = 0; i < n; i++)
		vcr_buf_printf(ctx, "|%s=%s", f[i].name, f[i].value);
	return vcr_buf_puts(ctx, ">");
}
static int on_reset(void *ctx, uint32_t stream, uint32_t code) { return vcr_buf_printf(ctx, "\nreset %u %u", stream, code); }
static int on_goaway(void *ctx, uint32_t last, uint32_t code) { return vcr_buf_printf(ctx, "\ngoaway %u %u", last, code); }

static void run(enum vcr_http1_role role, const struct vcr_buf *in, size_t step, struct vcr_buf *out)
{
	static const struct vcr_http2_events ev = { on_head, on_body, on_end, on_reset, on_goaway };
	struct vcr_http2 *h = vcr_http2_new(role, &ev, out);
	int err = 0;
	vcr_buf_reset(out);
	for (size_t at = 0; at < in->len && !err; at += step)
		err = vcr_http2_feed(h, in->data + at, in->len - at < step ? in->len - at : step);
	if (err) {
		vcr_buf_printf(out, "\n!%s: %s", vcr_strerror(err), vcr_http2_why(h, NULL));
		ck_assert_int_eq(vcr_http2_feed(h, "x", 1), err);
	}
	vcr_http2_free(h);
}

static void expect(enum vcr_http1_role role, const struct vcr_buf *in, const char *want)
{
	static const size_t steps[] = { 1 << 30, 1, 2, 3, 7 };
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		run(role, in, steps[i], &out);
		ck_assert_str_eq(out.data, want);
	}
}

static struct vcr_buf bytes;
static nghttp2_hd_deflater *encoder;

static void setup(void)
{
	bytes = (struct vcr_buf)VCR_BUF_INIT;
	nghttp2_hd_deflate_new(&encoder, 4096);
}

static void teardown(void)
{
	nghttp2_hd_deflate_del(encoder);
	vcr_buf_release(&bytes);
}

static void begin_client(void)
{
	vcr_buf_puts(&bytes, H2_PREFACE);
	h2_frame(&bytes, H2_SETTINGS, 0, 0, "\0\1\0\0\x10\0", 6);
}

#define POST ":method=POST\n:scheme=https\n:path=/v1/messages\n:authority=api.anthropic.com\ncontent-type=application/json\n"

START_TEST(requests_of_many_streams_come_with_host_path_and_fields_in_any_split)
{
	VCR_AUTO_BUF block = VCR_BUF_INIT, padded = VCR_BUF_INIT;
	begin_client();
	h2_headers(&bytes, encoder, 0, 1, POST "content-length=4");
	h2_block(&block, encoder, POST "x-long=abcdefghijklmnopqrstuvwxyz");
	vcr_buf_add(&padded, "\3\0\0\0\1\xff", 6); /* pad length, priority */
	vcr_buf_add(&padded, block.data, 5);
	vcr_buf_add(&padded, "\0\0\0", 3);
	h2_frame(&bytes, H2_HEADERS, H2_PADDED | H2_HAS_PRIORITY, 3, padded.data, padded.len);
	h2_frame(&bytes, H2_CONTINUATION, 0, 3, block.data + 5, 1);
	h2_frame(&bytes, H2_CONTINUATION, H2_END_HEADERS, 3, block.data + 6, block.len - 6);
	h2_frame(&bytes, H2_PRIORITY, 0, 3, "\0\0\0\1\7", 5);
	h2_frame(&bytes, H2_DATA, H2_PADDED, 1, "\2{}\0\0", 5);
	h2_frame(&bytes, H2_PING, 0, 0, "12345678", 8);
	h2_data(&bytes, H2_END_STREAM, 1, "[]");
	h2_frame(&bytes, H2_DATA, H2_END_STREAM | H2_PADDED, 3, "\2\0\0", 3);
	h2_frame(&bytes, 0x42, 0xff, 9, "unknown", 7);
	h2_headers(&bytes, encoder, H2_END_STREAM, 5, ":method=GET\n:path=/\n:authority=a\nhost=b");
	h2_headers(&bytes, encoder, 0, 7, ":method=CONNECT\n:authority=a:443");
	h2_frame(&bytes, H2_RST, 0, 7, "\0\0\0\10", 4);
	expect(VCR_HTTP1_REQUEST, &bytes,
		"\n<1 POST /v1/messages|host=api.anthropic.com|content-type=application/json|content-length=4 4>"
		"\n<3 POST /v1/messages|host=api.anthropic.com|content-type=application/json|x-long=abcdefghijklmnopqrstuvwxyz>{}[]\n</1>\n</3>"
		"\n<5 GET /|host=b>\n</5>\n<7 CONNECT a:443|host=a:443>\nreset 7 8");
}
END_TEST

START_TEST(answers_have_interim_heads_trailers_and_promises_that_are_left_out_but_fill_the_table)
{
	VCR_AUTO_BUF promise = VCR_BUF_INIT;
	h2_frame(&bytes, H2_SETTINGS, 0, 0, "", 0);
	h2_headers(&bytes, encoder, 0, 1, ":status=103\nlink=</a>");
	h2_headers(&bytes, encoder, 0, 1, ":status=200\ncontent-type=text/event-stream");
	h2_data(&bytes, 0, 1, "data: a\n\n");
	vcr_buf_add(&promise, "\0\0\0\2", 4);
	h2_block(&promise, encoder, ":method=GET\n:path=/style\nx-promised=only-here-first");
	h2_frame(&bytes, H2_PUSH, H2_END_HEADERS, 1, promise.data, promise.len);
	h2_headers(&bytes, encoder, H2_END_STREAM, 3, ":status=204\nx-promised=only-here-first");
	h2_headers(&bytes, encoder, H2_END_STREAM, 1, "x-trailer=t\nx-promised=only-here-first");
	h2_frame(&bytes, H2_GOAWAY, 0, 0, "\0\0\0\3\0\0\0\0bye", 11);
	expect(VCR_HTTP1_RESPONSE, &bytes,
		"\n<1 103|link=</a>>\n<1 200|content-type=text/event-stream>data: a\n\n\n<3 204|x-promised=only-here-first>\n</3>"
		"\n</1|x-trailer=t|x-promised=only-here-first>\ngoaway 3 0");
}
END_TEST

START_TEST(the_examples_of_rfc_7541_are_decoded_as_printed_there)
{
	/* C.4.1 to C.4.3: Huffman, three requests that build on one another */
	static const char one[] = "\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff", two[] = "\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf",
		three[] = "\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf";
	begin_client();
	h2_frame(&bytes, H2_HEADERS, 5, 1, one, sizeof one - 1);
	h2_frame(&bytes, H2_HEADERS, 5, 3, two, sizeof two - 1);
	h2_frame(&bytes, H2_HEADERS, 5, 5, three, sizeof three - 1);
	expect(VCR_HTTP1_REQUEST, &bytes, "\n<1 GET /|host=www.example.com>\n</1>\n<3 GET /|host=www.example.com|cache-control=no-cache>\n</3>"
		"\n<5 GET /index.html|host=www.example.com|custom-key=custom-value>\n</5>");
}
END_TEST

START_TEST(a_table_size_that_the_encoder_chose_is_followed)
{
	begin_client();
	nghttp2_hd_deflate_change_table_size(encoder, 0);
	h2_headers(&bytes, encoder, 1, 1, ":method=GET\n:path=/a\n:authority=h");
	nghttp2_hd_deflate_change_table_size(encoder, 65536);
	h2_headers(&bytes, encoder, 1, 3, ":method=GET\n:path=/b\n:authority=h");
	h2_headers(&bytes, encoder, 1, 5, ":method=GET\n:path=/b\n:authority=h");
	expect(VCR_HTTP1_REQUEST, &bytes, "\n<1 GET /a|host=h>\n</1>\n<3 GET /b|host=h>\n</3>\n<5 GET /b|host=h>\n</5>");
	vcr_buf_reset(&bytes);
	begin_client();
	h2_frame(&bytes, H2_HEADERS, 5, 1, "\x3f\xe1\xff\xff\x7f\x82\x84", 7); /* a table of 256 MB */
	expect(VCR_HTTP1_REQUEST, &bytes, "\n!malformed input: malformed header block");
}
END_TEST

static void refused(enum vcr_http1_role role, const char *why)
{
	VCR_AUTO_BUF want = VCR_BUF_INIT;
	vcr_buf_printf(&want, "\n!%s: %s", vcr_strerror(VCR_ESYNTAX), why);
	expect(role, &bytes, want.data);
	vcr_buf_reset(&bytes);
	begin_client();
}

START_TEST(what_no_peer_may_send_is_refused_with_the_reason)
{
	vcr_buf_puts(&bytes, "PRI * HTTP/2.0\r\n\r\nSMX");
	refused(VCR_HTTP1_REQUEST, "no connection preface");
	vcr_buf_reset(&bytes);
	vcr_buf_puts(&bytes, H2_PREFACE);
	h2_frame(&bytes, H2_PING, 0, 0, "12345678", 8);
	refused(VCR_HTTP1_REQUEST, "the first frame is no SETTINGS");
	h2_frame(&bytes, H2_HEADERS, 0, 1, "\x82", 1);
	h2_data(&bytes, 0, 1, "x");
	refused(VCR_HTTP1_REQUEST, "a header block is interrupted");
	h2_frame(&bytes, H2_HEADERS, 0, 1, "\x82", 1);
	h2_frame(&bytes, H2_CONTINUATION, 4, 3, "\x84", 1);
	refused(VCR_HTTP1_REQUEST, "a header block is interrupted");
	h2_frame(&bytes, H2_CONTINUATION, 4, 1, "\x84", 1);
	refused(VCR_HTTP1_REQUEST, "CONTINUATION of nothing");
	h2_data(&bytes, 0, 0, "x");
	refused(VCR_HTTP1_REQUEST, "frame on the wrong stream");
	h2_frame(&bytes, H2_DATA, H2_PADDED, 1, "\2x", 2);
	refused(VCR_HTTP1_REQUEST, "padding longer than its frame");
	h2_frame(&bytes, H2_DATA, H2_PADDED, 1, "", 0);
	refused(VCR_HTTP1_REQUEST, "padding longer than its frame");
	h2_frame(&bytes, H2_HEADERS, 4 | H2_HAS_PRIORITY, 1, "\0\0\0", 3);
	refused(VCR_HTTP1_REQUEST, "header frame too short");
	h2_frame(&bytes, H2_RST, 0, 1, "\0\0\0", 3);
	refused(VCR_HTTP1_REQUEST, "frame of a wrong size");
	h2_frame(&bytes, H2_PUSH, 4, 1, "\0\0\0\2\x82", 5);
	refused(VCR_HTTP1_REQUEST, "PUSH_PROMISE of a client");
	h2_frame(&bytes, H2_HEADERS, 5, 1, "\xff\xff\xff", 3);
	refused(VCR_HTTP1_REQUEST, "malformed header block");
	h2_frame(&bytes, H2_HEADERS, 5, 1, "\x84", 1); /* a path, no method */
	refused(VCR_HTTP1_REQUEST, "malformed head");
	h2_frame(&bytes, H2_HEADERS, 5, 1, "\x82\x84\x88", 3); /* a request with a status */
	refused(VCR_HTTP1_REQUEST, "malformed head");
	vcr_buf_reset(&bytes);
	h2_frame(&bytes, H2_SETTINGS, 0, 0, "", 0);
	h2_frame(&bytes, H2_HEADERS, 5, 1, "\x88\x82", 2); /* an answer with a method */
	refused(VCR_HTTP1_RESPONSE, "malformed head");
	h2_frame(&bytes, H2_HEADERS, 5, 1, "\x82\x84\0\1a\3x\0y", 9);
	refused(VCR_HTTP1_REQUEST, "malformed header field");
}
END_TEST

START_TEST(heads_that_unfold_to_more_than_the_limit_are_refused)
{
	VCR_AUTO_BUF block = VCR_BUF_INIT, out = VCR_BUF_INIT;
	begin_client();
	vcr_buf_add(&block, "\x82\x84\x40\1a\x7f\xa1\x17", 8); /* a field of 3 kB enters the table … */
	for (int i = 0; i < 3104; i++)
		vcr_buf_putc(&block, 'v');
	for (int i = 0; i < 200; i++)
		vcr_buf_putc(&block, '\xbe'); /* … and is named again and again */
	h2_frame(&bytes, H2_HEADERS, 5, 1, block.data, block.len);
	run(VCR_HTTP1_REQUEST, &bytes, 1 << 30, &out);
	ck_assert_str_eq(out.data, "\n!limit reached: header too large");
	vcr_buf_reset(&bytes);
	begin_client();
	vcr_buf_reset(&block);
	vcr_buf_puts(&block, "\x82\x84");
	for (int i = 0; i < VCR_MAX_HTTP_FIELDS; i++)
		vcr_buf_putc(&block, '\x90'); /* accept-encoding */
	h2_frame(&bytes, H2_HEADERS, 5, 1, block.data, block.len);
	run(VCR_HTTP1_REQUEST, &bytes, 1 << 30, &out);
	ck_assert_str_eq(out.data, "\n!limit reached: too many header fields");
	vcr_buf_reset(&bytes);
	begin_client();
	vcr_buf_add(&bytes, "\xff\xff\xff\1\4\0\0\0\1", 9); /* 16 MB of header in one frame */
	run(VCR_HTTP1_REQUEST, &bytes, 1 << 30, &out);
	ck_assert_str_eq(out.data, "\n!limit reached: header too large");
}
END_TEST

START_TEST(frames_in_the_middle_of_a_connection_are_known_by_their_look)
{
	h2_frame(&bytes, H2_HEADERS, 5, 7, "\xbe\xbf", 2);
	h2_data(&bytes, 1, 7, "{}");
	ck_assert(vcr_http2_looks_joined(bytes.data, bytes.len));
	ck_assert(!vcr_http2_looks_joined(bytes.data, bytes.len - 1));
	ck_assert(!vcr_http2_looks_joined("GET / HTTP/1.1\r\n\r\n", 18));
	ck_assert(!vcr_http2_looks_joined("", 0));
}
END_TEST

static TCase *cases(void)
{
	TCase *tc = tcase_create("http2");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, requests_of_many_streams_come_with_host_path_and_fields_in_any_split);
	tcase_add_test(tc, answers_have_interim_heads_trailers_and_promises_that_are_left_out_but_fill_the_table);
	tcase_add_test(tc, the_examples_of_rfc_7541_are_decoded_as_printed_there);
	tcase_add_test(tc, a_table_size_that_the_encoder_chose_is_followed);
	tcase_add_test(tc, what_no_peer_may_send_is_refused_with_the_reason);
	tcase_add_test(tc, heads_that_unfold_to_more_than_the_limit_are_refused);
	tcase_add_test(tc, frames_in_the_middle_of_a_connection_are_known_by_their_look);
	return tc;
}
TAP_MAIN("http2", cases)
