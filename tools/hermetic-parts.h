/* hermetic-parts.h — the inside of hermetic.h, shared by replay-hermetic.c (questions and answers) and hermetic-runs.c (what was recorded). */
#ifndef VCR_HERMETIC_PARTS_H
#define VCR_HERMETIC_PARTS_H
#include "again.h"
#include "around.h"
#include "hermetic.h"
#include "served.h"

enum { MOST_LIVE = VCR_AGAIN_MOST, DEEPEST = 64 /* programs within each other */ };

struct run {
	struct vcr_reader *reader;
	const struct vcr_normal_context *in;
	char frame[37];
	struct vcr_buf asked, normal; /* cwd and arguments, each with a NUL behind it; normalised */
	char stdout_ref[48], stderr_ref[48], *why; /* why: it cannot be answered; NULL */
	uint32_t how, value;
	bool ended, given, printed, no_tool; /* no_tool: it ran before its parent had spoken to a model, and will again */
	bool early, spoke;            /* it began then, and is answered all the same where it was not the agent: that is, has not called a model */
	char within[37], input[48];   /* the frame of what it was begun under; what its input was */
	size_t outer;                 /* the index of that one, and 1; 0: there is none */
	int64_t pid;
	struct change { int64_t index; char at[VCR_SERVED_AT]; bool made; } *change; /* of files: indexes of frames; when each was made, and, once it serves, when what it was made for was asked */
	size_t nchange;
	struct vcr_served *served;    /* it was a server; NULL */
	bool serves;                  /* and is asked now */
	struct vcr_standin_mark *mark; /* of what it printed: what was typed then; or, in_order, how much error output there was */
	uint32_t nmark;
	bool in_order;
};

/* Runs by what was asked, in order; of equal ones tools first, in recorded order. */
struct by_text { const struct vcr_buf *text; bool no_tool; size_t run, given; /* of the first of those that are tools, or none: how many of its equals are known to have been given out */ };

struct vcr_hermetic {
	struct replay *r;
	struct run *run;
	size_t n, cap, tools;
	struct vcr_normal_context live, in; /* in: where the last session was recorded */
	const struct vcr_normal_context *taking; /* where the one was that is being taken */
	size_t from;                  /* its first run */
	bool says_who_spoke;          /* it does */
	bool cuts;                    /* a session has not all arguments of all tools */
	struct vcr_redact *redact;
	bool exact;
	struct vcr_around around;
	int root;
	struct vcr_asked *asked;
	struct by_frame { const char *frame; size_t run; } *by_frame; /* of the session that is being taken, in order */
	size_t nby_frame;
	struct by_text *by_asked, *by_normal;
	int64_t answered, refused, unwritten;
	struct vcr_buf named;         /* those that were refused, each once */
	int64_t nnamed;
	struct vcr_warden *warden;
	int64_t unwatched;
	struct vcr_buf library;       /* its path */
	struct vcr_buf strangers;     /* programs whose tools were not watched, a line each */
};

/* hermetic-runs.c: the runs of that session, recorded there, are added. */
int vcr_hermetic_take(struct vcr_hermetic *h, struct vcr_reader *reader, const struct vcr_normal_context *in, struct vcr_error *e);
/* What it was begun under; NULL: nothing. */
struct run *vcr_hermetic_outer(const struct vcr_hermetic *h, const struct run *run);
/* Why it cannot be answered; NULL: it can be. */
const char *vcr_hermetic_why_not(const struct run *run);
/* Recorded directories in a text become those of this run. */
static inline void vcr_hermetic_rebind(const struct vcr_hermetic *h, const struct vcr_normal_context *in, const struct vcr_buf *text, struct vcr_buf *out) { vcr_again_rebind(in, &h->live, text, out); }

#endif
