#include "holders.h"
#include "tap.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[] = "/tmp/vcr-holders-XXXXXX", path[4][64];
static struct stat file[4];
static int child;

/* A child that reads 0, writes 1, maps 2 (without a descriptor) and stands in 3. */
static void setup(void)
{
	int ready[2];
	char c;
	ck_assert_ptr_nonnull(mkdtemp(top));
	for (int i = 0; i < 4; i++) {
		snprintf(path[i], sizeof path[i], "%s/%d", top, i);
		int fd = i < 3 ? open(path[i], O_RDWR | O_CREAT, 0600) : mkdir(path[i], 0700);
		ck_assert_int_ge(fd, 0);
		if (i < 3) {
			ck_assert_int_eq(write(fd, "text", 4), 4);
			close(fd);
		}
		ck_assert_int_eq(stat(path[i], &file[i]), 0);
	}
	ck_assert_int_eq(pipe(ready), 0);
	if (!(child = fork())) {
		int fd = open(path[2], O_RDONLY);
		bool good = open(path[0], O_RDONLY) >= 0 && open(path[1], O_WRONLY) >= 0 && mmap(NULL, 4, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED && !chdir(path[3]);
		close(fd);
		if (good && write(ready[1], "x", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	close(ready[0]);
}

static void teardown(void)
{
	char cmd[64];
	if (child) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	snprintf(cmd, sizeof cmd, "rm -rf %s", top);
	ck_assert_int_eq(system(cmd), 0);
}

static bool has(const struct vcr_holder *h, size_t n, size_t f, enum vcr_holder_how how)
{
	for (size_t i = 0; i < n; i++)
		if (h[i].pid == child && h[i].file == f)
			return h[i].how == how && !strncmp(h[i].program, "test_holders", 12);
	return false;
}

START_TEST(a_process_is_named_with_what_it_does_to_each_file)
{
	struct vcr_holder h[8];
	bool complete;
	size_t n = vcr_holders_find(file, 4, h, 8, &complete);
	ck_assert_uint_eq(n, 4);
	ck_assert(complete);
	ck_assert(has(h, n, 0, VCR_HOLDER_READS));
	ck_assert(has(h, n, 1, VCR_HOLDER_WRITES));
	ck_assert(has(h, n, 2, VCR_HOLDER_MAPS));
	ck_assert(has(h, n, 3, VCR_HOLDER_STANDS));
	ck_assert_str_eq(vcr_holder_word(VCR_HOLDER_MAPS), "maps");
}
END_TEST

START_TEST(a_file_is_known_after_it_was_renamed)
{
	struct vcr_holder h[8];
	bool complete;
	char other[80];
	snprintf(other, sizeof other, "%s/other", top);
	ck_assert_int_eq(rename(path[0], other), 0);
	ck_assert_uint_eq(vcr_holders_find(file, 1, h, 8, &complete), 1);
}
END_TEST

START_TEST(what_has_no_room_is_said)
{
	struct vcr_holder h[2];
	bool complete;
	ck_assert_uint_eq(vcr_holders_find(file, 4, h, 2, &complete), 2);
	ck_assert(!complete);
	ck_assert_uint_eq(vcr_holders_find(file, 0, h, 2, &complete), 0);
	ck_assert(complete);
}
END_TEST

START_TEST(we_ourselves_and_the_dead_are_not_named)
{
	struct vcr_holder h[8];
	bool complete;
	int fd = open(path[0], O_RDONLY);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	child = 0;
	ck_assert_uint_eq(vcr_holders_find(file, 4, h, 8, &complete), 0);
	ck_assert(complete);
	close(fd);
}
END_TEST

static TCase *tc(void)
{
	TCase *t = tcase_create("holders");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_process_is_named_with_what_it_does_to_each_file);
	tcase_add_test(t, a_file_is_known_after_it_was_renamed);
	tcase_add_test(t, what_has_no_room_is_said);
	tcase_add_test(t, we_ourselves_and_the_dead_are_not_named);
	return t;
}

TAP_MAIN("holders", tc)
