#include "pair.h"
#include "limits.h"
#include "pair-cut.h"
#include "session.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vcr_pair {
	struct vcr_pair_call call[VCR_PAIR_CALLS]; /* a ring */
	size_t count, next, memory;
	vcr_pair_fn *told;
	void *ctx;
};

/* ---- The table ---- */

struct vcr_pair *vcr_pair_new(vcr_pair_fn *told, void *ctx)
{
	struct vcr_pair *p = calloc(1, sizeof *p);
	if (p) {
		p->told = told;
		p->ctx = ctx;
	}
	return p;
}

static void drop_arguments(struct vcr_pair *p, struct vcr_pair_call *c)
{
	p->memory -= c->arguments ? strlen(c->arguments) : 0;
	free(c->arguments);
	c->arguments = NULL;
}

static void forget(struct vcr_pair *p, struct vcr_pair_call *c)
{
	drop_arguments(p, c);
	free(c->id);
	free(c->name);
	free(c->input);
	*c = (struct vcr_pair_call){ .told = true };
}

void vcr_pair_free(struct vcr_pair *p)
{
	for (size_t i = 0; p && i < p->count; i++)
		forget(p, &p->call[i]);
	free(p);
}

static void tell(struct vcr_pair *p, struct vcr_pair_call *c, const struct vcr_json *j, const struct vcr_tool_result *r, uint64_t time_ns)
{
	if (c->told)
		return;
	c->told = true;
	if (!c->until_ns || r)
		c->until_ns = time_ns;
	p->told(p->ctx, c, j, r, time_ns);
}

/* From the oldest to the newest. */
static struct vcr_pair_call *nth(const struct vcr_pair *p, size_t i)
{
	size_t first = p->count < VCR_PAIR_CALLS ? 0 : p->next;
	return (struct vcr_pair_call *)&p->call[(first + i) % VCR_PAIR_CALLS];
}

/* ---- Asked ---- */

struct asking { struct vcr_pair *p; const char *frame_id; int pid; uint64_t time_ns; const struct vcr_json *j; };

static int on_asked(void *ctx, const struct vcr_tool_call *t)
{
	struct asking *a = ctx;
	struct vcr_pair *p = a->p;
	struct vcr_pair_call *c = &p->call[p->next];
	VCR_AUTO_BUF input = VCR_BUF_INIT, arguments = VCR_BUF_INIT, at = VCR_BUF_INIT;
	if (p->count == VCR_PAIR_CALLS)
		tell(p, c, NULL, NULL, a->time_ns);
	vcr_buf_printf(&at, "output_state.response.%s", t->at);
	vcr_pair_arguments(&arguments, a->j, t->arguments);
	vcr_pair_cut_input(&input, arguments.data, arguments.len, a->frame_id, at.data);
	if (arguments.len > VCR_MAX_TOOL_ARGUMENTS || p->memory + arguments.len > VCR_MAX_TOOL_MEMORY)
		vcr_buf_reset(&arguments);
	if (arguments.err || input.err || at.err)
		return VCR_ENOMEM;
	forget(p, c);
	*c = (struct vcr_pair_call){ .id = strdup(t->id), .name = strdup(t->name), .pid = a->pid, .asked_ns = a->time_ns };
	c->input = vcr_buf_take(&input, NULL);
	c->arguments = arguments.len ? vcr_buf_take(&arguments, NULL) : strdup("");
	p->memory += c->arguments ? strlen(c->arguments) : 0;
	p->next = (p->next + 1) % VCR_PAIR_CALLS;
	p->count += p->count < VCR_PAIR_CALLS;
	if (!c->id || !c->name || !c->input || !c->arguments) {
		forget(p, c);
		c->id = strdup(""); /* an empty place: told already, never matched */
		return VCR_ENOMEM;
	}
	vcr_frame_new_id(c->frame_id);
	snprintf(c->asked_by, sizeof c->asked_by, "%s", a->frame_id);
	return 0;
}

int vcr_pair_asked(struct vcr_pair *p, const char *frame_id, int pid, uint64_t time_ns, const struct vcr_json *j, int response)
{
	struct asking a = { p, frame_id, pid, time_ns, j };
	return vcr_tool_calls(j, response, on_asked, &a);
}

/* ---- Answered ---- */

struct answering { struct vcr_pair *p; const char *parent; int pid; uint64_t time_ns; const struct vcr_json *j; };

static bool fits(const struct vcr_pair_call *c, const struct vcr_tool_result *r)
{
	if (c->told)
		return false;
	if (*c->id && *r->id)
		return !strcmp(c->id, r->id);
	return !*r->name || !strcmp(c->name, r->name);
}

/* Of the calls of the conversation's previous call: the one with that id, else the first without. */
static struct vcr_pair_call *of_parent(const struct answering *a, const struct vcr_tool_result *r)
{
	for (size_t i = 0; *a->parent && i < a->p->count; i++) {
		struct vcr_pair_call *c = nth(a->p, i);
		if (!strcmp(c->asked_by, a->parent) && fits(c, r))
			return c;
	}
	return NULL;
}

/* Elsewhere only an id says which: if several calls have it, the one of this process, if there is one. */
static struct vcr_pair_call *by_id(const struct answering *a, const struct vcr_tool_result *r)
{
	struct vcr_pair_call *any = NULL, *own = NULL;
	int nany = 0, nown = 0;
	for (size_t i = 0; strlen(r->id) >= VCR_PAIR_ID && i < a->p->count; i++) {
		struct vcr_pair_call *c = nth(a->p, i);
		if (c->told || strcmp(c->id, r->id))
			continue;
		any = c;
		nany++;
		if (c->pid == a->pid) {
			own = c;
			nown++;
		}
	}
	return nany == 1 ? any : nown == 1 ? own : NULL;
}

static int on_result(void *ctx, const struct vcr_tool_result *r)
{
	struct answering *a = ctx;
	struct vcr_pair_call *c = of_parent(a, r);
	if (!c)
		c = by_id(a, r);
	if (c)
		tell(a->p, c, a->j, r, a->time_ns);
	return 0;
}

int vcr_pair_answered(struct vcr_pair *p, const char *parent, size_t known, int pid, uint64_t time_ns, const struct vcr_json *j, const char *list_key)
{
	struct answering a = { p, parent, pid, time_ns, j };
	bool pending = false;
	for (size_t i = 0; i < p->count && !pending; i++)
		pending = !p->call[i].told;
	return pending ? vcr_tool_results(j, list_key, known, on_result, &a) : 0;
}

void vcr_pair_gone(struct vcr_pair *p, int pid, uint64_t time_ns)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->call[i].pid == pid && !p->call[i].until_ns)
			p->call[i].until_ns = time_ns ? time_ns : 1;
}

void vcr_pair_was_told(struct vcr_pair *p, const char *asked_by, const char *id)
{
	for (size_t i = 0; i < p->count; i++) {
		struct vcr_pair_call *c = nth(p, i);
		if (!c->told && !strcmp(c->asked_by, asked_by) && !strcmp(c->id, id)) {
			c->told = true;
			c->until_ns = c->asked_ns ? c->asked_ns : 1;
			return;
		}
	}
}

void vcr_pair_end(struct vcr_pair *p, uint64_t time_ns)
{
	for (size_t i = 0; i < p->count; i++)
		tell(p, nth(p, i), NULL, NULL, time_ns);
}

/* ---- Whose work ---- */

static bool was_pending(const struct vcr_pair_call *c, uint64_t at_ns)
{
	return c->asked_by[0] && c->asked_ns <= at_ns && (!c->until_ns || at_ns <= c->until_ns);
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || (unsigned char)c >= 0x80;
}

/* Is the name that begins at p no part of a longer one? "./" may stand before it. */
static bool begins_name(const char *text, const char *p)
{
	if (p - text >= 2 && p[-1] == '/' && p[-2] == '.')
		p -= 2;
	return p == text || (!is_word(p[-1]) && p[-1] != '/' && p[-1] != '.');
}

static bool names_path(const char *text, size_t len, const char *path)
{
	size_t n = strlen(path);
	for (const char *p = text, *end = text + len; n > 1 && (p = memmem(p, (size_t)(end - p), path, n)); p++) {
		const char *q = p + n;
		if (begins_name(text, p) && (q >= end || (!is_word(*q) && *q != '/' && (*q != '.' || q + 1 >= end || !is_word(q[1])))))
			return true;
	}
	return false;
}

struct words { const char *const *path; int argc; char *const *argv; };

/* Does the text name one of the words? In a command or a patch a path may stand anywhere; other texts (the content of a file) may speak of paths without
 * touching them. */
static bool text_names(const char *text, size_t len, const struct words *w, bool command)
{
	for (const char *const *path = w->path; path && *path; path++)
		if (command ? names_path(text, len, *path) : strlen(*path) <= len && len - strlen(*path) <= 2 && names_path(text, len, *path))
			return true;
	for (int i = 0; len > 1 && i < w->argc; i++)
		if (strlen(w->argv[i]) == len && !memcmp(w->argv[i], text, len))
			return true;
	return false;
}

static bool is_command(const struct vcr_json *j, int key)
{
	static const char *const keys[] = { "command", "commands", "cmd", "script", "code", "patch", "diff", "input" };
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (vcr_json_is(j, key, keys[i]))
			return true;
	return false;
}

static bool value_names(const struct vcr_json *j, int v, const struct words *w, bool command)
{
	enum vcr_json_type type = vcr_json_type(j, v);
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	if (type == VCR_JSON_STRING && !vcr_json_str(j, v, &s))
		return text_names(s.data, s.len, w, command);
	if (type == VCR_JSON_OBJECT) {
		for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m))
			if (value_names(j, vcr_json_value(j, m), w, is_command(j, m)))
				return true;
	} else if (type == VCR_JSON_ARRAY) {
		for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m))
			if (value_names(j, m, w, command))
				return true;
	}
	return false;
}

/* Could it be in there? Only plain names stand in JSON as they are. */
static bool may_name(const char *arguments, const struct words *w)
{
	for (const char *const *path = w->path; path && *path; path++) {
		bool plain = true;
		for (const char *p = *path; *p && plain; p++)
			plain = *p >= ' ' && *p < 127 && *p != '"' && *p != '\\';
		if (!plain || strstr(arguments, *path))
			return true;
	}
	return w->argc > 0;
}

static bool call_names(const struct vcr_pair_call *c, const struct words *w)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	return *c->arguments && may_name(c->arguments, w) && !vcr_json_parse(&j, c->arguments, strlen(c->arguments), VCR_JSON_RELAXED, NULL) && value_names(&j, 0, w, false);
}

/* The calls that are left, counted: how many, the first, and whether all are of its frame. */
struct left { const struct vcr_pair_call *one; int n; bool frames; };

static void count_call(struct left *l, const struct vcr_pair_call *c)
{
	if (l->n++ && strcmp(l->one->asked_by, c->asked_by))
		l->frames = true;
	if (!l->one)
		l->one = c;
}

static enum vcr_pair_how settle(const struct left *l, enum vcr_pair_how one, struct vcr_pair_cause *out)
{
	if (!l->n)
		return VCR_PAIR_NOT;
	if (l->frames)
		return VCR_PAIR_UNCLEAR;
	strcpy(out->asked_by, l->one->asked_by);
	out->tool_call = l->n == 1 ? l->one->id : NULL;
	return l->n == 1 ? one : VCR_PAIR_FRAME;
}

enum vcr_pair_how vcr_pair_at_work(const struct vcr_pair *p, int pid, uint64_t at_ns, const char *const *path, int argc, char *const *argv, struct vcr_pair_cause *out)
{
	const struct words w = { path, argc, argv };
	struct left all = { 0 }, named = { 0 };
	for (size_t i = 0; i < p->count; i++) {
		const struct vcr_pair_call *c = nth(p, i);
		if ((!pid || c->pid == pid) && was_pending(c, at_ns))
			count_call(&all, c);
	}
	if (pid && all.n <= 1)
		return settle(&all, VCR_PAIR_ALONE, out);
	for (size_t i = 0; i < p->count; i++) {
		const struct vcr_pair_call *c = nth(p, i);
		if ((!pid || c->pid == pid) && was_pending(c, at_ns) && call_names(c, &w))
			count_call(&named, c);
	}
	if (named.n == 1 || !pid)
		return named.n == 1 ? settle(&named, VCR_PAIR_ARGUMENT, out) : VCR_PAIR_NOT;
	return settle(&all, VCR_PAIR_ALONE, out);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void trim(const char **p, size_t *n)
{
	for (; *n && is_space(**p); --*n)
		++*p;
	while (*n && is_space((*p)[*n - 1]))
		--*n;
}

static bool has_string(const struct vcr_json *j, int v, const char *text, size_t n)
{
	enum vcr_json_type type = vcr_json_type(j, v);
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	if (type == VCR_JSON_STRING && !vcr_json_str(j, v, &s)) {
		const char *q = s.data;
		size_t k = s.len;
		trim(&q, &k);
		return k == n && !memcmp(q, text, n);
	}
	if (type == VCR_JSON_OBJECT || type == VCR_JSON_ARRAY)
		for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m))
			if (has_string(j, type == VCR_JSON_OBJECT ? vcr_json_value(j, m) : m, text, n))
				return true;
	return false;
}

enum vcr_pair_how vcr_pair_prompted(const struct vcr_pair *p, uint64_t at_ns, const char *text, size_t n, struct vcr_pair_cause *out)
{
	struct left l = { 0 };
	trim(&text, &n);
	for (size_t i = 0; n >= VCR_PAIR_PROMPT && i < p->count; i++) {
		const struct vcr_pair_call *c = nth(p, i);
		VCR_AUTO_JSON j = VCR_JSON_INIT;
		if (was_pending(c, at_ns) && strlen(c->arguments) > n && !vcr_json_parse(&j, c->arguments, strlen(c->arguments), VCR_JSON_RELAXED, NULL) &&
			has_string(&j, 0, text, n))
			count_call(&l, c);
	}
	return settle(&l, VCR_PAIR_ALONE, out);
}

/* mcp__files__add, files.add, files/add, add: agents put the server's name before that of the tool. */
static bool is_tool_of(const char *name, const char *tool)
{
	size_t n = strlen(name), k = strlen(tool);
	return k && n >= k && !strcmp(name + n - k, tool) && (n == k || strchr("_.-/:", name[n - k - 1]));
}

bool vcr_pair_is_mcp(struct vcr_pair *p, uint64_t at_ns, const char *name, const struct vcr_json *j, int arguments, const char *other, struct vcr_pair_cause *out)
{
	struct vcr_pair_call *found = NULL;
	for (size_t i = 0; i < p->count; i++) {
		struct vcr_pair_call *c = nth(p, i);
		VCR_AUTO_JSON own = VCR_JSON_INIT;
		if (!was_pending(c, at_ns) || *c->other || !is_tool_of(c->name, name) || !*c->arguments ||
			vcr_json_parse(&own, c->arguments, strlen(c->arguments), VCR_JSON_RELAXED, NULL) ||
			(arguments >= 0 ? !vcr_json_equal(&own, 0, j, arguments) : vcr_json_count(&own, 0) != 0))
			continue;
		if (found)
			return false;
		found = c;
	}
	if (!found)
		return false;
	snprintf(found->other, sizeof found->other, "%s", other);
	strcpy(out->asked_by, found->asked_by);
	out->tool_call = found->id;
	return true;
}
