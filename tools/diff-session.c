/* diff-session.c — two whole sessions: their calls aligned by conversation, then files, programs and totals.
 *
 * Steps are the frames that are neither a file's, a program's nor a savepoint's: model calls, tools and nodes. A lane is what begins with one step and
 * goes on by parent_frame_id. Steps that ask the same (key K1 where both sessions have it, else what the complete state and the node's name say) are taken
 * for each other, the first of one side for the first of the other; their lanes are then the same conversation. In a lane, what remains between two
 * such pairs is paired in order, first where the node's name is the same. */
#include "diffing.h"
#include "canon.h"
#include "words.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct step {
	int64_t frame, call;    /* call: -1 for what is none */
	uint64_t key, node;     /* what it asks; its name */
	uint64_t type;
	int lane;
	int pair;               /* step of the other side, -1 */
	int after;              /* last step before it in its lane that asks the same as its pair, -1: from there on places are counted */
};
struct lane { int other; int last; /* while walking */ };
struct side {
	struct vcr_reader *r;
	struct step *step;
	int n;
	struct lane *lane;
	int lanes;
	bool keyed;             /* every model call has K1 */
	struct vcr_diff_totals totals;
};
struct sessions {
	struct vcr_diffing *x;
	struct side side[2];
	struct vcr_diff_counts calls, files, programs;
	int64_t unread;
	bool named;             /* the first divergence has been */
};

/* ---- Loading ---- */

static uint64_t hash(uint64_t h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
	return h ^ h >> 31;
}

static uint64_t hash_word(const char *s)
{
	return hash(0xcbf29ce484222325u, s, strlen(s));
}

static bool is_step(const struct vcr_reader_frame *f)
{
	return strncmp(f->node_name, "file:", 5) && strncmp(f->node_name, "exec:", 5) && strcmp(f->node_name, "savepoint");
}

static void add(int64_t *sum, int64_t n)
{
	if (n >= 0)
		*sum = (*sum < 0 ? 0 : *sum) + n;
}

static void add_double(double *sum, double v)
{
	if (v >= 0)
		*sum = (*sum < 0 ? 0 : *sum) + v;
}

static void add_up(struct side *s, const struct vcr_reader_frame *f, bool call, int64_t *first, int64_t *last)
{
	struct vcr_diff_totals *t = &s->totals;
	t->calls += call;
	t->errors += !strcmp(f->type, "error") || f->error_type || f->error_message;
	add(&t->tokens_in, f->tokens_in);
	add(&t->tokens_out, f->tokens_out);
	if (f->tokens_in < 0 && f->tokens_out < 0)
		add(&t->tokens, f->tokens);
	add_double(&t->cost, f->cost_usd);
	if (call && f->latency_ms > 0)
		add_double(&t->took_ms, f->latency_ms);
	if (f->time_ns) {
		*first = *first && *first < f->time_ns ? *first : f->time_ns;
		*last = *last > f->time_ns ? *last : f->time_ns;
	}
}

static uint64_t k1_of(const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF k1 = VCR_BUF_INIT;
	return !vcr_json_str(f->j, vcr_json_get(f->j, f->vcr, "k1"), &k1) && k1.len == VCR_KEY_LEN - 1 ? hash_word(k1.data) : 0;
}

/* The lane of a frame: its parent's, or a new one. */
static int lane_of(struct side *s, int *lanes, int64_t i, const struct vcr_reader_frame *f)
{
	int64_t parent = f->parent_frame_id ? vcr_reader_by_id(s->r, f->parent_frame_id) : -1;
	return parent >= 0 && parent < i ? lanes[parent] : s->lanes++;
}

static int read_frames(struct sessions *x, struct side *s, int *lanes, int64_t count, struct vcr_error *e)
{
	int64_t call = 0, first = 0, last = 0;
	s->keyed = true;
	s->totals = (struct vcr_diff_totals){ 0, 0, -1, -1, -1, -1, -1, -1 };
	for (int64_t i = 0; i < count; i++) {
		struct vcr_reader_frame f;
		struct vcr_error mine = { 0 };
		bool is_call = vcr_reader_brief(s->r, i).call;
		int64_t k = is_call ? call++ : -1;
		lanes[i] = -1;
		int err = vcr_reader_frame(s->r, i, &f, &mine);
		if (err == VCR_EVERSION || err == VCR_ENOMEM)
			return vcr_error_set(e, err, "%s", mine.what);
		if (err) {
			x->unread++;
			vcr_say(x->x->t, "%s", mine.what);
			lanes[i] = s->lanes++;
			continue;
		}
		lanes[i] = lane_of(s, lanes, i, &f);
		add_up(s, &f, is_call, &first, &last);
		if (!is_step(&f))
			continue;
		struct step *t = &s->step[s->n++];
		*t = (struct step){ .frame = i, .call = k, .key = is_call ? k1_of(&f) : 0, .node = hash_word(f.node_name), .type = hash_word(f.type), .lane = lanes[i], .pair = -1,
			.after = -1 };
		s->keyed = s->keyed && (!is_call || t->key);
	}
	s->totals.time_ms = first ? (double)(last - first) / 1e6 : -1;
	return 0;
}

static int load(struct sessions *x, struct side *s, struct vcr_error *e)
{
	int64_t count = vcr_reader_count(s->r);
	int *lanes = calloc((size_t)count + 1, sizeof *lanes);
	s->step = calloc((size_t)count + 1, sizeof *s->step);
	int err = lanes && s->step ? read_frames(x, s, lanes, count, e) : vcr_error_set(e, VCR_ENOMEM, "out of memory");
	free(lanes);
	s->lane = err ? NULL : calloc((size_t)s->lanes + 1, sizeof *s->lane);
	for (int i = 0; s->lane && i < s->lanes; i++)
		s->lane[i] = (struct lane){ -1, -1 };
	return err ? err : s->lane ? 0 : vcr_error_set(e, VCR_ENOMEM, "out of memory");
}

/* What a step asks, by its complete state. One that cannot be completed is like no other. */
static void key_by_state(struct side *s, struct step *t)
{
	VCR_AUTO_BUF full = VCR_BUF_INIT, form = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (vcr_reader_full_input(s->r, t->frame, &full, NULL) || vcr_json_parse(&j, full.data, full.len, VCR_JSON_RELAXED, NULL) || vcr_canon_json(&j, 0, &form))
		t->key = 0;
	else
		t->key = hash(t->node, form.data, form.len) | 1;
}

static void make_keys(struct sessions *x)
{
	bool keyed = x->side[0].keyed && x->side[1].keyed;
	for (int k = 0; k < 2; k++)
		for (int i = 0; i < x->side[k].n; i++)
			if (x->side[k].step[i].call < 0 || !keyed)
				key_by_state(&x->side[k], &x->side[k].step[i]);
}

/* ---- Pairing ---- */

/* A step under one of the views by which steps of both sides are paired: equal views, in order. */
struct view { uint64_t a, b, c; int at; };

static int by_view(const void *x, const void *y)
{
	const struct view *p = x, *q = y;
	if (p->a != q->a)
		return p->a < q->a ? -1 : 1;
	if (p->b != q->b)
		return p->b < q->b ? -1 : 1;
	if (p->c != q->c)
		return p->c < q->c ? -1 : 1;
	return p->at - q->at;
}

/* False: the step does not take part. Lanes and places are told in terms of side 1. */
typedef bool view_fn(const struct sessions *x, int k, const struct step *t, struct view *v);

static bool by_question_and_type(const struct sessions *x, int k, const struct step *t, struct view *v)
{
	(void)x, (void)k;
	*v = (struct view){ t->key, t->type, 0, 0 };
	return t->key != 0;
}

static bool by_question(const struct sessions *x, int k, const struct step *t, struct view *v)
{
	(void)x, (void)k;
	*v = (struct view){ t->key, 0, 0, 0 };
	return t->key != 0;
}

static bool by_place_and_node(const struct sessions *x, int k, const struct step *t, struct view *v)
{
	int lane = k ? t->lane : x->side[0].lane[t->lane].other;
	*v = (struct view){ (uint64_t)lane, (uint64_t)t->after, t->node, 0 };
	return lane >= 0;
}

static bool by_place(const struct sessions *x, int k, const struct step *t, struct view *v)
{
	bool takes_part = by_place_and_node(x, k, t, v);
	v->c = t->call >= 0;
	return takes_part;
}

static struct view *gather(const struct sessions *x, int k, view_fn *fn, int *n)
{
	const struct side *s = &x->side[k];
	struct view *v = calloc((size_t)s->n + 1, sizeof *v);
	*n = 0;
	for (int i = 0; v && i < s->n; i++)
		if (s->step[i].pair < 0 && fn(x, k, &s->step[i], &v[*n]))
			v[(*n)++].at = i;
	if (v)
		qsort(v, (size_t)*n, sizeof *v, by_view);
	return v;
}

/* The k-th of one side with a view goes with the k-th of the other. */
static int pair_by(struct sessions *x, view_fn *fn)
{
	int na, nb;
	struct view *a = gather(x, 0, fn, &na), *b = gather(x, 1, fn, &nb);
	for (int i = 0, j = 0; a && b && i < na && j < nb;) {
		struct view p = a[i], q = b[j];
		p.at = q.at = 0;
		int c = by_view(&p, &q);
		if (c) {
			*(c < 0 ? &i : &j) += 1;
			continue;
		}
		struct step *s = &x->side[0].step[a[i].at], *t = &x->side[1].step[b[j].at];
		s->pair = b[j++].at;
		t->pair = a[i++].at;
	}
	int err = a && b ? 0 : VCR_ENOMEM;
	free(a);
	free(b);
	return err;
}

/* Lanes with steps that ask the same are one conversation; the rest go together in the order in which they began. */
static void join_lanes(struct sessions *x)
{
	struct side *a = &x->side[0], *b = &x->side[1];
	for (int i = 0; i < a->n; i++) {
		const struct step *t = &a->step[i];
		if (t->pair < 0 || a->lane[t->lane].other >= 0 || b->lane[b->step[t->pair].lane].other >= 0)
			continue;
		a->lane[t->lane].other = b->step[t->pair].lane;
		b->lane[b->step[t->pair].lane].other = t->lane;
	}
	for (int i = 0, j = 0; i < a->n; i++) {
		if (a->lane[a->step[i].lane].other >= 0)
			continue;
		while (j < b->n && b->lane[b->step[j].lane].other >= 0)
			j++;
		if (j == b->n)
			return;
		a->lane[a->step[i].lane].other = b->step[j].lane;
		b->lane[b->step[j].lane].other = a->step[i].lane;
	}
}

/* Places in a lane are counted from the last step that asks the same on both sides; named by that step of side 1. */
static void find_places(struct sessions *x)
{
	for (int k = 0; k < 2; k++) {
		struct side *s = &x->side[k];
		for (int i = 0; i < s->n; i++) {
			struct lane *l = &s->lane[s->step[i].lane];
			s->step[i].after = l->last;
			if (s->step[i].pair >= 0)
				l->last = k ? i : s->step[i].pair;
		}
	}
}

static int align(struct sessions *x)
{
	int err = pair_by(x, by_question_and_type);
	if (!err)
		err = pair_by(x, by_question);
	if (err)
		return err;
	join_lanes(x);
	find_places(x);
	err = pair_by(x, by_place_and_node);
	return err ? err : pair_by(x, by_place);
}

/* ---- Telling ---- */

static void name_step(const struct step *t, struct vcr_buf *out)
{
	if (t->call >= 0)
		vcr_buf_printf(out, "call:%lld", (long long)t->call);
	else
		vcr_buf_printf(out, "frame %lld", (long long)t->frame);
}

static void first_divergence(struct sessions *x)
{
	vcr_diff_tell_names(x->x);
	if (!x->named)
		printf("%sfirst divergence:%s ", vcr_on(x->x->t, VCR_BOLD), vcr_on(x->x->t, VCR_PLAIN));
	x->named = true;
}

static void summary(struct vcr_reader *r, const struct step *t, struct vcr_buf *out)
{
	struct vcr_reader_frame f;
	if (vcr_reader_frame(r, t->frame, &f, NULL))
		return;
	vcr_safe_line(out, f.node_name, strlen(f.node_name), 40);
	vcr_buf_puts(out, "  ");
	vcr_gist(out, &f, 80);
}

static void step_json(struct vcr_reader *r, const struct step *t, struct vcr_buf *out)
{
	struct vcr_reader_frame f;
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "call");
	t->call >= 0 ? vcr_jw_int(&w, t->call) : vcr_jw_null(&w);
	vcr_jw_key(&w, "node_name");
	vcr_jw_str(&w, vcr_reader_frame(r, t->frame, &f, NULL) ? NULL : f.node_name);
	vcr_jw_object_end(&w);
}

static void tell_alone(struct sessions *x, int k, const struct step *t)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT, words = VCR_BUF_INIT;
	++*(k ? &x->calls.only_b : &x->calls.only_a);
	if (x->x->t->quiet || x->x->stat)
		return;
	if (x->x->t->json) {
		step_json(x->side[k].r, t, &words);
		vcr_diff_tell_json(k ? "added" : "removed", "step", "", NULL, k ? NULL : &words, k ? &words : NULL, k ? -1 : t->frame, k ? t->frame : -1);
		return;
	}
	first_divergence(x);
	name_step(t, &name);
	summary(x->side[k].r, t, &words);
	printf("%s%s only in the %s:%s %s\n", vcr_on(x->x->t, k ? VCR_GREEN : VCR_RED), name.data, k ? "new" : "old", vcr_on(x->x->t, VCR_PLAIN), words.data);
}

/* The first change that counts, and where: what was asked before what was answered. */
static bool first_change(const struct vcr_diff_pair *p, enum vcr_diff_part *part, struct vcr_buf *path)
{
	static const enum vcr_diff_part order[] = { VCR_DIFF_INPUT, VCR_DIFF_OUTPUT, VCR_DIFF_FRAME };
	for (int k = 0; k < VCR_DIFF_PARTS; k++)
		for (size_t i = 0; i < p->d[order[k]].n; i++)
			if (!p->skip[order[k]][i]) {
				*part = order[k];
				return !vcr_diff_path(p, order[k], i, false, path);
			}
	return false;
}

static void tell_pair_words(struct sessions *x, const struct step *a, const struct step *b, const struct vcr_diff_pair *p)
{
	VCR_AUTO_BUF old = VCR_BUF_INIT, new = VCR_BUF_INIT, path = VCR_BUF_INIT;
	enum vcr_diff_part part = VCR_DIFF_FRAME;
	if (!first_change(p, &part, &path))
		return;
	first_divergence(x);
	name_step(a, &old);
	name_step(b, &new);
	printf("%s%s%s", vcr_on(x->x->t, VCR_YELLOW), old.data, vcr_on(x->x->t, VCR_PLAIN));
	if (strcmp(old.data, new.data))
		printf(" (%s in the new)", new.data);
	printf(" %s: ", part == VCR_DIFF_OUTPUT ? a->call >= 0 ? "is answered differently" : "comes out differently" : "differs");
	vcr_diff_put(x->x, VCR_BOLD, path.data, path.len);
	if (p->all > 1)
		printf(" and %lld more", (long long)p->all - 1);
	putchar('\n');
	if (x->x->t->verbose)
		vcr_diff_pair_tell(x->x, p);
}

static const struct step *step_of(const struct side *s, int64_t frame)
{
	int lo = 0, hi = s->n;
	while (lo < hi) {
		int mid = lo + (hi - lo) / 2;
		if (s->step[mid].frame < frame)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n && s->step[lo].frame == frame ? &s->step[lo] : NULL;
}

/* Both continue calls that are a pair, and repeat as much of them. */
static bool continue_alike(const struct sessions *x, const struct step *a, const struct step *b, struct vcr_buf *omitted)
{
	VCR_AUTO_BUF other = VCR_BUF_INIT;
	const struct step *before_a = step_of(&x->side[0], vcr_diff_continues(x->side[0].r, a->frame, omitted));
	const struct step *before_b = step_of(&x->side[1], vcr_diff_continues(x->side[1].r, b->frame, &other));
	return before_a && before_b && before_a->pair >= 0 && &x->side[1].step[before_a->pair] == before_b && !strcmp(omitted->data, other.data);
}

static void tell_pair(struct sessions *x, const struct step *a, const struct step *b)
{
	VCR_AUTO_PAIR p = { 0 };
	VCR_AUTO_BUF omitted = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	p.omitted = continue_alike(x, a, b, &omitted) ? omitted.data : NULL;
	x->x->incidental = a->call >= 0 && b->call >= 0;
	if (vcr_diff_pair(x->x, &p, x->side[0].r, a->frame, x->side[1].r, b->frame, &e)) {
		vcr_say(x->x->t, "%s", *e.what ? e.what : vcr_strerror(e.code));
		x->unread++;
		return;
	}
	++*(p.all ? &x->calls.changed : &x->calls.same);
	if (!p.all || x->x->t->quiet || x->x->stat)
		return;
	x->x->t->json ? vcr_diff_pair_tell(x->x, &p) : tell_pair_words(x, a, b, &p);
}

/* In the order of the old session; what only the new one has comes before its next step that has a partner. */
static void tell_steps(struct sessions *x)
{
	struct side *a = &x->side[0], *b = &x->side[1];
	int j = 0;
	for (int i = 0; i < a->n; i++) {
		const struct step *t = &a->step[i];
		for (; t->pair >= 0 && j <= t->pair; j++)
			if (b->step[j].pair < 0)
				tell_alone(x, 1, &b->step[j]);
		if (t->pair >= 0)
			tell_pair(x, t, &b->step[t->pair]);
		else
			tell_alone(x, 0, t);
	}
	for (; j < b->n; j++)
		if (b->step[j].pair < 0)
			tell_alone(x, 1, &b->step[j]);
}

static void counts_words(const char *name, const struct vcr_diff_counts *n)
{
	printf("%-11s %lld the same, %lld differ, %lld only in the old, %lld only in the new\n", name, (long long)n->same, (long long)n->changed, (long long)n->only_a,
		(long long)n->only_b);
}

static void counts_json(const char *name, const struct vcr_diff_counts *n)
{
	const struct { const char *key; int64_t n; } member[] = { { "same", n->same }, { "changed", n->changed }, { "removed", n->only_a }, { "added", n->only_b } };
	VCR_AUTO_BUF new = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &new);
	vcr_jw_object(&w);
	for (int i = 0; i < 4; i++) {
		vcr_jw_key(&w, member[i].key);
		vcr_jw_int(&w, member[i].n);
	}
	vcr_jw_object_end(&w);
	vcr_diff_tell_json("stat", name, "", NULL, NULL, &new, -1, -1);
}

static void conclude(struct sessions *x)
{
	const struct { const char *name, *part; const struct vcr_diff_counts *n; } count[] = {
		{ "steps", "step", &x->calls }, { "files", "file", &x->files }, { "programs", "program", &x->programs } };
	for (int i = 0; i < 3; i++) {
		const struct vcr_diff_counts *n = count[i].n;
		x->x->different = x->x->different || n->changed || n->only_a || n->only_b;
		if (!x->x->stat || x->x->t->quiet)
			continue;
		if (!x->x->t->json)
			vcr_diff_tell_names(x->x);
		x->x->t->json ? counts_json(count[i].part, n) : counts_words(count[i].name, n);
	}
	if (!x->x->t->quiet && (x->x->different || x->x->stat || x->x->t->json))
		vcr_diff_tell_totals(x->x, &x->side[0].totals, &x->side[1].totals, -1, -1);
}

static int compare(struct sessions *x, struct vcr_error *e)
{
	int err = load(x, &x->side[0], e);
	if (!err)
		err = load(x, &x->side[1], e);
	if (err)
		return err;
	make_keys(x);
	if (align(x) || !(x->x->ids = vcr_diff_ids_new()))
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	tell_steps(x);
	err = vcr_diff_files(x->x, x->side[0].r, x->side[1].r, &x->files, e);
	if (!err)
		err = vcr_diff_programs(x->x, x->side[0].r, x->side[1].r, &x->programs, e);
	if (!err)
		conclude(x);
	return err;
}

int vcr_diff_sessions(struct vcr_diffing *x, struct vcr_reader *ra, struct vcr_reader *rb)
{
	struct sessions s = { .x = x, .side = { { .r = ra }, { .r = rb } } };
	struct vcr_error e = { 0 };
	x->old_name = vcr_reader_header(ra)->session_id;
	x->new_name = vcr_reader_header(rb)->session_id;
	int err = compare(&s, &e);
	for (int k = 0; k < 2; k++) {
		free(s.side[k].step);
		free(s.side[k].lane);
	}
	vcr_diff_ids_free(x->ids);
	x->ids = NULL;
	if (err)
		return vcr_failed(x->t, &e);
	return s.unread ? VCR_EXIT_FAILED : x->different ? VCR_EXIT_NO : VCR_EXIT_YES;
}
