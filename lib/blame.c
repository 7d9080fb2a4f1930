#include "blame.h"
#include "diff.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t count_lines(const char *p, size_t n)
{
	size_t lines = 0;
	for (const char *end = p + n, *nl; p < end; p = nl + 1) {
		lines++;
		if (!(nl = memchr(p, '\n', (size_t)(end - p))))
			break;
	}
	return lines;
}

int vcr_blame_begin(struct vcr_blame *b, const char *text, size_t n)
{
	*b = (struct vcr_blame){ .text = VCR_BUF_INIT };
	b->n = b->open = b->lines = count_lines(text, n);
	b->line = calloc(b->n + 1, sizeof *b->line);
	b->step = calloc(b->n + 1, sizeof *b->step);
	if (!b->line || !b->step || vcr_buf_add(&b->text, text, n))
		return VCR_ENOMEM;
	for (size_t i = 0; i < b->n; i++) {
		b->line[i] = i;
		b->step[i] = -1;
	}
	return 0;
}

void vcr_blame_only(struct vcr_blame *b, size_t line)
{
	for (size_t i = 0; i < b->lines; i++)
		if (b->line[i] != line)
			b->line[i] = SIZE_MAX;
	b->open = line < b->n && b->step[line] < 0;
}

static void settle(struct vcr_blame *b, size_t at, int step)
{
	if (at < b->lines && b->line[at] != SIZE_MAX && b->step[b->line[at]] < 0) {
		b->step[b->line[at]] = step;
		b->open--;
	}
}

/* "@@ -3,7 +3,9 @@": the lines of both sides up to the hunk are the same. Returns where the hunk begins in the new one. */
static size_t begin_hunk(const char *p, size_t *old)
{
	unsigned long a = 0, na = 1, c = 0, nc = 1;
	int used = 0;
	if (sscanf(p, "@@ -%lu,%lu +%lu", &a, &na, &c) < 2)
		sscanf(p, "@@ -%lu +%lu", &a, &c);
	const char *plus = strchr(p, '+');
	if (plus && sscanf(plus, "+%lu%n", &c, &used) == 1 && plus[used] == ',')
		nc = strtoul(plus + used + 1, NULL, 10);
	*old = na ? a - 1 : a;
	return nc ? c - 1 : c;
}

/* from[k]: the line of the new text that line k of the old one is; SIZE_MAX none. */
static void follow(struct vcr_blame *b, const char *diff, size_t *from, size_t lines, int step)
{
	size_t old = 0, new = 0;
	const char *p = strstr(diff, "@@");
	for (; p && *p; p += strcspn(p, "\n"), p += *p == '\n') {
		if (*p == '@') {
			size_t o, n = begin_hunk(p, &o);
			for (; old < o && new < n && old < lines; old++, new++)
				from[old] = new;
		} else if (*p == ' ' && old < lines) {
			from[old++] = new++;
		} else if (*p == '-') {
			old++;
		} else if (*p == '+') {
			settle(b, new++, step);
		}
	}
	for (; old < lines; old++, new++)
		from[old] = new;
}

int vcr_blame_back(struct vcr_blame *b, const char *text, size_t n, int step)
{
	VCR_AUTO_BUF diff = VCR_BUF_INIT;
	if (!text) {
		for (size_t i = 0; i < b->lines; i++)
			settle(b, i, step);
		return 0;
	}
	if (n == b->text.len && !memcmp(text, b->text.data, n))
		return 0;
	size_t lines = count_lines(text, n), *from = calloc(lines + 1, sizeof *from), *line = calloc(lines + 1, sizeof *line);
	for (size_t i = 0; from && i < lines; i++)
		from[i] = SIZE_MAX;
	int err = from && line ? vcr_diff_unified(&diff, "a", text, n, "b", b->text.data, b->text.len) : VCR_ENOMEM;
	if (!err) {
		follow(b, diff.data, from, lines, step);
		for (size_t i = 0; i < lines; i++)
			line[i] = from[i] < b->lines ? b->line[from[i]] : SIZE_MAX;
		free(b->line);
		b->line = line;
		b->lines = lines;
		line = NULL;
		vcr_buf_reset(&b->text);
		err = vcr_buf_add(&b->text, text, n) ? VCR_ENOMEM : 0;
	}
	free(from);
	free(line);
	return err;
}

void vcr_blame_release(struct vcr_blame *b)
{
	vcr_buf_release(&b->text);
	free(b->line);
	free(b->step);
	*b = (struct vcr_blame){ .text = VCR_BUF_INIT };
}
