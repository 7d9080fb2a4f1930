/* The index of a large session file: it is speed, and whatever it says, no other bytes than the file's lines are shown. */
#include "../../lib/config.h" /* not configure's */
#include "reader-parts.h"
#include "session.h"
#include "tap.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FRAMES = 9, PAD = 4 << 20 };
static char dir[64], path[100], cache[100];

static void setup(void)
{
	strcpy(dir, "/tmp/vcr-test-index-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/large.vcr", dir);
	snprintf(cache, sizeof cache, "%s/cache", dir);
	setenv("XDG_CACHE_HOME", cache, 1);
}

static void teardown(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

/* Frames of 4 MB, the second before the first in time, each with one inside that looks like a line; and lines of which something is said. Two frames have no
 * time: of one something is said, of the other, behind it, nothing. */
static void write_large(void)
{
	FILE *f = fopen(path, "w");
	char *pad = malloc(PAD + 1);
	ck_assert(f && pad);
	memset(pad, 'x', PAD);
	pad[PAD] = 0;
	fputs("{\"type\":\"session\",\"data\":{\"session_id\":\"large\",\"created_at\":\"2026-01-01T00:00:00Z\",\"tags\":[\"a\"]}}\n", f);
	for (int i = 0; i < FRAMES; i++) {
		fprintf(f, "{\"type\":\"frame\",\"data\":{\"frame_id\":\"f%d\",\"session_id\":\"large\",\"parent_frame_id\":null,\"timestamp\":\"2026-01-01T00:00:%02dZ\",\"frame_type\":\"%s\","
			"\"node_name\":\"llm:m\",\"input_state\":{\"pad\":\"%s\",\"inner\":{\"type\":\"frame\",\"data\":{\"frame_id\":\"forged\"}}},\"output_state\":{},"
			"\"metadata\":{\"model\":\"m%d\",\"custom\":{}},\"state_diff\":null}}\n", i, i == 1 ? 0 : i + 1, i % 2 ? "tool" : "llm", pad, i);
		if (i == 3)
			fputs("\n{\"type\":\"vcr.body\",\"data\":{\"ref\":\"aa\",\"size\":3,\"sha256\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"enc\":\"text\",\"text\":\"abc\"}}\n{\"type\":\n"
				"\"frame\",\"data\":{\"frame_id\":\"two\",\"timestamp\":\"2026-01-01T00:00:30Z\",\"frame_type\":\"llm\",\"node_name\":\"n\",\"input_state\":{},\"output_state\":{}}}\n", f);
	}
	fputs("{\"type\":\"frame\",\"data\":{\"frame_id\":\"late\",\"timestamp\":\"yesterday\",\"frame_type\":\"node\",\"node_name\":\"n\",\"input_state\":{},\"output_state\":{}}}\n", f);
	fputs("{\"type\":\"frame\",\"data\":{\"frame_id\":\"timeless\",\"frame_type\":\"node\",\"node_name\":\"n\",\"input_state\":{},\"output_state\":{}}}\n", f);
	fputs("{\"type\":\"vcr.end\",\"data\":{\"frames\":11,\"tags\":[\"b\"]}}\n", f);
	free(pad);
	ck_assert_int_eq(fclose(f), 0);
}

struct heard { int n; int64_t lines; };

static void hear(void *ctx, const char *file, int64_t line, const char *what)
{
	struct heard *h = ctx;
	(void)file, (void)what;
	h->n++;
	h->lines = h->lines * 100 + line;
}

static struct vcr_reader *reader(struct heard *h)
{
	struct vcr_reader *r;
	struct vcr_error e = { 0 };
	*h = (struct heard){ 0 };
	ck_assert_msg(!vcr_reader_open(&r, path, hear, h, &e), "%s", e.what);
	return r;
}

static bool opens_by_index(void)
{
	struct heard h;
	struct vcr_reader *r = reader(&h);
	bool indexed = r->indexed;
	vcr_reader_free(r);
	return indexed;
}

/* All that the file shows, but for the padding. */
static void tell(struct vcr_reader *r, const struct heard *h, struct vcr_buf *out)
{
	const struct vcr_reader_session *s = vcr_reader_session(r);
	vcr_buf_printf(out, "%s %d tags %s %lld warnings at %lld;", s->session_id, s->ntags, s->end_json, (long long)s->warnings, (long long)h->lines);
	for (int64_t i = 0; i < vcr_reader_count(r); i++) {
		struct vcr_reader_frame f;
		struct vcr_reader_brief b = vcr_reader_brief(r, i);
		ck_assert_int_eq(vcr_reader_frame(r, i, &f, NULL), 0);
		vcr_buf_printf(out, " %lld:%s %s %lld %d %s", (long long)b.line, b.type, f.frame_id, (long long)b.time_ns, b.call, f.model ? f.model : "");
		ck_assert_int_eq(vcr_reader_by_id(r, f.frame_id), i);
	}
	vcr_buf_puts(out, " body ");
	ck_assert_int_eq(vcr_reader_body(r, "aa", out, NULL), 0);
}

static void index_path(char name[200])
{
	struct vcr_index_file of;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert(fd >= 0 && !vcr_index_identify(fd, &of));
	close(fd);
	snprintf(name, 200, "%s/vcr/index/%llx-%llx", cache, (unsigned long long)of.dev, (unsigned long long)of.ino);
}

static void read_index(struct vcr_buf *text)
{
	char name[200], chunk[4096];
	index_path(name);
	FILE *f = fopen(name, "r");
	ck_assert_ptr_nonnull(f);
	for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
		vcr_buf_add(text, chunk, n);
	fclose(f);
}

START_TEST(what_is_opened_by_its_index_shows_what_it_shows_when_it_is_read)
{
	VCR_AUTO_BUF first = VCR_BUF_INIT, second = VCR_BUF_INIT;
	struct heard h;
	write_large();
	struct vcr_reader *r = reader(&h);
	ck_assert(!r->indexed);
	tell(r, &h, &first);
	vcr_reader_free(r);
	ck_assert_ptr_nonnull(strstr(first.data, "3 warnings at 80915; 3:tool f1 "));
	ck_assert_int_eq(h.n, 3);
	r = reader(&h);
	ck_assert(r->indexed);
	tell(r, &h, &second);
	vcr_reader_free(r);
	ck_assert_str_eq(first.data, second.data);
}
END_TEST

/* Put text at an offset of the file; its size and mtime stay. The change is later than the tick in which the file was made. */
static void overwrite(off_t at, const char *text)
{
	struct stat before, now;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert(fd >= 0 && !fstat(fd, &before));
	do {
		ck_assert_int_eq(pwrite(fd, text, strlen(text), at), (ssize_t)strlen(text));
		struct timespec times[2] = { before.st_atim, before.st_mtim };
		ck_assert(!futimens(fd, times) && !fstat(fd, &now));
	} while (now.st_ctim.tv_nsec == before.st_ctim.tv_nsec && now.st_ctim.tv_sec == before.st_ctim.tv_sec);
	close(fd);
}

START_TEST(an_index_of_a_file_that_was_changed_in_place_is_not_used)
{
	struct heard h;
	struct vcr_reader_frame f;
	write_large();
	ck_assert(!opens_by_index() && opens_by_index());
	struct vcr_reader *r = reader(&h);
	off_t at = (off_t)r->frames.v[4].offset;
	vcr_reader_free(r);
	overwrite(at, "{\"type\":\"frame\",\"data\":{\"frame_id\":\"g4\"");
	r = reader(&h);
	ck_assert(!r->indexed && !vcr_reader_frame(r, 4, &f, NULL));
	ck_assert_str_eq(f.frame_id, "g4");
	vcr_reader_free(r);
	ck_assert(opens_by_index());
}
END_TEST

START_TEST(an_index_of_a_file_that_has_grown_or_has_been_replaced_is_not_used)
{
	char other[120];
	struct heard h;
	write_large();
	ck_assert(!opens_by_index() && opens_by_index());
	FILE *f = fopen(path, "a");
	ck_assert(f && fputs("{\"type\":\"vcr.more\",\"data\":{}}\n", f) >= 0 && !fclose(f));
	struct vcr_reader *r = reader(&h);
	ck_assert(!r->indexed && !vcr_reader_session(r)->ended);
	vcr_reader_free(r);
	snprintf(other, sizeof other, "%s/other.vcr", dir);
	ck_assert_int_eq(rename(path, other), 0);
	write_large();
	ck_assert(!opens_by_index() && opens_by_index());
	ck_assert_int_eq(unlink(other), 0);
}
END_TEST

START_TEST(an_index_of_which_any_byte_was_changed_or_that_was_cut_is_none)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_index x;
	write_large();
	ck_assert(!opens_by_index());
	read_index(&text);
	ck_assert_int_eq(vcr_index_decode(&x, text.data, text.len), 0);
	ck_assert_int_eq((int)x.head.n, FRAMES + 7);
	for (size_t i = 0; i < text.len; i++) {
		ck_assert_int_eq(vcr_index_decode(&x, text.data, i), VCR_ECORRUPT);
		text.data[i] ^= 0x10;
		ck_assert_int_eq(vcr_index_decode(&x, text.data, text.len), VCR_ECORRUPT);
		text.data[i] ^= 0x10;
	}
}
END_TEST

static bool is_frame_of(const struct vcr_index_line *l, int64_t line) { return l->kind == VCR_INDEX_FRAME && l->line == line; }
/* What somebody who can write our cache may say of the frame on line 10: each a lie, its sums right. */
static void begin_inside(struct vcr_index_line *l) { if (is_frame_of(l, 10)) { l->offset += 17; l->len -= 18; } }
static void take_two_lines(struct vcr_index_line *l) { if (is_frame_of(l, 10)) l->len = 2 * l->len + 1; else if (is_frame_of(l, 11)) l->len = 0; }
static void end_inside(struct vcr_index_line *l) { if (is_frame_of(l, 10)) l->len -= 2; }
static void another_id(struct vcr_index_line *l) { if (is_frame_of(l, 10)) l->id_hash ^= 1; }
static void no_call(struct vcr_index_line *l) { if (is_frame_of(l, 10)) l->call ^= 1; }
static void another_type(struct vcr_index_line *l) { if (is_frame_of(l, 10)) l->type ^= 1; }
static void another_time(struct vcr_index_line *l) { if (is_frame_of(l, 10)) l->time_ns += 1; }
static void as_another_kind(struct vcr_index_line *l) { if (l->kind == VCR_INDEX_OTHER && l->line == 7) l->offset -= 1; }

static void forge(void (*how)(struct vcr_index_line *))
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, forged = VCR_BUF_INIT;
	struct vcr_index x;
	read_index(&text);
	ck_assert_int_eq(vcr_index_decode(&x, text.data, text.len), 0);
	struct vcr_index_line *line = calloc(x.head.n, sizeof *line);
	for (size_t i = 0; i < x.head.n; i++) {
		line[i] = vcr_index_line(&x, i);
		how(&line[i]);
	}
	ck_assert_int_eq(vcr_index_encode(&forged, &x.head, x.type, line), 0);
	ck_assert_int_eq(vcr_index_decode(&x, forged.data, forged.len), 0);
	vcr_index_save(&x.head.of, &forged);
	free(line);
}

START_TEST(a_forged_index_shows_nothing_and_is_refused_by_name_and_removed)
{
	static void (*const how[])(struct vcr_index_line *) = { begin_inside, take_two_lines, end_inside, another_id, no_call, another_type, another_time };
	struct heard h;
	struct vcr_reader_frame f;
	write_large();
	for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
		struct vcr_error e = { 0 };
		ck_assert_msg(!opens_by_index(), "%zu", i);
		forge(how[i]);
		struct vcr_reader *r = reader(&h);
		int64_t at = 0;
		while (vcr_reader_brief(r, at).line != 10)
			at++;
		ck_assert_msg(r->indexed && vcr_reader_frame(r, at, &f, &e) == VCR_ECORRUPT, "%zu: %s", i, e.what);
		ck_assert_msg(strstr(e.what, "large.vcr:10: the index of this file did not fit it and has been removed"), "%s", e.what);
		vcr_reader_free(r);
	}
}
END_TEST

static void move_header(struct vcr_index_line *l) { if (l->kind == VCR_INDEX_LOOK && l->line == 1) l->offset += 1; }

/* Lines 8 and 9 together are a frame; line 9 is said to be the blank one, line 6. */
static void join_damaged_lines(struct vcr_index_line *l)
{
	static uint64_t blank;
	if (is_frame_of(l, 5))
		blank = l->offset + l->len + 1;
	if (l->kind == VCR_INDEX_LOOK && l->line == 8)
		l->len += 140;
	if (l->kind == VCR_INDEX_LOOK && l->line == 9) {
		l->offset = blank;
		l->len = 0;
	}
}

START_TEST(an_index_whose_header_is_elsewhere_or_that_joins_two_lines_is_as_if_there_were_none)
{
	VCR_AUTO_BUF good = VCR_BUF_INIT, told = VCR_BUF_INIT;
	struct heard h;
	write_large();
	struct vcr_reader *r = reader(&h);
	tell(r, &h, &good);
	vcr_reader_free(r);
	forge(move_header);
	r = reader(&h);
	ck_assert(!r->indexed);
	tell(r, &h, &told);
	ck_assert_str_eq(good.data, told.data);
	vcr_reader_free(r);
	ck_assert(opens_by_index());
	forge(join_damaged_lines);
	r = reader(&h);
	ck_assert(!r->indexed);
	vcr_reader_free(r);
	forge(as_another_kind);
	r = reader(&h);
	ck_assert_int_ne(vcr_reader_body(r, "aa", &told, NULL), 0);
	vcr_reader_free(r);
	ck_assert(!opens_by_index());
}
END_TEST

START_TEST(where_no_index_can_be_kept_or_others_may_write_a_file_opens_without)
{
	char made[120];
	write_large();
	setenv("XDG_CACHE_HOME", "/dev/null/none", 1);
	ck_assert(!opens_by_index() && !opens_by_index());
	setenv("XDG_CACHE_HOME", cache, 1);
	ck_assert(!opens_by_index() && opens_by_index());
	snprintf(made, sizeof made, "%s/vcr/index", cache);
	ck_assert_int_eq(chmod(made, 0777), 0);
	ck_assert(!opens_by_index() && !opens_by_index());
	unsetenv("XDG_CACHE_HOME");
	setenv("HOME", "", 1);
	ck_assert(!opens_by_index() && !opens_by_index());
}
END_TEST

START_TEST(a_small_file_has_no_index_and_of_many_the_oldest_give_way)
{
	char name[200], own[200];
	int left = 0;
	write_large();
	ck_assert(!opens_by_index());
	for (int i = 0; i < 70; i++) {
		snprintf(name, sizeof name, "%s/vcr/index/old-%d", cache, i);
		int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		struct timespec times[2] = { { 1000 + i, 0 }, { 1000 + i, 0 } };
		ck_assert(fd >= 0 && !futimens(fd, times));
		close(fd);
	}
	overwrite(0, "{\"type\":\"session\",\"data\":{\"session_id\":\"LARGE\"");
	ck_assert(!opens_by_index());
	index_path(own);
	ck_assert(!access(own, F_OK));
	for (int i = 0; i < 70; i++) {
		snprintf(name, sizeof name, "%s/vcr/index/old-%d", cache, i);
		ck_assert_msg((access(name, F_OK) == 0) == (i >= 7), "%d", i);
		left++;
	}
	ck_assert_int_eq(truncate(path, VCR_INDEX_BYTES / 2), 0);
	ck_assert(!opens_by_index() && !opens_by_index());
}
END_TEST

START_TEST(a_large_session_that_its_writer_has_ended_has_its_index)
{
	struct vcr_session *s;
	struct vcr_session_options o = { .session_id = "large", .forked_from_frame = -1 };
	char *pad = malloc(PAD + 3);
	ck_assert_ptr_nonnull(pad);
	memset(pad, 'x', PAD + 2);
	*pad = pad[PAD + 1] = '"';
	pad[PAD + 2] = 0;
	ck_assert_int_eq(vcr_session_create(&s, dir, &o, NULL), 0);
	for (int i = 0; i < FRAMES; i++)
		ck_assert_int_eq(vcr_session_add_record(s, "pad", pad, NULL), 0);
	ck_assert_int_eq(vcr_session_end(s, NULL, NULL), 0);
	free(pad);
	ck_assert(opens_by_index());
}
END_TEST

static TCase *index_of_lines(void)
{
	TCase *tc = tcase_create("index");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_is_opened_by_its_index_shows_what_it_shows_when_it_is_read);
	tcase_add_test(tc, an_index_of_a_file_that_was_changed_in_place_is_not_used);
	tcase_add_test(tc, an_index_of_a_file_that_has_grown_or_has_been_replaced_is_not_used);
	tcase_add_test(tc, an_index_of_which_any_byte_was_changed_or_that_was_cut_is_none);
	tcase_add_test(tc, a_forged_index_shows_nothing_and_is_refused_by_name_and_removed);
	tcase_add_test(tc, an_index_whose_header_is_elsewhere_or_that_joins_two_lines_is_as_if_there_were_none);
	tcase_add_test(tc, where_no_index_can_be_kept_or_others_may_write_a_file_opens_without);
	tcase_add_test(tc, a_small_file_has_no_index_and_of_many_the_oldest_give_way);
	tcase_add_test(tc, a_large_session_that_its_writer_has_ended_has_its_index);
	return tc;
}

TAP_MAIN("index", index_of_lines)
