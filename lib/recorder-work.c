/* recorder-work.c — file changes and programs become frames. */
#include "recorder-parts.h"
#include "agent.h"
#include "diff.h"
#include "program.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* ---- Files ---- */

void vcr_recorder_write_state(struct vcr_jw *w, const struct vcr_file_state *s)
{
	char mode[16];
	if (!s->exists) {
		vcr_jw_null(w);
		return;
	}
	snprintf(mode, sizeof mode, "%06o", s->mode);
	vcr_jw_object(w);
	vcr_jw_key(w, "size");
	vcr_jw_int(w, s->size);
	vcr_jw_key(w, "mode");
	vcr_jw_str(w, mode);
	if (*s->sha256) {
		vcr_jw_key(w, "sha256");
		vcr_jw_str(w, s->sha256);
	}
	vcr_jw_object_end(w);
}

static void write_path(struct vcr_recorder *r, struct vcr_jw *w, const char *key, const char *path)
{
	if (!path)
		return;
	vcr_jw_key(w, key);
	vcr_recorder_redacted(r, w, path, strlen(path));
}

/* The content afterwards as a body, and the diff of a text. */
static void write_content(struct vcr_recorder *r, struct vcr_jw *w, const struct vcr_change *c)
{
	const struct vcr_file_state *a = &c->before, *b = &c->after;
	bool text = (!a->exists || (a->content && vcr_diff_is_text(a->content, a->len))) && (!b->exists || (b->content && vcr_diff_is_text(b->content, b->len)));
	VCR_AUTO_BUF old = VCR_BUF_INIT, new = VCR_BUF_INIT, diff = VCR_BUF_INIT, name = VCR_BUF_INIT;
	char ref[40] = "";
	if (c->withheld || (!a->exists && !b->exists))
		return;
	if (a->exists && a->content)
		vcr_redact(r->redact, a->content, a->len, &old, NULL);
	if (b->exists && b->content)
		vcr_redact(r->redact, b->content, b->len, &new, NULL);
	vcr_redact(r->redact, c->path, strlen(c->path), &name, NULL);
	if (b->exists && b->content && vcr_recorder_ready(r) && !vcr_session_add_body(r->session, "", NULL, new.data, new.len, ref, &r->last_error)) {
		vcr_jw_key(w, "content");
		vcr_jw_str(w, ref);
	}
	if (text && !c->before_unknown && !vcr_diff_unified(&diff, name.data, a->exists ? old.data : NULL, old.len, name.data, b->exists ? new.data : NULL, new.len) && diff.len) {
		vcr_jw_key(w, "diff");
		vcr_jw_strn(w, diff.data, diff.len);
	}
}

static const char *node_of(enum vcr_change_kind kind)
{
	switch (kind) {
	case VCR_CHANGE_RENAME: return "file:rename";
	case VCR_CHANGE_DELETE: return "file:delete";
	case VCR_CHANGE_MODE: return "file:mode";
	case VCR_CHANGE_LINK: return "file:link";
	case VCR_CHANGE_MKDIR: return "file:mkdir";
	case VCR_CHANGE_RMDIR: return "file:rmdir";
	default: return "file:write";
	}
}

static void write_work_meta(struct vcr_recorder *r, struct vcr_jw *w, int pid, uint64_t seq, const char *source, uint64_t start_ns)
{
	struct process *p = vcr_recorder_process(r, pid, false);
	char when[40];
	vcr_jw_key(w, "seq");
	vcr_jw_int(w, (int64_t)seq);
	if (pid > 0) {
		vcr_jw_key(w, "pid");
		vcr_jw_int(w, pid);
	}
	if (p && p->program) {
		vcr_jw_key(w, "program");
		vcr_jw_str(w, p->program);
	}
	vcr_jw_key(w, "source");
	vcr_jw_str(w, source);
	const char *node = vcr_recorder_node(r, pid, 0);
	if (node) {
		vcr_jw_key(w, "node");
		vcr_jw_str(w, node);
	}
	if (start_ns) {
		vcr_recorder_time(r, start_ns, when);
		vcr_jw_key(w, "started_at");
		vcr_jw_str(w, when);
	}
}

static void put_tool(struct vcr_recorder *r, struct vcr_jw *w, int pid)
{
	const char *tool = vcr_recorder_tool_of(r, pid);
	if (!tool)
		return;
	vcr_jw_key(w, "tool_run");
	vcr_jw_str(w, tool);
}

int vcr_recorder_change(void *recorder, const struct vcr_change *c)
{
	static const char *const source[] = { "shim", "watch", "scan" };
	struct vcr_recorder *r = recorder;
	VCR_AUTO_BUF in = VCR_BUF_INIT, out = VCR_BUF_INIT, meta = VCR_BUF_INIT;
	struct vcr_jw w;
	if (c->withheld)
		vcr_recorder_learn_file(r, c->path);
	vcr_recorder_learn_content(r, c->before.content, c->before.len);
	vcr_recorder_learn_content(r, c->after.content, c->after.len);
	vcr_recorder_tests_change(r, c);
	vcr_recorder_dirty(r, c->path, c->kind == VCR_CHANGE_RENAME || c->kind == VCR_CHANGE_MKDIR);
	if (c->kind == VCR_CHANGE_RENAME)
		vcr_recorder_dirty(r, c->old_path, true);
	if (vcr_recorder_was_written(r, 'f', (uint64_t)c->first_ns, c->path))
		return 0;
	if (!r->session && c->source != VCR_SOURCE_SHIM)
		return 0; /* somebody else's change is no reason to begin a session */
	if (vcr_recorder_burst_take(r, c))
		return 0;
	vcr_jw_init(&w, &in);
	vcr_jw_object(&w);
	write_path(r, &w, "path", c->path);
	write_path(r, &w, c->kind == VCR_CHANGE_LINK ? "target" : "old_path", c->old_path);
	vcr_jw_key(&w, "before");
	vcr_recorder_write_state(&w, &c->before);
	vcr_jw_object_end(&w);
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "after");
	vcr_recorder_write_state(&w, &c->after);
	write_content(r, &w, c);
	vcr_jw_object_end(&w);
	struct vcr_recorder_owner owner;
	vcr_recorder_whose(r, c->pid, (uint64_t)c->first_ns, c->path, &owner);
	vcr_jw_init(&w, &meta);
	vcr_jw_object(&w);
	write_work_meta(r, &w, c->pid, (uint64_t)c->first_ns, source[c->source], (uint64_t)c->first_ns);
	vcr_recorder_put_owner(&w, &owner);
	put_tool(r, &w, c->pid);
	vcr_jw_key(&w, "writes");
	vcr_jw_int(&w, c->writes);
	if (c->transient) {
		vcr_jw_key(&w, "transient");
		vcr_jw_bool(&w, true);
	}
	if (c->before_unknown) {
		vcr_jw_key(&w, "before_unknown");
		vcr_jw_str(&w, "the collector that knew what stood there had died");
	}
	if (c->withheld) {
		vcr_jw_key(&w, "withheld");
		vcr_jw_str(&w, "a file that holds secrets: content and hash are not stored");
	}
	vcr_jw_object_end(&w);
	struct vcr_frame f = { .type = VCR_FRAME_TOOL, .node_name = node_of(c->kind), .parent_frame_id = owner.parent,
		.input_json = in.data, .output_json = out.data, .vcr_json = meta.data, .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1,
		.latency_ms = c->last_ns > c->first_ns ? (double)(c->last_ns - c->first_ns) / 1e6 : 0 };
	r->file_changes++;
	vcr_frame_new_id(f.frame_id);
	if (!vcr_recorder_frame(r, &f))
		vcr_recorder_sentinel_change(r, c, f.node_name, f.frame_id, &owner);
	return 0;
}

static void finish_exiting(struct vcr_recorder *r);

void vcr_recorder_sweep(struct vcr_recorder *r, int64_t upto_ns)
{
	vcr_recorder_learn_noted(r);
	if (r->files)
		vcr_files_sweep(r->files, upto_ns, vcr_recorder_change, r, &r->last_error);
	vcr_recorder_keep_times(r);
	vcr_recorder_outputs(r, false);
	finish_exiting(r);
	vcr_recorder_forget_ended(r);
}

/* ---- Programs ---- */

void vcr_recorder_run_release(struct run *run)
{
	for (int i = 0; i < run->argc; i++)
		free(run->argv[i]);
	free(run->argv);
	free(run->path);
	free(run->cwd);
	*run = (struct run){ 0 };
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

static void write_run_input(struct vcr_recorder *r, struct vcr_jw *w, const struct process *p)
{
	vcr_jw_object(w);
	vcr_jw_key(w, "argv");
	vcr_jw_array(w);
	for (int i = 0; i < p->run.argc; i++)
		vcr_recorder_redacted(r, w, p->run.argv[i], strlen(p->run.argv[i]));
	vcr_jw_array_end(w);
	write_path(r, w, "path", p->run.path);
	write_path(r, w, "cwd", p->run.cwd);
	vcr_jw_key(w, "pid");
	vcr_jw_int(w, p->pid);
	vcr_jw_key(w, "parent");
	vcr_jw_int(w, p->ppid);
	vcr_jw_object_end(w);
}

/* status: as waitpid reports it; NULL: unknown. replaced: another exec took its place. */
static void finish_run(struct vcr_recorder *r, struct process *p, const int32_t *status, bool replaced, uint64_t mono_ns)
{
	VCR_AUTO_BUF in = VCR_BUF_INIT, out = VCR_BUF_INIT, meta = VCR_BUF_INIT, node = VCR_BUF_INIT;
	struct vcr_jw w;
	if (p->run.path && p->run.confirmed)
		vcr_recorder_cover_run(r, p);
	if (p->run.path && p->run.confirmed && !vcr_recorder_was_written(r, 'x', p->run.seq, NULL)) {
		const char *name = base_name(p->run.path);
		vcr_buf_puts(&node, "exec:");
		vcr_redact(r->redact, name, strlen(name), &node, NULL);
		vcr_jw_init(&w, &in);
		write_run_input(r, &w, p);
		vcr_jw_init(&w, &out);
		vcr_jw_object(&w);
		bool signalled = status && WIFSIGNALED(*status);
		vcr_jw_key(&w, signalled ? "signal" : "exit_code");
		if (status)
			vcr_jw_int(&w, signalled ? WTERMSIG(*status) : WEXITSTATUS(*status));
		else
			vcr_jw_null(&w);
		if (replaced) {
			vcr_jw_key(&w, "replaced");
			vcr_jw_bool(&w, true);
		}
		vcr_jw_object_end(&w);
		struct vcr_recorder_owner owner;
		vcr_recorder_whose_run(r, p, &owner);
		vcr_jw_init(&w, &meta);
		vcr_jw_object(&w);
		write_work_meta(r, &w, p->pid, p->run.seq, "shim", p->run.start_ns);
		vcr_recorder_put_owner(&w, &owner);
		put_tool(r, &w, p->pid);
		if (p->run.stood)
			vcr_recorder_put_stood(&w, p->run.stood);
		vcr_jw_object_end(&w);
		struct vcr_frame f = { .type = VCR_FRAME_TOOL, .node_name = node.data, .parent_frame_id = owner.parent,
			.input_json = in.data, .output_json = out.data, .vcr_json = meta.data, .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1,
			.latency_ms = mono_ns > p->run.start_ns ? (double)(mono_ns - p->run.start_ns) / 1e6 : 0 };
		if (p->run.stood)
			strcpy(f.frame_id, p->run.stood->id);
		r->programs++;
		if (!*f.frame_id)
			vcr_frame_new_id(f.frame_id);
		if (!vcr_recorder_frame(r, &f) && !replaced)
			vcr_recorder_sentinel_ran(r, &p->run, f.frame_id, status && !signalled && !WEXITSTATUS(*status));
	}
	if (p->under && (p->joined ? p->how_joined : p->how) != VCR_PROGRAM_TAKES)
		p->under->unseen = true;
	if (p->run.stood)
		vcr_recorder_tool_ended(r, p);
	vcr_recorder_run_release(&p->run);
}

static void close_run(struct vcr_recorder *r, struct process *p)
{
	p->run.confirmed = p->run.confirmed || p->exit_said;
	finish_run(r, p, p->exit_said ? &p->exit_status : NULL, false, p->exit_ns);
}

/* Those that have ended, after the files that they left. */
static void finish_exiting(struct vcr_recorder *r)
{
	for (struct process *p; (p = r->exiting);) {
		r->exiting = p->next_exiting;
		r->nexiting--;
		p->exiting = false;
		close_run(r, p);
	}
}

void vcr_recorder_exit(struct vcr_recorder *r, int pid, const int32_t *status, uint64_t mono_ns)
{
	struct process *p = vcr_recorder_process(r, pid, false);
	if (!p || !p->run.path || p->exiting)
		return;
	p->exit_said = status != NULL;
	p->exit_status = status ? *status : 0;
	p->exit_ns = p->ended_ns && p->ended_ns < mono_ns ? p->ended_ns : mono_ns;
	if (r->storm && r->nexiting < MAX_EXITING && vcr_recorder_is_behind(r)) {
		p->exiting = true;
		p->next_exiting = NULL;
		*(r->exiting ? &r->last_exiting->next_exiting : &r->exiting) = p;
		r->last_exiting = p;
		r->nexiting++;
		return;
	}
	vcr_recorder_sweep(r, (int64_t)mono_ns);
	close_run(r, p);
}

void vcr_recorder_storm(struct vcr_recorder *r, bool storm)
{
	r->storm = storm;
}

void vcr_recorder_settle(struct vcr_recorder *r)
{
	if (r->nexiting)
		vcr_recorder_sweep(r, (int64_t)r->last_exiting->exit_ns);
}

static char **copy_arguments(const struct vcr_spool_event *ev, size_t fixed, unsigned first, uint32_t argc, int *n)
{
	*n = 0;
	if (argc > 4096)
		argc = 4096;
	char **argv = calloc((size_t)argc + 1, sizeof *argv);
	const char *p = vcr_spool_string(ev, fixed, first), *end = ev->payload + ev->size;
	if (p < ev->payload || p > end)
		return argv;
	for (uint32_t i = 0; argv && i < argc && p < end; i++, p += strlen(p) + 1)
		if ((argv[*n] = strdup(p)))
			++*n;
	return argv;
}

/* It may have ended before its parent could say what it had started. */
static struct process *started(struct vcr_recorder *r, int pid)
{
	struct process *p = vcr_recorder_process(r, pid, true);
	if (!p || !p->ended_ns)
		return p;
	char *program = p->program ? strdup(p->program) : NULL;
	int ppid = p->ppid;
	struct vcr_recorder_stood *expected = p->expected, *under = p->under;
	vcr_recorder_forget_namesake(r, pid);
	if (!(p = vcr_recorder_process(r, pid, true))) {
		free(program);
		return NULL;
	}
	p->program = program;
	p->ppid = ppid;
	p->expected = expected;
	p->under = expected ? under : NULL;
	return p;
}

/* A program without the library (a static one) never says that it runs. One that has it will, by its executable's name. */
static void rename_program(struct process *p, const char *path, enum vcr_exec_kind kind)
{
	char *name = NULL;
	if (kind == VCR_EXEC_FAILED) {
		if (!p->before)
			return;
		name = p->before;
		p->before = NULL;
	} else if (kind == VCR_EXEC_REPLACE || !p->program) { /* the child of a spawn may have spoken before its parent does */
		name = strdup(base_name(path));
	}
	if (!name)
		return;
	if (kind == VCR_EXEC_REPLACE) {
		free(p->before);
		p->before = p->program;
	} else {
		free(p->program);
	}
	p->program = name;
}

/* Is a command searched for along PATH, one exec after the other, or is it the program's image that changes a second time? Only a
 * confirmed run is written when the next one begins. */
void vcr_recorder_exec(struct vcr_recorder *r, const struct vcr_spool_event *ev)
{
	struct vcr_rec_exec rec;
	if (ev->size < sizeof rec)
		return;
	memcpy(&rec, ev->payload, sizeof rec);
	struct process *p = started(r, rec.child);
	if (!p)
		return;
	bool early = rec.kind & VCR_EXEC_EARLY, tool = early || rec.kind & VCR_EXEC_TOOL;
	rec.kind &= ~(uint32_t)(VCR_EXEC_TOOL | VCR_EXEC_EARLY);
	if (rec.kind == VCR_EXEC_FAILED) {
		rename_program(p, "", rec.kind);
		if (!p->run.confirmed && p->run.stood)
			vcr_recorder_tool_failed(r, p);
		if (!p->run.confirmed)
			vcr_recorder_run_release(&p->run);
		return;
	}
	if (p->exiting) /* another one has its number already */
		vcr_recorder_sweep(r, (int64_t)p->exit_ns);
	if (p->run.path)
		finish_run(r, p, NULL, true, ev->time_ns);
	rename_program(p, vcr_spool_string(ev, sizeof rec, 0), rec.kind);
	p->run = (struct run){ .seq = ev->seq, .start_ns = ev->time_ns, .path = strdup(vcr_spool_string(ev, sizeof rec, 0)),
		.cwd = strdup(vcr_spool_string(ev, sizeof rec, 1)), .confirmed = rec.kind == VCR_EXEC_SPAWN };
	p->run.argv = copy_arguments(ev, sizeof rec, 2, rec.argc, &p->run.argc);
	vcr_recorder_command(r, rec.child, p->run.argc, p->run.argv);
	vcr_recorder_cover_exec(p, rec.kind == VCR_EXEC_REPLACE);
	if (!p->ppid)
		p->ppid = rec.child != ev->pid ? ev->pid : rec.kind == VCR_EXEC_REPLACE ? rec.error : 0;
	if (tool)
		vcr_recorder_tool_began(r, p, early);
	vcr_recorder_under(r, p);
	vcr_recorder_began(r, p, ev->time_ns);
	vcr_redact_learn_argv(r->redact, p->run.argc, (const char *const *)p->run.argv);
}

/* Of a bare preload nobody has looked at the command: its process says what it is, before the session's first line is written. */
static void say_agent(struct vcr_recorder *r, const char *exe, const char *cwd, int argc, char *const *argv)
{
	VCR_AUTO_BUF agent = VCR_BUF_INIT, text = VCR_BUF_INIT;
	struct vcr_jw w;
	if (r->session || r->source || r->spool->flags & VCR_SPOOL_BY_RECORD || vcr_agent_of_process(exe, cwd, argc, argv, &agent) || !agent.len)
		return;
	vcr_jw_init(&w, &text);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "agent");
	vcr_recorder_redacted(r, &w, agent.data, agent.len);
	vcr_jw_object_end(&w);
	char *json = vcr_buf_take(&text, NULL);
	if (!json)
		return;
	free(r->metadata_json); /* it has no other: vcr-record gives those */
	r->session_options.metadata_json = r->metadata_json = json;
}

void vcr_recorder_proc(struct vcr_recorder *r, const struct vcr_spool_event *ev)
{
	struct vcr_rec_proc rec;
	struct process *p = vcr_recorder_process(r, ev->pid, true);
	if (!p || ev->size < sizeof rec)
		return;
	memcpy(&rec, ev->payload, sizeof rec);
	if (p->exiting)
		vcr_recorder_sweep(r, (int64_t)p->exit_ns);
	p->ppid = rec.ppid;
	free(p->program);
	free(p->before);
	p->before = NULL;
	p->program = strdup(base_name(vcr_spool_string(ev, sizeof rec, 0)));
	vcr_recorder_cover_process(r, p, vcr_spool_string(ev, sizeof rec, 0));
	vcr_recorder_under(r, p);
	vcr_recorder_tool_expected(r, p);
	if (!*p->asked_by)
		vcr_recorder_began(r, p, ev->time_ns);
	if (p->run.path)
		p->run.confirmed = true;
	int argc;
	char **argv = copy_arguments(ev, sizeof rec, 2, rec.argc, &argc);
	vcr_redact_learn_argv(r->redact, argc, (const char *const *)argv);
	vcr_recorder_command(r, ev->pid, argc, argv);
	if (ev->pid == r->spool->root_pid)
		say_agent(r, vcr_spool_string(ev, sizeof rec, 0), vcr_spool_string(ev, sizeof rec, 1), argc, argv);
	if (rec.argc <= 4096)
		vcr_recorder_learn_variables(r, ev, vcr_spool_string(ev, sizeof rec, 2 + rec.argc));
	struct run scratch = { .argv = argv, .argc = argc };
	vcr_recorder_run_release(&scratch);
}

/* It says nothing of itself; what it forked from has said what it is, if anybody has. */
void vcr_recorder_seen(struct vcr_recorder *r, const struct vcr_spool_event *ev)
{
	struct vcr_rec_proc rec;
	struct process *p = vcr_recorder_process(r, ev->pid, true);
	const char *exe = vcr_spool_string(ev, sizeof rec, 0);
	if (!p || ev->size < sizeof rec)
		return;
	memcpy(&rec, ev->payload, sizeof rec);
	p->ppid = p->ppid ? p->ppid : rec.ppid;
	if (!p->program)
		p->program = strdup(base_name(exe));
	vcr_recorder_cover_seen(p, exe);
	if (!*p->asked_by)
		vcr_recorder_began(r, p, ev->time_ns);
	struct run scratch = { 0 };
	scratch.argv = copy_arguments(ev, sizeof rec, 2, rec.argc, &scratch.argc);
	vcr_redact_learn_argv(r->redact, scratch.argc, (const char *const *)scratch.argv);
	vcr_recorder_run_release(&scratch);
}
