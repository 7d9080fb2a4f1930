/* diff-delta.c — what is new in a call, where two conversations are compared call by call.
 *
 * A call repeats the conversation before it, and the recording says how much of it (conv.h). When two calls continue a pair of calls that has been
 * compared, and repeat as much of it, comparing what each frame itself holds says all that is new: no difference is told twice, and a long conversation
 * costs its length, not its square. */
#include "diffing.h"
#include "state.h"
#include <stdlib.h>
#include <string.h>

static int notes_of(const struct vcr_reader_frame *f)
{
	int notes = vcr_json_get(f->j, f->input, "_vcr");
	return f->vcr >= 0 && vcr_json_get(f->j, f->vcr, "format") >= 0 && vcr_json_type(f->j, notes) == VCR_JSON_OBJECT ? notes : -1;
}

int64_t vcr_diff_continues(struct vcr_reader *r, int64_t index, struct vcr_buf *omitted)
{
	struct vcr_reader_frame f;
	struct vcr_jw w;
	if (vcr_reader_frame(r, index, &f, NULL))
		return -1;
	int notes = notes_of(&f);
	char *after = vcr_json_strdup(f.j, vcr_json_get(f.j, notes, "after"));
	int64_t before = after ? vcr_reader_by_id(r, after) : -1;
	free(after);
	vcr_jw_init(&w, omitted);
	vcr_jw_object(&w);
	for (int m = vcr_json_first(f.j, notes); m >= 0; m = vcr_json_next(f.j, m)) {
		size_t n;
		const char *key = vcr_json_raw(f.j, m, &n);
		if (vcr_json_is(f.j, m, "after"))
			continue;
		vcr_jw_raw(&w, key, n);
		vcr_buf_putc(omitted, ':');
		w.after_key = true;
		vcr_jw_value(&w, f.j, vcr_json_value(f.j, m));
	}
	vcr_jw_object_end(&w);
	return before < index && !omitted->err ? before : -1;
}

void vcr_diff_own_input(const struct vcr_reader_frame *f, struct vcr_buf *out)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	for (int m = vcr_json_first(f->j, f->input); m >= 0; m = vcr_json_next(f->j, m)) {
		size_t n;
		const char *key = vcr_json_raw(f->j, m, &n);
		if (vcr_json_is(f->j, m, "_vcr"))
			continue;
		vcr_jw_raw(&w, key, n);
		vcr_buf_putc(out, ':');
		w.after_key = true;
		vcr_state_unwrap(&w, f->j, vcr_json_value(f->j, m), true);
	}
	vcr_jw_object_end(&w);
}

/* /messages/1/content of what is new is /messages/13/content when 12 stand before it. */
static void shift(const char *omitted, const char *path, struct vcr_buf *out)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF list = VCR_BUF_INIT;
	size_t n = *path == '/' ? strcspn(path + 1, "/") : 0;
	char *end = NULL;
	int64_t before = 0;
	vcr_buf_add(&list, path + (*path == '/'), n);
	long at = n && path[n + 1] == '/' ? strtol(path + n + 2, &end, 10) : 0;
	if (end && end > path + n + 2 && (*end == '/' || !*end) && !vcr_json_parse(&j, omitted, strlen(omitted), VCR_JSON_RELAXED, NULL))
		vcr_json_int(&j, vcr_json_get(&j, vcr_json_get(&j, 0, "omitted"), list.data), &before);
	if (before > 0 && before < INT32_MAX)
		vcr_buf_printf(out, "/%s/%lld%s", list.data, (long long)before + at, end);
	else
		vcr_buf_puts(out, path);
}

int vcr_diff_path(const struct vcr_diff_pair *p, enum vcr_diff_part part, size_t i, bool old, struct vcr_buf *out)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	if (part != VCR_DIFF_INPUT || !p->omitted)
		return vcr_jdiff_path(&p->d[part], i, old, out);
	vcr_jdiff_path(&p->d[part], i, old, &path);
	shift(p->omitted, path.data, out);
	return out->err;
}
