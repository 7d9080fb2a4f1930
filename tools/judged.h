/* judged.h — what the sentinel of a recording has to say at its end, and the user's tests. */
#ifndef VCR_JUDGED_H
#define VCR_JUDGED_H
#include "json.h"
#include "tool.h"

/* j: the collector's summary. Nothing if nothing was judged and nothing tested. */
void vcr_judged_say(const struct vcr_tool *t, const struct vcr_json *j);

#endif
