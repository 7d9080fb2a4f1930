/* replay.c — main() of a target without libFuzzer: runs every input of its corpus, each in a process of its own, and prints TAP.
 *
 *   fuzz_NAME            the inputs in $srcdir/tests/fuzz/corpus/NAME
 *   fuzz_NAME FILE …     these, in this process (for a debugger) */
#include "fuzz.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS = 20, LONGEST = 64 << 20 };

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static int is_input(const struct dirent *d) { return d->d_name[0] != '.'; }

static int run_file(const char *path)
{
	FILE *f = fopen(path, "re");
	char *data = malloc(LONGEST);
	if (!f || !data) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	size_t n = fread(data, 1, LONGEST, f);
	fclose(f);
	char *exact = fuzz_exact(data, n);
	free(data);
	LLVMFuzzerTestOneInput((const uint8_t *)exact, n);
	free(exact);
	return 0;
}

static void run_apart(int number, const char *target, const char *corpus, const char *name)
{
	char path[4096];
	int status = -1;
	snprintf(path, sizeof path, "%s/%s", corpus, name);
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		alarm(SECONDS);
		exit(run_file(path));
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	printf("%sok %d - %s survives %s\n", status ? "not " : "", number, target, name);
	if (status)
		printf("# status %#x; again: %s %s\n", (unsigned)status, program_invocation_name, path);
}

int main(int argc, char **argv)
{
	struct dirent **entry;
	char corpus[3000];
	const char *target = strstr(program_invocation_short_name, "fuzz_"), *srcdir = getenv("srcdir");
	for (int i = 1; i < argc; i++)
		if (run_file(argv[i]))
			return 1;
	if (argc > 1)
		return 0;
	target = target ? target + 5 : program_invocation_short_name;
	snprintf(corpus, sizeof corpus, "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : "..", target);
	int n = scandir(corpus, &entry, is_input, by_name);
	printf("1..%d\n", n > 0 ? n : 1);
	if (n <= 0)
		printf("not ok 1 - %s has inputs in %s\n", target, corpus);
	for (int i = 0; i < n; i++) {
		run_apart(i + 1, target, corpus, entry[i]->d_name);
		free(entry[i]);
	}
	if (n >= 0)
		free(entry);
	return 0;
}
