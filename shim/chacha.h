/* chacha.h — one block of ChaCha20 (D. J. Bernstein's form: 64-bit counter, 64-bit nonce; with a nonce of 32 bits and a counter below 2^32 the same
 * bytes as RFC 8439's). Pure; no allocation. */
#ifndef VCR_CHACHA_H
#define VCR_CHACHA_H
#include <stdint.h>

enum { VCR_CHACHA_KEY = 32, VCR_CHACHA_BLOCK = 64 };
void vcr_chacha_block(const unsigned char key[VCR_CHACHA_KEY], uint64_t nonce, uint64_t counter, unsigned char out[VCR_CHACHA_BLOCK]);

#endif
