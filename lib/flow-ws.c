/* flow-ws.c — a model's WebSocket: its messages become calls. OpenAI's realtime and responses APIs have one call per response: it begins with the
 * client's "response.create" (or with "response.created", when the server decides by itself that it is its turn) and holds what the client sent since
 * the one before; it ends with response.done, .completed, .failed, .incomplete or .cancelled. What the server says of the session and not of a
 * response stands beside the answer of the call that is under way, or that comes next. Of any other API a turn lasts until the
 * server says turnComplete (Gemini live), else as long as the connection. */
#include "flow-parts.h"
#include "limits.h"
#include "ws.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vcr_flow_ws {
	enum vcr_api api;
	struct vcr_ws *out, *in;
	struct exchange *handshake;  /* its head is that of every call */
	struct vcr_buf asked;        /* messages since the last call began, joined by "," */
	unsigned nasked;
	struct vcr_buf aside;        /* of the call to come, as an exchange has it */
};
enum { ASIDE_MAX = 256 << 10 };

static bool is_realtime(const struct vcr_flow_ws *w)
{
	return w->api != VCR_API_GENERIC;
}

/* ---- A call's life ---- */

/* One message as it is; several as {"events":[…]}, and so are those of a turn that goes on. */
static int put_request(struct conn *c, struct exchange *x)
{
	struct vcr_flow_ws *w = c->ws;
	size_t *held = &c->flow->held;
	x->nasked = w->nasked;
	bool many = w->nasked > 1 || !is_realtime(w);
	int r = many ? vcr_exchange_out(x, "{\"events\":[", 11, held) : 0;
	if (!r && w->nasked)
		r = vcr_exchange_out(x, w->asked.data, w->asked.len, held);
	if (!r && many && is_realtime(w))
		r = vcr_exchange_out(x, "]}", 2, held);
	vcr_buf_release(&w->asked);
	vcr_buf_init(&w->asked, VCR_MAX_WS_MESSAGE);
	w->nasked = 0;
	return r;
}

/* A call whose head is the handshake's. NULL: no memory, or too many under way. */
static struct exchange *begin_call(struct conn *c)
{
	struct vcr_flow *f = c->flow;
	const struct exchange *h = c->ws->handshake;
	const struct vcr_http1_head request = { .method = h->method, .target = h->target, .minor = h->call.minor, .field = h->req.field, .nfield = h->req.n },
		response = { .status = h->call.status, .reason = h->reason, .field = h->res.field, .nfield = h->res.n, .content_length = -1 };
	struct exchange *x = c->npending < MAX_PENDING ? vcr_exchange_new(&request, c->ws->api, h->host, true, &f->held) : NULL;
	if (!x)
		return NULL;
	x->call.conn = c->number;
	x->call.mark = f->mark;
	x->call.pid = c->pid;
	x->call.tid = c->tid;
	x->call.tls = c->tls;
	x->call.websocket = true;
	x->call.start_ns = x->call.sent_ns = c->now_ns;
	x->sent = true;
	vcr_conn_append(c, x);
	c->sending = NULL;
	x->aside = c->ws->aside;
	vcr_buf_init(&c->ws->aside, 0);
	vcr_exchange_asked(x, &f->ev, f->ctx, c->now_ns);
	if (vcr_exchange_response(x, &response) || put_request(c, x)) {
		vcr_conn_pop(c, x, "malformed");
		return NULL;
	}
	return x;
}

static void end_call(struct conn *c, struct exchange *x)
{
	x->answered = true;
	x->call.end_ns = c->now_ns;
	vcr_conn_pop(c, x, NULL);
}

/* A turn of another API is over; without an answer it is for the caller to say why. */
static void end_turn(struct conn *c)
{
	if (!c->first || is_realtime(c->ws))
		return;
	vcr_exchange_out(c->first, "]}", 2, &c->flow->held);
	if (c->first->call.first_byte_ns)
		end_call(c, c->first);
	else
		vcr_conn_pop(c, c->first, "closed");
}

/* One message, one line of the answer: line ends inside it are white space of JSON. */
static int put_answer(struct conn *c, struct exchange *x, const char *p, size_t n)
{
	int r = 0;
	if (!is_realtime(c->ws) && x->turn_of != x->nasked && x->turns.len < ASIDE_MAX) {
		vcr_buf_printf(&x->turns, "%s%u,%u", x->turns.len ? "," : "", x->nlines, x->nasked);
		x->turn_of = x->nasked;
	}
	x->nlines++;
	if (!x->call.first_byte_ns && c->now_ns >= x->call.start_ns)
		x->call.first_byte_ns = c->now_ns;
	while (n && !r) {
		const char *lf = memchr(p, '\n', n);
		size_t k = lf ? (size_t)(lf - p) : n;
		r = vcr_conn_answer_body(c, x, p, k);
		if (lf && !r)
			r = vcr_conn_answer_body(c, x, " ", 1);
		p += k + (lf != NULL);
		n -= k + (lf != NULL);
	}
	return r ? r : vcr_conn_answer_body(c, x, "\n", 1);
}

/* ---- Messages ---- */

static int on_asked(void *ctx, bool text, const char *p, size_t n)
{
	struct conn *c = ctx;
	struct vcr_flow_ws *w = c->ws;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, NULL))
		return 0; /* audio and the like */
	if (w->nasked++)
		vcr_buf_putc(&w->asked, ',');
	if (vcr_buf_add(&w->asked, p, n)) { /* a conversation that is never answered */
		vcr_buf_reset(&w->asked);
		w->nasked = 0;
	}
	if (is_realtime(w) ? vcr_json_is(&j, vcr_json_get(&j, 0, "type"), "response.create") : !c->first)
		return begin_call(c) ? 0 : VCR_ELIMIT;
	if (is_realtime(w))
		return 0;
	w->nasked = 0;
	vcr_buf_reset(&w->asked);
	c->first->nasked++;
	int r = vcr_exchange_out(c->first, ",", 1, &c->flow->held);
	return r ? r : vcr_exchange_out(c->first, p, n, &c->flow->held);
}

static struct exchange *by_id(const struct conn *c, const char *id)
{
	struct exchange *x = c->first;
	while (x && (!x->id || strcmp(x->id, id)))
		x = x->next;
	return x;
}

/* The first that has no id yet. */
static struct exchange *unnamed(const struct conn *c)
{
	struct exchange *x = c->first;
	while (x && x->id)
		x = x->next;
	return x;
}

/* The call that an event of a response belongs to; one that the server began by itself is made. */
static struct exchange *call_of(struct conn *c, const struct vcr_json *j, const char *type)
{
	int id = vcr_json_path(j, 0, "response.id");
	char *name = vcr_json_strdup(j, id >= 0 ? id : vcr_json_get(j, 0, "response_id"));
	if (!name)
		return c->first;
	struct exchange *x = by_id(c, name);
	if (!x && (x = unnamed(c) ? unnamed(c) : !strcmp(type, "response.created") ? begin_call(c) : NULL)) {
		x->id = name;
		return x;
	}
	free(name);
	return x;
}

static bool ends_response(const char *type)
{
	static const char *const last[] = { "done", "completed", "failed", "incomplete", "cancelled" };
	for (size_t i = 0; i < sizeof last / sizeof *last; i++)
		if (!strncmp(type, "response.", 9) && !strcmp(type + 9, last[i]))
			return true;
	return false;
}

/* What is said of the session: a replay wants to say it too. Messages are bounded as a whole, what is beyond is in no recording. */
static void note_aside(struct conn *c, const char *p, size_t n)
{
	VCR_AUTO_JSON strict = VCR_JSON_INIT;
	struct vcr_buf *b = c->last ? &c->last->aside : &c->ws->aside;
	if (b->len + n > ASIDE_MAX || vcr_json_parse(&strict, p, n, 0, NULL))
		return;
	vcr_buf_printf(b, "%s%u,", b->len ? "," : "", c->last ? c->last->nasked : c->ws->nasked);
	vcr_buf_add(b, p, n);
}

static int on_realtime(struct conn *c, const struct vcr_json *j, const char *p, size_t n)
{
	char *type = vcr_json_strdup(j, vcr_json_get(j, 0, "type"));
	bool error = type && !strcmp(type, "error"), response = type && !strncmp(type, "response.", 9);
	struct exchange *x = response ? call_of(c, j, type) : !error ? NULL : unnamed(c) ? unnamed(c) : c->first;
	int r = x ? put_answer(c, x, p, n) : 0;
	if (!x && !error)
		note_aside(c, p, n);
	if (x && !r && (error || (response && ends_response(type))))
		end_call(c, x);
	free(type);
	return r;
}

static int on_answered(void *ctx, bool text, const char *p, size_t n)
{
	struct conn *c = ctx;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, NULL))
		return 0;
	if (is_realtime(c->ws))
		return on_realtime(c, &j, p, n);
	int r = c->first ? put_answer(c, c->first, p, n) : 0;
	if (c->first && vcr_json_true(&j, vcr_json_path(&j, 0, "serverContent.turnComplete")))
		end_turn(c);
	return r;
}

/* ---- The connection ---- */

static int on_close(void *ctx, unsigned code)
{
	end_turn(ctx);
	return 0;
}

static void give_up(struct conn *c, const struct vcr_ws *w)
{
	char why[100];
	const char *words = vcr_ws_why(w);
	snprintf(why, sizeof why, "WebSocket: %s", *words ? words : "more at once than can be followed");
	end_turn(c);
	vcr_conn_fail(c, "malformed");
	vcr_conn_unseen(c, why);
}

static void feed_in(struct conn *c, const char *p, size_t n)
{
	c->nreads++;
	if (vcr_ws_feed(c->ws->in, p, n))
		give_up(c, c->ws->in);
}

void vcr_conn_ws_out(struct conn *c, const char *p, size_t n)
{
	if (c->early_last_ns < c->now_ns) /* it was read before this was written */
		vcr_conn_early_give(c, feed_in);
	if (!c->ws)
		return;
	if (vcr_ws_feed(c->ws->out, p, n))
		give_up(c, c->ws->out);
	else
		vcr_conn_early_give(c, feed_in);
}

void vcr_conn_ws_in(struct conn *c, const char *p, size_t n)
{
	vcr_conn_early_in(c, p, n, feed_in);
}

/* A turn without an end mark is over when the connection is. */
void vcr_conn_ws_end(struct conn *c)
{
	vcr_conn_early_give(c, feed_in);
	if (c->ws)
		end_turn(c);
}

int vcr_conn_ws_begin(struct conn *c)
{
	static const struct vcr_ws_events asked = { .message = on_asked, .close = on_close }, answered = { .message = on_answered, .close = on_close };
	struct vcr_flow *f = c->flow;
	struct exchange *h = c->first;
	const char *to = vcr_http1_field(h->res.field, h->res.n, "upgrade");
	enum vcr_api api = to && strcasestr(to, "websocket") ? vcr_api_recognise_socket(h->host, h->target, (const char *const *)f->hosts) : VCR_API_NONE;
	struct vcr_ws_extensions x;
	bool known = !vcr_ws_extensions_read(vcr_http1_field(h->res.field, h->res.n, "sec-websocket-extensions"), &x);
	vcr_conn_forget(c);
	if (api == VCR_API_NONE || !known)
		vcr_conn_pop(c, h, NULL);
	if (api == VCR_API_NONE)
		return 1;
	if (!known) {
		vcr_conn_unseen(c, "WebSocket with an extension that is not known");
		return 0;
	}
	c->met_model = true;
	c->state = WEBSOCKET;
	c->ws = calloc(1, sizeof *c->ws);
	if (!c->ws)
		return 1;
	c->first = h->next; /* it stays as the head of the calls to come */
	c->last = c->first ? c->last : NULL;
	c->npending--;
	vcr_exchange_tell(h, NULL, &f->ev, f->ctx);
	*c->ws = (struct vcr_flow_ws){ .api = api, .handshake = h, .out = vcr_ws_new(&asked, c, x.deflate, x.client_forgets),
		.in = vcr_ws_new(&answered, c, x.deflate, x.server_forgets) };
	vcr_buf_init(&c->ws->asked, VCR_MAX_WS_MESSAGE);
	vcr_buf_init(&c->ws->aside, 0);
	return !c->ws->out || !c->ws->in;
}

void vcr_conn_ws_free(struct conn *c)
{
	struct vcr_flow_ws *w = c->ws;
	if (!w)
		return;
	c->ws = NULL;
	vcr_ws_free(w->out);
	vcr_ws_free(w->in);
	vcr_buf_release(&w->asked);
	vcr_buf_release(&w->aside);
	vcr_exchange_free(w->handshake, &c->flow->held);
	free(w);
}
