/* standin.c — stands in for the collector: `standin --spool PATH` opens the gates after $STANDIN_DELAY_MS and stays until the root has gone. What
 * it sees of its own state goes to PATH.seen: the tests compare that with what a stranger's child must not have inherited. */
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "spool-format.h"

static void open_gate(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	syscall(SYS_futex, word, FUTEX_WAKE, 1000, NULL, NULL, 0);
}

static int default_signals(void)
{
	int n = 0;
	sigset_t mask;
	sigprocmask(SIG_BLOCK, NULL, &mask);
	for (int sig = 1; sig < 32; sig++) {
		struct sigaction a;
		n += !sigaction(sig, NULL, &a) && a.sa_handler == SIG_DFL && !sigismember(&mask, sig);
	}
	return n;
}

static int open_descriptors(void)
{
	int n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

int main(int argc, char **argv)
{
	char seen[4200], null[64] = "";
	struct rlimit files;
	if (argc != 3 || strcmp(argv[1], "--spool"))
		return 2;
	int descriptors = open_descriptors();
	if (readlink("/proc/self/fd/1", null, sizeof null - 1) < 0)
		return 2;
	int fd = open(argv[2], O_RDWR);
	struct vcr_spool_header *h = fd < 0 ? MAP_FAILED : mmap(NULL, VCR_SPOOL_HEADER, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (h == MAP_FAILED)
		return 1;
	snprintf(seen, sizeof seen, "%s.seen", argv[2]);
	FILE *f = fopen(seen, "a");
	getrlimit(RLIMIT_NOFILE, &files);
	fprintf(f, "descriptors=%d stdout=%s signals=%d leader=%d preload=%s spool=%s soft=%d\n", descriptors, null, default_signals(), getsid(0) == getpid(),
		getenv("LD_PRELOAD") ? "set" : "none", getenv("VCR_SPOOL") ? "set" : "none", files.rlim_cur == files.rlim_max);
	fclose(f);
	h->collector_pid = getpid();
	open_gate(&h->collector, VCR_COLLECTOR_RUNNING);
	usleep(1000u * (unsigned)atoi(getenv("STANDIN_DELAY_MS") ? getenv("STANDIN_DELAY_MS") : "0"));
	open_gate(&h->base_ready, 1);
	for (int ms = 0; ms < 20000 && kill(h->root_pid, 0) == 0; ms += 20)
		usleep(20000);
	return 0;
}
