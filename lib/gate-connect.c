/* gate-connect.c — who may speak to the gate, which host a request is for, lead lines, CONNECT and tunnels. */
#include "gate-parts.h"
#include "limits.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_MAX = 280, LEAD_MAX = 512, PORT_TLS = 443 };
static const char lead_word[] = "VCR1 ", base_path[] = "/vcr-";

/* ---- Hosts ---- */

/* A name or address with or without port, nothing else. */
static bool is_host(const char *p, size_t n)
{
	if (!n || n >= HOST_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)p[i]) && !strchr("-._:[]", p[i]))
			return false;
	return true;
}

/* Where the port of HOST:PORT begins (behind the colon); NULL if there is none. */
static const char *port_of(const char *host)
{
	const char *colon = strrchr(host, ':'), *bracket = strchr(host, ']');
	if (!colon || (bracket && colon < bracket) || (!bracket && strchr(host, ':') != colon))
		return NULL;
	return colon + 1;
}

static bool split_host(const char *host, char name[HOST_MAX], int *port)
{
	const char *p = port_of(host);
	size_t n = p ? (size_t)(p - 1 - host) : strlen(host);
	bool bracket = *host == '[' && n > 2 && host[n - 1] == ']';
	if (p) {
		if (!*p || strlen(p) > 5 || strspn(p, "0123456789") != strlen(p))
			return false;
		*port = atoi(p);
	}
	snprintf(name, HOST_MAX, "%.*s", (int)(n - 2 * bracket), host + bracket);
	return *name && *port > 0 && *port < 65536;
}

/* ---- Tokens ---- */

/* http://vcr-PID:TOKEN@…: for which process it was made (shim/lend.c). 0: the user says nothing of it. */
static int pid_of(const char *user, size_t n)
{
	static const char word[] = "vcr-";
	size_t k = sizeof word - 1;
	if (n <= k || n > k + 9 || memcmp(user, word, k) || strspn(user + k, "0123456789") < n - k)
		return 0;
	return atoi(user + k);
}

static bool proxy_token(const struct vcr_gate *g, const char *value, int *pid)
{
	size_t word = value ? strcspn(value, " ") : 0;
	const char *rest = value ? value + word + strspn(value + word, " ") : NULL;
	VCR_AUTO_BUF plain = VCR_BUF_INIT;
	if (!value)
		return false;
	if (word == 6 && !strncasecmp(value, "bearer", 6))
		return vcr_gate_token_ok(g, rest, strlen(rest));
	if (word != 5 || strncasecmp(value, "basic", 5) || strlen(rest) > 1024 || vcr_buf_unbase64(&plain, rest, strlen(rest)))
		return false;
	const char *colon = memchr(plain.data, ':', plain.len);
	if (!colon)
		return false;
	*pid = pid_of(plain.data, (size_t)(colon - plain.data));
	/* http://vcr:TOKEN@…, or http://TOKEN@… as some tools write it */
	return vcr_gate_token_ok(g, colon + 1, plain.len - (size_t)(colon + 1 - plain.data)) || vcr_gate_token_ok(g, plain.data, (size_t)(colon - plain.data));
}

/* /vcr-TOKEN/HOST/…: what follows the token, or NULL. */
static const char *behind_token(const struct vcr_gate *g, const char *target)
{
	size_t k = sizeof base_path - 1;
	if (strncmp(target, base_path, k))
		return NULL;
	size_t n = strcspn(target + k, "/?");
	return vcr_gate_token_ok(g, target + k, n) ? target + k + n : NULL;
}

static bool is_absolute(const char *target)
{
	return !strncasecmp(target, "http://", 7) || !strncasecmp(target, "https://", 8);
}

int vcr_gate_connect_authorise(struct vcr_gate_exchange *c, const struct vcr_http1_head *h)
{
	const struct vcr_gate *g = c->gate;
	if (c->authorised || behind_token(g, h->target))
		return 0;
	if (!c->is_connect && !is_absolute(h->target))
		return 403;
	int pid = 0;
	if (!proxy_token(g, vcr_http1_field(h->field, h->nfield, "proxy-authorization"), &pid))
		return 407;
	c->by_proxy = true;
	if (pid && !c->pid)
		c->pid = c->request.pid = pid;
	return 0;
}

/* ---- What a request is for ---- */

static int set_host(struct vcr_gate_exchange *c, const char *host, size_t n, bool tls)
{
	const char *usual = tls ? ":443" : ":80";
	if (!is_host(host, n))
		return 400;
	free(c->host_text);
	if (!(c->host_text = strndup(host, n)))
		return 503;
	char *port = (char *)port_of(c->host_text);
	if (port && !strcmp(port - 1, usual))
		port[-1] = 0;
	c->request.host = c->host_text;
	c->request.tls = tls;
	return 0;
}

static int place_base_url(struct vcr_gate_exchange *c, const char *rest)
{
	bool plain = !strncasecmp(rest, "/http:", 6);
	const char *host = rest + (plain ? 6 : *rest == '/');
	size_t n = strcspn(host, "/?");
	int status = set_host(c, host, n, !plain);
	c->request.way = VCR_GATE_BASE_URL;
	c->request.target = host[n] == '/' ? host + n : "/";
	return status;
}

static int place_absolute(struct vcr_gate_exchange *c, const char *target)
{
	bool tls = tolower((unsigned char)target[4]) == 's';
	const char *host = target + (tls ? 8 : 7);
	size_t n = strcspn(host, "/?#");
	int status = set_host(c, host, n, tls);
	c->request.way = VCR_GATE_PROXY;
	c->request.target = host[n] == '/' ? host + n : "/";
	return status;
}

static bool is_loopback(const char *name)
{
	return !strncmp(name, "127.", 4) || !strcmp(name, "::1") || !strcasecmp(name, "localhost");
}

/* Two names of the same port of this machine: the connection only shows the address. */
static bool same_here(const char *a, const char *b, bool tls)
{
	char name[HOST_MAX], other[HOST_MAX];
	int port = tls ? 443 : 80, port2 = port;
	return split_host(a, name, &port) && split_host(b, other, &port2) && port == port2 && is_loopback(name) && is_loopback(other);
}

/* Where the connection was meant to go; else the Host field, as long as it agrees with the server name (it alone has the port). */
static int place_led(struct vcr_gate_exchange *c, const struct vcr_http1_head *h)
{
	const char *host = vcr_http1_field(h->field, h->nfield, "host"), *sni = c->ssl ? SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name) : NULL;
	char name[HOST_MAX];
	int port = 1;
	bool here = c->lead_host && host && is_host(host, strlen(host)) && same_here(c->lead_host, host, c->ssl != NULL);
	if (c->lead_host && !here)
		host = c->lead_host;
	else if (!here && sni && (!host || !split_host(host, name, &port) || strcasecmp(name, sni)))
		host = sni; /* another host's name in the field would be asked for with this one's certificate */
	if (!host)
		return 400;
	c->request.way = c->way;
	return set_host(c, host, strlen(host), c->ssl != NULL);
}

int vcr_gate_connect_named(struct vcr_gate_exchange *c)
{
	static const struct vcr_http1_head nothing;
	return place_led(c, &nothing);
}

int vcr_gate_connect_place(struct vcr_gate_exchange *c, const struct vcr_http1_head *h)
{
	const char *rest = behind_token(c->gate, c->request.target);
	if (rest)
		return place_base_url(c, rest);
	if (is_absolute(c->request.target))
		return place_absolute(c, c->request.target);
	if (*c->request.target != '/' && strcmp(c->request.target, "*"))
		return 400;
	return place_led(c, h);
}

/* ---- Lead lines ---- */

size_t vcr_gate_connect_lead(struct vcr_gate_exchange *c, const char *p, size_t n, bool *bad)
{
	const char *lf = memchr(p, '\n', n < LEAD_MAX ? n : LEAD_MAX);
	size_t k = sizeof lead_word - 1;
	if (memcmp(p, lead_word, n < k ? n : k))
		return 0 * (*bad = true);
	if (!lf) {
		*bad = n >= LEAD_MAX;
		return 0;
	}
	const char *token = p + k, *space = memchr(token, ' ', (size_t)(lf - token)), *host = space ? space + 1 : NULL;
	if (!space || !vcr_gate_token_ok(c->gate, token, (size_t)(space - token)) || !is_host(host, (size_t)(lf - host)) ||
	    !(c->lead_host = strndup(host, (size_t)(lf - host)))) {
		*bad = true;
		c->gate->stats.refused++;
		return 0;
	}
	c->authorised = true;
	return (size_t)(lf - p) + 1;
}

/* ---- CONNECT ---- */

static void refuse_tunnel(struct vcr_gate_exchange *c, int status, const char *words)
{
	c->told = false;
	c->keep_alive = false;
	vcr_gate_simple(c, status, NULL, words, strlen(words), NULL);
}

void vcr_gate_connected(struct vcr_gate_exchange *c, bool near)
{
	if (c->dead)
		return;
	c->told = false;
	if (!(c->lead_host = strdup(c->request.target))) {
		vcr_gate_kill(c);
		return;
	}
	c->authorised = true;
	c->way = VCR_GATE_PROXY;
	vcr_buf_puts(&c->pending, "HTTP/1.1 200 Connection established\r\n");
	vcr_buf_puts(&c->pending, near ? "VCR-Near: yes\r\n\r\n" : "\r\n");
	vcr_gate_conn_push(c);
	vcr_gate_conn_send(c);
	c->state = SNIFF;
	c->deadline_ms = vcr_gate_now_ms() + c->gate->o.head_ms;
	if (c->early.len) /* it did not wait */
		vcr_gate_later(c);
}

void vcr_gate_connect_begin(struct vcr_gate_exchange *c)
{
	struct vcr_gate *g = c->gate;
	char name[HOST_MAX];
	int port = PORT_TLS;
	if (c->lead_host || c->ssl || !is_host(c->request.target, strlen(c->request.target)) || !split_host(c->request.target, name, &port)) {
		refuse_tunnel(c, 400, "vcr: CONNECT wants HOST:PORT\n");
		return;
	}
	if (vcr_ca_lists(g->o.ca, name, port)) {
		c->told = true;
		if (!g->o.handler->connect || !g->o.handler->connect(g->o.ctx, c, name, port, c->pid))
			vcr_gate_connected(c, false);
		return;
	}
	if (!g->o.handler->tunnel) {
		refuse_tunnel(c, 403, "vcr: this host is not one of the run's model hosts\n");
		return;
	}
	c->told = true;
	g->o.handler->tunnel(g->o.ctx, c, name, port);
}

/* ---- Tunnels ---- */

void vcr_gate_tunnel_free(struct vcr_gate_exchange *c)
{
	struct tunnel *t = c->tunnel;
	if (!t)
		return;
	if (t->read)
		event_free(t->read);
	if (t->write)
		event_free(t->write);
	close(t->fd);
	vcr_buf_release(&t->up);
	free(t);
	c->tunnel = NULL;
}

/* Both directions have ended. */
static void maybe_over(struct vcr_gate_exchange *c)
{
	struct tunnel *t = c->tunnel;
	if (t->far_eof && t->near_eof && t->up_at == t->up.len && c->out_at == c->out.len)
		vcr_gate_kill(c);
}

static void send_up(struct vcr_gate_exchange *c)
{
	struct tunnel *t = c->tunnel;
	while (t->up_at < t->up.len) {
		ssize_t n = send(t->fd, t->up.data + t->up_at, t->up.len - t->up_at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			event_add(t->write, NULL);
			vcr_gate_conn_read(c, t->up.len - t->up_at < VCR_MAX_GATE_BACKLOG && !t->near_eof);
			return;
		}
		if (n < 0) {
			vcr_gate_kill(c);
			return;
		}
		t->up_at += (size_t)n;
	}
	vcr_buf_reset(&t->up);
	t->up_at = 0;
	event_del(t->write);
	if (t->near_eof)
		shutdown(t->fd, SHUT_WR);
	else
		vcr_gate_conn_read(c, true);
	maybe_over(c);
}

static void on_far_writable(evutil_socket_t fd, short what, void *conn)
{
	send_up(conn);
}

static void on_far_readable(evutil_socket_t fd, short what, void *conn)
{
	struct vcr_gate_exchange *c = conn;
	struct vcr_gate *g = c->gate;
	struct tunnel *t = c->tunnel;
	ssize_t n = recv(fd, g->scratch, sizeof g->scratch, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		vcr_gate_kill(c);
		return;
	}
	if (n == 0) {
		t->far_eof = true;
		event_del(t->read);
		if (c->out_at == c->out.len)
			vcr_gate_tunnel_drained(c);
		return;
	}
	vcr_buf_add(&c->pending, g->scratch, (size_t)n);
	vcr_gate_conn_push(c);
	vcr_gate_conn_send(c);
	if (!c->dead && vcr_gate_backlog(c) > VCR_MAX_GATE_BACKLOG)
		event_del(t->read);
}

void vcr_gate_tunnel_input(struct vcr_gate_exchange *c, const char *p, size_t n)
{
	if (vcr_buf_add(&c->tunnel->up, p, n))
		vcr_gate_kill(c);
	else
		send_up(c);
}

void vcr_gate_tunnel_eof(struct vcr_gate_exchange *c)
{
	c->tunnel->near_eof = true;
	vcr_gate_conn_read(c, false);
	send_up(c);
}

void vcr_gate_tunnel_drained(struct vcr_gate_exchange *c)
{
	struct tunnel *t = c->tunnel;
	if (!t->far_eof) {
		event_add(t->read, NULL);
		return;
	}
	if (c->out_at == c->out.len)
		shutdown(c->fd, SHUT_WR);
	maybe_over(c);
}

int vcr_gate_tunnel(struct vcr_gate_exchange *c, int fd)
{
	struct tunnel *t = c->dead ? NULL : calloc(1, sizeof *t);
	if (!t) {
		close(fd);
		return c->dead ? VCR_EIO : VCR_ENOMEM;
	}
	evutil_make_socket_nonblocking(fd);
	t->fd = fd;
	vcr_buf_init(&t->up, 0);
	c->tunnel = t;
	c->told = false;
	t->read = event_new(c->gate->o.base, fd, EV_READ | EV_PERSIST, on_far_readable, c);
	t->write = event_new(c->gate->o.base, fd, EV_WRITE | EV_PERSIST, on_far_writable, c);
	if (!t->read || !t->write) {
		vcr_gate_kill(c);
		return VCR_ENOMEM;
	}
	c->gate->stats.tunnels++;
	if (!c->unasked)
		vcr_buf_puts(&c->pending, "HTTP/1.1 200 Connection established\r\n\r\n");
	vcr_gate_conn_push(c);
	c->state = TUNNEL;
	vcr_gate_conn_send(c);
	event_add(t->read, NULL);
	if (c->early.len) {
		struct vcr_buf early = c->early;
		vcr_buf_init(&c->early, 0);
		vcr_gate_tunnel_input(c, early.data, early.len);
		vcr_buf_release(&early);
	}
	return c->dead ? VCR_EIO : 0;
}
