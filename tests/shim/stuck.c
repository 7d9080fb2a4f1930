/* stuck.c — a writer that is put off its core in the midst of a record, for 300 ms: what others say meanwhile stands behind it and cannot be read.
 *
 * usage: stuck FILE
 * A child that has said that it began makes FILE and ends; a program that was started before ends too. Then the record is finished. Prints the child's number.
 *
 * usage: stuck
 * It takes a place for a record where the spool's file does not reach, and ends: as one does who has found no room. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "spool-format.h"

enum { NOTHING = 99 /* a type that no reader knows */, FAR = VCR_SPOOL_BACKLOG + (1 << 20) /* others have no room behind it either */ };

static struct vcr_spool_header *spool(void)
{
	char line[8192], *at, *end;
	void *p = MAP_FAILED;
	FILE *f = fopen("/proc/self/maps", "r");
	while (f && fgets(line, sizeof line, f))
		if ((at = strchr(line, '/')) && (end = strstr(at, ".spool"))) {
			strcpy(end, ".spool");
			int fd = open(at, O_RDWR);
			p = mmap(NULL, 1 << 30, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			break;
		}
	return p == MAP_FAILED ? NULL : p;
}

static void rest(long ms)
{
	struct timespec t = { 0, ms * 1000000 };
	nanosleep(&t, NULL);
}

int main(int argc, char **argv)
{
	int go[2], end[2];
	char byte;
	struct vcr_spool_header *h;
	close(open("begun", O_WRONLY | O_CREAT, 0666));
	if (!(h = spool()) || pipe(go) || pipe(end))
		return 2;
	if (argc != 2)
		return !__atomic_fetch_add(&h->tail, FAR, __ATOMIC_SEQ_CST);
	pid_t maker = fork();
	if (!maker) {
		if (read(go[0], &byte, 1) == 1)
			close(open(argv[1], O_WRONLY | O_CREAT, 0666));
		_exit(0);
	}
	pid_t other = fork();
	if (!other) {
		dup2(end[0], 0);
		execlp("sh", "sh", "-c", "read x", (char *)NULL);
		_exit(1);
	}
	while (__atomic_load_n(&h->acted, __ATOMIC_SEQ_CST) != __atomic_load_n(&h->tail, __ATOMIC_SEQ_CST))
		rest(1);
	rest(100);
	struct vcr_spool_record *r = (void *)((char *)h + __atomic_fetch_add(&h->tail, 64, __ATOMIC_SEQ_CST));
	__atomic_store_n((uint64_t *)(void *)r, VCR_REC_BUSY | 64ull << 32, __ATOMIC_RELEASE);
	if (write(go[1], "x", 1) != 1 || waitpid(maker, NULL, 0) != maker || write(end[1], "x\n", 2) != 2 || waitpid(other, NULL, 0) != other)
		return 1;
	rest(300);
	r->seq = (uint64_t)((char *)r - (char *)h);
	r->type = NOTHING;
	__atomic_store_n((uint64_t *)(void *)r, VCR_REC_READY | 64ull << 32, __ATOMIC_RELEASE);
	printf("%d\n", maker);
	return 0;
}
