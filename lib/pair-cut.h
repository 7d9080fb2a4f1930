/* pair-cut.h — the states of a tool frame: short ones as they are, of a long one the beginning and where the whole stands (FORMAT "Growth").
 *
 *   {"path":"a.c","text":"the beg…","_vcr":{"whole":{"frame":"<frame_id>","at":"output_state.response.content[1].input"}}}
 * An input state's whole is the value there: an object; a string that is the JSON text of one; else it stands as {"input":VALUE}.
 *   {"result":"the beg…","_vcr":{"whole":{"frame":"<frame_id>","at":"input_state.messages[3].content","member":"result"}}}
 * An output state's whole is the object with that one member: the value at that place of the frame's complete state. */
#ifndef VCR_PAIR_CUT_H
#define VCR_PAIR_CUT_H
#include "json.h"

enum { VCR_PAIR_SHORT = 512 /* bytes of JSON that are not worth a reference */ };

/* What was asked for as an object, JSON text; {} for -1. */
int vcr_pair_arguments(struct vcr_buf *out, const struct vcr_json *j, int v);
/* arguments: as the function before gives them. */
int vcr_pair_cut_input(struct vcr_buf *out, const char *arguments, size_t n, const char *frame_id, const char *at);
int vcr_pair_cut_output(struct vcr_buf *out, const struct vcr_json *j, int v, const char *member, const char *frame_id, const char *at);

#endif
