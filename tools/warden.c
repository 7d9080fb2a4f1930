#include "warden.h"
#include "standin.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST_WATCHED = 1000, MOST_NAMED = 21 /* one more is "others" */, MOST_MISSED = 100, FIRST = 2 /* of what is polled: a stop, the socket */ };

struct missed { int number; bool unseen; char *program, *why; };

struct vcr_warden {
	struct vcr_starts starts;
	char path[sizeof ((struct sockaddr_un *)0)->sun_path];
	int socket, stop[2];
	bool runs, rests, has_taken;
	pthread_t thread;
	pthread_mutex_t lock;       /* of what follows: */
	struct vcr_notify *watched[MOST_WATCHED];
	unsigned nwatched;
	int64_t refused;
	unsigned nnamed;
	struct { char *words; const char *why; } named[MOST_NAMED];
	struct missed missed[MOST_MISSED];
	unsigned nmissed;
};

/* ---- What is told ---- */

static void name_refused(struct vcr_warden *w, const char *words, const char *why)
{
	pthread_mutex_lock(&w->lock);
	bool known = w->nnamed == MOST_NAMED;
	for (unsigned i = 0; !known && i < w->nnamed; i++)
		known = w->named[i].why == why && !strcmp(w->named[i].words, words);
	if (!known && (w->named[w->nnamed].words = strdup(words)))
		w->named[w->nnamed++].why = why;
	w->refused++;
	pthread_mutex_unlock(&w->lock);
}

static void miss(struct vcr_warden *w, int number, bool unseen, const char *program, const char *why)
{
	pthread_mutex_lock(&w->lock);
	bool known = w->nmissed == MOST_MISSED;
	for (unsigned i = 0; !known && i < w->nmissed; i++)
		known = w->missed[i].number == number && w->missed[i].unseen == unseen && !strcmp(w->missed[i].program, program);
	struct missed m = { number, unseen, known ? NULL : strdup(program), known ? NULL : strdup(why) };
	if (m.program && m.why) {
		w->missed[w->nmissed++] = m;
	} else {
		free(m.program);
		free(m.why);
	}
	pthread_mutex_unlock(&w->lock);
}

void vcr_warden_misses(struct vcr_warden *w, int number, const char *program, const char *why)
{
	miss(w, number, false, program, why);
}

int vcr_warden_asks(void *warden, const struct seccomp_notif *call)
{
	struct vcr_warden *w = warden;
	VCR_AUTO_BUF words = VCR_BUF_INIT;
	const char *why = "";
	switch (vcr_starts_judge(&w->starts, call, &words, &why)) {
	case VCR_STARTS_REFUSED:
		name_refused(w, words.data, why);
		return EACCES;
	case VCR_STARTS_UNSEEN:
		miss(w, 0, true, words.data, "it lets nobody look into it");
		return 0;
	default:
		return 0;
	}
}

/* ---- Who is watched ---- */

void vcr_warden_take(struct vcr_warden *w, int listener)
{
	struct vcr_notify *n = NULL;
	pthread_mutex_lock(&w->lock);
	if (w->nwatched == MOST_WATCHED || vcr_notify_open(&n, listener, NULL))
		close(listener); /* what it starts fails */
	else
		w->watched[w->nwatched++] = n;
	w->has_taken = true;
	pthread_mutex_unlock(&w->lock);
}

/* Of vcr-standin: a listener, or why there is none, and a descriptor that it waits for. Anybody in the session can write here. */
static void hear(struct vcr_warden *w)
{
	struct vcr_standin_watched said = { 0 };
	int fd[2], n = 0;
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof fd)]; } control;
	struct iovec part = { &said, sizeof said };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t got = recvmsg(w->socket, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	const struct cmsghdr *c = got < 0 ? NULL : CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len >= CMSG_LEN(0))
		n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof *fd);
	memcpy(fd, c && n > 0 ? CMSG_DATA(c) : (const unsigned char *)fd, (size_t)n * sizeof *fd);
	said.program[sizeof said.program - 1] = said.why[sizeof said.why - 1] = 0;
	if (got == sizeof said && n == 2)
		vcr_warden_take(w, fd[1]);
	else if (got == sizeof said && !(said.busy && (w->rests || w->has_taken)) /* then the filter is ours */)
		vcr_warden_misses(w, said.number, said.program, said.why);
	if (n == 2 && got != sizeof said)
		close(fd[1]);
	if (n > 0)
		close(fd[0]); /* and written nothing: what it is is anybody's to say, and it may have no room */
}

/* One is told of something. False: nobody is left who could. */
static bool serve(struct vcr_warden *w, struct vcr_notify *n)
{
	const struct seccomp_notif *call;
	int how = vcr_notify_wait(n, 0, &call);
	if (how)
		return how > 0;
	int error = vcr_warden_asks(w, call);
	if (error)
		vcr_notify_answer(n, -error);
	else
		vcr_notify_go_on(n);
	return true;
}

static void drop(struct vcr_warden *w, unsigned i)
{
	vcr_notify_free(w->watched[i]);
	w->watched[i] = w->watched[--w->nwatched];
}

static void *watch(void *warden)
{
	struct vcr_warden *w = warden;
	static struct pollfd p[FIRST + MOST_WATCHED];
	prctl(PR_SET_NAME, "vcr-warden");
	for (;;) {
		p[0] = (struct pollfd){ w->stop[0], POLLIN, 0 };
		p[1] = (struct pollfd){ w->socket, POLLIN, 0 };
		unsigned n = w->nwatched; /* this thread alone changes it, once it runs */
		for (unsigned i = 0; i < n; i++)
			p[FIRST + i] = (struct pollfd){ vcr_notify_fd(w->watched[i]), POLLIN, 0 };
		if (poll(p, FIRST + n, -1) < 0 && errno != EINTR)
			return NULL;
		if (p[0].revents)
			return NULL;
		for (unsigned i = n; i-- > 0;)
			if (p[FIRST + i].revents && !serve(w, w->watched[i]))
				drop(w, i);
		if (p[1].revents)
			hear(w);
	}
}

/* ---- The module ---- */

int vcr_warden_new(struct vcr_warden **out, const char *path, const struct vcr_starts *starts, struct vcr_error *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct vcr_warden *w = strlen(path) < sizeof a.sun_path ? calloc(1, sizeof *w) : NULL;
	if (!w)
		return strlen(path) < sizeof a.sun_path ? vcr_error_set(e, VCR_ENOMEM, "out of memory")
			: vcr_error_set(e, VCR_ELIMIT, "the path of the runtime directory is too long for a socket");
	*w = (struct vcr_warden){ .starts = *starts, .stop = { -1, -1 }, .socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), .lock = PTHREAD_MUTEX_INITIALIZER };
	strcpy(w->path, path);
	strcpy(a.sun_path, path);
	unlink(path);
	if (w->socket >= 0 && !bind(w->socket, (struct sockaddr *)&a, sizeof a) && !pipe2(w->stop, O_CLOEXEC)) {
		*out = w;
		return 0;
	}
	int err = vcr_error_sys(e, errno, "%s", path);
	vcr_warden_free(w);
	return err;
}

int vcr_warden_start(struct vcr_warden *w, struct vcr_error *e)
{
	sigset_t all, before;
	struct rlimit l;
	if (!getrlimit(RLIMIT_NOFILE, &l)) { /* the command is forked: its limit is its own */
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	w->runs = !pthread_create(&w->thread, NULL, watch, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return w->runs ? 0 : vcr_error_set(e, VCR_ENOMEM, "no thread can be had for what the command starts");
}

void vcr_warden_rests(struct vcr_warden *w)
{
	w->rests = true;
}

void vcr_warden_stop(struct vcr_warden *w)
{
	if (w->runs && write(w->stop[1], "", 1) == 1)
		pthread_join(w->thread, NULL);
	w->runs = false;
}

int64_t vcr_warden_refused(const struct vcr_warden *w, void (*each)(void *ctx, const char *words, const char *why), void *ctx)
{
	for (unsigned i = 0; i < w->nnamed; i++)
		each(ctx, w->named[i].words, w->named[i].why);
	return w->refused;
}

/* Has it spoken to a model since? Then what it started were tools. */
static bool had_tools(const struct vcr_warden *w, const struct missed *m)
{
	const int number = m->number > 0 ? m->number : VCR_SPOKE_UNNAMED;
	bool has = m->unseen;
	for (int i = 0; !has && i < VCR_SPOKEN; i++)
		has = w->starts.h->spoke[i] == number;
	return has;
}

int64_t vcr_warden_missed(const struct vcr_warden *w, void (*each)(void *ctx, const char *words), void *ctx)
{
	int64_t n = 0;
	for (unsigned i = 0; i < w->nmissed; i++) {
		VCR_AUTO_BUF words = VCR_BUF_INIT;
		const struct missed *m = &w->missed[i];
		if (!had_tools(w, m))
			continue;
		n++;
		vcr_buf_printf(&words, "%s is static, of Go or of another libc%s, for %s", m->program, VCR_LOST_SOME_TOOLS, m->why);
		each(ctx, words.data);
	}
	return n;
}

void vcr_warden_free(struct vcr_warden *w)
{
	if (!w)
		return;
	vcr_warden_stop(w);
	while (w->nwatched)
		drop(w, w->nwatched - 1);
	if (w->socket >= 0) {
		close(w->socket);
		unlink(w->path);
	}
	for (int i = 0; i < 2; i++)
		if (w->stop[i] >= 0)
			close(w->stop[i]);
	for (unsigned i = 0; i < w->nnamed; i++)
		free(w->named[i].words);
	for (unsigned i = 0; i < w->nmissed; i++) {
		free(w->missed[i].program);
		free(w->missed[i].why);
	}
	pthread_mutex_destroy(&w->lock);
	free(w);
}
