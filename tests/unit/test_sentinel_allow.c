/* Comments that allow a finding: which are some, how far they reach, and what remains once they are settled. */
#include "sentinel-allow.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>

/* How many lines the first comment of a text, from its first mark to the end of its line, is for. */
static uint32_t reach(const char *text, const char *mark, char rules[64])
{
	const char *at = strstr(text, mark), *end = at + strcspn(at, "\n"), *p = "";
	size_t n = 0;
	uint32_t lines = vcr_allow_comment(text, strlen(text), (size_t)(at - text), (size_t)(end - text), &p, &n);
	snprintf(rules, 64, "%.*s", (int)n, p);
	return lines;
}

START_TEST(a_comment_reaches_its_line_and_alone_the_next_one)
{
	static const struct { const char *text, *mark; uint32_t lines; const char *rules; } is[] = {
		{ "x = 1 # vcr-sentinel: allow secret\ny\n", "#", 1, "secret" },
		{ "\t// vcr-sentinel: allow a, b -- why\ny\n", "//", 2, "a, b -- why" },
		{ "/* vcr-sentinel:allow\ta */\ny\n", "/*", 2, "a */" },
		{ "# vcr-sentinel: allow a\n@one\n  @two(3)\n#[four]\ndef\n", "#", 5, "a" },
		{ "# vcr-sentinel: allow a\n# vcr-sentinel: allow b\ndef\n", "#", 3, "a" },
		{ "# vcr-sentinel: allow a", "#", 2, "a" },
		{ "# see vcr-sentinel: allow a\n", "#", 0, "" },
		{ "# vcr-sentinel: allows a\n", "#", 0, "" },
		{ "# vcr-sentinel:", "#", 0, "" },
		{ "#", "#", 0, "" },
	};
	char rules[64];
	for (size_t i = 0; i < sizeof is / sizeof *is; i++) {
		ck_assert_msg(reach(is[i].text, is[i].mark, rules) == is[i].lines, "%s", is[i].text);
		ck_assert_str_eq(rules, is[i].rules);
	}
}
END_TEST

static void say(struct vcr_findings *f, enum vcr_rule_id rule, const char *path, uint32_t line)
{
	ck_assert_int_eq(vcr_findings_add(f, &(struct vcr_finding){ .rule = rule, .severity = VCR_SEVERITY_WARNING, .start_line = line, .end_line = line, .measured = 9, .path = path,
		.function = "", .message = "m" }), 0);
}

START_TEST(what_is_allowed_goes_and_what_allows_nothing_stays)
{
	VCR_AUTO_FINDINGS f = VCR_FINDINGS_INIT;
	struct vcr_mark mark[] = { { VCR_MARK_ALLOW, 2, 3, -1, "parameters, file-size,nesting -- nothing-else" }, { VCR_MARK_SKIP, 1, 9, -1, "nesting" }, { VCR_MARK_ALLOW, 8, 9, -1, "none" } };
	struct vcr_metrics m = { .mark = mark, .nmark = 3 };
	struct vcr_policy p;
	vcr_policy_preset("default", &p);
	say(&f, VCR_RULE_PARAMETERS, "a", 3);
	say(&f, VCR_RULE_PARAMETERS, "a", 4);
	say(&f, VCR_RULE_PARAMETERS, "b", 3);
	say(&f, VCR_RULE_FILE_SIZE, "a", 0);
	ck_assert_int_eq(vcr_allow_add(&p, "a", &m, &f), 0);
	ck_assert_uint_eq(f.n, 8);
	vcr_allow_settle(&f);
	ck_assert_uint_eq(f.n, 4);
	ck_assert(f.item[0].rule == VCR_RULE_UNUSED && f.item[0].start_line == 2 && f.item[0].measured == -1 && strstr(f.item[0].message, " nesting "));
	ck_assert(f.item[1].rule == VCR_RULE_PARAMETERS && f.item[1].start_line == 4);
	ck_assert(f.item[2].rule == VCR_RULE_UNUSED && strstr(f.item[2].message, "'none', which is no rule"));
	ck_assert_str_eq(f.item[3].path, "b");
}
END_TEST

static TCase *tc_allow(void)
{
	TCase *tc = tcase_create("allow");
	tcase_add_test(tc, a_comment_reaches_its_line_and_alone_the_next_one);
	tcase_add_test(tc, what_is_allowed_goes_and_what_allows_nothing_stays);
	return tc;
}

TAP_MAIN("sentinel-allow", tc_allow)
