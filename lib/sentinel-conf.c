#include "sentinel-conf.h"
#include "settings.h"
#include <string.h>

struct conf { struct vcr_policy policy; struct vcr_excludes excludes; bool has_rules; };

static int take(void *ctx, const char *key, const char *value, struct vcr_error *why)
{
	struct conf *c = ctx;
	if (!value)
		return vcr_error_set(why, VCR_ESYNTAX, "a line has a setting and a value");
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

static int settle(int err, struct conf *read, struct vcr_policy *p, struct vcr_excludes *x)
{
	if (err) {
		vcr_excludes_release(&read->excludes);
		return err;
	}
	*p = read->policy;
	vcr_excludes_release(x);
	*x = read->excludes;
	return 0;
}

int vcr_sentinel_conf_load(const char *path, struct vcr_policy *p, struct vcr_excludes *x, struct vcr_error *e)
{
	struct conf read = { .policy = *p };
	return settle(vcr_settings_read(path, take, &read, e), &read, p, x);
}

int vcr_sentinel_conf_of(const char *path, const char *text, size_t n, struct vcr_policy *p, struct vcr_excludes *x, struct vcr_error *e)
{
	struct conf read = { .policy = *p };
	return settle(vcr_settings_of(path, text, n, take, &read, e), &read, p, x);
}
