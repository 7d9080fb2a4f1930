/* vcr rollback — the files as they were at a step of a session. */
#include "control.h"
#include "open.h"
#include "options.h"
#include "paths.h"
#include "rollback.h"
#include "verbs.h"
#include "words.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { END_MS = 5000 };

struct rollback {
	struct vcr_tool *t;
	const char *to;
	bool list, dry_run, force, undo;
	struct vcr_buf workspace, state, vcr_dir;
	struct vcr_store *store;
	struct vcr_rollback_where where;
	struct vcr_rollback plan;
	char session[104];
	struct vcr_error e;
	int lock;
};

/* ---- Words ---- */

static const char *action_of(const struct vcr_rollback_item *i)
{
	unsigned now = i->now.mode & VCR_ENTRY_TYPE, to = i->to.mode & VCR_ENTRY_TYPE;
	if (!to)
		return "remove";
	if (now != to)
		return now ? "replace" : "create";
	return to == VCR_ENTRY_DIR || !memcmp(i->now.oid, i->to.oid, VCR_OID) ? "mode" : "restore";
}

static const char *state_name(enum vcr_rollback_state s)
{
	static const char *const names[] = { "do", "done", "foreign", "lost", "left" };
	return names[s];
}

static const char *why(const struct vcr_rollback_item *i)
{
	unsigned now = i->now.mode & VCR_ENTRY_TYPE;
	switch (i->state) {
	case VCR_ROLLBACK_FOREIGN:
		return i->now.mode ? "changed by somebody else since" : "removed by somebody else since";
	case VCR_ROLLBACK_LOST:
		return "its content was not kept: too large, or in a directory that is not looked into";
	case VCR_ROLLBACK_LEFT:
		return now == VCR_ENTRY_DIR ? "stays: there is something in it that no savepoint knows" : "stays: its content is not kept, so it could not come back";
	default: return "";
	}
}

static void print_item_json(const struct vcr_rollback_item *i, const char *state)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_jw w;
	char mode[16];
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "path");
	vcr_jw_str(&w, i->path);
	vcr_jw_key(&w, "action");
	vcr_jw_str(&w, action_of(i));
	vcr_jw_key(&w, "state");
	vcr_jw_str(&w, state);
	vcr_jw_key(&w, "mode");
	snprintf(mode, sizeof mode, "%06o", i->to.mode);
	vcr_jw_str(&w, i->to.mode ? mode : NULL);
	vcr_jw_object_end(&w);
	printf("%s\n", out.data);
}

static void print_item(const struct rollback *r, const struct vcr_rollback_item *i)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	bool good = i->state == VCR_ROLLBACK_DO || (r->force && i->state == VCR_ROLLBACK_FOREIGN && !i->blocked);
	if (i->state == VCR_ROLLBACK_DONE)
		return;
	if (r->t->json) {
		print_item_json(i, good ? "do" : state_name(i->state));
		return;
	}
	vcr_safe(&path, i->path, strlen(i->path), 0);
	if (good)
		printf("%s%-8s%s %s%s\n", vcr_on(r->t, strcmp(action_of(i), "remove") ? VCR_GREEN : VCR_YELLOW), action_of(i), vcr_on(r->t, VCR_PLAIN), path.data,
			i->state == VCR_ROLLBACK_FOREIGN ? "  (over a foreign edit)" : "");
	else
		printf("%s%-8s%s %s  (%s)\n", vcr_on(r->t, VCR_RED), state_name(i->state), vcr_on(r->t, VCR_PLAIN), path.data, why(i));
}

/* A summary object, or a line. */
static void print_end(const struct rollback *r, size_t changed, const char *target)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	const struct vcr_rollback *p = &r->plan;
	struct vcr_jw w;
	if (r->t->json) {
		const struct { const char *key; size_t n; } counts[] = { { "changed", changed }, { "foreign", p->count[VCR_ROLLBACK_FOREIGN] }, { "lost", p->count[VCR_ROLLBACK_LOST] },
			{ "left", p->count[VCR_ROLLBACK_LEFT] } };
		vcr_jw_init(&w, &out);
		vcr_jw_object(&w);
		vcr_jw_key(&w, "session");
		vcr_jw_str(&w, r->session);
		vcr_jw_key(&w, "target");
		vcr_jw_str(&w, target);
		vcr_jw_key(&w, "dry_run");
		vcr_jw_bool(&w, r->dry_run);
		for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
			vcr_jw_key(&w, counts[i].key);
			vcr_jw_int(&w, (int64_t)counts[i].n);
		}
		vcr_jw_object_end(&w);
		printf("%s\n", out.data);
	} else if (!r->t->quiet && !changed) {
		printf("%s already: nothing %s\n", target, r->dry_run ? "would change" : "changed");
	} else if (!r->t->quiet) {
		printf("%zu path%s %s %s%s\n", changed, changed == 1 ? "" : "s", r->dry_run ? "would be put back to" : "put back to", target,
			r->dry_run ? "" : "; vcr-rollback --undo takes it back");
	}
}

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
	if (vcr_rollback_lock(r->state.data, &r->lock, &r->e) || vcr_store_open(&r->store, &o, &r->e))
		return vcr_failed(r->t, &r->e);
	r->where = (struct vcr_rollback_where){ r->store, r->workspace.data, r->state.data, r->session, r->vcr_dir.data };
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

/* ---- Doing it ---- */

static size_t count_wanted(const struct rollback *r)
{
	size_t n = 0;
	for (size_t i = 0; i < r->plan.n; i++) {
		const struct vcr_rollback_item *it = &r->plan.item[i];
		n += it->state == VCR_ROLLBACK_DO || (r->force && it->state == VCR_ROLLBACK_FOREIGN && !it->blocked);
	}
	return n;
}

static int carry_out(struct rollback *r, const char *target)
{
	const struct vcr_rollback *p = &r->plan;
	size_t foreign = r->force ? 0 : p->count[VCR_ROLLBACK_FOREIGN], wanted = count_wanted(r);
	if (!foreign && !r->dry_run && wanted && vcr_rollback_apply(&r->plan, &r->where, r->force, target, &r->e))
		return vcr_failed(r->t, &r->e);
	for (size_t i = 0; i < p->n; i++)
		if (r->t->json || r->dry_run || r->t->verbose || (foreign ? p->item[i].state == VCR_ROLLBACK_FOREIGN : p->item[i].state != VCR_ROLLBACK_DO))
			print_item(r, &p->item[i]);
	if (foreign && !r->dry_run) {
		vcr_say(r->t, "%zu path%s changed by somebody else since the session; nothing was done. --force overwrites them (and --undo brings them back)", foreign,
			foreign == 1 ? " was" : "s were");
		return VCR_EXIT_NO;
	}
	print_end(r, wanted, target);
	return foreign || p->count[VCR_ROLLBACK_LOST] || p->count[VCR_ROLLBACK_LEFT] ? VCR_EXIT_NO : VCR_EXIT_YES;
}

static int undo(struct rollback *r)
{
	struct vcr_savepoint before, after;
	VCR_AUTO_BUF target = VCR_BUF_INIT;
	int status = open_workspace(r);
	if (status || (status = recover(r)))
		return status;
	if (vcr_rollback_last(r->store, &before, &after, &r->e)) {
		vcr_say(r->t, r->e.code == VCR_ENOTFOUND ? "there is no rollback in this workspace that could be undone" : "%s", r->e.what);
		return r->e.code == VCR_ENOTFOUND ? VCR_EXIT_NO : VCR_EXIT_FAILED;
	}
	strcpy(r->session, before.session);
	vcr_buf_puts(&target, "the state before the last rollback");
	if (vcr_rollback_plan(&r->plan, &r->where, after.tree, NULL, before.tree, &r->e))
		return vcr_failed(r->t, &r->e);
	return carry_out(r, target.data);
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
	snprintf(r->session, sizeof r->session, "%s", vcr_reader_session(in)->session_id);
	if ((status = open_workspace(r)))
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
	if (vcr_rollback_plan(&r->plan, &r->where, last.tree, also ? after.tree : NULL, to.tree, &r->e))
		return vcr_failed(r->t, &r->e);
	vcr_buf_printf(&target, "%s of session %s", strcmp(r->to, "start") && strcmp(r->to, "end") ? r->to : !strcmp(r->to, "start") ? "the start" : "the end", r->session);
	return carry_out(r, target.data);
}

int vcr_verb_rollback(struct vcr_tool *t, int argc, char **argv)
{
	struct rollback r = { .t = t, .to = NULL, .workspace = VCR_BUF_INIT, .state = VCR_BUF_INIT, .vcr_dir = VCR_BUF_INIT, .lock = -1 };
	const struct vcr_opt opts[] = {
		{ 't', "to", "STEP", VCR_OPT_STRING, &r.to, "a frame N, call:K, start, end, @TIME; start unless given" },
		{ 'l', "list", NULL, VCR_OPT_FLAG, &r.list, "list the session's savepoints" },
		{ 'n', "dry-run", NULL, VCR_OPT_FLAG, &r.dry_run, "say what would be done" },
		{ 'f', "force", NULL, VCR_OPT_FLAG, &r.force, "overwrite what somebody else changed since; do not wait for the session's end" },
		{ 'u', "undo", NULL, VCR_OPT_FLAG, &r.undo, "take the last rollback back" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "[SESSION]", "Put the files back as they were at the start of a session, or at one of its steps. What is there now is kept for --undo.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		return status;
	if (n > 1)
		return vcr_wrong_call(t, "one session at a time");
	if (r.undo && (n || r.to || r.list))
		return vcr_wrong_call(t, "--undo takes the last rollback back, whatever its session: no SESSION, --to or --list");
	if (r.list && (r.to || r.dry_run || r.force))
		return vcr_wrong_call(t, "--list only lists");
	if (!r.to)
		r.to = "start";
	status = r.undo ? undo(&r) : roll_back(&r, n ? argv[0] : NULL);
	vcr_rollback_release(&r.plan);
	vcr_store_free(r.store);
	if (r.lock >= 0)
		close(r.lock);
	vcr_buf_release(&r.workspace);
	vcr_buf_release(&r.state);
	vcr_buf_release(&r.vcr_dir);
	return status;
}
