/* log.h — what verb-log.c, log-sessions.c, log-follow.c, log-graph.c and log-nodes.c share. */
#ifndef VCR_LOG_H
#define VCR_LOG_H
#include "filter.h"
#include "open.h"

struct vcr_log {
	struct vcr_tool *t;
	struct vcr_filter filter;
	int64_t limit;     /* -1: none */
	bool reverse;
	/* of what was printed */
	int64_t frames, calls, errors, tokens;
	double cost;
	bool head_printed;
};

/* The frames' table head (once), one frame's line, the line of totals. status: 0, or VCR_EXIT_FAILED when the frame cannot be read
 * (which has been said). */
void vcr_log_head(struct vcr_log *l);
int vcr_log_frame(struct vcr_log *l, struct vcr_reader *r, int64_t index);
void vcr_log_totals(struct vcr_log *l, const struct vcr_reader *r, const char *path);

/* Take a frame that was shown into the totals. */
void vcr_log_count(struct vcr_log *l, struct vcr_reader *r, const struct vcr_reader_frame *f);
enum vcr_style vcr_log_style(const char *type);
/* The frames at index[0..n), rising, as a tree. 0, or VCR_EXIT_FAILED when one cannot be read (which has been said). */
int vcr_log_graph(struct vcr_log *l, struct vcr_reader *r, const int64_t *index, int64_t n);
/* The nodes of these frames, each once. Likewise. */
int vcr_log_nodes(struct vcr_log *l, struct vcr_reader *r, const int64_t *index, int64_t n);

/* vcr log without a session. Returns the exit status. */
int vcr_log_sessions(struct vcr_log *l);
/* vcr log --follow [SESSION]. */
int vcr_log_follow(struct vcr_log *l, const char *session);

/* "ended", "live" (its collector answers), "cut", or "-": the file says nothing about its end (ai-agent-vcr). */
const char *vcr_log_state(struct vcr_reader *r);
#endif
