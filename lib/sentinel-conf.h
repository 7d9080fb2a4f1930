/* sentinel-conf.h — .vcr/sentinel.conf: what is expected of the code of a workspace. Lines; # begins a comment:
 *
 *   preset agent-vcr          thresholds to begin with; before any rule
 *   rule function-length=80,120,-
 *   exclude vendor/           not judged (sentinel-exclude.h)
 *
 * A file that is not there is no error and changes nothing. One that is wrong is an error with its line. */
#ifndef VCR_SENTINEL_CONF_H
#define VCR_SENTINEL_CONF_H
#include "sentinel.h"
#include "sentinel-exclude.h"

/* Onto p; x is replaced if the file is there. */
int vcr_sentinel_conf_load(const char *path, struct vcr_policy *p, struct vcr_excludes *x, struct vcr_error *e);
/* The same of a text; path: for words. */
int vcr_sentinel_conf_of(const char *path, const char *text, size_t n, struct vcr_policy *p, struct vcr_excludes *x, struct vcr_error *e);

#endif
