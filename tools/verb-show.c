/* vcr show — one frame with its complete state. */
#include "show.h"
#include "open.h"
#include "options.h"
#include "state.h"
#include "verbs.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The frame as the file has it, but with its states complete and wrapped dicts as they were. */
static int frame_json(struct vcr_reader *r, int64_t index, struct vcr_buf *out, struct vcr_error *e)
{
	struct vcr_reader_frame f;
	VCR_AUTO_BUF full = VCR_BUF_INIT, output = VCR_BUF_INIT;
	struct vcr_jw w;
	int err = vcr_reader_full_input(r, index, &full, e);
	if (err || (err = vcr_reader_full_output(r, index, &output, e)) || (err = vcr_reader_frame(r, index, &f, e)))
		return err;
	bool cut = vcr_reader_is_cut(&f, f.output);
	int data = vcr_json_get(f.j, 0, "data");
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "index");
	vcr_jw_int(&w, index);
	for (int m = vcr_json_first(f.j, data); m >= 0; m = vcr_json_next(f.j, m)) {
		size_t n;
		const char *key = vcr_json_raw(f.j, m, &n);
		vcr_jw_raw(&w, key, n);
		vcr_buf_putc(out, ':');
		w.after_key = true;
		if (vcr_json_is(f.j, m, "input_state"))
			vcr_jw_raw(&w, full.data, full.len);
		else if (cut && vcr_json_is(f.j, m, "output_state"))
			vcr_jw_raw(&w, output.data, output.len);
		else
			vcr_state_unwrap(&w, f.j, vcr_json_value(f.j, m), f.vcr >= 0);
	}
	vcr_jw_object_end(&w);
	return out->err ? vcr_error_set(e, out->err, "frame %lld: %s", (long long)index, vcr_strerror(out->err)) : 0;
}

static int show_json(struct vcr_tool *t, struct vcr_reader *r, int64_t index)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	if (frame_json(r, index, &out, &e))
		return vcr_failed(t, &e);
	fwrite(out.data, 1, out.len, stdout);
	putchar('\n');
	return 0;
}

static int show_words(struct vcr_tool *t, struct vcr_reader *r, int64_t index, bool news)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	int err = news ? vcr_show_news(t, r, index, &out, &e) : vcr_show_frame(t, r, index, &out, &e);
	fwrite(out.data, 1, out.len, stdout);
	return err ? vcr_failed(t, &e) : 0;
}

/* ---- --raw ---- */

/* request and response are named in metadata.custom.vcr, a file's content in its output. */
static int find_body(const struct vcr_reader_frame *f, const char *which)
{
	return strcmp(which, "content") ? vcr_json_get(f->j, f->vcr, which) : vcr_json_get(f->j, f->output, which);
}

static int show_raw(struct vcr_tool *t, struct vcr_reader *r, int64_t index, const char *which)
{
	struct vcr_reader_frame f;
	struct vcr_error e = { 0 };
	VCR_AUTO_BUF ref = VCR_BUF_INIT, body = VCR_BUF_INIT, shown = VCR_BUF_INIT;
	if (vcr_reader_frame(r, index, &f, &e))
		return vcr_failed(t, &e);
	if (vcr_json_str(f.j, find_body(&f, which), &ref)) {
		vcr_say(t, "frame %lld has no recorded %s", (long long)index, which);
		return VCR_EXIT_NO;
	}
	if (vcr_reader_body(r, ref.data, &body, &e)) {
		vcr_say(t, "%s", e.what);
		return VCR_EXIT_FAILED;
	}
	if (isatty(1))
		vcr_safe(&shown, body.data, body.len, VCR_SAFE_LINES);
	const struct vcr_buf *out = isatty(1) ? &shown : &body;
	fwrite(out->data, 1, out->len, stdout);
	return 0;
}

/* One operand that is a session, not a frame: say what is missing. */
static int resolve(struct vcr_tool *t, struct vcr_reader *r, const char *frame, bool alone, int64_t *index)
{
	struct vcr_error e = { 0 };
	struct stat st;
	if (!vcr_reader_resolve(r, frame, index, &e))
		return 0;
	size_t n = strlen(frame);
	if (alone && ((n > 4 && !strcmp(frame + n - 4, ".vcr")) || !stat(frame, &st)))
		return vcr_wrong_call(t, "which frame of %s? vcr-show SESSION FRAME", frame);
	return vcr_failed(t, &e);
}

static int show(struct vcr_tool *t, const char *session, const char *frame, const char *raw, bool news)
{
	VCR_AUTO_READER *r = NULL;
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	int64_t index;
	int status = vcr_tool_open_session(t, session, &r, &path);
	if (!status)
		status = resolve(t, r, frame, !session, &index);
	if (status)
		return status;
	return raw ? show_raw(t, r, index, raw) : t->json ? show_json(t, r, index) : show_words(t, r, index, news);
}

int vcr_verb_show(struct vcr_tool *t, int argc, char **argv)
{
	const char *raw = NULL;
	bool news = false;
	const struct vcr_opt opts[] = {
		{ 'n', "new", NULL, VCR_OPT_FLAG, &news, "without the messages that an earlier frame of the conversation shows" },
		{ 0, "raw", "WHAT", VCR_OPT_STRING, &raw, "only the bytes of the request, the response, or a file's content, as recorded" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "[SESSION] FRAME",
		"Show a frame with its complete state. FRAME is a number, call:K, start, end or @TIME; SESSION is the newest unless given.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		return status;
	if (n == 0 || n > 2)
		return vcr_wrong_call(t, n ? "one frame at a time" : "which frame? vcr-show [SESSION] FRAME");
	if (raw && strcmp(raw, "request") && strcmp(raw, "response") && strcmp(raw, "content"))
		return vcr_wrong_call(t, "--raw wants request, response or content, not '%s'", raw);
	if (news && (raw || t->json))
		return vcr_wrong_call(t, "--new is for people; it goes with neither --raw nor --json");
	return show(t, n == 2 ? argv[0] : NULL, argv[n - 1], raw, news);
}
