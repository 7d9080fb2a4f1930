#include "flush.h"
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(files_are_sent_to_the_disk_and_stay_what_they_are)
{
	char dir[] = "/tmp/vcr-test-flush.XXXXXX", text[16] = "";
	ck_assert_ptr_nonnull(mkdtemp(dir));
	int at = open(dir, O_RDONLY | O_DIRECTORY), fd = openat(at, "f", O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(write(fd, "content", 7), 7);
	ck_assert_int_eq(vcr_flush_file(at, "f", false), 0);
	ck_assert_int_eq(vcr_flush_file(at, "f", true), 0);
	ck_assert_int_eq(vcr_flush_open(fd, true), 0);
	ck_assert_int_eq(pread(fd, text, sizeof text, 0), 7);
	ck_assert_str_eq(text, "content");
	unlinkat(at, "f", 0);
	close(fd);
	close(at);
	rmdir(dir);
}
END_TEST

START_TEST(what_is_not_there_or_no_file_is_passed_over)
{
	char dir[] = "/tmp/vcr-test-flush.XXXXXX", link[64];
	ck_assert_ptr_nonnull(mkdtemp(dir));
	int at = open(dir, O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(mkfifoat(at, "pipe", 0600), 0);
	ck_assert_int_eq(symlinkat("pipe", at, "link"), 0);
	ck_assert_int_eq(vcr_flush_file(at, "nothing", true), 0);
	ck_assert_int_eq(vcr_flush_file(at, "pipe", true), 0); /* nobody will ever write to it */
	ck_assert_int_eq(vcr_flush_file(at, "link", true), 0);
	ck_assert_int_eq(vcr_flush_open(-1, true), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(readlinkat(at, "link", link, sizeof link), 4);
	unlinkat(at, "pipe", 0);
	unlinkat(at, "link", 0);
	close(at);
	rmdir(dir);
}
END_TEST

START_TEST(a_file_system_without_a_journal_keeps_no_order)
{
	int fd = open("/proc/self", O_RDONLY | O_DIRECTORY);
	ck_assert(!vcr_flush_in_order(fd));
	ck_assert(!vcr_flush_in_order(-1));
	close(fd);
}
END_TEST

static TCase *tc_flush(void)
{
	TCase *tc = tcase_create("flush");
	tcase_add_test(tc, files_are_sent_to_the_disk_and_stay_what_they_are);
	tcase_add_test(tc, what_is_not_there_or_no_file_is_passed_over);
	tcase_add_test(tc, a_file_system_without_a_journal_keeps_no_order);
	return tc;
}

TAP_MAIN("flush", tc_flush)
