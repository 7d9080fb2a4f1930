#include "filter.h"
#include "when.h"
#include <fnmatch.h>
#include <locale.h>
#include <string.h>
#include <time.h>
#include <wctype.h>

int vcr_filter_check(const struct vcr_tool *t, struct vcr_filter *f)
{
	static const char *const types[] = { "llm", "tool", "error", "checkpoint", "node" };
	int64_t now = (int64_t)time(NULL) * 1000000000;
	if (f->since && !vcr_when(f->since, now, now, &f->since_ns))
		return vcr_wrong_call(t, "--since wants a time such as 2h, 3d, 10:30 or 2026-11-24T10:30, not '%s'", f->since);
	for (int i = 0; i < f->types.n; i++) {
		bool known = false;
		for (size_t k = 0; k < sizeof types / sizeof *types; k++)
			known = known || !strcmp(types[k], f->types.item[i]);
		if (!known)
			return vcr_wrong_call(t, "--type wants llm, tool, error, checkpoint or node, not '%s'", f->types.item[i]);
	}
	if (f->grep && !*f->grep)
		return vcr_wrong_call(t, "--grep wants a text that is not empty");
	return 0;
}

bool vcr_filter_has_frame_conditions(const struct vcr_filter *f)
{
	return f->types.n || f->nodes.n || f->errors || f->grep;
}

bool vcr_filter_session(const struct vcr_filter *f, const struct vcr_reader_session *s)
{
	bool has = !f->tags.n;
	for (int i = 0; i < f->tags.n && !has; i++)
		for (int k = 0; k < s->ntags && !has; k++)
			has = !strcmp(f->tags.item[i], s->tags[k]);
	return has;
}

/* ---- Text ---- */

/* One character from *p, folded; *p moves on. Bytes that are no UTF-8 are themselves. */
static uint32_t folded(const char **p, const char *end, locale_t utf8)
{
	const unsigned char *s = (const unsigned char *)*p;
	size_t k = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : *s >= 0xe0 && *s < 0xf0 ? 3 : *s >= 0xf0 && *s < 0xf5 ? 4 : 1;
	uint32_t c = k == 1 ? *s : *s & (0xffu >> (k + 1));
	if (k > (size_t)(end - *p))
		k = 1;
	for (size_t i = 1; i < k; i++)
		c = c << 6 | (s[i] & 0x3f);
	*p += k;
	if (c < 0x80)
		return c >= 'A' && c <= 'Z' ? c + 32 : c;
	return utf8 ? (uint32_t)towlower_l((wint_t)c, utf8) : c;
}

static bool holds_at(const char *p, const char *end, const char *what, const char *what_end, locale_t utf8)
{
	while (what < what_end) {
		if (p >= end || folded(&p, end, utf8) != folded(&what, what_end, utf8))
			return false;
	}
	return true;
}

bool vcr_contains(const char *text, size_t n, const char *what)
{
	static locale_t utf8;
	const char *end = text + n, *what_end = what + strlen(what);
	if (!utf8)
		utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", 0);
	const char *w = what;
	uint32_t first = *what ? folded(&w, what_end, utf8) : 0;
	for (const char *p = text; p < end;) {
		const char *next = p;
		if (folded(&next, end, utf8) == first && holds_at(next, end, w, what_end, utf8))
			return true;
		p = next;
	}
	return !*what;
}

/* A string of the value holds what; keys do not count. */
static bool value_holds(const struct vcr_json *j, int v, int except, const char *what, struct vcr_buf *space)
{
	enum vcr_json_type type = vcr_json_type(j, v);
	if (v == except && v >= 0)
		return false;
	if (type == VCR_JSON_STRING) {
		vcr_buf_reset(space);
		return !vcr_json_str(j, v, space) && vcr_contains(space->data, space->len, what);
	}
	if (type != VCR_JSON_OBJECT && type != VCR_JSON_ARRAY)
		return false;
	for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m))
		if (value_holds(j, type == VCR_JSON_OBJECT ? vcr_json_value(j, m) : m, except, what, space))
			return true;
	return false;
}

static bool frame_holds(const struct vcr_reader_frame *f, const char *what)
{
	static const char *const parts[] = { "data.node_name", "data.input_state", "data.output_state", "data.metadata", "data.state_diff" };
	VCR_AUTO_BUF space = VCR_BUF_INIT;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (value_holds(f->j, vcr_json_path(f->j, 0, parts[i]), f->vcr, what, &space))
			return true;
	return false;
}

/* ---- Frames ---- */

static bool one_of(const struct vcr_opt_list *l, const char *s, bool glob)
{
	bool has = !l->n;
	for (int i = 0; i < l->n && !has; i++)
		has = glob ? !fnmatch(l->item[i], s, 0) : !strcmp(l->item[i], s);
	return has;
}

int vcr_filter_frame(const struct vcr_filter *f, struct vcr_reader *r, int64_t index, struct vcr_error *e)
{
	struct vcr_reader_brief b = vcr_reader_brief(r, index);
	struct vcr_reader_frame frame;
	if ((f->since && b.time_ns < f->since_ns) || !one_of(&f->types, b.type, false))
		return 0;
	if (!f->nodes.n && !f->errors && !f->grep)
		return 1;
	int err = vcr_reader_frame(r, index, &frame, e);
	if (err)
		return err;
	return one_of(&f->nodes, frame.node_name, true) && (!f->errors || !strcmp(b.type, "error") || frame.error_type || frame.error_message) &&
		(!f->grep || frame_holds(&frame, f->grep));
}

void vcr_filter_release(struct vcr_filter *f)
{
	vcr_opt_list_release(&f->tags);
	vcr_opt_list_release(&f->types);
	vcr_opt_list_release(&f->nodes);
}
