/* golden.h — what vcr golden and others of its kind share with vcr verify and vcr replay. */
#ifndef VCR_TOOL_GOLDEN_H
#define VCR_TOOL_GOLDEN_H
#include "tool.h"

/* vcr verify of the file at path, which is called `name`. The exit status; everything has been said. */
int vcr_verify_path(const struct vcr_tool *t, const char *path, const char *name);

#endif
