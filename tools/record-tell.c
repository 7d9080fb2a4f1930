#include "record-tell.h"
#include "coverage.h"
#include "judged.h"
#include "json.h"
#include <stdio.h>
#include <string.h>

static int64_t number(const struct vcr_json *j, int object, const char *key)
{
	int64_t n = 0;
	vcr_json_int(j, vcr_json_get(j, object, key), &n);
	return n;
}

static void say_losses(const struct vcr_tool *t, const struct vcr_json *j)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT, why = VCR_BUF_INIT;
	int losses = vcr_json_get(j, 0, "losses");
	for (int k = vcr_json_first(j, losses); k >= 0; k = vcr_json_next(j, k)) {
		VCR_AUTO_BUF key = VCR_BUF_INIT;
		int64_t n = 0;
		if (vcr_json_int(j, vcr_json_value(j, k), &n) && n > 0 && !vcr_json_str(j, k, &key))
			vcr_buf_printf(&line, "%s%s %lld", line.len ? ", " : "", key.data, (long long)n);
	}
	VCR_AUTO_BUF last = VCR_BUF_INIT;
	if (vcr_json_str(j, vcr_json_get(j, 0, "end_error"), &last))
		vcr_json_str(j, vcr_json_get(j, 0, "last_error"), &last);
	int notes = vcr_json_get(j, 0, "annotations");
	if (number(j, notes, "refused") > 0 && !vcr_json_str(j, vcr_json_get(j, notes, "refused_because"), &why))
		vcr_say(t, "annotations that were refused: %lld; the first: %s", (long long)number(j, notes, "refused"), why.data);
	if (line.len)
		vcr_say(t, "LOST, not in the session: %s%s%s", line.data, last.len ? "; " : "", last.data);
	else if (last.len)
		vcr_say(t, "trouble while recording: %s", last.data);
}

static void say_totals(const struct vcr_tool *t, const char *id, const struct vcr_json *j, bool goes_on)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, line = VCR_BUF_INIT, why = VCR_BUF_INIT;
	double cost = 0;
	vcr_json_str(j, vcr_json_get(j, 0, "path"), &path);
	vcr_json_double(j, vcr_json_get(j, 0, "cost_usd"), &cost);
	static const struct { const char *key, *one, *many; } list[] = {
		{ "frames", "frame", "frames" }, { "model_calls", "model call", "model calls" }, { "errors", "error", "errors" }, { "tokens", "token", "tokens" },
		{ "file_changes", "file change", "file changes" }, { "programs", "program", "programs" },
	};
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		int64_t n = number(j, 0, list[i].key);
		if (n || i < 2)
			vcr_buf_printf(&line, ", %lld %s", (long long)n, n == 1 ? list[i].one : list[i].many);
	}
	if (cost > 0)
		vcr_buf_printf(&line, ", $%.4f", cost);
	vcr_say(t, "session %s%s%s", id, goes_on ? " so far" : "", line.data);
	if (path.len)
		vcr_say(t, "%s   (vcr-log %s)", path.data, id);
	vcr_coverage_say(t, j);
	vcr_judged_say(t, j);
	if (!vcr_json_str(j, vcr_json_get(j, 0, "no_calls_because"), &why) && why.len)
		vcr_say(t, "NO MODEL CALLS were seen: %s", why.data);
	int unseen = vcr_json_get(j, 0, "unseen");
	for (int m = vcr_json_first(j, unseen); m >= 0; m = vcr_json_next(j, m)) {
		VCR_AUTO_BUF words = VCR_BUF_INIT;
		if (!vcr_json_str(j, m, &words) && strcmp(words.data, why.data))
			vcr_say(t, "not seen: %s", words.data);
	}
}

void vcr_record_tell(const struct vcr_tool *t, const char *id, const struct vcr_buf *result, bool goes_on)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (vcr_json_parse(&j, result->data, result->len, 0, NULL)) {
		vcr_say(t, "LOST: the collector left no summary; vcr-log %s shows what there is", id);
		return;
	}
	if (t->json)
		fprintf(stderr, "%s\n", result->data);
	else if (!t->quiet)
		say_totals(t, id, &j, goes_on);
	say_losses(t, &j);
}
