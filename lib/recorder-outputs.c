/* recorder-outputs.c — tools: programs that were started through vcr-standin, which keeps what they print. Which processes belong to one, and what it printed:
 * a vcr.output line, written once the stand-in's file is complete. */
#include "recorder-parts.h"
#include "standin.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_INPUT = 48, NAMES = 64, LATE_MS = 1000, SLICE_MS = 10, MOST_HELD = 1000 };

/* A run that has ended, and whose output is still to be written down. */
struct vcr_recorder_output { struct vcr_recorder_output *next; int pid; char frame[37]; };

#define PARENTS "1it is its parent's"

struct printed {
	struct vcr_buf text[2], cwd, input, rest;
	bool kept[2], whole, too_much, ended;
	int status; /* then */
	const char *why;
	struct vcr_standin_mark mark[VCR_STANDIN_MARKS], order[VCR_STANDIN_MARKS];
	int nmark, norder;
};

/* ---- Whose ---- */

static struct vcr_recorder_stood *add_stood(struct vcr_recorder *r, struct vcr_recorder_stood *within)
{
	struct vcr_recorder_stood *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	vcr_frame_new_id(s->id);
	s->within = within;
	s->next = r->stand;
	return r->stand = s;
}

void vcr_recorder_forget_stood(struct vcr_recorder *r)
{
	for (struct vcr_recorder_stood *s = r->stand, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	r->stand = NULL;
	for (struct vcr_recorder_output *o = r->held, *next; o; o = next) {
		next = o->next;
		free(o);
	}
	r->held = r->last_held = NULL;
}

void vcr_recorder_tool_began(struct vcr_recorder *r, struct process *p, bool early)
{
	vcr_recorder_under(r, p);
	struct vcr_recorder_stood *s = p->expected ? p->expected : add_stood(r, p->under);
	p->expected = NULL;
	p->run.stood = s;
	if (!s)
		return;
	p->under = s;
	s->early = early;
	if (early)
		return;
	r->open_tools++;
	strcpy(r->open_tool, s->id);
}

void vcr_recorder_tool_failed(struct vcr_recorder *r, struct process *p)
{
	r->open_tools -= !p->run.stood->early;
	p->under = p->run.stood->within;
}

void vcr_recorder_put_stood(struct vcr_jw *w, const struct vcr_recorder_stood *s)
{
	if (s->early) {
		vcr_jw_key(w, "early");
		vcr_jw_bool(w, true);
	}
	if (s->within) {
		vcr_jw_key(w, "within");
		vcr_jw_str(w, s->within->id);
	}
}

static void mark_spoke(struct vcr_recorder_stood *s)
{
	for (; s; s = s->within)
		s->spoke = true;
}

void vcr_recorder_spoke(struct vcr_recorder *r, int pid, bool by_gate)
{
	const struct process *p = vcr_recorder_process(r, pid, false);
	mark_spoke(p ? p->under : NULL);
	r->spoke_by_root |= !p || (by_gate && pid == r->spool->root_pid);
}

void vcr_recorder_under(struct vcr_recorder *r, struct process *p)
{
	const struct process *parent = p->under ? NULL : vcr_recorder_process(r, p->ppid, false);
	if (parent && parent != p)
		p->under = parent->under;
}

const char *vcr_recorder_tool_of(struct vcr_recorder *r, int pid)
{
	const struct process *p = pid > 0 ? vcr_recorder_process(r, pid, false) : NULL;
	if (pid <= 0 && r->open_tools == 1)
		return r->open_tool; /* nobody has said whose it is, and one is at work */
	return p && p->under ? p->under->id : NULL;
}

/* ---- What began it all, and which are the agent ---- */

void vcr_recorder_command(struct vcr_recorder *r, int pid, int argc, char *const *argv)
{
	if (!*r->stood || pid != r->spool->root_pid || r->command.len)
		return;
	for (int i = 0; i < argc; i++)
		vcr_buf_add(&r->command, argv[i], strlen(argv[i]) + 1);
}

void vcr_recorder_write_command(struct vcr_recorder *r)
{
	VCR_AUTO_BUF data = VCR_BUF_INIT;
	struct vcr_jw w;
	if (!r->session || !r->command.len || r->command.err)
		return;
	vcr_jw_init(&w, &data);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "argv");
	vcr_jw_array(&w);
	for (size_t at = 0; at < r->command.len; at += strlen(r->command.data + at) + 1)
		vcr_recorder_redacted(r, &w, r->command.data + at, strlen(r->command.data + at));
	vcr_jw_array_end(&w);
	vcr_jw_key(&w, "spoke");
	vcr_jw_array(&w);
	for (struct vcr_recorder_stood *s = r->stand; s; s = s->next)
		if (s->unseen && r->spoke_by_root)
			mark_spoke(s);
	for (const struct vcr_recorder_stood *s = r->stand; s; s = s->next)
		if (s->early && s->spoke)
			vcr_jw_str(&w, s->id);
	vcr_jw_array_end(&w);
	vcr_jw_object_end(&w);
	vcr_session_add_record(r->session, "command", data.data, &r->last_error);
}

/* ---- What they printed ---- */

/* Whoever spawns a tool says so when it runs already, and on a busy machine when it has ended: what it does until then is the tool's. Its stand-in has left a file before. */
void vcr_recorder_tool_expected(struct vcr_recorder *r, struct process *p)
{
	char path[VCR_MAX_PATH];
	if (!*r->stood || p->expected || p->run.path)
		return;
	snprintf(path, sizeof path, "%.399s/%d.0", r->stood, p->pid);
	if (access(path, F_OK))
		return;
	if ((p->expected = add_stood(r, p->under)))
		p->under = p->expected;
}

/* What is in a regular file from the place on where the program began: "PLACE PATH". */
static void read_file(const char *text, struct vcr_buf *out, bool *kept)
{
	char *path;
	long long at = strtoll(text, &path, 10);
	int fd = *path == ' ' && at >= 0 && !vcr_redact_is_secret_file(path + 1) ? open(path + 1, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
	struct stat st;
	*kept = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size - at <= VCR_STANDIN_KEPT;
	for (ssize_t n = 1; *kept && n > 0 && out->len <= VCR_STANDIN_KEPT; at += n > 0 ? n : 0) {
		char *to = vcr_buf_reserve(out, 64 << 10);
		n = to ? pread(fd, to, 64 << 10, at) : -1;
		if (n > 0)
			vcr_buf_added(out, (size_t)n);
	}
	if (fd >= 0)
		close(fd);
}

/* Of many the last ones are one. */
static void take_mark(struct printed *p, unsigned long typed)
{
	struct vcr_standin_mark *last = p->nmark ? &p->mark[p->nmark - 1] : NULL;
	if (!last || (last->at != p->text[0].len && p->nmark < VCR_STANDIN_MARKS))
		p->mark[p->nmark++] = (struct vcr_standin_mark){ (uint32_t)p->text[0].len, (uint32_t)typed };
	else
		last->typed += (uint32_t)typed;
}

/* How much error output there was when so much of the other was. Of many the last ones are one. */
static void take_order(struct printed *p)
{
	struct vcr_standin_mark *last = p->norder ? &p->order[p->norder - 1] : NULL;
	if (!last || (last->at != p->text[0].len && p->norder < VCR_STANDIN_MARKS))
		last = &p->order[p->norder++];
	*last = (struct vcr_standin_mark){ (uint32_t)p->text[0].len, (uint32_t)p->text[1].len };
}

static void take_chunk(struct printed *p, char what, const char *data, size_t n)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	switch (what) {
	case 'c': vcr_buf_reset(&p->cwd), vcr_buf_add(&p->cwd, data, n); break;
	case '0': vcr_buf_reset(&p->input), vcr_buf_add(&p->input, data, n < MOST_INPUT ? n : MOST_INPUT); break;
	case 'a': vcr_buf_reset(&p->rest), vcr_buf_add(&p->rest, data, n); break;
	case '1': vcr_buf_add(&p->text[0], data, n); break;
	case '2':
		vcr_buf_add(&p->text[1], data, n);
		take_order(p);
		break;
	case 'f': case 'g':
		vcr_buf_add(&text, data, n);
		read_file(text.data, &p->text[what - 'f'], &p->kept[what - 'f']);
		p->why = p->kept[what - 'f'] ? p->why : "the file that it printed to is gone or too large";
		break;
	case 'n': case 'm':
		vcr_buf_add(&text, data, n);
		if (!vcr_redact_is_secret_file(text.data))
			break;
		p->kept[what == 'm'] = false;
		p->why = "it printed to a file that is kept secret";
		break;
	case '-':
		p->kept[n && *data == '2'] = false;
		p->why = strncmp(data, PARENTS, n < strlen(PARENTS) ? n : strlen(PARENTS)) ? "it printed to a terminal or another device" : "it printed where the program did that began it";
		break;
	case 'i':
		vcr_buf_add(&text, data, n);
		take_mark(p, strtoul(text.data, NULL, 10));
		break;
	case 'x':
		vcr_buf_add(&text, data, n);
		p->ended = true;
		p->status = (int)strtol(text.data, NULL, 10);
		break;
	case '!': p->too_much = p->whole = true; break;
	case '.': p->whole = true; break;
	default: break;
	}
}

static void take_chunks(struct printed *p, const struct vcr_buf *file)
{
	struct vcr_standin_chunk head;
	p->kept[0] = p->kept[1] = true;
	for (size_t at = 0; file->len - at >= sizeof head;) {
		memcpy(&head, file->data + at, sizeof head);
		at += sizeof head;
		if (head.size > file->len - at)
			return;
		take_chunk(p, head.what, file->data + at, head.size);
		at += head.size;
	}
}

/* Any program of the session can put something else in its place. */
static bool read_whole(const char *path, struct vcr_buf *out)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) ? 1 : -1;
	while (fd >= 0 && n > 0 && out->len < 2 * (size_t)VCR_STANDIN_KEPT) {
		char *to = vcr_buf_reserve(out, 64 << 10);
		n = to ? read(fd, to, 64 << 10) : -1;
		if (n > 0)
			vcr_buf_added(out, (size_t)n);
	}
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* The first file that a process of that number has left. */
static bool find_file(const struct vcr_recorder *r, int pid, char path[VCR_MAX_PATH])
{
	for (int n = 0; n < NAMES; n++) {
		snprintf(path, VCR_MAX_PATH, "%.399s/%d.%d", r->stood, pid, n);
		if (!access(path, F_OK))
			return true;
	}
	return false;
}

/* False: it is not what was printed, byte for byte. */
static bool store(struct vcr_recorder *r, struct vcr_jw *w, const char *key, const struct vcr_buf *text)
{
	VCR_AUTO_BUF clean = VCR_BUF_INIT;
	char ref[40] = "";
	if (!text->len)
		return true;
	if (vcr_redact(r->redact, text->data, text->len, &clean, NULL) || vcr_session_add_body(r->session, "", NULL, clean.data, clean.len, ref, &r->last_error))
		return false;
	vcr_jw_key(w, key);
	vcr_jw_str(w, ref);
	return clean.len == text->len && !memcmp(clean.data, text->data, clean.len);
}

static void put_marks(struct vcr_jw *w, const char *key, const struct vcr_standin_mark *mark, int n)
{
	vcr_jw_key(w, key);
	vcr_jw_array(w);
	for (int i = 0; i < n; i++) {
		vcr_jw_int(w, mark[i].at);
		vcr_jw_int(w, mark[i].typed);
	}
	vcr_jw_array_end(w);
}

/* The arguments that the frame of its exec has not. */
static void store_rest(struct vcr_recorder *r, struct vcr_jw *w, const struct vcr_buf *rest)
{
	VCR_AUTO_BUF clean = VCR_BUF_INIT;
	char ref[40] = "";
	for (size_t at = 0; at < rest->len; at += strlen(rest->data + at) + 1) {
		vcr_redact(r->redact, rest->data + at, strlen(rest->data + at), &clean, NULL);
		vcr_buf_putc(&clean, 0);
	}
	if (!clean.len || clean.err || vcr_session_add_body(r->session, "", NULL, clean.data, clean.len, ref, &r->last_error))
		return;
	vcr_jw_key(w, "arguments");
	vcr_jw_str(w, ref);
}

static void write_output(struct vcr_recorder *r, const struct vcr_recorder_output *o, const struct printed *p)
{
	VCR_AUTO_BUF data = VCR_BUF_INIT;
	struct vcr_jw w;
	const char *why = p->too_much ? "it printed more than is kept" : !p->whole ? "what it printed was still going on when the session ended" : p->kept[0] && p->kept[1] ? NULL : p->why;
	if (!vcr_recorder_ready(r)) {
		r->lost++;
		return;
	}
	vcr_jw_init(&w, &data);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "frame");
	vcr_jw_str(&w, o->frame);
	if (p->cwd.len) {
		vcr_jw_key(&w, "cwd");
		vcr_recorder_redacted(r, &w, p->cwd.data, p->cwd.len);
	}
	store_rest(r, &w, &p->rest);
	if (p->ended) {
		vcr_jw_key(&w, WIFSIGNALED(p->status) ? "signal" : "exit_code");
		vcr_jw_int(&w, WIFSIGNALED(p->status) ? WTERMSIG(p->status) : WEXITSTATUS(p->status));
	}
	if (p->input.len) {
		vcr_jw_key(&w, "input");
		vcr_recorder_redacted(r, &w, p->input.data, p->input.len);
	}
	if (why) {
		vcr_jw_key(&w, "not_kept");
		vcr_jw_str(&w, why);
	} else {
		bool whole = store(r, &w, "stdout", &p->text[0]);
		if (whole && p->nmark)
			put_marks(&w, "typed", p->mark, p->nmark);
		if (store(r, &w, "stderr", &p->text[1]) && whole && !p->nmark && p->input.len && p->text[0].len && p->text[1].len) /* a server, maybe */
			put_marks(&w, "order", p->order, p->norder);
	}
	vcr_jw_object_end(&w);
	vcr_session_add_record(r->session, "output", data.data, &r->last_error);
}

/* False: it is not complete yet. */
static bool take_output(struct vcr_recorder *r, const struct vcr_recorder_output *o, bool last)
{
	char path[VCR_MAX_PATH];
	VCR_AUTO_BUF file = VCR_BUF_INIT;
	struct printed p = { .text = { VCR_BUF_INIT, VCR_BUF_INIT }, .cwd = VCR_BUF_INIT, .input = VCR_BUF_INIT, .rest = VCR_BUF_INIT };
	bool done = find_file(r, o->pid, path) && read_whole(path, &file);
	if (done) {
		take_chunks(&p, &file);
		done = p.whole;
	}
	if (done || last) {
		write_output(r, o, &p);
		unlink(path);
	}
	vcr_buf_release(&p.text[0]);
	vcr_buf_release(&p.text[1]);
	vcr_buf_release(&p.cwd);
	vcr_buf_release(&p.input);
	vcr_buf_release(&p.rest);
	return done || last;
}

/* Too many wait: what it printed is in no session, and it runs again in a replay. */
static void forgo_output(struct vcr_recorder *r, struct vcr_recorder_output *o)
{
	char path[VCR_MAX_PATH];
	const struct printed p = { .text = { VCR_BUF_INIT, VCR_BUF_INIT }, .cwd = VCR_BUF_INIT, .input = VCR_BUF_INIT, .rest = VCR_BUF_INIT, .whole = true,
		.why = "too many programs ran before the first model call" };
	write_output(r, o, &p);
	if (find_file(r, o->pid, path))
		unlink(path);
	free(o);
}

static void append_output(struct vcr_recorder *r, struct vcr_recorder_output *o)
{
	struct vcr_recorder_output **at = &r->outputs;
	while (*at)
		at = &(*at)->next;
	*at = o;
}

/* What ran before the first model call may have printed the key that the agent gets in its environment: it is written when that is known. */
static void hold_output(struct vcr_recorder *r, struct vcr_recorder_output *o)
{
	struct vcr_recorder_output *first = r->held;
	*(first ? &r->last_held->next : &r->held) = o;
	r->last_held = o;
	if (++r->nheld <= MOST_HELD)
		return;
	r->held = first->next;
	r->nheld--;
	forgo_output(r, first);
}

void vcr_recorder_tool_ended(struct vcr_recorder *r, const struct process *p)
{
	struct vcr_recorder_output *o = calloc(1, sizeof *o);
	r->open_tools -= !p->run.stood->early;
	if (!o)
		return;
	o->pid = p->pid;
	strcpy(o->frame, p->run.stood->id);
	p->run.stood->early && !r->calls ? hold_output(r, o) : append_output(r, o);
}

/* Also what a collector that has died was to take: there may be secrets in it. Where that is any program of the session can say, so nothing but such files goes. */
static bool is_kept_name(const char *name)
{
	size_t n = strspn(name, "0123456789"), k = name[n] == '.' ? strspn(name + n + 1, "0123456789") : 0;
	return n && k && !name[n + 1 + k];
}

static void forget_files(const char *dir)
{
	DIR *d = opendir(dir);
	for (const struct dirent *e; d && (e = readdir(d));)
		if (is_kept_name(e->d_name))
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}

void vcr_recorder_outputs(struct vcr_recorder *r, bool last)
{
	if (r->held && (last || r->calls)) {
		append_output(r, r->held);
		r->held = r->last_held = NULL;
		r->nheld = 0;
	}
	for (int waited = 0; r->outputs; waited += SLICE_MS) {
		for (struct vcr_recorder_output **at = &r->outputs, *o; (o = *at);) {
			if (!take_output(r, o, last && waited >= LATE_MS)) {
				at = &o->next;
				continue;
			}
			*at = o->next;
			free(o);
		}
		if (!last || !r->outputs)
			break;
		poll(NULL, 0, SLICE_MS);
	}
	if (last && *r->stood)
		forget_files(r->stood);
}
