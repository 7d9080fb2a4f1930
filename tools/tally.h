/* tally.h — vcr-sentinel: what one change after the other made worse and mended, and what stands in the end. */
#ifndef VCR_TALLY_H
#define VCR_TALLY_H
#include "judging.h"

struct vcr_standing { char *key; struct vcr_findings last; bool stands; }; /* last: one */
struct vcr_tally {
	struct vcr_judging *j;
	struct vcr_standing *finding;
	size_t n;
	struct vcr_scanned seen; /* the files that were changed: path, and why one was skipped */
	int64_t changes, judged, made, corrected, claims; /* changes and claims are counted by the caller */
};
/* An answer of vcr_judging_answer, an object with what the caller put before: a line of JSON, or for people what is new, worse and corrected. frame: -1 none. */
void vcr_tally_take(struct vcr_tally *c, int64_t frame, const struct vcr_buf *answer);
/* A finding begins to stand, or ends. */
void vcr_tally_stand(struct vcr_tally *c, const char *key, const struct vcr_finding *f);
void vcr_tally_mend(struct vcr_tally *c, const char *key);
void vcr_tally_say(const struct vcr_tally *c, int64_t frame, enum vcr_style style, const char *what, const char *line);
/* The last line, or with --sarif and the like what stands. Returns the exit status: of what stands. */
int vcr_tally_summary(const struct vcr_tally *c, const char *of);
void vcr_tally_release(struct vcr_tally *c);

#endif
