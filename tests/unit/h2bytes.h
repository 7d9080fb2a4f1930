/* h2bytes.h — HTTP/2 as a peer would send it, for the tests of the decoder and of the flow: frames into a buffer, header blocks by nghttp2's encoder. */
#ifndef VCR_TESTS_H2BYTES_H
#define VCR_TESTS_H2BYTES_H
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>
#include "buf.h"

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
enum { H2_DATA, H2_HEADERS, H2_PRIORITY, H2_RST, H2_SETTINGS, H2_PUSH, H2_PING, H2_GOAWAY, H2_WINDOW, H2_CONTINUATION };
enum { H2_END_STREAM = 1, H2_END_HEADERS = 4, H2_PADDED = 8, H2_HAS_PRIORITY = 32 };

static inline void h2_frame(struct vcr_buf *b, int type, int flags, uint32_t stream, const void *p, size_t n)
{
	unsigned char head[9] = { (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n, (unsigned char)type, (unsigned char)flags,
		(unsigned char)(stream >> 24), (unsigned char)(stream >> 16), (unsigned char)(stream >> 8), (unsigned char)stream };
	vcr_buf_add(b, head, 9);
	vcr_buf_add(b, p, n);
}

/* The block of "name=value" lines. */
static inline void h2_block(struct vcr_buf *out, nghttp2_hd_deflater *d, const char *lines)
{
	nghttp2_nv nv[64];
	uint8_t bytes[8192];
	size_t n = 0;
	for (const char *p = lines; *p; n++) {
		size_t k = strcspn(p + 1, "=") + 1, v = strcspn(p + k + 1, "\n");
		nv[n] = (nghttp2_nv){ (uint8_t *)p, (uint8_t *)p + k + 1, k, v, NGHTTP2_NV_FLAG_NONE };
		p += k + 1 + v + (p[k + 1 + v] == '\n');
	}
	ssize_t len = nghttp2_hd_deflate_hd(d, bytes, sizeof bytes, nv, n);
	if (len < 0)
		abort();
	vcr_buf_add(out, bytes, (size_t)len);
}

static inline void h2_headers(struct vcr_buf *b, nghttp2_hd_deflater *d, int flags, uint32_t stream, const char *lines)
{
	VCR_AUTO_BUF block = VCR_BUF_INIT;
	h2_block(&block, d, lines);
	h2_frame(b, H2_HEADERS, flags | H2_END_HEADERS, stream, block.data, block.len);
}

static inline void h2_data(struct vcr_buf *b, int flags, uint32_t stream, const char *s)
{
	h2_frame(b, H2_DATA, flags, stream, s, strlen(s));
}
#endif
