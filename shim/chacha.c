#include "chacha.h"

enum { WORDS = 16, DOUBLE_ROUNDS = 10 };

static uint32_t load(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t rotate(uint32_t x, int n)
{
	return x << n | x >> (32 - n);
}

static void quarter(uint32_t *x, int a, int b, int c, int d)
{
	x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 16);
	x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 12);
	x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 8);
	x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 7);
}

void vcr_chacha_block(const unsigned char key[VCR_CHACHA_KEY], uint64_t nonce, uint64_t counter, unsigned char out[VCR_CHACHA_BLOCK])
{
	static const unsigned char sigma[] = "expand 32-byte k";
	uint32_t in[WORDS], x[WORDS];
	for (int i = 0; i < 4; i++)
		in[i] = load(sigma + 4 * i);
	for (int i = 0; i < 8; i++)
		in[4 + i] = load(key + 4 * i);
	in[12] = (uint32_t)counter, in[13] = (uint32_t)(counter >> 32);
	in[14] = (uint32_t)nonce, in[15] = (uint32_t)(nonce >> 32);
	for (int i = 0; i < WORDS; i++)
		x[i] = in[i];
	for (int i = 0; i < DOUBLE_ROUNDS; i++) {
		for (int k = 0; k < 4; k++)
			quarter(x, k, 4 + k, 8 + k, 12 + k);
		for (int k = 0; k < 4; k++)
			quarter(x, k, 4 + (k + 1) % 4, 8 + (k + 2) % 4, 12 + (k + 3) % 4);
	}
	for (int i = 0; i < WORDS * 4; i++)
		out[i] = (unsigned char)((x[i / 4] + in[i / 4]) >> (8 * (i % 4)));
}
