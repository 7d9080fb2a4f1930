/* log-graph.c — vcr log --graph: a session as a tree, drawn from above as git log --graph draws one from the left.
 *
 * A lane is a conversation: its calls are *, what was done for it are o. A conversation that another one's call brought about branches off to the
 * right. A lane ends where nothing follows; those beside it move up. */
#include "log.h"
#include "tree.h"
#include "words.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LANES = 12, NODE_COLUMNS = 30, GIST_COLUMNS = 200, LEAST = 12, ROOMY = 80 /* columns that have room for times */ };

struct lane { int64_t head, open; unsigned paint; }; /* its last call; children of its calls that are still to come */

struct graph {
	struct vcr_log *l;
	struct vcr_reader *r;
	struct vcr_branch *b;
	int64_t n;
	int64_t *lane_of;      /* number of the lane of each frame */
	int64_t *position;     /* of each lane, by number; -1 ended */
	struct lane *lane;     /* from left to right */
	int64_t *number;       /* of the lane at each position */
	int64_t lanes, made;
	int64_t drawn;         /* at most so many lanes are drawn */
};

static const char *paint_of(const struct graph *g, int64_t position)
{
	static const enum vcr_style styles[] = { VCR_CYAN, VCR_MAGENTA, VCR_YELLOW, VCR_GREEN, VCR_BLUE, VCR_RED };
	return vcr_on(g->l->t, styles[g->lane[position].paint % 6]);
}

static void put(struct vcr_buf *out, const struct graph *g, int64_t position, const char *text)
{
	vcr_buf_printf(out, "%s%s%s", paint_of(g, position), text, vcr_on(g->l->t, VCR_PLAIN));
}

/* What stands left of a frame: its mark in its lane. Returns the columns used. */
static int marks(const struct graph *g, int64_t at, char mark, struct vcr_buf *out)
{
	int64_t last = g->lanes < g->drawn ? g->lanes : g->drawn;
	const char text[2] = { mark, 0 };
	for (int64_t i = 0; i < last; i++) {
		put(out, g, i, i == at ? text : "|");
		vcr_buf_putc(out, ' ');
	}
	if (at >= last) {
		put(out, g, at, ">");
		vcr_buf_putc(out, ' ');
	}
	return (int)(2 * (last + (at >= last)));
}

/* Lane `at` begins, as a branch of the one left of it. */
static void draw_branch(const struct graph *g, int64_t at)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	for (int64_t i = 0; i < g->lanes && i < g->drawn; i++) {
		if (i == at - 1)
			put(&out, g, i, "|");
		else if (i < at)
			put(&out, g, i, "| ");
		else {
			put(&out, g, i, i + 1 < g->lanes && i + 1 < g->drawn ? "\\ " : "\\");
		}
	}
	if (at < g->drawn)
		printf("%s\n", out.data);
}

/* The lanes right of `at`, which has ended, move one place to the left; they still stand where they were. */
static void draw_end(const struct graph *g, int64_t at)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	if (at + 1 >= g->lanes || at + 1 >= g->drawn)
		return;
	for (int64_t i = 0; i < at; i++)
		put(&out, g, i, "| ");
	vcr_buf_putc(&out, ' ');
	for (int64_t i = at + 1; i < g->lanes && i < g->drawn; i++) {
		put(&out, g, i, i + 1 < g->lanes && i + 1 < g->drawn ? "/ " : "/");
	}
	printf("%s\n", out.data);
}

static void renumber(struct graph *g, int64_t from)
{
	for (int64_t i = from; i < g->lanes; i++)
		g->position[g->number[i]] = i;
}

static int64_t open_lane(struct graph *g, int64_t at)
{
	memmove(g->lane + at + 1, g->lane + at, (size_t)(g->lanes - at) * sizeof *g->lane);
	memmove(g->number + at + 1, g->number + at, (size_t)(g->lanes - at) * sizeof *g->number);
	g->lane[at] = (struct lane){ .head = -1, .paint = (unsigned)(g->made % 6) };
	g->number[at] = g->made++;
	g->lanes++;
	renumber(g, at);
	return at;
}

static void close_lane(struct graph *g, int64_t at)
{
	draw_end(g, at);
	g->position[g->number[at]] = -1;
	g->lanes--;
	memmove(g->lane + at, g->lane + at + 1, (size_t)(g->lanes - at) * sizeof *g->lane);
	memmove(g->number + at, g->number + at + 1, (size_t)(g->lanes - at) * sizeof *g->number);
	renumber(g, at);
}

/* A model call, or anything that something hangs under. */
static bool is_call(const struct graph *g, int64_t k)
{
	return g->b[k].children || vcr_reader_brief(g->r, g->b[k].frame).call;
}

/* The lane for frame k: its parent's when it is work or goes on there, else a new one. */
static int64_t find_lane(struct graph *g, int64_t k)
{
	const struct vcr_branch *b = &g->b[k];
	int64_t at = b->parent >= 0 ? g->position[g->lane_of[b->parent]] : -1;
	if (at < 0)
		return open_lane(g, g->lanes);
	g->lane[at].open--;
	if (!is_call(g, k) || (!b->caused && g->lane[at].head == b->parent))
		return at;
	open_lane(g, at + 1);
	draw_branch(g, at + 1);
	return at + 1;
}

static int print_frame(struct graph *g, int64_t k, int64_t at)
{
	struct vcr_reader_frame f;
	struct vcr_error e = { 0 };
	VCR_AUTO_BUF line = VCR_BUF_INIT, node = VCR_BUF_INIT, took = VCR_BUF_INIT, gist = VCR_BUF_INIT;
	if (vcr_reader_frame(g->r, g->b[k].frame, &f, &e)) {
		vcr_say(g->l->t, "%s", e.what);
		return VCR_EXIT_FAILED;
	}
	int columns = vcr_columns(), used = marks(g, at, is_call(g, k) ? '*' : 'o', &line);
	bool bad = f.error_type || !strcmp(f.type, "error");
	vcr_safe_line(&node, f.node_name, strlen(f.node_name), columns && columns / 3 < NODE_COLUMNS ? (size_t)columns / 3 + 1 : NODE_COLUMNS);
	if (f.latency_ms > 0 && (!columns || columns >= ROOMY))
		vcr_words_ms(&took, f.latency_ms);
	used += snprintf(NULL, 0, " %lld   ", (long long)f.index) + (int)node.len + (int)took.len + (took.len > 0);
	if (!columns || columns > used + LEAST)
		vcr_gist(&gist, &f, columns ? (size_t)(columns - used) : GIST_COLUMNS);
	printf("%s %s%lld%s %s%s%s%s%s%s%s  %s%s%s\n", line.data, vcr_on(g->l->t, VCR_BOLD), (long long)f.index, vcr_on(g->l->t, VCR_PLAIN),
		vcr_on(g->l->t, vcr_log_style(f.type)), node.data, vcr_on(g->l->t, VCR_PLAIN), took.len ? vcr_on(g->l->t, VCR_DIM) : "", took.len ? " " : "", took.data,
		took.len ? vcr_on(g->l->t, VCR_PLAIN) : "", bad ? vcr_on(g->l->t, VCR_RED) : "", gist.data, bad ? vcr_on(g->l->t, VCR_PLAIN) : "");
	vcr_log_count(g->l, g->r, &f);
	return 0;
}

static int draw(struct graph *g)
{
	int status = 0;
	for (int64_t k = 0; k < g->n && !ferror(stdout); k++) {
		int64_t at = find_lane(g, k), from = g->b[k].parent >= 0 ? g->position[g->lane_of[g->b[k].parent]] : -1;
		g->lane_of[k] = g->number[at];
		if (is_call(g, k)) {
			g->lane[at].head = k;
			g->lane[at].open += g->b[k].children;
		}
		if (print_frame(g, k, at))
			status = VCR_EXIT_FAILED;
		if (!g->lane[at].open)
			close_lane(g, at);
		if (from >= 0 && from != at && !g->lane[from].open) /* its last child was a branch; it stands left of it */
			close_lane(g, from);
	}
	return status;
}

int vcr_log_graph(struct vcr_log *l, struct vcr_reader *r, const int64_t *index, int64_t n)
{
	int columns = vcr_columns();
	struct graph g = { .l = l, .r = r, .n = n, .b = vcr_branches(r, index, n), .drawn = columns && columns / 8 < MAX_LANES ? columns / 8 + 1 : MAX_LANES };
	g.lane_of = calloc((size_t)n + 1, sizeof *g.lane_of);
	g.position = calloc((size_t)n + 1, sizeof *g.position);
	g.lane = calloc((size_t)n + 1, sizeof *g.lane);
	g.number = calloc((size_t)n + 1, sizeof *g.number);
	int status = g.b && g.lane_of && g.position && g.lane && g.number ? draw(&g) : VCR_EXIT_FAILED;
	if (status && !g.number)
		vcr_say(l->t, "out of memory");
	free(g.b);
	free(g.lane_of);
	free(g.position);
	free(g.lane);
	free(g.number);
	return status;
}
