/* lend.c — variables for a program that the library cannot enter, and back from it.
 *
 * A static program, one of musl's, or one of Go's (which reads its environment from the stack and calls the kernel itself) is reached by what it
 * honours: a proxy, which is the gate with the run's token, and certificates: the system's roots, the user's and the gate's. That one program
 * is lent them. What it starts inherits them, together with VCR_LENT, and the constructor in the next program that has one gives them back before its
 * main: each variable that still is what was lent becomes what it was before, or is gone; one that somebody has changed meanwhile stays.
 *
 *   VCR_LENT=<item>…     item: <length>:NAME=what was lent\n<length>:NAME=what was there before\n; the latter 0:\n where nothing was
 *
 * It needs nothing but its own text: the gate may be gone when a program gives back. The old value is used where it stands, so nothing is
 * copied or allocated. Also part of vcr(1), which starts programs itself: so it stands on nothing but this file. */
#include "shim.h"

enum value { PROXY, AROUND, BUNDLE, EXTRA };

/* Without pointers, which the loader would have to relocate. What takes "lower case only" (curl: http_proxy) and what takes "upper case first" (Go)
 * is served by both. */
static const struct { char name[23]; uint8_t value; } variables[] = {
	{ "HTTPS_PROXY", PROXY }, { "https_proxy", PROXY }, { "HTTP_PROXY", PROXY }, { "http_proxy", PROXY }, { "ALL_PROXY", PROXY }, { "all_proxy", PROXY },
	{ "NO_PROXY", AROUND }, { "no_proxy", AROUND },
	{ "SSL_CERT_FILE", BUNDLE }, { "CODEX_CA_CERTIFICATE", BUNDLE }, { "REQUESTS_CA_BUNDLE", BUNDLE }, { "CURL_CA_BUNDLE", BUNDLE },
	{ "GIT_SSL_CAINFO", BUNDLE }, { "AWS_CA_BUNDLE", BUNDLE }, { "DENO_CERT", BUNDLE }, { "NODE_EXTRA_CA_CERTS", EXTRA },
};
enum { COUNT = sizeof variables / sizeof *variables, DIGITS = 10 };
_Static_assert((int)COUNT == (int)VCR_LEND_NAMES, "room for each, and VCR_LENT");

/* ---- Texts ---- */

static char *add(char *at, const char *s, size_t n)
{
	memcpy(at, s, n);
	at[n] = 0;
	return at + n;
}

static char *add_text(char *at, const char *s)
{
	return add(at, s, strlen(s));
}

static char *add_number(char *at, size_t n)
{
	char digits[DIGITS * 2];
	int k = 0;
	do
		digits[k++] = (char)('0' + n % 10);
	while (n /= 10);
	while (k)
		*at++ = digits[--k];
	*at = 0;
	return at;
}

/* The variable that an entry sets, -1 if it is none of ours. */
static int variable_of(const char *entry)
{
	const char *eq = strchr(entry, '=');
	size_t n = eq ? (size_t)(eq - entry) : 0;
	for (int i = 0; n && i < COUNT; i++)
		if (n == strlen(variables[i].name) && !memcmp(entry, variables[i].name, n))
			return i;
	return -1;
}

static const char *value_of(const struct vcr_lend *l, int i)
{
	const char *const value[] = { [PROXY] = l->proxy, [AROUND] = l->around, [BUNDLE] = l->bundle, [EXTRA] = l->extra };
	return value[variables[i].value];
}

static bool is_lent_text(const struct vcr_lend *l, int i, const char *entry)
{
	return !strcmp(entry + strlen(variables[i].name) + 1, value_of(l, i));
}

/* ---- What is lent ---- */

/* A text of the block, which any process of the session can write. */
static bool take(const char *from, size_t size, char *to)
{
	memcpy(to, from, size);
	to[size - 1] = 0;
	for (const char *p = to; *p; p++)
		if ((unsigned char)*p < ' ')
			return false;
	return *to != 0;
}

/* The model of a program may be on this machine; then this machine is not gone around the gate. */
static bool lists_this_machine(const struct vcr_lead_block *g)
{
	for (size_t at = 0, n; at < VCR_LEAD_HOSTS && (n = strnlen(g->hosts + at, VCR_LEAD_HOSTS - at)); at += n + 1) {
		const char *h = g->hosts + at;
		if (!strncmp(h, "localhost", n < 9 ? n : 9) || !strncmp(h, "127.", n < 4 ? n : 4) || !strncmp(h, "[::1]", n < 5 ? n : 5))
			return true;
	}
	return false;
}

bool vcr_lend_terms(const struct vcr_lead_block *g, int pid, struct vcr_lend *l)
{
	char token[VCR_LEAD_TOKEN];
	uint32_t port = vcr_load(&g->port);
	if (!take(g->token, sizeof token, token) || !take(g->bundle, sizeof l->bundle, l->bundle) || *l->bundle != '/' || !port || port > 65535)
		return false;
	if (strspn(token, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(token))
		return false;
	if (!take(g->extra, sizeof l->extra, l->extra))
		add_text(l->extra, l->bundle);
	char *at = add_text(l->proxy, "http://vcr");
	if (pid > 0)
		at = add_number(add_text(at, "-"), (size_t)pid);
	at = add_text(add_text(add_text(at, ":"), token), "@127.0.0.1:");
	add_number(at, port);
	add_text(l->around, lists_this_machine(g) ? "" : "localhost,127.0.0.1,::1");
	return true;
}

/* ---- Lending ---- */

VCR_EARLY static const char *there(char *const env[], const char *name)
{
	for (; env && *env; env++)
		if (vcr_env_is(*env, name))
			return *env;
	return NULL;
}

size_t vcr_lend_text_size(const struct vcr_lend *l, char *const env[])
{
	size_t n = sizeof VCR_ENV_LENT + 1;
	for (int i = 0; i < COUNT; i++)
		n += 2 * (strlen(variables[i].name) + strlen(value_of(l, i)) + 2) + 2 * (DIGITS + 2); /* where nothing is there; once too often otherwise */
	for (; env && *env; env++) {
		int i = variable_of(*env);
		if (i >= 0)
			n += strlen(*env) + 2 * (strlen(variables[i].name) + strlen(value_of(l, i)) + 2) + 2 * (DIGITS + 2);
	}
	return n;
}

static char *add_counted(char *at, const char *s)
{
	return add_text(add_text(add_text(add_number(at, strlen(s)), ":"), s), "\n");
}

/* The entry of a variable at *at, which moves behind it. */
static char *make_entry(const struct vcr_lend *l, int i, char **at)
{
	char *entry = *at;
	*at = add_text(add_text(add_text(entry, variables[i].name), "="), value_of(l, i)) + 1;
	return entry;
}

void vcr_lend(const struct vcr_lend *l, char **env, char *text)
{
	char *lent[COUNT], **end = env, *at = text;
	bool has[COUNT] = { false };
	if (there(env, VCR_ENV_LENT))
		return; /* whoever called has it from somewhere: it is valid as it is */
	for (int i = 0; i < COUNT; i++)
		lent[i] = make_entry(l, i, &at);
	char *list = at;
	at = add_text(at, VCR_ENV_LENT "=");
	for (; *end; end++) {
		int i = variable_of(*end);
		if (i < 0)
			continue;
		has[i] = true;
		if (is_lent_text(l, i, *end))
			continue;
		at = add_counted(add_counted(at, lent[i]), *end);
		*end = lent[i];
	}
	for (int i = 0; i < COUNT; i++)
		if (!has[i]) {
			at = add_counted(add_counted(at, lent[i]), "");
			*end++ = lent[i];
		}
	*end++ = list;
	*end = NULL;
}

/* ---- Giving back ---- */

/* <length>:text\n at *at, which moves behind it; the text is ended where its newline is. NULL: the list ends here, or is none of ours. */
static char *next_counted(char **at)
{
	size_t n = 0;
	char *p = *at;
	for (; *p >= '0' && *p <= '9' && n < 1 << 24; p++)
		n = n * 10 + (size_t)(*p - '0');
	if (p == *at || *p++ != ':' || strnlen(p, n + 1) != n + 1 || p[n] != '\n')
		return NULL;
	p[n] = 0;
	*at = p + n + 1;
	return p;
}

static void drop(char **at)
{
	do
		at[0] = at[1];
	while (*at++);
}

/* The first entry that is still what was lent. */
static void give_back(char **env, const char *lent, char *before)
{
	for (; *env; env++)
		if (!strcmp(*env, lent)) {
			if (*before)
				*env = before;
			else
				drop(env);
			return;
		}
}

VCR_EARLY int32_t vcr_lend_whom(char *const env[])
{
	static const char before[] = "=http://vcr";
	const char *list = there(env, VCR_ENV_LENT), *at = list ? strstr(list, before) : NULL;
	int32_t pid = 0;
	if (!at || *(at += sizeof before - 1) == ':')
		return at ? VCR_SPOKE_UNNAMED : 0;
	while (*++at >= '0' && *at <= '9' && pid < 1 << 22)
		pid = pid * 10 + (*at - '0');
	return pid;
}

VCR_EARLY void vcr_lend_back(char **env)
{
	char **at = env, *lent, *before;
	for (; *at; at++)
		if (vcr_env_is(*at, VCR_ENV_LENT))
			break;
	if (vcr_likely(!*at))
		return;
	char *list = *at + sizeof VCR_ENV_LENT;
	drop(at);
	while ((lent = next_counted(&list)) && (before = next_counted(&list)))
		if (variable_of(lent) >= 0 && (!*before || variable_of(before) == variable_of(lent)))
			give_back(env, lent, before);
}
