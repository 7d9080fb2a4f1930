#include "judge.h"
#include "limits.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { STARTS = 4, TIMEOUT_MS = 10000, MEMORY_MB = 2048, READ_BYTES = 64 << 10, LEAVE_MS = 20 };

/* A question, or a mark between questions. */
struct item {
	struct item *next;
	void *tag;
	struct vcr_buf text;       /* the line and the contents; empty: a mark */
	uint64_t mark;
	int64_t id;
	bool again;                /* it has been with a program that left */
};

struct vcr_judge {
	struct vcr_judge_options o;
	struct item *first, **last;
	size_t held;
	int64_t id;
	int fd, started;
	pid_t pid;
	bool asked;                /* the first item is with the program */
	size_t sent;               /* of its text */
	struct vcr_buf hello, in;
	size_t greeted, looked;    /* of hello: sent; of in: no line ends there */
	int64_t until_ms;          /* the answer is to be there by then */
	char why[200];             /* it could not be started */
	bool busy;                 /* in serve: no second one inside */
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- The program ---- */

static int spawn(const struct vcr_judge_options *o, int fd, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_adddup2(&files, fd, 0);
	posix_spawn_file_actions_adddup2(&files, fd, 1);
	posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addclosefrom_np(&files, 3);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	int err = posix_spawn(pid, o->program, &files, &attr, (char *const *)o->argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return err;
}

static void put_size(struct vcr_jw *w, const char *key, const struct vcr_judge_text *t)
{
	if (t->is == VCR_JUDGE_UNKNOWN)
		return;
	vcr_jw_key(w, key);
	if (t->is == VCR_JUDGE_PRESENT)
		vcr_jw_int(w, (int64_t)t->n);
	else
		vcr_jw_null(w);
}

static void put_text(struct vcr_buf *out, const struct vcr_judge_text *t)
{
	if (t->is == VCR_JUDGE_PRESENT)
		vcr_buf_add(out, t->p, t->n);
}

static void say_hello(struct vcr_judge *j)
{
	struct vcr_jw w;
	vcr_buf_reset(&j->hello);
	vcr_jw_init(&w, &j->hello);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "judge");
	vcr_jw_int(&w, 1);
	vcr_jw_key(&w, "workspace");
	vcr_jw_str(&w, j->o.workspace);
	vcr_jw_key(&w, "config");
	vcr_jw_str(&w, j->o.config);
	vcr_jw_key(&w, "blocks");
	vcr_jw_bool(&w, j->o.blocks);
	vcr_jw_key(&w, "state");
	vcr_jw_str(&w, j->o.state);
	put_size(&w, "conf", &j->o.conf);
	put_size(&w, "baseline", &j->o.baseline);
	vcr_jw_object_end(&w);
	vcr_buf_putc(&j->hello, '\n');
	put_text(&j->hello, &j->o.conf);
	put_text(&j->hello, &j->o.baseline);
}

/* Only its own limits are lower than ours: it may need what it is given, and no more. */
static void bound(const struct vcr_judge *j, pid_t pid)
{
#ifndef __SANITIZE_ADDRESS__ /* whose shadow is terabytes */
	rlim_t most = (rlim_t)(j->o.memory_mb > 0 ? j->o.memory_mb : MEMORY_MB) << 20;
	struct rlimit memory = { most, most }, core = { 0, 0 };
	prlimit(pid, RLIMIT_AS, &memory, NULL);
	prlimit(pid, RLIMIT_CORE, &core, NULL);
#endif
}

static bool launch(struct vcr_judge *j)
{
	int pair[2];
	if (j->started++ >= STARTS)
		return false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		snprintf(j->why, sizeof j->why, "the judge cannot be started: %s", strerror(errno));
		return false;
	}
	int err = spawn(&j->o, pair[1], &j->pid);
	close(pair[1]);
	if (err) {
		close(pair[0]);
		snprintf(j->why, sizeof j->why, "the judge cannot be started: %.120s: %s", j->o.program, strerror(err));
		j->started = STARTS;
		return false;
	}
	bound(j, j->pid);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	j->fd = pair[0];
	vcr_buf_reset(&j->in);
	j->greeted = j->looked = 0;
	say_hello(j);
	return true;
}

/* Its status as waitpid has it; -1 not known. */
static int stop(struct vcr_judge *j, bool at_once)
{
	int status = -1;
	if (j->fd < 0)
		return status;
	close(j->fd); /* it hears that */
	j->fd = -1;
	if (at_once)
		kill(j->pid, SIGKILL);
	for (int64_t until = now_ms() + LEAVE_MS; waitpid(j->pid, &status, WNOHANG) == 0;) {
		if (now_ms() >= until)
			kill(j->pid, SIGKILL);
		poll(NULL, 0, 1);
	}
	j->asked = false;
	return status;
}

/* ---- Questions ---- */

static struct item *take_first(struct vcr_judge *j)
{
	struct item *i = j->first;
	if (!(j->first = i->next))
		j->last = &j->first;
	j->held -= i->text.len;
	j->asked = false;
	return i;
}

static void answer(struct vcr_judge *j, const struct vcr_json *answer, const char *why)
{
	struct item *i = take_first(j);
	j->o.answered(j->o.ctx, i->tag, answer, why);
	vcr_buf_release(&i->text);
	free(i);
}

/* The first question will not be answered. */
static void give_up(struct vcr_judge *j, const char *how, bool at_once)
{
	char why[200];
	int status = stop(j, at_once);
	if (!at_once && !status && j->first && j->first->text.len && !j->first->again) { /* it left in good order, perhaps before it was asked */
		j->first->again = true;
		return;
	}
	if (!at_once && status > 0 && WIFSIGNALED(status))
		snprintf(why, sizeof why, "the judge died of signal %d", WTERMSIG(status));
	else
		snprintf(why, sizeof why, "%s", how);
	if (j->first && j->first->text.len)
		answer(j, NULL, why);
}

static void pass_marks(struct vcr_judge *j)
{
	while (j->first && !j->first->text.len && !j->asked) {
		struct item *i = take_first(j);
		j->o.reached(j->o.ctx, i->mark);
		free(i);
	}
}

static void append(struct vcr_judge *j, struct item *i)
{
	*j->last = i;
	j->last = &i->next;
	j->held += i->text.len;
	vcr_judge_serve(j);
}

void vcr_judge_ask(struct vcr_judge *j, const char *path, struct vcr_judge_text before, struct vcr_judge_text after, void *tag)
{
	struct item *i = calloc(1, sizeof *i);
	struct vcr_jw w;
	size_t n = (before.is == VCR_JUDGE_PRESENT ? before.n : 0) + (after.is == VCR_JUDGE_PRESENT ? after.n : 0);
	if (!i || j->held + n > VCR_MAX_JUDGE_QUEUE) {
		free(i);
		j->o.answered(j->o.ctx, tag, NULL, "the judge is too far behind");
		return;
	}
	*i = (struct item){ .tag = tag, .id = ++j->id };
	vcr_buf_init(&i->text, 0);
	vcr_jw_init(&w, &i->text);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "id");
	vcr_jw_int(&w, i->id);
	vcr_jw_key(&w, "path");
	vcr_jw_str(&w, path);
	put_size(&w, "before", &before);
	put_size(&w, "after", &after);
	vcr_jw_object_end(&w);
	vcr_buf_putc(&i->text, '\n');
	put_text(&i->text, &before);
	put_text(&i->text, &after);
	if (!i->text.err) {
		append(j, i);
		return;
	}
	vcr_buf_release(&i->text);
	free(i);
	j->o.answered(j->o.ctx, tag, NULL, "out of memory");
}

void vcr_judge_mark(struct vcr_judge *j, uint64_t mark)
{
	struct item *i = calloc(1, sizeof *i);
	if (!i) {
		j->o.reached(j->o.ctx, mark);
		return;
	}
	i->mark = mark;
	vcr_buf_init(&i->text, 0);
	append(j, i);
}

/* ---- Going on ---- */

/* The program's, then the question's. False: it is gone. */
static bool send_some(struct vcr_judge *j, const char *p, size_t n, size_t *sent)
{
	while (*sent < n) {
		ssize_t k = send(j->fd, p + *sent, n - *sent, MSG_NOSIGNAL);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK;
		*sent += (size_t)k;
	}
	return true;
}

static bool write_on(struct vcr_judge *j)
{
	if (j->greeted < j->hello.len) {
		bool lives = send_some(j, j->hello.data, j->hello.len, &j->greeted);
		if (!lives || j->greeted < j->hello.len)
			return lives;
		vcr_buf_release(&j->hello);
		j->greeted = 0;
	}
	return !j->asked || send_some(j, j->first->text.data, j->first->text.len, &j->sent);
}

/* The line that came. False: nonsense. */
static bool take_line(struct vcr_judge *j, const char *p, size_t n)
{
	VCR_AUTO_JSON a = VCR_JSON_INIT;
	int64_t id;
	if (!j->asked || j->sent < j->first->text.len || vcr_json_parse(&a, p, n, 0, NULL) || vcr_json_type(&a, 0) != VCR_JSON_OBJECT ||
	    !vcr_json_int(&a, vcr_json_get(&a, 0, "id"), &id) || id != j->first->id)
		return false;
	answer(j, &a, NULL);
	return true;
}

static bool read_on(struct vcr_judge *j)
{
	for (;;) {
		char *to = vcr_buf_reserve(&j->in, READ_BYTES);
		ssize_t n = to ? recv(j->fd, to, READ_BYTES, 0) : -1;
		if (n < 0 && to && errno == EINTR)
			continue;
		if (n < 0 && to && (errno == EAGAIN || errno == EWOULDBLOCK))
			return true;
		if (n <= 0)
			return false;
		vcr_buf_added(&j->in, (size_t)n);
		char *end;
		while ((end = memchr(j->in.data + j->looked, '\n', j->in.len - j->looked))) {
			size_t k = (size_t)(end - j->in.data);
			if (!take_line(j, j->in.data, k))
				return false; /* it is left there */
			vcr_buf_drop(&j->in, k + 1);
			j->looked = 0;
		}
		j->looked = j->in.len;
		if (j->in.len > VCR_MAX_JUDGE_ANSWER)
			return false;
	}
}

static void begin_question(struct vcr_judge *j)
{
	if (j->asked || !j->first)
		return;
	j->asked = true;
	j->sent = 0;
	j->until_ms = now_ms() + (j->o.timeout_ms > 0 ? j->o.timeout_ms : TIMEOUT_MS);
}

bool vcr_judge_is_gone(const struct vcr_judge *j)
{
	return j->fd < 0 && j->started >= STARTS;
}

void vcr_judge_start(struct vcr_judge *j)
{
	if (j->fd < 0 && launch(j))
		write_on(j);
}

/* It ended while it had nothing to do, which is no question's fault. */
static bool has_left(const struct vcr_judge *j)
{
	char c;
	return j->fd >= 0 && !j->asked && j->first && recv(j->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void vcr_judge_serve(struct vcr_judge *j)
{
	if (j->busy)
		return;
	j->busy = true;
	if (has_left(j))
		stop(j, true);
	for (pass_marks(j); j->first; pass_marks(j)) {
		if (j->fd < 0 && !launch(j)) {
			answer(j, NULL, *j->why ? j->why : "the judge has died too often");
			continue;
		}
		const struct item *was = j->first;
		begin_question(j);
		if (!write_on(j) || !read_on(j)) {
			give_up(j, "the judge ended, or its answer is not what the protocol says", j->in.len > 0);
			continue;
		}
		if (j->first == was && j->asked && now_ms() >= j->until_ms)
			give_up(j, "the judge took too long", true);
		else if (j->first == was)
			break;
	}
	j->busy = false;
}

int vcr_judge_pollfd(const struct vcr_judge *j, struct pollfd *fd)
{
	if (j->fd < 0 || !j->asked)
		return 0;
	bool more = j->greeted < j->hello.len || j->sent < j->first->text.len;
	*fd = (struct pollfd){ j->fd, (short)(POLLIN | (more ? POLLOUT : 0)), 0 };
	return 1;
}

int vcr_judge_timeout(const struct vcr_judge *j)
{
	if (!j->asked)
		return j->first ? 0 : -1;
	int64_t left = j->until_ms - now_ms();
	return left < 0 ? 0 : (int)left;
}

static void drop_all(struct vcr_judge *j, const char *why)
{
	stop(j, true);
	j->started = STARTS;
	for (pass_marks(j); j->first; pass_marks(j))
		answer(j, NULL, why);
}

void vcr_judge_finish(struct vcr_judge *j, int ms)
{
	int64_t until = now_ms() + ms, left;
	struct pollfd fd;
	for (vcr_judge_serve(j); j->first && (left = until - now_ms()) > 0; vcr_judge_serve(j)) {
		int wait = vcr_judge_timeout(j);
		poll(&fd, (nfds_t)vcr_judge_pollfd(j, &fd), wait >= 0 && wait < left ? wait : (int)left);
	}
	drop_all(j, "the session ended before it was judged");
}

int vcr_judge_new(struct vcr_judge **out, const struct vcr_judge_options *o)
{
	struct vcr_judge *j = calloc(1, sizeof *j);
	if (!j)
		return VCR_ENOMEM;
	j->o = *o;
	j->fd = -1;
	j->last = &j->first;
	vcr_buf_init(&j->hello, 0);
	vcr_buf_init(&j->in, VCR_MAX_JUDGE_ANSWER + 2 * READ_BYTES);
	*out = j;
	return 0;
}

void vcr_judge_free(struct vcr_judge *j)
{
	if (!j)
		return;
	drop_all(j, "the session ended before it was judged");
	vcr_buf_release(&j->hello);
	vcr_buf_release(&j->in);
	free(j);
}
