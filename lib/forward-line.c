/* forward-line.c — connections that curl makes and on which we speak HTTP/1.1: curl_easy_send, curl_easy_recv, http1.h.
 *
 * One request at a time. A line that has answered in full and stays open is kept for the next request to the same host, most recent first; what the server
 * says on it meanwhile, or its end, closes it. Where a kept line ends before a byte of an answer has come, the server had given it up already: the request
 * goes over a new one, once, as curl does it. A WebSocket is an answer that begins with 101 and ends with the line; what the client says meanwhile is sent as
 * a request is. A relay of HTTP/2 is so from its beginning, on a connection whose TLS has agreed upon that; either is nobody else's. */
#include "forward-parts.h"
#include "limits.h"
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { STOP = 1, FIRST_BYTES = 16 << 10, PART_BYTES = 64 << 10, KEEP_BYTES = 64 << 10, MOST_IDLE = 32, READS = 64, PORT_HTTP = 80, PORT_TLS = 443 };
#define IDLE_NS (118ull * 1000000000u) /* curl's own limit for connections that it keeps */

struct line {
	struct vcr_forward *f;
	struct line *next;        /* idle */
	struct transfer *t;       /* whose request is on it; NULL idle */
	CURL *easy;               /* in curl's hands until it is connected; stays in the multi handle */
	curl_socket_t fd;
	int given;                /* until curl takes it: the tunnel that it is to go through, found at its only */
	struct curl_slist *to;    /* address; -1 none */
	struct event *read, *write;
	bool reading, writing;
	char *host;
	bool tls;
	char error[CURL_ERROR_SIZE];
	struct vcr_http1 *http;   /* the server's side */
	uint64_t idle_ns;         /* since when */
	bool kept;                /* it has carried requests before this one */
	bool answered;            /* bytes of the answer have come */
	bool ended, open;         /* all of it has; and the connection stays open behind it */
	bool broken;              /* no more of the request goes out; the server may have answered before */
	struct vcr_buf up;        /* the request: its head, and as much of its body as goes into the same record */
	const char *body;         /* the rest */
	size_t nbody, sent;       /* bytes of the rest; of all */
};

/* ---- Its life ---- */

void vcr_line_close(struct line *l)
{
	if (l->t)
		l->t->line = NULL;
	if (l->read)
		event_free(l->read);
	if (l->write)
		event_free(l->write);
	if (l->easy) {
		curl_multi_remove_handle(l->f->multi, l->easy);
		curl_easy_cleanup(l->easy);
	}
	if (l->given >= 0)
		close(l->given);
	curl_slist_free_all(l->to);
	vcr_http1_free(l->http);
	vcr_buf_release(&l->up);
	free(l->host);
	free(l);
}

void vcr_line_close_idle(struct vcr_forward *f)
{
	for (struct line *l; (l = f->idle);) {
		f->idle = l->next;
		vcr_line_close(l);
	}
}

static void forget_idle(struct line *l)
{
	struct line **at = &l->f->idle;
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
}

/* The one that was used longest ago gives way. */
static void keep(struct line *l)
{
	struct vcr_forward *f = l->f;
	unsigned n = 1;
	l->t = NULL;
	l->kept = true;
	l->idle_ns = vcr_forward_now_ns();
	if (l->up.cap > KEEP_BYTES)
		vcr_buf_release(&l->up);
	l->next = f->idle;
	f->idle = l;
	for (struct line **at = &l->next; *at;)
		if (++n > MOST_IDLE || l->idle_ns - (*at)->idle_ns > IDLE_NS) {
			struct line *old = *at;
			*at = old->next;
			vcr_line_close(old);
		} else {
			at = &(*at)->next;
		}
}

/* What the server has said or done on it and the loop has not seen yet is seen here. */
static struct line *take_idle(struct vcr_forward *f, const char *host, bool tls)
{
	for (struct line *l = f->idle, *next; l; l = next) {
		next = l->next;
		if (l->tls != tls || strcasecmp(l->host, host))
			continue;
		forget_idle(l);
		if (vcr_forward_now_ns() - l->idle_ns < IDLE_NS && vcr_forward_is_quiet(l->fd))
			return l;
		vcr_line_close(l);
	}
	return NULL;
}

/* `host` as requests have it: with its port, unless that is the usual one. */
static bool leads_to(const struct line *l, const char *host, int port)
{
	size_t n = strlen(host);
	if (strncasecmp(l->host, host, n))
		return false;
	return l->host[n] == ':' ? atoi(l->host + n + 1) == port : !l->host[n] && port == (l->tls ? PORT_TLS : PORT_HTTP);
}

int vcr_line_idle_to(const struct vcr_forward *f, const char *host, int port)
{
	char name[VCR_GATE_HOST];
	snprintf(name, sizeof name, strchr(host, ':') ? "[%s]" : "%s", host);
	for (const struct line *l = f->idle; l; l = l->next)
		if (leads_to(l, name, port) && vcr_forward_now_ns() - l->idle_ns < IDLE_NS && vcr_forward_is_quiet(l->fd))
			return l->fd;
	return -1;
}

/* ---- The answer ---- */

/* Where a head ends: behind its first empty line, those before the start line not counted. */
static size_t end_of_head(const char *p, size_t n)
{
	bool begun = false;
	for (const char *at = p, *lf; (lf = memchr(at, '\n', n - (size_t)(at - p))); at = lf + 1) {
		bool empty = lf == at || (lf == at + 1 && *at == '\r');
		if (begun && empty)
			return (size_t)(lf + 1 - p);
		begun |= !empty;
	}
	return n;
}

/* Is what comes the answer's body? */
static bool has_head(const struct transfer *t)
{
	return t->status >= 200 || t->switched;
}

static int on_head(void *line, const struct vcr_http1_head *h)
{
	struct line *l = line;
	struct transfer *t = l->t;
	size_t n = end_of_head(t->head.data, t->head.len);
	if (h->upgrade && !t->socket)
		return VCR_ESYNTAX; /* nobody asked for it */
	vcr_forward_show_in(t, t->head.data, n);
	vcr_buf_drop(&t->head, n);
	vcr_forward_head(t, h);
	if (has_head(t))
		vcr_buf_reset(&t->head);
	l->open = h->keep_alive && (t->no_body || !t->until_eof);
	return 0;
}

static int on_body(void *line, const char *p, size_t n)
{
	return vcr_forward_body(((struct line *)line)->t, p, n);
}

static int on_end(void *line, const struct vcr_http1_field *trailer, size_t n)
{
	((struct line *)line)->ended = true;
	return STOP;
}

/* The transfer is over; the line is kept if it can be. The client first. */
static void end(struct line *l, CURLcode code)
{
	struct transfer *t = l->t;
	struct vcr_forward *f = l->f;
	vcr_forward_over(t, code);
	t->line = NULL;
	l->t = NULL;
	vcr_forward_deliver(f);
	size_t n = 0; /* TLS may have read on: the socket does not show that */
	if (!code && l->ended && l->open && vcr_line_sent(l) && curl_easy_recv(l->easy, f->scratch, 1, &n) == CURLE_AGAIN)
		keep(l);
	else
		vcr_line_close(l);
}

static struct line *new_line(struct transfer *t, const char *host);

/* Another line takes the request along. */
static bool try_again(struct line *l)
{
	struct line *other = new_line(l->t, l->host);
	if (!other)
		return false;
	struct vcr_buf up = other->up;
	other->up = l->up;
	l->up = up;
	other->body = l->body;
	other->nbody = l->nbody;
	l->t = NULL;
	vcr_line_close(l);
	vcr_forward_act(other->f, CURL_SOCKET_TIMEOUT, 0);
	return true;
}

/* Why it did not go well, before the line is gone. */
static void note_error(const struct line *l)
{
	long err = 0;
	curl_easy_getinfo(l->easy, CURLINFO_OS_ERRNO, &err);
	l->t->os_error = (int)err;
	memcpy(l->t->error, l->error, sizeof l->error);
}

/* It has ended before its answer has. */
static void fail(struct line *l, CURLcode code)
{
	if (l->kept && !l->answered && try_again(l))
		return;
	note_error(l);
	end(l, code);
}

static void end_of_bytes(struct line *l)
{
	if (!l->answered || l->t->relay || vcr_http1_eof(l->http) < 0)
		fail(l, CURLE_PARTIAL_FILE);
	else
		end(l, l->ended ? CURLE_OK : CURLE_PARTIAL_FILE);
}

/* False: the line is not the transfer's any more. */
static bool take(struct line *l, size_t n)
{
	struct transfer *t = l->t;
	uint64_t before, after;
	l->answered = true;
	if (t->relay)
		return !vcr_forward_body(t, l->f->scratch, n);
	if (!has_head(t) && vcr_buf_add(&t->head, l->f->scratch, n)) {
		fail(l, CURLE_OUT_OF_MEMORY);
		return false;
	}
	vcr_http1_why(l->http, &before);
	int err = vcr_http1_feed(l->http, l->f->scratch, n);
	vcr_http1_why(l->http, &after);
	if (l->ended) {
		l->open &= after - before == n; /* what comes behind an answer answers nothing */
		end(l, CURLE_OK);
		return false;
	}
	if (err)
		fail(l, CURLE_WEIRD_SERVER_REPLY);
	return !err;
}

static void watch_reads(struct line *l, bool on)
{
	if (l->reading == on)
		return;
	l->reading = on;
	if (on)
		event_add(l->read, NULL);
	else
		event_del(l->read);
}

/* Until nothing is left, for what TLS has taken from the socket no event will tell of. Each read is passed on before the next. */
static void read_some(struct line *l)
{
	struct vcr_forward *f = l->f;
	f->notified = false;
	for (int i = 0; i < READS; i++) {
		struct transfer *t = l->t;
		size_t n = 0;
		CURLcode code = curl_easy_recv(l->easy, f->scratch, sizeof f->scratch, &n);
		if (code == CURLE_AGAIN && !l->broken)
			return;
		if (code) {
			fail(l, l->broken ? CURLE_SEND_ERROR : CURLE_RECV_ERROR);
			return;
		}
		if (!n) {
			end_of_bytes(l);
			return;
		}
		if (!take(l, n))
			return;
		vcr_forward_deliver(f);
		if (t->x && vcr_gate_backlog(t->x) > VCR_MAX_GATE_BACKLOG) {
			t->paused = true;
			watch_reads(l, false);
			return;
		}
	}
	event_active(l->read, EV_READ, 0);
}

void vcr_line_resume(struct line *l)
{
	watch_reads(l, true);
	event_active(l->read, EV_READ, 0);
}

static void on_readable(evutil_socket_t fd, short what, void *line)
{
	struct line *l = line;
	size_t n = 0;
	if (l->t) {
		if (l->reading)
			read_some(l);
	} else if (curl_easy_recv(l->easy, l->f->scratch, 1, &n) != CURLE_AGAIN) { /* a session ticket is nothing to the line, all else is its end */
		forget_idle(l);
		vcr_line_close(l);
	}
}

/* ---- The request ---- */

bool vcr_line_is_made(const struct line *l)
{
	return l->read;
}

bool vcr_line_sent(const struct line *l)
{
	return l->sent == l->up.len + l->nbody;
}

static void add_line(struct vcr_buf *b, const char *name, const char *value)
{
	vcr_buf_puts(b, name);
	vcr_buf_puts(b, *value ? ": " : ":");
	vcr_buf_puts(b, value);
	vcr_buf_puts(b, "\r\n");
}

/* Host first, then what the client sent, in its order, less what is the connection's; a body that came in chunks has its length behind them. */
static int write_request(struct line *l, const struct vcr_gate_request *q)
{
	struct vcr_buf *b = &l->up;
	bool framed = vcr_http1_field(q->field, q->nfield, "transfer-encoding") != NULL, sized = vcr_http1_field(q->field, q->nfield, "content-length") != NULL;
	vcr_buf_reset(b);
	vcr_buf_reserve(b, FIRST_BYTES);
	vcr_buf_puts(b, q->method);
	vcr_buf_putc(b, ' ');
	vcr_buf_puts(b, q->target);
	vcr_buf_puts(b, " HTTP/1.1\r\n");
	add_line(b, "Host", q->host);
	for (size_t i = 0; i < q->nfield; i++)
		if (!vcr_forward_is_hop(q->field[i].name) && strcasecmp(q->field[i].name, "host") && !(framed && !strcasecmp(q->field[i].name, "content-length")))
			add_line(b, q->field[i].name, q->field[i].value);
	if (l->t->socket)
		vcr_buf_puts(b, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
	if (framed && (q->nbody || sized))
		vcr_buf_printf(b, "Content-Length: %zu\r\n", q->nbody);
	vcr_buf_puts(b, "\r\n");
	size_t n = b->len >= FIRST_BYTES ? 0 : FIRST_BYTES - b->len;
	n = n < q->nbody ? n : q->nbody;
	vcr_buf_add(b, q->body, n);
	l->body = q->body + n; /* the gate keeps it until the exchange's end */
	l->nbody = q->nbody - n;
	return b->err;
}

static void watch_writes(struct line *l, bool on)
{
	if (l->writing == on)
		return;
	l->writing = on;
	if (on)
		event_add(l->write, NULL);
	else
		event_del(l->write);
}

/* What TLS could not send at once it wants to be given again, the same bytes in the same place. */
static void send_more(struct line *l)
{
	while (!vcr_line_sent(l)) {
		bool first = l->sent < l->up.len;
		const char *p = first ? l->up.data + l->sent : l->body + (l->sent - l->up.len);
		size_t left = first ? l->up.len - l->sent : l->up.len + l->nbody - l->sent, n = 0;
		CURLcode code = curl_easy_send(l->easy, p, left < PART_BYTES ? left : PART_BYTES, &n);
		if (code == CURLE_AGAIN) {
			watch_writes(l, true);
			return;
		}
		if (code) {
			l->broken = true;
			event_active(l->read, EV_READ, 0);
			break;
		}
		l->sent += n;
		l->t->begun = true;
	}
	watch_writes(l, false);
	if (l->t->x && l->t->switched)
		vcr_gate_full(l->t->x, false);
}

void vcr_line_say(struct line *l, const char *p, size_t n)
{
	if (vcr_line_sent(l))
		l->nbody = 0;
	if (!l->nbody) {
		vcr_buf_drop(&l->up, l->sent < l->up.len ? l->sent : l->up.len);
		l->sent = 0;
	}
	if (l->nbody || vcr_buf_add(&l->up, p, n)) { /* behind the rest of a body, which a request for a WebSocket has not */
		l->broken = true;
		event_active(l->read, EV_READ, 0);
		return;
	}
	if (!l->writing)
		send_more(l);
	if (l->t && l->up.len - l->sent > VCR_MAX_GATE_BACKLOG)
		vcr_gate_full(l->t->x, true);
}

static void on_writable(evutil_socket_t fd, short what, void *line)
{
	struct line *l = line;
	if (l->t && l->writing)
		send_more(l);
}

/* ---- Beginnings ---- */

static CURLcode on_ssl_ctx(CURL *easy, void *ssl_ctx, void *forward)
{
	SSL_CTX_set_read_ahead(ssl_ctx, 1); /* a record in one read, not in two; read_some leaves nothing behind in it */
	SSL_CTX_set_mode(ssl_ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER); /* what a WebSocket's client says grows behind what waits */
	return vcr_forward_ssl_ctx(easy, ssl_ctx, forward);
}

static CURLcode on_ssl_ctx_http2(CURL *easy, void *ssl_ctx, void *forward)
{
	struct transfer *t = NULL;
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
	vcr_forward_wants_http2(ssl_ctx, t);
	return on_ssl_ctx(easy, ssl_ctx, forward);
}

static curl_socket_t give_socket(void *line, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct line *l = line;
	int fd = l->given;
	l->given = -1;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* Through a tunnel that there is already, if there is one. */
static int take_tunnel(struct line *l)
{
	char to[VCR_FORWARD_TO];
	l->given = l->tls ? vcr_forward_take_tunnel(l->f, l->host, to) : -1;
	if (l->given < 0)
		return 0;
	if (!(l->to = curl_slist_append(NULL, to)))
		return VCR_ENOMEM;
	curl_easy_setopt(l->easy, CURLOPT_CONNECT_TO, l->to);
	curl_easy_setopt(l->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(l->easy, CURLOPT_OPENSOCKETFUNCTION, give_socket);
	curl_easy_setopt(l->easy, CURLOPT_OPENSOCKETDATA, l);
	return 0;
}

static int set_options(struct line *l)
{
	CURL *c = l->easy;
	VCR_AUTO_BUF url = VCR_BUF_INIT;
	if (vcr_buf_printf(&url, "%s://%s/", l->t->tls ? "https" : "http", l->host))
		return VCR_ENOMEM;
	vcr_forward_prepare(l->f, c);
	curl_easy_setopt(c, CURLOPT_URL, url.data);
	curl_easy_setopt(c, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(c, CURLOPT_PRIVATE, l->t);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, l->error);
	curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, l->t->relay ? on_ssl_ctx_http2 : on_ssl_ctx);
	curl_easy_setopt(c, CURLOPT_SSL_ENABLE_ALPN, l->t->relay ? 0L : 1L); /* else curl would speak HTTP/2 itself */
	curl_easy_setopt(c, CURLOPT_HTTPPROXYTUNNEL, 1L);
	return take_tunnel(l);
}

/* One that is being connected; curl goes on with it when it is next let work. NULL: no memory. */
static struct line *new_line(struct transfer *t, const char *host)
{
	static const struct vcr_http1_events events = { on_head, on_body, on_end, on_body };
	struct line *l = calloc(1, sizeof *l), *before = t->line;
	if (!l)
		return NULL;
	l->f = t->f;
	l->t = t;
	l->fd = CURL_SOCKET_BAD;
	l->given = -1;
	l->tls = t->tls;
	vcr_buf_init(&l->up, 0);
	l->host = strdup(host);
	l->easy = l->host ? curl_easy_init() : NULL;
	l->http = vcr_http1_new(VCR_HTTP1_RESPONSE, &events, l);
	if (l->easy && l->http && !set_options(l) && curl_multi_add_handle(l->f->multi, l->easy) == CURLM_OK) {
		t->line = l;
		return l;
	}
	vcr_line_close(l);
	t->line = before;
	return NULL;
}

/* A request goes out on a line that is connected. */
static int start(struct line *l)
{
	l->answered = l->ended = l->open = l->broken = false;
	l->sent = 0;
	int err = vcr_http1_expect(l->http, l->t->no_body ? "HEAD" : "");
	if (!err)
		send_more(l);
	return err;
}

int vcr_line_begin(struct transfer *t, const struct vcr_gate_request *q)
{
	struct line *l = t->relay ? NULL : take_idle(t->f, q->host, t->tls);
	if (l) {
		l->t = t;
		t->line = l;
		return write_request(l, q) ? VCR_ENOMEM : start(l);
	}
	if (!(l = new_line(t, q->host)) || (!t->relay && write_request(l, q)))
		return VCR_ENOMEM;
	vcr_forward_act(t->f, CURL_SOCKET_TIMEOUT, 0);
	return 0;
}

static int connected(struct line *l)
{
	struct vcr_forward *f = l->f;
	if (curl_easy_getinfo(l->easy, CURLINFO_ACTIVESOCKET, &l->fd) || l->fd == CURL_SOCKET_BAD)
		return VCR_EIO;
	l->read = event_new(f->o.base, l->fd, EV_READ | EV_PERSIST, on_readable, l);
	l->write = event_new(f->o.base, l->fd, EV_WRITE | EV_PERSIST, on_writable, l);
	if (!l->read || !l->write)
		return VCR_ENOMEM;
	watch_reads(l, true);
	int err = start(l);
	if (!err && l->t->relay)
		vcr_forward_relays(l->t);
	return err;
}

void vcr_line_connected(struct transfer *t, CURLcode code)
{
	struct line *l = t->line;
	if (!code && t->relay && t->tls && !t->agreed) {
		strcpy(l->error, "it does not speak HTTP/2");
		code = CURLE_SSL_CONNECT_ERROR;
	}
	if (!code && connected(l))
		code = CURLE_OUT_OF_MEMORY;
	if (!code)
		return;
	note_error(l);
	vcr_line_close(l);
	vcr_forward_over(t, code);
}
