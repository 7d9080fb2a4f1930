#include "record-txn.h"
#include "paths.h"
#include "standing.h"
#include "txn-isolate.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
enum { EXIT_RECORDER = 125 };

int vcr_run_verb(char *const argv[])
{
	int status = -1;
	struct sigaction chld;
	pid_t pid;
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, &chld); /* where it is ignored, the status is lost */
	bool ended = !posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ);
	while (ended && waitpid(pid, &status, 0) < 0)
		ended = errno == EINTR;
	sigaction(SIGCHLD, &chld, NULL);
	return ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Into the tree, as deep as we were in the workspace. */
static int enter(struct vcr_record_txn *x, struct vcr_buf *workspace, struct vcr_error *e)
{
	VCR_AUTO_BUF to = VCR_BUF_INIT;
	size_t n = workspace->len;
	char *cwd = realpath(".", NULL);
	vcr_buf_printf(&to, "%s%s", x->txn.dir, cwd && !strncmp(cwd, workspace->data, n) && cwd[n] == '/' ? cwd + n : "");
	free(cwd);
	x->start = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x->start < 0 || chdir(to.data))
		return vcr_error_sys(e, errno, "%s", to.data);
	setenv("PWD", to.data, 1);
	vcr_buf_reset(workspace);
	return vcr_buf_puts(workspace, x->txn.dir);
}

int vcr_record_txn_open(struct vcr_record_txn *x, const struct vcr_tool *t, const char *session, struct vcr_buf *workspace, const char *vcr_dir)
{
	struct vcr_txn *txn = &x->txn;
	struct vcr_error e = { 0 };
	struct timespec now;
	char *const settle[] = { "vcr", "txn", "status", "-q", NULL };
	clock_gettime(CLOCK_REALTIME, &now);
	txn->began_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	snprintf(txn->session, sizeof txn->session, "%s", session);
	snprintf(txn->vcr_dir, sizeof txn->vcr_dir, "%s", vcr_dir);
	int err = vcr_paths_state_dir(workspace->data, &x->home, &e);
	if (!err && vcr_isolated_pending(x->home.data))
		vcr_run_verb(settle); /* it says what it does */
	if (!err)
		err = x->isolate ? vcr_isolated_begin(t, x->home.data, workspace->data, txn, &e) : vcr_txn_open(x->home.data, txn, &e);
	if (err) {
		vcr_say(t, "%s; the command is not run", e.what);
		return EXIT_RECORDER;
	}
	x->open = true;
	if (x->isolate && enter(x, workspace, &e)) {
		vcr_record_txn_drop(x);
		vcr_say(t, "%s; the command is not run", e.what);
		return EXIT_RECORDER;
	}
	return 0;
}

int vcr_record_txn_begin(struct vcr_record_txn *x, const struct vcr_tool *t, const char *session)
{
	struct vcr_error e = { 0 };
	if (!vcr_standing_mark(session, "txn:begin", "vcr-record", -1, NULL, &e))
		return 0;
	vcr_say(t, "no transaction: %s; the command is not run", e.what);
	return EXIT_RECORDER;
}

static void leave(struct vcr_record_txn *x)
{
	if (x->start >= 0 && fchdir(x->start))
		x->start = -1; /* that directory has gone: the verb will say so */
}

void vcr_record_txn_drop(struct vcr_record_txn *x)
{
	leave(x);
	if (x->open)
		vcr_standing_end(x->txn.session, NULL);
	if (x->open && x->isolate)
		vcr_isolate_remove(x->home.data, &x->txn, NULL);
	else if (x->open)
		vcr_txn_close(x->home.data, x->txn.session, NULL);
	x->open = false;
}

void vcr_record_txn_release(struct vcr_record_txn *x)
{
	vcr_buf_release(&x->home);
	if (x->start >= 0)
		close(x->start);
}

static const char *done(const struct vcr_record_txn *x, bool success)
{
	if (x->isolate)
		return success ? "what the command did in its tree is merged" : "the command failed: its tree and its branch are gone";
	return success ? "what the command did is committed" : "the command failed: its changes are taken back (vcr-rollback --undo brings them back)";
}

bool vcr_record_txn_end(struct vcr_record_txn *x, const struct vcr_tool *t, const char *session, const char *vcr_dir, bool success, int64_t processes)
{
	const char *step = success ? (x->commit_on_success ? "commit" : NULL) : x->rollback_on_failure ? "abort" : NULL;
	char *const argv[] = { "vcr", "txn", (char *)step, "-q", "--session", (char *)session, "--vcr-dir", (char *)vcr_dir, NULL };
	leave(x);
	if (step && processes > 0)
		vcr_say(t, "%lld process%s of the session still run%s: nothing is committed or taken back while they do", (long long)processes, processes == 1 ? "" : "es", processes == 1 ? "s" : "");
	else if (step && vcr_run_verb(argv) >= 0) {
		if (!vcr_standing_runs(session)) {
			if (!t->quiet)
				vcr_say(t, "%s", done(x, success));
			return true;
		}
	}
	vcr_say(t, "transaction %s is open%s%s: vcr-txn commit or vcr-txn abort ends it", session, x->isolate ? ", in " : "", x->isolate ? x->txn.dir : "");
	return false;
}
