#include "config.h"
#include "normal-user.h"
#include "settings.h"
#include "usage.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LIMIT = 1 << 24 };

static int add_word(char ***list, const char *s, size_t n)
{
	size_t count = 0;
	while (*list && (*list)[count])
		count++;
	char **grown = realloc(*list, (count + 2) * sizeof **list), *copy = strndup(s, n);
	if (grown)
		*list = grown;
	if (!grown || !copy) {
		free(copy);
		return VCR_ENOMEM;
	}
	grown[count] = copy;
	grown[count + 1] = NULL;
	return 0;
}

static int set_word(char **word, const char *s)
{
	free(*word);
	return (*word = strdup(s)) ? 0 : VCR_ENOMEM;
}

int vcr_config_burst(const char *value, int *out)
{
	char *end;
	long n = strtol(value, &end, 10);
	if (!strcmp(value, "off"))
		n = 0;
	else if (*value < '0' || *value > '9' || *end || n < 1 || n > 1000000000)
		return VCR_ESYNTAX;
	*out = (int)n;
	return 0;
}

/* From 1 on; more than MOST_LIMIT nobody has the memory for. */
static int set_limit(const char *value, int *out)
{
	int n = 0;
	if (vcr_config_burst(value, &n) || n < 1 || n > MOST_LIMIT)
		return VCR_ESYNTAX;
	*out = n;
	return 0;
}

static int add_normaliser(struct vcr_config *c, const char *value, struct vcr_error *why)
{
	int err = vcr_normal_user_check(value, why);
	return err ? err : add_word(&c->normalisers, value, strlen(value));
}

/* VCR_ESYNTAX: that is no setting; other errors have their words in why. */
static int take_setting(struct vcr_config *c, const char *key, const char *value, struct vcr_error *why)
{
	if (!strcmp(key, "normaliser"))
		return add_normaliser(c, value, why);
	if (!strcmp(key, "model-host"))
		return add_word(&c->model_hosts, value, strlen(value));
	if (!strcmp(key, "ignore"))
		return add_word(&c->ignore, value, strlen(value));
	if (!strcmp(key, "connect-to"))
		return add_word(&c->connect_to, value, strlen(value));
	if (!strcmp(key, "prices"))
		return set_word(&c->prices, value);
	if (!strcmp(key, "cacert"))
		return set_word(&c->cacert, value);
	if (!strcmp(key, "lane") && (!strcmp(value, "tap") || !strcmp(value, "gate") || !strcmp(value, "auto")))
		return set_word(&c->lane, value);
	if (!strcmp(key, "quota"))
		return (c->quota = vcr_usage_parse(value)) > 0 ? 0 : (c->quota = 0, VCR_ESYNTAX);
	if (!strcmp(key, "burst"))
		return vcr_config_burst(value, &c->burst);
	if (!strcmp(key, "known-files"))
		return set_limit(value, &c->known_files);
	if (!strcmp(key, "watched-directories"))
		return set_limit(value, &c->watched_directories);
	if (!strcmp(key, "ignored") && (!strcmp(value, "keep") || !strcmp(value, "leave"))) {
		c->leave_ignored = !strcmp(value, "leave");
		return 0;
	}
	if (!strcmp(key, "capture") && (!strcmp(value, "all") || !strcmp(value, "models"))) {
		c->capture_all = !strcmp(value, "all");
		return 0;
	}
	return VCR_ESYNTAX;
}

static int take_line(void *ctx, const char *key, const char *value, struct vcr_error *why)
{
	int err = value ? take_setting(ctx, key, value, why) : VCR_ESYNTAX;
	return err != VCR_ESYNTAX ? err : vcr_error_set(why, err, "'%s' is no setting; known are model-host, ignore, ignored, prices, capture, burst, known-files, watched-directories, lane, connect-to, cacert, normaliser, quota "
		"(each with a value)", key);
}

int vcr_config_load(struct vcr_config *c, const char *vcr_dir, struct vcr_error *e)
{
	char path[4200];
	*c = (struct vcr_config){ .model_hosts = calloc(1, sizeof(char *)), .ignore = calloc(1, sizeof(char *)), .connect_to = calloc(1, sizeof(char *)), .normalisers = calloc(1, sizeof(char *)),
		.burst = VCR_CONFIG_BURST };
	if (!c->model_hosts || !c->ignore || !c->connect_to || !c->normalisers)
		return vcr_error_set(e, VCR_ENOMEM, "configuration: out of memory");
	snprintf(path, sizeof path, "%s/config", vcr_dir);
	int err = vcr_settings_read(path, take_line, c, e);
	const char *hosts = getenv("VCR_MODEL_HOSTS"), *prices = getenv("VCR_PRICES");
	while (hosts && *hosts) {
		size_t n = strcspn(hosts, ",");
		if (n)
			add_word(&c->model_hosts, hosts, n);
		hosts += n + (hosts[n] == ',');
	}
	if (prices && *prices)
		take_setting(c, "prices", prices, NULL);
	return err;
}

static void free_list(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

void vcr_config_release(struct vcr_config *c)
{
	free_list(c->model_hosts);
	free_list(c->ignore);
	free_list(c->connect_to);
	free_list(c->normalisers);
	free(c->prices);
	free(c->lane);
	free(c->cacert);
	*c = (struct vcr_config){ 0 };
}
