#include "normal-user.h"
#include "canon.h"
#include "normal.h"
#include "normal-order.h"
#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 16, NAME = 32, PATTERN = 200, COUNTS = 1000, WINDOW = 1024, OVERLAP = 256, NS_PER_BYTE = 100 };
#define FREE_NS ((int64_t)1000000000)

struct one {
	char name[NAME + 1], version[9];
	regex_t re;
	int64_t ns, bytes;          /* what it has taken, for how much */
	bool given_up, told;
};
struct vcr_normal_user { struct one one[MOST]; size_t n; };

/* ---- Definitions ---- */

static bool is_name(const char *s, size_t n)
{
	if (!n || n > NAME || !islower((unsigned char)*s))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)s[i]) && !isdigit((unsigned char)s[i]) && s[i] != '-')
			return false;
	for (const struct vcr_normaliser *m = vcr_normalisers; m->name; m++)
		if (strlen(m->name) == n && !memcmp(m->name, s, n))
			return false;
	return n != strlen(VCR_NORMAL_ORDER_NAME) || memcmp(VCR_NORMAL_ORDER_NAME, s, n);
}

/* What makes an expression large when it is compiled, or slow whatever the text. */
static const char *is_too_much(const char *re)
{
	long counts = 1;
	if (strlen(re) > PATTERN)
		return "longer than 200 bytes";
	for (const char *p = re; *p; p++) {
		if (*p == '\\' && p[1]) {
			if (isdigit((unsigned char)*++p))
				return "back-references are not supported";
		} else if (*p == '{' && isdigit((unsigned char)p[1])) {
			char *end;
			long n = strtol(p + 1, &end, 10);
			if (*end == ',' && isdigit((unsigned char)end[1]))
				n = strtol(end + 1, &end, 10);
			if (n < 0 || n > COUNTS || (counts *= n > 1 ? n : 1) > COUNTS)
				return "its counts multiply to more than 1000";
		}
	}
	return NULL;
}

static int compile(struct one *o, const char *definition, struct vcr_error *e)
{
	size_t n = strcspn(definition, " \t");
	const char *re = definition + n + strspn(definition + n, " \t");
	char hex[VCR_KEY_LEN], why[120];
	if (!is_name(definition, n))
		return vcr_error_set(e, VCR_EINVAL, "'%.40s': a normaliser's name is of small letters, digits and '-', 32 at most, and none of the built-in ones", definition);
	if (!*re)
		return vcr_error_set(e, VCR_EINVAL, "the normaliser %.*s has no expression", (int)n, definition);
	const char *much = is_too_much(re);
	if (much)
		return vcr_error_set(e, VCR_EINVAL, "the expression of the normaliser %.*s is refused: %s", (int)n, definition, much);
	int err = regcomp(&o->re, re, REG_EXTENDED);
	if (err) {
		regerror(err, &o->re, why, sizeof why);
		return vcr_error_set(e, VCR_EINVAL, "the expression of the normaliser %.*s is none: %s", (int)n, definition, why);
	}
	snprintf(o->name, sizeof o->name, "%.*s", (int)n, definition);
	vcr_sha256_hex(re, strlen(re), hex);
	snprintf(o->version, sizeof o->version, "%.8s", hex);
	return 0;
}

int vcr_normal_user_check(const char *definition, struct vcr_error *e)
{
	struct one o = { .name = "" };
	int err = compile(&o, definition, e);
	if (!err)
		regfree(&o.re);
	return err;
}

int vcr_normal_user_new(struct vcr_normal_user **out, char *const *definitions, struct vcr_error *e)
{
	*out = NULL;
	if (!definitions || !*definitions)
		return 0;
	struct vcr_normal_user *u = calloc(1, sizeof *u);
	if (!u)
		return vcr_error_set(e, VCR_ENOMEM, "normalisers: out of memory");
	for (; *definitions; definitions++) {
		int err = u->n == MOST ? vcr_error_set(e, VCR_ELIMIT, "more than %d normalisers", MOST) : compile(&u->one[u->n], *definitions, e);
		for (size_t i = 0; !err && i < u->n; i++)
			if (!strcmp(u->one[i].name, u->one[u->n].name)) {
				regfree(&u->one[u->n].re);
				err = vcr_error_set(e, VCR_EINVAL, "two normalisers are called %s", u->one[i].name);
			}
		if (err) {
			vcr_normal_user_free(u);
			return err;
		}
		u->n++;
	}
	*out = u;
	return 0;
}

void vcr_normal_user_free(struct vcr_normal_user *u)
{
	for (size_t i = 0; u && i < u->n; i++)
		regfree(&u->one[i].re);
	free(u);
}

/* ---- Searching ---- */

static int64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The first match that begins in p[from..to) of the line p[line..end). */
static bool search(struct one *o, const char *p, size_t line, size_t from, size_t to, size_t end, struct vcr_normal_span *s)
{
	regmatch_t m = { .rm_so = (regoff_t)(from - line), .rm_eo = (regoff_t)(to - line) }; /* so "^" is the line's beginning */
	int64_t before = cpu_ns();
	bool found = !regexec(&o->re, p + line, 1, &m, REG_STARTEND | (to < end ? REG_NOTEOL : 0));
	o->ns += cpu_ns() - before;
	o->bytes += (int64_t)(to - from);
	o->given_up = o->ns > FREE_NS + o->bytes * NS_PER_BYTE;
	if (found)
		*s = (struct vcr_normal_span){ line + (size_t)m.rm_so, (size_t)(m.rm_eo - m.rm_so), o->name };
	return found && !o->given_up;
}

static void find_in_line(struct one *o, const char *p, size_t line, size_t end, struct vcr_buf *spans)
{
	for (size_t from = line; from < end && !o->given_up;) {
		size_t to = end - from > WINDOW ? from + WINDOW : end, last = to < end ? to - OVERLAP : end;
		struct vcr_normal_span s;
		if (!search(o, p, line, from, to, end, &s) || s.at >= last) {
			from = last; /* what begins behind it is looked at with more of what follows */
		} else if (s.len) {
			vcr_buf_add(spans, &s, sizeof s);
			from = s.at + s.len;
		} else {
			from = s.at + 1;
		}
	}
}

static int by_place(const void *a, const void *b)
{
	const struct vcr_normal_span *x = a, *y = b;
	return x->at != y->at ? (x->at < y->at ? -1 : 1) : (x->name > y->name) - (x->name < y->name); /* names lie in the order of definition */
}

static size_t without_overlaps(struct vcr_normal_span *s, size_t n)
{
	size_t kept = 0, end = 0;
	for (size_t i = 0; i < n; i++)
		if (s[i].at >= end) {
			end = s[i].at + s[i].len;
			s[kept++] = s[i];
		}
	return kept;
}

int vcr_normal_user_find(struct vcr_normal_user *u, const char *p, size_t n, struct vcr_buf *spans)
{
	size_t before = spans->len;
	for (size_t i = 0; u && i < u->n; i++)
		for (size_t line = 0; line < n && !u->one[i].given_up;) {
			const char *nl = memchr(p + line, '\n', n - line);
			size_t end = nl ? (size_t)(nl - p) : n;
			find_in_line(&u->one[i], p, line, end, spans);
			line = end + 1;
		}
	if (spans->err || spans->len == before)
		return spans->err;
	struct vcr_normal_span *s = (struct vcr_normal_span *)(spans->data + before);
	size_t count = (spans->len - before) / sizeof *s;
	qsort(s, count, sizeof *s, by_place);
	vcr_buf_cut(spans, before + without_overlaps(s, count) * sizeof *s);
	return 0;
}

int vcr_normal_user_names(const struct vcr_normal_user *u, struct vcr_buf *out)
{
	for (size_t i = 0; u && i < u->n; i++)
		vcr_buf_printf(out, " %s/%s", u->one[i].name, u->one[i].version);
	return out->err;
}

const char *vcr_normal_user_take_given_up(struct vcr_normal_user *u)
{
	for (size_t i = 0; u && i < u->n; i++)
		if (u->one[i].given_up && !u->one[i].told) {
			u->one[i].told = true;
			return u->one[i].name;
		}
	return NULL;
}
