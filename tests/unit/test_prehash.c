#include "prehash.h"
#include "buf.h"
#include "tap.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void check(struct vcr_prehash *h, const struct vcr_buf *text)
{
	unsigned char sum[VCR_SHA256], whole[VCR_SHA256];
	ck_assert(vcr_prehash(h, text->data, text->len, sum));
	ck_assert(vcr_sha256(text->data, text->len, whole));
	ck_assert(!memcmp(sum, whole, sizeof sum));
}

static void add_words(struct vcr_buf *b, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		vcr_buf_printf(b, "%x ", (seed = seed * 1664525u + 1013904223u) >> 8);
}

static const char tail[] = "],\"tools\":[\"what stands behind a conversation in each of its requests\"],\"stream\":true}";

START_TEST(of_a_conversation_what_is_new_is_hashed)
{
	struct vcr_prehash *h = vcr_prehash_new();
	VCR_AUTO_BUF talk = VCR_BUF_INIT, text = VCR_BUF_INIT;
	size_t all = 0;
	add_words(&talk, 4000, 1);
	for (unsigned turn = 0; turn < 100; turn++) {
		add_words(&talk, 100, turn);
		vcr_buf_reset(&text);
		vcr_buf_add(&text, talk.data, talk.len);
		vcr_buf_puts(&text, tail);
		check(h, &text);
		all += text.len;
	}
	ck_assert_uint_gt(vcr_prehash_spared(h), all / 100 * 90);
	vcr_prehash_free(h);
}
END_TEST

START_TEST(two_conversations_in_turns_do_not_forget_each_other)
{
	struct vcr_prehash *h = vcr_prehash_new();
	struct vcr_buf talk[2] = { VCR_BUF_INIT, VCR_BUF_INIT };
	size_t all = 0;
	for (unsigned k = 0; k < 2; k++)
		add_words(&talk[k], 8000, k + 7);
	for (unsigned turn = 0; turn < 60; turn++) {
		add_words(&talk[turn % 2], 50, turn);
		check(h, &talk[turn % 2]);
		all += talk[turn % 2].len;
	}
	ck_assert_uint_gt(vcr_prehash_spared(h), all / 100 * 90);
	vcr_prehash_free(h);
	for (unsigned k = 0; k < 2; k++)
		vcr_buf_release(&talk[k]);
}
END_TEST

START_TEST(the_sum_is_that_of_the_whole_text_wherever_it_parts_from_the_one_before)
{
	struct vcr_prehash *h = vcr_prehash_new();
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	unsigned seed = 5;
	add_words(&text, 6000, 1);
	for (unsigned turn = 0; turn < 600; turn++) {
		seed = seed * 1664525u + 1013904223u;
		size_t at = (seed >> 8) % text.len;
		switch (seed >> 5 & 7) {
		case 0: vcr_buf_cut(&text, text.len - at / 50); break;                              /* shorter */
		case 1: text.data[at] ^= 1; break;                                                    /* one byte, anywhere */
		case 2: text.data[text.len - 1 - at % (text.len < 5000 ? text.len : 5000)] ^= 1; break; /* one byte, near the end */
		case 3: break;                                                                        /* the same again */
		default: add_words(&text, seed >> 20, seed); break;
		}
		if (text.len > 400000 || text.len < 100)
			vcr_buf_cut(&text, text.len / 3);
		if (text.len < 100)
			add_words(&text, 100, seed);
		check(h, &text);
	}
	ck_assert_uint_gt(vcr_prehash_spared(h), 0);
	vcr_prehash_free(h);
}
END_TEST

/* Bytes of the heap in use; 0 where a sanitizer has its own. */
static size_t held(void)
{
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

START_TEST(small_and_huge_texts_are_simply_hashed_and_memory_is_bounded)
{
	struct vcr_prehash *h = vcr_prehash_new();
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	check(h, &text);
	add_words(&text, 100, 3);
	check(h, &text);
	check(h, &text);
	check(NULL, &text);
	while (text.len <= VCR_PREHASH_BYTES)
		add_words(&text, 100000, 4);
	check(h, &text);
	check(h, &text);
	ck_assert_uint_eq(vcr_prehash_spared(h), 0);
	size_t before = held();
	for (unsigned i = 0; i < 2 * VCR_PREHASH_TEXTS; i++) { /* more than are kept, together too large */
		vcr_buf_reset(&text);
		add_words(&text, 500000, i);
		check(h, &text);
		ck_assert_uint_le(held(), before + VCR_PREHASH_BYTES + (1 << 20));
	}
	vcr_prehash_free(h);
}
END_TEST

static TCase *prehash(void)
{
	TCase *tc = tcase_create("prehash");
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, of_a_conversation_what_is_new_is_hashed);
	tcase_add_test(tc, two_conversations_in_turns_do_not_forget_each_other);
	tcase_add_test(tc, the_sum_is_that_of_the_whole_text_wherever_it_parts_from_the_one_before);
	tcase_add_test(tc, small_and_huge_texts_are_simply_hashed_and_memory_is_bounded);
	return tc;
}

TAP_MAIN("prehash", prehash)
