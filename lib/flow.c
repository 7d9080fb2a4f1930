#include "flow-call.h"
#include "limits.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a connection stays of interest: an HTTP one to a host that is not a model's is muted after this many requests or bytes without
 * one that is (a gateway's other paths); one that begins with something else after this many writes (it may have been joined
 * in the middle of a request) or bytes read. */
enum { OTHER_REQUESTS = 16, OTHER_BYTES = 1 << 20, STRANGE_WRITES = 4, STRANGE_BYTES = 1 << 20 };
enum { MAX_PENDING = 1024, EARLY_BYTES = 64 << 10, LOOK = 24 };

enum conn_state {
	LOOKING, /* for a request line at the start of a write */
	HTTP,
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
	struct exchange *first, *last; /* requests in order; the first is the one that is being answered */
	struct exchange *sending;      /* the one whose request is under way */
	uint64_t now_ns, req_ns, res_ns; /* this read or write; first byte of the message under way */
	bool new_read, upgraded;
	struct vcr_buf early;          /* bytes read while nothing was asked: the write's record may come a moment later */
	uint64_t early_ns;
};

struct vcr_flow {
	struct vcr_flow_events ev;
	void *ctx;
	char **hosts;
	bool capture_all;
	struct conn **bucket;
	size_t nbucket, nconn, held;
};

/* Connections by number */

static size_t slot(const struct vcr_flow *f, uint32_t number)
{
	return (number * 2654435761u) & (f->nbucket - 1);
}

static struct conn *find(const struct vcr_flow *f, uint32_t number)
{
	struct conn *c = f->bucket[slot(f, number)];
	while (c && c->number != number)
		c = c->next;
	return c;
}

static void grow_table(struct vcr_flow *f)
{
	size_t old = f->nbucket;
	struct conn **was = f->bucket, **now = calloc(2 * old, sizeof *now);
	if (!now)
		return; /* longer chains, nothing worse */
	f->bucket = now;
	f->nbucket = 2 * old;
	for (size_t i = 0; i < old; i++)
		for (struct conn *c = was[i], *next; c; c = next) {
			next = c->next;
			c->next = now[slot(f, c->number)];
			now[slot(f, c->number)] = c;
		}
	free(was);
}

static struct conn *add_conn(struct vcr_flow *f, uint32_t number, int pid)
{
	if (f->nconn >= VCR_MAX_CONNS) {
		if (f->ev.unseen)
			f->ev.unseen(f->ctx, number, "too many connections at once");
		return NULL;
	}
	struct conn *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	if (f->nconn > f->nbucket)
		grow_table(f);
	c->flow = f;
	c->number = number;
	c->pid = pid;
	vcr_buf_init(&c->early, EARLY_BYTES);
	c->next = f->bucket[slot(f, number)];
	f->bucket[slot(f, number)] = c;
	f->nconn++;
	return c;
}

static void forget_http(struct conn *c)
{
	vcr_http1_free(c->req);
	vcr_http1_free(c->res);
	c->req = c->res = NULL;
	vcr_buf_release(&c->early);
}

static void free_conn(struct conn *c)
{
	forget_http(c);
	free(c->server_name);
	free(c->peer);
	free(c);
}

static void remove_conn(struct vcr_flow *f, uint32_t number)
{
	for (struct conn **at = &f->bucket[slot(f, number)]; *at; at = &(*at)->next)
		if ((*at)->number == number) {
			struct conn *c = *at;
			*at = c->next;
			f->nconn--;
			free_conn(c);
			return;
		}
}

/* Calls of a connection */

static void pop_call(struct conn *c, const char *failure)
{
	struct exchange *x = c->first;
	c->first = x->next;
	if (!c->first)
		c->last = NULL;
	if (c->sending == x)
		c->sending = NULL;
	c->npending--;
	if (!x->call.end_ns)
		x->call.end_ns = c->now_ns;
	vcr_exchange_report(x, failure, &c->flow->ev, c->flow->ctx, &c->flow->held);
}

static void fail_calls(struct conn *c, const char *failure)
{
	while (c->first)
		pop_call(c, failure);
}

/* Report from the front what is over: answered, and its request is not being sent any more. */
static void report_done(struct conn *c)
{
	while (c->first && c->first->answered && c->first->sent)
		pop_call(c, NULL);
}

static void mute(struct conn *c)
{
	c->state = MUTED;
	fail_calls(c, "closed"); /* none that is reported, unless another protocol took over */
	forget_http(c);
	if (c->flow->ev.mute)
		c->flow->ev.mute(c->flow->ctx, c->number);
}

static void unseen(struct conn *c, const char *why)
{
	if (c->flow->ev.unseen)
		c->flow->ev.unseen(c->flow->ctx, c->number, why);
	mute(c);
}

/* Something that HTTP does not allow, or an end of HTTP: calls under way fail, and a later request line is looked for. */
static void resynchronise(struct conn *c, const char *failure)
{
	fail_calls(c, failure);
	forget_http(c);
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
static bool bored(const struct conn *c)
{
	return !c->met_model && !c->flow->capture_all && (c->other_requests >= OTHER_REQUESTS || c->other_bytes >= OTHER_BYTES);
}

static void append_call(struct conn *c, struct exchange *x)
{
	if (c->last)
		c->last->next = x;
	else
		c->first = x;
	c->last = c->sending = x;
	c->npending++;
}

static const struct vcr_http1_events response_events;

static int on_request_head(void *ctx, const struct vcr_http1_head *h)
{
	struct conn *c = ctx;
	struct vcr_flow *f = c->flow;
	char host[300];
	request_host(c, h, host);
	const char *type = vcr_http1_field(h->field, h->nfield, "content-type");
	enum vcr_api api = vcr_api_recognise(h->method, host, h->target, type, (const char *const *)f->hosts);
	if (c->npending >= MAX_PENDING)
		return VCR_ELIMIT;
	struct exchange *x = vcr_exchange_new(h, api, host, api != VCR_API_NONE || f->capture_all, &f->held);
	if (!x)
		return VCR_ENOMEM;
	x->call.conn = c->number;
	x->call.pid = c->pid;
	x->call.tid = c->tid;
	x->call.tls = c->tls;
	x->call.start_ns = c->req_ns;
	append_call(c, x);
	c->strange_writes = 0;
	c->met_model |= api != VCR_API_NONE;
	c->other_requests += api == VCR_API_NONE;
	if (!c->res && !(c->res = vcr_http1_new(VCR_HTTP1_RESPONSE, &response_events, c)))
		return VCR_ENOMEM;
	int r = vcr_http1_expect(c->res, h->method);
	if (!r && f->ev.request && api != VCR_API_NONE && api != VCR_API_SIDE)
		f->ev.request(f->ctx, c->number, c->pid, api, c->now_ns);
	return r;
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
	x->call.first_byte_ns = c->res_ns;
	c->upgraded = h->upgrade;
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
	bool new_read = c->new_read;
	if (!c->first)
		return 0;
	if (!c->first->keep)
		c->other_bytes += n;
	c->new_read = false;
	return vcr_exchange_in(c->first, p, n, c->now_ns, new_read, &c->flow->held);
}

static int on_response_end(void *ctx, const struct vcr_http1_field *trailer, size_t n)
{
	struct conn *c = ctx;
	c->res_ns = c->now_ns;
	if (!c->first)
		return 0;
	c->first->answered = true;
	c->first->call.end_ns = c->now_ns;
	report_done(c);
	return 0;
}

static int on_tunnel(void *ctx, const char *p, size_t n)
{
	return 0; /* feed_in looks at `upgraded` */
}

static const struct vcr_http1_events response_events = { on_response_head, on_response_body, on_response_end, on_tunnel };

/* After 101 or CONNECT 2xx: what follows is another protocol. Inside a CONNECT there may be HTTP again. */
static void leave_http(struct conn *c)
{
	bool connect = c->first && !strcmp(c->first->method, "CONNECT"), model = c->first && c->first->call.api == VCR_API_SIDE;
	c->upgraded = false;
	report_done(c);
	if (connect)
		resynchronise(c, NULL);
	else if (model)
		unseen(c, "WebSocket is not decoded");
	else
		mute(c);
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
	c->new_read = true;
	if (!vcr_http1_inside(c->res))
		c->res_ns = c->now_ns;
	int r = vcr_http1_feed(c->res, p, n);
	if (c->upgraded)
		leave_http(c);
	else if (r)
		resynchronise(c, "malformed");
	else if (bored(c))
		mute(c);
	rest(c);
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
		mute(c);
}

void vcr_flow_in(struct vcr_flow *f, uint32_t number, const char *p, size_t n, uint64_t time_ns)
{
	struct conn *c = find(f, number);
	if (!c || c->state == MUTED || !n)
		return;
	c->now_ns = time_ns;
	if (c->state == HTTP && c->first)
		feed_in(c, p, n);
	else
		hold_early(c, p, n);
}

/* Writes */

enum look { NO_REQUEST, MAYBE, REQUEST, HTTP2 };

/* Does it begin like a request line: upper-case token, one space, something visible? */
static enum look look_at(const char *p, size_t n)
{
	static const char preface[] = "PRI * HTTP/2.0";
	size_t i = 0;
	if (n >= 14 ? !memcmp(p, preface, 14) : !memcmp(p, preface, n))
		return n >= 14 ? HTTP2 : MAYBE;
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
	if (c->state == HTTP && bored(c))
		mute(c);
	rest(c);
}

static void look_out(struct conn *c, const char *p, size_t n)
{
	char held[LOOK];
	size_t nheld = c->nlook, take = n < LOOK - nheld ? n : LOOK - nheld;
	uint64_t begin_ns = nheld ? c->look_ns : c->now_ns;
	memcpy(c->look + nheld, p, take);
	switch (look_at(c->look, nheld + take)) {
	case HTTP2:
		unseen(c, "HTTP/2 is not decoded");
		return;
	case MAYBE:
		c->look_ns = begin_ns;
		c->nlook = nheld + take;
		return;
	case NO_REQUEST:
		c->nlook = 0;
		if (++c->strange_writes >= STRANGE_WRITES && !c->met_model)
			mute(c);
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

void vcr_flow_out(struct vcr_flow *f, uint32_t number, int pid, int tid, const char *p, size_t n, uint64_t time_ns)
{
	struct conn *c = find(f, number);
	if (!c && !(c = add_conn(f, number, pid)))
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
	if (c->state == HTTP)
		feed_out(c, p, n, time_ns);
	else
		look_out(c, p, n);
}

/* Beginnings and ends */

void vcr_flow_open(struct vcr_flow *f, uint32_t number, int pid, bool tls, const char *server_name, const char *peer, uint64_t time_ns)
{
	struct conn *c = find(f, number);
	if (!c && !(c = add_conn(f, number, pid)))
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
	if (eof && c->res && c->first)
		vcr_http1_eof(c->res);
	if (c->first && c->first->answered && !c->first->sent) { /* an early answer; the rest was never sent */
		c->first->sent = true;
		report_done(c);
	}
	fail_calls(c, failure);
}

void vcr_flow_close(struct vcr_flow *f, uint32_t number, int reason, uint64_t time_ns)
{
	struct conn *c = find(f, number);
	if (!c)
		return;
	c->now_ns = time_ns;
	end_calls(c, close_word(reason), reason == 1);
	remove_conn(f, number);
}

/* Every connection of pid (0: of all) ends. */
static void gone(struct vcr_flow *f, int pid, uint64_t time_ns)
{
	for (size_t i = 0; i < f->nbucket; i++)
		for (struct conn *c = f->bucket[i], *next; c; c = next) {
			next = c->next;
			if (pid && c->pid != pid)
				continue;
			c->now_ns = time_ns;
			end_calls(c, "interrupted", false);
			remove_conn(f, c->number);
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
			free_conn(c);
		}
	for (char **h = f->hosts; h && *h; h++)
		free(*h);
	free(f->hosts);
	free(f->bucket);
	free(f);
}
