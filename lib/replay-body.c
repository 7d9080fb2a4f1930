/* replay-body.c — bodies of recorded answers: read once, told for the directories and the names of this run, kept while there is room. */
#include "replay-parts.h"
#include "rebind.h"
#include <stdlib.h>
#include <string.h>

enum { DIRECTORIES = 4 };
#define CACHE_BYTES ((size_t)64 << 20)

static void free_body(struct body *b)
{
	vcr_buf_release(&b->text);
	free(b->piece);
	free(b);
}

void vcr_replay_body_leave(struct body *b)
{
	b->refs--;
	if (b->own)
		free_body(b);
}

void vcr_replay_body_drop(struct vcr_replay *r, struct vcr_recorded *c)
{
	struct body *b = c->user;
	r->cached -= b->text.cap;
	free_body(b);
	c->user = NULL;
}

static void make_room(struct vcr_replay *r)
{
	while (r->cached > CACHE_BYTES) {
		struct vcr_recorded *oldest = NULL;
		for (size_t i = 0; i < vcr_match_count(r->match); i++) {
			struct vcr_recorded *c = vcr_match_call(r->match, i);
			struct body *b = c->user;
			if (b && !b->refs && (!oldest || b->used < ((struct body *)oldest->user)->used))
				oldest = c;
		}
		if (!oldest)
			return;
		vcr_replay_body_drop(r, oldest);
	}
}

/* A model answers with the paths that it was asked about: they are told as this run has them. */
static int rebind_body(const struct vcr_binding *bound, size_t nbound, const struct vcr_recorded *c, struct body *b)
{
	VCR_AUTO_BUF told = VCR_BUF_INIT;
	if (!nbound || !b->text.len)
		return 0;
	uint64_t *piece = calloc(c->npiece + 1, sizeof *piece);
	if (!piece)
		return VCR_ENOMEM;
	for (size_t i = 0; i < c->npiece; i++) {
		uint64_t at = b->piece ? b->piece[i] : c->piece[i].offset;
		piece[i] = at < b->text.len ? at : b->text.len;
	}
	int changed = vcr_rebind(bound, nbound, b->text.data, b->text.len, &told, piece, c->npiece);
	if (changed <= 0) {
		free(piece);
		return changed;
	}
	vcr_buf_release(&b->text);
	free(b->piece);
	b->text = told;
	told = (struct vcr_buf)VCR_BUF_INIT;
	b->piece = piece;
	return 0;
}

/* A copy of the body, for one answer, that names things as the live request does; NULL: it would be no other. */
struct body *vcr_replay_body_bind(struct vcr_replay *r, const struct vcr_recorded *c, const struct body *b, const struct vcr_match_query *q)
{
	VCR_AUTO_BUF request = VCR_BUF_INIT;
	struct vcr_bindings names = VCR_BINDINGS_INIT;
	struct body *own = NULL;
	if (!*c->request_ref || vcr_reader_body(c->reader, c->request_ref, &request, NULL))
		return NULL;
	vcr_normal_bind(c->in, request.data, request.len, &r->o.match.live, q->body, q->nbody, q->api, &names);
	if (names.n && (own = calloc(1, sizeof *own))) {
		vcr_buf_init(&own->text, 0);
		vcr_buf_add(&own->text, b->text.data, b->text.len);
		if (b->piece && (own->piece = calloc(c->npiece + 1, sizeof *own->piece)))
			memcpy(own->piece, b->piece, c->npiece * sizeof *own->piece);
		own->own = true;
		own->refs = 1;
		if (own->text.err || (b->piece && !own->piece) || rebind_body(names.b, names.n, c, own)) {
			free_body(own);
			own = NULL;
		}
	}
	vcr_bindings_release(&names);
	return own;
}

/* Which directories are others now. All, or none: one that has not changed may lie in one that has. */
static size_t bind_directories(const struct vcr_replay *r, const struct vcr_recorded *c, struct vcr_binding bound[DIRECTORIES])
{
	const struct vcr_normal_context *a = c->in, *b = &r->o.match.live;
	const struct vcr_binding all[DIRECTORIES] = { { a->cwd, b->cwd }, { a->workspace, b->workspace }, { a->home, b->home }, { a->tmp, b->tmp } };
	bool changed = false;
	size_t n = 0;
	for (int i = 0; i < DIRECTORIES; i++)
		if (all[i].recorded && all[i].live) {
			changed = changed || strcmp(all[i].recorded, all[i].live);
			bound[n++] = all[i];
		}
	return changed ? n : 0;
}

/* The answer's body; NULL when the recording's line cannot be read. */
struct body *vcr_replay_body_take(struct vcr_replay *r, struct vcr_recorded *c, struct vcr_error *e)
{
	struct vcr_binding bound[DIRECTORIES];
	struct body *b = c->user;
	if (!b) {
		if (!(b = calloc(1, sizeof *b)))
			return NULL;
		vcr_buf_init(&b->text, 0);
		if ((*c->response_ref && vcr_reader_body(c->reader, c->response_ref, &b->text, e)) || rebind_body(bound, bind_directories(r, c, bound), c, b)) {
			free_body(b);
			return NULL;
		}
		c->user = b;
		r->cached += b->text.cap;
		make_room(r);
	}
	b->refs++;
	b->used = ++r->clock;
	return b;
}
