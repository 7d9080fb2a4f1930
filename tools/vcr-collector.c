/* vcr-collector.c — the one process that reads a session's spool and writes its file. Started by vcr-record, or by the shim at the first
 * event worth recording; ends when the processes of the session are gone. See vcr-collector(8). */
#include "config.h"
#include "control.h"
#include "json.h"
#include "paths.h"
#include "pids.h"
#include "recorder.h"
#include "spool.h"
#include "regate.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/futex.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { GRACE_MS = 60, MAX_PROCESSES = 8192, WORDS_MS = 1000 /* that the last words of one who has ended are waited for */, GATE_MS = 2000 /* and what the gate has to say of it */, IDLE_MS = 1000, HELLO_MS = 3000, WAITED_MS = 200, WATCH_PAUSE_MS = 25, WATCH_FEW = 64 << 10, LINGER_US = 1000, FIRST_LISTENER = 3, DOZE_MS = 10, REAP_PAUSE_MS = 5,
	STORM_MS = 100, STORM_RECORDS = 50 /* in so long */, STORM_LEAST = 8 << 10 /* bytes in so long: with less it is over */, STORM_BACKLOG = 32 << 20 /* bytes that are left unread while it goes on */,
	STORM_PART = 4 /* but less than that part of what the spool's file system has left */, STORM_AGE_MS = 10000 /* and for how long */ };

struct collector {
	const char *path;       /* of the spool */
	struct vcr_spool *spool;
	struct vcr_spool_header *h;
	struct vcr_recorder *recorder;
	struct vcr_control control;
	struct vcr_config config;
	struct { int pid, here, fd; } process[MAX_PROCESSES]; /* its number in the session, and the one that it has for us */
	int nprocess;
	int early[MAX_PROCESSES], nearly; /* was gone before it could be watched */
	struct gone { int pid, here; uint64_t upto, since_ns; } gone[2 * MAX_PROCESSES]; /* has ended; its last words are in the spool before `upto` */
	int ngone;
	struct { int pid, here; uint64_t until_ns; } ended[MAX_PROCESSES]; /* dead; until_ns: by then whoever waited for it has said how it ended, 0: nobody has waited */
	int nended;
	bool saw_process;
	int bell;               /* eventfd that the bell's thread raises */
	pthread_t ringer;       /* that thread, when bell >= 0 */
	pthread_t grower;       /* the one that makes the spool longer when it is asked to, when `grows` */
	bool grows;
	pthread_mutex_t turn;   /* whose turn it is to look at the spool, and at anything else here */
	uint32_t rung;          /* the doorbell as it last saw it */
	bool may_linger;        /* what is drained now, it was rung for */
	bool no_bell;           /* they are to end */
	bool storm;             /* records come by the thousand: they are read when that is over, or when there are too many, or somebody asks */
	uint64_t drained_ns;    /* when everything had been read */
	uint64_t counted_since_ns;
	unsigned counted;       /* records that were read since */
	bool salvage, late, stop, stay;
	bool root_over;         /* the first process has ended: what storms now is not waited for */
	uint64_t watch_again_ns; /* inotify is not listened to before */
	uint64_t reap_again_ns; /* nor to the end of processes, but for the first one */
	struct vcr_regate regate;
};

static volatile sig_atomic_t told_to_end;

static void on_term(int sig)
{
	told_to_end = 1;
}

static uint64_t mono_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- Processes ---- */

static bool is_watched(const struct collector *c, int pid)
{
	for (int i = 0; i < c->nprocess; i++)
		if (c->process[i].pid == pid)
			return true;
	return false;
}

static bool is_watched_here(const struct collector *c, int here)
{
	for (int i = 0; i < c->nprocess; i++)
		if (c->process[i].here == here)
			return true;
	return false;
}

/* From /proc/PID/stat; -1 if it cannot be read. */
static int parent_of(int pid)
{
	char name[40], text[512];
	int parent = -1;
	snprintf(name, sizeof name, "/proc/%d/stat", pid);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	const char *end = strrchr(text, ')');
	if (end)
		sscanf(end, ") %*c %d", &parent);
	return parent;
}

static bool maps_spool(const struct collector *c, int pid)
{
	char name[40], line[8192];
	bool found = false;
	snprintf(name, sizeof name, "/proc/%d/maps", pid);
	FILE *f = fopen(name, "re");
	while (f && !found && fgets(line, sizeof line, f))
		found = strstr(line, c->path) != NULL;
	if (f)
		fclose(f);
	return found;
}

/* The number may be one of another pid namespace, where it names somebody else than it does here: that one would not end with the session. */
static bool is_ours(const struct collector *c, int here)
{
	int parent = parent_of(here);
	return parent < 0 || is_watched_here(c, parent) || maps_spool(c, here);
}

/* here: 0, there is none of that number any more. */
static void watch_known(struct collector *c, int pid, int here)
{
	if (c->nprocess == MAX_PROCESSES || is_watched(c, pid) || (here && pid != c->h->root_pid && !is_ours(c, here)))
		return;
	int fd = here ? (int)syscall(SYS_pidfd_open, here, 0) : -1, err = here ? errno : ESRCH;
	c->saw_process = true;
	if (fd >= 0 || err != ESRCH) { /* without a descriptor (RLIMIT_NOFILE) it is looked at by number: it is there */
		c->process[c->nprocess].pid = pid;
		c->process[c->nprocess].here = here;
		c->process[c->nprocess++].fd = fd;
	} else if (c->nearly < MAX_PROCESSES) {
		c->early[c->nearly++] = pid;
	}
}

static void watch_process(struct collector *c, int pid)
{
	if (!is_watched(c, pid))
		watch_known(c, pid, pid == c->h->root_pid ? vcr_pids_root(c->h) : vcr_pids_outside(c->h->pid_ns, vcr_pids_root(c->h), pid));
}

static void take_pids(struct collector *c)
{
	int pid[64];
	size_t n;
	while ((n = vcr_recorder_take_pids(c->recorder, pid, 64)))
		for (size_t i = 0; i < n && !c->salvage; i++)
			if (!vcr_recorder_is_waited(c->recorder, pid[i]))
				watch_process(c, pid[i]);
			else if (!is_watched(c, pid[i]))
				vcr_recorder_gone(c->recorder, pid[i], mono_ns());
}

static void take_mutes(struct collector *c)
{
	uint32_t conn[64];
	size_t n;
	while ((n = vcr_recorder_take_mutes(c->recorder, conn, 64)))
		for (size_t i = 0; i < n; i++)
			__atomic_store_n(&c->h->mute[conn[i] % VCR_SPOOL_MUTES], conn[i], __ATOMIC_RELEASE);
}

/* In the place of a collector that died: the processes that go on are known by the spool that they have mapped. */
static void find_writers(struct collector *c, bool in_its_place)
{
	static int pid[MAX_PROCESSES];
	size_t n = in_its_place ? vcr_spool_writers(c->spool, pid, MAX_PROCESSES) : 0;
	for (size_t i = 0; i < n; i++)
		if (pid[i] != c->h->gate.pid) /* it goes when we do */
			watch_known(c, vcr_pids_inside(c->h->pid_ns, pid[i]), pid[i]);
	c->late = c->nprocess > 0;
	c->salvage = in_its_place && !c->late;
}

/* A call that follows no change has begun. Its request may be read when it has been answered or a while later: on a small machine we would have the core that its
 * gate or its server needs. */
static void linger(struct collector *c)
{
	struct timespec while_ = { 0, LINGER_US * 1000 };
	uint32_t now = __atomic_load_n(&c->h->doorbell, __ATOMIC_ACQUIRE); /* rung since then: by the same call */
	c->may_linger = false;
	__atomic_store_n(&c->h->sleeping, VCR_DOZING, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &c->h->doorbell, FUTEX_WAIT, now, &while_, NULL, 0);
	__atomic_store_n(&c->h->sleeping, VCR_AWAKE, __ATOMIC_SEQ_CST);
}

static void count(struct collector *c, unsigned records)
{
	uint64_t now = mono_ns();
	if (now - c->counted_since_ns > STORM_MS * 1000000ull) {
		c->counted_since_ns = now;
		c->counted = 0;
	}
	c->counted += records;
}

/* Everything in the spool up to now: not what comes meanwhile, or who writes as fast as we read would keep us from seeing that it is a storm. dead: nobody writes any more. */
static void drain(struct collector *c, bool dead)
{
	struct vcr_spool_event ev;
	uint64_t now = __atomic_load_n(&c->h->tail, __ATOMIC_ACQUIRE);
	unsigned n = 0;
	vcr_recorder_storm(c->recorder, c->storm);
	while ((dead || vcr_spool_position(c->spool) < now) && !vcr_spool_next(c->spool, dead, &ev)) {
		vcr_recorder_event(c->recorder, &ev);
		vcr_spool_acted(c->h, vcr_spool_position(c->spool));
		if (vcr_recorder_take_clean(c->recorder) && c->may_linger)
			linger(c);
		if (++n % 64 == 0) {
			vcr_spool_grow(c->spool, false);
			take_mutes(c);
		}
		if (n % (c->storm ? 1024 : 64) == 0) /* of most the end is among the next ones */
			take_pids(c);
		if (n % 256 == 0)
			vcr_spool_consumed(c->spool, vcr_recorder_needed(c->recorder, vcr_spool_position(c->spool)));
	}
	vcr_recorder_settle(c->recorder);
	count(c, n);
	__atomic_store_n(&c->drained_ns, mono_ns(), __ATOMIC_RELEASE);
	if (vcr_spool_position(c->spool) != c->h->acted)
		vcr_spool_acted(c->h, vcr_spool_position(c->spool)); /* what is skipped has no event */
	take_mutes(c);
	take_pids(c);
	vcr_spool_grow(c->spool, false);
	vcr_spool_consumed(c->spool, vcr_recorder_needed(c->recorder, vcr_spool_position(c->spool)));
}

/* Its last words are in the spool already, and have been read, or cannot be. */
static void declare_gone(struct collector *c, int pid, int here)
{
	vcr_recorder_gone(c->recorder, pid, mono_ns());
	if (c->nended == MAX_PROCESSES) {
		vcr_recorder_unwaited(c->recorder, c->ended[0].pid);
		memmove(c->ended, c->ended + 1, (size_t)--c->nended * sizeof *c->ended);
	}
	c->ended[c->nended].pid = pid;
	c->ended[c->nended].here = here;
	c->ended[c->nended++].until_ns = 0;
}

/* The dead whose parents have waited for them, and said how it ended or never will. */
static void bury(struct collector *c)
{
	static int pid[MAX_PROCESSES];
	uint64_t now = mono_ns();
	int n = 0, keep = 0;
	for (int i = 0; i < c->nended; i++) {
		if (!c->ended[i].until_ns && (!c->ended[i].here || (kill(c->ended[i].here, 0) && errno == ESRCH)))
			c->ended[i].until_ns = now + WAITED_MS * 1000000ull;
		if (c->ended[i].until_ns && now >= c->ended[i].until_ns)
			pid[n++] = c->ended[i].pid;
		else
			c->ended[keep++] = c->ended[i];
	}
	c->nended = keep;
	if (n)
		drain(c, false);
	for (int i = 0; i < n; i++)
		vcr_recorder_unwaited(c->recorder, pid[i]);
}

static void add_gone(struct collector *c, int pid, int here)
{
	if (c->ngone == 2 * MAX_PROCESSES) {
		declare_gone(c, pid, here);
		return;
	}
	c->gone[c->ngone].pid = pid;
	c->gone[c->ngone].here = here;
	c->gone[c->ngone].since_ns = mono_ns();
	c->gone[c->ngone++].upto = __atomic_load_n(&c->h->tail, __ATOMIC_ACQUIRE);
}

/* The gate hears that a client has left as we do, and not always before us: how the answer ended that was under way it has yet to say. */
static bool gate_will_say(const struct collector *c, int pid)
{
	const struct vcr_lead_block *g = &c->h->gate;
	return __atomic_load_n(&g->state, __ATOMIC_ACQUIRE) == VCR_LEAD_READY && vcr_recorder_awaits_gate(c->recorder, pid) && g->pid > 0 && g->start && vcr_spool_start_time(g->pid) == g->start;
}

/* Its last words have been read, and the gate's about it. Where another's record before them is not whole yet, it waits: what comes of it then would be a stranger's. Not
 * for ever: whoever found no room may have a place where the file does not reach, and a connection may have been left to a child. */
static bool all_is_said(const struct collector *c, const struct gone *g, uint64_t read, uint64_t now)
{
	uint64_t waited = now - g->since_ns;
	return (g->upto <= read || waited >= WORDS_MS * 1000000ull) && (waited >= GATE_MS * 1000000ull || !gate_will_say(c, g->pid));
}

static void declare_all(struct collector *c)
{
	int keep = 0;
	if (c->ngone)
		drain(c, false);
	uint64_t read = vcr_spool_position(c->spool), now = mono_ns();
	for (int i = 0; i < c->ngone; i++)
		if (all_is_said(c, &c->gone[i], read, now))
			declare_gone(c, c->gone[i].pid, c->gone[i].here);
		else
			c->gone[keep++] = c->gone[i];
	c->ngone = keep;
}

static void reap(struct collector *c)
{
	static struct pollfd fds[MAX_PROCESSES];
	int keep = 0;
	for (int i = 0; i < c->nearly; i++)
		add_gone(c, c->early[i], c->h->pid_ns ? 0 : c->early[i]);
	c->nearly = 0;
	bury(c);
	for (int i = 0; i < c->nprocess; i++)
		fds[i] = (struct pollfd){ c->process[i].fd, POLLIN, 0 };
	bool some = c->nprocess && poll(fds, (nfds_t)c->nprocess, 0) > 0;
	for (int i = 0; i < c->nprocess; i++) {
		if (c->process[i].fd < 0 ? kill(c->process[i].here, 0) && errno == ESRCH : some && fds[i].revents) {
			add_gone(c, c->process[i].pid, c->process[i].here);
			if (c->process[i].fd >= 0)
				close(c->process[i].fd);
		} else {
			c->process[keep++] = c->process[i];
		}
	}
	c->nprocess = keep;
	declare_all(c);
}

/* ---- The bell: a thread waits for the spool's futex and looks at once, for the gate holds an answer back until that is done ---- */

/* Who else has to know: the other thread waits for processes, for the judge, and begins the user's tests. */
static void answer_bell(struct collector *c)
{
	uint64_t one = 1;
	pthread_mutex_lock(&c->turn);
	int known = c->nprocess, early = c->nearly;
	struct pollfd judge[2];
	c->may_linger = true; /* once */
	drain(c, false);
	c->may_linger = false;
	if (c->counted >= STORM_RECORDS)
		__atomic_store_n(&c->storm, true, __ATOMIC_RELEASE); /* here alone: this thread will doze, and see its end */
	bool polls = vcr_recorder_judge_pollfd(c->recorder, judge) || !vcr_recorder_tests_timeout(c->recorder);
	if ((c->nprocess != known || c->nearly != early || polls) && write(c->bell, &one, sizeof one) < 0)
		c->stop |= errno == EBADF;
	pthread_mutex_unlock(&c->turn);
}

static bool is_behind(const struct collector *c)
{
	return __atomic_load_n(&c->h->tail, __ATOMIC_SEQ_CST) != __atomic_load_n(&c->h->acted, __ATOMIC_SEQ_CST);
}

/* What the spool held some dozes ago, and how long those were to be. */
struct growth { uint64_t tail; unsigned ms; };

/* Does it still grow as it does in a storm? By the dozes, not the clock: a machine that is busy with others may let it rest for a while. */
static bool grows(struct growth *g, uint64_t tail, unsigned dozed_ms)
{
	if ((g->ms += dozed_ms) < STORM_MS)
		return true;
	bool enough = tail - g->tail >= STORM_LEAST;
	*g = (struct growth){ .tail = tail };
	return enough;
}

/* Writers must not find it full. */
static bool fits(const struct collector *c, uint64_t behind)
{
	return behind < STORM_BACKLOG && behind < vcr_spool_room(c->spool) / STORM_PART;
}

/* So much came within one doze: it is a storm, and not even its beginning is read in its midst. */
static bool breaks_out(struct collector *c)
{
	pthread_mutex_lock(&c->turn);
	bool many = vcr_spool_holds(c->spool, STORM_RECORDS);
	pthread_mutex_unlock(&c->turn);
	return many;
}

/* A storm goes on, and nobody has to know now what it brings. */
static bool may_wait(struct collector *c, bool rung, struct growth *g, unsigned dozed_ms)
{
	uint64_t tail = __atomic_load_n(&c->h->tail, __ATOMIC_SEQ_CST), behind = tail - __atomic_load_n(&c->h->acted, __ATOMIC_SEQ_CST);
	bool goes_on = grows(g, tail, dozed_ms) && behind;
	if (!rung && !goes_on)
		__atomic_store_n(&c->storm, false, __ATOMIC_RELEASE);
	return !rung && goes_on && fits(c, behind) && mono_ns() - __atomic_load_n(&c->drained_ns, __ATOMIC_ACQUIRE) < STORM_AGE_MS * 1000000ull &&
		__atomic_load_n(&c->storm, __ATOMIC_ACQUIRE);
}

static void *ring(void *arg)
{
	struct collector *c = arg;
	struct growth growth = { 0 };
	bool dozes = false;
	while (!__atomic_load_n(&c->no_bell, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&c->h->sleeping, dozes ? VCR_DOZING : VCR_ASLEEP, __ATOMIC_SEQ_CST);
		if (!dozes && is_behind(c)) { /* came while nobody would have been woken */
			dozes = true;
			continue;
		}
		if (!dozes)
			__atomic_store_n(&c->storm, false, __ATOMIC_RELEASE);
		unsigned doze_ms = __atomic_load_n(&c->storm, __ATOMIC_ACQUIRE) ? STORM_MS : DOZE_MS;
		struct timespec while_ = { 0, doze_ms * 1000000l };
		syscall(SYS_futex, &c->h->doorbell, FUTEX_WAIT, c->rung, dozes ? &while_ : NULL, NULL, 0);
		__atomic_store_n(&c->h->sleeping, VCR_AWAKE, __ATOMIC_SEQ_CST);
		vcr_spool_grow(c->spool, false); /* some writers can neither do it nor ask: they may make no system calls */
		uint32_t now = __atomic_load_n(&c->h->doorbell, __ATOMIC_ACQUIRE);
		bool rung = now != c->rung;
		if (dozes && !rung && !__atomic_load_n(&c->storm, __ATOMIC_ACQUIRE) && !__atomic_load_n(&c->root_over, __ATOMIC_ACQUIRE) && is_behind(c) && breaks_out(c))
			__atomic_store_n(&c->storm, true, __ATOMIC_RELEASE);
		bool waits = may_wait(c, rung, &growth, doze_ms);
		dozes = rung || is_behind(c);
		c->rung = now;
		if (dozes && !waits && !__atomic_load_n(&c->no_bell, __ATOMIC_ACQUIRE))
			answer_bell(c);
	}
	return NULL;
}

/* Signals are for the first thread, which they wake. */
static bool start_thread(pthread_t *thread, void *(*body)(void *), struct collector *c)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	bool started = !pthread_create(thread, NULL, body, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return started;
}

static void start_bell(struct collector *c)
{
	c->rung = __atomic_load_n(&c->h->doorbell, __ATOMIC_ACQUIRE);
	c->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (c->bell >= 0 && !start_thread(&c->ringer, ring, c)) {
		close(c->bell);
		c->bell = -1;
	}
}

static void stop_bell(struct collector *c)
{
	if (c->bell < 0)
		return;
	__atomic_store_n(&c->no_bell, true, __ATOMIC_RELEASE);
	__atomic_fetch_add(&c->h->doorbell, 1, __ATOMIC_ACQ_REL);
	vcr_spool_wake(&c->h->doorbell);
	pthread_join(c->ringer, NULL);
	close(c->bell);
	c->bell = -1;
}

/* ---- Room: writers that cannot make the spool longer ask for it, and lose what they do when it does not come soon. So it waits for no turn ---- */

static void *grow(void *arg)
{
	struct collector *c = arg;
	struct sched_param p = { 0 };
	uint32_t seen = __atomic_load_n(&c->h->scarce, __ATOMIC_SEQ_CST);
	sched_setscheduler(0, SCHED_OTHER, &p); /* who asks sleeps, or soon will; and it is short */
	while (!__atomic_load_n(&c->no_bell, __ATOMIC_ACQUIRE)) {
		vcr_spool_grow(c->spool, seen != 0);
		vcr_spool_await_scarce(c->spool, &seen);
	}
	return NULL;
}

static void start_growing(struct collector *c)
{
	c->grows = start_thread(&c->grower, grow, c);
}

static void stop_growing(struct collector *c)
{
	if (!c->grows)
		return;
	__atomic_store_n(&c->no_bell, true, __ATOMIC_RELEASE);
	__atomic_fetch_add(&c->h->scarce, 1, __ATOMIC_SEQ_CST);
	vcr_spool_wake(&c->h->scarce);
	pthread_join(c->grower, NULL);
	c->grows = false;
}

/* ---- Control ---- */

static void on_control(void *ctx, const char *request, size_t n, struct vcr_buf *answer)
{
	struct collector *c = ctx;
	struct vcr_spool_losses l;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	reap(c);
	drain(c, false);
	vcr_recorder_notes_read(c->recorder);
	vcr_spool_losses(c->spool, &l);
	if (!vcr_json_parse(&j, request, n, 0, NULL) && vcr_json_is(&j, vcr_json_get(&j, 0, "op"), "end")) {
		c->stop = true;
		vcr_buf_puts(answer, "{\"ok\":true}");
		return;
	}
	vcr_recorder_control(c->recorder, request, n, &l, c->nprocess, answer);
}

/* ---- The loop ---- */

/* While one goes on the bell's thread alone reads: each process that ends, and each that would be watched then, would have the spool read. */
static bool in_storm(const struct collector *c)
{
	return c->bell >= 0 && __atomic_load_n(&c->storm, __ATOMIC_ACQUIRE);
}

/* The same where it is about to begin: that thread wakes within a doze, and sees it. */
static bool leaves_to_bell(struct collector *c)
{
	return c->bell >= 0 && !c->root_over && __atomic_load_n(&c->h->sleeping, __ATOMIC_ACQUIRE) == VCR_DOZING && vcr_spool_holds(c->spool, STORM_RECORDS);
}

/* A line of an annotation, or a run of the user's tests: what was done before is to be known first. */
static bool is_told(const struct collector *c)
{
	struct pollfd fds[4];
	int n = vcr_recorder_tests_pollfds(c->recorder, fds), notes = vcr_recorder_notes_fd(c->recorder);
	if (notes >= 0)
		fds[n++] = (struct pollfd){ notes, POLLIN, 0 };
	return poll(fds, (nfds_t)n, 0) > 0 || !vcr_recorder_tests_timeout(c->recorder);
}

/* So few events that the kernel's queue has room for four times as long (16,384 unless it was set lower, inotify(7); when it is full a scan makes that good): then a
 * build is left in peace for that. */
static unsigned watch_pause_ms(int watch, bool storm)
{
	int bytes;
	return storm && !ioctl(watch, FIONREAD, &bytes) && bytes < WATCH_FEW ? STORM_MS : WATCH_PAUSE_MS;
}

/* Let the bell's thread have its turn until something else happens: control, inotify, a process that begins or ends. In a storm of files inotify is not
 * listened to for a while after each time: who writes would wake us with every file. What it knows is read wherever it matters. */
static void wait_for_something(struct collector *c, int timeout_ms)
{
	static struct pollfd fds[VCR_CONTROL_CLIENTS + 8 + MAX_PROCESSES];
	int n = vcr_control_pollfds(&c->control, fds), watch = vcr_recorder_watch_fd(c->recorder), notes = vcr_recorder_notes_fd(c->recorder);
	if (c->bell >= 0)
		fds[n++] = (struct pollfd){ c->bell, POLLIN, 0 };
	uint64_t now = mono_ns();
	int watch_at = -1;
	if (watch >= 0 && now >= c->watch_again_ns) {
		watch_at = n;
		fds[n++] = (struct pollfd){ watch, POLLIN, 0 };
	} else if (watch >= 0) {
		int left = (int)((c->watch_again_ns - now) / 1000000u) + 1;
		timeout_ms = timeout_ms < left ? timeout_ms : left;
	}
	n += vcr_recorder_judge_pollfd(c->recorder, &fds[n]);
	int judge_ms = vcr_recorder_judge_timeout(c->recorder);
	timeout_ms = judge_ms >= 0 && judge_ms < timeout_ms ? judge_ms : timeout_ms;
	n += vcr_recorder_tests_pollfds(c->recorder, &fds[n]);
	int tests_ms = vcr_recorder_tests_timeout(c->recorder);
	timeout_ms = tests_ms >= 0 && tests_ms < timeout_ms ? tests_ms : timeout_ms;
	if (notes >= 0)
		fds[n++] = (struct pollfd){ notes, POLLIN, 0 };
	if (vcr_regate_fd(&c->regate) >= 0)
		fds[n++] = (struct pollfd){ vcr_regate_fd(&c->regate), POLLIN, 0 };
	int ends_at = n, root_at = -1;
	bool storm = in_storm(c), pause = storm || now < c->reap_again_ns;
	for (int i = 0; i < c->nprocess; i++)
		if (!pause || c->process[i].pid == c->h->root_pid) {
			root_at = c->process[i].pid == c->h->root_pid ? n : root_at;
			fds[n++] = (struct pollfd){ c->process[i].fd, POLLIN, 0 };
		}
	int pause_ms = storm ? STORM_MS : REAP_PAUSE_MS;
	if (pause && timeout_ms > pause_ms)
		timeout_ms = pause_ms;
	pthread_mutex_unlock(&c->turn);
	int some = poll(fds, (nfds_t)n, timeout_ms);
	pthread_mutex_lock(&c->turn);
	uint64_t count;
	for (int i = ends_at; some > 0 && i < n; i++)
		if (fds[i].revents) {
			c->reap_again_ns = mono_ns() + REAP_PAUSE_MS * 1000000ull;
			if (i == root_at) {
				__atomic_store_n(&c->root_over, true, __ATOMIC_RELEASE);
				__atomic_store_n(&c->storm, false, __ATOMIC_RELEASE);
			}
		}
	if (some > 0 && watch_at >= 0 && fds[watch_at].revents)
		c->watch_again_ns = mono_ns() + watch_pause_ms(watch, storm) * 1000000ull;
	if (some > 0 && c->bell >= 0 && read(c->bell, &count, sizeof count) < 0)
		return;
}

/* There will soon be no place for more: a storm that goes on and on does not keep the dead. */
static bool is_crowded(const struct collector *c)
{
	return c->nprocess > MAX_PROCESSES / 2 || c->nearly > MAX_PROCESSES / 2;
}

static bool awaits_words(const struct collector *c)
{
	for (int i = 0; i < c->nended; i++)
		if (c->ended[i].until_ns)
			return true;
	return false;
}

static bool all_gone(const struct collector *c)
{
	return c->saw_process && !c->nprocess && !c->ngone;
}

static void run(struct collector *c)
{
	uint64_t quiet_since = 0, began = mono_ns();
	pthread_mutex_lock(&c->turn);
	while (!c->stop && !told_to_end) {
		bool storm = (in_storm(c) || leaves_to_bell(c)) && !is_told(c);
		if (!storm) {
			drain(c, false);
			vcr_recorder_notes_read(c->recorder);
		}
		vcr_recorder_lighten(c->recorder);
		vcr_recorder_watch(c->recorder);
		vcr_recorder_judge(c->recorder);
		if (!storm)
			vcr_recorder_tests(c->recorder);
		vcr_control_serve(&c->control, on_control, c);
		if (!storm || is_crowded(c))
			reap(c);
		if (!c->salvage)
			vcr_regate_look(&c->regate);
		/* A session whose first process never appeared: the one who started us died before it could. */
		bool over = c->stay ? false : all_gone(c) || (!c->saw_process && mono_ns() - began > HELLO_MS * 1000000ull);
		if (!over)
			quiet_since = 0;
		else if (!quiet_since)
			quiet_since = mono_ns();
		else if (mono_ns() - quiet_since >= GRACE_MS * 1000000ull)
			break;
		wait_for_something(c, over ? GRACE_MS / 3 : c->ngone ? DOZE_MS : c->saw_process || c->stay ? (awaits_words(c) ? WAITED_MS : IDLE_MS) : GRACE_MS);
	}
	pthread_mutex_unlock(&c->turn);
}

/* ---- Beginning and end ---- */

/* The file mode mask that it was started with. */
static mode_t be_nobody(void)
{
	struct sched_param p = { 0 };
	struct sigaction act = { .sa_handler = on_term };
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigaction(SIGTERM, &act, NULL);
	sched_setscheduler(0, SCHED_BATCH, &p); /* a wake-up must not push the writer off its core */
	struct rlimit limit;
	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	return umask(077);
}

static void set_state(struct collector *c, uint32_t state)
{
	c->h->collector_pid = getpid();
	__atomic_store_n(&c->h->collector, state, __ATOMIC_RELEASE);
	vcr_spool_wake(&c->h->collector);
}

static void base_is_ready(struct collector *c)
{
	__atomic_store_n(&c->h->base_ready, 1, __ATOMIC_RELEASE);
	vcr_spool_wake(&c->h->base_ready);
}

static void leave_result(struct collector *c, const struct vcr_buf *result)
{
	char session[sizeof c->h->session];
	snprintf(session, sizeof session, "%.*s", (int)sizeof session - 1, c->h->session); /* every process of the session can write there */
	if (c->h->flags & VCR_SPOOL_BY_RECORD)
		vcr_control_leave_result(session, result);
}

/* We come too late for the base scan: whoever waited for it goes on, and what he has changed by now is not how it was. */
static bool given_up(const struct collector *c)
{
	uint64_t until = __atomic_load_n(&c->h->base_deadline_ns, __ATOMIC_RELAXED);
	return until && mono_ns() >= until;
}

static int collect(struct collector *c, const struct vcr_recorder_options *o)
{
	VCR_AUTO_BUF result = VCR_BUF_INIT;
	struct vcr_spool_losses l;
	struct vcr_error e = { 0 };
	if (vcr_recorder_new(&c->recorder, o, &e)) {
		fprintf(stderr, "vcr-collector: %s\n", e.what);
		base_is_ready(c);
		return 3;
	}
	if (!c->salvage) {
		vcr_spool_grow(c->spool, false);
		start_growing(c);
		set_state(c, VCR_COLLECTOR_RUNNING);
		if (c->late || given_up(c))
			drain(c, false);
		vcr_control_listen(&c->control, c->h->session, NULL);
		vcr_recorder_scan(c->recorder);
	}
	base_is_ready(c);
	if (!c->salvage) {
		start_bell(c);
		if (c->h->root_pid > 0)
			watch_process(c, c->h->root_pid);
		run(c);
		stop_bell(c);
		stop_growing(c);
	}
	drain(c, true);
	vcr_spool_losses(c->spool, &l);
	vcr_recorder_end(c->recorder, &l, &result);
	leave_result(c, &result);
	vcr_spool_remove(c->spool);
	vcr_control_close(&c->control);
	set_state(c, VCR_COLLECTOR_ENDED);
	vcr_recorder_free(c->recorder);
	return 0;
}

static void usage(FILE *to)
{
	fputs("usage: vcr-collector --spool PATH [--tag TAG]... [--meta KEY=VALUE]... [--burst N]\n"
	      "                     [--test-command CMD [--test-timeout SECONDS]]\n"
	      "                     [--connect-to HOST1:PORT1:HOST2:PORT2]... [--cacert FILE] [--salvage] [--stay]\n"
	      "\n"
	      "Reads the spool of one session and writes its session file. Started by vcr-record and by libvcrshim.so;\n"
	      "there is no need to start it by hand.\n"
	      "\n"
	      "  --spool PATH      the spool, in the runtime directory\n"
	      "  --tag TAG         a tag of the session\n"
	      "  --meta KEY=VALUE  an entry of the session's metadata\n"
	      "  --burst N         so many file changes of one place have frames of their own; off: all\n"
	      "  --test-command CMD  the user's tests, run at savepoints\n"
	      "  --test-timeout SECONDS  each at most so long\n"
	      "  --connect-to ...  for a gate that has to be started again\n"
	      "  --cacert FILE     likewise\n"
	      "  --inherit         likewise: it listens on the descriptors from 3 on, which vcr-record --sealed has made elsewhere\n"
	      "  --stay            go on without a process until it is told to end: a transaction\n"
	      "  --salvage         decode what a dead collector left; end, or go on for the processes that still live\n"
	      "  --help, --version\n", to);
}

struct arguments {
	const char *spool, *burst, *test, *test_timeout;
	struct vcr_regate regate;
	const char *tag[65];
	int ntag;
	struct vcr_buf meta;
	struct vcr_jw w;
	bool salvage, stay;
};

/* 0 go on; else exit status + 1. */
static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{ "spool", required_argument, NULL, 's' }, { "tag", required_argument, NULL, 't' }, { "meta", required_argument, NULL, 'm' },
		{ "burst", required_argument, NULL, 'b' }, { "test-command", required_argument, NULL, 'T' }, { "test-timeout", required_argument, NULL, 'S' }, { "connect-to", required_argument, NULL, 'c' }, { "cacert", required_argument, NULL, 'a' },
		{ "inherit", no_argument, NULL, 'i' }, { "salvage", no_argument, NULL, 'r' }, { "stay", no_argument, NULL, 'y' }, { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'v' }, { 0 },
	};
	int opt;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		char *eq;
		switch (opt) {
		case 's': a->spool = optarg; break;
		case 't':
			if (a->ntag < 64)
				a->tag[a->ntag++] = optarg;
			break;
		case 'm':
			if ((eq = strchr(optarg, '=')) && eq > optarg) {
				*eq = 0;
				vcr_jw_key(&a->w, optarg);
				vcr_jw_str(&a->w, eq + 1);
				*eq = '=';
			}
			break;
		case 'b': a->burst = optarg; break;
		case 'T': a->test = optarg; break;
		case 'S': a->test_timeout = optarg; break;
		case 'c': case 'a':
			vcr_regate_word(&a->regate, opt == 'c' ? "--connect-to" : "--cacert");
			vcr_regate_word(&a->regate, optarg);
			break;
		case 'i': vcr_regate_inherit(&a->regate, FIRST_LISTENER); break;
		case 'r': a->salvage = true; break;
		case 'y': a->stay = true; break;
		case 'h': usage(stdout); return 1;
		case 'v': puts("vcr-collector " PACKAGE_VERSION); return 1;
		default: return 3;
		}
	}
	if (a->spool && optind == argc)
		return 0;
	fputs("vcr-collector: give --spool PATH; see --help\n", stderr);
	return 3;
}

int main(int argc, char **argv)
{
	static struct collector c = { .bell = -1, .turn = PTHREAD_MUTEX_INITIALIZER, .control = { .listener = -1 } };
	struct arguments a = { .meta = VCR_BUF_INIT };
	struct vcr_error e = { 0 };
	vcr_jw_init(&a.w, &a.meta);
	vcr_jw_object(&a.w);
	int status = parse(argc, argv, &a);
	if (status)
		return status - 1;
	vcr_jw_object_end(&a.w);
	mode_t mask = be_nobody();
	mallopt(M_ARENA_MAX, 1); /* the two threads take turns */
	for (int i = 0; i < VCR_CONTROL_CLIENTS; i++)
		c.control.client[i].fd = -1;
	int err = vcr_spool_attach(&c.spool, a.spool, &e);
	if (err) { /* busy: another one has it */
		if (err != VCR_EBUSY)
			fprintf(stderr, "vcr-collector: %s\n", e.what);
		vcr_buf_release(&a.meta);
		return err == VCR_EBUSY ? 0 : 3;
	}
	c.h = vcr_spool_header(c.spool);
	c.path = a.spool;
	c.regate = a.regate;
	vcr_regate_init(&c.regate, a.spool, c.h);
	find_writers(&c, a.salvage);
	c.stay = a.stay;
	if (chdir("/") || vcr_config_load(&c.config, c.h->vcr_dir, &e))
		fprintf(stderr, "vcr-collector: %s\n", e.what);
	if (c.h->flags & VCR_SPOOL_BY_RECORD) /* vcr-record has read it too, and asks for more or less */
		c.config.capture_all = c.h->flags & VCR_SPOOL_CAPTURE_ALL;
	if (a.burst && vcr_config_burst(a.burst, &c.config.burst))
		fprintf(stderr, "vcr-collector: --burst wants a number or off, not '%s'\n", a.burst);
	struct vcr_recorder_options o = { .spool = c.h, .config = &c.config, .tags = a.tag, .metadata_json = a.meta.len > 2 ? a.meta.data : NULL,
		.prices_path = vcr_control_prices_path(), .eager = c.stay || c.h->flags & VCR_SPOOL_BY_RECORD, .salvage = c.salvage, .environ = environ,
		.test_command = a.test, .test_timeout_s = a.test_timeout ? atoi(a.test_timeout) : 0, .test_mask = mask, .hurry = &told_to_end };
	VCR_AUTO_BUF judge = VCR_BUF_INIT;
	if (c.h->sentinel && !c.salvage && vcr_control_judge_path(&judge, &e))
		fprintf(stderr, "vcr-collector: %s\n", e.what);
	const char *judge_argv[] = { "vcr-sentinel", "judge", NULL };
	o.judge = judge.len ? judge.data : NULL;
	o.judge_argv = judge_argv;
	status = collect(&c, &o);
	vcr_regate_release(&c.regate);
	vcr_config_release(&c.config);
	vcr_spool_free(c.spool);
	vcr_buf_release(&a.meta);
	return status;
}
