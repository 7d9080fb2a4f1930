/* again.h — what a recorded tool did to a file of the workspace, done again (vcr-replay --hermetic).
 *
 * A recording is hostile: paths stay beneath the workspace, outside .vcr, no mode has more than permissions, no text more than VCR_AGAIN_MOST bytes. */
#ifndef VCR_AGAIN_H
#define VCR_AGAIN_H
#include "normal.h"
#include "reader.h"
#include "standin.h"

enum { VCR_AGAIN_MOST = 8 * VCR_STANDIN_KEPT /* of a text with the paths of this run */ };
struct vcr_again {
	int root;                  /* the workspace */
	struct vcr_reader *reader; /* of the session */
	const struct vcr_normal_context *in, *live; /* where it was recorded, and where we are */
};
/* Recorded directories in a text become those of this run. */
void vcr_again_rebind(const struct vcr_normal_context *in, const struct vcr_normal_context *live, const struct vcr_buf *text, struct vcr_buf *out);
/* The change that this frame (file:...) tells of. False: it could not be made. */
bool vcr_again_change(const struct vcr_again *a, const struct vcr_reader_frame *f);

#endif
