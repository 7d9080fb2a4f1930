#include "rollback.h"
#include "savepoint-parts.h"
#include "tap.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[] = "/tmp/vcr-rollback-XXXXXX", work[64], state[64], journal[96];
static struct vcr_error e;
static struct vcr_store *store;
static struct vcr_rollback_where where;
static struct vcr_savepoint first, last;
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libpcre2"; }

static void sh(const char *cmd)
{
	ck_assert_msg(system(cmd) == 0, "%s", cmd);
}

static void is(const char *path, const char *content)
{
	char have[256] = "";
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, have, sizeof have - 1);
	if (fd >= 0)
		close(fd);
	if (!content)
		ck_assert_msg(n < 0, "%s is there: %s", path, have);
	else
		ck_assert_msg(n == (ssize_t)strlen(content) && !strcmp(have, content), "%s: have '%s', want '%s'", path, have, content);
}

/* A workspace with a base, then changed: a is overwritten, d/b removed, new made. */
static void setup(void)
{
	static const struct vcr_store_note base = { .kind = "base" };
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(work, sizeof work, "%s/work", top);
	snprintf(state, sizeof state, "%s/state", top);
	snprintf(journal, sizeof journal, "%s/rollback.journal", state);
	mkdir(work, 0755);
	mkdir(state, 0700);
	ck_assert_int_eq(chdir(work), 0);
	sh("mkdir d; printf A > a; printf B > d/b; chmod 640 d/b; printf C > c");
	struct vcr_store_options o = { .workspace = work, .state_dir = state, .session = "s" };
	ck_assert_msg(!vcr_store_open(&store, &o, &e), "%s", e.what);
	where = (struct vcr_rollback_where){ .store = store, .workspace = work, .state_dir = state, .session = "s" };
	ck_assert_msg(!vcr_store_base(store, &base, &first, &e), "%s", e.what);
	sh("printf changed > a; rm -r d; printf n > new");
	ck_assert_msg(!vcr_store_base(store, &base, &last, &e), "%s", e.what);
}

static void teardown(void)
{
	char cmd[128];
	vcr_store_free(store);
	ck_assert_int_eq(chdir("/"), 0);
	snprintf(cmd, sizeof cmd, "rm -rf %s", top);
	sh(cmd);
}

static int roll(const char *from, const char *to, bool force)
{
	struct vcr_rollback p;
	int err = vcr_rollback_plan(&p, &where, from, NULL, to, &e);
	if (!err)
		err = vcr_rollback_apply(&p, &where, force, "test", &e);
	vcr_rollback_release(&p);
	return err;
}

START_TEST(a_plan_names_each_path_with_what_becomes_of_it)
{
	struct vcr_rollback p;
	ck_assert_msg(!vcr_rollback_plan(&p, &where, last.tree, NULL, first.tree, &e), "%s", e.what);
	ck_assert_uint_eq(p.n, 4);
	ck_assert_str_eq(p.item[0].path, "a");
	ck_assert_str_eq(p.item[1].path, "d");
	ck_assert_str_eq(p.item[2].path, "d/b");
	ck_assert_str_eq(p.item[3].path, "new");
	ck_assert_uint_eq(p.count[VCR_ROLLBACK_DO], 4);
	ck_assert_uint_eq(p.item[2].to.mode, 0100640);
	ck_assert_uint_eq(p.item[3].to.mode, 0);
	vcr_rollback_release(&p);
}
END_TEST

START_TEST(applied_it_can_be_undone)
{
	struct vcr_savepoint before, after;
	ck_assert_msg(!roll(last.tree, first.tree, false), "%s", e.what);
	is("a", "A");
	is("d/b", "B");
	is("new", NULL);
	ck_assert_int_eq(access(journal, F_OK), -1);
	ck_assert_int_eq(vcr_rollback_last(store, &before, &after, &e), 0);
	ck_assert_str_eq(before.tree, last.tree);
	ck_assert_str_eq(after.tree, first.tree);
	ck_assert_msg(!roll(after.tree, before.tree, false), "%s", e.what);
	is("a", "changed");
	is("d/b", NULL);
	is("new", "n");
}
END_TEST

/* What is done last, or with redo what was undone last, taken back. */
static int take_back(bool redo)
{
	struct vcr_savepoint before, after;
	where.kind = redo ? "redo" : "undo";
	int err = vcr_rollback_undoable(store, redo, &before, &after, &e);
	if (!err)
		err = roll(after.tree, before.tree, false);
	where.kind = NULL;
	return err;
}

START_TEST(undo_and_redo_walk_back_and_forth_over_several_rollbacks)
{
	struct vcr_savepoint middle;
	static const struct vcr_store_note note = { .kind = "base" };
	sh("printf second > c");
	ck_assert_msg(!vcr_store_base(store, &note, &middle, &e), "%s", e.what);
	ck_assert_int_eq(take_back(false), VCR_ENOTFOUND);
	ck_assert_msg(!roll(middle.tree, last.tree, false), "%s", e.what); /* 1: c */
	ck_assert_msg(!roll(last.tree, first.tree, false), "%s", e.what);  /* 2: the rest */
	ck_assert_int_eq(take_back(true), VCR_ENOTFOUND);
	ck_assert_msg(!take_back(false), "%s", e.what);
	is("a", "changed");
	is("c", "C");
	ck_assert_msg(!take_back(false), "%s", e.what);
	is("c", "second");
	ck_assert_int_eq(take_back(false), VCR_ENOTFOUND);
	ck_assert_msg(!take_back(true), "%s", e.what);
	is("c", "C");
	is("a", "changed");
	ck_assert_msg(!take_back(true), "%s", e.what);
	is("a", "A");
	ck_assert_int_eq(take_back(true), VCR_ENOTFOUND);
	ck_assert_msg(!take_back(false), "%s", e.what);
	is("a", "changed");
	sh("printf third > c");
	ck_assert_msg(!vcr_store_base(store, &note, &middle, &e), "%s", e.what);
	ck_assert_msg(!roll(middle.tree, last.tree, false), "%s", e.what);
	ck_assert_int_eq(take_back(true), VCR_ENOTFOUND); /* a new rollback came since */
	ck_assert_msg(!take_back(false), "%s", e.what);
	is("c", "third");
	ck_assert_int_eq(take_back(false), VCR_EBUSY); /* "third" came after it */
	sh("printf C > c");
	ck_assert_msg(!take_back(false), "%s", e.what); /* the first one, which two undos and redos left done */
	is("c", "second");
}
END_TEST

START_TEST(only_the_paths_that_are_named_are_put_back)
{
	struct vcr_rollback p;
	const char *const paths[] = { "d/b", "nothing" };
	bool hit[2];
	ck_assert_msg(!vcr_rollback_plan(&p, &where, last.tree, NULL, first.tree, &e), "%s", e.what);
	vcr_rollback_only(&p, paths, 2, hit);
	ck_assert_uint_eq(p.n, 2); /* and the directory that it needs */
	ck_assert_uint_eq(p.count[VCR_ROLLBACK_DO], 2);
	ck_assert(hit[0] && !hit[1]);
	ck_assert_msg(!vcr_rollback_apply(&p, &where, false, "test", &e), "%s", e.what);
	vcr_rollback_release(&p);
	is("d/b", "B");
	is("a", "changed");
	is("new", "n");
	ck_assert_msg(!take_back(false), "%s", e.what);
	is("d/b", NULL);
	ck_assert_int_eq(access("d", F_OK), -1);
}
END_TEST

static enum vcr_rollback_state know(void *ctx, const struct vcr_rollback_item *i)
{
	return !strcmp(i->path, "made/theirs") ? VCR_ROLLBACK_DONE : !strcmp(i->path, ctx) ? VCR_ROLLBACK_FOREIGN : VCR_ROLLBACK_DO;
}

START_TEST(what_is_known_to_be_of_another_session_stays_with_its_directory)
{
	struct vcr_rollback p;
	struct vcr_savepoint now;
	static const struct vcr_store_note note = { .kind = "base" };
	sh("mkdir made; printf t > made/theirs; printf o > made/ours");
	ck_assert_msg(!vcr_store_base(store, &note, &now, &e), "%s", e.what);
	ck_assert_msg(!vcr_rollback_plan(&p, &where, now.tree, NULL, first.tree, &e), "%s", e.what);
	vcr_rollback_know(&p, know, (void *)"a");
	ck_assert_uint_eq(p.count[VCR_ROLLBACK_FOREIGN], 1);
	ck_assert_uint_eq(p.count[VCR_ROLLBACK_LEFT], 1);
	ck_assert_int_eq(vcr_rollback_apply(&p, &where, false, "test", &e), VCR_EBUSY);
	vcr_rollback_release(&p);
	ck_assert_msg(!vcr_rollback_plan(&p, &where, now.tree, NULL, first.tree, &e), "%s", e.what);
	vcr_rollback_know(&p, know, (void *)"");
	ck_assert_msg(!vcr_rollback_apply(&p, &where, false, "test", &e), "%s", e.what);
	vcr_rollback_release(&p);
	is("a", "A");
	is("made/theirs", "t");
	is("made/ours", NULL);
	ck_assert_msg(!take_back(false), "%s", e.what);
	is("made/ours", "o");
	is("a", "changed");
}
END_TEST

START_TEST(a_foreign_edit_stops_all_of_it_and_is_kept_when_forced)
{
	struct vcr_savepoint before, after;
	sh("printf mine > a");
	ck_assert_int_eq(roll(last.tree, first.tree, false), VCR_EBUSY);
	ck_assert_ptr_nonnull(strstr(e.what, "a was changed by somebody else"));
	is("new", "n");
	is("d/b", NULL);
	ck_assert_msg(!roll(last.tree, first.tree, true), "%s", e.what);
	is("a", "A");
	ck_assert_int_eq(vcr_rollback_last(store, &before, &after, &e), 0);
	ck_assert_msg(!roll(after.tree, before.tree, false), "%s", e.what);
	is("a", "mine");
}
END_TEST

START_TEST(two_rollbacks_at_once_are_refused)
{
	int fd, other;
	ck_assert_int_eq(vcr_rollback_lock(state, &fd, &e), 0);
	ck_assert_int_eq(vcr_rollback_lock(state, &other, &e), VCR_EBUSY);
	close(fd);
	ck_assert_int_eq(vcr_rollback_lock(state, &fd, &e), 0);
	close(fd);
}
END_TEST

static void write_journal(const char *text)
{
	FILE *f = fopen(journal, "w");
	fputs(text, f);
	fclose(f);
}

/* The journal that restores a ("A") and removes new, with `path` in place of the name a. */
static void compose_journal(char *text, size_t n, const char *path, const char *end)
{
	char undo[41], oid[41] = "";
	static const struct vcr_store_note note = { .kind = "before" };
	ck_assert_int_eq(vcr_store_commit(store, last.tree, first.commit, NULL, &note, undo, &e), 0);
	FILE *f = popen("printf A | git hash-object --stdin", "r");
	ck_assert_ptr_nonnull(fgets(oid, sizeof oid, f));
	pclose(f);
	snprintf(text, n, "vcr-rollback 1\nundo %s\nitem 100644 %s 100644 %s %s\nitem 100644 %s 0 %s new\n%s", undo, oid, oid, path, oid, oid, end);
}

START_TEST(what_a_killed_rollback_began_is_finished)
{
	VCR_AUTO_BUF skipped = VCR_BUF_INIT;
	bool finished;
	char text[1024];
	compose_journal(text, sizeof text, "a", "end 2\n");
	sh("rm a; rm -f new"); /* as far as it came */
	write_journal(text);
	ck_assert_msg(!vcr_rollback_recover(&where, &finished, &skipped, &e), "%s", e.what);
	ck_assert(finished);
	ck_assert_str_eq(skipped.data, "");
	is("a", "A");
	ck_assert_int_eq(access(journal, F_OK), -1);
	ck_assert_int_eq(vcr_rollback_recover(&where, &finished, &skipped, &e), 0);
	ck_assert(!finished);
}
END_TEST

START_TEST(a_killed_rollback_gives_the_times_that_it_was_to_give)
{
	static const struct { const char *line; long long s, ns; } all[] = { { "time 1500000000123456789\n", 1500000000, 123456789 }, { "time -1\n", -1, 999999999 } };
	VCR_AUTO_BUF skipped = VCR_BUF_INIT;
	bool finished;
	struct stat st;
	char text[1024], timed[1200];
	compose_journal(text, sizeof text, "a", "end 2\n");
	char *second = strstr(strstr(text, "item ") + 1, "item ");
	snprintf(timed, sizeof timed, "%.*s%s%s", (int)(second - text), text, all[_i].line, second);
	write_journal(timed);
	sh("rm a");
	ck_assert_msg(!vcr_rollback_recover(&where, &finished, &skipped, &e), "%s", e.what);
	ck_assert(finished);
	ck_assert_int_eq(lstat("a", &st), 0);
	ck_assert_int_eq(st.st_mtim.tv_sec, all[_i].s);
	ck_assert_int_eq(st.st_mtim.tv_nsec, all[_i].ns);
}
END_TEST

START_TEST(what_somebody_changed_since_the_kill_is_left_and_named)
{
	VCR_AUTO_BUF skipped = VCR_BUF_INIT;
	bool finished;
	char text[1024];
	compose_journal(text, sizeof text, "a", "end 2\n");
	sh("printf mine > a; rm new");
	write_journal(text);
	ck_assert_msg(!vcr_rollback_recover(&where, &finished, &skipped, &e), "%s", e.what);
	ck_assert_str_eq(skipped.data, "a\n");
	is("a", "mine");
}
END_TEST

START_TEST(a_damaged_journal_does_nothing_and_says_where_it_is)
{
	static const struct { const char *path, *end; int code; } bad[] = {
		{ "../out", "end 2\n", VCR_ECORRUPT }, { "/etc/passwd", "end 2\n", VCR_ECORRUPT }, { ".git/config", "end 2\n", VCR_ECORRUPT }, { "d/../../out", "end 2\n", VCR_ECORRUPT },
		{ "a", "", VCR_ECORRUPT }, { "a", "end 3\n", VCR_ECORRUPT }, { "a", "item 1\nend 3\n", VCR_ECORRUPT }, { "a\nrubbish", "end 2\n", VCR_ECORRUPT }, { "a\ntime 5x", "end 2\n", VCR_ECORRUPT },
	};
	VCR_AUTO_BUF skipped = VCR_BUF_INIT;
	bool finished;
	char text[1024];
	compose_journal(text, sizeof text, bad[_i].path, bad[_i].end);
	write_journal(text);
	ck_assert_int_eq(vcr_rollback_recover(&where, &finished, &skipped, &e), bad[_i].code);
	ck_assert_ptr_nonnull(strstr(e.what, journal));
	is("a", "changed");
	is("new", "n");
	write_journal("vcr-rollback 2\nend 0\n");
	ck_assert_int_eq(vcr_rollback_recover(&where, &finished, &skipped, &e), VCR_EVERSION);
}
END_TEST

START_TEST(a_file_of_git_that_looks_sealed_and_is_not_comes_back_as_it_was)
{
	static const struct vcr_store_note note = { .kind = "base" };
	sh("git init -q; printf '" VCR_SEAL_MAGIC "%060d' 7 > odd; printf K > .env; touch -d '2 days ago' odd; git add odd; git -c user.name=a -c user.email=a@example.com commit -qm x");
	ck_assert_msg(!vcr_store_base(store, &note, &first, &e), "%s", e.what);
	sh("printf changed > odd; printf 2 > .env");
	ck_assert_msg(!vcr_store_base(store, &note, &last, &e), "%s", e.what);
	ck_assert_msg(!roll(last.tree, first.tree, false), "%s", e.what);
	is("odd", VCR_SEAL_MAGIC "000000000000000000000000000000000000000000000000000000000007");
	is(".env", "K");
	ck_assert_msg(!roll(first.tree, last.tree, false), "%s", e.what);
	is("odd", "changed");
}
END_TEST

START_TEST(only_what_differs_is_touched)
{
	struct stat before, after;
	ck_assert_int_eq(stat("c", &before), 0);
	ck_assert_msg(!roll(last.tree, first.tree, false), "%s", e.what);
	ck_assert_int_eq(stat("c", &after), 0);
	ck_assert_int_eq(before.st_ino, after.st_ino);
	ck_assert_int_eq(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
}
END_TEST

START_TEST(what_the_disk_has_is_not_flushed_again_by_the_next_rollback)
{
	ck_assert_msg(!roll(last.tree, first.tree, false), "%s", e.what);
	ck_assert(store->tracks);
	ck_assert_uint_eq(store->nused, 0);
	ck_assert_msg(!roll(first.tree, last.tree, false), "%s", e.what);
	ck_assert_uint_eq(store->nused, 0);
	is("a", "changed");
}
END_TEST

/* Why no process without privileges can be made here whose files these are; NULL: it can. A user namespace may have one user only, root. */
static const char *no_somebody(void)
{
	if (geteuid())
		return NULL;
	sh(": > ../probe");
	return chown("../probe", 65534, 65534) ? "there is no other user here: root of a user namespace" : NULL;
}

static const char *no_attrs(void)
{
	sh(": > ../probe");
	return setxattr("../probe", "user.t", "1", 1, 0) ? "no extended attributes in /tmp" : NULL;
}

static bool has_attr(const char *path)
{
	return getxattr(path, "user.t", NULL, 0) >= 0;
}

START_TEST(a_savepoint_from_before_attributes_were_kept_takes_none_away)
{
	static const struct vcr_store_note note = { .kind = "base" }, call = { .kind = "call" };
	static const struct vcr_store_dirty dirty = { "c", false };
	char cmd[400];
	ck_assert(first.attrs && last.attrs);
	snprintf(cmd, sizeof cmd, "export GIT_DIR=%s/shadow.git; git update-ref refs/vcr/s/1 $(git cat-file commit refs/vcr/s/1 | grep -v ^vcr-attributes: | git hash-object -t commit -w --stdin)", state);
	sh(cmd);
	vcr_store_free(store);
	struct vcr_store_options o = { .workspace = work, .state_dir = state, .session = "s" };
	ck_assert_msg(!vcr_store_open(&store, &o, &e), "%s", e.what);
	where.store = store;
	ck_assert_msg(!vcr_store_get(store, "s", 1, &last, &e), "%s", e.what);
	ck_assert(!last.attrs);
	sh("printf more > c");
	ck_assert_msg(!vcr_store_take(store, &dirty, 1, &call, &last, &e), "%s", e.what);
	ck_assert(!last.attrs && last.n == 2); /* of the other files still nobody knows */
	if (no_attrs())
		TAP_SKIP(no_attrs());
	ck_assert(!setxattr("a", "user.t", "1", 1, 0) && !setxattr("c", "user.t", "1", 1, 0));
	ck_assert_msg(!vcr_store_base(store, &note, &last, &e), "%s", e.what);
	ck_assert(last.attrs);
	where.keep_attrs = true;
	ck_assert_msg(!roll(last.tree, first.tree, false), "%s", e.what);
	where.keep_attrs = false;
	is("a", "A");
	ck_assert(has_attr("a") && has_attr("c"));
	ck_assert_msg(!take_back(false), "%s", e.what);
	is("a", "changed");
	ck_assert(has_attr("a") && has_attr("c"));
	ck_assert_msg(!roll(last.tree, first.tree, false), "%s", e.what); /* one that tells of them does */
	ck_assert(!has_attr("a") && !has_attr("c"));
}
END_TEST

/* In a process without privileges, whose all files but `root_owned` are. */
static void as_somebody(void (*fn)(void), const char *root_owned)
{
	char cmd[200];
	int status = 1;
	snprintf(cmd, sizeof cmd, "test $(id -u) != 0 || { chown -R 65534:65534 %s; %s %s; }", top, root_owned ? "chown 0:0" : ":", root_owned ? root_owned : "");
	sh(cmd);
	pid_t pid = fork();
	if (!pid) {
		struct vcr_store_options o = { .workspace = work, .state_dir = state, .session = "s" };
		if (!geteuid() && (setgid(65534) || setuid(65534)))
			_exit(3);
		umask(022);
		if (vcr_store_open(&store, &o, &e))
			_exit(4);
		where.store = store;
		fn();
		vcr_store_free(store);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

static unsigned mode_of(const char *path)
{
	struct stat st;
	return stat(path, &st) ? 0 : st.st_mode & 07777;
}

static void roll_back_all(void)
{
	if (roll(last.tree, first.tree, false))
		fprintf(stderr, "# %s\n", e.what), _exit(1);
}

START_TEST(a_directory_of_somebody_else_whose_attributes_differ_does_not_stop_a_rollback)
{
	static const struct vcr_store_note note = { .kind = "base" };
	sh("mkdir theirs");
	ck_assert_msg(!vcr_store_base(store, &note, &first, &e), "%s", e.what);
	sh("printf again > a");
	if (geteuid())
		TAP_SKIP("only root can have directories of other users here");
	if (no_attrs() || no_somebody())
		TAP_SKIP(no_attrs() ? no_attrs() : no_somebody());
	ck_assert_int_eq(setxattr("theirs", "user.t", "1", 1, 0), 0);
	ck_assert_msg(!vcr_store_base(store, &note, &last, &e), "%s", e.what);
	as_somebody(roll_back_all, "theirs");
	is("a", "changed");
	ck_assert(has_attr("theirs"));
	ck_assert_int_eq(access(journal, F_OK), -1);
}
END_TEST

START_TEST(a_directory_that_its_owner_may_not_write_to_gets_its_attributes_and_keeps_its_mode)
{
	static const struct vcr_store_note note = { .kind = "base" };
	sh("mkdir -m 555 shut");
	ck_assert_msg(!vcr_store_base(store, &note, &first, &e), "%s", e.what);
	if (no_attrs() || no_somebody())
		TAP_SKIP(no_attrs() ? no_attrs() : no_somebody());
	sh("chmod 755 shut");
	ck_assert_int_eq(setxattr("shut", "user.t", "1", 1, 0), 0);
	sh("chmod 555 shut");
	ck_assert_msg(!vcr_store_base(store, &note, &last, &e), "%s", e.what);
	as_somebody(roll_back_all, NULL);
	ck_assert(!has_attr("shut"));
	ck_assert_uint_eq(mode_of("shut"), 0555);
}
END_TEST

static void there_and_back(void)
{
	static const struct vcr_store_note note = { .kind = "base" };
	struct vcr_savepoint p;
	sh("printf closed > c; chmod 200 c new; mkdir shut; printf more > a");
	if (setxattr("c", "user.t", "1", 1, 0) || setxattr("new", "user.t", "1", 1, 0) || setxattr("shut", "user.t", "1", 1, 0))
		_exit(6);
	sh("chmod 300 shut");
	if (vcr_store_base(store, &note, &p, &e) || roll(p.tree, first.tree, true) || take_back(false))
		fprintf(stderr, "# %s\n", e.what), _exit(1);
	if (!(p.flags & VCR_SAVEPOINT_LIMITED) || mode_of("c") != 0200 || mode_of("new") != 0200 || mode_of("shut") != 0300)
		_exit(2);
	sh("chmod 600 c new; chmod 700 shut");
	is("c", "closed");
	if (!has_attr("c") || !has_attr("new") || !has_attr("shut"))
		fprintf(stderr, "# lost: %s %s %s\n", has_attr("c") ? "" : "c", has_attr("new") ? "" : "new", has_attr("shut") ? "" : "shut"), _exit(5);
}

START_TEST(what_its_owner_may_not_read_has_its_attributes_after_an_undo)
{
	if (no_attrs() || no_somebody())
		TAP_SKIP(no_attrs() ? no_attrs() : no_somebody());
	as_somebody(there_and_back, NULL);
}
END_TEST

START_TEST(attributes_that_cannot_be_read_leave_a_directory_its_mode)
{
	VCR_AUTO_BUF skipped = VCR_BUF_INIT;
	bool finished;
	char text[1024], end[300];
	sh("mkdir -m 755 k");
	snprintf(end, sizeof end, "item 40755 %040d 40755 %040d k\nattrs %040d %040d\nend 3\n", 0, 0, 0, 7);
	compose_journal(text, sizeof text, "a", end);
	write_journal(text);
	sh("printf A > a");
	ck_assert_int_eq(vcr_rollback_recover(&where, &finished, &skipped, &e), VCR_ENOTFOUND);
	ck_assert_uint_eq(mode_of("k"), 0755);
	ck_assert_int_eq(access(journal, F_OK), 0);
}
END_TEST

static TCase *tc_rollback(void)
{
	TCase *t = tcase_create("rollback");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_plan_names_each_path_with_what_becomes_of_it);
	tcase_add_test(t, applied_it_can_be_undone);
	tcase_add_test(t, undo_and_redo_walk_back_and_forth_over_several_rollbacks);
	tcase_add_test(t, only_the_paths_that_are_named_are_put_back);
	tcase_add_test(t, what_is_known_to_be_of_another_session_stays_with_its_directory);
	tcase_add_test(t, a_foreign_edit_stops_all_of_it_and_is_kept_when_forced);
	tcase_add_test(t, two_rollbacks_at_once_are_refused);
	tcase_add_test(t, what_a_killed_rollback_began_is_finished);
	tcase_add_loop_test(t, a_killed_rollback_gives_the_times_that_it_was_to_give, 0, 2);
	tcase_add_test(t, what_somebody_changed_since_the_kill_is_left_and_named);
	tcase_add_test(t, a_file_of_git_that_looks_sealed_and_is_not_comes_back_as_it_was);
	tcase_add_loop_test(t, a_damaged_journal_does_nothing_and_says_where_it_is, 0, 9);
	tcase_add_test(t, only_what_differs_is_touched);
	tcase_add_test(t, a_savepoint_from_before_attributes_were_kept_takes_none_away);
	tcase_add_test(t, a_directory_of_somebody_else_whose_attributes_differ_does_not_stop_a_rollback);
	tcase_add_test(t, a_directory_that_its_owner_may_not_write_to_gets_its_attributes_and_keeps_its_mode);
	tcase_add_test(t, attributes_that_cannot_be_read_leave_a_directory_its_mode);
	tcase_add_test(t, what_its_owner_may_not_read_has_its_attributes_after_an_undo);
	tcase_add_test(t, what_the_disk_has_is_not_flushed_again_by_the_next_rollback);
	return t;
}

TAP_MAIN_SKIPPING("rollback", tc_rollback)
