/* sha256.h — SHA-256 by libcrypto, which is asked for it once: OpenSSL 3 looks an algorithm up at each use otherwise, which takes as long as
 * hashing half a kilobyte. From any thread. */
#ifndef VCR_SHA256_H
#define VCR_SHA256_H
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

enum { VCR_SHA256 = 32 };

/* For EVP_DigestInit_ex and the like; never NULL. */
const EVP_MD *vcr_sha256_md(void);
/* False: no memory, and sum is undefined. */
bool vcr_sha256(const void *p, size_t n, unsigned char sum[VCR_SHA256]);

#endif
