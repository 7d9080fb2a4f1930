/* when.h — points in time as people type them.
 *
 *   2026-11-24T10:02:11Z, …+01:00, 1764000000   as session files write them (scan.h); seconds or milliseconds since 1970
 *   2026-11-24T10:02[:11], 2026-11-24 10:02     without an offset: local time (tools print local time)
 *   2026-11-24                                  local midnight
 *   10:02, 10:02:11                             that local time on the day of `day_ns`
 *   90s, 30m, 2h, 3d, 1w                        so long before `now_ns` */
#ifndef VCR_WHEN_H
#define VCR_WHEN_H
#include <stdbool.h>
#include <stdint.h>

/* Nanoseconds since 1970. False, and *ns untouched, if s is none of these. now_ns 0: no spans before now are taken. */
bool vcr_when(const char *s, int64_t day_ns, int64_t now_ns, int64_t *ns);

#endif
