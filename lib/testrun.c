#include "testrun.h"
#include "buf.h"
#include "limits.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { KILL_MS = 2000, LOOK_MS = 20, READ_BYTES = 16 << 10 };

struct vcr_testrun {
	char *command, *dir, mask[8];
	int timeout_ms;
	pid_t pid;                 /* 0: none runs */
	int pidfd, out;            /* -1: not to be had; at its end */
	struct vcr_buf tail;
	int64_t printed, since_ms, kill_ms; /* kill_ms: SIGKILL is due, 0 SIGTERM was not sent */
	bool timed_out, stopped;
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int vcr_testrun_new(struct vcr_testrun **out, const struct vcr_testrun_options *o)
{
	struct vcr_testrun *t = calloc(1, sizeof *t);
	if (!t)
		return VCR_ENOMEM;
	*t = (struct vcr_testrun){ .command = strdup(o->command), .dir = strdup(o->dir), .timeout_ms = o->timeout_s * 1000, .pidfd = -1, .out = -1 };
	snprintf(t->mask, sizeof t->mask, "%04o", (unsigned)o->mask & 0777);
	vcr_buf_init(&t->tail, 0);
	if (!t->command || !t->dir) {
		vcr_testrun_free(t);
		return VCR_ENOMEM;
	}
	*out = t;
	return 0;
}

/* ---- Begin ---- */

/* Without what would have it recorded. Borrows the strings. */
static char **clean_environment(void)
{
	static const char *const without[] = { "LD_PRELOAD=", "VCR_SPOOL=", "VCR_ANNOTATE=" };
	size_t n = 0, k = 0;
	while (environ[n])
		n++;
	char **list = calloc(n + 1, sizeof *list);
	for (size_t i = 0; list && i < n; i++) {
		bool out = false;
		for (size_t m = 0; m < sizeof without / sizeof *without; m++)
			out |= !strncmp(environ[i], without[m], strlen(without[m]));
		if (!out)
			list[k++] = environ[i];
	}
	return list;
}

static int spawn(struct vcr_testrun *t, int out)
{
	char *argv[] = { "sh", "-c", "umask \"$1\"; exec /bin/sh -c \"$2\"", "vcr-test", t->mask, t->command, NULL };
	char **env = clean_environment();
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	if (!env)
		return ENOMEM;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawn_file_actions_adddup2(&files, out, 2);
	posix_spawn_file_actions_addclosefrom_np(&files, 3);
	posix_spawn_file_actions_addchdir_np(&files, t->dir);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	int err = posix_spawn(&t->pid, "/bin/sh", &files, &attr, argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	free(env);
	return err;
}

int vcr_testrun_start(struct vcr_testrun *t, struct vcr_error *e)
{
	int pair[2];
	if (t->pid)
		return vcr_error_set(e, VCR_EBUSY, "one runs already");
	if (pipe2(pair, O_CLOEXEC))
		return vcr_error_sys(e, errno, "the tests cannot be started");
	int err = spawn(t, pair[1]);
	close(pair[1]);
	if (err) {
		close(pair[0]);
		t->pid = 0;
		return vcr_error_sys(e, err, "the tests cannot be started in %s", t->dir);
	}
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	t->out = pair[0];
	t->pidfd = (int)syscall(SYS_pidfd_open, t->pid, 0);
	t->since_ms = now_ms();
	t->kill_ms = t->printed = 0;
	t->timed_out = t->stopped = false;
	vcr_buf_reset(&t->tail);
	return 0;
}

/* ---- Going on ---- */

/* What is there; no more at a time than a fast writer could make endless. */
static void read_some(struct vcr_testrun *t)
{
	for (int i = 0; t->out >= 0 && i < 64; i++) {
		char *to = vcr_buf_reserve(&t->tail, READ_BYTES);
		ssize_t n = to ? read(t->out, to, READ_BYTES) : -1;
		if (n < 0 && to && errno == EINTR)
			continue;
		if (n < 0 && to && errno == EAGAIN)
			return;
		if (n <= 0) {
			close(t->out);
			t->out = -1;
			return;
		}
		vcr_buf_added(&t->tail, (size_t)n);
		t->printed += n;
		if (t->tail.len > 2 * VCR_MAX_TEST_OUTPUT)
			vcr_buf_drop(&t->tail, t->tail.len - VCR_MAX_TEST_OUTPUT);
	}
}

static void end_group(struct vcr_testrun *t)
{
	int64_t now = now_ms();
	if (!t->kill_ms && t->timeout_ms > 0 && now - t->since_ms >= t->timeout_ms) {
		t->timed_out = true;
		kill(-t->pid, SIGTERM);
		t->kill_ms = now + KILL_MS;
	} else if (t->kill_ms && now >= t->kill_ms) {
		kill(-t->pid, SIGKILL);
	}
}

static void close_all(struct vcr_testrun *t)
{
	if (t->out >= 0)
		close(t->out);
	if (t->pidfd >= 0)
		close(t->pidfd);
	t->out = t->pidfd = -1;
}

bool vcr_testrun_serve(struct vcr_testrun *t, struct vcr_testrun_result *r)
{
	siginfo_t info = { 0 };
	int status = 0;
	if (!t->pid)
		return false;
	read_some(t);
	if (waitid(P_PID, (id_t)t->pid, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid) {
		end_group(t);
		return false;
	}
	kill(-t->pid, SIGKILL); /* while the number is still its own */
	waitpid(t->pid, &status, 0);
	read_some(t);
	close_all(t);
	t->pid = 0;
	if (t->tail.len > VCR_MAX_TEST_OUTPUT)
		vcr_buf_drop(&t->tail, t->tail.len - VCR_MAX_TEST_OUTPUT);
	*r = (struct vcr_testrun_result){ .exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1, .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0, .timed_out = t->timed_out,
		.stopped = t->stopped, .seconds = (double)(now_ms() - t->since_ms) / 1000, .output = t->tail.data, .n = t->tail.len, .printed = t->printed };
	return true;
}

bool vcr_testrun_runs(const struct vcr_testrun *t)
{
	return t->pid != 0;
}

int vcr_testrun_pollfds(const struct vcr_testrun *t, struct pollfd *fd)
{
	int n = 0;
	if (t->out >= 0)
		fd[n++] = (struct pollfd){ t->out, POLLIN, 0 };
	if (t->pidfd >= 0)
		fd[n++] = (struct pollfd){ t->pidfd, POLLIN, 0 };
	return n;
}

int vcr_testrun_timeout(const struct vcr_testrun *t)
{
	if (!t->pid)
		return -1;
	if (t->pidfd < 0)
		return LOOK_MS;
	if (!t->kill_ms && t->timeout_ms <= 0)
		return -1;
	int64_t left = (t->kill_ms ? t->kill_ms : t->since_ms + t->timeout_ms) - now_ms();
	return left > 0 ? (int)left : t->kill_ms ? LOOK_MS : 0;
}

void vcr_testrun_stop(struct vcr_testrun *t)
{
	if (!t->pid || t->kill_ms)
		return;
	t->stopped = true;
	kill(-t->pid, SIGTERM);
	t->kill_ms = now_ms() + KILL_MS;
}

void vcr_testrun_free(struct vcr_testrun *t)
{
	if (!t)
		return;
	if (t->pid) {
		kill(-t->pid, SIGKILL);
		waitpid(t->pid, NULL, 0);
	}
	close_all(t);
	vcr_buf_release(&t->tail);
	free(t->command);
	free(t->dir);
	free(t);
}
