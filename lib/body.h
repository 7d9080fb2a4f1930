/* body.h — storing bodies so that a conversation grows with its new text only (FORMAT "Growth").
 *
 * A body is written either whole ("key": LZ4 then base64, or plain text when small) or as copy/insert operations against an
 * earlier body ("delta": literals in LZ4 with the 64 KiB before the difference as dictionary). Chains end in a key body
 * after at most VCR_MAX_CHAIN. Pure functions over bytes. */
#ifndef VCR_BODY_H
#define VCR_BODY_H
#include <stddef.h>
#include "buf.h"
#include "json.h"

/* Append the members of a vcr.body data object (no braces) that encode p[0..n): "size", "sha256", "enc" and what enc needs. base may
 * be NULL; base_ref names it. 0: written as a key body; 1: written as a delta against base_ref. */
int vcr_body_encode(struct vcr_jw *w, const char *p, size_t n, const char *base, size_t nbase, const char *base_ref, struct vcr_error *e);
/* The inverse; checks size and sha256. base is the decoded body that the object's "base" names (NULL if it names none).
 * VCR_ECORRUPT or VCR_ESYNTAX otherwise; memory bounded by VCR_MAX_HTTP_BODY. */
int vcr_body_decode(const struct vcr_json *j, int data, const char *base, size_t nbase, struct vcr_buf *out, struct vcr_error *e);

#endif
