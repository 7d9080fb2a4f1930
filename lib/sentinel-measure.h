/* sentinel-measure.h — inside sentinel-*.c: the walk over a tree (sentinel-walk.c), with memory that is used from file to file. */
#ifndef VCR_SENTINEL_MEASURE_H
#define VCR_SENTINEL_MEASURE_H
#include "sentinel-parts.h"

/* Where a token stands that has no text: a block begins, or ends. */
#define VCR_NO_TEXT UINT32_MAX

struct vcr_frame {
	TSNode node;
	uint32_t roles;
	TSSymbol logic;        /* the operator of a chain of && that it is part of; 0 */
	int function;          /* whose paths these are; -1: nobody's */
	int class_;
	uint32_t level, cognitive;
	uint32_t cases;        /* of a match */
	bool takes_all;        /* one of them takes all that is left */
	bool apart;            /* adds to no paths */
	bool opened;           /* the function ends with it */
	bool body;             /* the function's body does */
	bool is_else;          /* behind the token else: what follows is what it leads to */
};

/* What a function is measured with while it is walked: where its levels begin. */
struct vcr_measured { uint32_t level, cognitive; bool recurs, has_body; uint32_t body_start; };

struct vcr_walk {
	struct vcr_frame *frame; size_t cframe;
	struct vcr_function *function; size_t nfunction, cfunction;
	struct vcr_measured *measured; size_t cmeasured;
	struct vcr_class *class_; size_t nclass, cclass;
	struct vcr_mark *mark; size_t nmark, cmark;
	struct vcr_token *token; size_t ntoken, ctoken;
	uint32_t *seen; size_t cseen; /* names of a body by the order of first use */
	char **block; size_t nblock, cblock, used; /* words */
	/* of this walk */
	int language;
	const struct vcr_lang_map *map;
	const char *text;
	size_t n;
	bool is_deep;
	int err;
};
void vcr_walk_release(struct vcr_walk *w);
int vcr_walk(struct vcr_walk *w, int language, const struct vcr_lang_map *map, const TSTree *tree, const char *text, size_t n, struct vcr_metrics *out,
	struct vcr_error *e);
/* A copy that lives as long as the walk's results; "" when memory is out (err is set). */
const char *vcr_walk_keep(struct vcr_walk *w, const char *p, size_t n);
/* What the tokens of a function's body say about it: hashes, count, whether it does anything. (sentinel-body.c) */
void vcr_body_measure(struct vcr_walk *w, struct vcr_function *f, const struct vcr_measured *m);

/* One more element at the end of a growing array; NULL: err is set. */
void *vcr_walk_grow(struct vcr_walk *w, void **array, size_t *capacity, size_t n, size_t size);

static inline bool vcr_text_is(const char *p, size_t n, const char *s)
{
	size_t k = 0;
	while (s[k] && k < n && s[k] == p[k])
		k++;
	return k == n && !s[k];
}
#endif
