#include "reminder.h"
#include "conv.h"
#include "limits.h"
#include <string.h>

/* How an API takes words of the user. */
struct shape {
	enum vcr_api api;
	const char *list;            /* key of the conversation */
	const char *before, *after;  /* around the text */
	bool block;                  /* it goes into the last item */
};

static const struct shape shapes[] = {
	{ VCR_API_OPENAI_CHAT, "messages", "{\"role\":\"user\",\"content\":", "}", false },
	{ VCR_API_OLLAMA_CHAT, "messages", "{\"role\":\"user\",\"content\":", "}", false },
	{ VCR_API_OPENAI_RESPONSES, "input", "{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":", "}]}", false },
	{ VCR_API_GEMINI_GENERATE, "contents", "{\"role\":\"user\",\"parts\":[{\"text\":", "}]}", false },
	{ VCR_API_ANTHROPIC_MESSAGES, "messages", "{\"type\":\"text\",\"text\":", "}", true },
};

static const struct shape *shape_of(enum vcr_api api)
{
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		if (shapes[i].api == api)
			return &shapes[i];
	return NULL;
}

bool vcr_reminder_speaks(enum vcr_api api)
{
	return shape_of(api) != NULL;
}

/* The conversation of a request. */
struct talk {
	const struct shape *shape;
	const struct vcr_json *j;
	int list;                    /* an array, or a string that stands for its only item; -1 */
	uint64_t seed;               /* what goes before its items */
	bool continued;              /* it goes on from one that the provider keeps */
};

static struct talk read_talk(enum vcr_api api, const char *target, const struct vcr_json *j)
{
	struct talk t = { .shape = shape_of(api), .j = j, .list = -1 };
	struct vcr_request_info info;
	if (!t.shape)
		return t;
	vcr_request_info(api, target, j, &info);
	vcr_request_info_release(&info);
	t.list = info.list;
	if (api == VCR_API_OPENAI_RESPONSES && t.list < 0 && vcr_json_type(j, vcr_json_get(j, 0, "input")) == VCR_JSON_STRING)
		t.list = vcr_json_get(j, 0, "input");
	int id = vcr_json_get(j, 0, "previous_response_id"), kept = vcr_json_get(j, 0, "conversation");
	t.continued = api == VCR_API_OPENAI_RESPONSES && (vcr_json_type(j, id) == VCR_JSON_STRING || kept >= 0);
	t.seed = t.continued ? vcr_conv_meaning(vcr_conv_meaning(api, j, id >= 0 ? id : kept), j, kept >= 0 ? kept : id) : (uint64_t)api;
	return t;
}

static bool ends_with(const struct vcr_json *j, int v, const char *end)
{
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	size_t n = strlen(end);
	return !vcr_json_str(j, v, &s) && s.len >= n && !memcmp(s.data + s.len - n, end, n);
}

/* Did the model say that item, or ask for that? */
static bool is_models(const struct talk *t, int item)
{
	int role = vcr_json_get(t->j, item, "role"), type = vcr_json_get(t->j, item, "type");
	if (vcr_json_is(t->j, role, "assistant") || vcr_json_is(t->j, role, "model"))
		return true;
	if (t->shape->api != VCR_API_OPENAI_RESPONSES || role >= 0)
		return false;
	return !ends_with(t->j, type, "_output") && type >= 0;
}

/* A place for a block: the user's, a text or a list of blocks. */
static bool takes_block(const struct talk *t, int item)
{
	enum vcr_json_type content = vcr_json_type(t->j, vcr_json_get(t->j, item, "content"));
	return vcr_json_is(t->j, vcr_json_get(t->j, item, "role"), "user") && (content == VCR_JSON_STRING || content == VCR_JSON_ARRAY);
}

static bool takes(const struct talk *t, int item)
{
	if (vcr_json_type(t->j, item) != VCR_JSON_OBJECT)
		return false;
	return t->shape->block ? takes_block(t, item) : !is_models(t, item);
}

int vcr_reminder_find(enum vcr_api api, const char *target, const struct vcr_json *j, struct vcr_reminder_place *place, bool *goes_on)
{
	struct talk t = read_talk(api, target, j);
	struct vcr_reminder_place p = { 0, t.seed };
	bool spoke = t.continued;
	int last = -1;
	if (vcr_json_type(j, t.list) == VCR_JSON_STRING) {
		*place = (struct vcr_reminder_place){ 1, vcr_conv_meaning(t.seed, j, t.list) };
		*goes_on = spoke;
		return 0;
	}
	for (int m = vcr_json_first(j, t.list); m >= 0; m = vcr_json_next(j, m), p.items++) {
		p.prefix = vcr_conv_meaning(p.prefix, j, m);
		spoke |= is_models(&t, m);
		last = m;
	}
	if (last < 0 || !takes(&t, last))
		return 1;
	*place = p;
	*goes_on = spoke;
	return 0;
}

int vcr_reminder_at(enum vcr_api api, const char *target, const struct vcr_json *j, size_t items, struct vcr_reminder_place *place)
{
	struct talk t = read_talk(api, target, j);
	struct vcr_reminder_place p = { 0, t.seed };
	int last = -1;
	if (vcr_json_type(j, t.list) == VCR_JSON_STRING && items == 1) {
		*place = (struct vcr_reminder_place){ 1, vcr_conv_meaning(t.seed, j, t.list) };
		return 0;
	}
	for (int m = vcr_json_first(j, t.list); m >= 0 && p.items < items; m = vcr_json_next(j, m), p.items++) {
		p.prefix = vcr_conv_meaning(p.prefix, j, m);
		last = m;
	}
	if (last < 0 || p.items < items || !takes(&t, last))
		return 1;
	*place = p;
	return 0;
}

/* ---- Putting ---- */

struct putting {
	struct talk t;
	const struct vcr_reminder *r;
	size_t n;
	bool *told;
	struct vcr_buf *out;
	size_t copied;               /* of the body */
	size_t count;
};

static size_t start_of(const struct vcr_json *j, int v)
{
	size_t n;
	return (size_t)(vcr_json_raw(j, v, &n) - j->text);
}

static size_t end_of(const struct vcr_json *j, int v)
{
	size_t n;
	const char *p = vcr_json_raw(j, v, &n);
	return (size_t)(p - j->text) + n;
}

static void copy_to(struct putting *p, size_t at)
{
	vcr_buf_add(p->out, p->t.j->text + p->copied, at - p->copied);
	p->copied = at;
}

static bool is_here(const struct putting *p, const struct vcr_reminder *r, struct vcr_reminder_place here)
{
	return r->place.items == here.items && r->place.prefix == here.prefix;
}

/* Those of that place; comma: something stands before the first of them. */
static void write_words(struct putting *p, struct vcr_reminder_place here, bool comma)
{
	struct vcr_jw w;
	for (size_t i = 0; i < p->n; i++) {
		if (!is_here(p, &p->r[i], here))
			continue;
		if (comma)
			vcr_buf_putc(p->out, ',');
		vcr_buf_puts(p->out, p->t.shape->before);
		vcr_jw_init(&w, p->out);
		vcr_jw_strn(&w, p->r[i].text, p->r[i].n);
		vcr_buf_puts(p->out, p->t.shape->after);
		if (p->told)
			p->told[i] = true;
		comma = true;
		p->count++;
	}
}

static void put_block(struct putting *p, int item, struct vcr_reminder_place here)
{
	const struct vcr_json *j = p->t.j;
	int content = vcr_json_get(j, item, "content");
	if (vcr_json_type(j, content) == VCR_JSON_ARRAY) {
		copy_to(p, end_of(j, content) - 1);
		write_words(p, here, vcr_json_count(j, content) > 0);
		return;
	}
	copy_to(p, start_of(j, content));
	vcr_buf_puts(p->out, "[{\"type\":\"text\",\"text\":");
	copy_to(p, end_of(j, content));
	vcr_buf_putc(p->out, '}');
	write_words(p, here, true);
	vcr_buf_putc(p->out, ']');
}

static void put(struct putting *p, int item, struct vcr_reminder_place here)
{
	bool some = false;
	for (size_t i = 0; i < p->n && !some; i++)
		some = is_here(p, &p->r[i], here);
	if (!some || !takes(&p->t, item))
		return;
	if (p->t.shape->block) {
		put_block(p, item, here);
		return;
	}
	copy_to(p, end_of(p->t.j, item));
	write_words(p, here, true);
}

/* The input of responses, as a text. */
static void put_behind_text(struct putting *p, struct vcr_reminder_place here)
{
	bool some = false;
	for (size_t i = 0; i < p->n && !some; i++)
		some = is_here(p, &p->r[i], here);
	if (!some)
		return;
	copy_to(p, start_of(p->t.j, p->t.list));
	vcr_buf_puts(p->out, "[{\"type\":\"message\",\"role\":\"user\",\"content\":");
	copy_to(p, end_of(p->t.j, p->t.list));
	vcr_buf_putc(p->out, '}');
	write_words(p, here, true);
	vcr_buf_putc(p->out, ']');
}

int vcr_reminder_put(enum vcr_api api, const char *target, const struct vcr_json *j, const struct vcr_reminder *r, size_t n, bool *told, struct vcr_buf *out)
{
	struct putting p = { .t = read_talk(api, target, j), .r = r, .n = n, .told = told, .out = out };
	size_t was = out->len;
	if (n > VCR_MAX_REMINDERS)
		return VCR_ELIMIT;
	if (told)
		memset(told, 0, n * sizeof *told);
	struct vcr_reminder_place here = { 0, p.t.seed };
	if (vcr_json_type(j, p.t.list) == VCR_JSON_STRING) {
		put_behind_text(&p, (struct vcr_reminder_place){ 1, vcr_conv_meaning(p.t.seed, j, p.t.list) });
	} else {
		for (int m = n ? vcr_json_first(j, p.t.list) : -1; m >= 0; m = vcr_json_next(j, m)) {
			here.items++;
			here.prefix = vcr_conv_meaning(here.prefix, j, m);
			put(&p, m, here);
		}
	}
	if (p.count)
		copy_to(&p, j->len);
	if (out->err)
		return out->err;
	if (!p.count)
		vcr_buf_cut(out, was);
	return p.count ? 0 : 1;
}
