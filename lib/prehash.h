/* prehash.h — SHA-256 of texts that begin as earlier ones did. A conversation is sent whole with each call, so the hash of a request is gone on with
 * from where it parts from the one before, not begun again: what is new is hashed, whatever it stands behind.
 *
 * The last few texts are kept, and of each the state of its hash at places near its end, where the next one usually parts. Texts of less than
 * VCR_PREHASH_LEAST bytes are simply hashed. Memory is bounded: VCR_PREHASH_TEXTS texts, VCR_PREHASH_BYTES together. The sum is always that of
 * vcr_sha256; without memory it is taken in that way. Not for two threads at once. */
#ifndef VCR_PREHASH_H
#define VCR_PREHASH_H
#include <stdbool.h>
#include <stddef.h>
#include "sha256.h"

enum { VCR_PREHASH_LEAST = 16 << 10, VCR_PREHASH_TEXTS = 6, VCR_PREHASH_BYTES = 16 << 20 };

struct vcr_prehash;
struct vcr_prehash *vcr_prehash_new(void); /* NULL: no memory; the functions below take that too */
void vcr_prehash_free(struct vcr_prehash *h);
/* False: no memory at all, and sum is undefined. */
bool vcr_prehash(struct vcr_prehash *h, const void *p, size_t n, unsigned char sum[VCR_SHA256]);
/* Bytes that did not have to be hashed, of all texts. */
size_t vcr_prehash_spared(const struct vcr_prehash *h);

#endif
