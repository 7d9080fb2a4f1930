#include "notify.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

enum { SLOT = 4096, ANSWER = SLOT / 2 - 16 - 8 * VCR_NOTIFY_KEPT, LOOK_MS = 1000, HELP_MS = 20, IN_HAND_MS = 5000 };

/* Shared with the guardian. The kernel may know larger structures than we were built with: each has half of a page. */
struct slot {
	union { struct seccomp_notif call; char room[SLOT / 2]; };
	union { struct seccomp_notif_resp answer; char room2[ANSWER]; };
	uint32_t answered;        /* `answer` is what the call is to be answered with */
	uint32_t turns;           /* how often the supervisor has come for a call */
	uint64_t kept[VCR_NOTIFY_KEPT]; /* ids of calls that are answered later; 0: free */
};
_Static_assert(sizeof(struct slot) <= SLOT, "one page");

struct vcr_notify {
	int fd, alive;            /* alive: the guardian sees it close */
	struct slot *slot;
	size_t call_size, answer_size;
	bool strict;              /* the guardian lets no program start */
	bool ends;                /* to wait for a call ends when nobody is left who could make one */
};

/* ---- Answers ---- */

static int receive(struct vcr_notify *n)
{
	__atomic_fetch_add(&n->slot->turns, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&n->slot->answered, 0, __ATOMIC_RELEASE);
	memset(&n->slot->call, 0, n->call_size);
	return ioctl(n->fd, SECCOMP_IOCTL_NOTIF_RECV, &n->slot->call) ? -errno : 0;
}

/* One that has been answered or killed meanwhile is ENOENT. */
static bool send_answer(struct vcr_notify *n)
{
	int err;
	while ((err = ioctl(n->fd, SECCOMP_IOCTL_NOTIF_SEND, &n->slot->answer)) && errno == EINTR)
		;
	return !err;
}

static struct seccomp_notif_resp answer_of(uint64_t id, int64_t value, bool go_on)
{
	if (go_on)
		return (struct seccomp_notif_resp){ .id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
	return (struct seccomp_notif_resp){ .id = id, .val = value < 0 ? 0 : value, .error = value < 0 ? (int)value : 0 };
}

static bool put_answer(struct vcr_notify *n, int64_t value, bool go_on)
{
	memset(&n->slot->answer, 0, n->answer_size);
	n->slot->answer = answer_of(n->slot->call.id, value, go_on);
	__atomic_store_n(&n->slot->answered, 1, __ATOMIC_RELEASE);
	return send_answer(n);
}

void vcr_notify_go_on(struct vcr_notify *n)
{
	put_answer(n, 0, true);
}

bool vcr_notify_answer(struct vcr_notify *n, int64_t value)
{
	return put_answer(n, value, false);
}

bool vcr_notify_waits(const struct vcr_notify *n)
{
	return !ioctl(n->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &n->slot->call.id);
}

/* ---- Answers that come later ---- */

uint64_t vcr_notify_keep(struct vcr_notify *n)
{
	uint64_t id = n->slot->call.id;
	for (int i = 0; i < VCR_NOTIFY_KEPT; i++)
		if (!n->slot->kept[i]) {
			__atomic_store_n(&n->slot->kept[i], id, __ATOMIC_RELEASE);
			__atomic_store_n(&n->slot->call.id, 0, __ATOMIC_RELEASE); /* not in hand any more */
			return id;
		}
	return 0;
}

bool vcr_notify_waits_kept(const struct vcr_notify *n, uint64_t id)
{
	return !ioctl(n->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id);
}

bool vcr_notify_answer_kept(struct vcr_notify *n, uint64_t id, int64_t value, bool go_on)
{
	int err;
	union { struct seccomp_notif_resp answer; char room[ANSWER]; } a;
	memset(&a, 0, sizeof a);
	a.answer = answer_of(id, value, go_on);
	while ((err = ioctl(n->fd, SECCOMP_IOCTL_NOTIF_SEND, &a)) && errno == EINTR)
		;
	for (int i = 0; i < VCR_NOTIFY_KEPT; i++)
		if (n->slot->kept[i] == id)
			__atomic_store_n(&n->slot->kept[i], 0, __ATOMIC_RELEASE);
	return !err;
}

/* In the guardian. */
static void help_kept(const struct vcr_notify *n)
{
	struct vcr_notify mine = *n;
	for (int i = 0; i < VCR_NOTIFY_KEPT; i++) {
		uint64_t id = __atomic_load_n(&n->slot->kept[i], __ATOMIC_ACQUIRE);
		if (id)
			vcr_notify_answer_kept(&mine, id, 0, true);
	}
}

int vcr_notify_wait(struct vcr_notify *n, int timeout_ms, const struct seccomp_notif **call)
{
	return vcr_notify_wait_also(n, timeout_ms, NULL, 0, call);
}

/* Where nobody is left who could call, only poll(2) says so. */
static int wait_alone(struct vcr_notify *n, const struct seccomp_notif **call)
{
	struct pollfd p = { n->fd, POLLIN, 0 };
	int err;
	while ((err = receive(n)))
		if (err != -EINTR && (err != -ENOENT || (poll(&p, 1, 0) == 1 && !(p.revents & POLLIN))))
			return VCR_ENOTFOUND;
	*call = &n->slot->call;
	return 0;
}

int vcr_notify_wait_also(struct vcr_notify *n, int timeout_ms, struct pollfd *also, unsigned nalso, const struct seccomp_notif **call)
{
	struct pollfd p[1 + VCR_NOTIFY_KEPT] = { { n->fd, POLLIN, 0 } };
	if (n->ends && timeout_ms < 0 && !nalso)
		return wait_alone(n, call);
	for (;;) {
		for (unsigned i = 0; i < nalso; i++)
			p[1 + i] = also[i];
		int some = poll(p, 1 + nalso, timeout_ms);
		for (unsigned i = 0; i < nalso; i++)
			also[i].revents = some > 0 ? p[1 + i].revents : 0;
		if (some == 0 || (some > 0 && !p->revents))
			return 1;
		if (some < 0 && errno != EINTR)
			return VCR_EIO;
		if (some > 0 && !(p->revents & POLLIN))
			return VCR_ENOTFOUND;
		int err = some > 0 ? receive(n) : -EINTR;
		if (!err) {
			*call = &n->slot->call;
			return 0;
		}
		if (err != -EINTR && err != -ENOENT) /* ENOENT: it was killed before it could be told */
			return VCR_ENOTFOUND;
	}
}

int vcr_notify_fd(const struct vcr_notify *n)
{
	return n->fd;
}

/* ---- The guardian ---- */

/* Nothing of ours is kept open: a pipe that somebody waits for the end of would have none. */
static void close_others(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);
	for (int fd = 0; fd < 3; fd++)
		dup2(low == 0 ? (int)high : open("/dev/null", O_RDWR), fd);
	if (low > 3)
		syscall(SYS_close_range, 3, low - 1, 0);
	if (high > low + 1)
		syscall(SYS_close_range, low + 1, high - 1, 0);
	syscall(SYS_close_range, high + 1, ~0u, 0);
}

/* A call waits that nobody has come for. */
static bool somebody_waits(const struct vcr_notify *n)
{
	struct pollfd p = { n->fd, POLLIN, 0 };
	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

static void on_alarm(int sig)
{
}

/* Let one pass. The other may be faster after all: then this ends by the alarm. */
static void help(const struct vcr_notify *n)
{
	static struct slot own;
	struct vcr_notify mine = *n;
	mine.slot = &own;
	alarm(1);
	int err = receive(&mine);
	alarm(0);
	if (!err)
		vcr_notify_go_on(&mine);
}

/* The call that the other has in hand. */
static void help_in_hand(const struct vcr_notify *n)
{
	static struct slot own;
	struct vcr_notify mine = *n;
	mine.slot = &own;
	own.call.id = n->slot->call.id;
	if (own.call.id && !__atomic_load_n(&n->slot->answered, __ATOMIC_ACQUIRE))
		vcr_notify_go_on(&mine);
}

/* How the other fares: since when it has not come for a call, and whether calls waited meanwhile. */
struct watch { uint32_t turns; int still_ms; bool waited, stuck, said; };

/* The other may be stopped, or wait for a file system that a supervised program serves: then calls pass. */
static bool look_after(const struct vcr_notify *n, struct watch *w)
{
	uint32_t turns = __atomic_load_n(&n->slot->turns, __ATOMIC_ACQUIRE);
	bool waits = somebody_waits(n), late = false;
	if (turns != w->turns) {
		*w = (struct watch){ .turns = turns, .said = w->said };
		return false;
	}
	w->still_ms += w->stuck ? HELP_MS : LOOK_MS;
	w->stuck |= waits && w->waited;
	w->waited = waits;
	for (; w->stuck && waits; waits = somebody_waits(n)) {
		help(n);
		late = true;
	}
	if (w->still_ms >= IN_HAND_MS) {
		help_in_hand(n);
		help_kept(n);
	}
	late &= !w->said;
	w->said |= late;
	return late;
}

/* True: the other has died. False: nobody is left to answer. */
static bool wait_for_death(const struct vcr_notify *n, int alive, void (*say)(void *ctx, bool alone), void *ctx)
{
	struct watch w = { 0 };
	for (;;) {
		struct pollfd p[2] = { { n->fd, 0, 0 }, { alive, 0, 0 } };
		int some = poll(p, 2, w.stuck ? HELP_MS : LOOK_MS);
		if (some < 0 && errno != EINTR)
			return true;
		if (some > 0 && p[0].revents)
			return false;
		if (some > 0 && p[1].revents)
			return true;
		if (some == 0 && !n->strict && look_after(n, &w) && say)
			say(ctx, false);
	}
}

static void pass(struct vcr_notify *n)
{
	int nr = n->slot->call.data.nr;
	if (n->strict && (nr == SYS_execve || nr == SYS_execveat))
		vcr_notify_answer(n, -EACCES);
	else
		vcr_notify_go_on(n);
}

_Noreturn static void guard(struct vcr_notify *n, int alive, void (*say)(void *ctx, bool alone), void *ctx)
{
	const struct seccomp_notif *call;
	sigset_t all;
	sigfillset(&all);
	sigdelset(&all, SIGALRM);
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, VCR_NOTIFY_GUARD);
	if (chdir("/"))
		_exit(1);
	close_others(n->fd, alive);
	if (!wait_for_death(n, alive, say, ctx))
		_exit(0);
	if (__atomic_load_n(&n->slot->answered, __ATOMIC_ACQUIRE))
		send_answer(n);
	else if (n->slot->call.id)
		pass(n);
	help_kept(n);
	if (say)
		say(ctx, true);
	while (!vcr_notify_wait(n, -1, &call))
		pass(n);
	_exit(0);
}

/* Since Linux 6.11: before, who waits otherwise than by poll(2) waits for ever. */
static bool waiting_ends(void)
{
	struct utsname u;
	int major, minor;
	return !uname(&u) && sscanf(u.release, "%d.%d", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 11));
}

int vcr_notify_open(struct vcr_notify **out, int listener, struct vcr_error *e)
{
	struct seccomp_notif_sizes sizes;
	struct vcr_notify *n = calloc(1, sizeof *n);
	__u64 sync = SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP;
	if (!n)
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	n->fd = listener;
	n->alive = -1;
	n->slot = mmap(NULL, SLOT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (n->slot == MAP_FAILED || syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) || sizes.seccomp_notif > SLOT / 2 || sizes.seccomp_notif_resp > ANSWER) {
		int err = vcr_error_sys(e, errno, "the supervisor cannot be set up");
		if (n->slot != MAP_FAILED)
			munmap(n->slot, SLOT);
		free(n);
		return err;
	}
	n->call_size = sizes.seccomp_notif > sizeof(struct seccomp_notif) ? sizes.seccomp_notif : sizeof(struct seccomp_notif);
	n->answer_size = sizes.seccomp_notif_resp > sizeof(struct seccomp_notif_resp) ? sizes.seccomp_notif_resp : sizeof(struct seccomp_notif_resp);
	n->ends = waiting_ends();
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, sync); /* where there is no such thing it is only slower */
	*out = n;
	return 0;
}

/* As vcr_notify_free, but the listener stays the caller's. */
static void close_again(struct vcr_notify *n)
{
	if (n->alive >= 0)
		close(n->alive);
	munmap(n->slot, SLOT);
	free(n);
}

int vcr_notify_guard(struct vcr_notify **out, int listener, bool strict, void (*say)(void *ctx, bool alone), void *ctx, struct vcr_error *e)
{
	struct vcr_notify *n;
	int pipe_fd[2], err = vcr_notify_open(&n, listener, e);
	if (err)
		return err;
	if (pipe2(pipe_fd, O_CLOEXEC)) {
		err = vcr_error_sys(e, errno, "the supervisor cannot be set up");
		close_again(n);
		return err;
	}
	n->strict = strict;
	pid_t pid = fork();
	if (pid == 0) {
		close(pipe_fd[1]);
		guard(n, pipe_fd[0], say, ctx);
	}
	close(pipe_fd[0]);
	n->alive = pipe_fd[1];
	if (pid > 0) {
		*out = n;
		return 0;
	}
	err = vcr_error_sys(e, errno, "cannot fork the supervisor's guardian");
	close_again(n);
	return err;
}

void vcr_notify_free(struct vcr_notify *n)
{
	if (!n)
		return;
	close(n->fd);
	close_again(n);
}
