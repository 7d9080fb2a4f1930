#include "git.h"
#include "replace.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
enum { MAX_WORDS = 64 << 10, MAX_OUT = 1 << 30, MAX_ARGS = 40, MAX_ENV = 12 };

/* Of `git rev-parse --local-env-vars`, those that name places; configuration that is handed on by them stays. */
static bool is_taken_out(const char *entry)
{
	static const char *const names[] = { "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR",
		"GIT_PREFIX", "GIT_NAMESPACE", "GIT_QUARANTINE_PATH", "GIT_INTERNAL_SUPER_PREFIX", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_REPLACE_REF_BASE", "GIT_LITERAL_PATHSPECS",
		"GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_TRACE", "GIT_TRACE2", "LC_ALL", "LANGUAGE", NULL };
	size_t n = strcspn(entry, "=");
	for (int i = 0; names[i]; i++)
		if (strlen(names[i]) == n && !strncmp(entry, names[i], n))
			return true;
	return false;
}

static int add_var(struct vcr_buf *keep, size_t *at, int *n, const char *name, const char *value)
{
	if (!value)
		return 0;
	at[(*n)++] = keep->len;
	vcr_buf_printf(keep, "%s=%s", name, value);
	return vcr_buf_add(keep, "", 1);
}

/* The environment: ours without what leads astray, and what this call asks for, whose text is in keep. NULL: no memory. */
static char **make_env(const struct vcr_git *g, struct vcr_buf *keep)
{
	size_t at[MAX_ENV], count = 0, n = 0;
	int more = 0;
	add_var(keep, at, &more, "LC_ALL", "C");
	add_var(keep, at, &more, "GIT_TERMINAL_PROMPT", "0");
	add_var(keep, at, &more, "GIT_OPTIONAL_LOCKS", "0");
	add_var(keep, at, &more, "GIT_LITERAL_PATHSPECS", "1");
	add_var(keep, at, &more, "GIT_INDEX_FILE", g->index);
	add_var(keep, at, &more, "GIT_OBJECT_DIRECTORY", g->objects);
	add_var(keep, at, &more, "GIT_AUTHOR_NAME", g->who);
	add_var(keep, at, &more, "GIT_AUTHOR_EMAIL", g->who);
	add_var(keep, at, &more, "GIT_COMMITTER_NAME", g->who);
	add_var(keep, at, &more, "GIT_COMMITTER_EMAIL", g->who);
	while (environ && environ[count])
		count++;
	char **env = keep->err ? NULL : calloc(count + MAX_ENV + 1, sizeof *env);
	if (!env)
		return NULL;
	for (size_t i = 0; i < count; i++) /* what comes first counts, so ours stand alone */
		if (!is_taken_out(environ[i]) && strncmp(environ[i], "LD_PRELOAD=", 11) && !(g->who && (!strncmp(environ[i], "GIT_AUTHOR_", 11) || !strncmp(environ[i], "GIT_COMMITTER_", 14))))
			env[n++] = environ[i];
	for (int i = 0; i < more; i++)
		env[n++] = keep->data + at[i];
	return env;
}

static int read_file(int fd, struct vcr_buf *out, size_t most)
{
	char step[1 << 15];
	off_t at = 0;
	ssize_t n;
	while (at < (off_t)most && (n = pread(fd, step, sizeof step, at)) > 0) {
		at += n;
		if (vcr_buf_add(out, step, (size_t)n))
			return out->err;
	}
	return 0;
}

/* A file in memory, with these bytes to be read from its start; -1. */
static int memory_file(const struct vcr_buf *text)
{
	int fd = memfd_create("vcr-git", MFD_CLOEXEC);
	if (fd >= 0 && text && (vcr_write_all(fd, text->data, text->len) || lseek(fd, 0, SEEK_SET))) {
		close(fd);
		return -1;
	}
	return fd;
}

static int spawn(const struct vcr_git *g, const char *const argv[], int in, int out, int words, pid_t *pid)
{
	static const char *const first[] = { "git", "-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.fsmonitor=false", "-c", "advice.addEmbeddedRepo=false", "-c", "core.hooksPath=/dev/null" };
	VCR_AUTO_BUF keep = VCR_BUF_INIT;
	const char *full[MAX_ARGS + 16];
	posix_spawn_file_actions_t io;
	posix_spawnattr_t how;
	sigset_t none;
	size_t n = 0;
	for (size_t i = 0; i < sizeof first / sizeof *first; i++)
		full[n++] = first[i];
	for (size_t i = 0; argv[i]; i++) {
		if (i == MAX_ARGS)
			return E2BIG;
		full[n++] = argv[i];
	}
	full[n] = NULL;
	char **env = make_env(g, &keep);
	if (!env)
		return ENOMEM;
	sigemptyset(&none);
	posix_spawn_file_actions_init(&io);
	posix_spawn_file_actions_addchdir_np(&io, g->dir);
	posix_spawn_file_actions_adddup2(&io, in, 0);
	posix_spawn_file_actions_adddup2(&io, out, 1);
	posix_spawn_file_actions_adddup2(&io, words, 2);
	posix_spawnattr_init(&how);
	posix_spawnattr_setsigmask(&how, &none);
	posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
	int err = posix_spawnp(pid, "git", &io, &how, (char *const *)full, env);
	posix_spawn_file_actions_destroy(&io);
	posix_spawnattr_destroy(&how);
	free(env);
	return err;
}

int vcr_git_run(struct vcr_git *g, const char *const argv[], const struct vcr_buf *in, struct vcr_buf *out, struct vcr_error *e)
{
	int fd[3] = { memory_file(in), memory_file(NULL), memory_file(NULL) }, status = 0, err = 0, sys;
	struct sigaction chld;
	pid_t pid;
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, &chld); /* where it is ignored, statuses are lost */
	vcr_buf_reset(&g->words);
	if (fd[0] < 0 || fd[1] < 0 || fd[2] < 0)
		err = vcr_error_sys(e, errno, "git %s", argv[0]);
	else if ((sys = spawn(g, argv, fd[0], fd[1], fd[2], &pid)))
		err = sys == ENOENT ? vcr_error_set(e, VCR_ENOTFOUND, "git is not in PATH (or %s is gone), and it is needed here", g->dir) : vcr_error_sys(e, sys, "git %s", argv[0]);
	else {
		while ((sys = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
			;
		if (sys < 0)
			err = vcr_error_sys(e, errno, "git %s", argv[0]);
		read_file(fd[2], &g->words, MAX_WORDS);
		if (!err && out && read_file(fd[1], out, MAX_OUT))
			err = vcr_error_set(e, out->err, "git %s: its output is too long", argv[0]);
	}
	sigaction(SIGCHLD, &chld, NULL);
	for (int i = 0; i < 3; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return err ? err : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The first of git's words that says what is wrong: warnings come before it. */
static const char *reason(const struct vcr_git *g)
{
	for (const char *p = g->words.data; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (!strncmp(p, "fatal: ", 7) || !strncmp(p, "error: ", 7))
			return p + 7;
	return g->words.data;
}

int vcr_git_must(struct vcr_git *g, const char *const argv[], const struct vcr_buf *in, struct vcr_buf *out, struct vcr_error *e)
{
	int status = vcr_git_run(g, argv, in, out, e);
	if (status <= 0)
		return status;
	const char *p = reason(g), *what = strcmp(argv[0], "-c") ? argv[0] : argv[2];
	return vcr_error_set(e, VCR_EIO, "git %s (in %.200s): %.*s", what, g->dir, *p ? (int)strcspn(p, "\n") : 9, *p ? p : "it failed");
}

int vcr_git_line(struct vcr_git *g, const char *const argv[], struct vcr_buf *out, struct vcr_error *e)
{
	size_t from = out->len;
	int err = vcr_git_must(g, argv, NULL, out, e);
	if (!err)
		vcr_buf_cut(out, from + strcspn(out->data + from, "\n"));
	return err;
}

int vcr_git_apart(const char *dir, const char *of, struct vcr_error *e)
{
	VCR_AUTO_BUF info = VCR_BUF_INIT, line = VCR_BUF_INIT;
	int fd, err;
	if (strchr(of, '\n') || *of == '"' || *of == '#')
		return vcr_error_set(e, VCR_EINVAL, "%s: a directory with such a name cannot be named to git", of);
	vcr_buf_printf(&info, "%s/info", dir);
	if ((mkdir(dir, 0700) && errno != EEXIST) || (mkdir(info.data, 0700) && errno != EEXIST))
		return vcr_error_sys(e, errno, "%s", info.data);
	vcr_buf_printf(&line, "%s\n", of);
	fd = open(info.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return vcr_error_sys(e, errno, "%s", info.data);
	err = vcr_replace_write(fd, info.data, "alternates", &line, e);
	close(fd);
	return err;
}

void vcr_git_release(struct vcr_git *g)
{
	vcr_buf_release(&g->words);
}
