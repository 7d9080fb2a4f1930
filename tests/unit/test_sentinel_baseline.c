/* A baseline: what is written is known again, and what is worse is not. */
#include "sentinel-baseline.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct vcr_finding one(enum vcr_rule_id rule, const char *path, const char *function, int64_t value, uint32_t line)
{
	return (struct vcr_finding){ .rule = rule, .severity = VCR_SEVERITY_WARNING, .start_line = line, .end_line = line, .measured = value, .path = path, .function = function,
		.message = "from x import *" };
}

START_TEST(a_finding_is_known_by_rule_path_and_function_until_it_is_worse)
{
	char dir[] = "/tmp/vcr-baseline.XXXXXX", file[64];
	VCR_AUTO_FINDINGS f = VCR_FINDINGS_INIT;
	struct vcr_baseline *b = NULL;
	struct vcr_error e = { 0 };
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert(!vcr_baseline_load(dir, &b, &e) && !b);
	const struct vcr_finding is[] = { one(VCR_RULE_LENGTH, "b.py", "run", 80, 7), one(VCR_RULE_LENGTH, "b.py", "run", 90, 200), one(VCR_RULE_STUB, "a.py", "", -1, 3),
		one(VCR_RULE_WILDCARD, "a.py", "", -1, 1), one(VCR_RULE_FILE_SIZE, "a \"\n\\.py", "", 2000, 0) };
	for (size_t i = 0; i < sizeof is / sizeof *is; i++)
		ck_assert_int_eq(vcr_findings_add(&f, &is[i]), 0);
	ck_assert_msg(!vcr_baseline_write(dir, &f, &e), "%s", e.what);
	ck_assert_msg(!vcr_baseline_load(dir, &b, &e) && b, "%s", e.what);
	const struct { struct vcr_finding f; bool known; } look[] = {
		{ one(VCR_RULE_LENGTH, "b.py", "run", 85, 1), true }, { one(VCR_RULE_LENGTH, "b.py", "run", 85, 1), false }, { one(VCR_RULE_LENGTH, "b.py", "run", 80, 1), true },
		{ one(VCR_RULE_LENGTH, "b.py", "run", 1, 1), false }, { one(VCR_RULE_STUB, "a.py", "", -1, 99), true }, { one(VCR_RULE_STUB, "a.py", "", -1, 99), false },
		{ one(VCR_RULE_WILDCARD, "a.py", "", -1, 8), true }, { one(VCR_RULE_FILE_SIZE, "a \"\n\\.py", "", 2001, 0), false },
		{ one(VCR_RULE_FILE_SIZE, "a \"\n\\.py", "", 1999, 0), true }, { one(VCR_RULE_LENGTH, "c.py", "run", 1, 1), false }, { one(VCR_RULE_NESTING, "b.py", "run", 1, 1), false },
	};
	for (int round = 0; round < 2; round++, vcr_baseline_again(b))
		for (size_t i = 0; i < sizeof look / sizeof *look; i++)
			ck_assert_msg(vcr_baseline_has(b, &look[i].f, look[i].f.path) == look[i].known, "round %d, %zu", round, i);
	vcr_baseline_free(b);
	snprintf(file, sizeof file, "%s/sentinel-baseline.json", dir);
	ck_assert_int_eq(unlink(file), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

static TCase *tc_baseline(void)
{
	TCase *tc = tcase_create("baseline");
	tcase_add_test(tc, a_finding_is_known_by_rule_path_and_function_until_it_is_worse);
	return tc;
}

TAP_MAIN("sentinel-baseline", tc_baseline)
