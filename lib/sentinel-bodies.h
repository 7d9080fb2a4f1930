/* sentinel-bodies.h — which functions of a workspace have the body of another one, kept up to date file by file.
 *
 * What vcr_duplicates finds among all files at once, found for one file at a time: a table of bodies by their hash, with the functions that have each of them, those
 * of the file that came last behind the others. To put a file in and to ask what it duplicates takes the time of its own functions, however many the others have: a
 * function is compared with VCR_MOST_PLACES others of its hash at most. Stubs and functions of fewer than VCR_SAME_TOKENS tokens are not in it. */
#ifndef VCR_SENTINEL_BODIES_H
#define VCR_SENTINEL_BODIES_H
#include "sentinel-scan.h"

/* Tokens from which on two bodies that are the same, or the same but for names, are duplicates; others of one hash that are looked at. */
enum { VCR_SAME_TOKENS = 30, VCR_RENAMED_TOKENS = 60, VCR_MOST_PLACES = 64 };

struct vcr_bodies;
struct vcr_bodies *vcr_bodies_new(void); /* NULL: no memory */
void vcr_bodies_free(struct vcr_bodies *b);
/* What a file has now, in place of what it had; it is the last one then. n 0: nothing, or it is gone. All is copied. VCR_ENOMEM: it has nothing. */
int vcr_bodies_put(struct vcr_bodies *b, const char *path, int language, const struct vcr_scanned_function *f, size_t n);
/* Each file, most at most, that has a body of one of these functions. */
void vcr_bodies_others(struct vcr_bodies *b, const struct vcr_scanned_function *f, size_t n, size_t most, void (*each)(void *ctx, const char *path), void *ctx);
/* What that file, the last one, duplicates: of the others, and of itself what stands before. Appends. */
int vcr_bodies_duplicates(struct vcr_bodies *b, const struct vcr_policy *p, const char *path, struct vcr_findings *out);
/* How many functions have been put in, taken out, or compared. */
size_t vcr_bodies_looked(const struct vcr_bodies *b);

/* Of one function, for duplicates.c too. */
struct vcr_body_place { const char *path; int language; const struct vcr_scanned_function *f; };
static inline bool vcr_body_counts(const struct vcr_scanned_function *f) { return f->plain && f->tokens >= VCR_SAME_TOKENS; }
/* Two of one hash: is one a duplicate of the other? */
bool vcr_body_is_again(const struct vcr_body_place *first, const struct vcr_body_place *again);
/* That it is one, unless it stands within one that has been said to be. */
int vcr_body_say(const struct vcr_policy *p, const struct vcr_body_place *first, const struct vcr_body_place *again, struct vcr_findings *out);

#endif
