/* determ.h — a deterministic session: what its clock begins with and its random bytes come from, and the file in which its processes find it.
 *
 * The terms stand in the session's metadata as one text, "deterministic", so that the session alone replays:
 *   v2 seed=<64 hex digits> start=<microseconds since 1970> host=<name> zone=<TZ> set=<NAME>,<NAME>
 * set: which of VCR_DETERM_SET were set to 1 for the command; a text that ends before it has none.
 * Whoever has it can compute what the recorded programs drew: secrets that they made are none to him.
 * The file is ../shim/determ-format.h's, beside the spool, for the time of the run. */
#ifndef VCR_DETERM_LIB_H
#define VCR_DETERM_LIB_H
#include <stdbool.h>
#include <stdint.h>
#include "buf.h"
#include "determ-format.h"

/* Variables that are set to 1 for the command, where the user has not set them, be it to nothing. The first two tell agents to report to nobody but their model: what they send
 * meanwhile races with their own work, and no two runs of theirs draw the same bytes. They are Claude Code's and the one that several programs agree on (consoledonottrack.com). The
 * third gives libuv, and node with it, one thread for files: what is asked at once is answered in the order in which it was asked. */
#define VCR_DETERM_SET(X) X(CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC) X(DO_NOT_TRACK) X(UV_THREADPOOL_SIZE)
enum {
#define X(name) VCR_SET_##name,
	VCR_DETERM_SET(X)
#undef X
	VCR_DETERM_SETS
};

struct vcr_determ_terms {
	unsigned char seed[VCR_DETERM_KEY];
	int64_t start_us;
	char host[VCR_DETERM_HOST], zone[64]; /* "": this machine's own */
	bool set[VCR_DETERM_SETS];
};
/* For a recording: a new seed, the time of now, the names of this machine, and those of the variables that are not in our environment. */
int vcr_determ_terms_new(struct vcr_determ_terms *t, struct vcr_error *e);
/* For a session that was not recorded so: of its id and time, the same ones each time. */
int vcr_determ_terms_of(struct vcr_determ_terms *t, const char *session_id, int64_t start_us, struct vcr_error *e);
void vcr_determ_terms_text(const struct vcr_determ_terms *t, struct vcr_buf *out);
/* False: text is none. *t is untouched then. */
bool vcr_determ_terms_parse(const char *text, struct vcr_determ_terms *t);
/* Into our environment, which the command inherits. A variable of SET that is set there is left; `set` is given those that were not, as "A=1, B=1". */
void vcr_determ_terms_apply(const struct vcr_determ_terms *t, struct vcr_buf *set);

/* Make the file of the spool at that path. */
int vcr_determ_make(const char *spool, const struct vcr_determ_terms *t, struct vcr_error *e);
void vcr_determ_remove(const char *spool);
/* It, mapped; NULL: that session is an ordinary one. */
struct vcr_determ_page *vcr_determ_open(const char *spool);
void vcr_determ_close(struct vcr_determ_page *p);
/* An answer begins: at that time. It never goes back. */
void vcr_determ_answered(struct vcr_determ_page *p, int64_t us);

#endif
