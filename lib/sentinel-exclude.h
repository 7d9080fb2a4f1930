/* sentinel-exclude.h — which files of a workspace are not judged. Patterns are those of a shell (fnmatch): one without a slash is for a file or directory of
 * that name anywhere; one with a slash is for a path from the workspace's top, in which * stands for no slash. A slash at the end is for nothing but itself.
 * What is below an excluded directory is excluded. */
#ifndef VCR_SENTINEL_EXCLUDE_H
#define VCR_SENTINEL_EXCLUDE_H
#include <stdbool.h>
#include "error.h"

struct vcr_excludes { char **pattern; int n; };
#define VCR_EXCLUDES_INIT { 0 }
/* VCR_ESYNTAX, VCR_ELIMIT, VCR_ENOMEM, in words. */
int vcr_excludes_add(struct vcr_excludes *x, const char *pattern, struct vcr_error *e);
/* path: relative to the workspace. */
bool vcr_excluded(const struct vcr_excludes *x, const char *path);
void vcr_excludes_release(struct vcr_excludes *x);
#define VCR_AUTO_EXCLUDES __attribute__((cleanup(vcr_excludes_release))) struct vcr_excludes

#endif
