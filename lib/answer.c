#include "answer-parts.h"
#include "eventstream.h"
#include "limits.h"
#include "sse.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct vcr_answer {
	enum vcr_api api;
	int status;
	char *content_type;
	struct vcr_buf body;
};

struct vcr_answer *vcr_answer_new(enum vcr_api api, int status, const char *content_type)
{
	struct vcr_answer *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->api = api;
	a->status = status;
	a->content_type = content_type ? strdup(content_type) : NULL;
	vcr_buf_init(&a->body, VCR_MAX_HTTP_BODY);
	return a;
}

void vcr_answer_free(struct vcr_answer *a)
{
	if (!a)
		return;
	free(a->content_type);
	vcr_buf_release(&a->body);
	free(a);
}

int vcr_answer_feed(struct vcr_answer *a, const char *p, size_t n)
{
	return vcr_buf_add(&a->body, p, n);
}

int vcr_answer_finish(struct vcr_answer *a, bool transport_ok, struct vcr_answer_info *out)
{
	return vcr_answer_read(a->api, a->status, a->content_type, a->body.data, a->body.len, transport_ok, out);
}

void vcr_answer_info_release(struct vcr_answer_info *r)
{
	vcr_buf_release(&r->message);
	free(r->model);
	free(r->id);
	free(r->stop_reason);
	free(r->error_type);
	free(r->error_message);
	r->model = r->id = r->stop_reason = r->error_type = r->error_message = NULL;
}

/* Which assembler reads this stream: its API's, or by the look of its first event. */
static vcr_assemble_fn *assembler(enum vcr_api api, const struct vcr_json *j)
{
	size_t len;
	const char *type = vcr_json_raw(j, vcr_json_get(j, 0, "type"), &len);
	switch (api) {
	case VCR_API_OPENAI_CHAT:
	case VCR_API_OPENAI_COMPLETIONS: return vcr_assemble_choices;
	case VCR_API_OPENAI_REALTIME:
	case VCR_API_OPENAI_RESPONSES: return vcr_assemble_responses;
	case VCR_API_ANTHROPIC_MESSAGES: return vcr_assemble_anthropic;
	case VCR_API_GEMINI_GENERATE: return vcr_assemble_gemini;
	case VCR_API_BEDROCK_CONVERSE: return vcr_assemble_converse;
	case VCR_API_OLLAMA_CHAT:
	case VCR_API_OLLAMA_GENERATE: return vcr_assemble_ollama;
	case VCR_API_LLAMACPP_COMPLETION: return vcr_assemble_llamacpp;
	default: break;
	}
	if (vcr_json_type(j, vcr_json_get(j, 0, "choices")) == VCR_JSON_ARRAY)
		return vcr_assemble_choices;
	if (vcr_json_type(j, vcr_json_get(j, 0, "candidates")) == VCR_JSON_ARRAY)
		return vcr_assemble_gemini;
	if (len > 10 && !strncmp(type, "\"response.", 10))
		return vcr_assemble_responses;
	return len == 15 && !strncmp(type, "\"message_start\"", len) ? vcr_assemble_anthropic : vcr_assemble_generic;
}

struct stream {
	struct vcr_assembly a;
	enum vcr_api api;
	vcr_assemble_fn *assemble;
};

/* Errors that a gateway sends as `event: error` in a shape of its own. */
static void foreign_error(struct stream *s, const struct vcr_json *j)
{
	if (s->a.failed || vcr_json_type(j, 0) != VCR_JSON_OBJECT)
		return;
	if (!s->a.root)
		s->a.root = vcr_tree_new(&s->a.tree, VCR_NODE_OBJECT);
	vcr_node_set(&s->a.tree, s->a.root, "error", vcr_tree_raw(&s->a.tree, j, 0));
	s->a.failed = true;
}

static void take_json(struct stream *s, const char *p, size_t n, bool error)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, NULL))
		return;
	if (!s->assemble)
		s->assemble = assembler(s->api, &j);
	s->a.nevents++;
	if (vcr_json_type(&j, 0) == VCR_JSON_OBJECT)
		s->assemble(&s->a, &j);
	if (error)
		foreign_error(s, &j);
}

static int take_event(void *ctx, const char *event, const char *data, size_t len, const char *id)
{
	struct stream *s = ctx;
	if (len == 6 && !memcmp(data, "[DONE]", 6))
		s->a.ended = true;
	else if (len)
		take_json(s, data, len, !strcmp(event, "error"));
	return s->a.tree.err;
}

/* Items of a JSON array, each as soon as it is complete: Gemini streams without alt=sse, and such a stream may be cut. */
static void take_array(struct stream *s, const char *p, size_t n)
{
	unsigned depth = 0;
	bool string = false;
	size_t begin = 0;
	for (size_t i = 0; i < n; i++) {
		if (string) {
			if (p[i] == '\\')
				i++;
			else if (p[i] == '"')
				string = false;
		} else if (p[i] == '"') {
			string = true;
		} else if (p[i] == '{' || p[i] == '[') {
			if (++depth == 2)
				begin = i;
		} else if ((p[i] == '}' || p[i] == ']') && depth && --depth == 1) {
			take_json(s, p + begin, i + 1 - begin, false);
		}
	}
}

static void take_lines(struct stream *s, const char *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		const char *nl = memchr(p + at, '\n', n - at);
		size_t end = nl ? (size_t)(nl - p) : n;
		if (end > at)
			take_json(s, p + at, end - at, false);
		at = end + 1;
	}
}

static int take_sse(struct stream *s, const char *p, size_t n)
{
	struct vcr_sse *sse = vcr_sse_new(take_event, s);
	if (!sse)
		return VCR_ENOMEM;
	int r = vcr_sse_feed(sse, p, n);
	vcr_sse_end(sse);
	vcr_sse_free(sse);
	return r;
}

/* An event of Bedrock, as JSON: invoke's chunks hold the model's own event in base64, converse's are named by a header. */
static void event_json(const struct vcr_eventstream_message *m, enum vcr_api api, struct vcr_buf *out)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	bool chunk = !strcmp(m->name, "chunk"), good = !vcr_json_parse(&j, m->payload, m->len, VCR_JSON_RELAXED, NULL);
	size_t len;
	const char *bytes = good ? vcr_json_raw(&j, vcr_json_get(&j, 0, "bytes"), &len) : "";
	if (chunk && *bytes == '"') {
		vcr_buf_unbase64(out, bytes + 1, len - 2);
		return;
	}
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, strcmp(m->type, "event") ? "error" : m->name);
	if (!strcmp(m->type, "event")) {
		if (good)
			vcr_jw_value(&w, &j, 0);
		else
			vcr_jw_strn(&w, m->payload, m->len);
	} else {
		vcr_jw_object(&w);
		vcr_jw_key(&w, "type");
		vcr_jw_str(&w, m->name);
		vcr_jw_key(&w, "message");
		int words = good ? vcr_json_get(&j, 0, "message") : -1;
		if (words >= 0)
			vcr_jw_value(&w, &j, words);
		else
			vcr_jw_strn(&w, m->payload, m->len);
		vcr_jw_object_end(&w);
	}
	vcr_jw_object_end(&w);
}

static int take_message(void *ctx, const struct vcr_eventstream_message *m)
{
	struct stream *s = ctx;
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	event_json(m, s->api, &text);
	take_json(s, text.data, text.len, strcmp(m->type, "event"));
	return s->a.tree.err;
}

/* Up to the first damage: what came before it stays good. */
static void take_eventstream(struct stream *s, const char *p, size_t n)
{
	struct vcr_eventstream e;
	vcr_eventstream_init(&e, take_message, s);
	vcr_eventstream_feed(&e, p, n);
	vcr_eventstream_release(&e);
}

enum form { PLAIN_JSON, SSE, EVENTSTREAM, JSON_ARRAY, JSON_LINES, TEXT };

static bool type_has(const char *content_type, const char *word)
{
	return content_type && strcasestr(content_type, word);
}

/* By the look of the body first: errors of event streams are often plain JSON, and gateways mislabel streams. */
static enum form form_of(enum vcr_api api, const char *content_type, const char *p, size_t n)
{
	static const char *const starts[] = { "data:", "event:", "id:", "retry:", ":" };
	size_t i = n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3) ? 3 : 0;
	while (i < n && strchr(" \t\r\n", p[i]) && p[i])
		i++;
	if (i < n && p[i] == '[' && api == VCR_API_GEMINI_GENERATE)
		return JSON_ARRAY;
	if (i < n && (p[i] == '{' || p[i] == '['))
		return type_has(content_type, "ndjson") || type_has(content_type, "jsonl") ? JSON_LINES : PLAIN_JSON;
	if (type_has(content_type, "amazon.eventstream"))
		return EVENTSTREAM;
	if (type_has(content_type, "event-stream"))
		return SSE;
	for (size_t k = 0; k < sizeof starts / sizeof *starts; k++)
		if (n - i >= strlen(starts[k]) && !memcmp(p + i, starts[k], strlen(starts[k])))
			return SSE;
	return i < n && p[i] == '"' ? PLAIN_JSON : TEXT;
}

/* Chat streams of some servers end without [DONE]: then every choice must have said why it stopped. */
static bool all_choices_stopped(const struct vcr_node *root)
{
	const struct vcr_node *choices = vcr_node_get(root, "choices");
	if (!choices || !choices->first)
		return false;
	for (const struct vcr_node *c = choices->first; c; c = c->next)
		if (vcr_node_is_null(vcr_node_get(c, "finish_reason")))
			return false;
	return true;
}

static int put_value(const struct vcr_json *j, struct vcr_buf *out)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_value(&w, j, 0);
	return out->err;
}

static int put_text(const char *p, size_t n, struct vcr_buf *out)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_strn(&w, p, n);
	return out->err;
}

/* Bodies that are no text (audio, images) are not quoted: their place says what they are. */
static int put_body(const char *content_type, const char *p, size_t n, struct vcr_buf *out)
{
	bool binary = memchr(p, 0, n < 8000 ? n : 8000) || type_has(content_type, "audio/") || type_has(content_type, "image/") ||
		type_has(content_type, "octet-stream") || type_has(content_type, "application/grpc") || type_has(content_type, "eventstream");
	if (!n)
		return vcr_buf_puts(out, "null");
	if (!binary)
		return put_text(p, n, out);
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "_vcr");
	vcr_jw_object(&w);
	vcr_jw_key(&w, "binary");
	vcr_jw_str(&w, content_type ? content_type : "");
	vcr_jw_key(&w, "size");
	vcr_jw_int(&w, (int64_t)n);
	vcr_jw_object_end(&w);
	vcr_jw_object_end(&w);
	return out->err;
}

static int finish_stream(struct stream *s, int status, bool transport_ok, struct vcr_answer_info *out)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (s->assemble == vcr_assemble_anthropic)
		vcr_assemble_anthropic_end(&s->a);
	if (s->assemble == vcr_assemble_converse)
		vcr_assemble_converse_end(&s->a);
	if (s->assemble == vcr_assemble_choices)
		s->a.ended |= transport_ok && all_choices_stopped(s->a.root);
	if (s->a.events)
		s->a.ended |= transport_ok;
	out->streamed = true;
	out->complete = s->a.ended && !s->a.failed && !s->a.tree.err;
	vcr_node_write(s->a.root, &text);
	if (s->a.tree.err || text.err)
		return s->a.tree.err ? s->a.tree.err : text.err;
	int r = vcr_json_parse(&j, text.data, text.len, VCR_JSON_RELAXED, NULL);
	if (r)
		return r == VCR_ENOMEM ? r : put_text(text.data, text.len, &out->message);
	vcr_answer_read_info(&j, status, out);
	return put_value(&j, &out->message);
}

/* An HTTP error whose body names no error still is one. */
static void bare_http_error(int status, const char *p, size_t n, struct vcr_answer_info *out)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	if (status < 400)
		return;
	if (!out->error_type) {
		vcr_buf_printf(&b, "http_%d", status);
		out->error_type = vcr_buf_take(&b, NULL);
	}
	if (!out->error_message) {
		vcr_buf_printf(&b, "HTTP %d%s%.*s", status, n ? ": " : "", (int)(n < 300 ? n : 300), p);
		out->error_message = vcr_buf_take(&b, NULL);
	}
}

static int read_stream(enum form form, enum vcr_api api, int status, const char *p, size_t n, bool transport_ok, struct vcr_answer_info *out)
{
	struct stream s = { .api = api };
	int r = 0;
	if (form == SSE)
		r = take_sse(&s, p, n);
	else if (form == EVENTSTREAM)
		take_eventstream(&s, p, n);
	else if (form == JSON_ARRAY)
		take_array(&s, p, n);
	else
		take_lines(&s, p, n);
	if (r == VCR_ELIMIT || r >= 0) /* what came before a limit stays good */
		r = finish_stream(&s, status, transport_ok, out);
	vcr_tree_release(&s.a.tree);
	return r;
}

int vcr_answer_read(enum vcr_api api, int status, const char *content_type, const char *p, size_t n, bool transport_ok, struct vcr_answer_info *out)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	enum form form = form_of(api, content_type, p, n);
	*out = (struct vcr_answer_info){ .message = VCR_BUF_INIT, .tokens_in = -1, .tokens_out = -1, .tokens_cached = -1,
		.tokens_cache_write = -1, .tokens_reasoning = -1 };
	int r = form == PLAIN_JSON ? vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, NULL) : VCR_ESYNTAX;
	if (form == PLAIN_JSON && r == VCR_ESYNTAX && api >= VCR_API_OLLAMA_CHAT)
		form = JSON_LINES;
	if (!r) {
		out->complete = true;
		vcr_answer_read_info(&j, status, out);
		r = put_value(&j, &out->message);
	} else if (form == PLAIN_JSON || form == TEXT) {
		out->complete = form == TEXT && transport_ok;
		r = put_body(content_type, p, n, &out->message);
	} else {
		r = read_stream(form, api, status, p, n, transport_ok, out);
	}
	if (r < 0) {
		vcr_answer_info_release(out);
		return r;
	}
	bare_http_error(status, p, form == TEXT ? n : 0, out);
	return 0;
}
