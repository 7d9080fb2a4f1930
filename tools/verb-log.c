/* vcr log — which sessions there are, or what happened in one. */
#include "log.h"
#include "control.h"
#include "coverage.h"
#include "verbs.h"
#include "words.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GIST_COLUMNS = 200 /* where there is no terminal */, LEFT_COLUMNS = 73, NODE_COLUMNS = 22 };

/* ---- One line per frame ---- */

enum vcr_style vcr_log_style(const char *type)
{
	static const struct { const char *type; enum vcr_style style; } list[] = {
		{ "llm", VCR_CYAN }, { "error", VCR_RED }, { "checkpoint", VCR_YELLOW }, { "node", VCR_MAGENTA },
	};
	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		if (!strcmp(list[i].type, type))
			return list[i].style;
	return VCR_PLAIN;
}

void vcr_log_head(struct vcr_log *l)
{
	if (l->t->json || l->head_printed)
		return;
	printf("%s%5s  %-8s %-10s %-*s %8s %13s %8s  %s%s\n", vcr_on(l->t, VCR_DIM), "frame", "time", "type", NODE_COLUMNS, "node", "took", "tokens", "cost", "what",
		vcr_on(l->t, VCR_PLAIN));
	l->head_printed = true;
}

/* Padded by characters, not bytes. */
static void print_padded(const struct vcr_buf *b, int columns)
{
	int used = 0;
	for (size_t i = 0; i < b->len; i++)
		used += ((unsigned char)b->data[i] & 0xc0) != 0x80;
	printf("%s%*s", b->data, used < columns ? columns - used : 0, "");
}

static void print_line(struct vcr_log *l, const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF when = VCR_BUF_INIT, type = VCR_BUF_INIT, node = VCR_BUF_INIT, took = VCR_BUF_INIT, tokens = VCR_BUF_INIT, cost = VCR_BUF_INIT, gist = VCR_BUF_INIT;
	int columns = vcr_columns();
	vcr_words_time(&when, f->time_ns, "%H:%M:%S");
	vcr_safe_line(&type, f->type, strlen(f->type), 10);
	vcr_safe_line(&node, f->node_name, strlen(f->node_name), NODE_COLUMNS);
	if (f->latency_ms > 0)
		vcr_words_ms(&took, f->latency_ms);
	vcr_words_tokens(&tokens, f);
	vcr_words_cost(&cost, f->cost_usd);
	vcr_gist(&gist, f, columns > LEFT_COLUMNS + 20 + 10 ? (size_t)(columns - LEFT_COLUMNS - 9) : columns ? 30 : GIST_COLUMNS);
	printf("%s%5lld%s  %-8s %s", vcr_on(l->t, VCR_BOLD), (long long)f->index, vcr_on(l->t, VCR_PLAIN), when.data, vcr_on(l->t, vcr_log_style(f->type)));
	print_padded(&type, 10);
	printf("%s ", vcr_on(l->t, VCR_PLAIN));
	print_padded(&node, NODE_COLUMNS);
	printf(" %8s %13s %8s  %s%s%s\n", took.data, tokens.data, cost.data, f->error_type || !strcmp(f->type, "error") ? vcr_on(l->t, VCR_RED) : "", gist.data,
		f->error_type || !strcmp(f->type, "error") ? vcr_on(l->t, VCR_PLAIN) : "");
}

static void json_int(struct vcr_jw *w, const char *key, int64_t n)
{
	vcr_jw_key(w, key);
	if (n < 0)
		vcr_jw_null(w);
	else
		vcr_jw_int(w, n);
}

static void json_str(struct vcr_jw *w, const char *key, const char *s)
{
	vcr_jw_key(w, key);
	vcr_jw_str(w, s);
}

static void print_json(const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT, when = VCR_BUF_INIT, gist = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_words_iso(&when, f->time_ns);
	vcr_gist(&gist, f, GIST_COLUMNS);
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	json_int(&w, "index", f->index);
	json_str(&w, "time", f->time_ns ? when.data : NULL);
	json_str(&w, "type", f->type);
	json_str(&w, "node", f->node_name);
	json_str(&w, "frame_id", f->frame_id);
	json_str(&w, "parent_frame_id", f->parent_frame_id);
	json_str(&w, "what", gist.data);
	json_str(&w, "model", f->model);
	vcr_jw_key(&w, "latency_ms");
	vcr_jw_double(&w, f->latency_ms);
	json_int(&w, "tokens", f->tokens);
	json_int(&w, "tokens_input", f->tokens_in);
	json_int(&w, "tokens_output", f->tokens_out);
	vcr_jw_key(&w, "cost_usd");
	if (f->cost_usd < 0)
		vcr_jw_null(&w);
	else
		vcr_jw_double(&w, f->cost_usd);
	json_str(&w, "error_type", f->error_type);
	json_str(&w, "error_message", f->error_message);
	vcr_jw_object_end(&w);
	printf("%s\n", out.data);
}

void vcr_log_count(struct vcr_log *l, struct vcr_reader *r, const struct vcr_reader_frame *f)
{
	l->frames++;
	l->calls += vcr_reader_brief(r, f->index).call;
	l->errors += f->error_type || f->error_message || !strcmp(f->type, "error");
	l->tokens += f->tokens >= 0 ? f->tokens : (f->tokens_in > 0 ? f->tokens_in : 0) + (f->tokens_out > 0 ? f->tokens_out : 0);
	l->cost += f->cost_usd > 0 ? f->cost_usd : 0;
}

int vcr_log_frame(struct vcr_log *l, struct vcr_reader *r, int64_t index)
{
	struct vcr_reader_frame f;
	struct vcr_error e = { 0 };
	if (vcr_reader_frame(r, index, &f, &e)) {
		vcr_say(l->t, "%s", e.what);
		return VCR_EXIT_FAILED;
	}
	if (l->t->json)
		print_json(&f);
	else
		print_line(l, &f);
	vcr_log_count(l, r, &f);
	return 0;
}

/* ---- Totals ---- */

static bool is_live(const char *id)
{
	VCR_AUTO_BUF answer = VCR_BUF_INIT;
	return *id && !vcr_control_ask(id, "{\"op\":\"status\"}", &answer, 1000, NULL);
}

static int stop_at_first(void *ctx, const struct vcr_json *j, int data, int64_t line)
{
	return 1;
}

const char *vcr_log_state(struct vcr_reader *r)
{
	const struct vcr_reader_session *s = vcr_reader_header(r);
	struct vcr_reader_frame f;
	if (s->ended)
		return "ended";
	if (is_live(s->session_id))
		return "live";
	bool ours = vcr_reader_each(r, "vcr.body", stop_at_first, NULL, NULL) == 1 ||
		(vcr_reader_count(r) && !vcr_reader_frame(r, vcr_reader_count(r) - 1, &f, NULL) && f.vcr >= 0);
	return ours ? "cut" : "-";
}

void vcr_log_totals(struct vcr_log *l, const struct vcr_reader *r, const char *path)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, id = VCR_BUF_INIT, parent = VCR_BUF_INIT;
	const struct vcr_reader_session *s = vcr_reader_header(r);
	int64_t all = vcr_reader_count(r);
	const char *state = vcr_log_state((struct vcr_reader *)r);
	if (l->t->json || l->t->quiet)
		return;
	vcr_safe(&id, s->session_id, strlen(s->session_id), 0);
	vcr_buf_printf(&text, "%lld frame%s", (long long)l->frames, l->frames == 1 ? "" : "s");
	if (l->frames != all)
		vcr_buf_printf(&text, " of %lld", (long long)all);
	vcr_buf_printf(&text, ", %lld model call%s, %lld error%s, %lld tokens, $%.4f", (long long)l->calls, l->calls == 1 ? "" : "s", (long long)l->errors,
		l->errors == 1 ? "" : "s", (long long)l->tokens, l->cost);
	int64_t last = all ? vcr_reader_brief(r, all - 1).time_ns : 0;
	if (s->created_ns && last > s->created_ns) {
		vcr_buf_puts(&text, ", ");
		vcr_words_ms(&text, (double)(last - s->created_ns) / 1e6);
	}
	if (s->parent_session_id) {
		vcr_safe(&parent, s->parent_session_id, strlen(s->parent_session_id), 0);
		vcr_buf_printf(&text, "; forked from %s", parent.data);
		if (s->forked_from_frame >= 0)
			vcr_buf_printf(&text, " at frame %lld", (long long)s->forked_from_frame);
	}
	printf("%s%s%s: %s%s%s\n", vcr_on(l->t, VCR_BOLD), id.data, vcr_on(l->t, VCR_PLAIN), text.data,
		!strcmp(state, "cut") ? "; the recording was cut" : !strcmp(state, "live") ? "; still being recorded" : "", "");
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF files = VCR_BUF_INIT;
	if (s->end_json && !vcr_json_parse(&j, s->end_json, strlen(s->end_json), VCR_JSON_RELAXED, NULL)) {
		vcr_words_files(&files, &j, vcr_json_get(&j, 0, "files"), "");
		vcr_words_kept(&files, &j, vcr_json_get(&j, 0, "savepoints"), "");
	}
	fputs(files.data, stdout);
}

/* ---- The frames of a session ---- */

struct picked { int64_t *index; int64_t n, cap; };

static int pick(struct picked *p, int64_t index)
{
	if (p->n == p->cap) {
		int64_t cap = p->cap ? 2 * p->cap : 256, *more = realloc(p->index, (size_t)cap * sizeof *more);
		if (!more)
			return VCR_ENOMEM;
		p->index = more;
		p->cap = cap;
	}
	p->index[p->n++] = index;
	return 0;
}

/* Every frame that passes the filter. A frame that cannot be read is said, and passed over. */
static int pick_all(struct vcr_log *l, struct vcr_reader *r, struct picked *p)
{
	int status = 0;
	int64_t n = vcr_filter_session(&l->filter, vcr_reader_header(r)) ? vcr_reader_count(r) : 0;
	for (int64_t i = 0; i < n; i++) {
		struct vcr_error e = { 0 };
		int yes = vcr_filter_frame(&l->filter, r, i, &e);
		if (yes > 0 && pick(p, i))
			return VCR_EXIT_FAILED;
		if (yes < 0) {
			vcr_say(l->t, "%s", e.what);
			status = VCR_EXIT_FAILED;
		}
	}
	return status;
}

/* whole: of all of them together (a tree, the nodes); NULL: a line for each. */
typedef int whole_fn(struct vcr_log *l, struct vcr_reader *r, const int64_t *index, int64_t n);

static int list_frames(struct vcr_log *l, const char *session, whole_fn *whole)
{
	VCR_AUTO_READER *r = NULL;
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct picked p = { 0 };
	int status = vcr_tool_open_session(l->t, session, &r, &path);
	if (status)
		return status;
	status = pick_all(l, r, &p);
	int64_t from = l->limit >= 0 && l->limit < p.n ? p.n - l->limit : 0;
	if (p.n > from && !whole)
		vcr_log_head(l);
	if (whole && whole(l, r, p.index + from, p.n - from))
		status = VCR_EXIT_FAILED;
	for (int64_t i = 0; !whole && i < p.n - from && !ferror(stdout); i++)
		if (vcr_log_frame(l, r, p.index[l->reverse ? p.n - 1 - i : from + i]))
			status = VCR_EXIT_FAILED;
	free(p.index);
	vcr_log_totals(l, r, path.data);
	return status ? status : l->frames || !(vcr_filter_has_frame_conditions(&l->filter) || l->filter.tags.n || l->filter.since) ? VCR_EXIT_YES : VCR_EXIT_NO;
}

static int print_coverage(struct vcr_tool *t, const char *session)
{
	VCR_AUTO_READER *r = NULL;
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int status = vcr_tool_open_session(t, session, &r, &path);
	if (status)
		return status;
	const struct vcr_reader_session *s = vcr_reader_header(r);
	if (s->end_json && !vcr_json_parse(&j, s->end_json, strlen(s->end_json), VCR_JSON_RELAXED, NULL) && vcr_coverage_print(t, &j))
		return VCR_EXIT_YES;
	vcr_say(t, "%s says nothing about the programs that ran: %s", path.data, s->ended ? "it is not a recording of vcr's own" : "it has no end line, so it was cut or is being recorded");
	return VCR_EXIT_NO;
}

int vcr_verb_log(struct vcr_tool *t, int argc, char **argv)
{
	struct vcr_log l = { .t = t, .limit = -1 };
	bool follow = false, coverage = false, graph = false, nodes = false;
	const struct vcr_opt opts[] = {
		VCR_FILTER_OPTIONS(&l.filter),
		{ 'f', "follow", NULL, VCR_OPT_FLAG, &follow, "print frames as they are recorded, until the session ends" },
		{ 0, "coverage", NULL, VCR_OPT_FLAG, &coverage, "print what was seen of each program that ran, and why not where nothing was" },
		{ 0, "graph", NULL, VCR_OPT_FLAG, &graph, "the frames as a tree: conversations side by side, sub-agents as branches of the call that began them" },
		{ 0, "nodes", NULL, VCR_OPT_FLAG, &nodes, "the names of the nodes, each once: how many frames, errors, tokens, how long, what it cost" },
		{ 'n', "limit", "N", VCR_OPT_NUMBER, &l.limit, "the newest N sessions, or the last N frames" },
		{ 'r', "reverse", NULL, VCR_OPT_FLAG, &l.reverse, "the other order: oldest session first, last frame first" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "[SESSION [TEXT]]", "List the recorded sessions, or the frames of one, or draw it as a tree. Exits with 1 if nothing matches.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n > 2 || (n == 2 && l.filter.grep))
		status = vcr_wrong_call(t, n > 2 ? "a session and a text at most; put a text of several words in quotes" : "the text stands there twice: as operand and as --grep");
	else if (n >= 0 && graph && (l.reverse || follow || coverage || t->json))
		status = vcr_wrong_call(t, t->json ? "--graph draws for people; with --json each frame names its parent_frame_id" : "--graph draws from the first frame to the last, and what is there");
	else if (n >= 0 && nodes && (graph || follow || coverage || l.reverse))
		status = vcr_wrong_call(t, "--nodes goes with neither --graph nor --follow, --coverage or --reverse");
	else if (n >= 0) {
		if (n == 2)
			l.filter.grep = argv[1];
		status = vcr_filter_check(t, &l.filter);
		if (!status)
			status = coverage ? print_coverage(t, n ? argv[0] : NULL) : follow ? vcr_log_follow(&l, n ? argv[0] : NULL) :
				n || graph || nodes ? list_frames(&l, n ? argv[0] : NULL, graph ? vcr_log_graph : nodes ? vcr_log_nodes : NULL) : vcr_log_sessions(&l);
	}
	vcr_filter_release(&l.filter);
	return status;
}
