/* blame.h — which step of a history each line of a text comes from. Pure: the caller reads the versions.
 *
 * The newest version is given first; then vcr_blame_back with the one before it, and so on. What a version has and the one before it has not comes from the
 * step between them (diff.h says which lines are the same). Lines that moved or came back are those of the step that put them there last. */
#ifndef VCR_BLAME_H
#define VCR_BLAME_H
#include <stddef.h>
#include "buf.h"

struct vcr_blame {
	struct vcr_buf text;   /* the version that is looked at now */
	size_t *line;          /* its line k is line[k] of the newest; SIZE_MAX: nobody asks for it any more */
	size_t lines;
	int *step;             /* of each line of the newest; -1: not known yet */
	size_t n, open;        /* lines of the newest; how many are not known yet */
};
/* VCR_ENOMEM; released by vcr_blame_release also then. */
int vcr_blame_begin(struct vcr_blame *b, const char *text, size_t n);
/* `text` was what stood there before `step`; NULL: there was no such file. */
int vcr_blame_back(struct vcr_blame *b, const char *text, size_t n, int step);
/* Only this line of the newest (from 0) is asked for. */
void vcr_blame_only(struct vcr_blame *b, size_t line);
void vcr_blame_release(struct vcr_blame *b);

#endif
