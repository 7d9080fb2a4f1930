#include "asked.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_S = 5, BACKLOG = 64, STEP = 16 << 10 };

/* One who asks. */
struct one {
	struct vcr_asked *a;
	struct one *next, **link;
	struct event *ev;
	int fd;
	struct vcr_buf said, answer;
	size_t sent;
};

struct vcr_asked {
	struct event_base *base;
	struct event *ev;
	int fd;
	char path[sizeof ((struct sockaddr_un *)0)->sun_path];
	size_t most, n;
	vcr_asked_fn *fn;
	void *ctx;
	struct one *first;
};

static const struct timeval patience = { PATIENCE_S, 0 };

static void hang_up(struct one *o)
{
	struct vcr_asked *a = o->a;
	if (o->ev)
		event_free(o->ev);
	close(o->fd);
	vcr_buf_release(&o->said);
	vcr_buf_release(&o->answer);
	*o->link = o->next;
	if (o->next)
		o->next->link = o->link;
	free(o);
	if (a->n-- == VCR_ASKED_AT_ONCE && a->ev)
		event_add(a->ev, NULL);
}

static void tell(evutil_socket_t fd, short what, void *one)
{
	struct one *o = one;
	size_t before = o->sent;
	ssize_t n = -1;
	while (o->sent < o->answer.len && ((n = send(fd, o->answer.data + o->sent, o->answer.len - o->sent, MSG_NOSIGNAL)) > 0 || errno == EINTR))
		o->sent += n > 0 ? (size_t)n : 0;
	if (o->sent == o->answer.len || (what & EV_TIMEOUT && o->sent == before) || (n < 0 && errno != EAGAIN))
		hang_up(o);
}

/* All that it says has been heard. */
static void find_answer(struct one *o)
{
	o->a->fn(o->a->ctx, &o->said, &o->answer);
	event_free(o->ev);
	o->ev = o->answer.len && !o->answer.err ? event_new(o->a->base, o->fd, EV_WRITE | EV_PERSIST, tell, o) : NULL;
	if (!o->ev || event_add(o->ev, &patience))
		hang_up(o);
}

/* After a stall of ours a timeout says nothing: libevent tells of it in the place of words that are there. */
static void hear(evutil_socket_t fd, short what, void *one)
{
	struct one *o = one;
	char step[STEP];
	ssize_t n = -1;
	size_t before = o->said.len;
	while ((n = recv(fd, step, sizeof step, 0)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0 && (o->said.len + (size_t)n > o->a->most || vcr_buf_add(&o->said, step, (size_t)n))) {
			hang_up(o);
			return;
		}
	if (n == 0)
		find_answer(o);
	else if ((what & EV_TIMEOUT && o->said.len == before) || errno != EAGAIN)
		hang_up(o);
}

static void on_accept(evutil_socket_t listener, short what, void *asked)
{
	struct vcr_asked *a = asked;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct one *o = fd >= 0 ? calloc(1, sizeof *o) : NULL;
	if (!o) {
		if (fd >= 0)
			close(fd);
		return;
	}
	*o = (struct one){ .a = a, .next = a->first, .link = &a->first, .fd = fd, .said = VCR_BUF_INIT, .answer = VCR_BUF_INIT };
	if (o->next)
		o->next->link = &o->next;
	a->first = o;
	if (++a->n == VCR_ASKED_AT_ONCE)
		event_del(a->ev);
	o->ev = event_new(a->base, fd, EV_READ | EV_PERSIST, hear, o);
	if (!o->ev || event_add(o->ev, &patience))
		hang_up(o);
}

int vcr_asked_new(struct vcr_asked **out, struct event_base *base, const char *path, size_t most, vcr_asked_fn *fn, void *ctx, struct vcr_error *e)
{
	struct sockaddr_un s = { .sun_family = AF_UNIX };
	struct vcr_asked *a = strlen(path) < sizeof s.sun_path ? calloc(1, sizeof *a) : NULL;
	if (!a)
		return strlen(path) < sizeof s.sun_path ? vcr_error_set(e, VCR_ENOMEM, "out of memory")
			: vcr_error_set(e, VCR_ELIMIT, "the path of the runtime directory is too long for a socket");
	*a = (struct vcr_asked){ .base = base, .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), .most = most, .fn = fn, .ctx = ctx };
	strcpy(a->path, path);
	strcpy(s.sun_path, path);
	unlink(path);
	int err = 0;
	if (a->fd < 0 || bind(a->fd, (struct sockaddr *)&s, sizeof s) || listen(a->fd, BACKLOG))
		err = vcr_error_sys(e, errno, "%s", path);
	else if (!(a->ev = event_new(base, a->fd, EV_READ | EV_PERSIST, on_accept, a)) || event_add(a->ev, NULL))
		err = vcr_error_set(e, VCR_ENOMEM, "out of memory");
	if (err) {
		vcr_asked_free(a);
		return err;
	}
	*out = a;
	return 0;
}

void vcr_asked_free(struct vcr_asked *a)
{
	if (!a)
		return;
	if (a->ev)
		event_free(a->ev);
	a->ev = NULL;
	while (a->first)
		hang_up(a->first);
	if (a->fd >= 0) {
		close(a->fd);
		unlink(a->path);
	}
	free(a);
}
