/* conv.h — which conversation a model call belongs to, and what of its request is new (FORMAT "Growth"). Sans-I/O.
 *
 * Agents resend the whole conversation on every call. A call extends an earlier one when that one's complete list of messages stands at the
 * front of its own, cache markers aside; among several such the longest, then the one whose answer comes next in the list, whose system
 * prompt, tools and model are the same, the latest. An equal list is a repetition: it has the same parent as the one it repeats. The OpenAI
 * responses API may name its predecessor by previous_response_id instead. Rewritten histories begin a new lane.
 *
 * The reduced input state is the request without what the frame `after` already shows:
 *   "_vcr":{"after":"<frame_id>","omitted":{"messages":12,"tools":true,"system":true}}
 * A number n at the list's key: the first n items of that list of the complete state of `after`, byte for byte, go before those
 * present. true at a key: the member of that name there. A member "_vcr" of the request itself is kept as "_vcr":{"is":VALUE}.
 *   "in":"request"
 * The list and the members are those of the member of that name (Google's Code Assist wraps its requests), here and in the frames before.
 *   "answer":[[0,{"role":"assistant"},"content"]]
 * What the answer in frame `after` shows is not repeated either: behind the items from the state of `after` stand, counted in n too, items
 * made of message 0 (vcr_conv_answer_message): the members that are named, and those that are given, in this order; and so on.
 *
 * Memory is bounded: the last VCR_CONV_CALLS calls are known, an older one is not found any more. */
#ifndef VCR_CONV_H
#define VCR_CONV_H
#include "buf.h"
#include "json.h"
#include "provider.h"

enum { VCR_CONV_CALLS = 4096 };

struct vcr_conv;
struct vcr_conv *vcr_conv_new(void); /* NULL: no memory */
void vcr_conv_free(struct vcr_conv *c);

struct vcr_conv_place {
	char parent[37];  /* frame id of the call that this one extends; "" none */
	char after[37];   /* frame that the reduced state refers to; "" none: the state is complete */
	size_t known;     /* items of the list that the extended call had too: what stands behind them is new */
	char lane[48];    /* for vcr_session_add_body: "c7", or "c7<c2" when lane c7 branches off c2; "" for calls without a conversation */
};
/* Find the place of a request, append its reduced input state (a JSON object) to input, and remember it under frame_id. j: the redacted request
 * body; info: of that body. answer: what will be the frame's output_state.response, or NULL. VCR_EINVAL if the body is no object (nothing is appended). */
int vcr_conv_place(struct vcr_conv *c, const struct vcr_json *j, const struct vcr_request_info *info, const struct vcr_json *answer,
	const char *frame_id, struct vcr_conv_place *place, struct vcr_buf *input);
/* That frame could not be written after all: nothing may refer to it. */
void vcr_conv_forget(struct vcr_conv *c, const char *frame_id);
/* Message k of an answer as the APIs shape it (choices[k].message, output[k], candidates[k].content, message, or the answer itself);
 * -1 if there is none. */
int vcr_conv_answer_message(const struct vcr_json *j, int response, int k);
/* A hash of what a value says, going on from h: member order counts (a client keeps its own), cache markers do not, nor whether a text that is alone
 * stands in a block. */
uint64_t vcr_conv_meaning(uint64_t h, const struct vcr_json *j, int v);

#endif
