/* determ.h — inside libvcrdeterm.so: wall clock and random bytes that are the same when a session is replayed.
 *
 * It is preloaded behind libvcrshim.so, by --deterministic alone, and stands between that and libc. It is a guest under the same rules (shim.h):
 * nothing is allocated or locked, no descriptor kept; where the session's page (determ-format.h) cannot be had, all is as libc has it.
 *
 * A process that draws its bytes here must not speak to anybody but this machine: the session's gate refuses that (VCR_LEAD_REPLAY), in a recording
 * too. What TLS itself draws is real all the same: libraries of cryptography, programs linked with one, node's OpenSSL and the thread of Bun's fetch() get the
 * kernel's bytes. */
#ifndef VCR_DETERM_H
#define VCR_DETERM_H
#include <stdbool.h>
#include <string.h>
#include "chacha.h"
#include "determ-format.h"
#include "raw.h"

/* The list of what is exported. determ-clock.c */
#define VCR_DETERM_CLOCK(X) \
	X(clock_gettime) X(gettimeofday) X(time) X(timespec_get) X(nanosleep) X(clock_nanosleep) X(usleep) X(sleep) X(select) X(poll) \
	X(pthread_cond_timedwait) X(pthread_mutex_timedlock) X(pthread_rwlock_timedrdlock) X(pthread_rwlock_timedwrlock) X(sem_timedwait) \
	X(pthread_cond_clockwait) X(pthread_mutex_clocklock) X(sem_clockwait) X(timerfd_settime) X(timer_settime) X(cnd_timedwait) X(mtx_timedlock)
/* determ-random.c */
#define VCR_DETERM_RANDOM(X) \
	X(getrandom) X(getentropy) X(arc4random) X(arc4random_buf) X(arc4random_uniform) X(RAND_bytes) X(syscall) X(getenv) X(secure_getenv)
/* determ-file.c */
#define VCR_DETERM_FILE(X) \
	X(open) X(open64) X(openat) X(openat64) X(__open_2) X(__open64_2) X(fopen) X(fopen64) X(mkdir) X(read) X(__read_chk) \
	X(mkstemp) X(mkstemp64) X(mkostemp) X(mkostemp64) X(mkstemps) X(mkstemps64) X(mkostemps) X(mkostemps64) X(mkdtemp) X(gethostname) X(uname)

#define VCR_DETERM_EXPORT __attribute__((visibility("default")))

/* ---- determ.c: the process ---- */
struct vcr_determ {
	uint32_t ready;               /* 0 not yet, 1 being made, 2 made, 3 off for good */
	struct vcr_determ_page *page;
	struct vcr_determ_process *self; /* in it; somebody else's if it is crowded */
	uint64_t begun;               /* starts in its line, of the child that is being forked */
	int pid;                      /* the process this memory belongs to; another getpid() is a vfork or raw clone child, which is left alone */
	unsigned char key[VCR_DETERM_KEY];
	uint64_t forks, threads;      /* that it has had */
	bool python, bun;
	bool own_tls, patched;        /* node: an OpenSSL is linked into it and exported; what it draws beside that is answered, and what Bun draws */
	bool own_random;              /* a program of cryptography: its bytes are the kernel's */
	bool own_clock;               /* one that compares the clock with the times of files, which are real */
};
extern struct vcr_determ vcr_determ;
void vcr_determ_start(void);
static inline bool vcr_determ_on(void)
{
	if (!__atomic_load_n(&vcr_determ.ready, __ATOMIC_ACQUIRE))
		vcr_determ_start();
	return __atomic_load_n(&vcr_determ.ready, __ATOMIC_ACQUIRE) == 2;
}
/* The key of the n-th child of that kind. */
void vcr_determ_derive(const unsigned char key[VCR_DETERM_KEY], const char *kind, uint64_t n, unsigned char out[VCR_DETERM_KEY]);
/* In this process's line so far: microseconds that it is ahead. */
uint64_t vcr_determ_starts(void);
/* A time of the wall clock, as the kernel has to be told it. One that is no such time stays. determ-clock.c */
struct timespec vcr_determ_real_time(const struct timespec *t);
/* libc's function of a name that is exported here too. */
void *vcr_determ_next(void **cache, const char *name);
#define VCR_NEXT(name) ({ static void *next_; (__typeof__(&name))vcr_determ_next(&next_, #name); })

/* ---- determ-random.c ---- */
/* This thread's next bytes. False: none are to be had here, take the kernel's. */
bool vcr_determ_bytes(void *to, size_t n);
/* The kernel's. False: it has none, and there is nothing else to be done. */
bool vcr_determ_real_bytes(void *to, size_t n);
/* This thread's bytes are given from the first one on again. */
void vcr_determ_anew(void);
/* Is the code there one whose bytes are to be real? */
bool vcr_determ_is_crypto(const void *caller);
/* Before main: what node draws for its program. */
void vcr_determ_patch(void);

/* ---- determ-bun.c ---- */
struct vcr_determ_frame { const struct vcr_determ_frame *up; uintptr_t back; }; /* as frame pointers lead to it */
/* So much was drawn by the function whose callee has that frame: if that is the one that seeds Bun's own generator, it is answered in its place from now on. */
void vcr_determ_seeded(const struct vcr_determ_frame *f, const void *seed, size_t n);

#endif
