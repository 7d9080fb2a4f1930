/* Server-sent events and content codings. */
#include "buf.h"
#include "eventstream.h"
#include "inflate.h"
#include "sse.h"
#include "tap.h"
#include <string.h>
#include <zlib.h>
#include <zstd.h>

static int on_event(void *ctx, const char *event, const char *data, size_t len, const char *id)
{
	return vcr_buf_printf(ctx, "[%s|%.*s|%s]", event, (int)len, data, id);
}

static const struct { const char *in, *out; int end; } events[] = {
	{ "data: a\n\n", "[message|a|]", 0 },
	{ "\xef\xbb\xbf" "data: a\r\ndata:  b\r\r\nevent: x\ndata\nid: 7\n\n", "[message|a\n b|][x||7]", 0 },
	{ ": comment\nretry: 5\nevent: lost\n\ndata:{}\n\n", "[message|{}|]", 0 },
	{ "id: 1\ndata: x\n\ndata: y\n\ndata: cut", "[message|x|1][message|y|1]", 1 },
	{ "data: 1\r\rdata: 2\r\r", "[message|1|][message|2|]", 0 },
};

START_TEST(events_come_out_in_any_split)
{
	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		for (size_t step = 1; step < 9; step++) {
			VCR_AUTO_BUF out = VCR_BUF_INIT;
			struct vcr_sse *s = vcr_sse_new(on_event, &out);
			size_t n = strlen(events[i].in);
			for (size_t at = 0; at < n; at += step)
				ck_assert_int_eq(vcr_sse_feed(s, events[i].in + at, n - at < step ? n - at : step), 0);
			ck_assert_int_eq(vcr_sse_end(s), events[i].end);
			ck_assert_str_eq(out.data, events[i].out);
			vcr_sse_free(s);
		}
}
END_TEST

static void deflated(struct vcr_buf *out, const char *p, size_t n, int window)
{
	z_stream z = { 0 };
	deflateInit2(&z, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY);
	size_t bound = deflateBound(&z, n);
	z.next_in = (Bytef *)p;
	z.avail_in = (uInt)n;
	z.next_out = (Bytef *)vcr_buf_reserve(out, bound);
	z.avail_out = (uInt)bound;
	deflate(&z, Z_FINISH);
	vcr_buf_added(out, z.total_out);
	deflateEnd(&z);
}

static void check_coding(const char *coding, const struct vcr_buf *in, const char *want, size_t n)
{
	for (size_t step = 1; step < 2000; step *= 7) {
		struct vcr_inflate *z;
		VCR_AUTO_BUF out = VCR_BUF_INIT;
		ck_assert_int_eq(vcr_inflate_new(&z, coding, NULL), 0);
		for (size_t at = 0; at < in->len; at += step)
			ck_assert_int_eq(vcr_inflate_feed(z, in->data + at, in->len - at < step ? in->len - at : step, &out), 0);
		ck_assert_int_eq(vcr_inflate_end(z), 0);
		ck_assert_uint_eq(out.len, n);
		ck_assert(!memcmp(out.data, want, n));
		vcr_inflate_free(z);
		vcr_buf_reset(&out);
		vcr_inflate_new(&z, coding, NULL);
		vcr_inflate_feed(z, in->data, in->len / 2, &out);
		ck_assert_int_eq(vcr_inflate_end(z), VCR_ETRUNC);
		vcr_inflate_free(z);
	}
}

START_TEST(each_coding_comes_back)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, gz = VCR_BUF_INIT, zl = VCR_BUF_INIT, raw = VCR_BUF_INIT, zs = VCR_BUF_INIT, two = VCR_BUF_INIT;
	for (int i = 0; i < 3000; i++)
		vcr_buf_printf(&text, "line %d ", i * i);
	deflated(&gz, text.data, text.len / 2, 15 + 16);
	deflated(&gz, text.data + text.len / 2, text.len - text.len / 2, 15 + 16); /* two members */
	deflated(&zl, text.data, text.len, 15);
	deflated(&raw, text.data, text.len, -15);
	zs.len = 0;
	char *to = vcr_buf_reserve(&zs, ZSTD_compressBound(text.len));
	vcr_buf_added(&zs, ZSTD_compress(to, ZSTD_compressBound(text.len), text.data, text.len, 3));
	deflated(&two, zs.data, zs.len, 15 + 16);
	check_coding("deflate", &zl, text.data, text.len);
	check_coding("deflate", &raw, text.data, text.len);
	check_coding("zstd", &zs, text.data, text.len);
	check_coding("zstd, GZIP", &two, text.data, text.len);
	struct vcr_inflate *z;
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	vcr_inflate_new(&z, "x-gzip", NULL);
	ck_assert_int_eq(vcr_inflate_feed(z, gz.data, gz.len, &out), 0);
	ck_assert_str_eq(out.data, text.data);
	vcr_inflate_free(z);
}
END_TEST

START_TEST(garbage_and_unknown_codings_are_refused)
{
	struct vcr_inflate *z;
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_error e;
	ck_assert_int_eq(vcr_inflate_new(&z, "rot13", &e), VCR_ENOSYS);
	ck_assert_msg(strstr(e.what, "rot13"), "%s", e.what);
	static const char *const coding[] = { "gzip", "br", "zstd" };
	for (int i = 0; i < 3; i++) {
		vcr_inflate_new(&z, coding[i], NULL);
		ck_assert_int_eq(vcr_inflate_feed(z, "\xff\xfe\xfdgarbage", 10, &out), VCR_ESYNTAX);
		vcr_inflate_free(z);
	}
}
END_TEST

static int on_message(void *ctx, const struct vcr_eventstream_message *m)
{
	vcr_buf_printf(ctx, "[%s %s ", m->type, m->name);
	vcr_buf_add(ctx, m->payload, m->len);
	return vcr_buf_puts(ctx, "]");
}

static int read_messages(const char *p, size_t n, size_t step, struct vcr_buf *out)
{
	struct vcr_eventstream s;
	int r = 0;
	vcr_buf_reset(out);
	vcr_eventstream_init(&s, on_message, out);
	for (size_t at = 0; at < n && !r; at += step)
		r = vcr_eventstream_feed(&s, p + at, n - at < step ? n - at : step);
	r = vcr_eventstream_end(&s);
	vcr_eventstream_release(&s);
	return r;
}

/* Two test vectors of the format's own implementations. */
static const char vectors[] =
	"\0\0\0\x10\0\0\0\0\x05\xc2\x48\xeb\x7d\x98\xc8\xff"
	"\0\0\0\x1d\0\0\0\0\xfd\x52\x8c\x5a{'foo':'bar'}\xc3\x65\x39\x36";

START_TEST(messages_of_an_event_stream_come_in_any_split_and_only_when_both_checksums_hold)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	for (size_t step = 1; step < 60; step += 4) {
		ck_assert_int_eq(read_messages(vectors, sizeof vectors - 1, step, &out), 0);
		ck_assert_str_eq(out.data, "[  ][  {'foo':'bar'}]");
	}
	for (size_t i = 0; i < sizeof vectors - 1; i++) {
		char copy[sizeof vectors];
		memcpy(copy, vectors, sizeof vectors);
		copy[i] ^= 4;
		ck_assert_int_lt(read_messages(copy, sizeof copy - 1, 1000, &out), 0);
		ck_assert_str_eq(out.data, i < 16 ? "" : "[  ]");
	}
	ck_assert_int_eq(read_messages(vectors, 20, 1000, &out), VCR_ETRUNC);
}
END_TEST

static TCase *streams(void)
{
	TCase *tc = tcase_create("streams");
	tcase_add_test(tc, events_come_out_in_any_split);
	tcase_add_test(tc, messages_of_an_event_stream_come_in_any_split_and_only_when_both_checksums_hold);
	tcase_add_test(tc, each_coding_comes_back);
	tcase_add_test(tc, garbage_and_unknown_codings_are_refused);
	return tc;
}

TAP_MAIN("streams", streams)
