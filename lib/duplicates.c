/* Functions whose body stands in two places. */
#include "sentinel-bodies.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

bool vcr_body_is_again(const struct vcr_body_place *first, const struct vcr_body_place *again)
{
	const struct vcr_scanned_function *a = first->f, *b = again->f;
	return a->tokens == b->tokens && (a->body == b->body || b->tokens >= VCR_RENAMED_TOKENS) && first->language == again->language;
}

/* A function within one that is a duplicate itself is not said again. */
static bool stands_within(const struct vcr_body_place *b, const struct vcr_findings *said)
{
	for (size_t i = said->n; i-- > 0 && said->n - i < 2000 && !strcmp(said->item[i].path, b->path);)
		if (said->item[i].start_line < b->f->start_line && said->item[i].end_line >= b->f->end_line)
			return true;
	return false;
}

int vcr_body_say(const struct vcr_policy *p, const struct vcr_body_place *first, const struct vcr_body_place *again, struct vcr_findings *out)
{
	const struct vcr_scanned_function *a = first->f, *b = again->f;
	char words[700];
	if (stands_within(again, out))
		return 0;
	snprintf(words, sizeof words, "%.150s() %s %.150s() in %.200s:%u: use that one", b->name, a->body == b->body ? "has the same body as" : "has, but for names, the same body as",
		a->name, first->path, a->start_line);
	return vcr_findings_add(out, &(struct vcr_finding){ .rule = VCR_RULE_DUPLICATE, .severity = vcr_policy_severity(p, VCR_RULE_DUPLICATE, 1, NULL), .start_line = b->start_line,
		.end_line = b->end_line, .measured = -1, .threshold = -1, .path = again->path, .function = b->name, .message = words });
}

/* Which is a duplicate of which. */
struct hit { struct body again, first; };

static int by_place(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;
	if (x->again.file != y->again.file)
		return x->again.file < y->again.file ? -1 : 1;
	return x->again.function < y->again.function ? -1 : x->again.function > y->again.function;
}

static struct vcr_body_place place_of(const struct vcr_scanned *s, const struct body *b)
{
	const struct vcr_scanned_file *f = &s->file[b->file];
	return (struct vcr_body_place){ f->path, f->language, &f->function[b->function] };
}

/* Of k bodies in the order of their hashes: each with the first that it is a duplicate of. */
static size_t find_hits(const struct vcr_scanned *s, const struct body *all, size_t k, struct hit *hit)
{
	size_t n = 0;
	for (size_t i = 0, first = 0; i < k; i++) {
		struct vcr_body_place again = place_of(s, &all[i]);
		if (all[i].hash != all[first].hash)
			first = i;
		for (size_t c = first; c < i && c - first < VCR_MOST_PLACES; c++) {
			struct vcr_body_place one = place_of(s, &all[c]);
			if (vcr_body_is_again(&one, &again)) {
				hit[n++] = (struct hit){ all[i], all[c] };
				break;
			}
		}
	}
	return n;
}

int vcr_duplicates(const struct vcr_policy *p, const struct vcr_scanned *s, struct vcr_findings *out)
{
	size_t n = 0, k = 0;
	for (size_t i = 0; i < s->n; i++)
		n += s->file[i].nfunction;
	struct body *all = malloc((n + 1) * sizeof *all);
	struct hit *hit = malloc((n + 1) * sizeof *hit);
	int err = all && hit ? 0 : VCR_ENOMEM;
	for (size_t i = 0; i < s->n && !err; i++)
		for (size_t f = 0; f < s->file[i].nfunction; f++)
			if (vcr_body_counts(&s->file[i].function[f]))
				all[k++] = (struct body){ s->file[i].function[f].body_renamed, (uint32_t)i, (uint32_t)f };
	if (k)
		qsort(all, k, sizeof *all, by_hash);
	n = err ? 0 : find_hits(s, all, k, hit);
	if (n)
		qsort(hit, n, sizeof *hit, by_place);
	for (size_t i = 0; i < n && !err; i++) {
		struct vcr_body_place first = place_of(s, &hit[i].first), again = place_of(s, &hit[i].again);
		err = vcr_body_say(p, &first, &again, out);
	}
	free(all);
	free(hit);
	return err;
}
