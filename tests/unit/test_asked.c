#include "asked.h"
#include "tap.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 4096, LONG = 3 << 20 };

static char dir[] = "/tmp/test-asked-XXXXXX", path[64];
static struct event_base *base;
static struct vcr_asked *asked;
static int questions;
static time_t later;

/* The event loop's clock is ours, so that a stall takes no time. */
int clock_gettime(clockid_t which, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, which, ts);
	ts->tv_sec += r ? 0 : later;
	return r;
}

/* Says it back; "long" is told much, "nothing" nothing. */
static void answer(void *ctx, const struct vcr_buf *said, struct vcr_buf *to)
{
	questions++;
	if (!strcmp(said->data, "long"))
		for (int i = 0; i < LONG; i++)
			vcr_buf_putc(to, 'l');
	else if (strcmp(said->data, "nothing"))
		vcr_buf_add(to, said->data, said->len);
}

static void begin(void)
{
	struct vcr_error e = { 0 };
	strcpy(dir, "/tmp/test-asked-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/socket", dir);
	ck_assert_ptr_nonnull(base = event_base_new());
	ck_assert_msg(!vcr_asked_new(&asked, base, path, MOST, answer, NULL, &e), "%s", e.what);
	questions = 0;
	later = 0;
}

static void end(void)
{
	vcr_asked_free(asked);
	event_base_free(base);
	ck_assert(access(path, F_OK));
	rmdir(dir);
}

static int ask(const char *words, size_t n, bool ends)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	strcpy(a.sun_path, path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(send(fd, words, n, MSG_NOSIGNAL), (ssize_t)n);
	if (ends)
		shutdown(fd, SHUT_WR);
	return fd;
}

/* What it is told until it is hung up on; -1: it is still on the line when nothing is to be done any more. */
static ssize_t told(int fd, char *to, size_t room)
{
	size_t n = 0;
	for (int idle = 0; idle < 3;) {
		ssize_t k = recv(fd, to + n, room - n, 0);
		if (k == 0)
			return (ssize_t)n;
		n += k > 0 ? (size_t)k : 0;
		int before = questions;
		event_base_loop(base, EVLOOP_NONBLOCK);
		idle = k > 0 || questions != before ? 0 : idle + 1;
	}
	return -1;
}

START_TEST(who_is_silent_holds_nobody_up)
{
	char text[64];
	int silent[] = { ask("", 0, false), ask("half", 4, false) };
	int fd = ask("hello", 6, true);
	ck_assert_int_eq(told(fd, text, sizeof text), 6);
	ck_assert_str_eq(text, "hello");
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(told(silent[i], text, sizeof text), -1);
	ck_assert_int_eq(questions, 1);
	close(silent[0]);
	close(silent[1]);
	close(fd);
}
END_TEST

START_TEST(who_does_not_read_its_answer_holds_nobody_up)
{
	char *text = malloc(LONG + 1);
	int slow = ask("long", 5, true), fd = ask("hello", 6, true);
	ck_assert_int_eq(told(fd, text, LONG), 6);
	ck_assert_int_eq(told(slow, text, LONG + 1), LONG);
	ck_assert(text[0] == 'l' && text[LONG - 1] == 'l');
	free(text);
	close(slow);
	close(fd);
}
END_TEST

START_TEST(who_says_too_much_or_is_told_nothing_is_hung_up_on)
{
	static char much[MOST + 1];
	int fd = ask(much, sizeof much, false), none = ask("nothing", 8, true);
	char text[8];
	ck_assert_int_le(told(fd, text, sizeof text), 0);
	ck_assert_int_eq(told(none, text, sizeof text), 0);
	ck_assert_int_eq(questions, 1);
	close(fd);
	close(none);
}
END_TEST

START_TEST(more_than_are_heard_at_once_wait_for_their_turn)
{
	int silent[VCR_ASKED_AT_ONCE];
	char text[8];
	for (int i = 0; i < VCR_ASKED_AT_ONCE; i++) {
		silent[i] = ask("", 0, false);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	int fd = ask("hello", 6, true);
	ck_assert_int_eq(told(fd, text, sizeof text), -1);
	close(silent[0]);
	ck_assert_int_eq(told(fd, text, sizeof text), 6);
	for (int i = 1; i < VCR_ASKED_AT_ONCE; i++)
		close(silent[i]);
	close(fd);
}
END_TEST

START_TEST(who_has_spoken_or_read_while_we_were_held_up_is_not_late)
{
	char *text = malloc(LONG + 1);
	int fd = ask("hel", 3, false), slow = ask("long", 5, true), silent = ask("", 0, false);
	for (int i = 0; i < 8; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_int_eq(questions, 1);
	ssize_t n = recv(slow, text, LONG, 0);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(send(fd, "lo", 3, MSG_NOSIGNAL), 3);
	shutdown(fd, SHUT_WR);
	later = 60;
	ck_assert_int_eq(told(fd, text, LONG), 6);
	ck_assert_str_eq(text, "hello");
	ck_assert_int_eq(told(slow, text, LONG + 1), LONG - n);
	ck_assert_int_eq(told(silent, text, LONG), 0);
	free(text);
	close(silent);
	close(slow);
	close(fd);
}
END_TEST

static TCase *cases(void)
{
	TCase *tc = tcase_create("asked");
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, who_is_silent_holds_nobody_up);
	tcase_add_test(tc, who_does_not_read_its_answer_holds_nobody_up);
	tcase_add_test(tc, who_says_too_much_or_is_told_nothing_is_hung_up_on);
	tcase_add_test(tc, who_has_spoken_or_read_while_we_were_held_up_is_not_late);
	tcase_add_test(tc, more_than_are_heard_at_once_wait_for_their_turn);
	return tc;
}

TAP_MAIN("asked", cases)
