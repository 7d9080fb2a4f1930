#include "settings.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/vcr-settings-XXXXXX", got[1000];
static struct vcr_error e;

static int take(void *ctx, const char *key, const char *value, struct vcr_error *why)
{
	if (!strcmp(key, "bad"))
		return vcr_error_set(why, VCR_ESYNTAX, "it is bad");
	snprintf(got + strlen(got), sizeof got - strlen(got), "<%s=%s>", key, value ? value : "(none)");
	return 0;
}

/* As a file; a text is read as one is. */
static int read_text(const char *text)
{
	char as_text[sizeof got];
	struct vcr_error why = { 0 };
	*got = 0;
	int err = vcr_settings_of(path, text, strlen(text), take, NULL, &why);
	strcpy(as_text, got);
	FILE *f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
	*got = 0;
	e = (struct vcr_error){ 0 };
	ck_assert_int_eq(vcr_settings_read(path, take, NULL, &e), err);
	ck_assert_str_eq(got, as_text);
	ck_assert_str_eq(e.what, why.what);
	return err;
}

static void begin(void)
{
	strcpy(path + sizeof path - 7, "XXXXXX");
	close(mkstemp(path));
}

static void end(void)
{
	unlink(path);
}

START_TEST(each_line_is_a_key_and_a_value_without_blanks_at_its_ends)
{
	ck_assert_int_eq(read_text("a 1\n\n  # no\n\tb  two words \t\r\nc\nlast x"), 0);
	ck_assert_str_eq(got, "<a=1><b=two words><c=(none)><last=x>");
}
END_TEST

START_TEST(the_first_that_is_not_taken_is_said_with_file_and_line)
{
	char want[100];
	ck_assert_int_eq(read_text("a 1\n#\nbad 2\nc 3\n"), VCR_ESYNTAX);
	snprintf(want, sizeof want, "%s:3: it is bad", path);
	ck_assert_str_eq(e.what, want);
	ck_assert_str_eq(got, "<a=1>");
}
END_TEST

START_TEST(a_line_without_end_and_what_is_no_file_are_refused)
{
	char *text = malloc(9001);
	memset(text, 'x', 9000);
	text[9000] = 0;
	ck_assert_int_eq(read_text(text), VCR_ELIMIT);
	ck_assert_str_eq(got, "");
	free(text);
	unlink(path);
	ck_assert_int_eq(vcr_settings_read(path, take, NULL, &e), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(vcr_settings_read(path, take, NULL, &e), VCR_EINVAL);
}
END_TEST

static TCase *settings(void)
{
	TCase *tc = tcase_create("settings");
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, each_line_is_a_key_and_a_value_without_blanks_at_its_ends);
	tcase_add_test(tc, the_first_that_is_not_taken_is_said_with_file_and_line);
	tcase_add_test(tc, a_line_without_end_and_what_is_no_file_are_refused);
	return tc;
}

TAP_MAIN("settings", settings)
