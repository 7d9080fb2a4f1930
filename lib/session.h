/* session.h — writing a session file (FORMAT.md): one writer, header first, one write(2) per line on O_APPEND;
 * a body's line goes with the line that comes next, which refers to it.
 *
 * The file is created with O_EXCL and never truncated. Timestamps never decrease. What a full disk refuses is kept, up to 16 MiB, and
 * written before the next line, so a line that was begun is finished; lines beyond that are dropped (VCR_EIO) and counted. lost_lines
 * counts what is not in the file now. Callers ignore SIGXFSZ. The writer never redacts: callers hand over redacted text only.
 * Not for two threads at once. */
#ifndef VCR_SESSION_H
#define VCR_SESSION_H
#include <stdbool.h>
#include <stdint.h>
#include "buf.h"
#include "json.h"

enum vcr_frame_type { VCR_FRAME_NODE, VCR_FRAME_TOOL, VCR_FRAME_LLM, VCR_FRAME_ERROR, VCR_FRAME_CHECKPOINT };
const char *vcr_frame_type_name(enum vcr_frame_type t);

struct vcr_session_options {
	const char *session_id;        /* required, checked by vcr_paths_check_session_id */
	const char *parent_session_id; /* NULL */
	int64_t forked_from_frame;     /* -1 */
	const char *metadata_json;     /* JSON object or NULL */
	const char *const *tags;       /* NULL-terminated or NULL */
};

struct vcr_session;
/* Creates DIR/<id>.vcr (DIR made as vcr_paths_make_vcr_dir) and writes the header. VCR_EEXIST if there is one. */
int vcr_session_create(struct vcr_session **s, const char *vcr_dir, const struct vcr_session_options *o, struct vcr_error *e);
/* Reopen after a crash: appends behind whatever is there (a newline first when the tail is torn); totals and the hash chain are
 * rebuilt by reading. VCR_ESYNTAX if it is no session file. */
int vcr_session_reopen(struct vcr_session **s, const char *path, struct vcr_error *e);
/* Another name for the file, in a directory of the same file system that nobody cleans (else: no effect). A file whose own name vanishes gets it back
 * with the next line, from there or by a copy; vcr_session_end removes the spare. */
void vcr_session_set_spare(struct vcr_session *s, const char *spare);
const char *vcr_session_path(const struct vcr_session *s);

/* A new frame_id (UUID v4), for callers who need it before the frame is written. */
void vcr_frame_new_id(char id[37]);
struct vcr_frame {
	enum vcr_frame_type type;
	char frame_id[37];             /* filled by vcr_session_add_frame when empty (UUID v4) */
	const char *parent_frame_id;   /* NULL */
	const char *node_name;
	const char *input_json, *output_json; /* JSON objects; NULL is {} */
	const char *model;
	double latency_ms;
	int64_t tokens_in, tokens_out, tokens_total; /* -1: null */
	double cost_usd;               /* < 0: null */
	const char *error_type, *error_message;
	const char *vcr_json;          /* object for metadata.custom.vcr, without "format" (the writer adds it); NULL */
	const char *custom_json;       /* members (no braces) to add to metadata.custom beside "vcr"; NULL */
	const char *state_diff_json;   /* array or NULL */
};
/* Writes one frame line; *index (may be NULL) is its 0-based frame index. States, vcr_json and custom_json
 * may be any JSON text: state.h makes them fit for the file. */
int vcr_session_add_frame(struct vcr_session *s, struct vcr_frame *f, int64_t *index, struct vcr_error *e);
/* One line of our own: {"type":"vcr.<kind>","data":<json>}. */
int vcr_session_add_record(struct vcr_session *s, const char *kind, const char *data_json, struct vcr_error *e);
/* Store a body; *ref (16 hex digits of its SHA-256 or, if taken, with a suffix) names it. lane: conversation key for delta encoding against
 * that lane's previous body ("" none); "NEW<OLD" begins lane NEW at the previous body of lane OLD. Equal bodies are stored once.
 * near: a lane whose last body resembles what is new in this one (the answer that a request repeats), or NULL. */
int vcr_session_add_body(struct vcr_session *s, const char *lane, const char *near, const char *p, size_t n, char ref[40], struct vcr_error *e);
/* vcr.end with totals, lost_lines, "sha256" (of every byte before that line) and the members of extra_json (object or NULL); updates
 * manifest.json; closes and frees, also on failure. */
int vcr_session_end(struct vcr_session *s, const char *extra_json, struct vcr_error *e);
/* Close without an end line. */
void vcr_session_free(struct vcr_session *s);

struct vcr_session_totals { int64_t frames, llm, errors, tokens; double cost_usd; int64_t lost_lines, bytes; };
void vcr_session_totals(const struct vcr_session *s, struct vcr_session_totals *t);

#endif
