/* preimage.c — what keeping a file costs the program that is about to write into it, or to delete it.
 *
 * usage: preimage N
 * In the current directory N pairs of equal files, kept/<i> and safe/<i>, are opened for writing and closed, then deleted, neighbours in turns. Prints one JSON
 * object: of the differences between neighbours the median and the mean, in microseconds; and what it costs to copy a neighbour by hand. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double write_into(const char *path)
{
	double from = now_us();
	int fd = open(path, O_WRONLY);
	double took = now_us() - from;
	if (fd < 0 || close(fd))
		exit(1);
	return took;
}

static double delete(const char *path)
{
	double from = now_us();
	if (unlink(path))
		exit(1);
	return now_us() - from;
}

static double copy_by_hand(const char *path)
{
	char to[80];
	snprintf(to, sizeof to, "%s.copy", path);
	double begin = now_us();
	int a = open(path, O_RDONLY), b = open(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (a < 0 || b < 0 || copy_file_range(a, NULL, b, NULL, 1 << 20, 0) <= 0 || close(a) || close(b))
		exit(1);
	return now_us() - begin;
}

static double nothing(const char *path)
{
	return 0;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void measure(const char *name, double (*work)(const char *), double (*beside)(const char *), unsigned from, unsigned n, double *took)
{
	char path[64];
	double sum = 0;
	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof path, beside == nothing ? "safe/%u" : "kept/%u", from + i);
		double kept = work(path);
		snprintf(path, sizeof path, "safe/%u", from + i);
		sum += took[i] = kept - beside(path);
	}
	qsort(took, n, sizeof *took, by_size);
	printf("\"%s_us\":%.1f,\"%s_mean_us\":%.1f", name, took[n / 2], name, sum / n);
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) / 2 : 0;
	double *took = calloc(n + 1, sizeof *took);
	if (!n || !took)
		return 2;
	printf("{");
	measure("hand", copy_by_hand, nothing, 0, n, took);
	printf(",");
	measure("copy", write_into, write_into, 0, n, took);
	printf(",");
	measure("link", delete, delete, n, n, took);
	printf("}\n");
	free(took);
	return 0;
}
