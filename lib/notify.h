/* notify.h — system calls told before they happen: seccomp user notification (seccomp_unotify(2)), and a guardian that answers when nobody else does.
 *
 * A child installs a filter (vcr_notify_install); it and everything that it ever starts is under it. What the filter names is told to the holder of
 * its listener, and waits for an answer; all else passes in the kernel: opens for writing, names that change, programs that start, and connects are
 * told. io_uring_setup answers ENOSYS, because what it does nobody is told of.
 *
 * NO_NEW_PRIVS is set, as an unprivileged filter needs: setuid and setgid programs, sudo among them, run without their privileges from then on.
 * Only one listener fits into a chain of filters: in a process that has one, VCR_EBUSY. Programs that install filters of their own, without a
 * listener, work.
 *
 * If the listener's last holder dies, what is told answers ENOSYS, which would break the program. So vcr_notify_guard forks a process that does
 * nothing but hold it, too, and answers "go on" to everything from the moment the other has died. What the dead one was about to
 * answer is known from the memory that both share: the kernel writes each notification there. It also lets pass what nobody has come for in one to two
 * seconds, because the other is stopped or waits itself for a file system that a supervised program serves; what the other has in hand after five.
 *
 * What is told may have changed when the call is made (another thread of the program writes the path meanwhile): this is for recording, never for
 * security. Linux 5.9 or later. */
#ifndef VCR_NOTIFY_H
#define VCR_NOTIFY_H
#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "error.h"

#define VCR_NOTIFY_GUARD "vcr-guard" /* the guardian's name in ps -e */

/* In the process that is to be supervised, single-threaded, before its exec. Until somebody answers it must end by exit(2) alone. *fd: the listener, CLOEXEC. VCR_EBUSY: this process is supervised by
 * somebody already; VCR_ENOSYS: this machine cannot do it; e says which and what to do. */
int vcr_notify_install(int *fd, struct vcr_error *e);
/* Likewise, and nothing is told but programs that start (execve, execveat), nothing is refused. prctl(PR_SET_DUMPABLE, 0) succeeds, and does nothing: what is told has to be read. NO_NEW_PRIVS is set only where there is no filter without: root has it without, and
 * keeps what setuid programs are for. */
int vcr_notify_install_execs(int *fd, struct vcr_error *e);
/* Can it be done here? Tried out in a child. */
int vcr_notify_possible(struct vcr_error *e);

struct vcr_notify;
/* Takes the listener, starts the guardian. say is called there, once when it has to help out first (alone: false), and once when it takes over; it may only do
 * what is allowed in a forked child of a program with threads. NULL: nothing is said. strict: it never helps out, and lets no program start (EACCES) when it has taken over. */
int vcr_notify_guard(struct vcr_notify **n, int listener, bool strict, void (*say)(void *ctx, bool alone), void *ctx, struct vcr_error *e);
/* Likewise, and there is no guardian: if the last holder of the listener dies, what is told answers ENOSYS, and does not happen. */
int vcr_notify_open(struct vcr_notify **n, int listener, struct vcr_error *e);
/* The listener's descriptor, for poll(2). */
int vcr_notify_fd(const struct vcr_notify *n);
/* The listener is closed. While processes are under the filter the guardian answers for them. */
void vcr_notify_free(struct vcr_notify *n);

/* Wait for a call. 0: *call is valid until the answer. 1: nothing within timeout_ms (-1: for ever). VCR_ENOTFOUND: nobody is left who could call. */
int vcr_notify_wait(struct vcr_notify *n, int timeout_ms, const struct seccomp_notif **call);
/* Is the process still waiting for this answer? Read of its memory is only worth something if it was so afterwards. */
bool vcr_notify_waits(const struct vcr_notify *n);
/* The kernel does what was asked. */
void vcr_notify_go_on(struct vcr_notify *n);
/* The call returns that instead: a value, or -errno. False: nobody waits for it any more; before Linux 5.19 a signal ends that, and the call may be told again. */
bool vcr_notify_answer(struct vcr_notify *n, int64_t value);

/* The call that is waited for is answered later, others come meanwhile: its id; 0: too many are kept, answer it now. The guardian lets it go on where we
 * die, or come for no call for five seconds. */
enum { VCR_NOTIFY_KEPT = 16 };
uint64_t vcr_notify_keep(struct vcr_notify *n);
/* As vcr_notify_waits. */
bool vcr_notify_waits_kept(const struct vcr_notify *n, uint64_t id);
/* As vcr_notify_go_on (then value does not count) or vcr_notify_answer. Its process may have been killed: then nothing happens, and it is false. */
bool vcr_notify_answer_kept(struct vcr_notify *n, uint64_t id, int64_t value, bool go_on);
/* vcr_notify_wait that also ends, with 1, when one of n descriptors is ready (poll(2); VCR_NOTIFY_KEPT at most): revents is set. */
int vcr_notify_wait_also(struct vcr_notify *n, int timeout_ms, struct pollfd *also, unsigned nalso, const struct seccomp_notif **call);

#endif
