/* inflate.h — content codings: gzip/x-gzip, deflate (zlib or raw), br, zstd, identity, and lists of them. Sans-I/O.
 * Output is bounded by VCR_MAX_INFLATED. */
#ifndef VCR_INFLATE_H
#define VCR_INFLATE_H
#include <stddef.h>
#include "buf.h"

struct vcr_inflate;
/* coding: the Content-Encoding value, NULL or "" for identity. VCR_ENOSYS for an unknown coding (named in e). */
int vcr_inflate_new(struct vcr_inflate **z, const char *coding, struct vcr_error *e);
void vcr_inflate_free(struct vcr_inflate *z);
/* Append what p[0..n) decodes to. 0, VCR_ESYNTAX, VCR_ELIMIT, VCR_ENOMEM. What was appended before an error stays. */
int vcr_inflate_feed(struct vcr_inflate *z, const char *p, size_t n, struct vcr_buf *out);
/* No more input: 0 if the coding is complete, VCR_ETRUNC if not. */
int vcr_inflate_end(struct vcr_inflate *z);

#endif
