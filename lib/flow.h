/* flow.h — from the bytes of connections to model calls: http1 or http2 + inflate + provider over both directions. Sans-I/O.
 *
 * Feed each connection's bytes with their times; get finished calls. A call is reported once, when its answer is complete, fails, or its
 * connection or program ends. */
#ifndef VCR_FLOW_H
#define VCR_FLOW_H
#include <stdbool.h>
#include <stdint.h>
#include "buf.h"
#include "http1.h"
#include "provider.h"

struct vcr_chunk { uint64_t offset, time_ns; };

struct vcr_call {
	uint32_t conn;
	int pid, tid;
	enum vcr_api api;            /* VCR_API_SIDE for other requests to model hosts, VCR_API_NONE when everything is captured */
	const char *host;            /* Host field, else the server name; with port if not the scheme's default */
	const char *method, *target;
	bool tls;
	bool websocket;              /* a turn of a WebSocket: bodies are its text messages, the request's joined, the answer's one a line */
	bool http2;                  /* HTTP/2; else HTTP/1.minor */
	int minor;
	const struct vcr_http1_field *req_field; size_t nreq_field;
	const char *req_body; size_t nreq_body;      /* content-decoded */
	int status;                  /* 0: no answer */
	const char *reason;
	const struct vcr_http1_field *res_field; size_t nres_field;
	const char *res_body; size_t nres_body;      /* content-decoded, what arrived */
	const struct vcr_http1_field *res_trailer; size_t nres_trailer;
	uint32_t reset_code;         /* the server ended that stream of HTTP/2 with it, failure being "reset"; 0: no */
	bool goaway; uint32_t goaway_code; /* its GOAWAY (with that code) said that it has not looked at it; reset_code is REFUSED_STREAM (7) then */
	const char *res_coding;      /* Content-Encoding it had, or NULL */
	const struct vcr_chunk *chunk; size_t nchunk; /* each read that brought body bytes: where in res_body they begin, and its time */
	uint64_t mark;               /* vcr_flow_mark's when the request's head was seen */
	uint64_t start_ns, sent_ns, first_byte_ns, end_ns; /* monotonic; 0 if it did not happen */
	bool complete;               /* the HTTP answer ended as HTTP says */
	const char *failure;         /* NULL, "aborted" (the program closed it), "closed" (the server did), "cut" (… without saying so by TLS), "reset", "interrupted", "malformed", "timeout"; where no connection could be made "refused", "timeout", "unreachable" or "reset", and
	                              * then method and target are empty */
	const char *aside; size_t naside; /* of a WebSocket's turn, JSON lists: pairs of how many messages of the request there had been, and what the server then */
	const char *turns; size_t nturns; /* said that is in no answer; pairs of an answer's line, and how many messages there had been. Empty: none */
	struct vcr_answer_info *answer; /* NULL for SIDE and NONE */
};
struct vcr_flow_events {
	/* A model request's head was seen: a quiet point. c holds what is known: connection, process, API, host, target, request fields. */
	int (*request)(void *ctx, const struct vcr_call *c, uint64_t time_ns);
	int (*call)(void *ctx, const struct vcr_call *c);
	void (*mute)(void *ctx, uint32_t conn);                     /* nothing of interest will come on this connection */
	void (*unseen)(void *ctx, uint32_t conn, const char *why);  /* e.g. "HTTP/2: malformed header block" */
};
struct vcr_flow;
struct vcr_flow *vcr_flow_new(const struct vcr_flow_events *ev, void *ctx, const char *const *model_hosts, bool capture_all);
void vcr_flow_free(struct vcr_flow *f);
void vcr_flow_open(struct vcr_flow *f, uint32_t conn, int pid, bool tls, const char *server_name, const char *peer, uint64_t time_ns);
/* Whatever the caller tells the next bytes by: calls that share a connection are told apart by it. */
void vcr_flow_mark(struct vcr_flow *f, uint64_t mark);
void vcr_flow_out(struct vcr_flow *f, uint32_t conn, int pid, int tid, const char *p, size_t n, uint64_t time_ns);
void vcr_flow_in(struct vcr_flow *f, uint32_t conn, const char *p, size_t n, uint64_t time_ns);
void vcr_flow_close(struct vcr_flow *f, uint32_t conn, int reason, uint64_t time_ns); /* 0 closed by the program, 1 EOF, EPROTO EOF without close_notify, else errno */
/* The process ended: its open calls are reported as interrupted. */
void vcr_flow_process_gone(struct vcr_flow *f, int pid, uint64_t time_ns);
void vcr_flow_all_gone(struct vcr_flow *f, uint64_t time_ns);

#endif
