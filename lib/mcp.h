/* mcp.h — the Model Context Protocol over stdio (JSON-RPC 2.0, one message a line), from bytes of both directions to calls. Sans-I/O.
 *
 * Feed what the client sent to its server and what came back, each in any split; a request is reported once, when it is answered or when the
 * connection ends, a notification at once. Requests of either side are paired by their id with the answer of the other; batches are
 * taken apart. Lines that are no JSON-RPC are passed over (servers print banners); MAX_STRANGE of them in a row are an error. Limits: limits.h. */
#ifndef VCR_MCP_H
#define VCR_MCP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "json.h"

struct vcr_mcp_call {
	const char *method;
	bool from_server;            /* the server asked (sampling, elicitation, its notifications) */
	const struct vcr_json *request; int at;            /* the message; a request or notification */
	const struct vcr_json *response; int response_at;  /* its answer; NULL: none came, or none is due */
	bool answered, notification;
	uint64_t start_ns, end_ns;
};

struct vcr_mcp;
struct vcr_mcp *vcr_mcp_new(int (*call)(void *ctx, const struct vcr_mcp_call *c), void *ctx); /* NULL: no memory */
void vcr_mcp_free(struct vcr_mcp *m);
/* 0, VCR_ESYNTAX (this is no JSON-RPC), VCR_ELIMIT, VCR_ENOMEM, or the callback's value; after that nothing more is taken. */
int vcr_mcp_feed(struct vcr_mcp *m, bool from_server, const char *p, size_t n, uint64_t time_ns);
/* Nothing more comes: what was not answered is reported. */
int vcr_mcp_end(struct vcr_mcp *m, uint64_t time_ns);

#endif
