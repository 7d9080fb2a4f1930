/* supervised.h — a command that was forked with run.supervised is let go under a supervisor (supervise.h): a thread of ours, and a guardian beside us. */
#ifndef VCR_SUPERVISED_H
#define VCR_SUPERVISED_H
#include <pthread.h>
#include "run.h"
#include "supervise.h"
#include "tool.h"

struct vcr_supervised {
	struct vcr_supervise *supervise; /* NULL: none */
	pthread_t thread;
};
/* After vcr_run_start: take the filter's listener, start the thread, let the command go. If that fails the command has not begun, and never will. */
int vcr_supervised_start(struct vcr_supervised *v, struct vcr_run *run, const struct vcr_supervise_options *o, struct vcr_error *e);
/* What it did, if asked for by -v, and what it could not see. */
void vcr_supervised_say(struct vcr_supervised *v, struct vcr_tool *t);
/* The command has ended. If others still run they are supervised until we end. */
void vcr_supervised_end(struct vcr_supervised *v);
#endif
