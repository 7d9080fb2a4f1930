/* reminded.h — the gate's side of the sentinel: what the collector has to say about the code that was written (lib/recorder-sentinel.c) goes into the next model
 * request of that conversation, and again into each later one, at the same place (reminder.h); or that request is refused.
 *
 * A request waits until what was written before it has been judged, JUDGE_MS at most, a tenth of that while the judge that was waited for in vain goes on. Which requests: of the APIs that reminder.h knows, with a plain body. New
 * words go to whoever goes on from something that a model said, first to the conversation that carries the tool call's id which asked for the code. */
#ifndef VCR_REMINDED_H
#define VCR_REMINDED_H
#include "forward.h"
#include "spool-format.h"

struct vcr_reminded;
/* spool: its path; hosts: as for vcr_api_recognise. */
int vcr_reminded_new(struct vcr_reminded **r, const char *spool, struct vcr_spool_header *h, const char *const *hosts);
void vcr_reminded_free(struct vcr_reminded *r);
/* struct vcr_forward_options.way. begun: the offset behind the call's CONN record; ns: when it began. told: what the session is to know of it, JSON, or nothing. */
enum vcr_forward_way vcr_reminded_way(struct vcr_reminded *r, const struct vcr_gate_request *q, uint64_t begun, uint64_t ns, struct vcr_buf *body, struct vcr_buf *told);
/* Since the last call: is the run to be stopped? */
bool vcr_reminded_stops(struct vcr_reminded *r);
#endif
