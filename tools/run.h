/* run.h — run a command as if we were not there: same process group, same terminal, same signals, same exit status.
 *
 * The command shares our process group and terminal. What the terminal sends (Ctrl-C, Ctrl-Z, hang-up, window size) reaches it
 * directly, and we take no action on it; what a process sends to us alone is passed on. When it stops, we stop the same way, so that the
 * shell sees a stopped job; when we are continued, it is. No pseudo-terminal. */
#ifndef VCR_RUN_H
#define VCR_RUN_H
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include "error.h"
#include "pids.h"
#include "sealed.h"
#include "shim.h"

struct vcr_run {
	pid_t pid;
	int go;              /* the child reads its orders here and execs, or ends when it closes */
	sigset_t old_mask;   /* what the command inherits */
	struct sigaction old_chld;
	bool supervised;     /* set before vcr_run_fork: the command is put under a filter before its exec (notify.h), unless it is unset by vcr_run_start */
	bool execs_only;     /* then: only programs that it starts are told, and if that is not to be had it runs all the same (vcr_run_listener says why) */
	const struct vcr_sealed *sealed; /* set before vcr_run_fork: the command goes into these namespaces; NULL: none */
	const char *hosts, *bundle;      /* then, set before vcr_run_start: files that stand for the system's there */
	int talk;            /* then: a socket to the child, where the filter's listener comes from */
	bool own_numbers;    /* set before vcr_run_fork: a deterministic command, with process numbers of its own (lib/pids.h) and addresses that are the same each time */
	struct vcr_pids pids;             /* then; where that was refused, numbers are the kernel's, and why_not says why */
	struct vcr_error why_not;
	const char *notes;   /* set before vcr_run_start: the file that $VCR_ANNOTATE names; NULL: the variable is left alone */
};
/* Fork the child; it waits. From here on the signals that we pass on are blocked in us. */
int vcr_run_fork(struct vcr_run *r, char *const argv[], struct vcr_error *e);
/* Supervised: after vcr_run_start the child waits once more. The filter's listener, or why there is none. */
int vcr_run_listener(struct vcr_run *r, int *fd, struct vcr_error *e);
/* Then: let it exec. */
void vcr_run_go(struct vcr_run *r);
/* Let it exec. With the preload and spool (NULL: untouched environment) as far as its kind takes them; one that cannot be entered is lent what leads it
 * to the gate of that block (NULL: there is none). A command that cannot be started exits with 126 or 127 after a line. */
void vcr_run_start(struct vcr_run *r, const char *preload, const char *spool, enum vcr_target target, struct vcr_lead_block *gate);
/* Wait for its end. *status as waitpid(2) reports it. */
int vcr_run_wait(struct vcr_run *r, int *status);
/* The exit status for our caller: 128+n for signal n. Dies by the same signal itself (without a core) where that is how the command ended. */
int vcr_run_exit(struct vcr_run *r, int status);
/* Undo vcr_run_fork's signal settings. */
void vcr_run_restore(struct vcr_run *r);
#endif
