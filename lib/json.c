#include "json-parts.h"
#include "limits.h"
#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- One pass: RFC 8259, an explicit stack of one bit per level; and, where somebody wants them, the tokens. ---- */

enum seen {
	NO_LINE = 1,  /* a line end or tab between values, or a byte >= 0x80 */
	TYPE_KEY = 2, /* a key "__type__", or one with an escape */
};

struct check {
	const unsigned char *p, *end, *begin;
	unsigned flags, seen;
	bool escape;          /* a string with a backslash was passed */
	bool keep;            /* the tokens */
	bool short_of_memory;
	struct token *tok;
	size_t tokens, cap;
	int parent;           /* the open container; -1 */
};

static int bad(const struct check *c)
{
	return c->p >= c->end ? VCR_ETRUNC : VCR_ESYNTAX;
}

static void skip_space(struct check *c)
{
	for (; c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'); c->p++)
		if (*c->p != ' ')
			c->seen |= NO_LINE;
}

static bool grow_tokens(struct check *c)
{
	size_t cap = c->cap ? c->cap + c->cap / 2 : 64;
	struct token *grown = c->short_of_memory ? NULL : realloc(c->tok, cap * sizeof *grown);
	if (!grown) {
		c->short_of_memory = true;
		return false;
	}
	c->tok = grown;
	c->cap = cap;
	return true;
}

/* The token that begins at p, the next child of the open container; linked: not the value of a member, which hangs on its key. */
static void begin_token(struct check *c, enum vcr_json_type type, bool linked)
{
	size_t i = c->tokens++;
	if (!c->keep || (i >= c->cap && !grow_tokens(c)))
		return;
	c->tok[i] = (struct token){ .start = (int)(c->p - c->begin), .end = -1, .next = -1, .type = type };
	if (!linked || c->parent < 0)
		return;
	struct token *around = &c->tok[c->parent];
	if (around->end >= 0)
		c->tok[around->end].next = (int)i;
	around->end = (int)i;
	around->size++;
}

static void end_token(struct check *c, int size)
{
	if (!c->keep || c->short_of_memory)
		return;
	struct token *t = &c->tok[c->tokens - 1];
	int quotes = t->type == VCR_JSON_STRING;
	t->start += quotes;
	t->end = (int)(c->p - c->begin) - quotes;
	t->size = size;
}

static void open_container(struct check *c, enum vcr_json_type type, bool linked)
{
	begin_token(c, type, linked);
	if (!c->keep || c->short_of_memory)
		return;
	c->tok[c->tokens - 1].next = c->parent;
	c->parent = (int)c->tokens - 1;
}

/* p stands behind it. */
static void close_container(struct check *c)
{
	if (!c->keep || c->short_of_memory)
		return;
	struct token *t = &c->tok[c->parent];
	t->end = (int)(c->p - c->begin);
	c->parent = t->next;
	t->next = -1;
}

/* Bytes of a well-formed UTF-8 sequence at p (Unicode table 3-7), 0 if it is none; *more when it is only cut short. */
static int utf8_length(const unsigned char *p, const unsigned char *end, bool *more)
{
	int n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
	*more = false;
	for (int i = 1; i < n; i++) {
		if (p + i >= end) {
			*more = true;
			return 0;
		}
		unsigned char low = 0x80, high = 0xbf;
		if (i == 1) {
			low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
			high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
		}
		if (p[i] < low || p[i] > high)
			return 0;
	}
	return n;
}

static int hex4(const unsigned char *p)
{
	int v = 0;
	for (int i = 0; i < 4; i++) {
		int c = p[i], d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* Behind a backslash and 'u'. In strict mode a surrogate must be one half of a pair. */
static int check_unicode_escape(struct check *c)
{
	for (int half = 0;; half++) {
		for (int i = 0; i < 4; i++)
			if (c->p + i >= c->end) {
				c->p = c->end;
				return VCR_ETRUNC;
			}
		int v = hex4(c->p);
		if (v < 0)
			return VCR_ESYNTAX;
		c->p += 4;
		bool high = v >= 0xd800 && v < 0xdc00, low = v >= 0xdc00 && v < 0xe000;
		if (c->flags & VCR_JSON_RELAXED)
			return 0;
		if (half)
			return low ? 0 : VCR_ESYNTAX;
		if (low)
			return VCR_ESYNTAX;
		if (!high)
			return 0;
		if (c->p >= c->end || c->p[0] != '\\')
			return bad(c);
		if (++c->p >= c->end || c->p[0] != 'u')
			return bad(c);
		c->p++;
	}
}

/* Of eight bytes, the top bit of each that cannot stand in a JSON string of ASCII as it is: quote, backslash, control, >= 0x80. Only the lowest
 * bit that is set says where: those above it may be borrowed. */
static uint64_t not_plain(const unsigned char *p)
{
	const uint64_t ones = 0x0101010101010101ull, tops = 0x8080808080808080ull;
	uint64_t v;
	memcpy(&v, p, 8);
	v = le64toh(v);
	uint64_t quote = v ^ (ones * '"'), slash = v ^ (ones * '\\');
	return ((v - ones * 0x20) | (quote - ones) | (slash - ones) | v) & tops;
}

typedef signed char bytes __attribute__((vector_size(16)));
typedef uint64_t words __attribute__((vector_size(16)));

/* The first byte that is not plain; end if all are. */
static const unsigned char *skip_plain(const unsigned char *p, const unsigned char *end)
{
	for (bytes c; end - p >= 16; p += 16) {
		memcpy(&c, p, 16);
		words hit = (words)((c < 0x20) | (c == '"') | (c == '\\')); /* >= 0x80 is below 0 */
		if (hit[0] | hit[1])
			break;
	}
	for (; end - p >= 8; p += 8) {
		uint64_t hit = not_plain(p);
		if (hit)
			return p + __builtin_ctzll(hit) / 8;
	}
	while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

/* At the opening quote. */
static int check_string(struct check *c)
{
	for (c->p++;;) {
		c->p = skip_plain(c->p, c->end);
		if (c->p >= c->end)
			return VCR_ETRUNC;
		unsigned char ch = *c->p;
		if (ch == '"') {
			c->p++;
			return 0;
		}
		if (ch < 0x20)
			return VCR_ESYNTAX;
		if (ch == '\\') {
			c->escape = true;
			if (++c->p >= c->end)
				return VCR_ETRUNC;
			if (!*c->p || !strchr("\"\\/bfnrtu", *c->p))
				return VCR_ESYNTAX;
			int err = *c->p++ == 'u' ? check_unicode_escape(c) : 0;
			if (err)
				return err;
		} else {
			bool more;
			c->seen |= NO_LINE;
			int n = utf8_length(c->p, c->end, &more);
			if (!n) {
				if (more)
					c->p = c->end;
				return bad(c);
			}
			c->p += n;
		}
	}
}

static bool digits(struct check *c)
{
	const unsigned char *from = c->p;
	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > from;
}

static int check_word(struct check *c, const char *word)
{
	for (; *word; word++, c->p++)
		if (c->p >= c->end || *c->p != (unsigned char)*word)
			return bad(c);
	return 0;
}

static int check_number(struct check *c)
{
	if (*c->p == '-') {
		c->p++;
		if (c->p < c->end && *c->p == 'I' && c->flags & VCR_JSON_RELAXED)
			return check_word(c, "Infinity");
	}
	if (c->p < c->end && *c->p == '0')
		c->p++;
	else if (!digits(c))
		return bad(c);
	if (c->p < c->end && *c->p == '.') {
		c->p++;
		if (!digits(c))
			return bad(c);
	}
	if (c->p < c->end && (*c->p | 32) == 'e') {
		c->p++;
		if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
			c->p++;
		if (!digits(c))
			return bad(c);
	}
	return 0;
}

static int check_scalar(struct check *c)
{
	switch (*c->p) {
	case '"': return check_string(c);
	case 't': return check_word(c, "true");
	case 'f': return check_word(c, "false");
	case 'n': return check_word(c, "null");
	case 'N': return c->flags & VCR_JSON_RELAXED ? check_word(c, "NaN") : VCR_ESYNTAX;
	case 'I': return c->flags & VCR_JSON_RELAXED ? check_word(c, "Infinity") : VCR_ESYNTAX;
	default: return check_number(c);
	}
}

static const char type_key[] = "\"__type__\"";

/* A member's key and colon. */
static int check_key(struct check *c)
{
	skip_space(c);
	if (c->p >= c->end || *c->p != '"')
		return bad(c);
	const unsigned char *from = c->p;
	begin_token(c, VCR_JSON_STRING, true);
	c->escape = false;
	int err = check_string(c);
	if (err)
		return err;
	end_token(c, 1);
	if (c->escape || (c->p - from == sizeof type_key - 1 && !memcmp(from, type_key, sizeof type_key - 1)))
		c->seen |= TYPE_KEY;
	skip_space(c);
	return check_word(c, ":");
}

static int check_text(struct check *c, unsigned max_depth)
{
	unsigned char in_object[(VCR_MAX_JSON_DEPTH_RELAXED + 8) / 8] = { 0 };
	unsigned depth = 0;
	for (;;) {
		skip_space(c);
		if (c->p >= c->end)
			return VCR_ETRUNC;
		bool closed = true, item = depth && !(in_object[depth / 8] >> depth % 8 & 1);
		if (*c->p == '{' || *c->p == '[') {
			bool object = *c->p == '{';
			open_container(c, object ? VCR_JSON_OBJECT : VCR_JSON_ARRAY, item);
			c->p++;
			if (depth++ >= max_depth)
				return VCR_ELIMIT;
			if (object)
				in_object[depth / 8] |= (unsigned char)(1 << depth % 8);
			else
				in_object[depth / 8] &= (unsigned char)~(1 << depth % 8);
			skip_space(c);
			if (c->p < c->end && *c->p == (object ? '}' : ']')) {
				c->p++;
				depth--;
				close_container(c);
			} else {
				closed = false;
				int err = object ? check_key(c) : 0;
				if (err)
					return err;
			}
		} else {
			begin_token(c, vcr_json_scalar_type((char)*c->p), item);
			int err = check_scalar(c);
			if (err)
				return err;
			end_token(c, 0);
		}
		while (closed && depth) {
			bool object = in_object[depth / 8] >> depth % 8 & 1;
			skip_space(c);
			if (c->p < c->end && *c->p == ',') {
				c->p++;
				int err = object ? check_key(c) : 0;
				if (err)
					return err;
				closed = false;
			} else if (c->p < c->end && *c->p == (object ? '}' : ']')) {
				c->p++;
				depth--;
				close_container(c);
			} else {
				return bad(c);
			}
		}
		if (closed)
			break;
	}
	skip_space(c);
	return c->p < c->end ? VCR_ESYNTAX : 0;
}

static int check(struct check *c, const char *text, size_t len, unsigned flags, bool keep)
{
	*c = (struct check){ .p = (const unsigned char *)text, .end = (const unsigned char *)text + len, .begin = (const unsigned char *)text, .flags = flags,
		.keep = keep, .parent = -1 };
	return len > VCR_MAX_JSON_BYTES ? VCR_ELIMIT : check_text(c, flags & VCR_JSON_RELAXED ? VCR_MAX_JSON_DEPTH_RELAXED : VCR_MAX_JSON_DEPTH);
}

int vcr_json_validate(const char *text, size_t len, unsigned flags, size_t *tokens, size_t *at)
{
	struct check c;
	int err = check(&c, text, len, flags, false);
	if (tokens && !err)
		*tokens = c.tokens;
	if (at && err)
		*at = (size_t)(c.p - c.begin);
	return err;
}

bool vcr_json_is_line(const char *text, size_t len)
{
	struct check c;
	return !check(&c, text, len, 0, false) && !c.seen;
}

/* ---- The document ---- */

static const struct token *token(const struct vcr_json *j, int v)
{
	return v >= 0 && (size_t)v < j->ntok ? (const struct token *)j->tok + v : NULL;
}

int vcr_json_parse(struct vcr_json *j, const char *text, size_t len, unsigned flags, struct vcr_error *e)
{
	struct check c;
	int err = check(&c, text, len, flags, true);
	if (err || c.short_of_memory) {
		free(c.tok);
		return err ? vcr_error_set(e, err, "JSON: %s at byte %zu", err == VCR_ELIMIT && len <= VCR_MAX_JSON_BYTES ? "nested too deep" : vcr_strerror(err),
				(size_t)(c.p - c.begin))
			: vcr_error_set(e, VCR_ENOMEM, "JSON: %s", vcr_strerror(VCR_ENOMEM));
	}
	*j = (struct vcr_json){ text, len, c.tok, c.tokens };
	return 0;
}

void vcr_json_release(struct vcr_json *j)
{
	free(j->tok);
	*j = (struct vcr_json)VCR_JSON_INIT;
}

enum vcr_json_type vcr_json_type(const struct vcr_json *j, int v)
{
	const struct token *t = token(j, v);
	return t ? t->type : VCR_JSON_NONE;
}

static bool is_container(const struct token *t)
{
	return t->type == VCR_JSON_OBJECT || t->type == VCR_JSON_ARRAY;
}

int vcr_json_first(const struct vcr_json *j, int v)
{
	const struct token *t = token(j, v);
	return t && t->size && is_container(t) ? v + 1 : -1;
}

int vcr_json_next(const struct vcr_json *j, int m)
{
	const struct token *t = token(j, m);
	return t ? t->next : -1;
}

int vcr_json_value(const struct vcr_json *j, int key)
{
	const struct token *t = token(j, key);
	return t && t->size ? key + 1 : -1;
}

int vcr_json_count(const struct vcr_json *j, int v)
{
	const struct token *t = token(j, v);
	return t && is_container(t) ? t->size : 0;
}

int vcr_json_item(const struct vcr_json *j, int array, int i)
{
	if (i < 0 || vcr_json_type(j, array) != VCR_JSON_ARRAY)
		return -1;
	int m = vcr_json_first(j, array);
	while (i-- > 0 && m >= 0)
		m = vcr_json_next(j, m);
	return m;
}

const char *vcr_json_raw(const struct vcr_json *j, int v, size_t *len)
{
	const struct token *t = token(j, v);
	*len = 0;
	if (!t)
		return "";
	int quotes = t->type == VCR_JSON_STRING;
	*len = (size_t)(t->end - t->start + 2 * quotes);
	return j->text + t->start - quotes;
}

static void add_utf8(struct vcr_buf *out, unsigned cp)
{
	char s[4];
	size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--, cp >>= 6)
		s[i] = (char)(0x80 | (cp & 0x3f));
	s[0] = (char)(n == 1 ? cp : (0xf00u >> n & 0xf0) | cp);
	vcr_buf_add(out, s, n);
}

/* One escape behind its backslash; returns the bytes it takes. The text is valid. */
static size_t add_escape(struct vcr_buf *out, const char *p, const char *end)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *simple = *p == 'u' ? NULL : memchr(from, *p, 5);
	if (*p != 'u') {
		vcr_buf_putc(out, simple ? to[simple - from] : *p);
		return 1;
	}
	unsigned cp = (unsigned)hex4((const unsigned char *)p + 1);
	if (cp >= 0xd800 && cp < 0xdc00 && end - p >= 11 && p[5] == '\\' && p[6] == 'u') {
		unsigned low = (unsigned)hex4((const unsigned char *)p + 7);
		if (low >= 0xdc00 && low < 0xe000) {
			add_utf8(out, 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00));
			return 11;
		}
	}
	add_utf8(out, cp >= 0xd800 && cp < 0xe000 ? 0xfffd : cp);
	return 5;
}

int vcr_json_str(const struct vcr_json *j, int v, struct vcr_buf *out)
{
	const struct token *t = token(j, v);
	if (!t || t->type != VCR_JSON_STRING)
		return 1;
	const char *p = j->text + t->start, *end = j->text + t->end;
	while (p < end) {
		const char *slash = memchr(p, '\\', (size_t)(end - p));
		vcr_buf_add(out, p, (size_t)((slash ? slash : end) - p));
		if (!slash)
			break;
		p = slash + 1 + add_escape(out, slash + 1, end);
	}
	return out->err;
}

char *vcr_json_strdup(const struct vcr_json *j, int v)
{
	struct vcr_buf b = VCR_BUF_INIT;
	if (vcr_json_str(j, v, &b)) {
		vcr_buf_release(&b);
		return NULL;
	}
	return vcr_buf_take(&b, NULL);
}

bool vcr_json_is(const struct vcr_json *j, int v, const char *s)
{
	const struct token *t = token(j, v);
	if (!t || t->type != VCR_JSON_STRING)
		return false;
	size_t n = (size_t)(t->end - t->start);
	if (!memchr(j->text + t->start, '\\', n))
		return n == strlen(s) && !memcmp(j->text + t->start, s, n);
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	return !vcr_json_str(j, v, &b) && b.len == strlen(s) && !memcmp(b.data, s, b.len);
}

int vcr_json_get(const struct vcr_json *j, int object, const char *key)
{
	int found = -1;
	if (vcr_json_type(j, object) != VCR_JSON_OBJECT)
		return -1;
	for (int m = vcr_json_first(j, object); m >= 0; m = vcr_json_next(j, m))
		if (vcr_json_is(j, m, key))
			found = vcr_json_value(j, m);
	return found;
}

int vcr_json_path(const struct vcr_json *j, int v, const char *path)
{
	char name[128];
	while (*path && v >= 0) {
		if (*path == '[') {
			char *end;
			long i = strtol(path + 1, &end, 10);
			if (end == path + 1 || *end != ']' || i < 0 || i > INT32_MAX)
				return -1;
			v = vcr_json_item(j, v, (int)i);
			path = end + 1;
			continue;
		}
		path += *path == '.';
		size_t n = strcspn(path, ".[");
		if (!n || n >= sizeof name)
			return -1;
		memcpy(name, path, n);
		name[n] = 0;
		v = vcr_json_get(j, v, name);
		path += n;
	}
	return v;
}

/* The text of a number, NUL-terminated; false if it is none or too long for a double or an int64 to make sense of. */
static bool number_text(const struct vcr_json *j, int v, char out[64])
{
	if (vcr_json_type(j, v) != VCR_JSON_NUMBER)
		return false;
	size_t n;
	const char *p = vcr_json_raw(j, v, &n);
	if (n >= 64)
		return false;
	memcpy(out, p, n);
	out[n] = 0;
	return true;
}

bool vcr_json_double(const struct vcr_json *j, int v, double *out)
{
	char s[64];
	if (!number_text(j, v, s))
		return false;
	*out = strtod(s, NULL);
	return true;
}

bool vcr_json_int(const struct vcr_json *j, int v, int64_t *out)
{
	char s[64], *end;
	if (!number_text(j, v, s))
		return false;
	errno = 0;
	long long i = strtoll(s, &end, 10);
	if (!*end && !errno) {
		*out = i;
		return true;
	}
	double d = strtod(s, NULL);
	if (!(d >= -9007199254740992.0 && d <= 9007199254740992.0) || d != floor(d))
		return false;
	*out = (int64_t)d;
	return true;
}

bool vcr_json_true(const struct vcr_json *j, int v)
{
	return vcr_json_type(j, v) == VCR_JSON_BOOL && j->text[token(j, v)->start] == 't';
}

/* ---- Writing ---- */

void vcr_jw_init(struct vcr_jw *w, struct vcr_buf *out)
{
	*w = (struct vcr_jw){ .out = out };
	w->first[0] = 1;
}

static uint64_t *level(struct vcr_jw *w, uint64_t *bit)
{
	unsigned d = w->depth % (64 * (sizeof w->first / sizeof *w->first));
	*bit = 1ull << d % 64;
	return &w->first[d / 64];
}

static void before_value(struct vcr_jw *w)
{
	uint64_t bit, *word = level(w, &bit);
	if (w->after_key)
		w->after_key = false;
	else if (*word & bit)
		*word &= ~bit;
	else
		vcr_buf_putc(w->out, ',');
}

static void open_level(struct vcr_jw *w, char c)
{
	uint64_t bit, *word;
	before_value(w);
	vcr_buf_putc(w->out, c);
	w->depth++;
	word = level(w, &bit);
	*word |= bit;
}

static void close_level(struct vcr_jw *w, char c)
{
	uint64_t bit, *word = level(w, &bit);
	*word &= ~bit;
	w->depth--;
	vcr_buf_putc(w->out, c);
}

void vcr_jw_object(struct vcr_jw *w) { open_level(w, '{'); }
void vcr_jw_object_end(struct vcr_jw *w) { close_level(w, '}'); }
void vcr_jw_array(struct vcr_jw *w) { open_level(w, '['); }
void vcr_jw_array_end(struct vcr_jw *w) { close_level(w, ']'); }

static unsigned decode_utf8(const unsigned char *p, int n)
{
	unsigned cp = n == 2 ? p[0] & 0x1fu : n == 3 ? p[0] & 0x0fu : p[0] & 0x07u;
	for (int i = 1; i < n; i++)
		cp = cp << 6 | (p[i] & 0x3fu);
	return cp;
}

static void add_u(struct vcr_buf *out, unsigned v)
{
	static const char hex[] = "0123456789abcdef";
	char s[6] = { '\\', 'u', hex[v >> 12 & 15], hex[v >> 8 & 15], hex[v >> 4 & 15], hex[v & 15] };
	vcr_buf_add(out, s, 6);
}

/* One byte or sequence that cannot stand as it is; returns the bytes it took. */
static int add_escaped(struct vcr_buf *out, const unsigned char *p, const unsigned char *end)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *simple = *p ? memchr(from, *p, 7) : NULL;
	bool more;
	if (simple) {
		char s[2] = { '\\', to[simple - from] };
		vcr_buf_add(out, s, 2);
		return 1;
	}
	if (*p < 0x80) {
		add_u(out, *p);
		return 1;
	}
	int n = utf8_length(p, end, &more);
	if (!n) {
		add_u(out, 0xfffd);
		return 1;
	}
	unsigned cp = decode_utf8(p, n);
	if (cp >= 0x10000) {
		add_u(out, 0xd800 + ((cp - 0x10000) >> 10));
		add_u(out, 0xdc00 + ((cp - 0x10000) & 0x3ff));
	} else {
		add_u(out, cp);
	}
	return n;
}

static void add_string(struct vcr_buf *out, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s, *end = p + n;
	vcr_buf_putc(out, '"');
	while (p < end) {
		const unsigned char *from = p;
		p = skip_plain(p, end);
		vcr_buf_add(out, from, (size_t)(p - from));
		if (p < end)
			p += add_escaped(out, p, end);
	}
	vcr_buf_putc(out, '"');
}

void vcr_jw_strn(struct vcr_jw *w, const char *s, size_t n)
{
	before_value(w);
	add_string(w->out, s, n);
}

void vcr_jw_key(struct vcr_jw *w, const char *key)
{
	vcr_jw_strn(w, key, strlen(key));
	vcr_buf_putc(w->out, ':');
	w->after_key = true;
}

void vcr_jw_raw(struct vcr_jw *w, const char *json, size_t n)
{
	before_value(w);
	vcr_buf_add(w->out, json, n);
}

void vcr_jw_null(struct vcr_jw *w) { vcr_jw_raw(w, "null", 4); }
void vcr_jw_bool(struct vcr_jw *w, bool v) { vcr_jw_raw(w, v ? "true" : "false", v ? 4 : 5); }

void vcr_jw_str(struct vcr_jw *w, const char *s)
{
	if (s)
		vcr_jw_strn(w, s, strlen(s));
	else
		vcr_jw_null(w);
}

void vcr_jw_int(struct vcr_jw *w, int64_t v)
{
	char s[24], *p = s + sizeof s;
	uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	do
		*--p = (char)('0' + left % 10);
	while (left /= 10);
	if (v < 0)
		*--p = '-';
	vcr_jw_raw(w, p, (size_t)(s + sizeof s - p));
}

/* Thousandths, as milliseconds and dollars mostly are: their digits are known without trying. */
static bool write_thousandths(struct vcr_jw *w, double v)
{
	int64_t k = v >= 0.001 && v < 1e5 ? (int64_t)(v * 1000 + 0.5) : 0;
	if (!k || (double)k / 1000 != v)
		return false;
	char s[16] = { 0 }, *p = s + sizeof s;
	*--p = (char)('0' + k % 10);
	*--p = (char)('0' + k / 10 % 10);
	*--p = (char)('0' + k / 100 % 10);
	*--p = '.';
	for (k /= 1000; k || s + sizeof s - p == 4; k /= 10)
		*--p = (char)('0' + k % 10);
	size_t n = (size_t)(s + sizeof s - p);
	while (p[n - 1] == '0' && p[n - 2] != '.')
		n--;
	vcr_jw_raw(w, p, n);
	return true;
}

void vcr_jw_double(struct vcr_jw *w, double v)
{
	char s[40];
	if (!isfinite(v)) {
		vcr_jw_null(w);
		return;
	}
	if (write_thousandths(w, v))
		return;
	int n = 0;
	for (int digits_wanted = 6; digits_wanted <= 17; digits_wanted++) {
		n = snprintf(s, sizeof s, "%.*g", digits_wanted, v);
		if (strtod(s, NULL) == v)
			break;
	}
	if (!strpbrk(s, ".e"))
		n += snprintf(s + n, sizeof s - (size_t)n, ".0");
	vcr_jw_raw(w, s, (size_t)n);
}

static const unsigned char *skip_ascii(const unsigned char *p, const unsigned char *end)
{
	for (uint64_t v; end - p >= 8; p += 8) {
		memcpy(&v, p, 8);
		if (v & 0x8080808080808080ull)
			break;
	}
	while (p < end && *p < 0x80)
		p++;
	return p;
}

/* A string of a document: escapes stay, raw sequences become escapes. Nothing is decoded, so lone surrogates survive. */
static void add_json_string(struct vcr_jw *w, const struct vcr_json *j, int v)
{
	size_t n;
	const unsigned char *at = (const unsigned char *)vcr_json_raw(j, v, &n), *end = at + n;
	before_value(w);
	while (at < end) {
		const unsigned char *from = at;
		at = skip_ascii(at, end);
		vcr_buf_add(w->out, from, (size_t)(at - from));
		if (at < end)
			at += add_escaped(w->out, at, end);
	}
}

void vcr_jw_value(struct vcr_jw *w, const struct vcr_json *j, int v)
{
	size_t n;
	const char *p;
	switch (vcr_json_type(j, v)) {
	case VCR_JSON_OBJECT:
		vcr_jw_object(w);
		for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m)) {
			add_json_string(w, j, m);
			vcr_buf_putc(w->out, ':');
			w->after_key = true;
			vcr_jw_value(w, j, vcr_json_value(j, m));
		}
		vcr_jw_object_end(w);
		break;
	case VCR_JSON_ARRAY:
		vcr_jw_array(w);
		for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m))
			vcr_jw_value(w, j, m);
		vcr_jw_array_end(w);
		break;
	case VCR_JSON_STRING:
		add_json_string(w, j, v);
		break;
	case VCR_JSON_NONE:
		vcr_jw_null(w);
		break;
	default:
		p = vcr_json_raw(j, v, &n);
		if (memchr(p, 'N', n) || memchr(p, 'I', n))
			vcr_jw_null(w);
		else
			vcr_jw_raw(w, p, n);
	}
}
