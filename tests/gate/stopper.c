/* stopper SPOOL PID: prints "ready"; when that collector says of a call that nothing had changed (spool-format.h: clean) it is stopped, before it reads on, and
 * "stopped" is printed. Five seconds at most. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "spool-format.h"

int main(int argc, char **argv)
{
	int fd = argc == 3 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	struct vcr_spool_header *h = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *h, PROT_READ, MAP_SHARED, fd, 0);
	if (h == MAP_FAILED)
		return 2;
	uint64_t before = __atomic_load_n(&h->clean, __ATOMIC_ACQUIRE);
	puts("ready");
	fflush(stdout);
	for (time_t until = time(NULL) + 5; time(NULL) <= until;)
		if (__atomic_load_n(&h->clean, __ATOMIC_ACQUIRE) != before) {
			kill(atoi(argv[2]), SIGSTOP);
			puts("stopped");
			return 0;
		}
	puts("nothing");
	return 1;
}
