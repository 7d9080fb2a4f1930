/* envelope.h — an error as a provider's API words it, for clients that are to show it and not to ask again.
 *
 * Shapes: each provider's public API reference. code: OpenAI's, where there is a member for it; pointer: its "param", NULL none. */
#ifndef VCR_ENVELOPE_H
#define VCR_ENVELOPE_H
#include "buf.h"
#include "provider.h"

/* Append the JSON. Returns out's err. */
int vcr_envelope(enum vcr_api api, int status, const char *message, const char *code, const char *pointer, struct vcr_buf *out);

#endif
