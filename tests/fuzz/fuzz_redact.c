/* Line 1: a secret; byte 1 of the rest: options; then a text in which it may stand. What was learnt is not in the output; valid JSON stays valid, in
 * events too, unless a value that was learnt spans quotes and brackets of it: a secret goes, whatever becomes of the JSON. */
#include "fuzz.h"
#include "redact.h"
#include "../../lib/redact-parts.h"

/* A secret that is part of the placeholder's own words would be found in it. */
static bool in_placeholder(const struct vcr_buf *s)
{
	for (size_t i = 0; i < s->len; i++)
		if (s->data[i] == '{' || s->data[i] == ':' || s->data[i] == '}')
			return true;
	return false;
}

static void check_events(const char *p, size_t n, const struct vcr_buf *out)
{
	const char *q = out->data, *end = q + out->len, *from_end = p + n;
	while (p < from_end && q < end) {
		const char *nl = memchr(p, '\n', (size_t)(from_end - p)), *ql = memchr(q, '\n', (size_t)(end - q));
		size_t k = (size_t)((nl ? nl : from_end) - p), m = (size_t)((ql ? ql : end) - q);
		if (k > 6 && m > 6 && !memcmp(p, "data: ", 6) && !memcmp(q, "data: ", 6) && !vcr_json_validate(p + 6, k - 6, 0, NULL, NULL))
			FUZZ_CHECK(!vcr_json_validate(q + 6, m - 6, 0, NULL, NULL));
		p = nl ? nl + 1 : from_end;
		q = ql ? ql + 1 : end;
	}
}

struct spans { const char *p; size_t n; bool found; };

/* Does a match begin outside of a string, or reach over the end of one? Strings do not go over lines. */
static int look_at_match(void *ctx, const struct vcr_match *m, const char *replacement)
{
	struct spans *s = ctx;
	bool in = false;
	size_t i = m->at;
	(void)replacement;
	while (i && s->p[i - 1] != '\n')
		i--;
	for (; i < m->at + m->len; i++) {
		bool quote = s->p[i] == '"';
		s->found |= i >= m->at && (quote || !in);
		in ^= quote;
		i += in && s->p[i] == '\\';
	}
	return 0;
}

static bool spans_json(struct vcr_redact *r, const char *p, size_t n, bool sse)
{
	VCR_AUTO_BUF joined = VCR_BUF_INIT;
	struct spans s = { p, n, false };
	if (sse) {
		FUZZ_CHECK(!vcr_redact_stream(r, p, n, &joined, NULL));
		s.p = joined.data;
		s.n = joined.len;
	}
	FUZZ_CHECK(!vcr_redact_matches(r, s.p, s.n, look_at_match, &s));
	return s.found;
}

static void learn_by_all_means(struct vcr_redact *r, const char *p, size_t n)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	vcr_buf_add(&text, p, n);
	const char *argv[] = { "curl", "-H", text.data, "--token", text.data, text.data };
	vcr_redact_learn_dotenv(r, p, n);
	vcr_redact_learn_argv(r, 6, argv);
	vcr_redact_learn_target(r, text.data);
	vcr_redact_learn_field(r, "Authorization", text.data);
	vcr_redact_learn_field(r, "Cookie", text.data);
	vcr_redact_learn_field(r, "Set-Cookie", text.data);
	vcr_redact_learn_env(r, "DATABASE_URL", text.data);
	vcr_redact_is_secret_file(text.data);
	vcr_redact_keep_field(text.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	VCR_AUTO_BUF secret = fuzz_until(&in, '\n'), out = VCR_BUF_INIT;
	unsigned options = fuzz_byte(&in), count = 0;
	bool sse = options & 1;
	struct vcr_redact *r = vcr_redact_new();
	char *text = fuzz_exact(in.p, in.n);
	if (options & 2)
		learn_by_all_means(r, text, in.n);
	/* learn trims: what is searched for is at least the value without its ends */
	int learnt = vcr_redact_learn(r, "API_KEY", secret.data, secret.len);
	bool spans = spans_json(r, text, in.n, sse);
	FUZZ_CHECK(!vcr_redact_body(r, text, in.n, sse, &out, &count));
	bool plain = secret.len && !strpbrk(secret.data, " \t\r\v\f\"'\\") && strlen(secret.data) == secret.len;
	if (!learnt && plain && !in_placeholder(&secret))
		FUZZ_CHECK(!memmem(out.data, out.len, secret.data, secret.len));
	if (!spans && !vcr_json_validate(text, in.n, 0, NULL, NULL))
		FUZZ_CHECK(fuzz_valid_json(&out, 0));
	if (sse && !spans)
		check_events(text, in.n, &out);
	FUZZ_CHECK(count || (out.len == in.n && !memcmp(out.data, text, in.n)));
	vcr_redact_free(r);
	free(text);
	return 0;
}
