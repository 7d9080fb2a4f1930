/* forward-relay.c — a WebSocket between a client and a server: once the server is connected to, all bytes go both ways as they are, its answer to the upgrade among
 * them, and each is shown to the sink before it is passed on.
 *
 * The gate tunnels the client to one end of a pair of sockets (vcr_gate_relay); the other end is ours. TLS to the server is curl's: curl_easy_send, curl_easy_recv on
 * a connection that it made. Who reads slowly slows the other down. One side's end is the other's, behind what had come. */
#include "forward-parts.h"
#include "limits.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READS = 16 };

struct relay {
	struct vcr_forward *f;
	struct relay *next, **at;
	CURL *easy;
	int near;                 /* our end of the pair */
	uint32_t conn;
	struct event *far_read, *far_write, *near_read, *near_write;
	struct vcr_buf up, down;  /* to the server, to the client */
	size_t up_at, down_at;
	bool near_over, far_over;
	int reason;               /* of the server's end */
};

/* ---- Its life ---- */

static void release(struct relay *r)
{
	struct event *events[] = { r->far_read, r->far_write, r->near_read, r->near_write };
	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		if (events[i])
			event_free(events[i]);
	if (r->at)
		*r->at = r->next;
	if (r->next)
		r->next->at = r->at;
	if (r->near >= 0)
		close(r->near);
	curl_multi_remove_handle(r->f->multi, r->easy);
	curl_easy_cleanup(r->easy);
	vcr_buf_release(&r->up);
	vcr_buf_release(&r->down);
	free(r);
}

static void end(struct relay *r)
{
	struct vcr_forward *f = r->f;
	f->o.sink->close(f->o.ctx, r->conn, r->reason, vcr_forward_now_ns());
	release(r);
}

void vcr_relay_end_all(struct vcr_forward *f)
{
	while (f->relays)
		release(f->relays);
}

static void watch(struct event *ev, bool on)
{
	if (on)
		event_add(ev, NULL);
	else
		event_del(ev);
}

/* ---- Bytes. Each returns false when the relay has ended. ---- */

/* After each step: who may go on, and is it over? */
static bool settle(struct relay *r)
{
	size_t up = r->up.len - r->up_at, down = r->down.len - r->down_at;
	if (r->up.err || r->down.err || (r->far_over && !down) || (r->near_over && !up)) {
		end(r);
		return false;
	}
	watch(r->far_read, !r->far_over && down < VCR_MAX_GATE_BACKLOG);
	watch(r->near_read, !r->near_over && up < VCR_MAX_GATE_BACKLOG);
	watch(r->far_write, up);
	watch(r->near_write, down);
	return true;
}

static void clear_sent(struct vcr_buf *b, size_t *at)
{
	if (*at == b->len) {
		vcr_buf_reset(b);
		*at = 0;
	}
}

static void send_up(struct relay *r)
{
	while (r->up_at < r->up.len) {
		size_t n = 0;
		CURLcode code = curl_easy_send(r->easy, r->up.data + r->up_at, r->up.len - r->up_at, &n);
		if (code == CURLE_AGAIN)
			break;
		if (code) {
			r->far_over = true;
			r->reason = ECONNRESET;
			r->up_at = r->up.len;
			break;
		}
		r->up_at += n;
	}
	clear_sent(&r->up, &r->up_at);
}

static void send_down(struct relay *r)
{
	while (r->down_at < r->down.len) {
		ssize_t n = send(r->near, r->down.data + r->down_at, r->down.len - r->down_at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) { /* it has left */
			r->near_over = true;
			r->down_at = r->down.len;
			break;
		}
		r->down_at += (size_t)n;
	}
	clear_sent(&r->down, &r->down_at);
}

/* What TLS has taken from the socket no event will tell of: until nothing is left, or the client is behind. */
static void on_far(evutil_socket_t fd, short what, void *relay)
{
	struct relay *r = relay;
	struct vcr_forward *f = r->f;
	int i = 0;
	while (!r->far_over && i++ < READS && r->down.len - r->down_at < VCR_MAX_GATE_BACKLOG) {
		size_t n = 0;
		CURLcode code = curl_easy_recv(r->easy, f->scratch, sizeof f->scratch, &n);
		if (code == CURLE_AGAIN)
			break;
		if (code || !n) {
			r->far_over = true;
			r->reason = code ? ECONNRESET : 1;
			break;
		}
		f->o.sink->in(f->o.ctx, r->conn, f->scratch, n, vcr_forward_now_ns());
		vcr_buf_add(&r->down, f->scratch, n);
	}
	send_down(r);
	if (settle(r) && !r->far_over && i > READS)
		event_active(r->far_read, EV_READ, 0);
}

static void on_far_writable(evutil_socket_t fd, short what, void *relay)
{
	send_up(relay);
	settle(relay);
}

static void on_near(evutil_socket_t fd, short what, void *relay)
{
	struct relay *r = relay;
	struct vcr_forward *f = r->f;
	ssize_t n = recv(fd, f->scratch, sizeof f->scratch, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		f->o.sink->out(f->o.ctx, r->conn, f->scratch, (size_t)n, vcr_forward_now_ns());
		vcr_buf_add(&r->up, f->scratch, (size_t)n);
	} else {
		r->near_over = true;
	}
	send_up(r);
	settle(r);
}

/* What was held back is read on: no event may come for what curl has already. */
static void on_near_writable(evutil_socket_t fd, short what, void *relay)
{
	struct relay *r = relay;
	send_down(r);
	if (settle(r) && !r->far_over && r->down.len == r->down_at)
		event_active(r->far_read, EV_READ, 0);
}

/* ---- Beginnings ---- */

static int write_request(struct transfer *t, const struct vcr_gate_request *q)
{
	struct vcr_buf *b = &t->instead;
	vcr_buf_printf(b, "%s %s HTTP/1.1\r\nHost: %s\r\n", q->method, q->target, q->host);
	for (size_t i = 0; i < q->nfield; i++)
		if (strcasecmp(q->field[i].name, "host") && strncasecmp(q->field[i].name, "proxy-", 6))
			vcr_buf_printf(b, "%s: %s\r\n", q->field[i].name, q->field[i].value);
	vcr_buf_puts(b, "\r\n");
	return b->err;
}

static bool make_events(struct relay *r, curl_socket_t far)
{
	struct event_base *base = r->f->o.base;
	r->far_read = event_new(base, far, EV_READ | EV_PERSIST, on_far, r);
	r->far_write = event_new(base, far, EV_WRITE | EV_PERSIST, on_far_writable, r);
	r->near_read = event_new(base, r->near, EV_READ | EV_PERSIST, on_near, r);
	r->near_write = event_new(base, r->near, EV_WRITE | EV_PERSIST, on_near_writable, r);
	return r->far_read && r->far_write && r->near_read && r->near_write;
}

bool vcr_relay_begin(struct transfer *t, struct vcr_gate_exchange *x)
{
	struct relay *r = calloc(1, sizeof *r);
	curl_socket_t far = CURL_SOCKET_BAD;
	int pair[2];
	if (!r || curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &far) || far == CURL_SOCKET_BAD || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) {
		free(r);
		return false;
	}
	r->f = t->f;
	r->near = pair[0];
	r->conn = t->conn;
	r->easy = t->easy;
	r->up = t->instead;
	t->easy = NULL; /* ours, as is the word at the end */
	t->opened = false;
	vcr_buf_init(&t->instead, 0);
	vcr_buf_init(&r->down, 0);
	if ((r->next = r->f->relays))
		r->next->at = &r->next;
	r->at = &r->f->relays;
	r->f->relays = r;
	bool made = make_events(r, far);
	if (!made)
		close(pair[1]);
	if (!made || vcr_gate_relay(x, pair[1])) {
		end(r);
		return made; /* a client that has left is no failure */
	}
	send_up(r);
	settle(r);
	return true;
}

/* Clients of that API speak HTTP too, which is kept and replayed better, as soon as they are told so. */
static bool has_other_way(const char *target)
{
	static const char path[] = "/responses";
	size_t n = strcspn(target, "?"), k = sizeof path - 1;
	return n >= k && !memcmp(target + n - k, path, k);
}

void vcr_relay_websocket(struct vcr_forward *f, struct vcr_gate_exchange *x, const struct vcr_gate_request *q)
{
	static const struct vcr_http1_field upgrade = { "Upgrade", "HTTP/1.1" };
	static const char words[] = "vcr: use HTTP for this\n";
	VCR_AUTO_BUF url = VCR_BUF_INIT;
	if (has_other_way(q->target)) {
		vcr_gate_simple(x, 426, NULL, words, sizeof words - 1, &upgrade);
		return;
	}
	struct transfer *t = vcr_forward_transfer(f, x, q->host, false);
	vcr_buf_printf(&url, "%s://%s/", q->tls ? "https" : "http", q->host);
	if (t) {
		t->relay = true;
		t->tls = q->tls;
		vcr_forward_show_request(t, q);
		curl_easy_setopt(t->easy, CURLOPT_URL, url.data);
		curl_easy_setopt(t->easy, CURLOPT_CONNECT_ONLY, 1L);
		if (!q->tls)
			curl_easy_setopt(t->easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
		if (!write_request(t, q) && !url.err && curl_multi_add_handle(f->multi, t->easy) == CURLM_OK) {
			vcr_forward_act(f, CURL_SOCKET_TIMEOUT, 0);
			return;
		}
		vcr_forward_show_close(t, ECONNRESET);
		vcr_gate_set_user(x, NULL);
		vcr_forward_free_transfer(t);
	}
	vcr_gate_cut(x, VCR_CUT_RESET);
}
