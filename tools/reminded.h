/* reminded.h — the gate's side of the sentinel: what the collector has to say about the code that was written (lib/recorder-sentinel.c) goes into the next model
 * request of that conversation, and again into each later one, at the same place (reminder.h); or that request is refused. Where each stands is noted in the collector's file, so a
 * gate that takes over knows it.
 *
 * A request waits until what was written before it has been judged, JUDGE_MS at most, a tenth of that while the judge that was waited for in vain goes on. Which requests: of the APIs that reminder.h knows, with a plain body. New
 * words go to whoever goes on from something that a model said, first to the conversation that carries the tool call's id which asked for the code. */
#ifndef VCR_REMINDED_H
#define VCR_REMINDED_H
#include "forward.h"
#include "reader.h"
#include "spool-format.h"

struct vcr_reminded;
/* spool: its path; hosts: as for vcr_api_recognise. */
int vcr_reminded_new(struct vcr_reminded **r, const char *spool, struct vcr_spool_header *h, const char *const *hosts);
/* For a replay that goes on to the real hosts: what it puts into the requests that go there is what stood in the recorded ones that came before. */
int vcr_reminded_recalls(struct vcr_reminded **r, const char *const *hosts);
/* q is answered from that frame of a recording, whose reminders stand in its conversation. */
void vcr_reminded_recall(struct vcr_reminded *r, struct vcr_reader *reader, int64_t frame, const struct vcr_gate_request *q);
void vcr_reminded_free(struct vcr_reminded *r);
/* struct vcr_forward_options.way. begun: the offset behind the call's CONN record; ns: when it began. told: what the session is to know of it, JSON, or nothing. */
enum vcr_forward_way vcr_reminded_way(struct vcr_reminded *r, const struct vcr_gate_request *q, uint64_t begun, uint64_t ns, struct vcr_buf *body, struct vcr_buf *told);
/* Since the last call: is the run to be stopped? */
bool vcr_reminded_stops(struct vcr_reminded *r);
#endif
