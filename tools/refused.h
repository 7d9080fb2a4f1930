/* refused.h — what a replay kept from the network: where to, by which way, each once; how often in all. Bounded: of places beyond
 * VCR_REFUSED_MOST only their number is known, and that roughly (one that comes again is counted again). */
#ifndef VCR_REFUSED_H
#define VCR_REFUSED_H
#include <stdint.h>
#include "buf.h"

enum { VCR_REFUSED_MOST = 20 };
struct vcr_refused {
	struct { char *where; uint32_t kind; } of[VCR_REFUSED_MOST];
	int n;
	int64_t more, times; /* places that are not in the list; refusals in all, kept by the caller */
};
/* kind: enum vcr_refused_kind (spool-format.h), 0 for a request that came to the gate; where: as the program said it, hostile. */
void vcr_refused_add(struct vcr_refused *r, const char *where, uint32_t kind);
/* "tunnel", "connect", "datagram", "look-up". */
const char *vcr_refused_word(uint32_t kind);
/* One line without its end, safe for a terminal; nothing if nothing was refused. */
void vcr_refused_say(const struct vcr_refused *r, struct vcr_buf *out);
void vcr_refused_release(struct vcr_refused *r);
#endif
