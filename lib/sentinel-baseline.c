#include "sentinel-baseline.h"
#include "buf.h"
#include "json.h"
#include "limits.h"
#include "replace.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char name[] = "sentinel-baseline.json";

struct known { int rule; char *path, *function; int64_t value; uint64_t used; };
struct vcr_baseline { struct known *item; size_t n; uint64_t round; };

/* What stands for a function where there is none: words without lines, or nothing. */
static const char *identity(const struct vcr_finding *f)
{
	bool by_words = f->rule == VCR_RULE_WILDCARD || f->rule == VCR_RULE_SECRET || f->rule == VCR_RULE_UNUSED;
	return *f->function ? f->function : by_words ? f->message : "";
}

static int order_of(const struct known *k, int rule, const char *path, const char *function)
{
	int c = strcmp(k->path, path);
	return c ? c : k->rule != rule ? (k->rule < rule ? -1 : 1) : strcmp(k->function, function);
}

static int order(const void *a, const void *b)
{
	const struct known *x = a, *y = b;
	int c = order_of(x, y->rule, y->path, y->function);
	return c ? c : x->value < y->value ? -1 : x->value > y->value;
}

/* The first of those, or where it would be. */
static size_t place_of(const struct vcr_baseline *b, int rule, const char *path, const char *function)
{
	size_t low = 0, high = b->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (order_of(&b->item[middle], rule, path, function) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void vcr_baseline_again(struct vcr_baseline *b)
{
	b->round++;
}

bool vcr_baseline_has(struct vcr_baseline *b, const struct vcr_finding *f, const char *path)
{
	const char *function = identity(f);
	for (size_t i = place_of(b, (int)f->rule, path, function); i < b->n && !order_of(&b->item[i], (int)f->rule, path, function); i++)
		if (b->item[i].used != b->round && b->item[i].value >= f->measured) {
			b->item[i].used = b->round;
			return true;
		}
	return false;
}

static void forget(struct known *k)
{
	free(k->path);
	free(k->function);
}

void vcr_baseline_free(struct vcr_baseline *b)
{
	for (size_t i = 0; b && i < b->n; i++)
		forget(&b->item[i]);
	if (b)
		free(b->item);
	free(b);
}

static int take(struct vcr_baseline *b, const struct vcr_json *j, int v)
{
	char *rule = vcr_json_strdup(j, vcr_json_get(j, v, "rule"));
	struct known k = { .rule = rule ? vcr_sentinel_rule_named(rule) : -1, .value = -1, .path = vcr_json_strdup(j, vcr_json_get(j, v, "path")),
		.function = vcr_json_strdup(j, vcr_json_get(j, v, "function")) };
	int value = vcr_json_get(j, v, "value"), err = 0;
	if (!rule || !k.path || !k.function || (value >= 0 && !vcr_json_int(j, value, &k.value)))
		err = VCR_ESYNTAX;
	free(rule);
	if (err || k.rule < 0) { /* a rule that is not any more */
		forget(&k);
		return err;
	}
	if (!(b->n & (b->n - 1))) {
		struct known *more = reallocarray(b->item, b->n ? b->n * 2 : 1, sizeof *more);
		if (!more) {
			forget(&k);
			return VCR_ENOMEM;
		}
		b->item = more;
	}
	b->item[b->n++] = k;
	return 0;
}

static int parse(struct vcr_baseline *b, const char *text, size_t n)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int64_t version = 0;
	int err = vcr_json_document(&j, text, n, 0, NULL);
	int list = err ? -1 : vcr_json_get(&j, 0, "findings");
	if (err || !vcr_json_int(&j, vcr_json_get(&j, 0, "sentinel_baseline"), &version) || version != 1 || vcr_json_type(&j, list) != VCR_JSON_ARRAY)
		return err == VCR_ENOMEM ? err : VCR_ESYNTAX;
	for (int m = vcr_json_first(&j, list); m >= 0 && !err; m = vcr_json_next(&j, m))
		err = take(b, &j, m);
	if (b->n)
		qsort(b->item, b->n, sizeof *b->item, order);
	return err;
}

int vcr_baseline_load(const char *dir, struct vcr_baseline **out, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*out = NULL;
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : vcr_error_sys(e, errno, "%s", dir);
	text.max = VCR_MAX_BASELINE;
	int err = vcr_replace_read(fd, dir, name, &text, e);
	close(fd);
	return err ? err : vcr_baseline_of(dir, text.data, text.len, out, e);
}

int vcr_baseline_of(const char *dir, const char *text, size_t n, struct vcr_baseline **out, struct vcr_error *e)
{
	*out = NULL;
	if (!n)
		return 0;
	struct vcr_baseline *b = calloc(1, sizeof *b);
	int err = 0;
	if (b && !(err = parse(b, text, n))) {
		b->round = 1;
		*out = b;
		return 0;
	}
	vcr_baseline_free(b);
	if (b && err == VCR_ESYNTAX)
		return vcr_error_set(e, err, "%s/%s is no baseline; vcr-sentinel baseline writes one", dir, name);
	return vcr_error_set(e, VCR_ENOMEM, "no memory");
}

static void put(struct vcr_jw *w, const char *key, const char *s)
{
	vcr_jw_key(w, key);
	vcr_jw_str(w, s);
}

static void put_finding(struct vcr_buf *out, const struct known *k)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &line);
	vcr_jw_object(&w);
	put(&w, "rule", vcr_sentinel_rule((enum vcr_rule_id)k->rule)->id);
	put(&w, "path", k->path);
	put(&w, "function", k->function);
	if (k->value >= 0) {
		vcr_jw_key(&w, "value");
		vcr_jw_int(&w, k->value);
	}
	vcr_jw_object_end(&w);
	vcr_buf_add(out, line.data, line.len);
}

int vcr_baseline_write(const char *dir, const struct vcr_findings *f, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct known *all = malloc((f->n + 1) * sizeof *all);
	int fd = -1;
	if (!all)
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	for (size_t i = 0; i < f->n; i++)
		all[i] = (struct known){ .rule = (int)f->item[i].rule, .path = (char *)f->item[i].path, .function = (char *)identity(&f->item[i]), .value = f->item[i].measured };
	qsort(all, f->n, sizeof *all, order);
	text.max = VCR_MAX_BASELINE;
	vcr_buf_puts(&text, "{\"sentinel_baseline\":1,\"findings\":[\n");
	for (size_t i = 0; i < f->n; i++) {
		put_finding(&text, &all[i]);
		vcr_buf_puts(&text, i + 1 < f->n ? ",\n" : "\n");
	}
	vcr_buf_puts(&text, "]}\n");
	free(all);
	if (text.err)
		return vcr_error_set(e, text.err, "%s/%s: %s", dir, name, text.err == VCR_ENOMEM ? "no memory" : "too many findings");
	int err = vcr_replace_lock(dir, name, &fd, e);
	if (err)
		return err;
	err = vcr_replace_write(fd, dir, name, &text, e);
	close(fd);
	return err;
}
