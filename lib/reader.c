#include "reader-parts.h"
#include "limits.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FORMAT = 1, WINDOW = 1 << 20, MAX_WARNINGS = 100 };

void vcr_reader_warn(struct vcr_reader *r, int64_t line, const char *fmt, ...)
{
	char what[300];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	if (++r->session.warnings <= MAX_WARNINGS && r->warn)
		r->warn(r->warn_ctx, r->path, line, what);
}

/* Eight bytes a step: ids are hashed for every line of a file. It may be any hash; another one is another magic of index.c. */
uint64_t vcr_reader_hash(const char *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325ull ^ n, w;
	for (; n >= sizeof w; p += sizeof w, n -= sizeof w) {
		memcpy(&w, p, sizeof w);
		h = (h ^ w) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	w = 0;
	memcpy(&w, p, n);
	h = (h ^ w) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 32;
}

/* ---- Reading one line ---- */

void vcr_loaded_release(struct vcr_loaded *l)
{
	vcr_json_release(&l->j);
	vcr_buf_release(&l->text);
	l->offset = UINT64_MAX;
}

static void loaded_init(struct vcr_loaded *l)
{
	*l = (struct vcr_loaded){ .offset = UINT64_MAX };
	vcr_buf_init(&l->text, VCR_MAX_LINE);
}

static int read_at(struct vcr_reader *r, uint64_t offset, char *p, size_t n)
{
	while (n) {
		ssize_t k = pread(r->fd, p, n, (off_t)offset);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? VCR_EIO : VCR_ETRUNC;
		p += k;
		n -= (size_t)k;
		offset += (uint64_t)k;
	}
	return 0;
}

/* The bytes before and behind a line too, in one call; '\n' stands for the beginning of the file. */
static int read_with_ends(struct vcr_reader *r, const struct vcr_entry *at, char *to, char ends[2])
{
	int first = at->offset ? 0 : 1;
	struct iovec v[] = { { &ends[0], 1 }, { to, at->len }, { &ends[1], 1 } };
	ends[0] = '\n';
	ssize_t n = preadv(r->fd, v + first, 3 - first, (off_t)at->offset - 1 + first);
	if (n == (ssize_t)at->len + 2 - first)
		return 0;
	int err = first ? 0 : read_at(r, at->offset - 1, &ends[0], 1);
	if (!err)
		err = read_at(r, at->offset, to, at->len);
	if (!err && read_at(r, at->offset + at->len, &ends[1], 1))
		ends[1] = 0; /* the file ends there, and so no line does */
	return err;
}

int vcr_reader_line(struct vcr_reader *r, const struct vcr_entry *at, struct vcr_buf *text, struct vcr_error *e)
{
	bool told = vcr_reader_is_told(r, at); /* by the index */
	char ends[2] = { 0 };
	vcr_buf_reset(text);
	char *to = vcr_buf_reserve(text, at->len);
	if (!to)
		return vcr_error_set(e, text->err, "%s:%lld: %s", r->path, (long long)at->line, vcr_strerror(text->err));
	int err = told ? read_with_ends(r, at, to, ends) : read_at(r, at->offset, to, at->len);
	if (err)
		return vcr_error_set(e, err, "%s:%lld: the line cannot be read any more (was the file cut?)", r->path, (long long)at->line);
	vcr_buf_added(text, at->len);
	return told ? vcr_reader_is_line(r, at, text->data, ends, e) : 0;
}

int vcr_reader_load(struct vcr_reader *r, const struct vcr_entry *at, struct vcr_loaded *l, struct vcr_error *e)
{
	struct vcr_error why;
	if (l->offset == at->offset)
		return 0;
	l->offset = UINT64_MAX;
	vcr_json_release(&l->j);
	int err = vcr_reader_line(r, at, &l->text, e);
	if (err)
		return err;
	err = vcr_json_parse(&l->j, l->text.data, l->text.len, VCR_JSON_RELAXED, &why);
	if (err)
		return vcr_error_set(e, err, "%s:%lld: %s", r->path, (long long)at->line, why.what);
	l->data = vcr_json_get(&l->j, 0, "data");
	if (vcr_json_type(&l->j, l->data) != VCR_JSON_OBJECT) {
		vcr_json_release(&l->j);
		return vcr_error_set(e, VCR_ESYNTAX, "%s:%lld: \"data\" is no object", r->path, (long long)at->line);
	}
	l->offset = at->offset;
	return 0;
}

/* ---- The index ---- */

static struct vcr_entry *new_entry(struct vcr_entries *l)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 256;
		struct vcr_entry *v = realloc(l->v, cap * sizeof *v);
		if (!v)
			return NULL;
		l->v = v;
		l->cap = cap;
	}
	return &l->v[l->n++];
}

int vcr_reader_push(struct vcr_entries *l, const struct vcr_entry *at)
{
	struct vcr_entry *to = new_entry(l);
	if (!to)
		return VCR_ENOMEM;
	*to = *at;
	return 0;
}

const char *vcr_reader_intern(struct vcr_reader *r, const struct vcr_span *s, const char *missing)
{
	const char *p = s->p ? s->p : missing;
	size_t n = s->p ? s->n : strlen(missing);
	for (size_t i = 0; i < r->ntypes; i++)
		if (strlen(r->types[i]) == n && !memcmp(r->types[i], p, n))
			return r->types[i];
	/* A file of a thousand types is hostile or not ours: they are told apart no further. */
	if (n > 60 || r->ntypes == sizeof r->types / sizeof *r->types)
		return "?";
	char *copy = strndup(p, n);
	if (!copy)
		return "?";
	return r->types[r->ntypes++] = copy;
}

static int64_t time_of(struct vcr_reader *r, const struct vcr_line *l, int64_t line)
{
	int64_t ns;
	if (!l->timestamp.p)
		return INT64_MAX;
	if (vcr_scan_time(l->timestamp.p, l->timestamp.n, &ns))
		return ns;
	vcr_reader_warn(r, line, "\"%.*s\" is no timestamp; the frame goes last", (int)(l->timestamp.n < 40 ? l->timestamp.n : 40), l->timestamp.p);
	return INT64_MAX;
}

static bool starts(const struct vcr_span *s, const char *with)
{
	return s->p && s->n >= strlen(with) && !memcmp(s->p, with, strlen(with));
}

bool vcr_reader_is_call(const char *type, const struct vcr_line *l)
{
	return type && (!strcmp(type, "llm") || (!strcmp(type, "error") && starts(&l->node_name, "llm:")));
}

static int keep_look(struct vcr_reader *r, const struct vcr_entry *at)
{
	return r->of.size && !r->no_index ? vcr_reader_push(&r->looks, at) : 0;
}

static int take_frame(struct vcr_reader *r, const struct vcr_line *l, struct vcr_entry at)
{
	struct vcr_entry *to = new_entry(&r->frames);
	if (!to)
		return VCR_ENOMEM;
	at.time_ns = time_of(r, l, at.line);
	at.type = vcr_reader_intern(r, &l->frame_type, "node");
	at.id_hash = vcr_reader_hash(l->frame_id.p ? l->frame_id.p : "", l->frame_id.n);
	at.call = vcr_reader_is_call(at.type, l);
	at.look = at.time_ns == INT64_MAX && l->timestamp.p;
	*to = at;
	return at.look ? keep_look(r, &at) : 0;
}

static int take_other(struct vcr_reader *r, const struct vcr_line *l, struct vcr_entry at)
{
	struct vcr_entry *to = new_entry(&r->others);
	if (!to)
		return VCR_ENOMEM;
	at.type = vcr_reader_intern(r, &l->type, "");
	at.id_hash = vcr_reader_hash(l->ref.p ? l->ref.p : "", l->ref.n);
	*to = at;
	return 0;
}

/* p[0..n): one line, NUL- or newline-terminated behind n. 1: it is no JSON. */
static int take_line(struct vcr_reader *r, const char *p, size_t n, uint64_t offset, bool report)
{
	struct vcr_line l;
	if (!r->lines && n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3)) {
		p += 3;
		n -= 3;
		offset += 3;
		r->no_index = true; /* where it begins is not where a line does */
	}
	vcr_scan_line(p, n, &l);
	struct vcr_entry at = { .offset = offset, .len = n, .line = r->lines + 1 };
	if (l.kind != VCR_LINE_BLANK)
		r->last_line = at.line;
	if ((l.kind == VCR_LINE_SESSION || l.kind == VCR_LINE_BAD) && keep_look(r, &at))
		return VCR_ENOMEM;
	switch (l.kind) {
	case VCR_LINE_BLANK: return 0;
	case VCR_LINE_SESSION: return vcr_reader_take_session(r, &at, p);
	case VCR_LINE_FRAME: return take_frame(r, &l, at);
	case VCR_LINE_OTHER: return take_other(r, &l, at);
	default: break;
	}
	if (report)
		vcr_reader_warn(r, at.line, "the line is damaged at byte %zu and is left out", l.error_at);
	return 1;
}

struct window { char *p; size_t have, cap; uint64_t base; bool skipping; };

/* Every whole line of the window; what is left over moves to its front. */
static int take_window(struct vcr_reader *r, struct window *w)
{
	char *at = w->p, *end = w->p + w->have, *nl;
	while ((nl = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		if (!w->skipping) {
			int err = take_line(r, at, (size_t)(nl - at), w->base + (uint64_t)(at - w->p), true);
			if (err < 0)
				return err;
		}
		w->skipping = false;
		r->lines++;
		at = nl + 1;
		r->end = w->base + (uint64_t)(at - w->p);
	}
	w->have = (size_t)(end - at);
	w->base += (uint64_t)(at - w->p);
	memmove(w->p, at, w->have);
	return 0;
}

/* The window is full of one unfinished line. */
static int grow_window(struct vcr_reader *r, struct window *w)
{
	if (w->skipping || w->cap >= VCR_MAX_LINE) {
		r->no_index = true;
		if (!w->skipping)
			vcr_reader_warn(r, r->lines + 1, "the line is longer than %d bytes and is left out", VCR_MAX_LINE);
		w->skipping = true;
		w->base += w->have;
		w->have = 0;
		return 0;
	}
	char *p = realloc(w->p, 2 * w->cap + 1);
	if (!p)
		return VCR_ENOMEM;
	w->p = p;
	w->cap *= 2;
	return 0;
}

/* The file's last line has no newline: complete, or torn, or still being written. */
static int take_tail(struct vcr_reader *r, struct window *w)
{
	if (!w->have || w->skipping)
		return 0;
	w->p[w->have] = 0;
	int err = take_line(r, w->p, w->have, w->base, false);
	if (!err)
		r->end = w->base + w->have;
	else if (err > 0 && !r->torn_reported) {
		vcr_reader_warn(r, r->lines + 1, "the last line is torn after %zu bytes: the recording was cut there, or is being written", w->have);
		r->torn_reported = true;
	}
	return err < 0 ? err : 0;
}

static int scan_file(struct vcr_reader *r)
{
	struct window w = { malloc(WINDOW + 1), 0, WINDOW, r->end, false };
	int err = w.p ? 0 : VCR_ENOMEM;
	for (ssize_t n = 1; !err && n;) {
		n = pread(r->fd, w.p + w.have, w.cap - w.have, (off_t)(w.base + w.have));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = VCR_EIO;
		if (n > 0) {
			w.have += (size_t)n;
			err = take_window(r, &w);
			if (!err && w.have == w.cap)
				err = grow_window(r, &w);
		}
	}
	if (!err)
		err = take_tail(r, &w);
	free(w.p);
	return err;
}

int vcr_reader_look(struct vcr_reader *r, const struct vcr_entry *at, struct vcr_buf *line)
{
	int err = vcr_reader_line(r, at, line, NULL);
	r->lines = at->line - 1;
	err = err ? err : take_line(r, line->data, line->len, at->offset, true);
	return err < 0 ? err : 0;
}

/* What a thread found. A line that it did not decide is looked at here. */
static int take_found(struct vcr_reader *r, const struct vcr_found *f, struct vcr_buf *line)
{
	struct vcr_entry at = { .offset = f->offset, .id_hash = f->id_hash, .len = f->len, .time_ns = f->time_ns, .call = f->call };
	r->lines += f->blank;
	at.line = r->lines + 1;
	if (!f->type) {
		int err = vcr_reader_line(r, &at, line, NULL);
		err = err ? err : take_line(r, line->data, line->len, f->offset, true);
		r->lines++;
		return err < 0 ? err : 0;
	}
	struct vcr_entry *to = new_entry(f->other ? &r->others : &r->frames);
	if (!to)
		return VCR_ENOMEM;
	const struct vcr_span type = { f->type, strlen(f->type) };
	at.type = vcr_reader_intern(r, &type, "node");
	*to = at;
	r->last_line = at.line;
	r->lines++;
	return 0;
}

/* The bulk of a large file; the rest is for scan_file. */
static int scan_bulk(struct vcr_reader *r)
{
	struct vcr_found_part part[VCR_FOUND_PARTS];
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	struct stat st;
	int err = 0, n = fstat(r->fd, &st) ? 0 : vcr_reader_find_lines(r->fd, (uint64_t)st.st_size, part);
	line.max = VCR_MAX_LINE;
	for (int i = 0; i < n; i++) {
		for (size_t k = 0; k < part[i].n && !err; k++)
			err = take_found(r, &part[i].v[k], &line);
		r->lines += part[i].blank;
		r->end = part[i].end > r->end ? part[i].end : r->end;
		free(part[i].v);
	}
	return err;
}

static int by_time(const void *a, const void *b)
{
	const struct vcr_entry *x = a, *y = b;
	return x->time_ns != y->time_ns ? (x->time_ns < y->time_ns ? -1 : 1) : (x->line > y->line) - (x->line < y->line);
}

/* Frame index = rank by timestamp; our own files and most others are in order already. An index has the frames that are looked at again behind the
 * others: of one time it is the line that counts. */
static void sort_frames(struct vcr_reader *r)
{
	for (size_t i = 1; i < r->frames.n; i++)
		if (by_time(&r->frames.v[i - 1], &r->frames.v[i]) > 0) {
			qsort(r->frames.v, r->frames.n, sizeof *r->frames.v, by_time);
			r->full.frame = -1;
			r->by_id.covers = 0;
			return;
		}
}

int64_t vcr_reader_count(const struct vcr_reader *r)
{
	return (int64_t)r->frames.n;
}

/* ---- Opening ---- */

static struct vcr_reader *new_reader(const char *path)
{
	struct vcr_reader *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->fd = -1;
	r->full.frame = -1;
	r->session = (struct vcr_reader_session){ .session_id = "", .forked_from_frame = -1, .metadata_json = "{}" };
	loaded_init(&r->tail);
	loaded_init(&r->current);
	loaded_init(&r->other);
	loaded_init(&r->near[0]);
	loaded_init(&r->near[1]);
	for (int i = 0; i < 2; i++)
		vcr_buf_init(&r->decoded[i].body, 0);
	vcr_buf_init(&r->full.text, VCR_MAX_JSON_BYTES);
	r->path = strdup(path);
	if (r->path)
		return r;
	free(r);
	return NULL;
}

static int open_file(struct vcr_reader *r, struct vcr_error *e)
{
	struct stat st;
	r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (r->fd < 0)
		return errno == ENOENT ? vcr_error_set(e, VCR_ENOTFOUND, "%s: there is no such file", r->path)
			: vcr_error_sys(e, errno, "%s cannot be opened", r->path);
	if (fstat(r->fd, &st) || !S_ISREG(st.st_mode))
		return vcr_error_set(e, VCR_EINVAL, "%s is no regular file, so no session file", r->path);
	return 0;
}

int vcr_reader_open(struct vcr_reader **out, const char *path, vcr_reader_warn_fn *fn, void *ctx, struct vcr_error *e)
{
	struct vcr_reader *r = new_reader(path);
	if (!r)
		return vcr_error_set(e, VCR_ENOMEM, "%s: no memory", path);
	r->warn = fn;
	r->warn_ctx = ctx;
	int err = open_file(r, e);
	if (!err)
		vcr_reader_take_index(r);
	if (!err && ((!r->indexed && (err = scan_bulk(r)) != 0) || (err = scan_file(r)) != 0))
		vcr_error_set(e, err, "%s:%lld: %s", path, (long long)r->lines + 1, vcr_strerror(err));
	if (!err && !r->has_session && !r->frames.n && (r->lines || r->session.warnings))
		err = vcr_error_set(e, VCR_ESYNTAX, "%s:1: no session file: it has neither a session header nor frames", path);
	if (err) {
		vcr_reader_free(r);
		return err;
	}
	if (!r->has_session)
		vcr_reader_warn(r, 1, "no session header");
	sort_frames(r);
	vcr_reader_find_end(r);
	vcr_reader_leave_index(r);
	*out = r;
	return 0;
}

int vcr_reader_refresh(struct vcr_reader *r, struct vcr_error *e)
{
	size_t frames = r->frames.n, others = r->others.n;
	int err = scan_file(r);
	if (err)
		return vcr_error_set(e, err, "%s:%lld: %s", r->path, (long long)r->lines + 1, vcr_strerror(err));
	if (r->frames.n == frames && r->others.n == others)
		return 0;
	sort_frames(r);
	vcr_reader_find_end(r);
	return 1;
}

static void free_strings(struct vcr_reader *r)
{
	for (size_t i = 0; i < sizeof r->str / sizeof *r->str; i++) {
		free(r->str[i]);
		r->str[i] = NULL;
	}
}

void vcr_reader_free(struct vcr_reader *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	vcr_reader_free_tags(r);
	free_strings(r);
	for (size_t i = 0; i < r->ntypes; i++)
		free(r->types[i]);
	struct vcr_loaded *l[] = { &r->tail, &r->current, &r->other, &r->near[0], &r->near[1] };
	for (size_t i = 0; i < sizeof l / sizeof *l; i++)
		vcr_loaded_release(l[i]);
	vcr_full_release(&r->full);
	for (int i = 0; i < 2; i++) {
		vcr_buf_release(&r->decoded[i].body);
		free(r->decoded[i].ref);
	}
	free(r->by_id.slot);
	free(r->by_ref.slot);
	free(r->frames.v);
	free(r->others.v);
	free(r->looks.v);
	free(r->end_json);
	free(r->metadata_json);
	free(r->session_id);
	free(r->parent_id);
	free(r->path);
	free(r);
}

/* ---- One frame ---- */

struct vcr_reader_brief vcr_reader_brief(const struct vcr_reader *r, int64_t index)
{
	const struct vcr_entry *at = &r->frames.v[index];
	return (struct vcr_reader_brief){ at->line, at->time_ns == INT64_MAX ? 0 : at->time_ns, at->type, at->call };
}

static int check_format(struct vcr_reader *r, const struct vcr_entry *at, const struct vcr_json *j, int vcr, struct vcr_error *e)
{
	int64_t format = FORMAT;
	if (vcr_json_int(j, vcr_json_get(j, vcr, "format"), &format) && format > FORMAT)
		return vcr_error_set(e, VCR_EVERSION, "%s:%lld: this frame has format %lld, written by a newer vcr; this one reads up to %d: update it",
			r->path, (long long)at->line, (long long)format, FORMAT);
	return 0;
}

int vcr_reader_check_format(struct vcr_reader *r, const struct vcr_entry *at, const struct vcr_json *j, int data, struct vcr_error *e)
{
	return check_format(r, at, j, vcr_json_path(j, data, "metadata.custom.vcr"), e);
}

static const char *keep(struct vcr_reader *r, int slot, const struct vcr_json *j, int v, const char *missing)
{
	r->str[slot] = vcr_json_strdup(j, v);
	return r->str[slot] ? r->str[slot] : missing;
}

/* A whole number, or a float that is rounded; missing where it is neither. */
static int64_t whole(const struct vcr_json *j, int v)
{
	int64_t i;
	double d;
	if (vcr_json_int(j, v, &i))
		return i;
	return vcr_json_double(j, v, &d) && d >= 0 && d < 9e15 ? (int64_t)llround(d) : -1;
}

static double number(const struct vcr_json *j, int v, double missing)
{
	double d;
	return vcr_json_double(j, v, &d) && isfinite(d) ? d : missing;
}

static void read_metadata(struct vcr_reader *r, const struct vcr_json *j, int m, struct vcr_reader_frame *f)
{
	static const char *const names[] = { "model", "error_type", "error_message", "latency_ms", "cost_usd", "tokens_used", "tokens_input", "tokens_output", "custom" };
	enum { MODEL, ERROR_TYPE, ERROR_MESSAGE, LATENCY, COST, USED, INPUT, OUTPUT, CUSTOM, N };
	int at[N];
	vcr_json_pick(j, m, names, N, at);
	f->model = keep(r, 3, j, at[MODEL], NULL);
	f->error_type = keep(r, 4, j, at[ERROR_TYPE], NULL);
	f->error_message = keep(r, 5, j, at[ERROR_MESSAGE], NULL);
	f->latency_ms = number(j, at[LATENCY], 0);
	f->cost_usd = number(j, at[COST], -1);
	f->tokens = whole(j, at[USED]);
	f->tokens_in = whole(j, at[INPUT]);
	f->tokens_out = whole(j, at[OUTPUT]);
	f->custom = at[CUSTOM];
	f->vcr = vcr_json_get(j, f->custom, "vcr");
}

const struct vcr_entry *vcr_reader_entry(struct vcr_reader *r, int64_t index, struct vcr_error *e)
{
	if (index >= 0 && index < (int64_t)r->frames.n)
		return &r->frames.v[index];
	if (r->frames.n)
		vcr_error_set(e, VCR_ENOTFOUND, "%s has no frame %lld: its frames are 0 to %zu", r->path, (long long)index, r->frames.n - 1);
	else
		vcr_error_set(e, VCR_ENOTFOUND, "%s has no frame %lld: it has no frames", r->path, (long long)index);
	return NULL;
}

int vcr_reader_noted(struct vcr_reader *r, int64_t index, const struct vcr_json **j, int *vcr, struct vcr_error *e)
{
	const struct vcr_entry *at = vcr_reader_entry(r, index, e);
	if (!at)
		return VCR_ENOTFOUND;
	int err = vcr_reader_load(r, at, &r->current, e), v = r->current.data;
	if (err)
		return err;
	static const char *const way[] = { "metadata", "custom", "vcr" };
	for (int i = 0; i < 3; i++)
		v = vcr_json_get(&r->current.j, v, way[i]);
	if ((err = check_format(r, at, &r->current.j, v, e)))
		return err;
	*j = &r->current.j;
	*vcr = v;
	return 0;
}

int vcr_reader_frame(struct vcr_reader *r, int64_t index, struct vcr_reader_frame *f, struct vcr_error *e)
{
	static const char *const names[] = { "frame_type", "frame_id", "parent_frame_id", "node_name", "input_state", "output_state", "metadata" };
	enum { TYPE, ID, PARENT, NODE, INPUT, OUTPUT, METADATA, N };
	int m[N];
	const struct vcr_entry *at = vcr_reader_entry(r, index, e);
	if (!at)
		return VCR_ENOTFOUND;
	int err = vcr_reader_load(r, at, &r->current, e);
	if (!err)
		vcr_json_pick(&r->current.j, r->current.data, names, N, m);
	if (!err)
		err = check_format(r, at, &r->current.j, vcr_json_get(&r->current.j, vcr_json_get(&r->current.j, m[METADATA], "custom"), "vcr"), e);
	if (err)
		return err;
	const struct vcr_json *j = &r->current.j;
	free_strings(r);
	*f = (struct vcr_reader_frame){ .index = index, .line = at->line, .j = j, .time_ns = at->time_ns == INT64_MAX ? 0 : at->time_ns };
	f->type = strcmp(at->type, "?") ? at->type : keep(r, 6, j, m[TYPE], "node");
	f->frame_id = keep(r, 0, j, m[ID], "");
	f->parent_frame_id = keep(r, 1, j, m[PARENT], NULL);
	f->node_name = keep(r, 2, j, m[NODE], "");
	f->input = m[INPUT];
	f->output = m[OUTPUT];
	read_metadata(r, j, m[METADATA], f);
	return 0;
}

/* ---- Finding by id and by reference ---- */

static void index_add(struct vcr_hash_index *x, uint64_t hash, size_t entry)
{
	size_t i = hash & (x->cap - 1);
	while (x->slot[i].entry)
		i = (i + 1) & (x->cap - 1);
	x->slot[i] = (struct vcr_hash_slot){ hash, entry + 1 };
}

/* Bring an index up to all entries of l (of one type, or any for NULL). */
static int index_fill(struct vcr_hash_index *x, const struct vcr_entries *l, const char *type)
{
	if (x->covers == l->n)
		return 0;
	if (2 * l->n >= x->cap || !x->covers) {
		size_t cap = 256;
		while (cap < 4 * l->n)
			cap *= 2;
		struct vcr_hash_slot *slot = calloc(cap, sizeof *slot);
		if (!slot)
			return VCR_ENOMEM;
		free(x->slot);
		*x = (struct vcr_hash_index){ slot, cap, 0 };
	}
	for (; x->covers < l->n; x->covers++)
		if (!type || !strcmp(l->v[x->covers].type, type))
			index_add(x, l->v[x->covers].id_hash, x->covers);
	return 0;
}

/* Does the line of an entry really have that string at data.<key>? Equal hashes can be made on purpose. */
static bool has_string(struct vcr_reader *r, const struct vcr_entry *at, const char *key, const char *value)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	struct vcr_line l;
	line.max = VCR_MAX_LINE;
	if (vcr_reader_line(r, at, &line, NULL))
		return false;
	vcr_scan_line(line.data, line.len, &l);
	const struct vcr_span *s = !strcmp(key, "ref") ? &l.ref : &l.frame_id;
	return s->p && s->n == strlen(value) && !memcmp(s->p, value, s->n);
}

/* The first entry with that string; -1. */
static int64_t index_find(struct vcr_reader *r, const struct vcr_hash_index *x, const struct vcr_entries *l, const char *key, const char *value)
{
	uint64_t hash = vcr_reader_hash(value, strlen(value));
	int64_t best = -1;
	if (!x->cap)
		return -1;
	for (size_t i = hash & (x->cap - 1); x->slot[i].entry; i = (i + 1) & (x->cap - 1)) {
		int64_t entry = (int64_t)x->slot[i].entry - 1;
		if (x->slot[i].hash == hash && (best < 0 || entry < best) && has_string(r, &l->v[entry], key, value))
			best = entry;
	}
	return best;
}

int64_t vcr_reader_by_id(struct vcr_reader *r, const char *frame_id)
{
	return index_fill(&r->by_id, &r->frames, NULL) ? -1 : index_find(r, &r->by_id, &r->frames, "frame_id", frame_id);
}

int64_t vcr_reader_by_ref(struct vcr_reader *r, const char *ref)
{
	return index_fill(&r->by_ref, &r->others, "vcr.body") ? -1 : index_find(r, &r->by_ref, &r->others, "ref", ref);
}

/* ---- Lines of one type ---- */

int vcr_reader_each(struct vcr_reader *r, const char *type, vcr_reader_line_fn *fn, void *ctx, struct vcr_error *e)
{
	for (size_t i = 0; i < r->others.n; i++) {
		const struct vcr_entry *at = &r->others.v[i];
		struct vcr_error why;
		if (strcmp(at->type, type))
			continue;
		struct vcr_loaded l;
		loaded_init(&l);
		int err = vcr_reader_load(r, at, &l, &why);
		if (err && err != VCR_ENOMEM) {
			vcr_reader_warn(r, at->line, "%s", why.what);
			err = 0;
		} else if (!err) {
			err = fn(ctx, &l.j, l.data, at->line);
		}
		vcr_loaded_release(&l);
		if (err)
			return err == VCR_ENOMEM ? vcr_error_set(e, err, "%s: no memory", r->path) : err;
	}
	return 0;
}
