/* match-parts.h — inside match*.c: match-load.c reads the recording, match.c finds, match-near.c explains a miss. */
#ifndef VCR_MATCH_PARTS_H
#define VCR_MATCH_PARTS_H
#include "match.h"

/* The beginnings of one recorded conversation: prefix[i] is a hash of its items 0..i. */
struct prefixes { uint64_t *hash; size_t n; uint64_t rest; /* hash of everything but the list */ bool known; };

struct vcr_match {
	struct vcr_reader *reader;
	struct vcr_match_options o;
	struct vcr_recorded *call;    /* in the order in which they were asked */
	size_t n, cap;
	struct vcr_recorded **by[VCR_RUNGS];  /* by key of each rung, then by order */
	bool normalised;              /* k2 and by[2] are there; k3 and by[3] too if they may be needed */
	struct prefixes *prefixes;    /* NULL until the first miss; parallel to call */
	size_t hashes;                /* held in prefixes, all in all */
	struct vcr_match_stats stats;
};

/* match-load.c */
int vcr_match_load(struct vcr_match *m, struct vcr_error *e);
void vcr_recorded_release(struct vcr_recorded *c);
/* match.c: the calls of that key, *n of them. */
struct vcr_recorded **vcr_match_range(const struct vcr_match *m, enum vcr_rung rung, const char *key, size_t *n);
/* The key of a request for a rung; "" if there is none. */
void vcr_match_key(struct vcr_match *m, const struct vcr_match_query *q, enum vcr_rung rung, char key[VCR_KEY_LEN]);

#endif
