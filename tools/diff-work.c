/* diff-work.c — what two sessions did: the files as they were left, the programs that ran. */
#include "diffing.h"
#include "diff.h"
#include "words.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One thing that a frame did. Of files with the same name the last counts; of programs each run. */
struct deed {
	char *name;       /* path; or the command line */
	char *state;      /* JSON of what is there afterwards, "" for nothing; or how it ended */
	char *content;    /* body reference; NULL */
	int64_t frame;
	bool made;        /* it was not there before */
};
struct deeds { struct deed *v; size_t n, room; };

static void release(struct deeds *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].name);
		free(l->v[i].state);
		free(l->v[i].content);
	}
	free(l->v);
}

static int note(struct deeds *l, char *name, struct vcr_buf *state, char *content, int64_t frame, bool made)
{
	struct deed *more = l->n == l->room ? realloc(l->v, (l->room = l->room ? 2 * l->room : 64) * sizeof *more) : l->v;
	char *words = vcr_buf_take(state, NULL);
	if (more)
		l->v = more;
	if (!more || !name || !words) {
		free(name);
		free(words);
		free(content);
		return VCR_ENOMEM;
	}
	l->v[l->n++] = (struct deed){ name, words, content, frame, made };
	return 0;
}

static int by_name(const void *x, const void *y)
{
	const struct deed *a = x, *b = y;
	int c = strcmp(a->name, b->name);
	return c ? c : (a->frame > b->frame) - (a->frame < b->frame);
}

typedef int take_fn(struct deeds *l, struct vcr_reader *r, const struct vcr_reader_frame *f);

static int collect(struct vcr_reader *r, const char *prefix, take_fn *take, struct deeds *l, struct vcr_error *e)
{
	int64_t n = vcr_reader_count(r);
	int err = 0;
	for (int64_t i = 0; i < n && !err; i++) {
		struct vcr_reader_frame f;
		if (strcmp(vcr_reader_brief(r, i).type, "tool")) /* a call's line is long, and none of these */
			continue;
		if (!vcr_reader_frame(r, i, &f, NULL) && !strncmp(f.node_name, prefix, strlen(prefix))) /* one that cannot be read was said before */
			err = take(l, r, &f);
	}
	if (l->n)
		qsort(l->v, l->n, sizeof *l->v, by_name);
	return err ? vcr_error_set(e, err, "%s", vcr_strerror(err)) : 0;
}

/* Names that stand on both sides, or on one, in order; ia..ea and ib..eb are its deeds. */
static int next_name(const struct deeds *a, const struct deeds *b, size_t *ia, size_t *ea, size_t *ib, size_t *eb)
{
	*ia = *ea;
	*ib = *eb;
	if (*ia == a->n && *ib == b->n)
		return 0;
	int c = *ia == a->n ? 1 : *ib == b->n ? -1 : strcmp(a->v[*ia].name, b->v[*ib].name);
	const char *name = c <= 0 ? a->v[*ia].name : b->v[*ib].name;
	while (c <= 0 && *ea < a->n && !strcmp(a->v[*ea].name, name))
		++*ea;
	while (c >= 0 && *eb < b->n && !strcmp(b->v[*eb].name, name))
		++*eb;
	return 1;
}

static bool is_silent(const struct vcr_diffing *x)
{
	return x->t->quiet || x->stat;
}

static void title(struct vcr_diffing *x, const char *words, bool *told)
{
	if (!*told && !x->t->json)
		vcr_diff_tell_names(x);
	if (!*told && !x->t->json)
		printf("%s@@ %s @@%s\n", vcr_on(x->t, VCR_CYAN), words, vcr_on(x->t, VCR_PLAIN));
	*told = true;
}

static void tell_line(const struct vcr_diffing *x, int op, const char *name, const char *more)
{
	static const char *const ops[] = { "only in the new: ", "only in the old: ", "changed " };
	static const enum vcr_style styles[] = { VCR_GREEN, VCR_RED, VCR_YELLOW };
	printf("%s%s%s", vcr_on(x->t, styles[op]), ops[op], vcr_on(x->t, VCR_PLAIN));
	vcr_diff_put(x, VCR_BOLD, name, strlen(name));
	if (*more)
		vcr_diff_put(x, VCR_PLAIN, more, strlen(more));
	putchar('\n');
}

/* ---- Files ---- */

/* What is there afterwards, without what is only a time. */
static void state_of(const struct vcr_json *j, int after, struct vcr_buf *out)
{
	static const char *const keys[] = { "sha256", "size", "mode", "target", NULL };
	struct vcr_jw w;
	if (vcr_json_type(j, after) != VCR_JSON_OBJECT)
		return;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	for (const char *const *k = keys; *k; k++) {
		int v = vcr_json_get(j, after, *k);
		if (v < 0)
			continue;
		vcr_jw_key(&w, *k);
		vcr_jw_value(&w, j, v);
	}
	vcr_jw_object_end(&w);
}

/* A storm's list: each line is as a frame of its own, ["made","path",{…}]. */
static int take_burst(struct deeds *l, struct vcr_reader *r, const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF ref = VCR_BUF_INIT, list = VCR_BUF_INIT;
	int err = 0;
	if (vcr_json_str(f->j, vcr_json_get(f->j, f->output, "list"), &ref) || vcr_reader_body(r, ref.data, &list, NULL))
		return 0;
	for (const char *p = list.data; *p && !err; p += strcspn(p, "\n"), p += *p == '\n') {
		VCR_AUTO_JSON j = VCR_JSON_INIT;
		VCR_AUTO_BUF state = VCR_BUF_INIT;
		if (vcr_json_parse(&j, p, strcspn(p, "\n"), VCR_JSON_RELAXED, NULL) || vcr_json_type(&j, 0) != VCR_JSON_ARRAY)
			continue;
		int what = vcr_json_first(&j, 0), name = vcr_json_next(&j, what), after = name < 0 ? -1 : vcr_json_next(&j, name);
		char *path = name < 0 ? NULL : vcr_json_strdup(&j, name);
		if (after >= 0)
			state_of(&j, after, &state);
		err = path ? note(l, path, &state, NULL, f->index, vcr_json_is(&j, what, "made") || vcr_json_is(&j, what, "transient") || vcr_json_is(&j, what, "directory")) : 0;
	}
	return err;
}

static int take_file(struct deeds *l, struct vcr_reader *r, const struct vcr_reader_frame *f)
{
	if (!strcmp(f->node_name, "file:burst"))
		return take_burst(l, r, f);
	VCR_AUTO_BUF state = VCR_BUF_INIT, none = VCR_BUF_INIT;
	char *path = vcr_json_strdup(f->j, vcr_json_get(f->j, f->input, "path"));
	char *old = !strcmp(f->node_name, "file:rename") ? vcr_json_strdup(f->j, vcr_json_get(f->j, f->input, "old_path")) : NULL;
	bool made = vcr_json_type(f->j, vcr_json_get(f->j, f->input, "before")) != VCR_JSON_OBJECT;
	int err = 0;
	if (old)
		err = note(l, old, &none, NULL, f->index, false);
	if (!path || err) {
		free(path);
		return err;
	}
	if (strcmp(f->node_name, "file:delete") && strcmp(f->node_name, "file:rmdir"))
		state_of(f->j, vcr_json_get(f->j, f->output, "after"), &state);
	return note(l, path, &state, vcr_json_strdup(f->j, vcr_json_get(f->j, f->output, "content")), f->index, made);
}

static bool content(struct vcr_reader *r, const struct deed *d, struct vcr_buf *out)
{
	return d->content && !vcr_reader_body(r, d->content, out, NULL);
}

static void tell_contents(struct vcr_diffing *x, struct vcr_reader *ra, const struct deed *a, struct vcr_reader *rb, const struct deed *b)
{
	VCR_AUTO_BUF old = VCR_BUF_INIT, new = VCR_BUF_INIT, diff = VCR_BUF_INIT;
	if ((*a->state && !content(ra, a, &old)) || (*b->state && !content(rb, b, &new)))
		return;
	if (vcr_diff_is_text(old.data, old.len) && vcr_diff_is_text(new.data, new.len) && !vcr_diff_unified(&diff, "", old.data, old.len, "", new.data, new.len))
		vcr_diff_tell_unified(x, diff.data, diff.len, 2);
}

static void file_json(int op, const struct deed *a, const struct deed *b)
{
	static const char *const ops[] = { "added", "removed", "changed" };
	VCR_AUTO_BUF old = VCR_BUF_INIT, new = VCR_BUF_INIT;
	vcr_buf_puts(&old, a ? a->state : "");
	vcr_buf_puts(&new, b ? b->state : "");
	vcr_diff_tell_json(ops[op], "file", a ? a->name : b->name, a ? a->name : NULL, &old, &new, a ? a->frame : -1, b ? b->frame : -1);
}

/* The last deed on either side says how a file was left. One that was made and is gone again left nothing. */
static const struct deed *left(const struct deeds *l, size_t from, size_t end)
{
	return from < end && !(l->v[from].made && !*l->v[end - 1].state) ? &l->v[end - 1] : NULL;
}

int vcr_diff_files(struct vcr_diffing *x, struct vcr_reader *ra, struct vcr_reader *rb, struct vcr_diff_counts *n, struct vcr_error *e)
{
	struct deeds l = { 0 }, m = { 0 };
	size_t ia, ea = 0, ib, eb = 0;
	bool told = false;
	int err = collect(ra, "file:", take_file, &l, e);
	if (!err)
		err = collect(rb, "file:", take_file, &m, e);
	while (!err && next_name(&l, &m, &ia, &ea, &ib, &eb)) {
		const struct deed *a = left(&l, ia, ea), *b = left(&m, ib, eb);
		if ((!a && !b) || (a && b && !strcmp(a->state, b->state))) {
			n->same += a && b;
			continue;
		}
		int op = !a ? 0 : !b ? 1 : 2;
		++*(op == 0 ? &n->only_b : op == 1 ? &n->only_a : &n->changed);
		if (is_silent(x))
			continue;
		title(x, "files", &told);
		if (x->t->json) {
			file_json(op, a, b);
			continue;
		}
		const char *gone = op < 2 ? *(a ? a : b)->state ? "" : " (removed)" : !*a->state ? " (the old removed it)" : !*b->state ? " (the new removed it)" : "";
		tell_line(x, op, a ? a->name : b->name, gone);
		if (op == 2)
			tell_contents(x, ra, a, rb, b);
	}
	release(&l);
	release(&m);
	return err;
}

/* ---- Programs ---- */

static int take_program(struct deeds *l, struct vcr_reader *r, const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT, end = VCR_BUF_INIT;
	int argv = vcr_json_get(f->j, f->input, "argv");
	int64_t n;
	for (int m = vcr_json_type(f->j, argv) == VCR_JSON_ARRAY ? vcr_json_first(f->j, argv) : -1; m >= 0; m = vcr_json_next(f->j, m)) {
		VCR_AUTO_BUF one = VCR_BUF_INIT;
		vcr_json_str(f->j, m, &one);
		vcr_buf_puts(&line, line.len ? " " : "");
		vcr_words_quoted(&line, one.data, one.len);
	}
	if (!line.len)
		return 0;
	if (vcr_json_int(f->j, vcr_json_get(f->j, f->output, "exit_code"), &n))
		vcr_buf_printf(&end, "exit code %lld", (long long)n);
	else if (vcr_json_int(f->j, vcr_json_get(f->j, f->output, "signal"), &n))
		vcr_buf_printf(&end, "signal %lld", (long long)n);
	else
		vcr_buf_puts(&end, "ran");
	return note(l, vcr_buf_take(&line, NULL), &end, NULL, f->index, false);
}

/* How the runs of one command line ended, in order. */
static void endings(const struct deeds *l, size_t from, size_t end, struct vcr_buf *out)
{
	enum { MOST = 8 };
	for (size_t i = from; i < end && i < from + MOST; i++)
		vcr_buf_printf(out, "%s%s", i > from ? ", " : "", l->v[i].state);
	if (end > from + MOST)
		vcr_buf_printf(out, " … %zu times", end - from);
}

static bool ended_alike(const struct deeds *l, size_t ia, size_t ea, const struct deeds *m, size_t ib, size_t eb)
{
	bool alike = ea - ia == eb - ib;
	for (size_t i = 0; alike && i < ea - ia; i++)
		alike = !strcmp(l->v[ia + i].state, m->v[ib + i].state);
	return alike;
}

static void program_json(int op, const char *name, const struct vcr_buf *old, const struct vcr_buf *new, int64_t a, int64_t b)
{
	static const char *const ops[] = { "added", "removed", "changed" };
	VCR_AUTO_BUF x = VCR_BUF_INIT, y = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &x);
	if (op != 0)
		vcr_jw_strn(&w, old->data, old->len);
	vcr_jw_init(&w, &y);
	if (op != 1)
		vcr_jw_strn(&w, new->data, new->len);
	vcr_diff_tell_json(ops[op], "program", name, op ? name : NULL, &x, &y, a, b);
}

int vcr_diff_programs(struct vcr_diffing *x, struct vcr_reader *ra, struct vcr_reader *rb, struct vcr_diff_counts *n, struct vcr_error *e)
{
	struct deeds l = { 0 }, m = { 0 };
	size_t ia, ea = 0, ib, eb = 0;
	bool told = false;
	int err = collect(ra, "exec:", take_program, &l, e);
	if (!err)
		err = collect(rb, "exec:", take_program, &m, e);
	while (!err && next_name(&l, &m, &ia, &ea, &ib, &eb)) {
		VCR_AUTO_BUF old = VCR_BUF_INIT, new = VCR_BUF_INIT, more = VCR_BUF_INIT;
		if (ended_alike(&l, ia, ea, &m, ib, eb)) {
			n->same++;
			continue;
		}
		int op = ia == ea ? 0 : ib == eb ? 1 : 2;
		++*(op == 0 ? &n->only_b : op == 1 ? &n->only_a : &n->changed);
		if (is_silent(x))
			continue;
		title(x, "programs", &told);
		endings(&l, ia, ea, &old);
		endings(&m, ib, eb, &new);
		const char *name = op ? l.v[ia].name : m.v[ib].name;
		if (x->t->json) {
			program_json(op, name, &old, &new, op != 0 ? l.v[ia].frame : -1, op != 1 ? m.v[ib].frame : -1);
			continue;
		}
		if (op == 2)
			vcr_buf_printf(&more, ": %s, now %s", old.data, new.data);
		tell_line(x, op, name, more.data);
	}
	release(&l);
	release(&m);
	return err;
}
