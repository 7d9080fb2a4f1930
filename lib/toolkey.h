/* toolkey.h — what a tool is known by when it is looked for in a session: its directory and arguments, without what differs from run to run.
 *
 * Besides what normalisers recognise (normal.h), what codex does to commands of its model: it has its shell print what it is like, keeps that in a file that it names after the
 * time, and from the moment on at which the file is there, which is another one in each run, wraps a command into text that reads the file, puts variables back, and ends in
 * "exec SHELL -c COMMAND". gemini-cli names the directory anew in which its shell leaves what runs on. A command that is wrapped is the command itself here, by a login shell, as codex runs it while there is no file. */
#ifndef VCR_TOOLKEY_H
#define VCR_TOOLKEY_H
#include "normal.h"

/* asked: the directory, then the arguments, each with a NUL behind it; so is what is appended to out. */
int vcr_toolkey(const struct vcr_normal_context *c, const struct vcr_buf *asked, struct vcr_buf *out);

#endif
