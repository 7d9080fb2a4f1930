/* testrun.h — one command at a time, run apart from whoever asks: the user's tests, of which the result is wanted and the end of what they print.
 *
 * The command is given to /bin/sh -c, in a directory, in a process group of its own, with nothing on its standard input and both outputs in one pipe. It has
 * the caller's environment without LD_PRELOAD, VCR_SPOOL and VCR_ANNOTATE, so that nothing of it is recorded, default signals, and the given file mode mask.
 * It ends when the shell does; what is left of its group is killed then. At its time limit, or when it is stopped, the group gets SIGTERM, and SIGKILL two
 * seconds later. A process that leaves the group is not followed.
 *
 * Nothing here blocks: the caller polls. Of the output VCR_MAX_TEST_OUTPUT bytes are kept, the last ones, as they are (not redacted). */
#ifndef VCR_TESTRUN_H
#define VCR_TESTRUN_H
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "error.h"

struct vcr_testrun;
struct vcr_testrun_options {
	const char *command, *dir; /* copied */
	int timeout_s;             /* 0: none */
	mode_t mask;               /* umask(2) */
};
struct vcr_testrun_result {
	int exit_code;             /* -1: it was ended by signal */
	int signal;
	bool timed_out, stopped;   /* it was we who ended it */
	double seconds;
	const char *output;        /* the last bytes of it, until the next start or free */
	size_t n;
	int64_t printed;           /* all of it, bytes */
};

int vcr_testrun_new(struct vcr_testrun **t, const struct vcr_testrun_options *o);
/* Kills it at once if it runs. NULL: nothing. */
void vcr_testrun_free(struct vcr_testrun *t);
/* VCR_EBUSY while one runs. */
int vcr_testrun_start(struct vcr_testrun *t, struct vcr_error *e);
bool vcr_testrun_runs(const struct vcr_testrun *t);
/* What to poll for: up to 2. */
int vcr_testrun_pollfds(const struct vcr_testrun *t, struct pollfd *fd);
/* Milliseconds until it is to be looked at although nothing came; -1: never. */
int vcr_testrun_timeout(const struct vcr_testrun *t);
/* Go on; never blocks. True, once, when it has ended: *out. */
bool vcr_testrun_serve(struct vcr_testrun *t, struct vcr_testrun_result *out);
void vcr_testrun_stop(struct vcr_testrun *t);

#endif
