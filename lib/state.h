/* state.h — making a state fit for a session file (FORMAT "What the other side is strict about"), and taking that back.
 *
 * A state in the file is one line of ASCII JSON, an object, at most VCR_MAX_STATE_DEPTH deep, without NaN, lone surrogates or
 * integers of 4300 digits. A dict with a key "__type__" is wrapped as {"__type__":"vcr.dict","data":<dict>}: VCRPlayer
 * puts its `data` in its place and looks no further into it, so its users see the dict as it was. */
#ifndef VCR_STATE_H
#define VCR_STATE_H
#include <stdbool.h>
#include "buf.h"
#include "json.h"

enum { VCR_MAX_STATE_DEPTH = 490 };

/* Append text (NULL: {}) to out, as it is when it is fit already (the usual case, one pass). Deeper ones become
 * {"_vcr":{"too_deep":true}}, text that is no JSON {"_vcr":{"not_json":text}}, other values {"_vcr":{"value":…}}. Returns out->err. */
int vcr_state_write(struct vcr_buf *out, const char *text);
/* Write a value of a file's state as it was before wrapping. wrapped: the file is ours; else it is written as it is. */
void vcr_state_unwrap(struct vcr_jw *w, const struct vcr_json *j, int v, bool wrapped);

#endif
