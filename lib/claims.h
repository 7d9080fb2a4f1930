/* claims.h — does an answer say that the tests pass, and was a program that ran a test run? Pure functions over text; words of English.
 *
 * A sentence claims it when tests (a suite, specs) come before a word of passing that is about now: "all tests pass", "the suite is green", "42 tests passed",
 * "passes all tests". It does not when the sentence denies, doubts, plans, asks or quotes a condition (not, should, will, if, until, ensure, fail, ...), or when it
 * stands in a block of code. So what is found is nearly always meant; what is said in other words is not found. */
#ifndef VCR_CLAIMS_H
#define VCR_CLAIMS_H
#include <stdbool.h>
#include <stddef.h>
#include "buf.h"
#include "json.h"

/* The first such sentence of text: *at and *len, bytes. Looks at the first megabyte. */
bool vcr_claims_passing(const char *text, size_t n, size_t *at, size_t *len);
/* What an answer (output_state.response) says in words, a line for each text, as the APIs shape it; without thoughts. */
void vcr_claims_words(const struct vcr_json *j, int response, struct vcr_buf *out);
/* Is that command line a run of tests? By its program (also behind an interpreter: python3 -m pytest, node .../jest.js) and its words: pytest, python -m unittest,
 * tox, npm test, jest, cargo test, go test, make check, ctest, mvn test, rspec, phpunit, dotnet test, bats, prove, a script of that kind of name, ... */
bool vcr_is_test_run(int argc, const char *const *argv);

#endif
