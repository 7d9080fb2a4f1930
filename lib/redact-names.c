/* Which names announce a secret, and which values cannot be one. */
#include "redact-parts.h"
#include <ctype.h>
#include <fnmatch.h>
#include <string.h>
#include <strings.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool has_word(const char *name, size_t n, const char *word)
{
	size_t w = strlen(word);
	for (size_t i = 0; i + w <= n; i++)
		if (!strncasecmp(name + i, word, w))
			return true;
	return false;
}

static bool ends_with(const char *name, size_t n, const char *tail)
{
	size_t t = strlen(tail);
	return n >= t && !strncasecmp(name + n - t, tail, t);
}

bool vcr_name_is_secret(const char *name, size_t n)
{
	static const char *const words[] = { "KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "_PWD", "_PASS", "_PAT", "AUTHORIZATION" };
	static const char *const harmless[] = { "TOKENIZ", "KEYBOARD", "KEYMAP", "KEYRING", "KEYTIMEOUT", "KEYWORD", "MAX_TOKEN", "MAXTOKEN", "TOKEN_BUDGET",
		"PUBLIC_KEY", "PUBLICKEY", "PUBKEY", "MONKEY", "DONKEY", "HOTKEY", "KEYCODE", "KEYSERVER", "KEYFRAME",
		"GIT_CONFIG_KEY" /* the name of a setting */ };
	static const char *const tails[] = { "_TYPE", "_NAME", "_FILE", "_PATH", "_DIR", "_URL", "_URI", "_ENDPOINT", "_HELPER", "_ALGORITHM", "_FORMAT", "_LIMIT",
		"_LENGTH", "_SIZE", "_COUNT", "_TIMEOUT", "_TTL", "_HOST", "_PORT", "_ASKPASS", "_USER", "_USERNAME", "_REGION", "_ENV", "_ENABLED", "_HEADER" };
	for (size_t i = 0; i < COUNT(harmless); i++)
		if (has_word(name, n, harmless[i]))
			return false;
	for (size_t i = 0; i < COUNT(tails); i++)
		if (ends_with(name, n, tails[i]))
			return false;
	for (size_t i = 0; i < COUNT(words); i++)
		if (has_word(name, n, words[i]))
			return true;
	return n == 4 && !strncasecmp(name, "PASS", 4);
}

static bool is_number(const char *p, size_t n)
{
	size_t digits = 0;
	for (size_t i = 0; i < n; i++) {
		digits += isdigit((unsigned char)p[i]) != 0;
		if (!isdigit((unsigned char)p[i]) && !strchr("+-.,:_ eE", p[i] ? p[i] : 'x'))
			return false;
	}
	return digits > 0;
}

/* A file name, not a base64 text that happens to begin with a slash: case changes within its words are few. */
static bool is_path(const char *p, size_t n)
{
	if (*p != '/' && strncmp(p, "./", 2) && strncmp(p, "../", 3) && strncmp(p, "~/", 2))
		return n > 7 && !strncasecmp(p, "file://", 7);
	unsigned changes = 0;
	for (size_t i = 1; i < n; i++)
		changes += (islower((unsigned char)p[i - 1]) || isdigit((unsigned char)p[i - 1])) && isupper((unsigned char)p[i]);
	return changes <= 2 + n / 16;
}

static bool is_url_without_password(const char *p, size_t n)
{
	const char *at = memmem(p, n, "://", 3);
	return at && at - p < 12 && !memchr(at, '@', n - (size_t)(at - p)) && !memchr(at, '?', n - (size_t)(at - p));
}

static bool is_model_id(const char *p, size_t n)
{
	static const char *const start[] = { "claude-", "gpt-", "chatgpt-", "gemini-", "models/", "text-embedding-", "deepseek-", "openai/", "anthropic/", "google/" };
	for (size_t i = 0; i < COUNT(start); i++)
		if (n > strlen(start[i]) && !strncasecmp(p, start[i], strlen(start[i])))
			return n < 64;
	return false;
}

/* A mask such as **************** or xxxxxxxxxxxx: three kinds of bytes or fewer. */
static bool is_mask(const char *p, size_t n)
{
	bool seen[256] = { false };
	unsigned kinds = 0;
	for (size_t i = 0; i < n; i++) {
		kinds += !seen[(unsigned char)p[i]];
		seen[(unsigned char)p[i]] = true;
	}
	return kinds < 4;
}

bool vcr_value_is_secret(const char *p, size_t n)
{
	static const char placeholder[] = "{{vcr:secret:";
	if (n < VCR_SECRET_MIN || n > VCR_SECRET_MAX || !strncmp(p, placeholder, sizeof placeholder - 1))
		return false;
	return !is_number(p, n) && !is_path(p, n) && !is_url_without_password(p, n) && !is_model_id(p, n) && !is_mask(p, n);
}

/* A pattern of lower-case letters with one star or none, and its length. */
struct like { const char *pattern; size_t n; };
#define LIKE(s) { s, sizeof s - 1 }

/* A quick no: letters are the same in both cases but for one bit. */
static inline bool may_be_like(const struct like *l, char first, char last)
{
	char c = *l->pattern == '*' ? l->pattern[l->n - 1] ^ last : *l->pattern ^ first;
	return !(c & ~0x20);
}

/* As fnmatch would say it: it is asked of each file of a workspace. */
static bool is_like(const struct like *l, const char *name, size_t n)
{
	const char *star = strchr(l->pattern, '*');
	size_t head = star ? (size_t)(star - l->pattern) : l->n, tail = star ? l->n - head - 1 : 0;
	if (star ? n < head + tail : n != head)
		return false;
	return !strncasecmp(l->pattern, name, head) && (!star || !strcasecmp(star + 1, name + n - tail));
}

static bool is_any(const struct like *list, size_t count, const char *name, size_t n)
{
	for (size_t i = 0; n && i < count; i++)
		if (may_be_like(&list[i], *name, name[n - 1]) && is_like(&list[i], name, n))
			return true;
	return false;
}

bool vcr_redact_is_secret_file(const char *path)
{
	static const struct like plain[] = { LIKE("*.pub"), LIKE("*.example"), LIKE("*.sample"), LIKE("*.template"), LIKE("*.dist") };
	static const struct like secret[] = { LIKE(".env"), LIKE(".env.*"), LIKE("*.env"), LIKE(".envrc"), LIKE("*.pem"), LIKE("*.key"), LIKE("*.p12"), LIKE("*.pfx"), LIKE("*.jks"),
		LIKE("*.keystore"), LIKE("*.kdbx"), LIKE("*.ppk"), LIKE("id_rsa*"), LIKE("id_dsa*"), LIKE("id_ecdsa*"), LIKE("id_ed25519*"), LIKE("credentials"), LIKE("credentials.*"),
		LIKE(".netrc"), LIKE("_netrc"), LIKE(".pgpass"), LIKE(".npmrc"), LIKE(".pypirc"), LIKE(".git-credentials"), LIKE(".dockercfg"), LIKE(".htpasswd"), LIKE("secrets.y*ml"),
		LIKE("secrets.json"), LIKE("secrets.toml"), LIKE("service-account*.json"), LIKE("service_account*.json"), LIKE(".vault_pass*"),
		LIKE("application_default_credentials.json"), LIKE("auth.json"), LIKE("*.tfstate") };
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	size_t n = strlen(base);
	if (is_any(secret, COUNT(secret), base, n))
		return !is_any(plain, COUNT(plain), base, n);
	return !strncmp(base, "config", 6) && (!fnmatch("*.docker/config.json", path, 0) || !fnmatch("*.kube/config", path, 0));
}

bool vcr_redact_keep_field(const char *name)
{
	static const char *const kept[] = { "accept", "accept-encoding", "accept-language", "age", "anthropic-beta", "anthropic-dangerous-direct-browser-access",
		"anthropic-version", "anthropic-ratelimit-*", "cache-control", "cf-cache-status", "cf-ray", "connection", "content-encoding", "content-language",
		"content-length", "content-type", "date", "etag", "expect", "grpc-*", "host", "idempotency-key", "keep-alive", "last-modified", "openai-beta", "openai-model",
		"openai-processing-ms", "openai-version", "ratelimit-*", "request-id", "retry-after", "retry-after-ms", "server", "server-timing", "te", "trailer",
		"transfer-encoding", "upgrade", "user-agent", "vary", "via", "x-app", "x-cloud-trace-context", "x-goog-api-client", "x-openai-*-id", "x-ratelimit-*", "x-request-id",
		"x-should-retry", "x-stainless-*", "x-typesafe-*", "x-initiator", "originator", "openai-intent", "x-amzn-requestid", "apim-request-id", "azureml-model-session" };
	for (size_t i = 0; i < COUNT(kept); i++)
		if (*kept[i] == tolower((unsigned char)*name) && /* none begins with a wildcard, few have one */
		    !(strchr(kept[i], '*') ? fnmatch(kept[i], name, FNM_CASEFOLD) : strcasecmp(kept[i], name)))
			return true;
	return false;
}
