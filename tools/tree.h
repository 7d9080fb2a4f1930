/* tree.h — the frames of a session as a tree, by parent_frame_id: the nearest shown ancestor of each. A frame may be written after what hangs under it (a node is,
 * when it ends). What a file claims is not believed: who is his own ancestor has none. */
#ifndef VCR_TREE_OF_FRAMES_H
#define VCR_TREE_OF_FRAMES_H
#include "reader.h"

struct vcr_branch {
	int64_t frame;     /* index in the session */
	int64_t parent;    /* in the list; -1: a root */
	int64_t children;
	bool caused;       /* a model call that another conversation's tool call brought about */
};
/* The branches of the n frames at index[], different ones, as they follow each other, but each behind its parent. NULL: no memory. */
struct vcr_branch *vcr_branches(struct vcr_reader *r, const int64_t *index, int64_t n);

#endif
