/* redact-parts.h — what the files of the redact module share. Private to lib/redact*.c.
 *
 * redact.c        learning, numbering, the pass over a text
 * redact-match.c  finding learnt values: q-grams at every 8th byte
 * redact-forms.c  the encodings a value may appear in
 * redact-shape.c  finding tokens nobody told us about by their look
 * redact-names.c  which names announce a secret
 * redact-json.c   credentials in JSON bodies
 * redact-sse.c    secrets cut into pieces by a stream of events */
#ifndef VCR_REDACT_PARTS_H
#define VCR_REDACT_PARTS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "redact.h"

enum {
	VCR_SECRET_MIN = 12,           /* bytes; the matcher needs at least STRIDE + GRAM - 1 = 11 */
	VCR_SECRET_MAX = 64 << 10,     /* bytes of one value */
	VCR_SECRETS_MAX = 4096,        /* values that are searched for; shapes beyond it are still replaced */
	VCR_SHAPES_MAX = 256,          /* of these, found by shape, and */
	VCR_COOKIES_MAX = 256,         /* set by servers: these two come from outside, where somebody may want the search to be slow */
	VCR_MEMBERS_MAX = 32,          /* credentials learnt from one JSON body */
	VCR_FORMS_MAX = 128,           /* encodings of one value */
	VCR_RULED_MIN = 8,             /* bytes of what a rule found and is then searched for elsewhere */
	VCR_RULED_STRIDE = 4,
	VCR_NUMBERS_MAX = 1 << 16,     /* values that get a number of their own */
};

struct vcr_match {
	size_t at, len;
	int secret;
};

/* ---- finder: many patterns, no rebuild when one is added ---- */
struct vcr_pattern {
	const char *p;
	size_t n;
	int secret;
};
struct vcr_gram {
	uint32_t gram, pattern;
	int32_t next;
	uint32_t offset;
};
struct vcr_finder {
	uint32_t *bits;                /* is the gram's hash known at all */
	struct vcr_pattern *pattern;
	size_t patterns, pattern_room;
	struct vcr_gram *gram;
	size_t grams, gram_room;
	int32_t *head;
	unsigned head_bits;
	unsigned stride;               /* between samples; 0 is 8. A pattern has at least stride + 3 bytes */
};
int vcr_finder_add(struct vcr_finder *f, const char *p, size_t n, int secret);
/* The leftmost, then longest pattern that starts at or after `from` and before `before`. */
bool vcr_finder_next(const struct vcr_finder *f, const char *p, size_t n, size_t from, size_t before, struct vcr_match *m);
void vcr_finder_release(struct vcr_finder *f);

/* ---- forms ---- */
typedef int vcr_form_fn(void *ctx, const char *p, size_t n);
/* Calls fn once for each distinct encoding of the value, the plain one included, that has at least `least` bytes. */
int vcr_forms(const char *value, size_t n, size_t least, vcr_form_fn *fn, void *ctx);

/* ---- shapes ---- */
struct vcr_shape {
	size_t at, len;
	const char *name;
};
/* The leftmost token-shaped string at or after `from`. */
bool vcr_shape_next(const char *p, size_t n, size_t from, struct vcr_shape *s);
/* The leftmost PEM private key at or after `from`. */
bool vcr_shape_pem(const char *p, size_t n, size_t from, struct vcr_shape *s);

/* ---- names and values ---- */
bool vcr_name_is_secret(const char *name, size_t n);
bool vcr_value_is_secret(const char *value, size_t n);

/* ---- the redactor ---- */
/* All matches of p[0..n) in order, none overlapping; fn gets each with its replacement. */
typedef int vcr_match_fn(void *ctx, const struct vcr_match *m, const char *replacement);
int vcr_redact_matches(struct vcr_redact *r, const char *p, size_t n, vcr_match_fn *fn, void *ctx);
/* The texts that follow are pieces of a stream put together, from byte `prefix` on (0: they are not): what a rule finds there ends before a quotation mark. */
void vcr_redact_in_stream(struct vcr_redact *r, size_t prefix);
/* Append an event stream with the secrets that are split across events replaced. */
int vcr_redact_events(struct vcr_redact *r, const char *p, size_t n, struct vcr_buf *out, unsigned *count);

#endif
