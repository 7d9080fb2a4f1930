#include "flow-parts.h"
#include "limits.h"
#include <stdlib.h>
#include <string.h>

static size_t slot(const struct vcr_flow *f, uint32_t number)
{
	return (number * 2654435761u) & (f->nbucket - 1);
}

struct conn *vcr_conn_find(const struct vcr_flow *f, uint32_t number)
{
	struct conn *c = f->bucket[slot(f, number)];
	while (c && c->number != number)
		c = c->next;
	return c;
}

static void grow_table(struct vcr_flow *f)
{
	size_t old = f->nbucket;
	struct conn **was = f->bucket, **now = calloc(2 * old, sizeof *now);
	if (!now)
		return; /* longer chains, nothing worse */
	f->bucket = now;
	f->nbucket = 2 * old;
	for (size_t i = 0; i < old; i++)
		for (struct conn *c = was[i], *next; c; c = next) {
			next = c->next;
			c->next = now[slot(f, c->number)];
			now[slot(f, c->number)] = c;
		}
	free(was);
}

struct conn *vcr_conn_add(struct vcr_flow *f, uint32_t number, int pid)
{
	if (f->nconn >= VCR_MAX_CONNS) {
		if (f->ev.unseen)
			f->ev.unseen(f->ctx, number, "too many connections at once");
		return NULL;
	}
	struct conn *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	if (f->nconn > f->nbucket)
		grow_table(f);
	c->flow = f;
	c->number = number;
	c->pid = pid;
	vcr_buf_init(&c->early, EARLY_BYTES);
	c->next = f->bucket[slot(f, number)];
	f->bucket[slot(f, number)] = c;
	f->nconn++;
	return c;
}

void vcr_conn_forget(struct conn *c)
{
	vcr_http1_free(c->req);
	vcr_http1_free(c->res);
	vcr_http2_free(c->req2);
	vcr_http2_free(c->res2);
	c->req = c->res = NULL;
	c->req2 = c->res2 = NULL;
	vcr_conn_ws_free(c);
	vcr_buf_release(&c->early);
}

void vcr_conn_free(struct conn *c)
{
	vcr_conn_forget(c);
	free(c->server_name);
	free(c->peer);
	free(c);
}

void vcr_conn_remove(struct vcr_flow *f, uint32_t number)
{
	for (struct conn **at = &f->bucket[slot(f, number)]; *at; at = &(*at)->next)
		if ((*at)->number == number) {
			struct conn *c = *at;
			*at = c->next;
			f->nconn--;
			vcr_conn_free(c);
			return;
		}
}
