#include "sealkey.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[32], a[48], b[48];
static struct vcr_error e;

static void setup(void)
{
	strcpy(dir, "/tmp/vcr-sealkey-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(a, sizeof a, "%s/a", dir);
	snprintf(b, sizeof b, "%s/b", dir);
}

static void teardown(void)
{
	unlink(a);
	unlink(b);
	ck_assert_int_eq(rmdir(dir), 0); /* nothing else was left */
}

START_TEST(a_key_is_made_once_private_and_shared_as_it_is)
{
	unsigned char k[VCR_SEALKEY], again[VCR_SEALKEY];
	struct stat st;
	ck_assert_int_eq(vcr_sealkey_read(a, k, &e), VCR_ENOTFOUND);
	ck_assert_msg(!vcr_sealkey_share(a, b, &e), "%s", e.what);
	ck_assert_int_eq(vcr_sealkey_read(a, k, &e), 0);
	ck_assert_int_eq(vcr_sealkey_make(a, &e), 0);
	ck_assert_int_eq(vcr_sealkey_read(a, again, &e), 0);
	ck_assert_mem_eq(k, again, sizeof k);
	ck_assert_int_eq(vcr_sealkey_read(b, again, &e), 0);
	ck_assert_mem_eq(k, again, sizeof k);
	ck_assert_int_eq(stat(b, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(truncate(b, 5), 0);
	ck_assert_int_eq(vcr_sealkey_read(b, again, &e), VCR_ECORRUPT);
}
END_TEST

static TCase *tc(void)
{
	TCase *t = tcase_create("sealkey");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_key_is_made_once_private_and_shared_as_it_is);
	return t;
}

TAP_MAIN("sealkey", tc)
