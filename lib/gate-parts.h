/* gate-parts.h — inside the gate: gate.c (listening, limits), gate-conn.c (bytes, TLS), gate-http.c (requests, answers), gate-connect.c (proxying),
 * gate-address.c (connections that only have an address), gate-socket.c (WebSockets), gate-http2.c (HTTP/2). */
#ifndef VCR_GATE_PARTS_H
#define VCR_GATE_PARTS_H
#include "gate.h"

enum conn_state {
	SNIFF,      /* TLS, a lead line or HTTP? */
	HANDSHAKE,
	HTTP,       /* a request is awaited or being received */
	ANSWER,     /* a request is being answered */
	TUNNEL,
	LINGER,     /* all is sent; what still comes is thrown away until the client has closed */
};
enum { DISTRUSTS = 64 };
enum after { KEEP, CLOSE, SHORT /* no close_notify */, RESET };

struct tunnel {
	int fd;
	struct event *read, *write;
	struct vcr_buf up;           /* from the client to the far side */
	size_t up_at;
	bool far_eof, near_eof;
};

/* struct vcr_gate_exchange is the connection: it has one exchange at a time. */
struct vcr_gate_exchange {
	struct vcr_gate *gate;
	struct vcr_gate_exchange *prev, *next; /* all connections, the one idle longest first */
	int fd;
	enum conn_state state;
	struct event *read, *write, *later;
	bool reading, writing, dead, reset_by_peer, eof;
	int64_t deadline_ms;         /* of the state; 0 none */

	SSL *ssl;                    /* NULL: plain */
	BIO *in_bio, *out_bio;
	struct vcr_buf early;        /* SNIFF: first bytes; ANSWER: bytes of the next request */
	struct vcr_buf out;          /* for the kernel */
	size_t out_at, held;         /* held: what of the gate's total is ours */
	uint64_t sent;               /* bytes that the kernel has taken, in all */

	bool authorised, asked;      /* authorised: by server name or token; asked: `meant` */
	char *lead_host;             /* of a lead line or CONNECT, with port; NULL */
	bool named;                  /* it came where names of hosts lead: its `address` is here, and nobody is behind it */
	bool unasked;                /* it is tunnelled without knowing of it */
	char *address;               /* where it was meant to go, without a name: what is said on it decides, or is tunnelled there; NULL */
	enum vcr_gate_way way;
	int pid;                     /* as `meant` said it */
	bool by_proxy;               /* it has shown the token as a proxy's */

	struct vcr_http1 *http;
	uint64_t fed;                /* bytes given to http before this request */
	uint64_t head_bytes;
	bool head_done, stop;
	struct vcr_buf text;         /* strings of the request */
	struct vcr_http1_field *field;
	size_t nfield, field_cap;
	struct vcr_buf body;
	struct vcr_gate_request request;
	char *host_text;
	bool keep_alive, head_method, is_connect, socket, full;
	int refuse;                  /* status to answer with instead of asking the handler */

	struct vcr_buf pending;      /* head and pieces that make the next TLS record */
	bool pending_piece, head_sent, chunked, no_body, ended, delivered, told;
	int64_t left;                /* of Content-Length; -1 none */
	enum after after;
	void *user;
	struct tunnel *tunnel;
	struct vcr_gate_http2 *http2;  /* it is spoken here; its streams are in it */

	/* A stream has no socket. `early` is its answer's head, `pending` its body, `out` its trailers. */
	struct vcr_gate_exchange *on;  /* the connection that it is of; NULL when that is gone */
	int32_t stream;                /* its number; 0: this is no stream */
	bool submitted, bodied;        /* nghttp2 has the head; and is to ask for a body */
	bool refused;                  /* GOAWAY, with that code, is to be said */
	uint32_t goaway;
	uint32_t ends_by;              /* code of RST_STREAM that is its end; 0 none */
	bool finished;                 /* its end, as it was to be, is among what its connection says: there as soon as that has `sent` */
	uint64_t end_at;               /* so much; 0: not known yet */
};

struct vcr_gate {
	struct vcr_gate_options o;
	char *token;
	SSL_CTX *tls;
	struct event *sweep, *accept_again;
	int listen_fd[VCR_GATE_LISTENERS];
	struct event *listen[VCR_GATE_LISTENERS];
	int port;
	struct vcr_gate_exchange *first, *last;
	struct vcr_gate_exchange *orphans; /* streams whose connection is gone */
	int distrusts[DISTRUSTS], next_distrust; /* processes that refused our certificate on a connection with an `address` */
	struct vcr_gate_stats stats;
	char scratch[64 << 10], plain[64 << 10];
};

/* gate.c */
int64_t vcr_gate_now_ms(void);
void vcr_gate_kill(struct vcr_gate_exchange *c);            /* it ends; freed from the loop */
void vcr_gate_later(struct vcr_gate_exchange *c);           /* vcr_gate_conn_later will be called from the loop */
void vcr_gate_touch(struct vcr_gate_exchange *c);           /* it is the youngest now */
bool vcr_gate_hold(struct vcr_gate_exchange *c);            /* account for its buffers; false: too much in all */
bool vcr_gate_token_ok(const struct vcr_gate *g, const char *p, size_t n);
/* gate-conn.c */
void vcr_gate_conn_readable(evutil_socket_t fd, short what, void *conn);
void vcr_gate_conn_writable(evutil_socket_t fd, short what, void *conn);
void vcr_gate_conn_later(evutil_socket_t fd, short what, void *conn);
void vcr_gate_conn_early(struct vcr_gate_exchange *c);      /* what came while it was answered, or behind a CONNECT, is looked at now */
void vcr_gate_conn_meant(struct vcr_gate_exchange *c);      /* ask `meant`, once */
void vcr_gate_conn_push(struct vcr_gate_exchange *c);       /* pending becomes a record */
void vcr_gate_conn_send(struct vcr_gate_exchange *c);
void vcr_gate_conn_read(struct vcr_gate_exchange *c, bool on);
void vcr_gate_conn_finish(struct vcr_gate_exchange *c);     /* nothing more will be written: close as `after` says */
SSL_CTX *vcr_gate_tls_new(struct vcr_gate *g);
/* gate-http.c */
void vcr_gate_http_input(struct vcr_gate_exchange *c, const char *p, size_t n);
void vcr_gate_http_release(struct vcr_gate_exchange *c);
bool vcr_gate_http_may_say(const struct vcr_http1_field *f);
const char *vcr_gate_http_words(int status);                /* of a refusal */
void vcr_gate_end_connection(struct vcr_gate_exchange *c, enum vcr_gate_cut how); /* when all is sent */
void vcr_gate_http_begin(struct vcr_gate_exchange *c);      /* what was of the last request is gone */
/* gate-address.c: connections with an `address` */
bool vcr_gate_address_said(struct vcr_gate_exchange *c);    /* by what is in `early`: true, it is led; false, it is tunnelled, or does not say yet */
void vcr_gate_address_silent(struct vcr_gate_exchange *c, int64_t ms);  /* nothing has come for so long */
void vcr_gate_address_distrusts(struct vcr_gate_exchange *c); /* its handshake has failed */
/* gate-socket.c */
bool vcr_gate_socket_asked(const struct vcr_gate_exchange *c); /* may 101 be the answer? */
void vcr_gate_socket_begun(struct vcr_gate_exchange *c);      /* it is among what is pending */
/* gate-http2.c */
bool vcr_gate_http2_chosen(const struct vcr_gate_exchange *c);  /* is it what TLS has agreed upon? */
bool vcr_gate_http2_preface(const char *p, size_t n, bool *whole); /* does a connection begin so, as far as it has come? */
void vcr_gate_http2_begin(struct vcr_gate_exchange *c);
void vcr_gate_http2_input(struct vcr_gate_exchange *c, const char *p, size_t n);
void vcr_gate_http2_writable(struct vcr_gate_exchange *c);  /* little of what was said is left */
void vcr_gate_http2_sent(struct vcr_gate_exchange *c);      /* some of it has gone */
void vcr_gate_http2_sweep(struct vcr_gate_exchange *c, int64_t now);
void vcr_gate_http2_release(struct vcr_gate_exchange *c);   /* its streams are told from the loop */
/* of a stream: */
void vcr_gate_http2_later(struct vcr_gate_exchange *x);
void vcr_gate_http2_free_stream(struct vcr_gate_exchange *x);
int vcr_gate_http2_head(struct vcr_gate_exchange *x, int status, const struct vcr_http1_field *field, size_t n, int64_t length);
int vcr_gate_http2_body(struct vcr_gate_exchange *x, const char *p, size_t n);
int vcr_gate_http2_end(struct vcr_gate_exchange *x);
int vcr_gate_http2_flush(struct vcr_gate_exchange *x);
void vcr_gate_http2_cut(struct vcr_gate_exchange *x, enum vcr_gate_cut how);
void vcr_gate_http2_reset(struct vcr_gate_exchange *x, uint32_t code);
void vcr_gate_http2_go_away(struct vcr_gate_exchange *x, uint32_t code);
/* gate-connect.c */
int vcr_gate_connect_named(struct vcr_gate_exchange *c);    /* what the connection itself says of its host: fills host, tls, way; 0 or a status */
int vcr_gate_connect_authorise(struct vcr_gate_exchange *c, const struct vcr_http1_head *h); /* 0, or the status of the refusal */
int vcr_gate_connect_place(struct vcr_gate_exchange *c, const struct vcr_http1_head *h);      /* fills host, target, tls, way; 0 or a status */
size_t vcr_gate_connect_lead(struct vcr_gate_exchange *c, const char *p, size_t n, bool *bad); /* bytes of a lead line; 0 not complete or none */
void vcr_gate_connect_begin(struct vcr_gate_exchange *c);   /* a CONNECT request is complete */
void vcr_gate_tunnel_input(struct vcr_gate_exchange *c, const char *p, size_t n);
void vcr_gate_tunnel_eof(struct vcr_gate_exchange *c);
void vcr_gate_tunnel_drained(struct vcr_gate_exchange *c);
void vcr_gate_tunnel_free(struct vcr_gate_exchange *c);

#endif
