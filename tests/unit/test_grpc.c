#include "grpc.h"
#include "grpc-plain.h"
#include "tap.h"
#include <stdlib.h>
#include <string.h>

START_TEST(what_is_grpc_is_known_by_its_type_and_what_only_asks_by_its_method)
{
	static const char *const yes[] = { "application/grpc", "application/grpc+proto", "Application/gRPC; charset=utf-8", "application/grpc-web+proto" }, *const no[] = { NULL, "", "application/json", "application/grpcx" };
	for (size_t i = 0; i < 4; i++) {
		ck_assert(vcr_grpc_is(yes[i]));
		ck_assert(!vcr_grpc_is(no[i]));
	}
	ck_assert(vcr_grpc_is_side("/a.B/CountTokens", 16));
	ck_assert(vcr_grpc_is_side("/a.B/GetModel", 13));
	ck_assert(!vcr_grpc_is_side("/a.B/GenerateContent", 20));
	ck_assert(!vcr_grpc_is_side("", 0));
}
END_TEST

START_TEST(a_body_is_known_by_its_messages_whole_or_cut_and_no_text_is_one)
{
	static const struct { const char *p; size_t n; bool yes; } body[] = {
		{ "\0\0\0\0\3abc", 8, true }, { "\1\0\0\0\3abc\0\0\0\0\0", 13, true }, { "\0\0\0\0\3abc\0\0\0\0\7cut", 16, true }, { "\0\0\0\0\3abc\0\0", 10, true },
		{ "\0\0\0\0\3abc{", 9, false }, { "\0\0\0\0\1abc\0\0\0\0\1x", 14, false }, { "{\"a\":1}", 7, false }, { "data: x\n\n", 9, false }, { "", 0, false }, { "\0\0\0", 3, false } };
	for (size_t i = 0; i < sizeof body / sizeof *body; i++) {
		char *exact = malloc(body[i].n + !body[i].n);
		memcpy(exact, body[i].p, body[i].n);
		ck_assert_msg(vcr_grpc_looks(exact, body[i].n) == body[i].yes, "body %zu", i);
		free(exact);
	}
}
END_TEST

START_TEST(how_a_call_ended_is_in_its_trailers_or_its_head)
{
	const struct vcr_http1_field trailer[] = { { "grpc-status", "8" }, { "grpc-message", "too%20many%0Aof you %zz%4" } }, head[] = { { "Grpc-Status", "13" } }, odd[] = { { "grpc-status", "-1" } };
	VCR_AUTO_BUF b = VCR_BUF_INIT, again = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_grpc_status(trailer, 2, head, 1), 8);
	ck_assert_int_eq(vcr_grpc_status(NULL, 0, head, 1), 13);
	ck_assert_int_eq(vcr_grpc_status(NULL, 0, odd, 1), -1);
	ck_assert_int_eq(vcr_grpc_status(NULL, 0, NULL, 0), -1);
	ck_assert_str_eq(vcr_grpc_status_name(8), "RESOURCE_EXHAUSTED");
	ck_assert_str_eq(vcr_grpc_status_name(99), "UNKNOWN");
	ck_assert_int_eq(vcr_grpc_message(trailer, 2, head, 1, &b), 0);
	ck_assert_str_eq(b.data, "too many\nof you %zz%4");
	ck_assert_int_eq(vcr_grpc_escape("so\n\xc3\xa4 100%", &again), 0);
	ck_assert_str_eq(again.data, "so%0A%C3%A4 100%25");
}
END_TEST

static int model(const char *p, size_t n, struct vcr_buf *out)
{
	char *exact = malloc(n ? n : 1); /* whoever reads beyond is seen by ASan */
	memcpy(exact, p, n);
	vcr_buf_reset(out);
	int r = vcr_grpc_model(exact, n, out);
	free(exact);
	return r;
}

static const char packed[] = "\001\000\000\000\041\037\213\010\000\000\000\000\000\002\003\053\317\110\054\121\050\117\054\126\050\116\314\114\001\000\150\234\370\003\015\000\000\000\000\000\000\000\005\160\154\141\151\156\001\000\000\000\000\001\000\000\000\034\037\213\010\000\000\000\000\000\002\003\113\314\113\121\310\315\057\112\005\000\334\007\130\132\010\000\000\000", plain[] = "\000\000\000\000\015\167\150\141\164\040\167\141\163\040\163\141\151\144\000\000\000\000\005\160\154\141\151\156\000\000\000\000\000\000\000\000\000\010\141\156\144\040\155\157\162\145";

static struct vcr_grpc_plain *messages(const char *coding)
{
	const struct vcr_http1_field field[] = { { "Content-Type", "application/grpc+proto" }, { "grpc-encoding", coding } };
	return vcr_grpc_plain_new(field, coding ? 2 : 1);
}

START_TEST(compressed_messages_become_what_was_said_in_whatever_pieces_they_come)
{
	for (size_t step = 1; step < sizeof packed; step++) {
		VCR_AUTO_BUF out = VCR_BUF_INIT;
		struct vcr_grpc_plain *z = messages("gzip");
		for (size_t at = 0; at < sizeof packed - 1; at += step) {
			size_t n = sizeof packed - 1 - at < step ? sizeof packed - 1 - at : step;
			char *exact = malloc(n);
			memcpy(exact, packed + at, n);
			ck_assert_int_eq(vcr_grpc_plain_feed(z, exact, n, &out), 0);
			free(exact);
		}
		ck_assert_uint_eq(out.len, sizeof plain - 1);
		ck_assert_mem_eq(out.data, plain, sizeof plain - 1);
		ck_assert_int_eq(vcr_grpc_plain_end(z), 0);
		vcr_grpc_plain_free(z);
	}
}
END_TEST

START_TEST(what_is_cut_or_broken_is_said_and_what_is_not_known_is_left_alone)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_grpc_plain *z = messages("gzip");
	ck_assert_int_eq(vcr_grpc_plain_feed(z, packed, 20, &out), 0);
	ck_assert_uint_eq(out.len, 0);
	ck_assert_uint_gt(vcr_grpc_plain_held(z), 0);
	ck_assert_int_eq(vcr_grpc_plain_end(z), VCR_ETRUNC);
	vcr_grpc_plain_free(z);
	z = messages("gzip");
	ck_assert_int_lt(vcr_grpc_plain_feed(z, "\1\0\0\0\4oops", 9, &out), 0);
	vcr_grpc_plain_free(z);
	ck_assert_ptr_null(messages("snappy"));
	ck_assert_ptr_null(messages(NULL));
}
END_TEST

START_TEST(a_request_names_its_model)
{
	static const char gemini[] = "\0\0\0\0\x1a" "\x08\x96\x01" "\x0a\x13models/gemini-2.5-p" "\x12\0", vertex[] = "\0\0\0\0\x30" "\x2a\x2eprojects/p/locations/l/publishers/g/models/m-1";
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	ck_assert_int_eq(model(gemini, sizeof gemini - 1, &b), 0);
	ck_assert_str_eq(b.data, "gemini-2.5-p");
	ck_assert_int_eq(model(vertex, sizeof vertex - 1, &b), 0);
	ck_assert_str_eq(b.data, "m-1");
	ck_assert_int_eq(model("\1\0\0\0\x0a\x0a\x08models/a", 15, &b), 1); /* compressed */
	ck_assert_int_eq(model("\0\0\0\0\x0c\x0a\x0anotmodels/", 17, &b), 1);
	ck_assert_int_eq(model("\0\0\0\0\x0c\x0a\x0amodels/\0\0\0", 17, &b), 1);
	for (size_t n = 0; n < sizeof gemini - 8; n++)
		ck_assert_int_eq(model(gemini, n, &b), 1); /* cut anywhere before the name's end */
}
END_TEST

START_TEST(noise_is_read_inside_its_bounds)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	unsigned seed = 1;
	for (int i = 0; i < 20000; i++) {
		char p[64];
		size_t n = (size_t)i % sizeof p;
		for (size_t k = 0; k < n; k++)
			p[k] = (char)((seed = seed * 1103515245 + 12345) >> 16);
		if (n > 5)
			memcpy(p, "\0\0\0\0\xff", 5);
		if (n > 20 && i % 3 == 0)
			memcpy(p + 5 + i % 7, "\x0a\x09models/x", 11);
		model(p, n, &b);
	}
}
END_TEST

static TCase *tc_grpc(void)
{
	TCase *tc = tcase_create("grpc");
	tcase_add_test(tc, what_is_grpc_is_known_by_its_type_and_what_only_asks_by_its_method);
	tcase_add_test(tc, a_body_is_known_by_its_messages_whole_or_cut_and_no_text_is_one);
	tcase_add_test(tc, how_a_call_ended_is_in_its_trailers_or_its_head);
	tcase_add_test(tc, compressed_messages_become_what_was_said_in_whatever_pieces_they_come);
	tcase_add_test(tc, what_is_cut_or_broken_is_said_and_what_is_not_known_is_left_alone);
	tcase_add_test(tc, a_request_names_its_model);
	tcase_add_test(tc, noise_is_read_inside_its_bounds);
	return tc;
}

TAP_MAIN("grpc", tc_grpc)
