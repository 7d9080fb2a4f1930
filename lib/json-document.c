/* json-document.c — files that people and other programs write: prices, manifests, the list of golden runs. Nothing hurries there, so it is jsmn that
 * walks them, after the validator has let them pass. */
#include "json-parts.h"
#include <stdlib.h>
#include <string.h>
#define JSMN_STATIC /* and not JSMN_STRICT: the validator is stricter, and strict jsmn refuses NaN and a number alone */
#define JSMN_PARENT_LINKS
#include <jsmn.h>

static struct token token_of(const jsmntok_t *t, const char *text)
{
	enum vcr_json_type type = t->type == JSMN_OBJECT ? VCR_JSON_OBJECT : t->type == JSMN_ARRAY ? VCR_JSON_ARRAY : t->type == JSMN_STRING ? VCR_JSON_STRING :
		vcr_json_scalar_type(text[t->start]);
	return (struct token){ t->start, t->end, t->size, -1, type, type == VCR_JSON_STRING && !memchr(text + t->start, '\\', (size_t)(t->end - t->start)) };
}

/* Siblings have one container. last: of each, the latest child. */
static void link_siblings(const jsmntok_t *t, struct token *tok, int *last, size_t n)
{
	for (size_t i = 0; i < n; i++)
		last[i] = -1;
	for (size_t i = 1; i < n; i++) {
		int around = t[i].parent;
		if (around < 0 || (t[around].type != JSMN_OBJECT && t[around].type != JSMN_ARRAY))
			continue;
		if (last[around] >= 0)
			tok[last[around]].next = (int)i;
		last[around] = (int)i;
	}
}

int vcr_json_document(struct vcr_json *j, const char *text, size_t len, unsigned flags, struct vcr_error *e)
{
	size_t n = 0, at = 0;
	int err = vcr_json_validate(text, len, flags, &n, &at);
	if (err)
		return vcr_error_set(e, err, "JSON: %s at byte %zu", vcr_strerror(err), at);
	jsmntok_t *t = calloc(n, sizeof *t);
	struct token *tok = calloc(n, sizeof *tok);
	int *last = calloc(n, sizeof *last);
	jsmn_parser p;
	jsmn_init(&p);
	bool good = t && tok && last && jsmn_parse(&p, text, len, t, (unsigned)n) == (int)n;
	for (size_t i = 0; good && i < n; i++)
		tok[i] = token_of(&t[i], text);
	if (good)
		link_siblings(t, tok, last, n);
	free(last);
	free(t);
	if (!good) {
		free(tok);
		return vcr_error_set(e, VCR_ENOMEM, "JSON: %s", vcr_strerror(VCR_ENOMEM));
	}
	*j = (struct vcr_json){ text, len, tok, n };
	return 0;
}
