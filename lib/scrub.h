/* scrub.h — texts without what rules (rules.h) name: of a recording that is scrubbed, and of the requests that a replay of it hears.
 *
 * A text is taken as what it looks like: JSON (and JSON in its strings) value by value, a stream of events piece by piece and put together, messages of
 * gRPC with what stands for a value as long as it (vcr_redact_fitted), else as plain text. What a rule names is replaced by a placeholder
 * {{vcr:secret:N:NAME}}: equal values by the same one. From 8 bytes on a value is removed wherever it appears from then on, whole or encoded, split over a
 * stream's events too; a shorter one where a rule finds it. A number is replaced whole, by a string. Everything else keeps its bytes. The same text and the same values seen before give the same result, so that a request of a replay is
 * found by its key. */
#ifndef VCR_SCRUB_H
#define VCR_SCRUB_H
#include <stdbool.h>
#include "buf.h"
#include "reader.h"
#include "rules.h"

struct vcr_redact;
struct vcr_scrub;
/* rules: owned from then on, also on failure. The first placeholder gets the number `first`. NULL: no memory. */
struct vcr_scrub *vcr_scrub_new(struct vcr_rules *rules, size_t first);
void vcr_scrub_free(struct vcr_scrub *s);
/* Append the text scrubbed. host: whose traffic it is, NULL nobody's: the rules may be for others, then known values are replaced only. */
int vcr_scrub_text(struct vcr_scrub *s, const char *host, const char *p, size_t n, struct vcr_buf *out);
const struct vcr_rules *vcr_scrub_rules(const struct vcr_scrub *s);
/* Values with a number. */
size_t vcr_scrub_known(const struct vcr_scrub *s);

/* The scrubs of a session, for its replay: of its vcr.scrub lines, in their order. *list is NULL-terminated (NULL itself: none). first: number of the first
 * placeholder, so that they are not taken for those of the recorder. */
int vcr_scrub_load(struct vcr_reader *r, size_t first, struct vcr_scrub ***list, struct vcr_error *e);
void vcr_scrub_free_list(struct vcr_scrub **list);
/* Requests and recorded ones that answered them (both scrubbed) have the same placeholders in the same order, with other numbers: from now on values that
 * were numbered here have the recorded numbers, as the answers that repeat them. exact: they are equal but for these. redact: of the recorder's secrets; NULL. */
void vcr_scrub_bind(struct vcr_scrub *const *list, struct vcr_redact *redact, const char *live, size_t nlive, const char *recorded, size_t nrecorded, bool exact);
/* The same before they are known to be equal: the live text as it would be if its placeholders, one by one, were called as the recorded ones. A run that hears a
 * value's placeholder and tells the value itself has two numbers for what the recording has one. false: there are not as many, or one would have two names. */
bool vcr_scrub_translate(const char *live, size_t nlive, const char *recorded, size_t nrecorded, struct vcr_buf *out);
/* Values with a number in all of them. */
size_t vcr_scrub_known_all(struct vcr_scrub *const *list);
/* All of them, one after the other. */
int vcr_scrub_text_all(struct vcr_scrub *const *list, const char *host, const char *p, size_t n, struct vcr_buf *out);

struct vcr_scrubbed { int64_t values, lines, bodies; }; /* values that were replaced; lines and bodies that are others now */
/* Write the session of r (whose file is path) scrubbed to fd, an empty file: same frames, times and ids; bodies, their hashes and references, keys, and the
 * hash of all lines made anew; the rules in a vcr.scrub line. Reads the file twice. VCR_ECORRUPT where the session does not hold what it says. */
int vcr_scrub_session(struct vcr_reader *r, const char *path, struct vcr_rules *rules, int fd, struct vcr_scrubbed *done, struct vcr_error *e);

#endif
