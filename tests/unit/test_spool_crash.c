/* What a spool is like after a crash: of writers, of the reader, of whoever scribbled over it. */
#include "buf.h"
#include "spool.h"
#include "tap.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAPPED = 256 << 20 };

static char dir[64];
static char *path;
static char *map;
static struct vcr_spool_header *h;

static void begin(void)
{
	strcpy(dir, "/dev/shm/vcr-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	setenv("XDG_RUNTIME_DIR", dir, 1);
	struct vcr_spool_make m = { .session_id = "s", .start_dir = "/w/a", .workspace = "/w", .vcr_dir = "/w/.vcr", .root_pid = getpid() };
	struct vcr_error e = { 0 };
	ck_assert_msg(!vcr_spool_create(&m, &path, &e), "%s", e.what);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	map = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	close(fd);
	h = (struct vcr_spool_header *)map;
}

static void end(void)
{
	char command[128];
	munmap(map, MAPPED);
	free(path);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static uint64_t rounded(size_t n)
{
	return (sizeof(struct vcr_spool_record) + n + VCR_SPOOL_ALIGN - 1) & ~(uint64_t)(VCR_SPOOL_ALIGN - 1);
}

/* Take a range, growing the file as a shim does. Also in a child that is killed: it must not ck_assert, which would leave half a message
 * in the stream that Check reads. */
static uint64_t take(uint64_t n)
{
	uint64_t at = __atomic_fetch_add(&h->tail, n, __ATOMIC_SEQ_CST);
	if (at + n > MAPPED)
		abort();
	while (at + n > __atomic_load_n(&h->limit, __ATOMIC_ACQUIRE)) {
		uint64_t limit = __atomic_load_n(&h->limit, __ATOMIC_ACQUIRE), want = at + n + (1 << 20);
		int fd = open(path, O_RDWR | O_CLOEXEC);
		if (posix_fallocate(fd, 0, (off_t)want))
			abort();
		close(fd);
		while (limit < want && !__atomic_compare_exchange_n(&h->limit, &limit, want, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
	}
	return at;
}

static void state(uint64_t at, uint32_t s, uint64_t length)
{
	uint64_t word = (uint64_t)length << 32 | s;
	__atomic_store_n((uint64_t *)(void *)(map + at), word, __ATOMIC_RELEASE);
}

static uint64_t put_at(uint64_t at, uint32_t type, uint32_t conn, const void *p, size_t n)
{
	struct vcr_spool_record r = { .seq = at, .time_ns = 7, .type = type, .crc = vcr_spool_crc(p, n), .pid = getpid(), .tid = 1, .conn = conn, .size = (uint32_t)n };
	state(at, VCR_REC_BUSY, rounded(n));
	memcpy(map + at + 8, (char *)&r + 8, sizeof r - 8);
	memcpy(map + at + sizeof r, p, n);
	state(at, VCR_REC_READY, rounded(n));
	return at;
}

static uint64_t put(uint32_t type, uint32_t conn, const void *p, size_t n)
{
	return put_at(take(rounded(n)), type, conn, p, n);
}

static void ring(void)
{
	__atomic_add_fetch(&h->doorbell, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&h->sleeping, __ATOMIC_SEQ_CST))
		vcr_spool_wake(&h->doorbell);
}

static struct vcr_spool *attach(void)
{
	struct vcr_spool *s;
	struct vcr_error e = { 0 };
	ck_assert_msg(!vcr_spool_attach(&s, path, &e), "%s", e.what);
	return s;
}

START_TEST(strings_of_a_payload_never_lead_outside_it)
{
	struct vcr_spool_event ev = { .size = 9, .payload = "1234ab\0cd" };
	ck_assert_str_eq(vcr_spool_string(&ev, 4, 0), "ab");
	ck_assert_str_eq(vcr_spool_string(&ev, 4, 1), "cd");
	ck_assert_str_eq(vcr_spool_string(&ev, 4, 2), "");
	ck_assert_str_eq(vcr_spool_string(&ev, 400, 0), "");
}
END_TEST

START_TEST(a_reader_that_takes_over_begins_where_the_first_had_consumed)
{
	struct vcr_spool_event ev;
	put(VCR_REC_OUT, 1, "one", 3);
	uint64_t two = put(VCR_REC_OUT, 1, "two", 3);
	put(VCR_REC_OUT, 1, "three", 5);
	struct vcr_spool *s = attach();
	while (!vcr_spool_next(s, false, &ev))
		;
	vcr_spool_consumed(s, two); /* "two" is still needed */
	vcr_spool_free(s);
	s = attach();
	ck_assert_int_eq(vcr_spool_next(s, false, &ev), 0);
	ck_assert_str_eq(ev.payload, "two");
	vcr_spool_consumed(s, UINT64_MAX); /* never beyond what was read */
	ck_assert_uint_eq(h->head, vcr_spool_position(s));
	ck_assert_uint_lt(h->head, h->tail);
	vcr_spool_free(s);
}
END_TEST

START_TEST(a_range_that_was_taken_and_never_begun_is_skipped)
{
	struct vcr_spool *s = attach();
	struct vcr_spool_event ev;
	struct vcr_spool_losses l;
	take(rounded(5000));
	put(VCR_REC_OUT, 1, "after", 5);
	take(rounded(10));
	ck_assert_int_eq(vcr_spool_next(s, true, &ev), 0);
	ck_assert_str_eq(ev.payload, "after");
	ck_assert_int_eq(vcr_spool_next(s, true, &ev), 1);
	vcr_spool_losses(s, &l);
	ck_assert_uint_eq(l.skipped_bytes, rounded(5000) + rounded(10));
	ck_assert_uint_eq(vcr_spool_position(s), h->tail);
	vcr_spool_free(s);
}
END_TEST

START_TEST(a_live_reader_waits_for_an_unfinished_record_but_not_for_ever)
{
	struct vcr_spool *s = attach();
	struct vcr_spool_event ev;
	struct vcr_spool_losses l;
	uint64_t at = take(rounded(4));
	put(VCR_REC_OUT, 1, "after", 5);
	ck_assert_int_eq(vcr_spool_next(s, false, &ev), 1);
	put_at(at, VCR_REC_OUT, 1, "late", 4);
	ck_assert_int_eq(vcr_spool_next(s, false, &ev), 0);
	ck_assert_str_eq(ev.payload, "late");
	ck_assert_int_eq(vcr_spool_next(s, false, &ev), 0);
	take(rounded(4));
	put(VCR_REC_OUT, 1, "last", 4);
	int tries = 0;
	while (vcr_spool_next(s, false, &ev) && ++tries < 200)
		vcr_spool_wait(s, 20);
	ck_assert_int_lt(tries, 200);
	ck_assert_str_eq(ev.payload, "last");
	vcr_spool_losses(s, &l);
	ck_assert_uint_eq(l.skipped_bytes, rounded(4));
	vcr_spool_free(s);
}
END_TEST

START_TEST(garbage_of_any_kind_never_crashes_or_hangs_the_reader)
{
	for (unsigned seed = 1; seed <= 40; seed++) {
		struct vcr_spool_event ev;
		srand(seed);
		uint64_t from = h->tail;
		for (int i = 0; i < 200; i++) {
			char text[64];
			int n = snprintf(text, sizeof text, "record %d of %u", i, seed);
			put(VCR_REC_OUT, 1, text, (size_t)n);
		}
		for (int i = 0; i < 300; i++) {
			uint64_t at = from + (uint64_t)rand() % (h->tail - from);
			map[at] = rand() % 4 ? (char)rand() : (char)0xff;
		}
		if (seed % 3 == 0)
			h->tail += (uint64_t)(rand() % 100000); /* not even a multiple of 32, and beyond the file perhaps */
		struct vcr_spool *s = attach();
		int n = 0;
		while (!vcr_spool_next(s, true, &ev)) {
			ck_assert_uint_eq(strlen(ev.payload) > ev.size, 0);
			n++;
		}
		ck_assert_int_le(n, 200);
		vcr_spool_consumed(s, vcr_spool_position(s));
		h->tail = (vcr_spool_position(s) + 31) & ~31ull;
		h->head = h->tail;
		vcr_spool_free(s);
	}
}
END_TEST

START_TEST(a_damaged_header_is_refused_in_words)
{
	struct vcr_spool *s;
	struct vcr_error e = { 0 };
	h->head = 1ull << 60;
	ck_assert_int_eq(vcr_spool_attach(&s, path, &e), VCR_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(e.what, path));
	h->head = VCR_SPOOL_HEADER;
	memset(h->vcr_dir, 'x', sizeof h->vcr_dir);
	ck_assert_int_eq(vcr_spool_attach(&s, path, &e), VCR_ECORRUPT);
	ck_assert_int_eq(truncate(path, 100), 0);
	ck_assert_int_eq(vcr_spool_attach(&s, path, &e), VCR_ETRUNC);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(vcr_spool_attach(&s, path, &e), VCR_EIO);
}
END_TEST

START_TEST(writers_killed_at_any_moment_leave_every_finished_record_readable)
{
	struct vcr_spool_event ev;
	for (int round = 0; round < 30; round++) {
		struct vcr_spool *s = attach();
		volatile int *written = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		pid_t child = fork();
		if (!child)
			for (;; ++*written)
				put(VCR_REC_OUT, 1, "0123456789", 10);
		struct timespec a_moment = { 0, 20000 + round * 37000 };
		nanosleep(&a_moment, NULL);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		int n = 0;
		while (!vcr_spool_next(s, true, &ev))
			n++;
		ck_assert_int_ge(n, *written);
		ck_assert_int_le(n, *written + 1);
		vcr_spool_consumed(s, vcr_spool_position(s));
		vcr_spool_free(s);
		munmap((void *)written, 4096);
	}
}
END_TEST

static void *ring_soon(void *arg)
{
	struct timespec t = { 0, 30000000 };
	nanosleep(&t, NULL);
	put(VCR_REC_OUT, 1, "x", 1);
	ring();
	return NULL;
}

START_TEST(the_doorbell_wakes_a_sleeping_reader)
{
	struct vcr_spool *s = attach();
	struct vcr_spool_event ev;
	struct timespec a, b;
	pthread_t t;
	clock_gettime(CLOCK_MONOTONIC, &a);
	pthread_create(&t, NULL, ring_soon, NULL);
	while (vcr_spool_next(s, false, &ev))
		vcr_spool_wait(s, 20000);
	clock_gettime(CLOCK_MONOTONIC, &b);
	ck_assert_int_lt(b.tv_sec - a.tv_sec, 10);
	pthread_join(t, NULL);
	vcr_spool_free(s);
}
END_TEST

START_TEST(crc_is_crc32c)
{
	ck_assert_uint_eq(vcr_spool_crc("123456789", 9), 0xe3069283u); /* RFC 3720 appendix B.4's polynomial, the usual check value */
	ck_assert_uint_eq(vcr_spool_crc("", 0), 0);
}
END_TEST

static TCase *spool(void)
{
	TCase *tc = tcase_create("spool");
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, strings_of_a_payload_never_lead_outside_it);
	tcase_add_test(tc, a_reader_that_takes_over_begins_where_the_first_had_consumed);
	tcase_add_test(tc, a_range_that_was_taken_and_never_begun_is_skipped);
	tcase_add_test(tc, a_live_reader_waits_for_an_unfinished_record_but_not_for_ever);
	tcase_add_test(tc, garbage_of_any_kind_never_crashes_or_hangs_the_reader);
	tcase_add_test(tc, a_damaged_header_is_refused_in_words);
	tcase_add_test(tc, writers_killed_at_any_moment_leave_every_finished_record_readable);
	tcase_add_test(tc, the_doorbell_wakes_a_sleeping_reader);
	tcase_add_test(tc, crc_is_crc32c);
	return tc;
}

TAP_MAIN("spool_crash", spool)
