/* sentinel-baseline.h — findings that are there already, so that only what is worse is said: DIR/sentinel-baseline.json,
 *
 *   {"sentinel_baseline":1,"findings":[{"rule":"parameters","path":"src/a.py","function":"run","value":9},…]}
 *
 * sorted, one finding a line, so that a change of it can be read. A finding is known by its rule, its path (relative to the workspace) and its function, or for
 * those without one what they say; lines are none of it. It is no worse than one that is known if its value is not above that. Each one that is known is good for
 * one finding of a round: a second dropped error in a function is worse. */
#ifndef VCR_SENTINEL_BASELINE_H
#define VCR_SENTINEL_BASELINE_H
#include "sentinel.h"

struct vcr_baseline;
/* *out is NULL if there is none. VCR_ESYNTAX, VCR_ELIMIT: what is there is none of ours. */
int vcr_baseline_load(const char *dir, struct vcr_baseline **out, struct vcr_error *e);
/* The same of a text; dir: for words. */
int vcr_baseline_of(const char *dir, const char *text, size_t n, struct vcr_baseline **out, struct vcr_error *e);
void vcr_baseline_free(struct vcr_baseline *b);
/* A new round: of a scan, of a file. */
void vcr_baseline_again(struct vcr_baseline *b);
/* Is it known, and no worse? path: relative to the workspace. */
bool vcr_baseline_has(struct vcr_baseline *b, const struct vcr_finding *f, const char *path);
/* All of f, whose paths are relative to the workspace, in place of what is there. */
int vcr_baseline_write(const char *dir, const struct vcr_findings *f, struct vcr_error *e);

#endif
