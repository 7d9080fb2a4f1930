#include "settings.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int take_line(char *line, vcr_setting_fn *take, void *ctx, struct vcr_error *why)
{
	char key[32], value[VCR_MAX_SETTING];
	char *p = line + strspn(line, " \t\v\f");
	if (!*p || *p == '#')
		return 0;
	int words = sscanf(p, "%31s %3999[^\n]", key, value);
	for (size_t k = words == 2 ? strlen(value) : 0; k && strchr(" \t", value[k - 1]); k--)
		value[k - 1] = 0;
	return take(ctx, key, words == 2 ? value : NULL, why);
}

static int take_lines(FILE *f, const char *path, vcr_setting_fn *take, void *ctx, struct vcr_error *e)
{
	char line[4096];
	int err = 0;
	for (int n = 1; !err && fgets(line, sizeof line, f); n++) {
		struct vcr_error why = { 0 };
		if (strlen(line) == sizeof line - 1)
			err = vcr_error_set(&why, VCR_ELIMIT, "the line is longer than %zu bytes", sizeof line - 2);
		line[strcspn(line, "\r\n")] = 0;
		if (err || (err = take_line(line, take, ctx, &why)))
			vcr_error_set(e, err, "%s:%d: %.400s", path, n, why.what);
	}
	fclose(f);
	return err;
}

int vcr_settings_read(const char *path, vcr_setting_fn *take, void *ctx, struct vcr_error *e)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : vcr_error_sys(e, errno, "%s", path);
	FILE *f = !fstat(fd, &st) && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
	if (f)
		return take_lines(f, path, take, ctx, e);
	close(fd);
	return vcr_error_set(e, VCR_EINVAL, "%s: not a regular file", path);
}

int vcr_settings_of(const char *path, const char *text, size_t n, vcr_setting_fn *take, void *ctx, struct vcr_error *e)
{
	FILE *f = n ? fmemopen((void *)text, n, "r") : NULL;
	if (!n)
		return 0;
	return f ? take_lines(f, path, take, ctx, e) : vcr_error_sys(e, errno, "%s", path);
}
