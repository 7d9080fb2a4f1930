/* match.h — which recorded call answers a request.
 *
 * An index over a session's model calls and vcr.http lines. A request is looked for rung by rung: exact (K0, the bytes), canonical (K1), and,
 * when asked for, normalised (K2: canon.h's form after normal.h) and structural (K3: what of that form is left by structural.h; of the calls that nobody has
 * the one whose texts are most alike, at least VCR_STRUCTURAL_LEAST). Keys cover method, path, query and redacted body, no header fields.
 * Calls that the recording says were made with equal keys are given out in the order in which they were asked, each to one request at a time: vcr_match_give
 * takes the first that nobody has, vcr_match_back says whether its answer was delivered completely (it is spent) or not (it comes again).
 * Conversations keep apart by themselves, since an agent's request carries its whole conversation.
 *
 * The keys of the first two rungs stand in the recording. Normal forms are made when they are needed, and of those calls only that may match: normalisation
 * never changes how many items a conversation has, and the body's size hardly, so calls of that many items are taken in order, those of about that size first.
 *
 * A miss names the nearest recording: same place, longest common beginning of the conversation, then what is left of it; and the first place
 * where both bodies differ, as a JSON pointer (RFC 6901). For that the recorded requests are indexed by hashes of their prefixes, at the
 * first miss. A recording is hostile input: what does not fit is left out and counted. */
#ifndef VCR_MATCH_H
#define VCR_MATCH_H
#include <stdbool.h>
#include <stdint.h>
#include "canon.h"
#include "http1.h"
#include "normal.h"
#include "reader.h"

enum vcr_rung { VCR_RUNG_EXACT, VCR_RUNG_CANONICAL, VCR_RUNG_NORMALISED, VCR_RUNG_STRUCTURAL };
enum { VCR_RUNGS = 4 };
const char *vcr_rung_name(enum vcr_rung r);

struct vcr_piece_time { uint64_t offset, time_us; }; /* where in the body a read began, microseconds after the first byte */

struct vcr_recorded {
	struct vcr_reader *reader;    /* of its session */
	const struct vcr_normal_context *in; /* where it was recorded; lives as long as the match */
	int age;                      /* 0: of the oldest session of the chain */
	int64_t time_ns;              /* when it was written down; 0 unknown */
	int64_t frame;                /* index; -1 for a vcr.http line */
	int64_t call;                 /* K of call:K; -1 */
	int64_t line, seq;
	enum vcr_api api;
	char *method, *path, *host;   /* never NULL */
	int status;                   /* 0: no answer came */
	char *reason, *failure, *coding; /* NULL */
	bool tls, complete;
	bool websocket;               /* a turn of one: its method is the handshake's, or WEBSOCKET where it asks for nothing (no request is equal to that) */
	int64_t conn;                 /* of a turn, and of one that GOAWAY refused: the connection's number */
	char *aside, *turns;          /* of a turn, vcr-format(5): JSON; NULL */
	int64_t began_us;             /* since 1970; 0 unknown, or not asked for */
	int64_t ttfb_us, total_us;    /* -1 unknown */
	char k0[VCR_KEY_LEN], k1[VCR_KEY_LEN], k2[VCR_KEY_LEN], k3[VCR_KEY_LEN]; /* k2, k3: "" until they are needed */
	double likeness;              /* 1; STRUCTURAL: when it was given last */
	char request_ref[48], response_ref[48]; /* "" none */
	bool unreadable;              /* its request cannot be rebuilt */
	int64_t items, size;          /* of the conversation, and bytes of the body; -1 until they are needed */
	struct vcr_http1_field *field; size_t nfield; /* of the answer, those that were kept */
	struct vcr_http1_field *trailer; size_t ntrailer;
	bool http2;
	uint32_t reset_code;          /* failure "reset": of that stream of HTTP/2 alone; 0 of the connection */
	bool goaway; uint32_t goaway_code; /* by GOAWAY, with that code, as one that was not looked at */
	struct vcr_piece_time *piece; size_t npiece;  /* from the second read on */
	enum { VCR_FREE, VCR_GIVEN, VCR_SPENT } state;
	unsigned given;               /* times */
	unsigned anew;                /* it was given last because no equal one was free: of vcr_match_give_like; else 0 */
	int64_t took_us;              /* what serving it took, all times together */
	void *user;                   /* the caller's */
};

struct vcr_match;
struct vcr_match_session { struct vcr_reader *reader; struct vcr_normal_context recorded; };
struct vcr_match_options {
	enum vcr_rung rung;           /* the last to be tried */
	enum vcr_repeat { VCR_REPEAT_NONE, VCR_REPEAT_ANEW, VCR_REPEAT_LAST } repeat; /* when all equal calls are spent: a miss; all of them anew (a server
	                                  that outlives its clients); the last of them */
	const struct vcr_match_session *before; size_t nbefore; /* sessions that this one continues, oldest first; their calls come first. Borrowed */
	int64_t not_before_ns;        /* calls written down earlier than that have expired, and are not given out; 0: none */
	bool nothing;                 /* nothing is given out */
	bool began;                   /* began_us is wanted */
	bool skip_faults;             /* calls that failed, or were answered with an error status, are not given out */
	struct vcr_normal_context recorded, live; /* for NORMALISED and STRUCTURAL */
};
/* r is borrowed; NULL: there is no recording. */
int vcr_match_new(struct vcr_match **m, struct vcr_reader *r, const struct vcr_match_options *o, struct vcr_error *e);
void vcr_match_free(struct vcr_match *m);

struct vcr_match_query {
	enum vcr_api api;
	const char *method, *target;  /* target redacted */
	const char *body; size_t nbody; /* content-decoded, redacted */
};
/* The call that answers, given out until vcr_match_back; *rung says how it was found. NULL: a miss. */
struct vcr_recorded *vcr_match_give(struct vcr_match *m, const struct vcr_match_query *q, enum vcr_rung *rung);
/* The same for a request that is known to be equal, at that rung, to one that `like` answered: no key is made. anew: what `like` had in its member of that name
 * when it was given to that request. NULL: ask vcr_match_give. */
struct vcr_recorded *vcr_match_give_like(struct vcr_match *m, const struct vcr_recorded *like, unsigned anew, enum vcr_rung rung);
void vcr_match_back(struct vcr_match *m, struct vcr_recorded *c, bool delivered);

enum vcr_miss {
	VCR_MISS_PLACE,     /* nothing was recorded for that method and path */
	VCR_MISS_QUERY,     /* … for that query */
	VCR_MISS_BODY,      /* the body differs: `pointer` says where */
	VCR_MISS_SPENT,     /* it was recorded, but asked once more than then */
};
struct vcr_divergence {
	enum vcr_miss kind;
	const struct vcr_recorded *nearest;   /* NULL for PLACE */
	struct vcr_buf pointer;               /* BODY: JSON pointer into the request; "" the whole body */
	struct vcr_buf recorded, live;        /* both values there, excerpts; empty: there is none */
	size_t common;                        /* items at the beginning of the conversation that are the same */
	int64_t times;                        /* SPENT: how often it was recorded */
};
#define VCR_DIVERGENCE_INIT { 0, NULL, VCR_BUF_INIT, VCR_BUF_INIT, VCR_BUF_INIT, 0, 0 }
/* Why there was no answer. d is filled, strings anew; one line for people is appended to words (may be NULL). */
int vcr_match_explain(struct vcr_match *m, const struct vcr_match_query *q, struct vcr_divergence *d, struct vcr_buf *words, struct vcr_error *e);
void vcr_divergence_release(struct vcr_divergence *d);

size_t vcr_match_count(const struct vcr_match *m);
struct vcr_recorded *vcr_match_call(const struct vcr_match *m, size_t i); /* in the order in which they were asked */
struct vcr_match_stats { int64_t calls, sides, unusable /* left out, or asked for by nothing */, skipped /* faults */, expired, spent; int64_t by_rung[VCR_RUNGS]; };
void vcr_match_stats(const struct vcr_match *m, struct vcr_match_stats *s);
/* What is wrong with the first of the unusable ones, with file and line; "" there are none. */
const char *vcr_match_unusable(const struct vcr_match *m);

#endif
