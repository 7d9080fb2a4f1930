/* outsider.h — a command that the library does not enter says nothing of itself: that it runs, how it ended, and what it is not given, is said here. */
#ifndef VCR_OUTSIDER_H
#define VCR_OUTSIDER_H
#include <sys/types.h>
#include "determ.h"
#include "shim.h"
#include "run.h"
#include "tool.h"

/* To the session's spool: it is about to run as that process; it has ended, status as waitpid(2) reports it. */
void vcr_outsider_begins(const char *spool, pid_t pid, char *const argv[]);
void vcr_outsider_ended(const char *spool, pid_t pid, int status);
/* Of a deterministic session: its variables (vcr_determ_terms_apply) into our environment; of those that are set to 1 the user is told. */
void vcr_outsider_apply_terms(const struct vcr_tool *t, const struct vcr_determ_terms *terms);
/* To the user, of a deterministic session: where it is none of those that can be given the session's clock and chance, and where its process numbers are the kernel's. */
void vcr_outsider_say_chance(const struct vcr_tool *t, enum vcr_target target, const char *command, const struct vcr_run *run);
/* Likewise where tools are answered from a session: where what it starts is not seen. */
void vcr_outsider_say_tools(const struct vcr_tool *t, enum vcr_target target, const char *command);

#endif
