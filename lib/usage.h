/* usage.h — how much of the disk recordings and savepoints take. Without libgit2: every tool may ask. */
#ifndef VCR_USAGE_H
#define VCR_USAGE_H
#include <stdint.h>

/* Bytes on the disk (blocks) of everything in the directory. What has a second name elsewhere (objects linked from the user's own repository) counts
 * nothing: it would be there without us. 0 if there is no such directory. */
int64_t vcr_usage(const char *dir);
/* "500M", "2G", "1048576": K, M, G, T are powers of 1024. -1: that is no size. */
int64_t vcr_usage_parse(const char *text);

#endif
