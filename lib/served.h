/* served.h — a tool that was a server: what it was asked in JSON-RPC over its standard input (MCP), and what it said, from a session, said again (vcr-replay --hermetic).
 *
 * A request is known by its method and parameters, without "_meta"; of equal ones the first that has not been given comes next. The answer is the line that the
 * server printed, with the id that is asked with. Lines that answer nothing - notifications, requests of the server's own - come where they stood: before the answer that they
 * stood before, the last ones at the end; after a notification of the client those that are no news of a request's progress come at once.
 * A request that had no answer has none again. The server ends on it if it was not cancelled, nothing that was asked later was answered, and the server ended by itself.
 * What progress is told of bears the token that is asked with. Error output comes before the line before which it was printed. Sans-I/O; lines of a recording are hostile, and
 * only what is JSON is said. */
#ifndef VCR_SERVED_H
#define VCR_SERVED_H
#include "json.h"
#include "normal.h"
#include "standin.h"

struct vcr_served;
enum { VCR_SERVED_AT = 40 };
/* What a run was asked, appended to *s, which is made (NULL at first). id: of JSON-RPC, as JSON text. in: where it was recorded; lives as long. at: when it was asked, a text of
 * less than VCR_SERVED_AT bytes that is greater for a later time; "": not known. Of equal requests those are given first that come first here. A negative code, or 0. */
int vcr_served_call(struct vcr_served **s, const struct vcr_normal_context *in, const char *at, const char *tool, const char *arguments, size_t n, const char *id); /* tools/call */
int vcr_served_line(struct vcr_served **s, const struct vcr_normal_context *in, const char *at, const struct vcr_json *j, int request);                        /* any other */
/* It was told that this request is of no more interest; id: as JSON text. */
void vcr_served_cancelled(struct vcr_served *s, const char *id);
/* Once it has begun: the latest request that was asked at that time or before: when. "": none. */
const char *vcr_served_since(const struct vcr_served *s, const char *at);
/* What it printed, with the paths of this run: output and error output; mark[i].typed bytes of the latter were there when mark[i].at of the former were; no marks: not
 * known, and all of it is said now. by_itself: it ended so. Appends to `say` what it says without being asked. */
int vcr_served_begin(struct vcr_served *s, const struct vcr_buf *printed, const struct vcr_buf *error, const struct vcr_standin_mark *mark, size_t marks, bool by_itself, struct vcr_buf *say);
enum vcr_served_result { VCR_SERVED, VCR_SERVED_ENDS /* it ended instead of answering */, VCR_SERVED_UNKNOWN /* an error was said; `named` has what was asked, for people */ };
struct vcr_served_words {
	struct vcr_buf *out, *error; /* appended to: what it says */
	struct vcr_buf *named;
	const char *at;              /* set: when the request was asked that this line is, "" if that is not known; NULL: none was. Lives as long as the server */
};
/* A line that it hears; live: where we are. exact: what differs from run to run matters. */
enum vcr_served_result vcr_served_hear(struct vcr_served *s, const struct vcr_normal_context *live, bool exact, const char *line, size_t n, struct vcr_served_words *w);
/* It hears the end. If it has heard no line before, all that was printed is said, what is no JSON too: it was no server, but began one and asked it itself. */
void vcr_served_end(struct vcr_served *s, struct vcr_served_words *w);
void vcr_served_free(struct vcr_served *s);

#endif
