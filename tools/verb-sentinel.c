/* vcr sentinel — judge code: its commands; scan, rules, explain. */
#include "config.h"
#include "json.h"
#include "judging.h"
#include "paths.h"
#include "sentinel-allow.h"
#include "sentinel-baseline.h"
#include "sentinel-cache.h"
#include "verbs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct progress { const struct vcr_judging *j; struct timespec began; bool shown; };

static void show_progress(void *ctx, size_t done, size_t all)
{
	struct progress *p = ctx;
	struct timespec now;
	if (done % 64 && done != all)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec - p->began.tv_sec < 2 && !p->shown)
		return;
	p->shown = true;
	fprintf(stderr, "\r%zu of %zu files%s", done, all, done == all ? "\r\033[K" : "");
}

static bool excluded(void *ctx, const char *path)
{
	return vcr_judging_excluded(((struct progress *)ctx)->j, path);
}

static void say_absent(const struct vcr_judging *j, unsigned absent)
{
	for (int i = 0; i < VCR_LANG_COUNT; i++)
		if (absent >> i & 1) {
			struct vcr_error e = { 0 };
			const struct TSLanguage *grammar;
			if (vcr_grammar_load(i, &grammar, &e))
				vcr_say(j->t, "%s files are not measured: %s", vcr_language_name(i), e.what);
		}
}

static uint64_t hash(uint64_t h, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const unsigned char *)p)[i]) * 1099511628211u;
	return h;
}

/* Of this program, these grammars, this policy. */
static uint64_t cache_key(const struct vcr_judging *j)
{
	uint64_t h = hash(vcr_grammar_stamp(), PACKAGE_VERSION, sizeof PACKAGE_VERSION);
	struct stat st;
	if (!stat("/proc/self/exe", &st)) /* a build of one version is not like the next */
		h = hash(hash(h, &st.st_mtim, sizeof st.st_mtim), &st.st_size, sizeof st.st_size);
	return hash(hash(h, j->policy.rule, sizeof j->policy.rule), &j->all, sizeof j->all);
}

/* One for each place and what was asked for there: $XDG_CACHE_HOME/vcr/sentinel/…; "" if there cannot be one. */
static void cache_path(const struct vcr_judging *j, int n, char **paths, struct vcr_buf *out)
{
	char *here = realpath(".", NULL);
	uint64_t h = hash(hash(14695981039346656037u, here ? here : "", here ? strlen(here) : 0), j->policy.rule, sizeof j->policy.rule);
	for (int i = 0; i < n; i++)
		h = hash(h, paths[i], strlen(paths[i]) + 1);
	free(here);
	if (!j->no_cache && !vcr_paths_cache_dir("sentinel", true, out, NULL))
		vcr_buf_printf(out, "/%016llx%s", (unsigned long long)h, j->all ? "-all" : "");
}

/* keep: what is found is the baseline. */
static int scan(struct vcr_judging *j, int n, char **paths, bool keep)
{
	struct progress p = { .j = j };
	struct vcr_scan_options o = { .policy = &j->policy, .jobs = (unsigned)(j->jobs < 256 ? j->jobs : 256), .keep_unfit = j->all, .ctx = &p,
		.excluded = j->excludes.n ? excluded : NULL };
	struct vcr_scanned s;
	struct vcr_error e = { 0 };
	VCR_AUTO_FINDINGS all = VCR_FINDINGS_INIT;
	clock_gettime(CLOCK_MONOTONIC, &p.began);
	if (vcr_foreground(STDERR_FILENO) && !j->t->quiet)
		o.progress = show_progress;
	VCR_AUTO_BUF kept = VCR_BUF_INIT;
	uint64_t key = cache_key(j);
	cache_path(j, n, paths, &kept);
	if (kept.len)
		o.cache = vcr_scan_cache_open(kept.data, key);
	if (vcr_sentinel_scan(paths, n, &o, &s, &e)) {
		vcr_scan_cache_close(o.cache);
		vcr_failed(j->t, &e);
		return VCR_JUDGED_FAILED;
	}
	if (o.cache && !s.is_known && vcr_scan_cache_write(kept.data, key, &s, &e) && j->t->verbose)
		vcr_say(j->t, "what was found is not kept for the next time: %s", e.what);
	int err = 0;
	for (size_t i = 0; i <= s.n && !err; i++) {
		const struct vcr_findings *f = i < s.n ? &s.file[i].findings : &s.across;
		for (size_t k = 0; k < f->n && !err; k++)
			err = vcr_findings_add(&all, &f->item[k]);
	}
	vcr_allow_settle(&all);
	int status = VCR_JUDGED_FAILED;
	if (keep && s.measured)
		status = vcr_judging_keep(j, &s, &all);
	else if (!keep)
		vcr_judging_drop_known(j, &all);
	if (!keep && !vcr_judging_tell_others(j, &s, &all))
		vcr_judging_tell_scan(j, &s, &all);
	say_absent(j, s.absent);
	if (!keep)
		status = vcr_judged_status(vcr_findings_worst(&all));
	if (!s.measured) {
		vcr_say(j->t, s.n ? "nothing was measured: each of %zu files was skipped" : "nothing was measured: there are no source files", s.n);
		status = VCR_JUDGED_FAILED;
	}
	vcr_scanned_release(&s);
	vcr_scan_cache_close(o.cache);
	return err ? VCR_JUDGED_FAILED : status;
}

static void steps(const struct vcr_policy *p, int rule, struct vcr_buf *out)
{
	const struct vcr_rule *r = vcr_sentinel_rule((enum vcr_rule_id)rule);
	for (int s = VCR_SEVERITY_INFO; s <= VCR_SEVERITY_BLOCKER; s++) {
		int64_t v = p->rule[rule].step[s];
		if (v < 0)
			continue;
		vcr_buf_puts(out, out->len ? ", " : "");
		if (*r->unit || v)
			vcr_buf_printf(out, "%s above %lld%s%s", vcr_severity_name((enum vcr_severity)s), (long long)v, *r->unit && *r->unit != '%' ? " " : "", r->unit);
		else
			vcr_buf_puts(out, vcr_severity_name((enum vcr_severity)s));
	}
	if (!out->len)
		vcr_buf_puts(out, "off");
}

static int rules(struct vcr_judging *j)
{
	for (int i = 0; i < VCR_RULE_COUNT; i++) {
		const struct vcr_rule *r = vcr_sentinel_rule((enum vcr_rule_id)i);
		VCR_AUTO_BUF b = VCR_BUF_INIT, json = VCR_BUF_INIT;
		if (!j->t->json) {
			steps(&j->policy, i, &b);
			printf("%s%-19s%s %s (%s)\n", vcr_on(j->t, VCR_BOLD), r->id, vcr_on(j->t, VCR_PLAIN), r->line, b.data);
			continue;
		}
		struct vcr_jw w;
		vcr_jw_init(&w, &json);
		vcr_jw_object(&w);
		vcr_jw_key(&w, "rule");
		vcr_jw_str(&w, r->id);
		vcr_jw_key(&w, "about");
		vcr_jw_str(&w, r->line);
		for (int s = VCR_SEVERITY_INFO; s <= VCR_SEVERITY_BLOCKER; s++) {
			vcr_jw_key(&w, vcr_severity_name((enum vcr_severity)s));
			if (j->policy.rule[i].step[s] >= 0)
				vcr_jw_int(&w, j->policy.rule[i].step[s]);
			else
				vcr_jw_null(&w);
		}
		vcr_jw_object_end(&w);
		printf("%s\n", json.data);
	}
	return VCR_JUDGED_CLEAN;
}

static int explain(struct vcr_judging *j, const char *id)
{
	int i = vcr_sentinel_rule_named(id);
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	if (i < 0) {
		vcr_wrong_call(j->t, "there is no rule '%s'; vcr-sentinel rules lists them", id);
		return VCR_JUDGED_USAGE;
	}
	const struct vcr_rule *r = vcr_sentinel_rule((enum vcr_rule_id)i);
	steps(&j->policy, i, &b);
	printf("%s: %s\n\n%s\n\n%s: %s\n", r->id, r->line, r->explained, j->policy.name, b.data);
	return VCR_JUDGED_CLEAN;
}

static int policy(struct vcr_judging *j)
{
	struct vcr_error e = { 0 };
	vcr_policy_preset("default", &j->policy);
	if (!vcr_judging_options(j, &e))
		return 0;
	vcr_wrong_call(j->t, "%s", e.what);
	return VCR_JUDGED_USAGE;
}

static int command(struct vcr_judging *j, int n, char **argv)
{
	static char here[] = ".", *const there[] = { here };
	struct vcr_error e = { 0 };
	bool scans = n && (!strcmp(argv[0], "scan") || !strcmp(argv[0], "baseline") || !strcmp(argv[0], "watch")), reads = scans || (n && (!strcmp(argv[0], "rules") || !strcmp(argv[0], "explain")));
	if (reads && (vcr_judging_expect_at(j, n > 1 && scans ? argv[1] : here, &e) || (scans && *argv[0] != 'b' && vcr_judging_load_baseline(j, j->dir, &e)))) {
		vcr_failed(j->t, &e);
		return VCR_JUDGED_FAILED;
	}
	if (!n)
		vcr_wrong_call(j->t, "what is to be done? scan [PATH...], check [SESSION], diff REV..REV, watch [DIR], baseline [DIR], rules, or explain RULE");
	else if (!strcmp(argv[0], "scan"))
		return scan(j, n > 1 ? n - 1 : 1, n > 1 ? argv + 1 : (char **)there, false);
	else if (!strcmp(argv[0], "baseline") && n <= 2)
		return scan(j, 1, n > 1 ? argv + 1 : (char **)there, true);
	else if (!strcmp(argv[0], "watch") && n <= 2)
		return vcr_judging_watch(j, n > 1 ? argv[1] : here);
	else if (!strcmp(argv[0], "check") && n <= 2)
		return vcr_judging_check(j, n == 2 ? argv[1] : NULL);
	else if (!strcmp(argv[0], "diff") && n == 2)
		return vcr_judging_diff(j, argv[1]);
	else if (!strcmp(argv[0], "judge") && n == 1)
		return vcr_judging_serve(j);
	else if (!strcmp(argv[0], "rules") && n == 1)
		return rules(j);
	else if (!strcmp(argv[0], "explain") && n == 2)
		return explain(j, argv[1]);
	else if (!strcmp(argv[0], "explain") || !strcmp(argv[0], "rules"))
		vcr_wrong_call(j->t, !strcmp(argv[0], "rules") ? "rules takes no operand" : "explain wants the name of one rule");
	else
		vcr_wrong_call(j->t, "'%s' is no command; there are scan, check, diff, watch, baseline, rules, explain and judge", argv[0]);
	return VCR_JUDGED_USAGE;
}

int vcr_verb_sentinel(struct vcr_tool *t, int argc, char **argv)
{
	struct vcr_judging j = { .t = t };
	const struct vcr_opt opts[] = {
		{ 'p', "preset", "NAME", VCR_OPT_STRING, &j.preset, "default, or agent-vcr: the thresholds of that package" },
		{ 'r', "rule", "RULE=VALUE", VCR_OPT_LIST, &j.rules, "off, a severity, or up to three thresholds: warning,critical,blocker; may be given several times" },
		{ 'm', "metrics", NULL, VCR_OPT_FLAG, &j.metrics, "scan: the figures of each function too" },
		{ 0, "all", NULL, VCR_OPT_FLAG, &j.all, "scan: measure generated and minified files too" },
		{ 0, "sarif", NULL, VCR_OPT_FLAG, &j.sarif, "scan, check, diff: as SARIF 2.1.0" },
		{ 0, "github", NULL, VCR_OPT_FLAG, &j.github, "scan, check, diff: as annotations of a GitHub workflow" },
		{ 0, "junit", NULL, VCR_OPT_FLAG, &j.junit, "scan, check, diff: as JUnit's XML, a case for each file" },
		{ 0, "no-cache", NULL, VCR_OPT_FLAG, &j.no_cache, "scan: read files too that have not changed since the last time" },
		{ 0, "no-baseline", NULL, VCR_OPT_FLAG, &j.no_baseline, "scan, check, diff, watch: what the baseline has too" },
		{ 'J', "jobs", "N", VCR_OPT_NUMBER, &j.jobs, "scan: threads; one for each processor if not given" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "scan [PATH...] | check [SESSION] | diff REV..REV | watch [DIR] | baseline [DIR] | rules | explain RULE | judge",
		"Judge code. Exit status: 0 nothing critical, 1 something critical, 2 a blocker, 3 failure or nothing measured, 64 wrong call.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		status = status == VCR_EXIT_USAGE ? VCR_JUDGED_USAGE : status;
	else if (j.sarif + j.github + j.junit + t->json > 1) {
		vcr_wrong_call(t, "one of --json, --sarif, --github and --junit");
		status = VCR_JUDGED_USAGE;
	} else if (!(status = policy(&j)))
		status = command(&j, n, argv);
	vcr_excludes_release(&j.excludes);
	vcr_baseline_free(j.baseline);
	free(j.top);
	free(j.dir);
	vcr_opt_list_release(&j.rules);
	return status;
}
