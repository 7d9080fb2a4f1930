/* import.h — exchanges of another tool's recording become a session, as if they had been recorded.
 *
 * The recorder itself does it: secrets are replaced, conversations found, answers assembled, tool calls paired, bodies and keys stored as for a
 * live one. Only what the other recording does not hold is missing: files, programs, times between pieces. Reads and writes nothing but the session. */
#ifndef VCR_IMPORT_H
#define VCR_IMPORT_H
#include "cassette.h"
#include "config.h"

struct vcr_import_options {
	const char *vcr_dir, *session_id;  /* the session must not exist */
	const struct vcr_config *config;
	const char *prices_path;
	const char *metadata_json;         /* object, or NULL */
	char **environ;                    /* secrets are learnt from it; may be NULL */
	int64_t from_us;                   /* Unix time of what has no time of its own */
};
struct vcr_import;
int vcr_import_new(struct vcr_import **im, const struct vcr_import_options *o, struct vcr_error *e);
/* 1: it cannot be taken in, e says why; the session goes on without. */
int vcr_import_add(struct vcr_import *im, const struct vcr_taped *x, struct vcr_error *e);
struct vcr_import_totals { int64_t frames, calls, tokens; };
/* Completes the session; frees. */
int vcr_import_end(struct vcr_import *im, struct vcr_import_totals *t, struct vcr_error *e);
/* Without completing it: what is there stays, without an end. NULL is fine. */
void vcr_import_free(struct vcr_import *im);

#endif
