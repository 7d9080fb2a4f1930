/* test_patch.c — jumps into functions: beginnings of real ones and what becomes of them, and those that must be refused. */
#include <stdio.h>
#include <string.h>
#include "patch.h"
#include "tap.h"

enum { AT = 0x1a6b180, SLOT = 0x3f0000 };
#define HOOK UINT64_C(0x7f0123456789)

/* "55 48 89" → bytes. */
static size_t from_hex(const char *hex, unsigned char *out)
{
	size_t n = 0;
	for (unsigned b; sscanf(hex, "%2x", &b) == 1; hex += hex[2] ? 3 : 2)
		out[n++] = (unsigned char)b;
	return n;
}

static void to_hex(const unsigned char *p, size_t n, char *out)
{
	*out = 0;
	for (size_t i = 0; i < n; i++)
		out += sprintf(out, i ? " %02x" : "%02x", p[i]);
}

struct golden { const char *what, *function, *jump, *way; size_t at; };

/* What stands behind the beginnings here is `ret`. The way is what follows the jump to the hook in the slot. */
static const struct golden x86[] = {
	{ "node 20 SSL_read", "55 48 89 e5 41 56 41 55 41 54 48 83 ec 48 85 d2 0f 88 37 01 00 00 c3", "e9 7b 4e 98 fe", "55 48 89 e5 41 56 e9 6b b1 67 01", 0 },
	{ "node 20 SSL_free", "48 85 ff 74 16 b8 ff ff ff ff f0 0f c1 87 e0 09 00 00 c3", "e9 7b 4e 98 fe", "48 85 ff 0f 84 82 b1 67 01 e9 67 b1 67 01", 0 },
	{ "node 18 SSL_sendfile", "55 48 83 7f 30 00 48 89 e5 0f 84 81 00 00 00 c3", "e9 7b 4e 98 fe", "55 48 83 7f 30 00 e9 6b b1 67 01", 0 },
	{ "node 22 SSL_set_rfd", "48 85 ff 0f 84 07 01 00 00 55 c3", "e9 7b 4e 98 fe", "48 85 ff 0f 84 77 b2 67 01 e9 6b b1 67 01", 0 },
	{ "node 24 SSL_clear", "48 8b 47 18 48 85 c0 74 07 ff 60 20 0f 1f 40 00 55 c3", "e9 7b 4e 98 fe", "48 8b 47 18 48 85 c0 e9 6b b1 67 01", 0 },
	{ "node 24 SSL_sendfile", "31 c0 48 85 ff 74 09 8b 17 85 d2 74 0b c3 66 90 c3", "e9 7b 4e 98 fe", "31 c0 48 85 ff e9 6b b1 67 01", 0 },
	{ "node 26 SSL_read_ex: a call comes back into the function", "55 48 89 e5 e8 e7 fb ff ff 31 c9 85 c0 0f 4e c1 5d c3", "e9 7b 4e 98 fe",
	  "55 48 89 e5 ff 35 05 00 00 00 e9 51 ad 67 01 89 b1 a6 01 00 00 00 00", 0 },
	{ "node 26 SSL_free", "55 48 89 e5 53 50 48 85 ff 74 16 48 89 fb c3", "e9 7b 4e 98 fe", "55 48 89 e5 53 e9 6b b1 67 01", 0 },
	{ "node 26 SSL_set_fd", "55 48 89 e5 41 56 53 8b 07 c3", "e9 7b 4e 98 fe", "55 48 89 e5 41 56 e9 6b b1 67 01", 0 },
	{ "a function that is a jump, as after another tap", "e9 6b f4 ff ff 66 90", "e9 7b 4e 98 fe", "e9 db a5 67 01", 0 },
	{ "endbr64 stays in its place", "f3 0f 1e fa 55 48 89 e5 53 c3", "e9 77 4e 98 fe", "55 48 89 e5 53 e9 6f b1 67 01", 4 },
	{ "sub with four bytes", "48 81 ec 00 01 00 00 c3", "e9 7b 4e 98 fe", "48 81 ec 00 01 00 00 e9 6b b1 67 01", 0 },
	{ "a constant", "b8 01 00 00 00 c3", "e9 7b 4e 98 fe", "b8 01 00 00 00 e9 6b b1 67 01", 0 },
	{ "a constant of eight bytes", "48 b8 01 02 03 04 05 06 07 08 c3", "e9 7b 4e 98 fe", "48 b8 01 02 03 04 05 06 07 08 e9 6b b1 67 01", 0 },
	{ "rip-relative lea", "48 8d 05 10 00 00 00 c3", "e9 7b 4e 98 fe", "48 8d 05 80 b1 67 01 e9 6b b1 67 01", 0 },
	{ "rip-relative cmp with a constant behind", "83 3d 10 00 00 00 07 c3", "e9 7b 4e 98 fe", "83 3d 80 b1 67 01 07 e9 6b b1 67 01", 0 },
	{ "rip-relative mov to a register beyond 8", "4c 8b 15 fc ff ff ff c3", "e9 7b 4e 98 fe", "4c 8b 15 6c b1 67 01 e9 6b b1 67 01", 0 },
	{ "a base that is not rip: 5 in a SIB byte", "48 8b 04 25 28 00 00 00 c3", "e9 7b 4e 98 fe", "48 8b 04 25 28 00 00 00 e9 6b b1 67 01", 0 },
	{ "the thread's own: fs", "64 48 8b 04 25 28 00 00 00 c3", "e9 7b 4e 98 fe", "64 48 8b 04 25 28 00 00 00 e9 6b b1 67 01", 0 },
	{ "nop and movzx", "0f 1f 00 0f b6 07 c3", "e9 7b 4e 98 fe", "0f 1f 00 0f b6 07 e9 6b b1 67 01", 0 },
	{ "vector moves", "c5 fa 6f 07 c4 e2 79 18 07 c3", "e9 7b 4e 98 fe", "c5 fa 6f 07 c4 e2 79 18 07 e9 6b b1 67 01", 0 },
	{ "a function that calls itself", "55 48 89 e5 53 e8 f6 ff ff ff c3", "e9 7b 4e 98 fe", "55 48 89 e5 53 e9 6b b1 67 01", 0 },
};

static struct vcr_patch_site site_of(const char *hex, unsigned char *code)
{
	size_t n = from_hex(hex, code);
	return (struct vcr_patch_site){ .code = code, .size = n, .at = AT, .slot = SLOT, .hook = HOOK };
}

static void check_golden(const struct golden *g, const struct vcr_patch *p)
{
	char jump[64], way[400], entry[64];
	ck_assert_msg(!p->refused, "%s: %s", g->what, p->refused);
	to_hex(p->jump, p->jump_size, jump);
	to_hex(p->code, VCR_PATCH_ENTRY, entry);
	to_hex(p->code + VCR_PATCH_ENTRY, p->code_size - VCR_PATCH_ENTRY, way);
	ck_assert_msg(!strcmp(way, g->way), "%s: the way is %s, not %s", g->what, way, g->way);
	ck_assert_msg(!strcmp(jump, g->jump), "%s: the jump is %s, not %s", g->what, jump, g->jump);
	ck_assert_uint_eq(p->at, g->at);
}

START_TEST(x86_beginnings_of_real_functions)
{
	unsigned char code[256];
	for (size_t i = 0; i < sizeof x86 / sizeof *x86; i++) {
		struct vcr_patch_site s = site_of(x86[i].function, code);
		struct vcr_patch p;
		vcr_patch_x86(&s, &p);
		check_golden(&x86[i], &p);
		char entry[64];
		to_hex(p.code, VCR_PATCH_ENTRY, entry);
		ck_assert_str_eq(entry, "ff 25 00 00 00 00 89 67 45 23 01 7f 00 00 cc cc");
	}
}
END_TEST

struct refusal { const char *function, *why; };

static const struct refusal x86_refused[] = {
	{ "c3", "ends before a jump has room" },
	{ "31 c0 c3 90 90 90 90", "ends before a jump has room" },
	{ "ff 25 00 00 00 00 c3", "ends before a jump has room" },
	{ "ff 15 00 00 00 00 c3", "begins with an indirect call" },
	{ "cc 90 90 90 90 90 90", "ends before a jump has room" },
	{ "0f 0b 90 90 90 90 90", "ends before a jump has room" },
	{ "eb 10 90 90 90 90", "ends before a jump has room" },
	{ "e8 10 00 00", "begins with an instruction that is not understood" },
	{ "e3 00 90 90 90 90", "begins with a loop" },
	{ "66 e8 00 00 90 90 90", "begins with an instruction that is not understood" },
	{ "62 f1 fe 48 6f 01 c3", "begins with an instruction that is not understood" },
	{ "06 90 90 90 90 90", "begins with an instruction that is not understood" },
	{ "48 48 89 e5 90 90 90", "begins with an instruction that is not understood" },
	{ "55 48 89", "begins with an instruction that is not understood" },
	{ "55 53", "is shorter than a jump" },
	{ "", "is shorter than a jump" },
	{ "55 48 89 e5 53 ff c7 75 fc c3", "branches back to its beginning" },                   /* jne to 5 is behind */
	{ "55 48 89 e5 53 ff c7 75 fa c3", "branches back to its beginning" },                   /* … to 3 is not */
	{ "55 48 89 e5 53 0f 85 f6 ff ff ff c3", "branches back to its beginning" },             /* to 1 */
	{ "55 48 89 e5 53 e9 f6 ff ff ff c3", "branches back to its beginning" },                /* to 0: a loop, no call */
	{ "55 48 89 e5 53 62 f1 fe 48 6f 01 eb f3 c3", "branches back to its beginning" },       /* behind something unknown */
};

START_TEST(x86_what_is_not_understood_is_refused)
{
	unsigned char code[256];
	for (size_t i = 0; i < sizeof x86_refused / sizeof *x86_refused; i++) {
		const struct refusal *r = &x86_refused[i];
		struct vcr_patch_site s = site_of(r->function, code);
		struct vcr_patch p;
		if (i == 16) {
			ck_assert(vcr_patch_x86(&s, &p)); /* a branch to just behind the jump is none into it */
			continue;
		}
		ck_assert_msg(!vcr_patch_x86(&s, &p), "%s is not refused", r->function);
		ck_assert_msg(!strcmp(p.refused, r->why), "%s: %s, not %s", r->function, p.refused, r->why);
	}
}
END_TEST

START_TEST(x86_distance_is_limited_to_two_gigabytes)
{
	unsigned char code[64];
	struct vcr_patch_site s = site_of("55 48 89 e5 53 c3", code);
	struct vcr_patch p;
	s.slot = s.at + (UINT64_C(1) << 31) - 128;
	ck_assert(vcr_patch_x86(&s, &p));
	s.slot = s.at + (UINT64_C(1) << 31) + 16;
	ck_assert(!vcr_patch_x86(&s, &p));
	ck_assert_str_eq(p.refused, "lies too far from free memory");
	s = site_of("48 8d 05 00 00 00 80 c3", code); /* reaches 2 GB down from here, not from up there */
	s.slot = s.at + 4096;
	ck_assert(!vcr_patch_x86(&s, &p));
}
END_TEST

/* Any bytes at all: no read beyond the function (the sanitizers watch), no slot overflow, and an answer. */
START_TEST(any_bytes_have_an_answer)
{
	uint32_t seed = 1;
	for (int round = 0; round < 200000; round++) {
		unsigned char code[24];
		size_t n = round % (int)(sizeof code + 1);
		for (size_t i = 0; i < n; i++)
			code[sizeof code - n + i] = (unsigned char)((seed = seed * 1664525 + 1013904223) >> 24);
		struct vcr_patch_site s = { .code = code + sizeof code - n, .size = n, .at = AT, .slot = SLOT, .hook = HOOK };
		struct vcr_patch p;
		ck_assert(vcr_patch_x86(&s, &p) == !p.refused && p.code_size <= sizeof p.code);
		ck_assert(vcr_patch_arm64(&s, &p) == !p.refused && p.code_size <= sizeof p.code);
	}
}
END_TEST

static const struct golden arm64[] = {
	{ "stp x29, x30, [sp, #-48]!", "fd 7b bd a9 fd 03 00 91 c0 03 5f d6", "a0 13 56 17", "fd 7b bd a9 5c ec a9 14", 0 },
	{ "paciasp", "3f 23 03 d5 fd 7b bd a9 c0 03 5f d6", "a0 13 56 17", "3f 23 03 d5 5c ec a9 14", 0 },
	{ "bti c", "5f 24 03 d5 fd 7b bd a9 c0 03 5f d6", "a0 13 56 17", "5f 24 03 d5 5c ec a9 14", 0 },
	{ "sub sp, sp, #64", "ff 03 01 d1 c0 03 5f d6", "a0 13 56 17", "ff 03 01 d1 5c ec a9 14", 0 },
	{ "ldr x1, [x0, #48]", "01 18 40 f9 c0 03 5f d6", "a0 13 56 17", "01 18 40 f9 5c ec a9 14", 0 },
	{ "node 24 SSL_read_ex: cbz x0", "80 09 00 b4 fd 7b bd a9 c0 03 5f d6", "a0 13 56 17", "40 00 00 b4 5c ec a9 14 a6 ec a9 14", 0 },
	{ "tbnz w2, #31", "22 0b f8 37 fd 7b bd a9 c0 03 5f d6", "a0 13 56 17", "42 00 f8 37 5c ec a9 14 b3 ec a9 14", 0 },
	{ "b.ne", "41 00 00 54 fd 7b bd a9 c0 03 5f d6", "a0 13 56 17", "41 00 00 54 5c ec a9 14 5c ec a9 14", 0 },
	{ "mov w2, w1; a call of itself", "e2 03 01 2a ff ff ff 97 c0 03 5f d6", "a0 13 56 17", "e2 03 01 2a 5c ec a9 14", 0 },
};

static const struct refusal arm64_refused[] = {
	{ "c0 03 5f d6 1f 20 03 d5", "begins with an instruction that is not understood" }, /* ret */
	{ "02 00 00 14 c0 03 5f d6", "begins with a jump or call" },                        /* b */
	{ "00 00 00 94 c0 03 5f d6", "begins with a jump or call" },                        /* bl */
	{ "00 00 00 b4 c0 03 5f d6", "branches back to its beginning" },                    /* cbz x0 to 0 */
	{ "00 00 00 90 c0 03 5f d6", "begins with an address that depends on its place" },  /* adrp */
	{ "40 00 00 58 c0 03 5f d6", "begins with an address that depends on its place" },  /* ldr x0, 8 */
	{ "00 00 20 d4 c0 03 5f d6", "begins with an instruction that is not understood" }, /* brk */
	{ "fd 7b bd a9 e0 ff ff 54", "branches back to its beginning" },                    /* b.eq to 0 */
	{ "fd 7b bd a9", "is shorter than a jump" },
};

START_TEST(arm64_golden_bytes)
{
	unsigned char code[64];
	struct vcr_patch p;
	for (size_t i = 0; i < sizeof arm64 / sizeof *arm64; i++) {
		struct vcr_patch_site s = site_of(arm64[i].function, code);
		s.slot = 0x7f0000;
		s.at = 0x7f0000 + 0x2a7b180;
		vcr_patch_arm64(&s, &p);
		char entry[64];
		to_hex(p.code, VCR_PATCH_ENTRY, entry);
		ck_assert_str_eq(entry, "50 00 00 58 00 02 1f d6 89 67 45 23 01 7f 00 00");
		check_golden(&arm64[i], &p);
	}
	for (size_t i = 0; i < sizeof arm64_refused / sizeof *arm64_refused; i++) {
		struct vcr_patch_site s = site_of(arm64_refused[i].function, code);
		ck_assert_msg(!vcr_patch_arm64(&s, &p), "%s is not refused", arm64_refused[i].function);
		ck_assert_str_eq(p.refused, arm64_refused[i].why);
	}
	struct vcr_patch_site far = site_of("fd 7b bd a9 c0 03 5f d6", code);
	far.slot = far.at + (UINT64_C(1) << 27) + 16;
	ck_assert(!vcr_patch_arm64(&far, &p));
}
END_TEST

static TCase *tc_x86(void)
{
	TCase *tc = tcase_create("x86-64");
	tcase_add_test(tc, x86_beginnings_of_real_functions);
	tcase_add_test(tc, x86_what_is_not_understood_is_refused);
	tcase_add_test(tc, x86_distance_is_limited_to_two_gigabytes);
	tcase_add_test(tc, any_bytes_have_an_answer);
	return tc;
}

static TCase *tc_arm64(void)
{
	TCase *tc = tcase_create("aarch64");
	tcase_add_test(tc, arm64_golden_bytes);
	return tc;
}

TAP_MAIN("patch", tc_x86, tc_arm64)
