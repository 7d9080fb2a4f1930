/* extract.h — a savepoint's files in a directory of their own, for whoever wants to look at them or try them. */
#ifndef VCR_EXTRACT_H
#define VCR_EXTRACT_H
#include "savepoint.h"

/* Fill the empty directory `dir` (an open descriptor) with the files, links and directories of `tree`, secrets unsealed. Modes are kept, directories can be
 * written by their owner besides. What a savepoint does not hold (too large, or not looked into, as node_modules) is a link to what is in the
 * workspace now; its number goes to *linked (may be NULL). Names are hostile: nothing outside dir is written. */
int vcr_store_extract(struct vcr_store *s, const char *tree, int dir, const char *workspace, size_t *linked, struct vcr_error *e);

#endif
