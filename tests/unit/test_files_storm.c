#include "workspace.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static int say_storm(void *ctx, const struct vcr_change *c)
{
	if (c->place)
		vcr_buf_printf(&said, "%s in '%s' of %u\n", c->path, c->place, c->storm);
	else
		vcr_buf_printf(&said, "%s alone\n", c->path);
	return 0;
}

static void sweep_storm(void)
{
	vcr_buf_reset(&said);
	ck_assert_int_eq(vcr_files_sweep(files, INT64_MAX, say_storm, NULL, NULL), 0);
}

static void hooked_mkdir(const char *name)
{
	ck_assert_int_eq(mkdir(in(name), 0755), 0);
	mark(VCR_MARK_MKDIR, name, NULL);
}

START_TEST(what_is_made_is_counted_at_its_topmost_new_directory_and_edits_are_not)
{
	put("old", "1");
	make_files(NULL);
	hooked_mkdir("d");
	hooked_mkdir("d/e");
	hooked_write("d/e/a", "1");
	hooked_write("d/b", "1");
	hooked_write("old", "2");
	hooked_write("new", "1");
	sweep_storm();
	ck_assert_str_eq(said.data, "d in '' of 2\nd/e in 'd' of 3\nd/e/a in 'd' of 3\nd/b in 'd' of 3\nold alone\nnew in '' of 2\n");
	hooked_write("d/e/c", "1");
	hooked_write("d/b", "2");
	sweep_storm();
	ck_assert_str_eq(said.data, "d/e/c in 'd' of 5\nd/b in 'd' of 5\n");
}
END_TEST

START_TEST(in_the_next_period_what_was_made_is_old)
{
	make_files(NULL);
	hooked_mkdir("d");
	hooked_write("d/a", "1");
	sweep_storm();
	vcr_files_period(files);
	hooked_write("d/a", "2");
	hooked_write("d/b", "1");
	hooked_mkdir("d/e");
	hooked_write("d/e/c", "1");
	sweep_storm();
	ck_assert_str_eq(said.data, "d/a alone\nd/b in 'd' of 2\nd/e in 'd' of 2\nd/e/c in 'd/e' of 1\n");
}
END_TEST

START_TEST(what_goes_away_is_counted_at_the_topmost_directory_that_is_gone)
{
	ck_assert(!mkdir(in("d"), 0755) && !mkdir(in("d/e"), 0755));
	put("d/e/a", "1");
	put("d/b", "1");
	put("c", "1");
	make_files(NULL);
	ck_assert(!unlink(in("d/e/a")) && !rmdir(in("d/e")) && !unlink(in("d/b")) && !rmdir(in("d")) && !unlink(in("c")));
	mark(VCR_MARK_UNLINK, "d/e/a", NULL);
	mark(VCR_MARK_RMDIR, "d/e", NULL);
	mark(VCR_MARK_UNLINK, "d/b", NULL);
	mark(VCR_MARK_RMDIR, "d", NULL);
	mark(VCR_MARK_UNLINK, "c", NULL);
	sweep_storm();
	ck_assert_str_eq(said.data, "d/e/a in 'd' of 3\nd/e in 'd' of 3\nd/b in 'd' of 3\nd in '' of 2\nc in '' of 2\n");
}
END_TEST

static unsigned who(void *ctx, int pid)
{
	return *(unsigned *)ctx + (unsigned)pid % 10;
}

START_TEST(programs_are_counted_apart)
{
	unsigned base = 100;
	make_files(&(struct vcr_files_options){ .who = who, .ctx = &base });
	put("a", "1");
	put("b", "1");
	put("c", "1");
	vcr_files_mark(files, VCR_MARK_WRITE, in("a"), NULL, 11, vcr_files_now());
	vcr_files_mark(files, VCR_MARK_WRITE, in("b"), NULL, 12, vcr_files_now());
	vcr_files_mark(files, VCR_MARK_WRITE, in("c"), NULL, 21, vcr_files_now());
	sweep_storm();
	ck_assert_str_eq(said.data, "a in '' of 2\nb in '' of 1\nc in '' of 2\n");
}
END_TEST

START_TEST(what_git_ignores_is_counted_at_the_ignored_directory_though_it_is_old)
{
	char command[100];
	snprintf(command, sizeof command, "git init -q %s", dir);
	ck_assert_int_eq(system(command), 0);
	ck_assert(!mkdir(in("out"), 0755) && !mkdir(in("out/sub"), 0755));
	put(".gitignore", "out/\n");
	put("out/sub/a.o", "1");
	make_files(NULL);
	hooked_write("out/sub/a.o", "2");
	hooked_write("out/sub/b.o", "1");
	sweep_storm();
	ck_assert_str_eq(said.data, "out/sub/a.o in 'out' of 2\nout/sub/b.o in 'out' of 2\n");
}
END_TEST

static TCase *storms(void)
{
	TCase *tc = tcase_create("storms");
	tcase_add_checked_fixture(tc, workspace_begin, workspace_end);
	tcase_add_test(tc, what_is_made_is_counted_at_its_topmost_new_directory_and_edits_are_not);
	tcase_add_test(tc, in_the_next_period_what_was_made_is_old);
	tcase_add_test(tc, what_goes_away_is_counted_at_the_topmost_directory_that_is_gone);
	tcase_add_test(tc, programs_are_counted_apart);
	tcase_add_test(tc, what_git_ignores_is_counted_at_the_ignored_directory_though_it_is_old);
	return tc;
}

TAP_MAIN("files: storms", storms)
