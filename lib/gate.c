#include "gate-parts.h"
#include "limits.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SWEEP_MS = 250, SILENT_MS = 300 /* a client that says nothing for so long may wait for the server's first word */, HEAD_MS = 20000, BODY_MS = 60000, ACCEPT_AGAIN_MS = 50, BACKLOG = 512, ACCEPTS_AT_ONCE = 64 };

int64_t vcr_gate_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool vcr_gate_token_ok(const struct vcr_gate *g, const char *p, size_t n)
{
	return n == strlen(g->token) && !CRYPTO_memcmp(p, g->token, n);
}

/* ---- Connections: a list from the one idle longest to the youngest ---- */

static void unlink_conn(struct vcr_gate_exchange *c)
{
	struct vcr_gate *g = c->gate;
	*(c->prev ? &c->prev->next : &g->first) = c->next;
	*(c->next ? &c->next->prev : &g->last) = c->prev;
	c->prev = c->next = NULL;
}

static void link_conn(struct vcr_gate_exchange *c)
{
	struct vcr_gate *g = c->gate;
	c->prev = g->last;
	*(g->last ? &g->last->next : &g->first) = c;
	g->last = c;
}

void vcr_gate_touch(struct vcr_gate_exchange *c)
{
	if (c->gate->last == c)
		return;
	unlink_conn(c);
	link_conn(c);
}

bool vcr_gate_hold(struct vcr_gate_exchange *c)
{
	struct vcr_gate *g = c->gate;
	size_t now = c->early.cap + c->out.cap + c->text.cap + c->body.cap + c->pending.cap;
	g->stats.held += now - c->held;
	c->held = now;
	return g->stats.held <= g->o.max_held;
}

void vcr_gate_later(struct vcr_gate_exchange *c)
{
	event_active(c->later, EV_TIMEOUT, 0);
}

void vcr_gate_kill(struct vcr_gate_exchange *c)
{
	if (c->dead)
		return;
	c->dead = true;
	event_del(c->read);
	event_del(c->write);
	vcr_gate_later(c);
}

static void free_conn(struct vcr_gate_exchange *c)
{
	struct vcr_gate *g = c->gate;
	unlink_conn(c);
	vcr_gate_http2_release(c);
	g->stats.conns--;
	g->stats.held -= c->held;
	struct event *events[] = { c->read, c->write, c->later };
	for (size_t i = 0; i < 3; i++)
		if (events[i])
			event_free(events[i]);
	vcr_gate_tunnel_free(c);
	if (c->ssl)
		SSL_free(c->ssl);
	if (c->fd >= 0)
		close(c->fd);
	vcr_gate_http_release(c);
	vcr_buf_release(&c->early);
	vcr_buf_release(&c->out);
	vcr_buf_release(&c->pending);
	free(c->lead_host);
	free(c->address);
	free(c);
}

/* Tell the handler what became of the exchange, once each. */
static void tell(struct vcr_gate_exchange *c, enum vcr_gate_fate fate)
{
	const struct vcr_gate_handler *h = c->gate->o.handler;
	if (h->done)
		h->done(c->gate->o.ctx, c, fate);
}

static void bury(struct vcr_gate_exchange *c)
{
	if (c->told && !c->delivered)
		tell(c, VCR_GATE_GONE);
	else if (c->told && c->reset_by_peer && c->after == KEEP) /* else our close_notify may be all that was not read */
		tell(c, VCR_GATE_UNREAD);
	free_conn(c);
}

void vcr_gate_conn_later(evutil_socket_t fd, short what, void *conn)
{
	struct vcr_gate_exchange *c = conn;
	if (c->stream) {
		vcr_gate_http2_later(c);
		return;
	}
	if (c->dead) {
		bury(c);
		return;
	}
	if (c->state == ANSWER && c->ended && !c->delivered && c->out_at == c->out.len) {
		c->delivered = true;
		if (c->told)
			tell(c, VCR_GATE_DELIVERED);
		vcr_gate_conn_finish(c);
	}
	if ((c->state == HTTP || c->state == SNIFF || c->socket) && c->early.len && !c->dead)
		vcr_gate_conn_early(c);
	if (c->eof && c->state == HTTP && !c->dead)
		vcr_gate_kill(c);
}

/* The connection that is idle longest, one that is being answered only if there is no other. */
static void evict_one(struct vcr_gate *g)
{
	struct vcr_gate_exchange *c = g->first;
	while (c && (c->dead || c->state == ANSWER || c->state == TUNNEL))
		c = c->next;
	if (!c)
		for (c = g->first; c && c->dead; c = c->next)
			;
	if (!c)
		return;
	g->stats.evicted++;
	c->dead = true;
	bury(c);
}

static void set_up_socket(int fd)
{
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static struct vcr_gate_exchange *new_conn(struct vcr_gate *g, int fd)
{
	struct vcr_gate_exchange *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->gate = g;
	c->fd = fd;
	c->state = SNIFF;
	c->way = VCR_GATE_LED;
	vcr_buf_init(&c->early, 0);
	vcr_buf_init(&c->out, 0);
	vcr_buf_init(&c->text, 0);
	vcr_buf_init(&c->body, VCR_MAX_HTTP_BODY);
	vcr_buf_init(&c->pending, 0);
	c->read = event_new(g->o.base, fd, EV_READ | EV_PERSIST, vcr_gate_conn_readable, c);
	c->write = event_new(g->o.base, fd, EV_WRITE | EV_PERSIST, vcr_gate_conn_writable, c);
	c->later = event_new(g->o.base, -1, 0, vcr_gate_conn_later, c);
	g->stats.conns++;
	link_conn(c);
	if (!c->read || !c->write || !c->later) {
		c->fd = -1; /* the caller closes it */
		free_conn(c);
		return NULL;
	}
	c->deadline_ms = vcr_gate_now_ms() + g->o.head_ms;
	vcr_gate_conn_read(c, true);
	return c;
}

/* Where names of hosts lead: what is said first decides whose it is. */
static void came_by_name(struct vcr_gate_exchange *c)
{
	union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } a = { 0 };
	socklen_t n = sizeof a;
	char text[40];
	getsockname(c->fd, &a.any, &n);
	snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port));
	c->named = c->asked = true;
	if (!(c->address = strdup(text)))
		vcr_gate_kill(c);
}

/* ---- Listening ---- */

static void pause_accepting(struct vcr_gate *g)
{
	struct timeval tv = { 0, ACCEPT_AGAIN_MS * 1000 };
	for (int i = 0; i < VCR_GATE_LISTENERS; i++)
		if (g->listen[i])
			event_del(g->listen[i]);
	event_add(g->accept_again, &tv);
}

static void accept_again(evutil_socket_t fd, short what, void *gate)
{
	struct vcr_gate *g = gate;
	for (int i = 0; i < VCR_GATE_LISTENERS; i++)
		if (g->listen[i])
			event_add(g->listen[i], NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *gate)
{
	struct vcr_gate *g = gate;
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		int s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (s < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
				evict_one(g);
				pause_accepting(g);
			}
			return;
		}
		g->stats.accepted++;
		if (g->stats.conns >= g->o.max_conns)
			evict_one(g);
		set_up_socket(s);
		struct vcr_gate_exchange *c = new_conn(g, s);
		if (!c)
			close(s);
		else if (fd != g->listen_fd[0] && fd != g->listen_fd[1])
			came_by_name(c);
	}
}

static void on_sweep(evutil_socket_t fd, short what, void *gate)
{
	struct vcr_gate *g = gate;
	int64_t now = vcr_gate_now_ms();
	for (struct vcr_gate_exchange *c = g->first, *next; c; c = next) {
		next = c->next;
		if (!c->dead && c->state == SNIFF && !c->named && !c->early.len && g->o.meant && now > c->deadline_ms - g->o.head_ms + SILENT_MS) {
			vcr_gate_conn_meant(c); /* may not be known yet: who connected may have been put off its core before it could say so */
			vcr_gate_address_silent(c, now - (c->deadline_ms - g->o.head_ms));
		}
		if (!c->dead && c->http2)
			vcr_gate_http2_sweep(c, now);
		if (!c->dead && c->deadline_ms && now > c->deadline_ms) {
			g->stats.timed_out += c->state != LINGER;
			vcr_gate_kill(c);
		}
	}
}

static int bind_one(const struct sockaddr *a, socklen_t n)
{
	int one = 1, fd = socket(a->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (a->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (!bind(fd, a, n) && !listen(fd, BACKLOG))
		return fd;
	int err = errno;
	close(fd);
	errno = err;
	return -1;
}

/* 127.0.0.1 can be bound while its interface is down, and then nobody can connect. */
static bool loopback_is_down(void)
{
	struct ifreq r = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool down = fd >= 0 && !ioctl(fd, SIOCGIFFLAGS, &r) && !(r.ifr_flags & IFF_UP);
	if (fd >= 0)
		close(fd);
	return down;
}

static int listen_on(struct vcr_gate *g, struct vcr_error *e)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)g->o.port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	socklen_t n = sizeof v4;
	if (loopback_is_down())
		return vcr_error_set(e, VCR_EIO, "the loopback interface is down, so no program can reach 127.0.0.1: ip link set lo up");
	/* The port may be taken on ::1 while it is free on 127.0.0.1: then another is tried. */
	for (int attempt = 0; attempt < 8; attempt++) {
		v4.sin_port = htons((uint16_t)g->o.port);
		g->listen_fd[0] = bind_one((struct sockaddr *)&v4, sizeof v4);
		if (g->listen_fd[0] < 0 || getsockname(g->listen_fd[0], (struct sockaddr *)&v4, &n)) {
			int err = errno;
			return vcr_error_sys(e, err, "127.0.0.1:%d cannot be bound", g->o.port);
		}
		g->port = ntohs(v4.sin_port);
		v6.sin6_port = v4.sin_port;
		g->listen_fd[1] = bind_one((struct sockaddr *)&v6, sizeof v6);
		if (g->listen_fd[1] >= 0 || errno != EADDRINUSE || g->o.port)
			return 0;
		close(g->listen_fd[0]);
		g->listen_fd[0] = -1;
	}
	return vcr_error_set(e, VCR_EBUSY, "no port is free on both 127.0.0.1 and ::1");
}

/* Ours from here on, also when it fails. */
static int take_over(struct vcr_gate *g, struct vcr_error *e)
{
	struct sockaddr_in v4;
	socklen_t n = sizeof v4;
	memcpy(g->listen_fd, g->o.listeners, sizeof g->listen_fd);
	g->o.listeners = NULL;
	for (int i = 0; i < VCR_GATE_LISTENERS; i++)
		if (g->listen_fd[i] >= 0)
			evutil_make_socket_nonblocking(g->listen_fd[i]);
	if (getsockname(g->listen_fd[0], (struct sockaddr *)&v4, &n) || v4.sin_family != AF_INET)
		return vcr_error_sys(e, errno, "the gate's listener");
	g->port = ntohs(v4.sin_port);
	return 0;
}

static int start_events(struct vcr_gate *g)
{
	struct timeval tv = { 0, SWEEP_MS * 1000 };
	g->sweep = event_new(g->o.base, -1, EV_PERSIST, on_sweep, g);
	g->accept_again = event_new(g->o.base, -1, 0, accept_again, g);
	if (!g->sweep || !g->accept_again || event_add(g->sweep, &tv))
		return VCR_ENOMEM;
	for (int i = 0; i < VCR_GATE_LISTENERS; i++)
		if (g->listen_fd[i] >= 0 && (!(g->listen[i] = event_new(g->o.base, g->listen_fd[i], EV_READ | EV_PERSIST, on_accept, g)) || event_add(g->listen[i], NULL)))
			return VCR_ENOMEM;
	return 0;
}

static bool token_fits(const char *t)
{
	return t && strlen(t) >= 16 && strspn(t, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(t);
}

int vcr_gate_new(struct vcr_gate **out, const struct vcr_gate_options *o, struct vcr_error *e)
{
	struct vcr_gate *g = calloc(1, sizeof *g);
	if (!g)
		return vcr_error_set(e, VCR_ENOMEM, "gate: out of memory");
	g->o = *o;
	g->o.head_ms = o->head_ms ? o->head_ms : HEAD_MS;
	g->o.idle_ms = o->idle_ms ? o->idle_ms : BODY_MS;
	g->o.max_conns = o->max_conns ? o->max_conns : VCR_MAX_GATE_CONNS;
	g->o.max_held = o->max_held ? o->max_held : VCR_MAX_GATE_HELD;
	memset(g->listen_fd, -1, sizeof g->listen_fd);
	int err = token_fits(o->token) ? 0 : vcr_error_set(e, VCR_EINVAL, "gate: the token is too short or holds other characters than letters and digits");
	if (!err && (!(g->token = strdup(o->token)) || !(g->tls = vcr_gate_tls_new(g))))
		err = vcr_error_set(e, VCR_ENOMEM, "gate: out of memory");
	if (!err)
		err = o->listeners ? take_over(g, e) : listen_on(g, e);
	if (!err && start_events(g))
		err = vcr_error_set(e, VCR_ENOMEM, "gate: out of memory");
	if (err)
		vcr_gate_free(g);
	else
		*out = g;
	return err;
}

void vcr_gate_free(struct vcr_gate *g)
{
	if (!g)
		return;
	while (g->first)
		free_conn(g->first);
	while (g->orphans)
		vcr_gate_http2_free_stream(g->orphans);
	if (g->sweep)
		event_free(g->sweep);
	if (g->accept_again)
		event_free(g->accept_again);
	for (int i = 0; i < VCR_GATE_LISTENERS; i++)
		if (g->listen[i])
			event_free(g->listen[i]);
	for (int i = 0; i < VCR_GATE_LISTENERS; i++)
		if (g->listen_fd[i] >= 0)
			close(g->listen_fd[i]);
	SSL_CTX_free(g->tls);
	free(g->token);
	free(g);
}

int vcr_gate_port(const struct vcr_gate *g)
{
	return g->port;
}

bool vcr_gate_has_v6(const struct vcr_gate *g)
{
	return g->listen_fd[1] >= 0;
}

void vcr_gate_stats(const struct vcr_gate *g, struct vcr_gate_stats *s)
{
	*s = g->stats;
}

void vcr_gate_set_user(struct vcr_gate_exchange *x, void *user)
{
	x->user = user;
}

void *vcr_gate_user(const struct vcr_gate_exchange *x)
{
	return x->user;
}
