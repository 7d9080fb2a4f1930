#include "canon.h"
#include "redact.h"
#include "sha256.h"
#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct member {
	char *key;
	size_t len;
	int token;
};

static int by_key(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int c = memcmp(x->key, y->key, x->len < y->len ? x->len : y->len);
	return c ? c : x->len < y->len ? -1 : x->len > y->len ? 1 : x->token - y->token;
}

static int write_value(struct vcr_jw *w, const struct vcr_json *j, int v);

static int write_object(struct vcr_jw *w, const struct vcr_json *j, int v)
{
	size_t n = (size_t)vcr_json_count(j, v), i = 0;
	struct member *m = n ? calloc(n, sizeof *m) : NULL;
	int err = n && !m ? VCR_ENOMEM : 0;
	for (int k = vcr_json_first(j, v); k >= 0 && !err; k = vcr_json_next(j, k), i++) {
		struct vcr_buf key = VCR_BUF_INIT;
		vcr_json_str(j, k, &key);
		m[i] = (struct member){ NULL, key.len, k };
		if (!(m[i].key = vcr_buf_take(&key, NULL)))
			err = VCR_ENOMEM;
	}
	if (m)
		qsort(m, i, sizeof *m, by_key);
	vcr_jw_object(w);
	for (size_t k = 0; k < i && !err; k++) {
		vcr_jw_strn(w, m[k].key, m[k].len);
		vcr_buf_putc(w->out, ':');
		w->after_key = true;
		err = write_value(w, j, vcr_json_value(j, m[k].token));
	}
	vcr_jw_object_end(w);
	for (size_t k = 0; k < i; k++)
		free(m[k].key);
	free(m);
	return err;
}

/* A string by its value: \u0041 and A are the same. */
static void write_string(struct vcr_jw *w, const struct vcr_json *j, int v)
{
	size_t n;
	const char *raw = vcr_json_raw(j, v, &n);
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	if (!memchr(raw, '\\', n)) {
		vcr_jw_strn(w, raw + 1, n - 2);
		return;
	}
	vcr_json_str(j, v, &s);
	vcr_jw_strn(w, s.data, s.len);
}

static int write_value(struct vcr_jw *w, const struct vcr_json *j, int v)
{
	int err = 0;
	switch (vcr_json_type(j, v)) {
	case VCR_JSON_OBJECT:
		return write_object(w, j, v);
	case VCR_JSON_ARRAY:
		vcr_jw_array(w);
		for (int m = vcr_json_first(j, v); m >= 0 && !err; m = vcr_json_next(j, m))
			err = write_value(w, j, m);
		vcr_jw_array_end(w);
		return err;
	case VCR_JSON_STRING:
		write_string(w, j, v);
		return 0;
	default:
		vcr_jw_value(w, j, v);
		return 0;
	}
}

int vcr_canon_json(const struct vcr_json *j, int v, struct vcr_buf *out)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	int err = write_value(&w, j, v);
	return err ? err : out->err;
}

static void write_hex(const unsigned char hash[VCR_SHA256], char out[VCR_KEY_LEN])
{
	for (unsigned i = 0; i < VCR_SHA256; i++) {
		out[2 * i] = "0123456789abcdef"[hash[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[hash[i] & 15];
	}
	out[2 * VCR_SHA256] = 0;
}

void vcr_sha256_hex(const void *p, size_t n, char out[VCR_KEY_LEN])
{
	unsigned char hash[VCR_SHA256] = { 0 };
	vcr_sha256(p, n, hash);
	write_hex(hash, out);
}

/* ---- What a session adds to a request by itself ---- */

enum { NUMBERS = 1024, NUMBER_DIGITS = 9, LABEL = 48 };
static const char secret_open[] = "{{vcr:secret:";

/* Session numbers of the secrets met so far; their position is their number in the request. */
struct numbers { uint32_t of[NUMBERS]; size_t n; };

/* Length of the placeholder at p, 0 if there is none; *number: its N. */
static size_t placeholder(const char *p, size_t n, uint32_t *number)
{
	size_t i = sizeof secret_open - 1, digits = i;
	if (n <= i || memcmp(p, secret_open, i))
		return 0;
	for (*number = 0; i < n && isdigit((unsigned char)p[i]) && i < digits + NUMBER_DIGITS; i++)
		*number = *number * 10 + (uint32_t)(p[i] - '0');
	if (i == digits || i == n || p[i] != ':')
		return 0;
	size_t name = ++i;
	while (i < n && i < name + LABEL && (isupper((unsigned char)p[i]) || isdigit((unsigned char)p[i]) || p[i] == '_'))
		i++;
	return n - i >= 2 && p[i] == '}' && p[i + 1] == '}' ? i + 2 : 0;
}

static size_t number_of(struct numbers *s, uint32_t number)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->of[i] == number)
			return i + 1;
	if (s->n == NUMBERS)
		return 0; /* told apart no further */
	s->of[s->n++] = number;
	return s->n;
}

/* Where a placeholder may begin, or NULL. */
static const char *next_open(const char *p, size_t n)
{
	for (const char *end = p + n; (p = memchr(p, '{', (size_t)(end - p))); p++)
		if (end - p > (ptrdiff_t)sizeof secret_open && p[1] == '{' && !memcmp(p, secret_open, sizeof secret_open - 1))
			return p;
	return NULL;
}

static int renumber(struct numbers *s, const char *p, size_t n, struct vcr_buf *out)
{
	for (size_t done = 0; done < n;) {
		uint32_t number;
		const char *at = next_open(p + done, n - done);
		size_t before = at ? (size_t)(at - p) - done : n - done, len = at ? placeholder(at, n - done - before, &number) : 0;
		vcr_buf_add(out, p + done, before + (at && !len));
		if (len)
			vcr_buf_printf(out, "{{vcr:secret:%zu}}", number_of(s, number));
		done += before + (len ? len : at != NULL);
	}
	return out->err;
}

int vcr_canon_placeholders(const char *p, size_t n, struct vcr_buf *out)
{
	struct numbers s = { .n = 0 };
	return renumber(&s, p, n, out);
}

/* The path and query, credentials left out. */
static void add_target(struct numbers *s, const char *target, struct vcr_buf *out)
{
	const char *scheme = strstr(target, "://");
	if (scheme && *target != '/' && scheme - target < 8) {
		target = scheme + 3 + strcspn(scheme + 3, "/?");
		if (*target != '/')
			vcr_buf_putc(out, '/');
	}
	size_t path = strcspn(target, "?");
	renumber(s, target, path, out);
	for (const char *p = target + path; *p;) {
		size_t n = 1 + strcspn(p + 1, "&");
		const char *eq = memchr(p, '=', n);
		if (eq && vcr_redact_is_credential_parameter(p + 1, (size_t)(eq - p - 1)))
			vcr_buf_add(out, p, (size_t)(eq + 1 - p));
		else
			renumber(s, p, n, out);
		p += n;
	}
}

/* "METHOD /path?query\n" */
static void add_head(struct numbers *s, const char *method, const char *target, struct vcr_buf *out)
{
	vcr_buf_printf(out, "%s ", method);
	add_target(s, target, out);
	vcr_buf_putc(out, '\n');
}

static void write_k0(const char *method, const char *target, const char *body, size_t n, struct vcr_buf *out)
{
	struct numbers s;
	s.n = 0; /* the rest is 4 KiB that need not be cleared */
	add_head(&s, method, target, out);
	renumber(&s, body, n, out);
}

static void write_k1(const char *method, const char *target, const char *body, size_t n, const struct vcr_json *j, struct vcr_buf *out)
{
	VCR_AUTO_BUF canonical = VCR_BUF_INIT;
	struct numbers s;
	s.n = 0; /* numbered apart from K0: the canonical form may have another order */
	add_head(&s, method, target, out);
	if (j && !vcr_canon_json(j, 0, &canonical))
		renumber(&s, canonical.data, canonical.len, out);
	else
		renumber(&s, body, n, out);
}

void vcr_canon_k0(const char *method, const char *target, const char *body, size_t n, char k0[VCR_KEY_LEN])
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	write_k0(method, target, body, n, &b);
	vcr_sha256_hex(b.data, b.len, k0);
}

void vcr_canon_k1(const char *method, const char *target, const char *body, size_t n, const struct vcr_json *j, char k1[VCR_KEY_LEN])
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	write_k1(method, target, body, n, j, &b);
	vcr_sha256_hex(b.data, b.len, k1);
}

void vcr_canon_keys(struct vcr_prehash *h, const char *method, const char *target, const char *body, size_t n, const struct vcr_json *j, char k0[VCR_KEY_LEN],
	char k1[VCR_KEY_LEN])
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	unsigned char hash[VCR_SHA256] = { 0 };
	write_k0(method, target, body, n, &b);
	vcr_prehash(h, b.data, b.len, hash);
	write_hex(hash, k0);
	vcr_buf_reset(&b);
	write_k1(method, target, body, n, j, &b);
	vcr_prehash(h, b.data, b.len, hash);
	write_hex(hash, k1);
}
