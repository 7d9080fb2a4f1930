/* txn.h — which transactions are open in a workspace: STATE/txn/<session>, one small file for each, written whole.
 *
 * A transaction is a session whose collector stays until it is told to end (vcr-collector --stay): its base savepoint is the state to which an abort
 * goes back. The file says that it is open, whatever became of the collector. One that is isolated (isolate.h) has a work tree of its own; any
 * number of those may be open, beside one that is not. */
#ifndef VCR_TXN_H
#define VCR_TXN_H
#include <stdbool.h>
#include <stdint.h>
#include "buf.h"

struct vcr_txn {
	char session[104];
	char vcr_dir[4096];     /* where its recording is */
	int64_t began_ns;       /* real time */
	/* isolated; "" otherwise */
	char dir[4096];         /* its work tree */
	char workspace[4096];   /* the work tree that it came from */
	char into[512];         /* the branch that was checked out there, a full name; "" none */
	char head[72];          /* the commit it began at */
	char work[72];          /* the tree of its files as it began: head and what was not committed; "" not known yet */
	char from[72], to[72];  /* `into` is being moved between these; "" it is not */
	char message[512];      /* and what is noted then */
};
static inline bool vcr_txn_is_isolated(const struct vcr_txn *t)
{
	return *t->dir;
}
/* VCR_EEXIST: that one is open already, or, if this one is not isolated, another such one in this workspace (its id is in e). */
int vcr_txn_open(const char *state_dir, const struct vcr_txn *t, struct vcr_error *e);
/* What is known of one that is open. */
int vcr_txn_save(const char *state_dir, const struct vcr_txn *t, struct vcr_error *e);
/* The open transaction of that session; NULL: the only one (VCR_EBUSY: there are several, whose ids are in e). VCR_ENOTFOUND. */
int vcr_txn_find(const char *state_dir, const char *session, struct vcr_txn *out, struct vcr_error *e);
int vcr_txn_close(const char *state_dir, const char *session, struct vcr_error *e);
/* The ids of all that are open, sorted, one a line. */
int vcr_txn_list(const char *state_dir, struct vcr_buf *out, struct vcr_error *e);

#endif
