/* gist.c — vcr_gist of words.h. */
#include "words.h"
#include "talk.h"
#include "tool.h"
#include <ctype.h>
#include <string.h>

enum { KEEP = 600 /* bytes of a text that a gist can need */ };

/* Runs of white space become one space; no more than KEEP bytes are looked at. */
static void add_squeezed(struct vcr_buf *out, const char *p, size_t n)
{
	bool gap = false;
	for (size_t i = 0; i < n && i < KEEP; i++) {
		bool space = isspace((unsigned char)p[i]);
		if (!space) {
			if (gap && out->len)
				vcr_buf_putc(out, ' ');
			vcr_buf_putc(out, p[i]);
		}
		gap = space || (gap && space);
	}
	while (out->len && n > KEEP && ((unsigned char)out->data[out->len - 1] & 0xc0) == 0x80) /* not inside a character */
		vcr_buf_cut(out, out->len - 1);
}

/* ---- Model calls ---- */

struct sides { struct vcr_buf asked, said; int turn; };

static void add_item(struct vcr_buf *to, const struct vcr_talk *t)
{
	if (to->len > KEEP)
		return;
	if (to->len)
		vcr_buf_putc(to, ' ');
	if (t->kind == VCR_TALK_CALL)
		vcr_buf_printf(to, "%s(", t->name);
	else if (t->kind == VCR_TALK_RESULT)
		vcr_buf_printf(to, "%s%s: ", t->failed ? "failed " : "", *t->name ? t->name : "result");
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	add_squeezed(&text, t->text, t->n);
	vcr_buf_add(to, text.data, text.len);
	if (t->kind == VCR_TALK_CALL)
		vcr_buf_putc(to, ')');
}

static void take_asked(void *ctx, const struct vcr_talk *t)
{
	struct sides *s = ctx;
	if (t->turn < 0 || t->kind == VCR_TALK_THINKING)
		return;
	if (t->turn != s->turn)
		vcr_buf_reset(&s->asked);
	s->turn = t->turn;
	add_item(&s->asked, t);
}

static void take_said(void *ctx, const struct vcr_talk *t)
{
	struct sides *s = ctx;
	if (t->kind != VCR_TALK_THINKING)
		add_item(&s->said, t);
}

static void error_words(struct vcr_buf *out, const struct vcr_reader_frame *f)
{
	if (f->error_type)
		vcr_buf_printf(out, "%s%s", f->error_type, f->error_message && strcmp(f->error_type, f->error_message) ? ": " : "");
	if (f->error_message && (!f->error_type || strcmp(f->error_type, f->error_message)))
		add_squeezed(out, f->error_message, strlen(f->error_message));
}

static void two_sides(struct vcr_buf *out, const struct vcr_buf *left, const struct vcr_buf *right, size_t columns)
{
	size_t half = columns ? columns / 2 : 0, before = out->len;
	if (columns && right->len < half)
		half = columns - right->len;
	vcr_safe_line(out, left->data, left->len, right->len && half > 3 ? half - 3 : columns);
	if (!right->len)
		return;
	if (out->len > before)
		vcr_buf_puts(out, " → ");
	size_t used = 0;
	for (size_t i = before; i < out->len; i++)
		used += ((unsigned char)out->data[i] & 0xc0) != 0x80;
	vcr_safe_line(out, right->data, right->len, !columns ? 0 : used < columns ? columns - used : 1);
}

static void call_gist(struct vcr_buf *out, const struct vcr_reader_frame *f, size_t columns)
{
	struct sides s = { VCR_BUF_INIT, VCR_BUF_INIT, -1 };
	vcr_talk_request(f->j, f->input, take_asked, &s);
	if (f->error_type || f->error_message)
		error_words(&s.said, f);
	else
		vcr_talk_answer(f->j, vcr_json_get(f->j, f->output, "response"), take_said, &s);
	two_sides(out, &s.asked, &s.said, columns);
	vcr_buf_release(&s.asked);
	vcr_buf_release(&s.said);
}

/* ---- Files and programs ---- */

static void count_diff(const struct vcr_buf *diff, int *added, int *removed)
{
	bool hunk = false;
	*added = *removed = 0;
	for (const char *p = diff->data, *end = p + diff->len; p < end; p++) {
		hunk = hunk || *p == '@';
		*added += hunk && *p == '+';
		*removed += hunk && *p == '-';
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			break;
	}
}

/* "1200 made, 3 directories, 4.5 MB" */
static void burst_gist(struct vcr_buf *raw, const struct vcr_reader_frame *f)
{
	static const char *const words[] = { "made", "changed", "removed", "transient", "directories" };
	int64_t n;
	vcr_json_str(f->j, vcr_json_get(f->j, f->input, "path"), raw);
	const char *before = ": ";
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (vcr_json_int(f->j, vcr_json_get(f->j, f->output, words[i]), &n) && n) {
			vcr_buf_printf(raw, "%s%lld %s", before, (long long)n, strcmp(words[i], "transient") ? words[i] : "made and gone again");
			before = ", ";
		}
	if (vcr_json_int(f->j, vcr_json_get(f->j, f->output, "bytes"), &n)) {
		vcr_buf_puts(raw, before);
		vcr_words_bytes(raw, n);
	}
}

static void file_gist(struct vcr_buf *raw, const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF diff = VCR_BUF_INIT;
	int added, removed;
	int64_t size;
	if (!vcr_json_str(f->j, vcr_json_get(f->j, f->input, "old_path"), raw))
		vcr_buf_puts(raw, " → ");
	vcr_json_str(f->j, vcr_json_get(f->j, f->input, "path"), raw);
	if (vcr_json_get(f->j, f->input, "target") >= 0) {
		vcr_buf_puts(raw, " → ");
		vcr_json_str(f->j, vcr_json_get(f->j, f->input, "target"), raw);
	}
	vcr_json_str(f->j, vcr_json_get(f->j, f->output, "diff"), &diff);
	count_diff(&diff, &added, &removed);
	if (diff.len)
		vcr_buf_printf(raw, " +%d -%d", added, removed);
	else if (vcr_json_int(f->j, vcr_json_path(f->j, f->output, "after.size"), &size))
		vcr_buf_printf(raw, " (%lld bytes)", (long long)size);
	if (vcr_json_true(f->j, vcr_json_get(f->j, f->vcr, "transient")))
		vcr_buf_puts(raw, ", gone again");
	if (vcr_json_get(f->j, f->vcr, "withheld") >= 0)
		vcr_buf_puts(raw, ", content withheld");
}

static void exec_gist(struct vcr_buf *raw, const struct vcr_reader_frame *f)
{
	int argv = vcr_json_get(f->j, f->input, "argv");
	int64_t n;
	for (int m = vcr_json_first(f->j, argv); m >= 0 && raw->len < KEEP; m = vcr_json_next(f->j, m)) {
		VCR_AUTO_BUF one = VCR_BUF_INIT, squeezed = VCR_BUF_INIT;
		vcr_json_str(f->j, m, &one);
		add_squeezed(&squeezed, one.data, one.len);
		vcr_buf_puts(raw, raw->len ? " " : "");
		vcr_words_quoted(raw, squeezed.data, squeezed.len);
	}
	if (vcr_json_int(f->j, vcr_json_get(f->j, f->output, "exit_code"), &n) && n)
		vcr_buf_printf(raw, " → exit %lld", (long long)n);
	else if (vcr_json_int(f->j, vcr_json_get(f->j, f->output, "signal"), &n))
		vcr_buf_printf(raw, " → signal %lld", (long long)n);
}

/* ---- Anything else: the states as they are, without braces ---- */

static void state_words(struct vcr_buf *to, const struct vcr_reader_frame *f, int state)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	size_t n;
	const char *raw = vcr_json_raw(f->j, state, &n);
	if (n < 2 || !vcr_json_count(f->j, state))
		return;
	for (size_t i = 1; i + 1 < n && i < KEEP; i++)
		if (raw[i] != '"')
			vcr_buf_putc(&text, raw[i]);
	add_squeezed(to, text.data, text.len);
}

/* ---- Tool calls: arguments and the result's text; long ones stand there with their beginning ---- */

static void arguments_words(struct vcr_buf *to, const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	for (int m = vcr_json_type(f->j, f->input) == VCR_JSON_OBJECT ? vcr_json_first(f->j, f->input) : -1; m >= 0 && text.len < KEEP; m = vcr_json_next(f->j, m)) {
		int v = vcr_json_value(f->j, m);
		size_t n;
		if (vcr_json_is(f->j, m, "_vcr"))
			continue;
		vcr_buf_puts(&text, text.len ? ", " : "");
		vcr_json_str(f->j, m, &text);
		vcr_buf_puts(&text, ": ");
		if (vcr_json_str(f->j, v, &text)) {
			const char *raw = vcr_json_raw(f->j, v, &n);
			vcr_buf_add(&text, raw, n < KEEP ? n : KEEP);
		}
	}
	add_squeezed(to, text.data, text.len);
}

static void result_words(struct vcr_buf *to, const struct vcr_reader_frame *f)
{
	int v = vcr_json_get(f->j, f->output, "result"), error = vcr_json_get(f->j, f->output, "error");
	if (v < 0 && error >= 0) {
		vcr_buf_puts(to, "failed: ");
		v = error;
	}
	int first = vcr_json_type(f->j, v) == VCR_JSON_ARRAY ? vcr_json_first(f->j, v) : -1;
	int text = first >= 0 && vcr_json_type(f->j, first) == VCR_JSON_OBJECT ? vcr_json_get(f->j, first, "text") : v;
	VCR_AUTO_BUF words = VCR_BUF_INIT;
	size_t n;
	if (vcr_json_type(f->j, v) == VCR_JSON_OBJECT && vcr_json_count(f->j, v) == 1)
		text = vcr_json_value(f->j, vcr_json_first(f->j, v));
	if (vcr_json_str(f->j, text, &words)) {
		const char *raw = vcr_json_raw(f->j, v, &n);
		vcr_buf_add(&words, raw, n < KEEP ? n : KEEP);
	}
	VCR_AUTO_BUF squeezed = VCR_BUF_INIT;
	add_squeezed(&squeezed, words.data, words.len);
	vcr_buf_add(to, squeezed.data, squeezed.len);
}

static void tool_gist(struct vcr_buf *out, const struct vcr_reader_frame *f, size_t columns)
{
	VCR_AUTO_BUF in = VCR_BUF_INIT, result = VCR_BUF_INIT;
	arguments_words(&in, f);
	result_words(&result, f);
	two_sides(out, &in, &result, columns);
}

static void other_gist(struct vcr_buf *out, const struct vcr_reader_frame *f, size_t columns)
{
	VCR_AUTO_BUF in = VCR_BUF_INIT, result = VCR_BUF_INIT;
	state_words(&in, f, f->input);
	if (f->error_type || f->error_message)
		error_words(&result, f);
	else
		state_words(&result, f, f->output);
	if (!in.len && !result.len)
		state_words(&result, f, vcr_json_path(f->j, 0, "data.state_diff"));
	two_sides(out, &in, &result, columns);
}

/* A run of the user's tests: the command; how it ended, and the last line that it printed. */
static void test_gist(struct vcr_buf *out, const struct vcr_reader_frame *f, size_t columns)
{
	VCR_AUTO_BUF in = VCR_BUF_INIT, result = VCR_BUF_INIT, printed = VCR_BUF_INIT, how = VCR_BUF_INIT, command = VCR_BUF_INIT;
	int64_t n;
	vcr_json_str(f->j, vcr_json_get(f->j, f->input, "command"), &command);
	add_squeezed(&in, command.data, command.len);
	if (!vcr_json_str(f->j, vcr_json_get(f->j, f->output, "ended_by"), &how))
		vcr_buf_printf(&result, "ended by the %s", how.data);
	else if (vcr_json_true(f->j, vcr_json_get(f->j, f->output, "passed")))
		vcr_buf_puts(&result, "passed");
	else if (vcr_json_int(f->j, vcr_json_get(f->j, f->output, "exit_code"), &n))
		vcr_buf_printf(&result, "failed, exit %lld", (long long)n);
	else if (vcr_json_int(f->j, vcr_json_get(f->j, f->output, "signal"), &n))
		vcr_buf_printf(&result, "failed, signal %lld", (long long)n);
	vcr_json_str(f->j, vcr_json_get(f->j, f->output, "output"), &printed);
	while (printed.len && strchr("\n ", printed.data[printed.len - 1]))
		printed.data[--printed.len] = 0;
	const char *line = printed.len ? memrchr(printed.data, '\n', printed.len) : NULL;
	line = line ? line + 1 : printed.data;
	if (printed.len) {
		vcr_buf_puts(&result, ": ");
		add_squeezed(&result, line, (size_t)(printed.data + printed.len - line));
	}
	two_sides(out, &in, &result, columns);
}

static bool starts(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

void vcr_gist(struct vcr_buf *out, const struct vcr_reader_frame *f, size_t columns)
{
	VCR_AUTO_BUF raw = VCR_BUF_INIT;
	if (!strcmp(f->type, "llm") || starts(f->node_name, "llm:"))
		call_gist(out, f, columns);
	else if (starts(f->node_name, "file:")) {
		(strcmp(f->node_name, "file:burst") ? file_gist : burst_gist)(&raw, f);
		vcr_safe_line(out, raw.data, raw.len, columns);
	} else if (starts(f->node_name, "exec:")) {
		exec_gist(&raw, f);
		vcr_safe_line(out, raw.data, raw.len, columns);
	} else if (starts(f->node_name, "tool:") && f->vcr >= 0)
		tool_gist(out, f, columns);
	else if (!strcmp(f->node_name, "test:run") && f->vcr >= 0)
		test_gist(out, f, columns);
	else
		other_gist(out, f, columns);
}
