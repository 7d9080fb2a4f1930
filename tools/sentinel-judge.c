/* vcr sentinel judge — the judge of a recording (lib/judge.h has the protocol): a write after the other on standard input, what it is like on standard output.
 *
 * What is new or worse is measured against what stood there when the path was first seen; what a function is a duplicate of is looked for in the whole
 * workspace, which is scanned when the first write comes. Of the other file it is looked again what it is like now: code that moves is no duplicate. */
#include "json.h"
#include "judging.h"
#include "keyset.h"
#include "limits.h"
#include "sentinel-allow.h"
#include "sentinel-baseline.h"
#include "sentinel-bodies.h"
#include "sentinel-known.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_KEY = 900, SCAN_MS = 2000, MOST_AGAIN = 64 /* files that are looked at again for one write */ };

struct vcr_judging_run {
	struct vcr_judging *j;
	char *workspace;
	struct vcr_measure *now, *was;
	struct vcr_bodies *bodies; /* of the workspace, by paths relative to it */
	bool scanned;
	struct vcr_known_files known;
	bool blocks;               /* comments that were not there before allow no blocker */
	struct vcr_keyset disowned; /* of the file that is judged: findings that such a comment would allow */
};

/* ---- The workspace ---- */

static bool excluded(void *ctx, const char *path)
{
	const struct vcr_judging_run *s = ctx;
	size_t n = strlen(s->workspace);
	return !strncmp(path, s->workspace, n) && path[n] == '/' && vcr_excluded(&s->j->excludes, path + n + 1);
}

static void scan(struct vcr_judging_run *s)
{
	char *paths[] = { s->workspace };
	struct vcr_policy own = s->j->policy; /* functions alone are wanted */
	struct vcr_scan_options o = { .policy = &own, .jobs = 1, .most_ms = SCAN_MS, .excluded = s->j->excludes.n ? excluded : NULL, .ctx = s };
	struct vcr_scanned all = { .n = 0 };
	size_t n = strlen(s->workspace);
	s->scanned = true;
	for (int i = 0; i < VCR_RULE_COUNT; i++)
		for (int k = 0; k <= VCR_SEVERITY_BLOCKER; k++)
			own.rule[i].step[k] = -1;
	if (vcr_sentinel_scan(paths, 1, &o, &all, NULL))
		return;
	for (size_t i = 0; i < all.n; i++) {
		const struct vcr_scanned_file *f = &all.file[i];
		const char *p = f->path;
		vcr_bodies_put(s->bodies, !strncmp(p, s->workspace, n) && p[n] == '/' ? p + n + 1 : p, f->language, f->function, f->nfunction);
	}
	vcr_scanned_release(&all);
}

/* What a file is like now, if it is not what it was when it was scanned. */
static void look_again(struct vcr_judging_run *s, const char *path)
{
	if (!s->workspace)
		return;
	VCR_AUTO_BUF full = VCR_BUF_INIT;
	struct stat st;
	struct vcr_metrics m;
	vcr_buf_printf(&full, "%s/%s", s->workspace, path);
	int fd = open(full.data, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char *text = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size <= VCR_MAX_FILE_CONTENT ? malloc((size_t)st.st_size + 1) : NULL;
	ssize_t n = text ? read(fd, text, (size_t)st.st_size) : -1;
	if (n >= 0)
		text[n] = 0;
	int language = n >= 0 ? vcr_language_of(path, text, (size_t)n) : -1;
	if (fd >= 0)
		close(fd);
	struct vcr_scanned_file f = { .language = language, .findings = VCR_FINDINGS_INIT };
	bool is = language >= 0 && !vcr_measure(s->was, language, text, (size_t)n, &m, NULL) && !vcr_scanned_keep(&f, &m, false);
	vcr_bodies_put(s->bodies, path, language, f.function, is ? f.nfunction : 0);
	vcr_scanned_file_release(&f);
	free(text);
}

static void note_path(void *ctx, const char *path)
{
	vcr_buf_add(ctx, path, strlen(path) + 1);
}

/* Duplicates of other files' functions in that one. Files that seem to have them are looked at as they are now: code that moves is no duplicate. */
static void find_duplicates(struct vcr_judging_run *s, const char *path, int language, const struct vcr_metrics *m, struct vcr_findings *out)
{
	VCR_AUTO_BUF others = VCR_BUF_INIT;
	struct vcr_scanned_file own = { .language = language, .findings = VCR_FINDINGS_INIT };
	if (!s->scanned)
		scan(s);
	vcr_bodies_put(s->bodies, path, language, NULL, 0);
	if (vcr_policy_severity(&s->j->policy, VCR_RULE_DUPLICATE, 1, NULL) > VCR_SEVERITY_OFF && !vcr_scanned_keep(&own, m, false)) {
		vcr_bodies_others(s->bodies, own.function, own.nfunction, MOST_AGAIN, note_path, &others);
		for (size_t at = 0; at < others.len; at += strlen(others.data + at) + 1)
			look_again(s, others.data + at);
		if (!vcr_bodies_put(s->bodies, path, language, own.function, own.nfunction))
			vcr_bodies_duplicates(s->bodies, &s->j->policy, path, out);
	}
	vcr_scanned_file_release(&own);
}

/* ---- An answer ---- */

static void key_of(const struct vcr_finding *f, char out[MOST_KEY])
{
	bool by_words = !*f->function && (f->rule == VCR_RULE_WILDCARD || f->rule == VCR_RULE_SECRET || f->rule == VCR_RULE_TESTS || f->rule == VCR_RULE_UNUSED);
	snprintf(out, MOST_KEY, "%.40s:%.400s:%.400s", vcr_sentinel_rule(f->rule)->id, f->path, by_words ? f->message : f->function);
}

static void keys_of(const struct vcr_findings *l, struct vcr_keyset *out)
{
	char key[MOST_KEY];
	for (size_t i = 0; i < l->n; i++) {
		key_of(&l->item[i], key);
		vcr_keyset_add(out, key);
	}
}

static void write_finding(struct vcr_jw *w, const struct vcr_finding *f, const char *key, const char *state, bool disowned)
{
	VCR_AUTO_BUF message = VCR_BUF_INIT;
	vcr_buf_printf(&message, "%s%s", f->message, disowned ? "; the comment that allows it was not there when the session began, and counts for no blocker" : "");
	const struct { const char *key, *s; } strings[] = { { "key", key }, { "rule", vcr_sentinel_rule(f->rule)->id }, { "severity", vcr_severity_name(f->severity) }, { "path", f->path },
		{ "name", *f->function ? f->function : NULL }, { "message", message.data }, { "state", state } };
	vcr_jw_object(w);
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
		vcr_jw_key(w, strings[i].key);
		vcr_jw_str(w, strings[i].s);
	}
	const struct { const char *key; int64_t n; bool is; } ints[] = { { "line", f->start_line, f->start_line > 0 }, { "end_line", f->end_line, f->start_line > 0 },
		{ "measured", f->measured, f->measured >= 0 }, { "threshold", f->threshold, f->threshold >= 0 } };
	for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
		if (ints[i].is) {
			vcr_jw_key(w, ints[i].key);
			vcr_jw_int(w, ints[i].n);
		}
	vcr_jw_object_end(w);
}

/* by: what has measured it, which knows how many bytes of the text the parser has looked at, and how many nodes of its tree were walked. */
static void write_metrics(struct vcr_jw *w, const struct vcr_metrics *m, const struct vcr_measure *by)
{
	uint32_t cyclomatic = 0, cognitive = 0, length = 0;
	for (size_t i = 0; i < m->nfunction; i++) {
		cyclomatic = m->function[i].cyclomatic > cyclomatic ? m->function[i].cyclomatic : cyclomatic;
		cognitive = m->function[i].cognitive > cognitive ? m->function[i].cognitive : cognitive;
		length = m->function[i].length > length ? m->function[i].length : length;
	}
	const struct { const char *key; int64_t n; } list[] = { { "lines", m->lines }, { "functions", (int64_t)m->nfunction }, { "classes", (int64_t)m->nclass }, { "complexity", cyclomatic },
		{ "cognitive", cognitive }, { "length", length }, { "parsed", (int64_t)vcr_measure_read(by) },
		{ "walked", (int64_t)vcr_measure_walked(by) } };
	vcr_jw_object(w);
	vcr_jw_key(w, "language");
	vcr_jw_str(w, vcr_language_name(m->language));
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		vcr_jw_key(w, list[i].key);
		vcr_jw_int(w, list[i].n);
	}
	vcr_jw_object_end(w);
}

static void skipped(struct vcr_jw *w, const char *why)
{
	vcr_jw_key(w, "skipped");
	vcr_jw_str(w, why);
}

/* Those of the last answer that are not among the findings now. */
static void write_corrected(struct vcr_jw *w, const struct vcr_known *k, const struct vcr_keyset *now)
{
	vcr_jw_key(w, "corrected");
	vcr_jw_array(w);
	for (size_t i = 0; i < k->nsaid; i++)
		if (!vcr_keyset_has(now, k->said[i].key))
			vcr_jw_raw(w, k->said[i].json, strlen(k->said[i].json));
	vcr_jw_array_end(w);
}

/* What the change has made of a finding. */
enum state { OLD, NEW, WORSE };

/* Of which turn it is when there are more than are told: what blocks comes first, then what else the change has made. */
static int turn_of(const struct vcr_finding *f, enum state state)
{
	return state == OLD ? 2 : f->severity < VCR_SEVERITY_BLOCKER;
}

/* changed: what is new or worse; base: what stood there before; what a baseline has is old. */
static void find_states(struct vcr_judging_run *s, const struct vcr_findings *all, const struct vcr_findings *changed, const struct vcr_findings *base, enum state *state, bool *passed)
{
	VCR_AUTO_KEYSET changes = { 0 }, bases = { 0 };
	struct vcr_baseline *known = s->j->baseline;
	char key[MOST_KEY];
	keys_of(changed, &changes);
	keys_of(base, &bases);
	if (known)
		vcr_baseline_again(known);
	for (size_t i = 0; i < all->n; i++) {
		key_of(&all->item[i], key);
		bool is_known = known && vcr_baseline_has(known, &all->item[i], all->item[i].path);
		state[i] = is_known || !vcr_keyset_has(&changes, key) ? OLD : vcr_keyset_has(&bases, key) ? WORSE : NEW;
		*passed &= state[i] == OLD || all->item[i].severity <= VCR_SEVERITY_INFO;
	}
}

static void write_findings(struct vcr_judging_run *s, struct vcr_jw *w, struct vcr_known *k, const struct vcr_findings *all, const enum state *state)
{
	static const char *const words[] = { "old", "new", "worse" };
	size_t n = 0;
	bool too_many = all->n > VCR_MAX_VIOLATIONS;
	char key[MOST_KEY];
	vcr_jw_key(w, "violations");
	vcr_jw_array(w);
	for (int turn = too_many ? 0 : 2; turn <= 2; turn++)
		for (size_t i = 0; i < all->n && n < VCR_MAX_VIOLATIONS; i++) {
			VCR_AUTO_BUF json = VCR_BUF_INIT;
			struct vcr_jw one;
			if (too_many && turn_of(&all->item[i], state[i]) != turn)
				continue;
			key_of(&all->item[i], key);
			vcr_jw_init(&one, &json);
			write_finding(&one, &all->item[i], key, words[state[i]], vcr_keyset_has(&s->disowned, key));
			vcr_jw_raw(w, json.data, json.len);
			vcr_known_say(k, key, json.data, json.len);
			n++;
		}
	vcr_jw_array_end(w);
}

static bool was_function(const struct vcr_metrics *was, const struct vcr_finding *f)
{
	for (size_t i = 0; was && i < was->nfunction; i++)
		if (!strcmp(was->function[i].qualified, f->function))
			return true;
	return false;
}

/* ---- Comments of the agent's own ---- */

static bool is_comment(const struct vcr_finding *f)
{
	return f->rule == VCR_RULE_UNUSED && f->measured >= 0;
}

/* A comment by the rule that it allows and the lines that it is for, as they stand. The comments are in the order of their lines: at goes on with each. */
static void comment_key(const struct vcr_finding *f, const char *text, size_t n, size_t *at, uint32_t *line, char out[64])
{
	uint64_t h = 14695981039346656037u;
	size_t end = 0;
	for (const char *p; *line < f->start_line && (p = memchr(text + *at, '\n', n - *at)); ++*line)
		*at = (size_t)(p + 1 - text);
	end = *at;
	for (uint32_t l = f->start_line; l <= f->end_line && end < n; l++) {
		const char *p = memchr(text + end, '\n', n - end);
		size_t stop = p ? (size_t)(p + 1 - text) : n;
		for (; end < stop; end++)
			h = (h ^ (unsigned char)text[end]) * 1099511628211u;
	}
	snprintf(out, 64, "%lld:%016llx", (long long)f->measured, (unsigned long long)h);
}

/* A session that blocks: who may not write a secret may not allow it either. A comment that did not stand there before, over these very lines, allows no blocker. */
static void disown(struct vcr_judging_run *s, const struct vcr_known *k, const struct vcr_judging_text *after, struct vcr_findings *all, struct vcr_findings *base)
{
	VCR_AUTO_KEYSET were = { 0 };
	char key[MOST_KEY];
	size_t at = 0;
	uint32_t line = 1;
	if (vcr_findings_worst(all) < VCR_SEVERITY_BLOCKER)
		return;
	vcr_findings_sort(base);
	vcr_findings_sort(all);
	for (size_t i = 0; i < base->n; i++)
		if (is_comment(&base->item[i])) {
			comment_key(&base->item[i], k->base, k->nbase, &at, &line, key);
			vcr_keyset_add(&were, key);
		}
	at = 0;
	line = 1;
	for (size_t i = 0; i < all->n; i++) {
		struct vcr_finding *c = &all->item[i];
		if (!is_comment(c))
			continue;
		comment_key(c, after->p, after->n, &at, &line, key);
		if (vcr_keyset_has(&were, key))
			continue;
		c->threshold = VCR_SEVERITY_BLOCKER;
		for (size_t f = 0; f < all->n; f++)
			if (all->item[f].severity >= VCR_SEVERITY_BLOCKER && vcr_allows(c, &all->item[f])) {
				key_of(&all->item[f], key);
				vcr_keyset_add(&s->disowned, key);
			}
	}
}

/* What a text is like. */
static int measure_now(struct vcr_judging_run *s, struct vcr_known *k, int language, const struct vcr_judging_text *after, struct vcr_metrics *m, struct vcr_error *e)
{
	vcr_known_keep(&s->known, k, language, after->n);
	if (!k->kept)
		return vcr_measure(s->now, language, after->p, after->n, m, e);
	return vcr_measure_tracked(s->now, &k->kept->now, language, after->p, after->n, m, e);
}

/* What stood there before, once; false: nothing, or nothing that can be measured. */
static bool measure_base(struct vcr_judging_run *s, struct vcr_known *k, int language, struct vcr_metrics *old)
{
	struct vcr_error e = { 0 };
	if (!k->base)
		return false;
	if (!k->kept)
		return !vcr_measure(s->was, language, k->base, k->nbase, old, &e);
	if (!k->kept->has_base && vcr_measure(k->kept->was, language, k->base, k->nbase, &k->kept->base, &e))
		return false;
	k->kept->has_base = true;
	*old = k->kept->base;
	return true;
}

/* The findings of a text: all of them, those that the change has made, and those of what stood there before. */
static int judge(struct vcr_judging_run *s, struct vcr_known *k, int language, const struct vcr_judging_text *after, struct vcr_metrics *m, struct vcr_findings *all, struct vcr_findings *changed,
	struct vcr_findings *base)
{
	const struct vcr_policy *p = &s->j->policy;
	VCR_AUTO_FINDINGS duplicates = VCR_FINDINGS_INIT;
	struct vcr_metrics old;
	struct vcr_error e = { 0 };
	int err = measure_now(s, k, language, after, m, &e);
	if (err)
		return err;
	find_duplicates(s, k->path, language, m, &duplicates); /* before s->was is used */
	bool had = measure_base(s, k, language, &old);
	if ((err = vcr_sentinel_judge(p, k->path, after->p, after->n, m, all)) || (had && (err = vcr_sentinel_judge(p, k->path, k->base, k->nbase, &old, base))))
		return err;
	if (!k->unknown && (err = vcr_sentinel_judge_change(p, k->path, after->p, after->n, had ? &old : NULL, m, changed)))
		return err;
	for (size_t i = 0; i < duplicates.n && !err; i++) {
		err = vcr_findings_add(all, &duplicates.item[i]);
		if (!err && !k->unknown && !was_function(had ? &old : NULL, &duplicates.item[i]))
			err = vcr_findings_add(changed, &duplicates.item[i]);
	}
	VCR_AUTO_KEYSET there = { 0 }, bases = { 0 };
	char key[MOST_KEY];
	keys_of(all, &there);
	for (size_t i = 0; i < changed->n && !err; i++) { /* growth and weakened tests are of a change only */
		key_of(&changed->item[i], key);
		if (vcr_keyset_add(&there, key))
			err = vcr_findings_add(all, &changed->item[i]);
	}
	if (s->blocks && !k->unknown)
		disown(s, k, after, all, base);
	vcr_allow_settle(all);
	vcr_allow_settle(base);
	keys_of(base, &bases);
	for (size_t i = 0; i < all->n && !err && !k->unknown; i++) { /* comments that allow nothing now */
		key_of(&all->item[i], key);
		if (all->item[i].rule == VCR_RULE_UNUSED && !vcr_keyset_has(&bases, key))
			err = vcr_findings_add(changed, &all->item[i]);
	}
	return err;
}

void vcr_judging_know(struct vcr_judging_run *s, const char *path, const struct vcr_judging_text *before)
{
	if (before->there && vcr_language_of(path, before->p, before->n) >= 0 && !vcr_known_find(&s->known, path))
		vcr_known_remember(&s->known, path, before);
}

void vcr_judging_moved(struct vcr_judging_run *s, const char *from, const char *to)
{
	const struct vcr_known *old = vcr_known_find(&s->known, from);
	if (!old || vcr_known_find(&s->known, to))
		return;
	struct vcr_judging_text base = { .p = old->base, .n = old->nbase, .there = old->base != NULL, .known = !old->unknown };
	vcr_known_remember(&s->known, to, &base);
}

static bool is_made(const char *unfit)
{
	return unfit && (!strcmp(unfit, "generated") || !strcmp(unfit, "minified"));
}

/* Why it is not measured. A session that blocks: "DO NOT EDIT" that was not there before is the agent's word, and takes no file of its own out of what is judged. */
static const char *unfit_now(const struct vcr_judging_run *s, const struct vcr_known *k, const char *path, const struct vcr_judging_text *before, const struct vcr_judging_text *after)
{
	const char *why = vcr_source_unfit(path, after->p, after->n), *was = k ? k->base : before->there ? before->p : NULL;
	bool unknown = k ? k->unknown : !before->known;
	if (!s->blocks || !is_made(why) || unknown || (was && is_made(vcr_source_unfit(path, was, k ? k->nbase : before->n))))
		return why;
	return NULL;
}

void vcr_judging_answer(struct vcr_judging_run *s, struct vcr_jw *w, const char *path, const struct vcr_judging_text *before, const struct vcr_judging_text *after)
{
	struct vcr_known *k = vcr_known_find(&s->known, path);
	int language = after->there ? vcr_language_of(path, after->p, after->n) : -1;
	VCR_AUTO_FINDINGS all = VCR_FINDINGS_INIT, changed = VCR_FINDINGS_INIT, base = VCR_FINDINGS_INIT;
	struct vcr_metrics m;
	bool passed = true;
	if (vcr_excluded(&s->j->excludes, path)) {
		skipped(w, "excluded by sentinel.conf");
		return;
	}
	if (after->there && language < 0 && !k) {
		skipped(w, "of no language that is known");
		return;
	}
	const char *unfit = after->there && language >= 0 ? unfit_now(s, k, path, before, after) : NULL;
	if (unfit && !k) {
		skipped(w, unfit);
		return;
	}
	if (!k && !(k = vcr_known_remember(&s->known, path, before))) {
		skipped(w, "too many files");
		return;
	}
	if (vcr_known_was_judged(k, before)) { /* by one that died: what it said of that is what this answer is compared with */
		VCR_AUTO_BUF unheard = VCR_BUF_INIT;
		struct vcr_jw it;
		vcr_jw_init(&it, &unheard);
		vcr_jw_object(&it);
		vcr_judging_answer(s, &it, path, before, before);
	}
	vcr_keyset_release(&s->disowned);
	int err = language >= 0 && !unfit ? judge(s, k, language, after, &m, &all, &changed, &base) : 1;
	if (err < 0) {
		skipped(w, err == VCR_ENOTFOUND || err == VCR_EVERSION ? "its language's grammar is not installed" : vcr_strerror(err));
		return;
	}
	if (err && s->scanned)
		vcr_bodies_put(s->bodies, path, -1, NULL, 0); /* it is gone */
	VCR_AUTO_KEYSET now = { 0 };
	enum state *state = calloc(all.n + 1, sizeof *state);
	if (!state) {
		skipped(w, vcr_strerror(VCR_ENOMEM));
		return;
	}
	keys_of(&all, &now);
	write_corrected(w, k, &now);
	vcr_known_forget_said(k);
	find_states(s, &all, &changed, &base, state, &passed);
	write_findings(s, w, k, &all, state);
	free(state);
	vcr_jw_key(w, "passed");
	vcr_jw_bool(w, passed);
	vcr_jw_key(w, "metrics");
	if (err)
		vcr_jw_raw(w, "{}", 2);
	else
		write_metrics(w, &m, s->now);
	vcr_known_judged(&s->known, k, after);
}

/* ---- The protocol ---- */

static int read_text(const struct vcr_json *q, const char *key, struct vcr_judging_text *t)
{
	int v = vcr_json_get(q, 0, key);
	int64_t n = 0;
	*t = (struct vcr_judging_text){ .known = v >= 0 };
	if (v < 0 || vcr_json_type(q, v) == VCR_JSON_NULL)
		return 0;
	if (!vcr_json_int(q, v, &n) || n < 0 || n > VCR_MAX_JUDGE_QUEUE)
		return VCR_ESYNTAX;
	if (!(t->p = malloc((size_t)n + 1)))
		return VCR_ENOMEM;
	t->there = true;
	t->n = (size_t)n;
	t->p[n] = 0;
	return fread(t->p, 1, t->n, stdin) == t->n ? 0 : VCR_ETRUNC;
}

static int serve_one(struct vcr_judging_run *s, const char *line, size_t n)
{
	VCR_AUTO_JSON q = VCR_JSON_INIT;
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_judging_text before, after = { .p = NULL };
	struct vcr_jw w;
	int64_t id = 0;
	if (vcr_json_parse(&q, line, n, 0, NULL) || !vcr_json_int(&q, vcr_json_get(&q, 0, "id"), &id))
		return VCR_ESYNTAX;
	char *path = vcr_json_strdup(&q, vcr_json_get(&q, 0, "path"));
	int err = read_text(&q, "before", &before);
	err = err ? err : read_text(&q, "after", &after);
	if (!err && path) {
		vcr_jw_init(&w, &out);
		vcr_jw_object(&w);
		vcr_jw_key(&w, "id");
		vcr_jw_int(&w, id);
		vcr_judging_answer(s, &w, path, &before, &after);
		vcr_jw_object_end(&w);
		vcr_buf_putc(&out, '\n');
		err = out.err ? out.err : fwrite(out.data, 1, out.len, stdout) == out.len && !fflush(stdout) ? 0 : VCR_EIO;
	}
	free(path);
	free(before.p);
	free(after.p);
	return err;
}

/* sentinel.conf and the baseline: as the session found them, if it says so; else as they are. */
static int expect(struct vcr_judging_run *s, const struct vcr_json *q, const char *config, struct vcr_error *e)
{
	struct vcr_judging_text conf = { .p = NULL }, baseline = { .p = NULL };
	const char *slash = strrchr(config, '/');
	char *dir = strndup(config, slash ? (size_t)(slash - config) : 0);
	int err = dir ? read_text(q, "conf", &conf) : VCR_ENOMEM;
	err = err ? err : read_text(q, "baseline", &baseline);
	if (!err)
		err = conf.known ? vcr_judging_expect_text(s->j, config, conf.p, conf.n, e) : vcr_judging_expect(s->j, config, e);
	if (!err && !baseline.known)
		err = vcr_judging_load_baseline(s->j, dir, e);
	else if (!err && !s->j->no_baseline)
		err = vcr_baseline_of(dir, baseline.p, baseline.n, &s->j->baseline, e);
	free(conf.p);
	free(baseline.p);
	free(dir);
	return err;
}

static int hello(struct vcr_judging_run *s, const char *line, size_t n, struct vcr_error *e)
{
	VCR_AUTO_JSON q = VCR_JSON_INIT;
	int64_t version = 0;
	if (vcr_json_parse(&q, line, n, 0, NULL) || !vcr_json_int(&q, vcr_json_get(&q, 0, "judge"), &version) || version != 1)
		return vcr_error_set(e, VCR_ESYNTAX, "standard input is not a recording's: vcr-record --sentinel starts this");
	char *config = vcr_json_strdup(&q, vcr_json_get(&q, 0, "config"));
	free(s->workspace);
	s->workspace = vcr_json_strdup(&q, vcr_json_get(&q, 0, "workspace"));
	s->blocks = vcr_json_true(&q, vcr_json_get(&q, 0, "blocks"));
	int err = s->workspace ? 0 : VCR_ENOMEM;
	char *state = vcr_json_strdup(&q, vcr_json_get(&q, 0, "state"));
	if (!err && config)
		err = expect(s, &q, config, e);
	if (!err && state)
		vcr_known_resume(&s->known, state);
	free(state);
	free(config);
	return err;
}

struct vcr_judging_run *vcr_judging_begin(struct vcr_judging *j, const char *workspace)
{
	struct vcr_judging_run *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	*s = (struct vcr_judging_run){ .j = j, .now = vcr_measure_new(), .was = vcr_measure_new(), .bodies = vcr_bodies_new(), .known = VCR_KNOWN_FILES_INIT, .workspace = workspace ? strdup(workspace) : NULL };
	s->scanned = !workspace; /* nothing is to be scanned */
	if (s->now && s->was && s->bodies && (s->workspace || !workspace))
		return s;
	vcr_judging_end(s);
	return NULL;
}

void vcr_judging_end(struct vcr_judging_run *s)
{
	if (!s)
		return;
	vcr_known_release(&s->known);
	free(s->workspace);
	vcr_keyset_release(&s->disowned);
	vcr_bodies_free(s->bodies);
	vcr_measure_free(s->now);
	vcr_measure_free(s->was);
	free(s);
}

int vcr_judging_serve(struct vcr_judging *j)
{
	struct vcr_judging_run *s = vcr_judging_begin(j, "");
	struct vcr_error e = { 0 };
	char *line = NULL;
	size_t cap = 0;
	ssize_t n = getline(&line, &cap, stdin);
	int err = !s ? VCR_ENOMEM : n > 0 ? hello(s, line, (size_t)n, &e) : VCR_ETRUNC;
	while (!err && (n = getline(&line, &cap, stdin)) > 0)
		err = serve_one(s, line, (size_t)n);
	if (err)
		vcr_say(j->t, "%s", *e.what ? e.what : vcr_strerror(err));
	free(line);
	vcr_judging_end(s);
	return err ? VCR_JUDGED_FAILED : VCR_JUDGED_CLEAN;
}
