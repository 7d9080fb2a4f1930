/* reader-body.c — bodies rebuilt from the chains they are stored in (body.h). */
#include "body.h"
#include "reader-parts.h"
#include <stdlib.h>
#include <string.h>

static void take(char **to, char *s)
{
	free(*to);
	*to = s;
}

struct chain { size_t *entry; size_t n, cap; };

static int chain_push(struct chain *c, size_t entry)
{
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 64;
		size_t *v = realloc(c->entry, cap * sizeof *v);
		if (!v)
			return VCR_ENOMEM;
		c->entry = v;
		c->cap = cap;
	}
	c->entry[c->n++] = entry;
	return 0;
}

/* From ref back to a body that needs no other, or to the one that is decoded already (*cached). A base stands on an earlier line, so
 * the walk ends. below: line that all have to be above. */
static int find_chain(struct vcr_reader *r, const struct vcr_decoded *d, const char *ref, int64_t below, struct chain *c, bool *cached, struct vcr_error *e)
{
	char *now = strdup(ref);
	int64_t line = below;
	int err = now ? 0 : VCR_ENOMEM;
	*cached = false;
	while (now && !err) {
		if (d->ref && !strcmp(d->ref, now)) {
			*cached = true;
			break;
		}
		int64_t entry = vcr_reader_by_ref(r, now);
		const struct vcr_entry *at = entry < 0 ? NULL : &r->others.v[entry];
		if (!at)
			err = vcr_error_set(e, VCR_ENOTFOUND, "%s has no body %.60s", r->path, now);
		else if (at->line >= line)
			err = vcr_error_set(e, VCR_ECORRUPT, "%s:%lld: body %.60s is based on a later one, line %lld", r->path, (long long)line, now,
				(long long)at->line);
		else if (!(err = vcr_reader_load(r, at, &r->other, e)) && !(err = chain_push(c, (size_t)entry)))
			take(&now, vcr_json_strdup(&r->other.j, vcr_json_get(&r->other.j, r->other.data, "base")));
		line = at ? at->line : line;
	}
	free(now);
	return err == VCR_ENOMEM ? vcr_error_set(e, err, "%s: no memory", r->path) : err;
}

static int decode_body(struct vcr_reader *r, int which, const char *ref, int64_t below, struct vcr_error *e);

/* The body that the line names as near, decoded; one that is near itself has none (*near NULL). */
static int decode_near(struct vcr_reader *r, int which, const struct vcr_entry *at, char **near, struct vcr_error *e)
{
	*near = vcr_json_strdup(&r->other.j, vcr_json_get(&r->other.j, r->other.data, "near"));
	if (!*near)
		return 0;
	int err = which ? vcr_error_set(e, VCR_ECORRUPT, "%s:%lld: a near body has none itself", r->path, (long long)at->line)
		: decode_body(r, 1, *near, at->line, e);
	return err ? err : vcr_reader_load(r, at, &r->other, e); /* its line was needed */
}

static int decode_one(struct vcr_reader *r, int which, const struct vcr_entry *at, bool last, bool with_base, struct vcr_error *e)
{
	struct vcr_decoded *d = &r->decoded[which];
	struct vcr_error why = { 0 };
	VCR_AUTO_BUF made = VCR_BUF_INIT;
	char *ref = NULL;
	int err = vcr_reader_load(r, at, &r->other, e);
	if (!err)
		err = decode_near(r, which, at, &ref, e);
	if (!err) {
		struct vcr_near near = { ref, r->decoded[1].body.data, r->decoded[1].body.len };
		err = vcr_body_decode(&r->other.j, r->other.data, with_base ? d->body.data : NULL, d->body.len, ref ? &near : NULL, last, &made, &why);
		if (err)
			vcr_error_set(e, err, "%s:%lld: %s", r->path, (long long)at->line, why.what);
	}
	free(ref);
	if (err)
		return err;
	vcr_buf_release(&d->body);
	d->body = made;
	made = (struct vcr_buf)VCR_BUF_INIT;
	return 0;
}

static int decode_body(struct vcr_reader *r, int which, const char *ref, int64_t below, struct vcr_error *e)
{
	struct vcr_decoded *d = &r->decoded[which];
	struct chain c = { 0 };
	bool with_base;
	int err = find_chain(r, d, ref, below, &c, &with_base, e);
	if (!err && c.n)
		take(&d->ref, NULL);
	for (size_t i = c.n; !err && i-- > 0; with_base = true)
		err = decode_one(r, which, &r->others.v[c.entry[i]], i == 0, with_base, e);
	if (!err && c.n)
		d->ref = strdup(ref);
	free(c.entry);
	return err;
}

int vcr_reader_body(struct vcr_reader *r, const char *ref, struct vcr_buf *out, struct vcr_error *e)
{
	const struct vcr_buf *body = &r->decoded[0].body;
	int err = decode_body(r, 0, ref, INT64_MAX, e);
	if (!err && vcr_buf_add(out, body->data, body->len))
		err = vcr_error_set(e, out->err, "%s: body %.60s: %s", r->path, ref, vcr_strerror(out->err));
	return err;
}
