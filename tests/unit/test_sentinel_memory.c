/* Pieces of an arena and outside of one. (With AddressSanitizer there are no arenas: the same holds.) */
#include "sentinel-memory.h"
#include "tap.h"
#include <stdint.h>
#include <string.h>

enum { PIECES = 3000, MOST = 200000 };

static size_t size_of(unsigned i)
{
	return i % 97 == 0 ? MOST - i : i % 13 == 0 ? 1000 + i * 7 : i % 300;
}

static void fill(unsigned char *p, unsigned i, size_t n)
{
	memset(p, (int)(i * 31 + 7) & 255, n);
}

/* Whether all n bytes are b: the first is, and each is as the one before it. */
static bool all_are(const unsigned char *p, size_t n, unsigned char b)
{
	return !n || (*p == b && !memcmp(p, p + 1, n - 1));
}

static bool is_filled(const unsigned char *p, unsigned i, size_t n)
{
	return all_are(p, n, (i * 31 + 7) & 255);
}

/* Allocates, grows and gives back, and looks that each piece holds what was written into it. */
static void use(void)
{
	static unsigned char *piece[PIECES];
	static size_t size[PIECES];
	for (unsigned i = 0; i < PIECES; i++) {
		piece[i] = vcr_arena_malloc(size[i] = size_of(i));
		ck_assert_uint_eq((uintptr_t)piece[i] % 16, 0);
		fill(piece[i], i, size[i]);
	}
	for (unsigned i = 0; i < PIECES; i += 2) {
		piece[i] = vcr_arena_realloc(piece[i], size[i] * 2 + 5);
		ck_assert_uint_eq((uintptr_t)piece[i] % 16, 0);
		ck_assert(is_filled(piece[i], i, size[i]));
		fill(piece[i], i, size[i] = size[i] * 2 + 5);
	}
	for (unsigned i = 0; i < PIECES; i += 3) {
		vcr_arena_free(piece[i]);
		piece[i] = vcr_arena_calloc(3, size[i] = size_of(i + 1) / 3);
		ck_assert(all_are(piece[i], 3 * size[i], 0));
		fill(piece[i], i, size[i] *= 3);
	}
	for (unsigned i = 0; i < PIECES; i++)
		ck_assert_msg(is_filled(piece[i], i, size[i]), "piece %u was written into", i);
	for (unsigned i = 0; i < PIECES; i++)
		vcr_arena_free(piece[i]);
	vcr_arena_free(NULL);
}

START_TEST(pieces_are_aligned_and_keep_what_is_in_them)
{
	struct vcr_arena a = VCR_ARENA_INIT;
	use();
	for (int i = 0; i < 3; i++) {
		vcr_arena_enter(&a);
		use();
		vcr_arena_leave(&a);
	}
	use();
	vcr_arena_release(&a);
}
END_TEST

START_TEST(a_piece_that_is_given_back_is_used_again_by_its_size)
{
	struct vcr_arena a = VCR_ARENA_INIT;
	if (!vcr_arena_enter(&a))
		TAP_SKIP("with sanitizers there are no arenas");
	void *p = vcr_arena_malloc(90), *q = vcr_arena_malloc(90);
	vcr_arena_free(p);
	ck_assert_ptr_ne(vcr_arena_malloc(200), p);
	ck_assert_ptr_eq(vcr_arena_malloc(100), p);
	ck_assert_ptr_ne(p, q);
	vcr_arena_leave(&a);
	vcr_arena_release(&a);
}
END_TEST

START_TEST(what_was_not_given_back_is_gone_with_the_arena)
{
	struct vcr_arena a = VCR_ARENA_INIT;
	void *first = NULL;
	for (int i = 0; i < 200; i++) { /* 80 MB a time, if they stayed there would be none left */
		if (!vcr_arena_enter(&a))
			TAP_SKIP("with sanitizers there are no arenas");
		void *p = vcr_arena_malloc(100);
		ck_assert(!first || p == first);
		first = p;
		for (int k = 0; k < 40; k++)
			memset(vcr_arena_malloc(k % 2 ? 50000 : 2 << 20), 1, 1);
		vcr_arena_leave(&a);
	}
	vcr_arena_release(&a);
	ck_assert_ptr_null(a.block);
	ck_assert_ptr_null(a.large);
}
END_TEST

START_TEST(what_was_allocated_outside_may_be_given_back_within)
{
	struct vcr_arena a = VCR_ARENA_INIT;
	char *p = vcr_arena_malloc(10), *q = vcr_arena_malloc(10);
	strcpy(p, "outside");
	vcr_arena_enter(&a);
	p = vcr_arena_realloc(p, 100000);
	vcr_arena_free(q);
	vcr_arena_leave(&a);
	ck_assert_str_eq(p, "outside"); /* it did not become one of the arena's */
	vcr_arena_free(p);
	vcr_arena_release(&a);
}
END_TEST

static TCase *memory(void)
{
	TCase *tc = tcase_create("memory");
	tcase_add_test(tc, pieces_are_aligned_and_keep_what_is_in_them);
	tcase_add_test(tc, a_piece_that_is_given_back_is_used_again_by_its_size);
	tcase_add_test(tc, what_was_not_given_back_is_gone_with_the_arena);
	tcase_add_test(tc, what_was_allocated_outside_may_be_given_back_within);
	return tc;
}

TAP_MAIN_SKIPPING("sentinel-memory", memory)
