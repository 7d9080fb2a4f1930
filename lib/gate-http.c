/* gate-http.c — the gate's requests, as they come in, and its answers, as they go out (RFC 9112). */
#include "gate-parts.h"
#include "limits.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { STOP = 1, KEEP_BYTES = 64 << 10 };

/* ---- Requests ---- */

static void reset_buffer(struct vcr_buf *b)
{
	if (b->cap > KEEP_BYTES)
		vcr_buf_release(b);
	else
		vcr_buf_reset(b);
}

void vcr_gate_http_begin(struct vcr_gate_exchange *c)
{
	c->head_done = c->stop = c->is_connect = c->socket = c->full = false;
	c->head_bytes = 0;
	c->refuse = 0;
	c->nfield = 0;
	c->request = (struct vcr_gate_request){ .way = c->way, .pid = c->pid };
	reset_buffer(&c->text);
	reset_buffer(&c->body);
	free(c->host_text);
	c->host_text = NULL;
	c->pending_piece = c->head_sent = c->chunked = c->no_body = c->ended = c->delivered = c->told = false;
	c->left = -1;
	c->after = KEEP;
	c->user = NULL;
}

/* Strings move when the buffer grows: offsets first, pointers at the end. */
static int copy_head(struct vcr_gate_exchange *c, const struct vcr_http1_head *h)
{
	if (h->nfield > c->field_cap) {
		struct vcr_http1_field *f = realloc(c->field, h->nfield * sizeof *f);
		if (!f)
			return VCR_ENOMEM;
		c->field = f;
		c->field_cap = h->nfield;
	}
	size_t bytes = strlen(h->method) + strlen(h->target) + 2;
	for (size_t i = 0; i < h->nfield; i++)
		bytes += strlen(h->field[i].name) + strlen(h->field[i].value) + 2;
	char *p = vcr_buf_reserve(&c->text, bytes);
	if (!p)
		return c->text.err;
	c->request.method = p;
	p = stpcpy(p, h->method) + 1;
	c->request.target = p;
	p = stpcpy(p, h->target) + 1;
	for (size_t i = 0; i < h->nfield; i++) {
		c->field[i].name = p;
		p = stpcpy(p, h->field[i].name) + 1;
		c->field[i].value = p;
		p = stpcpy(p, h->field[i].value) + 1;
	}
	vcr_buf_added(&c->text, bytes);
	c->nfield = h->nfield;
	c->request.minor = h->minor;
	c->request.field = c->field;
	c->request.nfield = c->nfield;
	return 0;
}

static int check_head(struct vcr_gate_exchange *c, const struct vcr_http1_head *h)
{
	for (const char *p = h->target; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 127)
			return 400;
	if (h->content_length > VCR_MAX_HTTP_BODY)
		return 413;
	int status = vcr_gate_connect_authorise(c, h);
	return status || c->is_connect ? status : vcr_gate_connect_place(c, h);
}

static int on_head(void *conn, const struct vcr_http1_head *h)
{
	struct vcr_gate_exchange *c = conn;
	int err = copy_head(c, h);
	if (err)
		return err;
	c->head_done = true;
	c->keep_alive = h->keep_alive;
	c->head_method = !strcmp(h->method, "HEAD");
	c->is_connect = !strcmp(h->method, "CONNECT");
	c->deadline_ms = vcr_gate_now_ms() + c->gate->o.idle_ms;
	c->refuse = check_head(c, h);
	if (c->refuse) {
		c->stop = true;
		return STOP; /* a body is not read */
	}
	const char *expect = vcr_http1_field(h->field, h->nfield, "expect");
	if (expect && !strcasecmp(expect, "100-continue") && h->minor) {
		vcr_buf_puts(&c->pending, "HTTP/1.1 100 Continue\r\n\r\n");
		vcr_gate_conn_push(c);
		vcr_gate_conn_send(c);
	}
	return 0;
}

static int on_body(void *conn, const char *p, size_t n)
{
	struct vcr_gate_exchange *c = conn;
	c->deadline_ms = vcr_gate_now_ms() + c->gate->o.idle_ms;
	return vcr_buf_add(&c->body, p, n);
}

static int on_end(void *conn, const struct vcr_http1_field *trailer, size_t n)
{
	struct vcr_gate_exchange *c = conn;
	c->stop = true;
	return STOP;
}

const char *vcr_gate_http_words(int status)
{
	static const struct { int status; const char *words; } list[] = {
		{ 400, "vcr: this is no request that can be understood\n" },
		{ 403, "vcr: the path does not begin with this run's /vcr-TOKEN/, and no model host was named by TLS\n" },
		{ 407, "vcr: this proxy wants the run's token; use the whole URL that was printed\n" },
		{ 413, "vcr: the request is too large\n" },
		{ 431, "vcr: the head of the request is too large\n" },
		{ 503, "vcr: too much is being received at once\n" },
	};
	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		if (list[i].status == status)
			return list[i].words;
	return "";
}

static void refuse(struct vcr_gate_exchange *c, int status)
{
	static const struct vcr_http1_field challenge = { "Proxy-Authenticate", "Basic realm=\"vcr\"" };
	const char *words = vcr_gate_http_words(status);
	struct vcr_gate *g = c->gate;
	*(status == 403 || status == 407 ? &g->stats.refused : &g->stats.malformed) += 1;
	c->state = ANSWER;
	c->keep_alive = false;
	c->told = false;
	vcr_gate_simple(c, status, NULL, words, strlen(words), status == 407 ? &challenge : NULL);
}

/* A request is complete. */
static void dispatch(struct vcr_gate_exchange *c)
{
	struct vcr_gate *g = c->gate;
	c->deadline_ms = 0;
	if (c->refuse) {
		refuse(c, c->refuse);
		return;
	}
	vcr_gate_touch(c);
	c->state = ANSWER;
	if (c->is_connect) {
		vcr_gate_connect_begin(c);
		return;
	}
	g->stats.requests++;
	if (g->o.spoke && (c->request.pid > 0 || c->by_proxy))
		g->o.spoke(g->o.meant_ctx, c->request.pid);
	c->request.body = c->body.data;
	c->request.nbody = c->body.len;
	c->told = true;
	g->o.handler->request(g->o.ctx, c, &c->request);
}

static int start_decoder(struct vcr_gate_exchange *c)
{
	static const struct vcr_http1_events events = { on_head, on_body, on_end, NULL };
	if (!c->http && !(c->http = vcr_http1_new(VCR_HTTP1_REQUEST, &events, c)))
		return VCR_ENOMEM;
	if (!vcr_http1_inside(c->http)) {
		vcr_gate_http_begin(c);
		c->deadline_ms = vcr_gate_now_ms() + c->gate->o.head_ms;
	}
	return 0;
}

void vcr_gate_http_input(struct vcr_gate_exchange *c, const char *p, size_t n)
{
	uint64_t before, after;
	if (!n || c->dead)
		return;
	if (start_decoder(c)) {
		vcr_gate_kill(c);
		return;
	}
	vcr_http1_why(c->http, &before);
	int err = vcr_http1_feed(c->http, p, n);
	vcr_http1_why(c->http, &after);
	size_t used = (size_t)(after - before);
	if (!c->head_done)
		c->head_bytes += used;
	if (err == STOP && c->stop) {
		if (used < n)
			vcr_buf_add(&c->early, p + used, n - used);
		dispatch(c);
		if (c->early.len && (c->state == HTTP || c->state == SNIFF))
			vcr_gate_later(c);
	} else if (err) {
		refuse(c, err != VCR_ELIMIT ? 400 : c->head_done ? 413 : 431);
	} else if (!c->head_done && c->head_bytes > VCR_MAX_GATE_HEAD) {
		refuse(c, 431);
	} else if (!vcr_gate_hold(c)) {
		refuse(c, 503);
	}
	vcr_gate_hold(c);
}

void vcr_gate_http_release(struct vcr_gate_exchange *c)
{
	vcr_http1_free(c->http);
	vcr_buf_release(&c->text);
	vcr_buf_release(&c->body);
	free(c->field);
	free(c->host_text);
}

/* ---- Answers ---- */

/* What frames the message on this connection is ours to say. */
static bool is_framing(const char *name)
{
	static const char *const list[] = { "connection", "keep-alive", "proxy-connection", "transfer-encoding", "content-length", "trailer", "te", "upgrade" };
	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		if (!strcasecmp(name, list[i]))
			return true;
	return false;
}

/* A recording is hostile: a field that would end the head or begin another is left out. */
static bool is_clean(const char *s, bool name)
{
	if (name && !*s)
		return false;
	for (; *s; s++)
		if (*s == '\r' || *s == '\n' || (name && (strchr(":()<>@,;\\\"/[]?={}", *s) || (unsigned char)*s <= ' ' || *s == 127)))
			return false;
	return true;
}

bool vcr_gate_http_may_say(const struct vcr_http1_field *f)
{
	return !is_framing(f->name) && is_clean(f->name, true) && is_clean(f->value, false);
}

static void add_line(struct vcr_buf *b, const char *name, const char *value)
{
	vcr_buf_puts(b, name);
	vcr_buf_puts(b, ": ");
	vcr_buf_puts(b, value);
	vcr_buf_puts(b, "\r\n");
}

static void write_framing(struct vcr_gate_exchange *c, int status, int64_t length)
{
	struct vcr_buf *b = &c->pending;
	bool old = c->request.minor == 0;
	c->no_body = c->head_method || status == 204 || status == 304;
	c->left = c->no_body ? 0 : length;
	if (length >= 0 && status != 204 && status != 304)
		vcr_buf_printf(b, "Content-Length: %lld\r\n", (long long)length);
	else if (!c->no_body && !old) {
		c->chunked = true;
		vcr_buf_puts(b, "Transfer-Encoding: chunked\r\n");
	} else if (!c->no_body) {
		c->keep_alive = false;
	}
	if (!c->keep_alive)
		vcr_buf_puts(b, "Connection: close\r\n");
	else if (old)
		vcr_buf_puts(b, "Connection: keep-alive\r\n");
}

int vcr_gate_head(struct vcr_gate_exchange *c, int status, const char *reason, const struct vcr_http1_field *field, size_t n, int64_t length)
{
	if (c->stream)
		return vcr_gate_http2_head(c, status, field, n, length);
	if (c->dead)
		return VCR_EIO;
	bool upgrade = status == 101;
	if (c->state != ANSWER || c->head_sent || status < 100 || status > 999 || (upgrade && !vcr_gate_socket_asked(c)))
		return VCR_EINVAL;
	vcr_buf_printf(&c->pending, "HTTP/1.1 %d %s\r\n", status, reason && is_clean(reason, false) ? reason : "");
	for (size_t i = 0; i < n; i++)
		if (vcr_gate_http_may_say(&field[i]))
			add_line(&c->pending, field[i].name, field[i].value);
	if (status >= 200) {
		c->head_sent = true;
		write_framing(c, status, length);
	}
	vcr_buf_puts(&c->pending, upgrade ? "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" : "\r\n");
	if (upgrade)
		vcr_gate_socket_begun(c);
	else if (status < 200)
		vcr_gate_conn_push(c);
	return c->pending.err;
}

int vcr_gate_body(struct vcr_gate_exchange *c, const char *p, size_t n)
{
	if (c->stream)
		return vcr_gate_http2_body(c, p, n);
	if (c->dead)
		return VCR_EIO;
	if (c->state != ANSWER || !c->head_sent || c->ended)
		return VCR_EINVAL;
	if (!n || c->no_body)
		return 0;
	if (c->left >= 0 && (int64_t)n > c->left)
		return VCR_EINVAL;
	if (c->pending_piece && !c->socket) /* a record each; of a connection that is relayed they are held together */
		vcr_gate_conn_push(c);
	if (c->chunked)
		vcr_buf_printf(&c->pending, "%zx\r\n", n);
	vcr_buf_add(&c->pending, p, n);
	if (c->chunked)
		vcr_buf_puts(&c->pending, "\r\n");
	if (c->left >= 0)
		c->left -= (int64_t)n;
	c->pending_piece = true;
	return c->dead ? VCR_EIO : c->pending.err;
}

static void end_answer(struct vcr_gate_exchange *c, enum after after)
{
	c->ended = true;
	c->after = after;
	vcr_gate_conn_push(c);
	vcr_gate_conn_send(c);
	if (!c->dead && c->out_at == c->out.len)
		vcr_gate_later(c);
}

static enum after after_of(enum vcr_gate_cut how)
{
	return how == VCR_CUT_RESET ? RESET : how == VCR_CUT_SHORT ? SHORT : CLOSE;
}

void vcr_gate_end_connection(struct vcr_gate_exchange *c, enum vcr_gate_cut how)
{
	c->state = ANSWER;
	end_answer(c, after_of(how));
}

int vcr_gate_end(struct vcr_gate_exchange *c)
{
	if (c->stream)
		return vcr_gate_http2_end(c);
	if (c->dead)
		return VCR_EIO;
	if (c->state != ANSWER || !c->head_sent || c->ended)
		return VCR_EINVAL;
	if (c->chunked)
		vcr_buf_puts(&c->pending, "0\r\n\r\n");
	end_answer(c, c->keep_alive && c->left <= 0 ? KEEP : CLOSE);
	return c->dead ? VCR_EIO : 0;
}

int vcr_gate_flush(struct vcr_gate_exchange *c)
{
	if (c->stream)
		return vcr_gate_http2_flush(c);
	if (c->dead)
		return VCR_EIO;
	vcr_gate_conn_push(c);
	vcr_gate_conn_send(c);
	return c->dead ? VCR_EIO : 0;
}

void vcr_gate_cut(struct vcr_gate_exchange *c, enum vcr_gate_cut how)
{
	if (c->stream)
		vcr_gate_http2_cut(c, how);
	else if (!c->dead && c->state == ANSWER && !c->ended)
		end_answer(c, after_of(how));
}

void vcr_gate_reset(struct vcr_gate_exchange *c, uint32_t code)
{
	if (c->stream)
		vcr_gate_http2_reset(c, code);
	else
		vcr_gate_cut(c, VCR_CUT_RESET);
}

void vcr_gate_go_away(struct vcr_gate_exchange *c, uint32_t code)
{
	if (c->stream)
		vcr_gate_http2_go_away(c, code);
	else
		vcr_gate_cut(c, VCR_CUT_RESET);
}

size_t vcr_gate_backlog(const struct vcr_gate_exchange *c)
{
	if (c->stream) /* its own, and what is before it */
		return c->pending.len - c->out_at + (c->on ? vcr_gate_backlog(c->on) : 0);
	return c->out.len - c->out_at + c->pending.len;
}

static const char *reason_of(int status)
{
	static const struct { int status; const char *words; } list[] = {
		{ 200, "OK" }, { 400, "Bad Request" }, { 403, "Forbidden" }, { 407, "Proxy Authentication Required" }, { 413, "Content Too Large" },
		{ 426, "Upgrade Required" }, { 431, "Request Header Fields Too Large" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
	};
	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		if (list[i].status == status)
			return list[i].words;
	return "";
}

int vcr_gate_simple(struct vcr_gate_exchange *c, int status, const char *type, const char *body, size_t n, const struct vcr_http1_field *extra)
{
	struct vcr_http1_field field[2] = { { "Content-Type", type ? type : "text/plain; charset=utf-8" } };
	size_t fields = 1;
	if (c->unasked) { /* whoever speaks there does not wait for an answer of ours */
		vcr_gate_cut(c, VCR_CUT_RESET);
		return 0;
	}
	if (extra && extra->name)
		field[fields++] = *extra;
	int err = vcr_gate_head(c, status, reason_of(status), field, fields, (int64_t)n);
	if (!err)
		err = vcr_gate_body(c, body, n);
	return err ? err : vcr_gate_end(c);
}
