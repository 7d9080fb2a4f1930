/* cassette.h — recordings of other tools: cassettes of vcrpy (version 1, of its YAML and its JSON serialiser) and HAR 1.2.
 *
 * Reading gives one exchange after the other, whole. What one of them holds that HTTP does not allow (a field with a line end, a method that is none, a
 * status beyond 999, an unknown scheme, a body that is neither text nor base64) is left out and said; a file that is no recording of these
 * kinds is refused. A cassette is hostile input: size, nesting, aliases and fields are bounded (limits.h). Pure.
 *
 * Writing gives vcrpy's YAML: bodies as text where they are UTF-8, else as !!binary. */
#ifndef VCR_CASSETTE_H
#define VCR_CASSETTE_H
#include <stdint.h>
#include <stdio.h>
#include "buf.h"
#include "http1.h"

struct vcr_taped {
	int64_t number;                    /* of the exchange in its file, from 1 */
	const char *method, *url;          /* url: http://… or https://…, checked; printable ASCII */
	const struct vcr_http1_field *req_field; size_t nreq_field;
	const char *req_body; size_t nreq_body;
	int status;                        /* 0: no answer */
	const char *reason;                /* "" none */
	const struct vcr_http1_field *res_field; size_t nres_field;
	const char *res_body; size_t nres_body;
	bool plain;                        /* HAR: the bodies are decoded, whatever the fields say */
	int64_t at_us;                     /* Unix time it began, 0 unknown */
	double wait_ms, total_ms;          /* to the first byte, to the end; < 0 unknown */
};
/* Non-zero stops the reading and is returned. */
typedef int vcr_taped_fn(void *ctx, const struct vcr_taped *x);
/* An exchange, or a part of it, is left out. */
typedef void vcr_taped_skip_fn(void *ctx, int64_t number, const char *what);
enum vcr_cassette_kind { VCR_CASSETTE_VCRPY, VCR_CASSETTE_HAR };
int vcr_cassette_read(const char *p, size_t n, enum vcr_cassette_kind *kind, vcr_taped_fn *fn, vcr_taped_skip_fn *skip, void *ctx, struct vcr_error *e);

/* The text before the first exchange, one exchange, the text behind the last. url, fields and bodies as they are to stand there; reason may be NULL. */
void vcr_cassette_write_head(struct vcr_buf *out);
void vcr_cassette_write(struct vcr_buf *out, const struct vcr_taped *x);
void vcr_cassette_write_tail(struct vcr_buf *out);

#endif
