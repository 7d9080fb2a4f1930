/* pair.h — tool calls that a model asked for, until a later request brings their results: who is at work for which call. Sans-I/O.
 *
 * A call is asked for by an answer (vcr_pair_asked) and answered by the first request that brings its result (vcr_pair_answered). By id among the calls
 * of the conversation's previous call; where calls or results have no ids, by name, in their order; by an id of VCR_PAIR_ID bytes alone only if one call has it. A call that is never
 * answered is told at the end. Each is told once.
 *
 * What happens between is the work of a call only where that is known: the one call that was pending in the process, or the one whose arguments
 * name the path or the command. VCR_PAIR_CALLS are remembered, the oldest gives way (and is told). Arguments are bounded by limits.h. */
#ifndef VCR_PAIR_H
#define VCR_PAIR_H
#include "json.h"
#include "toolcall.h"

enum { VCR_PAIR_CALLS = 1024, VCR_PAIR_PROMPT = 16 /* bytes of a prompt that is no argument by chance */, VCR_PAIR_ID = 12 /* of an id that
	is unique in a session: "call_0" is not */ };

struct vcr_pair_call {
	char frame_id[37];           /* of its own frame */
	char asked_by[37];           /* frame of the model call */
	char *id, *name;             /* id: "" none */
	char *arguments;             /* JSON text, "" where too long to keep */
	char *input;                 /* input state for its frame: short, or shortened and referring to asked_by */
	char other[37];              /* the frame that tells the same as it was seen between client and MCP server; "" none */
	int pid;
	uint64_t asked_ns, until_ns; /* until_ns 0: pending */
	bool told;
};
/* r: NULL: no result was seen. */
typedef void vcr_pair_fn(void *ctx, const struct vcr_pair_call *c, const struct vcr_json *j, const struct vcr_tool_result *r, uint64_t until_ns);

struct vcr_pair;
struct vcr_pair *vcr_pair_new(vcr_pair_fn *told, void *ctx); /* NULL: no memory */
void vcr_pair_free(struct vcr_pair *p);

/* The calls in the answer that frame shows as output_state.response. */
int vcr_pair_asked(struct vcr_pair *p, const char *frame_id, int pid, uint64_t time_ns, const struct vcr_json *j, int response);
/* The results in a request. parent: the frame of the call that it extends, "" none; known: how many items that one's list had. */
int vcr_pair_answered(struct vcr_pair *p, const char *parent, size_t known, int pid, uint64_t time_ns, const struct vcr_json *j, const char *list_key);
/* Process pid is dead: nothing is at work for its calls any more. */
void vcr_pair_gone(struct vcr_pair *p, int pid, uint64_t time_ns);
/* A frame of an earlier recorder told that call. */
void vcr_pair_was_told(struct vcr_pair *p, const char *asked_by, const char *id);
/* Nothing more comes: what was not answered is told. */
void vcr_pair_end(struct vcr_pair *p, uint64_t time_ns);

/* How it is known which call something belongs to. */
enum vcr_pair_how { VCR_PAIR_NOT, VCR_PAIR_ALONE, VCR_PAIR_ARGUMENT, VCR_PAIR_FRAME /* one of several calls of that frame */, VCR_PAIR_UNCLEAR /* of several frames */ };
struct vcr_pair_cause { char asked_by[37]; const char *tool_call; /* NULL: not known which; lives until the next call of asked, answered or end */ };
/* What was done by process pid (0: by nobody knows whom; then only an argument tells) at at_ns. path: the names of the file, as it stands in the workspace and in
 * full, NULL-terminated or NULL. argv: of the program, an argument that is one of its words names it. */
enum vcr_pair_how vcr_pair_at_work(const struct vcr_pair *p, int pid, uint64_t at_ns, const char *const *path, int argc, char *const *argv,
	struct vcr_pair_cause *out);
/* Is the text an argument, as it stands, of calls of one frame? ALONE: of one call. */
enum vcr_pair_how vcr_pair_prompted(const struct vcr_pair *p, uint64_t at_ns, const char *text, size_t n, struct vcr_pair_cause *out);
/* The one call that was pending then and says what an MCP client said to its server, by name (mcp__files__add, files.add, add) and arguments; it is linked to frame other,
 * unless it has been told meanwhile. Nothing if there are several. */
bool vcr_pair_is_mcp(struct vcr_pair *p, uint64_t at_ns, const char *name, const struct vcr_json *j, int arguments, const char *other, struct vcr_pair_cause *out);

#endif
