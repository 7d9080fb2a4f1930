#include "sha256.h"
#include <pthread.h>

static const EVP_MD *md;

static void find(void)
{
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
	md = EVP_MD_fetch(NULL, "SHA256", NULL);
#endif
	if (!md)
		md = EVP_sha256();
}

const EVP_MD *vcr_sha256_md(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, find);
	return md;
}

bool vcr_sha256(const void *p, size_t n, unsigned char sum[VCR_SHA256])
{
	return EVP_Digest(p, n, sum, NULL, vcr_sha256_md(), NULL) == 1;
}
