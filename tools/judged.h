/* judged.h — what the sentinel of a recording has to say at its end. */
#ifndef VCR_JUDGED_H
#define VCR_JUDGED_H
#include "json.h"
#include "tool.h"

/* j: the collector's summary. Nothing if nothing was judged. */
void vcr_judged_say(const struct vcr_tool *t, const struct vcr_json *j);

#endif
