/* control.h — asking a running collector: one JSON object per line over a Unix socket, one line back.
 *
 * Socket: RUNTIME/<session>.sock (0600), RUNTIME as vcr_paths_runtime_dir. Requests {"op":"drain"|"status"|"annotate"|"savepoint"|"end", …}; answers
 * {"ok":true,…} or {"ok":false,"error":"…"}. drain answers when everything appended to the spool before it is in the session file.
 * annotate: {"op":"annotate","data":{…}} writes a node frame (data: node, input, output; or tags). savepoint: {"op":"savepoint","message":"…"}
 * sweeps and writes a checkpoint frame; with "node":"txn:begin", "txn:rollback" ("to":N) or "txn:commit" one of that name. Only the same user is answered (SO_PEERCRED). */
#ifndef VCR_CONTROL_H
#define VCR_CONTROL_H
#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>
#include "buf.h"

/* ---- Tools ---- */

/* One question. VCR_ENOTFOUND if no collector listens for that session; timeout_ms bounds the whole exchange. */
int vcr_control_ask(const char *session_id, const char *request_json, struct vcr_buf *answer, int timeout_ms, struct vcr_error *e);
/* Before a tool reads sessions of vcr_dir: wait (at most timeout_ms for all of them) for their live collectors to drain, and start new ones for those that
 * died (`--salvage`): these decode what is left in the spool, and go on recording while a process of the session lives. collector: its path, NULL for $VCR_COLLECTOR or the installed one.
 * Spools that nobody needs any more are removed. */
void vcr_control_settle(const char *vcr_dir, int timeout_ms);
/* The collector's program: $VCR_COLLECTOR, else vcr-collector beside this executable (a build tree), else the installed one. Appends the path. */
int vcr_control_collector_path(struct vcr_buf *path, struct vcr_error *e);
/* The program of that name beside this executable (a build tree, or libexec itself), else in libexec. */
int vcr_control_program_path(const char *name, struct vcr_buf *path, struct vcr_error *e);
/* Likewise the judge of what is written (judge.h): $VCR_JUDGE, else what is started with the words vcr-sentinel judge. */
int vcr_control_judge_path(struct vcr_buf *path, struct vcr_error *e);
/* The shipped price table: installed, or in the build tree that this program stands in. Not for two threads at once. */
const char *vcr_control_prices_path(void);
/* Start a collector: in a process group of its own, which no terminal's key ends, with default signals and no descriptor of ours; what it says on stderr goes to
 * `words` (-1: nowhere). Of the session it stays: the kernel's scheduler shares out the machine by sessions (autogroup), and when others compute too, a gate that
 * is alone waits for its turn where one among its agent's processes goes on in theirs. */
int vcr_control_spawn(char *const argv[], int words, pid_t *pid, struct vcr_error *e);
/* Likewise, but it has these descriptors (16 at most), as 3, 4 and so on; -1: none at that number. */
int vcr_control_spawn_with(char *const argv[], int words, const int *given, int n, pid_t *pid, struct vcr_error *e);
/* What a collector leaves at its end for the vcr-record that awaits it: RUNTIME/<session>.result. It is there from await to take, and locked by who
 * awaits, so that a collector can tell when nobody does any more. await: a descriptor to be held until take, or -1. take: appends the text, removes
 * the file, closes the descriptor. leave: the collector's side. */
int vcr_control_await_result(const char *session_id);
int vcr_control_take_result(const char *session_id, int awaits, struct vcr_buf *json, struct vcr_error *e);
void vcr_control_leave_result(const char *session_id, const struct vcr_buf *json);

/* ---- The collector's side ---- */

enum { VCR_CONTROL_CLIENTS = 8, VCR_CONTROL_REQUEST = 1 << 20 };
struct vcr_control_client { int fd; struct vcr_buf in; };
struct vcr_control {
	int listener; /* -1: could not be made; tools then see no collector */
	char path[200];
	struct vcr_control_client client[VCR_CONTROL_CLIENTS];
};
/* Answers one request: writes one JSON object to answer. */
typedef void vcr_control_fn(void *ctx, const char *request, size_t n, struct vcr_buf *answer);
int vcr_control_listen(struct vcr_control *c, const char *session_id, struct vcr_error *e);
/* Fill fds (room for VCR_CONTROL_CLIENTS + 1), returns how many. */
int vcr_control_pollfds(const struct vcr_control *c, struct pollfd *fds);
/* Accept, read, answer what is there; never blocks for long. */
void vcr_control_serve(struct vcr_control *c, vcr_control_fn *fn, void *ctx);
void vcr_control_close(struct vcr_control *c);

#endif
