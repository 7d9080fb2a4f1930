/* normal.h — what differs between two runs that do the same: named, versioned normalisers and volatile fields.
 *
 * A normaliser recognises one kind of text and stands {{vcr:<name>}} for it; a volatile field is left out whole. It is a deny-list: whatever
 * is not named here is part of what a request means. The names and versions that were used stand in a replay's report, and a change of
 * what one recognises is a new version.
 *
 *   uuid      8-4-4-4-12 hexadecimal digits
 *   date      2026-11-24, with a time behind it or without, and HTTP's and C's date forms
 *   cwd workspace home tmp   the directories of the context, where they stand as whole path components; the longest of them
 *   pid       the number behind "pid", "ppid", "pgid" or "process", in any case
 *   port      the number behind 127.0.0.1:, localhost: or [::1]:
 *   duration  0.12s, 12 ms, 3.5 seconds …
 *   claude    cch=…, cc_prompt_id=… of its attribution line; /snapshot-…-….sh, /claude-…-cwd and CLAUDE_CODE_END_… of its shell
 *   ansi      colours and titles of terminals; nothing stands for them
 *   ls        the time of a file in a line of ls -l
 *   git       an abbreviated or whole object name where git prints one
 *   id        toolu_…, call_…, chatcmpl-…, msg_…, resp_…, req_… and others of their kind
 *   codex     Chunk ID: … of its shell's results
 *   project   .claude/projects/… and .gemini/tmp/… in a home: the name that the agent makes of the directory in which it works
 *
 *   skills    the order in which gemini-cli lists its skills (normal-order.h); nothing else of them
 *
 * Behind these come the user's own (normal-user.h).
 *
 * Pure functions. */
#ifndef VCR_NORMAL_H
#define VCR_NORMAL_H
#include <stdbool.h>
#include <stddef.h>
#include "buf.h"
#include "json.h"
#include "normal-cache.h"
#include "normal-user.h"
#include "provider.h"
#include "rebind.h"

struct vcr_normal_context {
	const char *cwd, *workspace, *home, *tmp; /* absolute, no final slash; NULL or "/" : not looked for */
	struct vcr_normal_user *user;             /* further ones (normal-user.h); NULL: none */
};

struct vcr_normaliser {
	const char *name;
	int version;
	/* Length of what is recognised at p[at], 0 if nothing. Never looks outside p[0..n). */
	size_t (*match)(const struct vcr_normal_context *c, const char *p, size_t n, size_t at);
};
/* All of them, in the order in which they are tried; ends with a NULL name. */
extern const struct vcr_normaliser vcr_normalisers[];
/* Length of dir at p[at], where it stands as whole path components; 0 if it does not, or is NULL or "/". */
size_t vcr_normal_directory(const char *dir, const char *p, size_t n, size_t at);
/* Append "uuid/2 date/2 …"; user may be NULL. */
int vcr_normal_names(const struct vcr_normal_user *user, struct vcr_buf *out);
/* What is recognised in a text, one after the other. */
struct vcr_normal_scan {
	const struct vcr_normal_context *c;
	const char *p;
	size_t n, at;
	struct vcr_buf spans;         /* of the user's normalisers */
	size_t span;
	size_t found, len;            /* the last thing that was found */
	const struct vcr_normaliser *by; /* NULL: one of the user's, whose name is … */
	const char *name;
};
void vcr_normal_scan_init(struct vcr_normal_scan *s, const struct vcr_normal_context *c, const char *p, size_t n);
/* False: there is nothing more. */
bool vcr_normal_scan_next(struct vcr_normal_scan *s);
void vcr_normal_scan_release(struct vcr_normal_scan *s);
/* Append text with everything that is recognised replaced. */
int vcr_normal_text(const struct vcr_normal_context *c, const char *p, size_t n, struct vcr_buf *out);
/* Is the value at that JSON pointer of a request of that API volatile? */
bool vcr_normal_is_volatile(enum vcr_api api, const char *pointer);
/* Append the canonical form (canon.h) of a request's body, volatile fields left out and every string normalised. kept: of strings that were normalised before in
 * that context, which stays as it is while it lasts; NULL: none. With normalisers of the user's own nothing is kept: one may have been given up since. */
int vcr_normal_json(const struct vcr_normal_context *c, enum vcr_api api, const struct vcr_json *j, struct vcr_normal_cache *kept, struct vcr_buf *out);

/* What of a recorded request is named otherwise in the live one that it answers: UUIDs, git's object names, ids, names of projects and what the user's normalisers find, each once, as they stand in the canonical order of
 * both. Empty where the two do not hold as many of the same kinds. The strings live until release. */
enum { VCR_MAX_BINDINGS = 32 };
struct vcr_bindings { struct vcr_binding b[VCR_MAX_BINDINGS]; size_t n; struct vcr_buf recorded, live; };
#define VCR_BINDINGS_INIT { .n = 0, .recorded = VCR_BUF_INIT, .live = VCR_BUF_INIT }
void vcr_normal_bind(const struct vcr_normal_context *recorded_in, const char *recorded, size_t nrecorded, const struct vcr_normal_context *live_in, const char *live, size_t nlive,
	enum vcr_api api, struct vcr_bindings *out);
void vcr_bindings_release(struct vcr_bindings *b);

#endif
