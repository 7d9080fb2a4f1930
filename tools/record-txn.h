/* record-txn.h — vcr-record's command as a transaction: begun before it, ended by how it ends. */
#ifndef VCR_RECORD_TXN_H
#define VCR_RECORD_TXN_H
#include "tool.h"
#include "txn.h"

struct vcr_record_txn {
	bool wanted, isolate, commit_on_success, rollback_on_failure;
	bool open;
	int start;              /* isolated: the directory where we were called */
	struct vcr_buf home;    /* the state directory where it says that it is open */
	struct vcr_txn txn;
};
#define VCR_RECORD_TXN_INIT { .start = -1, .home = VCR_BUF_INIT }
/* That session is the workspace's transaction from now on. Isolated: its tree is the workspace and we are in it, as far down as before. 0, or an exit
 * status; what is wrong has been said. */
int vcr_record_txn_open(struct vcr_record_txn *x, const struct vcr_tool *t, const char *session, struct vcr_buf *workspace, const char *vcr_dir);
/* Its collector runs and has its base: the frame txn:begin. Likewise. */
int vcr_record_txn_begin(struct vcr_record_txn *x, const struct vcr_tool *t, const char *session);
/* Nothing came of it. */
void vcr_record_txn_drop(struct vcr_record_txn *x);
void vcr_record_txn_release(struct vcr_record_txn *x);
/* The command has ended, and `processes` of the session still live. True: the transaction has ended, and its collector ends; false: it stays open,
 * which has been said. */
bool vcr_record_txn_end(struct vcr_record_txn *x, const struct vcr_tool *t, const char *session, const char *vcr_dir, bool success, int64_t processes);
/* Another verb of ours as a process: its exit status, or -1. */
int vcr_run_verb(char *const argv[]);

#endif
