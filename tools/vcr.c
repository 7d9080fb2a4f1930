/* vcr — one program for every verb: `vcr VERB …` and `vcr-VERB …` are the same call. With VCR_FAR it is vcr-verbs, the other half (verbs.h). */
#include "options.h"
#include "verbs.h"
#include "config.h"
#include "control.h"
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef VCR_FAR
static int run_other_half(struct vcr_tool *t, int argc, char **argv)
{
	(void)argc, (void)argv;
	vcr_say(t, "this is a helper of vcr; call vcr");
	return VCR_EXIT_USAGE;
}
#define RUN_NEAR(name) run_other_half
#define RUN_FAR(name) vcr_verb_##name
#else
static char **called_with;

static int run_other_half(struct vcr_tool *t, int argc, char **argv)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct vcr_error e;
	(void)argc, (void)argv;
	int err = vcr_control_program_path("vcr-verbs", &path, &e);
	if (err)
		return vcr_failed(t, &e);
	execv(path.data, called_with);
	vcr_say(t, "cannot run %s: %s", path.data, strerror(errno));
	return VCR_EXIT_FAILED;
}
#define RUN_NEAR(name) vcr_verb_##name
#define RUN_FAR(name) run_other_half
#endif
#define ROW(name, where, line) { #name, line, RUN_##where(name) },
const struct vcr_verb vcr_verbs[] = { VCR_VERBS(ROW) { NULL, NULL, NULL } };
#undef ROW

const struct vcr_verb *vcr_verb_find(const char *name)
{
	for (const struct vcr_verb *v = vcr_verbs; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

static int unknown_verb(const struct vcr_tool *t, const char *name)
{
	const char *best = NULL;
	unsigned least = 3;
	for (const struct vcr_verb *v = vcr_verbs; v->name; v++) {
		unsigned d = vcr_distance(name, v->name);
		if (d < least) {
			least = d;
			best = v->name;
		}
	}
	return best ? vcr_wrong_call(t, "'%s' is not a verb; did you mean '%s'?", name, best) : vcr_wrong_call(t, "'%s' is not a verb", name);
}

/* What was printed must have arrived: a full disk behind `vcr-export > file` is a failure. */
static int checked_stdout(const struct vcr_tool *t, int status)
{
	bool bad = ferror(stdout);
	errno = 0;
	if (!fflush(stdout) && !bad)
		return status;
	vcr_say(t, "cannot write to standard output: %s", errno ? strerror(errno) : "write error");
	return VCR_EXIT_FAILED;
}

static int run(struct vcr_tool *t, const struct vcr_verb *v, int argc, char **argv)
{
	t->verb = v->name;
	return checked_stdout(t, v->run(t, argc, argv));
}

static int run_vcr(struct vcr_tool *t, int argc, char **argv)
{
	static const struct vcr_opt none[] = { VCR_OPT_LAST };
	const struct vcr_usage u = { "VERB [arguments]", "Records AI agents and shows what they did. `vcr help` lists the verbs.", none, true };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		return checked_stdout(t, status);
	if (!n)
		return run(t, vcr_verb_find("help"), 1, (char *[]){ "help", NULL });
	const struct vcr_verb *v = vcr_verb_find(argv[0]);
	return v ? run(t, v, n, argv) : unknown_verb(t, argv[0]);
}

int main(int argc, char **argv)
{
	struct vcr_tool t = { 0 };
	const char *name = argc ? strrchr(argv[0], '/') : NULL;
	if (!argc)
		return VCR_EXIT_USAGE;
	setlocale(LC_TIME, "");
#ifndef VCR_FAR
	/* parsing moves the words about */
	called_with = calloc((size_t)argc + 1, sizeof *called_with);
	if (!called_with)
		return VCR_EXIT_FAILED;
	memcpy(called_with, argv, (size_t)argc * sizeof *argv);
#endif
	name = name ? name + 1 : argv[0];
	if (strncmp(name, "vcr-", 4))
		return run_vcr(&t, argc, argv);
	const struct vcr_verb *v = vcr_verb_find(name + 4);
	return v ? run(&t, v, argc, argv) : unknown_verb(&t, name + 4);
}
