#include "grpc.h"
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PREFIX = 5, VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5, MODEL_MAX = 200 };

bool vcr_grpc_is(const char *type)
{
	static const char word[] = "application/grpc";
	size_t n = sizeof word - 1;
	return type && !strncasecmp(type, word, n) && (!type[n] || strchr("+-; \t", type[n]));
}

static size_t length_at(const unsigned char *u)
{
	return (size_t)u[1] << 24 | (size_t)u[2] << 16 | (size_t)u[3] << 8 | u[4];
}

bool vcr_grpc_looks(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;
	bool any = n > PREFIX;
	while (n > PREFIX && *u <= 1) {
		size_t left = n - PREFIX, length = length_at(u) < left ? length_at(u) : left;
		u += PREFIX + length;
		n = left - length;
	}
	return any && (!n || (n <= PREFIX && *u <= 1));
}

static const char *field_of(const char *name, const struct vcr_http1_field *trailer, size_t ntrailer, const struct vcr_http1_field *head, size_t nhead)
{
	const char *v = vcr_http1_field(trailer, ntrailer, name);
	return v ? v : vcr_http1_field(head, nhead, name);
}

int vcr_grpc_status(const struct vcr_http1_field *trailer, size_t ntrailer, const struct vcr_http1_field *head, size_t nhead)
{
	const char *v = field_of("grpc-status", trailer, ntrailer, head, nhead);
	return v && *v && strlen(v) <= 3 && strspn(v, "0123456789") == strlen(v) ? atoi(v) : -1;
}

const char *vcr_grpc_status_name(int status)
{
	static const char *const name[] = { "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED" };
	return status >= 0 && (size_t)status < sizeof name / sizeof *name ? name[status] : "UNKNOWN";
}

static int digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

int vcr_grpc_message(const struct vcr_http1_field *trailer, size_t ntrailer, const struct vcr_http1_field *head, size_t nhead, struct vcr_buf *out)
{
	const char *p = field_of("grpc-message", trailer, ntrailer, head, nhead);
	for (; p && *p; p++) {
		int a = *p == '%' ? digit(p[1]) : -1, b = a >= 0 ? digit(p[2]) : -1;
		vcr_buf_putc(out, b >= 0 ? (char)(a << 4 | b) : *p);
		p += b >= 0 ? 2 : 0;
	}
	return out->err;
}

int vcr_grpc_escape(const char *words, struct vcr_buf *out)
{
	for (const unsigned char *p = (const unsigned char *)words; *p; p++)
		if (*p < ' ' || *p > '~' || *p == '%')
			vcr_buf_printf(out, "%%%02X", *p);
		else
			vcr_buf_putc(out, (char)*p);
	return out->err;
}

bool vcr_grpc_is_side(const char *path, size_t n)
{
	static const char *const begins[] = { "Count", "Get", "List" };
	const char *slash = memrchr(path, '/', n);
	const char *method = slash ? slash + 1 : path;
	size_t left = n - (size_t)(method - path);
	for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
		if (left > strlen(begins[i]) && !memcmp(method, begins[i], strlen(begins[i])))
			return true;
	return false;
}

/* ---- Protocol Buffers ---- */

struct bytes { const unsigned char *p; size_t n; };

/* False: there is none, or it is longer than any. */
static bool varint(struct bytes *b, uint64_t *v)
{
	*v = 0;
	for (unsigned shift = 0; b->n && shift < 64; shift += 7) {
		unsigned char c = *b->p++;
		b->n--;
		*v |= (uint64_t)(c & 127) << shift;
		if (c < 128)
			return true;
	}
	return false;
}

/* The next field; what it holds if that is bytes. */
static bool next_field(struct bytes *b, struct bytes *value)
{
	uint64_t tag, n;
	*value = (struct bytes){ b->p, 0 };
	if (!varint(b, &tag))
		return false;
	switch (tag & 7) {
	case VARINT: return varint(b, &n);
	case FIXED64: n = 8; break;
	case FIXED32: n = 4; break;
	case BYTES:
		if (!varint(b, &n))
			return false;
		break;
	default: return false; /* groups are of nobody's who asks models */
	}
	if (n > b->n)
		return false;
	if ((tag & 7) == BYTES)
		*value = (struct bytes){ b->p, (size_t)n };
	b->p += n;
	b->n -= (size_t)n;
	return true;
}

static bool is_name(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!p[i] || (!isalnum(p[i]) && !strchr("-._:@", p[i])))
			return false;
	return n;
}

int vcr_grpc_model(const char *body, size_t n, struct vcr_buf *out)
{
	static const char word[] = "models/";
	const unsigned char *u = (const unsigned char *)body;
	struct bytes b, v;
	if (n < PREFIX || *u)
		return 1;
	size_t length = length_at(u);
	b = (struct bytes){ u + PREFIX, length < n - PREFIX ? length : n - PREFIX };
	while (next_field(&b, &v)) {
		const unsigned char *at = v.n <= MODEL_MAX && v.n ? memmem(v.p, v.n, word, sizeof word - 1) : NULL;
		const unsigned char *name = at ? at + sizeof word - 1 : NULL;
		size_t k = at ? v.n - (size_t)(name - v.p) : 0;
		if (at && (at == v.p || at[-1] == '/') && is_name(name, k))
			return vcr_buf_add(out, name, k);
	}
	return 1;
}
