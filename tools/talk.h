/* talk.h — a model call's request and answer as a conversation: who said what, in the words of no provider.
 *
 * Understood by shape, not by address, so that recordings of other tools read the same: OpenAI chat, completions, responses and
 * embeddings, Anthropic messages, Gemini generateContent, and a bare {"role","content"}. What is not understood inside a known shape is
 * handed over as compact JSON; of an unknown shape nothing is. Pure functions over parsed JSON. */
#ifndef VCR_TALK_H
#define VCR_TALK_H
#include <stdbool.h>
#include "json.h"

enum vcr_talk_kind {
	VCR_TALK_TEXT,
	VCR_TALK_THINKING,
	VCR_TALK_CALL,     /* text: the arguments, JSON where the provider gives JSON */
	VCR_TALK_RESULT,   /* of a tool; name: its name or the call's id */
	VCR_TALK_OTHER,    /* text: compact JSON, or a description of an image */
};
struct vcr_talk {
	const char *role;  /* "system", "user", "assistant", "tool", … as recorded; "" unknown */
	enum vcr_talk_kind kind;
	int turn;          /* position in the request's list; -1: outside of it (system prompt, answer) */
	const char *name;  /* of the tool; "" */
	bool failed;       /* a tool result that says it is an error */
	const char *text;  /* UTF-8, may hold anything */
	size_t n;
};
/* Everything is borrowed for the call. */
typedef void vcr_talk_fn(void *ctx, const struct vcr_talk *t);

/* The input state of an llm frame. False: of unknown shape, fn was not called. */
bool vcr_talk_request(const struct vcr_json *j, int state, vcr_talk_fn *fn, void *ctx);
/* The value of output_state.response. */
bool vcr_talk_answer(const struct vcr_json *j, int response, vcr_talk_fn *fn, void *ctx);
/* Is that member of a request shown by vcr_talk_request ("messages", "system", …)? */
bool vcr_talk_is_shown(const struct vcr_json *j, int key);
/* The object that holds the conversation: state itself, or the one member it is wrapped in. -1: none. */
int vcr_talk_inner(const struct vcr_json *j, int state);

#endif
