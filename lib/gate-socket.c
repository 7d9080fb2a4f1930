/* gate-socket.c — a WebSocket's handshake (RFC 6455 §4.2), and its bytes, whatever they say. */
#include "gate-parts.h"
#include "limits.h"
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

enum { KEY_LEN = 24 }; /* base64 of 16 bytes */

/* Is that word in a field that is a list? */
static bool lists(const char *value, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = value ? value : ""; *(p += strspn(p, " \t,")); p += strcspn(p, ","))
		if (strcspn(p, " \t,") == n && !strncasecmp(p, word, n))
			return true;
	return false;
}

/* The proof that the request was understood as what it is. */
static int write_accept(const char *key, struct vcr_buf *out)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	vcr_buf_printf(&text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	if (EVP_Digest(text.data, text.len, digest, &n, EVP_sha1(), NULL) != 1)
		return VCR_ENOMEM;
	return vcr_buf_base64(out, digest, n);
}

int vcr_gate_socket(struct vcr_gate_exchange *c, const char *protocol)
{
	const struct vcr_gate_request *q = &c->request;
	const char *key = vcr_http1_field(q->field, q->nfield, "sec-websocket-key"), *offered = vcr_http1_field(q->field, q->nfield, "sec-websocket-protocol");
	if (c->dead)
		return VCR_EIO;
	if (c->state != ANSWER || c->head_sent || c->socket || strcmp(q->method, "GET") || !q->minor || !key || strlen(key) != KEY_LEN ||
	    !lists(vcr_http1_field(q->field, q->nfield, "upgrade"), "websocket") || !c->gate->o.handler->input)
		return VCR_EINVAL;
	vcr_buf_puts(&c->pending, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
	int err = write_accept(key, &c->pending);
	if (protocol && lists(offered, protocol) && !strpbrk(protocol, "\r\n"))
		vcr_buf_printf(&c->pending, "\r\nSec-WebSocket-Protocol: %s", protocol);
	vcr_buf_puts(&c->pending, "\r\n\r\n");
	if (err || c->pending.err)
		return err ? err : c->pending.err;
	c->head_sent = c->socket = true;
	c->keep_alive = false;
	if (c->early.len) /* it did not wait */
		vcr_gate_later(c);
	return vcr_gate_flush(c);
}

int vcr_gate_send(struct vcr_gate_exchange *c, const char *p, size_t n)
{
	if (c->dead)
		return VCR_EIO;
	if (c->state != ANSWER || !c->socket || c->ended)
		return VCR_EINVAL;
	vcr_buf_add(&c->pending, p, n);
	return vcr_gate_flush(c);
}
