/* vcr sentinel check — a recorded session's writes, frame by frame: what each made worse, what was corrected afterwards, what stands at its end; and what its answers
 * say of tests. Measured anew, whatever was said while it was recorded. */
#include "claims.h"
#include "json.h"
#include "open.h"
#include "paths.h"
#include "savepoint.h"
#include "tally.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WORDS = 4096 };

struct check {
	struct vcr_tally tally;
	struct vcr_reader *in;
	struct vcr_judging_run *run;
	struct vcr_store *store;   /* NULL: what stood there before the session is not known */
	struct vcr_savepoint base;
	int64_t test, test_frame; /* test: 1 the last run passed, 0 failed, -1 none */
};

/* ---- Frames ---- */

static void begin_answer(struct vcr_jw *w, struct vcr_buf *b, int64_t frame, const char *frame_id, const char *path)
{
	vcr_jw_init(w, b);
	vcr_jw_object(w);
	vcr_jw_key(w, "frame");
	vcr_jw_int(w, frame);
	vcr_jw_key(w, "frame_id");
	vcr_jw_str(w, frame_id);
	vcr_jw_key(w, "path");
	vcr_jw_str(w, path);
}

/* As it was at the session's beginning, from its first savepoint. */
static void read_base(struct check *c, const char *path, struct vcr_buf *text, struct vcr_judging_text *out)
{
	struct vcr_entry entry;
	if (!c->store || vcr_store_find(c->store, c->base.tree, path, &entry, NULL) || (entry.mode & VCR_ENTRY_TYPE) != VCR_ENTRY_FILE || vcr_store_read(c->store, &entry, text, NULL))
		return;
	*out = (struct vcr_judging_text){ text->data, text->len, true, true };
}

static void check_write(struct check *c, const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, ref = VCR_BUF_INIT, text = VCR_BUF_INIT, old = VCR_BUF_INIT, b = VCR_BUF_INIT;
	int before = vcr_json_get(f->j, f->input, "before"), after = vcr_json_get(f->j, f->output, "after");
	struct vcr_judging_text was = { .known = vcr_json_type(f->j, before) == VCR_JSON_NULL }, now = { .known = true };
	struct vcr_jw w;
	vcr_json_str(f->j, vcr_json_get(f->j, f->input, "path"), &path);
	vcr_json_str(f->j, vcr_json_get(f->j, f->output, "content"), &ref);
	c->tally.changes++;
	if (vcr_json_type(f->j, after) == VCR_JSON_OBJECT) {
		if (!ref.len || vcr_reader_body(c->in, ref.data, &text, NULL))
			return; /* withheld, too large, no text */
		now = (struct vcr_judging_text){ text.data, text.len, true, true };
	}
	char *id = strdup(f->frame_id);
	int64_t index = f->index;
	if (!was.known)
		read_base(c, path.data, &old, &was);
	begin_answer(&w, &b, index, id, path.data);
	vcr_judging_answer(c->run, &w, path.data, &was, &now);
	vcr_jw_object_end(&w);
	vcr_tally_take(&c->tally, index, &b);
	free(id);
}

static void check_run(struct check *c, const struct vcr_reader_frame *f)
{
	const char *word[MOST_WORDS];
	int n = 0, argv = vcr_json_get(f->j, f->input, "argv");
	int64_t code = -1;
	for (int m = vcr_json_type(f->j, argv) == VCR_JSON_ARRAY ? vcr_json_first(f->j, argv) : -1; m >= 0 && n < MOST_WORDS; m = vcr_json_next(f->j, m))
		if ((word[n] = vcr_json_strdup(f->j, m)))
			n++;
	if (vcr_is_test_run(n, word) && !vcr_json_true(f->j, vcr_json_get(f->j, f->output, "replaced"))) {
		c->test = vcr_json_int(f->j, vcr_json_get(f->j, f->output, "exit_code"), &code) && !code;
		c->test_frame = f->index;
		if (c->test)
			vcr_tally_mend(&c->tally, "claims");
	}
	for (int i = 0; i < n; i++)
		free((char *)word[i]);
}

/* A run of vcr-record --test-command; one while which files changed says nothing of what stands there now. */
static void check_test(struct check *c, const struct vcr_reader_frame *f)
{
	int64_t meanwhile;
	int passed = vcr_json_get(f->j, f->output, "passed");
	if (vcr_json_type(f->j, passed) == VCR_JSON_NULL || !vcr_json_int(f->j, vcr_json_get(f->j, f->output, "changes_meanwhile"), &meanwhile) || meanwhile)
		return;
	c->test = vcr_json_true(f->j, passed);
	c->test_frame = f->index;
	if (c->test)
		vcr_tally_mend(&c->tally, "claims");
}

static void check_answer(struct check *c, const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF words = VCR_BUF_INIT, line = VCR_BUF_INIT, message = VCR_BUF_INIT, b = VCR_BUF_INIT, safe = VCR_BUF_INIT;
	size_t at, n;
	struct vcr_jw w;
	vcr_claims_words(f->j, vcr_json_get(f->j, f->output, "response"), &words);
	enum vcr_severity severity = vcr_policy_severity(&c->tally.j->policy, VCR_RULE_CLAIMS, 1, NULL);
	if (c->test == 1 || severity == VCR_SEVERITY_OFF || !vcr_claims_passing(words.data, words.len, &at, &n))
		return;
	c->tally.claims++;
	vcr_safe_line(&safe, words.data + at, n, 100);
	if (c->test < 0)
		vcr_buf_printf(&message, "frame %lld says \"%s\", but no tests were run", (long long)f->index, safe.data);
	else
		vcr_buf_printf(&message, "frame %lld says \"%s\", but the last run of tests, frame %lld, failed", (long long)f->index, safe.data, (long long)c->test_frame);
	vcr_buf_printf(&line, "%s: %s [claims]", vcr_severity_name(severity), message.data);
	vcr_tally_stand(&c->tally, "claims", &(struct vcr_finding){ .rule = VCR_RULE_CLAIMS, .severity = severity, .measured = -1, .threshold = -1, .path = "", .function = "",
		.message = message.data });
	if (c->tally.j->t->json) {
		begin_answer(&w, &b, f->index, f->frame_id, NULL);
		vcr_jw_key(&w, "claim");
		vcr_jw_strn(&w, words.data + at, n);
		vcr_jw_key(&w, "run");
		if (c->test < 0)
			vcr_jw_null(&w);
		else
			vcr_jw_int(&w, c->test_frame);
		vcr_jw_object_end(&w);
		printf("%s\n", b.data);
	} else if (vcr_judging_for_people(c->tally.j)) {
		vcr_tally_say(&c->tally, f->index, VCR_RED, "", line.data);
	}
}

static int check_frames(struct check *c, struct vcr_error *e)
{
	int err = 0;
	for (int64_t i = 0; i < vcr_reader_count(c->in) && !err; i++) {
		struct vcr_reader_frame f;
		if ((err = vcr_reader_frame(c->in, i, &f, e)))
			break;
		if (!strcmp(f.node_name, "file:write") || !strcmp(f.node_name, "file:rename") || !strcmp(f.node_name, "file:delete"))
			check_write(c, &f);
		else if (!strncmp(f.node_name, "exec:", 5))
			check_run(c, &f);
		else if (!strcmp(f.node_name, "test:run") && f.vcr >= 0)
			check_test(c, &f);
		else if (!strcmp(f.type, "llm"))
			check_answer(c, &f);
	}
	return err;
}

/* ---- All of it ---- */

/* Without it less is known, which is no reason not to look. */
static void open_store(struct check *c, const char *vcr_dir)
{
	VCR_AUTO_BUF workspace = VCR_BUF_INIT, state = VCR_BUF_INIT;
	if (vcr_paths_workspace(".", &workspace, NULL) || vcr_paths_state_dir(workspace.data, &state, NULL))
		return;
	struct vcr_store_options o = { .workspace = workspace.data, .state_dir = state.data, .vcr_dir = vcr_dir };
	if (!vcr_store_open(&c->store, &o, NULL) && (vcr_store_hold(c->store, NULL) || vcr_store_get(c->store, vcr_reader_header(c->in)->session_id, 0, &c->base, NULL))) {
		vcr_store_free(c->store);
		c->store = NULL;
	}
}

int vcr_judging_check(struct vcr_judging *j, const char *session)
{
	struct check c = { .tally = { .j = j }, .test = -1 };
	VCR_AUTO_BUF path = VCR_BUF_INIT, dir = VCR_BUF_INIT, conf = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	if (vcr_tool_open_session(j->t, session, &c.in, &path))
		return VCR_JUDGED_FAILED;
	vcr_buf_add(&dir, path.data, (size_t)(strrchr(path.data, '/') - path.data));
	vcr_buf_printf(&conf, "%s/sentinel.conf", dir.data);
	open_store(&c, NULL);
	int err = vcr_judging_expect(j, conf.data, &e), status = VCR_JUDGED_FAILED;
	if (!err)
		err = vcr_judging_load_baseline(j, dir.data, &e);
	if (!err && !(c.run = vcr_judging_begin(j, NULL)))
		err = vcr_error_set(&e, VCR_ENOMEM, "out of memory");
	if (err || check_frames(&c, &e))
		vcr_failed(j->t, &e);
	else
		status = vcr_tally_summary(&c.tally, vcr_reader_header(c.in)->session_id);
	if (status != VCR_JUDGED_FAILED && !c.tally.judged && !c.tally.claims) {
		vcr_say(j->t, "nothing was judged: %lld writes, none of code that is understood", (long long)c.tally.changes);
		status = VCR_JUDGED_FAILED;
	}
	vcr_tally_release(&c.tally);
	vcr_judging_end(c.run);
	vcr_store_free(c.store);
	vcr_tool_close(&c.in);
	return status;
}
