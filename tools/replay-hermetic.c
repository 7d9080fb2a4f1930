/* replay-hermetic.c — tools that are answered from the session: vcr-standin asks at a socket, by working directory and arguments, what its program printed and how
 * it ended when it was recorded; what the program and those under it did to files of the workspace is done again.
 *
 * Of equal runs the first that nobody has had is given out. A recording is hostile: paths stay beneath the workspace, outside .git and .vcr, no mode has more
 * than permissions. */
#include "asked.h"
#include "beneath.h"
#include "control.h"
#include "hermetic.h"
#include "redact.h"
#include "served.h"
#include "spool-format.h"
#include "standin.h"
#include "toolkey.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

enum { NOT_RECORDED = 127, NAMED = 120, MOST_SAID = 400, MOST_REFUSED = 20, MOST_LIVE = 8 * VCR_STANDIN_KEPT /* of a text with the paths of this run */ };

struct run {
	struct vcr_reader *reader;
	const struct vcr_normal_context *in;
	char frame[37];
	struct vcr_buf asked, normal; /* cwd and arguments, each with a NUL behind it; normalised */
	char stdout_ref[48], stderr_ref[48], *why; /* why: it cannot be answered; NULL */
	uint32_t how, value;
	bool ended, given, printed, no_tool; /* no_tool: it ran before its parent had spoken to a model, and will again */
	int64_t pid;
	int64_t *change;              /* indexes of frames */
	size_t nchange;
	struct vcr_served *served;    /* it was a server; NULL */
	bool serves;                  /* and is asked now */
	struct vcr_standin_mark *mark; /* of what it printed */
	uint32_t nmark;
};

/* Runs by what was asked, in order; of equal ones tools first, in recorded order. */
struct by_text { const struct vcr_buf *text; bool no_tool; size_t run, given; /* of a first one: how many of its equals are known to have been given out */ };

struct vcr_hermetic {
	struct replay *r;
	struct run *run;
	size_t n, cap, tools;
	struct vcr_normal_context live, in; /* in: where the last session was recorded */
	struct vcr_redact *redact;
	bool exact;
	int root;
	struct vcr_asked *asked;
	struct by_frame { const char *frame; size_t run; } *by_frame; /* of the session that is being taken, in order */
	size_t nby_frame;
	struct by_text *by_asked, *by_normal;
	int64_t answered, refused, unwritten;
	struct vcr_buf named;         /* those that were refused */
	struct vcr_warden *warden;
	int64_t unwatched;
	struct vcr_buf library;       /* its path */
	struct vcr_buf strangers;     /* programs whose tools were not watched, a line each */
};

/* ---- What was recorded ---- */

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

static int take_run(struct vcr_hermetic *h, struct vcr_reader *reader, const struct vcr_normal_context *in, const struct vcr_reader_frame *f, bool is_tool)
{
	struct run *run = add_run(h);
	if (!run)
		return VCR_ENOMEM;
	run->no_tool = !is_tool;
	h->tools += is_tool;
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

/* What is done to files of one tool comes before its own frame, which is written when it has ended, or, of what it leaves running, behind it. */
static int take_change(struct vcr_hermetic *h, const char *tool, int64_t index)
{
	struct run *run = find_frame(h, tool);
	if (!run)
		return 0;
	int64_t *more = realloc(run->change, (run->nchange + 1) * sizeof *more);
	if (!more)
		return VCR_ENOMEM;
	run->change = more;
	run->change[run->nchange++] = index;
	return 0;
}

/* What a server was asked to do, by that frame. */
static int take_call(struct vcr_hermetic *h, const char *tool, struct vcr_reader *reader, const struct vcr_normal_context *in, const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT, arguments = VCR_BUF_INIT, id = VCR_BUF_INIT;
	struct run *run = find_frame(h, tool);
	int v = vcr_json_get(f->j, f->vcr, "rpc_id");
	size_t n;
	const char *text = v >= 0 ? vcr_json_raw(f->j, v, &n) : NULL;
	if (!run || !text)
		return 0;
	vcr_buf_puts(&name, f->node_name + strlen("tool:"));
	vcr_buf_add(&id, text, n);
	if (vcr_reader_full_input(reader, f->index, &arguments, NULL))
		return 0;
	return vcr_served_call(&run->served, in, name.data, arguments.data, arguments.len, id.data);
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
			err = take_change(h, tool.data, i);
		else if (changes && is_run)
			take_successor(h, tool.data, &f);
		else if (changes && is_call)
			err = take_call(h, tool.data, reader, in, &f);
	}
	return err;
}

static void short_string(const struct vcr_json *j, int v, const char *key, char *to, size_t cap)
{
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	if (!vcr_json_str(j, vcr_json_get(j, v, key), &s) && s.len < cap)
		strcpy(to, s.data);
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
	run->why = vcr_json_strdup(j, vcr_json_get(j, data, "not_kept"));
	take_marks(run, j, vcr_json_get(j, data, "typed"));
	if (!run->ended)
		take_end(run, j, data);
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

/* What else a server was asked. */
static int take_line(void *ctx, const struct vcr_json *j, int data, int64_t line)
{
	struct vcr_hermetic *h = ctx;
	char tool[37] = "";
	short_string(j, data, "tool_run", tool, sizeof tool);
	struct run *run = find_frame(h, tool);
	int request = vcr_json_get(j, data, "request");
	if (!run || !vcr_json_is(j, vcr_json_get(j, data, "from"), "client") || vcr_json_get(j, request, "id") < 0)
		return 0;
	return vcr_served_line(&run->served, run->in, j, request);
}

static int take_session(struct vcr_hermetic *h, struct vcr_reader *reader, const struct vcr_normal_context *in, struct vcr_error *e)
{
	size_t from = h->n;
	int err = take_frames(h, reader, in, false);
	if (!err)
		err = index_frames(h, from);
	if (!err)
		err = take_frames(h, reader, in, true);
	if (!err)
		err = vcr_reader_each(reader, "vcr.output", take_output, h, e);
	if (!err)
		err = vcr_reader_each(reader, "vcr.mcp", take_line, h, e);
	for (size_t i = from; i < h->n && !err; i++)
		err = vcr_toolkey(in, &h->run[i].asked, &h->run[i].normal);
	return err;
}

/* ---- Which one ---- */

/* Up to where the library tells of the arguments behind the directory (shim/exec.c), before they are redacted. */
static size_t announced(const struct vcr_buf *said)
{
	size_t first = strlen(said->data) + 1, at = first;
	for (int n = 0; n < VCR_EXEC_ARGS && at < said->len; n++) {
		size_t next = at + strlen(said->data + at) + 1;
		if (next - first > VCR_EXEC_BYTES)
			break;
		at = next;
	}
	return at < said->len ? at : said->len;
}

static int compare(const struct vcr_buf *a, const struct vcr_buf *b)
{
	size_t n = a->len < b->len ? a->len : b->len;
	int c = memcmp(a->data, b->data, n);
	return c ? c : (a->len > b->len) - (a->len < b->len);
}

static int by_text(const void *a, const void *b)
{
	const struct by_text *x = a, *y = b;
	int c = compare(x->text, y->text);
	c = c ? c : x->no_tool - y->no_tool;
	return c ? c : (x->run > y->run) - (x->run < y->run);
}

static struct by_text *index_texts(const struct vcr_hermetic *h, bool normal)
{
	struct by_text *v = calloc(h->n + 1, sizeof *v);
	for (size_t i = 0; v && i < h->n; i++)
		v[i] = (struct by_text){ normal ? &h->run[i].normal : &h->run[i].asked, h->run[i].no_tool, i, 0 };
	if (v)
		qsort(v, h->n, sizeof *v, by_text);
	return v;
}

/* *spent: there are such runs, and all have been given out. Tools only, unless no_tool: then, where none of them was a tool, others too, which will run. */
static struct run *first_free(struct vcr_hermetic *h, struct by_text *v, const struct vcr_buf *text, bool no_tool, bool *spent)
{
	size_t lo = 0, hi = h->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (compare(v[mid].text, text) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == h->n || v[lo].no_tool > no_tool || compare(v[lo].text, text))
		return NULL;
	*spent = true;
	for (size_t i = lo + v[lo].given; i < h->n && v[i].no_tool == v[lo].no_tool && !compare(v[i].text, text); i++, v[lo].given++)
		if (!h->run[v[i].run].given)
			return &h->run[v[i].run];
	return NULL;
}

static struct run *look_for(struct vcr_hermetic *h, const struct vcr_buf *asked, bool *spent)
{
	VCR_AUTO_BUF normal = VCR_BUF_INIT;
	*spent = false;
	struct run *run = first_free(h, h->by_asked, asked, false, spent);
	if (!run && !h->exact) {
		vcr_toolkey(&h->live, asked, &normal);
		run = first_free(h, h->by_normal, &normal, false, spent);
	}
	return run || *spent ? run : first_free(h, h->by_asked, asked, true, spent);
}

/* ---- Its files ---- */

/* Recorded directories in a text become those of this run. */
static void rebind(const struct vcr_hermetic *h, const struct run *run, const struct vcr_buf *text, struct vcr_buf *out)
{
	const char *const from[] = { run->in->cwd, run->in->workspace, run->in->home, run->in->tmp }, *const to[] = { h->live.cwd, h->live.workspace, h->live.home, h->live.tmp };
	for (size_t at = 0; at < text->len;) {
		size_t longest = 0, which = 0;
		for (size_t i = 0; i < 4 && text->data[at] == '/'; i++) {
			size_t n = to[i] ? vcr_normal_directory(from[i], text->data, text->len, at) : 0;
			if (n > longest)
				longest = n, which = i;
		}
		if (longest)
			vcr_buf_puts(out, to[which]);
		else
			vcr_buf_putc(out, text->data[at]);
		at += longest ? longest : 1;
	}
}

/* Its output likewise, and where in it was typed. */
static void rebind_marked(const struct vcr_hermetic *h, const struct run *run, const struct vcr_buf *text, struct vcr_buf *out, struct vcr_standin_mark *mark)
{
	size_t done = 0;
	for (uint32_t i = 0; i <= run->nmark; i++) {
		size_t at = i < run->nmark && run->mark[i].at < text->len ? run->mark[i].at : text->len;
		const struct vcr_buf part = { .data = text->data + done, .len = at > done ? at - done : 0 };
		rebind(h, run, &part, out);
		done += part.len;
		if (i < run->nmark)
			mark[i] = (struct vcr_standin_mark){ (uint32_t)out->len, run->mark[i].typed };
	}
}

static bool is_ours(const char *rel)
{
	return !strncmp(rel, ".vcr", 4) && (!rel[4] || rel[4] == '/');
}

static void make_parents(int root, const char *rel)
{
	char dir[VCR_MAX_PATH];
	for (const char *slash = strchr(rel, '/'); slash; slash = strchr(slash + 1, '/')) {
		const char *name;
		snprintf(dir, sizeof dir, "%.*s", (int)(slash - rel), rel);
		int at = vcr_beneath_parent(root, dir, &name);
		if (at < 0)
			return;
		mkdirat(at, name, 0777);
		close(at);
	}
}

/* Beside it, then in its place. A link is made by what it points to. */
static bool put_file(int at, const char *name, unsigned mode, const struct vcr_buf *content)
{
	char beside[40];
	snprintf(beside, sizeof beside, ".vcr-standin.%d", (int)getpid());
	unlinkat(at, beside, 0);
	if (S_ISLNK(mode))
		return !symlinkat(content->data, at, beside) && !renameat(at, beside, at, name);
	int fd = openat(at, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	bool good = true;
	for (size_t done = 0; good && done < content->len;) {
		ssize_t k = write(fd, content->data + done, content->len - done);
		good = k > 0 || (k < 0 && errno == EINTR);
		done += k > 0 ? (size_t)k : 0;
	}
	good = good && !fchmod(fd, mode & 0777);
	close(fd);
	if (good && !renameat(at, beside, at, name))
		return true;
	unlinkat(at, beside, 0);
	return false;
}

static bool put_content(struct vcr_hermetic *h, const struct run *run, const struct vcr_reader_frame *f, int at, const char *name)
{
	VCR_AUTO_BUF recorded = VCR_BUF_INIT, live = VCR_BUF_INIT;
	char ref[48] = "", mode[16] = "";
	int after = vcr_json_get(f->j, f->output, "after");
	short_string(f->j, f->output, "content", ref, sizeof ref);
	short_string(f->j, after, "mode", mode, sizeof mode);
	unsigned bits = (unsigned)strtoul(mode, NULL, 8);
	if (!*ref || vcr_reader_body(run->reader, ref, &recorded, NULL))
		return false;
	live.max = MOST_LIVE;
	if (!memchr(recorded.data, 0, recorded.len))
		rebind(h, run, &recorded, &live);
	if (live.err)
		return false;
	return put_file(at, name, bits, memchr(recorded.data, 0, recorded.len) ? &recorded : &live);
}

static bool change_mode(int root, const char *rel, const struct vcr_reader_frame *f)
{
	char mode[16] = "";
	short_string(f->j, vcr_json_get(f->j, f->output, "after"), "mode", mode, sizeof mode);
	int fd = vcr_beneath_open(root, rel, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	bool good = fd >= 0 && *mode && !fchmod(fd, (mode_t)strtoul(mode, NULL, 8) & 0777);
	if (fd >= 0)
		close(fd);
	return good;
}

static bool move_file(struct vcr_hermetic *h, const struct vcr_reader_frame *f, int at, const char *name)
{
	VCR_AUTO_BUF old = VCR_BUF_INIT;
	const char *from;
	if (vcr_json_str(f->j, vcr_json_get(f->j, f->input, "old_path"), &old) || is_ours(old.data))
		return false;
	int there = vcr_beneath_parent(h->root, old.data, &from);
	bool good = there >= 0 && !renameat(there, from, at, name);
	if (there >= 0)
		close(there);
	return good;
}

/* One change of a file, again. False: it could not be made. */
static bool change(struct vcr_hermetic *h, const struct run *run, const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF rel = VCR_BUF_INIT;
	const char *what = f->node_name + strlen("file:"), *name;
	if (vcr_json_str(f->j, vcr_json_get(f->j, f->input, "path"), &rel) || strlen(rel.data) != rel.len || !vcr_beneath_valid(rel.data) || is_ours(rel.data))
		return false;
	make_parents(h->root, rel.data);
	int at = vcr_beneath_parent(h->root, rel.data, &name);
	if (at < 0)
		return false;
	bool done;
	if (!strcmp(what, "delete"))
		done = !unlinkat(at, name, 0) || errno == ENOENT;
	else if (!strcmp(what, "rmdir"))
		done = !unlinkat(at, name, AT_REMOVEDIR) || errno == ENOENT;
	else if (!strcmp(what, "mkdir"))
		done = !mkdirat(at, name, 0777) || errno == EEXIST;
	else if (!strcmp(what, "mode"))
		done = change_mode(h->root, rel.data, f);
	else if (!strcmp(what, "rename"))
		done = move_file(h, f, at, name) || put_content(h, run, f, at, name);
	else
		done = put_content(h, run, f, at, name);
	close(at);
	return done;
}

static void change_files(struct vcr_hermetic *h, const struct run *run)
{
	for (size_t i = 0; i < run->nchange; i++) {
		struct vcr_reader_frame f;
		VCR_AUTO_BUF path = VCR_BUF_INIT, safe = VCR_BUF_INIT;
		bool read = !vcr_reader_frame(run->reader, run->change[i], &f, NULL); /* not if the file is another by now */
		if (read && change(h, run, &f))
			continue;
		h->unwritten++;
		if (read)
			vcr_json_str(f.j, vcr_json_get(f.j, f.input, "path"), &path);
		vcr_safe_line(&safe, path.data, path.len, NAMED);
		vcr_say(h->r->t, "a tool's change is not made again: %s (frame %lld)", safe.data, (long long)run->change[i]);
	}
}

/* claude-code looks whether the file is there that it has a shell make, outside of the workspace; without, its commands would be other ones. Nobody reads it, since
 * none of them runs: it is empty. Its name is the live program's, and none but its own. */
static void make_snapshot(const struct vcr_hermetic *h, const struct vcr_buf *said)
{
	static const char name[] = "SNAPSHOT_FILE=", inside[] = "/.claude/shell-snapshots/snapshot-";
	size_t home = h->live.home ? strlen(h->live.home) : 0;
	for (size_t at = 0; at < said->len; at += strlen(said->data + at) + 1) {
		const char *path = said->data + at + strlen(name);
		size_t n = strncmp(said->data + at, name, strlen(name)) ? 0 : strcspn(path, "\n");
		char own[VCR_MAX_PATH];
		if (n <= home || n >= sizeof own || !home || memcmp(path, h->live.home, home) || strncmp(path + home, inside, strlen(inside)) || memchr(path + home + strlen(inside), '/', n - home - strlen(inside)))
			continue;
		snprintf(own, sizeof own, "%.*s", (int)n, path);
		int fd = open(own, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0)
			close(fd);
	}
}

/* ---- Asking ---- */

static void reply_marked(struct vcr_buf *to, uint32_t how, uint32_t value, const struct vcr_buf *out, const struct vcr_buf *error, const struct vcr_standin_mark *mark, uint32_t marks)
{
	struct vcr_standin_answer a = { how, value, (uint32_t)out->len, (uint32_t)error->len, marks };
	vcr_buf_add(to, &a, sizeof a);
	if (marks)
		vcr_buf_add(to, mark, marks * sizeof *mark);
	vcr_buf_add(to, out->data, out->len);
	vcr_buf_add(to, error->data, error->len);
}

static void reply(struct vcr_buf *to, uint32_t how, uint32_t value, const struct vcr_buf *out, const struct vcr_buf *error)
{
	reply_marked(to, how, value, out, error, NULL, 0);
}

/* The arguments as one line for people. */
static void words_of(const struct vcr_buf *asked, struct vcr_buf *out)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	for (size_t at = strlen(asked->data) + 1; at < asked->len; at += strlen(asked->data + at) + 1)
		vcr_buf_printf(&line, "%s%s", line.len ? " " : "", asked->data + at);
	vcr_safe_line(out, line.data, line.len, NAMED);
}

static void name_refused(struct vcr_hermetic *h, const char *words, const char *why)
{
	if (++h->refused <= MOST_REFUSED)
		vcr_buf_printf(&h->named, "%s%s (%s)", h->named.len ? "; " : "", words, why);
}

static void refuse(struct vcr_hermetic *h, struct vcr_buf *to, const struct vcr_buf *asked, const char *why)
{
	VCR_AUTO_BUF words = VCR_BUF_INIT, text = VCR_BUF_INIT, none = VCR_BUF_INIT;
	words_of(asked, &words);
	vcr_buf_printf(&text, "vcr replay: %s: %s\n", words.data, why);
	name_refused(h, words.data, why);
	reply(to, VCR_STANDIN_EXIT, NOT_RECORDED, &none, &text);
}

/* said: as it was said, before it was redacted. */
static void answer(struct vcr_hermetic *h, struct vcr_buf *to, const struct vcr_buf *said, const struct vcr_buf *asked)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT, error = VCR_BUF_INIT, live_out = VCR_BUF_INIT, live_error = VCR_BUF_INIT;
	struct vcr_standin_mark mark[VCR_STANDIN_MARKS];
	bool spent;
	struct run *run = look_for(h, asked, &spent);
	if (!run) {
		refuse(h, to, asked, spent ? "it was not run so often when it was recorded" : "it was not recorded");
		return;
	}
	run->given = true;
	if (run->no_tool) { /* it is begun later than it was */
		reply(to, VCR_STANDIN_RUN, 0, &out, &error);
		return;
	}
	const char *why = run->why ? run->why : !run->printed ? "what it printed is not in the session" : !run->ended && !run->served ? "how it ended was not seen" : NULL;
	if (!why && ((*run->stdout_ref && vcr_reader_body(run->reader, run->stdout_ref, &out, NULL)) || (*run->stderr_ref && vcr_reader_body(run->reader, run->stderr_ref, &error, NULL))))
		why = "what it printed cannot be read in the session";
	if (why) {
		refuse(h, to, asked, why);
		return;
	}
	live_out.max = live_error.max = MOST_LIVE;
	rebind_marked(h, run, &out, &live_out, mark);
	rebind(h, run, &error, &live_error);
	if (live_out.err || live_error.err) {
		refuse(h, to, asked, "with the paths of this run it printed too much");
		return;
	}
	h->answered++;
	change_files(h, run);
	make_snapshot(h, said);
	if (!run->served) {
		reply_marked(to, run->how, run->value, &live_out, &live_error, mark, run->nmark);
		return;
	}
	run->serves = !vcr_served_begin(run->served, &live_out);
	vcr_buf_reset(&live_out);
	reply(to, VCR_STANDIN_SERVE, (uint32_t)(run - h->run), &live_out, &live_error);
}

/* A server has heard a line, or the end of its input. */
static void hear(struct vcr_hermetic *h, const struct vcr_buf *said, struct vcr_buf *to)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT, out = VCR_BUF_INIT, none = VCR_BUF_INIT, what = VCR_BUF_INIT, words = VCR_BUF_INIT;
	size_t at = strlen(said->data) + 1, which = strtoul(said->data + 1, NULL, 10);
	struct run *run = which < h->n ? &h->run[which] : NULL;
	enum vcr_served_result result = VCR_SERVED_ENDS;
	if (!run || !run->serves || at >= said->len)
		return;
	if (*said->data == VCR_STANDIN_END)
		vcr_served_end(run->served, &out);
	else if (!vcr_redact_body(h->redact, said->data + at, said->len - at - 1, false, &line, NULL))
		result = vcr_served_hear(run->served, &h->live, h->exact, line.data, line.len, &out, &what);
	if (result == VCR_SERVED_UNKNOWN) {
		vcr_safe_line(&words, what.data, what.len, NAMED);
		name_refused(h, words.data, "it was not recorded");
	}
	bool ends = result == VCR_SERVED_ENDS;
	reply(to, ends ? run->how : VCR_STANDIN_SERVE, ends ? run->value : 0, &out, &none);
}

/* As the recorder writes arguments down, those that it is told. */
static void redact(struct vcr_hermetic *h, const struct vcr_buf *said, struct vcr_buf *out)
{
	const char *argv[VCR_EXEC_ARGS + 1] = { NULL };
	int argc = 0;
	size_t cwd = strlen(said->data) + 1, end = announced(said);
	for (size_t at = cwd; at < end; at += strlen(said->data + at) + 1)
		argv[argc++] = said->data + at;
	vcr_redact_learn_argv(h->redact, argc, argv);
	for (size_t at = 0; at < end; at += strlen(said->data + at) + 1) {
		vcr_redact(h->redact, said->data + at, strlen(said->data + at), out, NULL);
		vcr_buf_putc(out, 0);
	}
}

static void on_question(void *hermetic, const struct vcr_buf *said, struct vcr_buf *to)
{
	VCR_AUTO_BUF asked = VCR_BUF_INIT;
	if (!said->len || said->data[said->len - 1])
		return;
	if (*said->data == VCR_STANDIN_LINE || *said->data == VCR_STANDIN_END) {
		hear(hermetic, said, to);
		return;
	}
	redact(hermetic, said, &asked);
	answer(hermetic, to, said, &asked);
}

/* ---- The module ---- */

static int listen_at(struct vcr_hermetic *h, const char *spool, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	vcr_buf_printf(&path, "%.*s.tools", (int)(strlen(spool) - strlen(".spool")), spool);
	int err = vcr_asked_new(&h->asked, h->r->base, path.data, VCR_STANDIN_ASKED, on_question, h, e);
	if (!err)
		strcpy(h->r->fence.h->stood, path.data);
	return err;
}

static int load(struct vcr_hermetic *h, struct vcr_error *e)
{
	struct replay *r = h->r;
	int err = 0;
	for (size_t i = 0; i < r->nbefore && !err; i++)
		err = take_session(h, r->before[i].reader, &r->before[i].recorded, e);
	h->in = vcr_context_normal(&r->recorded);
	h->in.user = r->normalisers;
	if (!err)
		err = take_session(h, r->reader, &h->in, e);
	h->by_asked = index_texts(h, false);
	h->by_normal = index_texts(h, true);
	if (!err && (!h->by_asked || !h->by_normal))
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	if (!err && !h->tools)
		return vcr_error_set(e, VCR_ENOTFOUND, "no tool's output is in the session; vcr-record --capture=all keeps it");
	return err;
}

static int make_warden(struct vcr_hermetic *h, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	const struct vcr_fence *f = &h->r->fence;
	struct vcr_starts starts = { .h = f->h, .spool = f->spool };
	vcr_buf_add(&h->library, f->preload.data, strcspn(f->preload.data, ":"));
	starts.library = h->library.data;
	if (stat(f->h->standin, &starts.standin))
		return vcr_error_sys(e, errno, "%s", f->h->standin);
	vcr_buf_printf(&path, "%s" VCR_STANDIN_WATCHED, f->h->stood);
	return vcr_warden_new(&h->warden, path.data, &starts, e);
}

int vcr_hermetic_new(struct replay *r, bool exact, struct vcr_error *e)
{
	VCR_AUTO_BUF program = VCR_BUF_INIT;
	struct vcr_hermetic *h = calloc(1, sizeof *h);
	if (!h)
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	*h = (struct vcr_hermetic){ .r = r, .root = -1, .exact = exact, .named = VCR_BUF_INIT, .strangers = VCR_BUF_INIT, .library = VCR_BUF_INIT, .redact = vcr_redact_new(), .live = vcr_context_normal(&r->here) };
	r->hermetic = h;
	h->live.user = r->normalisers;
	if (!h->redact)
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	for (char **env = environ; *env; env++) {
		char name[256];
		size_t n = strcspn(*env, "=");
		if ((*env)[n] && n < sizeof name) {
			snprintf(name, sizeof name, "%.*s", (int)n, *env);
			vcr_redact_learn_env(h->redact, name, *env + n + 1);
		}
	}
	int err = load(h, e);
	if (!err && (h->root = open(r->here.workspace ? r->here.workspace : ".", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		err = vcr_error_sys(e, errno, "%s", r->here.workspace);
	if (!err && !(err = vcr_control_program_path("vcr-standin", &program, e)) && program.len >= sizeof r->fence.h->standin)
		err = vcr_error_set(e, VCR_ELIMIT, "%s: the path is too long", program.data);
	if (!err)
		err = listen_at(h, r->fence.spool, e);
	if (err)
		return err;
	strcpy(r->fence.h->standin, program.data);
	if ((err = make_warden(h, e)))
		return err;
	r->fence.h->flags |= VCR_SPOOL_ANSWERS;
	return 0;
}

struct vcr_warden *vcr_hermetic_warden(struct vcr_hermetic *h)
{
	return h->warden;
}

static void take_refused(void *hermetic, const char *words, const char *why)
{
	struct vcr_hermetic *h = hermetic;
	VCR_AUTO_BUF redacted = VCR_BUF_INIT, safe = VCR_BUF_INIT, text = VCR_BUF_INIT;
	vcr_redact(h->redact, words, strlen(words), &redacted, NULL);
	vcr_safe_line(&safe, redacted.data, redacted.len, NAMED);
	vcr_buf_printf(&text, "it was not recorded: %s", why);
	name_refused(h, safe.data, text.data);
}

static void take_missed(void *hermetic, const char *words)
{
	struct vcr_hermetic *h = hermetic;
	vcr_safe_line(&h->strangers, words, strlen(words), MOST_SAID);
	vcr_buf_putc(&h->strangers, '\n');
}

void vcr_hermetic_stop(struct vcr_hermetic *h)
{
	int64_t before = h->refused;
	vcr_warden_stop(h->warden);
	h->refused = before + vcr_warden_refused(h->warden, take_refused, h);
	h->unwatched = vcr_warden_missed(h->warden, take_missed, h);
}

void vcr_hermetic_say(const struct vcr_hermetic *h)
{
	size_t unused = 0;
	for (size_t i = 0; i < h->n; i++)
		unused += !h->run[i].given && !h->run[i].no_tool;
	if (!h->r->t->quiet)
		vcr_say(h->r->t, "%lld tool%s answered from the session, %zu recorded run%s not asked for", (long long)h->answered, h->answered == 1 ? " was" : "s were", unused, unused == 1 ? " was" : "s were");
	for (const char *p = h->strangers.data, *end; (end = strchr(p, '\n')); p = end + 1)
		vcr_say(h->r->t, "%.*s", (int)(end - p), p);
	if (h->refused)
		vcr_say(h->r->t, "%lld tool%s refused: %s%s", (long long)h->refused, h->refused == 1 ? " was" : "s were", h->named.data, h->refused > MOST_REFUSED ? " and others" : "");
}

void vcr_hermetic_write(const struct vcr_hermetic *h, struct vcr_jw *w)
{
	vcr_jw_object(w);
	vcr_jw_key(w, "answered");
	vcr_jw_int(w, h->answered);
	vcr_jw_key(w, "refused");
	vcr_jw_int(w, h->refused);
	vcr_jw_key(w, "programs_not_watched");
	vcr_jw_int(w, h->unwatched);
	vcr_jw_key(w, "files_not_changed");
	vcr_jw_int(w, h->unwritten);
	vcr_jw_object_end(w);
}

int64_t vcr_hermetic_refused(const struct vcr_hermetic *h)
{
	return h->refused + h->unwatched;
}

void vcr_hermetic_free(struct vcr_hermetic *h)
{
	if (!h)
		return;
	vcr_asked_free(h->asked);
	vcr_warden_free(h->warden);
	vcr_buf_release(&h->library);
	vcr_buf_release(&h->strangers);
	free(h->by_frame);
	free(h->by_asked);
	free(h->by_normal);
	if (h->root >= 0)
		close(h->root);
	for (size_t i = 0; i < h->n; i++) {
		vcr_buf_release(&h->run[i].asked);
		vcr_buf_release(&h->run[i].normal);
		free(h->run[i].why);
		free(h->run[i].change);
		free(h->run[i].mark);
		vcr_served_free(h->run[i].served);
	}
	free(h->run);
	vcr_buf_release(&h->named);
	vcr_redact_free(h->redact);
	free(h);
}
