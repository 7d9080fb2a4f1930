/* keyset.h — a set of strings: what is in it is found in the time that hashing it takes, however many there are. Zero-initialised; out of memory it has what it had. */
#ifndef VCR_KEYSET_H
#define VCR_KEYSET_H
#include <stdbool.h>
#include <stddef.h>

struct vcr_keyset { char **slot; size_t n, size; /* a power of two */ };
/* A copy of it is added; false: it was there. */
bool vcr_keyset_add(struct vcr_keyset *s, const char *key);
bool vcr_keyset_has(const struct vcr_keyset *s, const char *key);
/* Empty again. */
void vcr_keyset_release(struct vcr_keyset *s);
#define VCR_AUTO_KEYSET __attribute__((cleanup(vcr_keyset_release))) struct vcr_keyset
#endif
