#include "tally.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum vcr_severity severity_of(const struct vcr_json *j, int v)
{
	for (int s = VCR_SEVERITY_BLOCKER; s > VCR_SEVERITY_OFF; s--)
		if (vcr_json_is(j, vcr_json_get(j, v, "severity"), vcr_severity_name((enum vcr_severity)s)))
			return (enum vcr_severity)s;
	return VCR_SEVERITY_OFF;
}

static struct vcr_standing *find(struct vcr_tally *c, const char *key)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->finding[i].key, key))
			return &c->finding[i];
	return NULL;
}

void vcr_tally_stand(struct vcr_tally *c, const char *key, const struct vcr_finding *finding)
{
	struct vcr_standing *f = find(c, key), *more;
	if (!f) {
		if (!(more = reallocarray(c->finding, c->n + 1, sizeof *more)))
			return;
		c->finding = more;
		f = &more[c->n];
		*f = (struct vcr_standing){ .key = strdup(key), .last = VCR_FINDINGS_INIT };
		c->n += f->key != NULL;
		if (!f->key)
			return;
	}
	c->made += !f->stands;
	f->stands = true;
	vcr_findings_release(&f->last);
	vcr_findings_add(&f->last, finding);
}

void vcr_tally_mend(struct vcr_tally *c, const char *key)
{
	struct vcr_standing *f = find(c, key);
	if (f && f->stands) {
		f->stands = false;
		c->corrected++;
	}
}

/* A finding as an answer has it. */
static void stand(struct vcr_tally *c, const struct vcr_json *j, int v, const char *key)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, message = VCR_BUF_INIT, rule = VCR_BUF_INIT, name = VCR_BUF_INIT;
	int64_t line = 0, end_line = 0;
	struct vcr_finding f = { .severity = severity_of(j, v), .measured = -1, .threshold = -1 };
	vcr_json_str(j, vcr_json_get(j, v, "path"), &path);
	vcr_json_str(j, vcr_json_get(j, v, "message"), &message);
	vcr_json_str(j, vcr_json_get(j, v, "rule"), &rule);
	vcr_json_str(j, vcr_json_get(j, v, "name"), &name);
	vcr_json_int(j, vcr_json_get(j, v, "line"), &line);
	vcr_json_int(j, vcr_json_get(j, v, "end_line"), &end_line);
	vcr_json_int(j, vcr_json_get(j, v, "measured"), &f.measured);
	vcr_json_int(j, vcr_json_get(j, v, "threshold"), &f.threshold);
	int id = vcr_sentinel_rule_named(rule.data);
	if (id < 0)
		return;
	f.rule = (enum vcr_rule_id)id;
	f.start_line = (uint32_t)line;
	f.end_line = (uint32_t)end_line;
	f.path = path.data;
	f.function = name.data;
	f.message = message.data;
	vcr_tally_stand(c, key, &f);
}

/* Which files there were, for those who want a case for each. */
static void see(struct vcr_tally *c, const struct vcr_json *j)
{
	int why = vcr_json_get(j, 0, "skipped");
	char *path = c->j->junit ? vcr_json_strdup(j, vcr_json_get(j, 0, "path")) : NULL;
	bool foreign = vcr_json_is(j, why, "of no language that is known");
	for (size_t i = 0; path && i < c->seen.n; i++)
		foreign |= !strcmp(c->seen.file[i].path, path);
	struct vcr_scanned_file *more = path && !foreign ? reallocarray(c->seen.file, c->seen.n + 1, sizeof *more) : NULL;
	if (!more) {
		free(path);
		return;
	}
	c->seen.file = more;
	more += c->seen.n++;
	*more = (struct vcr_scanned_file){ .path = path, .findings = VCR_FINDINGS_INIT, .words = vcr_json_strdup(j, why) };
	more->skipped = more->words;
	c->seen.skipped += more->skipped != NULL;
}

static void line_of(const struct vcr_json *j, int v, struct vcr_buf *out)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, message = VCR_BUF_INIT, rule = VCR_BUF_INIT, safe = VCR_BUF_INIT;
	int64_t line = 0;
	vcr_json_str(j, vcr_json_get(j, v, "path"), &path);
	vcr_json_str(j, vcr_json_get(j, v, "message"), &message);
	vcr_json_str(j, vcr_json_get(j, v, "rule"), &rule);
	vcr_json_int(j, vcr_json_get(j, v, "line"), &line);
	vcr_safe_line(&safe, path.data, path.len, 0);
	vcr_buf_printf(out, line ? "%s:%lld: " : "%s: ", safe.data, (long long)line);
	vcr_buf_reset(&safe);
	vcr_safe_line(&safe, message.data, message.len, 0);
	vcr_buf_printf(out, "%s: %s [%s]", vcr_severity_name(severity_of(j, v)), safe.data, rule.data);
}

void vcr_tally_say(const struct vcr_tally *c, int64_t frame, enum vcr_style style, const char *what, const char *line)
{
	if (frame >= 0)
		printf("%5lld  ", (long long)frame);
	printf("%s%s%s%s\n", vcr_on(c->j->t, style), what, line, vcr_on(c->j->t, VCR_PLAIN));
}

/* One answer: people see what is new, worse and corrected. */
void vcr_tally_take(struct vcr_tally *c, int64_t frame, const struct vcr_buf *answer)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	bool people = vcr_judging_for_people(c->j);
	if (vcr_json_parse(&j, answer->data, answer->len, 0, NULL))
		return;
	see(c, &j);
	if (vcr_json_get(&j, 0, "skipped") >= 0)
		return;
	c->judged++;
	if (c->j->t->json)
		printf("%s\n", answer->data);
	int violations = vcr_json_get(&j, 0, "violations"), corrected = vcr_json_get(&j, 0, "corrected");
	for (int m = vcr_json_first(&j, violations); m >= 0; m = vcr_json_next(&j, m)) {
		VCR_AUTO_BUF key = VCR_BUF_INIT, line = VCR_BUF_INIT;
		if (vcr_json_is(&j, vcr_json_get(&j, m, "state"), "old"))
			continue;
		vcr_json_str(&j, vcr_json_get(&j, m, "key"), &key);
		line_of(&j, m, &line);
		struct vcr_standing *known = find(c, key.data);
		bool news = !known || !known->stands || vcr_json_is(&j, vcr_json_get(&j, m, "state"), "worse");
		stand(c, &j, m, key.data);
		if (people && news && (severity_of(&j, m) >= VCR_SEVERITY_WARNING || c->j->t->verbose))
			vcr_tally_say(c, frame, VCR_RED, "", line.data);
	}
	for (int m = vcr_json_first(&j, corrected); m >= 0; m = vcr_json_next(&j, m)) {
		VCR_AUTO_BUF key = VCR_BUF_INIT, line = VCR_BUF_INIT;
		vcr_json_str(&j, vcr_json_get(&j, m, "key"), &key);
		line_of(&j, m, &line);
		struct vcr_standing *known = find(c, key.data);
		if (people && known && known->stands)
			vcr_tally_say(c, frame, VCR_GREEN, "corrected: ", line.data);
		vcr_tally_mend(c, key.data);
	}
}

int vcr_tally_summary(const struct vcr_tally *c, const char *of)
{
	enum vcr_severity worst = VCR_SEVERITY_OFF;
	int64_t stand = 0;
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	VCR_AUTO_FINDINGS all = VCR_FINDINGS_INIT;
	struct vcr_jw w;
	for (size_t i = 0; i < c->n; i++)
		if (c->finding[i].stands && c->finding[i].last.n) {
			stand++;
			vcr_findings_add(&all, c->finding[i].last.item);
		}
	worst = vcr_findings_worst(&all);
	vcr_findings_sort(&all);
	if (vcr_judging_tell_others(c->j, &c->seen, &all))
		return vcr_judged_status(worst);
	const struct { const char *key; int64_t n; } list[] = { { "writes", c->changes }, { "judged", c->judged }, { "made", c->made }, { "corrected", c->corrected }, { "standing", stand },
		{ "claims", c->claims } };
	if (!c->j->t->json) {
		if (!c->j->t->quiet)
			printf("%lld changes of files, %lld of them of code that is understood: %lld findings made, %lld corrected afterwards, %lld stand\n", (long long)c->changes, (long long)c->judged,
				(long long)c->made, (long long)c->corrected, (long long)stand);
		return vcr_judged_status(worst);
	}
	vcr_jw_init(&w, &b);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "of");
	vcr_jw_str(&w, of);
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		vcr_jw_key(&w, list[i].key);
		vcr_jw_int(&w, list[i].n);
	}
	vcr_jw_object_end(&w);
	printf("%s\n", b.data);
	return vcr_judged_status(worst);
}

void vcr_tally_release(struct vcr_tally *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->finding[i].key);
		vcr_findings_release(&c->finding[i].last);
	}
	free(c->finding);
	vcr_scanned_release(&c->seen);
}
