/* Process numbers of a command's own. */
#include "pids.h"
#include "tap.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_refused(int err, const struct vcr_error *e)
{
	if (err)
		printf("# not to be seen here: %s\n", e->what);
	ck_assert(!err || e->code == VCR_ENOSYS);
	return err;
}

/* What is wrong with the numbers inside. */
static int look_inside(void)
{
	char name[20] = "";
	if (getpid() != 2 || getppid() != 0)
		return 1;
	if (readlink("/proc/self", name, sizeof name - 1) < 0 || strcmp(name, "2"))
		return 2;
	pid_t child = fork();
	if (!child)
		_exit(getpid() == 3 && getppid() == 2 ? 0 : 1);
	int status = -1;
	if (child != 3 || waitpid(child, &status, 0) != child || status)
		return 3;
	return kill(getpid(), 0) ? 4 : 0;
}

START_TEST(a_command_is_number_two_and_our_own_child)
{
	struct vcr_pids p = VCR_PIDS_INIT;
	struct vcr_error e = { 0 };
	int status = -1;
	if (is_refused(vcr_pids_fork(NULL, &p, &e), &e))
		return;
	if (p.inside)
		_exit(look_inside());
	ck_assert_int_eq(p.number, 2);
	ck_assert_int_eq(waitpid(p.pid, &status, 0), p.pid);
	ck_assert_int_eq(status, 0);
	vcr_pids_release(&p);
	ck_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD); /* number 1 has ended with it */
}
END_TEST

START_TEST(numbers_are_found_from_outside_and_from_inside)
{
	struct vcr_pids p = VCR_PIDS_INIT;
	struct vcr_error e = { 0 };
	if (is_refused(vcr_pids_fork(NULL, &p, &e), &e))
		return;
	while (p.inside)
		pause();
	for (int i = 0; i < 3; i++) { /* with a process of it that is known; with none, and with one that is not of it, each of the machine is looked at */
		pid_t member = i == 0 ? p.pid : i == 1 ? 0 : getpid();
		ck_assert_int_eq(vcr_pids_outside(p.ns, member, 1), p.first);
		ck_assert_int_eq(vcr_pids_outside(p.ns, member, 2), p.pid);
		ck_assert_int_eq(vcr_pids_outside(p.ns, member, 77), 0);
	}
	ck_assert_int_eq(vcr_pids_inside(p.ns, p.pid), 2);
	ck_assert_int_eq(vcr_pids_inside(p.ns, getpid()), 0);
	ck_assert_int_eq(vcr_pids_outside(0, 0, 77), 77);
	ck_assert_int_eq(vcr_pids_inside(0, 77), 77);
	kill(p.pid, SIGKILL);
	ck_assert_int_eq(waitpid(p.pid, NULL, 0), p.pid);
	ck_assert_int_eq(vcr_pids_outside(p.ns, p.first, 2), 0);
	ck_assert_int_eq(vcr_pids_outside(p.ns, p.pid, 2), 0);
	vcr_pids_release(&p);
}
END_TEST

/* It holds a pipe, whose end is heard. */
START_TEST(what_outlives_the_command_goes_on)
{
	struct vcr_pids p = VCR_PIDS_INIT;
	struct vcr_error e = { 0 };
	int hold[2], go[2];
	char c;
	ck_assert(!pipe(hold) && !pipe(go));
	if (is_refused(vcr_pids_fork(NULL, &p, &e), &e))
		return;
	if (p.inside) {
		close(go[1]);
		if (!fork()) /* it lives until we say so, and then has a word */
			_exit(read(go[0], &c, 1) < 0 || write(hold[1], "w", 1) != 1);
		_exit(0);
	}
	close(hold[1]);
	close(go[0]);
	ck_assert_int_eq(waitpid(p.pid, NULL, 0), p.pid);
	vcr_pids_release(&p);
	ck_assert_int_ne(vcr_pids_outside(p.ns, p.pid, 1), 0);
	close(go[1]);
	ck_assert_int_eq(read(hold[0], &c, 1), 1);
	ck_assert_int_eq(read(hold[0], &c, 1), 0); /* nobody holds it any more: number 1 never did */
	ck_assert_int_eq(waitpid(p.first, NULL, 0), p.first);
}
END_TEST

START_TEST(a_spool_says_whose_numbers_it_has)
{
	struct vcr_spool_header *h = calloc(1, sizeof *h);
	vcr_pids_publish(h, &(struct vcr_pids){ .pid = getpid(), .number = getpid(), .end = -1 });
	ck_assert(!h->pid_ns && h->root_start);
	ck_assert_int_eq(vcr_pids_root(h), getpid());
	vcr_pids_publish(h, &(struct vcr_pids){ .ns = 5, .pid = getpid(), .number = 2, .end = -1 });
	ck_assert_int_eq(h->root_pid, 2);
	ck_assert_int_eq(vcr_pids_root(h), getpid());
	free(h);
}
END_TEST

static TCase *tc_pids(void)
{
	TCase *tc = tcase_create("pids");
	tcase_add_test(tc, a_command_is_number_two_and_our_own_child);
	tcase_add_test(tc, numbers_are_found_from_outside_and_from_inside);
	tcase_add_test(tc, what_outlives_the_command_goes_on);
	tcase_add_test(tc, a_spool_says_whose_numbers_it_has);
	return tc;
}

TAP_MAIN("pids", tc_pids)
