#include "buf.h"
#include "tap.h"
#include <string.h>

START_TEST(appends_grow_and_stay_terminated)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	ck_assert_str_eq(b.data, "");
	for (int i = 0; i < 1000; i++)
		vcr_buf_printf(&b, "%d,", i % 10);
	ck_assert_int_eq(b.err, 0);
	ck_assert_uint_eq(b.len, 2000);
	ck_assert_int_eq(b.data[b.len], 0);
	vcr_buf_drop(&b, 1998);
	ck_assert_str_eq(b.data, "9,");
}
END_TEST

START_TEST(the_limit_sticks_until_reset)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	vcr_buf_init(&b, 4);
	ck_assert_int_eq(vcr_buf_puts(&b, "four"), 0);
	ck_assert_int_eq(vcr_buf_putc(&b, '!'), VCR_ELIMIT);
	ck_assert_int_eq(vcr_buf_add(&b, "", 0), VCR_ELIMIT);
	ck_assert_str_eq(b.data, "four");
	vcr_buf_reset(&b);
	ck_assert_int_eq(vcr_buf_puts(&b, "ok"), 0);
}
END_TEST

START_TEST(base64_goes_there_and_back)
{
	static const char *const plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar" };
	static const char *const coded[] = { "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" }; /* RFC 4648 §10 */
	for (size_t i = 0; i < 7; i++) {
		VCR_AUTO_BUF b = VCR_BUF_INIT, back = VCR_BUF_INIT;
		vcr_buf_base64(&b, plain[i], strlen(plain[i]));
		ck_assert_str_eq(b.data, coded[i]);
		ck_assert_int_eq(vcr_buf_unbase64(&back, b.data, b.len), 0);
		ck_assert_str_eq(back.data, plain[i]);
	}
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_buf_unbase64(&b, "Zg=", 3), VCR_ESYNTAX);
	ck_assert_int_eq(vcr_buf_unbase64(&b, "Z*==", 4), VCR_ESYNTAX);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

static TCase *buf(void)
{
	TCase *tc = tcase_create("buf");
	tcase_add_test(tc, appends_grow_and_stay_terminated);
	tcase_add_test(tc, the_limit_sticks_until_reset);
	tcase_add_test(tc, base64_goes_there_and_back);
	return tc;
}

TAP_MAIN("buf", buf)
