/* reader-index.c — a reader that has an index (index.h) of its file, and one that leaves one behind. */
#include "index.h"
#include "limits.h"
#include "reader-parts.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- Taking it up ---- */

static struct vcr_entry entry_of(const struct vcr_index_line *l, const char *type)
{
	return (struct vcr_entry){ .offset = l->offset, .id_hash = l->id_hash, .len = l->len, .line = l->line, .time_ns = l->time_ns, .type = type, .call = l->call };
}

static int take(struct vcr_reader *r, const struct vcr_index *x, struct vcr_buf *line)
{
	const char *type[VCR_INDEX_TYPES];
	for (unsigned i = 0; i < x->head.ntypes; i++) {
		const char *name = vcr_index_type(x, i);
		type[i] = vcr_reader_intern(r, &(struct vcr_span){ name, strlen(name) }, "");
	}
	for (size_t i = 0; i < x->head.n; i++) {
		struct vcr_index_line l = vcr_index_line(x, i);
		struct vcr_entry at = entry_of(&l, l.kind == VCR_INDEX_LOOK ? NULL : type[l.type]);
		int err;
		if (l.kind == VCR_INDEX_LOOK)
			err = vcr_reader_look(r, &at, line);
		else
			err = vcr_reader_push(l.kind == VCR_INDEX_FRAME ? &r->frames : &r->others, &at);
		if (err)
			return err;
	}
	r->lines = x->head.lines;
	r->last_line = x->head.last_line;
	r->end = x->head.of.size;
	return 0;
}

static void forget(struct vcr_reader *r)
{
	r->frames.n = r->others.n = r->looks.n = 0;
	r->lines = r->last_line = r->session.warnings = 0;
	r->end = 0;
	r->has_session = r->indexed = false;
}

void vcr_reader_take_index(struct vcr_reader *r)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, line = VCR_BUF_INIT;
	struct vcr_index x;
	struct stat st;
	line.max = VCR_MAX_LINE;
	r->indexed = false;
	if (fstat(r->fd, &st) || st.st_size < VCR_INDEX_BYTES || vcr_index_identify(r->fd, &r->of)) {
		r->of.size = 0;
		return;
	}
	if (vcr_index_load(&r->of, &text, &x))
		return;
	r->indexed = true;
	if (take(r, &x, &line)) {
		vcr_index_drop(&r->of);
		forget(r);
	}
}

/* ---- Is it that line? ---- */

static bool is_type(const struct vcr_span *s, const char *missing, const char *type)
{
	const char *p = s->p ? s->p : missing;
	size_t n = s->p ? s->n : strlen(missing);
	return !strcmp(type, "?") || (strlen(type) == n && !memcmp(type, p, n));
}

static bool fits(const struct vcr_entry *at, const char *p, const char ends[2])
{
	struct vcr_line l;
	if (ends[0] != '\n' || ends[1] != '\n' || memchr(p, '\n', at->len))
		return false;
	if (!at->type)
		return true;
	vcr_scan_line(p, at->len, &l);
	const struct vcr_span *id = l.kind == VCR_LINE_FRAME ? &l.frame_id : &l.ref;
	if (at->id_hash != vcr_reader_hash(id->p ? id->p : "", id->n))
		return false;
	if (l.kind != VCR_LINE_FRAME)
		return l.kind == VCR_LINE_OTHER && is_type(&l.type, "", at->type) && !at->call;
	int64_t ns = INT64_MAX;
	if (l.timestamp.p && !vcr_scan_time(l.timestamp.p, l.timestamp.n, &ns))
		ns = INT64_MAX;
	return is_type(&l.frame_type, "node", at->type) && at->time_ns == ns && at->call == vcr_reader_is_call(at->type, &l);
}

bool vcr_reader_is_told(const struct vcr_reader *r, const struct vcr_entry *at)
{
	return r->indexed && at->offset < r->of.size;
}

int vcr_reader_is_line(struct vcr_reader *r, const struct vcr_entry *at, const char *p, const char ends[2], struct vcr_error *e)
{
	if (fits(at, p, ends))
		return 0;
	vcr_index_drop(&r->of);
	return vcr_error_set(e, VCR_ECORRUPT, "%s:%lld: the index of this file did not fit it and has been removed; call again", r->path, (long long)at->line);
}

/* ---- Leaving one ---- */

static bool is_newline(struct vcr_reader *r, uint64_t offset)
{
	char c;
	return pread(r->fd, &c, 1, (off_t)offset) == 1 && c == '\n';
}

/* A file that is being written will be another. */
static bool is_quiet(const struct vcr_reader *r)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	uint64_t now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	return r->session.ended || (now > r->of.ctime_ns && now - r->of.ctime_ns > 2000000000u);
}

static bool can_be_kept(const struct vcr_reader *r)
{
	struct vcr_index_file now;
	if (r->indexed || r->no_index || !r->of.size || r->end != r->of.size || !is_quiet(r))
		return false;
	return r->frames.n + r->others.n + r->looks.n <= VCR_INDEX_LINES && !vcr_index_identify(r->fd, &now) && !memcmp(&now, &r->of, sizeof now);
}

struct listing { struct vcr_index_head head; char type[VCR_INDEX_TYPES][VCR_INDEX_TYPE]; struct vcr_index_line *line; };

static bool put_type(struct listing *x, const char *type, uint8_t *number)
{
	for (unsigned i = 0; i < x->head.ntypes; i++)
		if (!strcmp(x->type[i], type)) {
			*number = (uint8_t)i;
			return true;
		}
	if (x->head.ntypes == VCR_INDEX_TYPES || strlen(type) >= VCR_INDEX_TYPE)
		return false;
	*number = (uint8_t)x->head.ntypes;
	strcpy(x->type[x->head.ntypes++], type);
	return true;
}

/* Those of which nothing was said, and those that are looked at again. */
static bool put(struct listing *x, const struct vcr_entries *l, enum vcr_index_kind kind)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct vcr_entry *at = &l->v[i];
		struct vcr_index_line to = { at->offset, at->id_hash, at->time_ns, at->line, (uint32_t)at->len, (uint8_t)kind, 0, at->call, 0 };
		if (at->look && kind != VCR_INDEX_LOOK)
			continue;
		if (kind != VCR_INDEX_LOOK && !put_type(x, at->type, &to.type))
			return false;
		x->line[x->head.n++] = to;
	}
	return true;
}

static int by_line(const void *a, const void *b)
{
	const struct vcr_entry *x = a, *y = b;
	return (x->line > y->line) - (x->line < y->line);
}

void vcr_reader_leave_index(struct vcr_reader *r)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	if (!can_be_kept(r) || !is_newline(r, r->of.size - 1))
		return;
	struct listing *x = calloc(1, sizeof *x);
	if (x)
		x->line = calloc(r->frames.n + r->others.n + r->looks.n + 1, sizeof *x->line);
	if (x && x->line) {
		x->head.of = r->of;
		x->head.lines = r->lines;
		x->head.last_line = r->last_line;
		if (r->looks.n)
			qsort(r->looks.v, r->looks.n, sizeof *r->looks.v, by_line);
		if (put(x, &r->frames, VCR_INDEX_FRAME) && put(x, &r->others, VCR_INDEX_OTHER) && put(x, &r->looks, VCR_INDEX_LOOK) &&
			!vcr_index_encode(&text, &x->head, x->type[0], x->line))
			vcr_index_save(&r->of, &text);
	}
	free(x ? x->line : NULL);
	free(x);
}
