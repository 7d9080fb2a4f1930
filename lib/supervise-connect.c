/* supervise-connect.c — connects of programs that the library does not lead.
 *
 * The socket is the program's own, lent to us for the call: what a connect does to it, the program finds done. An address alone does not say
 * whose it is, so what goes to HTTP's and TLS's ports goes to the gate, which looks at what is said there (gate-connect.c). */
#include "supervise-parts.h"
#include "lead-address.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int option(int fd, int level, int what)
{
	int value = -1;
	socklen_t n = sizeof value;
	return getsockopt(fd, level, what, &value, &n) ? -1 : value;
}

/* The program's socket itself. */
static int borrow(const struct vcr_seen *p, int fd)
{
	int pid = (int)syscall(SYS_pidfd_open, p->pid, 0), own = pid < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pid, fd, 0);
	if (pid >= 0)
		close(pid);
	return own;
}

void vcr_supervise_place(const union vcr_address *a, char out[VCR_PLACE])
{
	char ip[INET6_ADDRSTRLEN] = "";
	bool v6 = a->any.sa_family == AF_INET6;
	inet_ntop(a->any.sa_family, v6 ? (const void *)&a->v6.sin6_addr : &a->v4.sin_addr, ip, sizeof ip);
	snprintf(out, VCR_PLACE, v6 ? "[%s]:%u" : "%s:%u", ip, ntohs(v6 ? a->v6.sin6_port : a->v4.sin_port));
}

static int refuse(struct vcr_supervise *s, int pid, const union vcr_address *a, bool stream, int error)
{
	struct vcr_rec_refused rec = { .kind = stream ? VCR_REFUSED_TCP : VCR_REFUSED_DATAGRAM, .error = error };
	char text[VCR_PLACE];
	vcr_supervise_place(a, text);
	s->stats.refused++;
	__atomic_fetch_add(&s->h->gate.refused, 1, __ATOMIC_RELAXED);
	vcr_supervise_append(s, VCR_REC_REFUSED, pid, &rec, sizeof rec, text, strlen(text) + 1);
	return -error;
}

/* While recording. Of a model's own address the gate tells itself. */
void vcr_supervise_say_refused(struct vcr_supervise *s, int pid, const union vcr_address *a, int error)
{
	char to[VCR_PLACE], text[sizeof to + 200];
	if (vcr_lead_lists_address(s->h, &a->any, sizeof *a))
		return;
	vcr_supervise_place(a, to);
	int n = snprintf(text, sizeof text, "a supervised program's connection to %s failed before anything was said there (%.80s): if that is a model's host, a call was not made", to, strerror(error));
	vcr_supervise_append(s, VCR_REC_LOST, pid, text, (size_t)n + 1, NULL, 0);
}

/* 0 or -errno, as connect(2) to the gate says it; the gate has been told by then. */
static int connect_gate(struct vcr_supervise *s, int pid, int fd, const union vcr_address *meant)
{
	in_port_t port = htons((uint16_t)s->h->gate.port);
	union vcr_address to = { .v4 = { .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } }, own = { 0 };
	socklen_t n = sizeof to.v4, nown = sizeof own;
	if (meant->any.sa_family == AF_INET6) {
		bool only6 = option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1;
		struct in6_addr mapped = { .s6_addr = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 } };
		to.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = only6 ? (struct in6_addr)IN6ADDR_LOOPBACK_INIT : mapped };
		n = sizeof to.v6;
	}
	int r = connect(fd, &to.any, n) ? -errno : 0;
	if ((r == 0 || r == -EINPROGRESS || r == -EINTR) && !getsockname(fd, &own.any, &nown))
		vcr_lead_say_address(s->h, &own.any, &meant->any, pid);
	return r;
}

static ino_t inode_of(int fd)
{
	struct stat st;
	return fstat(fd, &st) ? 0 : st.st_ino;
}

/* Has it been connected for this thread before, which does not know? Only once. */
static bool was_unheard(struct vcr_supervise *s, int tid, int fd)
{
	for (int i = 0; i < VCR_NOTIFY_KEPT; i++)
		if (s->unheard[i].tid == tid && s->unheard[i].socket == inode_of(fd)) {
			s->unheard[i].tid = 0;
			return true;
		}
	return false;
}

/* r: what the call was to return, and was not there to be told. */
static void note_unheard(struct vcr_supervise *s, int tid, int fd, int64_t r)
{
	unsigned at = s->next_unheard % VCR_NOTIFY_KEPT;
	if (r)
		return;
	s->unheard[at].tid = tid;
	s->unheard[at].socket = inode_of(fd);
	s->next_unheard++;
}

static bool gate_is_ready(struct vcr_supervise *s)
{
	const uint32_t *state = &s->h->gate.state;
	if (__atomic_load_n(state, __ATOMIC_ACQUIRE) != VCR_LEAD_READY && s->o.need_gate && !s->asked_for_gate) {
		s->asked_for_gate = true;
		s->o.need_gate(s->o.ctx);
	}
	return __atomic_load_n(state, __ATOMIC_ACQUIRE) == VCR_LEAD_READY;
}

/* A socket that is bound to an interface reaches nobody on this machine but by that interface: it is left alone. Said once. */
static bool is_bound(struct vcr_supervise *s, const struct vcr_seen *p, int fd, const union vcr_address *a)
{
	char to[VCR_PLACE], text[sizeof to + 100];
	if (option(fd, SOL_SOCKET, SO_BINDTOIFINDEX) <= 0)
		return false;
	vcr_supervise_place(a, to);
	int n = snprintf(text, sizeof text, "a connection to %s is bound to a network interface: what is said there is not seen", to);
	if (!s->told_bound && !s->o.replay)
		vcr_supervise_append(s, VCR_REC_LOST, p->pid, text, (size_t)n + 1, NULL, 0);
	s->told_bound = true;
	return true;
}

/* True: *r is what connect returns. False: it has ended; the program's end of the socket has an address that does not reach it. */
static bool lead(struct vcr_supervise *s, int tid, int pid, int fd, const union vcr_address *a, int64_t *r)
{
	*r = connect_gate(s, pid, fd, a);
	if (*r == -EISCONN && was_unheard(s, tid, fd))
		*r = 0;
	bool led = *r != -ECONNREFUSED && *r != -EINVAL;
	s->stats.led += led;
	__atomic_fetch_add(&s->h->gate.went_direct, !led && !s->o.replay, __ATOMIC_RELAXED);
	return led;
}

enum way { ITS_OWN, ANSWERED, WAITS };

/* ANSWERED: *r is what connect returns. WAITS: *fd is not ours any more. */
static enum way go(struct vcr_supervise *s, struct vcr_seen *p, int *fd, const union vcr_address *a, socklen_t n, int64_t *r)
{
	bool stream = option(*fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM && option(*fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP;
	enum vcr_lead_goal goal = vcr_lead_goal(s->h, &a->any, n, stream);
	int error = 0;
	if (goal == VCR_GOAL_GATE && !is_bound(s, p, *fd, a) && gate_is_ready(s) && vcr_notify_waits(s->o.notify)) {
		vcr_seen_tell(s, p); /* before the gate speaks of it */
		bool known = s->o.replay || vcr_reach_known(s, a, &error);
		if (!known && vcr_reach_begin(s, p->tid, p->pid, fd, a, !(fcntl(*fd, F_GETFL) & O_NONBLOCK)))
			return WAITS;
		*r = -error;
		if (error || lead(s, p->tid, p->pid, *fd, a, r))
			return ANSWERED;
	}
	if (goal == VCR_GOAL_NONE || !s->o.replay)
		return ITS_OWN;
	*r = refuse(s, p->pid, a, stream, stream ? ECONNREFUSED : ENETUNREACH);
	return ANSWERED;
}

void vcr_supervise_answer(struct vcr_supervise *s, uint64_t id, int tid, int pid, int fd, const union vcr_address *meant, int error)
{
	int64_t r = -error;
	bool waits = vcr_notify_waits_kept(s->o.notify, id); /* else its socket may be meant for something else by now */
	bool own_way = !waits || (!error && !lead(s, tid, pid, fd, meant, &r));
	if (!vcr_notify_answer_kept(s->o.notify, id, r, own_way) && !own_way)
		note_unheard(s, tid, fd, r);
}

void vcr_supervise_connect(struct vcr_supervise *s, struct vcr_seen *p, const struct seccomp_notif *call)
{
	union vcr_address a = { 0 };
	uint64_t n = call->data.args[2];
	int64_t r;
	vcr_reach_forget(s, (int)call->pid);
	if (n < sizeof a.any.sa_family || n > sizeof a || !vcr_seen_read(p, call->data.args[1], &a, n) || (a.any.sa_family != AF_INET && a.any.sa_family != AF_INET6)) {
		vcr_notify_go_on(s->o.notify);
		return;
	}
	int fd = borrow(p, (int)call->data.args[0]);
	s->stats.unseen += fd < 0;
	enum way way = fd < 0 ? ITS_OWN : go(s, p, &fd, &a, (socklen_t)n, &r);
	if (way == ANSWERED && !vcr_notify_answer(s->o.notify, r))
		note_unheard(s, p->tid, fd, r);
	else if (way == ITS_OWN)
		vcr_notify_go_on(s->o.notify);
	if (fd >= 0)
		close(fd);
}
