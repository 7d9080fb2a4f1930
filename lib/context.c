#include "context.h"
#include "paths.h"
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_line(void *context, const struct vcr_json *j, int data, int64_t line)
{
	struct vcr_context *c = context;
	const struct { const char *key; char **to; } member[] = { { "cwd", &c->cwd }, { "workspace", &c->workspace }, { "home", &c->home }, { "tmp", &c->tmp } };
	for (size_t i = 0; i < sizeof member / sizeof *member; i++) {
		char *s = vcr_json_strdup(j, vcr_json_get(j, data, member[i].key));
		if (s && *s == '/' && strlen(s) < PATH_MAX)
			*member[i].to = s;
		else
			free(s);
	}
	return 1; /* the first counts */
}

int vcr_context_recorded(struct vcr_context *c, struct vcr_reader *r, struct vcr_error *e)
{
	*c = (struct vcr_context){ 0 };
	int err = vcr_reader_each(r, "vcr.context", read_line, c, e);
	return err < 0 ? err : 0;
}

static char *directory(const char *s)
{
	size_t n = s && *s == '/' ? strlen(s) : 0;
	while (n > 1 && s[n - 1] == '/')
		n--;
	return n ? strndup(s, n) : NULL;
}

void vcr_context_here(struct vcr_context *c)
{
	char cwd[PATH_MAX];
	VCR_AUTO_BUF workspace = VCR_BUF_INIT;
	const char *tmp = getenv("TMPDIR");
	*c = (struct vcr_context){ 0 };
	if (getcwd(cwd, sizeof cwd)) {
		c->cwd = directory(cwd);
		if (!vcr_paths_workspace(cwd, &workspace, NULL))
			c->workspace = directory(workspace.data);
	}
	c->home = directory(getenv("HOME"));
	c->tmp = directory(tmp && *tmp ? tmp : "/tmp");
}

struct vcr_normal_context vcr_context_normal(const struct vcr_context *c)
{
	return (struct vcr_normal_context){ .cwd = c->cwd, .workspace = c->workspace, .home = c->home, .tmp = c->tmp };
}

void vcr_context_release(struct vcr_context *c)
{
	free(c->cwd);
	free(c->workspace);
	free(c->home);
	free(c->tmp);
	*c = (struct vcr_context){ 0 };
}
