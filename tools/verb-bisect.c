/* vcr bisect — the first step of a session after which a check fails, found over its savepoints. */
#include "extract.h"
#include "open.h"
#include "options.h"
#include "paths.h"
#include "verbs.h"
#include "words.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIP = 125, CANNOT_RUN = 126, DIRECTORIES_OPEN = 16, MOST_POINTS = 1 << 20 };
enum result { UNKNOWN, GOOD, BAD, SKIPPED };

struct point { struct vcr_savepoint at; enum result result; };

struct bisect {
	struct vcr_tool *t;
	char *const *check;
	bool keep;
	struct vcr_buf workspace, state, vcr_dir;
	struct vcr_store *store;
	struct vcr_reader *in;
	struct point *point;
	size_t n;
	char scratch[4096];
	struct vcr_error e;
};

/* ---- The savepoints, each different from the one before ---- */

static int load_points(struct bisect *b)
{
	const char *session = vcr_reader_header(b->in)->session_id;
	struct vcr_savepoint last;
	if (vcr_store_get(b->store, session, -1, &last, &b->e))
		return vcr_failed(b->t, &b->e);
	if (last.n < 0 || last.n > MOST_POINTS || !(b->point = calloc((size_t)last.n + 1, sizeof *b->point)))
		return vcr_error_set(&b->e, VCR_ENOMEM, "no memory for %lld savepoints", (long long)last.n), vcr_failed(b->t, &b->e);
	for (int64_t n = 0; n <= last.n; n++) {
		struct vcr_savepoint *at = &b->point[b->n].at;
		if (vcr_store_get(b->store, session, n, at, &b->e))
			return vcr_failed(b->t, &b->e);
		b->n += !b->n || strcmp(at->tree, b->point[b->n - 1].at.tree);
	}
	return 0;
}

/* ---- One trial ---- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	if (kind == FTW_D || kind == FTW_DNR)
		chmod(path, 0700);
	remove(path);
	return 0;
}

static int open_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	if (S_ISDIR(st->st_mode) && (st->st_mode & 0700) != 0700)
		chmod(path, 0700);
	return 0;
}

/* A check may have locked directories. */
static void remove_scratch(struct bisect *b)
{
	if (!*b->scratch)
		return;
	nftw(b->scratch, open_one, DIRECTORIES_OPEN, FTW_PHYS);
	nftw(b->scratch, remove_one, DIRECTORIES_OPEN, FTW_PHYS | FTW_DEPTH);
	*b->scratch = 0;
}

static int make_scratch(struct bisect *b, const struct vcr_savepoint *at)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(b->scratch, sizeof b->scratch, "%s/vcr-bisect-XXXXXX", tmp && *tmp == '/' && strlen(tmp) < sizeof b->scratch - 40 ? tmp : "/tmp");
	if (!mkdtemp(b->scratch)) {
		vcr_error_sys(&b->e, errno, "%s cannot be made", b->scratch);
		*b->scratch = 0;
		return vcr_failed(b->t, &b->e);
	}
	int dir = open(b->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = dir < 0 ? vcr_error_sys(&b->e, errno, "%s", b->scratch) : vcr_store_extract(b->store, at->tree, dir, b->workspace.data, NULL, &b->e);
	if (dir >= 0)
		close(dir);
	return err ? vcr_failed(b->t, &b->e) : 0;
}

static void become_check(const struct bisect *b, const struct vcr_savepoint *at)
{
	char n[24];
	snprintf(n, sizeof n, "%lld", (long long)at->n);
	if (chdir(b->scratch) || setenv("VCR_BISECT_SAVEPOINT", n, 1) || setenv("VCR_BISECT_WORKSPACE", b->workspace.data, 1) || (b->t->json && dup2(2, 1) < 0))
		_exit(CANNOT_RUN);
	execvp(*b->check, b->check);
	fprintf(stderr, "vcr-bisect: %s: %s\n", *b->check, strerror(errno));
	_exit(CANNOT_RUN);
}

static void say_result(struct bisect *b, const struct point *p)
{
	static const char *const words[] = { "?", "good", "bad", "skipped" };
	static const enum vcr_style paint[] = { VCR_PLAIN, VCR_GREEN, VCR_RED, VCR_YELLOW };
	VCR_AUTO_BUF message = VCR_BUF_INIT;
	if (b->t->json) {
		printf("{\"savepoint\":%lld,\"result\":\"%s\"}\n", (long long)p->at.n, words[p->result]);
	} else if (!b->t->quiet) {
		vcr_safe_line(&message, p->at.message, strlen(p->at.message), 100);
		printf("%4lld  %s%s%s  %s  %s\n", (long long)p->at.n, vcr_on(b->t, paint[p->result]), words[p->result], vcr_on(b->t, VCR_PLAIN), p->at.kind, message.data);
	}
	fflush(stdout);
}

/* 0, or an exit status for all: the check cannot be run, or we are to end. */
static int try_point(struct bisect *b, struct point *p)
{
	int status = make_scratch(b, &p->at), how = 0;
	if (status)
		return status;
	fflush(stdout);
	pid_t pid = fork();
	if (!pid)
		become_check(b, &p->at);
	while (pid > 0 && waitpid(pid, &how, 0) < 0 && errno == EINTR)
		;
	if (!b->keep)
		remove_scratch(b);
	*b->scratch = 0;
	if (pid < 0 || (WIFEXITED(how) && (WEXITSTATUS(how) == CANNOT_RUN || WEXITSTATUS(how) == 127))) {
		vcr_say(b->t, "the check cannot be run");
		return VCR_EXIT_FAILED;
	}
	if (WIFSIGNALED(how)) {
		vcr_say(b->t, "the check was ended by signal %d: nothing is known of savepoint %lld", WTERMSIG(how), (long long)p->at.n);
		return VCR_EXIT_FAILED;
	}
	p->result = !WEXITSTATUS(how) ? GOOD : WEXITSTATUS(how) == SKIP ? SKIPPED : BAD;
	say_result(b, p);
	return 0;
}

/* ---- The search ---- */

/* Between lo, which is good, and hi, which is bad: the untried point nearest to the middle; 0: there is none. */
static size_t next_point(const struct bisect *b, size_t lo, size_t hi)
{
	size_t mid = lo + (hi - lo) / 2;
	for (size_t d = 0; d < hi - lo; d++) {
		if (mid + d < hi && b->point[mid + d].result == UNKNOWN)
			return mid + d;
		if (d && mid > lo + d && b->point[mid - d].result == UNKNOWN)
			return mid - d;
	}
	return 0;
}

static int search(struct bisect *b, size_t *good, size_t *bad)
{
	size_t lo = 0, hi = b->n - 1, at;
	int status = try_point(b, &b->point[0]);
	if (!status && hi)
		status = try_point(b, &b->point[hi]);
	if (status)
		return status;
	if (b->point[0].result != GOOD || b->point[hi].result != BAD) {
		vcr_say(b->t, b->point[0].result == BAD ? "the check fails at the start of the session already" : b->point[hi].result == GOOD || !hi ?
			"the check does not fail at the end of the session: there is nothing to find" : "the check was skipped at the start or the end of the session: nothing can be found");
		return VCR_EXIT_NO;
	}
	while (!status && hi - lo > 1 && (at = next_point(b, lo, hi))) {
		status = try_point(b, &b->point[at]);
		lo = b->point[at].result == GOOD ? at : lo;
		hi = b->point[at].result == BAD ? at : hi;
	}
	*good = lo;
	*bad = hi;
	return status;
}

/* ---- What it means ---- */

/* The model call whose answer was acted upon: the last that carries the savepoint before. -1: none. */
static int64_t cause(const struct bisect *b, const struct vcr_savepoint *before)
{
	int64_t found = -1;
	for (int64_t i = 0; i < vcr_reader_count(b->in); i++) {
		struct vcr_reader_frame f;
		if (vcr_reader_brief(b->in, i).call && !vcr_reader_frame(b->in, i, &f, NULL) && f.vcr >= 0 &&
		    vcr_json_is(f.j, vcr_json_get(f.j, f.vcr, "savepoint"), before->commit))
			found = i;
	}
	return found;
}

struct listing { const struct bisect *b; struct vcr_jw *w; };

static int list_path(void *listing, const char *path, const struct vcr_entry *from, const struct vcr_entry *to)
{
	struct listing *l = listing;
	VCR_AUTO_BUF safe = VCR_BUF_INIT;
	if (l->w) {
		vcr_jw_str(l->w, path);
		return 0;
	}
	vcr_safe(&safe, path, strlen(path), 0);
	printf("  %s  %s\n", !from->mode ? "made   " : !to->mode ? "removed" : "changed", safe.data);
	return 0;
}

static int tell_json(struct bisect *b, const struct point *good, const struct point *bad, int64_t frame)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_jw w;
	struct listing l = { b, &w };
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "first_bad");
	vcr_jw_int(&w, bad->at.n);
	vcr_jw_key(&w, "last_good");
	vcr_jw_int(&w, good->at.n);
	vcr_jw_key(&w, "frame");
	if (frame >= 0)
		vcr_jw_int(&w, frame);
	else
		vcr_jw_null(&w);
	vcr_jw_key(&w, "paths");
	vcr_jw_array(&w);
	int err = vcr_store_diff(b->store, good->at.tree, bad->at.tree, list_path, &l, &b->e);
	vcr_jw_array_end(&w);
	vcr_jw_object_end(&w);
	printf("%s\n", out.data);
	return err;
}

static int tell_people(struct bisect *b, const struct point *good, const struct point *bad, int64_t frame)
{
	struct listing l = { b, NULL };
	bool skipped = bad - good > 1;
	printf("%s%s savepoint %lld%s%s; what changed since savepoint %lld:\n", vcr_on(b->t, VCR_BOLD), skipped ? "not later than" : "first bad:", (long long)bad->at.n,
		vcr_on(b->t, VCR_PLAIN), skipped ? " (those before it were skipped)" : "", (long long)good->at.n);
	int err = vcr_store_diff(b->store, good->at.tree, bad->at.tree, list_path, &l, &b->e);
	if (frame >= 0)
		printf("upon the answer of frame %lld   (vcr-show %s %lld)\n", (long long)frame, vcr_reader_header(b->in)->session_id, (long long)frame);
	return err;
}

static int bisect(struct bisect *b, const char *session)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	size_t good = 0, bad = 0;
	int status = vcr_tool_open_session(b->t, session, &b->in, &path);
	if (status)
		return status;
	if (vcr_tool_dir(b->t, &b->vcr_dir, &b->e) || vcr_paths_workspace(".", &b->workspace, &b->e) || vcr_paths_state_dir(b->workspace.data, &b->state, &b->e))
		return vcr_failed(b->t, &b->e);
	struct vcr_store_options o = { .workspace = b->workspace.data, .state_dir = b->state.data, .vcr_dir = b->vcr_dir.data };
	if (vcr_store_open(&b->store, &o, &b->e) || vcr_store_hold(b->store, &b->e))
		return vcr_failed(b->t, &b->e);
	if ((status = load_points(b)) || (status = search(b, &good, &bad)))
		return status;
	int64_t frame = cause(b, &b->point[good].at);
	int err = b->t->json ? tell_json(b, &b->point[good], &b->point[bad], frame) : tell_people(b, &b->point[good], &b->point[bad], frame);
	return err ? vcr_failed(b->t, &b->e) : VCR_EXIT_YES;
}

int vcr_verb_bisect(struct vcr_tool *t, int argc, char **argv)
{
	struct bisect b = { .t = t, .workspace = VCR_BUF_INIT, .state = VCR_BUF_INIT, .vcr_dir = VCR_BUF_INIT };
	const struct vcr_opt opts[] = {
		{ 'k', "keep", NULL, VCR_OPT_FLAG, &b.keep, "leave the directories that were tried" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "[SESSION] -- CHECK [ARGUMENT]...",
		"Find the first step of a session after which CHECK fails. It is run on the files of savepoints, each in a directory of its own.", opts, false };
	char **check = NULL;
	int front = vcr_split_command(argc, argv, &check), status, n = vcr_options_parse(t, &u, front, argv, &status);
	if (n < 0)
		return status;
	if (n > 1)
		return vcr_wrong_call(t, "one session at a time");
	if (!check || !*check)
		return vcr_wrong_call(t, "which check? vcr-bisect [SESSION] -- CHECK");
	b.check = check;
	status = bisect(&b, n ? argv[0] : NULL);
	remove_scratch(&b);
	free(b.point);
	vcr_store_free(b.store);
	vcr_tool_close(&b.in);
	vcr_buf_release(&b.workspace);
	vcr_buf_release(&b.state);
	vcr_buf_release(&b.vcr_dir);
	return status;
}
