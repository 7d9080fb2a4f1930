#include "txn.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char state[] = "/tmp/vcr-txn-XXXXXX";
static struct vcr_error e;

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(state));
}

static void teardown(void)
{
	char cmd[64];
	snprintf(cmd, sizeof cmd, "rm -rf %s", state);
	ck_assert_int_eq(system(cmd), 0);
}

START_TEST(one_is_open_at_a_time_and_is_found_until_it_is_closed)
{
	struct vcr_txn a = { .session = "one", .vcr_dir = "/a b/.vcr", .began_ns = 123456789 }, b = { .session = "two", .vcr_dir = "/x" }, found;
	ck_assert_int_eq(vcr_txn_find(state, NULL, &found, &e), VCR_ENOTFOUND);
	ck_assert_msg(!vcr_txn_open(state, &a, &e), "%s", e.what);
	ck_assert_int_eq(vcr_txn_open(state, &b, &e), VCR_EEXIST);
	ck_assert_ptr_nonnull(strstr(e.what, "one"));
	ck_assert_msg(!vcr_txn_find(state, NULL, &found, &e), "%s", e.what);
	ck_assert_str_eq(found.session, "one");
	ck_assert_str_eq(found.vcr_dir, "/a b/.vcr");
	ck_assert_int_eq(found.began_ns, 123456789);
	ck_assert_int_eq(vcr_txn_find(state, "two", &found, &e), VCR_ENOTFOUND);
	ck_assert_int_eq(vcr_txn_find(state, "one", &found, &e), 0);
	ck_assert_int_eq(vcr_txn_close(state, "one", &e), 0);
	ck_assert_int_eq(vcr_txn_close(state, "one", &e), 0);
	ck_assert_int_eq(vcr_txn_find(state, NULL, &found, &e), VCR_ENOTFOUND);
	ck_assert_msg(!vcr_txn_open(state, &b, &e), "%s", e.what);
}
END_TEST

START_TEST(hostile_names_and_damaged_files_are_refused)
{
	struct vcr_txn t = { .session = "../x", .vcr_dir = "/a" }, found;
	char path[64];
	ck_assert_int_lt(vcr_txn_open(state, &t, &e), 0);
	ck_assert_int_lt(vcr_txn_find(state, "../x", &found, &e), 0);
	ck_assert_int_lt(vcr_txn_close(state, "../x", &e), 0);
	struct vcr_txn lines = { .session = "a", .vcr_dir = "/a\nbegan 1" };
	ck_assert_int_lt(vcr_txn_open(state, &lines, &e), 0);
	ck_assert_int_eq(vcr_txn_find(state, NULL, &found, &e), VCR_ENOTFOUND);
	snprintf(path, sizeof path, "%s/txn/bad", state);
	FILE *f = fopen(path, "w");
	fputs("nonsense", f);
	fclose(f);
	ck_assert_int_eq(vcr_txn_find(state, NULL, &found, &e), VCR_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(e.what, path));
}
END_TEST

START_TEST(any_number_that_are_isolated_may_be_open_and_one_of_several_must_be_named)
{
	struct vcr_txn a = { .session = "one", .vcr_dir = "/v", .dir = "/t/one", .workspace = "/w", .into = "refs/heads/main", .head = "1234" }, b = a, c = { .session = "plain", .vcr_dir = "/v" }, found;
	VCR_AUTO_BUF names = VCR_BUF_INIT;
	strcpy(b.session, "two");
	ck_assert_msg(!vcr_txn_open(state, &b, &e), "%s", e.what);
	ck_assert_msg(!vcr_txn_open(state, &a, &e), "%s", e.what);
	ck_assert_int_eq(vcr_txn_open(state, &a, &e), VCR_EEXIST);
	ck_assert_msg(!vcr_txn_open(state, &c, &e), "%s", e.what);
	strcpy(c.session, "other");
	ck_assert_int_eq(vcr_txn_open(state, &c, &e), VCR_EEXIST);
	ck_assert_ptr_nonnull(strstr(e.what, "plain"));
	ck_assert_int_eq(vcr_txn_find(state, NULL, &found, &e), VCR_EBUSY);
	ck_assert_ptr_nonnull(strstr(e.what, "one, plain, two"));
	ck_assert_int_eq(vcr_txn_list(state, &names, &e), 0);
	ck_assert_str_eq(names.data, "one\nplain\ntwo\n");
	strcpy(a.to, "5678");
	ck_assert_int_eq(vcr_txn_save(state, &a, &e), 0);
	ck_assert_int_eq(vcr_txn_find(state, "one", &found, &e), 0);
	ck_assert_str_eq(found.dir, "/t/one");
	ck_assert_str_eq(found.into, "refs/heads/main");
	ck_assert_str_eq(found.to, "5678");
	ck_assert_str_eq(found.work, "");
	strcpy(a.message, "two\nlines");
	ck_assert_int_eq(vcr_txn_save(state, &a, &e), VCR_EINVAL);
}
END_TEST

static TCase *tc(void)
{
	TCase *t = tcase_create("txn");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, one_is_open_at_a_time_and_is_found_until_it_is_closed);
	tcase_add_test(t, any_number_that_are_isolated_may_be_open_and_one_of_several_must_be_named);
	tcase_add_test(t, hostile_names_and_damaged_files_are_refused);
	return t;
}

TAP_MAIN("txn", tc)
