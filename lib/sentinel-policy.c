/* Rules, presets, thresholds. */
#include "sentinel.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NEVER { -1, -1, -1, -1, -1 }
#define STEPS(info, warning, critical, blocker) { { -1, info, warning, critical, blocker } }
#define IS(severity) STEPS((severity) == VCR_SEVERITY_INFO ? 0 : -1, (severity) == VCR_SEVERITY_WARNING ? 0 : -1, (severity) == VCR_SEVERITY_CRITICAL ? 0 : -1, \
	(severity) == VCR_SEVERITY_BLOCKER ? 0 : -1)

static const struct vcr_policy presets[] = {
	{ "default", {
		[VCR_RULE_SYNTAX] = IS(VCR_SEVERITY_CRITICAL),
		[VCR_RULE_LENGTH] = STEPS(-1, 60, 120, -1),
		[VCR_RULE_CYCLOMATIC] = STEPS(-1, 10, 20, -1),
		[VCR_RULE_COGNITIVE] = STEPS(-1, 15, 30, -1),
		[VCR_RULE_PARAMETERS] = STEPS(-1, 7, 10, -1),
		[VCR_RULE_NESTING] = STEPS(-1, 4, 6, -1),
		[VCR_RULE_FILE_SIZE] = STEPS(-1, 1000, 3000, -1),
		[VCR_RULE_FILE_GROWTH] = STEPS(-1, 200, 500, -1),
		[VCR_RULE_CLASS_SIZE] = STEPS(-1, 20, 40, -1),
		[VCR_RULE_DUPLICATE] = IS(VCR_SEVERITY_WARNING),
		[VCR_RULE_CLONE] = IS(VCR_SEVERITY_INFO),
		[VCR_RULE_WILDCARD] = IS(VCR_SEVERITY_INFO),
		[VCR_RULE_STUB] = IS(VCR_SEVERITY_WARNING),
		[VCR_RULE_TESTS] = IS(VCR_SEVERITY_CRITICAL),
		[VCR_RULE_SECRET] = IS(VCR_SEVERITY_BLOCKER),
		[VCR_RULE_UNUSED] = IS(VCR_SEVERITY_WARNING),
		[VCR_RULE_CLAIMS] = IS(VCR_SEVERITY_CRITICAL) } },
	/* as ai-agent-vcr 1.5.4 has them */
	{ "agent-vcr", {
		[VCR_RULE_SYNTAX] = IS(VCR_SEVERITY_BLOCKER),
		[VCR_RULE_LENGTH] = STEPS(-1, 50, 100, 200),
		[VCR_RULE_CYCLOMATIC] = STEPS(-1, 10, 19, -1),
		[VCR_RULE_COGNITIVE] = { NEVER },
		[VCR_RULE_PARAMETERS] = STEPS(-1, 7, -1, -1),
		[VCR_RULE_NESTING] = { NEVER },
		[VCR_RULE_FILE_SIZE] = STEPS(-1, 500, 999, -1),
		[VCR_RULE_FILE_GROWTH] = STEPS(-1, -1, 200, -1),
		[VCR_RULE_CLASS_SIZE] = STEPS(-1, 15, -1, -1),
		[VCR_RULE_DUPLICATE] = IS(VCR_SEVERITY_CRITICAL),
		[VCR_RULE_CLONE] = { NEVER },
		[VCR_RULE_WILDCARD] = IS(VCR_SEVERITY_WARNING),
		[VCR_RULE_STUB] = { NEVER },
		[VCR_RULE_TESTS] = { NEVER },
		[VCR_RULE_SECRET] = { NEVER },
		[VCR_RULE_UNUSED] = { NEVER },
		[VCR_RULE_CLAIMS] = IS(VCR_SEVERITY_CRITICAL) } },
};

#define EXPLAIN(id, unit, text) [VCR_RULE_##id] = { NULL, NULL, unit, text }
static struct vcr_rule rules[VCR_RULE_COUNT] = {
	EXPLAIN(SYNTAX, "", "A place of the file is not what the language's grammar allows. What stands around it is measured all the same; a program with it does not\n"
		"run. The grammars are those of tree-sitter: they accept a little more than the languages, and lag behind their newest syntax. In C and C++, where a macro may\n"
		"make anything of it, this is never more than a note."),
	EXPLAIN(LENGTH, "lines", "From the line of the definition to its last one, comments and blank lines too, decorators not. A function that does not fit on a screen is\n"
		"read in parts, and changed in parts: split it where a comment would begin a paragraph."),
	EXPLAIN(CYCLOMATIC, "", "The number of independent paths through a function (T. J. McCabe, 1976). Python: exactly as radon counts (radon cc): 1, and 1 more for each\n"
		"if, elif, for, while, except, their else but that of an if, assert, comprehension and its ifs, conditional expression, and, or, and case but one that\n"
		"takes all; what a nested function or a decorator adds does not count. Other languages: 1, and 1 more for each decision word and operator of\n"
		"lizard's table for the language (if, for, while, case, catch, &&, ||, ?; #if in C, C++ and C#; defaults and ?? in JavaScript and TypeScript; match arms but\n"
		"the first, let … else, ? and where in Rust; unless in Ruby, foreach in C#). A ? or for that belongs to a type is none. Bash: if, elif, for, select,\n"
		"while, until, each case but *), && and ||."),
	EXPLAIN(COGNITIVE, "", "How hard a function is to follow: G. Ann Campbell, Cognitive Complexity (SonarSource, version 1.7). 1 for each break of the linear flow (if, else,\n"
		"switch, loop, catch, conditional expression, chain of like operators, labelled jump, recursion), and 1 more for each structure around it."),
	EXPLAIN(PARAMETERS, "parameters", "Parameters as declared, self and this too where they are written; * and / of Python are none. Many of them are often a structure that has no\n"
		"name yet."),
	EXPLAIN(NESTING, "levels", "The deepest level of conditions, loops, switches and trys in a function; an else if is as deep as its if. Return early, or give the inner part a\n"
		"name."),
	EXPLAIN(FILE_SIZE, "lines", "Lines of a file, comments and blank lines too."),
	EXPLAIN(FILE_GROWTH, "%", "By how many percent of its size, in lines, a file has grown since the start of the session, or since the baseline. Files that had fewer than\n"
		"50 lines are not judged."),
	EXPLAIN(CLASS_SIZE, "methods", "Methods directly in a class (in Rust, in one impl)."),
	EXPLAIN(DUPLICATE, "", "The body of a function is, token by token, that of another one: as it is (30 tokens or more), or with names and literals replaced one for one\n"
		"(60 tokens or more). Comments and layout do not count. A function that moved, whose former place is gone, is no duplicate."),
	EXPLAIN(CLONE, "", "A passage of 100 tokens or more, on 10 lines or more, stands in two places, of one file or of two, also with other names and literals.\n"
		"Passages within functions that are duplicates are not said again."),
	EXPLAIN(WILDCARD, "", "from x import *, import java.util.*, use x::*, import . \"x\": what a name means can no longer be read in the file. A package that names what it\n"
		"gives on is one of the uses that are meant."),
	EXPLAIN(STUB, "", "A function whose body only says that it is still to be written (pass, ..., raise NotImplementedError, todo!(), throw new Error(\"not implemented\")),\n"
		"or a handler that drops an error without a word. Abstract methods, overloads, protocols and .pyi files are meant to be so."),
	EXPLAIN(TESTS, "", "A test that exists has fewer assertions than it had, asserts less exactly (equality became containment or truth), is skipped where it was not, or\n"
		"is gone."),
	EXPLAIN(SECRET, "", "A key, token or private key of a known shape stands in a file. Put it in the environment, and revoke this one if the file has left the machine."),
	EXPLAIN(UNUSED, "", "A comment vcr-sentinel: allow RULE[, RULE] -- reason says that a finding is meant: behind code it is for that line, alone on a line for the next one, and\n"
		"for what stands below one-line decorators; findings about the whole file it allows from anywhere. This is one that allows nothing, or names no rule: it is\n"
		"left from code that has changed, and would hide the next finding."),
	EXPLAIN(CLAIMS, "", "An answer of a recorded session says that the tests pass, but none were run before it, or the last run failed. vcr-sentinel check says which frames\n"
		"these are."),
};

#define NAME(id_, name, line_) [VCR_RULE_##id_] = { name, line_ },
static const struct { const char *id, *line; } names[] = { VCR_RULES(NAME) };
#undef NAME

const struct vcr_rule *vcr_sentinel_rule(enum vcr_rule_id id)
{
	struct vcr_rule *r = &rules[id];
	r->id = names[id].id;
	r->line = names[id].line;
	return r;
}

int vcr_sentinel_rule_named(const char *id)
{
	for (int i = 0; i < VCR_RULE_COUNT; i++)
		if (!strcmp(names[i].id, id))
			return i;
	return -1;
}

const char *vcr_severity_name(enum vcr_severity s)
{
	static const char *const severity[] = { "off", "info", "warning", "critical", "blocker" };
	return severity[s];
}

int vcr_policy_preset(const char *name, struct vcr_policy *out)
{
	for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
		if (!strcmp(presets[i].name, name)) {
			*out = presets[i];
			return 0;
		}
	return VCR_ENOTFOUND;
}

static const struct vcr_thresholds never = { NEVER };

static bool numbers(const char *s, struct vcr_thresholds *t)
{
	*t = never;
	for (int step = VCR_SEVERITY_WARNING; step <= VCR_SEVERITY_BLOCKER; step++) {
		char *end = (char *)s;
		if (*s == '-')
			end++;
		else if (*s >= '0' && *s <= '9')
			t->step[step] = strtoll(s, &end, 10);
		if (end == s || (*end && *end != ','))
			return false;
		if (!*end)
			return true;
		s = end + 1;
	}
	return false;
}

int vcr_policy_set(struct vcr_policy *p, const char *text, struct vcr_error *e)
{
	const char *eq = strchr(text, '=');
	char id[40];
	size_t n = eq ? (size_t)(eq - text) : 0;
	if (!eq || !n || n >= sizeof id)
		return vcr_error_set(e, VCR_ESYNTAX, "'%s' is no RULE=VALUE", text);
	memcpy(id, text, n);
	id[n] = 0;
	int rule = vcr_sentinel_rule_named(id);
	if (rule < 0)
		return vcr_error_set(e, VCR_ENOTFOUND, "there is no rule '%s'; vcr-sentinel rules lists them", id);
	struct vcr_thresholds t = never;
	for (int s = VCR_SEVERITY_OFF; s <= VCR_SEVERITY_BLOCKER; s++)
		if (!strcmp(eq + 1, vcr_severity_name(s))) {
			if (s)
				t.step[s] = 0;
			if (s && *vcr_sentinel_rule(rule)->unit) /* a rule with numbers keeps its first one */
				for (int k = VCR_SEVERITY_INFO; k <= VCR_SEVERITY_BLOCKER; k++)
					if (p->rule[rule].step[k] >= 0) {
						t.step[s] = p->rule[rule].step[k];
						break;
					}
			p->rule[rule] = t;
			return 0;
		}
	if (!numbers(eq + 1, &t))
		return vcr_error_set(e, VCR_ESYNTAX, "%s: '%s' is neither a severity (off, info, warning, critical, blocker) nor up to three numbers", id, eq + 1);
	p->rule[rule] = t;
	return 0;
}

enum vcr_severity vcr_policy_severity(const struct vcr_policy *p, enum vcr_rule_id rule, int64_t value, int64_t *threshold)
{
	for (int s = VCR_SEVERITY_BLOCKER; s > VCR_SEVERITY_OFF; s--) {
		int64_t step = p->rule[rule].step[s];
		if (step >= 0 && value > step) {
			if (threshold)
				*threshold = step;
			return s;
		}
	}
	return VCR_SEVERITY_OFF;
}
