/* Complete states of tool frames: the other half of pair-cut.c, where the notation is. */
#include "reader-parts.h"
#include "pair-cut.h"
#include <stdlib.h>
#include <string.h>

static int whole_of(const struct vcr_json *j, int data, const char *state)
{
	int whole = vcr_json_get(j, vcr_json_get(j, vcr_json_get(j, data, state), "_vcr"), "whole");
	return vcr_json_path(j, data, "metadata.custom.vcr.format") >= 0 && vcr_json_type(j, whole) == VCR_JSON_OBJECT ? whole : -1;
}

bool vcr_reader_is_cut(const struct vcr_reader_frame *f, int state)
{
	return f->vcr >= 0 && vcr_json_get(f->j, f->vcr, "format") >= 0 && vcr_json_type(f->j, vcr_json_path(f->j, state, "_vcr.whole")) == VCR_JSON_OBJECT;
}

static int write_member(struct vcr_buf *out, const char *member, const struct vcr_json *j, int v)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, member);
	vcr_jw_value(&w, j, v);
	vcr_jw_object_end(&w);
	return out->err;
}

static int write_value(struct vcr_buf *out, const char *member, const struct vcr_json *j, int v)
{
	return member ? write_member(out, member, j, v) : vcr_pair_arguments(out, j, v);
}

/* 1: there is nothing at that place. */
static int take_from(struct vcr_reader *r, int64_t index, const char *at, const char *member, struct vcr_buf *out, struct vcr_error *e)
{
	static const char input[] = "input_state.", output[] = "output_state.";
	if (!strncmp(at, output, sizeof output - 1)) {
		struct vcr_loaded *l;
		int err = vcr_reader_near(r, index, &l, e), v = err ? -1 : vcr_json_path(&l->j, l->data, at);
		return err ? err : v < 0 ? 1 : write_value(out, member, &l->j, v);
	}
	VCR_AUTO_BUF full = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int err = strncmp(at, input, sizeof input - 1) ? 1 : vcr_reader_full_request(r, index, &full, e);
	if (!err)
		err = vcr_json_parse(&j, full.data, full.len, VCR_JSON_RELAXED, e);
	int v = err ? -1 : vcr_json_path(&j, 0, at + sizeof input - 1);
	return err ? err : v < 0 ? 1 : write_value(out, member, &j, v);
}

/* What is referred to is no reference itself, so one step is all there is. */
static int follow(struct vcr_reader *r, int64_t index, const struct vcr_loaded *l, int whole, bool is_input, struct vcr_buf *out, struct vcr_error *e)
{
	char *frame = vcr_json_strdup(&l->j, vcr_json_get(&l->j, whole, "frame")), *at = vcr_json_strdup(&l->j, vcr_json_get(&l->j, whole, "at"));
	char *member = is_input ? NULL : vcr_json_strdup(&l->j, vcr_json_get(&l->j, whole, "member"));
	int64_t other = frame ? vcr_reader_by_id(r, frame) : -1;
	int err = 1;
	if (other >= 0 && other != index && at && (is_input || member))
		err = take_from(r, other, at, member, out, e);
	free(frame);
	free(at);
	free(member);
	return err == 1 ? vcr_reader_broken(r, index, e, other < 0 ? "the frame that shows the rest is not in this file" : "the frame it refers to does not show the rest") : err;
}

static int put_state(struct vcr_reader *r, const struct vcr_loaded *l, const char *name, struct vcr_buf *out, struct vcr_error *e)
{
	struct vcr_jw w;
	int state = vcr_json_get(&l->j, l->data, name);
	vcr_jw_init(&w, out);
	if (vcr_json_type(&l->j, state) == VCR_JSON_OBJECT)
		vcr_jw_value(&w, &l->j, state);
	else
		vcr_buf_puts(out, "{}");
	return out->err ? vcr_error_set(e, out->err, "%s: %s", r->path, vcr_strerror(out->err)) : 0;
}

static int full(struct vcr_reader *r, int64_t index, bool is_input, struct vcr_buf *out, struct vcr_error *e)
{
	const char *name = is_input ? "input_state" : "output_state";
	struct vcr_loaded *l;
	int err = vcr_reader_near(r, index, &l, e);
	if (err)
		return err;
	int whole = whole_of(&l->j, l->data, name);
	if (whole >= 0)
		return follow(r, index, l, whole, is_input, out, e);
	return is_input ? vcr_reader_full_request(r, index, out, e) : put_state(r, l, name, out, e);
}

int vcr_reader_full_input(struct vcr_reader *r, int64_t index, struct vcr_buf *out, struct vcr_error *e)
{
	return full(r, index, true, out, e);
}

int vcr_reader_full_output(struct vcr_reader *r, int64_t index, struct vcr_buf *out, struct vcr_error *e)
{
	return full(r, index, false, out, e);
}
