/* recorder-mcp.c — what an MCP server was asked becomes tool frames; its other messages are vcr.mcp lines. */
#include "recorder-parts.h"
#include "mcp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vcr_recorder_rpc {
	struct vcr_recorder *r;
	struct vcr_mcp *mcp;
	int pid;                     /* of the server */
	uint32_t conn;
	char input[48];              /* what its standard input is, device and number; "": not said */
};

/* The value, redacted; null if it is none. */
static void put_value(struct vcr_recorder *r, struct vcr_jw *w, const struct vcr_json *j, int v)
{
	VCR_AUTO_BUF clean = VCR_BUF_INIT;
	VCR_AUTO_JSON again = VCR_JSON_INIT;
	unsigned n = 0;
	size_t len;
	const char *text = vcr_json_raw(j, v, &len);
	if (v >= 0 && !vcr_redact_body(r->redact, text, len, false, &clean, &n) && !vcr_json_parse(&again, clean.data, clean.len, VCR_JSON_RELAXED, NULL))
		vcr_jw_value(w, &again, 0);
	else
		vcr_jw_null(w);
	r->redactions += n;
}

static void put_about(const struct vcr_recorder_rpc *rpc, struct vcr_jw *w, const struct vcr_mcp_call *c)
{
	struct process *p = vcr_recorder_process(rpc->r, rpc->pid, false);
	char when[40];
	vcr_jw_key(w, "pid");
	vcr_jw_int(w, rpc->pid);
	if (p && p->program) {
		vcr_jw_key(w, "program");
		vcr_jw_str(w, p->program);
	}
	vcr_jw_key(w, "source");
	vcr_jw_str(w, "mcp");
	const char *node = vcr_recorder_node(rpc->r, rpc->pid, 0), *tool = vcr_recorder_tool_of(rpc->r, rpc->pid);
	if (tool) {
		vcr_jw_key(w, "tool_run");
		vcr_jw_str(w, tool);
	}
	if (tool && *rpc->input) {
		vcr_jw_key(w, "input");
		vcr_recorder_redacted(rpc->r, w, rpc->input, strlen(rpc->input));
	}
	if (node) {
		vcr_jw_key(w, "node");
		vcr_jw_str(w, node);
	}
	vcr_jw_key(w, "conn");
	vcr_jw_int(w, rpc->conn);
	vcr_recorder_time(rpc->r, c->start_ns, when);
	vcr_jw_key(w, "started_at");
	vcr_jw_str(w, when);
}

/* The words of what went wrong: a JSON-RPC error, a result that says isError, no answer; NULL if nothing did. malloc'd. */
static char *error_words(const struct vcr_mcp_call *c, const char **type)
{
	int error = vcr_json_get(c->response, c->response_at, "error"), result = vcr_json_get(c->response, c->response_at, "result");
	char *words = NULL;
	*type = NULL;
	if (!c->answered) {
		*type = "unanswered";
		return strdup("the server ended without an answer");
	}
	if (error >= 0) {
		*type = "rpc_error";
		words = vcr_json_strdup(c->response, vcr_json_get(c->response, error, "message"));
	} else if (vcr_json_true(c->response, vcr_json_get(c->response, result, "isError"))) {
		*type = "tool_error";
		words = vcr_json_strdup(c->response, vcr_json_path(c->response, result, "content[0].text"));
	}
	return words;
}

/* {"result":…} and, when the tool failed, {"error":…}. */
static void put_output(struct vcr_recorder *r, struct vcr_jw *w, const struct vcr_mcp_call *c, const char *type)
{
	int error = c->answered ? vcr_json_get(c->response, c->response_at, "error") : -1, result = c->answered ? vcr_json_get(c->response, c->response_at, "result") : -1;
	vcr_jw_object(w);
	if (result >= 0) {
		vcr_jw_key(w, "result");
		put_value(r, w, c->response, result);
	}
	if (type) {
		vcr_jw_key(w, "error");
		if (error >= 0)
			put_value(r, w, c->response, error);
		else
			vcr_jw_str(w, type);
	}
	vcr_jw_object_end(w);
}

/* The model's call that this is, if there is one: its frame will say so too. */
static void find_owner(const struct vcr_recorder_rpc *rpc, const struct vcr_mcp_call *c, const char *name, const struct vcr_buf *arguments, const char *frame_id,
	struct vcr_recorder_owner *out)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_pair_cause cause;
	if (name && !vcr_json_parse(&j, arguments->data, arguments->len, VCR_JSON_RELAXED, NULL) &&
		vcr_pair_is_mcp(rpc->r->pair, c->start_ns, name, &j, 0, frame_id, &cause)) {
		*out = (struct vcr_recorder_owner){ .tool_call = *cause.tool_call ? cause.tool_call : NULL, .known_by = "argument" };
		memcpy(out->parent, cause.asked_by, sizeof out->parent);
		return;
	}
	vcr_recorder_whose(rpc->r, rpc->pid, c->start_ns, NULL, out);
}

static int tool_frame(struct vcr_recorder_rpc *rpc, const struct vcr_mcp_call *c)
{
	struct vcr_recorder *r = rpc->r;
	VCR_AUTO_BUF in = VCR_BUF_INIT, out = VCR_BUF_INIT, meta = VCR_BUF_INIT, node = VCR_BUF_INIT, clean = VCR_BUF_INIT;
	int params = vcr_json_get(c->request, c->at, "params"), arguments = vcr_json_get(c->request, params, "arguments");
	char *name = vcr_json_strdup(c->request, vcr_json_get(c->request, params, "name"));
	const char *type;
	char *words = error_words(c, &type);
	struct vcr_jw w;
	vcr_buf_puts(&node, "tool:");
	vcr_redact(r->redact, name ? name : "unknown", strlen(name ? name : "unknown"), &node, NULL);
	vcr_jw_init(&w, &in);
	if (vcr_json_type(c->request, arguments) == VCR_JSON_OBJECT) {
		put_value(r, &w, c->request, arguments);
	} else {
		vcr_jw_object(&w);
		vcr_jw_object_end(&w);
	}
	vcr_jw_init(&w, &out);
	put_output(r, &w, c, type);
	struct vcr_frame f = { .frame_id = "" };
	struct vcr_recorder_owner owner;
	vcr_frame_new_id(f.frame_id);
	find_owner(rpc, c, name, &in, f.frame_id, &owner);
	vcr_jw_init(&w, &meta);
	vcr_jw_object(&w);
	put_about(rpc, &w, c);
	vcr_recorder_put_owner(&w, &owner);
	if (vcr_json_get(c->request, c->at, "id") >= 0) {
		vcr_jw_key(&w, "rpc_id");
		put_value(r, &w, c->request, vcr_json_get(c->request, c->at, "id"));
	}
	vcr_jw_object_end(&w);
	if (words)
		vcr_redact(r->redact, words, strlen(words), &clean, NULL);
	f.type = VCR_FRAME_TOOL;
	f.node_name = node.data;
	f.parent_frame_id = owner.parent;
	f.input_json = in.data;
	f.output_json = out.data;
	f.vcr_json = meta.data;
	f.tokens_in = f.tokens_out = f.tokens_total = -1;
	f.cost_usd = -1;
	f.error_type = type;
	f.error_message = words ? clean.data : NULL;
	f.latency_ms = c->end_ns > c->start_ns ? (double)(c->end_ns - c->start_ns) / 1e6 : 0;
	int err = vcr_recorder_frame(r, &f);
	free(name);
	free(words);
	return err;
}

static int other_line(struct vcr_recorder_rpc *rpc, const struct vcr_mcp_call *c)
{
	struct vcr_recorder *r = rpc->r;
	VCR_AUTO_BUF data = VCR_BUF_INIT;
	struct vcr_jw w;
	if (!vcr_recorder_ready(r)) {
		r->lost++;
		return VCR_EIO;
	}
	vcr_jw_init(&w, &data);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "method");
	vcr_recorder_redacted(r, &w, c->method, strlen(c->method));
	vcr_jw_key(&w, "from");
	vcr_jw_str(&w, c->from_server ? "server" : "client");
	put_about(rpc, &w, c);
	vcr_jw_key(&w, "request");
	put_value(r, &w, c->request, c->at);
	if (!c->notification) {
		vcr_jw_key(&w, "response");
		put_value(r, &w, c->response, c->answered ? c->response_at : -1);
	}
	vcr_jw_object_end(&w);
	return vcr_session_add_record(r->session, "mcp", data.data, &r->last_error);
}

static int on_call(void *ctx, const struct vcr_mcp_call *c)
{
	struct vcr_recorder_rpc *rpc = ctx;
	if (!c->notification && !c->from_server && !strcmp(c->method, "tools/call"))
		tool_frame(rpc, c);
	else
		other_line(rpc, c);
	return 0;
}

struct vcr_recorder_rpc *vcr_recorder_rpc_new(struct vcr_recorder *r, int pid, uint32_t conn, const char *input)
{
	struct vcr_recorder_rpc *rpc = calloc(1, sizeof *rpc);
	if (!rpc)
		return NULL;
	*rpc = (struct vcr_recorder_rpc){ .r = r, .pid = pid, .conn = conn, .mcp = vcr_mcp_new(on_call, rpc) };
	snprintf(rpc->input, sizeof rpc->input, "%s", input);
	if (rpc->mcp)
		return rpc;
	free(rpc);
	return NULL;
}

int vcr_recorder_rpc_feed(struct vcr_recorder_rpc *rpc, bool from_server, const char *p, size_t n, uint64_t time_ns)
{
	return vcr_mcp_feed(rpc->mcp, from_server, p, n, time_ns);
}

void vcr_recorder_rpc_free(struct vcr_recorder_rpc *rpc)
{
	if (rpc)
		vcr_mcp_free(rpc->mcp);
	free(rpc);
}

void vcr_recorder_rpc_end(struct vcr_recorder_rpc *rpc, uint64_t time_ns)
{
	if (rpc)
		vcr_mcp_end(rpc->mcp, time_ns);
	vcr_recorder_rpc_free(rpc);
}
