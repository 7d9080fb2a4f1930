#include "forward-parts.h"
#include "limits.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT_S = 120, HOLD_US = 100, HEAD_USUAL = 2048, PORT_TLS = 443, PORT_TLS_TOO = 8443 };

static int forward_index; /* in a TLS context: the module it works for */

uint64_t vcr_forward_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- What the sink sees ---- */

void vcr_forward_show_in(struct transfer *t, const char *p, size_t n)
{
	t->f->o.sink->in(t->f->o.ctx, t->conn, p, n, vcr_forward_now_ns());
}

static void add_line(struct vcr_buf *b, const char *name, const char *value)
{
	vcr_buf_puts(b, name);
	vcr_buf_puts(b, ": ");
	vcr_buf_puts(b, value);
	vcr_buf_puts(b, "\r\n");
}

void vcr_forward_show_open(struct transfer *t, const struct vcr_gate_request *q, uint64_t now)
{
	t->conn = t->f->o.next_conn ? t->f->o.next_conn(t->f->o.ctx) : ++t->f->conn;
	t->opened = true;
	t->f->o.sink->open(t->f->o.ctx, t->conn, q->tls, q->host, q->pid, t->relay, now);
}

/* The request as HTTP/1.1 with a length, however the client framed it. */
static void show_request(struct transfer *t, const struct vcr_gate_request *q)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	uint64_t now = vcr_forward_now_ns();
	const struct vcr_forward_sink *sink = t->f->o.sink;
	vcr_buf_reserve(&b, q->nbody + HEAD_USUAL);
	vcr_buf_printf(&b, "%s %s HTTP/1.%d\r\n", q->method, q->target, q->minor);
	for (size_t i = 0; i < q->nfield; i++)
		if (strcasecmp(q->field[i].name, "transfer-encoding") && strcasecmp(q->field[i].name, "content-length") && strcasecmp(q->field[i].name, "host") &&
		    strcasecmp(q->field[i].name, "proxy-authorization") && strcasecmp(q->field[i].name, "expect"))
			add_line(&b, q->field[i].name, q->field[i].value);
	add_line(&b, "Host", q->host);
	if (q->nbody || vcr_http1_field(q->field, q->nfield, "content-length") || vcr_http1_field(q->field, q->nfield, "transfer-encoding"))
		vcr_buf_printf(&b, "Content-Length: %zu\r\n", q->nbody);
	vcr_buf_puts(&b, "\r\n");
	vcr_buf_add(&b, q->body, q->nbody);
	vcr_forward_show_open(t, q, now);
	sink->out(t->f->o.ctx, t->conn, b.data, b.len, now);
}

void vcr_forward_show_close(struct transfer *t, int reason)
{
	if (t->opened)
		t->f->o.sink->close(t->f->o.ctx, t->conn, reason, vcr_forward_now_ns());
	t->opened = false;
}

/* ---- Delivery ---- */

static void ask_again_soon(struct vcr_forward *f)
{
	static const struct timeval soon = { 0, HOLD_US };
	if (!event_pending(f->hold, EV_TIMEOUT, NULL))
		event_add(f->hold, &soon);
}

static bool is_held(struct transfer *t)
{
	struct vcr_forward *f = t->f;
	if (!t->released && !t->tunnel && f->o.held && f->o.held(f->o.ctx, t->conn)) {
		ask_again_soon(f);
		return true;
	}
	t->released = true;
	return false;
}

static void go_on(struct transfer *t)
{
	t->paused = false;
	if (t->line)
		vcr_line_resume(t->line);
	else
		curl_easy_pause(t->easy, CURLPAUSE_CONT);
}

/* Send what there is. Where the kernel took all of it at once nobody will say that the backlog has become small: curl goes on right away. */
static void send_out(struct transfer *t)
{
	vcr_gate_flush(t->x);
	if (t->x && t->paused && !t->over && vcr_gate_backlog(t->x) <= VCR_MAX_GATE_BACKLOG)
		go_on(t);
}

/* The exchange goes its own way. */
static struct vcr_gate_exchange *leave(struct transfer *t)
{
	struct vcr_gate_exchange *x = t->x;
	if (x)
		vcr_gate_set_user(x, NULL);
	t->x = NULL;
	return x;
}

/* ---- The answer's head ---- */

bool vcr_forward_is_hop(const char *name)
{
	static const char *const list[] = { "connection", "proxy-connection", "proxy-authorization", "keep-alive", "transfer-encoding", "expect", "upgrade", "te" };
	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		if (!strcasecmp(name, list[i]))
			return true;
	return false;
}

void vcr_forward_head(struct transfer *t, const struct vcr_http1_head *h)
{
	t->status = h->status;
	t->chunked = h->chunked;
	t->no_body = h->status == 204 || h->status == 304 || t->no_body;
	t->until_eof = !h->chunked && h->content_length < 0;
	int64_t length = t->left = h->chunked ? -1 : h->content_length;
	t->switched = t->socket && h->upgrade;
	if (t->x && h->status != 100 && (h->status != 101 || t->switched))
		vcr_gate_head(t->x, h->status, h->reason, h->field, h->nfield, length);
	t->ready = true;
}

static int take_head(void *transfer, const struct vcr_http1_head *h)
{
	vcr_forward_head(transfer, h);
	return 1; /* the body is curl's */
}

/* Lines come one by one; the empty one completes a head. */
static size_t on_header(char *p, size_t size, size_t n, void *transfer)
{
	static const struct vcr_http1_events events = { take_head, NULL, NULL, NULL };
	struct transfer *t = transfer;
	n *= size;
	if (t->status >= 200) {
		if (t->stream)
			vcr_forward_stream_trailer(t, p, n);
		return n;
	}
	if (vcr_buf_add(&t->head, p, n) || t->head.len > VCR_MAX_HTTP_HEAD)
		return 0;
	if (!(n == 2 && p[0] == '\r') && !(n == 1 && p[0] == '\n'))
		return n;
	if (t->stream)
		vcr_forward_stream_head(&t->head);
	vcr_forward_show_in(t, t->head.data, t->head.len);
	struct vcr_http1 *h = vcr_http1_new(VCR_HTTP1_RESPONSE, &events, t);
	int err = h ? vcr_http1_feed(h, t->head.data, t->head.len) : VCR_ENOMEM;
	vcr_http1_free(h);
	vcr_buf_reset(&t->head);
	return err == 1 ? n : 0;
}

/* ---- Its body ---- */

/* Is curl done with the request's body, which is the exchange's? */
static bool is_sent(const struct transfer *t)
{
	curl_off_t sent = 0;
	if (t->quick)
		return !t->line || vcr_line_sent(t->line);
	return !curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent) && (size_t)sent == t->nbody;
}

int vcr_forward_body(struct transfer *t, const char *p, size_t n)
{
	if (t->chunked) {
		VCR_AUTO_BUF b = VCR_BUF_INIT;
		vcr_buf_printf(&b, "%zx\r\n", n);
		vcr_buf_add(&b, p, n);
		vcr_buf_puts(&b, "\r\n");
		vcr_forward_show_in(t, b.data, b.len);
	} else {
		vcr_forward_show_in(t, p, n);
	}
	if (vcr_gate_body(t->x, p, n))
		return -1; /* the client has left, which its own end says too */
	t->ready = true;
	t->left -= (int64_t)n;
	if (!t->left && is_sent(t) && !is_held(t)) { /* the client need not wait for what curl has to do yet */
		vcr_gate_end(leave(t));
		t->ready = false;
	}
	return 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *transfer)
{
	struct transfer *t = transfer;
	n *= size;
	if (!t->x)
		return 0;
	if (vcr_gate_backlog(t->x) > VCR_MAX_GATE_BACKLOG) {
		t->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	return vcr_forward_body(t, p, n) ? 0 : n;
}

/* ---- Trust ---- */

/* curl takes the end of the bytes and TLS's close_notify for the same; the client's end is to be as the server's was. */
static void on_tls(const SSL *ssl, int where, int ret)
{
	struct vcr_forward *f = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), forward_index);
	if (f && where & SSL_CB_HANDSHAKE_DONE)
		vcr_forward_agreed(f, ssl);
	if (f && where == SSL_CB_READ_ALERT && (ret & 0xff) == SSL_AD_CLOSE_NOTIFY)
		f->notified = true;
}

CURLcode vcr_forward_ssl_ctx(CURL *easy, void *ssl_ctx, void *forward)
{
	static const char *const names[] = { "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CODEX_CA_CERTIFICATE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "DENO_CERT" };
	const struct vcr_forward *f = forward;
	const char *loaded[sizeof names / sizeof *names + 1] = { getenv("SSL_CERT_FILE") };
	size_t n = 1;
	SSL_CTX_set_ex_data(ssl_ctx, forward_index, forward);
	SSL_CTX_set_info_callback(ssl_ctx, on_tls);
	for (size_t i = 0; i < sizeof names / sizeof *names && !f->o.cacert; i++) {
		const char *file = getenv(names[i]);
		bool again = !file || !*file;
		for (size_t k = 0; !again && k < n; k++)
			again = loaded[k] && !strcmp(loaded[k], file);
		if (!again)
			SSL_CTX_load_verify_locations(ssl_ctx, loaded[n++] = file, NULL); /* one that cannot be read is no reason to trust less */
	}
	return CURLE_OK;
}

/* ---- Ends ---- */

static void release_transfer(struct transfer *t)
{
	if (t->easy)
		curl_easy_cleanup(t->easy);
	free(t);
}

void vcr_forward_prepare(struct vcr_forward *f, CURL *c)
{
	const struct vcr_forward_options *o = &f->o;
	const char *roots = o->cacert ? o->cacert : getenv("SSL_CERT_FILE");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
	curl_easy_setopt(c, CURLOPT_CONNECT_TO, f->connect_to);
	curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (roots && *roots)
		curl_easy_setopt(c, CURLOPT_CAINFO, roots);
	curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, vcr_forward_ssl_ctx);
	curl_easy_setopt(c, CURLOPT_SSL_CTX_DATA, f);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)READ_BYTES);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, vcr_forward_open_socket);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, f);
}

/* What is the same for all whole transfers. */
static int prepare(struct transfer *t)
{
	CURL *c = t->easy ? t->easy : (t->easy = curl_easy_init());
	if (!c)
		return VCR_ENOMEM;
	vcr_forward_prepare(t->f, c);
	curl_easy_setopt(c, CURLOPT_PRIVATE, t);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	return 0;
}

/* It is over; the next one may have its handle. */
void vcr_forward_free_transfer(struct transfer *t)
{
	struct vcr_forward *f = t->f;
	CURL *easy = t->easy;
	*(t->prev ? &t->prev->next : &f->first) = t->next;
	if (t->next)
		t->next->prev = t->prev;
	if (t->line)
		vcr_line_close(t->line);
	if (easy)
		curl_multi_remove_handle(f->multi, easy);
	curl_slist_free_all(t->fields);
	vcr_buf_release(&t->head);
	vcr_buf_release(&t->trailer);
	vcr_buf_release(&t->instead);
	free(t->field);
	free(t->host);
	if (!easy || f->spare) {
		release_transfer(t);
		return;
	}
	curl_easy_reset(easy);
	*t = (struct transfer){ .f = f, .easy = easy };
	prepare(t);
	f->spare = t;
}

int vcr_forward_reason(const struct transfer *t, CURLcode code)
{
	long err = t->os_error;
	if (!t->quick)
		curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &err);
	if (code == CURLE_PARTIAL_FILE || code == CURLE_GOT_NOTHING)
		return t->tls && !t->notified ? EPROTO : 1;
	if (code == CURLE_OPERATION_TIMEDOUT)
		return ETIMEDOUT;
	return err ? (int)err : ECONNRESET;
}

/* ---- The end of a transfer ---- */

static void finish_tunnel(struct transfer *t, struct vcr_gate_exchange *x, CURLcode code)
{
	curl_socket_t s = CURL_SOCKET_BAD;
	int fd = -1;
	if (!code && !curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &s) && s != CURL_SOCKET_BAD)
		fd = fcntl(s, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0) {
		vcr_gate_tunnel(x, fd);
		return;
	}
	if (t->f->o.sink->trouble)
		t->f->o.sink->trouble(t->f->o.ctx, t->host, NULL);
	vcr_forward_refuse_connect(t, x, code, t->error, strlen(t->error));
}

static void finish(struct transfer *t, CURLcode code)
{
	struct vcr_gate_exchange *x = leave(t);
	if (t->tunnel) {
		if (x)
			(t->probe ? vcr_forward_asked : finish_tunnel)(t, x, code);
		return;
	}
	vcr_forward_reached(t->f, t->host, code);
	if (!code && t->until_eof && !t->no_body && t->tls && !t->notified)
		code = CURLE_PARTIAL_FILE; /* who knows whether that was all */
	if (code == CURLE_OK) {
		if (t->stream)
			vcr_forward_stream_end(t, x);
		else if (t->chunked && !t->no_body)
			vcr_forward_show_in(t, "0\r\n\r\n", 5);
		vcr_forward_show_close(t, t->until_eof ? 1 : 0);
		if (x)
			vcr_gate_end(x);
		return;
	}
	int reason = vcr_forward_reason(t, code);
	long sent = t->begun;
	if (!t->quick)
		curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &sent);
	if (!sent && t->f->o.sink->trouble)
		t->f->o.sink->trouble(t->f->o.ctx, t->host, *t->error ? t->error : curl_easy_strerror(code));
	vcr_forward_show_close(t, reason);
	if (x && t->stream)
		vcr_forward_stream_fail(x, sent);
	else if (x)
		vcr_gate_cut(x, reason == 1 ? VCR_CUT_CLOSE : reason == EPROTO ? VCR_CUT_SHORT : VCR_CUT_RESET);
}

/* All that one read brought goes out at once, as the pieces that it is, and with the end if that was the end. */
void vcr_forward_deliver(struct vcr_forward *f)
{
	for (struct transfer *t = f->first, *next; t; t = next) {
		next = t->next;
		while (t->ready && t->x && !t->over && !is_held(t)) {
			t->ready = false;
			send_out(t); /* curl may bring more meanwhile */
		}
		if (t->over && !is_held(t)) {
			finish(t, t->code);
			vcr_forward_free_transfer(t);
		}
	}
}

void vcr_forward_over(struct transfer *t, CURLcode code)
{
	t->notified = t->f->notified;
	t->over = true;
	t->code = code;
}

/* Whether what is over is still held is asked in one place, deliver: the answer may change from one moment to the next. */
static void reap(struct vcr_forward *f)
{
	CURLMsg *m;
	int left;
	while ((m = curl_multi_info_read(f->multi, &left)))
		if (m->msg == CURLMSG_DONE) {
			struct transfer *t;
			CURLcode code = m->data.result;
			CURL *easy = m->easy_handle;
			curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
			if (t->quick) {
				vcr_line_connected(t, code);
				continue;
			}
			vcr_forward_over(t, code);
			if (!t->tunnel) /* its connection is free for the next request */
				curl_multi_remove_handle(f->multi, easy);
		}
}

static void go_out(struct transfer *t);

/* What waits is asked once each time; one that goes out may end others, or itself. */
static void on_hold(evutil_socket_t fd, short what, void *forward)
{
	struct vcr_forward *f = forward;
	struct transfer *t = f->first;
	f->round++;
	while (t)
		if (t->waits && t->round != f->round) {
			t->round = f->round;
			go_out(t);
			t = f->first;
		} else {
			t = t->next;
		}
	vcr_forward_deliver(f);
}

/* ---- curl on libevent ---- */

void vcr_forward_act(struct vcr_forward *f, curl_socket_t s, int what)
{
	int running;
	f->notified = false;
	curl_multi_socket_action(f->multi, s, what, &running);
	reap(f);
	vcr_forward_deliver(f);
}

static void on_socket_ready(evutil_socket_t fd, short what, void *forward)
{
	vcr_forward_act(forward, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timeout(evutil_socket_t fd, short what, void *forward)
{
	vcr_forward_act(forward, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *multi, long ms, void *forward)
{
	struct vcr_forward *f = forward;
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
	if (ms < 0)
		event_del(f->timer);
	else
		event_add(f->timer, &tv);
	return 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *forward, void *watched)
{
	struct vcr_forward *f = forward;
	struct event *ev = watched;
	if (ev)
		event_free(ev);
	if (what == CURL_POLL_REMOVE) {
		curl_multi_assign(f->multi, fd, NULL);
		return 0;
	}
	ev = event_new(f->o.base, fd, (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST), on_socket_ready, f);
	curl_multi_assign(f->multi, fd, ev);
	return ev && !event_add(ev, NULL) ? 0 : -1;
}

/* ---- Beginnings ---- */

static int add_field(struct curl_slist **list, struct vcr_buf *b, const char *name, const char *value)
{
	vcr_buf_reset(b);
	vcr_buf_puts(b, name);
	vcr_buf_puts(b, *value ? ": " : ";"); /* curl's way of writing an empty value */
	vcr_buf_puts(b, value);
	struct curl_slist *more = b->err ? NULL : curl_slist_append(*list, b->data);
	if (more)
		*list = more;
	return more ? 0 : VCR_ENOMEM;
}

/* What the client sent, and a removal of everything that curl would add of its own. */
static int make_fields(struct transfer *t, const struct vcr_gate_request *q)
{
	static const char *const unasked[] = { "User-Agent", "Accept", "Content-Type", "Expect" };
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	bool framed = vcr_http1_field(q->field, q->nfield, "transfer-encoding") != NULL;
	int err = 0;
	for (size_t i = 0; i < q->nfield && !err; i++)
		if ((!vcr_forward_is_hop(q->field[i].name) || (q->http2 && !strcasecmp(q->field[i].name, "te"))) && strcasecmp(q->field[i].name, "host") && !(framed && !strcasecmp(q->field[i].name, "content-length")))
			err = add_field(&t->fields, &b, q->field[i].name, q->field[i].value);
	if (!err)
		err = add_field(&t->fields, &b, "Host", q->host);
	for (size_t i = 0; i < sizeof unasked / sizeof *unasked && !err; i++) {
		char removal[32];
		if (i < 3 && vcr_http1_field(q->field, q->nfield, unasked[i]))
			continue;
		snprintf(removal, sizeof removal, "%s:", unasked[i]);
		struct curl_slist *more = curl_slist_append(t->fields, removal);
		if (more)
			t->fields = more;
		else
			err = VCR_ENOMEM;
	}
	return err;
}

struct transfer *vcr_forward_new_transfer(struct vcr_forward *f, struct vcr_gate_exchange *x, const char *host, bool quick)
{
	struct transfer *t = quick ? NULL : f->spare;
	if (t)
		f->spare = NULL;
	else if ((t = calloc(1, sizeof *t)))
		t->f = f;
	if (!t)
		return NULL;
	if (!quick && !t->easy && prepare(t)) {
		release_transfer(t);
		return NULL;
	}
	t->x = x;
	t->quick = quick;
	t->left = -1;
	vcr_buf_init(&t->head, 0);
	vcr_buf_init(&t->trailer, 0);
	vcr_buf_init(&t->instead, 0);
	if ((t->next = f->first))
		f->first->prev = t;
	f->first = t;
	if (!(t->host = strdup(host))) {
		vcr_forward_free_transfer(t);
		return NULL;
	}
	vcr_gate_set_user(x, t);
	return t;
}

static int set_request(struct transfer *t, const struct vcr_gate_request *q)
{
	CURL *c = t->easy;
	VCR_AUTO_BUF url = VCR_BUF_INIT;
	/* A proxy of the user's wants the whole URL of plain HTTP, which only curl knows whether it goes there. */
	bool whole = !q->tls && *q->target == '/' && !strchr(q->target, '#');
	vcr_buf_printf(&url, "%s://%s%s", q->tls ? "https" : "http", q->host, whole ? q->target : "/");
	if (url.err || make_fields(t, q))
		return VCR_ENOMEM;
	curl_easy_setopt(c, CURLOPT_URL, url.data);
	if (!whole)
		curl_easy_setopt(c, CURLOPT_REQUEST_TARGET, q->target);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->fields);
	if (q->nbody || vcr_http1_field(q->field, q->nfield, "content-length")) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->nbody);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body); /* the gate keeps it until the exchange's end */
	}
	if (t->no_body)
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
	return 0;
}

static int begin_whole(struct transfer *t, const struct vcr_gate_request *q)
{
	int err = set_request(t, q);
	if (err)
		return err;
	if (t->stream)
		vcr_forward_stream_begin(t);
	if (curl_multi_add_handle(t->f->multi, t->easy) != CURLM_OK)
		return VCR_ENOMEM;
	vcr_forward_act(t->f, CURL_SOCKET_TIMEOUT, 0); /* it goes out now */
	return 0;
}

/* The request goes out with that body. A client that framed its own has a length among its fields, unless it sent chunks. */
static int replace_body(struct transfer *t)
{
	struct vcr_gate_request *q = &t->q;
	if (t->instead.err || !(t->field = calloc(q->nfield + 1, sizeof *t->field)))
		return VCR_ENOMEM;
	snprintf(t->length, sizeof t->length, "%zu", t->instead.len);
	for (size_t i = 0; i < q->nfield; i++) {
		t->field[i] = q->field[i];
		if (!strcasecmp(q->field[i].name, "content-length"))
			t->field[i].value = t->length;
	}
	q->field = t->field;
	q->body = t->instead.data;
	q->nbody = t->instead.len;
	return 0;
}

static void answer_here(struct transfer *t)
{
	static const struct vcr_http1_field no_retry = { "x-should-retry", "false" };
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_gate_exchange *x = leave(t);
	vcr_buf_printf(&b, "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", t->instead.len);
	vcr_buf_add(&b, t->instead.data, t->instead.len);
	vcr_forward_show_in(t, b.data, b.len);
	vcr_forward_show_close(t, 0);
	if (x)
		vcr_gate_simple(x, 400, "application/json", t->instead.data, t->instead.len, &no_retry);
	vcr_forward_free_transfer(t);
}

static void go_out(struct transfer *t)
{
	struct vcr_forward *f = t->f;
	vcr_buf_reset(&t->instead);
	enum vcr_forward_way way = f->o.way ? f->o.way(f->o.ctx, t->conn, &t->q, &t->instead) : VCR_FORWARD_AS_IT_IS;
	t->waits = way == VCR_FORWARD_WAIT;
	if (t->waits) {
		ask_again_soon(f);
		return;
	}
	if (way == VCR_FORWARD_ANSWERED) {
		answer_here(t);
		return;
	}
	int err = way == VCR_FORWARD_INSTEAD ? replace_body(t) : 0;
	t->nbody = t->q.nbody;
	if (!err && !(t->quick ? vcr_line_begin : begin_whole)(t, &t->q))
		return;
	struct vcr_gate_exchange *x = leave(t);
	vcr_forward_show_close(t, ECONNRESET);
	vcr_forward_free_transfer(t);
	if (x)
		vcr_gate_cut(x, VCR_CUT_RESET);
}

/* Of the user's, for plain HTTP? Which hosts go to it is curl's to say. */
static bool has_proxy(void)
{
	static const char *const names[] = { "http_proxy", "all_proxy", "ALL_PROXY" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *proxy = getenv(names[i]);
		if (proxy && *proxy)
			return true;
	}
	return false;
}

static void on_request(void *ctx, struct vcr_gate_exchange *x, const struct vcr_gate_request *q)
{
	struct vcr_forward *f = ctx;
	const char *to = vcr_http1_field(q->field, q->nfield, "upgrade");
	bool socket = to && !strcasecmp(to, "websocket");
	if (socket && (vcr_gate_http_will_do(q) || (f->o.no_socket && f->o.no_socket(f->o.ctx, q)))) {
		vcr_gate_no_socket(x);
		return;
	}
	struct transfer *t = vcr_forward_new_transfer(f, x, q->host, (q->tls || socket || !has_proxy()) && !q->http2);
	if (!t) {
		vcr_gate_cut(x, VCR_CUT_RESET);
		return;
	}
	t->tls = q->tls;
	t->socket = socket;
	t->stream = q->http2;
	t->no_body = !strcmp(q->method, "HEAD");
	t->q = *q;
	show_request(t, q);
	go_out(t);
}

static void on_drained(void *ctx, struct vcr_gate_exchange *x)
{
	struct transfer *t = vcr_gate_user(x);
	if (t && t->paused && !t->over) {
		go_on(t);
		vcr_forward_deliver(t->f);
	}
}

/* The client has left: so does the request. Not from within curl: it may be what is calling. */
static void on_done(void *ctx, struct vcr_gate_exchange *x, enum vcr_gate_fate fate)
{
	struct transfer *t = fate == VCR_GATE_GONE ? vcr_gate_user(x) : NULL;
	if (!t)
		return;
	t->x = NULL;
	vcr_forward_show_close(t, 0);
	vcr_forward_free_transfer(t);
}

static void set_proxy(CURL *c)
{
	const char *around = getenv("no_proxy") ? getenv("no_proxy") : getenv("NO_PROXY"), *proxy = vcr_forward_users_proxy();
	curl_easy_setopt(c, CURLOPT_PROXY, proxy ? proxy : "");
	if (around)
		curl_easy_setopt(c, CURLOPT_NOPROXY, around);
	curl_easy_setopt(c, CURLOPT_HTTPPROXYTUNNEL, 1L);
}

bool vcr_forward_open_tunnel(struct vcr_forward *f, struct vcr_gate_exchange *x, const char *host, int port, const char *known_as, const int *asked_by)
{
	VCR_AUTO_BUF url = VCR_BUF_INIT;
	struct transfer *t = vcr_forward_new_transfer(f, x, known_as, false);
	vcr_buf_printf(&url, strchr(host, ':') ? "http://[%s]:%d" : "http://%s:%d", host, port);
	if (t) {
		t->tunnel = true;
		t->probe = asked_by;
		t->pid = asked_by ? *asked_by : 0;
		t->tls = port == PORT_TLS || port == PORT_TLS_TOO;
		curl_easy_setopt(t->easy, CURLOPT_URL, url.data);
		curl_easy_setopt(t->easy, CURLOPT_CONNECT_ONLY, 1L);
		if (t->probe)
			curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, NULL); /* not one that was kept for another */
		set_proxy(t->easy);
		if (curl_multi_add_handle(f->multi, t->easy) == CURLM_OK)
			return true;
		vcr_gate_set_user(x, NULL);
		vcr_forward_free_transfer(t);
	}
	return false;
}

static void on_tunnel(void *ctx, struct vcr_gate_exchange *x, const char *host, int port)
{
	if (!vcr_forward_open_tunnel(ctx, x, host, port, host, NULL))
		vcr_gate_cut(x, VCR_CUT_RESET);
}

static void on_distrusted(void *ctx, const char *host, int pid)
{
	struct vcr_forward *f = ctx;
	if (f->o.sink->distrusted)
		f->o.sink->distrusted(f->o.ctx, host, pid);
}

const struct vcr_gate_handler vcr_forward_handler = { .request = on_request, .drained = on_drained, .done = on_done, .tunnel = on_tunnel, .connect = vcr_forward_connect, .distrusted = on_distrusted, .relay = vcr_forward_relay, .input = vcr_forward_input };

/* ---- The module ---- */

int vcr_forward_new(struct vcr_forward **out, const struct vcr_forward_options *o, struct vcr_error *e)
{
	struct vcr_forward *f = calloc(1, sizeof *f);
	if (!f || curl_global_init(CURL_GLOBAL_DEFAULT)) {
		free(f);
		return vcr_error_set(e, VCR_ENOMEM, "forward: out of memory");
	}
	f->o = *o;
	if (!forward_index)
		forward_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	f->multi = curl_multi_init();
	f->timer = event_new(o->base, -1, 0, on_timeout, f);
	f->hold = event_new(o->base, -1, 0, on_hold, f);
	f->kept_timer = event_new(o->base, -1, 0, vcr_forward_kept_long, f);
	int err = f->multi && f->timer && f->hold && f->kept_timer ? 0 : VCR_ENOMEM;
	for (const char *const *c = o->connect_to; c && *c && !err; c++) {
		struct curl_slist *more = curl_slist_append(f->connect_to, *c);
		if (more)
			f->connect_to = more;
		else
			err = VCR_ENOMEM;
	}
	if (err) {
		vcr_forward_free(f);
		return vcr_error_set(e, err, "forward: out of memory");
	}
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
	*out = f;
	return 0;
}

void vcr_forward_free(struct vcr_forward *f)
{
	if (!f)
		return;
	while (f->first)
		vcr_forward_free_transfer(f->first);
	vcr_line_close_idle(f);
	vcr_forward_free_kept(f);
	if (f->spare)
		release_transfer(f->spare);
	if (f->multi)
		curl_multi_cleanup(f->multi);
	if (f->timer)
		event_free(f->timer);
	if (f->hold)
		event_free(f->hold);
	curl_slist_free_all(f->connect_to);
	free(f);
	curl_global_cleanup();
}
