/* tap.h — main() of a Check program that prints TAP: `TAP_MAIN("buf", tc_a, tc_b)` where each is a TCase maker.
 * A test that needs longer than 240 s of a busy machine is wrong: some write thousands of files beside other people's builds. */
#ifndef VCR_TESTS_TAP_H
#define VCR_TESTS_TAP_H
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

/* The same for tests of which a machine may lack something: TAP_SKIP(why) ends a test that cannot be made here, which is then a visible skip and no success. */
struct tap_skips { unsigned n; struct { char test[120], why[120]; int i; } skip[256]; };
__attribute__((unused)) static struct tap_skips *tap_skips; /* shared with the process of each test */

__attribute__((unused)) static void tap_skip(const char *test, int i, const char *why)
{
	if (!tap_skips || tap_skips->n == sizeof tap_skips->skip / sizeof *tap_skips->skip)
		return;
	unsigned n = tap_skips->n++;
	snprintf(tap_skips->skip[n].test, sizeof tap_skips->skip[n].test, "%.*s", (int)(strlen(test) - (strlen(test) > 3 && !strcmp(test + strlen(test) - 3, "_fn") ? 3 : 0)), test);
	snprintf(tap_skips->skip[n].why, sizeof tap_skips->skip[n].why, "%s", why);
	tap_skips->skip[n].i = i;
}

#define TAP_SKIP(why) do { tap_skip(__func__, _i, why); return; } while (0)

/* A line of Check's TAP, "ok 3 - file.c:suite:test: Passed", of the i-th of that name: with what was skipped. */
__attribute__((unused)) static void tap_print(char *line, int i, const char *test)
{
	line[strcspn(line, "\n")] = 0;
	for (unsigned k = 0; k < tap_skips->n; k++)
		if (!strncmp(line, "ok ", 3) && tap_skips->skip[k].i == i && !strcmp(tap_skips->skip[k].test, test)) {
			printf("%.*s # SKIP %s\n", (int)(strlen(line) - (strlen(line) > 8 && !strcmp(line + strlen(line) - 8, ": Passed") ? 8 : 0)), line, tap_skips->skip[k].why);
			return;
		}
	puts(line);
}

__attribute__((unused)) static void tap_print_all(FILE *tap)
{
	char line[2000], test[120], last[120] = "";
	for (int i = 0; fgets(line, sizeof line, tap);) {
		if (sscanf(line, "%*[^:]:%*[^:]:%119[^:]", test) != 1)
			*test = 0;
		i = *test && !strcmp(test, last) ? i + 1 : 0;
		strcpy(last, test);
		tap_print(line, i, test);
	}
}

#define TAP_MAIN_SKIPPING(name, make) \
	int main(void) \
	{ \
		char path[] = "/tmp/vcr-tap.XXXXXX"; \
		int fd = mkstemp(path); \
		FILE *tap = fd >= 0 ? fdopen(fd, "r") : NULL; \
		tap_skips = mmap(NULL, sizeof *tap_skips, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); \
		if (!tap || tap_skips == MAP_FAILED) \
			return EXIT_FAILURE; \
		Suite *s = suite_create(name); \
		TCase *tc = make(); \
		tcase_set_timeout(tc, 240); \
		suite_add_tcase(s, tc); \
		SRunner *sr = srunner_create(s); \
		srunner_set_tap(sr, path); \
		srunner_run_all(sr, CK_SILENT); \
		int failed = srunner_ntests_failed(sr); \
		srunner_free(sr); \
		tap_print_all(tap); \
		remove(path); \
		return failed ? EXIT_FAILURE : EXIT_SUCCESS; \
	}
#endif
