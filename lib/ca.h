/* ca.h — the certificate authority of one run: made for it, constrained to the hosts it may speak for, gone with it.
 *
 * P-256, RFC 5280 to the letter (Python's VERIFY_X509_STRICT, rustls, Go and BoringSSL accept it): critical basicConstraints with
 * pathlen 0, keyUsage, subject and authority key identifiers, and critical name constraints (§4.2.1.10) whose permitted subtrees are the
 * model hosts and the loopback addresses. A pattern such as "*-aiplatform.googleapis.com" has no exact constraint: the CA is permitted
 * the domain behind it, and vcr_ca_covers decides by the pattern itself, so such a leaf is minted for matching names only.
 *
 * Leaves are minted at the first use of a name, with one key for all, and kept: at most VCR_CA_LEAVES, the one not used longest goes. The CA's
 * key is a file of mode 0600 so that a gate that takes over for a dead one is trusted by the programs that run already. Not for two threads at once. */
#ifndef VCR_CA_H
#define VCR_CA_H
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include "buf.h"

enum { VCR_CA_LEAVES = 256 };

struct vcr_ca;
struct vcr_ca_options {
	const char *base;             /* path without ending: BASE.ca.key (0600) and BASE.ca.pem are made, or taken over when both are there */
	const char *const *hosts;     /* NULL-terminated: names, *.suffix, patterns, addresses; a port behind them counts for vcr_ca_lists only */
	int64_t not_before, not_after; /* Unix seconds; 0: yesterday, and 30 days from now */
};
/* VCR_ECORRUPT if files are there and do not belong together, or their CA does not permit all of hosts. */
int vcr_ca_open(struct vcr_ca **ca, const struct vcr_ca_options *o, struct vcr_error *e);
void vcr_ca_free(struct vcr_ca *ca);
/* Remove the files. */
void vcr_ca_remove(const struct vcr_ca *ca);
const char *vcr_ca_path(const struct vcr_ca *ca);      /* of the CA's certificate, PEM */
/* May a leaf be made for that name or address (no port)? Loopback addresses always. */
bool vcr_ca_covers(const struct vcr_ca *ca, const char *name);
/* Is that name or address one of the hosts the CA was opened for, at that port (0: any)? Unlike for vcr_ca_covers, loopback is not so by itself. */
bool vcr_ca_lists(const struct vcr_ca *ca, const char *name, int port);
/* Was it opened for a host at that port, and not at any? */
bool vcr_ca_lists_port(const struct vcr_ca *ca, int port);
/* Give ssl the leaf of that name. VCR_EINVAL if it is not covered, VCR_ENOMEM. */
int vcr_ca_use(struct vcr_ca *ca, SSL *ssl, const char *name);
/* Append the leaf's certificate as PEM (for tests and tools). */
int vcr_ca_leaf_pem(struct vcr_ca *ca, const char *name, struct vcr_buf *out);
/* Write BASE.<name>.pem, atomically: with system, the first system bundle found ($SSL_CERT_FILE wins over it: what the user had set); then
 * extra (NULL-terminated list of files the user had set elsewhere; may be NULL); ours last. Files that cannot be read are left out and counted in
 * *unread (may be NULL). name is "bundle" or "extra". */
int vcr_ca_bundle(const struct vcr_ca *ca, const char *name, bool system, const char *const *extra, struct vcr_buf *path, int *unread, struct vcr_error *e);
/* Both, with what the user's own variables name: REQUESTS_CA_BUNDLE, CODEX_CA_CERTIFICATE and their kin in the one, NODE_EXTRA_CA_CERTS in the other. */
int vcr_ca_bundles(const struct vcr_ca *ca, struct vcr_buf *bundle, struct vcr_buf *extra, struct vcr_error *e);

#endif
