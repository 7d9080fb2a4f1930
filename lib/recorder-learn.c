/* recorder-learn.c — what is secret in this session: the environment, .env files, credentials of calls. Always before what may repeat it is
 * written, so a .env that a program makes is read at the next quiet point, ahead of that point's frames. */
#include "recorder-parts.h"
#include "beneath.h"
#include "limits.h"
#include "paths.h"
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static bool is_dotenv(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	return strstr(base, ".env") && (!fnmatch(".env", base, 0) || !fnmatch(".env.*", base, 0) || !fnmatch("*.env", base, 0) || !fnmatch(".envrc", base, 0));
}

/* Absolute, or relative to the workspace and then of any length. */
static int open_it(const struct vcr_recorder *r, const char *path)
{
	const char *name;
	if (*path == '/')
		return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int root = open(r->workspace, O_PATH | O_DIRECTORY | O_CLOEXEC), dir = root < 0 ? -1 : vcr_beneath_parent(root, path, &name);
	int fd = dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (dir >= 0)
		close(dir);
	if (root >= 0)
		close(root);
	return fd;
}

void vcr_recorder_learn_file(struct vcr_recorder *r, const char *path)
{
	char text[64 << 10];
	if (!is_dotenv(path))
		return;
	int fd = open_it(r, path);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
	if (n > 0)
		vcr_redact_learn_dotenv(r->redact, text, (size_t)n);
	if (fd >= 0)
		close(fd);
}

/* NAME=VALUE, comments and blank lines, nothing else: a .env whatever its name, such as a copy of one that is gone already. */
static bool is_all_variables(const char *p, size_t n)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
	const char *end = p + n;
	bool some = false;
	while (p < end) {
		const char *stop = memchr(p, '\n', (size_t)(end - p)), *at = p;
		stop = stop ? stop : end;
		while (at < stop && *at && strchr(" \t\r", *at))
			at++;
		if (stop - at > 7 && !memcmp(at, "export ", 7))
			at += 7;
		const char *name = at;
		while (at < stop && *at && strchr(letters, *at))
			at++;
		bool variable = at > name && at < stop && *at == '=';
		if (!variable && !(name == stop || *name == '#'))
			return false;
		some = some || variable;
		p = stop + 1;
	}
	return some;
}

void vcr_recorder_learn_content(struct vcr_recorder *r, const char *p, size_t n)
{
	if (p && n && n <= 64 << 10 && is_all_variables(p, n))
		vcr_redact_learn_dotenv(r->redact, p, n);
}

void vcr_recorder_learn_later(struct vcr_recorder *r, const char *path)
{
	size_t n = strlen(path) + 1;
	vcr_recorder_learn_file(r, path); /* it may be gone by then */
	if (is_dotenv(path) && !memmem(r->dotenv.data, r->dotenv.len, path, n))
		vcr_buf_add(&r->dotenv, path, n);
}

void vcr_recorder_learn_noted(struct vcr_recorder *r)
{
	for (size_t at = 0; at < r->dotenv.len; at += strlen(r->dotenv.data + at) + 1)
		vcr_recorder_learn_file(r, r->dotenv.data + at);
	vcr_buf_reset(&r->dotenv);
}

static void learn_variable(struct vcr_recorder *r, const char *variable)
{
	const char *eq = strchr(variable, '=');
	char name[256];
	if (!eq || (size_t)(eq - variable) >= sizeof name)
		return;
	memcpy(name, variable, (size_t)(eq - variable));
	name[eq - variable] = 0;
	vcr_redact_learn_env(r->redact, name, eq + 1);
}

static void learn_environment(struct vcr_recorder *r, char **env)
{
	for (; env && *env; env++)
		learn_variable(r, *env);
}

void vcr_recorder_learn_variables(struct vcr_recorder *r, const struct vcr_spool_event *ev, const char *p)
{
	const char *end = ev->payload + ev->size;
	for (; p >= ev->payload && p < end && memchr(p, 0, (size_t)(end - p)); p += strlen(p) + 1)
		learn_variable(r, p);
}

void vcr_recorder_learn_start(struct vcr_recorder *r, char **environ)
{
	static const char *const names[] = { ".env", ".env.local", ".env.development", ".env.production", ".env.test" };
	learn_environment(r, environ);
	for (size_t i = 0; i < sizeof names / sizeof *names && !r->source; i++)
		vcr_recorder_learn_file(r, names[i]);
}

static int learnt_path(const struct vcr_recorder *r, struct vcr_buf *path)
{
	int err = vcr_paths_runtime_dir(path, NULL);
	return err ? err : vcr_buf_printf(path, "/%s.learnt", r->session_id);
}

void vcr_recorder_learn_on(struct vcr_recorder *r)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	if (!learnt_path(r, &path))
		vcr_redact_keep(r->redact, path.data);
}

void vcr_recorder_learn_end(struct vcr_recorder *r)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	if (!learnt_path(r, &path))
		unlink(path.data);
}

/* From everything first: an answer may repeat what only a later header field shows. What a model says teaches nothing, what a login answers does. */
void vcr_recorder_learn_call(struct vcr_recorder *r, const struct vcr_call *c)
{
	vcr_redact_learn_request(r->redact, c->req_field, c->nreq_field, c->target, c->req_body, c->nreq_body);
	for (size_t i = 0; i < c->nres_field; i++)
		vcr_redact_learn_field(r->redact, c->res_field[i].name, c->res_field[i].value);
	if (!vcr_recorder_is_model_call(c))
		vcr_redact_learn_json(r->redact, c->res_body, c->nres_body);
}
