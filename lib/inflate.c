#include "inflate.h"
#include "limits.h"
#include <brotli/decode.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

enum coding { IDENTITY, GZIP, DEFLATE, BROTLI, ZSTD };
enum {
	MAX_LAYERS = 4,
	STEP = 32 << 10,
	ZSTD_WINDOW_LOG = 23, /* 8 MiB: no more is allowed as a content coding (RFC 9659), and a frame of ten bytes may claim any */
};

struct layer {
	enum coding coding;
	bool started, done;
	z_stream z;
	bool z_open, raw;
	BrotliDecoderState *br;
	ZSTD_DStream *zs;
	struct vcr_buf head; /* deflate: the first two bytes decide between zlib and raw */
};

struct vcr_inflate {
	struct layer layer[MAX_LAYERS]; /* in the order of decoding: the last coding applied comes first */
	int n;
	uint64_t total;
	int err;
	struct vcr_buf between[2];
};

static int coding_of(const char *s, size_t n)
{
	static const struct { const char *name; enum coding coding; } known[] = {
		{ "identity", IDENTITY }, { "gzip", GZIP }, { "x-gzip", GZIP }, { "deflate", DEFLATE }, { "br", BROTLI }, { "zstd", ZSTD },
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strlen(known[i].name) == n && !strncasecmp(known[i].name, s, n))
			return known[i].coding;
	return -1;
}

static int open_layer(struct layer *l)
{
	switch (l->coding) {
	case GZIP:
		l->z_open = inflateInit2(&l->z, 15 + 16) == Z_OK;
		return l->z_open ? 0 : VCR_ENOMEM;
	case BROTLI:
		l->br = BrotliDecoderCreateInstance(NULL, NULL, NULL);
		return l->br ? 0 : VCR_ENOMEM;
	case ZSTD:
		l->zs = ZSTD_createDStream();
		return l->zs && !ZSTD_isError(ZSTD_DCtx_setParameter(l->zs, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG)) ? 0 : VCR_ENOMEM;
	default: /* deflate opens when its first bytes are known */
		return 0;
	}
}

int vcr_inflate_new(struct vcr_inflate **out, const char *coding, struct vcr_error *e)
{
	struct vcr_inflate *z = calloc(1, sizeof *z);
	if (!z)
		return vcr_error_set(e, VCR_ENOMEM, "content coding: out of memory");
	for (int i = 0; i < 2; i++)
		vcr_buf_init(&z->between[i], VCR_MAX_INFLATED);
	const char *p = coding ? coding : "", *end = p + strlen(p);
	while (p < end) {
		size_t n = strcspn(p, ",");
		const char *next = p + n + (p[n] == ',');
		while (n && (*p == ' ' || *p == '\t')) {
			p++;
			n--;
		}
		while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
			n--;
		int c = n ? coding_of(p, n) : IDENTITY;
		if (c < 0 || (c != IDENTITY && z->n == MAX_LAYERS)) {
			int err = vcr_error_set(e, c < 0 ? VCR_ENOSYS : VCR_ELIMIT, "content coding %.*s: %s", (int)n, p, c < 0 ? "not known" : "too many layers");
			vcr_inflate_free(z);
			return err;
		}
		if (c != IDENTITY) {
			memmove(z->layer + 1, z->layer, (size_t)z->n * sizeof *z->layer);
			z->layer[0] = (struct layer){ .coding = (enum coding)c };
			vcr_buf_init(&z->layer[0].head, 16);
			z->n++;
		}
		p = next;
	}
	for (int i = 0; i < z->n; i++)
		if (open_layer(&z->layer[i])) {
			vcr_inflate_free(z);
			return vcr_error_set(e, VCR_ENOMEM, "content coding: out of memory");
		}
	*out = z;
	return 0;
}

void vcr_inflate_free(struct vcr_inflate *z)
{
	if (!z)
		return;
	for (int i = 0; i < z->n; i++) {
		struct layer *l = &z->layer[i];
		if (l->z_open)
			inflateEnd(&l->z);
		if (l->br)
			BrotliDecoderDestroyInstance(l->br);
		ZSTD_freeDStream(l->zs);
		vcr_buf_release(&l->head);
	}
	vcr_buf_release(&z->between[0]);
	vcr_buf_release(&z->between[1]);
	free(z);
}

/* Room for another piece of output, within the bound of the whole body. */
static char *room(struct vcr_inflate *z, struct vcr_buf *out)
{
	if (z->total >= VCR_MAX_INFLATED) {
		z->err = VCR_ELIMIT;
		return NULL;
	}
	char *to = vcr_buf_reserve(out, STEP);
	if (!to)
		z->err = out->err;
	return to;
}

/* Behind the end of a gzip member: zeros are padding, anything else begins a further member. */
static bool next_member(struct layer *l)
{
	if (l->coding != GZIP)
		return false;
	while (l->z.avail_in && !*l->z.next_in) {
		l->z.next_in++;
		l->z.avail_in--;
	}
	if (!l->z.avail_in || inflateReset(&l->z) != Z_OK)
		return false;
	l->done = false;
	return true;
}

static int feed_zlib(struct vcr_inflate *z, struct layer *l, const char *p, size_t n, struct vcr_buf *out)
{
	l->z.next_in = (Bytef *)p;
	l->z.avail_in = (uInt)n;
	if (l->done && !next_member(l))
		return 0;
	for (;;) {
		char *to = room(z, out);
		if (!to)
			return z->err;
		l->z.next_out = (Bytef *)to;
		l->z.avail_out = STEP;
		int r = inflate(&l->z, Z_NO_FLUSH);
		size_t made = STEP - l->z.avail_out;
		vcr_buf_added(out, made);
		z->total += made;
		if (r == Z_STREAM_END) {
			l->done = true;
			if (!next_member(l))
				return 0; /* bytes behind a deflate stream are ignored */
			continue;
		}
		if (r == Z_BUF_ERROR || (r == Z_OK && !l->z.avail_in && l->z.avail_out))
			return 0;
		if (r != Z_OK)
			return VCR_ESYNTAX;
	}
}

/* "deflate" should be zlib's format (RFC 9110 §8.4.1.2), and raw deflate is what some servers send. */
static int feed_deflate(struct vcr_inflate *z, struct layer *l, const char *p, size_t n, struct vcr_buf *out)
{
	if (!l->z_open) {
		while (l->head.len < 2 && n) {
			vcr_buf_add(&l->head, p++, 1);
			n--;
		}
		if (l->head.len < 2)
			return 0;
		unsigned a = (unsigned char)l->head.data[0], b = (unsigned char)l->head.data[1];
		bool zlib = (a & 15) == 8 && (a * 256 + b) % 31 == 0;
		if (inflateInit2(&l->z, zlib ? 15 : -15) != Z_OK)
			return VCR_ENOMEM;
		l->z_open = true;
		int err = feed_zlib(z, l, l->head.data, 2, out);
		if (err || !n || l->done)
			return err;
	}
	return feed_zlib(z, l, p, n, out);
}

static int feed_brotli(struct vcr_inflate *z, struct layer *l, const char *p, size_t n, struct vcr_buf *out)
{
	const uint8_t *in = (const uint8_t *)p;
	for (;;) {
		char *to = room(z, out);
		if (!to)
			return z->err;
		size_t left = STEP;
		uint8_t *next = (uint8_t *)to;
		BrotliDecoderResult r = BrotliDecoderDecompressStream(l->br, &n, &in, &left, &next, NULL);
		vcr_buf_added(out, STEP - left);
		z->total += STEP - left;
		if (r == BROTLI_DECODER_RESULT_ERROR)
			return VCR_ESYNTAX;
		if (r == BROTLI_DECODER_RESULT_SUCCESS)
			l->done = true;
		if (r != BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT)
			return 0;
	}
}

static int feed_zstd(struct vcr_inflate *z, struct layer *l, const char *p, size_t n, struct vcr_buf *out)
{
	ZSTD_inBuffer in = { p, n, 0 };
	for (;;) {
		char *to = room(z, out);
		if (!to)
			return z->err;
		ZSTD_outBuffer o = { to, STEP, 0 };
		size_t r = ZSTD_decompressStream(l->zs, &o, &in);
		vcr_buf_added(out, o.pos);
		z->total += o.pos;
		if (ZSTD_isError(r))
			return VCR_ESYNTAX;
		l->done = r == 0;
		if (in.pos == in.size && o.pos < o.size)
			return 0;
	}
}

static int feed_layer(struct vcr_inflate *z, struct layer *l, const char *p, size_t n, struct vcr_buf *out)
{
	if (!n || (l->done && l->coding != GZIP && l->coding != ZSTD))
		return 0;
	l->started = true;
	switch (l->coding) {
	case GZIP: return feed_zlib(z, l, p, n, out);
	case DEFLATE: return feed_deflate(z, l, p, n, out);
	case BROTLI: return feed_brotli(z, l, p, n, out);
	default: return feed_zstd(z, l, p, n, out);
	}
}

int vcr_inflate_feed(struct vcr_inflate *z, const char *p, size_t n, struct vcr_buf *out)
{
	if (z->err)
		return z->err;
	if (!z->n) {
		z->total += n;
		return z->err = z->total > VCR_MAX_INFLATED ? VCR_ELIMIT : vcr_buf_add(out, p, n);
	}
	for (int i = 0; i < z->n && !z->err; i++) {
		struct vcr_buf *to = i + 1 == z->n ? out : &z->between[i % 2];
		if (to != out)
			vcr_buf_reset(to);
		z->err = feed_layer(z, &z->layer[i], p, n, to);
		p = to->data;
		n = to->len;
	}
	return z->err;
}

int vcr_inflate_end(struct vcr_inflate *z)
{
	if (z->err)
		return z->err;
	for (int i = 0; i < z->n; i++)
		if (!z->layer[i].done && z->layer[i].started)
			return VCR_ETRUNC;
	return 0;
}
