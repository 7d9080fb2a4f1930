/* grpc.h — what of a call by gRPC can be known without its schema (gRPC over HTTP/2, "PROTOCOL-HTTP2"; Protocol Buffers' wire format). Pure functions over bytes.
 *
 * A body is a list of messages, each behind five bytes: whether it is compressed, and its length. How a call ended is in its trailers, or in the head where
 * there is nothing else; its HTTP status is 200 all the same. */
#ifndef VCR_GRPC_H
#define VCR_GRPC_H
#include <stdbool.h>
#include "buf.h"
#include "http1.h"

/* application/grpc, with any suffix or parameter. NULL: no. */
bool vcr_grpc_is(const char *content_type);
/* Does it look like a body, of nothing but messages, the last one perhaps cut? No text does. */
bool vcr_grpc_looks(const char *p, size_t n);
/* grpc-status of the trailers, else of the head; -1: neither says one from 0 to 999. */
int vcr_grpc_status(const struct vcr_http1_field *trailer, size_t ntrailer, const struct vcr_http1_field *head, size_t nhead);
/* The code's word in the specification; UNKNOWN for others. */
const char *vcr_grpc_status_name(int status);
/* grpc-message, %XX decoded, appended to out; nothing if there is none. Returns out's err. */
int vcr_grpc_message(const struct vcr_http1_field *trailer, size_t ntrailer, const struct vcr_http1_field *head, size_t nhead, struct vcr_buf *out);
/* The other way: what may stand in grpc-message. */
int vcr_grpc_escape(const char *words, struct vcr_buf *out);
/* Does the method's path only ask about models or count (GetModel, ListModels, CountTokens)? */
bool vcr_grpc_is_side(const char *path, size_t n);
/* The first text among the outermost fields of the first message that names a model (…models/NAME), appended without what stands before. 0; 1: there is none. */
int vcr_grpc_model(const char *body, size_t n, struct vcr_buf *out);

#endif
