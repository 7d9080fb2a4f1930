/* programs.c — a program that starts others in every way there is.
 *
 *   programs HOW PROGRAM [ARG…]     HOW: a hook's name; with " -" appended by programs.t nothing is inherited: the new environment is empty
 *   programs show                   prints what of ours a program can see: VCR_* and LD_PRELOAD of its environment
 * With PROGRAMS_WHEN=thread, signal, vfork (where the hook replaces the process), closefrom or exit it is done there and not in main.
 * Exit status: that of the program. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
pid_t _Fork(void);
static char *const nothing[] = { NULL };

static int status_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

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
	return status_of(status);
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

static int act(int argc, char **argv)
{
	const char *how = argv[1];
	pid_t child = 0;
	char command[4096];
	if (argc < 3)
		return strcmp(how, "show") ? 2 : show();
	snprintf(command, sizeof command, "%s %s", argv[2], argv[3]);
	if (!strcmp(how, "daemon"))
		return by_daemon();
	if (!strcmp(how, "system"))
		return status_of(system(command));
	if (!strcmp(how, "popen")) {
		FILE *f = popen(command, "w");
		return f ? status_of(pclose(f)) : 1;
	}
	if (!strcmp(how, "posix_spawn") || !strcmp(how, "posix_spawnp")) {
		int r = how[11] ? posix_spawnp(&child, "programs", NULL, NULL, argv + 2, nothing) : posix_spawn(&child, argv[2], NULL, NULL, argv + 2, nothing);
		return r ? 1 : wait_for("waitpid", child);
	}
	if (!strncmp(how, "exec", 4) || !strcmp(how, "fexecve") || !strcmp(how, "syscall"))
		become(how, argv + 2);
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

/* ---- where it is done ---- */

static int count, result;
static char **words;

static void *in_thread(void *unused)
{
	result = act(count, words);
	return NULL;
}

static void in_handler(int sig)
{
	in_thread(NULL);
}

static void in_exit(void)
{
	in_thread(NULL);
	_exit(result);
}

static int in_vfork(void)
{
	pid_t child = vfork();
	if (child == 0)
		become(words[1], words + 2);
	return wait_for("waitpid", child);
}

int main(int argc, char **argv)
{
	const char *when = getenv("PROGRAMS_WHEN");
	pthread_t t;
	count = argc;
	words = argv;
	if (when && !strcmp(when, "closefrom"))
		closefrom(3);
	if (!when || argc < 3 || !strcmp(when, "closefrom"))
		return act(argc, argv);
	if (!strcmp(when, "exit"))
		return atexit(in_exit);
	if (!strcmp(when, "vfork"))
		return in_vfork();
	if (!strcmp(when, "thread") && !pthread_create(&t, NULL, in_thread, NULL))
		pthread_join(t, NULL);
	else if (!strcmp(when, "signal") && signal(SIGUSR1, in_handler) != SIG_ERR)
		raise(SIGUSR1);
	return result;
}
