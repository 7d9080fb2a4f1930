#include "provider.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Dollars per million tokens; cached_in and cache_write < 0: as in. */
struct rate { double in, out, cached_in, cache_write; };
struct price {
	char *match;          /* fnmatch pattern over the lower-case model name */
	struct rate rate;
	int64_t over;         /* a prompt of more tokens than this pays `above`; 0: none */
	struct rate above;
};
struct table { struct price *price; size_t n, cap; };
struct vcr_prices { struct table ours, users; };

enum { MAX_PRICES_BYTES = 4 << 20 };

static void free_table(struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->price[i].match);
	free(t->price);
}

void vcr_prices_free(struct vcr_prices *p)
{
	if (!p)
		return;
	free_table(&p->ours);
	free_table(&p->users);
	free(p);
}

static void lower(char *s)
{
	for (; *s; s++)
		*s = (char)tolower((unsigned char)*s);
}

/* Takes match over. */
static int add_price(struct table *t, char *match, const struct price *price, struct vcr_error *e)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		struct price *grown = realloc(t->price, cap * sizeof *grown);
		if (!grown) {
			free(match);
			return vcr_error_set(e, VCR_ENOMEM, "no memory for the price table");
		}
		t->price = grown;
		t->cap = cap;
	}
	lower(match);
	t->price[t->n] = *price;
	t->price[t->n++].match = match;
	return 0;
}

static int read_file(const char *path, struct vcr_buf *out, struct vcr_error *e)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return vcr_error_sys(e, errno, "cannot read the prices in %s", path);
	vcr_buf_init(out, MAX_PRICES_BYTES);
	for (;;) {
		char *to = vcr_buf_reserve(out, 16 << 10);
		ssize_t n = to ? read(fd, to, 16 << 10) : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int err = errno;
			close(fd);
			if (out->err)
				return vcr_error_set(e, out->err, "%s: %s (prices)", path, vcr_strerror(out->err));
			return n < 0 ? vcr_error_sys(e, err, "cannot read the prices in %s", path) : 0;
		}
		vcr_buf_added(out, (size_t)n);
	}
}

/* Numbers of dollars: scanf and JSON also know infinities and what is no number. */
static bool is_price(const struct rate *r)
{
	return r->in >= 0 && r->in < 1e9 && r->out >= 0 && r->out < 1e9 && r->cached_in < 1e9 && r->cache_write < 1e9;
}

static bool read_rate(const struct vcr_json *j, int v, struct rate *r)
{
	*r = (struct rate){ .cached_in = -1, .cache_write = -1 };
	vcr_json_double(j, vcr_json_get(j, v, "cached_in"), &r->cached_in);
	vcr_json_double(j, vcr_json_get(j, v, "cache_write"), &r->cache_write);
	return vcr_json_double(j, vcr_json_get(j, v, "in"), &r->in) && vcr_json_double(j, vcr_json_get(j, v, "out"), &r->out) && is_price(r);
}

/* {"models":[{"match":GLOB,"in":$,"out":$,"cached_in":$,"cache_write":$,"above":{"tokens":N,"in":$,"out":$,…}},…]} */
static int parse_json(struct table *t, const char *path, const char *text, size_t n, struct vcr_error *e)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_error why = { 0 };
	int r = vcr_json_document(&j, text, n, 0, &why);
	if (r)
		return vcr_error_set(e, r, "%s: %s", path, why.what);
	int models = vcr_json_get(&j, 0, "models"), i = 0;
	if (vcr_json_type(&j, models) != VCR_JSON_ARRAY)
		return vcr_error_set(e, VCR_ESYNTAX, "%s: no list \"models\" (prices: see data/prices.json for the form)", path);
	for (int m = vcr_json_first(&j, models); m >= 0; m = vcr_json_next(&j, m), i++) {
		struct price p = { 0 };
		int above = vcr_json_get(&j, m, "above");
		char *match = vcr_json_strdup(&j, vcr_json_get(&j, m, "match"));
		if (!match || !read_rate(&j, m, &p.rate)) {
			free(match);
			return vcr_error_set(e, VCR_ESYNTAX, "%s: models[%d] needs \"match\", \"in\" and \"out\" (dollars per million tokens)", path, i);
		}
		if (read_rate(&j, above, &p.above))
			vcr_json_int(&j, vcr_json_get(&j, above, "tokens"), &p.over);
		if ((r = add_price(t, match, &p, e)))
			return r;
	}
	return 0;
}

/* One "price GLOB in out [cached_in [cache_write]]" line; other lines are other settings. */
static int parse_line(struct table *t, const char *path, int number, char *line, struct vcr_error *e)
{
	char glob[200], rest;
	struct price p = { .rate = { .cached_in = -1, .cache_write = -1 } };
	line[strcspn(line, "#\r")] = 0;
	line += strspn(line, " \t");
	if (strncmp(line, "price", 5) || !strchr(" \t", line[5]) || !line[5])
		return 0;
	int n = sscanf(line + 5, "%199s %lf %lf %lf %lf %c", glob, &p.rate.in, &p.rate.out, &p.rate.cached_in, &p.rate.cache_write, &rest);
	if (n < 3 || n > 5 || !is_price(&p.rate))
		return vcr_error_set(e, VCR_ESYNTAX, "%s:%d: expected: price MODEL-GLOB IN OUT [CACHED_IN [CACHE_WRITE]] (dollars per million tokens)",
			path, number);
	char *match = strdup(glob);
	return match ? add_price(t, match, &p, e) : vcr_error_set(e, VCR_ENOMEM, "no memory for the price table");
}

static int parse_config(struct table *t, const char *path, char *text, struct vcr_error *e)
{
	int number = 0, r = 0;
	for (char *line = text, *next; line && !r; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		r = parse_line(t, path, ++number, line, e);
	}
	return r;
}

static int load(struct table *t, const char *path, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	int r = read_file(path, &text, e);
	if (r)
		return r;
	return text.data[strspn(text.data, " \t\r\n")] == '{' ? parse_json(t, path, text.data, text.len, e) : parse_config(t, path, text.data, e);
}

int vcr_prices_load(struct vcr_prices **p, const char *shipped_path, const char *override_path, struct vcr_error *e)
{
	struct vcr_prices *new = calloc(1, sizeof *new);
	int r = new ? 0 : vcr_error_set(e, VCR_ENOMEM, "no memory for the price table");
	if (!r && shipped_path)
		r = load(&new->ours, shipped_path, e);
	if (!r && override_path)
		r = load(&new->users, override_path, e);
	if (r) {
		vcr_prices_free(new);
		return r;
	}
	*p = new;
	return 0;
}

/* Most patterns begin as the names that they match do. */
static bool may_match(const char *pattern, const char *name)
{
	return *pattern == *name || strchr("*?[\\", *pattern);
}

static const struct price *longest_match(const struct table *t, const char *model)
{
	const struct price *best = NULL;
	for (size_t i = 0; i < t->n; i++)
		if (may_match(t->price[i].match, model) && (!best || strlen(t->price[i].match) > strlen(best->match)) && !fnmatch(t->price[i].match, model, 0))
			best = &t->price[i];
	return best;
}

/* Bedrock's "us.amazon.nova-pro-v1:0": what stands behind the vendor; NULL if none is named. */
static const char *behind_vendor(const char *name)
{
	static const char *const vendor[] = { "anthropic.", "amazon.", "mistral.", "deepseek.", "openai.", "qwen.", "google.", "moonshot." };
	for (size_t i = 0; i < sizeof vendor / sizeof *vendor; i++) {
		const char *at = strstr(name, vendor[i]);
		if (at && (at == name || at[-1] == '.' || at[-1] == '/'))
			return at + strlen(vendor[i]);
	}
	return NULL;
}

/* "openai/gpt-4o", "models/gemini-2.5-pro", "us.anthropic.claude-…-v1:0": the name as given first, then without what stands before it. */
static const struct price *find(const struct vcr_prices *p, const char *model)
{
	char name[256];
	snprintf(name, sizeof name, "%s", model);
	lower(name);
	const char *slash = strrchr(name, '/');
	const char *const as[] = { name, slash ? slash + 1 : NULL, behind_vendor(name) };
	const struct table *const tables[] = { &p->users, &p->ours }; /* whatever a user says goes before what we say */
	for (size_t t = 0; t < 2; t++)
		for (size_t i = 0; i < 3; i++) {
			const struct price *found = as[i] ? longest_match(tables[t], as[i]) : NULL;
			if (found)
				return found;
		}
	return NULL;
}

int vcr_prices_cost(const struct vcr_prices *p, const char *model, const struct vcr_answer_info *a, double *usd)
{
	const struct price *found = p && model ? find(p, model) : NULL;
	if (!found || (a->tokens_in < 0 && a->tokens_out < 0))
		return 1;
	const struct rate *r = found->over && a->tokens_in > found->over ? &found->above : &found->rate;
	double in = a->tokens_in > 0 ? (double)a->tokens_in : 0, out = a->tokens_out > 0 ? (double)a->tokens_out : 0;
	double cached = a->tokens_cached > 0 ? (double)a->tokens_cached : 0, written = a->tokens_cache_write > 0 ? (double)a->tokens_cache_write : 0;
	double plain = in - cached - written;
	*usd = ((plain > 0 ? plain : 0) * r->in + cached * (r->cached_in < 0 ? r->in : r->cached_in) +
		written * (r->cache_write < 0 ? r->in : r->cache_write) + out * r->out) / 1e6;
	return 0;
}
