/* Myers' greedy algorithm ("An O(ND) Difference Algorithm", 1986) on interned lines. Lines that the other side does not have at all are
 * changed whatever happens and are taken out first, so a rewritten file costs nothing. A search that needs more than MAX_D steps keeps
 * the furthest way found and starts again from its end; when WORK is spent the rest is one replaced block. */
#include "diff.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_D = 1000, WORK = 64 << 20, CONTEXT = 3, BINARY_PROBE = 8000 };

struct line {
	const char *p;
	size_t n;        /* with its newline */
};
struct side {
	struct line *line;
	uint32_t *id;    /* equal lines have equal ids */
	bool *changed;   /* one more than lines, false */
	size_t *place;   /* place[i]: the line that entry i of the reduced sequence is */
	uint32_t *seq;
	size_t lines, len;
};
struct diff {
	struct side a, b;
	uint32_t *head;  /* hash table of ids, 0: free */
	struct line *known;
	uint32_t *seen;  /* bit 0: in a, bit 1: in b */
	size_t mask, ids;
	int *trace;
	long work;
};

static bool utf8_ok(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned char c = p[i];
		size_t len = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
		if (!len || len > n - i)
			return false;
		for (size_t k = 1; k < len; k++)
			if ((p[i + k] & 0xc0) != 0x80)
				return false;
		if ((c == 0xe0 && p[i + 1] < 0xa0) || (c == 0xed && p[i + 1] > 0x9f) || (c == 0xf0 && p[i + 1] < 0x90) || (c == 0xf4 && p[i + 1] > 0x8f))
			return false;
		i += len;
	}
	return true;
}

bool vcr_diff_is_text(const char *p, size_t n)
{
	return !n || (!memchr(p, 0, n < BINARY_PROBE ? n : BINARY_PROBE) && utf8_ok((const unsigned char *)p, n));
}

/* ---- lines ---- */

/* Length of the first piece of p[0..n), n > 0. */
typedef size_t piece_fn(const char *p, size_t n);

static size_t line_piece(const char *p, size_t n)
{
	const char *nl = memchr(p, '\n', n);
	return nl ? (size_t)(nl + 1 - p) : n;
}

static int word_class(char c)
{
	unsigned char u = (unsigned char)c;
	return u >= 0x80 || u == '_' || (u >= '0' && u <= '9') || ((u | 32) >= 'a' && (u | 32) <= 'z') ? 1 : u == ' ' || u == '\t' ? 2 : 0;
}

/* A run of letters and digits, one of spaces, or any one other character. */
static size_t word_piece(const char *p, size_t n)
{
	size_t i = 1;
	int class = word_class(*p);
	while (class && i < n && word_class(p[i]) == class)
		i++;
	return i;
}

static int split(struct side *s, const char *p, size_t n, piece_fn *piece)
{
	size_t count = 0;
	for (size_t at = 0; at < n; count++)
		at += piece(p + at, n - at);
	s->lines = count;
	s->line = calloc(count + 1, sizeof *s->line);
	s->id = calloc(count + 1, sizeof *s->id);
	s->changed = calloc(count + 1, sizeof *s->changed);
	s->place = calloc(count + 1, sizeof *s->place);
	s->seq = calloc(count + 1, sizeof *s->seq);
	if (!s->line || !s->id || !s->changed || !s->place || !s->seq)
		return VCR_ENOMEM;
	for (size_t i = 0, at = 0; i < count; i++) {
		s->line[i] = (struct line){ p + at, piece(p + at, n - at) };
		at += s->line[i].n;
	}
	return 0;
}

static size_t hash(const struct line *l)
{
	uint64_t h = 1469598103934665603u;
	for (size_t i = 0; i < l->n; i++)
		h = (h ^ (unsigned char)l->p[i]) * 1099511628211u;
	return (size_t)(h ^ h >> 29);
}

static void intern(struct diff *d, struct side *s, unsigned bit)
{
	for (size_t i = 0; i < s->lines; i++) {
		const struct line *l = &s->line[i];
		size_t k = hash(l) & d->mask;
		while (d->head[k] && (d->known[d->head[k]].n != l->n || memcmp(d->known[d->head[k]].p, l->p, l->n)))
			k = (k + 1) & d->mask;
		if (!d->head[k]) {
			d->head[k] = (uint32_t)++d->ids;
			d->known[d->ids] = *l;
		}
		s->id[i] = d->head[k];
		d->seen[s->id[i]] |= bit;
	}
}

/* The lines that both sides know, between the common beginning and end. */
static void reduce(struct diff *d, struct side *s, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		if (d->seen[s->id[i]] != 3) {
			s->changed[i] = true;
			continue;
		}
		s->place[s->len] = i;
		s->seq[s->len++] = s->id[i];
	}
}

static int prepare(struct diff *d, const char *a, size_t na, const char *b, size_t nb, piece_fn *piece)
{
	if (split(&d->a, a, na, piece) || split(&d->b, b, nb, piece))
		return VCR_ENOMEM;
	size_t room = 16, total = d->a.lines + d->b.lines;
	while (room < total * 2)
		room *= 2;
	d->mask = room - 1;
	d->head = calloc(room, sizeof *d->head);
	d->known = calloc(total + 1, sizeof *d->known);
	d->seen = calloc(total + 1, sizeof *d->seen);
	d->trace = malloc(sizeof *d->trace * (MAX_D + 1) * (MAX_D + 2));
	if (!d->head || !d->known || !d->seen || !d->trace)
		return VCR_ENOMEM;
	intern(d, &d->a, 1);
	intern(d, &d->b, 2);
	size_t head = 0, least = d->a.lines < d->b.lines ? d->a.lines : d->b.lines, tail = 0;
	while (head < least && d->a.id[head] == d->b.id[head])
		head++;
	while (tail < least - head && d->a.id[d->a.lines - 1 - tail] == d->b.id[d->b.lines - 1 - tail])
		tail++;
	reduce(d, &d->a, head, d->a.lines - tail);
	reduce(d, &d->b, head, d->b.lines - tail);
	return 0;
}

static void release_side(struct side *s)
{
	free(s->line);
	free(s->id);
	free(s->changed);
	free(s->place);
	free(s->seq);
}

static void release(struct diff *d)
{
	release_side(&d->a);
	release_side(&d->b);
	free(d->head);
	free(d->known);
	free(d->seen);
	free(d->trace);
}

/* ---- the search ---- */

static void mark(struct side *s, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		s->changed[s->place[i]] = true;
}

/* Row k of step e in the trace: rows -e … e. */
static int *row(struct diff *d, int e)
{
	return d->trace + (size_t)e * (size_t)(e + 1) + e;
}

/* Walk the trace back from diagonal k after step e and mark what the way inserts and deletes. */
static void walk_back(struct diff *d, size_t a0, size_t b0, int e, int k)
{
	for (; e > 0; e--) {
		const int *before = row(d, e - 1);
		bool down = k == -e || (k != e && (k - 1 < -(e - 1) ? -1 : before[k - 1]) < (k + 1 > e - 1 ? -1 : before[k + 1]));
		int from = down ? k + 1 : k - 1, x = before[from], y = x - from;
		if (down)
			mark(&d->b, b0 + (size_t)y, b0 + (size_t)y + 1);
		else
			mark(&d->a, a0 + (size_t)x, a0 + (size_t)x + 1);
		k = from;
	}
}

/* One search from (a0, b0). Marks the way to the end or to the furthest point reached, which is put into *a0, *b0. */
static void search(struct diff *d, size_t *a0, size_t *b0)
{
	const uint32_t *a = d->a.seq + *a0, *b = d->b.seq + *b0;
	int n = (int)(d->a.len - *a0), m = (int)(d->b.len - *b0), best_k = 0, best = -1, e;
	for (e = 0; e <= MAX_D; e++) {
		int *now = row(d, e), *before = e ? row(d, e - 1) : NULL;
		best = -1;
		for (int k = -e; k <= e; k += 2) {
			int left = k - 1 < -(e - 1) ? -1 : e ? before[k - 1] : -1, right = k + 1 > e - 1 ? -1 : before[k + 1];
			int x = !e ? 0 : k == -e || (k != e && left < right) ? right : left + 1, y = x - k;
			if (x > n || y > m) { /* outside: keep it out of reach */
				now[k] = x;
				continue;
			}
			int start = x;
			while (x < n && y < m && a[x] == b[y])
				x++, y++;
			d->work += x - start + 1;
			now[k] = x;
			if (x + y > best) {
				best = x + y;
				best_k = k;
			}
			if (x == n && y == m)
				goto done;
		}
	}
	e = MAX_D;
done:
	walk_back(d, *a0, *b0, e, best_k);
	size_t x = (size_t)row(d, e)[best_k];
	*a0 += x;
	*b0 += (size_t)((long)x - best_k);
}

static void compare(struct diff *d)
{
	size_t a = 0, b = 0;
	while (a < d->a.len && b < d->b.len && d->work < WORK && d->a.len < INT32_MAX / 4 && d->b.len < INT32_MAX / 4)
		search(d, &a, &b);
	mark(&d->a, a, d->a.len);
	mark(&d->b, b, d->b.len);
}

/* ---- output ---- */

static void put_name(struct vcr_buf *out, const char *mark, const char *prefix, const char *name)
{
	bool quote = strpbrk(name, "\"\\\n\t\r");
	vcr_buf_puts(out, mark);
	if (quote)
		vcr_buf_putc(out, '"');
	vcr_buf_puts(out, prefix);
	for (const char *p = name; *p; p++) {
		if (*p == '"' || *p == '\\')
			vcr_buf_printf(out, "\\%c", *p);
		else if (*p == '\n' || *p == '\t' || *p == '\r')
			vcr_buf_puts(out, *p == '\n' ? "\\n" : *p == '\t' ? "\\t" : "\\r");
		else
			vcr_buf_putc(out, *p);
	}
	if (quote)
		vcr_buf_putc(out, '"');
	else if (*mark != ' ' && strchr(name, ' '))
		vcr_buf_putc(out, '\t'); /* as git does: patch(1) ends a name at white space otherwise */
}

static void put_line(struct vcr_buf *out, char sign, const struct line *l)
{
	vcr_buf_putc(out, sign);
	vcr_buf_add(out, l->p, l->n);
	if (l->p[l->n - 1] != '\n')
		vcr_buf_puts(out, "\n\\ No newline at end of file\n");
}

static void put_range(struct vcr_buf *out, char sign, size_t from, size_t n)
{
	vcr_buf_printf(out, "%c%zu", sign, n ? from + 1 : from);
	if (n != 1)
		vcr_buf_printf(out, ",%zu", n);
}

/* Lines a0…a1 and b0…b1 with their context. */
static void put_hunk(struct diff *d, struct vcr_buf *out, size_t a0, size_t a1, size_t b0, size_t b1)
{
	vcr_buf_puts(out, "@@ ");
	put_range(out, '-', a0, a1 - a0);
	vcr_buf_putc(out, ' ');
	put_range(out, '+', b0, b1 - b0);
	vcr_buf_puts(out, " @@\n");
	while (a0 < a1 || b0 < b1) {
		if (a0 < a1 && d->a.changed[a0])
			put_line(out, '-', &d->a.line[a0++]);
		else if (b0 < b1 && d->b.changed[b0])
			put_line(out, '+', &d->b.line[b0++]);
		else {
			put_line(out, ' ', &d->a.line[a0++]);
			b0++;
		}
	}
}

/* Past the changed lines at (a, b). */
static void pass_change(struct diff *d, size_t *a, size_t *b)
{
	while (*a < d->a.lines && d->a.changed[*a])
		++*a;
	while (*b < d->b.lines && d->b.changed[*b])
		++*b;
}

static void put_hunks(struct diff *d, struct vcr_buf *out)
{
	for (size_t a = 0, b = 0; a < d->a.lines || b < d->b.lines;) {
		if (!d->a.changed[a] && !d->b.changed[b]) {
			a++, b++;
			continue;
		}
		size_t back = a < CONTEXT ? a : CONTEXT, a0 = a - back, b0 = b - back, same = 0, end_a, end_b;
		do { /* changes with at most 2 * CONTEXT equal lines between them share a hunk */
			pass_change(d, &a, &b);
			end_a = a, end_b = b;
			for (same = 0; a < d->a.lines && same <= 2 * CONTEXT && !d->a.changed[a] && !d->b.changed[b]; same++)
				a++, b++;
		} while (same <= 2 * CONTEXT && (d->a.changed[a] || d->b.changed[b]));
		size_t after = d->a.lines - end_a < CONTEXT ? d->a.lines - end_a : CONTEXT;
		put_hunk(d, out, a0, end_a + after, b0, end_b + after);
		a = end_a + after, b = end_b + after;
	}
}

/* Making or removing an empty file has no hunk: only git's extended header can say it. */
static int put_empty(struct vcr_buf *out, const char *old_name, const char *new_name, bool made)
{
	put_name(out, "diff --git ", "a/", made ? new_name : old_name);
	put_name(out, " ", "b/", made ? new_name : old_name);
	return vcr_buf_printf(out, "\n%s file mode 100644\n", made ? "new" : "deleted");
}

int vcr_diff_unified(struct vcr_buf *out, const char *old_name, const char *a, size_t na, const char *new_name, const char *b, size_t nb)
{
	if ((!a && !b) || (a && b && na == nb && (!na || !memcmp(a, b, na))))
		return 0;
	if (na + nb == 0)
		return put_empty(out, old_name, new_name, b);
	struct diff d = { 0 };
	int rc = prepare(&d, a ? a : "", a ? na : 0, b ? b : "", b ? nb : 0, line_piece);
	if (!rc) {
		compare(&d);
		put_name(out, "--- ", a ? "a/" : "", a ? old_name : "/dev/null");
		put_name(out, "\n+++ ", b ? "b/" : "", b ? new_name : "/dev/null");
		vcr_buf_putc(out, '\n');
		put_hunks(&d, out);
		rc = out->err;
	}
	release(&d);
	return rc;
}

/* ---- words ---- */

/* From s->line[from] on, as long as they are changed, or not. */
static size_t run(const struct side *s, size_t from, bool changed, size_t *bytes)
{
	size_t i = from;
	for (*bytes = 0; i < s->lines && s->changed[i] == changed; i++)
		*bytes += s->line[i].n;
	return i;
}

int vcr_diff_words(const char *a, size_t na, const char *b, size_t nb, vcr_diff_run_fn *fn, void *ctx)
{
	struct diff d = { 0 };
	int rc = prepare(&d, a, na, b, nb, word_piece);
	if (!rc)
		compare(&d);
	for (size_t i = 0, j = 0, bytes; !rc && (i < d.a.lines || j < d.b.lines);) {
		size_t from = i, to = j;
		if (i < d.a.lines && d.a.changed[i]) {
			i = run(&d.a, i, true, &bytes);
			fn(ctx, '-', d.a.line[from].p, bytes);
		} else if (j < d.b.lines && d.b.changed[j]) {
			j = run(&d.b, j, true, &bytes);
			fn(ctx, '+', d.b.line[to].p, bytes);
		} else { /* equal up to the next change on either side */
			for (bytes = 0; i < d.a.lines && !d.a.changed[i] && !d.b.changed[j]; i++, j++)
				bytes += d.a.line[i].n;
			fn(ctx, ' ', d.a.line[from].p, bytes);
		}
	}
	release(&d);
	return rc;
}
