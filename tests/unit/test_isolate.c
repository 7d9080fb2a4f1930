#include "isolate.h"
#include "paths.h"
#include "tap.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char dir[40];
static struct vcr_error e;
static struct vcr_buf state, work;
static struct vcr_txn t;

static int sh(const char *script)
{
	char cmd[1200];
	snprintf(cmd, sizeof cmd, "cd %s/w && %s", dir, script);
	return system(cmd);
}

static void setup(void)
{
	strcpy(dir, "/tmp/vcr-isolate-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	setenv("XDG_STATE_HOME", dir, 1);
	setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
	for (int i = 0; i < 4; i++)
		setenv((const char *const[]){ "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL" }[i], "a", 1);
	char cmd[200];
	snprintf(cmd, sizeof cmd, "mkdir %s/w", dir);
	ck_assert_int_eq(system(cmd), 0);
	ck_assert_int_eq(sh("git init -q -b main && echo 1 > f && git add f && git commit -qm one && echo u > u"), 0);
	state = work = (struct vcr_buf)VCR_BUF_INIT;
	vcr_buf_printf(&work, "%s/w", dir);
	ck_assert_int_eq(vcr_paths_state_dir(work.data, &state, &e), 0);
	t = (struct vcr_txn){ .session = "a b..c", .vcr_dir = "/nowhere", .began_ns = 1 };
	ck_assert_msg(!vcr_isolate_plan(state.data, work.data, &t, &e), "%s", e.what);
	ck_assert_msg(!vcr_txn_open(state.data, &t, &e), "%s", e.what);
	VCR_AUTO_BUF skipped = VCR_BUF_INIT;
	ck_assert_msg(!vcr_isolate_make(state.data, &t, &skipped, &e), "%s", e.what);
}

static void teardown(void)
{
	char cmd[64];
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
	vcr_buf_release(&state);
	vcr_buf_release(&work);
}

static int in_tree(const char *script)
{
	char cmd[4400];
	snprintf(cmd, sizeof cmd, "cd '%s' && %s", t.dir, script);
	return system(cmd);
}

START_TEST(from_a_directory_in_the_tree_its_transaction_is_found)
{
	VCR_AUTO_BUF home = VCR_BUF_INIT;
	struct vcr_txn found;
	ck_assert_msg(!vcr_isolate_home(t.dir, &home, &found, &e), "%s", e.what);
	ck_assert_str_eq(home.data, state.data);
	ck_assert_str_eq(found.session, "a b..c");
	ck_assert_str_eq(found.workspace, work.data);
	ck_assert_str_eq(found.into, "refs/heads/main");
	ck_assert_int_eq(vcr_isolate_home(work.data, &home, &found, &e), VCR_ENOTFOUND);
	ck_assert_int_eq(vcr_isolate_home("/", &home, &found, &e), VCR_ENOTFOUND);
}
END_TEST

START_TEST(a_merge_changes_what_was_done_in_the_tree_and_removal_leaves_nothing)
{
	struct vcr_isolate_merge m = { .message = "m", .paths = VCR_BUF_INIT };
	ck_assert_int_eq(vcr_isolate_count(state.data, &t), 0);
	ck_assert_int_eq(in_tree("echo 2 > f && echo n > n"), 0);
	ck_assert_int_eq(vcr_isolate_count(state.data, &t), 2);
	ck_assert_msg(!vcr_isolate_merge(state.data, &t, &m, &e), "%s", e.what);
	ck_assert_int_eq(m.how, VCR_ISOLATE_FORWARD);
	ck_assert_int_eq(m.changed, 2);
	ck_assert_int_eq(sh("test $(cat f) = 2 && test $(cat n) = n && test \"$(git status --porcelain)\" = '?? u' && test $(git rev-list --count HEAD) = 2"), 0);
	ck_assert_int_eq(vcr_isolate_resume(state.data, &t, &m, &e), 0); /* it was done already */
	ck_assert_msg(!vcr_isolate_remove(state.data, &t, &e), "%s", e.what);
	ck_assert_int_eq(sh("test ! -e .git/worktrees && test -z \"$(git branch --list 'vcr/*')\" && test -z \"$(ls -A ../vcr/*/trees 2>/dev/null)\""), 0);
	ck_assert_int_eq(vcr_txn_find(state.data, NULL, &t, &e), VCR_ENOTFOUND);
	vcr_isolate_merge_release(&m);
}
END_TEST

START_TEST(a_change_of_equal_length_in_the_same_second_is_seen_later)
{
	time_t since = time(NULL);
	ck_assert_int_eq(in_tree("printf '2\\n' > f"), 0);
	while (time(NULL) == since) /* git compares whole seconds, and looks again at what is as young as its index */
		poll(NULL, 0, 10);
	ck_assert_int_eq(vcr_isolate_count(state.data, &t), 1);
}
END_TEST

/* The workspace as a git that was killed in the midst of its work leaves it: f is written, n is not, the index is locked, the branch has not moved. */
static void kill_in_the_midst(struct vcr_isolate_merge *m)
{
	ck_assert_int_eq(in_tree("echo 2 > f && echo a longer line > n && mkdir -p d/e && echo g > d/e/g"), 0);
	ck_assert_msg(!vcr_isolate_merge(state.data, &t, m, &e), "%s", e.what);
	ck_assert_int_eq(sh("git update-ref HEAD HEAD^ && git read-tree HEAD && rm -r n d && touch '.git/vcr-a b..c.lock' '.git/vcr-a b..c.index.lock' && ln '.git/vcr-a b..c.lock' .git/index.lock"), 0);
	ck_assert_str_ne(t.to, "");
}

START_TEST(what_a_git_began_that_was_killed_is_completed)
{
	struct vcr_isolate_merge m = { .paths = VCR_BUF_INIT }, again = { .paths = VCR_BUF_INIT };
	kill_in_the_midst(&m);
	ck_assert_int_eq(sh("printf 'a lon' > n"), 0); /* in the midst of this file */
	ck_assert_msg(!vcr_isolate_resume(state.data, &t, &again, &e), "%s %s", e.what, again.paths.data);
	ck_assert_int_eq(sh("test $(cat f) = 2 && test \"$(cat n)\" = 'a longer line' && test $(cat d/e/g) = g && test \"$(git status --porcelain)\" = '?? u' && test $(git rev-list --count HEAD) = 2 &&"
		"! ls .git | grep -q 'vcr-\\|lock'"), 0);
	vcr_isolate_merge_release(&m);
	vcr_isolate_merge_release(&again);
}
END_TEST

START_TEST(what_somebody_changed_since_is_left_and_named_until_it_is_out_of_the_way)
{
	struct vcr_isolate_merge m = { .paths = VCR_BUF_INIT }, again = { .paths = VCR_BUF_INIT };
	kill_in_the_midst(&m);
	ck_assert_int_eq(sh("echo mine > n"), 0);
	ck_assert_int_eq(vcr_isolate_resume(state.data, &t, &again, &e), VCR_ISOLATE_UNCOMMITTED);
	ck_assert_str_eq(again.paths.data, "n\n");
	ck_assert_int_eq(sh("test $(cat n) = mine && test ! -e .git/index.lock && mv n mine"), 0);
	vcr_buf_reset(&again.paths);
	ck_assert_msg(!vcr_isolate_resume(state.data, &t, &again, &e), "%s %s", e.what, again.paths.data);
	ck_assert_int_eq(sh("test \"$(cat n)\" = 'a longer line' && test $(cat mine) = mine && test $(git rev-list --count HEAD) = 2"), 0);
	vcr_isolate_merge_release(&m);
	vcr_isolate_merge_release(&again);
}
END_TEST

START_TEST(of_one_that_was_half_removed_nothing_is_merged)
{
	struct vcr_isolate_merge m = { .paths = VCR_BUF_INIT };
	strcpy(t.to, "-");
	ck_assert_int_eq(in_tree("rm f"), 0);
	ck_assert_int_eq(vcr_isolate_resume(state.data, &t, &m, &e), 0);
	ck_assert_str_eq(m.commit, "");
	ck_assert_int_eq(sh("test $(cat f) = 1"), 0);
	vcr_isolate_merge_release(&m);
}
END_TEST

static TCase *tc(void)
{
	TCase *c = tcase_create("isolate");
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, from_a_directory_in_the_tree_its_transaction_is_found);
	tcase_add_test(c, a_merge_changes_what_was_done_in_the_tree_and_removal_leaves_nothing);
	tcase_add_test(c, a_change_of_equal_length_in_the_same_second_is_seen_later);
	tcase_add_test(c, what_a_git_began_that_was_killed_is_completed);
	tcase_add_test(c, what_somebody_changed_since_is_left_and_named_until_it_is_out_of_the_way);
	tcase_add_test(c, of_one_that_was_half_removed_nothing_is_merged);
	return c;
}

TAP_MAIN("isolate", tc)
