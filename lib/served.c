#include "served.h"
#include "canon.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LINES = 1 << 20 };

struct asked { struct vcr_buf exact, normal; char *id, at[VCR_SERVED_AT]; bool given, cancelled; };
struct line { size_t at, n; char *id; bool answers, progress, said; };

struct vcr_served {
	struct asked *asked;
	size_t n, cap;
	struct vcr_buf text;
	struct line *line;
	size_t nline, line_cap;
	struct vcr_buf error;
	size_t error_said, nmark;
	struct vcr_standin_mark *mark;
	const struct asked **by_time; /* those of which that is known, once it has begun */
	size_t ntimes;
	const char *answered;        /* when the last request was asked that has an answer */
	bool heard, by_itself;
};

/* ---- What is asked ---- */

/* {"method":…, and what it was asked with}, canonical. */
static int put_members(const struct vcr_json *j, int object, struct vcr_buf *out)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	VCR_AUTO_JSON again = VCR_JSON_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &text);
	vcr_jw_object(&w);
	for (int m = vcr_json_type(j, object) == VCR_JSON_OBJECT ? vcr_json_first(j, object) : -1; m >= 0; m = vcr_json_next(j, m)) {
		VCR_AUTO_BUF key = VCR_BUF_INIT;
		if (vcr_json_is(j, m, "_meta") || vcr_json_str(j, m, &key))
			continue;
		vcr_jw_key(&w, key.data);
		vcr_jw_value(&w, j, vcr_json_value(j, m));
	}
	vcr_jw_object_end(&w);
	int err = vcr_json_parse(&again, text.data, text.len, VCR_JSON_RELAXED, NULL);
	return err ? err : vcr_canon_json(&again, 0, out);
}

static int put_call(const char *tool, const struct vcr_json *j, int arguments, struct vcr_buf *out)
{
	vcr_buf_printf(out, "tools/call %s ", tool);
	return put_members(j, arguments, out);
}

/* The key of a request, which has a method. */
static int put_key(const struct vcr_json *j, int message, struct vcr_buf *out)
{
	VCR_AUTO_BUF method = VCR_BUF_INIT, name = VCR_BUF_INIT;
	int params = vcr_json_get(j, message, "params");
	vcr_json_str(j, vcr_json_get(j, message, "method"), &method);
	if (!strcmp(method.data, "tools/call")) {
		vcr_json_str(j, vcr_json_get(j, params, "name"), &name);
		return put_call(name.data, j, vcr_json_get(j, params, "arguments"), out);
	}
	vcr_buf_printf(out, "%s ", method.data);
	return put_members(j, params, out);
}

static char *raw_of(const struct vcr_json *j, int v)
{
	size_t n = 0;
	const char *p = v >= 0 ? vcr_json_raw(j, v, &n) : NULL;
	return p ? strndup(p, n) : NULL;
}

static int add_asked(struct vcr_served **out, const char *at, struct asked **a)
{
	struct vcr_served *s = *out ? *out : calloc(1, sizeof *s);
	if (!s)
		return VCR_ENOMEM;
	if (!*out) {
		vcr_buf_init(&s->text, 0);
		vcr_buf_init(&s->error, 0);
	}
	*out = s;
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 16;
		struct asked *more = realloc(s->asked, cap * sizeof *more);
		if (!more)
			return VCR_ENOMEM;
		s->asked = more;
		s->cap = cap;
	}
	*a = &s->asked[s->n++];
	**a = (struct asked){ .exact = VCR_BUF_INIT, .normal = VCR_BUF_INIT };
	snprintf((*a)->at, sizeof (*a)->at, "%s", at);
	return 0;
}

static int finish_asked(struct asked *a, const struct vcr_normal_context *in, char *id, int err)
{
	a->id = id;
	if (!err)
		err = id ? vcr_normal_text(in, a->exact.data, a->exact.len, &a->normal) : VCR_ENOMEM;
	return err;
}

int vcr_served_call(struct vcr_served **s, const struct vcr_normal_context *in, const char *at, const char *tool, const char *arguments, size_t n, const char *id)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct asked *a;
	int err = vcr_json_parse(&j, arguments, n, VCR_JSON_RELAXED, NULL);
	if (err || (err = add_asked(s, at, &a)))
		return err;
	return finish_asked(a, in, strdup(id), put_call(tool, &j, 0, &a->exact));
}

int vcr_served_line(struct vcr_served **s, const struct vcr_normal_context *in, const char *at, const struct vcr_json *j, int request)
{
	struct asked *a;
	int err = add_asked(s, at, &a);
	return err ? err : finish_asked(a, in, raw_of(j, vcr_json_get(j, request, "id")), put_key(j, request, &a->exact));
}

static bool is_id(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

void vcr_served_cancelled(struct vcr_served *s, const char *id)
{
	for (size_t i = 0; i < s->n; i++)
		s->asked[i].cancelled |= is_id(s->asked[i].id, id);
}

static int by_time(const void *a, const void *b)
{
	return strcmp((*(const struct asked *const *)a)->at, (*(const struct asked *const *)b)->at);
}

/* Of equal ones the latest is the last. */
static int by_id(const void *a, const void *b)
{
	int c = strcmp((*(const struct asked *const *)a)->id, (*(const struct asked *const *)b)->id);
	return c ? c : by_time(a, b);
}

/* The first that is not less; list is in that order. */
static size_t lower(const struct asked *const *list, size_t n, const struct asked *wanted, int (*compare)(const void *, const void *))
{
	size_t lo = 0;
	for (size_t hi = n; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;
		if (compare(&list[mid], &wanted) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const char *vcr_served_since(const struct vcr_served *s, const char *at)
{
	struct asked wanted;
	snprintf(wanted.at, sizeof wanted.at, "%s", at);
	size_t n = s->by_time ? lower(s->by_time, s->ntimes, &wanted, by_time) : 0;
	if (n < s->ntimes && !strcmp(s->by_time[n]->at, at))
		return s->by_time[n]->at;
	return n ? s->by_time[n - 1]->at : "";
}

/* When each was asked, and which was the last that has an answer. */
static int order_asked(struct vcr_served *s)
{
	const struct asked **list = calloc(s->n + 1, sizeof *list);
	if (!list)
		return VCR_ENOMEM;
	for (size_t i = 0; i < s->n; i++)
		list[i] = &s->asked[i];
	qsort(list, s->n, sizeof *list, by_id);
	for (size_t i = 0; i < s->nline; i++) {
		struct asked wanted = { .id = s->line[i].id, .at = "~" }; /* later than any */
		size_t n = s->line[i].answers && wanted.id ? lower(list, s->n, &wanted, by_id) : 0;
		if (n && !strcmp(list[n - 1]->id, wanted.id) && strcmp(list[n - 1]->at, s->answered) > 0)
			s->answered = list[n - 1]->at;
	}
	qsort(list, s->n, sizeof *list, by_time);
	s->by_time = list;
	s->ntimes = s->n;
	return 0;
}

/* ---- What it printed ---- */

static int add_line(struct vcr_served *s, size_t at, size_t n)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (vcr_json_parse(&j, s->text.data + at, n, VCR_JSON_RELAXED, NULL) || vcr_json_type(&j, 0) != VCR_JSON_OBJECT)
		return 0; /* a banner, or a batch */
	if (s->nline == MOST_LINES)
		return VCR_ELIMIT;
	if (s->nline == s->line_cap) {
		size_t cap = s->line_cap ? 2 * s->line_cap : 16;
		struct line *more = realloc(s->line, cap * sizeof *more);
		if (!more)
			return VCR_ENOMEM;
		s->line = more;
		s->line_cap = cap;
	}
	int method = vcr_json_get(&j, 0, "method");
	s->line[s->nline++] = (struct line){ .at = at, .n = n, .id = raw_of(&j, vcr_json_get(&j, 0, "id")), .answers = method < 0, .progress = vcr_json_is(&j, method, "notifications/progress") };
	return 0;
}

/* Error output that was there before so much of the other was. */
static void say_error(struct vcr_served *s, size_t at, struct vcr_buf *error)
{
	size_t upto = s->error_said;
	for (size_t i = 0; i < s->nmark && s->mark[i].at <= at; i++)
		if (s->mark[i].typed > upto)
			upto = s->mark[i].typed;
	upto = !s->nmark || upto > s->error.len ? s->error.len : upto;
	vcr_buf_add(error, s->error.data + s->error_said, upto - s->error_said);
	s->error_said = upto;
}

int vcr_served_begin(struct vcr_served *s, const struct vcr_buf *printed, const struct vcr_buf *error, const struct vcr_standin_mark *mark, size_t marks, bool by_itself, struct vcr_buf *say)
{
	int err = vcr_buf_add(&s->text, printed->data, printed->len);
	if (!err)
		err = vcr_buf_add(&s->error, error->data, error->len);
	if (!err && marks && !(s->mark = malloc(marks * sizeof *mark)))
		err = VCR_ENOMEM;
	if (!err && marks)
		memcpy(s->mark, mark, marks * sizeof *mark);
	s->nmark = err ? 0 : marks;
	s->by_itself = by_itself;
	say_error(s, 0, say);
	for (size_t at = 0, n; !err && at < s->text.len; at += n + 1) {
		const char *end = memchr(s->text.data + at, '\n', s->text.len - at);
		n = end ? (size_t)(end - s->text.data) - at : s->text.len - at;
		err = add_line(s, at, n);
	}
	s->answered = "";
	return err ? err : order_asked(s);
}

/* ---- Saying ---- */

/* The line, with that member of `object` in it replaced. */
static void say_with(const struct vcr_json *j, int value, const char *with, struct vcr_buf *out)
{
	size_t n, whole;
	const char *text = vcr_json_raw(j, 0, &whole), *old = vcr_json_raw(j, value, &n);
	vcr_buf_add(out, text, (size_t)(old - text));
	vcr_buf_puts(out, with);
	vcr_buf_add(out, old + n, whole - (size_t)(old + n - text));
	vcr_buf_putc(out, '\n');
}

/* with: an answer's id; of progress its token; NULL: as it is. */
static void say(struct vcr_served *s, struct line *l, const char *with, struct vcr_served_words *w)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_buf *out = w->out;
	l->said = true;
	say_error(s, l->at, w->error);
	if (vcr_json_parse(&j, s->text.data + l->at, l->n, VCR_JSON_RELAXED, NULL))
		return;
	int v = l->answers ? vcr_json_get(&j, 0, "id") : vcr_json_path(&j, 0, "params.progressToken");
	if (with && v >= 0 && (l->answers || l->progress)) {
		say_with(&j, v, with, out);
	} else {
		vcr_buf_add(out, s->text.data + l->at, l->n);
		vcr_buf_putc(out, '\n');
	}
}

/* What stands before that line and answers nothing. */
static void say_before(struct vcr_served *s, size_t upto, const char *token, struct vcr_served_words *w)
{
	for (size_t i = 0; i < upto; i++)
		if (!s->line[i].said && !s->line[i].answers)
			say(s, &s->line[i], token, w);
}

/* Until the next answer, or progress with one. */
static void say_at_once(struct vcr_served *s, struct vcr_served_words *w)
{
	for (size_t i = 0; i < s->nline; i++) {
		if (s->line[i].said)
			continue;
		if (s->line[i].answers || s->line[i].progress)
			return;
		say(s, &s->line[i], NULL, w);
	}
}

static struct asked *find(struct vcr_served *s, const struct vcr_normal_context *live, bool exact, const struct vcr_buf *key)
{
	VCR_AUTO_BUF normal = VCR_BUF_INIT;
	vcr_normal_text(live, key->data, key->len, &normal);
	for (int pass = 0; pass < (exact ? 1 : 2); pass++)
		for (size_t i = 0; i < s->n; i++) {
			const struct vcr_buf *its = pass ? &s->asked[i].normal : &s->asked[i].exact, *ours = pass ? &normal : key;
			if (!s->asked[i].given && its->len == ours->len && !memcmp(its->data, ours->data, its->len))
				return &s->asked[i];
		}
	return NULL;
}

static void say_unknown(const char *id, const char *what, struct vcr_buf *out)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_buf_printf(&text, "vcr replay: %s: it was not recorded", what);
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "jsonrpc");
	vcr_jw_str(&w, "2.0");
	vcr_jw_key(&w, "id");
	vcr_jw_raw(&w, id, strlen(id));
	vcr_jw_key(&w, "error");
	vcr_jw_object(&w);
	vcr_jw_key(&w, "code");
	vcr_jw_int(&w, -32603);
	vcr_jw_key(&w, "message");
	vcr_jw_str(&w, text.data);
	vcr_jw_object_end(&w);
	vcr_jw_object_end(&w);
	vcr_buf_putc(out, '\n');
}

/* Did the server end on that request, which has no answer? */
static bool was_the_end(const struct vcr_served *s, const struct asked *a)
{
	return !a->cancelled && s->by_itself && strcmp(s->answered, a->at) <= 0;
}

/* Says the answer to it. */
static enum vcr_served_result answer(struct vcr_served *s, struct asked *a, const char *id, const char *token, struct vcr_served_words *w)
{
	a->given = true;
	for (size_t i = 0; i < s->nline; i++)
		if (s->line[i].answers && !s->line[i].said && is_id(s->line[i].id, a->id)) {
			say_before(s, i, token, w);
			say(s, &s->line[i], id, w);
			return VCR_SERVED;
		}
	if (!was_the_end(s, a))
		return VCR_SERVED;
	vcr_served_end(s, w);
	return VCR_SERVED_ENDS;
}

enum vcr_served_result vcr_served_hear(struct vcr_served *s, const struct vcr_normal_context *live, bool exact, const char *line, size_t n, struct vcr_served_words *w)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF key = VCR_BUF_INIT;
	s->heard = true;
	w->at = NULL;
	if (vcr_json_parse(&j, line, n, VCR_JSON_RELAXED, NULL) || vcr_json_type(&j, vcr_json_get(&j, 0, "method")) != VCR_JSON_STRING)
		return VCR_SERVED; /* an answer to its own question, or nothing that a server understands */
	int id = vcr_json_get(&j, 0, "id");
	if (id < 0) {
		say_at_once(s, w);
		return VCR_SERVED;
	}
	enum vcr_served_result result = VCR_SERVED_UNKNOWN;
	char *with = raw_of(&j, id), *token = raw_of(&j, vcr_json_path(&j, 0, "params._meta.progressToken"));
	struct asked *a = with && !put_key(&j, 0, &key) ? find(s, live, exact, &key) : NULL;
	if (a) {
		w->at = a->at;
		result = answer(s, a, with, token, w);
	} else {
		vcr_buf_add(w->named, key.data, key.len);
		say_unknown(with ? with : "null", key.data, w->out);
	}
	free(with);
	free(token);
	return result;
}

void vcr_served_end(struct vcr_served *s, struct vcr_served_words *w)
{
	if (!s->heard)
		vcr_buf_add(w->out, s->text.data, s->text.len);
	else
		say_before(s, s->nline, NULL, w);
	say_error(s, SIZE_MAX, w->error);
}

void vcr_served_free(struct vcr_served *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		vcr_buf_release(&s->asked[i].exact);
		vcr_buf_release(&s->asked[i].normal);
		free(s->asked[i].id);
	}
	for (size_t i = 0; i < s->nline; i++)
		free(s->line[i].id);
	vcr_buf_release(&s->text);
	vcr_buf_release(&s->error);
	free(s->mark);
	free(s->by_time);
	free(s->asked);
	free(s->line);
	free(s);
}
