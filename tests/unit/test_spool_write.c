#include "spool-write.h"
#include "spool.h"
#include "tap.h"
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], *path;
static struct vcr_spool_writer *w;
static struct vcr_spool *spool;

static void setup(void)
{
	struct vcr_spool_make make = { .session_id = "x", .start_dir = "/", .workspace = "/", .vcr_dir = "/" };
	struct vcr_error e = { 0 };
	strcpy(dir, "/dev/shm/vcr-unit.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	setenv("XDG_RUNTIME_DIR", dir, 1);
	ck_assert_msg(!vcr_spool_create(&make, &path, &e) && !vcr_spool_attach(&spool, path, &e) && !vcr_spool_writer_new(&w, path, &e), "%s", e.what);
}

static void teardown(void)
{
	char vcr[80];
	vcr_spool_writer_free(w);
	vcr_spool_remove(spool);
	vcr_spool_free(spool);
	free(path);
	snprintf(vcr, sizeof vcr, "%s/vcr", dir);
	rmdir(vcr);
	rmdir(dir);
}

START_TEST(what_is_appended_is_read_with_its_process_and_time)
{
	struct vcr_rec_conn c = { .kind = VCR_CONN_TLS, .fd = VCR_CONN_BY_GATE };
	struct vcr_spool_event ev;
	uint32_t conn = vcr_spool_writer_conn(w);
	ck_assert(vcr_spool_writer_append(w, &(struct vcr_spool_append){ .type = VCR_REC_CONN, .conn = conn, .pid = 77, .time_ns = 5, .head = &c, .nhead = sizeof c, .data = "host\0", .n = 6 }));
	ck_assert_int_eq(vcr_spool_next(spool, false, &ev), 0);
	ck_assert(ev.type == VCR_REC_CONN && ev.conn == conn && ev.pid == 77 && ev.time_ns == 5);
	ck_assert_str_eq(vcr_spool_string(&ev, sizeof c, 0), "host");
	ck_assert_uint_eq(vcr_spool_writer_header(w)->doorbell, 0);
	vcr_spool_writer_ring(w);
	ck_assert_uint_eq(vcr_spool_writer_header(w)->doorbell, 1);
	vcr_spool_writer_prepare(w);
	ck_assert_int_eq(vcr_spool_next(spool, false, &ev), 1);
	ck_assert_uint_eq(vcr_spool_position(spool), vcr_spool_writer_end(w));
	ck_assert_uint_ne(vcr_spool_writer_conn(w), conn);
}
END_TEST

START_TEST(bytes_of_any_length_come_through_in_order)
{
	size_t n = (5 << 20) + 3, got = 0;
	char *data = malloc(n);
	struct vcr_spool_event ev;
	for (size_t i = 0; i < n; i++)
		data[i] = (char)(i * 7 + i / 251);
	ck_assert(vcr_spool_writer_append(w, &(struct vcr_spool_append){ .type = VCR_REC_IN, .conn = 1, .data = data, .n = n }));
	while (vcr_spool_next(spool, true, &ev) == 0) {
		ck_assert_mem_eq(ev.payload, data + got, ev.size);
		got += ev.size;
	}
	ck_assert_uint_eq(got, n);
	free(data);
}
END_TEST

START_TEST(a_damaged_header_costs_records_and_nothing_else)
{
	struct vcr_spool_header *h = vcr_spool_writer_header(w);
	struct vcr_spool_append a = { .type = VCR_REC_NOTE, .pid = 7, .data = "{}", .n = 2 };
	uint64_t tail = h->tail, head = h->head, dropped = h->dropped_records;
	const uint64_t tails[] = { UINT64_MAX - 63, VCR_SPOOL_VIRTUAL, VCR_SPOOL_VIRTUAL - 32, (uint64_t)2 << 30, 0, tail + 1 };
	for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
		h->tail = tails[i];
		ck_assert(!vcr_spool_writer_append(w, &a));
	}
	ck_assert_uint_eq(h->dropped_records, dropped + sizeof tails / sizeof *tails);
	ck_assert(h->dropped[0].pid == 7 && h->dropped[0].records == sizeof tails / sizeof *tails && !h->dropped[1].pid);
	h->tail = tail;
	h->limit = UINT64_MAX; /* the file's own size counts */
	ck_assert(vcr_spool_writer_append(w, &a));
	h->head = head - VCR_SPOOL_BACKLOG * 2ull;
	ck_assert(!vcr_spool_writer_append(w, &a));
	h->head = head;
}
END_TEST

/* A collector that has rested reads when it is rung for the second time. */
static void *read_when_rung(void *head)
{
	struct vcr_spool_header *h = vcr_spool_writer_header(w);
	while (__atomic_load_n(&h->doorbell, __ATOMIC_ACQUIRE) < 2)
		sched_yield();
	__atomic_store_n(&h->head, *(uint64_t *)head, __ATOMIC_RELEASE);
	return NULL;
}

START_TEST(without_room_the_collector_is_rung_and_one_that_does_not_read_is_waited_for_once)
{
	struct vcr_spool_header *h = vcr_spool_writer_header(w);
	struct vcr_spool_append a = { .type = VCR_REC_NOTE, .data = "{}", .n = 2 };
	uint64_t head = h->head, full = head - VCR_SPOOL_BACKLOG * 2ull;
	pthread_t reader;
	h->head = full;
	ck_assert(!vcr_spool_writer_append(w, &a));
	ck_assert_uint_eq(h->doorbell, 0); /* there is none */
	h->collector = VCR_COLLECTOR_RUNNING;
	for (int i = 0; i < 3; i++) {
		ck_assert(!vcr_spool_writer_append(w, &a));
		ck_assert(h->doorbell == 1 && h->vain == full);
	}
	h->vain = 0;
	ck_assert(!pthread_create(&reader, NULL, read_when_rung, &head));
	ck_assert(vcr_spool_writer_append(w, &a));
	ck_assert(!pthread_join(reader, NULL) && h->doorbell == 2 && h->dropped_records == 4);
}
END_TEST

START_TEST(a_file_that_is_no_spool_is_refused)
{
	struct vcr_spool_writer *other = NULL;
	struct vcr_error e;
	ck_assert_int_lt(vcr_spool_writer_new(&other, "/dev/null", &e), 0);
	vcr_spool_writer_header(w)->magic[0] = 'X';
	ck_assert_int_eq(vcr_spool_writer_new(&other, path, &e), VCR_ECORRUPT);
	ck_assert_ptr_null(other);
}
END_TEST

static TCase *tc_write(void)
{
	TCase *tc = tcase_create("spool-write");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_is_appended_is_read_with_its_process_and_time);
	tcase_add_test(tc, bytes_of_any_length_come_through_in_order);
	tcase_add_test(tc, a_damaged_header_costs_records_and_nothing_else);
	tcase_add_test(tc, without_room_the_collector_is_rung_and_one_that_does_not_read_is_waited_for_once);
	tcase_add_test(tc, a_file_that_is_no_spool_is_refused);
	return tc;
}

TAP_MAIN("spool-write", tc_write)
