/* victim.c — a program that calls every file, descriptor and socket hook in one situation and prints the records it expects.
 *
 *   victim           the situation is $WHERE (where.h); with $VICTIM_LATE it is a destructor that runs after the shim's last word
 *   victim jump      after a siglongjmp out of a blocked read
 *   victim cancel    after another thread was cancelled in a blocked read */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "victim.h"
#include "where.h"

static sigjmp_buf back;

static void in_jump(int sig)
{
	siglongjmp(back, 1);
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

int where_act(const char *when, int argc, char **argv)
{
	victim_acts(when, !strcmp(when, "vfork"));
	return 0;
}

void where_late(void)
{
	if (getenv("VICTIM_LATE"))
		victim_acts("destructor", 0);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (!strcmp(what, "jump"))
		by_jump();
	else if (!strcmp(what, "cancel"))
		by_cancel();
	else if (!getenv("VICTIM_LATE"))
		return where_run(argc, argv);
	return 0;
}
