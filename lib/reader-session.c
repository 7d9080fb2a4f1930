/* reader-session.c — what a file says of its session as a whole: the header, the end line, and the totals. */
#include "reader-parts.h"
#include "limits.h"
#include <stdlib.h>
#include <string.h>

static int64_t time_at(const struct vcr_json *j, int v)
{
	size_t n;
	int64_t ns;
	const char *p = vcr_json_raw(j, v, &n);
	if (vcr_json_type(j, v) == VCR_JSON_STRING) {
		p++;
		n -= 2;
	}
	return vcr_scan_time(p, n, &ns) ? ns : 0;
}

void vcr_reader_free_tags(struct vcr_reader *r)
{
	for (int i = 0; i < r->session.ntags; i++)
		free(r->tags[i]);
	free(r->tags);
	r->tags = NULL;
	r->session.ntags = 0;
	r->session.tags = NULL;
}

static int read_tags(struct vcr_reader *r, const struct vcr_json *j, int list)
{
	vcr_reader_free_tags(r);
	if (vcr_json_type(j, list) != VCR_JSON_ARRAY)
		return 0;
	r->tags = calloc((size_t)vcr_json_count(j, list) + 1, sizeof *r->tags);
	if (!r->tags)
		return VCR_ENOMEM;
	for (int m = vcr_json_first(j, list); m >= 0; m = vcr_json_next(j, m)) {
		char *tag = vcr_json_strdup(j, m);
		if (tag)
			r->tags[r->session.ntags++] = tag;
	}
	r->session.tags = (const char *const *)r->tags;
	return 0;
}

/* Those that were given while it was recorded: vcr.end has them, the header does not. */
static void add_tags(struct vcr_reader *r, const struct vcr_json *j, int list)
{
	enum { MOST = 256 };
	int left = MOST;
	char **tags = vcr_json_count(j, list) > 0 ? reallocarray(r->tags, (size_t)r->session.ntags + MOST + 1, sizeof *tags) : NULL;
	if (!tags)
		return;
	r->session.tags = (const char *const *)(r->tags = tags);
	for (int m = vcr_json_first(j, list); m >= 0 && left--; m = vcr_json_next(j, m)) {
		char *tag = vcr_json_strdup(j, m);
		bool there = false;
		for (int i = 0; tag && i < r->session.ntags && !there; i++)
			there = !strcmp(r->tags[i], tag);
		if (tag && !there)
			r->tags[r->session.ntags++] = tag;
		else
			free(tag);
	}
}

static void replace(char **to, char *with)
{
	free(*to);
	*to = with;
}

static char *object_text(const struct vcr_json *j, int v)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &b);
	if (vcr_json_type(j, v) == VCR_JSON_OBJECT)
		vcr_jw_value(&w, j, v);
	else
		vcr_buf_puts(&b, "{}");
	return vcr_buf_take(&b, NULL);
}

int vcr_reader_take_session(struct vcr_reader *r, const struct vcr_entry *at, const char *p)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int err = vcr_json_parse(&j, p, at->len, VCR_JSON_RELAXED, NULL);
	if (err)
		return 1;
	int data = vcr_json_get(&j, 0, "data");
	if (r->has_session)
		vcr_reader_warn(r, at->line, "a further session header; the last one counts");
	r->has_session = true;
	replace(&r->session_id, vcr_json_strdup(&j, vcr_json_get(&j, data, "session_id")));
	replace(&r->parent_id, vcr_json_strdup(&j, vcr_json_get(&j, data, "parent_session_id")));
	replace(&r->metadata_json, object_text(&j, vcr_json_get(&j, data, "metadata")));
	r->session.session_id = r->session_id ? r->session_id : "";
	r->session.parent_session_id = r->parent_id;
	r->session.metadata_json = r->metadata_json ? r->metadata_json : "{}";
	r->session.forked_from_frame = -1;
	vcr_json_int(&j, vcr_json_get(&j, data, "forked_from_frame"), &r->session.forked_from_frame);
	r->session.created_ns = time_at(&j, vcr_json_get(&j, data, "created_at"));
	r->session.updated_ns = time_at(&j, vcr_json_get(&j, data, "updated_at"));
	return read_tags(r, &j, vcr_json_get(&j, data, "tags"));
}

void vcr_reader_find_end(struct vcr_reader *r)
{
	const struct vcr_entry *last = r->others.n ? &r->others.v[r->others.n - 1] : NULL;
	r->session.ended = false;
	r->session.end_json = NULL;
	r->totals_known = false;
	if (!last || last->line != r->last_line || strcmp(last->type, "vcr.end") || vcr_reader_load(r, last, &r->tail, NULL))
		return;
	if (vcr_json_type(&r->tail.j, vcr_json_get(&r->tail.j, r->tail.data, "tags")) == VCR_JSON_ARRAY)
		add_tags(r, &r->tail.j, vcr_json_get(&r->tail.j, r->tail.data, "tags"));
	replace(&r->end_json, object_text(&r->tail.j, r->tail.data));
	r->session.ended = true;
	r->session.end_json = r->end_json ? r->end_json : "{}";
}

static void add_frame_totals(struct vcr_reader *r, const struct vcr_buf *line, const char *type)
{
	struct vcr_span metadata;
	double v, in, out;
	bool has = vcr_scan_metadata(line->data, line->len, &metadata);
	r->session.errors += !strcmp(type, "error") || (has && (vcr_scan_is_string(&metadata, "error_type") || vcr_scan_is_string(&metadata, "error_message")));
	if (!has)
		return;
	if (vcr_scan_number(&metadata, "tokens_used", &v))
		r->session.total_tokens += (int64_t)v;
	else
		r->session.total_tokens += (int64_t)(vcr_scan_number(&metadata, "tokens_input", &in) ? in : 0) +
			(int64_t)(vcr_scan_number(&metadata, "tokens_output", &out) ? out : 0);
	if (vcr_scan_number(&metadata, "cost_usd", &v))
		r->session.total_cost_usd += v;
}

/* The writer's own totals where it closed the file; otherwise every frame is looked at, once. */
static void sum_totals(struct vcr_reader *r)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	r->totals_known = true;
	r->session.total_tokens = 0;
	r->session.errors = 0;
	r->session.total_cost_usd = 0;
	if (r->session.ended && vcr_json_int(&r->tail.j, vcr_json_get(&r->tail.j, r->tail.data, "tokens"), &r->session.total_tokens) &&
		vcr_json_int(&r->tail.j, vcr_json_get(&r->tail.j, r->tail.data, "errors"), &r->session.errors) &&
		vcr_json_double(&r->tail.j, vcr_json_get(&r->tail.j, r->tail.data, "cost_usd"), &r->session.total_cost_usd))
		return;
	r->session.total_tokens = r->session.errors = 0;
	line.max = VCR_MAX_LINE;
	for (size_t i = 0; i < r->frames.n; i++)
		if (!vcr_reader_line(r, &r->frames.v[i], &line, NULL))
			add_frame_totals(r, &line, r->frames.v[i].type);
}

const struct vcr_reader_session *vcr_reader_session(const struct vcr_reader *r)
{
	/* Summing is put off until someone asks: showing one frame of ten thousand must not cost it. */
	if (!r->totals_known)
		sum_totals((struct vcr_reader *)r);
	return &r->session;
}

const struct vcr_reader_session *vcr_reader_header(const struct vcr_reader *r)
{
	return &r->session;
}
