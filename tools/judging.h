/* judging.h — vcr-sentinel: what its commands share. */
#ifndef VCR_JUDGING_H
#define VCR_JUDGING_H
#include "options.h"
#include "sentinel-scan.h"

/* The exit statuses of vcr-sentinel. */
enum vcr_judged { VCR_JUDGED_CLEAN = 0, VCR_JUDGED_CRITICAL = 1, VCR_JUDGED_BLOCKER = 2, VCR_JUDGED_FAILED = 3, VCR_JUDGED_USAGE = 64 };

struct vcr_judging {
	struct vcr_tool *t;
	struct vcr_policy policy;
	const char *preset;
	struct vcr_opt_list rules;
	int64_t jobs;
	bool metrics, all, no_cache, sarif, github, junit;
};
/* One finding: for people with the line of the source, or a line of JSON. */
void vcr_judging_tell(const struct vcr_judging *j, const struct vcr_finding *f);
/* All of a scan: findings, figures with --metrics, what was skipped, the summary. */
void vcr_judging_tell_scan(const struct vcr_judging *j, const struct vcr_scanned *s, const struct vcr_findings *all);
/* sentinel-formats.c: the same for other programs, if that is asked for. */
bool vcr_judging_tell_others(const struct vcr_judging *j, const struct vcr_scanned *s, const struct vcr_findings *all);
/* sentinel-judge.c: the judge of a recording, until standard input ends. */
int vcr_judging_serve(struct vcr_judging *j);
int vcr_judged_status(enum vcr_severity worst);
#endif
