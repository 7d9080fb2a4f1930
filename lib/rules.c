#include "rules.h"
#include "limits.h"
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* A window is what is looked at at once: PCRE and memmem read all that they are given. What begins in the overlap is looked at with more of what follows. */
enum { MAX_NAMES = 16 /* of one path */, WINDOW = 64 << 10, OVERLAP = 8 << 10 };

struct pattern { char *text; pcre2_code *code; };
struct field { char *text, *words; const char *name[MAX_NAMES]; size_t n; bool rooted; };
struct vcr_rules {
	struct pattern pattern[VCR_MAX_RULES];
	struct field field[VCR_MAX_RULES];
	char *host[VCR_MAX_RULES];
	size_t npattern, nfield, nhost;
	pcre2_match_data *match;
	pcre2_match_context *context;
	int gave_up;
};

struct vcr_rules *vcr_rules_new(void)
{
	struct vcr_rules *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->match = pcre2_match_data_create(1, NULL);
	r->context = pcre2_match_context_create(NULL);
	if (!r->match || !r->context) {
		vcr_rules_free(r);
		return NULL;
	}
	pcre2_set_match_limit(r->context, VCR_MAX_RULE_STEPS);
	pcre2_set_depth_limit(r->context, VCR_MAX_RULE_STEPS);
	pcre2_set_heap_limit(r->context, VCR_MAX_RULE_KIB);
	return r;
}

void vcr_rules_free(struct vcr_rules *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->npattern; i++) {
		free(r->pattern[i].text);
		pcre2_code_free(r->pattern[i].code);
	}
	for (size_t i = 0; i < r->nfield; i++) {
		free(r->field[i].text);
		free(r->field[i].words);
	}
	for (size_t i = 0; i < r->nhost; i++)
		free(r->host[i]);
	pcre2_match_data_free(r->match);
	pcre2_match_context_free(r->context);
	free(r);
}

static int check(size_t n, const char *text, const char *what, struct vcr_error *e)
{
	if (n == VCR_MAX_RULES)
		return vcr_error_set(e, VCR_ELIMIT, "more than %d %ss", VCR_MAX_RULES, what);
	if (!*text)
		return vcr_error_set(e, VCR_ESYNTAX, "an empty %s", what);
	return strlen(text) > VCR_MAX_RULE ? vcr_error_set(e, VCR_ELIMIT, "a %s of more than %d bytes", what, VCR_MAX_RULE) : 0;
}

int vcr_rules_add_pattern(struct vcr_rules *r, const char *regex, struct vcr_error *e)
{
	int why, err = check(r->npattern, regex, "pattern", e);
	PCRE2_SIZE at;
	if (err)
		return err;
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY, &why, &at, NULL);
	if (!code) {
		PCRE2_UCHAR words[200] = "";
		pcre2_get_error_message(why, words, sizeof words);
		return vcr_error_set(e, VCR_ESYNTAX, "the pattern '%.100s': %s at its character %zu", regex, (const char *)words, (size_t)at + 1);
	}
	char *text = strdup(regex);
	if (!text) {
		pcre2_code_free(code);
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	}
	r->pattern[r->npattern++] = (struct pattern){ text, code };
	return 0;
}

/* ---- Fields ---- */

static int add_name(struct field *f, char **words, const char *p, size_t n)
{
	if (!n || f->n == MAX_NAMES)
		return VCR_ESYNTAX;
	f->name[f->n++] = *words;
	memcpy(*words, p, n);
	(*words)[n] = 0;
	*words += n + 1;
	return 0;
}

/* user.email, a[*].b, ['a.b'].c; [*] says nothing, since lists are passed through. A number would be another item in a request that leaves out what
 * came before. 1: a number. */
static int parse_path(struct field *f, const char *p)
{
	char *words = f->words;
	int err = 0;
	while (*p && !err) {
		const char *end = *p == '[' && (p[1] == '\'' || p[1] == '"') ? strchr(p + 2, p[1]) : NULL;
		if (!strncmp(p, "[*]", 3)) {
			p += 3;
		} else if (end && end[1] == ']') {
			err = add_name(f, &words, p + 2, (size_t)(end - p) - 2);
			p = end + 2;
		} else if (*p == '[') {
			err = 1;
		} else {
			p += *p == '.';
			size_t n = strcspn(p, ".[");
			err = add_name(f, &words, p, n);
			p += n;
		}
	}
	return err ? err : f->n ? 0 : VCR_ESYNTAX;
}

int vcr_rules_add_field(struct vcr_rules *r, const char *path, struct vcr_error *e)
{
	struct field f = { 0 };
	int err = check(r->nfield, path, "field", e);
	if (err)
		return err;
	bool anywhere = !strncmp(path, "$..", 3);
	f.rooted = *path == '$' && !anywhere;
	f.text = strdup(path);
	f.words = calloc(2, strlen(path) + 1);
	if (!f.text || !f.words)
		err = vcr_error_set(e, VCR_ENOMEM, "no memory");
	else if ((err = parse_path(&f, path + (anywhere ? 3 : f.rooted))) > 0)
		err = vcr_error_set(e, VCR_ESYNTAX, "the field '%.100s' has a number: which item that is depends on what a recording leaves out; say [*]", path);
	else if (err)
		vcr_error_set(e, err, "the field '%.100s' is no path of names such as user.email or $.user.email", path);
	if (err) {
		free(f.text);
		free(f.words);
		return err;
	}
	r->field[r->nfield++] = f;
	return 0;
}

bool vcr_rules_is_field(const struct vcr_rules *r, const char *const *name, size_t n)
{
	for (size_t i = 0; i < r->nfield; i++) {
		const struct field *f = &r->field[i];
		size_t k = 0;
		if (n < f->n || (f->rooted && n != f->n))
			continue;
		while (k < f->n && (!strcmp(f->name[k], "*") || !strcasecmp(f->name[k], name[n - f->n + k])))
			k++;
		if (k == f->n)
			return true;
	}
	return false;
}

/* ---- Hosts ---- */

int vcr_rules_add_host(struct vcr_rules *r, const char *host, struct vcr_error *e)
{
	int err = check(r->nhost, host, "host", e);
	if (err)
		return err;
	if (!(r->host[r->nhost] = strdup(host)))
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	r->nhost++;
	return 0;
}

bool vcr_rules_take_host(const struct vcr_rules *r, const char *host)
{
	char plain[300];
	if (!r->nhost)
		return true;
	host = host ? host : "";
	const char *port = strrchr(host, ':');
	bool has_port = port && port > host && strspn(port + 1, "0123456789") == strlen(port + 1) && port[1];
	size_t n = has_port ? (size_t)(port - host) : strlen(host);
	if (n >= sizeof plain)
		return false;
	memcpy(plain, host, n);
	plain[n] = 0;
	for (size_t i = 0; i < r->nhost; i++)
		if (!fnmatch(r->host[i], host, FNM_CASEFOLD) || !fnmatch(r->host[i], plain, FNM_CASEFOLD))
			return true;
	return false;
}

bool vcr_rules_is_empty(const struct vcr_rules *r)
{
	return !r->npattern && !r->nfield;
}

/* ---- Matching ---- */

static const char mark[] = "{{vcr:";

/* The first placeholder that ends behind `from`; false: none. */
static bool placeholder(const char *p, size_t n, size_t from, size_t *at, size_t *end)
{
	size_t back = from > VCR_MAX_PLACEHOLDER ? from - VCR_MAX_PLACEHOLDER : 0;
	for (const char *m; back < n && (m = memmem(p + back, n - back, mark, sizeof mark - 1)); back = (size_t)(m - p) + 1) {
		size_t left = n - (size_t)(m - p), look = left < VCR_MAX_PLACEHOLDER ? left : VCR_MAX_PLACEHOLDER;
		const char *stop = memmem(m, look, "}}", 2);
		if (!stop || (size_t)(stop - p) + 2 <= from)
			continue;
		*at = (size_t)(m - p);
		*end = (size_t)(stop - p) + 2;
		return true;
	}
	return false;
}

/* One pattern's leftmost match in p[from..n) that is outside placeholders. */
static bool match_one(struct vcr_rules *r, size_t i, const char *p, size_t n, size_t from, size_t *at, size_t *len)
{
	while (from < n) {
		size_t hole, end = 0, to = n - from > WINDOW ? from + WINDOW : n, look = n - to > VCR_MAX_PLACEHOLDER ? to + VCR_MAX_PLACEHOLDER : n;
		bool holes = placeholder(p, look, from, &hole, &end);
		if (holes && hole <= from) {
			from = end;
			continue;
		}
		holes = holes && hole <= to;
		bool more = !holes && to < n;
		uint32_t how = PCRE2_NOTEMPTY | (more ? PCRE2_NOTEOL : 0);
		int rc = pcre2_match(r->pattern[i].code, (PCRE2_SPTR)p, holes ? hole : to, from, how, r->match, r->context);
		if (rc >= 0) {
			const PCRE2_SIZE *o = pcre2_get_ovector_pointer(r->match);
			if (o[1] > o[0] && o[0] >= from && (!more || o[0] < to - OVERLAP)) {
				*at = o[0];
				*len = o[1] - o[0];
				return true;
			}
			rc = PCRE2_ERROR_NOMATCH; /* \K may do such things */
		}
		if (rc != PCRE2_ERROR_NOMATCH)
			r->gave_up = (int)i + 1;
		if (!holes && !more)
			return false;
		from = more ? to - OVERLAP : end;
	}
	return false;
}

bool vcr_rules_next(void *rules, const char *p, size_t n, size_t from, size_t *at, size_t *len, const char **name)
{
	struct vcr_rules *r = rules;
	bool any = false;
	for (size_t i = 0; i < r->npattern; i++) {
		size_t a, l;
		if (!match_one(r, i, p, n, from, &a, &l) || (any && (a > *at || (a == *at && l <= *len))))
			continue;
		*at = a;
		*len = l;
		any = true;
	}
	*name = "SCRUBBED";
	return any;
}

int vcr_rules_gave_up(const struct vcr_rules *r)
{
	return r->gave_up;
}

/* ---- In a recording ---- */

int vcr_rules_write(const struct vcr_rules *r, struct vcr_buf *out)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "patterns");
	vcr_jw_array(&w);
	for (size_t i = 0; i < r->npattern; i++)
		vcr_jw_str(&w, r->pattern[i].text);
	vcr_jw_array_end(&w);
	vcr_jw_key(&w, "fields");
	vcr_jw_array(&w);
	for (size_t i = 0; i < r->nfield; i++)
		vcr_jw_str(&w, r->field[i].text);
	vcr_jw_array_end(&w);
	vcr_jw_key(&w, "hosts");
	vcr_jw_array(&w);
	for (size_t i = 0; i < r->nhost; i++)
		vcr_jw_str(&w, r->host[i]);
	vcr_jw_array_end(&w);
	vcr_jw_object_end(&w);
	return out->err;
}

int vcr_rules_read(struct vcr_rules *r, const struct vcr_json *j, int object, struct vcr_error *e)
{
	static const struct { const char *key; int (*add)(struct vcr_rules *, const char *, struct vcr_error *); } list[] = {
		{ "patterns", vcr_rules_add_pattern }, { "fields", vcr_rules_add_field }, { "hosts", vcr_rules_add_host } };
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		int array = vcr_json_get(j, object, list[i].key), err = 0;
		if (vcr_json_type(j, array) != VCR_JSON_ARRAY)
			continue;
		for (int m = vcr_json_first(j, array); m >= 0 && !err; m = vcr_json_next(j, m)) {
			char *text = vcr_json_strdup(j, m);
			err = text ? list[i].add(r, text, e) : vcr_error_set(e, VCR_ESYNTAX, "%s that are no texts", list[i].key);
			free(text);
		}
		if (err)
			return err;
	}
	return 0;
}
