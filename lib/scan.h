/* scan.h — what one line of a session file is, without parsing it: type, time, ids. Pure functions over bytes.
 *
 * A frame line is looked at up to its node_name and at its end; the states between are not read when the line ends as both writers end
 * one (…,"state_diff":null}}). Lines in another order, with escapes in their keys, or with another end are validated as a whole. */
#ifndef VCR_SCAN_H
#define VCR_SCAN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vcr_line_kind { VCR_LINE_BAD, VCR_LINE_BLANK, VCR_LINE_SESSION, VCR_LINE_FRAME, VCR_LINE_OTHER };
struct vcr_span { const char *p; size_t n; }; /* the text between a string's quotes, or a scalar; p NULL: absent */
struct vcr_line {
	enum vcr_line_kind kind;
	struct vcr_span type, frame_id, timestamp, frame_type, node_name, ref;
	struct vcr_span metadata;  /* filled by vcr_scan_metadata */
	size_t error_at;           /* VCR_LINE_BAD: byte of the line */
};
/* p without its newline. Spans point into p. */
void vcr_scan_line(const char *p, size_t n, struct vcr_line *out);
/* The text of a frame line's metadata object; false if there is none. */
bool vcr_scan_metadata(const char *p, size_t n, struct vcr_span *out);
/* A number member of an object's text; false if it is none. */
bool vcr_scan_number(const struct vcr_span *object, const char *key, double *out);
/* Is that member a string? */
bool vcr_scan_is_string(const struct vcr_span *object, const char *key);
/* Timestamps as FORMAT lists them: ISO 8601 with T or space, Z, any offset or none (UTC), any number of digits; or seconds or
 * milliseconds since 1970. Nanoseconds since 1970. */
bool vcr_scan_time(const char *p, size_t n, int64_t *ns);

#endif
