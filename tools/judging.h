/* judging.h — vcr-sentinel: what its commands share. */
#ifndef VCR_JUDGING_H
#define VCR_JUDGING_H
#include "json.h"
#include "options.h"
#include "sentinel-exclude.h"
#include "sentinel-scan.h"

/* The exit statuses of vcr-sentinel. */
enum vcr_judged { VCR_JUDGED_CLEAN = 0, VCR_JUDGED_CRITICAL = 1, VCR_JUDGED_BLOCKER = 2, VCR_JUDGED_FAILED = 3, VCR_JUDGED_USAGE = 64 };

struct vcr_judging {
	struct vcr_tool *t;
	struct vcr_policy policy;
	struct vcr_excludes excludes;
	char *top;              /* of the workspace: what is excluded is below it */
	char *dir;              /* where sentinel.conf and the baseline are */
	struct vcr_baseline *baseline; /* NULL: none */
	size_t known;           /* findings of a scan that it has */
	const char *preset;
	struct vcr_opt_list rules;
	int64_t jobs;
	bool metrics, all, no_cache, no_baseline, sarif, github, junit;
};
/* sentinel-expect.c: the policy is a preset, what sentinel.conf says on it, and --preset and --rule on that. */
int vcr_judging_options(struct vcr_judging *j, struct vcr_error *e);
int vcr_judging_expect(struct vcr_judging *j, const char *conf, struct vcr_error *e);
/* By the text of it; conf: for words. */
int vcr_judging_expect_text(struct vcr_judging *j, const char *conf, const char *text, size_t n, struct vcr_error *e);
/* The one of the workspace around path; sets top and dir. */
int vcr_judging_expect_at(struct vcr_judging *j, const char *path, struct vcr_error *e);
/* Is that file or directory excluded? */
bool vcr_judging_excluded(const struct vcr_judging *j, const char *path);
/* sentinel-baseline.c: that of a directory, unless it is not wanted. */
int vcr_judging_load_baseline(struct vcr_judging *j, const char *dir, struct vcr_error *e);
/* Of a scan's findings, sorted, only what is worse than the baseline remains. */
void vcr_judging_drop_known(struct vcr_judging *j, struct vcr_findings *all);
/* They are the baseline. Returns the exit status. */
int vcr_judging_keep(struct vcr_judging *j, const struct vcr_scanned *s, const struct vcr_findings *all);
/* One finding: for people with the line of the source, or a line of JSON. */
void vcr_judging_tell(const struct vcr_judging *j, const struct vcr_finding *f);
/* All of a scan: findings, figures with --metrics, what was skipped, the summary. */
void vcr_judging_tell_scan(const struct vcr_judging *j, const struct vcr_scanned *s, const struct vcr_findings *all);
/* sentinel-formats.c: the same for other programs, if that is asked for. */
/* Neither for a program nor unwanted. */
bool vcr_judging_for_people(const struct vcr_judging *j);
bool vcr_judging_tell_others(const struct vcr_judging *j, const struct vcr_scanned *s, const struct vcr_findings *all);
/* sentinel-judge.c: one write after the other, against what stood there before the first of them. */
struct vcr_judging_run;
struct vcr_judging_text { char *p; size_t n; bool there, known; };
/* workspace: where duplicates are looked for; NULL: among the files that are written. NULL: no memory. */
struct vcr_judging_run *vcr_judging_begin(struct vcr_judging *j, const char *workspace);
void vcr_judging_end(struct vcr_judging_run *s);
/* Into an object that is open: what lib/judge.h says of an answer, without its id. before counts with the first write of a path only. */
void vcr_judging_answer(struct vcr_judging_run *s, struct vcr_jw *w, const char *path, const struct vcr_judging_text *before, const struct vcr_judging_text *after);
/* What stood in a file before anything of it is judged; a file of no language that is known is not kept. */
void vcr_judging_know(struct vcr_judging_run *s, const char *path, const struct vcr_judging_text *before);
/* What stands there under its new name is what was judged under the old one. */
void vcr_judging_moved(struct vcr_judging_run *s, const char *from, const char *to);
/* sentinel-check.c: the writes of a recorded session. */
int vcr_judging_check(struct vcr_judging *j, const char *session);
/* sentinel-diff.c: the changes of a range of git's, REV..REV. */
int vcr_judging_diff(struct vcr_judging *j, const char *range);
/* sentinel-watch.c: what is written below a directory, until SIGINT or SIGTERM. */
int vcr_judging_watch(struct vcr_judging *j, const char *dir);
/* The judge of a recording, until standard input ends. */
int vcr_judging_serve(struct vcr_judging *j);
int vcr_judged_status(enum vcr_severity worst);
#endif
