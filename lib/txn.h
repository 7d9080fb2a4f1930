/* txn.h — which transactions are open in a workspace: STATE/txn/<session>, one small file for each, written whole.
 *
 * A transaction is a session whose collector stays until it is told to end (vcr-collector --stay): its base savepoint is the state to which an abort
 * goes back. The file says that it is open, whatever became of the collector. */
#ifndef VCR_TXN_H
#define VCR_TXN_H
#include <stdint.h>
#include "buf.h"

struct vcr_txn {
	char session[104];
	char vcr_dir[4096];     /* where its recording is */
	int64_t began_ns;       /* real time */
};
/* VCR_EEXIST: that one is open already, or another one in this workspace (its id is in e). */
int vcr_txn_open(const char *state_dir, const struct vcr_txn *t, struct vcr_error *e);
/* The open transaction of that session; NULL: the only one. VCR_ENOTFOUND. */
int vcr_txn_find(const char *state_dir, const char *session, struct vcr_txn *out, struct vcr_error *e);
int vcr_txn_close(const char *state_dir, const char *session, struct vcr_error *e);

#endif
