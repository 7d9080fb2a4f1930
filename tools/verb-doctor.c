/* vcr doctor — beforehand: does recording work on this machine, and what will be seen of a command? */
#include "doctor.h"
#include "json.h"
#include "options.h"
#include "verbs.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void print_json(enum vcr_finding_level level, const char *what, const char *text, const char *todo)
{
	static const char *const words[] = { "fine", "less", "bad" };
	const struct { const char *key, *s; } member[] = { { "check", what }, { "level", words[level] }, { "text", text }, { "todo", todo } };
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	for (size_t i = 0; i < sizeof member / sizeof *member; i++) {
		vcr_jw_key(&w, member[i].key);
		vcr_jw_str(&w, member[i].s);
	}
	vcr_jw_object_end(&w);
	printf("%s\n", out.data);
}

void vcr_finding(struct vcr_doctor *d, enum vcr_finding_level level, const char *what, const char *todo, const char *fmt, ...)
{
	static const struct { const char *mark; enum vcr_style style; } look[] = { { "ok  ", VCR_GREEN }, { "less", VCR_YELLOW }, { "BAD ", VCR_RED } };
	VCR_AUTO_BUF raw = VCR_BUF_INIT, text = VCR_BUF_INIT;
	char line[8192];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	d->less += level == VCR_FINDING_LESS;
	d->bad += level == VCR_FINDING_BAD;
	if (d->t->json) {
		print_json(level, what, line, todo);
		return;
	}
	if (level == VCR_FINDING_FINE && d->t->quiet)
		return;
	vcr_buf_printf(&raw, "%s%s%s", line, todo ? ": " : "", todo ? todo : "");
	vcr_safe_line(&text, raw.data, raw.len, 0);
	printf("%s%s%s %-12s %s\n", vcr_on(d->t, look[level].style), look[level].mark, vcr_on(d->t, VCR_PLAIN), what, text.data);
}

int vcr_verb_doctor(struct vcr_tool *t, int argc, char **argv)
{
	struct vcr_doctor d = { .t = t };
	const struct vcr_opt opts[] = { VCR_OPT_VCR_DIR(t), VCR_OPT_LAST };
	const struct vcr_usage u = { "[[--] COMMAND [ARGUMENT]...]", "Say whether recording works here, and what would be seen of COMMAND. Exits with 1 if something is in the way.", opts, true };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		return status;
	vcr_doctor_machine(&d);
	if (n)
		vcr_doctor_program(&d, argv);
	if (!t->json && !t->quiet)
		printf("%s\n", d.bad ? "something is in the way of recording" : n && !strcmp(d.lane, "none") ? "the command's model calls would not be seen" :
			d.less ? "recording works; see what is less" : "recording works");
	return d.bad || (n && !strcmp(d.lane, "none")) ? VCR_EXIT_NO : VCR_EXIT_YES;
}
