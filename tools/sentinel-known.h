/* sentinel-known.h — what the judge of a recording knows of each file: what stood there before the first write of it, what was said of it last, its tree.
 *
 * With a state file it knows that, too, of the files that a judge before it was asked about, which died: records, only appended, each a line of JSON,
 *
 *   {"path":"src/a.py","base":812}       what stood there: so many bytes that follow; null: no file; absent: that is not known
 *   {"judged":"src/a.py","text":"9c3f…"} an answer has been given: a hash of what then stood there
 *
 * A record that is cut off ends it. What was said of a file is not in it: who finds that hash in the text before the next write judges that text first. The file
 * holds at most MOST_STATE bytes, what is beyond that is not known to a successor. It is 0600, where the session's spool is, and gone with the session. */
#ifndef VCR_SENTINEL_KNOWN_H
#define VCR_SENTINEL_KNOWN_H
#include "judging.h"

/* A file of the session: as it was before, and what was said of it last. */
struct vcr_known {
	char *path, *base;         /* base: NULL: there was none, or it is not known */
	size_t nbase;
	bool unknown;              /* what stood there nobody can say: all that is there is old */
	struct vcr_said { char *key, *json; } *said;
	size_t nsaid;
	struct vcr_kept *kept;     /* NULL: it is measured anew each time */
	uint64_t last;             /* what a judge before this one has judged last, not yet judged by this one; 0: nothing */
};

/* Of a file that is written again and again: its tree as it is now, and what its base is like. */
struct vcr_kept {
	struct vcr_tracked *now;
	struct vcr_measure *was;
	struct vcr_metrics base;
	bool has_base;
	int language;
	size_t bytes;
};

struct vcr_known_files {
	struct vcr_known **item; size_t n;
	struct vcr_known **slot; size_t slots; /* by path; a power of two */
	size_t bases, kept;        /* bytes */
	int state;                 /* descriptor of the state file; -1: none */
	size_t written;
};
#define VCR_KNOWN_FILES_INIT { .state = -1 }
void vcr_known_release(struct vcr_known_files *f);
/* What the judge before this one knew; from now on it is kept there. */
void vcr_known_resume(struct vcr_known_files *f, const char *state);
struct vcr_known *vcr_known_find(const struct vcr_known_files *f, const char *path);
/* One more, which was not known. NULL: there are too many, or no memory. */
struct vcr_known *vcr_known_remember(struct vcr_known_files *f, const char *path, const struct vcr_judging_text *before);
/* Room for that file's tree, of n bytes of text: those of others go if there is none. k->kept is NULL if there is none at all. */
void vcr_known_keep(struct vcr_known_files *f, struct vcr_known *k, int language, size_t n);
void vcr_known_say(struct vcr_known *k, const char *key, const char *json, size_t n);
void vcr_known_forget_said(struct vcr_known *k);
/* That text of it has been judged. */
void vcr_known_judged(struct vcr_known_files *f, struct vcr_known *k, const struct vcr_judging_text *after);
/* Is that what a judge before this one judged last? Said once. */
bool vcr_known_was_judged(struct vcr_known *k, const struct vcr_judging_text *text);

#endif
