#include "limits.h"
#include "sentinel-measure.h"
#include "sentinel-memory.h"
#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIECE = 512, SAFE_BYTES = 60000, SAFE_DEPTH = 1000, SAFE_RATIO = 12 };

struct vcr_measure {
	TSParser *parser;   /* of what is tracked: it lives as long as this */
	struct vcr_arena arena;
	struct vcr_walk walk;
	const char *text;   /* what is parsed again after an edit, and how much of it the parser asked for */
	size_t ntext, read, walked;
	char *clean;        /* a copy of the text whose bytes are all UTF-8 */
	size_t nclean;
};

struct vcr_tracked {
	TSTree *tree;
	char *text;
	size_t n;
	int language;
	struct vcr_walk walk;
};

struct vcr_measure *vcr_measure_new(void)
{
	struct vcr_measure *m = calloc(1, sizeof *m);
	vcr_arena_install();
	if (m && !(m->parser = ts_parser_new())) {
		free(m);
		return NULL;
	}
	return m;
}

void vcr_measure_free(struct vcr_measure *m)
{
	if (!m)
		return;
	ts_parser_delete(m->parser);
	vcr_arena_release(&m->arena);
	vcr_walk_release(&m->walk);
	free(m->clean);
	free(m);
}

void vcr_tracked_free(struct vcr_tracked *t)
{
	if (!t)
		return;
	if (t->tree)
		ts_tree_delete(t->tree);
	vcr_walk_release(&t->walk);
	free(t->text);
	free(t);
}

/* Length of the valid UTF-8 character at p; 0: none. */
static size_t utf8(const unsigned char *p, size_t n)
{
	size_t k = *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
	if (!k || k > n)
		return 0;
	for (size_t i = 1; i < k; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
		return 0;
	return k;
}

static size_t ascii(const char *p, size_t n)
{
	size_t i = 0;
	for (uint64_t w; i + 8 <= n; i += 8) {
		memcpy(&w, p + i, 8);
		if (w & 0x8080808080808080u)
			break;
	}
	while (i < n && (unsigned char)p[i] < 0x80)
		i++;
	return i;
}

/* Where the first byte stands that is no UTF-8; n: there is none. */
static size_t first_invalid(const char *p, size_t n)
{
	size_t i = ascii(p, n);
	while (i < n) {
		size_t k = utf8((const unsigned char *)p + i, n - i);
		if (!k)
			return i;
		i += k;
		i += ascii(p + i, n - i);
	}
	return n;
}

/* *text: with a letter in the place of each byte that is no UTF-8; offsets and lines stay. 1: it begins with a BOM. */
static int clean(struct vcr_measure *m, const char **text, size_t n)
{
	size_t bad = first_invalid(*text, n);
	bool bom = n >= 3 && !memcmp(*text, "\xef\xbb\xbf", 3);
	if (bad == n && !bom)
		return 0;
	if (n > m->nclean) {
		char *p = realloc(m->clean, n);
		if (!p)
			return VCR_ENOMEM;
		m->clean = p;
		m->nclean = n;
	}
	memcpy(m->clean, *text, n);
	while (bad < n) {
		m->clean[bad] = '_';
		bad += first_invalid(m->clean + bad, n - bad);
	}
	*text = m->clean;
	return bom;
}

/* tree-sitter before 0.22 writes beyond its memory when it gives up with more than 65,535 things begun and not ended. So many do not fit into a small
 * text, and a text that holds them is one bracket after the other, or repeats itself. */
static bool is_risky(const char *p, size_t n)
{
	size_t depth = 0, deepest = 0;
	if (n < SAFE_BYTES || n > VCR_MAX_SOURCE)
		return false;
	for (size_t i = 0; i < n; i++) {
		depth += p[i] == '(' || p[i] == '[' || p[i] == '{';
		if (depth > deepest)
			deepest = depth;
		depth -= depth && (p[i] == ')' || p[i] == ']' || p[i] == '}');
	}
	if (deepest > SAFE_DEPTH)
		return true;
	int bound = (int)(n / SAFE_RATIO);
	char *packed = malloc((size_t)bound);
	bool fits = !packed || LZ4_compress_default(p, packed, (int)n, bound) > 0;
	free(packed);
	return fits;
}

/* Does the parser survive it? A process of its own finds out. */
static bool survives(TSParser *parser, const char *text, size_t n)
{
	int status = 0;
	pid_t pid = fork();
	if (!pid) {
		sigset_t none;
		sigemptyset(&none);
		signal(SIGABRT, SIG_DFL);
		signal(SIGALRM, SIG_DFL);
		sigprocmask(SIG_SETMASK, &none, NULL);
		alarm(VCR_MAX_PARSE_MS / 1000 + 3); /* memory that is corrupt, or a lock that another thread held, may keep it for ever */
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		dup2(null, STDERR_FILENO);
		TSTree *tree = ts_parser_parse_string(parser, NULL, text, (uint32_t)n);
		if (tree)
			ts_tree_delete(tree);
		_exit(!tree);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) && !WEXITSTATUS(status);
}

static int set_up(TSParser *parser, const struct vcr_lang_map *map, size_t n, struct vcr_error *e)
{
	if (n > VCR_MAX_SOURCE)
		return vcr_error_set(e, VCR_ELIMIT, "%zu bytes are more than the %d that are measured", n, VCR_MAX_SOURCE);
	if (!ts_parser_set_language(parser, map->grammar))
		return vcr_error_set(e, VCR_EVERSION, "the grammar of %s is of another ABI", vcr_language_name((int)(map->lang - vcr_lang(0))));
	ts_parser_set_timeout_micros(parser, VCR_MAX_PARSE_MS * 1000);
	return 0;
}

static int parse(TSParser *parser, const struct vcr_lang_map *map, const TSTree *old, const char *text, size_t n, bool risky, TSTree **out,
	struct vcr_error *e)
{
	int err = set_up(parser, map, n, e);
	if (err)
		return err;
	if (risky && !survives(parser, text, n))
		return vcr_error_set(e, VCR_ELIMIT, "its structure is more than the parser takes");
	*out = ts_parser_parse_string(parser, old, text, (uint32_t)n);
	if (*out)
		return 0;
	ts_parser_reset(parser);
	return vcr_error_set(e, VCR_ELIMIT, "its structure was not found within %d ms", VCR_MAX_PARSE_MS);
}

/* After an edit the parser asks for what it has to look at. */
static const char *read_piece(void *payload, uint32_t at, TSPoint position, uint32_t *n)
{
	struct vcr_measure *m = payload;
	(void)position;
	size_t left = at < m->ntext ? m->ntext - at : 0;
	*n = (uint32_t)(left < PIECE ? left : PIECE);
	m->read += *n;
	return left ? m->text + at : "";
}

static int parse_again(struct vcr_measure *m, const struct vcr_lang_map *map, const TSTree *old, const char *text, size_t n, TSTree **out, struct vcr_error *e)
{
	int err = set_up(m->parser, map, n, e); /* its last text may have been of another language */
	if (err)
		return err;
	m->text = text;
	m->ntext = n;
	m->read = 0;
	*out = ts_parser_parse(m->parser, old, (TSInput){ m, read_piece, TSInputEncodingUTF8 });
	if (*out)
		return 0;
	ts_parser_reset(m->parser);
	return vcr_error_set(e, VCR_ELIMIT, "its structure was not found within %d ms", VCR_MAX_PARSE_MS);
}

size_t vcr_measure_read(const struct vcr_measure *m)
{
	return m->read;
}

size_t vcr_measure_walked(const struct vcr_measure *m)
{
	return m->walked;
}

int vcr_measure(struct vcr_measure *m, int language, const char *text, size_t n, struct vcr_metrics *out, struct vcr_error *e)
{
	const struct vcr_lang_map *map;
	TSTree *tree = NULL;
	int err = vcr_lang_map(language, &map, e);
	m->read = n;
	if (err || (err = clean(m, &text, n)) < 0)
		return err;
	if (err) {
		text += 3;
		n -= 3;
	}
	bool risky = is_risky(text, n), at_once = !risky && vcr_arena_enter(&m->arena); /* what writes beyond its memory is found out by malloc */
	TSParser *parser = ts_parser_new();
	err = parse(parser, map, NULL, text, n, risky, &tree, e);
	if (!err)
		err = vcr_walk(&m->walk, language, map, tree, text, n, out, e);
	m->walked = m->walk.entered;
	if (tree && !at_once)
		ts_tree_delete(tree);
	ts_parser_delete(parser);
	vcr_arena_leave(&m->arena);
	return err;
}

/* What has changed between the two texts, as one edit. */
static TSInputEdit difference(const char *a, size_t na, const char *b, size_t nb)
{
	size_t head = 0, tail = 0, least = na < nb ? na : nb;
	while (head < least && a[head] == b[head])
		head++;
	while (tail < least - head && a[na - 1 - tail] == b[nb - 1 - tail])
		tail++;
	TSInputEdit edit = { .start_byte = (uint32_t)head, .old_end_byte = (uint32_t)(na - tail), .new_end_byte = (uint32_t)(nb - tail) };
	const struct { const char *p; size_t at; TSPoint *to; } points[] = { { b, head, &edit.start_point }, { a, na - tail, &edit.old_end_point },
		{ b, nb - tail, &edit.new_end_point } };
	for (size_t i = 0; i < 3; i++) {
		const char *line = points[i].p, *end = line + points[i].at, *newline;
		uint32_t row = 0;
		for (; (newline = memchr(line, '\n', (size_t)(end - line))) != NULL; line = newline + 1)
			row++;
		*points[i].to = (TSPoint){ row, (uint32_t)(end - line) };
	}
	return edit;
}

/* The text's tree by what is known of the last one. *again: it came of that one. What does not parse is parsed anew: after an edit the parser may see other errors than
 * those of the whole. */
static int parse_edited(struct vcr_measure *m, const struct vcr_lang_map *map, const TSTree *old, const char *text, size_t n, TSTree **out, bool *again, struct vcr_error *e)
{
	bool risky = is_risky(text, n);
	*again = old && !risky && n <= VCR_MAX_SOURCE;
	m->read = n;
	int err = *again ? parse_again(m, map, old, text, n, out, e) : 0;
	if (err || (*again && !ts_node_has_error(ts_tree_root_node(*out))))
		return err;
	if (*again)
		ts_tree_delete(*out);
	*again = false;
	m->read = n;
	return parse(m->parser, map, NULL, text, n, risky, out, e);
}

/* A file that was measured before is measured again. */
static int walk_again(struct vcr_tracked *t, const struct vcr_lang_map *map, const TSTree *tree, const TSInputEdit *edit, bool again, const char *text, size_t n, struct vcr_metrics *out,
	struct vcr_error *e)
{
	struct vcr_walk next = { .keeps_units = true };
	TSRange *range = NULL;
	if (again) {
		next.old = &t->walk;
		next.edited = (struct vcr_edited){ .start = edit->start_byte, .old_end = edit->old_end_byte, .new_end = edit->new_end_byte };
		next.edited.range = range = ts_tree_get_changed_ranges(t->tree, tree, &next.edited.nrange);
	}
	int err = vcr_walk(&next, t->language, map, tree, text, n, out, e);
	vcr_arena_give_back(range);
	next.old = NULL;
	next.edited = (struct vcr_edited){ .range = NULL };
	vcr_walk_release(&t->walk);
	t->walk = next;
	return err;
}

static struct vcr_tracked *track(struct vcr_tracked *old, int language)
{
	if (old && old->language == language)
		return old;
	vcr_tracked_free(old);
	struct vcr_tracked *t = calloc(1, sizeof *t);
	if (t)
		t->language = language;
	return t;
}

/* t->tree is edited and of no use if this fails. */
static int measure_edited(struct vcr_measure *m, struct vcr_tracked *t, const struct vcr_lang_map *map, const char *text, size_t n, struct vcr_metrics *out, struct vcr_error *e)
{
	TSInputEdit edit = { 0 };
	TSTree *tree = NULL;
	bool again;
	char *copy = malloc(n ? n : 1);
	if (!copy)
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	memcpy(copy, text, n);
	if (t->tree) {
		edit = difference(t->text, t->n, text, n);
		ts_tree_edit(t->tree, &edit);
	}
	int err = parse_edited(m, map, t->tree, text, n, &tree, &again, e);
	if (!err)
		err = walk_again(t, map, tree, &edit, again, copy, n, out, e);
	if (err) {
		if (tree)
			ts_tree_delete(tree);
		free(copy);
		return err;
	}
	m->walked = t->walk.entered;
	if (t->tree)
		ts_tree_delete(t->tree);
	free(t->text);
	t->tree = tree;
	t->text = copy;
	t->n = n;
	return 0;
}

int vcr_measure_tracked(struct vcr_measure *m, struct vcr_tracked **t, int language, const char *text, size_t n, struct vcr_metrics *out, struct vcr_error *e)
{
	const struct vcr_lang_map *map;
	int err = vcr_lang_map(language, &map, e);
	if (err || (err = clean(m, &text, n)) < 0)
		return err;
	if (err) {
		text += 3;
		n -= 3;
	}
	if (!(*t = track(*t, language)))
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	if ((err = measure_edited(m, *t, map, text, n, out, e)) != 0) {
		vcr_tracked_free(*t);
		*t = NULL;
	}
	return err;
}
