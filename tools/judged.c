#include "judged.h"
#include <stdlib.h>
#include <string.h>

enum { TEST_SECONDS = 120, MOST_TEST_SECONDS = 86400 };

int vcr_tests_wanted(const struct vcr_tool *t, const char *command, const char *timeout, bool sealed, int *seconds)
{
	char *end = NULL;
	long n = timeout ? strtol(timeout, &end, 10) : TEST_SECONDS;
	if (timeout && (n < 1 || n > MOST_TEST_SECONDS || *end || end == timeout))
		return vcr_wrong_call(t, "--test-timeout wants seconds from 1 to %d, not '%s'", MOST_TEST_SECONDS, timeout);
	if (timeout && !command)
		return vcr_wrong_call(t, "--test-timeout is how long a --test-command may take, and none is given");
	if (command && !command[strspn(command, " \t\n")])
		return vcr_wrong_call(t, "--test-command wants a command of the shell's, not nothing");
	if (command && sealed)
		return vcr_wrong_call(t, "--test-command would run what the agent wrote outside of --sealed: give one of the two");
	*seconds = (int)n;
	return 0;
}

static long long number(const struct vcr_json *j, int object, const char *key)
{
	int64_t n = 0;
	vcr_json_int(j, vcr_json_get(j, object, key), &n);
	return n;
}

static void say_tests(const struct vcr_tool *t, const struct vcr_json *j, int tests)
{
	VCR_AUTO_BUF last = VCR_BUF_INIT, why = VCR_BUF_INIT;
	if (!vcr_json_str(j, vcr_json_get(j, tests, "last"), &last))
		vcr_say(t, "tests: %lld run%s, %lld passed, %lld failed; the last: %s", number(j, tests, "runs"), number(j, tests, "runs") == 1 ? "" : "s", number(j, tests, "passed"), number(j, tests, "failed"), last.data);
	if (!vcr_json_str(j, vcr_json_get(j, tests, "error"), &why))
		vcr_say(t, "NOT TESTED: %s", why.data);
}

void vcr_judged_say(const struct vcr_tool *t, const struct vcr_json *j)
{
	VCR_AUTO_BUF why = VCR_BUF_INIT;
	int tests = vcr_json_get(j, 0, "tests");
	if (tests >= 0)
		say_tests(t, j, tests);
	int s = vcr_json_get(j, 0, "sentinel");
	if (s < 0)
		return;
	vcr_say(t, "sentinel: %lld writes judged, %lld findings stand, %lld were corrected; the agent was told %lld times", number(j, s, "judged"), number(j, s, "standing"),
		number(j, s, "corrected"), number(j, s, "reminders"));
	if (number(j, s, "unjudged") && !vcr_json_str(j, vcr_json_get(j, s, "unjudged_because"), &why))
		vcr_say(t, "NOT JUDGED: %lld writes; the first: %s", number(j, s, "unjudged"), why.data);
}
