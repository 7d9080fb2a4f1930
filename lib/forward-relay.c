/* forward-relay.c — connections that pass as they are: HTTP/2 from its first byte, and WebSockets behind their handshake. */
#include "forward-parts.h"
#include "limits.h"
#include <errno.h>
#include <string.h>

static int relay_index; /* in a TLS context: the transfer that wants HTTP/2 of it */

void vcr_forward_wants_http2(void *ssl_ctx, struct transfer *t)
{
	if (!relay_index)
		relay_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	SSL_CTX_set_alpn_protos(ssl_ctx, (const unsigned char *)"\2h2", 3);
	SSL_CTX_set_ex_data(ssl_ctx, relay_index, t);
}

/* A ticket that comes late is told as a handshake too, when that transfer may have been freed. */
void vcr_forward_agreed(struct vcr_forward *f, const SSL *ssl)
{
	const struct transfer *wants = relay_index ? SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), relay_index) : NULL;
	struct transfer *t = wants ? f->first : NULL;
	const unsigned char *word = NULL;
	unsigned n = 0;
	while (t && t != wants)
		t = t->next;
	SSL_get0_alpn_selected(ssl, &word, &n);
	if (t)
		t->agreed = n == 2 && !memcmp(word, "h2", 2);
}

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
