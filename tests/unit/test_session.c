#include "session.h"
#include "reader.h"
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static void make_dir(void)
{
	strcpy(dir, "/tmp/vcr-test-session-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	strcat(dir, "/.vcr");
}

static void remove_dir(void)
{
	char command[128];
	*strrchr(dir, '/') = 0;
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static struct vcr_session *create(const char *id)
{
	struct vcr_session *s;
	struct vcr_error e;
	const char *tags[] = { "a", "b", NULL };
	struct vcr_session_options o = { .session_id = id, .forked_from_frame = -1, .metadata_json = "{\"k\": 1}", .tags = tags };
	ck_assert_msg(!vcr_session_create(&s, dir, &o, &e), "%s", e.what);
	return s;
}

static struct vcr_frame llm_frame(const char *input, const char *output)
{
	return (struct vcr_frame){ .type = VCR_FRAME_LLM, .node_name = "llm:m", .input_json = input, .output_json = output, .model = "m",
		.latency_ms = 12.5, .tokens_in = 3, .tokens_out = 4, .tokens_total = 7, .cost_usd = 0.25, .vcr_json = "{\"pid\":1}" };
}

static struct vcr_reader *open_session(const char *id)
{
	struct vcr_reader *r;
	struct vcr_error e;
	char path[128];
	snprintf(path, sizeof path, "%s/%s.vcr", dir, id);
	ck_assert_msg(!vcr_reader_open(&r, path, NULL, NULL, &e), "%s", e.what);
	return r;
}

START_TEST(a_session_file_has_its_header_before_it_has_its_name)
{
	char events[4096] __attribute__((aligned(8)));
	vcr_session_free(create("first")); /* the directory is there now */
	int probe = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (probe < 0)
		return; /* this file system has no files without a name */
	close(probe);
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), made = 0, written = 0;
	ck_assert_int_ge(inotify_add_watch(fd, dir, IN_CREATE | IN_MODIFY), 0);
	struct vcr_session *s = create("one");
	ssize_t n = read(fd, events, sizeof events);
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *ev = (const void *)(events + at);
		made += ev->mask & IN_CREATE && !strcmp(ev->name, "one.vcr");
		written += ev->mask & IN_MODIFY && !strcmp(ev->name, "one.vcr");
		at += (ssize_t)sizeof *ev + ev->len;
	}
	ck_assert_int_eq(made, 1);
	ck_assert_int_eq(written, 0);
	close(fd);
	vcr_session_free(s);
}
END_TEST

START_TEST(a_session_reads_back_as_it_was_written)
{
	struct vcr_session *s = create("one");
	struct vcr_frame f = llm_frame("{\"messages\": [\"h\xc3\xa9\"]}", "{\"response\":{}}");
	int64_t index = -1;
	ck_assert_int_eq(vcr_session_add_frame(s, &f, &index, NULL), 0);
	ck_assert_int_eq(index, 0);
	f = (struct vcr_frame){ .type = VCR_FRAME_TOOL, .node_name = "file:write", .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1 };
	ck_assert_int_eq(vcr_session_add_frame(s, &f, &index, NULL), 0);
	ck_assert_int_eq(index, 1);
	ck_assert_int_eq(vcr_session_add_record(s, "http", "{\"a\":1}", NULL), 0);
	ck_assert_int_eq(vcr_session_end(s, "{\"coverage\":{}}", NULL), 0);

	struct vcr_reader *r = open_session("one");
	const struct vcr_reader_session *head = vcr_reader_session(r);
	ck_assert_str_eq(head->session_id, "one");
	ck_assert_str_eq(head->tags[1], "b");
	ck_assert(head->ended);
	ck_assert_int_eq(head->total_tokens, 7);
	ck_assert(head->total_cost_usd == 0.25);
	ck_assert_int_eq(head->warnings, 0);
	ck_assert_int_eq(vcr_reader_count(r), 2);
	struct vcr_reader_frame g;
	ck_assert_int_eq(vcr_reader_frame(r, 0, &g, NULL), 0);
	ck_assert_str_eq(g.node_name, "llm:m");
	ck_assert_str_eq(g.type, "llm");
	ck_assert(g.latency_ms == 12.5);
	ck_assert(vcr_json_is(g.j, vcr_json_path(g.j, g.input, "messages[0]"), "h\xc3\xa9"));
	int64_t n;
	ck_assert(vcr_json_int(g.j, vcr_json_get(g.j, g.vcr, "format"), &n) && n == 1);
	ck_assert(vcr_json_int(g.j, vcr_json_get(g.j, g.vcr, "pid"), &n) && n == 1);
	ck_assert_int_eq(vcr_reader_by_id(r, g.frame_id), 0);
	vcr_reader_free(r);
}
END_TEST

START_TEST(the_file_is_private_and_never_overwritten)
{
	struct vcr_session *s = create("two"), *t;
	struct vcr_error e;
	struct stat st;
	ck_assert_int_eq(stat(vcr_session_path(s), &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	struct vcr_session_options o = { .session_id = "two", .forked_from_frame = -1 };
	ck_assert_int_eq(vcr_session_create(&t, dir, &o, &e), VCR_EEXIST);
	o.session_id = "../x";
	ck_assert_int_eq(vcr_session_create(&t, dir, &o, &e), VCR_EINVAL);
	vcr_session_free(s);
}
END_TEST

START_TEST(a_body_is_written_with_the_line_that_refers_to_it_and_at_the_latest_at_the_end)
{
	struct vcr_session *s = create("three");
	struct vcr_frame f = llm_frame("{}", "{}");
	struct stat before, after;
	struct vcr_buf body = VCR_BUF_INIT;
	char ref[40], last[40];
	ck_assert_int_eq(stat(vcr_session_path(s), &before), 0);
	ck_assert_int_eq(vcr_session_add_body(s, "c1", NULL, "what was asked", 14, ref, NULL), 0);
	ck_assert_int_eq(stat(vcr_session_path(s), &after), 0);
	ck_assert_int_eq(after.st_size, before.st_size); /* half a record is of no use to who reads along */
	ck_assert_int_eq(vcr_session_add_frame(s, &f, NULL, NULL), 0);
	ck_assert_int_eq(vcr_session_add_body(s, "c1", NULL, "what was asked last", 19, last, NULL), 0);
	ck_assert_int_eq(vcr_session_end(s, NULL, NULL), 0);
	struct vcr_reader *r = open_session("three");
	ck_assert(vcr_reader_session(r)->ended);
	ck_assert_int_eq(vcr_reader_session(r)->warnings, 0);
	ck_assert_int_eq(vcr_reader_body(r, ref, &body, NULL), 0);
	ck_assert_str_eq(body.data, "what was asked");
	vcr_buf_reset(&body);
	ck_assert_int_eq(vcr_reader_body(r, last, &body, NULL), 0);
	ck_assert_str_eq(body.data, "what was asked last");
	vcr_buf_release(&body);
	vcr_reader_free(r);
}
END_TEST

static bool file_has(const struct vcr_session *s, const char *what)
{
	static char text[1 << 20];
	FILE *f = fopen(vcr_session_path(s), "r");
	ck_assert_ptr_nonnull(f);
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	fclose(f);
	return strstr(text, what);
}

START_TEST(a_body_of_a_few_pages_with_nothing_before_it_can_be_read_in_the_file_and_what_goes_on_from_it_is_packed)
{
	struct vcr_session *s = create("four");
	struct vcr_frame f = llm_frame("{}", "{}");
	struct vcr_buf text = VCR_BUF_INIT, back = VCR_BUF_INIT;
	char first[40], second[40], large[40];
	for (int i = 0; i < 120; i++)
		vcr_buf_printf(&text, "{\"line %d\":\"of a few pages, which somebody may want to look at without a tool of ours\\n\"}", i);
	ck_assert_int_eq(vcr_session_add_body(s, "c1", NULL, text.data, text.len, first, NULL), 0);
	ck_assert_int_eq(vcr_session_add_frame(s, &f, NULL, NULL), 0);
	ck_assert(file_has(s, "\"text\":\"{\\\"line 0\\\":\\\"of a few pages, which"));
	ck_assert(!file_has(s, "\"lz4\""));
	for (int i = 0; i < 99; i++)
		vcr_buf_printf(&text, "{\"line %d\":\"of more\"}", i);
	ck_assert_int_eq(vcr_session_add_body(s, "c1", NULL, text.data, text.len, second, NULL), 0);
	ck_assert_int_eq(vcr_session_add_body(s, "c2", NULL, text.data, 0, large, NULL), 0);
	while (text.len < 20000)
		vcr_buf_puts(&text, "and much more ");
	ck_assert_int_eq(vcr_session_add_body(s, "c3", NULL, text.data, text.len, large, NULL), 0);
	ck_assert_int_eq(vcr_session_end(s, NULL, NULL), 0);
	struct vcr_reader *r = open_session("four");
	ck_assert_int_eq(vcr_reader_body(r, large, &back, NULL), 0);
	ck_assert_str_eq(back.data, text.data);
	vcr_buf_reset(&back);
	ck_assert_int_eq(vcr_reader_body(r, second, &back, NULL), 0);
	ck_assert(!strncmp(back.data, text.data, back.len));
	vcr_buf_release(&text);
	vcr_buf_release(&back);
	vcr_reader_free(r);
}
END_TEST

static TCase *session(void)
{
	TCase *tc = tcase_create("session");
	tcase_add_checked_fixture(tc, make_dir, remove_dir);
	tcase_add_test(tc, a_session_file_has_its_header_before_it_has_its_name);
	tcase_add_test(tc, a_session_reads_back_as_it_was_written);
	tcase_add_test(tc, the_file_is_private_and_never_overwritten);
	tcase_add_test(tc, a_body_of_a_few_pages_with_nothing_before_it_can_be_read_in_the_file_and_what_goes_on_from_it_is_packed);
	tcase_add_test(tc, a_body_is_written_with_the_line_that_refers_to_it_and_at_the_latest_at_the_end);
	return tc;
}

TAP_MAIN("session", session)
