#include "normal-cache.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct vcr_normal_cache *k;

static void set_up(void)
{
	ck_assert_ptr_nonnull(k = vcr_normal_cache_new());
}

static void tear_down(void)
{
	vcr_normal_cache_free(k);
}

static void expect(uint64_t mark, const char *text, const char *form)
{
	size_t n = 0;
	const char *is = vcr_normal_cache_find(k, mark, text, strlen(text), &n);
	ck_assert_int_eq(is != NULL, form != NULL);
	if (form) {
		ck_assert_uint_eq(n, strlen(form));
		ck_assert(!memcmp(is, form, n));
	}
}

static void keep(uint64_t mark, const char *text, const char *form)
{
	vcr_normal_cache_keep(k, mark, text, strlen(text), form, strlen(form));
}

START_TEST(a_form_is_found_by_its_text_and_its_mark)
{
	expect(1, "text", NULL);
	keep(1, "text", "form");
	expect(1, "text", "form");
	expect(2, "text", NULL);
	expect(1, "tex", NULL);
	expect(1, "texts", NULL);
	keep(2, "text", "other");
	expect(1, "text", "form");
	expect(2, "text", "other");
	keep(1, "text", "");
	expect(1, "text", "");
	keep(3, "", "nothing");
	expect(3, "", "nothing");
}
END_TEST

/* More texts than there are places: each that is found has its own form. */
START_TEST(a_text_may_be_forgotten_but_is_never_taken_for_another)
{
	size_t found = 0;
	for (int i = 0; i < 20 * VCR_NORMAL_KEPT; i++) {
		char text[40], form[40];
		snprintf(text, sizeof text, "the text number %d", i);
		snprintf(form, sizeof form, "%d", i);
		keep(1, text, form);
		expect(1, text, form);
	}
	for (int i = 0; i < 20 * VCR_NORMAL_KEPT; i++) {
		char text[40], form[40];
		size_t n;
		snprintf(text, sizeof text, "the text number %d", i);
		snprintf(form, sizeof form, "%d", i);
		const char *is = vcr_normal_cache_find(k, 1, text, strlen(text), &n);
		ck_assert(!is || (n == strlen(form) && !memcmp(is, form, n)));
		found += is != NULL;
	}
	ck_assert_uint_gt(found, VCR_NORMAL_KEPT / 2);
	ck_assert_uint_le(found, VCR_NORMAL_KEPT);
}
END_TEST

/* Texts of a megabyte: as many are found as there is room for, and one that is too large for it is none. */
START_TEST(what_is_kept_is_bounded)
{
	enum { LARGE = 1 << 20 };
	char *text = malloc(VCR_NORMAL_KEPT_BYTES + 1);
	size_t found = 0, n;
	memset(text, 'x', VCR_NORMAL_KEPT_BYTES + 1);
	for (int i = 0; i < 64; i++) {
		text[0] = (char)i;
		vcr_normal_cache_keep(k, 1, text, LARGE, "form", 4);
		ck_assert_ptr_nonnull(vcr_normal_cache_find(k, 1, text, LARGE, &n));
	}
	for (int i = 0; i < 64; i++) {
		text[0] = (char)i;
		found += vcr_normal_cache_find(k, 1, text, LARGE, &n) != NULL;
	}
	ck_assert_uint_ge(found, 1);
	ck_assert_uint_le(found, VCR_NORMAL_KEPT_BYTES / LARGE);
	vcr_normal_cache_keep(k, 1, text, VCR_NORMAL_KEPT_BYTES + 1, "form", 4);
	ck_assert_ptr_null(vcr_normal_cache_find(k, 1, text, VCR_NORMAL_KEPT_BYTES + 1, &n));
	vcr_normal_cache_keep(k, 1, "a", 1, text, VCR_NORMAL_KEPT_BYTES);
	ck_assert_ptr_null(vcr_normal_cache_find(k, 1, "a", 1, &n));
	free(text);
}
END_TEST

static TCase *normal_cache(void)
{
	TCase *tc = tcase_create("normal_cache");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_form_is_found_by_its_text_and_its_mark);
	tcase_add_test(tc, a_text_may_be_forgotten_but_is_never_taken_for_another);
	tcase_add_test(tc, what_is_kept_is_bounded);
	return tc;
}

TAP_MAIN("normal_cache", normal_cache)
