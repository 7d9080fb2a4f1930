/* notls.h — a TLS library without TLS: OpenSSL's names, bytes that go nowhere (notls.c, built twice under two names). */
#ifndef NOTLS_H
#define NOTLS_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct ssl_st SSL;
typedef struct bio_st BIO;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct x509_store_st X509_STORE;
SSL *notls_new(int server, int fd);
void notls_answer(SSL *s, const char *text);     /* what the next reads return */
void notls_want(SSL *s, int times);              /* that many writes and reads fail with WANT first */
void notls_callback(SSL *s, void (*f)(void *), void *arg); /* called inside the next read */
X509_STORE *notls_store(void);
int notls_loads(const X509_STORE *s);            /* how often a file was loaded into it */
int SSL_read(SSL *s, void *buf, int n);
int SSL_read_ex(SSL *s, void *buf, size_t n, size_t *got);
int SSL_read_early_data(SSL *s, void *buf, size_t n, size_t *got);
int SSL_peek(SSL *s, void *buf, int n);
int SSL_write(SSL *s, const void *buf, int n);
int SSL_write_ex(SSL *s, const void *buf, size_t n, size_t *put);
int SSL_write_ex2(SSL *s, const void *buf, size_t n, uint64_t flags, size_t *put);
int SSL_write_early_data(SSL *s, const void *buf, size_t n, size_t *put);
ssize_t SSL_sendfile(SSL *s, int fd, off_t at, size_t n, int flags);
void SSL_free(SSL *s);
int SSL_clear(SSL *s);
int SSL_set_fd(SSL *s, int fd);
int SSL_set_rfd(SSL *s, int fd);
int SSL_set_wfd(SSL *s, int fd);
void SSL_set_bio(SSL *s, BIO *r, BIO *w);
const char *SSL_get_servername(const SSL *s, int type);
int SSL_get_fd(const SSL *s);
int SSL_is_server(const SSL *s);
int SSL_is_init_finished(const SSL *s);
int SSL_get_error(const SSL *s, int r);
SSL_CTX *SSL_CTX_new(const void *method);
SSL_CTX *SSL_CTX_new_ex(void *library, const char *properties, const void *method);
void SSL_CTX_set_cert_store(SSL_CTX *c, X509_STORE *s);
void SSL_CTX_set1_cert_store(SSL_CTX *c, X509_STORE *s);
X509_STORE *SSL_CTX_get_cert_store(const SSL_CTX *c);
int X509_STORE_load_file(X509_STORE *s, const char *file);
int ERR_set_mark(void);
int ERR_pop_to_mark(void);
#endif
