/* words.h — values as people read them, and JSON as they read it. Everything appended is safe for a terminal. */
#ifndef VCR_WORDS_H
#define VCR_WORDS_H
#include "json.h"
#include "ledger.h"
#include "reader.h"

/* "350ms", "1.24s", "2m03s", "5h12m". */
void vcr_words_ms(struct vcr_buf *out, double ms);
/* "812", "12.3K", "4.5M". */
void vcr_words_bytes(struct vcr_buf *out, int64_t n);
/* Local time by strftime(3); "?" for 0. */
void vcr_words_time(struct vcr_buf *out, int64_t ns, const char *format);
/* 2026-11-24T10:02:11.123456+00:00, for JSON. */
void vcr_words_iso(struct vcr_buf *out, int64_t ns);
/* "1200+85", "1285", "" when the frame has none. */
void vcr_words_tokens(struct vcr_buf *out, const struct vcr_reader_frame *f);
/* "$0.0031"; "" for none (below 0). */
void vcr_words_cost(struct vcr_buf *out, double usd);
/* "18 calls replayed: 41000 tokens, $0.1230 and 42.1s saved (100%)". */
void vcr_words_ledger(struct vcr_buf *out, const struct vcr_ledger *l);
/* Lines about storms, and about limits that were met: of the member "files" of a status or of vcr.end; indent goes before each. */
void vcr_words_files(struct vcr_buf *out, const struct vcr_json *j, int files, const char *indent);
/* A line about files that were not kept before they went: of the member "savepoints" of the same. */
void vcr_words_kept(struct vcr_buf *out, const struct vcr_json *j, int savepoints, const char *indent);
/* An argument as sh(1) takes it. */
void vcr_words_quoted(struct vcr_buf *out, const char *s, size_t n);
/* A value over several lines, two columns per level after `indent` columns; the first line is not indented, the last has no newline. */
void vcr_words_json(struct vcr_buf *out, const struct vcr_json *j, int v, unsigned indent);

/* What a frame is about, in one line of at most `columns` characters: what was new and what was answered, which file changed how, which
 * program ran and how it ended. From the frame's own line only. */
void vcr_gist(struct vcr_buf *out, const struct vcr_reader_frame *f, size_t columns);

#endif
