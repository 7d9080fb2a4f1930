/* Damaged recordings and inputs made to be slow: nothing crashes, everything that is whole is read, and time grows with the input's length. */
#include "../../lib/config.h" /* not configure's */
#include "http1.h"
#include "limits.h"
#include "provider.h"
#include "reader.h"
#include "redact.h"
#include "session.h"
#include "spool.h"
#include "sse.h"
#include "tap.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char dir[64];

static void make_dir(void)
{
	strcpy(dir, "/dev/shm/vcr-test-hostile-XXXXXX"); /* ten thousands of small files */
	if (mkdtemp(dir))
		return;
	strcpy(dir, "/tmp/vcr-test-hostile-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

/* ---- Damaged session files ---- */

enum { FRAMES = 4 };
static char session_path[128], ids[FRAMES][37], ref[40];
static char *whole;
static size_t whole_len;

static char *read_whole(const char *path, size_t *n)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert(fd >= 0 && !fstat(fd, &st));
	*n = (size_t)st.st_size;
	char *p = malloc(*n + 1);
	ck_assert(p && read(fd, p, *n) == (ssize_t)*n);
	close(fd);
	p[*n] = 0;
	return p;
}

static void write_file(const char *path, const char *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	close(fd);
}

static void make_session(void)
{
	struct vcr_session *s;
	struct vcr_error e;
	struct vcr_session_options o = { .session_id = "small", .forked_from_frame = -1 };
	make_dir();
	ck_assert_msg(!vcr_session_create(&s, dir, &o, &e), "%s", e.what);
	for (int i = 0; i < FRAMES; i++) {
		struct vcr_frame f = { .type = VCR_FRAME_LLM, .node_name = "llm:m", .input_json = "{\"messages\":[\"a\"]}", .output_json = "{\"response\":{}}",
			.model = "m", .latency_ms = 1, .tokens_in = 1, .tokens_out = 2, .tokens_total = 3, .cost_usd = -1 };
		ck_assert_int_eq(vcr_session_add_frame(s, &f, NULL, &e), 0);
		strcpy(ids[i], f.frame_id);
	}
	ck_assert_int_ge(vcr_session_add_body(s, "", NULL, "the body", 8, ref, &e), 0);
	snprintf(session_path, sizeof session_path, "%s", vcr_session_path(s));
	ck_assert_int_eq(vcr_session_end(s, NULL, &e), 0);
	whole = read_whole(session_path, &whole_len);
}

static void remove_session(void)
{
	free(whole);
	remove_dir();
}

static int warnings;

static void on_warning(void *ctx, const char *path, int64_t line, const char *what)
{
	ck_assert_str_eq(path, session_path);
	ck_assert(line >= 1 && line <= FRAMES + 4 && *what);
	warnings++;
}

/* Line (from 0) of a byte; a newline belongs to the line that it ends. */
static int line_of(size_t at)
{
	int line = 0;
	for (size_t i = 0; i < at; i++)
		line += whole[i] == '\n';
	return line;
}

/* Read every frame. Those of the lines from..to (from 0; the header is line 0) may be missing or damaged, the others must be there and whole. */
static void read_damaged(int from, int to)
{
	struct vcr_reader *r;
	struct vcr_error e = { 0 };
	struct vcr_reader_frame f;
	if (vcr_reader_open(&r, session_path, on_warning, NULL, &e)) {
		ck_assert_ptr_nonnull(strstr(e.what, session_path));
		ck_assert_msg(from <= 1 && to >= FRAMES, "%s", e.what);
		return;
	}
	for (int64_t i = 0; i < vcr_reader_count(r); i++) {
		VCR_AUTO_BUF full = VCR_BUF_INIT;
		if (vcr_reader_frame(r, i, &f, &e) || vcr_reader_full_input(r, i, &full, &e))
			ck_assert_msg(!strncmp(e.what, session_path, strlen(session_path)) && e.what[strlen(session_path)] == ':', "%s", e.what);
	}
	for (int i = 0; i < FRAMES; i++) {
		int64_t index = i + 1 < from || i + 1 > to ? vcr_reader_by_id(r, ids[i]) : -2;
		ck_assert_msg(index != -1, "frame %d is lost by damage to lines %d to %d", i, from + 1, to + 1);
		if (index >= 0)
			ck_assert_msg(!vcr_reader_frame(r, index, &f, &e), "%s", e.what);
	}
	VCR_AUTO_BUF body = VCR_BUF_INIT;
	int err = vcr_reader_body(r, ref, &body, &e);
	ck_assert_msg(!err || *e.what, "an error without words");
	if (FRAMES + 1 < from || FRAMES + 1 > to)
		ck_assert_msg(!err && body.len == 8, "%s", e.what);
	vcr_reader_free(r);
}

START_TEST(a_session_file_cut_anywhere_gives_every_frame_before_the_cut)
{
	for (size_t n = 0; n <= whole_len; n++) {
		write_file(session_path, whole, n);
		read_damaged(line_of(n), FRAMES + 3);
	}
}
END_TEST

static void put_byte(size_t at, char c)
{
	int fd = open(session_path, O_WRONLY | O_CLOEXEC);
	ck_assert(fd >= 0 && pwrite(fd, &c, 1, (off_t)at) == 1);
	close(fd);
}

START_TEST(a_flipped_bit_in_a_session_file_costs_its_line_at_most)
{
	for (size_t at = 0; at < whole_len; at++) {
		int line = line_of(at);
		for (int bit = 0; bit < 8; bit++) {
			put_byte(at, (char)(whole[at] ^ 1 << bit));
			read_damaged(line, line + (whole[at] == '\n')); /* a lost newline joins two lines */
		}
		put_byte(at, whole[at]);
	}
	ck_assert_int_gt(warnings, 0);
}
END_TEST

START_TEST(a_link_in_the_place_of_a_session_file_is_not_written_through)
{
	struct vcr_session *s;
	struct vcr_error e = { 0 };
	struct stat st;
	struct vcr_session_options o = { .session_id = "link", .forked_from_frame = -1 };
	char path[128];
	snprintf(path, sizeof path, "%s/link.vcr", dir);
	ck_assert_int_eq(symlink(session_path, path), 0);
	ck_assert_int_lt(vcr_session_reopen(&s, path, &e), 0);
	ck_assert_ptr_nonnull(strstr(e.what, path));
	ck_assert_int_lt(vcr_session_create(&s, dir, &o, &e), 0);
	ck_assert(!stat(session_path, &st) && (size_t)st.st_size == whole_len);
}
END_TEST

START_TEST(a_pipe_in_the_place_of_the_configuration_is_an_error_and_no_wait)
{
	struct vcr_config c;
	struct vcr_error e = { 0 };
	char path[128];
	snprintf(path, sizeof path, "%s/config", dir);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_lt(vcr_config_load(&c, dir, &e), 0);
	ck_assert_ptr_nonnull(strstr(e.what, path));
	vcr_config_release(&c);
}
END_TEST

/* ---- Damaged spools ---- */

enum { RECORDS = 6, RECORD = 96 };
static char spool_path[128];
static char *spool_map;

static void put_record(unsigned k)
{
	char payload[20];
	struct vcr_spool_record r = { .state = VCR_REC_READY, .length = RECORD, .seq = VCR_SPOOL_HEADER + k * RECORD, .type = VCR_REC_OUT, .pid = 7 };
	r.size = (uint32_t)snprintf(payload, sizeof payload, "payload %u", k);
	r.crc = vcr_spool_crc(payload, r.size);
	memcpy(spool_map + r.seq, &r, sizeof r);
	memcpy(spool_map + r.seq + sizeof r, payload, r.size);
}

static void fill_spool(void)
{
	struct vcr_spool_header *h = (struct vcr_spool_header *)(void *)spool_map;
	memset(spool_map, 0, VCR_SPOOL_HEADER + RECORDS * RECORD);
	memcpy(h->magic, VCR_SPOOL_MAGIC, sizeof h->magic);
	h->version = VCR_SPOOL_VERSION;
	h->state = VCR_SPOOL_OPEN;
	h->head = VCR_SPOOL_HEADER;
	h->tail = h->limit = VCR_SPOOL_HEADER + RECORDS * RECORD;
	for (unsigned k = 0; k < RECORDS; k++)
		put_record(k);
}

static void make_spool(void)
{
	make_dir();
	snprintf(spool_path, sizeof spool_path, "%s/s.spool", dir);
	int fd = open(spool_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert(fd >= 0 && !ftruncate(fd, VCR_SPOOL_HEADER + RECORDS * RECORD));
	spool_map = mmap(NULL, VCR_SPOOL_HEADER + RECORDS * RECORD, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(spool_map, MAP_FAILED);
	close(fd);
	fill_spool();
}

static void remove_spool(void)
{
	munmap(spool_map, VCR_SPOOL_HEADER + RECORDS * RECORD);
	remove_dir();
}

/* Bit k is set if record k came back. Without an error, -1 else. */
static int read_spool(void)
{
	struct vcr_spool *s;
	struct vcr_error e = { 0 };
	struct vcr_spool_event ev;
	int seen = 0;
	if (vcr_spool_attach(&s, spool_path, &e)) {
		ck_assert_ptr_nonnull(strstr(e.what, spool_path));
		return -1;
	}
	while (!vcr_spool_next(s, true, &ev))
		for (unsigned k = 0; k < RECORDS; k++) {
			char payload[20];
			snprintf(payload, sizeof payload, "payload %u", k);
			seen |= !strcmp(ev.payload, payload) << k;
		}
	vcr_spool_free(s);
	return seen;
}

START_TEST(a_spool_cut_anywhere_gives_every_record_before_the_cut)
{
	char *copy = malloc(VCR_SPOOL_HEADER + RECORDS * RECORD);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, spool_map, VCR_SPOOL_HEADER + RECORDS * RECORD);
	for (size_t n = 0; n <= VCR_SPOOL_HEADER + RECORDS * RECORD; n += n < VCR_SPOOL_HEADER ? 1024 : 1) {
		write_file(spool_path, copy, n);
		int seen = read_spool();
		if (n < VCR_SPOOL_HEADER)
			ck_assert_int_eq(seen, -1);
		else /* the last one's padding may be missing */
			for (unsigned k = 0; k < RECORDS; k++)
				ck_assert(seen >> k & 1 || n < VCR_SPOOL_HEADER + (k + 1) * RECORD);
	}
	free(copy);
}
END_TEST

START_TEST(a_flipped_bit_in_a_spool_costs_one_record_at_most)
{
	for (size_t at = VCR_SPOOL_HEADER; at < VCR_SPOOL_HEADER + RECORDS * RECORD; at++)
		for (int bit = 0; bit < 8; bit++) {
			spool_map[at] = (char)(spool_map[at] ^ 1 << bit);
			int seen = read_spool(), all = (1 << RECORDS) - 1, hit = 1 << (at - VCR_SPOOL_HEADER) / RECORD;
			ck_assert_msg((seen | hit) == all, "bit %d of byte %zu: %x of %x", bit, at, seen, all);
			fill_spool();
		}
}
END_TEST

START_TEST(a_flipped_bit_in_a_spools_header_never_crashes)
{
	for (size_t at = 0; at < sizeof(struct vcr_spool_header); at += at < 512 || at > sizeof(struct vcr_spool_header) - 1500 ? 1 : 64)
		for (int bit = 0; bit < 8; bit++) {
			spool_map[at] = (char)(spool_map[at] ^ 1 << bit);
			read_spool();
			fill_spool();
		}
}
END_TEST

START_TEST(a_spool_whose_tail_is_far_away_is_not_filled_up_to_it)
{
	struct vcr_spool *s;
	struct stat st;
	((struct vcr_spool_header *)(void *)spool_map)->tail = 1ull << 33;
	ck_assert_int_eq(vcr_spool_attach(&s, spool_path, NULL), 0);
	vcr_spool_grow(s, false);
	ck_assert_int_eq(stat(spool_path, &st), 0);
	ck_assert_int_lt(st.st_size, 1 << 20);
	vcr_spool_free(s);
}
END_TEST

/* ---- Inputs that want to be slow ---- */

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Each of these takes some 0.1 s where time grows with length, and minutes where it grows with its square. */
#define IN_TIME(what, work) \
	do { \
		double begun = cpu_seconds(); \
		work; \
		ck_assert_msg(cpu_seconds() - begun < 8, "%s took %.1f s", what, cpu_seconds() - begun); \
	} while (0)

static void fill(struct vcr_buf *b, size_t n, const char *s)
{
	while (b->len < n)
		vcr_buf_puts(b, s);
}

static int on_nothing(void *ctx, const char *event, const char *data, size_t len, const char *id) { return 0; }

START_TEST(a_header_of_blank_folded_lines_is_read_in_linear_time)
{
	static const struct vcr_http1_events none = { NULL, NULL, NULL, NULL };
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_http1 *h = vcr_http1_new(VCR_HTTP1_REQUEST, &none, NULL);
	vcr_buf_puts(&b, "GET / HTTP/1.1\r\nA: b\r\n");
	fill(&b, VCR_MAX_HTTP_HEAD - 100, " \n");
	vcr_buf_puts(&b, "\r\n");
	IN_TIME("the head", ck_assert_int_eq(vcr_http1_feed(h, b.data, b.len), 0));
	vcr_http1_free(h);
}
END_TEST

START_TEST(an_event_stream_of_returns_is_read_in_linear_time)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_sse *s = vcr_sse_new(on_nothing, NULL);
	fill(&b, 8 << 20, "\r");
	IN_TIME("the stream", ck_assert_int_eq(vcr_sse_feed(s, b.data, b.len), 0));
	vcr_sse_free(s);
}
END_TEST

static void read_answer(enum vcr_api api, const struct vcr_buf *b)
{
	struct vcr_answer_info info;
	ck_assert_int_eq(vcr_answer_read(api, 200, "text/event-stream", b->data, b->len, true, &info), 0);
	ck_assert_int_eq(vcr_json_validate(info.message.data, info.message.len, 0, NULL, NULL), 0);
	vcr_answer_info_release(&info);
}

START_TEST(an_answer_with_very_many_members_is_assembled_in_linear_time)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	for (int round = 0; round < 2; round++) {
		vcr_buf_puts(&b, "data: {\"choices\":[{\"index\":0,\"delta\":{\"x\":{\"a\":0");
		for (int i = 0; i < 200000; i++)
			vcr_buf_printf(&b, ",\"k%d\":\"\"", i);
		vcr_buf_puts(&b, "}}}]}\n\n");
	}
	IN_TIME("the answer", read_answer(VCR_API_OPENAI_CHAT, &b));
}
END_TEST

START_TEST(an_answer_with_very_many_items_is_assembled_in_linear_time)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	for (int i = 0; i < 65536; i++)
		vcr_buf_printf(&b, "data: {\"type\":\"response.output_text.delta\",\"output_index\":%d,\"content_index\":0,\"delta\":\"x\"}\n\n", i);
	IN_TIME("the answer", read_answer(VCR_API_OPENAI_RESPONSES, &b));
}
END_TEST

START_TEST(an_item_far_beyond_the_end_of_a_list_is_left_out)
{
	static const char stream[] = "data: {\"choices\":[{\"index\":60000,\"delta\":{\"content\":\"far\"}},{\"index\":3,\"delta\":{\"content\":\"near\"}}]}\n\n";
	struct vcr_answer_info info;
	ck_assert_int_eq(vcr_answer_read(VCR_API_OPENAI_CHAT, 200, "text/event-stream", stream, sizeof stream - 1, true, &info), 0);
	ck_assert_ptr_nonnull(strstr(info.message.data, "near"));
	ck_assert_ptr_null(strstr(info.message.data, "far"));
	vcr_answer_info_release(&info);
}
END_TEST

START_TEST(cookies_of_a_server_that_teaches_thousands_alike_do_not_stop_the_redactor)
{
	struct vcr_redact *r = vcr_redact_new();
	VCR_AUTO_BUF b = VCR_BUF_INIT, out = VCR_BUF_INIT;
	char cookie[100];
	for (int i = 0; i < 10000; i++) {
		snprintf(cookie, sizeof cookie, "a=AAAAAAAAAAAAAAAAAAAAAAAAAAAA%dbcd", i);
		vcr_redact_learn_field(r, "Set-Cookie", cookie);
	}
	fill(&b, 256 << 10, "A");
	IN_TIME("the text", ck_assert_int_eq(vcr_redact(r, b.data, b.len, &out, NULL), 0));
	vcr_redact_free(r);
}
END_TEST

static TCase *tc_files(void)
{
	TCase *tc = tcase_create("session files");
	tcase_add_checked_fixture(tc, make_session, remove_session);
	tcase_add_test(tc, a_session_file_cut_anywhere_gives_every_frame_before_the_cut);
	tcase_add_test(tc, a_flipped_bit_in_a_session_file_costs_its_line_at_most);
	tcase_add_test(tc, a_link_in_the_place_of_a_session_file_is_not_written_through);
	tcase_add_test(tc, a_pipe_in_the_place_of_the_configuration_is_an_error_and_no_wait);
	return tc;
}

static TCase *tc_spools(void)
{
	TCase *tc = tcase_create("spools");
	tcase_add_checked_fixture(tc, make_spool, remove_spool);
	tcase_add_test(tc, a_spool_cut_anywhere_gives_every_record_before_the_cut);
	tcase_add_test(tc, a_flipped_bit_in_a_spool_costs_one_record_at_most);
	tcase_add_test(tc, a_flipped_bit_in_a_spools_header_never_crashes);
	tcase_add_test(tc, a_spool_whose_tail_is_far_away_is_not_filled_up_to_it);
	return tc;
}

static TCase *tc_slow(void)
{
	TCase *tc = tcase_create("slow inputs");
	tcase_add_test(tc, a_header_of_blank_folded_lines_is_read_in_linear_time);
	tcase_add_test(tc, an_event_stream_of_returns_is_read_in_linear_time);
	tcase_add_test(tc, an_answer_with_very_many_members_is_assembled_in_linear_time);
	tcase_add_test(tc, an_answer_with_very_many_items_is_assembled_in_linear_time);
	tcase_add_test(tc, an_item_far_beyond_the_end_of_a_list_is_left_out);
	tcase_add_test(tc, cookies_of_a_server_that_teaches_thousands_alike_do_not_stop_the_redactor);
	return tc;
}

TAP_MAIN("hostile", tc_files, tc_spools, tc_slow)
