/* warden.h — programs that the library does not see start, told by the kernel, and refused where they are tools (starts.h): vcr-replay --hermetic.
 *
 * A program that the library cannot enter, or whose system calls are its own, is started through vcr-standin, which puts itself under a filter (vcr_notify_install_execs),
 * hands its listener to us by a datagram at a socket, waits until we have taken it, and becomes it. So what such a program starts is told, and nothing else: no other program of
 * the command is under a filter. One thread answers for all. When we end, what they start fails (ENOSYS): nothing waits, and no tool runs behind our back.
 *
 * Where there is no filter to be had, that is told as well: the program runs, and if it comes to speak to a model it is named in the end. */
#ifndef VCR_WARDEN_H
#define VCR_WARDEN_H
#include "error.h"
#include "starts.h"

struct vcr_warden;
/* Listens at that path, below 108 bytes. Before the command is forked. starts: its texts stay the caller's. */
int vcr_warden_new(struct vcr_warden **w, const char *path, const struct vcr_starts *starts, struct vcr_error *e);
/* The thread begins: when nothing is forked any more that is not a program of its own. */
int vcr_warden_start(struct vcr_warden *w, struct vcr_error *e);
/* The command is supervised as a whole (supervise.h): what it starts is judged there, by vcr_warden_asks, and who is under a filter already is known. */
void vcr_warden_rests(struct vcr_warden *w);
/* A listener of a filter, which becomes ours. */
void vcr_warden_take(struct vcr_warden *w, int listener);
/* That program, with that process number, is not watched, for that reason. */
void vcr_warden_misses(struct vcr_warden *w, int number, const char *program, const char *why);
/* Of a call of execve: 0, or the error that it ends with. warden: the struct. */
int vcr_warden_asks(void *warden, const struct seccomp_notif *call);
/* The thread has ended behind this. */
void vcr_warden_stop(struct vcr_warden *w);
/* Then: each program that was refused, once, as far as they are kept; returns how often one was. */
int64_t vcr_warden_refused(const struct vcr_warden *w, void (*each)(void *ctx, const char *words, const char *why), void *ctx);
/* Then: each program that was not watched and that has spoken to a model: words are a line for people. */
int64_t vcr_warden_missed(const struct vcr_warden *w, void (*each)(void *ctx, const char *words), void *ctx);
void vcr_warden_free(struct vcr_warden *w);

#endif
