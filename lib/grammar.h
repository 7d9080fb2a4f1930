/* grammar.h — the programming languages that are understood, and the grammars (tree-sitter) that understand them.
 *
 * A grammar is a loadable module NAME.so that defines tree_sitter_NAME(). It is looked for in $VCR_GRAMMARS (a directory; not in a program with raised
 * privileges), in grammars/ beside the program (a build tree), then in VCR_PKGLIBDIR/grammars; loaded once, when it is first asked for, and never
 * unloaded. Its ABI must be one that the tree-sitter we are linked with can run. An absent one is said by name: the language is known, cannot be read.
 * All functions may be called from several threads. */
#ifndef VCR_GRAMMAR_H
#define VCR_GRAMMAR_H
#include <stddef.h>
#include <stdint.h>
#include "error.h"

/* X(id, module, name for people, suffixes of files) */
#define VCR_LANGUAGES(X) \
	X(PYTHON, "python", "Python", "py pyi pyw") \
	X(JAVASCRIPT, "javascript", "JavaScript", "js mjs cjs jsx") \
	X(TYPESCRIPT, "typescript", "TypeScript", "ts mts cts") \
	X(TSX, "tsx", "TSX", "tsx") \
	X(GO, "go", "Go", "go") \
	X(RUST, "rust", "Rust", "rs") \
	X(C, "c", "C", "c h") \
	X(CPP, "cpp", "C++", "cc cpp cxx c++ hh hpp hxx h++ ipp") \
	X(JAVA, "java", "Java", "java") \
	X(RUBY, "ruby", "Ruby", "rb rake gemspec ru") \
	X(C_SHARP, "c_sharp", "C#", "cs") \
	X(PHP, "php", "PHP", "php phtml") \
	X(BASH, "bash", "Bash", "sh bash bats")

#define VCR_LANGUAGE_ID(id, module, name, suffixes) VCR_LANG_##id,
enum vcr_language { VCR_LANGUAGES(VCR_LANGUAGE_ID) VCR_LANG_COUNT };
#undef VCR_LANGUAGE_ID

/* The language of a file by its name, else by the #! line with which its text (may be NULL) begins; -1: none that is known. */
int vcr_language_of(const char *path, const char *text, size_t n);
/* The language of that name ("python", "C++"), -1. */
int vcr_language_named(const char *name);
/* "python", "c_sharp"; "Python", "C#". "" for what is no language. */
const char *vcr_language_module(int language);
const char *vcr_language_name(int language);

struct TSLanguage;
/* Its grammar. VCR_ENOTFOUND: not installed; VCR_EVERSION: not one that this tree-sitter can run; in words that name it. */
int vcr_grammar_load(int language, const struct TSLanguage **out, struct vcr_error *e);
/* Another number when another set of grammars would be loaded: their places, sizes and times. Loads none. */
uint64_t vcr_grammar_stamp(void);
/* Where it was loaded from; NULL: it is not. */
const char *vcr_grammar_path(int language);

#endif
