/* structural.h — requests of one structure: what the rung below "normalised" compares.
 *
 * Two requests have one structure when their normal forms (normal.h) are the same but for the text of what the user said and what tools
 * returned: same method, path, model, parameters, system text, tools, unknown fields, same sequence of items with the same roles, names of tools,
 * words and calls of the model, same number and kinds of parts. Only these strings may differ, each standing where one stood:
 *
 *   openai.chat, ollama.chat   content, content[].text of items of role user, tool, function
 *   openai.responses           input (a string); content, content[].text of messages of role user; output, output[].text of items of a type …_output
 *   anthropic.messages         content, content[].text, content[].content, content[].content[].text of items of role user
 *   gemini.generate            parts[].text, and strings anywhere in parts[].functionResponse.response, of items of a role other than model
 *
 * Images, files and every other API have no such text: there the structure is the normal form. How alike two of one structure are is the share
 * of words that they have in common (Dice's coefficient of the multisets): 1 the same words, 0 none. Pure functions. */
#ifndef VCR_STRUCTURAL_H
#define VCR_STRUCTURAL_H
#include "buf.h"
#include "json.h"
#include "provider.h"

/* Less alike than this they are no match. */
#define VCR_STRUCTURAL_LEAST 0.5
/* normal: a body's normal form, parsed. Append its structure, and the texts that were left out of it, a line each. Either may be NULL. */
int vcr_structural(enum vcr_api api, const struct vcr_json *normal, struct vcr_buf *structure, struct vcr_buf *texts);
/* Of two lists of texts. Words beyond the first 65536 of either do not count. */
double vcr_structural_likeness(const char *a, size_t na, const char *b, size_t nb);

#endif
