#include "provider.h"
#include "grpc.h"
#include "model-hosts.h"
#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const model_hosts[] = {
#define X(host) host,
	VCR_MODEL_HOSTS(X)
#undef X
	NULL
};

/* Of these, the ones that serve much else: what the rules do not name is no call there. codex with a ChatGPT account asks chatgpt.com. */
static const char *const mixed_hosts[] = { "chatgpt.com", NULL };

/* Parts of paths of a model host that carry JSON by POST and are no model calls. */
static const char *const side_parts[] = {
	"/count_tokens", ":countTokens", "/input_tokens", "/tokenize", "/detokenize", "/batches", "/files", "/uploads",
	"/vector_stores", "/event_logging", "/api/eval/", "/telemetry", "/analytics", "/metrics", "/oauth", "/v1/traces", "/v1/logs",
	"/cancel", "/conversations", "/client_secrets", "/api/show", "/api/pull", "/api/push", "/api/create", "/api/copy",
	":listExperiments", ":recordCodeAssistMetrics", ":loadCodeAssist", ":onboardUser", ":retrieveUserQuota", NULL
};

enum rule_where { ANY_HOST, MODEL_HOST };
/* Endings of paths that are model calls by POST; "*" is one segment. The first match wins. */
static const struct { const char *end; enum vcr_api api; enum rule_where where; } rules[] = {
	{ "/chat/completions", VCR_API_OPENAI_CHAT, ANY_HOST },
	{ "/v1/messages", VCR_API_ANTHROPIC_MESSAGES, ANY_HOST },
	{ "/v1/responses", VCR_API_OPENAI_RESPONSES, ANY_HOST },
	{ "/openai/responses", VCR_API_OPENAI_RESPONSES, ANY_HOST },
	{ "/codex/responses", VCR_API_OPENAI_RESPONSES, ANY_HOST },
	{ "/responses", VCR_API_OPENAI_RESPONSES, MODEL_HOST },
	{ "/fim/completions", VCR_API_OPENAI_CHAT, MODEL_HOST },
	{ "/v1/completions", VCR_API_OPENAI_COMPLETIONS, ANY_HOST },
	{ "/deployments/*/completions", VCR_API_OPENAI_COMPLETIONS, ANY_HOST },
	{ "/completions", VCR_API_OPENAI_COMPLETIONS, MODEL_HOST },
	{ "/v1/embeddings", VCR_API_OPENAI_EMBEDDINGS, ANY_HOST },
	{ "/deployments/*/embeddings", VCR_API_OPENAI_EMBEDDINGS, ANY_HOST },
	{ "/embeddings", VCR_API_OPENAI_EMBEDDINGS, MODEL_HOST },
	{ ":generateContent", VCR_API_GEMINI_GENERATE, ANY_HOST },
	{ ":streamGenerateContent", VCR_API_GEMINI_GENERATE, ANY_HOST },
	{ ":embedContent", VCR_API_GEMINI_EMBED, ANY_HOST },
	{ ":batchEmbedContents", VCR_API_GEMINI_EMBED, ANY_HOST },
	{ "/publishers/anthropic/models/*:rawPredict", VCR_API_ANTHROPIC_MESSAGES, ANY_HOST }, /* other publishers' are generic */
	{ "/publishers/anthropic/models/*:streamRawPredict", VCR_API_ANTHROPIC_MESSAGES, ANY_HOST },
	{ "/model/*/converse", VCR_API_BEDROCK_CONVERSE, ANY_HOST },
	{ "/model/*/converse-stream", VCR_API_BEDROCK_CONVERSE, ANY_HOST },
	{ "/model/*/invoke", VCR_API_BEDROCK_INVOKE, ANY_HOST },
	{ "/model/*/invoke-with-response-stream", VCR_API_BEDROCK_INVOKE, ANY_HOST },
	{ "/api/chat", VCR_API_OLLAMA_CHAT, ANY_HOST },
	{ "/api/generate", VCR_API_OLLAMA_GENERATE, ANY_HOST },
	{ "/api/embed", VCR_API_OLLAMA_EMBED, ANY_HOST },
	{ "/api/embeddings", VCR_API_OLLAMA_EMBED, ANY_HOST },
	{ "/api/v0/completions", VCR_API_OPENAI_COMPLETIONS, ANY_HOST }, /* LM Studio */
	{ "/api/v0/embeddings", VCR_API_OPENAI_EMBEDDINGS, ANY_HOST },
	{ "/infill", VCR_API_LLAMACPP_COMPLETION, ANY_HOST },
};

const char *vcr_api_name(enum vcr_api api)
{
	static const char *const name[] = {
		"none", "openai.chat", "openai.completions", "openai.responses", "openai.realtime", "openai.embeddings", "anthropic.messages",
		"gemini.generate", "gemini.embed", "bedrock.converse", "bedrock.invoke", "ollama.chat", "ollama.generate", "ollama.embed",
		"llamacpp.completion", "generic", "side",
	};
	return (unsigned)api < sizeof name / sizeof *name ? name[api] : "none";
}

/* The name without port and brackets, lower case. */
static void bare_host(const char *host, char out[256])
{
	size_t n = 0;
	bool bracket = *host == '[';
	for (const char *p = host + bracket; *p && n < 255; p++) {
		if (bracket ? *p == ']' : *p == ':')
			break;
		out[n++] = (char)tolower((unsigned char)*p);
	}
	if (n && out[n - 1] == '.')
		n--;
	out[n] = 0;
}

static bool is_extra(const char *host, const char *bare, const char *const *extra)
{
	for (; extra && *extra; extra++) {
		const char *x = *extra;
		size_t n = strlen(bare), k = strlen(x);
		if (!strcasecmp(x, host) || !strcasecmp(x, bare))
			return true;
		if (x[0] == '*' && x[1] == '.' && n > k - 1 && !strcasecmp(x + 1, bare + n - (k - 1)))
			return true;
	}
	return false;
}

/* Ollama's port names it whatever the host is called. */
static bool is_ollama_port(const char *host)
{
	const char *colon = strrchr(host, ':');
	return colon && !strcmp(colon, ":11434");
}

const char *const *vcr_api_model_hosts(void)
{
	return model_hosts;
}

bool vcr_api_is_model_host(const char *host, const char *const *extra)
{
	char bare[256];
	if (!host || !*host)
		return false;
	bare_host(host, bare);
	if (is_extra(host, bare, extra) || is_ollama_port(host))
		return true;
	for (const char *const *h = model_hosts; *h; h++)
		if (strpbrk(*h, "*") ? !fnmatch(*h, bare, 0) : !strcmp(*h, bare))
			return true;
	return false;
}

static bool is_mixed(const char *host)
{
	char bare[256];
	bare_host(host, bare);
	for (const char *const *h = mixed_hosts; *h; h++)
		if (!strcmp(*h, bare))
			return true;
	return false;
}

/* Does path end in `end`, where a "*" of it is one non-empty segment? Compared from the back. */
static bool path_ends(const char *path, size_t n, const char *end)
{
	size_t k = strlen(end);
	while (k && n) {
		if (end[k - 1] == '*') {
			size_t before = n;
			while (n && path[n - 1] != '/')
				n--;
			if (n == before)
				return false;
			k--;
		} else if (path[--n] != end[--k]) {
			return false;
		}
	}
	return !k;
}

static bool is_json_type(const char *type)
{
	size_t n = type ? strcspn(type, "; \t") : 0;
	return !type || (n == 16 && !strncasecmp(type, "application/json", n)) || (n > 5 && !strncasecmp(type + n - 5, "+json", 5));
}

static bool has_part(const char *path, size_t n, const char *const *part)
{
	for (; *part; part++)
		if (memmem(path, n, *part, strlen(*part)))
			return true;
	return false;
}

/* The path of a target in origin or absolute form, without query; trailing slashes left out. */
static const char *target_path(const char *target, size_t *n)
{
	const char *p = strstr(target, "://");
	if (p && p - target < 8 && *target != '/') {
		p = strchr(p + 3, '/');
		target = p ? p : "/";
	}
	*n = strcspn(target, "?#");
	while (*n > 1 && target[*n - 1] == '/')
		--*n;
	return target;
}

/* Token counting is asked of the same places by the same clients, under any host name. */
static bool is_counting(const char *path, size_t n)
{
	return path_ends(path, n, "/v1/messages/count_tokens") || path_ends(path, n, ":countTokens") ||
		path_ends(path, n, "/v1/responses/input_tokens");
}

enum vcr_api vcr_api_recognise(const char *method, const char *host, const char *target, const char *content_type, const char *const *extra)
{
	size_t n;
	const char *path = target_path(target, &n);
	bool model_host = vcr_api_is_model_host(host, extra);
	if (!strcmp(method, "CONNECT"))
		return VCR_API_NONE;
	if (strcmp(method, "POST"))
		return model_host ? VCR_API_SIDE : VCR_API_NONE;
	if (is_counting(path, n))
		return VCR_API_SIDE;
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if ((model_host || rules[i].where == ANY_HOST) && path_ends(path, n, rules[i].end))
			return rules[i].api;
	if (n == 11 && !memcmp(path, "/completion", n)) /* the whole path: too plain a word for an ending */
		return VCR_API_LLAMACPP_COMPLETION;
	if (!model_host)
		return VCR_API_NONE;
	if (vcr_grpc_is(content_type))
		return vcr_grpc_is_side(path, n) ? VCR_API_SIDE : VCR_API_GENERIC;
	return is_json_type(content_type) && !has_part(path, n, side_parts) && !is_mixed(host) ? VCR_API_GENERIC : VCR_API_SIDE;
}

enum vcr_api vcr_api_recognise_socket(const char *host, const char *target, const char *const *extra)
{
	static const char *const responses[] = { "/v1/responses", "/codex/responses", "/openai/responses" };
	size_t n;
	const char *path = target_path(target, &n);
	bool model_host = vcr_api_is_model_host(host, extra);
	for (size_t i = 0; i < sizeof responses / sizeof *responses; i++)
		if (path_ends(path, n, responses[i]))
			return VCR_API_OPENAI_RESPONSES;
	if (path_ends(path, n, "/v1/realtime") || (model_host && path_ends(path, n, "/realtime")))
		return VCR_API_OPENAI_REALTIME;
	return model_host && !is_mixed(host) ? VCR_API_GENERIC : VCR_API_NONE;
}

/* The path segment after `marker`, up to '/' or ':' (Bedrock's ids hold ':', so only '/' ends those); %XX decoded. */
static char *segment_after(const char *path, size_t n, const char *marker, const char *ends)
{
	const char *p = memmem(path, n, marker, strlen(marker));
	if (!p)
		return NULL;
	p += strlen(marker);
	size_t len = strcspn(p, ends), k = 0;
	if (len > (size_t)(path + n - p))
		len = (size_t)(path + n - p);
	char *s = len ? malloc(len + 1) : NULL;
	for (size_t i = 0; s && i < len; i++) {
		unsigned v;
		if (p[i] == '%' && i + 2 < len && isxdigit((unsigned char)p[i + 1]) && isxdigit((unsigned char)p[i + 2])) {
			char hex[3] = { p[i + 1], p[i + 2], 0 };
			v = (unsigned)strtoul(hex, NULL, 16);
			i += 2;
		} else {
			v = (unsigned char)p[i];
		}
		if (v)
			s[k++] = (char)v;
	}
	if (s)
		s[k] = 0;
	return s;
}

static char *model_of_path(enum vcr_api api, const char *path, size_t n)
{
	char *s = NULL;
	size_t all = strlen(path);
	if (api == VCR_API_OPENAI_REALTIME && !(s = segment_after(path, all, "?model=", "&#")) && !(s = segment_after(path, all, "&model=", "&#")))
		return segment_after(path, all, "deployment=", "&#");
	if (s)
		return s;
	if (api == VCR_API_GEMINI_GENERATE || api == VCR_API_GEMINI_EMBED || api == VCR_API_ANTHROPIC_MESSAGES)
		s = segment_after(path, n, "/models/", "/:?#");
	if (!s && (api == VCR_API_BEDROCK_CONVERSE || api == VCR_API_BEDROCK_INVOKE || api == VCR_API_GENERIC))
		s = segment_after(path, n, "/model/", "/?#");
	if (!s)
		s = segment_after(path, n, "/deployments/", "/?#");
	return s;
}

/* First of the keys whose value has that type (VCR_JSON_NONE: any but null); -1. */
static int first_of(const struct vcr_json *j, int object, enum vcr_json_type type, const char *const *keys, const char **which)
{
	for (; *keys; keys++) {
		int v = vcr_json_get(j, object, *keys);
		enum vcr_json_type t = vcr_json_type(j, v);
		if (type == VCR_JSON_NONE ? t != VCR_JSON_NONE && t != VCR_JSON_NULL : t == type) {
			if (which)
				*which = *keys;
			return v;
		}
	}
	return -1;
}

static const char *const *list_keys(enum vcr_api api)
{
	static const char *const none[] = { NULL }, *const messages[] = { "messages", NULL }, *const input[] = { "input", NULL },
		*const contents[] = { "contents", NULL }, *const any[] = { "messages", "contents", "input", NULL };
	switch (api) {
	case VCR_API_OPENAI_CHAT:
	case VCR_API_BEDROCK_CONVERSE:
	case VCR_API_OLLAMA_CHAT:
	case VCR_API_ANTHROPIC_MESSAGES: return messages;
	case VCR_API_OPENAI_RESPONSES: return input;
	case VCR_API_GEMINI_GENERATE: return contents;
	case VCR_API_BEDROCK_INVOKE:
	case VCR_API_GENERIC: return any;
	default: return none;
	}
}

void vcr_request_info(enum vcr_api api, const char *target, const struct vcr_json *j, struct vcr_request_info *out)
{
	static const char *const system_keys[] = { "system", "instructions", "systemInstruction", "system_instruction", NULL };
	static const char *const tool_keys[] = { "tools", "functions", NULL };
	size_t n;
	const char *path = target_path(target, &n);
	int root = vcr_json_type(j, 0) == VCR_JSON_OBJECT ? 0 : -1;
	*out = (struct vcr_request_info){ .list = -1, .system = -1, .tools = -1 };
	out->model = vcr_json_strdup(j, vcr_json_get(j, root, "model"));
	/* Google's Code Assist wraps the request: {"model":…,"project":…,"request":{…}}. */
	int wrapped = vcr_json_get(j, root, "request");
	if (api == VCR_API_GEMINI_GENERATE && vcr_json_type(j, wrapped) == VCR_JSON_OBJECT)
		root = wrapped;
	if (!out->model)
		out->model = model_of_path(api, path, n);
	out->stream = vcr_json_true(j, vcr_json_get(j, root, "stream")) || path_ends(path, n, ":streamGenerateContent") ||
		path_ends(path, n, ":streamRawPredict") || path_ends(path, n, "-stream");
	if ((api == VCR_API_OLLAMA_CHAT || api == VCR_API_OLLAMA_GENERATE) && vcr_json_get(j, root, "stream") < 0)
		out->stream = true; /* Ollama streams unless told otherwise */
	out->list = first_of(j, root, VCR_JSON_ARRAY, list_keys(api), &out->list_key);
	out->system = first_of(j, root, VCR_JSON_NONE, system_keys, &out->system_key);
	out->tools = first_of(j, root, VCR_JSON_NONE, tool_keys, NULL);
}

void vcr_request_info_release(struct vcr_request_info *r)
{
	free(r->model);
	r->model = NULL;
}
