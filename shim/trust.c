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

/* ---- node and its kin ---- */

/* An array of our own for environ, since libc's cannot grow in place; used once, before main. */
bool vcr_trust_environment(void)
{
	static char text[sizeof "NODE_EXTRA_CA_CERTS=" + VCR_LEAD_PATH];
	char path[VCR_LEAD_PATH];
	struct vcr_lead_block *g = vcr_lead();
	if (!g || !vcr_self.extra_ca)
		return true;
	if (!path_of(g, g->extra, path))
		return false;
	size_t n = vcr_env_count(environ);
	char **list = raw_mmap((n + 2) * sizeof *list, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1), **to = list;
	if (raw_failed(list))
		return false;
	vcr_format(vcr_format(text, "NODE_EXTRA_CA_CERTS="), path);
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], text, sizeof "NODE_EXTRA_CA_CERTS"))
			*to++ = environ[i];
	*to++ = text;
	*to = NULL;
	vcr_store(&environ, list);
	return true;
}
