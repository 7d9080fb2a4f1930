/* forward-parts.h — inside the forwarding: forward.c (requests, delivery, ends, whole transfers of curl's), forward-line.c (connections that curl makes and
 * on which we speak), forward-relay.c (connections that pass as they are), forward-http2.c (streams of HTTP/2), forward-reach.c (whether there is a connection to be had).
 *
 * A request goes over a line: a connection that curl made (CURLOPT_CONNECT_ONLY: names, the user's proxy, TLS and whom to trust are all
 * curl's), kept from one request to the next. The request is written by us and the answer read by http1.h, for a transfer of curl's costs more before its
 * first byte is on the way than all the rest of the gate. Plain HTTP where the user has a proxy for it, which wants to be asked in another form, and tunnels are
 * whole transfers. */
#ifndef VCR_FORWARD_PARTS_H
#define VCR_FORWARD_PARTS_H
#include <curl/curl.h>
#include <openssl/ssl.h>
#include "forward.h"

struct line;

/* One request on its way, or one tunnel being made. */
struct transfer {
	struct vcr_forward *f;
	struct transfer *prev, *next;
	struct vcr_gate_exchange *x;   /* NULL when the client has left */
	bool quick;                    /* it goes over a line; else over `easy` */
	struct line *line;             /* NULL: not any more */
	CURL *easy;
	struct curl_slist *fields;
	char *host;
	char error[CURL_ERROR_SIZE];
	int os_error;                  /* quick: of what ended it; 0 none */
	uint32_t conn;
	bool tls, tunnel, opened, paused;
	bool probe;                    /* a tunnel that is made only to see whether it can be */
	int pid;                       /* probe: who asks; 0 not known */
	bool ready;                    /* there is something to deliver */
	bool released;                 /* nothing is held any more */
	bool over, notified;           /* curl is done with it; vcr_forward.notified of then */
	bool begun;                    /* quick: some of the request has gone out */
	bool socket, switched;         /* quick: it asks for a WebSocket, and that was granted */
	bool agreed;                   /* relay: the server speaks it */
	bool relay;                    /* quick: a connection of HTTP/2, as it is; switched too. What its client says before there is a line for it is in `head` */
	CURLcode code;
	bool stream;                   /* one of HTTP/2; not quick */
	struct vcr_buf trailer;        /* stream: its lines */
	struct vcr_buf head;           /* of the answer, as it comes */
	int status;                    /* of the head that is complete; 0 none */
	bool chunked, until_eof, no_body;
	int64_t left;                  /* of a body whose length is known; else negative */
	size_t nbody;                  /* of the request */
	struct vcr_gate_request q;     /* as it goes out; what it points to is the exchange's, or */
	struct vcr_buf instead;        /* another body, with */
	struct vcr_http1_field *field; /* its length */
	char length[24];
	bool waits;                    /* it does not go out yet */
	unsigned round;                /* in which that was asked last */
};

enum { REACHES = 16, KEPT = 16, READ_BYTES = 32 << 10 };

struct vcr_forward {
	struct vcr_forward_options o;
	CURLM *multi;
	struct curl_slist *connect_to;
	struct event *timer, *hold, *kept_timer;
	struct transfer *first, *spare; /* spare: made ready for the next request, while nobody waits */
	struct line *idle;             /* the one that was used last first */
	uint32_t conn;
	struct { char host[VCR_GATE_HOST]; bool out; } reach[REACHES]; /* whether hosts could be connected to when they were last asked for; "" free */
	unsigned next_reach;
	struct { int fd; char *host; uint64_t at_ns; } kept[KEPT]; /* connections that were made when it was asked whether they can be, for what is said next; the oldest first */
	unsigned nkept;
	unsigned round;
	bool notified;                 /* in what curl is doing now, a server said that it sends no more */
	char scratch[READ_BYTES];
};

/* ---- forward.c ---- */
uint64_t vcr_forward_now_ns(void);
bool vcr_forward_is_hop(const char *name);                     /* a field of the connection, not of the message */
void vcr_forward_prepare(struct vcr_forward *f, CURL *easy);   /* what is the same for all of curl's handles */
CURLcode vcr_forward_ssl_ctx(CURL *easy, void *ssl_ctx, void *forward);
void vcr_forward_act(struct vcr_forward *f, curl_socket_t s, int what); /* let curl work */
/* Of an answer, in order; the sink has the head already, and is shown the body. Not 0: the client has left. */
void vcr_forward_show_in(struct transfer *t, const char *p, size_t n);
void vcr_forward_head(struct transfer *t, const struct vcr_http1_head *h);
int vcr_forward_body(struct transfer *t, const char *p, size_t n);
void vcr_forward_over(struct transfer *t, CURLcode code);
void vcr_forward_deliver(struct vcr_forward *f);               /* to all; what is over is freed */

int vcr_forward_reason(const struct transfer *t, CURLcode code); /* how the far side ended, as VCR_REC_CLOSE says it */
bool vcr_forward_open_tunnel(struct vcr_forward *f, struct vcr_gate_exchange *x, const char *host, int port, const char *known_as, const int *asked_by);
struct transfer *vcr_forward_new_transfer(struct vcr_forward *f, struct vcr_gate_exchange *x, const char *host, bool quick);
void vcr_forward_free_transfer(struct transfer *t);
void vcr_forward_show_open(struct transfer *t, const struct vcr_gate_request *q, uint64_t now);
void vcr_forward_show_close(struct transfer *t, int reason);

/* ---- forward-reach.c ---- */
bool vcr_forward_connect(void *forward, struct vcr_gate_exchange *x, const char *host, int port, int pid); /* struct vcr_gate_handler */
void vcr_forward_asked(struct transfer *t, struct vcr_gate_exchange *x, CURLcode code);    /* the end of a probe */
void vcr_forward_refuse_connect(struct transfer *t, struct vcr_gate_exchange *x, CURLcode code, const char *words, size_t n);
void vcr_forward_reached(struct vcr_forward *f, const char *host, CURLcode code);          /* or not */
const char *vcr_forward_users_proxy(void);                     /* of all but plain HTTP; NULL: none */
bool vcr_forward_is_quiet(int fd);                             /* has the server neither closed it nor said anything? */
/* For curl: a socket, of a connection that was kept if there is one to that address. */
curl_socket_t vcr_forward_open_socket(void *forward, curlsocktype purpose, struct curl_sockaddr *to);
enum { VCR_FORWARD_TO = 64 };
/* A tunnel through the user's proxy that was kept for that host; -1: none. to: for CURLOPT_CONNECT_TO. */
int vcr_forward_take_tunnel(struct vcr_forward *f, const char *host, char to[VCR_FORWARD_TO]);
void vcr_forward_kept_long(evutil_socket_t fd, short what, void *forward);
void vcr_forward_free_kept(struct vcr_forward *f);

/* ---- forward-relay.c: struct vcr_gate_handler ---- */
bool vcr_forward_relay(void *forward, struct vcr_gate_exchange *x, const struct vcr_gate_request *q);
void vcr_forward_input(void *forward, struct vcr_gate_exchange *x, const char *p, size_t n);
void vcr_forward_relays(struct transfer *t);                   /* there is a line for it now */
void vcr_forward_wants_http2(void *ssl_ctx, struct transfer *t); /* TLS is to agree upon nothing else */
void vcr_forward_agreed(struct vcr_forward *f, const SSL *ssl); /* upon something: if anybody wants to know, `agreed` says whether it is that */

/* ---- forward-http2.c: of a stream ---- */
void vcr_forward_stream_begin(struct transfer *t);
void vcr_forward_stream_head(struct vcr_buf *head);            /* as HTTP/1.1 has it */
void vcr_forward_stream_trailer(struct transfer *t, const char *p, size_t n);
void vcr_forward_stream_end(struct transfer *t, struct vcr_gate_exchange *x); /* x NULL: the client has left */
void vcr_forward_stream_fail(struct vcr_gate_exchange *x, bool sent); /* sent: the server may have it */

/* ---- forward-line.c ---- */
/* Send the request over a line that is idle, or over a new one. Later: vcr_forward_head, body, over. 0 or an error, after which nothing comes. */
int vcr_line_begin(struct transfer *t, const struct vcr_gate_request *q);
/* curl has made the connection, or has not. */
void vcr_line_connected(struct transfer *t, CURLcode code);
bool vcr_line_is_made(const struct line *l);                   /* has curl connected it? */
bool vcr_line_sent(const struct line *l);                      /* is all of the request with the kernel? */
/* Of a WebSocket, or what is relayed: what the client says goes as it is. */
void vcr_line_say(struct line *l, const char *p, size_t n);
void vcr_line_resume(struct line *l);                          /* what was paused goes on, from the loop */
void vcr_line_close(struct line *l);                           /* its transfer has none any more */
void vcr_line_close_idle(struct vcr_forward *f);
int vcr_line_idle_to(const struct vcr_forward *f, const char *host, int port); /* the socket of one that waits for a request; -1 */

#endif
