/* flow-call.h — inside flow*.c: one request and its answer while they arrive. */
#ifndef VCR_FLOW_CALL_H
#define VCR_FLOW_CALL_H
#include "flow.h"
#include "inflate.h"

struct head_copy {               /* fields of one head; strings live in one block */
	struct vcr_http1_field *field;
	size_t n;
	char *text;
};

struct body {
	struct vcr_buf bytes;        /* content-decoded */
	struct vcr_inflate *coding;  /* NULL: identity, or a coding we cannot undo (kept as it is) */
	struct vcr_grpc_plain *grpc; /* messages that may be compressed, each by itself; no coding then */
	bool keep, bad, any;         /* bad: the coding was broken or a limit was reached; any: bytes were fed */
};

struct exchange {
	struct exchange *next;
	struct vcr_call call;        /* strings and times as they come; pointers into the members below */
	char *host, *method, *target, *reason, *coding;
	struct head_copy req, res, trailer;
	struct body out, in;
	struct vcr_chunk *chunk;
	size_t nchunk, cap;
	uint32_t stream;             /* HTTP/2; 0 without */
	struct vcr_buf aside, turns; /* WebSocket: as flow.h says, without brackets */
	unsigned nasked, turn_of, nlines; /* messages of the request; what `turns` said last; lines of the answer */
	char *id;                    /* WebSocket: the answer's id once it is known */
	uint64_t read;               /* the connection's read that brought the last of it */
	uint64_t last_ns;            /* the last body byte so far */
	bool keep;                   /* bodies are of interest */
	bool sent, answered;         /* request, response ended as HTTP says */
	bool until_eof;              /* the answer's end is the connection's */
};

/* A request's head was seen. NULL: no memory. */
struct exchange *vcr_exchange_new(const struct vcr_http1_head *h, enum vcr_api api, const char *host, bool keep, size_t *held);
int vcr_exchange_response(struct exchange *x, const struct vcr_http1_head *h);
int vcr_exchange_trailer(struct exchange *x, const struct vcr_http1_field *field, size_t n);
/* Bytes of a body; at_ns is the time of the read or write that brought them. */
int vcr_exchange_out(struct exchange *x, const char *p, size_t n, size_t *held);
int vcr_exchange_in(struct exchange *x, const char *p, size_t n, uint64_t at_ns, bool new_read, size_t *held);
/* The request's head is there: say so. */
void vcr_exchange_asked(struct exchange *x, const struct vcr_flow_events *ev, void *ctx, uint64_t time_ns);
/* Fill in what is derived (bodies, answer, completeness), report it, free it. failure: NULL or flow.h's word. */
void vcr_exchange_report(struct exchange *x, const char *failure, const struct vcr_flow_events *ev, void *ctx, size_t *held);
/* The same, and it lives on. */
void vcr_exchange_tell(struct exchange *x, const char *failure, const struct vcr_flow_events *ev, void *ctx);
void vcr_exchange_free(struct exchange *x, size_t *held);

#endif
