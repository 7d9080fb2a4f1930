#include "ca.h"
#include "tap.h"
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], base[100];

static void make_dir(void)
{
	strcpy(dir, "/tmp/vcr-test-ca-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(base, sizeof base, "%s/run", dir);
	unsetenv("SSL_CERT_FILE");
}

static void remove_dir(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static const char *const hosts[] = { "api.openai.com", "*.openai.azure.com", "*-aiplatform.googleapis.com", "models.example.org:8443", "192.0.2.7:9000", "[2001:db8::1]:9",
	NULL };

static struct vcr_ca *open_ca(const char *const *names)
{
	struct vcr_ca *ca;
	struct vcr_error e = { 0 };
	struct vcr_ca_options o = { .base = base, .hosts = names };
	ck_assert_msg(!vcr_ca_open(&ca, &o, &e), "%s", e.what);
	return ca;
}

static void write_text(const char *name, const char *text, size_t n)
{
	char path[200];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	ck_assert_uint_eq(fwrite(text, 1, n, f), n);
	fclose(f);
}

/* openssl verify of the leaf under the strictest settings, for that name. */
static bool verifies(struct vcr_ca *ca, const char *name, const char *option)
{
	VCR_AUTO_BUF pem = VCR_BUF_INIT;
	char command[600];
	ck_assert_int_eq(vcr_ca_leaf_pem(ca, name, &pem), 0);
	write_text("leaf.pem", pem.data, pem.len);
	snprintf(command, sizeof command, "openssl verify -x509_strict -purpose sslserver %s '%s' -CAfile '%s' '%s/leaf.pem' >/dev/null 2>&1", option, name,
		vcr_ca_path(ca), dir);
	return system(command) == 0;
}

START_TEST(leaves_verify_by_the_strictest_rules_for_names_and_addresses)
{
	struct vcr_ca *ca = open_ca(hosts);
	ck_assert(verifies(ca, "api.openai.com", "-verify_hostname"));
	ck_assert(verifies(ca, "my.openai.azure.com", "-verify_hostname"));
	ck_assert(verifies(ca, "us-east1-aiplatform.googleapis.com", "-verify_hostname"));
	ck_assert(verifies(ca, "models.example.org", "-verify_hostname"));
	ck_assert(verifies(ca, "192.0.2.7", "-verify_ip"));
	ck_assert(verifies(ca, "127.0.0.1", "-verify_ip"));
	ck_assert(verifies(ca, "::1", "-verify_ip"));
	ck_assert(verifies(ca, "2001:db8::1", "-verify_ip"));
	vcr_ca_free(ca);
}
END_TEST

START_TEST(no_leaf_is_made_for_a_host_that_is_not_listed)
{
	struct vcr_ca *ca = open_ca(hosts);
	static const char *const strangers[] = { "openai.com", "evil-api.openai.com.example.net", "www.googleapis.com", "example.org", "192.0.2.8", "10.0.0.1", "", "*",
		"*.openai.azure.com", "api.openai.com/x", "a b", "api.openai.com,DNS:bank.example" };
	for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
		VCR_AUTO_BUF pem = VCR_BUF_INIT;
		ck_assert_msg(!vcr_ca_covers(ca, strangers[i]), "%s", strangers[i]);
		ck_assert_int_eq(vcr_ca_leaf_pem(ca, strangers[i], &pem), VCR_EINVAL);
	}
	ck_assert(vcr_ca_covers(ca, "API.OpenAI.com."));
	vcr_ca_free(ca);
}
END_TEST

/* Whoever got hold of the key could sign for more; clients refuse that because of the name constraints. */
START_TEST(a_stolen_authority_is_not_believed_beyond_its_hosts)
{
	struct vcr_ca *ca = open_ca(hosts);
	char command[900];
	static const char *const names[] = { "bank.example", "openai.com" };
	for (size_t i = 0; i < 2; i++) {
		snprintf(command, sizeof command,
			"cd '%s' && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out r.pem -subj /CN=x >/dev/null 2>&1 && "
			"printf 'subjectAltName=DNS:%s\\nauthorityKeyIdentifier=keyid\\nsubjectKeyIdentifier=hash\\n' >x.cnf && "
			"openssl x509 -req -in r.pem -CA run.ca.pem -CAkey run.ca.key -CAcreateserial -extfile x.cnf -days 2 -out l.pem >/dev/null 2>&1 && "
			"openssl verify -CAfile run.ca.pem l.pem 2>&1 | grep -q 'permitted subtree violation'", dir, names[i]);
		ck_assert_msg(system(command) == 0, "%s", names[i]);
	}
	vcr_ca_free(ca);
}
END_TEST

START_TEST(the_key_is_private_and_a_second_gate_goes_on_with_the_same_authority)
{
	struct vcr_ca *ca = open_ca(hosts);
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct stat st;
	vcr_buf_printf(&path, "%s.ca.key", base);
	ck_assert_int_eq(stat(path.data, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	struct vcr_ca *heir = open_ca(hosts);
	/* the first one's certificate vouches for the second one's leaves */
	ck_assert(verifies(heir, "api.openai.com", "-verify_hostname"));
	vcr_ca_free(ca);
	vcr_ca_remove(heir);
	vcr_ca_free(heir);
	ck_assert_int_eq(access(path.data, F_OK), -1);
}
END_TEST

START_TEST(files_that_do_not_fit_are_refused_not_replaced)
{
	struct vcr_ca *ca = open_ca(hosts);
	struct vcr_error e = { 0 };
	const char *const more[] = { "api.openai.com", "another.example", NULL };
	struct vcr_ca_options o = { .base = base, .hosts = more };
	vcr_ca_free(ca);
	ck_assert_int_eq(vcr_ca_open(&ca, &o, &e), VCR_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(e.what, "does not permit"));
	write_text("run.ca.key", "junk", 4);
	o.hosts = hosts;
	ck_assert_int_eq(vcr_ca_open(&ca, &o, &e), VCR_ECORRUPT);
}
END_TEST

START_TEST(the_bundle_holds_what_was_trusted_before_and_ours)
{
	struct vcr_ca *ca = open_ca(hosts);
	VCR_AUTO_BUF path = VCR_BUF_INIT, again = VCR_BUF_INIT;
	char users[100], also[100];
	snprintf(users, sizeof users, "%s/users.pem", dir);
	snprintf(also, sizeof also, "%s/also.pem", dir);
	write_text("users.pem", "# the user's\nUSERS", 18);
	write_text("also.pem", "ALSO\n", 5);
	setenv("SSL_CERT_FILE", users, 1);
	int unread = -1;
	const char *const extra[] = { also, "/nonexistent/x.pem", "", NULL };
	ck_assert_int_eq(vcr_ca_bundle(ca, "bundle", true, extra, &path, &unread, NULL), 0);
	ck_assert_int_eq(unread, 1);
	char text[20000] = "";
	FILE *f = fopen(path.data, "r");
	size_t n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	ck_assert_uint_gt(n, 0);
	ck_assert_ptr_nonnull(strstr(text, "USERS\nALSO\n-----BEGIN CERTIFICATE-----"));
	ck_assert_int_eq(vcr_ca_bundle(ca, "bundle", true, NULL, &again, NULL, NULL), 0);
	ck_assert_str_eq(path.data, again.data);
	vcr_ca_free(ca);
}
END_TEST

/* What stands in the file before the first of our certificates. */
static const char *users_part(const struct vcr_buf *path)
{
	static char text[20000];
	FILE *f = fopen(path->data, "r");
	text[f ? fread(text, 1, sizeof text - 1, f) : 0] = 0;
	if (f)
		fclose(f);
	char *ours = strstr(text, "-----BEGIN CERTIFICATE-----");
	ck_assert_ptr_nonnull(ours);
	*ours = 0;
	return text;
}

START_TEST(what_the_users_variables_name_is_in_the_bundles_once)
{
	static const struct { const char *variable, *file, *text; } set[] = { { "SSL_CERT_FILE", "a.pem", "A\n" }, { "CODEX_CA_CERTIFICATE", "b.pem", "B\n" },
		{ "CURL_CA_BUNDLE", "a.pem", "A\n" }, { "DENO_CERT", "b.pem", "B\n" }, { "AWS_CA_BUNDLE", "c.pem", "C\n" }, { "NODE_EXTRA_CA_CERTS", "n.pem", "N\n" } };
	struct vcr_ca *ca = open_ca(hosts);
	VCR_AUTO_BUF bundle = VCR_BUF_INIT, extra = VCR_BUF_INIT;
	unsetenv("REQUESTS_CA_BUNDLE");
	unsetenv("GIT_SSL_CAINFO");
	for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
		char path[100];
		snprintf(path, sizeof path, "%s/%s", dir, set[i].file);
		write_text(set[i].file, set[i].text, 2);
		setenv(set[i].variable, path, 1);
	}
	ck_assert_int_eq(vcr_ca_bundles(ca, &bundle, &extra, NULL), 0);
	ck_assert_str_eq(users_part(&bundle), "A\nB\nC\n");
	ck_assert_str_eq(users_part(&extra), "N\n");
	vcr_ca_free(ca);
}
END_TEST

START_TEST(a_flood_of_names_keeps_a_bounded_number_of_leaves)
{
	struct vcr_ca *ca = open_ca(hosts);
	VCR_AUTO_BUF first = VCR_BUF_INIT, again = VCR_BUF_INIT, late = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_ca_leaf_pem(ca, "a0.openai.azure.com", &first), 0);
	for (int i = 1; i < VCR_CA_LEAVES; i++) {
		VCR_AUTO_BUF pem = VCR_BUF_INIT;
		char name[64];
		snprintf(name, sizeof name, "a%d.openai.azure.com", i);
		ck_assert_int_eq(vcr_ca_leaf_pem(ca, name, &pem), 0);
	}
	ck_assert_int_eq(vcr_ca_leaf_pem(ca, "a0.openai.azure.com", &again), 0);
	ck_assert_str_eq(first.data, again.data); /* still the same certificate */
	VCR_AUTO_BUF pem = VCR_BUF_INIT, one = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_ca_leaf_pem(ca, "one-more.openai.azure.com", &one), 0);
	vcr_buf_reset(&again);
	ck_assert_int_eq(vcr_ca_leaf_pem(ca, "a0.openai.azure.com", &again), 0);
	ck_assert_str_eq(first.data, again.data); /* a1 went: it was not used for longest */
	vcr_ca_free(ca);
}
END_TEST

static TCase *ca(void)
{
	TCase *tc = tcase_create("ca");
	tcase_add_checked_fixture(tc, make_dir, remove_dir);
	tcase_add_test(tc, leaves_verify_by_the_strictest_rules_for_names_and_addresses);
	tcase_add_test(tc, no_leaf_is_made_for_a_host_that_is_not_listed);
	tcase_add_test(tc, a_stolen_authority_is_not_believed_beyond_its_hosts);
	tcase_add_test(tc, the_key_is_private_and_a_second_gate_goes_on_with_the_same_authority);
	tcase_add_test(tc, files_that_do_not_fit_are_refused_not_replaced);
	tcase_add_test(tc, the_bundle_holds_what_was_trusted_before_and_ours);
	tcase_add_test(tc, what_the_users_variables_name_is_in_the_bundles_once);
	tcase_add_test(tc, a_flood_of_names_keeps_a_bounded_number_of_leaves);
	return tc;
}

TAP_MAIN("ca", ca)
