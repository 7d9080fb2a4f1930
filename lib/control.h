/* control.h — asking a running collector: one JSON object per line over a Unix socket, one line back.
 *
 * Socket: RUNTIME/<session>.sock (0600), RUNTIME as vcr_paths_runtime_dir. Requests {"op":"drain"|"status"|"annotate"|"savepoint"|"end", …}; answers
 * {"ok":true,…} or {"ok":false,"error":"…"}. drain answers when everything appended to the spool before it is in the session file.
 * annotate: {"op":"annotate","data":{…}} writes a frame (node) or tags. savepoint: {"op":"savepoint","message":"…"} sweeps and writes a
 * checkpoint frame. */
#ifndef VCR_CONTROL_H
#define VCR_CONTROL_H
#include "buf.h"

/* One question. VCR_ENOTFOUND if no collector listens for that session; timeout_ms bounds the whole exchange. */
int vcr_control_ask(const char *session_id, const char *request_json, struct vcr_buf *answer, int timeout_ms, struct vcr_error *e);
/* Before a tool reads sessions of vcr_dir: wait (at most timeout_ms each) for their live collectors to drain, and decode what dead ones left in
 * their spools (starts the collector in --salvage mode for these). */
void vcr_control_settle(const char *vcr_dir, int timeout_ms);

#endif
