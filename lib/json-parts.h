/* json-parts.h — inside json*.c: where a value stands. */
#ifndef VCR_JSON_PARTS_H
#define VCR_JSON_PARTS_H
#include "json.h"

/* A container, a key, a string or a primitive. start and end: of its text, of a string without the quotes. size: members or items; of a key 1.
 * next: the following sibling. While a container is open, its end is its latest child, and its next the container around it.
 * plain: a key or string without a backslash, which is its text as it stands. */
struct token { int start, end, size, next; enum vcr_json_type type : 8; bool plain; };

/* Of a string or primitive that begins with c. */
static inline enum vcr_json_type vcr_json_scalar_type(char c)
{
	return c == '"' ? VCR_JSON_STRING : c == 't' || c == 'f' ? VCR_JSON_BOOL : c == 'n' ? VCR_JSON_NULL : VCR_JSON_NUMBER;
}
#endif
