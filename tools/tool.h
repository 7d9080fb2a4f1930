/* tool.h — what every verb shares: exit statuses, messages, the common options, terminal and colour, safe text.
 *
 * stdout is the answer and is checked at the end (vcr.c); stderr is everything else. A recording is hostile input: text that
 * comes out of one goes through vcr_safe before it meets a terminal. */
#ifndef VCR_TOOL_H
#define VCR_TOOL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "error.h"

enum vcr_exit { VCR_EXIT_YES = 0, VCR_EXIT_NO = 1, VCR_EXIT_USAGE = 2, VCR_EXIT_FAILED = 3 };

struct vcr_tool {
	const char *verb;     /* "log"; NULL in vcr itself */
	bool json, quiet;
	int verbose;
	const char *color;    /* auto, always, never */
	bool paint;           /* decided from color, NO_COLOR and stdout by vcr_options_parse */
	const char *vcr_dir;  /* --vcr-dir, NULL */
};

/* "vcr-VERB: …" and a newline on stderr. */
void vcr_say(const struct vcr_tool *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same and a pointer to --help; returns VCR_EXIT_USAGE. */
int vcr_wrong_call(const struct vcr_tool *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The words of e (or of its code); returns VCR_EXIT_FAILED, or VCR_EXIT_USAGE when the caller named something that does not exist. */
int vcr_failed(const struct vcr_tool *t, const struct vcr_error *e);

enum vcr_style { VCR_PLAIN, VCR_BOLD, VCR_DIM, VCR_RED, VCR_GREEN, VCR_YELLOW, VCR_BLUE, VCR_MAGENTA, VCR_CYAN };
/* The escape sequence that begins a style (VCR_PLAIN ends all); "" when colours are off. */
const char *vcr_on(const struct vcr_tool *t, enum vcr_style s);
/* fd is a terminal and we are its foreground job. */
bool vcr_foreground(int fd);
/* Columns of the terminal on stdout; 0 if it is none. */
int vcr_columns(void);

enum vcr_safe_flag { VCR_SAFE_LINES = 1 /* keep newlines and tabs */ };
/* Append text so that no terminal obeys it: control characters, C1, bidirectional overrides and invalid UTF-8 become \xNN or \uNNNN. */
void vcr_safe(struct vcr_buf *out, const char *p, size_t n, unsigned flags);
/* One line of at most `columns` characters (0: no limit), cut with "…". */
void vcr_safe_line(struct vcr_buf *out, const char *p, size_t n, size_t columns);

/* How many of s's letters must change to make t (Levenshtein, adjacent swaps count one); for "did you mean". */
unsigned vcr_distance(const char *s, const char *t);
/* The .vcr directory that this call is about: --vcr-dir, else vcr_paths_vcr_dir of the current directory; in a transaction's own tree its repository's. */
int vcr_tool_dir(const struct vcr_tool *t, struct vcr_buf *dir, struct vcr_error *e);
#endif
