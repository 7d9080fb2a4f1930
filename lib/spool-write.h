/* spool-write.h — append to a session's spool from outside of the shim (the gate does): the writer's algorithm of ../shim/spool-format.h. Not for two
 * threads at once. Where there is no room the collector is given a moment to make some; a record that cannot be appended is counted in the header as dropped. */
#ifndef VCR_SPOOL_WRITE_H
#define VCR_SPOOL_WRITE_H
#include <stdbool.h>
#include <stddef.h>
#include "error.h"
#include "spool-format.h"

struct vcr_spool_writer;
int vcr_spool_writer_new(struct vcr_spool_writer **w, const char *path, struct vcr_error *e);
void vcr_spool_writer_free(struct vcr_spool_writer *w);
struct vcr_spool_header *vcr_spool_writer_header(struct vcr_spool_writer *w);

struct vcr_spool_append {
	uint32_t type, conn;
	int pid;                      /* whose doing it is */
	uint64_t time_ns;             /* CLOCK_MONOTONIC */
	const void *head; size_t nhead; /* the struct of that type; may be empty */
	const void *data; size_t n;
};
/* OUT and IN of any length, in as many records as it takes; others VCR_SPOOL_MAX_RECORD at most. False: lost and counted. */
bool vcr_spool_writer_append(struct vcr_spool_writer *w, const struct vcr_spool_append *a);
/* The offset behind the last record that was appended. */
uint64_t vcr_spool_writer_end(const struct vcr_spool_writer *w);
/* Wake the collector: something has ended. May be a while after the records, so that nobody waits for it who need not. */
void vcr_spool_writer_ring(struct vcr_spool_writer *w);
/* Have the pages of the next records at hand: each costs a fault when it is touched first, and many at once cost less. */
void vcr_spool_writer_prepare(struct vcr_spool_writer *w);
/* A connection's number. */
uint32_t vcr_spool_writer_conn(struct vcr_spool_writer *w);
bool vcr_spool_writer_muted(const struct vcr_spool_writer *w, uint32_t conn);

#endif
