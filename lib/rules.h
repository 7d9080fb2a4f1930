/* rules.h — what is to be removed from recordings beside secrets: patterns of text, fields by name, in the traffic of some hosts or of all.
 *
 * A pattern is a Perl-compatible expression (PCRE2, UTF-8, bytes that are none match nothing). Placeholders {{vcr:…}} are never part of a match,
 * and an empty match is none. A field is a path of names: email, user.email, $.user.email (from the root of a JSON text), a[*].b; * is any name; lists
 * are passed through, so [*] may be left out; names are compared without regard to case. Rules come out of recordings too: their number, their sizes, and the time and
 * memory that a match may take are bounded (limits.h). */
#ifndef VCR_RULES_H
#define VCR_RULES_H
#include <stdbool.h>
#include "buf.h"
#include "json.h"

struct vcr_rules;
struct vcr_rules *vcr_rules_new(void); /* NULL: no memory */
void vcr_rules_free(struct vcr_rules *r);
/* VCR_ESYNTAX or VCR_ELIMIT, in words. */
int vcr_rules_add_pattern(struct vcr_rules *r, const char *regex, struct vcr_error *e);
int vcr_rules_add_field(struct vcr_rules *r, const char *path, struct vcr_error *e);
int vcr_rules_add_host(struct vcr_rules *r, const char *host, struct vcr_error *e); /* fnmatch(3); a port may stand behind it */
bool vcr_rules_is_empty(const struct vcr_rules *r);
/* Do they look at the traffic with that host ("" or NULL: what is nobody's)? */
bool vcr_rules_take_host(const struct vcr_rules *r, const char *host);
/* {"patterns":[…],"fields":[…],"hosts":[…]}, and back. */
int vcr_rules_write(const struct vcr_rules *r, struct vcr_buf *out);
int vcr_rules_read(struct vcr_rules *r, const struct vcr_json *j, int object, struct vcr_error *e);
/* For vcr_redact_set_rule, with the rules as ctx. */
bool vcr_rules_next(void *rules, const char *p, size_t n, size_t from, size_t *at, size_t *len, const char **name);
/* A match was given up since it took too long; the number of the pattern, from 1. 0: none was. */
int vcr_rules_gave_up(const struct vcr_rules *r);
/* Is the value behind these names (from the root; lists left out) a field of theirs? */
bool vcr_rules_is_field(const struct vcr_rules *r, const char *const *name, size_t n);

#endif
