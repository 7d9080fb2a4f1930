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

int vcr_settings_read(const char *path, vcr_setting_fn *take, void *ctx, struct vcr_error *e)
{
	char line[4096];
	struct stat st;
	int err = 0, fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : vcr_error_sys(e, errno, "%s", path);
	FILE *f = !fstat(fd, &st) && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
	if (!f) {
		close(fd);
		return vcr_error_set(e, VCR_EINVAL, "%s: not a regular file", path);
	}
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
