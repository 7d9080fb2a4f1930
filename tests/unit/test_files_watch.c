#include "files-parts.h"
#include "workspace.h"
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int say(void *ctx, const struct vcr_change *c)
{
	vcr_buf_printf(&said, "%s %s (%s)\n", change_kind[c->kind], c->path, change_source[c->source]);
	return 0;
}

static void setup(void)
{
	struct vcr_files_options o = { .workspace = dir };
	workspace_begin();
	ck_assert_int_eq(vcr_files_new(&files, &o, NULL), 0);
	ck_assert_int_eq(vcr_files_scan_base(files, NULL), 0);
	ck_assert_int_ge(vcr_files_watch_fd(files), 0);
}

static int waiting(void)
{
	int n = -1;
	ck_assert_int_eq(ioctl(vcr_files_watch_fd(files), FIONREAD, &n), 0);
	return n;
}

static void sweep_upto(int64_t ns, const char *text)
{
	vcr_buf_reset(&said);
	vcr_files_read_watch(files);
	ck_assert_int_eq(vcr_files_sweep(files, ns, say, NULL, NULL), 0);
	ck_assert_str_eq(said.data, text);
}

START_TEST(what_is_done_in_a_directory_that_is_new_makes_no_events_until_the_sweep_has_walked_it)
{
	ck_assert_int_eq(mkdir(in("new"), 0755), 0);
	ck_assert_int_eq(mkdir(in("new/below"), 0755), 0);
	vcr_files_read_watch(files);
	put("new/a", "a");
	put("new/below/b", "b");
	ck_assert_int_eq(waiting(), 0);
	ck_assert(vcr_files_pending(files));
	vcr_buf_reset(&said);
	ck_assert_int_eq(vcr_files_sweep(files, INT64_MAX, say, NULL, NULL), 0);
	for (const char *const *line = (const char *const[]){ "mkdir new (watch)\n", "mkdir new/below (watch)\n", "write new/a (watch)\n", "write new/below/b (watch)\n", NULL }; *line; line++)
		ck_assert_msg(strstr(said.data, *line) != NULL, "%s is not in:\n%s", *line, said.data);
	put("new/below/b", "more");
	ck_assert_int_gt(waiting(), 0);
	sweep_upto(INT64_MAX, "write new/below/b (watch)\n");
}
END_TEST

START_TEST(what_is_made_there_while_hooks_words_are_on_their_way_waits_for_them)
{
	ck_assert_int_eq(mkdir(in("new"), 0755), 0);
	vcr_files_mark(files, VCR_MARK_MKDIR, in("new"), NULL, 7, vcr_files_now());
	int64_t until = vcr_files_now();
	put("new/a", "a");
	sweep_upto(until, "mkdir new (shim)\n");
	vcr_files_mark(files, VCR_MARK_WRITE, in("new/a"), NULL, 7, vcr_files_now());
	sweep_upto(INT64_MAX, "write new/a (shim)\n");
}
END_TEST

static int keep_time(void *ctx, const struct vcr_change *c)
{
	*(int64_t *)ctx = c->first_ns;
	return 0;
}

START_TEST(a_change_is_of_when_the_hook_saw_it_though_inotify_was_read_first)
{
	int64_t then = vcr_files_now(), told = 0;
	put("a", "a");
	vcr_files_read_watch(files);
	vcr_files_mark(files, VCR_MARK_WRITE, in("a"), NULL, 7, then);
	ck_assert_int_eq(vcr_files_sweep(files, INT64_MAX, keep_time, &told, NULL), 0);
	ck_assert_int_eq(told, then);
}
END_TEST

START_TEST(a_new_directory_that_is_moved_before_anybody_walks_it_is_found_where_it_is)
{
	ck_assert_int_eq(mkdir(in("one"), 0755), 0);
	vcr_files_read_watch(files);
	put("one/a", "a");
	ck_assert_int_eq(rename(in("one"), in("two")), 0);
	vcr_files_read_watch(files);
	put("two/b", "b");
	sweep_upto(INT64_MAX, "mkdir two (watch)\nwrite two/a (watch)\nwrite two/b (watch)\n");
	put("two/a", "again");
	sweep_upto(INT64_MAX, "write two/a (watch)\n");
}
END_TEST

/* Directories inside one another to where no path of the kernel's reaches; the last one's descriptor. */
static int dig(struct vcr_buf *path)
{
	char name[251];
	memset(name, 'n', 250);
	name[250] = 0;
	int at = open(dir, O_RDONLY | O_DIRECTORY);
	while (path->len < 4096) {
		ck_assert_int_eq(mkdirat(at, name, 0755), 0);
		int next = openat(at, name, O_RDONLY | O_DIRECTORY);
		ck_assert_int_ge(next, 0);
		close(at);
		at = next;
		vcr_buf_printf(path, "%s%s", path->len ? "/" : "", name);
	}
	return at;
}

static void put_at(int at, const char *name, const char *text)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

START_TEST(what_is_where_no_path_reaches_is_found_and_is_his_who_says_that_he_was_there)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, want = VCR_BUF_INIT;
	int at = dig(&path);
	vcr_files_read_watch(files);
	vcr_buf_reset(&said);
	ck_assert_int_eq(vcr_files_sweep(files, INT64_MAX, say, NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(said.data, path.data));
	put_at(at, "a", "a");
	vcr_buf_printf(&want, "write %s/a (watch)\n", path.data);
	sweep_upto(vcr_files_now(), ""); /* a hook's word may be on its way */
	sweep_upto(INT64_MAX, want.data);
	put_at(at, "a", "b");
	vcr_files_mark(files, VCR_MARK_DEEP, "", "", 7, vcr_files_now());
	vcr_buf_reset(&want);
	vcr_buf_printf(&want, "write %s/a (shim)\n", path.data);
	sweep_upto(vcr_files_now(), want.data); /* this is all that a hook can say */
	put_at(at, "a", "c");
	vcr_buf_reset(&want);
	vcr_buf_printf(&want, "write %s/a (watch)\n", path.data);
	sweep_upto(INT64_MAX, want.data); /* it was said of what was before */
	ck_assert_int_eq(unlinkat(at, "a", 0), 0);
	vcr_buf_reset(&want);
	vcr_buf_printf(&want, "delete %s/a (scan)\n", path.data);
	vcr_buf_reset(&said);
	ck_assert_int_eq(vcr_files_scan_end(files, say, NULL, NULL), 0);
	ck_assert_str_eq(said.data, want.data);
	close(at);
	char cmd[100];
	snprintf(cmd, sizeof cmd, "rm -rf %s/nnn*", dir);
	ck_assert_int_eq(system(cmd), 0); /* nftw comes not so far */
}
END_TEST

START_TEST(a_known_directory_that_moves_into_a_new_one_is_told_as_moved)
{
	ck_assert_int_eq(mkdir(in("old"), 0755), 0);
	put("old/a", "a");
	sweep_upto(INT64_MAX, "mkdir old (watch)\nwrite old/a (watch)\n");
	ck_assert_int_eq(mkdir(in("new"), 0755), 0);
	vcr_files_read_watch(files);
	ck_assert_int_eq(rename(in("old"), in("new/old")), 0);
	sweep_upto(INT64_MAX, "mkdir new (watch)\nrename new/old (watch)\n");
	put("new/old/a", "again");
	sweep_upto(INT64_MAX, "write new/old/a (watch)\n");
}
END_TEST

static TCase *watch(void)
{
	TCase *tc = tcase_create("watch");
	tcase_add_checked_fixture(tc, setup, workspace_end);
	tcase_add_test(tc, what_is_done_in_a_directory_that_is_new_makes_no_events_until_the_sweep_has_walked_it);
	tcase_add_test(tc, what_is_made_there_while_hooks_words_are_on_their_way_waits_for_them);
	tcase_add_test(tc, a_change_is_of_when_the_hook_saw_it_though_inotify_was_read_first);
	tcase_add_test(tc, a_new_directory_that_is_moved_before_anybody_walks_it_is_found_where_it_is);
	tcase_add_test(tc, what_is_where_no_path_reaches_is_found_and_is_his_who_says_that_he_was_there);
	tcase_add_test(tc, a_known_directory_that_moves_into_a_new_one_is_told_as_moved);
	return tc;
}

TAP_MAIN("files: the watch", watch)
