/* forward-reach.c — is there a connection to be had? A client that asks for one to a model's host, by CONNECT, hears whether there is, where it would hear it from any
 * proxy or from connect(2) (shim/ask.c, supervise-ask.c), not by a connection that is cut at its first request.
 *
 * What was made to find that out is kept for what is said next to that address, whoever says it, so that the host sees one connection, not two; for a moment, and
 * no more than a few. A line that is idle there is as good. A tunnel through the user's proxy is kept for what is said next to its host, with TLS: so the proxy is asked
 * at TLS's ports, and at others only where it failed before, for it would be asked for a connection that nobody uses.
 *
 * curl cannot be told that a socket is connected already (CURL_SOCKOPT_ALREADY_CONNECTED has no effect in 7.88): it calls connect(2) on it. That says 0, once, on a
 * socket that did not block and whose connect is complete since, as long as nobody has called it meanwhile (__inet_stream_connect, SS_CONNECTING); and curl asks
 * SO_ERROR for how a connect of its own went. */
#include "forward-parts.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEPT_MS = 2000, NEAR_US = 1000, PORT_TLS = 443, PORT_TLS_TOO = 8443, NET_HERE = 127 };

union address { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; };

/* ---- What was heard of hosts ---- */

static int known_reach(const struct vcr_forward *f, const char *host)
{
	for (int i = 0; i < REACHES; i++)
		if (!strcasecmp(f->reach[i].host, host))
			return i;
	return -1;
}

static bool is_out_of_reach(CURLcode code)
{
	return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_PROXY;
}

void vcr_forward_reached(struct vcr_forward *f, const char *host, CURLcode code)
{
	int i = known_reach(f, host);
	if (strlen(host) >= VCR_GATE_HOST)
		return;
	if (i < 0)
		strcpy(f->reach[i = (int)(f->next_reach++ % REACHES)].host, host);
	f->reach[i].out = is_out_of_reach(code);
}

const char *vcr_forward_users_proxy(void)
{
	static const char *const names[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *proxy = getenv(names[i]);
		if (proxy && *proxy)
			return proxy;
	}
	return NULL;
}

static bool was_out_of_reach(const struct vcr_forward *f, const char *host)
{
	int i = known_reach(f, host);
	return i >= 0 && f->reach[i].out;
}

/* ---- Connections that are kept ---- */

static bool peer_of(int fd, union address *a)
{
	socklen_t n = sizeof *a;
	return !getpeername(fd, &a->any, &n);
}

static bool same_address(const union address *a, const union address *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return a->any.sa_family == AF_INET6 && a->v6.sin6_port == b->v6.sin6_port && !memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr);
}

bool vcr_forward_is_quiet(int fd)
{
	char c;
	return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK); /* else it was reset */
}

static int remove_kept(struct vcr_forward *f, unsigned i)
{
	int fd = f->kept[i].fd;
	free(f->kept[i].host);
	memmove(&f->kept[i], &f->kept[i + 1], (--f->nkept - i) * sizeof *f->kept);
	return fd;
}

static void close_later(struct vcr_forward *f, uint64_t now)
{
	uint64_t left_us = f->nkept ? (KEPT_MS * 1000000ull - (now - f->kept[0].at_ns)) / 1000 + 1 : 0;
	struct timeval tv = { (time_t)(left_us / 1000000), (suseconds_t)(left_us % 1000000) };
	if (f->nkept)
		event_add(f->kept_timer, &tv);
}

/* host: of a tunnel; NULL: it is a connection to its peer. */
static void keep(struct vcr_forward *f, int fd, const char *host)
{
	char *copy = host ? strdup(host) : NULL;
	if (host && !copy) {
		close(fd);
		return;
	}
	if (f->nkept == KEPT)
		close(remove_kept(f, 0));
	f->kept[f->nkept].fd = fd;
	f->kept[f->nkept].host = copy;
	f->kept[f->nkept++].at_ns = vcr_forward_now_ns();
	if (!event_pending(f->kept_timer, EV_TIMEOUT, NULL))
		close_later(f, vcr_forward_now_ns());
}

void vcr_forward_kept_long(evutil_socket_t unused, short what, void *forward)
{
	struct vcr_forward *f = forward;
	uint64_t now = vcr_forward_now_ns();
	while (f->nkept && now - f->kept[0].at_ns >= KEPT_MS * 1000000ull)
		close(remove_kept(f, 0));
	close_later(f, now);
}

void vcr_forward_free_kept(struct vcr_forward *f)
{
	while (f->nkept)
		close(remove_kept(f, 0));
	if (f->kept_timer)
		event_free(f->kept_timer);
}

curl_socket_t vcr_forward_open_socket(void *forward, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct vcr_forward *f = forward;
	union address a = { 0 }, peer;
	memcpy(&a, &to->addr, to->addrlen < sizeof a ? to->addrlen : sizeof a);
	for (unsigned i = 0; i < f->nkept;) {
		if (f->kept[i].host || (peer_of(f->kept[i].fd, &peer) && !same_address(&a, &peer))) {
			i++;
			continue;
		}
		int fd = remove_kept(f, i);
		if (vcr_forward_is_quiet(fd))
			return fd;
		close(fd);
	}
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

int vcr_forward_take_tunnel(struct vcr_forward *f, const char *host, char to[VCR_FORWARD_TO])
{
	char ip[INET6_ADDRSTRLEN];
	union address peer;
	for (unsigned i = 0; i < f->nkept;) {
		if (!f->kept[i].host || strcasecmp(f->kept[i].host, host)) {
			i++;
			continue;
		}
		int fd = remove_kept(f, i);
		bool v4 = peer_of(fd, &peer) && peer.any.sa_family == AF_INET;
		if (vcr_forward_is_quiet(fd) && inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? (void *)&peer.v4.sin_addr : &peer.v6.sin6_addr, ip, sizeof ip)) {
			snprintf(to, VCR_FORWARD_TO, v4 ? "::%s:%u" : "::[%s]:%u", ip, ntohs(v4 ? peer.v4.sin_port : peer.v6.sin6_port));
			return fd;
		}
		close(fd);
	}
	return -1;
}

/* ---- The question ---- */

/* Is it so near that a program which does not mean to wait need not notice that it is asked about each time? */
static bool is_near(int fd)
{
	union address a;
	struct tcp_info info = { 0 };
	socklen_t n = sizeof info;
	if (!peer_of(fd, &a))
		return false;
	if (a.any.sa_family == AF_INET ? ntohl(a.v4.sin_addr.s_addr) >> 24 == NET_HERE : IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr))
		return true;
	return !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) && info.tcpi_min_rtt && info.tcpi_min_rtt <= NEAR_US;
}

/* A call that was not made, for what should have carried it could not be. */
static void show_unmade(struct transfer *t, int error)
{
	const struct vcr_forward_sink *sink = t->f->o.sink;
	uint32_t conn = t->f->o.next_conn ? t->f->o.next_conn(t->f->o.ctx) : ++t->f->conn;
	sink->open(t->f->o.ctx, conn, t->tls, t->host, t->pid, false, vcr_forward_now_ns());
	sink->close(t->f->o.ctx, conn, error, vcr_forward_now_ns());
}

/* VCR-Errno is for those who ask for a program that is led: what connect(2) said, 0 where the name has no address. */
void vcr_forward_refuse_connect(struct transfer *t, struct vcr_gate_exchange *x, CURLcode code, const char *words, size_t n)
{
	char number[16] = "0";
	struct vcr_http1_field why = { "VCR-Errno", number };
	bool nameless = code == CURLE_COULDNT_RESOLVE_HOST;
	if (!nameless)
		snprintf(number, sizeof number, "%d", vcr_forward_reason(t, code));
	vcr_gate_simple(x, 502, NULL, words, n, nameless || code == CURLE_COULDNT_CONNECT ? &why : NULL);
}

/* What the user's proxy said, but that it wants to know who asks: that is none of the client's. */
static void refuse(struct transfer *t, struct vcr_gate_exchange *x, CURLcode code, long proxy_said)
{
	static const char words[] = "vcr: the host cannot be reached\n", of_proxy[] = "vcr: the user's proxy refuses\n";
	if (code != CURLE_COULDNT_RESOLVE_HOST)
		show_unmade(t, vcr_forward_reason(t, code));
	if (proxy_said >= 400 && proxy_said <= 599 && proxy_said != 407)
		vcr_gate_simple(x, (int)proxy_said, NULL, of_proxy, sizeof of_proxy - 1, NULL);
	else
		vcr_forward_refuse_connect(t, x, code, words, sizeof words - 1);
}

/* Is what has come through that proxy as it left the host? Of the others curl alone speaks the protocol. */
static bool is_plain_proxy(const char *url)
{
	return !strstr(url, "://") || !strncasecmp(url, "http://", 7);
}

void vcr_forward_asked(struct transfer *t, struct vcr_gate_exchange *x, CURLcode code)
{
	const char *proxy = vcr_forward_users_proxy();
	curl_socket_t s = CURL_SOCKET_BAD;
	long proxy_said = 0; /* 0: there is none before this host */
	int fd = -1;
	vcr_forward_reached(t->f, t->host, code);
	if (proxy)
		curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_said);
	if (code) {
		refuse(t, x, code, proxy_said);
		return;
	}
	if ((!proxy || is_plain_proxy(proxy)) && !curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &s) && s != CURL_SOCKET_BAD)
		fd = fcntl(s, F_DUPFD_CLOEXEC, 3);
	vcr_gate_connected(x, fd >= 0 && !proxy_said && is_near(fd));
	if (fd >= 0)
		keep(t->f, fd, proxy_said ? t->host : NULL);
}

bool vcr_forward_connect(void *forward, struct vcr_gate_exchange *x, const char *host, int port, int pid)
{
	struct vcr_forward *f = forward;
	VCR_AUTO_BUF name = VCR_BUF_INIT;
	const char *proxy = vcr_forward_users_proxy();
	vcr_buf_printf(&name, port == PORT_TLS ? "%s" : strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
	bool is_asked = !proxy || (is_plain_proxy(proxy) && (port == PORT_TLS || port == PORT_TLS_TOO));
	int idle = is_asked ? vcr_line_idle_to(f, host, port) : -1;
	if (idle >= 0)
		vcr_gate_connected(x, !proxy && is_near(idle));
	return idle >= 0 || ((is_asked || was_out_of_reach(f, name.data)) && vcr_forward_open_tunnel(f, x, host, port, name.data, &pid));
}
