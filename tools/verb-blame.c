/* vcr blame — who wrote a line: the savepoint and the frame, the tool call, the model call, and what a person had asked for. */
#include "beneath.h"
#include "blame.h"
#include "diff.h"
#include "limits.h"
#include "open.h"
#include "options.h"
#include "paths.h"
#include "savepoint.h"
#include "talk.h"
#include "verbs.h"
#include "words.h"
#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LATER = 16, MAX_SESSIONS = 256, MAX_STEPS = 100000, PROMPT = 4000 };

/* What lines may come from: a frame of a session between two savepoints, or a time that nobody recorded (reader NULL). */
struct step {
	struct vcr_reader *in;
	const char *before;      /* session after whose end it was; "" now */
	int64_t savepoint, frame; /* frame -1: none tells of it */
	int64_t tool, call, nth;  /* frames of the tool call and the model call, -1; the call's K of call:K */
	bool known;              /* tool and call were looked for */
	struct vcr_buf prompt;
};
struct history { struct vcr_reader *in; int64_t began_ns; };
struct blame {
	struct vcr_tool *t;
	struct vcr_buf vcr_dir, workspace, state;
	struct vcr_store *store;
	char *path, *at;         /* relative to the workspace: as it is given; as it was called at the savepoint that is looked at */
	long line;               /* from 0; -1: all */
	struct vcr_blame b;
	struct vcr_buf text;
	struct step *step;
	int nstep, cap;
	struct history session[MAX_SESSIONS]; /* newest first */
	int nsession;
	struct vcr_error e;
};

/* ---- Steps ---- */

static int add_step(struct blame *b, const struct step *s)
{
	if (b->nstep == b->cap) {
		int cap = b->cap ? 2 * b->cap : 64;
		struct step *step = cap <= MAX_STEPS ? reallocarray(b->step, (size_t)cap, sizeof *step) : NULL;
		if (!step)
			return vcr_error_set(&b->e, VCR_ENOMEM, "blame: out of memory");
		b->step = step;
		b->cap = cap;
	}
	b->step[b->nstep] = *s;
	vcr_buf_init(&b->step[b->nstep].prompt, PROMPT + 8);
	return b->nstep++;
}

/* Lines that are not in `text` come from this step. */
static int back(struct blame *b, const struct vcr_buf *text, const struct step *s)
{
	size_t open = b->b.open;
	int n = add_step(b, s);
	if (n < 0)
		return n;
	if (vcr_blame_back(&b->b, text ? text->data : NULL, text ? text->len : 0, n))
		return vcr_error_set(&b->e, VCR_ENOMEM, "blame: out of memory");
	if (b->b.open == open)
		b->nstep--; /* nothing is of it */
	return 0;
}

/* ---- A session, backwards ---- */

static int content_at(struct blame *b, const char *tree, struct vcr_entry *entry, struct vcr_buf *text)
{
	int err = vcr_store_find(b->store, tree, b->at, entry, &b->e);
	vcr_buf_reset(text);
	if (!err && (entry->mode & VCR_ENTRY_TYPE) == VCR_ENTRY_FILE)
		err = vcr_store_read(b->store, entry, text, &b->e);
	return err;
}

static bool is_about(const struct vcr_reader_frame *f, const char *key, const char *path)
{
	return vcr_json_is(f->j, vcr_json_get(f->j, f->input, key), path);
}

/* The frames that tell of the file between two times, newest first; at most max. */
static int frames_between(struct blame *b, struct vcr_reader *in, int64_t after_ns, int64_t upto_ns, int64_t *frame, int max)
{
	int n = 0;
	for (int64_t i = vcr_reader_count(in); i-- > 0 && n < max;) {
		struct vcr_reader_brief brief = vcr_reader_brief(in, i);
		struct vcr_reader_frame f;
		if (brief.time_ns > upto_ns)
			continue;
		if (brief.time_ns <= after_ns)
			break;
		if (!strcmp(brief.type, "tool") && !vcr_reader_frame(in, i, &f, NULL) && !strncmp(f.node_name, "file:", 5) && is_about(&f, "path", b->at))
			frame[n++] = i;
	}
	return n;
}

/* The content that a file frame left, redacted; false: it is not in the recording. */
static bool frame_content(struct vcr_reader *in, int64_t frame, struct vcr_buf *text)
{
	struct vcr_reader_frame f;
	VCR_AUTO_BUF ref = VCR_BUF_INIT;
	vcr_buf_reset(text);
	return !vcr_reader_frame(in, frame, &f, NULL) && !vcr_json_str(f.j, vcr_json_get(f.j, f.output, "content"), &ref) && !vcr_reader_body(in, ref.data, text, NULL);
}

/* It had another name before one of these frames: that name, else NULL. */
static char *old_name(struct vcr_reader *in, const int64_t *frame, int n)
{
	for (int i = 0; i < n; i++) {
		struct vcr_reader_frame f;
		VCR_AUTO_BUF old = VCR_BUF_INIT;
		if (!vcr_reader_frame(in, frame[i], &f, NULL) && !strcmp(f.node_name, "file:rename") && !vcr_json_str(f.j, vcr_json_get(f.j, f.input, "old_path"), &old) &&
		    vcr_beneath_valid(old.data))
			return vcr_buf_take(&old, NULL);
	}
	return NULL;
}

/* The hash of what a file frame left, as the recording tells it. */
static bool left_hash(struct vcr_reader *in, int64_t frame, const char *hash)
{
	struct vcr_reader_frame f;
	return !vcr_reader_frame(in, frame, &f, NULL) && vcr_json_is(f.j, vcr_json_get(f.j, vcr_json_get(f.j, f.output, "after"), "sha256"), hash);
}

/* A model that answers at once is faster than the savepoint of its call: then that has the work of frames that were written later. Those, the newest
 * first, in front of the n that are there already. */
static int add_later(struct blame *b, struct vcr_reader *in, const struct vcr_savepoint *after, int64_t *frame, int n, int max)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	VCR_AUTO_BUF hash = VCR_BUF_INIT;
	int64_t later[LATER];
	int found = 0, matched = -1;
	if (EVP_Digest(b->b.text.data, b->b.text.len, sum, NULL, EVP_sha256(), NULL) != 1 || vcr_buf_hex(&hash, sum, 32) || (n && left_hash(in, frame[0], hash.data)))
		return n;
	for (int64_t i = 0; i < vcr_reader_count(in) && found < LATER && matched < 0; i++) {
		struct vcr_reader_brief brief = vcr_reader_brief(in, i);
		struct vcr_reader_frame f;
		if (brief.time_ns <= after->time_ns || strcmp(brief.type, "tool") || vcr_reader_frame(in, i, &f, NULL) || strncmp(f.node_name, "file:", 5) || !is_about(&f, "path", b->at))
			continue;
		later[found] = i;
		matched = left_hash(in, i, hash.data) ? found : -1;
		found++;
	}
	if (matched < 0 || n + matched + 1 > max)
		return n;
	memmove(frame + matched + 1, frame, (size_t)n * sizeof *frame);
	for (int i = 0; i <= matched; i++)
		frame[i] = later[matched - i];
	return n + matched + 1;
}

/* Between two savepoints: several frames are told apart by what each left, as far as the recording has it. */
static int step_back(struct blame *b, struct vcr_reader *in, const struct vcr_savepoint *before, const struct vcr_savepoint *after)
{
	enum { MANY = 64 };
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	int64_t frame[MANY];
	struct vcr_entry entry;
	int n = frames_between(b, in, before->time_ns, after->time_ns, frame, MANY), err = 0;
	n = add_later(b, in, after, frame, n, MANY);
	struct step s = { .in = in, .savepoint = after->n, .frame = n ? frame[0] : -1 };
	for (int i = 0; !err && i + 1 < n; i++) {
		s.frame = frame[i];
		if (frame_content(in, frame[i + 1], &text))
			err = back(b, &text, &s);
		s.frame = frame[i + 1];
	}
	if (err || (err = content_at(b, before->tree, &entry, &text)))
		return err;
	char *old = entry.mode ? NULL : old_name(in, frame, n);
	if (old) {
		free(b->at);
		b->at = old;
		err = content_at(b, before->tree, &entry, &text);
	}
	return err ? err : back(b, (entry.mode & VCR_ENTRY_TYPE) == VCR_ENTRY_FILE ? &text : NULL, &s);
}

static int session_back(struct blame *b, struct vcr_reader *in, const char *later)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_savepoint after, before;
	struct vcr_entry entry, was;
	const char *id = vcr_reader_header(in)->session_id;
	int err;
	if (vcr_store_get(b->store, id, -1, &after, NULL) || vcr_store_find(b->store, after.tree, b->at, &entry, NULL) || (entry.mode & VCR_ENTRY_TYPE) != VCR_ENTRY_FILE)
		return 0; /* it has no savepoints here, or does not know the file */
	if ((err = content_at(b, after.tree, &entry, &text)) || (err = back(b, &text, &(struct step){ .before = later, .frame = -1, .savepoint = -1 })))
		return err;
	for (int64_t n = after.n; !err && n > 0 && b->b.open; n--, after = before) {
		if ((err = vcr_store_get(b->store, id, n - 1, &before, &b->e)) || (err = vcr_store_find(b->store, before.tree, b->at, &was, &b->e)))
			break;
		if (!vcr_entry_same(&was, &entry))
			err = step_back(b, in, &before, &after);
		if (!err)
			err = vcr_store_find(b->store, before.tree, b->at, &entry, &b->e);
	}
	return err;
}

/* ---- Why ---- */

static void take_prompt(void *ctx, const struct vcr_talk *t)
{
	struct vcr_buf *out = ctx;
	if (t->kind != VCR_TALK_TEXT || strcmp(t->role, "user") || !t->n)
		return;
	vcr_buf_reset(out);
	vcr_buf_add(out, t->text, t->n < PROMPT ? t->n : PROMPT);
}

static void find_prompt(struct step *s)
{
	VCR_AUTO_BUF full = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (!vcr_reader_full_input(s->in, s->call, &full, NULL) && !vcr_json_parse(&j, full.data, full.len, VCR_JSON_RELAXED, NULL))
		vcr_talk_request(&j, 0, take_prompt, &s->prompt);
}

/* The tool call's own frame, and the model call that asked for it. */
static void find_cause(struct step *s)
{
	struct vcr_reader_frame f;
	VCR_AUTO_BUF tool_call = VCR_BUF_INIT;
	if (s->known)
		return;
	s->known = true;
	s->tool = s->call = s->nth = -1;
	if (!s->in || s->frame < 0 || vcr_reader_frame(s->in, s->frame, &f, NULL))
		return;
	vcr_json_str(f.j, vcr_json_get(f.j, f.vcr, "tool_call"), &tool_call);
	int64_t parent = f.parent_frame_id ? vcr_reader_by_id(s->in, f.parent_frame_id) : -1;
	for (int64_t i = 0; tool_call.len && i < vcr_reader_count(s->in) && s->tool < 0; i++)
		if (!strcmp(vcr_reader_brief(s->in, i).type, "tool") && !vcr_reader_frame(s->in, i, &f, NULL) && !strncmp(f.node_name, "tool:", 5) &&
		    vcr_json_is(f.j, vcr_json_get(f.j, f.vcr, "tool_call"), tool_call.data))
			s->tool = i;
	for (int up = 0; up < 100 && parent >= 0 && !vcr_reader_brief(s->in, parent).call; up++)
		parent = vcr_reader_frame(s->in, parent, &f, NULL) || !f.parent_frame_id ? -1 : vcr_reader_by_id(s->in, f.parent_frame_id);
	if (parent < 0 || !vcr_reader_brief(s->in, parent).call)
		return;
	s->call = parent;
	s->nth = 0;
	for (int64_t i = 0; i < parent; i++)
		s->nth += vcr_reader_brief(s->in, i).call;
	find_prompt(s);
}

/* ---- Words ---- */

static const char *id_of(const struct step *s)
{
	return vcr_reader_header(s->in)->session_id;
}

static void text_of(const struct vcr_json *j, int object, const char *key, struct vcr_buf *out)
{
	VCR_AUTO_BUF raw = VCR_BUF_INIT;
	if (!vcr_json_str(j, vcr_json_get(j, object, key), &raw))
		vcr_safe_line(out, raw.data, raw.len, 60);
}

static void say_frame(struct blame *b, const struct step *s, const char *label, int64_t index)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT, node = VCR_BUF_INIT, program = VCR_BUF_INIT;
	struct vcr_reader_frame f;
	int64_t pid = 0;
	if (vcr_reader_frame(s->in, index, &f, NULL))
		return;
	vcr_safe_line(&node, f.node_name, strlen(f.node_name), 60);
	text_of(f.j, f.vcr, "program", &program);
	vcr_json_int(f.j, vcr_json_get(f.j, f.vcr, "pid"), &pid);
	vcr_gist(&out, &f, 100);
	printf("  %s%-11s%s frame %lld  %s%s%s", vcr_on(b->t, VCR_DIM), label, vcr_on(b->t, VCR_PLAIN), (long long)index, node.data, program.len ? " by " : "", program.data);
	if (pid > 0)
		printf(" (pid %lld)", (long long)pid);
	printf("  %s\n", out.data);
}

static void tell_chain(struct blame *b, struct step *s)
{
	VCR_AUTO_BUF id = VCR_BUF_INIT, prompt = VCR_BUF_INIT;
	find_cause(s);
	if (!s->in) {
		vcr_safe(&id, s->before, strlen(s->before), 0);
		printf(*s->before ? "  changed by somebody whom no session recorded, before session %s\n" : "  changed by somebody whom no session recorded, since the last savepoint\n", id.data);
		return;
	}
	vcr_safe(&id, id_of(s), strlen(id_of(s)), 0);
	printf("  %s%-11s%s %s, savepoint %lld\n", vcr_on(b->t, VCR_DIM), "session", vcr_on(b->t, VCR_PLAIN), id.data, (long long)s->savepoint);
	if (s->frame >= 0)
		say_frame(b, s, "written by", s->frame);
	else
		printf("  no frame tells of it: the change was found when the savepoint was taken\n");
	if (s->tool >= 0)
		say_frame(b, s, "tool call", s->tool);
	if (s->call < 0)
		return;
	say_frame(b, s, "model call", s->call);
	vcr_safe(&prompt, s->prompt.data, s->prompt.len, VCR_SAFE_LINES);
	printf("  %s%-11s%s %s\n", vcr_on(b->t, VCR_DIM), "prompt", vcr_on(b->t, VCR_PLAIN), prompt.len ? prompt.data : "(none)");
}

/* "s12  frame 7 call:2  write_file" */
static void short_chain(struct step *s, struct vcr_buf *out)
{
	struct vcr_reader_frame f;
	find_cause(s);
	if (!s->in) {
		vcr_buf_puts(out, "not recorded");
		return;
	}
	vcr_safe_line(out, id_of(s), strlen(id_of(s)), 24);
	if (s->frame >= 0)
		vcr_buf_printf(out, " frame %lld", (long long)s->frame);
	if (s->call >= 0)
		vcr_buf_printf(out, " call:%lld", (long long)s->nth);
	if (s->tool >= 0 && !vcr_reader_frame(s->in, s->tool, &f, NULL)) {
		vcr_buf_putc(out, ' ');
		vcr_safe_line(out, f.node_name + 5, strlen(f.node_name) - 5, 20);
	}
}

static void write_index(struct vcr_jw *w, const char *key, int64_t n)
{
	vcr_jw_key(w, key);
	if (n >= 0)
		vcr_jw_int(w, n);
	else
		vcr_jw_null(w);
}

static void tell_json(const char *text, size_t n, size_t line, struct step *s)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_reader_frame f;
	struct vcr_jw w;
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "line");
	vcr_jw_int(&w, (int64_t)line + 1);
	vcr_jw_key(&w, "text");
	vcr_jw_strn(&w, text, n);
	vcr_jw_key(&w, "origin");
	vcr_jw_str(&w, !s ? "before" : s->in ? "session" : "unrecorded");
	vcr_jw_key(&w, "session");
	vcr_jw_str(&w, s && s->in ? id_of(s) : NULL);
	if (s)
		find_cause(s);
	write_index(&w, "savepoint", s && s->in ? s->savepoint : -1);
	write_index(&w, "frame", s ? s->frame : -1);
	write_index(&w, "tool_frame", s ? s->tool : -1);
	vcr_jw_key(&w, "tool");
	vcr_jw_str(&w, s && s->tool >= 0 && !vcr_reader_frame(s->in, s->tool, &f, NULL) ? f.node_name + 5 : NULL);
	write_index(&w, "call_frame", s ? s->call : -1);
	write_index(&w, "call", s ? s->nth : -1);
	vcr_jw_key(&w, "model");
	vcr_jw_str(&w, s && s->call >= 0 && !vcr_reader_frame(s->in, s->call, &f, NULL) ? f.model : NULL);
	vcr_jw_key(&w, "prompt");
	vcr_jw_str(&w, s && s->prompt.len ? s->prompt.data : NULL);
	vcr_jw_object_end(&w);
	printf("%s\n", out.data);
}

static void tell_line(struct blame *b, const char *text, size_t n, size_t line)
{
	VCR_AUTO_BUF safe = VCR_BUF_INIT, who = VCR_BUF_INIT;
	struct step *s = b->b.step[line] >= 0 ? &b->step[b->b.step[line]] : NULL;
	if (b->t->json) {
		tell_json(text, n, line, s);
		return;
	}
	vcr_safe(&safe, text, n, 0);
	if (b->line >= 0) {
		printf("%s%s:%zu%s  %s\n", vcr_on(b->t, VCR_BOLD), b->path, line + 1, vcr_on(b->t, VCR_PLAIN), safe.data);
		if (s)
			tell_chain(b, s);
		else
			printf("  older than the sessions that were looked at\n");
		return;
	}
	if (s)
		short_chain(s, &who);
	printf("%s%-46s%s %5zu  %s\n", vcr_on(b->t, s && s->in ? VCR_CYAN : VCR_DIM), s ? who.data : "before", vcr_on(b->t, VCR_PLAIN), line + 1, safe.data);
}

static void tell(struct blame *b)
{
	const char *p = b->text.data, *end = p + b->text.len;
	for (size_t i = 0; p < end; i++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl ? nl : end) - p);
		if (b->line < 0 || i == (size_t)b->line)
			tell_line(b, p, n, i);
		p += n + 1;
	}
}

/* ---- The call ---- */

static int newest_first(const void *a, const void *b)
{
	const struct history *x = a, *y = b;
	return x->began_ns < y->began_ns ? 1 : x->began_ns > y->began_ns ? -1 : strcmp(vcr_reader_header(y->in)->session_id, vcr_reader_header(x->in)->session_id);
}

/* The one that is named, or all that have savepoints. 0 or an exit status. */
static int open_sessions(struct blame *b, const char *name)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct dirent *ent;
	if (name) {
		int status = vcr_tool_open_session(b->t, name, &b->session[0].in, &path);
		b->nsession = !status;
		return status;
	}
	vcr_tool_settle(b->vcr_dir.data);
	DIR *d = opendir(b->vcr_dir.data);
	while (d && (ent = readdir(d)) && b->nsession < MAX_SESSIONS) {
		size_t n = strlen(ent->d_name);
		struct history *h = &b->session[b->nsession];
		struct vcr_savepoint p;
		vcr_buf_reset(&path);
		vcr_buf_printf(&path, "%s/%s", b->vcr_dir.data, ent->d_name);
		if (n < 5 || strcmp(ent->d_name + n - 4, ".vcr") || vcr_reader_open(&h->in, path.data, NULL, NULL, NULL))
			continue;
		if (vcr_store_get(b->store, vcr_reader_header(h->in)->session_id, 0, &p, NULL)) {
			vcr_reader_free(h->in);
			h->in = NULL;
			continue;
		}
		h->began_ns = p.time_ns;
		b->nsession++;
	}
	if (d)
		closedir(d);
	qsort(b->session, (size_t)b->nsession, sizeof *b->session, newest_first);
	return 0;
}

/* FILE or FILE:LINE, relative to here. 0 or an exit status. */
static int take_name(struct blame *b, const char *given)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT;
	const char *colon = strrchr(given, ':');
	struct stat st;
	b->line = -1;
	vcr_buf_puts(&name, given);
	if (colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1) && stat(given, &st)) {
		b->line = strtol(colon + 1, NULL, 10) - 1;
		vcr_buf_cut(&name, (size_t)(colon - given));
	}
	char *full = realpath(name.data, NULL);
	size_t n = b->workspace.len;
	bool in = full && !strncmp(full, b->workspace.data, n) && full[n] == '/' && vcr_beneath_valid(full + n + 1);
	b->path = in ? strdup(full + n + 1) : NULL;
	b->at = in ? strdup(full + n + 1) : NULL;
	bool there = full;
	free(full);
	return b->at && b->path ? 0 : vcr_wrong_call(b->t, there ? "%s is not in the workspace" : "%s: there is no such file", name.data);
}

static int read_file(struct blame *b)
{
	int root = open(b->workspace.data, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = root < 0 ? -1 : vcr_beneath_open(root, b->path, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;
	ssize_t n = -1;
	char *to;
	vcr_buf_init(&b->text, 16 << 20);
	while (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && (to = vcr_buf_reserve(&b->text, 64 << 10)) && (n = read(fd, to, 64 << 10)) > 0)
		vcr_buf_added(&b->text, (size_t)n);
	if (root >= 0)
		close(root);
	if (fd >= 0)
		close(fd);
	if (n)
		return vcr_wrong_call(b->t, "%s cannot be read: no file, or one of more than 16 MB", b->path);
	if (!vcr_diff_is_text(b->text.data, b->text.len))
		return vcr_wrong_call(b->t, "%s is no text", b->path);
	return vcr_blame_begin(&b->b, b->text.data, b->text.len) ? VCR_EXIT_FAILED : 0;
}

static int blame(struct blame *b, const char *file, const char *session)
{
	if (vcr_tool_dir(b->t, &b->vcr_dir, &b->e) || vcr_paths_workspace(".", &b->workspace, &b->e) || vcr_paths_state_dir(b->workspace.data, &b->state, &b->e))
		return vcr_failed(b->t, &b->e);
	const struct vcr_store_options o = { .workspace = b->workspace.data, .state_dir = b->state.data, .vcr_dir = b->vcr_dir.data };
	int status = take_name(b, file);
	if (status || (status = read_file(b)))
		return status;
	if (b->line >= (long)b->b.n || b->line < -1)
		return vcr_wrong_call(b->t, "%s has %zu lines", b->path, b->b.n);
	if (vcr_store_open(&b->store, &o, &b->e) || vcr_store_hold(b->store, &b->e))
		return vcr_failed(b->t, &b->e);
	if ((status = open_sessions(b, session)))
		return status;
	if (b->line >= 0)
		vcr_blame_only(&b->b, (size_t)b->line);
	const char *later = "";
	for (int i = 0; i < b->nsession && b->b.open; i++) {
		if (session_back(b, b->session[i].in, later))
			return vcr_failed(b->t, &b->e);
		later = vcr_reader_header(b->session[i].in)->session_id;
	}
	tell(b);
	return VCR_EXIT_YES;
}

static void release(struct blame *b)
{
	for (int i = 0; i < b->nstep; i++)
		vcr_buf_release(&b->step[i].prompt);
	for (int i = 0; i < b->nsession; i++)
		vcr_reader_free(b->session[i].in);
	free(b->step);
	vcr_blame_release(&b->b);
	vcr_store_free(b->store);
	free(b->path);
	free(b->at);
	vcr_buf_release(&b->text);
	vcr_buf_release(&b->vcr_dir);
	vcr_buf_release(&b->workspace);
	vcr_buf_release(&b->state);
}

int vcr_verb_blame(struct vcr_tool *t, int argc, char **argv)
{
	static struct blame b;
	const struct vcr_opt opts[] = { VCR_OPT_VCR_DIR(t), VCR_OPT_LAST };
	const struct vcr_usage u = { "FILE[:LINE] [SESSION]", "Say where each line of a file, or one of them, comes from: frame, tool call, model call, and the prompt that led to it.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		return status;
	if (n < 1 || n > 2)
		return vcr_wrong_call(t, n ? "one file, one session" : "which file?");
	b = (struct blame){ .t = t, .text = VCR_BUF_INIT, .vcr_dir = VCR_BUF_INIT, .workspace = VCR_BUF_INIT, .state = VCR_BUF_INIT, .b.text = VCR_BUF_INIT };
	status = blame(&b, argv[0], n == 2 ? argv[1] : NULL);
	release(&b);
	return status;
}
