/* What is measured of a file that was edited: the same as of the whole, with the work that the edit makes. */
#include "metrics.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>

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

/* A bit of everything of a language, that may stand in a file several times. %d: a number. */
static const char *const pieces[VCR_LANG_COUNT] = {
	[VCR_LANG_PYTHON] = "import a\n\n@deco(1)\ndef f%d(a, b=1):\n    '''Words.'''\n    def inner(c):\n        for d in c:\n            if d and a or b:\n                yield d\n    class L:\n"
		"        def m(self):\n            if a: return 1\n    if a:\n        try:\n            pass\n        except E:\n            pass\n    return inner(a)\n\nclass C(ABC):\n    def abstract(self): pass\n\n"
		"    @property\n    def p(self):\n        return self.p() if self else 1\n\n    # vcr-sentinel: allow parameters\n    def q(self): return lambda x: x and 1\n",
	[VCR_LANG_JAVASCRIPT] = "import a from 'a';\nfunction f%d(a, b = 1) {\n  const g = (c) => { if (c && a) { return () => c || b; } };\n  return function (x) { try { x(); } catch (e) {} };\n}\n"
		"class C extends D {\n  m(x) { return x ? 1 : 2; }\n  n = () => { for (;;) if (a) break; };\n}\nit('does', () => { expect(1).toBe(1); // vcr-sentinel: allow stub\n});\n"
		"export const o = { g() { while (a) {} }, h: function () { return a && b; } };\n",
	[VCR_LANG_TYPESCRIPT] = "import { a } from 'a';\nexport function f%d(a: number, b?: string): void {\n  const g = (c: number) => { if (c && a) { return () => c || b; } };\n}\n"
		"abstract class C<T> implements D {\n  @dec() m(x: T): number { return x ? 1 : 2; }\n  private n = async () => { for (;;) if (a) break; };\n}\ninterface I { m(): void }\n",
	[VCR_LANG_TSX] = "const F%d = (p: P) => <div onClick={() => { if (p.a) p.b(); }}>{p.x && <b/>}</div>;\nfunction g(a: number) { return <i>{a ? 1 : 2}</i>; }\n",
	[VCR_LANG_GO] = "func f%d(a, b int) int {\n\tg := func(c int) bool { return c > 0 && a > b }\n\tif g(a) {\n\t\treturn 1\n\t} else if b > 0 {\n\t\treturn 2\n\t}\n\treturn 3\n}\nfunc (t *T) m() { for { switch t.a { case 1: return } } }\n",
	[VCR_LANG_RUST] = "fn f%d(a: i32) -> i32 {\n    fn inner(b: i32) -> bool { b > 0 && b < 3 }\n    assert!(a > 0 && inner(a));\n    match a { 1 => 2, _ => { if a > 3 { 4 } else { 5 } } }\n}\nimpl S {\n    #[inline]\n    pub fn m(&self) -> Option<u8> { todo!() }\n}\n",
	[VCR_LANG_C] = "#include <a.h>\nstatic int f%d(int a, char *b)\n{\n#if X && Y\n\tif (a && b)\n\t\treturn 1;\n#endif\n\tfor (;;)\n\t\tif (a) goto out;\nout:\n\treturn a ? 1 : 2;\n}\nstruct s { int a; };\n",
	[VCR_LANG_CPP] = "namespace n%d {\nclass C {\npublic:\n  C(int a) : a(a) {}\n  int m() const { auto l = [&](int x) { return x && a; }; return l(1) ? 2 : 3; }\n  int a;\n};\nint C2::g(int x) { try { while (x) x--; } catch (...) {} return x; }\n}\n",
	[VCR_LANG_JAVA] = "class A%d {\n  @Override\n  public int m(int a, int b) {\n    Runnable r = () -> { if (a > 0) { } };\n    Object o = new Object() { public String toString() { return a > 0 && b > 0 ? \"x\" : \"y\"; } };\n    try { } catch (E e) { }\n    return a;\n  }\n"
		"  class In { int n() { while (true) { if (x) break; } } }\n}\ninterface I { int a(); }\n",
	[VCR_LANG_RUBY] = "class A%d\n  def m(a, b = 1)\n    if a then 1 elsif b then 2 else 3 end\n    [1].each do |x|\n      return x unless x && a\n    end\n  end\n  def self.n; raise NotImplementedError; end\nend\ndescribe 'x' do\n  it('y') { a ? 1 : 2 }\nend\n",
	[VCR_LANG_C_SHARP] = "class A%d {\n  [B]\n  int M(int a, string b) {\n    int L(int c) { return c > 0 && a > 0 ? 1 : 2; }\n    foreach (var x in b) { if (a > 0) return L(a); }\n    Func<int, int> f = y => { if (y > 0) return 1; return 2; };\n    return a;\n  }\n}\n",
	[VCR_LANG_PHP] = "class A%d {\n  public function f(?int $a, $b = 1): ?int {\n    $g = function ($x) use ($a) { return $x && $a; };\n    foreach ($a as $x) { if ($x) {} elseif ($b) {} else {} }\n    return $g($a);\n  }\n}\nfunction h%d($a) { return fn($x) => $x ? 1 : 2; }\n",
	[VCR_LANG_BASH] = "f%d() {\n  g() { if a; then b; fi; }\n  for i in 1 2; do\n    case $i in a) b ;; *) c ;; esac\n  done\n  a && b || c\n}\nx=1\n",
};
static const char *const heads[VCR_LANG_COUNT] = { [VCR_LANG_GO] = "package a\n", [VCR_LANG_PHP] = "<?php\n" };
static const char *const words[] = { "", " ", "\n", "a", "if (a) { b(); }", "(", ")", "{", "}", "\n\n", "&& b ", "/* x */", "# y\n", "def g(): pass\n", "\t", "'", "for", "x1 = 2;", "    ", "<" };

static size_t whole_text(int language, int n, char *to, size_t size)
{
	size_t k = (size_t)snprintf(to, size, "%s", heads[language] ? heads[language] : "");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	for (int i = 0; i < n; i++)
		k += (size_t)snprintf(to + k, size - k, pieces[language], i, i);
#pragma GCC diagnostic pop
	return k;
}

static unsigned state;

static unsigned chance(unsigned n)
{
	state = state * 1664525u + 1013904223u;
	return (state >> 8) % n;
}

/* A piece of what is there moves, goes, or is replaced by a word, or something of a piece is put in. */
static void edit(int language, const char *text, size_t n, struct vcr_buf *out)
{
	size_t at = chance((unsigned)n + 1), gone = chance(3) ? chance(4) : chance(200);
	gone = gone > n - at ? n - at : gone;
	vcr_buf_add(out, text, at);
	if (chance(3)) {
		vcr_buf_puts(out, words[chance(sizeof words / sizeof *words)]);
	} else {
		const char *piece = pieces[language];
		size_t from = chance((unsigned)strlen(piece)), length = chance((unsigned)(strlen(piece) - from) + 1);
		vcr_buf_add(out, piece + from, length);
	}
	vcr_buf_add(out, text + at + gone, n - at - gone);
}

START_TEST(after_each_of_many_edits_all_that_is_measured_is_what_is_measured_anew)
{
	static char text[20000];
	struct vcr_tracked *t = NULL;
	struct vcr_metrics m, whole;
	struct vcr_error e = { 0 };
	size_t n = whole_text(_i, 3, text, sizeof text), least = SIZE_MAX;
	unsigned good = 0;
	int err = vcr_measure(measure, _i, text, n, &m, &e);
	if (err == VCR_ENOTFOUND)
		TAP_SKIP("no grammar of it here; scripts/grammars fetches them");
	ck_assert_msg(!err && !m.is_broken && m.nfunction >= 3, "%s: %s", vcr_language_name(_i), text);
	state = (unsigned)_i * 77 + 5;
	for (int i = 0; i < 400; i++) {
		VCR_AUTO_BUF b = VCR_BUF_INIT;
		const char *differs;
		if (i % 2)
			edit(_i, text, n, &b);
		else
			vcr_buf_add(&b, text, n);
		ck_assert_int_eq(vcr_measure_tracked(measure, &t, _i, b.data, b.len, &m, &e), 0);
		size_t walked = vcr_measure_walked(measure);
		ck_assert_int_eq(vcr_measure(again, _i, b.data, b.len, &whole, &e), 0);
		if ((differs = metrics_differ(&m, &whole)) != NULL)
			ck_abort_msg("%s: %s differs after edit %d:\n%s", vcr_language_name(_i), differs, i, b.data);
		good += i % 2 && !m.is_broken;
		least = walked < least ? walked : least;
	}
	ck_assert_msg(good >= 10 && least < vcr_measure_walked(again), "%u parse, %zu of %zu nodes", good, least, vcr_measure_walked(again));
	vcr_tracked_free(t);
}
END_TEST

/* 5,000 lines or more; in the middle of them a line that says 700. */
static const struct { int language; const char *head, *function, *tail; } large[] = {
	{ VCR_LANG_PYTHON, "", "def f%d(a):\n    if a and %d:\n        return a\n    return 1\n\n", "" },
	{ VCR_LANG_PYTHON, "class A:\n", "    def f%d(self, a):\n        if a and %d:\n            return a\n        return 1\n\n", "" },
	{ VCR_LANG_JAVA, "class A {\n", "  int f%d(int a) {\n    if (a > 0 && a < %d)\n      return a;\n    return 1; }\n\n", "}\n" },
	{ VCR_LANG_JAVASCRIPT, "(function () {\n", "  function f%d(a) {\n    if (a && %d)\n      return a;\n    return 1; }\n\n", "})();\n" },
	{ VCR_LANG_C, "", "int f%d(int a)\n{\n\tif (a && %d) return a;\n\treturn 1;\n}\n", "" },
};

START_TEST(after_one_function_of_5000_lines_was_edited_only_that_one_is_measured)
{
	static char text[200000];
	struct vcr_tracked *t = NULL;
	struct vcr_metrics m, whole;
	struct vcr_error e = { 0 };
	size_t n = (size_t)snprintf(text, sizeof text, "%s", large[_i].head);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	for (int i = 0; i < 1000; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, large[_i].function, i, i);
#pragma GCC diagnostic pop
	n += (size_t)snprintf(text + n, sizeof text - n, "%s", large[_i].tail);
	int err = vcr_measure_tracked(measure, &t, large[_i].language, text, n, &m, &e);
	if (err == VCR_ENOTFOUND)
		TAP_SKIP("no grammar of it here; scripts/grammars fetches them");
	ck_assert_int_eq(err, 0);
	ck_assert_uint_ge(m.lines, 5000);
	ck_assert_uint_ge(m.nfunction, 1000);
	size_t all = vcr_measure_walked(measure);
	ck_assert_uint_gt(all, 20000);
	char *at = strstr(strstr(text, "f700("), "700") , *value = strstr(at + 3, "700");
	memcpy(value, "1&7", 3); /* longer code, in Python too */
	ck_assert_int_eq(vcr_measure_tracked(measure, &t, large[_i].language, text, n, &m, &e), 0);
	size_t walked = vcr_measure_walked(measure);
	ck_assert_int_eq(vcr_measure(again, large[_i].language, text, n, &whole, &e), 0);
	ck_assert_ptr_null(metrics_differ(&m, &whole));
	ck_assert_msg(walked < m.nfunction + 200, "%zu of %zu nodes", walked, all);
	vcr_tracked_free(t);
}
END_TEST

/* b, then a, each with so many marks. */
static void marked(struct vcr_buf *text, int in_b, int in_a)
{
	vcr_buf_puts(text, "def b(q):\n");
	for (int i = 0; i < in_b; i++)
		vcr_buf_puts(text, "    assert q\n");
	vcr_buf_puts(text, "\ndef a(q):\n");
	for (int i = 0; i < in_a; i++)
		vcr_buf_puts(text, "    assert q\n");
}

START_TEST(where_an_edit_makes_more_marks_than_are_kept_all_is_what_is_measured_anew)
{
	static const struct { int b, a; } steps[] = { { 1690, 300 }, { 1990, 300 }, { 1690, 300 }, { 1700, 300 }, { 1691, 300 }, { 2100, 0 }, { 10, 300 }, { 1699, 300 }, { 1690, 300 } };
	struct vcr_tracked *t = NULL;
	struct vcr_metrics m, whole;
	struct vcr_error e = { 0 };
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		VCR_AUTO_BUF text = VCR_BUF_INIT;
		marked(&text, steps[i].b, steps[i].a);
		int err = vcr_measure_tracked(measure, &t, VCR_LANG_PYTHON, text.data, text.len, &m, &e);
		if (err == VCR_ENOTFOUND)
			TAP_SKIP("no grammar of it here; scripts/grammars fetches them");
		ck_assert_int_eq(err, 0);
		ck_assert_int_eq(vcr_measure(again, VCR_LANG_PYTHON, text.data, text.len, &whole, &e), 0);
		const char *differs = metrics_differ(&m, &whole);
		ck_assert_msg(!differs, "%s differs after step %zu", differs, i);
	}
	vcr_tracked_free(t);
}
END_TEST

static TCase *tc_sentinel_again(void)
{
	TCase *tc = tcase_create("sentinel-again");
	tcase_add_checked_fixture(tc, make, unmake);
	tcase_add_loop_test(tc, after_each_of_many_edits_all_that_is_measured_is_what_is_measured_anew, 0, VCR_LANG_COUNT);
	tcase_add_loop_test(tc, after_one_function_of_5000_lines_was_edited_only_that_one_is_measured, 0, (int)(sizeof large / sizeof *large));
	tcase_add_test(tc, where_an_edit_makes_more_marks_than_are_kept_all_is_what_is_measured_anew);
	return tc;
}

TAP_MAIN_SKIPPING("sentinel-again", tc_sentinel_again)
