/* gate.h — the gate: a local server that stands where the model's server would, for record and replay alike.
 *
 * It listens on 127.0.0.1 and ::1 (one port, its choice) and speaks HTTP/1.1, one request at a time per connection, keep-alive, and HTTP/2 with clients that
 * offer nothing else, where each stream is an exchange:
 *   - TLS at once, the server name one of the CA's hosts (the connection was led here)
 *   - CONNECT host:port, then TLS or plain HTTP to one of these hosts; other hosts are tunnelled if the handler says so, never opened
 *   - plain HTTP to a proxy: GET http://host/path
 *   - plain HTTP to a base URL: http://127.0.0.1:PORT/vcr-TOKEN/HOST[:PORT]/path; HOST may be written http:HOST for a host without TLS
 *   - a lead line before any of these: "VCR1 TOKEN HOST:PORT\n", which says where a connection was meant to go; `meant` of the options says it too
 * Without a listed server name a request has to show the run's token: Proxy-Authorization (Basic with any user, or Bearer), the path of the
 * base URL, or the lead line. Others get 407 or 403, and their bodies are not read. The user of a Basic one may be vcr-PID: whose connection it is.
 *
 * A handler gets each request complete (head and transfer-decoded body; Expect: 100-continue is answered here) and answers it when
 * and in the pieces it likes. Each piece goes out as one HTTP chunk and, up to 16 KiB, in one TLS record: the first together with the
 * head, the last together with the end. Nothing is held back after vcr_gate_flush.
 *
 * Bounds: limits.h. A head has to be complete within head_ms; at VCR_MAX_GATE_CONNS the connection that is idle longest gives way. One event
 * loop (libevent's core), memory BIOs around OpenSSL: bufferevents would decide about records, resets and early bytes by themselves.
 * Callers ignore SIGPIPE. */
#ifndef VCR_GATE_H
#define VCR_GATE_H
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include "ca.h"
#include "http1.h"

struct vcr_gate;
struct vcr_gate_exchange; /* a request and the answer to it; belongs to the gate */

enum vcr_gate_way { VCR_GATE_LED, VCR_GATE_PROXY, VCR_GATE_BASE_URL };
struct vcr_gate_request {
	enum vcr_gate_way way;
	bool tls;                 /* the real server is spoken to with TLS */
	const char *host;         /* with port unless it is the scheme's default */
	const char *method, *target; /* target: path with query */
	bool http2;               /* a stream of it; of `relay`: no */
	int minor;                /* HTTP/1.minor */
	const struct vcr_http1_field *field; size_t nfield; /* as sent */
	const char *body; size_t nbody;
	int pid;                  /* of the program; 0 not known */
};

enum vcr_gate_fate {
	VCR_GATE_DELIVERED,       /* the answer is complete and with the kernel */
	VCR_GATE_UNREAD,          /* after DELIVERED: the client reset the connection, so it had not read all of it */
	VCR_GATE_GONE,            /* the connection ended before the answer was complete, whoever ended it; the exchange is not to be used again */
};
struct vcr_gate_handler {
	/* A request; its memory is valid until the exchange's end. Answer now or later. */
	void (*request)(void *ctx, struct vcr_gate_exchange *x, const struct vcr_gate_request *q);
	/* The backlog has become small: write on. */
	void (*drained)(void *ctx, struct vcr_gate_exchange *x);
	void (*done)(void *ctx, struct vcr_gate_exchange *x, enum vcr_gate_fate fate);
	/* CONNECT to a host that is not listed: answer with vcr_gate_tunnel or with a refusal (vcr_gate_simple). NULL: refused. */
	void (*tunnel)(void *ctx, struct vcr_gate_exchange *x, const char *host, int port);
	/* CONNECT to one that is listed. False: it is answered at once. True: the handler answers, with vcr_gate_connected or with a refusal, so that
	 * a client that cannot reach its server hears it where it would hear it from any proxy. pid: whose connection it is, 0 not known. NULL: always at once. */
	bool (*connect)(void *ctx, struct vcr_gate_exchange *x, const char *host, int port, int pid);
	/* A process whose connections come by their address (`meant`) did not accept the certificate for that host: from now on they are tunnelled. */
	void (*distrusted)(void *ctx, const char *host, int pid);
	/* A client that speaks HTTP/2 alone (nothing else in TLS's ALPN, or its preface without TLS); q: host, tls and pid. True: the connection as a whole is the
	 * handler's: its bytes come by `input` as they are, others go by vcr_gate_send, and it ends by vcr_gate_cut or by the client. False, or NULL: the gate speaks
	 * it, and `request` is told each stream. */
	bool (*relay)(void *ctx, struct vcr_gate_exchange *x, const struct vcr_gate_request *q);
	/* Bytes of a client whose upgrade was answered by vcr_gate_socket, or that is relayed. */
	void (*input)(void *ctx, struct vcr_gate_exchange *x, const char *p, size_t n);
};
enum { VCR_GATE_LISTENERS = 6 };
enum { VCR_GATE_HOST = 280 };                  /* bytes of HOST:PORT with its NUL */
enum vcr_gate_meant { VCR_MEANT_UNKNOWN, VCR_MEANT_HOST, VCR_MEANT_PROXY, VCR_MEANT_ADDRESS };
struct vcr_gate_options {
	struct event_base *base;
	struct vcr_ca *ca;        /* borrowed */
	const char *token;        /* at least 16 characters of [A-Za-z0-9] */
	int port;                 /* 0: any */
	/* Listening sockets to be taken over instead, in order: on 127.0.0.1, on ::1 with the same port, and others, on which a client that names no listed host
	 * (server name, Host field) is not answered; no token is asked for there. -1: none. NULL: listen ourselves. */
	const int *listeners;
	int head_ms, idle_ms;     /* 0: 20 s for a head, 60 s without a byte of a body */
	unsigned max_conns;       /* 0: VCR_MAX_GATE_CONNS */
	size_t max_held;          /* 0: VCR_MAX_GATE_HELD */
	const struct vcr_gate_handler *handler;
	void *ctx;
	/* Where a connection from that address was meant to go, asked once, with its first bytes, and before while it says nothing, until it is known; NULL: never. HOST: host is filled in, as a lead line
	 * would. PROXY: its program believes to speak to a proxy. Either needs no token any more, and *pid may be set to the process that connected.
	 * ADDRESS: host is an address; if the first bytes name a listed host (server name, Host field) it is as HOST, else a tunnel to the address, without
	 * an answer in the client's way; a client that says nothing is tunnelled after a moment. */
	enum vcr_gate_meant (*meant)(void *ctx, const struct sockaddr *peer, char host[VCR_GATE_HOST], int *pid);
	void *meant_ctx;
	/* That process has made a request, and is about to be answered; 0: one that takes us for its proxy, and was not named. With meant_ctx. NULL: nobody asks. */
	void (*spoke)(void *ctx, int pid);
	/* The client of a connection that was meant for that host or address has accepted the certificate; or refused it, or left in the handshake. sni: the name that
	 * it asked for ("": none). NULL: nobody asks. False: it is told of refusals otherwise (distrusted). */
	bool (*judged)(void *ctx, const char *host, const char *sni, int pid, bool trusted);
	void *judged_ctx;
};
int vcr_gate_new(struct vcr_gate **g, const struct vcr_gate_options *o, struct vcr_error *e);
/* Ends all connections (without callbacks) and the listeners. */
void vcr_gate_free(struct vcr_gate *g);
int vcr_gate_port(const struct vcr_gate *g);
/* Is there a listener on ::1 too? */
bool vcr_gate_has_v6(const struct vcr_gate *g);

struct vcr_gate_stats {
	uint64_t accepted, requests, refused /* no token */, malformed, timed_out, evicted, handshakes_failed, tunnels;
	size_t conns, held;
};
void vcr_gate_stats(const struct vcr_gate *g, struct vcr_gate_stats *s);

/* ---- Answering. Each returns 0, or VCR_EIO when the connection has ended (done comes, later), VCR_ENOMEM, VCR_EINVAL out of order. ---- */

/* An interim or final head. length: of the body, -1 unknown (chunked; until the end of the connection for HTTP/1.0). Framing and Connection
 * fields among `field` are left out and written anew. A status below 200 may be followed by another head, but 101, which a request for a WebSocket has:
 * vcr_gate_body goes as it is from then on, and what the client says comes by `input`. */
int vcr_gate_head(struct vcr_gate_exchange *x, int status, const char *reason, const struct vcr_http1_field *field, size_t n, int64_t length);
int vcr_gate_body(struct vcr_gate_exchange *x, const char *p, size_t n);
/* What goes behind the body of a stream of HTTP/2; elsewhere it is left out. */
int vcr_gate_trailers(struct vcr_gate_exchange *x, const struct vcr_http1_field *field, size_t n);
int vcr_gate_end(struct vcr_gate_exchange *x);
/* Send what there is. */
int vcr_gate_flush(struct vcr_gate_exchange *x);
/* Instead of the end: send what there is, then end the connection (with all its streams) in the middle: in order, without TLS's close_notify, or by a reset. */
enum vcr_gate_cut { VCR_CUT_CLOSE, VCR_CUT_SHORT, VCR_CUT_RESET };
void vcr_gate_cut(struct vcr_gate_exchange *x, enum vcr_gate_cut how);
/* The end of one stream of HTTP/2, by RST_STREAM with that code; elsewhere a reset. */
void vcr_gate_reset(struct vcr_gate_exchange *x, uint32_t code);
/* The end of a stream of HTTP/2 and of those after it as ones that were not looked at, by GOAWAY with that code: those before it are answered, then the
 * connection ends. Where one after it is being answered, by RST_STREAM, REFUSED_STREAM, and that alone; elsewhere a reset. */
void vcr_gate_go_away(struct vcr_gate_exchange *x, uint32_t code);
/* Bytes not yet with the kernel. Above VCR_MAX_GATE_BACKLOG wait for drained. */
size_t vcr_gate_backlog(const struct vcr_gate_exchange *x);
/* A whole small answer. type NULL: text/plain. extra: a further field, NULL name for none. */
int vcr_gate_simple(struct vcr_gate_exchange *x, int status, const char *type, const char *body, size_t n, const struct vcr_http1_field *extra);
/* A whole answer to a call by gRPC, without a message: its status (grpc.h), and words. */
int vcr_gate_grpc(struct vcr_gate_exchange *x, int status, const char *words);
/* After tunnel: 200, then bytes go both ways between the client and fd (a connected socket; the gate owns it now). */
int vcr_gate_tunnel(struct vcr_gate_exchange *x, int fd);

/* Instead of a head: 101 to a request for a WebSocket (RFC 6455 §4.2.2), without extensions; protocol: of those that the client offered, or NULL. Then its
 * bytes come by `input`, others go by vcr_gate_send, and it ends by vcr_gate_cut or by the client. VCR_EINVAL: it is no such request. */
int vcr_gate_socket(struct vcr_gate_exchange *x, const char *protocol);
int vcr_gate_send(struct vcr_gate_exchange *x, const char *p, size_t n);
/* Is it known that who asks for this WebSocket asks for the same by HTTP as soon as it hears 426? codex does: its answers are any other's then. */
bool vcr_gate_http_will_do(const struct vcr_gate_request *q);
/* 426. */
void vcr_gate_no_socket(struct vcr_gate_exchange *x);
/* Whether the client is not read, since nobody takes what it says: what it has sent already may still come. */
void vcr_gate_full(struct vcr_gate_exchange *x, bool full);

/* After connect: 200, and the connection goes on as if it had been led. near: it is soon known whether there is a connection to be had, which the client is told. */
void vcr_gate_connected(struct vcr_gate_exchange *x, bool near);

/* A word of the handler's own per exchange; NULL at first. */
void vcr_gate_set_user(struct vcr_gate_exchange *x, void *user);
void *vcr_gate_user(const struct vcr_gate_exchange *x);

#endif
