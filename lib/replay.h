/* replay.h — the gate's handler that answers from a recording, and never from the network unless it is given a handler that does.
 *
 * Each request is redacted as the recorder would have done, looked for (match.h) and answered with the recorded status, the fields that were
 * kept, and the body in the pieces in which it was read. Bodies are stored content-decoded, so they are sent as identity and Content-Encoding
 * is left out (an unknown coding was kept as it was, and is named). At speed 0 everything goes out at once; at 1 as it came, at N that many times faster.
 * The directories of match.recorded become those of match.live in JSON answers and in streams of JSON (rebind.h).
 *
 * How a failed call ends: "reset" and "timeout" by a reset; "cut" by an end without
 * close_notify; "closed", "malformed" and "interrupted" by an orderly end in the middle; "aborted" (the program itself
 * turned away) is held open for as long as it took then, a quarter more and a second, so that the program can do so again; then it is reset. An answer counts as delivered when its last byte was, also where that is a cut.
 *
 * A miss is HTTP 400 in the provider's own error envelope, with x-should-retry: false. Upgrades to WebSocket get 426 where none was recorded (and `live` is
 * NULL), which sends
 * clients back to HTTP at once; elsewhere each turn is looked for by what the client has said since the one before (replay-ws.c), a miss is an error event, if
 * the API has one, and a close frame 1008 with the reason. Other hosts get 403; tunnels to this machine itself are let through, others get 403 too.
 *
 * With `live` (forward.h) what was not recorded, and every other host, is its business instead, and neither missed nor refused. */
#ifndef VCR_REPLAY_H
#define VCR_REPLAY_H
#include "gate.h"
#include "match.h"
#include "redact.h"

enum vcr_replay_what { VCR_REPLAY_SERVED, VCR_REPLAY_CUT_SHORT /* the client left early: it will be served again */, VCR_REPLAY_MISSED, VCR_REPLAY_REFUSED,
	VCR_REPLAY_LIVE /* it goes on to the real host */ };
struct vcr_replay_event {
	enum vcr_replay_what what;
	const struct vcr_recorded *call;       /* SERVED, CUT_SHORT */
	enum vcr_rung rung;                    /* SERVED */
	const struct vcr_gate_request *request; /* SERVED: as it came; NULL: one that was answered before, or a turn of a WebSocket */
	enum vcr_api api;                      /* MISSED, LIVE */
	const char *method, *target, *host;    /* MISSED, LIVE, REFUSED (target NULL for a tunnel); redacted */
	const char *body; size_t nbody;        /* MISSED: redacted */
	const struct vcr_divergence *divergence; /* MISSED */
	const char *words;                     /* MISSED: one line */
};
struct vcr_replay_options {
	struct event_base *base;
	struct vcr_reader *reader;             /* borrowed; NULL: no recording (then `live` is all there is) */
	struct vcr_match_options match;
	const char *const *model_hosts;        /* beyond the known ones; NULL-terminated or NULL; borrowed */
	double speed;
	char **environ;                        /* secrets are learnt from it; may be NULL */
	void (*report)(void *ctx, const struct vcr_replay_event *ev); /* may be NULL */
	void *ctx;
	const struct vcr_gate_handler *live;   /* NULL: nothing goes to the network */
	void *live_ctx;
};
struct vcr_replay;
int vcr_replay_new(struct vcr_replay **r, const struct vcr_replay_options *o, struct vcr_error *e);
/* After the gate. */
void vcr_replay_free(struct vcr_replay *r);
/* For vcr_gate_options, with the vcr_replay as its ctx. */
extern const struct vcr_gate_handler vcr_replay_handler;
struct vcr_match *vcr_replay_match(struct vcr_replay *r);

/* An error as that API's servers write it (JSON), appended. pointer: the field it is about, or NULL. */
int vcr_replay_envelope(enum vcr_api api, int status, const char *message, const char *pointer, struct vcr_buf *out);

#endif
