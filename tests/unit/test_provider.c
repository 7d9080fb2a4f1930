#include "provider.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct { const char *method, *host, *target, *type; enum vcr_api api; } recognised[] = {
	{ "POST", "api.openai.com", "/v1/chat/completions", "application/json", VCR_API_OPENAI_CHAT },
	{ "POST", "127.0.0.1:8000", "/v1/chat/completions", "application/json", VCR_API_OPENAI_CHAT },
	{ "POST", "gw.corp", "/openai/v1/chat/completions?x=1", NULL, VCR_API_OPENAI_CHAT },
	{ "POST", "me.openai.azure.com", "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21", "application/json", VCR_API_OPENAI_CHAT },
	{ "POST", "generativelanguage.googleapis.com", "/v1beta/openai/chat/completions", "application/json", VCR_API_OPENAI_CHAT },
	{ "POST", "localhost:11434", "/v1/chat/completions/", "application/json", VCR_API_OPENAI_CHAT },
	{ "POST", "proxy:3128", "http://api.deepseek.com/chat/completions", "application/json", VCR_API_OPENAI_CHAT },
	{ "POST", "api.openai.com", "/v1/completions", "application/json", VCR_API_OPENAI_COMPLETIONS },
	{ "POST", "me.openai.azure.com", "/openai/deployments/a%20b/completions", "application/json", VCR_API_OPENAI_COMPLETIONS },
	{ "POST", "api.openai.com", "/v1/responses", "application/json", VCR_API_OPENAI_RESPONSES },
	{ "POST", "chatgpt.com", "/backend-api/codex/responses", "application/json", VCR_API_OPENAI_RESPONSES },
	{ "POST", "forms.example", "/survey/responses", "application/json", VCR_API_NONE },
	{ "POST", "api.openai.com", "/v1/embeddings", "application/json", VCR_API_OPENAI_EMBEDDINGS },
	{ "POST", "api.anthropic.com", "/v1/messages?beta=true", "application/json", VCR_API_ANTHROPIC_MESSAGES },
	{ "POST", "api.deepseek.com", "/anthropic/v1/messages", "application/json", VCR_API_ANTHROPIC_MESSAGES },
	{ "POST", "us-east5-aiplatform.googleapis.com", "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4-5:streamRawPredict", "application/json", VCR_API_ANTHROPIC_MESSAGES },
	{ "POST", "api.anthropic.com", "/v1/messages/count_tokens", "application/json", VCR_API_SIDE },
	{ "POST", "gw.corp", "/v1/messages/count_tokens", "application/json", VCR_API_SIDE },
	{ "POST", "api.anthropic.com", "/v1/messages/batches", "application/json", VCR_API_SIDE },
	{ "POST", "api.anthropic.com", "/api/event_logging/batch", "application/json", VCR_API_SIDE },
	{ "POST", "api.anthropic.com", "/api/eval/sdk-zAZezfDKGoZuXXKe", "application/json", VCR_API_SIDE },
	{ "HEAD", "api.anthropic.com", "/", NULL, VCR_API_SIDE },
	{ "GET", "API.OpenAI.com:443", "/v1/models", NULL, VCR_API_SIDE },
	{ "POST", "generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-flash:generateContent", "application/json", VCR_API_GEMINI_GENERATE },
	{ "POST", "127.0.0.1:1", "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", "application/json", VCR_API_GEMINI_GENERATE },
	{ "POST", "cloudcode-pa.googleapis.com", "/v1internal:streamGenerateContent?alt=sse", "application/json", VCR_API_GEMINI_GENERATE },
	{ "POST", "generativelanguage.googleapis.com", "/v1beta/models/gemini-embedding-001:batchEmbedContents", "application/json", VCR_API_GEMINI_EMBED },
	{ "POST", "generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-flash:countTokens", "application/json", VCR_API_SIDE },
	{ "POST", "localhost:11434", "/api/chat", "application/json", VCR_API_OLLAMA_CHAT },
	{ "POST", "localhost:11434", "/api/generate", "application/json", VCR_API_OLLAMA_GENERATE },
	{ "GET", "localhost:11434", "/api/tags", NULL, VCR_API_SIDE },
	{ "POST", "api.cohere.com", "/v2/rerank", "application/json; charset=utf-8", VCR_API_GENERIC },
	{ "POST", "api.openai.com", "/v1/audio/transcriptions", "multipart/form-data; boundary=x", VCR_API_SIDE },
	{ "POST", "bedrock-runtime.eu-west-1.amazonaws.com", "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse", "application/json", VCR_API_BEDROCK_CONVERSE },
	{ "POST", "bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "/model/amazon.nova-pro-v1:0/converse-stream", "application/json", VCR_API_BEDROCK_CONVERSE },
	{ "POST", "vpce-1.bedrock.corp", "/model/meta.llama3-70b-instruct-v1%3A0/invoke", "application/json", VCR_API_BEDROCK_INVOKE },
	{ "POST", "bedrock-runtime.eu-west-1.amazonaws.com", "/model/arn%3Aaws%3Abedrock%3Aeu%3A1%3Ainference-profile%2Fx/invoke-with-response-stream", "application/json", VCR_API_BEDROCK_INVOKE },
	{ "POST", "127.0.0.1:5000", "/api/chat", "application/json", VCR_API_OLLAMA_CHAT },
	{ "POST", "gpu.corp:1", "/ollama/api/generate", "application/json", VCR_API_OLLAMA_GENERATE },
	{ "POST", "localhost:9999", "/api/embed", "application/json", VCR_API_OLLAMA_EMBED },
	{ "POST", "localhost:8080", "/completion", "application/json", VCR_API_LLAMACPP_COMPLETION },
	{ "POST", "localhost:8080", "/infill", "application/json", VCR_API_LLAMACPP_COMPLETION },
	{ "POST", "forms.example", "/survey/completion", "application/json", VCR_API_NONE },
	{ "POST", "localhost:1234", "/api/v0/chat/completions", "application/json", VCR_API_OPENAI_CHAT },
	{ "POST", "localhost:1234", "/api/v0/embeddings", "application/json", VCR_API_OPENAI_EMBEDDINGS },
	{ "POST", "openrouter.ai", "/api/v1/chat/completions", "application/json", VCR_API_OPENAI_CHAT },
	{ "POST", "api.mistral.ai", "/v1/fim/completions", "application/json", VCR_API_OPENAI_CHAT },
	{ "POST", "me.openai.azure.com", "/openai/v1/responses?api-version=preview", "application/json", VCR_API_OPENAI_RESPONSES },
	{ "POST", "us-central1-aiplatform.googleapis.com", "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent", "application/json", VCR_API_GEMINI_GENERATE },
	{ "POST", "us-central1-aiplatform.googleapis.com", "/v1/projects/p/locations/l/publishers/mistralai/models/mistral-large:rawPredict", "application/json", VCR_API_GENERIC },
	{ "POST", "vertex.corp", "/v1/projects/p/locations/l/publishers/anthropic/models/claude-haiku-4-5@20251001:rawPredict", "application/json", VCR_API_ANTHROPIC_MESSAGES },
	{ "POST", "llm.internal", "/anything", "application/json", VCR_API_GENERIC },
	{ "POST", "a.models.internal:99", "/x", "application/vnd.x+json", VCR_API_GENERIC },
	{ "POST", "models.internal", "/x", "application/json", VCR_API_NONE },
	{ "GET", "packages.example", "/simple/", NULL, VCR_API_NONE },
	{ "POST", "example.com", "/graphql", "application/json", VCR_API_NONE },
	{ "CONNECT", "api.openai.com:443", "api.openai.com:443", NULL, VCR_API_NONE },
	{ "POST", "evil-api.openai.com.example", "/x", "application/json", VCR_API_NONE },
	{ "POST", "", "", NULL, VCR_API_NONE },
	{ "POST", "chatgpt.com", "/backend-api/codex/responses", "application/json", VCR_API_OPENAI_RESPONSES },
	{ "POST", "chatgpt.com:443", "/backend-api/codex/analytics-events/events", "application/json", VCR_API_SIDE },
	{ "POST", "chatgpt.com", "/backend-api/wham/apps", "application/json", VCR_API_SIDE },
	{ "GET", "chatgpt.com", "/backend-api/codex/models?client_version=1", NULL, VCR_API_SIDE },
};

START_TEST(model_calls_are_known_by_path_on_any_host_and_the_rest_by_host)
{
	static const char *const extra[] = { "llm.internal", "*.models.internal", NULL };
	for (size_t i = 0; i < sizeof recognised / sizeof *recognised; i++) {
		enum vcr_api api = vcr_api_recognise(recognised[i].method, recognised[i].host, recognised[i].target, recognised[i].type, extra);
		ck_assert_msg(api == recognised[i].api, "%s %s%s: %s", recognised[i].method, recognised[i].host, recognised[i].target, vcr_api_name(api));
	}
}
END_TEST

START_TEST(a_models_websocket_is_known_by_path_or_host)
{
	static const struct { const char *host, *target; enum vcr_api api; } socket[] = {
		{ "api.openai.com", "/v1/realtime?model=gpt-realtime", VCR_API_OPENAI_REALTIME }, { "127.0.0.1:8000", "/v1/realtime", VCR_API_OPENAI_REALTIME },
		{ "me.openai.azure.com", "/openai/realtime?deployment=x", VCR_API_OPENAI_REALTIME }, { "game.example", "/realtime", VCR_API_NONE },
		{ "chatgpt.com", "/backend-api/codex/responses", VCR_API_OPENAI_RESPONSES }, { "gw.corp", "/v1/responses", VCR_API_OPENAI_RESPONSES },
		{ "generativelanguage.googleapis.com", "/ws/google.ai.BidiGenerateContent", VCR_API_GENERIC }, { "localhost:5173", "/hmr", VCR_API_NONE }, { "chatgpt.com", "/voice", VCR_API_NONE },
	};
	for (size_t i = 0; i < sizeof socket / sizeof *socket; i++)
		ck_assert_msg(vcr_api_recognise_socket(socket[i].host, socket[i].target, NULL) == socket[i].api, "%s%s", socket[i].host, socket[i].target);
}
END_TEST

static const struct { enum vcr_api api; const char *target, *body, *model; bool stream; const char *list_key, *system_key; bool tools; } requests[] = {
	{ VCR_API_OPENAI_CHAT, "/v1/chat/completions", "{\"model\":\"gpt-4o\",\"stream\":true,\"messages\":[{}],\"tools\":[]}", "gpt-4o", true, "messages", NULL, true },
	{ VCR_API_OPENAI_CHAT, "/openai/deployments/my%2Dgpt/chat/completions?api-version=1", "{\"messages\":[]}", "my-gpt", false, "messages", NULL, false },
	{ VCR_API_ANTHROPIC_MESSAGES, "/v1/messages", "{\"model\":\"c\",\"system\":[{}],\"messages\":[]}", "c", false, "messages", "system", false },
	{ VCR_API_OPENAI_RESPONSES, "/v1/responses", "{\"model\":\"g\",\"instructions\":\"x\",\"input\":[]}", "g", false, "input", "instructions", false },
	{ VCR_API_OPENAI_RESPONSES, "/v1/responses", "{\"model\":\"g\",\"instructions\":null,\"input\":\"hi\"}", "g", false, NULL, NULL, false },
	{ VCR_API_GEMINI_GENERATE, "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", "{\"contents\":[],\"systemInstruction\":{}}", "gemini-2.5-pro", true, "contents", "systemInstruction", false },
	{ VCR_API_GEMINI_GENERATE, "/v1internal:generateContent", "{\"model\":\"g3\",\"request\":{\"contents\":[],\"tools\":[]}}", "g3", false, "contents", NULL, true },
	{ VCR_API_BEDROCK_CONVERSE, "/model/us.anthropic.claude-x-v1%3A0/converse-stream", "{\"messages\":[]}", "us.anthropic.claude-x-v1:0", true, "messages", NULL, false },
	{ VCR_API_BEDROCK_INVOKE, "/model/a.b-v1%3A0/invoke", "{\"anthropic_version\":\"x\",\"system\":\"s\",\"messages\":[],\"tools\":[]}", "a.b-v1:0", false, "messages", "system", true },
	{ VCR_API_ANTHROPIC_MESSAGES, "/v1/p/publishers/anthropic/models/claude-haiku-4-5@20251001:streamRawPredict", "{\"messages\":[]}", "claude-haiku-4-5@20251001", true, "messages", NULL, false },
	{ VCR_API_OPENAI_REALTIME, "/v1/realtime?x=1&model=gpt-realtime%2D2", "{\"events\":[]}", "gpt-realtime-2", false, NULL, NULL, false },
	{ VCR_API_OPENAI_REALTIME, "/openai/realtime?api-version=1&deployment=rt", "{}", "rt", false, NULL, NULL, false },
	{ VCR_API_OLLAMA_CHAT, "/api/chat", "{\"model\":\"qwen3\",\"messages\":[],\"tools\":[]}", "qwen3", true, "messages", NULL, true },
	{ VCR_API_OLLAMA_GENERATE, "/api/generate", "{\"model\":\"qwen3\",\"system\":\"s\",\"prompt\":\"p\",\"stream\":false}", "qwen3", false, NULL, "system", false },
	{ VCR_API_OPENAI_EMBEDDINGS, "/v1/embeddings", "{\"model\":\"e\",\"input\":[\"a\"]}", "e", false, NULL, NULL, false },
	{ VCR_API_OPENAI_CHAT, "/v1/chat/completions", "[1]", NULL, false, NULL, NULL, false },
};

START_TEST(a_request_says_its_model_its_conversation_and_its_system_prompt)
{
	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
		VCR_AUTO_JSON j = VCR_JSON_INIT;
		struct vcr_request_info r;
		ck_assert_int_eq(vcr_json_parse(&j, requests[i].body, strlen(requests[i].body), 0, NULL), 0);
		vcr_request_info(requests[i].api, requests[i].target, &j, &r);
		ck_assert_msg(requests[i].model ? r.model && !strcmp(r.model, requests[i].model) : !r.model, "%s: %s", requests[i].body, r.model);
		ck_assert_int_eq(r.stream, requests[i].stream);
		ck_assert_pstr_eq(r.list_key, requests[i].list_key);
		ck_assert_pstr_eq(r.system_key, requests[i].system_key);
		ck_assert_int_eq(r.list >= 0, requests[i].list_key != NULL);
		ck_assert_int_eq(r.tools >= 0, requests[i].tools);
		vcr_request_info_release(&r);
	}
}
END_TEST

static struct vcr_prices *load(const char *override)
{
	const char *srcdir = getenv("srcdir");
	char path[4096];
	struct vcr_prices *p = NULL;
	struct vcr_error e = { 0 };
	snprintf(path, sizeof path, "%s/data/prices.json", srcdir ? srcdir : "..");
	ck_assert_msg(!vcr_prices_load(&p, path, override, &e), "%s", e.what);
	return p;
}

/* Cost of a call of that many tokens in thousandths of a cent, or -1. */
static double cost(const struct vcr_prices *p, const char *model, int64_t in, int64_t out, int64_t cached, int64_t written)
{
	struct vcr_answer_info a = { .tokens_in = in, .tokens_out = out, .tokens_cached = cached, .tokens_cache_write = written };
	double usd;
	return vcr_prices_cost(p, model, &a, &usd) ? -1 : usd * 1e5;
}

START_TEST(a_call_costs_what_the_longest_pattern_says)
{
	struct vcr_prices *p = load(NULL);
	ck_assert_double_eq_tol(cost(p, "gpt-4o-2024-08-06", 1000, 1000, -1, -1), 1250, 1e-6);
	ck_assert_double_eq_tol(cost(p, "gpt-4o-mini-2024-07-18", 1000, 1000, -1, -1), 75, 1e-6);
	ck_assert_double_eq_tol(cost(p, "gpt-4o-mini", 1000, 0, 1000, -1), 7.5, 1e-6);
	ck_assert_double_eq_tol(cost(p, "claude-opus-4-1-20250805", 1000, 0, -1, -1), 1500, 1e-6);
	ck_assert_double_eq_tol(cost(p, "claude-opus-4-20250514", 1000, 0, -1, -1), 1500, 1e-6);
	ck_assert_double_eq_tol(cost(p, "claude-opus-4-5-20251101", 1000, 0, -1, -1), 500, 1e-6);
	ck_assert_double_eq_tol(cost(p, "claude-sonnet-4-5-20250929", 3212, 87, 3000, 200), (12 * 3 + 3000 * .3 + 200 * 3.75 + 87 * 15) / 10, 1e-6);
	ck_assert_double_eq_tol(cost(p, "anthropic/claude-sonnet-4.5", 1000, 0, -1, -1), 300, 1e-6);
	ck_assert_double_eq_tol(cost(p, "us.anthropic.claude-3-haiku-20240307-v1:0", 1000, 0, -1, -1), 25, 1e-6);
	ck_assert_double_eq_tol(cost(p, "eu.amazon.nova-pro-v1:0", 1000, 1000, -1, -1), 400, 1e-6);
	ck_assert_double_eq_tol(cost(p, "amazon.nova-micro-v1:0", 1000, 0, -1, -1), 3.5, 1e-6);
	ck_assert_double_eq(cost(p, "notamazon.nova-pro", 1000, 0, -1, -1), -1);
	ck_assert_double_eq_tol(cost(p, "models/gemini-2.5-pro", 200000, 0, -1, -1), 25000, 1e-6);
	ck_assert_double_eq_tol(cost(p, "gemini-2.5-pro", 200001, 0, -1, -1), 200001 * .25, 1e-6);
	ck_assert_double_eq_tol(cost(p, "text-embedding-3-small", 1000, -1, -1, -1), 2, 1e-6);
	ck_assert_double_eq(cost(p, "my-own-model", 1000, 1000, -1, -1), -1);
	ck_assert_double_eq(cost(p, "gpt-4o", -1, -1, -1, -1), -1);
	ck_assert_double_eq(cost(p, NULL, 1, 1, -1, -1), -1);
	ck_assert_double_eq(cost(NULL, "gpt-4o", 1, 1, -1, -1), -1);
	vcr_prices_free(p);
}
END_TEST

static void write_file(char *path, const char *text)
{
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

START_TEST(a_users_price_goes_before_ours_in_either_form)
{
	char config[] = "/tmp/vcr-prices-XXXXXX", json[] = "/tmp/vcr-prices-XXXXXX";
	write_file(config, "# mine\nworkspace x\nprice gpt-* 1 2 # all of them\n\tprice My-Own* 0 0\n");
	write_file(json, " {\"models\":[{\"match\":\"gpt-*\",\"in\":3,\"out\":4,\"cached_in\":1}]}");
	struct vcr_prices *p = load(config);
	ck_assert_double_eq_tol(cost(p, "gpt-4o-mini", 1000, 1000, -1, -1), 300, 1e-6);
	ck_assert_double_eq_tol(cost(p, "my-own-model", 1000, 1000, -1, -1), 0, 1e-6);
	ck_assert_double_eq_tol(cost(p, "claude-3-opus", 1000, 0, -1, -1), 1500, 1e-6);
	vcr_prices_free(p);
	p = load(json);
	ck_assert_double_eq_tol(cost(p, "gpt-4o-mini", 1000, 0, 500, -1), 200, 1e-6);
	vcr_prices_free(p);
	unlink(config);
	unlink(json);
}
END_TEST

START_TEST(a_wrong_price_file_is_named_with_its_line)
{
	static const struct { const char *text, *says; } wrong[] = {
		{ "a b\nprice gpt-4o 1\n", ":2: expected: price" }, { "price x 1 -2\n", ":1: expected" }, { "price x 1 2 3 4 5\n", ":1: expected" },
		{ "{\"models\":[{\"match\":\"x\",\"in\":1}]}", "models[0] needs" }, { "{\"models\":3}", "no list \"models\"" }, { "{\"models\":[", "vcr-prices-" },
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		char path[] = "/tmp/vcr-prices-XXXXXX";
		struct vcr_prices *p = NULL;
		struct vcr_error e = { 0 };
		write_file(path, wrong[i].text);
		ck_assert_int_lt(vcr_prices_load(&p, NULL, path, &e), 0);
		ck_assert_msg(strstr(e.what, wrong[i].says) && strstr(e.what, path), "%s", e.what);
		ck_assert_ptr_null(p);
		unlink(path);
	}
	struct vcr_prices *p = NULL;
	struct vcr_error e = { 0 };
	ck_assert_int_eq(vcr_prices_load(&p, "/nonexistent/prices.json", NULL, &e), VCR_EIO);
	ck_assert_ptr_nonnull(strstr(e.what, "/nonexistent/prices.json"));
}
END_TEST

static TCase *provider(void)
{
	TCase *tc = tcase_create("provider");
	tcase_add_test(tc, model_calls_are_known_by_path_on_any_host_and_the_rest_by_host);
	tcase_add_test(tc, a_models_websocket_is_known_by_path_or_host);
	tcase_add_test(tc, a_request_says_its_model_its_conversation_and_its_system_prompt);
	tcase_add_test(tc, a_call_costs_what_the_longest_pattern_says);
	tcase_add_test(tc, a_users_price_goes_before_ours_in_either_form);
	tcase_add_test(tc, a_wrong_price_file_is_named_with_its_line);
	return tc;
}

TAP_MAIN("provider", provider)
