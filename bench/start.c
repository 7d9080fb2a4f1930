/* start.c — what a process start costs with a preload and without, in turn, in one run.
 *
 * usage: start ROUNDS LIBRARY PROGRAM [ARG…]
 * Prints one JSON object: microseconds per vfork+exec+wait of PROGRAM, bare and with LD_PRELOAD=LIBRARY (minimum and median), and the
 * median of what a start with it took more than the one without just before. */
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static int by_signed_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static uint64_t once(char **argv, char **env)
{
	pid_t pid;
	int status;
	uint64_t from = now_ns();
	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, env) || waitpid(pid, &status, 0) < 0 || status) {
		fprintf(stderr, "start: %s did not run\n", argv[0]);
		exit(1);
	}
	return now_ns() - from;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	int n = atoi(argv[1]);
	char preload[4200];
	snprintf(preload, sizeof preload, "LD_PRELOAD=%s", argv[2]);
	char *bare[] = { "PATH=/usr/bin:/bin", NULL }, *with[] = { "PATH=/usr/bin:/bin", preload, NULL };
	uint64_t *a = calloc((size_t)n, sizeof *a), *b = calloc((size_t)n, sizeof *b);
	int64_t *more = calloc((size_t)n, sizeof *more);
	if (n < 1 || !a || !b || !more)
		return 2;
	once(argv + 3, bare);
	once(argv + 3, with);
	for (int i = 0; i < n; i++) {
		a[i] = once(argv + 3, bare);
		b[i] = once(argv + 3, with);
		more[i] = (int64_t)(b[i] - a[i]);
	}
	qsort(a, (size_t)n, sizeof *a, by_value);
	qsort(b, (size_t)n, sizeof *b, by_value);
	qsort(more, (size_t)n, sizeof *more, by_signed_value);
	printf("{\"rounds\":%d,\"bare_min_us\":%.1f,\"bare_median_us\":%.1f,\"with_min_us\":%.1f,\"with_median_us\":%.1f,\"added_us\":%.1f}\n", n,
		(double)a[0] / 1e3, (double)a[n / 2] / 1e3, (double)b[0] / 1e3, (double)b[n / 2] / 1e3, (double)more[n / 2] / 1e3);
	free(a);
	free(b);
	free(more);
	return 0;
}
