/* recorder-sentinel.c — what the judge (judge.h) says of each captured write becomes frames, and what the agent is to be told of it.
 *
 * RUNTIME/<session>.sentinel (0600, on tmpfs, gone with the session) is what the gate reads, a line of JSON each, only ever appended to:
 *   {"id":1,"text":"...","tool_calls":["call_1"]}   a reminder: to be put into the next request of the conversation that made that call, of any without
 *   {"blockers":["src/a.py:3: ..."]}                those that stand now; an empty list: none does any more
 * RUNTIME/<session>.judged is what the judges of a session leave to each other (judge.h, state).
 * A line is there before `judged` in the spool's header says that the writes before it have been judged. */
#include "recorder-parts.h"
#include "claims.h"
#include "judge.h"
#include "paths.h"
#include "replace.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLAIM "claims"
#define FAILING "tests-failing"

enum { FINISH_MS = 10000, MOST_TOLD = 20, MOST_KEY = 1024, MOST_LINE = 400, MOST_CALLS = 16, MOST_QUOTED = 200 };

/* One that stands, or did. */
struct finding {
	char *key, *line;          /* line: for people */
	char *path;                /* whose judgement says whether it stands; NULL it is of no file */
	char *tool_call;           /* which asked for the write; NULL not known */
	bool stands, told, blocks;
	int64_t judged;            /* when it was seen last, as the count of judgements */
};

struct vcr_recorder_sentinel {
	struct vcr_recorder *r;
	struct vcr_judge *judge;
	struct vcr_buf conf, baseline; /* as the session found them */
	int mode;                  /* enum vcr_sentinel */
	int fd;                    /* of the file; -1: nobody is told anything */
	char path[VCR_MAX_PATH], state[VCR_MAX_PATH], *config; /* path: the file's; state: the judges' own */
	struct finding *finding;
	size_t n;
	bool blockers_changed;
	char test[37];             /* frame of the last run of tests; "" none was run */
	bool test_passed;
	bool tests_passed;         /* a run of the recorder's own has, and none has failed since */
	char said[37];             /* frame of an answer that says that tests pass, since the savepoint that is tested; "" none */
	char said_words[204];
	int64_t claims;
	int64_t judged, unjudged, violations, corrected, reminders;
	char why[200];             /* the first time that something was not judged */
};

/* Of a question: the write that it is about. */
struct about { char *path, *tool_call, frame[37], parent[37]; const char *node; };

static void free_about(struct about *a)
{
	free(a->path);
	free(a->tool_call);
	free(a);
}

/* ---- Findings ---- */

static struct finding *find(struct vcr_recorder_sentinel *s, const char *key)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->finding[i].key, key))
			return &s->finding[i];
	return NULL;
}

static struct finding *add(struct vcr_recorder_sentinel *s, const char *key)
{
	if (s->n == VCR_MAX_FINDINGS)
		return NULL;
	if (!(s->n & (s->n - 1))) {
		struct finding *more = reallocarray(s->finding, s->n ? s->n * 2 : 1, sizeof *more);
		if (!more)
			return NULL;
		s->finding = more;
	}
	char *copy = strdup(key);
	if (!copy)
		return NULL;
	s->finding[s->n] = (struct finding){ .key = copy };
	return &s->finding[s->n++];
}

static void put_text(struct vcr_buf *b, const struct vcr_json *j, int v)
{
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	vcr_json_str(j, v, &s);
	for (size_t i = 0; i < s.len && i < MOST_LINE; i++)
		vcr_buf_putc(b, (unsigned char)s.data[i] < ' ' ? ' ' : s.data[i]);
}

/* "src/a.py:12: critical: f is 109 lines long [function-length]" */
static char *line_of(const struct vcr_json *j, int v)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	int64_t line;
	put_text(&b, j, vcr_json_get(j, v, "path"));
	if (vcr_json_int(j, vcr_json_get(j, v, "line"), &line))
		vcr_buf_printf(&b, ":%lld", (long long)line);
	vcr_buf_puts(&b, ": ");
	put_text(&b, j, vcr_json_get(j, v, "severity"));
	vcr_buf_puts(&b, ": ");
	put_text(&b, j, vcr_json_get(j, v, "message"));
	vcr_buf_puts(&b, " [");
	put_text(&b, j, vcr_json_get(j, v, "rule"));
	vcr_buf_putc(&b, ']');
	return vcr_buf_take(&b, NULL);
}

static bool key_of(const struct vcr_json *j, int v, struct vcr_buf *key)
{
	return !vcr_json_str(j, vcr_json_get(j, v, "key"), key) && key->len && key->len <= MOST_KEY && strlen(key->data) == key->len;
}

static void take_violation(struct vcr_recorder_sentinel *s, const struct vcr_json *j, int v, const struct about *a)
{
	VCR_AUTO_BUF key = VCR_BUF_INIT;
	int state = vcr_json_get(j, v, "state");
	bool has_key = key_of(j, v, &key);
	if (vcr_json_is(j, state, "old") || vcr_json_is(j, vcr_json_get(j, v, "severity"), "info") || !has_key) {
		struct finding *known = has_key ? find(s, key.data) : NULL;
		if (known)
			known->judged = s->judged; /* old to a judge that was started since: it stands as it stood */
		return;
	}
	struct finding *f = find(s, key.data);
	if (!f && !(f = add(s, key.data)))
		return;
	if (!f->stands || vcr_json_is(j, state, "worse"))
		f->told = false;
	f->stands = true;
	bool blocks = vcr_json_is(j, vcr_json_get(j, v, "severity"), "blocker");
	s->blockers_changed |= blocks || f->blocks;
	f->blocks = blocks;
	f->judged = s->judged;
	free(f->line);
	f->line = line_of(j, v);
	free(f->path);
	f->path = strdup(a->path);
	free(f->tool_call);
	f->tool_call = a->tool_call ? strdup(a->tool_call) : NULL;
}

static void take_corrected(struct vcr_recorder_sentinel *s, struct finding *f)
{
	if (!f || !f->stands)
		return;
	f->stands = false;
	s->blockers_changed |= f->blocks;
	s->corrected++;
}

/* A judge that has been started anew does not know what its predecessor found: what stood in that file, and does not any more, is corrected as well. */
static void take_missing(struct vcr_recorder_sentinel *s, const char *path)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->finding[i].path && s->finding[i].judged < s->judged && !strcmp(s->finding[i].path, path))
			take_corrected(s, &s->finding[i]);
}

/* Nobody is left who could see that they are mended. */
static void lift_blockers(struct vcr_recorder_sentinel *s)
{
	for (size_t i = 0; i < s->n; i++) {
		s->blockers_changed |= s->finding[i].stands && s->finding[i].blocks;
		s->finding[i].blocks = false;
	}
}

/* ---- Frames ---- */

/* A list of the answer's, without secrets; [] if it is none. Returns how many there were. */
static int write_list(struct vcr_recorder *r, struct vcr_jw *w, const char *key, const struct vcr_json *j, int list)
{
	VCR_AUTO_BUF clean = VCR_BUF_INIT;
	int n = 0;
	vcr_jw_key(w, key);
	vcr_jw_array(w);
	for (int m = vcr_json_type(j, list) == VCR_JSON_ARRAY ? vcr_json_first(j, list) : -1; m >= 0; m = vcr_json_next(j, m), n++) {
		size_t k;
		unsigned count = 0;
		const char *raw = vcr_json_raw(j, m, &k);
		VCR_AUTO_JSON one = VCR_JSON_INIT;
		vcr_buf_reset(&clean);
		if (n < VCR_MAX_VIOLATIONS && !vcr_redact_body(r->redact, raw, k, false, &clean, &count) && !vcr_json_parse(&one, clean.data, clean.len, 0, NULL)) {
			vcr_jw_value(w, &one, 0);
			r->redactions += count;
		}
	}
	vcr_jw_array_end(w);
	return n;
}

static void write_output(struct vcr_recorder *r, struct vcr_jw *w, const struct vcr_json *j, const char *why)
{
	vcr_jw_object(w);
	vcr_jw_key(w, "passed");
	if (why)
		vcr_jw_null(w);
	else
		vcr_jw_bool(w, vcr_json_true(j, vcr_json_get(j, 0, "passed")));
	if (why) {
		vcr_jw_key(w, "error");
		vcr_jw_str(w, why);
	} else {
		int n = write_list(r, w, "violations", j, vcr_json_get(j, 0, "violations"));
		vcr_jw_key(w, "violation_count");
		vcr_jw_int(w, n);
		write_list(r, w, "corrected", j, vcr_json_get(j, 0, "corrected"));
		vcr_jw_key(w, "metrics");
		if (vcr_json_type(j, vcr_json_get(j, 0, "metrics")) == VCR_JSON_OBJECT)
			vcr_jw_value(w, j, vcr_json_get(j, 0, "metrics"));
		else
			vcr_jw_raw(w, "{}", 2);
	}
	vcr_jw_object_end(w);
}

static void write_frame(struct vcr_recorder_sentinel *s, const struct about *a, const struct vcr_json *j, const char *why)
{
	VCR_AUTO_BUF in = VCR_BUF_INIT, out = VCR_BUF_INIT, meta = VCR_BUF_INIT;
	struct vcr_recorder *r = s->r;
	struct vcr_jw w;
	vcr_jw_init(&w, &in);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "file_path");
	vcr_recorder_redacted(r, &w, a->path, strlen(a->path));
	vcr_jw_key(&w, "trigger");
	vcr_jw_str(&w, a->node);
	vcr_jw_object_end(&w);
	vcr_jw_init(&w, &out);
	write_output(r, &w, j, why);
	vcr_jw_init(&w, &meta);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "source");
	vcr_jw_str(&w, "sentinel");
	vcr_jw_key(&w, "write");
	vcr_jw_str(&w, a->frame);
	if (a->tool_call) {
		vcr_jw_key(&w, "tool_call");
		vcr_jw_str(&w, a->tool_call);
	}
	vcr_jw_object_end(&w);
	struct vcr_frame f = { .type = VCR_FRAME_TOOL, .node_name = "sentinel:analysis", .parent_frame_id = *a->parent ? a->parent : NULL, .input_json = in.data, .output_json = out.data,
		.vcr_json = meta.data, .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1 };
	vcr_recorder_frame(r, &f);
}

static void on_answer(void *ctx, void *tag, const struct vcr_json *j, const char *why)
{
	struct vcr_recorder_sentinel *s = ctx;
	struct about *a = tag;
	VCR_AUTO_BUF passed_over = VCR_BUF_INIT;
	int violations = j ? vcr_json_get(j, 0, "violations") : -1, corrected = j ? vcr_json_get(j, 0, "corrected") : -1, n = 0;
	if (!j && !s->unjudged++)
		snprintf(s->why, sizeof s->why, "%s", why);
	if (j && !vcr_json_str(j, vcr_json_get(j, 0, "skipped"), &passed_over) && strstr(passed_over.data, "not installed") && !s->unjudged++)
		snprintf(s->why, sizeof s->why, "%.80s: %.100s", a->path, passed_over.data);
	if (!j || vcr_json_get(j, 0, "skipped") < 0)
		write_frame(s, a, j, why);
	if (j && vcr_json_get(j, 0, "skipped") < 0)
		s->judged++;
	for (int m = vcr_json_type(j, violations) == VCR_JSON_ARRAY ? vcr_json_first(j, violations) : -1; m >= 0; m = vcr_json_next(j, m), s->violations++)
		if (n++ < VCR_MAX_VIOLATIONS)
			take_violation(s, j, m, a);
	for (int m = vcr_json_type(j, corrected) == VCR_JSON_ARRAY ? vcr_json_first(j, corrected) : -1; m >= 0; m = vcr_json_next(j, m)) {
		VCR_AUTO_BUF key = VCR_BUF_INIT;
		take_corrected(s, key_of(j, m, &key) ? find(s, key.data) : NULL);
	}
	if (violations >= 0 && n < VCR_MAX_VIOLATIONS)
		take_missing(s, a->path);
	if (!j && vcr_judge_is_gone(s->judge))
		lift_blockers(s);
	free_about(a);
}

/* ---- What is said about tests ---- */

static void mend(struct vcr_recorder_sentinel *s, const char *rule)
{
	struct finding *f = find(s, rule);
	if (!f || !f->stands)
		return;
	f->stands = false;
	s->corrected++;
}

void vcr_recorder_sentinel_ran(struct vcr_recorder *r, const struct run *run, const char *frame_id, bool passed)
{
	struct vcr_recorder_sentinel *s = r->sentinel;
	if (!s || !vcr_is_test_run(run->argc, (const char *const *)run->argv))
		return;
	snprintf(s->test, sizeof s->test, "%s", frame_id);
	s->test_passed = passed;
	if (passed)
		mend(s, CLAIM);
}

/* said: what the answer of frame_id says; NULL: it is about a run alone. */
static void write_finding(struct vcr_recorder_sentinel *s, struct vcr_jw *w, const char *rule, const char *said, const char *message, const char *frame_id)
{
	vcr_jw_object(w);
	vcr_jw_key(w, "passed");
	vcr_jw_bool(w, false);
	vcr_jw_key(w, "violation_count");
	vcr_jw_int(w, 1);
	vcr_jw_key(w, "violations");
	vcr_jw_array(w);
	vcr_jw_object(w);
	const struct { const char *key, *s; } list[] = { { "key", rule }, { "rule", rule }, { "severity", "critical" }, { "path", NULL }, { "state", "new" }, { "message", message } };
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		vcr_jw_key(w, list[i].key);
		vcr_jw_str(w, list[i].s);
	}
	if (said) {
		vcr_jw_key(w, "said");
		vcr_recorder_redacted(s->r, w, said, strlen(said));
		vcr_jw_key(w, "answer");
		vcr_jw_str(w, frame_id);
	}
	vcr_jw_key(w, "run");
	vcr_jw_str(w, *s->test ? s->test : NULL);
	vcr_jw_object_end(w);
	vcr_jw_array_end(w);
	vcr_jw_key(w, "corrected");
	vcr_jw_raw(w, "[]", 2);
	vcr_jw_key(w, "metrics");
	vcr_jw_raw(w, "{}", 2);
	vcr_jw_object_end(w);
}

/* A frame of its own, and what the agent is told until it is mended. message: without secrets. */
static void take_finding(struct vcr_recorder_sentinel *s, const char *rule, const char *said, const char *message, const char *frame_id)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &out);
	write_finding(s, &w, rule, said, message, frame_id);
	struct vcr_frame f = { .type = VCR_FRAME_TOOL, .node_name = "sentinel:analysis", .parent_frame_id = frame_id,
		.input_json = said ? "{\"file_path\":null,\"trigger\":\"claim\"}" : "{\"file_path\":null,\"trigger\":\"test:run\"}",
		.output_json = out.data, .vcr_json = "{\"source\":\"sentinel\"}", .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1 };
	vcr_recorder_frame(s->r, &f);
	s->claims += said != NULL;
	s->violations++;
	struct finding *known = find(s, rule), *one = known ? known : add(s, rule);
	if (!one || one->stands)
		return;
	one->stands = true;
	one->told = false;
	free(one->line);
	one->line = NULL;
	if ((said ? asprintf(&one->line, "%s: \"%s\" [%s]", message, said, rule) : asprintf(&one->line, "%s [%s]", message, rule)) < 0)
		one->line = NULL;
}

static const char LAST_FAILED[] = "the answer says that tests pass, but the last run of tests failed";

void vcr_recorder_sentinel_said(struct vcr_recorder *r, const char *frame_id, const struct vcr_json *j)
{
	struct vcr_recorder_sentinel *s = r->sentinel;
	VCR_AUTO_BUF words = VCR_BUF_INIT;
	size_t at, n;
	if (!s)
		return;
	vcr_claims_words(j, 0, &words);
	if (!vcr_claims_passing(words.data, words.len, &at, &n))
		return;
	snprintf(s->said_words, sizeof s->said_words, "%.*s", (int)(n < MOST_QUOTED ? n : MOST_QUOTED), words.data + at);
	snprintf(s->said, sizeof s->said, "%s", s->test_passed ? frame_id : "");
	if (!s->test_passed)
		take_finding(s, CLAIM, s->said_words, *s->test ? LAST_FAILED : "the answer says that tests pass, but none was run", frame_id);
}

void vcr_recorder_sentinel_testing(struct vcr_recorder *r)
{
	if (r->sentinel)
		*r->sentinel->said = 0;
}

static void take_failing(struct vcr_recorder_sentinel *s, const char *frame_id, const char *command, const char *in_words)
{
	VCR_AUTO_BUF clean = VCR_BUF_INIT, message = VCR_BUF_INIT;
	if (vcr_redact(s->r->redact, command, strlen(command), &clean, NULL))
		vcr_buf_reset(&clean);
	vcr_buf_printf(&message, "critical: the tests passed before and fail now (%s): %.*s", in_words, MOST_QUOTED, clean.data);
	for (size_t i = 0; i < message.len; i++)
		message.data[i] = (unsigned char)message.data[i] < ' ' ? ' ' : message.data[i];
	take_finding(s, FAILING, NULL, message.data, frame_id);
}

void vcr_recorder_sentinel_tested(struct vcr_recorder *r, const char *frame_id, bool passed, const char *command, const char *in_words)
{
	struct vcr_recorder_sentinel *s = r->sentinel;
	if (!s)
		return;
	snprintf(s->test, sizeof s->test, "%s", frame_id);
	s->test_passed = passed;
	if (passed) {
		mend(s, CLAIM);
		mend(s, FAILING);
	} else {
		if (s->tests_passed)
			take_failing(s, frame_id, command, in_words);
		if (*s->said)
			take_finding(s, CLAIM, s->said_words, LAST_FAILED, s->said);
		*s->said = 0;
	}
	s->tests_passed = passed;
}

/* ---- What the agent is told ---- */

static void append_line(struct vcr_recorder_sentinel *s, struct vcr_buf *line)
{
	vcr_buf_putc(line, '\n');
	if (!line->err && write(s->fd, line->data, line->len) != (ssize_t)line->len) { /* tmpfs is full: whoever reads it passes over a part of a line */
		close(s->fd);
		s->fd = -1;
	}
}

/* The calls that asked for what is told, each once; false: there are findings of which that is not known, so whoever asks next is told. */
static bool write_calls(const struct vcr_recorder_sentinel *s, struct vcr_jw *w)
{
	const char *call[MOST_CALLS];
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++) {
		const struct finding *f = &s->finding[i];
		bool again = !f->stands || f->told;
		for (size_t k = 0; k < n && !again && f->tool_call; k++)
			again = !strcmp(call[k], f->tool_call);
		if (again)
			continue;
		if (!f->tool_call || n == MOST_CALLS)
			return false;
		call[n++] = f->tool_call;
	}
	vcr_jw_key(w, "tool_calls");
	vcr_jw_array(w);
	for (size_t i = 0; i < n; i++)
		vcr_jw_str(w, call[i]);
	vcr_jw_array_end(w);
	return true;
}

static void remind(struct vcr_recorder_sentinel *s)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, line = VCR_BUF_INIT;
	struct vcr_jw w;
	int n = 0;
	vcr_buf_puts(&text, "<system-reminder>\nThe code that was just written has been checked (vcr sentinel). It found:\n");
	for (size_t i = 0; i < s->n; i++)
		if (s->finding[i].stands && !s->finding[i].told && n++ < MOST_TOLD && s->finding[i].line)
			vcr_buf_printf(&text, "- %s\n", s->finding[i].line);
	if (!n || s->reminders == VCR_MAX_REMINDERS)
		return;
	if (n > MOST_TOLD)
		vcr_buf_printf(&text, "- and %d more\n", n - MOST_TOLD);
	vcr_buf_puts(&text, "Correct this before you go on, unless the user asked for it to be so. This is a note of the recorder, not of the user.\n</system-reminder>");
	vcr_jw_init(&w, &line);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "id");
	vcr_jw_int(&w, ++s->reminders);
	vcr_jw_key(&w, "text");
	vcr_jw_strn(&w, text.data, text.len);
	write_calls(s, &w);
	vcr_jw_object_end(&w);
	append_line(s, &line);
	for (size_t i = 0; i < s->n; i++)
		s->finding[i].told |= s->finding[i].stands;
}

static void tell_blockers(struct vcr_recorder_sentinel *s)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	struct vcr_jw w;
	int n = 0;
	vcr_jw_init(&w, &line);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "blockers");
	vcr_jw_array(&w);
	for (size_t i = 0; i < s->n; i++)
		if (s->finding[i].stands && s->finding[i].blocks && n++ < MOST_TOLD)
			vcr_jw_str(&w, s->finding[i].line);
	vcr_jw_array_end(&w);
	vcr_jw_object_end(&w);
	append_line(s, &line);
	s->blockers_changed = false;
}

static void on_reached(void *ctx, uint64_t mark)
{
	struct vcr_recorder_sentinel *s = ctx;
	uint64_t *judged = &s->r->spool->judged;
	if (s->fd >= 0)
		remind(s);
	if (s->fd >= 0 && s->blockers_changed)
		tell_blockers(s);
	if (__atomic_load_n(judged, __ATOMIC_ACQUIRE) < mark)
		__atomic_store_n(judged, mark, __ATOMIC_RELEASE);
}

/* ---- The recorder's side ---- */

static struct vcr_judge_text text_of(const struct vcr_file_state *f, bool unknown)
{
	struct vcr_judge_text t = { .is = VCR_JUDGE_UNKNOWN };
	if (unknown)
		return t;
	if (!f->exists)
		t.is = VCR_JUDGE_ABSENT;
	else if (f->content && S_ISREG(f->mode))
		t = (struct vcr_judge_text){ f->content, f->len, VCR_JUDGE_PRESENT };
	return t;
}

void vcr_recorder_sentinel_change(struct vcr_recorder *r, const struct vcr_change *c, const char *node, const char *frame_id, const struct vcr_recorder_owner *o)
{
	struct vcr_recorder_sentinel *s = r->sentinel;
	if (!s || c->withheld || (c->kind != VCR_CHANGE_WRITE && c->kind != VCR_CHANGE_RENAME && c->kind != VCR_CHANGE_DELETE))
		return;
	struct vcr_judge_text before = text_of(&c->before, c->before_unknown), after = text_of(&c->after, false);
	struct about *a = after.is == VCR_JUDGE_UNKNOWN || c->transient ? NULL : calloc(1, sizeof *a);
	if (!a || !(a->path = strdup(c->path))) {
		free(a);
		return;
	}
	a->tool_call = o->tool_call ? strdup(o->tool_call) : NULL;
	a->node = node;
	snprintf(a->frame, sizeof a->frame, "%s", frame_id);
	snprintf(a->parent, sizeof a->parent, "%s", o->parent);
	vcr_judge_ask(s->judge, c->path, before, after, a);
}

void vcr_recorder_sentinel_asked(struct vcr_recorder *r)
{
	if (r->sentinel)
		vcr_judge_mark(r->sentinel->judge, r->event_end);
}

int vcr_recorder_judge_pollfd(const struct vcr_recorder *r, struct pollfd *fd)
{
	return r->sentinel ? vcr_judge_pollfd(r->sentinel->judge, fd) : 0;
}

int vcr_recorder_judge_timeout(const struct vcr_recorder *r)
{
	return r->sentinel ? vcr_judge_timeout(r->sentinel->judge) : -1;
}

void vcr_recorder_judge(struct vcr_recorder *r)
{
	if (r->sentinel)
		vcr_judge_serve(r->sentinel->judge);
}

void vcr_recorder_sentinel_ready(struct vcr_recorder *r)
{
	if (r->sentinel)
		vcr_judge_start(r->sentinel->judge);
}

void vcr_recorder_sentinel_end(struct vcr_recorder *r)
{
	if (r->sentinel)
		vcr_judge_finish(r->sentinel->judge, FINISH_MS);
}

void vcr_recorder_sentinel_write(const struct vcr_recorder *r, struct vcr_jw *w)
{
	const struct vcr_recorder_sentinel *s = r->sentinel;
	int64_t standing = 0;
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		standing += s->finding[i].stands;
	const struct { const char *key; int64_t n; } list[] = { { "judged", s->judged }, { "unjudged", s->unjudged }, { "violations", s->violations }, { "claims", s->claims }, { "standing", standing },
		{ "corrected", s->corrected }, { "reminders", s->reminders } };
	vcr_jw_key(w, "sentinel");
	vcr_jw_object(w);
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		vcr_jw_key(w, list[i].key);
		vcr_jw_int(w, list[i].n);
	}
	vcr_jw_key(w, "unjudged_because");
	vcr_jw_str(w, *s->why ? s->why : NULL);
	vcr_jw_object_end(w);
}

/* RUNTIME/<session>.suffix; "" if there is no such place. */
static bool name_file(const struct vcr_recorder_sentinel *s, const char *suffix, char to[VCR_MAX_PATH])
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	*to = 0;
	if (vcr_paths_runtime_dir(&path, NULL) || vcr_buf_printf(&path, "/%s.%s", s->r->session_id, suffix) || path.len >= VCR_MAX_PATH)
		return false;
	memcpy(to, path.data, path.len + 1);
	return true;
}

static int open_file(struct vcr_recorder_sentinel *s)
{
	if (!name_file(s, "sentinel", s->path))
		return -1;
	return open(s->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* As it is before the agent runs: what the agent makes of it later is not what it is judged by. Unknown: the judge will say why. */
static struct vcr_judge_text found(const struct vcr_recorder *r, const char *name, size_t most, struct vcr_buf *text)
{
	int fd = open(r->vcr_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = fd < 0 && errno != ENOENT ? VCR_EIO : 0;
	text->max = most;
	if (fd >= 0) {
		err = vcr_replace_read(fd, r->vcr_dir, name, text, NULL);
		close(fd);
	}
	return (struct vcr_judge_text){ text->data, text->len, err ? VCR_JUDGE_UNKNOWN : VCR_JUDGE_PRESENT };
}

void vcr_recorder_sentinel_new(struct vcr_recorder *r, const char *program, const char *const *argv)
{
	VCR_AUTO_BUF config = VCR_BUF_INIT;
	struct vcr_recorder_sentinel *s = calloc(1, sizeof *s);
	uint32_t mode = r->spool->sentinel;
	if (!s)
		return;
	s->r = r;
	s->mode = (int)mode;
	vcr_buf_printf(&config, "%s/sentinel.conf", r->vcr_dir);
	if (!(s->config = vcr_buf_take(&config, NULL))) {
		free(s);
		return;
	}
	const char *state = name_file(s, "judged", s->state) ? s->state : NULL;
	struct vcr_judge_options o = { .state = state, .program = program, .argv = argv, .workspace = r->workspace, .config = s->config, .blocks = mode >= VCR_SENTINEL_BLOCK, .answered = on_answer, .reached = on_reached, .ctx = s };
	vcr_buf_init(&s->conf, 0);
	vcr_buf_init(&s->baseline, 0);
	o.conf = found(r, "sentinel.conf", VCR_MAX_SENTINEL_CONF, &s->conf);
	o.baseline = found(r, "sentinel-baseline.json", VCR_MAX_BASELINE, &s->baseline);
	if (vcr_judge_new(&s->judge, &o)) {
		vcr_buf_release(&s->conf);
		vcr_buf_release(&s->baseline);
		free(s->config);
		free(s);
		return;
	}
	s->fd = mode >= VCR_SENTINEL_WARN ? open_file(s) : -1;
	r->sentinel = s;
}

void vcr_recorder_sentinel_free(struct vcr_recorder *r)
{
	struct vcr_recorder_sentinel *s = r->sentinel;
	if (!s)
		return;
	vcr_judge_free(s->judge);
	vcr_buf_release(&s->conf);
	vcr_buf_release(&s->baseline);
	for (size_t i = 0; i < s->n; i++) {
		free(s->finding[i].key);
		free(s->finding[i].line);
		free(s->finding[i].path);
		free(s->finding[i].tool_call);
	}
	free(s->finding);
	if (s->fd >= 0)
		close(s->fd);
	if (*s->path)
		unlink(s->path);
	if (*s->state)
		unlink(s->state);
	free(s->config);
	free(s);
	r->sentinel = NULL;
}
