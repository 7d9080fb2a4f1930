/* Which paths are not judged, and .vcr/sentinel.conf, which says so. */
#include "sentinel-conf.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

START_TEST(names_are_for_anywhere_and_paths_from_the_top)
{
	static const struct { const char *pattern, *path; bool is; } is[] = {
		{ "vendor", "vendor/a.py", true }, { "vendor/", "x/vendor/y/a.py", true }, { "vendor", "vendored/a.py", false }, { "*_pb2.py", "x/y_pb2.py", true },
		{ "*_pb2.py", "x/y_pb2.pyi", false }, { "src/gen", "src/gen/a/b.c", true }, { "src/gen", "x/src/gen/a.c", false }, { "src/*.c", "src/a.c", true },
		{ "src/*.c", "src/x/a.c", false }, { "./a", "a", false }, { "a.py", "a.py", true }, { "[", "[", true }, { "a", "", false }, { "a", "//b", false },
	};
	for (size_t i = 0; i < sizeof is / sizeof *is; i++) {
		VCR_AUTO_EXCLUDES x = VCR_EXCLUDES_INIT;
		ck_assert_int_eq(vcr_excludes_add(&x, is[i].pattern, NULL), 0);
		ck_assert_msg(vcr_excluded(&x, is[i].path) == is[i].is, "%s %s", is[i].pattern, is[i].path);
	}
}
END_TEST

START_TEST(a_pattern_that_can_match_nothing_or_takes_too_long_is_refused)
{
	static const char *const wrong[] = { "", "/", "/usr", "../x", "*a*a*a*a*a*a*a*a*a" };
	VCR_AUTO_EXCLUDES x = VCR_EXCLUDES_INIT;
	struct vcr_error e;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		e = (struct vcr_error){ 0 };
		ck_assert_msg(vcr_excludes_add(&x, wrong[i], &e) < 0 && *e.what, "%s", wrong[i]);
	}
	ck_assert_int_eq(x.n, 0);
}
END_TEST

/* What it says of a text: 0, or the code with its words. */
static int load(const char *text, struct vcr_policy *p, struct vcr_excludes *x, struct vcr_error *e)
{
	char name[] = "/tmp/vcr-conf.XXXXXX";
	int fd = mkstemp(name);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	int err = vcr_sentinel_conf_load(name, p, x, e);
	unlink(name);
	return err;
}

START_TEST(the_file_sets_preset_rules_and_what_is_excluded)
{
	VCR_AUTO_EXCLUDES x = VCR_EXCLUDES_INIT;
	struct vcr_policy p;
	struct vcr_error e = { 0 };
	ck_assert_int_eq(vcr_policy_preset("default", &p), 0);
	ck_assert_int_eq(load("# ours\r\n\nexclude vendor/\npreset agent-vcr\n\trule  nesting=2,3 \nrule stub=critical\nexclude *_pb2.py\n", &p, &x, &e), 0);
	ck_assert_int_eq(x.n, 2);
	ck_assert_int_eq(p.rule[VCR_RULE_LENGTH].step[VCR_SEVERITY_WARNING], 50);
	ck_assert_int_eq(p.rule[VCR_RULE_NESTING].step[VCR_SEVERITY_CRITICAL], 3);
	ck_assert_int_eq(p.rule[VCR_RULE_STUB].step[VCR_SEVERITY_CRITICAL], 0);
	ck_assert_int_eq(vcr_sentinel_conf_load("/nonexistent/sentinel.conf", &p, &x, &e), 0);
}
END_TEST

START_TEST(what_is_wrong_in_it_is_said_with_its_line_and_changes_nothing)
{
	static const struct { const char *text, *says; } wrong[] = {
		{ "rule nesting=2\nignore x\n", ":2: 'ignore' is no setting; there are preset, rule and exclude" }, { "preset\n", ":1: a line has a setting and a value" },
		{ "\nrule nesting=2\npreset default\n", ":3: preset must stand before any rule" }, { "preset x\n", ":1: there is no preset 'x'" },
		{ "exclude a\nexclude /x\n", ":2: '/x' is no pattern" }, { "rule x=1\n", ":1: there is no rule 'x'" },
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		VCR_AUTO_EXCLUDES x = VCR_EXCLUDES_INIT;
		struct vcr_policy p, was;
		struct vcr_error e = { 0 };
		vcr_policy_preset("default", &p);
		was = p;
		ck_assert_int_lt(load(wrong[i].text, &p, &x, &e), 0);
		ck_assert_msg(strstr(e.what, wrong[i].says) != NULL, "%s", e.what);
		ck_assert(!memcmp(&p, &was, sizeof p) && !x.n);
	}
}
END_TEST

static TCase *tc_exclude(void)
{
	TCase *tc = tcase_create("exclude");
	tcase_add_test(tc, names_are_for_anywhere_and_paths_from_the_top);
	tcase_add_test(tc, a_pattern_that_can_match_nothing_or_takes_too_long_is_refused);
	tcase_add_test(tc, the_file_sets_preset_rules_and_what_is_excluded);
	tcase_add_test(tc, what_is_wrong_in_it_is_said_with_its_line_and_changes_nothing);
	return tc;
}

TAP_MAIN("sentinel-exclude", tc_exclude)
