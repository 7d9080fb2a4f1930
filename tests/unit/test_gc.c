#include "gc.h"
#include "rollback.h"
#include "tap.h"
#include "usage.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[] = "/tmp/vcr-gc-XXXXXX", work[64], state[64], shadow[96], dir[80];
static struct vcr_error e;
static struct vcr_gc_stats stats;
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libpcre2"; }

static int sh(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(cmd, sizeof cmd, fmt, ap);
	va_end(ap);
	return system(cmd);
}

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(work, sizeof work, "%s/work", top);
	snprintf(state, sizeof state, "%s/state", top);
	snprintf(dir, sizeof dir, "%s/.vcr", work);
	snprintf(shadow, sizeof shadow, "%s/shadow.git", state);
	mkdir(work, 0755);
	mkdir(dir, 0700);
	mkdir(state, 0700);
	ck_assert_int_eq(chdir(work), 0);
	setenv("GIT_DIR", shadow, 1);
	setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
}

static void teardown(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(sh("rm -rf %s", top), 0);
}

static struct vcr_store *store_of(const char *session)
{
	struct vcr_store *s;
	const struct vcr_store_options o = { .workspace = work, .state_dir = state, .vcr_dir = dir, .session = session };
	ck_assert_msg(!vcr_store_open(&s, &o, &e), "%s", e.what);
	return s;
}

static void put(const char *name, const char *fmt, ...)
{
	va_list ap;
	FILE *f = fopen(name, "w");
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	fclose(f);
}

/* A text of some length of which one line is of its own. */
static void put_text(const char *name, int n)
{
	FILE *f = fopen(name, "w");
	for (int i = 0; i < 120; i++)
		fprintf(f, "%s: line %d of the file, %d\n", name, i, i == n % 120 ? n * 7919 : i * 31);
	fclose(f);
}

static void base(struct vcr_store *s)
{
	static const struct vcr_store_note note = { .kind = "base" };
	struct vcr_savepoint p;
	ck_assert_msg(!vcr_store_base(s, &note, &p, &e), "%s", e.what);
}

static int take(struct vcr_store *s, int n, struct vcr_savepoint *p)
{
	static const struct vcr_store_note note = { .kind = "manual" };
	static const struct vcr_store_dirty dirty[] = { { "a.c", false }, { "src/b.c", false }, { "src/deep/c.c", false } };
	put_text("a.c", n);
	put_text("src/b.c", n);
	put_text("src/deep/c.c", n);
	return vcr_store_take(s, dirty, 3, &note, p, &e);
}

static void is_sound(const char *when)
{
	ck_assert_msg(!sh("git fsck --connectivity-only --no-dangling >%s/fsck 2>&1 || { cat %s/fsck >&2; false; }", top, top), "%s", when);
	ck_assert_msg(!sh("git rev-list --objects --all >/dev/null"), "%s", when);
}

START_TEST(a_thousand_savepoints_of_three_files_take_less_than_6_MB_and_git_reads_them)
{
	struct vcr_savepoint p;
	ck_assert_int_eq(sh("mkdir -p src/deep"), 0);
	struct vcr_store *s = store_of("s");
	base(s);
	for (int i = 0; i < 1000; i++)
		ck_assert_msg(!take(s, i, &p), "%s", e.what);
	int64_t before = vcr_usage(shadow);
	ck_assert_msg(!vcr_gc_repack(s, &stats, &e), "%s", e.what);
	ck_assert_msg(vcr_usage(shadow) < 6 << 20, "%lld bytes, before %lld", (long long)vcr_usage(shadow), (long long)before);
	ck_assert_int_gt(before, vcr_usage(shadow)); /* how much more is the file system's doing */
	is_sound("after it");
	ck_assert_int_eq(sh("test $(git log --format=%%H refs/vcr/s/1000 | wc -l) = 1001"), 0);
	ck_assert_int_eq(sh("git diff --stat refs/vcr/s/998 refs/vcr/s/999 | grep -q '3 files changed'"), 0);
	vcr_store_free(s);
	s = store_of("s");
	ck_assert_msg(!vcr_store_get(s, "s", 500, &p, &e), "%s", e.what);
	ck_assert_int_eq(p.n, 500);
	ck_assert_msg(!vcr_store_get(s, "s", -1, &p, &e), "%s", e.what);
	ck_assert_int_eq(p.n, 1000);
	ck_assert_msg(!take(s, 5000, &p), "%s", e.what); /* and it goes on behind them */
	ck_assert_int_eq(p.n, 1001);
	vcr_store_free(s);
}
END_TEST

START_TEST(a_second_call_has_nothing_to_do)
{
	struct vcr_savepoint p;
	ck_assert_int_eq(sh("mkdir -p src/deep"), 0);
	struct vcr_store *s = store_of("s");
	base(s);
	ck_assert_msg(!take(s, 1, &p), "%s", e.what);
	ck_assert_msg(!vcr_gc_repack(s, &stats, &e), "%s", e.what);
	ck_assert_int_eq(sh("ls -i %s/objects/pack > %s/one", shadow, top), 0);
	ck_assert_msg(!vcr_gc_repack(s, &stats, &e), "%s", e.what);
	ck_assert_int_eq(sh("ls -i %s/objects/pack | cmp - %s/one", shadow, top), 0);
	ck_assert_int_eq(stats.removed, 0);
	vcr_store_free(s);
}
END_TEST

START_TEST(a_deleted_session_takes_with_it_only_what_nobody_else_has)
{
	struct vcr_savepoint p;
	const char *const gone[] = { "gone" };
	ck_assert_int_eq(sh("mkdir -p src/deep; printf shared > shared; printf '{}' > .vcr/gone.vcr; printf '{}' > .vcr/stays.vcr"), 0);
	put(".vcr/manifest.json", "{\"sessions\":[{\"session_id\":\"gone\"},{\"session_id\":\"stays\"}],\"updated_at\":\"x\",\"other\":1}");
	struct vcr_store *a = store_of("gone"), *b = store_of("stays");
	base(a);
	ck_assert_msg(!take(a, 42, &p), "%s", e.what);
	put_text("a.c", 1);
	base(b);
	ck_assert_int_eq(sh("test $(git rev-list --objects refs/vcr/gone/1 | wc -l) -gt 6"), 0);
	ck_assert_int_eq(sh("git rev-list --objects refs/vcr/gone/1 | cut -c1-40 | sort > %s/gone; git rev-list --objects refs/vcr/stays/0 | cut -c1-40 | sort > %s/stays; "
		"comm -23 %s/gone %s/stays | grep -v ^4b825dc > %s/own && test -s %s/own", top, top, top, top, top, top), 0); /* the empty directory is always there */
	ck_assert_msg(!vcr_gc_repack(b, &stats, &e), "%s", e.what); /* its names are in packed-refs then */
	ck_assert_msg(!vcr_gc_delete(b, dir, gone, 1, &e), "%s", e.what);
	ck_assert_msg(!vcr_gc_repack(b, &stats, &e), "%s", e.what);
	is_sound("after it");
	ck_assert_int_eq(access(".vcr/gone.vcr", F_OK), -1);
	ck_assert_int_eq(access(".vcr/stays.vcr", F_OK), 0);
	ck_assert_int_eq(sh("grep -q stays .vcr/manifest.json && grep -q other .vcr/manifest.json && ! grep -q gone .vcr/manifest.json"), 0);
	ck_assert_int_eq(vcr_store_get(b, "gone", -1, &p, &e), VCR_ENOTFOUND);
	ck_assert_int_eq(vcr_store_get(b, "stays", -1, &p, &e), 0);
	ck_assert_int_ne(sh("git cat-file --batch-check < %s/own | grep -vq missing", top), 0);
	vcr_store_free(a);
	vcr_store_free(b);
}
END_TEST

START_TEST(a_recorder_that_is_open_writes_again_what_was_taken_away)
{
	struct vcr_savepoint p;
	const char *const gone[] = { "gone" };
	ck_assert_int_eq(sh("mkdir -p src/deep"), 0);
	struct vcr_store *r = store_of("recorder"), *other = store_of("gone");
	put_text("a.c", 1);
	base(r);
	base(other);
	ck_assert_msg(!take(other, 77, &p), "%s", e.what);
	ck_assert_msg(!vcr_gc_repack(other, &stats, &e), "%s", e.what);
	ck_assert_msg(!take(r, 78, &p), "%s", e.what); /* it knows the pack with what follows */
	ck_assert_msg(!vcr_gc_delete(other, dir, gone, 1, &e), "%s", e.what);
	ck_assert_msg(!vcr_gc_repack(other, &stats, &e), "%s", e.what);
	ck_assert_msg(!take(r, 77, &p), "%s", e.what);
	is_sound("after its content came again");
	vcr_store_free(r);
	vcr_store_free(other);
}
END_TEST

START_TEST(recorders_may_write_while_it_works)
{
	struct vcr_savepoint p;
	int status = 0, rounds = 0;
	ck_assert_int_eq(sh("mkdir -p src/deep"), 0);
	pid_t child = fork();
	if (!child) {
		struct vcr_store *s = store_of("child");
		base(s);
		for (int i = 0; i < 300; i++)
			if (take(s, i % 50, &p)) /* the same contents again and again */
				_exit(1);
		vcr_store_pack(s, &e);
		vcr_store_free(s);
		_exit(0);
	}
	struct vcr_store *g = store_of(NULL);
	while (!waitpid(child, &status, WNOHANG)) {
		ck_assert_msg(!vcr_gc_repack(g, &stats, &e), "%s", e.what);
		rounds++;
	}
	ck_assert_int_eq(status, 0);
	ck_assert_int_gt(rounds, 0);
	is_sound("with a recorder beside it");
	ck_assert_msg(!vcr_gc_repack(g, &stats, &e), "%s", e.what);
	is_sound("and afterwards");
	ck_assert_int_eq(vcr_store_get(g, "child", 300, &p, &e), 0);
	vcr_store_free(g);
}
END_TEST

START_TEST(what_rollbacks_replaced_is_kept_of_the_last_ones_only)
{
	struct vcr_savepoint p, before, after;
	char commit[41] = "", tree[41] = "";
	ck_assert_int_eq(sh("mkdir -p src/deep"), 0);
	struct vcr_store *s = store_of("s");
	base(s);
	for (int i = 0; i < VCR_GC_UNDO + 6; i++) {
		const struct vcr_store_note a = { .kind = "after", .message = "m" }, b = { .kind = "before", .message = "m" };
		ck_assert_msg(!take(s, i, &p), "%s", e.what);
		ck_assert_msg(!vcr_store_commit(s, p.tree, *commit ? commit : NULL, NULL, &a, commit, &e), "%s", e.what);
		ck_assert_msg(!vcr_store_commit(s, p.tree, commit, "undo", &b, commit, &e), "%s", e.what);
		strcpy(tree, p.tree);
	}
	ck_assert_msg(!vcr_gc_repack(s, &stats, &e), "%s", e.what);
	is_sound("with a shorter chain");
	ck_assert_int_eq(sh("test $(git rev-list --count refs/undo) = %d", 2 * VCR_GC_UNDO), 0);
	ck_assert_int_eq(sh("test $(git log -1 --format=%%T refs/undo) = %s", tree), 0);
	ck_assert_msg(!vcr_rollback_last(s, &before, &after, &e), "%s", e.what);
	ck_assert_str_eq(before.kind, "before");
	ck_assert_str_eq(after.kind, "after");
	ck_assert_str_eq(before.message, "m");
	ck_assert_msg(!vcr_gc_repack(s, &stats, &e), "%s", e.what);
	ck_assert_int_eq(sh("test $(git rev-list --count refs/undo) = %d", 2 * VCR_GC_UNDO), 0);
	vcr_store_free(s);
}
END_TEST

START_TEST(what_was_begun_is_completed_and_who_reads_is_not_disturbed)
{
	struct vcr_savepoint p;
	const char *const gone[] = { "gone" };
	ck_assert_int_eq(sh("mkdir -p src/deep; printf '{}' > .vcr/gone.vcr"), 0);
	struct vcr_store *s = store_of("gone"), *reader = store_of(NULL), *g = store_of(NULL);
	char journal[96];
	base(s);
	ck_assert_msg(!vcr_store_hold(reader, &e), "%s", e.what);
	ck_assert_int_eq(vcr_gc_delete(g, dir, gone, 1, &e), VCR_EBUSY);
	ck_assert_int_eq(access(".vcr/gone.vcr", F_OK), 0);
	vcr_store_free(reader);
	snprintf(journal, sizeof journal, "%s/gc.journal", state);
	put(journal, "%s\ngone\nend\n", dir);
	ck_assert_msg(!vcr_gc_recover(g, &e), "%s", e.what);
	ck_assert_int_eq(access(".vcr/gone.vcr", F_OK), -1);
	ck_assert_int_eq(access(journal, F_OK), -1);
	ck_assert_int_eq(vcr_store_get(g, "gone", -1, &p, &e), VCR_ENOTFOUND);
	put(journal, "%s\n../../etc\nend\n", dir);
	ck_assert_int_lt(vcr_gc_recover(g, &e), 0);
	vcr_store_free(g);
	vcr_store_free(s);
}
END_TEST

START_TEST(sizes_are_read_as_people_write_them)
{
	ck_assert_int_eq(vcr_usage_parse("1048576"), 1 << 20);
	ck_assert_int_eq(vcr_usage_parse("1M"), 1 << 20);
	ck_assert_int_eq(vcr_usage_parse("2g"), 2ll << 30);
	ck_assert_int_eq(vcr_usage_parse("3KiB"), 3 << 10);
	static const char *const wrong[] = { "", "M", "-1", "1X", "1MX", "99999999999999999999", "9999999999T", "1 M" };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ck_assert_msg(vcr_usage_parse(wrong[i]) == -1, "%s", wrong[i]);
	ck_assert_int_eq(vcr_usage("there-is-no-such-directory"), 0);
}
END_TEST

static TCase *tc(void)
{
	TCase *t = tcase_create("gc");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_thousand_savepoints_of_three_files_take_less_than_6_MB_and_git_reads_them);
	tcase_add_test(t, a_second_call_has_nothing_to_do);
	tcase_add_test(t, a_deleted_session_takes_with_it_only_what_nobody_else_has);
	tcase_add_test(t, a_recorder_that_is_open_writes_again_what_was_taken_away);
	tcase_add_test(t, recorders_may_write_while_it_works);
	tcase_add_test(t, what_rollbacks_replaced_is_kept_of_the_last_ones_only);
	tcase_add_test(t, what_was_begun_is_completed_and_who_reads_is_not_disturbed);
	tcase_add_test(t, sizes_are_read_as_people_write_them);
	return t;
}

TAP_MAIN("gc", tc)
