#include "verify.h"
#include "reader-parts.h"
#include "sha256.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEP = 1 << 16 };

struct verify {
	struct vcr_reader *r;
	struct vcr_verified *v;
	vcr_reader_warn_fn *fault;
	void *ctx;
	EVP_MD_CTX *sum, *copy;
	uint64_t summed;           /* bytes */
};

static void fault(struct verify *x, int64_t line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void fault(struct verify *x, int64_t line, const char *fmt, ...)
{
	char what[600];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	x->v->faults++;
	if (x->fault)
		x->fault(x->ctx, x->r->path, line, what);
}

/* The words of an error of the reader, which name the file and the line already. */
static void fault_of(struct verify *x, int64_t line, const struct vcr_error *e)
{
	const char *what = e->what;
	size_t n = strlen(x->r->path);
	if (!strncmp(what, x->r->path, n) && what[n] == ':') {
		char *end;
		long long said = strtoll(what + n + 1, &end, 10);
		line = *end == ':' ? said : line;
		what = *end == ':' ? end + 1 : what + n + 1;
		what += *what == ' ';
	}
	fault(x, line, "%s", what);
}

/* ---- Bodies and frames ---- */

static void check_body(struct verify *x, const struct vcr_entry *at)
{
	VCR_AUTO_BUF body = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	x->v->bodies++;
	if (vcr_reader_load(x->r, at, &x->r->other, &e)) {
		fault_of(x, at->line, &e);
		return;
	}
	char *ref = vcr_json_strdup(&x->r->other.j, vcr_json_get(&x->r->other.j, x->r->other.data, "ref"));
	if (!ref)
		fault(x, at->line, "a body without a reference");
	else if (vcr_reader_body(x->r, ref, &body, &e))
		fault_of(x, at->line, &e);
	free(ref);
}

static void check_reference(struct verify *x, const struct vcr_reader_frame *f, const char *key)
{
	char *ref = vcr_json_strdup(f->j, vcr_json_get(f->j, f->vcr, key));
	if (ref && vcr_reader_by_ref(x->r, ref) < 0)
		fault(x, f->line, "the %s, body %.60s, is not in the file", key, ref);
	free(ref);
}

static void check_frame(struct verify *x, int64_t index)
{
	VCR_AUTO_BUF state = VCR_BUF_INIT;
	struct vcr_reader_frame f;
	struct vcr_error e = { 0 };
	int64_t line = vcr_reader_brief(x->r, index).line;
	x->v->frames++;
	if (vcr_reader_frame(x->r, index, &f, &e)) {
		fault_of(x, line, &e);
		return;
	}
	if (f.vcr >= 0) {
		check_reference(x, &f, "request");
		check_reference(x, &f, "response");
	}
	if (vcr_reader_full_input(x->r, index, &state, &e))
		fault_of(x, line, &e);
}

/* ---- The hash of all lines ---- */

static int sum_up_to(struct verify *x, uint64_t offset, struct vcr_error *e)
{
	char *p = malloc(STEP);
	int err = p ? 0 : vcr_error_set(e, VCR_ENOMEM, "no memory");
	while (!err && x->summed < offset) {
		size_t want = offset - x->summed < STEP ? (size_t)(offset - x->summed) : STEP;
		ssize_t n = pread(x->r->fd, p, want, (off_t)x->summed);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			err = vcr_error_sys(e, n ? errno : EIO, "%s cannot be read", x->r->path);
		else if (EVP_DigestUpdate(x->sum, p, (size_t)n) != 1)
			err = vcr_error_set(e, VCR_ENOMEM, "no memory");
		else
			x->summed += (uint64_t)n;
	}
	free(p);
	return err;
}

static int check_end(struct verify *x, const struct vcr_entry *at, struct vcr_error *e)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	VCR_AUTO_BUF hex = VCR_BUF_INIT;
	int err = sum_up_to(x, at->offset, e);
	if (err)
		return err;
	if (EVP_MD_CTX_copy_ex(x->copy, x->sum) != 1 || EVP_DigestFinal_ex(x->copy, sum, &n) != 1 || vcr_buf_hex(&hex, sum, n))
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	struct vcr_error why = { 0 };
	if (vcr_reader_load(x->r, at, &x->r->other, &why))
		fault_of(x, at->line, &why);
	else if (vcr_json_is(&x->r->other.j, vcr_json_get(&x->r->other.j, x->r->other.data, "sha256"), hex.data))
		x->v->sealed++;
	else if (vcr_json_get(&x->r->other.j, x->r->other.data, "sha256") >= 0)
		fault(x, at->line, "the lines before it are not those that were recorded: their SHA-256 is %s", hex.data);
	return 0;
}

static int check_ends(struct verify *x, struct vcr_error *e)
{
	const struct vcr_entries *l = &x->r->others;
	int err = 0;
	x->sum = EVP_MD_CTX_new();
	x->copy = EVP_MD_CTX_new();
	if (!x->sum || !x->copy || EVP_DigestInit_ex(x->sum, vcr_sha256_md(), NULL) != 1)
		err = vcr_error_set(e, VCR_ENOMEM, "no memory");
	for (size_t i = 0; i < l->n && !err; i++)
		if (!strcmp(l->v[i].type, "vcr.end")) {
			err = check_end(x, &l->v[i], e);
			x->v->ended = l->v[i].line == x->r->last_line;
		}
	EVP_MD_CTX_free(x->sum);
	EVP_MD_CTX_free(x->copy);
	return err;
}

int vcr_verify(struct vcr_reader *r, vcr_reader_warn_fn *fn, void *ctx, struct vcr_verified *v, struct vcr_error *e)
{
	struct verify x = { .r = r, .v = v, .fault = fn, .ctx = ctx };
	*v = (struct vcr_verified){ 0 };
	for (size_t i = 0; i < r->others.n; i++)
		if (!strcmp(r->others.v[i].type, "vcr.body"))
			check_body(&x, &r->others.v[i]);
	for (int64_t i = 0; i < vcr_reader_count(r); i++)
		check_frame(&x, i);
	return check_ends(&x, e);
}
