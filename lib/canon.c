#include "canon.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct member {
	char *key;
	size_t len;
	int token;
};

static int by_key(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int c = memcmp(x->key, y->key, x->len < y->len ? x->len : y->len);
	return c ? c : x->len < y->len ? -1 : x->len > y->len ? 1 : x->token - y->token;
}

static int write_value(struct vcr_jw *w, const struct vcr_json *j, int v);

static int write_object(struct vcr_jw *w, const struct vcr_json *j, int v)
{
	size_t n = (size_t)vcr_json_count(j, v), i = 0;
	struct member *m = n ? calloc(n, sizeof *m) : NULL;
	int err = n && !m ? VCR_ENOMEM : 0;
	for (int k = vcr_json_first(j, v); k >= 0 && !err; k = vcr_json_next(j, k), i++) {
		struct vcr_buf key = VCR_BUF_INIT;
		vcr_json_str(j, k, &key);
		m[i] = (struct member){ NULL, key.len, k };
		if (!(m[i].key = vcr_buf_take(&key, NULL)))
			err = VCR_ENOMEM;
	}
	if (m)
		qsort(m, i, sizeof *m, by_key);
	vcr_jw_object(w);
	for (size_t k = 0; k < i && !err; k++) {
		vcr_jw_strn(w, m[k].key, m[k].len);
		vcr_buf_putc(w->out, ':');
		w->after_key = true;
		err = write_value(w, j, vcr_json_value(j, m[k].token));
	}
	vcr_jw_object_end(w);
	for (size_t k = 0; k < i; k++)
		free(m[k].key);
	free(m);
	return err;
}

/* A string by its value: \u0041 and A are the same. */
static void write_string(struct vcr_jw *w, const struct vcr_json *j, int v)
{
	size_t n;
	const char *raw = vcr_json_raw(j, v, &n);
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	if (!memchr(raw, '\\', n)) {
		vcr_jw_strn(w, raw + 1, n - 2);
		return;
	}
	vcr_json_str(j, v, &s);
	vcr_jw_strn(w, s.data, s.len);
}

static int write_value(struct vcr_jw *w, const struct vcr_json *j, int v)
{
	int err = 0;
	switch (vcr_json_type(j, v)) {
	case VCR_JSON_OBJECT:
		return write_object(w, j, v);
	case VCR_JSON_ARRAY:
		vcr_jw_array(w);
		for (int m = vcr_json_first(j, v); m >= 0 && !err; m = vcr_json_next(j, m))
			err = write_value(w, j, m);
		vcr_jw_array_end(w);
		return err;
	case VCR_JSON_STRING:
		write_string(w, j, v);
		return 0;
	default:
		vcr_jw_value(w, j, v);
		return 0;
	}
}

int vcr_canon_json(const struct vcr_json *j, int v, struct vcr_buf *out)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	int err = write_value(&w, j, v);
	return err ? err : out->err;
}

void vcr_sha256_hex(const void *p, size_t n, char out[VCR_KEY_LEN])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	EVP_Digest(p, n, hash, &len, EVP_sha256(), NULL);
	for (unsigned i = 0; i < 32; i++) {
		out[2 * i] = "0123456789abcdef"[hash[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[hash[i] & 15];
	}
	out[64] = 0;
}

void vcr_canon_keys(const char *method, const char *target, const char *body, size_t n, const struct vcr_json *j, char k0[VCR_KEY_LEN], char k1[VCR_KEY_LEN])
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	vcr_buf_printf(&b, "%s %s\n", method, target);
	size_t head = b.len;
	vcr_buf_add(&b, body, n);
	vcr_sha256_hex(b.data, b.len, k0);
	vcr_buf_cut(&b, head);
	if (!j || vcr_canon_json(j, 0, &b)) {
		vcr_buf_cut(&b, head);
		vcr_buf_add(&b, body, n);
	}
	vcr_sha256_hex(b.data, b.len, k1);
}
