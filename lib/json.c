#include "json-parts.h"
#include "json-plain.h"
#include "limits.h"
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
	bool escape;          /* the string that was passed last has a backslash */
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

/* Most values follow each other closely: nothing is called for them. */
#define HOT static inline __attribute__((always_inline))

static void pass_space(struct check *c)
{
	for (; c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'); c->p++)
		if (*c->p != ' ')
			c->seen |= NO_LINE;
}

HOT void skip_space(struct check *c)
{
	if (c->p < c->end && *c->p <= ' ')
		pass_space(c);
}

static __attribute__((noinline)) bool grow_tokens(struct check *c)
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
HOT void begin_token(struct check *c, enum vcr_json_type type, bool linked)
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

/* p stands behind it. */
HOT void end_token(struct check *c, bool string, int size)
{
	if (!c->keep || c->short_of_memory)
		return;
	struct token *t = &c->tok[c->tokens - 1];
	t->start += string;
	t->end = (int)(c->p - c->begin) - string;
	t->size = size;
	t->plain = string && !c->escape;
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

/* p at something that is not plain. */
static int check_rest(struct check *c)
{
	for (;;) {
		c->p = vcr_json_skip_plain(c->p, c->end);
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
			int n = vcr_json_utf8_length(c->p, c->end, &more);
			if (!n) {
				if (more)
					c->p = c->end;
				return bad(c);
			}
			c->p += n;
		}
	}
}

/* At the opening quote. */
HOT int check_string(struct check *c)
{
	c->escape = false;
	c->p = vcr_json_skip_plain(c->p + 1, c->end);
	if (c->p >= c->end || *c->p != '"')
		return check_rest(c);
	c->p++;
	return 0;
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

static int check_primitive(struct check *c)
{
	switch (*c->p) {
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
HOT int check_key(struct check *c)
{
	skip_space(c);
	if (c->p >= c->end || *c->p != '"')
		return bad(c);
	const unsigned char *from = c->p;
	begin_token(c, VCR_JSON_STRING, true);
	int err = check_string(c);
	if (err)
		return err;
	end_token(c, true, 1);
	if (c->escape || (c->p - from == sizeof type_key - 1 && !memcmp(from, type_key, sizeof type_key - 1)))
		c->seen |= TYPE_KEY;
	skip_space(c);
	if (c->p >= c->end || *c->p != ':')
		return bad(c);
	c->p++;
	return 0;
}

HOT int check_text(struct check *c, unsigned max_depth)
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
			bool string = *c->p == '"';
			begin_token(c, vcr_json_scalar_type((char)*c->p), item);
			int err = string ? check_string(c) : check_primitive(c);
			if (err)
				return err;
			end_token(c, string, 0);
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

/* One copy for either purpose. */
static int check_keeping(struct check *c, unsigned max_depth)
{
	c->keep = true;
	return check_text(c, max_depth);
}

static int check_only(struct check *c, unsigned max_depth)
{
	c->keep = false;
	return check_text(c, max_depth);
}

static int check(struct check *c, const char *text, size_t len, unsigned flags, bool keep)
{
	*c = (struct check){ .p = (const unsigned char *)text, .end = (const unsigned char *)text + len, .begin = (const unsigned char *)text, .flags = flags,
		.parent = -1 };
	unsigned depth = flags & VCR_JSON_RELAXED ? VCR_MAX_JSON_DEPTH_RELAXED : VCR_MAX_JSON_DEPTH;
	if (len > VCR_MAX_JSON_BYTES)
		return VCR_ELIMIT;
	return keep ? check_keeping(c, depth) : check_only(c, depth);
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
	const struct token *t = token(j, v);
	size_t n = t && t->type == VCR_JSON_STRING ? (size_t)(t->end - t->start) : 0;
	if (n && t->plain) {
		char *s = malloc(n + 1);
		if (s) {
			memcpy(s, j->text + t->start, n);
			s[n] = 0;
		}
		return s;
	}
	struct vcr_buf b = VCR_BUF_INIT;
	if (vcr_json_str(j, v, &b)) {
		vcr_buf_release(&b);
		return NULL;
	}
	return vcr_buf_take(&b, NULL);
}

/* Of a string. */
static bool is_text(const struct vcr_json *j, int v, const struct token *t, const char *s, size_t n)
{
	if (t->plain)
		return n == (size_t)(t->end - t->start) && !memcmp(j->text + t->start, s, n);
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	return !vcr_json_str(j, v, &b) && b.len == n && !memcmp(b.data, s, n);
}

bool vcr_json_is(const struct vcr_json *j, int v, const char *s)
{
	const struct token *t = token(j, v);
	return t && t->type == VCR_JSON_STRING && is_text(j, v, t, s, strlen(s));
}

int vcr_json_get(const struct vcr_json *j, int object, const char *key)
{
	const struct token *o = token(j, object), *tok;
	size_t n = strlen(key);
	int found = -1;
	if (!o || o->type != VCR_JSON_OBJECT || !o->size)
		return -1;
	tok = j->tok;
	for (int m = object + 1; m >= 0; m = tok[m].next)
		if (is_text(j, m, &tok[m], key, n))
			found = m + 1;
	return found;
}

/* Most keys are told apart by their first byte. */
static bool is_key(const char *key, const char *p, size_t n)
{
	return *key == (n ? *p : 0) && !strncmp(key, p, n) && !key[n];
}

void vcr_json_pick(const struct vcr_json *j, int object, const char *const *key, int n, int *at)
{
	int next = 0; /* who wrote them kept to an order, as a rule */
	for (int i = 0; i < n; i++)
		at[i] = -1;
	for (int m = vcr_json_type(j, object) == VCR_JSON_OBJECT ? vcr_json_first(j, object) : -1; m >= 0; m = vcr_json_next(j, m)) {
		const struct token *t = token(j, m);
		const char *p = j->text + t->start;
		size_t len = (size_t)(t->end - t->start);
		bool plain = t->plain;
		for (int k = 0; k < n; k++, next = next + 1 < n ? next + 1 : 0)
			if (plain ? is_key(key[next], p, len) : vcr_json_is(j, m, key[next])) {
				at[next] = vcr_json_value(j, m);
				break;
			}
	}
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
