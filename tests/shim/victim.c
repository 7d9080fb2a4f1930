/* victim.c — a program that calls every hook in one context and prints the records it expects.
 *
 *   victim WHEN      main thread signal vfork closefrom exit constructor destructor cancel jump (the last four via VICTIM_WHEN too)
 *   victim --hooks   the hooks that are called */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "victim.h"

static sigjmp_buf back;

static void *in_thread(void *unused)
{
	victim_acts("thread", 0);
	return NULL;
}

static void in_handler(int sig)
{
	victim_acts("signal", 0);
}

static void in_jump(int sig)
{
	siglongjmp(back, 1);
}

static void in_exit(void)
{
	victim_acts("exit", 0);
}

/* A blocking read is left by siglongjmp, another by cancellation: recording must go on in that thread and in others. */
static void *blocked(void *arg)
{
	char c;
	return (void *)(long)read(*(int *)arg, &c, 1);
}

static void by_jump(void)
{
	int p[2];
	char c;
	if (pipe(p))
		abort();
	signal(SIGALRM, in_jump);
	if (!sigsetjmp(back, 1)) {
		alarm(1);
		if (read(p[0], &c, 1))
			abort();
	}
	victim_acts("jump", 0);
}

static void by_cancel(void)
{
	int p[2];
	pthread_t t;
	if (pipe(p) || pthread_create(&t, NULL, blocked, &p[0]))
		abort();
	pthread_cancel(t);
	pthread_join(t, NULL);
	victim_acts("cancel", 0);
}

static void by_vfork(void)
{
	pid_t p = vfork();
	if (p == 0) {
		victim_acts("vfork", 1);
		_exit(0);
	}
	int status;
	waitpid(p, &status, 0);
	if (status)
		abort();
}

int main(int argc, char **argv)
{
	const char *when = argc > 1 ? argv[1] : "";
	if (!strcmp(when, "--hooks"))
		for (int i = 0; victim_hooks[i]; i++)
			puts(victim_hooks[i]);
	pthread_t t;
	if (!strcmp(when, "main"))
		victim_acts("main", 0);
	else if (!strcmp(when, "thread") && !pthread_create(&t, NULL, in_thread, NULL))
		pthread_join(t, NULL);
	else if (!strcmp(when, "signal") && signal(SIGUSR1, in_handler) != SIG_ERR)
		raise(SIGUSR1);
	else if (!strcmp(when, "vfork"))
		by_vfork();
	else if (!strcmp(when, "closefrom"))
		closefrom(3), victim_acts("closefrom", 0);
	else if (!strcmp(when, "exit"))
		return atexit(in_exit);
	else if (!strcmp(when, "jump"))
		by_jump();
	else if (!strcmp(when, "cancel"))
		by_cancel();
	return 0;
}
