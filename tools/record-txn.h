/* record-txn.h — vcr-record's command as a transaction: begun before it, ended by how it ends. */
#ifndef VCR_RECORD_TXN_H
#define VCR_RECORD_TXN_H
#include "tool.h"

struct vcr_record_txn {
	bool wanted, commit_on_success, rollback_on_failure;
	bool open;
};
/* That session is the workspace's transaction from now on. 0, or an exit status; what is wrong has been said. */
int vcr_record_txn_open(struct vcr_record_txn *x, const struct vcr_tool *t, const char *session, const char *workspace, const char *vcr_dir);
/* Its collector runs and has its base: the frame txn:begin. Likewise. */
int vcr_record_txn_begin(struct vcr_record_txn *x, const struct vcr_tool *t, const char *session);
/* Nothing came of it. */
void vcr_record_txn_drop(struct vcr_record_txn *x, const char *session, const char *workspace);
/* The command has ended, and `processes` of the session still live. True: the transaction has ended, and its collector ends; false: it stays open,
 * which has been said. */
bool vcr_record_txn_end(struct vcr_record_txn *x, const struct vcr_tool *t, const char *session, const char *vcr_dir, bool success, int64_t processes);
/* Another verb of ours as a process: its exit status, or -1. */
int vcr_run_verb(char *const argv[]);

#endif
