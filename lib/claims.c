#include "claims.h"
#include "conv.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MOST_BYTES = 1 << 20, MOST_WORDS = 80, WORD = 24, NEAR = 6, MOST_MESSAGES = 64 };

struct sentence { char word[MOST_WORDS][WORD]; int n; bool asks; };

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(word, *list))
			return true;
	return false;
}

static const char *const things[] = { "test", "tests", "suite", "suites", "specs", "unittests", "testsuite", NULL };
static const char *const passes[] = { "pass", "passes", "passed", "passing", "green", "succeed", "succeeds", "succeeded", NULL };
static const char *const doubts[] = { "not", "no", "none", "never", "n't", "cannot", "can't", "don't", "doesn't", "didn't", "isn't", "aren't", "won't", "fail", "fails", "failed",
	"failing", "failure", "failures", "error", "errors", "except", "but", "only", "some", "most", "should", "would", "will", "could", "can", "may", "might", "must", "shall", "if", "when",
	"once", "until", "unless", "whether", "before", "ensure", "ensures", "verify", "check", "checking", "confirm", "see", "make", "making", "so", "try", "want", "need", "needs", "expect",
	"expected", "hopefully", "probably", "likely", "let", "let's", "i'll", "we'll", "they'll", "previously", "earlier", "how", "why", "requires", "assuming", "run", "running", "rerun", NULL };

/* ---- What is said ---- */

static bool ends_sentence(const char *p, const char *end)
{
	return *p == '\n' || *p == ';' || ((*p == '.' || *p == '!' || *p == '?') && (p + 1 == end || isspace((unsigned char)p[1]) || strchr("*_`\"')", p[1])));
}

static void read_words(struct sentence *s, const char *p, size_t n)
{
	*s = (struct sentence){ .n = 0 };
	for (const char *end = p + n; p < end && s->n < MOST_WORDS;) {
		size_t k = 0;
		while (p < end && !isalnum((unsigned char)*p) && !(*p & 0x80))
			s->asks |= *p++ == '?';
		for (; p < end && (isalnum((unsigned char)*p) || *p == '\'' || *p & 0x80); p++)
			if (k < WORD - 1)
				s->word[s->n][k++] = (char)tolower((unsigned char)*p);
		s->n += k > 0;
	}
}

/* "tests ... pass", close together, and "passes all tests". */
static bool is_claim(const struct sentence *s)
{
	int thing = -1;
	bool found = false;
	for (int i = 0; i < s->n; i++) {
		const char *w = s->word[i];
		if (s->asks || is_one_of(w, doubts))
			return false;
		if (is_one_of(w, things)) {
			found |= i >= 2 && is_one_of(s->word[i - 2], passes) && !strcmp(s->word[i - 1], "all");
			found |= i >= 3 && is_one_of(s->word[i - 3], passes) && !strcmp(s->word[i - 2], "all");
			thing = i;
		} else if (is_one_of(w, passes)) {
			found |= thing >= 0 && i - thing <= NEAR && strcmp(s->word[i - 1], "to");
		}
	}
	return found;
}

bool vcr_claims_passing(const char *text, size_t n, size_t *at, size_t *len)
{
	const char *end = text + (n < MOST_BYTES ? n : MOST_BYTES), *begin = text;
	bool code = false;
	for (const char *p = text; p <= end; p++) {
		if (p < end && !ends_sentence(p, end))
			continue;
		struct sentence s;
		const char *stop = p < end && *p != '\n' ? p + 1 : p;
		while (begin < stop && isspace((unsigned char)*begin))
			begin++;
		if (stop - begin >= 3 && (!memcmp(begin, "```", 3) || !memcmp(begin, "~~~", 3)))
			code = !code;
		else if (!code && begin < stop && *begin != '>') {
			read_words(&s, begin, (size_t)(stop - begin));
			if (is_claim(&s)) {
				*at = (size_t)(begin - text);
				*len = (size_t)(stop - begin);
				return true;
			}
		}
		begin = stop;
	}
	return false;
}

/* What a message says in words, a line for each text. */
static void add_words(const struct vcr_json *j, int v, struct vcr_buf *out)
{
	if (vcr_json_type(j, v) == VCR_JSON_STRING) {
		vcr_json_str(j, v, out);
		vcr_buf_putc(out, '\n');
		return;
	}
	for (int m = vcr_json_type(j, v) == VCR_JSON_ARRAY ? vcr_json_first(j, v) : -1; m >= 0; m = vcr_json_next(j, m))
		if (vcr_json_type(j, m) == VCR_JSON_OBJECT && !vcr_json_true(j, vcr_json_get(j, m, "thought")))
			add_words(j, vcr_json_get(j, m, "text"), out);
}

void vcr_claims_words(const struct vcr_json *j, int response, struct vcr_buf *out)
{
	for (int k = 0, m; k < MOST_MESSAGES && (m = vcr_conv_answer_message(j, response, k)) >= 0; k++) {
		add_words(j, vcr_json_get(j, m, "content"), out);
		add_words(j, vcr_json_get(j, m, "parts"), out);
	}
}

/* ---- What was run ---- */

static void name_of(const char *path, char out[WORD * 2])
{
	static const char *const suffixes[] = { ".py", ".js", ".mjs", ".cjs", ".rb", ".pl", ".sh", ".php", ".exe", NULL };
	const char *slash = strrchr(path, '/');
	snprintf(out, WORD * 2, "%s", slash ? slash + 1 : path);
	for (const char *const *s = suffixes; *s; s++) {
		size_t n = strlen(out), k = strlen(*s);
		if (n > k && !strcmp(out + n - k, *s))
			out[n - k] = 0;
	}
	size_t n = strlen(out);
	if (n > 4 && !strcmp(out + n - 4, "-cli")) /* npm-cli.js */
		out[n - 4] = 0;
}

static bool is_interpreter(const char *name)
{
	static const char *const list[] = { "node", "bun", "deno", "ruby", "perl", "php", "bash", "sh", "dash", "zsh", "env", "timeout", "nice", "time", "xvfb-run", "uv", "uvx", "npx", "pnpx", "poetry",
		"pipenv", "hatch", "coverage", "bundle", "pipx", "rye", "pdm", NULL };
	return is_one_of(name, list) || !strncmp(name, "python", 6) || !strncmp(name, "pypy", 4);
}

/* A name that says what it does: test, tests, run_tests, test-all, unit_test, check. */
static bool sounds_like_tests(const char *name)
{
	for (const char *p = name; (p = strcasestr(p, "test")); p += 4) {
		bool begins = p == name || !isalnum((unsigned char)p[-1]), ends = !isalnum((unsigned char)p[4]) || (tolower((unsigned char)p[4]) == 's' && !isalnum((unsigned char)p[5]));
		if (begins && ends)
			return true;
	}
	return false;
}

static bool has_word(int argc, const char *const *argv, int from, const char *a, const char *b)
{
	for (int i = from; i < argc; i++)
		if (!strcmp(argv[i], a) || (b && !strcmp(argv[i], b)))
			return true;
	return false;
}

/* The words behind the program's name decide. */
static bool tests_with(const char *name, int argc, const char *const *argv, int from)
{
	static const char *const runners[] = { "pytest", "py.test", "nose2", "nosetests", "tox", "nox", "jest", "vitest", "mocha", "ava", "tap", "karma", "jasmine", "ctest", "rspec", "phpunit", "pest",
		"bats", "prove", "gotestsum", "nextest", "cargo-nextest", "stestr", "trial", "unittest", "minitest", "busted", NULL };
	static const struct { const char *name, *a, *b; } words[] = { { "npm", "test", "t" }, { "npm", "run-script", NULL }, { "yarn", "test", NULL }, { "pnpm", "test", "t" }, { "bun", "test", NULL },
		{ "deno", "test", NULL }, { "node", "--test", NULL }, { "cargo", "test", "nextest" }, { "go", "test", NULL }, { "make", "check", "test" }, { "gmake", "check", "test" }, { "meson", "test", NULL },
		{ "ninja", "test", "check" }, { "mvn", "test", "verify" }, { "mvnw", "test", "verify" }, { "gradle", "test", "check" }, { "gradlew", "test", "check" }, { "rake", "test", "spec" },
		{ "dotnet", "test", NULL }, { "mix", "test", NULL }, { "swift", "test", NULL }, { "zig", "test", NULL }, { "sbt", "test", NULL }, { "bazel", "test", NULL }, { "composer", "test", NULL },
		{ "just", "test", "check" }, { "rails", "test", NULL }, { "artisan", "test", NULL }, { "manage", "test", NULL }, { "dart", "test", NULL }, { "flutter", "test", NULL } };
	if (is_one_of(name, runners))
		return true;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (!strcmp(name, words[i].name) && strcmp(words[i].a, "run-script") && has_word(argc, argv, from, words[i].a, words[i].b))
			return true;
	bool scripts = !strcmp(name, "npm") || !strcmp(name, "yarn") || !strcmp(name, "pnpm") || !strcmp(name, "bun");
	for (int i = from; scripts && i + 1 < argc; i++)
		if (!strcmp(argv[i], "run") && !strncmp(argv[i + 1], "test", 4))
			return true;
	return false;
}

bool vcr_is_test_run(int argc, const char *const *argv)
{
	char name[WORD * 2];
	for (int i = 0; i < argc && i < 8; i++) {
		if (*argv[i] == '-' || strchr(argv[i], '=')) { /* an option, a variable, or the code that a shell is given: what that runs is looked at by itself */
			if (!strcmp(argv[i], "-c") || !strcmp(argv[i], "-e") || !strcmp(argv[i], "--eval"))
				return false;
			if (!strcmp(argv[i], "--test"))
				return true;
			continue;
		}
		name_of(argv[i], name);
		if (tests_with(name, argc, argv, i + 1) || (i && sounds_like_tests(name)) || (!i && strchr(argv[0], '/') && sounds_like_tests(name)))
			return true;
		if (!is_interpreter(name) && !(i && strspn(argv[i], "0123456789.smh") == strlen(argv[i])) && strcmp(argv[i], "run") && strcmp(argv[i], "exec"))
			return false;
	}
	return false;
}
