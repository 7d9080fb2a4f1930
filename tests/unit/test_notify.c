/* System calls told before they happen. Where the kernel refuses, each test says so and passes: there is nothing to be seen then. */
#include "notify.h"
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool possible(void)
{
	struct vcr_error e = { 0 };
	if (!vcr_notify_possible(&e))
		return true;
	printf("# not to be seen here: %s\n", e.what);
	return false;
}

static void send_fd(int to, int fd)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } c = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec v = { "", 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c };
	memcpy(CMSG_DATA(&c.head), &fd, sizeof fd);
	if (sendmsg(to, &m, 0) != 1)
		_exit(99);
}

static int take_fd(int from)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } c;
	char byte;
	struct iovec v = { &byte, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c };
	int fd = -1;
	ck_assert_int_eq(recvmsg(from, &m, MSG_CMSG_CLOEXEC), 1);
	memcpy(&fd, CMSG_DATA(&c.head), sizeof fd);
	return fd;
}

/* A child under that filter that runs fn and exits with what it returns. */
static pid_t filtered(int (*install)(int *, struct vcr_error *), int (*fn)(void), int *listener)
{
	int s[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int fd;
		char go;
		if (install(&fd, NULL))
			_exit(98);
		send_fd(s[1], fd);
		close(fd);
		close(s[0]);
		if (read(s[1], &go, 1) < 0)
			_exit(97);
		_exit(fn());
	}
	close(s[1]);
	*listener = take_fd(s[0]);
	close(s[0]); /* go */
	return pid;
}

static pid_t supervised(int (*fn)(void), int *listener)
{
	return filtered(vcr_notify_install, fn, listener);
}

static int status_of(pid_t pid)
{
	int status = -1;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- What is told ---- */

static int reads_and_unlinks(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) || getpid() <= 0)
		return 1;
	if (!syscall(SYS_io_uring_setup, 1, NULL) || errno != ENOSYS)
		return 2;
	return unlink("/nonexistent/file") && errno == ENOENT ? 0 : 3;
}

START_TEST(only_writing_and_the_end_are_told)
{
	const struct seccomp_notif *call;
	struct vcr_notify *n;
	int fd;
	if (!possible())
		return;
	pid_t pid = supervised(reads_and_unlinks, &fd);
	ck_assert_int_eq(vcr_notify_guard(&n, fd, false, NULL, NULL, NULL), 0);
	ck_assert_int_eq(vcr_notify_wait(n, 20000, &call), 0);
	ck_assert_int_eq((int)call->pid, pid);
#ifdef SYS_unlink
	ck_assert_int_eq(call->data.nr, SYS_unlink);
#endif
	ck_assert(vcr_notify_waits(n));
	vcr_notify_go_on(n);
	ck_assert_int_eq(vcr_notify_wait(n, 20000, &call), 0);
	ck_assert_int_eq(call->data.nr, SYS_exit_group);
	vcr_notify_go_on(n);
	ck_assert_int_eq(vcr_notify_wait(n, 20000, &call), VCR_ENOTFOUND);
	vcr_notify_free(n);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

static int sleeps_a_moment(void)
{
	return usleep(100000) ? 1 : 0;
}

START_TEST(who_waits_without_a_limit_hears_that_nobody_is_left)
{
	const struct seccomp_notif *call;
	struct vcr_notify *n;
	int fd;
	if (!possible())
		return;
	pid_t pid = supervised(_i ? reads_and_unlinks : sleeps_a_moment, &fd);
	ck_assert_int_eq(vcr_notify_guard(&n, fd, false, NULL, NULL, NULL), 0);
	int calls = 0, how;
	for (; !(how = vcr_notify_wait(n, -1, &call)); calls++)
		vcr_notify_go_on(n);
	ck_assert_int_eq(how, VCR_ENOTFOUND);
	ck_assert_int_eq(calls, _i ? 2 : 1);
	ck_assert_int_eq(vcr_notify_wait(n, -1, &call), VCR_ENOTFOUND);
	vcr_notify_free(n);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

/* ---- Programs alone ---- */

static int starts_twice(void)
{
	char *const argv[] = { "true", NULL };
	if (!unlink("/nonexistent/one") || execve("/bin/true", argv, NULL) != -1 || errno != EACCES)
		return 1;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1 || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0) != 1)
		return 4;
	syscall(SYS_execveat, -1, "/bin/false", argv, NULL, 0);
	return 2;
}

START_TEST(of_programs_alone_only_their_starts_are_told)
{
	const struct seccomp_notif *call;
	struct vcr_notify *n;
	int fd;
	if (!possible())
		return;
	pid_t pid = filtered(vcr_notify_install_execs, starts_twice, &fd);
	ck_assert_int_eq(vcr_notify_open(&n, fd, NULL), 0);
	ck_assert_int_eq(vcr_notify_wait(n, 20000, &call), 0);
	ck_assert_int_eq(call->data.nr, SYS_execve);
	ck_assert(vcr_notify_answer(n, -EACCES));
	ck_assert_int_eq(vcr_notify_wait(n, 20000, &call), 0);
	ck_assert_int_eq(call->data.nr, SYS_execveat);
	vcr_notify_go_on(n);
	ck_assert_int_eq(vcr_notify_wait(n, 20000, &call), VCR_ENOTFOUND);
	vcr_notify_free(n);
	ck_assert_int_eq(status_of(pid), 1); /* of /bin/false */
}
END_TEST

static int starts_when_nobody_is_there(void)
{
	char *const argv[] = { "true", NULL };
	execve("/bin/true", argv, NULL);
	return errno;
}

START_TEST(without_a_guardian_nothing_starts_when_nobody_listens)
{
	struct vcr_notify *n;
	int fd;
	if (!possible())
		return;
	pid_t pid = filtered(vcr_notify_install_execs, starts_when_nobody_is_there, &fd);
	ck_assert_int_eq(vcr_notify_open(&n, fd, NULL), 0);
	vcr_notify_free(n);
	ck_assert_int_eq(status_of(pid), ENOSYS);
}
END_TEST

/* Between: who has the listener dies, with a call in hand or not. */
static pid_t orphaned(int (*fn)(void), bool takes_one)
{
	int fd;
	pid_t pid = supervised(fn, &fd), holder = fork();
	if (holder == 0) {
		const struct seccomp_notif *call;
		struct vcr_notify *n;
		if (vcr_notify_guard(&n, fd, true, NULL, NULL, NULL) || (takes_one && vcr_notify_wait(n, 20000, &call)))
			_exit(1);
		raise(SIGKILL);
	}
	close(fd);
	ck_assert_int_eq(status_of(holder), 128 + SIGKILL);
	return pid;
}

static int starts_one(void)
{
	char *const argv[] = { "true", NULL };
	execve("/bin/true", argv, NULL);
	return errno == EACCES && unlink("/nonexistent/one") && errno == ENOENT ? 7 : 1;
}

START_TEST(a_strict_guardian_lets_all_pass_but_programs)
{
	if (!possible())
		return;
	ck_assert_int_eq(status_of(orphaned(starts_one, false)), 7);
	ck_assert_int_eq(status_of(orphaned(starts_one, true)), 7);
}
END_TEST

static int unlinks(void)
{
	if (unlink("/nonexistent/one") != -1 || errno != EDOM)
		return 1;
	return unlink("/nonexistent/two") ? 2 : 0;
}

START_TEST(the_answer_is_what_the_call_returns)
{
	const struct seccomp_notif *call;
	struct vcr_notify *n;
	int fd;
	if (!possible())
		return;
	pid_t pid = supervised(unlinks, &fd);
	ck_assert_int_eq(vcr_notify_guard(&n, fd, false, NULL, NULL, NULL), 0);
	ck_assert_int_eq(vcr_notify_wait(n, 20000, &call), 0);
	vcr_notify_answer(n, -EDOM);
	ck_assert_int_eq(vcr_notify_wait(n, 20000, &call), 0);
	vcr_notify_answer(n, 0);
	ck_assert_int_eq(vcr_notify_wait(n, 20000, &call), 0);
	vcr_notify_go_on(n);
	ck_assert_int_eq(status_of(pid), 0);
	vcr_notify_free(n);
}
END_TEST

/* So many at once. */
static int unlinks_often(void)
{
	int status, bad = 0;
	for (int i = 0; i <= VCR_NOTIFY_KEPT; i++)
		if (fork() == 0)
			syscall(SYS_exit, !unlink("/nonexistent/file") || errno != ENOENT);
	while (wait(&status) > 0)
		bad += status != 0;
	return bad;
}

/* Two processes that make a call each; the sum of what they have been told. */
static int two_unlink(void)
{
	int status = 0;
	pid_t pid = fork();
	int error = unlink("/nonexistent/file") ? errno : 0;
	if (pid == 0)
		syscall(SYS_exit, error); /* exit_group would be told */
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? error + WEXITSTATUS(status) : 99;
}

START_TEST(a_call_that_is_kept_holds_up_no_other)
{
	const struct seccomp_notif *call;
	struct vcr_notify *n;
	int fd, p[2];
	if (!possible())
		return;
	pid_t pid = supervised(two_unlink, &fd);
	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(vcr_notify_guard(&n, fd, false, NULL, NULL, NULL), 0);
	ck_assert_int_eq(vcr_notify_wait(n, 20000, &call), 0);
	int kept_by = (int)call->pid;
	uint64_t id = vcr_notify_keep(n);
	ck_assert(id);
	ck_assert_int_eq(vcr_notify_wait(n, 20000, &call), 0); /* the other's, which is served */
	ck_assert_int_ne((int)call->pid, kept_by);
	vcr_notify_go_on(n);
	struct pollfd also = { p[0], POLLIN, 0 };
	ck_assert_int_eq(write(p[1], "x", 1), 1);
	ck_assert_int_eq(vcr_notify_wait_also(n, 20000, &also, 1, &call), 1); /* what the answer is waited for by */
	ck_assert(also.revents & POLLIN);
	vcr_notify_answer_kept(n, id, -EDOM, false);
	ck_assert_int_eq(vcr_notify_wait(n, 20000, &call), 0);
	ck_assert_int_eq(call->data.nr, SYS_exit_group);
	vcr_notify_go_on(n);
	ck_assert_int_eq(status_of(pid), EDOM + ENOENT);
	close(p[0]);
	close(p[1]);
	vcr_notify_free(n);
}
END_TEST

START_TEST(one_that_has_been_killed_waits_for_no_answer)
{
	const struct seccomp_notif *call;
	struct vcr_notify *n;
	int fd;
	if (!possible())
		return;
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	supervised(two_unlink, &fd);
	ck_assert_int_eq(vcr_notify_guard(&n, fd, false, NULL, NULL, NULL), 0);
	ck_assert_int_eq(vcr_notify_wait(n, 20000, &call), 0);
	pid_t caller = (pid_t)call->pid;
	uint64_t id = vcr_notify_keep(n);
	ck_assert(vcr_notify_waits_kept(n, id));
	ck_assert_int_eq(kill(caller, SIGKILL), 0);
	while (vcr_notify_waits_kept(n, id))
		usleep(1000);
	ck_assert(!vcr_notify_answer_kept(n, id, 0, false));
	int how;
	while ((how = vcr_notify_wait(n, 20, &call)) >= 0) { /* the other's; until both have gone and somebody has waited for them */
		if (how == 0)
			vcr_notify_go_on(n);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	ck_assert_int_eq(how, VCR_ENOTFOUND);
	vcr_notify_free(n);
}
END_TEST

START_TEST(more_calls_than_that_are_not_kept)
{
	const struct seccomp_notif *call;
	struct vcr_notify *n;
	int fd, kept = 0;
	if (!possible())
		return;
	pid_t pid = supervised(unlinks_often, &fd);
	ck_assert_int_eq(vcr_notify_guard(&n, fd, false, NULL, NULL, NULL), 0);
	for (uint64_t id; kept <= VCR_NOTIFY_KEPT && !vcr_notify_wait(n, 20000, &call); kept++) {
		if (!(id = vcr_notify_keep(n)))
			break;
	}
	ck_assert_int_eq(kept, VCR_NOTIFY_KEPT);
	vcr_notify_go_on(n);
	vcr_notify_free(n); /* the guardian takes over, and all of them go on */
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

static int does_nothing(void)
{
	return 0;
}

START_TEST(nothing_within_the_time_is_no_error)
{
	const struct seccomp_notif *call;
	struct vcr_notify *n;
	int fd;
	if (!possible())
		return;
	pid_t pid = supervised(does_nothing, &fd);
	ck_assert_int_eq(vcr_notify_guard(&n, fd, false, NULL, NULL, NULL), 0);
	int how;
	while ((how = vcr_notify_wait(n, 0, &call)) >= 0)
		if (how == 0)
			vcr_notify_go_on(n); /* its end */
	ck_assert_int_eq(how, VCR_ENOTFOUND);
	ck_assert_int_eq(status_of(pid), 0);
	vcr_notify_free(n);
}
END_TEST

/* ---- The guardian ---- */

static int many(void)
{
	for (int i = 0; i < 2000; i++)
		if (!unlink("/nonexistent/file") || errno != ENOENT)
			return 1;
	return 0;
}

/* A supervisor that dies after some calls: the last one is with it, unanswered. */
_Noreturn static void die_with(int fd, int calls)
{
	const struct seccomp_notif *call;
	struct vcr_notify *n;
	if (vcr_notify_guard(&n, fd, false, NULL, NULL, NULL))
		_exit(1);
	for (int i = 0; i < calls; i++)
		if (!vcr_notify_wait(n, -1, &call) && i < calls - 1)
			vcr_notify_go_on(n);
	raise(SIGKILL);
	_exit(1);
}

START_TEST(a_supervisor_that_dies_harms_nobody)
{
	if (!possible())
		return;
	for (int calls = 0; calls < 4; calls++) {
		int fd;
		pid_t pid = supervised(many, &fd), other = fork();
		if (other == 0)
			die_with(fd, calls);
		close(fd);
		ck_assert_int_eq(status_of(other), 128 + SIGKILL);
		ck_assert_int_eq(status_of(pid), 0);
	}
}
END_TEST

/* One that dies while it keeps one. */
_Noreturn static void die_keeping(int fd)
{
	const struct seccomp_notif *call;
	struct vcr_notify *n;
	if (vcr_notify_guard(&n, fd, false, NULL, NULL, NULL) || vcr_notify_wait(n, -1, &call) || !vcr_notify_keep(n) || vcr_notify_wait(n, -1, &call))
		_exit(1);
	vcr_notify_go_on(n);
	raise(SIGKILL);
	_exit(1);
}

START_TEST(a_call_that_is_kept_by_one_that_dies_goes_on)
{
	int fd;
	if (!possible())
		return;
	pid_t pid = supervised(two_unlink, &fd), other = fork();
	if (other == 0)
		die_keeping(fd);
	close(fd);
	ck_assert_int_eq(status_of(other), 128 + SIGKILL);
	ck_assert_int_eq(status_of(pid), 2 * ENOENT);
}
END_TEST

/* One that is stopped with a call in hand. */
_Noreturn static void stop_with(int fd)
{
	const struct seccomp_notif *call;
	struct vcr_notify *n;
	if (vcr_notify_guard(&n, fd, false, NULL, NULL, NULL) || vcr_notify_wait(n, -1, &call))
		_exit(1);
	raise(SIGSTOP);
	_exit(1);
}

static int many_in_two(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(many());
	return many() || waitpid(pid, &status, 0) != pid || status;
}

START_TEST(a_supervisor_that_is_stopped_holds_nobody_up_for_long)
{
	int fd;
	if (!possible())
		return;
	pid_t pid = supervised(many_in_two, &fd), other = fork();
	if (other == 0)
		stop_with(fd);
	close(fd);
	ck_assert_int_eq(status_of(pid), 0);
	kill(other, SIGKILL);
	ck_assert_int_eq(status_of(other), 128 + SIGKILL);
}
END_TEST

START_TEST(one_inside_another_is_refused_by_name)
{
	struct vcr_error e = { 0 };
	int fd, status;
	if (!possible())
		return;
	pid_t pid = fork();
	if (pid == 0)
		syscall(SYS_exit, vcr_notify_install(&fd, NULL) ? 1 : vcr_notify_install(&fd, &e) == VCR_EBUSY && strstr(e.what, "supervised already") ? 0 : 2);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

static TCase *tc_notify(void)
{
	TCase *tc = tcase_create("notify");
	tcase_add_test(tc, only_writing_and_the_end_are_told);
	tcase_add_loop_test(tc, who_waits_without_a_limit_hears_that_nobody_is_left, 0, 2);
	tcase_add_test(tc, of_programs_alone_only_their_starts_are_told);
	tcase_add_test(tc, without_a_guardian_nothing_starts_when_nobody_listens);
	tcase_add_test(tc, a_strict_guardian_lets_all_pass_but_programs);
	tcase_add_test(tc, the_answer_is_what_the_call_returns);
	tcase_add_test(tc, a_call_that_is_kept_holds_up_no_other);
	tcase_add_test(tc, one_that_has_been_killed_waits_for_no_answer);
	tcase_add_test(tc, more_calls_than_that_are_not_kept);
	tcase_add_test(tc, a_call_that_is_kept_by_one_that_dies_goes_on);
	tcase_add_test(tc, nothing_within_the_time_is_no_error);
	tcase_add_test(tc, a_supervisor_that_dies_harms_nobody);
	tcase_add_test(tc, a_supervisor_that_is_stopped_holds_nobody_up_for_long);
	tcase_add_test(tc, one_inside_another_is_refused_by_name);
	return tc;
}

TAP_MAIN("notify", tc_notify)
