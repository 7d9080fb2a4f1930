/* vcr txn — the workspace's files as a transaction: begin, savepoints, back to one of them, commit or abort. */
#include "control.h"
#include "leaves.h"
#include "limits.h"
#include "open.h"
#include "options.h"
#include "paths.h"
#include "rollback.h"
#include "rolling.h"
#include "standing.h"
#include "times.h"
#include "txn-isolate.h"
#include "verbs.h"
#include "words.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct call {
	struct vcr_tool *t;
	const char *session, *message, *to;
	bool force, isolate, squash, mtimes, inside; /* inside: we are in a transaction's own tree */
	struct vcr_buf vcr_dir, workspace, state;
	struct vcr_buf home;    /* the state directory where it says what is open; state is that of a transaction's own tree then */
	struct vcr_txn txn;
	struct vcr_store *store;
	struct vcr_leaves *leaves; /* what .vcr/config says is to be left alone */
	struct vcr_rollback plan;
	int lock;
	char own[104];          /* what session points to if it was not given */
	struct vcr_error e;
};
typedef int step_fn(struct call *c);

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A condition that the user can do something about is status 1. */
static int say_error(struct call *c)
{
	if (c->e.code != VCR_ENOTFOUND && c->e.code != VCR_EEXIST && c->e.code != VCR_EBUSY)
		return vcr_failed(c->t, &c->e);
	vcr_say(c->t, "%s", c->e.what);
	return VCR_EXIT_NO;
}

/* The rest is about that tree. */
static int enter_tree(struct call *c)
{
	if (!vcr_txn_is_isolated(&c->txn))
		return 0;
	vcr_buf_reset(&c->workspace);
	vcr_buf_reset(&c->state);
	vcr_buf_puts(&c->workspace, c->txn.dir);
	return vcr_paths_state_dir(c->txn.dir, &c->state, &c->e) ? vcr_failed(c->t, &c->e) : 0;
}

static int find_txn(struct call *c)
{
	return vcr_txn_find(c->home.data, c->session, &c->txn, &c->e) ? say_error(c) : enter_tree(c);
}

/* What a collector that died left is decoded: its session is whole then, and takes no more savepoints. */
static bool runs(const struct call *c)
{
	VCR_AUTO_BUF answer = VCR_BUF_INIT;
	if (!vcr_control_ask(c->txn.session, "{\"op\":\"drain\"}", &answer, 60000, NULL))
		return true;
	vcr_tool_settle(c->txn.vcr_dir);
	return false;
}

static int open_store(struct call *c)
{
	struct vcr_store_options o = { .workspace = c->workspace.data, .state_dir = c->state.data, .vcr_dir = c->txn.vcr_dir, .leave_out = vcr_leaves_out };
	if (c->store)
		return 0;
	vcr_leaves_free(c->leaves);
	c->leaves = NULL;
	int err = vcr_leaves_configured(&c->leaves, c->workspace.data, c->txn.vcr_dir, &c->e);
	o.ctx = c->leaves;
	return err ? err : vcr_store_open(&c->store, &o, &c->e);
}

static void print_object(struct call *c, const char *op, int64_t savepoint, int64_t changed)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_jw w;
	const struct { const char *key; int64_t n; } ints[] = { { "savepoint", savepoint }, { "changed", changed } };
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "op");
	vcr_jw_str(&w, op);
	vcr_jw_key(&w, "session");
	vcr_jw_str(&w, c->txn.session);
	for (int i = 0; i < 2; i++) {
		vcr_jw_key(&w, ints[i].key);
		if (ints[i].n >= 0)
			vcr_jw_int(&w, ints[i].n);
		else
			vcr_jw_null(&w);
	}
	if (vcr_txn_is_isolated(&c->txn)) {
		vcr_jw_key(&w, "directory");
		vcr_jw_str(&w, c->txn.dir);
	}
	vcr_jw_object_end(&w);
	printf("%s\n", out.data);
}

/* ---- begin ---- */

static int check_new(struct call *c)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct stat st;
	char id[32];
	if (c->session && vcr_paths_check_session_id(c->session, &c->e))
		return vcr_failed(c->t, &c->e);
	vcr_paths_new_session_id(id);
	snprintf(c->txn.session, sizeof c->txn.session, "%s", c->session ? c->session : id);
	snprintf(c->txn.vcr_dir, sizeof c->txn.vcr_dir, "%s", c->vcr_dir.data);
	c->txn.began_ns = now_ns();
	vcr_buf_printf(&path, "%s/%s.vcr", c->vcr_dir.data, c->txn.session);
	if (lstat(path.data, &st) && errno == ENOENT)
		return 0;
	return vcr_wrong_call(c->t, "there is a session '%s' already: %s", c->txn.session, path.data);
}

/* That it is open is written first: killed here, what is left is known and can be aborted. */
static int begin(struct call *c)
{
	int status = check_new(c);
	if (status)
		return status;
	if (c->inside)
		return vcr_wrong_call(c->t, "this is the tree of a transaction; begin another one in %s", c->workspace.data);
	if (c->isolate ? vcr_isolated_begin(c->t, c->home.data, c->workspace.data, &c->txn, &c->e) : vcr_txn_open(c->home.data, &c->txn, &c->e))
		return say_error(c);
	if ((status = enter_tree(c)))
		return status;
	int err = vcr_standing_start(c->txn.session, c->workspace.data, c->vcr_dir.data, &c->e);
	if (!err && (err = vcr_standing_mark(c->txn.session, "txn:begin", c->message, -1, NULL, &c->e)))
		vcr_standing_end(c->txn.session, NULL);
	if (err) {
		if (c->isolate)
			vcr_isolate_remove(c->home.data, &c->txn, NULL);
		else
			vcr_txn_close(c->home.data, c->txn.session, NULL);
		return vcr_failed(c->t, &c->e);
	}
	if (c->t->json)
		print_object(c, "begin", 0, -1);
	else if (c->isolate) {
		if (!c->t->quiet)
			vcr_say(c->t, "transaction %s has begun in a tree of its own; vcr-txn commit merges what is done there, vcr-txn abort gives it up", c->txn.session);
		printf("%s\n", c->txn.dir);
	}
	else if (!c->t->quiet)
		printf("transaction %s has begun; vcr-txn commit keeps what is done from here on, vcr-txn abort takes it back\n", c->txn.session);
	return VCR_EXIT_YES;
}

/* ---- savepoint ---- */

static int savepoint(struct call *c)
{
	struct vcr_savepoint p;
	int status = find_txn(c);
	if (status)
		return status;
	if (!runs(c)) {
		vcr_say(c->t, "the collector of transaction %s has ended, so no more savepoints can be taken; commit it, or go back with rollback or abort", c->txn.session);
		return VCR_EXIT_NO;
	}
	if (vcr_standing_mark(c->txn.session, "savepoint", c->message, -1, NULL, &c->e) || open_store(c) || vcr_store_get(c->store, c->txn.session, -1, &p, &c->e))
		return vcr_failed(c->t, &c->e);
	if (c->t->json)
		print_object(c, "savepoint", p.n, -1);
	else if (!c->t->quiet)
		printf("savepoint %lld\n", (long long)p.n);
	return VCR_EXIT_YES;
}

/* ---- rollback, abort ---- */

static bool is_made_by_hand(const struct vcr_savepoint *p)
{
	return !strcmp(p->kind, "manual") || !strcmp(p->kind, "begin") || !p->n;
}

/* --to, else the last savepoint that was asked for. */
static int find_target(struct call *c, struct vcr_savepoint *out)
{
	struct vcr_savepoint p;
	int64_t n = c->to && strcmp(c->to, "begin") ? strtoll(c->to, NULL, 10) : c->to ? 0 : -1;
	int err = vcr_store_get(c->store, c->txn.session, n, &p, &c->e);
	while (!err && !c->to && !is_made_by_hand(&p))
		err = vcr_store_get(c->store, c->txn.session, p.n - 1, &p, &c->e);
	if (!err)
		*out = p;
	return err;
}

static int recover(struct call *c, const struct vcr_rollback_where *w)
{
	VCR_AUTO_BUF skipped = VCR_BUF_INIT;
	bool finished;
	int err = vcr_rollback_recover(w, &finished, &skipped, &c->e);
	for (char *p = skipped.data; !err && *p; p += strcspn(p, "\n") + 1)
		vcr_say(c->t, "%.*s was changed since an interrupted rollback and is left", (int)strcspn(p, "\n"), p);
	return err;
}

static size_t tell(struct call *c, struct vcr_rollback_call *told)
{
	size_t changed = 0;
	bool refused = !c->force && c->plan.count[VCR_ROLLBACK_FOREIGN];
	for (size_t i = 0; i < c->plan.n; i++) {
		const struct vcr_rollback_item *it = &c->plan.item[i];
		changed += vcr_rollback_does(told, it);
		if (refused ? it->state == VCR_ROLLBACK_FOREIGN : c->t->json || c->t->verbose || it->state != VCR_ROLLBACK_DO)
			vcr_rollback_tell_item(told, it);
	}
	return changed;
}

/* Files as savepoint `to` has them. 0, 1 if some could not be put back (named), or -1 and nothing done (said). */
static int put_back(struct call *c, const struct vcr_savepoint *to, const struct vcr_rollback_where *w, size_t *changed)
{
	struct vcr_savepoint last, before, after;
	struct vcr_rollback_call told = { .t = c->t, .force = c->force, .workspace = c->workspace.data, .vcr_dir = c->txn.vcr_dir, .store = c->store, .plan = &c->plan,
		.all_holders = true };
	VCR_AUTO_BUF message = VCR_BUF_INIT;
	strcpy(told.session, c->txn.session);
	vcr_buf_printf(&message, "savepoint %lld of transaction %s", (long long)to->n, c->txn.session);
	if (vcr_store_get(c->store, c->txn.session, -1, &last, &c->e))
		return say_error(c), -1;
	bool also = !vcr_rollback_last(c->store, &before, &after, NULL) && !strcmp(after.session, c->txn.session) && after.time_ns > last.time_ns;
	struct vcr_rollback_where there = *w;
	there.keep_attrs = !to->attrs;
	if (vcr_rollback_plan(&c->plan, &there, last.tree, also ? after.tree : NULL, to->tree, &c->e))
		return say_error(c), -1;
	if (c->mtimes && vcr_times_plan(&c->plan, w, *to->session ? to->session : c->txn.session, to, &c->e))
		return say_error(c), -1;
	told.last_ns = last.time_ns;
	bool refused = !c->force && c->plan.count[VCR_ROLLBACK_FOREIGN];
	if (!refused)
		vcr_rollback_find_holders(&told);
	vcr_times_see(&c->plan, w);
	if (!refused && vcr_rollback_apply(&c->plan, w, c->force, message.data, &c->e))
		return say_error(c), -1;
	if (!refused)
		vcr_times_keep_undo(&c->plan, w, NULL); /* else they are not known, which an undo says that wants them */
	*changed = tell(c, &told);
	if (c->plan.unset && !c->t->quiet)
		vcr_say(c->t, "%zu could not be given all extended attributes: that is not permitted here", c->plan.unset);
	if (!refused)
		vcr_rollback_tell_times(&told);
	if (!refused && !c->t->quiet)
		vcr_rollback_tell_holders(&told);
	vcr_rollback_forget(&told);
	if (refused)
		vcr_say(c->t, "changed by somebody else since the last savepoint; nothing was done. --force overwrites them (vcr-rollback --undo brings them back)");
	return refused ? -1 : c->plan.count[VCR_ROLLBACK_LOST] || c->plan.count[VCR_ROLLBACK_LEFT];
}

/* Locked, what was interrupted finished, everything up to now known. */
static int prepare(struct call *c, struct vcr_rollback_where *w, bool *watched)
{
	*watched = runs(c);
	if (vcr_rollback_lock(c->state.data, &c->lock, &c->e) || open_store(c))
		return say_error(c);
	*w = (struct vcr_rollback_where){ .store = c->store, .workspace = c->workspace.data, .state_dir = c->state.data, .session = c->txn.session, .vcr_dir = c->txn.vcr_dir };
	w->leave_ignored = vcr_leaves_ignored(c->leaves);
	return recover(c, w) ? say_error(c) : 0;
}

static int go_back(struct call *c, bool *watched, size_t *changed, struct vcr_savepoint *to)
{
	struct vcr_rollback_where w;
	VCR_AUTO_BUF words = VCR_BUF_INIT;
	int status = prepare(c, &w, watched);
	if (status)
		return -1;
	if (find_target(c, to))
		return c->e.code == VCR_ENOTFOUND && c->to ? (vcr_say(c->t, "%s", c->e.what), -1) : (say_error(c), -1);
	vcr_buf_printf(&words, "before going back to savepoint %lld", (long long)to->n);
	if (*watched && vcr_standing_mark(c->txn.session, "txn:rollback", words.data, to->n, NULL, &c->e))
		return say_error(c), -1;
	return put_back(c, to, &w, changed);
}

static int rollback(struct call *c)
{
	struct vcr_savepoint to;
	size_t changed = 0;
	bool watched;
	int status = find_txn(c), how = status ? -1 : go_back(c, &watched, &changed, &to);
	if (how < 0)
		return status ? status : VCR_EXIT_NO;
	if (watched && vcr_standing_mark(c->txn.session, "txn:rollback", "done", to.n, NULL, &c->e))
		return say_error(c);
	if (c->t->json)
		print_object(c, "rollback", to.n, (int64_t)changed);
	else if (!c->t->quiet)
		printf("%zu path%s put back to savepoint %lld; the transaction goes on\n", changed, changed == 1 ? "" : "s", (long long)to.n);
	return how ? VCR_EXIT_NO : VCR_EXIT_YES;
}

static int end(struct call *c)
{
	if (vcr_standing_end(c->txn.session, &c->e) || vcr_txn_close(c->home.data, c->txn.session, &c->e))
		return say_error(c);
	return 0;
}

/* Killed when it had only begun to begin, there is no savepoint and nothing to put back. */
static int find_base(struct call *c, bool *there)
{
	struct vcr_savepoint p;
	int err = open_store(c);
	if (err)
		return err;
	err = vcr_store_get(c->store, c->txn.session, 0, &p, &c->e);
	*there = !err;
	return err == VCR_ENOTFOUND ? 0 : err;
}

static int abort_isolated(struct call *c)
{
	int lock, err;
	if (runs(c))
		vcr_standing_mark(c->txn.session, "txn:rollback", "abort: its tree is given up", 0, NULL, NULL);
	if ((err = vcr_isolate_lock(c->home.data, &lock, &c->e)))
		return say_error(c);
	/* as it stands now that nobody else is at it */
	if (!(err = vcr_txn_find(c->home.data, c->txn.session, &c->txn, &c->e)) && *c->txn.to)
		err = vcr_error_set(&c->e, VCR_EBUSY, "transaction %s has just been committed, by a process that was killed: vcr-txn status completes it", c->txn.session);
	if (!err)
		err = vcr_isolated_end(c->home.data, &c->txn, &c->e);
	close(lock);
	if (err)
		return say_error(c);
	if (c->t->json)
		print_object(c, "abort", 0, -1);
	else if (!c->t->quiet)
		printf("transaction %s is given up: its tree and its branch are gone\n", c->txn.session);
	return VCR_EXIT_YES;
}

static int abort_txn(struct call *c)
{
	struct vcr_savepoint to = { .n = 0 };
	size_t changed = 0;
	bool watched, there = false;
	int status = find_txn(c), how = 0;
	if (status || vcr_txn_is_isolated(&c->txn))
		return status ? status : abort_isolated(c);
	c->to = "begin";
	if (find_base(c, &there))
		return say_error(c);
	if (there && (how = go_back(c, &watched, &changed, &to)) < 0)
		return VCR_EXIT_NO;
	if ((status = end(c)))
		return status;
	if (c->t->json)
		print_object(c, "abort", 0, (int64_t)changed);
	else if (!c->t->quiet)
		printf("transaction %s is taken back: %zu path%s as before it began; vcr-rollback --undo brings the work back\n", c->txn.session, changed, changed == 1 ? "" : "s");
	return how ? VCR_EXIT_NO : VCR_EXIT_YES;
}

/* ---- commit, status, list ---- */

static int count_path(void *ctx, const char *path, const struct vcr_entry *a, const struct vcr_entry *b)
{
	++*(int64_t *)ctx;
	return 0;
}

/* How many paths differ between its beginning and its last savepoint; -1 unknown. */
static int64_t count_changes(struct call *c, int64_t *last)
{
	struct vcr_savepoint a, b;
	int64_t n = 0;
	*last = -1;
	if (open_store(c) || vcr_store_get(c->store, c->txn.session, 0, &a, NULL) || vcr_store_get(c->store, c->txn.session, -1, &b, NULL))
		return -1;
	*last = b.n;
	return vcr_store_diff(c->store, a.tree, b.tree, count_path, &n, NULL) ? -1 : n;
}

static int commit_isolated(struct call *c)
{
	VCR_AUTO_BUF words = VCR_BUF_INIT;
	struct vcr_isolate_merge m = { .squash = c->squash, .message = c->message, .paths = VCR_BUF_INIT, .notes = VCR_BUF_INIT };
	if (!*c->txn.to && runs(c)) /* the last of its work is in the session, whatever becomes of the merge */
		vcr_standing_mark(c->txn.session, "savepoint", "before the commit", -1, NULL, NULL);
	int status = vcr_isolated_commit(c->t, c->home.data, &c->txn, &m);
	if (!status && c->t->json)
		print_object(c, "commit", -1, m.changed);
	else if (!status && !c->t->quiet) {
		vcr_isolated_words(&c->txn, &m, &words);
		printf("transaction %s is committed: %lld path%s changed, %s\n", c->txn.session, (long long)m.changed, m.changed == 1 ? "" : "s", words.data);
	}
	vcr_isolate_merge_release(&m);
	return status;
}

static int commit(struct call *c)
{
	int64_t last, changed;
	int status = find_txn(c);
	if (status)
		return status;
	if (vcr_txn_is_isolated(&c->txn))
		return commit_isolated(c);
	if (c->squash)
		return vcr_wrong_call(c->t, "--squash is about a transaction that was begun with --isolate; %s was not", c->txn.session);
	if (runs(c) ? vcr_standing_mark(c->txn.session, "txn:commit", c->message, -1, NULL, &c->e) : 0)
		return say_error(c);
	changed = count_changes(c, &last);
	if ((status = end(c)))
		return status;
	if (c->t->json)
		print_object(c, "commit", last, changed);
	else if (!c->t->quiet)
		printf("transaction %s is committed: %lld path%s changed   (vcr-rollback %s takes it back even now)\n", c->txn.session, (long long)(changed < 0 ? 0 : changed),
			changed == 1 ? "" : "s", c->txn.session);
	return VCR_EXIT_YES;
}

static int list(struct call *c)
{
	struct vcr_savepoint p;
	int status = find_txn(c);
	if (status)
		return status;
	runs(c);
	if (open_store(c))
		return vcr_failed(c->t, &c->e);
	for (int64_t n = 0; !vcr_store_get(c->store, c->txn.session, n, &p, NULL); n++) {
		VCR_AUTO_BUF when = VCR_BUF_INIT, message = VCR_BUF_INIT, out = VCR_BUF_INIT;
		struct vcr_jw w;
		vcr_words_time(&when, p.time_ns, "%Y-%m-%d %H:%M:%S");
		vcr_safe(&message, p.message, strlen(p.message), 0);
		if (!c->t->json) {
			printf("%s%4lld%s  %s  %-8s  %s\n", vcr_on(c->t, VCR_BOLD), (long long)p.n, vcr_on(c->t, VCR_PLAIN), when.data, p.kind, message.data);
			continue;
		}
		vcr_jw_init(&w, &out);
		vcr_jw_object(&w);
		vcr_jw_key(&w, "savepoint");
		vcr_jw_int(&w, p.n);
		vcr_jw_key(&w, "kind");
		vcr_jw_str(&w, p.kind);
		vcr_jw_key(&w, "message");
		vcr_jw_str(&w, p.message);
		vcr_jw_key(&w, "commit");
		vcr_jw_str(&w, p.commit);
		vcr_jw_object_end(&w);
		printf("%s\n", out.data);
	}
	return VCR_EXIT_YES;
}

static int status_of_one(struct call *c)
{
	VCR_AUTO_BUF when = VCR_BUF_INIT;
	int64_t last;
	int status = find_txn(c);
	if (status)
		return status;
	bool watched = runs(c), isolated = vcr_txn_is_isolated(&c->txn);
	int64_t changed = count_changes(c, &last);
	if (isolated)
		changed = vcr_isolate_count(c->home.data, &c->txn);
	vcr_words_time(&when, c->txn.began_ns, "%Y-%m-%d %H:%M:%S");
	if (c->t->json)
		print_object(c, "status", last, changed);
	else
		printf("transaction %s, begun %s: savepoint %lld, %lld path%s changed%s%s%s%s\n", c->txn.session, when.data, (long long)last, (long long)(changed < 0 ? 0 : changed),
			changed == 1 ? "" : "s", isolated ? "" : " up to it", isolated ? ", in " : "", isolated ? c->txn.dir : "", watched ? "" : "; its collector has ended");
	return VCR_EXIT_YES;
}

/* Without a session, all that are open. */
static int status_of(struct call *c)
{
	VCR_AUTO_BUF names = VCR_BUF_INIT, workspace = VCR_BUF_INIT, state = VCR_BUF_INIT;
	int status = 0;
	if (c->session || vcr_txn_list(c->home.data, &names, &c->e) || !*names.data)
		return status_of_one(c);
	vcr_buf_puts(&workspace, c->workspace.data);
	vcr_buf_puts(&state, c->state.data);
	for (char *p = names.data, *next; *p && !status; p = next) {
		next = p + strcspn(p, "\n");
		*next++ = 0;
		c->session = p;
		vcr_buf_reset(&c->workspace);
		vcr_buf_reset(&c->state);
		vcr_buf_puts(&c->workspace, workspace.data);
		vcr_buf_puts(&c->state, state.data);
		vcr_store_free(c->store);
		c->store = NULL;
		status = status_of_one(c);
	}
	return status;
}

/* ---- The call ---- */

enum { MESSAGE = 1, TO = 2, FORCE = 4, ISOLATE = 8, SQUASH = 16, MTIMES = 32 };
static const struct { const char *name; step_fn *run; unsigned takes; } steps[] = {
	{ "begin", begin, MESSAGE | ISOLATE }, { "savepoint", savepoint, MESSAGE }, { "rollback", rollback, TO | FORCE | MTIMES }, { "commit", commit, MESSAGE | SQUASH }, { "abort", abort_txn, FORCE },
	{ "status", status_of, 0 }, { "list", list, 0 },
};

/* An option that this step does not take, or NULL. */
static const char *stray(const struct call *c, unsigned takes)
{
	const struct { unsigned what; bool given; const char *name; } all[] = { { MESSAGE, c->message, "--message" }, { TO, c->to, "--to" }, { FORCE, c->force, "--force" },
		{ ISOLATE, c->isolate, "--isolate" }, { SQUASH, c->squash, "--squash" }, { MTIMES, c->mtimes, "--mtimes" } };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i].given && !(takes & all[i].what))
			return all[i].name;
	return NULL;
}

/* In a transaction's own tree that one is meant, and the others are those of where it came from. */
static int find_place(struct call *c)
{
	struct vcr_txn here;
	if (vcr_tool_dir(c->t, &c->vcr_dir, &c->e) || vcr_paths_workspace(".", &c->workspace, &c->e))
		return vcr_failed(c->t, &c->e);
	if (!vcr_isolate_home(c->workspace.data, &c->home, &here, NULL)) {
		c->inside = true;
		snprintf(c->own, sizeof c->own, "%s", here.session);
		if (!c->session)
			c->session = c->own;
		vcr_buf_reset(&c->workspace);
		vcr_buf_puts(&c->workspace, here.workspace);
		return vcr_buf_puts(&c->state, c->home.data);
	}
	if (vcr_paths_state_dir(c->workspace.data, &c->state, &c->e))
		return vcr_failed(c->t, &c->e);
	return vcr_buf_puts(&c->home, c->state.data);
}

/* Only commit completes its own: it has something to say of it. */
static void settle(struct call *c, bool commits)
{
	struct vcr_txn t;
	vcr_isolated_settle(c->t, c->home.data, commits && !vcr_txn_find(c->home.data, c->session, &t, NULL) ? t.session : NULL);
}

static int run_step(struct call *c, const char *name)
{
	const char *to = c->to, *no;
	int status;
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		if (strcmp(steps[i].name, name))
			continue;
		if ((no = stray(c, steps[i].takes)))
			return vcr_wrong_call(c->t, "%s takes no %s", name, no);
		if (to && strcmp(to, "begin") && (!*to || strspn(to, "0123456789") != strlen(to) || strlen(to) > 9))
			return vcr_wrong_call(c->t, "--to wants the number of a savepoint or begin, not '%s'", to);
		if ((status = find_place(c)))
			return status;
		settle(c, steps[i].run == commit);
		return steps[i].run(c);
	}
	return vcr_wrong_call(c->t, "'%s' is no step of a transaction: begin, savepoint, rollback, commit, abort, status or list", name);
}

int vcr_verb_txn(struct vcr_tool *t, int argc, char **argv)
{
	static struct call c;
	c = (struct call){ .t = t, .vcr_dir = VCR_BUF_INIT, .workspace = VCR_BUF_INIT, .state = VCR_BUF_INIT, .home = VCR_BUF_INIT, .lock = -1 };
	const struct vcr_opt opts[] = {
		{ 's', "session", "ID", VCR_OPT_STRING, &c.session, "begin: its id, instead of one made from date and time; else: the transaction that is meant" },
		{ 'm', "message", "TEXT", VCR_OPT_STRING, &c.message, "begin, savepoint, commit: a note for people" },
		{ 't', "to", "N", VCR_OPT_STRING, &c.to, "rollback: the savepoint, by its number, or begin; the last that was asked for unless given" },
		{ 'i', "isolate", NULL, VCR_OPT_FLAG, &c.isolate, "begin: in a git work tree of its own, whose directory is printed; commit merges it" },
		{ 0, "squash", NULL, VCR_OPT_FLAG, &c.squash, "commit, of one that is isolated: as a single commit" },
		{ 0, "mtimes", NULL, VCR_OPT_FLAG, &c.mtimes, "rollback: the modification times of the files that are put back too" },
		{ 'f', "force", NULL, VCR_OPT_FLAG, &c.force, "rollback, abort: overwrite what somebody else changed since" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "begin | savepoint | rollback | commit | abort | status | list",
		"The files of the workspace as a transaction: what is done after begin is kept by commit, or taken back, also in part.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		return status;
	status = n == 1 ? run_step(&c, argv[0]) : vcr_wrong_call(t, n ? "one step at a time" : "which step? begin, savepoint, rollback, commit, abort, status or list");
	vcr_rollback_release(&c.plan);
	vcr_store_free(c.store);
	vcr_leaves_free(c.leaves);
	if (c.lock >= 0)
		close(c.lock);
	vcr_buf_release(&c.vcr_dir);
	vcr_buf_release(&c.workspace);
	vcr_buf_release(&c.state);
	vcr_buf_release(&c.home);
	return status;
}
