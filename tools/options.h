/* options.h — one table per verb: it parses the command line and prints --help.
 *
 * -x, -xVALUE, -x VALUE, -xyz, --name, --name=VALUE, --name VALUE, and "--" are understood. Every verb also has the common options
 * (--json, -q, -v, --color, --help, --version). A wrong call gets one line that names it, and exit status 2. */
#ifndef VCR_OPTIONS_H
#define VCR_OPTIONS_H
#include "tool.h"

enum vcr_opt_kind {
	VCR_OPT_FLAG,   /* bool *to = true */
	VCR_OPT_COUNT,  /* int *to += 1 */
	VCR_OPT_STRING, /* const char **to */
	VCR_OPT_MAYBE,  /* the same; the value may be left away, which is "", and is never the next argument */
	VCR_OPT_NUMBER, /* int64_t *to, not negative */
	VCR_OPT_LIST,   /* struct vcr_opt_list *to, may stand several times */
	VCR_OPT_END = -1,
};
struct vcr_opt_list { const char **item; int n; }; /* item is NULL or NULL-terminated; borrowed strings */

struct vcr_opt {
	char letter;       /* 0: none */
	const char *name;
	const char *arg;   /* what --help calls the value; NULL for flags */
	enum vcr_opt_kind kind;
	void *to;
	const char *help;
};
#define VCR_OPT_LAST { 0, NULL, NULL, VCR_OPT_END, NULL, NULL }
#define VCR_OPT_VCR_DIR(t) { 0, "vcr-dir", "DIR", VCR_OPT_STRING, &(t)->vcr_dir, "sessions are in DIR, not in the nearest .vcr" }

struct vcr_usage {
	const char *operands; /* "[SESSION]" */
	const char *about;    /* a sentence */
	const struct vcr_opt *opts;
	bool stop_early;      /* the first operand ends the options: what follows is another program's command line */
};
/* Parse argv[1..]; operands are moved to argv[0..n) and n is returned (argv[n] is NULL). -1: there is nothing more to do, the exit status is
 * *status (0 after --help or --version, 2 after a wrong call, which has been said). */
int vcr_options_parse(struct vcr_tool *t, const struct vcr_usage *u, int argc, char **argv, int *status);
/* What stands behind the first "--" is another program's command line: *command is set to it (or stays), and what is ours ends before. Returns our argc. */
int vcr_split_command(int argc, char **argv, char ***command);
void vcr_opt_list_release(struct vcr_opt_list *l);
#define VCR_AUTO_LIST __attribute__((cleanup(vcr_opt_list_release))) struct vcr_opt_list
#endif
