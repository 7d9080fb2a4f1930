/* diff.h — unified text diff of two contents (Myers, with a work bound; beyond it one replaced block). */
#ifndef VCR_DIFF_H
#define VCR_DIFF_H
#include <stdbool.h>
#include <stddef.h>
#include "buf.h"

/* No NUL in the first 8000 bytes and valid UTF-8 throughout. */
bool vcr_diff_is_text(const char *p, size_t n);
/* Append a unified diff ("--- a/old", "+++ b/new", hunks with 3 lines of context, "\ No newline at end of file") that
 * patch(1) and `git apply` accept. NULL contents mean "no such file" (/dev/null). Nothing is appended when equal. */
int vcr_diff_unified(struct vcr_buf *out, const char *old_name, const char *a, size_t na,
	const char *new_name, const char *b, size_t nb);

#endif
