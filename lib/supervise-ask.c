/* supervise-ask.c — can the gate connect there? For programs that the supervisor leads what ../shim/ask.c is for those that the library leads: where a host
 * refuses, the program's connect says so, as it would without us, instead of a request that is reset.
 *
 * The question is a CONNECT on a socket of our own. Meanwhile the program's call waits (notify.h), as a connect does, and others are served; a socket that does
 * not block waits for a moment only, and is led then. An answer that comes after that is for those who connect next. What is known holds for
 * a moment where it is a refusal, else until the gate has trouble with any host. */
#include "supervise-parts.h"
#include "buf.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIMIT_MS = 2000, SOON_MS = 100, REFUSED_MS = 1000 };

/* ---- What is known ---- */

static uint32_t troubles(const struct vcr_supervise *s)
{
	return __atomic_load_n(&s->h->gate.troubles, __ATOMIC_ACQUIRE);
}

static bool same_place(const union vcr_address *a, const union vcr_address *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return a->v6.sin6_port == b->v6.sin6_port && !memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr);
}

static struct vcr_reach *find(struct vcr_supervise *s, const union vcr_address *a)
{
	for (int i = 0; i < VCR_REACHES; i++)
		if (s->reach[i].known && same_place(&s->reach[i].to, a))
			return &s->reach[i];
	return NULL;
}

bool vcr_reach_known(struct vcr_supervise *s, const union vcr_address *a, int *error)
{
	const struct vcr_reach *r = find(s, a);
	if (!r || (r->error ? vcr_supervise_now() > r->at_ns + REFUSED_MS * 1000000ull : r->troubles != troubles(s)))
		return false;
	*error = r->error;
	return true;
}

static void remember(struct vcr_supervise *s, const struct vcr_asking *q, int error)
{
	struct vcr_reach *r = find(s, &q->meant);
	if (!r)
		r = &s->reach[s->next_reach++ % VCR_REACHES];
	*r = (struct vcr_reach){ .known = true, .told = r->told && same_place(&r->to, &q->meant), .error = error, .to = q->meant, .at_ns = vcr_supervise_now(), .troubles = q->troubles };
	if (error && !r->told)
		vcr_supervise_say_refused(s, q->pid, &q->meant, error);
	r->told |= error != 0;
}

/* ---- The question ---- */

/* The user's name is the process that asks: gate-connect.c. */
static int write_question(const struct vcr_supervise *s, const struct vcr_asking *q, struct vcr_buf *out)
{
	char place[VCR_PLACE], user[64 + VCR_LEAD_TOKEN];
	vcr_supervise_place(&q->meant, place);
	int n = snprintf(user, sizeof user, "vcr-%d:%.*s", q->pid, (int)VCR_LEAD_TOKEN - 1, s->h->gate.token);
	vcr_buf_printf(out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Basic ", place, place);
	vcr_buf_base64(out, user, (size_t)n);
	vcr_buf_puts(out, "\r\n\r\n");
	return out->err;
}

/* On loopback a connect is complete, and so short a text with the kernel, before either returns. */
static int put_question(const struct vcr_supervise *s, const struct vcr_asking *q)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct sockaddr_in gate = { .sin_family = AF_INET, .sin_port = htons((uint16_t)s->h->gate.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = write_question(s, q, &text) ? -1 : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if ((connect(fd, (struct sockaddr *)&gate, sizeof gate) && errno != EINPROGRESS) || send(fd, text.data, text.len, MSG_NOSIGNAL) != (ssize_t)text.len) {
		close(fd);
		return -1;
	}
	return fd;
}

bool vcr_reach_begin(struct vcr_supervise *s, int tid, int pid, int *fd, const union vcr_address *meant, bool waits)
{
	for (int i = 0; i < VCR_NOTIFY_KEPT; i++) {
		struct vcr_asking *q = &s->asking[i];
		if (q->used)
			continue;
		*q = (struct vcr_asking){ .tid = tid, .pid = pid, .fd = -1, .meant = *meant, .troubles = troubles(s), .since_ns = vcr_supervise_now(), .limit_ms = waits ? LIMIT_MS : SOON_MS };
		q->gate = put_question(s, q);
		q->id = q->gate < 0 ? 0 : vcr_notify_keep(s->o.notify);
		q->used = q->id;
		if (!q->used) {
			if (q->gate >= 0)
				close(q->gate);
			return false;
		}
		q->fd = *fd;
		*fd = -1;
		return true;
	}
	return false;
}

/* ---- The answer ---- */

/* The number behind VCR-Errno in a refusal; 0: it can connect there, or nobody knows. A name that has no address was no address. */
static int said_by(const char *answer)
{
	static const char field[] = "VCR-Errno: ";
	const char *at = strncmp(answer, "HTTP/1.1 502", 12) ? NULL : strstr(answer, field);
	int error = at ? atoi(at + sizeof field - 1) : 0;
	return error > 0 && error < 4096 ? error : 0;
}

/* True: all of its head has come, or nothing will. */
static bool hear(struct vcr_asking *q)
{
	for (;;) {
		ssize_t n = recv(q->gate, q->text + q->n, sizeof q->text - 1 - q->n, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
			return false;
		if (n > 0)
			q->text[q->n += (size_t)n] = 0;
		if (n <= 0 || q->n == sizeof q->text - 1 || strstr(q->text, "\r\n\r\n"))
			return true;
	}
}

static void answer(struct vcr_supervise *s, struct vcr_asking *q, int error)
{
	if (q->id)
		vcr_supervise_answer(s, q->id, q->tid, q->pid, q->fd, &q->meant, error);
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
	q->id = 0;
}

/* The question stays: its answer is for others, and for this one, which asks again. */
void vcr_reach_forget(struct vcr_supervise *s, int tid)
{
	for (int i = 0; i < VCR_NOTIFY_KEPT; i++) {
		struct vcr_asking *q = &s->asking[i];
		if (!q->used || !q->id || q->tid != tid)
			continue;
		vcr_notify_answer_kept(s->o.notify, q->id, 0, true);
		close(q->fd);
		q->fd = -1;
		q->id = 0;
	}
}

static void end(struct vcr_asking *q)
{
	close(q->gate);
	q->used = false;
}

static uint64_t age_ms(const struct vcr_asking *q)
{
	return (vcr_supervise_now() - q->since_ns) / 1000000;
}

void vcr_reach_look(struct vcr_supervise *s)
{
	for (int i = 0; i < VCR_NOTIFY_KEPT; i++) {
		struct vcr_asking *q = &s->asking[i];
		if (!q->used)
			continue;
		bool heard = hear(q), over = heard || age_ms(q) >= LIMIT_MS;
		int error = heard ? said_by(q->text) : 0;
		if (over)
			remember(s, q, error);
		if (over || age_ms(q) >= q->limit_ms)
			answer(s, q, error);
		if (over)
			end(q);
	}
}

unsigned vcr_reach_poll(const struct vcr_supervise *s, struct pollfd *p, int *timeout_ms)
{
	unsigned n = 0;
	for (int i = 0; i < VCR_NOTIFY_KEPT; i++) {
		const struct vcr_asking *q = &s->asking[i];
		if (!q->used)
			continue;
		uint64_t age = age_ms(q), limit = q->id ? q->limit_ms : LIMIT_MS;
		int left = age >= limit ? 0 : (int)(limit - age);
		p[n++] = (struct pollfd){ q->gate, POLLIN, 0 };
		if (*timeout_ms < 0 || left < *timeout_ms)
			*timeout_ms = left;
	}
	return n;
}

void vcr_reach_release(struct vcr_supervise *s)
{
	for (int i = 0; i < VCR_NOTIFY_KEPT; i++)
		if (s->asking[i].used) {
			answer(s, &s->asking[i], 0);
			end(&s->asking[i]);
		}
}
