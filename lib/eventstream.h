/* eventstream.h — application/vnd.amazon.eventstream, what Amazon Bedrock streams with. Sans-I/O.
 *
 * A message is, numbers big-endian:
 *   u32 total length · u32 headers' length · u32 CRC-32 of these eight bytes · headers · payload · u32 CRC-32 of all before it
 * and a header: u8 name length, name, u8 type, value (type 7: u16 length, UTF-8; the others are skipped). It is valid if and only if both
 * checksums hold. Feed bytes in any split. After the first invalid message the decoder refuses further input. */
#ifndef VCR_EVENTSTREAM_H
#define VCR_EVENTSTREAM_H
#include <stddef.h>
#include "buf.h"

struct vcr_eventstream_message {
	char type[16];       /* ":message-type": "event", "exception", "error"; "" if absent */
	char name[64];       /* ":event-type", ":exception-type" or ":error-code" */
	const char *payload; /* borrowed for the call */
	size_t len;
};

struct vcr_eventstream {
	struct vcr_buf held; /* of the message under way */
	int (*message)(void *ctx, const struct vcr_eventstream_message *m);
	void *ctx;
	int err;
};
void vcr_eventstream_init(struct vcr_eventstream *s, int (*message)(void *ctx, const struct vcr_eventstream_message *m), void *ctx);
void vcr_eventstream_release(struct vcr_eventstream *s);
/* 0, VCR_ECORRUPT (a checksum), VCR_ESYNTAX, VCR_ELIMIT, VCR_ENOMEM or the callback's value. */
int vcr_eventstream_feed(struct vcr_eventstream *s, const char *p, size_t n);
/* No more input: 0, or VCR_ETRUNC inside a message. */
int vcr_eventstream_end(const struct vcr_eventstream *s);

#endif
