/* vcr sentinel — what a scan found, in the words of other programs: SARIF 2.1.0, GitHub's workflow commands, JUnit's XML. */
#include "config.h" /* PACKAGE_VERSION */
#include "json.h"
#include "json-plain.h"
#include "judging.h"
#include <stdio.h>
#include <string.h>

static void put_str(struct vcr_jw *w, const char *key, const char *s)
{
	vcr_jw_key(w, key);
	vcr_jw_str(w, s);
}

static void put_text(struct vcr_jw *w, const char *key, const char *s)
{
	vcr_jw_key(w, key);
	vcr_jw_object(w);
	put_str(w, "text", s);
	vcr_jw_object_end(w);
}

/* ---- SARIF (OASIS, "Static Analysis Results Interchange Format Version 2.1.0") ---- */

static const char *level(enum vcr_severity s)
{
	return s >= VCR_SEVERITY_CRITICAL ? "error" : s == VCR_SEVERITY_WARNING ? "warning" : "note";
}

/* RFC 3986: what a path may hold as it is; the rest in %XX. */
static void put_uri(struct vcr_jw *w, const char *path)
{
	VCR_AUTO_BUF uri = VCR_BUF_INIT;
	while (path[0] == '.' && path[1] == '/')
		path += 2;
	if (*path == '/')
		vcr_buf_puts(&uri, "file://");
	for (const char *p = path; *p; p++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/", *p))
			vcr_buf_putc(&uri, *p);
		else
			vcr_buf_printf(&uri, "%%%02X", (unsigned char)*p);
	put_str(w, "uri", uri.data);
}

static void sarif_rules(struct vcr_jw *w, const struct vcr_policy *policy)
{
	vcr_jw_key(w, "rules");
	vcr_jw_array(w);
	for (int i = 0; i < VCR_RULE_COUNT; i++) {
		const struct vcr_rule *r = vcr_sentinel_rule((enum vcr_rule_id)i);
		bool on = vcr_policy_severity(policy, (enum vcr_rule_id)i, INT64_MAX, NULL) != VCR_SEVERITY_OFF;
		vcr_jw_object(w);
		put_str(w, "id", r->id);
		put_text(w, "shortDescription", r->line);
		put_text(w, "fullDescription", r->explained);
		vcr_jw_key(w, "defaultConfiguration");
		vcr_jw_object(w);
		vcr_jw_key(w, "enabled");
		vcr_jw_bool(w, on);
		vcr_jw_object_end(w);
		vcr_jw_object_end(w);
	}
	vcr_jw_array_end(w);
}

static void sarif_location(struct vcr_jw *w, const struct vcr_finding *f)
{
	vcr_jw_object(w);
	vcr_jw_key(w, "physicalLocation");
	vcr_jw_object(w);
	vcr_jw_key(w, "artifactLocation");
	vcr_jw_object(w);
	put_uri(w, f->path);
	if (*f->path != '/')
		put_str(w, "uriBaseId", "%SRCROOT%");
	vcr_jw_object_end(w);
	if (f->start_line) {
		vcr_jw_key(w, "region");
		vcr_jw_object(w);
		vcr_jw_key(w, "startLine");
		vcr_jw_int(w, f->start_line);
		vcr_jw_key(w, "endLine");
		vcr_jw_int(w, f->end_line > f->start_line ? f->end_line : f->start_line);
		vcr_jw_object_end(w);
	}
	vcr_jw_object_end(w);
	if (*f->function) {
		vcr_jw_key(w, "logicalLocations");
		vcr_jw_array(w);
		vcr_jw_object(w);
		put_str(w, "fullyQualifiedName", f->function);
		put_str(w, "kind", f->rule == VCR_RULE_CLASS_SIZE ? "type" : "function");
		vcr_jw_object_end(w);
		vcr_jw_array_end(w);
	}
	vcr_jw_object_end(w);
}

static void sarif_result(struct vcr_jw *w, const struct vcr_finding *f)
{
	VCR_AUTO_BUF key = VCR_BUF_INIT;
	vcr_buf_printf(&key, "%s:%s:%s", vcr_sentinel_rule(f->rule)->id, f->path, f->function);
	vcr_jw_object(w);
	put_str(w, "ruleId", vcr_sentinel_rule(f->rule)->id);
	vcr_jw_key(w, "ruleIndex");
	vcr_jw_int(w, f->rule);
	put_str(w, "level", level(f->severity));
	put_text(w, "message", f->message);
	vcr_jw_key(w, "locations");
	vcr_jw_array(w);
	if (*f->path) /* an answer stands in no file */
		sarif_location(w, f);
	vcr_jw_array_end(w);
	vcr_jw_key(w, "partialFingerprints");
	vcr_jw_object(w);
	put_str(w, "vcrFinding/v1", key.data);
	vcr_jw_object_end(w);
	vcr_jw_key(w, "properties");
	vcr_jw_object(w);
	put_str(w, "severity", vcr_severity_name(f->severity));
	vcr_jw_object_end(w);
	vcr_jw_object_end(w);
}

static void tell_sarif(const struct vcr_judging *j, const struct vcr_findings *all)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &b);
	vcr_jw_object(&w);
	put_str(&w, "$schema", "https://json.schemastore.org/sarif-2.1.0.json");
	put_str(&w, "version", "2.1.0");
	vcr_jw_key(&w, "runs");
	vcr_jw_array(&w);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "tool");
	vcr_jw_object(&w);
	vcr_jw_key(&w, "driver");
	vcr_jw_object(&w);
	put_str(&w, "name", "vcr-sentinel");
	put_str(&w, "version", PACKAGE_VERSION);
	sarif_rules(&w, &j->policy);
	vcr_jw_object_end(&w);
	vcr_jw_object_end(&w);
	vcr_jw_key(&w, "results");
	vcr_jw_array(&w);
	for (size_t i = 0; i < all->n; i++)
		sarif_result(&w, &all->item[i]);
	vcr_jw_array_end(&w);
	vcr_jw_object_end(&w);
	vcr_jw_array_end(&w);
	vcr_jw_object_end(&w);
	printf("%s\n", b.data);
}

/* ---- GitHub ("Workflow commands for GitHub Actions") ---- */

/* property: a comma or a colon would end it. */
static void put_command(const char *s, bool property)
{
	for (; *s; s++)
		if (*s == '%' || *s == '\r' || *s == '\n' || (property && (*s == ',' || *s == ':')))
			printf("%%%02X", (unsigned char)*s);
		else
			putchar(*s);
}

static void tell_github(const struct vcr_finding *f)
{
	printf("::%s ", f->severity >= VCR_SEVERITY_CRITICAL ? "error" : f->severity == VCR_SEVERITY_WARNING ? "warning" : "notice");
	if (*f->path) {
		printf("file=");
		put_command(f->path, true);
		if (f->start_line)
			printf(",line=%u,endLine=%u", f->start_line, f->end_line > f->start_line ? f->end_line : f->start_line);
		putchar(',');
	}
	printf("title=vcr-sentinel %s::", vcr_sentinel_rule(f->rule)->id);
	put_command(f->message, false);
	putchar('\n');
}

/* ---- JUnit: a case for each file; what is a warning or worse is its failure ---- */

/* What XML may not hold is a question mark. */
static void put_xml(const char *s)
{
	static const struct { char c; const char *as; } names[] = { { '<', "&lt;" }, { '>', "&gt;" }, { '&', "&amp;" }, { '"', "&quot;" } };
	const unsigned char *p = (const unsigned char *)s, *end = p + strlen(s);
	while (p < end) {
		bool more = false;
		int n = *p < 0x80 ? 1 : vcr_json_utf8_length(p, end, &more);
		const char *as = NULL;
		for (size_t i = 0; i < sizeof names / sizeof *names; i++)
			as = names[i].c == (char)*p ? names[i].as : as;
		if (as)
			fputs(as, stdout);
		else if (n <= 0 || *p < ' ' || *p == 0x7f)
			putchar('?');
		else
			fwrite(p, 1, (size_t)n, stdout);
		p += n > 0 ? n : 1;
	}
}

static size_t failures_of(const struct vcr_findings *all, const char *path, bool tell)
{
	size_t n = 0;
	for (size_t i = 0; i < all->n; i++) {
		const struct vcr_finding *f = &all->item[i];
		if (f->severity < VCR_SEVERITY_WARNING || strcmp(f->path, path))
			continue;
		n++;
		if (!tell)
			continue;
		printf("   <failure type=\"%s\" message=\"", vcr_sentinel_rule(f->rule)->id);
		put_xml(f->message);
		printf("\">%s, line %u</failure>\n", vcr_severity_name(f->severity), f->start_line);
	}
	return n;
}

static void tell_junit(const struct vcr_scanned *s, const struct vcr_findings *all)
{
	size_t failed = 0, answers = failures_of(all, "", false) > 0;
	failed += answers;
	for (size_t i = 0; i < s->n; i++)
		failed += failures_of(all, s->file[i].path, false) > 0;
	printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n <testsuite name=\"vcr-sentinel\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\">\n", s->n + answers, failed, s->skipped);
	if (answers) {
		puts("  <testcase classname=\"vcr-sentinel\" name=\"answers\">");
		failures_of(all, "", true);
		puts("  </testcase>");
	}
	for (size_t i = 0; i < s->n; i++) {
		const struct vcr_scanned_file *f = &s->file[i];
		fputs("  <testcase classname=\"vcr-sentinel\" name=\"", stdout);
		put_xml(f->path);
		puts("\">");
		failures_of(all, f->path, true);
		if (f->skipped) {
			fputs("   <skipped message=\"", stdout);
			put_xml(f->skipped);
			puts("\"/>");
		}
		puts("  </testcase>");
	}
	puts(" </testsuite>\n</testsuites>");
}

bool vcr_judging_for_people(const struct vcr_judging *j)
{
	return !j->t->json && !j->t->quiet && !j->sarif && !j->junit && !j->github;
}

bool vcr_judging_tell_others(const struct vcr_judging *j, const struct vcr_scanned *s, const struct vcr_findings *all)
{
	if (j->sarif)
		tell_sarif(j, all);
	else if (j->junit)
		tell_junit(s, all);
	for (size_t i = 0; j->github && i < all->n; i++)
		tell_github(&all->item[i]);
	return j->sarif || j->junit || j->github;
}
