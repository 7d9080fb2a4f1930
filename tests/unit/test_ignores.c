#include "ignores.h"
#include "tap.h"
#include <fcntl.h>
#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char work[] = "/tmp/vcr-ignores-XXXXXX";
static int dir = -1;

static void begin(void)
{
	git_repository *repo;
	git_libgit2_init();
	strcpy(work + sizeof work - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(work));
	ck_assert_int_eq(git_repository_init(&repo, work, 0), 0);
	git_repository_free(repo);
	dir = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(mkdirat(dir, "a", 0700) | mkdirat(dir, "a/b", 0700), 0);
}

static void end(void)
{
	char line[100];
	snprintf(line, sizeof line, "rm -rf '%s'", work);
	ck_assert_int_eq(system(line), 0);
	close(dir);
	git_libgit2_shutdown();
}

static void put(const char *name, const void *text, size_t n)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_eq(write(fd, text, n), (ssize_t)n);
	close(fd);
}

static bool safe(const char *path)
{
	struct vcr_ignores g = { 0 };
	return vcr_ignores_safe(&g, dir, path, NULL);
}

/* Does libgit2 come back? In a process of its own, which is ended after so many seconds of CPU time. */
static bool comes_back(void)
{
	pid_t pid = fork();
	if (!pid) {
		git_repository *repo;
		int yes;
		alarm(20);
		if (!git_repository_open(&repo, work))
			git_ignore_path_is_ignored(&yes, repo, "a/b/file");
		_exit(0);
	}
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status);
}

START_TEST(a_line_that_begins_with_a_vertical_tab_or_a_form_feed_is_not_safe)
{
	static const char *const unsafe[] = { "\v", "\f", "!\vx", "/\f", "!/\v", " \t\r\v", "a\n\fb\n", "\xef\xbb\xbf\f" };
	static const char *const fine[] = { "", "a\v", "#\v", "a b\f", "\\\v", "*.o\n!b\n/c\n# d\n", "\n\n" };
	for (size_t i = 0; i < sizeof unsafe / sizeof *unsafe; i++) {
		put(".gitignore", unsafe[i], strlen(unsafe[i]));
		ck_assert_msg(!safe("a/b/file"), "%zu", i);
	}
	for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
		put(".gitignore", fine[i], strlen(fine[i]));
		ck_assert_msg(safe("a/b/file"), "%zu", i);
	}
}
END_TEST

START_TEST(each_directory_on_the_way_counts_and_no_other)
{
	put("a/.gitignore", "\v", 1);
	ck_assert(!safe("a/b/file") && !safe("a/file") && !safe("a/b/"));
	ck_assert(safe("file") && safe("c/file"));
	ck_assert_int_eq(unlinkat(dir, "a/.gitignore", 0), 0);
	ck_assert(safe("a/b/file"));
	ck_assert_int_eq(mkfifoat(dir, "a/b/.gitignore", 0600), 0);
	ck_assert(!safe("a/b/file") && safe("a/file"));
}
END_TEST

START_TEST(a_file_is_looked_at_again_when_it_is_another)
{
	struct vcr_ignores g = { 0 };
	char exclude[sizeof work + 20];
	snprintf(exclude, sizeof exclude, "%s/exclude", work);
	put(".gitignore", "a\n", 2);
	put("exclude", "a\n", 2);
	ck_assert(vcr_ignores_safe(&g, dir, "f", exclude));
	put(".gitignore", "\v\n\n", 3);
	ck_assert(!vcr_ignores_safe(&g, dir, "f", exclude));
	put(".gitignore", "b\n", 2);
	ck_assert(vcr_ignores_safe(&g, dir, "f", exclude));
	put("exclude", "\f\n\n", 3);
	ck_assert(!vcr_ignores_safe(&g, dir, "f", exclude));
}
END_TEST

START_TEST(libgit2_comes_back_from_what_is_safe)
{
	static const char bytes[] = "\v\f\n\r\t !/\\*#ab?[]";
	unsigned n = 0;
	srand(1);
	for (int i = 0; i < 400 || n < 100; i++) {
		char text[12];
		size_t length = 1 + (size_t)rand() % sizeof text;
		for (size_t k = 0; k < length; k++)
			text[k] = bytes[(size_t)rand() % (sizeof bytes - 1)];
		put(".gitignore", text, length);
		if (!safe("a/b/file"))
			continue;
		n++;
		ck_assert_msg(comes_back(), "%.*s", (int)length, text);
	}
}
END_TEST

static TCase *ignores(void)
{
	TCase *tc = tcase_create("ignores");
	tcase_add_checked_fixture(tc, begin, end);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, a_line_that_begins_with_a_vertical_tab_or_a_form_feed_is_not_safe);
	tcase_add_test(tc, each_directory_on_the_way_counts_and_no_other);
	tcase_add_test(tc, a_file_is_looked_at_again_when_it_is_another);
	tcase_add_test(tc, libgit2_comes_back_from_what_is_safe);
	return tc;
}

TAP_MAIN("ignores", ignores)
