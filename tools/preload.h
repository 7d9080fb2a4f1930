/* preload.h — where libvcrshim.so is, and the LD_PRELOAD that puts it into a command. */
#ifndef VCR_PRELOAD_H
#define VCR_PRELOAD_H
#include <stdbool.h>
#include "buf.h"
#include "shim.h"

/* Append the list: ours (beside this executable, else the installed one; $VCR_SHIM wins), then what the user has there, without a second copy of
 * ours. deterministic: libvcrdeterm.so behind it. NULL, or why it cannot be had. */
const char *vcr_preload_list(struct vcr_buf *out, bool deterministic);
/* How the command, found as execvp(3) finds it, takes the preload. The rule is that of the library's own exec hook, shim/elf.c. */
enum vcr_target vcr_preload_target(const char *command);
#endif
