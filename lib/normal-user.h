/* normal-user.h — normalisers of the user's own: names and POSIX extended regular expressions from .vcr/config.
 *
 *   normaliser  ticket  TICKET-[0-9]+
 *
 * What the expression matches, inside one line, is {{vcr:ticket}} in the normal form. They go before the built-in ones; of matches that overlap the
 * first in the text counts, of those that begin at one place the one that was defined first. An empty match is none.
 *
 * A configuration may come with somebody's repository, so it is bounded like any input: 16 normalisers of 200 bytes, no back-references, counts
 * that multiply to 1000 at most; lines are searched in windows of 1 KiB that overlap by a quarter (of a longer line, what is matched can be 256 bytes long wherever
 * it stands). One that takes more than a second of CPU time beyond 100 ns for each byte searched is given up for good; callers say so. */
#ifndef VCR_NORMAL_USER_H
#define VCR_NORMAL_USER_H
#include <stdbool.h>
#include <stddef.h>
#include "buf.h"

struct vcr_normal_user;
/* definitions: "NAME REGEX", NULL-terminated or NULL; *u is NULL when there are none. VCR_EINVAL says what is wrong with which. */
int vcr_normal_user_new(struct vcr_normal_user **u, char *const *definitions, struct vcr_error *e);
void vcr_normal_user_free(struct vcr_normal_user *u);
/* Is it one? */
int vcr_normal_user_check(const char *definition, struct vcr_error *e);

struct vcr_normal_span { size_t at, len; const char *name; };
/* Append everything in the text that is recognised, as struct vcr_normal_span, in order, none overlapping. u may be NULL. */
int vcr_normal_user_find(struct vcr_normal_user *u, const char *p, size_t n, struct vcr_buf *spans);
/* Append " name/12345678 …", the number a hash of the expression: another one is another version. */
int vcr_normal_user_names(const struct vcr_normal_user *u, struct vcr_buf *out);
/* The name of one that was given up since the last call; NULL. */
const char *vcr_normal_user_take_given_up(struct vcr_normal_user *u);

#endif
