#include "state.h"
#include <ctype.h>
#include <stdint.h>
#include <string.h>

enum { MAX_DIGITS = 4000 }; /* Python's int() refuses 4300 */

/* A run of MAX_DIGITS digits covers two neighbours of a coarse grid. May say yes for digits inside a string. */
static bool may_hold_huge_number(const char *s, size_t n)
{
	const size_t grid = MAX_DIGITS / 2;
	for (size_t i = grid; i + grid < n; i += grid)
		if (isdigit((unsigned char)s[i]) && isdigit((unsigned char)s[i + grid]))
			return true;
	return false;
}

static bool is_fit(const char *s, size_t n)
{
	return s[0] == '{' && !may_hold_huge_number(s, n) && vcr_json_is_line(s, n);
}

static bool is_deeper(const struct vcr_json *j, int v, int max)
{
	enum vcr_json_type t = vcr_json_type(j, v);
	if (t != VCR_JSON_OBJECT && t != VCR_JSON_ARRAY)
		return false;
	if (max == 0)
		return true;
	for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m))
		if (is_deeper(j, t == VCR_JSON_OBJECT ? vcr_json_value(j, m) : m, max - 1))
			return true;
	return false;
}

static void write_string(struct vcr_jw *w, const struct vcr_json *j, int v, bool key)
{
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	vcr_json_str(j, v, &s);
	vcr_jw_strn(w, s.data, s.len);
	if (key) {
		vcr_buf_putc(w->out, ':');
		w->after_key = true;
	}
}

/* wrap: above every wrapped dict; below one the player looks no further, so nothing needs a wrapper. */
static void write_value(struct vcr_jw *w, const struct vcr_json *j, int v, bool wrap)
{
	size_t n;
	enum vcr_json_type t = vcr_json_type(j, v);
	bool typed = wrap && t == VCR_JSON_OBJECT && vcr_json_get(j, v, "__type__") >= 0;
	if (typed) {
		vcr_jw_object(w);
		vcr_jw_key(w, "__type__");
		vcr_jw_str(w, "vcr.dict");
		vcr_jw_key(w, "data");
		wrap = false;
	}
	if (t == VCR_JSON_OBJECT || t == VCR_JSON_ARRAY) {
		t == VCR_JSON_OBJECT ? vcr_jw_object(w) : vcr_jw_array(w);
		for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m)) {
			if (t == VCR_JSON_OBJECT)
				write_string(w, j, m, true);
			write_value(w, j, t == VCR_JSON_OBJECT ? vcr_json_value(j, m) : m, wrap);
		}
		t == VCR_JSON_OBJECT ? vcr_jw_object_end(w) : vcr_jw_array_end(w);
	} else if (t == VCR_JSON_STRING) {
		write_string(w, j, v, false);
	} else if (t == VCR_JSON_NUMBER && (vcr_json_raw(j, v, &n), n >= MAX_DIGITS)) {
		vcr_jw_strn(w, vcr_json_raw(j, v, &n), n);
	} else {
		vcr_jw_value(w, j, v);
	}
	if (typed)
		vcr_jw_object_end(w);
}

static void write_instead(struct vcr_jw *w, const char *key, const char *text)
{
	vcr_jw_object(w);
	vcr_jw_key(w, "_vcr");
	vcr_jw_object(w);
	vcr_jw_key(w, key);
	if (text)
		vcr_jw_str(w, text);
	else
		vcr_jw_bool(w, true);
	vcr_jw_object_end(w);
	vcr_jw_object_end(w);
}

static void write_wrapped_value(struct vcr_jw *w, const struct vcr_json *j)
{
	vcr_jw_object(w);
	vcr_jw_key(w, "_vcr");
	vcr_jw_object(w);
	vcr_jw_key(w, "value");
	write_value(w, j, 0, true);
	vcr_jw_object_end(w);
	vcr_jw_object_end(w);
}

int vcr_state_write(struct vcr_buf *out, const char *text)
{
	size_t n = text ? strlen(text) : 0;
	if (!text)
		return vcr_buf_puts(out, "{}");
	if (is_fit(text, n))
		return vcr_buf_add(out, text, n);
	struct vcr_jw w;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	vcr_jw_init(&w, out);
	int err = vcr_json_parse(&j, text, n, VCR_JSON_RELAXED, NULL);
	/* A wrapper adds a level, so two below the cap leave room for it and for the object around another value. */
	if (err == VCR_ELIMIT || (!err && is_deeper(&j, 0, VCR_MAX_STATE_DEPTH - 2)))
		write_instead(&w, "too_deep", NULL);
	else if (err)
		write_instead(&w, "not_json", text);
	else if (vcr_json_type(&j, 0) == VCR_JSON_OBJECT)
		write_value(&w, &j, 0, true);
	else
		write_wrapped_value(&w, &j);
	return out->err;
}

void vcr_state_unwrap(struct vcr_jw *w, const struct vcr_json *j, int v, bool wrapped)
{
	enum vcr_json_type t = vcr_json_type(j, v);
	if (!wrapped || (t != VCR_JSON_OBJECT && t != VCR_JSON_ARRAY)) {
		vcr_jw_value(w, j, v);
		return;
	}
	if (t == VCR_JSON_OBJECT && vcr_json_is(j, vcr_json_get(j, v, "__type__"), "vcr.dict")) {
		vcr_jw_value(w, j, vcr_json_get(j, v, "data"));
		return;
	}
	t == VCR_JSON_OBJECT ? vcr_jw_object(w) : vcr_jw_array(w);
	for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m)) {
		if (t == VCR_JSON_OBJECT)
			write_string(w, j, m, true);
		vcr_state_unwrap(w, j, t == VCR_JSON_OBJECT ? vcr_json_value(j, m) : m, wrapped);
	}
	t == VCR_JSON_OBJECT ? vcr_jw_object_end(w) : vcr_jw_array_end(w);
}
