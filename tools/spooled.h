/* spooled.h — what passes a gate on its way to the real hosts is appended to a session's spool before it is delivered: forward.h's sink.
 *
 * An answer is held back until the session's collector has the savepoint of its call, or has found that the call follows no change. */
#ifndef VCR_SPOOLED_H
#define VCR_SPOOLED_H
#include "determ.h"
#include "forward.h"
#include "reminded.h"
#include "spool-write.h"
#include "spool.h"

struct vcr_spooled {
	const char *spool;           /* borrowed */
	struct vcr_spool_writer *w;
	struct vcr_spool_header *h;
	struct event *ring;
	struct { uint32_t conn; int pid; uint64_t begun, end, ns; bool awaited, answered; } *whose; /* by conn % WHOSE; of the request in the spool: behind its CONN (UINT64_MAX: relayed), its end, its time */
	struct vcr_reminded *reminded; /* NULL: requests go as they are. Not ours */
	bool socket_said, relay_said; /* what the sentinel has to do with WebSockets, with HTTP/2 */
	uint64_t to_ring;            /* the collector is to be woken when the loop comes to it, unless `clean` has come so far; 0 no */
	struct vcr_determ_page *determ; /* NULL: an ordinary session */
	uint64_t gave_up;            /* `acted` when an answer had been held long enough: nobody looks */
};
/* Zero-initialised; release in any case. */
int vcr_spooled_open(struct vcr_spooled *g, const char *spool, struct vcr_error *e);
int vcr_spooled_start(struct vcr_spooled *g, struct event_base *base, struct vcr_error *e);
/* What a forward is to be made with. */
void vcr_spooled_passes(struct vcr_spooled *g, struct vcr_forward_options *o);
/* Before the event base is freed. */
void vcr_spooled_stop(struct vcr_spooled *g);
void vcr_spooled_release(struct vcr_spooled *g);
#endif
