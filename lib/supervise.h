/* supervise.h — what programs do that the library cannot enter, told by the kernel before it happens (notify.h): a static program's opens for writing,
 * names that it changes, programs that it starts, and its connections.
 *
 * Of a process that has the library, what came through its C library is the library's to tell, and passes at once; what its program did by system calls of its
 * own (Bun, Go) is told here. Everything becomes the same records as the library writes (spool-format.h): a file mark is written when it can be
 * seen that the call did what it should, so that one that failed is none.
 *
 * A connect is led to the gate by connecting the program's own socket (pidfd_getfd(2)): what the program knows of it, flags and registrations with epoll
 * among them, is as before. Where the connection was to go is said to the gate (lead.h), which looks at its first bytes: what names a model's
 * host is recorded or answered, all else goes where it was meant to, or in a replay nowhere.
 *
 * Before a large file goes or changes it is kept (preimage.h), whoever does it: vcr-rollback brings it back.
 *
 * One thread serves all. It may look into a process only as its ancestor (Yama), so it has to be a thread of the one that started the command. What it
 * cannot see passes and is counted. See notify.h for what happens when it dies. */
#ifndef VCR_SUPERVISE_H
#define VCR_SUPERVISE_H
#include <stdbool.h>
#include <stdint.h>
#include "notify.h"

struct vcr_supervise;
struct vcr_supervise_options {
	struct vcr_notify *notify;      /* taken over */
	const char *spool;
	bool replay;                    /* connections only */
	void (*need_gate)(void *ctx);   /* a gate could be used, and there is none: start one and wait for it; at most once. NULL: nothing can be done */
	void *ctx;
	/* A program is about to start: 0, or the error that execve ends with. Then the guardian lets none start. NULL: all may. */
	int (*asks)(void *asks_ctx, const struct seccomp_notif *call);
	void *asks_ctx;
};
int vcr_supervise_new(struct vcr_supervise **s, const struct vcr_supervise_options *o, struct vcr_error *e);
/* Until nobody is left who is supervised. */
void vcr_supervise_run(struct vcr_supervise *s);
void vcr_supervise_free(struct vcr_supervise *s);

struct vcr_supervise_stats {
	uint64_t calls, told;           /* notifications; records that they made */
	uint64_t led, refused;          /* connections */
	uint64_t kept;                  /* large files, before they went or changed */
	uint64_t unseen;                /* calls whose arguments could not be read */
};
void vcr_supervise_stats(const struct vcr_supervise *s, struct vcr_supervise_stats *out);

#endif
