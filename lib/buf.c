#include "buf.h"
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MAX = 1 << 30 };
char vcr_buf_empty[1];

void vcr_buf_init(struct vcr_buf *b, size_t max)
{
	*b = (struct vcr_buf)VCR_BUF_INIT;
	b->max = max;
}

void vcr_buf_release(struct vcr_buf *b)
{
	if (b->cap)
		free(b->data);
	vcr_buf_init(b, b->max);
}

void vcr_buf_reset(struct vcr_buf *b)
{
	b->len = 0;
	b->err = 0;
	if (b->cap)
		b->data[0] = 0;
}

char *vcr_buf_reserve(struct vcr_buf *b, size_t n)
{
	size_t max = b->max ? b->max : DEFAULT_MAX;
	if (b->err)
		return NULL;
	if (n > max || b->len > max - n) {
		b->err = VCR_ELIMIT;
		return NULL;
	}
	size_t need = b->len + n + 1;
	if (need <= b->cap)
		return b->data + b->len;
	size_t cap = b->cap + b->cap / 2;
	if (cap < need)
		cap = need < 64 ? 64 : need;
	char *p = realloc(b->cap ? b->data : NULL, cap);
	if (!p) {
		b->err = VCR_ENOMEM;
		return NULL;
	}
	if (!b->cap)
		p[0] = 0;
	b->data = p;
	b->cap = cap;
	return p + b->len;
}

void vcr_buf_added(struct vcr_buf *b, size_t n)
{
	b->len += n;
	if (b->cap)
		b->data[b->len] = 0;
}

int vcr_buf_add(struct vcr_buf *b, const void *p, size_t n)
{
	if (!n)
		return b->err;
	char *to = vcr_buf_reserve(b, n);
	if (to) {
		memcpy(to, p, n);
		vcr_buf_added(b, n);
	}
	return b->err;
}

int vcr_buf_puts(struct vcr_buf *b, const char *s)
{
	return vcr_buf_add(b, s, strlen(s));
}

int vcr_buf_putc(struct vcr_buf *b, char c)
{
	return vcr_buf_add(b, &c, 1);
}

int vcr_buf_vprintf(struct vcr_buf *b, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	char *to = n < 0 ? NULL : vcr_buf_reserve(b, (size_t)n);
	if (to) {
		vsnprintf(to, (size_t)n + 1, fmt, again);
		vcr_buf_added(b, (size_t)n);
	}
	va_end(again);
	return b->err;
}

int vcr_buf_printf(struct vcr_buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vcr_buf_vprintf(b, fmt, ap);
	va_end(ap);
	return b->err;
}

void vcr_buf_drop(struct vcr_buf *b, size_t n)
{
	if (!n)
		return;
	memmove(b->data, b->data + n, b->len - n + 1);
	b->len -= n;
}

void vcr_buf_cut(struct vcr_buf *b, size_t n)
{
	b->len = n;
	if (b->cap)
		b->data[n] = 0;
}

char *vcr_buf_take(struct vcr_buf *b, size_t *len)
{
	if (b->err || (!b->cap && !vcr_buf_reserve(b, 1)))
		return NULL;
	char *p = b->data;
	if (len)
		*len = b->len;
	vcr_buf_init(b, b->max);
	return p;
}

int vcr_buf_hex(struct vcr_buf *b, const void *p, size_t n)
{
	char *to = vcr_buf_reserve(b, 2 * n);
	if (!to)
		return b->err;
	const unsigned char *from = p;
	for (size_t i = 0; i < n; i++) {
		*to++ = "0123456789abcdef"[from[i] >> 4];
		*to++ = "0123456789abcdef"[from[i] & 15];
	}
	vcr_buf_added(b, 2 * n);
	return b->err;
}

int vcr_buf_base64(struct vcr_buf *b, const void *p, size_t n)
{
	enum { STEP = 3 << 20 }; /* EVP counts in int */
	const unsigned char *from = p;
	for (size_t done = 0; done < n && !b->err;) {
		size_t k = n - done < STEP ? n - done : STEP;
		char *to = vcr_buf_reserve(b, (k + 2) / 3 * 4);
		if (!to)
			break;
		vcr_buf_added(b, (size_t)EVP_EncodeBlock((unsigned char *)to, from + done, (int)k));
		done += k;
	}
	return b->err;
}

static int b64_value(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int vcr_buf_unbase64(struct vcr_buf *b, const char *s, size_t n)
{
	size_t before = b->len, pad = 0;
	if (n % 4)
		return VCR_ESYNTAX;
	while (pad < 2 && pad < n && s[n - 1 - pad] == '=')
		pad++;
	char *to = vcr_buf_reserve(b, n / 4 * 3);
	if (!to)
		return b->err;
	for (size_t i = 0; i < n; i += 4) {
		uint32_t v = 0;
		for (size_t k = 0; k < 4; k++) {
			int d = i + k >= n - pad ? 0 : b64_value((unsigned char)s[i + k]);
			if (d < 0) {
				vcr_buf_cut(b, before);
				return VCR_ESYNTAX;
			}
			v = v << 6 | (uint32_t)d;
		}
		*to++ = (char)(v >> 16);
		*to++ = (char)(v >> 8);
		*to++ = (char)v;
	}
	vcr_buf_added(b, n / 4 * 3 - pad);
	return 0;
}
