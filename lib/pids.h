/* pids.h — process numbers of a command's own: a pid namespace, in which they begin anew, so that they are the same in the next run.
 *
 * Number 1 is a process of ours, which does nothing: whoever loses its parent becomes its child and is waited for, and it ends when it is the last one and the command has
 * ended. The command is number 2 and stays our own child, with our terminal and process group; its parent has the number 0 there. /proc shows that
 * namespace, in a mount namespace of the command's; mounts that are made outside go on to appear inside. Where we may not make these without, it is in a user namespace,
 * in which our user id is what it is here: set-user-id programs gain nothing there.
 *
 * What it does not do: threads have numbers too, so a program whose threads race for being started has other numbers next time.
 * See pid_namespaces(7). What a kernel refuses is told as sealed.h tells it. */
#ifndef VCR_PIDS_H
#define VCR_PIDS_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "error.h"
#include "sealed.h"
#include "spool-format.h"

struct vcr_pids {
	uint64_t ns;                  /* the inode of its namespace; 0: ours, and number is pid */
	pid_t pid, number;            /* of the command: here, there */
	pid_t first;                  /* number 1, here */
	int end;                      /* closed when the command has ended, or with us; -1: none */
	bool inside;                  /* we are the command */
};
#define VCR_PIDS_INIT { 0, 0, 0, 0, -1, false }
/* As fork(2): 0, and p->inside in the child. It has entered `sealed` (NULL: none), whose files it is to cover (vcr_sealed_cover). In a single-threaded process, in which
 * SIGCHLD is not ignored. VCR_ENOSYS: refused, nothing was started. */
int vcr_pids_fork(const struct vcr_sealed *sealed, struct vcr_pids *p, struct vcr_error *e);
/* The command has ended, and has been waited for. */
void vcr_pids_release(struct vcr_pids *p);

/* Say in a spool whose numbers its records have. */
void vcr_pids_publish(struct vcr_spool_header *h, const struct vcr_pids *p);
/* The number of its first process here; 0: not known. */
pid_t vcr_pids_root(const struct vcr_spool_header *h);
/* The number here of the one that has that number in the namespace ns (0: ours); 0: there is none. member: a process there, by its number here; while it is alive the kernel is
 * asked (Linux 6.11). Else each process of the machine is looked at. */
pid_t vcr_pids_outside(uint64_t ns, pid_t member, pid_t number);
/* The other way round; 0: it is not in that namespace. */
pid_t vcr_pids_inside(uint64_t ns, pid_t pid);

#endif
