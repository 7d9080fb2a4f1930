/* show.h — a frame as people read it (show-frame.c), for verb-show.c. */
#ifndef VCR_SHOW_H
#define VCR_SHOW_H
#include "reader.h"
#include "tool.h"

/* Append the whole frame: state complete, safe for a terminal. 0, or <0 with e when the state could not be rebuilt (then what the
 * frame's own line holds was appended). */
int vcr_show_frame(struct vcr_tool *t, struct vcr_reader *r, int64_t index, struct vcr_buf *out, struct vcr_error *e);
/* The same without the messages that an earlier frame of the conversation shows; their number stands instead. */
int vcr_show_news(struct vcr_tool *t, struct vcr_reader *r, int64_t index, struct vcr_buf *out, struct vcr_error *e);
#endif
