/* judged.h — what the sentinel of a recording has to say at its end, and the user's tests: what is asked for, and what they came to. */
#ifndef VCR_JUDGED_H
#define VCR_JUDGED_H
#include "json.h"
#include "tool.h"

/* --test-command and --test-timeout, NULL where not given: *seconds for one run; else a wrong call, which has been said. */
int vcr_tests_wanted(const struct vcr_tool *t, const char *command, const char *timeout, bool sealed, int *seconds);
/* j: the collector's summary. Nothing if nothing was judged and nothing tested. */
void vcr_judged_say(const struct vcr_tool *t, const struct vcr_json *j);

#endif
