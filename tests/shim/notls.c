/* notls.c — see notls.h. NOTLS_NAME is the server's name that it reports. Its own calls go through its public entries, as OpenSSL's do: SSL_write_ex
 * jumps to SSL_write_ex2 (OpenSSL 3.3), SSL_read calls SSL_read_ex. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "notls.h"

struct ssl_st {
	int server, fd, want, error;
	const char *answer;
	void (*callback)(void *);
	void *arg;
};

SSL *notls_new(int server, int fd)
{
	SSL *s = calloc(1, sizeof *s);
	s->server = server;
	s->fd = fd;
	return s;
}

void notls_answer(SSL *s, const char *text) { s->answer = text; }
void notls_want(SSL *s, int times) { s->want = times; }
void notls_callback(SSL *s, void (*f)(void *), void *arg) { s->callback = f; s->arg = arg; }

static int wants(SSL *s)
{
	s->error = s->want ? 2 /* SSL_ERROR_WANT_READ */ : 0;
	return s->want && s->want--;
}

int SSL_read_ex(SSL *s, void *buf, size_t n, size_t *got)
{
	void (*f)(void *) = s->callback;
	s->callback = NULL;
	if (f)
		f(s->arg);
	if (wants(s))
		return 0;
	size_t k = s->answer ? strlen(s->answer) : 0;
	*got = k < n ? k : n;
	if (!k) {
		s->error = 6; /* SSL_ERROR_ZERO_RETURN */
		return 0;
	}
	memcpy(buf, s->answer, *got);
	s->answer += *got;
	return 1;
}

int SSL_read(SSL *s, void *buf, int n)
{
	size_t got = 0;
	int r = SSL_read_ex(s, buf, (size_t)n, &got);
	return r > 0 ? (int)got : s->error == 6 ? 0 : -1;
}

int SSL_read_early_data(SSL *s, void *buf, size_t n, size_t *got) { return SSL_read_ex(s, buf, n, got); }

int SSL_peek(SSL *s, void *buf, int n)
{
	size_t k = s->answer ? strlen(s->answer) : 0;
	memcpy(buf, s->answer, k < (size_t)n ? k : (size_t)n);
	return (int)k;
}

int SSL_write_ex2(SSL *s, const void *buf, size_t n, uint64_t flags, size_t *put)
{
	if (wants(s))
		return 0;
	*put = n;
	return 1;
}

int SSL_write_ex(SSL *s, const void *buf, size_t n, size_t *put) { return SSL_write_ex2(s, buf, n, 0, put); }
int SSL_write_early_data(SSL *s, const void *buf, size_t n, size_t *put) { return SSL_write_ex(s, buf, n, put); }

int SSL_write(SSL *s, const void *buf, int n)
{
	size_t put = 0;
	return SSL_write_ex(s, buf, (size_t)n, &put) > 0 ? (int)put : -1;
}

ssize_t SSL_sendfile(SSL *s, int fd, off_t at, size_t n, int flags)
{
	char part[256];
	ssize_t got = pread(fd, part, n < sizeof part ? n : sizeof part, at);
	return got > 0 ? SSL_write(s, part, (int)got) : got;
}

void SSL_free(SSL *s) { free(s); }
int SSL_clear(SSL *s) { s->answer = NULL; return 1; }
int SSL_set_fd(SSL *s, int fd) { s->fd = fd; return 1; }
int SSL_set_rfd(SSL *s, int fd) { return SSL_set_fd(s, fd); }
int SSL_set_wfd(SSL *s, int fd) { return SSL_set_fd(s, fd); }
void SSL_set_bio(SSL *s, BIO *r, BIO *w) { s->fd = -1; }
const char *SSL_get_servername(const SSL *s, int type) { return NOTLS_NAME; }
int SSL_get_fd(const SSL *s) { return s->fd; }
int SSL_is_server(const SSL *s) { return s->server; }
int SSL_is_init_finished(const SSL *s) { return 1; }
int SSL_get_error(const SSL *s, int r) { return s->error; }

struct x509_store_st { int loads; };
struct ssl_ctx_st { X509_STORE *store; };

X509_STORE *notls_store(void) { return calloc(1, sizeof(X509_STORE)); }
int notls_loads(const X509_STORE *s) { return s->loads; }

SSL_CTX *SSL_CTX_new_ex(void *library, const char *properties, const void *method)
{
	SSL_CTX *c = calloc(1, sizeof *c);
	c->store = notls_store();
	return c;
}

SSL_CTX *SSL_CTX_new(const void *method) { return SSL_CTX_new_ex(NULL, NULL, method); }
void SSL_CTX_set_cert_store(SSL_CTX *c, X509_STORE *s) { c->store = s; }
void SSL_CTX_set1_cert_store(SSL_CTX *c, X509_STORE *s) { SSL_CTX_set_cert_store(c, s); }
X509_STORE *SSL_CTX_get_cert_store(const SSL_CTX *c) { return c->store; }
int X509_STORE_load_file(X509_STORE *s, const char *file) { return ++s->loads; }
int ERR_set_mark(void) { return 1; }
int ERR_pop_to_mark(void) { return 1; }
