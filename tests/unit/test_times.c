#include "times.h"
#include "savepoint-parts.h"
#include "tap.h"
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/vcr-times-XXXXXX", work[64], state[64], file[96];
static struct vcr_error e;
static struct vcr_store *store;
static struct vcr_rollback_where where;
static struct vcr_savepoint first, second, last;

static void take(const char *change, struct vcr_savepoint *out)
{
	static const struct vcr_store_note note = { .kind = "base" };
	ck_assert_msg(system(change) == 0, "%s", change);
	ck_assert_msg(!vcr_store_base(store, &note, out, &e), "%s", e.what);
}

/* a is changed after the first savepoint and after the second, b after the second only. */
static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(work, sizeof work, "%s/tree", top);
	snprintf(state, sizeof state, "%s/state", top);
	snprintf(file, sizeof file, "%s/times/s", state);
	mkdir(work, 0755);
	mkdir(state, 0700);
	ck_assert_int_eq(chdir(work), 0);
	struct vcr_store_options o = { .workspace = work, .state_dir = state, .session = "s" };
	ck_assert_msg(!vcr_store_open(&store, &o, &e), "%s", e.what);
	where = (struct vcr_rollback_where){ .store = store, .workspace = work, .state_dir = state, .session = "s" };
	take("mkdir d; printf 1 > a; printf 1 > d/b", &first);
	take("printf 22 > a", &second);
	take("printf 333 > a; rm -r d", &last);
}

static void teardown(void)
{
	char cmd[128];
	vcr_store_free(store);
	ck_assert_int_eq(chdir("/"), 0);
	snprintf(cmd, sizeof cmd, "rm -rf %s", top);
	ck_assert_int_eq(system(cmd), 0);
}

static void note(int64_t n, const char *path, int64_t ns)
{
	VCR_AUTO_BUF lines = VCR_BUF_INIT;
	vcr_times_note(store, &lines, n, path, ns);
	ck_assert_msg(!vcr_times_keep(store, &lines, &e), "%s", e.what);
	ck_assert_uint_eq(lines.len, 0);
}

static void append(const char *text)
{
	FILE *f = fopen(file, "a");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* The time that a rollback to a savepoint would give path; -1: it knows none. */
static int64_t time_at(const struct vcr_savepoint *to, const char *path)
{
	struct vcr_rollback p;
	int64_t ns = -1;
	ck_assert_msg(!vcr_rollback_plan(&p, &where, last.tree, NULL, to->tree, &e), "%s", e.what);
	ck_assert_msg(!vcr_times_plan(&p, &where, "s", to, &e), "%s", e.what);
	ck_assert(p.times);
	for (size_t i = 0; i < p.n; i++)
		if (!strcmp(p.item[i].path, path) && p.item[i].timed)
			ns = p.item[i].mtime_ns;
	vcr_rollback_release(&p);
	return ns;
}

START_TEST(the_first_line_from_a_savepoint_on_says_what_the_time_was_then)
{
	ck_assert_int_eq(time_at(&first, "a"), -1); /* there is no file yet */
	note(0, "a", 100);
	note(0, "a", 150);
	note(1, "a", 200);
	note(1, "d/b", 300);
	ck_assert_int_eq(time_at(&first, "a"), 100);
	ck_assert_int_eq(time_at(&second, "a"), 200);
	ck_assert_int_eq(time_at(&first, "d/b"), 300);
	ck_assert_int_eq(time_at(&first, "d"), -1);
}
END_TEST

START_TEST(a_later_line_is_not_believed_if_the_file_was_another_then)
{
	note(1, "a", 200);
	note(1, "d/b", 300);
	note(7, "a", 700); /* of a savepoint that does not exist */
	ck_assert_int_eq(time_at(&first, "a"), -1);
	ck_assert_int_eq(time_at(&first, "d/b"), 300);
}
END_TEST

START_TEST(what_is_no_line_is_passed_over)
{
	static const char *const bad[] = { "", "\n\n", "0\n", "0 5\n", "x 5 00112233445566778899aabbccddeeff\n", "0 5 00112233445566778899aabbccddeeff0\n",
		"99999999999999999999 5 00112233445566778899aabbccddeeff\n", "0  5 00112233445566778899aabbccddeeff\n", "-1 5 00112233445566778899aabbccddeeff\n", "0 12" };
	char id[VCR_PATH_ID], line[96], longest[5000];
	note(0, "d/b", 5);
	append(bad[_i]);
	memset(longest, '7', sizeof longest - 1);
	longest[sizeof longest - 1] = 0;
	ck_assert_int_eq(vcr_store_path_id(store, "a", true, id, &e), 0);
	snprintf(line, sizeof line, "0 1 %s", id);
	memcpy(longest + 95 * 20, line, strlen(line)); /* where a reader of pieces would begin a new one */
	append(longest);
	note(0, "a", 100); /* gives what is torn an end */
	note(1, "a", 200);
	ck_assert_int_eq(time_at(&first, "a"), 100);
	ck_assert_int_eq(time_at(&first, "d/b"), 5);
}
END_TEST

START_TEST(names_are_not_in_it_and_others_cannot_read_it)
{
	char text[256] = "";
	struct stat st;
	note(0, "a-name-that-is-a-secret", 1);
	FILE *f = fopen(file, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_gt(fread(text, 1, sizeof text - 1, f), 0);
	fclose(f);
	ck_assert_ptr_null(strstr(text, "secret"));
	ck_assert_int_eq(stat(file, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
}
END_TEST

START_TEST(it_goes_no_further_than_its_limit)
{
	struct stat st;
	note(0, "a", 100);
	ck_assert_int_eq(truncate(file, VCR_TIMES_MAX), 0);
	note(1, "a", 200);
	ck_assert_int_eq(stat(file, &st), 0);
	ck_assert_int_eq(st.st_size, VCR_TIMES_MAX);
}
END_TEST

START_TEST(a_link_in_its_place_is_not_followed)
{
	VCR_AUTO_BUF lines = VCR_BUF_INIT;
	note(0, "a", 100);
	ck_assert_int_eq(unlink(file), 0);
	ck_assert_int_eq(symlink("../elsewhere", file), 0);
	vcr_times_note(store, &lines, 0, "a", 100);
	ck_assert_int_ne(vcr_times_keep(store, &lines, &e), 0);
	ck_assert_uint_eq(lines.len, 0);
	ck_assert_int_eq(access("../state/elsewhere", F_OK), -1);
	ck_assert_int_eq(time_at(&first, "a"), -1);
}
END_TEST

START_TEST(removed_it_is_gone_and_may_be_removed_again)
{
	note(0, "a", 100);
	ck_assert_int_eq(vcr_times_remove(store, "s", &e), 0);
	ck_assert_int_eq(access(file, F_OK), -1);
	ck_assert_int_eq(vcr_times_remove(store, "s", &e), 0);
	ck_assert_int_eq(vcr_times_remove(store, "../../tree/a", &e), 0);
	ck_assert_int_eq(access("a", F_OK), 0);
}
END_TEST

/* To `to` from the state of `from`, told of as a rollback is. */
static void roll(const struct vcr_savepoint *from, const struct vcr_savepoint *to)
{
	struct vcr_rollback p;
	ck_assert_msg(!vcr_rollback_plan(&p, &where, from->tree, NULL, to->tree, &e), "%s", e.what);
	vcr_times_see(&p, &where);
	ck_assert_msg(!vcr_rollback_apply(&p, &where, false, "test", &e), "%s", e.what);
	ck_assert_msg(!vcr_times_keep_undo(&p, &where, &e), "%s", e.what);
	vcr_rollback_release(&p);
}

/* What taking the rollback of `before` back would give a, from the state of `now`; -1: it knows none. */
static int64_t time_undone(const struct vcr_savepoint *now, const struct vcr_savepoint *before)
{
	struct vcr_rollback p;
	int64_t ns = -1;
	ck_assert_msg(!vcr_rollback_plan(&p, &where, now->tree, NULL, before->tree, &e), "%s", e.what);
	ck_assert_msg(!vcr_times_plan_undo(&p, &where, before, &e), "%s", e.what);
	for (size_t i = 0; i < p.n; i++)
		if (!strcmp(p.item[i].path, "a") && p.item[i].timed)
			ns = p.item[i].mtime_ns;
	vcr_rollback_release(&p);
	return ns;
}

START_TEST(what_a_rollback_replaced_has_its_times_until_it_is_forgotten)
{
	struct vcr_savepoint one, two, after;
	ck_assert_int_eq(system("touch -d @1500000000.25 a"), 0);
	roll(&last, &second);
	ck_assert_int_eq(vcr_rollback_last(store, &one, &after, &e), 0);
	ck_assert_int_eq(system("touch -d @1600000000.5 a"), 0);
	roll(&second, &first);
	ck_assert_int_eq(vcr_rollback_last(store, &two, &after, &e), 0);
	ck_assert_int_eq(time_undone(&first, &two), 1600000000500000000);
	ck_assert_int_eq(time_undone(&first, &one), 1500000000250000000);
	vcr_times_forget_undo(store, two.time_ns);
	ck_assert_int_eq(time_undone(&first, &two), 1600000000500000000);
	ck_assert_int_eq(time_undone(&first, &one), -1); /* nor is the other's believed */
}
END_TEST

static TCase *tc(void)
{
	TCase *t = tcase_create("times");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_first_line_from_a_savepoint_on_says_what_the_time_was_then);
	tcase_add_test(t, a_later_line_is_not_believed_if_the_file_was_another_then);
	tcase_add_loop_test(t, what_is_no_line_is_passed_over, 0, 10);
	tcase_add_test(t, names_are_not_in_it_and_others_cannot_read_it);
	tcase_add_test(t, it_goes_no_further_than_its_limit);
	tcase_add_test(t, a_link_in_its_place_is_not_followed);
	tcase_add_test(t, removed_it_is_gone_and_may_be_removed_again);
	tcase_add_test(t, what_a_rollback_replaced_has_its_times_until_it_is_forgotten);
	return t;
}

TAP_MAIN("times", tc)
