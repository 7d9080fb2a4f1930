#include "conv.h"
#include "sha256.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUCKETS = 1024,
	CLUES = 4,
	CLUE_LEN = 40,
	MAX_ITEMS = 8 << 20, /* of all calls that are remembered, 64 MiB */
	SAID_MESSAGES = 16,  /* of an answer, and members of each, that are known again */
	SAID_MEMBERS = 8,
	SAID_WORTH = 64,     /* bytes of a message that are not worth a reference */
};

#define WRAPPER "request"

/* A message of an answer: its members by name and a digest of what they say. */
struct said { struct { char key[24]; unsigned char sum[16]; } member[SAID_MEMBERS]; int n; };

/* Raw pieces of an answer by which the next request of its conversation is known: ids of tool calls, beginnings of texts. */
struct clues { char text[CLUES][CLUE_LEN]; int n; };

struct call {
	char frame_id[37], parent[37];
	char answer_id[80];      /* "" unknown */
	unsigned lane;
	uint64_t whole;          /* meaning of the complete list */
	uint64_t *exact;         /* bytes of each item */
	size_t n;
	uint64_t system, tools, model, list_key;
	bool wrapped;            /* its conversation stands in an object of the request */
	struct clues clues;
	struct said *said;
	size_t nsaid;
	bool extended;           /* a later call of the same lane goes on from here */
	int older;               /* the call before it whose list has a hash in the same bucket; -1 */
};

struct vcr_conv {
	struct call *call;       /* a ring */
	int bucket[BUCKETS];     /* by `whole`: the latest call; -1 */
	size_t count, next, items;
	unsigned lanes;
};

/* What is compared of the request at hand. */
struct request {
	const struct vcr_json *j;
	const struct vcr_request_info *info;
	uint64_t *exact, *prefix; /* of item i: its bytes; meaning of items 0..i */
	int *item;                /* value indexes */
	size_t n;
	uint64_t system, tools, model, list_key;
	bool wrapped;
};

/* ---- Hashes ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

static uint64_t hash_bytes(uint64_t h, const char *p, size_t n)
{
	uint64_t v, lane[4] = { h, ~h, 0, n };
	h = mix(h, n);
	for (; n >= 32; n -= 32, p += 32) /* four that do not wait for each other */
		for (int i = 0; i < 4; i++) {
			memcpy(&v, p + 8 * i, 8);
			lane[i] = mix(lane[i], v);
		}
	for (int i = 0; i < 4; i++)
		h = mix(h, lane[i]);
	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&v, p, 8);
		h = mix(h, v);
	}
	v = 0;
	memcpy(&v, p, n);
	return mix(h, v);
}

static uint64_t hash_raw(const struct vcr_json *j, int v)
{
	size_t n;
	const char *p = vcr_json_raw(j, v, &n);
	return v < 0 ? 0 : hash_bytes(1, p, n);
}

/* [{"type":"text","text":S}], whatever else stands in the block, says the same as S: clients that set a cache marker rewrite one as the other. */
static int only_text(const struct vcr_json *j, int v)
{
	if (vcr_json_type(j, v) != VCR_JSON_ARRAY || vcr_json_count(j, v) != 1)
		return v;
	int block = vcr_json_first(j, v), text = vcr_json_get(j, block, "text");
	return vcr_json_is(j, vcr_json_get(j, block, "type"), "text") && text >= 0 ? text : v;
}

uint64_t vcr_conv_meaning(uint64_t h, const struct vcr_json *j, int v)
{
	enum vcr_json_type type = vcr_json_type(j, v);
	size_t n;
	const char *p;
	if (type == VCR_JSON_OBJECT) {
		h = mix(h, '{');
		for (int k = vcr_json_first(j, v); k >= 0; k = vcr_json_next(j, k)) {
			p = vcr_json_raw(j, k, &n);
			if (n == 15 && !memcmp(p, "\"cache_control\"", 15))
				continue;
			h = hash_bytes(h, p, n);
			int value = vcr_json_value(j, k);
			h = vcr_conv_meaning(h, j, n == 9 && !memcmp(p, "\"content\"", 9) ? only_text(j, value) : value);
		}
		return mix(h, '}');
	}
	if (type == VCR_JSON_ARRAY) {
		h = mix(h, '[');
		for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m))
			h = vcr_conv_meaning(h, j, m);
		return mix(h, ']');
	}
	p = vcr_json_raw(j, v, &n);
	return hash_bytes(h, p, n);
}

/* The object that holds the conversation: the request, or one in it (Google's Code Assist). */
static int holder(const struct request *q)
{
	const struct vcr_request_info *info = q->info;
	int wrapped = vcr_json_get(q->j, 0, WRAPPER);
	return info->list_key && vcr_json_get(q->j, 0, info->list_key) != info->list && vcr_json_get(q->j, wrapped, info->list_key) == info->list ? wrapped : 0;
}

static int read_request(struct request *q, const struct vcr_json *j, const struct vcr_request_info *info)
{
	size_t n = info->list >= 0 ? (size_t)vcr_json_count(j, info->list) : 0;
	*q = (struct request){ .j = j, .info = info, .n = n };
	q->exact = calloc(n + 1, sizeof *q->exact);
	q->prefix = calloc(n + 1, sizeof *q->prefix);
	q->item = calloc(n + 1, sizeof *q->item);
	if (!q->exact || !q->prefix || !q->item)
		return VCR_ENOMEM;
	q->wrapped = holder(q) > 0;
	uint64_t h = q->list_key = info->list_key ? hash_bytes(2, info->list_key, strlen(info->list_key)) : 0;
	size_t i = 0;
	for (int m = n ? vcr_json_first(j, info->list) : -1; m >= 0 && i < n; m = vcr_json_next(j, m), i++) {
		q->item[i] = m;
		q->exact[i] = hash_raw(j, m);
		q->prefix[i] = h = vcr_conv_meaning(h, j, m);
	}
	q->system = hash_raw(j, info->system);
	q->tools = hash_raw(j, info->tools);
	q->model = info->model ? hash_bytes(5, info->model, strlen(info->model)) : 0;
	return 0;
}

static void release_request(struct request *q)
{
	free(q->exact);
	free(q->prefix);
	free(q->item);
}

/* ---- Clues ---- */

/* Note the plain beginning of the JSON string at p. */
static void add_clue(struct clues *c, const char *p, const char *end)
{
	size_t len = 0;
	while (len < CLUE_LEN - 1 && p + len < end && (unsigned char)p[len] >= ' ' && (unsigned char)p[len] < 127 && p[len] != '"' && p[len] != '\\')
		len++;
	if (len < 8 || c->n == CLUES)
		return;
	memcpy(c->text[c->n], p, len);
	c->text[c->n++][len] = 0;
}

static bool follows(const char *start, const char *at, const char *key)
{
	size_t n = strlen(key);
	return (size_t)(at - start) >= n && !memcmp(at - n, key, n);
}

/* The id of the answer; and clues: ids of tool calls first, then beginnings of texts. */
static void read_answer(struct call *k, const char *answer, size_t n)
{
	struct clues ids = { .n = 0 }, texts = { .n = 0 }, own = { .n = CLUES - 1 };
	for (const char *p = answer, *end = answer + n; (p = memchr(p, ':', (size_t)(end - p))) && ids.n < CLUES;) {
		const char *colon = p++;
		if (p == end || *p++ != '"')
			continue;
		bool id = follows(answer, colon, "\"id\"");
		if (id)
			add_clue(&own, p, end);
		if (follows(answer, colon, "\"call_id\"") || (id && (!strncmp(p, "call_", 5) || !strncmp(p, "toolu_", 6))))
			add_clue(&ids, p, end);
		else if (follows(answer, colon, "\"text\"") || follows(answer, colon, "\"content\""))
			add_clue(&texts, p, end);
	}
	if (own.n == CLUES)
		snprintf(k->answer_id, sizeof k->answer_id, "%s", own.text[CLUES - 1]);
	k->clues = ids;
	for (int i = 0; i < texts.n && k->clues.n < CLUES; i++)
		strcpy(k->clues.text[k->clues.n++], texts.text[i]);
}

/* Does the item that follows the earlier call's list look like its answer? */
static bool answered_by(const struct call *k, const struct request *q)
{
	if (k->n >= q->n)
		return false;
	size_t n;
	const char *p = vcr_json_raw(q->j, q->item[k->n], &n);
	for (int i = 0; i < k->clues.n; i++)
		if (memmem(p, n, k->clues.text[i], strlen(k->clues.text[i])))
			return true;
	return false;
}

/* ---- What an answer said, known again in the request that repeats it ---- */

/* Digest of a value as it stands in a session file; its length is added to *size. False: there is none. */
static bool digest_value(const struct vcr_json *j, int v, unsigned char sum[16], size_t *size)
{
	unsigned char full[VCR_SHA256];
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &text);
	vcr_jw_value(&w, j, v);
	if (text.err || !vcr_sha256(text.data, text.len, full))
		return false;
	memcpy(sum, full, 16);
	*size += text.len;
	return true;
}

static bool key_of(const struct vcr_json *j, int k, char key[24])
{
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	if (vcr_json_str(j, k, &s) || s.len >= 24 || strlen(s.data) != s.len)
		return false;
	strcpy(key, s.data);
	return true;
}

static void read_said(struct call *k, const struct vcr_json *j)
{
	int message;
	while (k->nsaid < SAID_MESSAGES && vcr_json_type(j, message = vcr_conv_answer_message(j, 0, (int)k->nsaid)) == VCR_JSON_OBJECT) {
		struct said *grown = realloc(k->said, (k->nsaid + 1) * sizeof *grown), *s;
		size_t unused = 0;
		if (!grown)
			return;
		k->said = grown;
		s = &grown[k->nsaid++];
		*s = (struct said){ .n = 0 };
		for (int m = vcr_json_first(j, message); m >= 0 && s->n < SAID_MEMBERS; m = vcr_json_next(j, m))
			if (key_of(j, m, s->member[s->n].key) && digest_value(j, vcr_json_value(j, m), s->member[s->n].sum, &unused))
				s->n++;
	}
}

/* Does the message say the member k too? The size of its value is added then. */
static bool says(const struct said *s, const struct vcr_json *j, int k, size_t *size)
{
	unsigned char sum[16];
	char key[24];
	if (!key_of(j, k, key))
		return false;
	for (int i = 0; i < s->n; i++)
		if (!strcmp(s->member[i].key, key)) {
			return digest_value(j, vcr_json_value(j, k), sum, size) && !memcmp(s->member[i].sum, sum, sizeof sum);
		}
	return false;
}

/* Is enough of the item a member of that message? */
static bool repeats(const struct said *s, const struct vcr_json *j, int item)
{
	size_t size = 0;
	if (vcr_json_type(j, item) != VCR_JSON_OBJECT)
		return false;
	for (int m = vcr_json_first(j, item); m >= 0; m = vcr_json_next(j, m)) {
		size_t n = 0;
		if (says(s, j, m, &n))
			size += n;
	}
	return size >= SAID_WORTH;
}

/* How many items behind the list of `after` are its answer. */
static size_t repeated_items(const struct call *after, const struct request *q)
{
	size_t n = 0;
	while (after && n < after->nsaid && after->n + n < q->n && repeats(&after->said[n], q->j, q->item[after->n + n]))
		n++;
	return n;
}

static void write_member(struct vcr_jw *w, const struct vcr_json *j, int k)
{
	VCR_AUTO_BUF key = VCR_BUF_INIT;
	vcr_json_str(j, k, &key);
	vcr_jw_strn(w, key.data, key.len); /* it may hold a NUL */
	vcr_buf_putc(w->out, ':');
	w->after_key = true;
	vcr_jw_value(w, j, vcr_json_value(j, k));
}

static void write_answer_items(struct vcr_jw *w, const struct request *q, const struct call *after, size_t n)
{
	size_t unused = 0;
	vcr_jw_key(w, "answer");
	vcr_jw_array(w);
	for (size_t i = 0; i < n; i++) {
		vcr_jw_array(w);
		vcr_jw_int(w, (int64_t)i);
		for (int m = vcr_json_first(q->j, q->item[after->n + i]); m >= 0; m = vcr_json_next(q->j, m))
			if (says(&after->said[i], q->j, m, &unused)) {
				VCR_AUTO_BUF key = VCR_BUF_INIT;
				vcr_json_str(q->j, m, &key);
				vcr_jw_str(w, key.data);
			} else {
				vcr_jw_object(w);
				write_member(w, q->j, m);
				vcr_jw_object_end(w);
			}
		vcr_jw_array_end(w);
	}
	vcr_jw_array_end(w);
}

/* ---- Finding ---- */

static struct call *nth_latest(const struct vcr_conv *c, size_t i)
{
	return &c->call[(c->next + VCR_CONV_CALLS - 1 - i) % VCR_CONV_CALLS];
}

static int likeness(const struct call *k, const struct request *q)
{
	return 8 * answered_by(k, q) + 4 * (k->system == q->system) + 2 * (k->tools == q->tools) + (k->model == q->model);
}

/* The earlier call whose whole list begins this one's; the longest, most alike, latest. */
static struct call *find_extended(const struct vcr_conv *c, const struct request *q)
{
	struct call *best = NULL;
	int best_like = 0;
	for (size_t n = q->n; n && !best; n--)
		for (int i = c->bucket[q->prefix[n - 1] % BUCKETS]; i >= 0; i = c->call[i].older) {
			struct call *k = &c->call[i];
			if (k->n != n || k->list_key != q->list_key || k->wrapped != q->wrapped || k->whole != q->prefix[n - 1])
				continue;
			int like = likeness(k, q);
			if (n == q->n && like < 7)
				continue; /* the same words to another agent are no repetition */
			if (!best || like > best_like) {
				best = k;
				best_like = like;
			}
		}
	return best;
}

static struct call *find_by_answer(const struct vcr_conv *c, const struct request *q)
{
	VCR_AUTO_BUF id = VCR_BUF_INIT;
	if (vcr_json_str(q->j, vcr_json_get(q->j, 0, "previous_response_id"), &id) || id.len < 8)
		return NULL;
	for (size_t i = 0; i < c->count; i++) {
		struct call *k = nth_latest(c, i);
		if (*k->answer_id && k->wrapped == q->wrapped && !strncmp(k->answer_id, id.data, CLUE_LEN - 1))
			return k;
	}
	return NULL;
}

/* A lane whose bodies begin as this one's will: same first item, tools or system prompt. */
static struct call *find_alike(const struct vcr_conv *c, const struct request *q)
{
	for (size_t i = 0; i < c->count && i < 64; i++) {
		struct call *k = nth_latest(c, i);
		if (k->list_key == q->list_key && k->n && ((k->exact[0] == q->exact[0]) || (k->tools == q->tools && q->info->tools >= 0) ||
		    (k->system == q->system && q->info->system >= 0)))
			return k;
	}
	return NULL;
}

/* ---- Writing ---- */

/* How many leading items are the very bytes that `after` shows. */
static size_t same_items(const struct call *after, const struct request *q)
{
	size_t n = 0;
	while (after && n < after->n && n < q->n && after->exact[n] == q->exact[n])
		n++;
	return n;
}

static void write_list(struct vcr_jw *w, const struct request *q, size_t from)
{
	vcr_jw_array(w);
	for (size_t i = from; i < q->n; i++)
		vcr_jw_value(w, q->j, q->item[i]);
	vcr_jw_array_end(w);
}

/* What the frame `after` shows already, and so is left out. */
struct left_out { size_t items, answer; bool tools, system; };

static struct left_out left_out(const struct request *q, const struct call *after)
{
	const struct vcr_request_info *info = q->info;
	struct left_out o = { .items = same_items(after, q) };
	o.answer = after && after->n && o.items == after->n ? repeated_items(after, q) : 0;
	o.items += o.answer;
	o.tools = after && info->tools >= 0 && after->tools == q->tools;
	o.system = after && info->system >= 0 && after->system == q->system;
	return o;
}

/* The members of the request, or of the object in it that holds the conversation. */
static void write_members(struct vcr_jw *w, const struct request *q, int object, const struct left_out *o)
{
	const struct vcr_request_info *info = q->info;
	for (int k = vcr_json_first(q->j, object); k >= 0; k = vcr_json_next(q->j, k)) {
		int v = vcr_json_value(q->j, k);
		if (vcr_json_is(q->j, k, "_vcr") || (o->tools && v == info->tools) || (o->system && v == info->system))
			continue;
		if (!q->n || v != info->list) {
			write_member(w, q->j, k);
			continue;
		}
		vcr_jw_key(w, info->list_key);
		write_list(w, q, o->items);
	}
}

static void write_omitted(struct vcr_jw *w, const struct request *q, int object, const struct left_out *o, const struct call *after)
{
	const struct vcr_request_info *info = q->info;
	vcr_jw_key(w, "after");
	vcr_jw_str(w, after->frame_id);
	if (object) {
		vcr_jw_key(w, "in");
		vcr_jw_str(w, WRAPPER);
	}
	vcr_jw_key(w, "omitted");
	vcr_jw_object(w);
	if (o->items) {
		vcr_jw_key(w, info->list_key);
		vcr_jw_int(w, (int64_t)o->items);
	}
	if (o->tools) {
		vcr_jw_key(w, vcr_json_get(q->j, object, "tools") == info->tools ? "tools" : "functions");
		vcr_jw_bool(w, true);
	}
	if (o->system) {
		vcr_jw_key(w, info->system_key);
		vcr_jw_bool(w, true);
	}
	vcr_jw_object_end(w);
	if (o->answer)
		write_answer_items(w, q, after, o->answer);
}

static void write_input(struct vcr_jw *w, const struct request *q, const struct call *after, struct vcr_conv_place *place)
{
	struct left_out o = left_out(q, after);
	int own = vcr_json_get(q->j, 0, "_vcr"), object = q->wrapped ? holder(q) : 0;
	if (object && vcr_json_get(q->j, object, "_vcr") >= 0) /* there is no place for it in our notation */
		o = (struct left_out){ 0 };
	bool less = o.items || o.tools || o.system;
	vcr_jw_object(w);
	if (!object || !less) {
		write_members(w, q, 0, &o);
	} else {
		for (int k = vcr_json_first(q->j, 0); k >= 0; k = vcr_json_next(q->j, k)) {
			if (vcr_json_is(q->j, k, "_vcr"))
				continue;
			if (vcr_json_value(q->j, k) != object) {
				write_member(w, q->j, k);
				continue;
			}
			vcr_jw_key(w, WRAPPER);
			vcr_jw_object(w);
			write_members(w, q, object, &o);
			vcr_jw_object_end(w);
		}
	}
	if (own >= 0 || less) {
		vcr_jw_key(w, "_vcr");
		vcr_jw_object(w);
	}
	if (less) {
		strcpy(place->after, after->frame_id);
		write_omitted(w, q, object, &o, after);
	}
	if (own >= 0) {
		vcr_jw_key(w, "is");
		vcr_jw_value(w, q->j, own);
	}
	if (own >= 0 || less)
		vcr_jw_object_end(w);
	vcr_jw_object_end(w);
}

/* ---- The module ---- */

struct vcr_conv *vcr_conv_new(void)
{
	struct vcr_conv *c = calloc(1, sizeof *c);
	if (c && !(c->call = calloc(VCR_CONV_CALLS, sizeof *c->call))) {
		free(c);
		return NULL;
	}
	if (c)
		memset(c->bucket, 0xff, sizeof c->bucket);
	return c;
}

void vcr_conv_free(struct vcr_conv *c)
{
	for (size_t i = 0; c && i < VCR_CONV_CALLS; i++) {
		free(c->call[i].exact);
		free(c->call[i].said);
	}
	if (c)
		free(c->call);
	free(c);
}

static void forget_items(struct vcr_conv *c, struct call *k)
{
	c->items -= k->n;
	free(k->exact);
	free(k->said);
	k->exact = NULL;
	k->said = NULL;
	k->n = k->nsaid = 0;
}

/* Take the call whose place is wanted out of its bucket, where it is the last. */
static void leave_bucket(struct vcr_conv *c, const struct call *k)
{
	int *at = &c->bucket[k->whole % BUCKETS];
	if (!k->whole) /* without a list */
		return;
	while (*at >= 0 && &c->call[*at] != k)
		at = &c->call[*at].older;
	if (*at >= 0)
		*at = k->older;
}

static void enter_bucket(struct vcr_conv *c, struct call *k)
{
	int *at = &c->bucket[k->whole % BUCKETS];
	if (!k->whole)
		return;
	k->older = *at;
	*at = (int)(k - c->call);
}

static void remember(struct vcr_conv *c, struct request *q, const char *frame_id, const char *parent, unsigned lane, const struct vcr_json *answer)
{
	struct call *k = &c->call[c->next];
	if (c->count == VCR_CONV_CALLS)
		leave_bucket(c, k);
	forget_items(c, k);
	for (size_t i = c->count; i-- > 0 && c->items + q->n > MAX_ITEMS;)
		forget_items(c, nth_latest(c, i));
	c->items += q->n;
	*k = (struct call){ .lane = lane, .n = q->n, .whole = q->n ? q->prefix[q->n - 1] : 0, .exact = q->exact, .system = q->system, .tools = q->tools,
		.model = q->model, .list_key = q->list_key, .wrapped = q->wrapped };
	q->exact = NULL;
	enter_bucket(c, k);
	snprintf(k->frame_id, sizeof k->frame_id, "%s", frame_id);
	snprintf(k->parent, sizeof k->parent, "%s", parent);
	if (answer) {
		read_answer(k, answer->text, answer->len);
		read_said(k, answer);
	}
	c->next = (c->next + 1) % VCR_CONV_CALLS;
	c->count += c->count < VCR_CONV_CALLS;
}

/* The lane to store the body in: that of the call it goes on from, a new one where lanes part. */
static unsigned choose_lane(struct vcr_conv *c, const struct request *q, struct call *from, struct vcr_conv_place *place)
{
	struct call *like = from ? from : find_alike(c, q);
	unsigned lane;
	if (from && !from->extended) {
		from->extended = from->n < q->n || !q->n;
		lane = from->lane;
		snprintf(place->lane, sizeof place->lane, "c%u", lane);
		return lane;
	}
	lane = ++c->lanes;
	if (like)
		snprintf(place->lane, sizeof place->lane, "c%u<c%u", lane, like->lane);
	else
		snprintf(place->lane, sizeof place->lane, "c%u", lane);
	return lane;
}

int vcr_conv_place(struct vcr_conv *c, const struct vcr_json *j, const struct vcr_request_info *info, const struct vcr_json *answer,
	const char *frame_id, struct vcr_conv_place *place, struct vcr_buf *input)
{
	struct vcr_conv_place found = { .known = 0 };
	struct request q;
	struct vcr_jw w;
	if (vcr_json_type(j, 0) != VCR_JSON_OBJECT)
		return VCR_EINVAL;
	int err = read_request(&q, j, info);
	if (err) {
		release_request(&q);
		return err;
	}
	struct call *from = q.n ? find_extended(c, &q) : NULL, *named = from ? NULL : find_by_answer(c, &q);
	if (from || named)
		strcpy(found.parent, !named && from->n == q.n ? from->parent : named ? named->frame_id : from->frame_id);
	found.known = from && from->n < q.n ? from->n : 0;
	size_t before = input->len;
	vcr_jw_init(&w, input);
	write_input(&w, &q, from ? from : named, &found);
	if (!(err = input->err)) {
		unsigned lane = q.n || named ? choose_lane(c, &q, from ? from : named, &found) : 0;
		remember(c, &q, frame_id, found.parent, lane, answer);
		*place = found;
	} else {
		vcr_buf_cut(input, before);
	}
	release_request(&q);
	return err;
}

void vcr_conv_forget(struct vcr_conv *c, const char *frame_id)
{
	for (size_t i = 0; i < c->count; i++) {
		struct call *k = nth_latest(c, i);
		if (!strcmp(k->frame_id, frame_id)) {
			forget_items(c, k);
			*k->answer_id = 0;
			return;
		}
	}
}

int vcr_conv_answer_message(const struct vcr_json *j, int response, int k)
{
	int list = vcr_json_get(j, response, "choices");
	if (vcr_json_type(j, list) == VCR_JSON_ARRAY)
		return vcr_json_get(j, vcr_json_item(j, list, k), "message");
	list = vcr_json_get(j, response, "output");
	if (vcr_json_type(j, list) == VCR_JSON_ARRAY)
		return vcr_json_item(j, list, k);
	list = vcr_json_get(j, response, "candidates");
	if (vcr_json_type(j, list) == VCR_JSON_ARRAY)
		return vcr_json_get(j, vcr_json_item(j, list, k), "content");
	if (k)
		return -1;
	int message = vcr_json_get(j, response, "message");
	if (vcr_json_type(j, message) == VCR_JSON_OBJECT)
		return message;
	return vcr_json_get(j, response, "role") >= 0 ? response : -1;
}
