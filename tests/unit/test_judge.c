#include "judge.h"
#include "tap.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* What the judge does depends on the path that it is asked about. It tells how many bytes it was given. */
static const char script[] =
	"while read -r line; do case \"$line\" in *'\"judge\":1'*) continue;; esac\n"
	"id=${line#*\\\"id\\\":}; id=${id%%,*}; n=0\n"
	"case \"$line\" in *before\\\":[0-9]*) b=${line#*\\\"before\\\":}; n=$((n + ${b%%,*}));; esac\n"
	"case \"$line\" in *after\\\":[0-9]*) a=${line#*\\\"after\\\":}; n=$((n + ${a%%\\}*}));; esac\n"
	"got=$(head -c $n | wc -c)\n"
	"case \"$line\" in *'\"die\"'*) kill -9 $$;; *'\"slow\"'*) exec sleep 100;; *'\"nonsense\"'*) echo '{\"id\":0}'; continue;; *'\"leave\"'*) echo \"{\\\"id\\\":$id,\\\"got\\\":$got}\"; exit 0;; esac\n"
	"echo \"{\\\"id\\\":$id,\\\"got\\\":$got}\"; done";
static const char *const sh[] = { "/bin/sh", "-c", script, NULL };

static char said[4000];

static void on_answer(void *ctx, void *tag, const struct vcr_json *a, const char *why)
{
	int64_t got = -1;
	if (a)
		vcr_json_int(a, vcr_json_get(a, 0, "got"), &got);
	char *end = said + strlen(said);
	if (a)
		snprintf(end, (size_t)(said + sizeof said - end), "%s=%lld;", (const char *)tag, (long long)got);
	else
		snprintf(end, (size_t)(said + sizeof said - end), "%s: %s;", (const char *)tag, why);
}

static void on_mark(void *ctx, uint64_t mark)
{
	snprintf(said + strlen(said), sizeof said - strlen(said), "|%llu;", (unsigned long long)mark);
}

/* Bytes that are moved, and looked at for the end of a line: of each such call what it may come to. */
static size_t moved, searched;
void __real_vcr_buf_drop(struct vcr_buf *b, size_t n);
void __wrap_vcr_buf_drop(struct vcr_buf *b, size_t n);
void *__real_memchr(const void *p, int c, size_t n);
void *__wrap_memchr(const void *p, int c, size_t n);

void __wrap_vcr_buf_drop(struct vcr_buf *b, size_t n)
{
	moved += b->len - n;
	__real_vcr_buf_drop(b, n);
}

void *__wrap_memchr(const void *p, int c, size_t n)
{
	searched += c == '\n' ? n : 0;
	return __real_memchr(p, c, n);
}

static struct vcr_judge *new_judge(const char *const *argv, int timeout_ms)
{
	struct vcr_judge_options o = { .program = argv[0], .argv = argv, .workspace = "/w", .timeout_ms = timeout_ms, .answered = on_answer, .reached = on_mark };
	struct vcr_judge *j;
	signal(SIGPIPE, SIG_IGN);
	*said = 0;
	ck_assert_int_eq(vcr_judge_new(&j, &o), 0);
	return j;
}

static void ask(struct vcr_judge *j, const char *path, const char *before, const char *after)
{
	struct vcr_judge_text b = { before, before ? strlen(before) : 0, before ? VCR_JUDGE_PRESENT : VCR_JUDGE_ABSENT };
	struct vcr_judge_text a = { after, after ? strlen(after) : 0, after ? VCR_JUDGE_PRESENT : VCR_JUDGE_ABSENT };
	vcr_judge_ask(j, path, b, a, (void *)path);
}

START_TEST(each_question_is_answered_in_its_turn_and_a_mark_comes_when_all_before_it_are)
{
	struct vcr_judge *j = new_judge(sh, 0);
	vcr_judge_mark(j, 1);
	ck_assert_str_eq(said, "|1;"); /* nothing is asked: at once */
	ask(j, "a", NULL, "12345");
	ask(j, "b", "123", "4567\n");
	vcr_judge_mark(j, 2);
	ask(j, "c", "gone", NULL);
	vcr_judge_mark(j, 3);
	vcr_judge_finish(j, 20000);
	ck_assert_str_eq(said, "|1;a=5;b=8;|2;c=4;|3;");
	vcr_judge_free(j);
}
END_TEST

START_TEST(one_that_dies_or_talks_nonsense_costs_one_question)
{
	struct vcr_judge *j = new_judge(sh, 0);
	ask(j, "a", NULL, "1");
	ask(j, "die", NULL, "1");
	ask(j, "b", NULL, "12");
	ask(j, "nonsense", NULL, "1");
	ask(j, "leave", NULL, "123");
	vcr_judge_mark(j, 9);
	vcr_judge_finish(j, 20000);
	ck_assert_str_eq(said, "a=1;die: the judge died of signal 9;b=2;nonsense: the judge ended, or its answer is not what the protocol says;leave=3;|9;");
	vcr_judge_free(j);
}
END_TEST

START_TEST(one_that_ends_while_nobody_asks_costs_none)
{
	struct vcr_judge *j = new_judge(sh, 0);
	struct pollfd fd;
	vcr_judge_start(j);
	ask(j, "leave", NULL, "1");
	while (!*said && vcr_judge_pollfd(j, &fd)) {
		poll(&fd, 1, vcr_judge_timeout(j));
		vcr_judge_serve(j);
	}
	ask(j, "a", NULL, "12");
	vcr_judge_finish(j, 20000);
	ck_assert_str_eq(said, "leave=1;a=2;");
	vcr_judge_free(j);
}
END_TEST

START_TEST(one_that_is_late_is_ended)
{
	struct vcr_judge *j = new_judge(sh, 300);
	ask(j, "slow", NULL, "1");
	ask(j, "a", NULL, "12");
	vcr_judge_mark(j, 4);
	vcr_judge_finish(j, 20000);
	ck_assert_ptr_nonnull(strstr(said, "slow: the judge took too long;"));
	ck_assert_ptr_nonnull(strstr(said, "|4;"));
	vcr_judge_free(j);
}
END_TEST

START_TEST(one_that_dies_with_each_question_is_let_die)
{
	struct vcr_judge *j = new_judge(sh, 0);
	for (int i = 0; i < 6; i++)
		ask(j, "die", NULL, "1");
	vcr_judge_mark(j, 5);
	vcr_judge_finish(j, 20000);
	ck_assert_str_eq(said, "die: the judge died of signal 9;die: the judge died of signal 9;die: the judge died of signal 9;die: the judge died of signal 9;"
		"die: the judge has died too often;die: the judge has died too often;|5;");
	vcr_judge_free(j);
}
END_TEST

START_TEST(one_that_is_not_there_is_said_by_name)
{
	static const char *const nobody[] = { "/nonexistent/judge", NULL };
	struct vcr_judge *j = new_judge(nobody, 0);
	ask(j, "a", NULL, "1");
	ck_assert_str_eq(said, "a: the judge cannot be started: /nonexistent/judge: No such file or directory;");
	vcr_judge_free(j);
}
END_TEST

/* A megabyte does not fit into the socket: nothing blocks while the judge does not read. */
START_TEST(large_texts_arrive_whole_and_too_much_is_refused)
{
	struct vcr_judge *j = new_judge(sh, 0);
	static char big[(1 << 20) + 1];
	memset(big, 'x', sizeof big - 1);
	ask(j, "a", big, big);
	ask(j, "b", NULL, big);
	vcr_judge_finish(j, 20000);
	ck_assert_str_eq(said, "a=2097152;b=1048576;");
	*said = 0;
	struct vcr_judge *full = new_judge(sh, 0);
	for (int i = 0; i < 40; i++)
		ask(full, "a", big, big);
	ck_assert_ptr_nonnull(strstr(said, "a: the judge is too far behind;"));
	vcr_judge_free(full);
	vcr_judge_free(j);
}
END_TEST

/* It reads 16 MB before the first question, and answers with 2 MB, both in the pieces that a socket takes. */
START_TEST(a_large_baseline_and_a_large_answer_cost_what_they_are_long)
{
	enum { BASELINE = 16 << 20, ANSWER = 2 << 20 };
	static char line[400], baseline[BASELINE];
	snprintf(line, sizeof line, "read -r line; head -c %d >/dev/null; while read -r line; do id=${line#*\\\"id\\\":}; head -c 1 >/dev/null; printf '{\"id\":%%s,\"got\":1,\"pad\":\"' ${id%%%%,*}; "
		"head -c %d /dev/zero | tr '\\0' x; echo '\"}'; done", BASELINE, ANSWER);
	const char *const argv[] = { "/bin/sh", "-c", line, NULL };
	struct vcr_judge *j;
	memset(baseline, 'b', sizeof baseline);
	struct vcr_judge_options o = { .program = argv[0], .argv = argv, .workspace = "/w", .timeout_ms = 60000, .answered = on_answer, .reached = on_mark, .baseline = { baseline, BASELINE, VCR_JUDGE_PRESENT } };
	signal(SIGPIPE, SIG_IGN);
	*said = 0;
	ck_assert_int_eq(vcr_judge_new(&j, &o), 0);
	moved = searched = 0;
	ask(j, "a", NULL, "1");
	ask(j, "b", NULL, "2");
	vcr_judge_finish(j, 60000);
	ck_assert_str_eq(said, "a=1;b=1;");
	ck_assert_msg(moved < BASELINE && searched < 3 * ANSWER, "%zu bytes moved, %zu searched", moved, searched);
	vcr_judge_free(j);
}
END_TEST

static TCase *judge(void)
{
	TCase *tc = tcase_create("judge");
	tcase_add_test(tc, each_question_is_answered_in_its_turn_and_a_mark_comes_when_all_before_it_are);
	tcase_add_test(tc, one_that_dies_or_talks_nonsense_costs_one_question);
	tcase_add_test(tc, one_that_ends_while_nobody_asks_costs_none);
	tcase_add_test(tc, one_that_is_late_is_ended);
	tcase_add_test(tc, one_that_dies_with_each_question_is_let_die);
	tcase_add_test(tc, one_that_is_not_there_is_said_by_name);
	tcase_add_test(tc, large_texts_arrive_whole_and_too_much_is_refused);
	tcase_add_test(tc, a_large_baseline_and_a_large_answer_cost_what_they_are_long);
	return tc;
}

TAP_MAIN("judge", judge)
