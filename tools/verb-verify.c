/* vcr verify — is a session file what was recorded? */
#include "golden.h"
#include "open.h"
#include "options.h"
#include "verbs.h"
#include "verify.h"
#include <stdio.h>
#include <string.h>

static void on_fault(void *ctx, const char *path, int64_t line, const char *what)
{
	vcr_say(ctx, "%s:%lld: %s", path, (long long)line, what);
}

static const char *seal(const struct vcr_verified *v)
{
	return v->sealed ? v->ended ? "the hash of all lines holds" : "the hash holds up to its last end; it was recorded on and then cut" : v->ended ? "no hash of all lines holds"
		: "it has no end: it was cut, is being recorded, or was written by ai-agent-vcr";
}

int vcr_verify_path(const struct vcr_tool *t, const char *path, const char *name)
{
	VCR_AUTO_READER *r = NULL;
	VCR_AUTO_BUF safe = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	struct vcr_verified v;
	int status = vcr_tool_open(t, path, &r);
	if (status)
		return status;
	if (vcr_verify(r, on_fault, (void *)t, &v, &e))
		return vcr_failed(t, &e);
	int64_t damaged = vcr_reader_header(r)->warnings;
	bool good = !v.faults && !damaged;
	if (t->json) {
		VCR_AUTO_BUF b = VCR_BUF_INIT;
		struct vcr_jw w;
		vcr_jw_init(&w, &b);
		vcr_jw_object(&w);
		vcr_jw_key(&w, "session");
		vcr_jw_str(&w, name);
		const struct { const char *key; int64_t n; } numbers[] = { { "frames", v.frames }, { "bodies", v.bodies }, { "damaged_lines", damaged }, { "faults", v.faults } };
		for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
			vcr_jw_key(&w, numbers[i].key);
			vcr_jw_int(&w, numbers[i].n);
		}
		vcr_jw_key(&w, "ended");
		vcr_jw_bool(&w, v.ended);
		vcr_jw_key(&w, "sealed");
		vcr_jw_bool(&w, v.sealed > 0 && v.ended);
		vcr_jw_key(&w, "good");
		vcr_jw_bool(&w, good);
		vcr_jw_object_end(&w);
		printf("%s\n", b.data);
	} else if (!t->quiet) {
		vcr_safe_line(&safe, name, strlen(name), 0);
		printf("%s%s%s: %lld frames, %lld bodies, %lld faults; %s\n", vcr_on(t, good ? VCR_GREEN : VCR_RED), safe.data, vcr_on(t, VCR_PLAIN), (long long)v.frames,
			(long long)v.bodies, (long long)(v.faults + damaged), seal(&v));
	}
	return good ? VCR_EXIT_YES : VCR_EXIT_NO;
}

int vcr_verb_verify(struct vcr_tool *t, int argc, char **argv)
{
	const struct vcr_opt opts[] = { VCR_OPT_VCR_DIR(t), VCR_OPT_LAST };
	const struct vcr_usage u = { "[SESSION]...", "Check that sessions hold what was recorded: every frame, every body and its hash, the hash of all lines.", opts, false };
	int status, worst = 0, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		return status;
	for (int i = 0; i < (n ? n : 1); i++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		const char *name = n ? argv[i] : NULL;
		status = vcr_tool_find(t, name, &path);
		if (!status)
			status = vcr_verify_path(t, path.data, name ? name : path.data);
		worst = status > worst ? status : worst;
	}
	return worst;
}
