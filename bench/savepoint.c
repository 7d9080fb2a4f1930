/* bench/savepoint WORKSPACE STATE ROUNDS FILE FILE FILE [FILE...]: what a base, a savepoint with the first three files changed, and a rollback of all of them cost in
 * an open process. In the end the shadow repository is packed. Prints one JSON object: milliseconds; the mean is that of all rounds. */
#include "gc.h"
#include "rollback.h"
#include "savepoint.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Of all threads. */
static double cpu_ms(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static int fail(const struct vcr_error *e)
{
	fprintf(stderr, "bench/savepoint: %s\n", e->what);
	return 1;
}

static void change(const char *path, int round)
{
	FILE *f = fopen(path, "a");
	if (f) {
		fprintf(f, "round %d\n", round);
		fclose(f);
	}
}

enum { TURNS = 24 };
struct rolled { double mean, cpu, took[TURNS]; };

/* All files are changed, and put back as the base has them. */
static int roll_back(struct vcr_store *s, const struct vcr_store_options *o, const struct vcr_store_dirty *dirty, int n, struct rolled *out, struct vcr_error *e)
{
	static const struct vcr_store_note note = { .kind = "manual" };
	const struct vcr_rollback_where where = { .store = s, .workspace = o->workspace, .state_dir = o->state_dir, .session = o->session };
	struct vcr_savepoint base, last;
	*out = (struct rolled){ 0 };
	for (int r = 0; r < TURNS; r++) {
		struct vcr_rollback plan;
		for (int i = 0; i < n; i++)
			change(dirty[i].path, r);
		if (vcr_store_take(s, dirty, (size_t)n, &note, &last, e) || vcr_store_get(s, o->session, 0, &base, e))
			return -1;
		double from = ms(), cpu = cpu_ms();
		int err = vcr_rollback_plan(&plan, &where, last.tree, NULL, base.tree, e);
		if (!err)
			err = vcr_rollback_apply(&plan, &where, false, "bench", e);
		vcr_rollback_release(&plan);
		out->mean += (out->took[r] = ms() - from) / TURNS;
		out->cpu += (cpu_ms() - cpu) / TURNS;
		if (err)
			return -1;
	}
	qsort(out->took, TURNS, sizeof *out->took, by_size);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct vcr_store_note note = { .kind = "call" }, base = { .kind = "base" };
	struct vcr_store_dirty dirty[16];
	struct vcr_store *s;
	struct vcr_savepoint p;
	struct vcr_error e = { 0 };
	struct vcr_gc_stats packed;
	int all = argc - 4, n = all < 3 ? all : 3, rounds = argc > 4 ? atoi(argv[3]) : 0;
	double *took = calloc((size_t)rounds + 1, sizeof *took), sum = 0;
	if (all < 1 || all > 16 || rounds < 1 || !took || chdir(argv[1]))
		return 2;
	for (int i = 0; i < all; i++)
		dirty[i] = (struct vcr_store_dirty){ argv[4 + i], false };
	const struct vcr_store_options o = { .workspace = argv[1], .state_dir = argv[2], .session = "bench" };
	double begin = ms();
	if (vcr_store_open(&s, &o, &e))
		return fail(&e);
	double opened = ms(), cpu = cpu_ms();
	if (vcr_store_base(s, &base, &p, &e))
		return fail(&e);
	double based = ms();
	cpu = cpu_ms() - cpu;
	for (int r = 0; r < rounds; r++) {
		for (int i = 0; i < n; i++)
			change(argv[4 + i], r);
		double from = ms();
		if (vcr_store_take(s, dirty, (size_t)n, &note, &p, &e))
			return fail(&e);
		sum += took[r] = ms() - from;
	}
	struct rolled rolled;
	if (roll_back(s, &o, dirty, all, &rolled, &e) || vcr_gc_repack(s, &packed, &e))
		return fail(&e);
	qsort(took, (size_t)rounds, sizeof *took, by_size);
	printf("{\"open_ms\":%.3f,\"base_ms\":%.3f,\"base_cpu_ms\":%.3f,\"mean_ms\":%.3f,\"median_ms\":%.3f,\"min_ms\":%.3f,\"max_ms\":%.3f,\"rollback_ms\":%.3f,\"rollback_median_ms\":%.3f,\"rollback_min_ms\":%.3f,\"rollback_cpu_ms\":%.3f,\"last\":%lld}\n", opened - begin, based - opened, cpu,
		sum / rounds, took[rounds / 2], took[0], took[rounds - 1], rolled.mean, rolled.took[TURNS / 2], rolled.took[0], rolled.cpu, (long long)p.n);
	vcr_store_free(s);
	free(took);
	return 0;
}
