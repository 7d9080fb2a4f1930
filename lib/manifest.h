/* manifest.h — .vcr/manifest.json, the list of sessions that ai-agent-vcr keeps: {"sessions":[{session…},…],"updated_at":…}.
 *
 * Parallel sessions and that package share it: we lock the directory (flock), read, replace our entry, keep everything else, write a
 * temporary file, rename. A manifest that is no JSON is set aside as manifest.json.bad. */
#ifndef VCR_MANIFEST_H
#define VCR_MANIFEST_H
#include "error.h"

/* entry_json: the object to list for session_id; NULL: it is listed no more. VCR_EBUSY when another process holds the lock for 5 s. */
int vcr_manifest_put(const char *vcr_dir, const char *session_id, const char *entry_json, const char *now_iso, struct vcr_error *e);
/* Take a session off the list; a manifest that is no JSON, or none, is left alone. VCR_EBUSY likewise. */
int vcr_manifest_remove(const char *vcr_dir, const char *session_id, struct vcr_error *e);

#endif
