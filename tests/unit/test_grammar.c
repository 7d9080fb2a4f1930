/* Languages by name and by #!, grammars that are there and that are not. */
#include "grammar.h"
#include "sentinel-parts.h"
#include "tap.h"
#include <string.h>
#include <stdio.h>

START_TEST(a_file_is_of_the_language_that_its_name_says_else_its_first_line)
{
	static const char python[] = "#!/usr/bin/env -S python3.11 -u\n", sh[] = "#! /bin/sh\n", none[] = "#!/usr/bin/awk -f\n";
	ck_assert_int_eq(vcr_language_of("a/b.py", NULL, 0), VCR_LANG_PYTHON);
	ck_assert_int_eq(vcr_language_of("B.PY", NULL, 0), VCR_LANG_PYTHON);
	ck_assert_int_eq(vcr_language_of("x.tsx", NULL, 0), VCR_LANG_TSX);
	ck_assert_int_eq(vcr_language_of("x.c++", NULL, 0), VCR_LANG_CPP);
	ck_assert_int_eq(vcr_language_of("x.h", NULL, 0), VCR_LANG_C);
	ck_assert_int_eq(vcr_language_of("x.txt", python, sizeof python - 1), -1);
	ck_assert_int_eq(vcr_language_of("d.py/run", python, sizeof python - 1), VCR_LANG_PYTHON);
	ck_assert_int_eq(vcr_language_of("run", sh, sizeof sh - 1), VCR_LANG_BASH);
	ck_assert_int_eq(vcr_language_of("run", none, sizeof none - 1), -1);
	ck_assert_int_eq(vcr_language_of("run", python, 12), -1);
	ck_assert_int_eq(vcr_language_of(".py", NULL, 0), -1);
	ck_assert_int_eq(vcr_language_named("c#"), VCR_LANG_C_SHARP);
	ck_assert_int_eq(vcr_language_named("cobol"), -1);
}
END_TEST

START_TEST(a_grammar_that_is_not_there_is_said_by_name)
{
	struct vcr_error e = { 0 };
	const TSLanguage *grammar = NULL;
	setenv("VCR_GRAMMARS", "/nonexistent", 1);
	int err = vcr_grammar_load(VCR_LANG_C_SHARP, &grammar, &e);
	if (!err) /* one beside the program, or installed */
		TAP_SKIP("this machine has it");
	ck_assert_int_eq(err, VCR_ENOTFOUND);
	ck_assert_ptr_nonnull(strstr(e.what, "C#"));
	ck_assert_ptr_null(grammar);
	ck_assert_int_eq(vcr_grammar_load(99, &grammar, &e), VCR_EINVAL);
}
END_TEST

START_TEST(a_grammar_has_every_node_that_its_languages_table_names)
{
	struct vcr_error e = { 0 };
	const TSLanguage *grammar;
	const char *unknown;
	int err = vcr_grammar_load(_i, &grammar, &e);
	if (err) {
		ck_assert_int_eq(err, VCR_ENOTFOUND);
		TAP_SKIP("it is not built here; scripts/grammars fetches it");
	}
	unknown = vcr_lang_unknown(_i, grammar);
	ck_assert_msg(!unknown, "%s: no node %s", vcr_language_name(_i), unknown ? unknown : "");
}
END_TEST

static TCase *tc_grammar(void)
{
	TCase *tc = tcase_create("grammar");
	tcase_add_test(tc, a_file_is_of_the_language_that_its_name_says_else_its_first_line);
	tcase_add_test(tc, a_grammar_that_is_not_there_is_said_by_name);
	tcase_add_loop_test(tc, a_grammar_has_every_node_that_its_languages_table_names, 0, VCR_LANG_COUNT);
	return tc;
}

TAP_MAIN_SKIPPING("grammar", tc_grammar)
