/* japply.h — the changes of a vcr_jdiff carried out: removed last first, then added and changed in order, as RFC 6902 would. */
#ifndef VCR_TESTS_JAPPLY_H
#define VCR_TESTS_JAPPLY_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "jdiff.h"
#include "tree.h"

/* One reference token of a pointer, unescaped; moves *p behind it. */
static inline void japply_token(const char **p, const char *end, struct vcr_buf *out)
{
	vcr_buf_reset(out);
	for (++*p; *p < end && **p != '/'; ++*p)
		if (**p == '~')
			vcr_buf_putc(out, *++*p == '0' ? '~' : '/');
		else
			vcr_buf_putc(out, **p);
}

static inline bool japply_is_key(const struct vcr_node *n, const struct vcr_buf *key)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, plain = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	vcr_buf_putc(&text, '"');
	vcr_buf_add(&text, n->key, n->nkey);
	vcr_buf_putc(&text, '"');
	return !vcr_json_parse(&j, text.data, text.len, VCR_JSON_RELAXED, NULL) && !vcr_json_str(&j, 0, &plain) && plain.len == key->len &&
		!memcmp(plain.data, key->data, key->len);
}

/* The link to the node of that name or place; to the end of the list for what is not there. */
static inline struct vcr_node **japply_link(struct vcr_node *in, const struct vcr_buf *token)
{
	struct vcr_node **link = &in->first;
	long i = in->kind == VCR_NODE_ARRAY ? atol(token->data) : -1;
	for (; *link; link = &(*link)->next)
		if (i >= 0 ? i-- == 0 : japply_is_key(*link, token))
			break;
	return link;
}

/* Carry out change i. False: its place is not there. */
static inline bool japply_one(struct vcr_tree *t, struct vcr_node **root, const struct vcr_jdiff *d, size_t i)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, token = VCR_BUF_INIT;
	const struct vcr_jdiff_change *c = &d->change[i];
	struct vcr_node **link = root, *in = NULL, *new = c->b >= 0 ? vcr_tree_copy(t, d->jb, c->b) : NULL;
	vcr_jdiff_path(d, i, false, &path);
	for (const char *p = path.data, *end = p + path.len; p < end;) {
		japply_token(&p, end, &token);
		if (!(in = *link) || (in->kind != VCR_NODE_OBJECT && in->kind != VCR_NODE_ARRAY))
			return false;
		link = japply_link(in, &token);
	}
	if (c->op == VCR_JDIFF_ADDED ? in && in->kind == VCR_NODE_OBJECT && *link : !*link)
		return false;
	if (new && in && in->kind == VCR_NODE_OBJECT) {
		const struct vcr_jdiff_step *s = &d->step[c->step];
		size_t n;
		new->key = vcr_json_raw(s->key_in_a ? d->ja : d->jb, s->key, &n) + 1;
		new->nkey = n - 2;
	}
	struct vcr_node *after = c->op == VCR_JDIFF_ADDED ? *link : (*link)->next;
	*link = new ? new : after;
	if (new)
		new->next = after;
	return true;
}

/* Append B as made of A. False: a change could not be carried out. */
static inline bool japply(const struct vcr_jdiff *d, int va, struct vcr_buf *out)
{
	struct vcr_tree t = { 0 };
	struct vcr_node *root = va >= 0 ? vcr_tree_copy(&t, d->ja, va) : NULL;
	bool good = true;
	for (size_t i = d->n; i-- > 0 && good;)
		if (d->change[i].op == VCR_JDIFF_REMOVED)
			good = japply_one(&t, &root, d, i);
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < d->n && good; i++)
			if (d->change[i].op == (round ? VCR_JDIFF_CHANGED : VCR_JDIFF_ADDED))
				good = japply_one(&t, &root, d, i);
	vcr_node_write(root, out);
	good = good && !t.err;
	vcr_tree_release(&t);
	return good;
}
#endif
