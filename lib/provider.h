/* provider.h — what a request to a model and its answer mean.
 *
 * APIs: OpenAI chat completions, (legacy) completions, responses, realtime, embeddings; Anthropic messages; Gemini generateContent,
 * streamGenerateContent (SSE and JSON array), embedContent; Bedrock converse and invoke; Ollama chat, generate and embed; llama.cpp completion; any
 * other JSON POST to a model host generically, and gRPC (grpc.h). Pure functions over bytes; nothing here knows about connections or files. Sources: each provider's public API reference. */
#ifndef VCR_PROVIDER_H
#define VCR_PROVIDER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "json.h"

enum vcr_api {
	VCR_API_NONE,           /* not a model call */
	VCR_API_OPENAI_CHAT, VCR_API_OPENAI_COMPLETIONS, VCR_API_OPENAI_RESPONSES, VCR_API_OPENAI_REALTIME, VCR_API_OPENAI_EMBEDDINGS,
	VCR_API_ANTHROPIC_MESSAGES,
	VCR_API_GEMINI_GENERATE, VCR_API_GEMINI_EMBED,
	VCR_API_BEDROCK_CONVERSE, VCR_API_BEDROCK_INVOKE,
	VCR_API_OLLAMA_CHAT, VCR_API_OLLAMA_GENERATE, VCR_API_OLLAMA_EMBED,
	VCR_API_LLAMACPP_COMPLETION,
	VCR_API_GENERIC,        /* JSON POST to a model host, shape unknown; a call by gRPC */
	VCR_API_SIDE,           /* another request to a model host: kept as a vcr.http line */
};
const char *vcr_api_name(enum vcr_api api); /* "openai.chat", "anthropic.messages", … */

/* host may hold a port; target is the path with query; content_type may be NULL. extra: NULL-terminated list of further model
 * hosts (exact, or *.suffix), may be NULL. By path on any host, by host list (api.openai.com, api.anthropic.com,
 * generativelanguage.googleapis.com, openrouter.ai, api.mistral.ai, … ) for generic and side calls. */
enum vcr_api vcr_api_recognise(const char *method, const char *host, const char *target, const char *content_type, const char *const *extra);
/* The same for a WebSocket: GENERIC for any other one to a model host, NONE elsewhere. */
enum vcr_api vcr_api_recognise_socket(const char *host, const char *target, const char *const *extra);
/* The built-in list: names and fnmatch(3) patterns, NULL-terminated. */
const char *const *vcr_api_model_hosts(void);
bool vcr_api_is_model_host(const char *host, const char *const *extra);

/* What matters of a request body. Strings are malloc'd (release frees); indexes are into `j`, -1 if absent. */
struct vcr_request_info {
	char *model;            /* from the body, or from Gemini's path; NULL if unknown */
	bool stream;
	int list;               /* the array that grows: messages / input / contents; -1 if none (input may be a string) */
	const char *list_key;   /* "messages", "input", "contents"; NULL */
	int system;             /* value of the top-level system prompt: system / instructions / systemInstruction; -1 */
	const char *system_key;
	int tools;              /* value of tools; -1 */
};
void vcr_request_info(enum vcr_api api, const char *target, const struct vcr_json *j, struct vcr_request_info *out);
void vcr_request_info_release(struct vcr_request_info *r);

/* The answer: feed the content-decoded body bytes as they come (streams and plain JSON alike), then finish. */
struct vcr_answer;
struct vcr_answer *vcr_answer_new(enum vcr_api api, int status, const char *content_type);
void vcr_answer_free(struct vcr_answer *a);
int vcr_answer_feed(struct vcr_answer *a, const char *p, size_t n);

struct vcr_answer_info {
	struct vcr_buf message;     /* JSON, compact ASCII: the final message object (a stream's pieces assembled to what the same API
	                               returns without streaming, an error event as its member "error"); the plain body when it is
	                               JSON; null when nothing came; {"_vcr":{"binary":type,"size":n}} for audio and the like;
	                               a JSON string otherwise. Streams of unknown shape: the list of their events. */
	bool streamed;
	bool complete;              /* the API's own end was seen (stream end event, or valid JSON) and no error event */
	char *model;                /* as the answer names it, or NULL */
	char *id;                   /* answer id or NULL */
	char *stop_reason;          /* first choice, provider's word, or NULL */
	char *error_type, *error_message; /* HTTP errors and errors inside streams; NULL if none */
	int64_t tokens_in, tokens_out, tokens_cached, tokens_cache_write, tokens_reasoning; /* -1 unknown. in counts
	                               cached and cache-written ones too, out counts reasoning ones too, whatever the provider does */
	int tool_calls;
};
/* The same in one step, from a body at hand. transport_ok: the HTTP message ended as HTTP says. out is filled only on success. */
int vcr_answer_read(enum vcr_api api, int status, const char *content_type, const char *p, size_t n, bool transport_ok, struct vcr_answer_info *out);
int vcr_answer_finish(struct vcr_answer *a, bool transport_ok, struct vcr_answer_info *out);
void vcr_answer_info_release(struct vcr_answer_info *r);

/* Prices: data/prices.json, dollars per million tokens; user overrides in .vcr/config ("price MODEL-GLOB in out [cached_in
 * [cache_write]]") or $VCR_PRICES (a file of the same form as prices.json). Either path may be NULL; the override may be of
 * either form, and any pattern of it goes before every shipped one. A missing or wrong file is an error that names it. */
struct vcr_prices;
int vcr_prices_load(struct vcr_prices **p, const char *shipped_path, const char *override_path, struct vcr_error *e);
void vcr_prices_free(struct vcr_prices *p);
/* 0 and *usd; 1: no price known for that model. Longest matching pattern wins. */
int vcr_prices_cost(const struct vcr_prices *p, const char *model, const struct vcr_answer_info *a, double *usd);

#endif
