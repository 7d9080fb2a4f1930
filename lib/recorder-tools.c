/* recorder-tools.c — what the model asked for becomes tool frames; and whose work a file, a program, a first call is. */
#include "recorder-parts.h"
#include "pair-cut.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANCESTORS = 32, PROMPT_ITEMS = 8 };

/* ---- Tool frames ---- */

static void put_string(struct vcr_jw *w, const char *key, const char *s)
{
	vcr_jw_key(w, key);
	vcr_jw_str(w, s);
}

static void put_about(struct vcr_recorder *r, struct vcr_jw *w, const struct vcr_pair_call *c)
{
	struct process *p = vcr_recorder_process(r, c->pid, false);
	char when[40];
	vcr_jw_object(w);
	if (*c->id)
		put_string(w, "tool_call", c->id);
	vcr_jw_key(w, "pid");
	vcr_jw_int(w, c->pid);
	if (p && p->program)
		put_string(w, "program", p->program);
	put_string(w, "source", "conversation");
	vcr_recorder_time(r, c->asked_ns, when);
	put_string(w, "started_at", when);
	if (*c->other)
		put_string(w, "mcp", c->other);
	vcr_jw_object_end(w);
}

/* The words of a result that says it is an error. */
static void error_words(const struct vcr_json *j, int v, struct vcr_buf *out)
{
	int error = vcr_json_type(j, v) == VCR_JSON_OBJECT ? vcr_json_get(j, v, "error") : -1;
	int first = vcr_json_type(j, v) == VCR_JSON_ARRAY ? vcr_json_first(j, v) : -1;
	int text = error >= 0 ? error : vcr_json_type(j, first) == VCR_JSON_OBJECT ? vcr_json_get(j, first, "text") : v;
	vcr_json_str(j, text, out);
	if (out->len > VCR_PAIR_SHORT)
		vcr_buf_cut(out, VCR_PAIR_SHORT);
}

void vcr_recorder_tool(void *recorder, const struct vcr_pair_call *c, const struct vcr_json *j, const struct vcr_tool_result *result, uint64_t until_ns)
{
	struct vcr_recorder *r = recorder;
	VCR_AUTO_BUF output = VCR_BUF_INIT, meta = VCR_BUF_INIT, node = VCR_BUF_INIT, words = VCR_BUF_INIT, at = VCR_BUF_INIT;
	struct vcr_jw w;
	bool failed = result && result->failed;
	vcr_buf_printf(&node, "tool:%s", c->name);
	if (result) {
		vcr_buf_printf(&at, "input_state.%s", result->at);
		vcr_pair_cut_output(&output, j, result->value, failed ? "error" : "result", r->answering, at.data);
	} else {
		vcr_buf_puts(&output, "{\"error\":\"no result seen\"}");
	}
	if (failed)
		error_words(j, result->value, &words);
	vcr_jw_init(&w, &meta);
	put_about(r, &w, c);
	struct vcr_frame f = { .type = VCR_FRAME_TOOL, .node_name = node.data, .parent_frame_id = c->asked_by, .input_json = c->input, .output_json = output.data,
		.vcr_json = meta.data, .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1, .error_type = failed ? "tool_error" : NULL,
		.error_message = words.len ? words.data : NULL, .latency_ms = result && until_ns > c->asked_ns ? (double)(until_ns - c->asked_ns) / 1e6 : 0 };
	snprintf(f.frame_id, sizeof f.frame_id, "%s", c->frame_id);
	vcr_recorder_frame(r, &f);
}

void vcr_recorder_tools_before(struct vcr_recorder *r, const struct vcr_call *c, const char *frame_id, const struct vcr_conv_place *place, const struct vcr_json *request,
	const char *list_key)
{
	r->answering = frame_id;
	vcr_pair_answered(r->pair, place->parent, place->known, c->pid, c->start_ns, request, list_key);
	r->answering = "";
}

/* The last of its text is there before the HTTP message ends: the program may have acted on it. */
void vcr_recorder_tools_after(struct vcr_recorder *r, const struct vcr_call *c, const char *frame_id, const struct vcr_json *message)
{
	uint64_t last = c->nchunk ? c->chunk[c->nchunk - 1].time_ns : c->end_ns;
	vcr_pair_asked(r->pair, frame_id, c->pid, last < c->end_ns ? last : c->end_ns, message, 0);
}

/* What an earlier recorder of the session wrote: calls that are still to be answered. */
void vcr_recorder_tools_again(struct vcr_recorder *r, const struct vcr_reader_frame *f)
{
	int64_t pid = 0;
	int id = vcr_json_get(f->j, f->vcr, "tool_call");
	vcr_json_int(f->j, vcr_json_get(f->j, f->vcr, "pid"), &pid);
	if (!strcmp(f->type, "llm")) {
		vcr_pair_asked(r->pair, f->frame_id, (int)pid, r->mono_ns, f->j, vcr_json_get(f->j, f->output, "response"));
	} else if (vcr_json_is(f->j, vcr_json_get(f->j, f->vcr, "source"), "conversation")) {
		char *text = id >= 0 ? vcr_json_strdup(f->j, id) : NULL;
		vcr_pair_was_told(r->pair, f->parent_frame_id ? f->parent_frame_id : "", text ? text : "");
		free(text);
	}
}

/* ---- Whose work ---- */

static const char *how_word(enum vcr_pair_how how)
{
	return how == VCR_PAIR_ALONE ? "alone" : how == VCR_PAIR_ARGUMENT ? "argument" : NULL;
}

static void owned_by(struct vcr_recorder_owner *o, const char *parent, const char *tool_call, const char *known_by)
{
	snprintf(o->parent, sizeof o->parent, "%s", parent);
	o->tool_call = tool_call && *tool_call ? tool_call : NULL;
	o->known_by = known_by;
}

/* By an argument only, whoever it was. */
static bool owned_by_argument(struct vcr_recorder *r, uint64_t at_ns, const char *const *path, struct vcr_recorder_owner *out)
{
	struct vcr_pair_cause cause;
	if (!path || vcr_pair_at_work(r->pair, 0, at_ns, path, 0, NULL, &cause) != VCR_PAIR_ARGUMENT)
		return false;
	owned_by(out, cause.asked_by, cause.tool_call, "argument");
	return true;
}

static void owner_of(struct vcr_recorder *r, int pid, uint64_t at_ns, const char *const *path, struct vcr_recorder_owner *out)
{
	struct vcr_recorder_owner part = { "", NULL, NULL }; /* the frame, not which of its calls */
	for (int up = 0; up < ANCESTORS && pid > 0; up++) {
		struct process *p = vcr_recorder_process(r, pid, false);
		struct vcr_pair_cause cause = { "", NULL };
		if (!p)
			break;
		enum vcr_pair_how how = vcr_pair_at_work(r->pair, pid, at_ns, path, 0, NULL, &cause);
		if (how == VCR_PAIR_ALONE || how == VCR_PAIR_ARGUMENT) {
			owned_by(out, cause.asked_by, cause.tool_call, how_word(how));
			return;
		}
		if (*part.parent || how == VCR_PAIR_FRAME || *p->last_call) {
			if (!*part.parent)
				owned_by(&part, how == VCR_PAIR_FRAME ? cause.asked_by : p->last_call, NULL, NULL);
			*out = part;
			return;
		}
		if (*p->asked_by && p->tool_call) {
			owned_by(out, p->asked_by, p->tool_call, "process");
			return;
		}
		if (*p->asked_by)
			owned_by(&part, p->asked_by, NULL, NULL);
		pid = p->ppid;
	}
	if (*part.parent)
		*out = part;
	else if (!owned_by_argument(r, at_ns, path, out))
		owned_by(out, r->last_call, NULL, NULL);
}

/* What the program says about itself goes first: its open node, if no model was asked in it; of calls in it the last, if it is not known which. */
static void in_node(struct vcr_recorder *r, int pid, struct vcr_recorder_owner *o)
{
	const char *node = vcr_recorder_node(r, pid, 0), *last = vcr_recorder_node_parent(r, pid);
	if (last && (!o->known_by || !strcmp(last, node)))
		snprintf(o->parent, sizeof o->parent, "%s", last);
}

void vcr_recorder_whose(struct vcr_recorder *r, int pid, uint64_t at_ns, const char *path, struct vcr_recorder_owner *out)
{
	VCR_AUTO_BUF full = VCR_BUF_INIT;
	*out = (struct vcr_recorder_owner){ "", NULL, NULL };
	vcr_buf_printf(&full, "%s/%s", r->workspace, path ? path : "");
	owner_of(r, pid, at_ns, path ? (const char *const[]){ path, full.data, NULL } : NULL, out);
	in_node(r, pid, out);
}

void vcr_recorder_whose_run(struct vcr_recorder *r, const struct process *p, struct vcr_recorder_owner *out)
{
	*out = (struct vcr_recorder_owner){ "", NULL, NULL };
	if (*p->asked_by)
		owned_by(out, p->asked_by, p->tool_call, p->tool_call ? "process" : NULL);
	else
		owner_of(r, p->ppid > 0 ? p->ppid : p->pid, p->run.start_ns, NULL, out);
}

void vcr_recorder_put_owner(struct vcr_jw *w, const struct vcr_recorder_owner *o)
{
	if (o->tool_call)
		put_string(w, "tool_call", o->tool_call);
	if (o->known_by)
		put_string(w, "known_by", o->known_by);
}

/* ---- Processes ---- */

static void begun_for(struct process *p, const char *asked_by, const char *tool_call)
{
	char *copy = tool_call && *tool_call ? strdup(tool_call) : NULL;
	snprintf(p->asked_by, sizeof p->asked_by, "%s", asked_by);
	free(p->tool_call);
	p->tool_call = copy;
}

void vcr_recorder_began(struct vcr_recorder *r, struct process *p, uint64_t at_ns)
{
	int pid = p->ppid;
	for (int up = 0; up < ANCESTORS && pid > 0; up++) {
		struct process *q = vcr_recorder_process(r, pid, false);
		struct vcr_pair_cause cause = { "", NULL };
		if (!q || q == p)
			return;
		enum vcr_pair_how how = vcr_pair_at_work(r->pair, pid, at_ns, NULL, p->run.argc, p->run.argv, &cause);
		if (how == VCR_PAIR_UNCLEAR)
			return;
		if (how != VCR_PAIR_NOT)
			begun_for(p, cause.asked_by, cause.tool_call);
		else if (*q->asked_by)
			begun_for(p, q->asked_by, q->tool_call);
		if (*p->asked_by)
			return;
		pid = q->ppid;
	}
}

/* ---- First calls ---- */

static bool is_prompted(struct vcr_recorder *r, uint64_t at_ns, const struct vcr_json *j, int v, struct vcr_recorder_owner *out, int depth)
{
	enum vcr_json_type type = vcr_json_type(j, v);
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_pair_cause cause;
	if (type == VCR_JSON_STRING && !vcr_json_str(j, v, &text)) {
		enum vcr_pair_how how = vcr_pair_prompted(r->pair, at_ns, text.data, text.len, &cause);
		if (how == VCR_PAIR_ALONE || how == VCR_PAIR_FRAME)
			owned_by(out, cause.asked_by, cause.tool_call, "prompt");
		return *out->parent;
	}
	if (type == VCR_JSON_OBJECT) {
		int content = vcr_json_get(j, v, "content"), parts = vcr_json_get(j, v, "parts");
		return is_prompted(r, at_ns, j, content >= 0 ? content : parts >= 0 ? parts : vcr_json_get(j, v, "text"), out, depth + 1);
	}
	int left = PROMPT_ITEMS;
	for (int m = type == VCR_JSON_ARRAY && depth < 4 ? vcr_json_first(j, v) : -1; m >= 0 && left--; m = vcr_json_next(j, m))
		if (is_prompted(r, at_ns, j, m, out, depth + 1))
			return true;
	return false;
}

static bool is_said_by_user(const struct vcr_json *j, int item)
{
	int role = vcr_json_type(j, item) == VCR_JSON_OBJECT ? vcr_json_get(j, item, "role") : -1;
	return role < 0 || vcr_json_is(j, role, "user");
}

void vcr_recorder_cause(struct vcr_recorder *r, const struct vcr_call *c, const struct vcr_json *request, int list, struct vcr_recorder_owner *out)
{
	*out = (struct vcr_recorder_owner){ "", NULL, NULL };
	int left = PROMPT_ITEMS, first = vcr_json_first(request, list);
	for (int m = list >= 0 ? first : -1; m >= 0 && left-- && !*out->parent; m = vcr_json_next(request, m))
		if (is_said_by_user(request, m))
			is_prompted(r, c->start_ns, request, m, out, 0);
	if (list < 0 && request)
		is_prompted(r, c->start_ns, request, vcr_json_get(request, 0, vcr_json_get(request, 0, "input") >= 0 ? "input" : "prompt"), out, 0);
	const char *node = *out->parent ? NULL : vcr_recorder_node(r, c->pid, c->tid);
	if (node)
		snprintf(out->parent, sizeof out->parent, "%s", node);
	int pid = c->pid;
	for (int up = 0; up < ANCESTORS && pid > 0 && !*out->parent; up++) {
		struct process *p = vcr_recorder_process(r, pid, false);
		if (!p)
			return;
		if (*p->asked_by)
			owned_by(out, p->asked_by, p->tool_call, "process");
		pid = p->ppid;
	}
}
