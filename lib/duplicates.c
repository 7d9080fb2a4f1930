/* Functions whose body stands in two places. */
#include "sentinel-scan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAME = 30, RENAMED = 60, PLACES = 64 };

struct body { uint64_t hash; uint32_t file, function; };

static int by_hash(const void *a, const void *b)
{
	const struct body *x = a, *y = b;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return x->function < y->function ? -1 : x->function > y->function;
}

static const struct vcr_scanned_function *function_of(const struct vcr_scanned *s, const struct body *b)
{
	return &s->file[b->file].function[b->function];
}

static int say_duplicate(const struct vcr_policy *p, const struct vcr_scanned *s, const struct body *first, const struct body *again, bool same, struct vcr_findings *out)
{
	const struct vcr_scanned_function *a = function_of(s, first), *b = function_of(s, again);
	char words[700];
	snprintf(words, sizeof words, "%.150s() %s %.150s() in %.200s:%u: use that one", b->name, same ? "has the same body as" : "has, but for names, the same body as", a->name,
		s->file[first->file].path, a->start_line);
	return vcr_findings_add(out, &(struct vcr_finding){ .rule = VCR_RULE_DUPLICATE, .severity = vcr_policy_severity(p, VCR_RULE_DUPLICATE, 1, NULL), .start_line = b->start_line,
		.end_line = b->end_line, .measured = -1, .threshold = -1, .path = s->file[again->file].path, .function = b->name, .message = words });
}

/* A function within one that is a duplicate itself is not said again. */
static bool stands_within(const struct vcr_scanned *s, const struct body *b, const struct vcr_findings *said)
{
	const struct vcr_scanned_function *f = function_of(s, b);
	for (size_t i = said->n; i-- > 0 && said->n - i < 2000;)
		if (!strcmp(said->item[i].path, s->file[b->file].path) && said->item[i].start_line < f->start_line && said->item[i].end_line >= f->end_line)
			return true;
	return false;
}

int vcr_duplicates(const struct vcr_policy *p, const struct vcr_scanned *s, struct vcr_findings *out)
{
	size_t n = 0, k = 0;
	for (size_t i = 0; i < s->n; i++)
		n += s->file[i].nfunction;
	struct body *all = malloc((n + 1) * sizeof *all);
	int err = all ? 0 : VCR_ENOMEM;
	for (size_t i = 0; i < s->n && all; i++)
		for (size_t f = 0; f < s->file[i].nfunction; f++) {
			const struct vcr_scanned_function *fn = &s->file[i].function[f];
			if (fn->plain && fn->tokens >= SAME)
				all[k++] = (struct body){ fn->body_renamed, (uint32_t)i, (uint32_t)f };
		}
	if (k)
		qsort(all, k, sizeof *all, by_hash);
	for (size_t i = 0, first = 0; i < k && !err; i++) {
		if (all[i].hash != all[first].hash)
			first = i;
		for (size_t c = first; c < i; c++) { /* the first that it is a duplicate of; of short ones only an equal one */
			const struct vcr_scanned_function *a = function_of(s, &all[c]), *b = function_of(s, &all[i]);
			bool same = a->body == b->body;
			if (a->tokens != b->tokens || (!same && b->tokens < RENAMED) || s->file[all[c].file].language != s->file[all[i].file].language) {
				if (c - first > PLACES)
					break;
				continue;
			}
			if (!stands_within(s, &all[i], out))
				err = say_duplicate(p, s, &all[c], &all[i], same, out);
			break;
		}
	}
	free(all);
	return err;
}
