#include "sentinel-allow.h"
#include <stdio.h>
#include <string.h>

enum { MOST_TEXT = 300, MOST_DECORATORS = 30, MOST_ALLOWED = 2000, NO_RULE = VCR_RULE_COUNT };

static size_t blanks(const char *p, size_t at, size_t end, const char *which)
{
	while (at < end && p[at] && strchr(which, p[at]))
		at++;
	return at;
}

static bool stands(const char *p, size_t at, size_t end, const char *word)
{
	size_t n = strlen(word);
	return end - at >= n && !memcmp(p + at, word, n);
}

static size_t line_end(const char *p, size_t at, size_t n)
{
	const char *newline = at < n ? memchr(p + at, '\n', n - at) : NULL;
	return newline ? (size_t)(newline - p) : n;
}

/* Does a line only say something about the next one? */
static bool is_about_next(const char *p, size_t at, size_t end)
{
	at = blanks(p, at, end, " \t");
	return at < end && (p[at] == '@' || p[at] == '[' || stands(p, at, end, "#[") || memmem(p + at, end - at, "vcr-sentinel: allow ", 20));
}

uint32_t vcr_allow_comment(const char *text, size_t n, size_t at, size_t end, const char **rules, size_t *nrules)
{
	size_t from = blanks(text, at, end, " \t\r\n/*#!<-"), before = at;
	if (!stands(text, from, end, "vcr-sentinel:"))
		return 0;
	from = blanks(text, from + 13, end, " \t");
	if (!stands(text, from, end, "allow ") && !stands(text, from, end, "allow\t"))
		return 0;
	from = blanks(text, from + 5, end, " \t");
	size_t stop = line_end(text, from, end);
	*rules = text + from;
	*nrules = stop - from < MOST_TEXT ? stop - from : MOST_TEXT;
	while (end > at && strchr("\r\n", text[end - 1]))
		end--;
	uint32_t lines = 1;
	for (size_t i = at; i < end; i++)
		lines += text[i] == '\n';
	while (before && text[before - 1] != '\n')
		if (!strchr(" \t", text[--before]) || !text[before])
			return lines; /* code stands before it */
	size_t next = line_end(text, end, n) + 1;
	for (int i = 0; i < MOST_DECORATORS && next < n && is_about_next(text, next, line_end(text, next, n)); i++) {
		next = line_end(text, next, n) + 1;
		lines++;
	}
	return lines + 1;
}

static int add(const struct vcr_policy *p, const char *path, const struct vcr_mark *m, const char *name, int n, struct vcr_findings *out)
{
	char id[40], words[200];
	snprintf(id, sizeof id, "%.*s", n, name);
	int rule = vcr_sentinel_rule_named(id);
	if (rule < 0)
		snprintf(words, sizeof words, "a comment allows '%.40s', which is no rule; vcr-sentinel rules lists them", id);
	else
		snprintf(words, sizeof words, "nothing here breaks the rule %s any more: remove the comment that allows it", id);
	return vcr_findings_add(out, &(struct vcr_finding){ .rule = VCR_RULE_UNUSED, .severity = vcr_policy_severity(p, VCR_RULE_UNUSED, 1, NULL), .start_line = m->start_line,
		.end_line = m->end_line, .measured = rule < 0 ? NO_RULE : rule, .threshold = -1, .path = path, .function = "", .message = words });
}

int vcr_allow_add(const struct vcr_policy *p, const char *path, const struct vcr_metrics *m, struct vcr_findings *out)
{
	int err = 0, said = 0;
	for (size_t i = 0; i < m->nmark && !err; i++) {
		if (m->mark[i].kind != VCR_MARK_ALLOW)
			continue;
		for (const char *at = m->mark[i].text; !err && said < MOST_ALLOWED; said++) {
			size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyz-");
			if (n && strncmp(at, "--", 2))
				err = add(p, path, &m->mark[i], at, (int)n, out);
			at += n;
			at += strspn(at, " \t");
			if (!n || *at != ',')
				break;
			at += 1 + strspn(at + 1, " \t");
		}
	}
	return err;
}

/* --- settling */

bool vcr_allows(const struct vcr_finding *comment, const struct vcr_finding *f)
{
	return comment->measured == (int64_t)f->rule && (!f->start_line || (f->start_line >= comment->start_line && f->start_line <= comment->end_line));
}

/* The findings of one path: those that are taken away have no severity then. */
static void settle_path(struct vcr_finding *f, size_t n)
{
	for (size_t c = 0; c < n; c++) {
		bool used = false;
		if (f[c].rule != VCR_RULE_UNUSED || f[c].measured < 0)
			continue;
		for (size_t i = 0; i < n; i++)
			if (f[i].rule != VCR_RULE_UNUSED && vcr_allows(&f[c], &f[i])) {
				if (f[c].threshold < 0 || f[i].severity < f[c].threshold)
					f[i].severity = VCR_SEVERITY_OFF;
				used = true;
			}
		if (used)
			f[c].severity = VCR_SEVERITY_OFF;
		f[c].measured = f[c].threshold = -1;
		f[c].end_line = f[c].start_line;
	}
}

void vcr_allow_settle(struct vcr_findings *all)
{
	size_t to = 0;
	vcr_findings_sort(all);
	for (size_t i = 0, end; i < all->n; i = end) {
		for (end = i + 1; end < all->n && !strcmp(all->item[end].path, all->item[i].path);)
			end++;
		settle_path(&all->item[i], end - i);
	}
	for (size_t i = 0; i < all->n; i++)
		if (all->item[i].severity != VCR_SEVERITY_OFF)
			all->item[to++] = all->item[i];
	all->n = to;
}
