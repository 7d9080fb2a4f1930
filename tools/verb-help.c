/* vcr help [VERB] — the list of verbs, or a verb's manual page. */
#include "options.h"
#include "verbs.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int list_verbs(const struct vcr_tool *t)
{
	if (!t->json)
		printf("usage: vcr VERB [arguments]     (vcr-VERB is the same)\n\n");
	for (const struct vcr_verb *v = vcr_verbs; v->name; v++)
		if (t->json)
			printf("{\"verb\":\"%s\",\"summary\":\"%s\"}\n", v->name, v->line);
		else
			printf("  %s%-10s%s %s\n", vcr_on(t, VCR_BOLD), v->name, vcr_on(t, VCR_PLAIN), v->line);
	if (!t->json)
		printf("\n`vcr VERB --help` is short, `vcr help VERB` is the manual, `vcr help format` the file format.\n");
	return 0;
}

/* Run man; its exit status, or -1 if there is no man. With `quiet` only the status matters. */
static int run_man(char *const argv[], bool quiet)
{
	int status, null = quiet ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		if (null >= 0) {
			dup2(null, 1);
			dup2(null, 2);
		}
		execvp("man", argv);
		_exit(127);
	}
	if (null >= 0)
		close(null);
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == 127)
		return -1;
	return WEXITSTATUS(status);
}

/* Our own page by its path (a prefix outside man's search path works too), else by name; false if it cannot be shown. */
static bool show_page(const char *page, const char *section)
{
	char file[4096], *by_path[] = { "man", "-l", file, NULL }, *by_name[] = { "man", (char *)section, (char *)page, NULL };
	char *probe[] = { "man", "-w", (char *)section, (char *)page, NULL };
	for (int z = 0; z < 2; z++) {
		snprintf(file, sizeof file, "%s/man%s/%s.%s%s", VCR_MANDIR, section, page, section, z ? ".gz" : "");
		if (!access(file, R_OK))
			return run_man(by_path, false) == 0;
	}
	return run_man(probe, true) == 0 && run_man(by_name, false) == 0;
}

int vcr_verb_help(struct vcr_tool *t, int argc, char **argv)
{
	static const struct vcr_opt none[] = { VCR_OPT_LAST };
	const struct vcr_usage u = { "[VERB]", "List the verbs, or open the manual page of one (or of the file format: vcr help format).", none, false };
	char page[64];
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		return status;
	if (n == 0)
		return list_verbs(t);
	if (n > 1)
		return vcr_wrong_call(t, "one verb at a time");
	bool format = !strcmp(argv[0], "format");
	const struct vcr_verb *v = vcr_verb_find(argv[0]);
	if (!v && !format)
		return vcr_wrong_call(t, "'%s' is not a verb; vcr help lists them", argv[0]);
	snprintf(page, sizeof page, "vcr-%s", argv[0]);
	if (show_page(page, format ? "5" : "1"))
		return 0;
	if (!v) {
		vcr_say(t, "the manual page vcr-format(5) or man(1) is not installed");
		return VCR_EXIT_FAILED;
	}
	struct vcr_tool other = { .verb = v->name };
	return v->run(&other, 2, (char *[]){ (char *)v->name, "--help", NULL });
}
