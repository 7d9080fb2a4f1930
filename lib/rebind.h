/* rebind.h — an answer that was recorded in one directory, of things with one name, told to a program that runs in another and has others.
 *
 * In every string of a JSON text, or of the JSON texts of a stream (SSE "data:" lines, one object a line), a directory or name of the recorded run
 * becomes the one that stands for it now. A model streams a path in pieces: the strings that stand at the same place of successive records, and belong
 * to the same "index", are read as one text, and what spans several is put into the first of them. Keys, numbers, white space and
 * everything that is no JSON stay as they are. Pure. */
#ifndef VCR_REBIND_H
#define VCR_REBIND_H
#include <stdint.h>
#include "buf.h"

/* A directory, absolute and without a final slash, or another name that stands as a word of its own. */
struct vcr_binding { const char *recorded, *live; }; /* the longest that stands there counts, of equal ones the first */
/* 1: out holds the text anew, and offset[0..noffset), ascending places in p, are the places that correspond to them; 0: nothing was
 * to be changed, and nothing was; or negative. */
int vcr_rebind(const struct vcr_binding *b, size_t nb, const char *p, size_t n, struct vcr_buf *out, uint64_t *offset, size_t noffset);

#endif
