#include "record-txn.h"
#include "paths.h"
#include "standing.h"
#include "txn.h"
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;
enum { EXIT_RECORDER = 125 };

int vcr_run_verb(char *const argv[])
{
	int status;
	pid_t pid;
	if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ))
		return -1;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int vcr_record_txn_open(struct vcr_record_txn *x, const struct vcr_tool *t, const char *session, const char *workspace, const char *vcr_dir)
{
	VCR_AUTO_BUF state = VCR_BUF_INIT;
	struct vcr_txn txn = { .session = "" };
	struct vcr_error e = { 0 };
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	txn.began_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	snprintf(txn.session, sizeof txn.session, "%s", session);
	snprintf(txn.vcr_dir, sizeof txn.vcr_dir, "%s", vcr_dir);
	if (vcr_paths_state_dir(workspace, &state, &e) || vcr_txn_open(state.data, &txn, &e)) {
		vcr_say(t, "%s; the command is not run", e.what);
		return EXIT_RECORDER;
	}
	x->open = true;
	return 0;
}

int vcr_record_txn_begin(struct vcr_record_txn *x, const struct vcr_tool *t, const char *session)
{
	struct vcr_error e = { 0 };
	if (!vcr_standing_mark(session, "txn:begin", "vcr-record", -1, NULL, &e))
		return 0;
	vcr_say(t, "no transaction: %s; the command is not run", e.what);
	vcr_standing_end(session, NULL);
	return EXIT_RECORDER;
}

void vcr_record_txn_drop(struct vcr_record_txn *x, const char *session, const char *workspace)
{
	VCR_AUTO_BUF state = VCR_BUF_INIT;
	if (x->open && !vcr_paths_state_dir(workspace, &state, NULL))
		vcr_txn_close(state.data, session, NULL);
	x->open = false;
}

bool vcr_record_txn_end(struct vcr_record_txn *x, const struct vcr_tool *t, const char *session, const char *vcr_dir, bool success, int64_t processes)
{
	const char *step = success ? (x->commit_on_success ? "commit" : NULL) : x->rollback_on_failure ? "abort" : NULL;
	char *const argv[] = { "vcr", "txn", (char *)step, "-q", "--session", (char *)session, "--vcr-dir", (char *)vcr_dir, NULL };
	if (step && processes > 0)
		vcr_say(t, "%lld process%s of the session still run%s: nothing is committed or taken back while they do", (long long)processes, processes == 1 ? "" : "es", processes == 1 ? "s" : "");
	else if (step && vcr_run_verb(argv) >= 0) {
		if (!vcr_standing_runs(session)) {
			if (!t->quiet)
				vcr_say(t, success ? "what the command did is committed" : "the command failed: its changes are taken back (vcr-rollback --undo brings them back)");
			return true;
		}
	}
	vcr_say(t, "transaction %s is open: vcr-txn commit or vcr-txn abort ends it", session);
	return false;
}
