/* join.h — one session file of several that continue one another, or of one under another id: what a golden run is kept as, and what a recording is
 * replaced by.
 *
 * Lines are copied in the order of the files: the header of the first under the new id, everything but vcr.end of each; a body that stands in several, once.
 * The end is made anew, with totals and hash of all. Calls of later files come after those of earlier ones (seq). The files are read only; the new one is
 * complete and on disk before anybody can mistake it for a session: it is in a directory of its own until it is renamed. Files that were recorded in different directories
 * cannot be one (VCR_EINVAL): a session has one vcr.context. */
#ifndef VCR_JOIN_H
#define VCR_JOIN_H
#include "buf.h"

/* path: oldest first. made: the path of the new file is appended. */
int vcr_join(const char *vcr_dir, const char *const *path, size_t n, const char *session_id, struct vcr_buf *made, struct vcr_error *e);
/* Remove it, if it still is there, and its directory. */
void vcr_join_remove(const char *made);

#endif
