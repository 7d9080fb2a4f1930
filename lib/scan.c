#include "scan.h"
#include "json.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct cursor {
	const char *p, *end;
	bool odd; /* something that this scanner leaves to the real parser */
};

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static void skip_space(struct cursor *c)
{
	while (c->p < c->end && is_space(*c->p))
		c->p++;
}

static bool take(struct cursor *c, char want)
{
	skip_space(c);
	if (c->p >= c->end || *c->p != want)
		return false;
	c->p++;
	return true;
}

/* At the opening quote; *out is what stands between the quotes. */
static bool skip_string(struct cursor *c, struct vcr_span *out)
{
	const char *from = c->p + 1, *at = from;
	while ((at = memchr(at, '"', (size_t)(c->end - at))) != NULL) {
		const char *slash = at;
		while (slash > from && slash[-1] == '\\')
			slash--;
		if ((at - slash) % 2 == 0) {
			*out = (struct vcr_span){ from, (size_t)(at - from) };
			c->p = at + 1;
			return true;
		}
		at++;
	}
	return false;
}

static bool skip_container(struct cursor *c)
{
	struct vcr_span unused;
	for (int depth = 0; c->p < c->end;) {
		char ch = *c->p;
		if (ch == '"') {
			if (!skip_string(c, &unused))
				return false;
			continue;
		}
		c->p++;
		if (ch == '{' || ch == '[')
			depth++;
		else if ((ch == '}' || ch == ']') && --depth == 0)
			return true;
	}
	return false;
}

/* *out: a string's inside, or the text of any other value. */
static bool skip_value(struct cursor *c, struct vcr_span *out)
{
	skip_space(c);
	const char *from = c->p;
	if (c->p >= c->end)
		return false;
	if (*c->p == '"')
		return skip_string(c, out);
	if (*c->p == '{' || *c->p == '[') {
		if (!skip_container(c))
			return false;
	} else {
		while (c->p < c->end && *c->p != ',' && *c->p != '}' && *c->p != ']' && !is_space(*c->p))
			c->p++;
	}
	*out = (struct vcr_span){ from, (size_t)(c->p - from) };
	return c->p > from;
}

/* The next member's key; false at the object's end or where it is broken. */
static bool next_key(struct cursor *c, struct vcr_span *key)
{
	skip_space(c);
	if (c->p < c->end && *c->p == ',')
		c->p++;
	skip_space(c);
	if (c->p >= c->end || *c->p != '"' || !skip_string(c, key) || !take(c, ':'))
		return false;
	if (memchr(key->p, '\\', key->n))
		c->odd = true;
	return !c->odd;
}

static bool is(const struct vcr_span *s, const char *word)
{
	size_t n = strlen(word);
	return s->p && s->n == n && !memcmp(s->p, word, n);
}

static enum vcr_line_kind kind_of(const struct vcr_span *type)
{
	return is(type, "frame") ? VCR_LINE_FRAME : is(type, "session") ? VCR_LINE_SESSION : VCR_LINE_OTHER;
}

static bool knows_enough(const struct vcr_line *l)
{
	if (!l->type.p)
		return false;
	if (kind_of(&l->type) == VCR_LINE_FRAME)
		return l->frame_id.p && l->timestamp.p && l->frame_type.p && l->node_name.p;
	return !is(&l->type, "vcr.body") || l->ref.p;
}

/* Inside data's object. true: walked to its end, or knows enough. */
static bool scan_data(struct cursor *c, struct vcr_line *l)
{
	struct vcr_span key, value;
	while (!knows_enough(l) && next_key(c, &key)) {
		if (!skip_value(c, &value))
			return false;
		struct vcr_span *to = is(&key, "frame_id") ? &l->frame_id : is(&key, "timestamp") ? &l->timestamp
			: is(&key, "frame_type") ? &l->frame_type : is(&key, "node_name") ? &l->node_name : is(&key, "ref") ? &l->ref : NULL;
		if (to)
			*to = value;
	}
	return knows_enough(l) || take(c, '}');
}

/* true: everything of interest was found (and perhaps not all was read). */
static bool scan_fast(const char *p, size_t n, struct vcr_line *l)
{
	struct cursor c = { p, p + n, false };
	struct vcr_span key, value;
	if (!take(&c, '{'))
		return false;
	while (next_key(&c, &key)) {
		skip_space(&c);
		if (is(&key, "data") && c.p < c.end && *c.p == '{') {
			c.p++;
			if (!scan_data(&c, l))
				return false;
			if (knows_enough(l))
				return true;
		} else if (!skip_value(&c, &value)) {
			return false;
		} else if (is(&key, "type")) {
			l->type = value;
		}
	}
	return l->type.p && !c.odd && take(&c, '}');
}

static bool ends_with(const char *p, size_t n, const char *end)
{
	size_t k = strlen(end);
	return n >= k && !memcmp(p + n - k, end, k);
}

/* An end that a cut line does not have. Inside a string the quotes would stand behind backslashes. */
static bool ends_whole(const char *p, size_t n, enum vcr_line_kind kind)
{
	return kind == VCR_LINE_FRAME ? ends_with(p, n, ",\"state_diff\":null}}") : kind == VCR_LINE_OTHER && ends_with(p, n, "}}");
}

static struct vcr_span span_of(const struct vcr_json *j, int v)
{
	struct vcr_span s = { NULL, 0 };
	if (v < 0 || vcr_json_type(j, v) == VCR_JSON_NULL)
		return s;
	s.p = vcr_json_raw(j, v, &s.n);
	if (vcr_json_type(j, v) == VCR_JSON_STRING)
		s = (struct vcr_span){ s.p + 1, s.n - 2 };
	return s;
}

static void scan_slow(const char *p, size_t n, struct vcr_line *l)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	*l = (struct vcr_line){ .kind = VCR_LINE_BAD };
	if (vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, NULL)) {
		vcr_json_validate(p, n, VCR_JSON_RELAXED, NULL, &l->error_at);
		return;
	}
	static const char *const names[] = { "frame_id", "timestamp", "frame_type", "node_name", "ref" };
	struct vcr_span *const to[] = { &l->frame_id, &l->timestamp, &l->frame_type, &l->node_name, &l->ref };
	int at[5];
	l->type = span_of(&j, vcr_json_get(&j, 0, "type"));
	if (vcr_json_type(&j, 0) != VCR_JSON_OBJECT || !l->type.p)
		return;
	l->kind = kind_of(&l->type);
	int data = vcr_json_get(&j, 0, "data");
	if (l->kind != VCR_LINE_OTHER && vcr_json_type(&j, data) != VCR_JSON_OBJECT)
		l->kind = VCR_LINE_BAD;
	vcr_json_pick(&j, data, names, 5, at);
	for (int i = 0; i < 5; i++)
		*to[i] = span_of(&j, at[i]);
}

void vcr_scan_line(const char *p, size_t n, struct vcr_line *l)
{
	*l = (struct vcr_line){ .kind = VCR_LINE_BLANK };
	while (n && is_space(p[n - 1]))
		n--;
	while (n && is_space(*p)) {
		p++;
		n--;
	}
	if (!n)
		return;
	if (scan_fast(p, n, l) && ends_whole(p, n, kind_of(&l->type)))
		l->kind = kind_of(&l->type);
	else
		scan_slow(p, n, l);
}

static bool find_member(const struct vcr_span *object, const char *name, struct vcr_span *out)
{
	struct cursor c = { object->p, object->p + object->n, false };
	struct vcr_span key;
	bool found = false;
	if (!take(&c, '{'))
		return false;
	struct vcr_span value;
	while (next_key(&c, &key) && skip_value(&c, &value))
		if (is(&key, name)) {
			*out = value;
			found = true;
		}
	return found;
}

bool vcr_scan_metadata(const char *p, size_t n, struct vcr_span *out)
{
	struct vcr_span line = { p, n }, data;
	return find_member(&line, "data", &data) && data.n && *data.p == '{' && find_member(&data, "metadata", out);
}

bool vcr_scan_number(const struct vcr_span *object, const char *key, double *out)
{
	struct vcr_span v;
	char s[64], *end;
	if (!find_member(object, key, &v) || !v.n || v.n >= sizeof s || v.p[-1] == '"')
		return false;
	memcpy(s, v.p, v.n);
	s[v.n] = 0;
	double d = strtod(s, &end);
	if (*end || end == s || !(d > -1e300 && d < 1e300))
		return false;
	*out = d;
	return true;
}

bool vcr_scan_is_string(const struct vcr_span *object, const char *key)
{
	struct vcr_span v;
	return find_member(object, key, &v) && v.p[-1] == '"';
}

/* ---- Time ---- */

static bool take_digits(const char **p, const char *end, int count, int *out)
{
	*out = 0;
	for (int i = 0; i < count; i++, (*p)++) {
		if (*p >= end || **p < '0' || **p > '9')
			return false;
		*out = *out * 10 + (**p - '0');
	}
	return true;
}

static bool take_char(const char **p, const char *end, char c)
{
	if (*p >= end || **p != c)
		return false;
	(*p)++;
	return true;
}

static int64_t take_fraction(const char **p, const char *end)
{
	int64_t ns = 0, unit = 100000000;
	if (*p < end && (**p == '.' || **p == ','))
		for ((*p)++; *p < end && **p >= '0' && **p <= '9'; (*p)++, unit /= 10)
			ns += (**p - '0') * unit;
	return ns;
}

/* Z, +HH:MM, +HHMM, +HH or nothing; seconds east of UTC. */
static bool take_offset(const char **p, const char *end, int *seconds)
{
	int h = 0, m = 0;
	*seconds = 0;
	while (*p < end && **p == ' ')
		(*p)++;
	if (*p == end)
		return true;
	if (**p == 'Z' || **p == 'z')
		return ++*p == end;
	if (**p != '+' && **p != '-')
		return false;
	int sign = *(*p)++ == '-' ? -1 : 1;
	if (!take_digits(p, end, 2, &h))
		return false;
	take_char(p, end, ':');
	if (*p < end && !take_digits(p, end, 2, &m))
		return false;
	*seconds = sign * (h * 3600 + m * 60);
	return *p == end;
}

/* Since 1970, or milliseconds beyond what pydantic takes for seconds. */
static bool epoch_time(const char *p, size_t n, int64_t *ns)
{
	char s[40], *end;
	if (!n || n >= sizeof s)
		return false;
	memcpy(s, p, n);
	s[n] = 0;
	if (strspn(s, "0123456789.+-eE") < n)
		return false;
	double d = strtod(s, &end);
	if (*end || !(d > -2e14 && d < 2e14))
		return false;
	if (d > 2e10 || d < -2e10)
		d /= 1000;
	if (d > 9e9 || d < -9e9)
		return false;
	*ns = (int64_t)(d * 1e6) * 1000;
	return true;
}

/* timegm(3) takes a lock that threads would wait for. The year is counted from March, so that its last day is the leap day. */
static int64_t days_since_1970(int year, int month, int day)
{
	int y = month > 2 ? year : year - 1, m = (month + 9) % 12;
	return 365 * (int64_t)y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

bool vcr_scan_time(const char *p, size_t n, int64_t *ns)
{
	struct tm tm = { 0 };
	const char *at = p, *end = p + n;
	int offset;
	bool date = take_digits(&at, end, 4, &tm.tm_year) && take_char(&at, end, '-') && take_digits(&at, end, 2, &tm.tm_mon) &&
		take_char(&at, end, '-') && take_digits(&at, end, 2, &tm.tm_mday);
	if (!date)
		return epoch_time(p, n, ns);
	int64_t fraction = 0;
	if (at < end) {
		if (*at != 'T' && *at != 't' && *at != ' ' && *at != '_')
			return false;
		at++;
		if (!take_digits(&at, end, 2, &tm.tm_hour) || !take_char(&at, end, ':') || !take_digits(&at, end, 2, &tm.tm_min))
			return false;
		if (take_char(&at, end, ':') && !take_digits(&at, end, 2, &tm.tm_sec))
			return false;
		fraction = take_fraction(&at, end);
	}
	if (!take_offset(&at, end, &offset) || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_year < 1700 || tm.tm_year > 2250)
		return false;
	int64_t day = days_since_1970(tm.tm_year, tm.tm_mon, tm.tm_mday);
	*ns = ((day * 24 + tm.tm_hour) * 3600 + tm.tm_min * 60 + tm.tm_sec - offset) * 1000000000 + fraction;
	return true;
}
