#include <string.h>
#include "chacha.h"
#include "tap.h"

/* The stream of an all-zero key (RFC 8439, A.1 test vectors #1 and #2) and of the key 00 ... 1 (#3: block counter 1). */
START_TEST(gives_the_published_bytes)
{
	static const unsigned char first[] = { 0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28 };
	static const unsigned char second[] = { 0x9f, 0x07, 0xe7, 0xbe, 0x55, 0x51, 0x38, 0x7a, 0x98, 0xba, 0x97, 0x7c, 0x73, 0x2d, 0x08, 0x0d };
	static const unsigned char third[] = { 0x3a, 0xeb, 0x52, 0x24, 0xec, 0xf8, 0x49, 0x92, 0x9b, 0x9d, 0x82, 0x8d, 0xb1, 0xce, 0xd4, 0xdd };
	unsigned char key[VCR_CHACHA_KEY] = { 0 }, out[VCR_CHACHA_BLOCK];
	vcr_chacha_block(key, 0, 0, out);
	ck_assert(!memcmp(out, first, sizeof first));
	vcr_chacha_block(key, 0, 1, out);
	ck_assert(!memcmp(out, second, sizeof second));
	key[31] = 1;
	vcr_chacha_block(key, 0, 1, out);
	ck_assert(!memcmp(out, third, sizeof third));
}
END_TEST

START_TEST(key_nonce_and_counter_all_matter)
{
	unsigned char key[VCR_CHACHA_KEY] = { 0 }, out[4][VCR_CHACHA_BLOCK];
	vcr_chacha_block(key, 0, 0, out[0]);
	vcr_chacha_block(key, 1ull << 40, 0, out[1]);
	vcr_chacha_block(key, 0, 1ull << 40, out[2]);
	key[0] = 1;
	vcr_chacha_block(key, 0, 0, out[3]);
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < i; k++)
			ck_assert(memcmp(out[i], out[k], VCR_CHACHA_BLOCK));
}
END_TEST

static TCase *chacha(void)
{
	TCase *tc = tcase_create("chacha");
	tcase_add_test(tc, gives_the_published_bytes);
	tcase_add_test(tc, key_nonce_and_counter_all_matter);
	return tc;
}

TAP_MAIN("chacha", chacha)
