/* gate-http2.c — clients that speak HTTP/2 alone (RFC 9113): TLS with nothing else in its ALPN (grpcio, node's http2), or the preface on a plain connection that was
 * led here. One that offers HTTP/1.1 too never comes here.
 *
 * Either the handler takes the connection as it is, or it is spoken here, by nghttp2: each stream is an exchange, with a struct of its own whose `on` is the
 * connection. nghttp2 is never entered from its own callbacks: these note what has come, and what is ready is told to the handler when it has returned. */
#include "gate-parts.h"
#include "grpc.h"
#include "limits.h"
#include <ctype.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAMS = 100, WINDOW = 1 << 20, LOW = 64 << 10, PERMISSION_DENIED = 7, RESOURCE_EXHAUSTED = 8, INVALID_ARGUMENT = 3 };
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct vcr_gate_http2 {
	nghttp2_session *session;
	struct vcr_gate_exchange *first; /* its streams, by `next`: the youngest first */
	bool busy;                       /* nghttp2 is at work */
	bool saying, ends;               /* it is, and says something; an end among that */
};

bool vcr_gate_http2_chosen(const struct vcr_gate_exchange *c)
{
	const unsigned char *word = NULL;
	unsigned n = 0;
	SSL_get0_alpn_selected(c->ssl, &word, &n);
	return n == 2 && !memcmp(word, "h2", 2);
}

bool vcr_gate_http2_preface(const char *p, size_t n, bool *whole)
{
	size_t all = sizeof preface - 1;
	*whole = n >= all;
	return n && !memcmp(p, preface, *whole ? all : n);
}

/* ---- Streams ---- */

/* Out of its connection's list, if that is still there. */
static void unlink_stream(struct vcr_gate_exchange *x)
{
	if (x->prev)
		x->prev->next = x->next;
	else if (x->on)
		x->on->http2->first = x->next;
	else
		x->gate->orphans = x->next;
	if (x->next)
		x->next->prev = x->prev;
	x->prev = x->next = NULL;
}

static void link_stream(struct vcr_gate_exchange *x, struct vcr_gate_exchange **first)
{
	x->prev = NULL;
	if ((x->next = *first))
		x->next->prev = x;
	*first = x;
}

void vcr_gate_http2_free_stream(struct vcr_gate_exchange *x)
{
	unlink_stream(x);
	x->gate->stats.held -= x->held;
	if (x->later)
		event_free(x->later);
	vcr_gate_http_release(x);
	vcr_buf_release(&x->early);
	vcr_buf_release(&x->out);
	vcr_buf_release(&x->pending);
	free(x);
}

static struct vcr_gate_exchange *new_stream(struct vcr_gate_exchange *c, int32_t id)
{
	struct vcr_gate *g = c->gate;
	struct vcr_gate_exchange *x = calloc(1, sizeof *x);
	if (!x)
		return NULL;
	x->gate = g;
	x->on = c;
	x->stream = id;
	x->fd = -1;
	x->state = HTTP;
	x->pid = c->pid;
	x->left = -1;
	vcr_buf_init(&x->early, 0);
	vcr_buf_init(&x->out, 0);
	vcr_buf_init(&x->text, VCR_MAX_GATE_HEAD);
	vcr_buf_init(&x->body, VCR_MAX_HTTP_BODY);
	vcr_buf_init(&x->pending, 0);
	link_stream(x, &c->http2->first);
	if (!(x->later = event_new(g->o.base, -1, 0, vcr_gate_conn_later, x))) {
		vcr_gate_http2_free_stream(x);
		return NULL;
	}
	x->deadline_ms = vcr_gate_now_ms() + g->o.head_ms;
	c->state = ANSWER;
	return x;
}

static void go_away(struct vcr_gate_exchange *x);

/* Nothing more goes over it. Its end is told from the loop. */
static void close_stream(struct vcr_gate_exchange *x)
{
	x->dead = true;
	vcr_gate_later(x);
}

void vcr_gate_http2_later(struct vcr_gate_exchange *x)
{
	struct vcr_gate_exchange *c = x->on;
	if (x->refused && !x->dead && !c->dead && !c->ended)
		go_away(x);
	const struct vcr_gate_handler *h = x->gate->o.handler;
	if (!x->dead || (c && x->finished && (!x->end_at || c->sent < x->end_at)))
		return; /* its last bytes are still here: vcr_gate_http2_sent */
	if (x->told && h->done)
		h->done(x->gate->o.ctx, x, x->finished ? VCR_GATE_DELIVERED : VCR_GATE_GONE);
	vcr_gate_http2_free_stream(x);
	if (c && !c->http2->first && !c->ended)
		c->state = HTTP; /* idle */
}

/* The connection is over, and they with it. */
void vcr_gate_http2_release(struct vcr_gate_exchange *c)
{
	struct vcr_gate_http2 *h = c->http2;
	if (!h)
		return;
	nghttp2_session_del(h->session);
	for (struct vcr_gate_exchange *x; (x = h->first);) {
		unlink_stream(x);
		x->on = NULL;
		x->finished = x->finished && x->end_at && c->sent >= x->end_at;
		link_stream(x, &c->gate->orphans);
		close_stream(x);
	}
	free(h);
	c->http2 = NULL;
}

/* ---- Sending ---- */

/* What nghttp2 has to say becomes pending. True: as much as may wait, so there may be more. */
static bool take_frames(struct vcr_gate_exchange *c)
{
	struct vcr_gate_http2 *h = c->http2;
	const uint8_t *p;
	ssize_t n = 1;
	h->busy = h->saying = true;
	while (n > 0 && c->out.len - c->out_at + c->pending.len < VCR_MAX_GATE_BACKLOG)
		if ((n = nghttp2_session_mem_send(h->session, &p)) > 0)
			vcr_buf_add(&c->pending, p, (size_t)n);
	h->busy = h->saying = false;
	if (n < 0)
		vcr_gate_kill(c);
	return n > 0;
}

/* What is pending has become bytes: with the last of them the streams that end there have ended. */
static void mark_ends(struct vcr_gate_exchange *c)
{
	for (struct vcr_gate_exchange *x = c->http2->first; x && c->http2->ends; x = x->next)
		if (x->finished && !x->end_at)
			x->end_at = c->sent + (c->out.len - c->out_at);
	c->http2->ends = false;
}

/* All that nghttp2 has to say and the client takes. As long as the kernel has taken everything nobody else will ask for more. */
static void pump(struct vcr_gate_exchange *c)
{
	struct vcr_gate_http2 *h = c->http2;
	bool more = true;
	if (h->busy || c->dead)
		return;
	while (more && !c->dead) {
		more = take_frames(c);
		vcr_gate_conn_push(c);
		if (!c->dead)
			mark_ends(c);
		vcr_gate_conn_send(c);
		more = more && c->out_at == c->out.len;
	}
	vcr_gate_hold(c);
	if (!c->dead && !c->ended && !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session))
		vcr_gate_end_connection(c, VCR_CUT_CLOSE);
}

/* NAME NUL VALUE NUL, as often as there are. */
static size_t pairs_of(const struct vcr_buf *b, nghttp2_nv nv[VCR_MAX_HTTP_FIELDS + 2])
{
	size_t n = 0;
	for (char *p = b->data, *end = b->data + b->len; p < end && n < VCR_MAX_HTTP_FIELDS + 2; n++) {
		char *value = p + strlen(p) + 1;
		nv[n] = (nghttp2_nv){ (uint8_t *)p, (uint8_t *)value, strlen(p), strlen(value), NGHTTP2_NV_FLAG_NONE };
		p = value + strlen(value) + 1;
	}
	return n;
}

static void add_pair(struct vcr_buf *b, const char *name, const char *value)
{
	for (const char *p = name; *p; p++)
		vcr_buf_putc(b, (char)tolower((unsigned char)*p));
	vcr_buf_putc(b, 0);
	vcr_buf_add(b, value, strlen(value) + 1);
}

/* A recording is hostile: what cannot be said is left out. */
static void add_fields(struct vcr_buf *b, const struct vcr_http1_field *field, size_t n)
{
	for (size_t i = 0; i < n && i < VCR_MAX_HTTP_FIELDS; i++)
		if (vcr_gate_http_may_say(&field[i]) && nghttp2_check_header_value((const uint8_t *)field[i].value, strlen(field[i].value)))
			add_pair(b, field[i].name, field[i].value);
}

static ssize_t give(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags, nghttp2_data_source *source, void *conn)
{
	struct vcr_gate_exchange *x = source->ptr;
	size_t left = x->pending.len - x->out_at, n = left < room ? left : room;
	nghttp2_nv nv[VCR_MAX_HTTP_FIELDS + 2];
	if (!n && !x->ended)
		return NGHTTP2_ERR_DEFERRED;
	memcpy(to, x->pending.data + x->out_at, n);
	x->out_at += n;
	if (x->out_at < x->pending.len)
		return (ssize_t)n;
	vcr_buf_reset(&x->pending);
	x->out_at = 0;
	if (!x->ended)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (x->out.len) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (nghttp2_submit_trailer(session, id, nv, pairs_of(&x->out, nv)))
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	return (ssize_t)n;
}

/* The head goes out, or what is behind it goes on. A whole answer without a body is its head alone: gRPC tells the one from the other. */
static void submit(struct vcr_gate_exchange *x)
{
	nghttp2_session *s = x->on->http2->session;
	const nghttp2_data_provider body = { .source.ptr = x, .read_callback = give };
	nghttp2_nv nv[VCR_MAX_HTTP_FIELDS + 2];
	bool bare = x->ended && !x->pending.len && !x->out.len;
	if (!x->head_sent || (x->submitted && !x->bodied))
		return;
	if (x->submitted)
		nghttp2_session_resume_data(s, x->stream);
	else if (nghttp2_submit_response(s, x->stream, nv, pairs_of(&x->early, nv), bare ? NULL : &body))
		nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, x->stream, NGHTTP2_INTERNAL_ERROR);
	x->bodied = !bare;
	x->submitted = true;
}

int vcr_gate_http2_head(struct vcr_gate_exchange *x, int status, const struct vcr_http1_field *field, size_t n, int64_t length)
{
	char number[24];
	if (x->dead)
		return VCR_EIO;
	if (x->state != ANSWER || x->head_sent || status < 100 || status > 999 || status == 101)
		return VCR_EINVAL;
	if (status < 200)
		return 0; /* nobody waits for it here */
	snprintf(number, sizeof number, "%d", status);
	vcr_buf_reset(&x->early);
	add_pair(&x->early, ":status", number);
	add_fields(&x->early, field, n);
	snprintf(number, sizeof number, "%lld", (long long)length);
	if (length >= 0 && vcr_http1_field(field, n, "content-length"))
		add_pair(&x->early, "content-length", number);
	x->no_body = x->head_method || status == 204 || status == 304;
	x->head_sent = true;
	return x->early.err;
}

int vcr_gate_http2_flush(struct vcr_gate_exchange *x)
{
	if (x->dead)
		return VCR_EIO;
	submit(x);
	pump(x->on);
	vcr_gate_hold(x);
	return x->dead && !x->finished ? VCR_EIO : 0;
}

int vcr_gate_http2_body(struct vcr_gate_exchange *x, const char *p, size_t n)
{
	if (x->dead)
		return VCR_EIO;
	if (x->state != ANSWER || !x->head_sent || x->ended)
		return VCR_EINVAL;
	if (!n || x->no_body)
		return 0;
	if (x->pending.len) /* a frame for each piece, as long as they are taken */
		vcr_gate_http2_flush(x);
	return vcr_buf_add(&x->pending, p, n);
}

int vcr_gate_http2_end(struct vcr_gate_exchange *x)
{
	if (x->dead)
		return VCR_EIO;
	if (x->state != ANSWER || !x->head_sent || x->ended)
		return VCR_EINVAL;
	x->ended = true;
	return vcr_gate_http2_flush(x);
}

void vcr_gate_http2_cut(struct vcr_gate_exchange *x, enum vcr_gate_cut how)
{
	struct vcr_gate_exchange *c = x->on;
	if (x->dead || x->ended)
		return;
	vcr_gate_http2_flush(x);
	x->ended = true;
	x->finished = !c->dead && x->pending.len == x->out_at;
	x->end_at = c->sent + (c->out.len - c->out_at);
	if (!c->dead && !c->ended)
		vcr_gate_end_connection(c, how);
}

void vcr_gate_http2_reset(struct vcr_gate_exchange *x, uint32_t code)
{
	if (x->dead || x->ended)
		return;
	vcr_gate_http2_flush(x);
	x->ended = true;
	x->ends_by = code;
	nghttp2_submit_rst_stream(x->on->http2->session, NGHTTP2_FLAG_NONE, x->stream, code);
	pump(x->on);
}

/* A client asks a stream again that GOAWAY refuses, but not one that it has heard something of. */
static bool is_heard_after(const struct vcr_gate_exchange *x)
{
	for (const struct vcr_gate_exchange *y = x->on->http2->first; y; y = y->next)
		if (y->stream > x->stream && y->head_sent && !y->dead)
			return true;
	return false;
}

static void go_away(struct vcr_gate_exchange *x)
{
	nghttp2_session *s = x->on->http2->session;
	x->refused = false;
	if (is_heard_after(x))
		nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, x->stream, NGHTTP2_REFUSED_STREAM);
	else
		nghttp2_submit_goaway(s, NGHTTP2_FLAG_NONE, x->stream > 1 ? x->stream - 2 : 0, x->goaway, NULL, 0);
	pump(x->on);
}

/* From the loop: by then what came with it is asked too, and known to be refused or not. */
void vcr_gate_http2_go_away(struct vcr_gate_exchange *x, uint32_t code)
{
	if (x->dead || x->ended)
		return;
	vcr_gate_http2_flush(x);
	x->ended = x->refused = true;
	x->ends_by = NGHTTP2_REFUSED_STREAM;
	x->goaway = code;
	vcr_gate_later(x);
}

int vcr_gate_trailers(struct vcr_gate_exchange *x, const struct vcr_http1_field *field, size_t n)
{
	if (!x->on)
		return 0;
	if (x->dead || x->ended)
		return x->dead ? VCR_EIO : VCR_EINVAL;
	vcr_buf_reset(&x->out);
	add_fields(&x->out, field, n);
	return x->out.err;
}

int vcr_gate_grpc(struct vcr_gate_exchange *x, int status, const char *words)
{
	VCR_AUTO_BUF escaped = VCR_BUF_INIT;
	char number[16];
	snprintf(number, sizeof number, "%d", status);
	vcr_grpc_escape(words, &escaped);
	const struct vcr_http1_field field[] = { { "content-type", "application/grpc" }, { "grpc-status", number }, { "grpc-message", escaped.data } };
	int err = vcr_gate_head(x, 200, "OK", field, 3, -1);
	return err ? err : vcr_gate_end(x);
}

/* ---- Requests ---- */

static int on_begin(nghttp2_session *s, const nghttp2_frame *f, void *conn)
{
	if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct vcr_gate_exchange *x = new_stream(conn, f->hd.stream_id);
	if (x)
		nghttp2_session_set_stream_user_data(s, f->hd.stream_id, x);
	return x ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_field(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t nname, const uint8_t *value, size_t nvalue, uint8_t flags, void *conn)
{
	struct vcr_gate_exchange *x = nghttp2_session_get_stream_user_data(s, f->hd.stream_id);
	if (!x || x->head_done || x->refuse)
		return 0;
	if (++x->nfield > VCR_MAX_HTTP_FIELDS || memchr(name, 0, nname) || memchr(value, 0, nvalue))
		x->refuse = 431;
	vcr_buf_add(&x->text, name, nname);
	vcr_buf_putc(&x->text, 0);
	vcr_buf_add(&x->text, value, nvalue);
	vcr_buf_putc(&x->text, 0);
	if (x->text.err)
		x->refuse = 431;
	return 0;
}

/* ":authority" is what Host is elsewhere. */
static int read_head(struct vcr_gate_exchange *x)
{
	size_t n = 0;
	const char *host = NULL;
	if (!(x->field = calloc(x->nfield + 1, sizeof *x->field)))
		return 503;
	for (const char *p = x->text.data, *end = p + x->text.len; p < end;) {
		const char *name = p, *value = p + strlen(p) + 1;
		p = value + strlen(value) + 1;
		if (!strcmp(name, ":method"))
			x->request.method = value;
		else if (!strcmp(name, ":path"))
			x->request.target = value;
		else if (!strcmp(name, ":authority"))
			host = value;
		else if (*name != ':')
			x->field[n++] = (struct vcr_http1_field){ name, value };
	}
	if (host && !vcr_http1_field(x->field, n, "host")) {
		memmove(x->field + 1, x->field, n++ * sizeof *x->field);
		*x->field = (struct vcr_http1_field){ "host", host };
	}
	x->request.field = x->field;
	x->request.nfield = x->nfield = n;
	return x->request.method && x->request.target && strcmp(x->request.method, "CONNECT") ? 0 : 400;
}

/* Whose it is, the connection knows. */
static int place(struct vcr_gate_exchange *x)
{
	struct vcr_gate_exchange *c = x->on;
	struct vcr_http1_head h = { .method = x->request.method, .target = x->request.target, .field = x->field, .nfield = x->nfield, .content_length = -1 };
	for (const char *p = h.target; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 127)
			return 400;
	c->request = (struct vcr_gate_request){ .way = c->way, .pid = c->pid, .target = h.target, .method = h.method };
	c->is_connect = false;
	int status = vcr_gate_connect_authorise(c, &h);
	if (status || (status = vcr_gate_connect_place(c, &h)))
		return status;
	if (!(x->host_text = strdup(c->request.host)))
		return 503;
	x->request.way = c->request.way;
	x->request.tls = c->request.tls;
	x->request.target = c->request.target;
	x->request.host = x->host_text;
	x->request.pid = x->pid = c->pid;
	return 0;
}

static void take_head(struct vcr_gate_exchange *x)
{
	int status = x->refuse ? x->refuse : read_head(x);
	x->head_done = true;
	x->request.http2 = true;
	x->request.minor = 1;
	x->refuse = status ? status : place(x);
	if (!x->refuse && !vcr_gate_hold(x))
		x->refuse = 503;
	x->head_method = x->request.method && !strcmp(x->request.method, "HEAD");
	x->deadline_ms = vcr_gate_now_ms() + x->gate->o.idle_ms;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *conn)
{
	struct vcr_gate_exchange *x = f->hd.stream_id ? nghttp2_session_get_stream_user_data(s, f->hd.stream_id) : NULL;
	if (!x || (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA))
		return 0;
	if (f->hd.type == NGHTTP2_HEADERS && !x->head_done)
		take_head(x);
	x->stop |= f->hd.flags & NGHTTP2_FLAG_END_STREAM || x->refuse;
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *conn)
{
	struct vcr_gate_exchange *x = nghttp2_session_get_stream_user_data(s, id);
	if (!x || x->refuse)
		return 0;
	x->deadline_ms = vcr_gate_now_ms() + x->gate->o.idle_ms;
	if (vcr_buf_add(&x->body, p, n))
		x->refuse = 413;
	else if (!vcr_gate_hold(x))
		x->refuse = 503;
	x->stop |= x->refuse != 0;
	return 0;
}

static int on_closed(nghttp2_session *s, int32_t id, uint32_t code, void *conn)
{
	struct vcr_gate_exchange *x = nghttp2_session_get_stream_user_data(s, id), *c = conn;
	if (!x)
		return 0;
	x->finished = c->http2->saying && x->ended && code == x->ends_by;
	c->http2->ends |= x->finished;
	close_stream(x);
	return 0;
}

static void refuse(struct vcr_gate_exchange *x)
{
	int status = x->refuse;
	const char *words = vcr_gate_http_words(status);
	*(status == 403 || status == 407 ? &x->gate->stats.refused : &x->gate->stats.malformed) += 1;
	if (x->field && vcr_grpc_is(vcr_http1_field(x->field, x->nfield, "content-type")))
		vcr_gate_grpc(x, status == 403 || status == 407 ? PERMISSION_DENIED : status == 400 ? INVALID_ARGUMENT : RESOURCE_EXHAUSTED, words);
	else
		vcr_gate_simple(x, status, NULL, words, strlen(words), NULL);
}

static void dispatch(struct vcr_gate_exchange *x)
{
	struct vcr_gate *g = x->gate;
	x->state = ANSWER;
	x->deadline_ms = 0;
	if (x->refuse) {
		refuse(x);
		return;
	}
	vcr_gate_touch(x->on);
	g->stats.requests++;
	if (g->o.spoke && (x->request.pid > 0 || x->on->by_proxy))
		g->o.spoke(g->o.meant_ctx, x->request.pid);
	x->request.body = x->body.data;
	x->request.nbody = x->body.len;
	x->told = true;
	g->o.handler->request(g->o.ctx, x, &x->request);
}

/* What the handler may write goes on, in the order in which it was asked; none of these is freed but from the loop. */
static void look_after(struct vcr_gate_exchange *c)
{
	const struct vcr_gate_handler *h = c->gate->o.handler;
	struct vcr_gate_exchange *x = c->http2->first;
	while (x && x->next)
		x = x->next;
	for (; x && !c->dead && c->http2; x = x->prev)
		if (x->stop && x->state == HTTP && !x->dead)
			dispatch(x);
		else if (h->drained && x->told && !x->dead && !x->ended && vcr_gate_backlog(x) < LOW)
			h->drained(c->gate->o.ctx, x);
}

void vcr_gate_http2_input(struct vcr_gate_exchange *c, const char *p, size_t n)
{
	struct vcr_gate_http2 *h = c->http2;
	h->busy = true;
	ssize_t used = nghttp2_session_mem_recv(h->session, (const uint8_t *)p, n);
	h->busy = false;
	if (used < 0) {
		c->gate->stats.malformed++;
		vcr_gate_kill(c);
		return;
	}
	pump(c);
	if (!c->dead && c->http2)
		look_after(c);
	if (!c->dead && vcr_gate_backlog(c) > VCR_MAX_GATE_BACKLOG)
		vcr_gate_conn_read(c, false); /* until it has read what was said */
}

void vcr_gate_http2_writable(struct vcr_gate_exchange *c)
{
	pump(c);
	if (!c->dead && c->http2)
		look_after(c);
}

void vcr_gate_http2_sent(struct vcr_gate_exchange *c)
{
	for (struct vcr_gate_exchange *x = c->http2->first; x; x = x->next)
		if (x->dead)
			vcr_gate_later(x);
}

void vcr_gate_http2_sweep(struct vcr_gate_exchange *c, int64_t now)
{
	bool some = false;
	for (struct vcr_gate_exchange *x = c->http2->first; x; x = x->next) {
		if (x->dead || !x->deadline_ms || now <= x->deadline_ms)
			continue;
		c->gate->stats.timed_out++;
		x->deadline_ms = 0;
		nghttp2_submit_rst_stream(c->http2->session, NGHTTP2_FLAG_NONE, x->stream, NGHTTP2_CANCEL);
		some = true;
	}
	if (some)
		pump(c);
}

/* ---- Beginnings ---- */

/* The whole connection goes on its way as it is, if the handler takes it. */
static bool relay(struct vcr_gate_exchange *c)
{
	const struct vcr_gate *g = c->gate;
	if (!c->authorised || !g->o.handler->relay || vcr_gate_connect_named(c))
		return false;
	c->socket = c->head_sent = c->told = true;
	if (g->o.handler->relay(g->o.ctx, c, &c->request))
		return true;
	c->socket = c->head_sent = c->told = false;
	return false;
}

static nghttp2_session *new_session(struct vcr_gate_exchange *c)
{
	static const nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS }, { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, VCR_MAX_GATE_HEAD } };
	nghttp2_session_callbacks *cb;
	nghttp2_session *s = NULL;
	if (nghttp2_session_callbacks_new(&cb))
		return NULL;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_field);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_closed);
	if (!nghttp2_session_server_new(&s, cb, c) && (nghttp2_submit_settings(s, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings) ||
	    nghttp2_session_set_local_window_size(s, NGHTTP2_FLAG_NONE, 0, WINDOW))) {
		nghttp2_session_del(s);
		s = NULL;
	}
	nghttp2_session_callbacks_del(cb);
	return s;
}

static void speak(struct vcr_gate_exchange *c)
{
	struct vcr_gate_http2 *h = calloc(1, sizeof *h);
	if (!h || !(h->session = new_session(c))) {
		free(h);
		vcr_gate_kill(c);
		return;
	}
	c->http2 = h;
	c->state = HTTP;
	pump(c);
}

void vcr_gate_http2_begin(struct vcr_gate_exchange *c)
{
	struct vcr_gate *g = c->gate;
	vcr_gate_http_begin(c);
	c->request.method = "PRI";
	c->request.target = "*";
	c->state = ANSWER;
	c->deadline_ms = 0;
	vcr_gate_touch(c);
	if (!relay(c))
		speak(c);
	else if (g->o.spoke && (c->pid > 0 || c->by_proxy))
		g->o.spoke(g->o.meant_ctx, c->pid);
}
