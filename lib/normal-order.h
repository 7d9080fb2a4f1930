/* normal-order.h — lists in a request that stand in the order in which a disk happened to answer, sorted.
 *
 *   skills   gemini-cli's: the blocks between <available_skills> and </available_skills> in its system text, the names in "(Available: 'a', 'b')" in the
 *            description of its tool activate_skill, and the enumeration in that tool's parameters
 *
 * What does not look exactly as it writes them is left as it is. Pure functions. */
#ifndef VCR_NORMAL_ORDER_H
#define VCR_NORMAL_ORDER_H
#include <stdbool.h>
#include "buf.h"
#include "json.h"

#define VCR_NORMAL_ORDER_NAME "skills"
enum { VCR_NORMAL_ORDER_VERSION = 1, VCR_MAX_ORDERED = 1024 /* items of one list; a longer one is left as it is */ };

/* Sort the lists in a text, in place. */
void vcr_normal_order_text(struct vcr_buf *text);
/* Is the object that function's declaration? */
bool vcr_normal_order_is_tool(const struct vcr_json *j, int object);
/* The items of an array, sorted by their text: *n of them. False: they are not all strings, or too many. */
bool vcr_normal_order_items(const struct vcr_json *j, int array, int item[VCR_MAX_ORDERED], size_t *n);

#endif
