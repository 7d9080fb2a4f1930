/* sentinel-parts.h — inside sentinel-*.c: what each language calls the things that are measured. */
#ifndef VCR_SENTINEL_PARTS_H
#define VCR_SENTINEL_PARTS_H
#include "sentinel.h"
#include <tree_sitter/api.h>

/* What a node, or a token, of a grammar is to us. */
enum vcr_role {
	R_FUNCTION = 1 << 0,   /* begins a function of its own */
	R_CLASS = 1 << 1,      /* a class, trait, interface, impl: functions within are methods */
	R_PATH = 1 << 2,       /* one more path: cyclomatic + 1 */
	R_APART = 1 << 3,      /* what is in it adds to no function's paths */
	R_BRANCH = 1 << 4,     /* cognitive: + 1 + nesting, and what is in it is nested */
	R_FLAT = 1 << 5,       /* cognitive: + 1 */
	R_INNER = 1 << 6,      /* cognitive: what is in it is nested (lambdas) */
	R_LEVEL = 1 << 7,      /* one more level of nesting */
	R_IF = 1 << 8,         /* an if: behind R_ELSE it is an else if */
	R_ELSE = 1 << 9,       /* the token else */
	R_BINARY = 1 << 10,    /* has an operator, which may be R_LOGIC */
	R_LOGIC = 1 << 11,     /* && and the like: as an operator, one more path */
	R_PAREN = 1 << 12,     /* says nothing itself */
	R_BLOCK = 1 << 13,     /* a block that no token delimits */
	R_COMMENT = 1 << 14,
	R_NAME = 1 << 15,      /* an identifier */
	R_LITERAL = 1 << 16,   /* a number, a piece of a string */
	R_CALL = 1 << 17,
	R_CATCH = 1 << 18,     /* the handler of an error */
	R_IMPORT = 1 << 19,    /* may import everything */
	R_JUMP = 1 << 20,      /* goto, or break and continue with a label */
	R_ELSE_CLAUSE = 1 << 21, /* Python: a path unless it belongs to an if */
	R_CASES = 1 << 22,     /* Python: match, whose case that takes all is no path */
	R_CASE = 1 << 23,
	R_ATTRIBUTE = 1 << 24, /* decorator, annotation */
	R_ASSERT = 1 << 25,    /* the statement assert */
	R_ANONYMOUS = 1 << 26, /* a function without a name: what it is assigned to names it */
	R_WHOLE = 1 << 27,     /* one token, whatever is in it */
	R_PREPROC = 1 << 28,   /* its condition is no code */
	R_TYPE = 1 << 29,      /* its ? or for says something about a type, and is no path */
	R_DEFAULT = 1 << 30,   /* its = (Rust: its else) is one more path: a default, let … else */
};

struct vcr_lang_node { const char *types; uint32_t roles; }; /* types: names, separated by blanks */

struct vcr_lang {
	const struct vcr_lang_node *node; /* ends with NULL */
	const char *body_apart;  /* Python: of functions and classes only the node of this type counts */
};
/* What a language's table says. Never NULL. */
const struct vcr_lang *vcr_lang(int language);
/* The first type of its table that its grammar does not have; NULL: it has all. For the tests. */
const char *vcr_lang_unknown(int language, const TSLanguage *grammar);

/* Roles by symbol, and the fields that are asked for. */
struct vcr_lang_map {
	const struct vcr_lang *lang;
	const TSLanguage *grammar;
	uint32_t *role;          /* by symbol */
	uint32_t nsymbol;
	TSSymbol decorated, tokens; /* tokens: Rust's token_tree, the arguments of macros */
	TSFieldId name, body, parameters, parameter, operator_, declarator, function, alternative, left, key, condition;
};
/* Made once for a language, kept. Errors of vcr_grammar_load. */
int vcr_lang_map(int language, const struct vcr_lang_map **out, struct vcr_error *e);

/* What a function is called and how many parameters it declares. (sentinel-name.c) */
struct vcr_text { const char *p; size_t n; };
/* around: the node that it stands in, which names a function without a name. */
struct vcr_text vcr_lang_name(int language, const struct vcr_lang_map *map, TSNode node, TSNode around, const char *text);
uint32_t vcr_lang_parameters(int language, const struct vcr_lang_map *map, TSNode node, const char *text);
#endif
