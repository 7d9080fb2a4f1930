/* spool.h — the collector's side of the spool (../shim/spool-format.h): make one, read one, wait on one. */
#ifndef VCR_SPOOL_H
#define VCR_SPOOL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "spool-format.h"

struct vcr_spool;
struct vcr_spool_make {
	const char *session_id, *start_dir, *workspace, *vcr_dir;
	uint32_t flags;
	int root_pid; /* 0: unknown yet */
};
/* Make a spool in the runtime directory (vcr-record). *path is malloc'd. */
int vcr_spool_create(const struct vcr_spool_make *m, char **path, struct vcr_error *e);
/* Attach as the one reader: takes the lock (flock on PATH.lock), maps, checks. VCR_EBUSY if another holds it. */
int vcr_spool_attach(struct vcr_spool **s, const char *path, struct vcr_error *e);
void vcr_spool_free(struct vcr_spool *s);           /* unmap and unlock */
int vcr_spool_remove(struct vcr_spool *s);          /* unlink, when the session is over */
struct vcr_spool_header *vcr_spool_header(struct vcr_spool *s);

struct vcr_spool_event {
	uint32_t type, conn, size;
	int32_t pid, tid;
	uint64_t time_ns, seq; /* seq: the record's offset */
	bool closed;           /* of a FILE record: what was opened has been closed again, which no further record says; */
	uint64_t closed_ns;    /* then */
	const char *payload; /* a private copy, NUL-terminated at payload[size] */
};
/* The next record: 0; 1: nothing more now. dead: no writer lives any more, so nothing is waited for. Never fails on content. */
int vcr_spool_next(struct vcr_spool *s, bool dead, struct vcr_spool_event *ev);
/* Everything before the record `seq` has been turned into lines of the session file: move `head` there, give the memory back. After
 * a crash the next reader begins at head. */
void vcr_spool_consumed(struct vcr_spool *s, uint64_t seq);
/* Bytes that its file system has left; UINT64_MAX: no limit is known. */
uint64_t vcr_spool_room(const struct vcr_spool *s);
/* Processes that append to this spool (have it mapped as a writer does), from /proc/PID/maps: up to n pids. */
size_t vcr_spool_writers(const struct vcr_spool *s, int *pid, size_t n);
/* Is there any, but for this process? */
bool vcr_spool_is_written(const char *path);
/* Offset of the next record to be read. */
uint64_t vcr_spool_position(const struct vcr_spool *s);
/* Do at least n finished records wait to be read? Without reading them. */
bool vcr_spool_holds(struct vcr_spool *s, unsigned n);
/* Keep the file allocated ahead of its writers, so that their threads do not pay for fresh pages. asked: somebody has, who cannot do it; further, then. By any thread. */
void vcr_spool_grow(struct vcr_spool *s, bool asked);
/* Sleep until a writer asks for that, whom we have not answered: *seen is `scarce` as it was before the last growing. */
void vcr_spool_await_scarce(struct vcr_spool *s, uint32_t *seen);
/* Wake everybody who waits on a futex word of the header. */
/* Everything before has been looked at: who holds an answer back for that (vcr_spool_await) goes on. */
void vcr_spool_acted(struct vcr_spool_header *h, uint64_t upto);
/* The same for calls that had begun (VCR_REC_CONN) before `upto`: the savepoint before is theirs too, whatever their bytes say. */
void vcr_spool_clean(struct vcr_spool_header *h, uint64_t upto);
/* Sleep until everything before `upto` has been looked at, or the call that began before `begun` was found to follow no change, timeout_us at most. For one
 * process at a time. */
void vcr_spool_await(struct vcr_spool_header *h, uint64_t begun, uint64_t upto, int timeout_us);
void vcr_spool_wake(uint32_t *word);
/* Field 22 of /proc/PID/stat; 0 if it cannot be read, or of a process that has ended and that nobody has waited for. */
uint64_t vcr_spool_start_time(int pid);
uint32_t vcr_spool_crc(const void *p, size_t n); /* CRC-32C */
/* Sleep until the doorbell rings or timeout_ms passes. */
void vcr_spool_wait(struct vcr_spool *s, int timeout_ms);
struct vcr_spool_losses { uint64_t dropped_records, dropped_bytes, cut, skipped_bytes, bad_crc; };
void vcr_spool_losses(const struct vcr_spool *s, struct vcr_spool_losses *l);
/* String k (0-based) after the struct of `fixed` bytes in a payload; "" if absent. */
const char *vcr_spool_string(const struct vcr_spool_event *ev, size_t fixed, unsigned k);

#endif
