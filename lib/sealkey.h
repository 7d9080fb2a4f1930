/* sealkey.h — the key under which secrets in savepoints are sealed: 32 random bytes in STATE/seal.key, 0600. */
#ifndef VCR_SEALKEY_H
#define VCR_SEALKEY_H
#include "error.h"

enum { VCR_SEALKEY = 32 };
/* VCR_ENOTFOUND: there is none. VCR_ECORRUPT: it is no key. */
int vcr_sealkey_read(const char *path, unsigned char key[VCR_SEALKEY], struct vcr_error *e);
/* Whoever comes first gives the key, and no half of one is ever seen. 0 also if there is one already. */
int vcr_sealkey_make(const char *path, struct vcr_error *e);
/* `to`, which is not there yet, becomes the key at `from`, which is made if there is none: what is sealed in one place opens in the other. */
int vcr_sealkey_share(const char *from, const char *to, struct vcr_error *e);

#endif
