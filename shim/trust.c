/* trust.c — programs that are led trust the gate's certificate, by themselves and for the run only.
 *
 * OpenSSL in a shared library: each context's store gets it as soon as there is one, beside whatever roots the program loads into it before or
 * after. node, Bun and what is built of them bring a TLS of their own that reads NODE_EXTRA_CA_CERTS, which adds to their roots: libc hands main
 * the environment that `environ` points to, so the variable is put there before. Programs without a dynamic linker see neither: they are
 * the exec hook's business (exec.c), by the variables that FACTS name. */
#include "shim.h"

typedef int load_call(X509_STORE *store, const char *file);
typedef int load_call_11(X509_STORE *store, const char *file, const char *dir);

/* ---- OpenSSL ---- */

/* The block's path, checked and copied; false if there is no gate that runs. */
static bool path_of(struct vcr_lead_block *g, const char text[VCR_LEAD_PATH], char out[VCR_LEAD_PATH])
{
	if (!g || !vcr_lead_open(g))
		return false;
	memcpy(out, text, VCR_LEAD_PATH);
	out[VCR_LEAD_PATH - 1] = 0;
	return *out == '/';
}

/* Errors of ours do not stay in the queue that the program looks into. */
static void add_to(X509_STORE *store, void *original)
{
	char ca[VCR_LEAD_PATH];
	struct vcr_lead_block *g = vcr_lead();
	if (vcr_likely(!g) || !store || !vcr_ready() || vcr_self.sandboxed || !path_of(g, g->ca, ca))
		return;
	int saved = errno;
	load_call *load = (load_call *)vcr_tls_beside(original, "X509_STORE_load_file");
	load_call_11 *load_11 = load ? NULL : (load_call_11 *)vcr_tls_beside(original, "X509_STORE_load_locations");
	int (*mark)(void) = (int (*)(void))vcr_tls_beside(original, "ERR_set_mark");
	int (*back)(void) = (int (*)(void))vcr_tls_beside(original, "ERR_pop_to_mark");
	if (mark && back && (load || load_11)) {
		mark();
		if (load)
			load(store, ca);
		else
			load_11(store, ca, NULL);
		back();
	}
	errno = saved;
}

static SSL_CTX *made(SSL_CTX *c, void *original, bool inner)
{
	if (c && !inner) {
		vcr_tap_openssl();
		vcr_gate_wanted();
	}
	X509_STORE *(*store_of)(const SSL_CTX *) = !c || inner || !vcr_lead() ? NULL : (X509_STORE *(*)(const SSL_CTX *))vcr_tls_beside(original, "SSL_CTX_get_cert_store");
	if (store_of)
		add_to(store_of(c), original);
	return c;
}

SSL_CTX *SSL_CTX_new(const SSL_METHOD *m)
{
	bool inner;
	__typeof__(&SSL_CTX_new) real = (__typeof__(&SSL_CTX_new))vcr_tls_original(VCR_HOOK_SSL_CTX_new, "SSL_CTX_new", __builtin_return_address(0), &inner);
	return real ? made(real(m), (void *)real, inner) : NULL;
}

SSL_CTX *SSL_CTX_new_ex(OSSL_LIB_CTX *lib, const char *properties, const SSL_METHOD *m)
{
	bool inner;
	__typeof__(&SSL_CTX_new_ex) real = (__typeof__(&SSL_CTX_new_ex))vcr_tls_original(VCR_HOOK_SSL_CTX_new_ex, "SSL_CTX_new_ex", __builtin_return_address(0), &inner);
	return real ? made(real(lib, properties, m), (void *)real, inner) : NULL;
}

void SSL_CTX_set_cert_store(SSL_CTX *c, X509_STORE *store)
{
	bool inner;
	__typeof__(&SSL_CTX_set_cert_store) real =
		(__typeof__(&SSL_CTX_set_cert_store))vcr_tls_original(VCR_HOOK_SSL_CTX_set_cert_store, "SSL_CTX_set_cert_store", __builtin_return_address(0), &inner);
	if (real)
		real(c, store);
	if (real && !inner)
		add_to(store, (void *)real);
}

void SSL_CTX_set1_cert_store(SSL_CTX *c, X509_STORE *store)
{
	bool inner;
	__typeof__(&SSL_CTX_set1_cert_store) real =
		(__typeof__(&SSL_CTX_set1_cert_store))vcr_tls_original(VCR_HOOK_SSL_CTX_set1_cert_store, "SSL_CTX_set1_cert_store", __builtin_return_address(0), &inner);
	if (real)
		real(c, store);
	if (real && !inner)
		add_to(store, (void *)real);
}

/* ---- Programs that bring a TLS of their own ---- */

/* NODE_EXTRA_CA_CERTS adds to what node and Bun bring. A Python whose OpenSSL is linked in takes one file instead of the system's: the bundle, which has the
 * system's, the user's and ours (SSL_CERT_FILE: OpenSSL itself, httpx and aiohttp; the others: requests, botocore, curl). */
static const char node_variable[][24] = { "NODE_EXTRA_CA_CERTS" },
	python_variable[][24] = { "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "CURL_CA_BUNDLE" };
enum { MOST_VARIABLES = 4 };
_Static_assert(sizeof node_variable <= sizeof python_variable && sizeof python_variable == MOST_VARIABLES * sizeof *python_variable, "room for all");

/* An array of our own for environ, since libc's cannot grow in place; used once, before main. */
static bool put(const char (*name)[24], size_t names, const char *path)
{
	static char text[MOST_VARIABLES][sizeof *node_variable + 1 + VCR_LEAD_PATH];
	size_t n = vcr_env_count(environ);
	char **list = raw_mmap((n + names + 1) * sizeof *list, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1), **to = list;
	if (raw_failed(list))
		return false;
	for (size_t i = 0, k; i < n; i++) {
		for (k = 0; k < names && !vcr_env_is(environ[i], name[k]); k++)
			;
		if (k == names)
			*to++ = environ[i];
	}
	for (size_t k = 0; k < names; k++) {
		vcr_format(vcr_format(vcr_format(text[k], name[k]), "="), path);
		*to++ = text[k];
	}
	*to = NULL;
	vcr_store(&environ, list);
	return true;
}

bool vcr_trust_environment(void)
{
	char path[VCR_LEAD_PATH];
	struct vcr_lead_block *g = vcr_lead();
	if (!g || (!vcr_self.extra_ca && !vcr_self.bundle_ca))
		return true;
	if (!path_of(g, vcr_self.extra_ca ? g->extra : g->bundle, path))
		return false;
	return vcr_self.extra_ca ? put(node_variable, sizeof node_variable / sizeof *node_variable, path) : put(python_variable, MOST_VARIABLES, path);
}
