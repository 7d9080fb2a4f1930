/* match-parts.h — inside match*.c: match-load.c reads the recording, match.c finds, match-normal.c knows the two rungs that need normal forms,
 * match-near.c explains a miss. */
#ifndef VCR_MATCH_PARTS_H
#define VCR_MATCH_PARTS_H
#include "match.h"

/* The beginnings of one recorded conversation: prefix[i] is a hash of its items 0..i. */
struct prefixes { uint64_t *hash; size_t n; uint64_t rest; /* hash of everything but the list */ bool known; };

struct vcr_match {
	struct vcr_reader *reader;    /* of the session that is being loaded … */
	const struct vcr_normal_context *in;
	int age;
	struct vcr_match_options o;
	struct vcr_recorded *call;    /* in the order in which they were asked */
	size_t n, cap;
	struct vcr_recorded **by[2];  /* by key of the first two rungs, then by order */
	struct vcr_recorded **shaped; /* by api, items, then by order; NULL until a normal form is needed */
	size_t *spent;                /* by place of a shape's first call: so many at its beginning are spent */
	struct vcr_recorded **found;  /* what vcr_match_equals found last */
	unsigned returns;             /* how often a call has become free again, and one */
	struct prefixes *prefixes;    /* NULL until the first miss; parallel to call */
	size_t hashes;                /* held in prefixes, all in all */
	struct vcr_match_stats stats;
	struct vcr_error unusable;    /* the first */
	struct vcr_normal_cache *kept; /* of forms; NULL until one is made */
};

/* match-load.c */
int vcr_match_load(struct vcr_match *m, struct vcr_error *e);
void vcr_recorded_release(struct vcr_recorded *c);
/* A request that is looked for: what rung after rung wants to know of it, found out when it is wanted. */
struct asked {
	const struct vcr_match_query *q;
	struct vcr_json j;
	bool parsed, is_json;
	char k2[VCR_KEY_LEN], k3[VCR_KEY_LEN]; /* "" until they are needed */
};
#define VCR_ASKED(query) { .q = (query) }
void vcr_asked_release(struct asked *a);
#define VCR_AUTO_ASKED __attribute__((cleanup(vcr_asked_release))) struct asked
/* match.c: the calls that are equal to it at that rung, in the order in which they were asked, *n of them; valid until the next call. Where equal ones that are
 * FREE have been found, not all that are equal are among them. */
struct vcr_recorded **vcr_match_equals(struct vcr_match *m, struct asked *a, enum vcr_rung rung, size_t *n);
const struct vcr_json *vcr_asked_json(struct asked *a); /* NULL: it is none */
/* match-normal.c: the same for NORMALISED and STRUCTURAL. */
struct vcr_recorded **vcr_match_normal_equals(struct vcr_match *m, struct asked *a, enum vcr_rung rung, size_t *n);
/* Of calls of one structure that are free, or with `again` of all, the one whose texts are most alike; NULL: none is alike enough. */
struct vcr_recorded *vcr_match_most_alike(struct vcr_match *m, struct asked *a, struct vcr_recorded **v, size_t n, bool again);

#endif
