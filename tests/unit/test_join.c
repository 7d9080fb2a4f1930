#include "join.h"
#include "reader.h"
#include "session.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char dir[64];

static void set_up(void)
{
	strcpy(dir, "/tmp/vcr-test-join-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void tear_down(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

/* A session of one call with that body, recorded in cwd. */
static void make(const char *id, const char *cwd, const char *body, char path[256])
{
	struct vcr_session *s;
	struct vcr_session_options o = { .session_id = id, .forked_from_frame = -1 };
	VCR_AUTO_BUF vcr = VCR_BUF_INIT, context = VCR_BUF_INIT, input = VCR_BUF_INIT;
	char ref[40];
	ck_assert_int_eq(vcr_session_create(&s, dir, &o, NULL), 0);
	vcr_buf_printf(&context, "{\"cwd\":\"%s\",\"workspace\":\"%s\",\"home\":\"/h\",\"tmp\":\"/tmp\"}", cwd, cwd);
	ck_assert_int_eq(vcr_session_add_record(s, "context", context.data, NULL), 0);
	ck_assert_int_eq(vcr_session_add_body(s, "", NULL, body, strlen(body), ref, NULL), 0);
	vcr_buf_printf(&vcr, "{\"seq\":7,\"request\":\"%s\"}", ref);
	vcr_buf_printf(&input, "{\"session_id\":\"%s\"}", id); /* what was said stays as it was */
	struct vcr_frame f = { .type = VCR_FRAME_LLM, .node_name = "llm:m", .vcr_json = vcr.data, .input_json = input.data, .tokens_in = 3, .tokens_out = 4, .tokens_total = 7, .cost_usd = 0.5 };
	ck_assert_int_eq(vcr_session_add_frame(s, &f, NULL, NULL), 0);
	snprintf(path, 256, "%s", vcr_session_path(s));
	ck_assert_int_eq(vcr_session_end(s, NULL, NULL), 0);
}

static int count_line(void *n, const struct vcr_json *j, int data, int64_t line)
{
	++*(int *)n;
	return 0;
}

START_TEST(sessions_that_continue_one_another_become_one)
{
	char a[256], b[256];
	struct vcr_error e = { 0 };
	struct vcr_reader *r;
	struct vcr_reader_frame f;
	VCR_AUTO_BUF made = VCR_BUF_INIT, body = VCR_BUF_INIT;
	make("first", "/w", "the same body", a);
	make("second", "/w", "the same body", b);
	ck_assert_msg(!vcr_join(dir, (const char *const[]){ a, b }, 2, "whole", &made, &e), "%s", e.what);
	ck_assert_int_eq(vcr_reader_open(&r, made.data, NULL, NULL, &e), 0);
	ck_assert_str_eq(vcr_reader_session(r)->session_id, "whole");
	ck_assert_int_eq(vcr_reader_count(r), 2);
	ck_assert(vcr_reader_session(r)->ended && vcr_reader_session(r)->total_tokens == 14 && !vcr_reader_session(r)->warnings);
	for (int i = 0; i < 2; i++) {
		int64_t seq = 0;
		ck_assert_int_eq(vcr_reader_frame(r, i, &f, &e), 0);
		ck_assert(vcr_json_is(f.j, vcr_json_get(f.j, f.input, "session_id"), i ? "second" : "first"));
		ck_assert(vcr_json_int(f.j, vcr_json_get(f.j, f.vcr, "seq"), &seq) && seq == (i ? 14 : 7));
	}
	int n = 0;
	ck_assert_int_eq(vcr_reader_each(r, "vcr.body", count_line, &n, NULL), 0);
	ck_assert_int_eq(n, 1);
	vcr_reader_free(r);
	vcr_join_remove(made.data);
	ck_assert_int_ne(access(made.data, F_OK), 0);
	*strrchr(made.data, '/') = 0;
	ck_assert_int_ne(access(made.data, F_OK), 0);
}
END_TEST

START_TEST(sessions_of_different_directories_cannot_be_one)
{
	char a[256], b[256];
	struct vcr_error e = { 0 };
	VCR_AUTO_BUF made = VCR_BUF_INIT;
	make("first", "/w", "a", a);
	make("second", "/elsewhere", "b", b);
	ck_assert_int_eq(vcr_join(dir, (const char *const[]){ a, b }, 2, "whole", &made, &e), VCR_EINVAL);
	ck_assert_ptr_nonnull(strstr(e.what, "second.vcr was recorded in another directory"));
	ck_assert_int_ne(access(made.data, F_OK), 0);
}
END_TEST

START_TEST(what_is_no_session_is_refused)
{
	char path[256];
	struct vcr_error e = { 0 };
	VCR_AUTO_BUF made = VCR_BUF_INIT;
	snprintf(path, sizeof path, "%s/none.vcr", dir);
	ck_assert_int_eq(vcr_join(dir, (const char *const[]){ path }, 1, "whole", &made, &e), VCR_EIO);
	ck_assert_int_lt(vcr_join(dir, (const char *const[]){ "/dev/zero" }, 1, "whole", &made, &e), 0);
	FILE *f = fopen(path, "w");
	fputs("no JSON\n{\"type\":7}\n[]\n", f);
	fclose(f);
	ck_assert_int_lt(vcr_join(dir, (const char *const[]){ path }, 1, "whole", &made, &e), 0);
}
END_TEST

static TCase *join(void)
{
	TCase *tc = tcase_create("join");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, sessions_that_continue_one_another_become_one);
	tcase_add_test(tc, sessions_of_different_directories_cannot_be_one);
	tcase_add_test(tc, what_is_no_session_is_refused);
	return tc;
}

TAP_MAIN("join", join)
