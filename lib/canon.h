/* canon.h — the canonical form of a JSON text and the keys of a call.
 *
 * Canonical: object members sorted by key (bytes of the unescaped UTF-8), no white space, ASCII, numbers as written. Two texts with
 * equal canonical forms say the same. K0 is over the bytes, K1 over the canonical form ("v1"); both over method, path with query,
 * and the redacted body, in this form: a target in absolute form is cut to its path; the value of a credential parameter of the query is left
 * out; placeholders {{vcr:secret:N:NAME}} are numbered anew, in order of appearance, without NAME, since N and NAME depend on what else a session
 * has learnt. So two runs with different keys in different environments ask with equal keys. */
#ifndef VCR_CANON_H
#define VCR_CANON_H
#include "buf.h"
#include "json.h"
#include "prehash.h"

int vcr_canon_json(const struct vcr_json *j, int v, struct vcr_buf *out);
enum { VCR_KEY_LEN = 65 };
/* SHA-256 in hex. j: the body as JSON or NULL when it is none (K1 is then over the bytes). h: where the hashes of earlier requests are kept, or NULL. */
void vcr_canon_keys(struct vcr_prehash *h, const char *method, const char *target, const char *body, size_t n, const struct vcr_json *j, char k0[VCR_KEY_LEN], char k1[VCR_KEY_LEN]);
/* One of them. */
void vcr_canon_k0(const char *method, const char *target, const char *body, size_t n, char k0[VCR_KEY_LEN]);
void vcr_canon_k1(const char *method, const char *target, const char *body, size_t n, const struct vcr_json *j, char k1[VCR_KEY_LEN]);
/* The form of a text that goes into the keys: placeholders numbered from 1, in order of appearance. */
int vcr_canon_placeholders(const char *p, size_t n, struct vcr_buf *out);
void vcr_sha256_hex(const void *p, size_t n, char out[VCR_KEY_LEN]);

#endif
