/* replaying.h — inside vcr replay: verb-replay.c prepares and serves, replay-tell.c says what happens and how it ended, replay-own.c keeps the
 * divergences, replay-live.c what goes on to the real hosts, replay-hermetic.c has tools answered. */
#ifndef VCR_REPLAYING_H
#define VCR_REPLAYING_H
#include "chain.h"
#include "context.h"
#include "determ.h"
#include "fence.h"
#include "ledger.h"
#include "limits.h"
#include "refused.h"
#include "replay.h"
#include "run.h"
#include "session.h"
#include "spooled.h"
#include "supervised.h"
#include "tool.h"
#include "../lib/config.h"

enum { VCR_REPLAY_TOKEN = 16 /* bytes */ };

/* What may go on to the real hosts. */
enum vcr_replay_mode { VCR_MODE_NONE, VCR_MODE_ONCE, VCR_MODE_NEW_EPISODES, VCR_MODE_ALL, VCR_MODE_REWRITE };

struct replay {
	struct vcr_tool *t;
	const char *speed, *strict, *repeat, *faults;
	bool repeat_last, skip_faults;
	int64_t port;
	char *const *command;       /* NULL: none */
	const char *mode_word, *expired_word;
	int64_t expire_days;        /* 0: recordings do not grow old */
	enum vcr_replay_mode mode;
	bool online;                /* what was not recorded goes on to the real hosts, and is recorded */
	struct vcr_reader *reader;  /* NULL: there is no recording yet */
	struct vcr_reader *opened;  /* the session that was asked for: that one, or what a replay of it wrote down */
	struct vcr_chain chain;
	struct vcr_buf path;        /* of that session */
	struct vcr_match_session before[VCR_CHAIN]; /* what it continues, oldest first */
	struct vcr_context before_in[VCR_CHAIN];
	size_t nbefore;
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
	struct vcr_fence fence;     /* around the command; if we are online, the spool of the session that is recorded */
	struct vcr_replay_live {
		char id[VCR_MAX_SESSION_ID + 1]; /* of that session */
		struct vcr_spooled spooled;
		struct vcr_forward *forward;
		pid_t collector;        /* 0: none runs */
		int words, awaits;      /* what it says on stderr; vcr_control_await_result */
		int root;               /* serving alone: closed, it ends the process that stands for a command; -1 */
		pid_t root_pid;         /* of that one */
		int64_t calls, sides;   /* that went on */
		struct vcr_reader *reader; /* of what was recorded; NULL until the end */
	} live;
	bool supervise, seal, deterministic, wants_hermetic;
	struct vcr_determ_terms terms;
	struct vcr_buf strangers;   /* programs whose clock and chance, or whose tools, are their own, a line each */
	struct vcr_determ_page *determ; /* the command's clock; NULL: it has the machine's */
	struct vcr_hermetic *hermetic; /* NULL: tools run */
	struct vcr_sealed sealed;
	struct vcr_buf hosts_file;  /* that stands for /etc/hosts inside */
	struct vcr_supervised supervised;
	struct vcr_run run;
};

/* replay-tell.c */
void vcr_replay_event(void *replay, const struct vcr_replay_event *ev);
/* What the library refused in the command's own processes, once for each of them and each place. */
void vcr_replay_fenced(void *replay, const char *where, uint32_t kind);
/* What it could not do there: kept if it is about clock and chance, or about tools, each once. */
void vcr_replay_lost(void *replay, const char *words);
/* How many model calls were recorded, and how many of them were asked for. */
int64_t vcr_replay_calls(const struct replay *r, int64_t *asked);
void vcr_replay_summary(struct replay *r);
/* replay-live.c. The spool is there (fence). Make what goes on to the real hosts; prepared before the gate is. */
int vcr_replay_live_prepare(struct replay *r, struct vcr_error *e);
/* Recording begins: root is the process whose calls they are. */
int vcr_replay_live_start(struct replay *r, pid_t root, struct vcr_error *e);
/* A process that stands for a command while we serve alone; -1. */
pid_t vcr_replay_live_root(struct replay *r);
/* The command has ended: the session is finished, and read if it can be. */
void vcr_replay_live_finish(struct replay *r);
/* After the gate, before the event base. */
void vcr_replay_live_release(struct replay *r);
/* replay-rewrite.c: what was recorded takes the place of the recording, if the run succeeded. */
void vcr_replay_rewrite(struct replay *r, bool succeeded);
/* replay-own.c */
void vcr_replay_write_miss(struct replay *r, const struct vcr_replay_event *ev);
/* How a session that comes of this replay calls the recording: its id, or golden/FINGERPRINT. */
const char *vcr_replay_name(const struct replay *r);
/* Ends it and says where it is, if there is one. */
void vcr_replay_end_own(struct replay *r);
#endif
