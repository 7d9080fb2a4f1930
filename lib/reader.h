/* reader.h — reading session files, ours and ai-agent-vcr's, tolerantly (FORMAT "What our reader takes").
 *
 * Opening maps the file and finds lines, types and timestamps without parsing whole states (opening 10,000 frames must be at least
 * 20 times faster than VCRPlayer.load); a frame is parsed when asked for. Frame index = rank by timestamp, ties by line
 * order. One bad line is one warning with its line number. A recording is hostile input. */
#ifndef VCR_READER_H
#define VCR_READER_H
#include <stdbool.h>
#include <stdint.h>
#include "buf.h"
#include "json.h"

struct vcr_reader;
typedef void vcr_reader_warn_fn(void *ctx, const char *path, int64_t line, const char *what);
int vcr_reader_open(struct vcr_reader **r, const char *path, vcr_reader_warn_fn *warn, void *ctx, struct vcr_error *e);
void vcr_reader_free(struct vcr_reader *r);
/* Take in what was appended since (for --follow). 1 if there is something new, 0 if not. */
int vcr_reader_refresh(struct vcr_reader *r, struct vcr_error *e);

struct vcr_reader_session {
	const char *session_id, *parent_session_id; /* "" and NULL if absent */
	int64_t forked_from_frame;                   /* -1 */
	int64_t created_ns, updated_ns;              /* Unix time, 0 unknown */
	const char *const *tags; int ntags;
	const char *metadata_json;                   /* object text */
	int64_t total_tokens, errors; double total_cost_usd; /* summed over frames; errors: of type error, or with one in their metadata */
	bool ended;                                  /* a vcr.end line closes it */
	const char *end_json;                        /* its data, or NULL */
	int64_t warnings;
};
const struct vcr_reader_session *vcr_reader_session(const struct vcr_reader *r);
/* The same, but total_tokens, errors and total_cost_usd may not be summed yet: that looks at every frame of a session that has not ended. */
const struct vcr_reader_session *vcr_reader_header(const struct vcr_reader *r);
int64_t vcr_reader_count(const struct vcr_reader *r);

/* What is known of a frame without parsing it (0 <= index < count). */
struct vcr_reader_brief {
	int64_t line, time_ns; /* 0: none */
	const char *type;      /* "?" for one that is no common word; lives as long as the reader */
	bool call;             /* a model call, or the error of one */
};
struct vcr_reader_brief vcr_reader_brief(const struct vcr_reader *r, int64_t index);

/* One frame, parsed. `j` is the data object; members are indexes into it or decoded values. Valid until the next
 * vcr_reader_frame/refresh/free on this reader. */
struct vcr_reader_frame {
	int64_t index, line;
	const struct vcr_json *j;
	const char *frame_id, *parent_frame_id, *type, *node_name; /* "" / NULL if absent */
	int64_t time_ns;
	const char *model, *error_type, *error_message;            /* NULL */
	double latency_ms, cost_usd;                               /* cost < 0: none */
	int64_t tokens, tokens_in, tokens_out;                     /* -1: none */
	int input, output, custom, vcr;                            /* value indexes; vcr = metadata.custom.vcr; -1 */
};
int vcr_reader_frame(struct vcr_reader *r, int64_t index, struct vcr_reader_frame *f, struct vcr_error *e);
/* Only what we noted of it ourselves, for those who go through thousands of frames: its line in *j, metadata.custom.vcr in *vcr (-1: there is none). As
 * long valid as a vcr_reader_frame. */
int vcr_reader_noted(struct vcr_reader *r, int64_t index, const struct vcr_json **j, int *vcr, struct vcr_error *e);
/* The complete input state: what "_vcr":{"after":…,"omitted":…} leaves out is put back (JSON object text). */
int vcr_reader_full_input(struct vcr_reader *r, int64_t index, struct vcr_buf *out, struct vcr_error *e);
/* The complete output state, likewise: a long result of a tool stands in the request that brought it. */
int vcr_reader_full_output(struct vcr_reader *r, int64_t index, struct vcr_buf *out, struct vcr_error *e);
/* Does the frame's own line show the beginning of a state only ("_vcr":{"whole":…}, pair-cut.h)? */
bool vcr_reader_is_cut(const struct vcr_reader_frame *f, int state);
/* A body by reference, rebuilt byte for byte (bounded chain, cycles refused). */
int vcr_reader_body(struct vcr_reader *r, const char *ref, struct vcr_buf *out, struct vcr_error *e);
/* Index of the frame with that id, or -1. */
int64_t vcr_reader_by_id(struct vcr_reader *r, const char *frame_id);
/* N, call:K (K-th llm frame, from 0, errors of model calls included), start, end, @TIME (as when.h): index of the frame. */
int vcr_reader_resolve(struct vcr_reader *r, const char *what, int64_t *index, struct vcr_error *e);
/* Other lines (vcr.http, vcr.end, …): calls fn for each line of that type in file order; stops on non-zero. */
typedef int vcr_reader_line_fn(void *ctx, const struct vcr_json *j, int data, int64_t line);
int vcr_reader_each(struct vcr_reader *r, const char *type, vcr_reader_line_fn *fn, void *ctx, struct vcr_error *e);

#endif
