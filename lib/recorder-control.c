/* recorder-control.c — what a recording that is running is asked on its socket, and its end. */
#include "recorder-parts.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Control ---- */

static void write_losses(struct vcr_jw *w, const struct vcr_recorder *r, const struct vcr_spool_losses *l)
{
	struct vcr_session_totals t = { 0 };
	if (r->session)
		vcr_session_totals(r->session, &t);
	vcr_jw_key(w, "losses");
	vcr_jw_object(w);
	const struct { const char *name; int64_t n; } list[] = {
		{ "dropped_records", (int64_t)l->dropped_records }, { "dropped_bytes", (int64_t)l->dropped_bytes }, { "cut_records", (int64_t)l->cut },
		{ "skipped_bytes", (int64_t)l->skipped_bytes }, { "bad_crc", (int64_t)l->bad_crc }, { "lost_lines", t.lost_lines + r->lost },
	};
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		vcr_jw_key(w, list[i].name);
		vcr_jw_int(w, list[i].n);
	}
	vcr_jw_object_end(w);
}

static void write_totals(struct vcr_jw *w, const struct vcr_recorder *r)
{
	struct vcr_session_totals t = { 0 };
	if (r->session)
		vcr_session_totals(r->session, &t);
	vcr_jw_key(w, "session_id");
	vcr_jw_str(w, r->session_id);
	vcr_jw_key(w, "path");
	vcr_jw_str(w, r->session ? vcr_session_path(r->session) : NULL);
	const struct { const char *name; int64_t n; } list[] = {
		{ "frames", t.frames }, { "model_calls", r->calls }, { "errors", t.errors }, { "tokens", t.tokens }, { "file_changes", r->file_changes },
		{ "programs", r->programs }, { "redactions", r->redactions },
	};
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		vcr_jw_key(w, list[i].name);
		vcr_jw_int(w, list[i].n);
	}
	vcr_jw_key(w, "cost_usd");
	vcr_jw_double(w, t.cost_usd);
	vcr_jw_key(w, "last_error");
	vcr_jw_str(w, r->last_error.code ? r->last_error.what : NULL);
}

/* A frame without a place of its own: a note from outside. */
static const char *annotate(struct vcr_recorder *r, const struct vcr_json *j)
{
	size_t n;
	struct timespec t;
	int data = vcr_json_get(j, 0, "data");
	const char *text = vcr_json_raw(j, data, &n);
	clock_gettime(CLOCK_MONOTONIC, &t);
	return vcr_recorder_note(r, text, n, 0, 0, (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec, 0);
}

/* A savepoint of its own, or the beginning and the steps of a transaction. */
static const struct { const char *node, *kind; } checkpoints[] = { { "savepoint", "manual" }, { "txn:begin", "begin" }, { "txn:rollback", "rollback" }, { "txn:commit", "commit" } };

static const char *savepoint(struct vcr_recorder *r, const struct vcr_json *j)
{
	int which = 0;
	for (int i = 1; i < (int)(sizeof checkpoints / sizeof *checkpoints); i++)
		which = vcr_json_is(j, vcr_json_get(j, 0, "node"), checkpoints[i].node) ? i : which;
	VCR_AUTO_BUF in = VCR_BUF_INIT, out = VCR_BUF_INIT;
	VCR_AUTO_BUF clean = VCR_BUF_INIT;
	struct vcr_files_stats st = { 0 };
	struct vcr_savepoint p = { .n = -1 };
	struct vcr_jw w;
	struct vcr_frame f = { .type = VCR_FRAME_CHECKPOINT, .node_name = checkpoints[which].node, .parent_frame_id = *r->last_call ? r->last_call : NULL, .tokens_in = -1,
		.tokens_out = -1, .tokens_total = -1, .cost_usd = -1 };
	vcr_recorder_watch(r);
	vcr_recorder_sweep(r, INT64_MAX);
	if (r->files)
		vcr_files_stats(r->files, &st);
	vcr_jw_init(&w, &in);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "message");
	char *message = vcr_json_strdup(j, vcr_json_get(j, 0, "message"));
	vcr_recorder_redacted(r, &w, message ? message : "", message ? strlen(message) : 0);
	if (message && vcr_redact(r->redact, message, strlen(message), &clean, NULL))
		vcr_buf_reset(&clean);
	free(message);
	int64_t to;
	if (vcr_json_int(j, vcr_json_get(j, 0, "to"), &to)) {
		vcr_jw_key(&w, "to");
		vcr_jw_int(&w, to);
	}
	vcr_recorder_burst_end(r);
	vcr_frame_new_id(f.frame_id);
	vcr_recorder_save(r, checkpoints[which].kind, f.frame_id, clean.data, 0, &p);
	vcr_jw_object_end(&w);
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	if (p.n >= 0) {
		vcr_jw_key(&w, "commit");
		vcr_jw_str(&w, p.commit);
		vcr_jw_key(&w, "savepoint");
		vcr_jw_int(&w, p.n);
	}
	vcr_jw_key(&w, "files");
	vcr_jw_int(&w, st.files);
	vcr_jw_key(&w, "changes");
	vcr_jw_int(&w, r->file_changes);
	vcr_jw_object_end(&w);
	f.input_json = in.data;
	f.output_json = out.data;
	if (vcr_recorder_frame(r, &f))
		return "the frame could not be written";
	return p.n >= 0 ? NULL : r->save_error.code ? r->save_error.what : "no savepoint could be taken";
}

/* Who asks is to see what has been done up to now. */
static void look_now(struct vcr_recorder *r)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	vcr_recorder_watch(r);
	vcr_recorder_sweep(r, (int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
	vcr_recorder_burst_end(r);
}

void vcr_recorder_control(struct vcr_recorder *r, const char *request, size_t n, const struct vcr_spool_losses *l, int processes, struct vcr_buf *answer)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	const char *why = NULL;
	struct vcr_jw w;
	if (vcr_json_parse(&j, request, n, 0, NULL))
		why = "the request is not a JSON object";
	int op = why ? -1 : vcr_json_get(&j, 0, "op");
	if (!why && vcr_json_is(&j, op, "annotate"))
		why = annotate(r, &j);
	else if (!why && vcr_json_is(&j, op, "savepoint"))
		why = savepoint(r, &j);
	else if (!why && vcr_json_is(&j, op, "drain"))
		look_now(r);
	else if (!why && !vcr_json_is(&j, op, "status"))
		why = "op must be drain, status, annotate or savepoint";
	vcr_jw_init(&w, answer);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "ok");
	vcr_jw_bool(&w, !why);
	if (why) {
		vcr_jw_key(&w, "error");
		vcr_jw_str(&w, why);
	} else {
		write_totals(&w, r);
		vcr_jw_key(&w, "processes");
		vcr_jw_int(&w, processes);
		write_losses(&w, r, l);
		vcr_recorder_write_files(r, &w);
		vcr_recorder_write_savepoints(r, &w);
	}
	vcr_jw_object_end(&w);
}

/* ---- The end ---- */

static void write_end(struct vcr_jw *w, const struct vcr_recorder *r, const struct vcr_spool_losses *l)
{
	VCR_AUTO_BUF why = VCR_BUF_INIT;
	if (!r->source)
		vcr_recorder_why_no_calls(r, &why);
	vcr_recorder_coverage_write(w, r);
	write_losses(w, r, l);
	vcr_recorder_write_savepoints(r, w);
	vcr_recorder_write_files(r, w);
	vcr_recorder_notes_write(r, w);
	vcr_recorder_sentinel_write(r, w);
	vcr_recorder_tests_write(r, w);
	vcr_jw_key(w, "no_calls_because");
	vcr_jw_str(w, why.len ? why.data : NULL);
	vcr_jw_key(w, "unseen");
	vcr_jw_array(w);
	for (const char *p = r->unseen.data; *p; p += strcspn(p, "\n"), p += *p == '\n')
		vcr_jw_strn(w, p, strcspn(p, "\n"));
	vcr_jw_array_end(w);
}

void vcr_recorder_end(struct vcr_recorder *r, const struct vcr_spool_losses *l, struct vcr_buf *result)
{
	VCR_AUTO_BUF extra = VCR_BUF_INIT;
	struct timespec t;
	struct vcr_jw w;
	clock_gettime(CLOCK_MONOTONIC, &t);
	uint64_t now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	r->storm = false;
	vcr_flow_all_gone(r->flow, now);
	vcr_recorder_end_rpc(r, 0, now);
	vcr_recorder_notes_close(r, true);
	vcr_recorder_watch(r);
	vcr_recorder_sweep(r, INT64_MAX);
	if (r->files)
		vcr_files_scan_end(r->files, vcr_recorder_change, r, &r->last_error);
	vcr_recorder_sentinel_end(r);
	vcr_recorder_save_end(r);
	vcr_recorder_tests_end(r);
	vcr_recorder_save_close(r); /* their descriptors may be wanted for what is still to be written */
	vcr_recorder_burst_end(r);
	if (r->files)
		vcr_files_stats(r->files, &r->files_stats);
	vcr_files_free(r->files);
	r->files = NULL;
	for (int i = 0; i < BUCKETS; i++)
		for (struct process *p = r->process[i]; p; p = p->next)
			if (p->run.path) {
				p->run.confirmed = p->run.confirmed || p->ended_ns;
				vcr_recorder_exit(r, p->pid, NULL, now);
			}
	vcr_recorder_outputs(r, true);
	vcr_recorder_write_command(r);
	vcr_recorder_notes_gone(r, -1, now);
	vcr_pair_end(r->pair, now);
	vcr_recorder_cover_dropped(r, 0);
	vcr_jw_init(&w, &extra);
	vcr_jw_object(&w);
	write_end(&w, r, l);
	vcr_jw_object_end(&w);
	vcr_jw_init(&w, result);
	vcr_jw_object(&w);
	write_totals(&w, r);
	write_end(&w, r, l);
	if (r->session) {
		if (vcr_session_end(r->session, extra.data, &r->last_error)) {
			vcr_jw_key(&w, "end_error");
			vcr_jw_str(&w, r->last_error.what);
		}
		r->session = NULL;
	}
	vcr_jw_object_end(&w);
	if (!r->source)
		vcr_recorder_learn_end(r);
}
