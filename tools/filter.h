/* filter.h — which frames and sessions a list shows. A condition that is not set holds always; all that are set must hold. */
#ifndef VCR_FILTER_H
#define VCR_FILTER_H
#include "options.h"
#include "reader.h"

struct vcr_filter {
	struct vcr_opt_list tags;  /* the session has one of them */
	struct vcr_opt_list types; /* node, tool, llm, error, checkpoint */
	struct vcr_opt_list nodes; /* globs */
	const char *since, *grep;
	bool errors;
	int64_t since_ns;          /* made by vcr_filter_check */
};
#define VCR_FILTER_OPTIONS(f) \
	{ 0, "tag", "TAG", VCR_OPT_LIST, &(f)->tags, "sessions with this tag; may be given several times: one of them" }, \
	{ 0, "type", "TYPE", VCR_OPT_LIST, &(f)->types, "frames of this type: llm, tool, error, checkpoint or node; likewise" }, \
	{ 0, "node", "GLOB", VCR_OPT_LIST, &(f)->nodes, "frames whose node name matches, as 'file:*'; likewise" }, \
	{ 'e', "errors", NULL, VCR_OPT_FLAG, &(f)->errors, "frames of type error, and others that hold an error" }, \
	{ 0, "since", "WHEN", VCR_OPT_STRING, &(f)->since, "from then on: 2h, 3d, 10:30, 2026-11-24, 2026-11-24T10:30" }, \
	{ 'g', "grep", "TEXT", VCR_OPT_STRING, &(f)->grep, "frames that hold TEXT, in upper or lower case" }

/* After the command line: understand --since and --type. Returns 0 or an exit status. */
int vcr_filter_check(const struct vcr_tool *t, struct vcr_filter *f);
bool vcr_filter_has_frame_conditions(const struct vcr_filter *f);
bool vcr_filter_session(const struct vcr_filter *f, const struct vcr_reader_session *s);
/* 1 yes, 0 no, <0: the frame cannot be read. */
int vcr_filter_frame(const struct vcr_filter *f, struct vcr_reader *r, int64_t index, struct vcr_error *e);
void vcr_filter_release(struct vcr_filter *f);

/* Does text hold what, whatever the case? Both UTF-8; letters are compared as Unicode folds them one by one. */
bool vcr_contains(const char *text, size_t n, const char *what);
#endif
