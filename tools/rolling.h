/* rolling.h — what verb-rollback.c (decides and does) and rollback-tell.c (says) share. */
#ifndef VCR_TOOL_ROLLING_H
#define VCR_TOOL_ROLLING_H
#include "holders.h"
#include "rollback.h"
#include "tool.h"
#include "who.h"

enum { VCR_ROLLBACK_HOLDERS = 64 };
struct vcr_rollback_call {
	struct vcr_tool *t;
	bool dry_run, force;
	char session[104];
	const char *workspace, *vcr_dir;
	int64_t last_ns;                 /* since when others' changes are told of */
	struct vcr_store *store;
	struct vcr_reader *in;           /* the session; NULL */
	struct vcr_rollback *plan;
	struct vcr_who_index own, others; /* filled when first asked for */
	bool knows_own, knows_others;
	struct vcr_holder holder[VCR_ROLLBACK_HOLDERS];
	size_t nholder;
	bool all_holders;                /* complete */
};

/* Will the item be changed? */
bool vcr_rollback_does(const struct vcr_rollback_call *c, const struct vcr_rollback_item *i);
/* Fill holder[]; its `file` is the index of the item. */
void vcr_rollback_find_holders(struct vcr_rollback_call *c);
/* One line or object for an item that is not as wanted already. */
void vcr_rollback_tell_item(struct vcr_rollback_call *c, const struct vcr_rollback_item *i);
/* Who has open what is (would be) replaced, on stderr; nothing with --json, where the items say it. */
void vcr_rollback_tell_holders(const struct vcr_rollback_call *c);
/* Whose modification time was wanted and is not known, on stderr; nothing with --json. */
void vcr_rollback_tell_times(const struct vcr_rollback_call *c);
/* A summary object, or a line. */
void vcr_rollback_tell_end(const struct vcr_rollback_call *c, size_t changed, const char *target);
void vcr_rollback_forget(struct vcr_rollback_call *c);

#endif
