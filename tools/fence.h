/* fence.h — a command in a replay with the library in it: its connections to model hosts are led to our gate, and nothing else of it leaves the
 * machine. A spool without a collector carries the agreement (spool-format.h) one way and what was refused the other. */
#ifndef VCR_FENCE_H
#define VCR_FENCE_H
#include "determ.h"
#include "lead.h"
#include "pids.h"

struct vcr_fence {
	struct vcr_buf preload;
	char *spool;                  /* NULL: there is no fence */
	struct vcr_spool_header *h;
};
/* VCR_ENOTFOUND: the library is not there. Call vcr_fence_release in any case. session: what passes is recorded under that id by a collector, which the caller
 * starts, and nothing is kept from the network; NULL: the spool only leads. deterministic: with that clock and these random bytes; NULL: with the machine's. */
int vcr_fence_make(struct vcr_fence *f, const char *vcr_dir, const char *session, const struct vcr_determ_terms *deterministic, struct vcr_error *e);
/* The gate listens, the command is forked (root) and waits. */
int vcr_fence_publish(struct vcr_fence *f, const struct vcr_lead_options *o, const struct vcr_pids *root, struct vcr_error *e);
/* Each refusal that was said (once for each process and place), in order: where to, and enum vcr_refused_kind. Once, at the end. Returns how often
 * something was refused in all. lost: what the library says that it could not do; hostile. */
uint64_t vcr_fence_refusals(struct vcr_fence *f, void (*fn)(void *ctx, const char *where, uint32_t kind), void (*lost)(void *ctx, const char *words), void *ctx);
void vcr_fence_release(struct vcr_fence *f);
#endif
