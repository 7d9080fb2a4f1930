/* recorder-burst.c — storms of file changes become one frame for each place, program and period: file:burst.
 *
 * files.h says which changes are of a storm and how large it is. Those beyond the limit make no frames of their own: they are counted, and listed in a
 * body, one JSON array a line: ["made","path",{"size":…,"mode":…,"sha256":…}], as a frame's `after`. Their contents are in the next savepoint. */
#include "recorder-parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAMES = 5 /* that the frame itself shows */ };
enum what { MADE, CHANGED, REMOVED, PASSED, DIRECTORIES, WHATS };
static const char *const words[WHATS] = { "made", "changed", "removed", "transient", "directories" };

struct vcr_recorder_burst {
	struct vcr_recorder_burst *next;
	char *place, *program;
	unsigned who;
	int pid;                    /* 0: several, or unknown */
	enum vcr_change_source source;
	char parent[37], node[37], tool[37];  /* frame ids; "" none */
	int64_t first_ns, last_ns, n, count[WHATS], bytes, writes, listed;
	struct vcr_buf list;
	struct vcr_buf names;       /* the first ones, NUL behind each */
};

unsigned vcr_recorder_who(void *recorder, int pid)
{
	const struct process *p = pid > 0 ? vcr_recorder_process(recorder, pid, false) : NULL;
	unsigned h = 2166136261u;
	if (!p || !p->program)
		return pid > 0 ? 1 : 0;
	for (const char *c = p->program; *c; c++)
		h = (h ^ (unsigned char)*c) * 16777619u;
	return h > 1 ? h : 2;
}

static void copy_id(char to[37], const char *id)
{
	snprintf(to, 37, "%s", id ? id : "");
}

static struct vcr_recorder_burst *burst_of(struct vcr_recorder *r, const struct vcr_change *c)
{
	unsigned who = vcr_recorder_who(r, c->pid);
	for (struct vcr_recorder_burst *b = r->burst; b; b = b->next)
		if (b->who == who && !strcmp(b->place, c->place))
			return b;
	struct vcr_recorder_burst *b = calloc(1, sizeof *b);
	const struct process *p = vcr_recorder_process(r, c->pid, false);
	if (!b || !(b->place = strdup(c->place))) {
		free(b);
		return NULL;
	}
	vcr_buf_init(&b->list, VCR_MAX_BURST_LIST);
	vcr_buf_init(&b->names, 64 << 10);
	b->program = p && p->program ? strdup(p->program) : NULL;
	b->who = who;
	b->pid = c->pid;
	b->source = c->source;
	struct vcr_recorder_owner owner; /* of the first change: which tool call the others belong to is not said */
	vcr_recorder_whose(r, c->pid, (uint64_t)c->first_ns, NULL, &owner);
	copy_id(b->parent, owner.parent);
	copy_id(b->node, vcr_recorder_node(r, c->pid, 0));
	copy_id(b->tool, vcr_recorder_tool_of(r, c->pid));
	b->first_ns = c->first_ns;
	b->next = r->burst;
	return r->burst = b;
}

static enum what what_of(const struct vcr_change *c)
{
	const struct vcr_file_state *s = c->after.exists ? &c->after : &c->before;
	if (c->transient)
		return PASSED;
	if (c->kind == VCR_CHANGE_MKDIR || c->kind == VCR_CHANGE_RMDIR || (s->exists && S_ISDIR(s->mode)))
		return DIRECTORIES;
	return !c->after.exists ? REMOVED : c->before.exists && c->kind != VCR_CHANGE_RENAME ? CHANGED : MADE;
}

static void list_one(struct vcr_recorder_burst *b, const struct vcr_change *c, enum what what)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &line);
	vcr_jw_array(&w);
	vcr_jw_str(&w, what == DIRECTORIES ? (c->after.exists ? "directory" : "removed") : words[what]);
	vcr_jw_str(&w, c->path);
	vcr_recorder_write_state(&w, &c->after);
	vcr_jw_array_end(&w);
	vcr_buf_putc(&line, '\n');
	if (b->list.len + line.len > VCR_MAX_BURST_LIST || vcr_buf_add(&b->list, line.data, line.len))
		return;
	if (b->listed++ < NAMES)
		vcr_buf_add(&b->names, c->path, strlen(c->path) + 1);
}

bool vcr_recorder_burst_take(struct vcr_recorder *r, const struct vcr_change *c)
{
	if (!c->place || !r->burst_limit || c->storm <= (unsigned)r->burst_limit || c->before_unknown)
		return false;
	struct vcr_recorder_burst *b = burst_of(r, c);
	if (!b)
		return false;
	enum what what = what_of(c);
	b->n++;
	b->count[what]++;
	b->writes += c->writes;
	if (c->after.exists && !S_ISDIR(c->after.mode))
		b->bytes += c->after.size;
	b->first_ns = c->first_ns < b->first_ns ? c->first_ns : b->first_ns;
	b->last_ns = c->last_ns > b->last_ns ? c->last_ns : b->last_ns;
	if (b->pid != c->pid)
		b->pid = 0;
	list_one(b, c, what);
	r->file_changes++;
	r->coalesced++;
	return true;
}

/* ---- The frame ---- */

static void write_output(struct vcr_recorder *r, struct vcr_jw *w, const struct vcr_recorder_burst *b)
{
	VCR_AUTO_BUF clean = VCR_BUF_INIT;
	char ref[40];
	const char *name = b->names.data;
	vcr_jw_object(w);
	for (int i = 0; i < WHATS; i++) {
		vcr_jw_key(w, words[i]);
		vcr_jw_int(w, b->count[i]);
	}
	vcr_jw_key(w, "bytes");
	vcr_jw_int(w, b->bytes);
	vcr_jw_key(w, "names");
	vcr_jw_array(w);
	for (int64_t i = 0; i < NAMES && i < b->listed; i++, name += strlen(name) + 1)
		vcr_recorder_redacted(r, w, name, strlen(name));
	vcr_jw_array_end(w);
	if (!vcr_redact(r->redact, b->list.data, b->list.len, &clean, NULL) && vcr_recorder_ready(r) &&
	    !vcr_session_add_body(r->session, "", NULL, clean.data, clean.len, ref, &r->last_error)) {
		vcr_jw_key(w, "list");
		vcr_jw_str(w, ref);
	}
	if (b->listed < b->n) {
		vcr_jw_key(w, "unlisted");
		vcr_jw_int(w, b->n - b->listed);
	}
	vcr_jw_object_end(w);
}

static void write_meta(struct vcr_recorder *r, struct vcr_jw *w, const struct vcr_recorder_burst *b)
{
	static const char *const source[] = { "shim", "watch", "scan" };
	char when[40];
	vcr_recorder_time(r, (uint64_t)b->first_ns, when);
	vcr_jw_object(w);
	vcr_jw_key(w, "seq");
	vcr_jw_int(w, b->first_ns);
	if (b->pid > 0) {
		vcr_jw_key(w, "pid");
		vcr_jw_int(w, b->pid);
	}
	const struct { const char *key, *s; } strings[] = { { "program", b->program }, { "source", source[b->source] }, { "node", *b->node ? b->node : NULL }, { "tool_run", *b->tool ? b->tool : NULL }, { "started_at", when } };
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
		if (strings[i].s) {
			vcr_jw_key(w, strings[i].key);
			vcr_jw_str(w, strings[i].s);
		}
	vcr_jw_key(w, "writes");
	vcr_jw_int(w, b->writes);
	vcr_jw_key(w, "limit");
	vcr_jw_int(w, r->burst_limit);
	vcr_jw_object_end(w);
}

static void write_burst(struct vcr_recorder *r, const struct vcr_recorder_burst *b)
{
	VCR_AUTO_BUF in = VCR_BUF_INIT, out = VCR_BUF_INIT, meta = VCR_BUF_INIT;
	const char *place = *b->place ? b->place : ".";
	struct vcr_jw w;
	if (vcr_recorder_was_written(r, 'f', (uint64_t)b->first_ns, place))
		return;
	vcr_jw_init(&w, &in);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "path");
	vcr_recorder_redacted(r, &w, place, strlen(place));
	vcr_jw_object_end(&w);
	vcr_jw_init(&w, &out);
	write_output(r, &w, b);
	vcr_jw_init(&w, &meta);
	write_meta(r, &w, b);
	struct vcr_frame f = { .type = VCR_FRAME_TOOL, .node_name = "file:burst", .parent_frame_id = *b->parent ? b->parent : NULL, .input_json = in.data, .output_json = out.data,
		.vcr_json = meta.data, .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1,
		.latency_ms = b->last_ns > b->first_ns ? (double)(b->last_ns - b->first_ns) / 1e6 : 0 };
	r->bursts++;
	vcr_recorder_frame(r, &f);
}

static void release(struct vcr_recorder_burst *b)
{
	vcr_buf_release(&b->list);
	vcr_buf_release(&b->names);
	free(b->place);
	free(b->program);
	free(b);
}

/* The list is in order of the last begun. */
static struct vcr_recorder_burst *reversed(struct vcr_recorder_burst *b)
{
	struct vcr_recorder_burst *out = NULL;
	for (struct vcr_recorder_burst *next; b; b = next) {
		next = b->next;
		b->next = out;
		out = b;
	}
	return out;
}

void vcr_recorder_burst_end(struct vcr_recorder *r)
{
	struct vcr_recorder_burst *b = reversed(r->burst);
	r->burst = NULL;
	for (struct vcr_recorder_burst *next; b; b = next) {
		next = b->next;
		write_burst(r, b);
		release(b);
	}
}

void vcr_recorder_burst_free(struct vcr_recorder *r)
{
	for (struct vcr_recorder_burst *b = r->burst, *next; b; b = next) {
		next = b->next;
		release(b);
	}
	r->burst = NULL;
}

/* What is known of the workspace, and where that ends. */
void vcr_recorder_write_files(const struct vcr_recorder *r, struct vcr_jw *w)
{
	struct vcr_files_stats s = r->files_stats;
	if (r->files)
		vcr_files_stats(r->files, &s);
	const struct { const char *name; int64_t n; } list[] = {
		{ "known", s.files }, { "known_at_most", s.files_limit }, { "watched", s.watches }, { "unwatched", s.unwatched }, { "watched_at_most", s.watches_limit },
		{ "overflows", s.overflows }, { "unread", s.unread }, { "kept_bytes", s.bytes_kept }, { "kept_bytes_at_most", s.bytes_limit },
		{ "bursts", r->bursts }, { "coalesced", r->coalesced }, { "burst_limit", r->burst_limit },
	};
	vcr_jw_key(w, "files");
	vcr_jw_object(w);
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		vcr_jw_key(w, list[i].name);
		vcr_jw_int(w, list[i].n);
	}
	vcr_jw_object_end(w);
}
