/* The whole input is a file that is imported: a cassette in YAML or JSON, or a HAR. What is read is written as a cassette, and reads back the same. */
#include "fuzz.h"
#include "cassette.h"
#include <strings.h>
#include "yaml.h"

struct seen { struct vcr_buf text, cassette; bool skipped; };

static void put(struct vcr_buf *out, const char *p, size_t n)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_strn(&w, p, n);
}

/* In groups by name, as a cassette has them. */
static void put_fields(struct vcr_buf *out, const struct vcr_http1_field *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool before = false;
		for (size_t k = 0; k < i; k++)
			before = before || !strcasecmp(f[k].name, f[i].name);
		for (size_t k = i; k < n && !before; k++)
			if (!strcasecmp(f[k].name, f[i].name)) {
				put(out, f[i].name, strlen(f[i].name));
				put(out, f[k].value, strlen(f[k].value));
			}
	}
}

static int on_taped(void *ctx, const struct vcr_taped *x)
{
	struct seen *s = ctx;
	FUZZ_CHECK(x->number > 0 && *x->method && (!strncmp(x->url, "http://", 7) || !strncmp(x->url, "https://", 8)));
	FUZZ_CHECK(!strpbrk(x->url, "\r\n ") && !strpbrk(x->reason, "\r\n") && (x->status == 0 || (x->status >= 200 && x->status <= 999)));
	for (size_t i = 0; i < x->nreq_field; i++)
		FUZZ_CHECK(*x->req_field[i].name && !strpbrk(x->req_field[i].name, ": \r\n") && !strpbrk(x->req_field[i].value, "\r\n"));
	vcr_buf_printf(&s->text, "%s %s %d %s", x->method, x->url, x->status, x->reason);
	put_fields(&s->text, x->req_field, x->nreq_field);
	put(&s->text, x->req_body, x->nreq_body);
	put_fields(&s->text, x->res_field, x->nres_field);
	put(&s->text, x->res_body, x->nres_body);
	vcr_cassette_write(&s->cassette, x);
	return 0;
}

static void on_skip(void *ctx, int64_t number, const char *what)
{
	((struct seen *)ctx)->skipped = true;
	FUZZ_CHECK(number > 0 && *what);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen a = { VCR_BUF_INIT, VCR_BUF_INIT, false }, b = { VCR_BUF_INIT, VCR_BUF_INIT, false };
	struct vcr_buf json = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	enum vcr_cassette_kind kind;
	char *copy = fuzz_exact((const char *)data, size);
	int err = vcr_yaml_to_json(copy, size, &json, &e);
	FUZZ_CHECK(err ? err < 0 && *e.what && !json.len : fuzz_valid_json(&json, 0));
	vcr_cassette_write_head(&a.cassette);
	size_t head = a.cassette.len;
	err = vcr_cassette_read(copy, size, &kind, on_taped, on_skip, &a, &e);
	FUZZ_CHECK(err <= 0 && (!err || *e.what));
	if (a.cassette.len > head && !a.cassette.err) {
		vcr_cassette_write_tail(&a.cassette);
		err = vcr_cassette_read(a.cassette.data, a.cassette.len, &kind, on_taped, on_skip, &b, &e);
		FUZZ_CHECK(!err && kind == VCR_CASSETTE_VCRPY && !b.skipped && fuzz_same(&a.text, &b.text));
	}
	vcr_buf_release(&a.text);
	vcr_buf_release(&a.cassette);
	vcr_buf_release(&b.text);
	vcr_buf_release(&b.cassette);
	vcr_buf_release(&json);
	free(copy);
	return 0;
}
