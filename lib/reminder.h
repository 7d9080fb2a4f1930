/* reminder.h — words of ours in a request to a model: where they may stand, and the request with them. Pure functions over bytes.
 *
 * A reminder is put behind what the agent itself says last, so behind all results of tools, and stands in every later request of that conversation at
 * the same place, in the same words: what a provider keeps of the conversation's beginning (its prompt cache, its bindings of thinking blocks) holds.
 *
 *   openai.chat, ollama.chat    a message of its own     {"role":"user","content":TEXT}
 *   openai.responses            an item of its own       {"type":"message","role":"user","content":[{"type":"input_text","text":TEXT}]}
 *   gemini.generate             a content of its own     {"role":"user","parts":[{"text":TEXT}]}
 *   anthropic.messages          the last block of the user's message   {"type":"text","text":TEXT}
 *
 * The agent's bytes all stay, in their order: there are insertions only. A text that has to become a block (Anthropic's content, the input of
 * responses, both written as a string) is put between brackets as it stands. Before or between the results of tools, and behind what the model
 * said (a prefill), there is no place. Requests of other APIs are left alone: Bedrock's are signed over their bytes.
 *
 * A place is known again by the number of items before it and by what they say (vcr_conv_meaning), so markers of a cache may move. Time grows with the
 * request and, for each item, with the number of reminders, VCR_MAX_REMINDERS at most. */
#ifndef VCR_REMINDER_H
#define VCR_REMINDER_H
#include <stdbool.h>
#include "buf.h"
#include "json.h"
#include "provider.h"

struct vcr_reminder_place {
	size_t items;      /* of the conversation that stand before it; at least 1 */
	uint64_t prefix;   /* what these say */
};
struct vcr_reminder {
	struct vcr_reminder_place place;
	const char *text;  /* UTF-8 */
	size_t n;
};

/* Is that an API whose requests may hold one? */
bool vcr_reminder_speaks(enum vcr_api api);
/* Where a reminder that is new would stand in that request: 0; 1: there is no place. *goes_on: the model has spoken before, so whoever asks has acted
 * upon it. j: the body. */
int vcr_reminder_find(enum vcr_api api, const char *target, const struct vcr_json *j, struct vcr_reminder_place *place, bool *goes_on);
/* The place behind so many items of that conversation: 0; 1: it has not so many, or nothing may stand there. */
int vcr_reminder_at(enum vcr_api api, const char *target, const struct vcr_json *j, size_t items, struct vcr_reminder_place *place);
/* Append the body with those that have their place in it, in the order of the list where several stand at one place. told[i]: does r[i]? NULL: not asked
 * for. 0; 1: none of them has one, and nothing was appended. VCR_ELIMIT: more than VCR_MAX_REMINDERS. */
int vcr_reminder_put(enum vcr_api api, const char *target, const struct vcr_json *j, const struct vcr_reminder *r, size_t n, bool *told, struct vcr_buf *out);

#endif
