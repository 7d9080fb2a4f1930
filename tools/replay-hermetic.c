/* replay-hermetic.c — tools that are answered from the session: vcr-standin asks at a socket, by working directory and arguments, what its program printed and how
 * it ended when it was recorded; what the program and those under it did to files of the workspace is done again.
 *
 * Of equal runs the first that nobody has had is given out. A recording is hostile: paths stay beneath the workspace, outside .git and .vcr, no mode has more
 * than permissions. */
#include "asked.h"
#include "control.h"
#include "hermetic-parts.h"
#include "redact.h"
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

enum { NOT_RECORDED = 127, NAMED = 120, MOST_SAID = 400, MOST_REFUSED = 20 };

struct early { const char *how, *program; }; /* standin.h */

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

/* Tools, or those that were none. *spent: there are such runs, and all have been given out. */
static struct run *first_free(struct vcr_hermetic *h, struct by_text *v, const struct vcr_buf *text, bool no_tool, bool *spent)
{
	const struct by_text wanted = { .text = text, .no_tool = no_tool };
	size_t lo = 0, hi = h->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (by_text(&v[mid], &wanted) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == h->n || v[lo].no_tool != no_tool || compare(v[lo].text, text))
		return NULL;
	*spent = true;
	for (size_t i = lo + v[lo].given; i < h->n && v[i].no_tool == no_tool && !compare(v[i].text, text); i++, v[lo].given++)
		if (!h->run[v[i].run].given)
			return &h->run[v[i].run];
	return NULL;
}

static struct run *look_among(struct vcr_hermetic *h, const struct vcr_buf *asked, struct vcr_buf *normal, bool no_tool, bool *spent)
{
	struct run *run = first_free(h, h->by_asked, asked, no_tool, spent);
	if (run || !normal)
		return run;
	if (!normal->len)
		vcr_toolkey(&h->live, asked, normal);
	return first_free(h, h->by_normal, normal, no_tool, spent);
}

/* early: who asks has not spoken to a model. Then one that ran before the first call is looked for first, whatever is made anew in its arguments; else one that is exactly so, where
 * no tool like it was recorded. */
static struct run *look_for(struct vcr_hermetic *h, const struct vcr_buf *asked, bool early, bool *spent)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_buf *normal = h->exact ? NULL : &text;
	*spent = false;
	struct run *run = early ? look_among(h, asked, normal, true, spent) : NULL;
	if (!run)
		run = look_among(h, asked, normal, false, spent);
	return run || *spent ? run : look_among(h, asked, NULL, true, spent);
}

/* ---- What it printed, and its files ---- */

/* Its output likewise, and where in it was typed. */
static void rebind_marked(const struct vcr_hermetic *h, const struct run *run, const struct vcr_buf *text, struct vcr_buf *out, struct vcr_standin_mark *mark)
{
	size_t done = 0;
	for (uint32_t i = 0; i <= run->nmark; i++) {
		size_t at = i < run->nmark && run->mark[i].at < text->len ? run->mark[i].at : text->len;
		const struct vcr_buf part = { .data = text->data + done, .len = at > done ? at - done : 0 };
		vcr_hermetic_rebind(h, run->in, &part, out);
		done += part.len;
		if (i < run->nmark)
			mark[i] = (struct vcr_standin_mark){ (uint32_t)out->len, run->mark[i].typed };
	}
}

/* And its error output; of a server, up to where of the other so much was there. */
static void rebind_error(const struct vcr_hermetic *h, const struct run *run, const struct vcr_buf *text, struct vcr_buf *out, struct vcr_standin_mark *mark)
{
	size_t done = 0;
	for (uint32_t i = 0; run->in_order && i < run->nmark; i++) {
		size_t upto = run->mark[i].typed < text->len ? run->mark[i].typed : text->len;
		const struct vcr_buf part = { .data = text->data + done, .len = upto > done ? upto - done : 0 };
		vcr_hermetic_rebind(h, run->in, &part, out);
		done += part.len;
		mark[i].typed = (uint32_t)out->len;
	}
	const struct vcr_buf rest = { .data = text->data + done, .len = text->len - done };
	vcr_hermetic_rebind(h, run->in, &rest, out);
}

static void change_file(struct vcr_hermetic *h, const struct run *run, struct change *c)
{
	struct vcr_reader_frame f;
	VCR_AUTO_BUF path = VCR_BUF_INIT, safe = VCR_BUF_INIT;
	bool read = !vcr_reader_frame(run->reader, c->index, &f, NULL); /* not if the file is another by now */
	c->made = true;
	if (read && vcr_again_change(&(struct vcr_again){ h->root, run->reader, run->in, &h->live }, &f))
		return;
	h->unwritten++;
	if (read)
		vcr_json_str(f.j, vcr_json_get(f.j, f.input, "path"), &path);
	vcr_safe_line(&safe, path.data, path.len, NAMED);
	vcr_say(h->r->t, "a tool's change is not made again: %s (frame %lld)", safe.data, (long long)c->index);
}

/* at: NULL, all of them; else those of a server that it made for what it was asked then. */
static void change_files(struct vcr_hermetic *h, struct run *run, const char *at)
{
	for (size_t i = 0; i < run->nchange; i++)
		if (!run->change[i].made && (!at || !strcmp(run->change[i].at, at)))
			change_file(h, run, &run->change[i]);
}

/* What each change was made for. */
static void assign_changes(struct run *run)
{
	for (size_t i = 0; i < run->nchange; i++) {
		struct change *c = &run->change[i];
		snprintf(c->at, sizeof c->at, "%s", vcr_served_since(run->served, c->at));
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
	VCR_AUTO_BUF one = VCR_BUF_INIT;
	h->refused++;
	vcr_buf_printf(&one, "%s (%s)", words, why);
	for (const char *at = h->named.data; (at = strstr(at, one.data)); at++)
		if (at == h->named.data || at[-1] == ' ')
			return;
	if (++h->nnamed <= MOST_REFUSED)
		vcr_buf_printf(&h->named, "%s%s", h->named.len ? "; " : "", one.data);
}

static void refuse(struct vcr_hermetic *h, struct vcr_buf *to, const struct vcr_buf *asked, const char *why)
{
	VCR_AUTO_BUF words = VCR_BUF_INIT, text = VCR_BUF_INIT, none = VCR_BUF_INIT;
	words_of(asked, &words);
	vcr_buf_printf(&text, "vcr replay: %s: %s\n", words.data, why);
	name_refused(h, words.data, why);
	reply(to, VCR_STANDIN_EXIT, NOT_RECORDED, &none, &text);
}

static void name_runner(struct vcr_hermetic *h, const char *program, const char *is, const char *lost)
{
	VCR_AUTO_BUF words = VCR_BUF_INIT;
	vcr_buf_printf(&words, "%s %s%s", program, is, lost);
	vcr_replay_lost(h->r, words.data);
}

/* A program that was none of the tools becomes what it is; one whose own tools the library would not see start is watched then (warden.h). */
static void let_run(struct vcr_hermetic *h, const struct early *early, struct vcr_buf *to)
{
	static const struct { const char *word, *is, *lost; } how[] = { { "go", "is of Go", NULL }, { "static", "is static", NULL }, { "musl", "is of another libc", NULL }, { "harmed", "takes no library", VCR_LOST_TOOLS } };
	VCR_AUTO_BUF none = VCR_BUF_INIT;
	for (size_t i = 0; early && i < sizeof how / sizeof *how; i++)
		if (!strcmp(early->how, how[i].word)) {
			name_runner(h, early->program, how[i].is, VCR_LOST_CHANCE);
			if (how[i].lost)
				name_runner(h, early->program, how[i].is, how[i].lost);
		}
	reply(to, VCR_STANDIN_RUN, 0, &none, &none);
}

/* Is it the command itself, or around it? */
static bool is_around(struct vcr_hermetic *h, const struct vcr_buf *asked)
{
	size_t first = strlen(asked->data) + 1;
	return !h->around.begun && (vcr_around_begins(&h->around, asked->data + first, asked->len - first) || true);
}

/* It answered in JSON-RPC, and what it was asked is not in the session: the library did not hear it (Go). As long as it began before the first call it may run. */
static bool is_unheard_server(const struct run *run, const struct vcr_buf *out)
{
	static const char word[] = "\"jsonrpc\"";
	return run->early && !run->served && *run->input && *out->data == '{' && memmem(out->data, out->len < 256 ? out->len : 256, word, strlen(word));
}

/* What it did before it was asked anything is done now, and its error output of then is said. */
static void begin_serving(struct vcr_hermetic *h, struct run *run, const struct vcr_buf *printed, const struct vcr_buf *error, const struct vcr_standin_mark *mark, struct vcr_buf *to)
{
	VCR_AUTO_BUF none = VCR_BUF_INIT, say = VCR_BUF_INIT;
	bool killed = run->how == VCR_STANDIN_SIGNAL && (run->value == SIGTERM || run->value == SIGKILL || run->value == SIGINT || run->value == SIGHUP);
	run->serves = !vcr_served_begin(run->served, printed, error, mark, run->in_order ? run->nmark : 0, run->ended && !killed, &say);
	assign_changes(run);
	change_files(h, run, "");
	reply(to, VCR_STANDIN_SERVE, (uint32_t)(run - h->run), &none, &say);
}

/* said: as it was said, before it was redacted. early: NULL where who asks has spoken to a model. */
static void answer(struct vcr_hermetic *h, struct vcr_buf *to, const struct vcr_buf *said, const struct early *early, const struct vcr_buf *asked, size_t told)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT, error = VCR_BUF_INIT, live_out = VCR_BUF_INIT, live_error = VCR_BUF_INIT;
	struct vcr_standin_mark mark[VCR_STANDIN_MARKS];
	bool spent, around = early && is_around(h, asked);
	struct run *run = look_for(h, asked, early, &spent);
	if (!run && !spent && h->cuts && told < asked->len)
		run = look_for(h, &(struct vcr_buf){ .data = asked->data, .len = told }, early, &spent);
	if (!run && around) {
		let_run(h, early, to);
		return;
	}
	if (!run) {
		refuse(h, to, asked, spent ? "it was not run so often when it was recorded" : "it was not recorded");
		return;
	}
	run->given = true;
	if (run->no_tool) {
		let_run(h, early, to);
		return;
	}
	const char *why = vcr_hermetic_why_not(run);
	if (!why && ((*run->stdout_ref && vcr_reader_body(run->reader, run->stdout_ref, &out, NULL)) || (*run->stderr_ref && vcr_reader_body(run->reader, run->stderr_ref, &error, NULL))))
		why = "what it printed cannot be read in the session";
	if (why) {
		refuse(h, to, asked, why);
		return;
	}
	if (is_unheard_server(run, &out)) {
		let_run(h, early, to);
		return;
	}
	live_out.max = live_error.max = MOST_LIVE;
	rebind_marked(h, run, &out, &live_out, mark);
	rebind_error(h, run, &error, &live_error, mark);
	if (live_out.err || live_error.err) {
		refuse(h, to, asked, "with the paths of this run it printed too much");
		return;
	}
	h->answered++;
	make_snapshot(h, said);
	if (run->served) {
		begin_serving(h, run, &live_out, &live_error, mark, to);
		return;
	}
	change_files(h, run, NULL);
	reply_marked(to, run->how, run->value, &live_out, &live_error, mark, run->in_order ? 0 : run->nmark);
}

/* A server has heard a line, or the end of its input. */
static void hear(struct vcr_hermetic *h, const struct vcr_buf *said, struct vcr_buf *to)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT, out = VCR_BUF_INIT, error = VCR_BUF_INIT, what = VCR_BUF_INIT, words = VCR_BUF_INIT;
	struct vcr_served_words w = { &out, &error, &what, NULL };
	size_t at = strlen(said->data) + 1, which = strtoul(said->data + 1, NULL, 10);
	struct run *run = which < h->n ? &h->run[which] : NULL;
	enum vcr_served_result result = VCR_SERVED_ENDS;
	if (!run || !run->serves || at >= said->len)
		return;
	if (*said->data == VCR_STANDIN_END)
		vcr_served_end(run->served, &w);
	else if (!vcr_redact_body(h->redact, said->data + at, said->len - at - 1, false, &line, NULL))
		result = vcr_served_hear(run->served, &h->live, h->exact, line.data, line.len, &w);
	if (w.at && *w.at)
		change_files(h, run, w.at);
	if (result == VCR_SERVED_UNKNOWN) {
		vcr_safe_line(&words, what.data, what.len, NAMED);
		name_refused(h, words.data, "it was not recorded");
	}
	bool ends = result == VCR_SERVED_ENDS;
	reply(to, ends ? run->how : VCR_STANDIN_SERVE, ends ? run->value : 0, &out, &error);
}

/* As the recorder writes arguments down. Returns how much of that are those that the library tells it of. */
static size_t redact(struct vcr_hermetic *h, const struct vcr_buf *said, struct vcr_buf *out)
{
	const char *argv[VCR_EXEC_ARGS + 1] = { NULL };
	int argc = 0;
	size_t cwd = strlen(said->data) + 1, end = announced(said);
	for (size_t at = cwd; at < end; at += strlen(said->data + at) + 1)
		argv[argc++] = said->data + at;
	vcr_redact_learn_argv(h->redact, argc, argv);
	size_t told = 0;
	for (size_t at = 0; at < said->len; at += strlen(said->data + at) + 1) {
		vcr_redact(h->redact, said->data + at, strlen(said->data + at), out, NULL);
		vcr_buf_putc(out, 0);
		told = at < end ? out->len : told;
	}
	return told;
}

/* The question behind its beginning; false: it has not all that belongs there. */
static bool take_early(const struct vcr_buf *said, struct early *early, struct vcr_buf *rest)
{
	early->how = said->data + 1;
	early->program = early->how + strlen(early->how) + 1;
	if (early->program >= said->data + said->len)
		return false;
	size_t at = (size_t)(early->program - said->data) + strlen(early->program) + 1;
	*rest = (struct vcr_buf){ .data = said->data + at, .len = said->len - at };
	return at < said->len;
}

static void on_question(void *hermetic, const struct vcr_buf *said, struct vcr_buf *to)
{
	VCR_AUTO_BUF asked = VCR_BUF_INIT;
	struct early early;
	struct vcr_buf rest = *said;
	if (!said->len || said->data[said->len - 1])
		return;
	if (*said->data == VCR_STANDIN_LINE || *said->data == VCR_STANDIN_END) {
		hear(hermetic, said, to);
		return;
	}
	bool is_early = *said->data == VCR_STANDIN_EARLY;
	if (is_early && !take_early(said, &early, &rest))
		return;
	size_t told = redact(hermetic, &rest, &asked);
	answer(hermetic, to, &rest, is_early ? &early : NULL, &asked, told);
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
		err = vcr_hermetic_take(h, r->before[i].reader, &r->before[i].recorded, e);
	h->in = vcr_context_normal(&r->recorded);
	h->in.user = r->normalisers;
	if (!err)
		err = vcr_hermetic_take(h, r->reader, &h->in, e);
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

/* Is what is replayed the recorded command itself, with nothing around it? */
static void begin_command(struct vcr_hermetic *h)
{
	VCR_AUTO_BUF said = VCR_BUF_INIT, asked = VCR_BUF_INIT;
	vcr_buf_putc(&said, 0);
	for (char *const *a = h->r->command; *a; a++)
		vcr_buf_add(&said, *a, strlen(*a) + 1);
	redact(h, &said, &asked);
	is_around(h, &asked);
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
	if (!err)
		begin_command(h);
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

/* Itself, or what it is under. */
static bool is_given(const struct vcr_hermetic *h, const struct run *run)
{
	for (int depth = 0; run && depth < DEEPEST; depth++, run = vcr_hermetic_outer(h, run))
		if (run->given && !run->no_tool)
			return true;
	return false;
}

void vcr_hermetic_say(const struct vcr_hermetic *h)
{
	size_t unused = 0;
	for (size_t i = 0; i < h->n; i++) {
		if (h->run[i].no_tool || h->run[i].early || is_given(h, &h->run[i])) /* how often an agent looks around while it starts is not said */
			continue;
		VCR_AUTO_BUF words = VCR_BUF_INIT;
		words_of(&h->run[i].asked, &words);
		if (h->r->t->verbose && unused < MOST_REFUSED)
			vcr_say(h->r->t, "not asked for: %s", words.data);
		unused++;
	}
	if (!h->r->t->quiet)
		vcr_say(h->r->t, "%lld tool%s answered from the session, %zu recorded run%s not asked for", (long long)h->answered, h->answered == 1 ? " was" : "s were", unused, unused == 1 ? " was" : "s were");
	for (const char *p = h->strangers.data, *end; (end = strchr(p, '\n')); p = end + 1)
		vcr_say(h->r->t, "%.*s", (int)(end - p), p);
	if (h->refused)
		vcr_say(h->r->t, "%lld tool%s refused: %s%s", (long long)h->refused, h->refused == 1 ? " was" : "s were", h->named.data, h->nnamed > MOST_REFUSED ? " and others" : "");
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
	vcr_around_release(&h->around);
	vcr_buf_release(&h->named);
	vcr_redact_free(h->redact);
	free(h);
}
