/* A letter (the language: a is the first one of grammar.h), a text, '\1', the text as it is later. Whatever they hold, figures stay within the text, all that is
 * measured after the edit, and after it was undone, is what is measured anew, and judging them ends. A language without a grammar here is another one that has one;
 * VCR_FUZZ_LANGUAGE is the only one. */
#include "fuzz.h"
#include "../unit/metrics.h"

static void check(const struct vcr_metrics *m, size_t n)
{
	FUZZ_CHECK(m->lines <= n + 1);
	for (size_t i = 0; i < m->nfunction; i++) {
		const struct vcr_function *f = &m->function[i];
		FUZZ_CHECK(f->start_line >= 1 && f->start_line <= f->end_line && f->end_line <= m->lines + 1);
		FUZZ_CHECK(f->end_byte <= n && f->start_byte <= f->end_byte && f->length == f->end_line - f->start_line + 1);
		FUZZ_CHECK(f->cyclomatic >= 1 && f->first_token <= f->last_token && f->last_token <= m->ntoken);
		FUZZ_CHECK(f->parent < (int)i && f->in_class < (int)m->nclass);
	}
	for (size_t i = 0; i < m->nmark; i++)
		FUZZ_CHECK(m->mark[i].start_line <= m->mark[i].end_line && m->mark[i].function < (int)m->nfunction);
}

/* false: no grammar at all. */
static bool choose(unsigned byte, int *language)
{
	const struct TSLanguage *grammar;
	const char *only = getenv("VCR_FUZZ_LANGUAGE");
	if (only)
		byte = (unsigned)*only;
	for (int i = 0; i < VCR_LANG_COUNT; i++) {
		*language = (int)((byte + VCR_LANG_COUNT * 20 - 'a' + (unsigned)i) % VCR_LANG_COUNT);
		if (!vcr_grammar_load(*language, &grammar, NULL))
			return true;
	}
	return false;
}

/* What is said of it after what stood there before, which must be what is said of it alone. */
static bool measure_both(struct vcr_measure *m, struct vcr_measure *fresh, struct vcr_tracked **t, int language, const char *p, size_t n, struct vcr_metrics *out)
{
	struct vcr_metrics whole;
	int err = vcr_measure_tracked(m, t, language, p, n, out, NULL), alone = vcr_measure(fresh, language, p, n, &whole, NULL);
	if (err || alone)
		return false;
	const char *differs = metrics_differ(out, &whole);
	if (differs)
		fprintf(stderr, "after an edit %s is not that of the whole\n", differs);
	FUZZ_CHECK(!differs);
	check(out, n);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = fuzz_in(data, size);
	int language;
	unsigned which = fuzz_byte(&in);
	struct vcr_policy policy;
	VCR_AUTO_FINDINGS found = VCR_FINDINGS_INIT;
	if (!choose(which, &language))
		return 0;
	VCR_AUTO_BUF first = fuzz_until(&in, 1);
	char *a = fuzz_exact(first.data, first.len), *b = fuzz_exact(in.p, in.n);
	struct vcr_measure *m = vcr_measure_new(), *fresh = vcr_measure_new();
	struct vcr_tracked *t = NULL;
	struct vcr_metrics before, after, whole;
	FUZZ_CHECK(m && fresh && !vcr_policy_preset("default", &policy));
	vcr_source_unfit("a.py", a, first.len);
	if (measure_both(m, fresh, &t, language, a, first.len, &before))
		FUZZ_CHECK(!vcr_sentinel_judge(&policy, "a.py", a, first.len, &before, &found));
	if (measure_both(m, fresh, &t, language, b, in.n, &after) && !vcr_measure(fresh, language, a, first.len, &whole, NULL))
		FUZZ_CHECK(!vcr_sentinel_judge_change(&policy, "test_a.py", b, in.n, &whole, &after, &found));
	measure_both(m, fresh, &t, language, a, first.len, &before); /* it is undone */
	vcr_findings_sort(&found);
	vcr_tracked_free(t);
	vcr_measure_free(m);
	vcr_measure_free(fresh);
	free(a);
	free(b);
	return 0;
}
