/* Rebuilding complete input states: the other half of conv.c. The notation is in conv.h. */
#include "conv.h"
#include "limits.h"
#include "reader-parts.h"
#include "state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct steps { int64_t *frame; size_t n, cap; }; /* from the frame asked for back to where its conversation begins */

void vcr_full_release(struct vcr_full *f)
{
	vcr_buf_release(&f->text);
	free(f->member);
	free(f->message);
	*f = (struct vcr_full){ .frame = -1 };
	vcr_buf_init(&f->text, VCR_MAX_JSON_BYTES);
}

int vcr_reader_broken(struct vcr_reader *r, int64_t index, struct vcr_error *e, const char *what)
{
	return vcr_error_set(e, VCR_ECORRUPT, "%s:%lld: frame %lld: its complete state cannot be rebuilt: %s", r->path,
		(long long)r->frames.v[index].line, (long long)index, what);
}

/* Wrapped dicts are put back before anything else looks at the states. */
static int unwrap_line(struct vcr_loaded *l)
{
	struct vcr_json j = VCR_JSON_INIT;
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &text);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "data");
	vcr_state_unwrap(&w, &l->j, l->data, true);
	vcr_jw_object_end(&w);
	int err = text.err ? text.err : vcr_json_parse(&j, text.data, text.len, VCR_JSON_RELAXED, NULL);
	if (err)
		return err;
	vcr_json_release(&l->j);
	vcr_buf_release(&l->text);
	l->text = text;
	text = (struct vcr_buf)VCR_BUF_INIT;
	l->j = j;
	l->data = vcr_json_get(&j, 0, "data");
	return 0;
}

/* The frame's line in one of two slots, so that a frame and the one before it are at hand together. */
int vcr_reader_near(struct vcr_reader *r, int64_t index, struct vcr_loaded **out, struct vcr_error *e)
{
	struct vcr_reader_frame unused;
	if (index < 0 || index >= vcr_reader_count(r))
		return vcr_reader_frame(r, index, &unused, e);
	const struct vcr_entry *at = &r->frames.v[index];
	struct vcr_loaded *l = &r->near[0];
	if (r->near[1].offset == at->offset)
		l = &r->near[1];
	else if (r->near[0].offset != at->offset && r->near_last == 0)
		l = &r->near[1];
	r->near_last = l - r->near;
	*out = l;
	if (l->offset == at->offset)
		return 0;
	int err = vcr_reader_load(r, at, l, e);
	if (!err)
		err = vcr_reader_check_format(r, at, &l->j, l->data, e);
	if (!err && memmem(l->text.data, l->text.len, "\"vcr.dict\"", 10) && vcr_json_path(&l->j, l->data, "metadata.custom.vcr") >= 0 &&
		unwrap_line(l))
		err = vcr_reader_broken(r, index, e, "a wrapped state is damaged");
	if (err)
		l->offset = UINT64_MAX;
	return err;
}

static int notes_of(const struct vcr_loaded *l)
{
	int notes = vcr_json_get(&l->j, vcr_json_get(&l->j, l->data, "input_state"), "_vcr");
	return vcr_json_path(&l->j, l->data, "metadata.custom.vcr.format") >= 0 && vcr_json_type(&l->j, notes) == VCR_JSON_OBJECT ? notes : -1;
}

/* The key of the omitted list, "" if none is. */
static void list_key_of(const struct vcr_loaded *l, int notes, char key[32])
{
	int omitted = vcr_json_get(&l->j, notes, "omitted");
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	key[0] = 0;
	for (int m = vcr_json_first(&l->j, omitted); m >= 0 && vcr_json_type(&l->j, omitted) == VCR_JSON_OBJECT; m = vcr_json_next(&l->j, m))
		if (vcr_json_type(&l->j, vcr_json_value(&l->j, m)) == VCR_JSON_NUMBER && !vcr_json_str(&l->j, m, &s) && s.len < 32)
			strcpy(key, s.data);
}

static int push_step(struct steps *s, int64_t frame)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		int64_t *v = realloc(s->frame, cap * sizeof *v);
		if (!v)
			return VCR_ENOMEM;
		s->frame = v;
		s->cap = cap;
	}
	s->frame[s->n++] = frame;
	return 0;
}

/* An earlier frame stands on an earlier line, so the walk ends. */
static int frame_before(struct vcr_reader *r, int64_t index, const struct vcr_loaded *l, int notes, int64_t *before, struct vcr_error *e)
{
	char *after = vcr_json_strdup(&l->j, vcr_json_get(&l->j, notes, "after"));
	*before = -1;
	if (!after)
		return 0;
	*before = vcr_reader_by_id(r, after);
	free(after);
	if (*before < 0)
		return vcr_reader_broken(r, index, e, "the frame it continues is not in this file");
	if (r->frames.v[*before].line >= r->frames.v[index].line)
		return vcr_reader_broken(r, index, e, "it claims to continue a later frame");
	return 0;
}

/* Which frames have to be gone through, latest first; stops at the one whose state is at hand. */
static int find_steps(struct vcr_reader *r, int64_t index, struct steps *s, char key[32], struct vcr_error *e)
{
	struct vcr_loaded *l;
	key[0] = 0;
	for (int64_t i = index; i >= 0;) {
		int64_t before;
		char own[32];
		int err = vcr_reader_near(r, i, &l, e);
		int notes = err ? -1 : notes_of(l);
		if (!err && notes >= 0 && !key[0]) {
			list_key_of(l, notes, own);
			strcpy(key, own);
		}
		if (!err && i == r->full.frame && !strcmp(key, r->full.list_key))
			return 0;
		if (!err && push_step(s, i))
			err = vcr_error_set(e, VCR_ENOMEM, "%s: no memory", r->path);
		if (!err)
			err = frame_before(r, i, l, notes, &before, e);
		if (err)
			return err;
		i = before;
	}
	r->full.frame = -1;
	return 0;
}

/* ---- Going forwards, frame by frame ---- */

static struct vcr_piece_of *push_piece(struct vcr_piece_of **v, size_t *n, size_t *cap)
{
	if (*n == *cap) {
		size_t more = *cap ? 2 * *cap : 32;
		struct vcr_piece_of *grown = realloc(*v, more * sizeof *grown);
		if (!grown)
			return NULL;
		*v = grown;
		*cap = more;
	}
	return &(*v)[(*n)++];
}

static size_t keep_text(struct vcr_full *f, const struct vcr_json *j, int v, size_t *n)
{
	const char *p = vcr_json_raw(j, v, n);
	size_t at = f->text.len;
	vcr_buf_add(&f->text, p, *n);
	return at;
}

static int add_message(struct vcr_full *f, const struct vcr_json *j, int v)
{
	struct vcr_piece_of *to = push_piece(&f->message, &f->nmessage, &f->cap_message);
	if (!to)
		return VCR_ENOMEM;
	*to = (struct vcr_piece_of){ 0 };
	to->at = keep_text(f, j, v, &to->n);
	return f->text.err;
}

static int add_messages(struct vcr_full *f, const struct vcr_json *j, int list)
{
	int err = 0;
	for (int m = vcr_json_first(j, list); m >= 0 && !err; m = vcr_json_next(j, m))
		err = add_message(f, j, m);
	return err;
}

/* A member as it is given (an object), or the one of that name of the answer's message. */
static bool add_member(struct vcr_jw *w, const struct vcr_json *j, int m, const struct vcr_json *aj, int message)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT;
	size_t n;
	bool given = vcr_json_type(j, m) == VCR_JSON_OBJECT;
	int key = given ? vcr_json_first(j, m) : m, v = -1;
	if (vcr_json_str(j, key, &name))
		return false;
	if (given)
		v = vcr_json_value(j, key);
	else
		v = vcr_json_get(aj, message, name.data);
	if (v < 0)
		return false;
	vcr_jw_strn(w, name.data, name.len);
	vcr_buf_putc(w->out, ':');
	w->after_key = true;
	const char *raw = vcr_json_raw(given ? j : aj, v, &n);
	vcr_jw_raw(w, raw, n);
	return true;
}

/* A message made of the answer before: some members of its k-th message. */
static int add_answer_message(struct vcr_full *f, const struct vcr_json *j, int what, const struct vcr_json *aj, int response)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_jw w;
	int64_t k = -1;
	int m = vcr_json_first(j, what);
	int message = vcr_json_int(j, m, &k) && k >= 0 && k < INT32_MAX ? vcr_conv_answer_message(aj, response, (int)k) : -1;
	vcr_jw_init(&w, &text);
	vcr_jw_object(&w);
	for (m = vcr_json_next(j, m); m >= 0 && message >= 0; m = vcr_json_next(j, m))
		if (!add_member(&w, j, m, aj, message))
			return VCR_ECORRUPT;
	vcr_jw_object_end(&w);
	struct vcr_piece_of *to = message < 0 ? NULL : push_piece(&f->message, &f->nmessage, &f->cap_message);
	if (!to)
		return message < 0 ? VCR_ECORRUPT : VCR_ENOMEM;
	*to = (struct vcr_piece_of){ .at = f->text.len, .n = text.len };
	return text.err ? text.err : vcr_buf_add(&f->text, text.data, text.len);
}

static int replace_messages(struct vcr_full *f, const struct vcr_json *j, int replaced)
{
	for (int m = vcr_json_first(j, replaced); m >= 0; m = vcr_json_next(j, m)) {
		char *key = vcr_json_strdup(j, m), *end = NULL;
		unsigned long i = key ? strtoul(key, &end, 10) : 0;
		bool good = key && *key && !*end && i < f->nmessage;
		free(key);
		if (!good)
			return VCR_ECORRUPT;
		f->message[i].at = keep_text(f, j, vcr_json_value(j, m), &f->message[i].n);
	}
	return f->text.err;
}

/* What the earlier frames show of the list: cut the state before to it, add what its answer said, put the changed ones in. */
static int take_omitted_list(struct vcr_reader *r, const struct vcr_loaded *l, int notes, int64_t before, struct vcr_error *e)
{
	struct vcr_full *f = &r->full;
	int64_t total = 0;
	int answer = vcr_json_get(&l->j, notes, "answer"), made = vcr_json_count(&l->j, answer);
	vcr_json_int(&l->j, vcr_json_get(&l->j, vcr_json_get(&l->j, notes, "omitted"), f->list_key), &total);
	if (total < made || total - made > (int64_t)f->nmessage)
		return VCR_ECORRUPT;
	f->nmessage = (size_t)(total - made);
	f->omitted = (size_t)total;
	int err = replace_messages(f, &l->j, vcr_json_get(&l->j, notes, "replaced"));
	if (err || !made || before < 0)
		return err ? err : made ? VCR_ECORRUPT : 0;
	struct vcr_loaded *b;
	err = vcr_reader_near(r, before, &b, e);
	int response = err ? -1 : vcr_json_path(&b->j, b->data, "output_state.response");
	for (int m = vcr_json_first(&l->j, answer); m >= 0 && !err; m = vcr_json_next(&l->j, m))
		err = add_answer_message(f, &l->j, m, &b->j, response);
	return err;
}

/* The members of one object of the state: own ones first, then those that are as they were. */
static int take_own(struct vcr_full *f, const struct vcr_json *j, int object, bool outer)
{
	for (int m = vcr_json_first(j, object); m >= 0; m = vcr_json_next(j, m)) {
		if (!outer && vcr_json_is(j, m, "_vcr") )
			continue;
		if (outer && (vcr_json_is(j, m, f->inside) || vcr_json_is(j, m, "_vcr")))
			continue;
		struct vcr_piece_of *to = push_piece(&f->member, &f->nmember, &f->cap_member);
		if (!to)
			return VCR_ENOMEM;
		*to = (struct vcr_piece_of){ .outer = outer };
		to->key = keep_text(f, j, m, &to->nkey);
		int v = vcr_json_value(j, m);
		if (!outer && f->list_key[0] && vcr_json_is(j, m, f->list_key) && vcr_json_type(j, v) == VCR_JSON_ARRAY) {
			to->at = SIZE_MAX; /* the list stands here */
			int err = add_messages(f, j, v);
			if (err)
				return err;
		} else {
			to->at = keep_text(f, j, v, &to->n);
		}
	}
	return f->text.err;
}

static bool is_omitted(const struct vcr_json *j, int omitted, const char *quoted_key, size_t n)
{
	for (int m = vcr_json_first(j, omitted); m >= 0; m = vcr_json_next(j, m)) {
		size_t k;
		const char *p = vcr_json_raw(j, m, &k);
		if (k == n && !memcmp(p, quoted_key, n))
			return vcr_json_true(j, vcr_json_value(j, m));
	}
	return false;
}

static int take_members(struct vcr_full *f, const struct vcr_loaded *l, int notes)
{
	struct vcr_piece_of *old = f->member;
	size_t nold = f->nmember;
	int input = vcr_json_get(&l->j, l->data, "input_state"), inner = input, omitted = vcr_json_get(&l->j, notes, "omitted");
	f->member = NULL;
	f->nmember = f->cap_member = 0;
	int err = 0;
	if (f->inside[0]) {
		inner = vcr_json_get(&l->j, input, f->inside);
		err = take_own(f, &l->j, input, true);
	}
	if (!err)
		err = take_own(f, &l->j, inner, false);
	for (size_t i = 0; i < nold && !err && omitted >= 0; i++) {
		if (old[i].outer || old[i].at == SIZE_MAX || !is_omitted(&l->j, omitted, f->text.data + old[i].key, old[i].nkey))
			continue;
		struct vcr_piece_of *to = push_piece(&f->member, &f->nmember, &f->cap_member);
		if (to)
			*to = old[i];
		else
			err = VCR_ENOMEM;
	}
	free(old);
	return err;
}

static int take_step(struct vcr_reader *r, int64_t index, int64_t before, struct vcr_error *e)
{
	struct vcr_full *f = &r->full;
	struct vcr_loaded *l;
	struct vcr_error why = { 0 };
	int err = vcr_reader_near(r, index, &l, e);
	if (err)
		return err;
	int notes = notes_of(l);
	f->omitted = 0;
	if (f->list_key[0] && notes >= 0 && before >= 0)
		err = take_omitted_list(r, l, notes, before, &why);
	else
		f->nmessage = 0;
	/* The answer before may have taken this frame's slot. */
	if (!err)
		err = vcr_reader_near(r, index, &l, &why);
	if (!err)
		err = take_members(f, l, notes);
	f->marks = keep_text(f, &l->j, vcr_json_get(&l->j, notes, "marks"), &f->nmarks);
	if (!err)
		err = f->text.err;
	f->frame = err ? -1 : index;
	return err == VCR_ECORRUPT ? vcr_reader_broken(r, index, e, why.code ? why.what : "what it leaves out does not fit the frame before it")
		: err ? vcr_error_set(e, err, "%s:%lld: %s", r->path, (long long)r->frames.v[index].line, vcr_strerror(err)) : 0;
}

/* ---- Writing the state ---- */

/* The cache_control of the object at [i, block, inner] among the marks, or -1. */
static int mark_at(const struct vcr_json *marks, const int *at, int depth)
{
	for (int m = vcr_json_first(marks, 0); m >= 0; m = vcr_json_next(marks, m)) {
		int place = vcr_json_get(marks, m, "at"), k = 0;
		bool same = vcr_json_count(marks, place) == depth;
		for (int x = vcr_json_first(marks, place); x >= 0 && same; x = vcr_json_next(marks, x), k++) {
			int64_t n;
			same = vcr_json_int(marks, x, &n) && n == at[k];
		}
		if (same)
			return vcr_json_get(marks, m, "value");
	}
	return -1;
}

/* A message, a block or an inner block without its cache_control, or with the one that the marks give it. */
static void write_marked(struct vcr_jw *w, const struct vcr_json *j, int v, const struct vcr_json *marks, int *at, int depth)
{
	if (vcr_json_type(j, v) != VCR_JSON_OBJECT) {
		vcr_jw_value(w, j, v);
		return;
	}
	int mark = mark_at(marks, at, depth);
	vcr_jw_object(w);
	for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m)) {
		int value = vcr_json_value(j, m);
		size_t n;
		const char *key = vcr_json_raw(j, m, &n);
		if (vcr_json_is(j, m, "cache_control"))
			continue;
		vcr_jw_raw(w, key, n);
		vcr_buf_putc(w->out, ':');
		w->after_key = true;
		if (depth == 3 || vcr_json_type(j, value) != VCR_JSON_ARRAY || !vcr_json_is(j, m, "content")) {
			vcr_jw_value(w, j, value);
			continue;
		}
		vcr_jw_array(w);
		at[depth] = 0;
		for (int b = vcr_json_first(j, value); b >= 0; b = vcr_json_next(j, b), at[depth]++)
			write_marked(w, j, b, marks, at, depth + 1);
		vcr_jw_array_end(w);
	}
	if (mark >= 0) {
		vcr_jw_key(w, "cache_control");
		vcr_jw_value(w, marks, mark);
	}
	vcr_jw_object_end(w);
}

static int write_messages(struct vcr_jw *w, const struct vcr_full *f)
{
	VCR_AUTO_JSON marks = VCR_JSON_INIT;
	if (f->nmarks && vcr_json_parse(&marks, f->text.data + f->marks, f->nmarks, VCR_JSON_RELAXED, NULL))
		return VCR_ECORRUPT;
	vcr_jw_array(w);
	for (size_t i = 0; i < f->nmessage; i++) {
		const char *p = f->text.data + f->message[i].at;
		size_t n = f->message[i].n;
		int at[4] = { (int)i };
		VCR_AUTO_JSON j = VCR_JSON_INIT;
		if (i >= f->omitted || (!f->nmarks && !memmem(p, n, "\"cache_control\"", 15)))
			vcr_jw_raw(w, p, n);
		else if (vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, NULL))
			return VCR_ECORRUPT;
		else
			write_marked(w, &j, 0, &marks, at, 1);
	}
	vcr_jw_array_end(w);
	return w->out->err;
}

static int write_members(struct vcr_jw *w, const struct vcr_full *f, bool outer)
{
	int err = 0;
	for (size_t i = 0; i < f->nmember && !err; i++) {
		const struct vcr_piece_of *m = &f->member[i];
		if (m->outer != outer)
			continue;
		vcr_jw_raw(w, f->text.data + m->key, m->nkey);
		vcr_buf_putc(w->out, ':');
		w->after_key = true;
		if (m->at == SIZE_MAX)
			err = write_messages(w, f);
		else
			vcr_jw_raw(w, f->text.data + m->at, m->n);
	}
	return err;
}

static int write_state(const struct vcr_full *f, const struct vcr_loaded *l, int notes, struct vcr_buf *out)
{
	struct vcr_jw w;
	int is = vcr_json_get(&l->j, notes, "is");
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	int err = 0;
	if (f->inside[0]) {
		err = write_members(&w, f, true);
		vcr_jw_key(&w, f->inside);
		vcr_jw_object(&w);
	}
	if (!err)
		err = write_members(&w, f, false);
	if (f->inside[0])
		vcr_jw_object_end(&w);
	if (is >= 0) {
		vcr_jw_key(&w, "_vcr");
		vcr_jw_value(&w, &l->j, is);
	}
	vcr_jw_object_end(&w);
	return err ? err : out->err;
}

static void begin(struct vcr_full *f, const char *key, const char *inside)
{
	vcr_buf_reset(&f->text);
	f->nmember = f->nmessage = f->omitted = f->nmarks = 0;
	f->frame = -1;
	strcpy(f->list_key, key);
	snprintf(f->inside, sizeof f->inside, "%s", inside);
}

static void inside_of(const struct vcr_loaded *l, int notes, char inside[32])
{
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	vcr_json_str(&l->j, vcr_json_get(&l->j, notes, "in"), &s);
	snprintf(inside, 32, "%s", s.len < 32 ? s.data : "");
}

static int go_through(struct vcr_reader *r, const struct steps *s, struct vcr_error *e)
{
	int err = 0;
	int64_t before = r->full.frame;
	for (size_t i = s->n; i-- > 0 && !err;) {
		err = take_step(r, s->frame[i], before, e);
		before = s->frame[i];
	}
	return err;
}

int vcr_reader_full_request(struct vcr_reader *r, int64_t index, struct vcr_buf *out, struct vcr_error *e)
{
	struct vcr_loaded *l;
	int err = vcr_reader_near(r, index, &l, e);
	if (err)
		return err;
	int notes = notes_of(l);
	if (notes < 0 || (vcr_json_get(&l->j, notes, "after") < 0 && vcr_json_get(&l->j, notes, "is") < 0)) {
		struct vcr_jw w;
		vcr_jw_init(&w, out);
		int input = vcr_json_get(&l->j, l->data, "input_state");
		if (vcr_json_type(&l->j, input) == VCR_JSON_OBJECT)
			vcr_jw_value(&w, &l->j, input);
		else
			vcr_buf_puts(out, "{}");
		return out->err ? vcr_error_set(e, out->err, "%s: %s", r->path, vcr_strerror(out->err)) : 0;
	}
	struct steps s = { 0 };
	char key[32], inside[32];
	inside_of(l, notes, inside);
	err = find_steps(r, index, &s, key, e);
	/* What edits left behind in the text is collected by beginning anew. */
	if (!err && (r->full.frame < 0 || strcmp(inside, r->full.inside) || r->full.text.len > VCR_MAX_JSON_BYTES / 2)) {
		if (r->full.frame >= 0) {
			r->full.frame = -1;
			s.n = 0;
			err = find_steps(r, index, &s, key, e);
		}
		begin(&r->full, key, inside);
	}
	if (!err)
		err = go_through(r, &s, e);
	free(s.frame);
	if (!err)
		err = vcr_reader_near(r, index, &l, e);
	if (!err && (err = write_state(&r->full, l, notes_of(l), out)) != 0)
		err = err == VCR_ECORRUPT ? vcr_reader_broken(r, index, e, "its marks are damaged")
			: vcr_error_set(e, err, "%s:%lld: %s", r->path, (long long)r->frames.v[index].line, vcr_strerror(err));
	return err;
}
