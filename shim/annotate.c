/* annotate.c — what a program says about itself (tools/vcr.h, vcr_annotate(3)): handed on as it stands, understood by the collector. */
#include "shim.h"

int vcr_annotate(const char *json)
{
	if (!json || !*json || !vcr_ready())
		return -1;
	int saved = errno;
	size_t n = strnlen(json, VCR_NOTE_MAX + 1);
	static const char too_long[] = VCR_LOST_NOTE "longer than 256 KiB";
	bool fits = n <= VCR_NOTE_MAX;
	struct vcr_piece piece = fits ? (struct vcr_piece){ json, n } : (struct vcr_piece){ too_long, sizeof too_long };
	vcr_want_collector();
	bool written = vcr_append(fits ? VCR_REC_NOTE : VCR_REC_LOST, 0, 0, &piece, 1, VCR_RING);
	errno = saved;
	return fits && written ? 0 : -1;
}
