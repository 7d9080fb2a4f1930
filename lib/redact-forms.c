/* The encodings a secret may appear in: plain, URL-encoded as the common libraries do it, base64 at each of the three alignments,
 * and each of these inside a JSON string, and inside a JSON string inside a JSON string. For a value of letters and digits most of
 * them are equal, and only the distinct ones are reported. */
#include "redact-parts.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct forms {
	struct vcr_buf form[VCR_FORMS_MAX];
	size_t count, least;
};

static void keep(struct forms *f, struct vcr_buf *b)
{
	bool drop = b->err || b->len < f->least || f->count == VCR_FORMS_MAX;
	for (size_t i = 0; i < f->count && !drop; i++)
		drop = f->form[i].len == b->len && !memcmp(f->form[i].data, b->data, b->len);
	if (drop)
		vcr_buf_release(b);
	else
		f->form[f->count++] = *b;
}

static void add_url(struct forms *f, const char *p, size_t n, const char *safe, bool plus, bool upper)
{
	const char *hex = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	struct vcr_buf b = VCR_BUF_INIT;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];
		if ((c < 128 && isalnum(c)) || (c && strchr(safe, c)))
			vcr_buf_putc(&b, (char)c);
		else if (c == ' ' && plus)
			vcr_buf_putc(&b, '+');
		else
			vcr_buf_printf(&b, "%%%c%c", hex[c >> 4], hex[c & 15]);
	}
	keep(f, &b);
}

static void add_urls(struct forms *f, const char *p, size_t n)
{
	/* RFC 3986 unreserved; the same with '/' (Python's quote); encodeURIComponent; WHATWG form encoding */
	static const char *const safe[] = { "-._~", "-._~/", "-_.!~*'()", "*-._" };
	for (int k = 0; k < 16; k++)
		add_url(f, p, n, safe[k >> 2], k & 1, k & 2);
}

/* The characters of the base64 text that depend on the value alone when `skip` bytes stand before it in a group of three. */
static void add_base64(struct forms *f, const char *p, size_t n, size_t skip, bool url)
{
	struct vcr_buf raw = VCR_BUF_INIT, text = VCR_BUF_INIT, b = VCR_BUF_INIT;
	vcr_buf_add(&raw, "\0\0", skip);
	vcr_buf_add(&raw, p, n);
	vcr_buf_base64(&text, raw.data, raw.len);
	size_t first = skip ? skip + 1 : 0, end = (skip + n) * 8 / 6;
	if (!text.err && end > first)
		vcr_buf_add(&b, text.data + first, end - first);
	for (size_t i = 0; url && i < b.len; i++)
		b.data[i] = b.data[i] == '+' ? '-' : b.data[i] == '/' ? '_' : b.data[i];
	keep(f, &b);
	explicit_bzero(raw.data, raw.len);
	vcr_buf_release(&raw);
	vcr_buf_release(&text);
}

enum { SLASH = 1, HTML = 2, PLUS = 4, ASCII = 8, UPPER = 16 };

static void put_u(struct vcr_buf *b, uint32_t cp, unsigned how)
{
	const char *fmt = how & UPPER ? "\\u%04X" : "\\u%04x";
	if (cp >= 0x10000) {
		cp -= 0x10000;
		vcr_buf_printf(b, fmt, 0xd800 + (cp >> 10));
		cp = 0xdc00 + (cp & 0x3ff);
	}
	vcr_buf_printf(b, fmt, cp);
}

/* Decode one UTF-8 character; 0 if it is not one. */
static size_t utf8(const char *p, size_t n, uint32_t *cp)
{
	unsigned char c = (unsigned char)*p;
	size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
	if (!len || len > n)
		return 0;
	*cp = c & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*cp = *cp << 6 | (unsigned char)(p[i] & 0x3f);
	}
	return len;
}

static size_t put_json(struct vcr_buf *b, const char *p, size_t n, unsigned how)
{
	static const char named[] = "\bb\ff\nn\rr\tt";
	char c = *p;
	uint32_t cp;
	const char *at = c ? strchr(named, c) : NULL;
	size_t len;
	if (at && !((at - named) & 1))
		vcr_buf_printf(b, "\\%c", at[1]);
	else if (c == '"' || c == '\\' || (c == '/' && how & SLASH))
		vcr_buf_printf(b, "\\%c", c);
	else if ((unsigned char)c < 32 || (how & HTML && strchr("<>&", c)) || (how & PLUS && strchr("'+", c)))
		put_u(b, (unsigned char)c, how);
	else if ((unsigned char)c >= 128 && how & ASCII && (len = utf8(p, n, &cp))) {
		put_u(b, cp, how);
		return len;
	} else
		vcr_buf_putc(b, c);
	return 1;
}

static void add_json(struct forms *f, const char *p, size_t n, unsigned how)
{
	struct vcr_buf b = VCR_BUF_INIT;
	for (size_t i = 0; i < n;)
		i += put_json(&b, p + i, n - i, how);
	keep(f, &b);
}

static void add_jsons(struct forms *f)
{
	static const unsigned how[] = {
		0, SLASH, ASCII, ASCII | UPPER, SLASH | ASCII, HTML, HTML | ASCII, HTML | PLUS | ASCII | UPPER,
	};
	size_t from = 0;
	for (int level = 0; level < 2; level++) {
		size_t end = f->count;
		for (; from < end; from++)
			for (size_t k = 0; k < sizeof how / sizeof *how; k++)
				add_json(f, f->form[from].data, f->form[from].len, how[k]);
	}
}

int vcr_forms(const char *value, size_t n, size_t least, vcr_form_fn *fn, void *ctx)
{
	struct forms *f = calloc(1, sizeof *f);
	if (!f)
		return VCR_ENOMEM;
	f->least = least;
	struct vcr_buf plain = VCR_BUF_INIT;
	vcr_buf_add(&plain, value, n);
	keep(f, &plain);
	for (size_t skip = 0; skip < 3; skip++) {
		add_base64(f, value, n, skip, false);
		add_base64(f, value, n, skip, true);
	}
	add_urls(f, value, n);
	add_jsons(f);
	int rc = f->count ? 0 : VCR_ENOMEM;
	for (size_t i = 0; i < f->count; i++) {
		if (!rc)
			rc = fn(ctx, f->form[i].data, f->form[i].len);
		explicit_bzero(f->form[i].data, f->form[i].len);
		vcr_buf_release(&f->form[i]);
	}
	free(f);
	return rc;
}
