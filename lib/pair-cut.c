#include "pair-cut.h"
#include <string.h>

enum { BEGINNING = 160, /* bytes of a long text */ MEMBERS = 16 };

int vcr_pair_arguments(struct vcr_buf *out, const struct vcr_json *j, int v)
{
	VCR_AUTO_JSON in = VCR_JSON_INIT;
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_jw w;
	bool parsed = !vcr_json_str(j, v, &text) && !vcr_json_parse(&in, text.data, text.len, VCR_JSON_RELAXED, NULL);
	vcr_jw_init(&w, out);
	if (parsed && vcr_json_type(&in, 0) == VCR_JSON_OBJECT) {
		vcr_jw_value(&w, &in, 0);
	} else if (vcr_json_type(j, v) == VCR_JSON_OBJECT) {
		vcr_jw_value(&w, j, v);
	} else {
		vcr_jw_object(&w);
		if (v >= 0 && !(vcr_json_type(j, v) == VCR_JSON_STRING && !text.len)) { /* an empty text is what a call without arguments streams */
			vcr_jw_key(&w, "input");
			vcr_jw_value(&w, parsed ? &in : j, parsed ? 0 : v);
		}
		vcr_jw_object_end(&w);
	}
	return out->err;
}

/* Of a list of text blocks the first text, of {"output":TEXT} that, of a string itself; else its JSON. */
static void text_of(const struct vcr_json *j, int v, struct vcr_buf *out)
{
	int first = vcr_json_type(j, v) == VCR_JSON_ARRAY ? vcr_json_first(j, v) : -1;
	int text = vcr_json_type(j, first) == VCR_JSON_OBJECT ? vcr_json_get(j, first, "text") : v;
	size_t n;
	if (vcr_json_type(j, v) == VCR_JSON_OBJECT && vcr_json_count(j, v) == 1)
		text = vcr_json_value(j, vcr_json_first(j, v));
	if (vcr_json_str(j, text, out)) {
		const char *raw = vcr_json_raw(j, v, &n);
		vcr_buf_add(out, raw, n < 4 * BEGINNING ? n : 4 * BEGINNING);
	}
}

static void write_beginning(struct vcr_jw *w, const struct vcr_json *j, int v)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	size_t n;
	vcr_json_raw(j, v, &n);
	if (n <= BEGINNING) {
		vcr_jw_value(w, j, v);
		return;
	}
	text_of(j, v, &text);
	if (text.len > BEGINNING) {
		size_t end = BEGINNING;
		while (end && ((unsigned char)text.data[end] & 0xc0) == 0x80) /* not inside a character */
			end--;
		vcr_buf_cut(&text, end);
	}
	vcr_buf_puts(&text, "\xe2\x80\xa6");
	vcr_jw_strn(w, text.data, text.len);
}

static void write_whole(struct vcr_jw *w, const char *frame_id, const char *at, const char *member)
{
	vcr_jw_key(w, "_vcr");
	vcr_jw_object(w);
	vcr_jw_key(w, "whole");
	vcr_jw_object(w);
	vcr_jw_key(w, "frame");
	vcr_jw_str(w, frame_id);
	vcr_jw_key(w, "at");
	vcr_jw_str(w, at);
	if (member) {
		vcr_jw_key(w, "member");
		vcr_jw_str(w, member);
	}
	vcr_jw_object_end(w);
	vcr_jw_object_end(w);
}

int vcr_pair_cut_input(struct vcr_buf *out, const char *arguments, size_t n, const char *frame_id, const char *at)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_jw w;
	int left = MEMBERS;
	int err = vcr_json_parse(&j, arguments, n, VCR_JSON_RELAXED, NULL);
	if (err)
		return err;
	if (n <= VCR_PAIR_SHORT && vcr_json_get(&j, 0, "_vcr") < 0)
		return vcr_buf_add(out, arguments, n);
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	for (int m = vcr_json_first(&j, 0); m >= 0 && left; m = vcr_json_next(&j, m), left--) {
		size_t k;
		const char *key = vcr_json_raw(&j, m, &k);
		if (vcr_json_is(&j, m, "_vcr") || k > BEGINNING)
			continue;
		vcr_jw_raw(&w, key, k);
		vcr_buf_putc(out, ':');
		w.after_key = true;
		write_beginning(&w, &j, vcr_json_value(&j, m));
	}
	write_whole(&w, frame_id, at, NULL);
	vcr_jw_object_end(&w);
	return out->err;
}

int vcr_pair_cut_output(struct vcr_buf *out, const struct vcr_json *j, int v, const char *member, const char *frame_id, const char *at)
{
	struct vcr_jw w;
	size_t n;
	vcr_json_raw(j, v, &n);
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, member);
	if (v < 0) {
		vcr_jw_null(&w);
	} else if (n <= VCR_PAIR_SHORT) {
		vcr_jw_value(&w, j, v);
	} else {
		write_beginning(&w, j, v);
		write_whole(&w, frame_id, at, member);
	}
	vcr_jw_object_end(&w);
	return out->err;
}
