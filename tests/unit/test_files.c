#include "files-parts.h"
#include "workspace.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char outside[64];

static void content(const struct vcr_file_state *s)
{
	if (!s->exists)
		vcr_buf_puts(&said, "-");
	else if (S_ISDIR(s->mode))
		vcr_buf_puts(&said, "dir");
	else if (!s->content)
		vcr_buf_printf(&said, "?%lld", (long long)s->size);
	else
		vcr_buf_add(&said, s->content, s->len);
}

static int say(void *ctx, const struct vcr_change *c)
{
	vcr_buf_printf(&said, "%s %s", change_kind[c->kind], c->path);
	if (c->old_path)
		vcr_buf_printf(&said, " from %s", c->old_path);
	vcr_buf_putc(&said, ' ');
	content(&c->before);
	vcr_buf_puts(&said, " > ");
	content(&c->after);
	if (c->before.exists && c->after.exists && c->before.mode != c->after.mode)
		vcr_buf_printf(&said, " %o > %o", c->before.mode & 07777, c->after.mode & 07777);
	vcr_buf_printf(&said, " (%s %d%s%s)\n", change_source[c->source], c->pid, c->transient ? " transient" : "", c->withheld ? " withheld" : "");
	return 0;
}

static void setup(void)
{
	workspace_begin();
	make_directory(outside);
}

static void teardown(void)
{
	workspace_end();
	remove_directory(outside);
}

static void hooked_rename(const char *a, const char *b)
{
	ck_assert_int_eq(rename(in(a), in(b)), 0);
	mark(VCR_MARK_RENAME, a, b);
}

static void hooked_unlink(const char *name)
{
	ck_assert_int_eq(unlink(in(name)), 0);
	mark(VCR_MARK_UNLINK, name, NULL);
}

#define sweep_says(text) do { \
	vcr_buf_reset(&said); \
	vcr_files_read_watch(files); \
	ck_assert_int_eq(vcr_files_sweep(files, INT64_MAX, say, NULL, NULL), 0); \
	ck_assert_str_eq(said.data, text); \
} while (0)

#define end_says(text) do { \
	vcr_buf_reset(&said); \
	ck_assert_int_eq(vcr_files_scan_end(files, say, NULL, NULL), 0); \
	ck_assert_str_eq(said.data, text); \
} while (0)

static void note_touched(void *ctx, const char *path, bool deep)
{
	vcr_buf_printf(ctx, "%s%s\n", path, deep ? " deep" : "");
}

START_TEST(a_directory_that_is_renamed_and_then_removed_has_been_touched_under_both_names)
{
	VCR_AUTO_BUF touched = VCR_BUF_INIT;
	ck_assert_int_eq(mkdir(in("old"), 0755), 0);
	make_files(&(struct vcr_files_options){ .touched = note_touched, .ctx = &touched });
	hooked_rename("old", "new");
	ck_assert_int_eq(rmdir(in("new")), 0);
	mark(VCR_MARK_RMDIR, "new", NULL);
	ck_assert_int_eq(vcr_files_sweep(files, INT64_MAX, say, NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(touched.data, "old"));
	ck_assert_ptr_nonnull(strstr(touched.data, "new"));
}
END_TEST

START_TEST(a_rename_to_the_same_name_is_nothing)
{
	ck_assert_int_eq(mkdir(in("d"), 0755), 0);
	put("d/f", "text");
	make_files(NULL);
	hooked_rename("d", "d");
	hooked_rename("d/f", "d/f");
	sweep_says("");
	end_says("");
}
END_TEST

START_TEST(what_is_written_under_one_name_is_told_of_the_others)
{
	put("a", "1");
	put("c", "2");
	ck_assert_int_eq(link(in("a"), in("b")), 0);
	ck_assert_int_eq(link(in("c"), in("d")), 0);
	make_files(NULL);
	int fd = open(in("a"), O_WRONLY | O_APPEND), fd2 = open(in("c"), O_WRONLY | O_APPEND);
	mark(VCR_MARK_OPEN, "a", NULL);
	mark(VCR_MARK_OPEN, "c", NULL);
	ck_assert_int_eq(write(fd, "3", 1), 1);
	ck_assert_int_eq(write(fd2, "4", 1), 1);
	mark(VCR_MARK_WRITE, "a", NULL);
	mark(VCR_MARK_WRITE, "c", NULL);
	close(fd);
	close(fd2);
	hooked_unlink("c");
	vcr_buf_reset(&said);
	ck_assert_int_eq(vcr_files_sweep(files, INT64_MAX, say, NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(said.data, "write a 1 > 13"));
	ck_assert_ptr_nonnull(strstr(said.data, "write b 1 > 13"));
	ck_assert_ptr_nonnull(strstr(said.data, "delete c"));
	ck_assert_ptr_nonnull(strstr(said.data, "write d 2 > 24"));
}
END_TEST

START_TEST(a_write_is_reported_once_with_old_and_new_content)
{
	put("a", "one");
	make_files(NULL);
	hooked_write("a", "two");
	hooked_write("b", "new");
	hooked_write("a", "three");
	sweep_says("write a one > three (shim 7)\nwrite b - > new (shim 7)\n");
	sweep_says("");
	end_says("");
}
END_TEST

START_TEST(a_write_of_the_same_content_is_a_write_and_an_open_alone_is_none)
{
	put("a", "same");
	put("b", "b");
	make_files(NULL);
	hooked_write("a", "same");
	mark(VCR_MARK_OPEN, "b", NULL);
	mark(VCR_MARK_CLOSE, "b", NULL);
	sweep_says("write a same > same (shim 7)\n");
}
END_TEST

START_TEST(an_atomic_save_is_a_rename_with_the_old_content_of_the_target)
{
	put("f", "old");
	make_files(NULL);
	hooked_write("f.tmp", "new");
	hooked_rename("f.tmp", "f");
	sweep_says("rename f from f.tmp old > new (shim 7)\n");
	hooked_rename("f", "g");
	sweep_says("rename g from f new > new (shim 7)\n");
	hooked_rename("g", "h");
	hooked_rename("h", "i");
	sweep_says("rename i from g new > new (shim 7)\n");
	hooked_rename("i", "j");
	hooked_rename("j", "i");
	sweep_says("");
	end_says("");
}
END_TEST

START_TEST(an_editor_that_moves_the_original_aside_and_removes_it_has_written)
{
	put("f", "old");
	make_files(NULL);
	hooked_rename("f", "f~");
	hooked_write("f", "new");
	hooked_unlink("f~");
	sweep_says("delete f~ - > - (shim 7 transient)\nwrite f old > new (shim 7)\n");
	hooked_rename("f", "kept");
	hooked_write("f", "newer");
	sweep_says("rename kept from f new > new (shim 7)\nwrite f new > newer (shim 7)\n");
	end_says("");
}
END_TEST

START_TEST(a_renamed_directory_takes_its_files_and_their_marks_along)
{
	mkdir(in("d"), 0755);
	mkdir(in("d/sub"), 0755);
	put("d/a", "a");
	put("d/sub/b", "b");
	make_files(NULL);
	hooked_write("d/a", "a2");
	hooked_rename("d", "e");
	hooked_write("e/sub/b", "b2");
	sweep_says("rename e from d dir > dir (shim 7)\nwrite e/a a > a2 (shim 7)\nwrite e/sub/b b > b2 (shim 7)\n");
	end_says("");
	hooked_rename("e", outside);
	sweep_says("rmdir e dir > - (shim 7)\ndelete e/sub/b b2 > - (shim 7)\nrmdir e/sub dir > - (shim 7)\ndelete e/a a2 > - (shim 7)\n");
	hooked_rename(outside, "back");
	vcr_buf_reset(&said);
	vcr_files_sweep(files, INT64_MAX, say, NULL, NULL);
	ck_assert_ptr_nonnull(strstr(said.data, "mkdir back - > dir (shim 7)\n"));
	ck_assert_ptr_nonnull(strstr(said.data, "write back/sub/b - > b2 (watch 0)\n"));
	end_says("");
}
END_TEST

START_TEST(what_is_deleted_where_a_renamed_directory_brings_another_is_not_forgotten)
{
	mkdir(in("d"), 0755);
	put("d/f", "old");
	mkdir(in("e"), 0755);
	put("e/f", "new");
	make_files(NULL);
	hooked_unlink("d/f");
	hooked_rename("e", "d");
	sweep_says("delete d/f old > - (shim 7)\nrename d from e dir > dir (shim 7)\n");
	end_says("");
}
END_TEST

START_TEST(deletes_directories_modes_and_links)
{
	put("a", "a");
	mkdir(in("d"), 0755);
	make_files(NULL);
	chmod(in("a"), 0700);
	mark(VCR_MARK_MODE, "a", NULL);
	rmdir(in("d"));
	mark(VCR_MARK_RMDIR, "d", NULL);
	mkdir(in("n"), 0700);
	mark(VCR_MARK_MKDIR, "n", NULL);
	ck_assert_int_eq(symlink("a", in("s")), 0);
	mark(VCR_MARK_LINK, "a", "s");
	ck_assert_int_eq(link(in("a"), in("l")), 0);
	mark(VCR_MARK_LINK, "a", "l");
	hooked_write("t", "gone at once");
	hooked_unlink("t");
	sweep_says("mode a a > a 644 > 700 (shim 7)\nrmdir d dir > - (shim 7)\nmkdir n - > dir (shim 7)\nlink s from a - > a (shim 7)\nlink l from a - > a (shim 7)\n"
		"delete t - > - (shim 7 transient)\n");
	hooked_unlink("a");
	hooked_unlink("s");
	sweep_says("delete a a > - (shim 7)\ndelete s a > - (shim 7)\n");
	end_says("");
}
END_TEST

START_TEST(what_was_changed_through_a_name_that_then_goes_is_seen_under_the_files_other_names)
{
	put("a", "one\n");
	put("d", "two\n");
	ck_assert(!link(in("a"), in("b")) && !link(in("d"), in("e")));
	make_files(NULL);
	ck_assert_int_eq(chmod(in("a"), 0600), 0);
	mark(VCR_MARK_MODE, "a", NULL);
	hooked_unlink("a");
	sweep_says("delete a one\n > - (shim 7)\nmode b one\n > one\n 644 > 600 (watch 0)\n");
	put("d", "three\n");
	mark(VCR_MARK_WRITE, "d", NULL);
	hooked_unlink("d");
	sweep_says("delete d two\n > - (shim 7)\nwrite e two\n > three\n (watch 0)\n");
	ck_assert_int_eq(link(in("b"), in("c")), 0); /* a name that comes later is one too */
	mark(VCR_MARK_LINK, "b", "c");
	sweep_says("link c from b - > one\n (shim 7)\n");
	ck_assert_int_eq(chmod(in("c"), 0640), 0);
	mark(VCR_MARK_MODE, "c", NULL);
	hooked_rename("e", "c");
	sweep_says("rename c from e one\n > three\n 600 > 644 (shim 7)\nmode b one\n > one\n 600 > 640 (watch 0)\n");
	end_says("");
}
END_TEST

START_TEST(and_through_one_that_came_and_went_between_two_looks_or_whose_place_a_directory_took)
{
	put("a", "one\n");
	put("c", "two\n");
	mkdir(in("d"), 0755);
	ck_assert(!link(in("c"), in("e")));
	make_files(NULL);
	ck_assert_int_eq(link(in("a"), in("x")), 0);
	mark(VCR_MARK_LINK, "a", "x");
	put("x", "three\n");
	mark(VCR_MARK_WRITE, "x", NULL);
	hooked_unlink("x");
	mkdir(in("x"), 0755);
	mark(VCR_MARK_MKDIR, "x", NULL);
	sweep_says("mkdir x - > dir (shim 7)\nwrite a one\n > three\n (watch 0)\n");
	put("c", "four\n");
	mark(VCR_MARK_WRITE, "c", NULL);
	hooked_unlink("c");
	hooked_rename("d", "c");
	sweep_says("delete c two\n > - (shim 7)\nrename c from d dir > dir (shim 7)\nwrite e two\n > four\n (watch 0)\n");
	end_says("");
}
END_TEST

START_TEST(what_takes_the_name_of_something_of_another_kind_does_not_hide_that_it_went)
{
	put("a", "one\n");
	ck_assert_int_eq(mkdir(in("d"), 0755), 0);
	make_files(NULL);
	unlink(in("a"));
	mark(VCR_MARK_UNLINK, "a", NULL);
	mkdir(in("a"), 0755);
	mark(VCR_MARK_MKDIR, "a", NULL);
	rmdir(in("d"));
	mark(VCR_MARK_RMDIR, "d", NULL);
	hooked_write("d", "two\n");
	sweep_says("delete a one\n > - (shim 7)\nmkdir a - > dir (shim 7)\nrmdir d dir > - (shim 7)\nwrite d - > two\n (shim 7)\n");
}
END_TEST

START_TEST(a_file_that_gets_its_name_when_it_is_complete_is_written)
{
	make_files(NULL);
	put("f", "one\n");
	mark(VCR_MARK_LINK, "#1234 (deleted)", "f");
	sweep_says("write f - > one\n (shim 7)\n");
}
END_TEST

START_TEST(what_no_hook_saw_is_found_by_the_watch_and_what_that_missed_by_the_scan)
{
	put("a", "a");
	mkdir(in("d"), 0755);
	make_files(NULL);
	put("a", "changed");
	mkdir(in("d/e"), 0755);
	put("d/e/f", "deep");
	sweep_says("write a a > changed (watch 0)\nmkdir d/e - > dir (watch 0)\nwrite d/e/f - > deep (watch 0)\n");
	put("d/e/f", "deeper");
	unlink(in("a"));
	end_says("write d/e/f deep > deeper (scan 0)\ndelete a changed > - (scan 0)\n");
}
END_TEST

START_TEST(a_rename_that_no_hook_saw_is_known_by_its_inode)
{
	put("a", "content");
	mkdir(in("d"), 0755);
	put("d/x", "x");
	make_files(NULL);
	rename(in("a"), in("b"));
	rename(in("d"), in("e"));
	sweep_says("rename b from a content > content (watch 0)\nrename e from d dir > dir (watch 0)\n");
	put("e/x", "after");
	sweep_says("write e/x x > after (watch 0)\n");
	end_says("");
}
END_TEST

START_TEST(a_mark_that_comes_late_does_not_report_twice)
{
	make_files(NULL);
	int64_t then = vcr_files_now();
	put("a", "a");
	put("b", "b");
	rename(in("b"), in("c"));
	mkdir(in("d"), 0755);
	sweep_says("write a - > a (watch 0)\nwrite c - > b (watch 0)\nmkdir d - > dir (watch 0)\n");
	vcr_files_mark(files, VCR_MARK_WRITE, in("a"), NULL, 7, then);
	vcr_files_mark(files, VCR_MARK_RENAME, in("b"), in("c"), 7, then);
	vcr_files_mark(files, VCR_MARK_MKDIR, in("d"), NULL, 7, then);
	sweep_says("");
	end_says("");
}
END_TEST

START_TEST(a_write_of_the_same_content_is_told_though_inotify_was_read_before_the_hooks_word)
{
	put("a", "a");
	make_files(NULL);
	int64_t then = vcr_files_now();
	put("a", "a");
	sweep_says("");
	vcr_files_mark(files, VCR_MARK_WRITE, in("a"), NULL, 7, then);
	sweep_says("write a a > a (shim 7)\n");
	vcr_files_mark(files, VCR_MARK_WRITE, in("a"), NULL, 7, then);
	sweep_says("");
	end_says("");
}
END_TEST

START_TEST(what_was_written_before_the_base_scan_looked_is_told_and_that_nobody_knows_what_stood_there)
{
	put("a", "a");
	put("b", "b");
	put("c", "c");
	int64_t then = vcr_files_now();
	make_files(NULL);
	vcr_files_mark(files, VCR_MARK_OPEN, in("c"), NULL, 7, then);
	vcr_files_mark(files, VCR_MARK_WRITE, in("a"), NULL, 7, then);
	put("b", "new");
	vcr_files_mark(files, VCR_MARK_WRITE, in("b"), NULL, 7, then);
	mark(VCR_MARK_WRITE, "b", NULL);
	sweep_says("write a - > a (shim 7)\nwrite b b > new (shim 7)\n");
	put("a", "more");
	mark(VCR_MARK_WRITE, "a", NULL);
	sweep_says("write a a > more (shim 7)\n");
	end_says("");
}
END_TEST

START_TEST(what_inotify_sees_waits_for_the_hooks_word_that_may_be_on_its_way)
{
	make_files(NULL);
	int64_t before = vcr_files_now();
	put("a", "a");
	put("b", "b");
	vcr_files_read_watch(files);
	vcr_buf_reset(&said);
	vcr_files_sweep(files, before, say, NULL, NULL);
	ck_assert_str_eq(said.data, "");
	mark(VCR_MARK_WRITE, "a", NULL);
	vcr_files_sweep(files, INT64_MAX, say, NULL, NULL);
	ck_assert_str_eq(said.data, "write a - > a (shim 7)\nwrite b - > b (watch 0)\n");
	end_says("");
}
END_TEST

START_TEST(data_that_comes_through_a_descriptor_kept_open_is_its_owners)
{
	make_files(NULL);
	FILE *f = fopen(in("log"), "w");
	mark(VCR_MARK_WRITE, "log", NULL);
	sweep_says("write log - >  (shim 7)\n");
	fputs("one\n", f);
	fflush(f);
	sweep_says("write log  > one\n (shim 7)\n");
	fputs("two\n", f);
	fclose(f);
	mark(VCR_MARK_CLOSE, "log", NULL);
	sweep_says("write log one\n > one\ntwo\n (shim 7)\n");
	put("log", "stranger");
	sweep_says("write log one\ntwo\n > stranger (watch 0)\n");
}
END_TEST

static struct { unsigned serial; int64_t ended_ns; } owner;

static unsigned lived(void *ctx, int pid, int64_t ns)
{
	return owner.ended_ns && ns > owner.ended_ns ? 0 : owner.serial;
}

START_TEST(what_changes_when_the_descriptors_owner_is_dead_is_not_put_down_to_him)
{
	put("log", "0");
	make_files(&(struct vcr_files_options){ .lived = lived });
	owner.serial = 1;
	owner.ended_ns = 0;
	mark(VCR_MARK_OPEN, "log", NULL); /* he has become a program that says nothing of it, not even a close */
	sweep_says("");
	put("log", "01");
	owner.ended_ns = vcr_files_now();
	sweep_says("write log 0 > 01 (shim 7)\n");
	owner.ended_ns = vcr_files_now() - 2 * VCR_FILES_TICK_NS; /* before what follows, also by a clock that ticks */
	put("log", "012");
	sweep_says("write log 01 > 012 (watch 0)\n");
	owner.serial = 2; /* another has got his number */
	owner.ended_ns = 0;
	put("log", "0123");
	sweep_says("write log 012 > 0123 (watch 0)\n");
}
END_TEST

static int add_writes(void *sum, const struct vcr_change *c)
{
	*(unsigned *)sum = *(unsigned *)sum * 10 + c->writes;
	return 0;
}

static unsigned sweep_counts(void)
{
	unsigned sum = 0;
	vcr_files_read_watch(files);
	vcr_files_sweep(files, INT64_MAX, add_writes, &sum, NULL);
	return sum;
}

START_TEST(a_file_that_is_made_and_written_is_written_once_whether_its_first_write_is_told_or_not)
{
	make_files(NULL);
	put("told", "a");
	mark(VCR_MARK_BEGIN, "told", NULL);
	mark(VCR_MARK_WRITE, "told", NULL);
	mark(VCR_MARK_CLOSE, "told", NULL);
	ck_assert_uint_eq(sweep_counts(), 1);
	put("untold", "a");
	mark(VCR_MARK_BEGIN, "untold", NULL);
	mark(VCR_MARK_CLOSE, "untold", NULL);
	ck_assert_uint_eq(sweep_counts(), 1);
	put("twice", "a");
	mark(VCR_MARK_BEGIN, "twice", NULL);
	mark(VCR_MARK_WRITE, "twice", NULL);
	mark(VCR_MARK_WRITE, "twice", NULL);
	ck_assert_uint_eq(sweep_counts(), 2);
	put("later", "");
	mark(VCR_MARK_BEGIN, "later", NULL);
	ck_assert_uint_eq(sweep_counts(), 1);
	put("later", "a");
	mark(VCR_MARK_WRITE, "later", NULL);
	ck_assert_uint_eq(sweep_counts(), 1);
}
END_TEST

START_TEST(a_file_that_is_emptied_and_written_as_it_was_is_written_though_it_was_looked_at_in_between)
{
	put("same", "a");
	make_files(NULL);
	int64_t emptied = vcr_files_now();
	put("same", "b"); /* somebody looks while it is written */
	ck_assert_uint_eq(sweep_counts(), 0);
	put("same", "a");
	ck_assert_uint_eq(sweep_counts(), 0);
	vcr_files_mark(files, VCR_MARK_BEGIN, in("same"), NULL, 7, emptied);
	mark(VCR_MARK_CLOSE, "same", NULL);
	ck_assert_uint_eq(sweep_counts(), 1);
}
END_TEST

static bool is_env(const char *path)
{
	return strstr(path, ".env") != NULL;
}

START_TEST(a_file_of_secrets_is_reported_without_content_or_hash)
{
	put(".env", "KEY=a");
	make_files(&(struct vcr_files_options){ .is_secret = is_env });
	hooked_write(".env", "KEY=bb");
	sweep_says("write .env ?5 > ?6 (shim 7 withheld)\n");
	hooked_rename(".env", "public");
	sweep_says("rename public from .env ?6 > ?6 (shim 7 withheld)\n");
}
END_TEST

static void count_aged(void *ctx, const char *path, int64_t mtime_ns)
{
	ck_assert_str_eq(path, "a");
	++*(int *)ctx;
}

START_TEST(a_time_is_told_of_what_a_savepoint_has_not_of_what_changed_before_it)
{
	int told = 0;
	put("a", "1");
	make_files(&(struct vcr_files_options){ .aged = count_aged, .ctx = &told });
	put("a", "22"); /* the savepoint has this, and nobody has looked */
	vcr_files_saved(files);
	sweep_says("write a 1 > 22 (watch 0)\n");
	ck_assert_int_eq(told, 0);
	vcr_files_saved(files);
	for (int64_t until = vcr_files_now() + 2 * VCR_FILES_TICK_NS; vcr_files_now() < until;)
		; /* also by a clock that ticks */
	put("a", "333");
	sweep_says("write a 22 > 333 (watch 0)\n");
	ck_assert_int_eq(told, 1);
}
END_TEST

START_TEST(git_and_vcr_and_what_is_configured_are_left_out)
{
	static const char *const ignore[] = { "build/", "*.o", "/top", "a/**/z", "!keep.o", NULL };
	mkdir(in(".git"), 0755);
	mkdir(in("a"), 0755);
	mkdir(in("a/.vcr"), 0755);
	mkdir(in("build"), 0755);
	make_files(&(struct vcr_files_options){ .ignore = ignore });
	const char *const out[] = { ".git/x", "a/.vcr/x", "build/x", "x.o", "a/y.o", "top", "a/z", ".git" }, *const kept[] = { "a/top", "keep.o", "builder", "a/zz", ".gitignore" };
	for (size_t i = 0; i < 7; i++)
		hooked_write(out[i], "x");
	vcr_files_mark(files, VCR_MARK_MODE, in(".git"), NULL, 7, vcr_files_now());
	sweep_says("");
	for (size_t i = 0; i < 5; i++)
		hooked_write(kept[i], "k");
	sweep_says("write a/top - > k (shim 7)\nwrite keep.o - > k (shim 7)\nwrite builder - > k (shim 7)\nwrite a/zz - > k (shim 7)\nwrite .gitignore - > k (shim 7)\n");
	end_says("");
}
END_TEST

START_TEST(paths_are_understood_as_the_kernel_does_and_never_left)
{
	char path[200];
	mkdir(in("d"), 0755);
	put("d/f", "f");
	ck_assert_int_eq(symlink("d", in("link")), 0);
	ck_assert_int_eq(symlink(outside, in("away")), 0);
	make_files(NULL);
	put("d/f", "via");
	mark(VCR_MARK_WRITE, "link/f", NULL);
	mark(VCR_MARK_WRITE, "d/../d//./f", NULL);
	sweep_says("write d/f f > via (shim 7)\n");
	snprintf(path, sizeof path, "%s/secret", outside);
	put(path, "not ours");
	mark(VCR_MARK_WRITE, "away/secret", NULL);
	mark(VCR_MARK_WRITE, path, NULL);
	mark(VCR_MARK_WRITE, "/etc/passwd", NULL);
	sweep_says("");
	/* a directory that becomes a link is not walked through */
	unlink(in("d/f"));
	rmdir(in("d"));
	ck_assert_int_eq(symlink(outside, in("d")), 0);
	vcr_files_mark(files, VCR_MARK_WRITE, "d/f", NULL, 7, vcr_files_now());
	vcr_buf_reset(&said);
	vcr_files_scan_end(files, say, NULL, NULL);
	ck_assert_ptr_null(strstr(said.data, "not ours"));
	ck_assert_ptr_nonnull(strstr(said.data, "delete d/f via > -"));
}
END_TEST

START_TEST(a_fifo_and_a_large_file_are_not_read)
{
	ck_assert_int_eq(mkfifo(in("pipe"), 0600), 0);
	make_files(NULL);
	FILE *f = fopen(in("large"), "w");
	for (int i = 0; i < 3 << 20; i++)
		putc('x', f);
	fclose(f);
	mark(VCR_MARK_WRITE, "large", NULL);
	chmod(in("pipe"), 0644);
	mark(VCR_MARK_MODE, "pipe", NULL);
	sweep_says("write large - > ?3145728 (shim 7)\nmode pipe ?0 > ?0 600 > 644 (shim 7)\n");
	truncate(in("large"), 5 << 20);
	mark(VCR_MARK_WRITE, "large", NULL);
	sweep_says("write large ?3145728 > ?5242880 (shim 7)\n");
}
END_TEST

static void run(const char *format, ...)
{
	char command[600];
	va_list ap;
	va_start(ap, format);
	vsnprintf(command, sizeof command, format, ap);
	va_end(ap);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(the_old_content_of_a_tracked_file_comes_from_the_users_objects)
{
	put("old", "tracked");
	run("cd %s && touch -d '1 hour ago' old && git init -q . && git add old && git -c user.name=a -c user.email=a@b commit -qm m && touch -d '1 minute ago' old && git status >/dev/null", dir);
	make_files(&(struct vcr_files_options){ .keep_bytes = 1 });
	const struct vcr_known *k = vcr_table_get(&files->table, "old");
	ck_assert_ptr_nonnull(k);
	ck_assert_int_eq(k->keep, VCR_KEEP_GIT);
	hooked_write("old", "changed");
	sweep_says("write old tracked > changed (shim 7)\n");
}
END_TEST

START_TEST(lost_events_are_made_good_by_a_scan)
{
	put("a", "a");
	make_files(NULL);
	put("a", "bb");
	files->must_scan = true;
	vcr_buf_reset(&said);
	vcr_files_sweep(files, INT64_MAX, say, NULL, NULL);
	ck_assert_str_eq(said.data, "write a a > bb (scan 0)\n");
}
END_TEST

/* ---- Random work: what was reported, applied to what was there, gives what is there ---- */

enum { NAMES = 6 };
struct model { char path[40], text[40]; bool directory; } model[2000];
static int nmodel;

static struct model *model_of(const char *path, bool make)
{
	for (int i = 0; i < nmodel; i++)
		if (!strcmp(model[i].path, path))
			return &model[i];
	if (!make)
		return NULL;
	model[nmodel] = (struct model){ 0 };
	strcpy(model[nmodel].path, path);
	return &model[nmodel++];
}

static void forget(const char *path)
{
	struct model *m = model_of(path, false);
	if (m)
		*m = model[--nmodel];
}

static void move_model(const char *from, const char *to, bool directory)
{
	char moved[80];
	struct model *m = model_of(from, false), copy;
	for (int i = 0; directory && i < nmodel; i++)
		if (vcr_path_below(model[i].path, from)) {
			snprintf(moved, sizeof moved, "%s%s", to, model[i].path + strlen(from));
			strcpy(model[i].path, moved);
		}
	if (!m)
		return;
	copy = *m;
	forget(from);
	strcpy(copy.path, to);
	*model_of(to, true) = copy;
}

/* An old path says where it came from, also of what is gone again. */
static int apply(void *ctx, const struct vcr_change *c)
{
	if (c->old_path)
		move_model(c->old_path, c->path, S_ISDIR(c->after.exists ? c->after.mode : c->before.mode));
	if (!c->after.exists) {
		forget(c->path);
		return 0;
	}
	struct model *m = model_of(c->path, true);
	m->directory = S_ISDIR(c->after.mode);
	snprintf(m->text, sizeof m->text, "%.*s", (int)c->after.len, c->after.content ? c->after.content : "");
	return 0;
}

static int there;

static int check_one(const char *path, const struct stat *st, int type, struct FTW *w)
{
	char text[40] = "";
	if (!w->level)
		return 0;
	there++;
	const struct model *m = model_of(path + strlen(dir) + 1, false);
	ck_assert_msg(m != NULL, "%s is there and was not reported", path);
	if (type == FTW_F) {
		FILE *f = fopen(path, "r");
		text[fread(text, 1, sizeof text - 1, f)] = 0;
		fclose(f);
		ck_assert_str_eq(m->text, text);
	}
	ck_assert_int_eq(m->directory, type == FTW_D || type == FTW_DP);
	return 0;
}

static const char *random_path(char out[40])
{
	int n = sprintf(out, "%c", (int)('a' + random() % NAMES));
	for (int depth = (int)(random() % 3); depth > 0; depth--)
		n += sprintf(out + n, "/%c", (int)('a' + random() % NAMES));
	return out;
}

/* Renames since the last sweep. Where a directory's rename crosses others ("mkdir t; mv x t; mv t x"), one line after the other cannot say it
 * exactly any more: those are left to people's eyes. */
static int renames;
static bool crossed;

static bool may_rename(const char *a, const char *b)
{
	struct stat st;
	bool directory = !lstat(in(a), &st) && S_ISDIR(st.st_mode);
	if (!strcmp(a, b) || crossed || (directory && renames))
		return false;
	renames++;
	crossed = directory;
	return true;
}

static void random_act(bool hooked, int step)
{
	char a[40], b[40], text[30];
	random_path(a);
	random_path(b);
	sprintf(text, "text %d", step);
	switch (random() % 5) {
	case 0: case 1: {
		FILE *f = fopen(in(a), "w");
		if (!f)
			return;
		fputs(text, f);
		fclose(f);
		if (hooked)
			mark(VCR_MARK_WRITE, a, NULL), mark(VCR_MARK_CLOSE, a, NULL);
		return;
	}
	case 2:
		if (!mkdir(in(a), 0755) && hooked)
			mark(VCR_MARK_MKDIR, a, NULL);
		return;
	case 3:
		if (may_rename(a, b) && !rename(in(a), in(b)) && hooked)
			mark(VCR_MARK_RENAME, a, b);
		return;
	default:
		if (!unlink(in(a))) {
			if (hooked)
				mark(VCR_MARK_UNLINK, a, NULL);
		} else if (!rmdir(in(a)) && hooked) {
			mark(VCR_MARK_RMDIR, a, NULL);
		}
	}
}

static void random_work(unsigned seed, int hooked_percent)
{
	srandom(seed);
	nmodel = renames = crossed = 0;
	make_files(NULL);
	for (int step = 0; step < 400; step++) {
		random_act(random() % 100 < hooked_percent, step);
		if (random() % 12)
			continue;
		renames = crossed = 0;
		if (random() % 2)
			vcr_files_read_watch(files);
		ck_assert_int_eq(vcr_files_sweep(files, random() % 2 ? INT64_MAX : vcr_files_now(), apply, NULL, NULL), 0);
	}
	vcr_files_read_watch(files);
	vcr_files_sweep(files, INT64_MAX, apply, NULL, NULL);
	vcr_files_scan_end(files, apply, NULL, NULL);
	there = 0;
	nftw(dir, check_one, 16, FTW_PHYS);
	ck_assert_msg(there == nmodel, "seed %u: %d paths are there, %d were reported", seed, there, nmodel);
}

START_TEST(reports_of_hooked_work_add_up_to_the_files_that_are_there)
{
	random_work((unsigned)_i + 1, 100);
}
END_TEST

START_TEST(reports_of_mixed_work_add_up_to_the_files_that_are_there)
{
	random_work((unsigned)_i + 1000, 50);
}
END_TEST

START_TEST(reports_of_unhooked_work_add_up_to_the_files_that_are_there)
{
	random_work((unsigned)_i + 2000, 0);
}
END_TEST

static TCase *changes(void)
{
	TCase *tc = tcase_create("files");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_write_is_reported_once_with_old_and_new_content);
	tcase_add_test(tc, a_directory_that_is_renamed_and_then_removed_has_been_touched_under_both_names);
	tcase_add_test(tc, a_rename_to_the_same_name_is_nothing);
	tcase_add_test(tc, what_is_written_under_one_name_is_told_of_the_others);
	tcase_add_test(tc, a_write_of_the_same_content_is_a_write_and_an_open_alone_is_none);
	tcase_add_test(tc, an_atomic_save_is_a_rename_with_the_old_content_of_the_target);
	tcase_add_test(tc, an_editor_that_moves_the_original_aside_and_removes_it_has_written);
	tcase_add_test(tc, a_renamed_directory_takes_its_files_and_their_marks_along);
	tcase_add_test(tc, what_is_deleted_where_a_renamed_directory_brings_another_is_not_forgotten);
	tcase_add_test(tc, deletes_directories_modes_and_links);
	tcase_add_test(tc, what_takes_the_name_of_something_of_another_kind_does_not_hide_that_it_went);
	tcase_add_test(tc, a_file_that_gets_its_name_when_it_is_complete_is_written);
	tcase_add_test(tc, what_was_changed_through_a_name_that_then_goes_is_seen_under_the_files_other_names);
	tcase_add_test(tc, and_through_one_that_came_and_went_between_two_looks_or_whose_place_a_directory_took);
	tcase_add_test(tc, what_no_hook_saw_is_found_by_the_watch_and_what_that_missed_by_the_scan);
	tcase_add_test(tc, a_rename_that_no_hook_saw_is_known_by_its_inode);
	tcase_add_test(tc, a_mark_that_comes_late_does_not_report_twice);
	tcase_add_test(tc, a_write_of_the_same_content_is_told_though_inotify_was_read_before_the_hooks_word);
	tcase_add_test(tc, what_was_written_before_the_base_scan_looked_is_told_and_that_nobody_knows_what_stood_there);
	tcase_add_test(tc, what_inotify_sees_waits_for_the_hooks_word_that_may_be_on_its_way);
	tcase_add_test(tc, data_that_comes_through_a_descriptor_kept_open_is_its_owners);
	tcase_add_test(tc, what_changes_when_the_descriptors_owner_is_dead_is_not_put_down_to_him);
	tcase_add_test(tc, a_file_that_is_made_and_written_is_written_once_whether_its_first_write_is_told_or_not);
	tcase_add_test(tc, a_file_that_is_emptied_and_written_as_it_was_is_written_though_it_was_looked_at_in_between);
	tcase_add_test(tc, a_file_of_secrets_is_reported_without_content_or_hash);
	tcase_add_test(tc, a_time_is_told_of_what_a_savepoint_has_not_of_what_changed_before_it);
	tcase_add_test(tc, git_and_vcr_and_what_is_configured_are_left_out);
	tcase_add_test(tc, paths_are_understood_as_the_kernel_does_and_never_left);
	tcase_add_test(tc, a_fifo_and_a_large_file_are_not_read);
	tcase_add_test(tc, the_old_content_of_a_tracked_file_comes_from_the_users_objects);
	tcase_add_test(tc, lost_events_are_made_good_by_a_scan);
	tcase_add_loop_test(tc, reports_of_hooked_work_add_up_to_the_files_that_are_there, 0, 40);
	tcase_add_loop_test(tc, reports_of_mixed_work_add_up_to_the_files_that_are_there, 0, 40);
	tcase_add_loop_test(tc, reports_of_unhooked_work_add_up_to_the_files_that_are_there, 0, 40);
	return tc;
}

TAP_MAIN("files", changes)
