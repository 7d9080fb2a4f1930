#include "preimage.h"
#include "tap.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { MB = 1 << 20 };
static char top[64], state[80], file[80], other[80];

static void set_up(void)
{
	strcpy(top, "/tmp/vcr-preimage-test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(state, sizeof state, "%s/state", top);
	snprintf(file, sizeof file, "%s/file", top);
	snprintf(other, sizeof other, "%s/other", top);
	ck_assert_int_eq(mkdir(state, 0700), 0);
}

static void tear_down(void)
{
	char command[100];
	snprintf(command, sizeof command, "rm -rf '%s'", top);
	ck_assert_int_eq(system(command), 0);
}

static struct vcr_preimages *opened(void)
{
	struct vcr_preimages *p = NULL;
	ck_assert_int_eq(vcr_preimages_open(&p, top, state, NULL, true, NULL), 0);
	return p;
}

/* A file of that size whose last byte is c; its id. */
static void make(const char *path, long size, char c, unsigned char id[VCR_LARGE_ID])
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	ck_assert_int_eq(pwrite(fd, &c, 1, size - 1), 1);
	ck_assert_int_eq(fstat(fd, &st), 0);
	close(fd);
	vcr_large_id(&st, id);
}

static char last_byte(const char *path)
{
	char c = 0;
	int fd = open(path, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &c, 1, lseek(fd, 0, SEEK_END) - 1), 1);
	close(fd);
	return c;
}

/* What is kept under that id, linked to `other`: has the id `as` and that last byte. */
static void comes_back(struct vcr_preimages *p, const unsigned char id[VCR_LARGE_ID], char c)
{
	unsigned char as[VCR_LARGE_ID], is[VCR_LARGE_ID];
	struct stat st;
	ck_assert(vcr_preimages_find(p, id, as));
	ck_assert_int_eq(vcr_preimages_link(p, as, AT_FDCWD, other), 0);
	ck_assert_int_eq(stat(other, &st), 0);
	vcr_large_id(&st, is);
	ck_assert_mem_eq(is, as, VCR_LARGE_ID);
	ck_assert_int_eq(last_byte(other), c);
}

START_TEST(what_is_deleted_comes_back)
{
	unsigned char id[VCR_LARGE_ID];
	struct vcr_preimages *p = opened();
	make(file, 2 * MB, 'a', id);
	ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_GOES, NULL), 0);
	ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_GOES, NULL), 1);
	ck_assert_int_eq(unlink(file), 0);
	comes_back(p, id, 'a');
	vcr_preimages_free(p);
}
END_TEST

START_TEST(what_is_written_into_comes_back_as_it_was_first)
{
	unsigned char id[VCR_LARGE_ID], later[VCR_LARGE_ID], as[VCR_LARGE_ID];
	struct vcr_preimages *p = opened();
	make(file, 17 * MB, 'a', id);
	ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_CHANGES, NULL), 0);
	make(file, 18 * MB, 'b', later);
	ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_CHANGES, NULL), 1); /* once for each inode */
	ck_assert(!vcr_preimages_find(p, later, as));
	comes_back(p, id, 'a');
	ck_assert_int_eq(last_byte(file), 'b');
	vcr_preimages_free(p);
}
END_TEST

START_TEST(a_small_file_that_savepoints_do_not_hold_is_kept_each_time_that_it_changes)
{
	unsigned char id[3][VCR_LARGE_ID];
	struct vcr_preimages *p = opened();
	for (int i = 0; i < 3; i++) {
		make(file, 100 + i, (char)('a' + i), id[i]);
		ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_SMALL_CHANGES, NULL), 0);
		ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_SMALL_CHANGES, NULL), 1); /* it is there */
	}
	for (int i = 0; i < 3; i++) {
		unlink(other);
		comes_back(p, id[i], (char)('a' + i));
	}
	vcr_preimages_free(p);
}
END_TEST

START_TEST(what_was_put_back_by_a_link_is_copied_before_it_is_written_into_and_again)
{
	unsigned char id[VCR_LARGE_ID], as[VCR_LARGE_ID];
	struct vcr_preimages *p = opened();
	make(file, 17 * MB, 'a', id);
	ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_GOES, NULL), 0);
	for (int again = 0; again < 3; again++) {
		unlink(file);
		ck_assert(vcr_preimages_find(p, id, as));
		ck_assert_int_eq(vcr_preimages_link(p, as, AT_FDCWD, file), 0);
		ck_assert_msg(!vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_CHANGES, NULL), "%d", again);
		make(file, 18 * MB, 'b', as);
		unlink(other);
		comes_back(p, id, 'a');
	}
	vcr_preimages_free(p);
}
END_TEST

START_TEST(another_file_with_the_number_of_one_that_was_copied_is_kept_too)
{
	unsigned char id[VCR_LARGE_ID];
	struct vcr_preimages *p = opened();
	struct stat st;
	make(file, 17 * MB, 'a', id);
	for (int i = 0; i < 20; i++) { /* ext4 gives the number to the next file */
		ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_CHANGES, NULL), 0);
		ck_assert(!stat(file, &st) && !unlink(file));
		for (struct stat now = st; now.st_ctim.tv_nsec == st.st_ctim.tv_nsec; unlink(file)) { /* the next one is born later */
			make(file, 1, 'a', id);
			ck_assert_int_eq(stat(file, &now), 0);
		}
		make(file, 17 * MB, (char)('b' + i), id);
	}
	unlink(other);
	ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_CHANGES, NULL), 0);
	comes_back(p, id, 'u');
	vcr_preimages_free(p);
}
END_TEST

/* Room for 5 GB on a disk, which costs nothing until it is written. */
static bool make_huge(const char *path)
{
	struct statfs fs;
	if (statfs(top, &fs) || fs.f_type == 0x01021994 /* tmpfs: it would be memory */ || (int64_t)fs.f_bavail * (int64_t)fs.f_bsize < 12ll << 30)
		return false;
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	bool good = fd >= 0 && !fallocate(fd, 0, 0, 5ll << 30);
	close(fd);
	return good;
}

START_TEST(a_file_beyond_all_room_drops_nothing_and_a_rollback_keeps_it_all_the_same)
{
	unsigned char id[VCR_LARGE_ID], as[VCR_LARGE_ID];
	struct vcr_preimages *p = opened();
	make(file, 2 * MB, 'a', id);
	ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_GOES, NULL), 0);
	if (!make_huge(other)) {
		fprintf(stderr, "# skipped: no room for 5 GB at %s\n", top);
	} else {
		ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, other, VCR_PREIMAGE_GOES, NULL), 1);
		ck_assert(vcr_preimages_find(p, id, as));
		ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, other, VCR_PREIMAGE_UNDO, NULL), 0);
		ck_assert(vcr_preimages_find(p, id, as));
	}
	vcr_preimages_free(p);
}
END_TEST

START_TEST(a_link_that_was_written_through_is_not_what_was_kept)
{
	unsigned char id[VCR_LARGE_ID], as[VCR_LARGE_ID];
	struct vcr_preimages *p = opened();
	make(file, 2 * MB, 'a', id);
	ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_GOES, NULL), 0);
	make(file, 3 * MB, 'b', as);
	ck_assert(!vcr_preimages_find(p, id, as));
	vcr_preimages_free(p);
}
END_TEST

START_TEST(small_files_links_and_directories_are_not_kept)
{
	unsigned char id[VCR_LARGE_ID];
	struct vcr_preimages *p = opened();
	make(file, MB - 1, 'a', id);
	ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_GOES, NULL), 1);
	make(file, 16 * MB, 'a', id);
	ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_CHANGES, NULL), 1);
	ck_assert_int_eq(symlink(file, other), 0);
	ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, other, VCR_PREIMAGE_GOES, NULL), 1);
	ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, state, VCR_PREIMAGE_GOES, NULL), 1);
	ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, "/nonexistent/file", VCR_PREIMAGE_GOES, NULL), 1);
	ck_assert(vcr_preimages_can(p, AT_FDCWD, file) && !vcr_preimages_can(p, AT_FDCWD, other));
	vcr_preimages_free(p);
}
END_TEST

START_TEST(where_there_is_no_place_nothing_is_kept)
{
	struct vcr_preimages *p;
	struct vcr_error e = { 0 };
	ck_assert_int_eq(vcr_preimages_open(&p, top, state, NULL, false, &e), VCR_ENOTFOUND);
	ck_assert_int_eq(vcr_preimages_open(&p, top, "/proc", NULL, true, &e), VCR_ENOTFOUND); /* another file system */
	ck_assert_int_eq(vcr_preimages_open(&p, top, "/proc", state, true, &e), 0);
	vcr_preimages_free(p);
}
END_TEST

START_TEST(a_store_that_somebody_wrote_is_not_believed)
{
	unsigned char id[VCR_LARGE_ID], as[VCR_LARGE_ID];
	char path[200], hex[41];
	struct vcr_preimages *p = opened();
	make(file, 2 * MB, 'a', id);
	for (int i = 0; i < VCR_LARGE_ID; i++)
		snprintf(hex + 2 * i, 3, "%02x", id[i]);
	snprintf(path, sizeof path, "%s/preimages/%s", state, hex);
	static const char *const targets[] = { "../../file", "/etc/passwd", "0123456789012345678901234567890123456789x", "..", "0123456789012345678901234567890123456789" };
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
		ck_assert_int_eq(symlink(targets[i], path), 0);
		ck_assert(!vcr_preimages_find(p, id, as));
		unlink(path);
	}
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert(!vcr_preimages_find(p, id, as));
	vcr_preimages_free(p);
}
END_TEST

/* As the library keeps the file: a second name, or a copy, under a name that says what the file was. */
static void keep_there(const char *dir, char kind, unsigned char id[VCR_LARGE_ID])
{
	char name[200], command[600];
	struct stat st;
	ck_assert_int_eq(stat(file, &st), 0);
	snprintf(name, sizeof name, "%s/%c.%llx.%llx.%lx.%llx", dir, kind, (unsigned long long)st.st_size, (unsigned long long)st.st_mtim.tv_sec, (unsigned long)st.st_mtim.tv_nsec,
		(unsigned long long)st.st_ino);
	snprintf(command, sizeof command, "cp -p %s '%s' '%s'", kind == 'l' ? "-l" : "", file, name);
	ck_assert_int_eq(system(command), 0);
	vcr_large_id(&st, id);
}

static void keep_as_the_library(char kind, unsigned char id[VCR_LARGE_ID])
{
	char dir[100];
	snprintf(dir, sizeof dir, "%s/preimages", state);
	keep_there(dir, kind, id);
}

START_TEST(what_the_library_kept_comes_back)
{
	unsigned char id[VCR_LARGE_ID], as[VCR_LARGE_ID];
	struct vcr_preimages *p = opened();
	make(file, 3, 'a', id);
	keep_as_the_library(_i ? 'c' : 'l', id);
	ck_assert(!vcr_preimages_find(p, id, as));
	if (_i)
		make(file, 4, 'b', as);
	else
		unlink(file);
	vcr_preimages_adopt(p);
	vcr_preimages_adopt(p);
	comes_back(p, id, 'a');
	vcr_preimages_free(p);
}
END_TEST

/* The link of a collector that has ended: of a number that no process has. */
static void give_memory(const char *dir)
{
	char link[120];
	snprintf(link, sizeof link, "%s/preimages/m.%d", state, INT32_MAX);
	ck_assert_int_eq(symlink(dir, link), 0);
}

static unsigned entries(const char *dir)
{
	char command[200], text[20] = "";
	snprintf(command, sizeof command, "ls '%s' | wc -l", dir);
	FILE *f = popen(command, "r");
	ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
	pclose(f);
	return (unsigned)atoi(text);
}

START_TEST(copies_in_memory_come_to_the_store_when_it_is_opened_and_at_the_end)
{
	unsigned char id[VCR_LARGE_ID], second[VCR_LARGE_ID], as[VCR_LARGE_ID];
	char memory[] = "/dev/shm/vcr-preimage-test.XXXXXX", dir[60];
	struct vcr_preimages *p = opened();
	int64_t bytes;
	if (!mkdtemp(memory))
		return; /* no such place */
	snprintf(dir, sizeof dir, "%s/keep", memory);
	if (!vcr_preimages_memory(p, dir)) {
		make(file, 3000, 'a', id);
		keep_there(dir, 'c', id);
		make(file, 4000, 'b', second);
		ck_assert_int_eq(vcr_preimages_adopt(p), 3000);
		ck_assert_uint_eq(entries(dir), 0);
		comes_back(p, id, 'a');
		keep_there(dir, 'c', second);
		ck_assert_int_eq(vcr_preimages_lighten(p, &bytes), 4000);
		ck_assert_int_eq(bytes, 0);
		ck_assert_int_eq(vcr_preimages_lighten(p, &bytes), 0);
		unlink(other);
		comes_back(p, second, 'b');
		make(file, 4500, 'd', second);
		keep_there(dir, 'c', second);
		ck_assert_uint_eq(vcr_preimages_prune(p, INT64_MIN, -1, false, &bytes), 0);
		vcr_preimages_memory_end(p);
		unlink(other);
		comes_back(p, second, 'd');
		ck_assert_int_eq(access(dir, F_OK), -1);
		ck_assert_int_eq(vcr_preimages_adopt(p), 0);
	}
	ck_assert_int_eq(mkdir(dir, 0700), 0); /* one that was killed */
	give_memory(dir);
	make(file, 5000, 'c', id);
	keep_there(dir, 'c', id);
	ck_assert_int_eq(vcr_preimages_adopt(p), 0); /* they come, and were none of this process's memory */
	unlink(other);
	comes_back(p, id, 'c');
	ck_assert_int_eq(access(dir, F_OK), -1);
	ck_assert(vcr_preimages_find(p, id, as));
	vcr_preimages_free(p);
	ck_assert_int_eq(rmdir(memory), 0);
}
END_TEST

START_TEST(from_memory_only_whole_copies_in_a_directory_of_ones_own_are_taken)
{
	unsigned char id[VCR_LARGE_ID], as[VCR_LARGE_ID];
	char dir[100], command[200];
	struct vcr_preimages *p = opened();
	snprintf(dir, sizeof dir, "%s/memory", top);
	ck_assert_int_eq(mkdir(dir, 0755), 0);
	give_memory(dir);
	make(file, 3000, 'a', id);
	keep_there(dir, 'c', id);
	ck_assert_int_eq(vcr_preimages_adopt(p), 0); /* others can read it: it is none of ours */
	ck_assert_uint_eq(entries(dir), 1);
	ck_assert_int_eq(chmod(dir, 0700), 0);
	snprintf(command, sizeof command, "cd '%s' && truncate -s 2000 c.* && touch x l.1.1.1.1", dir);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(vcr_preimages_adopt(p), 0); /* it may be under way */
	ck_assert_uint_eq(entries(dir), 3);
	ck_assert(!vcr_preimages_find(p, id, as));
	vcr_preimages_free(p);
}
END_TEST

START_TEST(a_link_of_the_library_that_was_written_through_is_dropped)
{
	unsigned char id[VCR_LARGE_ID], as[VCR_LARGE_ID];
	struct vcr_preimages *p = opened();
	int64_t bytes;
	make(file, 3, 'a', id);
	keep_as_the_library('l', id);
	make(file, 4, 'b', as);
	vcr_preimages_adopt(p);
	ck_assert(!vcr_preimages_find(p, id, as));
	ck_assert_uint_eq(vcr_preimages_prune(p, INT64_MAX, -1, false, &bytes), 0);
	vcr_preimages_free(p);
}
END_TEST

START_TEST(names_that_the_library_would_not_give_are_left)
{
	static const char *const names[] = { "l.", "l.1.2.3", "c.1.2.3.4.5", "x.1.2.3.4", "c.10000000000000000.1.1.1", "l.1.2.3.4 ", "c.g.1.1.1" };
	unsigned char id[VCR_LARGE_ID];
	char path[200];
	struct vcr_preimages *p = opened();
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/preimages/%s", state, names[i]);
		make(path, 3, 'a', id);
	}
	vcr_preimages_adopt(p);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/preimages/%s", state, names[i]);
		ck_assert_int_eq(access(path, F_OK), 0);
	}
	vcr_preimages_free(p);
}
END_TEST

START_TEST(to_make_room_among_thousands_of_files_takes_no_time)
{
	char path[200];
	snprintf(path, sizeof path, "%s/preimages", state);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	for (int i = 0; i < 5000; i++) {
		snprintf(path, sizeof path, "%s/preimages/%040x", state, (unsigned)i);
		int fd = open(path, O_WRONLY | O_CREAT, 0600);
		ck_assert_int_eq(write(fd, "x", 1), 1);
		close(fd);
	}
	struct vcr_preimages *p = opened();
	clock_t from = clock();
	ck_assert(vcr_preimages_room(p, 4ll << 30) == 4ll << 30);
	ck_assert_int_lt(clock() - from, CLOCKS_PER_SEC); /* of the processor; to look at all of them for each is 12 million looks */
	vcr_preimages_free(p);
}
END_TEST

START_TEST(housekeeping_takes_what_is_older_and_then_the_oldest)
{
	unsigned char id[3][VCR_LARGE_ID], as[VCR_LARGE_ID];
	struct vcr_preimages *p = opened();
	struct stat st;
	int64_t bytes, second = 0;
	for (int i = 0; i < 3; i++) {
		make(file, 2 * MB, (char)('a' + i), id[i]);
		ck_assert_int_eq(vcr_preimages_keep(p, AT_FDCWD, file, VCR_PREIMAGE_GOES, NULL), 0);
		ck_assert_int_eq(stat(file, &st), 0);
		if (i == 1)
			second = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
		for (struct stat now = st; now.st_ctim.tv_sec == st.st_ctim.tv_sec && now.st_ctim.tv_nsec == st.st_ctim.tv_nsec;) /* the next one is later, by the file system's clock */
			ck_assert(!chmod(file, 0600) && !stat(file, &now));
		unlink(file);
	}
	ck_assert_uint_eq(vcr_preimages_prune(p, 0, -1, false, &bytes), 0);
	ck_assert_int_gt(bytes, 0);
	ck_assert_uint_eq(vcr_preimages_prune(p, INT64_MAX, -1, true, &bytes), 3);
	ck_assert_int_eq(bytes, 0);
	ck_assert(vcr_preimages_find(p, id[0], as));
	ck_assert_uint_eq(vcr_preimages_prune(p, second, -1, false, &bytes), 1);
	ck_assert(!vcr_preimages_find(p, id[0], as) && vcr_preimages_find(p, id[1], as));
	ck_assert_uint_eq(vcr_preimages_prune(p, 0, bytes - 1, false, &bytes), 1);
	ck_assert(!vcr_preimages_find(p, id[1], as) && vcr_preimages_find(p, id[2], as));
	vcr_preimages_free(p);
}
END_TEST

static TCase *tc_preimage(void)
{
	TCase *tc = tcase_create("preimage");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, to_make_room_among_thousands_of_files_takes_no_time);
	tcase_add_test(tc, what_is_deleted_comes_back);
	tcase_add_test(tc, what_is_written_into_comes_back_as_it_was_first);
	tcase_add_test(tc, a_small_file_that_savepoints_do_not_hold_is_kept_each_time_that_it_changes);
	tcase_add_test(tc, what_was_put_back_by_a_link_is_copied_before_it_is_written_into_and_again);
	tcase_add_test(tc, another_file_with_the_number_of_one_that_was_copied_is_kept_too);
	tcase_add_test(tc, a_file_beyond_all_room_drops_nothing_and_a_rollback_keeps_it_all_the_same);
	tcase_add_test(tc, a_link_that_was_written_through_is_not_what_was_kept);
	tcase_add_test(tc, small_files_links_and_directories_are_not_kept);
	tcase_add_test(tc, where_there_is_no_place_nothing_is_kept);
	tcase_add_test(tc, a_store_that_somebody_wrote_is_not_believed);
	tcase_add_loop_test(tc, what_the_library_kept_comes_back, 0, 2);
	tcase_add_test(tc, copies_in_memory_come_to_the_store_when_it_is_opened_and_at_the_end);
	tcase_add_test(tc, from_memory_only_whole_copies_in_a_directory_of_ones_own_are_taken);
	tcase_add_test(tc, a_link_of_the_library_that_was_written_through_is_dropped);
	tcase_add_test(tc, names_that_the_library_would_not_give_are_left);
	tcase_add_test(tc, housekeeping_takes_what_is_older_and_then_the_oldest);
	return tc;
}

TAP_MAIN("preimage", tc_preimage)
