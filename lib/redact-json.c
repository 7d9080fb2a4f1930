/* Members of a JSON body whose names announce a secret: {"client_secret":"…"}. JSON inside a string is conversation, not credentials. */
#include "redact-parts.h"
#include "json.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX = 40 };

/* Exactly these, whatever their case and however their words are joined: "tokens", "key" or "token" alone mean other things here. */
static bool is_credential(const char *name, size_t n)
{
	static const char *const names[] = { "apikey", "xapikey", "apitoken", "apisecret", "accesstoken", "refreshtoken", "idtoken", "authtoken", "bearertoken", "sessiontoken",
		"githubtoken", "clientsecret", "secretkey", "secretaccesskey", "awssecretaccesskey", "privatekey", "password", "passwd", "passphrase", "authorization" };
	char plain[NAME_MAX];
	size_t k = 0;
	for (size_t i = 0; i < n && k + 1 < sizeof plain; i++)
		if (name[i] != '_' && name[i] != '-')
			plain[k++] = (char)tolower((unsigned char)name[i]);
	plain[k] = 0;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(plain, names[i]))
			return true;
	return false;
}

/* The name before the colon at p[at], whose quotes are no part of a string's text. */
static bool name_before(const char *p, size_t at, const char **name, size_t *n)
{
	while (at && strchr(" \t\r\n", p[at - 1]))
		at--;
	if (!at || p[--at] != '"')
		return false;
	size_t end = at;
	while (at && end - at < NAME_MAX && (isalnum((unsigned char)p[at - 1]) || p[at - 1] == '_' || p[at - 1] == '-'))
		at--;
	*name = p + at;
	*n = end - at;
	return *n && at && p[at - 1] == '"' && !(at > 1 && p[at - 2] == '\\');
}

/* Length of the string literal at p, quotes included; 0 if there is none. */
static size_t literal(const char *p, size_t n)
{
	if (!n || *p != '"')
		return 0;
	for (size_t i = 1; i < n && i <= VCR_SECRET_MAX; i++) {
		if (p[i] == '"')
			return i + 1;
		i += p[i] == '\\';
	}
	return 0;
}

static void learn_member(struct vcr_redact *r, const char *name, size_t n, const char *value, size_t size)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	char field[NAME_MAX + 1];
	char *text = vcr_json_parse(&j, value, size, VCR_JSON_RELAXED, NULL) ? NULL : vcr_json_strdup(&j, 0);
	memcpy(field, name, n);
	field[n] = 0;
	if (text && !strcasecmp(field, "authorization"))
		vcr_redact_learn_field(r, field, text);
	else if (text)
		vcr_redact_learn(r, field, text, strlen(text));
	free(text);
}

void vcr_redact_learn_json(struct vcr_redact *r, const char *p, size_t n)
{
	const char *name;
	size_t k, size, left = VCR_MEMBERS_MAX;
	for (const char *c = p; left && (c = memchr(c, ':', n - (size_t)(c - p))); c++) {
		if (!name_before(p, (size_t)(c - p), &name, &k) || !is_credential(name, k))
			continue;
		size_t at = (size_t)(c - p) + 1;
		while (at < n && strchr(" \t\r\n", p[at]))
			at++;
		if ((size = literal(p + at, n - at))) {
			learn_member(r, name, k, p + at, size);
			left--;
		}
	}
}

/* A login's form: client_secret=...&refresh_token=... */
static void learn_form(struct vcr_redact *r, const char *type, const char *body, size_t n)
{
	VCR_AUTO_BUF query = VCR_BUF_INIT;
	if (!type || strncasecmp(type, "application/x-www-form-urlencoded", 33) || n > 64 << 10)
		return;
	vcr_buf_putc(&query, '?');
	vcr_buf_add(&query, body, n);
	vcr_redact_learn_target(r, query.data);
}

void vcr_redact_learn_request(struct vcr_redact *r, const struct vcr_http1_field *field, size_t nfield, const char *target, const char *body, size_t nbody)
{
	for (size_t i = 0; i < nfield; i++)
		vcr_redact_learn_field(r, field[i].name, field[i].value);
	vcr_redact_learn_target(r, target);
	vcr_redact_learn_json(r, body, nbody);
	learn_form(r, vcr_http1_field(field, nfield, "content-type"), body, nbody);
}
