/* metrics.h — are two measurements the same, in all that they say? */
#ifndef VCR_TESTS_METRICS_H
#define VCR_TESTS_METRICS_H
#include <string.h>
#include "sentinel.h"

/* What differs first, or NULL. */
static inline const char *metrics_differ(const struct vcr_metrics *a, const struct vcr_metrics *b)
{
	if (a->language != b->language || a->lines != b->lines || a->bytes != b->bytes || a->is_broken != b->is_broken || a->is_deep != b->is_deep)
		return "the file";
	if (a->nfunction != b->nfunction || a->nclass != b->nclass || a->nmark != b->nmark || a->ntoken != b->ntoken)
		return "how many there are";
	for (size_t i = 0; i < a->nfunction; i++) {
		const struct vcr_function *f = &a->function[i], *g = &b->function[i];
		if (strcmp(f->name, g->name) || strcmp(f->qualified, g->qualified))
			return "the name of a function";
		if (f->start_line != g->start_line || f->end_line != g->end_line || f->start_byte != g->start_byte || f->end_byte != g->end_byte)
			return "the place of a function";
		if (f->cognitive != g->cognitive)
			return "cognitive complexity";
		if (f->parameters != g->parameters || f->cyclomatic != g->cyclomatic || f->nesting != g->nesting || f->length != g->length)
			return "the figures of a function";
		if (f->tokens != g->tokens || f->body != g->body || f->body_renamed != g->body_renamed || f->first_token != g->first_token || f->last_token != g->last_token)
			return "the body of a function";
		if (f->parent != g->parent || f->in_class != g->in_class)
			return "what is around a function";
		if (f->is_stub != g->is_stub || f->is_abstract != g->is_abstract || f->is_test != g->is_test || f->is_broken != g->is_broken)
			return "what a function is";
	}
	for (size_t i = 0; i < a->nclass; i++) {
		const struct vcr_class *c = &a->class_[i], *d = &b->class_[i];
		if (strcmp(c->name, d->name) || c->start_line != d->start_line || c->end_line != d->end_line || c->methods != d->methods || c->is_interface != d->is_interface)
			return "a class";
	}
	for (size_t i = 0; i < a->nmark; i++) {
		const struct vcr_mark *m = &a->mark[i], *n = &b->mark[i];
		if (m->kind != n->kind || m->start_line != n->start_line || m->end_line != n->end_line || m->function != n->function || strcmp(m->text, n->text))
			return "a mark";
	}
	for (size_t i = 0; i < a->ntoken; i++) {
		const struct vcr_token *t = &a->token[i], *u = &b->token[i];
		if (t->text != u->text || t->line != u->line || t->at != u->at || t->symbol != u->symbol || t->is_name != u->is_name)
			return "a token";
	}
	return NULL;
}
#endif
