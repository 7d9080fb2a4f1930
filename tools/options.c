#include "options.h"
#include "config.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_OPTIONS = 32, HELP_COLUMN = 28 };

struct parse {
	struct vcr_tool *t;
	const struct vcr_usage *u;
	struct vcr_opt opt[MOST_OPTIONS]; /* the verb's and the common ones */
	int nopt;
	bool help, version;
	char **argv;
	int argc, at;
};

static void gather(struct parse *p)
{
	const struct vcr_opt common[] = {
		{ 0, "json", NULL, VCR_OPT_FLAG, &p->t->json, "one JSON object a line, with stable keys" },
		{ 'q', "quiet", NULL, VCR_OPT_FLAG, &p->t->quiet, "say nothing but errors" },
		{ 'v', "verbose", NULL, VCR_OPT_COUNT, &p->t->verbose, "say more; may be given twice" },
		{ 0, "color", "WHEN", VCR_OPT_STRING, &p->t->color, "auto, always or never; NO_COLOR is honoured" },
		{ 'h', "help", NULL, VCR_OPT_FLAG, &p->help, "print this and exit" },
		{ 0, "version", NULL, VCR_OPT_FLAG, &p->version, "print the version and exit" },
	};
	for (const struct vcr_opt *o = p->u->opts; o && o->kind != VCR_OPT_END && p->nopt < MOST_OPTIONS; o++)
		p->opt[p->nopt++] = *o;
	for (size_t i = 0; i < sizeof common / sizeof *common && p->nopt < MOST_OPTIONS; i++)
		p->opt[p->nopt++] = common[i];
}

static void print_option(const struct vcr_opt *o)
{
	char left[80];
	bool maybe = o->kind == VCR_OPT_MAYBE;
	snprintf(left, sizeof left, "  %c%c%s --%s%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
		o->arg ? maybe ? "[=" : "=" : "", o->arg ? o->arg : "", maybe ? "]" : "");
	if (strlen(left) < HELP_COLUMN - 1)
		printf("%-*s%s\n", HELP_COLUMN, left, o->help);
	else
		printf("%s\n%*s%s\n", left, HELP_COLUMN, "", o->help);
}

static void print_help(const struct parse *p)
{
	const struct vcr_tool *t = p->t;
	printf("usage: vcr%s%s [options]%s%s\n%s\n\n", t->verb ? "-" : "", t->verb ? t->verb : "", *p->u->operands ? " " : "", p->u->operands, p->u->about);
	for (int i = 0; i < p->nopt; i++)
		print_option(&p->opt[i]);
	if (t->verb)
		printf("\nThe manual: vcr help %s\n", t->verb);
}

static int set_number(struct parse *p, const struct vcr_opt *o, const char *value)
{
	char *end;
	errno = 0;
	long long v = strtoll(value, &end, 10);
	if (errno || *end || end == value || v < 0)
		return vcr_wrong_call(p->t, "--%s wants a number that is not negative, not '%s'", o->name, value);
	*(int64_t *)o->to = v;
	return 0;
}

static int add_to_list(struct parse *p, struct vcr_opt_list *l, const char *value)
{
	const char **more = realloc(l->item, ((size_t)l->n + 2) * sizeof *more);
	if (!more) {
		vcr_say(p->t, "out of memory");
		return VCR_EXIT_FAILED;
	}
	l->item = more;
	l->item[l->n++] = value;
	l->item[l->n] = NULL;
	return 0;
}

/* Store one option; value is NULL for flags. Returns 0 or an exit status. */
static int store(struct parse *p, const struct vcr_opt *o, const char *value)
{
	switch (o->kind) {
	case VCR_OPT_FLAG:
		*(bool *)o->to = true;
		return 0;
	case VCR_OPT_COUNT:
		++*(int *)o->to;
		return 0;
	case VCR_OPT_MAYBE:
		*(const char **)o->to = value ? value : "";
		return 0;
	case VCR_OPT_STRING:
		*(const char **)o->to = value;
		return 0;
	case VCR_OPT_NUMBER:
		return set_number(p, o, value);
	case VCR_OPT_LIST:
		return add_to_list(p, o->to, value);
	case VCR_OPT_END:
		break;
	}
	return VCR_EXIT_USAGE;
}

/* The value of an option that takes one: what is attached to it, else the next argument. */
static const char *value_of(struct parse *p, const char *attached)
{
	if (attached)
		return attached;
	return p->at < p->argc ? p->argv[p->at++] : NULL;
}

static int unknown_long(struct parse *p, const char *name, size_t n)
{
	char word[40];
	const char *best = NULL;
	unsigned least = 3;
	snprintf(word, sizeof word, "%.*s", (int)n, name);
	for (int i = 0; i < p->nopt; i++) {
		unsigned d = vcr_distance(word, p->opt[i].name);
		if (d < least) {
			least = d;
			best = p->opt[i].name;
		}
	}
	return best ? vcr_wrong_call(p->t, "unknown option --%s; did you mean --%s?", word, best) : vcr_wrong_call(p->t, "unknown option --%s", word);
}

static int parse_long(struct parse *p, const char *arg)
{
	const char *eq = strchr(arg, '='), *value = NULL;
	size_t n = eq ? (size_t)(eq - arg) : strlen(arg);
	for (int i = 0; i < p->nopt; i++) {
		const struct vcr_opt *o = &p->opt[i];
		if (strlen(o->name) != n || memcmp(o->name, arg, n))
			continue;
		if (!o->arg && eq)
			return vcr_wrong_call(p->t, "--%s takes no value", o->name);
		if (o->kind == VCR_OPT_MAYBE)
			return store(p, o, eq ? eq + 1 : NULL);
		if (o->arg && !(value = value_of(p, eq ? eq + 1 : NULL)))
			return vcr_wrong_call(p->t, "--%s wants a value: --%s=%s", o->name, o->name, o->arg);
		return store(p, o, value);
	}
	return unknown_long(p, arg, n);
}

static int parse_short(struct parse *p, const char *letters)
{
	for (; *letters; letters++) {
		const struct vcr_opt *o = NULL;
		for (int i = 0; i < p->nopt && !o; i++)
			if (p->opt[i].letter == *letters)
				o = &p->opt[i];
		if (!o)
			return vcr_wrong_call(p->t, "unknown option -%c", *letters);
		const char *value = o->arg ? value_of(p, letters[1] ? letters + 1 : NULL) : NULL;
		if (o->arg && !value)
			return vcr_wrong_call(p->t, "-%c wants a value: -%c %s", *letters, *letters, o->arg);
		int status = store(p, o, value);
		if (status || value)
			return status;
	}
	return 0;
}

static int decide_color(struct vcr_tool *t)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
	const char *when = t->color ? t->color : "auto";
	if (!strcmp(when, "always"))
		t->paint = true;
	else if (!strcmp(when, "never"))
		t->paint = false;
	else if (!strcmp(when, "auto"))
		t->paint = isatty(1) && (!no || !*no) && term && strcmp(term, "dumb");
	else
		return vcr_wrong_call(t, "--color wants auto, always or never, not '%s'", when);
	return 0;
}

/* All arguments; operands are collected at argv[0..*n). Returns 0 or an exit status. */
static int parse_all(struct parse *p, int *n)
{
	bool options = true;
	int status = 0;
	p->at = 1;
	while (p->at < p->argc && !status) {
		char *arg = p->argv[p->at++];
		if (options && !strcmp(arg, "--"))
			options = false;
		else if (options && arg[0] == '-' && arg[1] == '-')
			status = parse_long(p, arg + 2);
		else if (options && arg[0] == '-' && arg[1])
			status = parse_short(p, arg + 1);
		else {
			p->argv[(*n)++] = arg;
			options = options && !p->u->stop_early;
		}
	}
	p->argv[*n] = NULL;
	return status;
}

int vcr_options_parse(struct vcr_tool *t, const struct vcr_usage *u, int argc, char **argv, int *status)
{
	struct parse p = { .t = t, .u = u, .argc = argc, .argv = argv };
	int n = 0;
	gather(&p);
	*status = parse_all(&p, &n);
	if (*status || (*status = decide_color(t)))
		return -1;
	if (p.help)
		print_help(&p);
	else if (p.version)
		printf("vcr %s\n", PACKAGE_VERSION);
	return p.help || p.version ? -1 : n;
}

void vcr_opt_list_release(struct vcr_opt_list *l)
{
	free(l->item);
	*l = (struct vcr_opt_list){ 0 };
}

int vcr_split_command(int argc, char **argv, char ***command)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--")) {
			*command = argv + i + 1;
			argv[i] = NULL;
			return i;
		}
	return argc;
}
