#include "show.h"
#include "talk.h"
#include "words.h"
#include <stdio.h>
#include <string.h>

struct show {
	struct vcr_tool *t;
	struct vcr_reader *r;
	const struct vcr_reader_frame *f;
	struct vcr_buf *out;
	int earlier;        /* turns of the list that an earlier frame showed */
	int turn;           /* of the item before; -2: none yet */
	char role[40];
	bool answer, news; /* news: what an earlier frame showed is left out */
};

static const char *on(const struct show *s, enum vcr_style style)
{
	return vcr_on(s->t, style);
}

static void safe(struct show *s, const char *p, size_t n)
{
	vcr_safe(s->out, p, n, VCR_SAFE_LINES);
}

/* Lines indented by two columns, ended by a newline. */
static void indented(struct show *s, const char *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		const char *nl = memchr(p + i, '\n', n - i);
		size_t k = nl ? (size_t)(nl - p) - i : n - i;
		vcr_buf_puts(s->out, k ? "  " : "");
		safe(s, p + i, k);
		vcr_buf_putc(s->out, '\n');
		i += k + 1;
	}
}

static void field(struct show *s, const char *name, int v)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	size_t n;
	if (vcr_json_type(s->f->j, v) == VCR_JSON_NONE || vcr_json_type(s->f->j, v) == VCR_JSON_NULL)
		return;
	vcr_buf_printf(s->out, "%s%s:%s ", on(s, VCR_DIM), name, on(s, VCR_PLAIN));
	if (!vcr_json_str(s->f->j, v, &text))
		vcr_safe(s->out, text.data, text.len, 0);
	else if (vcr_json_type(s->f->j, v) == VCR_JSON_NUMBER || vcr_json_type(s->f->j, v) == VCR_JSON_BOOL) {
		const char *raw = vcr_json_raw(s->f->j, v, &n);
		vcr_safe(s->out, raw, n, 0);
	} else
		vcr_words_json(s->out, s->f->j, v, 0);
	vcr_buf_putc(s->out, '\n');
}

static void rule(struct show *s, enum vcr_style style, const char *words)
{
	vcr_buf_printf(s->out, "\n%s── ", on(s, style));
	vcr_safe_line(s->out, words, strlen(words), 60);
	vcr_buf_printf(s->out, " ──%s\n", on(s, VCR_PLAIN));
}

static void state(struct show *s, const char *title, const struct vcr_json *j, int v)
{
	if (vcr_json_type(j, v) == VCR_JSON_NONE || (vcr_json_type(j, v) == VCR_JSON_OBJECT && !vcr_json_count(j, v)))
		return;
	rule(s, VCR_BOLD, title);
	vcr_words_json(s->out, j, v, 0);
	vcr_buf_putc(s->out, '\n');
}

/* ---- Head ---- */

static void head(struct show *s)
{
	const struct vcr_reader_frame *f = s->f;
	VCR_AUTO_BUF when = VCR_BUF_INIT;
	vcr_buf_printf(s->out, "%sframe %lld%s  ", on(s, VCR_BOLD), (long long)f->index, on(s, VCR_PLAIN));
	vcr_safe(s->out, f->type, strlen(f->type), 0);
	vcr_buf_printf(s->out, "  %s", on(s, VCR_BOLD));
	vcr_safe(s->out, f->node_name, strlen(f->node_name), 0);
	vcr_words_time(&when, f->time_ns, "%Y-%m-%d %H:%M:%S");
	vcr_buf_printf(s->out, "%s  %s", on(s, VCR_PLAIN), when.data);
	if (f->latency_ms > 0) {
		vcr_buf_puts(s->out, "  took ");
		vcr_words_ms(s->out, f->latency_ms);
	}
	vcr_buf_printf(s->out, "\n%sid:%s ", on(s, VCR_DIM), on(s, VCR_PLAIN));
	vcr_safe(s->out, f->frame_id, strlen(f->frame_id), 0);
	if (f->parent_frame_id) {
		vcr_buf_printf(s->out, "  %sfollows:%s ", on(s, VCR_DIM), on(s, VCR_PLAIN));
		int64_t parent = vcr_reader_by_id(s->r, f->parent_frame_id);
		if (parent >= 0)
			vcr_buf_printf(s->out, "frame %lld", (long long)parent);
		else
			vcr_safe(s->out, f->parent_frame_id, strlen(f->parent_frame_id), 0);
	}
	vcr_buf_putc(s->out, '\n');
}

static void who(struct show *s)
{
	const struct vcr_json *j = s->f->j;
	int program = vcr_json_get(j, s->f->vcr, "program"), pid = vcr_json_get(j, s->f->vcr, "pid");
	VCR_AUTO_BUF name = VCR_BUF_INIT;
	int64_t n;
	if (vcr_json_str(j, program, &name) && pid < 0)
		return;
	vcr_buf_printf(s->out, "%sby:%s ", on(s, VCR_DIM), on(s, VCR_PLAIN));
	vcr_safe(s->out, name.data, name.len, 0);
	if (vcr_json_int(j, pid, &n))
		vcr_buf_printf(s->out, "%spid %lld", name.len ? ", " : "", (long long)n);
	VCR_AUTO_BUF source = VCR_BUF_INIT;
	if (!vcr_json_str(j, vcr_json_get(j, s->f->vcr, "source"), &source)) {
		vcr_buf_puts(s->out, " (seen by ");
		vcr_safe(s->out, source.data, source.len, 0);
		vcr_buf_putc(s->out, ')');
	}
	vcr_buf_putc(s->out, '\n');
}

static void error_lines(struct show *s)
{
	const struct vcr_reader_frame *f = s->f;
	if (!f->error_type && !f->error_message && strcmp(f->type, "error"))
		return;
	vcr_buf_printf(s->out, "\n%s%sERROR%s%s", on(s, VCR_BOLD), on(s, VCR_RED), f->error_type ? " " : "", f->error_type ? "" : on(s, VCR_PLAIN));
	if (f->error_type) {
		vcr_safe(s->out, f->error_type, strlen(f->error_type), 0);
		vcr_buf_puts(s->out, on(s, VCR_PLAIN));
	}
	if (f->error_message) {
		vcr_buf_puts(s->out, ": ");
		safe(s, f->error_message, strlen(f->error_message));
	}
	vcr_buf_putc(s->out, '\n');
}

/* ---- Model calls ---- */

static void exchange(struct show *s)
{
	static const char *const parts[] = { "method", "scheme", "host", "path" };
	const struct vcr_json *j = s->f->j;
	VCR_AUTO_BUF url = VCR_BUF_INIT;
	int64_t status;
	if (vcr_json_get(j, s->f->vcr, "host") < 0)
		return;
	for (int i = 0; i < 4; i++) {
		vcr_json_str(j, vcr_json_get(j, s->f->vcr, parts[i]), &url);
		vcr_buf_puts(&url, i == 0 ? " " : i == 1 ? "://" : "");
	}
	vcr_safe(s->out, url.data, url.len, 0);
	if (vcr_json_int(j, vcr_json_get(j, s->f->vcr, "status"), &status))
		vcr_buf_printf(s->out, "  %s%lld%s", on(s, status < 400 ? VCR_GREEN : VCR_RED), (long long)status, on(s, VCR_PLAIN));
	vcr_buf_putc(s->out, '\n');
}

/* The names of the tools, as they stand in any API's list. */
static void tool_names(struct vcr_buf *out, const struct vcr_json *j, int tools)
{
	static const char *const paths[] = { "function.name", "name", "type" };
	int n = 0;
	for (int m = vcr_json_first(j, tools); m >= 0 && vcr_json_type(j, tools) == VCR_JSON_ARRAY; m = vcr_json_next(j, m)) {
		int declared = vcr_json_get(j, m, "functionDeclarations");
		VCR_AUTO_BUF name = VCR_BUF_INIT;
		if (vcr_json_type(j, m) != VCR_JSON_OBJECT)
			continue;
		if (declared >= 0) {
			vcr_buf_puts(out, n++ ? ", " : "");
			tool_names(out, j, declared);
			continue;
		}
		for (int i = 0; i < 3 && !name.len; i++)
			vcr_json_str(j, vcr_json_path(j, m, paths[i]), &name);
		vcr_buf_puts(out, n++ ? ", " : "");
		vcr_safe(out, name.data, name.len, 0);
	}
}

/* What the request says beside the conversation. With -v tools are shown whole. */
static void parameters(struct show *s, const struct vcr_json *j, int inner)
{
	bool any = false;
	for (int m = vcr_json_first(j, inner); m >= 0; m = vcr_json_next(j, m)) {
		int v = vcr_json_value(j, m);
		VCR_AUTO_BUF key = VCR_BUF_INIT;
		if (vcr_talk_is_shown(j, m) || vcr_json_str(j, m, &key) || !strcmp(key.data, "_vcr"))
			continue;
		if (!any)
			rule(s, VCR_DIM, "parameters");
		any = true;
		vcr_safe(s->out, key.data, key.len, 0);
		vcr_buf_puts(s->out, ": ");
		if (!strcmp(key.data, "tools") && !s->t->verbose)
			tool_names(s->out, j, v);
		else
			vcr_words_json(s->out, j, v, 0);
		vcr_buf_putc(s->out, '\n');
	}
}

static bool is_old(const struct show *s, const struct vcr_talk *t)
{
	return !s->answer && t->turn >= 0 && t->turn < s->earlier;
}

static void role_line(struct show *s, const struct vcr_talk *t)
{
	VCR_AUTO_BUF words = VCR_BUF_INIT;
	bool old = is_old(s, t);
	if (t->turn == s->turn && !strncmp(s->role, t->role, sizeof s->role - 1))
		return;
	snprintf(s->role, sizeof s->role, "%s", t->role);
	s->turn = t->turn;
	vcr_buf_puts(&words, s->answer ? "answer" : *t->role ? t->role : "?");
	if (old)
		vcr_buf_puts(&words, " (earlier)");
	rule(s, old ? VCR_DIM : s->answer ? VCR_GREEN : !strcmp(t->role, "user") ? VCR_CYAN : !strcmp(t->role, "system") ? VCR_MAGENTA : VCR_BLUE, words.data);
}

/* Arguments are JSON in most APIs, text in a few. */
static void arguments(struct show *s, const char *p, size_t n)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (n && !vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, NULL) && vcr_json_type(&j, 0) != VCR_JSON_STRING) {
		vcr_buf_puts(s->out, "  ");
		vcr_words_json(s->out, &j, 0, 2);
		vcr_buf_putc(s->out, '\n');
	} else
		indented(s, p, n);
}

static void label(struct show *s, enum vcr_style style, const char *what, const char *name)
{
	vcr_buf_printf(s->out, "%s%s", on(s, style), what);
	vcr_safe_line(s->out, name, strlen(name), 80);
	vcr_buf_printf(s->out, "%s\n", on(s, VCR_PLAIN));
}

static void item(void *ctx, const struct vcr_talk *t)
{
	struct show *s = ctx;
	if (s->news && is_old(s, t))
		return;
	role_line(s, t);
	switch (t->kind) {
	case VCR_TALK_TEXT:
		safe(s, t->text, t->n);
		if (t->n && t->text[t->n - 1] != '\n')
			vcr_buf_putc(s->out, '\n');
		break;
	case VCR_TALK_THINKING:
		label(s, VCR_DIM, "thinking", "");
		indented(s, t->text, t->n);
		break;
	case VCR_TALK_CALL:
		label(s, VCR_YELLOW, "calls ", t->name);
		arguments(s, t->text, t->n);
		break;
	case VCR_TALK_RESULT:
		label(s, t->failed ? VCR_RED : VCR_YELLOW, t->failed ? "failed result of " : "result of ", *t->name ? t->name : "a tool");
		indented(s, t->text, t->n);
		break;
	case VCR_TALK_OTHER:
		indented(s, t->text, t->n);
		break;
	}
}

static void usage(struct show *s)
{
	static const char *const extra[] = { "tokens_cached", "tokens_cache_write", "tokens_reasoning", "stop_reason", "ttfb_ms" };
	static const char *const words[] = { "cached", "written to cache", "reasoning", "stop", "first byte" };
	const struct vcr_reader_frame *f = s->f;
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	if (f->tokens_in >= 0 || f->tokens_out >= 0)
		vcr_buf_printf(&line, "%lld in, %lld out", (long long)(f->tokens_in > 0 ? f->tokens_in : 0), (long long)(f->tokens_out > 0 ? f->tokens_out : 0));
	else if (f->tokens >= 0)
		vcr_buf_printf(&line, "%lld", (long long)f->tokens);
	if (line.len)
		vcr_buf_puts(&line, " tokens");
	for (int i = 0; i < 5; i++) {
		int v = vcr_json_get(f->j, f->vcr, extra[i]);
		VCR_AUTO_BUF text = VCR_BUF_INIT;
		double d;
		if (!vcr_json_str(f->j, v, &text) || (vcr_json_double(f->j, v, &d) && d > 0)) {
			vcr_buf_printf(&line, "%s%s ", line.len ? ", " : "", words[i]);
			if (text.len)
				vcr_safe(&line, text.data, text.len, 0);
			else if (i == 4)
				vcr_words_ms(&line, d);
			else
				vcr_buf_printf(&line, "%.0f", d);
		}
	}
	if (f->cost_usd >= 0) {
		vcr_buf_puts(&line, line.len ? ", " : "");
		vcr_words_cost(&line, f->cost_usd);
	}
	if (line.len)
		vcr_buf_printf(s->out, "\n%susage:%s %s\n", on(s, VCR_DIM), on(s, VCR_PLAIN), line.data);
}

static void call(struct show *s, const struct vcr_json *input)
{
	const struct vcr_reader_frame *f = s->f;
	int response = vcr_json_get(f->j, f->output, "response"), inner = vcr_talk_inner(input, 0);
	int64_t n = 0;
	exchange(s);
	who(s);
	int omitted = vcr_json_path(f->j, f->input, "_vcr.omitted");
	for (int m = vcr_json_first(f->j, omitted); m >= 0 && vcr_json_type(f->j, omitted) == VCR_JSON_OBJECT; m = vcr_json_next(f->j, m))
		if (vcr_json_int(f->j, vcr_json_value(f->j, m), &n) && n > 0 && n < INT32_MAX)
			s->earlier = (int)n;
	parameters(s, input, inner >= 0 ? inner : -1);
	if (s->news && s->earlier)
		vcr_buf_printf(s->out, "\n%s%d earlier message%s%s\n", on(s, VCR_DIM), s->earlier, s->earlier == 1 ? "" : "s", on(s, VCR_PLAIN));
	s->turn = -2;
	if (!vcr_talk_request(input, 0, item, s))
		state(s, "request", input, 0);
	error_lines(s);
	s->answer = true;
	s->turn = -2;
	if (response >= 0 && !vcr_talk_answer(f->j, response, item, s))
		state(s, "answer", f->j, response);
	else if (response < 0 && !f->error_type && !f->error_message)
		state(s, "answer", f->j, f->output);
	usage(s);
}

/* ---- Files ---- */

static void diff_lines(struct show *s, const char *p, size_t n)
{
	bool hunk = false;
	for (size_t i = 0; i < n;) {
		const char *nl = memchr(p + i, '\n', n - i);
		size_t k = nl ? (size_t)(nl - p) - i : n - i;
		hunk = hunk || p[i] == '@';
		enum vcr_style style = !k ? VCR_PLAIN : !hunk ? VCR_BOLD : p[i] == '+' ? VCR_GREEN : p[i] == '-' ? VCR_RED : p[i] == '@' ? VCR_CYAN : VCR_PLAIN;
		vcr_buf_puts(s->out, style ? on(s, style) : "");
		safe(s, p + i, k);
		vcr_buf_puts(s->out, style ? on(s, VCR_PLAIN) : "");
		vcr_buf_putc(s->out, '\n');
		i += k + 1;
	}
}

static void file_state(struct show *s, const char *name, int v)
{
	const struct vcr_json *j = s->f->j;
	VCR_AUTO_BUF mode = VCR_BUF_INIT, hash = VCR_BUF_INIT;
	int64_t size = -1;
	vcr_buf_printf(s->out, "%s%s:%s ", on(s, VCR_DIM), name, on(s, VCR_PLAIN));
	if (vcr_json_type(j, v) != VCR_JSON_OBJECT)
		vcr_buf_puts(s->out, "no such file");
	vcr_json_int(j, vcr_json_get(j, v, "size"), &size);
	if (size >= 0)
		vcr_buf_printf(s->out, "%lld bytes", (long long)size);
	if (!vcr_json_str(j, vcr_json_get(j, v, "mode"), &mode)) {
		vcr_buf_puts(s->out, ", mode ");
		vcr_safe_line(s->out, mode.data, mode.len, 12);
	}
	if (!vcr_json_str(j, vcr_json_get(j, v, "sha256"), &hash)) {
		vcr_buf_puts(s->out, ", sha256 ");
		vcr_safe_line(s->out, hash.data, s->t->verbose || hash.len < 16 ? hash.len : 16, 70);
	}
	vcr_buf_putc(s->out, '\n');
}

static void file(struct show *s)
{
	const struct vcr_reader_frame *f = s->f;
	VCR_AUTO_BUF diff = VCR_BUF_INIT;
	who(s);
	field(s, "from", vcr_json_get(f->j, f->input, "old_path"));
	field(s, "path", vcr_json_get(f->j, f->input, "path"));
	field(s, "target", vcr_json_get(f->j, f->input, "target"));
	file_state(s, "before", vcr_json_get(f->j, f->input, "before"));
	file_state(s, "after", vcr_json_get(f->j, f->output, "after"));
	if (vcr_json_true(f->j, vcr_json_get(f->j, f->vcr, "transient")))
		vcr_buf_puts(s->out, "it was made and was gone again before anybody looked\n");
	field(s, "withheld", vcr_json_get(f->j, f->vcr, "withheld"));
	error_lines(s);
	if (vcr_json_str(f->j, vcr_json_get(f->j, f->output, "diff"), &diff) || !diff.len)
		return;
	vcr_buf_putc(s->out, '\n');
	diff_lines(s, diff.data, diff.len);
}

/* One line of a storm's list: ["made","path",{…}]. */
static void burst_line(struct show *s, const char *text, size_t n)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF what = VCR_BUF_INIT, path = VCR_BUF_INIT;
	int64_t size;
	if (vcr_json_parse(&j, text, n, VCR_JSON_RELAXED, NULL) || vcr_json_type(&j, 0) != VCR_JSON_ARRAY)
		return;
	int v = vcr_json_first(&j, 0);
	if (vcr_json_str(&j, v, &what) || vcr_json_str(&j, v = vcr_json_next(&j, v), &path))
		return;
	vcr_safe_line(s->out, what.data, what.len, 12);
	vcr_buf_printf(s->out, "%*s ", what.len < 10 ? (int)(10 - what.len) : 0, "");
	vcr_safe_line(s->out, path.data, path.len, 0);
	if (vcr_json_int(&j, vcr_json_get(&j, vcr_json_next(&j, v), "size"), &size) && strcmp(what.data, "directory"))
		vcr_buf_printf(s->out, " (%lld bytes)", (long long)size);
	vcr_buf_putc(s->out, '\n');
}

static void burst(struct show *s)
{
	const struct vcr_reader_frame *f = s->f;
	VCR_AUTO_BUF ref = VCR_BUF_INIT, list = VCR_BUF_INIT, more = VCR_BUF_INIT;
	int64_t n;
	who(s);
	vcr_gist(&more, f, 0);
	vcr_buf_add(s->out, more.data, more.len);
	vcr_buf_puts(s->out, "\nmany files at once: one frame tells of them all; their contents are in the savepoints\n\n");
	if (!vcr_json_str(f->j, vcr_json_get(f->j, f->output, "list"), &ref) && !vcr_reader_body(s->r, ref.data, &list, NULL))
		for (const char *p = list.data; *p; p += strcspn(p, "\n"), p += *p == '\n')
			burst_line(s, p, strcspn(p, "\n"));
	if (vcr_json_int(f->j, vcr_json_get(f->j, f->output, "unlisted"), &n))
		vcr_buf_printf(s->out, "and %lld more\n", (long long)n);
}

/* ---- Programs ---- */

static void program(struct show *s)
{
	const struct vcr_reader_frame *f = s->f;
	int argv = vcr_json_get(f->j, f->input, "argv");
	int64_t n;
	vcr_buf_printf(s->out, "%s$", on(s, VCR_BOLD));
	for (int m = vcr_json_first(f->j, argv); m >= 0; m = vcr_json_next(f->j, m)) {
		VCR_AUTO_BUF one = VCR_BUF_INIT;
		vcr_json_str(f->j, m, &one);
		vcr_buf_putc(s->out, ' ');
		vcr_words_quoted(s->out, one.data, one.len);
	}
	vcr_buf_printf(s->out, "%s\n", on(s, VCR_PLAIN));
	field(s, "program", vcr_json_get(f->j, f->input, "path"));
	field(s, "cwd", vcr_json_get(f->j, f->input, "cwd"));
	field(s, "pid", vcr_json_get(f->j, f->input, "pid"));
	field(s, "parent", vcr_json_get(f->j, f->input, "parent"));
	error_lines(s);
	if (vcr_json_int(f->j, vcr_json_get(f->j, f->output, "exit_code"), &n))
		vcr_buf_printf(s->out, "%sexit code: %lld%s\n", on(s, n ? VCR_RED : VCR_GREEN), (long long)n, on(s, VCR_PLAIN));
	else if (vcr_json_int(f->j, vcr_json_get(f->j, f->output, "signal"), &n))
		vcr_buf_printf(s->out, "%skilled by signal %lld%s\n", on(s, VCR_RED), (long long)n, on(s, VCR_PLAIN));
	else
		vcr_buf_puts(s->out, vcr_json_true(f->j, vcr_json_get(f->j, f->output, "replaced")) ? "replaced by another program\n" : "exit code: unknown\n");
}

static void other(struct show *s, const struct vcr_json *input, const struct vcr_json *output)
{
	const struct vcr_reader_frame *f = s->f;
	int diff = vcr_json_path(f->j, 0, "data.state_diff");
	error_lines(s);
	state(s, "input", input, 0);
	state(s, "output", output ? output : f->j, output ? 0 : f->output);
	if (vcr_json_type(f->j, diff) == VCR_JSON_ARRAY)
		state(s, "changes", f->j, diff);
	usage(s);
}

static bool starts(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

static int show(struct vcr_tool *t, struct vcr_reader *r, int64_t index, bool news, struct vcr_buf *out, struct vcr_error *e)
{
	struct vcr_reader_frame f;
	VCR_AUTO_BUF full = VCR_BUF_INIT, result = VCR_BUF_INIT;
	VCR_AUTO_JSON input = VCR_JSON_INIT, output = VCR_JSON_INIT;
	struct show s = { .t = t, .r = r, .f = &f, .out = out, .news = news };
	int rebuilt = vcr_reader_full_input(r, index, &full, e), whole = vcr_reader_full_output(r, index, &result, e), err = vcr_reader_frame(r, index, &f, e);
	if (err)
		return err;
	bool cut = !whole && vcr_reader_is_cut(&f, f.output);
	if (cut && (err = vcr_json_parse(&output, result.data, result.len, VCR_JSON_RELAXED, e)))
		return err;
	if (rebuilt) {
		size_t n;
		const char *raw = vcr_json_raw(f.j, f.input, &n);
		vcr_buf_reset(&full);
		vcr_buf_add(&full, n ? raw : "{}", n ? n : 2);
	}
	if ((err = vcr_json_parse(&input, full.data, full.len, VCR_JSON_RELAXED, e)))
		return err;
	head(&s);
	if (!strcmp(f.type, "llm") || starts(f.node_name, "llm:"))
		call(&s, &input);
	else if (!strcmp(f.node_name, "file:burst"))
		burst(&s);
	else if (starts(f.node_name, "file:"))
		file(&s);
	else if (starts(f.node_name, "exec:"))
		program(&s);
	else
		other(&s, &input, cut ? &output : NULL);
	return rebuilt ? rebuilt : whole ? whole : out->err ? vcr_error_set(e, out->err, "frame %lld: %s", (long long)index, vcr_strerror(out->err)) : 0;
}

int vcr_show_frame(struct vcr_tool *t, struct vcr_reader *r, int64_t index, struct vcr_buf *out, struct vcr_error *e)
{
	return show(t, r, index, false, out, e);
}

int vcr_show_news(struct vcr_tool *t, struct vcr_reader *r, int64_t index, struct vcr_buf *out, struct vcr_error *e)
{
	return show(t, r, index, true, out, e);
}
