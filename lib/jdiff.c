#include "jdiff.h"
#include <stdlib.h>
#include <string.h>

/* Cells of all tables; comparisons of unlike items within one gap; members looked at to tell how alike two objects are. */
enum { WORK = 64 << 20, MOST_PAIRS = 1 << 14, MEMBERS = 24 };

struct work {
	const struct vcr_json *a, *b;
	uint64_t *ha, *hb;
	struct vcr_jdiff *d;
	long left;
	int err;
};

/* ---- Hashes ---- */

static uint64_t mix(uint64_t h)
{
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
	h = (h ^ h >> 27) * 0x94d049bb133111ebu;
	return h ^ h >> 31;
}

static uint64_t hash_bytes(uint64_t h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
	return mix(h);
}

static uint64_t hash_string(const struct vcr_json *j, int v)
{
	size_t n;
	const char *raw = vcr_json_raw(j, v, &n);
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	if (!memchr(raw, '\\', n))
		return hash_bytes(11, raw + 1, n - 2);
	vcr_json_str(j, v, &text);
	return hash_bytes(11, text.data, text.len);
}

static uint64_t hash_number(const struct vcr_json *j, int v)
{
	size_t n;
	const char *raw = vcr_json_raw(j, v, &n);
	double d;
	if (!vcr_json_double(j, v, &d))
		return hash_bytes(13, raw, n);
	d = d == 0 ? 0 : d;
	return d != d ? hash_bytes(17, raw, n) : hash_bytes(13, (const char *)&d, sizeof d);
}

static uint64_t hash_value(const struct vcr_json *j, int v, uint64_t *h)
{
	enum vcr_json_type type = vcr_json_type(j, v);
	uint64_t sum = (uint64_t)type + 1;
	if (v < 0)
		return 0;
	if (type == VCR_JSON_STRING)
		sum = hash_string(j, v);
	else if (type == VCR_JSON_NUMBER)
		sum = hash_number(j, v);
	else if (type == VCR_JSON_BOOL)
		sum = vcr_json_true(j, v) ? 3 : 5;
	else if (type == VCR_JSON_ARRAY)
		for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m))
			sum = mix(sum * 31 + hash_value(j, m, h));
	else if (type == VCR_JSON_OBJECT)
		for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m)) {
			h[m] = hash_string(j, m);
			sum += mix(h[m] * 31 + hash_value(j, vcr_json_value(j, m), h)); /* a sum: order does not matter */
		}
	return h[v] = mix(sum);
}

uint64_t *vcr_jdiff_hashes(const struct vcr_json *j)
{
	uint64_t *h = calloc(j->ntok + 1, sizeof *h);
	if (h && j->ntok)
		hash_value(j, 0, h);
	return h;
}

/* ---- The list of changes ---- */

static int step(struct work *w, int up, int key, bool key_in_a, int at_a, int at_b)
{
	struct vcr_jdiff *d = w->d;
	if (d->steps == d->steps_room) {
		size_t room = d->steps_room ? 2 * d->steps_room : 64;
		struct vcr_jdiff_step *more = realloc(d->step, room * sizeof *more);
		if (!more) {
			w->err = VCR_ENOMEM;
			return up;
		}
		d->step = more;
		d->steps_room = room;
	}
	d->step[d->steps] = (struct vcr_jdiff_step){ up, key, key_in_a, at_a, at_b };
	return (int)d->steps++;
}

static void note(struct work *w, enum vcr_jdiff_op op, int at, int va, int vb)
{
	struct vcr_jdiff *d = w->d;
	if (d->n == d->room) {
		size_t room = d->room ? 2 * d->room : 16;
		struct vcr_jdiff_change *more = realloc(d->change, room * sizeof *more);
		if (!more) {
			w->err = VCR_ENOMEM;
			return;
		}
		d->change = more;
		d->room = room;
	}
	d->change[d->n++] = (struct vcr_jdiff_change){ op, va, vb, at };
}

/* ---- Objects ---- */

static void compare(struct work *w, int at, int va, int vb);

static int find_member(const struct vcr_json *j, const struct vcr_json_members *l, const struct vcr_json_member *key)
{
	size_t lo = 0, hi = l->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = vcr_json_member_order(&l->m[mid], key);
		if (!c)
			return vcr_json_value(j, l->m[mid].at);
		*(c < 0 ? &lo : &hi) = c < 0 ? mid + 1 : mid;
	}
	return -1;
}

static int by_place(const void *x, const void *y)
{
	return ((const struct vcr_json_member *)x)->at - ((const struct vcr_json_member *)y)->at;
}

/* In the order of A, then what only B has in its order. The lists are sorted by key to search in; copies by place are walked. */
static void walk_members(struct work *w, int at, const struct vcr_json_members *x, const struct vcr_json_members *y, bool added)
{
	const struct vcr_json *j = added ? w->b : w->a;
	const struct vcr_json_members *mine = added ? y : x, *theirs = added ? x : y;
	struct vcr_json_member *m = calloc(mine->n + 1, sizeof *m);
	if (!m) {
		w->err = VCR_ENOMEM;
		return;
	}
	if (mine->n)
		memcpy(m, mine->m, mine->n * sizeof *m);
	qsort(m, mine->n, sizeof *m, by_place);
	for (size_t i = 0; i < mine->n && !w->err; i++) {
		int v = vcr_json_value(j, m[i].at), other = find_member(added ? w->a : w->b, theirs, &m[i]);
		if (other < 0)
			note(w, added ? VCR_JDIFF_ADDED : VCR_JDIFF_REMOVED, step(w, at, m[i].at, !added, 0, 0), added ? -1 : v, added ? v : -1);
		else if (!added && (w->ha[v] != w->hb[other] || !vcr_json_equal(w->a, v, w->b, other)))
			compare(w, step(w, at, m[i].at, true, 0, 0), v, other);
	}
	free(m);
}

static void objects(struct work *w, int at, int va, int vb)
{
	VCR_AUTO_MEMBERS x = VCR_JSON_MEMBERS_INIT, y = VCR_JSON_MEMBERS_INIT;
	if ((w->err = vcr_json_members(w->a, va, &x)) || (w->err = vcr_json_members(w->b, vb, &y)))
		return;
	if (x.repeated || y.repeated) {
		note(w, VCR_JDIFF_CHANGED, at, va, vb);
		return;
	}
	walk_members(w, at, &x, &y, false);
	if (!w->err)
		walk_members(w, at, &x, &y, true);
}

/* ---- Lists ---- */

struct items { int *v; uint64_t *h; int n; };

static bool gather(const struct vcr_json *j, int array, const uint64_t *hash, struct items *l)
{
	int n = vcr_json_count(j, array);
	l->v = calloc((size_t)n + 1, sizeof *l->v);
	l->h = calloc((size_t)n + 1, sizeof *l->h);
	for (int m = l->v && l->h ? vcr_json_first(j, array) : -1; m >= 0 && l->n < n; m = vcr_json_next(j, m)) {
		l->v[l->n] = m;
		l->h[l->n++] = hash[m];
	}
	return l->v && l->h;
}

static void free_items(struct items *l)
{
	free(l->v);
	free(l->h);
}

/* How alike two unequal items are: their equal members; 0 for what is better called removed and added. */
static int likeness(const struct work *w, int va, int vb)
{
	int alike = 0, seen_a = 0;
	if (vcr_json_type(w->a, va) != VCR_JSON_OBJECT || vcr_json_type(w->b, vb) != VCR_JSON_OBJECT)
		return 0;
	for (int m = vcr_json_first(w->a, va); m >= 0 && seen_a < MEMBERS; m = vcr_json_next(w->a, m), seen_a++) {
		int seen_b = 0;
		for (int n = vcr_json_first(w->b, vb); n >= 0 && seen_b < MEMBERS; n = vcr_json_next(w->b, n), seen_b++)
			if (w->ha[m] == w->hb[n]) {
				alike += w->ha[vcr_json_value(w->a, m)] == w->hb[vcr_json_value(w->b, n)];
				break;
			}
	}
	return alike;
}

/* Pair items a0..a1 with items b0..b1 so that the likenesses add up to the most (Needleman and Wunsch). As many on both sides: also by place. */
static void pair_alike(struct work *w, const struct items *a, const struct items *b, int *to, int a0, int a1, int b0, int b1)
{
	int n = a1 - a0, m = b1 - b0, width = m + 1;
	int *score = calloc((size_t)(n + 1) * (size_t)width, sizeof *score), *like = calloc((size_t)n * (size_t)m + 1, sizeof *like);
	if (!score || !like)
		w->err = VCR_ENOMEM;
	for (int i = n - 1; i >= 0 && !w->err; i--)
		for (int j = m - 1; j >= 0; j--) {
			int l = 2 * likeness(w, a->v[a0 + i], b->v[b0 + j]) + (n == m && i == j);
			int best = score[(i + 1) * width + j], right = score[i * width + j + 1], both = score[(i + 1) * width + j + 1] + l;
			like[i * m + j] = l;
			best = right > best ? right : best;
			score[i * width + j] = l && both > best ? both : best;
		}
	for (int i = 0, j = 0; i < n && j < m && !w->err;) {
		int l = like[i * m + j], here = score[i * width + j];
		if (l && here == score[(i + 1) * width + j + 1] + l)
			to[a0 + i++] = b0 + j++;
		else if (here == score[(i + 1) * width + j])
			i++;
		else
			j++;
	}
	free(score);
	free(like);
}

static void pair_gap(struct work *w, const struct items *a, const struct items *b, int *to, int a0, int a1, int b0, int b1)
{
	long pairs = (long)(a1 - a0) * (b1 - b0);
	if (!pairs)
		return;
	if (pairs <= MOST_PAIRS && pairs * 64 <= w->left) {
		w->left -= pairs * 64;
		pair_alike(w, a, b, to, a0, a1, b0, b1);
		return;
	}
	for (int i = a0, j = b0; i < a1 && j < b1; i++, j++)
		to[i] = j;
}

static void pair_gaps(struct work *w, const struct items *a, const struct items *b, int *to)
{
	int from_a = 0, from_b = 0;
	for (int i = 0; i <= a->n && !w->err; i++) {
		if (i < a->n && to[i] < 0)
			continue;
		int j = i < a->n ? to[i] : b->n;
		pair_gap(w, a, b, to, from_a, i, from_b, j);
		from_a = i + 1;
		from_b = j + 1;
	}
}

static void lists(struct work *w, int at, int va, int vb)
{
	struct items a = { 0 }, b = { 0 };
	int *to = calloc((size_t)vcr_json_count(w->a, va) + 1, sizeof *to), j = 0;
	if (!to || !gather(w->a, va, w->ha, &a) || !gather(w->b, vb, w->hb, &b))
		w->err = VCR_ENOMEM;
	if (!w->err)
		w->err = vcr_jdiff_align(a.h, a.n, b.h, b.n, to, &w->left);
	if (!w->err)
		pair_gaps(w, &a, &b, to);
	for (int i = 0; i <= a.n && !w->err; i++) {
		if (i < a.n && to[i] < 0) {
			note(w, VCR_JDIFF_REMOVED, step(w, at, -1, true, i, i), a.v[i], -1);
			continue;
		}
		for (int end = i < a.n ? to[i] : b.n; j < end && !w->err; j++)
			note(w, VCR_JDIFF_ADDED, step(w, at, -1, false, j, j), -1, b.v[j]);
		if (i < a.n && (a.h[i] != b.h[j] || !vcr_json_equal(w->a, a.v[i], w->b, b.v[j])))
			compare(w, step(w, at, -1, false, i, j), a.v[i], b.v[j]);
		j++;
	}
	free_items(&a);
	free_items(&b);
	free(to);
}

/* ---- Values that are not equal ---- */

static void compare(struct work *w, int at, int va, int vb)
{
	enum vcr_json_type type = vcr_json_type(w->a, va);
	if (w->err)
		return;
	if (type == VCR_JSON_OBJECT && vcr_json_type(w->b, vb) == type)
		objects(w, at, va, vb);
	else if (type == VCR_JSON_ARRAY && vcr_json_type(w->b, vb) == type)
		lists(w, at, va, vb);
	else
		note(w, VCR_JDIFF_CHANGED, at, va, vb);
}

int vcr_jdiff(struct vcr_jdiff *d, const struct vcr_json *a, int va, const struct vcr_json *b, int vb)
{
	struct work w = { .a = a, .b = b, .d = d, .left = WORK };
	d->ja = a;
	d->jb = b;
	if (va < 0 || vb < 0) {
		if (va >= 0 || vb >= 0)
			note(&w, va >= 0 ? VCR_JDIFF_REMOVED : VCR_JDIFF_ADDED, -1, va, vb);
		return w.err;
	}
	w.ha = vcr_jdiff_hashes(a);
	w.hb = vcr_jdiff_hashes(b);
	if (!w.ha || !w.hb)
		w.err = VCR_ENOMEM;
	else if (w.ha[va] != w.hb[vb] || !vcr_json_equal(a, va, b, vb))
		compare(&w, -1, va, vb);
	free(w.ha);
	free(w.hb);
	return w.err;
}

void vcr_jdiff_release(struct vcr_jdiff *d)
{
	free(d->change);
	free(d->step);
	*d = (struct vcr_jdiff)VCR_JDIFF_INIT;
}

/* ---- Places ---- */

static void add_key(const struct vcr_json *j, int key, struct vcr_buf *out)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	vcr_json_str(j, key, &text);
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] == '~' || text.data[i] == '/')
			vcr_buf_puts(out, text.data[i] == '~' ? "~0" : "~1");
		else
			vcr_buf_putc(out, text.data[i]);
}

int vcr_jdiff_path(const struct vcr_jdiff *d, size_t i, bool old, struct vcr_buf *out)
{
	int way[VCR_JDIFF_DEEPEST], n = 0;
	old = old || d->change[i].op == VCR_JDIFF_REMOVED;
	for (int s = d->change[i].step; s >= 0 && n < VCR_JDIFF_DEEPEST; s = d->step[s].up)
		way[n++] = s;
	while (n--) {
		const struct vcr_jdiff_step *s = &d->step[way[n]];
		vcr_buf_putc(out, '/');
		if (s->key >= 0)
			add_key(s->key_in_a ? d->ja : d->jb, s->key, out);
		else
			vcr_buf_printf(out, "%d", old ? s->at_a : s->at_b);
	}
	return out->err;
}
