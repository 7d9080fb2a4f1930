/* gc.h — housekeeping: sessions that are deleted, and the shadow repository kept small.
 *
 * vcr_gc_delete takes sessions away: their file, their line in the manifest, their savepoints' names. What is to go stands in STATE/gc.journal first, so a
 * call that was killed is completed by the next (vcr_gc_recover). The caller has judged that nobody needs them.
 *
 * vcr_gc_repack writes all objects that a name still reaches into one pack (with deltas), the names into packed-refs, and removes the rest. What is linked
 * from the user's own repository costs nothing and stays linked. Recorders may run: only the removal at the end keeps them waiting (the lock of
 * savepoint-refs.c), and what they wrote in the meantime is looked at again before. Killed at any moment, every savepoint can be read; what is left
 * over goes with the next call. One at a time (VCR_EBUSY); not beside a rollback, whose lock (rollback.h) the caller holds. */
#ifndef VCR_GC_H
#define VCR_GC_H
#include "savepoint.h"

/* VCR_EBUSY and nothing done while somebody holds the store (vcr_store_hold). */
int vcr_gc_delete(struct vcr_store *s, const char *vcr_dir, const char *const *session, size_t n, struct vcr_error *e);
int vcr_gc_recover(struct vcr_store *s, struct vcr_error *e);
struct vcr_gc_stats { int64_t objects, removed; }; /* reached by a name; gone */
/* What rollbacks replaced is kept of the last VCR_GC_UNDO only. */
enum { VCR_GC_UNDO = 64 };
int vcr_gc_repack(struct vcr_store *s, struct vcr_gc_stats *out, struct vcr_error *e);

#endif
