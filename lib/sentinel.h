/* sentinel.h — what a source file's functions are like, and which rules they break.
 *
 * Measuring: one parse (tree-sitter, tolerant of errors) and one walk give an array of functions and the file's own figures. Text is bounded
 * (VCR_MAX_SOURCE), so are depth and time. A byte that is no UTF-8 counts as a letter; a BOM is passed over; lines are what \n ends.
 * A struct vcr_measure belongs to one thread at a time; what it gives out lives until it is used again or freed.
 *
 * Definitions (vcr-sentinel explain RULE says them to people):
 *   length       end line - line of the definition + 1, without decorators, annotations and attributes
 *   parameters   those that are declared: self and this too where they are written; * and / of Python are none
 *   cyclomatic   Python: radon's (github.com/rubik/radon, cc): 1 + if, elif, for, while, their else, except, its else, and/or, comprehensions and their
 *                ifs, assert, ternary, match cases but one that takes all; what decorators, defaults and nested functions add counts elsewhere or not.
 *                Others: 1 + decision words and operators of lizard 1.24's table for the language (sentinel-lang.c), less what belongs to a type (int?,
 *                <? extends A>, ?Sized), and with unless of Ruby and foreach of C#, which lizard has forgotten; match arms of Rust but the first
 *   cognitive    "Cognitive Complexity", G. Ann Campbell, SonarSource, version 1.7: nested functions count in their own and in the outer one
 *   nesting      deepest level of if, loop, switch, try around anything; else if is no deeper
 *   body         two hashes over the tokens of the body: as written, and with names replaced by the order of their first use */
#ifndef VCR_SENTINEL_H
#define VCR_SENTINEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "error.h"
#include "grammar.h"

struct vcr_function {
	const char *name, *qualified;        /* "run", "Server.run"; "" and "<anonymous>" for one without a name */
	uint32_t start_line, end_line;       /* from 1 */
	uint32_t start_byte, end_byte;
	uint32_t parameters, cyclomatic, cognitive, nesting, length;
	uint32_t tokens;                     /* of the body, without comments */
	uint64_t body, body_renamed;         /* hashes; 0 of an empty body */
	uint32_t first_token, last_token;    /* into the file's tokens [first, last) */
	int parent;                          /* the function around it, -1 */
	int in_class;                        /* the class around it, -1 */
	bool is_stub;                        /* its body does nothing: pass, ..., todo!(), raise NotImplementedError, throw "not implemented" */
	bool is_abstract;                    /* a stub that is meant: @abstractmethod, @overload, a protocol, an interface */
	bool is_test;                        /* by name or attribute */
	bool is_broken;                      /* a place in it does not parse: its figures are those of what is around */
};

struct vcr_class {
	const char *name;
	uint32_t start_line, end_line;
	uint32_t methods;                    /* directly within */
	bool is_interface;                   /* its methods are meant to do nothing */
};

enum vcr_mark_kind {
	VCR_MARK_ERROR,     /* a place that does not parse */
	VCR_MARK_WILDCARD,  /* from x import *, import java.util.*, use foo::* */
	VCR_MARK_EMPTY_CATCH,
	VCR_MARK_ASSERT,    /* an assertion in a test */
	VCR_MARK_SKIP,      /* a test is skipped */
	VCR_MARK_ALLOW,     /* a comment says which findings are meant (sentinel-allow.h): its lines are those it is for, its text is its rules */
};
struct vcr_mark { enum vcr_mark_kind kind; uint32_t start_line, end_line; int function; const char *text; /* a few words of it, "" */ };

/* One token: for clones. Comments and white space are none. */
struct vcr_token {
	uint32_t text;      /* hash of its text */
	uint32_t line;
	uint32_t at;        /* byte where it begins */
	uint16_t symbol;    /* of the grammar: what it is */
	uint16_t is_name;   /* 1: an identifier, 2: a literal */
};

struct vcr_metrics {
	int language;
	uint32_t lines;
	size_t bytes;
	const struct vcr_function *function; size_t nfunction;
	const struct vcr_class *class_; size_t nclass;
	const struct vcr_mark *mark; size_t nmark;
	const struct vcr_token *token; size_t ntoken;
	bool is_broken;     /* it does not parse as a whole; what is around the errors is measured */
	bool is_deep;       /* nested deeper than VCR_MAX_SOURCE_DEPTH; what is below is not measured */
};

struct vcr_measure;
struct vcr_measure *vcr_measure_new(void); /* NULL: no memory */
void vcr_measure_free(struct vcr_measure *m);
/* Measure a text of that language. Errors: of vcr_grammar_load; VCR_ELIMIT: too large, or it takes too long. */
int vcr_measure(struct vcr_measure *m, int language, const char *text, size_t n, struct vcr_metrics *out, struct vcr_error *e);

/* One file that is edited again and again: its tree and its figures are kept, and only what has changed is parsed and measured anew, of functions within functions the
 * innermost. What it gives out is what vcr_measure gives out for the text, and lives until *t is measured again or freed. */
struct vcr_tracked;
void vcr_tracked_free(struct vcr_tracked *t);
/* *t is NULL at first, and NULL again when it fails. The text is copied. */
int vcr_measure_tracked(struct vcr_measure *m, struct vcr_tracked **t, int language, const char *text, size_t n, struct vcr_metrics *out, struct vcr_error *e);

/* How many bytes of the text the parser has looked at in the last vcr_measure or vcr_measure_tracked. */
size_t vcr_measure_read(const struct vcr_measure *m);
/* And how many nodes of its tree the walk has looked at; a function that is taken over is one. */
size_t vcr_measure_walked(const struct vcr_measure *m);

/* Why a file is not measured, from its first bytes and its size: a reason for people, or NULL. (sentinel-skip.c) */
const char *vcr_source_unfit(const char *path, const char *text, size_t n);

/* --- rules (sentinel-rules.c) */

enum vcr_severity { VCR_SEVERITY_OFF, VCR_SEVERITY_INFO, VCR_SEVERITY_WARNING, VCR_SEVERITY_CRITICAL, VCR_SEVERITY_BLOCKER };
const char *vcr_severity_name(enum vcr_severity s);

/* X(ID, "id", "what it says in a line") in the order of the manual. What a step means: a value above warn, critical, blocker (-1: never) has that
 * severity. Rules without a number have a severity of their own in warn, critical or blocker: 0 there. */
#define VCR_RULES(X) \
	X(SYNTAX, "syntax-error", "the file does not parse") \
	X(LENGTH, "function-length", "a function has too many lines") \
	X(CYCLOMATIC, "cyclomatic", "a function has too many paths through it") \
	X(COGNITIVE, "cognitive", "a function is hard to follow") \
	X(PARAMETERS, "parameters", "a function takes too many parameters") \
	X(NESTING, "nesting", "control structures are nested too deeply") \
	X(FILE_SIZE, "file-size", "a file has too many lines") \
	X(FILE_GROWTH, "file-growth", "a file has grown too much since the start") \
	X(CLASS_SIZE, "class-size", "a class has too many methods") \
	X(DUPLICATE, "duplicate-function", "a function's body is that of another one") \
	X(CLONE, "clone", "a passage of code is a copy of another one") \
	X(WILDCARD, "wildcard-import", "names are imported without being named") \
	X(STUB, "stub", "a function does nothing, or an error is caught and dropped") \
	X(TESTS, "tests-weakened", "a test asserts less than it did, or is skipped") \
	X(SECRET, "secret", "a secret stands in a file") \
	X(UNUSED, "unused-suppression", "a comment allows what is not there") \
	X(CLAIMS, "claims", "an answer says that tests pass, which were not run or failed")

#define VCR_RULE_ID(id, name, line) VCR_RULE_##id,
enum vcr_rule_id { VCR_RULES(VCR_RULE_ID) VCR_RULE_COUNT };
#undef VCR_RULE_ID

struct vcr_rule {
	const char *id, *line;
	const char *unit;      /* "lines", "" */
	const char *explained; /* paragraphs: definition, why, source */
};
const struct vcr_rule *vcr_sentinel_rule(enum vcr_rule_id id);
/* -1: there is none. */
int vcr_sentinel_rule_named(const char *id);

struct vcr_thresholds { int64_t step[VCR_SEVERITY_BLOCKER + 1]; /* by severity; -1: never */ };
struct vcr_policy { const char *name; struct vcr_thresholds rule[VCR_RULE_COUNT]; };
/* A preset: "default", "agent-vcr". VCR_ENOTFOUND. */
int vcr_policy_preset(const char *name, struct vcr_policy *out);
/* RULE=off, RULE=WARN, RULE=WARN,CRITICAL,BLOCKER (numbers; - for never), RULE=info|warning|critical|blocker. VCR_ESYNTAX, VCR_ENOTFOUND in words. */
int vcr_policy_set(struct vcr_policy *p, const char *text, struct vcr_error *e);
/* What a value of a rule is under a policy. */
enum vcr_severity vcr_policy_severity(const struct vcr_policy *p, enum vcr_rule_id rule, int64_t value, int64_t *threshold);

struct vcr_finding {
	enum vcr_rule_id rule;
	enum vcr_severity severity;
	uint32_t start_line, end_line; /* 0: the file as a whole */
	int64_t measured, threshold;   /* -1: the rule has no number */
	const char *path, *function;   /* "" if none */
	const char *message;           /* one line, what and what to do */
};
struct vcr_findings { struct vcr_finding *item; size_t n; void *arena; /* private */ };
#define VCR_FINDINGS_INIT { NULL, 0, NULL }
void vcr_findings_release(struct vcr_findings *f);
#define VCR_AUTO_FINDINGS __attribute__((cleanup(vcr_findings_release))) struct vcr_findings
/* Append one; words are copied. */
int vcr_findings_add(struct vcr_findings *f, const struct vcr_finding *one);
/* By path, line, rule. */
void vcr_findings_sort(struct vcr_findings *f);
enum vcr_severity vcr_findings_worst(const struct vcr_findings *f);

/* What the rules say about one file by itself: all but growth, duplicates, clones, weakened tests. Appends. What its comments allow is among it until
 * vcr_allow_settle. */
int vcr_sentinel_judge(const struct vcr_policy *p, const char *path, const char *text, size_t n, const struct vcr_metrics *m, struct vcr_findings *out);
/* What a change has made worse: before is NULL for a new file. As vcr_sentinel_judge, but only functions whose figure is worse than it was (found by
 * qualified name, else by body), stubs and wildcards that are new, growth, tests that assert less. */
int vcr_sentinel_judge_change(const struct vcr_policy *p, const char *path, const char *text, size_t n, const struct vcr_metrics *before,
	const struct vcr_metrics *after, struct vcr_findings *out);

#endif
