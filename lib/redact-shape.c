/* Tokens that nobody told us about, known by their look. A token is a run of at least 16 letters, digits, - and _, so it covers an
 * aligned block of 8 such bytes: blocks are tested 16 bytes at a time, and only the neighbourhood of a full one is looked at. Base64
 * (images, signatures) is one long run in which these shapes occur by chance: runs beyond LONG_RUN are passed over, and shorter
 * ones that stand in a signature or data field too. */
#include "redact-parts.h"
#include <string.h>

enum { MIN_TOKEN = 16, LONG_RUN = 512, MAX_PEM = 64 << 10 };

enum { ALNUM = 1, TOKEN = 2, BASE64 = 4, UPPER_DIGIT = 8 };
#define A (ALNUM | TOKEN | BASE64)
#define U (A | UPPER_DIGIT)
static const unsigned char class[256] = {
	['0'] = U, ['1'] = U, ['2'] = U, ['3'] = U, ['4'] = U, ['5'] = U, ['6'] = U, ['7'] = U, ['8'] = U, ['9'] = U,
	['A'] = U, ['B'] = U, ['C'] = U, ['D'] = U, ['E'] = U, ['F'] = U, ['G'] = U, ['H'] = U, ['I'] = U, ['J'] = U, ['K'] = U, ['L'] = U, ['M'] = U,
	['N'] = U, ['O'] = U, ['P'] = U, ['Q'] = U, ['R'] = U, ['S'] = U, ['T'] = U, ['U'] = U, ['V'] = U, ['W'] = U, ['X'] = U, ['Y'] = U, ['Z'] = U,
	['a'] = A, ['b'] = A, ['c'] = A, ['d'] = A, ['e'] = A, ['f'] = A, ['g'] = A, ['h'] = A, ['i'] = A, ['j'] = A, ['k'] = A, ['l'] = A, ['m'] = A,
	['n'] = A, ['o'] = A, ['p'] = A, ['q'] = A, ['r'] = A, ['s'] = A, ['t'] = A, ['u'] = A, ['v'] = A, ['w'] = A, ['x'] = A, ['y'] = A, ['z'] = A,
	['-'] = TOKEN | BASE64, ['_'] = TOKEN | BASE64, ['+'] = BASE64, ['/'] = BASE64, ['='] = BASE64,
};
#undef A
#undef U

static unsigned is(char c)
{
	return class[(unsigned char)c];
}

static const struct kind {
	const char *prefix, *name;
	unsigned set;      /* of what follows the prefix */
	size_t min, max;   /* of what follows the prefix */
	bool random;       /* the prefix is common in words too: ask for digits and a long part */
} kinds[] = {
	{ "sk-", "API_KEY", TOKEN, 20, 400, true },
	{ "ghp_", "GITHUB_TOKEN", ALNUM, 30, 255, false }, { "gho_", "GITHUB_TOKEN", ALNUM, 30, 255, false },
	{ "ghu_", "GITHUB_TOKEN", ALNUM, 30, 255, false }, { "ghs_", "GITHUB_TOKEN", ALNUM, 30, 255, false },
	{ "ghr_", "GITHUB_TOKEN", ALNUM, 30, 255, false }, { "github_pat_", "GITHUB_TOKEN", TOKEN, 22, 255, true },
	{ "AKIA", "AWS_KEY", UPPER_DIGIT, 16, 16, false }, { "ASIA", "AWS_KEY", UPPER_DIGIT, 16, 16, false },
	{ "AIza", "GOOGLE_KEY", TOKEN, 35, 35, false },
	{ "xoxb-", "SLACK_TOKEN", TOKEN, 12, 255, true }, { "xoxp-", "SLACK_TOKEN", TOKEN, 12, 255, true },
	{ "xoxa-", "SLACK_TOKEN", TOKEN, 12, 255, true }, { "xoxs-", "SLACK_TOKEN", TOKEN, 12, 255, true },
	{ "hf_", "HF_TOKEN", ALNUM, 30, 64, false }, { "glpat-", "GITLAB_TOKEN", TOKEN, 20, 255, false },
	{ "gsk_", "GROQ_KEY", ALNUM, 40, 64, false }, { "xai-", "XAI_KEY", ALNUM, 60, 128, false },
	{ "pplx-", "PERPLEXITY_KEY", ALNUM, 40, 64, false }, { "nvapi-", "NVIDIA_KEY", TOKEN, 40, 128, true },
	{ "npm_", "NPM_TOKEN", ALNUM, 36, 36, false }, { "pypi-AgEI", "PYPI_TOKEN", TOKEN, 50, 400, false },
	{ "sk_live_", "STRIPE_KEY", ALNUM, 20, 255, false }, { "rk_live_", "STRIPE_KEY", ALNUM, 20, 255, false },
	{ "dop_v1_", "DIGITALOCEAN_TOKEN", ALNUM, 64, 64, false },
};

/* A word such as sk-toggleable-label has no digits or only short parts. */
static bool looks_random(const char *p, size_t n)
{
	size_t digits = 0, part = 0, longest = 0;
	for (size_t i = 0; i < n; i++) {
		digits += p[i] >= '0' && p[i] <= '9';
		part = is(p[i]) & ALNUM ? part + 1 : 0;
		longest = part > longest ? part : longest;
	}
	return digits >= 2 && longest >= 10;
}

/* May a token begin at i? Not within a word; but after an escape (\n, \u000a, %3D), whose last letter belongs to nothing. */
static bool begins(const char *p, size_t i, bool dashed)
{
	if (!i || !(is(p[i - 1]) & BASE64) || p[i - 1] == '=')
		return true;
	if (p[i - 1] == '/' || p[i - 1] == '+')
		return dashed; /* standard base64 has neither - nor _ */
	return (i >= 2 && p[i - 2] == '\\' && strchr("bfnrt", p[i - 1])) || (i >= 6 && p[i - 6] == '\\' && p[i - 5] == 'u') ||
		(i >= 3 && p[i - 3] == '%');
}

static bool match_kind(const struct kind *k, const char *p, size_t n, size_t i, size_t *len)
{
	size_t pre = strlen(k->prefix), e = i + pre;
	if (pre > n - i || memcmp(p + i, k->prefix, pre) || !begins(p, i, strpbrk(k->prefix, "-_")))
		return false;
	while (e < n && is(p[e]) & k->set)
		e++;
	size_t rest = e - i - pre;
	if (rest < k->min || rest > k->max || (e < n && is(p[e]) & (TOKEN & ~k->set)) || (k->random && !looks_random(p + i + pre, rest)))
		return false;
	*len = e - i;
	return true;
}

/* Three base64url parts, the first two JSON objects ({" is eyJ). */
static bool match_jwt(const char *p, size_t n, size_t i, size_t *len)
{
	size_t e = i;
	if (!begins(p, i, false))
		return false;
	for (int part = 0; part < 3; part++) {
		size_t start = e;
		if (part < 2 && (n - e < 3 || memcmp(p + e, "eyJ", 3)))
			return false;
		while (e < n && is(p[e]) & TOKEN)
			e++;
		if (e - start < 8 || (part < 2 && (e == n || p[e++] != '.')))
			return false;
	}
	*len = e - i;
	return true;
}

/* Does the run that starts at `at` stand in a field whose bytes must stay: "signature":"…, "data":"…, data:image/png;base64,… */
static bool in_opaque_field(const char *p, size_t at)
{
	static const char *const opaque[] = { "signature", "thoughtSignature", "thought_signature", "encrypted_content", "data", "base64" };
	size_t e = at;
	while (e && at - e < 12 && strchr("\"\\: ,", p[e - 1]))
		e--;
	if (e == at)
		return false;
	for (size_t k = 0; k < sizeof opaque / sizeof *opaque; k++) {
		size_t n = strlen(opaque[k]);
		if (e >= n && !memcmp(p + e - n, opaque[k], n) && (e == n || !(is(p[e - n - 1]) & TOKEN)))
			return true;
	}
	return false;
}

static bool match_at(const char *p, size_t n, size_t i, bool jwt_only, struct vcr_shape *s)
{
	size_t len;
	if (p[i] == 'e' && match_jwt(p, n, i, &len)) {
		*s = (struct vcr_shape){ i, len, "JWT" };
		return true;
	}
	if (jwt_only || !strchr("sgAxhpnrd", p[i]))
		return false;
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
		if (*kinds[k].prefix == p[i] && match_kind(&kinds[k], p, n, i, &len)) {
			*s = (struct vcr_shape){ i, len, kinds[k].name };
			return true;
		}
	return false;
}

/* The whole base64-like run around i (not before `floor`): a shape in it? *end: where the run ends. */
static bool match_run(const char *p, size_t n, size_t floor, size_t i, size_t *end, struct vcr_shape *s)
{
	size_t b = i, e = i;
	while (b > floor && is(p[b - 1]) & BASE64)
		b--;
	while (e < n && is(p[e]) & BASE64)
		e++;
	*end = e;
	if (e - b < MIN_TOKEN && (e == n || p[e] != '.'))
		return false;
	bool longer = e - b > LONG_RUN;
	for (size_t at = b; at < (longer ? b + 1 : e); at++)
		if (match_at(p, n, at, longer, s))
			return !in_opaque_field(p, b);
	return false;
}

typedef unsigned char bytes __attribute__((vector_size(16)));
typedef uint64_t words __attribute__((vector_size(16)));

/* The next 8 bytes at a multiple of 8 that are all token bytes; n if there are none. */
static size_t full_block(const char *p, size_t n, size_t i)
{
	for (; i + 16 <= n; i += 16) {
		bytes c;
		memcpy(&c, p + i, 16);
		words t = (words)(((c | 0x20) - 'a' < 26) | (c - '0' < 10) | (c == '-') | (c == '_'));
		if (t[0] == UINT64_MAX || t[1] == UINT64_MAX)
			return t[0] == UINT64_MAX ? i : i + 8;
	}
	for (; i + 8 <= n; i += 8) {
		size_t k = 0;
		while (k < 8 && is(p[i + k]) & TOKEN)
			k++;
		if (k == 8)
			return i;
	}
	return n;
}

bool vcr_shape_next(const char *p, size_t n, size_t from, struct vcr_shape *s)
{
	size_t i = from;
	while ((i = full_block(p, n, (i + 7) & ~(size_t)7)) < n) {
		size_t end;
		if (match_run(p, n, from, i, &end, s))
			return true;
		from = i = end;
	}
	return false;
}

/* The end of a PEM block whose END line is missing: its base64 and line ends, escaped or not. */
static size_t pem_tail(const char *p, size_t n, size_t i)
{
	size_t limit = n - i < MAX_PEM ? n : i + MAX_PEM;
	while (i < limit && (is(p[i]) & BASE64 || strchr("\\\n\r \t", p[i] ? p[i] : 'x')))
		i++;
	return i;
}

bool vcr_shape_pem(const char *p, size_t n, size_t from, struct vcr_shape *s)
{
	static const char mark[] = "PRIVATE KEY-----", begin[] = "-----BEGIN ", end[] = "-----END ";
	enum { MARK = sizeof mark - 1, BEGIN = sizeof begin - 1, END = sizeof end - 1, WORDS = 24 };
	const char *hit;
	for (size_t i = from; i < n && (hit = memmem(p + i, n - i, mark, MARK)); i = (size_t)(hit - p) + MARK) {
		size_t at = (size_t)(hit - p), low = at > from + BEGIN + WORDS ? at - BEGIN - WORDS : from;
		const char *b = memmem(p + low, at - low, begin, BEGIN);
		if (!b)
			continue;
		size_t e = at + MARK, limit = n - e < MAX_PEM ? n : e + MAX_PEM;
		const char *t = memmem(p + e, limit - e, end, END);
		size_t w = t ? (size_t)(t - p) + END : 0;
		const char *close = t ? memmem(p + w, n - w < WORDS + MARK ? n - w : WORDS + MARK, mark, MARK) : NULL;
		e = close ? (size_t)(close - p) + MARK : pem_tail(p, n, e);
		*s = (struct vcr_shape){ (size_t)(b - p), e - (size_t)(b - p), "PRIVATE_KEY" };
		return true;
	}
	return false;
}
