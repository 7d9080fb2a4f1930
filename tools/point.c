#include "point.h"
#include <stdlib.h>
#include <string.h>

/* HTTPS_PROXY leaves the program's own requests as they are; a base URL changes what some agents send. */
static const char *const proxy_names[] = { "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", NULL };
/* These replace a program's roots, so they name the merged bundle. */
static const char *const bundle_names[] = { "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "DENO_CERT",
	"CODEX_CA_CERTIFICATE", NULL };

static bool is_loopback(const char *host)
{
	return !strncmp(host, "127.", 4) || !strncmp(host, "localhost", 9) || !strncmp(host, "[::1]", 5) || !strcmp(host, "::1");
}

/* What goes around the gate: this machine, unless the recorded model runs on it. */
static const char *no_proxy(const struct vcr_point *p)
{
	for (const char *const *h = p->hosts; h && *h; h++)
		if (is_loopback(*h))
			return "";
	return "localhost,127.0.0.1,::1";
}

int vcr_point_each(const struct vcr_point *p, int (*fn)(void *ctx, const char *name, const char *value), void *ctx)
{
	VCR_AUTO_BUF proxy = VCR_BUF_INIT;
	const char *around = no_proxy(p);
	int r = 0;
	vcr_buf_printf(&proxy, "http://vcr:%s@127.0.0.1:%d", p->token, p->port);
	for (const char *const *n = proxy_names; *n && !r; n++)
		r = fn(ctx, *n, proxy.data);
	if (!r)
		r = fn(ctx, "NO_PROXY", around);
	if (!r)
		r = fn(ctx, "no_proxy", around);
	for (const char *const *n = bundle_names; *n && !r; n++)
		r = fn(ctx, *n, p->bundle);
	if (!r)
		r = fn(ctx, "NODE_EXTRA_CA_CERTS", p->extra);
	return r ? r : fn(ctx, "NODE_USE_ENV_PROXY", "1");
}

void vcr_point_base_url(const struct vcr_point *p, const char *host, bool tls, struct vcr_buf *out)
{
	vcr_buf_printf(out, "http://127.0.0.1:%d/vcr-%s/%s%s", p->port, p->token, tls ? "" : "http:", host);
}

static int write_export(void *out, const char *name, const char *value)
{
	vcr_buf_printf(out, "  export %s='%s'\n", name, value);
	return ((struct vcr_buf *)out)->err;
}

void vcr_point_words(const struct vcr_point *p, struct vcr_buf *out)
{
	static const struct { const char *host, *name, *path; } urls[] = {
		{ "api.openai.com", "OPENAI_BASE_URL", "/v1" }, { "api.anthropic.com", "ANTHROPIC_BASE_URL", "" },
		{ "generativelanguage.googleapis.com", "GOOGLE_GEMINI_BASE_URL", "" },
	};
	vcr_buf_puts(out, "Point a program at it by proxy and certificates, which leaves its requests as they are:\n\n");
	vcr_point_each(p, write_export, out);
	vcr_buf_puts(out, "\nor, where a program honours neither, by base URL:\n\n");
	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		VCR_AUTO_BUF url = VCR_BUF_INIT;
		vcr_point_base_url(p, urls[i].host, true, &url);
		vcr_buf_printf(out, "  export %s='%s%s'\n", urls[i].name, url.data, urls[i].path);
	}
}
