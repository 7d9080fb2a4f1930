/* vcr export — a session as a file of its own: its good lines, or with complete states, or as one JSON document; or as a chart, a page, a cassette.
 *
 * The lines are read from the file itself, in their order; the reader says which frame a line is and completes its state. */
#include "export.h"
#include "limits.h"
#include "open.h"
#include "options.h"
#include "scan.h"
#include "state.h"
#include "verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct export {
	struct vcr_tool *t;
	struct vcr_reader *r;
	const char *path;       /* of the session file */
	bool full, document, mermaid, html, cassette, force;
	int64_t *frame_at;      /* frame indexes in order of their lines */
	int64_t nframe, at;
	FILE *out;
	EVP_MD_CTX *chain;      /* over every byte written so far */
	int64_t incomplete;     /* frames whose state could not be completed */
	bool any;               /* document: a frame was written */
};

/* ---- Output ---- */

static void put(struct export *x, const char *p, size_t n)
{
	fwrite(p, 1, n, x->out);
	EVP_DigestUpdate(x->chain, p, n);
}

static void put_line(struct export *x, const struct vcr_buf *line)
{
	put(x, line->data, line->len);
	put(x, "\n", 1);
}

/* A request that has a member "_vcr" of its own keeps it as the file has it, or a reader would take it for ours. */
static void write_input(struct vcr_buf *out, const struct vcr_buf *input, bool own)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_jw w;
	if (!own || vcr_json_parse(&j, input->data, input->len, VCR_JSON_RELAXED, NULL)) {
		vcr_state_write(out, input->data);
		return;
	}
	vcr_jw_init(&w, &text);
	vcr_jw_object(&w);
	for (int m = vcr_json_first(&j, 0); m >= 0; m = vcr_json_next(&j, m)) {
		bool ours = vcr_json_is(&j, m, "_vcr");
		size_t n;
		const char *key = vcr_json_raw(&j, m, &n);
		vcr_jw_raw(&w, key, n);
		vcr_buf_puts(&text, ours ? ":{\"is\":" : ":");
		w.after_key = true;
		vcr_jw_value(&w, &j, vcr_json_value(&j, m));
		vcr_buf_puts(&text, ours ? "}" : "");
	}
	vcr_jw_object_end(&w);
	vcr_state_write(out, text.data);
}

static bool is_of_its_own(const struct vcr_buf *input)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	return memmem(input->data, input->len, "\"_vcr\"", 6) && !vcr_json_parse(&j, input->data, input->len, VCR_JSON_RELAXED, NULL) && vcr_json_get(&j, 0, "_vcr") >= 0;
}

/* A frame line again, with other states; output NULL: its own. */
static int rewrite(struct export *x, int64_t index, const struct vcr_buf *input, const struct vcr_buf *output, struct vcr_buf *out, struct vcr_error *e)
{
	struct vcr_reader_frame f;
	struct vcr_jw w;
	int err = vcr_reader_frame(x->r, index, &f, e);
	if (err)
		return err;
	int data = vcr_json_get(f.j, 0, "data");
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "type");
	vcr_jw_str(&w, "frame");
	vcr_jw_key(&w, "data");
	vcr_jw_object(&w);
	for (int m = vcr_json_first(f.j, data); m >= 0; m = vcr_json_next(f.j, m)) {
		size_t n;
		const char *key = vcr_json_raw(f.j, m, &n);
		vcr_jw_raw(&w, key, n);
		vcr_buf_putc(out, ':');
		w.after_key = true;
		if (vcr_json_is(f.j, m, "input_state")) {
			write_input(out, input, vcr_json_path(f.j, f.input, "_vcr.is") >= 0 || (vcr_reader_is_cut(&f, f.input) && is_of_its_own(input)));
			w.after_key = false;
		} else if (output && vcr_json_is(f.j, m, "output_state")) {
			vcr_state_write(out, output->data);
			w.after_key = false;
		} else
			vcr_jw_value(&w, f.j, vcr_json_value(f.j, m));
	}
	vcr_jw_object_end(&w);
	vcr_jw_object_end(&w);
	return out->err;
}

/* The frame's line with its state complete. 1: the line stands as it is. */
static int completed(struct export *x, int64_t index, struct vcr_buf *out)
{
	struct vcr_reader_frame f;
	struct vcr_error e = { 0 };
	VCR_AUTO_BUF input = VCR_BUF_INIT, output = VCR_BUF_INIT;
	int err = vcr_reader_frame(x->r, index, &f, &e), notes = err || f.vcr < 0 ? -1 : vcr_json_get(f.j, f.input, "_vcr");
	bool cut = !err && vcr_reader_is_cut(&f, f.output);
	if (!err && !cut && vcr_json_get(f.j, notes, "after") < 0 && !vcr_reader_is_cut(&f, f.input))
		return 1;
	if (err || vcr_reader_full_input(x->r, index, &input, &e) || (cut && vcr_reader_full_output(x->r, index, &output, &e))) {
		vcr_say(x->t, "%s; exported as it stands", e.what);
		x->incomplete++;
		return 1;
	}
	if (!rewrite(x, index, &input, cut ? &output : NULL, out, &e))
		return 0;
	vcr_say(x->t, "frame %lld: %s; exported as it stands", (long long)index, *e.what ? e.what : vcr_strerror(out->err));
	vcr_buf_reset(out);
	x->incomplete++;
	return 1;
}

/* The end line with the hash of what stands before it here. */
static void put_end(struct export *x, const char *p, size_t n)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF out = VCR_BUF_INIT, hex = VCR_BUF_INIT;
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	struct vcr_jw w;
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	if (vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, NULL) || !copy || EVP_MD_CTX_copy_ex(copy, x->chain) != 1 || EVP_DigestFinal_ex(copy, sum, &len) != 1)
		len = 0;
	EVP_MD_CTX_free(copy);
	if (!len)
		return;
	vcr_buf_hex(&hex, sum, len);
	int data = vcr_json_get(&j, 0, "data");
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "type");
	vcr_jw_str(&w, "vcr.end");
	vcr_jw_key(&w, "data");
	vcr_jw_object(&w);
	for (int m = vcr_json_first(&j, data); m >= 0 && vcr_json_type(&j, data) == VCR_JSON_OBJECT; m = vcr_json_next(&j, m)) {
		size_t k;
		const char *key = vcr_json_raw(&j, m, &k);
		if (vcr_json_is(&j, m, "sha256"))
			continue;
		vcr_jw_raw(&w, key, k);
		vcr_buf_putc(&out, ':');
		w.after_key = true;
		vcr_jw_value(&w, &j, vcr_json_value(&j, m));
	}
	vcr_jw_key(&w, "sha256");
	vcr_jw_str(&w, hex.data);
	vcr_jw_object_end(&w);
	vcr_jw_object_end(&w);
	put_line(x, &out);
}

/* ---- Lines of the file ---- */

static int by_line(const void *a, const void *b, void *r)
{
	int64_t x = vcr_reader_brief(r, *(const int64_t *)a).line, y = vcr_reader_brief(r, *(const int64_t *)b).line;
	return (x > y) - (x < y);
}

static int order_frames(struct export *x)
{
	x->nframe = vcr_reader_count(x->r);
	x->frame_at = calloc((size_t)x->nframe + 1, sizeof *x->frame_at);
	if (!x->frame_at)
		return VCR_ENOMEM;
	for (int64_t i = 0; i < x->nframe; i++)
		x->frame_at[i] = i;
	qsort_r(x->frame_at, (size_t)x->nframe, sizeof *x->frame_at, by_line, x->r);
	return 0;
}

/* In the document session and frames are values of their own. */
static void put_value(struct export *x, const char *p, size_t n, bool frame)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_jw w;
	if (vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, NULL))
		return;
	vcr_jw_init(&w, &out);
	vcr_jw_value(&w, &j, vcr_json_get(&j, 0, "data"));
	if (frame)
		put(x, x->any ? ",\n" : "\n", x->any ? 2 : 1);
	x->any = x->any || frame;
	put(x, out.data, out.len);
}

static void frame_line(struct export *x, const char *p, size_t n, int64_t line)
{
	VCR_AUTO_BUF made = VCR_BUF_INIT;
	while (x->at < x->nframe && vcr_reader_brief(x->r, x->frame_at[x->at]).line < line)
		x->at++;
	if (x->at >= x->nframe || vcr_reader_brief(x->r, x->frame_at[x->at]).line != line)
		return; /* the reader left it out, and said so; or it was written since */
	bool changed = x->full && !completed(x, x->frame_at[x->at], &made);
	const char *q = changed ? made.data : p;
	size_t k = changed ? made.len : n;
	if (x->document) {
		put_value(x, q, k, true);
		return;
	}
	put(x, q, k);
	put(x, "\n", 1);
}

static void one_line(struct export *x, const char *p, size_t n, int64_t line)
{
	struct vcr_line l;
	vcr_scan_line(p, n, &l);
	switch (l.kind) {
	case VCR_LINE_FRAME:
		frame_line(x, p, n, line);
		break;
	case VCR_LINE_SESSION:
		if (!x->document) {
			put(x, p, n);
			put(x, "\n", 1);
		}
		break;
	case VCR_LINE_OTHER:
		if (x->document)
			break;
		if (x->full && l.type.n == 7 && !memcmp(l.type.p, "vcr.end", 7))
			put_end(x, p, n);
		else {
			put(x, p, n);
			put(x, "\n", 1);
		}
		break;
	default:
		break; /* blank, or damaged: said by the reader */
	}
}

struct lines { FILE *in; char block[1 << 16]; size_t at, have; };

/* The next line without its newline; false at the end. One beyond VCR_MAX_LINE comes out empty: the reader left it out and said so. */
static bool next_line(struct lines *l, struct vcr_buf *line)
{
	bool any = false;
	vcr_buf_reset(line);
	for (;;) {
		if (l->at == l->have) {
			l->at = 0;
			l->have = fread(l->block, 1, sizeof l->block, l->in);
			if (!l->have)
				break;
		}
		any = true;
		const char *p = l->block + l->at, *nl = memchr(p, '\n', l->have - l->at);
		size_t n = nl ? (size_t)(nl - p) : l->have - l->at;
		vcr_buf_add(line, p, n);
		l->at += n + (nl != NULL);
		if (nl)
			break;
	}
	if (line->err)
		vcr_buf_reset(line);
	return any;
}

static int each_line(struct export *x)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	struct lines *l = calloc(1, sizeof *l);
	line.max = VCR_MAX_LINE;
	if (!l || !(l->in = fopen(x->path, "re"))) {
		vcr_say(x->t, "%s: %s", x->path, strerror(errno));
		free(l);
		return VCR_EXIT_FAILED;
	}
	for (int64_t k = 1; !ferror(x->out) && next_line(l, &line); k++) {
		size_t skip = k == 1 && line.len >= 3 && !memcmp(line.data, "\xef\xbb\xbf", 3) ? 3 : 0, n = line.len;
		while (n > skip && line.data[n - 1] == '\r')
			n--;
		vcr_buf_cut(&line, n);
		if (n > skip)
			one_line(x, line.data + skip, n - skip, k);
	}
	bool bad = ferror(l->in);
	fclose(l->in);
	free(l);
	if (bad)
		vcr_say(x->t, "%s cannot be read: %s", x->path, strerror(errno));
	return bad ? VCR_EXIT_FAILED : 0;
}

static void put_session(struct export *x)
{
	const struct vcr_reader_session *s = vcr_reader_session(x->r);
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "session_id");
	vcr_jw_str(&w, s->session_id);
	vcr_jw_key(&w, "parent_session_id");
	vcr_jw_str(&w, s->parent_session_id);
	vcr_jw_key(&w, "forked_from_frame");
	if (s->forked_from_frame >= 0)
		vcr_jw_int(&w, s->forked_from_frame);
	else
		vcr_jw_null(&w);
	vcr_jw_key(&w, "metadata");
	vcr_jw_raw(&w, s->metadata_json, strlen(s->metadata_json));
	vcr_jw_key(&w, "tags");
	vcr_jw_array(&w);
	for (int i = 0; i < s->ntags; i++)
		vcr_jw_str(&w, s->tags[i]);
	vcr_jw_array_end(&w);
	vcr_jw_key(&w, "frame_count");
	vcr_jw_int(&w, vcr_reader_count(x->r));
	vcr_jw_key(&w, "total_tokens");
	vcr_jw_int(&w, s->total_tokens);
	vcr_jw_key(&w, "total_cost_usd");
	vcr_jw_double(&w, s->total_cost_usd);
	vcr_jw_object_end(&w);
	put(x, out.data, out.len);
}

static int write_all(struct export *x)
{
	if (x->mermaid)
		return vcr_export_mermaid(x->t, x->r, x->out);
	if (x->html)
		return vcr_export_html(x->t, x->r, x->out);
	if (x->cassette)
		return vcr_export_cassette(x->t, x->r, x->out);
	if (order_frames(x) || EVP_DigestInit_ex(x->chain, EVP_sha256(), NULL) != 1) {
		vcr_say(x->t, "out of memory");
		return VCR_EXIT_FAILED;
	}
	if (x->document) {
		put(x, "{\"session\":", 11);
		put_session(x);
		put(x, ",\n\"frames\":[", 12);
	}
	int status = each_line(x);
	if (x->document)
		put(x, "\n]}\n", 4);
	return status ? status : x->incomplete ? VCR_EXIT_FAILED : 0;
}

/* ---- The file ---- */

/* What came into being there meanwhile is not replaced either. */
static int put_in_place(const char *from, const char *to, bool force)
{
	if (force)
		return rename(from, to);
	if (!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	return link(from, to) ? -1 : unlink(from);
}

/* A new file beside the target, moved there when it is complete: nobody sees half an export, and a failed one leaves nothing. */
static int write_file(struct export *x, const char *to)
{
	VCR_AUTO_BUF tmp = VCR_BUF_INIT;
	vcr_buf_printf(&tmp, "%s.XXXXXX", to);
	int fd = mkostemp(tmp.data, O_CLOEXEC);
	if (fd < 0 || !(x->out = fdopen(fd, "w"))) {
		vcr_say(x->t, "cannot write %s: %s", to, strerror(errno));
		return VCR_EXIT_FAILED;
	}
	int status = write_all(x);
	bool bad = ferror(x->out) || fflush(x->out) || fsync(fd);
	int why = errno;
	bad = fclose(x->out) || bad;
	x->out = NULL;
	if (!bad && put_in_place(tmp.data, to, x->force)) {
		why = errno;
		bad = true;
	}
	if (bad)
		unlink(tmp.data);
	if (bad)
		vcr_say(x->t, "cannot write %s: %s", to, strerror(why));
	return bad ? VCR_EXIT_FAILED : status;
}

/* 0, or an exit status: the target is there already, or is the session itself. */
static int check_target(const struct export *x, const char *to)
{
	struct stat in, out;
	if (stat(to, &out))
		return 0;
	if (!stat(x->path, &in) && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
		return vcr_wrong_call(x->t, "%s is the session itself; a recording is never overwritten", to);
	if (!x->force)
		return vcr_wrong_call(x->t, "%s exists already; --force overwrites it", to);
	if (!S_ISREG(out.st_mode))
		return vcr_wrong_call(x->t, "%s is no regular file; without -o the session goes to standard output", to);
	return 0;
}

static int export(struct export *x, const char *session, const char *to)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	int status = vcr_tool_open_session(x->t, session, &x->r, &path);
	if (status)
		return status;
	x->path = path.data;
	x->chain = EVP_MD_CTX_new();
	if (!x->chain) {
		vcr_say(x->t, "out of memory");
		status = VCR_EXIT_FAILED;
	} else if (!to) {
		x->out = stdout;
		status = write_all(x);
	} else if (!(status = check_target(x, to)))
		status = write_file(x, to);
	EVP_MD_CTX_free(x->chain);
	free(x->frame_at);
	vcr_tool_close(&x->r);
	return status;
}

int vcr_verb_export(struct vcr_tool *t, int argc, char **argv)
{
	struct export x = { .t = t };
	const char *to = NULL, *format = "jsonl";
	const struct vcr_opt opts[] = {
		{ 0, "full", NULL, VCR_OPT_FLAG, &x.full, "every frame with its complete state" },
		{ 'o', "output", "FILE", VCR_OPT_STRING, &to, "write FILE, which must not exist; standard output unless given" },
		{ 0, "force", NULL, VCR_OPT_FLAG, &x.force, "FILE may exist and is replaced" },
		{ 0, "format", "FORMAT", VCR_OPT_STRING, &format, "jsonl, a session file, or json, one document {\"session\",\"frames\"}" },
		{ 0, "html", NULL, VCR_OPT_FLAG, &x.html, "a page that shows the session in a browser, and needs nothing else" },
		{ 0, "mermaid", NULL, VCR_OPT_FLAG, &x.mermaid, "a flowchart of the frames, in the language of mermaid" },
		{ 0, "cassette", NULL, VCR_OPT_FLAG, &x.cassette, "a cassette of vcrpy, in YAML: the requests and their answers" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "[SESSION]", "Write a session's lines without damaged ones; with --full every frame shows its complete state.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		return status;
	x.document = !strcmp(format, "json");
	if (n > 1)
		return vcr_wrong_call(t, "one session at a time");
	if (!x.document && strcmp(format, "jsonl"))
		return vcr_wrong_call(t, "--format wants jsonl or json, not '%s'", format);
	if ((x.mermaid || x.html || x.cassette) && (x.full || x.document || t->json || x.mermaid + x.html + x.cassette > 1))
		return vcr_wrong_call(t, "--%s is a format of its own; it goes with neither --full nor another format", x.html ? "html" : x.mermaid ? "mermaid" : "cassette");
	if (to && !*to)
		return vcr_wrong_call(t, "--output wants the name of a file");
	return export(&x, n ? argv[0] : NULL, to);
}
