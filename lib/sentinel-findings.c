/* A growing list of findings, with its words. */
#include "sentinel.h"
#include <stdlib.h>
#include <string.h>

struct words { struct words *next; char text[]; };

static const char *keep(struct vcr_findings *f, const char *s)
{
	size_t n = s ? strlen(s) : 0;
	struct words *w = n ? malloc(sizeof *w + n + 1) : NULL;
	if (!w)
		return n ? NULL : "";
	memcpy(w->text, s, n + 1);
	w->next = f->arena;
	f->arena = w;
	return w->text;
}

int vcr_findings_add(struct vcr_findings *f, const struct vcr_finding *one)
{
	if (!(f->n & (f->n - 1))) {
		struct vcr_finding *p = realloc(f->item, (f->n ? f->n * 2 : 1) * sizeof *p);
		if (!p)
			return VCR_ENOMEM;
		f->item = p;
	}
	struct vcr_finding *to = &f->item[f->n];
	*to = *one;
	if (!(to->path = keep(f, one->path)) || !(to->function = keep(f, one->function)) || !(to->message = keep(f, one->message)))
		return VCR_ENOMEM;
	f->n++;
	return 0;
}

void vcr_findings_release(struct vcr_findings *f)
{
	for (struct words *w = f->arena, *next; w; w = next) {
		next = w->next;
		free(w);
	}
	free(f->item);
	*f = (struct vcr_findings)VCR_FINDINGS_INIT;
}

static int order(const void *a, const void *b)
{
	const struct vcr_finding *x = a, *y = b;
	int c = strcmp(x->path, y->path);
	if (c)
		return c;
	if (x->start_line != y->start_line)
		return x->start_line < y->start_line ? -1 : 1;
	if (x->rule != y->rule)
		return x->rule < y->rule ? -1 : 1;
	return x->end_line != y->end_line ? (x->end_line < y->end_line ? -1 : 1) : strcmp(x->message, y->message);
}

void vcr_findings_sort(struct vcr_findings *f)
{
	if (f->n)
		qsort(f->item, f->n, sizeof *f->item, order);
}

enum vcr_severity vcr_findings_worst(const struct vcr_findings *f)
{
	enum vcr_severity worst = VCR_SEVERITY_OFF;
	for (size_t i = 0; i < f->n; i++)
		if (f->item[i].severity > worst)
			worst = f->item[i].severity;
	return worst;
}
