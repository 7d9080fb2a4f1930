/* certs.c — no certificates for libgit2.
 *
 * git_libgit2_init() of a libgit2 that is built with mbed TLS (Debian's, for one) reads and parses all of the system's root certificates: 5 to
 * 10 ms of every program that looks at a savepoint, for connections that vcr never makes with it. The program's own symbol comes before the
 * library's, so this one is called there: no certificate, no failure. Linked into programs whose own TLS is OpenSSL's only, and not into
 * vcr-gate, where libcurl may be built with anything. Without mbed TLS nobody calls it. */

int mbedtls_x509_crt_parse_file(void *chain, const char *path);

int mbedtls_x509_crt_parse_file(void *chain, const char *path)
{
	return 0;
}
