/* record-tell.h — what vcr-record says when a session is over, or its command is. */
#ifndef VCR_RECORD_TELL_H
#define VCR_RECORD_TELL_H
#include "buf.h"
#include "tool.h"

/* result: what the collector left, or says so far (goes_on). On stderr: totals, programs, what was not seen; with --quiet what was lost alone; with --json as it is. */
void vcr_record_tell(const struct vcr_tool *t, const char *id, const struct vcr_buf *result, bool goes_on);
#endif
