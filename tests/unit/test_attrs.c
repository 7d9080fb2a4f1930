#include "attrs.h"
#include "limits.h"
#include "tap.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static char dir[] = "/tmp/vcr-attrs-XXXXXX", path[64];
static int at;
static bool some; /* the file system has user.* */
static struct vcr_buf text;

static void setup(void)
{
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof path, "%s/f", dir);
	close(open(path, O_WRONLY | O_CREAT, 0644));
	some = !setxattr(path, "user.a", "1", 1, 0);
	vcr_buf_init(&text, 0);
	if (!some)
		fprintf(stderr, "# no extended attributes in /tmp: what needs them is left out\n");
}

static void teardown(void)
{
	vcr_buf_release(&text);
	close(at);
	unlink(path);
	rmdir(dir);
}

START_TEST(what_is_read_is_sorted_and_escaped_and_what_is_written_is_read_again)
{
	if (!some)
		TAP_SKIP("this file system keeps no extended attributes");
	ck_assert_int_eq(setxattr(path, "user.Z= %\xff", "a\n\0=%", 5, 0), 0);
	ck_assert_int_eq(setxattr(path, "user.empty", "", 0, 0), 0);
	ck_assert_int_eq(vcr_attrs_read(at, "f", &text), 0);
	ck_assert_str_eq(text.data, "user.Z%3D%20%25%FF=a%0A%00%3D%25\nuser.a=1\nuser.empty=\n");
	ck_assert(vcr_attrs_has(at, "f"));
	ck_assert_int_eq(vcr_attrs_write(at, "f", "", 0), 0);
	ck_assert(!vcr_attrs_has(at, "f"));
	ck_assert_int_eq(setxattr(path, "user.more", "x", 1, 0), 0);
	ck_assert_int_eq(vcr_attrs_write(at, "f", text.data, text.len), 0);
	VCR_AUTO_BUF again = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_attrs_read(at, "f", &again), 0);
	ck_assert_str_eq(again.data, text.data);
}
END_TEST

START_TEST(many_attributes_are_all_read)
{
	char name[64], value[32] = "";
	int n = 0;
	if (!some)
		TAP_SKIP("this file system keeps no extended attributes");
	for (; n < 60; n++) { /* as far as there is room */
		snprintf(name, sizeof name, "user.a-name-that-is-not-too-short-%04d", n);
		if (setxattr(path, name, value, 8, 0))
			break;
	}
	ck_assert_int_gt(n, 30); /* more than 1,024 bytes of names */
	ck_assert(vcr_attrs_has(at, "f"));
	ck_assert_int_eq(vcr_attrs_read(at, "f", &text), 0);
	for (char *p = text.data; (p = strchr(p, '\n')); p++)
		n--;
	ck_assert_int_eq(n, -1); /* and user.a */
	ck_assert_int_eq(vcr_attrs_write(at, "f", "", 0), 0);
	ck_assert(!vcr_attrs_has(at, "f"));
}
END_TEST

START_TEST(a_text_that_is_none_does_nothing_and_other_kinds_are_never_written)
{
	static const char *const bad[] = { "user.b", "user.b=1", "user.b=%0\n", "user.b=%zz\n", "user.b=a b\n", "user.b=a=b\n", "=1\n", "\n", "trusted.b=1\n", "security.selinux=1\n",
		"user.b=\xff\n", "user.%00b=1\n", "user.b=1\nx" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_int_eq(vcr_attrs_write(at, "f", bad[i], strlen(bad[i])), VCR_ESYNTAX);
	ck_assert_int_eq(vcr_attrs_read(at, "f", &text), 0);
	ck_assert_str_eq(text.data, some ? "user.a=1\n" : "");
}
END_TEST

START_TEST(what_is_not_there_has_none_and_what_cannot_be_set_is_said)
{
	ck_assert_int_eq(vcr_attrs_read(at, "nothing", &text), 0);
	ck_assert_uint_eq(text.len, 0);
	ck_assert(!vcr_attrs_has(at, "nothing"));
	ck_assert_int_eq(vcr_attrs_write(at, "nothing", "user.a=1\n", 9), 1);
}
END_TEST

static TCase *attrs(void)
{
	TCase *tc = tcase_create("attrs");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_is_read_is_sorted_and_escaped_and_what_is_written_is_read_again);
	tcase_add_test(tc, many_attributes_are_all_read);
	tcase_add_test(tc, a_text_that_is_none_does_nothing_and_other_kinds_are_never_written);
	tcase_add_test(tc, what_is_not_there_has_none_and_what_cannot_be_set_is_said);
	return tc;
}

TAP_MAIN_SKIPPING("attrs", attrs)
