#include "sentinel-conf.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_LINE = 1000 };

struct conf { struct vcr_policy policy; struct vcr_excludes excludes; bool has_rules; };

static int take(struct conf *c, const char *key, const char *value, struct vcr_error *why)
{
	if (!strcmp(key, "exclude"))
		return vcr_excludes_add(&c->excludes, value, why);
	bool first = !c->has_rules;
	c->has_rules = true;
	if (!strcmp(key, "rule"))
		return vcr_policy_set(&c->policy, value, why);
	if (strcmp(key, "preset"))
		return vcr_error_set(why, VCR_ESYNTAX, "'%s' is no setting; there are preset, rule and exclude", key);
	if (!first)
		return vcr_error_set(why, VCR_ESYNTAX, "preset must stand before any rule");
	if (vcr_policy_preset(value, &c->policy))
		return vcr_error_set(why, VCR_ENOTFOUND, "there is no preset '%s'; there are default and agent-vcr", value);
	return 0;
}

static int take_line(struct conf *c, char *line, struct vcr_error *why)
{
	char key[32], value[MOST_LINE];
	char *at = line + strspn(line, " \t");
	if (!*at || *at == '#')
		return 0;
	if (sscanf(at, "%31s %999[^\n]", key, value) != 2)
		return vcr_error_set(why, VCR_ESYNTAX, "a line has a setting and a value");
	for (size_t k = strlen(value); k && strchr(" \t", value[k - 1]); k--)
		value[k - 1] = 0;
	return take(c, key, value, why);
}

int vcr_sentinel_conf_load(const char *path, struct vcr_policy *p, struct vcr_excludes *x, struct vcr_error *e)
{
	struct conf read = { .policy = *p };
	struct stat st;
	char line[MOST_LINE];
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
			err = vcr_error_set(&why, VCR_ELIMIT, "the line is longer than %d bytes", MOST_LINE - 2);
		line[strcspn(line, "\r\n")] = 0;
		if (err || (err = take_line(&read, line, &why)))
			vcr_error_set(e, err, "%s:%d: %.400s", path, n, why.what);
	}
	fclose(f);
	if (err) {
		vcr_excludes_release(&read.excludes);
		return err;
	}
	*p = read.policy;
	vcr_excludes_release(x);
	*x = read.excludes;
	return 0;
}
