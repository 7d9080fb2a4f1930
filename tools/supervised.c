#include "supervised.h"
#include "spool-write.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char spool[4096]; /* for the guardian */

/* In the guardian. */
static void on_alone(void *ctx)
{
	static const char words[] = "the supervisor has ended before what it supervised: programs that the library is not in are seen by their files only since";
	struct vcr_spool_writer *w;
	struct timespec t;
	if (vcr_spool_writer_new(&w, ctx, NULL))
		return;
	clock_gettime(CLOCK_MONOTONIC, &t);
	vcr_spool_writer_append(w, &(struct vcr_spool_append){ .type = VCR_REC_LOST, .pid = vcr_spool_writer_header(w)->root_pid,
		.time_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec, .data = words, .n = sizeof words });
	vcr_spool_writer_free(w);
}

static void *serve(void *arg)
{
	struct vcr_supervised *v = arg;
	prctl(PR_SET_NAME, "vcr-supervisor");
	vcr_supervise_run(v->supervise);
	__atomic_store_n(&v->over, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Signals are for the other thread. */
static int start_thread(struct vcr_supervised *v)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int err = pthread_create(&v->thread, NULL, serve, v);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

int vcr_supervised_start(struct vcr_supervised *v, struct vcr_run *run, const struct vcr_supervise_options *o, struct vcr_error *e)
{
	struct vcr_supervise_options mine = *o;
	int fd = -1, err = vcr_run_listener(run, &fd, e);
	snprintf(spool, sizeof spool, "%s", o->spool);
	if (!err && (err = vcr_notify_guard(&mine.notify, fd, o->replay ? NULL : on_alone, spool, e)))
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

void vcr_supervised_end(struct vcr_supervised *v)
{
	if (!v->supervise || !__atomic_load_n(&v->over, __ATOMIC_ACQUIRE))
		return;
	pthread_join(v->thread, NULL);
	vcr_supervise_free(v->supervise);
	v->supervise = NULL;
}
