/* sock.c — HTTP without TLS: Ollama, vLLM, a gateway on this machine. A connected stream socket is looked at when its first bytes go
 * out; TLS and everything that is not HTTP is let go at once. A GET alone is no reason to start a session: from a request
 * on that may be a model call, or when a collector is there anyway, the connection is recorded. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>
#include "shim.h"

static bool starts(const char *p, size_t n, const char *word)
{
	size_t k = strlen(word);
	return n >= k && !memcmp(p, word, k);
}

static bool is_tls(const char *p, size_t n)
{
	return n >= 2 && p[0] == 0x16 && p[1] == 3;
}

/* HTTP/2 whose client knew that it would be understood: what is asked comes in a coding of its own, so the preface must do for a request. */
#define PREFACE "PRI * HTTP/2"

static const char method[][sizeof PREFACE] = { "GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "PATCH ", "OPTIONS ", "CONNECT ", PREFACE };
enum { METHODS = sizeof method / sizeof *method };

static bool is_http(const char *p, size_t n)
{
	for (size_t i = 0; i < METHODS; i++)
		if (starts(p, n, method[i]))
			return true;
	return false;
}

/* ---- Requests that come in small pieces: what there is may be the beginning of a method. Which, and how much, is kept where a VCR_FD_SOCKET without copies has
 * its number later ---- */

enum { BEGUN = 1 << 30, BEGUN_SIZE = 0xff, BEGUN_METHOD = 8 };

static bool may_be_http(int fd, const char *p, size_t n)
{
	for (size_t i = 0; i < METHODS && !(vcr_fd_at(fd)->conn & VCR_FD_PAIR); i++)
		if (n < strlen(method[i]) && !memcmp(p, method[i], n)) {
			vcr_fd_at(fd)->conn = (uint32_t)(BEGUN | i << BEGUN_METHOD | n);
			return true;
		}
	return false;
}

/* What was sent before, and how much of it. */
static size_t begun(int fd, char out[sizeof PREFACE])
{
	uint32_t is = vcr_fd_get(fd) == VCR_FD_SOCKET ? vcr_fd_at(fd)->conn : 0, i = is >> BEGUN_METHOD & 0xff;
	size_t n = is & BEGUN_SIZE;
	if (is & VCR_FD_PAIR || !(is & BEGUN) || i >= METHODS || n >= sizeof PREFACE)
		return 0;
	memcpy(out, method[i], n);
	return n;
}

/* "address:port" of the peer, empty if it has none. */
static void peer_name(int fd, char out[128], bool *local)
{
	union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; struct sockaddr_un un; } a;
	socklen_t n = sizeof a;
	*out = 0;
	*local = false;
	if (fd < 0 || vcr_self.sandboxed || vcr_call3(SYS_getpeername, fd, (long)&a, (long)&n))
		return;
	if (a.any.sa_family == AF_UNIX) {
		*local = true;
		size_t room = sizeof a.un.sun_path < 127 ? sizeof a.un.sun_path : 127;
		memcpy(out, a.un.sun_path, room);
		out[n > offsetof(struct sockaddr_un, sun_path) ? strnlen(out, n - offsetof(struct sockaddr_un, sun_path)) : 0] = 0;
	} else if (a.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a.v4.sin_addr, out, 64);
		vcr_format_number(vcr_format(out + strlen(out), ":"), ntohs(a.v4.sin_port), 1);
	} else if (a.any.sa_family == AF_INET6) {
		*out = '[';
		inet_ntop(AF_INET6, &a.v6.sin6_addr, out + 1, 64);
		vcr_format_number(vcr_format(out + strlen(out), "]:"), ntohs(a.v6.sin6_port), 1);
	}
}

uint32_t vcr_conn_open(uint32_t kind, int fd, const char *server)
{
	char peer[128];
	bool local;
	peer_name(fd, peer, &local);
	uint32_t conn = vcr_next_conn();
	if (kind != VCR_CONN_PIPE && !vcr_guest())
		vcr_stand_spoke();
	struct vcr_rec_conn c = { .kind = local && kind == VCR_CONN_PLAIN ? VCR_CONN_UNIX : kind, .fd = fd };
	struct vcr_piece piece[3] = { { &c, sizeof c }, vcr_text(server), vcr_text(peer) };
	return conn && vcr_append(VCR_REC_CONN, conn, 0, piece, 3, 0) ? conn : 0;
}

void vcr_conn_closed(uint32_t conn, int32_t reason)
{
	struct vcr_piece piece = { &reason, sizeof reason };
	vcr_append(VCR_REC_CLOSE, conn, 0, &piece, 1, VCR_RING);
}

/* May a request that begins so be worth a session? */
static bool worth(const char *p, size_t n)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	return starts(p, n, "POST ") || starts(p, n, PREFACE) || (h && vcr_collector_alive(h) && is_http(p, n) && !starts(p, n, "CONNECT "));
}

/* Look at bytes that are about to be taken for a request. True: the connection is recorded from here on. */
static bool judge(int fd, const char *p, size_t n, uint64_t time_ns)
{
	char head[2 * sizeof PREFACE];
	int kind = vcr_fd_get(fd);
	if (kind == VCR_FD_PLAIN)
		return true;
	if (kind == VCR_FD_STDIO) {
		vcr_rpc_not();
		return false;
	}
	if (kind == VCR_FD_TLS) {
		vcr_unheard_out(fd, p, n);
		return false;
	}
	if (!vcr_ready() || vcr_guest())
		return false;
	size_t before = begun(fd, head), more = n < sizeof head - before ? n : sizeof head - before;
	if (before) {
		memcpy(head + before, p, more);
		p = head;
		n = before + more;
	}
	if (kind == VCR_FD_SOCKET && may_be_http(fd, p, n))
		return false;
	if (is_tls(p, n) && !vcr_tap_refused() && vcr_unheard_hello(fd, p, n)) {
		vcr_fd_set(fd, VCR_FD_TLS);
		return false;
	}
	if (is_tls(p, n))
		vcr_tap_unseen();
	if (is_tls(p, n) || (kind == VCR_FD_SOCKET && !is_http(p, n))) {
		vcr_fd_set(fd, VCR_FD_NONE);
		return false;
	}
	vcr_fd_set(fd, VCR_FD_HTTP);
	if (!worth(p, n))
		return false;
	vcr_want_collector();
	uint32_t conn = vcr_conn_open(VCR_CONN_PLAIN, fd, "");
	if (conn)
		vcr_fd_plain(fd, conn);
	if (conn && before)
		vcr_append_bytes(VCR_REC_OUT, conn, time_ns, head, before, 0);
	return conn != 0;
}

/* A descriptor that came by a message or through exec is unknown; what begins like a model call shows what it is. */
static bool is_unknown_call(int fd, const void *p, ssize_t n)
{
	return n >= 5 && (unsigned)fd < VCR_FDS && vcr_fd_get(fd) == VCR_FD_NONE && !memcmp(p, "POST ", 5);
}

void vcr_sock_out(int fd, const void *buf, size_t n, uint64_t time_ns)
{
	if (judge(fd, buf, n, time_ns) && !vcr_muted(vcr_fd_at(fd)->conn))
		vcr_append_bytes(VCR_REC_OUT, vcr_fd_at(fd)->conn, time_ns, buf, n, VCR_RING);
}

void vcr_sock_out_iov(int fd, const struct iovec *v, size_t count, size_t n, uint64_t time_ns)
{
	for (; count && n; v++, count--) {
		size_t part = v->iov_len < n ? v->iov_len : n;
		if (part)
			vcr_sock_out(fd, v->iov_base, part, time_ns);
		n -= part;
	}
}

/* The bytes never passed through the program: read them from the file that they came from. */
void vcr_sock_out_file(int fd, int from, uint64_t at, size_t n, uint64_t time_ns)
{
	if (vcr_fd_get(fd) != VCR_FD_PLAIN || vcr_self.sandboxed)
		return;
	while (n) {
		char part[4096];
		long got = raw_pread(from, part, n < sizeof part ? n : sizeof part, at);
		if (got <= 0) {
			vcr_lost(n);
			return;
		}
		vcr_sock_out(fd, part, (size_t)got, time_ns);
		at += (uint64_t)got;
		n -= (size_t)got;
	}
}

void vcr_sock_in(int fd, const void *buf, size_t n)
{
	if (vcr_fd_get(fd) == VCR_FD_STDIO)
		vcr_rpc_in(buf, n);
	if (vcr_fd_get(fd) == VCR_FD_TLS)
		vcr_unheard_in(fd);
	uint32_t conn = (unsigned)fd < VCR_FDS && vcr_fd_get(fd) == VCR_FD_PLAIN ? vcr_fd_at(fd)->conn : 0;
	if (!conn || vcr_guest())
		return;
	if (!n)
		vcr_conn_closed(conn, 1);
	else if (!vcr_muted(conn))
		vcr_append_bytes(VCR_REC_IN, conn, 0, buf, n, 0);
}

void vcr_sock_in_iov(int fd, const struct iovec *v, size_t count, size_t n)
{
	if (!n)
		vcr_sock_in(fd, "", 0);
	for (; count && n; v++, count--) {
		size_t part = v->iov_len < n ? v->iov_len : n;
		if (part)
			vcr_sock_in(fd, v->iov_base, part);
		n -= part;
	}
}

/* Does this error of a read or write end the connection? */
static bool is_end(int error)
{
	return error == ECONNRESET || error == ETIMEDOUT || error == EPIPE || error == ECONNABORTED || error == EHOSTUNREACH || error == ENETUNREACH ||
		error == ENETDOWN || error == ENETRESET;
}

void vcr_sock_failed(int fd, int error)
{
	uint32_t conn = is_end(error) && (unsigned)fd < VCR_FDS && vcr_fd_get(fd) == VCR_FD_PLAIN ? vcr_fd_at(fd)->conn : 0;
	if (conn && !vcr_guest() && !vcr_muted(conn))
		vcr_conn_closed(conn, error);
}

ssize_t vcr_sock_was_read(int fd, const void *buf, ssize_t r, size_t room)
{
	int saved = errno;
	if (r > 0 || (r == 0 && room))
		vcr_sock_in(fd, buf, (size_t)r);
	else if (r < 0)
		vcr_sock_failed(fd, saved);
	errno = saved;
	return r;
}

/* A connection that the program before us has left open for us, below a number that costs nothing to look through. Standard descriptors are others' business:
 * what asks there and what is answered are two programs, as a rule. A program that was started under a filter of system calls may not have socket calls
 * among them; fstat is what every program does at its start. */
VCR_EARLY void vcr_sock_inherited(void)
{
	enum { FIRST = 3, LAST = 15 };
	for (int fd = FIRST; fd <= LAST; fd++) {
		union { struct sockaddr any; char room[128]; } a;
		int type = 0;
		socklen_t size = sizeof type, n = sizeof a;
		struct stat st;
		if (raw_fstat(fd, &st) || !S_ISSOCK(st.st_mode) || vcr_fd_get(fd) || vcr_call6(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, (long)&type, (long)&size, 0) || type != SOCK_STREAM)
			continue;
		if (!vcr_call3(SYS_getpeername, fd, (long)&a, (long)&n) && (a.any.sa_family == AF_INET || a.any.sa_family == AF_INET6))
			vcr_fd_set(fd, VCR_FD_SOCKET);
	}
}

/* ---- hooks ---- */

static void connected(int fd, const struct sockaddr *a, socklen_t n)
{
	int type = 0;
	socklen_t size = sizeof type;
	if (!vcr_ready() || vcr_self.sandboxed || n < sizeof a->sa_family || vcr_call6(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, (long)&type, (long)&size, 0))
		return;
	bool stream = type == SOCK_STREAM && (a->sa_family == AF_INET || a->sa_family == AF_INET6 || a->sa_family == AF_UNIX);
	if (vcr_guest()) { /* the table is of its parent's descriptors: what is said there is not looked at */
		if (stream && a->sa_family != AF_UNIX)
			vcr_lost(0);
		return;
	}
	int kind = vcr_fd_get(fd);
	if (kind == VCR_FD_PLAIN)
		vcr_fd_closed(fd);
	if ((kind || stream) && (unsigned)fd < VCR_FDS) {
		vcr_fd_at(fd)->conn = 0;
		vcr_fd_set(fd, stream ? VCR_FD_SOCKET : VCR_FD_NONE);
	}
}

int connect(int fd, const struct sockaddr *a, socklen_t n)
{
	int r;
	if (a && n >= sizeof a->sa_family && a->sa_family != AF_UNIX)
		vcr_gate_wanted();
	vcr_caller = __builtin_return_address(0);
	enum vcr_lead_way way = vcr_lead_connect(fd, a, n, &r);
	if (way == VCR_LEAD_ANSWERED)
		return r;
	if (way == VCR_LEAD_OWN_WAY)
		r = VCR_REAL(connect)(fd, a, n);
	int saved = errno; /* interrupted, it goes on by itself: connect(2) */
	if ((r == 0 || saved == EINPROGRESS || saved == EINTR) && a && (unsigned)fd < VCR_FDS)
		connected(fd, a, n);
	if (r < 0)
		vcr_failed_connect(fd, a, n, saved);
	errno = saved;
	return r;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
	int r = VCR_REAL(getsockopt)(fd, level, name, value, size);
	if (vcr_likely(r || level != SOL_SOCKET || name != SO_ERROR || vcr_fd_get(fd) != VCR_FD_SOCKET || !value || !size || *size < sizeof(int)))
		return r;
	int saved = errno, error;
	memcpy(&error, value, sizeof error);
	vcr_failed_result(fd, error);
	errno = saved;
	return r;
}

static ssize_t sent(int fd, const void *buf, ssize_t r, uint64_t time_ns)
{
	int saved = errno;
	if (r > 0)
		vcr_sock_out(fd, buf, (size_t)r, time_ns);
	else if (r < 0)
		vcr_sock_failed(fd, saved);
	errno = saved;
	return r;
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	if (vcr_likely(!vcr_fd_is_socket(vcr_fd_get(fd)))) {
		ssize_t r = VCR_REAL(send)(fd, buf, n, flags);
		return vcr_unlikely(is_unknown_call(fd, buf, r)) ? sent(fd, buf, r, vcr_now()) : r;
	}
	vcr_caller = __builtin_return_address(0);
	uint64_t time_ns = vcr_now();
	return sent(fd, buf, VCR_REAL(send)(fd, buf, n, flags), time_ns);
}

/* Bytes that carry their address with them. TCP's fast open connects by them: it is done in two steps, as where the server has given no cookie yet. */
static bool kept_in(int fd, const struct sockaddr *to, socklen_t size, int *flags)
{
	if (vcr_likely(!to || !vcr_lead()))
		return false;
	if (!(*flags & MSG_FASTOPEN))
		return vcr_lead_refuses(fd, to, size);
	*flags &= ~MSG_FASTOPEN;
	return connect(fd, to, size) != 0;
}

ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *to, socklen_t size)
{
	if (kept_in(fd, to, size, &flags))
		return -1;
	if (vcr_likely(!vcr_fd_is_socket(vcr_fd_get(fd))))
		return VCR_REAL(sendto)(fd, buf, n, flags, to, size);
	vcr_caller = __builtin_return_address(0);
	uint64_t time_ns = vcr_now();
	return sent(fd, buf, VCR_REAL(sendto)(fd, buf, n, flags, to, size), time_ns);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (vcr_unlikely(m && m->msg_name) && kept_in(fd, m->msg_name, m->msg_namelen, &flags))
		return -1;
	if (vcr_likely(!vcr_fd_is_socket(vcr_fd_get(fd))))
		return VCR_REAL(sendmsg)(fd, m, flags);
	vcr_caller = __builtin_return_address(0);
	uint64_t time_ns = vcr_now();
	ssize_t r = VCR_REAL(sendmsg)(fd, m, flags);
	int saved = errno;
	if (r > 0)
		vcr_sock_out_iov(fd, m->msg_iov, m->msg_iovlen, (size_t)r, time_ns);
	else if (r < 0)
		vcr_sock_failed(fd, saved);
	errno = saved;
	return r;
}

int sendmmsg(int fd, struct mmsghdr *m, unsigned count, int flags)
{
	for (unsigned i = 0; m && i < count; i++)
		if (vcr_unlikely(m[i].msg_hdr.msg_name) && kept_in(fd, m[i].msg_hdr.msg_name, m[i].msg_hdr.msg_namelen, &flags))
			return -1;
	bool watched = vcr_fd_is_socket(vcr_fd_get(fd));
	vcr_caller = __builtin_return_address(0);
	uint64_t time_ns = watched ? vcr_now() : 0;
	int r = VCR_REAL(sendmmsg)(fd, m, count, flags), saved = errno;
	for (int i = 0; watched && i < r; i++)
		vcr_sock_out_iov(fd, m[i].msg_hdr.msg_iov, m[i].msg_hdr.msg_iovlen, m[i].msg_len, time_ns);
	errno = saved;
	return r;
}

static bool receives(int fd, int flags)
{
	int kind = vcr_fd_get(fd);
	return vcr_unlikely(kind == VCR_FD_PLAIN || kind == VCR_FD_TLS) && !(flags & MSG_PEEK);
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	ssize_t r = VCR_REAL(recv)(fd, buf, n, flags);
	return receives(fd, flags) ? vcr_sock_was_read(fd, buf, r, n) : r;
}

ssize_t __recv_chk(int fd, void *buf, size_t n, size_t room, int flags)
{
	ssize_t r = VCR_REAL(__recv_chk)(fd, buf, n, room, flags);
	return receives(fd, flags) ? vcr_sock_was_read(fd, buf, r, n) : r;
}

ssize_t recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *from, socklen_t *size)
{
	ssize_t r = VCR_REAL(recvfrom)(fd, buf, n, flags, from, size);
	return receives(fd, flags) ? vcr_sock_was_read(fd, buf, r, n) : r;
}

ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t room, int flags, struct sockaddr *from, socklen_t *size)
{
	ssize_t r = VCR_REAL(__recvfrom_chk)(fd, buf, n, room, flags, from, size);
	return receives(fd, flags) ? vcr_sock_was_read(fd, buf, r, n) : r;
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t r = VCR_REAL(recvmsg)(fd, m, flags);
	if (receives(fd, flags)) {
		int saved = errno;
		if (r >= 0)
			vcr_sock_in_iov(fd, m->msg_iov, m->msg_iovlen, (size_t)r);
		else
			vcr_sock_failed(fd, saved);
		errno = saved;
	}
	return r;
}

int recvmmsg(int fd, struct mmsghdr *m, unsigned count, int flags, struct timespec *timeout)
{
	int r = VCR_REAL(recvmmsg)(fd, m, count, flags, timeout), saved = errno;
	for (int i = 0; receives(fd, flags) && i < r; i++)
		vcr_sock_in_iov(fd, m[i].msg_hdr.msg_iov, m[i].msg_hdr.msg_iovlen, m[i].msg_len);
	errno = saved;
	return r;
}
