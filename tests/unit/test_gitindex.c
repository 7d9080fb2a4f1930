#include "gitindex.h"
#include "buf.h"
#include "tap.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/vcr-gitindex-XXXXXX";
static struct vcr_error e;

static void sh(const char *script)
{
	VCR_AUTO_BUF cmd = VCR_BUF_INIT;
	vcr_buf_printf(&cmd, "exec >/dev/null 2>&1; export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a "
		"GIT_COMMITTER_EMAIL=a; set -e; %s", script);
	ck_assert_msg(system(cmd.data) == 0, "%s", script);
}

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	sh("git init -q .; mkdir -p a/b a.c; touch a/b/x a/b/y a/z a.c/w a0 top; touch -d '1 hour ago' a/b/x a/b/y a/z a.c/w a0 top; git add .");
}

static void teardown(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	VCR_AUTO_BUF cmd = VCR_BUF_INIT;
	vcr_buf_printf(&cmd, "rm -rf %s", top);
	ck_assert_int_eq(system(cmd.data), 0);
}

static struct vcr_gitindex read_it(void)
{
	struct vcr_gitindex x;
	ck_assert_msg(!vcr_gitindex_read(&x, ".git/index", &e), "%s", e.what);
	return x;
}

/* "directory: its files" a line. */
static char *text_of(const struct vcr_gitindex *x)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	for (size_t d = 0; d < x->ndir; d++) {
		vcr_buf_printf(&out, "%.*s:", (int)x->dir[d].len, x->dir[d].path);
		for (size_t i = 0; i < x->dir[d].n; i++)
			vcr_buf_printf(&out, " %s", x->entry[x->dir[d].first + i].path);
		vcr_buf_putc(&out, '\n');
	}
	return vcr_buf_take(&out, NULL);
}

START_TEST(entries_stand_by_directory_in_every_version_of_the_format)
{
	static const char *const make[] = { ":", "git update-index --index-version 4", "git update-index --skip-worktree a0", "touch new; git add -N new; rm new; git rm -q --cached new; git add -N top" };
	sh(make[_i]);
	struct vcr_gitindex x = read_it();
	char *text = text_of(&x);
	ck_assert_str_eq(text, ": a0 top\na.c: a.c/w\na: a/z\na/b: a/b/x a/b/y\n");
	free(text);
	ck_assert_ptr_null(vcr_gitindex_dir(&x, "a/", 2));
	ck_assert_ptr_null(vcr_gitindex_dir(&x, "top", 3));
	for (size_t d = 0; d < x.ndir; d++)
		ck_assert_ptr_eq(vcr_gitindex_dir(&x, x.dir[d].path, x.dir[d].len), &x.dir[d]);
	const struct vcr_gitindex_dir *b = vcr_gitindex_dir(&x, "a/b", 3);
	ck_assert_str_eq(vcr_gitindex_find(&x, b, "y", 1)->path, "a/b/y");
	ck_assert_ptr_null(vcr_gitindex_find(&x, b, "z", 1));
	ck_assert_ptr_null(vcr_gitindex_find(&x, b, "", 0));
	vcr_gitindex_release(&x);
}
END_TEST

static bool is_clean(const struct vcr_gitindex *x, const char *dir, const char *name, const struct stat *st)
{
	const struct vcr_gitindex_entry *i = vcr_gitindex_find(x, vcr_gitindex_dir(x, dir, strlen(dir)), name, strlen(name));
	return i && vcr_gitindex_is_clean(x, i, st);
}

START_TEST(a_file_is_clean_to_the_nanosecond)
{
	struct stat st;
	ck_assert_int_eq(stat("a/z", &st), 0);
	struct vcr_gitindex x = read_it();
	ck_assert(is_clean(&x, "a", "z", &st));
	st.st_mtim.tv_nsec ^= 1;
	ck_assert(!is_clean(&x, "a", "z", &st));
	st.st_mtim.tv_nsec ^= 1;
	st.st_ctim.tv_nsec ^= 1;
	ck_assert(!is_clean(&x, "a", "z", &st));
	st.st_ctim.tv_nsec ^= 1;
	st.st_size++;
	ck_assert(!is_clean(&x, "a", "z", &st));
	st.st_size--;
	st.st_ino++;
	ck_assert(!is_clean(&x, "a", "z", &st));
	st.st_ino--;
	st.st_mode = S_IFLNK | 0777;
	ck_assert(!is_clean(&x, "a", "z", &st));
	vcr_gitindex_release(&x);
}
END_TEST

START_TEST(a_file_that_was_written_in_the_instant_of_the_index_or_later_is_not_clean)
{
	struct stat st;
	ck_assert_int_eq(stat("a/z", &st), 0);
	struct timespec t[2] = { st.st_mtim, st.st_mtim };
	for (int later = -1; later <= 1; later++) {
		t[1] = st.st_mtim;
		t[1].tv_sec += later < 0 ? -1 : 0;
		t[1].tv_nsec = later < 0 ? 999999999 : t[1].tv_nsec + later;
		ck_assert_int_eq(utimensat(AT_FDCWD, ".git/index", t, 0), 0);
		struct vcr_gitindex x = read_it();
		ck_assert_int_eq(is_clean(&x, "a", "z", &st), later > 0);
		vcr_gitindex_release(&x);
	}
}
END_TEST

START_TEST(files_in_conflict_are_in_no_directory_which_is_there_all_the_same)
{
	sh("git commit -qm 1; git checkout -qb two; mkdir only; echo 2 > a/z; echo 2 > only/x; git add .; git commit -qm 2; git checkout -q -; mkdir -p only; echo 1 > a/z; echo 1 > only/x; git add .; "
	   "git commit -qm 3; ! git merge two");
	struct vcr_gitindex x = read_it();
	char *text = text_of(&x);
	ck_assert_str_eq(text, ": a0 top\na.c: a.c/w\na:\na/b: a/b/x a/b/y\nonly:\n");
	free(text);
	vcr_gitindex_release(&x);
}
END_TEST

START_TEST(an_index_that_does_not_stand_alone_is_of_a_version_that_is_not_read)
{
	static const char *const make[] = { "git update-index --split-index", "git commit -qm x; git sparse-checkout set --cone --sparse-index a" };
	struct vcr_gitindex x;
	sh(make[_i]);
	ck_assert_int_eq(vcr_gitindex_read(&x, ".git/index", &e), VCR_EVERSION);
	ck_assert_ptr_null(x.entry);
	ck_assert_int_lt(vcr_gitindex_read(&x, ".git/none", &e), 0);
}
END_TEST

static size_t slurp(char *to, size_t max)
{
	int fd = open(".git/index", O_RDONLY);
	ssize_t n = read(fd, to, max);
	close(fd);
	ck_assert(n > 0 && (size_t)n < max);
	return (size_t)n;
}

static int read_bytes(struct vcr_gitindex *x, const char *p, size_t n)
{
	int fd = open("copy", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_eq(write(fd, p, n), (ssize_t)n);
	close(fd);
	return vcr_gitindex_read(x, "copy", &e);
}

/* Whatever is read, its paths are in order and end within what was read. */
static void ck_sane(const struct vcr_gitindex *x)
{
	for (size_t d = 0; d < x->ndir; d++)
		for (size_t i = 0; i < x->dir[d].n; i++) {
			const struct vcr_gitindex_entry *at = &x->entry[x->dir[d].first + i];
			ck_assert_uint_eq(strlen(at->path), at->len);
			ck_assert(!memcmp(at->path, x->dir[d].path, x->dir[d].len));
			ck_assert(!i || strcmp(at[-1].path, at->path) < 0);
		}
}

START_TEST(a_damaged_index_is_refused_or_read_within_its_bounds)
{
	static char whole[8192], bad[8192];
	struct vcr_gitindex x;
	sh(_i ? "git update-index --index-version 4" : ":");
	size_t n = slurp(whole, sizeof whole);
	for (size_t k = 0; k < n; k++) { /* the extensions at its end are optional, so some of these are whole */
		int err = read_bytes(&x, whole, k);
		if (k < 12 + 6 * 62)
			ck_assert_int_eq(err, VCR_ECORRUPT);
		ck_sane(&x);
		vcr_gitindex_release(&x);
	}
	for (size_t k = 0; k < n; k++)
		for (int bit = 0; bit < 8; bit += 1 + (k > 150)) {
			memcpy(bad, whole, n);
			bad[k] ^= (char)(1 << bit);
			read_bytes(&x, bad, n);
			ck_sane(&x);
			vcr_gitindex_release(&x);
		}
}
END_TEST

static TCase *tc(void)
{
	TCase *t = tcase_create("gitindex");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, entries_stand_by_directory_in_every_version_of_the_format, 0, 4);
	tcase_add_test(t, a_file_is_clean_to_the_nanosecond);
	tcase_add_test(t, a_file_that_was_written_in_the_instant_of_the_index_or_later_is_not_clean);
	tcase_add_test(t, files_in_conflict_are_in_no_directory_which_is_there_all_the_same);
	tcase_add_loop_test(t, an_index_that_does_not_stand_alone_is_of_a_version_that_is_not_read, 0, 2);
	tcase_add_loop_test(t, a_damaged_index_is_refused_or_read_within_its_bounds, 0, 2);
	return t;
}

TAP_MAIN("gitindex", tc)
