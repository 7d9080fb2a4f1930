#include "scrub-parts.h"
#include "grpc.h"
#include "limits.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int any_text(struct vcr_scrub *s, const char *p, size_t n, struct vcr_buf *out);

struct vcr_scrub *vcr_scrub_new(struct vcr_rules *rules, size_t first)
{
	struct vcr_scrub *s = calloc(1, sizeof *s);
	if (s && (s->redact = vcr_redact_new()) != NULL) {
		s->rules = rules;
		vcr_redact_number_from(s->redact, first);
		return s;
	}
	free(s);
	vcr_rules_free(rules);
	return NULL;
}

void vcr_scrub_free(struct vcr_scrub *s)
{
	if (!s)
		return;
	vcr_rules_free(s->rules);
	vcr_redact_free(s->redact);
	free(s);
}

const struct vcr_rules *vcr_scrub_rules(const struct vcr_scrub *s)
{
	return s->rules;
}

size_t vcr_scrub_known(const struct vcr_scrub *s)
{
	return vcr_redact_known(s->redact);
}

void vcr_scrub_aim(struct vcr_scrub *s, const char *host)
{
	s->fields = vcr_rules_take_host(s->rules, host);
	vcr_redact_set_rule(s->redact, s->fields ? vcr_rules_next : NULL, s->rules);
}

/* ---- Values ---- */

static int plain(struct vcr_scrub *s, const char *p, size_t n, struct vcr_buf *out)
{
	return vcr_redact(s->redact, p, n, out, &s->replaced);
}

static bool is_placeholder(const char *p, size_t n)
{
	return n > 8 && n <= VCR_MAX_PLACEHOLDER && !memcmp(p, "{{vcr:", 6) && memmem(p, n, "}}", 2) == p + n - 2;
}

static void put_string(struct vcr_buf *out, const char *p, size_t n)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_strn(&w, p, n);
}

static int put_stand_in(struct vcr_scrub *s, const char *p, size_t n, struct vcr_buf *out)
{
	const char *name = s->nname ? s->name[s->nname - 1] : NULL, *label = vcr_redact_stand_in(s->redact, name, p, n);
	if (!label)
		return VCR_ENOMEM;
	s->replaced++;
	put_string(out, label, strlen(label));
	return out->err;
}

/* field: the string as a whole is to go. key: it is a name, which is no text of its own. */
static int put_text(struct vcr_scrub *s, const struct vcr_json *j, int v, bool field, bool key, struct vcr_buf *out)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, clean = VCR_BUF_INIT;
	size_t n;
	const char *raw = vcr_json_raw(j, v, &n);
	int err = vcr_json_str(j, v, &text);
	if (!err && field && text.len && !is_placeholder(text.data, text.len))
		return put_stand_in(s, text.data, text.len, out);
	if (!err)
		err = field ? vcr_buf_add(&clean, text.data, text.len) : key ? plain(s, text.data, text.len, &clean) : any_text(s, text.data, text.len, &clean);
	if (err)
		return err;
	if (clean.len == text.len && !memcmp(clean.data, text.data, text.len))
		return vcr_buf_add(out, raw, n);
	put_string(out, clean.data, clean.len);
	return out->err;
}

/* A number, as a whole or not at all. */
static int put_number(struct vcr_scrub *s, const char *raw, size_t n, bool field, struct vcr_buf *out)
{
	VCR_AUTO_BUF clean = VCR_BUF_INIT;
	unsigned before = s->replaced;
	if (field)
		return put_stand_in(s, raw, n, out);
	int err = plain(s, raw, n, &clean);
	if (err)
		return err;
	if (clean.len > 8 && is_placeholder(clean.data, clean.len)) {
		put_string(out, clean.data, clean.len);
		return out->err;
	}
	s->replaced = before;
	return vcr_buf_add(out, raw, n);
}

/* Members of _vcr that are ours: which frame, where in it. */
static bool is_ours(const struct vcr_scrub *s, const char *key)
{
	static const char *const words[] = { "after", "in", "frame", "at", "member", "omitted" };
	if (!s->state || s->inner || !s->nname || strcmp(s->name[0], "_vcr"))
		return false;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (!strcmp(key, words[i]))
			return true;
	return false;
}

/* Numbers there count what an earlier frame shows; is: what the request itself has there. */
static bool is_note(const struct vcr_scrub *s)
{
	return s->state && !s->inner && s->nname && !strcmp(s->name[0], "_vcr") && !(s->nname > 1 && !strcmp(s->name[1], "is"));
}

static int walk(struct vcr_scrub *s, const struct vcr_json *j, int v, bool field, struct vcr_buf *out);

/* A member: its key, what stands between key and value, its value. *done: up to where the text is written. */
static int member(struct vcr_scrub *s, const struct vcr_json *j, int m, bool field, const char **done, struct vcr_buf *out)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT;
	int v = vcr_json_value(j, m);
	size_t nk, nv;
	const char *key = vcr_json_raw(j, m, &nk), *value = vcr_json_raw(j, v, &nv);
	int err = vcr_json_str(j, m, &name);
	if (err || s->nname == SCRUB_DEPTH)
		return err < 0 ? err : VCR_ELIMIT;
	vcr_buf_add(out, *done, (size_t)(key - *done));
	bool ours = is_ours(s, name.data);
	if ((err = put_text(s, j, m, false, true, out)) != 0)
		return err;
	vcr_buf_add(out, key + nk, (size_t)(value - key - (ptrdiff_t)nk));
	s->name[s->nname++] = name.data;
	err = ours ? vcr_buf_add(out, value, nv) : walk(s, j, v, field || (s->fields && vcr_rules_is_field(s->rules, s->name, s->nname)), out);
	s->nname--;
	*done = value + nv;
	return err;
}

static int walk(struct vcr_scrub *s, const struct vcr_json *j, int v, bool field, struct vcr_buf *out)
{
	enum vcr_json_type type = vcr_json_type(j, v);
	size_t n;
	const char *raw = vcr_json_raw(j, v, &n), *done = raw;
	int err = 0;
	if (type == VCR_JSON_STRING)
		return put_text(s, j, v, field, false, out);
	if (type == VCR_JSON_NUMBER && !is_note(s))
		return put_number(s, raw, n, field, out);
	if (type != VCR_JSON_OBJECT && type != VCR_JSON_ARRAY)
		return vcr_buf_add(out, raw, n);
	for (int m = vcr_json_first(j, v); m >= 0 && !err; m = vcr_json_next(j, m)) {
		if (type == VCR_JSON_OBJECT) {
			err = member(s, j, m, field, &done, out);
			continue;
		}
		size_t k;
		const char *item = vcr_json_raw(j, m, &k);
		vcr_buf_add(out, done, (size_t)(item - done));
		err = walk(s, j, m, field, out);
		done = item + k;
	}
	return err ? err : vcr_buf_add(out, done, (size_t)(raw + n - done));
}

int vcr_scrub_value(struct vcr_scrub *s, const struct vcr_json *j, int v, struct vcr_buf *out)
{
	s->nname = 0;
	return walk(s, j, v, false, out);
}

/* ---- Texts ---- */

/* A line of a stream: what stands before its JSON, the JSON, or just text. */
static int put_line(struct vcr_scrub *s, const char *p, size_t n, struct vcr_buf *out)
{
	size_t head = n > 5 && !memcmp(p, "data:", 5) ? 5 : 0;
	while (head < n && p[head] == ' ')
		head++;
	vcr_buf_add(out, p, head);
	return any_text(s, p + head, n - head, out);
}

static int put_stream(struct vcr_scrub *s, const char *p, size_t n, struct vcr_buf *out)
{
	VCR_AUTO_BUF joined = VCR_BUF_INIT;
	int err = vcr_redact_stream(s->redact, p, n, &joined, &s->replaced);
	for (size_t i = 0; i < joined.len && !err;) {
		const char *at = joined.data + i, *nl = memchr(at, '\n', joined.len - i);
		size_t len = nl ? (size_t)(nl - at) : joined.len - i, end = len;
		while (end && at[end - 1] == '\r')
			end--;
		err = put_line(s, at, end, out);
		vcr_buf_add(out, at + end, len - end + (nl != NULL));
		i += len + (nl != NULL);
	}
	return err ? err : out->err;
}

static bool is_stream(const char *p, size_t n)
{
	static const char *const begins[] = { "data:", "event:", "id:", "retry:", ":" };
	for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
		if (n > strlen(begins[i]) && !memcmp(p, begins[i], strlen(begins[i])) && memchr(p, '\n', n) && memmem(p, n, "data:", 5))
			return true;
	return n > 2 && *p == '{' && memchr(p, '\n', n - 1); /* JSON, a text a line; that the whole is none has been seen */
}

static int as_json(struct vcr_scrub *s, const char *p, size_t n, struct vcr_buf *out)
{
	const char *outer[SCRUB_DEPTH];
	size_t nouter = s->nname;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int err = vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, NULL);
	if (err)
		return err == VCR_ENOMEM ? err : 1;
	size_t k;
	const char *raw = vcr_json_raw(&j, 0, &k);
	memcpy(outer, s->name, nouter * sizeof *outer);
	s->nname = 0;
	vcr_buf_add(out, p, (size_t)(raw - p));
	err = walk(s, &j, 0, false, out);
	vcr_buf_add(out, raw + k, n - (size_t)(raw - p) - k);
	memcpy(s->name, outer, nouter * sizeof *outer);
	s->nname = nouter;
	return err ? err : out->err;
}

static int any_text(struct vcr_scrub *s, const char *p, size_t n, struct vcr_buf *out)
{
	size_t blank = 0;
	int err = 1;
	while (blank < n && isspace((unsigned char)p[blank]))
		blank++;
	if (!s->inner && vcr_grpc_looks(p, n))
		return vcr_redact_fitted(s->redact, p, n, out, &s->replaced);
	if (s->inner == SCRUB_INNER || blank == n)
		return plain(s, p, n, out);
	s->inner++;
	if (p[blank] == '{' || p[blank] == '[')
		err = as_json(s, p, n, out);
	if (err == 1 && is_stream(p, n))
		err = put_stream(s, p, n, out);
	s->inner--;
	return err == 1 ? plain(s, p, n, out) : err;
}

int vcr_scrub_any(struct vcr_scrub *s, const char *p, size_t n, struct vcr_buf *out)
{
	s->inner = 0;
	s->nname = 0;
	return any_text(s, p, n, out);
}

int vcr_scrub_text(struct vcr_scrub *s, const char *host, const char *p, size_t n, struct vcr_buf *out)
{
	vcr_scrub_aim(s, host);
	return vcr_scrub_any(s, p, n, out);
}

/* ---- The scrubs of a session ---- */

struct loading { struct vcr_scrub **list; size_t n, first; struct vcr_error *e; };

static int on_line(void *ctx, const struct vcr_json *j, int data, int64_t line)
{
	struct loading *l = ctx;
	struct vcr_error why = { 0 };
	struct vcr_rules *rules = vcr_rules_new();
	if (!rules)
		return vcr_error_set(l->e, VCR_ENOMEM, "no memory");
	int err = l->n == VCR_MAX_SCRUBS ? vcr_error_set(&why, VCR_ELIMIT, "scrubbed more than %d times", VCR_MAX_SCRUBS) : vcr_rules_read(rules, j, data, &why);
	if (err) {
		vcr_rules_free(rules);
		return vcr_error_set(l->e, err, "line %lld: the rules by which it was scrubbed: %s", (long long)line, why.what);
	}
	if (!(l->list[l->n] = vcr_scrub_new(rules, l->first * (l->n + 1))))
		return vcr_error_set(l->e, VCR_ENOMEM, "no memory");
	l->n++;
	return 0;
}

int vcr_scrub_load(struct vcr_reader *r, size_t first, struct vcr_scrub ***list, struct vcr_error *e)
{
	struct loading l = { calloc(VCR_MAX_SCRUBS + 1, sizeof *l.list), 0, first, e };
	if (!l.list)
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	int err = vcr_reader_each(r, "vcr.scrub", on_line, &l, e);
	for (size_t i = 0; i < l.n / 2; i++) { /* the last one stands first */
		struct vcr_scrub *swap = l.list[i];
		l.list[i] = l.list[l.n - 1 - i];
		l.list[l.n - 1 - i] = swap;
	}
	if (err || !l.n) {
		vcr_scrub_free_list(l.list);
		l.list = NULL;
	}
	if (!err)
		*list = l.list;
	return err;
}

void vcr_scrub_free_list(struct vcr_scrub **list)
{
	for (size_t i = 0; list && list[i]; i++)
		vcr_scrub_free(list[i]);
	free(list);
}

int vcr_scrub_text_all(struct vcr_scrub *const *list, const char *host, const char *p, size_t n, struct vcr_buf *out)
{
	VCR_AUTO_BUF one = VCR_BUF_INIT, other = VCR_BUF_INIT;
	int err = vcr_buf_add(&one, p, n);
	for (size_t i = 0; list && list[i] && !err; i++) {
		vcr_buf_reset(&other);
		err = vcr_scrub_text(list[i], host, one.data, one.len, &other);
		struct vcr_buf swap = one;
		one = other;
		other = swap;
	}
	return err ? err : vcr_buf_add(out, one.data, one.len);
}

size_t vcr_scrub_known_all(struct vcr_scrub *const *list)
{
	size_t n = 0;
	for (size_t i = 0; list && list[i]; i++)
		n += vcr_scrub_known(list[i]);
	return n;
}

/* ---- What a replay and its recording call the same value ---- */

struct span { const char *p; size_t n; };

static bool next_placeholder(const char *p, size_t n, size_t *at, struct span *s)
{
	static const char mark[] = "{{vcr:secret:";
	for (const char *m; *at < n && (m = memmem(p + *at, n - *at, mark, sizeof mark - 1));) {
		size_t left = n - (size_t)(m - p), look = left < VCR_MAX_PLACEHOLDER ? left : VCR_MAX_PLACEHOLDER;
		const char *end = memmem(m, look, "}}", 2);
		*at = (size_t)(m - p) + 1;
		if (!end)
			continue;
		*s = (struct span){ m, (size_t)(end - m) + 2 };
		*at = (size_t)(end - p) + 2;
		return true;
	}
	return false;
}

static bool same_name(const struct span *a, const struct span *b)
{
	const char *x = memrchr(a->p, ':', a->n), *y = memrchr(b->p, ':', b->n);
	size_t n = a->n - (size_t)(x - a->p);
	return n == b->n - (size_t)(y - b->p) && !memcmp(x, y, n);
}

/* Not the same number of them, or of other kinds: they do not stand for each other. */
static bool is_alike(const char *live, size_t nlive, const char *recorded, size_t nrecorded, bool exact)
{
	size_t a = 0, b = 0;
	struct span x, y;
	for (;;) {
		bool more = next_placeholder(live, nlive, &a, &x), others = next_placeholder(recorded, nrecorded, &b, &y);
		if (!more || !others)
			return more == others;
		if (!exact && !same_name(&x, &y))
			return false;
	}
}

void vcr_scrub_bind(struct vcr_scrub *const *list, struct vcr_redact *redact, const char *live, size_t nlive, const char *recorded, size_t nrecorded, bool exact)
{
	size_t a = 0, b = 0;
	struct span x, y;
	if (!is_alike(live, nlive, recorded, nrecorded, exact))
		return;
	while (next_placeholder(live, nlive, &a, &x) && next_placeholder(recorded, nrecorded, &b, &y)) {
		if (x.n == y.n && !memcmp(x.p, y.p, x.n))
			continue;
		if (redact)
			vcr_redact_rename(redact, x.p, x.n, y.p, y.n);
		for (size_t i = 0; list && list[i]; i++)
			vcr_redact_rename(list[i]->redact, x.p, x.n, y.p, y.n);
	}
}

enum { PAIRS = 1024 };

bool vcr_scrub_translate(const char *live, size_t nlive, const char *recorded, size_t nrecorded, struct vcr_buf *out)
{
	struct { struct span live, recorded; } *pair = calloc(PAIRS, sizeof *pair);
	size_t a = 0, b = 0, done = 0, n = 0;
	struct span x, y;
	bool good = pair != NULL, any = false;
	while (good && next_placeholder(live, nlive, &a, &x)) {
		size_t i = 0;
		if (!next_placeholder(recorded, nrecorded, &b, &y)) {
			good = false;
			break;
		}
		while (i < n && (pair[i].live.n != x.n || memcmp(pair[i].live.p, x.p, x.n)))
			i++;
		if (i < n)
			good = pair[i].recorded.n == y.n && !memcmp(pair[i].recorded.p, y.p, y.n);
		else if (n < PAIRS)
			pair[n].live = x, pair[n++].recorded = y;
		any = any || x.n != y.n || memcmp(x.p, y.p, x.n);
		vcr_buf_add(out, live + done, (size_t)(x.p - live) - done);
		vcr_buf_add(out, y.p, y.n);
		done = (size_t)(x.p - live) + x.n;
	}
	good = good && any && !next_placeholder(recorded, nrecorded, &b, &y);
	free(pair);
	return good && !vcr_buf_add(out, live + done, nlive - done);
}
