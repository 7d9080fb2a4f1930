/* golden.h — .vcr/golden: runs that are kept because they are right, found by their task, as ai-agent-vcr keeps them (golden_cache.py, 0.6 to 1.5).
 *
 * golden/FINGERPRINT.vcr is a session file; golden/index.json an object of FINGERPRINT: {task, session_id, frame_count, total_tokens,
 * total_cost_usd, created_at, tags, identity, file, and deterministic (determ.h) of a run that was recorded so}. Entries and members that are not ours are kept. An index is hostile input: its "file" is
 * written for the other package and never followed here, and a fingerprint that is not 16 hex digits is no entry. */
#ifndef VCR_GOLDEN_H
#define VCR_GOLDEN_H
#include "buf.h"
#include "error.h"
#include "json.h"

enum { VCR_FINGERPRINT = 17 /* 16 hex digits and NUL */ };

/* k=v pairs, "model=gpt-4o"; NULL-terminated or NULL: the identity as a compact JSON object with sorted keys, {} if there are none.
 * VCR_EINVAL: no '=', an empty or a repeated key, no UTF-8. */
int vcr_golden_identity(const char *const *pairs, struct vcr_buf *out, struct vcr_error *e);
/* SHA-256, its first 16 hex digits: of the task without white space at both ends and in lower case (as str.strip and str.lower of Python), or, when identity_json
 * is not {}, of {"identity":…,"task":…}. VCR_EINVAL: the task is empty or no UTF-8. */
int vcr_golden_fingerprint(const char *task, const char *identity_json, char out[VCR_FINGERPRINT], struct vcr_error *e);

/* The path of an entry's session file, appended. */
int vcr_golden_path(const char *vcr_dir, const char *fingerprint, struct vcr_buf *path);
/* Keep a copy of the session file at `session` under that fingerprint and list it; one that was there is replaced. entry_json: its members. The file is complete
 * before the index names it. VCR_EBUSY as vcr_replace_lock. */
int vcr_golden_put(const char *vcr_dir, const char *fingerprint, const char *session, const char *entry_json, struct vcr_error *e);
/* Take it off the list and remove its file. 1: there was none. */
int vcr_golden_remove(const char *vcr_dir, const char *fingerprint, struct vcr_error *e);
/* The index, parsed: j's root is the object (empty if there is no index). text must outlive j. VCR_ESYNTAX: damaged. */
int vcr_golden_index(const char *vcr_dir, struct vcr_buf *text, struct vcr_json *j, struct vcr_error *e);
/* Does a key of the index name an entry? */
bool vcr_golden_is_fingerprint(const char *s, size_t n);

#endif
