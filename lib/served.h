/* served.h — a tool that was a server: what it was asked in JSON-RPC over its standard input (MCP), and what it said, from a session, said again (vcr-replay --hermetic).
 *
 * A request is known by its method and parameters, without "_meta"; of equal ones the first that has not been given comes next. The answer is the line that the
 * server printed, with the id that is asked with. Lines that answer nothing - notifications, requests of the server's own - come where they stood: before the answer that they
 * stood before, the last ones at the end; after a notification of the client those that are no news of a request's progress come at once.
 * A request without an answer (it was cancelled) has none again while other answers are left, and behind them the server ends.
 * What progress is told of bears the token that is asked with. Sans-I/O; lines of a recording are hostile, and only what is JSON is said. */
#ifndef VCR_SERVED_H
#define VCR_SERVED_H
#include "json.h"
#include "normal.h"

struct vcr_served;
/* What a run was asked, in recorded order, appended to *s, which is made (NULL at first). id: of JSON-RPC, as JSON text. in: where it was recorded; lives as long. A negative code,
 * or 0. */
int vcr_served_call(struct vcr_served **s, const struct vcr_normal_context *in, const char *tool, const char *arguments, size_t n, const char *id); /* tools/call */
int vcr_served_line(struct vcr_served **s, const struct vcr_normal_context *in, const struct vcr_json *j, int request);                            /* any other */
/* What it printed, with the paths of this run. */
int vcr_served_begin(struct vcr_served *s, const struct vcr_buf *printed);
enum vcr_served_result { VCR_SERVED, VCR_SERVED_ENDS /* it ended instead of answering, and no other answer is left */, VCR_SERVED_UNKNOWN /* an error was said; `named` has what was asked, for people */ };
/* A line that it hears; live: where we are. exact: what differs from run to run matters. Appends to out what it says. */
enum vcr_served_result vcr_served_hear(struct vcr_served *s, const struct vcr_normal_context *live, bool exact, const char *line, size_t n, struct vcr_buf *out, struct vcr_buf *named);
/* It hears the end. If it has heard no line before, all that was printed is said, what is no JSON too: it was no server, but began one and asked it itself. */
void vcr_served_end(struct vcr_served *s, struct vcr_buf *out);
void vcr_served_free(struct vcr_served *s);

#endif
