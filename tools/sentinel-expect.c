/* vcr sentinel — what is expected: a workspace's .vcr/sentinel.conf, and what the options say instead. */
#include "judging.h"
#include "paths.h"
#include "sentinel-conf.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int vcr_judging_options(struct vcr_judging *j, struct vcr_error *e)
{
	int err = 0;
	if (j->preset && vcr_policy_preset(j->preset, &j->policy))
		return vcr_error_set(e, VCR_ENOTFOUND, "there is no preset '%s'; there are default and agent-vcr", j->preset);
	for (int i = 0; i < j->rules.n && !err; i++)
		err = vcr_policy_set(&j->policy, j->rules.item[i], e);
	return err;
}

int vcr_judging_expect(struct vcr_judging *j, const char *conf, struct vcr_error *e)
{
	int err = vcr_sentinel_conf_load(conf, &j->policy, &j->excludes, e);
	return err ? err : vcr_judging_options(j, e);
}

int vcr_judging_expect_text(struct vcr_judging *j, const char *conf, const char *text, size_t n, struct vcr_error *e)
{
	int err = vcr_sentinel_conf_of(conf, text, n, &j->policy, &j->excludes, e);
	return err ? err : vcr_judging_options(j, e);
}

int vcr_judging_expect_at(struct vcr_judging *j, const char *path, struct vcr_error *e)
{
	VCR_AUTO_BUF conf = VCR_BUF_INIT, top = VCR_BUF_INIT;
	struct stat st;
	const char *dir = !stat(path, &st) && S_ISDIR(st.st_mode) ? path : ".";
	int err = j->t->vcr_dir ? vcr_buf_puts(&conf, j->t->vcr_dir) : vcr_paths_vcr_dir(dir, &conf, e);
	if (err || (err = vcr_paths_workspace(dir, &top, e)))
		return err;
	free(j->top);
	free(j->dir);
	j->top = strdup(top.data);
	j->dir = strdup(conf.data);
	vcr_buf_puts(&conf, "/sentinel.conf");
	return conf.err || !j->top || !j->dir ? vcr_error_set(e, VCR_ENOMEM, "no memory") : vcr_judging_expect(j, conf.data, e);
}

bool vcr_judging_excluded(const struct vcr_judging *j, const char *path)
{
	char *real = j->excludes.n && j->top ? realpath(path, NULL) : NULL;
	size_t n = real ? strlen(j->top) : 0;
	bool is = real && !strncmp(real, j->top, n) && real[n] == '/' && vcr_excluded(&j->excludes, real + n + 1);
	free(real);
	return is;
}
