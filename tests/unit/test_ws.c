#include "ws.h"
#include "buf.h"
#include "limits.h"
#include "tap.h"
#include <string.h>
#include <zlib.h>

static int on_message(void *ctx, bool text, const char *p, size_t n)
{
	vcr_buf_puts(ctx, text ? "[" : "<");
	vcr_buf_add(ctx, p, n);
	return vcr_buf_puts(ctx, text ? "]" : ">");
}
static int on_close(void *ctx, unsigned code) { return vcr_buf_printf(ctx, "close %u", code); }

static void run(const char *p, size_t n, bool deflate, bool forgets, size_t step, struct vcr_buf *out)
{
	static const struct vcr_ws_events ev = { .message = on_message, .close = on_close };
	struct vcr_ws *w = vcr_ws_new(&ev, out, deflate, forgets);
	int r = 0;
	vcr_buf_reset(out);
	for (size_t at = 0; at < n && !r; at += step)
		r = vcr_ws_feed(w, p + at, n - at < step ? n - at : step);
	if (r) {
		vcr_buf_printf(out, "!%s", vcr_ws_why(w));
		ck_assert_int_eq(vcr_ws_feed(w, "x", 1), r);
	}
	vcr_ws_free(w);
}

#define IS(s) s, sizeof s - 1
static const struct { const char *in; size_t n; bool deflate, forgets; const char *out; } golden[] = {
	/* RFC 6455 §5.7 */
	{ IS("\x81\x05\x48\x65\x6c\x6c\x6f"), false, false, "[Hello]" },
	{ IS("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), false, false, "[Hello]" },
	{ IS("\x01\x03Hel\x80\x02lo"), false, false, "[Hello]" },
	{ IS("\x01\x03Hel\x89\x05Hello\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x80\x02lo"), false, false, "[Hello]" },
	{ IS("\x82\x7e\x01\x00" "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"), false, false,
	  "<0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef>" },
	{ IS("\x81\x7f\0\0\0\0\0\0\0\x02hi\x81\0"), false, false, "[hi][]" },
	{ IS("\x88\x02\x03\xe8\x88\0"), false, false, "close 1000close 1005" },
	/* RFC 7692 §7.2.3: one block, fragments, a shared window, no compression, a final block, two blocks */
	{ IS("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"), true, false, "[Hello]" },
	{ IS("\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00"), true, false, "[Hello]" },
	{ IS("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x05\xf2\x00\x11\x00\x00\x81\x05plain"), true, false, "[Hello][Hello][plain]" },
	{ IS("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"), true, true, "[Hello][Hello]" },
	{ IS("\xc1\x0b\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), true, false, "[Hello]" },
	{ IS("\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00\xc1\x05\xf2\x00\x11\x00\x00"), true, false, "[Hello][Hello]" },
	{ IS("\xc1\x0d\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), true, false, "[Hello]" },
	/* what no peer may send */
	{ IS("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"), false, false, "!reserved bit set" },
	{ IS("\xa1\0"), true, false, "!reserved bit set" },
	{ IS("\xc9\0"), true, false, "!reserved bit set" },
	{ IS("\x83\0"), false, false, "!unknown opcode" },
	{ IS("\x8b\0"), false, false, "!unknown opcode" },
	{ IS("\x09\0"), false, false, "!malformed control frame" },
	{ IS("\x89\x7e\0\x7e"), false, false, "!malformed control frame" },
	{ IS("\x80\0"), false, false, "!continuation of nothing" },
	{ IS("\x01\x01x\x81\x01y"), false, false, "!a message inside another" },
	{ IS("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), false, false, "!message too large" },
	{ IS("\xc1\x04\xff\xff\xff\xff"), true, false, "!malformed compressed message" },
	{ IS("\xc1\x05\xf2\x00\x11\x00\x00"), true, true, "!malformed compressed message" },
};

START_TEST(messages_come_joined_unmasked_and_inflated_in_any_split)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	for (size_t i = 0; i < sizeof golden / sizeof *golden; i++)
		for (size_t step = 1; step < 2000; step = step < 7 ? step + 1 : step + 1900) {
			run(golden[i].in, golden[i].n, golden[i].deflate, golden[i].forgets, step, &out);
			ck_assert_msg(!strcmp(out.data, golden[i].out), "%zu, step %zu: %s", i, step, out.data);
		}
}
END_TEST

START_TEST(a_small_message_that_inflates_without_end_is_refused)
{
	VCR_AUTO_BUF zeros = VCR_BUF_INIT, frame = VCR_BUF_INIT, out = VCR_BUF_INIT;
	size_t n = VCR_MAX_WS_MESSAGE + 100000u, room = 1 << 20;
	char *packed = malloc(room), *plain = calloc(1, n);
	z_stream z = { .next_in = (Bytef *)plain, .avail_in = (uInt)n, .next_out = (Bytef *)packed, .avail_out = (uInt)room };
	ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, 0), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_SYNC_FLUSH), Z_OK);
	size_t size = room - z.avail_out - 4;
	deflateEnd(&z);
	unsigned char head[10] = { 0xc1, 127, 0, 0, 0, 0, 0, (unsigned char)(size >> 16), (unsigned char)(size >> 8), (unsigned char)size };
	vcr_buf_add(&frame, head, 10);
	vcr_buf_add(&frame, packed, size);
	run(frame.data, frame.len, true, false, 1 << 30, &out);
	ck_assert_str_eq(out.data, "!message too large");
	free(packed);
	free(plain);
}
END_TEST

START_TEST(extensions_are_read_as_the_answer_lists_them)
{
	struct vcr_ws_extensions x;
	ck_assert_int_eq(vcr_ws_extensions_read(NULL, &x), 0);
	ck_assert(!x.deflate);
	ck_assert_int_eq(vcr_ws_extensions_read("permessage-deflate", &x), 0);
	ck_assert(x.deflate && !x.client_forgets && !x.server_forgets);
	ck_assert_int_eq(vcr_ws_extensions_read("Permessage-Deflate; server_no_context_takeover ;client_max_window_bits=12", &x), 0);
	ck_assert(x.deflate && !x.client_forgets && x.server_forgets);
	ck_assert_int_eq(vcr_ws_extensions_read("permessage-deflate; client_no_context_takeover; server_max_window_bits=\"10\"", &x), 0);
	ck_assert(x.client_forgets);
	ck_assert_int_eq(vcr_ws_extensions_read("x-webkit-deflate-frame", &x), VCR_ENOSYS);
	ck_assert(x.client_forgets);
}
END_TEST

static int on_ping(void *ctx, const char *p, size_t n)
{
	vcr_buf_puts(ctx, "ping ");
	return vcr_buf_add(ctx, p, n);
}

START_TEST(what_is_written_is_read_again_and_pings_are_told)
{
	static const struct vcr_ws_events ev = { on_message, on_close, on_ping };
	VCR_AUTO_BUF frames = VCR_BUF_INIT, out = VCR_BUF_INIT, large = VCR_BUF_INIT, want = VCR_BUF_INIT;
	const size_t sizes[] = { 0, 125, 126, 65535, 65536 };
	for (size_t i = 0; i < 5; i++) {
		vcr_buf_reset(&large);
		memset(vcr_buf_reserve(&large, sizes[i]), 'x', sizes[i]);
		vcr_buf_added(&large, sizes[i]);
		vcr_ws_write(&frames, VCR_WS_TEXT, large.data, large.len);
		vcr_buf_printf(&want, "[%s]", large.data);
	}
	vcr_buf_add(&frames, "\x89\x02hi", 4);
	vcr_ws_write_close(&frames, 1008, "no");
	vcr_buf_puts(&want, "ping hiclose 1008");
	struct vcr_ws *w = vcr_ws_new(&ev, &out, false, false);
	ck_assert_int_eq(vcr_ws_feed(w, frames.data, frames.len), 0);
	ck_assert(out.len == want.len && !memcmp(out.data, want.data, want.len));
	vcr_ws_free(w);
}
END_TEST

START_TEST(a_reason_that_is_too_long_is_cut_before_a_character)
{
	VCR_AUTO_BUF reason = VCR_BUF_INIT, out = VCR_BUF_INIT;
	for (int i = 0; i < 100; i++)
		vcr_buf_puts(&reason, "\xe2\x9c\x93");
	vcr_ws_write_close(&out, 1008, reason.data);
	ck_assert_uint_eq(out.len, 2 + 2 + 123);
	vcr_buf_reset(&out);
	vcr_buf_puts(&reason, "x");
	vcr_ws_write_close(&out, 1008, reason.data + 1);
	ck_assert_uint_eq(out.len, 2 + 2 + 122);
}
END_TEST

static TCase *ws(void)
{
	TCase *tc = tcase_create("ws");
	tcase_add_test(tc, messages_come_joined_unmasked_and_inflated_in_any_split);
	tcase_add_test(tc, a_small_message_that_inflates_without_end_is_refused);
	tcase_add_test(tc, extensions_are_read_as_the_answer_lists_them);
	tcase_add_test(tc, what_is_written_is_read_again_and_pings_are_told);
	tcase_add_test(tc, a_reason_that_is_too_long_is_cut_before_a_character);
	return tc;
}
TAP_MAIN("ws", ws)
