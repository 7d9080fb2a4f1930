#include "hermetic-parts.h"
#include "standin.h"
#include "toolkey.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_string(const struct vcr_json *j, int v, struct vcr_buf *out)
{
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	vcr_json_str(j, v, &s);
	vcr_buf_add(out, s.data, strlen(s.data));
	vcr_buf_putc(out, 0);
}

static int by_frame(const void *a, const void *b)
{
	const struct by_frame *x = a, *y = b;
	int c = strcmp(x->frame, y->frame);
	return c ? c : (x->run > y->run) - (x->run < y->run);
}

/* The runs from that one on are those of a session. */
static int index_frames(struct vcr_hermetic *h, size_t from)
{
	free(h->by_frame);
	h->nby_frame = 0;
	if (!(h->by_frame = calloc(h->n - from + 1, sizeof *h->by_frame)))
		return VCR_ENOMEM;
	for (size_t i = from; i < h->n; i++)
		h->by_frame[h->nby_frame++] = (struct by_frame){ h->run[i].frame, i };
	qsort(h->by_frame, h->nby_frame, sizeof *h->by_frame, by_frame);
	return 0;
}

/* Of equal ones the last. */
static struct run *find_frame(const struct vcr_hermetic *h, const char *frame)
{
	const struct by_frame *v = h->by_frame;
	size_t lo = 0, hi = h->nby_frame;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strcmp(v[mid].frame, frame) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && !strcmp(v[lo - 1].frame, frame) ? &h->run[v[lo - 1].run] : NULL;
}

static struct run *add_run(struct vcr_hermetic *h)
{
	if (h->n == h->cap) {
		size_t cap = h->cap ? 2 * h->cap : 64;
		struct run *more = realloc(h->run, cap * sizeof *more);
		if (!more)
			return NULL;
		h->run = more;
		h->cap = cap;
	}
	struct run *run = &h->run[h->n++];
	*run = (struct run){ .asked = VCR_BUF_INIT, .normal = VCR_BUF_INIT };
	return run;
}

/* Is it one that processes end of? Of others ours would not either, and some would stop it. */
static bool is_an_end(int64_t signal)
{
	static const int others[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGCHLD, SIGURG, SIGWINCH };
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (signal == others[i])
			return false;
	return signal > 0 && signal < 65;
}

static void take_end(struct run *run, const struct vcr_json *j, int v)
{
	int64_t n;
	if (vcr_json_int(j, vcr_json_get(j, v, "exit_code"), &n) && n >= 0 && n < 256) {
		run->ended = true;
		run->value = (uint32_t)n;
	} else if (vcr_json_int(j, vcr_json_get(j, v, "signal"), &n) && is_an_end(n)) {
		run->ended = true;
		run->how = VCR_STANDIN_SIGNAL;
		run->value = (uint32_t)n;
	}
}

static void short_string(const struct vcr_json *j, int v, const char *key, char *to, size_t cap)
{
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	if (!vcr_json_str(j, vcr_json_get(j, v, key), &s) && s.len < cap)
		strcpy(to, s.data);
}

static int take_run(struct vcr_hermetic *h, struct vcr_reader *reader, const struct vcr_normal_context *in, const struct vcr_reader_frame *f, bool is_tool)
{
	struct run *run = add_run(h);
	if (!run)
		return VCR_ENOMEM;
	run->no_tool = !is_tool;
	run->early = is_tool && vcr_json_true(f->j, vcr_json_get(f->j, f->vcr, "early"));
	short_string(f->j, f->vcr, "within", run->within, sizeof run->within);
	run->reader = reader;
	run->in = in;
	snprintf(run->frame, sizeof run->frame, "%s", f->frame_id);
	add_string(f->j, vcr_json_get(f->j, f->input, "cwd"), &run->asked);
	int argv = vcr_json_get(f->j, f->input, "argv");
	for (int a = vcr_json_type(f->j, argv) == VCR_JSON_ARRAY ? vcr_json_first(f->j, argv) : -1; a >= 0; a = vcr_json_next(f->j, a))
		add_string(f->j, a, &run->asked);
	if (!vcr_json_int(f->j, vcr_json_get(f->j, f->input, "pid"), &run->pid))
		run->pid = -1;
	take_end(run, f->j, f->output);
	return 0;
}

/* A tool that has become another program (sh -c with one command) ends as that one does. */
static void take_successor(const struct vcr_hermetic *h, const char *tool, const struct vcr_reader_frame *f)
{
	struct run *run = find_frame(h, tool);
	int64_t pid;
	if (run && !run->ended && vcr_json_int(f->j, vcr_json_get(f->j, f->input, "pid"), &pid) && pid == run->pid)
		take_end(run, f->j, f->output);
}

struct run *vcr_hermetic_outer(const struct vcr_hermetic *h, const struct run *run)
{
	return run->outer ? &h->run[run->outer - 1] : NULL;
}

/* A recording may say that they are within each other, and go round in circles: none is deeper than DEEPEST. */
static void find_outers(struct vcr_hermetic *h)
{
	for (size_t i = h->from; i < h->n; i++) {
		const struct run *outer = *h->run[i].within ? find_frame(h, h->run[i].within) : NULL;
		h->run[i].outer = outer ? (size_t)(outer - h->run) + 1 : 0;
	}
}

/* What is done to files of one tool comes before its own frame, which is written when it has ended, or, of what it leaves running, behind it. It is done by each that it is under:
 * who is answered in their place does it all. */
static int take_change(struct vcr_hermetic *h, const char *tool, const struct vcr_reader_frame *f)
{
	struct run *run = find_frame(h, tool);
	for (int depth = 0; run && depth < DEEPEST; depth++, run = vcr_hermetic_outer(h, run)) {
		struct change *more = realloc(run->change, (run->nchange + 1) * sizeof *more);
		if (!more)
			return VCR_ENOMEM;
		run->change = more;
		struct change *c = &run->change[run->nchange++];
		*c = (struct change){ .index = f->index };
		short_string(f->j, f->vcr, "started_at", c->at, sizeof c->at);
	}
	return 0;
}

/* A program that is covered by one that began before the first call: if that one runs, it does too. */
static int take_covered(struct vcr_hermetic *h, const char *tool, struct vcr_reader *reader, const struct vcr_normal_context *in, const struct vcr_reader_frame *f)
{
	const struct run *run = find_frame(h, tool);
	return run && run->early ? take_run(h, reader, in, f, false) : 0;
}

/* The server that was asked by that input: this run, or the nearest that it is under. In a session that does not say what it was asked by, this one. */
static struct run *asked_there(const struct vcr_hermetic *h, struct run *run, const char *input)
{
	for (int depth = 0; *input && run && strcmp(run->input, input) && depth < DEEPEST; depth++)
		run = vcr_hermetic_outer(h, run);
	return run && *input && strcmp(run->input, input) ? NULL : run;
}

/* What a server was asked to do, by that frame. */
static int take_call(struct vcr_hermetic *h, const char *tool, struct vcr_reader *reader, const struct vcr_normal_context *in, const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT, arguments = VCR_BUF_INIT, id = VCR_BUF_INIT;
	char input[48] = "", at[VCR_SERVED_AT] = "";
	short_string(f->j, f->vcr, "input", input, sizeof input);
	short_string(f->j, f->vcr, "started_at", at, sizeof at);
	struct run *run = asked_there(h, find_frame(h, tool), input);
	int err = 0, v = vcr_json_get(f->j, f->vcr, "rpc_id");
	size_t n;
	const char *text = v >= 0 ? vcr_json_raw(f->j, v, &n) : NULL;
	if (!run || !text)
		return 0;
	vcr_buf_puts(&name, f->node_name + strlen("tool:"));
	vcr_buf_add(&id, text, n);
	if (vcr_reader_full_input(reader, f->index, &arguments, NULL))
		return 0;
	for (int depth = 0; run && !err && depth < DEEPEST; depth++, run = asked_there(h, vcr_hermetic_outer(h, run), input))
		err = vcr_served_call(&run->served, in, at, name.data, arguments.data, arguments.len, id.data);
	return err;
}

static int take_frames(struct vcr_hermetic *h, struct vcr_reader *reader, const struct vcr_normal_context *in, bool changes)
{
	int err = 0;
	for (int64_t i = 0; i < vcr_reader_count(reader) && !err; i++) {
		struct vcr_reader_frame f;
		VCR_AUTO_BUF tool = VCR_BUF_INIT;
		if (vcr_reader_brief(reader, i).call || vcr_reader_frame(reader, i, &f, NULL))
			continue;
		vcr_json_str(f.j, vcr_json_get(f.j, f.vcr, "tool_run"), &tool);
		bool is_run = !strncmp(f.node_name, "exec:", 5), is_file = !strncmp(f.node_name, "file:", 5), is_call = !strncmp(f.node_name, "tool:", 5);
		if (!changes && is_run && (!tool.len || !strcmp(tool.data, f.frame_id)))
			err = take_run(h, reader, in, &f, tool.len);
		else if (!tool.len)
			continue;
		else if (changes && is_file)
			err = take_change(h, tool.data, &f);
		else if (changes && is_run && strcmp(tool.data, f.frame_id)) {
			take_successor(h, tool.data, &f);
			err = take_covered(h, tool.data, reader, in, &f);
		}
		else if (changes && is_call)
			err = take_call(h, tool.data, reader, in, &f);
	}
	return err;
}

static void take_marks(struct run *run, const struct vcr_json *j, int typed)
{
	int n = vcr_json_type(j, typed) == VCR_JSON_ARRAY ? vcr_json_count(j, typed) / 2 : 0;
	int64_t at, count;
	if (n <= 0 || n > VCR_STANDIN_MARKS || !(run->mark = calloc((size_t)n, sizeof *run->mark)))
		return;
	for (int a = vcr_json_first(j, typed); run->nmark < (uint32_t)n && a >= 0; a = vcr_json_next(j, a)) {
		if (!vcr_json_int(j, a, &at) || !vcr_json_int(j, a = vcr_json_next(j, a), &count) || at < 0 || at > VCR_STANDIN_KEPT || count < 0 || count > VCR_STANDIN_KEPT)
			return;
		run->mark[run->nmark++] = (struct vcr_standin_mark){ (uint32_t)at, (uint32_t)count };
	}
}

/* The arguments that the frame of its exec has not. */
static void take_rest(struct run *run, const struct vcr_json *j, int data)
{
	char ref[48] = "";
	VCR_AUTO_BUF rest = VCR_BUF_INIT;
	short_string(j, data, "arguments", ref, sizeof ref);
	if (*ref && !vcr_reader_body(run->reader, ref, &rest, NULL) && rest.len && !rest.data[rest.len - 1])
		vcr_buf_add(&run->asked, rest.data, rest.len);
}

static int take_output(void *ctx, const struct vcr_json *j, int data, int64_t line)
{
	char frame[37] = "";
	short_string(j, data, "frame", frame, sizeof frame);
	struct run *run = find_frame(ctx, frame);
	if (!run || run->printed)
		return 0;
	run->printed = true;
	short_string(j, data, "stdout", run->stdout_ref, sizeof run->stdout_ref);
	short_string(j, data, "stderr", run->stderr_ref, sizeof run->stderr_ref);
	short_string(j, data, "input", run->input, sizeof run->input);
	run->why = vcr_json_strdup(j, vcr_json_get(j, data, "not_kept"));
	int order = vcr_json_get(j, data, "order");
	run->in_order = order >= 0;
	take_marks(run, j, run->in_order ? order : vcr_json_get(j, data, "typed"));
	if (!run->ended)
		take_end(run, j, data);
	take_rest(run, j, data);
	int cwd = vcr_json_get(j, data, "cwd");
	if (vcr_json_type(j, cwd) == VCR_JSON_STRING) { /* as the program itself had it, not who started it */
		VCR_AUTO_BUF rest = VCR_BUF_INIT;
		size_t n = strlen(run->asked.data) + 1;
		vcr_buf_add(&rest, run->asked.data + n, run->asked.len - n);
		vcr_buf_reset(&run->asked);
		add_string(j, cwd, &run->asked);
		vcr_buf_add(&run->asked, rest.data, rest.len);
	}
	return 0;
}

static int take_command(void *ctx, const struct vcr_json *j, int data, int64_t line)
{
	struct vcr_hermetic *h = ctx;
	VCR_AUTO_BUF recorded = VCR_BUF_INIT, live = VCR_BUF_INIT;
	int argv = vcr_json_get(j, data, "argv");
	for (int a = vcr_json_type(j, argv) == VCR_JSON_ARRAY ? vcr_json_first(j, argv) : -1; a >= 0; a = vcr_json_next(j, a))
		add_string(j, a, &recorded);
	live.max = MOST_LIVE;
	int spoke = vcr_json_get(j, data, "spoke");
	for (int a = vcr_json_type(j, spoke) == VCR_JSON_ARRAY ? vcr_json_first(j, spoke) : -1; a >= 0; a = vcr_json_next(j, a)) {
		VCR_AUTO_BUF frame = VCR_BUF_INIT;
		struct run *run = vcr_json_str(j, a, &frame) ? NULL : find_frame(h, frame.data);
		if (run)
			run->spoke = true;
	}
	h->says_who_spoke = vcr_json_type(j, spoke) == VCR_JSON_ARRAY;
	vcr_hermetic_rebind(h, h->taking, &recorded, &live);
	int err = live.err || !live.len ? live.err : vcr_around_add(&h->around, &live);
	return err || !recorded.len ? err : vcr_around_add(&h->around, &recorded); /* it may lie where it did, and be run elsewhere */
}

/* One that was no tool is known by what it is here: that is the same to the letter, but for the directories. */
static int rebind_asked(const struct vcr_hermetic *h, struct run *run)
{
	struct vcr_buf live = VCR_BUF_INIT;
	live.max = MOST_LIVE;
	vcr_hermetic_rebind(h, run->in, &run->asked, &live);
	vcr_buf_release(&run->asked);
	run->asked = live;
	return live.err;
}

static void cancel(struct run *run, const struct vcr_json *j, int request)
{
	VCR_AUTO_BUF id = VCR_BUF_INIT;
	size_t n;
	int v = vcr_json_path(j, request, "params.requestId");
	const char *text = v >= 0 && run->served ? vcr_json_raw(j, v, &n) : NULL;
	if (!text)
		return;
	vcr_buf_add(&id, text, n);
	vcr_served_cancelled(run->served, id.data);
}

/* What else a server was asked. */
static int take_line(void *ctx, const struct vcr_json *j, int data, int64_t line)
{
	struct vcr_hermetic *h = ctx;
	char tool[37] = "";
	short_string(j, data, "tool_run", tool, sizeof tool);
	char input[48] = "", at[VCR_SERVED_AT] = "";
	short_string(j, data, "input", input, sizeof input);
	short_string(j, data, "started_at", at, sizeof at);
	struct run *run = asked_there(h, find_frame(h, tool), input);
	int err = 0, request = vcr_json_get(j, data, "request");
	if (!run || !vcr_json_is(j, vcr_json_get(j, data, "from"), "client"))
		return 0;
	bool cancels = vcr_json_is(j, vcr_json_get(j, request, "method"), "notifications/cancelled");
	if (!cancels && vcr_json_get(j, request, "id") < 0)
		return 0;
	for (int depth = 0; run && !err && depth < DEEPEST; depth++, run = asked_there(h, vcr_hermetic_outer(h, run), input))
		if (cancels)
			cancel(run, j, request);
		else
			err = vcr_served_line(&run->served, run->in, at, j, request);
	return err;
}

const char *vcr_hermetic_why_not(const struct run *run)
{
	return run->why ? run->why : !run->printed ? "what it printed is not in the session" : !run->ended && !run->served ? "how it ended was not seen" : NULL;
}

/* What began before the first call is the agent, or has it under it, or is answered if it can be: else it runs, as it did. */
static void decide(struct vcr_hermetic *h, struct run *run)
{
	run->no_tool |= run->early && (!h->says_who_spoke || run->spoke || vcr_hermetic_why_not(run));
	h->tools += !run->no_tool;
}

int vcr_hermetic_take(struct vcr_hermetic *h, struct vcr_reader *reader, const struct vcr_normal_context *in, struct vcr_error *e)
{
	h->from = h->n;
	h->taking = in;
	h->says_who_spoke = false;
	int err = take_frames(h, reader, in, false);
	if (!err)
		err = index_frames(h, h->from);
	if (!err)
		find_outers(h);
	if (!err)
		err = vcr_reader_each(reader, "vcr.output", take_output, h, e);
	if (!err)
		err = take_frames(h, reader, in, true);
	if (!err)
		err = vcr_reader_each(reader, "vcr.mcp", take_line, h, e);
	if (!err)
		err = vcr_reader_each(reader, "vcr.command", take_command, h, e);
	h->cuts |= !h->says_who_spoke;
	for (size_t i = h->from; i < h->n; i++)
		decide(h, &h->run[i]);
	for (size_t i = h->from; i < h->n && !err; i++)
		if (!(err = vcr_toolkey(in, &h->run[i].asked, &h->run[i].normal)) && h->run[i].no_tool)
			err = rebind_asked(h, &h->run[i]);
	return err;
}
