/* verify.h — does a session file hold what it says: every frame complete, every body rebuilt to its hash, the hash of all lines at its end. */
#ifndef VCR_VERIFY_H
#define VCR_VERIFY_H
#include "reader.h"

struct vcr_verified {
	int64_t frames, bodies;    /* looked at */
	int64_t faults;            /* told to `fault`; damaged lines, which the reader told when it opened the file, are not among them */
	int64_t sealed;            /* vcr.end lines whose hash holds; 0 in a file of ai-agent-vcr, or one that was cut. An end without a hash is none. */
	bool ended;                /* the last line is vcr.end */
};
/* Each fault goes to `fault` (may be NULL) with its line. Non-zero only when the file cannot be read at all. */
int vcr_verify(struct vcr_reader *r, vcr_reader_warn_fn *fault, void *ctx, struct vcr_verified *v, struct vcr_error *e);

#endif
