/* grpc-plain.h — a body of gRPC in which each message that is compressed (flag 1, as grpc-encoding says; gRPC over HTTP/2, "Compression") is one that is not. Sans-I/O.
 *
 * What is searched for secrets, compared and shown is then what was said. Other messages pass as they come; a compressed one is kept until it is whole, and
 * left out where it never is. Output is bounded by its buffer, and by VCR_MAX_INFLATED for each message. */
#ifndef VCR_GRPC_PLAIN_H
#define VCR_GRPC_PLAIN_H
#include <stddef.h>
#include "buf.h"
#include "http1.h"

struct vcr_grpc_plain;
/* By the fields of a head. NULL: it is no gRPC, nothing in it is compressed, in a way that is not known, or there is no memory. */
struct vcr_grpc_plain *vcr_grpc_plain_new(const struct vcr_http1_field *field, size_t n);
void vcr_grpc_plain_free(struct vcr_grpc_plain *z);
/* Append what p[0..n) says. 0, VCR_ESYNTAX, VCR_ELIMIT, VCR_ENOMEM; after an error it is not to be fed any more. */
int vcr_grpc_plain_feed(struct vcr_grpc_plain *z, const char *p, size_t n, struct vcr_buf *out);
/* No more input: 0, or VCR_ETRUNC in the midst of a message. */
int vcr_grpc_plain_end(const struct vcr_grpc_plain *z);
/* Bytes that it holds. */
size_t vcr_grpc_plain_held(const struct vcr_grpc_plain *z);

#endif
