#include "spool.h"
#include "tap.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *path;
static struct vcr_spool *spool;
static struct vcr_spool_header *h;
static char *map;

static void setup(void)
{
	struct vcr_spool_make m = { "s1", "/tmp", "/tmp", "/tmp/.vcr", 0, getpid() };
	struct vcr_error e = { 0 };
	ck_assert_msg(!vcr_spool_create(&m, &path, &e), "%s", e.what);
	ck_assert_msg(!vcr_spool_attach(&spool, path, &e), "%s", e.what);
	h = vcr_spool_header(spool);
	map = (char *)h;
}

static void teardown(void)
{
	vcr_spool_remove(spool);
	vcr_spool_free(spool);
	free(path);
}

/* A writer as spool-format.h says it; `stage` < 3 stops in the middle, as a killed process would. */
static uint64_t append(uint32_t type, const char *payload, size_t n, int stage)
{
	uint32_t length = (uint32_t)(sizeof(struct vcr_spool_record) + n + VCR_SPOOL_ALIGN - 1) & ~(uint32_t)(VCR_SPOOL_ALIGN - 1);
	uint64_t at = __atomic_fetch_add(&h->tail, length, __ATOMIC_ACQ_REL);
	struct vcr_spool_record *r = (struct vcr_spool_record *)(map + at);
	while (at + length > __atomic_load_n(&h->limit, __ATOMIC_ACQUIRE)) {
		vcr_spool_grow(spool, false);
		if (at + length > h->limit) {
			int fd = open(path, O_RDWR);
			ck_assert_int_eq(posix_fallocate(fd, 0, (off_t)(at + length)), 0);
			close(fd);
			break;
		}
	}
	if (stage == 0)
		return at;
	uint64_t busy = (uint64_t)length << 32 | VCR_REC_BUSY, ready = (uint64_t)length << 32 | VCR_REC_READY;
	__atomic_store_n((uint64_t *)r, busy, __ATOMIC_RELEASE);
	if (stage == 1)
		return at;
	r->seq = at;
	r->type = type;
	r->pid = getpid();
	r->size = (uint32_t)n;
	r->crc = vcr_spool_crc(payload, n);
	memcpy(r + 1, payload, n);
	if (stage == 2)
		return at;
	__atomic_store_n((uint64_t *)r, ready, __ATOMIC_RELEASE);
	return at;
}

START_TEST(records_come_back_in_order)
{
	struct vcr_spool_event ev;
	append(VCR_REC_OUT, "one", 3, 3);
	append(VCR_REC_IN, "", 0, 3);
	append(VCR_REC_OUT, "three", 5, 3);
	ck_assert_int_eq(vcr_spool_next(spool, false, &ev), 0);
	ck_assert_str_eq(ev.payload, "one");
	ck_assert_int_eq(vcr_spool_next(spool, false, &ev), 0);
	ck_assert_uint_eq(ev.size, 0);
	ck_assert_int_eq(vcr_spool_next(spool, false, &ev), 0);
	ck_assert_str_eq(ev.payload, "three");
	ck_assert_int_eq(vcr_spool_next(spool, false, &ev), 1);
}
END_TEST

START_TEST(finished_records_that_wait_are_counted_and_not_read)
{
	struct vcr_spool_event ev;
	ck_assert(!vcr_spool_holds(spool, 1));
	append(VCR_REC_OUT, "one", 3, 3);
	append(VCR_REC_OUT, "two", 3, 3);
	append(VCR_REC_OUT, "half", 4, 2);
	append(VCR_REC_OUT, "four", 4, 3);
	ck_assert(vcr_spool_holds(spool, 2));
	ck_assert(!vcr_spool_holds(spool, 3));
	ck_assert(!vcr_spool_next(spool, false, &ev) && !strcmp(ev.payload, "one"));
	ck_assert(vcr_spool_holds(spool, 1));
	ck_assert(!vcr_spool_holds(spool, 2));
}
END_TEST

/* What a writer adds, if it may. */
static bool add_closed(uint64_t at, uint64_t ns)
{
	struct vcr_spool_record *r = (struct vcr_spool_record *)(map + at);
	uint64_t was = (uint64_t)r->length << 32 | VCR_REC_READY;
	r->closed_ns = ns;
	return __atomic_compare_exchange_n((uint64_t *)r, &was, (uint64_t)r->length << 32 | VCR_REC_CLOSED, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

START_TEST(a_file_record_says_that_it_was_closed_until_it_is_taken)
{
	static const struct vcr_rec_file f = { .op = VCR_FILE_OPEN };
	struct vcr_spool_event ev;
	uint64_t one = append(VCR_REC_FILE, (const char *)&f, sizeof f, 3), two = append(VCR_REC_FILE, (const char *)&f, sizeof f, 3);
	uint64_t out = append(VCR_REC_OUT, "x", 1, 3);
	ck_assert(add_closed(one, 7));
	for (int reader = 0; reader < 2; reader++) { /* the second comes when the first has died */
		ck_assert(!vcr_spool_next(spool, false, &ev) && ev.seq == one && ev.closed && ev.closed_ns == 7);
		ck_assert(!vcr_spool_next(spool, false, &ev) && ev.seq == two && !ev.closed);
		ck_assert(!add_closed(two, 8));
		ck_assert(!vcr_spool_next(spool, false, &ev) && ev.seq == out && !ev.closed && ev.type == VCR_REC_OUT);
		ck_assert_int_eq(vcr_spool_next(spool, false, &ev), 1);
		vcr_spool_free(spool);
		ck_assert(!vcr_spool_attach(&spool, path, NULL));
		h = vcr_spool_header(spool);
		map = (char *)h;
	}
}
END_TEST

START_TEST(a_record_cut_at_any_stage_costs_only_itself)
{
	for (int stage = 0; stage < 3; stage++) {
		struct vcr_spool_event ev;
		append(VCR_REC_OUT, "before", 6, 3);
		append(VCR_REC_OUT, "cut in the middle of its life, longer than one line", 52, stage);
		append(VCR_REC_OUT, "after", 5, 3);
		ck_assert_int_eq(vcr_spool_next(spool, true, &ev), 0);
		ck_assert_str_eq(ev.payload, "before");
		ck_assert_int_eq(vcr_spool_next(spool, true, &ev), 0);
		ck_assert_str_eq(ev.payload, "after");
	}
	struct vcr_spool_losses l;
	vcr_spool_losses(spool, &l);
	ck_assert_uint_eq(l.cut, 2);
	ck_assert_uint_gt(l.skipped_bytes, 0);
}
END_TEST

START_TEST(an_unfinished_record_of_a_living_writer_is_waited_for)
{
	struct vcr_spool_event ev;
	uint64_t at = append(VCR_REC_OUT, "slow", 4, 2);
	ck_assert_int_eq(vcr_spool_next(spool, false, &ev), 1);
	struct vcr_spool_record *r = (struct vcr_spool_record *)(map + at);
	__atomic_store_n(&r->state, VCR_REC_READY, __ATOMIC_RELEASE);
	ck_assert_int_eq(vcr_spool_next(spool, false, &ev), 0);
	ck_assert_str_eq(ev.payload, "slow");
}
END_TEST

START_TEST(a_reader_that_was_kept_from_looking_does_not_give_up_a_record_for_it)
{
	struct vcr_spool_event ev;
	uint64_t at = append(VCR_REC_OUT, "slow", 4, 2);
	ck_assert_int_eq(vcr_spool_next(spool, false, &ev), 1);
	poll(NULL, 0, 700); /* a machine that stands still stops both */
	ck_assert_int_eq(vcr_spool_next(spool, false, &ev), 1);
	__atomic_store_n(&((struct vcr_spool_record *)(map + at))->state, VCR_REC_READY, __ATOMIC_RELEASE);
	ck_assert_int_eq(vcr_spool_next(spool, false, &ev), 0);
	ck_assert_str_eq(ev.payload, "slow");
	append(VCR_REC_OUT, "never", 5, 2);
	append(VCR_REC_OUT, "next", 4, 3);
	while (vcr_spool_next(spool, false, &ev)) /* one who looks and looks goes on in the end */
		poll(NULL, 0, 5);
	ck_assert_str_eq(ev.payload, "next");
}
END_TEST

START_TEST(flipped_bits_lose_records_never_the_reader)
{
	unsigned seed = 1;
	for (int round = 0; round < 300; round++) {
		struct vcr_spool_event ev;
		uint64_t from = h->tail;
		for (int i = 0; i < 20; i++)
			append(VCR_REC_OUT, "some payload or other", 21, 3);
		for (int i = 0; i < 30; i++) {
			seed = seed * 1664525u + 1013904223u;
			map[from + (seed >> 8) % (h->tail - from)] ^= (char)(1 << (seed & 7));
		}
		int n = 0;
		while (!vcr_spool_next(spool, true, &ev))
			ck_assert_int_lt(n++, 1000);
		ck_assert_uint_eq(vcr_spool_position(spool), h->tail);
	}
}
END_TEST

static void *writer(void *arg)
{
	char text[64];
	for (int i = 0; i < 20000; i++)
		append(VCR_REC_OUT, text, (size_t)snprintf(text, sizeof text, "%d %d", *(int *)arg, i), 3);
	return NULL;
}

START_TEST(four_threads_lose_nothing_and_the_memory_comes_back)
{
	pthread_t t[4];
	int id[4], last[4] = { -1, -1, -1, -1 }, total = 0;
	for (int i = 0; i < 4; i++) {
		id[i] = i;
		pthread_create(&t[i], NULL, writer, &id[i]);
	}
	struct vcr_spool_event ev;
	while (total < 80000) {
		if (vcr_spool_next(spool, false, &ev))
			continue;
		int who, k;
		ck_assert_int_eq(sscanf(ev.payload, "%d %d", &who, &k), 2);
		ck_assert_int_eq(k, last[who] + 1);
		last[who] = k;
		total++;
		if (total % 1000 == 0)
			vcr_spool_consumed(spool, vcr_spool_position(spool));
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	struct vcr_spool_losses l;
	vcr_spool_losses(spool, &l);
	ck_assert_uint_eq(l.skipped_bytes + l.cut + l.bad_crc, 0);
}
END_TEST

static void *grow_when_asked(void *unused)
{
	uint32_t seen = 0;
	vcr_spool_await_scarce(spool, &seen);
	vcr_spool_grow(spool, seen);
	return NULL;
}

START_TEST(there_is_room_ahead_and_more_for_who_asks)
{
	pthread_t thread;
	struct stat st;
	uint64_t from = h->tail = h->limit - (600 << 10);
	vcr_spool_grow(spool, false);
	ck_assert_uint_eq(h->limit, from + (600 << 10)); /* enough */
	h->tail += 200 << 10;
	vcr_spool_grow(spool, false);
	ck_assert_uint_ge(h->limit, h->tail + (512 << 10));
	ck_assert_uint_lt(h->limit, h->tail + (2 << 20));
	ck_assert_int_eq(pthread_create(&thread, NULL, grow_when_asked, NULL), 0);
	__atomic_fetch_add(&h->scarce, 1, __ATOMIC_SEQ_CST);
	vcr_spool_wake(&h->scarce);
	pthread_join(thread, NULL);
	ck_assert_uint_ge(h->limit, h->tail + (4 << 20));
	ck_assert(!stat(path, &st) && (uint64_t)st.st_size >= h->limit);
}
END_TEST

#if !defined __SANITIZE_ADDRESS__
START_TEST(where_not_all_can_be_mapped_records_are_read_piece_by_piece)
{
	enum { N = 60, SIZE = 1 << 20 };
	static char payload[SIZE];
	struct vcr_spool_event ev;
	pid_t pid;
	int status;
	vcr_spool_free(spool); /* the one that is tried has little address space, and is a process of its own */
	int fd = open(path, O_RDWR);
	ck_assert_int_eq(posix_fallocate(fd, 0, (N + 2) * (SIZE + 4096)), 0);
	map = mmap(NULL, (N + 2) * (SIZE + 4096), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert(map != MAP_FAILED);
	h = (struct vcr_spool_header *)map;
	h->limit = (N + 2) * (SIZE + 4096);
	for (int i = 0; i < N; i++) {
		memset(payload, 'a' + i % 26, SIZE);
		append(VCR_REC_OUT, payload, SIZE - (size_t)i * 7, 3);
	}
	if (!(pid = fork())) {
		const struct rlimit limit = { 1ull << 30, 1ull << 30 };
		bool good = !setrlimit(RLIMIT_AS, &limit) && !vcr_spool_attach(&spool, path, NULL);
		for (int i = 0; good && i < N; i++)
			good = !vcr_spool_next(spool, false, &ev) && ev.size == SIZE - (size_t)i * 7 && ev.payload[0] == 'a' + i % 26 && ev.payload[ev.size - 1] == ev.payload[0];
		_exit(good ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	munmap(map, (N + 2) * (SIZE + 4096));
	close(fd);
	ck_assert_int_eq(vcr_spool_attach(&spool, path, NULL), 0);
}
END_TEST
#endif

static void *act(void *unused)
{
	while (!__atomic_load_n(&h->held, __ATOMIC_SEQ_CST))
		usleep(100);
	vcr_spool_acted(h, 99);
	vcr_spool_acted(h, 100);
	return NULL;
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

START_TEST(who_holds_an_answer_back_goes_on_when_its_request_has_been_looked_at)
{
	pthread_t thread;
	double begin = seconds();
	vcr_spool_acted(h, 50);
	ck_assert_uint_eq(h->acted_bell, 0); /* nobody waits: no system call */
	vcr_spool_await(h, 40, 50, 10000000);
	vcr_spool_await(h, 90, 100, 1000);
	ck_assert_uint_eq(h->acted, 50);
	ck_assert_int_eq(pthread_create(&thread, NULL, act, NULL), 0);
	while (h->acted < 100)
		vcr_spool_await(h, 90, 100, 10000000);
	ck_assert_uint_eq(h->acted, 100);
	ck_assert_uint_eq(h->held, 0);
	pthread_join(thread, NULL);
	ck_assert_double_lt(seconds() - begin, 8);
}
END_TEST

static void *find_clean(void *unused)
{
	while (!__atomic_load_n(&h->held, __ATOMIC_SEQ_CST))
		usleep(100);
	vcr_spool_clean(h, 90);
	return NULL;
}

START_TEST(or_when_its_call_was_found_to_follow_no_change)
{
	pthread_t thread;
	double begin = seconds();
	vcr_spool_clean(h, 40);
	ck_assert_uint_eq(h->acted_bell, 0);
	vcr_spool_await(h, 40, 50, 10000000);
	vcr_spool_await(h, 90, 100, 1000); /* of an earlier call */
	ck_assert_int_eq(pthread_create(&thread, NULL, find_clean, NULL), 0);
	while (h->clean < 90)
		vcr_spool_await(h, 90, 100, 10000000);
	ck_assert_uint_eq(h->held, 0);
	ck_assert_uint_lt(h->acted, 100);
	pthread_join(thread, NULL);
	ck_assert_double_lt(seconds() - begin, 8);
}
END_TEST

/* Who waits for one to end must not wait for its parent. */
START_TEST(a_process_that_has_ended_has_no_start_time_though_nobody_has_waited_for_it)
{
	siginfo_t info;
	int go[2];
	ck_assert_uint_ne(vcr_spool_start_time(getpid()), 0);
	ck_assert_int_eq(pipe(go), 0);
	pid_t pid = fork();
	if (!pid) {
		char c;
		close(go[1]);
		_exit(read(go[0], &c, 1) != 0);
	}
	ck_assert_uint_ne(vcr_spool_start_time(pid), 0);
	close(go[0]);
	close(go[1]);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	ck_assert_uint_eq(vcr_spool_start_time(pid), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_uint_eq(vcr_spool_start_time(pid), 0);
}
END_TEST

START_TEST(there_is_one_reader)
{
	struct vcr_spool *other;
	ck_assert_int_eq(vcr_spool_attach(&other, path, NULL), VCR_EBUSY);
}
END_TEST

START_TEST(a_file_that_is_no_spool_is_refused)
{
	struct vcr_spool *other;
	struct vcr_error e;
	char name[] = "/tmp/vcr-nospool-XXXXXX", lock[64];
	int fd = mkstemp(name);
	ck_assert_int_eq(vcr_spool_attach(&other, name, &e), VCR_ETRUNC);
	ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
	ck_assert_int_eq(vcr_spool_attach(&other, name, &e), VCR_ECORRUPT);
	close(fd);
	unlink(name);
	snprintf(lock, sizeof lock, "%s.lock", name);
	unlink(lock);
}
END_TEST

static TCase *spools(void)
{
	TCase *tc = tcase_create("spool");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, records_come_back_in_order);
	tcase_add_test(tc, finished_records_that_wait_are_counted_and_not_read);
	tcase_add_test(tc, a_file_record_says_that_it_was_closed_until_it_is_taken);
	tcase_add_test(tc, a_record_cut_at_any_stage_costs_only_itself);
	tcase_add_test(tc, an_unfinished_record_of_a_living_writer_is_waited_for);
	tcase_add_test(tc, a_reader_that_was_kept_from_looking_does_not_give_up_a_record_for_it);
	tcase_add_test(tc, flipped_bits_lose_records_never_the_reader);
	tcase_add_test(tc, four_threads_lose_nothing_and_the_memory_comes_back);
	tcase_add_test(tc, there_is_room_ahead_and_more_for_who_asks);
#if !defined __SANITIZE_ADDRESS__ /* whose own map is larger than any such limit */
	tcase_add_test(tc, where_not_all_can_be_mapped_records_are_read_piece_by_piece);
#endif
	tcase_add_test(tc, who_holds_an_answer_back_goes_on_when_its_request_has_been_looked_at);
	tcase_add_test(tc, or_when_its_call_was_found_to_follow_no_change);
	tcase_add_test(tc, a_process_that_has_ended_has_no_start_time_though_nobody_has_waited_for_it);
	tcase_add_test(tc, there_is_one_reader);
	tcase_add_test(tc, a_file_that_is_no_spool_is_refused);
	return tc;
}

TAP_MAIN("spool", spools)
