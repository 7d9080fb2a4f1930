/* fakessl.c — a TLS library that costs nothing: same symbols as OpenSSL, no encryption. What `calls` measures with the
 * shim and without then differs by the shim alone, not by the noise of AES. */
#include <stddef.h>
#include <string.h>

typedef struct ssl_st SSL;
struct ssl_st {
	const char *answer;
	size_t len, at;
};
static volatile unsigned long called; /* so that no function is too short to be patched, in a program that has this inside */
int SSL_write(SSL *s, const void *p, int n);
int SSL_read(SSL *s, void *p, int n);
const char *SSL_get_servername(const SSL *s, int type);
int SSL_get_fd(const SSL *s);
void SSL_free(SSL *s);

int SSL_write(SSL *s, const void *p, int n)
{
	(void)s;
	(void)p;
	called = called + 1;
	return n;
}

int SSL_read(SSL *s, void *p, int n)
{
	size_t k = s->len - s->at < (size_t)n ? s->len - s->at : (size_t)n;
	memcpy(p, s->answer + s->at, k);
	s->at += k;
	return (int)k;
}

const char *SSL_get_servername(const SSL *s, int type)
{
	(void)s;
	(void)type;
	return "api.openai.com";
}

int SSL_get_fd(const SSL *s)
{
	(void)s;
	return -1;
}

void SSL_free(SSL *s)
{
	(void)s;
	called = called + 1;
}
