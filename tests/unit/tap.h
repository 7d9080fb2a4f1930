/* tap.h — main() of a Check program that prints TAP: `TAP_MAIN("buf", tc_a, tc_b)` where each is a TCase maker.
 * A test that needs longer than 240 s of a busy machine is wrong: some write thousands of files beside other people's builds. */
#ifndef VCR_TESTS_TAP_H
#define VCR_TESTS_TAP_H
#include <check.h>
#include <stdlib.h>

#define TAP_MAIN(name, ...) \
	int main(void) \
	{ \
		TCase *(*const make[])(void) = { __VA_ARGS__ }; \
		Suite *s = suite_create(name); \
		for (size_t i = 0; i < sizeof make / sizeof *make; i++) { \
			TCase *tc = make[i](); \
			tcase_set_timeout(tc, 240); \
			suite_add_tcase(s, tc); \
		} \
		SRunner *sr = srunner_create(s); \
		srunner_set_tap(sr, "-"); \
		srunner_run_all(sr, CK_SILENT); \
		int failed = srunner_ntests_failed(sr); \
		srunner_free(sr); \
		return failed ? EXIT_FAILURE : EXIT_SUCCESS; \
	}
#endif
