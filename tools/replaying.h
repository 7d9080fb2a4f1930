/* replaying.h — inside vcr replay: verb-replay.c prepares and serves, replay-tell.c says what happens and how it ended, replay-own.c keeps the
 * replay's own session. */
#ifndef VCR_REPLAYING_H
#define VCR_REPLAYING_H
#include "context.h"
#include "fence.h"
#include "refused.h"
#include "replay.h"
#include "run.h"
#include "session.h"
#include "supervised.h"
#include "tool.h"
#include "../lib/config.h"

enum { VCR_REPLAY_TOKEN = 16 /* bytes */ };

struct replay {
	struct vcr_tool *t;
	const char *speed, *strict, *repeat, *faults;
	bool repeat_last, skip_faults;
	int64_t port;
	char *const *command;       /* NULL: none */
	struct vcr_reader *reader;
	struct vcr_config config;
	struct vcr_normal_user *normalisers; /* of the configuration; NULL none */
	struct vcr_context recorded, here;
	struct vcr_buf vcr_dir, bundle, extra;
	char **hosts;               /* NULL-terminated: known, configured, recorded */
	size_t nhosts, known;
	char token[2 * VCR_REPLAY_TOKEN + 1];
	struct event_base *base;
	struct vcr_ca *ca;
	struct vcr_gate *gate;
	struct vcr_replay *replay;
	int stop[2];                /* a byte ends the loop */
	struct vcr_session *own;    /* the replay's own session: divergences only, made with the first */
	char own_id[32];
	bool own_failed;
	int64_t served, cut_short, missed_calls, missed_sides;
	struct vcr_refused refused;
	struct vcr_fence fence;     /* around the command */
	bool supervise;
	struct vcr_supervised supervised;
	struct vcr_run run;
};

/* replay-tell.c */
void vcr_replay_event(void *replay, const struct vcr_replay_event *ev);
/* What the library refused in the command's own processes, once for each of them and each place. */
void vcr_replay_fenced(void *replay, const char *where, uint32_t kind);
/* How many model calls were recorded, and how many of them were asked for. */
int64_t vcr_replay_calls(const struct replay *r, int64_t *asked);
void vcr_replay_summary(struct replay *r);
/* replay-own.c */
void vcr_replay_write_miss(struct replay *r, const struct vcr_replay_event *ev);
/* Ends it and says where it is, if there is one. */
void vcr_replay_end_own(struct replay *r);
#endif
