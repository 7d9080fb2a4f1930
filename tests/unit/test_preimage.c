#include "preimage.h"
#include "tap.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
	ck_assert_int_eq(vcr_preimages_keep(p, file, VCR_PREIMAGE_GOES, NULL), 0);
	ck_assert_int_eq(vcr_preimages_keep(p, file, VCR_PREIMAGE_GOES, NULL), 1);
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
	ck_assert_int_eq(vcr_preimages_keep(p, file, VCR_PREIMAGE_CHANGES, NULL), 0);
	make(file, 18 * MB, 'b', later);
	ck_assert_int_eq(vcr_preimages_keep(p, file, VCR_PREIMAGE_CHANGES, NULL), 1); /* once for each inode */
	ck_assert(!vcr_preimages_find(p, later, as));
	comes_back(p, id, 'a');
	ck_assert_int_eq(last_byte(file), 'b');
	vcr_preimages_free(p);
}
END_TEST

START_TEST(a_link_that_was_written_through_is_not_what_was_kept)
{
	unsigned char id[VCR_LARGE_ID], as[VCR_LARGE_ID];
	struct vcr_preimages *p = opened();
	make(file, 2 * MB, 'a', id);
	ck_assert_int_eq(vcr_preimages_keep(p, file, VCR_PREIMAGE_GOES, NULL), 0);
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
	ck_assert_int_eq(vcr_preimages_keep(p, file, VCR_PREIMAGE_GOES, NULL), 1);
	make(file, 16 * MB, 'a', id);
	ck_assert_int_eq(vcr_preimages_keep(p, file, VCR_PREIMAGE_CHANGES, NULL), 1);
	ck_assert_int_eq(symlink(file, other), 0);
	ck_assert_int_eq(vcr_preimages_keep(p, other, VCR_PREIMAGE_GOES, NULL), 1);
	ck_assert_int_eq(vcr_preimages_keep(p, state, VCR_PREIMAGE_GOES, NULL), 1);
	ck_assert_int_eq(vcr_preimages_keep(p, "/nonexistent/file", VCR_PREIMAGE_GOES, NULL), 1);
	ck_assert(vcr_preimages_can(p, file) && !vcr_preimages_can(p, other));
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

static TCase *tc_preimage(void)
{
	TCase *tc = tcase_create("preimage");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_is_deleted_comes_back);
	tcase_add_test(tc, what_is_written_into_comes_back_as_it_was_first);
	tcase_add_test(tc, a_link_that_was_written_through_is_not_what_was_kept);
	tcase_add_test(tc, small_files_links_and_directories_are_not_kept);
	tcase_add_test(tc, where_there_is_no_place_nothing_is_kept);
	tcase_add_test(tc, a_store_that_somebody_wrote_is_not_believed);
	return tc;
}

TAP_MAIN("preimage", tc_preimage)
