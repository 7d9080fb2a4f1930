/* A model that repeats a secret says it in pieces: {"delta":{"text":"sk-abc"}} then {"delta":{"text":"def…"}}. The strings at the same
 * JSON path of successive events (index fields told apart) are one text; a secret that crosses pieces is found in that text, and cut
 * out of each piece in place. Nothing else of the stream changes. Lines of NDJSON are taken the same way. */
#include "redact-parts.h"
#include "json.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_STREAMS = 4096, BUCKETS = 1024 };

struct piece {
	size_t raw, raw_len;     /* in the body: the string without its quotes */
	size_t at, len;          /* in the stream's text */
};
struct stream {
	char *path;
	struct vcr_buf text;     /* begins with "key":" so that shapes know their field */
	struct vcr_buf pieces;   /* struct piece */
	int next;
};
struct edit {
	size_t at, len;
	const char *text;        /* NULL: cut */
};
struct events {
	const char *body;
	struct stream stream[MAX_STREAMS];
	int count, head[BUCKETS];
	struct vcr_buf path, edits;
	/* while the matches of one stream come in */
	struct stream *now;
	size_t piece;
	unsigned *replaced;
};

static uint32_t hash(const char *s)
{
	uint32_t h = 5381;
	while (*s)
		h = h * 33 + (unsigned char)*s++;
	return (h ^ h >> 16) % BUCKETS;
}

static struct stream *stream_of(struct events *e)
{
	int *head = &e->head[hash(e->path.data)];
	for (int i = *head - 1; i >= 0; i = e->stream[i].next)
		if (!strcmp(e->stream[i].path, e->path.data))
			return &e->stream[i];
	if (e->count == MAX_STREAMS || e->path.err)
		return NULL;
	const char *key = strrchr(e->path.data, '.');
	struct stream *s = &e->stream[e->count];
	*s = (struct stream){ strdup(e->path.data), VCR_BUF_INIT, VCR_BUF_INIT, *head - 1 };
	if (!s->path)
		return NULL;
	vcr_buf_printf(&s->text, "\"%s\":\"", key ? key + 1 : "");
	*head = ++e->count;
	return s;
}

static void add_piece(struct events *e, const struct vcr_json *j, int v)
{
	struct stream *s = stream_of(e);
	size_t n;
	const char *raw = vcr_json_raw(j, v, &n);
	if (!s || n <= 2)
		return;
	struct piece p = { (size_t)(raw + 1 - e->body), n - 2, s->text.len, 0 };
	vcr_json_str(j, v, &s->text);
	p.len = s->text.len - p.at;
	vcr_buf_add(&s->pieces, &p, sizeof p);
}

/* "index":3 and "item_id":"x" beside or above a string tell parallel texts apart. */
static void add_index(struct events *e, const struct vcr_json *j, int key)
{
	size_t n, k;
	const char *name = vcr_json_raw(j, key, &n), *value;
	bool index = n >= 7 && !memcmp(name + n - 6, "index\"", 6);
	if (!index && !vcr_json_is(j, key, "item_id"))
		return;
	value = vcr_json_raw(j, vcr_json_value(j, key), &k);
	if (k < 80) {
		vcr_buf_putc(&e->path, '#');
		vcr_buf_add(&e->path, value, k);
	}
}

static void walk(struct events *e, const struct vcr_json *j, int v)
{
	enum vcr_json_type type = vcr_json_type(j, v);
	size_t before = e->path.len, n;
	if (type == VCR_JSON_STRING)
		add_piece(e, j, v);
	if (type == VCR_JSON_OBJECT)
		for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m))
			add_index(e, j, m);
	size_t mine = e->path.len;
	if (type == VCR_JSON_OBJECT || type == VCR_JSON_ARRAY)
		for (int m = vcr_json_first(j, v), i = 0; m >= 0; m = vcr_json_next(j, m), i++) {
			const char *name = vcr_json_raw(j, m, &n);
			if (type == VCR_JSON_ARRAY)
				vcr_buf_printf(&e->path, "[%d]", i);
			else
				vcr_buf_printf(&e->path, ".%.*s", n > 100 ? 100 : (int)n - 2, name + 1);
			walk(e, j, type == VCR_JSON_ARRAY ? m : vcr_json_value(j, m));
			vcr_buf_cut(&e->path, mine);
		}
	vcr_buf_cut(&e->path, before);
}

static void read_line(struct events *e, const char *p, size_t n)
{
	if (n > 5 && !memcmp(p, "data:", 5))
		p += 5, n -= 5;
	while (n && *p == ' ')
		p++, n--;
	if (!n || *p != '{')
		return;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (!vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, NULL))
		walk(e, &j, 0);
}

static unsigned hex4(const char *p)
{
	unsigned v = 0;
	for (int i = 0; i < 4; i++)
		v = v << 4 | (unsigned)((p[i] & 15) + (p[i] > '9' ? 9 : 0));
	return v;
}

/* How many bytes of a JSON string's raw text stand for its first `want` decoded bytes. */
static size_t raw_span(const char *p, size_t n, size_t want)
{
	size_t i = 0;
	while (i < n && want) {
		size_t step = 1, made = 1;
		if (p[i] == '\\' && i + 1 < n && p[i + 1] != 'u')
			step = 2;
		else if (p[i] == '\\' && i + 6 <= n) {
			unsigned u = hex4(p + i + 2);
			bool pair = u >= 0xd800 && u < 0xdc00 && i + 12 <= n && p[i + 6] == '\\' && p[i + 7] == 'u' && (hex4(p + i + 8) & 0xfc00) == 0xdc00;
			step = pair ? 12 : 6;
			made = pair ? 4 : u < 0x80 ? 1 : u < 0x800 ? 2 : 3;
		}
		i += step;
		want -= made < want ? made : want;
	}
	return i;
}

/* A match that lies in one piece is left to the pass over the whole text. */
static int cut_match(void *ctx, const struct vcr_match *m, const char *replacement)
{
	struct events *e = ctx;
	const struct piece *p = (const struct piece *)(const void *)e->now->pieces.data;
	size_t count = e->now->pieces.len / sizeof *p, end = m->at + m->len;
	while (e->piece < count && p[e->piece].at + p[e->piece].len <= m->at)
		e->piece++;
	size_t i = e->piece;
	if (i == count || p[i].at > m->at || p[i].at + p[i].len >= end)
		return 0;
	for (; i < count && p[i].at < end; i++) {
		const char *raw = e->body + p[i].raw;
		size_t from = m->at > p[i].at ? raw_span(raw, p[i].raw_len, m->at - p[i].at) : 0;
		size_t to = raw_span(raw, p[i].raw_len, end - p[i].at);
		struct edit edit = { p[i].raw + from, to - from, i == e->piece ? replacement : NULL };
		vcr_buf_add(&e->edits, &edit, sizeof edit);
	}
	if (e->replaced)
		++*e->replaced;
	return e->edits.err;
}

static int by_place(const void *a, const void *b)
{
	const struct edit *x = a, *y = b;
	return x->at < y->at ? -1 : x->at > y->at;
}

static int apply(struct events *e, size_t n, struct vcr_buf *out)
{
	struct edit *edit = (struct edit *)(void *)e->edits.data;
	size_t count = e->edits.len / sizeof *edit, done = 0;
	if (count)
		qsort(edit, count, sizeof *edit, by_place);
	for (size_t i = 0; i < count; i++) {
		if (edit[i].at < done)
			continue;
		vcr_buf_add(out, e->body + done, edit[i].at - done);
		if (edit[i].text)
			vcr_buf_puts(out, edit[i].text);
		done = edit[i].at + edit[i].len;
	}
	return vcr_buf_add(out, e->body + done, n - done);
}

static void release(struct events *e)
{
	for (int i = 0; i < e->count; i++) {
		free(e->stream[i].path);
		explicit_bzero(e->stream[i].text.data, e->stream[i].text.len);
		vcr_buf_release(&e->stream[i].text);
		vcr_buf_release(&e->stream[i].pieces);
	}
	vcr_buf_release(&e->path);
	vcr_buf_release(&e->edits);
	free(e);
}

int vcr_redact_events(struct vcr_redact *r, const char *p, size_t n, struct vcr_buf *out, unsigned *count)
{
	struct events *e = calloc(1, sizeof *e);
	if (!e)
		return VCR_ENOMEM;
	e->body = p;
	e->replaced = count;
	vcr_buf_init(&e->path, 0);
	vcr_buf_init(&e->edits, 0);
	for (size_t i = 0; i < n;) {
		const char *nl = memchr(p + i, '\n', n - i);
		size_t end = nl ? (size_t)(nl - p) : n;
		read_line(e, p + i, end - i - (end > i && p[end - 1] == '\r'));
		i = end + 1;
	}
	int rc = 0;
	for (int i = 0; i < e->count && !rc; i++) {
		struct stream *s = e->now = &e->stream[i];
		e->piece = 0;
		rc = s->text.err || s->pieces.err ? VCR_ENOMEM : 0;
		if (rc || s->pieces.len <= sizeof(struct piece))
			continue;
		vcr_redact_in_stream(r, ((const struct piece *)(const void *)s->pieces.data)->at);
		rc = vcr_redact_matches(r, s->text.data, s->text.len, cut_match, e);
	}
	vcr_redact_in_stream(r, 0);
	if (!rc)
		rc = apply(e, n, out);
	release(e);
	return rc;
}
