/* jdiff.h — what must be done to one JSON value to make another of it.
 *
 * A list of changes in the order of the documents. Values are the same when vcr_json_equal says so. Items of a list are aligned by content: the
 * longest common subsequence of the items that are the same, then within a gap the items that are most alike are one that changed, the rest were
 * removed or added; so an item put in is one addition. Objects go by key; one with a repeated key is changed as a whole.
 *
 * A place is an RFC 6901 pointer. Removing the removed (last first, at their place in A), then adding the added and putting in the changed (both in
 * order, at their place in B) makes B of A: in that order it is a JSON Patch (RFC 6902).
 *
 * Pure. Hostile values cost n log n and a bounded sum of work for aligning; when that is used up lists are aligned by the items that occur once on
 * both sides, and by place between them: more changes than needed, never wrong ones. */
#ifndef VCR_JDIFF_H
#define VCR_JDIFF_H
#include "json.h"

enum { VCR_JDIFF_DEEPEST = 1024 }; /* steps of a place: twice what the reader nests */
enum vcr_jdiff_op { VCR_JDIFF_ADDED, VCR_JDIFF_REMOVED, VCR_JDIFF_CHANGED };
struct vcr_jdiff_change {
	enum vcr_jdiff_op op;
	int a, b;      /* the value in A and in B; -1 for added, removed */
	int step;      /* private: where the way to it ends */
};
struct vcr_jdiff_step { int up; int key; /* token, -1: an item */ bool key_in_a; int at_a, at_b; };
struct vcr_jdiff {
	struct vcr_jdiff_change *change;
	size_t n;
	/* private */
	size_t room;
	struct vcr_jdiff_step *step;
	size_t steps, steps_room;
	const struct vcr_json *ja, *jb;
};
#define VCR_JDIFF_INIT { 0 }
#define VCR_AUTO_JDIFF __attribute__((cleanup(vcr_jdiff_release))) struct vcr_jdiff
/* va in a against vb in b (-1: there is none). d is empty. The documents are borrowed: changes name values in them. 0 or VCR_ENOMEM. */
int vcr_jdiff(struct vcr_jdiff *d, const struct vcr_json *a, int va, const struct vcr_json *b, int vb);
void vcr_jdiff_release(struct vcr_jdiff *d);
/* Append the place of a change in B, or for what was removed in A; with old the place in A (of what was added: B's). Returns out->err. */
int vcr_jdiff_path(const struct vcr_jdiff *d, size_t i, bool old, struct vcr_buf *out);
/* A hash of every value of a document by its token, equal for values that are equal; tokens of keys have theirs as strings. malloc'd; NULL: no memory. */
uint64_t *vcr_jdiff_hashes(const struct vcr_json *j);

/* The alignment by itself: a and b are hashes; to[i] is the item of b that a[i] is the same as, or -1; increasing. *work is what may still be spent.
 * 0 or VCR_ENOMEM. */
int vcr_jdiff_align(const uint64_t *a, int n, const uint64_t *b, int m, int *to, long *work);

#endif
