#include "tap.h"
#include "../../shim/shim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };
static struct vcr_lead_block block;

static const struct vcr_lead_block *a_block(void)
{
	memset(&block, 0, sizeof block);
	block.port = 4711;
	strcpy(block.token, "0123456789abcdef");
	strcpy(block.bundle, "/run/bundle.pem");
	strcpy(block.extra, "/run/extra.pem");
	memcpy(block.hosts, "api.openai.com\0*.example.com\0", 29);
	return &block;
}

static const char *get(char **env, const char *name)
{
	size_t n = strlen(name);
	for (; *env; env++)
		if (!strncmp(*env, name, n) && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

/* The program's own memory: VCR_LENT is cut where it stands. */
static char *own(const char *s)
{
	static char memory[1 << 16];
	static size_t used;
	size_t n = strlen(s) + 1;
	ck_assert_uint_le(n, sizeof memory - used);
	memcpy(memory + used, s, n);
	used += n;
	return memory + used - n;
}

/* Lends to a copy of before; checks that the promised sizes are kept. */
static void lend(const struct vcr_lend *l, char *const before[], char **env, char **text)
{
	size_t n = 0, size = vcr_lend_text_size(l, before);
	for (; before[n]; n++)
		env[n] = own(before[n]);
	env[n] = NULL;
	for (size_t i = n + VCR_LEND_ROOM + 1; i < MOST; i++)
		env[i] = (char *)"canary";
	*text = malloc(size + 8);
	memset(*text, '#', size + 8);
	vcr_lend(l, env, *text);
	for (size_t i = 0; i < 8; i++)
		ck_assert_int_eq((*text)[size + i], '#');
	for (size_t i = n + VCR_LEND_ROOM + 1; i < MOST; i++)
		ck_assert_str_eq(env[i], "canary");
}

START_TEST(terms_name_the_gate_its_token_and_the_process)
{
	struct vcr_lend l;
	ck_assert(vcr_lend_terms(a_block(), 4194303, &l));
	ck_assert_str_eq(l.proxy, "http://vcr-4194303:0123456789abcdef@127.0.0.1:4711");
	ck_assert_str_eq(l.around, "localhost,127.0.0.1,::1");
	ck_assert_str_eq(l.bundle, "/run/bundle.pem");
	ck_assert_str_eq(l.extra, "/run/extra.pem");
	ck_assert(vcr_lend_terms(a_block(), 0, &l));
	ck_assert_str_eq(l.proxy, "http://vcr:0123456789abcdef@127.0.0.1:4711");
	static const char *const here[] = { "localhost:11434", "localhost", "127.0.0.1:80", "[::1]:8000" };
	for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
		a_block();
		strcpy(block.hosts + 15, here[i]);
		ck_assert(vcr_lend_terms(&block, 0, &l));
		ck_assert_str_eq(l.around, "");
	}
}
END_TEST

START_TEST(a_block_that_holds_nonsense_lends_nothing)
{
	struct vcr_lend l;
	a_block();
	strcpy(block.token, "a@evil.example:80/");
	ck_assert(!vcr_lend_terms(&block, 0, &l));
	a_block();
	strcpy(block.bundle, "relative.pem");
	ck_assert(!vcr_lend_terms(&block, 0, &l));
	a_block();
	memset(block.bundle, '/', sizeof block.bundle);
	memset(block.token, 'a', sizeof block.token);
	memset(block.extra, '\n', sizeof block.extra);
	memset(block.hosts, 'a', sizeof block.hosts);
	ck_assert(vcr_lend_terms(&block, INT32_MAX, &l)); /* long, but within its bounds */
	ck_assert_uint_eq(strlen(l.bundle), VCR_LEAD_PATH - 1);
	ck_assert_str_eq(l.extra, l.bundle);
	a_block();
	block.port = 65536;
	ck_assert(!vcr_lend_terms(&block, 0, &l));
	memset(&block, 0, sizeof block);
	ck_assert(!vcr_lend_terms(&block, 0, &l));
}
END_TEST

START_TEST(what_is_lent_comes_back_in_its_place_byte_for_byte)
{
	char *const before[] = { (char *)"A=1", (char *)"https_proxy=", (char *)"NO_PROXY=a\n3:b\n", (char *)"NOT_A_PAIR", (char *)"=", (char *)"HTTPS_PROXY=one",
		(char *)"HTTPS_PROXY=two", (char *)"HTTPS_PROXY", (char *)"Z=", NULL };
	char *env[MOST], *text;
	struct vcr_lend l;
	ck_assert(vcr_lend_terms(a_block(), 1, &l));
	lend(&l, before, env, &text);
	ck_assert_str_eq(get(env, "HTTPS_PROXY"), l.proxy);
	ck_assert_str_eq(get(env, "https_proxy"), l.proxy);
	ck_assert_str_eq(get(env, "SSL_CERT_FILE"), l.bundle);
	ck_assert_str_eq(get(env, "NODE_EXTRA_CA_CERTS"), l.extra);
	ck_assert_ptr_nonnull(get(env, "VCR_LENT"));
	vcr_lend_back(env);
	for (size_t i = 0; i <= sizeof before / sizeof *before - 1; i++)
		if (before[i])
			ck_assert_str_eq(env[i], before[i]);
		else
			ck_assert_ptr_null(env[i]);
	free(text);
}
END_TEST

START_TEST(what_is_lent_already_is_not_lent_again)
{
	char *const before[] = { (char *)"VCR_LENT=x", (char *)"HTTPS_PROXY=one", NULL };
	char *env[MOST], *text;
	struct vcr_lend l;
	ck_assert(vcr_lend_terms(a_block(), 0, &l));
	lend(&l, before, env, &text);
	ck_assert_str_eq(env[0], "VCR_LENT=x");
	ck_assert_str_eq(env[1], "HTTPS_PROXY=one");
	ck_assert_ptr_null(env[2]);
	free(text);
}
END_TEST

START_TEST(a_list_that_nobody_lent_is_not_believed)
{
	static const char *const lists[] = { "", "1", "5:A=one\n0:\n", "4:PATH=\n0:\n", "13:HTTPS_PROXY=1\n6:PATH=x\n", "13:HTTPS_PROXY=1\n99:PATH=x\n", "13:HTTPS_PROXY=1", "-1:\n",
		"18446744073709551617:HTTPS_PROXY=1\n0:\n", "13:HTTPS_PROXY=1\n0\n" };
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		char text[100], *env[] = { own("PATH=/bin"), text, own("HTTPS_PROXY=1"), own("A=one"), NULL };
		snprintf(text, sizeof text, "VCR_LENT=%s", lists[i]);
		vcr_lend_back(env);
		ck_assert_str_eq(env[0], "PATH=/bin");
		ck_assert_str_eq(env[1], "HTTPS_PROXY=1");
		ck_assert_str_eq(env[2], "A=one");
		ck_assert_ptr_null(env[3]);
	}
	char *none[] = { NULL };
	vcr_lend_back(none);
}
END_TEST

static TCase *tc_lend(void)
{
	TCase *tc = tcase_create("lend");
	tcase_add_test(tc, terms_name_the_gate_its_token_and_the_process);
	tcase_add_test(tc, a_block_that_holds_nonsense_lends_nothing);
	tcase_add_test(tc, what_is_lent_comes_back_in_its_place_byte_for_byte);
	tcase_add_test(tc, what_is_lent_already_is_not_lent_again);
	tcase_add_test(tc, a_list_that_nobody_lent_is_not_believed);
	return tc;
}

TAP_MAIN("lend", tc_lend)
