/* cassette-parts.h — inside cassette*.c: one exchange while it is read. */
#ifndef VCR_CASSETTE_PARTS_H
#define VCR_CASSETTE_PARTS_H
#include <stdbool.h>
#include "cassette.h"
#include "json.h"

enum { MAX_TAPE_SIDE = 240, MAX_TAPE_FIELDS = 2 * MAX_TAPE_SIDE }; /* header fields; with those that are added a side stays below VCR_MAX_HTTP_FIELDS */

struct tape {
	vcr_taped_fn *fn;
	vcr_taped_skip_fn *skip;
	void *ctx;
	struct vcr_taped x;
	struct vcr_buf text;                  /* names and values of fields, NUL behind each */
	size_t at[MAX_TAPE_FIELDS][2], nfield, first; /* first: of this side */
	struct vcr_buf req, res, method, url, reason;
};

void vcr_tape_skip(struct tape *t, const char *what);
void vcr_tape_reset(struct tape *t);          /* for the next exchange */
/* 1: the exchange is left out, and that was said. */
int vcr_tape_request(struct tape *t, const struct vcr_json *j, int method, int url);
int vcr_tape_status(struct tape *t, const struct vcr_json *j, int status);
void vcr_tape_reason(struct tape *t, const struct vcr_json *j, int v);
int vcr_tape_field(struct tape *t, const struct vcr_json *j, int name, int value);
void vcr_tape_fields(struct tape *t, size_t from, struct vcr_http1_field *out, const struct vcr_http1_field **field, size_t *n);
int vcr_tape_base64(const struct vcr_json *j, int v, struct vcr_buf *out);
/* A body was none: that is said, and the exchange left out; VCR_ENOMEM where it was memory. */
int vcr_tape_no_body(struct tape *t);
/* The header fields of both sides as `headers` adds them, and the answer's reason; then the exchange is told. */
typedef int vcr_tape_headers_fn(struct tape *t, const struct vcr_json *j, int headers);
int vcr_tape_tell(struct tape *t, const struct vcr_json *j, int request, int response, int reason, vcr_tape_headers_fn *headers);
int vcr_tape_entry(struct tape *t, const struct vcr_json *j, int v); /* of a HAR (cassette-har.c) */

#endif
