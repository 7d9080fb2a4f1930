/* Byte 1: options; then the records' area, behind a header that is made here. With option 1 the offsets and checksums of whatever looks like a
 * record are mended, so that the bytes behind them are reached; with 2 the input begins with the header's counters. */
#include "fuzz.h"
#include "spool.h"
#include <unistd.h>

static void mend(char *area, size_t n)
{
	struct vcr_spool_record r;
	for (size_t at = 0; at + sizeof r <= n; at += VCR_SPOOL_ALIGN) {
		memcpy(&r, area + at, sizeof r);
		if ((r.state & 0xffffff00) != (VCR_REC_READY & 0xffffff00))
			continue;
		r.seq = VCR_SPOOL_HEADER + at;
		if (r.state == VCR_REC_READY && r.size <= n - at - sizeof r)
			r.crc = vcr_spool_crc(area + at + sizeof r, r.size);
		memcpy(area + at, &r, sizeof r);
	}
}

static void check_event(const struct vcr_spool_event *ev)
{
	static const size_t fixed[] = { sizeof(struct vcr_rec_proc), sizeof(struct vcr_rec_exec), sizeof(struct vcr_rec_conn), sizeof(struct vcr_rec_file), 0 };
	FUZZ_CHECK(!ev->payload[ev->size] && ev->size <= VCR_SPOOL_MAX_RECORD + 64);
	for (size_t k = 0; k < sizeof fixed / sizeof *fixed; k++)
		for (unsigned i = 0; i < 4; i++) {
			const char *s = vcr_spool_string(ev, fixed[k], i);
			FUZZ_CHECK(!*s || (s >= ev->payload && s + strlen(s) <= ev->payload + ev->size));
		}
}

static void read_all(const char *path, size_t size)
{
	struct vcr_spool *s;
	struct vcr_spool_event ev;
	struct vcr_error e = { 0 };
	if (vcr_spool_attach(&s, path, &e)) {
		FUZZ_CHECK(strstr(e.what, path));
		return;
	}
	uint64_t before = vcr_spool_position(s), count = 0;
	while (!vcr_spool_next(s, true, &ev)) {
		uint64_t at = vcr_spool_position(s);
		FUZZ_CHECK(ev.seq >= before && at > ev.seq && at <= VCR_SPOOL_HEADER + size + 4096);
		check_event(&ev);
		before = at;
		if (++count % 4 == 0)
			vcr_spool_consumed(s, ev.seq);
	}
	struct vcr_spool_losses l;
	vcr_spool_losses(s, &l);
	FUZZ_CHECK(l.skipped_bytes <= size + 4096);
	vcr_spool_grow(s, false);
	vcr_spool_consumed(s, UINT64_MAX);
	vcr_spool_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	unsigned options = fuzz_byte(&in);
	static _Alignas(4096) char file[VCR_SPOOL_HEADER + (1 << 20)];
	struct vcr_spool_header *h = (struct vcr_spool_header *)(void *)file;
	memset(file, 0, VCR_SPOOL_HEADER);
	memcpy(h->magic, VCR_SPOOL_MAGIC, sizeof h->magic);
	h->version = VCR_SPOOL_VERSION;
	h->state = VCR_SPOOL_OPEN;
	h->head = VCR_SPOOL_HEADER;
	if (options & 2 && in.n >= 24) {
		memcpy(&h->tail, in.p, 8);
		memcpy(&h->limit, in.p + 8, 8);
		memcpy(&h->head, in.p + 16, 8);
		in.p += 24;
		in.n -= 24;
	}
	size_t n = in.n < sizeof file - VCR_SPOOL_HEADER ? in.n : sizeof file - VCR_SPOOL_HEADER;
	memcpy(file + VCR_SPOOL_HEADER, in.p, n);
	if (options & 1)
		mend(file + VCR_SPOOL_HEADER, n);
	if (!(options & 2))
		h->tail = h->limit = VCR_SPOOL_HEADER + n;
	read_all(fuzz_file("s.spool", file, VCR_SPOOL_HEADER + n), n);
	return 0;
}
