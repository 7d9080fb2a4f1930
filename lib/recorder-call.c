/* recorder-call.c — a finished exchange becomes an llm or error frame with its bodies, or a vcr.http line. */
#include "recorder-parts.h"
#include "canon.h"
#include "grpc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A call after redaction, with what is known about it. */
struct clean {
	struct vcr_buf target, request, response, message;
	struct vcr_json j, mj;           /* of the request and the message, when they are JSON */
	bool is_json, has_message;
	char k0[VCR_KEY_LEN], k1[VCR_KEY_LEN];
	char request_ref[40], response_ref[40];
};

static void clean_release(struct clean *c)
{
	vcr_buf_release(&c->target);
	vcr_buf_release(&c->request);
	vcr_buf_release(&c->response);
	vcr_buf_release(&c->message);
	vcr_json_release(&c->j);
	vcr_json_release(&c->mj);
}

static bool is_answered_with(const struct vcr_call *c, const char *media_type)
{
	const char *type = vcr_http1_field(c->res_field, c->nres_field, "content-type");
	return type && !strncasecmp(type, media_type, strlen(media_type));
}

static bool is_grpc(const struct vcr_call *c)
{
	return vcr_grpc_is(vcr_http1_field(c->req_field, c->nreq_field, "content-type"));
}

static int redact_body(struct vcr_recorder *r, const struct vcr_call *c, const char *p, size_t n, bool sse, struct vcr_buf *out, unsigned *count)
{
	return is_grpc(c) ? vcr_redact_fitted(r->redact, p, n, out, count) : vcr_redact_body(r->redact, p, n, sse, out, count);
}

bool vcr_recorder_is_model_call(const struct vcr_call *c)
{
	return c->api != VCR_API_NONE && c->api != VCR_API_SIDE;
}

static int clean_up(struct vcr_recorder *r, const struct vcr_call *c, struct clean *out)
{
	unsigned n = 0;
	int err;
	vcr_recorder_learn_call(r, c);
	if ((err = vcr_redact(r->redact, c->target, strlen(c->target), &out->target, &n)) ||
	    (err = redact_body(r, c, c->req_body, c->nreq_body, false, &out->request, &n)) ||
	    (err = redact_body(r, c, c->res_body, c->nres_body, is_answered_with(c, "text/event-stream"), &out->response, &n)) ||
	    (c->answer && (err = vcr_redact_body(r->redact, c->answer->message.data, c->answer->message.len, false, &out->message, &n))))
		return err;
	r->redactions += n;
	out->has_message = out->message.len && !vcr_json_parse(&out->mj, out->message.data, out->message.len, 0, NULL);
	out->is_json = out->request.len && !vcr_json_parse(&out->j, out->request.data, out->request.len, 0, NULL);
	vcr_canon_keys(r->asked, c->method, out->target.data, out->request.data, out->request.len, out->is_json ? &out->j : NULL, out->k0, out->k1);
	return 0;
}

static void write_fields(struct vcr_recorder *r, struct vcr_jw *w, const char *key, const struct vcr_http1_field *f, size_t n)
{
	vcr_jw_key(w, key);
	vcr_jw_object(w);
	for (size_t i = 0; i < n; i++) {
		bool again = false;
		for (size_t k = 0; k < i && !again; k++)
			again = !strcasecmp(f[k].name, f[i].name);
		if (again || !vcr_redact_keep_field(f[i].name))
			continue;
		vcr_jw_key(w, f[i].name);
		vcr_recorder_redacted(r, w, f[i].value, strlen(f[i].value));
	}
	vcr_jw_object_end(w);
}

/* Reads of the answer's body as pairs: bytes since the previous one, microseconds since the first byte. */
static void write_chunks(struct vcr_jw *w, const struct vcr_call *c)
{
	uint64_t at = 0;
	if (c->nchunk < 2)
		return;
	vcr_jw_key(w, "chunks");
	vcr_jw_array(w);
	for (size_t i = 1; i < c->nchunk; i++) {
		vcr_jw_int(w, (int64_t)(c->chunk[i].offset - at));
		vcr_jw_int(w, (int64_t)(c->chunk[i].time_ns - c->chunk[0].time_ns) / 1000);
		at = c->chunk[i].offset;
	}
	vcr_jw_array_end(w);
}

/* Of a turn of a WebSocket: what flow.h has without brackets, redacted, as a list. */
static void write_list(struct vcr_recorder *r, struct vcr_jw *w, const char *key, const char *p, size_t n)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, clean = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (!n)
		return;
	vcr_buf_printf(&text, "[%.*s]", (int)n, p);
	if (text.err || vcr_redact_body(r->redact, text.data, text.len, false, &clean, NULL) || vcr_json_parse(&j, clean.data, clean.len, 0, NULL))
		return;
	vcr_jw_key(w, key);
	vcr_jw_value(w, &j, 0);
}

static void write_ms(struct vcr_jw *w, const char *key, uint64_t from, uint64_t to)
{
	if (!from || to < from)
		return;
	vcr_jw_key(w, key);
	vcr_jw_double(w, (double)((to - from) / 1000) / 1000.0);
}

/* What the gate put into the request that is recorded without it, or that the answer is the gate's. */
static void write_told(struct vcr_recorder *r, struct vcr_jw *w, uint32_t conn)
{
	const char *told = vcr_recorder_told(r, conn);
	VCR_AUTO_BUF clean = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	unsigned n = 0;
	if (!told || vcr_redact_body(r->redact, told, strlen(told), false, &clean, &n) || vcr_json_parse(&j, clean.data, clean.len, 0, NULL))
		return;
	vcr_jw_key(w, "sentinel");
	vcr_jw_value(w, &j, 0);
	r->redactions += n;
}

/* metadata.custom.vcr, and the data of a vcr.http line. */
static void write_exchange(struct vcr_recorder *r, struct vcr_jw *w, const struct vcr_call *c, const struct clean *k)
{
	struct process *p = vcr_recorder_process(r, c->pid, false);
	char when[40], http[8] = "2";
	if (!c->http2)
		snprintf(http, sizeof http, "1.%d", c->minor % 10);
	vcr_recorder_time(r, c->start_ns, when);
	const struct { const char *key; int64_t n; } ints[] = { { "seq", (int64_t)r->call_seq }, { "pid", c->pid }, { "tid", c->tid }, { "conn", c->conn } };
	const struct { const char *key, *s; } strings[] = {
		{ "program", p ? p->program : NULL }, { "source", r->source ? r->source : vcr_recorder_by_gate(r, c->conn) ? "gate" : "tap" }, { "api", vcr_api_name(c->api) }, { "scheme", c->tls ? "https" : "http" },
		{ "method", c->method }, { "path", k->target.data }, { "http", http }, { "started_at", when }, { "k0", k->k0 }, { "k1", k->k1 },
		{ "request", *k->request_ref ? k->request_ref : NULL }, { "response", *k->response_ref ? k->response_ref : NULL },
		{ "protocol", c->websocket ? "websocket" : NULL }, { "coding", c->res_coding }, { "failure", c->failure }, { "savepoint", r->call_savepoint },
		{ "reason", c->status && c->reason && *c->reason ? c->reason : NULL }, { "node", vcr_recorder_node(r, c->pid, c->tid) },
	};
	for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
		if (r->source && (i == 1 || i == 2)) /* nobody's */
			continue;
		vcr_jw_key(w, ints[i].key);
		vcr_jw_int(w, ints[i].n);
	}
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
		if (strings[i].s) {
			vcr_jw_key(w, strings[i].key);
			vcr_jw_str(w, strings[i].s);
		}
	vcr_jw_key(w, "host");
	vcr_recorder_redacted(r, w, c->host ? c->host : "", c->host ? strlen(c->host) : 0);
	if (c->status) {
		vcr_jw_key(w, "status");
		vcr_jw_int(w, c->status);
	}
	vcr_jw_key(w, "complete");
	vcr_jw_bool(w, c->complete);
	write_ms(w, "sent_ms", c->start_ns, c->sent_ns);
	write_ms(w, "ttfb_ms", c->start_ns, c->first_byte_ns);
	write_ms(w, "total_ms", c->start_ns, c->end_ns);
	write_fields(r, w, "request_headers", c->req_field, c->nreq_field);
	write_fields(r, w, "response_headers", c->res_field, c->nres_field);
	if (c->nres_trailer)
		write_fields(r, w, "response_trailers", c->res_trailer, c->nres_trailer);
	if (c->failure && c->reset_code) {
		vcr_jw_key(w, "reset_code");
		vcr_jw_int(w, c->reset_code);
	}
	if (c->failure && c->goaway) {
		vcr_jw_key(w, "goaway");
		vcr_jw_int(w, c->goaway_code);
	}
	write_chunks(w, c);
	write_list(r, w, "aside", c->aside, c->naside);
	write_list(r, w, "turns", c->turns, c->nturns);
	write_told(r, w, c->conn);
}

/* The answers of a lane are a lane of their own: each side is stored against its own kind. lane: as vcr_session_add_body takes it. */
static void answers_lane(const char *lane, struct vcr_buf *out)
{
	size_t n = strcspn(lane, "<");
	if (n)
		vcr_buf_printf(out, "%.*s answers", (int)n, lane);
	if (n && lane[n])
		vcr_buf_printf(out, "%s answers", lane + n);
}

static void store_bodies(struct vcr_recorder *r, struct clean *k, const char *lane)
{
	VCR_AUTO_BUF answers = VCR_BUF_INIT, before = VCR_BUF_INIT;
	if (!vcr_recorder_ready(r))
		return;
	answers_lane(lane, &answers);
	vcr_buf_printf(&before, "%.*s", (int)strcspn(answers.data, "<"), answers.data); /* the lane of the answer that this request repeats */
	if (k->request.len && vcr_session_add_body(r->session, lane, before.data, k->request.data, k->request.len, k->request_ref, &r->last_error))
		*k->request_ref = 0;
	if (k->response.len && vcr_session_add_body(r->session, answers.data, NULL, k->response.data, k->response.len, k->response_ref, &r->last_error))
		*k->response_ref = 0;
}

static int side_line(struct vcr_recorder *r, const struct vcr_call *c, struct clean *k)
{
	VCR_AUTO_BUF data = VCR_BUF_INIT;
	struct vcr_jw w;
	store_bodies(r, k, "http");
	vcr_jw_init(&w, &data);
	vcr_jw_object(&w);
	write_exchange(r, &w, c, k);
	vcr_jw_object_end(&w);
	if (!vcr_recorder_ready(r)) {
		r->lost++;
		return VCR_EIO;
	}
	return vcr_session_add_record(r->session, "http", data.data, &r->last_error);
}

/* {"response":…} or {"error":{…},"response":…}. */
static void write_output(struct vcr_recorder *r, struct vcr_jw *w, const struct vcr_call *c, const struct clean *k, const char *type, const char *message)
{
	bool has = c->answer && k->has_message;
	vcr_jw_object(w);
	if (type) {
		vcr_jw_key(w, "error");
		vcr_jw_object(w);
		vcr_jw_key(w, "type");
		vcr_jw_str(w, type);
		vcr_jw_key(w, "message");
		vcr_jw_str(w, message);
		if (c->status) {
			vcr_jw_key(w, "status");
			vcr_jw_int(w, c->status);
		}
		vcr_jw_object_end(w);
	}
	if (has || !type) {
		vcr_jw_key(w, "response");
		if (has)
			vcr_jw_value(w, &k->mj, 0);
		else
			vcr_jw_null(w);
	}
	vcr_jw_object_end(w);
}

/* What went wrong with the call as a whole; NULL if nothing did. */
static const char *error_of(const struct vcr_call *c, char *space, size_t n)
{
	if (c->failure)
		return c->failure;
	if (c->answer && c->answer->error_type)
		return c->answer->error_type;
	if (c->status >= 400) {
		snprintf(space, n, "http_%d", c->status);
		return space;
	}
	if (vcr_grpc_status(c->res_trailer, c->nres_trailer, c->res_field, c->nres_field) > 0)
		return vcr_grpc_status_name(vcr_grpc_status(c->res_trailer, c->nres_trailer, c->res_field, c->nres_field));
	if (c->answer && c->answer->streamed && !c->answer->complete)
		return "incomplete";
	if (c->answer && !c->answer->complete && is_answered_with(c, "application/json"))
		return "malformed";
	return NULL;
}

static void remember(struct vcr_recorder *r, int pid, const char *frame_id)
{
	struct process *p = vcr_recorder_process(r, pid, true);
	strcpy(r->last_call, frame_id);
	if (p)
		strcpy(p->last_call, frame_id);
}

/* By the name that the answer gives (an alias is asked for, a version answers), else by the one that was asked for; -1: no price known. */
static double cost_of(const struct vcr_recorder *r, const char *asked, const struct vcr_answer_info *a)
{
	double usd;
	if (!a || !r->prices || (vcr_prices_cost(r->prices, a->model, a, &usd) && vcr_prices_cost(r->prices, asked, a, &usd)))
		return -1;
	return usd;
}

/* What is no text is not quoted (answer.c does the same with answers): its body's line has it. */
static void write_binary(struct vcr_jw *w, const struct vcr_call *c, size_t n)
{
	vcr_jw_object(w);
	vcr_jw_key(w, "_vcr");
	vcr_jw_object(w);
	vcr_jw_key(w, "binary");
	vcr_jw_str(w, vcr_http1_field(c->req_field, c->nreq_field, "content-type"));
	vcr_jw_key(w, "size");
	vcr_jw_int(w, (int64_t)n);
	vcr_jw_object_end(w);
	vcr_jw_object_end(w);
}

static int frame_of(struct vcr_recorder *r, const struct vcr_call *c, struct clean *k)
{
	VCR_AUTO_BUF input = VCR_BUF_INIT, output = VCR_BUF_INIT, meta = VCR_BUF_INIT, node = VCR_BUF_INIT, message = VCR_BUF_INIT;
	const struct vcr_answer_info *a = c->answer;
	struct vcr_request_info info = { .list = -1, .system = -1, .tools = -1 };
	struct vcr_conv_place place = { 0 };
	char space[24];
	struct vcr_jw w;
	if (k->is_json)
		vcr_request_info(c->api, k->target.data, &k->j, &info);
	struct vcr_recorder_owner cause = { "", NULL, NULL };
	VCR_AUTO_BUF grpc_model = VCR_BUF_INIT, grpc_words = VCR_BUF_INIT;
	bool grpc = is_grpc(c);
	bool named = grpc && !vcr_grpc_model(k->request.data, k->request.len, &grpc_model);
	const char *model = info.model ? info.model : named ? grpc_model.data : a ? a->model : NULL, *type = error_of(c, space, sizeof space);
	struct vcr_frame f = { .type = type ? VCR_FRAME_ERROR : VCR_FRAME_LLM, .model = model, .cost_usd = cost_of(r, model, a), .tokens_in = a ? a->tokens_in : -1,
		.tokens_out = a ? a->tokens_out : -1, .tokens_total = -1, .error_type = type };
	vcr_buf_printf(&node, "llm:%s", model ? model : "unknown");
	vcr_frame_new_id(f.frame_id);
	if (!*c->method) { /* no connection: nothing was asked */
		vcr_buf_puts(&input, "{}");
	} else if (!k->is_json || vcr_conv_place(r->conv, &k->j, &info, type || !k->has_message ? NULL : &k->mj, f.frame_id, &place, &input)) {
		vcr_jw_init(&w, &input); /* no JSON object: the body as text */
		vcr_jw_object(&w);
		vcr_jw_key(&w, "body");
		if (grpc)
			write_binary(&w, c, k->request.len);
		else
			vcr_jw_strn(&w, k->request.data, k->request.len);
		vcr_jw_object_end(&w);
	}
	store_bodies(r, k, place.lane);
	if (k->is_json)
		vcr_recorder_tools_before(r, c, f.frame_id, &place, &k->j, info.list_key);
	if (!*place.parent)
		vcr_recorder_cause(r, c, k->is_json ? &k->j : NULL, info.list, &cause);
	vcr_jw_init(&w, &meta);
	vcr_jw_object(&w);
	write_exchange(r, &w, c, k);
	if (*c->method) { /* what a replay wants to know before it normalises anything */
		vcr_jw_key(&w, "items");
		vcr_jw_int(&w, info.list >= 0 ? vcr_json_count(&k->j, info.list) : 0);
		vcr_jw_key(&w, "request_bytes");
		vcr_jw_int(&w, (int64_t)k->request.len);
	}
	vcr_recorder_put_owner(&w, &cause);
	if (a) {
		const struct { const char *key; int64_t n; } counts[] = { { "tokens_cached", a->tokens_cached }, { "tokens_cache_write", a->tokens_cache_write },
			{ "tokens_reasoning", a->tokens_reasoning } };
		for (size_t i = 0; i < 3; i++)
			if (counts[i].n >= 0) {
				vcr_jw_key(&w, counts[i].key);
				vcr_jw_int(&w, counts[i].n);
			}
		vcr_jw_key(&w, "stop_reason");
		vcr_jw_str(&w, a->stop_reason);
		vcr_jw_key(&w, "streamed");
		vcr_jw_bool(&w, a->streamed);
	}
	vcr_jw_object_end(&w);
	const char *words = a && a->error_message ? a->error_message : c->failure ? c->failure : type ? c->reason ? c->reason : type : NULL;
	VCR_AUTO_BUF unmade = VCR_BUF_INIT;
	if (!*c->method && !vcr_buf_printf(&unmade, "no connection to %s: %s", c->host, c->failure))
		words = unmade.data;
	if (type && !c->failure && grpc && !vcr_grpc_message(c->res_trailer, c->nres_trailer, c->res_field, c->nres_field, &grpc_words) && grpc_words.len)
		words = grpc_words.data;
	if (words)
		vcr_redact(r->redact, words, strlen(words), &message, NULL);
	vcr_jw_init(&w, &output);
	write_output(r, &w, c, k, type, message.data);
	f.error_message = words ? message.data : NULL;
	f.node_name = node.data;
	f.input_json = input.data;
	f.output_json = output.data;
	f.vcr_json = meta.data;
	f.parent_frame_id = *place.parent ? place.parent : *cause.parent ? cause.parent : NULL;
	if (f.tokens_in >= 0 && f.tokens_out >= 0)
		f.tokens_total = f.tokens_in + f.tokens_out;
	if (c->end_ns > c->start_ns)
		f.latency_ms = (double)(c->end_ns - c->start_ns) / 1e6;
	int err = vcr_recorder_frame(r, &f);
	if (!err) {
		remember(r, c->pid, f.frame_id);
		vcr_recorder_node_called(r, c->pid, c->tid, f.frame_id);
		if (!type && k->has_message)
			vcr_recorder_tools_after(r, c, f.frame_id, &k->mj);
		if (!type && k->has_message)
			vcr_recorder_sentinel_said(r, f.frame_id, &k->mj);
	} else {
		vcr_conv_forget(r->conv, f.frame_id);
	}
	vcr_request_info_release(&info);
	return err;
}

int vcr_recorder_call(struct vcr_recorder *r, const struct vcr_call *c)
{
	struct clean k = { .target = VCR_BUF_INIT, .request = VCR_BUF_INIT, .response = VCR_BUF_INIT, .message = VCR_BUF_INIT };
	int err = 0;
	if (!vcr_recorder_was_written(r, 'c', r->call_seq, NULL) && !(err = clean_up(r, c, &k)))
		err = vcr_recorder_is_model_call(c) ? frame_of(r, c, &k) : side_line(r, c, &k);
	clean_release(&k);
	return err;
}
