#include "savepoint.h"
#include "beneath.h"
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static char top[] = "/tmp/vcr-savepoint-XXXXXX", work[64], state[64];
static const char empty_tree[] = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
static const struct vcr_store_note call = { .kind = "call" }, the_base = { .kind = "base" };
static struct vcr_error e;

/* libgit2 1.5 loses a regular expression for each repository that it refuses to open. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libpcre2"; }

static void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void sh(const char *fmt, ...)
{
	VCR_AUTO_BUF cmd = VCR_BUF_INIT;
	va_list ap;
	vcr_buf_puts(&cmd, "exec >/dev/null; export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a "
		"GIT_COMMITTER_EMAIL=a; set -e; ");
	va_start(ap, fmt);
	vcr_buf_vprintf(&cmd, fmt, ap);
	va_end(ap);
	ck_assert_msg(system(cmd.data) == 0, "%s", cmd.data);
}

/* First line of a command's output. */
static void ask(char *out, size_t n, const char *cmd)
{
	FILE *f = popen(cmd, "r");
	ck_assert_ptr_nonnull(f);
	if (!fgets(out, (int)n, f))
		*out = 0;
	out[strcspn(out, "\n")] = 0;
	pclose(f);
}

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(work, sizeof work, "%s/work", top);
	snprintf(state, sizeof state, "%s/state", top);
	mkdir(work, 0755);
	mkdir(state, 0700);
	ck_assert_int_eq(chdir(work), 0);
	umask(022);
}

static void teardown(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	sh("chmod -R u+rwx %s; rm -rf %s", top, top);
}

static struct vcr_store *store(const char *session)
{
	struct vcr_store_options o = { .workspace = work, .state_dir = state, .session = session, .max_file = 1 << 20 };
	struct vcr_store *s = NULL;
	ck_assert_msg(!vcr_store_open(&s, &o, &e), "%s", e.what);
	return s;
}

static struct vcr_savepoint base(struct vcr_store *s)
{
	struct vcr_savepoint p;
	ck_assert_msg(!vcr_store_base(s, &the_base, &p, &e), "%s", e.what);
	return p;
}

static struct vcr_savepoint take(struct vcr_store *s, const char *path, bool deep)
{
	struct vcr_store_dirty d = { path, deep };
	struct vcr_savepoint p;
	ck_assert_msg(!vcr_store_take(s, &d, 1, &call, &p, &e), "%s", e.what);
	return p;
}

/* "mode path content" of every entry, one a line. */
struct dump { struct vcr_store *s; struct vcr_buf text; };
static int dump_entry(void *ctx, const char *path, const struct vcr_entry *a, const struct vcr_entry *b)
{
	struct dump *d = ctx;
	VCR_AUTO_BUF content = VCR_BUF_INIT;
	unsigned type = b->mode & VCR_ENTRY_TYPE;
	if (type == VCR_ENTRY_FILE || type == VCR_ENTRY_LINK)
		ck_assert_msg(!vcr_store_read(d->s, b, &content, &e), "%s: %s", path, e.what);
	vcr_buf_printf(&d->text, "%o %s %s\n", b->mode, path, content.data);
	return 0;
}

static char *listing(struct vcr_store *s, const char *tree)
{
	struct dump d = { s, VCR_BUF_INIT };
	ck_assert_msg(!vcr_store_diff(s, empty_tree, tree, dump_entry, &d, &e), "%s", e.what);
	return vcr_buf_take(&d.text, NULL);
}

#define ck_listing(s, tree, want) do { char *have_ = listing(s, tree); ck_assert_str_eq(have_, want); free(have_); } while (0)

START_TEST(a_base_holds_every_file_with_its_mode_and_nothing_of_git)
{
	sh("mkdir -p empty d/.git d/x .git .vcr; echo secret > d/.git/config; echo no > .vcr/a.vcr; printf one > d/x/one; printf two > two; chmod 600 two; chmod 4755 d/x/one; "
	   "chmod 700 d; ln -s ../two d/link; mkfifo pipe; printf 'new\nline' > 'a b'; printf x > d.x");
	struct vcr_store *s = store("s");
	struct vcr_savepoint p = base(s);
	ck_listing(s, p.tree, "100644 a b new\nline\n40700 d \n120777 d/link ../two\n40755 d/x \n104755 d/x/one one\n100644 d.x x\n40755 empty \n100600 two two\n");
	ck_assert_int_eq(p.n, 0);
	ck_assert_str_eq(p.kind, "base");
	ck_assert_uint_eq(p.flags, 0);
	vcr_store_free(s);
	sh("git --git-dir=%s/shadow.git fsck --full 2>/dev/null; git --git-dir=%s/shadow.git cat-file -p refs/vcr/s/0:d/x/one", state, state);
}
END_TEST

/* Random work on a small tree of names, so that files, links and directories take each other's places. */
static uint32_t seed;
static unsigned roll(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static void random_name(char *out)
{
	static const char *const part[] = { "a", "b", "a.b", "c" };
	int depth = 1 + (int)roll(4);
	*out = 0;
	for (int i = 0; i < depth; i++)
		sprintf(out + strlen(out), "%s%s", i ? "/" : "", part[roll(4)]);
}

static bool through_link(const char *name)
{
	char part[64];
	struct stat st;
	for (const char *p = name; (p = strchr(p, '/')); p++) {
		snprintf(part, sizeof part, "%.*s", (int)(p - name), name);
		if (!lstat(part, &st) && S_ISLNK(st.st_mode))
			return true;
	}
	return false;
}

/* Names are as the collector gives them: no link on the way. */
static size_t random_work(char names[][64])
{
	static const char *const work_of[] = { "rm -rf $a", "mkdir -p $a && chmod 7${n}0 $a", "rm -rf $a; ln -s $b $a", "[ -L $a ] || chmod 6$n$n $a", "mv -T $a $b",
		"mkdir -p $(dirname $a) && echo $n$n > $a", "mkdir -p $(dirname $a) && echo $n > $a" };
	size_t n = 0;
	for (unsigned i = 0, times = 1 + roll(6); i < times; i++) {
		char *a = names[n++], *b = names[n++];
		unsigned what = roll(7);
		random_name(a);
		random_name(b);
		VCR_AUTO_BUF cmd = VCR_BUF_INIT;
		vcr_buf_printf(&cmd, "(a=%s b=%s n=%u; %s { %s; }) 2>/dev/null", a, b, roll(8), what > 4 ? "[ -L $a ] ||" : "", work_of[what]);
		if (!through_link(a) && !through_link(b))
			ck_assert_int_ge(system(cmd.data), 0);
	}
	return n;
}

START_TEST(a_savepoint_of_the_dirty_paths_equals_a_look_at_everything)
{
	struct vcr_store *s = store("s"), *all = store("all");
	base(s);
	seed = (uint32_t)_i * 7919 + 1;
	for (int round = 0; round < 25; round++) {
		char names[16][64];
		struct vcr_store_dirty d[16];
		struct vcr_savepoint p;
		size_t n = random_work(names);
		for (size_t i = 0; i < n; i++)
			d[i] = (struct vcr_store_dirty){ names[i], true };
		ck_assert_msg(!vcr_store_take(s, d, n, &call, &p, &e), "%s", e.what);
		struct vcr_savepoint whole = base(all);
		char *have = listing(s, p.tree), *want = listing(all, whole.tree);
		ck_assert_msg(!strcmp(p.tree, whole.tree), "seed %d round %d: have\n%s\nwant\n%s", _i, round, have, want);
		free(have);
		free(want);
	}
	vcr_store_free(s);
	vcr_store_free(all);
}
END_TEST

START_TEST(a_call_that_changed_nothing_is_the_last_savepoint_again)
{
	sh("echo a > a");
	struct vcr_store *s = store("s");
	struct vcr_savepoint p = base(s), q = take(s, "a", false), r;
	ck_assert_str_eq(p.commit, q.commit);
	sh("echo b > a");
	q = take(s, "a", false);
	ck_assert_int_eq(q.n, 1);
	const struct vcr_store_note manual = { .kind = "manual", .frame_id = "f-1", .message = "before\nthe move" };
	ck_assert_int_eq(vcr_store_take(s, NULL, 0, &manual, &r, &e), 0);
	ck_assert_int_eq(r.n, 2);
	ck_assert_str_eq(r.tree, q.tree);
	vcr_store_free(s);
	s = store("s"); /* and a later process goes on behind it */
	ck_assert_int_eq(vcr_store_get(s, "s", -1, &r, &e), 0);
	ck_assert_int_eq(r.n, 2);
	ck_assert_str_eq(r.frame_id, "f-1");
	ck_assert_str_eq(r.message, "before the move");
	ck_assert_str_eq(r.kind, "manual");
	ck_assert_int_eq(vcr_store_get_time(s, "s", q.time_ns, &r, &e), 0);
	ck_assert_int_eq(r.n, 1);
	ck_assert_int_eq(vcr_store_get_time(s, "s", 5, &r, &e), VCR_ENOTFOUND);
	ck_assert_int_eq(vcr_store_get(s, "other", -1, &r, &e), VCR_ENOTFOUND);
	sh("echo c > a");
	q = take(s, "a", false);
	ck_assert_int_eq(q.n, 3);
	vcr_store_free(s);
}
END_TEST

START_TEST(many_savepoints_become_one_pack_at_the_end)
{
	struct vcr_store *s = store("s");
	struct vcr_savepoint p = base(s), q;
	for (int i = 0; i < 60; i++) {
		sh("echo %d > f", i);
		p = take(s, "f", false);
	}
	ck_assert_msg(!vcr_store_pack(s, &e), "%s", e.what);
	ck_listing(s, p.tree, "100644 f 59\n\n");
	sh("echo last > f");
	p = take(s, "f", false);
	vcr_store_free(s);
	sh("test $(find %s/shadow.git/objects -type f -path '*/[0-9a-f][0-9a-f]/*' | wc -l) -lt 5; git --git-dir=%s/shadow.git fsck --full 2>/dev/null", state, state);
	s = store("s");
	ck_assert_int_eq(vcr_store_get(s, "s", 30, &q, &e), 0);
	ck_listing(s, q.tree, "100644 f 29\n\n");
	ck_listing(s, p.tree, "100644 f last\n\n");
	vcr_store_free(s);
}
END_TEST

START_TEST(a_savepoint_of_many_dirty_files_is_one_pack_and_no_loose_files)
{
	enum { N = 300 };
	static struct vcr_store_dirty dirty[N];
	static char name[N][16];
	struct vcr_store *s = store("s");
	struct vcr_savepoint p = base(s), q;
	sh("mkdir old d; echo 1 > old/f; chmod 700 old; for i in $(seq 0 %d); do echo $i > d/$i; done", N - 2);
	for (int i = 0; i < N; i++) {
		snprintf(name[i], sizeof name[i], i ? "d/%d" : "old/f", i - 1);
		dirty[i].path = name[i];
	}
	ck_assert_msg(!vcr_store_take(s, dirty, N, &call, &q, &e), "%s", e.what);
	sh("test $(find %s/shadow.git/objects -type f -path '*/[0-9a-f][0-9a-f]/*' | wc -l) -lt 4", state);
	sh("test $(git --git-dir=%s/shadow.git ls-tree -r %s | wc -l) = %d; git --git-dir=%s/shadow.git fsck --full 2>/dev/null", state, q.tree, N, state);
	sh("chmod 755 old; rm -r d; mkdir d; echo new > d/0");
	ck_assert_msg(!vcr_store_take(s, dirty, N, &call, &p, &e), "%s", e.what); /* what that pack holds is read again */
	ck_listing(s, p.tree, "40755 d \n100644 d/0 new\n\n40755 old \n100644 old/f 1\n\n");
	vcr_store_free(s);
}
END_TEST

START_TEST(sessions_with_awkward_names_have_refs_that_git_accepts)
{
	static const char *const names[] = { "a b", "a..b", "x.lock.y", "2024.05" };
	for (size_t i = 0; i < 4; i++) {
		struct vcr_store *s = store(names[i]);
		struct vcr_savepoint p = base(s), q;
		ck_assert_int_eq(vcr_store_get(s, names[i], 0, &q, &e), 0);
		ck_assert_str_eq(p.commit, q.commit);
		vcr_store_free(s);
	}
	sh("test $(git --git-dir=%s/shadow.git for-each-ref | wc -l) = 4; git --git-dir=%s/shadow.git fsck 2>/dev/null", state, state);
}
END_TEST

static bool has_canary(void *ctx, const char *path, const char *p, size_t n)
{
	return memmem(p, n, "CANARY", 6) != NULL;
}

START_TEST(files_with_secrets_are_sealed_and_come_back)
{
	sh("git init -q; printf KEY=CANARY-1 > .env; printf 'see CANARY-2' > notes; printf '" VCR_SEAL_MAGIC "own' > odd; chmod 600 .env; git add -f notes; git commit -qm x; "
	   "printf 'see CANARY-3' > notes");
	struct vcr_store_options o = { .workspace = work, .state_dir = state, .session = "s", .has_secret = has_canary };
	struct vcr_store *s;
	ck_assert_int_eq(vcr_store_open(&s, &o, &e), 0);
	struct vcr_savepoint p = base(s);
	ck_listing(s, p.tree, "100600 .env KEY=CANARY-1\n100644 notes see CANARY-3\n100644 odd " VCR_SEAL_MAGIC "own\n");
	struct vcr_savepoint q = take(s, ".env", false);
	ck_assert_str_eq(p.commit, q.commit); /* equal content, equal object */
	vcr_store_free(s);
	sh("git --git-dir=%s/shadow.git show refs/vcr/s/0:.env | grep -q CANARY && exit 1; git --git-dir=%s/shadow.git show refs/vcr/s/0:notes | grep -q CANARY && exit 1; "
	   "test $(stat -c %%a %s/seal.key) = 600", state, state, state);
	sh("head -c 32 /dev/urandom > %s/seal.key", state); /* another key does not open it, and says so or gives the sealed text */
	s = store("s");
	ck_assert_int_eq(vcr_store_get(s, "s", 0, &p, &e), 0);
	char *text = listing(s, p.tree);
	ck_assert_ptr_null(strstr(text, "CANARY"));
	free(text);
	vcr_store_free(s);
}
END_TEST

START_TEST(names_and_links_with_secrets_are_sealed_and_stay_so)
{
	sh("mkdir -p d; echo 1 > d/name-CANARY-1.txt; mkdir dir-CANARY-22; echo 2 > dir-CANARY-22/f; ln -s /x/CANARY-33 d/link; echo 3 > " VCR_SEAL_NAME "00");
	struct vcr_store_options o = { .workspace = work, .state_dir = state, .session = "s", .has_secret = has_canary };
	struct vcr_store *s;
	ck_assert_int_eq(vcr_store_open(&s, &o, &e), 0);
	struct vcr_savepoint p = base(s), q;
	static const char want[] = "40755 d \n120777 d/link /x/CANARY-33\n100644 d/name-CANARY-1.txt 1\n\n40755 dir-CANARY-22 \n100644 dir-CANARY-22/f 2\n\n100644 " VCR_SEAL_NAME "00 3\n\n";
	ck_listing(s, p.tree, want);
	sh("echo 4 > dir-CANARY-22/f; rm d/name-CANARY-1.txt");
	take(s, "d/name-CANARY-1.txt", false);
	q = take(s, "dir-CANARY-22/f", false);
	ck_listing(s, q.tree, "40755 d \n120777 d/link /x/CANARY-33\n40755 dir-CANARY-22 \n100644 dir-CANARY-22/f 4\n\n100644 " VCR_SEAL_NAME "00 3\n\n");
	vcr_store_free(s);
	s = store("s"); /* one that knows no secrets puts a name back as it was */
	char tree[41], again[41];
	struct vcr_store_put gone = { "dir-CANARY-22", { 0 } };
	struct dump d = { s, VCR_BUF_INIT };
	ck_assert_int_eq(vcr_store_diff(s, empty_tree, p.tree, dump_entry, &d, &e), 0);
	vcr_buf_release(&d.text);
	ck_assert_int_eq(vcr_store_patch(s, p.tree, &gone, 1, tree, &e), 0);
	struct vcr_store_put back = { "dir-CANARY-22", { .mode = 040755 } };
	ck_assert_int_eq(vcr_store_patch(s, tree, &back, 1, again, &e), 0);
	vcr_store_free(s);
	sh("git --git-dir=%s/shadow.git cat-file --batch-all-objects --batch | grep -aq CANARY && exit 1; true", state);
}
END_TEST

START_TEST(the_users_repository_is_only_read_and_its_gc_takes_nothing_away)
{
	char before[128], after[128];
	sh("git init -q; for i in 1 2 3 4 5; do echo $i > f$i; done; git add .; git commit -qm x; git gc -q; echo 6 > f6; git add f6; git commit -qm y; "
	   "find . -type f -exec touch -d '1 hour ago' {} +; git update-index --refresh");
	ask(before, sizeof before, "find .git -type f | sort | xargs sha256sum | sha256sum");
	struct vcr_store *s = store("s");
	struct vcr_savepoint p = base(s);
	ask(after, sizeof after, "find .git -type f | sort | xargs sha256sum | sha256sum");
	ck_assert_str_eq(before, after);
	vcr_store_free(s);
	sh("test -n \"$(find %s/shadow.git/objects/pack -name '*.pack' -links +1)\"", state); /* borrowed, not copied */
	sh("git checkout -q --orphan new; git rm -rqf .; git commit -q --allow-empty -m z; git branch -D master 2>/dev/null || true; git reflog expire --expire=now --all; "
	   "git gc -q --prune=now");
	s = store("s");
	ck_listing(s, p.tree, "100644 f1 1\n\n100644 f2 2\n\n100644 f3 3\n\n100644 f4 4\n\n100644 f5 5\n\n100644 f6 6\n\n");
	vcr_store_free(s);
}
END_TEST

START_TEST(files_come_as_they_stand_on_the_disk_not_as_git_stores_them)
{
	sh("git init -q; git config filter.up.clean 'tr a-z A-Z'; git config filter.up.smudge 'tr A-Z a-z'; printf '*.crlf text eol=crlf\n*.up filter=up\n*.id ident\n' > .gitattributes; "
	   "printf 'a\r\nb\r\n' > x.crlf; printf 'lower' > y.up; printf '$Id$\n' > z.id; printf plain > p; git add .; git commit -qm x; rm x.crlf y.up z.id; git checkout -q .; "
	   "find . -path ./.git -prune -o -type f -exec touch -d '1 hour ago' {} +; git update-index --refresh; cat .gitattributes x.crlf y.up z.id p > ../want");
	struct vcr_store *s = store("s");
	struct vcr_savepoint p = base(s);
	vcr_store_free(s);
	sh("for f in .gitattributes x.crlf y.up z.id p; do git --git-dir=%s/shadow.git cat-file blob refs/vcr/s/0:$f; done > ../have; cmp ../have ../want", state);
	ck_assert_int_eq(p.n, 0);
}
END_TEST

/* With what git knows and without: the same savepoint. So many files that several threads look. */
START_TEST(what_git_knows_makes_no_difference_to_a_base)
{
	static const char *const make[] = { ":", "git update-index --index-version 4", "git repack -qad",
		"git config core.autocrlf true; printf '1\r\n2\r\n' | tee d3/crlf > d4/crlf; touch -d '1 hour ago' d3/crlf d4/crlf; git add . 2>/dev/null", "git repack -qad; printf '* text=auto eol=crlf' > .gitattributes; git add .; "
		"rm -r d5; git checkout -q d5; find d5 -exec touch -d '1 hour ago' {} +; git update-index --refresh",
		"printf 'f1 filter=up' > d6/.gitattributes; git config filter.up.clean 'tr a-z A-Z'; git config filter.up.smudge 'tr A-Z a-z'; git add --renormalize d6; git add d6; find d6 -exec touch -d '1 hour ago' {} +; "
		"git update-index --refresh",
		"git update-index --assume-unchanged d7/f1; git update-index --skip-worktree d7/f2; touch -r d7/f3 ../at; for i in 1 2 3; do echo changed > d7/f$i; touch -r ../at d7/f$i; done",
		"git add -N new; git rm -q --cached d8/f1; rm d8/f2; mv d9 d9x; ln -s d9x d9; mv d10 ../d10; echo file > d10; chmod 600 d11/f1; chmod 711 d11; ln -s f1 d11/link; mkdir d11/empty",
		"umask 077; git rm -rq --cached d12; git config core.filemode false; chmod 777 d12/*; mkdir -p d13/.git d13/node_modules; echo no > d13/.git/x; echo dep > d13/node_modules/x; git add -f d13/node_modules",
		"printf '*.crlf text eol=crlf\n' > d14/.gitattributes; printf '1\r\n2\r\n' > d14/x.crlf; git add d14/x.crlf 2>/dev/null; touch -d '1 hour ago' d14/x.crlf; git update-index --refresh" };
	sh("git init -q; for d in $(seq 20); do mkdir d$d; for f in $(seq 25); do echo \"text $d $f\" > d$d/f$f; done; done; find . -name .git -prune -o -exec touch -d '1 hour ago' {} +; git add .; "
	   "git commit -qm x; echo new > new; %s", make[_i]);
	struct vcr_store *s = store("with");
	struct vcr_savepoint with = base(s);
	vcr_store_free(s);
	sh("git --git-dir=%s/shadow.git rev-list --objects %s >/dev/null", state, with.tree);
	sh("mv .git ../aside; mkdir ../fresh");
	snprintf(state, sizeof state, "%s/fresh", top);
	s = store("without");
	struct vcr_savepoint without = base(s);
	vcr_store_free(s);
	if (_i == 8) /* of a directory of packages the files are kept when git tracks some */
		ck_assert_str_ne(with.tree, without.tree);
	else
		ck_assert_str_eq(with.tree, without.tree);
}
END_TEST

START_TEST(every_kind_of_repository_and_none_will_do)
{
	static const char *const make[] = { ":", "git init -q", "git init -q --object-format=sha256 && git add . && git commit -qm x",
		"git init -q && git add . && git commit -qm x && git config core.repositoryformatversion 1 && git config extensions.partialClone origin",
		"git init -q && git add . && git commit -qm x && git update-index --index-version 4 && git update-index --split-index",
		"git init -q && git add . && git commit -qm x && chown -R 12345 .git",
		"git init -q ../main && cd ../main && git commit -q --allow-empty -m x && git worktree add -q ../work2 && cd ../work && mv ../work2/.git . && git add . && git commit -qm y",
		"mkdir .git && echo rubbish > .git/HEAD && echo rubbish > .git/index",
		"git init -q && git add . && git commit -qm x && git sparse-checkout set --cone --sparse-index d",
		"git init -q d && git -C d add . && git -C d commit -qm s && git init -q && git add . 2>/dev/null && git commit -qm submodule" };
	sh("mkdir -p d; echo 1 > d/a; echo 2 > b; touch -d '1 hour ago' d/a b; %s", make[_i]);
	struct vcr_store *s = store("s");
	struct vcr_savepoint p = base(s);
	ck_listing(s, p.tree, "100644 b 2\n\n40755 d \n100644 d/a 1\n\n");
	vcr_store_free(s);
}
END_TEST

START_TEST(what_is_too_large_is_named_and_not_read)
{
	sh("truncate -s 3M big");
	struct vcr_store *s = store("s");
	struct vcr_savepoint p = base(s), q;
	ck_listing(s, p.tree, "160644 big \n");
	ck_assert_uint_eq(p.flags, VCR_SAVEPOINT_LIMITED);
	sh("echo more >> big");
	q = take(s, "big", false);
	ck_assert_str_ne(q.tree, p.tree); /* changed, though not kept */
	vcr_store_free(s);
}
END_TEST

START_TEST(of_directories_that_packages_or_builds_fill_the_names_are_noted)
{
	struct vcr_store_unkept u;
	sh("mkdir -p node_modules/x/empty keep/node_modules cache venv; echo 1 > node_modules/x/y; ln -s y node_modules/x/l; touch cache/CACHEDIR.TAG venv/pyvenv.cfg; echo 3 > venv/z; "
	   "echo 2 > keep/node_modules/z; git init -q; git add -f keep; git commit -qm x");
	struct vcr_store *s = store("s");
	struct vcr_savepoint p = base(s), q;
	ck_listing(s, p.tree, "40755 cache \n100644 cache/CACHEDIR.TAG \n40755 keep \n40755 keep/node_modules \n100644 keep/node_modules/z 2\n\n40755 node_modules \n40755 node_modules/x \n"
		"40755 node_modules/x/empty \n120777 node_modules/x/l y\n160644 node_modules/x/y \n40755 venv \n100644 venv/pyvenv.cfg \n160644 venv/z \n");
	ck_assert_uint_eq(p.flags, 0);
	vcr_store_unkept(s, &u);
	ck_assert_uint_eq(u.nheavy, 3);
	ck_assert(!u.small);
	sh("echo more > node_modules/x/y; mkdir -p new/node_modules; echo n > new/node_modules/n; echo m > node_modules/x/m");
	take(s, "node_modules/x/y", false);
	take(s, "new", false);
	q = take(s, "node_modules/x/m", false);
	ck_assert_str_ne(q.tree, p.tree);
	ck_listing(s, q.tree, "40755 cache \n100644 cache/CACHEDIR.TAG \n40755 keep \n40755 keep/node_modules \n100644 keep/node_modules/z 2\n\n40755 new \n40755 new/node_modules \n"
		"160644 new/node_modules/n \n40755 node_modules \n40755 node_modules/x \n40755 node_modules/x/empty \n120777 node_modules/x/l y\n160644 node_modules/x/m \n160644 node_modules/x/y \n"
		"40755 venv \n100644 venv/pyvenv.cfg \n160644 venv/z \n");
	vcr_store_unkept(s, &u);
	ck_assert_uint_eq(u.nheavy, 4);
	ck_assert_str_eq(u.heavy[3], "new/node_modules");
	vcr_store_free(s);
}
END_TEST

START_TEST(home_and_root_are_refused)
{
	struct vcr_store_options o = { .workspace = "/", .state_dir = state, .session = "s" };
	struct vcr_store *s;
	ck_assert_int_eq(vcr_store_open(&s, &o, &e), VCR_EINVAL);
	setenv("HOME", work, 1);
	o.workspace = work;
	ck_assert_int_eq(vcr_store_open(&s, &o, &e), VCR_EINVAL);
	ck_assert_ptr_nonnull(strstr(e.what, "home directory"));
}
END_TEST

static int writing = 1;
static void *write_on(void *arg)
{
	int fd = open("busy", O_WRONLY);
	char c = 'a';
	while (__atomic_load_n(&writing, __ATOMIC_RELAXED) && pwrite(fd, &c, 1, 0) == 1)
		c++;
	close(fd);
	return NULL;
}

START_TEST(a_file_that_changes_while_it_is_read_makes_the_savepoint_unstable)
{
	pthread_t t;
	bool unstable = false;
	sh("head -c 900000 /dev/urandom > busy");
	struct vcr_store *s = store("s");
	ck_assert_uint_eq(base(s).flags, 0);
	ck_assert_int_eq(pthread_create(&t, NULL, write_on, NULL), 0);
	for (time_t until = time(NULL) + 60; !unstable && time(NULL) < until;) /* the two have to meet */
		unstable = take(s, "busy", false).flags & VCR_SAVEPOINT_UNSTABLE;
	__atomic_store_n(&writing, 0, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	ck_assert(unstable);
	sh("echo calm > busy");
	ck_assert_uint_eq(take(s, "busy", false).flags, 0);
	vcr_store_free(s);
}
END_TEST

START_TEST(names_that_lead_out_are_passed_over_and_damage_is_reported)
{
	char tree[64], cmd[1024];
	sh("mkdir d ../out; echo 1 > ../out/f; ln -s ../out link; echo a > a");
	struct vcr_store *s = store("s");
	struct vcr_savepoint p = base(s);
	static const char *const bad[] = { "../out/f", "/etc/passwd", "d/../../out/f", "link/f", "", ".git/config", "d/.git/x", "a//b", "." };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_str_eq(take(s, bad[i], true).tree, p.tree);
	static const char *const names[] = { "..", ".git", ".", "a/b" };
	for (size_t i = 0; i < 4; i++) { /* a shadow repository that somebody else wrote */
		snprintf(cmd, sizeof cmd, "cd %s/shadow.git; b=$(echo x | git hash-object -w --stdin); printf \"100644 %s\\0$(echo $b | sed 's/../\\\\x&/g')\" | "
			"git hash-object -t tree -w --literally --stdin", state, names[i]);
		FILE *f = fopen("../cmd", "w");
		fputs(cmd, f);
		fclose(f);
		ask(tree, sizeof tree, "bash ../cmd");
		ck_assert_uint_eq(strlen(tree), 40);
		struct dump d = { s, VCR_BUF_INIT };
		ck_assert_msg(vcr_store_diff(s, empty_tree, tree, dump_entry, &d, &e) == VCR_ECORRUPT, "%s: %s", names[i], d.text.data);
	}
	vcr_store_free(s);
}
END_TEST

START_TEST(no_link_is_followed_beneath_a_root)
{
	const char *name;
	sh("mkdir -p d/e; ln -s e d/link; echo x > d/e/f; ln -s f d/e/g");
	int root = open(work, O_RDONLY | O_DIRECTORY), fd = vcr_beneath_open(root, "d/e/f", O_RDONLY, 0);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_lt(vcr_beneath_open(root, "d/link/f", O_RDONLY, 0), 0);
	ck_assert_int_lt(vcr_beneath_open(root, "d/e/g", O_RDONLY, 0), 0);
	ck_assert_int_lt(vcr_beneath_open(root, "d/../../x", O_RDONLY, 0), 0);
	fd = vcr_beneath_parent(root, "d/e/new", &name);
	ck_assert_int_ge(fd, 0);
	ck_assert_str_eq(name, "new");
	close(fd);
	ck_assert_int_lt(vcr_beneath_parent(root, "d/link/new", &name), 0);
	close(root);
}
END_TEST

/* Directories inside one another below d, until the last one's path has n bytes or more. */
static size_t dig(int root, size_t n, struct vcr_buf *path)
{
	char name[251];
	memset(name, 'n', 250);
	name[250] = 0;
	int at = dup(root);
	for (;;) {
		if (path->len)
			vcr_buf_putc(path, '/');
		vcr_buf_puts(path, name);
		ck_assert_int_eq(mkdirat(at, name, 0755), 0);
		int next = openat(at, name, O_RDONLY | O_DIRECTORY);
		ck_assert_int_ge(next, 0);
		close(at);
		at = next;
		if (path->len >= n)
			break;
	}
	int fd = openat(at, "f", O_WRONLY | O_CREAT, 0600);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	close(at);
	vcr_buf_puts(path, "/f");
	return path->len;
}

static void ends_in_x(int root, const char *path)
{
	char text[8];
	int fd = vcr_beneath_open(root, path, O_RDONLY, 0);
	ck_assert_msg(fd >= 0, "%zu bytes: %m", strlen(path));
	ck_assert_int_eq(read(fd, text, sizeof text), 1);
	close(fd);
}

START_TEST(a_path_that_the_kernel_does_not_take_at_once_is_opened_and_no_link_on_it_is_followed)
{
	static const size_t lengths[] = { 3000, 4080, 4096, 9000, 40000 };
	const char *name;
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT, link = VCR_BUF_INIT;
		char at[20];
		snprintf(at, sizeof at, "d%zu", i);
		ck_assert_int_eq(mkdir(at, 0755), 0);
		int root = open(at, O_RDONLY | O_DIRECTORY);
		ck_assert_uint_ge(dig(root, lengths[i], &path), lengths[i]);
		ends_in_x(root, path.data);
		int dir = vcr_beneath_parent(root, path.data, &name);
		ck_assert_int_ge(dir, 0);
		ck_assert_str_eq(name, "f");
		ck_assert_int_eq(symlinkat("f", dir, "link"), 0);
		close(dir);
		vcr_buf_add(&link, path.data, path.len - 1);
		vcr_buf_puts(&link, "link");
		ck_assert_int_lt(vcr_beneath_open(root, link.data, O_RDONLY, 0), 0);
		ck_assert_int_eq(errno, ELOOP);
		/* a link in the midst of the way, which leads to the same */
		vcr_buf_reset(&link);
		vcr_buf_printf(&link, "%.*s/link/%s", 250, path.data, path.data + 251);
		char up[300];
		snprintf(up, sizeof up, "%.250s/link", path.data);
		ck_assert_int_eq(symlinkat(".", root, up), 0);
		ck_assert_int_lt(vcr_beneath_open(root, link.data, O_RDONLY, 0), 0);
		close(root);
	}
	VCR_AUTO_BUF none = VCR_BUF_INIT;
	for (int i = 0; i < 5000; i++)
		vcr_buf_putc(&none, 'n');
	int root = open(work, O_RDONLY | O_DIRECTORY);
	ck_assert_int_lt(vcr_beneath_open(root, none.data, O_RDONLY, 0), 0);
	ck_assert_int_eq(errno, ENAMETOOLONG);
	while (none.len < 70000)
		vcr_buf_puts(&none, "/n");
	ck_assert(!vcr_beneath_valid(none.data));
	close(root);
}
END_TEST

static int count_attrs(void *ctx, const char *path, const struct vcr_entry *a, const struct vcr_entry *b)
{
	static const unsigned char none[VCR_OID];
	bool has = memcmp(b->attrs, none, VCR_OID) != 0;
	(void)a;
	if (has)
		ck_assert_msg(strlen(path) > 2 && !strcmp(path + strlen(path) - 2, "/f"), "%s has attributes", path);
	*(int *)ctx += has;
	return 0;
}

START_TEST(a_directory_that_is_not_looked_into_has_no_attributes_of_its_neighbours)
{
	int n = 0;
	sh("i=0; while [ $i -lt 256 ]; do mkdir d; cd d; i=$((i+1)); done; echo x > f; mkdir g");
	ck_assert_int_eq(chdir(work), 0);
	VCR_AUTO_BUF deep = VCR_BUF_INIT;
	for (int i = 0; i < 256; i++)
		vcr_buf_puts(&deep, "d/");
	vcr_buf_puts(&deep, "f");
	bool some = !setxattr(deep.data, "user.a", "1", 1, 0);
	if (!some)
		fprintf(stderr, "# no extended attributes in /tmp: half of this is left out\n");
	struct vcr_store *s = store("s");
	struct vcr_savepoint p = base(s);
	ck_assert_int_eq(vcr_store_diff(s, empty_tree, p.tree, count_attrs, &n, &e), 0);
	ck_assert_int_eq(n, some);
	vcr_store_free(s);
	sh("git --git-dir=%s/shadow.git fsck --connectivity-only 2>/dev/null", state);
}
END_TEST

static TCase *tc(void)
{
	TCase *t = tcase_create("savepoint");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_base_holds_every_file_with_its_mode_and_nothing_of_git);
	tcase_add_loop_test(t, a_savepoint_of_the_dirty_paths_equals_a_look_at_everything, 0, 8);
	tcase_add_test(t, a_call_that_changed_nothing_is_the_last_savepoint_again);
	tcase_add_test(t, many_savepoints_become_one_pack_at_the_end);
	tcase_add_test(t, a_savepoint_of_many_dirty_files_is_one_pack_and_no_loose_files);
	tcase_add_test(t, sessions_with_awkward_names_have_refs_that_git_accepts);
	tcase_add_test(t, files_with_secrets_are_sealed_and_come_back);
	tcase_add_test(t, names_and_links_with_secrets_are_sealed_and_stay_so);
	tcase_add_test(t, the_users_repository_is_only_read_and_its_gc_takes_nothing_away);
	tcase_add_test(t, files_come_as_they_stand_on_the_disk_not_as_git_stores_them);
	tcase_add_loop_test(t, what_git_knows_makes_no_difference_to_a_base, 0, 10);
	tcase_add_loop_test(t, every_kind_of_repository_and_none_will_do, 0, 10);
	tcase_add_test(t, what_is_too_large_is_named_and_not_read);
	tcase_add_test(t, of_directories_that_packages_or_builds_fill_the_names_are_noted);
	tcase_add_test(t, a_directory_that_is_not_looked_into_has_no_attributes_of_its_neighbours);
	tcase_add_test(t, home_and_root_are_refused);
	tcase_add_test(t, a_file_that_changes_while_it_is_read_makes_the_savepoint_unstable);
	tcase_add_test(t, names_that_lead_out_are_passed_over_and_damage_is_reported);
	tcase_add_test(t, no_link_is_followed_beneath_a_root);
	tcase_add_test(t, a_path_that_the_kernel_does_not_take_at_once_is_opened_and_no_link_on_it_is_followed);
	return t;
}

TAP_MAIN("savepoint", tc)
