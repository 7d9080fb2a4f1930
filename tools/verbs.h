/* verbs.h — the one table of verbs: `vcr VERB`, `vcr-VERB`, `vcr help`, "did you mean" and the man pages all follow it. */
#ifndef VCR_VERBS_H
#define VCR_VERBS_H
#include "tool.h"

/* X(name, one line for `vcr help`) */
#define VCR_VERBS(X) \
	X(record, "run a command and record what it says to models and does to files") \
	X(log, "list the sessions, or what happened in one; --follow shows it live") \
	X(show, "show one frame with its complete state") \
	X(diff, "compare two frames, or two whole sessions") \
	X(export, "write a session as a file of its own, with complete states if asked") \
	X(replay, "answer model calls from a recording, offline: a command's, or any program's") \
	X(status, "ask the collectors that are running how they are") \
	X(annotate, "put a note into a session that is being recorded") \
	X(savepoint, "take stock of the files of a session that is being recorded, now") \
	X(rollback, "put the files back as they were at a step of a session") \
	X(help, "open the manual page of a verb")

/* A verb's main: argv[0] is the verb's name. Returns the exit status. */
#define VCR_VERB_DECLARE(name, line) int vcr_verb_##name(struct vcr_tool *t, int argc, char **argv);
VCR_VERBS(VCR_VERB_DECLARE)

typedef int vcr_verb_fn(struct vcr_tool *t, int argc, char **argv);
struct vcr_verb {
	const char *name, *line;
	vcr_verb_fn *run;
};
extern const struct vcr_verb vcr_verbs[]; /* ends with a NULL name */
/* The verb of that name, or NULL. */
const struct vcr_verb *vcr_verb_find(const char *name);
#endif
