/* sentinel-measure.h — inside sentinel-*.c: the walk over a tree (sentinel-walk.c), with memory that is used from file to file.
 *
 * The walk over a tree that has come of another one by an edit takes over what it can (sentinel-again.c). A unit is a function, a class, or anything at the top of
 * the file. What is measured of it depends on its text, on its structure, and on little around it: how deep it stands, what it stands in is called, and so on. A
 * unit of the former walk counts again, moved to where it is now, if neither the edit nor a place whose structure has changed touches it, and all of that is the
 * same. What is not taken over is walked, and the units in it are tried in turn. */
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
	size_t unit;           /* which it is, from 1; 0: it is none */
};

/* What a function is measured with while it is walked: where its levels begin, and what has been added to its cognitive complexity, as if they began at 0, of how
 * many places that are nested. */
struct vcr_measured { uint32_t level, cognitive; bool recurs, has_body; uint32_t body_start, added, nested; };

/* How much of each there was before a unit, and behind it. */
struct vcr_counts { uint32_t function, class_, mark, token, unit; };
struct vcr_unit {
	uint32_t start, end, row;      /* bytes; the row of the first one, from 0 */
	uint64_t around;               /* what it depends on */
	struct vcr_counts from, to;
	uint32_t added, nested;        /* to the cognitive complexity of the functions around it */
	bool is_deep, is_fixed;        /* fixed: it looks at the lines around it, and does not count again */
};
/* What has become of the text that was walked before. */
struct vcr_edited { uint32_t start, old_end, new_end; const TSRange *range; uint32_t nrange, next; };

struct vcr_walk {
	struct vcr_frame *frame; size_t cframe;
	struct vcr_function *function; size_t nfunction, cfunction;
	struct vcr_measured *measured; size_t cmeasured;
	struct vcr_class *class_; size_t nclass, cclass;
	struct vcr_mark *mark; size_t nmark, cmark;
	struct vcr_token *token; size_t ntoken, ctoken;
	uint32_t *seen; size_t cseen; /* names of a body by the order of first use */
	char **block; size_t nblock, cblock, used; /* words */
	struct vcr_unit *unit; size_t nunit, cunit;
	bool keeps_units;      /* they may be taken over by the next walk */
	const struct vcr_walk *old; /* NULL: nothing is to be taken over */
	struct vcr_edited edited;
	size_t entered;        /* nodes that were looked at */
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
/* The unit that begins with a node: it was taken over, and is not to be walked. Else f->unit is set if it is one. (sentinel-again.c) */
bool vcr_unit_begin(struct vcr_walk *w, struct vcr_frame *f, const struct vcr_frame *around, size_t depth);
void vcr_unit_end(struct vcr_walk *w, const struct vcr_frame *f);
/* Of marks that are kept, the most. */
enum { VCR_MOST_MARKS = 2000 };
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
