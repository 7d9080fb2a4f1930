/* verbs.h — the one table of verbs: `vcr VERB`, `vcr-VERB`, `vcr help`, "did you mean" and the man pages all follow it.
 *
 * A verb that is NEAR runs in vcr itself. One that is FAR needs large libraries (git, a TLS server) whose loading would double the time of every
 * other verb: it is in the helper program vcr-verbs, which is the same main() with the other half of the table, and vcr becomes it. */
#ifndef VCR_VERBS_H
#define VCR_VERBS_H
#include "tool.h"

/* X(name, NEAR or FAR, one line for `vcr help`) */
#define VCR_VERBS(X) \
	X(record, NEAR, "run a command and record what it says to models and does to files") \
	X(log, NEAR, "list the sessions, or what happened in one; --follow shows it live") \
	X(show, NEAR, "show one frame with its complete state") \
	X(diff, NEAR, "compare two frames, or two whole sessions") \
	X(export, NEAR, "write a session as a file of its own, with complete states if asked") \
	X(import, FAR, "make a session from a cassette of vcrpy, or from a HAR file") \
	X(replay, FAR, "answer model calls from a recording, offline: a command's, or any program's") \
	X(golden, FAR, "keep a run that was right under its task, replay it, list those that are kept") \
	X(verify, NEAR, "check that sessions hold what was recorded") \
	X(scrub, FAR, "remove more from a session, which can still be replayed") \
	X(bisect, FAR, "find the step of a session after which a check fails") \
	X(status, NEAR, "ask the collectors that are running how they are") \
	X(annotate, NEAR, "put a note into a session that is being recorded") \
	X(savepoint, NEAR, "take stock of the files of a session that is being recorded, now") \
	X(rollback, FAR, "put the files back as they were at a step of a session") \
	X(txn, FAR, "begin, commit or take back a transaction of the workspace's files") \
	X(blame, FAR, "say which prompt, call and frame a line of a file comes from") \
	X(sentinel, FAR, "judge code: how complex it is, what was copied, what is not written yet") \
	X(gc, FAR, "delete old sessions, keep savepoints small, say what they take") \
	X(doctor, NEAR, "say whether recording works here, and what would be seen of a command") \
	X(help, NEAR, "open the manual page of a verb")

/* A verb's main: argv[0] is the verb's name. Returns the exit status. */
#define VCR_VERB_DECLARE(name, where, line) int vcr_verb_##name(struct vcr_tool *t, int argc, char **argv);
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
