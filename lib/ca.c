#include "ca.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAME_SPACE = 256, BUNDLE_MAX = 16 << 20 };
static const int64_t day = 86400;

struct leaf {
	char name[NAME_SPACE];
	X509 *cert;
	uint64_t used;
};

struct vcr_ca {
	char *base, *path;
	char **pattern;      /* as configured: lower case, no port, no brackets; each once per port */
	int *port;           /* beside it; 0: any */
	int64_t not_before, not_after;
	EVP_PKEY *key, *leaf_key;
	X509 *cert;
	struct leaf leaf[VCR_CA_LEAVES];
	size_t leaves;
	uint64_t clock;
};

/* ---- Names ---- */

/* Lower case, without port, brackets and final dot. False if it is no name. */
static bool bare_name(const char *s, char out[NAME_SPACE])
{
	size_t n = 0;
	bool bracket = *s == '[', v6 = !bracket && strchr(s, ':') && strchr(strchr(s, ':') + 1, ':');
	for (s += bracket; *s && n < NAME_SPACE - 1; s++) {
		if (bracket ? *s == ']' : !v6 && *s == ':')
			break;
		if (!isalnum((unsigned char)*s) && !strchr("-._*:", *s))
			return false;
		out[n++] = (char)tolower((unsigned char)*s);
	}
	if (n && out[n - 1] == '.')
		n--;
	out[n] = 0;
	return n > 0;
}

/* The port behind a name or a bracketed address; 0: none. */
static int port_behind(const char *s)
{
	const char *colon = strrchr(s, ':'), *bracket = strrchr(s, ']');
	if (!colon || (bracket ? colon < bracket : strchr(s, ':') != colon))
		return 0;
	int port = atoi(colon + 1);
	return port > 0 && port < 65536 ? port : 0;
}

/* Bytes of an address (4 or 16), 0 if name is none. */
static int address_of(const char *name, unsigned char ip[16])
{
	return inet_pton(AF_INET, name, ip) == 1 ? 4 : inet_pton(AF_INET6, name, ip) == 1 ? 16 : 0;
}

static bool is_loopback(const char *name)
{
	unsigned char ip[16];
	int n = address_of(name, ip);
	return (n == 4 && ip[0] == 127) || (n == 16 && !memcmp(ip, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16));
}

/* What a name constraint can say of a pattern: the labels behind its last "*". */
static const char *subtree_of(const char *pattern)
{
	const char *star = strrchr(pattern, '*'), *dot = star ? strchr(star, '.') : NULL;
	return !star ? pattern : dot ? dot + 1 : NULL;
}

bool vcr_ca_lists(const struct vcr_ca *ca, const char *name, int port)
{
	char bare[NAME_SPACE];
	if (!bare_name(name, bare) || strchr(bare, '*'))
		return false;
	for (size_t i = 0; ca->pattern[i]; i++)
		if ((!port || !ca->port[i] || ca->port[i] == port) && !fnmatch(ca->pattern[i], bare, 0))
			return true;
	return false;
}

bool vcr_ca_lists_port(const struct vcr_ca *ca, int port)
{
	for (size_t i = 0; ca->pattern[i]; i++)
		if (ca->port[i] == port)
			return true;
	return false;
}

bool vcr_ca_covers(const struct vcr_ca *ca, const char *name)
{
	char bare[NAME_SPACE];
	return vcr_ca_lists(ca, name, 0) || (bare_name(name, bare) && is_loopback(bare));
}

/* ---- Making certificates ---- */

static int failed(struct vcr_error *e, const char *what)
{
	char why[160] = "";
	ERR_error_string_n(ERR_get_error(), why, sizeof why);
	ERR_clear_error();
	return vcr_error_set(e, VCR_ENOMEM, "certificates: %s: %s", what, why);
}

static EVP_PKEY *new_key(void)
{
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
	if (!c || EVP_PKEY_keygen_init(c) <= 0 || EVP_PKEY_CTX_set_ec_paramgen_curve_nid(c, NID_X9_62_prime256v1) <= 0 || EVP_PKEY_keygen(c, &key) <= 0)
		key = NULL;
	EVP_PKEY_CTX_free(c);
	return key;
}

static bool add_extension(X509 *cert, X509V3_CTX *c, int nid, const char *value)
{
	X509_EXTENSION *x = X509V3_EXT_nconf_nid(NULL, c, nid, (char *)value);
	bool ok = x && X509_add_ext(cert, x, -1);
	X509_EXTENSION_free(x);
	return ok;
}

static bool set_serial(X509 *cert)
{
	unsigned char random[16];
	if (RAND_bytes(random, sizeof random) != 1)
		return false;
	random[0] = (unsigned char)((random[0] & 0x3f) | 0x40); /* positive, and 128 bits always */
	BIGNUM *n = BN_bin2bn(random, sizeof random, NULL);
	bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
	BN_free(n);
	return ok;
}

/* Version 3, serial number, dates, key, names. issuer NULL: itself. */
static X509 *begin_cert(const struct vcr_ca *ca, EVP_PKEY *key, const char *common_name, const X509 *issuer)
{
	X509 *cert = X509_new();
	X509_NAME *name = cert ? X509_get_subject_name(cert) : NULL;
	if (name && X509_set_version(cert, 2) && set_serial(cert) && ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)ca->not_before) &&
	    ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)ca->not_after) && X509_set_pubkey(cert, key) &&
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0) &&
	    X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : name))
		return cert;
	X509_free(cert);
	return NULL;
}

/* The permitted subtrees as X509V3_EXT_nconf takes them; each once. */
static void write_constraints(const struct vcr_ca *ca, struct vcr_buf *out)
{
	vcr_buf_puts(out, "critical,permitted;IP:127.0.0.0/255.0.0.0,permitted;IP:::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	for (char **p = ca->pattern; *p; p++) {
		unsigned char ip[16];
		const char *tree = subtree_of(*p);
		int n = address_of(*p, ip);
		VCR_AUTO_BUF one = VCR_BUF_INIT;
		if (n)
			vcr_buf_printf(&one, ",permitted;IP:%s/%s", *p, n == 4 ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
		else if (tree)
			vcr_buf_printf(&one, ",permitted;DNS:%s", tree);
		const char *seen = strstr(out->data, one.data);
		if (one.len && !(seen && (seen[one.len] == ',' || !seen[one.len])))
			vcr_buf_add(out, one.data, one.len);
	}
}

static int make_ca(struct vcr_ca *ca, struct vcr_error *e)
{
	char cn[64];
	unsigned char random[4];
	VCR_AUTO_BUF constraints = VCR_BUF_INIT;
	X509V3_CTX c;
	RAND_bytes(random, sizeof random);
	/* Two runs' CAs must not share a name: a client that trusts both would look up the wrong key. */
	snprintf(cn, sizeof cn, "vcr, for this run only (%02x%02x%02x%02x)", random[0], random[1], random[2], random[3]);
	write_constraints(ca, &constraints);
	ca->key = new_key();
	ca->cert = ca->key ? begin_cert(ca, ca->key, cn, NULL) : NULL;
	if (!ca->cert || constraints.err)
		return failed(e, "the authority cannot be made");
	X509V3_set_ctx(&c, ca->cert, ca->cert, NULL, NULL, 0);
	if (!add_extension(ca->cert, &c, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(ca->cert, &c, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !add_extension(ca->cert, &c, NID_subject_key_identifier, "hash") ||
	    !add_extension(ca->cert, &c, NID_authority_key_identifier, "keyid:always") ||
	    !add_extension(ca->cert, &c, NID_name_constraints, constraints.data) || !X509_sign(ca->cert, ca->key, EVP_sha256()))
		return failed(e, "the authority cannot be made");
	return 0;
}

static X509 *make_leaf(struct vcr_ca *ca, const char *name)
{
	unsigned char ip[16];
	char san[NAME_SPACE + 8];
	X509V3_CTX c;
	bool address = address_of(name, ip) != 0;
	snprintf(san, sizeof san, "%s:%s", address ? "IP" : "DNS", name);
	/* The name is in the alternative names alone; one in the subject would have to fit 64 characters and the constraints. */
	X509 *cert = begin_cert(ca, ca->leaf_key, "vcr gate", ca->cert);
	if (!cert)
		return NULL;
	X509V3_set_ctx(&c, ca->cert, cert, NULL, NULL, 0);
	if (add_extension(cert, &c, NID_basic_constraints, "critical,CA:FALSE") && add_extension(cert, &c, NID_key_usage, "critical,digitalSignature") &&
	    add_extension(cert, &c, NID_ext_key_usage, "serverAuth") && add_extension(cert, &c, NID_subject_key_identifier, "hash") &&
	    add_extension(cert, &c, NID_authority_key_identifier, "keyid:always") && add_extension(cert, &c, NID_subject_alt_name, san) &&
	    X509_sign(cert, ca->key, EVP_sha256()))
		return cert;
	X509_free(cert);
	return NULL;
}

/* The leaf of a bare, covered name. */
static X509 *leaf_of(struct vcr_ca *ca, const char *bare)
{
	struct leaf *oldest = &ca->leaf[0];
	for (size_t i = 0; i < ca->leaves; i++) {
		struct leaf *l = &ca->leaf[i];
		if (!strcmp(l->name, bare)) {
			l->used = ++ca->clock;
			return l->cert;
		}
		if (l->used < oldest->used)
			oldest = l;
	}
	X509 *cert = make_leaf(ca, bare);
	if (!cert)
		return NULL;
	struct leaf *to = ca->leaves < VCR_CA_LEAVES ? &ca->leaf[ca->leaves++] : oldest;
	X509_free(to->cert);
	strcpy(to->name, bare);
	to->cert = cert;
	to->used = ++ca->clock;
	return cert;
}

int vcr_ca_use(struct vcr_ca *ca, SSL *ssl, const char *name)
{
	char bare[NAME_SPACE];
	if (!vcr_ca_covers(ca, name) || !bare_name(name, bare))
		return VCR_EINVAL;
	X509 *cert = leaf_of(ca, bare);
	if (cert && SSL_use_certificate(ssl, cert) == 1 && SSL_use_PrivateKey(ssl, ca->leaf_key) == 1)
		return 0;
	ERR_clear_error();
	return VCR_ENOMEM;
}

/* ---- Files ---- */

static int bio_text(BIO *b, struct vcr_buf *out)
{
	char *p;
	long n = b ? BIO_get_mem_data(b, &p) : 0;
	int err = n > 0 ? vcr_buf_add(out, p, (size_t)n) : VCR_ENOMEM;
	BIO_free(b);
	return err;
}

static int cert_pem(X509 *cert, struct vcr_buf *out)
{
	BIO *b = BIO_new(BIO_s_mem());
	return b && PEM_write_bio_X509(b, cert) ? bio_text(b, out) : (BIO_free(b), VCR_ENOMEM);
}

int vcr_ca_leaf_pem(struct vcr_ca *ca, const char *name, struct vcr_buf *out)
{
	char bare[NAME_SPACE];
	if (!vcr_ca_covers(ca, name) || !bare_name(name, bare))
		return VCR_EINVAL;
	X509 *cert = leaf_of(ca, bare);
	return cert ? cert_pem(cert, out) : VCR_ENOMEM;
}

/* Replace PATH by text through a new file beside it. */
static int write_file(const char *path, const char *text, size_t n, mode_t mode, struct vcr_error *e)
{
	VCR_AUTO_BUF temp = VCR_BUF_INIT;
	vcr_buf_printf(&temp, "%s.%d.tmp", path, (int)getpid());
	unlink(temp.data);
	int fd = open(temp.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return vcr_error_sys(e, errno, "%s", temp.data);
	int err = 0;
	for (size_t done = 0; done < n && !err;) {
		ssize_t k = write(fd, text + done, n - done);
		if (k < 0 && errno != EINTR)
			err = vcr_error_sys(e, errno, "%s", temp.data);
		done += k > 0 ? (size_t)k : 0;
	}
	if (close(fd) && !err)
		err = vcr_error_sys(e, errno, "%s", temp.data);
	if (!err && rename(temp.data, path))
		err = vcr_error_sys(e, errno, "%s", path);
	if (err)
		unlink(temp.data);
	return err;
}

static int save_ca(struct vcr_ca *ca, const char *key_path, struct vcr_error *e)
{
	VCR_AUTO_BUF key = VCR_BUF_INIT, cert = VCR_BUF_INIT;
	BIO *b = BIO_new(BIO_s_mem());
	if (!b || !PEM_write_bio_PrivateKey(b, ca->key, NULL, NULL, 0, NULL, NULL) || bio_text(b, &key) || cert_pem(ca->cert, &cert))
		return failed(e, "the authority cannot be written");
	int err = write_file(key_path, key.data, key.len, 0600, e);
	explicit_bzero(key.data, key.len);
	return err ? err : write_file(ca->path, cert.data, cert.len, 0644, e);
}

/* Append a file's text. 1: there is none. */
static int read_file(const char *path, struct vcr_buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err = 0;
	struct stat st;
	if (fd < 0)
		return 1;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > BUNDLE_MAX)
		err = 1;
	for (ssize_t n = 1; !err && n;) {
		char *to = vcr_buf_reserve(out, 64 << 10);
		n = to ? read(fd, to, 64 << 10) : -1;
		if (n > 0)
			vcr_buf_added(out, (size_t)n);
		else if (n < 0 && (!to || errno != EINTR))
			err = 1;
	}
	close(fd);
	return err;
}

/* A permitted subtree of the CA's certificate that is what we would write for `pattern`. */
static bool permits(NAME_CONSTRAINTS *nc, const char *pattern)
{
	unsigned char ip[16];
	const char *tree = subtree_of(pattern);
	int n = address_of(pattern, ip);
	for (int i = 0; nc && i < sk_GENERAL_SUBTREE_num(nc->permittedSubtrees); i++) {
		const GENERAL_NAME *g = sk_GENERAL_SUBTREE_value(nc->permittedSubtrees, i)->base;
		const ASN1_STRING *s = g->type == GEN_DNS ? g->d.dNSName : g->type == GEN_IPADD ? g->d.iPAddress : NULL;
		const unsigned char *p = s ? ASN1_STRING_get0_data(s) : NULL;
		size_t len = s ? (size_t)ASN1_STRING_length(s) : 0;
		if (g->type == GEN_IPADD && n && len == 2 * (size_t)n && !memcmp(p, ip, (size_t)n))
			return true;
		if (g->type == GEN_DNS && !n && tree && len == strlen(tree) && !memcmp(p, tree, len))
			return true;
	}
	return (!n && !tree) || (n && is_loopback(pattern));
}

static int take_over(struct vcr_ca *ca, const struct vcr_buf *key, const struct vcr_buf *cert, struct vcr_error *e)
{
	BIO *k = BIO_new_mem_buf(key->data, (int)key->len), *c = BIO_new_mem_buf(cert->data, (int)cert->len);
	ca->key = k ? PEM_read_bio_PrivateKey(k, NULL, NULL, NULL) : NULL;
	ca->cert = c ? PEM_read_bio_X509(c, NULL, NULL, NULL) : NULL;
	BIO_free(k);
	BIO_free(c);
	ERR_clear_error();
	if (!ca->key || !ca->cert || X509_check_private_key(ca->cert, ca->key) != 1)
		return vcr_error_set(e, VCR_ECORRUPT, "%s and its key do not belong together", ca->path);
	NAME_CONSTRAINTS *nc = X509_get_ext_d2i(ca->cert, NID_name_constraints, NULL, NULL);
	bool all = true;
	for (char **p = ca->pattern; *p && all; p++)
		all = permits(nc, *p);
	NAME_CONSTRAINTS_free(nc);
	/* A leaf must not outlive its issuer. */
	struct tm from, to;
	if (ASN1_TIME_to_tm(X509_get0_notBefore(ca->cert), &from) && ASN1_TIME_to_tm(X509_get0_notAfter(ca->cert), &to)) {
		ca->not_before = timegm(&from);
		ca->not_after = timegm(&to);
	}
	return all ? 0 : vcr_error_set(e, VCR_ECORRUPT, "%s does not permit all model hosts that are configured now", ca->path);
}

static int open_files(struct vcr_ca *ca, struct vcr_error *e)
{
	VCR_AUTO_BUF key_path = VCR_BUF_INIT, key = VCR_BUF_INIT, cert = VCR_BUF_INIT;
	vcr_buf_printf(&key_path, "%s.ca.key", ca->base);
	if (!read_file(key_path.data, &key) && !read_file(ca->path, &cert)) {
		int err = take_over(ca, &key, &cert, e);
		explicit_bzero(key.data, key.len);
		return err;
	}
	int err = make_ca(ca, e);
	return err ? err : save_ca(ca, key_path.data, e);
}

static int copy_patterns(struct vcr_ca *ca, const char *const *hosts)
{
	size_t n = 0, k = 0;
	while (hosts && hosts[n])
		n++;
	ca->pattern = calloc(n + 1, sizeof *ca->pattern);
	ca->port = calloc(n + 1, sizeof *ca->port);
	if (!ca->pattern || !ca->port)
		return VCR_ENOMEM;
	for (size_t i = 0; i < n; i++) {
		char bare[NAME_SPACE];
		if (!bare_name(hosts[i], bare))
			continue;
		bool again = false;
		int port = port_behind(hosts[i]);
		for (size_t m = 0; m < k; m++)
			again |= !strcmp(ca->pattern[m], bare) && ca->port[m] == port;
		if (again)
			continue;
		ca->port[k] = port;
		if (!(ca->pattern[k++] = strdup(bare)))
			return VCR_ENOMEM;
	}
	return 0;
}

int vcr_ca_open(struct vcr_ca **out, const struct vcr_ca_options *o, struct vcr_error *e)
{
	struct vcr_ca *ca = calloc(1, sizeof *ca);
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	if (!ca)
		return vcr_error_set(e, VCR_ENOMEM, "certificates: out of memory");
	vcr_buf_printf(&path, "%s.ca.pem", o->base);
	ca->base = strdup(o->base);
	ca->path = vcr_buf_take(&path, NULL);
	ca->not_before = o->not_before ? o->not_before : (int64_t)time(NULL) - day;
	ca->not_after = o->not_after ? o->not_after : (int64_t)time(NULL) + 30 * day;
	int err = copy_patterns(ca, o->hosts);
	if (err || !ca->base || !ca->path)
		err = vcr_error_set(e, VCR_ENOMEM, "certificates: out of memory");
	if (!err && !(ca->leaf_key = new_key()))
		err = failed(e, "no key can be made");
	if (!err)
		err = open_files(ca, e);
	if (err)
		vcr_ca_free(ca);
	else
		*out = ca;
	return err;
}

void vcr_ca_free(struct vcr_ca *ca)
{
	if (!ca)
		return;
	for (size_t i = 0; i < ca->leaves; i++)
		X509_free(ca->leaf[i].cert);
	for (char **p = ca->pattern; p && *p; p++)
		free(*p);
	free(ca->pattern);
	free(ca->port);
	EVP_PKEY_free(ca->key);
	EVP_PKEY_free(ca->leaf_key);
	X509_free(ca->cert);
	free(ca->base);
	free(ca->path);
	free(ca);
}

void vcr_ca_remove(const struct vcr_ca *ca)
{
	static const char *const endings[] = { "ca.key", "ca.pem", "bundle.pem", "extra.pem" };
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		vcr_buf_printf(&path, "%s.%s", ca->base, endings[i]);
		unlink(path.data);
	}
}

const char *vcr_ca_path(const struct vcr_ca *ca)
{
	return ca->path;
}

/* ---- The merged bundle ---- */

static int add_roots(struct vcr_buf *text, const char *path, int *unread)
{
	size_t before = text->len;
	if (read_file(path, text)) {
		vcr_buf_cut(text, before);
		++*unread;
		return 1;
	}
	if (text->len > before && text->data[text->len - 1] != '\n')
		vcr_buf_putc(text, '\n');
	return 0;
}

static void add_system_roots(struct vcr_buf *text, int *unread)
{
	static const char *const places[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem" };
	const char *set = getenv("SSL_CERT_FILE");
	if (set && *set && !add_roots(text, set, unread))
		return;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		if (!access(places[i], R_OK) && !add_roots(text, places[i], unread))
			return;
}

int vcr_ca_bundle(const struct vcr_ca *ca, const char *name, bool system, const char *const *extra, struct vcr_buf *path, int *unread, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, file = VCR_BUF_INIT;
	int bad = 0;
	vcr_buf_printf(&file, "%s.%s.pem", ca->base, name);
	if (system)
		add_system_roots(&text, &bad);
	for (; extra && *extra; extra++)
		if (**extra)
			add_roots(&text, *extra, &bad);
	if (cert_pem(ca->cert, &text) || text.err)
		return vcr_error_set(e, VCR_ENOMEM, "certificates: out of memory");
	int err = write_file(file.data, text.data, text.len, 0644, e);
	if (!err && unread)
		*unread = bad;
	return err ? err : vcr_buf_add(path, file.data, file.len);
}

int vcr_ca_bundles(const struct vcr_ca *ca, struct vcr_buf *bundle, struct vcr_buf *extra, struct vcr_error *e)
{
	static const char *const names[] = { "REQUESTS_CA_BUNDLE", "CODEX_CA_CERTIFICATE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "DENO_CERT" };
	enum { NAMES = sizeof names / sizeof *names };
	const char *users[NAMES + 1] = { NULL }, *const node[] = { getenv("NODE_EXTRA_CA_CERTS"), NULL }, *roots = getenv("SSL_CERT_FILE");
	size_t n = 0;
	for (size_t i = 0; i < NAMES; i++) {
		const char *file = getenv(names[i]);
		bool again = file && roots && !strcmp(file, roots);
		for (size_t k = 0; file && k < n; k++)
			again |= !strcmp(users[k], file);
		if (file && *file && !again)
			users[n++] = file;
	}
	int err = vcr_ca_bundle(ca, "bundle", true, users, bundle, NULL, e);
	return err ? err : vcr_ca_bundle(ca, "extra", false, node, extra, NULL, e);
}
