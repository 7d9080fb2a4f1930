/* replay-parts.h — inside replay*.c: replay.c finds what was recorded and serves it, replay-body.c has its bodies, replay-ws.c speaks WebSocket. */
#ifndef VCR_REPLAY_PARTS_H
#define VCR_REPLAY_PARTS_H
#include "replay.h"

enum { VCR_RECENT = 256 };

/* A decoded body, kept with its call while there is room; told anew for the directories of this run (rebind.h), and then with places of its own
 * where reads began. */
struct body { struct vcr_buf text; uint64_t *piece; unsigned refs; uint64_t used; bool own; /* one answer's, not the call's */ };
/* A request that was answered, by its raw bytes: when the very same comes again (a retry, a poll), nothing needs to be redacted and hashed. */
struct recent {
	uint64_t hash[2];
	size_t known;            /* secrets at the time: more of them, and it would be redacted otherwise */
	struct vcr_recorded *call; /* NULL: none */
	enum vcr_rung rung;
	unsigned anew;           /* match.h */
};

struct vcr_replay {
	struct vcr_replay_options o;
	struct vcr_match *match;
	struct vcr_redact *redact;
	struct vcr_scrub **scrub;      /* the session was scrubbed: requests are, too; NULL */
	size_t bound_values;           /* that had a number when names were taken over last */
	struct serving *first;
	struct recent recent[VCR_RECENT];
	size_t cached;
	uint64_t clock;
	struct vcr_gate_exchange **live; /* those that the other handler answers */
	size_t nlive, live_cap;
	struct socket *sockets;
};

/* replay.c. report may be NULL. find: the call that answers, given out; NULL: none. q may be another request then, whose words are in told. missed: says why, and
 * reports it; message: a line for the program, d: released by the caller. */
void vcr_replay_report(struct vcr_replay *r, const struct vcr_replay_event *ev);
struct vcr_recorded *vcr_replay_find(struct vcr_replay *r, struct vcr_match_query *q, enum vcr_rung *rung, struct vcr_buf *told);
void vcr_replay_missed(struct vcr_replay *r, const char *host, const struct vcr_match_query *q, struct vcr_divergence *d, struct vcr_buf *message);
/* As the recorder would write it down, appended to `out`. */
int vcr_replay_clean(struct vcr_replay *r, const char *host, bool grpc, const char *body, size_t n, struct vcr_buf *out);
int64_t vcr_replay_now_us(void);


/* replay-body.c. take: the answer's body, until leave; NULL: the recording's line cannot be read. bind: a copy of it, for one answer, that names things as the
 * live request does; NULL: it would be no other. */
struct body *vcr_replay_body_take(struct vcr_replay *r, struct vcr_recorded *c, struct vcr_error *e);
struct body *vcr_replay_body_bind(struct vcr_replay *r, const struct vcr_recorded *c, const struct body *b, const struct vcr_match_query *q);
void vcr_replay_body_leave(struct body *b);
void vcr_replay_body_drop(struct vcr_replay *r, struct vcr_recorded *c);

/* replay-ws.c. begin: false: no WebSocket was recorded there, and nothing was said. is: one that was begun. */
bool vcr_replay_socket_begin(struct vcr_replay *r, struct vcr_gate_exchange *x, const struct vcr_gate_request *q, const char *target);
bool vcr_replay_socket_is(const struct vcr_replay *r, const struct vcr_gate_exchange *x);
void vcr_replay_socket_input(void *replay, struct vcr_gate_exchange *x, const char *p, size_t n);
void vcr_replay_socket_drained(struct vcr_replay *r, struct vcr_gate_exchange *x);
void vcr_replay_socket_done(struct vcr_replay *r, struct vcr_gate_exchange *x, enum vcr_gate_fate fate);
void vcr_replay_socket_end_all(struct vcr_replay *r);

#endif
