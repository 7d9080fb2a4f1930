/* What a walk takes over from the one before. */
#include "sentinel-measure.h"
#include <string.h>

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

static uint64_t mix_text(uint64_t h, const char *p, size_t n)
{
	h = mix(h, n);
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 1099511628211u;
	return h;
}

/* A decorated function is part of what its decorators begin; the body of a function says where that one's begins. */
static bool is_unit(const struct vcr_walk *w, const struct vcr_frame *f, const struct vcr_frame *around, size_t depth)
{
	TSSymbol decorated = w->map->decorated;
	if (f->body || (f->roles & (R_CASE | R_BINARY)) || around->roles & R_PREPROC || ts_node_has_error(f->node))
		return false;
	if (f->roles & R_FUNCTION)
		return !decorated || ts_node_symbol(around->node) != decorated;
	return f->function < 0 && (depth == 1 || f->roles & R_CLASS || (decorated && ts_node_symbol(f->node) == decorated));
}

/* All that enter and what it calls take from around a node. */
static uint64_t surroundings(const struct vcr_walk *w, const struct vcr_frame *f, const struct vcr_frame *around, size_t depth)
{
	const struct vcr_class *c = around->class_ >= 0 ? &w->class_[around->class_] : NULL;
	const char *outer = around->function >= 0 ? w->function[around->function].qualified : c ? c->name : "";
	uint64_t h = mix(depth, ts_node_symbol(f->node));
	h = mix(h, (uint64_t)around->roles << 32 | (uint64_t)around->logic << 16 | f->logic);
	h = mix(h, (uint64_t)f->level << 32 | f->cognitive);
	h = mix(h, (uint64_t)(around->function >= 0) << 4 | (uint64_t)(around->class_ >= 0) << 3 | (uint64_t)(c && c->is_interface) << 2 | (uint64_t)f->apart << 1 | around->apart);
	h = mix_text(h, outer, strlen(outer));
	if (f->roles & (R_FUNCTION | R_CLASS)) {
		struct vcr_text name = vcr_lang_name(w->language, w->map, f->node, around->node, w->text);
		h = mix_text(h, name.p, name.n);
	}
	return h;
}

/* Where a unit that no edit has touched stood before; false: one has. */
static bool stood_at(struct vcr_edited *e, uint32_t start, uint32_t end, uint32_t *was)
{
	while (e->next < e->nrange && e->range[e->next].end_byte < start)
		e->next++;
	if ((e->next < e->nrange && e->range[e->next].start_byte <= end) || (end > e->start && start < e->new_end))
		return false;
	*was = end <= e->start ? start : start - e->new_end + e->old_end;
	return true;
}

/* The unit of the former walk that began there, was as long and stood in the same surroundings. */
static const struct vcr_unit *find_unit(const struct vcr_walk *old, uint32_t start, uint32_t length, uint64_t around)
{
	size_t low = 0, high = old->nunit;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (old->unit[middle].start < start)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < old->nunit && old->unit[low].start == start; low++) {
		const struct vcr_unit *u = &old->unit[low];
		if (u->end - u->start == length && u->around == around && !u->is_fixed)
			return u;
	}
	return NULL;
}

/* By how much what is taken over has moved. */
struct moved { uint32_t bytes, lines, function, class_, mark, token, unit; const struct vcr_frame *around; };

/* An index of something that may stand around the unit. */
static int moved_index(int was, uint32_t from, uint32_t by, int around)
{
	return was < 0 ? -1 : (uint32_t)was >= from ? (int)((uint32_t)was + by) : around;
}

static const char *keep_words(struct vcr_walk *w, const char *s)
{
	return vcr_walk_keep(w, s, strlen(s));
}

static void take_functions(struct vcr_walk *w, const struct vcr_unit *u, const struct moved *by)
{
	for (uint32_t i = u->from.function; i < u->to.function; i++) {
		struct vcr_function *f = vcr_walk_grow(w, (void **)&w->function, &w->cfunction, w->nfunction, sizeof *f);
		struct vcr_measured *m = f ? vcr_walk_grow(w, (void **)&w->measured, &w->cmeasured, w->nfunction, sizeof *m) : NULL;
		if (!m)
			return;
		*m = (struct vcr_measured){ .level = 0 };
		*f = w->old->function[i];
		bool in_outer = f->in_class >= 0 && (uint32_t)f->in_class < u->from.class_;
		f->name = keep_words(w, f->name);
		f->qualified = keep_words(w, f->qualified);
		f->start_line += by->lines;
		f->end_line += by->lines;
		f->start_byte += by->bytes;
		f->end_byte += by->bytes;
		f->first_token += by->token;
		f->last_token += by->token;
		f->parent = moved_index(f->parent, u->from.function, by->function, by->around->function);
		f->in_class = moved_index(f->in_class, u->from.class_, by->class_, by->around->class_);
		if (in_outer)
			w->class_[f->in_class].methods++;
		w->nfunction++;
	}
}

static void take_classes(struct vcr_walk *w, const struct vcr_unit *u, const struct moved *by)
{
	for (uint32_t i = u->from.class_; i < u->to.class_; i++) {
		struct vcr_class *c = vcr_walk_grow(w, (void **)&w->class_, &w->cclass, w->nclass, sizeof *c);
		if (!c)
			return;
		*c = w->old->class_[i];
		c->name = keep_words(w, c->name);
		c->start_line += by->lines;
		c->end_line += by->lines;
		w->nclass++;
	}
}

static void take_marks(struct vcr_walk *w, const struct vcr_unit *u, const struct moved *by)
{
	for (uint32_t i = u->from.mark; i < u->to.mark && i < w->old->nmark && w->nmark < VCR_MOST_MARKS; i++) {
		struct vcr_mark *m = vcr_walk_grow(w, (void **)&w->mark, &w->cmark, w->nmark, sizeof *m);
		if (!m)
			return;
		*m = w->old->mark[i];
		m->text = keep_words(w, m->text);
		m->start_line += by->lines;
		m->end_line += by->lines;
		m->function = moved_index(m->function, u->from.function, by->function, by->around->function);
		w->nmark++;
	}
}

static void take_tokens(struct vcr_walk *w, const struct vcr_unit *u, const struct moved *by)
{
	for (uint32_t i = u->from.token; i < u->to.token; i++) {
		struct vcr_token *t = vcr_walk_grow(w, (void **)&w->token, &w->ctoken, w->ntoken, sizeof *t);
		if (!t)
			return;
		*t = w->old->token[i];
		t->line += by->lines;
		t->at += t->at == VCR_NO_TEXT ? 0 : by->bytes;
		w->ntoken++;
	}
}

static void move_counts(struct vcr_counts *c, const struct moved *by)
{
	c->function += by->function;
	c->class_ += by->class_;
	c->mark += by->mark;
	c->token += by->token;
	c->unit += by->unit;
}

/* Itself and those in it, for the next walk. */
static void take_units(struct vcr_walk *w, const struct vcr_unit *u, const struct moved *by)
{
	for (uint32_t i = u->from.unit; i < u->to.unit; i++) {
		struct vcr_unit *n = vcr_walk_grow(w, (void **)&w->unit, &w->cunit, w->nunit, sizeof *n);
		if (!n)
			return;
		*n = w->old->unit[i];
		n->start += by->bytes;
		n->end += by->bytes;
		n->row += by->lines;
		move_counts(&n->from, by);
		move_counts(&n->to, by);
		w->nunit++;
	}
}

static void take_over(struct vcr_walk *w, const struct vcr_unit *u, uint32_t start, uint32_t row, const struct vcr_frame *around)
{
	const struct vcr_counts *from = &u->from;
	struct moved by = { start - u->start, row - u->row, (uint32_t)w->nfunction - from->function, (uint32_t)w->nclass - from->class_, (uint32_t)w->nmark - from->mark,
		(uint32_t)w->ntoken - from->token, (uint32_t)w->nunit - from->unit, around };
	for (int i = around->function; i >= 0; i = w->function[i].parent) {
		w->function[i].cognitive += u->added - u->nested * w->measured[i].cognitive;
		w->measured[i].added += u->added;
		w->measured[i].nested += u->nested;
	}
	take_functions(w, u, &by);
	take_classes(w, u, &by);
	take_marks(w, u, &by);
	take_tokens(w, u, &by);
	take_units(w, u, &by);
	w->is_deep |= u->is_deep;
}

static struct vcr_counts counts(const struct vcr_walk *w)
{
	return (struct vcr_counts){ (uint32_t)w->nfunction, (uint32_t)w->nclass, (uint32_t)w->nmark, (uint32_t)w->ntoken, (uint32_t)w->nunit };
}

bool vcr_unit_begin(struct vcr_walk *w, struct vcr_frame *f, const struct vcr_frame *around, size_t depth)
{
	uint32_t start = ts_node_start_byte(f->node), end = ts_node_end_byte(f->node), row = ts_node_start_point(f->node).row, was;
	if (!is_unit(w, f, around, depth))
		return false;
	uint64_t h = surroundings(w, f, around, depth);
	const struct vcr_unit *old = w->old && stood_at(&w->edited, start, end, &was) ? find_unit(w->old, was, end - start, h) : NULL;
	if (old && w->nmark + (old->to.mark - old->from.mark) < VCR_MOST_MARKS) { /* or not all of its marks are kept, and it is no unit to take over */
		take_over(w, old, start, row, around);
		return true;
	}
	struct vcr_unit *u = vcr_walk_grow(w, (void **)&w->unit, &w->cunit, w->nunit, sizeof *u);
	if (!u)
		return true;
	*u = (struct vcr_unit){ .start = start, .end = end, .row = row, .around = h, .from = counts(w), .is_deep = w->is_deep };
	w->is_deep = false;
	f->unit = ++w->nunit;
	return false;
}

/* A comment that allows something looks at the lines behind it, which may be those of others. */
void vcr_unit_end(struct vcr_walk *w, const struct vcr_frame *f)
{
	struct vcr_unit *u = &w->unit[f->unit - 1];
	bool deep = w->is_deep;
	u->to = counts(w);
	w->is_deep |= u->is_deep;
	u->is_deep = deep;
	u->is_fixed = w->nmark >= VCR_MOST_MARKS;
	for (uint32_t i = u->from.mark; i < u->to.mark && !u->is_fixed; i++)
		u->is_fixed = w->mark[i].kind == VCR_MARK_ALLOW;
	if (f->roles & R_FUNCTION && u->to.function > u->from.function) {
		u->added = w->measured[u->from.function].added;
		u->nested = w->measured[u->from.function].nested;
	}
}
