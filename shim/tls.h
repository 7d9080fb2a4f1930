/* tls.h — what is recorded of one call of OpenSSL, however the call came to us (tls.c: interposed; tap.c: patched into the program). */
#ifndef VCR_SHIM_TLS_H
#define VCR_SHIM_TLS_H
#include "shim.h"

/* What we ask of an OpenSSL ourselves; what it does not have is NULL. */
struct vcr_tls_library {
	void *base; /* load address; NULL: free slot */
	const char *(*server_name)(const SSL *, int);
	int (*get_fd)(const SSL *), (*is_server)(const SSL *), (*get_error)(const SSL *, int), (*is_finished)(const SSL *);
};

/* How a call goes on. */
struct vcr_tls_way {
	void *original;                    /* NULL: there is none, the call fails */
	struct vcr_tls_library *library;   /* NULL: not to be recorded: OpenSSL itself calls, inside a call that is */
};

/* Each calls the original, records what was really taken or brought, and returns what the original returned. */
int vcr_tls_read(struct vcr_tls_way w, SSL *ssl, void *buf, int n);
int vcr_tls_read_ex(struct vcr_tls_way w, SSL *ssl, void *buf, size_t n, size_t *got);
int vcr_tls_read_early_data(struct vcr_tls_way w, SSL *ssl, void *buf, size_t n, size_t *got);
int vcr_tls_write(struct vcr_tls_way w, SSL *ssl, const void *buf, int n);
int vcr_tls_write_ex(struct vcr_tls_way w, SSL *ssl, const void *buf, size_t n, size_t *put);
int vcr_tls_write_ex2(struct vcr_tls_way w, SSL *ssl, const void *buf, size_t n, uint64_t flags, size_t *put);
int vcr_tls_write_early_data(struct vcr_tls_way w, SSL *ssl, const void *buf, size_t n, size_t *put);
ssize_t vcr_tls_sendfile(struct vcr_tls_way w, SSL *ssl, int fd, off_t at, size_t n, int flags);
void vcr_tls_free(struct vcr_tls_way w, SSL *ssl);
int vcr_tls_clear(struct vcr_tls_way w, SSL *ssl);
int vcr_tls_set_fd(struct vcr_tls_way w, SSL *ssl, int fd); /* also for SSL_set_rfd, SSL_set_wfd */
void vcr_tls_set_bio(struct vcr_tls_way w, SSL *ssl, BIO *in, BIO *out);

#endif
