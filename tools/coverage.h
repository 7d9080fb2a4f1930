/* coverage.h — what a session's end says about each program that ran: did the library get in, by which lane were its model calls seen, and if not, why. */
#ifndef VCR_COVERAGE_H
#define VCR_COVERAGE_H
#include "json.h"
#include "tool.h"

/* The end of a session (data of vcr.end, or the collector's result) in a line or two on stderr: who called models, and who was not entered. */
void vcr_coverage_say(const struct vcr_tool *t, const struct vcr_json *j);
/* As a table on stdout, or one object per program; then losses and reasons. False: it says nothing about programs. */
bool vcr_coverage_print(const struct vcr_tool *t, const struct vcr_json *j);
#endif
