/* body.h — storing bodies so that a conversation grows with its new text only (FORMAT "Growth").
 *
 * The members of a vcr.body data object:
 *
 *   "size":N "sha256":HEX            the decoded body
 *   "enc":"text" "text":S            the packed bytes as they are: small, what a legible body is, or text that LZ4 does not shrink (images in base64)
 *   "enc":"lz4" "lz4":B64            … as one LZ4 block
 *   "enc":"raw" "raw":B64            … as they are, binary
 *   "base":REF                       an earlier body is needed
 *   "ops":[from,copy,insert, …]      the body is, for each triple, base[from..from+copy) and then the next `insert` packed bytes;
 *                                    without ops the packed bytes are the whole body
 *   "packed":N                       how many bytes were packed, where that is not "size"
 *   "dict":END                       with ops: the LZ4 dictionary is the 64 KiB of base that end at END
 *   "near":REF                       with ops: behind these stands the end, up to 16 KiB, of another earlier body, folded if it is a stream;
 *                                    together still 64 KiB. A request repeats the answer before it: that is the body meant
 *   "fold":true                      the packed bytes are a folded stream of records (body.c "Folding"); a base, if there is one,
 *                                    is folded too and the 64 KiB at its end are the dictionary
 *
 * Pure functions over bytes; decoding takes anything and allocates no more than VCR_MAX_HTTP_BODY per body. */
#ifndef VCR_BODY_H
#define VCR_BODY_H
#include <stdbool.h>
#include <stddef.h>
#include "buf.h"
#include "json.h"

struct vcr_near { const char *ref, *p; size_t n; }; /* a body that resembles what is new in another */

/* Append the members of a vcr.body data object (no braces) that encode p[0..n). sha256 is the body's (32 bytes), NULL to have it
 * computed; base may be NULL; base_ref names it; near may be NULL. legible: a text without a base stays text up to 16 KiB, since
 * packing costs ten times what writing and hashing a quarter more does. *added (may be NULL) is the number of packed bytes, the body's new text.
 * 0: written without base; 1: as operations on base_ref; 2: with base_ref as its dictionary only. */
int vcr_body_encode(struct vcr_jw *w, const char *p, size_t n, const unsigned char *sha256, const char *base, size_t nbase,
	const char *base_ref, const struct vcr_near *near, bool legible, size_t *added, struct vcr_error *e);
/* The inverse: appends to out. base and near are the decoded bodies that the object's "base" and "near" name (NULL if it names none). The size is always
 * checked, the SHA-256 when check_hash (a chain is checked at its end only). VCR_ECORRUPT or VCR_ESYNTAX otherwise. */
int vcr_body_decode(const struct vcr_json *j, int data, const char *base, size_t nbase, const struct vcr_near *near, bool check_hash,
	struct vcr_buf *out, struct vcr_error *e);

#endif
