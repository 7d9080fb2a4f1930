/* open.h — how the verbs that read come to a session: wait for its collector, find it, open it, say what is wrong with it.
 *
 * A damaged line is one warning with file:line on stderr (none with -q); everything else is read. */
#ifndef VCR_TOOL_OPEN_H
#define VCR_TOOL_OPEN_H
#include "reader.h"
#include "tool.h"

enum { VCR_SETTLE_MS = 5000 };

/* Make what was said so far readable: running collectors of vcr_dir drain, what dead ones left is decoded. */
void vcr_tool_settle(const char *vcr_dir);
/* SESSION as vcr_paths_find_session takes it (NULL: the newest), found after settling its directory. Appends the path.
 * Returns 0 or an exit status; what was wrong has been said. */
int vcr_tool_find(const struct vcr_tool *t, const char *session, struct vcr_buf *path);
/* Open the file at path. Returns 0 or an exit status, likewise. */
int vcr_tool_open(const struct vcr_tool *t, const char *path, struct vcr_reader **r);
/* Both. */
int vcr_tool_open_session(const struct vcr_tool *t, const char *session, struct vcr_reader **r, struct vcr_buf *path);

#define VCR_AUTO_READER __attribute__((cleanup(vcr_tool_close))) struct vcr_reader
void vcr_tool_close(struct vcr_reader **r);
#endif
