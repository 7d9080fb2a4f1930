/* json-write.c — writing JSON: compact, ASCII, one buffer. */
#include "json.h"
#include "json-plain.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void vcr_jw_init(struct vcr_jw *w, struct vcr_buf *out)
{
	*w = (struct vcr_jw){ .out = out };
	w->first[0] = 1;
}

static uint64_t *level(struct vcr_jw *w, uint64_t *bit)
{
	unsigned d = w->depth % (64 * (sizeof w->first / sizeof *w->first));
	*bit = 1ull << d % 64;
	return &w->first[d / 64];
}

static void before_value(struct vcr_jw *w)
{
	uint64_t bit, *word = level(w, &bit);
	if (w->after_key)
		w->after_key = false;
	else if (*word & bit)
		*word &= ~bit;
	else
		vcr_buf_putc(w->out, ',');
}

static void open_level(struct vcr_jw *w, char c)
{
	uint64_t bit, *word;
	before_value(w);
	vcr_buf_putc(w->out, c);
	w->depth++;
	word = level(w, &bit);
	*word |= bit;
}

static void close_level(struct vcr_jw *w, char c)
{
	uint64_t bit, *word = level(w, &bit);
	*word &= ~bit;
	w->depth--;
	vcr_buf_putc(w->out, c);
}

void vcr_jw_object(struct vcr_jw *w) { open_level(w, '{'); }
void vcr_jw_object_end(struct vcr_jw *w) { close_level(w, '}'); }
void vcr_jw_array(struct vcr_jw *w) { open_level(w, '['); }
void vcr_jw_array_end(struct vcr_jw *w) { close_level(w, ']'); }

static unsigned decode_utf8(const unsigned char *p, int n)
{
	unsigned cp = n == 2 ? p[0] & 0x1fu : n == 3 ? p[0] & 0x0fu : p[0] & 0x07u;
	for (int i = 1; i < n; i++)
		cp = cp << 6 | (p[i] & 0x3fu);
	return cp;
}

static void add_u(struct vcr_buf *out, unsigned v)
{
	static const char hex[] = "0123456789abcdef";
	char s[6] = { '\\', 'u', hex[v >> 12 & 15], hex[v >> 8 & 15], hex[v >> 4 & 15], hex[v & 15] };
	vcr_buf_add(out, s, 6);
}

/* One byte or sequence that cannot stand as it is; returns the bytes it took. */
static int add_escaped(struct vcr_buf *out, const unsigned char *p, const unsigned char *end)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *simple = *p ? memchr(from, *p, 7) : NULL;
	bool more;
	if (simple) {
		char s[2] = { '\\', to[simple - from] };
		vcr_buf_add(out, s, 2);
		return 1;
	}
	if (*p < 0x80) {
		add_u(out, *p);
		return 1;
	}
	int n = vcr_json_utf8_length(p, end, &more);
	if (!n) {
		add_u(out, 0xfffd);
		return 1;
	}
	unsigned cp = decode_utf8(p, n);
	if (cp >= 0x10000) {
		add_u(out, 0xd800 + ((cp - 0x10000) >> 10));
		add_u(out, 0xdc00 + ((cp - 0x10000) & 0x3ff));
	} else {
		add_u(out, cp);
	}
	return n;
}

static void add_string(struct vcr_buf *out, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s, *end = p + n;
	vcr_buf_putc(out, '"');
	while (p < end) {
		const unsigned char *from = p;
		p = vcr_json_skip_plain(p, end);
		vcr_buf_add(out, from, (size_t)(p - from));
		if (p < end)
			p += add_escaped(out, p, end);
	}
	vcr_buf_putc(out, '"');
}

void vcr_jw_strn(struct vcr_jw *w, const char *s, size_t n)
{
	before_value(w);
	add_string(w->out, s, n);
}

void vcr_jw_key(struct vcr_jw *w, const char *key)
{
	vcr_jw_strn(w, key, strlen(key));
	vcr_buf_putc(w->out, ':');
	w->after_key = true;
}

void vcr_jw_raw(struct vcr_jw *w, const char *json, size_t n)
{
	before_value(w);
	vcr_buf_add(w->out, json, n);
}

void vcr_jw_null(struct vcr_jw *w) { vcr_jw_raw(w, "null", 4); }
void vcr_jw_bool(struct vcr_jw *w, bool v) { vcr_jw_raw(w, v ? "true" : "false", v ? 4 : 5); }

void vcr_jw_str(struct vcr_jw *w, const char *s)
{
	if (s)
		vcr_jw_strn(w, s, strlen(s));
	else
		vcr_jw_null(w);
}

void vcr_jw_int(struct vcr_jw *w, int64_t v)
{
	char s[24], *p = s + sizeof s;
	uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	do
		*--p = (char)('0' + left % 10);
	while (left /= 10);
	if (v < 0)
		*--p = '-';
	vcr_jw_raw(w, p, (size_t)(s + sizeof s - p));
}

/* Thousandths, as milliseconds and dollars mostly are: their digits are known without trying. */
static bool write_thousandths(struct vcr_jw *w, double v)
{
	int64_t k = v >= 0.001 && v < 1e5 ? (int64_t)(v * 1000 + 0.5) : 0;
	if (!k || (double)k / 1000 != v)
		return false;
	char s[16] = { 0 }, *p = s + sizeof s;
	*--p = (char)('0' + k % 10);
	*--p = (char)('0' + k / 10 % 10);
	*--p = (char)('0' + k / 100 % 10);
	*--p = '.';
	for (k /= 1000; k || s + sizeof s - p == 4; k /= 10)
		*--p = (char)('0' + k % 10);
	size_t n = (size_t)(s + sizeof s - p);
	while (p[n - 1] == '0' && p[n - 2] != '.')
		n--;
	vcr_jw_raw(w, p, n);
	return true;
}

void vcr_jw_double(struct vcr_jw *w, double v)
{
	char s[40];
	if (!isfinite(v)) {
		vcr_jw_null(w);
		return;
	}
	if (write_thousandths(w, v))
		return;
	int n = 0;
	for (int digits_wanted = 6; digits_wanted <= 17; digits_wanted++) {
		n = snprintf(s, sizeof s, "%.*g", digits_wanted, v);
		if (strtod(s, NULL) == v)
			break;
	}
	if (!strpbrk(s, ".e"))
		n += snprintf(s + n, sizeof s - (size_t)n, ".0");
	vcr_jw_raw(w, s, (size_t)n);
}

static const unsigned char *skip_ascii(const unsigned char *p, const unsigned char *end)
{
	for (uint64_t v; end - p >= 8; p += 8) {
		memcpy(&v, p, 8);
		if (v & 0x8080808080808080ull)
			break;
	}
	while (p < end && *p < 0x80)
		p++;
	return p;
}

/* A string of a document: escapes stay, raw sequences become escapes. Nothing is decoded, so lone surrogates survive. */
static void add_json_string(struct vcr_jw *w, const struct vcr_json *j, int v)
{
	size_t n;
	const unsigned char *at = (const unsigned char *)vcr_json_raw(j, v, &n), *end = at + n;
	before_value(w);
	while (at < end) {
		const unsigned char *from = at;
		at = skip_ascii(at, end);
		vcr_buf_add(w->out, from, (size_t)(at - from));
		if (at < end)
			at += add_escaped(w->out, at, end);
	}
}

void vcr_jw_value(struct vcr_jw *w, const struct vcr_json *j, int v)
{
	size_t n;
	const char *p;
	switch (vcr_json_type(j, v)) {
	case VCR_JSON_OBJECT:
		vcr_jw_object(w);
		for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m)) {
			add_json_string(w, j, m);
			vcr_buf_putc(w->out, ':');
			w->after_key = true;
			vcr_jw_value(w, j, vcr_json_value(j, m));
		}
		vcr_jw_object_end(w);
		break;
	case VCR_JSON_ARRAY:
		vcr_jw_array(w);
		for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m))
			vcr_jw_value(w, j, m);
		vcr_jw_array_end(w);
		break;
	case VCR_JSON_STRING:
		add_json_string(w, j, v);
		break;
	case VCR_JSON_NONE:
		vcr_jw_null(w);
		break;
	default:
		p = vcr_json_raw(j, v, &n);
		if (memchr(p, 'N', n) || memchr(p, 'I', n))
			vcr_jw_null(w);
		else
			vcr_jw_raw(w, p, n);
	}
}
