/* shell.c — system(3) and popen(3). libc starts their shells itself: for the time of the call these get an environment that keeps them in the session; those that
 * are tools (stand.c) are started here, through the stand-in. */
#include <pthread.h>
#include "shim.h"

/* ---- libc gives the shell `environ`, so it gets ours for the time of the call ---- */

static struct { uint32_t busy; size_t room; char **list; char **before; } lent;

/* Room that stays ours: another thread may still be reading the list after it was taken back. */
static bool lent_room(size_t bytes)
{
	if (bytes <= lent.room)
		return true;
	bytes = (bytes + 65535) & ~(size_t)65535;
	void *p = raw_mmap(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (raw_failed(p))
		return false;
	lent.list = p;
	lent.room = bytes;
	return true;
}

/* A vfork child has its parent's environment, which is not changed behind his back: what its shell does is not seen. */
static bool lend(void)
{
	if (!vcr_ready() || vcr_self.sandboxed)
		return false;
	if (vcr_guest())
		vcr_lost(0);
	if (vcr_guest() || __atomic_exchange_n(&lent.busy, 1, __ATOMIC_ACQUIRE))
		return false;
	size_t entries = vcr_env_count(environ) + VCR_ENV_ROOM + 1;
	if (!lent_room(entries * sizeof(char *) + vcr_env_text_size(environ) + 1)) {
		vcr_store(&lent.busy, 0);
		return false;
	}
	lent.before = environ;
	vcr_spool(VCR_MAKE);
	vcr_spool_count(1); /* the shell's */
	vcr_env_fill(environ, VCR_TARGET_TAKES, false, lent.list, (char *)(lent.list + entries));
	vcr_store(&environ, lent.list);
	return true;
}

/* A setenv by another thread has copied the list meanwhile: then it stays. */
static void take_back(void)
{
	char **list = lent.list;
	__atomic_compare_exchange_n(&environ, &list, lent.before, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	vcr_store(&lent.busy, 0);
}

/* ---- Shells that are tools: libc would start them behind our back ---- */

/* The handlers are the process's: the first of several callers has INT and QUIT ignored, and the last puts them back. locked: by a thread of that process; whose:
 * running counts its threads. A child that was forked meanwhile begins anew. */
static struct { int32_t locked, whose; uint32_t running; struct sigaction interrupt, quit; } callers;

static void lock_callers(void)
{
	int32_t me = raw_getpid(), by = 0;
	while (!__atomic_compare_exchange_n(&callers.locked, &by, me, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		if (by == me) {
			vcr_call3(SYS_sched_yield, 0, 0, 0);
			by = 0;
		}
	if (callers.whose != me)
		callers.running = 0;
	callers.whose = me;
}

static void unlock_callers(void)
{
	__atomic_store_n(&callers.locked, 0, __ATOMIC_RELEASE);
}

/* Those that are to be as they were in the shell. */
static void ignore_signals(sigset_t *defaults)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigemptyset(defaults);
	lock_callers();
	if (!callers.running++) {
		sigaction(SIGINT, &ignore, &callers.interrupt);
		sigaction(SIGQUIT, &ignore, &callers.quit);
	}
	if (callers.interrupt.sa_handler != SIG_IGN)
		sigaddset(defaults, SIGINT);
	if (callers.quit.sa_handler != SIG_IGN)
		sigaddset(defaults, SIGQUIT);
	unlock_callers();
}

static void put_signals_back(void)
{
	lock_callers();
	if (!--callers.running) {
		sigaction(SIGINT, &callers.interrupt, NULL);
		sigaction(SIGQUIT, &callers.quit, NULL);
	}
	unlock_callers();
}

/* As system(3) has it, with INT and QUIT ignored and CHLD blocked meanwhile. */
static int run_shell(const char *command)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)command, NULL };
	sigset_t chld, defaults, mask;
	posix_spawnattr_t attr;
	pid_t pid = 0;
	int status = -1, cancel = 0, saved = errno;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* signals are to be put back; whoever cancels waits for the shell */
	ignore_signals(&defaults);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &mask);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setsigmask(&attr, &mask);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	int err = vcr_spawn(&pid, "/bin/sh", NULL, &attr, argv);
	if (err)
		status = 127 << 8;
	while (!err && VCR_REAL(waitpid)(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!err)
		vcr_say_exit(pid, status, VCR_EXIT_WAIT);
	posix_spawnattr_destroy(&attr);
	put_signals_back();
	sigprocmask(SIG_SETMASK, &mask, NULL);
	pthread_setcancelstate(cancel, NULL);
	errno = err ? err : saved;
	return status;
}

int system(const char *command)
{
	struct vcr_stand stand;
	if (command && vcr_ready() && !vcr_guest() && vcr_stand_wanted(true, &stand))
		return run_shell(command);
	bool mine = command && lend();
	int r = VCR_REAL(system)(command), saved = errno;
	if (mine)
		take_back();
	errno = saved;
	return r;
}

/* Streams to and from such shells, which are waited for when they are closed. stream: NULL free. */
enum { MOST_PIPED = 64 };
static struct { FILE *stream; pid_t pid; int fd; } piped[MOST_PIPED];
VCR_HOT int32_t vcr_npiped;

static int claim(FILE *f, pid_t pid)
{
	for (int i = 0; i < MOST_PIPED; i++) {
		FILE *none = NULL;
		if (__atomic_compare_exchange_n(&piped[i].stream, &none, f, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
			piped[i].pid = pid;
			vcr_store(&piped[i].fd, fileno(f));
			__atomic_fetch_add(&vcr_npiped, 1, __ATOMIC_RELAXED);
			return i;
		}
	}
	return -1;
}

/* The shell of that stream, which it has no more; 0: it has none of ours. */
static pid_t forget(FILE *f)
{
	for (int i = 0; i < MOST_PIPED && vcr_load(&vcr_npiped); i++)
		if (vcr_load(&piped[i].stream) == f) {
			pid_t pid = piped[i].pid;
			vcr_store(&piped[i].fd, 0);
			vcr_store(&piped[i].stream, NULL);
			__atomic_fetch_sub(&vcr_npiped, 1, __ATOMIC_RELAXED);
			return pid;
		}
	return 0;
}

/* It gets none of the streams to others: they would not end when these are closed. */
static pid_t start_piped(const char *command, int its, int at)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)command, NULL };
	posix_spawn_file_actions_t acts;
	pid_t pid = 0;
	posix_spawn_file_actions_init(&acts);
	int err = posix_spawn_file_actions_adddup2(&acts, its, at);
	for (int i = 0, fd; !err && i < MOST_PIPED && vcr_load(&vcr_npiped); i++)
		if ((fd = vcr_load(&piped[i].fd)) > 0 && fd != at)
			err = posix_spawn_file_actions_addclose(&acts, fd);
	if (!err)
		err = vcr_spawn(&pid, "/bin/sh", &acts, NULL, argv);
	posix_spawn_file_actions_destroy(&acts);
	errno = err ? err : errno;
	return err ? 0 : pid;
}

/* "r" or "w", with "e" anywhere: as libc reads it, which is left to say that it is anything else. */
static bool is_mode(const char *mode)
{
	return !mode[strspn(mode, "rwe")] && !strchr(mode, 'r') != !strchr(mode, 'w');
}

static FILE *open_shell(const char *command, const char *mode)
{
	bool reads = strchr(mode, 'r');
	int end[2];
	if (pipe2(end, O_CLOEXEC))
		return NULL;
	vcr_fd_closed(end[0]); /* whatever they were */
	vcr_fd_closed(end[1]);
	FILE *f = fdopen(end[!reads], reads ? "r" : "w");
	pid_t pid = f ? start_piped(command, end[reads], reads) : 0;
	if (pid && claim(f, pid) < 0)
		errno = EMFILE; /* it runs, and is nobody's: that many at once nobody has */
	else if (pid)
		errno = 0;
	int saved = errno;
	if (!strchr(mode, 'e'))
		vcr_call3(SYS_fcntl, end[!reads], F_SETFD, 0);
	raw_close(end[reads]);
	if (f && saved)
		VCR_REAL(fclose)(f);
	else if (!f)
		raw_close(end[!reads]);
	if (!saved)
		return f;
	errno = saved;
	return NULL;
}

FILE *popen(const char *command, const char *mode)
{
	struct vcr_stand stand;
	if (is_mode(mode) && vcr_ready() && !vcr_guest() && vcr_stand_wanted(true, &stand)) {
		int saved = errno;
		FILE *f = open_shell(command, mode);
		if (f)
			errno = saved;
		return f;
	}
	bool mine = lend();
	FILE *f = VCR_REAL(popen)(command, mode);
	int saved = errno;
	if (mine)
		take_back();
	errno = saved;
	return f;
}

int vcr_close_piped(FILE *f)
{
	pid_t pid = forget(f);
	if (!pid)
		return VCR_REAL(fclose)(f);
	int status = -1, saved = errno;
	VCR_REAL(fclose)(f);
	while (VCR_REAL(waitpid)(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	vcr_say_exit(pid, status, VCR_EXIT_WAIT);
	errno = saved;
	return status;
}

int pclose(FILE *f)
{
	return vcr_likely(!vcr_load(&vcr_npiped)) ? VCR_REAL(pclose)(f) : vcr_close_piped(f);
}
