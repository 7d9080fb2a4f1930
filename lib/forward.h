/* forward.h — the gate's handler that records: each request goes to the real host, each byte of the answer comes through at once.
 *
 * libcurl on the gate's event loop, HTTP/1.1 upstream, and byte for byte WebSockets (but codex's: vcr_gate_http_will_do) and connections of clients that speak
 * HTTP/2 alone, of which the sink is shown what passes as it is: nothing in them is held back, replaced or answered here, but for what `held` says. A single stream
 * of HTTP/2 (vcr_gate_request.http2) goes on by HTTP/2; the sink is shown it as HTTP/1.1, trailers and all.
 * The header list is what the client sent, in its order behind Host, less what belongs to the
 * connection (Connection, Proxy-*, Transfer-Encoding, Expect); nothing is added, nothing decoded, no redirect followed. Upstream connections are kept for
 * the next request; one that the server had closed meanwhile is replaced before anything was answered, once, and no request is repeated otherwise. curl makes
 * them all; what is asked for with TLS is written and read by us on a connection that it made (forward-parts.h).
 * The user's proxy variables are honoured, and their certificate files added: $SSL_CERT_FILE in place of the system's roots, $REQUESTS_CA_BUNDLE,
 * $CURL_CA_BUNDLE and $NODE_EXTRA_CA_CERTS beside them; or cacert alone, as curl's --cacert.
 *
 * Every byte is shown to the sink before it is passed on, as HTTP/1.1 in what may be fed to flow.h: a call is one connection of it. A client
 * that reads slowly slows the server down (VCR_MAX_GATE_BACKLOG). A client that leaves ends its upstream request; an upstream that ends in the middle ends the
 * client's connection the same way (gate.h, vcr_gate_cut): an end of the bytes without TLS's close_notify is told from one with it. Where no connection could be made the client's is reset. */
#ifndef VCR_FORWARD_H
#define VCR_FORWARD_H
#include "gate.h"

/* Times are CLOCK_MONOTONIC nanoseconds. A sink that fails is the caller's business: nothing is held back for it. */
struct vcr_forward_sink {
	/* pid: vcr_gate_request's. relayed: it is a whole connection of HTTP/2, of which requests come when they come. */
	void (*open)(void *ctx, uint32_t conn, bool tls, const char *host, int pid, bool relayed, uint64_t time_ns);
	void (*out)(void *ctx, uint32_t conn, const char *p, size_t n, uint64_t time_ns);
	void (*in)(void *ctx, uint32_t conn, const char *p, size_t n, uint64_t time_ns);
	void (*close)(void *ctx, uint32_t conn, int reason, uint64_t time_ns); /* as VCR_REC_CLOSE of spool-format.h */
	void (*trouble)(void *ctx, const char *host, const char *words);       /* upstream could not be reached or not be trusted; words NULL: by a tunnel. May be NULL */
	void (*distrusted)(void *ctx, const char *host, int pid);              /* struct vcr_gate_handler; may be NULL */
};
/* How a request goes on its way: as it is; not yet, asked again in a moment; with another body in place of its own; or not at all. */
enum vcr_forward_way { VCR_FORWARD_AS_IT_IS, VCR_FORWARD_WAIT, VCR_FORWARD_INSTEAD, VCR_FORWARD_ANSWERED };
struct vcr_forward_options {
	struct event_base *base;
	const char *const *connect_to;      /* HOST1:PORT1:HOST2:PORT2, NULL-terminated, as curl's --connect-to; may be NULL */
	const char *cacert;                 /* NULL */
	const struct vcr_forward_sink *sink;
	void *ctx;
	uint32_t (*next_conn)(void *ctx);   /* a connection number; NULL: 1, 2, … */
	/* Not of what is relayed. Asked when the sink has been shown a request, as the client sent it. INSTEAD: the body that goes is what was appended to `body`. ANSWERED: that is the
	 * answer, JSON of status 400; the sink is shown it too. NULL: all go as they are. */
	enum vcr_forward_way (*way)(void *ctx, uint32_t conn, const struct vcr_gate_request *q, struct vcr_buf *body);
	/* Is this WebSocket answered with 426, and goes nowhere? Asked of each but those of who will ask by HTTP anyway; NULL: no. */
	bool (*no_socket)(void *ctx, const struct vcr_gate_request *q);
	/* Must nothing of the answer be delivered yet? Asked until it says no once, of what is relayed once after all that the client says; NULL: no. */
	bool (*held)(void *ctx, uint32_t conn);
};
struct vcr_forward;
int vcr_forward_new(struct vcr_forward **f, const struct vcr_forward_options *o, struct vcr_error *e);
/* After the gate. */
void vcr_forward_free(struct vcr_forward *f);
/* For vcr_gate_options, with the vcr_forward as its ctx. Hosts that are not listed are tunnelled. */
extern const struct vcr_gate_handler vcr_forward_handler;

#endif
