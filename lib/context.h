/* context.h — the directories that a run calls its own: where it was recorded, and here and now. */
#ifndef VCR_CONTEXT_H
#define VCR_CONTEXT_H
#include "normal.h"
#include "reader.h"

struct vcr_context { char *cwd, *workspace, *home, *tmp; }; /* NULL: unknown */
/* As the session's vcr.context line has it; all unknown in a file without one. */
int vcr_context_recorded(struct vcr_context *c, struct vcr_reader *r, struct vcr_error *e);
/* The current directory, its workspace, $HOME, and $TMPDIR or /tmp. */
void vcr_context_here(struct vcr_context *c);
struct vcr_normal_context vcr_context_normal(const struct vcr_context *c);
void vcr_context_release(struct vcr_context *c);

#endif
