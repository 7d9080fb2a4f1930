#include "buf.h"
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

/* Without room for n more: make it. */
static char *grow(struct vcr_buf *b, size_t n)
{
	size_t max = b->max ? b->max : DEFAULT_MAX;
	if (b->err)
		return NULL;
	if (n > max || b->len > max - n) {
		b->err = VCR_ELIMIT;
		return NULL;
	}
	size_t need = b->len + n + 1, cap = b->cap + b->cap / 2;
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

/* Is there room for n more bytes and the NUL behind them, and within max? */
static inline bool has_room(const struct vcr_buf *b, size_t n)
{
	return !b->err && b->cap > b->len && n < b->cap - b->len && (!b->max || n <= b->max - b->len);
}

char *vcr_buf_reserve(struct vcr_buf *b, size_t n)
{
	return has_room(b, n) ? b->data + b->len : grow(b, n);
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
	char *to = has_room(b, n) ? b->data + b->len : grow(b, n);
	if (to) {
		memcpy(to, p, n);
		to[n] = 0;
		b->len += n;
	}
	return b->err;
}

int vcr_buf_puts(struct vcr_buf *b, const char *s)
{
	return vcr_buf_add(b, s, strlen(s));
}

int vcr_buf_putc(struct vcr_buf *b, char c)
{
	char *to = has_room(b, 1) ? b->data + b->len : grow(b, 1);
	if (to) {
		to[0] = c;
		to[1] = 0;
		b->len++;
	}
	return b->err;
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

/* Two characters for each twelve bits. */
static const char (*base64_pairs(void))[2]
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static char pair[4096][2];
	static bool ready;
	if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) {
		for (unsigned i = 0; i < 4096; i++) { /* two threads that meet here write the same */
			pair[i][0] = digit[i >> 6];
			pair[i][1] = digit[i & 63];
		}
		__atomic_store_n(&ready, true, __ATOMIC_RELEASE);
	}
	return pair;
}

int vcr_buf_base64(struct vcr_buf *b, const void *p, size_t n)
{
	const char (*pair)[2] = base64_pairs();
	const unsigned char *from = p;
	char *to = n > SIZE_MAX / 2 ? NULL : vcr_buf_reserve(b, (n + 2) / 3 * 4);
	if (!to)
		return b->err;
	size_t i = 0;
	for (; i + 3 <= n; i += 3, to += 4) {
		unsigned v = (unsigned)from[i] << 16 | (unsigned)from[i + 1] << 8 | from[i + 2];
		memcpy(to, pair[v >> 12], 2);
		memcpy(to + 2, pair[v & 4095], 2);
	}
	if (i < n) {
		unsigned v = (unsigned)from[i] << 16 | (i + 1 < n ? (unsigned)from[i + 1] << 8 : 0);
		memcpy(to, pair[v >> 12], 2);
		to[2] = i + 1 < n ? pair[v & 4095][0] : '=';
		to[3] = '=';
	}
	vcr_buf_added(b, (n + 2) / 3 * 4);
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
