/* determ-clock.c — the wall clock: it stands still between what moves it (determ-format.h). Clocks that measure spans are real. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <threads.h>
#include <time.h>
#include "determ.h"

#define X(name) extern __typeof__(name) name VCR_DETERM_EXPORT;
VCR_DETERM_CLOCK(X)
#undef X

enum { MS = 1000, COARSE_US = 100 * MS, FINE_MS = 1, COARSE_MS = 10, FREE_READS = 100000, SPIN_US = 10 * MS };
static __thread bool has_looked; /* this thread has read the wall clock */
#define EPOCH_S 1000000000l /* no machine has run for so long, and no wall clock shows less */

/* ---- The session's clock ---- */

static uint64_t real_ns(clockid_t which)
{
	struct timespec t;
	VCR_NEXT(clock_gettime)(which, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void set_clock(uint64_t us)
{
	struct vcr_determ_page *p = vcr_determ.page;
	uint64_t is = __atomic_load_n(&p->clock, __ATOMIC_ACQUIRE);
	while (is < us)
		if (__atomic_compare_exchange_n(&p->clock, &is, us, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			__atomic_store_n(&p->set_ns, real_ns(CLOCK_MONOTONIC), __ATOMIC_RELEASE);
			return;
		}
}

/* Microseconds, without this process's share. A clock that nothing has moved for long is moved. */
static uint64_t session_us(void)
{
	struct vcr_determ_page *p = vcr_determ.page;
	uint64_t us = __atomic_load_n(&p->clock, __ATOMIC_ACQUIRE);
	uint64_t since = __atomic_load_n(&p->set_ns, __ATOMIC_ACQUIRE), now = real_ns(CLOCK_MONOTONIC);
	uint64_t steps = now > since ? (now - since) / 1000 / VCR_DETERM_STEP_US : 0;
	if (!steps)
		return us;
	set_clock(us + steps * VCR_DETERM_STEP_US);
	return __atomic_load_n(&p->clock, __ATOMIC_ACQUIRE);
}

/* One that does nothing but look comes to see it move: so much. */
static uint64_t patience_us(uint64_t us, uint64_t look)
{
	static uint64_t looks, of;
	if (__atomic_exchange_n(&of, us, __ATOMIC_RELAXED) != us)
		__atomic_store_n(&looks, 0, __ATOMIC_RELAXED);
	uint64_t n = __atomic_add_fetch(&looks, look, __ATOMIC_RELAXED);
	return n > FREE_READS ? n - FREE_READS : 0;
}

/* What this process sees. It never goes back. */
static uint64_t wall_us(void)
{
	static uint64_t last;
	has_looked = true;
	uint64_t us = session_us(), seen = us + vcr_determ_starts() + patience_us(us, 1), before = __atomic_load_n(&last, __ATOMIC_RELAXED);
	while (before < seen && !__atomic_compare_exchange_n(&last, &before, seen, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return before > seen ? before : seen;
}

static bool has_clock(void)
{
	return vcr_determ_on() && !vcr_determ.own_clock;
}

/* ---- Reading it ---- */

int clock_gettime(clockid_t which, struct timespec *t)
{
	if ((which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE && which != CLOCK_TAI) || !t || !has_clock())
		return VCR_NEXT(clock_gettime)(which, t);
	uint64_t us = wall_us();
	*t = (struct timespec){ (time_t)(us / 1000000), (long)(us % 1000000 * 1000) };
	return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	if (!t || !has_clock())
		return VCR_NEXT(gettimeofday)(t, zone);
	if (zone)
		VCR_NEXT(gettimeofday)(t, zone);
	uint64_t us = wall_us();
	*t = (struct timeval){ (time_t)(us / 1000000), (suseconds_t)(us % 1000000) };
	return 0;
}

time_t time(time_t *t)
{
	if (!has_clock())
		return VCR_NEXT(time)(t);
	time_t s = (time_t)(wall_us() / 1000000);
	if (t)
		*t = s;
	return s;
}

int timespec_get(struct timespec *t, int base)
{
	if (base != TIME_UTC || !has_clock())
		return VCR_NEXT(timespec_get)(t, base);
	clock_gettime(CLOCK_REALTIME, t);
	return base;
}

/* ---- Sleeping: what is slept through has passed ---- */

static uint64_t us_of(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * 1000000u + (uint64_t)t->tv_nsec / 1000;
}

static uint64_t before_sleep(void)
{
	if (!has_clock())
		return 0;
	uint64_t us = session_us();
	return us + patience_us(us, 0);
}

/* A thread of a pool that finds a lock taken sleeps for a moment, or not, as threads race. */
static bool is_a_wait(uint64_t us)
{
	return us >= SPIN_US || has_looked || syscall(SYS_gettid) == getpid();
}

static void slept(uint64_t since, uint64_t us)
{
	int saved = errno;
	if (since && is_a_wait(us))
		set_clock(since + us);
	errno = saved;
}

/* How long a sleep until then was meant to be: it was reckoned a moment ago, which is not to be seen. */
static uint64_t meant_us(uint64_t us)
{
	uint64_t grain = (us < COARSE_US ? FINE_MS : COARSE_MS) * MS;
	return (us + grain - 1) / grain * grain;
}

int nanosleep(const struct timespec *how_long, struct timespec *left)
{
	uint64_t since = before_sleep();
	int r = VCR_NEXT(nanosleep)(how_long, left);
	if (!r)
		slept(since, us_of(how_long));
	return r;
}

struct timespec vcr_determ_real_time(const struct timespec *t)
{
	if (!t || t->tv_sec < EPOCH_S || !has_clock())
		return t ? *t : (struct timespec){ 0 };
	int64_t ns = (int64_t)(real_ns(CLOCK_REALTIME) - wall_us() * 1000) + t->tv_nsec, s = ns / 1000000000;
	ns %= 1000000000;
	if (ns < 0)
		ns += 1000000000, s--;
	return (struct timespec){ t->tv_sec + s, ns };
}

int clock_nanosleep(clockid_t which, int flags, const struct timespec *t, struct timespec *left)
{
	uint64_t since = before_sleep(), us = us_of(t);
	if (!(flags & TIMER_ABSTIME)) {
		int r = VCR_NEXT(clock_nanosleep)(which, flags, t, left);
		if (!r)
			slept(since, us);
		return r;
	}
	struct timespec until = which == CLOCK_REALTIME ? vcr_determ_real_time(t) : *t;
	uint64_t now = which == CLOCK_REALTIME ? since : real_ns(which) / 1000;
	int r = VCR_NEXT(clock_nanosleep)(which, flags, &until, left);
	if (!r && us > now)
		slept(since, which == CLOCK_REALTIME ? us - now : meant_us(us - now));
	return r;
}

int usleep(useconds_t us)
{
	uint64_t since = before_sleep();
	int r = VCR_NEXT(usleep)(us);
	if (!r)
		slept(since, us);
	return r;
}

unsigned sleep(unsigned s)
{
	uint64_t since = before_sleep();
	unsigned r = VCR_NEXT(sleep)(s);
	if (!r)
		slept(since, s * 1000000ull);
	return r;
}

/* With nothing to wait for they are sleeps. */
int select(int n, fd_set *restrict in, fd_set *restrict out, fd_set *restrict except, struct timeval *restrict t)
{
	if (in || out || except || !t)
		return VCR_NEXT(select)(n, in, out, except, t);
	uint64_t since = before_sleep(), us = (uint64_t)t->tv_sec * 1000000u + (uint64_t)t->tv_usec;
	int r = VCR_NEXT(select)(n, in, out, except, t);
	if (!r)
		slept(since, us);
	return r;
}

int poll(struct pollfd *fd, nfds_t n, int ms)
{
	if (n || ms <= 0)
		return VCR_NEXT(poll)(fd, n, ms);
	uint64_t since = before_sleep();
	int r = VCR_NEXT(poll)(fd, n, ms);
	if (!r)
		slept(since, (uint64_t)ms * MS);
	return r;
}

/* ---- Waiting until a time of the wall clock ---- */

int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m, const struct timespec *restrict t)
{
	struct timespec until = vcr_determ_real_time(t);
	return VCR_NEXT(pthread_cond_timedwait)(c, m, &until);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict m, const struct timespec *restrict t)
{
	struct timespec until = vcr_determ_real_time(t);
	return VCR_NEXT(pthread_mutex_timedlock)(m, &until);
}

int pthread_rwlock_timedrdlock(pthread_rwlock_t *restrict l, const struct timespec *restrict t)
{
	struct timespec until = vcr_determ_real_time(t);
	return VCR_NEXT(pthread_rwlock_timedrdlock)(l, &until);
}

int pthread_rwlock_timedwrlock(pthread_rwlock_t *restrict l, const struct timespec *restrict t)
{
	struct timespec until = vcr_determ_real_time(t);
	return VCR_NEXT(pthread_rwlock_timedwrlock)(l, &until);
}

int sem_timedwait(sem_t *restrict s, const struct timespec *restrict t)
{
	struct timespec until = vcr_determ_real_time(t);
	return VCR_NEXT(sem_timedwait)(s, &until);
}

int pthread_cond_clockwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m, clockid_t which, const struct timespec *restrict t)
{
	struct timespec until = vcr_determ_real_time(t);
	return VCR_NEXT(pthread_cond_clockwait)(c, m, which, &until);
}

int pthread_mutex_clocklock(pthread_mutex_t *restrict m, clockid_t which, const struct timespec *restrict t)
{
	struct timespec until = vcr_determ_real_time(t);
	return VCR_NEXT(pthread_mutex_clocklock)(m, which, &until);
}

int sem_clockwait(sem_t *restrict s, clockid_t which, const struct timespec *restrict t)
{
	struct timespec until = vcr_determ_real_time(t);
	return VCR_NEXT(sem_clockwait)(s, which, &until);
}

int timerfd_settime(int fd, int flags, const struct itimerspec *t, struct itimerspec *was)
{
	if (!(flags & TFD_TIMER_ABSTIME) || !t)
		return VCR_NEXT(timerfd_settime)(fd, flags, t, was);
	struct itimerspec until = { t->it_interval, vcr_determ_real_time(&t->it_value) };
	return VCR_NEXT(timerfd_settime)(fd, flags, &until, was);
}

int timer_settime(timer_t timer, int flags, const struct itimerspec *restrict t, struct itimerspec *restrict was)
{
	if (!(flags & TIMER_ABSTIME) || !t)
		return VCR_NEXT(timer_settime)(timer, flags, t, was);
	struct itimerspec until = { t->it_interval, vcr_determ_real_time(&t->it_value) };
	return VCR_NEXT(timer_settime)(timer, flags, &until, was);
}

/* libc's own are not made of those above. */
int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict t)
{
	struct timespec until = vcr_determ_real_time(t);
	return VCR_NEXT(cnd_timedwait)(c, m, &until);
}

int mtx_timedlock(mtx_t *restrict m, const struct timespec *restrict t)
{
	struct timespec until = vcr_determ_real_time(t);
	return VCR_NEXT(mtx_timedlock)(m, &until);
}
