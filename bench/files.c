/* files.c — many small files, as a build or an installation writes them: open, write, close, and nothing beside.
 *
 * usage: files N IN_EACH SIZE SUFFIX
 * N files of SIZE bytes, IN_EACH in a directory, below out in the current directory. Prints one JSON object: wall and CPU time of this process, in microseconds. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double us(struct timeval t)
{
	return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

int main(int argc, char **argv)
{
	static char text[1 << 20], path[64];
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 10000, in_each = argc > 2 ? (unsigned)atoi(argv[2]) : 100, size = argc > 3 ? (unsigned)atoi(argv[3]) : 1000;
	const char *suffix = argc > 4 && strlen(argv[4]) < 8 ? argv[4] : "o";
	struct rusage before, after;
	if (!in_each || size >= sizeof text)
		return 2;
	memset(text, 'x', size);
	if (mkdir("out", 0777))
		return 1;
	double from = now_us();
	getrusage(RUSAGE_SELF, &before);
	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof path, "out/d%04u", i / in_each);
		if (i % in_each == 0 && mkdir(path, 0777))
			return 1;
		snprintf(path, sizeof path, "out/d%04u/file%06u.%s", i / in_each, i, suffix);
		int k = snprintf(text, 32, "%u\n", i);
		text[k] = 'x';
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
		if (fd < 0 || write(fd, text, size) != (ssize_t)size || close(fd))
			return 1;
	}
	getrusage(RUSAGE_SELF, &after);
	printf("{\"files\":%u,\"wall_us\":%.0f,\"user_us\":%.0f,\"sys_us\":%.0f}\n", n, now_us() - from, us(after.ru_utime) - us(before.ru_utime),
		us(after.ru_stime) - us(before.ru_stime));
	return 0;
}
