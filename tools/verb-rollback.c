/* vcr rollback — the files as they were at a step of a session. */
#include "control.h"
#include "leaves.h"
#include "open.h"
#include "options.h"
#include "limits.h"
#include "paths.h"
#include "beneath.h"
#include "rolling.h"
#include "times.h"
#include "verbs.h"
#include "words.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { END_MS = 5000, MAX_THEIRS = 20 };

struct rollback {
	struct vcr_tool *t;
	const char *to;
	bool list, dry_run, force, undo, redo, mtimes;
	struct vcr_opt_list paths;
	char **inside;                /* the same, relative to the workspace */
	int64_t last_ns, began_ns;
	struct vcr_reader *in;
	struct vcr_buf workspace, state, vcr_dir;
	struct vcr_store *store;
	struct vcr_leaves *leaves;    /* what .vcr/config says is to be left alone */
	struct vcr_rollback_where where;
	struct vcr_rollback plan;
	char session[104];
	struct vcr_error e;
	int lock;
};

/* ---- Where to ---- */

/* The commit that a frame carries; false if none. */
static bool frame_savepoint(struct vcr_reader *in, int64_t index, struct vcr_buf *commit)
{
	struct vcr_reader_frame f;
	if (vcr_reader_frame(in, index, &f, NULL))
		return false;
	vcr_buf_reset(commit);
	return (f.vcr >= 0 && !vcr_json_str(f.j, vcr_json_get(f.j, f.vcr, "savepoint"), commit)) ||
		(!strcmp(f.node_name, "savepoint") && !vcr_json_str(f.j, vcr_json_get(f.j, f.output, "commit"), commit));
}

/* A step's savepoint: its own, or the last one before it. */
static int step_savepoint(struct rollback *r, struct vcr_reader *in, struct vcr_savepoint *out)
{
	VCR_AUTO_BUF commit = VCR_BUF_INIT;
	int64_t index;
	int err = vcr_reader_resolve(in, r->to, &index, &r->e);
	for (; !err && index >= 0; index--)
		if (frame_savepoint(in, index, &commit))
			return vcr_store_get_commit(r->store, commit.data, out, &r->e);
	return err ? err : vcr_store_get(r->store, r->session, 0, out, &r->e);
}

static int find_target(struct rollback *r, struct vcr_reader *in, struct vcr_savepoint *out)
{
	if (!strcmp(r->to, "start"))
		return vcr_store_get(r->store, r->session, 0, out, &r->e);
	if (!strcmp(r->to, "end"))
		return vcr_store_get(r->store, r->session, -1, out, &r->e);
	return step_savepoint(r, in, out);
}

/* ---- The workspace ---- */

static int open_workspace(struct rollback *r)
{
	struct vcr_store_options o = { 0 };
	if (vcr_tool_dir(r->t, &r->vcr_dir, &r->e) || vcr_paths_workspace(".", &r->workspace, &r->e) || vcr_paths_state_dir(r->workspace.data, &r->state, &r->e))
		return vcr_failed(r->t, &r->e);
	o.workspace = r->workspace.data;
	o.state_dir = r->state.data;
	o.vcr_dir = r->vcr_dir.data;
	o.session = *r->session ? r->session : NULL;
	if (vcr_leaves_configured(&r->leaves, r->workspace.data, r->vcr_dir.data, &r->e))
		return vcr_failed(r->t, &r->e);
	o.leave_out = vcr_leaves_out;
	o.ctx = r->leaves;
	if (vcr_rollback_lock(r->state.data, &r->lock, &r->e) || vcr_store_open(&r->store, &o, &r->e))
		return vcr_failed(r->t, &r->e);
	r->where = (struct vcr_rollback_where){ .store = r->store, .workspace = r->workspace.data, .state_dir = r->state.data, .session = r->session, .vcr_dir = r->vcr_dir.data };
	r->where.leave_ignored = vcr_leaves_ignored(r->leaves);
	return 0;
}

/* What a killed rollback left is finished first. */
static int recover(struct rollback *r)
{
	VCR_AUTO_BUF skipped = VCR_BUF_INIT;
	bool finished;
	if (vcr_rollback_recover(&r->where, &finished, &skipped, &r->e))
		return vcr_failed(r->t, &r->e);
	if (finished && !r->t->quiet)
		vcr_say(r->t, "a rollback that was interrupted has been finished; --undo takes it back");
	for (char *p = skipped.data; *p; p += strcspn(p, "\n") + 1)
		vcr_say(r->t, "%.*s was changed since and is left", (int)strcspn(p, "\n"), p);
	return 0;
}

/* How many processes of the session live; -1: its collector has ended. */
static int64_t processes_of(const char *session)
{
	VCR_AUTO_BUF answer = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int64_t n = -1;
	if (!vcr_control_ask(session, "{\"op\":\"status\"}", &answer, 2000, NULL) && !vcr_json_parse(&j, answer.data, answer.len, 0, NULL))
		vcr_json_int(&j, vcr_json_get(&j, 0, "processes"), &n);
	return n;
}

/* The last savepoint is taken when the session ends, a moment after its last process. 0, or an exit status. */
static int await_end(struct rollback *r)
{
	VCR_AUTO_BUF answer = VCR_BUF_INIT;
	int64_t n = 0;
	for (int waited = 0; waited < END_MS && (n = processes_of(r->session)) == 0; waited += 5)
		usleep(5000);
	if (n < 0)
		return 0;
	if (!r->force && !r->dry_run) {
		vcr_say(r->t, "session %s still runs; end it first, or say --force", r->session);
		return VCR_EXIT_NO;
	}
	if (!r->dry_run && vcr_control_ask(r->session, "{\"op\":\"savepoint\",\"message\":\"before a rollback\"}", &answer, 10000, &r->e))
		return vcr_failed(r->t, &r->e);
	return 0;
}

/* ---- Some paths only ---- */

/* A path as it is given, relative to here and perhaps to what is not there any more, as one relative to the workspace. 0 or an exit status. */
static int inside(struct rollback *r, const char *given, char **out)
{
	VCR_AUTO_BUF full = VCR_BUF_INIT, clean = VCR_BUF_INIT;
	char here[VCR_MAX_PATH];
	size_t n = r->workspace.len;
	if (*given != '/')
		vcr_buf_printf(&full, "%s/", getcwd(here, sizeof here) ? here : "");
	vcr_buf_puts(&full, given);
	for (char *save, *part = strtok_r(full.data, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		if (!strcmp(part, ".."))
			vcr_buf_cut(&clean, strrchr(clean.data, '/') ? (size_t)(strrchr(clean.data, '/') - clean.data) : 0);
		else if (strcmp(part, "."))
			vcr_buf_printf(&clean, "/%s", part);
	}
	bool in = !strncmp(clean.data, r->workspace.data, n) && (!clean.data[n] || clean.data[n] == '/');
	if (!in || (clean.data[n] && !vcr_beneath_valid(clean.data + n + 1)))
		return vcr_wrong_call(r->t, "--path %s is not in the workspace %s", given, r->workspace.data);
	*out = strdup(clean.data[n] ? clean.data + n + 1 : "");
	return *out ? 0 : VCR_EXIT_FAILED;
}

static int find_inside(struct rollback *r)
{
	int status = 0;
	r->inside = calloc((size_t)r->paths.n + 1, sizeof *r->inside);
	for (int i = 0; r->inside && !status && i < r->paths.n; i++)
		status = inside(r, r->paths.item[i], &r->inside[i]);
	return r->inside ? status : VCR_EXIT_FAILED;
}

static void choose_paths(struct rollback *r)
{
	bool *hit = calloc((size_t)r->paths.n + 1, sizeof *hit);
	if (hit && r->paths.n)
		vcr_rollback_only(&r->plan, (const char *const *)r->inside, (size_t)r->paths.n, hit);
	for (int i = 0; hit && i < r->paths.n; i++)
		if (!hit[i] && !r->t->quiet)
			vcr_say(r->t, "%s: nothing there differs between then and the last savepoint", r->paths.item[i]);
	free(hit);
}

/* ---- Other sessions in the same tree ---- */

struct knowing { struct rollback *r; struct vcr_who_index own, others; size_t theirs; };

/* What only another session's programs changed is theirs and stays; what both did is not for one of them to take back. */
static enum vcr_rollback_state judge_owner(void *ctx, const struct vcr_rollback_item *i)
{
	struct knowing *k = ctx;
	const struct vcr_who *other = vcr_who_find(&k->others, i->path);
	VCR_AUTO_BUF path = VCR_BUF_INIT, id = VCR_BUF_INIT;
	if (!other)
		return VCR_ROLLBACK_DO;
	if (vcr_who_find(&k->own, i->path))
		return k->r->force ? VCR_ROLLBACK_DO : VCR_ROLLBACK_FOREIGN;
	vcr_safe(&path, i->path, strlen(i->path), 0);
	vcr_safe(&id, other->session, strlen(other->session), 0);
	if (k->theirs++ < MAX_THEIRS && !k->r->t->quiet)
		vcr_say(k->r->t, "%s stays: it was changed by session %s, at the same time", path.data, id.data);
	return VCR_ROLLBACK_DONE;
}

/* A transaction is of everybody's changes. Of others only what hooks have seen counts, since this session began. */
static void leave_others(struct rollback *r)
{
	struct knowing k = { .r = r };
	struct vcr_savepoint first, second;
	if (vcr_store_get(r->store, r->session, 0, &first, NULL) || (!vcr_store_get(r->store, r->session, 1, &second, NULL) && !strcmp(second.kind, "begin")))
		return;
	r->began_ns = first.time_ns;
	vcr_who_add_others(&k.others, r->vcr_dir.data, r->session, first.time_ns);
	if (k.others.n) {
		vcr_who_add(&k.own, r->in, r->session, INT64_MIN);
		vcr_rollback_know(&r->plan, judge_owner, &k);
	}
	if (k.theirs > MAX_THEIRS && !r->t->quiet)
		vcr_say(r->t, "and %zu more paths of other sessions stay", k.theirs - MAX_THEIRS);
	vcr_who_release(&k.own);
	vcr_who_release(&k.others);
}

/* ---- Doing it ---- */

static size_t count_wanted(const struct vcr_rollback_call *c)
{
	size_t n = 0;
	for (size_t i = 0; i < c->plan->n; i++)
		n += vcr_rollback_does(c, &c->plan->item[i]);
	return n;
}

static int tell(struct rollback *r, struct vcr_rollback_call *c, size_t foreign, size_t wanted, const char *target)
{
	const struct vcr_rollback *p = &r->plan;
	for (size_t i = 0; i < p->n; i++)
		if (r->t->json || r->dry_run || r->t->verbose || (foreign ? p->item[i].state == VCR_ROLLBACK_FOREIGN : p->item[i].state != VCR_ROLLBACK_DO))
			vcr_rollback_tell_item(c, &p->item[i]);
	if (foreign && !r->dry_run) {
		vcr_say(r->t, "%zu path%s changed by somebody else since the session; nothing was done. --force overwrites them (and --undo brings them back)", foreign,
			foreign == 1 ? " was" : "s were");
		return VCR_EXIT_NO;
	}
	if (p->unset && !r->t->quiet)
		vcr_say(r->t, "%zu could not be given all extended attributes: that is not permitted here", p->unset);
	vcr_rollback_tell_times(c);
	if (!r->t->quiet)
		vcr_rollback_tell_holders(c);
	vcr_rollback_tell_end(c, wanted, target);
	return foreign || p->count[VCR_ROLLBACK_LOST] || p->count[VCR_ROLLBACK_LEFT] ? VCR_EXIT_NO : VCR_EXIT_YES;
}

static int carry_out(struct rollback *r, const char *target)
{
	struct vcr_rollback_call c = { .t = r->t, .dry_run = r->dry_run, .force = r->force, .workspace = r->workspace.data, .vcr_dir = r->vcr_dir.data,
		.last_ns = r->began_ns ? r->began_ns : r->last_ns, .store = r->store, .in = r->in, .plan = &r->plan, .all_holders = true };
	size_t foreign = r->force ? 0 : r->plan.count[VCR_ROLLBACK_FOREIGN], wanted = count_wanted(&c);
	strcpy(c.session, r->session);
	if (wanted && (!foreign || r->dry_run) && !r->t->quiet)
		vcr_rollback_find_holders(&c);
	bool does = !foreign && !r->dry_run && wanted;
	if (does)
		vcr_times_see(&r->plan, &r->where);
	int err = does ? vcr_rollback_apply(&r->plan, &r->where, r->force, target, &r->e) : 0;
	if (does && !err)
		vcr_times_keep_undo(&r->plan, &r->where, NULL); /* else they are not known, which an undo says that wants them */
	int status = err ? vcr_failed(r->t, &r->e) : tell(r, &c, foreign, wanted, target);
	vcr_rollback_forget(&c);
	return status;
}

/* Take back what was done last: a rollback, or with --redo an undo. */
static int undo(struct rollback *r)
{
	struct vcr_savepoint before, after;
	int status = open_workspace(r);
	if (status || (status = recover(r)))
		return status;
	if (vcr_rollback_undoable(r->store, r->redo, &before, &after, &r->e)) {
		vcr_say(r->t, r->e.code != VCR_ENOTFOUND ? "%s" : r->redo ? "there is no undo in this workspace that could be taken back" : "there is no rollback in this workspace that could be undone",
			r->e.what);
		return r->e.code == VCR_ENOTFOUND ? VCR_EXIT_NO : VCR_EXIT_FAILED;
	}
	strcpy(r->session, before.session);
	r->last_ns = after.time_ns;
	r->where.kind = r->redo ? "redo" : "undo";
	r->where.keep_attrs = !before.attrs;
	if (vcr_rollback_plan(&r->plan, &r->where, after.tree, NULL, before.tree, &r->e))
		return vcr_failed(r->t, &r->e);
	if (r->mtimes && vcr_times_plan_undo(&r->plan, &r->where, &before, &r->e))
		return vcr_failed(r->t, &r->e);
	return carry_out(r, r->redo ? "the state before the last undo" : "the state before the last rollback");
}

static void list_json(const struct vcr_savepoint *p)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT, when = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_words_iso(&when, p->time_ns);
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "savepoint");
	vcr_jw_int(&w, p->n);
	const struct { const char *key, *s; } strings[] = { { "commit", p->commit }, { "kind", p->kind }, { "time", when.data }, { "frame_id", *p->frame_id ? p->frame_id : NULL },
		{ "message", p->message } };
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
		vcr_jw_key(&w, strings[i].key);
		vcr_jw_str(&w, strings[i].s);
	}
	vcr_jw_key(&w, "unstable");
	vcr_jw_bool(&w, p->flags & VCR_SAVEPOINT_UNSTABLE);
	vcr_jw_key(&w, "limited");
	vcr_jw_bool(&w, p->flags & VCR_SAVEPOINT_LIMITED);
	vcr_jw_object_end(&w);
	printf("%s\n", out.data);
}

static int count_path(void *ctx, const char *path, const struct vcr_entry *a, const struct vcr_entry *b)
{
	++*(size_t *)ctx;
	return 0;
}

static int list(struct rollback *r)
{
	struct vcr_savepoint p, last;
	int err = vcr_store_get(r->store, r->session, -1, &last, &r->e);
	char before[41] = "";
	for (int64_t n = 0; !err && n <= last.n; n++) {
		VCR_AUTO_BUF when = VCR_BUF_INIT, message = VCR_BUF_INIT;
		size_t paths = 0;
		if ((err = vcr_store_get(r->store, r->session, n, &p, &r->e)) || (*before && (err = vcr_store_diff(r->store, before, p.tree, count_path, &paths, &r->e))))
			break;
		strcpy(before, p.tree);
		if (r->t->json) {
			list_json(&p);
			continue;
		}
		vcr_words_time(&when, p.time_ns, "%Y-%m-%d %H:%M:%S");
		vcr_safe(&message, p.message, strlen(p.message), 0);
		printf("%s%4lld%s  %s  @%lld.%03lld  %-6s  %3zu path%s  %s%s%s\n", vcr_on(r->t, VCR_BOLD), (long long)p.n, vcr_on(r->t, VCR_PLAIN), when.data,
			(long long)(p.time_ns / 1000000000), (long long)(p.time_ns / 1000000 % 1000), p.kind, paths, paths == 1 ? " " : "s", message.data,
			p.flags & VCR_SAVEPOINT_UNSTABLE ? "  (a file changed while it was read)" : "", p.flags & VCR_SAVEPOINT_LIMITED ? "  (something was too large to be kept)" : "");
	}
	return err ? vcr_failed(r->t, &r->e) : VCR_EXIT_YES;
}

static int roll_back(struct rollback *r, const char *name)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, target = VCR_BUF_INIT;
	VCR_AUTO_READER *in = NULL;
	struct vcr_savepoint to, last, before, after;
	int status = vcr_tool_open_session(r->t, name, &in, &path);
	if (status)
		return status;
	r->in = in;
	snprintf(r->session, sizeof r->session, "%s", vcr_reader_session(in)->session_id);
	if ((status = open_workspace(r)) || (status = find_inside(r)))
		return status;
	if (r->list)
		return list(r);
	if (!r->dry_run && (status = recover(r)))
		return status;
	if ((status = await_end(r)))
		return status;
	if (find_target(r, in, &to) || vcr_store_get(r->store, r->session, -1, &last, &r->e))
		return vcr_failed(r->t, &r->e);
	if (to.flags & VCR_SAVEPOINT_UNSTABLE && !r->t->quiet)
		vcr_say(r->t, "files were being changed while that savepoint was taken: some may be of a moment later");
	bool also = !vcr_rollback_last(r->store, &before, &after, NULL) && !strcmp(after.session, r->session) && after.time_ns > last.time_ns;
	r->where.keep_attrs = !to.attrs;
	if (vcr_rollback_plan(&r->plan, &r->where, last.tree, also ? after.tree : NULL, to.tree, &r->e))
		return vcr_failed(r->t, &r->e);
	r->last_ns = also ? after.time_ns : last.time_ns;
	choose_paths(r);
	leave_others(r);
	if (r->mtimes && vcr_times_plan(&r->plan, &r->where, *to.session ? to.session : r->session, &to, &r->e))
		return vcr_failed(r->t, &r->e);
	vcr_buf_printf(&target, "%s of session %s", strcmp(r->to, "start") && strcmp(r->to, "end") ? r->to : !strcmp(r->to, "start") ? "the start" : "the end", r->session);
	return carry_out(r, target.data);
}

/* What is wrong with the call, or NULL. */
static const char *check_call(const struct rollback *r, int n)
{
	if (n > 1)
		return "one session at a time";
	if (r->undo && r->redo)
		return "--undo or --redo";
	if ((r->undo || r->redo) && (n || r->to || r->list || r->paths.n))
		return r->undo ? "--undo takes the last rollback back, whatever its session: no SESSION, --to, --path or --list" : "--redo takes the last undo back: no SESSION, --to, --path or --list";
	return r->list && (r->to || r->dry_run || r->force || r->mtimes || r->paths.n) ? "--list only lists" : NULL;
}

int vcr_verb_rollback(struct vcr_tool *t, int argc, char **argv)
{
	struct rollback r = { .t = t, .to = NULL, .workspace = VCR_BUF_INIT, .state = VCR_BUF_INIT, .vcr_dir = VCR_BUF_INIT, .lock = -1 };
	const struct vcr_opt opts[] = {
		{ 't', "to", "STEP", VCR_OPT_STRING, &r.to, "a frame N, call:K, start, end, @TIME; start unless given" },
		{ 'p', "path", "PATH", VCR_OPT_LIST, &r.paths, "only this file, or what is in this directory; may be given several times" },
		{ 'l', "list", NULL, VCR_OPT_FLAG, &r.list, "list the session's savepoints" },
		{ 'n', "dry-run", NULL, VCR_OPT_FLAG, &r.dry_run, "say what would be done" },
		{ 'f', "force", NULL, VCR_OPT_FLAG, &r.force, "overwrite what somebody else changed since; do not wait for the session's end" },
		{ 0, "mtimes", NULL, VCR_OPT_FLAG, &r.mtimes, "put back the modification times of these files too; make may then not build anew what has to be" },
		{ 'u', "undo", NULL, VCR_OPT_FLAG, &r.undo, "take the last rollback back; again: the one before it" },
		{ 'r', "redo", NULL, VCR_OPT_FLAG, &r.redo, "take the last --undo back" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "[SESSION]", "Put the files back as they were at the start of a session, or at one of its steps. What is there now is kept for --undo.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		return status;
	const char *wrong = check_call(&r, n);
	if (!r.to)
		r.to = "start";
	status = wrong ? vcr_wrong_call(t, "%s", wrong) : r.undo || r.redo ? undo(&r) : roll_back(&r, n ? argv[0] : NULL);
	for (int i = 0; r.inside && i < r.paths.n; i++)
		free(r.inside[i]);
	free(r.inside);
	vcr_opt_list_release(&r.paths);
	vcr_rollback_release(&r.plan);
	vcr_store_free(r.store);
	vcr_leaves_free(r.leaves);
	if (r.lock >= 0)
		close(r.lock);
	vcr_buf_release(&r.workspace);
	vcr_buf_release(&r.state);
	vcr_buf_release(&r.vcr_dir);
	return status;
}
