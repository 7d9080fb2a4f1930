/* oracle.h — a second opinion on where the values of a JSON text stand: jsmn's. Both number them in the order in which they begin. */
#ifndef VCR_ORACLE_H
#define VCR_ORACLE_H
#include "json.h"
#include <stdlib.h>
#define JSMN_STATIC /* and not JSMN_STRICT, which refuses NaN and a number alone: j is a valid text */
#include <jsmn.h>

static bool same_token(const struct vcr_json *j, int v, const jsmntok_t *t)
{
	size_t n;
	const char *raw = vcr_json_raw(j, v, &n);
	enum vcr_json_type type = vcr_json_type(j, v);
	int quotes = type == VCR_JSON_STRING;
	jsmntype_t theirs = type == VCR_JSON_OBJECT ? JSMN_OBJECT : type == VCR_JSON_ARRAY ? JSMN_ARRAY : type == VCR_JSON_STRING ? JSMN_STRING : JSMN_PRIMITIVE;
	bool sized = theirs != JSMN_OBJECT && theirs != JSMN_ARRAY ? (vcr_json_value(j, v) >= 0) == t->size : vcr_json_count(j, v) == t->size;
	return t->type == theirs && sized && raw - j->text + quotes == t->start && raw - j->text + (ptrdiff_t)n - quotes == t->end;
}

/* The first value that jsmn has elsewhere, or -1. */
static int differs_from_jsmn(const struct vcr_json *j)
{
	jsmntok_t *t = malloc((j->ntok + 1) * sizeof *t);
	jsmn_parser p;
	jsmn_init(&p);
	int n = t ? jsmn_parse(&p, j->text, j->len, t, (unsigned)j->ntok + 1) : 0, v = 0;
	while (v < n && v < (int)j->ntok && same_token(j, v, &t[v]))
		v++;
	free(t);
	return n == (int)j->ntok && v == n ? -1 : v;
}
#endif
