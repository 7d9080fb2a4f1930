/* What the tokens of a body say: whether two are the same, and whether it does anything. */
#include "sentinel-measure.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { STUB_TOKENS = 40 };

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

/* In which place a name stands among those of the body: by an open table of twice their number, empty where it is 0. */
static uint32_t place(uint32_t *table, uint32_t mask, uint32_t name, uint32_t *known)
{
	uint32_t i = name & mask;
	while (table[2 * i + 1] && table[2 * i] != name)
		i = (i + 1) & mask;
	if (!table[2 * i + 1]) {
		table[2 * i] = name;
		table[2 * i + 1] = ++*known;
	}
	return table[2 * i + 1];
}

static void hash(struct vcr_walk *w, struct vcr_function *f, uint32_t first, uint32_t last)
{
	uint32_t slots = 16, known = 0;
	while (slots < (last - first) * 2)
		slots *= 2;
	if (slots * 2 > w->cseen) {
		uint32_t *p = realloc(w->seen, slots * 2 * sizeof *p);
		if (!p) {
			w->err = VCR_ENOMEM;
			return;
		}
		w->seen = p;
		w->cseen = slots * 2;
	}
	memset(w->seen, 0, slots * 2 * sizeof *w->seen);
	uint64_t exact = 1, renamed = 1;
	for (uint32_t i = first; i < last; i++) {
		const struct vcr_token *t = &w->token[i];
		exact = mix(exact, (uint64_t)t->symbol << 32 | t->text);
		renamed = mix(renamed, t->is_name == 1 ? (uint64_t)1 << 60 | place(w->seen, slots - 1, t->text, &known)
			: t->is_name == 2 ? (uint64_t)2 << 60 : (uint64_t)t->symbol << 32 | t->text);
	}
	f->body = exact;
	f->body_renamed = renamed;
}

/* The words of a short body, one blank between them; a docstring is left out. */
static bool words_of(const struct vcr_walk *w, const struct vcr_function *f, uint32_t first, uint32_t last, char *to, size_t size)
{
	size_t n = 0;
	uint32_t i = first;
	while (w->language == VCR_LANG_PYTHON && i < last && (w->token[i].at == VCR_NO_TEXT || w->token[i].is_name == 2))
		i++;
	for (uint32_t next; i < last; i = next) {
		const struct vcr_token *t = &w->token[i];
		for (next = i + 1; next < last && w->token[next].at == VCR_NO_TEXT;)
			next++;
		if (t->at == VCR_NO_TEXT)
			continue;
		uint32_t end = next < last ? w->token[next].at : f->end_byte;
		while (end > t->at && isspace((unsigned char)w->text[end - 1]))
			end--;
		if (n + (end - t->at) + 2 > size)
			return false;
		memcpy(to + n, w->text + t->at, end - t->at);
		n += end - t->at;
		to[n++] = ' ';
	}
	to[n ? n - 1 : 0] = 0;
	return true;
}

static bool says_undone(const char *s)
{
	return strcasestr(s, "not implemented") || strcasestr(s, "notimplemented") || strcasestr(s, "unimplemented") || strcasestr(s, "not yet implemented")
		|| strcasestr(s, "UnsupportedOperation") || strstr(s, "TO" "DO");
}

static bool is_stub(const char *s, int language)
{
	if (language == VCR_LANG_PYTHON)
		return !*s || !strcmp(s, "pass") || !strcmp(s, "...") || !strncmp(s, "raise NotImplementedError", 25) || !strcmp(s, "return NotImplemented");
	while (*s == '{' || *s == ' ')
		s++;
	return !strncmp(s, "todo !", 6) || !strncmp(s, "unimplemented !", 15) || !strncmp(s, "raise NotImplementedError", 25)
		|| ((!strncmp(s, "throw ", 6) || !strncmp(s, "panic (", 7) || !strncmp(s, "raise ", 6)) && says_undone(s));
}

void vcr_body_measure(struct vcr_walk *w, struct vcr_function *f, const struct vcr_measured *m)
{
	uint32_t first = m->has_body ? m->body_start : f->last_token, last = f->last_token;
	char words[1024];
	f->first_token = first;
	f->tokens = last - first;
	if (first == last)
		return;
	hash(w, f, first, last);
	if (last - first <= STUB_TOKENS && words_of(w, f, first, last, words, sizeof words))
		f->is_stub = is_stub(words, w->language);
}
