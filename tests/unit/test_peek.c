/* Memory of another process: here our own, laid out so that it ends. */
#include "peek.h"
#include "tap.h"
#include <linux/limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };
static char *page; /* behind it is nothing */

static void make_page(void)
{
	page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(page, MAP_FAILED);
	ck_assert_int_eq(munmap(page + PAGE, PAGE), 0);
}

START_TEST(a_text_that_ends_where_its_page_does_is_read)
{
	char text[PATH_MAX] = "";
	make_page();
	strcpy(page + PAGE - 6, "hello");
	ck_assert(vcr_peek_text(getpid(), (uint64_t)(uintptr_t)(page + PAGE - 6), text, sizeof text));
	ck_assert_str_eq(text, "hello");
}
END_TEST

START_TEST(one_without_an_end_is_none_but_what_is_there_of_it_is_read)
{
	char text[PATH_MAX] = "";
	make_page();
	memcpy(page + PAGE - 5, "hello", 5);
	ck_assert(!vcr_peek_text(getpid(), (uint64_t)(uintptr_t)(page + PAGE - 5), text, sizeof text));
	ck_assert_str_eq(text, "hello");
	ck_assert(!vcr_peek_text(getpid(), 0, text, sizeof text));
	ck_assert(!vcr_peek_text(getpid(), 1, text, sizeof text));
	ck_assert(!vcr_peek_text(getpid(), UINT64_MAX - 2, text, sizeof text));
}
END_TEST

START_TEST(one_that_is_too_long_is_cut)
{
	char text[4];
	ck_assert(!vcr_peek_text(getpid(), (uint64_t)(uintptr_t)"hello", text, sizeof text));
	ck_assert_int_eq(memcmp(text, "hell", 4), 0);
}
END_TEST

START_TEST(bytes_are_read_all_or_not)
{
	char some[8];
	make_page();
	ck_assert(vcr_peek(getpid(), (uint64_t)(uintptr_t)(page + PAGE - 8), some, 8));
	ck_assert(!vcr_peek(getpid(), (uint64_t)(uintptr_t)(page + PAGE - 7), some, 8));
}
END_TEST

START_TEST(of_a_process_that_is_gone_nothing_is_read)
{
	char some[8];
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert(!vcr_peek(pid, (uint64_t)(uintptr_t)some, some, 8));
}
END_TEST

static TCase *tc_peek(void)
{
	TCase *tc = tcase_create("peek");
	tcase_add_test(tc, a_text_that_ends_where_its_page_does_is_read);
	tcase_add_test(tc, one_without_an_end_is_none_but_what_is_there_of_it_is_read);
	tcase_add_test(tc, one_that_is_too_long_is_cut);
	tcase_add_test(tc, bytes_are_read_all_or_not);
	tcase_add_test(tc, of_a_process_that_is_gone_nothing_is_read);
	return tc;
}

TAP_MAIN("peek", tc_peek)
