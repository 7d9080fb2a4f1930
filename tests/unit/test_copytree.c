#include "copytree.h"
#include "tap.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[40];
static struct vcr_error e;

static int sh(const char *script)
{
	char cmd[1200];
	snprintf(cmd, sizeof cmd, "cd %s && %s", dir, script);
	return system(cmd);
}

static void setup(void)
{
	strcpy(dir, "/tmp/vcr-copytree-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(sh("mkdir -p a/d/e a/empty a/.vcr a/.git a/own/.git a/not b; echo 1 > a/d/f; printf x > \"a/$(printf 'n\\nl')\"; head -c 300000 /dev/urandom > a/d/e/big;"
		"ln -s d/f a/link; ln -s /etc a/out; chmod 751 a/d; chmod 400 a/d/f; mkfifo a/pipe; touch -d 2001-02-03 a/d/e/big; echo v > a/.vcr/v; echo g > a/.git/g"), 0);
}

static void teardown(void)
{
	char path[64];
	snprintf(path, sizeof path, "%s", dir);
	ck_assert_msg(!vcr_copytree_remove(path, &e), "%s", e.what);
	ck_assert_int_ne(access(dir, F_OK), 0);
}

START_TEST(contents_modes_times_and_links_are_copied_and_what_is_left_out_is_named)
{
	static const char *const top[] = { ".git", NULL };
	struct stat st;
	char from[64], to[64];
	snprintf(from, sizeof from, "%s/a/not", dir);
	ck_assert_int_eq(stat(from, &st), 0);
	const struct vcr_copytree_not not = { st.st_dev, st.st_ino };
	struct vcr_copytree c = { .top = top, .not = &not, .nnot = 1, .skipped = VCR_BUF_INIT };
	snprintf(from, sizeof from, "%s/a", dir);
	snprintf(to, sizeof to, "%s/b", dir);
	ck_assert_msg(!vcr_copytree(&c, from, to, &e), "%s", e.what);
	ck_assert_str_eq(c.skipped.data, "own: a git repository of its own\n");
	ck_assert_int_eq(c.files, 3);
	vcr_buf_release(&c.skipped);
	ck_assert_int_eq(sh("rm -rf a/.git a/own a/not a/.vcr a/pipe && diff -r --no-dereference a b && (cd a && find . -printf '%P %m %l\\n' | sort) > 1 && (cd b && find . -printf '%P %m %l\\n' | sort) > 2 && cmp 1 2 && "
		"[ \"$(stat -c %Y b/d/e/big)\" = \"$(stat -c %Y a/d/e/big)\" ]"), 0);
}
END_TEST

START_TEST(holes_stay_holes_and_what_is_between_them_is_copied)
{
	struct vcr_copytree c = { .skipped = VCR_BUF_INIT };
	struct stat st;
	char from[64], to[64];
	ck_assert_int_eq(sh("mkdir s t; head -c 200000 /dev/urandom > s/f; truncate -s 30M s/f; head -c 100000 /dev/urandom >> s/f; truncate -s 64M s/f; truncate -s 64M s/empty; : > s/none"), 0);
	snprintf(from, sizeof from, "%s/s", dir);
	snprintf(to, sizeof to, "%s/t", dir);
	ck_assert_msg(!vcr_copytree(&c, from, to, &e), "%s", e.what);
	ck_assert_int_eq(sh("diff -r s t"), 0);
	snprintf(to, sizeof to, "%s/t/f", dir);
	ck_assert_int_eq(stat(to, &st), 0);
	ck_assert_int_lt(st.st_blocks * 512, 2 << 20);
	snprintf(to, sizeof to, "%s/t/empty", dir);
	ck_assert_int_eq(stat(to, &st), 0);
	ck_assert_int_lt(st.st_blocks * 512, 1 << 20);
	vcr_buf_release(&c.skipped);
}
END_TEST

START_TEST(a_tree_is_removed_with_what_forbids_it_and_nothing_behind_a_link)
{
	char path[64];
	ck_assert_int_eq(sh("mkdir keep; echo k > keep/k; ln -s ../keep a/keep; chmod 500 a/d/e; chmod 0 a/empty"), 0);
	snprintf(path, sizeof path, "%s/a", dir);
	ck_assert_msg(!vcr_copytree_remove(path, &e), "%s", e.what);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_int_eq(vcr_copytree_remove(path, &e), 0);
	ck_assert_int_eq(sh("test -s keep/k"), 0);
}
END_TEST

START_TEST(a_tree_that_is_deeper_than_there_are_descriptors_is_removed)
{
	struct rlimit before, few;
	char path[64];
	ck_assert_int_eq(sh("python3 -c 'import os\nos.chdir(\"a\")\nfor i in range(1500):\n os.mkdir(\"d%d\" % (i % 7)); os.chdir(\"d%d\" % (i % 7)); i % 99 or open(\"f\", \"w\").close()'"), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ 256, before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	snprintf(path, sizeof path, "%s/a", dir);
	ck_assert_msg(!vcr_copytree_remove(path, &e), "%s", e.what);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

static TCase *tc(void)
{
	TCase *t = tcase_create("copytree");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, contents_modes_times_and_links_are_copied_and_what_is_left_out_is_named);
	tcase_add_test(t, holes_stay_holes_and_what_is_between_them_is_copied);
	tcase_add_test(t, a_tree_is_removed_with_what_forbids_it_and_nothing_behind_a_link);
	tcase_add_test(t, a_tree_that_is_deeper_than_there_are_descriptors_is_removed);
	return t;
}

TAP_MAIN("copytree", tc)
