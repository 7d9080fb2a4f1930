#include "flow-parts.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Calls of a connection */

void vcr_conn_pop(struct conn *c, struct exchange *x, const char *failure)
{
	struct exchange **at = &c->first, *before = NULL;
	for (; *at != x; at = &(*at)->next)
		before = *at;
	*at = x->next;
	if (c->last == x)
		c->last = before;
	if (c->sending == x)
		c->sending = NULL;
	c->npending--;
	if (!x->call.end_ns)
		x->call.end_ns = c->now_ns;
	vcr_exchange_report(x, failure, &c->flow->ev, c->flow->ctx, &c->flow->held);
}

void vcr_conn_fail(struct conn *c, const char *failure)
{
	while (c->first)
		vcr_conn_pop(c, c->first, failure);
}

/* Report from the front what is over: answered, and its request is not being sent any more. */
static void report_done(struct conn *c)
{
	while (c->first && c->first->answered && c->first->sent)
		vcr_conn_pop(c, c->first, NULL);
}

void vcr_conn_mute(struct conn *c)
{
	c->state = MUTED;
	vcr_conn_fail(c, "closed"); /* none that is reported, unless another protocol took over */
	vcr_conn_forget(c);
	if (c->flow->ev.mute)
		c->flow->ev.mute(c->flow->ctx, c->number);
}

void vcr_conn_unseen(struct conn *c, const char *why)
{
	if (c->flow->ev.unseen)
		c->flow->ev.unseen(c->flow->ctx, c->number, why);
	vcr_conn_mute(c);
}

/* Something that HTTP does not allow, or an end of HTTP: calls under way fail, and a later request line is looked for. */
static void resynchronise(struct conn *c, const char *failure)
{
	vcr_conn_fail(c, failure);
	vcr_conn_forget(c);
	c->state = LOOKING;
	c->nlook = 0;
	c->strange_writes++;
}

/* The other side's name as a Host field would give it. */
static void conn_host(const struct conn *c, char out[300])
{
	const char *peer = c->peer ? c->peer : "", *port = strrchr(peer, ':');
	bool usual = !port || !strcmp(port, c->tls ? ":443" : ":80");
	if (c->server_name && *c->server_name)
		snprintf(out, 300, "%.255s%.8s", c->server_name, usual ? "" : port);
	else
		snprintf(out, 300, "%.*s", usual && port ? (int)(port - peer) : 299, peer);
}

static void request_host(const struct conn *c, const struct vcr_http1_head *h, char out[300])
{
	const char *host = vcr_http1_field(h->field, h->nfield, "host"), *scheme = strstr(h->target, "://");
	if (scheme && *h->target != '/' && scheme - h->target < 8)
		snprintf(out, 300, "%.*s", (int)strcspn(scheme + 3, "/?#"), scheme + 3); /* to a proxy: the target names the host */
	else if (host && *host)
		snprintf(out, 300, "%s", host);
	else
		conn_host(c, out);
}

/* Is it worth going on with a connection whose requests are no model's? */
bool vcr_conn_bored(const struct conn *c)
{
	return !c->met_model && !c->flow->capture_all && (c->other_requests >= OTHER_REQUESTS || c->other_bytes >= OTHER_BYTES);
}

void vcr_conn_append(struct conn *c, struct exchange *x)
{
	if (c->last)
		c->last->next = x;
	else
		c->first = x;
	c->last = c->sending = x;
	c->npending++;
}

static const struct vcr_http1_events response_events;

struct exchange *vcr_conn_request(struct conn *c, const struct vcr_http1_head *h, int *err)
{
	struct vcr_flow *f = c->flow;
	char host[300];
	request_host(c, h, host);
	const char *type = vcr_http1_field(h->field, h->nfield, "content-type");
	enum vcr_api api = vcr_api_recognise(h->method, host, h->target, type, (const char *const *)f->hosts);
	struct exchange *x = NULL;
	*err = c->npending >= MAX_PENDING ? VCR_ELIMIT : VCR_ENOMEM;
	if (c->npending >= MAX_PENDING || !(x = vcr_exchange_new(h, api, host, api != VCR_API_NONE || f->capture_all, &f->held)))
		return NULL;
	x->call.conn = c->number;
	x->call.mark = f->mark;
	x->call.pid = c->pid;
	x->call.tid = c->tid;
	x->call.tls = c->tls;
	x->call.start_ns = c->req_ns;
	vcr_conn_append(c, x);
	c->strange_writes = 0;
	c->met_model |= api != VCR_API_NONE;
	if (f->nfailed)
		vcr_failed_reached(f, c->pid, host);
	c->other_requests += api == VCR_API_NONE;
	if (api != VCR_API_NONE && api != VCR_API_SIDE)
		vcr_exchange_asked(x, &f->ev, f->ctx, c->now_ns);
	return x;
}

int vcr_conn_answer_body(struct conn *c, struct exchange *x, const char *p, size_t n)
{
	bool new_read = x->read != c->nreads;
	if (!x->keep)
		c->other_bytes += n;
	x->read = c->nreads;
	return vcr_exchange_in(x, p, n, c->now_ns, new_read, &c->flow->held);
}

static int on_request_head(void *ctx, const struct vcr_http1_head *h)
{
	struct conn *c = ctx;
	int err;
	if (!vcr_conn_request(c, h, &err))
		return err;
	if (!c->res && !(c->res = vcr_http1_new(VCR_HTTP1_RESPONSE, &response_events, c)))
		return VCR_ENOMEM;
	return vcr_http1_expect(c->res, h->method);
}

static int on_request_body(void *ctx, const char *p, size_t n)
{
	struct conn *c = ctx;
	if (!c->sending)
		return 0;
	if (!c->sending->keep)
		c->other_bytes += n;
	return vcr_exchange_out(c->sending, p, n, &c->flow->held);
}

static int on_request_end(void *ctx, const struct vcr_http1_field *trailer, size_t n)
{
	struct conn *c = ctx;
	c->req_ns = c->now_ns;
	if (!c->sending)
		return 0;
	c->sending->sent = true;
	c->sending->call.sent_ns = c->now_ns;
	c->sending = NULL;
	report_done(c);
	return 0;
}

static const struct vcr_http1_events request_events = { on_request_head, on_request_body, on_request_end, NULL };

/* 101 to h2c: obsolete, and still what curl asks of a plain server (RFC 7540 §3.2). */
static bool is_http2(const struct vcr_http1_head *h)
{
	const char *to = vcr_http1_field(h->field, h->nfield, "upgrade");
	return h->status == 101 && to && !strcasecmp(to, "h2c");
}

static int on_response_head(void *ctx, const struct vcr_http1_head *h)
{
	struct conn *c = ctx;
	struct exchange *x = c->first;
	if (!x)
		return VCR_ESYNTAX;
	if (h->status < 200 && h->status != 101) {
		c->res_ns = c->now_ns;
		return 0;
	}
	c->upgraded = h->upgrade;
	c->to_http2 = is_http2(h);
	if (c->to_http2)
		return 0; /* the answer itself comes as stream 1 */
	x->call.first_byte_ns = c->res_ns;
	int r = vcr_exchange_response(x, h);
	if (h->upgrade) { /* no body and no end event follow */
		x->answered = x->sent = true;
		x->call.end_ns = c->now_ns;
	}
	return r;
}

static int on_response_body(void *ctx, const char *p, size_t n)
{
	struct conn *c = ctx;
	return c->first ? vcr_conn_answer_body(c, c->first, p, n) : 0;
}

static int on_response_end(void *ctx, const struct vcr_http1_field *trailer, size_t n)
{
	struct conn *c = ctx;
	c->res_ns = c->now_ns;
	if (!c->first)
		return 0;
	int err = n ? vcr_exchange_trailer(c->first, trailer, n) : 0;
	c->first->answered = true;
	c->first->call.end_ns = c->now_ns;
	report_done(c);
	return err;
}

static int on_tunnel(void *ctx, const char *p, size_t n)
{
	struct conn *c = ctx; /* feed_in looks at `upgraded` */
	if (c->first && strcmp(c->first->method, "CONNECT"))
		vcr_buf_add(&c->early, p, n);
	return 0;
}

static const struct vcr_http1_events response_events = { on_response_head, on_response_body, on_response_end, on_tunnel };

/* What came behind the head of a 101 answer, in the same read. */
static void enter(struct conn *c, bool http2)
{
	struct vcr_buf early = c->early;
	vcr_buf_init(&c->early, EARLY_BYTES);
	if (http2) { /* the call that asked for it goes on as stream 1 */
		vcr_conn_forget(c);
		vcr_conn_http2_begin(c, c->first);
	} else if (vcr_conn_ws_begin(c)) {
		vcr_conn_mute(c);
	}
	if (early.len && c->state == HTTP2)
		vcr_conn_http2_in(c, early.data, early.len);
	else if (early.len && c->state == WEBSOCKET)
		vcr_conn_ws_in(c, early.data, early.len);
	vcr_buf_release(&early);
}

/* After 101 or CONNECT 2xx: what follows is another protocol. Inside a CONNECT there may be HTTP again. */
static void leave_http(struct conn *c)
{
	bool connect = c->first && !strcmp(c->first->method, "CONNECT"), http2 = c->to_http2;
	c->upgraded = c->to_http2 = false;
	if (!connect && c->first) {
		enter(c, http2);
		return;
	}
	report_done(c);
	if (connect)
		resynchronise(c, NULL);
	else
		vcr_conn_mute(c);
}

/* Decoders hold some 12 KB each: an idle connection keeps none. */
static void rest(struct conn *c)
{
	if (c->state != HTTP || c->first || (c->req && vcr_http1_inside(c->req)) || (c->res && vcr_http1_inside(c->res)))
		return;
	vcr_http1_free(c->req);
	vcr_http1_free(c->res);
	c->req = c->res = NULL;
}

/* Reads */

static void feed_in(struct conn *c, const char *p, size_t n)
{
	c->nreads++;
	if (!vcr_http1_inside(c->res))
		c->res_ns = c->now_ns;
	int r = vcr_http1_feed(c->res, p, n);
	if (c->upgraded)
		leave_http(c);
	else if (r)
		resynchronise(c, "malformed");
	else if (vcr_conn_bored(c))
		vcr_conn_mute(c);
	rest(c);
}

void vcr_conn_early_give(struct conn *c, void (*feed)(struct conn *c, const char *p, size_t n))
{
	uint64_t now = c->now_ns;
	struct vcr_buf early = c->early;
	if (!early.len)
		return;
	vcr_buf_init(&c->early, EARLY_BYTES);
	c->now_ns = c->early_ns;
	feed(c, early.data, early.len);
	c->now_ns = now;
	vcr_buf_release(&early);
}

void vcr_conn_early_in(struct conn *c, const char *p, size_t n, void (*feed)(struct conn *c, const char *p, size_t n))
{
	bool wait = (!c->first || c->early.len) && c->early.len + n <= EARLY_BYTES;
	enum conn_state state = c->state;
	if (!wait)
		vcr_conn_early_give(c, feed);
	if (!wait && c->state == state)
		feed(c, p, n);
	if (!wait)
		return;
	if (!c->early.len)
		c->early_ns = c->now_ns;
	c->early_last_ns = c->now_ns;
	vcr_buf_add(&c->early, p, n);
}

/* Nothing was asked, as far as we know: kept for a moment in case the write's record is late (another thread's). */
static void hold_early(struct conn *c, const char *p, size_t n)
{
	if (!c->early.len)
		c->early_ns = c->now_ns;
	if (c->early.len + n > EARLY_BYTES)
		vcr_buf_reset(&c->early);
	else
		vcr_buf_add(&c->early, p, n);
	if (c->state == LOOKING && c->strange_writes && !c->met_model && (c->other_bytes += n) >= STRANGE_BYTES)
		vcr_conn_mute(c);
}

void vcr_flow_in(struct vcr_flow *f, uint32_t number, const char *p, size_t n, uint64_t time_ns)
{
	struct conn *c = vcr_conn_find(f, number);
	if (!c || c->state == MUTED || !n)
		return;
	c->now_ns = time_ns;
	if (c->state == HTTP2)
		vcr_conn_http2_in(c, p, n);
	else if (c->state == WEBSOCKET)
		vcr_conn_ws_in(c, p, n);
	else if (c->state == HTTP && c->first)
		feed_in(c, p, n);
	else
		hold_early(c, p, n);
}

/* Writes */

enum look { NO_REQUEST, MAYBE, REQUEST, PREFACE };

/* Does it begin like a request line: upper-case token, one space, something visible? */
static enum look look_at(const char *p, size_t n)
{
	static const char preface[] = "PRI * HTTP/2.0";
	size_t i = 0;
	if (n >= 14 ? !memcmp(p, preface, 14) : !memcmp(p, preface, n))
		return n >= 14 ? PREFACE : MAYBE;
	while (i < n && i < 20 && isupper((unsigned char)p[i]))
		i++;
	if (i == n)
		return i < 20 ? MAYBE : NO_REQUEST;
	if (i < 3 || p[i] != ' ')
		return NO_REQUEST;
	if (i + 1 == n)
		return MAYBE;
	return strchr("/*h", p[i + 1]) || (i == 7 && !memcmp(p, "CONNECT", 7)) ? REQUEST : NO_REQUEST;
}

static void give_early(struct conn *c, uint64_t request_ns)
{
	struct vcr_buf early = c->early;
	vcr_buf_init(&c->early, EARLY_BYTES);
	if (early.len && c->early_ns >= request_ns && c->first && c->state == HTTP) {
		uint64_t now = c->now_ns;
		c->now_ns = c->early_ns;
		feed_in(c, early.data, early.len);
		c->now_ns = now;
	}
	vcr_buf_release(&early);
}

static void feed_out(struct conn *c, const char *p, size_t n, uint64_t begin_ns)
{
	if (!c->req && !(c->req = vcr_http1_new(VCR_HTTP1_REQUEST, &request_events, c)))
		return;
	if (!vcr_http1_inside(c->req))
		c->req_ns = begin_ns;
	if (vcr_http1_feed(c->req, p, n))
		resynchronise(c, "malformed");
	else if (c->early.len && c->first)
		give_early(c, c->first->call.start_ns);
	if (c->state == HTTP && vcr_conn_bored(c))
		vcr_conn_mute(c);
	rest(c);
}

static void look_out(struct conn *c, const char *p, size_t n)
{
	char held[LOOK];
	size_t nheld = c->nlook, take = n < LOOK - nheld ? n : LOOK - nheld;
	uint64_t begin_ns = nheld ? c->look_ns : c->now_ns;
	memcpy(c->look + nheld, p, take);
	switch (look_at(c->look, nheld + take)) {
	case PREFACE:
		memcpy(held, c->look, nheld);
		c->nlook = 0;
		vcr_conn_http2_begin(c, NULL);
		if (nheld && c->state == HTTP2)
			vcr_conn_http2_out(c, held, nheld);
		if (c->state == HTTP2)
			vcr_conn_http2_out(c, p, n);
		return;
	case MAYBE:
		c->look_ns = begin_ns;
		c->nlook = nheld + take;
		return;
	case NO_REQUEST:
		c->nlook = 0;
		if (!c->strange_writes && !nheld && !c->met_model && vcr_http2_looks_joined(p, n)) {
			vcr_conn_unseen(c, "HTTP/2 that had begun before it was seen");
			return;
		}
		if (++c->strange_writes >= STRANGE_WRITES && !c->met_model)
			vcr_conn_mute(c);
		return;
	case REQUEST:
		memcpy(held, c->look, nheld);
		c->nlook = 0;
		c->state = HTTP;
		if (nheld)
			feed_out(c, held, nheld, begin_ns);
		if (c->state == HTTP)
			feed_out(c, p, n, begin_ns);
	}
}

/* The answer came before the whole request was sent, and now another request begins where the rest should be (the client gave up
 * its body, as after 401 to Expect: 100-continue): begin anew. */
static bool gave_up_body(const struct conn *c, const char *p, size_t n)
{
	return c->sending && c->sending->answered && !c->sending->out.any && look_at(p, n) == REQUEST;
}

void vcr_flow_mark(struct vcr_flow *f, uint64_t mark)
{
	f->mark = mark;
}

void vcr_flow_out(struct vcr_flow *f, uint32_t number, int pid, int tid, const char *p, size_t n, uint64_t time_ns)
{
	struct conn *c = vcr_conn_find(f, number);
	if (!c && !(c = vcr_conn_add(f, number, pid)))
		return;
	c->pid = pid;
	c->tid = tid;
	c->now_ns = time_ns;
	if (c->state == MUTED || !n)
		return;
	if (c->state == HTTP && gave_up_body(c, p, n)) {
		c->sending->sent = true;
		report_done(c);
		vcr_http1_free(c->req);
		c->req = NULL;
	}
	if (c->state == HTTP2)
		vcr_conn_http2_out(c, p, n);
	else if (c->state == WEBSOCKET)
		vcr_conn_ws_out(c, p, n);
	else if (c->state == HTTP)
		feed_out(c, p, n, time_ns);
	else
		look_out(c, p, n);
}

/* Beginnings and ends */

void vcr_flow_open(struct vcr_flow *f, uint32_t number, int pid, bool tls, const char *server_name, const char *peer, uint64_t time_ns)
{
	struct conn *c = vcr_conn_find(f, number);
	if (!c && !(c = vcr_conn_add(f, number, pid)))
		return;
	free(c->server_name);
	free(c->peer);
	c->pid = pid;
	c->tls = tls;
	c->server_name = server_name ? strdup(server_name) : NULL;
	c->peer = peer ? strdup(peer) : NULL;
	c->now_ns = time_ns;
}

static const char *close_word(int reason)
{
	switch (reason) {
	case 0: return "aborted";
	case 1: return "closed";
	case ETIMEDOUT: return "timeout";
	case EPROTO: return "cut";
	default: return "reset";
	}
}

/* The end of the bytes: an answer that lasts until then is complete if the server ended it. */
static void end_calls(struct conn *c, const char *failure, bool eof)
{
	if (c->state == WEBSOCKET)
		vcr_conn_ws_end(c);
	if (c->state == HTTP2)
		vcr_conn_http2_end(c);
	if (eof && c->res && c->first)
		vcr_http1_eof(c->res);
	for (struct exchange *x = c->first, *next; x; x = next) { /* early answers; the rest of those requests was never sent */
		next = x->next;
		if (x->answered)
			vcr_conn_pop(c, x, NULL);
		else if (!x->stream)
			break;
	}
	vcr_conn_fail(c, failure);
}

void vcr_flow_close(struct vcr_flow *f, uint32_t number, int reason, uint64_t time_ns)
{
	struct conn *c = vcr_conn_find(f, number);
	if (!c)
		return;
	if (reason > 1 && !c->nreads && !c->first && !c->nlook && c->state == LOOKING && !c->strange_writes) {
		char host[300];
		conn_host(c, host);
		vcr_failed_add(f, c, host, reason, time_ns);
	}
	c->now_ns = time_ns;
	end_calls(c, close_word(reason), reason == 1);
	vcr_conn_remove(f, number);
	vcr_failed_settle(f, 0, time_ns);
}

/* Every connection of pid (0: of all) ends. */
static void gone(struct vcr_flow *f, int pid, uint64_t time_ns)
{
	vcr_failed_settle(f, pid ? pid : -1, time_ns);
	for (size_t i = 0; i < f->nbucket; i++)
		for (struct conn *c = f->bucket[i], *next; c; c = next) {
			next = c->next;
			if (pid && c->pid != pid)
				continue;
			c->now_ns = time_ns;
			end_calls(c, "interrupted", false);
			vcr_conn_remove(f, c->number);
		}
}

void vcr_flow_process_gone(struct vcr_flow *f, int pid, uint64_t time_ns)
{
	if (pid)
		gone(f, pid, time_ns);
}

void vcr_flow_all_gone(struct vcr_flow *f, uint64_t time_ns)
{
	gone(f, 0, time_ns);
}

static char **copy_hosts(const char *const *hosts)
{
	size_t n = 0;
	while (hosts && hosts[n])
		n++;
	char **copy = calloc(n + 1, sizeof *copy);
	for (size_t i = 0; copy && i < n; i++)
		copy[i] = strdup(hosts[i]);
	return copy;
}

struct vcr_flow *vcr_flow_new(const struct vcr_flow_events *ev, void *ctx, const char *const *model_hosts, bool capture_all)
{
	struct vcr_flow *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	f->ev = *ev;
	f->ctx = ctx;
	f->capture_all = capture_all;
	f->nbucket = 64;
	f->bucket = calloc(f->nbucket, sizeof *f->bucket);
	f->hosts = copy_hosts(model_hosts);
	if (!f->bucket || !f->hosts) {
		vcr_flow_free(f);
		return NULL;
	}
	return f;
}

void vcr_flow_free(struct vcr_flow *f)
{
	if (!f)
		return;
	for (size_t i = 0; f->bucket && i < f->nbucket; i++)
		for (struct conn *c = f->bucket[i], *next; c; c = next) {
			next = c->next;
			for (struct exchange *x = c->first, *after; x; x = after) {
				after = x->next;
				vcr_exchange_free(x, &f->held);
			}
			vcr_conn_free(c);
		}
	for (char **h = f->hosts; h && *h; h++)
		free(*h);
	free(f->hosts);
	free(f->bucket);
	free(f);
}
