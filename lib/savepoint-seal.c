/* savepoint-seal.c — content that must not lie about in the shadow repository: AES-256-GCM under a key of the state directory.
 *
 * The nonce is an HMAC of the content under a key of its own, so equal content gives equal objects (a savepoint in which .env did not change
 * costs nothing) and different content never shares a nonce. */
#include "savepoint-parts.h"
#include "sealkey.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { MAGIC = sizeof VCR_SEAL_MAGIC - 1, NONCE = 12, TAG = 16, KEY = VCR_SEALKEY };

bool vcr_store_is_sealed(const char *p, size_t n)
{
	return n >= MAGIC && !memcmp(p, VCR_SEAL_MAGIC, MAGIC);
}

static int need_key(struct vcr_store *s, bool make, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	if (s->have_key)
		return 0;
	vcr_buf_printf(&path, "%s/seal.key", s->state_dir);
	int err = vcr_sealkey_read(path.data, s->key, e);
	if (err == VCR_ENOTFOUND && !make)
		return vcr_error_set(e, VCR_ENOTFOUND, "%s is missing: what it sealed cannot be opened", path.data);
	if (err == VCR_ENOTFOUND && !(err = vcr_sealkey_make(path.data, e)))
		err = vcr_sealkey_read(path.data, s->key, e);
	s->have_key = !err;
	return err;
}

static bool derive(const struct vcr_store *s, const char *what, const void *p, size_t n, unsigned char out[KEY])
{
	unsigned char sub[KEY];
	unsigned len = 0;
	if (!HMAC(EVP_sha256(), s->key, KEY, (const unsigned char *)what, strlen(what), sub, &len))
		return false;
	if (!p) {
		memcpy(out, sub, KEY);
		return true;
	}
	return HMAC(EVP_sha256(), sub, KEY, p, n, out, &len) != NULL;
}

/* One AES-256-GCM run; the tag is written or checked. */
static bool crypt_gcm(const unsigned char *key, const unsigned char *nonce, const void *in, size_t n, unsigned char *out, unsigned char *tag, bool seal)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int k;
	bool good = c && n <= INT32_MAX && EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce, seal) == 1;
	good = good && (!n || EVP_CipherUpdate(c, out, &k, in, (int)n) == 1);
	good = good && (seal || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1);
	good = good && EVP_CipherFinal_ex(c, out + n, &k) == 1;
	good = good && (!seal || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, tag) == 1);
	EVP_CIPHER_CTX_free(c);
	return good;
}

int vcr_store_seal(struct vcr_store *s, const char *p, size_t n, struct vcr_buf *out, struct vcr_error *e)
{
	unsigned char key[KEY], nonce[KEY];
	int err = need_key(s, true, e);
	if (err)
		return err;
	char *to = vcr_buf_reserve(out, MAGIC + NONCE + TAG + n);
	if (!to)
		return vcr_error_set(e, out->err, "sealing: %s", vcr_strerror(out->err));
	bool good = derive(s, "vcr seal", NULL, 0, key) && derive(s, "vcr nonce", p, n, nonce) &&
		crypt_gcm(key, nonce, p, n, (unsigned char *)to + MAGIC + NONCE + TAG, (unsigned char *)to + MAGIC + NONCE, true);
	OPENSSL_cleanse(key, sizeof key);
	if (!good)
		return vcr_error_set(e, VCR_ENOSYS, "AES-256-GCM failed");
	memcpy(to, VCR_SEAL_MAGIC, MAGIC);
	memcpy(to + MAGIC, nonce, NONCE);
	vcr_buf_added(out, MAGIC + NONCE + TAG + n);
	return 0;
}

int vcr_store_unseal(struct vcr_store *s, const char *p, size_t n, struct vcr_buf *out, struct vcr_error *e)
{
	unsigned char key[KEY], tag[TAG];
	int err = need_key(s, false, e);
	if (err)
		return err;
	if (n < MAGIC + NONCE + TAG)
		return vcr_error_set(e, VCR_ECORRUPT, "a sealed file of the shadow repository is damaged");
	size_t len = n - MAGIC - NONCE - TAG;
	char *to = vcr_buf_reserve(out, len);
	if (!to)
		return vcr_error_set(e, out->err, "unsealing: %s", vcr_strerror(out->err));
	memcpy(tag, p + MAGIC + NONCE, TAG);
	bool good = derive(s, "vcr seal", NULL, 0, key) &&
		crypt_gcm(key, (const unsigned char *)p + MAGIC, p + MAGIC + NONCE + TAG, len, (unsigned char *)to, tag, false);
	OPENSSL_cleanse(key, sizeof key);
	if (!good)
		return vcr_error_set(e, VCR_ECORRUPT, "a sealed file of the shadow repository does not open with %s/seal.key", s->state_dir);
	vcr_buf_added(out, len);
	return 0;
}

int vcr_store_path_id(struct vcr_store *s, const char *path, bool make, char id[VCR_PATH_ID], struct vcr_error *e)
{
	unsigned char mac[KEY];
	int err = need_key(s, make, e);
	if (err)
		return err;
	if (!derive(s, "vcr path", path, strlen(path), mac))
		return vcr_error_set(e, VCR_ENOSYS, "HMAC failed");
	for (int i = 0; i < VCR_PATH_ID / 2; i++)
		snprintf(id + 2 * i, 3, "%02x", mac[i]);
	return 0;
}

/* ---- Names ---- */

enum { NAME = sizeof VCR_SEAL_NAME - 1, ATTRS = sizeof VCR_ATTRS_NAME - 1, SHORTEST_SECRET = 12, MAX_NAME = 255 };

bool vcr_store_is_secret_name(const struct vcr_store *s, const char *name, size_t n)
{
	for (size_t i = 0; i < s->nsecret_name; i++)
		if (strlen(s->secret_name[i]) == n && !memcmp(s->secret_name[i], name, n))
			return true;
	return (n >= NAME && !memcmp(name, VCR_SEAL_NAME, NAME)) || (n >= ATTRS && !memcmp(name, VCR_ATTRS_NAME, ATTRS)) || (n >= SHORTEST_SECRET && s->has_secret && s->has_secret(s->ctx, "", name, n));
}

static int remember_name(struct vcr_store *s, const char *name, size_t n, struct vcr_error *e)
{
	for (size_t i = 0; i < s->nsecret_name; i++)
		if (strlen(s->secret_name[i]) == n && !memcmp(s->secret_name[i], name, n))
			return 0;
	char **list = reallocarray(s->secret_name, s->nsecret_name + 1, sizeof *list), *copy = strndup(name, n);
	if (list)
		s->secret_name = list;
	if (!list || !copy) {
		free(copy);
		return vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
	}
	s->secret_name[s->nsecret_name++] = copy;
	return 0;
}

int vcr_store_seal_name(struct vcr_store *s, const char *name, size_t n, struct vcr_buf *out, struct vcr_error *e)
{
	VCR_AUTO_BUF sealed = VCR_BUF_INIT;
	if (!vcr_store_is_secret_name(s, name, n))
		return vcr_buf_add(out, name, n);
	int err = remember_name(s, name, n, e);
	if (err || (err = vcr_store_seal(s, name, n, &sealed, e)))
		return err;
	vcr_buf_puts(out, VCR_SEAL_NAME);
	return vcr_buf_hex(out, sealed.data + MAGIC, sealed.len - MAGIC);
}

int vcr_store_unseal_name(struct vcr_store *s, const char *name, size_t n, char **out, struct vcr_error *e)
{
	VCR_AUTO_BUF sealed = VCR_BUF_INIT, plain = VCR_BUF_INIT;
	if (n < NAME + 2 || memcmp(name, VCR_SEAL_NAME, NAME) || (n - NAME) % 2 || n > NAME + 2 * (NONCE + TAG + MAX_NAME))
		return 1;
	vcr_buf_puts(&sealed, VCR_SEAL_MAGIC);
	for (size_t i = NAME; i < n; i += 2) {
		const char digits[3] = { name[i], name[i + 1], 0 };
		if (strspn(digits, "0123456789abcdef") != 2)
			return 1;
		vcr_buf_putc(&sealed, (char)strtoul(digits, NULL, 16));
	}
	int err = vcr_store_unseal(s, sealed.data, sealed.len, &plain, e);
	if (err)
		return err == VCR_ECORRUPT ? 1 : err;
	if (!plain.len || memchr(plain.data, 0, plain.len) || memchr(plain.data, '/', plain.len))
		return 1;
	if ((err = remember_name(s, plain.data, plain.len, e)))
		return err;
	return (*out = vcr_buf_take(&plain, NULL)) ? 0 : vcr_error_set(e, VCR_ENOMEM, "savepoint: out of memory");
}
