/* recorder.h — what a session's collector does with the spool's records: calls, files and programs become frames.
 *
 * One recorder per session; the caller reads the spool (and the clock, and the sockets) and hands over each event in order. Everything is
 * redacted here, before it reaches session.c. A recorder that is made for a session whose file exists already goes on behind it: what an
 * earlier recorder wrote (known by the seq of its records) is not written twice. */
#ifndef VCR_RECORDER_H
#define VCR_RECORDER_H
#include <poll.h>
#include <signal.h>
#include <sys/types.h>
#include "config.h"
#include "files.h"
#include "session.h"
#include "spool.h"

struct vcr_recorder_options {
	struct vcr_spool_header *spool; /* names and clocks; only `acted`, `clean` and `judged` are written to */
	const struct vcr_config *config;
	const char *const *tags;              /* NULL-terminated, NULL */
	const char *metadata_json;            /* NULL */
	const char *prices_path;              /* the shipped table */
	bool eager;                           /* make the session file at once (vcr-record), not with the first thing worth it */
	bool salvage;                         /* no process lives: no base scan, no watching */
	const char *source;                   /* NULL; else the events come from another tool's recording: this word stands for tap and gate, and there are no
	                                         files, no savepoints, no directories, and nothing of an earlier recorder */
	const char *judge;                    /* program of the judge of writes (judge.h), and its words; NULL: nothing is judged */
	const char *const *judge_argv;
	const char *test_command;             /* of the user's tests, run at savepoints (testrun.h), with so many seconds each and that mask; NULL: none */
	int test_timeout_s;
	mode_t test_mask;
	const volatile sig_atomic_t *hurry;   /* not 0: nothing is waited for at the end; NULL */
	char **environ;                       /* secrets are learnt from it */
};

struct vcr_recorder;
int vcr_recorder_new(struct vcr_recorder **r, const struct vcr_recorder_options *o, struct vcr_error *e);
void vcr_recorder_free(struct vcr_recorder *r);
/* The base scan of the workspace; sets nothing in the spool. File marks that were handed over before it are reported first: what stood there
 * before them is not known. */
void vcr_recorder_scan(struct vcr_recorder *r);
int vcr_recorder_watch_fd(const struct vcr_recorder *r);
/* One record of the spool. */
void vcr_recorder_event(struct vcr_recorder *r, const struct vcr_spool_event *ev);
/* The same for the file in which programs may annotate (RUNTIME/<session>.notes, made by vcr-record), -1: there is none. Read what is new there. */
int vcr_recorder_notes_fd(const struct vcr_recorder *r);
void vcr_recorder_notes_read(struct vcr_recorder *r);
/* inotify has something. */
void vcr_recorder_watch(struct vcr_recorder *r);
/* Has the gate begun a call for that process, and not said how it ended? It hears that its client is gone as we do, and not always before us. */
bool vcr_recorder_awaits_gate(const struct vcr_recorder *r, int pid);
/* A process of the session is dead (pidfd); its open calls end as interrupted. How it ended is known when its parent has waited for it: an
 * event tells it, or nobody will (unwaited). */
void vcr_recorder_gone(struct vcr_recorder *r, int pid, uint64_t mono_ns);
void vcr_recorder_unwaited(struct vcr_recorder *r, int pid);
/* Its parent has said that it has waited for it: nobody has to watch it. */
bool vcr_recorder_is_waited(struct vcr_recorder *r, int pid);
/* Events come by the thousand: files are not looked at with the end of each program, but when the spool is empty, which settle says. */
void vcr_recorder_storm(struct vcr_recorder *r, bool storm);
void vcr_recorder_settle(struct vcr_recorder *r);
/* When nobody waits: some of the copies of small files that programs made in memory to the disk, if half of the room there is taken. */
void vcr_recorder_lighten(struct vcr_recorder *r);
/* Record seq before which nothing is needed any more; position: that of the reader. */
uint64_t vcr_recorder_needed(const struct vcr_recorder *r, uint64_t position);
/* Connections that carry nothing of interest since the last call: up to n numbers. */
size_t vcr_recorder_take_mutes(struct vcr_recorder *r, uint32_t *conn, size_t n);
/* Pids to be watched since the last call: up to n. */
size_t vcr_recorder_take_pids(struct vcr_recorder *r, int *pid, size_t n);
/* Has a call begun in the gate since, before which nothing had changed? The gate holds nothing back for it (vcr_spool_clean). */
bool vcr_recorder_take_clean(struct vcr_recorder *r);
/* The judge's side: what to poll for (0 or 1 of them), for how long at most (-1: as long as you like), and going on; cheap when there is none. */
int vcr_recorder_judge_pollfd(const struct vcr_recorder *r, struct pollfd *fd);
int vcr_recorder_judge_timeout(const struct vcr_recorder *r);
void vcr_recorder_judge(struct vcr_recorder *r);
/* The same for a run of the user's tests; up to 2 of them. due: one is to be begun or ended now. */
int vcr_recorder_tests_pollfds(const struct vcr_recorder *r, struct pollfd *fd);
int vcr_recorder_tests_timeout(const struct vcr_recorder *r);
void vcr_recorder_tests(struct vcr_recorder *r);
/* A request on the control socket. processes: how many live. */
void vcr_recorder_control(struct vcr_recorder *r, const char *request, size_t n, const struct vcr_spool_losses *l, int processes, struct vcr_buf *answer);
/* The end: open calls, open programs, last sweep and scan, vcr.end, manifest. Appends the result's JSON (totals, coverage, losses). */
void vcr_recorder_end(struct vcr_recorder *r, const struct vcr_spool_losses *l, struct vcr_buf *result);

#endif
