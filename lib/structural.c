#include "structural.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WORDS = 1 << 16, MOST_DEPTH = 300 };

/* ---- Which strings are what somebody said ---- */

/* Paths inside an item; "*" is any one step, a final "**" whatever is below. */
static const char *const said_openai[] = { "/content", "/content/*/text", NULL };
static const char *const said_anthropic[] = { "/content", "/content/*/text", "/content/*/content", "/content/*/content/*/text", NULL };
static const char *const said_gemini[] = { "/parts/*/text", "/parts/*/functionResponse/response/**", NULL };
static const char *const said_output[] = { "/output", "/output/*/text", NULL };

static bool is_one_of(const struct vcr_json *j, int v, const char *const *words)
{
	for (; *words; words++)
		if (vcr_json_is(j, v, *words))
			return true;
	return false;
}

static const char *const *said_in_response_item(const struct vcr_json *j, int item)
{
	static const char *const outputs[] = { "function_call_output", "custom_tool_call_output", "local_shell_call_output", "shell_call_output", NULL };
	int type = vcr_json_get(j, item, "type");
	if (is_one_of(j, type, outputs))
		return said_output;
	return (type < 0 || vcr_json_is(j, type, "message")) && vcr_json_is(j, vcr_json_get(j, item, "role"), "user") ? said_openai : NULL;
}

/* NULL: none of the item's. */
static const char *const *said_in(enum vcr_api api, const struct vcr_json *j, int item)
{
	static const char *const listeners[] = { "user", "tool", "function", NULL };
	int role = vcr_json_get(j, item, "role");
	switch (api) {
	case VCR_API_OPENAI_CHAT: case VCR_API_OLLAMA_CHAT: return is_one_of(j, role, listeners) ? said_openai : NULL;
	case VCR_API_OPENAI_RESPONSES: return said_in_response_item(j, item);
	case VCR_API_ANTHROPIC_MESSAGES: return vcr_json_is(j, role, "user") ? said_anthropic : NULL;
	case VCR_API_GEMINI_GENERATE: return vcr_json_is(j, role, "model") ? NULL : said_gemini;
	default: return NULL;
	}
}

/* The member whose items these are: its path from the top. */
static const char *list_of(enum vcr_api api)
{
	switch (api) {
	case VCR_API_OPENAI_CHAT: case VCR_API_OLLAMA_CHAT: case VCR_API_ANTHROPIC_MESSAGES: return "/messages";
	case VCR_API_OPENAI_RESPONSES: return "/input";
	case VCR_API_GEMINI_GENERATE: return "/contents";
	default: return NULL;
	}
}

static bool path_is(const char *path, const char *pattern)
{
	for (; *pattern; pattern++) {
		if (!strcmp(pattern, "**"))
			return *path;
		if (*pattern == '*') {
			size_t n = strcspn(path, "/");
			if (!n)
				return false;
			path += n;
		} else if (*path++ != *pattern) {
			return false;
		}
	}
	return !*path;
}

/* ---- Writing ---- */

struct writing {
	enum vcr_api api;
	const struct vcr_json *j;
	struct vcr_jw w;
	struct vcr_buf path, *texts;
	const char *const *said;     /* of the item that is being written */
	size_t item;                 /* where its paths begin */
	int depth;
};

static void write_value(struct writing *x, int v);

static bool is_said(const struct writing *x)
{
	if (!x->said)
		return false;
	for (const char *const *p = x->said; *p; p++)
		if (path_is(x->path.data + x->item, *p))
			return true;
	return false;
}

static void write_string(struct writing *x, int v)
{
	bool whole = x->api == VCR_API_OPENAI_RESPONSES && !strcmp(x->path.data, "/input");
	if (!whole && !is_said(x)) {
		vcr_jw_value(&x->w, x->j, v);
		return;
	}
	vcr_jw_str(&x->w, "{{vcr:text}}");
	if (x->texts) {
		vcr_json_str(x->j, v, x->texts);
		vcr_buf_putc(x->texts, '\n');
	}
}

/* Code assist wraps Gemini's body in "request". */
static bool is_list(const struct writing *x)
{
	const char *list = list_of(x->api), *path = x->path.data;
	if (list && x->api == VCR_API_GEMINI_GENERATE && !strncmp(path, "/request/", 9))
		path += 8;
	return list && !strcmp(path, list);
}

static void write_items(struct writing *x, int v)
{
	size_t before = x->path.len;
	bool list = is_list(x);
	int i = 0;
	vcr_jw_array(&x->w);
	for (int m = vcr_json_first(x->j, v); m >= 0; m = vcr_json_next(x->j, m), i++) {
		vcr_buf_printf(&x->path, "/%d", i);
		if (list) {
			x->said = said_in(x->api, x->j, m);
			x->item = x->path.len;
		}
		write_value(x, m);
		if (list)
			x->said = NULL;
		vcr_buf_cut(&x->path, before);
	}
	vcr_jw_array_end(&x->w);
}

static void write_members(struct writing *x, int v)
{
	size_t before = x->path.len;
	vcr_jw_object(&x->w);
	for (int k = vcr_json_first(x->j, v); k >= 0; k = vcr_json_next(x->j, k)) {
		VCR_AUTO_BUF key = VCR_BUF_INIT;
		vcr_json_str(x->j, k, &key);
		vcr_buf_printf(&x->path, "/%s", strchr(key.data, '/') ? "~" : key.data); /* a name with a slash is no step of ours */
		vcr_jw_key(&x->w, key.data);
		write_value(x, vcr_json_value(x->j, k));
		vcr_buf_cut(&x->path, before);
	}
	vcr_jw_object_end(&x->w);
}

static void write_value(struct writing *x, int v)
{
	enum vcr_json_type type = vcr_json_type(x->j, v);
	if (x->depth >= MOST_DEPTH || (type != VCR_JSON_OBJECT && type != VCR_JSON_ARRAY && type != VCR_JSON_STRING)) {
		vcr_jw_value(&x->w, x->j, v);
		return;
	}
	x->depth++;
	if (type == VCR_JSON_OBJECT)
		write_members(x, v);
	else if (type == VCR_JSON_ARRAY)
		write_items(x, v);
	else
		write_string(x, v);
	x->depth--;
}

int vcr_structural(enum vcr_api api, const struct vcr_json *normal, struct vcr_buf *structure, struct vcr_buf *texts)
{
	VCR_AUTO_BUF unwanted = VCR_BUF_INIT;
	struct writing x = { .api = api, .j = normal, .path = VCR_BUF_INIT, .texts = texts };
	vcr_jw_init(&x.w, structure ? structure : &unwanted);
	write_value(&x, 0);
	int err = x.path.err ? x.path.err : x.w.out->err ? x.w.out->err : texts ? texts->err : 0;
	vcr_buf_release(&x.path);
	return err;
}

/* ---- How alike ---- */

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* A word is a run of letters, digits and bytes beyond ASCII; any other sign but white space is one of its own. */
static size_t hash_words(const char *p, size_t n, uint32_t *word)
{
	size_t k = 0;
	for (size_t i = 0; i < n && k < MOST_WORDS;) {
		uint32_t h = 2166136261u;
		size_t from = i;
		if (isspace((unsigned char)p[i]) && ++i)
			continue;
		for (; i < n && (isalnum((unsigned char)p[i]) || p[i] & 0x80); i++)
			h = (h ^ (unsigned char)p[i]) * 16777619u;
		if (i == from)
			h ^= (unsigned char)p[i++];
		word[k++] = h;
	}
	qsort(word, k, sizeof *word, by_number);
	return k;
}

double vcr_structural_likeness(const char *a, size_t na, const char *b, size_t nb)
{
	uint32_t *x = malloc(2 * MOST_WORDS * sizeof *x), *y = x ? x + MOST_WORDS : NULL;
	if (!x)
		return 0;
	size_t n = hash_words(a, na, x), m = hash_words(b, nb, y), i = 0, k = 0, common = 0;
	while (i < n && k < m)
		if (x[i] == y[k])
			common++, i++, k++;
		else if (x[i] < y[k])
			i++;
		else
			k++;
	free(x);
	return n + m ? 2.0 * (double)common / (double)(n + m) : 1;
}
