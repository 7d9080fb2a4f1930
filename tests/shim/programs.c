/* programs.c — a program that starts others in every way there is.
 *
 *   programs HOW PROGRAM [ARG…]     HOW: a hook's name; with " -" appended by programs.t nothing is inherited: the new environment is empty
 *   programs show                   prints what of ours a program can see: VCR_* and LD_PRELOAD of its environment
 * It is done where $WHERE says (where.h).
 * Exit status: that of the program. */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "where.h"

extern char **environ;
pid_t _Fork(void);
static char *const nothing[] = { NULL };

static int show(void)
{
	for (char **e = environ; *e; e++)
		if (!strncmp(*e, "VCR_SPOOL", 9) || !strncmp(*e, "LD_PRELOAD", 10))
			puts(*e);
	return 7;
}

/* Replaces this process; returns only on failure. */
static void become(const char *how, char **argv)
{
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	if (!strcmp(how, "execve"))
		execve(argv[0], argv, nothing);
	else if (!strcmp(how, "execv"))
		execv(argv[0], argv);
	else if (!strcmp(how, "execvp"))
		execvp(name, argv);
	else if (!strcmp(how, "execvpe"))
		execvpe(name, argv, nothing);
	else if (!strcmp(how, "execl"))
		execl(argv[0], argv[0], argv[1], NULL);
	else if (!strcmp(how, "execlp"))
		execlp(name, argv[0], argv[1], NULL);
	else if (!strcmp(how, "execle"))
		execle(argv[0], argv[0], argv[1], NULL, nothing);
	else if (!strcmp(how, "execveat"))
		execveat(AT_FDCWD, argv[0], argv, nothing, 0);
	else if (!strcmp(how, "fexecve"))
		fexecve(open(argv[0], O_RDONLY), argv, nothing);
	else if (!strcmp(how, "syscall"))
		syscall(SYS_execve, argv[0], argv, nothing);
	perror(how);
	_Exit(127);
}

static int wait_for(const char *how, pid_t child)
{
	int status = 0;
	siginfo_t info = { 0 };
	struct rusage usage;
	if (!strcmp(how, "wait"))
		wait(&status);
	else if (!strcmp(how, "wait3"))
		wait3(&status, 0, &usage);
	else if (!strcmp(how, "wait4"))
		wait4(child, &status, 0, &usage);
	else if (!strcmp(how, "waitid") && !waitid(P_PID, (id_t)child, &info, WEXITED))
		return info.si_status;
	else
		waitpid(child, &status, 0);
	return where_status(status);
}

static pid_t fork_by(const char *how)
{
	int master;
	if (!strcmp(how, "_Fork"))
		return _Fork();
	if (!strcmp(how, "forkpty"))
		return forkpty(&master, NULL, NULL, NULL);
	return fork();
}

static int become_there(void *argv)
{
	become("execv", argv);
	return 1;
}

/* A child that has our memory until it is another program. */
static int by_sharing(const char *how, char **argv)
{
	static char stack[256 << 10] __attribute__((aligned(16)));
	pid_t child = *how == 'c' ? clone(become_there, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, argv) : vfork();
	if (child == 0)
		become("execv", argv);
	return wait_for("waitpid", child);
}

/* A descendant that has left the process tree writes a file; we wait until it is there. */
static int by_daemon(void)
{
	int p[2];
	char c;
	if (pipe(p))
		return 1;
	if (fork() == 0) {
		if (daemon(1, 1))
			_Exit(1);
		int fd = open("by-daemon", O_CREAT | O_WRONLY, 0644);
		_exit(write(fd, "x", 1) == 1 && write(p[1], "x", 1) == 1 ? 0 : 1);
	}
	return read(p[0], &c, 1) == 1 ? 7 : 1;
}

int where_act(const char *when, int argc, char **argv)
{
	const char *how = argv[1];
	pid_t child = 0;
	char command[4096];
	if (argc < 3)
		return 0;
	snprintf(command, sizeof command, "%s %s", argv[2], argv[3]);
	if (!strcmp(how, "daemon"))
		return by_daemon();
	if (!strcmp(how, "system"))
		return where_status(system(command));
	if (!strcmp(how, "popen")) {
		FILE *f = popen(command, "w");
		return f ? where_status(pclose(f)) : 1;
	}
	if (!strcmp(how, "posix_spawn") || !strcmp(how, "posix_spawnp")) {
		int r = how[11] ? posix_spawnp(&child, "programs", NULL, NULL, argv + 2, nothing) : posix_spawn(&child, argv[2], NULL, NULL, argv + 2, nothing);
		return r ? 1 : wait_for("waitpid", child);
	}
	if (!strncmp(how, "exec", 4) || !strcmp(how, "fexecve") || !strcmp(how, "syscall"))
		become(how, argv + 2);
	if (!strcmp(how, "vfork") || !strcmp(how, "clone"))
		return by_sharing(how, argv + 2);
	child = fork_by(how);
	if (child == 0) {
		if (!strcmp(how, "_exit"))
			_exit(7);
		if (!strcmp(how, "_Exit"))
			_Exit(7);
		become("execv", argv + 2);
	}
	return wait_for(how, child);
}

int main(int argc, char **argv)
{
	return argc == 2 && !strcmp(argv[1], "show") ? show() : where_run(argc, argv);
}
