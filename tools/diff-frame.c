/* diff-frame.c — two frames with their complete states. */
#include "diffing.h"
#include "state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const vcr_diff_part_name[VCR_DIFF_PARTS] = { "frame", "input", "output" };

/* ---- Loading ---- */

/* What a frame is, apart from its states, names and times. */
static void describe(const struct vcr_reader_frame *f, struct vcr_buf *out)
{
	struct vcr_jw w;
	int64_t status;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "frame_type");
	vcr_jw_str(&w, f->type);
	vcr_jw_key(&w, "node_name");
	vcr_jw_str(&w, f->node_name);
	const struct { const char *key, *value; } words[] = { { "error_type", f->error_type }, { "error_message", f->error_message } };
	for (int i = 0; i < 2; i++)
		if (words[i].value) {
			vcr_jw_key(&w, words[i].key);
			vcr_jw_str(&w, words[i].value);
		}
	if (vcr_json_int(f->j, vcr_json_get(f->j, f->vcr, "status"), &status)) {
		vcr_jw_key(&w, "status");
		vcr_jw_int(&w, status);
	}
	vcr_jw_object_end(&w);
}

static int load(struct vcr_diff_side *s, struct vcr_reader *r, int64_t index, bool complete, struct vcr_error *e)
{
	struct vcr_reader_frame f;
	for (int i = 0; i < VCR_DIFF_PARTS; i++)
		vcr_buf_init(&s->text[i], 0);
	s->index = index;
	int err = vcr_reader_frame(r, index, &f, e);
	if (err)
		return err;
	complete = complete || vcr_reader_is_cut(&f, f.input);
	err = complete ? vcr_reader_full_input(r, index, &s->text[VCR_DIFF_INPUT], e) : 0;
	if (!err)
		err = vcr_reader_full_output(r, index, &s->text[VCR_DIFF_OUTPUT], e);
	if (!err)
		err = vcr_reader_frame(r, index, &f, e);
	if (err)
		return err;
	if (!complete)
		vcr_diff_own_input(&f, &s->text[VCR_DIFF_INPUT]);
	describe(&f, &s->text[VCR_DIFF_FRAME]);
	s->totals = (struct vcr_diff_totals){ -1, -1, f.tokens_in, f.tokens_out, f.tokens_in < 0 && f.tokens_out < 0 ? f.tokens : -1, f.cost_usd,
		f.latency_ms > 0 ? f.latency_ms : -1, -1 };
	for (int i = 0; i < VCR_DIFF_PARTS && !err; i++)
		err = s->text[i].err ? vcr_error_set(e, s->text[i].err, "frame %lld: %s", (long long)index, vcr_strerror(s->text[i].err)) :
			vcr_json_parse(&s->part[i], s->text[i].data, s->text[i].len, VCR_JSON_RELAXED, e);
	return err;
}

/* ---- Comparing ---- */

static int count(struct vcr_diffing *x, struct vcr_diff_pair *p, enum vcr_diff_part part)
{
	const struct vcr_jdiff *d = &p->d[part];
	if (!(p->skip[part] = calloc(d->n + 1, sizeof *p->skip[part])))
		return VCR_ENOMEM;
	for (size_t i = 0; i < d->n; i++) {
		const struct vcr_jdiff_change *c = &d->change[i];
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		if (x->incidental && c->op == VCR_JDIFF_CHANGED && !vcr_diff_path(p, part, i, false, &path))
			p->skip[part][i] = vcr_diff_is_incidental(x->ids, part, path.data, d->ja, c->a, d->jb, c->b);
		if (p->skip[part][i])
			continue;
		p->count[part][c->op]++;
		p->all++;
	}
	return 0;
}

int vcr_diff_pair(struct vcr_diffing *x, struct vcr_diff_pair *p, struct vcr_reader *ra, int64_t ia, struct vcr_reader *rb, int64_t ib, struct vcr_error *e)
{
	int err = load(&p->side[0], ra, ia, !p->omitted, e);
	if (!err)
		err = load(&p->side[1], rb, ib, !p->omitted, e);
	for (int i = 0; i < VCR_DIFF_PARTS && !err; i++) {
		err = vcr_jdiff(&p->d[i], &p->side[0].part[i], 0, &p->side[1].part[i], 0);
		if (!err)
			err = count(x, p, (enum vcr_diff_part)i);
		if (err)
			vcr_error_set(e, err, "frames %lld and %lld: %s", (long long)ia, (long long)ib, vcr_strerror(err));
	}
	return err;
}

void vcr_diff_pair_release(struct vcr_diff_pair *p)
{
	for (int i = 0; i < VCR_DIFF_PARTS; i++) {
		free(p->skip[i]);
		vcr_jdiff_release(&p->d[i]);
		for (int k = 0; k < 2; k++) {
			vcr_json_release(&p->side[k].part[i]);
			if (p->side[k].text[i].data)
				vcr_buf_release(&p->side[k].text[i]);
		}
	}
	*p = (struct vcr_diff_pair){ 0 };
}

/* ---- Telling ---- */

static void value(const struct vcr_json *j, int v, struct vcr_buf *out)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	if (v >= 0)
		vcr_jw_value(&w, j, v);
}

static void tell_json(const struct vcr_diff_pair *p, enum vcr_diff_part part, size_t i)
{
	static const char *const ops[] = { "added", "removed", "changed" };
	const struct vcr_jdiff *d = &p->d[part];
	const struct vcr_jdiff_change *c = &d->change[i];
	VCR_AUTO_BUF path = VCR_BUF_INIT, old_path = VCR_BUF_INIT, old = VCR_BUF_INIT, new = VCR_BUF_INIT;
	vcr_diff_path(p, part, i, false, &path);
	vcr_diff_path(p, part, i, true, &old_path);
	value(d->ja, c->a, &old);
	value(d->jb, c->b, &new);
	vcr_diff_tell_json(ops[c->op], vcr_diff_part_name[part], path.data, c->op == VCR_JDIFF_ADDED ? NULL : old_path.data, &old, &new, p->side[0].index,
		p->side[1].index);
}

static void tell_words(struct vcr_diffing *x, const struct vcr_diff_pair *p, enum vcr_diff_part part, size_t i)
{
	const struct vcr_jdiff *d = &p->d[part];
	const struct vcr_jdiff_change *c = &d->change[i];
	VCR_AUTO_BUF path = VCR_BUF_INIT, old_path = VCR_BUF_INIT;
	vcr_diff_path(p, part, i, false, &path);
	vcr_diff_path(p, part, i, true, &old_path);
	vcr_diff_tell(x, c->op, path.data, c->op == VCR_JDIFF_CHANGED && strcmp(path.data, old_path.data) ? old_path.data : NULL, d->ja, c->a, d->jb, c->b);
}

static int64_t sum(const struct vcr_diff_pair *p, enum vcr_diff_part part)
{
	return p->count[part][0] + p->count[part][1] + p->count[part][2];
}

void vcr_diff_pair_tell(struct vcr_diffing *x, const struct vcr_diff_pair *p)
{
	for (int part = 0; part < VCR_DIFF_PARTS; part++) {
		if (sum(p, (enum vcr_diff_part)part) && !x->t->json)
			printf("%s@@ %s @@%s\n", vcr_on(x->t, VCR_CYAN), vcr_diff_part_name[part], vcr_on(x->t, VCR_PLAIN));
		for (size_t i = 0; i < p->d[part].n; i++)
			if (!p->skip[part][i])
				x->t->json ? tell_json(p, (enum vcr_diff_part)part, i) : tell_words(x, p, (enum vcr_diff_part)part, i);
	}
}

static void head(struct vcr_diffing *x, struct vcr_reader *r, int64_t index, const char *mark, const char *type, const char *node)
{
	const char *id = vcr_reader_header(r)->session_id;
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	vcr_buf_printf(&line, "%s ", mark);
	vcr_buf_puts(&line, id);
	vcr_buf_printf(&line, " frame %lld  %s  %s", (long long)index, type, node);
	vcr_diff_put(x, VCR_BOLD, line.data, line.len);
	putchar('\n');
}

static void heads(struct vcr_diffing *x, const struct vcr_diff_pair *p, struct vcr_reader *ra, struct vcr_reader *rb)
{
	for (int k = 0; k < 2; k++) {
		const struct vcr_json *j = &p->side[k].part[VCR_DIFF_FRAME];
		char *type = vcr_json_strdup(j, vcr_json_get(j, 0, "frame_type")), *node = vcr_json_strdup(j, vcr_json_get(j, 0, "node_name"));
		head(x, k ? rb : ra, p->side[k].index, k ? "+++" : "---", type ? type : "?", node ? node : "?");
		free(type);
		free(node);
	}
}

static void stat_words(const struct vcr_diff_pair *p)
{
	for (int part = 0; part < VCR_DIFF_PARTS; part++)
		if (sum(p, (enum vcr_diff_part)part))
			printf("%-7s %lld added, %lld removed, %lld changed\n", vcr_diff_part_name[part], (long long)p->count[part][VCR_JDIFF_ADDED],
				(long long)p->count[part][VCR_JDIFF_REMOVED], (long long)p->count[part][VCR_JDIFF_CHANGED]);
}

static void stat_json(const struct vcr_diff_pair *p)
{
	static const char *const ops[] = { "added", "removed", "changed" };
	for (int part = 0; part < VCR_DIFF_PARTS; part++) {
		VCR_AUTO_BUF new = VCR_BUF_INIT;
		struct vcr_jw w;
		vcr_jw_init(&w, &new);
		vcr_jw_object(&w);
		for (int op = 0; op < 3; op++) {
			vcr_jw_key(&w, ops[op]);
			vcr_jw_int(&w, p->count[part][op]);
		}
		vcr_jw_object_end(&w);
		vcr_diff_tell_json("stat", vcr_diff_part_name[part], "", NULL, NULL, &new, p->side[0].index, p->side[1].index);
	}
}

int vcr_diff_frames(struct vcr_diffing *x, struct vcr_reader *ra, int64_t ia, struct vcr_reader *rb, int64_t ib)
{
	VCR_AUTO_PAIR p = { 0 };
	struct vcr_error e = { 0 };
	if (vcr_diff_pair(x, &p, ra, ia, rb, ib, &e))
		return vcr_failed(x->t, &e);
	x->different = p.all > 0;
	if (x->t->quiet)
		return x->different ? VCR_EXIT_NO : VCR_EXIT_YES;
	if (x->stat && x->t->json)
		stat_json(&p);
	else if (x->different && !x->t->json)
		heads(x, &p, ra, rb);
	if (x->stat && !x->t->json)
		stat_words(&p);
	if (!x->stat)
		vcr_diff_pair_tell(x, &p);
	if (x->different || x->t->json)
		vcr_diff_tell_totals(x, &p.side[0].totals, &p.side[1].totals, ia, ib);
	return x->different ? VCR_EXIT_NO : VCR_EXIT_YES;
}
