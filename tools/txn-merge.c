/* txn-merge.c — the end of a transaction in a work tree of its own, in the half of vcr that has libgit2: its savepoints outlive it. */
#include "txn-isolate.h"
#include "paths.h"
#include "savepoint.h"
#include "standing.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST_NAMED = 20 };

static void say_paths(const struct vcr_tool *tool, const struct vcr_buf *paths, const char *what)
{
	int n = 0;
	for (const char *p = paths->data; *p; p += strcspn(p, "\n") + 1, n++) {
		VCR_AUTO_BUF name = VCR_BUF_INIT;
		vcr_safe(&name, p, strcspn(p, "\n"), 0);
		if (n < MOST_NAMED)
			vcr_say(tool, "%s: %s", name.data, what);
	}
	if (n > MOST_NAMED)
		vcr_say(tool, "and %d more", n - MOST_NAMED);
}

static const char *branch_of(const struct vcr_txn *t)
{
	return !*t->into ? "HEAD" : !strncmp(t->into, "refs/heads/", 11) ? t->into + 11 : t->into;
}

void vcr_isolated_words(const struct vcr_txn *t, const struct vcr_isolate_merge *m, struct vcr_buf *out)
{
	static const char *const how[] = { "nothing to merge into", "forwards", "merged into", "committed to" };
	if (m->how == VCR_ISOLATE_NOTHING)
		vcr_buf_printf(out, "no changes, %s stays at %.12s", branch_of(t), m->commit);
	else if (m->how == VCR_ISOLATE_FORWARD)
		vcr_buf_printf(out, "%s goes forward to %.12s", branch_of(t), m->commit);
	else
		vcr_buf_printf(out, "%s %s as %.12s", how[m->how], branch_of(t), m->commit);
	if (m->inside)
		vcr_buf_printf(out, "; %lld file%s in repositories inside the workspace", (long long)m->inside, m->inside == 1 ? "" : "s");
	if (m->aside)
		vcr_buf_puts(out, "; it is not checked out, so no files changed");
}

/* In a repository inside the workspace, of which only files come back. */
static void say_inside(const struct vcr_tool *tool, const struct vcr_txn *t, const struct vcr_isolate_merge *m, int how)
{
	say_paths(tool, &m->paths, how == VCR_ISOLATE_CONFLICT ? "changed on both sides" : m->edited ? "is changed in the workspace at this moment" : "stands in the workspace, and git does not know it there");
	vcr_say(tool, "%s. What is in repositories of their own inside the workspace comes back as files: make those alike here and in %s, then: vcr-txn commit --session='%s'",
		*t->to ? "the transaction is merged but for these" : "nothing was merged, and both sides are as they were", t->dir, t->session);
}

/* Both sides are as they were; what can be done. */
static void say_conflict(const struct vcr_tool *tool, const struct vcr_txn *t, const struct vcr_isolate_merge *m, int how)
{
	if (m->nested) {
		say_inside(tool, t, m, how);
	} else if (how == VCR_ISOLATE_CONFLICT) {
		say_paths(tool, &m->paths, "changed on both sides");
		vcr_say(tool, "conflict: nothing was merged, and both sides are as they were. Resolve it in the tree, then commit again:");
		fprintf(stderr, "  cd '%s'\n  git add -A && git commit -m 'work of %s'\n  git merge %s        # resolve, git add, git commit\n  vcr-txn commit --session='%s'\n", t->dir, t->session,
			*t->into ? branch_of(t) : "HEAD", t->session);
		fprintf(stderr, "or give it up: vcr-txn abort --session='%s'\n", t->session);
	} else {
		say_paths(tool, &m->paths, m->builds ? "has changes of yours that are not committed, and the transaction's build on them" :
			"has changes of yours that are not committed, and the transaction changes it too");
		vcr_say(tool, "nothing was merged%s. Commit these in %s%s, then: vcr-txn commit --session='%s'", *t->to ? " to its end" : "", t->workspace,
			m->builds ? "" : " or put them aside (git stash)", t->session);
	}
}

int vcr_isolated_end(const char *state_dir, struct vcr_txn *t, struct vcr_error *e)
{
	int err = vcr_standing_end(t->session, e);
	return err ? err : vcr_isolate_remove(state_dir, t, e);
}

/* From the tree's store to the workspace's, so that vcr-rollback, vcr-blame and vcr-bisect know the session. */
static int adopt(const char *state_dir, const struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF own = VCR_BUF_INIT;
	struct vcr_store *to = NULL, *from = NULL;
	int err = vcr_paths_state_dir(t->dir, &own, e);
	const struct vcr_store_options there = { .workspace = t->workspace, .state_dir = state_dir, .vcr_dir = t->vcr_dir }, here = { .workspace = t->dir, .state_dir = own.data };
	if (!err && access(t->dir, F_OK))
		return 0; /* killed while it was removed: this was done before */
	if (!err && !(err = vcr_store_open(&from, &here, e)) && !(err = vcr_store_open(&to, &there, e)))
		err = vcr_store_adopt(to, from, t->session, e);
	vcr_store_free(to);
	vcr_store_free(from);
	return err;
}

static void mark(const struct vcr_txn *t, const struct vcr_isolate_merge *m)
{
	VCR_AUTO_BUF words = VCR_BUF_INIT;
	if (!*m->commit)
		return;
	vcr_isolated_words(t, m, &words);
	if (*t->message)
		vcr_buf_printf(&words, ": %s", t->message);
	vcr_standing_mark(t->session, "txn:commit", words.data, -1, NULL, NULL); /* its collector may have ended */
}

/* resume: only what was begun, which another process may have completed, or given up, while we waited for the lock: 1 then, and nothing was done. */
static int merge(const struct vcr_tool *tool, const char *state_dir, struct vcr_txn *t, struct vcr_isolate_merge *m, bool resume, struct vcr_error *e)
{
	struct vcr_txn now;
	int err = vcr_txn_find(state_dir, t->session, &now, e);
	if (resume && (err == VCR_ENOTFOUND || (!err && !*now.to)))
		return 1;
	if (err)
		return err;
	*t = now;
	if (!*t->to && m->message) {
		snprintf(t->message, sizeof t->message, "%s", m->message);
		for (char *p = t->message; (p = strchr(p, '\n'));)
			*p = ' ';
	}
	int how = *t->to ? vcr_isolate_resume(state_dir, t, m, e) : vcr_isolate_merge(state_dir, t, m, e);
	if (how < 0)
		return how;
	if (how) {
		say_conflict(tool, t, m, how);
		return -1; /* e is unset: there is nothing more to say */
	}
	for (const char *p = m->notes.data; *p; p += strcspn(p, "\n") + 1) {
		VCR_AUTO_BUF note = VCR_BUF_INIT;
		vcr_safe(&note, p, strcspn(p, "\n"), 0);
		vcr_say(tool, "%s", note.data);
	}
	mark(t, m);
	if ((err = vcr_standing_end(t->session, e)))
		return err;
	if (*m->commit && adopt(state_dir, t, e))
		vcr_say(tool, "its savepoints could not be kept: %s", e->what);
	return vcr_isolate_remove(state_dir, t, e);
}

/* An exit status; 0 with *done: it was done by us. */
static int merge_locked(const struct vcr_tool *tool, const char *state_dir, struct vcr_txn *t, struct vcr_isolate_merge *m, bool resume, bool *done)
{
	struct vcr_error e = { 0 };
	int lock, how = vcr_isolate_lock(state_dir, &lock, &e), status = 0;
	*done = false;
	if (how)
		return vcr_failed(tool, &e);
	how = merge(tool, state_dir, t, m, resume, &e);
	close(lock);
	*done = !how;
	if (how < 0)
		status = e.code ? (e.code == VCR_ENOTFOUND || e.code == VCR_EBUSY ? (vcr_say(tool, "%s", e.what), VCR_EXIT_NO) : vcr_failed(tool, &e)) : VCR_EXIT_NO;
	return status;
}

int vcr_isolated_commit(const struct vcr_tool *tool, const char *state_dir, struct vcr_txn *t, struct vcr_isolate_merge *m)
{
	bool done;
	return merge_locked(tool, state_dir, t, m, false, &done);
}

void vcr_isolated_settle(const struct vcr_tool *tool, const char *state_dir, const char *but)
{
	VCR_AUTO_BUF names = VCR_BUF_INIT;
	if (vcr_txn_list(state_dir, &names, NULL))
		return;
	for (char *p = names.data, *next; *p; p = next) {
		struct vcr_isolate_merge m = { .paths = VCR_BUF_INIT, .notes = VCR_BUF_INIT };
		struct vcr_txn t;
		next = p + strcspn(p, "\n");
		*next++ = 0;
		if ((but && !strcmp(p, but)) || vcr_txn_find(state_dir, p, &t, NULL) || !*t.to)
			continue;
		bool done;
		if (!merge_locked(tool, state_dir, &t, &m, true, &done) && done)
			vcr_say(tool, *m.commit ? "transaction %s was being committed when a process was killed; that is completed" : "transaction %s was being taken away when a process was killed; "
				"that is completed", t.session);
		vcr_isolate_merge_release(&m);
	}
}
