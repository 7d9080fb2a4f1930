#include "redact-parts.h"
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { NAME_MAX_CHARS = 40, KEPT_MAX = 4 << 20 };
#define NO_NUMBER "{{vcr:secret:0:SECRET}}" /* of more values than can be told apart */

struct secret {
	char *value;
	size_t n;
	char *label;   /* the whole text that stands in for it */
	int32_t next;
};
struct vcr_redact {
	struct vcr_finder finder, ruled; /* ruled: what rules found, below VCR_SECRET_MIN bytes too */
	struct secret *secret;
	size_t secrets, room, searched, shapes, cookies;
	char *keep;    /* where what is learnt is noted for a successor; NULL */
	size_t before; /* numbers that are others' */
	vcr_redact_rule_fn *rule;
	void *rule_ctx;
	size_t stream; /* vcr_redact_in_stream */
	int32_t head[4096];
};

struct vcr_redact *vcr_redact_new(void)
{
	struct vcr_redact *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	memset(r->head, 0xff, sizeof r->head);
	r->ruled.stride = VCR_RULED_STRIDE;
	return r;
}

void vcr_redact_free(struct vcr_redact *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->secrets; i++) {
		explicit_bzero(r->secret[i].value, r->secret[i].n);
		free(r->secret[i].value);
		free(r->secret[i].label);
	}
	free(r->secret);
	free(r->keep);
	vcr_finder_release(&r->finder);
	vcr_finder_release(&r->ruled);
	free(r);
}

/* ---- numbering ---- */

size_t vcr_redact_known(const struct vcr_redact *r)
{
	return r->secrets;
}

static uint32_t hash(const char *p, size_t n)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 16777619u;
	return (h ^ h >> 15) % 4096;
}

static int find(const struct vcr_redact *r, const char *p, size_t n)
{
	for (int32_t i = r->head[hash(p, n)]; i >= 0; i = r->secret[i].next)
		if (r->secret[i].n == n && !memcmp(r->secret[i].value, p, n))
			return i;
	return -1;
}

static char *label(size_t number, const char *name)
{
	char word[NAME_MAX_CHARS + 1] = "SECRET", *text;
	size_t k = 0;
	for (; name && name[k] && k < NAME_MAX_CHARS; k++)
		word[k] = isalnum((unsigned char)name[k]) ? (char)toupper((unsigned char)name[k]) : '_';
	if (k)
		word[k] = 0;
	return asprintf(&text, "{{vcr:secret:%zu:%s}}", number, word) < 0 ? NULL : text;
}

/* Give the value a number. Its index, or a negative code. */
static int number(struct vcr_redact *r, const char *name, const char *p, size_t n)
{
	if (r->secrets == VCR_NUMBERS_MAX)
		return VCR_ELIMIT;
	if (r->secrets == r->room) {
		size_t room = r->room ? r->room * 2 : 16;
		struct secret *s = realloc(r->secret, room * sizeof *s);
		if (!s)
			return VCR_ENOMEM;
		r->secret = s;
		r->room = room;
	}
	struct secret s = { malloc(n + 1), n, label(r->before + r->secrets + 1, name), r->head[hash(p, n)] };
	if (!s.value || !s.label) {
		free(s.value);
		free(s.label);
		return VCR_ENOMEM;
	}
	memcpy(s.value, p, n);
	s.value[n] = 0;
	r->head[hash(p, n)] = (int32_t)r->secrets;
	r->secret[r->secrets] = s;
	return (int)r->secrets++;
}

struct adding {
	struct vcr_finder *to;
	int secret;
};

static int add_form(void *ctx, const char *p, size_t n)
{
	struct adding *a = ctx;
	return vcr_finder_add(a->to, p, n, a->secret);
}

/* One entry, whole or not at all as far as the file system can: it is read by who comes after us. */
static void keep(const char *path, const char *name, const char *value, size_t n)
{
	VCR_AUTO_BUF entry = VCR_BUF_INIT;
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	size_t nname = name ? strnlen(name, NAME_MAX_CHARS) : 0;
	uint32_t length[2] = { (uint32_t)nname, (uint32_t)n };
	vcr_buf_add(&entry, length, sizeof length);
	vcr_buf_add(&entry, name ? name : "", nname);
	vcr_buf_add(&entry, value, n);
	if (!entry.err && write(fd, entry.data, entry.len) < 0)
		entry.err = VCR_EIO; /* a full tmpfs: the successor, should there be one, learns it again when it is shown again */
	if (fd >= 0)
		close(fd);
	explicit_bzero(entry.data, entry.len);
}

/* Number it and search for it from now on. */
static int add(struct vcr_redact *r, const char *name, const char *p, size_t n)
{
	int i = find(r, p, n);
	if (i >= 0)
		return i;
	i = number(r, name, p, n);
	if (i < 0 || r->searched == VCR_SECRETS_MAX)
		return i;
	struct adding a = { &r->finder, i };
	int rc = vcr_forms(p, n, VCR_SECRET_MIN, add_form, &a);
	r->searched++;
	if (r->keep)
		keep(r->keep, name, p, n);
	return rc < 0 ? rc : i;
}

/* The same for what a rule found; short ones are numbered only. */
static int add_ruled(struct vcr_redact *r, const char *name, const char *p, size_t n)
{
	int i = find(r, p, n);
	if (i >= 0)
		return i;
	i = number(r, name, p, n);
	if (i < 0 || r->searched == VCR_SECRETS_MAX || n < VCR_RULED_MIN || n > VCR_SECRET_MAX)
		return i;
	struct adding a = { &r->ruled, i };
	int rc = vcr_forms(p, n, VCR_RULED_MIN, add_form, &a);
	r->searched++;
	return rc < 0 ? rc : i;
}

void vcr_redact_set_rule(struct vcr_redact *r, vcr_redact_rule_fn *fn, void *ctx)
{
	r->rule = fn;
	r->rule_ctx = ctx;
}

void vcr_redact_number_from(struct vcr_redact *r, size_t first)
{
	r->before = first - 1;
}

const char *vcr_redact_stand_in(struct vcr_redact *r, const char *name, const char *p, size_t n)
{
	int i = add_ruled(r, name, p, n);
	return i == VCR_ELIMIT ? NO_NUMBER : i < 0 ? NULL : r->secret[i].label;
}

void vcr_redact_rename(struct vcr_redact *r, const char *label, size_t n, const char *other, size_t nother)
{
	for (size_t i = 0; i < r->secrets; i++) {
		struct secret *s = &r->secret[i];
		if (strlen(s->label) != n || memcmp(s->label, label, n))
			continue;
		char *copy = strndup(other, nother);
		if (copy) {
			free(s->label);
			s->label = copy;
		}
		return;
	}
}

void vcr_redact_in_stream(struct vcr_redact *r, size_t prefix)
{
	r->stream = prefix;
}

/* ---- what a successor has to know ---- */

static void recall(struct vcr_redact *r, const char *p, size_t size)
{
	uint32_t n[2];
	for (size_t at = 0; size - at > sizeof n; at += (size_t)n[0] + n[1]) {
		char name[NAME_MAX_CHARS + 1];
		memcpy(n, p + at, sizeof n);
		at += sizeof n;
		if (n[0] > NAME_MAX_CHARS || n[0] > size - at || n[1] > size - at - n[0])
			return;
		snprintf(name, sizeof name, "%.*s", (int)n[0], p + at);
		add(r, *name ? name : NULL, p + at + n[0], n[1]);
	}
}

int vcr_redact_keep(struct vcr_redact *r, const char *path)
{
	VCR_AUTO_BUF all = VCR_BUF_INIT;
	char some[4096];
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	all.max = KEPT_MAX;
	while (fd >= 0 && (n = read(fd, some, sizeof some)) > 0 && !vcr_buf_add(&all, some, (size_t)n))
		;
	if (fd >= 0)
		close(fd);
	recall(r, all.data, all.len);
	explicit_bzero(all.data, all.len);
	explicit_bzero(some, sizeof some);
	r->keep = strdup(path);
	return !r->keep ? VCR_ENOMEM : n < 0 ? VCR_EIO : all.err;
}

/* ---- learning ---- */

static void trim(const char **p, size_t *n)
{
	while (*n && isspace((unsigned char)**p))
		(*p)++, (*n)--;
	while (*n && isspace((unsigned char)(*p)[*n - 1]))
		(*n)--;
	if (*n >= 2 && (**p == '"' || **p == '\'') && (*p)[*n - 1] == **p)
		(*p)++, *n -= 2;
}

int vcr_redact_learn(struct vcr_redact *r, const char *name, const char *value, size_t n)
{
	trim(&value, &n);
	if (!vcr_value_is_secret(value, n))
		return 1;
	int i = add(r, name, value, n);
	return i < 0 ? i : 0;
}

static void decode_url(const char *p, size_t n, struct vcr_buf *out)
{
	for (size_t i = 0; i < n; i++) {
		unsigned v;
		if (p[i] == '%' && n - i > 2 && isxdigit((unsigned char)p[i + 1]) && sscanf(p + i + 1, "%2x", &v) == 1) {
			vcr_buf_putc(out, (char)v);
			i += 2;
		} else
			vcr_buf_putc(out, p[i]);
	}
}

/* The plain value behind a URL-encoded one is the secret; when they differ both forms are found. */
static int learn_encoded(struct vcr_redact *r, const char *name, const char *p, size_t n)
{
	VCR_AUTO_BUF plain = VCR_BUF_INIT;
	decode_url(p, n, &plain);
	return plain.err ? plain.err : vcr_redact_learn(r, name, plain.data, plain.len);
}

/* scheme://user:password@host inside any text */
static void learn_url_password(struct vcr_redact *r, const char *name, const char *text)
{
	for (const char *u = text; (u = strstr(u, "://")); u += 3) {
		size_t n = strcspn(u + 3, "/?# \t\r\n\"'");
		const char *at = memrchr(u + 3, '@', n), *colon = at ? memchr(u + 3, ':', (size_t)(at - u - 3)) : NULL;
		if (colon)
			learn_encoded(r, name, colon + 1, (size_t)(at - colon - 1));
		else if (at)
			learn_encoded(r, name, u + 3, (size_t)(at - u - 3));
	}
}

/* Made by chance, not by a person: upper and lower case and digits in turns, as keys are that their owner gave a name of his own. */
static bool is_random(const char *p)
{
	size_t n = strlen(p), upper = 0, lower = 0, digits = 0, turns = 0;
	int last = 0;
	for (size_t i = 0; i < n; i++) {
		int kind = isupper((unsigned char)p[i]) ? 1 : islower((unsigned char)p[i]) ? 2 : isdigit((unsigned char)p[i]) ? 3 : strchr("+/=_-", p[i]) ? 4 : 0;
		if (!kind)
			return false;
		upper += kind == 1;
		lower += kind == 2;
		digits += kind == 3;
		turns += last && kind != last;
		last = kind;
	}
	return n >= 16 && upper > 1 && lower > 1 && digits > 1 && turns >= n / 4;
}

int vcr_redact_learn_env(struct vcr_redact *r, const char *name, const char *value)
{
	learn_url_password(r, name, value);
	return vcr_name_is_secret(name, strlen(name)) ? vcr_redact_learn(r, name, value, strlen(value)) : 1;
}

/* One KEY=VALUE; the whole line is [p, p+n). */
static void learn_assignment(struct vcr_redact *r, const char *p, size_t n)
{
	trim(&p, &n);
	if (n > 7 && !strncmp(p, "export ", 7))
		p += 7, n -= 7;
	const char *eq = memchr(p, '=', n);
	if (!eq || *p == '#' || eq == p)
		return;
	char name[NAME_MAX_CHARS + 24] = "";
	size_t k = (size_t)(eq - p);
	while (k && isspace((unsigned char)p[k - 1]))
		k--;
	memcpy(name, p, k < sizeof name - 1 ? k : sizeof name - 1);
	VCR_AUTO_BUF value = VCR_BUF_INIT;
	vcr_buf_add(&value, eq + 1, n - (size_t)(eq - p) - 1);
	char *hash = *value.data == '"' || *value.data == '\'' ? NULL : strstr(value.data, " #");
	if (hash)
		vcr_buf_cut(&value, (size_t)(hash - value.data));
	if (value.err || !value.len || vcr_redact_learn_env(r, name, value.data) <= 0)
		return;
	const char *plain = value.data;
	size_t m = value.len;
	trim(&plain, &m);
	vcr_buf_cut(&value, (size_t)(plain + m - value.data));
	if (is_random(value.data + (plain - value.data)))
		vcr_redact_learn(r, name, plain, m);
}

void vcr_redact_learn_dotenv(struct vcr_redact *r, const char *text, size_t n)
{
	for (size_t i = 0; i < n;) {
		const char *nl = memchr(text + i, '\n', n - i);
		size_t end = nl ? (size_t)(nl - text) : n;
		const char *eq = memchr(text + i, '=', end - i);
		char quote = eq && (size_t)(eq - text) + 1 < end ? eq[1] : 0;
		if (quote == '"' || quote == '\'') { /* a quoted value may span lines (a PEM key) */
			const char *q = memchr(eq + 2, quote, n - (size_t)(eq + 2 - text));
			if (q)
				end = (size_t)(q - text) + 1;
		}
		learn_assignment(r, text + i, end - i);
		nl = end < n ? memchr(text + end, '\n', n - end) : NULL;
		i = nl ? (size_t)(nl - text) + 1 : n;
	}
}

/* name=value; name=value … ; of a Set-Cookie only the first pair is the cookie. */
static void learn_cookies(struct vcr_redact *r, const char *p, bool first_only)
{
	if (first_only && r->cookies++ >= VCR_COOKIES_MAX)
		return; /* the field itself is never kept */
	do {
		p += strspn(p, "; ");
		size_t n = strcspn(p, ";");
		const char *eq = memchr(p, '=', n);
		if (eq)
			vcr_redact_learn(r, "COOKIE", eq + 1, n - (size_t)(eq - p) - 1);
		p += n;
	} while (*p && !first_only);
}

/* Basic credentials are base64 of user:password. */
static void learn_basic(struct vcr_redact *r, const char *name, const char *p)
{
	VCR_AUTO_BUF plain = VCR_BUF_INIT;
	if (vcr_buf_unbase64(&plain, p, strlen(p)) || plain.err)
		return;
	const char *colon = memchr(plain.data, ':', plain.len);
	if (colon)
		vcr_redact_learn(r, name, colon + 1, plain.len - (size_t)(colon + 1 - plain.data));
}

static void learn_authorization(struct vcr_redact *r, const char *name, const char *value)
{
	size_t word = strcspn(value, " ");
	const char *rest = value + word + strspn(value + word, " ");
	if (!*rest) {
		vcr_redact_learn(r, name, value, strlen(value));
		return;
	}
	if (word == 5 && !strncasecmp(value, "basic", 5))
		learn_basic(r, name, rest);
	if (!strncasecmp(value, "AWS4-", 5) || !strncasecmp(value, "Digest", 6)) {
		const char *s = strcasestr(rest, "signature=");
		s = s ? s + 10 : strcasestr(rest, "response=");
		rest = s ? s : rest;
		vcr_redact_learn(r, name, rest, strcspn(rest, ", "));
		return;
	}
	vcr_redact_learn(r, name, rest, strlen(rest));
}

static bool credential_field(const char *name)
{
	static const char *const fields[] = { "x-api-key", "api-key", "x-goog-api-key", "apikey", "x-auth-token", "x-access-token", "x-amz-security-token",
		"x-goog-iam-authorization-token", "ocp-apim-subscription-key", "x-csrf-token", "x-xsrf-token", "cf-access-client-secret", "x-vault-token",
		"private-token", "job-token", "x-github-token", "x-functions-key" };
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (!strcasecmp(name, fields[i]))
			return true;
	return false;
}

/* authorization, proxy-authorization, cf-aig-authorization, helicone-auth, … */
static bool is_authorization(const char *name)
{
	size_t n = strlen(name);
	return (n >= 13 && !strcasecmp(name + n - 13, "authorization")) || (n >= 5 && !strcasecmp(name + n - 5, "-auth"));
}

static bool has_scheme(const char *value)
{
	return !strncasecmp(value, "bearer ", 7) || !strncasecmp(value, "basic ", 6) || !strncasecmp(value, "token ", 6);
}

void vcr_redact_learn_field(struct vcr_redact *r, const char *name, const char *value)
{
	value += strspn(value, " \t");
	if (!strcasecmp(name, "cookie") || !strcasecmp(name, "set-cookie"))
		learn_cookies(r, value, tolower((unsigned char)*name) == 's');
	else if (is_authorization(name))
		learn_authorization(r, name, value);
	else if (credential_field(name) || (!vcr_redact_keep_field(name) && strcasecmp(name, "sec-websocket-key") && vcr_name_is_secret(name, strlen(name)))) {
		if (has_scheme(value))
			learn_authorization(r, name, value);
		else
			vcr_redact_learn(r, name, value, strlen(value));
	}
}

bool vcr_redact_is_credential_parameter(const char *name, size_t n)
{
	static const char *const names[] = { "key", "api_key", "apikey", "api-key", "access_token", "token", "sig", "signature", "auth", "code", "client_secret",
		"password", "secret", "x-goog-api-key", "subscription-key", "X-Amz-Signature", "X-Amz-Security-Token", "X-Goog-Signature", "id_token", "refresh_token" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (n == strlen(names[i]) && !strncasecmp(name, names[i], n))
			return true;
	return false;
}

void vcr_redact_learn_target(struct vcr_redact *r, const char *target)
{
	learn_url_password(r, "URL", target);
	const char *p = strchr(target, '?');
	while (p && *p && *p != '#') {
		size_t n = strcspn(++p, "&#");
		const char *eq = memchr(p, '=', n);
		if (eq && vcr_redact_is_credential_parameter(p, (size_t)(eq - p))) {
			VCR_AUTO_BUF name = VCR_BUF_INIT;
			vcr_buf_add(&name, p, (size_t)(eq - p));
			learn_encoded(r, name.data, eq + 1, n - (size_t)(eq + 1 - p));
		}
		p += n;
	}
}

/* "Name: value" as curl's -H takes it. */
static void learn_header_text(struct vcr_redact *r, const char *text)
{
	const char *colon = strchr(text, ':');
	char name[NAME_MAX_CHARS + 24];
	if (!colon || (size_t)(colon - text) >= sizeof name)
		return;
	memcpy(name, text, (size_t)(colon - text));
	name[colon - text] = 0;
	vcr_redact_learn_field(r, name, colon + 1);
}

/* "… Bearer TOKEN …" in the middle of a shell command. */
static void learn_bearer(struct vcr_redact *r, const char *text)
{
	for (const char *p = text; (p = strcasestr(p, "bearer ")); ) {
		p += 7;
		vcr_redact_learn(r, "AUTHORIZATION", p, strcspn(p, " \t\r\n\"'\\;|&<>$`"));
	}
}

/* What follows --name, with its value in the same argument or in the next. */
static void learn_option(struct vcr_redact *r, const char *arg, const char *next)
{
	const char *name = arg + strspn(arg, "-"), *eq = strchr(name, '=');
	size_t n = eq ? (size_t)(eq - name) : strlen(name);
	VCR_AUTO_BUF word = VCR_BUF_INIT;
	vcr_buf_add(&word, name, n);
	for (size_t i = 0; i < word.len; i++)
		word.data[i] = word.data[i] == '-' ? '_' : word.data[i];
	const char *value = eq ? eq + 1 : *arg == '-' ? next : NULL;
	if (value && !word.err && !strpbrk(word.data, " \t\n") && vcr_name_is_secret(word.data, word.len)) /* with a space it is a text */
		vcr_redact_learn(r, word.data, value, strlen(value));
}

/* NAME=value in a shell's text: PGPASSWORD='…' psql, export DEPLOY_KEY=…; */
static void learn_assignments(struct vcr_redact *r, const char *text)
{
	for (const char *eq = text; (eq = strchr(eq, '=')); eq++) {
		const char *name = eq, *value = eq + 1;
		while (name > text && (isalnum((unsigned char)name[-1]) || name[-1] == '_'))
			name--;
		if (name == eq || !vcr_name_is_secret(name, (size_t)(eq - name)))
			continue;
		VCR_AUTO_BUF word = VCR_BUF_INIT;
		const char quote[2] = { *value == '"' || *value == '\'' ? *value : 0, 0 };
		if (!vcr_buf_add(&word, name, (size_t)(eq - name)))
			vcr_redact_learn(r, word.data, value + !!*quote, *quote ? strcspn(value + 1, quote) : strcspn(value, " \t\r\n;|&<>()\"'`"));
	}
}

void vcr_redact_learn_argv(struct vcr_redact *r, int argc, const char *const *argv)
{
	for (int i = 0; i < argc; i++) {
		const char *arg = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
		learn_url_password(r, "URL", arg);
		learn_bearer(r, arg);
		learn_assignments(r, arg);
		learn_option(r, arg, next);
		if ((!strcmp(arg, "-H") || !strcmp(arg, "--header")) && next)
			learn_header_text(r, next);
		else if (!strncmp(arg, "-H", 2))
			learn_header_text(r, arg + 2);
		else if (!strncmp(arg, "--header=", 9))
			learn_header_text(r, arg + 9);
		else if ((!strcmp(arg, "-u") || !strcmp(arg, "--user")) && next && strchr(next, ':'))
			vcr_redact_learn(r, "PASSWORD", strchr(next, ':') + 1, strlen(strchr(next, ':') + 1));
		if (strchr(arg, '?'))
			vcr_redact_learn_target(r, arg);
	}
}

/* ---- the pass over a text ---- */

/* What comes next of each kind, kept until it has been passed: so each finder runs over the text once. */
enum { LEARNT, TOKEN, PEM, RULE, KINDS };
struct ahead {
	struct vcr_match m;
	enum { STALE, FRESH, NONE } state;
};

/* A token found by its look gets a number, and is searched for in other encodings from the next text on. */
static int adopt(struct vcr_redact *r, const struct vcr_shape *s, const char *p)
{
	int i = find(r, p + s->at, s->len);
	if (i >= 0)
		return i;
	if (r->shapes >= VCR_SHAPES_MAX || s->len < VCR_SECRET_MIN || s->len > VCR_SECRET_MAX)
		return number(r, s->name, p + s->at, s->len);
	r->shapes++;
	return add(r, s->name, p + s->at, s->len);
}

/* In a stream's pieces the text around it is often JSON: a match that goes beyond a string would take its end. */
static bool find_ruled(struct vcr_redact *r, const char *p, size_t n, size_t from, struct vcr_match *m)
{
	size_t at, len;
	const char *name;
	from = from < r->stream ? r->stream : from;
	while (r->rule && r->rule(r->rule_ctx, p, n, from, &at, &len, &name)) {
		const char *quote = r->stream ? memchr(p + at, '"', len) : NULL;
		len = quote ? (size_t)(quote - p) - at : len;
		*m = (struct vcr_match){ at, len, len ? add_ruled(r, name, p + at, len) : -1 };
		if (len)
			return true;
		from = at + 1;
	}
	return false;
}

static bool find_learnt(const struct vcr_redact *r, const char *p, size_t n, size_t from, size_t before, struct vcr_match *m)
{
	struct vcr_match other;
	bool any = vcr_finder_next(&r->finder, p, n, from, before, m);
	if (!vcr_finder_next(&r->ruled, p, n, from, before, &other))
		return any;
	if (!any || other.at < m->at || (other.at == m->at && other.len > m->len))
		*m = other;
	return true;
}

static bool find_kind(struct vcr_redact *r, int kind, const char *p, size_t n, size_t from, struct vcr_match *m)
{
	struct vcr_shape s;
	if (kind == LEARNT)
		return find_learnt(r, p, n, from, n, m);
	if (kind == RULE)
		return find_ruled(r, p, n, from, m);
	if (!(kind == TOKEN ? vcr_shape_next : vcr_shape_pem)(p, n, from, &s))
		return false;
	*m = (struct vcr_match){ s.at, s.len, adopt(r, &s, p) };
	return true;
}

/* The leftmost, then longest of all kinds. */
static bool find_next(struct vcr_redact *r, const char *p, size_t n, size_t from, struct ahead *a, struct vcr_match *best)
{
	bool any = false;
	for (int k = 0; k < KINDS; k++) {
		if (a[k].state == STALE || (a[k].state == FRESH && a[k].m.at < from))
			a[k].state = find_kind(r, k, p, n, from, &a[k].m) ? FRESH : NONE;
		if (a[k].state == NONE)
			continue;
		if (!any || a[k].m.at < best->at || (a[k].m.at == best->at && a[k].m.len > best->len))
			*best = a[k].m;
		any = true;
	}
	return any;
}

/* A learnt value that begins inside the match and ends behind it must not leave its tail in the open. */
static void swallow_overlap(const struct vcr_redact *r, const char *p, size_t n, struct vcr_match *m)
{
	struct vcr_match o;
	for (size_t from = m->at + 1; from < m->at + m->len; from = o.at + 1) {
		if (!find_learnt(r, p, n, from, m->at + m->len, &o))
			return;
		if (o.at + o.len > m->at + m->len)
			m->len = o.at + o.len - m->at;
	}
}

/* The first letter may belong to an escape (\n, \u…) of the JSON text around it: then it stays. */
static void spare_escape(const char *p, size_t from, struct vcr_match *m)
{
	size_t slashes = 0;
	while (m->at - slashes > from && p[m->at - slashes - 1] == '\\')
		slashes++;
	if (slashes % 2 && strchr("bfnrtu\"/", p[m->at])) {
		m->at++;
		m->len--;
	}
}

int vcr_redact_matches(struct vcr_redact *r, const char *p, size_t n, vcr_match_fn *fn, void *ctx)
{
	struct ahead ahead[KINDS] = { { .state = STALE } };
	struct vcr_match m;
	for (size_t done = 0; find_next(r, p, n, done, ahead, &m); done = m.at + m.len) {
		swallow_overlap(r, p, n, &m);
		spare_escape(p, done, &m);
		int rc = fn(ctx, &m, m.secret < 0 ? NO_NUMBER : r->secret[m.secret].label);
		if (rc)
			return rc;
	}
	return 0;
}

struct writing {
	const char *p;
	size_t done;
	struct vcr_buf *out;
	unsigned *count;
	bool fitted;
};

/* Nothing in it depends on what else is known: a program that has heard it and says it again says what was recorded. */
static void put_fitted(struct vcr_buf *out, size_t n)
{
	static const char begin[] = "{{vcr:secret:", end[] = "}}";
	size_t frame = sizeof begin - 1 + sizeof end - 1;
	bool room = n > frame;
	vcr_buf_puts(out, room ? begin : "");
	for (size_t i = room ? frame : 0; i < n; i++)
		vcr_buf_putc(out, room ? '-' : '*');
	vcr_buf_puts(out, room ? end : "");
}

static int write_match(void *ctx, const struct vcr_match *m, const char *replacement)
{
	struct writing *w = ctx;
	vcr_buf_add(w->out, w->p + w->done, m->at - w->done);
	if (w->fitted)
		put_fitted(w->out, m->len);
	else
		vcr_buf_puts(w->out, replacement);
	w->done = m->at + m->len;
	if (w->count)
		++*w->count;
	return w->out->err;
}

static int redact(struct vcr_redact *r, const char *p, size_t n, bool fitted, struct vcr_buf *out, unsigned *count)
{
	struct writing w = { p, 0, out, count, fitted };
	int rc = vcr_redact_matches(r, p, n, write_match, &w);
	if (!rc)
		rc = vcr_buf_add(out, p + w.done, n - w.done);
	return rc;
}

int vcr_redact(struct vcr_redact *r, const char *p, size_t n, struct vcr_buf *out, unsigned *count)
{
	return redact(r, p, n, false, out, count);
}

int vcr_redact_fitted(struct vcr_redact *r, const char *p, size_t n, struct vcr_buf *out, unsigned *count)
{
	return redact(r, p, n, true, out, count);
}

int vcr_redact_body(struct vcr_redact *r, const char *p, size_t n, bool sse, struct vcr_buf *out, unsigned *count)
{
	if (!sse)
		return vcr_redact(r, p, n, out, count);
	VCR_AUTO_BUF joined = VCR_BUF_INIT;
	int rc = vcr_redact_events(r, p, n, &joined, count);
	return rc ? rc : vcr_redact(r, joined.data, joined.len, out, count);
}

int vcr_redact_stream(struct vcr_redact *r, const char *p, size_t n, struct vcr_buf *out, unsigned *count)
{
	return vcr_redact_events(r, p, n, out, count);
}
