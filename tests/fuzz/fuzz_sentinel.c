/* A letter (the language: a is the first one of grammar.h), a text, '\1', the text as it is later. Whatever they hold, figures stay within the text, what is
 * measured after an edit is what is measured anew, and judging them ends. A language without a grammar here is another one that has one. */
#include "fuzz.h"
#include "sentinel.h"

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
	for (int i = 0; i < VCR_LANG_COUNT; i++) {
		*language = (int)((byte + VCR_LANG_COUNT * 20 - 'a' + (unsigned)i) % VCR_LANG_COUNT);
		if (!vcr_grammar_load(*language, &grammar, NULL))
			return true;
	}
	return false;
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
	struct vcr_measure *m = vcr_measure_new(), *again = vcr_measure_new();
	struct vcr_tracked *t = NULL;
	struct vcr_metrics before, after, whole;
	FUZZ_CHECK(m && again && !vcr_policy_preset("default", &policy));
	vcr_source_unfit("a.py", a, first.len);
	if (!vcr_measure_tracked(m, &t, language, a, first.len, &before, NULL)) {
		check(&before, first.len);
		FUZZ_CHECK(!vcr_sentinel_judge(&policy, "a.py", a, first.len, &before, &found));
	}
	if (!vcr_measure_tracked(m, &t, language, b, in.n, &after, NULL)) {
		check(&after, in.n);
		if (!vcr_measure(again, language, a, first.len, &whole, NULL))
			FUZZ_CHECK(!vcr_sentinel_judge_change(&policy, "test_a.py", b, in.n, &whole, &after, &found));
	}
	vcr_findings_sort(&found);
	vcr_tracked_free(t);
	vcr_measure_free(m);
	vcr_measure_free(again);
	free(a);
	free(b);
	return 0;
}
