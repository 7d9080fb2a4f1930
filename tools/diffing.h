/* diffing.h — what verb-diff.c and diff-*.c share: two steps compared, and how differences are told.
 *
 * Everything is told through vcr_diffing: words for people, or with --json an object a line, always with the keys op (added, removed, changed; totals,
 * stat), part, path, old_path, old, new, old_frame, new_frame; with --stat only counts. */
#ifndef VCR_TOOL_DIFFING_H
#define VCR_TOOL_DIFFING_H
#include "jdiff.h"
#include "open.h"
#include "tool.h"

struct vcr_diffing {
	struct vcr_tool *t;
	bool words;       /* --words */
	bool stat;        /* --stat */
	bool incidental;  /* calls of two runs: names and times that a run makes up are no difference */
	bool different;   /* found so far */
	struct vcr_diff_ids *ids;
	const char *old_name, *new_name; /* of sessions; NULL once they have been told */
};

/* ---- One frame on either side (diff-frame.c) ---- */

enum vcr_diff_part { VCR_DIFF_FRAME, VCR_DIFF_INPUT, VCR_DIFF_OUTPUT, VCR_DIFF_PARTS };
extern const char *const vcr_diff_part_name[VCR_DIFF_PARTS];

struct vcr_diff_totals {
	int64_t calls, errors, tokens_in, tokens_out, tokens; /* -1 unknown */
	double cost, took_ms, time_ms;                       /* below 0 unknown; took: of the calls; time: from the first frame to the last */
};
#define VCR_DIFF_TOTALS_INIT { -1, -1, -1, -1, -1, -1, -1, -1 }

struct vcr_diff_side {
	int64_t index;
	struct vcr_buf text[VCR_DIFF_PARTS];
	struct vcr_json part[VCR_DIFF_PARTS];
	struct vcr_diff_totals totals;
};
struct vcr_diff_pair {
	struct vcr_diff_side side[2];
	struct vcr_jdiff d[VCR_DIFF_PARTS];
	bool *skip[VCR_DIFF_PARTS];   /* changes that do not count */
	int64_t count[VCR_DIFF_PARTS][3]; /* by op, of those that count */
	int64_t all;
	const char *omitted;          /* NULL: complete states; else only what is new, behind what this says (borrowed) */
};
#define VCR_AUTO_PAIR __attribute__((cleanup(vcr_diff_pair_release))) struct vcr_diff_pair
/* Frame ia of ra and ib of rb with their complete states, compared; what is new in them when p->omitted is set. Else *p
 * is zero. 0 or <0 with e. */
int vcr_diff_pair(struct vcr_diffing *x, struct vcr_diff_pair *p, struct vcr_reader *ra, int64_t ia, struct vcr_reader *rb, int64_t ib, struct vcr_error *e);
void vcr_diff_pair_release(struct vcr_diff_pair *p);
/* Print all changes that count. */
void vcr_diff_pair_tell(struct vcr_diffing *x, const struct vcr_diff_pair *p);
/* vcr diff [SESSION] FRAME FRAME, and across sessions. Returns an exit status. */
int vcr_diff_frames(struct vcr_diffing *x, struct vcr_reader *ra, int64_t ia, struct vcr_reader *rb, int64_t ib);

/* Place of change i, as vcr_jdiff_path. */
int vcr_diff_path(const struct vcr_diff_pair *p, enum vcr_diff_part part, size_t i, bool old, struct vcr_buf *out);

/* ---- What is new in a call (diff-delta.c) ---- */

/* The frame that this one continues, or -1. Appends what it leaves out of it, JSON: equal texts leave out the same. */
int64_t vcr_diff_continues(struct vcr_reader *r, int64_t index, struct vcr_buf *omitted);
/* What the frame's own line holds of its input. */
void vcr_diff_own_input(const struct vcr_reader_frame *f, struct vcr_buf *out);

/* ---- Whole sessions (diff-session.c, diff-work.c) ---- */

/* Returns an exit status. */
int vcr_diff_sessions(struct vcr_diffing *x, struct vcr_reader *ra, struct vcr_reader *rb);
struct vcr_diff_counts { int64_t same, changed, only_a, only_b; };
/* The files that frames changed, by what they hold in the end; the programs that ran, by command line. <0 with e. */
int vcr_diff_files(struct vcr_diffing *x, struct vcr_reader *ra, struct vcr_reader *rb, struct vcr_diff_counts *n, struct vcr_error *e);
int vcr_diff_programs(struct vcr_diffing *x, struct vcr_reader *ra, struct vcr_reader *rb, struct vcr_diff_counts *n, struct vcr_error *e);

/* Identifiers that a server makes up for answers and tool calls: an old one that stood in an answer stands for the new one that stood there, in
 * every request after it. (diff-ids.c) */
struct vcr_diff_ids *vcr_diff_ids_new(void);
void vcr_diff_ids_free(struct vcr_diff_ids *ids);
/* Does the change say nothing but that another run made up another name, or another time? */
bool vcr_diff_is_incidental(struct vcr_diff_ids *ids, enum vcr_diff_part part, const char *path, const struct vcr_json *a, int va, const struct vcr_json *b,
	int vb);

/* ---- Telling (diff-tell.c) ---- */

/* One change for people, several lines. old_path: NULL where it is path. */
void vcr_diff_tell(struct vcr_diffing *x, enum vcr_jdiff_op op, const char *path, const char *old_path, const struct vcr_json *a, int va, const struct vcr_json *b,
	int vb);
/* The lines of a unified diff, in colours, after `indent` columns. */
void vcr_diff_tell_unified(const struct vcr_diffing *x, const char *p, size_t n, unsigned indent);
/* One object of --json; old and new are JSON texts, NULL: null. Frames below 0: null. */
void vcr_diff_tell_json(const char *op, const char *part, const char *path, const char *old_path, const struct vcr_buf *old, const struct vcr_buf *new,
	int64_t old_frame, int64_t new_frame);
/* Side by side, what is known of it. */
void vcr_diff_tell_totals(struct vcr_diffing *x, const struct vcr_diff_totals *a, const struct vcr_diff_totals *b, int64_t old_frame, int64_t new_frame);
/* Before the first difference of sessions: which they are. */
void vcr_diff_tell_names(struct vcr_diffing *x);
/* Print text from a recording on one line. */
void vcr_diff_put(const struct vcr_diffing *x, enum vcr_style style, const char *p, size_t n);
#endif
