#include "redact.h"
#include "sentinel-allow.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The functions of a file by name and by body, for a change of many. */
struct index { const struct vcr_metrics *m; uint32_t *name, *body; };

/* What is being judged: one file, or a change of it. */
struct judging {
	const struct vcr_policy *policy;
	const char *path, *text;
	size_t n;
	const struct vcr_metrics *m, *before; /* before NULL: all of it is judged */
	bool is_change;
	struct vcr_findings *out;
	struct index was, is;
	int err;
};

/* A finding if the policy says so. value -1: the rule has no number. */
static void say(struct judging *j, enum vcr_rule_id rule, uint32_t start, uint32_t end, const char *function, int64_t value, const char *fmt, ...)
	__attribute__((format(printf, 7, 8)));
static void say(struct judging *j, enum vcr_rule_id rule, uint32_t start, uint32_t end, const char *function, int64_t value, const char *fmt, ...)
{
	char words[600], limit[64] = "";
	struct vcr_finding f = { .rule = rule, .start_line = start, .end_line = end, .path = j->path, .function = function, .measured = value, .threshold = -1 };
	int64_t threshold = -1;
	f.severity = vcr_policy_severity(j->policy, rule, value < 0 ? 1 : value, &threshold);
	/* what the preprocessor makes of it, nobody knows who reads one file */
	if (rule == VCR_RULE_SYNTAX && f.severity > VCR_SEVERITY_INFO && (j->m->language == VCR_LANG_C || j->m->language == VCR_LANG_CPP))
		f.severity = VCR_SEVERITY_INFO;
	if (f.severity == VCR_SEVERITY_OFF || j->err)
		return;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(words, sizeof words - sizeof limit, fmt, ap);
	va_end(ap);
	if (value >= 0) {
		const char *unit = vcr_sentinel_rule(rule)->unit;
		f.threshold = threshold;
		snprintf(limit, sizeof limit, " (more than %lld%s%s)", (long long)threshold, *unit && *unit != '%' ? " " : "", unit);
		strcat(words, limit);
	}
	f.message = words;
	j->err = vcr_findings_add(j->out, &f);
}

static int by_name(const void *a, const void *b, void *ctx)
{
	const struct vcr_metrics *m = ctx;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = strcmp(m->function[x].qualified, m->function[y].qualified);
	return order ? order : x < y ? -1 : x > y;
}

static int by_body(const void *a, const void *b, void *ctx)
{
	const struct vcr_metrics *m = ctx;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	uint64_t p = m->function[x].body_renamed, q = m->function[y].body_renamed;
	return p != q ? (p < q ? -1 : 1) : x < y ? -1 : x > y;
}

static void index_release(struct index *x)
{
	free(x->name);
	free(x->body);
}

static int index_make(struct index *x, const struct vcr_metrics *m)
{
	size_t n = m ? m->nfunction : 0;
	*x = (struct index){ m, malloc((n + 1) * sizeof *x->name), malloc((n + 1) * sizeof *x->body) };
	if (!x->name || !x->body)
		return VCR_ENOMEM;
	for (size_t i = 0; i < n; i++)
		x->name[i] = x->body[i] = (uint32_t)i;
	if (n) {
		qsort_r(x->name, n, sizeof *x->name, by_name, (void *)m);
		qsort_r(x->body, n, sizeof *x->body, by_body, (void *)m);
	}
	return 0;
}

/* The function of that name, else one with the same body. */
static const struct vcr_function *find_function(const struct index *x, const struct vcr_function *f)
{
	size_t n = x->m ? x->m->nfunction : 0, low = 0, high = n;
	while (low < high && *f->name) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(x->m->function[x->name[middle]].qualified, f->qualified) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (*f->name && low < n && !strcmp(x->m->function[x->name[low]].qualified, f->qualified))
		return &x->m->function[x->name[low]];
	for (low = 0, high = n; low < high && f->tokens >= 20;) {
		size_t middle = low + (high - low) / 2;
		if (x->m->function[x->body[middle]].body_renamed < f->body_renamed)
			low = middle + 1;
		else
			high = middle;
	}
	return f->tokens >= 20 && low < n && x->m->function[x->body[low]].body_renamed == f->body_renamed ? &x->m->function[x->body[low]] : NULL;
}

struct measure_of { enum vcr_rule_id rule; size_t at; const char *fmt; };
#define OF(field) offsetof(struct vcr_function, field)
static const struct measure_of numbers[] = {
	{ VCR_RULE_LENGTH, OF(length), "%s is %u lines long: split it" },
	{ VCR_RULE_CYCLOMATIC, OF(cyclomatic), "%s has a cyclomatic complexity of %u: it takes too many paths" },
	{ VCR_RULE_COGNITIVE, OF(cognitive), "%s has a cognitive complexity of %u: it is hard to follow" },
	{ VCR_RULE_PARAMETERS, OF(parameters), "%s takes %u parameters" },
	{ VCR_RULE_NESTING, OF(nesting), "%s is nested %u levels deep" },
};

static uint32_t number(const struct vcr_function *f, const struct measure_of *of)
{
	uint32_t v;
	memcpy(&v, (const char *)f + of->at, sizeof v);
	return v;
}

static const char *called(const struct vcr_function *f, char *to, size_t size)
{
	if (*f->name)
		snprintf(to, size, "%.200s%s", f->qualified, strchr(f->name, ' ') || strchr(f->name, '(') ? "" : "()");
	else
		snprintf(to, size, "the function of line %u", f->start_line);
	return to;
}

static bool has_suffix(const char *path, const char *suffix)
{
	size_t n = strlen(path), k = strlen(suffix);
	return n >= k && !strcmp(path + n - k, suffix);
}

static void judge_function(struct judging *j, const struct vcr_function *f, const struct vcr_function *old)
{
	char name[240], words[300];
	called(f, name, sizeof name);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		uint32_t v = number(f, &numbers[i]);
		if (old && v <= number(old, &numbers[i]))
			continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(words, sizeof words, numbers[i].fmt, name, v);
#pragma GCC diagnostic pop
		say(j, numbers[i].rule, f->start_line, f->end_line, f->qualified, v, "%s", words);
	}
	if (f->is_stub && !f->is_abstract && !(old && old->is_stub) && !has_suffix(j->path, ".pyi"))
		say(j, VCR_RULE_STUB, f->start_line, f->end_line, f->qualified, -1, "%s does nothing yet", name);
}

static size_t count_marks(const struct vcr_metrics *m, enum vcr_mark_kind kind, const char *text)
{
	size_t n = 0;
	for (size_t i = 0; m && i < m->nmark; i++)
		n += m->mark[i].kind == kind && (!text || !strcmp(m->mark[i].text, text));
	return n;
}

static const char *function_at(const struct judging *j, const struct vcr_mark *m)
{
	return m->function >= 0 ? j->m->function[m->function].qualified : "";
}

static void judge_marks(struct judging *j)
{
	bool said_broken = j->is_change && j->before && j->before->is_broken;
	for (size_t i = 0; i < j->m->nmark; i++) {
		const struct vcr_mark *m = &j->m->mark[i];
		if (m->kind == VCR_MARK_ERROR && !said_broken) {
			say(j, VCR_RULE_SYNTAX, m->start_line, m->end_line, function_at(j, m), -1, "this is no %s: %.60s", vcr_language_name(j->m->language), *m->text ? m->text
				: "something is missing");
			said_broken = true; /* further ones are mostly echoes */
		} else if (m->kind == VCR_MARK_WILDCARD && !(j->before && count_marks(j->before, m->kind, m->text))) {
			say(j, VCR_RULE_WILDCARD, m->start_line, m->end_line, function_at(j, m), -1, "imports names without naming them: %.80s", m->text);
		} else if (m->kind == VCR_MARK_EMPTY_CATCH && !(j->before && count_marks(j->before, m->kind, NULL) >= count_marks(j->m, m->kind, NULL))) {
			say(j, VCR_RULE_STUB, m->start_line, m->end_line, function_at(j, m), -1, "an error is caught and dropped without a word");
		}
	}
}

static const struct vcr_class *find_class(const struct vcr_metrics *m, const char *name)
{
	for (size_t i = 0; m && i < m->nclass; i++)
		if (!strcmp(m->class_[i].name, name))
			return &m->class_[i];
	return NULL;
}

static void judge_file(struct judging *j)
{
	if (!j->before || j->m->lines > j->before->lines)
		say(j, VCR_RULE_FILE_SIZE, 0, 0, "", j->m->lines, "the file has %u lines: split it", j->m->lines);
	for (size_t i = 0; i < j->m->nclass; i++) {
		const struct vcr_class *c = &j->m->class_[i], *old = find_class(j->before, c->name);
		if (!old || c->methods > old->methods)
			say(j, VCR_RULE_CLASS_SIZE, c->start_line, c->end_line, c->name, c->methods, "class %.200s has %u methods", c->name, c->methods);
	}
}

/* Only what can be the beginning of a known shape is given to the redactor, which looks closely. One pass: a bit for each of them that a byte can be the
 * first, second or third of. */
static bool may_hold_secret(const char *p, size_t n)
{
	static const char *const begin[] = { "sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "AKIA", "ASIA", "AIza", "xox", "hf_", "glpat-", "gsk_",
		"xai-", "pplx-", "nvapi-", "npm_", "pypi-", "_live_", "dop_v1_", "PRIVATE KEY" };
	enum { SHAPES = sizeof begin / sizeof *begin, ALIKE = 3 };
	uint32_t is[ALIKE][256] = { 0 };
	_Static_assert(SHAPES <= 32, "a bit for each");
	for (unsigned i = 0; i < SHAPES; i++)
		for (unsigned k = 0; k < ALIKE; k++)
			is[k][(unsigned char)begin[i][k]] |= 1u << i;
	const unsigned char *b = (const unsigned char *)p;
	for (size_t i = 0; i + ALIKE <= n; i++)
		for (uint32_t may = is[0][b[i]] & is[1][b[i + 1]] & is[2][b[i + 2]]; may; may &= may - 1) {
			const char *shape = begin[__builtin_ctz(may)];
			size_t k = strlen(shape);
			if (k <= n - i && !memcmp(p + i, shape, k))
				return true;
		}
	return false;
}

static void judge_secrets(struct judging *j)
{
	static const char sign[] = "{{vcr:secret:";
	struct vcr_redact *r = may_hold_secret(j->text, j->n) ? vcr_redact_new() : NULL;
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	unsigned found = 0;
	uint32_t line = 1;
	if (r && !vcr_redact(r, j->text, j->n, &out, &found) && found)
		for (const char *p = out.data, *at; (at = strstr(p, sign)) != NULL; p = at + sizeof sign - 1) {
			for (; p < at; p++)
				line += *p == '\n';
			const char *name = strchr(at + sizeof sign - 1, ':');
			int n = name ? (int)strcspn(name + 1, "}") : 0;
			say(j, VCR_RULE_SECRET, line, line, "", -1, "a secret stands here: %.*s", n < 60 ? n : 60, name ? name + 1 : "");
		}
	vcr_redact_free(r);
}

static int judge(struct judging *j)
{
	if ((j->err = index_make(&j->was, j->before)) != 0)
		return j->err;
	for (size_t i = 0; i < j->m->nfunction; i++)
		judge_function(j, &j->m->function[i], find_function(&j->was, &j->m->function[i]));
	judge_marks(j);
	judge_file(j);
	if (!j->is_change)
		judge_secrets(j);
	return j->err;
}

static void judged(struct judging *j)
{
	index_release(&j->was);
	index_release(&j->is);
}

int vcr_sentinel_judge(const struct vcr_policy *p, const char *path, const char *text, size_t n, const struct vcr_metrics *m, struct vcr_findings *out)
{
	struct judging j = { .policy = p, .path = path, .text = text, .n = n, .m = m, .out = out };
	int err = judge(&j);
	judged(&j);
	return err ? err : vcr_allow_add(p, path, m, out);
}

/* --- changes */

static void judge_growth(struct judging *j)
{
	uint32_t was = j->before ? j->before->lines : 0, now = j->m->lines;
	if (was >= 50 && now > was)
		say(j, VCR_RULE_FILE_GROWTH, 0, 0, "", (int64_t)(now - was) * 100 / was, "the file has grown from %u to %u lines, by %u%%", was, now, (now - was) * 100 / was);
}

/* How closely an assertion looks: equality 2, anything else 1. */
static unsigned closeness(const char *text)
{
	return strstr(text, "==") || strcasestr(text, "equal") || strstr(text, "assert_eq") || strstr(text, "toBe(") || strstr(text, "_EQ(") ? 2 : 1;
}

struct asserted { unsigned n, close, skips; };

/* What the test f and the functions within it assert; skips: decorators stand before it, outside. */
static struct asserted asserted(const struct vcr_metrics *m, const struct vcr_function *f)
{
	struct asserted a = { 0, 0, 0 };
	for (size_t i = 0; i < m->nmark; i++) {
		const struct vcr_mark *k = &m->mark[i];
		bool within = k->start_line >= f->start_line && k->end_line <= f->end_line;
		if (k->kind == VCR_MARK_ASSERT && within) {
			a.n++;
			a.close += closeness(k->text) == 2;
		}
		a.skips += k->kind == VCR_MARK_SKIP && (within || (k->end_line < f->start_line && k->end_line + 5 > f->start_line && k->function < 0));
	}
	return a;
}

static bool is_test_file(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	return !strncmp(base, "test", 4) || strstr(base, "_test.") || strstr(base, ".test.") || strstr(base, ".spec.") || strstr(base, "Test.") || strstr(base, "Tests.")
		|| strstr(path, "/tests/") || !strncmp(path, "tests/", 6) || strstr(path, "/test/") || strstr(base, "_spec.");
}

static bool is_test(const struct judging *j, const struct vcr_function *f)
{
	return f->is_test || (is_test_file(j->path) && (!strncmp(f->name, "it(", 3) || !strncmp(f->name, "test(", 5)));
}

static void judge_tests(struct judging *j)
{
	for (size_t i = 0; j->before && i < j->before->nfunction; i++) {
		const struct vcr_function *was = &j->before->function[i], *now;
		if (!is_test(j, was))
			continue;
		struct asserted a = asserted(j->before, was), b;
		if (!(now = find_function(&j->is, was))) {
			if (a.n && is_test_file(j->path))
				say(j, VCR_RULE_TESTS, 0, 0, was->qualified, -1, "the test %.200s is gone", was->qualified);
			continue;
		}
		b = asserted(j->m, now);
		if (b.skips > a.skips)
			say(j, VCR_RULE_TESTS, now->start_line, now->end_line, now->qualified, -1, "the test %.200s is skipped now", now->qualified);
		if (b.n < a.n)
			say(j, VCR_RULE_TESTS, now->start_line, now->end_line, now->qualified, -1, "the test %.200s has %u assertions where it had %u", now->qualified, b.n, a.n);
		else if (b.close < a.close)
			say(j, VCR_RULE_TESTS, now->start_line, now->end_line, now->qualified, -1, "the test %.200s asserts less exactly: %u equalities where there were %u",
				now->qualified, b.close, a.close);
	}
}

int vcr_sentinel_judge_change(const struct vcr_policy *p, const char *path, const char *text, size_t n, const struct vcr_metrics *before,
	const struct vcr_metrics *after, struct vcr_findings *out)
{
	struct judging j = { .policy = p, .path = path, .text = text, .n = n, .m = after, .before = before, .is_change = true, .out = out };
	int err = judge(&j);
	if (err) {
		judged(&j);
		return err;
	}
	judge_secrets(&j);
	judge_growth(&j);
	if (!(err = index_make(&j.is, after)))
		judge_tests(&j);
	judged(&j);
	return err ? err : j.err;
}
