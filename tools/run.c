#include "run.h"
#include "buf.h"
#include "notify.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOW 0xffffffff /* personality(2) */
enum { CONTINUE_MS = 50 /* a continued group's members wake one after the other */, STATUS_CANNOT_RUN = 126, STATUS_NOT_FOUND = 127 };

static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU };

static void watched_signals(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++)
		sigaddset(set, passed_on[i]);
	sigaddset(set, SIGCHLD);
	sigaddset(set, SIGCONT);
}

/* ---- The child ---- */

struct orders { bool recorded, lends, supervised, sealed; struct vcr_lend terms; char preload[8192], spool[4096], notes[4096], hosts[4096], bundle[4096]; };

static void report_exec_failure(const char *program, int err)
{
	dprintf(2, "vcr-record: cannot run %s: %s\n", program, strerror(err));
	_exit(err == ENOENT || err == ENOTDIR ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN);
}

/* Read exactly n bytes; false at the end of the file. A signal's default action is what it would be for the command. */
static bool read_exactly(int fd, char *to, size_t n)
{
	while (n) {
		ssize_t k = read(fd, to, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		to += k;
		n -= (size_t)k;
	}
	return true;
}

static bool borrow(const struct vcr_lend *terms)
{
	size_t n = vcr_lend_text_size(terms, environ), count = 0;
	while (environ[count])
		count++;
	char **list = malloc((count + VCR_LEND_ROOM + 1) * sizeof *list), *text = malloc(n);
	if (!list || !text)
		return false;
	memcpy(list, environ, (count + 1) * sizeof *list);
	vcr_lend(terms, list, text);
	environ = list;
	return true;
}

/* What the parent hears of the filter: a descriptor, or an error. */
static void hand_over(int talk, int fd, const struct vcr_error *e)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct iovec part = { (void *)(uintptr_t)e, sizeof *e };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	if (fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof control;
		control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	}
	if (sendmsg(talk, &m, MSG_NOSIGNAL) != (ssize_t)sizeof *e)
		syscall(SYS_exit, 125);
}

/* Under the filter; somebody answers for what it tells, or the command does not run. */
static void be_supervised(int talk, bool execs_only)
{
	struct vcr_error e = { 0 };
	char go;
	int fd = -1, err = execs_only ? vcr_notify_install_execs(&fd, &e) : vcr_notify_install(&fd, &e);
	hand_over(talk, err ? -1 : fd, &e);
	if ((err && !execs_only) || !read_exactly(talk, &go, 1))
		syscall(SYS_exit, 125); /* _exit(2) would be told, and nobody is there to answer */
	if (!err)
		close(fd);
	close(talk);
}

static void be_sealed(const struct vcr_run *r, const struct orders *o)
{
	struct vcr_error e = { 0 };
	if ((r->pids.inside || !vcr_sealed_enter(r->sealed, &e)) && !vcr_sealed_cover(*o->hosts ? o->hosts : NULL, *o->bundle ? o->bundle : NULL, &e))
		return;
	dprintf(2, "vcr-record: --sealed: %s; the command is not run\n", e.what);
	_exit(125);
}

_Noreturn static void child(const struct vcr_run *r, int orders_fd, char *const argv[])
{
	static struct orders o;
	sigaction(SIGCHLD, &r->old_chld, NULL);
	sigprocmask(SIG_SETMASK, &r->old_mask, NULL);
	if (!read_exactly(orders_fd, (char *)&o, sizeof o))
		_exit(125); /* vcr-record is gone */
	close(orders_fd);
	if (o.recorded && (setenv("LD_PRELOAD", o.preload, 1) || setenv("VCR_SPOOL", o.spool, 1)))
		_exit(125);
	if (*o.notes && setenv("VCR_ANNOTATE", o.notes, 1))
		_exit(125);
	if (o.lends && !borrow(&o.terms))
		_exit(125);
	if (o.sealed)
		be_sealed(r, &o);
	if (r->own_numbers)
		personality((unsigned long)personality(NOW) | ADDR_NO_RANDOMIZE);
	if (o.supervised)
		be_supervised(r->talk, r->execs_only);
	execvp(argv[0], argv);
	report_exec_failure(argv[0], errno);
	_exit(125);
}

/* ---- The parent ---- */

int vcr_run_fork(struct vcr_run *r, char *const argv[], struct vcr_error *e)
{
	int fds[2], talk[2] = { -1, -1 };
	sigset_t set;
	if (pipe2(fds, O_CLOEXEC))
		return vcr_error_sys(e, errno, "cannot make a pipe");
	if (r->supervised && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, talk)) {
		int err = vcr_error_sys(e, errno, "cannot make a socket");
		close(fds[0]);
		close(fds[1]);
		return err;
	}
	watched_signals(&set);
	/* an inherited "ignore" of SIGCHLD would reap the command behind our back */
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, &r->old_chld);
	sigprocmask(SIG_BLOCK, &set, &r->old_mask);
	r->pids = (struct vcr_pids)VCR_PIDS_INIT;
	if (!r->own_numbers || vcr_pids_fork(r->sealed, &r->pids, &r->why_not))
		r->pids.pid = r->pids.number = fork();
	r->pid = r->pids.pid;
	if (r->pid == 0) {
		close(fds[1]);
		if (r->supervised)
			close(talk[0]);
		r->talk = talk[1];
		child(r, fds[0], argv);
	}
	close(fds[0]);
	r->talk = talk[0];
	if (r->supervised)
		close(talk[1]);
	r->go = fds[1];
	if (r->pid > 0)
		return 0;
	int err = vcr_error_sys(e, errno, "cannot fork");
	close(fds[1]);
	if (r->supervised)
		close(r->talk);
	vcr_run_restore(r);
	return err;
}

void vcr_run_start(struct vcr_run *r, const char *preload, const char *spool, enum vcr_target target, struct vcr_lead_block *gate)
{
	static struct orders o;
	o.supervised = r->supervised;
	o.sealed = r->sealed != NULL;
	snprintf(o.hosts, sizeof o.hosts, "%s", r->hosts ? r->hosts : "");
	snprintf(o.bundle, sizeof o.bundle, "%s", r->bundle ? r->bundle : "");
	o.recorded = preload && spool && vcr_target_hands_on(target) && strlen(preload) < sizeof o.preload && strlen(spool) + 4 < sizeof o.spool;
	if (o.recorded) {
		strcpy(o.preload, preload);
		snprintf(o.spool, sizeof o.spool, "%s:%s", target == VCR_TARGET_GO ? "ps" : "p", spool);
	}
	o.lends = gate && vcr_target_is_lent(target) && vcr_lend_terms(gate, r->pids.number, &o.terms);
	if (o.lends)
		__atomic_fetch_add(&gate->lent, 1, __ATOMIC_RELAXED);
	if (r->notes && strlen(r->notes) < sizeof o.notes)
		strcpy(o.notes, r->notes);
	void (*old)(int) = signal(SIGPIPE, SIG_IGN); /* it may have been killed while it waited */
	for (size_t done = 0; done < sizeof o;) {
		ssize_t k = write(r->go, (char *)&o + done, sizeof o - done);
		if (k < 0 && errno != EINTR)
			break;
		done += k > 0 ? (size_t)k : 0;
	}
	signal(SIGPIPE, old);
	close(r->go);
	r->go = -1;
}

int vcr_run_listener(struct vcr_run *r, int *fd, struct vcr_error *e)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct vcr_error told = { 0 };
	struct iovec part = { &told, sizeof told };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t n;
	while ((n = recvmsg(r->talk, &m, MSG_CMSG_CLOEXEC | MSG_WAITALL)) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof told)
		return vcr_error_set(e, VCR_EIO, "the command ended before it could be supervised");
	if (told.code) {
		if (e)
			*e = told;
		return told.code;
	}
	const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return vcr_error_set(e, VCR_EIO, "no listener came with it");
	memcpy(fd, CMSG_DATA(c), sizeof *fd);
	return 0;
}

void vcr_run_go(struct vcr_run *r)
{
	send(r->talk, "", 1, MSG_NOSIGNAL);
	close(r->talk);
	r->talk = -1;
}

void vcr_run_restore(struct vcr_run *r)
{
	sigaction(SIGCHLD, &r->old_chld, NULL);
	sigprocmask(SIG_SETMASK, &r->old_mask, NULL);
}

/* The state letter of /proc/PID/stat; 0 if there is none. */
static char state_of(pid_t pid)
{
	char path[64], text[512] = "";
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	char *p = n > 0 ? strrchr(text, ')') : NULL;
	return p && p[1] == ' ' ? p[2] : 0;
}

/* We were continued. If the whole group was, the command runs already and must not see a second SIGCONT. */
static void continue_child(pid_t pid)
{
	for (int ms = 0; ms < CONTINUE_MS; ms += 5) {
		if (state_of(pid) != 'T')
			return;
		poll(NULL, 0, 5);
	}
	kill(pid, SIGCONT);
}

/* A shell with job control watches us: there is a terminal, and our group is not our parent's. Otherwise nobody would continue us. */
static bool is_job(void)
{
	int tty = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
	if (tty < 0)
		return false;
	close(tty);
	return getpgid(getppid()) != getpgrp();
}

/* Stop as the command stopped; returns when somebody continues us. */
static void stop_like(int sig)
{
	sigset_t one;
	struct sigaction old, dfl = { .sa_handler = SIG_DFL };
	sigemptyset(&one);
	sigaddset(&one, sig);
	if (sig == SIGSTOP) {
		raise(SIGSTOP);
		return;
	}
	sigaction(sig, &dfl, &old);
	raise(sig); /* blocked: pending until the next line */
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	sigprocmask(SIG_BLOCK, &one, NULL);
	sigaction(sig, &old, NULL);
}

static void pass_on(pid_t pid, const siginfo_t *info)
{
	if (info->si_signo == SIGCONT)
		continue_child(pid);
	else if (info->si_signo != SIGCHLD && info->si_code <= 0 && info->si_pid != pid) /* from a process, not from the terminal */
		kill(pid, info->si_signo);
}

int vcr_run_wait(struct vcr_run *r, int *status)
{
	sigset_t set;
	watched_signals(&set);
	for (;;) {
		siginfo_t info;
		pid_t got = waitpid(r->pid, status, WNOHANG | WUNTRACED);
		if (got < 0 && errno != EINTR)
			return VCR_EIO;
		if (got == r->pid && !WIFSTOPPED(*status)) {
			vcr_pids_release(&r->pids);
			return 0;
		}
		if (got == r->pid && is_job()) {
			stop_like(WSTOPSIG(*status));
			continue_child(r->pid);
			continue;
		}
		if (sigwaitinfo(&set, &info) > 0)
			pass_on(r->pid, &info);
	}
}

int vcr_run_exit(struct vcr_run *r, int status)
{
	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	int sig = WTERMSIG(status);
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, sig);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	fflush(NULL);
	signal(sig, SIG_DFL);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	return 128 + sig;
}
