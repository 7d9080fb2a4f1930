/* tree.h — a JSON value that grows: what the pieces of a streamed answer are assembled into.
 *
 * Nodes live in the tree's arena and die with it. Strings are kept as they stood in their source (escaped, without quotes), so
 * that appending a piece is linking it and "\ud83d" in one piece meets "\ude00" of the next. A NULL node is "none": every function
 * accepts it and does nothing. Running out of memory or of VCR_MAX_HTTP_BODY sticks in err and is tested once, at the end. */
#ifndef VCR_TREE_H
#define VCR_TREE_H
#include <stdbool.h>
#include <stddef.h>
#include "buf.h"
#include "json.h"

enum vcr_node_kind { VCR_NODE_RAW, VCR_NODE_STRING, VCR_NODE_OBJECT, VCR_NODE_ARRAY };
struct vcr_piece { struct vcr_piece *next; size_t len; char text[]; };
struct vcr_node {
	struct vcr_node *next;                 /* sibling */
	const char *key; size_t nkey;          /* members: as it stood in the source, without quotes */
	enum vcr_node_kind kind;
	struct vcr_node *first, *last;         /* objects, arrays */
	struct vcr_node **index; uint32_t nindex, cap; /* private: long lists by place, large objects by the key's hash */
	struct vcr_piece *text, *text_last;    /* strings, raw values */
};
struct vcr_tree { struct vcr_tree_block *block; size_t used; int err; };

void vcr_tree_release(struct vcr_tree *t);
struct vcr_node *vcr_tree_new(struct vcr_tree *t, enum vcr_node_kind kind);
/* A deep copy of a value, members and items as nodes. */
struct vcr_node *vcr_tree_copy(struct vcr_tree *t, const struct vcr_json *j, int v);
/* A copy as one opaque text: cheaper, for values that are replaced and never merged. */
struct vcr_node *vcr_tree_raw(struct vcr_tree *t, const struct vcr_json *j, int v);

struct vcr_node *vcr_node_get(const struct vcr_node *object, const char *key);
struct vcr_node *vcr_node_item(const struct vcr_node *array, size_t i);
/* Put value (a node of the same tree) at key, in place of what was there. */
void vcr_node_set(struct vcr_tree *t, struct vcr_node *object, const char *key, struct vcr_node *value);
/* The same with text of our own: a string's content (nothing to escape in it) or a raw JSON value. */
void vcr_node_set_text(struct vcr_tree *t, struct vcr_node *object, const char *key, enum vcr_node_kind kind, const char *text);
void vcr_node_remove(struct vcr_node *object, const char *key);
/* The member of that kind; made, or replaced if it is of another kind. */
struct vcr_node *vcr_node_want(struct vcr_tree *t, struct vcr_node *object, const char *key, enum vcr_node_kind kind);
void vcr_node_push(struct vcr_node *array, struct vcr_node *item);
/* Item i; missing ones before it are filled with nulls, i itself with an empty object. NULL if i is above 65535, or more than 64 beyond the list's
 * end: no stream skips items, and a hostile one would have us make them. */
struct vcr_node *vcr_node_want_item(struct vcr_tree *t, struct vcr_node *array, int64_t i);
void vcr_node_set_item(struct vcr_tree *t, struct vcr_node *array, int64_t i, struct vcr_node *value);
/* Append the JSON string j[v] to the string member `key`; another kind (null) is replaced. Ignored if v is no string. */
void vcr_node_append(struct vcr_tree *t, struct vcr_node *object, const char *key, const struct vcr_json *j, int v);
bool vcr_node_is_null(const struct vcr_node *n);
/* Write as JSON text; not yet ASCII. */
void vcr_node_write(const struct vcr_node *n, struct vcr_buf *out);

#endif
