/* recorder-tests.c — the user's tests are run at savepoints that differ from the last one that was tested, and each run becomes a frame test:run.
 *
 * They run in the workspace itself, for what they need is there and in no savepoint (installed packages, builds). So the agent may write meanwhile: a run says how
 * many changes came between its savepoint and its end, and only one without any is held against what the agent says. Not counted are changes of the time of the run
 * that no program of the session is known to have made: these are its own, as a rule. One runs at a time; of the savepoints that wait the newest is taken. */
#include "recorder-parts.h"
#include "testrun.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GRACE_MS = 10000, SLICE_MS = 200, MOST_KEPT = 16 << 10, MOST_SAID = 200 };

struct vcr_recorder_tests {
	struct vcr_testrun *run;
	char *command, *dir;
	const volatile sig_atomic_t *hurry;
	char tree[41];             /* of the last savepoint that was tested, or is to be; "" there was none */
	struct asked { bool is; struct vcr_savepoint p; int64_t changes; char parent[37]; } now, next;
	bool over;                 /* the session: its last savepoint was taken */
	int64_t changes;           /* so far */
	int64_t began_ns, ended_ns; /* of the last run, monotonic; ended 0: it runs */
	int64_t runs, passed, failed, undecided, superseded;
	char said[MOST_SAID];      /* how the last one ended */
	char error[MOST_SAID];     /* why one could not be started */
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void vcr_recorder_tests_new(struct vcr_recorder *r, const struct vcr_recorder_options *o)
{
	struct vcr_recorder_tests *t = calloc(1, sizeof *t);
	if (!t)
		return;
	t->command = strdup(o->test_command);
	t->dir = strndup(r->spool->start_dir, sizeof r->spool->start_dir - 1);
	t->hurry = o->hurry;
	const struct vcr_testrun_options to = { .command = t->command, .dir = t->dir, .timeout_s = o->test_timeout_s, .mask = o->test_mask };
	r->tests = t;
	if (!t->command || !t->dir || vcr_testrun_new(&t->run, &to))
		vcr_recorder_tests_free(r);
}

void vcr_recorder_tests_free(struct vcr_recorder *r)
{
	struct vcr_recorder_tests *t = r->tests;
	if (!t)
		return;
	vcr_testrun_free(t->run);
	free(t->command);
	free(t->dir);
	free(t);
	r->tests = NULL;
}

void vcr_recorder_tests_change(struct vcr_recorder *r, const struct vcr_change *c)
{
	struct vcr_recorder_tests *t = r->tests;
	if (!t)
		return;
	bool its_own = c->source != VCR_SOURCE_SHIM && t->began_ns && c->last_ns >= t->began_ns && (!t->ended_ns || c->first_ns <= t->ended_ns);
	t->changes += !its_own;
}

void vcr_recorder_tests_savepoint(struct vcr_recorder *r, const struct vcr_savepoint *p)
{
	struct vcr_recorder_tests *t = r->tests;
	if (!t)
		return;
	bool differs = *t->tree && strcmp(t->tree, p->tree);
	strcpy(t->tree, p->tree);
	if (!differs)
		return;
	t->superseded += t->next.is;
	t->next = (struct asked){ .is = true, .p = *p, .changes = t->changes };
	strcpy(t->next.parent, r->last_call);
	vcr_recorder_sentinel_testing(r);
}

/* ---- Frames ---- */

/* The end of what was printed, from the beginning of a line. Redacted as a whole first: a secret that is cut is not known any more. */
static void write_printed(struct vcr_recorder *r, struct vcr_jw *w, const struct vcr_testrun_result *u)
{
	VCR_AUTO_BUF clean = VCR_BUF_INIT;
	unsigned count = 0;
	const char *line = (size_t)u->printed > u->n ? memchr(u->output, '\n', u->n) : NULL;
	size_t skip = line ? (size_t)(line + 1 - u->output) : (size_t)u->printed > u->n ? u->n : 0, from = 0;
	vcr_jw_key(w, "output");
	if (vcr_redact(r->redact, u->output + skip, u->n - skip, &clean, &count)) {
		vcr_jw_str(w, "{{vcr:lost}}");
	} else {
		if (clean.len > MOST_KEPT) {
			line = memchr(clean.data + clean.len - MOST_KEPT, '\n', MOST_KEPT);
			from = line ? (size_t)(line + 1 - clean.data) : clean.len;
		}
		r->redactions += count;
		vcr_jw_strn(w, clean.data + from, clean.len - from);
	}
	vcr_jw_key(w, "printed");
	vcr_jw_int(w, u->printed);
	vcr_jw_key(w, "cut");
	vcr_jw_bool(w, skip || from || (size_t)u->printed > u->n);
}

static void write_input(struct vcr_recorder *r, struct vcr_jw *w, const struct asked *a)
{
	const struct vcr_recorder_tests *t = r->tests;
	vcr_jw_object(w);
	vcr_jw_key(w, "command");
	vcr_recorder_redacted(r, w, t->command, strlen(t->command));
	vcr_jw_key(w, "cwd");
	vcr_recorder_redacted(r, w, t->dir, strlen(t->dir));
	vcr_jw_key(w, "savepoint");
	vcr_jw_int(w, a->p.n);
	vcr_jw_key(w, "commit");
	vcr_jw_str(w, a->p.commit);
	vcr_jw_object_end(w);
}

static void write_output(struct vcr_recorder *r, struct vcr_jw *w, const struct vcr_testrun_result *u, int64_t meanwhile)
{
	bool decided = !u->timed_out && !u->stopped;
	vcr_jw_object(w);
	vcr_jw_key(w, "passed");
	if (decided)
		vcr_jw_bool(w, !u->exit_code);
	else
		vcr_jw_null(w);
	vcr_jw_key(w, u->signal ? "signal" : "exit_code");
	vcr_jw_int(w, u->signal ? u->signal : u->exit_code);
	if (!decided) {
		vcr_jw_key(w, "ended_by");
		vcr_jw_str(w, u->timed_out ? "time limit" : "end of the session");
	}
	vcr_jw_key(w, "seconds");
	vcr_jw_double(w, u->seconds);
	vcr_jw_key(w, "changes_meanwhile");
	vcr_jw_int(w, meanwhile);
	write_printed(r, w, u);
	vcr_jw_object_end(w);
}

static void say(struct vcr_recorder_tests *t, const struct vcr_testrun_result *u)
{
	if (u->timed_out)
		snprintf(t->said, sizeof t->said, "was ended at its time limit");
	else if (u->stopped)
		snprintf(t->said, sizeof t->said, "was ended with the session");
	else if (u->signal)
		snprintf(t->said, sizeof t->said, "signal %d", u->signal);
	else
		snprintf(t->said, sizeof t->said, "exit %d", u->exit_code);
}

static void ended(struct vcr_recorder *r, const struct vcr_testrun_result *u)
{
	VCR_AUTO_BUF in = VCR_BUF_INIT, out = VCR_BUF_INIT, meta = VCR_BUF_INIT;
	struct vcr_recorder_tests *t = r->tests;
	struct vcr_jw w;
	struct asked a = t->now;
	if (!t->over) { /* what was changed until now */
		vcr_recorder_watch(r);
		vcr_recorder_sweep(r, now_ns());
	}
	t->ended_ns = now_ns();
	t->now.is = false;
	int64_t meanwhile = t->changes - a.changes;
	bool decided = !u->timed_out && !u->stopped;
	vcr_jw_init(&w, &in);
	write_input(r, &w, &a);
	vcr_jw_init(&w, &out);
	write_output(r, &w, u, meanwhile);
	vcr_jw_init(&w, &meta);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "source");
	vcr_jw_str(&w, "tests");
	vcr_jw_key(&w, "savepoint");
	vcr_jw_str(&w, a.p.commit);
	vcr_jw_object_end(&w);
	struct vcr_frame f = { .type = VCR_FRAME_TOOL, .node_name = "test:run", .parent_frame_id = *a.parent ? a.parent : NULL, .input_json = in.data, .output_json = out.data,
		.vcr_json = meta.data, .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1, .latency_ms = u->seconds * 1000 };
	vcr_frame_new_id(f.frame_id);
	say(t, u);
	t->runs++;
	*(!decided ? &t->undecided : u->exit_code ? &t->failed : &t->passed) += 1;
	if (!vcr_recorder_frame(r, &f) && decided && !meanwhile)
		vcr_recorder_sentinel_tested(r, f.frame_id, !u->exit_code, t->command, t->said);
}

/* ---- Going on ---- */

int vcr_recorder_tests_pollfds(const struct vcr_recorder *r, struct pollfd *fd)
{
	return r->tests ? vcr_testrun_pollfds(r->tests->run, fd) : 0;
}

int vcr_recorder_tests_timeout(const struct vcr_recorder *r)
{
	const struct vcr_recorder_tests *t = r->tests;
	return !t ? -1 : t->next.is && !t->now.is ? 0 : vcr_testrun_timeout(t->run);
}

static void begin(struct vcr_recorder_tests *t)
{
	struct vcr_error e = { 0 };
	t->now = t->next;
	t->next.is = false;
	t->began_ns = now_ns();
	t->ended_ns = 0;
	if (vcr_testrun_start(t->run, &e)) {
		snprintf(t->error, sizeof t->error, "%.*s", MOST_SAID - 1, e.what);
		t->ended_ns = t->began_ns;
		t->now.is = false;
		t->undecided++;
	}
}

void vcr_recorder_tests(struct vcr_recorder *r)
{
	struct vcr_recorder_tests *t = r->tests;
	struct vcr_testrun_result u;
	if (!t)
		return;
	if (t->now.is && vcr_testrun_serve(t->run, &u))
		ended(r, &u);
	if (!t->now.is && t->next.is)
		begin(t);
}

/* One that began for an older savepoint has a while only, the last one until its limit. */
void vcr_recorder_tests_end(struct vcr_recorder *r)
{
	struct vcr_recorder_tests *t = r->tests;
	int64_t until = now_ns() + GRACE_MS * (int64_t)1000000;
	struct pollfd fd[2];
	if (!t)
		return;
	t->over = true;
	for (vcr_recorder_tests(r); t->now.is || t->next.is; vcr_recorder_tests(r)) {
		if (t->hurry && *t->hurry) {
			t->superseded += t->next.is;
			t->next.is = false;
		}
		if ((t->hurry && *t->hurry) || (t->next.is && now_ns() >= until))
			vcr_testrun_stop(t->run);
		int wait = vcr_recorder_tests_timeout(r);
		poll(fd, (nfds_t)vcr_recorder_tests_pollfds(r, fd), wait >= 0 && wait < SLICE_MS ? wait : SLICE_MS);
	}
}

void vcr_recorder_tests_write(const struct vcr_recorder *r, struct vcr_jw *w)
{
	const struct vcr_recorder_tests *t = r->tests;
	if (!t)
		return;
	const struct { const char *key; int64_t n; } list[] = { { "runs", t->runs }, { "passed", t->passed }, { "failed", t->failed }, { "undecided", t->undecided },
		{ "superseded", t->superseded } };
	vcr_jw_key(w, "tests");
	vcr_jw_object(w);
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		vcr_jw_key(w, list[i].key);
		vcr_jw_int(w, list[i].n);
	}
	vcr_jw_key(w, "last");
	vcr_jw_str(w, *t->said ? t->said : NULL);
	vcr_jw_key(w, "error");
	vcr_jw_str(w, *t->error ? t->error : !*t->tree ? r->save_error.code ? r->save_error.what : "there is no savepoint" : NULL);
	vcr_jw_object_end(w);
}
