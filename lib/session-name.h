/* session-name.h — a session file that loses its name while it is written gets it back.
 *
 * An agent's `git clean -fdx` removes .vcr like anything that git ignores. The writer's descriptor still holds the file; a second link in the
 * state directory (where the file system is the same) holds it even when the writer dies. */
#ifndef VCR_SESSION_NAME_H
#define VCR_SESSION_NAME_H
#include "error.h"

/* Makes path (in directory dir, made if need be) a name of the file open as *fd again, if nothing has that name now: from spare, a link to the
 * same file (NULL: none), else by a copy, which *fd then stands for. A stranger's file of that name is left. */
int vcr_session_name_keep(const char *path, const char *dir, const char *spare, int *fd, struct vcr_error *e);
/* After a writer's death: path from spare, if path is not there and spare is. */
void vcr_session_name_restore(const char *path, const char *dir, const char *spare);

#endif
