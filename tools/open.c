#include "open.h"
#include "control.h"
#include "paths.h"
#include <stdlib.h>
#include <string.h>

void vcr_tool_settle(const char *vcr_dir)
{
	char *real = realpath(vcr_dir, NULL); /* spools name it so */
	vcr_control_settle(real ? real : vcr_dir, VCR_SETTLE_MS);
	free(real);
}

static void settle_around(const char *path)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	const char *slash = strrchr(path, '/');
	if (slash)
		vcr_buf_add(&dir, path, slash > path ? (size_t)(slash - path) : 1);
	vcr_tool_settle(slash ? dir.data : ".");
}

int vcr_tool_find(const struct vcr_tool *t, const char *session, struct vcr_buf *path)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	if (session && strchr(session, '/'))
		settle_around(session);
	else if (!vcr_tool_dir(t, &dir, &e))
		vcr_tool_settle(dir.data);
	if (e.code || (!dir.len && vcr_tool_dir(t, &dir, &e)) || vcr_paths_find_session(dir.data, session, path, &e))
		return vcr_failed(t, &e);
	return 0;
}

static void warn(void *ctx, const char *path, int64_t line, const char *what)
{
	const struct vcr_tool *t = ctx;
	if (!t->quiet)
		vcr_say(t, "%s:%lld: %s", path, (long long)line, what);
}

int vcr_tool_open(const struct vcr_tool *t, const char *path, struct vcr_reader **r)
{
	struct vcr_error e = { 0 };
	return vcr_reader_open(r, path, warn, (void *)t, &e) ? vcr_failed(t, &e) : 0;
}

int vcr_tool_open_session(const struct vcr_tool *t, const char *session, struct vcr_reader **r, struct vcr_buf *path)
{
	int status = vcr_tool_find(t, session, path);
	return status ? status : vcr_tool_open(t, path->data, r);
}

void vcr_tool_close(struct vcr_reader **r)
{
	vcr_reader_free(*r);
	*r = NULL;
}
