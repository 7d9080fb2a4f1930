/* hermetic.h — tools that are answered from the session (vcr-replay --hermetic). */
#ifndef VCR_HERMETIC_H
#define VCR_HERMETIC_H
#include "json.h"
#include "replaying.h"
#include "warden.h"

/* After the replay and its fence, before the gate's loop runs; r->hermetic is set, also on failure. exact: what differs from run to run matters. From then on the library
 * starts tools through the stand-in. VCR_ENOTFOUND: the session has none. */
int vcr_hermetic_new(struct replay *r, bool exact, struct vcr_error *e);
/* Who refuses what the library does not see start; not yet started. */
struct vcr_warden *vcr_hermetic_warden(struct vcr_hermetic *h);
/* The command has ended, and the gate's loop. Before any of the following. */
void vcr_hermetic_stop(struct vcr_hermetic *h);
/* How it ended, for people and as an object. */
void vcr_hermetic_say(const struct vcr_hermetic *h);
void vcr_hermetic_write(const struct vcr_hermetic *h, struct vcr_jw *w);
/* How many tools were refused; and programs were not watched, so that theirs may have run. */
int64_t vcr_hermetic_refused(const struct vcr_hermetic *h);
/* Before the event base is freed. */
void vcr_hermetic_free(struct vcr_hermetic *h);

#endif
