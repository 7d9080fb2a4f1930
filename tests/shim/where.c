/* where.c — see where.h. */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "where.h"

static int count, result;
static char **words;
static const char *here;

static void tell(const char *when)
{
	void (*witness)(const char *) = (void (*)(const char *))dlsym(RTLD_DEFAULT, "witness_in");
	if (witness)
		witness(when);
}

static int act(void)
{
	tell(here);
	result = where_act(here, count, words);
	tell(NULL);
	return result;
}

static void *in_thread(void *unused)
{
	act();
	return NULL;
}

static void in_handler(int sig)
{
	act();
}

static void in_exit(void)
{
	if (act())
		_exit(result);
}

int where_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int in_vfork(void)
{
	int status = 0;
	pid_t child = vfork();
	if (child == 0)
		_exit(act());
	tell(NULL); /* it may have become another program */
	waitpid(child, &status, 0);
	return where_status(status);
}

static void begin(int argc, char **argv)
{
	const char *when = getenv("WHERE");
	here = when ? when : "main";
	count = argc;
	words = argv;
}

void where_early(int argc, char **argv)
{
	begin(argc, argv);
	if (!strcmp(here, "constructor"))
		act();
}

int where_run(int argc, char **argv)
{
	pthread_t t;
	begin(argc, argv);
	if (!early_is_linked || !strcmp(here, "constructor"))
		return result;
	if (!strcmp(here, "vfork"))
		return in_vfork();
	if (!strcmp(here, "exit"))
		return atexit(in_exit);
	if (!strcmp(here, "thread"))
		return pthread_create(&t, NULL, in_thread, NULL) || pthread_join(t, NULL) ? 99 : result;
	if (!strcmp(here, "signal"))
		return signal(SIGUSR1, in_handler) == SIG_ERR || raise(SIGUSR1) ? 99 : result;
	if (!strcmp(here, "closefrom"))
		closefrom(3);
	return act();
}
