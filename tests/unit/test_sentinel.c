/* Policies, findings, and judging a file and a change of it. */
#include "sentinel-scan.h"
#include "tap.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct vcr_measure *measure, *again;

static void make(void)
{
	measure = vcr_measure_new();
	again = vcr_measure_new();
}

static void unmake(void)
{
	vcr_measure_free(measure);
	vcr_measure_free(again);
}

/* false: the grammar is not here. */
static bool measured(struct vcr_measure *m, int language, const char *text, struct vcr_metrics *out)
{
	struct vcr_error e = { 0 };
	int err = vcr_measure(m, language, text, strlen(text), out, &e);
	ck_assert_msg(!err || err == VCR_ENOTFOUND, "%s", e.what);
	return !err;
}

static const struct vcr_function *function(const struct vcr_metrics *m, const char *name)
{
	for (size_t i = 0; i < m->nfunction; i++)
		if (!strcmp(m->function[i].qualified, name))
			return &m->function[i];
	ck_abort_msg("no function %s", name);
	return NULL;
}

START_TEST(a_policy_is_a_preset_and_what_is_set_on_it)
{
	struct vcr_policy p;
	struct vcr_error e = { 0 };
	int64_t threshold = 0;
	ck_assert_int_eq(vcr_policy_preset("nothing", &p), VCR_ENOTFOUND);
	ck_assert_int_eq(vcr_policy_preset("agent-vcr", &p), 0);
	ck_assert_int_eq(vcr_policy_severity(&p, VCR_RULE_LENGTH, 50, NULL), VCR_SEVERITY_OFF);
	ck_assert_int_eq(vcr_policy_severity(&p, VCR_RULE_LENGTH, 51, &threshold), VCR_SEVERITY_WARNING);
	ck_assert_int_eq(threshold, 50);
	ck_assert_int_eq(vcr_policy_severity(&p, VCR_RULE_LENGTH, 201, &threshold), VCR_SEVERITY_BLOCKER);
	ck_assert_int_eq(vcr_policy_set(&p, "function-length=5,-,7", &e), 0);
	ck_assert_int_eq(vcr_policy_severity(&p, VCR_RULE_LENGTH, 7, NULL), VCR_SEVERITY_WARNING);
	ck_assert_int_eq(vcr_policy_severity(&p, VCR_RULE_LENGTH, 8, NULL), VCR_SEVERITY_BLOCKER);
	ck_assert_int_eq(vcr_policy_set(&p, "function-length=off", &e), 0);
	ck_assert_int_eq(vcr_policy_severity(&p, VCR_RULE_LENGTH, 1000, NULL), VCR_SEVERITY_OFF);
	ck_assert_int_eq(vcr_policy_set(&p, "parameters=blocker", &e), 0);
	ck_assert_int_eq(vcr_policy_severity(&p, VCR_RULE_PARAMETERS, 8, NULL), VCR_SEVERITY_BLOCKER);
	ck_assert_int_eq(vcr_policy_severity(&p, VCR_RULE_PARAMETERS, 7, NULL), VCR_SEVERITY_OFF);
	const char *wrong[] = { "", "=", "function-length", "function-length=", "function-length=1,2,3,4", "function-length=x", "function-length=1,", "nothing=3" };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ck_assert_msg(vcr_policy_set(&p, wrong[i], &e) < 0, "%s", wrong[i]);
}
END_TEST

static const char python[] =
	"@decorator(1 if x else 2)\n"
	"def f(a, b=1 if x else 2, *, c, **d):\n"
	"    '''Says something.'''\n"
	"    assert a and b\n"                               /* 1 */
	"    for i in [j for j in a if j if i]:\n"           /* 1 + 3 */
	"        if i or b and c:\n"                         /* 1 + 2 */
	"            continue\n"
	"        elif c:\n"                                  /* 1 */
	"            f(1, 2)\n"
	"        else:\n"
	"            pass\n"
	"    else:\n"                                        /* 1 */
	"        return lambda q: q or 1\n"                  /* 1 */
	"    try:\n"
	"        pass\n"
	"    except A:\n"                                    /* 1 */
	"        pass\n"
	"    except B:\n"                                    /* 1 */
	"        raise\n"
	"    else:\n"                                        /* 1 */
	"        match a:\n"
	"            case 1 | 2 if c: pass\n"                 /* 1 */
	"            case x: pass\n"
	"    def g(z):\n"
	"        return 1 if z else 2\n"
	"class C(B if x else D):\n"
	"    def todo(self): raise NotImplementedError('later')\n"
	"    async def m(self): ...\n";

START_TEST(paths_of_python_are_counted_as_radon_counts_them)
{
	struct vcr_metrics m;
	if (!measured(measure, VCR_LANG_PYTHON, python, &m))
		TAP_SKIP("no grammar of it here; scripts/grammars fetches them");
	const struct vcr_function *f = function(&m, "f");
	ck_assert_uint_eq(f->cyclomatic, 16);
	ck_assert_uint_eq(f->parameters, 4);
	ck_assert_uint_eq(f->start_line, 2);
	ck_assert_uint_eq(f->end_line, 25);
	ck_assert_uint_eq(f->nesting, 2);
	ck_assert_uint_eq(function(&m, "f.g")->cyclomatic, 2);
	ck_assert(function(&m, "C.todo")->is_stub);
	ck_assert(function(&m, "C.m")->is_stub);
	ck_assert(!f->is_stub);
	ck_assert_uint_eq(m.nclass, 1);
	ck_assert_uint_eq(m.class_[0].methods, 2);
	ck_assert(!m.is_broken);
}
END_TEST

/* "Cognitive Complexity", the examples of its sections. */
START_TEST(cognitive_complexity_is_that_of_the_examples_in_its_paper)
{
	static const char java[] =
		"class A {\n"
		"  int sumOfPrimes(int max) {\n"
		"    int total = 0;\n"
		"    OUT: for (int i = 1; i <= max; ++i) {\n"        /* 1 */
		"      for (int j = 2; j < i; ++j) {\n"              /* 2 */
		"        if (i % j == 0) {\n"                        /* 3 */
		"          continue OUT;\n"                          /* 1 */
		"        }\n      }\n      total += i;\n    }\n    return total;\n  }\n" /* 7 */
		"  String getWords(int number) {\n"
		"    switch (number) {\n"                            /* 1 */
		"      case 1: return \"one\";\n      case 2: return \"a couple\";\n      default: return \"lots\";\n    }\n  }\n"
		"  void myMethod() {\n"
		"    try {\n"
		"      if (condition1) {\n"                          /* 1 */
		"        for (int i = 0; i < 10; i++) {\n"           /* 2 */
		"          while (condition2) { }\n"                 /* 3 */
		"        }\n      }\n"
		"    } catch (E1 | E2 e) {\n"                        /* 1 */
		"      if (condition2) { }\n"                        /* 2 */
		"    }\n  }\n"                                       /* 9 */
		"  void lambda() {\n"
		"    Runnable r = () -> {\n"
		"      if (condition1) { }\n"                        /* 2 */
		"    };\n  }\n"
		"  boolean chains(boolean a, boolean b, boolean c, boolean d, boolean e, boolean f) {\n"
		"    if (a && b && c || d || e && f) { return true; }\n" /* 1 + 3 */
		"    else if (a && !(b && c)) { return false; }\n"   /* 1 + 2 */
		"    else { return a; }\n"                           /* 1 */
		"  }\n}\n";
	struct vcr_metrics m;
	if (!measured(measure, VCR_LANG_JAVA, java, &m))
		TAP_SKIP("no grammar of it here; scripts/grammars fetches them");
	ck_assert_uint_eq(function(&m, "A.sumOfPrimes")->cognitive, 7);
	ck_assert_uint_eq(function(&m, "A.getWords")->cognitive, 1);
	ck_assert_uint_eq(function(&m, "A.myMethod")->cognitive, 9);
	ck_assert_uint_eq(function(&m, "A.lambda")->cognitive, 2);
	ck_assert_uint_eq(function(&m, "A.chains")->cognitive, 8);
}
END_TEST

START_TEST(each_language_has_functions_with_names_paths_and_parameters)
{
	static const struct { int language; const char *text, *name; unsigned cyclomatic, parameters, cognitive, nesting; } tries[] = {
		{ VCR_LANG_JAVASCRIPT, "const f = (a, b) => { if (a && b) { for (;;) {} } else if (b) {} else {} };\n", "f", 5, 2, 6, 2 },
		{ VCR_LANG_JAVASCRIPT, "class A { m(x) { return x ? 1 : 2; } }\n", "A.m", 2, 1, 1, 0 },
		{ VCR_LANG_TYPESCRIPT, "function f(a: number, b?: string): void { switch (a) { case 1: break; case 2: break; } }\n", "f", 3, 2, 1, 1 },
		{ VCR_LANG_TSX, "const F = (p: P) => <div>{p.x && <b/>}</div>;\n", "F", 2, 1, 1, 0 },
		{ VCR_LANG_GO, "package a\nfunc f(a, b int, c string) int { if a > 0 || b > 0 { return 1 } else if c == \"\" { return 2 }\nreturn 3 }\n", "f", 4, 3, 3, 1 },
		{ VCR_LANG_RUST, "impl S { fn f(&self, a: i32) -> i32 { match a { 1 => 2, _ => 3 } } }\n", "S.f", 2, 2, 1, 1 },
		{ VCR_LANG_C, "static int *f(void) { while (a) if (b || c) goto out; out: return 0; }\n", "f", 4, 0, 5, 2 },
		{ VCR_LANG_CPP, "int A::g(int x, const B &y) { try { for (auto i : y) x += i; } catch (...) {} return x; }\n", "A::g", 3, 2, 2, 2 },
		{ VCR_LANG_JAVA, "class A { A(int a) { if (a > 0) {} else {} } }\n", "A.A", 2, 1, 2, 1 },
		{ VCR_LANG_RUBY, "class A\n  def m(a, b = 1)\n    if a then 1 elsif b then 2 else 3 end\n  end\nend\n", "A.m", 3, 2, 3, 1 },
		{ VCR_LANG_C_SHARP, "class A { int M(int a, string b) { foreach (var x in b) { if (a > 0) return 1; } return a ?? 2; } }\n", "A.M", 4, 2, 3, 2 },
		{ VCR_LANG_PHP, "<?php function f($a, $b = 1) { foreach ($a as $x) { if ($x) {} elseif ($b) {} else {} } }\n", "f", 4, 2, 5, 2 },
		{ VCR_LANG_BASH, "f() { if a; then b; elif c; then d; else e; fi; for i in 1 2; do x; done; }\n", "f", 4, 0, 4, 1 },
	};
	struct vcr_metrics m;
	if (!measured(measure, tries[_i].language, tries[_i].text, &m))
		TAP_SKIP("no grammar of it here; scripts/grammars fetches them");
	const struct vcr_function *f = function(&m, tries[_i].name);
	ck_assert_msg(!m.is_broken, "%s", tries[_i].text);
	ck_assert_msg(f->cyclomatic == tries[_i].cyclomatic && f->parameters == tries[_i].parameters && f->cognitive == tries[_i].cognitive && f->nesting == tries[_i].nesting,
		"%s: %u paths, %u parameters, cognitive %u, nesting %u", tries[_i].text, f->cyclomatic, f->parameters, f->cognitive, f->nesting);
}
END_TEST

START_TEST(what_decides_is_counted_in_each_language_and_what_only_looks_like_it_is_not)
{
	static const struct { int language; const char *text, *name; unsigned cyclomatic, parameters, line; } tries[] = {
		{ VCR_LANG_JAVASCRIPT, "function f(a = 1, { b = 2, c: [d = 3] }) { a ||= b; c ?\?= d; }\n", "f", 6, 2, 1 },
		{ VCR_LANG_TYPESCRIPT, "class A {\n  @log()\n  f(a: number = 1, b?: string, c: B | undefined = undefined): void { let d = 1; }\n}\n", "A.f", 3, 3, 3 },
		{ VCR_LANG_GO, "package a\nfunc f(a, b, c, d int, e func(x, y int) bool, _ string) {}\n", "f", 1, 6, 2 },
		{ VCR_LANG_RUST, "fn f<T: ?Sized>(a: &T) -> R { let Some(x) = a else { return g()? }; match x { A if b => 1, B => 2, _ => 3 } }\n", "f", 6, 1, 1 },
		{ VCR_LANG_RUST, "fn f(g: impl for<'a> Fn(&'a u8)) { let x = 1; let y = m!(a => b); }\n", "f", 1, 1, 1 },
		{ VCR_LANG_RUST, "fn f() { assert!(a && b || c(1)); g(m!(|| 1, move || 2)); m![a, && b, T![||]]; m!(d[0] && !e && (f && g)); }\n", "f", 6, 0, 1 },
		{ VCR_LANG_JAVA, "class A {\n  @Override\n  @B(c = 1)\n  public List<? extends A> f(Map<?, A> a) { return a ? b : c; }\n}\n", "A.f", 2, 1, 4 },
		{ VCR_LANG_RUBY, "def f(a)\n  @b ||= a\n  @c &&= a\nend\n", "f", 3, 1, 1 },
		{ VCR_LANG_C_SHARP, "class A {\n  [B]\n  void F(int? a, params int[] b) {\n#if X && Y\n    int? c = a ? 1 : 2; c ?\?= 3;\n#endif\n  }\n}\n", "A.F", 4, 2, 3 },
		{ VCR_LANG_PHP, "<?php class A {\n  #[B]\n  public function f(?int $a, ?B $b): ?int { return $a ? 1 : 2; }\n}\n", "A.f", 2, 2, 3 },
		{ VCR_LANG_BASH, "f() { case $1 in a) b ;; c|d) e ;; *) g ;; esac; [[ $h && $i ]] && j; select k in l; do m; done; }\n", "f", 6, 0, 1 },
	};
	struct vcr_metrics m;
	if (!measured(measure, tries[_i].language, tries[_i].text, &m))
		TAP_SKIP("no grammar of it here; scripts/grammars fetches them");
	const struct vcr_function *f = function(&m, tries[_i].name);
	ck_assert_msg(!m.is_broken, "%s", tries[_i].text);
	ck_assert_msg(f->cyclomatic == tries[_i].cyclomatic && f->parameters == tries[_i].parameters && f->start_line == tries[_i].line, "%s: %u paths, %u parameters, line %u",
		tries[_i].text, f->cyclomatic, f->parameters, f->start_line);
}
END_TEST

static char said[4000];

static void list(const struct vcr_findings *f)
{
	size_t n = 0;
	said[0] = 0;
	for (size_t i = 0; i < f->n && n < sizeof said; i++)
		n += (size_t)snprintf(said + n, sizeof said - n, "%s %s %s\n", vcr_severity_name(f->item[i].severity), vcr_sentinel_rule(f->item[i].rule)->id, f->item[i].message);
}

static const char *change(const char *path, const char *before, const char *after)
{
	VCR_AUTO_FINDINGS f = VCR_FINDINGS_INIT;
	struct vcr_policy p;
	struct vcr_metrics a, b;
	vcr_policy_preset("default", &p);
	if (before && !measured(again, VCR_LANG_PYTHON, before, &b))
		return NULL;
	if (!measured(measure, VCR_LANG_PYTHON, after, &a))
		return NULL;
	ck_assert_int_eq(vcr_sentinel_judge_change(&p, path, after, strlen(after), before ? &b : NULL, &a, &f), 0);
	list(&f);
	return said;
}

START_TEST(only_what_a_change_made_worse_is_said)
{
	static const char wide[] = "def f(a, b, c, d, e, f, g, h): return a\n", wider[] = "def f(a, b, c, d, e, f, g, h, i): return a\n";
	const char *s = change("a.py", NULL, wide);
	if (!s)
		TAP_SKIP("no grammar of Python here; scripts/grammars fetches them");
	ck_assert_str_eq(s, "warning parameters f() takes 8 parameters (more than 7 parameters)\n");
	ck_assert_str_eq(change("a.py", wide, wide), "");
	ck_assert_str_eq(change("a.py", wider, wide), "");
	ck_assert_str_eq(change("a.py", wide, wider), "warning parameters f() takes 9 parameters (more than 7 parameters)\n");
	ck_assert_str_eq(change("a.py", "def f(): pass\n", "def f(): pass\ndef g(): pass\n"), "warning stub g() does nothing yet\n");
	ck_assert_str_eq(change("a.py", "x = 1\n", "from os import *\nx = (\n"),
		"info wildcard-import imports names without naming them: from os import *\ncritical syntax-error this is no Python: x = (\n");
}
END_TEST

START_TEST(a_test_that_asserts_less_is_said)
{
	static const char two[] = "def test_a():\n    assert f() == 3\n    assert g()\n";
	const char *s = change("test_a.py", two, "def test_a():\n    assert f() == 3\n");
	if (!s)
		TAP_SKIP("no grammar of Python here; scripts/grammars fetches them");
	ck_assert_str_eq(s, "critical tests-weakened the test test_a has 1 assertions where it had 2\n");
	ck_assert_str_eq(change("test_a.py", two, two), "");
	ck_assert_str_eq(change("test_a.py", two, "def test_a():\n    assert f() > 0\n    assert g()\n"),
		"critical tests-weakened the test test_a asserts less exactly: 0 equalities where there were 1\n");
	ck_assert_str_eq(change("test_a.py", two, "@pytest.mark.skip(reason='flaky')\ndef test_a():\n    assert f() == 3\n    assert g()\n"),
		"critical tests-weakened the test test_a is skipped now\n");
	ck_assert_str_eq(change("test_a.py", two, "x = 1\n"), "critical tests-weakened the test test_a is gone\n");
}
END_TEST

START_TEST(a_secret_in_a_file_is_a_blocker_and_is_not_repeated)
{
	const char *s = change("a.py", NULL, "x = 1\nKEY = 'ghp_" "0123456789abcdefghijABCDEFGHIJ012345'\n");
	if (!s)
		TAP_SKIP("no grammar of Python here; scripts/grammars fetches them");
	ck_assert_str_eq(s, "blocker secret a secret stands here: GITHUB_TOKEN\n");
}
END_TEST

START_TEST(a_secret_is_seen_by_each_beginning_that_is_known)
{
	static const char tail[] = "0123456789abcdefghijABCDEFGHIJ0123456789abcdefghijABCDEFGHIJ0123456789";
	static const struct { const char *begin; int more; } known[] = { { "sk-", 40 }, { "ghp_", 36 }, { "gho_", 36 }, { "ghu_", 36 }, { "ghs_", 36 }, { "ghr_", 36 },
		{ "github_pat_", 40 }, { "AIza", 35 }, { "xoxb-", 40 }, { "hf_", 34 }, { "glpat-", 20 }, { "gsk_", 52 }, { "xai-", 64 }, { "pplx-", 48 }, { "nvapi-", 64 },
		{ "npm_", 36 }, { "pypi-AgEI", 60 }, { "sk_live_", 24 }, { "dop_v1_", 64 } };
	char text[200], long_ago[400];
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		snprintf(text, sizeof text, "k = \"%s%.*s\"", known[i].begin, known[i].more, tail);
		const char *s = change("a.py", NULL, text);
		if (!s)
			TAP_SKIP("no grammar of Python here; scripts/grammars fetches them");
		ck_assert_msg(strstr(s, "blocker secret"), "%s: %s", text, s);
		snprintf(long_ago, sizeof long_ago, "# gh sk pp np _liv AK %s", text + 1);
		ck_assert_msg(strstr(change("a.py", NULL, long_ago), "blocker secret"), "%s", long_ago);
	}
}
END_TEST

/* The same text, whole and after edits, gives the same figures. */
START_TEST(an_edited_file_is_measured_as_if_it_were_new)
{
	struct vcr_tracked *t = NULL;
	struct vcr_metrics m, whole;
	struct vcr_error e = { 0 };
	static char text[20000];
	size_t n = 0;
	for (int i = 0; i < 200; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "def f%d(a):\n    if a and %d:\n        return a\n    return 1\n\n", i, i);
	int err = vcr_measure_tracked(measure, &t, VCR_LANG_PYTHON, text, n, &m, &e);
	if (err == VCR_ENOTFOUND)
		TAP_SKIP("no grammar of it here; scripts/grammars fetches them");
	ck_assert_int_eq(err, 0);
	static const char *const edits[] = { "if a or", "for i in", "@@@ ((", "while a:", "" };
	for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
		VCR_AUTO_BUF b = VCR_BUF_INIT;
		size_t at = n / 7 * (i + 1);
		vcr_buf_add(&b, text, at);
		vcr_buf_puts(&b, edits[i]);
		vcr_buf_add(&b, text + at + i, n - at - i);
		ck_assert_int_eq(vcr_measure_tracked(measure, &t, VCR_LANG_PYTHON, b.data, b.len, &m, &e), 0);
		ck_assert_int_eq(vcr_measure(again, VCR_LANG_PYTHON, b.data, b.len, &whole, &e), 0);
		ck_assert_uint_eq(m.nfunction, whole.nfunction);
		for (size_t k = 0; k < m.nfunction; k++) {
			ck_assert_uint_eq(m.function[k].cyclomatic, whole.function[k].cyclomatic);
			ck_assert_uint_eq(m.function[k].cognitive, whole.function[k].cognitive);
			ck_assert_uint_eq(m.function[k].body, whole.function[k].body);
			ck_assert_uint_eq(m.function[k].start_line, whole.function[k].start_line);
		}
	}
	vcr_tracked_free(t);
}
END_TEST

START_TEST(after_one_function_of_5000_lines_was_edited_little_is_parsed)
{
	struct vcr_tracked *t = NULL;
	struct vcr_metrics m;
	struct vcr_error e = { 0 };
	static char text[200000];
	size_t n = 0;
	for (int i = 0; i < 1000; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "def f%d(a):\n    if a and %d:\n        return a\n    return 1\n\n", i, i);
	int err = vcr_measure_tracked(measure, &t, VCR_LANG_PYTHON, text, n, &m, &e);
	if (err == VCR_ENOTFOUND)
		TAP_SKIP("no grammar of Python here; scripts/grammars fetches them");
	ck_assert_int_eq(err, 0);
	ck_assert_uint_eq(m.lines, 5000);
	ck_assert_uint_eq(vcr_measure_read(measure), n);
	memcpy(strstr(text, "f700(a):\n    if a and 700"), "f700(b):\n    if b  or 701", 25);
	ck_assert_int_eq(vcr_measure_tracked(measure, &t, VCR_LANG_PYTHON, text, n, &m, &e), 0);
	ck_assert_uint_eq(m.nfunction, 1000);
	ck_assert_msg(vcr_measure_read(measure) < n / 20, "%zu of %zu bytes", vcr_measure_read(measure), n);
	vcr_tracked_free(t);
}
END_TEST

START_TEST(hostile_text_is_measured_or_refused_within_bounds)
{
	struct vcr_metrics m;
	struct vcr_error e = { 0 };
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	for (int i = 0; i < 100000; i++)
		vcr_buf_putc(&b, "([{"[i % 3]);
	int err = vcr_measure(measure, _i, b.data, b.len, &m, &e);
	ck_assert_msg(!err || err == VCR_ENOTFOUND || err == VCR_ELIMIT, "%s", e.what);
	vcr_buf_reset(&b);
	vcr_buf_puts(&b, "\xef\xbb\xbf" "def f(a):\r\n    return '\xe9\xff\xc0\xaf'\r\n");
	err = vcr_measure(measure, _i, b.data, b.len, &m, &e);
	ck_assert(!err || err == VCR_ENOTFOUND);
	if (!err && _i == VCR_LANG_PYTHON) {
		ck_assert(!m.is_broken);
		ck_assert_uint_eq(function(&m, "f")->length, 2);
	}
	err = vcr_measure(measure, _i, "", 0, &m, &e);
	ck_assert(err == VCR_ENOTFOUND || (!err && !m.nfunction));
	if (err == VCR_ENOTFOUND)
		TAP_SKIP("no grammar of it here; scripts/grammars fetches them");
}
END_TEST

START_TEST(what_nobody_wrote_or_is_no_text_is_known_by_its_beginning)
{
	ck_assert_str_eq(vcr_source_unfit("a.py", "a\0b", 3), "binary");
	ck_assert_str_eq(vcr_source_unfit("a.py", "\xff\xfe" "a", 3), "UTF-16");
	ck_assert_str_eq(vcr_source_unfit("a.go", "// Code generated by x. DO NOT EDIT.\n", 37), "generated");
	ck_assert_str_eq(vcr_source_unfit("a.min.js", "x\n", 2), "minified");
	ck_assert_ptr_null(vcr_source_unfit("a.py", "x = 1\n", 6));
}
END_TEST

static bool waits(void *ctx, const char *path)
{
	poll(NULL, 0, 5);
	return false;
}

START_TEST(a_scan_that_may_not_take_long_says_what_it_did_not_come_to)
{
	char dir[] = "/tmp/vcr-scan.XXXXXX", path[64], *paths[] = { dir };
	struct vcr_policy p;
	struct vcr_scanned all = { .n = 0 }, some = { .n = 0 };
	vcr_policy_preset("default", &p);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%d.py", dir, i);
		FILE *f = fopen(path, "w");
		ck_assert(f && fputs("x = 1\n", f) >= 0 && !fclose(f));
	}
	struct vcr_scan_options o = { .policy = &p, .jobs = 1, .excluded = waits };
	ck_assert_int_eq(vcr_sentinel_scan(paths, 1, &o, &all, NULL), 0);
	o.most_ms = 1;
	ck_assert_int_eq(vcr_sentinel_scan(paths, 1, &o, &some, NULL), 0);
	ck_assert_uint_eq(all.n, 3);
	ck_assert_uint_lt(some.n, 3);
	ck_assert_uint_eq(some.measured, 0);
	vcr_scanned_release(&all);
	vcr_scanned_release(&some);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%d.py", dir, i);
		unlink(path);
	}
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

static TCase *tc_sentinel(void)
{
	TCase *tc = tcase_create("sentinel");
	tcase_add_checked_fixture(tc, make, unmake);
	tcase_add_test(tc, a_policy_is_a_preset_and_what_is_set_on_it);
	tcase_add_test(tc, paths_of_python_are_counted_as_radon_counts_them);
	tcase_add_test(tc, cognitive_complexity_is_that_of_the_examples_in_its_paper);
	tcase_add_loop_test(tc, each_language_has_functions_with_names_paths_and_parameters, 0, 13);
	tcase_add_loop_test(tc, what_decides_is_counted_in_each_language_and_what_only_looks_like_it_is_not, 0, 11);
	tcase_add_test(tc, only_what_a_change_made_worse_is_said);
	tcase_add_test(tc, a_test_that_asserts_less_is_said);
	tcase_add_test(tc, a_secret_in_a_file_is_a_blocker_and_is_not_repeated);
	tcase_add_test(tc, a_secret_is_seen_by_each_beginning_that_is_known);
	tcase_add_test(tc, an_edited_file_is_measured_as_if_it_were_new);
	tcase_add_test(tc, after_one_function_of_5000_lines_was_edited_little_is_parsed);
	tcase_add_loop_test(tc, hostile_text_is_measured_or_refused_within_bounds, 0, VCR_LANG_COUNT);
	tcase_add_test(tc, what_nobody_wrote_or_is_no_text_is_known_by_its_beginning);
	tcase_add_test(tc, a_scan_that_may_not_take_long_says_what_it_did_not_come_to);
	return tc;
}

TAP_MAIN_SKIPPING("sentinel", tc_sentinel)
