/* chain.h — which sessions a session continues: what a replay recorded while it was online names what it was a replay of. */
#ifndef VCR_CHAIN_H
#define VCR_CHAIN_H
#include <stdbool.h>
#include <stddef.h>
#include "reader.h"
#include "tool.h"

enum { VCR_CHAIN = 64 /* sessions */ };
struct vcr_chain {
	struct vcr_reader *reader[VCR_CHAIN]; /* oldest first; the last is the session itself, or one that it is a part of */
	char *path[VCR_CHAIN];
	size_t n;
	const struct vcr_reader *borrowed;    /* the session itself */
};
/* 0 or an exit status; what was wrong has been said. A session that is continued but not here is said, and not in it. Release in any case. */
int vcr_chain_open(const struct vcr_tool *t, const char *vcr_dir, struct vcr_reader *r, const char *path, struct vcr_chain *c);
void vcr_chain_release(struct vcr_chain *c);
/* Does it hold a model call? */
bool vcr_chain_has_calls(struct vcr_reader *r);
#endif
