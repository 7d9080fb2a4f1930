/* forward-relay.c — connections that pass as they are: HTTP/2 from its first byte, and WebSockets behind their handshake. */
#include "forward-parts.h"
#include "limits.h"
#include <errno.h>

bool vcr_forward_relay(void *ctx, struct vcr_gate_exchange *x, const struct vcr_gate_request *q)
{
	struct transfer *t = vcr_forward_new_transfer(ctx, x, q->host, true);
	if (!t) {
		vcr_gate_cut(x, VCR_CUT_RESET);
		return true;
	}
	t->tls = q->tls;
	t->relay = t->socket = t->switched = true;
	t->q = *q;
	vcr_forward_show_open(t, q, vcr_forward_now_ns());
	if (vcr_line_begin(t, q)) {
		vcr_forward_show_close(t, ECONNRESET);
		vcr_forward_free_transfer(t);
		vcr_gate_cut(x, VCR_CUT_RESET);
	}
	return true;
}

static void say_on(struct transfer *t, const char *p, size_t n)
{
	t->f->o.sink->out(t->f->o.ctx, t->conn, p, n, vcr_forward_now_ns());
	t->released &= !t->relay; /* it may be a request: what comes from now on may answer it */
	vcr_line_say(t->line, p, n);
}

/* What was said to nobody is no request that was made. */
void vcr_forward_relays(struct transfer *t)
{
	struct vcr_buf early = t->head;
	vcr_buf_init(&t->head, 0);
	if (early.len)
		say_on(t, early.data, early.len);
	vcr_buf_release(&early);
}

/* The client of a WebSocket says something, or one that is relayed. */
void vcr_forward_input(void *ctx, struct vcr_gate_exchange *x, const char *p, size_t n)
{
	struct transfer *t = vcr_gate_user(x);
	if (!t || t->over || !t->line)
		return;
	if (vcr_line_is_made(t->line)) {
		say_on(t, p, n);
		return;
	}
	vcr_buf_add(&t->head, p, n);
	vcr_gate_full(x, t->head.len > VCR_MAX_GATE_BACKLOG);
}
