/* gate-conn.c — the gate's bytes: sockets, TLS around memory BIOs, what a connection begins with, how it ends. */
#include "gate-parts.h"
#include "limits.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STALLED_MS = 120000, LINGER_MS = 2000, EARLY_MAX = 1 << 20, LOW = 64 << 10 };

/* ---- TLS ---- */

static bool is_address(const char *name)
{
	unsigned char ip[16];
	return inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
}

/* HOST of HOST:PORT or [HOST]:PORT. */
static void without_port(const char *host, char out[256])
{
	bool bracket = *host == '[';
	const char *end = bracket ? strchr(host, ']') : strrchr(host, ':');
	size_t n = end ? (size_t)(end - host) - bracket : strlen(host);
	n = n < 255 ? n : 255;
	memcpy(out, host + bracket, n);
	out[n] = 0;
}

/* Which leaf: by server name; else by where the connection was meant to go; else by the address it came to. */
static int choose_leaf(SSL *ssl, void *gate)
{
	struct vcr_gate *g = gate;
	struct vcr_gate_exchange *c = SSL_get_app_data(ssl);
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	char name[256] = "127.0.0.1";
	struct sockaddr_storage a;
	socklen_t n = sizeof a;
	if (sni)
		return vcr_ca_use(g->o.ca, ssl, sni) == 0;
	if (c->lead_host)
		without_port(c->lead_host, name);
	else if (!getsockname(c->fd, (struct sockaddr *)&a, &n) && a.ss_family == AF_INET6)
		strcpy(name, "::1");
	return vcr_ca_use(g->o.ca, ssl, name) == 0;
}

static bool take_protocol(const char *word, const unsigned char **out, unsigned char *n, const unsigned char *in, unsigned nin)
{
	*n = (unsigned char)strlen(word);
	for (unsigned i = 0; i < nin && i + 1u + in[i] <= nin; i += 1u + in[i])
		if (in[i] == *n && !memcmp(in + i + 1, word, *n)) {
			*out = in + i + 1;
			return true;
		}
	return false;
}

/* HTTP/1.1 wherever it is offered; HTTP/2 where that is all. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in, unsigned nin, void *gate)
{
	bool found = take_protocol("http/1.1", out, n, in, nin) || take_protocol("h2", out, n, in, nin);
	return found ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

SSL_CTX *vcr_gate_tls_new(struct vcr_gate *g)
{
	SSL_CTX *t = SSL_CTX_new(TLS_server_method());
	if (!t)
		return NULL;
	SSL_CTX_set_min_proto_version(t, TLS1_2_VERSION);
	SSL_CTX_set_options(t, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(t, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(t, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_cert_cb(t, choose_leaf, g);
	SSL_CTX_set_alpn_select_cb(t, choose_protocol, g);
	return t;
}

static int begin_tls(struct vcr_gate_exchange *c)
{
	c->in_bio = BIO_new(BIO_s_mem());
	c->out_bio = BIO_new(BIO_s_mem());
	c->ssl = SSL_new(c->gate->tls);
	if (!c->in_bio || !c->out_bio || !c->ssl) {
		BIO_free(c->in_bio);
		BIO_free(c->out_bio);
		SSL_free(c->ssl);
		c->ssl = NULL;
		return VCR_ENOMEM;
	}
	SSL_set_bio(c->ssl, c->in_bio, c->out_bio);
	SSL_set_app_data(c->ssl, c);
	SSL_set_accept_state(c->ssl);
	c->state = HANDSHAKE;
	return 0;
}

/* What OpenSSL wants to send. */
static void drain_tls(struct vcr_gate_exchange *c)
{
	size_t n = BIO_pending(c->out_bio);
	char *to = n ? vcr_buf_reserve(&c->out, n) : NULL;
	int got = to ? BIO_read(c->out_bio, to, (int)n) : 0;
	if (got > 0)
		vcr_buf_added(&c->out, (size_t)got);
	if (c->out.err)
		vcr_gate_kill(c);
}

/* What the client thinks of the certificate. False: nobody wants to know. */
static bool tell_judged(struct vcr_gate_exchange *c, bool trusted)
{
	const struct vcr_gate_options *o = &c->gate->o;
	const char *sni = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name), *host = c->address ? c->address : c->lead_host;
	return o->judged && host && o->judged(o->judged_ctx, host, sni ? sni : "", c->pid, trusted);
}

/* One that has left in the handshake is taken for one that does not trust it. */
static void tell_refused(struct vcr_gate_exchange *c)
{
	if (!tell_judged(c, false))
		vcr_gate_address_distrusts(c);
}

static bool shake_hands(struct vcr_gate_exchange *c)
{
	ERR_clear_error();
	int r = SSL_do_handshake(c->ssl), why = SSL_get_error(c->ssl, r);
	drain_tls(c);
	vcr_gate_conn_send(c);
	if (r == 1) {
		const char *sni = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
		/* A lead line or CONNECT says more than the server name; that they agree is the client's business. */
		if (sni && !is_address(sni) && vcr_ca_lists(c->gate->o.ca, sni, 0))
			c->authorised = true;
		tell_judged(c, true);
		c->state = HTTP;
		if (vcr_gate_http2_chosen(c))
			vcr_gate_http2_begin(c);
		return true;
	}
	if (why != SSL_ERROR_WANT_READ) {
		c->gate->stats.handshakes_failed++;
		tell_refused(c);
		c->after = CLOSE; /* the alert goes out */
		vcr_gate_conn_finish(c);
	}
	return false;
}

static void input(struct vcr_gate_exchange *c, const char *p, size_t n);
static void input_eof(struct vcr_gate_exchange *c);

static void tls_input(struct vcr_gate_exchange *c, const char *p, size_t n)
{
	struct vcr_gate *g = c->gate;
	if (BIO_write(c->in_bio, p, (int)n) != (int)n) {
		vcr_gate_kill(c);
		return;
	}
	if (c->state == HANDSHAKE && !shake_hands(c))
		return;
	while (!c->dead && c->state != LINGER) {
		ERR_clear_error();
		int r = SSL_read(c->ssl, g->plain, sizeof g->plain);
		if (r > 0) {
			input(c, g->plain, (size_t)r);
			continue;
		}
		int why = SSL_get_error(c->ssl, r);
		if (why == SSL_ERROR_ZERO_RETURN)
			input_eof(c);
		else if (why != SSL_ERROR_WANT_READ)
			vcr_gate_kill(c);
		break;
	}
	if (BIO_pending(c->out_bio)) { /* a key update, an alert */
		drain_tls(c);
		vcr_gate_conn_send(c);
	}
}

/* ---- Reading ---- */

void vcr_gate_conn_read(struct vcr_gate_exchange *c, bool on)
{
	if (c->dead || c->reading == on)
		return;
	c->reading = on;
	if (on)
		event_add(c->read, NULL);
	else
		event_del(c->read);
}

void vcr_gate_conn_meant(struct vcr_gate_exchange *c)
{
	const struct vcr_gate_options *o = &c->gate->o;
	struct sockaddr_storage peer;
	socklen_t n = sizeof peer;
	char host[VCR_GATE_HOST] = "";
	if (!o->meant || c->asked)
		return;
	if (getpeername(c->fd, (struct sockaddr *)&peer, &n))
		return;
	enum vcr_gate_meant m = o->meant(o->meant_ctx, (struct sockaddr *)&peer, host, &c->pid);
	c->asked = m != VCR_MEANT_UNKNOWN;
	c->authorised |= m == VCR_MEANT_HOST || m == VCR_MEANT_PROXY;
	if ((m == VCR_MEANT_HOST && !(c->lead_host = strdup(host))) || (m == VCR_MEANT_ADDRESS && !(c->address = strdup(host))))
		vcr_gate_kill(c);
}

/* The first bytes, or the first behind a lead line or CONNECT. */
static void sniff(struct vcr_gate_exchange *c, const char *p, size_t n)
{
	struct vcr_buf early;
	bool bad = false, whole;
	vcr_gate_conn_meant(c);
	c->asked = true;
	vcr_buf_add(&c->early, p, n);
	if (c->dead || (c->address && !c->lead_host && !vcr_gate_address_said(c)))
		return;
	if (*c->early.data == 'V' && !c->ssl && !c->lead_host) {
		size_t line = vcr_gate_connect_lead(c, c->early.data, c->early.len, &bad);
		if (bad)
			vcr_gate_kill(c);
		if (bad || !line)
			return;
		vcr_buf_drop(&c->early, line);
		if (!c->early.len)
			return;
	}
	bool http2 = vcr_gate_http2_preface(c->early.data, c->early.len, &whole);
	if (http2 && !whole)
		return;
	early = c->early;
	vcr_buf_init(&c->early, 0);
	if (*early.data != 0x16)
		c->state = HTTP;
	else if (c->ssl || begin_tls(c))
		vcr_gate_kill(c); /* TLS inside TLS is nobody's */
	if (c->state == HANDSHAKE)
		tls_input(c, early.data, early.len);
	else if (http2)
		vcr_gate_http2_begin(c);
	else if (!c->dead)
		vcr_gate_http_input(c, early.data, early.len);
	if (http2 && !c->dead)
		input(c, early.data, early.len);
	vcr_buf_release(&early);
}

static void input(struct vcr_gate_exchange *c, const char *p, size_t n)
{
	if (c->http2) {
		if (!c->ended)
			vcr_gate_http2_input(c, p, n);
		return;
	}
	switch (c->state) {
	case SNIFF: sniff(c, p, n); break;
	case HTTP: vcr_gate_http_input(c, p, n); break;
	case ANSWER: /* the next request, before this one is answered */
		if (c->socket && !c->ended) {
			c->gate->o.handler->input(c->gate->o.ctx, c, p, n);
			if (vcr_gate_backlog(c) > VCR_MAX_GATE_BACKLOG)
				vcr_gate_conn_read(c, false); /* until it has read what was said */
		} else if (c->socket)
			break;
		else if (c->early.len + n > EARLY_MAX)
			vcr_gate_kill(c);
		else if (vcr_buf_add(&c->early, p, n) || !vcr_gate_hold(c))
			vcr_gate_kill(c);
		break;
	case TUNNEL: vcr_gate_tunnel_input(c, p, n); break;
	case HANDSHAKE: case LINGER: break;
	}
}

void vcr_gate_conn_early(struct vcr_gate_exchange *c)
{
	struct vcr_buf early = c->early;
	vcr_buf_init(&c->early, 0);
	input(c, early.data, early.len);
	vcr_buf_release(&early);
	vcr_gate_hold(c);
}

/* The client will send no more. One that waits for an answer has left: nobody half-closes in HTTP. */
static void input_eof(struct vcr_gate_exchange *c)
{
	c->eof = true;
	if (c->state == HANDSHAKE)
		tell_refused(c);
	if (c->state == TUNNEL)
		vcr_gate_tunnel_eof(c);
	else if (!(c->state == ANSWER && c->ended))
		vcr_gate_kill(c);
	else
		vcr_gate_conn_read(c, false); /* what was written is still being sent */
}

void vcr_gate_conn_readable(evutil_socket_t fd, short what, void *conn)
{
	struct vcr_gate_exchange *c = conn;
	struct vcr_gate *g = c->gate;
	ssize_t n = recv(fd, g->scratch, sizeof g->scratch, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		c->reset_by_peer = errno == ECONNRESET;
		if (c->state == HANDSHAKE)
			tell_refused(c);
		vcr_gate_kill(c);
	} else if (n == 0) {
		input_eof(c);
	} else if (c->state == LINGER) {
		return;
	} else if (c->ssl) {
		tls_input(c, g->scratch, (size_t)n);
	} else {
		input(c, g->scratch, (size_t)n);
	}
}

/* ---- Writing ---- */

void vcr_gate_conn_push(struct vcr_gate_exchange *c)
{
	if (!c->pending.len || c->dead)
		return;
	if (c->pending.err) {
		vcr_gate_kill(c);
		return;
	}
	if (c->out_at == c->out.len) {
		vcr_buf_reset(&c->out);
		c->out_at = 0;
	}
	if (!c->ssl) {
		vcr_buf_add(&c->out, c->pending.data, c->pending.len);
	} else {
		ERR_clear_error();
		if (SSL_write(c->ssl, c->pending.data, (int)c->pending.len) <= 0)
			vcr_gate_kill(c);
		drain_tls(c);
	}
	vcr_buf_reset(&c->pending);
	c->pending_piece = false;
	if (c->out.err)
		vcr_gate_kill(c);
}

static void want_write(struct vcr_gate_exchange *c, bool on)
{
	if (c->writing == on || c->dead)
		return;
	c->writing = on;
	if (on)
		event_add(c->write, NULL);
	else
		event_del(c->write);
}

/* One that was not read from until it had read what was said. */
static void hear_again(struct vcr_gate_exchange *c)
{
	if (c->ended)
		return;
	if (c->state == ANSWER && c->socket)
		vcr_gate_conn_read(c, !c->eof && !c->full);
	if (c->http2)
		vcr_gate_conn_read(c, !c->eof);
}

void vcr_gate_conn_send(struct vcr_gate_exchange *c)
{
	bool moved = false;
	while (!c->dead && c->out_at < c->out.len) {
		ssize_t n = send(c->fd, c->out.data + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			want_write(c, true);
			if ((moved || !c->deadline_ms) && (c->state == ANSWER || c->state == TUNNEL))
				c->deadline_ms = vcr_gate_now_ms() + STALLED_MS;
			vcr_gate_hold(c);
			if (c->http2 && moved)
				vcr_gate_http2_sent(c);
			return;
		}
		if (n < 0) {
			c->reset_by_peer = errno == ECONNRESET || errno == EPIPE;
			vcr_gate_kill(c);
			return;
		}
		c->out_at += (size_t)n;
		c->sent += (size_t)n;
		moved = true;
	}
	if (c->dead)
		return;
	vcr_buf_reset(&c->out);
	c->out_at = 0;
	want_write(c, false);
	if (c->state == ANSWER || c->state == TUNNEL)
		c->deadline_ms = 0;
	hear_again(c);
	if (c->http2)
		vcr_gate_http2_sent(c);
	if (c->state == ANSWER && c->ended)
		vcr_gate_later(c);
}

void vcr_gate_conn_writable(evutil_socket_t fd, short what, void *conn)
{
	struct vcr_gate_exchange *c = conn;
	vcr_gate_conn_send(c);
	if (c->dead || c->out.len - c->out_at >= LOW)
		return;
	hear_again(c);
	if (c->state == TUNNEL)
		vcr_gate_tunnel_drained(c);
	else if (c->http2 && !c->ended)
		vcr_gate_http2_writable(c);
	else if (c->state == ANSWER && !c->ended && c->told && c->gate->o.handler->drained)
		c->gate->o.handler->drained(c->gate->o.ctx, c);
	else if (c->state == LINGER)
		vcr_gate_conn_finish(c);
}

/* ---- Ends ---- */

static void reset_socket(int fd)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void vcr_gate_conn_finish(struct vcr_gate_exchange *c)
{
	if (c->dead)
		return;
	vcr_gate_http2_release(c);
	if (c->after == RESET) {
		reset_socket(c->fd);
		vcr_gate_kill(c);
		return;
	}
	if (c->after == KEEP) {
		c->state = HTTP;
		c->deadline_ms = 0;
		vcr_gate_touch(c);
		vcr_gate_conn_read(c, !c->eof);
		return;
	}
	if (c->state != LINGER) {
		/* close(2) with unread bytes is a reset, which would take the answer away from the client: so its bytes are read to their end. */
		c->state = LINGER;
		c->deadline_ms = vcr_gate_now_ms() + LINGER_MS;
		if (c->ssl && c->after == CLOSE && SSL_is_init_finished(c->ssl)) {
			SSL_shutdown(c->ssl);
			drain_tls(c);
		}
		vcr_gate_conn_send(c);
	}
	if (c->dead || c->out_at < c->out.len)
		return;
	shutdown(c->fd, SHUT_WR);
	if (c->eof)
		vcr_gate_kill(c);
	else
		vcr_gate_conn_read(c, true);
}
