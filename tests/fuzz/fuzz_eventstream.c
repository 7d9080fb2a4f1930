/* Byte 1: odd: the bytes are the stream; even: they are headers up to \1 and payload up to \2 of messages with right checksums; byte 2: pieces. */
#include "fuzz.h"
#include "eventstream.h"
#include "provider.h"
#include <zlib.h>

static int on_message(void *ctx, const struct vcr_eventstream_message *m)
{
	vcr_buf_printf(ctx, "[%s|%s|", m->type, m->name);
	vcr_buf_add(ctx, m->payload, m->len);
	return vcr_buf_puts(ctx, "]");
}

static void add_number(struct vcr_buf *b, uint32_t v)
{
	unsigned char be[4] = { (unsigned char)(v >> 24), (unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v };
	vcr_buf_add(b, be, 4);
}

static void add_message(struct vcr_buf *out, const struct vcr_buf *headers, const struct vcr_buf *payload)
{
	size_t from = out->len;
	add_number(out, (uint32_t)(16 + headers->len + payload->len));
	add_number(out, (uint32_t)headers->len);
	add_number(out, (uint32_t)crc32(0, (const unsigned char *)out->data + from, 8));
	vcr_buf_add(out, headers->data, headers->len);
	vcr_buf_add(out, payload->data, payload->len);
	add_number(out, (uint32_t)crc32(0, (const unsigned char *)out->data + from, (uInt)(out->len - from)));
}

static void run(const struct vcr_buf *in, unsigned seed, struct vcr_buf *out)
{
	struct fuzz_split split = { seed, 1 };
	struct vcr_eventstream s;
	int r = 0;
	vcr_eventstream_init(&s, on_message, out);
	for (size_t at = 0, k; at < in->len && !r; at += k) {
		k = fuzz_piece(&split, in->len - at);
		r = vcr_eventstream_feed(&s, in->data + at, k);
	}
	FUZZ_CHECK(!r || vcr_eventstream_feed(&s, "x", 1) == r);
	vcr_buf_printf(out, "%d %d", r, vcr_eventstream_end(&s));
	vcr_eventstream_release(&s);
}

static void as_answer(enum vcr_api api, const struct vcr_buf *in)
{
	struct vcr_answer_info info;
	FUZZ_CHECK(!vcr_answer_read(api, 200, "application/vnd.amazon.eventstream", in->data, in->len, true, &info));
	FUZZ_CHECK(fuzz_valid_json(&info.message, VCR_JSON_RELAXED) && fuzz_ascii(&info.message));
	vcr_answer_info_release(&info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	unsigned options = fuzz_byte(&in), seed = fuzz_byte(&in);
	VCR_AUTO_BUF stream = VCR_BUF_INIT, whole = VCR_BUF_INIT, pieces = VCR_BUF_INIT;
	if (options & 1)
		vcr_buf_add(&stream, in.p, in.n);
	while (!(options & 1) && in.n) {
		VCR_AUTO_BUF headers = fuzz_until(&in, 1), payload = fuzz_until(&in, 2);
		add_message(&stream, &headers, &payload);
	}
	run(&stream, 0, &whole);
	run(&stream, seed % 64 + 1, &pieces);
	FUZZ_CHECK(fuzz_same(&whole, &pieces));
	as_answer(VCR_API_BEDROCK_CONVERSE, &stream);
	as_answer(VCR_API_BEDROCK_INVOKE, &stream);
	return 0;
}
