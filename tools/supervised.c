#include "supervised.h"
#include "spool-write.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A process that outlives the command keeps its supervisor busy until ours ends: by then the memory of who began it is gone, and this is all that it finds. There is
 * one in a process. */
static struct {
	char spool[4096];
	bool over;
	pthread_mutex_t lock;    /* of who began it, while he is there: */
	void (*need_gate)(void *ctx);
	void *ctx;
} one = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* In the guardian. */
static void say_guarded(void *ctx, bool alone)
{
	const char *words = alone ? "the supervisor has ended before what it supervised: programs that the library is not in are seen by their files only since" :
		"the supervisor did not keep up (it was stopped, or a file system did not answer): calls of supervised programs passed unseen";
	struct vcr_spool_writer *w;
	struct timespec t;
	if (vcr_spool_writer_new(&w, ctx, NULL))
		return;
	clock_gettime(CLOCK_MONOTONIC, &t);
	vcr_spool_writer_append(w, &(struct vcr_spool_append){ .type = VCR_REC_LOST, .pid = vcr_spool_writer_header(w)->root_pid,
		.time_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec, .data = words, .n = strlen(words) + 1 });
	vcr_spool_writer_free(w);
}

static void need_gate(void *none)
{
	pthread_mutex_lock(&one.lock);
	if (one.need_gate)
		one.need_gate(one.ctx);
	pthread_mutex_unlock(&one.lock);
}

static void *serve(void *supervise)
{
	prctl(PR_SET_NAME, "vcr-supervisor");
	vcr_supervise_run(supervise);
	__atomic_store_n(&one.over, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Signals are for the other thread. */
static int start_thread(struct vcr_supervised *v)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int err = pthread_create(&v->thread, NULL, serve, v->supervise);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

int vcr_supervised_start(struct vcr_supervised *v, struct vcr_run *run, const struct vcr_supervise_options *o, struct vcr_error *e)
{
	struct vcr_supervise_options mine = *o;
	struct rlimit l;
	if (!getrlimit(RLIMIT_NOFILE, &l)) { /* the command is forked: its limit is its own */
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	int fd = -1, err = vcr_run_listener(run, &fd, e);
	snprintf(one.spool, sizeof one.spool, "%s", o->spool);
	one.need_gate = o->need_gate;
	one.ctx = o->ctx;
	mine.spool = one.spool;
	mine.need_gate = o->need_gate ? need_gate : NULL;
	if (!err && (err = vcr_notify_guard(&mine.notify, fd, o->asks != NULL, o->replay ? NULL : say_guarded, one.spool, e)))
		close(fd);
	if (!err && (err = vcr_supervise_new(&v->supervise, &mine, e)))
		vcr_notify_free(mine.notify);
	if (!err && start_thread(v)) {
		vcr_supervise_free(v->supervise);
		v->supervise = NULL;
		err = vcr_error_set(e, VCR_ENOMEM, "no thread can be had for the supervisor");
	}
	if (err)
		kill(run->pid, SIGKILL); /* it waits for somebody who answers for it */
	else
		vcr_run_go(run);
	return err;
}

void vcr_supervised_say(struct vcr_supervised *v, struct vcr_tool *t)
{
	struct vcr_supervise_stats s;
	if (!v->supervise || t->quiet)
		return;
	vcr_supervise_stats(v->supervise, &s);
	if (t->verbose)
		vcr_say(t, "supervised: %llu calls were told, %llu records made of them, %llu connections led, %llu refused, %llu large files kept", (unsigned long long)s.calls,
			(unsigned long long)s.told, (unsigned long long)s.led, (unsigned long long)s.refused, (unsigned long long)s.kept);
	if (s.unseen)
		vcr_say(t, "not seen: %llu calls of supervised programs, whose memory or sockets could not be looked at", (unsigned long long)s.unseen);
}

void vcr_supervised_end(struct vcr_supervised *v)
{
	static struct vcr_supervise *volatile goes_on; /* its supervisor ends with ours, and is no leak */
	pthread_mutex_lock(&one.lock);
	one.need_gate = NULL;
	pthread_mutex_unlock(&one.lock);
	if (!v->supervise || !__atomic_load_n(&one.over, __ATOMIC_ACQUIRE)) {
		goes_on = v->supervise;
		return;
	}
	pthread_join(v->thread, NULL);
	vcr_supervise_free(v->supervise);
	v->supervise = goes_on = NULL;
}
