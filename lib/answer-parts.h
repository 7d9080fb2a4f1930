/* answer-parts.h — inside answer*.c: one assembler per family of streams.
 *
 * An assembler takes the stream's events one by one and keeps in `root` the object that the API returns without streaming. */
#ifndef VCR_ANSWER_PARTS_H
#define VCR_ANSWER_PARTS_H
#include "provider.h"
#include "tree.h"

struct vcr_assembly {
	struct vcr_tree tree;
	struct vcr_node *root;       /* the message so far; NULL before the first event */
	struct vcr_node *events;     /* streams of unknown shape: their events, in order */
	bool ended;                  /* the API's own end was seen */
	bool failed;                 /* an error stands in root */
	unsigned nevents;
};

typedef void vcr_assemble_fn(struct vcr_assembly *a, const struct vcr_json *j);
vcr_assemble_fn vcr_assemble_choices;   /* OpenAI chat and legacy completions, and who speaks like them */
vcr_assemble_fn vcr_assemble_responses; /* OpenAI responses */
vcr_assemble_fn vcr_assemble_anthropic;
vcr_assemble_fn vcr_assemble_gemini;
vcr_assemble_fn vcr_assemble_ollama;
vcr_assemble_fn vcr_assemble_llamacpp;
vcr_assemble_fn vcr_assemble_converse;  /* Bedrock; each event as {NAME: payload} */
vcr_assemble_fn vcr_assemble_generic;   /* Ollama's lines; anything else as a list of events */
/* The stream is over: unfinished pieces are closed. */
void vcr_assemble_anthropic_end(struct vcr_assembly *a);
void vcr_assemble_converse_end(struct vcr_assembly *a);
/* Fragments of a tool's input, gathered as the string object[from], are one JSON text: it becomes object[to]. If it is none (the stream
 * was cut) it stays where it is. */
void vcr_close_input(struct vcr_assembly *a, struct vcr_node *object, const char *from, const char *to);

/* Merge the object j[v], except the members named in `but` (may be NULL), into dst as deltas merge: strings grow, objects merge, arrays
 * merge by their items' "index" or grow; null changes nothing; identifying strings (role, id, type, name …) and numbers are replaced. */
void vcr_merge_delta(struct vcr_assembly *a, struct vcr_node *dst, const struct vcr_json *j, int v, const char *const *but);
/* Members of j[v] except those named in `but` (NULL-terminated) replace dst's; null only where there is none. */
void vcr_merge_members(struct vcr_assembly *a, struct vcr_node *dst, const struct vcr_json *j, int v, const char *const *but);
bool vcr_is_one_of(const struct vcr_json *j, int string, const char *const *words);

/* What a final message says about itself, into an info that holds -1 and NULL everywhere. */
void vcr_answer_read_info(const struct vcr_json *j, int status, struct vcr_answer_info *out);

#endif
