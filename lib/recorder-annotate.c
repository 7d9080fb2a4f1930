/* recorder-annotate.c — what programs say about themselves (tools/vcr.h) becomes node frames.
 *
 * One annotation is one JSON object: {"begin":NAME} opens a node, {"end":NAME} closes it and is when its frame is written, {"node":NAME} is both
 * at once, {"tags":[…]} alone is about the innermost open node, else the session. An end belongs to the begin with the same "id", else to the
 * innermost open node of that name: of the thread, else of the process, else of anybody. Inside is what the process or one of its children does
 * before the end; what comes by $VCR_ANNOTATE (pid 0) is about all of them. Whoever writes annotations is a stranger: sizes and counts are bounded,
 * the text is redacted, and what is refused is counted and said. */
#include "recorder-parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPEN = 1024, MAX_NAME = 200, MAX_TAGS = 64, MAX_UP = 32 };

struct note {
	char frame_id[37], parent[37];
	char last_call[37];     /* the last model call inside; "" none */
	char *name, *id;        /* id: the program's own word for it; NULL */
	struct vcr_buf input, tags; /* redacted JSON; "": none */
	int pid, tid;
	uint64_t begin_ns;
	struct note *outer;     /* begun before this one, by anybody */
};

struct vcr_recorder_notes {
	struct note *open;      /* the newest first */
	int nopen;
	int64_t nodes, refused;
	char because[120];      /* of the first refusal */
	struct vcr_buf tags;    /* of the session: members of a JSON array, redacted */
	int ntags;
};

static struct vcr_recorder_notes *notes_of(struct vcr_recorder *r)
{
	if (!r->notes && (r->notes = calloc(1, sizeof *r->notes)))
		vcr_buf_init(&r->notes->tags, 64 << 10);
	return r->notes;
}

static void note_free(struct note *n)
{
	free(n->name);
	free(n->id);
	vcr_buf_release(&n->input);
	vcr_buf_release(&n->tags);
	free(n);
}

void vcr_recorder_note_refuse(struct vcr_recorder *r, const char *why)
{
	struct vcr_recorder_notes *l = notes_of(r);
	if (l && !l->refused++)
		snprintf(l->because, sizeof l->because, "%s", why);
}

/* ---- Which node ---- */

static const struct note *innermost(const struct vcr_recorder *r, int pid, int tid)
{
	const struct note *of_process = NULL;
	for (const struct note *n = r->notes ? r->notes->open : NULL; n; n = n->outer) {
		if (n->pid != pid)
			continue;
		if (n->tid == tid || !pid)
			return n;
		of_process = of_process ? of_process : n;
	}
	return of_process;
}

/* The node that pid's doings are in: its own, else its parents', else one of the file's. tid 0: any thread. */
static const struct note *around(struct vcr_recorder *r, int pid, int tid)
{
	if (!r->notes || !r->notes->open)
		return NULL;
	for (int up = 0; up < MAX_UP && pid > 0; up++) {
		const struct note *n = innermost(r, pid, tid);
		const struct process *p = n ? NULL : vcr_recorder_process(r, pid, false);
		if (n || !p)
			return n ? n : innermost(r, 0, 0);
		pid = p->ppid;
		tid = 0;
	}
	return innermost(r, 0, 0);
}

const char *vcr_recorder_node(struct vcr_recorder *r, int pid, int tid)
{
	const struct note *n = around(r, pid, tid);
	return n ? n->frame_id : NULL;
}

const char *vcr_recorder_node_parent(struct vcr_recorder *r, int pid)
{
	const struct note *n = around(r, pid, 0);
	return !n ? NULL : *n->last_call ? n->last_call : n->frame_id;
}

void vcr_recorder_node_called(struct vcr_recorder *r, int pid, int tid, const char *frame_id)
{
	struct note *n = (struct note *)around(r, pid, tid);
	for (int up = 0; n && up < MAX_UP; up++) {
		const char *parent = n->parent;
		strcpy(n->last_call, frame_id);
		for (n = n->outer; n && strcmp(n->frame_id, parent); n = n->outer)
			;
	}
}

/* The place in the list of the node that an end is about; NULL if there is none. */
static struct note **find_open(struct vcr_recorder_notes *l, const char *name, const char *id, int pid, int tid)
{
	struct note **best = NULL;
	int best_rank = 0;
	for (struct note **at = &l->open, *n; (n = *at); at = &n->outer) {
		bool fits = id ? n->id && !strcmp(n->id, id) : !strcmp(n->name, name);
		int rank = !fits ? 0 : n->pid == pid && n->tid == tid ? 3 : n->pid == pid ? 2 : 1;
		if (rank > best_rank) {
			best_rank = rank;
			best = at;
		}
	}
	return best;
}

/* ---- What an annotation says ---- */

struct said {
	const struct vcr_json *j;
	const char *member;     /* begin, end, node; NULL: tags alone */
	char *name, *id, *error;
	int pid, tid;
	uint64_t time_ns, seq;
};

static void said_release(struct said *s)
{
	free(s->name);
	free(s->id);
	free(s->error);
}

/* A state: an object as it stands, another value as {"value":…}. Appends nothing if there is none. */
static void put_state(struct vcr_recorder *r, const struct said *s, const char *key, struct vcr_buf *out)
{
	VCR_AUTO_BUF whole = VCR_BUF_INIT;
	int v = vcr_json_get(s->j, 0, key);
	unsigned n = 0;
	struct vcr_jw w;
	if (v < 0)
		return;
	vcr_jw_init(&w, &whole);
	if (vcr_json_type(s->j, v) != VCR_JSON_OBJECT) {
		vcr_jw_object(&w);
		vcr_jw_key(&w, "value");
	}
	vcr_jw_value(&w, s->j, v);
	if (vcr_json_type(s->j, v) != VCR_JSON_OBJECT)
		vcr_jw_object_end(&w);
	if (vcr_redact_body(r->redact, whole.data, whole.len, false, out, &n))
		vcr_buf_reset(out);
	r->redactions += n;
}

/* Members of a JSON array behind those that are there; *count bounds them. */
static void put_tags(struct vcr_recorder *r, const struct said *s, struct vcr_buf *out, int *count)
{
	int list = vcr_json_get(s->j, 0, "tags");
	for (int m = vcr_json_first(s->j, list); m >= 0 && *count < MAX_TAGS; m = vcr_json_next(s->j, m)) {
		VCR_AUTO_BUF tag = VCR_BUF_INIT, one = VCR_BUF_INIT;
		struct vcr_jw w;
		if (vcr_json_str(s->j, m, &tag) || !tag.len || tag.len > MAX_NAME)
			continue;
		vcr_jw_init(&w, &one);
		vcr_recorder_redacted(r, &w, tag.data, tag.len);
		if (out->len && strstr(out->data, one.data))
			continue;
		if (out->len)
			vcr_buf_putc(out, ',');
		vcr_buf_add(out, one.data, one.len);
		++*count;
	}
}

/* What is wrong with it; NULL if nothing is. */
static const char *understand(struct said *s, const char *text, size_t n, struct vcr_json *j)
{
	static const char *const members[] = { "begin", "end", "node" };
	if (vcr_json_parse(j, text, n, VCR_JSON_RELAXED, NULL) || vcr_json_type(j, 0) != VCR_JSON_OBJECT)
		return "not a JSON object";
	for (size_t i = 0; i < 3; i++) {
		int v = vcr_json_get(j, 0, members[i]);
		if (v < 0)
			continue;
		if (s->member)
			return "begin, end and node exclude each other";
		s->member = members[i];
		s->name = vcr_json_strdup(j, v);
		if (!s->name || !*s->name || strlen(s->name) > MAX_NAME)
			return "a node's name is a text of 1 to 200 bytes";
	}
	int tags = vcr_json_get(j, 0, "tags"), id = vcr_json_get(j, 0, "id");
	if (tags >= 0 && vcr_json_type(j, tags) != VCR_JSON_ARRAY)
		return "tags is a list of texts";
	if (!s->member && tags < 0)
		return "needs begin, end, node or tags";
	s->id = vcr_json_strdup(j, id);
	if (id >= 0 && (!s->id || !*s->id || strlen(s->id) > MAX_NAME))
		return "an id is a text of 1 to 200 bytes";
	s->error = vcr_json_strdup(j, vcr_json_get(j, 0, "error"));
	return NULL;
}

/* ---- Frames ---- */

static void put_about(struct vcr_recorder *r, struct vcr_jw *w, const struct said *s, uint64_t start_ns, const char *outer, const char *how)
{
	struct process *p = vcr_recorder_process(r, s->pid, false);
	const struct { const char *key; int64_t n; } ints[] = { { "seq", (int64_t)s->seq }, { "pid", s->pid }, { "tid", s->tid } };
	char when[40];
	vcr_recorder_time(r, start_ns, when);
	const struct { const char *key, *s; } strings[] = { { "program", p ? p->program : NULL }, { "source", s->pid ? "vcr_annotate" : "VCR_ANNOTATE" },
		{ "started_at", when }, { "node", outer } };
	for (size_t i = 0; i < 3; i++)
		if (ints[i].n > 0) {
			vcr_jw_key(w, ints[i].key);
			vcr_jw_int(w, ints[i].n);
		}
	for (size_t i = 0; i < 4; i++)
		if (strings[i].s) {
			vcr_jw_key(w, strings[i].key);
			vcr_jw_str(w, strings[i].s);
		}
	if (how) {
		vcr_jw_key(w, how);
		vcr_jw_bool(w, true);
	}
}

/* n: the open node that it ends; NULL: it has no beginning. how: a word about what is missing, or NULL. */
static const char *write_node(struct vcr_recorder *r, const struct said *s, struct note *n, const char *how)
{
	VCR_AUTO_BUF in = VCR_BUF_INIT, out = VCR_BUF_INIT, meta = VCR_BUF_INIT, name = VCR_BUF_INIT, error = VCR_BUF_INIT, tags = VCR_BUF_INIT, custom = VCR_BUF_INIT;
	const char *word = n ? n->name : s->name, *outer = n ? n->parent : vcr_recorder_node(r, s->pid, s->tid);
	int ntags = 0;
	struct vcr_jw w;
	if (s->seq && vcr_recorder_was_written(r, 'c', s->seq, NULL))
		return NULL;
	vcr_redact(r->redact, word, strlen(word), &name, NULL);
	put_state(r, s, "input", &in);
	put_state(r, s, "output", &out);
	if (s->error)
		vcr_redact(r->redact, s->error, strlen(s->error), &error, NULL);
	if (n && n->tags.len)
		vcr_buf_add(&tags, n->tags.data, n->tags.len);
	put_tags(r, s, &tags, &ntags);
	if (tags.len)
		vcr_buf_printf(&custom, "\"tags\":[%s]", tags.data);
	vcr_jw_init(&w, &meta);
	vcr_jw_object(&w);
	put_about(r, &w, s, n ? n->begin_ns : s->time_ns, outer && *outer ? outer : NULL, how);
	vcr_jw_object_end(&w);
	struct vcr_frame f = { .type = VCR_FRAME_NODE, .node_name = name.data, .parent_frame_id = outer && *outer ? outer : NULL,
		.input_json = in.len ? in.data : n && n->input.len ? n->input.data : NULL, .output_json = out.len ? out.data : NULL, .vcr_json = meta.data,
		.custom_json = custom.len ? custom.data : NULL, .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1,
		.error_type = s->error ? "node_error" : NULL, .error_message = s->error ? error.data : NULL,
		.latency_ms = n && s->time_ns > n->begin_ns ? (double)(s->time_ns - n->begin_ns) / 1e6 : 0 };
	if (n)
		strcpy(f.frame_id, n->frame_id);
	if (vcr_recorder_frame(r, &f))
		return "the frame could not be written";
	r->notes->nodes++;
	return NULL;
}

static const char *begin(struct vcr_recorder *r, struct said *s)
{
	const char *outer = vcr_recorder_node(r, s->pid, s->tid);
	int ntags = 0;
	if (r->notes->nopen >= MAX_OPEN)
		return "more than 1024 nodes are open";
	struct note *n = calloc(1, sizeof *n);
	if (!n)
		return "out of memory";
	*n = (struct note){ .input = VCR_BUF_INIT, .tags = VCR_BUF_INIT, .pid = s->pid, .tid = s->tid, .begin_ns = s->time_ns, .name = s->name, .id = s->id,
		.outer = r->notes->open };
	s->name = s->id = NULL;
	vcr_frame_new_id(n->frame_id);
	strcpy(n->parent, outer ? outer : "");
	put_state(r, s, "input", &n->input);
	put_tags(r, s, &n->tags, &ntags);
	r->notes->open = n;
	r->notes->nopen++;
	return NULL;
}

static const char *end(struct vcr_recorder *r, const struct said *s, struct note **at, const char *how)
{
	struct note *n = at ? *at : NULL;
	if (n) {
		*at = n->outer;
		r->notes->nopen--;
	}
	const char *why = write_node(r, s, n, how);
	if (n)
		note_free(n);
	return why;
}

static const char *end_begun(struct vcr_recorder *r, const struct said *s)
{
	struct note **at = find_open(r->notes, s->name, s->id, s->pid, s->tid);
	return end(r, s, at, at ? NULL : "no_beginning");
}

static void tag(struct vcr_recorder *r, const struct said *s)
{
	struct note *n = (struct note *)around(r, s->pid, s->tid);
	int count = 0;
	if (n)
		put_tags(r, s, &n->tags, &count);
	else
		put_tags(r, s, &r->notes->tags, &r->notes->ntags);
	vcr_recorder_ready(r);
}

const char *vcr_recorder_note(struct vcr_recorder *r, const char *text, size_t n, int pid, int tid, uint64_t time_ns, uint64_t seq)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct said s = { .j = &j, .pid = pid, .tid = tid, .time_ns = time_ns, .seq = seq };
	const char *why = !notes_of(r) ? "out of memory" : n > VCR_NOTE_MAX ? "longer than 256 KiB" : understand(&s, text, n, &j);
	if (!why) {
		vcr_redact_learn_json(r->redact, text, n);
		vcr_recorder_watch(r);
		vcr_recorder_sweep(r, (int64_t)time_ns); /* what was done before it belongs to the node before it */
		vcr_recorder_burst_end(r);
		if (!s.member)
			tag(r, &s);
		else if (*s.member == 'b')
			why = begin(r, &s);
		else if (*s.member == 'n')
			why = end(r, &s, NULL, NULL);
		else
			why = end_begun(r, &s);
	}
	if (why)
		vcr_recorder_note_refuse(r, why);
	said_release(&s);
	return why;
}

void vcr_recorder_notes_gone(struct vcr_recorder *r, int pid, uint64_t mono_ns)
{
	VCR_AUTO_JSON none = VCR_JSON_INIT;
	struct note **at = r->notes ? &r->notes->open : NULL;
	if (!at || vcr_json_parse(&none, "{}", 2, 0, NULL))
		return;
	while (*at) {
		const struct said s = { .j = &none, .pid = (*at)->pid, .tid = (*at)->tid, .time_ns = mono_ns };
		if (pid >= 0 && (*at)->pid != pid)
			at = &(*at)->outer;
		else
			end(r, &s, at, "unfinished");
	}
}

void vcr_recorder_notes_write(const struct vcr_recorder *r, struct vcr_jw *w)
{
	const struct vcr_recorder_notes *l = r->notes;
	if (!l)
		return;
	vcr_jw_key(w, "annotations");
	vcr_jw_object(w);
	vcr_jw_key(w, "nodes");
	vcr_jw_int(w, l->nodes);
	vcr_jw_key(w, "refused");
	vcr_jw_int(w, l->refused);
	vcr_jw_key(w, "refused_because");
	vcr_jw_str(w, l->refused ? l->because : NULL);
	vcr_jw_object_end(w);
	if (!l->ntags)
		return;
	VCR_AUTO_BUF list = VCR_BUF_INIT;
	vcr_buf_printf(&list, "[%s]", l->tags.data);
	vcr_jw_key(w, "tags");
	vcr_jw_raw(w, list.data, list.len);
}

void vcr_recorder_notes_free(struct vcr_recorder *r)
{
	for (struct note *n = r->notes ? r->notes->open : NULL, *outer; n; n = outer) {
		outer = n->outer;
		note_free(n);
	}
	if (r->notes)
		vcr_buf_release(&r->notes->tags);
	free(r->notes);
	r->notes = NULL;
}
