#include "claims.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>

static const char *const claims[] = { "All tests pass.", "Done! The test suite passes now.", "I mended it. All 42 tests passed and the code is clean.", "✅ Tests are passing", "**All tests are green.**",
	"The unit tests now pass without changes.", "The change passes all tests.", "It passes all the tests.", "Everything works:\n- tests: all passed", "Both test suites succeeded.",
	"I've added the check. Tests pass" };
static const char *const others[] = { "The tests do not pass yet.", "All tests should pass now.", "Let me run the tests to see if they pass.", "Once the tests pass I will commit.", "Do the tests pass?",
	"3 tests passed, 1 failed.", "I pass the test data to the parser.", "Make sure all tests pass.", "I will make the tests pass.", "You can run `pytest` to confirm the tests pass.", "The tests aren't passing.",
	"```\nall tests pass\n```", "> all tests pass", "I changed the test so that the parser is passed a list.", "Only the first test passes.", "The build is green.", "", "No tests passed." };

START_TEST(an_answer_that_says_so_is_found)
{
	size_t at, len;
	ck_assert_msg(vcr_claims_passing(claims[_i], strlen(claims[_i]), &at, &len), "%s", claims[_i]);
	ck_assert_msg(at + len <= strlen(claims[_i]) && len > 8, "%s", claims[_i]);
}
END_TEST

START_TEST(one_that_denies_plans_doubts_or_means_something_else_is_not)
{
	size_t at, len;
	ck_assert_msg(!vcr_claims_passing(others[_i], strlen(others[_i]), &at, &len), "%s", others[_i]);
}
END_TEST

START_TEST(the_sentence_is_the_one_that_says_it)
{
	static const char text[] = "I looked at it. It was broken. All tests pass now! Bye.";
	size_t at, len;
	ck_assert(vcr_claims_passing(text, strlen(text), &at, &len));
	ck_assert_int_eq(strncmp(text + at, "All tests pass now!", len), 0);
	ck_assert_uint_eq(len, strlen("All tests pass now!"));
}
END_TEST

/* No NUL behind it, words without end, bytes that are no text. */
START_TEST(any_bytes_are_taken)
{
	static char text[3 << 20];
	size_t at, len;
	memset(text, 'a', sizeof text);
	ck_assert(!vcr_claims_passing(text, sizeof text, &at, &len));
	memset(text, 0xff, sizeof text);
	ck_assert(!vcr_claims_passing(text, sizeof text, &at, &len));
	memset(text, '.', sizeof text);
	ck_assert(!vcr_claims_passing(text, sizeof text, &at, &len));
}
END_TEST

static bool runs(const char *line)
{
	char copy[200], *words[32], *save = NULL;
	int n = 0;
	snprintf(copy, sizeof copy, "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w && n < 32; w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	return vcr_is_test_run(n, (const char *const *)words);
}

static const char *const runners[] = { "pytest", "/usr/bin/python3 -m pytest -q", "python3 -m unittest -q", "python3 -Werror -m unittest", "npm test", "node /usr/lib/node_modules/npm/bin/npm-cli.js test",
	"npm run test:unit", "npx jest", "node ./node_modules/.bin/vitest run", "cargo test --all", "go test ./...", "make check", "make -j2 test", "ctest", "bash ./run_tests.sh", "./scripts/test", "python3 test_words.py",
	"python3 manage.py test", "node --test", "uv run pytest", "timeout 60 pytest", "env A=b tox", "bundle exec rspec", "mvn -q test", "./gradlew test" };
static const char *const not_runners[] = { "ls", "git commit -m test", "cat test_words.py", "python3 main.py", "python3 -c print('test')", "bash -c pytest", "make all", "npm install jest", "grep -r test .",
	"test -f x", "[ -f x ]", "vim tests/a.py", "go build ./test", "latest", "node contest.js", "" };

START_TEST(runs_of_tests_are_known_by_their_words)
{
	ck_assert_msg(runs(runners[_i]), "%s", runners[_i]);
}
END_TEST

START_TEST(and_other_programs_are_not)
{
	ck_assert_msg(!runs(not_runners[_i]), "%s", not_runners[_i]);
}
END_TEST

static TCase *all(void)
{
	TCase *tc = tcase_create("claims");
	tcase_add_loop_test(tc, an_answer_that_says_so_is_found, 0, sizeof claims / sizeof *claims);
	tcase_add_loop_test(tc, one_that_denies_plans_doubts_or_means_something_else_is_not, 0, sizeof others / sizeof *others);
	tcase_add_test(tc, the_sentence_is_the_one_that_says_it);
	tcase_add_test(tc, any_bytes_are_taken);
	tcase_add_loop_test(tc, runs_of_tests_are_known_by_their_words, 0, sizeof runners / sizeof *runners);
	tcase_add_loop_test(tc, and_other_programs_are_not, 0, sizeof not_runners / sizeof *not_runners);
	return tc;
}

TAP_MAIN("claims", all)
