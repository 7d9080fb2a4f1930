/* flow-parts.h — inside flow*.c: a connection and the flow it belongs to; who speaks which protocol stands in flow.c (HTTP/1),
 * flow-http2.c and flow-ws.c. */
#ifndef VCR_FLOW_PARTS_H
#define VCR_FLOW_PARTS_H
#include "flow-call.h"
#include "http2.h"

/* How long a connection stays of interest: an HTTP one to a host that is not a model's is muted after this many requests or bytes without
 * one that is (a gateway's other paths); one that begins with something else after this many writes (it may have been joined
 * in the middle of a request) or bytes read. */
enum { OTHER_REQUESTS = 16, OTHER_BYTES = 1 << 20, STRANGE_WRITES = 4, STRANGE_BYTES = 1 << 20 };
enum { MAX_PENDING = 1024, EARLY_BYTES = 64 << 10, LOOK = 24 };

enum conn_state {
	LOOKING, /* for a request line at the start of a write */
	HTTP,
	HTTP2,
	WEBSOCKET,
	MUTED,
};

struct conn {
	struct conn *next;
	struct vcr_flow *flow;
	uint32_t number;
	int pid, tid;
	bool tls, met_model;
	enum conn_state state;
	char *server_name, *peer;
	unsigned strange_writes, other_requests, npending;
	uint64_t other_bytes;
	char look[LOOK];               /* first bytes of a write that may be a request line */
	size_t nlook;
	uint64_t look_ns;
	struct vcr_http1 *req, *res;
	struct vcr_http2 *req2, *res2; /* HTTP/2 */
	uint32_t looked_at, goaway;    /* the server looks at no stream above it, as its GOAWAY says, and the code of that */
	struct vcr_flow_ws *ws;
	struct exchange *first, *last; /* requests in order; without streams the first is the one that is being answered */
	struct exchange *sending;      /* the one whose request is under way (HTTP/1) */
	uint64_t now_ns, req_ns, res_ns; /* this read or write; first byte of the message under way */
	uint64_t nreads;
	bool upgraded, to_http2;       /* another protocol begins, and it is HTTP/2 */
	struct vcr_buf early;          /* bytes read while nothing was asked: the write's record may come a moment later */
	uint64_t early_ns, early_last_ns;
};

/* A connection to a model's host that could not be made. */
enum { FAILED_MAX = 16 };
struct failed {
	uint32_t conn;
	int pid, reason;
	bool tls;
	uint64_t start_ns, end_ns;
	char host[300];
};

struct vcr_flow {
	struct vcr_flow_events ev;
	void *ctx;
	char **hosts;
	bool capture_all;
	struct conn **bucket;
	size_t nbucket, nconn, held;
	struct failed failed[FAILED_MAX]; /* flow-failed.c */
	size_t nfailed;
	uint64_t mark;
};

/* flow-table.c: connections by number. find: NULL if unknown; add: NULL if there are too many (said) or no memory. */
struct conn *vcr_conn_find(const struct vcr_flow *f, uint32_t number);
struct conn *vcr_conn_add(struct vcr_flow *f, uint32_t number, int pid);
void vcr_conn_remove(struct vcr_flow *f, uint32_t number);
void vcr_conn_free(struct conn *c);
/* Free the decoders and what is held for them; calls stay. */
void vcr_conn_forget(struct conn *c);

/* flow.c: what every protocol does with its calls. */
/* A request's head was seen: its exchange, at the end of the list and told to the caller of flow; NULL: *err says why. */
struct exchange *vcr_conn_request(struct conn *c, const struct vcr_http1_head *h, int *err);
/* Report (failure: NULL or flow.h's word), take out of the list, free. */
void vcr_conn_pop(struct conn *c, struct exchange *x, const char *failure);
void vcr_conn_fail(struct conn *c, const char *failure);
void vcr_conn_mute(struct conn *c);
void vcr_conn_unseen(struct conn *c, const char *why);
/* The exchange at the end of the list. */
void vcr_conn_append(struct conn *c, struct exchange *x);
/* What is read while nothing is asked is held until the next write: an answer's record may come a moment before its request's (another
 * thread's). in: hold or feed; give: feed what is held. */
void vcr_conn_early_in(struct conn *c, const char *p, size_t n, void (*feed)(struct conn *c, const char *p, size_t n));
void vcr_conn_early_give(struct conn *c, void (*feed)(struct conn *c, const char *p, size_t n));
/* Is it no longer worth going on: requests, but no model's? */
bool vcr_conn_bored(const struct conn *c);
/* Body bytes of an answer; the times of reads are kept. */
int vcr_conn_answer_body(struct conn *c, struct exchange *x, const char *p, size_t n);

/* flow-failed.c. add: connection c to host has failed with that errno. reached: one to that host was made. settle: tell what has waited long enough,
 * all of pid (not 0), or all (-1). */
void vcr_failed_add(struct vcr_flow *f, const struct conn *c, const char *host, int reason, uint64_t now_ns);
void vcr_failed_reached(struct vcr_flow *f, int pid, const char *host);
void vcr_failed_settle(struct vcr_flow *f, int pid, uint64_t now_ns);

/* flow-http2.c. begin: decoders for a connection from its preface on; upgraded (may be NULL): the call that asked for it, now stream 1. end: calls that
 * the server has refused are reported as that, before the others fail as the connection does. */
void vcr_conn_http2_begin(struct conn *c, struct exchange *upgraded);
void vcr_conn_http2_out(struct conn *c, const char *p, size_t n);
void vcr_conn_http2_in(struct conn *c, const char *p, size_t n);
void vcr_conn_http2_end(struct conn *c);

/* flow-ws.c. begin: the first call of the list is the handshake, just answered with 101; 1: it is no model's. end: the connection is over. */
int vcr_conn_ws_begin(struct conn *c);
void vcr_conn_ws_out(struct conn *c, const char *p, size_t n);
void vcr_conn_ws_in(struct conn *c, const char *p, size_t n);
void vcr_conn_ws_end(struct conn *c);
void vcr_conn_ws_free(struct conn *c);

#endif
