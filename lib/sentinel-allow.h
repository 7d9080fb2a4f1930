/* sentinel-allow.h — comments that say which findings are meant:
 *
 *   // vcr-sentinel: allow RULE[, RULE] -- reason
 *
 * the same in every language's comments; nothing else stands before it in the comment. Behind code it is for its own line. On a line of its own it is for the
 * next one too, and for what stands below one-line decorators, attributes and further such comments that follow it. Findings about a file as a whole are
 * allowed by a comment anywhere in it.
 *
 * Judging a file gives, beside what it finds, for each rule of each comment a finding of VCR_RULE_UNUSED: measured is that rule, its lines are those that the
 * comment is for, threshold the severity from which on it allows nothing (-1: none). So what is kept in a cache still has them when duplicates and clones are known, which are looked for later. vcr_allow_settle then takes away
 * what is allowed, and the comments that allowed something; what remains of them allows nothing. */
#ifndef VCR_SENTINEL_ALLOW_H
#define VCR_SENTINEL_ALLOW_H
#include "sentinel.h"

/* A comment [at, end) of a text of n bytes that says it: how many lines, from that where it begins, it is for (1: its own), and where its rules stand. 0: none. */
uint32_t vcr_allow_comment(const char *text, size_t n, size_t at, size_t end, const char **rules, size_t *nrules);
/* Append what the marks VCR_MARK_ALLOW of a file say. */
int vcr_allow_add(const struct vcr_policy *p, const char *path, const struct vcr_metrics *m, struct vcr_findings *out);
/* Is that comment for that finding, of the same file? */
bool vcr_allows(const struct vcr_finding *comment, const struct vcr_finding *f);
/* Sorts; takes away what is allowed. Call it once, when all findings of the files in it are there. */
void vcr_allow_settle(struct vcr_findings *all);

#endif
