#include "tap.h"
#include "../../shim/hello.h"
#include <stdio.h>
#include <string.h>

struct hello { unsigned char p[600]; size_t n; };

static void put(struct hello *h, size_t value, int size)
{
	for (int i = size - 1; i >= 0; i--)
		h->p[h->n++] = (unsigned char)(value >> 8 * i);
}

static void put_text(struct hello *h, const char *s)
{
	memcpy(h->p + h->n, s, strlen(s));
	h->n += strlen(s);
}

/* Protocols as "h2 http/1.1". */
static struct hello make(const char *name, const char *protocols)
{
	struct hello h = { .n = 0 }, e = { .n = 0 }, a = { .n = 0 };
	char words[100];
	snprintf(words, sizeof words, "%s", protocols);
	for (char *save, *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		put(&a, strlen(w), 1);
		put_text(&a, w);
	}
	put(&e, 0x2b, 2); /* supported_versions, of no interest */
	put(&e, 3, 2);
	put(&e, 0x020304, 3);
	if (*name) {
		put(&e, 0, 2);
		put(&e, strlen(name) + 5, 2);
		put(&e, strlen(name) + 3, 2);
		put(&e, 0, 1);
		put(&e, strlen(name), 2);
		put_text(&e, name);
	}
	if (a.n) {
		put(&e, 16, 2);
		put(&e, a.n + 2, 2);
		put(&e, a.n, 2);
		memcpy(e.p + e.n, a.p, a.n);
		e.n += a.n;
	}
	size_t body = 2 + 32 + 1 + 32 + 2 + 4 + 2 + 2 + e.n;
	put(&h, 0x160301, 3);
	put(&h, body + 4, 2);
	put(&h, 1, 1);
	put(&h, body, 3);
	put(&h, 0x0303, 2);
	h.n += 32;
	put(&h, 32, 1);
	h.n += 32;
	put(&h, 4, 2);
	put(&h, 0x13011302, 4);
	put(&h, 0x0100, 2);
	put(&h, e.n, 2);
	memcpy(h.p + h.n, e.p, e.n);
	h.n += e.n;
	return h;
}

/* From memory of just that size. */
static bool look(const unsigned char *p, size_t n, char name[VCR_HELLO_NAME], bool *only_h2)
{
	unsigned char *exact = malloc(n ? n : 1);
	ck_assert_ptr_nonnull(exact);
	memcpy(exact, p, n);
	bool found = vcr_hello_read(exact, n, name, only_h2);
	free(exact);
	return found;
}

START_TEST(a_hello_names_its_server_in_lower_case)
{
	char name[VCR_HELLO_NAME];
	bool h2;
	struct hello h = make("API.OpenAI.com", "");
	ck_assert(look(h.p, h.n, name, &h2));
	ck_assert_str_eq(name, "api.openai.com");
	ck_assert(!h2);
	h = make("", "h2");
	ck_assert(!look(h.p, h.n, name, &h2));
}
END_TEST

START_TEST(it_offers_http_2_alone_or_not)
{
	char name[VCR_HELLO_NAME];
	bool h2;
	struct hello h = make("a.example", "h2");
	ck_assert(look(h.p, h.n, name, &h2) && h2);
	h = make("a.example", "h2 http/1.1");
	ck_assert(look(h.p, h.n, name, &h2) && !h2);
	h = make("a.example", "http/1.1");
	ck_assert(look(h.p, h.n, name, &h2) && !h2);
}
END_TEST

START_TEST(a_name_that_is_too_long_or_ends_in_its_midst_is_none)
{
	char name[VCR_HELLO_NAME], text[VCR_HELLO_NAME + 1] = "";
	bool h2;
	memset(text, 'a', VCR_HELLO_NAME - 1);
	struct hello h = make(text, "");
	ck_assert(look(h.p, h.n, name, &h2));
	ck_assert_str_eq(name, text);
	text[VCR_HELLO_NAME - 1] = 'a';
	h = make(text, "");
	ck_assert(!look(h.p, h.n, name, &h2));
	h = make("api.openai.com.example", "");
	memset(memchr(h.p, 'm', h.n), 0, 1);
	ck_assert(!look(h.p, h.n, name, &h2));
}
END_TEST

START_TEST(whatever_the_bytes_are_it_reads_inside_them)
{
	char name[VCR_HELLO_NAME];
	bool h2;
	struct hello whole = make("api.openai.com", "h2 http/1.1");
	for (size_t n = 0; n < whole.n; n++)
		if (look(whole.p, n, name, &h2))
			ck_assert_str_eq(name, "api.openai.com");
	for (size_t i = 0; i < whole.n; i++)
		for (int bit = 0; bit < 8; bit++) {
			struct hello h = whole;
			h.p[i] ^= (unsigned char)(1 << bit);
			if (look(h.p, h.n, name, &h2))
				ck_assert_uint_lt(strnlen(name, sizeof name), sizeof name);
		}
	ck_assert(!look((const unsigned char *)"POST /v1/messages HTTP/1.1\r\n\r\n", 30, name, &h2));
}
END_TEST

static TCase *tc_hello(void)
{
	TCase *tc = tcase_create("hello");
	tcase_add_test(tc, a_hello_names_its_server_in_lower_case);
	tcase_add_test(tc, it_offers_http_2_alone_or_not);
	tcase_add_test(tc, a_name_that_is_too_long_or_ends_in_its_midst_is_none);
	tcase_add_test(tc, whatever_the_bytes_are_it_reads_inside_them);
	return tc;
}

TAP_MAIN("hello", tc_hello)
