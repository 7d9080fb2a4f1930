/* sentinel-conf.h — .vcr/sentinel.conf: what is expected of the code of a workspace. Lines; # begins a comment:
 *
 *   preset agent-vcr          thresholds to begin with; before any rule
 *   rule function-length=80,120,-
 *
 * A file that is not there is no error and changes nothing. One that is wrong is an error with its line. */
#ifndef VCR_SENTINEL_CONF_H
#define VCR_SENTINEL_CONF_H
#include "sentinel.h"

int vcr_sentinel_conf_load(const char *path, struct vcr_policy *p, struct vcr_error *e);

#endif
