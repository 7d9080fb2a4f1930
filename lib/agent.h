/* agent.h — which program a session is of, in a few words that are other words when the program is another.
 *
 *   python3.11 5f2c9d0e1a7b, agent.py 0d4e8a91c2f3
 *   node 77aa01bc23de, cli.js 19fe88c0d112, @anthropic-ai/claude-code 2.1.330
 *
 *   python3.11 5f2c9d0e1a7b, aider 3b9d7c51aa02, aider_chat 0.86.1
 *
 * The file that the kernel runs in the end, with the beginning of its build id (or of a hash of its size, first and last 64 KiB, where it has none: nothing large
 * is read); the script, if the program is an interpreter and is given one, by a hash likewise; name and version of the package.json above the script, or of the
 * Python package that brought the command or the module (-m).
 * Nothing is executed. */
#ifndef VCR_AGENT_H
#define VCR_AGENT_H
#include "buf.h"

/* The command as execvp(3) would find it from the current directory. Appends nothing if there is no such program. */
int vcr_agent_identity(char *const *argv, struct vcr_buf *out);
/* The same of a process: the file that it runs, where it was started, its arguments from the zeroth on. */
int vcr_agent_of_process(const char *exe, const char *cwd, int argc, char *const *argv, struct vcr_buf *out);

#endif
