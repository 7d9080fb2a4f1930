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
/* Word by word (runs of letters and digits, runs of spaces, any other character): fn is called for each run of words that both have (' '), that only
 * a has ('-') and that only b has ('+'), in order; ' ' and '-' together are a, ' ' and '+' are b. 0 or VCR_ENOMEM. */
typedef void vcr_diff_run_fn(void *ctx, char sign, const char *p, size_t n);
int vcr_diff_words(const char *a, size_t na, const char *b, size_t nb, vcr_diff_run_fn *fn, void *ctx);

#endif
