#include "pids.h"
#include "spool.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOK_MS = 50, LAST_MS = 50, COMMAND = 2 };

/* What the processes in between hear of each other. */
struct report { int error; pid_t first, pid; uint64_t ns; char step[16]; };

static void set_step(struct report *r, int error, const char *step)
{
	r->error = error;
	snprintf(r->step, sizeof r->step, "%s", step);
}

static bool tell(int to, const struct report *r)
{
	return send(to, r, sizeof *r, MSG_NOSIGNAL) == (ssize_t)sizeof *r;
}

static bool hear(int from, struct report *r)
{
	ssize_t n;
	while ((n = recv(from, r, sizeof *r, 0)) < 0 && errno == EINTR)
		;
	return n == (ssize_t)sizeof *r;
}

/* ---- Number 1 ---- */

static bool is_alone(void)
{
	return kill(-1, 0) && errno == ESRCH;
}

/* Its children are not waited for one by one: who ignores SIGCHLD has none that is dead. Some are not its own, when we were killed. */
_Noreturn static void reap(int end)
{
	char c;
	signal(SIGCHLD, SIG_IGN);
	setsid();
	if (chdir("/") || dup2(end, 0))
		_exit(1);
	syscall(SYS_close_range, 1, ~0u, 0); /* somebody may wait for the end of what we hold */
	while (read(0, &c, 1) < 0 && errno == EINTR)
		;
	while (!is_alone())
		if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD)
			poll(NULL, 0, LOOK_MS);
	_exit(0);
}

_Noreturn static void be_first(int to, int end)
{
	struct report r = { 0 };
	struct stat st;
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		set_step(&r, errno, "proc");
	else if (stat("/proc/self/ns/pid", &st))
		set_step(&r, errno, "pid");
	else
		r.ns = st.st_ino;
	if (!tell(to, &r) || r.error)
		_exit(1);
	reap(end);
}

/* ---- The one that goes in and starts both ---- */

static bool go_in(const struct vcr_sealed *sealed, struct report *r)
{
	struct vcr_error e = { 0 };
	uid_t uid = geteuid();
	gid_t gid = getegid();
	set_step(r, EPERM, "namespaces");
	if (sealed && vcr_sealed_enter(sealed, &e))
		return false;
	bool user = unshare(CLONE_NEWNS | CLONE_NEWPID);
	if (user && (sealed || unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID)))
		set_step(r, errno, "unshare");
	else if (user && !vcr_sealed_map_ids(uid, gid))
		set_step(r, errno, "uid_map");
	else if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL))
		set_step(r, errno, "mount");
	else
		set_step(r, 0, "");
	return !r->error;
}

/* As fork, but our parent's child. */
static pid_t fork_sibling(void)
{
	return (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}

/* Both are our parent's children. Only in the command does it return. end: a pipe. */
static void start_both(const struct vcr_sealed *sealed, int to, const int end[2])
{
	struct report r = { 0 };
	int pair[2];
	if (!go_in(sealed, &r))
		goto out;
	set_step(&r, EAGAIN, "fork");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		goto out;
	r.first = fork_sibling();
	if (!r.first)
		be_first(pair[1], end[0]);
	close(pair[1]);
	struct report of_first = r;
	if (r.first < 0 || !hear(pair[0], &of_first))
		goto out;
	r.ns = of_first.ns;
	set_step(&r, of_first.error, of_first.step);
	if (r.error)
		goto out;
	r.pid = fork_sibling();
	if (!r.pid) {
		close(pair[0]);
		return;
	}
	if (r.pid < 0)
		set_step(&r, errno, "fork");
out:
	tell(to, &r);
	_exit(0);
}

int vcr_pids_fork(const struct vcr_sealed *sealed, struct vcr_pids *p, struct vcr_error *e)
{
	struct report r = { .error = EIO, .step = "fork" };
	int pair[2], end[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return vcr_error_sys(e, errno, "cannot make a socket");
	if (pipe2(end, O_CLOEXEC)) {
		int err = vcr_error_sys(e, errno, "cannot make a pipe");
		close(pair[0]);
		close(pair[1]);
		return err;
	}
	pid_t between = fork();
	if (!between) {
		start_both(sealed, pair[1], end);
		close(pair[0]);
		close(pair[1]);
		close(end[0]);
		close(end[1]);
		*p = (struct vcr_pids){ .number = COMMAND, .end = -1, .inside = true };
		return 0;
	}
	close(pair[1]);
	close(end[0]);
	bool heard = between > 0 && hear(pair[0], &r);
	close(pair[0]);
	if (between > 0)
		waitpid(between, NULL, 0);
	if (!heard || r.error || r.pid <= 0) {
		close(end[1]);
		if (heard && r.first > 0)
			waitpid(r.first, NULL, 0);
		return vcr_sealed_refused(r.error, r.step, e);
	}
	*p = (struct vcr_pids){ .ns = r.ns, .pid = r.pid, .number = COMMAND, .first = r.first, .end = end[1] };
	return 0;
}

void vcr_pids_release(struct vcr_pids *p)
{
	if (p->end < 0)
		return;
	close(p->end);
	p->end = -1;
	struct pollfd first = { (int)syscall(SYS_pidfd_open, p->first, 0), POLLIN, 0 };
	if (first.fd >= 0) {
		poll(&first, 1, LAST_MS);
		close(first.fd);
	}
	waitpid(p->first, NULL, WNOHANG); /* others may go on: then it is init's */
}

/* ---- Numbers ---- */

void vcr_pids_publish(struct vcr_spool_header *h, const struct vcr_pids *p)
{
	h->root_outside = p->pid;
	h->root_start = vcr_spool_start_time(p->pid);
	h->pid_ns = p->ns;
	h->root_pid = p->number;
}

pid_t vcr_pids_root(const struct vcr_spool_header *h)
{
	return h->pid_ns ? h->root_outside : h->root_pid;
}

static bool is_in(uint64_t ns, pid_t pid)
{
	char name[40];
	struct stat st;
	snprintf(name, sizeof name, "/proc/%d/ns/pid", (int)pid);
	return !stat(name, &st) && st.st_ino == ns;
}

/* "NSpid: 4711 2", from /proc/PID/status: its numbers from our namespace to its own, the last of them. */
static pid_t last_number(pid_t pid)
{
	static const char mark[] = "\nNSpid:";
	char name[40], text[4096];
	snprintf(name, sizeof name, "/proc/%d/status", (int)pid);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	char *at = strstr(text, mark), *end = at ? strchr(at + 1, '\n') : NULL;
	if (!end)
		return 0;
	*end = 0;
	char *last = strrchr(at, '\t');
	return last ? atoi(last + 1) : 0;
}

pid_t vcr_pids_inside(uint64_t ns, pid_t pid)
{
	return !ns ? pid : is_in(ns, pid) ? last_number(pid) : 0;
}

/* NS_GET_PID_FROM_PIDNS of <linux/nsfs.h>, where that is new enough. -1: it cannot be asked. */
static pid_t ask_kernel(uint64_t ns, pid_t member, pid_t number)
{
	const unsigned long pid_from_pidns = _IOR(0xb7, 0x6, int);
	char name[40];
	struct stat st;
	snprintf(name, sizeof name, "/proc/%d/ns/pid", (int)member);
	int fd = member > 0 ? open(name, O_RDONLY | O_CLOEXEC) : -1, pid = -1;
	if (fd >= 0 && !fstat(fd, &st) && st.st_ino == ns && (pid = ioctl(fd, pid_from_pidns, number)) < 0 && errno == ESRCH)
		pid = 0;
	if (fd >= 0)
		close(fd);
	return pid > 0 && !is_in(ns, pid) ? 0 : pid; /* it may be one of a namespace within that one, where it has another number */
}

pid_t vcr_pids_outside(uint64_t ns, pid_t member, pid_t number)
{
	struct dirent *ent;
	pid_t found = ns ? ask_kernel(ns, member, number) : number;
	if (found >= 0)
		return found;
	found = 0;
	DIR *d = opendir("/proc");
	while (d && !found && (ent = readdir(d))) {
		pid_t pid = atoi(ent->d_name);
		if (pid > 0 && is_in(ns, pid) && last_number(pid) == number)
			found = pid;
	}
	if (d)
		closedir(d);
	return found;
}
