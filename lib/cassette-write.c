/* cassette-write.c — vcrpy's YAML. Every text is a double-quoted scalar on one line: what YAML makes of it depends on nothing around it. */
#include "cassette.h"
#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* One character of UTF-8 at p; its length, 0 if it is none (overlong, a surrogate, beyond Unicode). */
static size_t character(const unsigned char *p, size_t n, unsigned *cp)
{
	size_t len = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;
	if (!len || len > n)
		return 0;
	*cp = len == 1 ? *p : *p & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*cp = *cp << 6 | (p[i] & 0x3f);
	}
	static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	return *cp < least[len] || (*cp >= 0xd800 && *cp < 0xe000) || *cp > 0x10ffff ? 0 : len;
}

static bool is_text(const char *p, size_t n)
{
	unsigned cp;
	for (size_t i = 0, k; i < n; i += k)
		if (!(k = character((const unsigned char *)p + i, n - i, &cp)))
			return false;
	return true;
}

/* What YAML's readers take as it is, and people read. */
static bool is_plain(unsigned cp)
{
	return (cp >= 0x20 && cp < 0x7f && cp != '"' && cp != '\\') || (cp >= 0xa1 && cp < 0x2000) || (cp >= 0x2030 && cp < 0xd800) || (cp >= 0xf900 && cp < 0xfe00) ||
		(cp >= 0x1f300 && cp < 0x1fb00);
}

static void put_text(struct vcr_buf *out, const char *p, size_t n)
{
	unsigned cp = 0;
	size_t done = 0;
	vcr_buf_putc(out, '"');
	for (size_t i = 0, k; i < n && (k = character((const unsigned char *)p + i, n - i, &cp)); i += k) {
		if (is_plain(cp))
			continue;
		vcr_buf_add(out, p + done, i - done);
		done = i + k;
		if (cp == '"' || cp == '\\')
			vcr_buf_printf(out, "\\%c", (char)cp);
		else if (cp == '\n' || cp == '\t' || cp == '\r')
			vcr_buf_printf(out, "\\%c", cp == '\n' ? 'n' : cp == '\t' ? 't' : 'r');
		else
			vcr_buf_printf(out, cp < 0x100 ? "\\x%02X" : cp < 0x10000 ? "\\u%04X" : "\\U%08X", cp);
	}
	vcr_buf_add(out, p + done, n - done);
	vcr_buf_putc(out, '"');
}

static void put_bytes(struct vcr_buf *out, const char *p, size_t n)
{
	if (is_text(p, n)) {
		put_text(out, p, n);
		return;
	}
	vcr_buf_puts(out, "!!binary \"");
	vcr_buf_base64(out, p, n);
	vcr_buf_putc(out, '"');
}

static void put_fields(struct vcr_buf *out, const struct vcr_http1_field *f, size_t n)
{
	vcr_buf_puts(out, n ? "    headers:\n" : "    headers: {}\n");
	for (size_t i = 0; i < n; i++) {
		bool before = false;
		for (size_t k = 0; k < i && !before; k++)
			before = !strcasecmp(f[k].name, f[i].name);
		if (before)
			continue;
		vcr_buf_puts(out, "      ");
		put_bytes(out, f[i].name, strlen(f[i].name));
		vcr_buf_puts(out, ":\n");
		for (size_t k = i; k < n; k++) {
			if (strcasecmp(f[k].name, f[i].name))
				continue;
			vcr_buf_puts(out, "      - ");
			put_bytes(out, f[k].value, strlen(f[k].value));
			vcr_buf_putc(out, '\n');
		}
	}
}

void vcr_cassette_write_head(struct vcr_buf *out)
{
	vcr_buf_puts(out, "interactions:\n");
}

void vcr_cassette_write(struct vcr_buf *out, const struct vcr_taped *x)
{
	vcr_buf_puts(out, "- request:\n    body: ");
	if (x->nreq_body)
		put_bytes(out, x->req_body, x->nreq_body);
	else
		vcr_buf_puts(out, "null");
	vcr_buf_putc(out, '\n');
	put_fields(out, x->req_field, x->nreq_field);
	vcr_buf_puts(out, "    method: ");
	put_bytes(out, x->method, strlen(x->method));
	vcr_buf_puts(out, "\n    uri: ");
	put_bytes(out, x->url, strlen(x->url));
	vcr_buf_puts(out, "\n  response:\n    body:\n      string: ");
	put_bytes(out, x->res_body, x->nres_body);
	vcr_buf_putc(out, '\n');
	put_fields(out, x->res_field, x->nres_field);
	vcr_buf_printf(out, "    status:\n      code: %d\n      message: ", x->status);
	put_bytes(out, x->reason ? x->reason : "", x->reason ? strlen(x->reason) : 0);
	vcr_buf_putc(out, '\n');
}

void vcr_cassette_write_tail(struct vcr_buf *out)
{
	vcr_buf_puts(out, "version: 1\n");
}
