/* host.c — hosts that would notice a careless guest.
 *
 *   host quiet       no SIGCHLD, no child for wait(-1), no descriptor, no group member after the collector was started
 *   host race N      N fork children make the session's first event at the same moment
 *   host storm       a 5 kHz timer whose handler writes files while four threads and vfork children do too; prints the number of writes
 *   host begins      a forked child whose first words are a handler's (pthread_atfork), which writes and ends
 *   host twice       a handler forks in the midst of vfork; what was forked there makes a vfork child of its own
 *   host bomb N      N children that end at once
 *   host sandbox [COMMAND]    has that run, installs a seccomp filter that kills for anything but write, close and exit; then writes and ends
 *   host limits FSIZE NOFILE    lowers its limits, writes a file and starts a program
 *   host cut PATH    goes on after a stranger has truncated the spool in PATH (a directory)
 *   host wild PATH   … or has written there that the next record is to be at the end of all addresses */
#include "spool-format.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t children;
static uint32_t writes;

static void on_child(int sig)
{
	children++;
}

static int touch(const char *name)
{
	int fd = open(name, O_CREAT | O_WRONLY, 0644);
	return fd < 0 || write(fd, "x", 1) != 1 || close(fd);
}

static int lowest_descriptor(void)
{
	int fd = dup(0);
	close(fd);
	return fd;
}

static int quiet(void)
{
	setpgid(0, 0);
	signal(SIGCHLD, on_child);
	int before = lowest_descriptor();
	if (touch("first"))
		return 1;
	usleep(200000);
	int left = waitpid(-1, NULL, WNOHANG), why = errno, all = (int)syscall(SYS_wait4, -1, NULL, WNOHANG | __WALL, NULL);
	printf("sigchld=%d wait=%d %s wall=%d descriptor=%d\n", (int)children, left, why == ECHILD ? "ECHILD" : "?", all, lowest_descriptor() - before);
	fflush(stdout);
	signal(SIGTERM, SIG_IGN);
	killpg(0, SIGTERM); /* the collector is not of this group */
	usleep(100000);
	return touch("last");
}

static int race(int n)
{
	int gate[2];
	char c;
	if (pipe(gate))
		return 1;
	for (int i = 0; i < n; i++)
		if (fork() == 0) {
			char name[32];
			snprintf(name, sizeof name, "child-%d", i);
			close(gate[1]);
			_exit(read(gate[0], &c, 1) != 0 || touch(name));
		}
	close(gate[0]);
	usleep(100000);
	close(gate[1]);
	int status, bad = 0;
	while (wait(&status) > 0)
		bad += status != 0;
	return bad;
}

static void on_alarm(int sig)
{
	int saved = errno;
	if (!touch("by-signal"))
		__atomic_fetch_add(&writes, 1, __ATOMIC_RELAXED);
	errno = saved;
}

static void *work(void *arg)
{
	for (volatile int i = 0; i < 500; i++) {
		if (!touch(arg))
			__atomic_fetch_add(&writes, 1, __ATOMIC_RELAXED);
		if (i % 50 == 0 && !vfork())
			_exit(touch("by-vfork") ? 1 : 0);
	}
	return NULL;
}

static int storm(void)
{
	static char names[4][16] = { "thread-0", "thread-1", "thread-2", "thread-3" };
	pthread_t t[4];
	struct itimerval fast = { { 0, 200 }, { 0, 200 } }, stop = { { 0, 0 }, { 0, 0 } };
	struct sigaction a = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	if (!touch("first"))
		writes++;
	sigaction(SIGALRM, &a, NULL);
	setitimer(ITIMER_REAL, &fast, NULL);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, work, names[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	setitimer(ITIMER_REAL, &stop, NULL);
	while (wait(NULL) > 0)
		;
	printf("%u\n", writes);
	return 0;
}

static void at_birth(void)
{
	_exit(touch("by-child"));
}

static int begins(void)
{
	int status;
	touch("first");
	pthread_atfork(NULL, NULL, at_birth);
	pid_t p = fork();
	if (p == 0)
		_exit(1);
	return waitpid(p, &status, 0) != p || status || touch("last");
}

static volatile sig_atomic_t forked_in, in_fork;

static void fork_here(int sig)
{
	if (!forked_in++ && fork() == 0)
		in_fork = 1;
}

static int twice(void)
{
	struct sigaction a = { .sa_handler = fork_here, .sa_flags = SA_RESTART };
	touch("first");
	sigaction(SIGUSR1, &a, NULL);
	if (!vfork()) { /* the signal is there as soon as its parent goes on */
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	if (in_fork) {
		touch("worker");
		if (!vfork())
			_exit(touch("by-vfork"));
	}
	while (wait(NULL) > 0)
		;
	return touch(in_fork ? "worker-last" : "last");
}

static int bomb(int n)
{
	int ended = 0;
	touch("first");
	for (int i = 0; i < n; i++) {
		pid_t p = fork();
		if (p == 0)
			_exit(i % 7);
		if (i % 50 == 49 || p < 0)
			while (waitpid(-1, NULL, 0) > 0)
				ended++;
	}
	while (waitpid(-1, NULL, 0) > 0)
		ended++;
	printf("%d\n", ended);
	return 0;
}

static int sandbox(const char *first)
{
	static const int may[] = { SYS_write, SYS_close, SYS_exit_group, SYS_exit, SYS_rt_sigreturn };
	enum { N = sizeof may / sizeof *may };
	struct sock_filter f[2 * N + 2] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)) };
	int fd = open("in-sandbox", O_CREAT | O_WRONLY, 0644), n = 1;
	if (first && system(first))
		return 6;
	for (int i = 0; i < N; i++) {
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)may[i], 0, 1);
		f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	struct sock_fprog p = { .len = (unsigned short)n, .filter = f };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p, 0, 0))
		return 3;
	if (write(fd, "x", 1) != 1 || write(1, "alive\n", 6) != 6 || close(fd))
		return 4;
	_exit(5);
}

static int limits(long size, long files)
{
	struct rlimit a = { (rlim_t)size, (rlim_t)size }, b = { (rlim_t)files, (rlim_t)files };
	setrlimit(RLIMIT_FSIZE, &a);
	setrlimit(RLIMIT_NOFILE, &b);
	int bad = touch("limited");
	pid_t p = fork();
	if (p == 0) {
		execl("/bin/echo", "echo", "still here", NULL);
		_exit(1);
	}
	int status = 1;
	waitpid(p, &status, 0);
	return bad || status;
}

/* Not by hooks: a stranger's. -1: there is none. */
static int open_spool_in(const char *dir)
{
	char path[4096];
	struct dirent *e;
	DIR *d = opendir(dir);
	while (d && (e = readdir(d)))
		if (strstr(e->d_name, ".spool") && !strstr(e->d_name, ".seen")) {
			snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
			return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR);
		}
	return -1;
}

static int goes_on(int times)
{
	for (int i = 0; i < times; i++)
		if (touch("after"))
			return 1;
	puts("alive");
	return 0;
}

static int cut(const char *dir)
{
	touch("first");
	int fd = open_spool_in(dir);
	if (fd < 0 || syscall(SYS_ftruncate, fd, 256L << 10))
		return 1;
	syscall(SYS_close, fd);
	return goes_on(20000);
}

static int wild(const char *dir)
{
	enum { SIZE = 1 << 20 };
	uint64_t end = -(uint64_t)VCR_SPOOL_ALIGN;
	touch("first");
	char *below = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* the kernel puts it right below the map of the records */
	int fd = open_spool_in(dir);
	for (size_t i = 0; i < 2; i++)
		if (fd < 0 || syscall(SYS_pwrite64, fd, &end, sizeof end, i ? offsetof(struct vcr_spool_header, tail) : offsetof(struct vcr_spool_header, head)) != sizeof end)
			return 1;
	syscall(SYS_close, fd);
	touch("wild");
	for (size_t i = 0; i < SIZE; i++)
		if (below == MAP_FAILED || below[i])
			return 7;
	return goes_on(3);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (!strcmp(what, "quiet"))
		return quiet();
	if (!strcmp(what, "race"))
		return race(atoi(argv[2]));
	if (!strcmp(what, "storm"))
		return storm();
	if (!strcmp(what, "begins"))
		return begins();
	if (!strcmp(what, "twice"))
		return twice();
	if (!strcmp(what, "bomb"))
		return bomb(atoi(argv[2]));
	if (!strcmp(what, "sandbox"))
		return sandbox(argv[2]);
	if (!strcmp(what, "limits"))
		return limits(atol(argv[2]), atol(argv[3]));
	if (!strcmp(what, "cut"))
		return cut(argv[2]);
	if (!strcmp(what, "wild"))
		return wild(argv[2]);
	return 2;
}
