/* The walk: every node once, with what is around it in a stack of frames. */
#include "limits.h"
#include "sentinel-allow.h"
#include "sentinel-measure.h"
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 << 10 };

void *vcr_walk_grow(struct vcr_walk *w, void **array, size_t *capacity, size_t n, size_t size)
{
	if (n == *capacity) {
		size_t more = n ? n * 2 : 64;
		void *p = realloc(*array, more * size);
		if (!p) {
			w->err = VCR_ENOMEM;
			return NULL;
		}
		*array = p;
		*capacity = more;
	}
	return (char *)*array + n * size;
}

const char *vcr_walk_keep(struct vcr_walk *w, const char *p, size_t n)
{
	if (!w->nblock || w->used + n + 1 > BLOCK) {
		char **b = n + 1 > BLOCK ? NULL : vcr_walk_grow(w, (void **)&w->block, &w->cblock, w->nblock, sizeof *b);
		if (!b || !(*b = malloc(BLOCK))) {
			w->err = n + 1 > BLOCK ? w->err : VCR_ENOMEM;
			return "";
		}
		w->nblock++;
		w->used = 0;
	}
	char *to = w->block[w->nblock - 1] + w->used;
	memcpy(to, p, n);
	to[n] = 0;
	w->used += n + 1;
	return to;
}

static void empty(struct vcr_walk *w)
{
	while (w->nblock > 1)
		free(w->block[--w->nblock]);
	w->used = 0;
	w->nfunction = w->nclass = w->nmark = w->ntoken = w->nunit = w->entered = 0;
	w->is_deep = false;
	w->err = 0;
}

void vcr_walk_release(struct vcr_walk *w)
{
	while (w->nblock)
		free(w->block[--w->nblock]);
	free(w->block);
	free(w->frame);
	free(w->function);
	free(w->measured);
	free(w->class_);
	free(w->mark);
	free(w->token);
	free(w->seen);
	free(w->unit);
}

static struct vcr_text text_of(const struct vcr_walk *w, TSNode node)
{
	uint32_t at = ts_node_start_byte(node), end = ts_node_end_byte(node);
	return (struct vcr_text){ w->text + at, end - at };
}

static uint32_t end_line(TSNode node)
{
	TSPoint start = ts_node_start_point(node), end = ts_node_end_point(node);
	return end.row + (end.column || end.row == start.row ? 1 : 0);
}

static void mark(struct vcr_walk *w, enum vcr_mark_kind kind, const struct vcr_frame *f, TSNode node)
{
	struct vcr_mark *m = w->nmark < VCR_MOST_MARKS ? vcr_walk_grow(w, (void **)&w->mark, &w->cmark, w->nmark, sizeof *m) : NULL;
	if (!m)
		return;
	struct vcr_text t = text_of(w, node);
	const char *line = memchr(t.p, '\n', t.n);
	size_t n = line ? (size_t)(line - t.p) : t.n;
	*m = (struct vcr_mark){ kind, ts_node_start_point(node).row + 1, end_line(node), f->function, vcr_walk_keep(w, t.p, n < 100 ? n : 100) };
	w->nmark++;
}

static void add_path(struct vcr_walk *w, const struct vcr_frame *f, uint32_t n)
{
	if (f->function >= 0 && !f->apart)
		w->function[f->function].cyclomatic += n;
}

/* In the function and in those around it. nested: with how deep it stands in each. */
static void add_cognitive(struct vcr_walk *w, const struct vcr_frame *around, bool nested)
{
	for (int i = around->function; i >= 0; i = w->function[i].parent) {
		w->function[i].cognitive += 1 + (nested ? around->cognitive - w->measured[i].cognitive : 0);
		w->measured[i].added += 1 + (nested ? around->cognitive : 0);
		w->measured[i].nested += nested;
	}
}

static const char *qualify(struct vcr_walk *w, const struct vcr_frame *around, const char *name)
{
	const char *outer = around->function >= 0 ? w->function[around->function].qualified : around->class_ >= 0 ? w->class_[around->class_].name : "";
	char both[512];
	if (!*outer)
		return name;
	size_t n = strlen(outer), k = strlen(name);
	if (n + k + 2 > sizeof both)
		return name;
	memcpy(both, outer, n);
	both[n] = '.';
	memcpy(both + n + 1, name, k);
	return vcr_walk_keep(w, both, n + 1 + k);
}

/* Python: @abstractmethod, @overload, in a Protocol or an ABC: it is meant to do nothing. */
static bool is_declared_only(struct vcr_walk *w, const struct vcr_frame *f, const struct vcr_frame *around)
{
	uint32_t at = ts_node_start_byte(around->node), n = ts_node_start_byte(f->node) - at;
	if (w->language != VCR_LANG_PYTHON)
		return false;
	if (around->class_ >= 0 && around->function < 0 && w->class_[around->class_].is_interface)
		return true;
	return around->node.id != f->node.id && ts_node_symbol(around->node) == w->map->decorated
		&& (memmem(w->text + at, n, "abstract", 8) || memmem(w->text + at, n, "overload", 8));
}

/* Where a definition begins, behind its decorators and attributes; Java's stand among the modifiers. */
static TSNode first_word(const struct vcr_walk *w, TSNode node)
{
	uint32_t n = ts_node_child_count(node);
	for (uint32_t i = 0; i < n; i++) {
		TSNode child = ts_node_child(node, i);
		TSSymbol s = ts_node_symbol(child);
		uint32_t roles = s < w->map->nsymbol ? w->map->role[s] : 0;
		if (roles & (R_ATTRIBUTE | R_COMMENT))
			continue;
		if (strcmp(ts_node_type(child), "modifiers"))
			return child;
		TSNode inner = first_word(w, child);
		if (!ts_node_is_null(inner))
			return inner;
	}
	return (TSNode){ 0 };
}

static void open_function(struct vcr_walk *w, struct vcr_frame *f, const struct vcr_frame *around)
{
	struct vcr_function *fn = vcr_walk_grow(w, (void **)&w->function, &w->cfunction, w->nfunction, sizeof *fn);
	struct vcr_measured *m = fn ? vcr_walk_grow(w, (void **)&w->measured, &w->cmeasured, w->nfunction, sizeof *m) : NULL;
	if (!m)
		return;
	struct vcr_text name = vcr_lang_name(w->language, w->map, f->node, around->node, w->text);
	TSNode first = first_word(w, f->node);
	if (ts_node_is_null(first))
		first = f->node;
	f->cognitive += around->function >= 0;
	*m = (struct vcr_measured){ .level = f->level, .cognitive = f->cognitive };
	*fn = (struct vcr_function){ .name = vcr_walk_keep(w, name.p, name.n < 200 ? name.n : 200), .start_line = ts_node_start_point(first).row + 1,
		.end_line = end_line(f->node), .start_byte = ts_node_start_byte(first), .end_byte = ts_node_end_byte(f->node), .cyclomatic = 1,
		.parameters = vcr_lang_parameters(w->language, w->map, f->node, w->text), .parent = around->function,
		.in_class = around->function >= 0 ? -1 : around->class_, .first_token = (uint32_t)w->ntoken };
	fn->length = fn->end_line - fn->start_line + 1;
	fn->qualified = qualify(w, around, *fn->name ? fn->name : "<anonymous>");
	fn->is_abstract = is_declared_only(w, f, around);
	fn->is_broken = ts_node_has_error(f->node);
	fn->is_test = !strncmp(fn->name, "test", 4) || !strncmp(fn->name, "Test", 4);
	if (fn->in_class >= 0)
		w->class_[fn->in_class].methods++;
	f->function = (int)w->nfunction++;
	f->class_ = -1;
	f->opened = true;
	f->apart = w->map->lang->body_apart != NULL;
}

static void open_class(struct vcr_walk *w, struct vcr_frame *f, const struct vcr_frame *around)
{
	struct vcr_class *c = vcr_walk_grow(w, (void **)&w->class_, &w->cclass, w->nclass, sizeof *c);
	if (!c)
		return;
	struct vcr_text name = vcr_lang_name(w->language, w->map, f->node, around->node, w->text);
	*c = (struct vcr_class){ .start_line = ts_node_start_point(f->node).row + 1, .end_line = end_line(f->node) };
	c->name = qualify(w, around, vcr_walk_keep(w, name.p, name.n < 200 ? name.n : 200));
	if (w->language == VCR_LANG_PYTHON) {
		struct vcr_text head = text_of(w, ts_node_child(f->node, 2));
		c->is_interface = head.n && *head.p == '(' && (memmem(head.p, head.n, "Protocol", 8) || memmem(head.p, head.n, "ABC", 3));
	}
	f->class_ = (int)w->nclass++;
	f->function = -1;
}

/* a && b && c is one thing to understand, a && b || c are two. */
static void chain(struct vcr_walk *w, struct vcr_frame *f, const struct vcr_frame *around)
{
	TSNode op = w->map->operator_ ? ts_node_child_by_field_id(f->node, w->map->operator_) : ts_node_child(f->node, 1);
	if (ts_node_is_null(op))
		op = ts_node_child(f->node, 1);
	TSSymbol s = ts_node_is_null(op) ? 0 : ts_node_symbol(op);
	if (s >= w->map->nsymbol || !(w->map->role[s] & R_LOGIC))
		return;
	f->logic = s;
	add_path(w, f, 1);
	if (around->logic != s && !(f->apart && !w->map->lang->body_apart))
		add_cognitive(w, f, false);
}

static bool begins(struct vcr_text t, const char *word)
{
	size_t n = strlen(word);
	return t.n >= n && !memcmp(t.p, word, n);
}

static bool is_assertion(struct vcr_text t)
{
	static const char *const words[] = { "self.assert", "self.fail", "assert", "expect", "t.Error", "t.Fatal", "require.", "Assert.", "EXPECT_", "ASSERT_",
		"this.assert", "$this->assert", "pytest.raises", "debug_assert", "Assertions." };
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (begins(t, words[i]))
			return true;
	return false;
}

static bool is_skip(struct vcr_text t)
{
	static const char *const words[] = { "@pytest.mark.skip", "@pytest.mark.xfail", "@unittest.skip", "@unittest.expectedFailure", "@skip", "pytest.skip", "self.skipTest",
		"it.skip", "test.skip", "describe.skip", "xit(", "xtest(", "xdescribe(", "t.Skip", "@Disabled", "@Ignore", "#[ignore", "[Ignore", "$this->markTestSkipped" };
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (begins(t, words[i]))
			return true;
	return false;
}

/* A call: of itself (cognitive), of an assertion, of what skips a test. */
static void call(struct vcr_walk *w, struct vcr_frame *f)
{
	struct vcr_text t = text_of(w, f->node);
	if (is_assertion(t))
		mark(w, VCR_MARK_ASSERT, f, f->node);
	else if (is_skip(t))
		mark(w, VCR_MARK_SKIP, f, f->node);
	if (f->function < 0 || w->measured[f->function].recurs)
		return;
	const struct vcr_function *fn = &w->function[f->function];
	bool of_self = begins(t, "self.") || begins(t, "this.") || begins(t, "cls.");
	size_t skip = !of_self ? 0 : t.p[0] == 'c' ? 4 : 5, n = strlen(fn->name);
	if (!n || (w->language == VCR_LANG_PYTHON && of_self != (fn->in_class >= 0)) || t.n < skip + n + 1 || memcmp(t.p + skip, fn->name, n) || t.p[skip + n] != '(')
		return;
	w->measured[f->function].recurs = true;
	add_cognitive(w, f, false);
}

/* The handler of an error does nothing at all: its block is empty, or says only that. */
static void caught(struct vcr_walk *w, struct vcr_frame *f)
{
	uint32_t n = ts_node_named_child_count(f->node);
	if (!n)
		return;
	struct vcr_text t = text_of(w, ts_node_named_child(f->node, n - 1));
	bool braces = t.n >= 2 && t.p[0] == '{' && t.p[t.n - 1] == '}';
	for (size_t i = 1; braces && i + 1 < t.n; i++)
		braces = strchr(" \t\r\n", t.p[i]) && t.p[i];
	if (braces || (w->language == VCR_LANG_PYTHON && (vcr_text_is(t.p, t.n, "pass") || vcr_text_is(t.p, t.n, "..."))))
		mark(w, VCR_MARK_EMPTY_CATCH, f, f->node);
}

/* case x: and case _: take all that is left. */
static void one_case(struct vcr_walk *w, const struct vcr_frame *f, struct vcr_frame *around)
{
	struct vcr_frame *match = around->roles & R_CASES ? around : around > w->frame && around[-1].roles & R_CASES ? around - 1 : NULL;
	if (!match)
		return;
	match->cases++;
	if (w->language == VCR_LANG_RUST) { /* the first arm is where one goes without a path more */
		match->takes_all = true;
		return;
	}
	if (ts_node_named_child_count(f->node) < 1)
		return;
	TSNode pattern = ts_node_named_child(f->node, 0), next = ts_node_next_sibling(pattern);
	struct vcr_text t = text_of(w, pattern);
	while (t.n >= 2 && t.p[0] == '(' && t.p[t.n - 1] == ')')
		t.p++, t.n -= 2;
	bool takes = t.n > 0 && (ts_node_is_null(next) || text_of(w, next).p[0] != ',');
	for (size_t i = 0; i < t.n && takes; i++) {
		unsigned char c = (unsigned char)t.p[i] | 0x20;
		takes = c >= 0x80 || (c >= 'a' && c <= 'z') || t.p[i] == '_' || (i && t.p[i] >= '0' && t.p[i] <= '9');
	}
	if (takes && !vcr_text_is(t.p, t.n, "True") && !vcr_text_is(t.p, t.n, "False") && !vcr_text_is(t.p, t.n, "None"))
		match->takes_all = true;
}

static void jump(struct vcr_walk *w, const struct vcr_frame *f)
{
	if (ts_node_named_child_count(f->node) && (w->language != VCR_LANG_RUST || memchr(text_of(w, f->node).p, '\'', text_of(w, f->node).n)))
		add_cognitive(w, f, false);
}

/* *) of a shell, which is what default: is elsewhere: no path */
static bool is_default_case(const struct vcr_walk *w, const struct vcr_frame *f)
{
	struct vcr_text t = w->language == VCR_LANG_BASH && f->roles & R_PATH ? text_of(w, f->node) : (struct vcr_text){ "", 0 };
	if (t.n && *t.p == '(') {
		t.p++;
		t.n--;
	}
	return begins(t, "*)");
}

/* The roles of a node that is no token. around is the frame below f. */
static void enter_node(struct vcr_walk *w, struct vcr_frame *f, struct vcr_frame *around, bool else_if)
{
	uint32_t r = f->roles;
	if (r & R_FUNCTION)
		open_function(w, f, around);
	if (r & R_CLASS)
		open_class(w, f, around);
	if (r & R_PATH && !(around->roles & R_CASE) && !is_default_case(w, f)) /* the guard of a case belongs to it */
		add_path(w, f, 1);
	if (r & R_ELSE_CLAUSE && !(around->roles & R_IF))
		add_path(w, f, 1);
	if (r & R_BINARY)
		chain(w, f, around);
	if (r & R_CASE)
		one_case(w, f, around);
	if (r & R_BRANCH && !else_if) {
		add_cognitive(w, around, true);
		f->cognitive++;
	}
	if (r & R_FLAT)
		add_cognitive(w, around, false);
	if (r & R_INNER)
		f->cognitive++;
	if (r & R_LEVEL && !else_if && ++f->level && f->function >= 0 && f->level - w->measured[f->function].level > w->function[f->function].nesting)
		w->function[f->function].nesting = f->level - w->measured[f->function].level;
	if (r & R_APART)
		f->apart = true;
	if (r & R_CALL)
		call(w, f);
	if (r & R_CATCH)
		caught(w, f);
	if (r & R_IMPORT)
		mark(w, VCR_MARK_WILDCARD, f, around->node);
	if (r & R_JUMP)
		jump(w, f);
	if (r & R_ASSERT)
		mark(w, VCR_MARK_ASSERT, f, f->node);
	if (r & R_ATTRIBUTE && is_skip(text_of(w, f->node)))
		mark(w, VCR_MARK_SKIP, f, f->node);
}

static void add_token(struct vcr_walk *w, uint32_t roles, TSSymbol symbol, uint32_t at, uint32_t end, uint32_t line)
{
	struct vcr_token *t = vcr_walk_grow(w, (void **)&w->token, &w->ctoken, w->ntoken, sizeof *t);
	if (!t)
		return;
	uint32_t h = 2166136261u ^ symbol;
	if (roles & (R_NAME | R_LITERAL) || end - at > 3)
		for (uint32_t i = at; i < end; i++)
			h = (h ^ (unsigned char)w->text[i]) * 16777619u;
	*t = (struct vcr_token){ h, line, at, symbol, roles & R_NAME ? 1 : roles & R_LITERAL ? 2 : 0 };
	w->ntoken++;
}

/* One that says what is allowed. */
static void comment(struct vcr_walk *w, const struct vcr_frame *f, size_t at, size_t end)
{
	const char *rules;
	size_t n;
	uint32_t lines = vcr_allow_comment(w->text, w->n, at, end, &rules, &n), line = ts_node_start_point(f->node).row + 1;
	struct vcr_mark *m = lines && w->nmark < VCR_MOST_MARKS ? vcr_walk_grow(w, (void **)&w->mark, &w->cmark, w->nmark, sizeof *m) : NULL;
	if (!m)
		return;
	*m = (struct vcr_mark){ VCR_MARK_ALLOW, line, line + lines - 1, f->function, vcr_walk_keep(w, rules, n) };
	w->nmark++;
}

/* Does an operand end before that byte? Not with a word behind which one begins. */
static bool is_operand(const struct vcr_walk *w, size_t from, size_t at)
{
	static const char *const words[] = { "return", "move", "else", "in", "match", "if", "while", "mut", "as", "break", "async", "static", "yield", "let", "box", "ref" };
	size_t end = at;
	while (end > from && strchr(" \t\r\n", w->text[end - 1]) && w->text[end - 1])
		end--;
	if (end == from)
		return false;
	size_t n = 0;
	for (unsigned char c; n < end - from && n < 16; n++) {
		c = (unsigned char)w->text[end - 1 - n];
		if (c < 0x80 && c != '_' && !(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
			break;
	}
	if (!n)
		return strchr(")]}?\"'", w->text[end - 1]) && w->text[end - 1];
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (vcr_text_is(w->text + end - n, n, words[i]))
			return false;
	return true;
}

/* Rust: the arguments of a macro are tokens. An && or || of them is an operator if an operand ends before it, and one begins behind it: no || of a closure, no
 * reference to a reference, no Token![||]. */
static void macro_token(struct vcr_walk *w, const struct vcr_frame *f, struct vcr_frame *around)
{
	uint32_t at = ts_node_start_byte(f->node), end = ts_node_end_byte(f->node);
	if (!(f->roles & R_LOGIC)) {
		if (end - at == 1 && (w->text[at] == ',' || w->text[at] == ';'))
			around->logic = 0;
		return;
	}
	while (end < w->n && w->text[end] && strchr(" \t\r\n", w->text[end]))
		end++;
	if (!is_operand(w, ts_node_start_byte(around->node), at) || end >= w->n || !w->text[end] || strchr(")]},;|&", w->text[end]))
		return;
	add_path(w, f, 1);
	if (around->logic != ts_node_symbol(f->node))
		add_cognitive(w, f, false);
	around->logic = ts_node_symbol(f->node);
}

static void enter_token(struct vcr_walk *w, struct vcr_frame *f, struct vcr_frame *around)
{
	uint32_t r = f->roles, at = ts_node_start_byte(f->node), end = ts_node_end_byte(f->node);
	if (r & R_COMMENT) {
		comment(w, f, at, end);
		return;
	}
	if (at == end) {
		if (ts_node_is_missing(f->node))
			mark(w, VCR_MARK_ERROR, f, f->node);
		return;
	}
	bool is_default = around->roles & R_DEFAULT && (w->language == VCR_LANG_RUST ? (r & R_ELSE) != 0 : end - at == 1 && w->text[at] == '=');
	if (is_default || (r & R_PATH && !(around->roles & R_TYPE)))
		add_path(w, f, 1);
	if (w->map->tokens && ts_node_symbol(around->node) == w->map->tokens)
		macro_token(w, f, around);
	if (r & R_ELSE)
		around->is_else = true;
	if (r & R_IMPORT && (end - at != 1 || *(w->text + at) == '*' || *(w->text + at) == '.'))
		mark(w, VCR_MARK_WILDCARD, f, around->node);
	add_token(w, r, ts_node_symbol(f->node), at, end, ts_node_start_point(f->node).row + 1);
}

/* A new frame on top, for the node the cursor is at. Is it one to go into? */
static bool enter(struct vcr_walk *w, const TSTreeCursor *cursor, size_t depth)
{
	w->entered++;
	if (depth >= VCR_MAX_SOURCE_DEPTH) {
		w->is_deep = true;
		return false;
	}
	if (depth >= w->cframe && !vcr_walk_grow(w, (void **)&w->frame, &w->cframe, w->cframe, sizeof *w->frame))
		return false;
	struct vcr_frame *f = &w->frame[depth], *around = depth ? f - 1 : f;
	TSNode node = ts_tree_cursor_current_node(cursor);
	TSSymbol s = ts_node_symbol(node);
	uint32_t r = s < w->map->nsymbol ? w->map->role[s] : 0;
	bool leaf = !ts_node_child_count(node), is_else = depth && around->is_else && !(r & R_COMMENT);
	if (!depth)
		*f = (struct vcr_frame){ .function = -1, .class_ = -1 };
	else
		*f = (struct vcr_frame){ .logic = r & R_PAREN ? around->logic : 0, .function = around->function, .class_ = around->class_, .level = around->level,
			.cognitive = around->cognitive, .apart = around->apart };
	f->node = node;
	f->roles = r;
	if (is_else) {
		around->is_else = false;
		add_cognitive(w, f, false);
	}
	if (s == (TSSymbol)-1)
		mark(w, VCR_MARK_ERROR, f, node);
	if (leaf || r & R_WHOLE) {
		enter_token(w, f, around);
		return false;
	}
	if (depth && around->opened && w->map->body && ts_tree_cursor_current_field_id(cursor) == w->map->body) {
		struct vcr_measured *m = &w->measured[around->function];
		f->body = true;
		f->apart = false;
		m->body_start = (uint32_t)w->ntoken;
		m->has_body = true;
	}
	if (depth && around->roles & R_PREPROC && ts_tree_cursor_current_field_id(cursor) == w->map->condition)
		f->apart = true;
	if (depth && w->keeps_units && vcr_unit_begin(w, f, around, depth))
		return false;
	if (r)
		enter_node(w, f, around, is_else && r & R_IF);
	if (r & R_BLOCK)
		add_token(w, 0, s, VCR_NO_TEXT, VCR_NO_TEXT, ts_node_start_point(node).row + 1);
	return true;
}

static void leave(struct vcr_walk *w, size_t depth)
{
	struct vcr_frame *f = &w->frame[depth];
	if (f->roles & R_BLOCK && !f->opened)
		add_token(w, 0, (TSSymbol)-2, VCR_NO_TEXT, VCR_NO_TEXT, end_line(f->node));
	if (f->roles & R_CASES && f->cases)
		add_path(w, f, f->cases - f->takes_all);
	if (f->opened && f->function >= 0) {
		struct vcr_function *fn = &w->function[f->function];
		fn->last_token = (uint32_t)w->ntoken;
		vcr_body_measure(w, fn, &w->measured[f->function]);
	}
	if (f->unit)
		vcr_unit_end(w, f);
}

static void walk(struct vcr_walk *w, TSTreeCursor *cursor)
{
	size_t depth = 0;
	bool in = enter(w, cursor, 0);
	while (!w->err) {
		if (in && ts_tree_cursor_goto_first_child(cursor)) {
			in = enter(w, cursor, ++depth);
			continue;
		}
		if (in)
			leave(w, depth);
		while (depth && !ts_tree_cursor_goto_next_sibling(cursor)) {
			ts_tree_cursor_goto_parent(cursor);
			leave(w, --depth);
		}
		if (!depth)
			return;
		in = enter(w, cursor, depth);
	}
}

static uint32_t count_lines(const char *p, size_t n)
{
	uint32_t lines = 0;
	const char *end = p + n;
	for (const char *q = p; (q = memchr(q, '\n', (size_t)(end - q))) != NULL; q++)
		lines++;
	return lines + (n && end[-1] != '\n');
}

int vcr_walk(struct vcr_walk *w, int language, const struct vcr_lang_map *map, const TSTree *tree, const char *text, size_t n, struct vcr_metrics *out,
	struct vcr_error *e)
{
	TSNode root = ts_tree_root_node(tree);
	empty(w);
	w->language = language;
	w->map = map;
	w->text = text;
	w->n = n;
	TSTreeCursor cursor = ts_tree_cursor_new(root);
	walk(w, &cursor);
	ts_tree_cursor_delete(&cursor);
	if (w->err)
		return vcr_error_set(e, w->err, "no memory");
	*out = (struct vcr_metrics){ .language = language, .lines = count_lines(text, n), .bytes = n, .function = w->function, .nfunction = w->nfunction,
		.class_ = w->class_, .nclass = w->nclass, .mark = w->mark, .nmark = w->nmark, .token = w->token, .ntoken = w->ntoken,
		.is_broken = ts_node_has_error(root), .is_deep = w->is_deep };
	return 0;
}
