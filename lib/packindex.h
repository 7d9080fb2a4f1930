/* packindex.h — which objects are in the packs of a git repository (gitformat-pack(5)), asked a hundred thousand times.
 *
 * The indexes (version 2) of all packs in a directory at the time of opening are mapped. What does not fit is passed over:
 * a "no" means that somebody else has to be asked. Packs are never written again, so several threads may ask; each brings a hint of its own, 0 at
 * first, which makes the pack that had the last object the first to be asked. */
#ifndef VCR_PACKINDEX_H
#define VCR_PACKINDEX_H
#include <stdbool.h>
#include <stddef.h>

struct vcr_packindex;
/* Never fails; what is not found there is not found. NULL: memory is short. */
struct vcr_packindex *vcr_packindex_open(const char *dir);
void vcr_packindex_free(struct vcr_packindex *p);
/* oid: 20 bytes. p may be NULL. */
bool vcr_packindex_has(const struct vcr_packindex *p, const unsigned char *oid, size_t *hint);

#endif
