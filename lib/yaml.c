#include "yaml.h"
#include "json.h"
#include "limits.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* What an anchor names: its JSON text in the output; open: it is still being written. */
struct anchor { char *name; size_t from, to; bool open; };
struct level { bool map, key; size_t count; int anchor; };

struct convert {
	yaml_parser_t parser;
	struct vcr_buf *out;
	struct level level[VCR_MAX_JSON_DEPTH];
	int depth;
	struct anchor *anchor;
	size_t nanchor, copied;
	bool done;
	struct vcr_error *e;
};

static int refuse(struct convert *c, int code, const yaml_mark_t *at, const char *what)
{
	return vcr_error_set(c->e, code, "line %zu: %s", at->line + 1, what);
}

/* ---- Anchors ---- */

static int name_anchor(struct convert *c, const yaml_char_t *name, const yaml_mark_t *at, int *anchor)
{
	*anchor = -1;
	if (!name)
		return 0;
	if (c->nanchor == VCR_MAX_YAML_ANCHORS)
		return refuse(c, VCR_ELIMIT, at, "more anchors than a recording has");
	if (!(c->nanchor & (c->nanchor + 1))) { /* room for 1, 2, 4, … */
		struct anchor *more = realloc(c->anchor, 2 * (c->nanchor + 1) * sizeof *more);
		if (!more)
			return vcr_error_set(c->e, VCR_ENOMEM, "no memory");
		c->anchor = more;
	}
	char *copy = strdup((const char *)name);
	if (!copy)
		return vcr_error_set(c->e, VCR_ENOMEM, "no memory");
	c->anchor[c->nanchor] = (struct anchor){ copy, c->out->len, c->out->len, true };
	*anchor = (int)c->nanchor++;
	return 0;
}

static void end_anchor(struct convert *c, int anchor)
{
	if (anchor < 0)
		return;
	c->anchor[anchor].to = c->out->len;
	c->anchor[anchor].open = false;
}

static int copy_alias(struct convert *c, const yaml_event_t *ev)
{
	const char *name = (const char *)ev->data.alias.anchor;
	struct anchor *a = NULL;
	for (size_t i = c->nanchor; i-- > 0 && !a;)
		a = strcmp(c->anchor[i].name, name) ? NULL : &c->anchor[i];
	if (!a)
		return refuse(c, VCR_ESYNTAX, &ev->start_mark, "an alias names no anchor");
	if (a->open)
		return refuse(c, VCR_ESYNTAX, &ev->start_mark, "an alias stands in what it means");
	size_t n = a->to - a->from;
	if (n > VCR_MAX_YAML_COPIED - c->copied)
		return refuse(c, VCR_ELIMIT, &ev->start_mark, "aliases make it far larger than it is");
	c->copied += n;
	VCR_AUTO_BUF text = VCR_BUF_INIT; /* the output moves while it grows */
	vcr_buf_add(&text, c->out->data + a->from, n);
	return text.err ? text.err : vcr_buf_add(c->out, text.data, text.len);
}

/* ---- Values ---- */

/* What stands before a value. key: this scalar is one. */
static int place(struct convert *c, bool scalar, const yaml_mark_t *at, bool *key)
{
	*key = false;
	if (!c->depth)
		return c->done ? refuse(c, VCR_ESYNTAX, at, "more than one value") : 0;
	struct level *l = &c->level[c->depth - 1];
	if (l->map) {
		*key = l->key;
		l->key = !l->key;
	}
	if (*key && !scalar)
		return refuse(c, VCR_ESYNTAX, at, "a key that is no text");
	if (l->map && !*key)
		return vcr_buf_putc(c->out, ':');
	return l->count++ ? vcr_buf_putc(c->out, ',') : 0;
}

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(s, *words))
			return true;
	return false;
}

/* As JSON writes numbers; YAML's others (octal, sexagesimal, infinities) stay text, which is what a cassette's reader wants of them. */
static bool is_number(const char *s, size_t n)
{
	return n && n < 32 && strchr("-0123456789", *s) && !vcr_json_validate(s, n, 0, NULL, NULL);
}

static void put_string(struct convert *c, const char *s, size_t n)
{
	struct vcr_jw w;
	vcr_jw_init(&w, c->out);
	vcr_jw_strn(&w, s, n);
}

static void put_plain(struct convert *c, const char *s, size_t n)
{
	static const char *const none[] = { "", "~", "null", "Null", "NULL", NULL }, *const yes[] = { "true", "True", "TRUE", NULL },
		*const no[] = { "false", "False", "FALSE", NULL };
	if (strlen(s) == n && is_one_of(s, none))
		vcr_buf_puts(c->out, "null");
	else if (strlen(s) == n && (is_one_of(s, yes) || is_one_of(s, no)))
		vcr_buf_puts(c->out, is_one_of(s, yes) ? "true" : "false");
	else if (is_number(s, n))
		vcr_buf_add(c->out, s, n);
	else
		put_string(c, s, n);
}

static int put_scalar(struct convert *c, const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value, *tag = (const char *)ev->data.scalar.tag;
	size_t n = ev->data.scalar.length;
	bool key;
	int anchor, err = place(c, true, &ev->start_mark, &key);
	if (!err)
		err = name_anchor(c, ev->data.scalar.anchor, &ev->start_mark, &anchor);
	if (err)
		return err;
	if (!key && tag && !strcmp(tag, "tag:yaml.org,2002:binary")) {
		vcr_buf_puts(c->out, "{\"!!binary\":");
		put_string(c, s, n);
		vcr_buf_putc(c->out, '}');
	} else if (!key && ev->data.scalar.plain_implicit && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		put_plain(c, s, n);
	} else {
		put_string(c, s, n);
	}
	end_anchor(c, anchor);
	return c->out->err;
}

static int open_level(struct convert *c, bool map, const yaml_char_t *name, const yaml_mark_t *at)
{
	bool key;
	int anchor, err = place(c, false, at, &key);
	if (err)
		return err;
	if (c->depth == VCR_MAX_JSON_DEPTH - 2) /* what stands for binary text needs a level too */
		return refuse(c, VCR_ELIMIT, at, "nested deeper than a recording is");
	if ((err = name_anchor(c, name, at, &anchor)) != 0)
		return err;
	c->level[c->depth++] = (struct level){ map, map, 0, anchor };
	return vcr_buf_putc(c->out, map ? '{' : '[');
}

static int close_level(struct convert *c)
{
	struct level *l = &c->level[--c->depth];
	vcr_buf_putc(c->out, l->map ? '}' : ']');
	end_anchor(c, l->anchor);
	return c->out->err;
}

static int alias(struct convert *c, const yaml_event_t *ev)
{
	bool key;
	int err = place(c, false, &ev->start_mark, &key); /* what it stands for may be no text, so it is no key */
	return err ? err : copy_alias(c, ev);
}

static int take(struct convert *c, const yaml_event_t *ev)
{
	int err = 0;
	switch (ev->type) {
	case YAML_SCALAR_EVENT: err = put_scalar(c, ev); break;
	case YAML_ALIAS_EVENT: err = alias(c, ev); break;
	case YAML_SEQUENCE_START_EVENT: err = open_level(c, false, ev->data.sequence_start.anchor, &ev->start_mark); break;
	case YAML_MAPPING_START_EVENT: err = open_level(c, true, ev->data.mapping_start.anchor, &ev->start_mark); break;
	case YAML_SEQUENCE_END_EVENT: case YAML_MAPPING_END_EVENT: err = close_level(c); break;
	case YAML_DOCUMENT_START_EVENT: return c->done ? refuse(c, VCR_ESYNTAX, &ev->start_mark, "a second document") : 0;
	default: return 0;
	}
	c->done = c->done || !c->depth;
	return err;
}

static int broken(struct convert *c)
{
	const yaml_parser_t *p = &c->parser;
	if (p->error == YAML_MEMORY_ERROR)
		return vcr_error_set(c->e, VCR_ENOMEM, "no memory");
	size_t line = p->error == YAML_READER_ERROR ? 0 : p->problem_mark.line + 1;
	return line ? vcr_error_set(c->e, VCR_ESYNTAX, "line %zu: %s", line, p->problem ? p->problem : "no YAML")
		: vcr_error_set(c->e, VCR_ESYNTAX, "byte %zu: %s", p->problem_offset, p->problem ? p->problem : "no YAML");
}

static int convert(struct convert *c)
{
	for (bool end = false; !end;) {
		yaml_event_t ev;
		if (!yaml_parser_parse(&c->parser, &ev))
			return broken(c);
		end = ev.type == YAML_STREAM_END_EVENT;
		int err = take(c, &ev);
		yaml_event_delete(&ev);
		if (err)
			return err < 0 && !(c->e && c->e->code) ? vcr_error_set(c->e, err, "%s", vcr_strerror(err)) : err;
	}
	return c->done ? 0 : vcr_error_set(c->e, VCR_ESYNTAX, "nothing is in it");
}

int vcr_yaml_to_json(const char *p, size_t n, struct vcr_buf *out, struct vcr_error *e)
{
	struct vcr_error own = { 0 };
	size_t before = out->len;
	struct convert *c = calloc(1, sizeof *c);
	if (!c || !yaml_parser_initialize(&c->parser)) {
		free(c);
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	}
	c->out = out;
	c->e = e ? e : &own;
	*c->e = (struct vcr_error){ 0 };
	yaml_parser_set_input_string(&c->parser, (const unsigned char *)p, n);
	int err = convert(c);
	yaml_parser_delete(&c->parser);
	for (size_t i = 0; i < c->nanchor; i++)
		free(c->anchor[i].name);
	free(c->anchor);
	free(c);
	if (err && before <= out->len)
		vcr_buf_cut(out, before);
	return err;
}
