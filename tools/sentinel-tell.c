/* vcr sentinel — what it says. */
#include "json.h"
#include "judging.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int vcr_judged_status(enum vcr_severity worst)
{
	return worst >= VCR_SEVERITY_BLOCKER ? VCR_JUDGED_BLOCKER : worst >= VCR_SEVERITY_CRITICAL ? VCR_JUDGED_CRITICAL : VCR_JUDGED_CLEAN;
}

static enum vcr_style style(enum vcr_severity s)
{
	return s >= VCR_SEVERITY_CRITICAL ? VCR_RED : s == VCR_SEVERITY_WARNING ? VCR_YELLOW : VCR_CYAN;
}

static void put_int(struct vcr_jw *w, const char *key, int64_t v)
{
	vcr_jw_key(w, key);
	if (v < 0)
		vcr_jw_null(w);
	else
		vcr_jw_int(w, v);
}

static void put_str(struct vcr_jw *w, const char *key, const char *s)
{
	vcr_jw_key(w, key);
	vcr_jw_str(w, s);
}

static void tell_json(const struct vcr_finding *f)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &b);
	vcr_jw_object(&w);
	put_str(&w, "type", "finding");
	put_str(&w, "rule", vcr_sentinel_rule(f->rule)->id);
	put_str(&w, "severity", vcr_severity_name(f->severity));
	put_str(&w, "path", f->path);
	put_int(&w, "line", f->start_line ? (int64_t)f->start_line : -1);
	put_int(&w, "end_line", f->end_line ? (int64_t)f->end_line : -1);
	put_str(&w, "function", *f->function ? f->function : NULL);
	put_str(&w, "message", f->message);
	put_int(&w, "value", f->measured);
	put_int(&w, "threshold", f->threshold);
	vcr_jw_object_end(&w);
	printf("%s\n", b.data);
}

/* That line of the file, as it is now. */
static void excerpt(const struct vcr_judging *j, const char *path, uint32_t wanted)
{
	VCR_AUTO_BUF safe = VCR_BUF_INIT;
	FILE *f = wanted ? fopen(path, "re") : NULL;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n = -1;
	for (uint32_t i = 0; f && i < wanted && (n = getline(&line, &cap, f)) > 0;)
		i++;
	if (n > 0) {
		vcr_safe_line(&safe, line, (size_t)n - (line[n - 1] == '\n'), 120);
		printf("%s%7u |%s %s\n", vcr_on(j->t, VCR_DIM), wanted, vcr_on(j->t, VCR_PLAIN), safe.data);
	}
	free(line);
	if (f)
		fclose(f);
}

void vcr_judging_tell(const struct vcr_judging *j, const struct vcr_finding *f)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, message = VCR_BUF_INIT;
	if (j->t->json) {
		tell_json(f);
		return;
	}
	if (f->severity < VCR_SEVERITY_WARNING && !j->t->verbose)
		return;
	vcr_safe_line(&path, f->path, strlen(f->path), 0);
	vcr_safe_line(&message, f->message, strlen(f->message), 0);
	printf("%s%s", vcr_on(j->t, VCR_BOLD), path.data);
	if (f->start_line)
		printf(":%u", f->start_line);
	printf("%s: %s%s%s: %s [%s]\n", vcr_on(j->t, VCR_PLAIN), vcr_on(j->t, style(f->severity)), vcr_severity_name(f->severity), vcr_on(j->t, VCR_PLAIN), message.data,
		vcr_sentinel_rule(f->rule)->id);
	if (f->rule != VCR_RULE_SECRET)
		excerpt(j, f->path, f->start_line);
}

static void tell_metrics(const struct vcr_scanned_file *f)
{
	for (size_t i = 0; i < f->nfunction; i++) {
		const struct vcr_scanned_function *fn = &f->function[i];
		VCR_AUTO_BUF b = VCR_BUF_INIT;
		struct vcr_jw w;
		vcr_jw_init(&w, &b);
		vcr_jw_object(&w);
		put_str(&w, "type", "function");
		put_str(&w, "path", f->path);
		put_int(&w, "line", fn->start_line);
		put_int(&w, "end_line", fn->end_line);
		put_int(&w, "byte", fn->start_byte);
		put_int(&w, "end_byte", fn->end_byte);
		put_str(&w, "name", fn->name);
		put_str(&w, "language", vcr_language_module(f->language));
		put_int(&w, "complexity", fn->cyclomatic);
		put_int(&w, "cognitive", fn->cognitive);
		put_int(&w, "nesting", fn->nesting);
		put_int(&w, "length", fn->length);
		put_int(&w, "parameters", fn->parameters);
		put_int(&w, "tokens", fn->tokens);
		if (fn->is_broken) {
			vcr_jw_key(&w, "broken");
			vcr_jw_bool(&w, true);
		}
		vcr_jw_object_end(&w);
		printf("%s\n", b.data);
	}
}

static void tell_metrics_to_people(const struct vcr_scanned_file *f)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	vcr_safe_line(&path, f->path, strlen(f->path), 0);
	for (size_t i = 0; i < f->nfunction; i++) {
		const struct vcr_scanned_function *fn = &f->function[i];
		VCR_AUTO_BUF name = VCR_BUF_INIT;
		vcr_safe_line(&name, fn->name, strlen(fn->name), 80);
		printf("%s:%u: %s: complexity %u, cognitive %u, nesting %u, %u lines, %u parameters\n", path.data, fn->start_line, name.data, fn->cyclomatic, fn->cognitive, fn->nesting,
			fn->length, fn->parameters);
	}
}

/* Files that were not measured, by reason. */
static void tell_skipped(const struct vcr_judging *j, const struct vcr_scanned *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct vcr_scanned_file *f = &s->file[i];
		if (!f->skipped)
			continue;
		VCR_AUTO_BUF b = VCR_BUF_INIT;
		if (j->t->json) {
			struct vcr_jw w;
			vcr_jw_init(&w, &b);
			vcr_jw_object(&w);
			put_str(&w, "type", "skipped");
			put_str(&w, "path", f->path);
			put_str(&w, "reason", f->skipped);
			vcr_jw_object_end(&w);
			printf("%s\n", b.data);
		} else if (j->t->verbose || s->skipped <= 10) {
			vcr_safe_line(&b, f->path, strlen(f->path), 0);
			printf("%s: skipped: %s\n", b.data, f->skipped);
		}
	}
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static void tell_summary(const struct vcr_judging *j, const struct vcr_scanned *s, const struct vcr_findings *all)
{
	size_t by[VCR_SEVERITY_BLOCKER + 1] = { 0 }, functions = 0, lines = 0;
	for (size_t i = 0; i < all->n; i++)
		by[all->item[i].severity]++;
	for (size_t i = 0; i < s->n; i++) {
		functions += s->file[i].nfunction;
		lines += s->file[i].lines;
	}
	if (j->t->json) {
		VCR_AUTO_BUF b = VCR_BUF_INIT;
		struct vcr_jw w;
		vcr_jw_init(&w, &b);
		vcr_jw_object(&w);
		put_str(&w, "type", "summary");
		put_int(&w, "files", (int64_t)s->measured);
		put_int(&w, "functions", (int64_t)functions);
		put_int(&w, "lines", (int64_t)lines);
		put_int(&w, "skipped", (int64_t)s->skipped);
		put_int(&w, "unread_directories", (int64_t)s->unread_dirs);
		if (j->baseline)
			put_int(&w, "baseline", (int64_t)j->known);
		for (int i = VCR_SEVERITY_INFO; i <= VCR_SEVERITY_BLOCKER; i++)
			put_int(&w, vcr_severity_name((enum vcr_severity)i), (int64_t)by[i]);
		vcr_jw_object_end(&w);
		printf("%s\n", b.data);
		return;
	}
	if (j->t->quiet)
		return;
	printf("%zu file%s, %zu function%s, %zu lines: %zu blocker%s, %zu critical, %zu warning%s", s->measured, plural(s->measured), functions, plural(functions), lines,
		by[VCR_SEVERITY_BLOCKER], plural(by[VCR_SEVERITY_BLOCKER]), by[VCR_SEVERITY_CRITICAL], by[VCR_SEVERITY_WARNING], plural(by[VCR_SEVERITY_WARNING]));
	if (by[VCR_SEVERITY_INFO])
		printf(", %zu note%s (-v)", by[VCR_SEVERITY_INFO], plural(by[VCR_SEVERITY_INFO]));
	if (j->known)
		printf("; %zu no worse than the baseline", j->known);
	if (s->skipped)
		printf("; %zu skipped%s", s->skipped, s->skipped > 10 && !j->t->verbose ? " (-v)" : "");
	if (s->unread_dirs)
		printf("; %zu director%s could not be read", s->unread_dirs, s->unread_dirs == 1 ? "y" : "ies");
	printf("\n");
}

void vcr_judging_tell_scan(const struct vcr_judging *j, const struct vcr_scanned *s, const struct vcr_findings *all)
{
	for (size_t i = 0; i < s->n && j->metrics; i++)
		if (j->t->json)
			tell_metrics(&s->file[i]);
		else
			tell_metrics_to_people(&s->file[i]);
	for (size_t i = 0; i < all->n; i++)
		vcr_judging_tell(j, &all->item[i]);
	if (!j->t->quiet || j->t->json)
		tell_skipped(j, s);
	tell_summary(j, s, all);
}
